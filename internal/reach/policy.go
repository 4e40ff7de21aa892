package reach

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
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
	p := policyQuestion{pod: to, peer: from, dest: to, protocol: protocol, port: port, namespaces: namespaces, way: networkingv1.PolicyTypeIngress}
	return p.answer(policies)
}

// PolicyLetsOut reports whether the NetworkPolicies let the pod from connect
// to a port of to.
func PolicyLetsOut(policies []networkingv1.NetworkPolicy, namespaces []corev1.Namespace, from *corev1.Pod, to Peer, protocol string, port int32) Decision {
	p := policyQuestion{pod: from, peer: to, dest: to.Pod, protocol: protocol, port: port, namespaces: namespaces, way: networkingv1.PolicyTypeEgress}
	return p.answer(policies)
}

// Isolates returns the policies that apply to a pod in one direction: without
// any, all is allowed. Pods on the host's network are not covered: what
// plugins do with them is not defined, and the VPC CNI does nothing.
func Isolates(policies []networkingv1.NetworkPolicy, pod *corev1.Pod, way networkingv1.PolicyType) []networkingv1.NetworkPolicy {
	var out []networkingv1.NetworkPolicy
	if pod.Spec.HostNetwork {
		return nil
	}
	for _, p := range policies {
		if p.Namespace == pod.Namespace && slices.Contains(policyTypes(p), way) && selects(&p.Spec.PodSelector, pod.Labels) {
			out = append(out, p)
		}
	}
	return out
}

// policyTypes are a policy's types with the default that the API documents:
// Ingress always, Egress when it has egress rules.
func policyTypes(p networkingv1.NetworkPolicy) []networkingv1.PolicyType {
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
	namespaces []corev1.Namespace
	way        networkingv1.PolicyType
}

func (q policyQuestion) answer(policies []networkingv1.NetworkPolicy) Decision {
	isolating := Isolates(policies, q.pod, q.way)
	switch {
	case len(isolating) == 0:
		return Decision{Allowed: true, Text: "no NetworkPolicy selects pod " + q.pod.Namespace + "/" + q.pod.Name + " for " + strings.ToLower(string(q.way))}
	case q.local():
		return Decision{Allowed: true, Text: "a pod, and the node that it runs on, always reach it"}
	}
	var names []string
	for _, p := range isolating {
		name := p.Namespace + "/" + p.Name
		for i, r := range rules(p, q.way) {
			if q.matchesPeer(p.Namespace, r.peers) && q.matchesPort(r.ports) {
				return Decision{Allowed: true, Rule: name, Text: fmt.Sprintf("%s: %s rule %d", name, strings.ToLower(string(q.way)), i+1)}
			}
		}
		names = append(names, name)
	}
	return Decision{Rule: names[0], Text: fmt.Sprintf("no %s rule of %s allows %s with %s",
		strings.ToLower(string(q.way)), strings.Join(names, ", "), service(q.protocol, q.port), q.peer)}
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

// A rule is an ingress or an egress rule.
type rule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

func rules(p networkingv1.NetworkPolicy, way networkingv1.PolicyType) []rule {
	var out []rule
	if way == networkingv1.PolicyTypeIngress {
		for _, r := range p.Spec.Ingress {
			out = append(out, rule{r.From, r.Ports})
		}
		return out
	}
	for _, r := range p.Spec.Egress {
		out = append(out, rule{r.To, r.Ports})
	}
	return out
}

// matchesPeer reports whether one of peers is the other end; none named
// means everybody.
func (q policyQuestion) matchesPeer(namespace string, peers []networkingv1.NetworkPolicyPeer) bool {
	if len(peers) == 0 {
		return true
	}
	return slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			return inBlock(*p.IPBlock, q.peer.IP)
		}
		if q.peer.Pod == nil || q.peer.Pod.Spec.HostNetwork {
			return false
		}
		if p.NamespaceSelector == nil {
			return p.PodSelector != nil && q.peer.Pod.Namespace == namespace && selects(p.PodSelector, q.peer.Pod.Labels)
		}
		return selects(p.NamespaceSelector, q.namespaceLabels(q.peer.Pod.Namespace)) &&
			(p.PodSelector == nil || selects(p.PodSelector, q.peer.Pod.Labels))
	})
}

// namespaceLabels returns a namespace's labels. The API server puts the name
// on each, so that much is known of one that was not read.
func (q policyQuestion) namespaceLabels(name string) map[string]string {
	for _, ns := range q.namespaces {
		if ns.Name == name {
			l := map[string]string{corev1.LabelMetadataName: name}
			for k, v := range ns.Labels {
				l[k] = v
			}
			return l
		}
	}
	return map[string]string{corev1.LabelMetadataName: name}
}

// matchesPort reports whether one of ports is the one asked about; none named
// means all.
func (q policyQuestion) matchesPort(ports []networkingv1.NetworkPolicyPort) bool {
	if len(ports) == 0 {
		return true
	}
	return slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		protocol := corev1.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		if !strings.EqualFold(string(protocol), q.protocol) {
			return false
		}
		switch {
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			n, ok := NamedPort(q.dest, p.Port.StrVal, protocol)
			return ok && n == q.port
		case p.EndPort != nil:
			return p.Port.IntVal <= q.port && q.port <= *p.EndPort
		default:
			return p.Port.IntVal == q.port
		}
	})
}

func inBlock(b networkingv1.IPBlock, ip netip.Addr) bool {
	return Contains(b.CIDR, ip) && !slices.ContainsFunc(b.Except, func(c string) bool { return Contains(c, ip) })
}

// selects reports whether a selector matches labels. An empty selector
// matches all; a malformed one, which the API server would refuse, nothing.
func selects(s *metav1.LabelSelector, l map[string]string) bool {
	sel, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(labels.Set(l))
}
