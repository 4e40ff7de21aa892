package l4

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// NetworkPolicyStrict recognises pods that strict mode cuts off because no
// policy selects them.
var NetworkPolicyStrict = &diagnose.Check{
	ID:    "l4/networkpolicy-strict-startup-denial",
	Title: "Strict mode denies all traffic of pods that no NetworkPolicy selects",
	Doc: `With NETWORK_POLICY_ENFORCING_MODE=strict the VPC CNI starts each pod with everything denied, until its policies are
programmed. A pod that no policy selects stays so: not even DNS passes. Pods that ran before the mode was switched on keep
their traffic until they are replaced, so the fault comes with the next restart, node by node. CoreDNS needs a policy too.

Recognised by strict mode where the VPC CNI enforces policies, and by pods that no policy selects and that started and are
not ready. CoreDNS without a policy is a risk as long as its pods, which are older, are ready. Other pods that are ready are
left alone: some are meant to have no traffic. ClusterNetworkPolicies are not read; a pod that only such a policy selects,
and that is not ready, is taken for one without.

Looks alike: a policy that leaves something out; standard mode, in which a pod without a policy is open.

Fix: a policy for CoreDNS, and one for each workload; or standard mode, and the pods anew.`,
	Needs: []facts.Need{facts.DaemonSets, facts.Pods, facts.NetworkPolicies, facts.Services},
	Wants: []facts.Need{facts.Addons, facts.ConfigMaps},
	Sources: []string{
		"https://github.com/aws/amazon-vpc-cni-k8s#network_policy_enforcing_mode-v1171",
		"https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy-configure.html",
		"https://github.com/aws/aws-network-policy-agent/issues/288",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		policies, services := facts.NetworkPolicies.In(v), facts.Services.In(v)
		if enforcer(v) != vpcCNI || enforcingMode(facts.DaemonSets.In(v)) != "strict" {
			return nil
		}
		s := &strict{addon: addonOf(v, "vpc-cni"), cluster: v.Cluster(), taken: policies}
		pods := facts.Pods.In(v)
		for i := range pods {
			p := &pods[i]
			if onFargate(p) || p.Spec.HostNetwork || p.Status.PodIP == "" || reach.Finished(p) || p.DeletionTimestamp != nil || covered(p, policies) {
				continue
			}
			s.add(p, resolverOf(p, services), v)
		}
		return s.findings()
	},
}

// enforcingMode is what the VPC CNI does with a pod whose policies are not
// programmed yet: standard, unless it is told to be strict.
func enforcingMode(daemonSets []appsv1.DaemonSet) string {
	for _, d := range daemonSets {
		for _, c := range d.Spec.Template.Spec.Containers {
			if d.Name == "aws-node" && c.Name == "aws-node" && strings.EqualFold(facts.Setting(c, "NETWORK_POLICY_ENFORCING_MODE"), "strict") {
				return "strict"
			}
		}
	}
	return "standard"
}

// addonOf is an add-on of EKS by name, nil when it is not one.
func addonOf(v *facts.View, name string) *ekstypes.Addon {
	all := facts.Addons.In(v)
	for i := range all {
		if facts.Val(all[i].AddonName) == name {
			return &all[i]
		}
	}
	return nil
}

func onFargate(p *corev1.Pod) bool { return strings.HasPrefix(p.Spec.NodeName, "fargate-") }

// covered reports whether some policy selects a pod, in whichever direction:
// then the agent opens the other one.
func covered(p *corev1.Pod, policies []networkingv1.NetworkPolicy) bool {
	return slices.ContainsFunc(policies, func(np networkingv1.NetworkPolicy) bool {
		return np.Namespace == p.Namespace && selectorMatches(&np.Spec.PodSelector, p.Labels)
	})
}

// resolverOf is the cluster's DNS Service if a pod is one of CoreDNS, else nil.
func resolverOf(p *corev1.Pod, services []corev1.Service) *corev1.Service {
	for i := range services {
		if isDNS(&services[i]) && reach.Selects(&services[i], p) {
			return &services[i]
		}
	}
	return nil
}

// strict is what the mode does to pods without a policy.
type strict struct {
	dns     *corev1.Service
	coredns []*corev1.Pod   // CoreDNS
	unready int             // of CoreDNS
	cut     []*corev1.Pod   // others that are not ready
	addon   *ekstypes.Addon // the VPC CNI, if it is one
	cluster string
	taken   []networkingv1.NetworkPolicy
}

func (s *strict) add(p *corev1.Pod, dns *corev1.Service, v *facts.View) {
	waits := !reach.Ready(p) && ran(p) && v.At().Sub(p.CreationTimestamp.Time) >= running
	switch {
	case dns != nil:
		s.dns, s.coredns = dns, append(s.coredns, p)
		if waits {
			s.unready++
		}
	case waits:
		s.cut = append(s.cut, p)
	}
}

// ran reports whether a container of a pod has started: before, it sends
// nothing that could be denied.
func ran(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		return c.State.Running != nil || c.State.Terminated != nil || c.LastTerminationState.Terminated != nil
	})
}

func (s *strict) findings() []diagnose.Finding {
	subject := ref(facts.DaemonSets.Kind(), "kube-system", "aws-node")
	f := diagnose.Finding{Severity: diagnose.Degraded, Subject: subject, Evidence: []diagnose.Evidence{{
		Fact: subject.String() + " NETWORK_POLICY_ENFORCING_MODE", Got: "strict: a pod without a policy has no traffic", Want: "standard, or a policy for each pod that has traffic",
		Command: "kubectl -n kube-system set env daemonset/aws-node -c aws-node --list",
	}}}
	who := append(slices.Clone(s.coredns), s.cut...)
	switch {
	case s.unready > 0:
		f.Claim = fmt.Sprintf("Strict mode denies %s all traffic: no NetworkPolicy selects them, so names do not resolve", diagnose.Count(s.unready, "CoreDNS pod"))
		if s.unready == len(s.coredns) {
			f.Severity = diagnose.Outage
		}
	case len(s.cut) > 0:
		f.Claim = "Strict mode denies the pods that no NetworkPolicy selects all traffic: not ready are " + podsOf(s.cut)
		who = append(slices.Clone(s.cut), s.coredns...)
	case len(s.coredns) > 0:
		f.Severity = diagnose.Risk
		f.Claim = "Strict mode will deny CoreDNS all traffic when its pods restart: no NetworkPolicy selects them"
	default:
		return nil
	}
	var about []facts.Ref
	if s.dns != nil {
		about = append(about, serviceRef(s.dns))
	}
	for _, p := range who {
		about = append(about, podRef(p))
	}
	f.Affects = refs(subject, about)
	f.Evidence = append(f.Evidence, diagnose.Evidence{
		Fact: podRef(who[0]).String(), Got: "no NetworkPolicy of namespace " + who[0].Namespace + " selects it", Want: "one that allows what it needs",
		Command: fmt.Sprintf("kubectl -n %s get networkpolicies", who[0].Namespace),
	})
	f.Remedies = s.remedies()
	return []diagnose.Finding{f}
}

// podsOf names pods for people.
func podsOf(pods []*corev1.Pod) string {
	var names []string
	for _, p := range pods {
		names = append(names, p.Namespace+"/"+p.Name)
	}
	return diagnose.Count(len(pods), "pod") + " (" + diagnose.Some(names) + ")"
}

// remedies gives CoreDNS its policy first, unless it is others that are not
// ready.
func (s *strict) remedies() []remedy.Remedy {
	hand := remedy.Remedy{
		Title:  "Write a policy for each workload, or go back to standard mode",
		Why:    "In standard mode a pod is open until its policies are programmed, and one without policies stays open. aws-node restarts on every node, and the pods that are cut off must be started anew.",
		Risk:   remedy.Disruptive,
		Manual: []string{s.standard()},
	}
	switch {
	case s.dns == nil:
		return []remedy.Remedy{hand}
	case s.unready == 0 && len(s.cut) > 0:
		return []remedy.Remedy{hand, s.allowDNS()}
	}
	return []remedy.Remedy{s.allowDNS(), hand}
}

// standard is the command that goes back to standard mode. An add-on's
// settings are replaced as a whole, so that those it has go along.
func (s *strict) standard() string {
	values := map[string]any{}
	if s.addon == nil || json.Unmarshal([]byte(cmp.Or(facts.Val(s.addon.ConfigurationValues), "{}")), &values) != nil {
		return "kubectl -n kube-system set env daemonset/aws-node -c aws-node NETWORK_POLICY_ENFORCING_MODE=standard"
	}
	env, _ := values["env"].(map[string]any)
	if env == nil {
		env = map[string]any{}
	}
	env["NETWORK_POLICY_ENFORCING_MODE"], values["env"] = "standard", env
	merged, _ := json.Marshal(values) // what was read as JSON
	return remedy.SetAddonConfiguration{Cluster: s.cluster, Addon: "vpc-cni", From: facts.Val(s.addon.ConfigurationValues), To: string(merged), Role: facts.Val(s.addon.ServiceAccountRoleArn)}.Command()
}

func (s *strict) allowDNS() remedy.Remedy {
	name := "hopwise-coredns"
	for i := 2; slices.ContainsFunc(s.taken, func(p networkingv1.NetworkPolicy) bool { return p.Namespace == s.dns.Namespace && p.Name == name }); i++ {
		name = fmt.Sprintf("hopwise-coredns-%d", i)
	}
	spec := networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: s.dns.Spec.Selector},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		Ingress:     []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{fencePort(corev1.ProtocolUDP, 53), fencePort(corev1.ProtocolTCP, 53)}}},
		Egress:      []networkingv1.NetworkPolicyEgressRule{{}},
	}
	return remedy.Remedy{
		Title:   "Give CoreDNS a policy: lookups in, everything out",
		Why:     "CoreDNS asks the API server and the VPC's resolver. Its metrics (9153) stay closed; other pods without a policy stay cut off.",
		Risk:    remedy.Safe,
		Actions: remedy.Actions{remedy.CreateNetworkPolicy{Namespace: s.dns.Namespace, Name: name, Spec: spec}},
	}
}
