package dns

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/resolve"
)

// What newUpstreams reads.
var (
	upstreamNeeds = []facts.Need{facts.Deployments, facts.Pods, facts.ConfigMaps}
	upstreamWants = []facts.Need{
		facts.PodLogs, facts.PodMetrics, facts.Services, facts.EndpointSlices, facts.Events, facts.Addons, facts.Clusters, facts.VPCs, facts.DHCPOptions,
	}
)

// An upstream is a server that CoreDNS asks for names that it does not serve
// itself.
type upstream struct {
	addr  string     // address:port
	ip    netip.Addr // invalid for what is no address
	vpc   bool       // the VPC's own resolver
	zones []string   // what it is asked for, by the Corefile; "." for all
	block string     // zone:port of the server block that names it, "" when a file on the node does
	plain bool       // it is asked over UDP first, as is usual

	lines    logs    // failures of the last hour
	answered float64 // answers since the pods started
	perHour  float64 // answers in an hour, as far as that average tells; NaN when nobody told
	codes    rcodes
}

// upstreams are those of the Corefile, with what logs and metrics say.
type upstreams struct {
	coreDNS
	corefile
	world   *resolve.World
	list    []*upstream
	counted bool // metrics of some pod are known
}

func newUpstreams(v *facts.View) *upstreams {
	u := &upstreams{coreDNS: newCoreDNS(v)}
	u.world = &resolve.World{ConfigMaps: facts.ConfigMaps.In(v), Clusters: facts.Clusters.In(v), VPCs: facts.VPCs.In(v), DHCPOptions: facts.DHCPOptions.In(v), Services: facts.Services.In(v)}
	u.corefile, _ = readCorefile(v, u.addresses())
	u.configured()
	own := func(pod string) bool {
		return slices.ContainsFunc(u.pods, func(p corev1.Pod) bool { return p.Namespace+"/"+p.Name == pod })
	}
	recent := coreDNSLogs(v).current().since(v.At().Add(-time.Hour)).of(logTimeout, logRefused, logUnreachable, logNoHealthy)
	for _, l := range recent {
		if l.qtype == "HINFO" || l.at.IsZero() || !own(l.pod) {
			continue // its own test query; of some other time
		}
		if up := u.of(l); up != nil {
			up.lines = append(up.lines, l)
		}
	}
	for _, m := range podMetrics(v) {
		if own(m.pod) {
			u.count(m, v.At())
		}
	}
	slices.SortStableFunc(u.list, func(a, b *upstream) int {
		return cmp.Or(b.lines.sum().count-a.lines.sum().count, cmp.Compare(a.addr, b.addr))
	})
	return u
}

// configured adds the upstreams that the Corefile names, and those of the
// resolv.conf that it points to, as far as the VPC's DHCP options tell.
func (u *upstreams) configured() {
	if u.model == nil {
		return
	}
	for i := range u.model.Blocks {
		b := &u.model.Blocks[i]
		for _, f := range b.Forwards() {
			for _, to := range f.To {
				switch {
				case to.Addr.IsValid():
					u.name(to.Addr.String(), b, f, zone(b)).plain = to.Scheme == "dns" && !f.ForceTCP
				case to.File != "":
					servers, _, _ := u.world.NodeDNS()
					for _, text := range servers {
						s, err := netip.ParseAddr(text)
						if err != nil {
							continue
						}
						u.name(netip.AddrPortFrom(s, 53).String(), b, f, "").plain = !f.ForceTCP
					}
				}
			}
		}
	}
}

// name notes that a forward names an upstream.
func (u *upstreams) name(addr string, b *resolve.Block, f resolve.Forward, block string) *upstream {
	up := u.at(addr)
	up.block = block
	if f.From != "." {
		up.zones = append(up.zones, resolve.Normal(f.From))
		return up
	}
	for _, z := range b.Zones {
		if !slices.Contains(up.zones, z.Name) {
			up.zones = append(up.zones, z.Name)
		}
	}
	return up
}

// at is the upstream of an address, a new one if it is not known yet.
func (u *upstreams) at(addr string) *upstream {
	for _, up := range u.list {
		if up.addr == addr {
			return up
		}
	}
	up := &upstream{addr: addr, perHour: math.NaN(), codes: rcodes{}}
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		up.ip = ap.Addr().Unmap()
		up.vpc = u.world.VPCResolver(up.ip) && ap.Port() == 53
	}
	u.list = append(u.list, up)
	return up
}

// of is the upstream that a line is about. A line that names none belongs to
// the only one, if there is but one.
func (u *upstreams) of(l logLine) *upstream {
	if l.upstream != "" {
		return u.at(l.upstream)
	}
	if len(u.list) == 1 {
		return u.list[0]
	}
	return nil
}

// count adds what a pod counted since its start.
func (u *upstreams) count(m metrics, now time.Time) {
	u.counted = true
	hours := now.Sub(m.start).Hours()
	for addr, f := range m.upstreams {
		up := u.at(addr)
		n := 0.0
		for code, c := range f.responses {
			up.codes[code] += c
			n += c
		}
		up.answered += n
		if !m.start.IsZero() && hours > 0 {
			if math.IsNaN(up.perHour) {
				up.perHour = 0
			}
			up.perHour += n / max(hours, 1)
		}
	}
}

// stub reports whether an upstream is asked for some zones only.
func (up *upstream) stub() bool { return len(up.zones) > 0 && !slices.Contains(up.zones, ".") }

// failed is how many queries failed in the last hour, and their share of all
// that it was asked, NaN when nobody tells.
func (up *upstream) failed() (n int, part float64) {
	n = up.lines.sum().count
	return n, float64(n) / (float64(n) + up.perHour)
}

// broken reports whether more queries fail than do in a healthy cluster, where
// some always time out; silent, whether it answered none that are known of.
func (u *upstreams) broken(up *upstream) (broken, silent bool) {
	n, part := up.failed()
	silent = u.counted && up.answered == 0
	switch {
	case silent:
		return n >= 5, true
	case !math.IsNaN(part):
		return n >= 10 && part >= 0.05 || n >= 30 && part >= 0.01, false
	default:
		return n >= 30, false
	}
}

// domain is the domain that nearly all failed names are in, by its last two
// labels; "" when there is no such.
func (up *upstream) domain() string {
	count, all := map[string]int{}, 0
	for _, l := range up.lines {
		labels := strings.Split(strings.TrimSuffix(strings.ToLower(l.name), "."), ".")
		if l.name != "" {
			count[strings.Join(labels[max(0, len(labels)-2):], ".")] += l.count
			all += l.count
		}
	}
	for d, n := range count {
		if n*10 >= all*9 {
			return d
		}
	}
	return ""
}

// who names an upstream for people.
func (up *upstream) who() string {
	if up.vpc {
		return "the VPC's resolver " + up.addr
	}
	return "upstream " + up.addr
}

// lineEvidence is what the failures say.
func (up *upstream) lineEvidence() diagnose.Evidence {
	return logEvidence(up.lines.sum(), false, "answers from "+up.addr)
}
