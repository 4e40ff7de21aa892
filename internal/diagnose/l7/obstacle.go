package l7

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/hopwise/hopwise/internal/reach"
)

// Layers of reach.Hop.
const (
	securityGroup = "security group"
	networkACL    = "network ACL"
)

// An obstacle is a filter that stops health checks for certain.
type obstacle struct {
	reach.Hop
	from, to reach.Host
	port     int32
}

// key tells two obstacles apart that one fix removes and one that it does not.
func (o obstacle) key() string {
	switch o.Layer {
	case securityGroup:
		from := strings.Join(o.from.Groups, " ")
		return fmt.Sprintf("%s %s %v %d", o.At, cmp.Or(from, o.from.Subnet), o.to.Groups, o.port)
	case networkACL:
		return fmt.Sprintf("%s %s %s %d", o.At, o.Rule, o.from.Subnet, o.port)
	default:
		return fmt.Sprintf("%s %s %d", o.Layer, o.Rule, o.port)
	}
}

// egress reports whether a security group of the load balancer stops it, not
// one of the target.
func (o obstacle) egress() bool { return strings.HasPrefix(o.At, "egress") }

// between returns what stops connections to t, one by key, and the filters
// that were met. Both are empty when an end of the path is not known.
func (p *paths) between(g group, t target) (stops []obstacle, met []reach.Hop) {
	to, ok := p.targetHost(g, t)
	if !ok {
		return nil, nil
	}
	port := healthPort(g, t)
	zone := cmp.Or(str(t.Target.AvailabilityZone), str(p.subnets[to.Subnet].AvailabilityZone))
	for _, node := range p.askers(g, zone, to.IP.Is6()) {
		s, m := p.fromNode(node.hosts, to, port)
		stops, met = append(stops, s...), append(met, m...)
	}
	return distinct(stops), met
}

// fromNode asks for one node of a load balancer: a filter stops it only if it
// stops every address that the node may have.
func (p *paths) fromNode(node []reach.Host, to reach.Host, port int32) (stops []obstacle, met []reach.Hop) {
	for i, from := range node {
		hops := p.net.Connect(from, to, "tcp", port)
		if i == 0 {
			met = hops
			for _, h := range hops {
				if h.Blocked() {
					stops = append(stops, obstacle{h, from, to, port})
				}
			}
			continue
		}
		stops = slices.DeleteFunc(stops, func(o obstacle) bool {
			return !slices.ContainsFunc(hops, func(h reach.Hop) bool { return h.Layer == o.Layer && h.At == o.At && h.Blocked() })
		})
	}
	return stops, met
}

func distinct(all []obstacle) []obstacle {
	var out []obstacle
	for _, o := range all {
		if !slices.ContainsFunc(out, func(x obstacle) bool { return x.key() == o.key() }) {
			out = append(out, o)
		}
	}
	return out
}

// A verdict is what the rules on the way say of some unhealthy targets.
type verdict struct {
	stopped []target    // those that no health check reaches
	stops   []obstacle  // what stops them
	met     []reach.Hop // the filters on the way to the first target that could be followed
}

// judge follows the way to failing targets. What would stop a healthy target
// of the same group just as well is left out: it does not explain the
// difference.
func (p *paths) judge(g group, failing []target) verdict {
	var v verdict
	passable := p.passable(g, failing)
	for _, t := range failing {
		stops, met := p.between(g, t)
		if v.met == nil {
			v.met = met
		}
		stops = slices.DeleteFunc(stops, func(o obstacle) bool { return passable[o.key()] })
		if len(stops) > 0 {
			v.stopped = append(v.stopped, t)
			v.stops = append(v.stops, stops...)
		}
	}
	v.stops = distinct(v.stops)
	return v
}

// passable are the keys of obstacles that healthy targets of g would meet.
func (p *paths) passable(g group, failing []target) map[string]bool {
	keys := map[string]bool{}
	for _, t := range g.targets {
		if len(failing) == 0 || t.Target == nil || t.TargetHealth == nil || t.TargetHealth.State != elbtypes.TargetHealthStateEnumHealthy {
			continue
		}
		stops, _ := p.between(g, t)
		for _, o := range stops {
			keys[o.key()] = true
		}
	}
	return keys
}
