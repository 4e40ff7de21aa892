package dns

import (
	"fmt"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var dhcpOptionsCustomDNS = &diagnose.Check{
	ID:    "dns/dhcp-options-custom-dns",
	Title: "Name servers of the DHCP options do not answer what the cluster asks",
	Doc: `The DHCP options of the VPC say which name servers stand in the /etc/resolv.conf of nodes, and CoreDNS forwards to those. Name
servers of somebody's own know neither the private zones nor the endpoint names of the VPC, unless they forward them to the VPC's
resolver or to an inbound endpoint; and when they are down, nothing outside the cluster resolves.

Recognised by such servers in the DHCP options, CoreDNS forwarding to its node's resolv.conf, and either a name that was said not to
resolve, or that CoreDNS got NXDOMAIN or SERVFAIL for in the last hour, which the VPC's resolver would answer from a private zone or a
VPC endpoint; or one public server beside the VPC's resolver that answers CoreDNS with NXDOMAIN much more often, while a private zone is
associated: CoreDNS asks either at random, and both get the same questions; or a server that answered nothing since CoreDNS started, five and more lookups of the last hour, and nothing in the VPC
that stops them on the way.

Looks alike: servers that forward as they should, which is how most companies run them: without such a name, nothing is said.

Fixed by AmazonProvidedDNS in the DHCP options with Resolver rules for the company's names, or by forwarding on the servers. Options
reach a node with its next lease or start, and CoreDNS reads resolv.conf when it starts.`,
	Needs:    []facts.Need{facts.Clusters, facts.VPCs, facts.DHCPOptions, facts.ConfigMaps},
	Wants:    besides([]facts.Need{facts.Clusters, facts.VPCs, facts.DHCPOptions, facts.ConfigMaps}, slices.Concat(lookupWants(), upstreamNeeds, upstreamWants, pathWants)),
	CausedBy: []string{"dns/vpc-enable-dns-support-off", "dns/resolver-endpoint-saturated-or-blocked"},
	Sources: []string{
		"https://docs.aws.amazon.com/vpc/latest/userguide/VPC_DHCP_Options.html",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-getting-started.html",
		"https://coredns.io/plugins/forward/",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ls := newLookups(v)
		d := vpcDNSOf(ls.w, ls.w.VPCAttributes)
		vpc := ls.w.VPC()
		if vpc == nil || !d.known || len(d.servers) == 0 || facts.Val(vpc.DhcpOptionsId) == "" || !forwardsToNode(ls.w) {
			return nil
		}
		own := slices.DeleteFunc(slices.Clone(d.servers), d.amazon)
		if len(own) == 0 {
			return nil
		}
		if m := d.mixed(v, ls, *vpc.DhcpOptionsId, own); m != nil {
			return []diagnose.Finding{m.finding()}
		}
		var unknown needed
		for _, l := range ls.names {
			if slices.Contains(own, strings.TrimPrefix(l.path.Answer.By, "the server ")) && ls.onlyAmazonKnows(l) {
				unknown = append(unknown, l)
			}
		}
		dead := deadServers(v, own)
		if len(unknown) == 0 && len(dead) == 0 {
			return nil
		}
		return []diagnose.Finding{d.ownServers(own, *vpc.DhcpOptionsId, unknown, dead.sum())}
	},
}

// deadServers are the failures of the last hour at servers that answered
// nothing, and to which nothing in the VPC stops the way.
func deadServers(v *facts.View, servers []string) logs {
	u := newUpstreams(v)
	var out logs
	for _, up := range u.list {
		broken, silent := u.broken(up)
		if broken && silent && up.block == "" && slices.Contains(servers, up.ip.String()) && u.deployment != nil && u.detourTo(v, up).stopped() == nil {
			out = append(out, up.lines...)
		}
	}
	return out
}

// forwardsToNode reports whether CoreDNS forwards to its node's resolv.conf.
func forwardsToNode(w *resolve.World) bool {
	text, ok := w.Corefile(deployment)
	c, err := resolve.ParseCorefile(text)
	if !ok || err != nil {
		return false
	}
	for i := range c.Blocks {
		for _, f := range c.Blocks[i].Forwards() {
			if slices.ContainsFunc(f.To, func(to resolve.Upstream) bool { return strings.HasPrefix(to.File, "/") }) {
				return true
			}
		}
	}
	return false
}

// onlyAmazonKnows reports whether a name fails at servers of the DHCP options
// that the VPC's resolver would answer from what only it knows.
func (ls *lookups) onlyAmazonKnows(l *lookup) bool {
	if !onNodeServers(l) || l.path.Answer.Kind != resolve.NotKnown || !l.fails(logNXDomain, logServFail) {
		return false
	}
	return ls.private(ls.byAmazon(l.name))
}

// onNodeServers reports whether a name comes to the servers of the VPC's DHCP
// options.
func onNodeServers(l *lookup) bool {
	return slices.ContainsFunc(l.path.Hops, func(h reach.Step) bool {
		return slices.ContainsFunc(h.Objects, func(r facts.Ref) bool { return r.Kind == facts.DHCPOptions.Kind() })
	})
}

// byAmazon follows a name as if the VPC's resolver alone were asked.
func (ls *lookups) byAmazon(name string) resolve.Path {
	return ls.without(name, func(w *resolve.World) {
		key, amazon := "domain-name-servers", "AmazonProvidedDNS"
		w.DHCPOptions = []ec2types.DhcpOptions{{DhcpOptionsId: w.VPC().DhcpOptionsId, DhcpConfigurations: []ec2types.DhcpConfiguration{{Key: &key, Values: []ec2types.AttributeValue{{Value: &amazon}}}}}}
	})
}

// private reports whether a name has an answer that only the VPC's resolver
// knows, whatever its aliases lead to: that of a private zone or of a VPC
// endpoint.
func (ls *lookups) private(p resolve.Path) bool {
	if p.Answer.Kind != resolve.Found && p.Answer.Kind != resolve.NotKnown || len(p.Answer.Unless) > 0 {
		return false
	}
	return ls.privateObject(p) != (facts.Ref{})
}

// privateObject is the private zone or VPC endpoint on a way that has what is
// asked for; the zero Ref when there is none.
func (ls *lookups) privateObject(p resolve.Path) facts.Ref {
	for _, h := range p.Hops {
		if h.Verdict != reach.Allowed {
			continue
		}
		for _, r := range h.Objects {
			z := ls.zoneByID(r.ID)
			if r.Kind == facts.VPCEndpoints.Kind() || r.Kind == facts.HostedZones.Kind() && z != nil && isPrivateZone(z) {
				return r
			}
		}
	}
	return facts.Ref{}
}

func (d vpcDNS) ownServers(own []string, options string, unknown needed, silent logSum) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  facts.Ref{Kind: facts.DHCPOptions.Kind(), ID: options},
		Affects:  append([]facts.Ref{vpcRef(d.id), ref(facts.Deployments.Kind(), system, deployment), corefileRef}, unknown.refs()...),
		Evidence: append([]diagnose.Evidence{d.serversEvidence("AmazonProvidedDNS, or servers that answer and forward the VPC's private names to it")}, unknown.evidence()...),
	}
	if len(unknown) > 0 {
		f.Claim = fmt.Sprintf("DHCP options %s make CoreDNS ask %s, which do not answer %s; the VPC's resolver would", options, strings.Join(own, ", "), unknown.names())
	} else {
		f.Claim = fmt.Sprintf("DHCP options %s make CoreDNS ask %s, which left %s of the last hour without an answer", options, strings.Join(silent.hosts(), ", "), diagnose.Count(silent.count, "lookup"))
	}
	if silent.count > 0 {
		f.Evidence = append(f.Evidence, logEvidence(silent, false, "answers"))
	}
	f.Remedies = []remedy.Remedy{{
		Title: "Let the servers forward to the VPC's resolver, or give nodes the VPC's resolver",
		Risk:  remedy.Disruptive,
		Why:   "New DHCP options hold for every instance of the VPC, also those that need the company's names: make Resolver rules for these first. Nodes take them with their next lease, CoreDNS when it restarts. To undo it, associate " + options + " again.",
		Manual: []string{
			fmt.Sprintf("dig @%s +time=2 +tries=1 %s", own[0], orElse(unknown.first(), "amazonaws.com")),
			"aws ec2 create-dhcp-options --dhcp-configurations Key=domain-name-servers,Values=AmazonProvidedDNS",
			"aws ec2 associate-dhcp-options --vpc-id " + d.id + " --dhcp-options-id NEW",
			"kubectl -n kube-system rollout restart deployment coredns",
		},
	}}
	return f
}

// first is the first of the names; "" without any.
func (n needed) first() string {
	if len(n) == 0 {
		return ""
	}
	return n[0].name
}

// hosts are the upstreams without their ports.
func (s logSum) hosts() []string {
	var out []string
	for _, u := range s.upstreams {
		out = append(out, u[:strings.LastIndex(u, ":")])
	}
	return out
}
