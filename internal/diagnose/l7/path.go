package l7

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// pathWants are the facts about the way from a load balancer to its targets.
var pathWants = []facts.Need{
	facts.LoadBalancers, facts.NetworkInterfaces, facts.SecurityGroups, facts.NetworkACLs, facts.Subnets,
	facts.NetworkPolicies, facts.DaemonSets, facts.Addons,
}

// paths knows what stands between load balancers and targets.
type paths struct {
	net        reach.Network
	balancers  map[string]elbtypes.LoadBalancer // by ARN
	interfaces []ec2types.NetworkInterface
	holders    reach.Holders
	subnets    map[string]ec2types.Subnet
	nodes      map[string][]source // of load balancers, once asked for
	unread     []string            // filters that could not be read, for people
}

func newPaths(v *facts.View) *paths {
	p := &paths{
		net:        reach.Network{Groups: reach.GroupsOf(facts.SecurityGroups.In(v)), ACLs: facts.NetworkACLs.In(v)},
		balancers:  map[string]elbtypes.LoadBalancer{},
		interfaces: facts.NetworkInterfaces.In(v),
		holders:    reach.HoldersOf(facts.NetworkInterfaces.In(v)),
		subnets:    map[string]ec2types.Subnet{},
		nodes:      map[string][]source{},
	}
	policies := facts.NetworkPolicies.In(v)
	if reach.PolicyEngine(facts.DaemonSets.In(v), facts.Addons.In(v)) != "" {
		p.net.Policies = policies
	}
	for _, lb := range facts.LoadBalancers.In(v) {
		p.balancers[str(lb.LoadBalancerArn)] = lb
	}
	for _, s := range facts.Subnets.In(v) {
		p.subnets[str(s.SubnetId)] = s
	}
	for _, k := range []struct {
		have bool
		name string
	}{
		{facts.SecurityGroups.Have(v), "security groups"}, {facts.NetworkInterfaces.Have(v), "network interfaces"},
		{facts.NetworkACLs.Have(v), "network ACLs"}, {facts.NetworkPolicies.Have(v), "NetworkPolicies"},
		{facts.DaemonSets.Have(v), "what enforces NetworkPolicies"},
	} {
		if !k.have {
			p.unread = append(p.unread, k.name)
		}
	}
	return p
}

func interfaceAddresses(eni *ec2types.NetworkInterface) []netip.Addr {
	var out []netip.Addr
	add := func(s *string) {
		if ip, err := netip.ParseAddr(str(s)); err == nil {
			out = append(out, ip)
		}
	}
	add(eni.PrivateIpAddress)
	for _, a := range eni.PrivateIpAddresses {
		add(a.PrivateIpAddress)
	}
	for _, a := range eni.Ipv6Addresses {
		add(a.Ipv6Address)
	}
	return out
}

func hostOn(eni *ec2types.NetworkInterface, ip netip.Addr) reach.Host {
	return reach.Host{Endpoint: reach.Endpoint{IP: ip, Groups: reach.GroupIDs(eni)}, Subnet: str(eni.SubnetId), VPC: str(eni.VpcId)}
}

// targetHost is where t's packets go: the interface that holds its address,
// or an instance's first one. It is not ok when that is not known.
func (p *paths) targetHost(g group, t target) (h reach.Host, ok bool) {
	if g.tg.TargetType == elbtypes.TargetTypeEnumInstance {
		return p.instanceHost(str(t.Target.Id))
	}
	ip, err := netip.ParseAddr(str(t.Target.Id))
	if err != nil {
		return reach.Host{}, false
	}
	eni := p.holders.Holder(ip)
	if eni == nil {
		return reach.Host{}, false
	}
	h = hostOn(eni, ip)
	for _, pod := range g.pods {
		if hasIP(pod, str(t.Target.Id)) {
			h.Pod = pod
		}
	}
	return h, true
}

func (p *paths) instanceHost(id string) (h reach.Host, ok bool) {
	for i := range p.interfaces {
		a := p.interfaces[i].Attachment
		if a == nil || str(a.InstanceId) != id || a.DeviceIndex == nil || *a.DeviceIndex != 0 {
			continue
		}
		ip, err := netip.ParseAddr(str(p.interfaces[i].PrivateIpAddress))
		return hostOn(&p.interfaces[i], ip), err == nil
	}
	return reach.Host{}, false
}

// healthPort is the port on which t is asked for its health.
func healthPort(g group, t target) int32 {
	for _, s := range []*string{t.HealthCheckPort, g.tg.HealthCheckPort} {
		if n, err := strconv.ParseInt(str(s), 10, 32); err == nil {
			return int32(n)
		}
	}
	if t.Target != nil && t.Target.Port != nil {
		return *t.Target.Port
	}
	return g.targetPort()
}

// groupOf is the security group that the load balancer's own traffic comes
// from: the controller's shared backend group if it has it, else its first.
func (p *paths) groupOf(from reach.Host) string {
	for _, id := range from.Groups {
		for _, tag := range p.net.Groups[id].Tags {
			if str(tag.Key) == "elbv2.k8s.aws/resource" && str(tag.Value) == "backend-sg" {
				return id
			}
		}
	}
	return cmp.Or(append(from.Groups, "")...)
}

// ownerOf is the security group of a target that takes a new rule: the one
// that the controller manages (tag kubernetes.io/cluster/NAME), else the first.
func (p *paths) ownerOf(to reach.Host) string {
	for _, id := range to.Groups {
		for _, tag := range p.net.Groups[id].Tags {
			if strings.HasPrefix(str(tag.Key), "kubernetes.io/cluster/") {
				return id
			}
		}
	}
	return cmp.Or(append(to.Groups, "")...)
}
