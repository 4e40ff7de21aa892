package reach

import (
	"net/netip"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestRoomInACL(t *testing.T) {
	entry := func(n int32, action ec2types.RuleAction, egress bool, protocol, cidr string, from, to int32) ec2types.NetworkAclEntry {
		e := ec2types.NetworkAclEntry{RuleNumber: &n, RuleAction: action, Egress: &egress, Protocol: &protocol, CidrBlock: &cidr}
		if to > 0 {
			e.PortRange = &ec2types.PortRange{From: &from, To: &to}
		}
		return e
	}
	last := entry(lastRule, ec2types.RuleActionDeny, false, "-1", "0.0.0.0/0", 0, 0)
	deny := func(n int32, cidr string, from, to int32) ec2types.NetworkAclEntry {
		return entry(n, ec2types.RuleActionDeny, false, "17", cidr, from, to)
	}
	for _, x := range []struct {
		name    string
		entries []ec2types.NetworkAclEntry
		taken   []int32
		want    int32
	}{
		{"an empty one", []ec2types.NetworkAclEntry{last}, []int32{lastRule}, 10},
		{"only the final rule denies", []ec2types.NetworkAclEntry{entry(100, ec2types.RuleActionAllow, false, "6", "0.0.0.0/0", 443, 443), last}, []int32{100, lastRule}, 110},
		{"before the rule that denies", []ec2types.NetworkAclEntry{deny(90, "10.0.0.0/8", 53, 53), last}, []int32{90, lastRule}, 89},
		{"before it, and past a number that is taken", []ec2types.NetworkAclEntry{deny(90, "10.0.0.0/8", 0, 0), last}, []int32{88, 89, 90, lastRule}, 87},
		{"another port", []ec2types.NetworkAclEntry{deny(90, "10.0.0.0/8", 54, 60), last}, []int32{90, lastRule}, 100},
		{"another block", []ec2types.NetworkAclEntry{deny(90, "192.168.0.0/16", 53, 53), last}, []int32{90, lastRule}, 100},
		{"the other direction", []ec2types.NetworkAclEntry{entry(90, ec2types.RuleActionDeny, true, "17", "10.0.0.0/8", 53, 53), last}, []int32{lastRule}, 10},
		{"the first rule denies", []ec2types.NetworkAclEntry{deny(1, "10.0.0.0/8", 53, 53), last}, []int32{1, lastRule}, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			acl := &ec2types.NetworkAcl{Entries: x.entries}
			if got := RoomInACL(acl, false, netip.MustParseAddr("10.1.2.3"), 53, 53, x.taken); got != x.want {
				t.Errorf("number %d, want %d", got, x.want)
			}
		})
	}
}
