package l4

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGPInstanceTypeUnsupported recognises pods with security groups of their own
// that may only go to nodes whose type has no branch interfaces.
var SGPInstanceTypeUnsupported = &diagnose.Check{
	ID:    "l4/sgp-instance-type-unsupported",
	Title: "Instance type has no branch interfaces for pods with security groups",
	Doc: `Branch interfaces hang on a trunk interface, and whether an instance can have one is a property of its type: no t
type can, nor can those of the Xen generations. Pods that a SecurityGroupPolicy selects stay Pending when they may only go to
such nodes. Those that were there before the policy run on with their node's groups.

Recognised by pods that need a branch interface and have none, while every node to which their selector, affinity and
tolerations let them go is of such a type: the VPC resource controller said so (event Unsupported on the node), or the type is
one of those that are known; no EC2 API tells it. Such nodes beside others, or with no pod that needs an interface, are no
fault.

Looks alike: a node of a good type without a trunk; all branch interfaces taken.

Fix: nodes of a type that can (m5, c5, r5 and later) for these pods.`,
	Needs:   []facts.Need{facts.Pods, facts.Nodes},
	Wants:   []facts.Need{facts.Events, facts.SecurityGroupPolicies, facts.ServiceAccounts, facts.Deployments, facts.StatefulSets, facts.DaemonSets},
	Sources: []string{sgpGuide, vpcController + "/blob/master/pkg/aws/vpc/limits.go"},
	Run:     sgpInstanceTypeUnsupported,
}

func sgpInstanceTypeUnsupported(v *facts.View) []diagnose.Finding {
	said := nodeEvents(v)
	var findings []diagnose.Finding
	for _, s := range shortages(v, append(branchWaits(v), branchless(v)...), func(nodes []branchNode) []branchNode {
		if slices.ContainsFunc(nodes, func(n branchNode) bool { return !cannotTrunk(n, said) }) {
			return nil
		}
		return nodes
	}) {
		f := s.unsupported(clusterOr(v))
		for _, n := range s.nodes {
			if e := said[n.Name]["Unsupported"]; e != nil {
				f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: nodeRef(n.Node).String() + " event Unsupported", Got: e.Message, Want: "NodeTrunkInitiated",
					Command: "kubectl get events -A --field-selector involvedObject.kind=Node,involvedObject.name=" + n.Name})
				break
			}
		}
		findings = append(findings, f)
	}
	return findings
}

func (s *shortage) unsupported(cluster string) diagnose.Finding {
	var types []string
	for _, n := range s.nodes {
		if t := cmp.Or(n.instanceType(), "of unknown type"); !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	slices.Sort(types)
	first := s.nodes[0]
	f := diagnose.Finding{
		Severity: s.severity(),
		Subject:  s.maker.ref(),
		Claim: fmt.Sprintf("Instance type %s has no branch interfaces, and %s may only go to such nodes (%s): %s", strings.Join(types, ", "), s.maker.called(),
			diagnose.Some(nodeNames(s.nodes)), s.consequence()),
		Evidence: []diagnose.Evidence{s.evidence(), {
			Fact: nodeRef(first.Node).String() + " label node.kubernetes.io/instance-type", Got: cmp.Or(first.instanceType(), "none") + ", allocatable " + podENI + " 0",
			Want: "a type with branch interfaces, such as m5, c5 or r5 and later", Command: "kubectl get nodes -L node.kubernetes.io/instance-type",
		}},
		Remedies: []remedy.Remedy{{
			Title: "Run these pods on nodes of a type with branch interfaces", Why: "A node group of such a type, and pods that may go there; nodes that exist cannot be changed.", Risk: remedy.Safe,
			Manual: []string{
				"aws eks create-nodegroup --cluster-name " + cluster + " --nodegroup-name branch --instance-types m6i.large --subnets SUBNETS --node-role NODE_ROLE --labels pod-eni=true",
				fmt.Sprintf("kubectl -n %s get %s %s -o jsonpath='{.spec}'", s.maker.ns, s.maker.kind.Resource(), s.maker.name),
			},
		}},
	}
	f.Affects = refs(f.Subject, podRefs(s.pods()), nodeRefs(s.nodes))
	return f
}
