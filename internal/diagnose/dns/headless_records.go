package dns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

var headlessNoRecords = &diagnose.Check{
	ID:    "dns/headless-no-records",
	Title: "Pods behind a headless Service have no names",
	Doc: `A headless Service has no address: its name stands for its ready pods, and does not exist while none is ready. A pod gets a name
of its own there, db-0.db, when its subdomain is the Service's name, which for the pods of a StatefulSet is its serviceName, and
the Service selects it. Peers that look for each other before they are ready never find each other, unless the Service
publishes addresses that are not ready.

Recognised by a name that was said not to resolve, or that a container, probe or hook complained of within the hour: the pod
is there and not ready; its subdomain is another; it has none, as the pods of Deployments; or the StatefulSet has not
made it, as it waits for the one before. Without a complaint, as a risk, by a StatefulSet of two or more whose serviceName is
the name of no Service.

Looks alike: a selector that matches no pod, and pods that are not ready for other reasons, have findings of their own. A Service
with a ClusterIP has a name without any ready pod.

Fixed by publishNotReadyAddresses; by a Service of the name that the StatefulSet gives, as serviceName itself cannot be
changed; by hostname and subdomain in the pods.`,
	Needs:    []facts.Need{facts.StatefulSets, facts.Services, facts.Pods},
	Wants:    append([]facts.Need{facts.Events, facts.EndpointSlices}, clusterNameWants...),
	CausedBy: []string{"l4/service-no-endpoints-selector"},
	Sources: []string{
		"https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-network-id",
		"https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-hostname-and-subdomain-fields",
		"https://github.com/kubernetes/dns/blob/master/docs/specification.md",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		h := headless{names: newClusterNames(v), sets: facts.StatefulSets.In(v), pods: facts.Pods.In(v)}
		h.endpoints = map[string]int{}
		for _, s := range facts.EndpointSlices.In(v) {
			h.endpoints[s.Namespace+"/"+s.Labels["kubernetes.io/service-name"]] += len(s.Endpoints)
		}
		q := newQuestion(v, h.pods)
		if q.lookup != "" {
			h.ask(q.lookup, q.namespace, diagnose.Evidence{Fact: "name " + q.lookup, Got: "does not resolve, as was said", Want: "the addresses of pods", Command: "kubectl get services,statefulsets -A"})
		}
		for _, c := range complaints(h.pods, facts.Events.In(v), v.At()) {
			h.ask(c.name, c.pod.Namespace, diagnose.Evidence{
				Fact: podRef(*c.pod).String() + " said within the hour", Got: facts.Redact(c.text), Want: "the addresses of pods",
				Command: fmt.Sprintf("kubectl -n %s describe pod %s", c.pod.Namespace, c.pod.Name),
			})
		}
		h.declared()
		return h.out
	},
}

// headless are the names that pods should have.
type headless struct {
	names     clusterNames
	sets      []appsv1.StatefulSet
	pods      []corev1.Pod
	endpoints map[string]int // by Service; of any state
	out       []diagnose.Finding
}

// ask judges a lookup that was in vain.
func (h *headless) ask(lookup, namespace string, e diagnose.Evidence) {
	for _, n := range h.names.meant(lookup, namespace) {
		s := h.names.services[n.id()]
		set := h.setOf(n)
		var f *diagnose.Finding
		switch {
		case s == nil && set != nil && (n.rest != "" || n.service == set.Spec.ServiceName):
			f = h.noService(set, n)
		case s != nil && s.Spec.ClusterIP == corev1.ClusterIPNone && len(s.Spec.Selector) > 0:
			f = h.unnamed(s, n, set)
		}
		if f != nil {
			f.Evidence = append(f.Evidence, e)
			h.add(*f)
			return
		}
	}
}

func (h *headless) add(f diagnose.Finding) {
	for i := range h.out {
		if h.out[i].Subject == f.Subject {
			h.out[i].Severity = min(h.out[i].Severity, f.Severity)
			return
		}
	}
	h.out = append(h.out, f)
}

// setOf is the StatefulSet that a name is about: of the pod that it names, or
// the one with this serviceName.
func (h *headless) setOf(n serviceName) *appsv1.StatefulSet {
	for i := range h.sets {
		s := &h.sets[i]
		if s.Namespace == n.namespace && (s.Spec.ServiceName == n.service && n.rest == "" || n.rest != "" && ordinal(s, n.rest)) {
			return s
		}
	}
	return nil
}

// ordinal reports whether name is that of a pod of s: db-0 of db.
func ordinal(s *appsv1.StatefulSet, name string) bool {
	digits, ok := strings.CutPrefix(name, s.Name+"-")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

func setRef(s *appsv1.StatefulSet) facts.Ref {
	return ref(facts.StatefulSets.Kind(), s.Namespace, s.Name)
}

func (h *headless) podsOf(s *appsv1.StatefulSet) []*corev1.Pod {
	var out []*corev1.Pod
	for i := range h.pods {
		p := &h.pods[i]
		if w, ok := workloadOf(p); ok && w.Kind == "StatefulSet" && w.Namespace == s.Namespace && w.Name == s.Name && running(p) {
			out = append(out, p)
		}
	}
	return out
}

// noService is about a name below a Service that does not exist, while a
// StatefulSet has such pods.
func (h *headless) noService(set *appsv1.StatefulSet, n serviceName) *diagnose.Finding {
	f := h.nameless(set)
	f.Severity = diagnose.Degraded
	if governing := h.names.services[set.Namespace+"/"+set.Spec.ServiceName]; governing != nil && n.service != set.Spec.ServiceName {
		right := n.rest + "." + governing.Name + "." + governing.Namespace
		f.Claim = fmt.Sprintf("%s.%s is looked up, and the pods of StatefulSet %s/%s have their names below its serviceName: %s", n.rest, n.id(), set.Namespace, set.Name, right)
		f.Evidence[0].Want = "the Service in the name that is looked up"
		f.Remedies = []remedy.Remedy{{
			Title: "Tell the program " + right, Why: "serviceName of a StatefulSet cannot be changed; another headless Service gives no names to its pods.",
			Manual: []string{fmt.Sprintf("kubectl -n %s get statefulset %s -o jsonpath='{.spec.serviceName}'", set.Namespace, set.Name)},
		}}
	}
	return &f
}

// nameless says that a StatefulSet's serviceName names no Service.
func (h *headless) nameless(set *appsv1.StatefulSet) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  setRef(set),
		Affects:  append(affectedPods(h.podsOf(set)), ref(facts.Services.Kind(), set.Namespace, set.Spec.ServiceName)),
		Claim: fmt.Sprintf("StatefulSet %s/%s gives its pods names below Service %s, which does not exist, so %s-0.%s and the others have no names",
			set.Namespace, set.Name, set.Spec.ServiceName, set.Name, set.Spec.ServiceName),
		Evidence: []diagnose.Evidence{{
			Fact: setRef(set).String() + " spec.serviceName", Got: set.Spec.ServiceName, Want: "the name of a headless Service of namespace " + set.Namespace,
			Command: fmt.Sprintf("kubectl -n %s get statefulset %s -o jsonpath='{.spec.serviceName}'; kubectl -n %s get services", set.Namespace, set.Name, set.Namespace),
		}},
	}
	selector := map[string]string{}
	if set.Spec.Selector != nil {
		selector = set.Spec.Selector.MatchLabels
	}
	f.Remedies = []remedy.Remedy{{
		Title: "Make the headless Service that the StatefulSet names",
		Why:   "It adds names; nothing restarts. It publishes pods before they are ready, as peers look for each other then.",
		Manual: []string{fmt.Sprintf(`kubectl -n %s create -f - <<<'{"apiVersion":"v1","kind":"Service","metadata":{"name":"%s"},"spec":{"clusterIP":"None","publishNotReadyAddresses":true,"selector":%s}}'`,
			set.Namespace, set.Spec.ServiceName, jsonOf(selector))},
	}}
	return f
}

// unnamed is why a headless Service has not the name that was looked up; nil
// when it has, or the reason is another's to tell.
func (h *headless) unnamed(s *corev1.Service, n serviceName, set *appsv1.StatefulSet) *diagnose.Finding {
	var selected, ready []*corev1.Pod
	for i := range h.pods {
		if p := &h.pods[i]; running(p) && reach.Selects(s, p) {
			selected = append(selected, p)
			if reach.Ready(p) || s.Spec.PublishNotReadyAddresses {
				ready = append(ready, p)
			}
		}
	}
	slices.SortFunc(selected, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	id := s.Namespace + "/" + s.Name
	if len(selected) == 0 {
		return nil // a selector that matches nothing is l4's to tell
	}
	f := diagnose.Finding{Severity: diagnose.Degraded, Subject: ref(facts.Services.Kind(), s.Namespace, s.Name), Affects: affectedPods(selected)}
	f.Evidence = []diagnose.Evidence{{
		Fact: "kube/services/" + id, Got: fmt.Sprintf("%d of %s ready, publishNotReadyAddresses %t, %s in EndpointSlices", len(ready), diagnose.Count(len(selected), "pod"), s.Spec.PublishNotReadyAddresses, diagnose.Count(h.endpoints[id], "endpoint")),
		Want:    "the pod that is looked up, ready or published before",
		Command: fmt.Sprintf("kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s -o yaml", s.Namespace, s.Name),
	}}
	at := slices.IndexFunc(selected, func(p *corev1.Pod) bool { return p.Name == n.rest || p.Spec.Hostname == n.rest })
	switch {
	case n.rest == "" && len(ready) == 0:
		f.Claim = fmt.Sprintf("Headless Service %s has no name while none of its %s is ready", id, diagnose.Count(len(selected), "pod"))
		f.Remedies = publishUnready(s)
	case n.rest == "" || strings.HasPrefix(n.rest, "_"):
		return nil
	case at >= 0 && selected[at].Spec.Subdomain != s.Name:
		p := selected[at]
		f.Claim = fmt.Sprintf("Pod %s/%s has no name %s.%s: its subdomain is %q, where %q would have to stand", p.Namespace, p.Name, n.rest, s.Name, p.Spec.Subdomain, s.Name)
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: podRef(*p).String() + " spec", Got: fmt.Sprintf("hostname %q, subdomain %q", p.Spec.Hostname, p.Spec.Subdomain), Want: fmt.Sprintf("subdomain %q", s.Name),
			Command: fmt.Sprintf("kubectl -n %s get pod %s -o jsonpath='{.spec.hostname} {.spec.subdomain}'", p.Namespace, p.Name)})
		f.Remedies = subdomain(p, s)
	case at >= 0 && !slices.Contains(ready, selected[at]):
		f.Claim = fmt.Sprintf("Pod %s/%s is not ready, and headless Service %s gives no names to such pods: who must find it before it is ready does not", selected[at].Namespace, selected[at].Name, id)
		f.Remedies = publishUnready(s)
	case at < 0 && set != nil && set.Spec.ServiceName == s.Name && h.waits(set, n.rest):
		f.Affects = append(f.Affects, setRef(set))
		f.Claim = fmt.Sprintf("Pod %s is looked up and not made yet: StatefulSet %s/%s makes its pods one after the other, and %s is not ready", n.rest, set.Namespace, set.Name, selected[len(selected)-1].Name)
		f.Remedies = []remedy.Remedy{{
			Title:  "Let the StatefulSet make its pods all at once",
			Why:    "podManagementPolicy Parallel cannot be set on one that exists: it is deleted without its pods and made again from its manifest.",
			Risk:   remedy.Disruptive,
			Manual: []string{fmt.Sprintf("kubectl -n %s delete statefulset %s --cascade=orphan", set.Namespace, set.Name), "kubectl apply -f MANIFEST_WITH_PARALLEL"},
		}}
	default:
		return nil
	}
	return &f
}

// waits reports whether a StatefulSet has not made a pod that it is to make.
func (h *headless) waits(set *appsv1.StatefulSet, pod string) bool {
	replicas := int32(1)
	if set.Spec.Replicas != nil {
		replicas = *set.Spec.Replicas
	}
	mine := h.podsOf(set)
	return set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement && ordinal(set, pod) && int(replicas) > len(mine) &&
		slices.ContainsFunc(mine, func(p *corev1.Pod) bool { return !reach.Ready(p) })
}

func publishUnready(s *corev1.Service) []remedy.Remedy {
	return []remedy.Remedy{{
		Title:  "Publish the Service's pods before they are ready",
		Why:    "Peers then find each other while they start. All clients of this Service get pods that are not ready too.",
		Manual: []string{fmt.Sprintf(`kubectl -n %s patch service %s --type=merge -p '{"spec":{"publishNotReadyAddresses":true}}'`, s.Namespace, s.Name)},
	}}
}

func subdomain(p *corev1.Pod, s *corev1.Service) []remedy.Remedy {
	m := remedy.Remedy{
		Title: "Give the pods the Service's name as their subdomain",
		Why:   "The pods are made again. Those of a Deployment share one hostname: for a name each, use a StatefulSet with this serviceName.",
		Risk:  remedy.Disruptive,
	}
	w, ok := workloadOf(p)
	switch {
	case ok && w.Kind != "StatefulSet":
		m.Manual = []string{fmt.Sprintf(`kubectl -n %s patch %s %s --type=merge -p '{"spec":{"template":{"spec":{"subdomain":"%s"}}}}'`, w.Namespace, strings.ToLower(w.Kind), w.Name, s.Name)}
	case ok:
		m.Why = "A StatefulSet sets the subdomain of its pods to its serviceName, which cannot be changed: it is deleted without its pods and made again."
		m.Manual = []string{fmt.Sprintf("kubectl -n %s delete statefulset %s --cascade=orphan", w.Namespace, w.Name), "kubectl apply -f MANIFEST_WITH_SERVICENAME"}
	default:
		m.Manual = []string{fmt.Sprintf("kubectl -n %s get pod %s -o yaml", p.Namespace, p.Name)}
	}
	return []remedy.Remedy{m}
}

// declared finds StatefulSets whose serviceName names no Service.
func (h *headless) declared() {
	for i := range h.sets {
		s := &h.sets[i]
		many := s.Spec.Replicas != nil && *s.Spec.Replicas > 1
		if s.Spec.ServiceName != "" && many && h.names.services[s.Namespace+"/"+s.Spec.ServiceName] == nil {
			h.add(h.nameless(s))
		}
	}
}
