package reach

import (
	"net/netip"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func route(cidr, nat string) ec2types.Route {
	return ec2types.Route{DestinationCidrBlock: &cidr, NatGatewayId: &nat, State: ec2types.RouteStateActive}
}

func TestTableOf(t *testing.T) {
	gone := ec2types.RouteTableAssociation{SubnetId: ptr("subnet-3"), AssociationState: &ec2types.RouteTableAssociationState{State: ec2types.RouteTableAssociationStateCodeDisassociated}}
	tables := []ec2types.RouteTable{
		{RouteTableId: ptr("rtb-main"), VpcId: ptr("vpc-1"), Associations: []ec2types.RouteTableAssociation{{Main: ptr(true)}}},
		{RouteTableId: ptr("rtb-other"), VpcId: ptr("vpc-2"), Associations: []ec2types.RouteTableAssociation{{Main: ptr(true)}}},
		{RouteTableId: ptr("rtb-1"), VpcId: ptr("vpc-1"), Associations: []ec2types.RouteTableAssociation{{SubnetId: ptr("subnet-1"), Main: ptr(false)}, gone}},
	}
	for _, tt := range []struct {
		vpc, subnet, want string
		explicit          bool
	}{
		{"vpc-1", "subnet-1", "rtb-1", true},
		{"vpc-1", "subnet-2", "rtb-main", false},
		{"vpc-1", "subnet-3", "rtb-main", false},
		{"vpc-2", "subnet-9", "rtb-other", false},
		{"vpc-3", "subnet-9", "", false},
	} {
		got, explicit := TableOf(tables, tt.vpc, tt.subnet)
		id := ""
		if got != nil {
			id = *got.RouteTableId
		}
		if id != tt.want || explicit != tt.explicit {
			t.Errorf("TableOf(%s, %s) = %q %v, want %q %v", tt.vpc, tt.subnet, id, explicit, tt.want, tt.explicit)
		}
	}
}

func TestRouteTo(t *testing.T) {
	propagated := route("10.8.0.0/16", "propagated")
	propagated.Origin = ec2types.RouteOriginEnableVgwRoutePropagation
	hole := route("172.16.0.0/12", "nat-gone")
	hole.State = ec2types.RouteStateBlackhole
	table := &ec2types.RouteTable{Routes: []ec2types.Route{
		route("0.0.0.0/0", "default"), route("10.0.0.0/8", "ten"), route("10.8.0.0/16", "static"), propagated, hole,
		{DestinationIpv6CidrBlock: ptr("::/0"), EgressOnlyInternetGatewayId: ptr("eigw-1")}, {DestinationPrefixListId: ptr("pl-1")},
	}}
	for ip, want := range map[string]string{
		"192.0.2.1": "default", "10.1.1.1": "ten", "10.8.1.1": "static", "172.16.1.1": "nat-gone", "2001:db8::1": "eigw-1",
	} {
		r, ok := RouteTo(table, netip.MustParseAddr(ip))
		if !ok || Via(r) != want {
			t.Errorf("%s goes via %q, want %q", ip, Via(r), want)
		}
		if IsBlackhole(r) != (ip == "172.16.1.1") {
			t.Errorf("%s: blackhole %v", ip, IsBlackhole(r))
		}
	}
	if _, ok := RouteTo(&ec2types.RouteTable{}, netip.MustParseAddr("192.0.2.1")); ok {
		t.Error("an empty table has a route")
	}
}
