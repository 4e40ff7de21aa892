package l3

import (
	"cmp"
	"fmt"
	"slices"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// Below roomFloor free addresses a subnet counts as full: what is left goes
// to the warm pools of other nodes. A delegated prefix takes prefixSize.
const (
	roomFloor  = 10
	prefixSize = 16
)

// A pool is where the VPC CNI gets addresses from.
type pool struct {
	nodes       []node
	subnets     map[string]ec2types.Subnet
	cni         cni
	tables      []ec2types.RouteTable
	tablesKnown bool
	vpcs        []ec2types.Vpc
}

// charge notes under full which subnet keeps a pod waiting, if one does.
func (p pool) charge(full map[string]*exhausted, w wait, pods []corev1.Pod) {
	i := slices.IndexFunc(p.nodes, func(n node) bool { return n.Name == w.pod.Spec.NodeName })
	if i < 0 {
		return
	}
	n := p.nodes[i]
	sources := p.sources(n)
	if len(sources) == 0 || slices.ContainsFunc(sources, func(id string) bool { return !p.isFull(id) }) {
		return
	}
	x := full[sources[0]]
	if x == nil {
		x = &exhausted{subnet: p.subnets[sources[0]], nodes: map[string]node{}, others: map[string]bool{}, message: map[string]string{}}
		full[sources[0]] = x
	}
	x.pods, x.need = append(x.pods, w.pod), x.need+1
	x.nodes[n.Name] = n
	x.message[w.pod.Namespace+"/"+w.pod.Name] = w.message
	for _, o := range sources[1:] {
		x.others[o] = true
	}
	x.outage = x.outage || !hasReadySibling(w.pod, pods)
}

// sources are the subnets that a node's pods can get addresses from: those of
// its interfaces, and with subnet discovery the tagged ones of its zone. With
// custom networking the primary interface gives none; a node that has no
// other yet is judged by its neighbours'.
func (p pool) sources(n node) []string {
	var ids []string
	for i, eni := range n.interfaces {
		if p.cni.custom && i == 0 {
			continue
		}
		ids = append(ids, facts.Val(eni.SubnetId))
	}
	zone := p.subnets[facts.Val(n.interfaces[0].SubnetId)].AvailabilityZone
	if p.cni.custom && len(ids) == 0 {
		for _, o := range p.nodes {
			for _, eni := range o.interfaces[1:] {
				if facts.Val(p.subnets[facts.Val(eni.SubnetId)].AvailabilityZone) == facts.Val(zone) {
					ids = append(ids, facts.Val(eni.SubnetId))
				}
			}
		}
	}
	if p.cni.discovery || !p.cni.known && !p.cni.custom { // not known: what might give room counts as room
		for _, id := range sortedIDs(p.subnets) {
			s := p.subnets[id]
			if v, ok := tag(s.Tags, cniTag); ok && v != "0" && facts.Val(s.AvailabilityZone) == facts.Val(zone) && facts.Val(s.VpcId) == facts.Val(n.interfaces[0].VpcId) {
				ids = append(ids, id)
			}
		}
	}
	return unique(ids)
}

func (p pool) isFull(id string) bool {
	s, known := p.subnets[id]
	if !known || s.AvailableIpAddressCount == nil {
		return false
	}
	if p.cni.prefixes {
		return *s.AvailableIpAddressCount < prefixSize
	}
	return *s.AvailableIpAddressCount < roomFloor
}

// remedies offers a spare subnet of the zone if there is one that the CNI
// would take, and always the way to a new one.
func (p pool) remedies(x *exhausted) []remedy.Remedy {
	var rs []remedy.Remedy
	if s, ok := p.spare(x); ok {
		r := remedy.Remedy{
			Title: fmt.Sprintf("Let pods use subnet %s too", facts.Val(s.SubnetId)),
			Why: fmt.Sprintf("The VPC CNI then makes interfaces in it for nodes of %s; it has %d free addresses (%s). Rules that list only %s do not cover pods there.",
				facts.Val(s.AvailabilityZone), facts.Val(s.AvailableIpAddressCount), facts.Val(s.CidrBlock), facts.Val(x.subnet.CidrBlock)),
			Risk: remedy.Safe,
		}
		a := remedy.TagResource{Resource: facts.Val(s.SubnetId), Key: cniTag, Value: "1"}
		if old, ok := tag(s.Tags, cniTag); ok {
			a.Before = &old
		}
		if p.cni.discovery && p.tablesKnown {
			r.Actions = remedy.Actions{a}
		} else {
			r.Why += " It is for a person to decide: " + cmp.Or(p.cni.problem, "its routes could not be read") + "."
			r.Manual = []string{a.Command()}
		}
		if !p.cni.custom {
			rs = append(rs, r)
		}
	}
	if plan, ok := p.newRange(x); ok {
		rs = append(rs, plan)
	}
	return rs
}

// spare is the roomiest subnet of the same zone and VPC that may be given to
// pods: not made for load balancers, not opted out, and with the same way out.
func (p pool) spare(x *exhausted) (ec2types.Subnet, bool) {
	var best ec2types.Subnet
	for _, id := range sortedIDs(p.subnets) {
		s := p.subnets[id]
		if facts.Val(s.VpcId) != facts.Val(x.subnet.VpcId) || facts.Val(s.AvailabilityZone) != facts.Val(x.subnet.AvailabilityZone) || !p.suits(s, x) {
			continue
		}
		if facts.Val(s.AvailableIpAddressCount) > facts.Val(best.AvailableIpAddressCount) {
			best = s
		}
	}
	return best, best.SubnetId != nil
}

func (p pool) suits(s ec2types.Subnet, x *exhausted) bool {
	_, lb := tag(s.Tags, "kubernetes.io/role/elb")
	_, decided := tag(s.Tags, cniTag)
	room := int(facts.Val(s.AvailableIpAddressCount)) >= prefixSize+x.need
	if !room || lb || decided || facts.Val(s.MapPublicIpOnLaunch) || facts.Val(s.CidrBlock) == "" || s.State != "" && s.State != ec2types.SubnetStateAvailable {
		return false
	}
	return !p.tablesKnown || p.exit(s) == p.exit(x.subnet)
}

// exit says what kind of thing a subnet's default route leads to.
func (p pool) exit(s ec2types.Subnet) string {
	t, _ := reach.TableOf(p.tables, facts.Val(s.VpcId), facts.Val(s.SubnetId))
	if t == nil {
		return "unknown"
	}
	switch r, ok := reach.Default(t); {
	case !ok || reach.IsBlackhole(r):
		return "none"
	case reach.ToInternetGateway(r):
		return "public"
	default:
		return "private"
	}
}

// hasReadySibling reports whether another pod of the same owner serves.
func hasReadySibling(pod *corev1.Pod, pods []corev1.Pod) bool {
	if len(pod.OwnerReferences) == 0 {
		return false
	}
	return slices.ContainsFunc(pods, func(o corev1.Pod) bool {
		return o.Namespace == pod.Namespace && len(o.OwnerReferences) > 0 && o.OwnerReferences[0].Name == pod.OwnerReferences[0].Name && reach.Ready(&o)
	})
}

func sortedIDs(m map[string]ec2types.Subnet) []string {
	ids := make([]string, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// unique keeps the first of equal ids, in their order.
func unique(ids []string) []string {
	var out []string
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}
