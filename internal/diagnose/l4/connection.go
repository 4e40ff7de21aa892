package l4

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// The ports that Linux hosts connect from unless told otherwise
// (net.ipv4.ip_local_port_range): EKS's API servers, nodes and pods do.
const (
	clientFrom = 32768
	clientTo   = 60999
)

// kubeletPort is where kubelets serve logs, exec and metrics.
const kubeletPort = 10250

// A connection is one that the cluster has to be able to make.
type connection struct {
	from, to     reach.Host
	protocol     string
	port         int32
	source, dest string      // both ends, for people: "the control plane", "kubelet of node a"
	about        []facts.Ref // what does not work without it
}

// A stop is a connection with the filter that stops it for certain.
type stop struct {
	connection
	reach.Hop
}

// isACL reports whether a network ACL is in the way, and not a group.
func (s stop) isACL() bool { return s.Layer == "network ACL" }

// outward reports whether the source's own group is in the way.
func (s stop) outward() bool { return s.Layer == "security group" && s.At == "egress of the source" }

// object is what has to change: the group that lacks a rule, or the ACL.
func (s stop) object() facts.Ref {
	switch {
	case s.isACL():
		return facts.Ref{Kind: facts.NetworkACLs.Kind(), ID: s.Rule}
	case s.outward():
		return groupRef(own(s.from.Groups, s.to.Groups))
	default:
		return groupRef(own(s.to.Groups, s.from.Groups))
	}
}

// filters are the rules of a VPC that stand between two interfaces.
type filters struct {
	groups reach.Groups
	acls   []ec2types.NetworkAcl
}

func filtersOf(v *facts.View) filters {
	return filters{reach.GroupsOf(facts.SecurityGroups.In(v)), facts.NetworkACLs.In(v)}
}

// stop returns what stops a connection for certain, if anything does. Within
// one subnet no network ACL is asked.
func (f filters) stop(c connection) (stop, bool) {
	if d := f.groups.LetsOut(c.from.Groups, c.to.Endpoint, c.protocol, c.port); d.Blocked() && len(c.from.Groups) > 0 {
		return stop{c, reach.Hop{Layer: "security group", At: "egress of the source", Decision: d}}, true
	}
	if d := f.groups.Admits(c.to.Groups, c.from.Endpoint, c.protocol, c.port); d.Blocked() && len(c.to.Groups) > 0 {
		return stop{c, reach.Hop{Layer: "security group", At: "ingress of the destination", Decision: d}}, true
	}
	for _, h := range f.aclHops(c) {
		if h.Blocked() {
			return stop{c, h}, true
		}
	}
	return stop{}, false
}

// The passages of a connection through the ACLs of two subnets.
const (
	leaves    = "outbound of the source's subnet"
	arrives   = "inbound of the destination's subnet"
	answers   = "answers outbound of the destination's subnet"
	returning = "answers inbound of the source's subnet"
)

func (f filters) aclHops(c connection) []reach.Hop {
	if c.from.Subnet == "" || c.to.Subnet == "" || c.from.Subnet == c.to.Subnet {
		return nil
	}
	a, b := reach.ACLOf(f.acls, c.from.Subnet), reach.ACLOf(f.acls, c.to.Subnet)
	hop := func(at string, d reach.Decision) reach.Hop {
		return reach.Hop{Layer: "network ACL", At: at, Decision: d}
	}
	return []reach.Hop{
		hop(leaves, reach.ACLPasses(a, true, c.to.IP, c.protocol, c.port, c.port)),
		hop(arrives, reach.ACLPasses(b, false, c.from.IP, c.protocol, c.port, c.port)),
		hop(answers, reach.ACLPasses(b, true, c.from.IP, c.protocol, clientFrom, clientTo)),
		hop(returning, reach.ACLPasses(a, false, c.to.IP, c.protocol, clientFrom, clientTo)),
	}
}

// stops are those of connections that are stopped.
func (f filters) stops(all []connection) []stop {
	var out []stop
	for _, c := range all {
		if s, ok := f.stop(c); ok {
			out = append(out, s)
		}
	}
	return out
}

// A controlPlane is the cluster as the VPC sees it: the interfaces through
// which its API servers reach nodes and pods, and are reached when the
// endpoint is private.
type controlPlane struct {
	name  string
	vpc   ekstypes.VpcConfigResponse
	hosts []reach.Host
}

// controlPlaneOf finds the interfaces that EKS describes as "Amazon EKS
// CLUSTER"; there are none while they are not known.
func controlPlaneOf(v *facts.View) controlPlane {
	var cp controlPlane
	clusters := facts.Clusters.In(v)
	for _, c := range clusters {
		if facts.Val(c.Name) == v.Cluster() || len(clusters) == 1 {
			cp.name = facts.Val(c.Name)
			if c.ResourcesVpcConfig != nil {
				cp.vpc = *c.ResourcesVpcConfig
			}
		}
	}
	if cp.name == "" {
		return cp
	}
	interfaces := facts.NetworkInterfaces.In(v)
	for i := range interfaces {
		if facts.Val(interfaces[i].Description) == "Amazon EKS "+cp.name {
			if h, ok := hostOn(&interfaces[i]); ok {
				cp.hosts = append(cp.hosts, h)
			}
		}
	}
	return cp
}

// groups are the security groups of the control plane's interfaces, the
// cluster's own first.
func (cp controlPlane) groups() []string {
	var ids []string
	for _, h := range cp.hosts {
		for _, g := range h.Groups {
			if !slices.Contains(ids, g) {
				ids = append(ids, g)
			}
		}
	}
	own := facts.Val(cp.vpc.ClusterSecurityGroupId)
	slices.SortFunc(ids, func(a, b string) int {
		if (a == own) != (b == own) {
			return map[bool]int{true: -1, false: 1}[a == own]
		}
		return strings.Compare(a, b)
	})
	return ids
}

// calls are the connections from every interface of the control plane to a
// port.
func (cp controlPlane) calls(to reach.Host, port int32, dest string, about ...facts.Ref) []connection {
	var out []connection
	for _, h := range cp.hosts {
		out = append(out, connection{from: h, to: to, protocol: "tcp", port: port, source: "the control plane", dest: dest, about: about})
	}
	return out
}

// hostOn is the host at an interface's first address.
func hostOn(eni *ec2types.NetworkInterface) (reach.Host, bool) {
	ip, err := netip.ParseAddr(facts.Val(eni.PrivateIpAddress))
	return hostWith(eni, ip), err == nil
}

func hostWith(eni *ec2types.NetworkInterface, ip netip.Addr) reach.Host {
	return reach.Host{Endpoint: reach.Endpoint{IP: ip, Groups: reach.GroupIDs(eni)}, Subnet: facts.Val(eni.SubnetId), VPC: facts.Val(eni.VpcId)}
}

// A machine is a node with the interface that has its address.
type machine struct {
	*corev1.Node
	reach.Host
}

// machines are the nodes whose interface is known; hybrid nodes have none.
func machines(nodes []corev1.Node, interfaces []ec2types.NetworkInterface) []machine {
	var out []machine
	for i := range nodes {
		if mine := reach.InterfacesOf(&nodes[i], interfaces); len(mine) > 0 {
			if h, ok := hostOn(&mine[0]); ok {
				out = append(out, machine{&nodes[i], h})
			}
		}
	}
	return out
}

func nodeRef(n *corev1.Node) facts.Ref { return facts.Ref{Kind: facts.Nodes.Kind(), ID: n.Name} }

// ways returns what lets the stopped connections through: first what the
// bot can do, then what is for a person.
func ways(stops []stop, ends string) []remedy.Remedy {
	run := remedy.Remedy{
		Title: "Admit " + ends,
		Why:   "It admits the other side's security group alone, to the ports that it needs.",
		Risk:  remedy.Safe,
	}
	hand := remedy.Remedy{
		Title: "Open the way for " + ends + " by hand",
		Why:   "Egress was restricted by somebody; ask before you open it.",
	}
	add := func(a remedy.Action) {
		if !slices.ContainsFunc(run.Actions, func(o remedy.Action) bool { return o.Command() == a.Command() }) {
			run.Actions = append(run.Actions, a)
		}
	}
	for _, s := range stops {
		switch {
		case s.isACL(): // the finding about the ACL has the rules for all that it denies
		case s.outward():
			hand.Manual = append(hand.Manual, fmt.Sprintf("aws ec2 authorize-security-group-egress --group-id %s --protocol %s --port %d --source-group %s",
				own(s.from.Groups, s.to.Groups), s.protocol, s.port, own(s.to.Groups, s.from.Groups)))
		default:
			add(s.rule())
		}
	}
	var out []remedy.Remedy
	if len(run.Actions) > 0 {
		out = append(out, run)
	}
	if len(hand.Manual) > 0 {
		slices.Sort(hand.Manual)
		hand.Manual = slices.Compact(hand.Manual)
		out = append(out, hand)
	}
	return out
}

// rule is the ingress rule whose want stops s.
func (s stop) rule() remedy.AuthorizeIngress {
	return remedy.AuthorizeIngress{Rule: remedy.Rule{
		Group: own(s.to.Groups, s.from.Groups), Protocol: s.protocol, FromPort: s.port, ToPort: s.port, FromGroup: own(s.from.Groups, s.to.Groups),
	}}
}

// evidence shows the first stops, one of each object and destination.
func evidenceOf(stops []stop) []diagnose.Evidence {
	var out []diagnose.Evidence
	seen := map[string]bool{}
	for _, s := range stops {
		key := s.object().String() + " " + s.dest
		if seen[key] || len(out) == 4 {
			continue
		}
		seen[key] = true
		out = append(out, diagnose.Evidence{
			Fact:    s.object().String(),
			Got:     s.At + ": " + s.Text,
			Want:    fmt.Sprintf("%s (%s) may reach %s %d of %s (%s)", s.source, s.from.IP, s.protocol, s.port, s.dest, s.to.IP),
			Command: s.command(),
		})
	}
	return out
}

func (s stop) command() string {
	if s.isACL() {
		return "aws ec2 describe-network-acls --network-acl-ids " + s.Rule + " --query 'NetworkAcls[].Entries'"
	}
	return "aws ec2 describe-security-groups --group-ids " + s.object().ID + " --query 'SecurityGroups[].[GroupId,IpPermissions,IpPermissionsEgress]'"
}

// refs adds references to a list, each once, and never the finding's subject.
func refs(subject facts.Ref, lists ...[]facts.Ref) []facts.Ref {
	var out []facts.Ref
	for _, l := range lists {
		for _, r := range l {
			if r != subject && !slices.Contains(out, r) && len(out) < 4*most {
				out = append(out, r)
			}
		}
	}
	return out
}

// addressOf is a pod's address, the zero Addr while it has none.
func addressOf(p *corev1.Pod) netip.Addr {
	ip, _ := netip.ParseAddr(p.Status.PodIP)
	return ip
}
