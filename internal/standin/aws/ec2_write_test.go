package aws

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/world"
)

// tags makes tags of keys and values in turn.
func tags(kv ...string) []types.Tag {
	var ts []types.Tag
	for i := 0; i < len(kv); i += 2 {
		ts = append(ts, types.Tag{Key: &kv[i], Value: &kv[i+1]})
	}
	return ts
}

// group reads a security group as a client sees it.
func (l lab) group(t *testing.T, id string) types.SecurityGroup {
	t.Helper()
	out, err := l.ec2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return out.SecurityGroups[0]
}

func (l lab) table(t *testing.T, id string) types.RouteTable {
	t.Helper()
	out, err := l.ec2.DescribeRouteTables(t.Context(), &ec2.DescribeRouteTablesInput{RouteTableIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return out.RouteTables[0]
}

func sameDoc(a, b any) string {
	return cmp.Diff(a, b, cmp.Exporter(func(reflect.Type) bool { return true }))
}

func TestAuthorizeAndRevoke(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	before := l.group(t, "sg-1")
	perms := []types.IpPermission{
		{IpProtocol: sdk.String("tcp"), FromPort: sdk.Int32(443), ToPort: sdk.Int32(443), IpRanges: []types.IpRange{{CidrIp: sdk.String("192.0.2.7/24"), Description: sdk.String("office")}}},
		{IpProtocol: sdk.String("17"), FromPort: sdk.Int32(53), ToPort: sdk.Int32(53), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: sdk.String("sg-1")}}},
		{IpProtocol: sdk.String("-1"), Ipv6Ranges: []types.Ipv6Range{{CidrIpv6: sdk.String("2001:db8::/32")}}, PrefixListIds: []types.PrefixListId{{PrefixListId: sdk.String("pl-1")}}},
	}
	in := &ec2.AuthorizeSecurityGroupIngressInput{GroupId: sdk.String("sg-1"), IpPermissions: perms}
	dry := *in
	dry.DryRun = sdk.Bool(true)
	_, err := l.ec2.AuthorizeSecurityGroupIngress(ctx, &dry)
	wantCode(t, err, "DryRunOperation")
	if diff := sameDoc(before, l.group(t, "sg-1")); diff != "" {
		t.Errorf("a dry run changed the group:\n%s", diff)
	}
	out, err := l.ec2.AuthorizeSecurityGroupIngress(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range out.SecurityGroupRules {
		if !strings.HasPrefix(*r.SecurityGroupRuleId, "sgr-") {
			t.Errorf("rule id %s", *r.SecurityGroupRuleId)
		}
		got = append(got, ruleKey(r))
	}
	want := []string{"tcp 443-443 192.0.2.0/24", "udp 53-53 sg-1", "-1 -1--1 2001:db8::/32", "-1 -1--1 pl-1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("added rules (-want +got):\n%s", diff)
	}
	if n := len(l.group(t, "sg-1").IpPermissions[0].IpRanges); n != 2 {
		t.Errorf("%d ranges for port 443, want both in one permission", n)
	}
	_, err = l.ec2.AuthorizeSecurityGroupIngress(ctx, in)
	wantCode(t, err, "InvalidPermission.Duplicate")
	rules, err := l.ec2.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{*out.SecurityGroupRules[0].SecurityGroupRuleId}})
	if err != nil || *rules.SecurityGroupRules[0].Description != "office" {
		t.Errorf("the new rule by its id: %v, %v", rules, err)
	}
	gone, err := l.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: sdk.String("sg-1"), IpPermissions: perms})
	if err != nil || len(gone.RevokedSecurityGroupRules) != 4 {
		t.Errorf("revoked %v, %v", gone, err)
	}
	if diff := sameDoc(before, l.group(t, "sg-1")); diff != "" {
		t.Errorf("after the revocation (-before +after):\n%s", diff)
	}
	_, err = l.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: sdk.String("sg-1"), IpPermissions: perms})
	wantCode(t, err, "InvalidPermission.NotFound")
}

func TestFlatRule(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	in := &ec2.AuthorizeSecurityGroupIngressInput{GroupId: sdk.String("sg-2"), IpProtocol: sdk.String("tcp"), FromPort: sdk.Int32(80), ToPort: sdk.Int32(80), CidrIp: sdk.String("0.0.0.0/0")}
	out, err := l.ec2.AuthorizeSecurityGroupIngress(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	id := *out.SecurityGroupRules[0].SecurityGroupRuleId
	if _, err := l.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: sdk.String("sg-2"), SecurityGroupRuleIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	if n := len(l.group(t, "sg-2").IpPermissions); n != 0 {
		t.Errorf("%d permissions are left", n)
	}
	_, err = l.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: sdk.String("sg-2"), SecurityGroupRuleIds: []string{id}})
	wantCode(t, err, "InvalidSecurityGroupRuleId.NotFound")
}

func TestRefusedRules(t *testing.T) {
	l := start(t, base, Options{})
	authorize := func(group string, p types.IpPermission) error {
		_, err := l.ec2.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: []types.IpPermission{p}})
		return err
	}
	port := func(from, to int32, cidr string) types.IpPermission {
		return types.IpPermission{IpProtocol: sdk.String("tcp"), FromPort: &from, ToPort: &to, IpRanges: []types.IpRange{{CidrIp: &cidr}}}
	}
	wantCode(t, authorize("sg-9", port(1, 1, "10.0.0.0/8")), "InvalidGroup.NotFound")
	wantCode(t, authorize("nodes", port(1, 1, "10.0.0.0/8")), "InvalidGroupId.Malformed")
	wantCode(t, authorize("sg-2", port(1, 1, "10.0.0.0/33")), "InvalidParameterValue")
	wantCode(t, authorize("sg-2", port(1, 1, "::/0")), "InvalidParameterValue")
	wantCode(t, authorize("sg-2", port(2, 1, "10.0.0.0/8")), "InvalidParameterValue")
	wantCode(t, authorize("sg-2", port(1, 70000, "10.0.0.0/8")), "InvalidParameterValue")
	wantCode(t, authorize("sg-2", types.IpPermission{IpProtocol: sdk.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: sdk.String("sg-9")}}}), "InvalidGroup.NotFound")
	wantCode(t, authorize("sg-2", types.IpPermission{IpProtocol: sdk.String("-1")}), "MissingParameter")
	for i := range maxRules {
		if err := authorize("sg-2", port(int32(i), int32(i), "10.0.0.0/8")); err != nil {
			t.Fatalf("rule %d: %v", i+1, err)
		}
	}
	wantCode(t, authorize("sg-2", port(1000, 1000, "10.0.0.0/8")), "RulesPerSecurityGroupLimitExceeded")
}

// Of writes to the same object at the same time none is lost, and of two that
// exclude each other one wins.
func TestWritesAtOnce(t *testing.T) {
	l := start(t, base, Options{})
	var wg sync.WaitGroup
	codes := make(chan string, 20)
	for i := range 10 {
		wg.Go(func() {
			_, err := l.ec2.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{
				GroupId: sdk.String("sg-2"), IpProtocol: sdk.String("tcp"), FromPort: sdk.Int32(int32(i)), ToPort: sdk.Int32(int32(i)), CidrIp: sdk.String("10.0.0.0/8")})
			if err != nil {
				t.Error(err)
			}
			table := fmt.Sprint("rtb-", i%2+1)
			_, err = l.ec2.AssociateRouteTable(t.Context(), &ec2.AssociateRouteTableInput{RouteTableId: &table, SubnetId: sdk.String("subnet-3")})
			codes <- code(err)
		})
	}
	wg.Wait()
	close(codes)
	won := 0
	for c := range codes {
		if c == "" {
			won++
		} else if c != "Resource.AlreadyAssociated" {
			t.Errorf("association: %s", c)
		}
	}
	if n := len(l.group(t, "sg-2").IpPermissions); n != 10 || won != 1 {
		t.Errorf("%d rules, want 10; %d associations, want 1", n, won)
	}
}

func TestRoutes(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	before := l.table(t, "rtb-1")
	create := func(table, dst, nat string) error {
		_, err := l.ec2.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: &dst, NatGatewayId: &nat})
		return err
	}
	wantCode(t, create("rtb-1", "0.0.0.0/0", "nat-9"), "InvalidNatGatewayID.NotFound")
	wantCode(t, create("rtb-9", "0.0.0.0/0", "nat-1"), "InvalidRouteTableID.NotFound")
	wantCode(t, create("rtb-1", "0.0.0.0", "nat-1"), "InvalidParameterValue")
	wantCode(t, create("rtb-2", "0.0.0.0/0", "nat-1"), "RouteAlreadyExists")
	wantCode(t, create("rtb-1", "0.0.0.0/0", "nat-1"), "")
	r := l.table(t, "rtb-1").Routes[1]
	if *r.NatGatewayId != "nat-1" || r.State != types.RouteStateActive || r.Origin != types.RouteOriginCreateRoute {
		t.Errorf("the new route is %+v", r)
	}
	dst := sdk.String("0.0.0.0/0")
	if _, err := l.ec2.ReplaceRoute(ctx, &ec2.ReplaceRouteInput{RouteTableId: sdk.String("rtb-1"), DestinationCidrBlock: dst, NatGatewayId: sdk.String("nat-2")}); err != nil {
		t.Fatal(err)
	}
	if r := l.table(t, "rtb-1").Routes[1]; r.State != types.RouteStateBlackhole {
		t.Errorf("through a failed gateway: %+v", r)
	}
	del := func(dst string) error {
		_, err := l.ec2.DeleteRoute(ctx, &ec2.DeleteRouteInput{RouteTableId: sdk.String("rtb-1"), DestinationCidrBlock: &dst})
		return err
	}
	wantCode(t, del("0.0.0.0/0"), "")
	if diff := sameDoc(before, l.table(t, "rtb-1")); diff != "" {
		t.Errorf("after the route was deleted (-before +after):\n%s", diff)
	}
	wantCode(t, del("0.0.0.0/0"), "InvalidRoute.NotFound")
	wantCode(t, del("10.0.0.0/16"), "InvalidParameterValue")
	_, err := l.ec2.ReplaceRoute(ctx, &ec2.ReplaceRouteInput{RouteTableId: sdk.String("rtb-1"), DestinationCidrBlock: dst, GatewayId: sdk.String("igw-1")})
	wantCode(t, err, "InvalidRoute.NotFound")
	_, err = l.ec2.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: sdk.String("rtb-1"), DestinationCidrBlock: dst, GatewayId: sdk.String("igw-9")})
	wantCode(t, err, "InvalidGatewayID.NotFound")
}

func TestAssociations(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	associate := func(table, subnet string) (string, error) {
		out, err := l.ec2.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: &table, SubnetId: &subnet})
		if err != nil {
			return "", err
		}
		return *out.AssociationId, nil
	}
	_, err := associate("rtb-1", "subnet-1")
	wantCode(t, err, "Resource.AlreadyAssociated")
	_, err = associate("rtb-1", "subnet-9")
	wantCode(t, err, "InvalidSubnetID.NotFound")
	id, err := associate("rtb-2", "subnet-3")
	if err != nil {
		t.Fatal(err)
	}
	moved, err := l.ec2.ReplaceRouteTableAssociation(ctx, &ec2.ReplaceRouteTableAssociationInput{AssociationId: &id, RouteTableId: sdk.String("rtb-1")})
	if err != nil {
		t.Fatal(err)
	}
	has := func(a types.RouteTableAssociation) bool { return a.SubnetId != nil && *a.SubnetId == "subnet-3" }
	if slices.ContainsFunc(l.table(t, "rtb-2").Associations, has) || !slices.ContainsFunc(l.table(t, "rtb-1").Associations, has) {
		t.Error("the association did not move")
	}
	dissociate := func(id string) error {
		_, err := l.ec2.DisassociateRouteTable(ctx, &ec2.DisassociateRouteTableInput{AssociationId: &id})
		return err
	}
	wantCode(t, dissociate(id), "InvalidAssociationID.NotFound")
	wantCode(t, dissociate("rtbassoc-main"), "InvalidParameterValue")
	wantCode(t, dissociate(*moved.NewAssociationId), "")
	if slices.ContainsFunc(l.table(t, "rtb-1").Associations, has) {
		t.Error("the association is still there")
	}
}

func TestTags(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	create := func(kv []types.Tag, ids ...string) error {
		_, err := l.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: ids, Tags: kv})
		return err
	}
	wantCode(t, create(tags("Name", "new", "kubernetes.io/role/elb", ""), "subnet-1", "eni-1"), "")
	read := func() string {
		out, err := l.ec2.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: parseFilters("resource-id=subnet-1,eni-1")})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, d := range out.Tags {
			all = append(all, *d.ResourceId+":"+*d.Key+"="+*d.Value)
		}
		return strings.Join(all, " ")
	}
	if got, want := read(), "eni-1:Name=new eni-1:cluster=shop eni-1:kubernetes.io/role/elb= subnet-1:Name=new subnet-1:kubernetes.io/role/elb= subnet-1:tier=private"; got != want {
		t.Errorf("tags %s\nwant %s", got, want)
	}
	wantCode(t, create(tags("a", "b"), "subnet-1", "subnet-9"), "InvalidID")
	wantCode(t, create(tags("aws:a", "b"), "subnet-1"), "InvalidParameterValue")
	if strings.Contains(read(), ":a=") {
		t.Error("a refused call tagged one of its resources")
	}
	var many []string
	for i := range 49 {
		many = append(many, fmt.Sprint("k", i), "v")
	}
	wantCode(t, create(tags(many...), "subnet-1"), "TagLimitExceeded")
	_, err := l.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{"subnet-1"}, Tags: []types.Tag{{Key: sdk.String("Name"), Value: sdk.String("other")}, {Key: sdk.String("tier")}, {Key: sdk.String("kubernetes.io/role/elb"), Value: sdk.String("")}}})
	wantCode(t, err, "")
	if got, want := read(), "eni-1:Name=new eni-1:cluster=shop eni-1:kubernetes.io/role/elb= subnet-1:Name=new"; got != want {
		t.Errorf("tags %s\nwant %s", got, want)
	}
}

func TestSubnetsAndBlocks(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	create := func(cidr string) (*ec2.CreateSubnetOutput, error) {
		return l.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: sdk.String("vpc-1"), CidrBlock: &cidr, AvailabilityZone: sdk.String("eu-west-1a"),
			TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSubnet, Tags: tags("Name", "more")}}})
	}
	_, err := create("10.0.0.128/25")
	wantCode(t, err, "InvalidSubnet.Conflict")
	_, err = create("100.64.0.0/18")
	wantCode(t, err, "InvalidSubnet.Range")
	associate := func(cidr string) error {
		_, err := l.ec2.AssociateVpcCidrBlock(ctx, &ec2.AssociateVpcCidrBlockInput{VpcId: sdk.String("vpc-1"), CidrBlock: &cidr})
		return err
	}
	wantCode(t, associate("10.0.128.0/17"), "CidrConflict")
	wantCode(t, associate("100.0.0.0/8"), "InvalidVpc.Range")
	wantCode(t, associate("100.64.0.0/16"), "")
	out, err := create("100.64.0.0/18")
	if err != nil {
		t.Fatal(err)
	}
	if n := *out.Subnet.AvailableIpAddressCount; n != 16384-5 {
		t.Errorf("%d free addresses", n)
	}
	got, err := l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{*out.Subnet.SubnetId}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := sameDoc(*out.Subnet, got.Subnets[0]); diff != "" {
		t.Errorf("created and described:\n%s", diff)
	}
}

func TestACLEntries(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	in := &ec2.CreateNetworkAclEntryInput{NetworkAclId: sdk.String("acl-1"), RuleNumber: sdk.Int32(90), Egress: sdk.Bool(false), Protocol: sdk.String("6"),
		RuleAction: types.RuleActionDeny, CidrBlock: sdk.String("10.0.0.0/8"), PortRange: &types.PortRange{From: sdk.Int32(1024), To: sdk.Int32(65535)}}
	_, err := l.ec2.CreateNetworkAclEntry(ctx, in)
	wantCode(t, err, "")
	_, err = l.ec2.CreateNetworkAclEntry(ctx, in)
	wantCode(t, err, "NetworkAclEntryAlreadyExists")
	out, err := l.ec2.DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{Filters: parseFilters("association.subnet-id=subnet-1 entry.rule-action=deny")})
	if err != nil {
		t.Fatal(err)
	}
	e := out.NetworkAcls[0].Entries[0]
	if *e.RuleNumber != 90 || *e.PortRange.To != 65535 || e.RuleAction != types.RuleActionDeny {
		t.Errorf("entry %+v", e)
	}
	del := &ec2.DeleteNetworkAclEntryInput{NetworkAclId: sdk.String("acl-1"), RuleNumber: sdk.Int32(90), Egress: sdk.Bool(false)}
	_, err = l.ec2.DeleteNetworkAclEntry(ctx, del)
	wantCode(t, err, "")
	_, err = l.ec2.DeleteNetworkAclEntry(ctx, del)
	wantCode(t, err, "InvalidNetworkAclEntry.NotFound")
}

// Every write that can be tried first answers DryRunOperation, and leaves the
// world as it is; without the permission it answers UnauthorizedOperation.
func TestDryRun(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	yes := sdk.Bool(true)
	calls := map[string]func() error{
		"ec2:CreateRoute": func() error {
			_, err := l.ec2.CreateRoute(ctx, &ec2.CreateRouteInput{DryRun: yes, RouteTableId: sdk.String("rtb-1"), DestinationCidrBlock: sdk.String("0.0.0.0/0"), NatGatewayId: sdk.String("nat-1")})
			return err
		},
		"ec2:DeleteRoute": func() error {
			_, err := l.ec2.DeleteRoute(ctx, &ec2.DeleteRouteInput{DryRun: yes, RouteTableId: sdk.String("rtb-2"), DestinationCidrBlock: sdk.String("0.0.0.0/0")})
			return err
		},
		"ec2:AssociateRouteTable": func() error {
			_, err := l.ec2.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{DryRun: yes, RouteTableId: sdk.String("rtb-2"), SubnetId: sdk.String("subnet-3")})
			return err
		},
		"ec2:CreateTags": func() error {
			_, err := l.ec2.CreateTags(ctx, &ec2.CreateTagsInput{DryRun: yes, Resources: []string{"subnet-1"}, Tags: tags("a", "b")})
			return err
		},
		"ec2:RevokeSecurityGroupIngress": func() error {
			_, err := l.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{DryRun: yes, GroupId: sdk.String("sg-1"), IpProtocol: sdk.String("tcp"), FromPort: sdk.Int32(443), ToPort: sdk.Int32(443), CidrIp: sdk.String("10.0.0.0/16")})
			return err
		},
	}
	version := l.world.Version()
	for name, do := range calls {
		if got := code(do()); got != "DryRunOperation" {
			t.Errorf("%s: %s", name, got)
		}
		l.world.Faults = append(l.world.Faults, world.Fault{Permission: name, How: "deny"})
		if got := code(do()); got != "UnauthorizedOperation" {
			t.Errorf("%s denied: %s", name, got)
		}
	}
	if l.world.Version() != version {
		t.Error("a dry run changed the world")
	}
}
