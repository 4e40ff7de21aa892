package aws

import (
	"slices"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/route53resolver"
	"github.com/aws/aws-sdk-go-v2/service/route53resolver/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
)

func TestResolverRules(t *testing.T) {
	l := start(t, base, Options{PageSize: 1})
	ctx := t.Context()
	var rules []string
	for p := route53resolver.NewListResolverRulesPaginator(l.resolver, &route53resolver.ListResolverRulesInput{}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.ResolverRules {
			rules = append(rules, *r.DomainName)
		}
	}
	if !slices.Equal(rules, []string{"corp.example.", "lab.example."}) {
		t.Errorf("rules %v", rules)
	}
	in := &route53resolver.ListResolverRuleAssociationsInput{Filters: []types.Filter{{Name: sdk.String("VPCId"), Values: []string{"vpc-1", "vpc-2"}}}}
	follow, err := l.resolver.ListResolverRuleAssociations(ctx, in)
	if err != nil || len(follow.ResolverRuleAssociations) != 1 || *follow.ResolverRuleAssociations[0].ResolverRuleId != "rslvr-rr-1" || follow.NextToken != nil {
		t.Errorf("rules of the VPC: %+v, %v", follow, err)
	}
	in.Filters[0].Name = sdk.String("vpc-id")
	_, err = l.resolver.ListResolverRuleAssociations(ctx, in)
	wantCode(t, err, "InvalidParameterException")
	_, err = l.resolver.ListResolverRules(ctx, &route53resolver.ListResolverRulesInput{NextToken: sdk.String("~")})
	wantCode(t, err, "InvalidNextTokenException")
	_, err = l.resolver.ListResolverRules(ctx, &route53resolver.ListResolverRulesInput{MaxResults: sdk.Int32(101)})
	wantCode(t, err, "InvalidParameterException")
	one, err := l.resolver.GetResolverRule(ctx, &route53resolver.GetResolverRuleInput{ResolverRuleId: sdk.String("rslvr-rr-1")})
	if err != nil || *one.ResolverRule.TargetIps[0].Port != 53 {
		t.Errorf("rule %+v, %v", one, err)
	}
	_, err = l.resolver.GetResolverRule(ctx, &route53resolver.GetResolverRuleInput{ResolverRuleId: sdk.String("rslvr-rr-9")})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = l.resolver.ListResolverQueryLogConfigs(ctx, &route53resolver.ListResolverQueryLogConfigsInput{})
	wantCode(t, err, "UnknownOperationException")
}

func TestResolverEndpoints(t *testing.T) {
	l := start(t, base, Options{PageSize: 1})
	ctx := t.Context()
	in := &route53resolver.ListResolverEndpointsInput{Filters: []types.Filter{{Name: sdk.String("HostVPCId"), Values: []string{"vpc-1"}}, {Name: sdk.String("SecurityGroupIds"), Values: []string{"sg-2"}}}}
	out, err := l.resolver.ListResolverEndpoints(ctx, in)
	if err != nil || len(out.ResolverEndpoints) != 1 || *out.ResolverEndpoints[0].Id != "rslvr-out-1" || len(out.ResolverEndpoints[0].SecurityGroupIds) != 2 {
		t.Fatalf("endpoints of the VPC: %+v, %v", out, err)
	}
	var ips []string
	for p := route53resolver.NewListResolverEndpointIpAddressesPaginator(l.resolver, &route53resolver.ListResolverEndpointIpAddressesInput{ResolverEndpointId: sdk.String("rslvr-out-1")}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range out.IpAddresses {
			ips = append(ips, *a.Ip)
		}
	}
	if !slices.Equal(ips, []string{"10.0.0.20", "10.0.1.20"}) {
		t.Errorf("addresses %v", ips)
	}
	_, err = l.resolver.ListResolverEndpointIpAddresses(ctx, &route53resolver.ListResolverEndpointIpAddressesInput{ResolverEndpointId: sdk.String("rslvr-out-9")})
	wantCode(t, err, "ResourceNotFoundException")
	e, err := l.resolver.GetResolverEndpoint(ctx, &route53resolver.GetResolverEndpointInput{ResolverEndpointId: sdk.String("rslvr-in-2")})
	if err != nil || e.ResolverEndpoint.Direction != types.ResolverEndpointDirectionInbound {
		t.Errorf("endpoint %+v, %v", e, err)
	}
}

func TestFirewall(t *testing.T) {
	l := start(t, base, Options{PageSize: 1})
	ctx := t.Context()
	groups, err := l.resolver.ListFirewallRuleGroupAssociations(ctx, &route53resolver.ListFirewallRuleGroupAssociationsInput{VpcId: sdk.String("vpc-1"), Priority: sdk.Int32(101)})
	if err != nil || len(groups.FirewallRuleGroupAssociations) != 1 || *groups.FirewallRuleGroupAssociations[0].FirewallRuleGroupId != "rslvr-frg-1" {
		t.Fatalf("groups of the VPC: %+v, %v", groups, err)
	}
	var rules []string
	for p := route53resolver.NewListFirewallRulesPaginator(l.resolver, &route53resolver.ListFirewallRulesInput{FirewallRuleGroupId: sdk.String("rslvr-frg-1")}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.FirewallRules {
			rules = append(rules, *r.Name+" "+string(r.Action))
		}
	}
	if want := []string{"malware ALERT", "block BLOCK"}; !slices.Equal(rules, want) {
		t.Errorf("rules %v, want %v", rules, want)
	}
	_, err = l.resolver.ListFirewallRules(ctx, &route53resolver.ListFirewallRulesInput{FirewallRuleGroupId: sdk.String("none")})
	wantCode(t, err, "ResourceNotFoundException")
	config, err := l.resolver.GetFirewallConfig(ctx, &route53resolver.GetFirewallConfigInput{ResourceId: sdk.String("vpc-1")})
	if err != nil || config.FirewallConfig.FirewallFailOpen != types.FirewallFailOpenStatusEnabled {
		t.Errorf("configuration %+v, %v", config, err)
	}
	_, err = l.resolver.GetFirewallConfig(ctx, &route53resolver.GetFirewallConfigInput{ResourceId: sdk.String("vpc-7")})
	wantCode(t, err, "ResourceNotFoundException")
}

func TestDomainLists(t *testing.T) {
	l := start(t, base, Options{PageSize: 1})
	ctx := t.Context()
	var owners []string
	for p := route53resolver.NewListFirewallDomainListsPaginator(l.resolver, &route53resolver.ListFirewallDomainListsInput{}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range out.FirewallDomainLists {
			owners = append(owners, *d.Id+" "+str(d.ManagedOwnerName))
		}
	}
	if want := []string{"rslvr-fdl-1 ", "rslvr-fdl-aws " + managedBy}; !slices.Equal(owners, want) {
		t.Errorf("lists %q, want %q", owners, want)
	}
	var domains []string
	for p := route53resolver.NewListFirewallDomainsPaginator(l.resolver, &route53resolver.ListFirewallDomainsInput{FirewallDomainListId: sdk.String("rslvr-fdl-1")}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		domains = append(domains, out.Domains...)
	}
	if !slices.Equal(domains, []string{"bad.example.", "worse.example."}) {
		t.Errorf("domains %v", domains)
	}
	_, err := l.resolver.ListFirewallDomains(ctx, &route53resolver.ListFirewallDomainsInput{FirewallDomainListId: sdk.String("rslvr-fdl-aws")})
	wantCode(t, err, "AccessDeniedException")
	list, err := l.resolver.GetFirewallDomainList(ctx, &route53resolver.GetFirewallDomainListInput{FirewallDomainListId: sdk.String("rslvr-fdl-aws")})
	if err != nil || str(list.FirewallDomainList.ManagedOwnerName) != managedBy {
		t.Errorf("list of AWS: %+v, %v", list, err)
	}
	_, err = l.resolver.GetFirewallDomainList(ctx, &route53resolver.GetFirewallDomainListInput{FirewallDomainListId: sdk.String("none")})
	wantCode(t, err, "ResourceNotFoundException")
}

func TestServiceQuotas(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	get := func(code string) (*servicequotas.GetServiceQuotaOutput, error) {
		return l.quotas.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: sdk.String("vpc"), QuotaCode: &code})
	}
	preset := func(code string) (*servicequotas.GetAWSDefaultServiceQuotaOutput, error) {
		return l.quotas.GetAWSDefaultServiceQuota(ctx, &servicequotas.GetAWSDefaultServiceQuotaInput{ServiceCode: sdk.String("vpc"), QuotaCode: &code})
	}
	if out, err := get("L-0EA8095F"); err != nil || *out.Quota.Value != 120 || !out.Quota.Adjustable {
		t.Errorf("applied: %+v, %v", out, err)
	}
	if out, err := preset("L-0EA8095F"); err != nil || *out.Quota.Value != 60 {
		t.Errorf("default: %+v, %v", out, err)
	}
	_, err := get("L-2AFB9258")
	wantCode(t, err, (&quotatypes.NoSuchResourceException{}).ErrorCode())
	_, err = preset("L-00000000")
	wantCode(t, err, "NoSuchResourceException")
	_, err = l.quotas.ListServices(ctx, &servicequotas.ListServicesInput{})
	wantCode(t, err, "UnknownOperationException")
}

func TestFargateProfiles(t *testing.T) {
	l := start(t, base, Options{PageSize: 1})
	ctx := t.Context()
	var names []string
	for p := eks.NewListFargateProfilesPaginator(l.eks, &eks.ListFargateProfilesInput{ClusterName: sdk.String("shop")}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, out.FargateProfileNames...)
	}
	if !slices.Equal(names, []string{"batch", "system"}) {
		t.Errorf("profiles %v", names)
	}
	out, err := l.eks.DescribeFargateProfile(ctx, &eks.DescribeFargateProfileInput{ClusterName: sdk.String("shop"), FargateProfileName: sdk.String("batch")})
	if err != nil || out.FargateProfile.Selectors[0].Labels["size"] != "small" || out.FargateProfile.Status != ekstypes.FargateProfileStatusActive {
		t.Errorf("profile %+v, %v", out, err)
	}
	_, err = l.eks.DescribeFargateProfile(ctx, &eks.DescribeFargateProfileInput{ClusterName: sdk.String("shop"), FargateProfileName: sdk.String("none")})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = l.eks.ListFargateProfiles(ctx, &eks.ListFargateProfilesInput{ClusterName: sdk.String("none")})
	wantCode(t, err, "ResourceNotFoundException")
}

func TestDHCPOptionsAndStaleGroups(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	sets, err := l.ec2.DescribeDhcpOptions(ctx, &ec2.DescribeDhcpOptionsInput{Filters: []ec2types.Filter{{Name: sdk.String("key"), Values: []string{"domain-name-servers"}}}})
	if err != nil || len(sets.DhcpOptions) != 1 || *sets.DhcpOptions[0].DhcpConfigurations[0].Values[1].Value != "AmazonProvidedDNS" {
		t.Errorf("sets %+v, %v", sets, err)
	}
	_, err = l.ec2.DescribeDhcpOptions(ctx, &ec2.DescribeDhcpOptionsInput{DhcpOptionsIds: []string{"dopt-9"}})
	wantCode(t, err, "InvalidDhcpOptionID.NotFound")
	stale, err := l.ec2.DescribeStaleSecurityGroups(ctx, &ec2.DescribeStaleSecurityGroupsInput{VpcId: sdk.String("vpc-1")})
	if err != nil || len(stale.StaleSecurityGroupSet) != 1 || *stale.StaleSecurityGroupSet[0].StaleIpPermissions[0].UserIdGroupPairs[0].PeeringStatus != "deleted" {
		t.Errorf("stale groups %+v, %v", stale, err)
	}
	_, err = l.ec2.DescribeStaleSecurityGroups(ctx, &ec2.DescribeStaleSecurityGroupsInput{VpcId: sdk.String("vpc-9")})
	wantCode(t, err, "InvalidVpcID.NotFound")
}
