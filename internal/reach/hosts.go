package reach

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/hopwise/hopwise/internal/facts"
)

// named finds a host by name, address or block.
func (q *question) named(host string) ([]party, *Step) {
	if p, err := netip.ParsePrefix(host); err == nil {
		return q.block(p.Masked())
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []party{q.at(ip.Unmap())}, nil
	}
	for i := range q.LoadBalancers {
		if strings.EqualFold(strings.TrimSuffix(host, "."), str(q.LoadBalancers[i].DNSName)) {
			return q.balancers(&q.LoadBalancers[i])
		}
	}
	for i := range q.VPCEndpoints {
		for _, d := range q.VPCEndpoints[i].DnsEntries {
			if strings.EqualFold(strings.TrimSuffix(host, "."), str(d.DnsName)) {
				return q.interfaces(&q.VPCEndpoints[i])
			}
		}
	}
	return []party{{Endpoint: Endpoint{IP: stranger}, name: host, where: outside, vague: hidden}}, nil
}

// block stands for a block by the interfaces that have an address of it, else
// by its first and last addresses.
func (q *question) block(p netip.Prefix) ([]party, *Step) {
	if p.Bits() == 0 {
		ip := stranger
		if p.Addr().Is6() {
			ip = stranger6
		}
		return []party{{Endpoint: Endpoint{IP: ip}, name: "the internet", where: outside, vague: anyone}}, nil
	}
	var out []party
	for ip := range q.holders.byIP {
		if p.Contains(ip) {
			out = append(out, q.at(ip))
		}
	}
	if len(out) == 0 {
		out = append(out, q.at(p.Addr()))
		if l := last(p); l != p.Addr() {
			out = append(out, q.at(l))
		}
	}
	slices.SortFunc(out, func(a, b party) int { return a.IP.Compare(b.IP) })
	return out, nil
}

// last is the last address of a block.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip
}

// at is whatever has an address.
func (q *question) at(ip netip.Addr) party {
	if p := q.podAt[ip]; p != nil {
		return q.podParty(p, ip)
	}
	if n := q.nodeAt[ip]; n != nil {
		return q.nodeParty(n, ip)
	}
	a := party{Endpoint: Endpoint{IP: ip}, name: ip.String(), where: outside, command: "aws ec2 describe-network-interfaces --filters Name=addresses.private-ip-address,Values=" + ip.String()}
	switch in, known := q.holds(ip); {
	case in:
		a.where = inside
		a.eni = q.holders.Holder(ip)
		q.place(&a)
	case !known && isPrivate(ip):
		a.where, a.Membership, a.missing = somewhere, Unknown, "whether "+ip.String()+" is in the VPC is not known"
	case isPrivate(ip):
		a.Membership = Foreign
	}
	return a
}

// isPrivate reports whether an address is not one of the internet.
func isPrivate(ip netip.Addr) bool {
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || Contains("100.64.0.0/10", ip)
}

// controlPlane are the interfaces that EKS puts into the VPC: it describes
// them as "Amazon EKS CLUSTER".
func (q *question) controlPlane() ([]party, *Step) {
	var out []party
	for i := range q.NetworkInterfaces {
		eni := &q.NetworkInterfaces[i]
		if d := str(eni.Description); d == "Amazon EKS "+q.Cluster || q.Cluster == "" && strings.HasPrefix(d, "Amazon EKS ") {
			out = append(out, q.interfaceParty("control plane interface ", eni))
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	s := unknownStep("control plane", "the interfaces of the control plane are not known", "aws ec2 describe-network-interfaces --filters 'Name=description,Values=Amazon EKS *'")
	return nil, &s
}

func (q *question) interfaceParty(what string, eni *ec2types.NetworkInterface) party {
	id := str(eni.NetworkInterfaceId)
	a := party{name: what + id, eni: eni, where: inside, command: "aws ec2 describe-network-interfaces --network-interface-ids " + id}
	ip := str(eni.PrivateIpAddress)
	if ip == "" && len(eni.Ipv6Addresses) > 0 {
		ip = str(eni.Ipv6Addresses[0].Ipv6Address)
	}
	a.IP, _ = netip.ParseAddr(ip)
	q.place(&a)
	return a
}

// balancer finds a load balancer by name, address or ARN.
func (q *question) balancer(t facts.Target) ([]party, *Step) {
	name := cmp.Or(t.Name, t.Host)
	for i := range q.LoadBalancers {
		lb := &q.LoadBalancers[i]
		if slices.Contains([]string{str(lb.LoadBalancerName), str(lb.LoadBalancerArn), str(lb.DNSName)}, name) {
			return q.balancers(lb)
		}
	}
	s := unknownStep("load balancer", "there is no load balancer "+name, "aws elbv2 describe-load-balancers")
	if q.LoadBalancers == nil {
		s.Text = "the load balancers are not known"
	}
	return nil, &s
}

// balancers are the interfaces of a load balancer: ELB describes them as
// "ELB app/NAME/ID".
func (q *question) balancers(lb *elbtypes.LoadBalancer) ([]party, *Step) {
	_, id, _ := strings.Cut(str(lb.LoadBalancerArn), ":loadbalancer/")
	ref := facts.Ref{Kind: facts.LoadBalancers.Kind(), ID: str(lb.LoadBalancerArn)}
	var out []party
	for i := range q.NetworkInterfaces {
		if eni := &q.NetworkInterfaces[i]; id != "" && str(eni.Description) == "ELB "+id {
			a := q.interfaceParty("load balancer "+str(lb.LoadBalancerName)+" at ", eni)
			a.Groups = lb.SecurityGroups
			a.refs = append(a.refs, ref)
			out = append(out, a)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	s := unknownStep("load balancer", "the interfaces of load balancer "+str(lb.LoadBalancerName)+" are not known", "aws ec2 describe-network-interfaces --filters 'Name=description,Values=ELB "+id+"'", ref)
	return nil, &s
}

// endpoint finds a VPC endpoint by id, or by a part of its service's name.
func (q *question) endpoint(t facts.Target) ([]party, *Step) {
	for i := range q.VPCEndpoints {
		e := &q.VPCEndpoints[i]
		if str(e.VpcEndpointId) == t.Name || str(e.ServiceName) == t.Name || strings.HasSuffix(str(e.ServiceName), "."+t.Name) {
			return q.interfaces(e)
		}
	}
	s := unknownStep("VPC endpoint", "there is no VPC endpoint "+t.Name, "aws ec2 describe-vpc-endpoints")
	if q.VPCEndpoints == nil {
		s.Text = "the VPC endpoints are not known"
	}
	return nil, &s
}

func (q *question) interfaces(e *ec2types.VpcEndpoint) ([]party, *Step) {
	id := str(e.VpcEndpointId)
	ref := facts.Ref{Kind: facts.VPCEndpoints.Kind(), ID: id}
	command := "aws ec2 describe-vpc-endpoints --vpc-endpoint-ids " + id
	if e.State != "" && !strings.EqualFold(string(e.State), string(ec2types.StateAvailable)) {
		s := Step{Hop: "VPC endpoint", Verdict: Denied, Symptom: Timeout, Rule: id, Text: fmt.Sprintf("%s is %s, not available", id, e.State), Command: command, Objects: []facts.Ref{ref}}
		return nil, &s
	}
	var out []party
	for _, eni := range e.NetworkInterfaceIds {
		if known := q.enis[eni]; known != nil {
			a := q.interfaceParty("VPC endpoint "+id+" at ", known)
			a.refs = append(a.refs, ref)
			out = append(out, a)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	s := unknownStep("VPC endpoint", "the interfaces of "+id+" are not known; a gateway endpoint has none, routes to its prefix list lead to it", command, ref)
	return nil, &s
}
