package l4

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// fenceNeeds are the facts without which nothing can be said of policies;
// fenceWants tell more of what enforces them and of who uses a Service.
var (
	fenceNeeds = []facts.Need{facts.NetworkPolicies, facts.Pods, facts.Namespaces, facts.Services, facts.DaemonSets}
	fenceWants = []facts.Need{facts.Addons, facts.ConfigMaps, facts.Ingresses, facts.TargetGroupBindings}
)

// vpcCNI is what reach calls the VPC CNI's own policy agent.
const vpcCNI = "VPC CNI"

// enforcer is what enforces NetworkPolicies, "" when nothing does. The VPC
// CNI's agent does what the controller tells it, which a ConfigMap can switch
// off by itself.
func enforcer(v *facts.View) string {
	engine := reach.PolicyEngine(facts.DaemonSets.In(v), facts.Addons.In(v))
	if on, known := controllerOn(facts.ConfigMaps.In(v)); engine == vpcCNI && known && !on {
		return ""
	}
	return engine
}

// controllerOn reports what ConfigMap amazon-vpc-cni says of the controller
// that turns NetworkPolicies into work for the agents.
func controllerOn(maps []corev1.ConfigMap) (on, known bool) {
	for _, m := range maps {
		if m.Namespace == "kube-system" && m.Name == "amazon-vpc-cni" {
			value, ok := m.Data["enable-network-policy-controller"]
			return value == "true", ok
		}
	}
	return false, false
}

// A fence is the NetworkPolicies that are enforced, with the pods that they
// stand between.
type fence struct {
	engine     string
	target     facts.Target
	policies   []networkingv1.NetworkPolicy
	set        *reach.Policies
	namespaces []corev1.Namespace
	nsLabels   map[string]map[string]string // of namespaces, with the name that the API server puts on each
	pods       []*corev1.Pod                // with an address; of those alike, two on different nodes
	podsIn     map[string][]*corev1.Pod     // pods by namespace
	all        []fenceRule
	rulesIn    map[string][]fenceRule // all by namespace
	open       map[*corev1.Pod][]openPort
	alone      map[isolation]bool                           // answers of isolated
	labelled   map[isolation][]func(map[string]string) bool // answers of byLabels
	services   []corev1.Service
	users      map[*corev1.Service][]facts.Ref
	taken      map[string]bool // names of policies, as namespace/name
}

// newFence returns nil when nothing enforces policies or there are none.
func newFence(v *facts.View) *fence {
	f := &fence{
		engine: enforcer(v), target: v.Target(), policies: facts.NetworkPolicies.In(v), namespaces: facts.Namespaces.In(v), services: facts.Services.In(v),
		users: map[*corev1.Service][]facts.Ref{}, taken: map[string]bool{}, open: map[*corev1.Pod][]openPort{}, alone: map[isolation]bool{}, labelled: map[isolation][]func(map[string]string) bool{}, nsLabels: map[string]map[string]string{},
	}
	f.pods, f.podsIn, f.rulesIn = alike(facts.Pods.In(v)), map[string][]*corev1.Pod{}, map[string][]fenceRule{}
	for _, p := range f.pods {
		f.podsIn[p.Namespace] = append(f.podsIn[p.Namespace], p)
	}
	for _, p := range f.policies {
		f.taken[p.Namespace+"/"+p.Name] = true
	}
	ingresses, bindings := facts.Ingresses.In(v), facts.TargetGroupBindings.In(v)
	for _, ns := range f.namespaces {
		f.nsLabels[ns.Name] = map[string]string{corev1.LabelMetadataName: ns.Name}
		maps.Copy(f.nsLabels[ns.Name], ns.Labels)
	}
	for i := range f.services {
		f.users[&f.services[i]] = users(&f.services[i], ingresses, bindings)
	}
	if f.engine == "" || len(f.policies) == 0 {
		return nil
	}
	f.set = reach.NewPolicies(f.policies, f.namespaces)
	f.all = f.rules()
	for _, r := range f.all {
		f.rulesIn[r.policy.Namespace] = append(f.rulesIn[r.policy.Namespace], r)
	}
	return f
}

// alike keeps, of the pods with an address that one owner made, two on
// different nodes: policies know pods by their labels, and tell no more of
// them apart than their node.
func alike(pods []corev1.Pod) []*corev1.Pod {
	nodes := map[string][]string{}
	var out []*corev1.Pod
	for i := range pods {
		p := &pods[i]
		if p.Status.PodIP == "" || reach.Finished(p) || p.DeletionTimestamp != nil {
			continue
		}
		key := p.Namespace + "/" + p.Name
		if len(p.OwnerReferences) > 0 {
			key = p.Namespace + " " + p.OwnerReferences[0].Kind + " " + p.OwnerReferences[0].Name
		}
		if len(nodes[key]) < 2 && !slices.Contains(nodes[key], p.Spec.NodeName) {
			nodes[key] = append(nodes[key], p.Spec.NodeName)
			out = append(out, p)
		}
	}
	return out
}

func policyRef(p *networkingv1.NetworkPolicy) facts.Ref {
	return ref(facts.NetworkPolicies.Kind(), p.Namespace, p.Name)
}

func peerOf(p *corev1.Pod) reach.Peer {
	ip, _ := netip.ParseAddr(p.Status.PodIP)
	return reach.Peer{IP: ip, Pod: p}
}

// admits asks all policies; wouldAdmit one that there is not.
func (f *fence) admits(to *corev1.Pod, from reach.Peer, protocol string, port int32) reach.Decision {
	return f.set.Admits(to, from, protocol, port)
}

func (f *fence) letsOut(from *corev1.Pod, to reach.Peer, protocol string, port int32) reach.Decision {
	return f.set.LetsOut(from, to, protocol, port)
}

// between asks all policies of one direction about pod and peer.
func (f *fence) between(way networkingv1.PolicyType, pod *corev1.Pod, peer reach.Peer, o openPort) reach.Decision {
	if way == networkingv1.PolicyTypeIngress {
		return f.admits(pod, peer, string(o.protocol), o.number)
	}
	return f.letsOut(pod, peer, string(o.protocol), o.number)
}

// selected are the pods that a policy holds for.
func (f *fence) selected(p *networkingv1.NetworkPolicy) []*corev1.Pod {
	holds := compiled(&p.Spec.PodSelector)
	var out []*corev1.Pod
	for _, pod := range f.podsIn[p.Namespace] {
		if !pod.Spec.HostNetwork && holds(pod.Labels) {
			out = append(out, pod)
		}
	}
	return out
}

// compiled answers selectorMatches for many. The usual selector, a list of
// labels, needs no parsing: of those that the API server would refuse no pod
// has the labels.
func compiled(s *metav1.LabelSelector) func(map[string]string) bool {
	if s != nil && len(s.MatchExpressions) == 0 {
		return func(l map[string]string) bool { return hasAll(l, s.MatchLabels) }
	}
	sel, err := metav1.LabelSelectorAsSelector(s)
	return func(l map[string]string) bool { return s != nil && err == nil && sel.Matches(labels.Set(l)) }
}

// hasAll reports whether labels hold all those wanted.
func hasAll(l, want map[string]string) bool {
	for k, v := range want {
		if got, ok := l[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// selectorMatches reports whether a selector matches labels; nil matches nothing.
func selectorMatches(s *metav1.LabelSelector, l map[string]string) bool {
	if s != nil && len(s.MatchExpressions) == 0 {
		return hasAll(l, s.MatchLabels)
	}
	return compiled(s)(l)
}

// peerPods are the pods that a peer selects, those on the host's network too.
func (f *fence) peerPods(namespace string, peer networkingv1.NetworkPolicyPeer) []*corev1.Pod {
	if peer.IPBlock != nil {
		return nil
	}
	in := []string{namespace}
	if peer.NamespaceSelector != nil {
		in = nil
		holds := compiled(peer.NamespaceSelector)
		for _, ns := range f.namespaces {
			if holds(f.nsLabels[ns.Name]) {
				in = append(in, ns.Name)
			}
		}
	}
	holds := compiled(peer.PodSelector)
	var out []*corev1.Pod
	for _, ns := range in {
		for _, p := range f.podsIn[ns] {
			if peer.PodSelector == nil || holds(p.Labels) {
				out = append(out, p)
			}
		}
	}
	return out
}

// An openPort is a port of a pod that a Service sends to.
type openPort struct {
	service  *corev1.Service
	port     corev1.ServicePort
	protocol corev1.Protocol
	number   int32
}

// openings are the ports of a pod that Services send to.
func (f *fence) openings(pod *corev1.Pod) []openPort {
	if out, ok := f.open[pod]; ok {
		return out
	}
	var out []openPort
	for i := range f.services {
		s := &f.services[i]
		if !reach.Selects(s, pod) {
			continue
		}
		for _, p := range s.Spec.Ports {
			if n, ok := reach.TargetPort(p, pod); ok {
				out = append(out, openPort{s, p, cmp.Or(p.Protocol, corev1.ProtocolTCP), n})
			}
		}
	}
	f.open[pod] = out
	return out
}

// A fenceRule is one rule of a policy, of either direction.
type fenceRule struct {
	policy *networkingv1.NetworkPolicy
	way    networkingv1.PolicyType
	index  int
	peers  []networkingv1.NetworkPolicyPeer
	ports  []networkingv1.NetworkPolicyPort
}

// rules are those of all policies.
func (f *fence) rules() []fenceRule {
	var out []fenceRule
	for i := range f.policies {
		p := &f.policies[i]
		for j, r := range p.Spec.Ingress {
			out = append(out, fenceRule{p, networkingv1.PolicyTypeIngress, j, r.From, r.Ports})
		}
		for j, r := range p.Spec.Egress {
			out = append(out, fenceRule{p, networkingv1.PolicyTypeEgress, j, r.To, r.Ports})
		}
	}
	return out
}

// field is the rule's path.
func (r fenceRule) field() string {
	return fmt.Sprintf("%s spec.%s[%d]", policyRef(r.policy), strings.ToLower(string(r.way)), r.index)
}

func (r fenceRule) command() string {
	return fmt.Sprintf("kubectl -n %s get networkpolicy %s -o yaml", r.policy.Namespace, r.policy.Name)
}

// allow is a policy that has r as its only rule.
func (r fenceRule) allow(name string) networkingv1.NetworkPolicy {
	p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: r.policy.Namespace, Name: name}}
	p.Spec.PodSelector, p.Spec.PolicyTypes = r.policy.Spec.PodSelector, []networkingv1.PolicyType{r.way}
	if r.way == networkingv1.PolicyTypeIngress {
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: r.peers, Ports: r.ports}}
	} else {
		p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: r.peers, Ports: r.ports}}
	}
	return p
}

// opens reports whether r, were it there, would let a pod talk with a peer
// that all policies together keep apart now.
func (f *fence) opens(r fenceRule, pod *corev1.Pod, peer reach.Peer, o openPort) bool {
	now := f.between(r.way, pod, peer, o)
	if now.Allowed || now.Undecided {
		return false
	}
	g := *f
	only := r.allow("x")
	g.set = f.set.Only(&only)
	then := g.between(r.way, pod, peer, o)
	return then.Allowed && then.Rule != ""
}

// A rightRule is one that says what another one was meant to say.
type rightRule struct {
	fenceRule
	of   fenceRule // the one that is wrong
	pod  *corev1.Pod
	peer reach.Peer
	openPort
}

// witness finds somebody whom r would let through, of the pods that its
// policy holds for and the peers that it names: to an open port of the pod
// (ingress) or of the peer (egress).
func (f *fence) witness(wrong, right fenceRule, fits func(openPort, *corev1.Pod) bool) (rightRule, bool) {
	peers := f.candidates(right)
	for _, pod := range f.selected(right.policy) {
		for _, peer := range otherFirst(peers, pod) {
			server := pod
			if right.way == networkingv1.PolicyTypeEgress {
				server = peer.Pod
			}
			if server == nil || peer.Pod == pod {
				continue
			}
			for _, o := range f.openings(server) {
				if !isDNS(o.service) && fits(o, server) && f.opens(right, pod, peer, o) { // DNS has a check of its own
					return rightRule{right, wrong, pod, peer, o}, true
				}
			}
		}
	}
	return rightRule{}, false
}

// otherFirst puts the peers of pod's own workload last.
func otherFirst(peers []reach.Peer, pod *corev1.Pod) []reach.Peer {
	own := func(p reach.Peer) int {
		if p.Pod != nil && ownerOf(p.Pod) == ownerOf(pod) {
			return 1
		}
		return 0
	}
	return slices.SortedStableFunc(slices.Values(peers), func(a, b reach.Peer) int { return own(a) - own(b) })
}

// candidates are the peers of a rule: pods, one of each kind and node, and
// for ingress an address of each block.
func (f *fence) candidates(r fenceRule) []reach.Peer {
	var out []reach.Peer
	seen := map[string]bool{}
	add := func(p *corev1.Pod) {
		if key := ownerOf(p).String() + " " + p.Spec.NodeName; !seen[key] {
			seen[key] = true
			out = append(out, peerOf(p))
		}
	}
	if len(r.peers) == 0 {
		for _, p := range f.pods {
			add(p)
		}
	}
	for _, peer := range r.peers {
		for _, p := range f.peerPods(r.policy.Namespace, peer) {
			add(p)
		}
		if peer.IPBlock != nil && r.way == networkingv1.PolicyTypeIngress {
			if prefix, err := netip.ParsePrefix(peer.IPBlock.CIDR); err == nil {
				out = append(out, reach.Peer{IP: prefix.Masked().Addr()})
			}
		}
	}
	return out
}

// stopped says who is kept from what.
func (r rightRule) stopped() string {
	if r.way == networkingv1.PolicyTypeIngress {
		return fmt.Sprintf("%s cannot reach port %d of pod %s/%s, behind Service %s", r.peer, r.number, r.pod.Namespace, r.pod.Name, r.service.Name)
	}
	return fmt.Sprintf("pod %s/%s cannot reach port %d of %s, behind Service %s", r.pod.Namespace, r.pod.Name, r.number, r.peer, r.service.Name)
}

// finding is what a wrong rule does, with the right one in a policy of its
// own as the remedy: policies add up, so the user's own is left as it is.
func (f *fence) finding(r rightRule, sev diagnose.Severity, claim, got, want string) diagnose.Finding {
	out := diagnose.Finding{
		Severity: sev,
		Subject:  policyRef(r.of.policy),
		Affects:  append([]facts.Ref{serviceRef(r.service), podRef(r.pod)}, f.users[r.service]...),
		Claim:    fmt.Sprintf("NetworkPolicy %s/%s %s: %s", r.of.policy.Namespace, r.of.policy.Name, claim, r.stopped()),
		Evidence: []diagnose.Evidence{
			{Fact: r.of.field(), Got: got, Want: want, Command: r.of.command()},
			{Fact: serviceRef(r.service).String() + " spec.ports", Got: fmt.Sprintf("%d leads to %d of the pods", r.port.Port, r.number), Want: "the pods' port is the one that policies see",
				Command: fmt.Sprintf("kubectl -n %s get service %s -o jsonpath='{.spec.ports}'", r.service.Namespace, r.service.Name)},
			{Fact: "what enforces policies", Got: f.engine, Want: "as it is", Command: "kubectl get daemonsets -A"},
		},
		Remedies: []remedy.Remedy{f.add(r.fenceRule, "Let through what NetworkPolicy "+r.of.policy.Name+" was meant to")},
	}
	if r.peer.Pod != nil {
		out.Affects = append(out.Affects, podRef(r.peer.Pod))
	}
	return out
}

// add is the remedy that makes a policy of one rule.
func (f *fence) add(r fenceRule, title string) remedy.Remedy {
	name := "hopwise-" + strings.TrimPrefix(r.policy.Name, "hopwise-")
	name = name[:min(len(name), 240)]
	for i := 2; f.taken[r.policy.Namespace+"/"+name]; i++ {
		name = fmt.Sprintf("hopwise-%s-%d", r.policy.Name, i)
	}
	f.taken[r.policy.Namespace+"/"+name] = true
	return remedy.Remedy{
		Title:   title,
		Why:     "A policy of its own allows just this; policies add up, so all else stays as restricted as it is.",
		Risk:    remedy.Safe,
		Actions: remedy.Actions{remedy.CreateNetworkPolicy{Namespace: r.policy.Namespace, Name: name, Spec: r.allow(name).Spec}},
	}
}

func fencePort(protocol corev1.Protocol, n int32) networkingv1.NetworkPolicyPort {
	port := intstr.FromInt32(n)
	return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &port}
}

// perPolicy keeps one finding for each policy: the first, with the evidence
// and the remedies of the others.
func perPolicy(found []diagnose.Finding) []diagnose.Finding {
	var out []diagnose.Finding
	for _, f := range found {
		i := slices.IndexFunc(out, func(o diagnose.Finding) bool { return o.Subject == f.Subject })
		if i < 0 {
			out = append(out, f)
			continue
		}
		o := &out[i]
		o.Severity = min(o.Severity, f.Severity)
		o.Affects = append(o.Affects, f.Affects...)
		o.Evidence = append(o.Evidence, f.Evidence[0])
		if len(o.Remedies) > 0 && len(f.Remedies) > 0 {
			o.Remedies[0].Actions = append(o.Remedies[0].Actions, f.Remedies[0].Actions...)
		}
	}
	return out
}
