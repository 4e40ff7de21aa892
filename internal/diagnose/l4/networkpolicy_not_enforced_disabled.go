package l4

import (
	"fmt"
	"slices"
	"strings"

	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// NetworkPolicyNotEnforced recognises a policy engine of which only one half
// is switched on.
var NetworkPolicyNotEnforced = &diagnose.Check{
	ID:    "l4/networkpolicy-not-enforced-disabled",
	Title: "NetworkPolicies exist, and their engine is switched on by half",
	Doc: `With the VPC CNI two switches make NetworkPolicies work: the controller's, in ConfigMap kube-system/amazon-vpc-cni
(enable-network-policy-controller), and the agent's, an argument of aws-eks-nodeagent in DaemonSet aws-node
(--enable-network-policy). One alone has no effect: all traffic is allowed, also what a policy denies. The add-on's setting
enableNetworkPolicy writes both.

Recognised by NetworkPolicies, no other engine, and one switch on while the other is off: somebody wanted it. Both off is a
decision, and nothing is reported.

Looks alike: another engine enforces (Calico, Cilium); pods on the host's network or on Fargate, which no agent covers.

Fix: the add-on's setting. It makes every policy of the cluster count at once, so look at them first; it is for a person.`,
	Needs: []facts.Need{facts.NetworkPolicies, facts.DaemonSets, facts.ConfigMaps},
	Wants: []facts.Need{facts.Addons},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy-configure.html",
		"https://github.com/aws/amazon-vpc-cni-k8s/blob/master/docs/network-policy-faq.md",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		policies, addons := facts.NetworkPolicies.In(v), facts.Addons.In(v)
		engine := reach.PolicyEngine(facts.DaemonSets.In(v), addons)
		controller, known := controllerOn(facts.ConfigMaps.In(v))
		agent, ok := agentSwitch(v)
		if len(policies) == 0 || engine != "" && engine != vpcCNI || !known || !ok || agent == controller {
			return nil
		}
		is, off := "the agent is told not to enforce", "--enable-network-policy=true"
		if agent {
			is, off = "the controller is off", "enable-network-policy-controller: \"true\""
		}
		return []diagnose.Finding{{
			Severity: diagnose.Risk,
			Subject:  ref(facts.DaemonSets.Kind(), "kube-system", "aws-node"),
			Claim:    fmt.Sprintf("The cluster's %d NetworkPolicies have no effect: %s, while the other half of the VPC CNI's policy engine is on", len(policies), is),
			Evidence: []diagnose.Evidence{
				{Fact: "kube/configmaps/kube-system/amazon-vpc-cni enable-network-policy-controller", Got: fmt.Sprint(controller), Want: "the same as the agent's", Command: "kubectl -n kube-system get configmap amazon-vpc-cni -o yaml"},
				{Fact: "kube/daemonsets/kube-system/aws-node --enable-network-policy", Got: fmt.Sprint(agent), Want: "the same as the controller's", Command: "kubectl -n kube-system get daemonset aws-node -o yaml"},
			},
			Remedies: []remedy.Remedy{{
				Title:  "Switch on both halves, or both off",
				Why:    "Missing is " + off + ". All policies count from then on: look at each first.",
				Risk:   remedy.Disruptive,
				Manual: []string{"kubectl get networkpolicies -A", fmt.Sprintf(`aws eks update-addon --cluster-name %s --addon-name vpc-cni --resolve-conflicts PRESERVE --configuration-values '{"enableNetworkPolicy":"true"}'`, v.Cluster())},
			}},
		}}
	},
}

// agentSwitch reads the argument of the agent beside aws-node; it is not ok
// when there is none.
func agentSwitch(v *facts.View) (on, ok bool) {
	for _, d := range facts.DaemonSets.In(v) {
		if d.Name != "aws-node" || d.Namespace != "kube-system" {
			continue
		}
		i := slices.IndexFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == nodeAgent })
		if i < 0 {
			return false, false
		}
		for _, a := range d.Spec.Template.Spec.Containers[i].Args {
			if value, found := strings.CutPrefix(strings.TrimLeft(a, "-"), "enable-network-policy"); found {
				return value == "" || value == "=true", true
			}
		}
	}
	return false, false
}

// nodeAgent is the container that enforces policies beside aws-node.
const nodeAgent = "aws-eks-nodeagent"

func isVPCCNI(a ekstypes.Addon) bool { return facts.Val(a.AddonName) == "vpc-cni" }
