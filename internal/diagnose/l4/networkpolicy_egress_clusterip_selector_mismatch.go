package l4

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// NetworkPolicyClusterIP recognises egress rules that the VPC CNI's agent
// does not extend to the Service in front of the pods.
var NetworkPolicyClusterIP = &diagnose.Check{
	ID:    "l4/networkpolicy-egress-clusterip-selector-mismatch",
	Title: "Egress rule allows the pods and not the Service in front of them",
	Doc: `The VPC CNI's agent judges what leaves a pod before a Service's address is translated. Its controller therefore adds,
to an egress rule for pods, the ClusterIPs of the Services whose selector satisfies the rule's podSelector. A rule that
asks for a label which the pods have and the Service's selector does not name misses them: the pods' own addresses
answer, the Service's times out. Other engines judge after the translation and do not care.

Recognised, with the VPC CNI, by an egress rule with labels that lets a pod out to the pods of a Service, while neither
this rule nor another one of the pod's policies stands for the ClusterIP of any Service in front of them.

Looks alike: no rule for the pods at all; the Service's port in the place of the pods'; headless Services, which have no
address of their own.

Fix: a policy of its own that names the pods by the Service's selector.`,
	Needs: fenceNeeds,
	Wants: fenceWants,
	Sources: []string{
		"https://github.com/aws/amazon-network-policy-controller-k8s/blob/main/pkg/resolvers/endpoints.go",
		"https://github.com/aws/amazon-vpc-cni-k8s/blob/master/docs/network-policy-faq.md",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		f := newFence(v)
		if f == nil || f.engine != vpcCNI {
			return nil
		}
		var found []diagnose.Finding
		for _, r := range f.all {
			if r.way != networkingv1.PolicyTypeEgress {
				continue
			}
			for _, p := range r.peers {
				if w, ok := f.missedService(r, p); ok {
					found = append(found, f.finding(w, diagnose.Outage, fmt.Sprintf("allows pods by %s, which Service %s/%s does not select by, so its ClusterIP is not allowed", selectorText(p.PodSelector), w.service.Namespace, w.service.Name),
						"podSelector "+selectorText(p.PodSelector), "labels of the Service's selector, "+pairs(w.service.Spec.Selector)))
				}
			}
		}
		return perPolicy(found)
	},
}

func selectorText(s *metav1.LabelSelector) string { return metav1.FormatLabelSelector(s) }

// missedService finds a Service in front of the pods that a peer of r allows
// whose address no rule stands for.
func (f *fence) missedService(r fenceRule, peer networkingv1.NetworkPolicyPeer) (rightRule, bool) {
	clients := f.selected(r.policy)
	if !selectsPods(peer) || len(clients) == 0 {
		return rightRule{}, false
	}
	for _, to := range f.peerPods(r.policy.Namespace, peer) {
		var missed []openPort
		for _, o := range f.openings(to) {
			ip, err := netip.ParseAddr(o.service.Spec.ClusterIP)
			switch {
			case err != nil || !f.lets(r, clients[0], to, o):
			case f.standsFor(clients[0], ip, o):
				return rightRule{}, false // one Service in front of them works
			default:
				missed = append(missed, o)
			}
		}
		if len(missed) == 0 {
			continue
		}
		o := missed[0]
		right := r
		fixed := networkingv1.NetworkPolicyPeer{NamespaceSelector: peer.NamespaceSelector, PodSelector: &metav1.LabelSelector{MatchLabels: o.service.Spec.Selector}}
		if fixed.NamespaceSelector != nil {
			fixed.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: o.service.Namespace}}
		}
		right.peers, right.ports = []networkingv1.NetworkPolicyPeer{fixed}, []networkingv1.NetworkPolicyPort{fencePort(o.protocol, o.number)}
		return rightRule{right, r, clients[0], peerOf(to), o}, true
	}
	return rightRule{}, false
}

// lets reports whether r by itself lets a pod out to another's open port.
func (f *fence) lets(r fenceRule, c, to *corev1.Pod, o openPort) bool {
	g := *f
	only := r.allow("x")
	g.set = f.set.Only(&only)
	d := g.between(r.way, c, peerOf(to), o)
	return d.Allowed && d.Rule != ""
}

// standsFor reports whether one of the rules that hold for a pod stands for a
// Service's address: by a block, by having no peers, or by a selector that
// the Service's own satisfies.
func (f *fence) standsFor(c *corev1.Pod, ip netip.Addr, o openPort) bool {
	return slices.ContainsFunc(f.all, func(r fenceRule) bool {
		if r.way != networkingv1.PolicyTypeEgress || r.policy.Namespace != c.Namespace || !selectorMatches(&r.policy.Spec.PodSelector, c.Labels) {
			return false
		}
		return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(p networkingv1.NetworkPolicyPeer) bool {
			switch {
			case p.IPBlock != nil:
				return reach.Contains(p.IPBlock.CIDR, ip) && !slices.ContainsFunc(p.IPBlock.Except, func(x string) bool { return reach.Contains(x, ip) })
			case p.NamespaceSelector == nil && o.service.Namespace != r.policy.Namespace, p.NamespaceSelector != nil && !selectorMatches(p.NamespaceSelector, f.nsLabels[o.service.Namespace]):
				return false
			}
			return selectorMatches(cmp.Or(p.PodSelector, &metav1.LabelSelector{}), o.service.Spec.Selector)
		})
	})
}
