package reach

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// Inputs are the facts that a Network is made of. A nil list is one that is
// not known; an empty one says that there is nothing of the kind.
type Inputs struct {
	Cluster           string // name of the EKS cluster, "" when not known
	Pods              []corev1.Pod
	Services          []corev1.Service
	EndpointSlices    []discoveryv1.EndpointSlice
	Nodes             []corev1.Node
	Namespaces        []corev1.Namespace
	NetworkPolicies   []networkingv1.NetworkPolicy
	DaemonSets        []appsv1.DaemonSet
	Addons            []ekstypes.Addon
	Clusters          []ekstypes.Cluster
	VPCs              []ec2types.Vpc
	Subnets           []ec2types.Subnet
	RouteTables       []ec2types.RouteTable
	NetworkACLs       []ec2types.NetworkAcl
	SecurityGroups    []ec2types.SecurityGroup
	NetworkInterfaces []ec2types.NetworkInterface
	NATGateways       []ec2types.NatGateway
	VPCEndpoints      []ec2types.VpcEndpoint
	LoadBalancers     []elbtypes.LoadBalancer
	TargetGroups      []elbtypes.TargetGroup
	TargetHealths     []facts.TargetHealth
}

// Needs are the kinds of fact that Trace answers from. None is required: a
// hop whose facts are missing is one that cannot be told.
var Needs = []facts.Need{
	facts.Pods, facts.Services, facts.EndpointSlices, facts.Nodes, facts.Namespaces, facts.NetworkPolicies, facts.DaemonSets,
	facts.Addons, facts.Clusters, facts.VPCs, facts.Subnets, facts.RouteTables, facts.NetworkACLs, facts.SecurityGroups,
	facts.NetworkInterfaces, facts.NATGateways, facts.VPCEndpoints, facts.LoadBalancers, facts.TargetGroups, facts.TargetHealths,
}

// FromView makes a Network of what v has of the kinds in Needs, all of which
// must be declared in v.
func FromView(v *facts.View) *Network {
	return NewNetwork(Inputs{
		Cluster: v.Cluster(),
		Pods:    listed(v, facts.Pods), Services: listed(v, facts.Services), EndpointSlices: listed(v, facts.EndpointSlices),
		Nodes: listed(v, facts.Nodes), Namespaces: listed(v, facts.Namespaces), NetworkPolicies: listed(v, facts.NetworkPolicies),
		DaemonSets: listed(v, facts.DaemonSets), Addons: listed(v, facts.Addons), Clusters: listed(v, facts.Clusters),
		VPCs: listed(v, facts.VPCs), Subnets: listed(v, facts.Subnets), RouteTables: listed(v, facts.RouteTables),
		NetworkACLs: listed(v, facts.NetworkACLs), SecurityGroups: listed(v, facts.SecurityGroups),
		NetworkInterfaces: listed(v, facts.NetworkInterfaces), NATGateways: listed(v, facts.NATGateways),
		VPCEndpoints: listed(v, facts.VPCEndpoints), LoadBalancers: listed(v, facts.LoadBalancers),
		TargetGroups: listed(v, facts.TargetGroups), TargetHealths: listed(v, facts.TargetHealths),
	})
}

// listed is what v has of a kind: nil when it is not known.
func listed[T any](v *facts.View, k facts.Key[T]) []T {
	if list := k.In(v); list != nil || !k.Have(v) {
		return list
	}
	return []T{}
}

// NewNetwork indexes facts for Trace. It keeps in, and expects that nobody
// changes it. A Network may be used by several goroutines.
func NewNetwork(in Inputs) *Network {
	n := &Network{ACLs: in.NetworkACLs, Policies: in.NetworkPolicies, Namespaces: in.Namespaces}
	if in.SecurityGroups != nil {
		n.Groups = GroupsOf(in.SecurityGroups)
	}
	n.index = newIndex(in)
	return n
}

// An index answers in constant time what Trace asks for every pair.
type index struct {
	Inputs
	holders  Holders
	pods     map[string]*corev1.Pod // by namespace/name
	podAt    map[netip.Addr]*corev1.Pod
	nodes    map[string]*corev1.Node
	nodeAt   map[netip.Addr]*corev1.Node
	services map[string]*corev1.Service // by namespace/name
	slices   map[string][]*discoveryv1.EndpointSlice
	enis     map[string]*ec2types.NetworkInterface
	acls     map[string]*ec2types.NetworkAcl       // by subnet
	tables   map[string]*ec2types.RouteTable       // by subnet
	subnets  map[string]*ec2types.Subnet           // by id
	primary  map[string]*ec2types.NetworkInterface // by node
	inside   []netip.Prefix                        // the blocks of the VPC; empty when not known
	groups   compiledGroups
	policies *policyIndex
	engine   string // what enforces NetworkPolicies; "" for nothing
	engineOK bool   // engine is known
	cni      cniSettings
	proxy    string // kube-proxy's mode

	mu    sync.Mutex
	sides map[*corev1.Pod]*sides
}

func newIndex(in Inputs) *index {
	ix := &index{
		Inputs: in, holders: HoldersOf(in.NetworkInterfaces), pods: map[string]*corev1.Pod{}, podAt: map[netip.Addr]*corev1.Pod{},
		nodes: map[string]*corev1.Node{}, nodeAt: map[netip.Addr]*corev1.Node{}, services: map[string]*corev1.Service{},
		slices: map[string][]*discoveryv1.EndpointSlice{}, enis: map[string]*ec2types.NetworkInterface{},
		acls: map[string]*ec2types.NetworkAcl{}, tables: map[string]*ec2types.RouteTable{}, subnets: map[string]*ec2types.Subnet{},
		primary: map[string]*ec2types.NetworkInterface{}, sides: map[*corev1.Pod]*sides{},
	}
	ix.addKube()
	ix.addVPC()
	ix.groups = compileGroups(in.SecurityGroups)
	ix.policies = newPolicyIndex(in.NetworkPolicies, in.Namespaces)
	ix.engine = PolicyEngine(in.DaemonSets, in.Addons)
	ix.engineOK = in.DaemonSets != nil || ix.engine != ""
	ix.cni, ix.proxy = readCNI(in.DaemonSets), proxyMode(in.DaemonSets, in.Addons)
	return ix
}

func (ix *index) addKube() {
	for i := range ix.Pods {
		p := &ix.Pods[i]
		ix.pods[p.Namespace+"/"+p.Name] = p
		if p.Spec.HostNetwork || Finished(p) {
			continue // its address is its node's, or somebody else's by now
		}
		for _, ip := range podIPs(p) {
			ix.podAt[ip] = p
		}
	}
	for i := range ix.Nodes {
		n := &ix.Nodes[i]
		ix.nodes[n.Name] = n
		for _, a := range n.Status.Addresses {
			if ip, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
				ix.nodeAt[ip] = n
			}
		}
	}
	for i := range ix.Services {
		ix.services[ix.Services[i].Namespace+"/"+ix.Services[i].Name] = &ix.Services[i]
	}
	for i := range ix.EndpointSlices {
		s := &ix.EndpointSlices[i]
		key := s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]
		ix.slices[key] = append(ix.slices[key], s)
	}
}

func (ix *index) addVPC() {
	instances := map[string]*corev1.Node{}
	for _, n := range ix.nodes {
		if id := Instance(n); id != "" {
			instances[id] = n
		}
	}
	for i := range ix.NetworkInterfaces {
		eni := &ix.NetworkInterfaces[i]
		ix.enis[str(eni.NetworkInterfaceId)] = eni
		if a := eni.Attachment; a != nil && a.DeviceIndex != nil && *a.DeviceIndex == 0 && !IsBranch(*eni) {
			if n := instances[str(a.InstanceId)]; n != nil {
				ix.primary[n.Name] = eni
			}
		}
	}
	for i := range ix.Subnets {
		s := &ix.Subnets[i]
		ix.subnets[str(s.SubnetId)] = s
	}
	for i := range ix.NetworkACLs {
		for _, a := range ix.NetworkACLs[i].Associations {
			ix.acls[str(a.SubnetId)] = &ix.NetworkACLs[i]
		}
	}
	for id, s := range ix.subnets {
		ix.tables[id], _ = TableOf(ix.RouteTables, str(s.VpcId), id)
	}
	ix.inside = vpcBlocks(ix.VPCs, ix.Subnets)
}

// vpcBlocks are the address blocks of the VPC: as the VPC tells, else those
// of its subnets.
func vpcBlocks(vpcs []ec2types.Vpc, subnets []ec2types.Subnet) []netip.Prefix {
	var out []netip.Prefix
	add := func(cidr *string) {
		if p, err := netip.ParsePrefix(str(cidr)); err == nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for _, v := range vpcs {
		add(v.CidrBlock)
		for _, a := range v.CidrBlockAssociationSet {
			add(a.CidrBlock)
		}
		for _, a := range v.Ipv6CidrBlockAssociationSet {
			add(a.Ipv6CidrBlock)
		}
	}
	if len(vpcs) > 0 {
		return out
	}
	for _, s := range subnets {
		add(s.CidrBlock)
		for _, a := range s.Ipv6CidrBlockAssociationSet {
			add(a.Ipv6CidrBlock)
		}
	}
	return out
}

// holds reports whether an address is the VPC's; known is false when its
// blocks were not read.
func (ix *index) holds(ip netip.Addr) (in, known bool) {
	if ix.holders.Holder(ip) != nil {
		return true, true
	}
	return slices.ContainsFunc(ix.inside, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) }), len(ix.inside) > 0
}

// subnetOf is the subnet whose block holds an address, nil when none is known.
func (ix *index) subnetOf(ip netip.Addr) *ec2types.Subnet {
	for _, s := range ix.subnets {
		if Contains(str(s.CidrBlock), ip) || slices.ContainsFunc(s.Ipv6CidrBlockAssociationSet, func(a ec2types.SubnetIpv6CidrBlockAssociation) bool {
			return Contains(str(a.Ipv6CidrBlock), ip)
		}) {
			return s
		}
	}
	return nil
}

// podIPs are a pod's addresses.
func podIPs(p *corev1.Pod) []netip.Addr {
	var out []netip.Addr
	for _, s := range append([]corev1.PodIP{{IP: p.Status.PodIP}}, p.Status.PodIPs...) {
		if ip, err := netip.ParseAddr(s.IP); err == nil && !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	return out
}

// cniSettings are the settings of the VPC CNI that decide as whom pods talk.
type cniSettings struct {
	known        bool
	externalSNAT bool           // AWS_VPC_K8S_CNI_EXTERNALSNAT: pods keep their address outside the VPC
	exclude      []netip.Prefix // AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS
	standard     bool           // POD_SECURITY_GROUP_ENFORCING_MODE is standard, not strict
}

// readCNI reads the environment of aws-node
// (github.com/aws/amazon-vpc-cni-k8s, README, "CNI Configuration Variables").
func readCNI(daemonSets []appsv1.DaemonSet) cniSettings {
	var c cniSettings
	for _, d := range daemonSets {
		if d.Name != "aws-node" {
			continue
		}
		for _, ctr := range d.Spec.Template.Spec.Containers {
			if ctr.Name != "aws-node" {
				continue
			}
			c.known = true
			for _, e := range ctr.Env {
				c.set(e.Name, e.Value)
			}
		}
	}
	return c
}

func (c *cniSettings) set(name, value string) {
	switch name {
	case "AWS_VPC_K8S_CNI_EXTERNALSNAT":
		c.externalSNAT = strings.EqualFold(value, "true")
	case "POD_SECURITY_GROUP_ENFORCING_MODE":
		c.standard = strings.EqualFold(value, "standard")
	case "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS":
		for cidr := range strings.SplitSeq(value, ",") {
			if p, err := netip.ParsePrefix(strings.TrimSpace(cidr)); err == nil {
				c.exclude = append(c.exclude, p)
			}
		}
	}
}

// proxyMode is how kube-proxy translates Services: iptables unless something
// says otherwise.
func proxyMode(daemonSets []appsv1.DaemonSet, addons []ekstypes.Addon) string {
	var said []string
	for _, a := range addons {
		if str(a.AddonName) == "kube-proxy" {
			said = append(said, str(a.ConfigurationValues))
		}
	}
	for _, d := range daemonSets {
		for _, c := range d.Spec.Template.Spec.Containers {
			if d.Name == "kube-proxy" {
				said = append(said, slices.Concat(c.Command, c.Args)...)
			}
		}
	}
	for _, s := range said {
		for _, mode := range []string{"nftables", "ipvs"} {
			if strings.Contains(s, mode) && strings.Contains(s, "mode") {
				return mode
			}
		}
	}
	return "iptables"
}
