package l4

import (
	"fmt"
	"slices"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGRulesLimit recognises security groups that are full while something needs
// one more rule.
var SGRulesLimit = sgRulesLimitCheck()

func sgRulesLimitCheck() *diagnose.Check {
	needs, wants := groupFacts()
	return &diagnose.Check{
		ID:    "l4/sg-rules-limit-node-or-pod-sg",
		Title: "Security group is at its rule quota, so a needed rule cannot be added",
		Doc: `A security group has at most 60 rules each way, unless the quota L-0EA8095F was raised. Rules for IPv4 and for IPv6 are
counted apart; one that names a group counts in both; a prefix list counts with as many rules as it may have entries. At
the limit EC2 answers RulesPerSecurityGroupLimitExceeded, and automation stops to add rules.

Recognised by a group whose ingress rules leave no room for those that another check finds missing there. A full group that
lacks nothing is no fault. The size of prefix lists is not read: each is counted as one rule, so that the true number may
be higher.

Looks alike: the limit that stops the load balancer controller (sg-rule-quota-exceeded); too many groups on one interface.

Fix: put address rules together, or name a group in their place; or have the quota raised. Rules per group times groups
per interface may not exceed 1000.`,
		Needs: needs,
		Wants: append(wants, facts.Quotas),
		Sources: []string{
			"https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html#vpc-limits-security-groups",
			"https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html",
		},
		Run: sgRulesLimit,
	}
}

func sgRulesLimit(v *facts.View) []diagnose.Finding {
	quota, read := ruleQuota(facts.Quotas.In(v))
	groups := facts.SecurityGroups.In(v)
	if !slices.ContainsFunc(groups, func(g ec2types.SecurityGroup) bool { n, _ := ingressRules(g); return n > quota/2 }) {
		return nil // the usual case: what other checks want need not be asked
	}
	wanted := wantedRules(v)
	var found []diagnose.Finding
	for _, g := range groups {
		need := wanted[facts.Val(g.GroupId)]
		if n, lists := ingressRules(g); len(need) > 0 && n+len(need) > quota {
			found = append(found, fullGroup(g, need, n, lists, quota, read))
		}
	}
	return found
}

// defaultRules is how many rules a group may have each way, unless raised.
const defaultRules = 60

// ruleQuota is the number of rules that a group may have each way; read is
// false when it is the default.
func ruleQuota(quotas []quotatypes.ServiceQuota) (n int, read bool) {
	for _, q := range quotas {
		if facts.Val(q.QuotaCode) == "L-0EA8095F" && q.Value != nil && *q.Value >= 1 {
			return int(*q.Value), true
		}
	}
	return defaultRules, false
}

// ingressRules counts as EC2 does, the family of addresses that has more;
// lists says how many prefix lists were counted as one each.
func ingressRules(g ec2types.SecurityGroup) (n, lists int) {
	var four, six int
	for _, p := range g.IpPermissions {
		both := len(p.UserIdGroupPairs) + len(p.PrefixListIds)
		four += both + len(p.IpRanges)
		six += both + len(p.Ipv6Ranges)
		lists += len(p.PrefixListIds)
	}
	return max(four, six), lists
}

func fullGroup(g ec2types.SecurityGroup, need []wantedRule, n, lists, quota int, read bool) diagnose.Finding {
	id := facts.Val(g.GroupId)
	subject := groupRef(id)
	about, worst := whom(subject, need)
	limit, least := fmt.Sprintf("the quota of %d", quota), ""
	if !read {
		limit = fmt.Sprintf("the default quota of %d (the account's own could not be read)", quota)
	}
	if lists > 0 {
		least = fmt.Sprintf("at least %d: each of %s is counted once", n, diagnose.Count(lists, "prefix list"))
	} else {
		least = fmt.Sprint(n)
	}
	return diagnose.Finding{
		Severity: worst,
		Subject:  subject,
		Affects:  about,
		Claim: fmt.Sprintf("Security group %s has %d ingress rules, and %s leaves no room for %s that it needs (%s)",
			id, n, limit, diagnose.Count(len(need), "rule"), ruleWords(need[0].Rule)),
		Evidence: []diagnose.Evidence{
			{Fact: subject.String(), Got: least + " ingress rules", Want: fmt.Sprintf("%d or fewer, so that %s can be added", quota-len(need), diagnose.Count(len(need), "more rule")),
				Command: "aws ec2 describe-security-group-rules --filters Name=group-id,Values=" + id + " --query 'length(SecurityGroupRules[?!IsEgress])'"},
			{Fact: subject.String(), Got: "no rule for " + ruleWords(need[0].Rule), Want: need[0].by.Claim,
				Command: "aws ec2 describe-security-groups --group-ids " + id + " --query 'SecurityGroups[].IpPermissions'"},
			{Fact: "quota L-0EA8095F", Got: limit, Want: "more than the group has", Command: "aws service-quotas get-service-quota --service-code vpc --quota-code L-0EA8095F"},
		},
		Remedies: []remedy.Remedy{{
			Title: "Make room in the group, or raise the quota",
			Why:   "Until then EC2 refuses the rule with RulesPerSecurityGroupLimitExceeded. Blocks of addresses that lie side by side go into one rule, and addresses of one group's members into a rule that names the group.",
			Risk:  remedy.Safe,
			Manual: append([]string{
				"aws ec2 describe-security-group-rules --filters Name=group-id,Values=" + id + " --query 'SecurityGroupRules[?!IsEgress].[SecurityGroupRuleId,IpProtocol,FromPort,ToPort,CidrIpv4,Description]' --output table",
				fmt.Sprintf("aws service-quotas request-service-quota-increase --service-code vpc --quota-code L-0EA8095F --desired-value %d", 2*quota),
			}, remedy.Remedy{Actions: adds(need)}.Commands()...),
		}},
	}
}
