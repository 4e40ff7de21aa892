package l4

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// NetworkPolicyHostNetwork recognises rules that admit pods on the host's
// network by labels, which no engine matches.
var NetworkPolicyHostNetwork = &diagnose.Check{
	ID:    "l4/networkpolicy-hostnetwork-not-covered",
	Title: "NetworkPolicy admits pods on the host's network by their labels",
	Doc: `A pod with hostNetwork has its node's address, and policies know pods by their own addresses: the selectors of a
rule never stand for it. Its connections come from the node. A node always reaches the pods that it runs itself, so the
fault shows between nodes only.

Recognised by an ingress rule with a peer that selects pods, all of them on the host's network, while one of them is kept
by all policies together from a Service's port on another node.

Looks alike: a selector that matches nothing; a policy for pods that are on the host's network themselves, which has no
effect and drops nothing.

Fix: admit the subnets of the nodes to that port. It admits every process on these nodes.`,
	Needs: fenceNeeds,
	Wants: append(fenceWants[:len(fenceWants):len(fenceWants)], facts.Subnets),
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-and-hostnetwork-pods",
		"https://github.com/aws/amazon-network-policy-controller-k8s",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		var cidrs []string
		for _, s := range facts.Subnets.In(v) {
			cidrs = append(cidrs, facts.Val(s.CidrBlock))
		}
		f := newFence(v)
		if f == nil {
			return nil
		}
		var found []diagnose.Finding
		for _, r := range f.all {
			if w, ok := f.hostPeers(r, cidrs); ok {
				found = append(found, f.finding(w, diagnose.Degraded, "admits by labels what is on the host's network",
					"a selector of pods with hostNetwork: true", "ipBlock of the nodes' subnets"))
			}
		}
		return perPolicy(found)
	},
}

// hostPeers finds a pod on the host's network that r means and that does not
// get through, and the rule that admits its nodes.
func (f *fence) hostPeers(r fenceRule, cidrs []string) (rightRule, bool) {
	if r.way != networkingv1.PolicyTypeIngress {
		return rightRule{}, false
	}
	for _, p := range r.peers {
		if !selectsPods(p) {
			continue
		}
		clients := f.peerPods(r.policy.Namespace, p)
		if len(clients) == 0 || slices.ContainsFunc(clients, func(c *corev1.Pod) bool { return !c.Spec.HostNetwork }) {
			continue
		}
		for _, to := range f.selected(r.policy) {
			for _, from := range clients {
				right := r
				right.peers = blocksOf(clients, cidrs)
				for _, o := range f.openings(to) {
					right.ports = []networkingv1.NetworkPolicyPort{fencePort(o.protocol, o.number)}
					if len(right.peers) > 0 && f.names(r, o, to) && f.opens(right, to, peerOf(from), o) {
						return rightRule{right, r, to, peerOf(from), o}, true
					}
				}
			}
		}
	}
	return rightRule{}, false
}

// names reports whether a rule's ports hold an open port of a pod.
func (f *fence) names(r fenceRule, o openPort, pod *corev1.Pod) bool {
	any := fenceRule{policy: r.policy, way: r.way, ports: r.ports}
	g := *f
	only := any.allow("x")
	g.set = f.set.Only(&only)
	d := g.between(r.way, pod, reach.Peer{IP: netip.IPv4Unspecified()}, o)
	return d.Allowed && d.Rule != ""
}

// blocksOf are the blocks that hold the addresses of pods.
func blocksOf(pods []*corev1.Pod, cidrs []string) []networkingv1.NetworkPolicyPeer {
	var in []string
	for _, p := range pods {
		block := fmt.Sprintf("%s/32", p.Status.PodIP)
		ip, err := netip.ParseAddr(p.Status.PodIP)
		if err != nil || ip.Is6() {
			continue
		}
		for _, c := range cidrs {
			if reach.Contains(c, ip) {
				block = c
			}
		}
		in = append(in, block)
	}
	slices.Sort(in)
	var out []networkingv1.NetworkPolicyPeer
	for _, c := range slices.Compact(in) {
		out = append(out, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: c}})
	}
	return out
}
