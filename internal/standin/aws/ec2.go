package aws

// ec2Ops are the operations of EC2 that this endpoint has.
var ec2Ops = map[string]op{
	"DescribeInstances":             describeInstances,
	"DescribeInternetGateways":      describe(internetGateways),
	"DescribeNatGateways":           describe(natGateways),
	"DescribeVpcPeeringConnections": describe(peerings),
	"DescribeNetworkAcls":           describe(networkACLs),
	"DescribeNetworkInterfaces":     describe(networkInterfaces),
	"DescribeRouteTables":           describe(routeTables),
	"DescribeSecurityGroupRules":    describe(securityGroupRules),
	"DescribeSecurityGroups":        describe(securityGroups),
	"DescribeSubnets":               describe(subnets),
	"DescribeTags":                  describe(tagDescriptions),
	"DescribeVpcAttribute":          describeVPCAttribute,
	"DescribeVpcEndpoints":          describe(vpcEndpoints),
	"DescribeVpcs":                  describe(vpcs),

	"AssociateRouteTable":           associateRouteTable,
	"AssociateVpcCidrBlock":         associateVPCCIDR,
	"AuthorizeSecurityGroupIngress": authorizeIngress,
	"CreateNetworkAclEntry":         createACLEntry,
	"CreateRoute":                   createRoute,
	"CreateSubnet":                  createSubnet,
	"CreateTags":                    createTags,
	"DeleteNetworkAclEntry":         deleteACLEntry,
	"DeleteRoute":                   deleteRoute,
	"DeleteTags":                    deleteTags,
	"DisassociateRouteTable":        disassociateRouteTable,
	"ReplaceRoute":                  replaceRoute,
	"ReplaceRouteTableAssociation":  replaceAssociation,
	"RevokeSecurityGroupIngress":    revokeIngress,
}
