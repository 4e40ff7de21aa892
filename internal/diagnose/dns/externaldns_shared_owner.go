package dns

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var externalDNSSharedOwner = &diagnose.Check{
	ID:    "dns/externaldns-shared-owner-id",
	Title: "Two external-dns write into one zone under one owner id",
	Doc: `external-dns takes every record as its own whose TXT record names its --txt-owner-id. Under --policy=sync it deletes those that none of
its objects declares. Two of them with one owner id in one zone, in two clusters or with different sources in one, therefore delete each other's
records at every sync and make their own again: names come and go with the interval. "default", and the ids that guides show, meet this way.

Recognised by the log of the last hour. A name that is deleted again and again, and that this external-dns does not make in between, is made by
somebody else under the same owner id: others' records it does not touch. A name that is made again and again, and not deleted in between, counts
when a TXT record in its zone bears the same owner id for an object that this cluster does not have.

Looks alike: objects that come and go, such as preview environments, make and delete the same names in one log. --dry-run and batches that Route 53
refuses repeat the same changes without making any. A record that a person deletes once comes back once.

Fixed by an owner id of its own for each of them. The TXT records that are there keep the old id: until they are rewritten the other one still takes
them as its own. --policy=upsert-only on both sides stops the deletions meanwhile.`,
	Needs: append(append([]facts.Need{}, publishingNeeds...), facts.Pods, facts.PodLogs),
	Wants: []facts.Need{facts.PodMetrics, facts.ServiceAccounts, facts.Clusters, facts.LoadBalancers},
	Sources: []string{
		"https://github.com/kubernetes-sigs/external-dns/blob/master/docs/registry/txt.md",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/plan/plan.go",
		"https://github.com/kubernetes-sigs/external-dns/issues/3336",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		x := newPublishing(v)
		there := objectsThere(v)
		var all []diagnose.Finding
		for _, p := range x.publishers {
			if f := x.fight(p, there); f != nil {
				all = append(all, f.finding(x))
			}
		}
		return all
	},
}

// A fight is what one publisher and another one with its owner id do to each
// other's records.
type fight struct {
	p       *publisher
	id      string
	theirs  []undone    // names that p deletes and the other makes again
	ours    []undone    // names that p makes and the other deletes
	foreign []foreigner // records under p's id of objects that the cluster does not have
	rival   *publisher  // of this cluster, when it is one; nil for another cluster's
}

// An undone is a change that p makes again and again.
type undone struct {
	host    string
	times   int
	last    saying // that tells of it
	missing bool   // the zone does not have it now
}

// A foreigner is a record that bears p's owner id and is another's.
type foreigner struct {
	in     *hosted
	record r53types.ResourceRecordSet
	claim  claimant
}

// again is how often a change has to be made within the hour to be one that
// somebody undoes.
const again = 3

// changeLine is what external-dns says before it sends a change, doneChange
// what it says when Route 53 took it (provider/aws/aws.go).
var (
	changeLine = regexp.MustCompile(`^Desired change: (CREATE|DELETE) (\S+) (A|AAAA|CNAME)\b`)
	doneChange = regexp.MustCompile(`record\(s\).* were successfully updated`)
)

// fight looks for the signs in p's log; nil when there are none.
func (x *publishing) fight(p *publisher, there map[string]bool) *fight {
	id, known := p.owner()
	if !known || !p.route53() || p.flags.on("dry-run") || p.flags.vague("dry-run") || len(p.complaints(batchRefused))+len(p.complaints(credentials)) > 0 {
		return nil
	}
	f := fight{p: p, id: id, foreign: x.foreigners(p, id, there), rival: x.rival(p, id)}
	changes, took := p.changes()
	if !took {
		return nil
	}
	for _, host := range slices.Sorted(maps.Keys(changes)) {
		made, gone := changes[host]["CREATE"], changes[host]["DELETE"]
		switch {
		case len(gone) >= again && len(made) == 0:
			f.theirs = append(f.theirs, undone{host: host, times: len(gone), last: gone[len(gone)-1]})
		case len(made) >= again && len(gone) == 0:
			f.ours = append(f.ours, undone{host: host, times: len(made), last: made[len(made)-1], missing: x.missing(host)})
		}
	}
	slices.SortStableFunc(f.ours, func(a, b undone) int { return cmp.Compare(x.rank(a.host), x.rank(b.host)) })
	if len(f.theirs) == 0 && (len(f.ours) == 0 || len(f.foreign) == 0 && f.rival == nil) {
		return nil
	}
	return &f
}

// changes are p's lines of the last hour that make or delete addresses, by
// name and action, each minute's once: a name may have several records. took
// tells whether Route 53 took any.
func (p *publisher) changes() (by map[string]map[string][]saying, took bool) {
	by = map[string]map[string][]saying{}
	for _, s := range p.says {
		if s.at.IsZero() || p.at.Sub(s.at) > time.Hour {
			continue
		}
		took = took || doneChange.MatchString(s.text)
		m := changeLine.FindStringSubmatch(s.text)
		if m == nil {
			continue
		}
		host := canonical(m[2])
		if by[host] == nil {
			by[host] = map[string][]saying{}
		}
		earlier := by[host][m[1]]
		if n := len(earlier); n == 0 || s.at.Sub(earlier[n-1].at) >= p.interval()/2 {
			by[host][m[1]] = append(earlier, s)
		}
	}
	return by, took
}

// missing reports whether no zone that was read in full has a name.
func (x *publishing) missing(host string) bool {
	in := x.zonesOf(host)
	return len(in) > 0 && !slices.ContainsFunc(in, func(h *hosted) bool { return !h.whole || len(h.of(host)) > 0 })
}

// objectsThere are the Ingresses and Services, as TXT records name them.
func objectsThere(v *facts.View) map[string]bool {
	there := map[string]bool{}
	for _, i := range facts.Ingresses.In(v) {
		there["ingress/"+i.Namespace+"/"+i.Name] = true
	}
	for _, s := range facts.Services.In(v) {
		there["service/"+s.Namespace+"/"+s.Name] = true
	}
	return there
}

// foreigners are the records in p's zones that bear its owner id and were made
// for an Ingress or a Service that the cluster does not have.
func (x *publishing) foreigners(p *publisher, id string, there map[string]bool) []foreigner {
	var all []foreigner
	for _, o := range x.claimed(p, id) {
		kind, _, _ := strings.Cut(o.claim.resource, "/")
		if (kind == "ingress" || kind == "service") && !there[o.claim.resource] {
			all = append(all, o)
		}
	}
	return all
}

// claimed are the records in p's zones that bear an owner id.
func (x *publishing) claimed(p *publisher, id string) []foreigner {
	var all []foreigner
	for _, h := range x.zones {
		if p.leavesOut(h) != "" {
			continue
		}
		for _, r := range h.records {
			if c, ok := p.claimOn(h, r); ok && addressed(r) && c.owner == id {
				all = append(all, foreigner{h, r, c})
			}
		}
	}
	return all
}

// rival is another publisher of this cluster with p's owner id and a zone of
// p's; nil when there is none.
func (x *publishing) rival(p *publisher, id string) *publisher {
	for _, o := range x.publishers {
		theirs, known := o.owner()
		if o == p || !known || theirs != id || !o.route53() || o.replicas() == 0 {
			continue
		}
		if slices.ContainsFunc(x.zones, func(h *hosted) bool { return p.leavesOut(h) == "" && o.leavesOut(h) == "" }) {
			return o
		}
	}
	return nil
}

func (f *fight) finding(x *publishing) diagnose.Finding {
	out := diagnose.Finding{Severity: diagnose.Degraded, Subject: f.p.ref(), Claim: f.claim()}
	for _, u := range slices.Concat(f.ours, f.theirs) {
		if u.missing {
			out.Severity = diagnose.Outage
		}
		out.Affects = append(out.Affects, recordRef(u.host))
		for _, w := range x.wishes {
			if w.host == u.host {
				out.Affects = append(out.Affects, w.ref())
			}
		}
	}
	if f.rival != nil {
		out.Affects = append(out.Affects, f.rival.ref())
	}
	out.Evidence = f.evidence()
	out.Remedies = f.remedies(x)
	return out
}

// claim says who deletes what.
func (f *fight) claim() string {
	who := fmt.Sprintf("Another external-dns, not of this cluster, writes under owner id %q too", f.id)
	if f.rival != nil {
		who = fmt.Sprintf("%s writes under owner id %q too", f.rival.label(), f.id)
	}
	var does []string
	if len(f.ours) > 0 {
		does = append(does, "it deletes "+diagnose.Some(names(f.ours))+", which "+f.p.label()+" makes again at every sync")
	}
	if len(f.theirs) > 0 {
		does = append(does, f.p.label()+" deletes "+diagnose.Some(names(f.theirs))+" of the other")
	}
	s := who + ": " + strings.Join(does, ", and ")
	if i := slices.IndexFunc(f.ours, func(u undone) bool { return u.missing }); i >= 0 {
		s += "; " + f.ours[i].host + " has no record now"
	}
	return s
}

func names(all []undone) []string {
	var out []string
	for _, u := range all {
		out = append(out, u.host)
	}
	return out
}

func (f *fight) evidence() []diagnose.Evidence {
	var out []diagnose.Evidence
	add := func(u undone, want string) {
		out = append(out, diagnose.Evidence{
			Fact: "log of " + u.last.pod, Got: fmt.Sprintf("%d times within the hour, last at %s: %s", u.times, u.last.at.UTC().Format("15:04:05Z"), oneLine(u.last.text)), Want: want, Command: f.p.logs(),
		})
	}
	for _, u := range f.ours[:min(2, len(f.ours))] {
		add(u, "made once: nobody else deletes what this external-dns owns")
	}
	for _, u := range f.theirs[:min(2, len(f.theirs))] {
		add(u, "deleted once: nobody else makes records under its owner id")
	}
	for _, o := range f.foreign[:min(2, len(f.foreign))] {
		out = append(out, diagnose.Evidence{
			Fact: "TXT record " + canonical(facts.Val(o.claim.txt.Name)) + " in " + o.in.label(), Got: fmt.Sprintf("owner %s, made for %s, leads to %s", f.id, o.claim.resource, pointsTo([]r53types.ResourceRecordSet{o.record})),
			Want: "an object of this cluster, or another owner", Command: listing(o.in, canonical(facts.Val(o.record.Name))),
		})
	}
	return append(out, diagnose.Evidence{Fact: f.p.ref().String() + " args", Got: "--txt-owner-id=" + f.id + " --policy=" + cmp.Or(f.p.policy(), "not told"), Want: "an owner id that nobody else has", Command: f.p.args()})
}

// remedies are two steps for a person: facts of one cluster do not tell what
// the other one is.
func (f *fight) remedies(x *publishing) []remedy.Remedy {
	stop := remedy.Remedy{
		Title:  "Let neither of the two delete records for now",
		Why:    "Under upsert-only each makes and changes records and deletes none. It takes the same change at the other one, wherever that runs. Records of objects that go stay until --policy=sync is back.",
		Risk:   remedy.Safe,
		Manual: []string{f.p.setFlag("policy", "upsert-only")},
	}
	if f.rival != nil {
		stop.Manual = append(stop.Manual, f.rival.setFlag("policy", "upsert-only"))
	}
	fresh := x.cluster
	if fresh == "" || fresh == f.id || f.rival != nil {
		fresh = f.id + "-" + f.p.deployment.Namespace + "-" + f.p.deployment.Name
	}
	own := remedy.Remedy{
		Title: "Give " + f.p.label() + " an owner id of its own: " + fresh,
		Why: "Only after neither deletes. TXT records keep the id that they were made with: a name whose TXT record still says " + f.id + " is the other one's, which deletes it as soon as its policy is sync again, and this one changes it no more. " +
			"Rewrite the TXT records of this cluster's names, and of no others, then put --policy=sync back.",
		Risk:   remedy.Disruptive,
		Manual: []string{f.p.setFlag("txt-owner-id", fresh)},
	}
	rewritten := map[*hosted][]r53types.ResourceRecordSet{}
	for _, o := range x.claimed(f.p, f.id) {
		if slices.ContainsFunc(x.wishes, func(w *wish) bool { return w.source+"/"+w.name() == o.claim.resource }) {
			rewritten[o.in] = append(rewritten[o.in], reowned(o.claim.txt, f.id, fresh))
		}
	}
	for _, h := range x.zones {
		if f.p.leavesOut(h) == "" {
			own.Manual = append(own.Manual, listing(h, ""))
		}
		if len(rewritten[h]) > 0 {
			own.Manual = append(own.Manual, changing(h, "UPSERT", rewritten[h]...))
		}
	}
	own.Manual = append(own.Manual, f.p.logs())
	return []remedy.Remedy{stop, own}
}

// reowned is a TXT record of external-dns with another owner.
func reowned(txt r53types.ResourceRecordSet, from, to string) r53types.ResourceRecordSet {
	txt.ResourceRecords = slices.Clone(txt.ResourceRecords)
	for i, r := range txt.ResourceRecords {
		value := strings.Replace(facts.Val(r.Value), "external-dns/owner="+from, "external-dns/owner="+to, 1)
		txt.ResourceRecords[i].Value = &value
	}
	return txt
}
