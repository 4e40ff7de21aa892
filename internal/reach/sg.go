package reach

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Groups are the security groups that are known, by id.
type Groups map[string]ec2types.SecurityGroup

// GroupsOf makes Groups of a list.
func GroupsOf(list []ec2types.SecurityGroup) Groups {
	g := Groups{}
	for _, sg := range list {
		g[str(sg.GroupId)] = sg
	}
	return g
}

// Admits reports whether an interface in the groups at lets from connect to
// its port. Security groups are stateful, so the answers need no rule. An
// interface without groups, as NAT gateways have, is not filtered.
func (g Groups) Admits(at []string, from Endpoint, protocol string, port int32) Decision {
	d := g.decide(at, from, protocol, port, func(sg ec2types.SecurityGroup) []ec2types.IpPermission { return sg.IpPermissions })
	if d.Text == "" {
		d.Text = fmt.Sprintf("no ingress rule of %s admits %s from %s", strings.Join(at, ", "), service(protocol, port), from)
	}
	return d
}

// LetsOut reports whether an interface in the groups at may connect to a port
// of to.
func (g Groups) LetsOut(at []string, to Endpoint, protocol string, port int32) Decision {
	d := g.decide(at, to, protocol, port, func(sg ec2types.SecurityGroup) []ec2types.IpPermission { return sg.IpPermissionsEgress })
	if d.Text == "" {
		d.Text = fmt.Sprintf("no egress rule of %s lets %s out to %s", strings.Join(at, ", "), service(protocol, port), to)
	}
	return d
}

func (g Groups) decide(at []string, peer Endpoint, protocol string, port int32, rules func(ec2types.SecurityGroup) []ec2types.IpPermission) Decision {
	if len(at) == 0 {
		return Decision{Allowed: true, Text: "no security group filters here"}
	}
	var d Decision
	for _, id := range at {
		sg, known := g[id]
		if !known {
			d = Decision{Undecided: true, Rule: id, Text: "the rules of " + id + " are not known"}
			continue
		}
		for _, p := range rules(sg) {
			if !permits(p, protocol, port) {
				continue
			}
			if src, ok := source(p, peer); ok {
				return Decision{Allowed: true, Rule: id, Text: fmt.Sprintf("%s: %s with %s", id, permission(p), src)}
			}
			if len(p.PrefixListIds) > 0 {
				d = Decision{Undecided: true, Rule: id, Text: fmt.Sprintf("%s: %s with prefix list %s, whose entries are not known", id, permission(p), str(p.PrefixListIds[0].PrefixListId))}
			}
		}
	}
	return d
}

// permits reports whether p is about a protocol and port.
func permits(p ec2types.IpPermission, protocol string, port int32) bool {
	rule := number(str(p.IpProtocol))
	if rule == "-1" {
		return true
	}
	if rule != number(protocol) {
		return false
	}
	if rule != number("tcp") && rule != number("udp") {
		return true // ports mean something else there, such as ICMP types
	}
	if p.FromPort == nil || *p.FromPort == -1 {
		return true
	}
	return *p.FromPort <= port && p.ToPort != nil && port <= *p.ToPort
}

// source returns the part of p that names peer. A rule that references a
// group matches every interface in it, whatever its address.
func source(p ec2types.IpPermission, peer Endpoint) (string, bool) {
	for _, pair := range p.UserIdGroupPairs {
		if slices.Contains(peer.Groups, str(pair.GroupId)) {
			return str(pair.GroupId), true
		}
	}
	for _, r := range p.IpRanges {
		if Contains(str(r.CidrIp), peer.IP) {
			return str(r.CidrIp), true
		}
	}
	for _, r := range p.Ipv6Ranges {
		if Contains(str(r.CidrIpv6), peer.IP) {
			return str(r.CidrIpv6), true
		}
	}
	return "", false
}

func permission(p ec2types.IpPermission) string {
	switch proto := str(p.IpProtocol); {
	case proto == "-1":
		return "all traffic"
	case p.FromPort == nil || *p.FromPort == -1 || p.ToPort == nil:
		return proto
	case *p.FromPort == *p.ToPort:
		return fmt.Sprintf("%s %d", proto, *p.FromPort)
	default:
		return fmt.Sprintf("%s %d-%d", proto, *p.FromPort, *p.ToPort)
	}
}

func (e Endpoint) String() string {
	s := strings.Join(e.Groups, ", ")
	if e.IP.IsValid() {
		s = strings.TrimSuffix(e.IP.String()+" in "+s, " in ")
	}
	return s
}

// service is "tcp 8080".
func service(protocol string, port int32) string {
	return strings.ToLower(protocol) + " " + strconv.Itoa(int(port))
}

// number is the IANA number of a protocol that may be given by name, as EC2
// takes both; "-1" is all of them.
func number(protocol string) string {
	switch p := strings.ToLower(protocol); p {
	case "", "all":
		return "-1"
	case "icmp":
		return "1"
	case "tcp":
		return "6"
	case "udp":
		return "17"
	case "icmpv6":
		return "58"
	default:
		return p
	}
}

// Contains reports whether a CIDR block holds ip. A malformed block holds
// nothing, and the zero Addr is in no block.
func Contains(cidr string, ip netip.Addr) bool {
	p, err := netip.ParsePrefix(cidr)
	return err == nil && ip.IsValid() && p.Contains(ip.Unmap())
}

func str(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
