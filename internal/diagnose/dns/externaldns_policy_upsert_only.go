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

var externalDNSPolicyUpsertOnly = &diagnose.Check{
	ID:    "dns/externaldns-policy-upsert-only",
	Title: "external-dns may not delete or change a record that is stale",
	Doc: `With --policy=upsert-only external-dns never deletes: the record of an Ingress or Service that is gone, or that no longer names the host,
stays and leads to what was there. With --policy=create-only it does not change one either: a host whose load balancer was replaced leads to the old
one. That is what these policies are for, and nothing in the log tells.

Recognised by one of these policies together with a record that this external-dns owns, by the owner id in its TXT record, and that no object
declares any more; under create-only also by one that leads to another target than its object has. Records under an owner id that many clusters have, such as "default", count only
when they lead to a load balancer of this cluster: other clusters may write under the same id.

Looks alike: records of other owners are theirs. Under --policy=sync a stale record goes with the next sync.

Fixed by deleting the record with its TXT record. --policy=sync deletes everything that it owns and nothing declares: a dry run shows what.`,
	Needs: publishingNeeds,
	Wants: publishingWants,
	Sources: []string{
		"https://github.com/kubernetes-sigs/external-dns/blob/master/plan/policy.go",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/docs/flags.md",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		x := newPublishing(v)
		var all []diagnose.Finding
		for _, p := range x.publishers {
			if f := x.kept(p); f != nil {
				all = append(all, *f)
			}
		}
		return all
	},
}

// A leftover is a record that a publisher owns and that it should have
// deleted or changed.
type leftover struct {
	in      *hosted
	host    string
	records []r53types.ResourceRecordSet
	claim   claimant
	lack    *lack // where an object still declares the host
}

func (x *publishing) kept(p *publisher) *diagnose.Finding {
	policy := p.policy()
	if !p.route53() || p.unreadable() || policy != "upsert-only" && policy != "create-only" {
		return nil
	}
	left := x.leftovers(p)
	if policy == "create-only" {
		left = append(x.outdated(p), left...)
	}
	slices.SortStableFunc(left, func(a, b leftover) int { return x.rank(a.host) - x.rank(b.host) })
	if len(left) == 0 {
		return nil
	}
	f := x.staleFinding(p, policy, left)
	return &f
}

// leftovers are p's records that no object declares.
func (x *publishing) leftovers(p *publisher) []leftover {
	id, known := p.owner()
	if !known || len(p.flags.all("fqdn-template")) > 0 {
		return nil
	}
	var all []leftover
	for _, h := range x.zones {
		if p.leavesOut(h) != "" {
			continue
		}
		for _, r := range h.records {
			name := canonical(facts.Val(r.Name))
			c, ok := p.claimOn(h, r)
			if !addressed(r) || !ok || c.owner != id || !x.orphaned(name, c) || slices.Contains(shared, id) && !x.balanced(r) {
				continue
			}
			if i := slices.IndexFunc(all, func(o leftover) bool { return o.in == h && o.host == name }); i >= 0 {
				all[i].records = append(all[i].records, r, c.txt)
				continue
			}
			all = append(all, leftover{in: h, host: name, records: []r53types.ResourceRecordSet{r, c.txt}, claim: c})
		}
	}
	return all
}

// shared are owner ids that many clusters have: the default, and those that
// guides show.
var shared = []string{"default", "external-dns", "externaldns", "my-identifier", "my-hostedzone-identifier", "owner", "k8s", "route53"}

// orphaned reports whether a name was made for an Ingress or a Service and no
// object declares it now. Other sources are not read. A headless Service has a
// record for each of its pods under its own host.
func (x *publishing) orphaned(name string, c claimant) bool {
	kind, _, _ := strings.Cut(c.resource, "/")
	if kind != "ingress" && kind != "service" {
		return false
	}
	return !slices.ContainsFunc(x.wishes, func(w *wish) bool { return w.host == name || strings.HasSuffix(name, "."+w.host) && w.service != nil })
}

// balanced reports whether a record leads to a load balancer of the cluster's
// network.
func (x *publishing) balanced(r r53types.ResourceRecordSet) bool {
	return slices.ContainsFunc(pointees(r), func(s string) bool { _, ok := x.balancers[s]; return ok })
}

// outdated are p's records that lead to another target than their object has.
func (x *publishing) outdated(p *publisher) []leftover {
	var all []leftover
	for _, l := range x.waiting(p) {
		if len(l.got) > 0 {
			all = append(all, leftover{in: l.in, host: l.host, records: l.got, lack: &l})
		}
	}
	return all
}

func (x *publishing) staleFinding(p *publisher, policy string, left []leftover) diagnose.Finding {
	first := left[0]
	f := diagnose.Finding{Severity: diagnose.Risk, Subject: p.ref(), Claim: fmt.Sprintf("%s has --policy=%s, so %s %s", p.label(), policy, first.host, x.stays(first))}
	if n := len(left); n > 1 {
		var names []string
		for _, o := range left[1:] {
			names = append(names, o.host)
		}
		f.Claim += "; likewise " + diagnose.Some(names)
	}
	id, _ := p.owner()
	for i, o := range left {
		if o.lack != nil || o.host == x.asked {
			f.Severity = diagnose.Degraded
		}
		f.Affects = append(f.Affects, recordRef(o.host))
		if o.lack != nil {
			f.Affects = append(f.Affects, o.lack.ref())
		}
		if i < 3 {
			f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: recordRef(o.host).String(), Got: "points to " + leads(o.records) + ", owner " + id, Want: o.want(), Command: listing(o.in, o.host)})
		}
	}
	f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: p.ref().String() + " policy", Got: policy, Want: "sync, or nothing stale", Command: p.args()})
	f.Remedies = []remedy.Remedy{removal(left)}
	if policy == "upsert-only" {
		f.Remedies = append(f.Remedies, syncing(p, policy))
	}
	return f
}

// leads says where the records among o lead that are no TXT records.
func leads(records []r53types.ResourceRecordSet) string {
	return pointsTo(slices.DeleteFunc(slices.Clone(records), func(r r53types.ResourceRecordSet) bool { return !addressed(r) }))
}

// stays says what o does that it should not.
func (x *publishing) stays(o leftover) string {
	if o.lack != nil {
		return "still leads to " + leads(o.records) + " and not to " + strings.Join(o.lack.wants, ", ")
	}
	s := "stays though no Ingress or Service declares it any more, and leads to " + leads(o.records)
	gone := len(x.balancers) > 0 && !slices.ContainsFunc(o.records, x.balanced) && strings.Contains(leads(o.records), ".elb.")
	if gone {
		s += ", which is no load balancer of this network any more"
	}
	return s
}

func (o leftover) want() string {
	if o.lack != nil {
		return o.lack.should()
	}
	return "no record: " + o.claim.resource + " does not declare it"
}

// removal deletes what is stale: for a person, as a name that somebody uses
// stops resolving.
func removal(left []leftover) remedy.Remedy {
	r := remedy.Remedy{
		Title: "Delete the stale records with their TXT records",
		Why:   "The names stop resolving. What their objects still declare external-dns makes anew at its next sync.",
		Risk:  remedy.Destructive,
	}
	for _, o := range left[:min(5, len(left))] {
		r.Manual = append(r.Manual, deletion(o.in, o.records...))
	}
	return r
}

func syncing(p *publisher, policy string) remedy.Remedy {
	return remedy.Remedy{
		Title:  "Let external-dns delete what it owns and nothing declares",
		Why:    "--policy=sync does that for all its records at once and cannot be taken back: run it with --dry-run first and read its \"Desired change: DELETE\" lines.",
		Risk:   remedy.Destructive,
		Manual: []string{p.withArg("--dry-run"), p.setFlag("policy", "sync"), p.kubectl("logs deployment/" + p.deployment.Name + " | grep 'Desired change: DELETE'")},
	}
}
