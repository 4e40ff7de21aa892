package l4

import (
	"fmt"
	"net/netip"
	"slices"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// VPCPeeringSGReference recognises rules that name a group of a VPC in which
// that does not work.
var VPCPeeringSGReference = &diagnose.Check{
	ID:    "l4/vpc-peering-sg-reference",
	Title: "Security group reference does not work across this VPC connection",
	Doc: `A rule may name a group of another VPC only across a peering connection that is active and within one region. Across
regions, and while the connection waits to be accepted, the rule is listed and matches nothing: connections time out. Through
a transit gateway it works only where the gateway and the attachment have it switched on, which is not read here.

Recognised by a rule that names a group of a peered VPC, where the connection's two regions differ or it is not active, and
no other rule admits the addresses of that VPC to the same port. Connections that were deleted are stale references.

Looks alike: a route to the peer is missing; the peering was deleted (sg-stale-references).

Fix: name the peer's addresses in place of its group.`,
	Needs: []facts.Need{facts.SecurityGroups, facts.NetworkInterfaces, facts.Peerings},
	Sources: []string{
		"https://docs.aws.amazon.com/vpc/latest/peering/vpc-peering-security-groups.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		used, groups := onInterfaces(v), filtersOfGroups(v)
		peerings := facts.Peerings.In(v)
		byGroup, order := map[string][]deadReference{}, []string{}
		for _, g := range facts.SecurityGroups.In(v) {
			if !used[facts.Val(g.GroupId)] {
				continue
			}
			for _, r := range pairRules(g) {
				d, ok := deadAcross(r, g, peerings)
				if !ok || d.admitted(groups) {
					continue
				}
				if byGroup[r.group] == nil {
					order = append(order, r.group)
				}
				byGroup[r.group] = append(byGroup[r.group], d)
			}
		}
		var found []diagnose.Finding
		for _, id := range order {
			found = append(found, deadReferences(id, byGroup[id]))
		}
		return found
	},
}

// A deadReference is a rule that names a group across a connection where that
// does not work.
type deadReference struct {
	pairRule
	peering string
	why     string
	blocks  []string // of the peer's VPC
}

// deadAcross finds the connection that a rule depends on and says why the
// rule matches nothing there.
func deadAcross(r pairRule, g ec2types.SecurityGroup, peerings []ec2types.VpcPeeringConnection) (deadReference, bool) {
	d := deadReference{pairRule: r}
	vpc := facts.Val(r.pair.VpcId)
	if vpc == "" || vpc == facts.Val(g.VpcId) || facts.Val(r.pair.PeeringStatus) == "deleted" {
		return d, false
	}
	var between []ec2types.VpcPeeringConnection
	for _, p := range peerings {
		state := peeringState(p)
		if state == "deleted" || state == "rejected" || state == "expired" || state == "" {
			continue
		}
		if peerVPC(p.AccepterVpcInfo, vpc) && peerVPC(p.RequesterVpcInfo, facts.Val(g.VpcId)) || peerVPC(p.RequesterVpcInfo, vpc) && peerVPC(p.AccepterVpcInfo, facts.Val(g.VpcId)) {
			between = append(between, p)
		}
	}
	if len(between) != 1 {
		return d, false // none: a transit gateway, or stale
	}
	p := between[0]
	far, near := p.AccepterVpcInfo, p.RequesterVpcInfo
	if peerVPC(near, vpc) {
		far, near = near, far
	}
	d.peering, d.blocks = facts.Val(p.VpcPeeringConnectionId), peerBlocks(far)
	switch state := peeringState(p); {
	case facts.Val(far.Region) != "" && facts.Val(near.Region) != "" && *far.Region != *near.Region:
		d.why = fmt.Sprintf("it leads to %s, and groups are not known in another region", *far.Region)
	case state != "active":
		d.why = "it is " + state
	default:
		return d, false
	}
	return d, true
}

// peerBlocks are the IPv4 blocks of a VPC.
func peerBlocks(i *ec2types.VpcPeeringConnectionVpcInfo) []string {
	var out []string
	for _, b := range i.CidrBlockSet {
		out = append(out, facts.Val(b.CidrBlock))
	}
	if c := facts.Val(i.CidrBlock); c != "" && !slices.Contains(out, c) {
		out = append(out, c)
	}
	return out
}

// admitted reports whether other rules of the group let the peer's addresses
// through to the same port, or may do so.
func (d deadReference) admitted(groups reach.Groups) bool {
	protocol, port := d.protocol, facts.Val(d.from)
	if protocol == "-1" {
		protocol, port = "tcp", 443
	}
	for _, b := range d.blocks {
		prefix, err := netip.ParsePrefix(b)
		if err != nil {
			continue
		}
		end := reach.Endpoint{IP: prefix.Masked().Addr().Next()}
		ask := groups.Admits
		if d.egress {
			ask = groups.LetsOut
		}
		if !ask([]string{d.group}, end, protocol, port).Blocked() {
			return true
		}
	}
	return false
}

func deadReferences(id string, dead []deadReference) diagnose.Finding {
	first := dead[0]
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  groupRef(id),
		Claim:    fmt.Sprintf("Security group %s names %s, a group of %s, across peering %s, where that has no effect: %s", id, facts.Val(first.pair.GroupId), facts.Val(first.pair.VpcId), first.peering, first.why),
	}
	run := remedy.Remedy{Title: "Admit the peer's addresses in place of its group", Why: "A block of addresses is wider than the group: everything in the peer's VPC is admitted to these ports.", Risk: remedy.Safe}
	hand := remedy.Remedy{Title: "Let out to the peer's addresses in place of its group", Why: "Egress was restricted by somebody; ask before you open it.", Risk: remedy.Safe}
	for _, d := range dead {
		peering := facts.Ref{Kind: facts.Peerings.Kind(), ID: d.peering}
		if !slices.Contains(f.Affects, peering) {
			f.Affects = append(f.Affects, peering)
		}
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: f.Subject.String(), Got: fmt.Sprintf("%s in %s, by %s: %s", d.pairRule, facts.Val(d.pair.VpcId), d.peering, d.why), Want: "a rule with the addresses of that VPC",
			Command: "aws ec2 describe-vpc-peering-connections --vpc-peering-connection-ids " + d.peering,
		})
		for _, b := range d.blocks {
			rule := remedy.Rule{Group: id, Protocol: d.protocol, FromPort: -1, ToPort: -1, FromCIDR: b}
			if d.protocol != "-1" && d.from != nil && d.to != nil {
				rule.FromPort, rule.ToPort = *d.from, *d.to
			}
			if d.egress {
				hand.Manual = append(hand.Manual, remedy.AuthorizeEgress{EgressRule: remedy.EgressRule{Group: id, Protocol: rule.Protocol, FromPort: rule.FromPort, ToPort: rule.ToPort, ToCIDR: b}}.Command())
			} else {
				run.Actions = append(run.Actions, remedy.AuthorizeIngress{Rule: rule})
			}
		}
	}
	if len(run.Actions) > 0 {
		f.Remedies = append(f.Remedies, run)
	}
	if len(hand.Manual) > 0 {
		f.Remedies = append(f.Remedies, hand)
	}
	return f
}
