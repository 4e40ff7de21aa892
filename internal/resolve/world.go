package resolve

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// Names and places of the cluster's DNS (EKS, NodeLocal DNSCache).
const (
	dnsNamespace  = "kube-system"
	dnsService    = "kube-dns"
	corednsMap    = "coredns"
	nodeLocalMap  = "node-local-dns" // ConfigMap and DaemonSet
	nodeLocalAddr = "169.254.20.10"
	defaultDomain = "cluster.local"
)

// A World is what is known of all that answers names. A nil list is one that
// is not known; an empty one says that there is nothing of the kind.
type World struct {
	Region         string
	Pods           []corev1.Pod
	Services       []corev1.Service
	Namespaces     []corev1.Namespace
	EndpointSlices []discoveryv1.EndpointSlice
	ConfigMaps     []corev1.ConfigMap
	DaemonSets     []appsv1.DaemonSet
	KubeletConfigs []facts.KubeletConfig

	Clusters          []ekstypes.Cluster
	VPCs              []ec2types.Vpc
	VPCAttributes     []facts.VPCAttributes
	DHCPOptions       []ec2types.DhcpOptions
	VPCEndpoints      []ec2types.VpcEndpoint
	NetworkInterfaces []ec2types.NetworkInterface
	SecurityGroups    []ec2types.SecurityGroup
	LoadBalancers     []elbtypes.LoadBalancer

	HostedZones       []facts.HostedZone
	Records           []facts.RecordSets
	Rules             []resolvertypes.ResolverRule
	RuleAssociations  []resolvertypes.ResolverRuleAssociation
	ResolverEndpoints []facts.ResolverEndpoint
	Firewall          []facts.FirewallRuleGroup

	read *corefiles
}

// corefiles keeps what was parsed: the same few texts are asked for again
// and again.
type corefiles struct {
	mu sync.Mutex
	by map[string]*Corefile
}

// parsed is ParseCorefile with a memory, if w was made by New.
func (w *World) parsed(text string) (*Corefile, error) {
	if w.read == nil {
		return ParseCorefile(text)
	}
	w.read.mu.Lock()
	defer w.read.mu.Unlock()
	if c := w.read.by[text]; c != nil {
		return c, nil
	}
	c, err := ParseCorefile(text)
	if err == nil && len(w.read.by) < 8 {
		w.read.by[text] = c
	}
	return c, err
}

// Needs are the kinds of fact without which hardly a name can be followed.
var Needs = []facts.Need{facts.Services, facts.Namespaces, facts.EndpointSlices, facts.ConfigMaps}

// Wants are the other kinds. A hop whose facts are missing is one that
// cannot be told.
var Wants = []facts.Need{
	facts.Pods, facts.DaemonSets, facts.KubeletConfigs, facts.Clusters, facts.VPCs, facts.VPCAttribute, facts.DHCPOptions,
	facts.VPCEndpoints, facts.NetworkInterfaces, facts.SecurityGroups, facts.LoadBalancers, facts.HostedZones, facts.Records, facts.ResolverRules,
	facts.ResolverRuleAssociations, facts.ResolverEndpoints, facts.FirewallRuleGroups,
}

// New makes a World of what v has of the kinds in Needs and Wants, all of
// which must be declared in v.
func New(v *facts.View) *World {
	return &World{
		read:   &corefiles{by: map[string]*Corefile{}},
		Region: v.Region(),
		Pods:   listed(v, facts.Pods), Services: listed(v, facts.Services), Namespaces: listed(v, facts.Namespaces),
		EndpointSlices: listed(v, facts.EndpointSlices), ConfigMaps: listed(v, facts.ConfigMaps), DaemonSets: listed(v, facts.DaemonSets),
		KubeletConfigs: listed(v, facts.KubeletConfigs), Clusters: listed(v, facts.Clusters), VPCs: listed(v, facts.VPCs),
		VPCAttributes: listed(v, facts.VPCAttribute), DHCPOptions: listed(v, facts.DHCPOptions), VPCEndpoints: listed(v, facts.VPCEndpoints),
		NetworkInterfaces: listed(v, facts.NetworkInterfaces), SecurityGroups: listed(v, facts.SecurityGroups), LoadBalancers: listed(v, facts.LoadBalancers),
		HostedZones: listed(v, facts.HostedZones), Records: listed(v, facts.Records), Rules: listed(v, facts.ResolverRules),
		RuleAssociations: listed(v, facts.ResolverRuleAssociations), ResolverEndpoints: listed(v, facts.ResolverEndpoints),
		Firewall: listed(v, facts.FirewallRuleGroups),
	}
}

// listed is what v has of a kind: nil when it is not known.
func listed[T any](v *facts.View, k facts.Key[T]) []T {
	if list := k.In(v); list != nil || !k.Have(v) {
		return list
	}
	return []T{}
}

func (w *World) service(namespace, name string) *corev1.Service {
	i := slices.IndexFunc(w.Services, func(s corev1.Service) bool { return s.Namespace == namespace && s.Name == name })
	if i < 0 {
		return nil
	}
	return &w.Services[i]
}

// Addresses are the addresses of the Service in front of CoreDNS.
func (w *World) Addresses() []netip.Addr {
	if s := w.service(dnsNamespace, dnsService); s != nil {
		return clusterIPs(s)
	}
	return nil
}

func clusterIPs(s *corev1.Service) []netip.Addr {
	var out []netip.Addr
	for _, ip := range unique(append(slices.Clone(s.Spec.ClusterIPs), s.Spec.ClusterIP)) {
		if a, err := netip.ParseAddr(ip); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// AutoMode reports whether nodes of EKS Auto Mode resolve names themselves.
func (w *World) AutoMode() bool {
	return slices.ContainsFunc(w.Clusters, func(c ekstypes.Cluster) bool {
		return c.ComputeConfig != nil && facts.Val(c.ComputeConfig.Enabled)
	})
}

// Corefile is the Corefile in a ConfigMap of kube-system; ok is false when
// there is no such ConfigMap or key, or ConfigMaps are not known.
func (w *World) Corefile(configMap string) (text string, ok bool) {
	for _, m := range w.ConfigMaps {
		if m.Namespace == dnsNamespace && m.Name == configMap {
			text, ok = m.Data["Corefile"]
			return text, ok
		}
	}
	return "", false
}

// NodeLocal reports whether the cache on the nodes is installed.
func (w *World) NodeLocal() bool {
	return slices.ContainsFunc(w.DaemonSets, func(d appsv1.DaemonSet) bool {
		return d.Namespace == dnsNamespace && strings.Contains(strings.ReplaceAll(d.Name, "-", ""), "nodelocaldns")
	})
}

// VPC is the VPC of the cluster; nil when it is not known.
func (w *World) VPC() *ec2types.Vpc {
	id := ""
	for _, c := range w.Clusters {
		if c.ResourcesVpcConfig != nil {
			id = facts.Val(c.ResourcesVpcConfig.VpcId)
		}
	}
	for i := range w.VPCs {
		if facts.Val(w.VPCs[i].VpcId) == id || id == "" && len(w.VPCs) == 1 {
			return &w.VPCs[i]
		}
	}
	return nil
}

func (w *World) vpcID() string {
	if v := w.VPC(); v != nil {
		return facts.Val(v.VpcId)
	}
	return ""
}

// Amazon's resolver has these addresses in every VPC, beside the one after
// the router's in the VPC's first block
// (docs.aws.amazon.com/vpc: AmazonDNS concepts).
var amazonDNS = []netip.Addr{netip.MustParseAddr("169.254.169.253"), netip.MustParseAddr("fd00:ec2::253")}

// VPCResolver reports whether an address is that of the VPC's own resolver.
func (w *World) VPCResolver(a netip.Addr) bool {
	return slices.Contains(amazonDNS, a) || a.IsValid() && a == w.plusTwo()
}

// plusTwo is the address of the resolver in the VPC's first block.
func (w *World) plusTwo() netip.Addr {
	v := w.VPC()
	if v == nil {
		return netip.Addr{}
	}
	p, err := netip.ParsePrefix(facts.Val(v.CidrBlock))
	if err != nil {
		return netip.Addr{}
	}
	return p.Masked().Addr().Next().Next()
}

// dhcp are the values of an option of the VPC's DHCP set; known is false
// when the set was not read.
func (w *World) dhcp(key string) (values []string, known bool) {
	v := w.VPC()
	if v == nil {
		return nil, false
	}
	for _, o := range w.DHCPOptions {
		if facts.Val(o.DhcpOptionsId) != facts.Val(v.DhcpOptionsId) {
			continue
		}
		for _, c := range o.DhcpConfigurations {
			if facts.Val(c.Key) == key {
				for _, x := range c.Values {
					values = append(values, strings.FieldsFunc(facts.Val(x.Value), func(r rune) bool { return r == ' ' || r == ',' })...)
				}
			}
		}
		return values, true
	}
	return nil, facts.Val(v.DhcpOptionsId) == "default"
}

// NodeDNS are the nameservers and search domains that the VPC's DHCP options
// give to nodes; known is false when those are not read.
func (w *World) NodeDNS() (servers, search []string, known bool) {
	given, known := w.dhcp("domain-name-servers")
	for _, s := range given {
		if s != "AmazonProvidedDNS" {
			servers = append(servers, s)
		} else if a := w.plusTwo(); a.IsValid() {
			servers = append(servers, a.String())
		}
	}
	search, _ = w.dhcp("domain-name")
	return servers, search, known
}

// clusterDNS is what the kubelet of a node writes into resolv.conf files.
// read tells whether the kubelet itself was asked.
func (w *World) clusterDNS(node string) (c ClusterDNS, read bool) {
	for _, a := range w.Addresses() {
		c.Addresses = append(c.Addresses, a.String())
	}
	c.Domain = w.Domain()
	c.NodeNameservers, c.NodeSearch, _ = w.NodeDNS()
	for _, k := range w.KubeletConfigs {
		if k.Name == node {
			c.Addresses, c.Domain = k.KubeletConfig.ClusterDNS, cmp.Or(k.KubeletConfig.ClusterDomain, c.Domain)
			return c, true
		}
	}
	return c, false
}

// Domain is the cluster's domain: what the kubelets say, else what CoreDNS
// serves, else cluster.local.
func (w *World) Domain() string {
	for _, k := range w.KubeletConfigs {
		if d := k.KubeletConfig.ClusterDomain; d != "" {
			return strings.TrimSuffix(d, ".")
		}
	}
	text, _ := w.Corefile(corednsMap)
	if c, err := w.parsed(text); err == nil {
		for i := range c.Blocks {
			for _, k := range c.Blocks[i].Kubernetes() {
				for _, z := range k.Zones {
					if !strings.HasSuffix(z, ".arpa.") && z != "." {
						return strings.TrimSuffix(z, ".")
					}
				}
			}
		}
	}
	return defaultDomain
}
