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

var externalDNSOwnerMismatch = &diagnose.Check{
	ID:    "dns/externaldns-owner-mismatch",
	Title: "The record belongs to another owner, so external-dns leaves it",
	Doc: `external-dns changes only records that it owns: beside each it keeps a TXT record with its --txt-owner-id. A record of another owner,
or with no such TXT record, is skipped at debug level, even if it leads to a load balancer that is long gone. That happens when a cluster is
rebuilt under a new owner id, when the record was made by hand, or when --txt-prefix was changed and the TXT records of before are not found.

Recognised by a hostname that external-dns takes, whose record leads elsewhere and whose TXT record names another owner, or none. The metric
external_dns_registry_skipped_records_owner_mismatch_per_sync counts them.

Looks alike: a record made by hand that leads to the load balancer, or to what stands before it such as CloudFront, is on purpose. So may be a name
that another cluster owns: the finding says who.

Fixed by taking over the owner id, or by deleting the stale record with its TXT record. A wrong takeover lets --policy=sync delete what another
cluster still uses: a person decides.`,
	Needs: publishingNeeds,
	Wants: publishingWants,
	Sources: []string{
		"https://github.com/kubernetes-sigs/external-dns/blob/master/docs/registry/txt.md",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/plan/plan.go",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		x := newPublishing(v)
		by := map[*publisher][]alien{}
		for _, l := range x.lacks {
			if a, ok := x.alien(l); ok {
				by[l.takers[0]] = append(by[l.takers[0]], a)
			}
		}
		var all []diagnose.Finding
		for _, p := range x.publishers {
			if len(by[p]) > 0 {
				all = append(all, x.skipped(p, by[p]))
			}
		}
		return all
	},
}

// An alien is a lack whose record is not its taker's to change.
type alien struct {
	lack
	claim claimant
	how   string // how the record is claimed, for people
}

func (x *publishing) alien(l lack) (alien, bool) {
	a := alien{lack: l}
	if len(l.takers) == 0 || len(l.wants) == 0 || len(l.got) == 0 {
		return a, false
	}
	for _, p := range l.takers {
		if _, known := p.owner(); !known || p.elsewhere(x.account) || x.owned(p, l) || !slices.Contains(p.suitable(l.host, x.zones), l.in) {
			return a, false
		}
	}
	p := l.takers[0]
	id, _ := p.owner()
	if c, ok := p.claimOn(l.in, l.got[0]); ok {
		a.claim, a.how = c, fmt.Sprintf("is owned by %q, not by its own %q", c.owner, id)
		return a, !x.ours(c.owner) && c.owner != p.flags.last("migrate-from-txt-owner", "")
	}
	if c, ok := strayClaim(l.in, l.host, l.source+"/"+l.name()); ok {
		a.claim, a.how = c, fmt.Sprintf("has its TXT record under %s, which is not where --txt-prefix and --txt-suffix lead", canonical(facts.Val(c.txt.Name)))
		return a, true
	}
	a.how = "was not made by external-dns: it has no TXT record of an owner"
	return a, x.declared(l) && !front(l.got)
}

// ours reports whether a publisher of this cluster has the owner id: what it
// owns it looks after.
func (x *publishing) ours(owner string) bool {
	return slices.ContainsFunc(x.publishers, func(p *publisher) bool {
		id, _ := p.owner()
		return id == owner
	})
}

// front reports whether records lead to a service that stands before load
// balancers: then somebody put it there.
func front(records []r53types.ResourceRecordSet) bool {
	return slices.ContainsFunc(records, func(r r53types.ResourceRecordSet) bool {
		return slices.ContainsFunc(pointees(r), func(s string) bool {
			return strings.HasSuffix(s, ".cloudfront.net") || strings.HasSuffix(s, ".awsglobalaccelerator.com") || !strings.Contains(s, ".elb.")
		})
	})
}

func (x *publishing) skipped(p *publisher, all []alien) diagnose.Finding {
	a := all[0]
	var lost []lack
	for _, y := range all {
		lost = append(lost, y.lack)
	}
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  p.ref(),
		Affects:  objects(lost),
		Claim:    fmt.Sprintf("%s leads to %s and %s does not change it to %s, because the record %s%s", a.host, pointsTo(a.got), p.label(), strings.Join(a.wants, ", "), a.how, alsoHosts(lost)),
	}
	for _, y := range all[:min(3, len(all))] {
		f.Affects = append(f.Affects, y.in.ref())
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: recordRef(y.host).String(), Got: "points to " + pointsTo(y.got) + "; " + y.owns(), Want: y.should(), Command: listing(y.in, y.host)})
	}
	id, _ := p.owner()
	f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: p.ref().String() + " owner", Got: id, Want: "the owner in the TXT records", Command: p.args()})
	if n := p.newest("external_dns_registry_skipped_records_owner_mismatch_per_sync"); n > 0 {
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: "external_dns_registry_skipped_records_owner_mismatch_per_sync of " + p.name(), Got: fmt.Sprintf("%.0f", n), Want: "0", Command: p.logs()})
	}
	f.Remedies = x.takeover(p, a)
	return f
}

func (a alien) owns() string {
	if a.claim.owner == "" {
		return "no TXT record of an owner"
	}
	s := "owner " + a.claim.owner
	if a.claim.resource != "" {
		s += ", made for " + a.claim.resource
	}
	return s
}

func alsoHosts(all []lack) string {
	if n := len(hosts(all)); n > 1 {
		return "; likewise " + diagnose.Some(hosts(all)[1:])
	}
	return ""
}

// takeover are the ways out. All are for a person: whose records these are no
// fact tells.
func (x *publishing) takeover(p *publisher, a alien) []remedy.Remedy {
	records := slices.Clone(a.got)
	if a.claim.owner != "" {
		records = append(records, a.claim.txt)
	}
	remove := remedy.Remedy{
		Title:  "Delete the old record of " + a.host + ", so that external-dns makes its own",
		Why:    "Only if nothing else uses it: the name does not resolve until the next sync, and another owner that still runs makes its record again.",
		Risk:   remedy.Destructive,
		Manual: []string{listing(a.in, a.host), deletion(a.in, records...)},
	}
	id, _ := p.owner()
	if a.claim.owner == "" || a.claim.owner == id {
		return []remedy.Remedy{remove}
	}
	take := remedy.Remedy{
		Title:  fmt.Sprintf("Take over all records of owner %q", a.claim.owner),
		Why:    "Only if the cluster that wrote them is gone: two that share an owner id delete each other's records under --policy=sync. Records that it wrote under its present id are then not its own any more.",
		Risk:   remedy.Disruptive,
		Manual: []string{p.setFlag("txt-owner-id", a.claim.owner), p.logs()},
	}
	return []remedy.Remedy{remove, take}
}
