package aws

import (
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/route53resolver"
)

// names is a VPC with what names are resolved by.
const names = `Zones, rules, endpoints and an add-on.
base: none
-- eks/clusters.json --
clusters: [{name: shop, arn: "arn:aws:eks:eu-west-1:444455556666:cluster/shop"}]
-- eks/addons.json --
addons: [{addonName: coredns, clusterName: shop, status: ACTIVE, serviceAccountRoleArn: "arn:aws:iam::444455556666:role/dns", configurationValues: "{}"}]
-- ec2/vpcs.yaml --
Vpcs: [{VpcId: vpc-1, OwnerId: "444455556666", CidrBlock: 10.0.0.0/16}, {VpcId: vpc-2, OwnerId: "444455556666", CidrBlock: 10.2.0.0/16}]
-- ec2/vpc-endpoints.yaml --
VpcEndpoints:
- {VpcEndpointId: vpce-1, VpcId: vpc-1, VpcEndpointType: Interface, ServiceName: sqs, State: available, PrivateDnsEnabled: true}
- {VpcEndpointId: vpce-2, VpcId: vpc-1, VpcEndpointType: Interface, ServiceName: sqs, State: available, PrivateDnsEnabled: false}
- {VpcEndpointId: vpce-3, VpcId: vpc-1, VpcEndpointType: Gateway, ServiceName: s3, State: available}
-- route53/hosted-zones.yaml --
HostedZones:
- {Id: /hostedzone/ZPUB, Name: example.com., CallerReference: a, Config: {PrivateZone: false}}
- {Id: /hostedzone/ZONE, Name: in.example.com., CallerReference: b, Config: {PrivateZone: true}, VPCs: [{VPCId: vpc-1, VPCRegion: eu-west-1}]}
- {Id: /hostedzone/ZTWO, Name: in.example.com., CallerReference: c, Config: {PrivateZone: true}, VPCs: [{VPCId: vpc-2, VPCRegion: eu-west-1}]}
-- route53resolver/rules.yaml --
ResolverRules:
- {Id: rslvr-rr-1, DomainName: corp., RuleType: FORWARD, Status: COMPLETE}
- {Id: rslvr-rr-2, DomainName: corp., RuleType: FORWARD, Status: COMPLETE}
`

// What AWS refuses is refused, with its code.
func TestNameWritesRefused(t *testing.T) {
	l := start(t, names, Options{})
	ctx := t.Context()
	vpc := func(id string) *r53types.VPC {
		return &r53types.VPC{VPCId: &id, VPCRegion: "eu-west-1"}
	}
	associate := func(zone, id string) error {
		_, err := l.route53.AssociateVPCWithHostedZone(ctx, &route53.AssociateVPCWithHostedZoneInput{HostedZoneId: &zone, VPC: vpc(id)})
		return err
	}
	disassociate := func(zone, id string) error {
		_, err := l.route53.DisassociateVPCFromHostedZone(ctx, &route53.DisassociateVPCFromHostedZoneInput{HostedZoneId: &zone, VPC: vpc(id)})
		return err
	}
	follow := func(rule, id string) error {
		_, err := l.resolver.AssociateResolverRule(ctx, &route53resolver.AssociateResolverRuleInput{ResolverRuleId: &rule, VPCId: &id})
		return err
	}
	yes := &ec2types.AttributeBooleanValue{Value: sdk.Bool(true)}
	names := func(endpoint string) error {
		_, err := l.ec2.ModifyVpcEndpoint(ctx, &ec2.ModifyVpcEndpointInput{VpcEndpointId: &endpoint, PrivateDnsEnabled: sdk.Bool(true)})
		return err
	}
	wantCode(t, associate("ZPUB", "vpc-1"), "PublicZoneVPCAssociation")
	wantCode(t, associate("ZNONE", "vpc-1"), "NoSuchHostedZone")
	wantCode(t, associate("ZONE", "vpc-1"), "ConflictingDomainExists")
	wantCode(t, associate("ZTWO", "vpc-1"), "ConflictingDomainExists")
	wantCode(t, disassociate("ZONE", "vpc-1"), "LastVPCAssociation")
	wantCode(t, disassociate("ZONE", "vpc-2"), "VPCAssociationNotFound")
	wantCode(t, follow("rslvr-rr-9", "vpc-1"), "ResourceNotFoundException")
	wantCode(t, follow("rslvr-rr-1", "vpc-1"), "")
	wantCode(t, follow("rslvr-rr-2", "vpc-1"), "ResourceExistsException")
	wantCode(t, follow("rslvr-rr-2", "vpc-2"), "")
	_, err := l.resolver.DisassociateResolverRule(ctx, &route53resolver.DisassociateResolverRuleInput{ResolverRuleId: sdk.String("rslvr-rr-2"), VPCId: sdk.String("vpc-1")})
	wantCode(t, err, "ResourceNotFoundException")
	wantCode(t, names("vpce-2"), "InvalidParameter")
	wantCode(t, names("vpce-3"), "InvalidParameter")
	_, err = l.ec2.ModifyVpcAttribute(ctx, &ec2.ModifyVpcAttributeInput{VpcId: sdk.String("vpc-1"), EnableDnsSupport: yes, EnableDnsHostnames: yes})
	wantCode(t, err, "InvalidParameterCombination")
}

// An add-on that is updated without naming its role loses it, as at EKS.
func TestUpdateAddon(t *testing.T) {
	l := start(t, names, Options{})
	ctx := t.Context()
	shop, name := sdk.String("shop"), sdk.String("coredns")
	update := func(values string, how ekstypes.ResolveConflicts, role *string) error {
		_, err := l.eks.UpdateAddon(ctx, &eks.UpdateAddonInput{ClusterName: shop, AddonName: name, ConfigurationValues: &values, ResolveConflicts: how, ServiceAccountRoleArn: role})
		return err
	}
	wantCode(t, update("replicaCount", ekstypes.ResolveConflictsPreserve, nil), "InvalidParameterException")
	wantCode(t, update("{}", ekstypes.ResolveConflictsOverwrite, nil), "InvalidParameterException")
	for _, role := range []*string{sdk.String("arn:aws:iam::444455556666:role/dns"), nil} {
		wantCode(t, update(`{"replicaCount":3}`, ekstypes.ResolveConflictsPreserve, role), "")
		out, err := l.eks.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: shop, AddonName: name})
		if err != nil {
			t.Fatal(err)
		}
		if a := out.Addon; *a.ConfigurationValues != `{"replicaCount":3}` || sdk.ToString(a.ServiceAccountRoleArn) != sdk.ToString(role) {
			t.Errorf("add-on %+v", a)
		}
	}
}
