package reach

import (
	"encoding/json"
	"slices"
	"strings"

	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// engines are the DaemonSets of network plugins that enforce NetworkPolicies
// wherever they run. The VPC CNI's own agent is on every node and does so only
// when told to.
var engines = map[string]string{
	"calico-node": "Calico", "canal": "Calico", "cilium": "Cilium", "antrea-agent": "Antrea", "kube-router": "kube-router", "weave-net": "Weave Net",
}

// PolicyEngine returns the name of what enforces NetworkPolicies in the
// cluster, "" when nothing is known to: then policies have no effect.
func PolicyEngine(daemonSets []appsv1.DaemonSet, addons []ekstypes.Addon) string {
	for _, d := range daemonSets {
		if name := engines[d.Name]; name != "" {
			return name
		}
		if d.Name == "aws-node" && agentEnforces(d) {
			return "VPC CNI"
		}
	}
	for _, a := range addons {
		if str(a.AddonName) == "vpc-cni" && addonEnforces(str(a.ConfigurationValues)) && !hasAgent(daemonSets) {
			return "VPC CNI"
		}
	}
	return ""
}

// agentEnforces reports whether the network policy agent beside aws-node is
// told to enforce (amazon-vpc-cni-k8s, charts/aws-vpc-cni).
func agentEnforces(d appsv1.DaemonSet) bool {
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, arg := range slices.Concat(c.Command, c.Args) {
			flag := strings.TrimLeft(arg, "-")
			if flag == "enable-network-policy" || flag == "enable-network-policy=true" {
				return true
			}
		}
	}
	return false
}

// hasAgent reports whether the agent's own arguments were read. They count
// more than the add-on's settings, which may not have been rolled out.
func hasAgent(daemonSets []appsv1.DaemonSet) bool {
	return slices.ContainsFunc(daemonSets, func(d appsv1.DaemonSet) bool {
		return d.Name == "aws-node" && slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
			return slices.ContainsFunc(slices.Concat(c.Command, c.Args), func(arg string) bool { return strings.Contains(arg, "enable-network-policy") })
		})
	})
}

// addonEnforces reads {"enableNetworkPolicy": "true"}, a string or a boolean,
// in JSON or YAML's one-line form.
func addonEnforces(values string) bool {
	var v struct {
		EnableNetworkPolicy any `json:"enableNetworkPolicy"`
	}
	if json.Unmarshal([]byte(values), &v) != nil {
		return strings.Contains(strings.NewReplacer(" ", "", `"`, "", "'", "").Replace(values), "enableNetworkPolicy:true")
	}
	return v.EnableNetworkPolicy == true || v.EnableNetworkPolicy == "true"
}
