package reach

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Policies answers many questions about the same NetworkPolicies: it parses
// each once, and remembers which ones isolate a pod. It takes the rules to be
// enforced. It is for one goroutine.
type Policies struct {
	index *policyIndex
	known map[*corev1.Pod]sides
}

// NewPolicies keeps policies and namespaces, and expects that nobody changes
// them.
func NewPolicies(policies []networkingv1.NetworkPolicy, namespaces []corev1.Namespace) *Policies {
	return &Policies{newPolicyIndex(policies, namespaces), map[*corev1.Pod]sides{}}
}

// Only returns p as if policy were the only one.
func (p *Policies) Only(policy *networkingv1.NetworkPolicy) *Policies {
	by := map[string][]*compiledPolicy{policy.Namespace: {compilePolicy(policy)}}
	return &Policies{&policyIndex{by, p.index.namespaces}, map[*corev1.Pod]sides{}}
}

// Admits is PolicyAdmits.
func (p *Policies) Admits(to *corev1.Pod, from Peer, protocol string, port int32) Decision {
	q := policyQuestion{pod: to, peer: from, dest: to, protocol: protocol, port: port, namespaces: p.index.namespaces, way: networkingv1.PolicyTypeIngress}
	return q.answer(p.sides(to).ingress)
}

// LetsOut is PolicyLetsOut.
func (p *Policies) LetsOut(from *corev1.Pod, to Peer, protocol string, port int32) Decision {
	q := policyQuestion{pod: from, peer: to, dest: to.Pod, protocol: protocol, port: port, namespaces: p.index.namespaces, way: networkingv1.PolicyTypeEgress}
	return q.answer(p.sides(from).egress)
}

// Isolating is Isolates.
func (p *Policies) Isolating(pod *corev1.Pod, way networkingv1.PolicyType) []*networkingv1.NetworkPolicy {
	list := p.sides(pod).egress
	if way == networkingv1.PolicyTypeIngress {
		list = p.sides(pod).ingress
	}
	var out []*networkingv1.NetworkPolicy
	for _, c := range list {
		out = append(out, c.policy)
	}
	return out
}

func (p *Policies) sides(pod *corev1.Pod) sides {
	s, ok := p.known[pod]
	if !ok {
		s = p.index.sidesOf(pod)
		p.known[pod] = s
	}
	return s
}
