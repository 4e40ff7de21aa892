package reach

import (
	"net/netip"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func entry(n int32, egress bool, action ec2types.RuleAction, protocol, cidr string, ports ...int32) ec2types.NetworkAclEntry {
	e := ec2types.NetworkAclEntry{RuleNumber: &n, Egress: &egress, RuleAction: action, Protocol: &protocol, CidrBlock: &cidr}
	if len(ports) == 2 {
		e.PortRange = &ec2types.PortRange{From: &ports[0], To: &ports[1]}
	}
	return e
}

func acl(id, subnet string, entries ...ec2types.NetworkAclEntry) ec2types.NetworkAcl {
	return ec2types.NetworkAcl{NetworkAclId: &id, Entries: entries, Associations: []ec2types.NetworkAclAssociation{{SubnetId: &subnet}}}
}

const (
	allow = ec2types.RuleActionAllow
	deny  = ec2types.RuleActionDeny
)

func TestACLPasses(t *testing.T) {
	peer := netip.MustParseAddr("10.0.1.5")
	for _, tt := range []struct {
		name    string
		entries []ec2types.NetworkAclEntry
		lo, hi  int32
		allowed bool
	}{
		{"no rule", nil, 80, 80, false},
		{"lower number first, whatever the order of the list", []ec2types.NetworkAclEntry{
			entry(200, false, deny, "-1", "0.0.0.0/0"), entry(100, false, allow, "6", "10.0.0.0/16", 80, 80)}, 80, 80, true},
		{"deny first", []ec2types.NetworkAclEntry{
			entry(90, false, deny, "6", "10.0.1.0/24", 80, 80), entry(100, false, allow, "-1", "0.0.0.0/0")}, 80, 80, false},
		{"the other direction's rules do not count", []ec2types.NetworkAclEntry{entry(100, true, allow, "-1", "0.0.0.0/0")}, 80, 80, false},
		{"other protocol", []ec2types.NetworkAclEntry{entry(100, false, allow, "17", "0.0.0.0/0")}, 80, 80, false},
		{"tcp without ports: all", []ec2types.NetworkAclEntry{entry(100, false, allow, "6", "0.0.0.0/0")}, 1, 65535, true},
		{"a hole in a range", []ec2types.NetworkAclEntry{
			entry(90, false, deny, "6", "0.0.0.0/0", 3389, 3389), entry(100, false, allow, "6", "0.0.0.0/0", 1024, 65535)}, 1024, 65535, false},
		{"a hole outside the range", []ec2types.NetworkAclEntry{
			entry(90, false, deny, "6", "0.0.0.0/0", 22, 22), entry(100, false, allow, "6", "0.0.0.0/0", 1024, 65535)}, 1024, 65535, true},
		{"range too short", []ec2types.NetworkAclEntry{entry(100, false, allow, "6", "0.0.0.0/0", 32768, 65535)}, 1024, 65535, false},
		{"all protocols: the range does not count", []ec2types.NetworkAclEntry{entry(100, false, allow, "-1", "0.0.0.0/0", 1, 2)}, 80, 80, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := acl("acl-1", "subnet-1", tt.entries...)
			d := ACLPasses(&a, false, peer, "tcp", tt.lo, tt.hi)
			if d.Allowed != tt.allowed || d.Rule != "acl-1" || d.Text == "" {
				t.Errorf("got %+v, want allowed %v", d, tt.allowed)
			}
		})
	}
	if d := ACLPasses(nil, false, peer, "tcp", 80, 80); !d.Undecided || d.Blocked() {
		t.Errorf("an ACL that is not known: %+v, want undecided", d)
	}
}

// FuzzACLPasses compares the answer for a range with that for each port.
func FuzzACLPasses(f *testing.F) {
	f.Add(uint16(10), uint16(20), uint16(15), uint16(30), uint16(5), uint16(40), true)
	f.Fuzz(func(t *testing.T, a, b, c, d, lo, hi uint16, first bool) {
		act := func(ok bool) ec2types.RuleAction {
			return map[bool]ec2types.RuleAction{true: allow, false: deny}[ok]
		}
		n := acl("acl-1", "s", entry(1, false, act(first), "6", "0.0.0.0/0", int32(a), int32(b)),
			entry(2, false, act(!first), "6", "0.0.0.0/0", int32(c), int32(d)), entry(3, false, allow, "-1", "0.0.0.0/0"))
		if hi > lo+300 {
			hi = lo + 300
		}
		if hi < lo {
			return
		}
		peer := netip.MustParseAddr("10.0.0.1")
		want := true
		for p := int32(lo); p <= int32(hi); p++ {
			want = want && ACLPasses(&n, false, peer, "tcp", p, p).Allowed
		}
		if got := ACLPasses(&n, false, peer, "tcp", int32(lo), int32(hi)).Allowed; got != want {
			t.Errorf("ports %d-%d: %v, each by itself: %v", lo, hi, got, want)
		}
	})
}

func TestConnectStopsAtTheFirstFilter(t *testing.T) {
	open := sg("sg-open", withCIDR(all("-1"), "0.0.0.0/0"))
	open.IpPermissionsEgress = []ec2types.IpPermission{withCIDR(all("-1"), "0.0.0.0/0")}
	n := &Network{Groups: GroupsOf([]ec2types.SecurityGroup{open}), ACLs: []ec2types.NetworkAcl{
		acl("acl-a", "subnet-a", entry(100, false, allow, "-1", "0.0.0.0/0"), entry(100, true, allow, "-1", "0.0.0.0/0")),
		acl("acl-b", "subnet-b", entry(100, false, allow, "-1", "0.0.0.0/0"), entry(100, true, allow, "6", "0.0.0.0/0", 443, 443)),
	}}
	host := func(ip, subnet string) Host {
		return Host{Endpoint: Endpoint{IP: netip.MustParseAddr(ip), Groups: []string{"sg-open"}}, Subnet: subnet}
	}
	hop, stopped := Stopped(n.Connect(host("10.0.0.1", "subnet-a"), host("10.0.1.1", "subnet-b"), "tcp", 8080))
	if !stopped || hop.At != "answers outbound of subnet-b" {
		t.Errorf("stopped %v at %+v, want at the answers, which need ephemeral ports", stopped, hop)
	}
	if hop, stopped := Stopped(n.Connect(host("10.0.1.2", "subnet-b"), host("10.0.1.1", "subnet-b"), "tcp", 8080)); stopped {
		t.Errorf("within one subnet no ACL counts, stopped at %+v", hop)
	}
}
