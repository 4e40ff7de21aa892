package l3

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// newRange is the plan for a VPC without a spare subnet: a further /16 of
// 100.64.0.0/10 with a subnet for each zone that has nodes. A person runs it:
// it changes what peers and firewalls must know.
func (p pool) newRange(x *exhausted) (remedy.Remedy, bool) {
	i := slices.IndexFunc(p.vpcs, func(v ec2types.Vpc) bool { return facts.Val(v.VpcId) == facts.Val(x.subnet.VpcId) })
	if i < 0 {
		return remedy.Remedy{}, false
	}
	block, ok := freeBlock(p.vpcs[i])
	zones := p.zones(facts.Val(x.subnet.VpcId))
	if !ok || len(zones) == 0 {
		return remedy.Remedy{}, false
	}
	r := remedy.Remedy{
		Title: fmt.Sprintf("Give the VPC another range, %s, with a subnet for pods in each zone", block),
		Why: "It overlaps none of the VPC's own ranges; compare it with peered networks first. Prefix delegation can raise the number of pods per node " +
			"afterwards, in the new subnets; it makes no addresses in a full one.",
		Risk:   remedy.Safe,
		Manual: []string{fmt.Sprintf("aws ec2 associate-vpc-cidr-block --vpc-id %s --cidr-block %s", facts.Val(x.subnet.VpcId), block)},
	}
	for n, zone := range zones {
		r.Manual = append(r.Manual, p.subnetCommands(x, zone, cut(block, n, len(zones)))...)
	}
	switch {
	case p.cni.custom:
		r.Manual = append(r.Manual, "# custom networking is on: name the new subnets in each zone's ENIConfig, then replace the nodes")
	case !p.cni.discovery:
		r.Manual = append(r.Manual, "# the tag alone is not enough: "+p.cni.problem)
	}
	return r, true
}

// subnetCommands make one zone's subnet, give it the routes of the zone's
// nodes and hand it to the CNI.
func (p pool) subnetCommands(x *exhausted, zone string, cidr netip.Prefix) []string {
	name := "SUBNET_" + strings.ToUpper(strings.ReplaceAll(zone, "-", "_"))
	cmds := []string{fmt.Sprintf("%s=$(aws ec2 create-subnet --vpc-id %s --availability-zone %s --cidr-block %s --query Subnet.SubnetId --output text)",
		name, facts.Val(x.subnet.VpcId), zone, cidr)}
	for _, n := range p.nodes {
		id := facts.Val(n.interfaces[0].SubnetId)
		if facts.Val(p.subnets[id].AvailabilityZone) != zone {
			continue
		}
		if t, explicit := reach.TableOf(p.tables, facts.Val(x.subnet.VpcId), id); t != nil && explicit {
			cmds = append(cmds, fmt.Sprintf(`aws ec2 associate-route-table --route-table-id %s --subnet-id "$%s"`, facts.Val(t.RouteTableId), name))
		}
		break
	}
	if p.cni.custom {
		return cmds
	}
	return append(cmds, fmt.Sprintf(`aws ec2 create-tags --resources "$%s" --tags Key=%s,Value=1`, name, cniTag))
}

// zones are those in which the VPC's nodes are.
func (p pool) zones(vpc string) []string {
	var zones []string
	for _, n := range p.nodes {
		if s := p.subnets[facts.Val(n.interfaces[0].SubnetId)]; facts.Val(s.VpcId) == vpc && facts.Val(s.AvailabilityZone) != "" {
			zones = append(zones, facts.Val(s.AvailabilityZone))
		}
	}
	slices.Sort(zones)
	return slices.Compact(zones)
}

// freeBlock is the first /16 of the shared address space (RFC 6598) that
// overlaps no range of the VPC. EC2 takes it beside any other range
// (docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html).
func freeBlock(vpc ec2types.Vpc) (netip.Prefix, bool) {
	var used []netip.Prefix
	blocks := []string{facts.Val(vpc.CidrBlock)}
	for _, a := range vpc.CidrBlockAssociationSet {
		blocks = append(blocks, facts.Val(a.CidrBlock))
	}
	for _, b := range blocks {
		if p, err := netip.ParsePrefix(b); err == nil {
			used = append(used, p)
		}
	}
	for second := 64; second < 128; second++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(second), 0, 0}), 16)
		if !slices.ContainsFunc(used, p.Overlaps) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// cut returns part n of block when it is cut into at least parts equal ones.
func cut(block netip.Prefix, n, parts int) netip.Prefix {
	bits := block.Bits()
	for 1<<(bits-block.Bits()) < parts {
		bits++
	}
	a := block.Addr().As4()
	base := binary.BigEndian.Uint32(a[:]) + uint32(n)<<(32-bits)
	binary.BigEndian.PutUint32(a[:], base)
	return netip.PrefixFrom(netip.AddrFrom4(a), bits)
}
