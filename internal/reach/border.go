package reach

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/facts"
)

// routed is what a subnet's route table does with packets for an address.
type routed struct {
	Decision
	table string // id, "" when not known
	via   string // id of what takes the packets
}

// routeFrom looks an address up in the table of a subnet.
func (ix *index) routeFrom(at *party, ip netip.Addr, name string) routed {
	switch {
	case at.subnet == "":
		return routed{Decision: Decision{Undecided: true, Text: firstOf(at.missing, "the subnet of "+at.name+" is not known")}}
	case ix.tables[at.subnet] == nil:
		return routed{Decision: Decision{Undecided: true, Text: "the route table of " + at.subnet + " is not known"}}
	}
	table := ix.tables[at.subnet]
	id := str(table.RouteTableId)
	r := routed{table: id, Decision: Decision{Rule: id}}
	route, ok := RouteTo(table, ip)
	dest := cmp.Or(str(route.DestinationCidrBlock), str(route.DestinationIpv6CidrBlock))
	r.via = Via(route)
	switch list := otherList(table); {
	case list != "" && (!ok || !strings.HasSuffix(dest, "/32") && !strings.HasSuffix(dest, "/128")):
		r.Undecided, r.Text = true, fmt.Sprintf("%s has a route to prefix list %s, whose entries are not known", id, list)
	case !ok:
		r.Text = fmt.Sprintf("%s has no route to %s", id, name)
	case IsBlackhole(route):
		r.Text = fmt.Sprintf("%s: the route to %s is a blackhole: %s is gone", id, dest, cmp.Or(r.via, "what it led to"))
	case r.via == "":
		r.Undecided, r.Text = true, fmt.Sprintf("%s: where the route to %s leads is not known", id, dest)
	default:
		r.Allowed, r.Text = true, fmt.Sprintf("%s: %s goes to %s", id, dest, r.via)
	}
	return r
}

// otherList is a prefix list that a table has a route to. Those of gateway
// endpoints hold the addresses of S3 or DynamoDB, and lead there like the
// route that they go before.
func otherList(table *ec2types.RouteTable) string {
	for _, r := range table.Routes {
		if l := str(r.DestinationPrefixListId); l != "" && !strings.HasPrefix(Via(r), "vpce-") {
			return l
		}
	}
	return ""
}

// route adds the step of a look-up.
func (w *walk) route(hop string, r routed, at *party) {
	command := at.command
	var refs []facts.Ref
	if r.table != "" {
		command = "aws ec2 describe-route-tables --route-table-ids " + r.table
		refs = append(refs, facts.Ref{Kind: facts.RouteTables.Kind(), ID: r.table})
	}
	if at.subnet != "" {
		refs = append(refs, facts.Ref{Kind: facts.Subnets.Kind(), ID: at.subnet})
	}
	if kind := gatewayKind(r.via); kind != "" {
		refs = append(refs, facts.Ref{Kind: kind, ID: r.via})
	}
	w.step(hop, r.Decision, command, refs...)
}

func gatewayKind(via string) facts.Kind {
	if strings.HasPrefix(via, "nat-") {
		return facts.NATGateways.Kind()
	}
	return ""
}

// local looks up the way between two subnets of the VPC: a route of the VPC
// itself, unless a longer one leads through something.
func (w *walk) local() {
	r := w.routeFrom(w.a, w.b.IP, w.b.name)
	if r.Allowed && r.via != "local" {
		r.Allowed, r.Undecided = false, true
		r.Text += ", which is not the VPC's own route: what stands there is not known"
	}
	w.route("route", r, w.a)
}

// wayOut follows the connection out of the VPC.
func (w *walk) wayOut() {
	w.acl(true, w.a, w.b, false)
	r := w.lookup(w.a, w.b)
	switch {
	case !r.Allowed:
	case strings.HasPrefix(r.via, "igw-") && !w.a.IP.Is6() && !public(w.a.eni):
		r.Allowed = false
		r.Text += fmt.Sprintf(", which takes public addresses only, and %s has none", str(eniID(w.a)))
	}
	w.route("route", r, w.a)
	if r.Allowed {
		w.beyond(r.via)
	}
	w.acl(false, w.a, w.b, true)
}

func eniID(p *party) *string {
	if p.eni == nil {
		return &p.name
	}
	return p.eni.NetworkInterfaceId
}

// public reports whether an interface has a public IPv4 address.
func public(eni *ec2types.NetworkInterface) bool {
	return eni != nil && (eni.Association != nil && str(eni.Association.PublicIp) != "" ||
		slices.ContainsFunc(eni.PrivateIpAddresses, func(a ec2types.NetworkInterfacePrivateIpAddress) bool {
			return a.Association != nil && str(a.Association.PublicIp) != ""
		}))
}

// lookup asks for the route to a party outside. Where its address is not
// known, a longer route than the default may take it.
func (w *walk) lookup(at, to *party) routed {
	r := w.routeFrom(at, to.IP, to.name)
	if to.vague != hidden || r.Undecided {
		return r
	}
	for _, other := range w.tables[at.subnet].Routes {
		p, err := netip.ParsePrefix(str(other.DestinationCidrBlock))
		if err == nil && p.Bits() > 0 && !isPrivate(p.Addr()) && (IsBlackhole(other) || Via(other) != r.via) {
			r.Allowed, r.Undecided = false, true
			r.Text = fmt.Sprintf("%s has a route to %s; whether %s is there is not known", r.table, p, to.name)
		}
	}
	return r
}

// beyond goes on behind what takes the packets out of a subnet.
func (w *walk) beyond(via string) {
	kind, _, _ := strings.Cut(via, "-")
	switch kind {
	case "igw", "eigw":
	case "nat":
		w.nat(via)
	case "pcx":
		w.unseen("peering connection "+via, "the other VPC is not read: its routes, network ACLs and security groups decide too", "aws ec2 describe-vpc-peering-connections --vpc-peering-connection-ids "+via)
	case "tgw":
		w.unseen("transit gateway "+via, "its route tables and what lies behind it are not read", "aws ec2 describe-transit-gateway-attachments --filters Name=transit-gateway-id,Values="+via)
	default:
		w.unseen("gateway "+via, "what it does with the packets is not known", "")
	}
}

func (w *walk) unseen(hop, text, command string) {
	w.step(hop, Decision{Undecided: true, Text: text}, command)
}

// nat goes on behind a NAT gateway, which stands in a subnet of its own.
func (w *walk) nat(id string) {
	hop, command := "NAT gateway "+id, "aws ec2 describe-nat-gateways --nat-gateway-ids "+id
	ref := facts.Ref{Kind: facts.NATGateways.Kind(), ID: id}
	i := slices.IndexFunc(w.NATGateways, func(g ec2types.NatGateway) bool { return str(g.NatGatewayId) == id })
	switch {
	case w.NATGateways == nil:
		w.step(hop, Decision{Undecided: true, Text: "the NAT gateways are not known"}, command, ref)
		return
	case i < 0:
		w.step(hop, Decision{Undecided: true, Rule: id, Text: id + " is not among the NAT gateways of the VPC"}, command, ref)
		return
	}
	g := &w.NATGateways[i]
	d := Decision{Rule: id, Allowed: g.State == ec2types.NatGatewayStateAvailable, Text: fmt.Sprintf("%s is %s", id, cmp.Or(string(g.State), "in an unknown state"))}
	d.Undecided = g.State == "" || g.State == ec2types.NatGatewayStatePending
	w.step(hop, d, command, ref, facts.Ref{Kind: facts.Subnets.Kind(), ID: str(g.SubnetId)})
	at := w.natParty(g)
	if at.subnet != w.a.subnet {
		w.acl(false, at, w.a, false)
		w.acl(true, at, w.a, true)
	}
	w.acl(true, at, w.b, false)
	w.acl(false, at, w.b, true)
	r := w.lookup(at, w.b)
	if r.Allowed && r.via == id {
		r.Allowed, r.Text = false, r.Text+": it leads back to itself"
	}
	w.route("route of the NAT gateway", r, at)
	if r.Allowed && !strings.HasPrefix(r.via, "nat-") {
		w.beyond(r.via)
	} else if r.Allowed {
		w.unseen("NAT gateway "+r.via, "a second NAT gateway on the way is not followed", "")
	}
}

func (w *walk) natParty(g *ec2types.NatGateway) *party {
	p := &party{name: str(g.NatGatewayId), subnet: str(g.SubnetId), where: inside, command: "aws ec2 describe-nat-gateways --nat-gateway-ids " + str(g.NatGatewayId)}
	for _, a := range g.NatGatewayAddresses {
		if ip, err := netip.ParseAddr(str(a.PrivateIp)); err == nil {
			p.IP = ip
		}
	}
	return p
}

// wayIn follows a connection that comes into the VPC.
func (w *walk) wayIn() {
	r := w.lookup(w.b, w.a)
	fromInternet := w.a.vague != exact || !isPrivate(w.a.IP)
	kind, _, _ := strings.Cut(r.via, "-")
	switch {
	case fromInternet && w.b.eni == nil:
		r.Decision = Decision{Undecided: true, Text: w.b.missing}
	case fromInternet && !w.b.IP.Is6() && !public(w.b.eni):
		r.Decision = Decision{Text: fmt.Sprintf("%s has no public address: nothing on the internet can connect to it", str(eniID(w.b)))}
		r.table = ""
	case r.Allowed && (kind == "nat" || kind == "eigw"):
		r.Allowed, r.Text = false, r.Text+", which lets nothing in"
	case r.Allowed && fromInternet && kind != "igw":
		r.Allowed, r.Undecided, r.Text = false, true, r.Text+"; whether the internet comes in that way is not known"
	case r.Allowed:
		r.Text = "answers: " + r.Text
	}
	if kind != "igw" && !fromInternet && r.Allowed {
		w.beyond(r.via)
	}
	w.route("way into "+firstOf(w.b.subnet, w.b.name), r, w.b)
	w.acl(false, w.b, w.a, false)
	w.acl(true, w.b, w.a, true)
}
