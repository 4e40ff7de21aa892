package l4

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// NetworkPolicySelector recognises selectors that miss by a typo or by a
// label that is called otherwise.
var NetworkPolicySelector = &diagnose.Check{
	ID:    "l4/networkpolicy-selector-matches-nothing",
	Title: "NetworkPolicy selects pods or a namespace that are not there",
	Doc: `An allow rule whose peer matches nobody allows nothing, and an allow policy whose own podSelector matches no pod
allows nothing to anybody. Typos, a namespace selected by the label "name" where only kubernetes.io/metadata.name is on
every namespace, and a podSelector alone for pods of another namespace (it means the policy's own) are the usual causes.

Recognised by a selector of labels that matches nothing, neither a pod nor a workload's template, while exactly one
correction of it, by a typo, by a key that holds the same value, or by the one other namespace where it matches, lets somebody
through whom all policies together keep from a Service's port.

Looks alike: a peer for pods that do not run at the moment; a default deny, which selects on purpose; peers on the host's
network, which exist and are not matched.

Fix: a policy of its own with the corrected selector.`,
	Needs: fenceNeeds,
	Wants: append(fenceWants[:len(fenceWants):len(fenceWants)], facts.Deployments, facts.StatefulSets),
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-to-and-from-selectors",
		"https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		templates := workloads(v)
		f := newFence(v)
		if f == nil {
			return nil
		}
		s := selectors{f, templates}
		var found []diagnose.Finding
		for _, r := range f.all {
			found = append(found, s.judge(r)...)
		}
		return perPolicy(found)
	},
}

// selectors looks for what selectors were meant to match.
type selectors struct {
	*fence
	templates []workload
}

// judge reports a rule that allows nothing because of a selector.
func (s selectors) judge(r fenceRule) []diagnose.Finding {
	any := func(openPort, *corev1.Pod) bool { return true }
	if l := r.policy.Spec.PodSelector; plain(&l) && !s.somePod(r.policy.Namespace, &l) {
		fixes := s.podFixes(r.policy.Namespace, l.MatchLabels)
		if len(fixes) != 1 {
			return nil
		}
		right, policy := r, *r.policy
		policy.Spec.PodSelector = metav1.LabelSelector{MatchLabels: fixes[0]}
		right.policy = &policy
		return s.report(r, right, any, "holds for no pod", "podSelector "+pairs(l.MatchLabels), pairs(fixes[0]))
	}
	for i, p := range r.peers {
		fix, was, want := s.peerFix(r.policy.Namespace, p)
		if fix == nil {
			continue
		}
		right := r
		right.peers = []networkingv1.NetworkPolicyPeer{*fix}
		found := s.report(r, right, any, "has a rule for peers that do not exist", fmt.Sprintf("peer %d: %s", i+1, was), want)
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

func (s selectors) report(wrong, right fenceRule, fits func(openPort, *corev1.Pod) bool, claim, got, want string) []diagnose.Finding {
	w, ok := s.witness(wrong, right, fits)
	if !ok {
		return nil
	}
	return []diagnose.Finding{s.finding(w, diagnose.Outage, claim+" ("+got+")", got, want)}
}

// plain reports whether a selector is a list of labels, and not empty.
func plain(s *metav1.LabelSelector) bool {
	return s != nil && len(s.MatchLabels) > 0 && len(s.MatchExpressions) == 0
}

// peerFix corrects a peer that matches nothing; nil when it matches, or when
// not exactly one correction is near.
func (s selectors) peerFix(own string, p networkingv1.NetworkPolicyPeer) (fix *networkingv1.NetworkPolicyPeer, was, want string) {
	if p.IPBlock != nil {
		return nil, "", ""
	}
	in := []string{own}
	if p.NamespaceSelector != nil {
		in = nil
		for _, ns := range s.namespaces {
			if selectorMatches(p.NamespaceSelector, s.nsLabels[ns.Name]) {
				in = append(in, ns.Name)
			}
		}
		if len(in) == 0 {
			return s.namespaceFix(p)
		}
	}
	if !plain(p.PodSelector) || slices.ContainsFunc(in, func(ns string) bool { return s.somePod(ns, p.PodSelector) }) {
		return nil, "", ""
	}
	was = "podSelector " + pairs(p.PodSelector.MatchLabels)
	var fixes []map[string]string
	for _, ns := range in {
		fixes = append(fixes, s.podFixes(ns, p.PodSelector.MatchLabels)...)
	}
	if len(fixes) == 1 {
		p.PodSelector = &metav1.LabelSelector{MatchLabels: fixes[0]}
		return &p, was, pairs(fixes[0])
	}
	if p.NamespaceSelector == nil && len(fixes) == 0 {
		return s.elsewhere(own, p, was)
	}
	return nil, "", ""
}

// namespaceFix corrects a namespaceSelector that matches no namespace.
func (s selectors) namespaceFix(p networkingv1.NetworkPolicyPeer) (fix *networkingv1.NetworkPolicyPeer, was, want string) {
	if !plain(p.NamespaceSelector) {
		return nil, "", ""
	}
	var fixes []map[string]string
	for _, ns := range s.namespaces {
		d := differ(p.NamespaceSelector.MatchLabels, s.nsLabels[ns.Name])
		if d.guess && (d.typo || d.renamed) {
			fixes = append(fixes, d.fixed)
		}
	}
	if len(fixes) != 1 {
		return nil, "", ""
	}
	was = "namespaceSelector " + pairs(p.NamespaceSelector.MatchLabels)
	p.NamespaceSelector = &metav1.LabelSelector{MatchLabels: fixes[0]}
	return &p, was, pairs(fixes[0])
}

// elsewhere adds the namespace in which a podSelector matches, if it is one.
func (s selectors) elsewhere(own string, p networkingv1.NetworkPolicyPeer, was string) (fix *networkingv1.NetworkPolicyPeer, _, want string) {
	in := map[string]bool{}
	for _, pod := range s.pods {
		if selectorMatches(p.PodSelector, pod.Labels) {
			in[pod.Namespace] = true
		}
	}
	names := slices.Collect(maps.Keys(in))
	if len(names) != 1 || names[0] == own {
		return nil, "", ""
	}
	p.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: names[0]}}
	return &p, was + " in namespace " + own, "namespaceSelector " + corev1.LabelMetadataName + "=" + names[0] + " beside it"
}

// somePod reports whether a pod or a workload's template of a namespace has
// the labels.
func (s selectors) somePod(ns string, sel *metav1.LabelSelector) bool {
	return slices.ContainsFunc(s.podsIn[ns], func(p *corev1.Pod) bool { return selectorMatches(sel, p.Labels) }) ||
		slices.ContainsFunc(s.templates, func(w workload) bool { return w.ns == ns && selectorMatches(sel, w.labels) })
}

// podFixes are the corrections of labels that pods of a namespace have.
func (s selectors) podFixes(ns string, want map[string]string) []map[string]string {
	var fixes []map[string]string
	for _, p := range s.pods {
		d := differ(want, p.Labels)
		if p.Namespace == ns && !p.Spec.HostNetwork && d.guess && (d.typo || d.renamed) && !slices.ContainsFunc(fixes, func(m map[string]string) bool { return maps.Equal(m, d.fixed) }) {
			fixes = append(fixes, d.fixed)
		}
	}
	return fixes
}
