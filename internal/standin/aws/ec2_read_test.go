package aws

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestFilters(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	find := map[string]func([]types.Filter) (ids []string, err error){
		"subnets": func(fs []types.Filter) (ids []string, err error) {
			out, err := l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: fs})
			if err == nil {
				for _, s := range out.Subnets {
					ids = append(ids, *s.SubnetId)
				}
			}
			return ids, err
		},
		"interfaces": func(fs []types.Filter) (ids []string, err error) {
			out, err := l.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: fs})
			if err == nil {
				for _, s := range out.NetworkInterfaces {
					ids = append(ids, *s.NetworkInterfaceId)
				}
			}
			return ids, err
		},
		"tables": func(fs []types.Filter) (ids []string, err error) {
			out, err := l.ec2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: fs})
			if err == nil {
				for _, s := range out.RouteTables {
					ids = append(ids, *s.RouteTableId)
				}
			}
			return ids, err
		},
		"instances": func(fs []types.Filter) (ids []string, err error) {
			out, err := l.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: fs})
			if err == nil {
				for _, r := range out.Reservations {
					ids = append(ids, *r.Instances[0].InstanceId)
				}
			}
			return ids, err
		},
		"tags": func(fs []types.Filter) (ids []string, err error) {
			out, err := l.ec2.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: fs})
			if err == nil {
				for _, d := range out.Tags {
					ids = append(ids, *d.ResourceId+"/"+string(d.ResourceType)+"/"+*d.Key)
				}
			}
			return ids, err
		},
		"rules": func(fs []types.Filter) (ids []string, err error) {
			out, err := l.ec2.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{Filters: fs})
			if err == nil {
				for _, r := range out.SecurityGroupRules {
					ids = append(ids, fmt.Sprint(ruleKey(r), *r.IsEgress))
				}
			}
			slices.Sort(ids)
			return ids, err
		},
	}
	for _, tt := range []struct {
		what, filters string // name=value,value name=value
		want          string
	}{
		{"subnets", "", "subnet-1 subnet-2 subnet-3"},
		{"subnets", "vpc-id=vpc-1,vpc-9", "subnet-1 subnet-2 subnet-3"},
		{"subnets", "vpc-id=vpc-9", ""},
		{"subnets", "tag:Name=private*", "subnet-1"},
		{"subnets", "tag:Name=p*a", "subnet-1 subnet-2"},
		{"subnets", "tag:tier=Private", ""},
		{"subnets", "tag-key=tier", "subnet-1"},
		{"subnets", "tag:Name=p* availability-zone=eu-west-1?", "subnet-1 subnet-2"},
		{"subnets", "available-ip-address-count=250", "subnet-2 subnet-3"},
		{"interfaces", "addresses.private-ip-address=10.0.0.11", "eni-1"},
		{"interfaces", "private-ip-address=10.0.0.11", ""},
		{"interfaces", "attachment.instance-id=i-1 group-id=sg-1", "eni-1"},
		{"interfaces", "status=available", "eni-2"},
		{"interfaces", "tag:cluster=shop", "eni-1"},
		{"tables", "association.subnet-id=subnet-1", "rtb-2"},
		{"tables", "association.main=true", "rtb-1"},
		{"tables", "route.gateway-id=igw-*", "rtb-2"},
		{"instances", "instance-state-name=running,pending", "i-1"},
		{"tags", "resource-id=subnet-*", "subnet-1/subnet/Name subnet-1/subnet/tier subnet-2/subnet/Name"},
		{"tags", "resource-type=network-interface", "eni-1/network-interface/cluster"},
		{"rules", "group-id=sg-1", "-1 -1--1 0.0.0.0/0true tcp 443-443 10.0.0.0/16false tcp 443-443 sg-2false"},
	} {
		t.Run(tt.what+" "+tt.filters, func(t *testing.T) {
			got, err := find[tt.what](parseFilters(tt.filters))
			if err != nil {
				t.Fatal(err)
			}
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("found %q, want %q", g, tt.want)
			}
		})
	}
	_, err := find["subnets"](parseFilters("vpcid=vpc-1"))
	wantCode(t, err, "InvalidParameterValue")
	_, err = find["subnets"]([]types.Filter{{Name: sdk.String("vpc-id")}})
	wantCode(t, err, "MissingParameter")
}

func parseFilters(s string) []types.Filter {
	var fs []types.Filter
	for _, f := range strings.Fields(s) {
		name, values, _ := strings.Cut(f, "=")
		fs = append(fs, types.Filter{Name: &name, Values: strings.Split(values, ",")})
	}
	return fs
}

func TestLike(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "a", true}, {"?", "", false}, {"a*", "abc", true}, {"*c", "abc", true},
		{"a*c", "abcbc", true}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"ABC", "abc", false}, {`a\*c`, "a*c", true}, {`a\*c`, "abc", false},
		{"a**b", "ab", true}, {"*a*b*", "xxaxxbxx", true}, {"*a*b*", "xxbxxaxx", false}, {`\`, `\`, false},
	} {
		if got := like(tt.pattern, tt.s); got != tt.want {
			t.Errorf("like(%q, %q) is %t", tt.pattern, tt.s, got)
		}
	}
}

func TestPagesOfEC2(t *testing.T) {
	l := start(t, base, Options{PageSize: 1})
	ctx := t.Context()
	var got []string
	pages := 0
	for p := ec2.NewDescribeSubnetsPaginator(l.ec2, &ec2.DescribeSubnetsInput{Filters: parseFilters("vpc-id=vpc-1")}); p.HasMorePages(); pages++ {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range out.Subnets {
			got = append(got, *s.SubnetId)
		}
	}
	if strings.Join(got, " ") != "subnet-1 subnet-2 subnet-3" || pages != 3 {
		t.Errorf("%v in %d pages", got, pages)
	}
	tagPages := ec2.NewDescribeTagsPaginator(l.ec2, &ec2.DescribeTagsInput{})
	seen := 0
	for tagPages.HasMorePages() {
		out, err := tagPages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		seen += len(out.Tags)
	}
	if seen != 4 {
		t.Errorf("%d tags, want 4", seen)
	}
	first, err := l.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	if err != nil || first.NextToken != nil {
		t.Errorf("a last page with the token %v, %v", first.NextToken, err)
	}
	sub, _ := l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{})
	_, err = l.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{NextToken: sub.NextToken})
	wantCode(t, err, "InvalidPaginationToken")
	_, err = l.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{NextToken: sdk.String("~")})
	wantCode(t, err, "InvalidPaginationToken")
	_, err = l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{MaxResults: sdk.Int32(4)})
	wantCode(t, err, "InvalidParameterValue")
	_, err = l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{MaxResults: sdk.Int32(5), SubnetIds: []string{"subnet-1"}})
	wantCode(t, err, "InvalidParameterCombination")
	named, err := l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{"subnet-3", "subnet-1"}})
	if err != nil || len(named.Subnets) != 2 {
		t.Errorf("named subnets: %v, %v", named, err)
	}
}

func TestIDsThatAreNotThere(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	ask := map[string]func(id string) error{
		"InvalidSubnetID subnet- .Malformed": func(id string) error {
			_, err := l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{"subnet-1", id}})
			return err
		},
		"InvalidVpcID vpc- .Malformed": func(id string) error {
			_, err := l.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{id}})
			return err
		},
		"InvalidInstanceID i- .Malformed": func(id string) error {
			_, err := l.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
			return err
		},
		"InvalidGroup sg- InvalidGroupId.Malformed": func(id string) error {
			_, err := l.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{id}})
			return err
		},
		"InvalidNetworkInterfaceID eni- InvalidNetworkInterfaceId.Malformed": func(id string) error {
			_, err := l.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{id}})
			return err
		},
		"NatGatewayNotFound nat- NatGatewayMalformed": func(id string) error {
			_, err := l.ec2.DescribeNatGateways(ctx, &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{id}})
			return err
		},
	}
	for name, do := range ask {
		parts := strings.Fields(name)
		missing := parts[0]
		if !strings.HasSuffix(missing, "NotFound") {
			missing += ".NotFound"
		}
		malformed := parts[2]
		if malformed[0] == '.' {
			malformed = parts[0] + malformed
		}
		wantCode(t, do(parts[1]+"0123"), missing)
		wantCode(t, do("bogus"), malformed)
	}
}

func TestVPCAttribute(t *testing.T) {
	l := start(t, base, Options{})
	out, err := l.ec2.DescribeVpcAttribute(t.Context(), &ec2.DescribeVpcAttributeInput{VpcId: sdk.String("vpc-1"), Attribute: types.VpcAttributeNameEnableDnsSupport})
	if err != nil || out.EnableDnsSupport == nil || *out.EnableDnsSupport.Value {
		t.Errorf("DNS support as stated: %v, %v; want false", out, err)
	}
	out, err = l.ec2.DescribeVpcAttribute(t.Context(), &ec2.DescribeVpcAttributeInput{VpcId: sdk.String("vpc-1"), Attribute: types.VpcAttributeNameEnableDnsHostnames})
	if err != nil || out.EnableDnsHostnames == nil || !*out.EnableDnsHostnames.Value {
		t.Errorf("DNS host names by default: %v, %v; want true", out, err)
	}
	_, err = l.ec2.DescribeVpcAttribute(t.Context(), &ec2.DescribeVpcAttributeInput{VpcId: sdk.String("vpc-1"), Attribute: "enableMagic"})
	wantCode(t, err, "InvalidParameterValue")
}

// A parameter that this endpoint does not know changes what is asked: it must
// not be passed over.
func TestUnknownParameter(t *testing.T) {
	l := start(t, base, Options{})
	_, err := l.ec2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{IncludeManagedResources: sdk.Bool(true)})
	wantCode(t, err, "UnknownParameter")
	_, err = l.ec2.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{})
	wantCode(t, err, "InvalidAction")
}
