package dns

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var negativeOrStaleCache = &diagnose.Check{
	ID:    "dns/negative-or-stale-cache",
	Title: "A name exists now, and caches may still say that it does not",
	Doc: `Who asks for a name before it exists gets NXDOMAIN, and that answer is kept: by CoreDNS for the time that its cache plugin and
the zone allow, 5 seconds for names of Services mostly; by the VPC's resolver for the smaller of the time to live and the minimum
in the zone's SOA record, 15 minutes in Route 53 unless changed; by the cache on the nodes, and by programs such as the JVM.

Recognised by a name that was said not to resolve and that exists now: a Service that is younger than the time for which
CoreDNS and the cache on the node keep such an answer, or half a minute; or a record of a zone of the account for which CoreDNS
logged NXDOMAIN within that time of the zone.

Looks alike: a name that still fails after the time is not there, or not for who asks.

Time fixes it. A smaller minimum in the SOA record helps the next time. Restarting caches is worth it only in a hurry.`,
	Needs: []facts.Need{facts.Services, facts.ConfigMaps},
	Wants: []facts.Need{facts.KubeletConfigs, facts.PodLogs, facts.HostedZones, facts.Records, facts.Clusters, facts.DaemonSets, facts.Pods},
	Sources: []string{
		"https://coredns.io/plugins/cache/",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/SOA-NSrecords.html",
		"https://www.rfc-editor.org/rfc/rfc2308",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		q, names := newQuestion(v, facts.Pods.In(v)), newClusterNames(v)
		c := denialCache{corefile: parsedCorefile(v), cached: nodeCached(v), now: v.At()}
		zones, lines := hostedZones(v), coreDNSLogs(v).of(logNXDomain).current()
		if q.lookup == "" {
			return nil
		}
		if s := names.find(q.lookup, q.namespace); s != nil {
			keep := c.cluster(names.domain)
			if age := v.At().Sub(s.CreationTimestamp.Time); age >= 0 && age <= max(keep, settles) {
				return []diagnose.Finding{c.young(q.lookup, ref(facts.Services.Kind(), s.Namespace, s.Name), s.CreationTimestamp.Time, keep)}
			}
			return nil
		}
		return c.records(canonical(q.lookup), zones, lines)
	},
}

// settles is how young a Service is that CoreDNS and the nodes may not all
// know yet.
const settles = 30 * time.Second

// denialCache is how long caches keep the answer that a name does not exist.
type denialCache struct {
	corefile *resolve.Corefile // nil when it was not read
	cached   bool              // by NodeLocal DNSCache as well
	now      time.Time
}

// parsedCorefile is the configuration of CoreDNS; nil when it cannot be read.
func parsedCorefile(v *facts.View) *resolve.Corefile {
	w := resolve.World{ConfigMaps: facts.ConfigMaps.In(v)}
	text, ok := w.Corefile(deployment)
	c, err := resolve.ParseCorefile(text)
	if !ok || err != nil {
		return nil
	}
	return c
}

// limit is the time for which CoreDNS keeps a denial at most, where a zone
// allows more; 0 without a cache.
func (c denialCache) limit(name string) time.Duration {
	if c.corefile == nil {
		return 30 * time.Second // as EKS configures it
	}
	b, _ := c.corefile.Route(name)
	if b == nil || len(b.Caches()) == 0 {
		return 0
	}
	return b.Caches()[0].Denial
}

// cluster is how long the denial of a Service's name is kept.
func (c denialCache) cluster(domain string) time.Duration {
	ttl := 5 * time.Second // the plugin's default
	if c.corefile != nil {
		if b, _ := c.corefile.Route("a.b.svc." + domain); b != nil && len(b.Kubernetes()) > 0 && b.Kubernetes()[0].TTL > 0 {
			ttl = b.Kubernetes()[0].TTL
		}
	}
	keep := min(ttl, c.limit("a.b.svc."+domain))
	if c.cached {
		keep += ttl
	}
	return keep
}

func (c denialCache) young(name string, r facts.Ref, made time.Time, keep time.Duration) diagnose.Finding {
	until := made.Add(max(keep, settles)).UTC()
	return diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  r,
		Claim: fmt.Sprintf("%s has existed since %s only: the answer from before, that it does not, is kept for %s by the cluster's DNS, and longer by programs with a cache of their own",
			name, made.UTC().Format("15:04:05Z"), keep),
		Evidence: []diagnose.Evidence{{
			Fact: r.String() + " metadata.creationTimestamp", Got: made.UTC().Format(time.RFC3339), Want: fmt.Sprintf("more than %s ago: so long caches keep an answer of the cluster that says no", keep),
			Command: "kubectl get services -A --sort-by=.metadata.creationTimestamp",
		}},
		Remedies: []remedy.Remedy{{
			Title:  fmt.Sprintf("Wait until %s and try again", until.Format("15:04:05Z")),
			Why:    "Programs with a cache of their own, such as the JVM (10 seconds for what does not exist), need that much longer.",
			Manual: []string{"kubectl run hopwise-lookup --rm -i --restart=Never --image=public.ecr.aws/docker/library/busybox:stable -- nslookup " + name},
		}},
	}
}

// records judges a name of a zone of the account.
func (c denialCache) records(name string, zones []*hosted, lines logs) []diagnose.Finding {
	said := lines.where(func(l logLine) bool { return canonical(l.name) == name }).sum()
	for _, h := range zones {
		if !h.holds(name) || len(h.exactly(name)) == 0 || said.count == 0 {
			continue
		}
		keep := negativeTTL(h) + c.limit(name+".")
		wait := keep - c.now.Sub(said.last)
		if keep == 0 || wait <= 0 || wait > keep {
			continue
		}
		return []diagnose.Finding{{
			Severity: diagnose.Risk,
			Subject:  recordRef(name),
			Affects:  []facts.Ref{h.ref()},
			Claim: fmt.Sprintf("%s has a record in %s now; CoreDNS was told at %s that it does not exist, and caches may keep that until %s",
				name, h.label(), said.last.UTC().Format("15:04:05Z"), c.now.Add(wait).UTC().Format("15:04:05Z")),
			Evidence: []diagnose.Evidence{
				logEvidence(said, false, "an answer"),
				{Fact: h.ref().String() + " SOA", Got: fmt.Sprintf("answers that say no are kept for %s", negativeTTL(h)), Want: "a time that you can wait", Command: listing(h, h.name)},
			},
			Remedies: []remedy.Remedy{{
				Title:  fmt.Sprintf("Wait until %s and try again", c.now.Add(wait).UTC().Format("15:04:05Z")),
				Why:    "The VPC's resolver cannot be emptied. A smaller minimum in the SOA record (its last number) helps the next time.",
				Manual: []string{"dig +noall +authority " + h.name + " SOA", listing(h, name)},
			}},
		}}
	}
	return nil
}

// negativeTTL is how long resolvers may keep the answer that a name of a zone
// does not exist: the smaller of the SOA record's time to live and its last
// number. 0 when the record was not read.
func negativeTTL(h *hosted) time.Duration {
	i := slices.IndexFunc(h.records, func(r r53types.ResourceRecordSet) bool {
		return r.Type == r53types.RRTypeSoa && canonical(facts.Val(r.Name)) == h.name
	})
	if i < 0 || len(h.records[i].ResourceRecords) == 0 {
		return 0
	}
	fields := strings.Fields(facts.Val(h.records[i].ResourceRecords[0].Value))
	if len(fields) < 7 {
		return 0
	}
	minimum, err := strconv.ParseInt(fields[6], 10, 64)
	if err != nil || minimum < 0 {
		return 0
	}
	return time.Duration(min(minimum, facts.Val(h.records[i].TTL))) * time.Second
}
