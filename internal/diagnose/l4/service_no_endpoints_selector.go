package l4

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// ServiceNoEndpointsSelector recognises a Service whose selector no pod has.
var ServiceNoEndpointsSelector = &diagnose.Check{
	ID:    "l4/service-no-endpoints-selector",
	Title: "Service selector matches no pod",
	Doc: `A Service sends to the pods of its namespace that carry every label of its selector. When none does, its
EndpointSlices are empty, kube-proxy refuses connections to it at once, and load balancers that take their targets from it
have none. A typo, a chart that renamed its labels, or pods in another namespace are the usual causes.

Recognised by a selector that no pod matches, together with a sign that somebody needs the Service: an Ingress or a
TargetGroupBinding sends to it, the question names it, or a workload was plainly meant: its labels differ by a typo or by
the name of one key, or it has the Service's name, and it has the ports that the Service sends to.

Looks alike: a workload scaled to zero (its template matches, so nothing is wrong with the selector); pods that match and
are not ready; a Service without a selector or of type ExternalName (endpoints are made by hand); a Service left over from
an old release that nobody needs.

Fix: set the selector to labels that the workload's pods have.`,
	Needs: []facts.Need{facts.Services, facts.Pods, facts.Deployments, facts.StatefulSets},
	Wants: []facts.Need{facts.DaemonSets, facts.Ingresses, facts.TargetGroupBindings},
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/service/#defining-a-service",
		"https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/#does-the-service-have-any-endpointslices",
	},
	Run: serviceNoEndpointsSelector,
}

// A dangling is a Service that selects nothing.
type dangling struct {
	service *corev1.Service
	users   []facts.Ref
	nearest []candidate // best ones only, of equal worth
}

// A candidate is a workload that a Service may have been meant for.
type candidate struct {
	workload
	difference
	score int
}

func serviceNoEndpointsSelector(v *facts.View) []diagnose.Finding {
	services, all := facts.Services.In(v), workloads(v)
	ingresses, bindings := facts.Ingresses.In(v), facts.TargetGroupBindings.In(v)
	pods, known := byNamespace(facts.Pods.In(v)), map[string][]workload{}
	for _, w := range all {
		known[w.ns] = append(known[w.ns], w)
	}
	var findings []diagnose.Finding
	for i := range services {
		s := &services[i]
		if !selectsNothing(s, pods[s.Namespace], known[s.Namespace]) {
			continue
		}
		here := append(slices.Clone(known[s.Namespace]), bare(pods[s.Namespace], known[s.Namespace])...)
		d := dangling{s, users(s, ingresses, bindings), nearest(s, here, services)}
		if len(d.users) > 0 || len(d.nearest) > 0 || named(v.Target(), s) {
			findings = append(findings, d.finding(pods[s.Namespace], here, all))
		}
	}
	return findings
}

func byNamespace(pods []corev1.Pod) map[string][]*corev1.Pod {
	out := map[string][]*corev1.Pod{}
	for i := range pods {
		out[pods[i].Namespace] = append(out[pods[i].Namespace], &pods[i])
	}
	return out
}

// selectsNothing reports whether s has a selector that neither a pod nor a
// workload's template of its namespace matches. Pods that have ended count:
// they did match.
func selectsNothing(s *corev1.Service, pods []*corev1.Pod, known []workload) bool {
	if len(s.Spec.Selector) == 0 || s.Spec.Type == corev1.ServiceTypeExternalName || s.DeletionTimestamp != nil {
		return false
	}
	return !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return reach.Selects(s, p) }) &&
		!slices.ContainsFunc(known, func(w workload) bool { return reach.Selects(s, w.pod) })
}

// nearest returns the workloads of its namespace for which s was plainly meant: the best, or
// several that are equally good.
func nearest(s *corev1.Service, here []workload, services []corev1.Service) []candidate {
	var best []candidate
	for _, w := range here {
		if !w.serves(s) || len(w.labels) == 0 {
			continue
		}
		c := candidate{workload: w, difference: differ(s.Spec.Selector, w.labels)}
		taken := slices.ContainsFunc(services, func(o corev1.Service) bool { return reach.Selects(&o, w.pod) })
		sameName := w.name == strings.TrimSuffix(strings.TrimSuffix(s.Name, "-service"), "-svc")
		switch {
		case sameName && (c.typo || c.renamed):
			c.score = 4
		case c.typo:
			c.score = 3
		case sameName:
			c.score = 2
		case c.renamed && !taken:
			c.score = 1
		default:
			continue
		}
		best = append(best, c)
	}
	slices.SortStableFunc(best, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.name, b.name))
	})
	for i := range best {
		if best[i].score < best[0].score {
			return best[:i]
		}
	}
	return best
}

func (d dangling) finding(pods []*corev1.Pod, here, all []workload) diagnose.Finding {
	s := d.service
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  serviceRef(s),
		Affects:  d.users,
		Claim:    fmt.Sprintf("Service %s/%s selects no pod: none has %s", s.Namespace, s.Name, pairs(s.Spec.Selector)),
		Evidence: []diagnose.Evidence{{
			Fact: serviceRef(s).String() + " spec.selector", Got: pairs(s.Spec.Selector), Want: "labels that running pods have",
			Command: fmt.Sprintf("kubectl -n %s get service %s -o jsonpath='{.spec.selector}'", s.Namespace, s.Name),
		}, {
			Fact: "kube/pods in " + s.Namespace, Got: "no pod with these labels", Want: "one or more",
			Command: fmt.Sprintf("kubectl -n %s get pods -l '%s'", s.Namespace, pairs(s.Spec.Selector)),
		}},
	}
	for _, u := range d.users {
		if u.Kind == facts.Ingresses.Kind() {
			f.Claim += fmt.Sprintf("; Ingress %s sends to it", u.ID)
			break
		}
	}
	for _, c := range d.nearest {
		f.Affects = append(f.Affects, c.ref())
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: c.ref().String() + " " + c.labelsAt(), Got: pairs(c.labels), Want: "what the Service asks for, " + pairs(s.Spec.Selector),
			Command: fmt.Sprintf("kubectl -n %s get %s %s -o jsonpath='{.%s}'", c.ns, c.kind.Resource(), c.name, c.labelsAt()),
		})
	}
	if len(d.nearest) == 1 {
		f.Claim += "; the pods of " + d.nearest[0].title() + " have " + pairs(d.nearest[0].fixedPart())
	} else if w, ok := elsewhere(s, all); ok {
		f.Claim += "; " + w.title() + ", in another namespace, has them"
	}
	f.Remedies = d.remedies(pods, here)
	return f
}

// fixedPart are the labels that c's pods have where the selector is wrong.
func (c candidate) fixedPart() map[string]string {
	part := maps.Clone(c.selector)
	if c.guess && len(c.fixed) > 0 {
		part = c.fixed
	}
	return part
}

// elsewhere finds a workload that the selector matches in another namespace:
// a Service cannot send there.
func elsewhere(s *corev1.Service, all []workload) (workload, bool) {
	for _, w := range all {
		moved := *s
		moved.Namespace = w.ns
		if w.ns != s.Namespace && len(s.Spec.Selector) > 1 && reach.Selects(&moved, w.pod) {
			return w, true
		}
	}
	return workload{}, false
}

// remedies sets the selector to the nearest workload's labels if that selects
// exactly its pods.
func (d dangling) remedies(pods []*corev1.Pod, here []workload) []remedy.Remedy {
	s := d.service
	show := remedy.Remedy{
		Title:  "Choose the pods that Service " + s.Name + " is for, and set its selector",
		Why:    "No single workload fits well enough to choose it for you.",
		Manual: []string{fmt.Sprintf("kubectl -n %s get pods --show-labels", s.Namespace), fmt.Sprintf("kubectl -n %s edit service %s", s.Namespace, s.Name)},
	}
	if len(d.nearest) != 1 || !d.nearest[0].guess {
		return []remedy.Remedy{show}
	}
	c := d.nearest[0]
	for _, selector := range []map[string]string{c.fixed, c.selector} {
		if len(selector) == 0 || !selectsExactly(selector, c.workload, pods, here) {
			continue
		}
		return []remedy.Remedy{{
			Title: fmt.Sprintf("Set the selector of Service %s to %s", s.Name, pairs(selector)),
			Why:   fmt.Sprintf("It then sends to exactly the pods of %s.", c.title()),
			Risk:  remedy.Safe,
			Actions: remedy.Actions{remedy.SetSelector{
				Namespace: s.Namespace, Service: s.Name, Selector: selector, Before: s.Spec.Selector,
			}},
		}}
	}
	return []remedy.Remedy{show}
}

// selectsExactly reports whether a selector takes the pods of one workload
// and of no other.
func selectsExactly(selector map[string]string, w workload, pods []*corev1.Pod, here []workload) bool {
	if !has(w.labels, selector) {
		return false
	}
	for _, o := range here {
		if o.ref() != w.ref() && has(o.labels, selector) {
			return false
		}
	}
	for _, p := range pods {
		if has(p.Labels, selector) && !has(p.Labels, w.selector) {
			return false
		}
	}
	return true
}
