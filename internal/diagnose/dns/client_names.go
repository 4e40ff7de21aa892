package dns

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/resolve"
)

// clusterNames are the names that the cluster's DNS makes of Services.
type clusterNames struct {
	domain   string // such as cluster.local
	services map[string]*corev1.Service
}

// clusterNameWants are the kinds that tell the cluster's domain.
var clusterNameWants = []facts.Need{facts.ConfigMaps, facts.KubeletConfigs}

func newClusterNames(v *facts.View) clusterNames {
	w := resolve.World{ConfigMaps: facts.ConfigMaps.In(v), KubeletConfigs: facts.KubeletConfigs.In(v)}
	c := clusterNames{domain: w.Domain(), services: map[string]*corev1.Service{}}
	for i, s := range facts.Services.In(v) {
		c.services[s.Namespace+"/"+s.Name] = &facts.Services.In(v)[i]
	}
	return c
}

// A serviceName is a name of the cluster, taken apart: db-0.db.data.svc is
// db-0 of Service db in namespace data.
type serviceName struct{ rest, service, namespace string }

func (n serviceName) id() string { return n.namespace + "/" + n.service }

// parse takes a full name apart; false when it is no name of a Service.
func (c clusterNames) parse(full string) (serviceName, bool) {
	base, ok := strings.CutSuffix(resolve.Normal(full), ".svc."+c.domain+".")
	labels := strings.Split(base, ".")
	n := len(labels)
	if !ok || n < 2 || n > 4 {
		return serviceName{}, false
	}
	return serviceName{strings.Join(labels[:n-2], "."), labels[n-2], labels[n-1]}, true
}

// meant are the names of Services that a name can mean which a pod of a
// namespace looks up, in the order in which it asks for them. Without a
// namespace those are left out that its own would give.
func (c clusterNames) meant(lookup, namespace string) []serviceName {
	conf := resolve.ResolvConf{Ndots: 5, Search: []string{"svc." + c.domain, c.domain}}
	if namespace != "" {
		conf.Search = slices.Insert(conf.Search, 0, namespace+".svc."+c.domain)
	}
	var out []serviceName
	for _, full := range conf.Candidates(lookup) {
		if n, ok := c.parse(full); ok {
			out = append(out, n)
		}
	}
	return out
}

// find is the Service that a lookup leads to; nil when it leads to none.
func (c clusterNames) find(lookup, namespace string) *corev1.Service {
	for _, n := range c.meant(lookup, namespace) {
		if s := c.services[n.id()]; s != nil {
			return s
		}
	}
	return nil
}

// dnsServers are the addresses at which the cluster's DNS answers.
type dnsServers struct {
	services []corev1.Service
	cache    []corev1.Container // of NodeLocal DNSCache
}

func newDNSServers(v *facts.View) dnsServers {
	d := dnsServers{services: facts.Services.In(v)}
	for _, s := range facts.DaemonSets.In(v) {
		if isNodeCache(s) {
			d.cache = append(d.cache, s.Spec.Template.Spec.Containers...)
		}
	}
	return d
}

// answers reports whether an address is the cluster's DNS: that of a Service
// with port 53, of the cache on the nodes, or one that only the node itself
// can have.
func (d dnsServers) answers(address string) bool {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	return linkLocal(ip) || d.of(ip) != nil || slices.ContainsFunc(d.cache, func(c corev1.Container) bool {
		return strings.Contains(strings.Join(c.Args, " "), address)
	})
}

// amazonIPv4 is the VPC's own resolver, which knows no Services.
var amazonIPv4 = netip.MustParseAddr("169.254.169.253")

func linkLocal(ip netip.Addr) bool {
	return (ip.IsLinkLocalUnicast() || ip.IsLoopback()) && ip != amazonIPv4
}

// of is the Service with port 53 at an address; nil when there is none.
func (d dnsServers) of(ip netip.Addr) *corev1.Service {
	for i := range d.services {
		s := &d.services[i]
		at := slices.ContainsFunc(append(slices.Clone(s.Spec.ClusterIPs), s.Spec.ClusterIP), func(a string) bool {
			other, err := netip.ParseAddr(a)
			return err == nil && other == ip
		})
		if at && slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == 53 }) {
			return s
		}
	}
	return nil
}

// kubeDNS is the Service kube-dns; nil when there is none.
func (d dnsServers) kubeDNS() *corev1.Service {
	i := slices.IndexFunc(d.services, func(s corev1.Service) bool { return s.Namespace == system && s.Name == service })
	if i < 0 {
		return nil
	}
	return &d.services[i]
}

// hostForm tells the host of an address: "http://otel.obs:4317/v1" or
// "redis.cache.svc:6379". A bare word may be anything.
var hostForm = regexp.MustCompile(`(?:^|=)(?:[a-z][a-z0-9+.-]*://(?:[^/@\s]*@)?([a-z0-9.-]+)|([a-z0-9-]+(?:\.[a-z0-9-]+)*\.svc(?:\.[a-z0-9.-]+)?):\d+)(?:[:/?]|$)`)

// hostOf is the host that a program's argument or variable names; "" when it
// is no address.
func hostOf(word string) string {
	m := hostForm.FindStringSubmatch(strings.ToLower(word))
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}
