package dns

import (
	"fmt"
	"slices"
	"strings"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var privateZoneNotAssociated = &diagnose.Check{
	ID:    "dns/private-zone-not-associated",
	Title: "A private zone is not associated with the cluster's VPC",
	Doc: `A private hosted zone answers only in the VPCs that it is associated with; peering and transit gateways do not share it. In
any other VPC its names are asked of the public DNS, or of a wider private zone, which does not know them.

Recognised by a name that was said not to resolve, that CoreDNS got NXDOMAIN or SERVFAIL for in the last hour, or, where its domain
can be no public one, that an ExternalName Service stands for: it is in a private zone of the account that the cluster's VPC is not
associated with, and the way of the name ends at the public DNS or in a less specific zone that lacks it.

Looks alike: accounts hold many zones of other VPCs: without such a name they are nobody's fault. A zone that is associated and does
not answer (vpc-enable-dns-hostnames-off), a record that is missing, a Resolver rule that sends the name elsewhere.

Fixed by associating the VPC; names of the zone then get private answers in the whole VPC, and public records of its domain are
hidden. A zone of another account has to authorize the VPC first. What a Route 53 Profile shares is not seen here.`,
	Needs: []facts.Need{facts.Clusters, facts.VPCs, facts.HostedZones},
	Wants: lookupWants(facts.Clusters, facts.VPCs, facts.HostedZones),
	Sources: []string{
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/hosted-zones-private.html",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/hosted-zone-private-associate-vpcs.html",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/hosted-zone-private-associate-vpcs-different-accounts.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ls := newLookups(v)
		d := vpcDNSOf(ls.w, ls.w.VPCAttributes)
		if ls.vpc == "" || d.hostnamesOff() {
			return nil
		}
		ids, groups := ls.byObject(func(l *lookup) string {
			if all := ls.elsewhere(l); len(all) > 0 {
				return zoneID(facts.Val(all[0].Id))
			}
			return ""
		})
		var out []diagnose.Finding
		for _, id := range ids {
			out = append(out, ls.notAssociated(d, ls.elsewhere(groups[id][0]), groups[id]))
		}
		return out
	},
}

// elsewhere are the private zones of the account that a name is in, the most
// specific ones, when it fails because none of them answers in the VPC.
func (ls *lookups) elsewhere(l *lookup) []*facts.HostedZone {
	end := resolve.Normal(l.end)
	if !l.fails(logNXDomain, logServFail) && (len(l.services) == 0 || !notPublic(l.end)) {
		return nil
	}
	least := 0
	switch z, unless := ls.zone(l), len(l.path.Answer.Unless); {
	case l.publicDNS() && unless == 0:
	case z == nil || l.path.Answer.Kind != resolve.NXDomain:
		return nil
	case !isPrivateZone(z) && unless <= 1: // that others serve the domain is always left open
	case isPrivateZone(z) && unless == 0:
		least = len(canonical(facts.Val(z.Name))) + 1 // the VPC can have one zone of a name only
	default:
		return nil
	}
	var best []*facts.HostedZone
	for i := range ls.w.HostedZones {
		z := &ls.w.HostedZones[i]
		name := canonical(facts.Val(z.Name))
		if !isPrivateZone(z) || ls.here(z) || z.Owner != nil || name == "" || !resolve.Within(end, name+".") || len(name) < least || ls.lacks(z, l.end) {
			continue
		}
		if len(best) > 0 && len(name) > len(canonical(facts.Val(best[0].Name))) {
			best = nil
		}
		if len(best) == 0 || canonical(facts.Val(best[0].Name)) == name {
			best = append(best, z)
		}
	}
	return best
}

// lacks reports whether all records of a zone were read and a name has none.
func (ls *lookups) lacks(z *facts.HostedZone, name string) bool {
	for _, r := range ls.w.Records {
		if zoneID(r.HostedZoneId) == zoneID(facts.Val(z.Id)) && !r.Partial {
			h := &hosted{name: canonical(facts.Val(z.Name)), records: r.ResourceRecordSets}
			return len(h.index().of(name)) == 0
		}
	}
	return false
}

// index lists a zone's records by name.
func (h *hosted) index() *hosted {
	h.named = map[string][]r53types.ResourceRecordSet{}
	for _, r := range h.records {
		h.named[canonical(facts.Val(r.Name))] = append(h.named[canonical(facts.Val(r.Name))], r)
	}
	return h
}

// reserved are domains of the top that the public DNS does not have, so that
// only private zones and servers can (RFC 2606, RFC 6762, ICANN's resolution
// on .internal, and names that ICANN does not delegate).
var reserved = []string{"internal", "local", "localdomain", "lan", "corp", "home", "mail", "intranet", "private", "test", "invalid", "example"}

func notPublic(name string) bool {
	return slices.Contains(reserved, name[strings.LastIndex(name, ".")+1:])
}

func (ls *lookups) notAssociated(d vpcDNS, zones []*facts.HostedZone, n needed) diagnose.Finding {
	z := zones[0]
	f := diagnose.Finding{
		Severity: n.severity(),
		Subject:  zoneRef(z),
		Affects:  append([]facts.Ref{vpcRef(ls.vpc)}, n.refs()...),
		Claim:    fmt.Sprintf("%s is not associated with %s, so %s is asked of the %s there", capital(zoneLabel(z)), ls.vpc, n.names(), ls.instead(n[0])),
		Evidence: append([]diagnose.Evidence{{Fact: zoneRef(z).String() + " VPCs", Got: "not " + ls.vpc, Want: ls.vpc + " among them", Command: "aws route53 get-hosted-zone --id " + zoneID(facts.Val(z.Id)) + " --query VPCs"}}, n.evidence()...),
	}
	if !slices.ContainsFunc(n, func(l *lookup) bool { return l.asked || notPublic(l.end) }) {
		f.Severity = diagnose.Risk // NXDOMAIN of a public domain may be all that is meant
	}
	f.Evidence = append(f.Evidence, n[0].way("the answer of "+zoneLabel(z)))
	region, id := d.region(), zoneID(facts.Val(z.Id))
	show := fmt.Sprintf("aws route53 list-resource-record-sets --hosted-zone-id %s --start-record-name %s --max-items 5", id, n[0].end)
	why := "See first that the zone has the record. All names of " + canonical(facts.Val(z.Name)) + " then get the zone's answers in the whole VPC, and public ones of that domain are hidden."
	switch {
	case len(zones) > 1:
		for _, other := range zones[1:] {
			f.Affects = append(f.Affects, zoneRef(other))
		}
		f.Claim += fmt.Sprintf("; %s have that name, and none of them is", diagnose.Count(len(zones), "zone"))
		var list []string
		for _, each := range zones {
			list = append(list, fmt.Sprintf("aws route53 list-resource-record-sets --hosted-zone-id %s --start-record-name %s --max-items 5", zoneID(facts.Val(each.Id)), n[0].end))
		}
		f.Remedies = []remedy.Remedy{{Title: "See which of the zones has the record, and associate the VPC with that one", Why: "A VPC can be associated with one zone of a name only. " + why, Manual: append(list,
			fmt.Sprintf("aws route53 associate-vpc-with-hosted-zone --hosted-zone-id ZONE --vpc VPCRegion=%s,VPCId=%s", orElse(region, "REGION"), ls.vpc))}}
	case region == "":
		f.Remedies = []remedy.Remedy{{Title: "Associate the VPC with the zone", Why: why, Manual: []string{show, fmt.Sprintf("aws route53 associate-vpc-with-hosted-zone --hosted-zone-id %s --vpc VPCRegion=REGION,VPCId=%s", id, ls.vpc)}}}
	default:
		f.Remedies = []remedy.Remedy{{Title: "Associate the VPC with the zone", Why: why, Risk: remedy.Disruptive,
			Actions: remedy.Actions{remedy.AssociateVPCWithZone{ZoneVPC: remedy.ZoneVPC{Zone: id, Name: facts.Val(z.Name), VPC: ls.vpc, Region: region}}}}}
		f.Evidence[len(f.Evidence)-1].Command = show
	}
	return f
}

// instead is who is asked in the place of the zone.
func (ls *lookups) instead(l *lookup) string {
	if z := ls.zone(l); z != nil {
		return zoneLabel(z)
	}
	return "public DNS"
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
