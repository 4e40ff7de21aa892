package l4

import (
	"fmt"
	"maps"
	"slices"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// remedies opens what is needed, and as a second choice everything, between
// the two sides.
func (b *blocked) remedies(groups []ec2types.SecurityGroup) []remedy.Remedy {
	if b.way == egress || slices.ContainsFunc(b.links, func(l link) bool { return l.out.Blocked() }) {
		return []remedy.Remedy{b.byHand()}
	}
	var smallest, all remedy.Actions
	for _, from := range slices.Sorted(maps.Keys(b.sources)) {
		for _, p := range b.rulePorts() {
			smallest = append(smallest, remedy.AuthorizeIngress{Rule: remedy.Rule{Group: b.subject, Protocol: p.protocol, FromPort: p.number, ToPort: p.number, FromGroup: from}})
		}
		all = append(all, allTraffic(b.subject, from))
		if from != b.subject && !admitsAll(groups, from, b.subject) {
			all = append(all, allTraffic(from, b.subject))
		}
	}
	small := remedy.Remedy{
		Title:   fmt.Sprintf("Admit the needed ports from %s to %s", other(b.sources), b.subject),
		Why:     "Pods there can then reach these Services; nothing else is opened.",
		Risk:    remedy.Safe,
		Actions: smallest,
	}
	large := remedy.Remedy{
		Title:   fmt.Sprintf("Admit all traffic between %s and %s", other(b.sources), b.subject),
		Why:     "As EKS does for nodes of one cluster security group. Every port of every pod and node is opened between the two.",
		Risk:    remedy.Safe,
		Actions: all,
	}
	if b.sources[b.subject] {
		small.Title = "Admit the needed ports between members of " + b.subject
		large.Title = "Admit all traffic between members of " + b.subject
		large.Why = "That is the rule with which EKS makes a cluster security group."
	}
	return []remedy.Remedy{small, large}
}

// byHand prints the rules when egress is in the way as well: who took away a
// group's way out did it on purpose.
func (b *blocked) byHand() remedy.Remedy {
	r := remedy.Remedy{
		Title: "Let the needed ports out, and in",
		Why:   "Egress was restricted by somebody; ask before you open it.",
		Risk:  remedy.Safe,
	}
	for _, l := range b.links {
		from, to := own(l.from.end.Groups, l.to.end.Groups), own(l.to.end.Groups, l.from.end.Groups)
		if l.out.Blocked() {
			r.Manual = append(r.Manual, fmt.Sprintf("aws ec2 authorize-security-group-egress --group-id %s --protocol %s --port %d --source-group %s", from, l.port.protocol, l.port.number, to))
		}
		if l.in.Blocked() {
			r.Manual = append(r.Manual, remedy.AuthorizeIngress{Rule: remedy.Rule{Group: to, Protocol: l.port.protocol, FromPort: l.port.number, ToPort: l.port.number, FromGroup: from}}.Command())
		}
	}
	slices.Sort(r.Manual)
	r.Manual = slices.Compact(r.Manual)
	return r
}

func allTraffic(to, from string) remedy.AuthorizeIngress {
	return remedy.AuthorizeIngress{Rule: remedy.Rule{Group: to, Protocol: "-1", FromPort: -1, ToPort: -1, FromGroup: from}}
}

// admitsAll reports whether a group has the rule that allTraffic would add:
// EC2 refuses a rule that is already there.
func admitsAll(groups []ec2types.SecurityGroup, to, from string) bool {
	for _, g := range groups {
		if facts.Val(g.GroupId) != to {
			continue
		}
		for _, p := range g.IpPermissions {
			if facts.Val(p.IpProtocol) == "-1" && slices.ContainsFunc(p.UserIdGroupPairs, func(u ec2types.UserIdGroupPair) bool { return facts.Val(u.GroupId) == from }) {
				return true
			}
		}
	}
	return false
}

// other names the groups on the other side.
func other(sources map[string]bool) string {
	ids := slices.Sorted(maps.Keys(sources))
	if len(ids) == 1 {
		return ids[0]
	}
	return fmt.Sprintf("%s and %d more", ids[0], len(ids)-1)
}
