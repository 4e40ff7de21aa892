package dns

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// A reason says why the replicas are not ready, and where to look next.
type reason struct {
	text     string
	evidence diagnose.Evidence
	remedy   remedy.Remedy
}

// why finds what keeps the replicas from being ready: the reason of the first
// pod that has one, as replicas of one Deployment fail alike.
func (c coreDNS) why(want int32) reason {
	if want == 0 {
		return reason{text: "it is scaled to 0"}
	}
	if len(c.pods) == 0 {
		return c.noPods()
	}
	pods := slices.Clone(c.pods)
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range pods {
		if reach.Ready(&p) {
			continue
		}
		for _, why := range []func(corev1.Pod) (reason, bool){unscheduled, crashing, c.waitsForAddress, unpulled} {
			if r, ok := why(p); ok {
				return r
			}
		}
	}
	return unready(pods[0])
}

func (c coreDNS) noPods() reason {
	r := reason{
		text: "its pods do not exist or could not be read",
		remedy: remedy.Remedy{
			Title:  "See why no pod is made",
			Why:    "The ReplicaSet's events name a quota, a webhook or a missing service account.",
			Manual: []string{"kubectl -n kube-system describe replicaset -l k8s-app=kube-dns"},
		},
	}
	for _, cond := range c.deployment.Status.Conditions {
		if cond.Type == "ReplicaFailure" && cond.Status == corev1.ConditionTrue {
			r.text = "its pods cannot be made: " + facts.Redact(cond.Message)
		}
	}
	return r
}

func unscheduled(p corev1.Pod) (reason, bool) {
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionFalse {
			r := because(p, "pod "+p.Name+" is Pending and cannot be scheduled: "+cond.Message, cond.Message, "scheduled on a node")
			r.remedy = remedy.Remedy{
				Title:  "Give CoreDNS a node that it can run on",
				Why:    "The scheduler's message says what each node lacks.",
				Manual: []string{"kubectl -n kube-system describe pod " + p.Name, "kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints"},
			}
			return r, true
		}
	}
	return reason{}, false
}

func crashing(p corev1.Pod) (reason, bool) {
	for _, s := range p.Status.ContainerStatuses {
		last := s.LastTerminationState.Terminated
		if s.State.Terminated != nil {
			last = s.State.Terminated
		}
		looping := s.State.Waiting != nil && s.State.Waiting.Reason == "CrashLoopBackOff"
		if !looping && (last == nil || s.State.Running != nil && s.Ready) {
			continue
		}
		how := "CrashLoopBackOff"
		if last != nil {
			how = fmt.Sprintf("%s, exit code %d", last.Reason, last.ExitCode)
		}
		r := because(p, fmt.Sprintf("container %s of pod %s keeps ending (%s, %d restarts)", s.Name, p.Name, how, s.RestartCount), how, "running")
		r.remedy = remedy.Remedy{
			Title:  "Read why CoreDNS ends",
			Why:    "Its last lines name the cause: a Corefile that does not parse, a forwarding loop, no access to the API server, too little memory.",
			Manual: []string{fmt.Sprintf("kubectl -n kube-system logs %s --previous", p.Name), "kubectl -n kube-system get configmap coredns -o yaml"},
		}
		return r, true
	}
	return reason{}, false
}

// noAddress is what kubelet's events say when the VPC CNI has no address left
// (amazon-vpc-cni-k8s, cmd/routed-eni-cni-plugin).
var noAddress = regexp.MustCompile(`failed to assign an IP address to container|InsufficientFreeAddressesInSubnet|no available IP/Prefix addresses`)

func (c coreDNS) waitsForAddress(p corev1.Pod) (reason, bool) {
	if p.Status.PodIP != "" {
		return reason{}, false
	}
	for _, e := range c.events {
		if e.InvolvedObject.Name == p.Name && noAddress.MatchString(e.Message) {
			r := because(p, "pod "+p.Name+" waits for an IP address on "+node(p), facts.Redact(e.Message), "an address of its node's subnet")
			r.remedy = remedy.Remedy{
				Title:  "Free addresses for the node that CoreDNS runs on",
				Why:    "The pods start by themselves once their node's subnet has addresses.",
				Manual: []string{"kubectl -n kube-system describe pod " + p.Name},
			}
			return r, true
		}
	}
	return reason{}, false
}

func unpulled(p corev1.Pod) (reason, bool) {
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			r := because(p, fmt.Sprintf("container %s of pod %s does not start: %s", s.Name, p.Name, w.Reason), w.Reason+" "+facts.Redact(w.Message), "running")
			r.remedy = describe(p)
			return r, true
		}
	}
	return reason{}, false
}

func unready(p corev1.Pod) reason {
	text := fmt.Sprintf("pod %s on %s runs and is not ready", p.Name, node(p))
	if p.Status.PodIP == "" {
		text = fmt.Sprintf("pod %s is still being started on %s", p.Name, node(p))
	}
	r := because(p, text, string(p.Status.Phase)+", not ready", "Ready")
	r.remedy = describe(p)
	return r
}

func because(p corev1.Pod, text, got, want string) reason {
	return reason{text: text, evidence: diagnose.Evidence{
		Fact: ref(facts.Pods.Kind(), p.Namespace, p.Name).String(), Got: got, Want: want,
		Command: fmt.Sprintf("kubectl -n %s describe pod %s", p.Namespace, p.Name),
	}}
}

func describe(p corev1.Pod) remedy.Remedy {
	return remedy.Remedy{
		Title:  "See what keeps CoreDNS from being ready",
		Why:    "The pod's events and its log name the failing probe or plugin.",
		Manual: []string{"kubectl -n kube-system describe pod " + p.Name, "kubectl -n kube-system logs " + p.Name},
	}
}
