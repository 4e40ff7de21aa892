package dns

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/resolve"
)

// readCache reads from its Corefile how NodeLocal DNSCache asks CoreDNS, and
// from its log whether it got answers.
func (w *queryWay) readCache(v *facts.View) {
	w.first = ""
	front := fronts(facts.Services.In(v))
	for _, m := range facts.ConfigMaps.In(v) {
		if m.Namespace == system && (m.Name == "node-local-dns" || m.Name == "nodelocaldns") {
			w.first = firstProtocol(m.Data["Corefile"], front)
		}
	}
	timeouts := nodeCacheLogs(v).current().since(v.At().Add(-time.Hour)).of(logTimeout)
	w.silent = timeouts.where(func(l logLine) bool {
		at, err := netip.ParseAddrPort(l.upstream)
		return err == nil && slices.Contains(front, at.Addr())
	})
}

// fronts are the addresses of the Services in front of CoreDNS: kube-dns, and
// kube-dns-upstream, which the cache has for itself.
func fronts(services []corev1.Service) []netip.Addr {
	var out []netip.Addr
	for _, s := range services {
		if s.Namespace != system || s.Spec.Selector["k8s-app"] != resolverLabels["k8s-app"] {
			continue
		}
		for _, ip := range append(slices.Clone(s.Spec.ClusterIPs), s.Spec.ClusterIP) {
			if a, err := netip.ParseAddr(ip); err == nil {
				out = append(out, a)
			}
		}
	}
	return out
}

// firstProtocol is how a cache with this Corefile asks the servers at front:
// tcp with force_tcp, else as it was asked itself, mostly udp. It is "" when
// the text does not tell.
func firstProtocol(text string, front []netip.Addr) string {
	c, err := resolve.ParseCorefile(text)
	if err != nil {
		return ""
	}
	for i := range c.Blocks {
		for _, f := range c.Blocks[i].Forwards() {
			asks := func(u resolve.Upstream) bool {
				return strings.Contains(u.Text, "__PILLAR__CLUSTER__DNS__") || u.Addr.IsValid() && slices.Contains(front, u.Addr.Addr())
			}
			switch {
			case !slices.ContainsFunc(f.To, asks):
			case f.ForceTCP:
				return "tcp"
			default:
				return "udp"
			}
		}
	}
	return ""
}

// mostly reports whether most queries go over a protocol: UDP where it is not
// known.
func (w *queryWay) mostly(protocol string) bool { return protocol == "tcp" == (w.first == "tcp") }

// over says how caches ask, where that is not the usual way.
func (w *queryWay) over() string {
	if w.first == "tcp" {
		return " over TCP (force_tcp)"
	}
	return ""
}

// nodesOf are the nodes of askers.
func (w *queryWay) nodesOf(all []*askers) []string {
	var out []string
	for _, a := range all {
		for _, p := range a.pods {
			out = append(out, p.Spec.NodeName)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// silence are the lines of caches behind a fence that got no answer.
func (w *queryWay) silence(f *fence) logs {
	pods := f.pods()
	return w.silent.where(func(l logLine) bool { return slices.Contains(pods, l.pod) })
}
