package l4

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// NetworkPolicyAgentDown recognises nodes on which the VPC CNI's policy agent
// does not run.
var NetworkPolicyAgentDown = &diagnose.Check{
	ID:    "l4/networkpolicy-agent-down",
	Title: "Network policy agent is down on a node",
	Doc: `The container aws-eks-nodeagent in the pod aws-node programs a node for NetworkPolicies. While it is down, rules in
the kernel stay as they were: new policies and new pods of policies are not covered, and in strict mode new pods reach
nothing. The CNI plugin asks it for every pod that starts, so pods there may fail with "failed to setup network policy".

Recognised by the container not ready for two minutes or more, or crashing, on a node, while the VPC CNI enforces policies
that exist, or while a pod fails with that message.

Looks alike: the container aws-node itself is down (no pod gets an address); the agent runs and is told not to enforce.

Fix: the agent's log says what it misses: a port that is taken (8162, 8163), a kernel older than 5.10, no connection to
ipamd. Deleting the pod starts it anew.`,
	Needs: []facts.Need{facts.Pods, facts.DaemonSets, facts.NetworkPolicies},
	Wants: []facts.Need{facts.Addons, facts.ConfigMaps, facts.Events},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/network-policies-troubleshooting.html",
		"https://github.com/aws/aws-network-policy-agent",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		enforced := enforcer(v) == vpcCNI && len(facts.NetworkPolicies.In(v)) > 0
		failing := map[string]string{} // a message by node
		on := map[string]string{}
		for _, p := range facts.Pods.In(v) {
			on[p.Namespace+"/"+p.Name] = p.Spec.NodeName
		}
		for _, e := range facts.Events.In(v) {
			if e.Reason == "FailedCreatePodSandBox" && strings.Contains(e.Message, "failed to setup network policy") {
				failing[on[e.InvolvedObject.Namespace+"/"+e.InvolvedObject.Name]] = e.Message
			}
		}
		var found []diagnose.Finding
		for _, p := range facts.Pods.In(v) {
			if s, ok := downAgent(&p, v.At()); ok && (enforced || failing[p.Spec.NodeName] != "") {
				found = append(found, agentDown(&p, s, failing[p.Spec.NodeName]))
			}
		}
		return found
	},
}

// downAgent returns the state of a pod's agent if that is down.
func downAgent(p *corev1.Pod, now time.Time) (corev1.ContainerStatus, bool) {
	if p.Namespace != "kube-system" || p.Labels["k8s-app"] != "aws-node" || p.DeletionTimestamp != nil || now.Sub(p.CreationTimestamp.Time) < running {
		return corev1.ContainerStatus{}, false
	}
	i := slices.IndexFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == nodeAgent })
	if i < 0 || p.Status.ContainerStatuses[i].Ready {
		return corev1.ContainerStatus{}, false
	}
	s := p.Status.ContainerStatuses[i]
	young := s.State.Running != nil && now.Sub(s.State.Running.StartedAt.Time) < running && s.RestartCount < 3
	return s, !young
}

func agentDown(p *corev1.Pod, s corev1.ContainerStatus, message string) diagnose.Finding {
	state := "not ready"
	if w := s.State.Waiting; w != nil {
		state = strings.TrimSuffix(w.Reason+": "+w.Message, ": ")
	} else if t := s.State.Terminated; t != nil {
		state = cmp.Or(t.Reason, "terminated")
	}
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  podRef(p),
		Affects:  []facts.Ref{{Kind: facts.Nodes.Kind(), ID: p.Spec.NodeName}},
		Claim:    fmt.Sprintf("The network policy agent on node %s is down (%s): policies there are stale, and new pods are not covered", p.Spec.NodeName, state),
		Evidence: []diagnose.Evidence{{
			Fact: podRef(p).String() + " " + nodeAgent, Got: fmt.Sprintf("%s, %d restarts", state, s.RestartCount), Want: "ready",
			Command: fmt.Sprintf("kubectl -n kube-system logs %s -c %s --tail=50", p.Name, nodeAgent),
		}},
		Remedies: []remedy.Remedy{{
			Title:  "Read why the agent does not start, then start it anew",
			Why:    "While aws-node restarts no pod starts on that node; those that run are not touched.",
			Risk:   remedy.Disruptive,
			Manual: []string{fmt.Sprintf("kubectl -n kube-system logs %s -c %s --tail=50 --previous", p.Name, nodeAgent), "kubectl -n kube-system delete pod " + p.Name},
		}},
	}
	if message != "" {
		f.Severity = diagnose.Outage
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: "kube/events FailedCreatePodSandBox", Got: message, Want: "pods start", Command: "kubectl get events -A --field-selector reason=FailedCreatePodSandBox"})
	}
	return f
}
