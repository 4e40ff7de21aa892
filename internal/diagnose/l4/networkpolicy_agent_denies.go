package l4

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// NetworkPolicyAgentDenies recognises nodes whose policy agent may deny what
// no policy forbids.
var NetworkPolicyAgentDenies = &diagnose.Check{
	ID:    "l4/networkpolicy-agent-denies-without-policy",
	Title: "Network policy agent denies traffic that no policy forbids",
	Doc: `The VPC CNI's agent keeps its rules in the kernel, where they outlive the agent. Some versions lost track of them: after
a restart of the agent, or when a pod took the place of another one, pods of a node are denied what no policy forbids, the
kubelet's probes too.

The node monitoring agent says so as the event or condition NPABPFRecoveryError of the node. Without it there is only a
suspicion, reported as a risk: on one node, pods of two or more workloads that no policy isolates for ingress fail their
probes with time-outs, while pods of the same workloads are ready on other nodes, and the agent itself is ready. Probes come
from the same node, so that neither security groups nor routes explain it. In strict mode a pod without a policy is denied
on purpose.

Looks alike: an overloaded node; strict mode; an agent that is down; a node whose reverse path filter drops answers.

Fix: replace the node, which clears the kernel's state, and update the VPC CNI.`,
	Needs:    []facts.Need{facts.Nodes, facts.Pods, facts.Events, facts.DaemonSets, facts.NetworkPolicies},
	Wants:    []facts.Need{facts.Addons, facts.ConfigMaps},
	CausedBy: []string{"l4/networkpolicy-agent-down"},
	Sources: []string{
		"https://github.com/aws/aws-network-policy-agent/issues/553",
		"https://github.com/aws/aws-network-policy-agent/issues/307",
		"https://docs.aws.amazon.com/eks/latest/userguide/node-health.html",
	},
	Run: agentDenies,
}

func agentDenies(v *facts.View) []diagnose.Finding {
	nodes, events := facts.Nodes.In(v), facts.Events.In(v)
	var found []diagnose.Finding
	said := map[string]bool{}
	pods := facts.Pods.In(v)
	for i := range nodes {
		if message := recoveryError(&nodes[i], events); message != "" {
			said[nodes[i].Name] = true
			found = append(found, lostState(nodes[i].Name, message, onNode(pods, nodes[i].Name)))
		}
	}
	policies := facts.NetworkPolicies.In(v)
	if enforcer(v) != vpcCNI || enforcingMode(facts.DaemonSets.In(v)) == "strict" {
		return found // Auto Mode's agent is no DaemonSet: there the node alone tells
	}
	suspects := timedOut(pods, events, policies)
	for _, n := range slices.Sorted(maps.Keys(suspects)) {
		if !said[n] && healthyAgent(pods, n) && len(suspects[n].owners) >= 2 {
			found = append(found, suspects[n].finding(n))
		}
	}
	return found
}

// recoveryError is what the node monitoring agent says of a node's policy
// state; "" when it says nothing.
func recoveryError(n *corev1.Node, events []corev1.Event) string {
	const reason = "NPABPFRecoveryError"
	for _, c := range n.Status.Conditions {
		if c.Type == "NetworkingReady" && c.Status == corev1.ConditionFalse && c.Reason == reason {
			return reason + ": " + c.Message
		}
	}
	for _, e := range events {
		if e.InvolvedObject.Kind == "Node" && e.InvolvedObject.Name == n.Name && e.Reason == reason {
			return reason + ": " + e.Message
		}
	}
	return ""
}

// onNode are the pods of a node that are not ready and that policies hold for.
func onNode(pods []corev1.Pod, node string) []*corev1.Pod {
	var out []*corev1.Pod
	for i := range pods {
		if p := &pods[i]; p.Spec.NodeName == node && !p.Spec.HostNetwork && !reach.Finished(p) && !reach.Ready(p) {
			out = append(out, p)
		}
	}
	return out
}

// A suspect is a node with the pods there whose probes time out.
type suspect struct {
	owners  map[facts.Ref]bool
	pods    []*corev1.Pod
	message string
}

// timedOut finds, by node, the pods whose probes time out though no policy
// isolates them, and whose likes are ready elsewhere.
func timedOut(pods []corev1.Pod, events []corev1.Event, policies []networkingv1.NetworkPolicy) map[string]*suspect {
	ready := map[facts.Ref][]string{} // nodes with a ready pod, by owner
	for i := range pods {
		if p := &pods[i]; reach.Ready(p) && !reach.Finished(p) {
			ready[ownerOf(p)] = append(ready[ownerOf(p)], p.Spec.NodeName)
		}
	}
	unhealthy := latestEvents(events)
	out := map[string]*suspect{}
	for i := range pods {
		p := &pods[i]
		e := unhealthy[p.Namespace+"/"+p.Name]["Unhealthy"]
		node := p.Spec.NodeName
		if e == nil || !probeTimeout(e.Message) || reach.Ready(p) || p.Spec.HostNetwork || reach.Finished(p) || slices.Contains(ready[ownerOf(p)], node) || len(ready[ownerOf(p)]) == 0 ||
			len(reach.Isolates(policies, p, networkingv1.PolicyTypeIngress)) > 0 {
			continue
		}
		if out[node] == nil {
			out[node] = &suspect{owners: map[facts.Ref]bool{}, message: e.Message}
		}
		out[node].owners[ownerOf(p)] = true
		out[node].pods = append(out[node].pods, p)
	}
	for node := range out { // where anything that is not on the host's network gets its probes, it is not the node
		if slices.ContainsFunc(pods, func(p corev1.Pod) bool {
			return p.Spec.NodeName == node && !p.Spec.HostNetwork && !reach.Finished(&p) && reach.Ready(&p) && kubeletProbes(&p)
		}) {
			delete(out, node)
		}
	}
	return out
}

// kubeletProbes reports whether a pod's readiness depends on a connection from the
// kubelet.
func kubeletProbes(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool {
		r := c.ReadinessProbe
		return r != nil && (r.HTTPGet != nil || r.TCPSocket != nil || r.GRPC != nil)
	})
}

// probeTimeout reports whether a probe got no answer at all.
func probeTimeout(message string) bool {
	return slices.ContainsFunc([]string{"i/o timeout", "context deadline exceeded", "Client.Timeout"}, func(s string) bool { return strings.Contains(message, s) })
}

func healthyAgent(pods []corev1.Pod, node string) bool {
	return slices.ContainsFunc(pods, func(p corev1.Pod) bool {
		return p.Spec.NodeName == node && p.Namespace == "kube-system" && p.Labels["k8s-app"] == "aws-node" && reach.Ready(&p)
	})
}

func lostState(node, message string, unready []*corev1.Pod) diagnose.Finding {
	f := deniesOn(node, unready)
	f.Severity = diagnose.Degraded
	f.Claim = fmt.Sprintf("The network policy agent on node %s could not restore its rules in the kernel: pods there may be denied what no policy forbids", node)
	f.Evidence = []diagnose.Evidence{{Fact: f.Subject.String(), Got: message, Want: "no such event or condition", Command: "kubectl describe node " + node}}
	return f
}

func (s *suspect) finding(node string) diagnose.Finding {
	f := deniesOn(node, s.pods)
	f.Severity = diagnose.Risk
	f.Claim = fmt.Sprintf("The network policy agent on node %s may deny what no policy forbids: probes of %s of %d workloads time out there, and those workloads are ready on other nodes", node, podsOf(s.pods), len(s.owners))
	p := s.pods[0]
	f.Evidence = []diagnose.Evidence{
		{Fact: podRef(p).String(), Got: s.message, Want: "an answer: the kubelet asks from the same node, and no policy isolates the pod", Command: fmt.Sprintf("kubectl -n %s describe pod %s", p.Namespace, p.Name)},
		{Fact: "network policy agent on " + node, Got: "what it denies is in its log on the node, which was not read", Want: "no DENY for these pods",
			Command: "kubectl debug node/" + node + " -it --image=public.ecr.aws/amazonlinux/amazonlinux:2023 -- grep DENY /host/var/log/aws-routed-eni/network-policy-agent.log"},
	}
	return f
}

// deniesOn is a finding about a node, with how to clear its state.
func deniesOn(node string, pods []*corev1.Pod) diagnose.Finding {
	f := diagnose.Finding{Subject: facts.Ref{Kind: facts.Nodes.Kind(), ID: node}}
	for _, p := range pods[:min(len(pods), most)] {
		f.Affects = append(f.Affects, podRef(p))
	}
	f.Remedies = []remedy.Remedy{{
		Title:  "Replace the node",
		Why:    "The state in the kernel goes with the node: drain it, then terminate its instance. Update the VPC CNI as well, or it comes back.",
		Risk:   remedy.Disruptive,
		Manual: []string{"kubectl drain " + node + " --ignore-daemonsets --delete-emptydir-data", "kubectl get node " + node + " -o jsonpath='{.spec.providerID}'"},
	}}
	return f
}
