package dns

import (
	"fmt"
	"math"
	"slices"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var forwardUpstreamTimeout = &diagnose.Check{
	ID:    "dns/forward-upstream-timeout",
	Title: "The server that CoreDNS forwards to does not answer",
	Doc: `CoreDNS serves the cluster's names itself and forwards all others: on EKS to the servers in /etc/resolv.conf of its node, the
VPC's own resolver unless DHCP options say otherwise. When those do not answer, names outside of the cluster end in SERVFAIL after
seconds, and names of the cluster work. The line in the log names the upstream behind "->"; the number before the name is the
answer's code (2 is SERVFAIL) and no count.

Recognised by lines of the last hour: "i/o timeout", "connection refused", "network is unreachable", "no healthy upstream proxies".
Some queries time out in every cluster, as when a domain's servers are down: only a part of all queries to the upstream that a
healthy one does not reach is told: 5 in 100, or 1 in 100 from 30 on; 30 where metrics were not read; any 5 when it answered none.
For servers outside of the VPC's own the way is followed through security groups, network ACLs and routes, and the hop that stops
it named. Security groups and network ACLs do not filter queries to the VPC's resolver.

Looks alike: the limit of packets to the VPC's resolver, by its counter or pattern; names of one zone only (a stub domain); answers
that come and are refusals; names of one domain only, whose own servers do not answer.

Fix: what stops the queries, where it is in the VPC. Until then another server, if one is known that has the same names.`,
	Needs:    upstreamNeeds,
	Wants:    append(append([]facts.Need{}, upstreamWants...), pathWants...),
	CausedBy: []string{"dns/vpc-enable-dns-support-off", "dns/dhcp-options-custom-dns", "dns/vpc-resolver-throttled", "dns/conntrack-exhausted", "dns/resolver-rule-misroute", "dns/resolver-endpoint-saturated-or-blocked", "l4/networkpolicy-default-deny-egress"},
	Sources: []string{
		"https://coredns.io/plugins/forward/",
		"https://coredns.io/plugins/errors/",
		"https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		u := newUpstreams(v)
		if u.deployment == nil {
			return nil
		}
		var out []diagnose.Finding
		for _, up := range u.list {
			if broken, silent := u.broken(up); broken && !up.stub() {
				out = append(out, u.timeout(up, silent, u.detourTo(v, up)))
			}
		}
		if len(out) > 1 { // the worst comes first; the others are told along
			for _, f := range out[1:] {
				out[0].Evidence = append(out[0].Evidence, f.Evidence[0])
			}
			out = out[:1]
		}
		return out
	},
}

func (u *upstreams) timeout(up *upstream, silent bool, d detour) diagnose.Finding {
	n, part := up.failed()
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  u.ref(),
		Affects:  append(u.affected(u.pods), corefileRef),
		Evidence: append([]diagnose.Evidence{up.lineEvidence(), u.countEvidence(up)}, d.evidence()...),
	}
	if pods := up.lines.sum().pods; len(pods) == 1 && len(u.pods) > 1 {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: "CoreDNS pods that log it", Got: fmt.Sprintf("only %s of %d", pods[0], len(u.pods)), Want: "none; one alone points at the network of its node",
			Command: "kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide",
		})
	}
	if vpc := u.world.VPC(); vpc != nil {
		f.Affects = append(f.Affects, facts.Ref{Kind: facts.VPCs.Kind(), ID: facts.Val(vpc.VpcId)})
		if up.block == "" && !up.vpc && vpc.DhcpOptionsId != nil {
			f.Affects = append(f.Affects, facts.Ref{Kind: facts.DHCPOptions.Kind(), ID: *vpc.DhcpOptionsId})
		}
	}
	f.Affects = append(f.Affects, d.Objects()...)
	share := ""
	if !math.IsNaN(part) && !silent {
		share = fmt.Sprintf(", %.0f in 100", math.Ceil(part*100))
	}
	if silent && !u.othersAnswer(up) {
		f.Severity = diagnose.Outage
	}
	switch domain := up.domain(); {
	case silent && d.stopped() == nil:
		f.Claim = fmt.Sprintf("%s, to which CoreDNS forwards names outside of the cluster, answers nothing: %d lookups failed in the last hour", upper(up.who()), n)
	case silent:
		f.Claim = fmt.Sprintf("CoreDNS does not reach %s, to which it forwards names outside of the cluster: %d lookups failed in the last hour%s", up.who(), n, d.why())
	case domain != "" && up.vpc:
		f.Claim = fmt.Sprintf("%s gives no answer for names in %s: %d lookups failed in the last hour%s", upper(up.who()), domain, n, share)
	default:
		f.Claim = fmt.Sprintf("%s leaves lookups of CoreDNS without an answer: %d failed in the last hour%s%s", upper(up.who()), n, share, d.why())
	}
	f.Remedies = append(d.remedies(), u.another(up, silent)...)
	name := "amazonaws.com"
	if names := up.lines.sum().names; len(names) > 0 {
		name = names[0]
	}
	f.Remedies = append(f.Remedies, up.ask(name))
	return f
}

// countEvidence is what the metrics say of an upstream.
func (u *upstreams) countEvidence(up *upstream) diagnose.Evidence {
	e := diagnose.Evidence{Fact: "metrics of CoreDNS, answers of " + up.addr, Got: "not known", Want: "nearly as many as queries", Command: "kubectl -n kube-system get pods -l k8s-app=kube-dns"}
	if len(u.pods) > 0 {
		e.Command = metricsCommand(system + "/" + u.pods[0].Name)
	}
	switch {
	case u.counted && up.answered == 0:
		e.Got = "none since the pods started"
	case u.counted:
		e.Got = fmt.Sprintf("%.0f since the pods started", up.answered)
		if !math.IsNaN(up.perHour) {
			e.Got += fmt.Sprintf(", %.0f an hour", rounded(up.perHour))
		}
	}
	return e
}

// rounded is an average with the four digits that matter.
func rounded(n float64) float64 {
	if n < 1 {
		return n
	}
	step := math.Pow(10, max(0, math.Floor(math.Log10(n))-3))
	return math.Round(n/step) * step
}

// another sends what a server of one's own does not answer to the VPC's
// resolver, if the Corefile names the server and nothing else answers.
func (u *upstreams) another(up *upstream, silent bool) []remedy.Remedy {
	if !silent || up.vpc || up.block == "" || u.othersAnswer(up) {
		return nil
	}
	const resolver = "169.254.169.253"
	to, err := u.model.SetForward(up.block, resolver)
	if a, ok := u.edit(to); err == nil && ok {
		return []remedy.Remedy{{
			Title:   "Until it answers, forward to the VPC's resolver",
			Why:     "Public names and private zones of the VPC resolve again; names that only " + up.addr + " knows do not." + u.keeps(),
			Risk:    remedy.Disruptive,
			Actions: remedy.Actions{a},
		}}
	}
	return nil
}

// othersAnswer reports whether other upstreams of the same block answer:
// forward goes over to them.
func (u *upstreams) othersAnswer(up *upstream) bool {
	return slices.ContainsFunc(u.list, func(o *upstream) bool { return o != up && o.block == up.block && o.answered > 0 })
}

// upper begins a sentence with words.
func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
