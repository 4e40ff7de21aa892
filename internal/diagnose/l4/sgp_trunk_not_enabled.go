package l4

import (
	"fmt"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGPTrunkNotEnabled recognises nodes that have no trunk interface while pods
// need branches of one.
var SGPTrunkNotEnabled = &diagnose.Check{
	ID:    "l4/sgp-trunk-not-enabled",
	Title: "Nodes have no trunk interface for pods with security groups",
	Doc: `When it starts, aws-node adds the feature SecurityGroupsForPods to its node's CNINode, if ENABLE_POD_ENI is true and
a slot for one more network interface is free. The VPC resource controller then attaches a trunk interface, and the node
offers vpc.amazonaws.com/pod-eni. Without a trunk, pods that a SecurityGroupPolicy selects stay Pending. A node whose slots
were full when aws-node started never gets one.

Recognised by pods that wait with "Insufficient vpc.amazonaws.com/pod-eni" while ENABLE_POD_ENI is not true; or, where it is
true, by pods that wait so, or that a policy selects and that run without a branch interface, and nodes to which they may go,
of a type that can have a trunk, ready for some minutes and without branch interfaces. While nobody needs a branch interface
nothing is at fault: the feature is off by default.

Looks alike: an instance type that cannot have a trunk; a cluster role that may not make one; all branches taken.

Fix: ENABLE_POD_ENI=true, and new nodes in place of those that have no slot left. Every node gives up one interface's
addresses for its trunk.`,
	Needs:    []facts.Need{facts.Pods, facts.Nodes, facts.DaemonSets},
	Wants:    []facts.Need{facts.Events, facts.CNINodes, facts.NetworkInterfaces, facts.Addons, facts.SecurityGroupPolicies, facts.ServiceAccounts, facts.Deployments, facts.StatefulSets},
	CausedBy: []string{"l3/subnet-ip-exhausted"},
	Sources:  []string{sgpGuide, cniReadme, vpcController},
	Run:      sgpTrunkNotEnabled,
}

func sgpTrunkNotEnabled(v *facts.View) []diagnose.Finding {
	settings := podSettingsOf(v)
	if !settings.known {
		return nil
	}
	needs := append(branchWaits(v), branchless(v)...)
	if !settings.enabled {
		return trunksOff(v, shortages(v, needs, trunkless))
	}
	said := nodeEvents(v)
	found := shortages(v, needs, func(nodes []branchNode) []branchNode {
		return slices.DeleteFunc(trunkless(nodes), func(n branchNode) bool {
			e := said[n.Name]["TrunkENICreationFailed"]
			return cannotTrunk(n, said) || !n.settled(v.At()) || e != nil && unauthorized(e.Message)
		})
	})
	if len(found) == 0 {
		return nil
	}
	return []diagnose.Finding{withoutTrunk(v, found, said)}
}

// trunkless are the nodes without branch interfaces; none when another has one
// free, for then something else keeps the pod.
func trunkless(nodes []branchNode) []branchNode {
	var out []branchNode
	for _, n := range nodes {
		if n.limit > 0 && !n.isFull() {
			return nil
		}
		if n.limit == 0 {
			out = append(out, n)
		}
	}
	return out
}

// joined adds shortages up.
func joined(all []*shortage) (pods []*corev1.Pod, nodes []branchNode, worst diagnose.Severity, consequences string) {
	worst = diagnose.Degraded
	var said []string
	for _, s := range all {
		pods, nodes, worst = append(pods, s.pods()...), addNodes(nodes, s.nodes), min(worst, s.severity())
		said = append(said, s.consequence())
	}
	return pods, nodes, worst, diagnose.Some(said)
}

func trunksOff(v *facts.View, all []*shortage) []diagnose.Finding {
	if len(all) == 0 {
		return nil
	}
	pods, nodes, worst, consequences := joined(all)
	enable := setting{container: "aws-node", variable: "ENABLE_POD_ENI", to: "true"}
	f := diagnose.Finding{
		Severity: worst,
		Subject:  awsNode,
		Claim:    "ENABLE_POD_ENI of aws-node is not true, so no node gets a trunk interface for pods with security groups: " + consequences,
		Evidence: []diagnose.Evidence{all[0].evidence(), enable.evidence(v, "true, as SecurityGroupPolicies give pods interfaces of their own")},
		Remedies: []remedy.Remedy{enable.remedy(v, "Set ENABLE_POD_ENI=true for aws-node",
			"aws-node restarts on every node, and each node with a slot left gives one interface to the trunk; nodes without one must be replaced. The cluster role needs AmazonEKSVPCResourceController.")},
	}
	f.Affects = refs(f.Subject, makersOf(all), podRefs(pods), nodeRefs(nodes))
	return []diagnose.Finding{f}
}

func makersOf(all []*shortage) []facts.Ref {
	var out []facts.Ref
	for _, s := range all {
		out = append(out, s.maker.ref())
	}
	return out
}

func withoutTrunk(v *facts.View, all []*shortage, said map[string]map[string]*corev1.Event) diagnose.Finding {
	pods, nodes, worst, consequences := joined(all)
	f := diagnose.Finding{
		Severity: worst,
		Subject:  nodeRef(nodes[0].Node),
		Evidence: []diagnose.Evidence{all[0].evidence()},
	}
	interfaces := facts.NetworkInterfaces.In(v)
	var subnets []facts.Ref
	var why string
	for _, n := range nodes {
		mine := reach.InterfacesOf(n.Node, interfaces)
		reason := n.noTrunkBecause(v, mine, said[n.Name])
		if why == "" {
			why = reason
		}
		if len(mine) > 0 {
			subnets = append(subnets, facts.Ref{Kind: facts.Subnets.Kind(), ID: facts.Val(mine[0].SubnetId)})
		}
		if len(f.Evidence) < 4 {
			f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: nodeRef(n.Node).String(), Got: "allocatable " + podENI + " 0: " + reason, Want: "a trunk interface",
				Command: "kubectl get cninode " + n.Name + " -o yaml"})
		}
	}
	f.Claim = fmt.Sprintf("%s without a trunk interface (%s): %s. %s", diagnose.Count(len(nodes), "node"), diagnose.Some(nodeNames(nodes)), why, consequences)
	f.Remedies = []remedy.Remedy{newNodes(nodes)}
	f.Affects = refs(f.Subject, makersOf(all), podRefs(pods), nodeRefs(nodes), subnets)
	return f
}

// noTrunkBecause says what is known of why a node has no trunk.
func (n branchNode) noTrunkBecause(v *facts.View, mine []ec2types.NetworkInterface, said map[string]*corev1.Event) string {
	if e := said["TrunkENICreationFailed"]; e != nil {
		return e.Message
	}
	attached := ""
	if len(mine) > 0 {
		attached = fmt.Sprintf("; %s attached, none of them a trunk", diagnose.Count(len(mine), "interface"))
	}
	if slices.ContainsFunc(mine, func(i ec2types.NetworkInterface) bool {
		return i.InterfaceType == ec2types.NetworkInterfaceTypeTrunk
	}) {
		attached = "; its trunk is attached and not offered"
	}
	nodes := facts.CNINodes.In(v)
	i := slices.IndexFunc(nodes, func(c facts.CNINode) bool { return c.Name == n.Name })
	switch {
	case said["NodeTrunkFailedInit"] != nil:
		return strings.TrimSuffix(said["NodeTrunkFailedInit"].Message, ".") + attached
	case !facts.CNINodes.Have(v):
		return "what aws-node asked for is not known" + attached
	case i < 0:
		return "it has no CNINode" + attached
	}
	for _, f := range nodes[i].Spec.Features {
		if f.Name == "SecurityGroupsForPods" {
			return "aws-node asked for one and the VPC resource controller did not attach it" + attached
		}
	}
	return "aws-node did not ask for one, as it does when no slot for an interface is free" + attached
}

// newNodes replaces nodes: one without a slot left never gets a trunk.
func newNodes(nodes []branchNode) remedy.Remedy {
	r := remedy.Remedy{
		Title: "Replace the nodes without a trunk",
		Why:   "A new node gets its trunk before pods fill its slots. If a slot is free, restarting aws-node on the node is enough.",
		Risk:  remedy.Disruptive,
	}
	for _, n := range nodes[:min(3, len(nodes))] {
		r.Manual = append(r.Manual,
			"kubectl drain "+n.Name+" --ignore-daemonsets --delete-emptydir-data",
			"aws autoscaling terminate-instance-in-auto-scaling-group --instance-id "+reach.Instance(n.Node)+" --no-should-decrement-desired-capacity")
	}
	return r
}
