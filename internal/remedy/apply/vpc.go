package apply

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/remedy"
)

func egress(r remedy.EgressRule) []ec2types.IpPermission {
	p := ec2types.IpPermission{IpProtocol: &r.Protocol}
	if r.Protocol != "-1" {
		p.FromPort, p.ToPort = &r.FromPort, &r.ToPort
	}
	switch {
	case r.ToGroup != "":
		p.UserIdGroupPairs = []ec2types.UserIdGroupPair{{GroupId: &r.ToGroup}}
	case strings.Contains(r.ToCIDR, ":"):
		p.Ipv6Ranges = []ec2types.Ipv6Range{{CidrIpv6: &r.ToCIDR}}
	default:
		p.IpRanges = []ec2types.IpRange{{CidrIp: &r.ToCIDR}}
	}
	return []ec2types.IpPermission{p}
}

func (w *Writer) authorizeEgress(ctx context.Context, a remedy.AuthorizeEgress, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	out, err := c.AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{
		GroupId: &a.Group, IpPermissions: egress(a.EgressRule), DryRun: &dry,
		TagSpecifications: managed(ec2types.ResourceTypeSecurityGroupRule),
	})
	if code(err) == "InvalidPermission.Duplicate" {
		r.Already = true
		return nil
	}
	if err != nil {
		return dryOK(err, dry, r)
	}
	for _, rule := range out.SecurityGroupRules {
		r.Detail += aws.ToString(rule.SecurityGroupRuleId) + " "
	}
	return nil
}

func (w *Writer) revokeEgress(ctx context.Context, a remedy.RevokeEgress, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	out, err := c.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: &a.Group, IpPermissions: egress(a.EgressRule), DryRun: &dry})
	if code(err) == "InvalidPermission.NotFound" {
		r.Already = true
		return nil
	}
	if err != nil {
		return dryOK(err, dry, r)
	}
	for _, rule := range out.RevokedSecurityGroupRules {
		r.Detail += aws.ToString(rule.SecurityGroupRuleId) + " "
	}
	return nil
}

// setVPCAttribute changes one attribute: EC2 takes one a call, and has no dry
// run for it, so that a dry one only reads.
func (w *Writer) setVPCAttribute(ctx context.Context, a remedy.SetVPCAttribute, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	value := &ec2types.AttributeBooleanValue{Value: &a.To}
	change := &ec2.ModifyVpcAttributeInput{VpcId: &a.VPC}
	switch a.Attribute {
	case remedy.EnableDNSSupport:
		change.EnableDnsSupport = value
	case remedy.EnableDNSHostnames:
		change.EnableDnsHostnames = value
	default:
		return fmt.Errorf("the attribute %s of a VPC cannot be changed", a.Attribute)
	}
	out, err := c.DescribeVpcAttribute(ctx, &ec2.DescribeVpcAttributeInput{VpcId: &a.VPC, Attribute: ec2types.VpcAttributeName(a.Attribute)})
	if err != nil {
		return fmt.Errorf("describe %s of %s: %w", a.Attribute, a.VPC, err)
	}
	now := out.EnableDnsSupport
	if a.Attribute == remedy.EnableDNSHostnames {
		now = out.EnableDnsHostnames
	}
	if now != nil && aws.ToBool(now.Value) == a.To {
		r.Already = true
		return nil
	}
	r.Detail = fmt.Sprintf("%s: %t → %t", a.Attribute, !a.To, a.To)
	if dry {
		r.Detail += " (EC2 has no dry run for it: only the present value was read)"
		return nil
	}
	_, err = c.ModifyVpcAttribute(ctx, change)
	return err
}

func (w *Writer) setPrivateDNS(ctx context.Context, a remedy.ModifyVPCEndpointPrivateDNS, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	out, err := c.DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{a.Endpoint}})
	if err != nil {
		return fmt.Errorf("describe VPC endpoint %s: %w", a.Endpoint, err)
	}
	if len(out.VpcEndpoints) == 0 {
		return conflict(a, "gone")
	}
	if aws.ToBool(out.VpcEndpoints[0].PrivateDnsEnabled) == a.To {
		r.Already = true
		return nil
	}
	_, err = c.ModifyVpcEndpoint(ctx, &ec2.ModifyVpcEndpointInput{VpcEndpointId: &a.Endpoint, PrivateDnsEnabled: &a.To, DryRun: &dry})
	if err = dryOK(err, dry, r); err == nil && !dry {
		r.Detail = fmt.Sprintf("PrivateDnsEnabled: %t → %t", !a.To, a.To)
	}
	return err
}
