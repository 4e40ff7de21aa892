package dns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var externalNameIssues = &diagnose.Check{
	ID:    "dns/externalname-issues",
	Title: "An ExternalName Service leads to no name",
	Doc: `A Service of type ExternalName is an alias and nothing else: CoreDNS answers with a CNAME, and the client asks for that name.
An address is no name, nor is one with a scheme, a port or a path. An alias of itself, of a Service that does not exist, or of
a name without a record leads nowhere.

Recognised by such a target: what is no name of a host; the Service's own name, or a ring of them; a name below
svc.cluster.local without its Service; a name of a Route 53 zone of the account, all of whose records were read, that
neither has it nor hands it on to other nameservers. A fault when the name that was said not to resolve leads there, else a
risk: nobody may use it.

Looks alike: a target that resolves, and a server that answers 404 or another certificate: clients send the Service's name as
Host and SNI, which an alias does not change; ports in the Service change nothing either.

Fixed by the right name; for addresses by a Service without selector and an EndpointSlice of its own.`,
	Needs:    []facts.Need{facts.Services},
	Wants:    append([]facts.Need{facts.HostedZones, facts.Records, facts.Clusters, facts.ResolverRules, facts.Pods}, clusterNameWants...),
	CausedBy: []string{"dns/split-horizon-shadowing"},
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/service/#externalname",
		"https://kubernetes.io/docs/concepts/services-networking/service/#services-without-selectors",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		a := aliases{names: newClusterNames(v), zones: hostedZones(v), all: facts.HostedZones.In(v)}
		for _, r := range facts.ResolverRules.In(v) {
			if r.RuleType == "FORWARD" {
				a.forwarded = append(a.forwarded, canonical(facts.Val(r.DomainName)))
			}
		}
		q := newQuestion(v, facts.Pods.In(v))
		asked := a.names.find(q.lookup, cmp.Or(q.namespace, v.Target().Namespace))
		var out []diagnose.Finding
		for i, s := range facts.Services.In(v) {
			if s.Spec.Type != corev1.ServiceTypeExternalName || s.DeletionTimestamp != nil {
				continue
			}
			if why := a.wrong(&facts.Services.In(v)[i]); why != nil {
				out = append(out, why.finding(asked))
			}
		}
		return out
	},
}

// aliases are the ExternalName Services and what their targets may be.
type aliases struct {
	names     clusterNames
	zones     []*hosted
	all       []facts.HostedZone
	forwarded []string // domains that resolver rules hand on
}

// A brokenAlias is an ExternalName Service that leads nowhere, and why.
type brokenAlias struct {
	service *corev1.Service
	why     string
	want    string
	zone    *hosted
	address bool
}

// wrong is why s leads nowhere; nil when it may lead somewhere.
func (a aliases) wrong(s *corev1.Service) *brokenAlias {
	to := strings.TrimSuffix(s.Spec.ExternalName, ".")
	b := &brokenAlias{service: s, want: "the name of a host"}
	_, err := netip.ParseAddr(to)
	n, ours := a.names.parse(to)
	switch {
	case err == nil:
		b.why, b.address = "which is an address, where only a name can stand", true
	case to == "" || strings.ContainsAny(to, ":/_ ") || len(resolve.Normal(to)) > 254:
		b.why = "which is no name of a host: it has a scheme, a port, a path or a character that names have not"
	case ours && a.ring(s):
		b.why = "which leads back to it"
	case ours && a.names.services[n.id()] == nil:
		b.why, b.want = fmt.Sprintf("and namespace %s has no Service %s", n.namespace, n.service), "a Service that exists"
	default:
		return a.noRecord(s, canonical(to))
	}
	return b
}

// ring reports whether s leads back to itself.
func (a aliases) ring(s *corev1.Service) bool {
	at := s
	for range 8 {
		n, ok := a.names.parse(at.Spec.ExternalName)
		if !ok {
			return false
		}
		if at = a.names.services[n.id()]; at == nil || at.Spec.Type != corev1.ServiceTypeExternalName {
			return false
		}
		if at == s {
			return true
		}
	}
	return false
}

// noRecord is why a name of a zone of the account has no answer. The longest
// zone decides, a private one before a public one of the same name; a zone of
// others, or a rule that forwards the name, leaves it open.
func (a aliases) noRecord(s *corev1.Service, name string) *brokenAlias {
	longest := ""
	for _, z := range a.all {
		if n := canonical(facts.Val(z.Name)); (name == n || strings.HasSuffix(name, "."+n)) && len(n) > len(longest) {
			longest = n
		}
	}
	own := slices.DeleteFunc(slices.Clone(a.zones), func(h *hosted) bool { return h.name != longest })
	foreign := 0
	for _, z := range a.all {
		if canonical(facts.Val(z.Name)) == longest {
			foreign++
		}
	}
	if longest == "" || len(own) == 0 || len(own) != foreign || slices.ContainsFunc(a.forwarded, func(d string) bool { return d != "" && (name == d || strings.HasSuffix(name, "."+d)) }) {
		return nil
	}
	for _, h := range own {
		if !h.whole || len(h.of(name)) > 0 || h.delegates(name) {
			return nil
		}
	}
	return &brokenAlias{service: s, zone: own[0], want: "a record of this name",
		why: fmt.Sprintf("and %s has no such record", own[0].label())}
}

// delegates reports whether a zone hands a name on to other nameservers.
func (h *hosted) delegates(name string) bool {
	for _, r := range h.records {
		at := canonical(facts.Val(r.Name))
		if r.Type == "NS" && at != h.name && (name == at || strings.HasSuffix(name, "."+at)) {
			return true
		}
	}
	return false
}

func (b *brokenAlias) finding(asked *corev1.Service) diagnose.Finding {
	s := b.service
	get := fmt.Sprintf("kubectl -n %s get service %s -o jsonpath='{.spec.externalName}'", s.Namespace, s.Name)
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  ref(facts.Services.Kind(), s.Namespace, s.Name),
		Claim:    fmt.Sprintf("Service %s/%s is an alias of %s, %s: its name does not resolve", s.Namespace, s.Name, cmp.Or(s.Spec.ExternalName, `""`), b.why),
		Evidence: []diagnose.Evidence{{Fact: "kube/services/" + s.Namespace + "/" + s.Name + " spec.externalName", Got: cmp.Or(s.Spec.ExternalName, "none"), Want: b.want, Command: get}},
	}
	if asked == s {
		f.Severity = diagnose.Degraded
	}
	if b.zone != nil {
		f.Affects = []facts.Ref{b.zone.ref(), recordRef(canonical(s.Spec.ExternalName))}
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: b.zone.ref().String() + " records", Got: "none of this name", Want: b.want, Command: listing(b.zone, canonical(s.Spec.ExternalName))})
	}
	f.Remedies = []remedy.Remedy{{
		Title:  "Set the name that was meant",
		Why:    "Clients follow it as soon as their caches forget the old answer, within 30 seconds or so.",
		Manual: []string{fmt.Sprintf(`kubectl -n %s patch service %s --type=merge -p '{"spec":{"externalName":"RIGHT.NAME"}}'`, s.Namespace, s.Name)},
	}}
	if b.address {
		f.Remedies = []remedy.Remedy{b.byAddress()}
	}
	return f
}

// byAddress makes the Service one that leads to an address.
func (b *brokenAlias) byAddress() remedy.Remedy {
	s := b.service
	port := int32(443)
	if len(s.Spec.Ports) > 0 {
		port = s.Spec.Ports[0].Port
	}
	family := "IPv4"
	if strings.Contains(s.Spec.ExternalName, ":") {
		family = "IPv6"
	}
	return remedy.Remedy{
		Title: "Make it a Service without selector, with an EndpointSlice that holds the address",
		Why:   "Its name then resolves to a ClusterIP that leads to the address. Set the port that the server has.",
		Manual: []string{
			fmt.Sprintf(`kubectl -n %s patch service %s --type=merge -p '{"spec":{"type":"ClusterIP","externalName":null,"selector":null,"ports":[{"name":"p","port":%d}]}}'`, s.Namespace, s.Name, port),
			fmt.Sprintf(`kubectl -n %s create -f - <<<'{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"%s-1","labels":{"kubernetes.io/service-name":"%s","endpointslice.kubernetes.io/managed-by":"staff"}},"addressType":"%s","ports":[{"name":"p","port":%d,"protocol":"TCP"}],"endpoints":[{"addresses":["%s"]}]}'`,
				s.Namespace, s.Name, s.Name, family, port, s.Spec.ExternalName),
		},
	}
}
