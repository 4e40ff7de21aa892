package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/facts"
)

// Route 53 answers five requests a second, for the whole account: external-dns
// and cert-manager have their part of them too. So records are read of a few
// zones, of which two at a time.
const (
	zonesRead   = 12
	zonesAtOnce = 2
	recordPage  = 300 // the most that the API gives
	pagesRead   = 10  // of one zone
)

// dns reads the kinds of Route 53 and its Resolver.
func (a *awsReader) dns(ctx context.Context, n facts.Need, one *once) (any, error) {
	switch n.Kind() {
	case facts.HostedZones.Kind():
		return a.hostedZones(ctx, one)
	case facts.Records.Kind():
		return a.records(ctx, one)
	case facts.ResolverRules.Kind():
		return a.resolverRules(ctx, one)
	case facts.ResolverRuleAssociations.Kind():
		return a.ruleAssociations(ctx, one)
	case facts.ResolverEndpoints.Kind():
		return a.resolverEndpoints(ctx, one)
	case facts.FirewallRuleGroups.Kind():
		return a.firewallGroups(ctx, one)
	}
	return nil, fmt.Errorf("no reader for %s", n.Kind())
}

// hostedZones reads the zones of the account, and which zones, whose ever,
// answer in the cluster's VPC.
func (a *awsReader) hostedZones(ctx context.Context, one *once) ([]facts.HostedZone, error) {
	return do(one, "zones", func() ([]facts.HostedZone, error) {
		var (
			own  []r53types.HostedZone
			here []r53types.HostedZoneSummary
			vpc  string
		)
		err := parallel(2, func(i int) (err error) {
			if i == 0 {
				p := route53.NewListHostedZonesPaginator(a.route53, &route53.ListHostedZonesInput{})
				own, err = all(ctx, p.HasMorePages, p.NextPage, func(o *route53.ListHostedZonesOutput) []r53types.HostedZone { return o.HostedZones })
				return err
			}
			if vpc, err = a.vpc(ctx, one); err != nil {
				return err
			}
			here, err = a.zonesByVPC(ctx, vpc)
			return depends("route53:ListHostedZonesByVPC", err)
		})
		if err != nil {
			return nil, err
		}
		return mergeZones(own, here, r53types.VPC{VPCId: &vpc, VPCRegion: r53types.VPCRegion(a.region)}), nil
	})
}

// zonesByVPC reads the private zones that answer in a VPC; the SDK has no
// paginator for them.
func (a *awsReader) zonesByVPC(ctx context.Context, vpc string) ([]r53types.HostedZoneSummary, error) {
	var list []r53types.HostedZoneSummary
	in := &route53.ListHostedZonesByVPCInput{VPCId: &vpc, VPCRegion: r53types.VPCRegion(a.region)}
	for {
		out, err := a.route53.ListHostedZonesByVPC(ctx, in)
		if err != nil {
			return nil, err
		}
		list = append(list, out.HostedZoneSummaries...)
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return list, nil
		}
	}
}

// mergeZones notes the VPC in the account's zones that answer there, and adds
// those of others, of which only name and owner are known. They come by id.
func mergeZones(own []r53types.HostedZone, here []r53types.HostedZoneSummary, vpc r53types.VPC) []facts.HostedZone {
	zones := make([]facts.HostedZone, 0, len(own)+len(here))
	for _, z := range own {
		zones = append(zones, facts.HostedZone{HostedZone: z})
	}
	for _, s := range here {
		id := "/hostedzone/" + bareZone(s.HostedZoneId)
		i := slices.IndexFunc(zones, func(z facts.HostedZone) bool { return aws.ToString(z.Id) == id })
		if i < 0 {
			i = len(zones)
			foreign := r53types.HostedZone{Id: &id, Name: s.Name, Config: &r53types.HostedZoneConfig{PrivateZone: true}}
			zones = append(zones, facts.HostedZone{HostedZone: foreign, Owner: s.Owner})
		}
		zones[i].VPCs = []r53types.VPC{vpc}
	}
	slices.SortStableFunc(zones, func(a, b facts.HostedZone) int { return cmp.Compare(aws.ToString(a.Id), aws.ToString(b.Id)) })
	return zones
}

// bareZone is a zone's id without the "/hostedzone/" that some answers have.
func bareZone(id *string) string { return strings.TrimPrefix(aws.ToString(id), "/hostedzone/") }

// records reads the record sets of the zones that matter most. What does not
// come in time, or is throttled to the end, is left out as the rest of a large
// account is, unless that is so of all.
func (a *awsReader) records(ctx context.Context, one *once) ([]facts.RecordSets, error) {
	zones, err := a.hostedZones(ctx, one)
	if err != nil {
		return nil, depends("route53:ListHostedZones", err)
	}
	ctx, cancel := inTime(ctx)
	defer cancel()
	zones = zonesToRead(zones)
	found := make([]*facts.RecordSets, len(zones))
	err = atMost(zonesAtOnce, len(zones), func(i int) error {
		sets, err := a.recordSets(ctx, bareZone(zones[i].Id))
		var gone *r53types.NoSuchHostedZone
		switch {
		case errors.As(err, &gone): // deleted since it was listed
			return nil
		case err == nil, tooBusy(ctx, err) && sets.Partial:
			found[i] = sets
		}
		return err
	})
	list := there(found)
	if err != nil && (len(list) == 0 || !tooBusy(ctx, err)) {
		return nil, err
	}
	slices.SortFunc(list, func(a, b facts.RecordSets) int { return cmp.Compare(a.HostedZoneId, b.HostedZoneId) })
	return list, nil
}

// zonesToRead chooses the account's zones whose names the cluster's pods get
// to see: private ones that answer in the VPC, then public ones, by name.
func zonesToRead(zones []facts.HostedZone) []facts.HostedZone {
	private := func(z facts.HostedZone) bool { return z.Config != nil && z.Config.PrivateZone }
	seen := keep(zones, func(z facts.HostedZone) bool { return z.Owner == nil && (!private(z) || len(z.VPCs) > 0) })
	slices.SortStableFunc(seen, func(a, b facts.HostedZone) int {
		if private(a) != private(b) {
			return map[bool]int{true: -1, false: 1}[private(a)]
		}
		return cmp.Compare(aws.ToString(a.Name), aws.ToString(b.Name))
	})
	return seen[:min(zonesRead, len(seen))]
}

// inTime ends shortly before ctx does, so that what was read until then can
// still be told.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-time.Until(end)/8))
}

// tooBusy reports whether a read failed because Route 53 did not answer in
// time or refused to answer so often.
func tooBusy(ctx context.Context, err error) bool {
	return ctx.Err() != nil || awsReason(err) == facts.Throttled
}

// recordSets reads the first pages of a zone's records. With an error, those
// that were read before it are there, marked as partial.
func (a *awsReader) recordSets(ctx context.Context, zone string) (*facts.RecordSets, error) {
	sets := &facts.RecordSets{HostedZoneId: zone, ResourceRecordSets: []r53types.ResourceRecordSet{}}
	p := route53.NewListResourceRecordSetsPaginator(a.route53, &route53.ListResourceRecordSetsInput{HostedZoneId: &zone, MaxItems: aws.Int32(recordPage)})
	for range pagesRead {
		if !p.HasMorePages() {
			break
		}
		page, err := p.NextPage(ctx)
		if err != nil {
			sets.Partial = len(sets.ResourceRecordSets) > 0
			return sets, err
		}
		sets.ResourceRecordSets = append(sets.ResourceRecordSets, page.ResourceRecordSets...)
	}
	sets.Partial = p.HasMorePages()
	return sets, nil
}
