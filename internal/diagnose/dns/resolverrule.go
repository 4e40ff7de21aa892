package dns

import (
	"cmp"
	"fmt"

	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// silentTargets is how many lookups of an hour must fail before the targets
// of a rule are called silent.
const silentTargets = 3

var resolverRuleMisroute = &diagnose.Check{
	ID:    "dns/resolver-rule-misroute",
	Title: "A Resolver rule sends names to servers that do not answer them",
	Doc: `A FORWARD rule of Route 53 Resolver sends the names of its domain out of the VPC, for all of the VPC. The most specific domain
counts, and of a rule and a private zone of the same name the rule wins: the zone's records are then never seen. When the targets are
down, or no route leads to them, all names of the domain fail and others are fine.

Recognised by a name that was said not to resolve or that CoreDNS has no answer for in the last hour, whose way ends at such a rule, and:
a private zone or VPC endpoint would answer it without the rule; or a target is an inbound endpoint of the same VPC, a loop; or no route
leads from the outbound endpoint to any target; or the targets deny a name of AWS, or one of a public zone of the account; or three and more lookups of the domain timed out or got SERVFAIL while other names are
answered.

Looks alike: a rule that does what it should, for names that only its targets know; the outbound endpoint itself
(resolver-endpoint-saturated-or-blocked).

Fixed by a SYSTEM rule for the domain or name that the VPC should answer itself, by other targets, or by taking the rule off the VPC.`,
	Needs: []facts.Need{facts.Clusters, facts.VPCs, facts.ResolverRules, facts.ResolverRuleAssociations},
	Wants: append(lookupWants(facts.Clusters, facts.VPCs, facts.ResolverRules, facts.ResolverRuleAssociations), facts.RouteTables, facts.SecurityGroups, facts.NetworkACLs),
	Sources: []string{
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-overview-DSN-queries-to-vpc.html",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-rules-managing.html",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/hosted-zone-private-considerations.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ls := newLookups(v)
		tables, groups, acls := facts.RouteTables.In(v), reach.GroupsOf(facts.SecurityGroups.In(v)), facts.NetworkACLs.In(v)
		var out []diagnose.Finding
		for _, r := range ls.forwardRules() {
			m := &misroute{ls: ls, rule: r}
			for _, l := range ls.names {
				if l.decider(facts.ResolverRules) == facts.Val(r.Id) && l.fails() {
					m.names = append(m.names, l)
				}
			}
			if len(m.names) > 0 && (m.shadows() || m.loops() || m.denies() || !m.endpointAtFault(groups, acls) && (m.unrouted(tables) || m.silent())) {
				out = append(out, m.finding())
			}
		}
		return out
	},
}

// A misroute is a FORWARD rule and the names that fail by it.
type misroute struct {
	ls       *lookups
	rule     *resolvertypes.ResolverRule
	names    needed
	why      string
	hidden   facts.Ref // what would answer without the rule
	outside  bool      // the fault is at the targets or on the way to them
	evidence []diagnose.Evidence
}

func (m *misroute) id() string { return facts.Val(m.rule.Id) }

func (m *misroute) targets() string {
	var all []string
	for _, t := range m.rule.TargetIps {
		all = append(all, cmp.Or(facts.Val(t.Ip), facts.Val(t.Ipv6)))
	}
	return orElse(diagnose.Some(all), "name servers that it does not tell")
}

func (m *misroute) finding() diagnose.Finding {
	domain := orElse(canonical(facts.Val(m.rule.DomainName)), "all names")
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  facts.Ref{Kind: facts.ResolverRules.Kind(), ID: m.id()},
		Affects:  append([]facts.Ref{vpcRef(m.ls.vpc)}, m.names.refs()...),
		Claim:    fmt.Sprintf("Resolver rule %s for %s sends names to %s, %s", cmp.Or(facts.Val(m.rule.Name), m.id()), domain, m.targets(), m.why),
		Evidence: append([]diagnose.Evidence{{Fact: "route53resolver/rules/" + m.id(), Got: fmt.Sprintf("%s %s to %s, associated with %s", m.rule.RuleType, facts.Val(m.rule.DomainName), m.targets(), m.ls.vpc),
			Want: "targets that answer these names, or no rule for them", Command: "aws route53resolver get-resolver-rule --resolver-rule-id " + m.id()}}, m.evidence...),
	}
	f.Evidence = append(f.Evidence, m.names.evidence()...)
	if m.hidden != (facts.Ref{}) {
		f.Affects = append(f.Affects, m.hidden)
	}
	if facts.Val(m.rule.DomainName) == "." && m.outside {
		f.Severity = diagnose.Outage
	}
	f.Remedies = m.remedies()
	return f
}

func (m *misroute) remedies() []remedy.Remedy {
	if m.outside {
		return []remedy.Remedy{{
			Title:  "See why the targets do not answer",
			Why:    "A VPN or Direct Connect that is down, a firewall outside, or servers that are gone. Whether the rule should be there is for its owner to say.",
			Manual: []string{"dig @" + firstTarget(m.rule) + " +time=2 +tries=1 " + m.names.first(), "aws ec2 describe-vpn-connections --query 'VpnConnections[].VgwTelemetry'", "aws route53resolver get-resolver-rule --resolver-rule-id " + m.id()},
		}}
	}
	off := remedy.Remedy{
		Title:   "Take the rule off the VPC",
		Why:     "The VPC's resolver then answers the names of " + orElse(canonical(facts.Val(m.rule.DomainName)), "all domains") + " itself. Names that only the targets know no longer resolve here; other VPCs keep the rule.",
		Risk:    remedy.Disruptive,
		Actions: remedy.Actions{remedy.DisassociateResolverRule{RuleVPC: remedy.RuleVPC{Rule: m.id(), VPC: m.ls.vpc}}},
	}
	except := remedy.Remedy{
		Title: "Except the name from the rule",
		Why:   "A SYSTEM rule of a more specific domain leaves it to the VPC's resolver. All else goes on to the targets.",
		Manual: []string{
			"aws route53resolver create-resolver-rule --rule-type SYSTEM --creator-request-id hopwise-" + m.names.first() + " --domain-name " + m.names.first(),
			"aws route53resolver associate-resolver-rule --vpc-id " + m.ls.vpc + " --resolver-rule-id NEW",
		},
	}
	if canonical(facts.Val(m.rule.DomainName)) == m.names.first() {
		return []remedy.Remedy{off}
	}
	return []remedy.Remedy{off, except}
}

func firstTarget(r *resolvertypes.ResolverRule) string {
	if peers := targetsOf(r); len(peers) > 0 {
		return peers[0].ip.String()
	}
	return "SERVER"
}
