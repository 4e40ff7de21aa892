package l7

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/reach"
)

// A source is one node of a load balancer, from which it asks targets.
type source struct {
	zone  string
	hosts []reach.Host // what its address may be: one where its interface is known, else both ends of its subnet
}

// sources are the nodes of a load balancer.
func (p *paths) sources(arn string, v6 bool) []source {
	key := fmt.Sprint(arn, v6)
	if known, ok := p.nodes[key]; ok {
		return known
	}
	var out []source
	lb := p.balancers[arn]
	_, name, _ := strings.Cut(arn, ":loadbalancer/")
	for _, az := range lb.AvailabilityZones {
		s := source{str(az.ZoneName), p.ownInterfaces("ELB "+name, str(az.SubnetId), v6)}
		if len(s.hosts) == 0 {
			s.hosts = ends(p.cidr(str(az.SubnetId), v6))
		}
		for i := range s.hosts {
			s.hosts[i].Subnet, s.hosts[i].Groups = str(az.SubnetId), lb.SecurityGroups
		}
		if len(s.hosts) > 0 {
			out = append(out, s)
		}
	}
	p.nodes[key] = out
	return out
}

// askers are the nodes that ask a target in zone. An ALB's all do. An NLB's
// ask in their own zone, unless cross-zone balancing is on: what the node of
// the zone meets is what decides there in both cases.
func (p *paths) askers(g group, zone string, v6 bool) []source {
	var out []source
	for _, arn := range g.tg.LoadBalancerArns {
		all := p.sources(arn, v6)
		own := slices.DeleteFunc(slices.Clone(all), func(s source) bool { return s.zone != zone })
		if g.network() && len(own) > 0 {
			all = own
		}
		out = append(out, all...)
	}
	return out
}

// ownInterfaces finds a load balancer's interfaces in a subnet by the
// description that ELB gives them, such as "ELB app/web/50dc6c495c0c9188".
func (p *paths) ownInterfaces(description, subnet string, v6 bool) []reach.Host {
	var out []reach.Host
	for i := range p.interfaces {
		eni := &p.interfaces[i]
		if str(eni.Description) != description || str(eni.SubnetId) != subnet {
			continue
		}
		for _, ip := range interfaceAddresses(eni) {
			if ip.Is6() == v6 && !slices.ContainsFunc(out, func(h reach.Host) bool { return h.IP == ip }) {
				out = append(out, hostOn(eni, ip))
			}
		}
	}
	return out
}

// cidr is a subnet's block, "" when it has none or is not known.
func (p *paths) cidr(subnet string, v6 bool) string {
	s := p.subnets[subnet]
	if !v6 {
		return str(s.CidrBlock)
	}
	for _, b := range s.Ipv6CidrBlockAssociationSet {
		if b.Ipv6CidrBlock != nil {
			return *b.Ipv6CidrBlock
		}
	}
	return ""
}

// ends are the first and the last address of a block.
func ends(cidr string) []reach.Host {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return nil
	}
	last := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	to, _ := netip.AddrFromSlice(last)
	return []reach.Host{{Endpoint: reach.Endpoint{IP: p.Masked().Addr()}}, {Endpoint: reach.Endpoint{IP: to}}}
}
