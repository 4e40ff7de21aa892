package dns

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/resolve"
)

// mostLookups is how many names of CoreDNS's logs are followed, the most
// frequent first.
const mostLookups = 40

// lookups are the names that somebody needs, each with its way on paper. The
// zones, rules and endpoints of an account are mostly other people's: only
// with such a name is one of them a fault of this cluster.
type lookups struct {
	w     *resolve.World
	vpc   string // of the cluster; "" when not known
	names []*lookup
	found []failure // names that CoreDNS could not answer in the last hour, whatever becomes of them
}

// A lookup is a name that is needed: said not to resolve, not answered by
// CoreDNS in the last hour, or the target of an ExternalName Service.
type lookup struct {
	name     string            // in full, canonical
	end      string            // where its aliases lead; name when it has none
	asked    bool              // the question names it
	lines    logs              // of CoreDNS, about it
	services []*corev1.Service // of type ExternalName, that stand for it
	needed   string            // the part of the cluster that asks for it
	path     resolve.Path
}

// A failure is one line of CoreDNS's log that names what was not answered.
type failure struct {
	name string // canonical
	line logLine
}

// lookupWants are the kinds that newLookups reads, less those that a check
// needs itself.
func lookupWants(needs ...facts.Need) []facts.Need {
	return besides(needs, append(slices.Concat(resolve.Needs, resolve.Wants), facts.PodLogs))
}

// besides are the kinds of all that are not among needs, each once.
func besides(needs, all []facts.Need) []facts.Need {
	var out []facts.Need
	for _, n := range all {
		same := func(o facts.Need) bool { return o.Kind() == n.Kind() }
		if !slices.ContainsFunc(needs, same) && !slices.ContainsFunc(out, same) {
			out = append(out, n)
		}
	}
	return out
}

func newLookups(v *facts.View) *lookups {
	ls := &lookups{w: resolve.New(v)}
	if vpc := ls.w.VPC(); vpc != nil {
		ls.vpc = facts.Val(vpc.VpcId)
	}
	ls.found = ls.failures(v)
	ls.fromQuestion(v)
	ls.fromLogs()
	ls.fromServices()
	return ls
}

// fromQuestion adds the name that was said not to resolve. One without a dot
// is a Service's.
func (ls *lookups) fromQuestion(v *facts.View) {
	q := newQuestion(v, facts.Pods.In(v))
	if !strings.Contains(strings.TrimSuffix(q.lookup, "."), ".") {
		return
	}
	query := resolve.Query{Name: q.lookup}
	if len(q.pods) > 0 {
		query.Pod = q.pods[0]
	}
	ls.add(query).asked = true
}

// fromLogs adds the names that CoreDNS could not answer.
func (ls *lookups) fromLogs() {
	by, n := map[string]logs{}, map[string]int{}
	for _, f := range ls.found {
		by[f.name] = append(by[f.name], f.line)
		n[f.name] += f.line.count
	}
	for i, name := range frequent(n) {
		if i == mostLookups {
			return
		}
		l := ls.add(resolve.Query{Name: name})
		l.lines = by[name]
	}
}

// fromServices adds the names that ExternalName Services stand for.
func (ls *lookups) fromServices() {
	for i := range ls.w.Services {
		s := &ls.w.Services[i]
		to := canonical(s.Spec.ExternalName)
		if s.Spec.Type != corev1.ServiceTypeExternalName || s.DeletionTimestamp != nil || !hostname.MatchString(to) || ls.inCluster(to) {
			continue
		}
		l := ls.add(resolve.Query{Name: to})
		l.services = append(l.services, s)
	}
}

// add follows a name, once; a name without a pod is asked for in full.
func (ls *lookups) add(q resolve.Query) *lookup {
	name := canonical(q.Name)
	for _, l := range ls.names {
		if l.name == name {
			return l
		}
	}
	l := &lookup{name: name, path: resolve.Resolve(q, ls.w)}
	l.end = canonical(cmp.Or(l.path.Answer.Alias, l.path.Answer.Name, name))
	ls.names = append(ls.names, l)
	return l
}

// failures are the names that CoreDNS could not answer in the last hour.
// Queries of its own, for addresses, for the cluster's names, and those that
// only search lists make are left out.
func (ls *lookups) failures(v *facts.View) []failure {
	_, search, _ := ls.w.NodeDNS()
	for i := range ls.w.Pods {
		if c := ls.w.Pods[i].Spec.DNSConfig; c != nil {
			search = append(search, c.Searches...)
		}
	}
	own := map[string]bool{}
	for _, s := range search {
		own[resolve.Normal(canonical(s))] = true
	}
	var out []failure
	for _, x := range coreDNSLogs(v).of(logNXDomain, logServFail, logRefusedReply, logTimeout, logNoHealthy).since(v.At().Add(-time.Hour)) {
		name := canonical(x.name)
		if x.qtype == "HINFO" || x.qtype == "PTR" || !hostname.MatchString(name) || ls.inCluster(name) || expanded(name, own) {
			continue
		}
		out = append(out, failure{name, x})
	}
	return out
}

// expanded reports whether a name is in a domain of a search list.
func expanded(name string, search map[string]bool) bool {
	for rest := name; ; {
		if search[rest+"."] {
			return true
		}
		var more bool
		if _, rest, more = strings.Cut(rest, "."); !more {
			return false
		}
	}
}

func (ls *lookups) inCluster(name string) bool {
	full := resolve.Normal(name)
	return resolve.Within(full, resolve.Normal(ls.w.Domain())) || strings.HasSuffix(full, ".arpa.")
}

// fails reports whether the name is known not to be answered: somebody says
// so, or CoreDNS logged one of classes for it, any without classes.
func (l *lookup) fails(classes ...logClass) bool {
	return l.asked || len(classes) == 0 && len(l.lines) > 0 || len(l.lines.of(classes...)) > 0
}

// decider is the object of a kind that decides the answer; "" for none.
func (l *lookup) decider(k facts.Need) string {
	for _, r := range l.path.Answer.Objects {
		if r.Kind == k.Kind() {
			return r.ID
		}
	}
	return ""
}

// publicDNS reports whether the public DNS is what is asked for the name.
func (l *lookup) publicDNS() bool {
	return l.path.Answer.Kind == resolve.NotKnown && l.path.Answer.By == "the public DNS"
}

// certain reports whether nothing that was not read would change the answer.
func (l *lookup) certain() bool {
	return l.path.Answer.Kind != resolve.NotKnown && len(l.path.Answer.Unless) == 0
}

// zone is the hosted zone that decides the answer; nil for none.
func (ls *lookups) zone(l *lookup) *facts.HostedZone {
	return ls.zoneByID(l.decider(facts.HostedZones))
}

func (ls *lookups) zoneByID(id string) *facts.HostedZone {
	for i := range ls.w.HostedZones {
		if z := &ls.w.HostedZones[i]; id != "" && zoneID(facts.Val(z.Id)) == id {
			return z
		}
	}
	return nil
}

// here reports whether a zone is associated with the cluster's VPC.
func (ls *lookups) here(z *facts.HostedZone) bool {
	return slices.ContainsFunc(z.VPCs, func(v r53types.VPC) bool { return facts.Val(v.VPCId) == ls.vpc })
}

// without follows a name as if something were otherwise.
func (ls *lookups) without(name string, change func(*resolve.World)) resolve.Path {
	w := *ls.w
	change(&w)
	return resolve.Resolve(resolve.Query{Name: name}, &w)
}

func isPrivateZone(z *facts.HostedZone) bool { return z.Config != nil && z.Config.PrivateZone }

// zoneLabel names a zone for people.
func zoneLabel(z *facts.HostedZone) string {
	kind := "public"
	if isPrivateZone(z) {
		kind = "private"
	}
	return kind + " zone " + canonical(facts.Val(z.Name)) + " (" + zoneID(facts.Val(z.Id)) + ")"
}

func zoneRef(z *facts.HostedZone) facts.Ref {
	return facts.Ref{Kind: facts.HostedZones.Kind(), ID: zoneID(facts.Val(z.Id))}
}

func vpcRef(id string) facts.Ref { return facts.Ref{Kind: facts.VPCs.Kind(), ID: id} }

// byObject groups lookups by what of picks; "" leaves one out.
func (ls *lookups) byObject(pick func(*lookup) string) (ids []string, groups map[string]needed) {
	groups = map[string]needed{}
	for _, l := range ls.names {
		if id := pick(l); id != "" {
			groups[id] = append(groups[id], l)
		}
	}
	return slices.Sorted(maps.Keys(groups)), groups
}
