package dns

import (
	"fmt"
	"slices"
	"strings"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var publicZoneDelegationBroken = &diagnose.Check{
	ID:    "dns/public-zone-delegation-broken",
	Title: "The internet does not ask the public zone that has the record",
	Doc: `Resolvers find a public zone by the NS records of its parent, for a registered domain by those of the registrar. Each zone that
is made in Route 53 has four name servers of its own: when a zone is made again, or twice, or the parent has no NS records for it,
its records stand there and nobody asks for them.

Recognised by a name that was said not to resolve, or that CoreDNS got NXDOMAIN or SERVFAIL for in the last hour: the account's public
zone of the name has a record, and the account's parent zone has no NS records for it or ones of other servers; or the account has two
public zones of that name and only one has the record.

Looks alike: a private zone that hides the name (split-horizon-shadowing); a record that is nowhere. What the registrar has cannot
be read here, so a single zone of a registered domain is taken for delegated.

Fixed by the zone's own name servers in the parent or at the registrar. Resolvers keep the old ones for up to two days.`,
	Needs: []facts.Need{facts.HostedZones, facts.Records, facts.Clusters},
	Wants: lookupWants(facts.HostedZones, facts.Records, facts.Clusters),
	Sources: []string{
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-routing-traffic-for-subdomains.html",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/troubleshooting-new-dns-settings-not-in-effect.html",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/domain-name-servers-glue-records.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ls := newLookups(v)
		public := slices.DeleteFunc(hostedZones(v), func(h *hosted) bool { return h.private })
		var out []diagnose.Finding
		done := map[string]bool{}
		for _, l := range ls.names {
			z := ls.zone(l)
			if !l.fails(logNXDomain, logServFail) || !l.publicDNS() && (z == nil || isPrivateZone(z)) {
				continue
			}
			if b := misdelegated(l, public); b != nil && !done[b.zone.id] {
				done[b.zone.id] = true
				out = append(out, b.finding())
			}
		}
		return out
	},
}

// A misdelegation is a public zone that has a record, and why it is not asked.
type misdelegation struct {
	lookup *lookup
	zone   *hosted   // that has the record
	parent *hosted   // nil when the account has none
	twins  []*hosted // of the same name
	got    []string  // the name servers that the parent names
}

// misdelegated is why a name that a public zone has is not found; nil when
// nothing says so.
func misdelegated(l *lookup, public []*hosted) *misdelegation {
	var same []*hosted
	for _, h := range public {
		switch {
		case !h.holds(l.end) || len(same) > 0 && len(h.name) < len(same[0].name):
		case len(same) > 0 && h.name == same[0].name:
			same = append(same, h)
		default:
			same = []*hosted{h}
		}
	}
	i := slices.IndexFunc(same, func(h *hosted) bool { return len(h.of(l.end)) > 0 && !h.delegates(l.end) })
	if i < 0 {
		return nil
	}
	m := &misdelegation{lookup: l, zone: same[i]}
	for _, h := range same {
		if h != m.zone {
			m.twins = append(m.twins, h)
		}
	}
	m.parent = parentOf(m.zone, public)
	if m.wrong() {
		return m
	}
	return nil
}

// parentOf is the most specific public zone above h; nil when there is none,
// or several of that name.
func parentOf(h *hosted, public []*hosted) *hosted {
	var best *hosted
	twice := false
	for _, p := range public {
		if p.name == h.name || !p.holds(h.name) || best != nil && len(p.name) < len(best.name) {
			continue
		}
		twice = best != nil && p.name == best.name
		best = p
	}
	if twice {
		return nil
	}
	return best
}

// wrong reports whether the zone with the record is not the one that is asked.
func (m *misdelegation) wrong() bool {
	own := m.zone.servers(m.zone.name)
	lacks := slices.ContainsFunc(m.twins, func(h *hosted) bool { return h.whole && len(h.of(m.lookup.end)) == 0 })
	if m.parent == nil {
		return lacks
	}
	if !m.parent.whole || len(own) == 0 {
		return false
	}
	m.got = m.parent.servers(m.zone.name)
	if slices.ContainsFunc(m.got, func(s string) bool { return slices.Contains(own, s) }) {
		return false
	}
	// A twin that is delegated to and has the record answers.
	return !slices.ContainsFunc(m.twins, func(h *hosted) bool {
		asked := slices.ContainsFunc(h.servers(h.name), func(s string) bool { return slices.Contains(m.got, s) })
		return asked && (!h.whole || len(h.of(m.lookup.end)) > 0)
	})
}

// servers are the name servers that a zone names for a domain, sorted.
func (h *hosted) servers(domain string) []string {
	var out []string
	for _, r := range h.named[domain] {
		if r.Type == r53types.RRTypeNs {
			out = append(out, pointees(r)...)
		}
	}
	slices.Sort(out)
	return out
}

func (m *misdelegation) finding() diagnose.Finding {
	n, own := needed{m.lookup}, m.zone.servers(m.zone.name)
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  m.zone.ref(),
		Affects:  n.refs(),
		Evidence: []diagnose.Evidence{{Fact: m.zone.ref().String() + " records", Got: m.lookup.end + " -> " + leads(m.zone.of(m.lookup.end)) + ", and name servers " + diagnose.Some(own), Want: "a zone that is asked", Command: listing(m.zone, m.lookup.end)}},
	}
	for _, h := range m.twins {
		f.Affects = append(f.Affects, h.ref())
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: h.ref().String(), Got: "a second public zone " + h.name + ", with name servers " + diagnose.Some(h.servers(h.name)), Want: "one public zone of a name", Command: "aws route53 list-hosted-zones-by-name --dns-name " + h.name})
	}
	var r remedy.Remedy
	if m.parent == nil {
		f.Claim = fmt.Sprintf("%s has a record in %s and none in %s: it resolves only if the domain's registration names the servers of the first", m.lookup.label(), m.zone.label(), m.twins[0].label())
		r = remedy.Remedy{Title: "See which zone the domain's registration names, and keep all records in that one",
			Why:    "Name servers at the registrar take up to two days to be known everywhere; a record in the zone that is asked is known in minutes.",
			Manual: []string{"dig +short NS " + m.zone.name, "aws route53domains get-domain-detail --region us-east-1 --domain-name " + m.zone.name + " --query 'Nameservers[].Name'", copyRecords("CREATE", m.twins[0].id, m.lookup.end, m.zone.of(m.lookup.end))}}
	} else {
		f.Affects = append(f.Affects, m.parent.ref())
		got := orElse(diagnose.Some(m.got), "none")
		f.Claim = fmt.Sprintf("%s has the record of %s, and its parent, %s, hands %s over to other name servers (%s)", capital(m.zone.label()), m.lookup.label(), m.parent.label(), m.zone.name, got)
		if len(m.got) == 0 {
			f.Claim = fmt.Sprintf("%s has the record of %s, and its parent, %s, has no NS records for %s: nobody asks the zone", capital(m.zone.label()), m.lookup.label(), m.parent.label(), m.zone.name)
		}
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: m.parent.ref().String() + " NS " + m.zone.name, Got: got, Want: strings.Join(own, ", "), Command: listing(m.parent, m.zone.name)})
		r = remedy.Remedy{Title: "Write the zone's own name servers into its parent", Why: "Resolvers that know the old ones keep them for the time of the old record. Note the old values: UPSERT with these undoes it.", Risk: remedy.Disruptive,
			Manual: []string{copyRecords("UPSERT", m.parent.id, m.zone.name, m.zone.nameServers())}}
	}
	f.Evidence = append(f.Evidence, n.evidence()...)
	f.Remedies = []remedy.Remedy{r}
	return f
}

// nameServers is the record of a zone's own name servers.
func (h *hosted) nameServers() []r53types.ResourceRecordSet {
	return slices.DeleteFunc(slices.Clone(h.named[h.name]), func(r r53types.ResourceRecordSet) bool { return r.Type != r53types.RRTypeNs })
}
