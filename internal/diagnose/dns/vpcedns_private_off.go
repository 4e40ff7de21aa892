package dns

import (
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/resolve"
)

var vpcePrivateDNSOff = &diagnose.Check{
	ID:    "dns/vpce-private-dns-off",
	Title: "An interface endpoint without private DNS is not used",
	Doc: `Programs ask for the public name of an AWS service, such as sts.eu-west-1.amazonaws.com. Only with private DNS on does the
VPC's resolver answer it with the addresses of the VPC's interface endpoint; with it off the name leads to the internet, and from
subnets without a way out calls time out beside an endpoint that would serve them.

Recognised by an endpoint that is available, for a service that nodes and pods call, with private DNS off, while the service's name is
asked of the public DNS from here; and by nodes in subnets without a route to the internet: a fault when the name was said not to
resolve, or events say that calls to it fail, else a risk. With a way out the name works by that, and it is a risk when somebody asks.

Looks alike: a private zone of the service's name that somebody made for an endpoint of another VPC; an endpoint whose group does not
admit the nodes (l4/vpc-endpoint-sg-blocks); sts.amazonaws.com, which no regional endpoint answers; a proxy that leads out.

Fixed by private DNS on the endpoint, which needs both DNS attributes of the VPC. It changes the answer for the whole VPC.`,
	Needs: []facts.Need{facts.Clusters, facts.VPCs, facts.VPCEndpoints, facts.RouteTables, facts.NetworkInterfaces, facts.Nodes},
	Wants: append(lookupWants(facts.Clusters, facts.VPCs, facts.VPCEndpoints, facts.NetworkInterfaces), facts.Events),
	Sources: []string{
		"https://docs.aws.amazon.com/vpc/latest/privatelink/interface-endpoints.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/private-clusters.html",
		"https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVpcEndpoint.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ls := newLookups(v)
		d := vpcDNSOf(ls.w, ls.w.VPCAttributes)
		x := exits{tables: facts.RouteTables.In(v), vpc: ls.vpc}
		closed := x.closed(facts.Nodes.In(v), ls.w.NetworkInterfaces)
		events := facts.Events.In(v)
		var out []diagnose.Finding
		for i := range ls.w.VPCEndpoints {
			e := &ls.w.VPCEndpoints[i]
			host := serviceHost(facts.Val(e.ServiceName))
			if ls.vpc == "" || host == "" || facts.Val(e.VpcId) != ls.vpc || e.VpcEndpointType != ec2types.VpcEndpointTypeInterface || facts.Val(e.PrivateDnsEnabled) || !strings.EqualFold(string(e.State), string(ec2types.StateAvailable)) {
				continue
			}
			n := ls.asks(host)
			if !n.public(ls.add(resolve.Query{Name: host})) || len(n) == 0 && (len(closed) == 0 || proxied(ls)) {
				continue
			}
			out = append(out, d.notPrivate(e, host, n, closed, failsBy(events, host)))
		}
		return out
	},
}

// commonServices are those whose regional names nodes, controllers and most
// pods ask for, as they stand in the names of endpoints. Of others an
// endpoint without private DNS may be on purpose: execute-api, for one.
var commonServices = []string{
	"ec2", "ecr.api", "ecr.dkr", "sts", "elasticloadbalancing", "eks", "eks-auth", "autoscaling", "logs", "monitoring", "xray",
	"ssm", "ssmmessages", "ec2messages", "kms", "secretsmanager", "sqs", "sns", "elasticfilesystem", "guardduty-data", "aps-workspaces",
}

// serviceHost is the name of a service that programs ask for; "" for services
// that are not called by everybody.
func serviceHost(service string) string {
	labels := strings.Split(service, ".")
	if len(labels) < 4 || labels[0] != "com" || labels[1] != "amazonaws" || !slices.Contains(commonServices, strings.Join(labels[3:], ".")) {
		return ""
	}
	rest := slices.Clone(labels[3:]) // ecr.dkr is dkr.ecr
	slices.Reverse(rest)
	return strings.Join(rest, ".") + "." + labels[2] + ".amazonaws.com"
}

// asks are the names that are needed and that an endpoint with private DNS
// would answer: the service's, and those of registries below dkr.ecr.
func (ls *lookups) asks(host string) needed {
	var out needed
	for _, l := range ls.names {
		if (l.end == host || strings.HasPrefix(host, "dkr.ecr.") && strings.HasSuffix(l.end, "."+host)) && (l.fails() || len(l.services) > 0) {
			out = append(out, l)
		}
	}
	return out
}

// public reports whether the service's name is left to the public DNS.
func (n needed) public(host *lookup) bool {
	if len(n) > 0 {
		host = n[0]
	}
	return host.publicDNS() && len(host.path.Answer.Unless) == 0
}

// proxied reports whether pods of kube-system go out by a proxy, as nodes
// then do too.
func proxied(ls *lookups) bool {
	for i := range ls.w.Pods {
		if p := &ls.w.Pods[i]; p.Namespace == system {
			for _, c := range p.Spec.Containers {
				for _, e := range c.Env {
					if strings.EqualFold(e.Name, "https_proxy") && e.Value != "" {
						return true
					}
				}
			}
		}
	}
	return false
}

// exits tells which subnets have a way to the internet.
type exits struct {
	tables []ec2types.RouteTable
	vpc    string
}

// outside are some addresses of AWS in the internet: where a route for them
// leads out, there is a way.
var outside = []netip.Addr{netip.MustParseAddr("3.248.0.1"), netip.MustParseAddr("18.200.0.1"), netip.MustParseAddr("52.95.110.1"), netip.MustParseAddr("99.80.0.1")}

// wayOut reports whether a subnet's route table leads anywhere outside, or may
// do so by a prefix list of somebody's own.
func (x exits) wayOut(subnet string) bool {
	table, _ := reach.TableOf(x.tables, x.vpc, subnet)
	if table == nil {
		return true
	}
	for _, r := range table.Routes {
		if r.DestinationPrefixListId != nil && !strings.HasPrefix(reach.Via(r), "vpce-") {
			return true
		}
	}
	return slices.ContainsFunc(outside, func(ip netip.Addr) bool {
		r, ok := reach.RouteTo(table, ip)
		return ok && !reach.IsBlackhole(r)
	})
}
