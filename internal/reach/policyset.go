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

// A compiledPolicy is a NetworkPolicy whose selectors and blocks were parsed
// once.
type compiledPolicy struct {
	policy          *networkingv1.NetworkPolicy
	name            string // namespace/name
	pods            *selector
	in, out         bool // it isolates for ingress, for egress
	ingress, egress []compiledRule
}

// A compiledRule is an ingress or an egress rule.
type compiledRule struct {
	peers []compiledPeer
	ports []compiledPort
	text  string // "namespace/name: ingress rule 1"
}

type compiledPeer struct {
	isBlock          bool
	block            netip.Prefix // invalid: holds nothing
	except           []netip.Prefix
	namespaces, pods *selector // nil: not given
}

type compiledPort struct {
	protocol corev1.Protocol
	name     string
	all      bool
	from, to int32
}

func compilePolicy(p *networkingv1.NetworkPolicy) *compiledPolicy {
	c := &compiledPolicy{policy: p, name: p.Namespace + "/" + p.Name, pods: newSelector(&p.Spec.PodSelector)}
	types := policyTypes(p)
	c.in, c.out = slices.Contains(types, networkingv1.PolicyTypeIngress), slices.Contains(types, networkingv1.PolicyTypeEgress)
	for i, r := range p.Spec.Ingress {
		c.ingress = append(c.ingress, compileRule(r.From, r.Ports, fmt.Sprintf("%s: ingress rule %d", c.name, i+1)))
	}
	for i, r := range p.Spec.Egress {
		c.egress = append(c.egress, compileRule(r.To, r.Ports, fmt.Sprintf("%s: egress rule %d", c.name, i+1)))
	}
	return c
}

// isolates reports whether the policy applies to a pod of its namespace.
func (c *compiledPolicy) isolates(pod *corev1.Pod, way networkingv1.PolicyType) bool {
	on := c.in
	if way == networkingv1.PolicyTypeEgress {
		on = c.out
	}
	return on && c.pods.match(pod.Labels)
}

func (c *compiledPolicy) rules(way networkingv1.PolicyType) []compiledRule {
	if way == networkingv1.PolicyTypeIngress {
		return c.ingress
	}
	return c.egress
}

func compileRule(peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, text string) compiledRule {
	r := compiledRule{text: text}
	for _, p := range peers {
		r.peers = append(r.peers, compilePeer(p))
	}
	for _, p := range ports {
		r.ports = append(r.ports, compilePort(p))
	}
	return r
}

func compilePeer(p networkingv1.NetworkPolicyPeer) compiledPeer {
	if p.IPBlock == nil {
		var c compiledPeer
		if p.NamespaceSelector != nil {
			c.namespaces = newSelector(p.NamespaceSelector)
		}
		if p.PodSelector != nil {
			c.pods = newSelector(p.PodSelector)
		}
		return c
	}
	c := compiledPeer{isBlock: true}
	c.block, _ = netip.ParsePrefix(p.IPBlock.CIDR)
	for _, e := range p.IPBlock.Except {
		if x, err := netip.ParsePrefix(e); err == nil {
			c.except = append(c.except, x)
		}
	}
	return c
}

// holds reports whether an ipBlock is about ip.
func (p compiledPeer) holds(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsValid() && p.block.IsValid() && p.block.Contains(ip) &&
		!slices.ContainsFunc(p.except, func(e netip.Prefix) bool { return e.Contains(ip) })
}

func compilePort(p networkingv1.NetworkPolicyPort) compiledPort {
	c := compiledPort{protocol: corev1.ProtocolTCP}
	if p.Protocol != nil {
		c.protocol = *p.Protocol
	}
	switch {
	case p.Port == nil:
		c.all = true
	case p.Port.Type == intstr.String:
		c.name = p.Port.StrVal
		if c.name == "" { // the API server refuses it: it names no port
			c.from, c.to = 1, 0
		}
	default:
		c.from, c.to = p.Port.IntVal, p.Port.IntVal
		if p.EndPort != nil {
			c.to = *p.EndPort
		}
	}
	return c
}

// A selector is a label selector. One that is malformed, which the API server
// would refuse, matches nothing.
type selector struct {
	equal map[string]string // matchLabels alone, the usual case
	full  labels.Selector   // when there are expressions
}

func newSelector(s *metav1.LabelSelector) *selector {
	full, err := metav1.LabelSelectorAsSelector(s)
	switch {
	case err != nil:
		return &selector{full: labels.Nothing()}
	case len(s.MatchExpressions) == 0:
		return &selector{equal: s.MatchLabels}
	}
	return &selector{full: full}
}

func (s *selector) match(l map[string]string) bool {
	if s.full != nil {
		return s.full.Matches(labels.Set(l))
	}
	for k, v := range s.equal {
		if got, ok := l[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// byName reports whether a selector of namespaces can be answered without
// their labels: it names them, or takes all.
func (s *selector) byName() bool {
	if s.full != nil {
		return false
	}
	for k := range s.equal {
		if k != corev1.LabelMetadataName {
			return false
		}
	}
	return true
}

// namespaceLabels are the labels of namespaces: by name when many questions
// are asked of them, else a list.
type namespaceLabels struct {
	by   map[string]map[string]string
	list []corev1.Namespace
}

func indexLabels(list []corev1.Namespace) namespaceLabels {
	n := namespaceLabels{by: make(map[string]map[string]string, len(list))}
	for i := range list {
		n.by[list[i].Name] = labelsWithName(&list[i])
	}
	return n
}

// of returns a namespace's labels. The API server puts the name on each, so
// that much is known of one that was not read.
func (n namespaceLabels) of(name string) map[string]string {
	if l := n.by[name]; l != nil {
		return l
	}
	for i := range n.list {
		if n.list[i].Name == name {
			return labelsWithName(&n.list[i])
		}
	}
	return map[string]string{corev1.LabelMetadataName: name}
}

func labelsWithName(ns *corev1.Namespace) map[string]string {
	if ns.Labels[corev1.LabelMetadataName] != "" {
		return ns.Labels
	}
	l := map[string]string{corev1.LabelMetadataName: ns.Name}
	for k, v := range ns.Labels {
		l[k] = v
	}
	return l
}

// A policyIndex has the policies of a cluster by namespace.
type policyIndex struct {
	by         map[string][]*compiledPolicy
	namespaces namespaceLabels
}

func newPolicyIndex(policies []networkingv1.NetworkPolicy, namespaces []corev1.Namespace) *policyIndex {
	ix := &policyIndex{by: map[string][]*compiledPolicy{}, namespaces: indexLabels(namespaces)}
	for i := range policies {
		ns := policies[i].Namespace
		ix.by[ns] = append(ix.by[ns], compilePolicy(&policies[i]))
	}
	return ix
}

// sides are the policies that isolate a pod.
type sides struct{ ingress, egress []*compiledPolicy }

// sidesOf finds the policies that isolate a pod: none on the host's network.
func (ix *policyIndex) sidesOf(pod *corev1.Pod) (s sides) {
	if pod.Spec.HostNetwork {
		return s
	}
	for _, c := range ix.by[pod.Namespace] {
		if c.isolates(pod, networkingv1.PolicyTypeIngress) {
			s.ingress = append(s.ingress, c)
		}
		if c.isolates(pod, networkingv1.PolicyTypeEgress) {
			s.egress = append(s.egress, c)
		}
	}
	return s
}

// isolating returns the policies that isolate a pod in one direction; what it
// found is kept, as a pod is asked about with many peers.
func (ix *index) isolating(pod *corev1.Pod, way networkingv1.PolicyType) []*compiledPolicy {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	s := ix.sides[pod]
	if s == nil {
		found := ix.policies.sidesOf(pod)
		s = &found
		ix.sides[pod] = s
	}
	if way == networkingv1.PolicyTypeIngress {
		return s.ingress
	}
	return s.egress
}

// filter asks the policies of one side of a connection.
func (ix *index) filter(q policyQuestion) Decision {
	switch {
	case q.pod.Spec.HostNetwork:
		return Decision{Allowed: true, Text: "a pod on its host's network is not covered by NetworkPolicies"}
	case ix.NetworkPolicies == nil:
		return Decision{Undecided: true, Text: "the NetworkPolicies are not known"}
	}
	isolating := ix.isolating(q.pod, q.way)
	q.namespaces = ix.policies.namespaces
	d := q.answer(isolating)
	switch {
	case len(isolating) == 0:
		return d
	case ix.engineOK && ix.engine == "":
		return Decision{Allowed: true, Text: fmt.Sprintf("nothing in the cluster enforces NetworkPolicies, so %s has no effect", policyNames(isolating))}
	case ix.engine == "VPC CNI" && strings.HasPrefix(q.pod.Spec.NodeName, "fargate-"):
		return Decision{Allowed: true, Text: fmt.Sprintf("the VPC CNI does not enforce NetworkPolicies on Fargate, so %s has no effect", policyNames(isolating))}
	case ix.Namespaces == nil && q.peer.Pod != nil && !q.local() && needsLabels(isolating, q.way):
		return Decision{Undecided: true, Rule: d.Rule, Text: "the labels of the namespaces, by which " + policyNames(isolating) + " decides, are not known"}
	case !ix.engineOK && d.Blocked():
		return Decision{Undecided: true, Rule: d.Rule, Text: d.Text + "; whether anything enforces it is not known"}
	}
	return d
}

// needsLabels reports whether a rule selects namespaces by more than their
// names.
func needsLabels(list []*compiledPolicy, way networkingv1.PolicyType) bool {
	return slices.ContainsFunc(list, func(c *compiledPolicy) bool {
		return slices.ContainsFunc(c.rules(way), func(r compiledRule) bool {
			return slices.ContainsFunc(r.peers, func(p compiledPeer) bool { return p.namespaces != nil && !p.namespaces.byName() })
		})
	})
}
