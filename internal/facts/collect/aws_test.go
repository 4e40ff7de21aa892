package collect_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/facts/collect"
	"github.com/hopwise/hopwise/internal/standin"
	"github.com/hopwise/hopwise/internal/world"
)

// cloudKinds are the kinds of the VPC's settings and of its DNS.
var cloudKinds = []facts.Kind{
	facts.VPCAttribute.Kind(), facts.DHCPOptions.Kind(), facts.StaleGroups.Kind(), facts.FargateProfiles.Kind(), facts.Quotas.Kind(),
	facts.HostedZones.Kind(), facts.Records.Kind(),
	facts.ResolverRules.Kind(), facts.ResolverRuleAssociations.Kind(), facts.ResolverEndpoints.Kind(), facts.FirewallRuleGroups.Kind(),
}

// cloudFiles are objects of every one of these kinds of which the healthy
// cluster has none, or only the simplest.
const cloudFiles = `-- eks/fargate-profiles.yaml --
fargateProfiles:
- {fargateProfileName: batch, clusterName: shop, status: ACTIVE, createdAt: "2025-11-03T08:12:00Z", subnets: [subnet-0a20000000000000a], selectors: [{namespace: batch, labels: {size: small}}]}
- {fargateProfileName: system, clusterName: shop, status: CREATE_FAILED, health: {issues: [{code: PodExecutionRoleAlreadyInUse, message: m}]}}
-- ec2/stale-security-groups.yaml --
StaleSecurityGroupSet:
- GroupId: sg-0c10000000000000c
  VpcId: vpc-0a1b2c3d4e5f60001
  StaleIpPermissions: [{IpProtocol: tcp, FromPort: 443, ToPort: 443, UserIdGroupPairs: [{GroupId: sg-9, PeeringStatus: deleted, VpcId: vpc-9}]}]
-- route53/hosted-zones.yaml --
HostedZones:
- {Id: /hostedzone/Z0999ENDPOINT, Name: s3.eu-west-1.amazonaws.com., Config: {PrivateZone: true}, Owner: {OwningService: vpce.amazonaws.com}, VPCs: [{VPCId: vpc-0a1b2c3d4e5f60001, VPCRegion: eu-west-1}]}
- {Id: /hostedzone/Z0999LONELY, Name: lonely.internal., CallerReference: c, Config: {PrivateZone: true}}
-- route53resolver/rules.yaml --
ResolverRules:
- {Id: rslvr-rr-1, DomainName: corp.example., RuleType: FORWARD, ResolverEndpointId: rslvr-out-1, Status: COMPLETE, TargetIps: [{Ip: 192.0.2.53, Port: 53, Protocol: Do53}]}
-- route53resolver/rule-associations.yaml --
ResolverRuleAssociations:
- {Id: rslvr-rrassoc-1, ResolverRuleId: rslvr-rr-1, VPCId: vpc-0a1b2c3d4e5f60001, Status: COMPLETE}
-- route53resolver/endpoints.yaml --
ResolverEndpoints:
- Id: rslvr-in-2
  Direction: INBOUND
  HostVPCId: vpc-0a1b2c3d4e5f60001
  SecurityGroupIds: [sg-0c10000000000000c]
  Status: OPERATIONAL
  IpAddressCount: 1
  IpAddresses: [{IpId: rni-3, Ip: 10.0.10.20, SubnetId: subnet-0a20000000000000a, Status: ATTACHED}]
- {Id: rslvr-out-1, Direction: OUTBOUND, HostVPCId: vpc-0shared, Status: OPERATIONAL, IpAddresses: [{IpId: rni-1, Ip: 10.9.0.20}, {IpId: rni-2, Ip: 10.9.1.20}]}
-- route53resolver/firewall-rule-groups.yaml --
FirewallRuleGroups:
- Id: rslvr-frgassoc-1
  FirewallRuleGroupId: rslvr-frg-1
  VpcId: vpc-0a1b2c3d4e5f60001
  Priority: 101
  Status: COMPLETE
  FailOpen: DISABLED
  FirewallRules:
  - {FirewallRuleGroupId: rslvr-frg-1, FirewallDomainListId: rslvr-fdl-aws, Priority: 10, Action: ALERT, Managed: true}
  - {FirewallRuleGroupId: rslvr-frg-1, FirewallDomainListId: rslvr-fdl-1, Priority: 20, Action: BLOCK, BlockResponse: NXDOMAIN, Qtype: A, Domains: ["*.bad.example.", worse.example.]}
  - {FirewallRuleGroupId: rslvr-frg-1, FirewallDomainListId: rslvr-fdl-1, Priority: 30, Action: BLOCK, BlockResponse: NODATA, Qtype: AAAA, Domains: ["*.bad.example.", worse.example.]}
  - {FirewallRuleGroupId: rslvr-frg-1, FirewallThreatProtectionId: rslvr-ftp-1, Priority: 40, Action: ALERT, DnsThreatProtection: DGA, ConfidenceThreshold: HIGH}
`

func takeCloud(t *testing.T, cfg collect.Config) *facts.Snapshot {
	t.Helper()
	r, err := collect.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := r.Take(t.Context(), cloudKinds, facts.Target{}, nil)
	return s
}

// What is read of these kinds is, field by field, what the world has, whatever
// the size of the pages.
func TestTakeCloudWhole(t *testing.T) {
	apis := shop(t, "", cloudFiles)
	s := takeCloud(t, config(apis))
	want, err := apis.World.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range cloudKinds {
		if g, missing := s.Gaps[k]; missing {
			t.Errorf("%s is a gap: %+v", k, g)
		}
		exported := cmp.FilterPath(func(p cmp.Path) bool { return strings.HasPrefix(p.Last().String(), ".noSmithy") }, cmp.Ignore())
		if diff := cmp.Diff(want.Have[k], s.Have[k], cmpopts.EquateEmpty(), exported); diff != "" {
			t.Errorf("%s (-world +read):\n%s", k, diff)
		}
	}
}

// denied takes a permission away. A scenario can do that only to those that
// kinds are named for.
func denied(apis *standin.APIs, permission string) *standin.APIs {
	apis.World.Faults = append(apis.World.Faults, world.Fault{Permission: permission, How: "deny"})
	return apis
}

// Every permission that reading a kind takes is named when it is the one that
// is missing, and only what hangs on it is a gap.
func TestTakeCloudDenied(t *testing.T) {
	for _, tt := range []struct {
		permission string
		gaps       []facts.Kind
	}{
		{"ec2:DescribeVpcAttribute", []facts.Kind{facts.VPCAttribute.Kind()}},
		{"ec2:DescribeDhcpOptions", []facts.Kind{facts.DHCPOptions.Kind()}},
		{"ec2:DescribeVpcs", []facts.Kind{facts.DHCPOptions.Kind()}},
		{"ec2:DescribeStaleSecurityGroups", []facts.Kind{facts.StaleGroups.Kind()}},
		{"eks:ListFargateProfiles", []facts.Kind{facts.FargateProfiles.Kind()}},
		{"eks:DescribeFargateProfile", []facts.Kind{facts.FargateProfiles.Kind()}},
		{"servicequotas:GetServiceQuota", []facts.Kind{facts.Quotas.Kind()}},
		{"route53:ListHostedZones", []facts.Kind{facts.HostedZones.Kind(), facts.Records.Kind()}},
		{"route53:ListHostedZonesByVPC", []facts.Kind{facts.HostedZones.Kind(), facts.Records.Kind()}},
		{"route53:ListResourceRecordSets", []facts.Kind{facts.Records.Kind()}},
		{"route53resolver:ListResolverRules", []facts.Kind{facts.ResolverRules.Kind(), facts.ResolverEndpoints.Kind()}},
		{"route53resolver:ListResolverRuleAssociations", []facts.Kind{facts.ResolverRuleAssociations.Kind(), facts.ResolverEndpoints.Kind()}},
		{"route53resolver:ListResolverEndpoints", []facts.Kind{facts.ResolverEndpoints.Kind()}},
		{"route53resolver:ListResolverEndpointIpAddresses", []facts.Kind{facts.ResolverEndpoints.Kind()}},
		{"route53resolver:ListFirewallRuleGroupAssociations", []facts.Kind{facts.FirewallRuleGroups.Kind()}},
		{"route53resolver:ListFirewallRules", []facts.Kind{facts.FirewallRuleGroups.Kind()}},
		{"route53resolver:ListFirewallDomainLists", []facts.Kind{facts.FirewallRuleGroups.Kind()}},
		{"route53resolver:ListFirewallDomains", []facts.Kind{facts.FirewallRuleGroups.Kind()}},
		{"route53resolver:GetFirewallConfig", []facts.Kind{facts.FirewallRuleGroups.Kind()}},
	} {
		t.Run(tt.permission, func(t *testing.T) {
			t.Parallel()
			s := takeCloud(t, config(denied(shop(t, "", cloudFiles), tt.permission)))
			want := map[facts.Kind]facts.Gap{}
			for _, k := range tt.gaps {
				want[k] = facts.Gap{Kind: k, Reason: facts.Denied, Permission: tt.permission}
			}
			if diff := cmp.Diff(want, s.Gaps); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTakeCloudThrottledAndHanging(t *testing.T) {
	permissions := []string{"route53:ListResourceRecordSets", "route53resolver:ListFirewallRuleGroupAssociations", "servicequotas:GetServiceQuota", "ec2:DescribeDhcpOptions"}
	hung := []facts.Kind{facts.Records.Kind(), facts.FirewallRuleGroups.Kind(), facts.Quotas.Kind(), facts.DHCPOptions.Kind()}
	faults := func(how string) (lines string) {
		for _, p := range permissions {
			lines += "fault: " + p + " " + how + "\n"
		}
		return lines
	}
	t.Run("throttled twice, then answered", func(t *testing.T) {
		t.Parallel()
		if s := takeCloud(t, config(shop(t, faults("throttle 2"), cloudFiles))); len(s.Gaps) > 0 {
			t.Errorf("gaps %+v", s.Gaps)
		}
	})
	for how, reason := range map[string]facts.Reason{"hang": facts.TimedOut, "throttle": facts.Throttled} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			cfg := config(shop(t, faults(how), cloudFiles))
			cfg.Deadline = map[string]time.Duration{"hang": 3 * time.Second, "throttle": 30 * time.Second}[how]
			s := takeCloud(t, cfg)
			for _, k := range hung {
				if s.Gaps[k].Reason != reason {
					t.Errorf("%s: gap %+v, want %s", k, s.Gaps[k], reason)
				}
			}
			if len(s.Gaps) != len(hung) {
				t.Errorf("gaps %+v, want those of %v", s.Gaps, hung)
			}
		})
	}
}

// An account that has never asked for more has AWS's defaults.
func TestTakeDefaultQuotas(t *testing.T) {
	const none = `-- servicequotas/quotas.yaml --
Quotas:
- {$patch: delete, QuotaCode: L-0EA8095F}
- {$patch: delete, QuotaCode: L-2AFB9258}
`
	s := takeCloud(t, config(shop(t, "", none)))
	quotas, _ := s.Have[facts.Quotas.Kind()].([]quotatypes.ServiceQuota)
	if len(quotas) != 2 || *quotas[0].Value != 60 || *quotas[1].Value != 5 {
		t.Errorf("quotas %+v, gap %+v", quotas, s.Gaps[facts.Quotas.Kind()])
	}
	s = takeCloud(t, config(denied(shop(t, "", none), "servicequotas:GetAWSDefaultServiceQuota")))
	if g := s.Gaps[facts.Quotas.Kind()]; g.Reason != facts.Denied || g.Permission != "servicequotas:GetAWSDefaultServiceQuota" {
		t.Errorf("gap %+v", g)
	}
}

// Of many zones the private ones of the VPC are read first, and of a large one
// the first pages; what is left out is known to be.
func TestTakeManyRecords(t *testing.T) {
	var zones, sets strings.Builder
	zone := func(id, name, more string) {
		fmt.Fprintf(&zones, "- {Id: /hostedzone/%s, Name: %s., CallerReference: c, %s}\n", id, name, more)
	}
	zones.WriteString("-- route53/hosted-zones.yaml --\nHostedZones:\n")
	for i := range 20 {
		zone(fmt.Sprintf("ZPUB%02d", 50-i), fmt.Sprintf("p%02d.example", i), "Config: {PrivateZone: false}")
	}
	zone("ZZPRIVATE", "zz.internal", "Config: {PrivateZone: true}, VPCs: [{VPCId: vpc-0a1b2c3d4e5f60001, VPCRegion: eu-west-1}]")
	sets.WriteString("-- route53/record-sets.yaml --\nRecordSets:\n- HostedZoneId: ZZPRIVATE\n  ResourceRecordSets:\n")
	for i := range 3001 {
		fmt.Fprintf(&sets, "  - {Name: n%04d.zz.internal., Type: A, TTL: 60, ResourceRecords: [{Value: 10.0.0.1}]}\n", i)
	}
	s := takeCloud(t, config(shop(t, "", zones.String(), sets.String())))
	found, _ := s.Have[facts.Records.Kind()].([]facts.RecordSets)
	var ids []string
	for _, f := range found {
		ids = append(ids, f.HostedZoneId)
		wantN, wantPartial := map[string]int{"ZZPRIVATE": 3000, "Z0123456SHOPINTERN01": 3, "Z0123456SHOPPUBLIC01": 4}[f.HostedZoneId], f.HostedZoneId == "ZZPRIVATE"
		if len(f.ResourceRecordSets) != wantN || f.Partial != wantPartial {
			t.Errorf("%s: %d records, partial %v; want %d, %v", f.HostedZoneId, len(f.ResourceRecordSets), f.Partial, wantN, wantPartial)
		}
	}
	want := []string{"Z0123456SHOPINTERN01", "Z0123456SHOPPUBLIC01"}
	for i := 50; i > 41; i-- {
		want = append(want, fmt.Sprintf("ZPUB%02d", i))
	}
	slices.Sort(want)
	if want = append(want, "ZZPRIVATE"); !slices.Equal(ids, want) {
		t.Errorf("records of %v, want %v", ids, want)
	}
	if all, _ := s.Have[facts.HostedZones.Kind()].([]facts.HostedZone); len(all) != 23 {
		t.Errorf("%d zones, want 23", len(all))
	}
}

// One zone that does not answer in time does not hide the others, and of one
// that stops half-way the first pages stay.
func TestTakeRecordsInTime(t *testing.T) {
	cfg := config(shop(t, "fault: route53:ListResourceRecordSets hang 1"))
	cfg.Deadline = 2 * time.Second
	s := takeCloud(t, cfg)
	if found, _ := s.Have[facts.Records.Kind()].([]facts.RecordSets); len(found) != 1 || found[0].Partial || len(s.Gaps) > 0 {
		t.Errorf("records %+v, gaps %+v; want one zone of two", found, s.Gaps)
	}

	var sets strings.Builder
	sets.WriteString("-- route53/record-sets.yaml --\nRecordSets:\n- HostedZoneId: Z0123456SHOPINTERN01\n  ResourceRecordSets:\n")
	for i := range 700 {
		fmt.Fprintf(&sets, "  - {Name: n%04d.shop.internal., Type: A, TTL: 60, ResourceRecords: [{Value: 10.0.0.1}]}\n", i)
	}
	apis := shop(t, "", sets.String())
	apis.AWS.SetDelay(500 * time.Millisecond) // cluster, zones, then one page or two; the third would end too late
	cfg = config(apis)
	cfg.Deadline = 2650 * time.Millisecond
	found, _ := takeCloud(t, cfg).Have[facts.Records.Kind()].([]facts.RecordSets)
	if len(found) != 2 || !found[0].Partial || len(found[0].ResourceRecordSets)%300 != 0 || found[1].Partial {
		for _, f := range found {
			t.Errorf("%s: %d records, partial %v", f.HostedZoneId, len(f.ResourceRecordSets), f.Partial)
		}
	}
}
