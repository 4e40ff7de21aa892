package dns

import (
	"encoding/json"
	"fmt"
	"strings"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var splitHorizonShadowing = &diagnose.Check{
	ID:    "dns/split-horizon-shadowing",
	Title: "A private zone hides a public record",
	Doc: `In a VPC with a private zone, Route 53 answers all names of its domain from the most specific private zone alone, even an
empty one. What it lacks does not exist there: the public zone of the same domain, or of a parent, is never asked. The name resolves on
the internet and not in the cluster.

Recognised by a name that was said not to resolve, that CoreDNS got NXDOMAIN for in the last hour, or that an ExternalName Service
stands for: the private zone that answers for it has no record, all its records were read, and a public zone of the account has one.
The zone may be that of an interface endpoint with private DNS: for API Gateway and AppSync it takes all names of the region into the
endpoint, and public APIs refuse what comes that way. Said when the question tells that such a name resolves to the endpoint's address.

Looks alike: a record that is in neither zone; a private zone that answers another address, which may be wanted; a zone that is not
associated, which hides nothing; a private API, for which the endpoint is meant, and whose own policy refuses.

Fixed by the same record in the private zone. Taking the VPC off the zone would unhide all names, and hide the private ones.`,
	Needs: []facts.Need{facts.Clusters, facts.VPCs, facts.HostedZones, facts.Records},
	Wants: lookupWants(facts.Clusters, facts.VPCs, facts.HostedZones, facts.Records),
	Sources: []string{
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/hosted-zone-private-considerations.html",
		"https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html",
		"https://repost.aws/knowledge-center/api-gateway-vpc-connections",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ls := newLookups(v)
		public := hostedZones(v)
		ids, groups := ls.byObject(func(l *lookup) string {
			if shadow(l, ls.zone(l), public) == nil {
				return ""
			}
			return l.decider(facts.HostedZones)
		})
		var out []diagnose.Finding
		for _, id := range ids {
			n := groups[id]
			z := ls.zone(n[0])
			out = append(out, shadowed(z, shadow(n[0], z, public), n))
		}
		if e := ls.capturing(v.Target()); e != nil {
			out = append(out, ls.captured(e, v.Target()))
		}
		return out
	},
}

// shadow is the public zone that has the record which private zone z, the one
// that answers, lacks; nil when there is none.
func shadow(l *lookup, z *facts.HostedZone, all []*hosted) *hosted {
	if z == nil || !isPrivateZone(z) || !l.certain() || l.path.Answer.Kind != resolve.NXDomain {
		return nil
	}
	var best *hosted
	for _, h := range all {
		if !h.private && h.holds(l.end) && (best == nil || len(h.name) > len(best.name)) && len(h.of(l.end)) > 0 && !h.delegates(l.end) {
			best = h
		}
	}
	switch {
	case best == nil:
		return nil
	case l.fails(logNXDomain):
		return best
	case len(l.services) > 0 && best.name == canonical(facts.Val(z.Name)): // else the Service's own check says that the zone lacks it
		return best
	}
	return nil
}

func shadowed(z *facts.HostedZone, public *hosted, n needed) diagnose.Finding {
	id, end := zoneID(facts.Val(z.Id)), n[0].end
	f := diagnose.Finding{
		Severity: n.severity(),
		Subject:  zoneRef(z),
		Affects:  append([]facts.Ref{public.ref()}, n.refs()...),
		Claim:    fmt.Sprintf("%s hides the record of %s in %s from the VPC and has none itself", capital(zoneLabel(z)), n.names(), public.label()),
		Evidence: append([]diagnose.Evidence{
			{Fact: zoneRef(z).String() + " records", Got: "none for " + end, Want: "a record, as the public zone is not asked", Command: fmt.Sprintf("aws route53 list-resource-record-sets --hosted-zone-id %s --start-record-name %s --max-items 5", id, end)},
			{Fact: public.ref().String() + " records", Got: end + " -> " + leads(public.of(end)), Want: "the same in the private zone", Command: listing(public, end)},
		}, n.evidence()...),
	}
	f.Evidence = append(f.Evidence, n[0].way("an answer"))
	r := remedy.Remedy{Title: "Create the record in the private zone too", Why: "It stands beside the public one: whoever changes one has to change the other. Undo it with DELETE in the place of CREATE."}
	for _, l := range n[:min(len(n), 5)] {
		r.Manual = append(r.Manual, copyRecords("CREATE", id, l.end, public.of(l.end)))
	}
	f.Remedies = []remedy.Remedy{r}
	return f
}

// copyRecords is the command that writes records (CREATE, UPSERT) into another
// zone; a remark where they are more than a plain answer: routing has to be
// thought of.
func copyRecords(action, zone, name string, records []r53types.ResourceRecordSet) string {
	type change struct {
		Action            string
		ResourceRecordSet map[string]any
	}
	var changes []change
	for _, r := range records {
		set := map[string]any{"Name": name + ".", "Type": r.Type}
		switch {
		case r.SetIdentifier != nil:
			return fmt.Sprintf("# several records with routing answer for %s: write those that the VPC needs into zone %s", name, zone)
		case r.AliasTarget != nil:
			set["AliasTarget"] = map[string]any{"HostedZoneId": facts.Val(r.AliasTarget.HostedZoneId), "DNSName": facts.Val(r.AliasTarget.DNSName), "EvaluateTargetHealth": r.AliasTarget.EvaluateTargetHealth}
		default:
			var values []map[string]string
			for _, x := range r.ResourceRecords {
				values = append(values, map[string]string{"Value": facts.Val(x.Value)})
			}
			set["TTL"], set["ResourceRecords"] = facts.Val(r.TTL), values
		}
		changes = append(changes, change{action, set})
	}
	batch, _ := json.Marshal(map[string]any{"Changes": changes}) // strings and numbers always marshal
	return fmt.Sprintf("aws route53 change-resource-record-sets --hosted-zone-id %s --change-batch '%s'", zone, strings.ReplaceAll(string(batch), "'", `'\''`))
}
