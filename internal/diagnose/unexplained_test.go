package diagnose

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

func TestUnexplained(t *testing.T) {
	now := time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)
	pod := func(name string, phase corev1.PodPhase) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Status: corev1.PodStatus{Phase: phase}}
	}
	event := func(pod, reason string, age time.Duration) corev1.Event {
		return corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: pod}, Reason: reason,
			Message: pod + " token=hunter2-hunter2", LastTimestamp: metav1.NewTime(now.Add(-age))}
	}
	s := &facts.Snapshot{At: now, Have: map[facts.Kind]any{
		facts.Pods.Kind(): []corev1.Pod{pod("a", corev1.PodPending), pod("b", corev1.PodPending), pod("runs", corev1.PodRunning), pod("found", corev1.PodPending)},
		facts.Events.Kind(): []corev1.Event{
			event("a", "FailedCreatePodSandBox", 5*time.Minute), event("b", "FailedCreatePodSandBox", time.Minute), event("b", "FailedCreatePodSandBox", 2*time.Minute),
			event("runs", "FailedCreatePodSandBox", time.Minute), // it was slow, and runs
			event("found", "FailedCreatePodSandBox", time.Minute),
			event("gone", "FailedCreatePodSandBox", time.Minute),
			event("a", "NetworkNotReady", time.Hour), // long ago
			event("a", "BackOff", time.Minute),       // of the application
		},
	}}
	explained := []Finding{{Affects: []facts.Ref{{Kind: facts.Pods.Kind(), ID: "shop/found"}}}}
	want := []Unexplained{{Object: facts.Ref{Kind: facts.Pods.Kind(), ID: "shop/b"}, Reason: "FailedCreatePodSandBox", Message: "b token=••••••", Count: 2}}
	if diff := cmp.Diff(want, unexplained(s, explained)); diff != "" {
		t.Error(diff)
	}
	if got := unexplained(&facts.Snapshot{At: now}, nil); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}
