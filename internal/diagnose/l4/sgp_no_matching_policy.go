package l4

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGPNoMatchingPolicy recognises a SecurityGroupPolicy that misses the pods
// that it was made for.
var SGPNoMatchingPolicy = &diagnose.Check{
	ID:    "l4/sgp-no-matching-policy",
	Title: "SecurityGroupPolicy does not match the pods that it was made for",
	Doc: `A webhook matches a pod with the SecurityGroupPolicies of its namespace once, when the pod is created. A policy with
both a podSelector and a serviceAccountSelector takes a pod only if both match; one with neither, or without groups, is
ignored; pods on the node's network are never taken. A pod that no policy takes runs with its node's groups, and a database
that admits only the policy's group times out.

A policy that selects nothing is no fault by itself: what it is for may not be deployed. Recognised by a sign that pods were
meant: the controller's event "Pod will get the instance security group", older replicas with a branch interface while the
newest ones match nothing, a selector that misses exactly one workload of the namespace by a misspelt value or a renamed key,
two selectors of which only the one matches, a policy that counts for nothing because of its form, or one that lies in
namespace default with nothing there and matches exactly one workload elsewhere.

Looks alike: pods from before the policy; nodes without branch interfaces (the pod waits then).

Fix: correct the selector, then restart the workload.`,
	Needs:   []facts.Need{facts.Pods, facts.SecurityGroupPolicies},
	Wants:   []facts.Need{facts.ServiceAccounts, facts.Deployments, facts.StatefulSets, facts.DaemonSets, facts.Events},
	Sources: []string{sgpGuide, vpcController + "/blob/master/pkg/utils/helper.go"},
	Run:     sgpNoMatchingPolicy,
}

// A miss is a policy, or for want of one a workload, with what it fails to be.
type miss struct {
	policy *facts.SecurityGroupPolicy // nil: no policy is near the pods
	makers []workload                 // that it was made for
	why    string                     // "its podSelector app=crat matches no pod; Deployment shop/cart has app=cart"
	got    string
	want   string
	patch  any    // that corrects the policy's spec; nil when it is not known
	moveTo string // the namespace where the policy belongs; "" when it is in the right one
	more   []diagnose.Evidence
}

func sgpNoMatchingPolicy(v *facts.View) []diagnose.Finding {
	m := matcher{accounts: accountsOf(v), makers: map[string][]workload{}, policies: facts.SecurityGroupPolicies.In(v), target: v.Target()}
	known := workloads(v)
	running := map[string][]*corev1.Pod{}
	pods := facts.Pods.In(v)
	for i := range pods {
		running[pods[i].Namespace] = append(running[pods[i].Namespace], &pods[i])
	}
	for _, w := range known {
		m.makers[w.ns] = append(m.makers[w.ns], w)
	}
	for ns, list := range running {
		m.makers[ns] = append(m.makers[ns], bare(list, known)...)
	}
	var findings []diagnose.Finding
	said := map[facts.Ref]bool{}
	for i := range m.policies {
		if x, ok := m.examine(&m.policies[i]); ok {
			findings = append(findings, x.finding())
			for _, w := range x.makers {
				said[w.ref()] = true
			}
		}
	}
	for _, x := range m.unmatched(v) {
		if w := x.makers[0]; !said[w.ref()] {
			said[w.ref()] = true
			findings = append(findings, x.finding())
		}
	}
	return findings
}

// A matcher knows the policies, and what makes pods in each namespace.
type matcher struct {
	accounts accounts
	makers   map[string][]workload
	policies []facts.SecurityGroupPolicy
	target   facts.Target // what the question names
}

// sample is a pod of a workload, as the webhook sees it.
func sample(w workload) *corev1.Pod {
	p := *w.pod
	p.Namespace, p.Labels = w.ns, w.labels
	return &p
}

// examine reports how a policy misses the pods that it was made for.
func (m matcher) examine(s *facts.SecurityGroupPolicy) (miss, bool) {
	var taken, halves, onNode []workload
	for _, w := range m.makers[s.Namespace] {
		p := sample(w)
		x := m.accounts.take(s, p)
		switch {
		case x.pod && x.unsure:
			return miss{}, false
		case x.all() && p.Spec.HostNetwork:
			onNode = append(onNode, w)
		case x.all():
			taken = append(taken, w)
		case x.pod && s.Spec.PodSelector != nil:
			halves = append(halves, w)
		}
	}
	switch {
	case !counts(s):
		return malformed(s, taken)
	case len(taken) > 0:
		return miss{}, false
	case len(halves) > 0 && s.Spec.ServiceAccountSelector != nil && !isEmpty(s.Spec.PodSelector):
		return m.otherAccount(s, halves), true
	case len(onNode) > 0:
		return miss{policy: s, makers: onNode, got: "it selects only pods on the node's network, which have no interface of their own",
			why: "it selects only pods with hostNetwork, and those never get an interface of their own", want: "pods without hostNetwork"}, true
	}
	if x, ok := m.nearMiss(s); ok {
		return x, true
	}
	return m.wrongNamespace(s)
}

func isEmpty(s *metav1.LabelSelector) bool {
	return s == nil || len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0
}

// malformed is a policy that the controller passes over.
func malformed(s *facts.SecurityGroupPolicy, taken []workload) (miss, bool) {
	switch {
	case s.Spec.PodSelector == nil && s.Spec.ServiceAccountSelector == nil:
		return miss{policy: s, got: "neither podSelector nor serviceAccountSelector", why: "it has neither a podSelector nor a serviceAccountSelector, and is ignored",
			want: "a selector; {} selects all pods of the namespace"}, true
	case len(taken) > 0:
		return miss{policy: s, makers: taken, got: "no groupIds", why: "it names no security groups, and is ignored", want: "securityGroups.groupIds"}, true
	}
	return miss{}, false
}

// otherAccount is a policy whose podSelector matches, and whose
// serviceAccountSelector does not.
func (m matcher) otherAccount(s *facts.SecurityGroupPolicy, halves []workload) miss {
	p := sample(halves[0])
	return miss{
		policy: s, makers: halves,
		why:  fmt.Sprintf("both its selectors must match, and its serviceAccountSelector does not match ServiceAccount %s of %s", accountName(p), halves[0].called()),
		got:  fmt.Sprintf("serviceAccountSelector %s; ServiceAccount %s has %s", inWords(s.Spec.ServiceAccountSelector), accountName(p), orNone(pairs(m.accounts[accountName(p)]))),
		want: "labels of the ServiceAccount that the pods use, or the podSelector alone", patch: map[string]any{"serviceAccountSelector": nil},
	}
}

func inWords(s *metav1.LabelSelector) string { return orNone(metav1.FormatLabelSelector(s)) }

func orNone(s string) string {
	if s == "" {
		return "no labels"
	}
	return s
}

// nearMiss finds the one workload that a selector misses by a slip.
func (m matcher) nearMiss(s *facts.SecurityGroupPolicy) (miss, bool) {
	field, sel := "podSelector", s.Spec.PodSelector
	if sel == nil {
		field, sel = "serviceAccountSelector", s.Spec.ServiceAccountSelector
	}
	if len(sel.MatchLabels) == 0 || len(sel.MatchExpressions) > 0 || s.Spec.PodSelector != nil && s.Spec.ServiceAccountSelector != nil {
		return miss{}, false
	}
	var near []workload
	var d difference
	for _, w := range m.makers[s.Namespace] {
		p := sample(w)
		l := w.labels
		if field == "serviceAccountSelector" {
			l = m.accounts[accountName(p)]
		}
		x := differ(sel.MatchLabels, l)
		if mine, _ := podPolicies(m.policies, m.accounts, p); !(x.typo || x.renamed) || len(mine) > 0 || !mayHaveBranch(p) {
			continue
		}
		near, d = append(near, w), x
	}
	if len(near) != 1 {
		return miss{}, false
	}
	labels := near[0].labels
	if field == "serviceAccountSelector" {
		labels = m.accounts[accountName(sample(near[0]))]
	}
	fixed := map[string]any{}
	for k := range sel.MatchLabels {
		fixed[k] = nil
	}
	for k, val := range d.fixed {
		fixed[k] = val
	}
	return miss{
		policy: s, makers: near,
		why:  fmt.Sprintf("its %s %s matches nothing; %s has %s", field, pairs(sel.MatchLabels), near[0].called(), pairs(only(labels, d.fixed))),
		got:  field + " " + pairs(sel.MatchLabels) + " matches nothing in namespace " + s.Namespace,
		want: pairs(d.fixed) + ", as " + near[0].called() + " has", patch: map[string]any{field: map[string]any{"matchLabels": fixed}},
	}, true
}

// wrongNamespace is a policy for pods of another namespace, where it does not
// count: it lies in "default", with nothing there that it could select, or the
// question names the one workload that it matches.
func (m matcher) wrongNamespace(s *facts.SecurityGroupPolicy) (miss, bool) {
	if len(m.makers[s.Namespace]) > 0 || s.Spec.PodSelector == nil || s.Spec.ServiceAccountSelector != nil || isEmpty(s.Spec.PodSelector) {
		return miss{}, false
	}
	var there []workload
	for _, list := range m.makers {
		for _, w := range list {
			if p := sample(w); mayHaveBranch(p) && selectedBy(s.Spec.PodSelector, p.Labels) {
				there = append(there, w)
			}
		}
	}
	if len(there) != 1 || s.Namespace != "default" && !(m.target.Name != "" && m.target.Matches(there[0].ref())) {
		return miss{}, false
	}
	if mine, _ := podPolicies(m.policies, m.accounts, sample(there[0])); len(mine) > 0 {
		return miss{}, false
	}
	return miss{
		policy: s, makers: there, why: fmt.Sprintf("it counts in namespace %s alone, and the pods that it matches are those of %s", s.Namespace, there[0].called()),
		got: "namespace " + s.Namespace + ", which has no pods", want: "the policy in namespace " + there[0].ns, moveTo: there[0].ns,
	}, true
}

// only keeps the labels whose keys are in keys.
func only(l, keys map[string]string) map[string]string {
	out := maps.Clone(l)
	maps.DeleteFunc(out, func(k, _ string) bool { _, ok := keys[k]; return !ok })
	return out
}

const noGroupOfItsOwn = "Pod will get the instance security group as the pod didn't match any"

// unmatched are the workloads whose pods show that they are meant to have
// groups of their own, and that no policy takes.
func (m matcher) unmatched(v *facts.View) []miss {
	events, known := latestEvents(facts.Events.In(v)), workloads(v)
	siblings, order := map[facts.Ref][]*corev1.Pod{}, []workload{}
	pods := facts.Pods.In(v)
	for i := range pods {
		p := &pods[i]
		if !living(p) || !mayHaveBranch(p) {
			continue
		}
		w := makerOf(p, known)
		if siblings[w.ref()] == nil {
			order = append(order, w)
		}
		siblings[w.ref()] = append(siblings[w.ref()], p)
	}
	var out []miss
	for _, w := range order {
		for _, p := range siblings[w.ref()] {
			if mine, unsure := podPolicies(m.policies, m.accounts, p); len(mine) > 0 || unsure {
				continue
			}
			x := miss{makers: []workload{w}, want: "a SecurityGroupPolicy that selects it"}
			if e := events[p.Namespace+"/"+p.Name]["SecurityGroupRequested"]; e != nil && strings.Contains(e.Message, noGroupOfItsOwn) {
				x.why, x.got = "the VPC resource controller found none when pod "+p.Name+" asked for an interface", e.Message
			} else if old := olderWithBranch(p, siblings[w.ref()]); old != nil && m.inUse(w.ns) {
				x.why = fmt.Sprintf("pod %s still has an interface of its own, and the newer %s has none", old.Name, p.Name)
				x.got = "labels " + pairs(p.Labels) + ", no annotation " + podENI
			} else {
				continue
			}
			x.more = []diagnose.Evidence{{Fact: podRef(p).String(), Got: x.got, Want: x.want, Command: fmt.Sprintf("kubectl -n %s describe pod %s", p.Namespace, p.Name)}}
			out = append(out, x)
			break
		}
	}
	return out
}

// inUse reports whether a namespace has policies: where the last one was taken
// away, pods lose their groups on purpose.
func (m matcher) inUse(ns string) bool {
	return slices.ContainsFunc(m.policies, func(s facts.SecurityGroupPolicy) bool { return s.Namespace == ns && counts(&s) })
}

// olderWithBranch is a sibling that started before p and got a branch
// interface, when p has none.
func olderWithBranch(p *corev1.Pod, siblings []*corev1.Pod) *corev1.Pod {
	if reach.HasBranch(p) || asksForBranch(p) || p.CreationTimestamp.IsZero() {
		return nil
	}
	i := slices.IndexFunc(siblings, func(o *corev1.Pod) bool {
		return reach.HasBranch(o) && o.CreationTimestamp.Before(&p.CreationTimestamp)
	})
	if i < 0 {
		return nil
	}
	return siblings[i]
}

func (x miss) finding() diagnose.Finding {
	f := diagnose.Finding{Severity: diagnose.Degraded, Evidence: x.more}
	var about []facts.Ref
	var restarts []string
	for _, w := range x.makers {
		about, restarts = append(about, w.ref()), append(restarts, w.restartCommand())
	}
	if x.policy == nil {
		w := x.makers[0]
		f.Subject = w.ref()
		f.Claim = fmt.Sprintf("No SecurityGroupPolicy of namespace %s selects the pods of %s: %s; they have their node's security groups", w.ns, w.called(), x.why)
		f.Remedies = []remedy.Remedy{{
			Title: "Make a SecurityGroupPolicy select these pods", Why: "Compare the selectors with the pods' labels and those of their ServiceAccount; only new pods are matched.", Risk: remedy.Disruptive,
			Manual: append([]string{fmt.Sprintf("kubectl -n %s get securitygrouppolicies -o yaml", w.ns)}, restarts...),
		}}
	} else {
		s := x.policy
		f.Subject = sgPolicyRef(s)
		f.Claim = fmt.Sprintf("SecurityGroupPolicy %s/%s gives no pod its security groups: %s", s.Namespace, s.Name, x.why)
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: f.Subject.String(), Got: x.got, Want: x.want, Command: fmt.Sprintf("kubectl -n %s get securitygrouppolicy %s -o yaml", s.Namespace, s.Name)})
		f.Remedies = []remedy.Remedy{{
			Title: "Correct the policy, then restart what it is for", Risk: remedy.Disruptive, Manual: append([]string{x.correction()}, restarts...),
			Why: "New pods get an interface of their own with the policy's groups, and no longer have what their node's groups admit.",
		}}
	}
	f.Affects = refs(f.Subject, about)
	return f
}

// correction is the command that corrects the policy.
func (x miss) correction() string {
	s := x.policy
	if x.moveTo != "" {
		return fmt.Sprintf("kubectl -n %s get securitygrouppolicy %s -o json | jq 'del(.metadata.uid,.metadata.resourceVersion)|.metadata.namespace=\"%s\"' | kubectl create -f -", s.Namespace, s.Name, x.moveTo)
	}
	if b, err := json.Marshal(map[string]any{"spec": x.patch}); err == nil && x.patch != nil {
		return fmt.Sprintf("kubectl -n %s patch securitygrouppolicy %s --type=merge -p '%s'", s.Namespace, s.Name, b)
	}
	return fmt.Sprintf("kubectl -n %s edit securitygrouppolicy %s", s.Namespace, s.Name)
}
