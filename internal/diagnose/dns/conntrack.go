package dns

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var conntrackExhausted = &diagnose.Check{
	ID:    "dns/conntrack-exhausted",
	Title: "A node cannot track more connections, and drops packets",
	Doc: `Two tables remember connections: the kernel's, for the translation of Services' addresses (nf_conntrack_max), and that of the
instance's network interfaces, for security groups, whose size depends on the instance type. Each lookup over UDP takes a place for
half a minute or more. When a table is full, packets of new connections are dropped: lookups and connections fail at random, on that
node alone.

Recognised by events of the last hour: ConntrackExceededKernel and ConntrackExceeded of the node monitoring agent, ConntrackFull of
node-problem-detector. Without an agent nobody tells of it outside of the node, and nothing is said.

Looks alike: linklocal_allowance_exceeded, which is about DNS, metadata and time alone; CoreDNS without CPU, which is slow for
all nodes.

Fix: for the kernel's table, kube-proxy's conntrack.maxPerCore; for the interfaces', a larger instance type, or rules that need no
tracking (all of a protocol from and to 0.0.0.0/0, in both directions). NodeLocal DNSCache keeps lookups out of the kernel's table.`,
	Needs: []facts.Need{facts.Events, facts.Nodes},
	Wants: []facts.Need{facts.Pods},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/node-health-nma.html",
		"https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html",
		"https://docs.aws.amazon.com/eks/latest/best-practices/monitoring_eks_workloads_for_network_performance_issues.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		byNode := map[string][]corev1.Event{}
		for _, e := range append(nodeEvents(v, kernelTableFull, "ConntrackExceededKernel", "ConntrackFull"), nodeEvents(v, interfaceTableFull, "ConntrackExceeded")...) {
			byNode[e.InvolvedObject.Name] = append(byNode[e.InvolvedObject.Name], e)
		}
		var out []diagnose.Finding
		for _, n := range facts.Nodes.In(v) {
			if len(byNode[n.Name]) > 0 {
				out = append(out, tracked(n, byNode[n.Name], facts.Pods.In(v)))
			}
		}
		return out
	},
}

// What the kernel says when its table is full, and the counter of a network
// interface whose connections are not tracked any more.
const (
	kernelTableFull    = "nf_conntrack: table full"
	interfaceTableFull = "conntrack_allowance_exceeded"
)

// nodeEvents are the events of the last hour about nodes that have one of the
// reasons, or a text in their message.
func nodeEvents(v *facts.View, text string, reasons ...string) []corev1.Event {
	var out []corev1.Event
	for _, e := range facts.Events.In(v) {
		if e.InvolvedObject.Kind == "Node" && (slices.Contains(reasons, e.Reason) || strings.Contains(e.Message, text)) && v.At().Sub(facts.LastSeen(&e)) <= time.Hour {
			out = append(out, e)
		}
	}
	return out
}

func tracked(n corev1.Node, events []corev1.Event, pods []corev1.Pod) diagnose.Finding {
	kernel := slices.ContainsFunc(events, func(e corev1.Event) bool {
		return !strings.Contains(e.Message, interfaceTableFull) && e.Reason != "ConntrackExceeded"
	})
	f := diagnose.Finding{Severity: diagnose.Degraded, Subject: facts.Ref{Kind: facts.Nodes.Kind(), ID: n.Name}, Evidence: []diagnose.Evidence{eventEvidence(events, "room for new connections")}}
	here := ""
	for _, p := range pods {
		if p.Spec.NodeName == n.Name && p.Namespace == system && p.Labels["k8s-app"] == resolverLabels["k8s-app"] {
			f.Affects = append(f.Affects, podRef(p))
			here = ", and CoreDNS runs there"
		}
	}
	kind := n.Labels[corev1.LabelInstanceTypeStable]
	if kernel {
		f.Claim = fmt.Sprintf("The kernel of node %s tracks as many connections as it may and drops packets of new ones: lookups and connections of its pods fail at random%s", n.Name, here)
		f.Remedies = []remedy.Remedy{{
			Title: "Let the kernel track more connections", Why: "kube-proxy sets the limit at its start, 32768 for each core unless told otherwise; each entry takes some 300 bytes of memory.", Risk: remedy.Disruptive,
			Manual: []string{"kubectl -n kube-system get configmap kube-proxy-config -o yaml", "kubectl -n kube-system edit configmap kube-proxy-config", "kubectl -n kube-system rollout restart daemonset/kube-proxy"},
		}}
		return f
	}
	f.Claim = fmt.Sprintf("Node %s (%s) has as many tracked connections as its instance type may have, and its interfaces drop packets of new ones: lookups and connections of its pods fail at random%s", n.Name, orNone(kind), here)
	f.Remedies = []remedy.Remedy{{
		Title: "Use a larger instance type for such pods, or spread them", Why: "The limit belongs to the instance type. Connections that rules let pass from and to everybody, in both directions, are not tracked.", Risk: remedy.Disruptive,
		Manual: []string{"ethtool -S ens5 | grep conntrack_allowance", "kubectl get pods -A -o wide --field-selector spec.nodeName=" + n.Name},
	}}
	return f
}
