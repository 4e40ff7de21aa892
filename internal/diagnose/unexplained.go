package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// Unexplained is trouble that Kubernetes tells of and no finding accounts
// for: a report must not say that all is well beside it.
type Unexplained struct {
	Object  facts.Ref `json:"object"`
	Reason  string    `json:"reason"`  // of the event
	Message string    `json:"message"` // newest one, redacted
	Count   int       `json:"count"`   // objects with the same reason and nothing that explains them, this one included
}

// String says u in one sentence: "pod shop/web-1 (and 2 more): FailedCreatePodSandBox: ...".
func (u Unexplained) String() string {
	more := ""
	if u.Count > 1 {
		more = fmt.Sprintf(" (and %d more)", u.Count-1)
	}
	return fmt.Sprintf("pod %s%s: %s: %s", u.Object.ID, more, u.Reason, u.Message)
}

// telling are the reasons of events that say that the network of a pod could
// not be made (kubelet's event reasons, pkg/kubelet/events).
var telling = []string{"FailedCreatePodSandBox", "NetworkNotReady"}

// fresh is how long an event counts as trouble of now.
const fresh = 30 * time.Minute

// unexplained returns, for each reason, the pod with the newest event among
// those that are not ready and that no finding is about.
func unexplained(s *facts.Snapshot, findings []Finding) []Unexplained {
	events, _ := s.Have[facts.Events.Kind()].([]corev1.Event)
	stuck := stuckPods(s, findings)
	newest := map[string]*corev1.Event{}
	pods := map[string]map[string]bool{}
	for i := range events {
		e := &events[i]
		pod := e.InvolvedObject.Namespace + "/" + e.InvolvedObject.Name
		if e.InvolvedObject.Kind != "Pod" || !slices.Contains(telling, e.Reason) || s.At.Sub(facts.LastSeen(e)) > fresh || !stuck[pod] {
			continue
		}
		if pods[e.Reason] == nil {
			pods[e.Reason] = map[string]bool{}
		}
		pods[e.Reason][pod] = true
		if old := newest[e.Reason]; old == nil || facts.LastSeen(e).After(facts.LastSeen(old)) {
			newest[e.Reason] = e
		}
	}
	var out []Unexplained
	for reason, e := range newest {
		out = append(out, Unexplained{
			Object: facts.Ref{Kind: facts.Pods.Kind(), ID: e.InvolvedObject.Namespace + "/" + e.InvolvedObject.Name},
			Reason: reason, Message: facts.Redact(e.Message), Count: len(pods[reason]),
		})
	}
	slices.SortFunc(out, func(a, b Unexplained) int { return cmp.Compare(a.Reason, b.Reason) })
	return out
}

// stuckPods are the pods that are there, wait to run, and are in no finding.
func stuckPods(s *facts.Snapshot, findings []Finding) map[string]bool {
	explained := map[facts.Ref]bool{}
	for _, f := range findings {
		for o := range f.objects() {
			explained[o] = true
		}
	}
	pods, _ := s.Have[facts.Pods.Kind()].([]corev1.Pod)
	stuck := map[string]bool{}
	for i := range pods {
		p := &pods[i]
		id := p.Namespace + "/" + p.Name
		if p.Status.Phase == corev1.PodPending && p.DeletionTimestamp == nil && !explained[facts.Ref{Kind: facts.Pods.Kind(), ID: id}] {
			stuck[id] = true
		}
	}
	return stuck
}
