package dns

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// isolation reports whether policies look as if their pods were meant to send
// nothing by name: each is for some pods only, and what it allows, if
// anything, is reached by address or is the same pods.
func isolation(policies []networkingv1.NetworkPolicy) bool {
	for _, p := range policies {
		if wide(p) {
			return false
		}
		for _, rule := range p.Spec.Egress {
			if len(rule.To) == 0 || slices.ContainsFunc(rule.To, func(peer networkingv1.NetworkPolicyPeer) bool { return byName(p, peer) }) {
				return false
			}
		}
	}
	return true
}

// byName reports whether peer is one that programs find by a name: anything
// but a single address or the policy's own pods.
func byName(p networkingv1.NetworkPolicy, peer networkingv1.NetworkPolicyPeer) bool {
	if peer.IPBlock != nil {
		prefix, err := netip.ParsePrefix(peer.IPBlock.CIDR)
		return err == nil && !prefix.IsSingleIP()
	}
	return peer.NamespaceSelector != nil || peer.PodSelector == nil || !reflect.DeepEqual(*peer.PodSelector, p.Spec.PodSelector)
}

// deliberate reports whether b looks wanted and does no harm that shows: all
// its pods are ready.
func (b *block) deliberate() bool {
	return b.meant && !slices.ContainsFunc(b.clients, func(c client) bool { return !reach.Ready(c.pod) })
}

// named reports whether the question is about the policy, or pods that it
// holds for: by their namespace, their own name or their workload's.
func (b *block) named(t facts.Target) bool {
	if t.IsZero() {
		return false
	}
	if t.Matches(ref(facts.NetworkPolicies.Kind(), b.policy.Namespace, b.policy.Name)) {
		return true
	}
	return slices.ContainsFunc(b.clients, func(c client) bool {
		return t.Matches(ref(facts.Pods.Kind(), c.pod.Namespace, c.pod.Name)) ||
			t.Name != "" && (t.Namespace == "" || t.Namespace == c.pod.Namespace) && (c.pod.Namespace == t.Name || strings.HasPrefix(c.pod.Name, t.Name+"-"))
	})
}

// remedy allows DNS for the pods that the policy isolates: a policy of its
// own for the same pods, so that it isolates none that was free.
func (b *block) remedy(r *resolver, taken map[string]bool) remedy.Remedy {
	spec := networkingv1.NetworkPolicySpec{PodSelector: b.policy.Spec.PodSelector, PolicyTypes: b.ways}
	title := "Let pods of all namespaces ask CoreDNS"
	if slices.Contains(b.ways, networkingv1.PolicyTypeEgress) {
		title = fmt.Sprintf("Allow DNS for the pods that NetworkPolicy %s/%s isolates", b.policy.Namespace, b.policy.Name)
		spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: r.peers(), Ports: dnsPorts()}}
	}
	if slices.Contains(b.ways, networkingv1.PolicyTypeIngress) {
		spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{
			From:  []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}},
			Ports: dnsPorts(),
		}}
	}
	return remedy.Remedy{
		Title:   title,
		Why:     "Policies add up: the new one allows UDP and TCP 53 and takes nothing away; all else stays as restricted as it is.",
		Risk:    remedy.Safe,
		Actions: remedy.Actions{remedy.CreateNetworkPolicy{Namespace: b.policy.Namespace, Name: freeName(taken, b.policy.Namespace), Spec: spec}},
	}
}

// peers are where lookups go: the CoreDNS pods, and the cache on the node.
func (r *resolver) peers() []networkingv1.NetworkPolicyPeer {
	to := []networkingv1.NetworkPolicyPeer{{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: system}},
		PodSelector:       &metav1.LabelSelector{MatchLabels: r.labels},
	}}
	if r.cached {
		to = append(to, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: nodeLocal + "/32"}})
	}
	return to
}

// freeName is a name that no policy of the namespace has or is proposed with.
func freeName(taken map[string]bool, namespace string) string {
	name := "hopwise-allow-dns"
	for i := 2; taken[namespace+"/"+name]; i++ {
		name = fmt.Sprintf("hopwise-allow-dns-%d", i)
	}
	taken[namespace+"/"+name] = true
	return name
}

func dnsPorts() []networkingv1.NetworkPolicyPort {
	udp, tcp, port := corev1.ProtocolUDP, corev1.ProtocolTCP, intstr.FromInt32(53)
	return []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &port}, {Protocol: &tcp, Port: &port}}
}
