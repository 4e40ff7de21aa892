package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53resolver"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/smithy-go"

	"github.com/hopwise/hopwise/internal/facts"
)

// addons are the EKS add-ons that checks know; one that is not installed is
// simply not there.
var addons = []string{"coredns", "kube-proxy", "vpc-cni"}

type awsReader struct {
	cluster  string
	region   string
	eks      *eks.Client
	ec2      *ec2.Client
	elb      *elb.Client
	route53  *route53.Client
	resolver *route53resolver.Client
	quotas   *servicequotas.Client
}

func newAWSReader(cfg aws.Config, cluster string, calls *gate) *awsReader {
	cfg = cfg.Copy()
	// Throttled calls are tried again soon: a snapshot has seconds. Adaptive
	// mode would not do: after one refusal it lets one call through in two
	// seconds, and all that is still to be read of that API waits behind it.
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 6, time.Second })
	}
	cfg.HTTPClient = gated(cfg.HTTPClient, calls)
	return &awsReader{
		cluster: cluster, region: cfg.Region,
		eks: eks.NewFromConfig(cfg), ec2: ec2.NewFromConfig(cfg), elb: elb.NewFromConfig(cfg),
		route53: route53.NewFromConfig(cfg), resolver: route53resolver.NewFromConfig(cfg), quotas: servicequotas.NewFromConfig(cfg),
	}
}

// gated puts the gate into an HTTP client.
func gated(client aws.HTTPClient, calls *gate) aws.HTTPClient {
	if client == nil {
		client = awshttp.NewBuildableClient()
	}
	return &http.Client{
		Transport:     calls.wrap(roundTripper(client.Do)),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// read reads one kind. All kinds of the VPC wait for DescribeCluster, which
// names it; what is read of each object of a list waits for the list.
func (a *awsReader) read(ctx context.Context, n facts.Need, one *once) (any, error) {
	switch n.Kind() {
	case facts.Clusters.Kind():
		c, err := a.describeCluster(ctx, one)
		if err != nil {
			return nil, err
		}
		return []ekstypes.Cluster{*c}, nil
	case facts.Addons.Kind():
		return a.addons(ctx)
	case facts.FargateProfiles.Kind():
		return a.fargateProfiles(ctx, one)
	case facts.Quotas.Kind():
		return a.serviceQuotas(ctx)
	case facts.DHCPOptions.Kind():
		return a.dhcpOptions(ctx, one)
	case facts.VPCs.Kind():
		return a.vpcs(ctx, one)
	case facts.HostedZones.Kind(), facts.Records.Kind(), facts.ResolverRules.Kind(), facts.ResolverRuleAssociations.Kind(),
		facts.ResolverEndpoints.Kind(), facts.FirewallRuleGroups.Kind():
		return a.dns(ctx, n, one)
	case facts.LoadBalancers.Kind():
		return inVPC(ctx, a, one, a.loadBalancers, func(lb elbtypes.LoadBalancer) string { return aws.ToString(lb.VpcId) })
	case facts.TargetGroups.Kind():
		return a.vpcTargetGroups(ctx, one)
	case facts.TargetHealths.Kind():
		return a.targetHealth(ctx, one)
	default:
		vpc, err := a.vpc(ctx, one)
		if err != nil {
			return nil, err
		}
		return a.ofVPC(ctx, n, []ec2types.Filter{{Name: aws.String("vpc-id"), Values: []string{vpc}}})
	}
}

// ofVPC reads the kinds that EC2 can filter by VPC.
func (a *awsReader) ofVPC(ctx context.Context, n facts.Need, vpc []ec2types.Filter) (any, error) {
	switch n.Kind() {
	case facts.Subnets.Kind():
		p := ec2.NewDescribeSubnetsPaginator(a.ec2, &ec2.DescribeSubnetsInput{Filters: vpc})
		return all(ctx, p.HasMorePages, p.NextPage, func(o *ec2.DescribeSubnetsOutput) []ec2types.Subnet { return o.Subnets })
	case facts.RouteTables.Kind():
		p := ec2.NewDescribeRouteTablesPaginator(a.ec2, &ec2.DescribeRouteTablesInput{Filters: vpc})
		return all(ctx, p.HasMorePages, p.NextPage, func(o *ec2.DescribeRouteTablesOutput) []ec2types.RouteTable { return o.RouteTables })
	case facts.SecurityGroups.Kind():
		p := ec2.NewDescribeSecurityGroupsPaginator(a.ec2, &ec2.DescribeSecurityGroupsInput{Filters: vpc})
		return all(ctx, p.HasMorePages, p.NextPage, func(o *ec2.DescribeSecurityGroupsOutput) []ec2types.SecurityGroup { return o.SecurityGroups })
	case facts.NetworkInterfaces.Kind():
		p := ec2.NewDescribeNetworkInterfacesPaginator(a.ec2, &ec2.DescribeNetworkInterfacesInput{Filters: vpc})
		return all(ctx, p.HasMorePages, p.NextPage, func(o *ec2.DescribeNetworkInterfacesOutput) []ec2types.NetworkInterface { return o.NetworkInterfaces })
	case facts.NetworkACLs.Kind():
		p := ec2.NewDescribeNetworkAclsPaginator(a.ec2, &ec2.DescribeNetworkAclsInput{Filters: vpc})
		return all(ctx, p.HasMorePages, p.NextPage, func(o *ec2.DescribeNetworkAclsOutput) []ec2types.NetworkAcl { return o.NetworkAcls })
	case facts.NATGateways.Kind():
		p := ec2.NewDescribeNatGatewaysPaginator(a.ec2, &ec2.DescribeNatGatewaysInput{Filter: vpc})
		return all(ctx, p.HasMorePages, p.NextPage, func(o *ec2.DescribeNatGatewaysOutput) []ec2types.NatGateway { return o.NatGateways })
	case facts.Peerings.Kind():
		return a.peerings(ctx, vpc[0].Values)
	case facts.VPCAttribute.Kind():
		return a.vpcAttributes(ctx, vpc[0].Values[0])
	case facts.StaleGroups.Kind():
		p := ec2.NewDescribeStaleSecurityGroupsPaginator(a.ec2, &ec2.DescribeStaleSecurityGroupsInput{VpcId: &vpc[0].Values[0]})
		return all(ctx, p.HasMorePages, p.NextPage, func(o *ec2.DescribeStaleSecurityGroupsOutput) []ec2types.StaleSecurityGroup {
			return o.StaleSecurityGroupSet
		})
	case facts.VPCEndpoints.Kind():
		p := ec2.NewDescribeVpcEndpointsPaginator(a.ec2, &ec2.DescribeVpcEndpointsInput{Filters: vpc})
		return all(ctx, p.HasMorePages, p.NextPage, func(o *ec2.DescribeVpcEndpointsOutput) []ec2types.VpcEndpoint { return o.VpcEndpoints })
	}
	return nil, fmt.Errorf("no reader for %s", n.Kind())
}

// peerings reads the VPC's peering connections, whichever side it is on.
func (a *awsReader) peerings(ctx context.Context, vpc []string) ([]ec2types.VpcPeeringConnection, error) {
	sides := []string{"requester-vpc-info.vpc-id", "accepter-vpc-info.vpc-id"}
	found := make([][]ec2types.VpcPeeringConnection, len(sides))
	err := parallel(len(sides), func(i int) error {
		p := ec2.NewDescribeVpcPeeringConnectionsPaginator(a.ec2, &ec2.DescribeVpcPeeringConnectionsInput{Filters: []ec2types.Filter{{Name: &sides[i], Values: vpc}}})
		list, err := all(ctx, p.HasMorePages, p.NextPage, func(o *ec2.DescribeVpcPeeringConnectionsOutput) []ec2types.VpcPeeringConnection {
			return o.VpcPeeringConnections
		})
		found[i] = list
		return err
	})
	return append(found[0], found[1]...), err
}

// all reads every page.
func all[O, Opt, T any](ctx context.Context, more func() bool, next func(context.Context, ...func(*Opt)) (*O, error), items func(*O) []T) ([]T, error) {
	list := []T{}
	for more() {
		page, err := next(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, items(page)...)
	}
	return list, nil
}

func (a *awsReader) describeCluster(ctx context.Context, one *once) (*ekstypes.Cluster, error) {
	return do(one, "cluster", func() (*ekstypes.Cluster, error) {
		if a.cluster == "" {
			return nil, unreachable(nil, "the cluster's name is not known: set HOPWISE_CLUSTER"+a.offer(ctx, ""))
		}
		out, err := a.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &a.cluster})
		var none *ekstypes.ResourceNotFoundException
		if errors.As(err, &none) {
			return nil, unreachable(nil, fmt.Sprintf("there is no cluster %q in this account and region: set HOPWISE_CLUSTER and AWS_REGION%s", a.cluster, a.offer(ctx, a.cluster)))
		}
		if err != nil {
			return nil, err
		}
		return out.Cluster, nil
	})
}

// offer lists the names that the cluster could have, the nearest first.
func (a *awsReader) offer(ctx context.Context, near string) string {
	out, err := a.eks.ListClusters(ctx, &eks.ListClustersInput{})
	if err != nil || len(out.Clusters) == 0 {
		return ""
	}
	return " (there are: " + strings.Join(facts.Nearest(near, out.Clusters, 3), ", ") + ")"
}

func (a *awsReader) vpc(ctx context.Context, one *once) (string, error) {
	c, err := a.describeCluster(ctx, one)
	if err != nil {
		return "", errDepends{"eks:DescribeCluster", err}
	}
	if c.ResourcesVpcConfig == nil || aws.ToString(c.ResourcesVpcConfig.VpcId) == "" {
		return "", errDepends{"the cluster's VPC", errors.New("DescribeCluster names none")}
	}
	return *c.ResourcesVpcConfig.VpcId, nil
}

func (a *awsReader) addons(ctx context.Context) ([]ekstypes.Addon, error) {
	if a.cluster == "" {
		return nil, unreachable(nil, "the cluster's name is not known: set HOPWISE_CLUSTER")
	}
	found := make([]*ekstypes.Addon, len(addons))
	err := parallel(len(addons), func(i int) error {
		out, err := a.eks.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: &a.cluster, AddonName: &addons[i]})
		var none *ekstypes.ResourceNotFoundException
		if errors.As(err, &none) {
			return nil
		}
		if err != nil {
			return err
		}
		found[i] = out.Addon
		return nil
	})
	return there(found), err
}

func (a *awsReader) loadBalancers(ctx context.Context) ([]elbtypes.LoadBalancer, error) {
	p := elb.NewDescribeLoadBalancersPaginator(a.elb, &elb.DescribeLoadBalancersInput{})
	return all(ctx, p.HasMorePages, p.NextPage, func(o *elb.DescribeLoadBalancersOutput) []elbtypes.LoadBalancer { return o.LoadBalancers })
}

func (a *awsReader) targetGroups(ctx context.Context) ([]elbtypes.TargetGroup, error) {
	p := elb.NewDescribeTargetGroupsPaginator(a.elb, &elb.DescribeTargetGroupsInput{})
	return all(ctx, p.HasMorePages, p.NextPage, func(o *elb.DescribeTargetGroupsOutput) []elbtypes.TargetGroup { return o.TargetGroups })
}

func (a *awsReader) vpcTargetGroups(ctx context.Context, one *once) ([]elbtypes.TargetGroup, error) {
	return do(one, "target-groups", func() ([]elbtypes.TargetGroup, error) {
		return inVPC(ctx, a, one, a.targetGroups, func(g elbtypes.TargetGroup) string { return aws.ToString(g.VpcId) })
	})
}

// inVPC reads a list that the API cannot filter by VPC while DescribeCluster
// is still under way, and keeps what is in the cluster's VPC.
func inVPC[T any](ctx context.Context, a *awsReader, one *once, read func(context.Context) ([]T, error), vpcOf func(T) string) ([]T, error) {
	var (
		list []T
		vpc  string
	)
	err := parallel(2, func(i int) (err error) {
		if i == 0 {
			list, err = read(ctx)
		} else {
			vpc, err = a.vpc(ctx, one)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return keep(list, func(t T) bool { return vpcOf(t) == vpc }), nil
}

// targetHealth asks for each target group that a load balancer uses: the API
// takes one group a call.
func (a *awsReader) targetHealth(ctx context.Context, one *once) ([]facts.TargetHealth, error) {
	groups, err := a.vpcTargetGroups(ctx, one)
	if err != nil {
		return nil, errDepends{"elasticloadbalancing:DescribeTargetGroups", err}
	}
	health := make([]*facts.TargetHealth, len(groups))
	err = parallel(len(groups), func(i int) error {
		out, err := a.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: groups[i].TargetGroupArn})
		var gone *elbtypes.TargetGroupNotFoundException
		if errors.As(err, &gone) { // deleted since it was listed
			return nil
		}
		if err != nil {
			return err
		}
		health[i] = &facts.TargetHealth{TargetGroupArn: aws.ToString(groups[i].TargetGroupArn), TargetHealthDescriptions: out.TargetHealthDescriptions}
		return nil
	})
	return there(health), err
}

// parallel runs n reads at the same time and returns the first error by
// index, so that the same failure always gives the same message.
func parallel(n int, read func(i int) error) error { return atMost(n, n, read) }

// atMost is parallel with a limit of reads at the same time.
func atMost(limit, n int, read func(i int) error) error {
	errs := make([]error, n)
	slots := make(chan struct{}, limit)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = read(i)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// The error codes of the services, which differ by protocol
// (docs.aws.amazon.com: EC2, ELB and EKS API references, common errors).
var (
	deniedCodes      = []string{"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "NotAuthorized"}
	throttledCodes   = []string{"RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestThrottled", "SlowDown"}
	credentialsCodes = []string{"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "InvalidSignatureException", "SignatureDoesNotMatch", "InvalidAccessKeyId"}
)

// awsDetail says what to do about credentials, whose errors come in many
// words.
func awsDetail(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) && has(credentialsCodes, api.ErrorCode()) {
		return "AWS refused the credentials; renew them and try again"
	}
	if strings.Contains(err.Error(), "get credentials") || strings.Contains(err.Error(), "get identity") {
		return "no AWS credentials: set AWS_PROFILE, AWS_ACCESS_KEY_ID or give the pod a role"
	}
	return cmp.Or(noConnection(err), oneLine(err))
}

func awsReason(err error) facts.Reason {
	var api smithy.APIError
	if errors.As(err, &api) {
		switch code := api.ErrorCode(); {
		case has(deniedCodes, code):
			return facts.Denied
		case has(throttledCodes, code):
			return facts.Throttled
		}
	}
	return facts.Unreachable
}

func has(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}
