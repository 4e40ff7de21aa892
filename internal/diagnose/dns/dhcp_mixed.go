package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

// A mixture is DHCP options that name other servers beside the VPC's
// resolver. CoreDNS takes them all from its node, and asks one at random.
type mixture struct {
	vpcDNS
	options string
	others  []string    // servers that are not the VPC's resolver
	failing needed      // names that fail and that only the VPC's resolver knows
	knows   facts.Ref   // what has the first of them: a private zone, a VPC endpoint
	counts  []*upstream // the VPC's resolver and a public server, where their answers differ by much
	u       *upstreams
}

// mixed finds the names that one of several servers does not know, or counters
// that tell the same; nil when there are neither.
func (d vpcDNS) mixed(v *facts.View, ls *lookups, options string, others []string) *mixture {
	if !slices.ContainsFunc(d.servers, d.amazon) || !forwardsAtRandom(ls.w) {
		return nil
	}
	m := &mixture{vpcDNS: d, options: options, others: others, u: newUpstreams(v)}
	for _, l := range ls.names {
		if l.fails(logNXDomain, logServFail) && onNodeServers(l) && ls.private(ls.byAmazon(l.name)) {
			if len(m.failing) == 0 {
				m.knows = ls.privateObject(ls.byAmazon(l.name))
			}
			m.failing = append(m.failing, l)
		}
	}
	m.compare()
	if len(m.failing) == 0 && (len(m.counts) == 0 || !ls.hasPrivateNames()) {
		return nil
	}
	return m
}

// compare looks for a public server that answers NXDOMAIN much more often than
// the VPC's resolver does. At random both get the same questions.
func (m *mixture) compare() {
	const enough, more = 500, 0.1 // answers of each; difference of the shares
	for _, own := range m.u.list {
		for _, other := range m.u.list {
			if own.vpc && slices.Contains(m.others, other.ip.String()) && public(other.ip) && total(own.codes) >= enough && total(other.codes) >= enough &&
				share(other.codes, "NXDOMAIN")-share(own.codes, "NXDOMAIN") >= more {
				m.counts = []*upstream{own, other}
				return
			}
		}
	}
}

// public reports whether an address is one of the internet, whose server
// knows nothing of a VPC.
func public(ip netip.Addr) bool {
	shared := netip.MustParsePrefix("100.64.0.0/10")
	return ip.IsValid() && ip.IsGlobalUnicast() && !ip.IsPrivate() && !shared.Contains(ip)
}

// hasPrivateNames reports whether a private zone with more than its own
// records answers in the VPC.
func (ls *lookups) hasPrivateNames() bool {
	return slices.ContainsFunc(ls.w.HostedZones, func(z facts.HostedZone) bool {
		return isPrivateZone(&z) && ls.here(&z)
	})
}

// forwardsAtRandom reports whether CoreDNS asks the servers of its node's
// resolv.conf in turn or at random, and not the second only after the first.
func forwardsAtRandom(w *resolve.World) bool {
	text, ok := w.Corefile(deployment)
	c, err := resolve.ParseCorefile(text)
	if !ok || err != nil {
		return false
	}
	for i := range c.Blocks {
		for _, f := range c.Blocks[i].Forwards() {
			if f.Policy != "sequential" && slices.ContainsFunc(f.To, func(to resolve.Upstream) bool { return strings.HasPrefix(to.File, "/") }) {
				return true
			}
		}
	}
	return false
}

func (m *mixture) finding() diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  facts.Ref{Kind: facts.DHCPOptions.Kind(), ID: m.options},
		Affects:  append([]facts.Ref{vpcRef(m.id), ref(facts.Deployments.Kind(), system, deployment), corefileRef}, m.failing.refs()...),
		Evidence: append([]diagnose.Evidence{m.serversEvidence("AmazonProvidedDNS alone: servers in one list must all know the same names")}, m.failing.evidence()...),
	}
	what := "the names of the VPC's private zones"
	if len(m.failing) > 0 {
		what = m.failing.names()
		name := m.failing[0].name
		f.Affects = append(f.Affects, m.knows)
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: m.knows.String(), Got: "has " + name + ", and answers only to the VPC's resolver", Want: "the VPC's resolver asked in every lookup", Command: "dig +short @169.254.169.253 " + name})
	}
	f.Claim = fmt.Sprintf("DHCP options %s name %s beside the VPC's resolver, and CoreDNS asks any of them at random: %s, which only the VPC's resolver knows, %s in about %d of %d lookups",
		m.options, strings.Join(m.others, ", "), what, map[bool]string{true: "fails", false: "fail"}[len(m.failing) == 1], len(m.others), len(m.servers))
	for _, up := range m.counts {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: "metrics of CoreDNS, answers of " + up.addr, Got: fmt.Sprintf("NXDOMAIN in %.0f of 100, of %.0f", 100*share(up.codes, "NXDOMAIN"), total(up.codes)), Want: "the same share from every server",
			Command: metricsCommand(system + "/" + m.u.pods[0].Name),
		})
	}
	f.Remedies = m.remedies()
	return f
}

// remedies are one for CoreDNS at once, and one for the VPC.
func (m *mixture) remedies() []remedy.Remedy {
	var out []remedy.Remedy
	if m.u.model != nil {
		text, err := m.u.model.SetForward(".", "169.254.169.253")
		if a, ok := m.u.edit(text); err == nil && ok {
			out = append(out, remedy.Remedy{
				Title:   "Let CoreDNS ask the VPC's resolver alone, until the DHCP options are changed",
				Why:     "169.254.169.253 is the VPC's resolver in every VPC; names that only " + strings.Join(m.others, ", ") + " knows do not resolve then. Pods with the host's network or dnsPolicy Default, and the nodes themselves, keep asking both." + m.u.keeps(),
				Risk:    remedy.Disruptive,
				Actions: remedy.Actions{a},
			})
		}
	}
	_, search, _ := m.w.NodeDNS()
	domain := ""
	if len(search) > 0 {
		domain = " " + quoted("Key=domain-name,Values="+strings.Join(search, " "))
	}
	return append(out, remedy.Remedy{
		Title: "Give the VPC DHCP options that name AmazonProvidedDNS alone",
		Risk:  remedy.Disruptive,
		Why:   "New DHCP options hold for every instance of the VPC. The VPC's resolver resolves public names too and answers in every zone: a second server makes nothing safer. Nodes take them with their next lease or start; restart CoreDNS after that. To undo it, associate " + m.options + " again.",
		Manual: []string{
			"aws ec2 create-dhcp-options --dhcp-configurations Key=domain-name-servers,Values=AmazonProvidedDNS" + domain,
			"aws ec2 associate-dhcp-options --vpc-id " + m.id + " --dhcp-options-id NEW",
			"kubectl -n kube-system rollout restart deployment coredns",
		},
	})
}
