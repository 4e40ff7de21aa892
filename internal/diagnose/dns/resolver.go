package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// nodeLocal is the address at which NodeLocal DNSCache listens on every node
// (kubernetes/dns, the default of its manifest).
const nodeLocal = "169.254.20.10"

// A resolver is CoreDNS as the pods' policies see it.
type resolver struct {
	engine     string // what enforces policies; "" when nothing does
	policies   map[string][]networkingv1.NetworkPolicy
	namespaces []corev1.Namespace
	labels     map[string]string // of the CoreDNS pods
	pods       []corev1.Pod      // CoreDNS, those with an address
	other      []netip.Addr      // where lookups may go instead: ClusterIPs, the cache on the node
	cached     bool              // NodeLocal DNSCache stands between
	known      map[string]client // what was found of pods alike
}

func newResolver(v *facts.View) *resolver {
	r := &resolver{
		engine:     reach.PolicyEngine(facts.DaemonSets.In(v), facts.Addons.In(v)),
		policies:   map[string][]networkingv1.NetworkPolicy{},
		namespaces: facts.Namespaces.In(v),
		labels:     resolverLabels,
		known:      map[string]client{},
	}
	for _, p := range facts.NetworkPolicies.In(v) {
		r.policies[p.Namespace] = append(r.policies[p.Namespace], p)
	}
	for _, ps := range r.policies {
		slices.SortFunc(ps, func(a, b networkingv1.NetworkPolicy) int {
			return cmp.Or(boolOrder(wide(b), wide(a)), cmp.Compare(a.Name, b.Name))
		})
	}
	for _, s := range facts.Services.In(v) {
		if s.Namespace != system || s.Name != service {
			continue
		}
		if len(s.Spec.Selector) > 0 {
			r.labels = s.Spec.Selector
		}
		for _, ip := range slices.Concat(s.Spec.ClusterIPs, []string{s.Spec.ClusterIP}) {
			r.add(ip)
		}
	}
	for _, d := range facts.DaemonSets.In(v) {
		if strings.HasPrefix(d.Name, "node-local-dns") || strings.HasPrefix(d.Name, "nodelocaldns") {
			r.cached = true
			r.add(nodeLocal)
		}
	}
	sel := labels.SelectorFromSet(r.labels)
	for _, p := range facts.Pods.In(v) {
		if p.Namespace == system && sel.Matches(labels.Set(p.Labels)) && p.Status.PodIP != "" && !reach.Finished(&p) && p.DeletionTimestamp == nil {
			r.pods = append(r.pods, p)
		}
	}
	return r
}

func (r *resolver) add(ip string) {
	if a, err := netip.ParseAddr(ip); err == nil {
		r.other = append(r.other, a)
	}
}

// wide reports whether p selects every pod of its namespace.
func wide(p networkingv1.NetworkPolicy) bool {
	return len(p.Spec.PodSelector.MatchLabels) == 0 && len(p.Spec.PodSelector.MatchExpressions) == 0
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// asks reports whether p sends its lookups to CoreDNS, as a pod that policies
// hold for.
func asks(p *corev1.Pod) bool {
	switch {
	case p.Spec.HostNetwork, reach.Finished(p), p.DeletionTimestamp != nil:
		return false
	case p.Spec.DNSPolicy == corev1.DNSDefault, p.Spec.DNSPolicy == corev1.DNSNone:
		return false
	case p.Labels["eks.amazonaws.com/fargate-profile"] != "":
		return false // no agent enforces policies there
	}
	return true
}

// A client is a pod and what its policies leave it.
type client struct {
	pod      *corev1.Pod
	udp, tcp int // how many of the CoreDNS pods it reaches
	of       int // CoreDNS pods
	text     string
}

// lets asks, for one protocol and each CoreDNS pod, whether c's lookups pass.
func (r *resolver) lets(protocol string, decide func(to reach.Peer) reach.Decision) (passed int, text string) {
	for i := range r.pods {
		ip, _ := netip.ParseAddr(r.pods[i].Status.PodIP)
		if d := decide(reach.Peer{IP: ip, Pod: &r.pods[i]}); d.Allowed {
			passed++
		} else if text == "" {
			text = d.Text
		}
	}
	return passed, text
}

// out is what the policies that isolate p let out to CoreDNS. A rule that
// names the ClusterIP of kube-dns, or the cache, counts as well: the VPC CNI
// judges a connection before the Service's address is translated, others
// after, and neither is certain enough to raise an alarm.
func (r *resolver) out(p *corev1.Pod) client {
	c := client{pod: p, of: len(r.pods)}
	for _, protocol := range []string{"udp", "tcp"} {
		ask := func(to reach.Peer) reach.Decision {
			return reach.PolicyLetsOut(r.policies[p.Namespace], r.namespaces, p, to, protocol, 53)
		}
		n, text := r.lets(protocol, ask)
		for _, ip := range r.other {
			if ask(reach.Peer{IP: ip}).Allowed {
				n = c.of
			}
		}
		c.set(protocol, n, text)
	}
	return c
}

// in is what the policies that isolate CoreDNS let in from p.
func (r *resolver) in(p *corev1.Pod) client {
	c := client{pod: p, of: len(r.pods)}
	ip, _ := netip.ParseAddr(p.Status.PodIP)
	for _, protocol := range []string{"udp", "tcp"} {
		n, text := r.lets(protocol, func(to reach.Peer) reach.Decision {
			return reach.PolicyAdmits(r.policies[system], r.namespaces, to.Pod, reach.Peer{IP: ip, Pod: p}, protocol, 53)
		})
		c.set(protocol, n, text)
	}
	return c
}

func (c *client) set(protocol string, n int, text string) {
	if protocol == "udp" {
		c.udp = n
	} else {
		c.tcp = n
	}
	if c.text == "" && n < c.of {
		c.text = text
	}
}

// cut reports whether c reaches not all of CoreDNS.
func (c client) cut() bool { return c.udp < c.of || c.tcp < c.of }

// A block is one policy and the pods that it keeps from CoreDNS.
type block struct {
	policy  networkingv1.NetworkPolicy
	ways    []networkingv1.PolicyType // the directions in which it does
	clients []client                  // once for each direction
	// meant: the policies of all clients look as if somebody wanted them
	// to send nothing at all.
	meant bool
}

// blocks returns the policies that keep pods from CoreDNS. A pod that several
// isolate counts for the one that selects its whole namespace, else for the
// first by name.
func blocks(r *resolver, pods []corev1.Pod) []*block {
	var out []*block
	add := func(policy networkingv1.NetworkPolicy, way networkingv1.PolicyType, c client, meant bool) {
		i := slices.IndexFunc(out, func(b *block) bool {
			return b.policy.Namespace == policy.Namespace && b.policy.Name == policy.Name
		})
		if i < 0 {
			i, out = len(out), append(out, &block{policy: policy, meant: true})
		}
		if !slices.Contains(out[i].ways, way) {
			out[i].ways = append(out[i].ways, way)
		}
		out[i].clients = append(out[i].clients, c)
		out[i].meant = out[i].meant && meant
	}
	atCoreDNS := r.guards()
	for i := range pods {
		p := &pods[i]
		if !asks(p) {
			continue
		}
		if own := reach.Isolates(r.policies[p.Namespace], p, networkingv1.PolicyTypeEgress); len(own) > 0 {
			if c := r.alike("out", p, r.out); c.cut() {
				add(own[0], networkingv1.PolicyTypeEgress, c, isolation(own))
			}
		}
		if len(atCoreDNS) > 0 && !r.cached {
			if c := r.alike("in", p, r.in); c.cut() {
				add(atCoreDNS[0], networkingv1.PolicyTypeIngress, c, false)
			}
		}
	}
	return out
}

// alike asks once for all pods of a namespace with the same labels: replicas
// are many, and policies tell pods apart by labels, those of CoreDNS also by
// their clients' addresses.
func (r *resolver) alike(way string, p *corev1.Pod, ask func(*corev1.Pod) client) client {
	key := way + " " + p.Namespace + " " + labels.Set(p.Labels).String()
	if way == "in" && r.byAddress() {
		key += " " + p.Status.PodIP
	}
	c, ok := r.known[key]
	if !ok {
		c = ask(p)
		r.known[key] = c
	}
	c.pod = p
	return c
}

// byAddress reports whether policies of kube-system name address blocks.
func (r *resolver) byAddress() bool {
	for _, p := range r.policies[system] {
		for _, rule := range p.Spec.Ingress {
			if slices.ContainsFunc(rule.From, func(peer networkingv1.NetworkPolicyPeer) bool { return peer.IPBlock != nil }) {
				return true
			}
		}
	}
	return false
}

// guards are the policies that isolate CoreDNS pods for ingress.
func (r *resolver) guards() []networkingv1.NetworkPolicy {
	for i := range r.pods {
		if ps := reach.Isolates(r.policies[system], &r.pods[i], networkingv1.PolicyTypeIngress); len(ps) > 0 {
			return ps
		}
	}
	return nil
}
