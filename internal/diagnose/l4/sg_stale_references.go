package l4

import (
	"fmt"
	"slices"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGStaleReferences recognises rules that name a security group which is gone.
var SGStaleReferences = sgStaleReferencesCheck()

func sgStaleReferencesCheck() *diagnose.Check {
	needs, wants := groupFacts()
	wants = append(wants, needs...)
	needs = []facts.Need{facts.SecurityGroups, facts.NetworkInterfaces}
	wants = slices.DeleteFunc(wants, func(n facts.Need) bool { return slices.Contains(needs, n) })
	return &diagnose.Check{
		ID:    "l4/sg-stale-references",
		Title: "Security group rule names a group that is gone",
		Doc: `A rule that names a group of a peered VPC stays when that group or the peering connection is deleted. It is listed like
any other and matches nothing. Within one VPC EC2 does not let a group go that rules name.

Recognised by DescribeStaleSecurityGroups, by a rule's PeeringStatus "deleted", and by rules that name a group of the same
account and VPC which is not there. It is more than a risk when another check finds the very access missing that the rule
was made for, or when a new peering connection with the same VPC is active: then the rule was left behind. A group on no
network interface is left out, and so is a rule beside a live one for the same ports.

Looks alike: a peering connection that is there and in which group references do not work (vpc-peering-sg-reference).

Fix: a rule with the group, or the addresses, that are there now. The stale one may stay or go: it matches nothing.`,
		Needs: needs,
		Wants: append(wants, facts.StaleGroups, facts.Peerings),
		Sources: []string{
			"https://docs.aws.amazon.com/vpc/latest/peering/vpc-peering-security-groups.html",
			"https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeStaleSecurityGroups.html",
		},
		Run: sgStaleReferences,
	}
}

func sgStaleReferences(v *facts.View) []diagnose.Finding {
	used, peerings := onInterfaces(v), facts.Peerings.In(v)
	all := staleRules(facts.SecurityGroups.In(v), facts.StaleGroups.In(v))
	if len(all) == 0 {
		return nil // the usual case: what other checks want need not be asked
	}
	wanted, groups := wantedRules(v), filtersOfGroups(v)
	byGroup, order := map[string][]pairRule{}, []string{}
	for _, r := range all {
		needed := slices.ContainsFunc(wanted[r.group], func(w wantedRule) bool { return r.covers(w.Rule) })
		if !used[r.group] || !needed && superseded(r, groups[r.group], all) {
			continue
		}
		if byGroup[r.group] == nil {
			order = append(order, r.group)
		}
		byGroup[r.group] = append(byGroup[r.group], r)
	}
	var found []diagnose.Finding
	for _, g := range order {
		found = append(found, staleGroup(g, byGroup[g], wanted[g], peerings))
	}
	return found
}

// staleRules are the rules that name a group which is gone.
func staleRules(groups []ec2types.SecurityGroup, said []ec2types.StaleSecurityGroup) []pairRule {
	named := map[string]bool{} // group and the one that its stale rules name
	for _, s := range said {
		for _, p := range slices.Concat(s.StaleIpPermissions, s.StaleIpPermissionsEgress) {
			for _, pair := range p.UserIdGroupPairs {
				named[facts.Val(s.GroupId)+" "+facts.Val(pair.GroupId)] = true
			}
		}
	}
	known := map[string]bool{}
	for _, g := range groups {
		known[facts.Val(g.GroupId)] = true
	}
	var out []pairRule
	for _, g := range groups {
		for _, r := range pairRules(g) {
			id := facts.Val(r.pair.GroupId)
			gone := !known[id] && id != "" && facts.Val(r.pair.VpcPeeringConnectionId) == "" && facts.Val(r.pair.PeeringStatus) == "" &&
				(facts.Val(r.pair.VpcId) == "" || facts.Val(r.pair.VpcId) == facts.Val(g.VpcId)) && facts.Val(r.pair.UserId) != "" && facts.Val(r.pair.UserId) == facts.Val(g.OwnerId)
			if gone || named[r.group+" "+id] || facts.Val(r.pair.PeeringStatus) == "deleted" {
				out = append(out, r)
			}
		}
	}
	return out
}

// superseded reports whether a live rule of the group is for the same ports:
// then somebody has put the access right, and the stale rule is litter.
func superseded(r pairRule, g ec2types.SecurityGroup, stale []pairRule) bool {
	list := g.IpPermissions
	if r.egress {
		list = g.IpPermissionsEgress
	}
	return slices.ContainsFunc(list, func(p ec2types.IpPermission) bool {
		if facts.Val(p.IpProtocol) != r.protocol || facts.Val(p.FromPort) != facts.Val(r.from) || facts.Val(p.ToPort) != facts.Val(r.to) {
			return false
		}
		live := slices.ContainsFunc(p.UserIdGroupPairs, func(u ec2types.UserIdGroupPair) bool {
			return !slices.ContainsFunc(stale, func(s pairRule) bool {
				return s.group == r.group && facts.Val(s.pair.GroupId) == facts.Val(u.GroupId) && facts.Val(s.pair.VpcPeeringConnectionId) == facts.Val(u.VpcPeeringConnectionId)
			})
		})
		return live || len(p.IpRanges)+len(p.Ipv6Ranges)+len(p.PrefixListIds) > 0
	})
}

func staleGroup(id string, stale []pairRule, wanted []wantedRule, peerings []ec2types.VpcPeeringConnection) diagnose.Finding {
	subject := groupRef(id)
	var meant []wantedRule
	for _, w := range wanted {
		if slices.ContainsFunc(stale, func(r pairRule) bool { return r.covers(w.Rule) }) {
			meant = append(meant, w)
		}
	}
	f := diagnose.Finding{Subject: subject}
	f.Affects, f.Severity = whom(subject, meant)
	replaced := ""
	for _, r := range stale {
		if p := replacement(r, peerings); p != "" {
			replaced = p
		}
	}
	what := fmt.Sprintf("Security group %s has %s that a deleted group or peering left behind (%s)", id, diagnose.Count(len(stale), "rule"), stale[0])
	switch {
	case len(meant) > 0:
		f.Claim = what + ": nothing admits " + ruleWords(meant[0].Rule) + " in their place"
		f.Remedies = append(f.Remedies, remedy.Remedy{Title: "Admit the group that is there now", Why: "To the ports of the stale rule that something needs; nothing else is opened.", Risk: remedy.Safe, Actions: adds(meant)})
	case replaced != "":
		f.Severity = diagnose.Degraded
		f.Claim = what + ": peering " + replaced + " took the place of the deleted one"
		f.Affects = append(f.Affects, facts.Ref{Kind: facts.Peerings.Kind(), ID: replaced})
	default:
		f.Claim = what + ", which matches nothing"
	}
	for _, r := range stale[:min(4, len(stale))] {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: subject.String(), Got: r.String() + gone(r), Want: "a group that is there",
			Command: "aws ec2 describe-security-groups --group-ids " + id + " --query 'SecurityGroups[].[IpPermissions,IpPermissionsEgress]'",
		})
	}
	if f.Remedies == nil && replaced != "" {
		f.Remedies = append(f.Remedies, renamed(stale, replaced, peerings))
	}
	clean := remedy.Remedy{Title: "Take the stale rules out", Why: "They match nothing, so that no traffic changes. If the access is still needed, first add a rule with the group or the addresses that are there now.", Risk: remedy.Safe}
	for _, r := range stale {
		clean.Manual = append(clean.Manual, r.revoke())
	}
	f.Remedies = append(f.Remedies, clean)
	return f
}

// renamed is the remedy that names the same groups over the new peering.
func renamed(stale []pairRule, peering string, peerings []ec2types.VpcPeeringConnection) remedy.Remedy {
	r := remedy.Remedy{Title: "Name the groups over the new peering", Why: "If the groups on the other side are the same. The stale rule goes first: to EC2 the new one is its like.", Risk: remedy.Safe}
	for _, s := range stale {
		if replacement(s, peerings) == peering {
			r.Manual = append(r.Manual, s.revoke())
			s.pair.VpcPeeringConnectionId = &peering
			r.Manual = append(r.Manual, "aws ec2 authorize-security-group-"+s.flags())
		}
	}
	return r
}

// gone says what is known of why a rule is stale.
func gone(r pairRule) string {
	if p := facts.Val(r.pair.VpcPeeringConnectionId); p != "" {
		return ", peering " + p + " " + facts.Val(r.pair.PeeringStatus)
	}
	return ", which does not exist"
}

// replacement is an active peering connection with the VPC that a stale rule
// is about, "" when there is none.
func replacement(r pairRule, peerings []ec2types.VpcPeeringConnection) string {
	for _, p := range peerings {
		if id := facts.Val(p.VpcPeeringConnectionId); r.pair.VpcId != nil && id != facts.Val(r.pair.VpcPeeringConnectionId) && peeringState(p) == "active" && (peerVPC(p.AccepterVpcInfo, *r.pair.VpcId) || peerVPC(p.RequesterVpcInfo, *r.pair.VpcId)) {
			return id
		}
	}
	return ""
}

func peerVPC(i *ec2types.VpcPeeringConnectionVpcInfo, id string) bool {
	return i != nil && id != "" && facts.Val(i.VpcId) == id
}

// peeringState is "active", "deleted", "pending-acceptance" ...; "" when it is
// not known.
func peeringState(p ec2types.VpcPeeringConnection) string {
	if p.Status == nil {
		return ""
	}
	return string(p.Status.Code)
}
