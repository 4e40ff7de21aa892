package l4

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// NetworkPolicyStartupRace suspects that the first connections of pods lose
// their answers.
var NetworkPolicyStartupRace = &diagnose.Check{
	ID:    "l4/networkpolicy-standard-startup-race",
	Title: "Answers to a pod's first connections may be denied",
	Doc: `In standard mode a pod is open until its policies are programmed, a second or two after its start. Network policy
agents before v1.2 know nothing of a connection that the pod opened before: where the pod is isolated for ingress, the
answer counts as a new connection, and is dropped. The program times out on its first connection and works when it tries
again.

The agents' logs would prove it and are on the nodes only. Suspected, as a risk and no more, when the VPC CNI enforces
policies in standard mode with such an agent, and all pods of a workload of two or more, isolated for ingress and free for
egress, ended once within a minute after their first start and have been ready since their second: that one starts in a
pod whose policies are in place.

Looks alike: programs that wait for a database or a sidecar in the same way; strict mode; a policy that denies the
connection always.

Fix: a newer VPC CNI. Until then let the program try again, or wait some seconds before its first connection.`,
	Needs: []facts.Need{facts.DaemonSets, facts.Pods, facts.NetworkPolicies},
	Wants: []facts.Need{facts.Addons, facts.ConfigMaps},
	Sources: []string{
		"https://github.com/aws/aws-network-policy-agent/issues/345",
		"https://github.com/aws/aws-network-policy-agent/issues/189",
		"https://github.com/aws/amazon-vpc-cni-k8s#network_policy_enforcing_mode-v1171",
	},
	Run: startupRace,
}

func startupRace(v *facts.View) []diagnose.Finding {
	agent := agentVersion(facts.DaemonSets.In(v))
	policies := facts.NetworkPolicies.In(v)
	if enforcer(v) != vpcCNI || enforcingMode(facts.DaemonSets.In(v)) == "strict" || agent == "" || !before(agent, 1, 2) {
		return nil
	}
	owners, order := map[facts.Ref][]*corev1.Pod{}, []facts.Ref{}
	pods := facts.Pods.In(v)
	for i := range pods {
		p := &pods[i]
		if p.Spec.HostNetwork || onFargate(p) || reach.Finished(p) || p.DeletionTimestamp != nil {
			continue
		}
		o := ownerOf(p)
		if owners[o] == nil {
			order = append(order, o)
		}
		owners[o] = append(owners[o], p)
	}
	var found []diagnose.Finding
	for _, o := range order {
		mine := owners[o]
		if len(mine) < 2 || !every(mine, secondTry) || len(reach.Isolates(policies, mine[0], networkingv1.PolicyTypeEgress)) > 0 {
			continue
		}
		if in := reach.Isolates(policies, mine[0], networkingv1.PolicyTypeIngress); len(in) > 0 {
			found = append(found, raced(mine, &in[0], agent, addonOf(v, "vpc-cni") != nil, v.Cluster()))
		}
	}
	return perPolicy(found)
}

func every(pods []*corev1.Pod, is func(*corev1.Pod) bool) bool {
	return !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return !is(p) })
}

// secondTry reports whether a container of a pod failed within a minute after
// the pod's start, once, and the pod has been ready since.
func secondTry(p *corev1.Pod) bool {
	return reach.Ready(p) && p.Status.StartTime != nil && slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		last := c.LastTerminationState.Terminated
		return c.RestartCount == 1 && c.Ready && last != nil && last.ExitCode != 0 && last.Reason != "OOMKilled" &&
			last.FinishedAt.Sub(last.StartedAt.Time) <= time.Minute && last.StartedAt.Sub(p.Status.StartTime.Time) <= 5*time.Minute
	})
}

// agentVersion is that of the policy agent beside aws-node; "" when its image
// does not tell.
func agentVersion(daemonSets []appsv1.DaemonSet) string {
	for _, d := range daemonSets {
		for _, c := range d.Spec.Template.Spec.Containers {
			if d.Name == "aws-node" && c.Name == nodeAgent {
				return facts.Version(c.Image)
			}
		}
	}
	return ""
}

// before reports whether a version, such as v1.1.6, is older than
// major.minor.
func before(version string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(version, "v%d.%d", &a, &b); n != 2 {
		return false
	}
	return cmp.Or(cmp.Compare(a, major), cmp.Compare(b, minor)) < 0
}

func raced(pods []*corev1.Pod, policy *networkingv1.NetworkPolicy, agent string, addon bool, cluster string) diagnose.Finding {
	p := pods[0]
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  policyRef(policy),
		Claim: fmt.Sprintf("Network policy agent %s may have dropped the answers to the first connections of %s, which NetworkPolicy %s/%s isolates: each failed on its first start and not on its second",
			agent, podsOf(pods), policy.Namespace, policy.Name),
		Evidence: []diagnose.Evidence{
			{Fact: podRef(p).String(), Got: "ended within a minute after its first start, ready since the second", Want: "ready after the first", Command: fmt.Sprintf("kubectl -n %s logs %s --previous", p.Namespace, p.Name)},
			{Fact: "kube/daemonsets/kube-system/aws-node " + nodeAgent, Got: agent, Want: "v1.2 or newer, which knows connections that came before the policies", Command: "kubectl -n kube-system get daemonset aws-node -o jsonpath='{..image}'"},
		},
	}
	for _, p := range pods[:min(len(pods), most)] {
		f.Affects = append(f.Affects, podRef(p))
	}
	update := remedy.Remedy{
		Title:  "Update the VPC CNI",
		Why:    "aws-node restarts on every node, a few at a time; pods that run are not touched.",
		Risk:   remedy.Disruptive,
		Manual: []string{"kubectl -n kube-system get daemonset aws-node -o jsonpath='{..image}'"},
	}
	if addon {
		update.Manual = []string{updateCNI(cluster)}
	}
	f.Remedies = []remedy.Remedy{update}
	return f
}

// updateCNI is the command that updates the VPC CNI, as an add-on, to the
// version that EKS gives new clusters.
func updateCNI(cluster string) string {
	return fmt.Sprintf("aws eks update-addon --cluster-name %s --addon-name vpc-cni --resolve-conflicts PRESERVE --addon-version "+
		`"$(aws eks describe-addon-versions --addon-name vpc-cni --kubernetes-version "$(aws eks describe-cluster --name %s --query cluster.version --output text)" `+
		`--query 'addons[0].addonVersions[?compatibilities[0].defaultVersion].addonVersion' --output text)"`, cluster, cluster)
}
