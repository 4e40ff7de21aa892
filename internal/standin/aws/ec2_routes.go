package aws

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

var (
	destinations = []string{"DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"}
	routeParams  = append([]string{"NatGatewayId", "GatewayId", "NetworkInterfaceId"}, destinations...)

	createRoute  = op{run: runCreateRoute, write: true, needs: []string{"RouteTableId"}, takes: routeParams}
	replaceRoute = op{run: runReplaceRoute, write: true, needs: []string{"RouteTableId"}, takes: routeParams}
	deleteRoute  = op{run: runDeleteRoute, write: true, needs: []string{"RouteTableId"}, takes: destinations}

	associateRouteTable    = op{run: runAssociateRouteTable, write: true, needs: []string{"RouteTableId", "SubnetId"}}
	disassociateRouteTable = op{run: runDisassociateRouteTable, write: true, needs: []string{"AssociationId"}}
	replaceAssociation     = op{run: runReplaceAssociation, write: true, needs: []string{"AssociationId", "RouteTableId"}}
)

// destination reads where a route leads. The name of the parameter is that of
// the route's field, and, in other letters, part of EC2's messages.
func (c *call) destination() (types.Route, error) {
	var r types.Route
	var given []string
	for _, name := range destinations {
		if c.params.at(name).set {
			given = append(given, name)
		}
	}
	if len(given) != 1 {
		return r, c.problem(missingParameter, "The request must contain exactly one of destinationCidrBlock, destinationIpv6CidrBlock, destinationPrefixListId")
	}
	value := c.params.at(given[0]).value
	var err error
	switch given[0] {
	case "DestinationCidrBlock":
		value, err = c.cidr(value, false)
		r.DestinationCidrBlock = &value
	case "DestinationIpv6CidrBlock":
		value, err = c.cidr(value, true)
		r.DestinationIpv6CidrBlock = &value
	default:
		r.DestinationPrefixListId = &value
	}
	return r, err
}

func destinationOf(r types.Route) string {
	return cmp.Or(str(r.DestinationCidrBlock), str(r.DestinationIpv6CidrBlock), str(r.DestinationPrefixListId))
}

func destinationField(r types.Route) string {
	switch {
	case r.DestinationCidrBlock != nil:
		return "destination-cidr-block"
	case r.DestinationIpv6CidrBlock != nil:
		return "destination-ipv6-cidr-block"
	}
	return "destination-prefix-list-id"
}

// route reads a whole route: where it leads, and through what. A NAT gateway
// that is there but not available makes a blackhole of it.
func (c *call) route(table types.RouteTable) (types.Route, error) {
	r, err := c.destination()
	if err != nil {
		return r, err
	}
	r.Origin, r.State = types.RouteOriginCreateRoute, types.RouteStateActive
	nat, gateway, eni := c.params.at("NatGatewayId"), c.params.at("GatewayId"), c.params.at("NetworkInterfaceId")
	switch {
	case nat.set:
		return r, c.viaNAT(&r, nat.value, table)
	case gateway.set:
		r.GatewayId = &gateway.value
		if gateway.value == "local" {
			return r, nil
		}
		if _, err := internetGateways.one(c, gateway.value); err != nil {
			return r, bad("InvalidGatewayID.NotFound", "The gateway ID '%s' does not exist", gateway.value)
		}
		return r, nil
	case eni.set:
		r.NetworkInterfaceId = &eni.value
		_, err := networkInterfaces.one(c, eni.value)
		return r, err
	}
	return r, c.problem(missingParameter, "The request must contain one of natGatewayId, gatewayId, networkInterfaceId")
}

func (c *call) viaNAT(r *types.Route, id string, table types.RouteTable) error {
	gw, err := natGateways.one(c, id)
	if err != nil || gw.State == types.NatGatewayStateDeleted {
		return bad("InvalidNatGatewayID.NotFound", "The natGateway ID '%s' does not exist", id)
	}
	if gw.VpcId != nil && table.VpcId != nil && *gw.VpcId != *table.VpcId {
		return c.invalid("route table %s and network gateway %s belong to different networks", str(table.RouteTableId), id)
	}
	r.NatGatewayId = &id
	if gw.State != "" && gw.State != types.NatGatewayStateAvailable {
		r.State = types.RouteStateBlackhole
	}
	return nil
}

func (c *call) table() (types.RouteTable, error) {
	return routeTables.one(c, c.params.at("RouteTableId").value)
}

func sameDestination(r types.Route) func(types.Route) bool {
	return func(o types.Route) bool { return destinationOf(o) == destinationOf(r) }
}

func runCreateRoute(c *call) (answer, error) {
	table, err := c.table()
	if err != nil {
		return nil, err
	}
	r, err := c.route(table)
	if err != nil {
		return nil, err
	}
	return done, update(c, routeTables.kind, *table.RouteTableId, func(t *types.RouteTable) error {
		if slices.ContainsFunc(t.Routes, sameDestination(r)) {
			return bad("RouteAlreadyExists", "The route identified by %s already exists.", destinationOf(r))
		}
		t.Routes = append(t.Routes, r)
		return nil
	})
}

func runReplaceRoute(c *call) (answer, error) {
	table, err := c.table()
	if err != nil {
		return nil, err
	}
	r, err := c.route(table)
	if err != nil {
		return nil, err
	}
	return done, update(c, routeTables.kind, *table.RouteTableId, func(t *types.RouteTable) error {
		i := slices.IndexFunc(t.Routes, sameDestination(r))
		if i < 0 {
			return noRoute(r, table)
		}
		r.Origin = cmp.Or(t.Routes[i].Origin, r.Origin)
		t.Routes[i] = r
		return nil
	})
}

func runDeleteRoute(c *call) (answer, error) {
	table, err := c.table()
	if err != nil {
		return nil, err
	}
	r, err := c.destination()
	if err != nil {
		return nil, err
	}
	return done, update(c, routeTables.kind, *table.RouteTableId, func(t *types.RouteTable) error {
		i := slices.IndexFunc(t.Routes, sameDestination(r))
		if i < 0 {
			return noRoute(r, table)
		}
		if str(t.Routes[i].GatewayId) == "local" {
			return c.invalid("cannot remove local route %s in route table %s", destinationOf(r), *table.RouteTableId)
		}
		t.Routes = slices.Delete(t.Routes, i, i+1)
		return nil
	})
}

func noRoute(r types.Route, table types.RouteTable) error {
	return bad("InvalidRoute.NotFound", "no route with %s %s in route table %s", destinationField(r), destinationOf(r), *table.RouteTableId)
}

var associated = &types.RouteTableAssociationState{State: types.RouteTableAssociationStateCodeAssociated}

func runAssociateRouteTable(c *call) (answer, error) {
	table, err := c.table()
	if err != nil {
		return nil, err
	}
	subnet, err := subnets.one(c, c.params.at("SubnetId").value)
	if err != nil {
		return nil, err
	}
	if subnet.VpcId != nil && table.VpcId != nil && *subnet.VpcId != *table.VpcId {
		return nil, c.invalid("Route table %s and subnet %s belong to different networks", *table.RouteTableId, *subnet.SubnetId)
	}
	_, err = c.association(func(a types.RouteTableAssociation) bool { return str(a.SubnetId) == *subnet.SubnetId })
	if !errors.Is(err, errNoAssociation) {
		return nil, cmp.Or(err, bad("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", *table.RouteTableId))
	}
	id := madeID("rtbassoc-", *table.RouteTableId, *subnet.SubnetId)
	return answer{{"associationId", id}, {"associationState", associated}}, c.associate(*table.RouteTableId, types.RouteTableAssociation{
		RouteTableAssociationId: &id, SubnetId: subnet.SubnetId,
	})
}

// associate adds an association to a table.
func (c *call) associate(table string, a types.RouteTableAssociation) error {
	return update(c, routeTables.kind, table, func(t *types.RouteTable) error {
		isMain := a.Main != nil && *a.Main
		a.Main, a.RouteTableId, a.AssociationState = &isMain, &table, associated
		t.Associations = append(t.Associations, a)
		return nil
	})
}

var errNoAssociation = errors.New("no such association")

// An ownedAssociation is an association and the table that it belongs to.
type ownedAssociation struct {
	types.RouteTableAssociation
	table string
}

// association finds an association in all tables, or returns
// errNoAssociation.
func (c *call) association(is func(types.RouteTableAssociation) bool) (ownedAssociation, error) {
	tables, err := routeTables.all(c)
	if err != nil {
		return ownedAssociation{}, err
	}
	for _, t := range tables {
		if i := slices.IndexFunc(t.Associations, is); i >= 0 {
			return ownedAssociation{t.Associations[i], *t.RouteTableId}, nil
		}
	}
	return ownedAssociation{}, errNoAssociation
}

// namedAssociation finds the association that the call names.
func (c *call) namedAssociation() (ownedAssociation, error) {
	id := c.params.at("AssociationId").value
	if !strings.HasPrefix(id, "rtbassoc-") {
		return ownedAssociation{}, bad("InvalidRouteTableAssociationId.Malformed", "Invalid id: %q (expecting \"rtbassoc-...\")", id)
	}
	a, err := c.association(func(a types.RouteTableAssociation) bool { return str(a.RouteTableAssociationId) == id })
	if errors.Is(err, errNoAssociation) {
		return a, bad("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id)
	}
	return a, err
}

func (c *call) dissociate(a ownedAssociation) error {
	return update(c, routeTables.kind, a.table, func(t *types.RouteTable) error {
		t.Associations = slices.DeleteFunc(t.Associations, func(o types.RouteTableAssociation) bool {
			return str(o.RouteTableAssociationId) == str(a.RouteTableAssociationId)
		})
		return nil
	})
}

func runDisassociateRouteTable(c *call) (answer, error) {
	a, err := c.namedAssociation()
	if err != nil {
		return nil, err
	}
	if a.Main != nil && *a.Main {
		return nil, c.invalid("cannot disassociate the main route table association %s", *a.RouteTableAssociationId)
	}
	return done, c.dissociate(a)
}

func runReplaceAssociation(c *call) (answer, error) {
	a, err := c.namedAssociation()
	if err != nil {
		return nil, err
	}
	table, err := c.table()
	if err != nil {
		return nil, err
	}
	moved := a.RouteTableAssociation
	id := madeID("rtbassoc-", *table.RouteTableId, str(a.SubnetId))
	moved.RouteTableAssociationId = &id
	if err := c.dissociate(a); err != nil {
		return nil, err
	}
	return answer{{"newAssociationId", id}, {"associationState", associated}}, c.associate(*table.RouteTableId, moved)
}
