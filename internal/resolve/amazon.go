package resolve

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/hopwise/hopwise/internal/facts"
)

// endpoint answers the names of interface endpoints of the VPC, unless a
// private zone of the user is more specific.
func (a *asker) endpoint(zone *facts.HostedZone, name string) (Answer, bool) {
	if a.w.VPCEndpoints == nil && strings.HasSuffix(name, ".amazonaws.com.") {
		a.unless = append(a.unless, "a VPC endpoint, which was not read, has the name")
	}
	e, as := a.w.endpointOf(name)
	if e == nil || zone != nil && len(zoneName(zone)) > len(strings.TrimPrefix(as, "*.")) {
		return Answer{}, false
	}
	id := facts.Val(e.VpcEndpointId)
	out := Answer{Name: name, By: vpcDNS, Why: "private name of VPC endpoint " + id, Objects: []facts.Ref{ref(facts.VPCEndpoints, "", id)}}
	if ips := a.w.interfaceIPs(e.NetworkInterfaceIds); len(ips) > 0 {
		out = inFamily(out, ips, a.qtype)
	} else {
		out.Kind, out.Records = Found, []string{"the addresses of VPC endpoint " + id}
	}
	return a.ends("VPC endpoint", id, "aws ec2 describe-vpc-endpoints --vpc-endpoint-ids "+id, out), true
}

// endpointOf is the VPC endpoint that has a name, and the name as it has it.
func (w *World) endpointOf(name string) (e *ec2types.VpcEndpoint, as string) {
	for i := range w.VPCEndpoints {
		if vpc := facts.Val(w.VPCEndpoints[i].VpcId); vpc != "" && vpc != w.vpcID() {
			continue
		}
		for _, n := range endpointNames(&w.VPCEndpoints[i]) {
			if inList(n, name) && len(n) > len(as) {
				e, as = &w.VPCEndpoints[i], n
			}
		}
	}
	return e, as
}

// endpointNames are the names of an endpoint that the VPC's resolver answers:
// its own, and the service's when private DNS is on.
func endpointNames(e *ec2types.VpcEndpoint) []string {
	var out []string
	private := facts.Val(e.PrivateDnsEnabled)
	for _, d := range e.DnsEntries {
		n := unescaped(facts.Val(d.DnsName))
		if private || strings.Contains(n, ".vpce.") {
			out = append(out, n)
		}
	}
	labels := strings.Split(facts.Val(e.ServiceName), ".")
	if private && len(labels) > 3 && labels[0] == "com" && labels[1] == "amazonaws" { // com.amazonaws.REGION.ecr.api is api.ecr.REGION.amazonaws.com
		service := slices.Clone(labels[3:])
		slices.Reverse(service)
		n := strings.Join(service, ".") + "." + labels[2] + ".amazonaws.com."
		out = append(out, n)
		if n == "dkr.ecr."+labels[2]+".amazonaws.com." {
			out = append(out, "*."+n)
		}
	}
	return out
}

func (w *World) interfaceIPs(ids []string) []netip.Addr {
	var out []netip.Addr
	for _, n := range w.NetworkInterfaces {
		if !slices.Contains(ids, facts.Val(n.NetworkInterfaceId)) {
			continue
		}
		for _, p := range n.PrivateIpAddresses {
			if ip, err := netip.ParseAddr(facts.Val(p.PrivateIpAddress)); err == nil {
				out = append(out, ip)
			}
		}
		for _, p := range n.Ipv6Addresses {
			if ip, err := netip.ParseAddr(facts.Val(p.Ipv6Address)); err == nil {
				out = append(out, ip)
			}
		}
	}
	return out
}

// hostName is a name that Amazon gives to a host by its address.
var hostName = regexp.MustCompile(`^ip-(\d+-\d+-\d+-\d+)\.(ec2|[a-z0-9-]+\.compute)\.internal\.$`)

// amazon answers names that Amazon provides itself; ok is false for others.
func (a *asker) amazon(name string) (answer Answer, ok bool) {
	if m := hostName.FindStringSubmatch(name); m != nil {
		ip, err := netip.ParseAddr(strings.ReplaceAll(m[1], "-", "."))
		if err == nil {
			return a.ends("names of hosts", "", "", inFamily(Answer{Name: name, By: vpcDNS, Why: "the address that the name spells"}, []netip.Addr{ip}, a.qtype)), true
		}
	}
	if strings.HasSuffix(name, ".compute.internal.") && !strings.HasPrefix(name, "i-") || strings.HasSuffix(name, ".ec2.internal.") && !strings.HasPrefix(name, "i-") {
		return a.ends("names of hosts", "", "", Answer{Kind: NXDomain, Name: name, By: vpcDNS, Why: "no host has this name: names below it spell an address (ip-10-0-1-2) or an instance (i-...)"}), true
	}
	bare := strings.TrimPrefix(strings.TrimPrefix(name, "dualstack."), "internal-dualstack.")
	for i := range a.w.LoadBalancers {
		l := &a.w.LoadBalancers[i]
		if n := Normal(facts.Val(l.DNSName)); l.DNSName != nil && (n == bare || n == name) {
			id := facts.Val(l.LoadBalancerArn)
			out := Answer{Kind: Found, Name: name, By: "Amazon's name servers", Why: "load balancer " + facts.Val(l.LoadBalancerName), Records: []string{fmt.Sprintf("the addresses of load balancer %s (%s)", facts.Val(l.LoadBalancerName), l.Scheme)}, Objects: []facts.Ref{ref(facts.LoadBalancers, "", id)}}
			return a.ends("load balancer", facts.Val(l.LoadBalancerName), "aws elbv2 describe-load-balancers --load-balancer-arns "+id, out), true
		}
	}
	return Answer{}, false
}

// clusterOf is the cluster whose API server has a name.
func (w *World) clusterOf(name string) *ekstypes.Cluster {
	for i := range w.Clusters {
		host := strings.TrimPrefix(facts.Val(w.Clusters[i].Endpoint), "https://")
		if host != "" && Normal(host) == name && w.Clusters[i].ResourcesVpcConfig != nil {
			return &w.Clusters[i]
		}
	}
	return nil
}

// apiServer answers the name of the cluster's own API server.
func (a *asker) apiServer(name string) (Answer, bool) {
	c := a.w.clusterOf(name)
	if c == nil {
		return Answer{}, false
	}
	out := Answer{Kind: Found, Name: name, By: vpcDNS, Why: "the cluster's API server", Records: []string{"the public addresses of the API server"}, Objects: []facts.Ref{ref(facts.Clusters, "", facts.Val(c.Name))}}
	if c.ResourcesVpcConfig.EndpointPrivateAccess {
		out.Records = []string{"the addresses of the API server in the VPC"}
	}
	return a.ends("API server", facts.Val(c.Name), "aws eks describe-cluster --name "+facts.Val(c.Name), out), true
}
