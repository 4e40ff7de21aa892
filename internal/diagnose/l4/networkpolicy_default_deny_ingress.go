package l4

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// NetworkPolicyDefaultDenyIngress recognises pods that are isolated for
// ingress from somebody who needs them.
var NetworkPolicyDefaultDenyIngress = &diagnose.Check{
	ID:    "l4/networkpolicy-default-deny-ingress",
	Title: "NetworkPolicy isolates a Service's pods from those who call it",
	Doc: `The first policy with type Ingress that selects a pod isolates it: what no policy admits is dropped, and clients time
out. The kubelet of the pod's own node always gets through, so the pods stay ready.

To deny is what policies are for. It is a fault only when somebody needs the port of the Service: a pod whose own egress
policy expressly lets it out to these pods, or whose arguments name the Service; the API server, for a webhook or an
aggregated API (its address is outside the cluster, so only a rule without peers or with an address block admits it); the
pods of the same namespace, when nobody at all is admitted and the question is about the Service or its namespace, or when
such a pod is not ready since after the policy came.

Looks alike: a rule that was meant to admit the client and has a wrong port or selector (checks of their own); a policy at
the client's side; security groups; load balancers that are not admitted (target-timeout-blocked).

Fix: a policy of its own that admits the client to that port.`,
	Needs: fenceNeeds,
	Wants: append(fenceWants[:len(fenceWants):len(fenceWants)], facts.ValidatingWebhooks, facts.MutatingWebhooks, facts.APIServices, facts.Clusters, facts.Subnets),
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/network-policies/#default-deny-all-ingress-traffic",
		"https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		api := apiServer(v)
		f := newFence(v)
		if f == nil {
			return nil
		}
		mistaken := f.mistaken()
		var found []diagnose.Finding
		seen := map[string]bool{}
		for _, to := range f.pods {
			if !f.isolated(to, networkingv1.PolicyTypeIngress) {
				continue
			}
			for _, o := range f.openings(to) {
				key := fmt.Sprint(serviceRef(o.service), o.protocol, o.number)
				if seen[key] || mistaken[serviceRef(o.service)] || isDNS(o.service) {
					continue
				}
				seen[key] = true // one pod stands for all of the Service
				if d, ok := f.deniedClient(to, o, api); ok {
					found = append(found, f.denied(d))
				}
			}
		}
		return perPolicy(found)
	},
}

// mistaken are the Services for which a rule was meant and is wrong: other
// checks say how.
func (f *fence) mistaken() map[facts.Ref]bool {
	out := map[facts.Ref]bool{}
	for _, r := range f.servicePortRules() {
		out[serviceRef(r.service)] = true
	}
	for _, r := range f.namedPortRules() {
		out[serviceRef(r.service)] = true
	}
	for _, r := range f.all {
		for _, x := range (selectors{f, nil}).judge(r) {
			for _, a := range x.Affects {
				out[a] = true
			}
		}
	}
	return out
}

// A deniedPath is a need that policies meet with a no.
type deniedPath struct {
	openPort
	policy string // namespace/name of the one that isolates
	pod    *corev1.Pod
	who    string // who needs it, in words
	sign   string // why they are known to
	peers  []networkingv1.NetworkPolicyPeer
	refs   []facts.Ref
}

// deniedClient finds somebody who needs a port of a pod and is not admitted.
func (f *fence) deniedClient(to *corev1.Pod, o openPort, api apiCaller) (deniedPath, bool) {
	d := deniedPath{openPort: o, pod: to}
	if sign, ok := api.calls[serviceRef(o.service)]; ok && len(api.peers) > 0 && !f.admitsOutside(to, o) {
		d.policy = f.admits(to, reach.Peer{}, string(o.protocol), o.number).Rule
		d.who, d.sign, d.peers, d.refs = "the API server", sign, api.peers, nil
		return d, d.policy != ""
	}
	nobody := sync.OnceValue(func() bool { return f.nobody(to, o) }) // asks much
	for _, c := range f.pods {
		if c.Spec.HostNetwork || reach.Selects(o.service, c) {
			continue
		}
		sign := f.need(c, to, o, nobody)
		if sign == "" {
			continue
		}
		no := f.admits(to, peerOf(c), string(o.protocol), o.number)
		if no.Allowed || no.Rule == "" || !f.letsOut(c, peerOf(to), string(o.protocol), o.number).Allowed {
			continue
		}
		d.policy, d.sign, d.refs = no.Rule, sign, []facts.Ref{podRef(c)}
		d.who, d.peers = "pod "+c.Namespace+"/"+c.Name, []networkingv1.NetworkPolicyPeer{peerFor(c, to.Namespace)}
		if strings.HasPrefix(sign, "nobody") {
			d.who, d.peers = "the pods of namespace "+c.Namespace, []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}
		}
		return d, true
	}
	return deniedPath{}, false
}

// need says by what sign a pod needs an open port of another; "" without one.
// nobody tells whether the policies admit no pod at all to it.
func (f *fence) need(c, to *corev1.Pod, o openPort, nobody func() bool) string {
	switch {
	case f.expressly(c, to, o, networkingv1.PolicyTypeEgress):
		return "its own egress policy lets it out to these pods"
	case mentions(c, o.service):
		return "its arguments name the Service"
	case c.Namespace != to.Namespace || sideJob(o.port.Name):
		return ""
	case f.asks(o.service) && nobody():
		return "nobody is admitted, and the question is about the Service"
	case f.unreadySince(c, to) && nobody():
		return "nobody is admitted, and pod " + c.Name + " is not ready since after the policy came"
	}
	return ""
}

// asks reports whether the question is about a Service: by its name, or by
// its namespace alone.
func (f *fence) asks(s *corev1.Service) bool {
	t := f.target
	return named(t, s) || t.Name == "" && t.Host == "" && t.Namespace == s.Namespace
}

// expressly reports whether c's policies let it out to a pod (or admit it, by
// way) and not to any other pod of that namespace.
func (f *fence) expressly(c, to *corev1.Pod, o openPort, way networkingv1.PolicyType) bool {
	self, other := c, to
	if way == networkingv1.PolicyTypeIngress {
		self, other = to, c
	}
	if !slices.ContainsFunc(f.byLabels(self, way), func(meant func(map[string]string) bool) bool { return meant(other.Labels) }) {
		return false
	}
	d := f.between(way, self, peerOf(other), o)
	if !d.Allowed || d.Rule == "" {
		return false
	}
	anybody := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: "\x00"}}
	peer := peerOf(other)
	peer.Pod = anybody
	return !f.between(way, self, peer, o).Allowed
}

// isolated reports whether a policy holds for a pod in one direction.
func (f *fence) isolated(p *corev1.Pod, way networkingv1.PolicyType) bool {
	key := isolation{p, way}
	known, ok := f.alone[key]
	if !ok {
		known = len(f.set.Isolating(p, way)) > 0
		f.alone[key] = known
	}
	return known
}

// byLabels are the pods that the policies of a pod name by labels.
func (f *fence) byLabels(p *corev1.Pod, way networkingv1.PolicyType) []func(map[string]string) bool {
	key := isolation{p, way}
	known, ok := f.labelled[key]
	if ok || !f.isolated(p, way) {
		return known
	}
	for _, r := range f.rulesIn[p.Namespace] {
		if r.way != way || !selectorMatches(&r.policy.Spec.PodSelector, p.Labels) {
			continue
		}
		for _, peer := range r.peers {
			if selectsPods(peer) {
				known = append(known, compiled(peer.PodSelector))
			}
		}
	}
	f.labelled[key] = known
	return known
}

// An isolation is a question to isolated and byLabels.
type isolation struct {
	pod *corev1.Pod
	way networkingv1.PolicyType
}

// nobody reports whether no pod but those of the Service is admitted.
func (f *fence) nobody(to *corev1.Pod, o openPort) bool {
	return !f.admitsOutside(to, o) && !slices.ContainsFunc(f.pods, func(c *corev1.Pod) bool {
		d := f.admits(to, peerOf(c), string(o.protocol), o.number)
		return !reach.Selects(o.service, c) && (d.Allowed && d.Rule != "" || d.Undecided)
	})
}

// admitsOutside reports whether a rule for the port has no peers or blocks of
// addresses: then it is not known who is kept out.
func (f *fence) admitsOutside(to *corev1.Pod, o openPort) bool {
	return slices.ContainsFunc(f.rulesIn[to.Namespace], func(r fenceRule) bool {
		if r.way != networkingv1.PolicyTypeIngress || !selectorMatches(&r.policy.Spec.PodSelector, to.Labels) {
			return false
		}
		blocks := len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(p networkingv1.NetworkPolicyPeer) bool { return p.IPBlock != nil })
		return blocks && f.names(r, o, to)
	})
}

// unreadySince reports whether a pod has not been ready since after a policy
// that isolates another came.
func (f *fence) unreadySince(c, to *corev1.Pod) bool {
	for _, cond := range c.Status.Conditions {
		if cond.Type != corev1.PodReady || cond.Status != corev1.ConditionFalse {
			continue
		}
		for _, p := range f.set.Isolating(to, networkingv1.PolicyTypeIngress) {
			if at := p.CreationTimestamp; !at.IsZero() && cond.LastTransitionTime.After(at.Time) {
				return true
			}
		}
	}
	return false
}

// peerFor names the pods like c in a rule of a namespace's policy.
func peerFor(c *corev1.Pod, namespace string) networkingv1.NetworkPolicyPeer {
	l := maps.Clone(c.Labels)
	for _, g := range generated {
		delete(l, g)
	}
	if app, ok := l["app"]; ok {
		l = map[string]string{"app": app}
	}
	p := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: l}}
	if c.Namespace != namespace {
		p.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: c.Namespace}}
	}
	return p
}

// An apiCaller is the API server: the Services that it calls, with what for,
// and where its calls come from.
type apiCaller struct {
	calls map[facts.Ref]string
	peers []networkingv1.NetworkPolicyPeer
}

// apiServer reads who answers for the API server. Its interfaces are in the
// subnets that the cluster was made with.
func apiServer(v *facts.View) apiCaller {
	a := apiCaller{calls: map[facts.Ref]string{}}
	add := func(ns, name, what string) { a.calls[ref(facts.Services.Kind(), ns, name)] = what }
	for _, w := range facts.ValidatingWebhooks.In(v) {
		for _, h := range w.Webhooks {
			if s := h.ClientConfig.Service; s != nil {
				add(s.Namespace, s.Name, "webhook "+h.Name+" calls the Service")
			}
		}
	}
	for _, w := range facts.MutatingWebhooks.In(v) {
		for _, h := range w.Webhooks {
			if s := h.ClientConfig.Service; s != nil {
				add(s.Namespace, s.Name, "webhook "+h.Name+" calls the Service")
			}
		}
	}
	for _, s := range facts.APIServices.In(v) {
		if s.Spec.Service != nil {
			add(s.Spec.Service.Namespace, s.Spec.Service.Name, "API "+s.Name+" is answered by the Service")
		}
	}
	subnets := map[string]bool{}
	for _, c := range facts.Clusters.In(v) {
		if c.ResourcesVpcConfig != nil {
			for _, id := range c.ResourcesVpcConfig.SubnetIds {
				subnets[id] = true
			}
		}
	}
	for _, s := range facts.Subnets.In(v) {
		if subnets[facts.Val(s.SubnetId)] && facts.Val(s.CidrBlock) != "" {
			a.peers = append(a.peers, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: *s.CidrBlock}})
		}
	}
	return a
}

// denied is the finding for one path.
func (f *fence) denied(d deniedPath) diagnose.Finding {
	ns, name, _ := strings.Cut(d.policy, "/")
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	policy.Spec.PodSelector = f.podSelectorOf(d.policy, d.service)
	r := fenceRule{policy: policy, way: networkingv1.PolicyTypeIngress, peers: d.peers, ports: []networkingv1.NetworkPolicyPort{fencePort(d.protocol, d.number)}}
	out := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  policyRef(policy),
		Affects:  append(append([]facts.Ref{serviceRef(d.service), podRef(d.pod)}, d.refs...), f.users[d.service]...),
		Claim:    fmt.Sprintf("NetworkPolicy %s isolates the pods of Service %s/%s, and no policy admits %s to their port %d: %s", d.policy, d.service.Namespace, d.service.Name, d.who, d.number, d.sign),
		Evidence: []diagnose.Evidence{
			{Fact: policyRef(policy).String() + " spec.ingress", Got: fmt.Sprintf("no rule for %s with %s %d", d.who, d.protocol, d.number), Want: "one, here or in another policy", Command: r.command()},
			{Fact: "need of " + d.who, Got: d.sign, Want: "admitted", Command: fmt.Sprintf("kubectl -n %s get networkpolicies -o yaml", ns)},
			{Fact: "what enforces policies", Got: f.engine, Want: "as it is", Command: "kubectl get daemonsets -A"},
		},
	}
	out.Remedies = append(out.Remedies, f.add(r, fmt.Sprintf("Admit %s to port %d of Service %s", d.who, d.number, d.service.Name)))
	return out
}

// podSelectorOf selects the pods of a Service that a policy isolates already.
func (f *fence) podSelectorOf(policy string, s *corev1.Service) metav1.LabelSelector {
	sel := metav1.LabelSelector{MatchLabels: map[string]string{}}
	for i := range f.policies {
		if f.policies[i].Namespace+"/"+f.policies[i].Name == policy {
			f.policies[i].Spec.PodSelector.DeepCopyInto(&sel)
		}
	}
	if sel.MatchLabels == nil {
		sel.MatchLabels = map[string]string{}
	}
	maps.Copy(sel.MatchLabels, s.Spec.Selector)
	return sel
}
