package dns

import (
	"regexp"
	"slices"
	"strings"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/facts"
)

// A hosted is a hosted zone of the account with its records.
type hosted struct {
	id      string // without /hostedzone/
	name    string // canonical
	private bool
	records []r53types.ResourceRecordSet
	named   map[string][]r53types.ResourceRecordSet // the same by canonical name
	whole   bool                                    // all of them were read: what is not there is missing
}

// hostedZones are the zones that the account owns. Those of others that are
// associated with the VPC cannot be written to.
func hostedZones(v *facts.View) []*hosted {
	var all []*hosted
	account := accountOfCluster(v)
	for _, z := range facts.HostedZones.In(v) {
		if z.Owner != nil && (facts.Val(z.Owner.OwningService) != "" || facts.Val(z.Owner.OwningAccount) != "" && facts.Val(z.Owner.OwningAccount) != account) {
			continue
		}
		h := &hosted{id: zoneID(facts.Val(z.Id)), name: canonical(facts.Val(z.Name)), private: z.Config != nil && z.Config.PrivateZone, named: map[string][]r53types.ResourceRecordSet{}}
		for _, r := range facts.Records.In(v) {
			if zoneID(r.HostedZoneId) == h.id {
				h.records, h.whole = r.ResourceRecordSets, !r.Partial
			}
		}
		for _, r := range h.records {
			name := canonical(facts.Val(r.Name))
			h.named[name] = append(h.named[name], r)
		}
		all = append(all, h)
	}
	return all
}

func zoneID(s string) string { return strings.TrimPrefix(s, "/hostedzone/") }

// accountOfCluster is the account that the cluster is in, "" when not known.
func accountOfCluster(v *facts.View) string {
	for _, c := range facts.Clusters.In(v) {
		return accountOf(facts.Val(c.Arn))
	}
	return ""
}

func (h *hosted) ref() facts.Ref { return facts.Ref{Kind: facts.HostedZones.Kind(), ID: h.id} }

// kind names the zone's type as --aws-zone-type does.
func (h *hosted) kind() string {
	if h.private {
		return "private"
	}
	return "public"
}

// label names the zone for people.
func (h *hosted) label() string { return h.kind() + " zone " + h.name + " (" + h.id + ")" }

// holds reports whether a name belongs into the zone.
func (h *hosted) holds(name string) bool {
	return name == h.name || strings.HasSuffix(name, "."+h.name)
}

// of are the records of a name that a client would be answered with: A, AAAA
// and CNAME, else those of the wildcard that covers it.
func (h *hosted) of(name string) []r53types.ResourceRecordSet {
	if own := h.exactly(name); len(own) > 0 {
		return own
	}
	for rest := name; rest != h.name && strings.Contains(rest, "."); {
		_, rest, _ = strings.Cut(rest, ".")
		if all := h.exactly("*." + rest); len(all) > 0 {
			return all
		}
	}
	return nil
}

func (h *hosted) exactly(name string) []r53types.ResourceRecordSet {
	return slices.DeleteFunc(slices.Clone(h.named[name]), func(r r53types.ResourceRecordSet) bool { return !addressed(r) })
}

// addressed reports whether a record leads a client to an address.
func addressed(r r53types.ResourceRecordSet) bool {
	return r.Type == r53types.RRTypeA || r.Type == r53types.RRTypeAaaa || r.Type == r53types.RRTypeCname
}

// pointees are the canonical targets of a record.
func pointees(r r53types.ResourceRecordSet) []string {
	if r.AliasTarget != nil {
		return []string{target(facts.Val(r.AliasTarget.DNSName))}
	}
	var all []string
	for _, x := range r.ResourceRecords {
		all = append(all, target(facts.Val(x.Value)))
	}
	return all
}

// A domainFilter is what --domain-filter and its companions let through.
type domainFilter struct {
	include, exclude           []string
	includeRegex, excludeRegex *regexp.Regexp
}

// filter is p's, and whether the facts tell it.
func (p *publisher) filter() (domainFilter, bool) {
	f := domainFilter{include: lowered(p.flags.all("domain-filter")), exclude: lowered(p.flags.all("exclude-domains"))}
	known := !p.flags.vague("domain-filter", "exclude-domains", "regex-domain-filter", "regex-domain-exclusion")
	for flag, re := range map[string]**regexp.Regexp{"regex-domain-filter": &f.includeRegex, "regex-domain-exclusion": &f.excludeRegex} {
		if text := p.flags.last(flag, ""); text != "" {
			var err error
			if *re, err = regexp.Compile(text); err != nil {
				return f, false
			}
		}
	}
	return f, known
}

func lowered(names []string) []string {
	var all []string
	for _, n := range names {
		all = append(all, canonical(n))
	}
	return all
}

// match is what external-dns asks of the name of a zone or of a record; the
// expressions take the place of the lists.
func (f domainFilter) match(name string) bool {
	if f.includeRegex != nil || f.excludeRegex != nil {
		return (f.excludeRegex == nil || !f.excludeRegex.MatchString(name)) && (f.includeRegex == nil || f.includeRegex.MatchString(name))
	}
	under := func(d string) bool {
		return strings.HasPrefix(d, ".") && strings.HasSuffix(name, d) || name == d || strings.HasSuffix(name, "."+d)
	}
	return (len(f.include) == 0 || slices.ContainsFunc(f.include, under)) && !slices.ContainsFunc(f.exclude, under)
}

// matchParent reports whether a zone is a parent of one of the domains.
func (f domainFilter) matchParent(zone string) bool {
	return slices.ContainsFunc(f.include, func(d string) bool { return !strings.HasPrefix(d, ".") && strings.HasSuffix(d, "."+zone) })
}

// elsewhere reports whether p may write to zones that were not read, or not to
// those that were: another account's, or those with certain tags.
func (p *publisher) elsewhere(account string) bool {
	for _, flag := range []string{"aws-assume-role", "aws-profile", "aws-zone-tags"} {
		if len(p.flags.all(flag)) > 0 {
			return true
		}
	}
	_, known := p.filter()
	return !known || p.flags.vague("zone-id-filter", "aws-zone-type") || p.account != "" && account != "" && p.account != account
}

// leavesOut is why p does not write to a zone, "" when it does.
func (p *publisher) leavesOut(h *hosted) string {
	ids := p.flags.all("zone-id-filter")
	if len(ids) > 0 && !slices.ContainsFunc(ids, func(id string) bool { return strings.HasSuffix(h.id, zoneID(id)) }) {
		return "--zone-id-filter=" + strings.Join(ids, ",")
	}
	if t := p.flags.last("aws-zone-type", ""); t != "" && t != h.kind() {
		return "--aws-zone-type=" + t
	}
	f, _ := p.filter()
	if !f.match(h.name) && !(p.flags.on("aws-zone-match-parent") && f.matchParent(h.name)) {
		return p.domains()
	}
	return ""
}

// domains are p's filters by name, as flags.
func (p *publisher) domains() string {
	var all []string
	for _, flag := range []string{"domain-filter", "exclude-domains", "regex-domain-filter", "regex-domain-exclusion"} {
		for _, value := range p.flags.all(flag) {
			all = append(all, "--"+flag+"="+value)
		}
	}
	return strings.Join(all, " ")
}

// suitable are the zones into which p would write a name: all private ones
// and the most specific public one.
func (p *publisher) suitable(name string, zones []*hosted) []*hosted {
	if f, _ := p.filter(); !f.match(name) {
		return nil
	}
	var all []*hosted
	var public *hosted
	for _, h := range zones {
		switch {
		case !h.holds(name) || p.leavesOut(h) != "":
		case h.private:
			all = append(all, h)
		case public == nil || len(h.name) > len(public.name):
			public = h
		}
	}
	if public != nil {
		all = append(all, public)
	}
	return all
}
