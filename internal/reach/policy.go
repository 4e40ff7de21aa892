package reach

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// A Peer is the other end of a pod's connection: another pod, or an address
// outside the cluster when Pod is nil.
type Peer struct {
	IP  netip.Addr
	Pod *corev1.Pod
}

func (p Peer) String() string {
	if p.Pod != nil {
		return "pod " + p.Pod.Namespace + "/" + p.Pod.Name
	}
	return p.IP.String()
}

// PolicyAdmits reports whether the NetworkPolicies let from connect to a port
// of the pod to, which is the number that the container listens on: policies
// see connections after the Service's address was translated.
func PolicyAdmits(policies []networkingv1.NetworkPolicy, namespaces []corev1.Namespace, to *corev1.Pod, from Peer, protocol string, port int32) Decision {
	p := policyQuestion{pod: to, peer: from, dest: to, protocol: protocol, port: port, namespaces: namespaceLabels{list: namespaces}, way: networkingv1.PolicyTypeIngress}
	return p.answer(isolating(policies, to, p.way))
}

// PolicyLetsOut reports whether the NetworkPolicies let the pod from connect
// to a port of to.
func PolicyLetsOut(policies []networkingv1.NetworkPolicy, namespaces []corev1.Namespace, from *corev1.Pod, to Peer, protocol string, port int32) Decision {
	p := policyQuestion{pod: from, peer: to, dest: to.Pod, protocol: protocol, port: port, namespaces: namespaceLabels{list: namespaces}, way: networkingv1.PolicyTypeEgress}
	return p.answer(isolating(policies, from, p.way))
}

// Isolates returns the policies that apply to a pod in one direction: without
// any, all is allowed. Pods on the host's network are not covered: what
// plugins do with them is not defined, and the VPC CNI does nothing.
func Isolates(policies []networkingv1.NetworkPolicy, pod *corev1.Pod, way networkingv1.PolicyType) []networkingv1.NetworkPolicy {
	var out []networkingv1.NetworkPolicy
	for _, c := range isolating(policies, pod, way) {
		out = append(out, *c.policy)
	}
	return out
}

func isolating(policies []networkingv1.NetworkPolicy, pod *corev1.Pod, way networkingv1.PolicyType) []*compiledPolicy {
	var out []*compiledPolicy
	for i := range policies {
		p := &policies[i]
		if p.Namespace != pod.Namespace || pod.Spec.HostNetwork || !slices.Contains(policyTypes(p), way) {
			continue
		}
		if newSelector(&p.Spec.PodSelector).match(pod.Labels) {
			out = append(out, compilePolicy(p))
		}
	}
	return out
}

// policyTypes are a policy's types with the default that the API documents:
// Ingress always, Egress when it has egress rules.
func policyTypes(p *networkingv1.NetworkPolicy) []networkingv1.PolicyType {
	switch {
	case len(p.Spec.PolicyTypes) > 0:
		return p.Spec.PolicyTypes
	case len(p.Spec.Egress) > 0:
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	default:
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	}
}

// A policyQuestion asks whether pod may talk with peer in one direction.
type policyQuestion struct {
	pod        *corev1.Pod
	peer       Peer
	dest       *corev1.Pod // whose named ports count; nil for an address
	protocol   string
	port       int32
	namespaces namespaceLabels
	way        networkingv1.PolicyType
}

// answer decides by the policies that isolate the pod.
func (q policyQuestion) answer(isolating []*compiledPolicy) Decision {
	switch {
	case len(isolating) == 0:
		return Decision{Allowed: true, Text: "no NetworkPolicy selects pod " + q.pod.Namespace + "/" + q.pod.Name + " for " + strings.ToLower(string(q.way))}
	case q.local():
		return Decision{Allowed: true, Text: "a pod, and the node that it runs on, always reach it"}
	}
	for _, p := range isolating {
		for i := range p.rules(q.way) {
			if r := &p.rules(q.way)[i]; q.matchesPeer(p.policy.Namespace, r.peers) && q.matchesPort(r.ports) {
				return Decision{Allowed: true, Rule: p.name, Text: r.text}
			}
		}
	}
	return Decision{Rule: isolating[0].name, Text: fmt.Sprintf("no %s rule of %s allows %s with %s",
		strings.ToLower(string(q.way)), policyNames(isolating), service(q.protocol, q.port), q.peer)}
}

// policyNames lists policies for people: all of them would hide the sentence.
func policyNames(list []*compiledPolicy) string {
	const most = 5
	var names []string
	for _, p := range list[:min(len(list), most)] {
		names = append(names, p.name)
	}
	s := strings.Join(names, ", ")
	if n := len(list) - most; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

// local reports whether the peer is the pod itself or its own node, which a
// policy cannot shut out.
func (q policyQuestion) local() bool {
	if q.peer.Pod != nil && !q.peer.Pod.Spec.HostNetwork {
		return q.peer.Pod.Namespace == q.pod.Namespace && q.peer.Pod.Name == q.pod.Name
	}
	host, err := netip.ParseAddr(q.pod.Status.HostIP)
	return err == nil && host == q.peer.IP.Unmap()
}

// matchesPeer reports whether one of peers is the other end; none named
// means everybody.
func (q policyQuestion) matchesPeer(namespace string, peers []compiledPeer) bool {
	if len(peers) == 0 {
		return true
	}
	return slices.ContainsFunc(peers, func(p compiledPeer) bool {
		if p.isBlock {
			return p.holds(q.peer.IP)
		}
		if q.peer.Pod == nil || q.peer.Pod.Spec.HostNetwork {
			return false
		}
		if p.namespaces == nil {
			return p.pods != nil && q.peer.Pod.Namespace == namespace && p.pods.match(q.peer.Pod.Labels)
		}
		return p.namespaces.match(q.namespaces.of(q.peer.Pod.Namespace)) && (p.pods == nil || p.pods.match(q.peer.Pod.Labels))
	})
}

// matchesPort reports whether one of ports is the one asked about; none named
// means all.
func (q policyQuestion) matchesPort(ports []compiledPort) bool {
	if len(ports) == 0 {
		return true
	}
	return slices.ContainsFunc(ports, func(p compiledPort) bool {
		switch {
		case !strings.EqualFold(string(p.protocol), q.protocol):
			return false
		case p.name != "":
			n, ok := NamedPort(q.dest, p.name, p.protocol)
			return ok && n == q.port
		default:
			return p.all || p.from <= q.port && q.port <= p.to
		}
	})
}
