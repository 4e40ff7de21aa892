package apply

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/remedy"
)

func (w *Writer) cloud(a remedy.Action) (*ec2.Client, error) {
	if w.ec2 == nil {
		return nil, noCloud(a)
	}
	return w.ec2, nil
}

func noCloud(a remedy.Action) error {
	return fmt.Errorf("%s: %w: set AWS_REGION and credentials", a.Object(), ErrAway)
}

func permission(r remedy.Rule) []ec2types.IpPermission {
	p := ec2types.IpPermission{IpProtocol: &r.Protocol}
	if r.Protocol != "-1" {
		p.FromPort, p.ToPort = &r.FromPort, &r.ToPort
	}
	if r.FromGroup != "" {
		p.UserIdGroupPairs = []ec2types.UserIdGroupPair{{GroupId: &r.FromGroup}}
	} else {
		p.IpRanges = []ec2types.IpRange{{CidrIp: &r.FromCIDR}}
	}
	return []ec2types.IpPermission{p}
}

// managed marks what the bot makes in AWS, as remedy.ManagedBy does in
// Kubernetes.
func managed(t ec2types.ResourceType) []ec2types.TagSpecification {
	return []ec2types.TagSpecification{{ResourceType: t, Tags: []ec2types.Tag{{Key: aws.String("managed-by"), Value: aws.String("hopwise")}}}}
}

func (w *Writer) authorize(ctx context.Context, a remedy.AuthorizeIngress, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	out, err := c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &a.Group, IpPermissions: permission(a.Rule), DryRun: &dry,
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

func (w *Writer) revoke(ctx context.Context, a remedy.RevokeIngress, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	_, err = c.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &a.Group, IpPermissions: permission(a.Rule), DryRun: &dry})
	if code(err) == "InvalidPermission.NotFound" {
		r.Already = true
		return nil
	}
	return dryOK(err, dry, r)
}

// table reads one route table.
func (w *Writer) table(ctx context.Context, c *ec2.Client, id string) (*ec2types.RouteTable, error) {
	out, err := c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{id}})
	if err != nil {
		return nil, fmt.Errorf("describe route table %s: %w", id, err)
	}
	if len(out.RouteTables) == 0 {
		return nil, fmt.Errorf("route table %s is not there: %w", id, ErrConflict)
	}
	return &out.RouteTables[0], nil
}

// routeTo returns what a destination is routed to, "" when it is not.
func routeTo(t *ec2types.RouteTable, destination string) string {
	for _, r := range t.Routes {
		if aws.ToString(r.DestinationCidrBlock) == destination {
			for _, id := range []*string{r.NatGatewayId, r.GatewayId, r.TransitGatewayId, r.NetworkInterfaceId, r.VpcPeeringConnectionId} {
				if id != nil {
					return *id
				}
			}
			return "another target"
		}
	}
	return ""
}

func (w *Writer) createRoute(ctx context.Context, a remedy.CreateRoute, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	t, err := w.table(ctx, c, a.RouteTable)
	if err != nil {
		return err
	}
	if to := routeTo(t, a.Destination); to == a.NATGateway {
		r.Already = true
		return nil
	} else if to != "" {
		return conflict(a, a.Destination+" to "+to)
	}
	_, err = c.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: &a.RouteTable, DestinationCidrBlock: &a.Destination, NatGatewayId: &a.NATGateway, DryRun: &dry})
	return dryOK(err, dry, r)
}

func (w *Writer) deleteRoute(ctx context.Context, a remedy.DeleteRoute, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	t, err := w.table(ctx, c, a.RouteTable)
	if err != nil {
		return err
	}
	if to := routeTo(t, a.Destination); to == "" {
		r.Already = true
		return nil
	} else if to != a.NATGateway {
		return conflict(a, a.Destination+" to "+to)
	}
	_, err = c.DeleteRoute(ctx, &ec2.DeleteRouteInput{RouteTableId: &a.RouteTable, DestinationCidrBlock: &a.Destination, DryRun: &dry})
	return dryOK(err, dry, r)
}

// association returns the table that a subnet is associated with by itself,
// and the association's id; "" when it falls to the main table.
func association(ctx context.Context, c *ec2.Client, subnet string) (table, id string, err error) {
	out, err := c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{
		Filters: []ec2types.Filter{{Name: aws.String("association.subnet-id"), Values: []string{subnet}}},
	})
	if err != nil {
		return "", "", fmt.Errorf("describe the route table of %s: %w", subnet, err)
	}
	for _, t := range out.RouteTables {
		for _, as := range t.Associations {
			if aws.ToString(as.SubnetId) == subnet {
				return aws.ToString(t.RouteTableId), aws.ToString(as.RouteTableAssociationId), nil
			}
		}
	}
	return "", "", nil
}

func (w *Writer) associate(ctx context.Context, a remedy.AssociateRouteTable, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	switch table, _, err := association(ctx, c, a.Subnet); {
	case err != nil:
		return err
	case table == a.RouteTable:
		r.Already = true
		return nil
	case table != "":
		return conflict(a, "associated with "+table)
	}
	out, err := c.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: &a.RouteTable, SubnetId: &a.Subnet, DryRun: &dry})
	if err != nil {
		return dryOK(err, dry, r)
	}
	r.Detail = aws.ToString(out.AssociationId)
	return nil
}

func (w *Writer) disassociate(ctx context.Context, a remedy.DisassociateRouteTable, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	table, id, err := association(ctx, c, a.Subnet)
	switch {
	case err != nil:
		return err
	case table == "":
		r.Already = true
		return nil
	case table != a.RouteTable:
		return conflict(a, "associated with "+table)
	}
	_, err = c.DisassociateRouteTable(ctx, &ec2.DisassociateRouteTableInput{AssociationId: &id, DryRun: &dry})
	return dryOK(err, dry, r)
}

// tagOf returns the value of a tag, nil when the resource does not have it.
func tagOf(ctx context.Context, c *ec2.Client, resource, key string) (*string, error) {
	out, err := c.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: []ec2types.Filter{
		{Name: aws.String("resource-id"), Values: []string{resource}}, {Name: aws.String("key"), Values: []string{key}},
	}})
	if err != nil {
		return nil, fmt.Errorf("describe the tags of %s: %w", resource, err)
	}
	for _, t := range out.Tags {
		if aws.ToString(t.Key) == key && aws.ToString(t.ResourceId) == resource {
			return t.Value, nil
		}
	}
	return nil, nil
}

func (w *Writer) tag(ctx context.Context, a remedy.TagResource, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	now, err := tagOf(ctx, c, a.Resource, a.Key)
	switch {
	case err != nil:
		return err
	case now != nil && *now == a.Value:
		r.Already = true
		return nil
	case (now == nil) != (a.Before == nil), now != nil && *now != *a.Before:
		return conflict(a, "tagged "+a.Key+"="+aws.ToString(now))
	}
	_, err = c.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{a.Resource}, Tags: []ec2types.Tag{{Key: &a.Key, Value: &a.Value}}, DryRun: &dry})
	return dryOK(err, dry, r)
}

func (w *Writer) untag(ctx context.Context, a remedy.UntagResource, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	now, err := tagOf(ctx, c, a.Resource, a.Key)
	switch {
	case err != nil:
		return err
	case now == nil:
		r.Already = true
		return nil
	case *now != a.Value:
		return conflict(a, "tagged "+a.Key+"="+*now)
	}
	_, err = c.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{a.Resource}, Tags: []ec2types.Tag{{Key: &a.Key, Value: &a.Value}}, DryRun: &dry})
	return dryOK(err, dry, r)
}
