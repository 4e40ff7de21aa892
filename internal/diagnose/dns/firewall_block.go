package dns

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var dnsFirewallBlock = &diagnose.Check{
	ID:    "dns/dns-firewall-block",
	Title: "DNS Firewall blocks a name that the cluster needs",
	Doc: `Rule groups of Route 53 Resolver DNS Firewall that are associated with the VPC are asked by priority before anything else;
the first rule that matches decides. BLOCK answers NODATA, NXDOMAIN, or another name, for the VPC only: everywhere else the name
resolves. A list of allowed names in front of a rule that blocks * blocks all that somebody forgot.

Recognised by a name that was said not to resolve, that CoreDNS got NXDOMAIN for in the last hour, or that an ExternalName Service or
the VPC CNI (the EC2 API's) needs, and a BLOCK rule that is the first to match it. Of lists that AWS manages nobody tells what is in them:
a name that was said not to resolve and got NXDOMAIN, where such a rule blocks with NXDOMAIN, is a suspicion.

Looks alike: the name does not exist anywhere; a name that only an alias leads to, and that the rule does not inspect.

Fixed by who answers for the rules: the name into a list that is allowed before the rule.`,
	Needs: []facts.Need{facts.Clusters, facts.VPCs, facts.FirewallRuleGroups},
	Wants: lookupWants(facts.Clusters, facts.VPCs, facts.FirewallRuleGroups),
	Sources: []string{
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-dns-firewall.html",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-dns-firewall-rule-actions.html",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-dns-firewall-managed-domain-lists.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ls := newLookups(v)
		if name := ls.apiOfEC2(); name != "" {
			ls.add(resolve.Query{Name: name}).needed = "the VPC CNI"
		}
		ids, groups := ls.byObject(func(l *lookup) string {
			id := l.decider(facts.FirewallRuleGroups)
			if id == "" || len(l.path.Answer.Unless) > 0 {
				return ""
			}
			if l.asked || len(l.services) > 0 || l.needed != "" || l.path.Answer.Kind == resolve.NXDomain && l.fails(logNXDomain) {
				return id
			}
			return ""
		})
		var out []diagnose.Finding
		for _, id := range ids {
			out = append(out, ls.blocked(id, groups[id]))
		}
		for _, l := range ls.names {
			if g, r := ls.suspect(l); r != nil {
				out = append(out, ls.suspected(g, r, l))
			}
		}
		return out
	},
}

// apiOfEC2 is the name that the VPC CNI asks for to give pods addresses; ""
// when it does not run here or the region is not known.
func (ls *lookups) apiOfEC2() string {
	region := vpcDNS{w: ls.w}.region()
	for _, d := range ls.w.DaemonSets {
		if d.Namespace == system && d.Name == "aws-node" && region != "" {
			return "ec2." + region + ".amazonaws.com" + map[bool]string{true: ".cn"}[strings.HasPrefix(region, "cn-")]
		}
	}
	return ""
}

// firewallGroup is a group of the VPC by its id; nil when there is none.
func (ls *lookups) firewallGroup(id string) *facts.FirewallRuleGroup {
	for i := range ls.w.Firewall {
		g := &ls.w.Firewall[i]
		if facts.Val(g.FirewallRuleGroupId) == id && (facts.Val(g.VpcId) == ls.vpc || g.VpcId == nil) {
			return g
		}
	}
	return nil
}

// suspect is a rule with a list that AWS manages, which may be why a name
// fails: it blocks with what CoreDNS got.
func (ls *lookups) suspect(l *lookup) (*facts.FirewallRuleGroup, *facts.FirewallRule) {
	untold := slices.ContainsFunc(l.path.Answer.Unless, func(s string) bool { return strings.Contains(s, "DNS Firewall that AWS manages") })
	if !l.asked || len(l.lines.of(logNXDomain)) == 0 || !untold || l.path.Answer.Kind != resolve.NotKnown || l.path.Answer.By != "the public DNS" {
		return nil, nil
	}
	for i := range ls.w.Firewall {
		g := &ls.w.Firewall[i]
		for j := range g.FirewallRules {
			r := &g.FirewallRules[j]
			if (facts.Val(g.VpcId) == ls.vpc || g.VpcId == nil) && r.Managed && r.Action == resolvertypes.ActionBlock && r.BlockResponse == resolvertypes.BlockResponseNxdomain {
				return g, r
			}
		}
	}
	return nil, nil
}

func groupRef(g *facts.FirewallRuleGroup) facts.Ref {
	return facts.Ref{Kind: facts.FirewallRuleGroups.Kind(), ID: facts.Val(g.FirewallRuleGroupId)}
}

func (ls *lookups) blocked(id string, n needed) diagnose.Finding {
	f := diagnose.Finding{
		Severity: n.severity(),
		Subject:  facts.Ref{Kind: facts.FirewallRuleGroups.Kind(), ID: id},
		Affects:  append([]facts.Ref{vpcRef(ls.vpc)}, n.refs()...),
		Claim:    fmt.Sprintf("DNS Firewall blocks %s in %s: %s", n.names(), ls.vpc, n[0].path.Answer.Why),
		Evidence: append([]diagnose.Evidence{{Fact: string(facts.FirewallRuleGroups.Kind()) + "/" + id, Got: n[0].path.Answer.Why, Want: "a rule before it that allows the name",
			Command: "aws route53resolver list-firewall-rules --firewall-rule-group-id " + id}}, n.evidence()...),
	}
	for _, l := range n {
		if l.needed != "" {
			f.Severity = diagnose.Degraded
			f.Claim += "; " + l.needed + " needs " + l.name
		}
	}
	f.Remedies = append([]remedy.Remedy{ls.allow(ls.firewallGroup(id), n)}, ls.trust(n)...)
	return f
}

// trust is for names that a rule lets pass, whose aliases it inspects.
func (ls *lookups) trust(n needed) []remedy.Remedy {
	for _, l := range n {
		r := ls.w.Inspecting(l.name, "A")
		if l.end == l.name || r == nil || r.FirewallDomainListId == nil {
			continue
		}
		return []remedy.Remedy{{
			Title: "Or let rule " + facts.Val(r.Name) + " trust what the aliases of its names lead to",
			Why:   "Whoever can write records for the names in its list can then lead anywhere. It holds for every VPC that the group is associated with. INSPECT_REDIRECTION_DOMAIN undoes it.",
			Risk:  remedy.Disruptive,
			Manual: []string{fmt.Sprintf("aws route53resolver update-firewall-rule --firewall-rule-group-id %s --firewall-domain-list-id %s --firewall-domain-redirection-action TRUST_REDIRECTION_DOMAIN",
				facts.Val(r.FirewallRuleGroupId), *r.FirewallDomainListId)},
		}}
	}
	return nil
}

// allow is what who answers for the firewall can do: a name more in a list
// that is allowed before the rule, or a rule with a new list.
func (ls *lookups) allow(g *facts.FirewallRuleGroup, n needed) remedy.Remedy {
	r := remedy.Remedy{Title: "Ask who answers for DNS Firewall to allow the name", Why: "The rules hold for every VPC that the group is associated with, and may be there for a reason. REMOVE in the place of ADD undoes it."}
	if g == nil {
		return r
	}
	for _, rule := range g.FirewallRules {
		if rule.Action == resolvertypes.ActionAllow && !rule.Managed && rule.FirewallDomainListId != nil && firstBlock(g) > facts.Val(rule.Priority) {
			r.Manual = append(r.Manual, fmt.Sprintf("aws route53resolver update-firewall-domains --firewall-domain-list-id %s --operation ADD --domains %s", *rule.FirewallDomainListId, n.hosts()))
			break
		}
	}
	if len(r.Manual) == 0 {
		r.Manual = []string{
			"aws route53resolver create-firewall-domain-list --name allowed --creator-request-id hopwise-allowed",
			"aws route53resolver update-firewall-domains --firewall-domain-list-id NEW --operation ADD --domains " + n.hosts(),
			fmt.Sprintf("aws route53resolver create-firewall-rule --name allowed --action ALLOW --priority %d --firewall-rule-group-id %s --firewall-domain-list-id NEW --creator-request-id hopwise-allow-rule", before(g), facts.Val(g.FirewallRuleGroupId)),
		}
	}
	return r
}

// firstBlock is the priority of the first rule of a group that blocks.
func firstBlock(g *facts.FirewallRuleGroup) int32 {
	first := int32(math.MaxInt32)
	for _, r := range g.FirewallRules {
		if r.Action == resolvertypes.ActionBlock {
			first = min(first, facts.Val(r.Priority))
		}
	}
	return first
}

// before is a priority that comes before all rules of a group.
func before(g *facts.FirewallRuleGroup) int32 {
	first := int32(101)
	for _, r := range g.FirewallRules {
		if r.Priority != nil {
			first = min(first, *r.Priority)
		}
	}
	return max(first-1, 1)
}

// hosts are the names for a command.
func (n needed) hosts() string {
	var all []string
	for _, l := range n {
		all = append(all, l.end)
	}
	return strings.Join(all, " ")
}

func (ls *lookups) suspected(g *facts.FirewallRuleGroup, r *facts.FirewallRule, l *lookup) diagnose.Finding {
	n := needed{l}
	return diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  groupRef(g),
		Affects:  append([]facts.Ref{vpcRef(ls.vpc)}, n.refs()...),
		Claim: fmt.Sprintf("%s may be blocked by DNS Firewall: rule %s of group %s answers NXDOMAIN for a list that AWS manages and does not tell, and CoreDNS gets NXDOMAIN",
			l.label(), cmp.Or(facts.Val(r.Name), facts.Val(r.FirewallDomainListId)), cmp.Or(facts.Val(g.Name), facts.Val(g.FirewallRuleGroupId))),
		Evidence: append([]diagnose.Evidence{{Fact: groupRef(g).String(), Got: "BLOCK NXDOMAIN for a list that AWS manages", Want: "the name not in it: the query log says firewall_rule_action BLOCK",
			Command: "aws route53resolver list-resolver-query-log-config-associations --filters Name=ResourceId,Values=" + ls.vpc}}, n.evidence()...),
		Remedies: []remedy.Remedy{ls.allow(g, n)},
	}
}
