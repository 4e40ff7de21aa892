package resolve

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// All are the plugins of a block by name, in the order of the file.
func (b *Block) All(name string) []*Plugin {
	var out []*Plugin
	for i := range b.Plugins {
		if b.Plugins[i].Name == name {
			out = append(out, &b.Plugins[i])
		}
	}
	return out
}

// Has reports whether a block has a plugin.
func (b *Block) Has(name string) bool { return len(b.All(name)) > 0 }

// Serves reports whether a block answers for a zone in plain DNS.
func (b *Block) Serves(zone string) bool {
	return slices.ContainsFunc(b.Zones, func(z Zone) bool { return z.Scheme == "dns" && z.Name == Normal(zone) })
}

// Label names a block by its zones, as a person would write them: ".:53".
func (b *Block) Label() string {
	var names []string
	for _, z := range b.Zones {
		name := strings.TrimSuffix(z.Name, ".")
		if z.Name == "." {
			name = "."
		}
		if z.Scheme != "dns" {
			name = z.Scheme + "://" + name
		}
		names = append(names, name+":"+z.Port)
	}
	return strings.Join(names, " ")
}

// Prop returns the last property of a name; nil when there is none.
func (p *Plugin) Prop(name string) *Property {
	for i := len(p.Props) - 1; i >= 0; i-- {
		if p.Props[i].Name == name {
			return &p.Props[i]
		}
	}
	return nil
}

func (p *Plugin) props(name string) []Property {
	var out []Property
	for _, x := range p.Props {
		if x.Name == name {
			out = append(out, x)
		}
	}
	return out
}

// Kubernetes is how the kubernetes plugin of a block is set.
type Kubernetes struct {
	Zones            []string
	Fallthrough      []string // zones whose unknown names go on to the next plugin; nil for none, "." for all
	Pods             string   // disabled, insecure or verified
	EndpointPodNames bool     // pods without a hostname are named by their own name
	Namespaces       []string // the only ones that are served; nil for all
	NamespaceLabels  string   // selector of those that are served
	Labels           string   // selector of the objects that are served
	IgnoreEmpty      bool     // a Service without ready endpoints does not exist
	NoEndpoints      bool     // endpoints are not watched: headless Services have no names
	TTL              time.Duration
	Endpoint         string // URL of the API server; "" for the one of the cluster
	Kubeconfig       string
	Line             int
}

// Kubernetes are the kubernetes plugins of b. CoreDNS allows one.
func (b *Block) Kubernetes() []Kubernetes {
	var out []Kubernetes
	for _, p := range b.All("kubernetes") {
		out = append(out, p.kubernetes(b))
	}
	return out
}

func (p *Plugin) kubernetes(b *Block) Kubernetes {
	k := Kubernetes{Zones: origins(p.Args, b), Fallthrough: p.falls(), Pods: "disabled", TTL: 5 * time.Second, Line: p.Line}
	k.EndpointPodNames = p.Prop("endpoint_pod_names") != nil
	k.NoEndpoints = p.Prop("noendpoints") != nil
	k.Pods = p.value("pods", k.Pods)
	k.Endpoint, k.Kubeconfig = p.value("endpoint", ""), p.value("kubeconfig", "")
	k.IgnoreEmpty = p.value("ignore", "") == "empty_service"
	if n, err := strconv.Atoi(p.value("ttl", "")); err == nil {
		k.TTL = time.Duration(n) * time.Second
	}
	for _, x := range p.props("namespaces") {
		k.Namespaces = append(k.Namespaces, x.Args...)
	}
	if x := p.Prop("namespace_labels"); x != nil {
		k.NamespaceLabels = strings.Join(x.Args, " ")
	}
	if x := p.Prop("labels"); x != nil {
		k.Labels = strings.Join(x.Args, " ")
	}
	return k
}

// falls are the zones of a plugin's fallthrough property.
func (p *Plugin) falls() []string {
	x := p.Prop("fallthrough")
	if x == nil {
		return nil
	}
	if len(x.Args) == 0 {
		return []string{"."}
	}
	return origins(x.Args, nil)
}

// value is the first argument of a property, or what counts without it.
func (p *Plugin) value(name, without string) string {
	if x := p.Prop(name); x != nil && len(x.Args) > 0 {
		return x.Args[0]
	}
	return without
}

func (p *Plugin) duration(name string, without time.Duration) time.Duration {
	if d, err := time.ParseDuration(p.value(name, "")); err == nil {
		return d
	}
	return without
}

func (p *Plugin) number(name string, without int) int {
	if n, err := strconv.Atoi(p.value(name, "")); err == nil {
		return n
	}
	return without
}

// Forward is how a forward plugin is set.
type Forward struct {
	From          string // the zone that it takes names of
	To            []Upstream
	Except        []string // zones below From that it leaves to the next plugin
	ForceTCP      bool
	PreferUDP     bool
	Policy        string        // random, round_robin or sequential
	MaxConcurrent int           // queries at a time; 0 for no limit
	MaxFails      int           // health checks that fail before an upstream is down; 0 for never
	HealthCheck   time.Duration // between two of them
	Expire        time.Duration // of connections that nothing uses
	TLSServerName string
	Line          int
}

// An Upstream is a server that forward asks, or a file that names such.
type Upstream struct {
	Text   string // as written
	Scheme string // dns, tls, https ...
	Addr   netip.AddrPort
	File   string // /etc/resolv.conf: the nameservers of the pod's own resolv.conf
}

// Forwards are the forward plugins of b, in the order in which they are asked.
func (b *Block) Forwards() []Forward {
	var out []Forward
	for _, p := range b.All("forward") {
		out = append(out, p.forward())
	}
	return out
}

func (p *Plugin) forward() Forward {
	f := Forward{
		ForceTCP: p.Prop("force_tcp") != nil, PreferUDP: p.Prop("prefer_udp") != nil, Policy: p.value("policy", "random"),
		MaxConcurrent: p.number("max_concurrent", 0), MaxFails: p.number("max_fails", 2), TLSServerName: p.value("tls_servername", ""),
		HealthCheck: p.duration("health_check", 500*time.Millisecond), Expire: p.duration("expire", 10*time.Second), Line: p.Line,
	}
	if len(p.Args) > 0 {
		if from := origins(p.Args[:1], nil); len(from) > 0 {
			f.From = from[0]
		}
		for _, to := range p.Args[1:] {
			f.To = append(f.To, upstream(to))
		}
	}
	for _, x := range p.props("except") {
		f.Except = append(f.Except, origins(x.Args, nil)...)
	}
	return f
}

func upstream(s string) Upstream {
	proto, rest := scheme(s)
	u := Upstream{Text: s, Scheme: proto}
	port, _ := strconv.ParseUint(ports[proto], 10, 16)
	if a, err := netip.ParseAddrPort(rest); err == nil {
		u.Addr = a
	} else if a, err := netip.ParseAddr(strings.Trim(rest, "[]")); err == nil {
		u.Addr = netip.AddrPortFrom(a, uint16(port))
	} else {
		u.File = rest
	}
	return u
}

// Takes reports whether forward takes a name.
func (f Forward) Takes(name string) bool {
	return f.From != "" && Within(name, f.From) && longest(f.Except, name) == ""
}

// Hosts is how the hosts plugin is set.
type Hosts struct {
	File        string // whose entries are not known here
	Zones       []string
	Inline      map[string][]netip.Addr // by name
	Fallthrough []string
	Line        int
}

// hosts reads a hosts plugin. Lines that are no address with names are
// passed over, as CoreDNS does.
func (p *Plugin) hosts(b *Block) Hosts {
	h := Hosts{File: "/etc/hosts", Inline: map[string][]netip.Addr{}, Fallthrough: p.falls(), Line: p.Line}
	args := p.Args
	if len(args) > 0 {
		h.File, args = args[0], args[1:]
	}
	h.Zones = origins(args, b)
	for _, x := range p.Props {
		ip, err := netip.ParseAddr(x.Name)
		if err != nil {
			continue
		}
		for _, n := range x.Args {
			if longest(h.Zones, Normal(n)) != "" {
				h.Inline[Normal(n)] = append(h.Inline[Normal(n)], ip)
			}
		}
	}
	return h
}

// Hosts are the hosts plugins of b. CoreDNS allows one.
func (b *Block) Hosts() []Hosts {
	var out []Hosts
	for _, p := range b.All("hosts") {
		out = append(out, p.hosts(b))
	}
	return out
}

// Cache is how the cache plugin is set.
type Cache struct {
	Zones      []string
	Success    time.Duration // longest time that answers are kept
	Denial     time.Duration // longest time that "no such name" is kept
	ServeStale bool          // old answers are given when upstreams fail
	Prefetch   bool
	NoSuccess  []string // zones whose answers are not kept
	NoDenial   []string
	Line       int
}

// Caches are the cache plugins of b. CoreDNS allows one.
func (b *Block) Caches() []Cache {
	var out []Cache
	for _, p := range b.All("cache") {
		out = append(out, p.cache(b))
	}
	return out
}

func (p *Plugin) cache(b *Block) Cache {
	c := Cache{Success: time.Hour, Denial: 30 * time.Minute, ServeStale: p.Prop("serve_stale") != nil, Prefetch: p.Prop("prefetch") != nil, Line: p.Line}
	args := p.Args
	if len(args) > 0 {
		if n, err := strconv.Atoi(args[0]); err == nil {
			c.Success, c.Denial, args = time.Duration(n)*time.Second, time.Duration(n)*time.Second, args[1:]
		}
	}
	c.Zones = origins(args, b)
	longestFor := func(name string, d *time.Duration) {
		if x := p.Prop(name); x != nil && len(x.Args) > 1 {
			if n, err := strconv.Atoi(x.Args[1]); err == nil {
				*d = time.Duration(n) * time.Second
			}
		}
	}
	longestFor("success", &c.Success)
	longestFor("denial", &c.Denial)
	for _, x := range p.props("disable") {
		if len(x.Args) == 0 {
			continue
		}
		zones := []string{"."}
		if len(x.Args) > 1 {
			zones = origins(x.Args[1:], nil)
		}
		if x.Args[0] == "success" {
			c.NoSuccess = zones
		} else {
			c.NoDenial = zones
		}
	}
	return c
}
