package l4

import (
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// A member is a node, or an instance that is tagged as one and has not joined.
type member struct {
	reach.Host
	name   string
	ref    facts.Ref
	eni    *ec2types.NetworkInterface
	joined bool
	ready  bool
}

// members are the nodes of the cluster, and the instances tagged as its that
// no Node stands for.
func (cp controlPlane) members(v *facts.View) []member {
	interfaces := facts.NetworkInterfaces.In(v)
	var out []member
	known := map[string]bool{}
	nodes := facts.Nodes.In(v)
	for i := range nodes {
		mine := reach.InterfacesOf(&nodes[i], interfaces)
		if len(mine) == 0 {
			continue
		}
		if h, ok := hostOn(&mine[0]); ok {
			known[reach.Instance(&nodes[i])] = true
			out = append(out, member{h, nodes[i].Name, nodeRef(&nodes[i]), &mine[0], true, nodeReady(&nodes[i])})
		}
	}
	for i := range interfaces {
		eni := &interfaces[i]
		a := eni.Attachment
		if a == nil || facts.Val(a.InstanceId) == "" || facts.Val(a.DeviceIndex) != 0 || known[facts.Val(a.InstanceId)] || !cp.owns(eni) {
			continue
		}
		if h, ok := hostOn(eni); ok {
			id := facts.Val(a.InstanceId)
			known[id] = true
			out = append(out, member{Host: h, name: "instance " + id, ref: facts.Ref{Kind: facts.NetworkInterfaces.Kind(), ID: facts.Val(eni.NetworkInterfaceId)}, eni: eni})
		}
	}
	return out
}

// owns reports whether an interface is tagged as one of the cluster's nodes'.
func (cp controlPlane) owns(eni *ec2types.NetworkInterface) bool {
	return slices.ContainsFunc(eni.TagSet, func(t ec2types.Tag) bool {
		return facts.Val(t.Key) == "kubernetes.io/cluster/"+cp.name && facts.Val(t.Value) == "owned" || facts.Val(t.Key) == "eks:cluster-name" && facts.Val(t.Value) == cp.name
	})
}

func nodeReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func filtersOfGroups(v *facts.View) reach.Groups { return reach.GroupsOf(facts.SecurityGroups.In(v)) }

// within reports whether an address is in one of the blocks.
func within(ip string, blocks []string) bool {
	a, err := netip.ParseAddr(strings.TrimSpace(ip))
	return err == nil && slices.ContainsFunc(blocks, func(b string) bool { return reach.Contains(b, a) })
}
