package l4

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// A spot is a pod with the interface that carries its traffic.
type spot struct {
	pod    *corev1.Pod
	end    reach.Endpoint
	subnet string
}

// set is the name of the security groups that a spot is in: all pods on
// interfaces with the same groups are treated alike.
func (s spot) set() string { return strings.Join(s.end.Groups, ",") }

// spots places the pods that have an address of their own and share the
// groups of their node's interfaces. Pods with a branch interface are left
// out: a SecurityGroupPolicy decides about them.
func spots(pods []corev1.Pod, nodes []corev1.Node, interfaces []ec2types.NetworkInterface) []spot {
	holders := reach.HoldersOf(interfaces)
	primary := map[string]*ec2types.NetworkInterface{}
	for i := range nodes {
		if mine := reach.InterfacesOf(&nodes[i], interfaces); len(mine) > 0 {
			primary[nodes[i].Name] = &mine[0]
		}
	}
	var out []spot
	for i := range pods {
		p := &pods[i]
		ip, err := netip.ParseAddr(p.Status.PodIP)
		if err != nil || p.Spec.HostNetwork || reach.Finished(p) || reach.HasBranch(p) {
			continue
		}
		eni := holders.Holder(ip)
		if eni == nil {
			eni = primary[p.Spec.NodeName]
		}
		if eni == nil || reach.IsBranch(*eni) || len(eni.Groups) == 0 {
			continue
		}
		out = append(out, spot{p, reach.Endpoint{IP: ip, Groups: reach.GroupIDs(eni)}, facts.Val(eni.SubnetId)})
	}
	return out
}

// byOwner sorts spots by their set of groups, and within by what made the pod.
func byOwner(all []spot) map[string][][]spot {
	out, index := map[string][][]spot{}, map[string]int{}
	for _, s := range all {
		set, owner := s.set(), s.pod.Name
		if len(s.pod.OwnerReferences) > 0 {
			owner = s.pod.OwnerReferences[0].Kind + " " + s.pod.OwnerReferences[0].Name
		}
		key := set + " " + s.pod.Namespace + " " + owner
		i, ok := index[key]
		if !ok {
			i = len(out[set])
			index[key] = i
			out[set] = append(out[set], nil)
		}
		out[set][i] = append(out[set][i], s)
	}
	return out
}

// samples keeps, of spots, two on different nodes for each set of groups and
// subnet: rules tell no others apart.
func samples(all []spot) []spot {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b spot) int {
		return cmp.Compare(a.pod.Namespace+"/"+a.pod.Name, b.pod.Namespace+"/"+b.pod.Name)
	})
	seen := map[string][]string{}
	var out []spot
	for _, s := range all {
		key := s.set() + " " + s.subnet
		if len(seen[key]) < 2 && !slices.Contains(seen[key], s.pod.Spec.NodeName) {
			seen[key] = append(seen[key], s.pod.Spec.NodeName)
			out = append(out, s)
		}
	}
	return out
}

// A port is one that a Service's pods listen on.
type port struct {
	service  *corev1.Service
	protocol string
	number   int32
	pods     []spot // that are ready and listen on it
}

// servicePorts returns the ports of all Services with the ready pods behind
// them.
func servicePorts(services []corev1.Service, all []spot) []port {
	in := map[string][]spot{}
	for _, s := range all {
		in[s.pod.Namespace] = append(in[s.pod.Namespace], s)
	}
	var out []port
	for i := range services {
		s := &services[i]
		for _, sp := range s.Spec.Ports {
			byNumber := map[int32][]spot{}
			for _, at := range in[s.Namespace] {
				if n, ok := reach.TargetPort(sp, at.pod); ok && reach.Selects(s, at.pod) && reach.Ready(at.pod) {
					byNumber[n] = append(byNumber[n], at)
				}
			}
			for n, pods := range byNumber {
				out = append(out, port{s, strings.ToLower(string(cmp.Or(sp.Protocol, corev1.ProtocolTCP))), n, pods})
			}
		}
	}
	slices.SortFunc(out, func(a, b port) int {
		if da, db := isDNS(a.service), isDNS(b.service); da != db { // first what everybody needs
			if da {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.service.Namespace+"/"+a.service.Name, b.service.Namespace+"/"+b.service.Name), cmp.Compare(b.protocol, a.protocol), cmp.Compare(a.number, b.number))
	})
	return out
}
