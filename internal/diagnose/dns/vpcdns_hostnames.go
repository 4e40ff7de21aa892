package dns

import (
	"fmt"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var vpcEnableDNSHostnamesOff = &diagnose.Check{
	ID:    "dns/vpc-enable-dns-hostnames-off",
	Title: "Private names do not resolve: DNS host names are off in the VPC",
	Doc: `Private hosted zones, and the private names of interface endpoints, answer in a VPC only while both enableDnsSupport and
enableDnsHostnames are on. The second one is off in VPCs that were made by API until somebody switches it on. The zone is associated and
has the record, and the name is asked of the public DNS all the same.

Recognised by the attribute, and by what needs it: a private zone of the VPC with records of addresses, or an interface endpoint with
private DNS. A fault when a name of such a zone was said not to resolve or CoreDNS has no answer for it, else a risk.

Looks alike: a zone that is not associated (private-zone-not-associated); name servers of somebody's own in the DHCP options; a record
that is missing. A VPC without private names does well without the attribute.

Fixed by switching it on; instances get DNS names by it. What it does to a private API endpoint is private-endpoint-dns's to say.`,
	Needs:    []facts.Need{facts.Clusters, facts.VPCs, facts.VPCAttribute, facts.HostedZones},
	Wants:    lookupWants(facts.Clusters, facts.VPCs, facts.VPCAttribute, facts.HostedZones),
	CausedBy: []string{"l4/private-endpoint-dns"},
	Sources: []string{
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/hosted-zone-private-considerations.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns-support.html",
		"https://docs.aws.amazon.com/vpc/latest/privatelink/interface-endpoints.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ls := newLookups(v)
		d := vpcDNSOf(ls.w, ls.w.VPCAttributes)
		if d.id == "" || !d.hostnamesOff() || d.supportOff() {
			return nil
		}
		p := privateNames{zones: ls.privateZones(), endpoints: privateEndpoints(ls.w.VPCEndpoints, d.id)}
		for _, l := range ls.names {
			if l.decider(facts.VPCs) == d.id && l.path.Answer.Kind != resolve.Found && (l.fails() || len(l.services) > 0) {
				p.broken = append(p.broken, l)
			}
		}
		some, _ := d.asksAmazon()
		if len(p.broken) == 0 && (!some || len(p.zones)+len(p.endpoints) == 0 || ls.onlyPrivateAPI()) {
			return nil
		}
		return []diagnose.Finding{d.noHostnames(p)}
	},
}

// privateNames are what does not answer without DNS host names.
type privateNames struct {
	zones     []*facts.HostedZone
	endpoints []string // ids of interface endpoints
	broken    needed   // names that are needed
}

// privateZones are the account's private zones of the VPC that lead somebody
// to an address.
func (ls *lookups) privateZones() []*facts.HostedZone {
	var out []*facts.HostedZone
	for i := range ls.w.HostedZones {
		z := &ls.w.HostedZones[i]
		if !isPrivateZone(z) || !ls.here(z) || z.Owner != nil && facts.Val(z.Owner.OwningService) != "" {
			continue
		}
		for _, r := range ls.w.Records {
			if zoneID(r.HostedZoneId) == zoneID(facts.Val(z.Id)) && slices.ContainsFunc(r.ResourceRecordSets, addressed) {
				out = append(out, z)
			}
		}
	}
	return out
}

// privateEndpoints are the interface endpoints of a VPC with private DNS.
func privateEndpoints(all []ec2types.VpcEndpoint, vpc string) []string {
	var out []string
	for _, e := range all {
		if facts.Val(e.VpcId) == vpc && e.VpcEndpointType == ec2types.VpcEndpointTypeInterface && facts.Val(e.PrivateDnsEnabled) {
			out = append(out, facts.Val(e.VpcEndpointId))
		}
	}
	return out
}

// onlyPrivateAPI reports whether the API has a private endpoint only, about
// whose name l4/private-endpoint-dns speaks, with the same remedy.
func (ls *lookups) onlyPrivateAPI() bool {
	for _, c := range ls.w.Clusters {
		if x := c.ResourcesVpcConfig; x != nil && x.EndpointPrivateAccess && !x.EndpointPublicAccess {
			return true
		}
	}
	return false
}

func (p privateNames) words() string {
	var all []string
	for _, z := range p.zones {
		all = append(all, zoneLabel(z))
	}
	for _, e := range p.endpoints {
		all = append(all, "the private names of "+e)
	}
	return diagnose.Some(all)
}

func (d vpcDNS) noHostnames(p privateNames) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  vpcRef(d.id),
		Affects:  p.broken.refs(),
		Claim:    fmt.Sprintf("%s has enableDnsHostnames off, so no private name is answered in it: %s", d.id, p.words()),
		Evidence: append([]diagnose.Evidence{d.attributeEvidence(remedy.EnableDNSHostnames)}, p.broken.evidence()...),
	}
	if len(p.broken) > 0 {
		f.Severity = p.broken.severity()
		f.Claim = fmt.Sprintf("%s has enableDnsHostnames off, so its private zones do not answer and %s does not resolve", d.id, p.broken.names())
		f.Evidence = append(f.Evidence, p.broken[0].way("the answer of the private zone"))
	}
	for _, z := range p.zones {
		f.Affects = append(f.Affects, zoneRef(z))
	}
	for _, e := range p.endpoints {
		f.Affects = append(f.Affects, facts.Ref{Kind: facts.VPCEndpoints.Kind(), ID: e})
	}
	if what := p.words(); what != "" {
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: "private names of " + d.id, Got: what, Want: "answers in " + d.id,
			Command: "aws route53 list-hosted-zones-by-vpc --vpc-id " + d.id + " --vpc-region " + orElse(d.region(), "REGION")})
	}
	f.Remedies = []remedy.Remedy{{
		Title:   "Switch DNS host names on in the VPC",
		Why:     "Private zones answer at once, also those that shadow public names. Instances with public addresses get public DNS names.",
		Risk:    remedy.Safe,
		Actions: remedy.Actions{remedy.SetVPCAttribute{VPC: d.id, Attribute: remedy.EnableDNSHostnames, To: true}},
	}}
	return f
}

// region is the region of the cluster; "" when nothing tells it.
func (d vpcDNS) region() string {
	for _, c := range d.w.Clusters {
		if parts := strings.Split(facts.Val(c.Arn), ":"); d.w.Region == "" && len(parts) > 3 {
			return parts[3]
		}
	}
	return d.w.Region
}
