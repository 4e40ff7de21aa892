package l4

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// NetworkPolicyTwoEngines recognises clusters in which two engines enforce
// the same policies.
var NetworkPolicyTwoEngines = &diagnose.Check{
	ID:    "l4/networkpolicy-two-engines",
	Title: "Two engines enforce the same NetworkPolicies",
	Doc: `The VPC CNI's own agent and another engine (Calico, Cilium, Antrea and the like) each program every node for the same
NetworkPolicies. A packet has to pass both; they differ in when a new pod is covered, in what they do with Service
addresses and host networking, and one of them may lag: denials come that no policy explains.

Recognised by the agent told to enforce and its controller not switched off, the DaemonSet of another engine with pods on
nodes, and a NetworkPolicy to enforce.

Looks alike: one engine, with the agent beside aws-node switched off, which is how the VPC CNI is installed; rules that a
removed Calico left on nodes until they restart.

Fix: choose one, and switch the other off. That is for a person, as every policy of the cluster depends on it.`,
	Needs: []facts.Need{facts.DaemonSets, facts.NetworkPolicies},
	Wants: []facts.Need{facts.Addons, facts.ConfigMaps},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html",
		"https://docs.aws.amazon.com/eks/latest/best-practices/network-security.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		addons, policies := facts.Addons.In(v), facts.NetworkPolicies.In(v)
		on, known := controllerOn(facts.ConfigMaps.In(v))
		var agent, other *appsv1.DaemonSet
		var engine string
		sets := facts.DaemonSets.In(v)
		for i := range sets {
			d := &sets[i]
			switch name := reach.PolicyEngine(sets[i:i+1], nil); {
			case d.Name == "aws-node" && name == vpcCNI:
				agent = d
			case name != "" && name != vpcCNI && d.Status.DesiredNumberScheduled > 0:
				other, engine = d, name
			}
		}
		if agent == nil || other == nil || known && !on || len(policies) == 0 {
			return nil
		}
		disable := "kubectl -n kube-system edit daemonset aws-node"
		if slices.ContainsFunc(addons, isVPCCNI) {
			disable = fmt.Sprintf(`aws eks update-addon --cluster-name %s --addon-name vpc-cni --resolve-conflicts PRESERVE --configuration-values '{"enableNetworkPolicy":"false"}'`, v.Cluster())
		}
		return []diagnose.Finding{{
			Severity: diagnose.Risk,
			Subject:  ref(facts.DaemonSets.Kind(), other.Namespace, other.Name),
			Affects:  []facts.Ref{ref(facts.DaemonSets.Kind(), agent.Namespace, agent.Name)},
			Claim:    fmt.Sprintf("%s and the VPC CNI's agent both enforce the cluster's %d NetworkPolicies: a packet has to pass both", engine, len(policies)),
			Evidence: []diagnose.Evidence{
				{Fact: "kube/daemonsets/" + other.Namespace + "/" + other.Name, Got: fmt.Sprintf("%s on %d nodes", engine, other.Status.DesiredNumberScheduled), Want: "one engine", Command: "kubectl get daemonsets -A"},
				{Fact: "kube/daemonsets/kube-system/aws-node aws-eks-nodeagent", Got: "--enable-network-policy=true", Want: "false, beside another engine", Command: "kubectl -n kube-system get daemonset aws-node -o yaml"},
			},
			Remedies: []remedy.Remedy{{
				Title:  "Choose one engine, and switch the other off",
				Why:    "Each alone enforces all NetworkPolicies; the VPC CNI's does not know the other's own kinds of policy.",
				Risk:   remedy.Disruptive,
				Manual: []string{disable},
			}},
		}}
	},
}
