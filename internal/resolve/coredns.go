package resolve

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

func (a *asker) nodeLocal(name string) Answer {
	a.step(reach.Step{Hop: "cache on the node", Verdict: reach.Allowed, Rule: "kube-system/node-local-dns", Text: "NodeLocal DNSCache takes queries before CoreDNS",
		Command: "kubectl -n kube-system get daemonset node-local-dns", Objects: []facts.Ref{ref(facts.DaemonSets, dnsNamespace, nodeLocalMap)}})
	a.pod = a.cacheOn()
	return a.configured(nodeLocalMap, "the cache on the node", name)
}

// configured asks a server whose Corefile is in a ConfigMap.
func (a *asker) configured(configMap, who, name string) Answer {
	r, command := ref(facts.ConfigMaps, dnsNamespace, configMap), corefileCommand(configMap)
	if a.again(who, name) {
		return a.ends(who, "", command, Answer{Kind: ServFail, Name: name, By: who, Why: "the question for " + bare(name) + " comes back to " + who + ": a forwarding loop", Objects: []facts.Ref{r}})
	}
	text, ok := a.w.Corefile(configMap)
	if !ok && configMap == nodeLocalMap {
		a.unless = append(a.unless, who+" has another Corefile than the usual one: its own was not read")
		text, ok = nodeLocalCorefile, true
	}
	if !ok {
		return a.unknown(who, name, who, "the Corefile of "+who+" was not read", command, r)
	}
	c, err := a.w.parsed(text)
	if err != nil {
		return a.unknown(who, name, who, fmt.Sprintf("%s does not start with this Corefile (%v); pods that run keep the one before", who, err), command, r)
	}
	return a.block(c, who, configMap, name)
}

func corefileCommand(configMap string) string {
	if configMap == "" {
		return ""
	}
	return "kubectl -n kube-system get configmap " + configMap + " -o yaml"
}

// block walks the plugins that a name meets in a Corefile.
func (a *asker) block(c *Corefile, who, configMap, name string) Answer {
	b, chain := c.route(name, a.qtype)
	at := server{a: a, who: who, configMap: configMap, file: c}
	if b == nil {
		return a.ends(who, "", corefileCommand(configMap), Answer{Kind: Refused, Name: name, By: who, Why: "no server block serves " + bare(name), Objects: at.refs()})
	}
	at.label = b.Label()
	for _, u := range c.Unread {
		if u.In == "" || u.Line >= b.Line && u.Line <= b.End {
			if !strings.HasPrefix(u.What, "__PILLAR__") {
				a.unless = append(a.unless, "what "+u.What+" (line "+fmt.Sprint(u.Line)+" of the Corefile) brings says otherwise")
			}
		}
	}
	for _, l := range chain {
		if answer, done := at.link(b, l); done {
			return answer
		}
	}
	return a.unknown(who, name, who, "the plugins of "+at.label+" do not end", corefileCommand(configMap), at.refs()...)
}

// A server is a CoreDNS with its Corefile.
type server struct {
	a                     *asker
	who, configMap, label string
	file                  *Corefile
}

func (s server) refs() []facts.Ref {
	if s.configMap == "" {
		return nil
	}
	return []facts.Ref{ref(facts.ConfigMaps, dnsNamespace, s.configMap)}
}

func (s server) hop(l Link) string {
	if l.Plugin == nil {
		return s.who + ", block " + s.label
	}
	return fmt.Sprintf("%s, block %s, plugin %s", s.who, s.label, l.Plugin.Name)
}

// link is what one plugin answers; done is false when the next is asked.
func (s server) link(b *Block, l Link) (answer Answer, done bool) {
	command := corefileCommand(s.configMap)
	if l.Plugin == nil {
		kind := ServFail
		if strings.HasSuffix(l.Text, string(Refused)) {
			kind = Refused
		}
		return s.a.ends(s.hop(l), "", command, Answer{Kind: kind, Name: l.Name, By: s.who, Why: l.Text, Objects: s.refs()}), true
	}
	switch l.Plugin.Name {
	case "kubernetes":
		return s.kubernetes(b, l)
	case "forward":
		return s.forward(l), true
	case "hosts":
		if ips := l.Plugin.hosts(b).Inline[l.Name]; l.Does == Answers && len(ips) > 0 {
			return s.a.ends(s.hop(l), "", command, inFamily(Answer{Name: l.Name, By: s.who, Why: "the hosts entry in the Corefile", Objects: s.refs()}, ips, s.a.qtype)), true
		}
	}
	switch l.Does {
	case Passes, Rewrites:
		if l.Does == Rewrites {
			s.a.step(reach.Step{Hop: s.hop(l), Verdict: reach.Allowed, Text: l.Text, Command: command, Objects: s.refs()})
		}
		return Answer{}, false
	case MayAnswer:
		s.a.unless = append(s.a.unless, fmt.Sprintf("plugin %s (line %d of the Corefile) has an answer: it %s", l.Plugin.Name, l.Plugin.Line, l.Text))
		return Answer{}, false
	case Refuses:
		return s.a.ends(s.hop(l), "", command, Answer{Kind: ServFail, Name: l.Name, By: s.who, Why: l.Text, Objects: s.refs()}), true
	}
	for _, kind := range []Kind{NXDomain, ServFail, Refused} {
		if strings.Contains(l.Text, string(kind)) && l.Plugin.Name == "template" {
			return s.a.ends(s.hop(l), "", command, Answer{Kind: kind, Name: l.Name, By: s.who, Why: l.Text, Objects: s.refs()}), true
		}
	}
	return s.a.unknown(s.hop(l), l.Name, s.who, "plugin "+l.Plugin.Name+" "+l.Text, command, s.refs()...), true
}

// kubernetes answers from the cluster's objects. Aliases (ExternalName) are
// asked of the same server.
func (s server) kubernetes(b *Block, l Link) (Answer, bool) {
	k := l.Plugin.kubernetes(b)
	zone := longest(k.Zones, l.Name)
	if zone == "" {
		return Answer{}, false
	}
	found := s.a.w.kube(k, zone, l.Name, s.a.qtype)
	found.Name, found.By = l.Name, s.who
	if found.Kind == NXDomain && longest(k.Fallthrough, l.Name) != "" {
		s.a.step(reach.Step{Hop: s.hop(l), Verdict: reach.Allowed, Text: found.Why + "; fallthrough: the next plugin is asked", Command: found.command})
		return Answer{}, false
	}
	if found.alias == "" {
		return s.a.ends(s.hop(l), found.rule, found.command, found.Answer), true
	}
	s.a.step(reach.Step{Hop: s.hop(l), Verdict: reach.Allowed, Rule: found.rule, Text: found.Why, Command: found.command, Objects: found.Objects})
	if s.a.qtype == "CNAME" {
		found.Kind, found.Records = Found, []string{found.alias}
		return found.Answer, true
	}
	if stop, ok := s.a.followed(found.alias, s.who); !ok {
		return stop, true
	}
	return s.a.block(s.file, s.who, s.configMap, found.alias), true
}

// followed counts an alias; ok is false when there were too many, or its
// name is none.
func (a *asker) followed(to, by string) (Answer, bool) {
	if a.links++; a.links > maxChain {
		return a.ends("aliases", "", "", Answer{Kind: ServFail, Name: to, By: by, Why: fmt.Sprintf("more than %d aliases one after the other: they go round in a circle, or are too many", maxChain)}), false
	}
	if !validName(to) || to == "." {
		return a.ends("aliases", "", "", Answer{Kind: ServFail, Name: to, By: by, Why: to + " is no name that can be asked for"}), false
	}
	return Answer{}, true
}

// forward asks the first upstream of a forward plugin.
func (s server) forward(l Link) Answer {
	f := l.Plugin.forward()
	command := corefileCommand(s.configMap)
	if len(f.To) == 0 {
		return s.a.unknown(s.hop(l), l.Name, s.who, "forward has no upstream", command, s.refs()...)
	}
	s.a.step(reach.Step{Hop: s.hop(l), Verdict: reach.Allowed, Text: l.Text, Command: command, Objects: s.refs()})
	u := f.To[0]
	s.a.tcp = f.ForceTCP
	switch {
	case strings.Contains(u.Text, "__PILLAR__CLUSTER__DNS__"):
		return s.a.clusterService(s.a.w.front(), l.Name)
	case u.File != "" && (strings.HasPrefix(u.File, "/") || strings.Contains(u.Text, "__PILLAR__UPSTREAM")):
		return s.a.nodeServers(s, l)
	case !u.Addr.IsValid() || u.Scheme != "dns" || u.Addr.Port() != 53:
		return s.a.unknown("upstream", l.Name, "the server "+u.Text, "the server "+u.Text+" answers; it was not asked", "dig @"+u.Text+" "+l.Name)
	case s.configMap == corednsMap && u.Addr.Addr().IsLoopback():
		return s.loop(l, u)
	case s.configMap == corednsMap && slices.Contains(s.a.w.Addresses(), u.Addr.Addr()):
		return s.loop(l, u)
	case s.configMap == nodeLocalMap && s.a.w.upstreamService(u.Addr.Addr()):
		return s.a.clusterService(u.Addr.Addr(), l.Name)
	}
	var servers []string
	for _, to := range f.To {
		if to.Addr.IsValid() {
			servers = append(servers, to.Addr.Addr().String())
		}
	}
	s.a.others(servers, f.Policy)
	return s.a.ask(servers[0], l.Name)
}

// front is the first address of the Service in front of CoreDNS.
func (w *World) front() netip.Addr {
	if all := w.Addresses(); len(all) > 0 {
		return all[0]
	}
	return netip.Addr{}
}

// upstreamService reports whether an address is a Service of CoreDNS's pods,
// such as kube-dns-upstream, which the cache on the nodes asks.
func (w *World) upstreamService(ip netip.Addr) bool {
	for i := range w.Services {
		s := &w.Services[i]
		if s.Namespace == dnsNamespace && s.Spec.Selector["k8s-app"] == dnsService && slices.Contains(clusterIPs(s), ip) {
			return true
		}
	}
	return false
}

func (s server) loop(l Link, u Upstream) Answer {
	return s.a.ends("upstream", "", corefileCommand(s.configMap), Answer{Kind: ServFail, Name: l.Name, By: s.who, Objects: s.refs(),
		Why: fmt.Sprintf("CoreDNS forwards to %s, which is CoreDNS itself: a loop", u.Addr.Addr())})
}
