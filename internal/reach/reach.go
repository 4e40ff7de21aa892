// Package reach says whether one address may talk to another on a port, and
// which rule decided: security groups, network ACLs, routes and Kubernetes
// NetworkPolicies, each by itself and one after the other along a path. It
// is pure: what it knows is what it is given.
package reach

import (
	"net/netip"
	"slices"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// A Decision is the answer of one filter, with the rule that gave it.
type Decision struct {
	Allowed bool
	// Undecided: what is known does not decide it, such as a rule that names
	// a prefix list or a group that was not read. Allowed is false then, but
	// nobody may claim that the traffic is blocked.
	Undecided bool
	Rule      string // what holds the deciding rule: sg-..., acl-..., namespace/policy; "" when nothing does
	Text      string // the rule in words, or why no rule let it pass
}

// Blocked reports whether the traffic is stopped for certain.
func (d Decision) Blocked() bool { return !d.Allowed && !d.Undecided }

// An Endpoint is one end of a connection, as the VPC sees it.
type Endpoint struct {
	IP         netip.Addr
	Groups     []string // ids of its network interface's security groups
	Membership          // which groups it may be in beside those
}

// A Host is an Endpoint and what lies around it. Subnet and Pod are optional:
// without them network ACLs, or NetworkPolicies, are not asked.
type Host struct {
	Endpoint
	Subnet string
	VPC    string
	Pod    *corev1.Pod
}

// Peer is h as NetworkPolicies see it.
func (h Host) Peer() Peer { return Peer{IP: h.IP, Pod: h.Pod} }

// A Network is the rules that stand between hosts of one VPC. Connect needs
// its fields only; Trace needs one that NewNetwork or FromView made.
type Network struct {
	Groups     Groups
	ACLs       []ec2types.NetworkAcl
	Policies   []networkingv1.NetworkPolicy
	Namespaces []corev1.Namespace

	index *index
}

// A Hop is one filter on a path and its decision.
type Hop struct {
	Layer string // "security group", "network ACL", "NetworkPolicy"
	At    string // whose filter it is, in words
	Decision
}

// Connect returns the filters that a connection from one host to another
// meets, in the order in which it meets them. Routes are not among them: all
// addresses of a VPC reach each other by its local route.
func (n *Network) Connect(from, to Host, protocol string, port int32) []Hop {
	var hops []Hop
	add := func(layer, at string, d Decision) { hops = append(hops, Hop{layer, at, d}) }
	if from.Pod != nil {
		add("NetworkPolicy", "egress of the source pod", PolicyLetsOut(n.Policies, n.Namespaces, from.Pod, to.Peer(), protocol, port))
	}
	add("security group", "egress of the source", n.Groups.LetsOut(from.Groups, to.Endpoint, protocol, port))
	if from.Subnet != "" && to.Subnet != "" && from.Subnet != to.Subnet {
		hops = append(hops, n.aclHops(from, to, protocol, port)...)
	}
	add("security group", "ingress of the destination", n.Groups.Admits(to.Groups, from.Endpoint, protocol, port))
	if to.Pod != nil {
		add("NetworkPolicy", "ingress of the destination pod", PolicyAdmits(n.Policies, n.Namespaces, to.Pod, from.Peer(), protocol, port))
	}
	return hops
}

// Stopped returns the first hop that stops the connection for certain.
func Stopped(hops []Hop) (Hop, bool) {
	i := slices.IndexFunc(hops, func(h Hop) bool { return h.Blocked() })
	if i < 0 {
		return Hop{}, false
	}
	return hops[i], true
}
