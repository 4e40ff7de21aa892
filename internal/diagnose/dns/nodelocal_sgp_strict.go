package dns

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var nodelocalWithSGPStrict = &diagnose.Check{
	ID:    "dns/nodelocal-with-sgp-strict",
	Title: "Pods with security groups of their own cannot reach the DNS cache of their node",
	Doc: `A pod with security groups of its own has a branch network interface. In the strict mode of the VPC CNI, which is the
default, all that such a pod sends leaves by that interface and never meets its node: the address of NodeLocal DNSCache,
which lives on the node, cannot be reached. Only these pods fail to resolve names.

Recognised by POD_SECURITY_GROUP_ENFORCING_MODE strict, or not set, on DaemonSet aws-node, a DaemonSet node-local-dns, and
pods that have a branch interface (annotation vpc.amazonaws.com/pod-eni) and ask the cluster's DNS.

Looks alike: the same pods without NodeLocal DNSCache, whose security groups do not let DNS out.

Fixed by the mode standard; pods that exist keep the old mode until they are made again. In standard mode what pods send to
the node and to addresses behind its source NAT is not held to the pods' own security groups.`,
	Needs: []facts.Need{facts.DaemonSets, facts.Pods},
	Wants: []facts.Need{facts.Addons},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/best-practices/sgpp.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/security-groups-for-pods.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		sets, pods := facts.DaemonSets.In(v), facts.Pods.In(v)
		a, managed := addonNamed(v, "vpc-cni")
		cni := slices.IndexFunc(sets, func(d appsv1.DaemonSet) bool { return d.Namespace == system && d.Name == "aws-node" })
		if cni < 0 || !slices.ContainsFunc(sets, isNodeCache) {
			return nil
		}
		mode, on := enforcingMode(sets[cni])
		if !on || mode != "strict" {
			return nil
		}
		var cut []corev1.Pod
		for i := range pods {
			if pods[i].Annotations["vpc.amazonaws.com/pod-eni"] != "" && asks(&pods[i]) {
				cut = append(cut, pods[i])
			}
		}
		if len(cut) == 0 {
			return nil
		}
		slices.SortFunc(cut, func(a, b corev1.Pod) int { return cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
		return []diagnose.Finding{strictFinding(sets[cni], cut, a, managed)}
	},
}

// enforcingMode is how aws-node enforces security groups of pods, and whether
// it gives pods branch interfaces at all.
func enforcingMode(d appsv1.DaemonSet) (mode string, on bool) {
	mode = strings.ToLower(written(d))
	for _, c := range slices.Concat(d.Spec.Template.Spec.Containers, d.Spec.Template.Spec.InitContainers) {
		on = on || strings.EqualFold(facts.Setting(c, "ENABLE_POD_ENI"), "true")
	}
	return cmp.Or(mode, "strict"), on
}

// modeSetting names the environment variable of aws-node.
const modeSetting = "POD_SECURITY_GROUP_ENFORCING_MODE"

func strictFinding(d appsv1.DaemonSet, cut []corev1.Pod, a addon, managed bool) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  ref(facts.DaemonSets.Kind(), d.Namespace, d.Name),
		Claim: fmt.Sprintf("%s with security groups of their own cannot reach NodeLocal DNSCache, as aws-node enforces in strict mode: their lookups fail",
			diagnose.Count(len(cut), "pod")),
		Evidence: []diagnose.Evidence{{
			Fact: "kube/daemonsets/kube-system/aws-node " + modeSetting, Got: "strict, which is the default", Want: "standard, beside a DNS cache on the nodes",
			Command: "kubectl -n kube-system get daemonset aws-node -o jsonpath='{.spec.template.spec.containers[*].env}'",
		}, {
			Fact: podRef(cut[0]).String() + " annotation vpc.amazonaws.com/pod-eni", Got: "a branch interface", Want: "none, or mode standard",
			Command: fmt.Sprintf("kubectl -n %s get pod %s -o yaml", cut[0].Namespace, cut[0].Name),
		}},
	}
	for _, p := range cut[:min(len(cut), 20)] {
		f.Affects = append(f.Affects, podRef(p), facts.Ref{Kind: facts.Namespaces.Kind(), ID: p.Namespace})
	}
	m := remedy.Remedy{
		Title: "Enforce security groups of pods in mode standard",
		Why:   "aws-node restarts node by node, and the pods with security groups must be made again. What they send by way of the node is then held to the node's groups.",
		Risk:  remedy.Disruptive,
	}
	set, ok := standardMode(a)
	switch {
	case managed && ok:
		m.Actions = remedy.Actions{set}
	case managed:
		m.Manual = []string{"aws eks describe-addon --cluster-name " + a.cluster + " --addon-name vpc-cni --query addon.configurationValues"}
	default:
		m.Actions = remedy.Actions{remedy.SetEnv{
			Workload: remedy.Workload{Kind: "DaemonSet", Namespace: d.Namespace, Name: d.Name}, Container: "aws-node", Variable: modeSetting, From: written(d), To: "standard",
		}}
	}
	f.Remedies = []remedy.Remedy{m}
	return f
}

// standardMode is the change of the add-on's configuration; its other
// variables stay.
func standardMode(a addon) (remedy.SetAddonConfiguration, bool) {
	values, ok := a.values()
	env, isMap := values["env"].(map[string]any)
	if !ok || !isMap && values["env"] != nil {
		return remedy.SetAddonConfiguration{}, false
	}
	env = maps.Clone(env)
	if env == nil {
		env = map[string]any{}
	}
	env[modeSetting] = "standard"
	return a.configure("env", env)
}

// written is the mode as it stands in aws-node's environment, "" for none.
func written(d appsv1.DaemonSet) string {
	for _, c := range d.Spec.Template.Spec.Containers {
		if c.Name == "aws-node" {
			return facts.Setting(c, modeSetting)
		}
	}
	return ""
}
