package reach

import (
	"net/netip"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func ptr[T any](v T) *T { return &v }

func perm(protocol string, from, to int32) ec2types.IpPermission {
	return ec2types.IpPermission{IpProtocol: &protocol, FromPort: &from, ToPort: &to}
}

func withCIDR(p ec2types.IpPermission, cidr string) ec2types.IpPermission {
	p.IpRanges = append(p.IpRanges, ec2types.IpRange{CidrIp: &cidr})
	return p
}

func withCIDR6(p ec2types.IpPermission, cidr string) ec2types.IpPermission {
	p.Ipv6Ranges = append(p.Ipv6Ranges, ec2types.Ipv6Range{CidrIpv6: &cidr})
	return p
}

func withGroup(p ec2types.IpPermission, group string) ec2types.IpPermission {
	p.UserIdGroupPairs = append(p.UserIdGroupPairs, ec2types.UserIdGroupPair{GroupId: &group})
	return p
}

func withList(p ec2types.IpPermission, list string) ec2types.IpPermission {
	p.PrefixListIds = append(p.PrefixListIds, ec2types.PrefixListId{PrefixListId: &list})
	return p
}

func sg(id string, in ...ec2types.IpPermission) ec2types.SecurityGroup {
	return ec2types.SecurityGroup{GroupId: &id, IpPermissions: in}
}

func all(p string) ec2types.IpPermission { return ec2types.IpPermission{IpProtocol: &p} }

func TestAdmits(t *testing.T) {
	g := GroupsOf([]ec2types.SecurityGroup{
		sg("sg-self", withGroup(all("-1"), "sg-self")),
		sg("sg-web", withCIDR(perm("tcp", 8080, 8090), "10.0.0.0/24"), withCIDR6(perm("tcp", 443, 443), "2001:db8::/32")),
		sg("sg-from-lb", withGroup(perm("6", 8080, 8080), "sg-lb")),
		sg("sg-udp", withCIDR(perm("udp", 53, 53), "0.0.0.0/0")),
		sg("sg-noports", withCIDR(all("tcp"), "10.9.0.0/16")),
		sg("sg-list", withList(perm("tcp", 5432, 5432), "pl-1")),
		sg("sg-none"),
	})
	from := func(ip string, groups ...string) Endpoint {
		e := Endpoint{Groups: groups}
		if ip != "" {
			e.IP = netip.MustParseAddr(ip)
		}
		return e
	}
	for _, tt := range []struct {
		name      string
		at        []string
		from      Endpoint
		protocol  string
		port      int32
		allowed   bool
		undecided bool
		rule      string
	}{
		{"self reference", []string{"sg-self"}, from("10.0.1.1", "sg-self"), "tcp", 1, true, false, "sg-self"},
		{"same group without a self rule", []string{"sg-none"}, from("10.0.1.1", "sg-none"), "tcp", 1, false, false, ""},
		{"cidr and port", []string{"sg-web"}, from("10.0.0.9"), "tcp", 8090, true, false, "sg-web"},
		{"port past the range", []string{"sg-web"}, from("10.0.0.9"), "tcp", 8091, false, false, ""},
		{"address outside", []string{"sg-web"}, from("10.0.1.9"), "tcp", 8080, false, false, ""},
		{"other protocol", []string{"sg-web"}, from("10.0.0.9"), "udp", 8080, false, false, ""},
		{"IPv6", []string{"sg-web"}, from("2001:db8::7"), "tcp", 443, true, false, "sg-web"},
		{"IPv4 is not in an IPv6 rule", []string{"sg-web"}, from("10.0.0.9"), "tcp", 443, false, false, ""},
		{"IPv4 in IPv6 clothes", []string{"sg-web"}, from("::ffff:10.0.0.9"), "tcp", 8080, true, false, "sg-web"},
		{"protocol by number", []string{"sg-from-lb"}, from("10.0.0.9", "sg-lb"), "tcp", 8080, true, false, "sg-from-lb"},
		{"one of several groups", []string{"sg-none", "sg-udp"}, from("192.0.2.1"), "UDP", 53, true, false, "sg-udp"},
		{"no ports in the rule: all", []string{"sg-noports"}, from("10.9.1.1"), "tcp", 65535, true, false, "sg-noports"},
		{"prefix list", []string{"sg-list"}, from("10.0.0.9"), "tcp", 5432, false, true, "sg-list"},
		{"prefix list for another port", []string{"sg-list"}, from("10.0.0.9"), "tcp", 5433, false, false, ""},
		{"a rule beats a prefix list", []string{"sg-list", "sg-noports"}, from("10.9.0.9"), "tcp", 5432, true, false, "sg-noports"},
		{"a group that is not known", []string{"sg-none", "sg-other"}, from("10.0.0.9"), "tcp", 80, false, true, "sg-other"},
		{"no group at all", nil, from("10.0.0.9"), "tcp", 80, true, false, ""},
		{"address not known, group is", []string{"sg-from-lb"}, from("", "sg-lb"), "tcp", 8080, true, false, "sg-from-lb"},
		{"address not known", []string{"sg-udp"}, from("", "sg-lb"), "udp", 53, false, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := g.Admits(tt.at, tt.from, tt.protocol, tt.port)
			if d.Allowed != tt.allowed || d.Undecided != tt.undecided || d.Rule != tt.rule || d.Text == "" {
				t.Errorf("got %+v, want allowed %v undecided %v rule %q", d, tt.allowed, tt.undecided, tt.rule)
			}
		})
	}
}

func TestLetsOutReadsEgress(t *testing.T) {
	s := sg("sg-a", withCIDR(all("-1"), "0.0.0.0/0"))
	s.IpPermissionsEgress = []ec2types.IpPermission{withCIDR(perm("tcp", 443, 443), "0.0.0.0/0")}
	g := GroupsOf([]ec2types.SecurityGroup{s})
	to := Endpoint{IP: netip.MustParseAddr("10.0.0.1")}
	if d := g.LetsOut([]string{"sg-a"}, to, "tcp", 8080); !d.Blocked() {
		t.Errorf("8080 out: %+v, want blocked whatever the ingress rules say", d)
	}
	if d := g.LetsOut([]string{"sg-a"}, to, "tcp", 443); !d.Allowed {
		t.Errorf("443 out: %+v, want allowed", d)
	}
}

// FuzzAdmits holds that groups only ever add: what some admit, more admit.
func FuzzAdmits(f *testing.F) {
	f.Add("10.0.0.0/8", int32(80), int32(90), "tcp", uint32(0x0a000001), int32(85))
	f.Add("bad", int32(-1), int32(0), "-1", uint32(0), int32(0))
	f.Fuzz(func(t *testing.T, cidr string, lo, hi int32, protocol string, ip uint32, port int32) {
		one := sg("sg-1", withCIDR(perm(protocol, lo, hi), cidr))
		g := GroupsOf([]ec2types.SecurityGroup{one, sg("sg-2", withCIDR(perm("tcp", 1, 2), "0.0.0.0/0"))})
		from := Endpoint{IP: netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)})}
		a, b := g.Admits([]string{"sg-1"}, from, "tcp", port), g.Admits([]string{"sg-1", "sg-2"}, from, "tcp", port)
		if a.Allowed && !b.Allowed {
			t.Errorf("a second group took away what the first allowed: %+v, %+v", a, b)
		}
		if a.Allowed && !Contains(cidr, from.IP) {
			t.Errorf("%s admitted by %q", from.IP, cidr)
		}
	})
}
