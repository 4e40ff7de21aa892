package aws

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/route53resolver"
	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/facts"
)

// The SDK reads element names whatever their case, other clients do not. So
// every name that can be written is compared with the SDK's own source.
func TestWireNames(t *testing.T) {
	for _, s := range []struct {
		service string
		style   style
		types   []reflect.Type
	}{
		{"ec2", ec2Style, []reflect.Type{
			reflect.TypeFor[ec2types.Subnet](), reflect.TypeFor[ec2types.Vpc](), reflect.TypeFor[ec2types.RouteTable](), reflect.TypeFor[ec2types.SecurityGroup](),
			reflect.TypeFor[ec2types.SecurityGroupRule](), reflect.TypeFor[ec2types.NetworkInterface](), reflect.TypeFor[ec2types.NetworkAcl](),
			reflect.TypeFor[ec2types.NatGateway](), reflect.TypeFor[ec2types.VpcEndpoint](), reflect.TypeFor[ec2types.Reservation](),
			reflect.TypeFor[ec2types.InternetGateway](), reflect.TypeFor[ec2types.TagDescription](), reflect.TypeFor[ec2types.RevokedSecurityGroupRule](),
			reflect.TypeFor[ec2types.DhcpOptions](), reflect.TypeFor[ec2types.StaleSecurityGroup](),
			reflect.TypeFor[ec2types.RouteTableAssociationState](), reflect.TypeFor[ec2types.VpcCidrBlockAssociation](),
		}},
		{"elasticloadbalancingv2", queryStyle, []reflect.Type{
			reflect.TypeFor[elbtypes.LoadBalancer](), reflect.TypeFor[elbtypes.TargetGroup](), reflect.TypeFor[elbtypes.TargetHealthDescription](),
			reflect.TypeFor[elbtypes.Listener](), reflect.TypeFor[elbtypes.Rule](), reflect.TypeFor[elbtypes.TagDescription](), reflect.TypeFor[elbtypes.TargetGroupAttribute](),
		}},
		{"route53", route53Style, []reflect.Type{
			reflect.TypeFor[r53types.HostedZone](), reflect.TypeFor[r53types.HostedZoneSummary](), reflect.TypeFor[r53types.ResourceRecordSet](),
			reflect.TypeFor[r53types.VPC](), reflect.TypeFor[r53types.DelegationSet](),
		}},
	} {
		want, seen := sdkNames(t, s.service), map[reflect.Type]bool{}
		for _, typ := range s.types {
			reachable(typ, seen, func(owner reflect.Type, f reflect.StructField) {
				key := owner.Name() + "." + f.Name
				if got := s.style.name(owner, f.Name); got != want[key] {
					t.Errorf("%s %s is written as %q, the SDK reads %q", s.service, key, got, want[key])
				}
				if f.Type.Kind() == reflect.Slice && s.style.itemOf(want[key]) != want[key+"[]"] {
					t.Errorf("%s: items of %s are written as %q, the SDK reads %q", s.service, key, s.style.itemOf(want[key]), want[key+"[]"])
				}
			})
		}
		if len(seen) < len(s.types) {
			t.Errorf("%s: only %d types seen", s.service, len(seen))
		}
	}
}

// filled returns a T in which every field that the API can tell has a value,
// each another.
func filled[T any]() T {
	var v T
	n := 0
	fill(reflect.ValueOf(&v).Elem(), &n, "x")
	return v
}

func fill(v reflect.Value, n *int, name string) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n, name)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n, name)
		fill(v.Index(1), n, name)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{name: fmt.Sprint(*n), "Other Key": "Value"}))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 1, 0, 0, *n, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				fill(v.Field(i), n, f.Name)
			}
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("%s <&> %d ünï", name, *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	default:
		v.SetInt(int64(*n))
	}
}

// scenarioOf is a world with one object of a kind.
func scenarioOf(t *testing.T, kind facts.Kind, list string, v any) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{list: []any{v}})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("One object.\nbase: none\n-- %s.json --\n%s\n", kind, b)
}

// roundTrip serves one full object of T and compares what a client reads.
func roundTrip[T any](t *testing.T, kind facts.Kind, list string, adapt func(*T), read func(lab) ([]T, error)) {
	t.Run(string(kind), func(t *testing.T) {
		want := filled[T]()
		if adapt != nil {
			adapt(&want)
		}
		l := start(t, scenarioOf(t, kind, list, want), Options{})
		got, err := read(l)
		if err != nil {
			t.Fatal(err)
		}
		opt := cmp.Exporter(func(reflect.Type) bool { return true })
		if diff := cmp.Diff([]T{want}, got, opt); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	})
}

func TestRoundTripEC2(t *testing.T) {
	ctx := t.Context()
	roundTrip(t, "ec2/subnets", "Subnets", nil, func(l lab) ([]ec2types.Subnet, error) {
		out, err := l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{})
		if err != nil {
			return nil, err
		}
		return out.Subnets, nil
	})
	roundTrip(t, "ec2/vpcs", "Vpcs", nil, func(l lab) ([]ec2types.Vpc, error) {
		out, err := l.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
		if err != nil {
			return nil, err
		}
		return out.Vpcs, nil
	})
	roundTrip(t, "ec2/route-tables", "RouteTables", nil, func(l lab) ([]ec2types.RouteTable, error) {
		out, err := l.ec2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{})
		if err != nil {
			return nil, err
		}
		return out.RouteTables, nil
	})
	roundTrip(t, "ec2/security-groups", "SecurityGroups", nil, func(l lab) ([]ec2types.SecurityGroup, error) {
		out, err := l.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{})
		if err != nil {
			return nil, err
		}
		return out.SecurityGroups, nil
	})
	roundTrip(t, "ec2/network-interfaces", "NetworkInterfaces", nil, func(l lab) ([]ec2types.NetworkInterface, error) {
		out, err := l.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{})
		if err != nil {
			return nil, err
		}
		return out.NetworkInterfaces, nil
	})
	roundTrip(t, "ec2/network-acls", "NetworkAcls", nil, func(l lab) ([]ec2types.NetworkAcl, error) {
		out, err := l.ec2.DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{})
		if err != nil {
			return nil, err
		}
		return out.NetworkAcls, nil
	})
	roundTrip(t, "ec2/nat-gateways", "NatGateways", nil, func(l lab) ([]ec2types.NatGateway, error) {
		out, err := l.ec2.DescribeNatGateways(ctx, &ec2.DescribeNatGatewaysInput{})
		if err != nil {
			return nil, err
		}
		return out.NatGateways, nil
	})
	roundTrip(t, "ec2/vpc-endpoints", "VpcEndpoints", nil, func(l lab) ([]ec2types.VpcEndpoint, error) {
		out, err := l.ec2.DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{})
		if err != nil {
			return nil, err
		}
		return out.VpcEndpoints, nil
	})
	roundTrip(t, "ec2/internet-gateways", "InternetGateways", nil, func(l lab) ([]ec2types.InternetGateway, error) {
		out, err := l.ec2.DescribeInternetGateways(ctx, &ec2.DescribeInternetGatewaysInput{})
		if err != nil {
			return nil, err
		}
		return out.InternetGateways, nil
	})
	roundTrip(t, "ec2/dhcp-options", "DhcpOptions", nil, func(l lab) ([]ec2types.DhcpOptions, error) {
		out, err := l.ec2.DescribeDhcpOptions(ctx, &ec2.DescribeDhcpOptionsInput{})
		if err != nil {
			return nil, err
		}
		return out.DhcpOptions, nil
	})
	roundTrip(t, "ec2/instances", "Instances", nil, func(l lab) ([]ec2types.Instance, error) {
		out, err := l.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{})
		if err != nil {
			return nil, err
		}
		return out.Reservations[0].Instances, nil
	})
}

func TestRoundTripELB(t *testing.T) {
	ctx := t.Context()
	roundTrip(t, "elbv2/load-balancers", "LoadBalancers", nil, func(l lab) ([]elbtypes.LoadBalancer, error) {
		out, err := l.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{})
		if err != nil {
			return nil, err
		}
		return out.LoadBalancers, nil
	})
	roundTrip(t, "elbv2/target-groups", "TargetGroups", nil, func(l lab) ([]elbtypes.TargetGroup, error) {
		out, err := l.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{})
		if err != nil {
			return nil, err
		}
		return out.TargetGroups, nil
	})
	roundTrip(t, "elbv2/listeners", "Listeners", func(l *elbtypes.Listener) { l.ListenerArn = sdk.String("arn:l") }, func(l lab) ([]elbtypes.Listener, error) {
		out, err := l.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{ListenerArns: []string{"arn:l"}})
		if err != nil {
			return nil, err
		}
		return out.Listeners, nil
	})
	roundTrip(t, "elbv2/rules", "Rules", func(r *elbtypes.Rule) { r.RuleArn = sdk.String("arn:r") }, func(l lab) ([]elbtypes.Rule, error) {
		out, err := l.elb.DescribeRules(ctx, &elb.DescribeRulesInput{RuleArns: []string{"arn:r"}})
		if err != nil {
			return nil, err
		}
		return out.Rules, nil
	})
}

// Target health needs its group beside it.
func TestRoundTripTargetHealth(t *testing.T) {
	want := filled[facts.TargetHealth]()
	want.TargetGroupArn = "arn:tg"
	scenario := scenarioOf(t, "elbv2/target-health", "TargetHealth", want) + "-- elbv2/target-groups.json --\nTargetGroups: [{TargetGroupArn: arn:tg}]\n"
	l := start(t, scenario, Options{})
	out, err := l.elb.DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &want.TargetGroupArn})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.TargetHealthDescriptions, out.TargetHealthDescriptions, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestRoundTripEKS(t *testing.T) {
	cluster, addon := filled[ekstypes.Cluster](), filled[ekstypes.Addon]()
	cluster.Name, addon.ClusterName, addon.AddonName = sdk.String("shop"), sdk.String("shop"), sdk.String("coredns")
	scenario := "An addon.\nbase: none\n"
	for file, doc := range map[string]any{"eks/clusters": answer{{"clusters", []any{cluster}}}, "eks/addons": answer{{"addons", []any{addon}}}} {
		cli := eksStyle // the CLI writes EKS's own names, with times as text
		cli.time = millis
		b, err := json.Marshal(plain(cli, doc))
		if err != nil {
			t.Fatal(err)
		}
		scenario += fmt.Sprintf("-- %s.json --\n%s\n", file, b)
	}
	l := start(t, scenario, Options{})
	gotCluster, err := l.eks.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: sdk.String("shop")})
	if err != nil {
		t.Fatal(err)
	}
	opt := cmp.Exporter(func(reflect.Type) bool { return true })
	if diff := cmp.Diff(cluster, *gotCluster.Cluster, opt); diff != "" {
		t.Errorf("cluster read back (-want +got):\n%s", diff)
	}
	gotAddon, err := l.eks.DescribeAddon(t.Context(), &eks.DescribeAddonInput{ClusterName: sdk.String("shop"), AddonName: sdk.String("coredns")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(addon, *gotAddon.Addon, opt); diff != "" {
		t.Errorf("addon read back (-want +got):\n%s", diff)
	}
}

func TestRoundTripJSON(t *testing.T) {
	ctx := t.Context()
	roundTrip(t, "route53resolver/rules", "ResolverRules", nil, func(l lab) ([]resolvertypes.ResolverRule, error) {
		out, err := l.resolver.ListResolverRules(ctx, &route53resolver.ListResolverRulesInput{})
		if err != nil {
			return nil, err
		}
		return out.ResolverRules, nil
	})
	roundTrip(t, "route53resolver/endpoints", "ResolverEndpoints", nil, func(l lab) ([]resolvertypes.ResolverEndpoint, error) {
		out, err := l.resolver.ListResolverEndpoints(ctx, &route53resolver.ListResolverEndpointsInput{})
		if err != nil {
			return nil, err
		}
		return out.ResolverEndpoints, nil
	})
	roundTrip(t, "route53resolver/firewall-rule-groups", "FirewallRuleGroups", nil, func(l lab) ([]resolvertypes.FirewallRuleGroupAssociation, error) {
		out, err := l.resolver.ListFirewallRuleGroupAssociations(ctx, &route53resolver.ListFirewallRuleGroupAssociationsInput{})
		if err != nil {
			return nil, err
		}
		return out.FirewallRuleGroupAssociations, nil
	})
	roundTrip(t, "servicequotas/quotas", "Quotas", nil, func(l lab) ([]quotatypes.ServiceQuota, error) {
		q := filled[quotatypes.ServiceQuota]()
		out, err := l.quotas.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: q.ServiceCode, QuotaCode: q.QuotaCode})
		if err != nil {
			return nil, err
		}
		return []quotatypes.ServiceQuota{*out.Quota}, nil
	})
}

func TestRoundTripRoute53(t *testing.T) {
	ctx := t.Context()
	roundTrip(t, "route53/hosted-zones", "HostedZones", nil, func(l lab) ([]r53types.HostedZone, error) {
		out, err := l.route53.ListHostedZones(ctx, &route53.ListHostedZonesInput{})
		if err != nil {
			return nil, err
		}
		return out.HostedZones, nil
	})
	want := filled[r53types.ResourceRecordSet]()
	scenario := scenarioOf(t, "route53/record-sets", "RecordSets", map[string]any{"HostedZoneId": "Z1", "ResourceRecordSets": []any{want}}) +
		"-- route53/hosted-zones.json --\nHostedZones: [{Id: /hostedzone/Z1, Name: example.com.}]\n"
	l := start(t, scenario, Options{})
	out, err := l.route53.ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: sdk.String("Z1")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]r53types.ResourceRecordSet{want}, out.ResourceRecordSets, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Errorf("records read back (-want +got):\n%s", diff)
	}
}
