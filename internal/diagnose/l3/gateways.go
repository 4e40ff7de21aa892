package l3

import (
	"fmt"
	"slices"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// natGateways are the ways out that a VPC has.
type natGateways struct {
	list    []ec2types.NatGateway // available ones
	subnets map[string]ec2types.Subnet
	tables  []ec2types.RouteTable
	used    map[string]*routed // the subnets of nodes
}

func gateways(v *facts.View, used map[string]*routed) natGateways {
	g := natGateways{subnets: byID(facts.Subnets.In(v)), tables: facts.RouteTables.In(v), used: used}
	for _, n := range facts.NATGateways.In(v) {
		if n.State == ec2types.NatGatewayStateAvailable && n.ConnectivityType != ec2types.ConnectivityTypePrivate {
			g.list = append(g.list, n)
		}
	}
	return g
}

// remedies gives r a way out. A subnet that fell to the main table gets the
// table of a sibling: a route in the main table would open every subnet that
// has none of its own.
func (g natGateways) remedies(r *routed) []remedy.Remedy {
	if !r.explicit {
		if rs := g.associate(r); len(rs) > 0 {
			return rs
		}
	}
	return g.route(r)
}

// associate offers the route table of another subnet of nodes that leads to
// an available NAT gateway, of the same zone if there is one.
func (g natGateways) associate(r *routed) []remedy.Remedy {
	var other *remedy.Remedy
	for _, t := range g.tables {
		nat, ok := g.leadsTo(t)
		if !ok || facts.Val(t.VpcId) != facts.Val(r.subnet.VpcId) || !g.isSiblings(t, r) {
			continue
		}
		rem := remedy.Remedy{
			Title: fmt.Sprintf("Associate route table %s with subnet %s", facts.Val(t.RouteTableId), facts.Val(r.subnet.SubnetId)),
			Why: fmt.Sprintf("It sends what leaves the VPC to NAT gateway %s in %s. Every host of the subnet gets its routes; no other subnet changes.",
				facts.Val(nat.NatGatewayId), g.zone(nat)),
			Actions: remedy.Actions{remedy.AssociateRouteTable{RouteTable: facts.Val(t.RouteTableId), Subnet: facts.Val(r.subnet.SubnetId)}},
		}
		if lost := lostRoutes(r.table, t); lost != "" {
			rem.Risk = remedy.Disruptive
			rem.Why += " It lacks the main table's route for " + lost + "."
		}
		if g.zone(nat) == facts.Val(r.subnet.AvailabilityZone) {
			return []remedy.Remedy{rem}
		}
		if other == nil {
			rem.Why += " That is another zone: traffic between zones is charged, and the subnet depends on both."
			other = &rem
		}
	}
	if other == nil {
		return nil
	}
	return []remedy.Remedy{*other}
}

// isSiblings reports whether a table belongs to another subnet of nodes, or
// is a private table of the zone that no subnet uses.
func (g natGateways) isSiblings(t ec2types.RouteTable, r *routed) bool {
	for _, a := range t.Associations {
		if facts.Val(a.Main) {
			return false
		}
		if id := facts.Val(a.SubnetId); id != "" && id != facts.Val(r.subnet.SubnetId) && g.used[id] != nil {
			return true
		}
	}
	nat, ok := g.leadsTo(t)
	return ok && g.zone(nat) == facts.Val(r.subnet.AvailabilityZone)
}

// leadsTo is the available NAT gateway of a table's active default route.
func (g natGateways) leadsTo(t ec2types.RouteTable) (ec2types.NatGateway, bool) {
	def, ok := reach.Default(&t)
	if !ok || reach.IsBlackhole(def) {
		return ec2types.NatGateway{}, false
	}
	i := slices.IndexFunc(g.list, func(n ec2types.NatGateway) bool { return facts.Val(n.NatGatewayId) == facts.Val(def.NatGatewayId) })
	if i < 0 {
		return ec2types.NatGateway{}, false
	}
	return g.list[i], true
}

// route adds a default route to r's own table, to a NAT gateway that does not
// stand behind that very table.
func (g natGateways) route(r *routed) []remedy.Remedy {
	var best *ec2types.NatGateway
	for i, n := range g.list {
		t, _ := reach.TableOf(g.tables, facts.Val(n.VpcId), facts.Val(n.SubnetId))
		if facts.Val(n.VpcId) != facts.Val(r.subnet.VpcId) || t != nil && facts.Val(t.RouteTableId) == facts.Val(r.table.RouteTableId) {
			continue
		}
		if best == nil || g.zone(n) == facts.Val(r.subnet.AvailabilityZone) && g.zone(*best) != facts.Val(r.subnet.AvailabilityZone) {
			best = &g.list[i]
		}
	}
	if best == nil {
		return []remedy.Remedy{{
			Title:  "Make a NAT gateway and route to it",
			Why:    "No usable NAT gateway of the VPC is known. It belongs in a public subnet of zone " + facts.Val(r.subnet.AvailabilityZone) + ".",
			Manual: []string{g.makeOne(r), fmt.Sprintf(`aws ec2 create-route --route-table-id %s --destination-cidr-block 0.0.0.0/0 --nat-gateway-id "$NAT"`, facts.Val(r.table.RouteTableId))},
		}}
	}
	rem := remedy.Remedy{
		Title:   fmt.Sprintf("Add a default route to %s through NAT gateway %s", facts.Val(r.table.RouteTableId), facts.Val(best.NatGatewayId)),
		Why:     "Hosts of " + g.subnetsOf(r) + " can then reach the internet; nothing can reach them from there.",
		Actions: remedy.Actions{remedy.CreateRoute{RouteTable: facts.Val(r.table.RouteTableId), Destination: "0.0.0.0/0", NATGateway: facts.Val(best.NatGatewayId)}},
	}
	if g.zone(*best) != facts.Val(r.subnet.AvailabilityZone) {
		rem.Why += " The gateway is in another zone, " + g.zone(*best) + ": traffic between zones is charged, and the subnet depends on both."
	}
	return []remedy.Remedy{rem}
}

func (g natGateways) makeOne(r *routed) string {
	subnet := "PUBLIC_SUBNET"
	for _, id := range sortedIDs(g.subnets) {
		s := g.subnets[id]
		t, _ := reach.TableOf(g.tables, facts.Val(s.VpcId), id)
		if t == nil || facts.Val(s.AvailabilityZone) != facts.Val(r.subnet.AvailabilityZone) || facts.Val(s.VpcId) != facts.Val(r.subnet.VpcId) {
			continue
		}
		if def, ok := reach.Default(t); ok && reach.ToInternetGateway(def) {
			subnet = id
		}
	}
	return fmt.Sprintf("NAT=$(aws ec2 create-nat-gateway --subnet-id %s --allocation-id $(aws ec2 allocate-address --query AllocationId --output text) --query NatGateway.NatGatewayId --output text)", subnet)
}

// subnetsOf names the subnets that a change of r's table reaches.
func (g natGateways) subnetsOf(r *routed) string {
	if !r.explicit {
		return "every subnet that falls to the main table " + facts.Val(r.table.RouteTableId)
	}
	var ids []string
	for _, a := range r.table.Associations {
		if id := facts.Val(a.SubnetId); id != "" {
			ids = append(ids, id)
		}
	}
	return diagnose.Some(ids)
}

func (g natGateways) zone(n ec2types.NatGateway) string {
	return facts.Val(g.subnets[facts.Val(n.SubnetId)].AvailabilityZone)
}

// lostRoutes names a destination that from has a route for and to has not.
func lostRoutes(from *ec2types.RouteTable, to ec2types.RouteTable) string {
	for _, r := range from.Routes {
		dest := facts.Val(r.DestinationCidrBlock) + facts.Val(r.DestinationPrefixListId) + facts.Val(r.DestinationIpv6CidrBlock)
		if !slices.ContainsFunc(to.Routes, func(o ec2types.Route) bool {
			return facts.Val(o.DestinationCidrBlock)+facts.Val(o.DestinationPrefixListId)+facts.Val(o.DestinationIpv6CidrBlock) == dest
		}) {
			return dest
		}
	}
	return ""
}
