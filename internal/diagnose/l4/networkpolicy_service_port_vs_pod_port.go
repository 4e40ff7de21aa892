package l4

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// NetworkPolicyServicePort recognises rules that name a Service's port where
// the pods listen on another.
var NetworkPolicyServicePort = &diagnose.Check{
	ID:    "l4/networkpolicy-service-port-vs-pod-port",
	Title: "NetworkPolicy names the Service's port, and the pods listen on another",
	Doc: `Policies see a connection after the Service's address was translated: what counts is the port of the pod. A rule
for port 80 of a Service that sends to 8080 lets nothing through, and clients time out.

Recognised by a rule with a number that is a Service's port and no port of the pods that the rule is about, while somebody
whom the rule means is kept from the pods' port by all policies together. Of egress rules only those count that select
pods: a rule for 443 to anywhere means the world outside.

Looks alike: a Service whose targetPort is wrong (refused, not silent); a rule without ports, or with the pods' port
besides; pods that listen on both.

Fix: a policy of its own with the same peers and the pods' port.`,
	Needs: fenceNeeds,
	Wants: fenceWants,
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/network-policies/",
		"https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		f := newFence(v)
		if f == nil {
			return nil
		}
		var found []diagnose.Finding
		for _, r := range f.servicePortRules() {
			found = append(found, f.finding(r, diagnose.Outage,
				fmt.Sprintf("allows port %d, which is the Service's, where the pods listen on %d", r.port.Port, r.number),
				fmt.Sprintf("port %d", r.port.Port), fmt.Sprintf("port %d/%s", r.number, r.protocol)))
		}
		return perPolicy(found)
	},
}

// servicePortRules are the rules that name a Service's port by mistake.
func (f *fence) servicePortRules() []rightRule {
	var out []rightRule
	for _, r := range f.all {
		if r.way == networkingv1.PolicyTypeEgress && !slices.ContainsFunc(r.peers, selectsPods) {
			continue
		}
		for i, p := range r.ports {
			if p.Port == nil || p.Port.Type == intstr.String || p.EndPort != nil || f.anyListens(r, p.Port.IntVal) {
				continue
			}
			fits := func(o openPort, _ *corev1.Pod) bool {
				return o.port.Port == p.Port.IntVal && o.number != o.port.Port && o.protocol == cmp.Or(facts.Val(p.Protocol), corev1.ProtocolTCP)
			}
			if right, ok := f.corrected(r, i, fits); ok {
				out = append(out, right)
			}
		}
	}
	return out
}

func selectsPods(p networkingv1.NetworkPolicyPeer) bool {
	return p.PodSelector != nil && len(p.PodSelector.MatchLabels)+len(p.PodSelector.MatchExpressions) > 0
}

// corrected tries r with port i as each of the ports that fit.
func (f *fence) corrected(r fenceRule, i int, fits func(openPort, *corev1.Pod) bool) (rightRule, bool) {
	tried := map[int32]bool{}
	for _, server := range f.servers(r) {
		for _, o := range f.openings(server) {
			if tried[o.number] || !fits(o, server) {
				continue
			}
			tried[o.number] = true
			right := r
			right.ports = []networkingv1.NetworkPolicyPort{fencePort(cmp.Or(facts.Val(r.ports[i].Protocol), corev1.ProtocolTCP), o.number)}
			if w, ok := f.witness(r, right, func(x openPort, p *corev1.Pod) bool { return x.number == o.number && fits(x, p) }); ok {
				return w, true
			}
		}
	}
	return rightRule{}, false
}

// servers are the pods that connections which r allows would go to.
func (f *fence) servers(r fenceRule) []*corev1.Pod {
	if r.way == networkingv1.PolicyTypeIngress {
		return f.selected(r.policy)
	}
	var out []*corev1.Pod
	for _, p := range r.peers {
		out = append(out, f.peerPods(r.policy.Namespace, p)...)
	}
	return out
}

// anyListens reports whether a pod that r is about has a port: it declares
// it, or a Service sends there.
func (f *fence) anyListens(r fenceRule, n int32) bool {
	return slices.ContainsFunc(f.servers(r), func(p *corev1.Pod) bool {
		return declares(p, n) || slices.ContainsFunc(f.openings(p), func(o openPort) bool { return o.number == n })
	})
}
