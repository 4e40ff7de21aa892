package dns

import (
	"fmt"
	"slices"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var externalDNSNoMatchingZone = &diagnose.Check{
	ID:    "dns/externaldns-no-matching-zone",
	Title: "No hosted zone that external-dns uses can hold the name",
	Doc: `external-dns writes a name into hosted zones whose own name is the name's end, and of these only into those that its filters leave:
--domain-filter (of the zone's name, and of the record's), --zone-id-filter, --aws-zone-type, tags. A filter that is narrower than the zone, such as
--domain-filter=dev.example.com with the zone example.com, leaves no zone at all unless --aws-zone-match-parent is set. What finds no zone is left
out at debug level; the usual log says "All records are already up to date".

Recognised by a hostname that external-dns takes and that has a target, no record, and no zone that the flags leave.

Looks alike: zones of another account (--aws-assume-role, a role of another account) and zone tags cannot be seen here, and are not judged. A host
that only routes, whose domain is kept with another provider, is left alone unless the question names it.

Fixed by the filter, by a zone of that name and its delegation, or by a role in the account that has the zone.`,
	Needs: publishingNeeds,
	Wants: publishingWants,
	Sources: []string{
		"https://github.com/kubernetes-sigs/external-dns/blob/master/provider/aws/aws.go",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/endpoint/domain_filter.go",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/docs/flags.md",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		x := newPublishing(v)
		by := map[*publisher][]lack{}
		for _, l := range x.lacks {
			if x.homeless(l) {
				by[l.takers[0]] = append(by[l.takers[0]], l)
			}
		}
		var all []diagnose.Finding
		for _, p := range x.publishers {
			if len(by[p]) > 0 {
				all = append(all, x.noZone(p, by[p]))
			}
		}
		return all
	},
}

// homeless reports whether none of l's takers has a zone for it, though one is
// surely meant to.
func (x *publishing) homeless(l lack) bool {
	if len(l.takers) == 0 || len(l.wants) == 0 || len(l.got) > 0 || !l.settled(x.at) {
		return false
	}
	for _, p := range l.takers {
		if p.elsewhere(x.account) || len(p.suitable(l.host, x.zones)) > 0 {
			return false
		}
	}
	return x.declared(l) || len(x.zonesOf(l.host)) > 0
}

func (x *publishing) noZone(p *publisher, lost []lack) diagnose.Finding {
	l := lost[0]
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  p.ref(),
		Affects:  objects(lost),
		Claim:    fmt.Sprintf("%s has no record because %s has no zone to write it to: %s%s", l.host, p.label(), x.whyNoZone(p, l.host), others(lost)),
		Evidence: []diagnose.Evidence{
			{Fact: p.ref().String() + " args", Got: orElse(p.zoneFlags(), "no filter"), Want: "filters that leave a zone for " + l.host, Command: p.args()},
		},
	}
	for _, h := range x.zonesOf(l.host) {
		f.Affects = append(f.Affects, h.ref())
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: h.ref().String(), Got: h.label() + ", left out by " + orElse(p.leavesOut(h), p.domains()), Want: "a zone that the filters leave", Command: "aws route53 get-hosted-zone --id " + h.id})
	}
	if len(x.zonesOf(l.host)) == 0 {
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: "hosted zones of the account", Got: diagnose.Some(x.zoneNames()), Want: "a zone whose name ends " + l.host, Command: "aws route53 list-hosted-zones"})
	}
	f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: l.ref().String(), Got: l.host + " declared, " + l.state(), Want: l.should(), Command: l.get()})
	f.Remedies = []remedy.Remedy{x.zoneRemedy(p, l)}
	return f
}

// others counts what else a finding is about.
func others(all []lack) string {
	if n := len(hosts(all)); n > 1 {
		return fmt.Sprintf("; nor have %s", diagnose.Some(hosts(all)[1:]))
	}
	return ""
}

func (x *publishing) whyNoZone(p *publisher, host string) string {
	zones := x.zonesOf(host)
	if len(zones) == 0 {
		return "the account has none whose name is the end of " + host
	}
	f, _ := p.filter()
	for _, h := range zones {
		if p.leavesOut(h) == "" {
			return p.domains() + " leaves the name out"
		}
	}
	h := zones[0]
	why := p.leavesOut(h) + " leaves out " + h.label()
	if f.matchParent(h.name) && p.leavesOut(h) == p.domains() {
		why += ", which is the parent of what it names"
	}
	return why
}

// zoneFlags are the flags of p that choose zones.
func (p *publisher) zoneFlags() string {
	all := p.domains()
	for _, flag := range []string{"zone-id-filter", "aws-zone-type"} {
		for _, value := range p.flags.all(flag) {
			all += " --" + flag + "=" + value
		}
	}
	return all
}

func (x *publishing) zoneNames() []string {
	var names []string
	for _, h := range x.zones {
		names = append(names, h.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (x *publishing) zoneRemedy(p *publisher, l lack) remedy.Remedy {
	zones := x.zonesOf(l.host)
	if len(zones) == 0 {
		return remedy.Remedy{
			Title:  "Make a hosted zone for the name, or let external-dns write where there is one",
			Why:    "A new public zone answers only once the parent zone delegates to it. For a zone of another account external-dns needs --aws-assume-role.",
			Manual: []string{"aws route53 list-hosted-zones", p.args()},
		}
	}
	h := zones[0]
	f, _ := p.filter()
	r := remedy.Remedy{
		Title: "Let the filters of " + p.name() + " leave zone " + h.name,
		Why:   "It may then write to all of this zone, and with --policy=sync delete there what it owns.",
		Risk:  remedy.Disruptive,
	}
	switch why := p.leavesOut(h); {
	case why != "" && why == p.domains() && f.matchParent(h.name) && f.match(l.host):
		r.Manual = []string{p.withArg("--aws-zone-match-parent")}
	case len(p.flags.all("domain-filter")) > 0 && (why == "" || why == p.domains()) && f.includeRegex == nil && !f.match(h.name):
		r.Manual = []string{p.withArg("--domain-filter=" + h.name)}
	case why == "--aws-zone-type="+p.flags.last("aws-zone-type", "") && why != "--aws-zone-type=":
		r.Title = "Let " + p.name() + " write to " + h.kind() + " zones, or run another external-dns for them"
		r.Why = "Without --aws-zone-type it writes every name to both kinds. A second instance needs a --txt-owner-id of its own."
		r.Manual = []string{p.instead("aws-zone-type", p.flags.last("aws-zone-type", ""), "--aws-zone-type="+h.kind())}
	default:
		r.Manual = []string{p.args(), p.kubectl("edit deployment " + p.deployment.Name)}
	}
	return r
}
