package aws

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/facts"
)

// A resource is how EC2 describes one sort of object.
type resource[T any] struct {
	kind      facts.Kind
	list      func(*call) ([]T, error) // nil: the world's objects of kind
	set       string                   // element that holds them in the answer
	ids       string                   // parameter that names them
	field     string                   // that holds the id
	prefix    string                   // of ids
	noun      string                   // in "The ... ID 'x' does not exist"
	notFound  string                   // error codes
	malformed string
	tags      string            // field that holds the tags
	filters   map[string]string // paths, by filter name
	most      int               // of MaxResults; 0: 1000
}

var subnets = resource[types.Subnet]{
	kind: "ec2/subnets", set: "subnetSet", ids: "SubnetId", field: "SubnetId", prefix: "subnet-", noun: "subnet",
	notFound: "InvalidSubnetID.NotFound", malformed: "InvalidSubnetID.Malformed", tags: "Tags",
	filters: map[string]string{
		"subnet-id": "SubnetId", "vpc-id": "VpcId", "state": "State", "owner-id": "OwnerId", "subnet-arn": "SubnetArn",
		"availability-zone": "AvailabilityZone", "availabilityZone": "AvailabilityZone", "availability-zone-id": "AvailabilityZoneId",
		"cidr-block": "CidrBlock", "cidr": "CidrBlock", "cidrBlock": "CidrBlock",
		"default-for-az": "DefaultForAz", "defaultForAz": "DefaultForAz", "map-public-ip-on-launch": "MapPublicIpOnLaunch",
		"available-ip-address-count":                  "AvailableIpAddressCount",
		"ipv6-cidr-block-association.ipv6-cidr-block": "Ipv6CidrBlockAssociationSet.Ipv6CidrBlock",
	},
}

var vpcs = resource[types.Vpc]{
	kind: "ec2/vpcs", set: "vpcSet", ids: "VpcId", field: "VpcId", prefix: "vpc-", noun: "vpc",
	notFound: "InvalidVpcID.NotFound", malformed: "InvalidVpcID.Malformed", tags: "Tags",
	filters: map[string]string{
		"vpc-id": "VpcId", "state": "State", "owner-id": "OwnerId", "cidr": "CidrBlock", "is-default": "IsDefault", "isDefault": "IsDefault",
		"dhcp-options-id": "DhcpOptionsId", "cidr-block-association.cidr-block": "CidrBlockAssociationSet.CidrBlock",
		"cidr-block-association.association-id": "CidrBlockAssociationSet.AssociationId",
		"cidr-block-association.state":          "CidrBlockAssociationSet.CidrBlockState.State",
	},
}

var routeTables = resource[types.RouteTable]{
	kind: "ec2/route-tables", set: "routeTableSet", ids: "RouteTableId", field: "RouteTableId", prefix: "rtb-", noun: "routeTable",
	notFound: "InvalidRouteTableID.NotFound", malformed: "InvalidRouteTableId.Malformed", tags: "Tags", most: 100,
	filters: map[string]string{
		"route-table-id": "RouteTableId", "vpc-id": "VpcId", "owner-id": "OwnerId",
		"association.subnet-id": "Associations.SubnetId", "association.main": "Associations.Main",
		"association.route-table-association-id": "Associations.RouteTableAssociationId",
		"association.route-table-id":             "Associations.RouteTableId", "association.gateway-id": "Associations.GatewayId",
		"route.destination-cidr-block": "Routes.DestinationCidrBlock", "route.destination-ipv6-cidr-block": "Routes.DestinationIpv6CidrBlock",
		"route.destination-prefix-list-id": "Routes.DestinationPrefixListId", "route.gateway-id": "Routes.GatewayId",
		"route.nat-gateway-id": "Routes.NatGatewayId", "route.instance-id": "Routes.InstanceId", "route.origin": "Routes.Origin",
		"route.state": "Routes.State", "route.transit-gateway-id": "Routes.TransitGatewayId",
		"route.vpc-peering-connection-id": "Routes.VpcPeeringConnectionId",
	},
}

var securityGroups = resource[types.SecurityGroup]{
	kind: "ec2/security-groups", set: "securityGroupInfo", ids: "GroupId", field: "GroupId", prefix: "sg-", noun: "security group",
	notFound: "InvalidGroup.NotFound", malformed: "InvalidGroupId.Malformed", tags: "Tags",
	filters: map[string]string{
		"group-id": "GroupId", "group-name": "GroupName", "vpc-id": "VpcId", "owner-id": "OwnerId", "description": "Description",
		"ip-permission.cidr": "IpPermissions.IpRanges.CidrIp", "ip-permission.ipv6-cidr": "IpPermissions.Ipv6Ranges.CidrIpv6",
		"ip-permission.group-id": "IpPermissions.UserIdGroupPairs.GroupId", "ip-permission.protocol": "IpPermissions.IpProtocol",
		"ip-permission.from-port": "IpPermissions.FromPort", "ip-permission.to-port": "IpPermissions.ToPort",
		"egress.ip-permission.cidr": "IpPermissionsEgress.IpRanges.CidrIp", "egress.ip-permission.group-id": "IpPermissionsEgress.UserIdGroupPairs.GroupId",
		"egress.ip-permission.protocol": "IpPermissionsEgress.IpProtocol", "egress.ip-permission.from-port": "IpPermissionsEgress.FromPort",
		"egress.ip-permission.to-port": "IpPermissionsEgress.ToPort",
	},
}

var securityGroupRules = resource[types.SecurityGroupRule]{
	list: allRules, set: "securityGroupRuleSet", ids: "SecurityGroupRuleId", field: "SecurityGroupRuleId", prefix: "sgr-", noun: "security group rule",
	notFound: "InvalidSecurityGroupRuleId.NotFound", malformed: "InvalidSecurityGroupRuleId.Malformed", tags: "Tags",
	filters: map[string]string{"group-id": "GroupId", "security-group-rule-id": "SecurityGroupRuleId"},
}

var networkInterfaces = resource[types.NetworkInterface]{
	kind: "ec2/network-interfaces", set: "networkInterfaceSet", ids: "NetworkInterfaceId", field: "NetworkInterfaceId", prefix: "eni-", noun: "networkInterface",
	notFound: "InvalidNetworkInterfaceID.NotFound", malformed: "InvalidNetworkInterfaceId.Malformed", tags: "TagSet",
	filters: map[string]string{
		"network-interface-id": "NetworkInterfaceId", "vpc-id": "VpcId", "subnet-id": "SubnetId", "owner-id": "OwnerId",
		"group-id": "Groups.GroupId", "group-name": "Groups.GroupName", "status": "Status", "description": "Description",
		"interface-type": "InterfaceType", "requester-id": "RequesterId", "requester-managed": "RequesterManaged",
		"availability-zone": "AvailabilityZone", "mac-address": "MacAddress", "source-dest-check": "SourceDestCheck",
		"private-ip-address": "PrivateIpAddress", "private-dns-name": "PrivateDnsName",
		"addresses.private-ip-address": "PrivateIpAddresses.PrivateIpAddress", "addresses.primary": "PrivateIpAddresses.Primary",
		"addresses.association.public-ip": "PrivateIpAddresses.Association.PublicIp",
		"association.public-ip":           "Association.PublicIp", "association.allocation-id": "Association.AllocationId",
		"attachment.instance-id": "Attachment.InstanceId", "attachment.attachment-id": "Attachment.AttachmentId",
		"attachment.status": "Attachment.Status", "attachment.device-index": "Attachment.DeviceIndex",
		"attachment.instance-owner-id": "Attachment.InstanceOwnerId", "attachment.delete-on-termination": "Attachment.DeleteOnTermination",
		"ipv6-addresses.ipv6-address": "Ipv6Addresses.Ipv6Address",
	},
}

var networkACLs = resource[types.NetworkAcl]{
	kind: "ec2/network-acls", set: "networkAclSet", ids: "NetworkAclId", field: "NetworkAclId", prefix: "acl-", noun: "networkAcl",
	notFound: "InvalidNetworkAclID.NotFound", malformed: "InvalidNetworkAclId.Malformed", tags: "Tags",
	filters: map[string]string{
		"network-acl-id": "NetworkAclId", "vpc-id": "VpcId", "owner-id": "OwnerId", "default": "IsDefault",
		"association.subnet-id": "Associations.SubnetId", "association.association-id": "Associations.NetworkAclAssociationId",
		"association.network-acl-id": "Associations.NetworkAclId", "entry.cidr": "Entries.CidrBlock", "entry.egress": "Entries.Egress",
		"entry.protocol": "Entries.Protocol", "entry.rule-action": "Entries.RuleAction", "entry.rule-number": "Entries.RuleNumber",
		"entry.port-range.from": "Entries.PortRange.From", "entry.port-range.to": "Entries.PortRange.To",
	},
}

var natGateways = resource[types.NatGateway]{
	kind: "ec2/nat-gateways", set: "natGatewaySet", ids: "NatGatewayId", field: "NatGatewayId", prefix: "nat-", noun: "natGateway",
	notFound: "NatGatewayNotFound", malformed: "NatGatewayMalformed", tags: "Tags",
	filters: map[string]string{"nat-gateway-id": "NatGatewayId", "vpc-id": "VpcId", "subnet-id": "SubnetId", "state": "State"},
}

var peerings = resource[types.VpcPeeringConnection]{
	kind: "ec2/vpc-peering-connections", set: "vpcPeeringConnectionSet", ids: "VpcPeeringConnectionId", field: "VpcPeeringConnectionId", prefix: "pcx-", noun: "vpcPeeringConnection",
	notFound: "InvalidVpcPeeringConnectionID.NotFound", malformed: "InvalidVpcPeeringConnectionId.Malformed", tags: "Tags",
	filters: map[string]string{
		"vpc-peering-connection-id": "VpcPeeringConnectionId", "status-code": "Status.Code",
		"requester-vpc-info.vpc-id": "RequesterVpcInfo.VpcId", "accepter-vpc-info.vpc-id": "AccepterVpcInfo.VpcId",
	},
}

var vpcEndpoints = resource[types.VpcEndpoint]{
	kind: "ec2/vpc-endpoints", set: "vpcEndpointSet", ids: "VpcEndpointId", field: "VpcEndpointId", prefix: "vpce-", noun: "Vpc Endpoint",
	notFound: "InvalidVpcEndpointId.NotFound", malformed: "InvalidVpcEndpointId.Malformed", tags: "Tags",
	filters: map[string]string{
		"vpc-endpoint-id": "VpcEndpointId", "vpc-id": "VpcId", "service-name": "ServiceName",
		"vpc-endpoint-state": "State", "vpc-endpoint-type": "VpcEndpointType", "ip-address-type": "IpAddressType",
	},
}

var instances = resource[types.Instance]{
	kind: "ec2/instances", ids: "InstanceId", field: "InstanceId", prefix: "i-", noun: "instance",
	notFound: "InvalidInstanceID.NotFound", malformed: "InvalidInstanceID.Malformed", tags: "Tags",
	filters: map[string]string{
		"instance-id": "InstanceId", "vpc-id": "VpcId", "subnet-id": "SubnetId", "instance-state-name": "State.Name",
		"instance-state-code": "State.Code", "instance-type": "InstanceType", "image-id": "ImageId",
		"private-ip-address": "PrivateIpAddress", "private-dns-name": "PrivateDnsName", "ip-address": "PublicIpAddress",
		"dns-name": "PublicDnsName", "availability-zone": "Placement.AvailabilityZone",
		"instance.group-id": "SecurityGroups.GroupId", "instance.group-name": "SecurityGroups.GroupName",
		"network-interface.network-interface-id":         "NetworkInterfaces.NetworkInterfaceId",
		"network-interface.subnet-id":                    "NetworkInterfaces.SubnetId",
		"network-interface.addresses.private-ip-address": "NetworkInterfaces.PrivateIpAddresses.PrivateIpAddress",
	},
}

var internetGateways = resource[types.InternetGateway]{
	kind: "ec2/internet-gateways", set: "internetGatewaySet", ids: "InternetGatewayId", field: "InternetGatewayId", prefix: "igw-", noun: "internetGateway",
	notFound: "InvalidInternetGatewayID.NotFound", malformed: "InvalidInternetGatewayId.Malformed", tags: "Tags",
	filters: map[string]string{
		"internet-gateway-id": "InternetGatewayId", "owner-id": "OwnerId",
		"attachment.vpc-id": "Attachments.VpcId", "attachment.state": "Attachments.State",
	},
}

var tagDescriptions = resource[types.TagDescription]{
	list: allTags, set: "tagSet", field: "ResourceId",
	filters: map[string]string{"key": "Key", "value": "Value", "resource-id": "ResourceId", "resource-type": "ResourceType"},
}

var dhcpOptions = resource[types.DhcpOptions]{
	kind: "ec2/dhcp-options", set: "dhcpOptionsSet", ids: "DhcpOptionsId", field: "DhcpOptionsId", prefix: "dopt-", noun: "dhcpOption",
	notFound: "InvalidDhcpOptionID.NotFound", malformed: "InvalidDhcpOptionsId.Malformed", tags: "Tags",
	filters: map[string]string{
		"dhcp-options-id": "DhcpOptionsId", "owner-id": "OwnerId", "key": "DhcpConfigurations.Key", "value": "DhcpConfigurations.Values.Value",
	},
}

// staleGroups are of the VPC that the call names.
var staleGroups = resource[types.StaleSecurityGroup]{set: "staleSecurityGroupSet", field: "GroupId", most: 255, list: func(c *call) ([]types.StaleSecurityGroup, error) {
	stale, err := list[types.StaleSecurityGroup](c, "ec2/stale-security-groups")
	return slices.DeleteFunc(slices.Clone(stale), func(g types.StaleSecurityGroup) bool { return str(g.VpcId) != c.params.at("VpcId").value }), err
}}

var describeStaleGroups = op{needs: []string{"VpcId"}, takes: []string{"MaxResults", "NextToken"}, run: func(c *call) (answer, error) {
	if _, err := vpcs.one(c, c.params.at("VpcId").value); err != nil {
		return nil, err
	}
	return describe(staleGroups).run(c)
}}

// describe makes the operation that lists r's objects.
func describe[T any](r resource[T]) op {
	takes := []string{"Filter", "MaxResults", "NextToken"}
	if r.ids != "" {
		takes = append(takes, r.ids)
	}
	return op{takes: takes, run: func(c *call) (answer, error) {
		found, next, err := r.find(c)
		if err != nil {
			return nil, err
		}
		return answer{{r.set, found}, {"nextToken", next}}, nil
	}}
}

// describeInstances puts each instance into a reservation of its own.
var describeInstances = op{takes: []string{"InstanceId", "Filter", "MaxResults", "NextToken"}, run: func(c *call) (answer, error) {
	found, next, err := instances.find(c)
	if err != nil {
		return nil, err
	}
	rs := make([]types.Reservation, 0, len(found))
	account := c.account()
	for _, i := range found {
		id := madeID("r-", *i.InstanceId)
		rs = append(rs, types.Reservation{ReservationId: &id, OwnerId: &account, Instances: []types.Instance{i}})
	}
	return answer{{"reservationSet", rs}, {"nextToken", next}}, nil
}}

// find returns one page of the objects that the call's ids and filters name.
func (r resource[T]) find(c *call) ([]T, string, error) {
	named := c.params.at(r.ids).values()
	if len(named) > 0 && c.params.at("MaxResults").set {
		return nil, "", bad("InvalidParameterCombination", "The parameter %sSet cannot be used with the parameter maxResults", lowerFirst(r.ids))
	}
	fs, err := c.filters(r.filters, r.tags)
	if err != nil {
		return nil, "", err
	}
	size, err := c.pageSize(c.params.at("MaxResults"), 5, cmp.Or(r.most, 1000))
	if err != nil {
		return nil, "", err
	}
	all, err := r.named(c, named)
	if err != nil {
		return nil, "", err
	}
	found := make([]T, 0, len(all))
	for _, v := range all {
		if matches(reflect.ValueOf(v), fs) {
			found = append(found, v)
		}
	}
	if len(named) > 0 {
		size = max(len(found), 1)
	}
	return pageOf(c, found, r.sortKey, c.params.at("NextToken").value, size)
}

// named returns the objects with the given ids, or all without.
func (r resource[T]) named(c *call, ids []string) ([]T, error) {
	all, err := r.all(c)
	if err != nil || len(ids) == 0 {
		return all, err
	}
	for _, id := range ids {
		if !strings.HasPrefix(id, r.prefix) {
			return nil, bad(r.malformed, "Invalid id: %q (expecting \"%s...\")", id, r.prefix)
		}
		if !slices.ContainsFunc(all, func(v T) bool { return r.id(v) == id }) {
			return nil, r.missing(id)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(v T) bool { return !slices.Contains(ids, r.id(v)) }), nil
}

// one returns the object with an id, or the error that EC2 has for it.
func (r resource[T]) one(c *call, id string) (v T, err error) {
	found, err := r.named(c, []string{id})
	if err != nil {
		return v, err
	}
	return found[0], nil
}

func (r resource[T]) all(c *call) ([]T, error) {
	if r.list != nil {
		return r.list(c)
	}
	return list[T](c, r.kind)
}

func (r resource[T]) id(v T) string { return text(reflect.ValueOf(v).FieldByName(r.field)) }

// sortKey is the id; a tag, which has none, is told apart by its key.
func (r resource[T]) sortKey(v T) string {
	if t, ok := any(v).(types.TagDescription); ok {
		return *t.ResourceId + "\x00" + *t.Key
	}
	return r.id(v)
}

func (r resource[T]) missing(id string) error {
	switch r.noun {
	case "security group":
		return bad(r.notFound, "The security group '%s' does not exist", id)
	case "natGateway":
		return bad(r.notFound, "The Nat Gateway %s was not found", id)
	}
	return bad(r.notFound, "The %s ID '%s' does not exist", r.noun, id)
}

// describeVPCAttribute tells one attribute of a VPC. Those that the world
// does not state have the values that "VPC and more" gives: DNS is on.
var describeVPCAttribute = op{needs: []string{"VpcId", "Attribute"}, run: func(c *call) (answer, error) {
	id, attribute := c.params.at("VpcId").value, c.params.at("Attribute").value
	if _, err := vpcs.one(c, id); err != nil {
		return nil, err
	}
	value, known := map[string]bool{"enableDnsSupport": true, "enableDnsHostnames": true, "enableNetworkAddressUsageMetrics": false}[attribute]
	if !known {
		return nil, c.invalid("Value (%s) for parameter attribute is invalid. Unknown attribute.", attribute)
	}
	if d, err := c.server.world.Get("ec2/vpc-attributes", id); err == nil {
		stated, _ := d[strings.ToUpper(attribute[:1])+attribute[1:]].(map[string]any)
		if v, ok := stated["Value"].(bool); ok {
			value = v
		}
	}
	return answer{{"vpcId", id}, {attribute, answer{{"value", value}}}}, nil
}}

// account is the id of the account that everything belongs to.
func (c *call) account() string {
	for _, v := range []facts.Kind{"ec2/vpcs", "ec2/subnets"} {
		docs, _ := c.server.world.List(v)
		for _, d := range docs {
			if owner, _ := d["OwnerId"].(string); owner != "" {
				return owner
			}
		}
	}
	docs, _ := c.server.world.List(facts.Clusters.Kind())
	for _, d := range docs {
		arn, _ := d["arn"].(string)
		if parts := strings.Split(arn, ":"); len(parts) > 5 {
			return parts[4]
		}
	}
	return "111122223333"
}

// identity is the ARN of the caller.
func (c *call) identity() string { return fmt.Sprintf("arn:aws:iam::%s:user/hopwise", c.account()) }
