package dns

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hopwise/hopwise/internal/facts"
)

// A wish is a hostname that an Ingress or a Service declares.
type wish struct {
	source  string // ingress or service, as --source names them
	object  *metav1.ObjectMeta
	ingress *networkingv1.Ingress // one of the two is nil
	service *corev1.Service
	host    string // in lower case, without the last dot
	ways    []way  // in which it is declared
}

// A way is where an object names a hostname.
type way struct {
	from   string // rules, tls, or the annotation's name without its prefix
	prefix string // of the annotation
}

func (w wish) ref() facts.Ref {
	kind := facts.Ingresses.Kind()
	if w.service != nil {
		kind = facts.Services.Kind()
	}
	return facts.Ref{Kind: kind, ID: w.name()}
}

func (w wish) name() string { return w.object.Namespace + "/" + w.object.Name }

// label names the object for people.
func (w wish) label() string {
	if w.service != nil {
		return "Service " + w.name()
	}
	return "Ingress " + w.name()
}

// explicit reports whether the object itself names external-dns for the host,
// rather than that it routes by it.
func (w wish) explicit() bool {
	return slices.ContainsFunc(w.ways, func(x way) bool { return x.prefix != "" })
}

// declaredHosts are the hostnames of all Ingresses and Services, one each of an
// object and a host. prefixes are those under which annotations count.
func declaredHosts(v *facts.View, prefixes []string) []*wish {
	var all []*wish
	for i := range facts.Ingresses.In(v) {
		all = append(all, ofIngress(&facts.Ingresses.In(v)[i], prefixes)...)
	}
	for i := range facts.Services.In(v) {
		all = append(all, ofService(&facts.Services.In(v)[i], prefixes)...)
	}
	return all
}

func ofIngress(ing *networkingv1.Ingress, prefixes []string) []*wish {
	var all []*wish
	add := func(host string, x way) {
		all = adding(all, host, x, wish{source: "ingress", object: &ing.ObjectMeta, ingress: ing})
	}
	for _, r := range ing.Spec.Rules {
		add(r.Host, way{from: "rules"})
	}
	for _, t := range ing.Spec.TLS {
		for _, h := range t.Hosts {
			add(h, way{from: "tls"})
		}
	}
	annotated(ing.Annotations, prefixes, add, "hostname")
	return all
}

func ofService(s *corev1.Service, prefixes []string) []*wish {
	var all []*wish
	annotated(s.Annotations, prefixes, func(host string, x way) {
		all = adding(all, host, x, wish{source: "service", object: &s.ObjectMeta, service: s})
	}, "hostname", "internal-hostname")
	return all
}

func annotated(set map[string]string, prefixes []string, add func(string, way), names ...string) {
	for _, prefix := range prefixes {
		for _, name := range names {
			for host := range strings.SplitSeq(strings.ReplaceAll(set[prefix+name], " ", ""), ",") {
				add(host, way{name, prefix})
			}
		}
	}
}

// adding adds a way to the wish for host, and the wish where it is new. What
// is no name, such as a template, is none.
func adding(all []*wish, host string, x way, w wish) []*wish {
	host = canonical(host)
	if !hostname.MatchString(host) {
		return all
	}
	for _, old := range all {
		if old.host == host {
			old.ways = append(old.ways, x)
			return all
		}
	}
	w.host, w.ways = host, []way{x}
	return append(all, &w)
}

// hostname is the form of names that records have: with a dot in it, and a
// wildcard only at its start.
var hostname = regexp.MustCompile(`^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)+$`)

// canonical is a name in the form in which names are compared.
func canonical(name string) string {
	return strings.ToLower(strings.TrimSuffix(strings.ReplaceAll(strings.TrimSpace(name), `\052`, "*"), "."))
}

// target is the canonical form of what a record points to. The dualstack name
// of a load balancer is another name of the same one.
func target(s string) string { return strings.TrimPrefix(canonical(s), "dualstack.") }

// targets are what a record of w should point to: the annotation's under any
// of prefixes, else the load balancer's. It reports false where external-dns
// takes them from pods or nodes, which are not followed here.
func (w wish) targets(prefixes []string) (all []string, known bool) {
	for _, prefix := range prefixes {
		for t := range strings.SplitSeq(strings.ReplaceAll(w.object.Annotations[prefix+"target"], " ", ""), ",") {
			if t != "" {
				all = append(all, target(t))
			}
		}
	}
	if len(all) > 0 {
		return all, true
	}
	if w.ingress != nil {
		for _, lb := range w.ingress.Status.LoadBalancer.Ingress {
			all = appendTarget(all, lb.IP, lb.Hostname)
		}
		return all, true
	}
	return w.ofService()
}

func (w wish) ofService() (all []string, known bool) {
	s := w.service
	internal := !slices.ContainsFunc(w.ways, func(x way) bool { return x.from == "hostname" })
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return []string{target(s.Spec.ExternalName)}, len(s.Spec.ExternalIPs) == 0
	case s.Spec.Type != corev1.ServiceTypeLoadBalancer:
		return nil, false
	case internal:
		return []string{s.Spec.ClusterIP}, true
	case len(s.Spec.ExternalIPs) > 0:
		return slices.Clone(s.Spec.ExternalIPs), true
	}
	for _, lb := range s.Status.LoadBalancer.Ingress {
		all = appendTarget(all, lb.IP, lb.Hostname)
	}
	return all, true
}

func appendTarget(all []string, names ...string) []string {
	for _, n := range names {
		if n != "" {
			all = append(all, target(n))
		}
	}
	return all
}

// isIP reports whether a target is an address.
func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// ingressClass is the class that external-dns compares with --ingress-class.
func ingressClass(ing *networkingv1.Ingress) string {
	if c := ing.Spec.IngressClassName; c != nil && *c != "" {
		return *c
	}
	return ing.Annotations["kubernetes.io/ingress.class"]
}

// A refusal is why a publisher does not make a wish's record: how far the wish
// came, so that the publisher that was nearest can be named.
type refusal struct {
	step   int // steps passed
	why    string
	got    string // the object's side
	want   string
	prefix bool // only the annotation's prefix is wrong
}

// takes says whether p would publish w, and why not. What cannot be told, it
// takes: that raises no alarm.
func (p *publisher) takes(w *wish) (bool, refusal) {
	for step, test := range []func(*wish) *refusal{p.hasSource, p.inNamespace, p.selects, p.ofClass, p.forController, p.ofType, p.reads} {
		if r := test(w); r != nil {
			r.step = step
			return false, *r
		}
	}
	return true, refusal{}
}

func (p *publisher) hasSource(w *wish) *refusal {
	sources := p.flags.all("source")
	if slices.Contains(sources, w.source) || p.unreadable() {
		return nil
	}
	return &refusal{why: "it has no --source=" + w.source, got: "--source=" + strings.Join(sources, ", --source="), want: "--source=" + w.source + " as well"}
}

func (p *publisher) inNamespace(w *wish) *refusal {
	ns := p.flags.last("namespace", "")
	if ns == "" || ns == w.object.Namespace || p.flags.vague("namespace") {
		return nil
	}
	return &refusal{why: "it looks only at namespace " + ns, got: "--namespace=" + ns, want: "no --namespace, or " + w.object.Namespace}
}

func (p *publisher) selects(w *wish) *refusal {
	for flag, set := range map[string]map[string]string{"label-filter": w.object.Labels, "annotation-filter": w.object.Annotations} {
		text := p.flags.last(flag, "")
		sel, err := labels.Parse(text)
		if err != nil || p.flags.vague(flag) || sel.Matches(labels.Set(set)) {
			continue
		}
		return &refusal{why: "its --" + flag + "=" + text + " leaves the object out", got: "no match for " + text, want: "a " + strings.TrimSuffix(flag, "-filter") + " that matches " + text}
	}
	return nil
}

func (p *publisher) ofClass(w *wish) *refusal {
	classes := p.flags.all("ingress-class")
	if w.ingress == nil || len(classes) == 0 || p.flags.vague("ingress-class") || slices.Contains(classes, ingressClass(w.ingress)) {
		return nil
	}
	got := ingressClass(w.ingress)
	if got == "" {
		got = "none"
	}
	return &refusal{why: "it takes only Ingresses of class " + strings.Join(classes, " or "), got: "class " + got, want: "class " + strings.Join(classes, " or ")}
}

func (p *publisher) forController(w *wish) *refusal {
	key := p.prefix() + "controller"
	value, ok := w.object.Annotations[key]
	if !ok || p.prefix() == "" || value == "dns-controller" {
		return nil
	}
	return &refusal{why: "annotation " + key + " gives the object to another controller", got: value, want: "dns-controller, or no such annotation"}
}

// ofType looks whether the Service is of a type that gives a target.
func (p *publisher) ofType(w *wish) *refusal {
	if w.service == nil {
		return nil
	}
	kind := string(w.service.Spec.Type)
	if kind == "" {
		kind = string(corev1.ServiceTypeClusterIP)
	}
	if types := p.flags.all("service-type-filter"); len(types) > 0 && !p.flags.vague("service-type-filter") && !slices.Contains(types, kind) {
		return &refusal{why: "it takes only Services of type " + strings.Join(types, " or "), got: "type " + kind, want: "type " + strings.Join(types, " or ")}
	}
	public := !slices.ContainsFunc(w.ways, func(x way) bool { return x.from == "internal-hostname" })
	targeted := slices.ContainsFunc(p.readPrefixes(), func(prefix string) bool { return w.object.Annotations[prefix+"target"] != "" })
	if kind == string(corev1.ServiceTypeClusterIP) && w.service.Spec.ClusterIP != corev1.ClusterIPNone && public && !targeted &&
		!p.flags.on("publish-internal-services") && !p.flags.vague("publish-internal-services") {
		return &refusal{why: "a Service of type ClusterIP gets a record only with --publish-internal-services", got: "type ClusterIP", want: "type LoadBalancer, or --publish-internal-services"}
	}
	return nil
}

// readPrefixes are those whose annotations p may read: one, or all that there
// are where the facts do not tell.
func (p *publisher) readPrefixes() []string {
	if prefix := p.prefix(); prefix != "" {
		return []string{prefix}
	}
	return []string{prefixGA, prefixAlpha}
}

// reads looks whether one of the ways in which the host is declared is one
// that p reads.
func (p *publisher) reads(w *wish) *refusal {
	only := p.hostnameSource(w)
	var unread *refusal
	for _, x := range w.ways {
		switch {
		case x.from == "rules" && p.flags.on("ignore-ingress-rules-spec"), x.from == "tls" && p.flags.on("ignore-ingress-tls-spec"),
			x.prefix != "" && p.flags.on("ignore-hostname-annotation"):
			unread = &refusal{why: "its flags tell it to ignore where the host stands (" + x.from + ")", got: x.from + " is ignored", want: "no --ignore-... flag for it"}
		case only == "annotation-only" && x.prefix == "", only == "defined-hosts-only" && x.prefix != "":
			unread = &refusal{why: "annotation ingress-hostname-source=" + only + " leaves the host out", got: only, want: "the other source of hostnames, or no such annotation"}
		case x.prefix != "" && !slices.Contains(p.readPrefixes(), x.prefix):
			unread = &refusal{why: "it reads annotations that begin with " + p.prefix() + ", not " + x.prefix, got: x.prefix + x.from, want: p.prefix() + x.from, prefix: true}
		default:
			return nil
		}
	}
	return unread
}

// hostnameSource is the Ingress annotation that limits where hosts come from.
func (p *publisher) hostnameSource(w *wish) string {
	for _, prefix := range p.readPrefixes() {
		if s := w.object.Annotations[prefix+"ingress-hostname-source"]; w.ingress != nil && s != "" {
			return strings.ToLower(s)
		}
	}
	return ""
}
