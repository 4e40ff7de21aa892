package dns

import (
	"cmp"
	"slices"
	"strings"
	"time"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/facts"
)

// publishing is what the external-dns of a cluster should publish, and what
// of it is in Route 53.
type publishing struct {
	publishers []*publisher
	zones      []*hosted
	zonesRead  bool
	wishes     []*wish
	lacks      []lack              // those that are surely not fulfilled
	prefixes   []string            // all under which an annotation may count
	cluster    string              // its name
	account    string              // that the cluster is in
	asked      string              // host that the question names
	targets    map[string][]string // by host: what any object that declares it wants
	balancers  map[string]string   // schemes of the load balancers that were read, by name
	at         time.Time
}

// A publishing reads all of these facts. A check that compares what is declared
// with what is in the zones needs the first of them; one that goes by the log
// needs the pods, and is only richer for the rest.
var (
	publishingNeeds = []facts.Need{facts.Deployments, facts.Ingresses, facts.Services, facts.HostedZones, facts.Records}
	publishingWants = []facts.Need{facts.Pods, facts.PodLogs, facts.PodMetrics, facts.ServiceAccounts, facts.Clusters, facts.LoadBalancers}
	complaintNeeds  = []facts.Need{facts.Deployments, facts.Pods, facts.PodLogs}
	complaintWants  = []facts.Need{facts.Ingresses, facts.Services, facts.HostedZones, facts.Records, facts.PodMetrics, facts.ServiceAccounts, facts.Clusters, facts.LoadBalancers}
)

func newPublishing(v *facts.View) *publishing {
	x := &publishing{publishers: publishers(v), cluster: v.Cluster(), account: accountOfCluster(v), asked: canonical(v.Target().Host), at: v.At(), targets: map[string][]string{}, balancers: map[string]string{}}
	x.prefixes = []string{prefixGA, prefixAlpha}
	for _, p := range x.publishers {
		for _, prefix := range p.readPrefixes() {
			if !slices.Contains(x.prefixes, prefix) {
				x.prefixes = append(x.prefixes, prefix)
			}
		}
	}
	x.zones, x.zonesRead = hostedZones(v), facts.HostedZones.Have(v) && facts.Records.Have(v)
	x.wishes = declaredHosts(v, x.prefixes)
	slices.SortStableFunc(x.wishes, func(a, b *wish) int {
		return cmp.Or(cmp.Compare(x.rank(a.host), x.rank(b.host)), cmp.Compare(a.host, b.host), cmp.Compare(a.name(), b.name()))
	})
	for _, w := range x.wishes {
		wants, _ := w.targets(x.prefixes)
		x.targets[w.host] = append(x.targets[w.host], wants...)
	}
	for _, lb := range facts.LoadBalancers.In(v) {
		x.balancers[target(facts.Val(lb.DNSName))] = string(lb.Scheme)
	}
	x.lacks = x.unfulfilled()
	return x
}

// rank puts the host that was asked about first.
func (x *publishing) rank(host string) int {
	if host == x.asked {
		return 0
	}
	return 1
}

// A lack is a wish that is not fulfilled: nothing answers to its host, or
// something that leads elsewhere.
type lack struct {
	*wish
	wants   []string                     // what the record should point to; empty: the object has no target, or
	known   bool                         // none that is followed here
	got     []r53types.ResourceRecordSet // what the zone below has under the name itself
	in      *hosted                      // the zone whose answer is wrong; nil when none has one
	takers  []*publisher                 // that would publish it
	nearest *publisher                   // where there is no taker: the one that comes nearest
	refusal refusal                      // and why it does not
}

// unfulfilled are the wishes that are surely not fulfilled. What cannot be told,
// because a zone was not read or something else than these publishers may
// make the record, is left out.
func (x *publishing) unfulfilled() []lack {
	var all []lack
	if len(x.publishers) == 0 || !x.zonesRead {
		return nil
	}
	for _, p := range x.publishers {
		if p.unreadable() {
			return nil
		}
	}
	for _, w := range x.wishes {
		if l, ok := x.lack(w); ok {
			all = append(all, l)
		}
	}
	return all
}

func (x *publishing) lack(w *wish) (lack, bool) {
	l := lack{wish: w}
	if !x.found(&l) || w.object.DeletionTimestamp != nil {
		return l, false
	}
	steps := -1
	for _, p := range x.publishers {
		takes, why := p.takes(w)
		switch {
		case takes && !p.route53():
			return l, false // its records are elsewhere
		case takes:
			l.takers = append(l.takers, p)
		case p.route53() && why.step > steps:
			steps, l.nearest, l.refusal = why.step, p, why
		}
	}
	return l, len(l.takers) > 0 || l.nearest != nil
}

// found fills in what the zones hold of l's host. It reports false when that
// is right, or not sure to be wrong.
func (x *publishing) found(l *lack) bool {
	l.wants, l.known = l.targets(x.prefixes)
	for _, h := range x.zones {
		if !h.holds(l.host) {
			continue
		}
		answer := h.of(l.host)
		switch {
		case len(answer) == 0 && !h.whole:
			return false
		case len(answer) == 0:
			continue
		case !l.known || len(l.wants) == 0 || x.leads(answer, x.targets[l.host], map[string]bool{}):
			return false
		case l.in == nil:
			l.got, l.in = h.exactly(l.host), h // a wildcard's record is in nobody's way
		}
	}
	return true
}

// leads reports whether records lead to one of the targets: directly, over
// other names in the zones that were read, or over what cannot be compared,
// such as addresses where the target is a load balancer's name.
func (x *publishing) leads(records []r53types.ResourceRecordSet, wants []string, seen map[string]bool) bool {
	names := slices.ContainsFunc(wants, func(s string) bool { return !isIP(s) })
	for _, r := range records {
		for _, to := range pointees(r) {
			if slices.Contains(wants, to) || isIP(to) && names {
				return true
			}
			if !seen[to] {
				seen[to] = true
				if x.leads(x.lookup(to), wants, seen) {
					return true
				}
			}
		}
	}
	return false
}

// lookup are the records of a name in all zones.
func (x *publishing) lookup(name string) []r53types.ResourceRecordSet {
	var all []r53types.ResourceRecordSet
	for _, h := range x.zones {
		if h.holds(name) {
			all = append(all, h.of(name)...)
		}
	}
	return all
}

// settled is for how long an object must be there before its lack counts:
// load balancers take minutes to be made, and then external-dns its interval.
func (l lack) settled(at time.Time) bool {
	age := 10 * time.Minute
	for _, p := range l.takers {
		age = max(age, 3*p.interval())
	}
	return at.Sub(l.object.CreationTimestamp.Time) >= age
}

// zonesOf are the zones of the account that a name belongs into, whatever the
// publishers' filters say, the most specific first.
func (x *publishing) zonesOf(name string) []*hosted {
	var all []*hosted
	for _, h := range x.zones {
		if h.holds(name) {
			all = append(all, h)
		}
	}
	slices.SortStableFunc(all, func(a, b *hosted) int { return len(b.name) - len(a.name) })
	return all
}

// declared reports whether somebody surely means external-dns to make l's
// record: the object names it, or the question asks for the host.
func (x *publishing) declared(l lack) bool { return l.explicit() || l.host == x.asked }

// waiting are the lacks that p itself has to make good: it takes the wish,
// the target is known, a zone is there, and nobody else owns the name.
func (x *publishing) waiting(p *publisher) []lack {
	var all []lack
	for _, l := range x.lacks {
		if !slices.Contains(l.takers, p) || len(l.wants) == 0 || !l.settled(x.at) || p.elsewhere(x.account) || len(p.suitable(l.host, x.zones)) == 0 {
			continue
		}
		if len(l.got) == 0 || x.owned(p, l) {
			all = append(all, l)
		}
	}
	return all
}

// owned reports whether what is there of l is p's.
func (x *publishing) owned(p *publisher, l lack) bool {
	id, known := p.owner()
	return known && slices.ContainsFunc(l.got, func(r r53types.ResourceRecordSet) bool {
		c, ok := p.claimOn(l.in, r)
		return ok && c.owner == id
	})
}

// hosts names the hosts of lacks for people, and refs their objects.
func hosts(all []lack) []string {
	var names []string
	for _, l := range all {
		if !slices.Contains(names, l.host) {
			names = append(names, l.host)
		}
	}
	return names
}

func objects(all []lack) []facts.Ref {
	var refs []facts.Ref
	for _, l := range all {
		for _, r := range []facts.Ref{l.ref(), recordRef(l.host)} {
			if !slices.Contains(refs, r) {
				refs = append(refs, r)
			}
		}
	}
	return refs
}

// recordRef names the records of a host.
func recordRef(host string) facts.Ref { return facts.Ref{Kind: facts.Records.Kind(), ID: host} }

// state says in a few words what is there instead of what should be.
func (l lack) state() string {
	if len(l.got) == 0 {
		return "no record"
	}
	return "points to " + pointsTo(l.got)
}

// should says what a record of l should be.
func (l lack) should() string {
	if len(l.wants) == 0 {
		return "a record"
	}
	return "a record that points to " + strings.Join(l.wants, ", ")
}
