package reach

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
)

// Instance returns the EC2 instance that a node is, out of its provider id
// (aws:///eu-west-1a/i-0123); "" for others, such as Fargate's.
func Instance(node *corev1.Node) string {
	id := node.Spec.ProviderID[strings.LastIndex(node.Spec.ProviderID, "/")+1:]
	if !strings.HasPrefix(id, "i-") {
		return ""
	}
	return id
}

// NodeIP is a node's internal address.
func NodeIP(node *corev1.Node) string {
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

// InterfacesOf returns the interfaces that are attached to a node and carry
// its pods, primary first. Branch interfaces, which belong to one pod each,
// are left out.
func InterfacesOf(node *corev1.Node, all []ec2types.NetworkInterface) []ec2types.NetworkInterface {
	instance, ip := Instance(node), NodeIP(node)
	var out []ec2types.NetworkInterface
	for _, n := range all {
		attached := n.Attachment != nil && instance != "" && str(n.Attachment.InstanceId) == instance
		if (attached || ip != "" && str(n.PrivateIpAddress) == ip) && !IsBranch(n) {
			out = append(out, n)
		}
	}
	slices.SortStableFunc(out, func(a, b ec2types.NetworkInterface) int {
		return cmp.Or(cmp.Compare(rank(a, ip), rank(b, ip)), cmp.Compare(str(a.NetworkInterfaceId), str(b.NetworkInterfaceId)))
	})
	return out
}

// rank puts the interface with the node's own address first, then by device.
func rank(n ec2types.NetworkInterface, ip string) int32 {
	if ip != "" && str(n.PrivateIpAddress) == ip || n.Attachment == nil {
		return -1
	}
	return num(n.Attachment.DeviceIndex)
}

// IsBranch reports whether an interface is one pod's own, made for a
// SecurityGroupPolicy.
func IsBranch(n ec2types.NetworkInterface) bool {
	return n.InterfaceType == ec2types.NetworkInterfaceTypeBranch
}

// HasBranch reports whether a pod has an interface, and so security groups,
// of its own (vpc-resource-controller's annotation).
func HasBranch(pod *corev1.Pod) bool { return pod.Annotations["vpc.amazonaws.com/pod-eni"] != "" }

// Holders finds interfaces by address.
type Holders struct {
	byIP     map[netip.Addr]*ec2types.NetworkInterface
	prefixes map[netip.Prefix]*ec2types.NetworkInterface
}

// HoldersOf indexes interfaces by the addresses and prefixes that they have.
func HoldersOf(all []ec2types.NetworkInterface) Holders {
	h := Holders{map[netip.Addr]*ec2types.NetworkInterface{}, map[netip.Prefix]*ec2types.NetworkInterface{}}
	for i := range all {
		n := &all[i]
		h.add(str(n.PrivateIpAddress), n)
		for _, a := range n.PrivateIpAddresses {
			h.add(str(a.PrivateIpAddress), n)
		}
		for _, a := range n.Ipv6Addresses {
			h.add(str(a.Ipv6Address), n)
		}
		for _, p := range n.Ipv4Prefixes {
			h.addPrefix(str(p.Ipv4Prefix), n)
		}
		for _, p := range n.Ipv6Prefixes {
			h.addPrefix(str(p.Ipv6Prefix), n)
		}
	}
	return h
}

func (h Holders) add(ip string, n *ec2types.NetworkInterface) {
	if a, err := netip.ParseAddr(ip); err == nil {
		h.byIP[a] = n
	}
}

func (h Holders) addPrefix(cidr string, n *ec2types.NetworkInterface) {
	if p, err := netip.ParsePrefix(cidr); err == nil {
		h.prefixes[p.Masked()] = n
	}
}

// Holder returns the interface that has an address, by itself or in a
// delegated prefix (/28, or /80 for IPv6); nil when none is known.
func (h Holders) Holder(ip netip.Addr) *ec2types.NetworkInterface {
	if n := h.byIP[ip]; n != nil {
		return n
	}
	bits := 28
	if ip.Is6() {
		bits = 80
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return nil
	}
	return h.prefixes[p]
}

// GroupIDs are the ids of an interface's security groups, sorted.
func GroupIDs(n *ec2types.NetworkInterface) []string {
	var ids []string
	for _, g := range n.Groups {
		ids = append(ids, str(g.GroupId))
	}
	slices.Sort(ids)
	return ids
}
