// Package differential compares internal/reach with cyclonus, a NetworkPolicy
// engine that others wrote: on the same policies both must answer alike. It is
// a module of its own, so that the product does not depend on cyclonus:
//
//	cd test/reach-differential && go test ./...
package differential

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/hopwise/hopwise/internal/reach"
)

const (
	worlds    = 4000 // sets of policies
	questions = 40   // asked of each
)

// Cyclonus refuses policies without types and does not know that a node always
// reaches its own pods: both are left out here and covered by the tests of
// internal/reach.
func TestAgreesWithCyclonus(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 13))
	allowed := 0
	for range worlds {
		g := generator{r}
		policies := g.policies()
		var list []*networkingv1.NetworkPolicy
		for i := range policies {
			list = append(list, &policies[i])
		}
		theirs := matcher.BuildNetworkPolicies(r.IntN(2) == 0, list)
		for range questions {
			q := g.question()
			want := theirs.IsTrafficAllowed(q.traffic()).IsAllowed()
			if got := q.ask(policies); got != want {
				b, _ := yaml.Marshal(policies)
				t.Fatalf("%+v: reach says %v, cyclonus %v\n%s", q, got, want, b)
			} else if got {
				allowed++
			}
		}
	}
	share := float64(allowed) / worlds / questions
	t.Logf("%d answers alike, %.0f %% of them allowed", worlds*questions, 100*share)
	if share < 0.1 || share > 0.9 {
		t.Errorf("%.0f %% allowed: the policies hardly differ", 100*share)
	}
}

var namespaces = []corev1.Namespace{
	{ObjectMeta: metav1.ObjectMeta{Name: "x", Labels: map[string]string{"ns": "x", "team": "red"}}},
	{ObjectMeta: metav1.ObjectMeta{Name: "y", Labels: map[string]string{"ns": "y", "team": "blue"}}},
	{ObjectMeta: metav1.ObjectMeta{Name: "z", Labels: map[string]string{"ns": "z"}}},
}

// pods are three in each namespace, each on a node of its own.
var pods = func() (out []*corev1.Pod) {
	for i, ns := range []string{"x", "y", "z"} {
		for j, name := range []string{"a", "b", "c"} {
			out = append(out, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"pod": name, "tier": []string{"front", "back"}[j%2]}},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
					{Name: "http", ContainerPort: 8080}, {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "alt", ContainerPort: 81}}}}},
				Status: corev1.PodStatus{PodIP: fmt.Sprintf("10.0.%d.%d", i, 10+j)},
			})
		}
	}
	return out
}()

// A question is one connection. An end without a pod is an address.
type question struct {
	from, to     *corev1.Pod
	fromIP, toIP string
	port         int32
	name         string
	protocol     corev1.Protocol
}

func (q question) String() string {
	end := func(p *corev1.Pod, ip string) string {
		if p == nil {
			return ip
		}
		return p.Namespace + "/" + p.Name
	}
	return fmt.Sprintf("%s to %s, %s %d", end(q.from, q.fromIP), end(q.to, q.toIP), q.protocol, q.port)
}

func (q question) traffic() *matcher.Traffic {
	peer := func(p *corev1.Pod, ip string) *matcher.TrafficPeer {
		if p == nil {
			return &matcher.TrafficPeer{IP: ip}
		}
		in := &matcher.InternalPeer{PodLabels: p.Labels, Namespace: p.Namespace}
		for _, ns := range namespaces {
			if ns.Name == p.Namespace {
				in.NamespaceLabels = ns.Labels
			}
		}
		return &matcher.TrafficPeer{IP: ip, Internal: in}
	}
	return &matcher.Traffic{Source: peer(q.from, q.fromIP), Destination: peer(q.to, q.toIP), ResolvedPort: int(q.port), ResolvedPortName: q.name, Protocol: q.protocol}
}

// ask is the answer of reach: out of the source and into the destination.
func (q question) ask(policies []networkingv1.NetworkPolicy) bool {
	from := reach.Peer{IP: netip.MustParseAddr(q.fromIP), Pod: q.from}
	to := reach.Peer{IP: netip.MustParseAddr(q.toIP), Pod: q.to}
	if q.from != nil && !reach.PolicyLetsOut(policies, namespaces, q.from, to, string(q.protocol), q.port).Allowed {
		return false
	}
	return q.to == nil || reach.PolicyAdmits(policies, namespaces, q.to, from, string(q.protocol), q.port).Allowed
}

// A generator makes policies and questions.
type generator struct{ *rand.Rand }

func pick[T any](g generator, list ...T) T { return list[g.IntN(len(list))] }

func (g generator) policies() []networkingv1.NetworkPolicy {
	var out []networkingv1.NetworkPolicy
	for i := range 1 + g.IntN(4) {
		p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: pick(g, "x", "y", "z"), Name: fmt.Sprint("p", i)}}
		p.Spec.PodSelector = g.selector("pod")
		p.Spec.PolicyTypes = pick(g, []networkingv1.PolicyType{"Ingress"}, []networkingv1.PolicyType{"Egress"}, []networkingv1.PolicyType{"Ingress", "Egress"})
		for range g.IntN(4) {
			p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: g.peers(), Ports: g.ports()})
		}
		for range g.IntN(4) {
			p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: g.peers(), Ports: g.ports()})
		}
		out = append(out, p)
	}
	return out
}

// selector is one about a pod's or a namespace's labels, of every form.
func (g generator) selector(of string) metav1.LabelSelector {
	key, values := "pod", []string{"a", "b", "c"}
	if of == "ns" {
		key, values = "ns", []string{"x", "y", "z"}
	}
	some := []string{pick(g, values...), pick(g, values...)}
	switch g.IntN(7) {
	case 0:
		return metav1.LabelSelector{MatchLabels: map[string]string{key: some[0]}}
	case 1:
		return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpIn, Values: some}}}
	case 2:
		return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpNotIn, Values: some}}}
	case 3:
		return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: pick(g, "team", "tier", "none"), Operator: metav1.LabelSelectorOpExists}}}
	case 4:
		return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: pick(g, "team", "tier", "none"), Operator: metav1.LabelSelectorOpDoesNotExist}}}
	case 5:
		return metav1.LabelSelector{MatchLabels: map[string]string{"tier": pick(g, "front", "back")}}
	default:
		return metav1.LabelSelector{}
	}
}

func (g generator) peers() []networkingv1.NetworkPolicyPeer {
	var out []networkingv1.NetworkPolicyPeer
	for range g.IntN(3) {
		podSelector, nsSelector := g.selector("pod"), g.selector("ns")
		switch g.IntN(4) {
		case 0:
			out = append(out, networkingv1.NetworkPolicyPeer{PodSelector: &podSelector})
		case 1:
			out = append(out, networkingv1.NetworkPolicyPeer{NamespaceSelector: &nsSelector})
		case 2:
			out = append(out, networkingv1.NetworkPolicyPeer{PodSelector: &podSelector, NamespaceSelector: &nsSelector})
		default:
			out = append(out, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{
				CIDR: pick(g, "0.0.0.0/0", "10.0.0.0/16", "10.0.1.0/24", "192.0.2.0/24"), Except: pick(g, nil, []string{"10.0.1.0/25"}, []string{"10.0.0.10/32", "192.0.2.128/25"})}})
		}
	}
	return out
}

func (g generator) ports() []networkingv1.NetworkPolicyPort {
	var out []networkingv1.NetworkPolicyPort
	for range g.IntN(3) {
		p := networkingv1.NetworkPolicyPort{Protocol: pick(g, nil, new(corev1.Protocol("TCP")), new(corev1.Protocol("UDP")))}
		switch g.IntN(4) {
		case 0:
			p.Port = new(intstr.FromInt32(pick[int32](g, 53, 81, 8080)))
		case 1:
			p.Port = new(intstr.FromString(pick(g, "http", "dns", "alt", "none")))
		case 2:
			p.Port, p.EndPort = new(intstr.FromInt32(pick[int32](g, 50, 81, 8000))), new(pick[int32](g, 90, 8080, 9000))
		}
		if p.EndPort != nil && *p.EndPort < p.Port.IntVal {
			p.EndPort = nil
		}
		out = append(out, p)
	}
	return out
}

func (g generator) question() question {
	var q question
	q.from, q.to = pick(g, pods...), pick(g, pods...)
	for q.from == q.to { // that a pod reaches itself is nothing that a policy says
		q.to = pick(g, pods...)
	}
	q.fromIP, q.toIP = q.from.Status.PodIP, q.to.Status.PodIP
	q.port, q.protocol, q.name = 8080, corev1.ProtocolTCP, "http"
	switch g.IntN(4) {
	case 0:
		q.port, q.protocol, q.name = 53, corev1.ProtocolUDP, "dns"
	case 1:
		q.port, q.name = 81, "alt"
	case 2:
		q.port, q.name = 9000, "" // no container port
	}
	switch outside := pick(g, "192.0.2.7", "192.0.2.200", "10.0.1.99"); g.IntN(6) {
	case 0:
		q.from, q.fromIP = nil, outside
	case 1:
		q.to, q.toIP, q.name = nil, outside, ""
	}
	return q
}
