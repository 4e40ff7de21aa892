package dns

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// Packets a second that a network interface may send to link-local services,
// and how many on average mean that peaks go beyond
// (docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html).
const (
	packetLimit = 1024
	packetsNear = 768
)

// A rate is what the CoreDNS pods behind one network interface ask the VPC's
// resolver, by their own counters.
type rate struct {
	eni    string
	pods   []string // namespace/name
	since  time.Time
	second float64 // answered questions a second, on average since the pods started
}

// busiestInterface is the interface whose CoreDNS pods ask most; false when the
// counters, or the pods' interfaces, are not known.
func (t throttle) busiestInterface(v *facts.View) (rate, bool) {
	holders := reach.HoldersOf(facts.NetworkInterfaces.In(v))
	by := map[string]rate{}
	for _, m := range podMetrics(v) {
		i := slices.IndexFunc(t.pods, func(p corev1.Pod) bool { return p.Namespace+"/"+p.Name == m.pod })
		seconds := v.At().Sub(m.start).Seconds()
		if i < 0 || m.start.IsZero() || seconds < 600 {
			continue // an average over minutes tells little
		}
		ip, err := netip.ParseAddr(t.pods[i].Status.PodIP)
		if err != nil {
			continue
		}
		n := holders.Holder(ip)
		if n == nil {
			continue
		}
		r := by[facts.Val(n.NetworkInterfaceId)]
		r.eni, r.pods = facts.Val(n.NetworkInterfaceId), append(r.pods, m.pod)
		if r.since.IsZero() || m.start.Before(r.since) {
			r.since = m.start
		}
		for addr, f := range m.upstreams {
			if at, err := netip.ParseAddrPort(addr); err == nil && t.world.VPCResolver(at.Addr()) {
				r.second += total(f.responses) / seconds
			}
		}
		by[r.eni] = r
	}
	var most rate
	for _, r := range by {
		if r.second > most.second || r.second == most.second && r.eni < most.eni {
			most = r
		}
	}
	slices.Sort(most.pods)
	return most, most.second > 0
}

func total(r rcodes) float64 {
	n := 0.0
	for _, x := range r {
		n += x
	}
	return n
}

// tooMany reports whether an interface's rate explains the timeouts: those are
// at the VPC's resolver alone, and for more than one domain.
func (t throttle) tooMany(r rate) bool {
	up := t.vpc()
	if up == nil || up.domain() != "" || t.othersFail(up) {
		return false
	}
	n, _ := up.failed()
	_, silent := t.broken(up)
	return !silent && (r.second >= packetLimit && n >= 10 || r.second >= packetsNear && n >= 30)
}

// othersFail reports whether another upstream fails too: then it is the
// node's network, perhaps, but not this limit.
func (t throttle) othersFail(up *upstream) bool {
	return slices.ContainsFunc(t.list, func(o *upstream) bool { return o != up && len(o.lines) > 0 })
}

// about is the rate for people: an average is not known to the last digit.
func (r rate) about() int { return int(math.Round(r.second/10)) * 10 }

// claim says what the counters tell.
func (r rate) claim(up *upstream) string {
	peaks := ""
	if r.second < packetLimit {
		peaks = " on average, and more at peaks"
	}
	return fmt.Sprintf("%s behind network interface %s ask the VPC's resolver about %d times a second%s; an interface may send %d packets a second there and what is beyond is dropped: %s timed out in the last hour",
		diagnose.Count(len(r.pods), "CoreDNS pod"), r.eni, r.about(), peaks, packetLimit, diagnose.Count(up.lines.sum().count, "lookup"))
}

func (r rate) evidence() diagnose.Evidence {
	return diagnose.Evidence{
		Fact: "ec2/network-interfaces/" + r.eni, Got: fmt.Sprintf("%s send about %d questions a second to the VPC's resolver, by their counters since %s", diagnose.Some(r.pods), r.about(), r.since.Format("15:04:05Z")),
		Want:    fmt.Sprintf("well below %d a second: it is a limit of each interface, and cannot be raised", packetLimit),
		Command: "kubectl get --raw /api/v1/namespaces/kube-system/pods/" + r.pods[0][len(system)+1:] + ":9153/proxy/metrics | grep coredns_proxy_request_duration_seconds_count",
	}
}
