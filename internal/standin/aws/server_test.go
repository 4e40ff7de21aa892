package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53resolver"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/hopwise/hopwise/internal/world"
)

const (
	testKey    = "AKIDTEST"
	testSecret = "secret/with+signs"
)

// base is a small VPC: enough for every operation.
const base = `A VPC with two subnets.
base: none
-- ec2/vpcs.yaml --
Vpcs:
- {VpcId: vpc-1, OwnerId: "444455556666", CidrBlock: 10.0.0.0/16, State: available, IsDefault: false, DhcpOptionsId: dopt-1}
-- ec2/subnets.yaml --
Subnets:
- {SubnetId: subnet-1, VpcId: vpc-1, CidrBlock: 10.0.0.0/24, AvailableIpAddressCount: 9, AvailabilityZone: eu-west-1a, Tags: [{Key: Name, Value: private a}, {Key: tier, Value: private}]}
- {SubnetId: subnet-2, VpcId: vpc-1, CidrBlock: 10.0.1.0/24, AvailableIpAddressCount: 250, AvailabilityZone: eu-west-1b, Tags: [{Key: Name, Value: public a}]}
- {SubnetId: subnet-3, VpcId: vpc-1, CidrBlock: 10.0.2.0/24, AvailableIpAddressCount: 250, AvailabilityZone: eu-west-1c}
-- ec2/route-tables.yaml --
RouteTables:
- RouteTableId: rtb-1
  VpcId: vpc-1
  Associations: [{Main: true, RouteTableAssociationId: rtbassoc-main, RouteTableId: rtb-1, AssociationState: {State: associated}}]
  Routes: [{DestinationCidrBlock: 10.0.0.0/16, GatewayId: local, State: active, Origin: CreateRouteTable}]
- RouteTableId: rtb-2
  VpcId: vpc-1
  Associations: [{Main: false, RouteTableAssociationId: rtbassoc-1, RouteTableId: rtb-2, SubnetId: subnet-1, AssociationState: {State: associated}}]
  Routes:
  - {DestinationCidrBlock: 10.0.0.0/16, GatewayId: local, State: active, Origin: CreateRouteTable}
  - {DestinationCidrBlock: 0.0.0.0/0, GatewayId: igw-1, State: active, Origin: CreateRoute}
-- ec2/internet-gateways.yaml --
InternetGateways:
- {InternetGatewayId: igw-1, Attachments: [{VpcId: vpc-1, State: available}]}
-- ec2/nat-gateways.yaml --
NatGateways:
- {NatGatewayId: nat-1, VpcId: vpc-1, SubnetId: subnet-2, State: available}
- {NatGatewayId: nat-2, VpcId: vpc-1, SubnetId: subnet-2, State: failed}
-- ec2/security-groups.yaml --
SecurityGroups:
- GroupId: sg-1
  GroupName: nodes
  Description: nodes
  VpcId: vpc-1
  OwnerId: "444455556666"
  IpPermissions:
  - {IpProtocol: tcp, FromPort: 443, ToPort: 443, IpRanges: [{CidrIp: 10.0.0.0/16, Description: inside}], UserIdGroupPairs: [{GroupId: sg-2, UserId: "444455556666"}]}
  IpPermissionsEgress:
  - {IpProtocol: "-1", IpRanges: [{CidrIp: 0.0.0.0/0}]}
- {GroupId: sg-2, GroupName: alb, Description: alb, VpcId: vpc-1, OwnerId: "444455556666"}
-- ec2/network-acls.yaml --
NetworkAcls:
- NetworkAclId: acl-1
  VpcId: vpc-1
  IsDefault: true
  Associations: [{NetworkAclAssociationId: aclassoc-1, NetworkAclId: acl-1, SubnetId: subnet-1}]
  Entries: [{RuleNumber: 100, Protocol: "-1", RuleAction: allow, Egress: false, CidrBlock: 0.0.0.0/0}]
-- ec2/network-interfaces.yaml --
NetworkInterfaces:
- NetworkInterfaceId: eni-1
  SubnetId: subnet-1
  VpcId: vpc-1
  Status: in-use
  Groups: [{GroupId: sg-1, GroupName: nodes}]
  Attachment: {InstanceId: i-1, DeviceIndex: 0}
  PrivateIpAddress: 10.0.0.10
  PrivateIpAddresses: [{PrivateIpAddress: 10.0.0.10, Primary: true}, {PrivateIpAddress: 10.0.0.11, Primary: false}]
  TagSet: [{Key: cluster, Value: shop}]
- {NetworkInterfaceId: eni-2, SubnetId: subnet-2, VpcId: vpc-1, Status: available, PrivateIpAddress: 10.0.1.10}
-- ec2/instances.yaml --
Instances:
- {InstanceId: i-1, VpcId: vpc-1, SubnetId: subnet-1, State: {Code: 16, Name: running}, PrivateIpAddress: 10.0.0.10}
- {InstanceId: i-2, VpcId: vpc-1, SubnetId: subnet-2, State: {Code: 80, Name: stopped}}
-- ec2/vpc-endpoints.yaml --
VpcEndpoints:
- {VpcEndpointId: vpce-1, VpcId: vpc-1, ServiceName: com.amazonaws.eu-west-1.s3, State: available, VpcEndpointType: Gateway}
-- ec2/vpc-attributes.yaml --
VpcAttributes:
- {VpcId: vpc-1, EnableDnsSupport: {Value: false}}
-- elbv2/load-balancers.yaml --
LoadBalancers:
- {LoadBalancerArn: "arn:aws:elasticloadbalancing:eu-west-1:444455556666:loadbalancer/app/shop/1", LoadBalancerName: shop, Type: application, VpcId: vpc-1}
- {LoadBalancerArn: "arn:aws:elasticloadbalancing:eu-west-1:444455556666:loadbalancer/net/edge/2", LoadBalancerName: edge, Type: network, VpcId: vpc-1}
-- elbv2/target-groups.yaml --
TargetGroups:
- TargetGroupArn: arn:aws:elasticloadbalancing:eu-west-1:444455556666:targetgroup/web/1
  TargetGroupName: web
  HealthCheckPath: /healthz
  HealthCheckIntervalSeconds: 15
  HealthCheckTimeoutSeconds: 5
  Matcher: {HttpCode: "200"}
  LoadBalancerArns: ["arn:aws:elasticloadbalancing:eu-west-1:444455556666:loadbalancer/app/shop/1"]
- {TargetGroupArn: "arn:aws:elasticloadbalancing:eu-west-1:444455556666:targetgroup/idle/2", TargetGroupName: idle}
-- elbv2/target-health.yaml --
TargetHealth:
- TargetGroupArn: arn:aws:elasticloadbalancing:eu-west-1:444455556666:targetgroup/web/1
  TargetHealthDescriptions:
  - {Target: {Id: 10.0.0.11, Port: 8080}, TargetHealth: {State: unhealthy, Reason: Target.ResponseCodeMismatch, Description: "Health checks failed with these codes: [404]"}}
-- elbv2/listeners.yaml --
Listeners:
- {ListenerArn: "arn:aws:elasticloadbalancing:eu-west-1:444455556666:listener/app/shop/1/a", LoadBalancerArn: "arn:aws:elasticloadbalancing:eu-west-1:444455556666:loadbalancer/app/shop/1", Port: 80, Protocol: HTTP}
-- elbv2/rules.yaml --
Rules:
- {RuleArn: "arn:aws:elasticloadbalancing:eu-west-1:444455556666:listener-rule/app/shop/1/a/1", Priority: "1", IsDefault: false}
-- elbv2/tags.yaml --
TagDescriptions:
- {ResourceArn: "arn:aws:elasticloadbalancing:eu-west-1:444455556666:loadbalancer/app/shop/1", Tags: [{Key: elbv2.k8s.aws/cluster, Value: shop}]}
-- eks/clusters.yaml --
clusters:
- {name: shop, arn: "arn:aws:eks:eu-west-1:444455556666:cluster/shop", createdAt: "2025-11-03T08:12:00Z", resourcesVpcConfig: {vpcId: vpc-1}}
-- eks/addons.yaml --
addons:
- {addonName: coredns, clusterName: shop, status: ACTIVE}
- {addonName: vpc-cni, clusterName: shop, status: DEGRADED}
-- eks/fargate-profiles.yaml --
fargateProfiles:
- {fargateProfileName: batch, clusterName: shop, status: ACTIVE, subnets: [subnet-1], selectors: [{namespace: batch, labels: {size: small}}]}
- {fargateProfileName: system, clusterName: shop, status: CREATE_FAILED}
-- ec2/dhcp-options.yaml --
DhcpOptions:
- {DhcpOptionsId: dopt-1, OwnerId: "444455556666", DhcpConfigurations: [{Key: domain-name-servers, Values: [{Value: 10.0.0.53}, {Value: AmazonProvidedDNS}]}]}
- {DhcpOptionsId: dopt-2, OwnerId: "444455556666", DhcpConfigurations: [{Key: domain-name, Values: [{Value: corp.example}]}]}
-- ec2/stale-security-groups.yaml --
StaleSecurityGroupSet:
- {GroupId: sg-1, VpcId: vpc-1, StaleIpPermissions: [{IpProtocol: tcp, FromPort: 443, ToPort: 443, UserIdGroupPairs: [{GroupId: sg-9, PeeringStatus: deleted}]}]}
- {GroupId: sg-7, VpcId: vpc-7}
-- servicequotas/quotas.yaml --
Quotas:
- {ServiceCode: vpc, QuotaCode: L-0EA8095F, QuotaName: Inbound or outbound rules per security group, Value: 120, Adjustable: true}
-- route53resolver/rules.yaml --
ResolverRules:
- {Id: rslvr-rr-1, DomainName: corp.example., RuleType: FORWARD, ResolverEndpointId: rslvr-out-1, Status: COMPLETE, TargetIps: [{Ip: 192.0.2.53, Port: 53}]}
- {Id: rslvr-rr-2, DomainName: lab.example., RuleType: SYSTEM, Status: COMPLETE}
-- route53resolver/rule-associations.yaml --
ResolverRuleAssociations:
- {Id: rslvr-rrassoc-1, ResolverRuleId: rslvr-rr-1, VPCId: vpc-1, Status: COMPLETE}
- {Id: rslvr-rrassoc-2, ResolverRuleId: rslvr-rr-2, VPCId: vpc-7, Status: COMPLETE}
-- route53resolver/endpoints.yaml --
ResolverEndpoints:
- Id: rslvr-out-1
  Direction: OUTBOUND
  HostVPCId: vpc-1
  SecurityGroupIds: [sg-1, sg-2]
  Status: OPERATIONAL
  IpAddresses: [{IpId: rni-1, Ip: 10.0.0.20, SubnetId: subnet-1, Status: ATTACHED}, {IpId: rni-2, Ip: 10.0.1.20, SubnetId: subnet-2, Status: ATTACHED}]
- {Id: rslvr-in-2, Direction: INBOUND, HostVPCId: vpc-7}
-- route53resolver/firewall-rule-groups.yaml --
FirewallRuleGroups:
- Id: rslvr-frgassoc-1
  FirewallRuleGroupId: rslvr-frg-1
  VpcId: vpc-1
  Priority: 101
  Status: COMPLETE
  FailOpen: ENABLED
  FirewallRules:
  - {FirewallRuleGroupId: rslvr-frg-1, FirewallDomainListId: rslvr-fdl-1, Name: block, Priority: 20, Action: BLOCK, BlockResponse: NXDOMAIN, Domains: [bad.example., worse.example.]}
  - {FirewallRuleGroupId: rslvr-frg-1, FirewallDomainListId: rslvr-fdl-aws, Name: malware, Priority: 10, Action: ALERT, Managed: true}
- {Id: rslvr-frgassoc-2, FirewallRuleGroupId: rslvr-frg-2, VpcId: vpc-7, Priority: 101}
-- route53/hosted-zones.yaml --
HostedZones:
- {Id: /hostedzone/Z1, Name: example.com., CallerReference: a, Config: {PrivateZone: false}}
- {Id: /hostedzone/Z2, Name: shop.internal., CallerReference: b, Config: {PrivateZone: true}, VPCs: [{VPCId: vpc-1, VPCRegion: eu-west-1}]}
- {Id: /hostedzone/Z3, Name: s3.example., Config: {PrivateZone: true}, Owner: {OwningService: vpce.amazonaws.com}, VPCs: [{VPCId: vpc-1, VPCRegion: eu-west-1}]}
-- route53/record-sets.yaml --
RecordSets:
- HostedZoneId: Z1
  ResourceRecordSets:
  - {Name: www.example.com., Type: CNAME, TTL: 300, ResourceRecords: [{Value: shop.example.com}]}
  - {Name: a.shop.example.com., Type: A, SetIdentifier: one, Weight: 1, TTL: 60, ResourceRecords: [{Value: 192.0.2.1}]}
  - {Name: a.shop.example.com., Type: A, SetIdentifier: two, Weight: 1, TTL: 60, ResourceRecords: [{Value: 192.0.2.2}]}
  - {Name: example.com., Type: NS, TTL: 172800, ResourceRecords: [{Value: ns-1.example.net.}]}
`

// lab is a server with clients that are pointed at it.
type lab struct {
	server  *Server
	world   *world.World
	url     string
	ec2     *ec2.Client
	elb     *elb.Client
	eks     *eks.Client
	sts     *sts.Client
	route53 *route53.Client

	resolver *route53resolver.Client
	quotas   *servicequotas.Client
}

func start(t *testing.T, scenario string, opts Options) lab {
	t.Helper()
	w, err := world.Parse(t.Name(), []byte(scenario))
	if err != nil {
		t.Fatal(err)
	}
	if opts.AccessKeyID == "" {
		opts.AccessKeyID, opts.SecretAccessKey = testKey, testSecret
	}
	s := New(w, opts)
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	l := lab{server: s, world: w, url: srv.URL}
	return l.with("eu-west-1", testKey, testSecret, "")
}

// with returns l with clients of another region or other credentials. They
// try once.
func (l lab) with(region, key, secret, token string) lab {
	cfg := sdk.Config{
		Region: region, BaseEndpoint: &l.url, RetryMaxAttempts: 1, HTTPClient: &http.Client{Transport: plainBody{http.DefaultTransport}},
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, token),
	}
	l.resolver, l.quotas = route53resolver.NewFromConfig(cfg), servicequotas.NewFromConfig(cfg)
	l.ec2, l.elb, l.eks, l.sts, l.route53 = ec2.NewFromConfig(cfg), elb.NewFromConfig(cfg), eks.NewFromConfig(cfg), sts.NewFromConfig(cfg), route53.NewFromConfig(cfg)
	return l
}

// plainBody hides the WriteTo of the SDK's request bodies: see leastDelay.
type plainBody struct{ next http.RoundTripper }

func (p plainBody) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.next.RoundTrip(r)
}

// everyService makes one call to each service.
func (l lab) everyService(ctx context.Context) map[string]error {
	errs := map[string]error{}
	_, errs["ec2"] = l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{})
	_, errs["elb"] = l.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{})
	_, errs["eks"] = l.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: sdk.String("shop")})
	_, errs["sts"] = l.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	_, errs["route53"] = l.route53.ListHostedZones(ctx, &route53.ListHostedZonesInput{})
	_, errs["resolver"] = l.resolver.ListResolverRules(ctx, &route53resolver.ListResolverRulesInput{})
	_, errs["quotas"] = l.quotas.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: sdk.String("vpc"), QuotaCode: sdk.String("L-0EA8095F")})
	return errs
}

func code(err error) string {
	var api smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	}
	return err.Error()
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("error code %q (%v), want %q", got, err, want)
	}
}

func wantCodes(t *testing.T, errs map[string]error, want map[string]string) {
	t.Helper()
	for service, err := range errs {
		if got := code(err); got != want[service] {
			t.Errorf("%s: error code %q (%v), want %q", service, got, err, want[service])
		}
	}
}

func TestCredentials(t *testing.T) {
	l := start(t, base, Options{})
	ctx := t.Context()
	wantCodes(t, l.everyService(ctx), nil)
	wantCodes(t, l.with("eu-west-1", "AKIDOTHER", testSecret, "").everyService(ctx), map[string]string{
		"ec2": "AuthFailure", "elb": "InvalidClientTokenId", "sts": "InvalidClientTokenId", "route53": "InvalidClientTokenId", "eks": "UnrecognizedClientException",
		"resolver": "UnrecognizedClientException", "quotas": "UnrecognizedClientException"})
	wantCodes(t, l.with("eu-west-1", testKey, "wrong", "").everyService(ctx), map[string]string{
		"ec2": "AuthFailure", "elb": "SignatureDoesNotMatch", "sts": "SignatureDoesNotMatch", "route53": "SignatureDoesNotMatch", "eks": "InvalidSignatureException",
		"resolver": "InvalidSignatureException", "quotas": "InvalidSignatureException"})
	wantCodes(t, l.with("eu-west-1", testKey, testSecret, "stale").everyService(ctx), map[string]string{
		"ec2": "AuthFailure", "elb": "InvalidClientTokenId", "sts": "InvalidClientTokenId", "route53": "InvalidClientTokenId", "eks": "UnrecognizedClientException",
		"resolver": "UnrecognizedClientException", "quotas": "UnrecognizedClientException"})
}

// A signature is good for a quarter of an hour, for what it covers, and the
// host must be among that.
func TestSignatureOfOtherTimes(t *testing.T) {
	l := start(t, base, Options{})
	for _, tt := range []struct {
		age    time.Duration
		change func(*http.Request)
		want   int
	}{
		{0, func(*http.Request) {}, http.StatusOK},
		{20 * time.Minute, func(*http.Request) {}, http.StatusForbidden},
		{-20 * time.Minute, func(*http.Request) {}, http.StatusForbidden},
		{0, func(r *http.Request) { r.URL.RawQuery = "maxResults=1" }, http.StatusForbidden},
		{0, func(r *http.Request) { r.Host = "example.com" }, http.StatusForbidden},
		{0, func(r *http.Request) { r.Header.Set("X-Amz-Date", "yesterday") }, http.StatusBadRequest},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url+"/clusters", nil)
		if err != nil {
			t.Fatal(err)
		}
		empty := sha256.Sum256(nil)
		creds := sdk.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(empty[:]), "eks", "eu-west-1", time.Now().Add(-tt.age)); err != nil {
			t.Fatal(err)
		}
		tt.change(r)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.want {
			t.Errorf("age %s: %s, want %d", tt.age, res.Status, tt.want)
		}
	}
}

func TestExpiredSession(t *testing.T) {
	l := start(t, base, Options{AccessKeyID: testKey, SecretAccessKey: testSecret, SessionToken: "tok", Expires: time.Now().Add(-time.Second)})
	wantCodes(t, l.with("eu-west-1", testKey, testSecret, "tok").everyService(t.Context()), map[string]string{
		"ec2": "RequestExpired", "elb": "ExpiredToken", "sts": "ExpiredToken", "route53": "ExpiredToken", "eks": "ExpiredTokenException",
		"resolver": "ExpiredTokenException", "quotas": "ExpiredTokenException"})
	l = start(t, base, Options{AccessKeyID: testKey, SecretAccessKey: testSecret, SessionToken: "tok", Expires: time.Now().Add(time.Hour)})
	wantCodes(t, l.with("eu-west-1", testKey, testSecret, "tok").everyService(t.Context()), nil)
}

func TestWrongRegion(t *testing.T) {
	l := start(t, base, Options{}).with("us-east-1", testKey, testSecret, "")
	ctx := t.Context()
	wantCodes(t, l.everyService(ctx), map[string]string{"eks": "ResourceNotFoundException", "quotas": "NoSuchResourceException"})
	out, err := l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{})
	if err != nil || len(out.Subnets) != 0 {
		t.Errorf("subnets in another region: %d, %v", len(out.Subnets), err)
	}
	_, err = l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{"subnet-1"}})
	wantCode(t, err, "InvalidSubnetID.NotFound")
	_, err = l.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{"subnet-1"}, Tags: tags("a", "b")})
	wantCode(t, err, "InvalidID")
	_, err = l.ec2.DeleteRoute(ctx, &ec2.DeleteRouteInput{RouteTableId: sdk.String("rtb-2"), DestinationCidrBlock: sdk.String("0.0.0.0/0")})
	wantCode(t, err, "InvalidRouteTableID.NotFound")
}

// withFaults is base with more lines in its header.
func withFaults(lines ...string) string {
	return strings.Replace(base, "base: none", "base: none\n"+strings.Join(lines, "\n"), 1)
}

func TestDenied(t *testing.T) {
	l := start(t, withFaults("deny: ec2:DescribeSubnets", "deny: elasticloadbalancing:DescribeLoadBalancers", "deny: eks:DescribeCluster",
		"deny: route53:ListHostedZones", "deny: route53resolver:ListResolverRules", "deny: servicequotas:GetServiceQuota"), Options{})
	errs := l.everyService(t.Context())
	wantCodes(t, errs, map[string]string{"ec2": "UnauthorizedOperation", "elb": "AccessDenied", "eks": "AccessDeniedException",
		"route53": "AccessDenied", "resolver": "AccessDeniedException", "quotas": "AccessDeniedException"})
	for _, part := range []string{"ec2:DescribeSubnets", "arn:aws:iam::444455556666:user/", "Encoded authorization failure message: "} {
		if !strings.Contains(errs["ec2"].Error(), part) {
			t.Errorf("message %q lacks %q", errs["ec2"], part)
		}
	}
	_, err := l.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{DryRun: sdk.Bool(true)})
	wantCode(t, err, "UnauthorizedOperation")
}

func TestThrottledThenAnswered(t *testing.T) {
	l := start(t, withFaults("fault: ec2:DescribeSubnets throttle 2", "fault: eks:DescribeCluster throttle", "fault: elasticloadbalancing:DescribeLoadBalancers throttle 1",
		"fault: route53:ListHostedZones throttle", "fault: route53resolver:ListResolverRules throttle", "fault: servicequotas:GetServiceQuota throttle"), Options{})
	want := map[string]string{"ec2": "RequestLimitExceeded", "eks": "TooManyRequestsException", "elb": "Throttling",
		"route53": "Throttling", "resolver": "ThrottlingException", "quotas": "TooManyRequestsException"}
	all := maps.Clone(want)
	wantCodes(t, l.everyService(t.Context()), want)
	delete(want, "elb")
	wantCodes(t, l.everyService(t.Context()), want)
	delete(want, "ec2")
	wantCodes(t, l.everyService(t.Context()), want)
	l.server.ResetCalls()
	wantCodes(t, l.everyService(t.Context()), all)
}

func TestServerError(t *testing.T) {
	l := start(t, withFaults("fault: ec2:DescribeSubnets error", "fault: eks:DescribeCluster error", "fault: elasticloadbalancing:DescribeLoadBalancers error",
		"fault: route53resolver:ListResolverRules error", "fault: servicequotas:GetServiceQuota error"), Options{})
	wantCodes(t, l.everyService(t.Context()), map[string]string{"ec2": "InternalError", "eks": "ServerException", "elb": "InternalFailure",
		"resolver": "InternalServiceErrorException", "quotas": "ServiceException"})
}

func TestHangEndsWithTheCaller(t *testing.T) {
	l := start(t, withFaults("fault: ec2:DescribeSubnets hang"), Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := l.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want a deadline", err)
	}
	if _, err := l.ec2.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{}); err != nil {
		t.Errorf("another operation: %v", err)
	}
}

func TestCallsAndDelay(t *testing.T) {
	l := start(t, base, Options{Delay: 20 * time.Millisecond})
	l.everyService(t.Context())
	var got []string
	for _, c := range l.server.Calls() {
		got = append(got, c.Permission)
		if d := c.End.Sub(c.Start); d < 20*time.Millisecond {
			t.Errorf("%s took %s, want the delay at least", c.Permission, d)
		}
	}
	want := []string{"ec2:DescribeSubnets", "elasticloadbalancing:DescribeLoadBalancers", "eks:DescribeCluster", "sts:GetCallerIdentity", "route53:ListHostedZones", "route53resolver:ListResolverRules", "servicequotas:GetServiceQuota"}
	if !slices.Equal(got, want) {
		t.Errorf("calls %v, want %v", got, want)
	}
	l.server.ResetCalls()
	l.server.SetDelay(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := l.sts.GetCallerIdentity(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want a deadline", err)
	}
}

// What the server tells is always of the world as it is now: of another one
// after Become, with that one's faults.
func TestBecome(t *testing.T) {
	l := start(t, base, Options{})
	if errs := l.everyService(t.Context()); errs["ec2"] != nil {
		t.Fatal(errs)
	}
	other, err := world.Parse("other", []byte("Nothing in EC2.\nbase: none\ndeny: ec2:DescribeVpcs\n-- eks/clusters.yaml --\nclusters: [{name: other}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	l.world.Become(other)
	out, err := l.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
	if err != nil || len(out.Subnets) != 0 {
		t.Errorf("%d subnets, %v; want none", len(out.Subnets), err)
	}
	_, err = l.ec2.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	wantCode(t, err, "UnauthorizedOperation")
}
