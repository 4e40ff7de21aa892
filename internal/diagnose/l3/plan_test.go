package l3

import (
	"net/netip"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestFreeBlock(t *testing.T) {
	for _, tt := range []struct {
		ranges []string
		want   string
		ok     bool
	}{
		{[]string{"10.0.0.0/16"}, "100.64.0.0/16", true},
		{[]string{"10.0.0.0/16", "100.64.0.0/16"}, "100.65.0.0/16", true},
		{[]string{"100.64.0.0/12"}, "100.80.0.0/16", true},
		{[]string{"100.64.128.0/24", "100.65.0.0/16"}, "100.66.0.0/16", true},
		{[]string{"100.64.0.0/10"}, "", false},
		{[]string{"nonsense"}, "100.64.0.0/16", true},
	} {
		vpc := ec2types.Vpc{CidrBlock: &tt.ranges[0]}
		for _, r := range tt.ranges {
			vpc.CidrBlockAssociationSet = append(vpc.CidrBlockAssociationSet, ec2types.VpcCidrBlockAssociation{CidrBlock: &r})
		}
		got, ok := freeBlock(vpc)
		if ok != tt.ok || ok && got.String() != tt.want {
			t.Errorf("freeBlock(%v) = %v %v, want %s %v", tt.ranges, got, ok, tt.want, tt.ok)
		}
	}
}

func TestCut(t *testing.T) {
	block := netip.MustParsePrefix("100.64.0.0/16")
	for _, parts := range []int{1, 2, 3, 4, 6} {
		var all []netip.Prefix
		for n := range parts {
			p := cut(block, n, parts)
			if !block.Overlaps(p) || p.Bits() > 28 || p != p.Masked() || !block.Contains(p.Addr()) {
				t.Errorf("part %d of %d is %s", n, parts, p)
			}
			for _, o := range all {
				if o.Overlaps(p) {
					t.Errorf("%s and %s overlap", o, p)
				}
			}
			all = append(all, p)
		}
	}
}
