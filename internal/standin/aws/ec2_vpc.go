package aws

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

var (
	createSubnet = op{run: runCreateSubnet, write: true, needs: []string{"VpcId", "CidrBlock"},
		takes: []string{"AvailabilityZone", "AvailabilityZoneId", "TagSpecification"}}
	associateVPCCIDR = op{run: runAssociateVPCCIDR, write: true, needs: []string{"VpcId", "CidrBlock"}}

	entryParams    = []string{"NetworkAclId", "RuleNumber", "Egress"}
	createACLEntry = op{run: runCreateACLEntry, write: true, needs: append([]string{"Protocol", "RuleAction"}, entryParams...),
		takes: []string{"CidrBlock", "Ipv6CidrBlock", "PortRange", "Icmp"}}
	deleteACLEntry = op{run: runDeleteACLEntry, write: true, needs: entryParams}
)

// block reads the range of a new subnet or of a VPC: /16 to /28.
func (c *call) block(errorCode string) (netip.Prefix, error) {
	text, err := c.cidr(c.params.at("CidrBlock").value, false)
	if err != nil {
		return netip.Prefix{}, err
	}
	p := netip.MustParsePrefix(text)
	if p.Bits() < 16 || p.Bits() > 28 {
		return p, bad(errorCode, "The CIDR '%s' is invalid.", text)
	}
	return p, nil
}

// blocksOf are the ranges of a VPC that are in use.
func blocksOf(v types.Vpc) []netip.Prefix {
	var blocks []netip.Prefix
	texts := []string{str(v.CidrBlock)}
	for _, a := range v.CidrBlockAssociationSet {
		if a.CidrBlockState == nil || a.CidrBlockState.State == types.VpcCidrBlockStateCodeAssociated {
			texts = append(texts, str(a.CidrBlock))
		}
	}
	for _, t := range texts {
		if p, err := netip.ParsePrefix(t); err == nil && !slices.Contains(blocks, p) {
			blocks = append(blocks, p)
		}
	}
	return blocks
}

func overlaps(p netip.Prefix) func(netip.Prefix) bool {
	return func(o netip.Prefix) bool { return o.Overlaps(p) }
}

func runCreateSubnet(c *call) (answer, error) {
	vpc, err := vpcs.one(c, c.params.at("VpcId").value)
	if err != nil {
		return nil, err
	}
	block, err := c.block("InvalidSubnet.Range")
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(blocksOf(vpc), func(v netip.Prefix) bool { return v.Bits() <= block.Bits() && v.Contains(block.Addr()) }) {
		return nil, bad("InvalidSubnet.Range", "The CIDR '%s' is invalid.", block)
	}
	if err := c.freeOfSubnets(vpc, block); err != nil {
		return nil, err
	}
	s, err := c.newSubnet(vpc, block)
	if err != nil {
		return nil, err
	}
	return answer{{"subnet", s}}, c.server.world.Create(subnets.kind, docOf(s))
}

func (c *call) freeOfSubnets(vpc types.Vpc, block netip.Prefix) error {
	all, err := subnets.all(c)
	for _, s := range all {
		p, bad := netip.ParsePrefix(str(s.CidrBlock))
		if bad == nil && str(s.VpcId) == *vpc.VpcId && p.Overlaps(block) {
			return conflict(block)
		}
	}
	return err
}

func conflict(block netip.Prefix) error {
	return bad("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", block)
}

// newSubnet fills in what AWS does. Five addresses of each subnet are AWS's
// own ("Subnet CIDR blocks", VPC user guide).
func (c *call) newSubnet(vpc types.Vpc, block netip.Prefix) (types.Subnet, error) {
	region := c.server.world.Setting().Region
	zone := c.params.at("AvailabilityZone").value
	if zone == "" {
		zone = region + "a"
	}
	if len(zone) != len(region)+1 || zone[:len(region)] != region {
		return types.Subnet{}, c.invalid("Value (%s) for parameter availabilityZone is invalid.", zone)
	}
	id, cidr, account := madeID("subnet-", *vpc.VpcId, block.String()), block.String(), c.account()
	arn := "arn:aws:ec2:" + region + ":" + account + ":subnet/" + id
	free, no := int32(1)<<(32-block.Bits())-5, false
	s := types.Subnet{
		SubnetId: &id, VpcId: vpc.VpcId, CidrBlock: &cidr, AvailabilityZone: &zone, AvailableIpAddressCount: &free, OwnerId: &account, SubnetArn: &arn,
		State: types.SubnetStateAvailable, DefaultForAz: &no, MapPublicIpOnLaunch: &no, AssignIpv6AddressOnCreation: &no, Tags: []types.Tag{},
	}
	for _, spec := range c.params.at("TagSpecification").list() {
		if kind := spec.at("ResourceType").value; kind != "subnet" {
			return s, c.invalid("'%s' is not a valid taggable resource type for this operation.", kind)
		}
		tags, err := c.tags(spec.at("Tag"))
		if err != nil {
			return s, err
		}
		s.Tags = append(s.Tags, tags...)
	}
	return s, nil
}

// maxBlocks is EC2's default quota of IPv4 ranges per VPC.
const maxBlocks = 5

func runAssociateVPCCIDR(c *call) (answer, error) {
	vpc, err := vpcs.one(c, c.params.at("VpcId").value)
	if err != nil {
		return nil, err
	}
	block, err := c.block("InvalidVpc.Range")
	if err != nil {
		return nil, err
	}
	switch blocks := blocksOf(vpc); {
	case slices.ContainsFunc(blocks, overlaps(block)):
		return nil, bad("CidrConflict", "The CIDR '%s' conflicts with another CIDR block of the VPC", block)
	case len(blocks) >= maxBlocks:
		return nil, bad("CidrLimitExceeded", "This network '%s' has met its maximum number of allowed CIDRs: %d", *vpc.VpcId, maxBlocks)
	}
	id, cidr := madeID("vpc-cidr-assoc-", *vpc.VpcId, block.String()), block.String()
	a := types.VpcCidrBlockAssociation{AssociationId: &id, CidrBlock: &cidr, CidrBlockState: &types.VpcCidrBlockState{State: types.VpcCidrBlockStateCodeAssociated}}
	return answer{{"vpcId", *vpc.VpcId}, {"cidrBlockAssociation", a}}, update(c, vpcs.kind, *vpc.VpcId, func(v *types.Vpc) error {
		v.CidrBlockAssociationSet = append(v.CidrBlockAssociationSet, a)
		return nil
	})
}

// entry reads which entry of a network ACL a call is about.
func (c *call) entry() (types.NetworkAclEntry, error) {
	number, err := c.int32(c.params.at("RuleNumber"))
	if err != nil {
		return types.NetworkAclEntry{}, err
	}
	egress, err := strconv.ParseBool(c.params.at("Egress").value)
	if err != nil || *number < 1 || *number > 32766 {
		return types.NetworkAclEntry{}, c.invalid("RuleNumber must be 1 to 32766 and Egress true or false")
	}
	return types.NetworkAclEntry{RuleNumber: number, Egress: &egress}, nil
}

func sameEntry(e types.NetworkAclEntry) func(types.NetworkAclEntry) bool {
	return func(o types.NetworkAclEntry) bool {
		return o.RuleNumber != nil && *o.RuleNumber == *e.RuleNumber && (o.Egress != nil && *o.Egress) == *e.Egress
	}
}

func runCreateACLEntry(c *call) (answer, error) {
	acl, err := networkACLs.one(c, c.params.at("NetworkAclId").value)
	if err != nil {
		return nil, err
	}
	e, err := c.wholeEntry()
	if err != nil {
		return nil, err
	}
	return done, update(c, networkACLs.kind, *acl.NetworkAclId, func(a *types.NetworkAcl) error {
		if slices.ContainsFunc(a.Entries, sameEntry(e)) {
			return bad("NetworkAclEntryAlreadyExists", "The network acl entry identified by %d already exists.", *e.RuleNumber)
		}
		a.Entries = append(a.Entries, e)
		slices.SortStableFunc(a.Entries, func(x, y types.NetworkAclEntry) int { return int(*x.RuleNumber - *y.RuleNumber) })
		return nil
	})
}

// wholeEntry reads a new entry. Protocols are numbers in network ACLs.
func (c *call) wholeEntry() (types.NetworkAclEntry, error) {
	e, err := c.entry()
	if err != nil {
		return e, err
	}
	p := c.params
	e.Protocol, e.RuleAction = p.at("Protocol").ptr(), types.RuleAction(p.at("RuleAction").value)
	if number, ok := map[string]string{"tcp": "6", "udp": "17", "icmp": "1", "all": "-1"}[*e.Protocol]; ok {
		e.Protocol = &number
	}
	if !slices.Contains(e.RuleAction.Values(), e.RuleAction) {
		return e, c.invalid("Value (%s) for parameter ruleAction is invalid. Must be allow or deny.", e.RuleAction)
	}
	block, v6 := p.at("CidrBlock"), false
	if !block.set {
		block, v6 = p.at("Ipv6CidrBlock"), true
	}
	cidr, err := c.cidr(block.value, v6)
	if err != nil {
		return e, err
	}
	if v6 {
		e.Ipv6CidrBlock = &cidr
	} else {
		e.CidrBlock = &cidr
	}
	return e, c.entryPorts(&e)
}

func (c *call) entryPorts(e *types.NetworkAclEntry) error {
	from, err := c.int32(c.params.at("PortRange", "From"))
	if err != nil {
		return err
	}
	to, err := c.int32(c.params.at("PortRange", "To"))
	if err != nil {
		return err
	}
	if from != nil || to != nil {
		e.PortRange = &types.PortRange{From: from, To: to}
	}
	if e.PortRange == nil && (*e.Protocol == "6" || *e.Protocol == "17") {
		return c.problem(missingParameter, "The request must contain the parameter portRange")
	}
	kind, err := c.int32(c.params.at("Icmp", "Type"))
	if err != nil || kind == nil {
		return err
	}
	code, err := c.int32(c.params.at("Icmp", "Code"))
	e.IcmpTypeCode = &types.IcmpTypeCode{Type: kind, Code: code}
	return err
}

func runDeleteACLEntry(c *call) (answer, error) {
	acl, err := networkACLs.one(c, c.params.at("NetworkAclId").value)
	if err != nil {
		return nil, err
	}
	e, err := c.entry()
	if err != nil {
		return nil, err
	}
	return done, update(c, networkACLs.kind, *acl.NetworkAclId, func(a *types.NetworkAcl) error {
		i := slices.IndexFunc(a.Entries, sameEntry(e))
		if i < 0 {
			return bad("InvalidNetworkAclEntry.NotFound", "The network acl entry identified by %d does not exist.", *e.RuleNumber)
		}
		a.Entries = slices.Delete(a.Entries, i, i+1)
		return nil
	})
}
