package apply

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/remedy"
)

// protocols are the numbers by which network ACLs know them.
var protocols = map[string]string{"tcp": "6", "udp": "17"}

// entryAt returns the rule of a network ACL with a number and a direction,
// nil when there is none.
func entryAt(ctx context.Context, c *ec2.Client, e remedy.ACLEntry) (*ec2types.NetworkAclEntry, error) {
	out, err := c.DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{NetworkAclIds: []string{e.ACL}})
	if err != nil {
		return nil, fmt.Errorf("describe network ACL %s: %w", e.ACL, err)
	}
	for _, acl := range out.NetworkAcls {
		for i := range acl.Entries {
			if o := &acl.Entries[i]; aws.ToInt32(o.RuleNumber) == e.Number && aws.ToBool(o.Egress) == e.Egress {
				return o, nil
			}
		}
	}
	return nil, nil
}

// isEntry reports whether a rule is the one that the bot would make.
func isEntry(o *ec2types.NetworkAclEntry, e remedy.ACLEntry) bool {
	ports := o.PortRange != nil && aws.ToInt32(o.PortRange.From) == e.FromPort && aws.ToInt32(o.PortRange.To) == e.ToPort
	return ports && o.RuleAction == ec2types.RuleActionAllow && aws.ToString(o.Protocol) == protocols[e.Protocol] &&
		aws.ToString(o.CidrBlock)+aws.ToString(o.Ipv6CidrBlock) == e.CIDR
}

func (w *Writer) createEntry(ctx context.Context, a remedy.CreateACLEntry, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	switch now, err := entryAt(ctx, c, a.ACLEntry); {
	case err != nil:
		return err
	case now != nil && isEntry(now, a.ACLEntry):
		r.Already = true
		return nil
	case now != nil:
		return conflict(a, fmt.Sprintf("so that rule %d is another one", a.Number))
	}
	in := &ec2.CreateNetworkAclEntryInput{
		NetworkAclId: &a.ACL, RuleNumber: &a.Number, Egress: &a.Egress, RuleAction: ec2types.RuleActionAllow,
		Protocol: aws.String(protocols[a.Protocol]), PortRange: &ec2types.PortRange{From: &a.FromPort, To: &a.ToPort}, DryRun: &dry,
	}
	if a.IsIPv6() {
		in.Ipv6CidrBlock = &a.CIDR
	} else {
		in.CidrBlock = &a.CIDR
	}
	_, err = c.CreateNetworkAclEntry(ctx, in)
	return dryOK(err, dry, r)
}

func (w *Writer) deleteEntry(ctx context.Context, a remedy.DeleteACLEntry, dry bool, r *Receipt) error {
	c, err := w.cloud(a)
	if err != nil {
		return err
	}
	switch now, err := entryAt(ctx, c, a.ACLEntry); {
	case err != nil:
		return err
	case now == nil:
		r.Already = true
		return nil
	case !isEntry(now, a.ACLEntry):
		return conflict(a, fmt.Sprintf("so that rule %d is another one", a.Number))
	}
	_, err = c.DeleteNetworkAclEntry(ctx, &ec2.DeleteNetworkAclEntryInput{NetworkAclId: &a.ACL, RuleNumber: &a.Number, Egress: &a.Egress, DryRun: &dry})
	return dryOK(err, dry, r)
}
