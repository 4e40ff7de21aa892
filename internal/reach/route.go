package reach

import (
	"cmp"
	"net/netip"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// TableOf returns the route table that a subnet uses: the one associated
// with it, else the main table of its VPC; explicit tells which. It is nil
// when that table was not read.
func TableOf(tables []ec2types.RouteTable, vpc, subnet string) (table *ec2types.RouteTable, explicit bool) {
	var main *ec2types.RouteTable
	for i := range tables {
		for _, a := range tables[i].Associations {
			if a.AssociationState != nil && a.AssociationState.State != ec2types.RouteTableAssociationStateCodeAssociated && a.AssociationState.State != "" {
				continue
			}
			if str(a.SubnetId) == subnet && subnet != "" {
				return &tables[i], true
			}
			if a.Main != nil && *a.Main && str(tables[i].VpcId) == vpc {
				main = &tables[i]
			}
		}
	}
	return main, false
}

// RouteTo returns the route that a table has for ip: the longest prefix, and
// of equal ones a static route before a propagated one. A route in state
// blackhole is returned like any other: it wins, and drops. Routes to
// prefix lists are left out: their entries are not known.
func RouteTo(table *ec2types.RouteTable, ip netip.Addr) (ec2types.Route, bool) {
	var best ec2types.Route
	length := -1
	for _, r := range table.Routes {
		p, err := netip.ParsePrefix(cmp.Or(str(r.DestinationCidrBlock), str(r.DestinationIpv6CidrBlock)))
		if err != nil || !ip.IsValid() || !p.Contains(ip.Unmap()) || p.Bits() < length {
			continue
		}
		if p.Bits() == length && r.Origin == ec2types.RouteOriginEnableVgwRoutePropagation {
			continue
		}
		best, length = r, p.Bits()
	}
	return best, length >= 0
}

// Default returns the route of a table for 0.0.0.0/0 itself.
func Default(table *ec2types.RouteTable) (ec2types.Route, bool) {
	for _, r := range table.Routes {
		if str(r.DestinationCidrBlock) == "0.0.0.0/0" {
			return r, true
		}
	}
	return ec2types.Route{}, false
}

// Via is the id of what a route sends to: nat-..., igw-..., tgw-..., "local".
func Via(r ec2types.Route) string {
	return cmp.Or(str(r.NatGatewayId), str(r.TransitGatewayId), str(r.VpcPeeringConnectionId), str(r.EgressOnlyInternetGatewayId),
		str(r.LocalGatewayId), str(r.CarrierGatewayId), str(r.CoreNetworkArn), str(r.OdbNetworkArn), str(r.GatewayId),
		str(r.NetworkInterfaceId), str(r.InstanceId))
}

// IsBlackhole reports whether a route drops what it takes: what it sends to
// is gone.
func IsBlackhole(r ec2types.Route) bool { return r.State == ec2types.RouteStateBlackhole }

// ToInternetGateway reports whether a route makes its subnets public.
func ToInternetGateway(r ec2types.Route) bool { return strings.HasPrefix(Via(r), "igw-") }
