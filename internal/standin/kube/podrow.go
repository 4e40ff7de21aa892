package kube

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A podSummary is what kubectl get shows of a pod, gathered container by
// container.
type podSummary struct {
	reason       string
	total, ready int
	restarts     int
	lastRestart  metav1.Time
	initializing bool
}

func podRow(o *corev1.Pod, now time.Time) []any {
	s := summarize(o)
	restarts := strconv.Itoa(s.restarts)
	if s.restarts > 0 && !s.lastRestart.IsZero() {
		restarts += " (" + age(s.lastRestart, now) + " ago)"
	}
	return []any{o.Name, fmt.Sprintf("%d/%d", s.ready, s.total), s.reason, restarts, age(o.CreationTimestamp, now),
		orNone(o.Status.PodIP), orNone(o.Spec.NodeName), orNone(o.Status.NominatedNodeName), readinessGates(o)}
}

func summarize(o *corev1.Pod) podSummary {
	s := podSummary{reason: string(o.Status.Phase), total: len(o.Spec.Containers)}
	if o.Status.Reason != "" {
		s.reason = o.Status.Reason
	}
	if c := condition(o, corev1.PodScheduled); c != nil && c.Reason == corev1.PodReasonSchedulingGated {
		s.reason = c.Reason
	}
	sidecars := sidecarsOf(o)
	s.total += len(sidecars)
	s.addInit(o, sidecars)
	if initialized := condition(o, corev1.PodInitialized); !s.initializing || initialized != nil && initialized.Status == corev1.ConditionTrue {
		s.addMain(o, sidecars)
	}
	switch {
	case o.DeletionTimestamp == nil:
	case o.Status.Reason == "NodeLost":
		s.reason = "Unknown"
	case o.Status.Phase != corev1.PodSucceeded && o.Status.Phase != corev1.PodFailed:
		s.reason = "Terminating"
	}
	return s
}

// sidecarsOf names the init containers that go on running beside the others.
func sidecarsOf(o *corev1.Pod) map[string]bool {
	names := map[string]bool{}
	for _, c := range o.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			names[c.Name] = true
		}
	}
	return names
}

// addInit takes in the init containers up to the first that is not done.
func (s *podSummary) addInit(o *corev1.Pod, sidecars map[string]bool) {
	for i, c := range o.Status.InitContainerStatuses {
		s.addRestarts(c)
		sidecar := sidecars[c.Name]
		term, wait := c.State.Terminated, c.State.Waiting
		switch {
		case term != nil && term.ExitCode == 0:
			continue
		case sidecar && c.Started != nil && *c.Started:
			if c.Ready {
				s.ready++
			}
			continue
		case term != nil:
			s.reason = "Init:" + ended(term)
		case wait != nil && wait.Reason != "" && wait.Reason != "PodInitializing":
			s.reason = "Init:" + wait.Reason
		default:
			s.reason = fmt.Sprintf("Init:%d/%d", i, len(o.Spec.InitContainers))
		}
		s.initializing = true
		return
	}
}

// addMain takes in the containers proper. Of init containers only the restarts
// of sidecars count from now on.
func (s *podSummary) addMain(o *corev1.Pod, sidecars map[string]bool) {
	s.restarts, s.lastRestart = 0, metav1.Time{}
	for _, c := range o.Status.InitContainerStatuses {
		if sidecars[c.Name] {
			s.addRestarts(c)
		}
	}
	running := false
	for _, c := range slices.Backward(o.Status.ContainerStatuses) { // the first container's reason wins
		s.addRestarts(c)
		term, wait := c.State.Terminated, c.State.Waiting
		switch {
		case wait != nil && wait.Reason != "":
			s.reason = wait.Reason
		case term != nil:
			s.reason = ended(term)
		case c.Ready && c.State.Running != nil:
			running = true
			s.ready++
		}
	}
	if s.reason == "Completed" && running {
		s.reason = "NotReady"
		if c := condition(o, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue {
			s.reason = "Running"
		}
	}
}

func (s *podSummary) addRestarts(c corev1.ContainerStatus) {
	s.restarts += int(c.RestartCount)
	if t := c.LastTerminationState.Terminated; t != nil && s.lastRestart.Before(&t.FinishedAt) {
		s.lastRestart = t.FinishedAt
	}
}

// ended says how a container ended.
func ended(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}

func condition(o *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range o.Status.Conditions {
		if o.Status.Conditions[i].Type == kind {
			return &o.Status.Conditions[i]
		}
	}
	return nil
}

func readinessGates(o *corev1.Pod) string {
	if len(o.Spec.ReadinessGates) == 0 {
		return none
	}
	ready := 0
	for _, g := range o.Spec.ReadinessGates {
		if c := condition(o, g.ConditionType); c != nil && c.Status == corev1.ConditionTrue {
			ready++
		}
	}
	return fmt.Sprintf("%d/%d", ready, len(o.Spec.ReadinessGates))
}
