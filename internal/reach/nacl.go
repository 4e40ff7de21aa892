package reach

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// The ports from which clients connect: what AWS says that load balancers,
// NAT gateways and Linux hosts use together
// (docs.aws.amazon.com/vpc/latest/userguide/nacl-ephemeral-ports.html).
const (
	EphemeralFrom = 1024
	EphemeralTo   = 65535
)

// ACLOf returns the network ACL of a subnet: the one associated with it, as
// every subnet has one. It is nil when that was not read.
func ACLOf(acls []ec2types.NetworkAcl, subnet string) *ec2types.NetworkAcl {
	for i := range acls {
		for _, a := range acls[i].Associations {
			if str(a.SubnetId) == subnet {
				return &acls[i]
			}
		}
	}
	return nil
}

// ACLPasses reports whether a network ACL lets through what comes from peer
// (or goes there, if egress) for all ports from lo to hi. Rules count in the
// order of their numbers, the first that matches decides, and what none
// matches is denied. A nil ACL is Undecided.
func ACLPasses(acl *ec2types.NetworkAcl, egress bool, peer netip.Addr, protocol string, lo, hi int32) Decision {
	if acl == nil {
		return Decision{Undecided: true, Text: "the subnet's network ACL is not known"}
	}
	var rules []ec2types.NetworkAclEntry
	ports := []int32{lo}
	for _, e := range acl.Entries {
		if e.Egress == nil || *e.Egress != egress || !aclMatches(e, peer, protocol) {
			continue
		}
		rules = append(rules, e)
		if from, to := aclPorts(e); from <= to { // the answer can only change at a rule's edges
			ports = append(ports, from, to+1)
		}
	}
	slices.SortStableFunc(rules, func(a, b ec2types.NetworkAclEntry) int { return cmp.Compare(num(a.RuleNumber), num(b.RuleNumber)) })
	slices.Sort(ports)
	var d Decision
	for _, port := range ports {
		if port < lo || port > hi {
			continue
		}
		if d = aclDecision(acl, rules, egress, peer, protocol, port); !d.Allowed {
			return d
		}
	}
	return d
}

func aclDecision(acl *ec2types.NetworkAcl, rules []ec2types.NetworkAclEntry, egress bool, peer netip.Addr, protocol string, port int32) Decision {
	way := map[bool]string{false: "inbound", true: "outbound"}[egress]
	id := str(acl.NetworkAclId)
	for _, e := range rules {
		if from, to := aclPorts(e); from <= port && port <= to {
			n := fmt.Sprint(num(e.RuleNumber))
			if num(e.RuleNumber) >= 32767 {
				n = "*"
			}
			return Decision{
				Allowed: e.RuleAction == ec2types.RuleActionAllow, Rule: id,
				Text: fmt.Sprintf("%s: %s rule %s: %s %s %s%s", id, way, n, e.RuleAction, service(protocol, port), str(e.CidrBlock), str(e.Ipv6CidrBlock)),
			}
		}
	}
	return Decision{Rule: id, Text: fmt.Sprintf("%s: no %s rule matches %s with %s", id, way, service(protocol, port), peer)}
}

// lastRule is the number of the rule that every network ACL ends with, which
// denies the rest.
const lastRule = 32767

// RoomInACL is the number for a new rule about peer and the ports from lo to
// hi that comes before every rule which denies some of that: the next one
// after the last rule if only the final rule denies. It is 0 when there is no
// such number. taken are the numbers that rules of that direction have.
func RoomInACL(acl *ec2types.NetworkAcl, egress bool, peer netip.Addr, lo, hi int32, taken []int32) int32 {
	before, last := int32(lastRule), int32(0)
	for _, e := range acl.Entries {
		inBlock := Contains(str(e.CidrBlock), peer) || Contains(str(e.Ipv6CidrBlock), peer)
		from, to := aclPorts(e)
		if e.Egress != nil && *e.Egress == egress && e.RuleAction == ec2types.RuleActionDeny && inBlock && from <= hi && lo <= to {
			before = min(before, num(e.RuleNumber))
		}
	}
	for _, t := range taken {
		if t < lastRule {
			last = max(last, t)
		}
	}
	n := before - 1
	if before == lastRule {
		n = min(last+10, lastRule-1)
	}
	for ; n > 0 && slices.Contains(taken, n); n-- {
	}
	return max(n, 0)
}

func aclMatches(e ec2types.NetworkAclEntry, peer netip.Addr, protocol string) bool {
	if p := number(str(e.Protocol)); p != "-1" && p != number(protocol) {
		return false
	}
	return Contains(str(e.CidrBlock), peer) || Contains(str(e.Ipv6CidrBlock), peer)
}

// aclPorts are the ports that a rule is about. EC2 ignores the range of a
// rule for all protocols, and gives none for one that has all ports.
func aclPorts(e ec2types.NetworkAclEntry) (from, to int32) {
	if number(str(e.Protocol)) == "-1" || e.PortRange == nil {
		return 0, 65535
	}
	return num(e.PortRange.From), num(e.PortRange.To)
}

// aclHops are the four passages of a connection between two subnets: ACLs
// are stateless, so the answers need rules as well.
func (n *Network) aclHops(from, to Host, protocol string, port int32) []Hop {
	a, b := ACLOf(n.ACLs, from.Subnet), ACLOf(n.ACLs, to.Subnet)
	hop := func(at string, d Decision) Hop { return Hop{"network ACL", at, d} }
	return []Hop{
		hop("outbound of "+from.Subnet, ACLPasses(a, true, to.IP, protocol, port, port)),
		hop("inbound of "+to.Subnet, ACLPasses(b, false, from.IP, protocol, port, port)),
		hop("answers outbound of "+to.Subnet, ACLPasses(b, true, from.IP, protocol, EphemeralFrom, EphemeralTo)),
		hop("answers inbound of "+from.Subnet, ACLPasses(a, false, to.IP, protocol, EphemeralFrom, EphemeralTo)),
	}
}

func num(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}
