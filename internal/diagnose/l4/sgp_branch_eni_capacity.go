package l4

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// sgpGuide is the page about security groups for pods in the EKS user guide;
// vpcController is what makes trunks and branches.
const (
	sgpGuide      = "https://docs.aws.amazon.com/eks/latest/userguide/security-groups-for-pods.html"
	sgpPractices  = "https://docs.aws.amazon.com/eks/latest/best-practices/sgpp.html"
	vpcController = "https://github.com/aws/amazon-vpc-resource-controller-k8s"
	cniReadme     = "https://github.com/aws/amazon-vpc-cni-k8s/blob/master/README.md"
)

// SGPBranchENICapacity recognises pods with security groups of their own that
// wait because every branch interface is taken.
var SGPBranchENICapacity = &diagnose.Check{
	ID:    "l4/sgp-branch-eni-capacity",
	Title: "No node has a free branch interface for a pod with security groups",
	Doc: `A pod that a SecurityGroupPolicy selects takes one branch interface of its node. How many a node has follows from
its instance type (9 for an m5.large) and shows as allocatable vpc.amazonaws.com/pod-eni. When all are taken, the next such
pod stays Pending, however much CPU, memory and addresses are free.

Recognised by pods without a node for which the scheduler says "Insufficient vpc.amazonaws.com/pod-eni", while every node
with branch interfaces that the pod may go to has as many pods that ask for one as it has interfaces. Full nodes for which
nobody waits are no fault.

Looks alike: nodes without a trunk interface, or of a type that cannot have one (allocatable is 0 or absent); interfaces
that cool down after their pod is gone (the pod has a node then, and waits there).

Fix: more nodes, or larger ones; or a policy that selects only the pods that need groups of their own.`,
	Needs:    []facts.Need{facts.Pods, facts.Nodes},
	Wants:    []facts.Need{facts.Events, facts.Deployments, facts.StatefulSets, facts.DaemonSets},
	CausedBy: []string{"l4/sgp-trunk-not-enabled", "l4/sgp-cluster-role-missing-policy"},
	Sources:  []string{sgpGuide, vpcController},
	Run:      sgpBranchENICapacity,
}

// A shortage is what keeps pods of one workload from a branch interface.
type shortage struct {
	maker workload
	needs []branchNeed
	nodes []branchNode
}

func (s *shortage) pods() []*corev1.Pod {
	var out []*corev1.Pod
	for _, n := range s.needs {
		out = append(out, n.pod)
	}
	return out
}

// waiting reports whether one of the pods cannot start.
func (s *shortage) waiting() bool {
	return slices.ContainsFunc(s.needs, func(n branchNeed) bool { return n.waits })
}

// severity is an outage when pods cannot start, and not when they run with
// other groups than they should.
func (s *shortage) severity() diagnose.Severity {
	if s.waiting() {
		return diagnose.Outage
	}
	return diagnose.Degraded
}

// consequence says what comes of the want.
func (s *shortage) consequence() string {
	what := diagnose.Count(len(s.needs), "pod") + " of " + s.maker.called()
	if s.maker.kind == facts.Pods.Kind() {
		what = s.maker.called()
	}
	switch {
	case s.waiting() && len(s.needs) == 1:
		return what + " stays Pending"
	case s.waiting():
		return what + " stay Pending"
	case len(s.needs) == 1:
		return what + " runs with its node's security groups"
	}
	return what + " run with their nodes' security groups"
}

// evidence shows what the scheduler says, or the pod without an interface.
func (s *shortage) evidence() diagnose.Evidence {
	first := s.needs[0]
	for _, n := range s.needs {
		if n.waits {
			first = n
			break
		}
	}
	e := diagnose.Evidence{
		Fact: podRef(first.pod).String(), Got: first.message, Want: "a node with a free branch interface",
		Command: fmt.Sprintf("kubectl -n %s describe pod %s", first.pod.Namespace, first.pod.Name),
	}
	if !first.waits {
		e.Got, e.Want = "no annotation "+podENI, "a branch interface, as a SecurityGroupPolicy selects it"
	}
	return e
}

// shortages sorts needs by workload. For each, pick chooses among the nodes to
// which the pod may go those that are to blame; none: it is no case.
func shortages(v *facts.View, needs []branchNeed, pick func([]branchNode) []branchNode) []*shortage {
	all, makers := branchNodes(v), workloads(v)
	byMaker, order := map[facts.Ref]*shortage{}, []*shortage{}
	for _, n := range needs {
		nodes := pick(nodesFor(n.pod, all))
		if len(nodes) == 0 {
			continue
		}
		w := makerOf(n.pod, makers)
		s := byMaker[w.ref()]
		if s == nil {
			s = &shortage{maker: w}
			byMaker[w.ref()], order = s, append(order, s)
		}
		s.needs, s.nodes = append(s.needs, n), addNodes(s.nodes, nodes)
	}
	return order
}

func sgpBranchENICapacity(v *facts.View) []diagnose.Finding {
	var findings []diagnose.Finding
	for _, s := range shortages(v, branchWaits(v), allFull) {
		findings = append(findings, s.full(v))
	}
	return findings
}

// allFull are the nodes with a trunk, if all of them are full.
func allFull(nodes []branchNode) []branchNode {
	var out []branchNode
	for _, n := range nodes {
		if n.limit > 0 && !n.isFull() {
			return nil
		}
		if n.isFull() {
			out = append(out, n)
		}
	}
	return out
}

func (s *shortage) full(v *facts.View) diagnose.Finding {
	var limit int64
	for _, n := range s.nodes {
		limit += n.limit
	}
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  s.maker.ref(),
		Claim: fmt.Sprintf("All %d branch interfaces of %s that may take it are in use (%s): %s", limit, diagnose.Count(len(s.nodes), "node"),
			diagnose.Some(nodeNames(s.nodes)), s.consequence()),
		Evidence: []diagnose.Evidence{s.evidence()},
		Remedies: []remedy.Remedy{{
			Title: "Add nodes, or use larger ones", Why: "Each node brings the branch interfaces of its type; the larger types have more. The group's maximum must allow it.", Risk: remedy.Safe,
			Manual: s.moreNodes(v),
		}, {
			Title: "Let the policy select fewer pods", Why: "Pods that need no groups of their own then use their node's interfaces, from their next start on.", Risk: remedy.Disruptive,
			Manual: []string{fmt.Sprintf("kubectl -n %s get securitygrouppolicies -o yaml", s.maker.ns)},
		}},
	}
	f.Affects = refs(f.Subject, podRefs(s.pods()), nodeRefs(s.nodes))
	for _, n := range s.nodes[:min(3, len(s.nodes))] {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: nodeRef(n.Node).String() + " allocatable " + podENI, Got: fmt.Sprintf("%d, and %s that ask for one", n.limit, diagnose.Count(int(n.used), "pod")),
			Want: "more than are asked for", Command: "kubectl describe node " + n.Name,
		})
	}
	return f
}

// moreNodes are the commands that make the nodes' groups larger by one node.
func (s *shortage) moreNodes(v *facts.View) []string {
	size := map[string]int{}
	for _, n := range facts.Nodes.In(v) {
		size[n.Labels["eks.amazonaws.com/nodegroup"]]++
	}
	var out []string
	for _, n := range s.nodes {
		c := "kubectl get nodes -L node.kubernetes.io/instance-type"
		if g := n.Labels["eks.amazonaws.com/nodegroup"]; g != "" {
			c = fmt.Sprintf("aws eks update-nodegroup-config --cluster-name %s --nodegroup-name %s --scaling-config desiredSize=%d", clusterOr(v), g, size[g]+1)
		}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}
