package aws

import (
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	arnPrefix = "arn:aws:elasticloadbalancing:eu-west-1:444455556666:"
	albARN    = arnPrefix + "loadbalancer/app/shop/1"
	webARN    = arnPrefix + "targetgroup/web/1"
	idleARN   = arnPrefix + "targetgroup/idle/2"
)

func TestLoadBalancers(t *testing.T) {
	l := start(t, base, Options{PageSize: 1})
	ctx := t.Context()
	var names []string
	for p := elb.NewDescribeLoadBalancersPaginator(l.elb, &elb.DescribeLoadBalancersInput{}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, lb := range out.LoadBalancers {
			names = append(names, *lb.LoadBalancerName)
		}
	}
	if !slices.Equal(names, []string{"shop", "edge"}) {
		t.Errorf("load balancers %v", names)
	}
	out, err := l.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{"edge"}})
	if err != nil || len(out.LoadBalancers) != 1 || *out.LoadBalancers[0].LoadBalancerName != "edge" {
		t.Errorf("by name: %v, %v", out, err)
	}
	_, err = l.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{"egde"}})
	wantCode(t, err, "LoadBalancerNotFound")
	_, err = l.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{"arn:none"}})
	wantCode(t, err, "LoadBalancerNotFound")
	_, err = l.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Marker: sdk.String("~")})
	wantCode(t, err, "ValidationError")
	ls, err := l.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: sdk.String(albARN)})
	if err != nil || len(ls.Listeners) != 1 {
		t.Fatalf("listeners %v, %v", ls, err)
	}
	rules, err := l.elb.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: ls.Listeners[0].ListenerArn})
	if err != nil || len(rules.Rules) != 1 {
		t.Errorf("rules %v, %v", rules, err)
	}
	attrs, err := l.elb.DescribeLoadBalancerAttributes(ctx, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: sdk.String(albARN)})
	if err != nil || !slices.ContainsFunc(attrs.Attributes, func(a elbtypes.LoadBalancerAttribute) bool {
		return *a.Key == "idle_timeout.timeout_seconds" && *a.Value == "60"
	}) {
		t.Errorf("attributes %v, %v", attrs, err)
	}
	tags, err := l.elb.DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: []string{albARN, webARN}})
	if err != nil || len(tags.TagDescriptions) != 2 || *tags.TagDescriptions[0].Tags[0].Value != "shop" || len(tags.TagDescriptions[1].Tags) != 0 {
		t.Errorf("tags %v, %v", tags, err)
	}
}

func TestTargetGroups(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	of, err := l.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{LoadBalancerArn: sdk.String(albARN)})
	if err != nil || len(of.TargetGroups) != 1 || *of.TargetGroups[0].TargetGroupName != "web" {
		t.Errorf("groups of the load balancer: %v, %v", of, err)
	}
	_, err = l.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{Names: []string{"none"}})
	wantCode(t, err, "TargetGroupNotFound")
	_, err = l.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: sdk.String("arn:none")})
	wantCode(t, err, "TargetGroupNotFound")
	idle, err := l.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: sdk.String(idleARN)})
	if err != nil || len(idle.TargetHealthDescriptions) != 0 {
		t.Errorf("a group without targets: %v, %v", idle, err)
	}
	some, err := l.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: sdk.String(webARN), Targets: []elbtypes.TargetDescription{{Id: sdk.String("10.0.0.11"), Port: sdk.Int32(8080)}, {Id: sdk.String("10.9.9.9")}}})
	if err != nil || some.TargetHealthDescriptions[0].TargetHealth.State != elbtypes.TargetHealthStateEnumUnhealthy || some.TargetHealthDescriptions[1].TargetHealth.State != elbtypes.TargetHealthStateEnumUnused {
		t.Errorf("named targets: %v, %v", some, err)
	}
	attrs, err := l.elb.DescribeTargetGroupAttributes(ctx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: sdk.String(webARN)})
	if err != nil || len(attrs.Attributes) != len(targetAttributes) {
		t.Errorf("attributes: %v, %v", attrs, err)
	}
}

func TestModifyTargetGroup(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	out, err := l.elb.ModifyTargetGroup(ctx, &elb.ModifyTargetGroupInput{TargetGroupArn: sdk.String(webARN), HealthCheckPath: sdk.String("/ready"), Matcher: &elbtypes.Matcher{HttpCode: sdk.String("200-399")}, HealthyThresholdCount: sdk.Int32(3)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{webARN}})
	if err != nil {
		t.Fatal(err)
	}
	tg := got.TargetGroups[0]
	if *tg.HealthCheckPath != "/ready" || *tg.Matcher.HttpCode != "200-399" || *tg.HealthyThresholdCount != 3 || *tg.HealthCheckIntervalSeconds != 15 {
		t.Errorf("after the change: %+v", tg)
	}
	if diff := sameDoc(out.TargetGroups[0], tg); diff != "" {
		t.Errorf("answered and described:\n%s", diff)
	}
	_, err = l.elb.ModifyTargetGroup(ctx, &elb.ModifyTargetGroupInput{TargetGroupArn: sdk.String(webARN), HealthCheckTimeoutSeconds: sdk.Int32(30)})
	wantCode(t, err, "ValidationError")
	_, err = l.elb.ModifyTargetGroup(ctx, &elb.ModifyTargetGroupInput{TargetGroupArn: sdk.String("arn:none")})
	wantCode(t, err, "TargetGroupNotFound")
}

func TestSTS(t *testing.T) {
	l := start(t, base, Options{})
	out, err := l.sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *out.Account != "444455556666" || !strings.HasPrefix(*out.Arn, "arn:aws:iam::444455556666:user/") {
		t.Errorf("identity %v, %v", out, err)
	}
}

func TestEKS(t *testing.T) {
	l := start(t, base, Options{PageSize: 1})
	ctx := t.Context()
	clusters, err := l.eks.ListClusters(ctx, &eks.ListClustersInput{})
	if err != nil || !slices.Equal(clusters.Clusters, []string{"shop"}) {
		t.Errorf("clusters %v, %v", clusters, err)
	}
	var addons []string
	for p := eks.NewListAddonsPaginator(l.eks, &eks.ListAddonsInput{ClusterName: sdk.String("shop")}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		addons = append(addons, out.Addons...)
	}
	if !slices.Equal(addons, []string{"coredns", "vpc-cni"}) {
		t.Errorf("addons %v", addons)
	}
	groups, err := l.eks.ListNodegroups(ctx, &eks.ListNodegroupsInput{ClusterName: sdk.String("shop")})
	if err != nil || len(groups.Nodegroups) != 0 {
		t.Errorf("node groups %v, %v", groups, err)
	}
	_, err = l.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: sdk.String("shpo")})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = l.eks.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: sdk.String("shop"), AddonName: sdk.String("none")})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = l.eks.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: sdk.String("shop"), NodegroupName: sdk.String("a/b c")})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = l.eks.ListIdentityProviderConfigs(ctx, &eks.ListIdentityProviderConfigsInput{ClusterName: sdk.String("shop")})
	wantCode(t, err, "UnknownOperationException")
}

func TestRoute53(t *testing.T) {
	l := start(t, base, Options{PageSize: 1})
	ctx := t.Context()
	var zones []string
	for p := route53.NewListHostedZonesPaginator(l.route53, &route53.ListHostedZonesInput{}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, *out.HostedZones[0].Name)
	}
	if !slices.Equal(zones, []string{"example.com.", "shop.internal."}) {
		t.Errorf("zones %v", zones)
	}
	public, err := l.route53.GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: sdk.String("Z1")})
	if err != nil || !slices.Equal(public.DelegationSet.NameServers, []string{"ns-1.example.net"}) {
		t.Errorf("public zone %v, %v", public, err)
	}
	private, err := l.route53.GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: sdk.String("/hostedzone/Z2")})
	if err != nil || len(private.VPCs) != 1 || *private.VPCs[0].VPCId != "vpc-1" {
		t.Errorf("private zone %v, %v", private, err)
	}
	_, err = l.route53.GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: sdk.String("Z9")})
	wantCode(t, err, "NoSuchHostedZone")
	by, err := l.route53.ListHostedZonesByVPC(ctx, &route53.ListHostedZonesByVPCInput{VPCId: sdk.String("vpc-1"), VPCRegion: r53types.VPCRegionEuWest1})
	if err != nil || len(by.HostedZoneSummaries) != 1 || *by.HostedZoneSummaries[0].HostedZoneId != "Z2" || *by.HostedZoneSummaries[0].Owner.OwningAccount != "444455556666" {
		t.Errorf("zones of the VPC %v, %v", by, err)
	}
	by, err = l.route53.ListHostedZonesByVPC(ctx, &route53.ListHostedZonesByVPCInput{VPCId: sdk.String("vpc-1"), VPCRegion: r53types.VPCRegionEuWest1, NextToken: by.NextToken})
	if err != nil || len(by.HostedZoneSummaries) != 1 || *by.HostedZoneSummaries[0].Owner.OwningService != "vpce.amazonaws.com" || by.NextToken != nil {
		t.Errorf("second page of the zones of the VPC %v, %v", by, err)
	}
	_, err = l.route53.ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: sdk.String("Z3")})
	wantCode(t, err, "AccessDenied")
}

// Records come in the order of their reversed names; a page may end between
// two of the same name and type.
func TestRecordSets(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	var got []string
	pages := 0
	in := &route53.ListResourceRecordSetsInput{HostedZoneId: sdk.String("Z1"), MaxItems: sdk.Int32(1)}
	for p := route53.NewListResourceRecordSetsPaginator(l.route53, in); p.HasMorePages() && pages < 10; pages++ {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, rs := range out.ResourceRecordSets {
			got = append(got, *rs.Name+" "+str(rs.SetIdentifier))
		}
	}
	if want := []string{"example.com. ", "a.shop.example.com. one", "a.shop.example.com. two", "www.example.com. "}; !slices.Equal(got, want) || pages != 4 {
		t.Errorf("records %q in %d pages, want %q", got, pages, want)
	}
	out, err := l.route53.ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: sdk.String("Z1"), StartRecordName: sdk.String("WWW.example.com")})
	if err != nil || len(out.ResourceRecordSets) != 1 {
		t.Errorf("from a name on: %v, %v", out, err)
	}
	_, err = l.route53.ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: sdk.String("Z1"), StartRecordType: r53types.RRTypeA})
	wantCode(t, err, "InvalidInput")
}
