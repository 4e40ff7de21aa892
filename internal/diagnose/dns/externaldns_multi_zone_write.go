package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var externalDNSMultiZoneWrite = &diagnose.Check{
	ID:    "dns/externaldns-multi-zone-write",
	Title: "external-dns publishes an internal load balancer in the public zone",
	Doc: `Where a public and a private zone have the same name, external-dns writes each host into both of them unless --aws-zone-type says
which. An internal load balancer then stands in the public zone too: everybody can read its private addresses, and clients outside get a name that
resolves and does not connect.

Recognised by one external-dns without --aws-zone-type that owns the same name in a public and in a private zone, with an internal load balancer
or a private address as the target in the public one.

Looks alike: a load balancer that faces the internet in both zones does no harm. Records that two instances wrote, each into its zone, are on
purpose.

Fixed by two instances, one for each type of zone, each with its own owner id and a filter by annotation. What the first one wrote into zones that
it does not look at any more stays there until somebody deletes it.`,
	Needs: []facts.Need{facts.Deployments, facts.HostedZones, facts.Records, facts.LoadBalancers},
	Wants: []facts.Need{facts.Ingresses, facts.Services, facts.Pods, facts.PodLogs, facts.PodMetrics, facts.ServiceAccounts, facts.Clusters},
	Sources: []string{
		"https://github.com/kubernetes-sigs/external-dns/blob/master/docs/tutorials/aws-public-private-route53.md",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/provider/aws/aws.go",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		x := newPublishing(v)
		var all []diagnose.Finding
		for _, p := range x.publishers {
			if !p.route53() || len(p.flags.all("aws-zone-type")) > 0 {
				continue
			}
			if leaked := x.leaked(p); len(leaked) > 0 {
				all = append(all, x.published(p, leaked))
			}
		}
		return all
	},
}

// leaked are the public records of p that show internal targets, and that
// stand in a private zone as well.
func (x *publishing) leaked(p *publisher) []leftover {
	id, known := p.owner()
	if !known {
		return nil
	}
	var all []leftover
	for _, h := range x.zones {
		for _, r := range h.records {
			name := canonical(facts.Val(r.Name))
			c, ok := p.claimOn(h, r)
			if h.private || !addressed(r) || !ok || c.owner != id || !x.internal(r) || !x.inPrivate(p, id, name) {
				continue
			}
			if !slices.ContainsFunc(all, func(o leftover) bool { return o.host == name }) {
				all = append(all, leftover{in: h, host: name, records: []r53types.ResourceRecordSet{r}, claim: c})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b leftover) int { return x.rank(a.host) - x.rank(b.host) })
	return all
}

// internal reports whether a record leads to something without a public
// address.
func (x *publishing) internal(r r53types.ResourceRecordSet) bool {
	return slices.ContainsFunc(pointees(r), func(s string) bool {
		ip, err := netip.ParseAddr(s)
		return err == nil && ip.IsPrivate() || x.balancers[s] == "internal"
	})
}

// inPrivate reports whether p owns the name in a private zone too.
func (x *publishing) inPrivate(p *publisher, id, name string) bool {
	for _, h := range x.zones {
		if !h.private || !h.holds(name) {
			continue
		}
		for _, r := range h.exactly(name) {
			if c, ok := p.claimOn(h, r); ok && c.owner == id {
				return true
			}
		}
	}
	return false
}

func (x *publishing) published(p *publisher, leaked []leftover) diagnose.Finding {
	o := leaked[0]
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  p.ref(),
		Claim:    fmt.Sprintf("%s has no --aws-zone-type and writes %s, which leads to the internal %s, into public zone %s as well as into the private one", p.label(), o.host, leads(o.records), o.in.name),
	}
	if n := len(leaked); n > 1 {
		var names []string
		for _, l := range leaked[1:] {
			names = append(names, l.host)
		}
		f.Claim += "; likewise " + diagnose.Some(names)
	}
	for i, l := range leaked {
		f.Affects = append(f.Affects, recordRef(l.host))
		if kind, name, ok := strings.Cut(l.claim.resource, "/"); ok && (kind == "ingress" || kind == "service") {
			f.Affects = append(f.Affects, map[string]facts.Ref{"ingress": {Kind: facts.Ingresses.Kind(), ID: name}, "service": {Kind: facts.Services.Kind(), ID: name}}[kind])
		}
		if l.host == x.asked {
			f.Severity = diagnose.Degraded
		}
		if i < 3 {
			f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: recordRef(l.host).String() + " in " + l.in.label(), Got: "points to " + leads(l.records) + " (internal)", Want: "only in the private zone", Command: listing(l.in, l.host)})
		}
	}
	f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: p.ref().String() + " args", Got: orElse(p.zoneFlags(), "no filter of zones"), Want: "--aws-zone-type=public or private", Command: p.args()})
	f.Remedies = []remedy.Remedy{{
		Title:  "Run one external-dns for each type of zone",
		Why:    "The second one needs its own --txt-owner-id and --annotation-filter. What this one wrote into zones that it does not look at any more stays: delete it there afterwards.",
		Risk:   remedy.Disruptive,
		Manual: []string{listing(o.in, o.host), p.withArg("--aws-zone-type=private")},
	}}
	return f
}
