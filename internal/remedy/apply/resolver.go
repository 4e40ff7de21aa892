package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/route53resolver"
	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"

	"github.com/hopwise/hopwise/internal/remedy"
)

// sees reports whether a VPC sees a hosted zone, if the zone is the one that
// was meant.
func (w *Writer) sees(ctx context.Context, a remedy.Action, z remedy.ZoneVPC) (bool, error) {
	if w.route53 == nil {
		return false, noCloud(a)
	}
	out, err := w.route53.GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: &z.Zone})
	if err != nil {
		return false, fmt.Errorf("read hosted zone %s: %w", z.Zone, err)
	}
	if name := aws.ToString(out.HostedZone.Name); !strings.EqualFold(strings.TrimSuffix(name, "."), strings.TrimSuffix(z.Name, ".")) {
		return false, conflict(a, "the zone of "+name)
	}
	return slices.ContainsFunc(out.VPCs, func(v r53types.VPC) bool { return aws.ToString(v.VPCId) == z.VPC }), nil
}

// noDryRun is what a dry run of a change says whose service has none.
const noDryRun = "Route 53 has no dry run: only the present state was read"

func (w *Writer) associateZone(ctx context.Context, a remedy.AssociateVPCWithZone, dry bool, r *Receipt) error {
	switch seen, err := w.sees(ctx, a, a.ZoneVPC); {
	case err != nil:
		return err
	case seen:
		r.Already = true
		return nil
	case dry:
		r.Detail = noDryRun
		return nil
	}
	out, err := w.route53.AssociateVPCWithHostedZone(ctx, &route53.AssociateVPCWithHostedZoneInput{
		HostedZoneId: &a.Zone, VPC: &r53types.VPC{VPCId: &a.VPC, VPCRegion: r53types.VPCRegion(a.Region)},
	})
	if code(err) == "ConflictingDomainExists" {
		return fmt.Errorf("the VPC sees another zone of the name %s; disassociate that one first", a.Name)
	}
	if err != nil {
		return err
	}
	r.Detail = "Route 53 change " + aws.ToString(out.ChangeInfo.Id)
	return nil
}

func (w *Writer) disassociateZone(ctx context.Context, a remedy.DisassociateVPCFromZone, dry bool, r *Receipt) error {
	switch seen, err := w.sees(ctx, a, a.ZoneVPC); {
	case err != nil:
		return err
	case !seen:
		r.Already = true
		return nil
	case dry:
		r.Detail = noDryRun
		return nil
	}
	out, err := w.route53.DisassociateVPCFromHostedZone(ctx, &route53.DisassociateVPCFromHostedZoneInput{
		HostedZoneId: &a.Zone, VPC: &r53types.VPC{VPCId: &a.VPC, VPCRegion: r53types.VPCRegion(a.Region)},
	})
	if code(err) == "LastVPCAssociation" {
		return errors.New("the VPC is the last one that sees the zone, and a private zone must have one; associate another VPC first")
	}
	if err != nil {
		return err
	}
	r.Detail = "Route 53 change " + aws.ToString(out.ChangeInfo.Id)
	return nil
}

// follows reports whether a VPC follows a Resolver rule. An association that
// is being taken away counts no more.
func (w *Writer) follows(ctx context.Context, a remedy.Action, rule remedy.RuleVPC) (bool, error) {
	if w.resolver == nil {
		return false, noCloud(a)
	}
	out, err := w.resolver.ListResolverRuleAssociations(ctx, &route53resolver.ListResolverRuleAssociationsInput{Filters: []resolvertypes.Filter{
		{Name: aws.String("ResolverRuleId"), Values: []string{rule.Rule}}, {Name: aws.String("VPCId"), Values: []string{rule.VPC}},
	}})
	if err != nil {
		return false, fmt.Errorf("read who follows the Resolver rule %s: %w", rule.Rule, err)
	}
	return slices.ContainsFunc(out.ResolverRuleAssociations, func(o resolvertypes.ResolverRuleAssociation) bool {
		return aws.ToString(o.ResolverRuleId) == rule.Rule && aws.ToString(o.VPCId) == rule.VPC && o.Status != resolvertypes.ResolverRuleAssociationStatusDeleting
	}), nil
}

func (w *Writer) associateRule(ctx context.Context, a remedy.AssociateResolverRule, dry bool, r *Receipt) error {
	switch there, err := w.follows(ctx, a, a.RuleVPC); {
	case err != nil:
		return err
	case there:
		r.Already = true
		return nil
	case dry:
		r.Detail = noDryRun
		return nil
	}
	out, err := w.resolver.AssociateResolverRule(ctx, &route53resolver.AssociateResolverRuleInput{ResolverRuleId: &a.Rule, VPCId: &a.VPC})
	switch code(err) {
	case "ResourceExistsException":
		return errors.New("the VPC follows another rule for the same domain; disassociate that one first")
	case "ResourceUnavailableException":
		return conflict(a, "being changed by somebody else")
	}
	if err != nil {
		return err
	}
	r.Detail = "association " + aws.ToString(out.ResolverRuleAssociation.Id)
	return nil
}

func (w *Writer) disassociateRule(ctx context.Context, a remedy.DisassociateResolverRule, dry bool, r *Receipt) error {
	switch there, err := w.follows(ctx, a, a.RuleVPC); {
	case err != nil:
		return err
	case !there:
		r.Already = true
		return nil
	case dry:
		r.Detail = noDryRun
		return nil
	}
	out, err := w.resolver.DisassociateResolverRule(ctx, &route53resolver.DisassociateResolverRuleInput{ResolverRuleId: &a.Rule, VPCId: &a.VPC})
	if err != nil {
		return err
	}
	r.Detail = "association " + aws.ToString(out.ResolverRuleAssociation.Id)
	return nil
}
