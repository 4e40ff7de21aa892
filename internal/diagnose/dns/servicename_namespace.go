package dns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var serviceNameWrongNamespace = &diagnose.Check{
	ID:    "dns/service-name-wrong-namespace",
	Title: "A name is looked up of a Service that is in another namespace",
	Doc: `A short name of a Service is completed with the namespace of the pod that asks: payments, asked for by a pod of namespace shop,
is payments.shop.svc.cluster.local. When the Service is in another namespace, or is called a little otherwise, there is no
such name.

Recognised by a name that was said not to resolve, that a container, probe or hook complained of within the hour, or that CoreDNS
answered NXDOMAIN three times or more in that time and last within ten minutes, where there is no such Service and exactly one
other namespace has one of that name; or where the namespace has one whose name is a letter or two away. What
the log alone tells is a risk: programs also look for what they can do without.

Looks alike: a connection that is refused or times out has its name resolved. Lookups of external names leave NXDOMAIN lines
below svc.cluster.local as well, of more labels than a Service and a namespace.

Fixed by the name with its namespace, payments.payments, in what the program is told. The name in full with
svc.cluster.local has fewer than five dots and still walks the search list, unless a dot ends it.`,
	Needs: []facts.Need{facts.Services, facts.Namespaces},
	Wants: append([]facts.Need{facts.Pods, facts.Events, facts.PodLogs}, clusterNameWants...),
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#namespaces-of-services",
		"https://github.com/kubernetes/dns/blob/master/docs/specification.md",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		pods := facts.Pods.In(v)
		m := misnamed{names: newClusterNames(v), namespaces: map[string]bool{}}
		for _, n := range facts.Namespaces.In(v) {
			m.namespaces[n.Name] = true
		}
		m.asked(newQuestion(v, pods))
		for _, c := range complaints(pods, facts.Events.In(v), v.At()) {
			m.add(c.name, c.pod.Namespace, []*corev1.Pod{c.pod}, diagnose.Evidence{
				Fact: podRef(*c.pod).String() + " said within the hour", Got: facts.Redact(c.text), Want: "a name that exists",
				Command: fmt.Sprintf("kubectl -n %s describe pod %s", c.pod.Namespace, c.pod.Name),
			})
		}
		m.logged(coreDNSLogs(v).of(logNXDomain).current().since(v.At().Add(-time.Hour)), v.At())
		return m.findings()
	},
}

// misnamed are lookups of Services that are elsewhere.
type misnamed struct {
	names      clusterNames
	namespaces map[string]bool
	found      []misname
}

// A misname is a lookup that leads to no Service, and the one that was meant.
type misname struct {
	lookup    string
	namespace string // of who asks; "" when not told
	pods      []*corev1.Pod
	should    *corev1.Service
	typo      bool // should is in the namespace that was asked for
	logged    bool // the log alone tells: nobody says that it matters
	evidence  []diagnose.Evidence
}

func (m *misnamed) asked(q question) {
	if q.lookup == "" {
		return
	}
	m.add(q.lookup, q.namespace, q.pods, diagnose.Evidence{
		Fact: "name " + q.lookup, Got: "does not resolve, as was said", Want: "a name that exists", Command: "kubectl get services -A | grep -w " + firstLabel(q.lookup),
	})
}

func firstLabel(name string) string {
	first, _, _ := strings.Cut(name, ".")
	return first
}

// logged adds the names of Services for which CoreDNS had no answer.
func (m *misnamed) logged(lines logs, now time.Time) {
	for _, name := range lines.sum().names {
		n, ok := m.names.parse(name)
		s := lines.where(func(l logLine) bool { return l.name == name }).sum()
		if !ok || n.rest != "" || s.count < 3 || now.Sub(s.last) > 10*time.Minute {
			continue
		}
		before := len(m.found)
		m.add(name, "", nil, logEvidence(s, false, "a name that exists"))
		for i := before; i < len(m.found); i++ {
			m.found[i].logged = true
		}
	}
}

// add takes a lookup that was in vain, if another Service was meant.
func (m *misnamed) add(lookup, namespace string, pods []*corev1.Pod, e diagnose.Evidence) {
	if m.names.find(lookup, namespace) != nil {
		return
	}
	should, typo := m.elsewhere(lookup, namespace)
	if should == nil {
		return
	}
	for i := range m.found {
		if x := &m.found[i]; x.should == should {
			x.pods, x.evidence = append(x.pods, pods...), append(x.evidence, e)
			x.namespace = cmp.Or(x.namespace, namespace)
			return
		}
	}
	m.found = append(m.found, misname{lookup: lookup, namespace: namespace, pods: pods, should: should, typo: typo, evidence: []diagnose.Evidence{e}})
}

// elsewhere is the Service that was meant: the only one of the name in
// another namespace, else the only one of the namespace whose name is nearly
// the same.
func (m *misnamed) elsewhere(lookup, namespace string) (should *corev1.Service, typo bool) {
	n, ok := m.likely(lookup, namespace)
	if !ok {
		return nil, false
	}
	var same, near []*corev1.Service
	for _, s := range m.names.services {
		switch {
		case s.Name == n.service && s.Namespace != n.namespace:
			same = append(same, s)
		case s.Namespace == n.namespace && n.namespace != "" && len(n.service) > 3 && facts.Distance(s.Name, n.service) <= 1+len(n.service)/8:
			near = append(near, s)
		}
	}
	switch {
	case len(same) == 1:
		return same[0], false
	case len(same) == 0 && len(near) == 1:
		return near[0], true
	}
	return nil, false
}

// likely is the name of a Service that a lookup is meant as: one label is a
// Service of the pod's own namespace, two a Service and a namespace that
// exists, more only below svc.
func (m *misnamed) likely(lookup, namespace string) (serviceName, bool) {
	labels := strings.Split(strings.TrimSuffix(lookup, "."), ".")
	switch {
	case len(labels) == 1:
		return serviceName{service: labels[0], namespace: namespace}, true
	case len(labels) == 2:
		return serviceName{service: labels[0], namespace: labels[1]}, m.namespaces[labels[1]]
	case len(labels) == 3 && labels[2] == "svc":
		return serviceName{service: labels[0], namespace: labels[1]}, true
	}
	n, ok := m.names.parse(lookup)
	return n, ok && n.rest == ""
}

func (m *misnamed) findings() []diagnose.Finding {
	var out []diagnose.Finding
	for _, x := range m.found {
		out = append(out, x.finding(m.names))
	}
	slices.SortFunc(out, func(a, b diagnose.Finding) int { return cmp.Compare(a.Subject.ID, b.Subject.ID) })
	return out
}

func (x misname) finding(names clusterNames) diagnose.Finding {
	s, short := x.should, strings.TrimSuffix(x.lookup, ".")
	right := s.Name + "." + s.Namespace
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  ref(facts.Services.Kind(), s.Namespace, s.Name),
		Affects:  affectedPods(x.pods),
		Evidence: append(x.evidence, diagnose.Evidence{
			Fact: "Services named " + s.Name, Got: "one, in namespace " + s.Namespace, Want: "the name that is looked up", Command: "kubectl get services -A --field-selector metadata.name=" + s.Name,
		}),
	}
	if x.logged {
		f.Severity = diagnose.Risk
	}
	switch {
	case x.typo:
		f.Claim = fmt.Sprintf("No Service has the name %s; namespace %s has Service %s, which was meant in all likelihood", short, s.Namespace, s.Name)
	case x.namespace != "" && !strings.Contains(short, "."):
		f.Claim = fmt.Sprintf("Pods of namespace %s look up %s, and Service %s is in namespace %s: from there its name is %s", x.namespace, short, s.Name, s.Namespace, right)
	case !strings.Contains(short, "."):
		f.Severity = diagnose.Risk // nobody said who asks: pods of its own namespace get an answer
		f.Claim = fmt.Sprintf("Service %s is in namespace %s alone: pods of other namespaces get no answer to %s, and one to %s", s.Name, s.Namespace, short, right)
	default:
		f.Claim = fmt.Sprintf("%s is looked up, which does not exist: Service %s is in namespace %s, and its name is %s", short, s.Name, s.Namespace, right)
	}
	m := remedy.Remedy{
		Title:  "Tell the program " + right,
		Why:    "This name is found from every namespace. Without a dot at its end it walks the search list, like all names with fewer than five dots.",
		Manual: []string{"kubectl -n " + s.Namespace + " get service " + s.Name},
	}
	if n, ok := names.parse(x.lookup); ok && n.rest == "" {
		x.namespace = n.namespace
	}
	if x.namespace != "" && len(x.pods) > 0 {
		m.Manual = append(m.Manual, fmt.Sprintf("kubectl -n %s exec %s -- nslookup %s", x.namespace, x.pods[0].Name, right))
	}
	f.Remedies = []remedy.Remedy{m}
	if x.namespace != "" && x.namespace != s.Namespace && !strings.Contains(short, ".") {
		f.Remedies = append(f.Remedies, remedy.Remedy{
			Title:  "Or give the name to the Service in namespace " + x.namespace + " too",
			Why:    "An ExternalName Service is an alias; the ports are those of the Service that it leads to.",
			Manual: []string{fmt.Sprintf("kubectl -n %s create service externalname %s --external-name %s.svc.%s", x.namespace, s.Name, right, names.domain)},
		})
	}
	return f
}
