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
	return g.compile(at).admits(at, from, protocol, port)
}

// LetsOut reports whether an interface in the groups at may connect to a port
// of to.
func (g Groups) LetsOut(at []string, to Endpoint, protocol string, port int32) Decision {
	return g.compile(at).letsOut(at, to, protocol, port)
}

func (g Groups) compile(ids []string) compiledGroups {
	out := compiledGroups{}
	for _, id := range ids {
		if sg, ok := g[id]; ok {
			out[id] = compileGroup(&sg)
		}
	}
	return out
}

// Membership says which security groups an interface may be in beside those
// that are known.
type Membership int

// The memberships.
const (
	AllKnown Membership = iota // it is in the known groups and no other
	Foreign                    // it is in another VPC: it may be in any group that was not read
	Unknown                    // it may be in any group
)

func (e Endpoint) mayBeIn(group string, known compiledGroups) bool {
	switch e.Membership {
	case Foreign:
		return known[group] == nil
	case Unknown:
		return true
	}
	return false
}

// compiledGroups are security groups whose rules were parsed once, by id.
type compiledGroups map[string]*compiledGroup

type compiledGroup struct{ in, out []compiledPermission }

type compiledPermission struct {
	protocol string // IANA number; "-1" for all
	from, to int32  // ports; 0 to 65535 where the rule has none
	groups   []namedGroup
	blocks   []namedBlock
	lists    string // the rule in words when it names a prefix list
}

type namedGroup struct {
	id, text, unsure string
}

type namedBlock struct {
	block netip.Prefix
	text  string
}

func compileGroups(list []ec2types.SecurityGroup) compiledGroups {
	out := make(compiledGroups, len(list))
	for i := range list {
		out[str(list[i].GroupId)] = compileGroup(&list[i])
	}
	return out
}

func compileGroup(sg *ec2types.SecurityGroup) *compiledGroup {
	id, c := str(sg.GroupId), &compiledGroup{}
	for i := range sg.IpPermissions {
		c.in = append(c.in, compilePermission(id, &sg.IpPermissions[i]))
	}
	for i := range sg.IpPermissionsEgress {
		c.out = append(c.out, compilePermission(id, &sg.IpPermissionsEgress[i]))
	}
	return c
}

func compilePermission(id string, p *ec2types.IpPermission) compiledPermission {
	c := compiledPermission{protocol: number(str(p.IpProtocol)), to: 65535}
	ported := c.protocol == number("tcp") || c.protocol == number("udp") // ports mean something else elsewhere, such as ICMP types
	switch {
	case !ported, p.FromPort == nil, *p.FromPort == -1:
	case p.ToPort == nil:
		c.from, c.to = 1, 0
	default:
		c.from, c.to = *p.FromPort, *p.ToPort
	}
	text := id + ": " + permission(*p) + " with "
	for _, pair := range p.UserIdGroupPairs {
		g := str(pair.GroupId)
		c.groups = append(c.groups, namedGroup{g, text + g, text + g + "; whether the other side is in that group is not known"})
	}
	for _, r := range p.IpRanges {
		c.add(str(r.CidrIp), text)
	}
	for _, r := range p.Ipv6Ranges {
		c.add(str(r.CidrIpv6), text)
	}
	if len(p.PrefixListIds) > 0 {
		c.lists = text + "prefix list " + str(p.PrefixListIds[0].PrefixListId) + ", whose entries are not known"
	}
	return c
}

func (c *compiledPermission) add(cidr, text string) {
	if p, err := netip.ParsePrefix(cidr); err == nil {
		c.blocks = append(c.blocks, namedBlock{p, text + cidr})
	}
}

func (g compiledGroups) admits(at []string, from Endpoint, protocol string, port int32) Decision {
	d := g.decide(at, from, protocol, port, true)
	if d.Text == "" {
		d.Text = fmt.Sprintf("no ingress rule of %s admits %s from %s", strings.Join(at, ", "), service(protocol, port), from)
	}
	return d
}

func (g compiledGroups) letsOut(at []string, to Endpoint, protocol string, port int32) Decision {
	d := g.decide(at, to, protocol, port, false)
	if d.Text == "" {
		d.Text = fmt.Sprintf("no egress rule of %s lets %s out to %s", strings.Join(at, ", "), service(protocol, port), to)
	}
	return d
}

// decide looks for a rule that lets the traffic pass. Rules only allow, so one
// is enough; what cannot be told counts only when there is none.
func (g compiledGroups) decide(at []string, peer Endpoint, protocol string, port int32, ingress bool) Decision {
	if len(at) == 0 {
		return Decision{Allowed: true, Text: "no security group filters here"}
	}
	protocol = number(protocol)
	var unsure Decision
	for _, id := range at {
		sg := g[id]
		if sg == nil {
			unsure = Decision{Undecided: true, Rule: id, Text: "the rules of " + id + " are not known"}
			continue
		}
		rules := sg.out
		if ingress {
			rules = sg.in
		}
		for i := range rules {
			text, sure := rules[i].match(peer, protocol, port, g)
			switch {
			case sure:
				return Decision{Allowed: true, Rule: id, Text: text}
			case text != "":
				unsure = Decision{Undecided: true, Rule: id, Text: text}
			}
		}
	}
	return unsure
}

// match returns the words of the part of c that names peer; unless sure, of
// one that may. A rule that references a group matches every interface in it,
// whatever its address.
func (c *compiledPermission) match(peer Endpoint, protocol string, port int32, known compiledGroups) (text string, sure bool) {
	if c.protocol != "-1" && (c.protocol != protocol || port < c.from || port > c.to) {
		return "", false
	}
	for _, g := range c.groups {
		if slices.Contains(peer.Groups, g.id) {
			return g.text, true
		}
		if peer.mayBeIn(g.id, known) {
			text = g.unsure
		}
	}
	ip := peer.IP.Unmap()
	for i := range c.blocks {
		if ip.IsValid() && c.blocks[i].block.Contains(ip) {
			return c.blocks[i].text, true
		}
	}
	if text == "" {
		text = c.lists
	}
	return text, false
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
