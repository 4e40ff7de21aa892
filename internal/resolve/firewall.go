package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// A guarded is a rule of the DNS Firewall with its group.
type guarded struct {
	group *facts.FirewallRuleGroup
	rule  *facts.FirewallRule
}

// guards are the rules of the DNS Firewall of the VPC in the order in which
// they are asked.
func (w *World) guards() []guarded {
	var out []guarded
	groups := slices.Clone(w.Firewall)
	slices.SortStableFunc(groups, func(x, y facts.FirewallRuleGroup) int {
		return cmp.Compare(facts.Val(x.Priority), facts.Val(y.Priority))
	})
	for i := range groups {
		g := &groups[i]
		if vpc := facts.Val(g.VpcId); vpc != "" && w.vpcID() != "" && vpc != w.vpcID() {
			continue
		}
		rules := slices.Clone(g.FirewallRules)
		slices.SortStableFunc(rules, func(x, y facts.FirewallRule) int { return cmp.Compare(facts.Val(x.Priority), facts.Val(y.Priority)) })
		for j := range rules {
			out = append(out, guarded{g, &rules[j]})
		}
	}
	return out
}

// matches reports whether a rule is about a query; known is false when AWS
// does not tell what is in its list.
func (g guarded) matches(name, qtype string) (yes, known bool) {
	if t := facts.Val(g.rule.Qtype); t != "" && !strings.EqualFold(t, qtype) && t != rrNumber[qtype] {
		return false, true
	}
	if g.rule.Managed || g.rule.DnsThreatProtection != "" || g.rule.Domains == nil {
		return false, false
	}
	return slices.ContainsFunc(g.rule.Domains, func(d string) bool { return inList(Normal(d), name) }), true
}

// rrNumber are record types as TYPEn, which firewall rules may name.
var rrNumber = map[string]string{"A": "TYPE1", "NS": "TYPE2", "CNAME": "TYPE5", "PTR": "TYPE12", "TXT": "TYPE16", "AAAA": "TYPE28", "SRV": "TYPE33"}

// inList reports whether a domain of a list is about a name: "*" stands for
// one or more labels, and the domain itself is not among those.
func inList(domain, name string) bool {
	if domain == "*." {
		return true
	}
	if rest, ok := strings.CutPrefix(domain, "*."); ok {
		return strings.HasSuffix(name, "."+rest)
	}
	return domain == name
}

// firewall asks the DNS Firewall. blocked is true when it answers itself;
// trusted, when names that aliases lead to are not asked about.
func (a *asker) firewall(name string) (answer Answer, blocked, trusted bool) {
	command := "aws route53resolver list-firewall-rule-group-associations --vpc-id " + a.w.vpcID()
	if a.w.Firewall == nil {
		a.unless = append(a.unless, "a DNS Firewall, which was not read, blocks it")
		return Answer{}, false, false
	}
	var untold []string
	guards := a.w.guards()
	for _, g := range guards {
		yes, known := g.matches(name, a.qtype)
		if !known && g.rule.Action == resolvertypes.ActionBlock {
			untold = append(untold, facts.Val(g.rule.Name))
		}
		if !yes {
			continue
		}
		trusted = g.rule.FirewallDomainRedirectionAction == resolvertypes.FirewallDomainRedirectionActionTrustRedirectionDomain
		if g.rule.Action == resolvertypes.ActionBlock {
			answer := g.block(name)
			if by := a.w.Inspecting(a.first, a.qtype); by != nil && a.first != name {
				answer.Why += fmt.Sprintf("; rule %s lets %s pass and inspects what its alias leads to (INSPECT_REDIRECTION_DOMAIN), and no rule before lets %s pass", facts.Val(by.Name), bare(a.first), bare(name))
			}
			return a.ends("DNS Firewall", facts.Val(g.group.FirewallRuleGroupId), command, answer), true, false
		}
		break
	}
	if len(untold) > 0 {
		a.unless = append(a.unless, "a list of DNS Firewall that AWS manages has it (rule "+strings.Join(untold, ", ")+")")
	}
	if len(guards) > 0 {
		a.step(reach.Step{Hop: "DNS Firewall", Verdict: reach.Allowed, Text: fmt.Sprintf("none of %d rules that can be told blocks %s", len(guards)-len(untold), bare(name)), Command: command})
	}
	return Answer{}, false, trusted
}

// Inspecting is the rule of DNS Firewall that lets a name pass and inspects
// the names that its aliases lead to; nil when none does, or when it cannot be
// told.
func (w *World) Inspecting(name, qtype string) *facts.FirewallRule {
	for _, g := range w.guards() {
		switch yes, known := g.matches(Normal(name), qtype); {
		case !known:
			return nil
		case yes && g.rule.Action != resolvertypes.ActionBlock && g.rule.FirewallDomainRedirectionAction != resolvertypes.FirewallDomainRedirectionActionTrustRedirectionDomain:
			return g.rule
		case yes:
			return nil
		}
	}
	return nil
}

// block is what a client gets of a rule that blocks.
func (g guarded) block(name string) Answer {
	out := Answer{Kind: NoData, Name: name, By: "DNS Firewall", Objects: []facts.Ref{ref(facts.FirewallRuleGroups, "", facts.Val(g.group.FirewallRuleGroupId))}}
	out.Why = fmt.Sprintf("rule %s (priority %d) of group %s blocks it with %s", facts.Val(g.rule.Name), facts.Val(g.rule.Priority), cmp.Or(facts.Val(g.group.Name), facts.Val(g.group.FirewallRuleGroupId)), cmp.Or(g.rule.BlockResponse, resolvertypes.BlockResponseNodata))
	switch g.rule.BlockResponse {
	case resolvertypes.BlockResponseNxdomain:
		out.Kind = NXDomain
	case resolvertypes.BlockResponseOverride:
		out.Kind, out.Records = Found, []string{"CNAME " + facts.Val(g.rule.BlockOverrideDomain)}
	}
	return out
}
