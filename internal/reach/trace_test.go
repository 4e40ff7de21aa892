package reach

import (
	"strings"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// setEgress gives a group other egress rules.
func setEgress(in *Inputs, id string, rules ...ec2types.IpPermission) {
	for i := range in.SecurityGroups {
		if *in.SecurityGroups[i].GroupId == id {
			in.SecurityGroups[i].IpPermissionsEgress = rules
		}
	}
}

func setIngress(in *Inputs, id string, rules ...ec2types.IpPermission) {
	for i := range in.SecurityGroups {
		if *in.SecurityGroups[i].GroupId == id {
			in.SecurityGroups[i].IpPermissions = rules
		}
	}
}

func setRoutes(in *Inputs, id string, routes ...ec2types.Route) {
	for i := range in.RouteTables {
		if *in.RouteTables[i].RouteTableId == id {
			in.RouteTables[i].Routes = append(in.RouteTables[i].Routes[:1:1], routes...)
		}
	}
}

func setACL(in *Inputs, subnet string, entries ...ec2types.NetworkAclEntry) {
	for i := range in.NetworkACLs {
		if *in.NetworkACLs[i].Associations[0].SubnetId == subnet {
			in.NetworkACLs[i].Entries = entries
		}
	}
}

func gateway(cidr, kind, id string) ec2types.Route {
	r := ec2types.Route{DestinationCidrBlock: &cidr, State: ec2types.RouteStateActive}
	switch kind {
	case "pcx":
		r.VpcPeeringConnectionId = &id
	case "tgw":
		r.TransitGatewayId = &id
	default:
		r.GatewayId = &id
	}
	return r
}

// Each row changes one thing in the open lab, and says at which hop a path
// ends then.
func TestTrace(t *testing.T) {
	deny := func(spec string) func(*Inputs) {
		return func(in *Inputs) { in.NetworkPolicies = []networkingv1.NetworkPolicy{policy(t, "a", spec)} }
	}
	for _, tt := range []struct {
		name     string
		from, to string
		change   func(*Inputs)
		verdict  Verdict
		hop      string // where it breaks, a part of it
		rule     string
		symptom  Symptom
	}{
		{"open", "pod/a/web", "pod/a/api:8080", nil, Allowed, "", "", ""},
		{"open, Service", "a/web", "svc/a/api:80", nil, Allowed, "", "", ""},
		{"open, by DNS name", "a/web", "api.a.svc.cluster.local:80", nil, Allowed, "", "", ""},
		{"open, same node", "a/web", "a/near:8080", func(in *Inputs) { setEgress(in, "sg-node"); setACL(in, "subnet-a") }, Allowed, "", "", ""},
		{"open, internet", "a/web", "internet", nil, Allowed, "", "", ""},
		{"open, a host", "a/web", "example.com:443", nil, Allowed, "", "", ""},
		{"open, control plane", "control-plane", "a/api:8080", nil, Allowed, "", "", ""},
		{"open, VPC endpoint by its name", "a/web", "sts.eu-west-1.amazonaws.com:443", nil, Allowed, "", "", ""},
		{"open, in from the internet", "internet", "lb/lb-1:443", nil, Allowed, "", "", ""},
		{"open, node to pod", "node/n1", "a/api:8080", nil, Allowed, "", "", ""},
		{"open, an address", "a/web", "10.0.2.11:8080", nil, Allowed, "", "", ""},
		{"open, a block", "10.0.1.0/24", "a/api:8080", nil, Allowed, "", "", ""},

		{"egress policy", "a/web", "a/api:8080", deny(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}`), Denied, "NetworkPolicy, egress", "a/p", Timeout},
		{"ingress policy", "a/web", "a/api:8080", deny(`{podSelector: {matchLabels: {app: api}}}`), Denied, "NetworkPolicy, ingress", "a/p", Timeout},
		{"ingress policy on the same node", "a/web", "a/near:8080", deny(`{podSelector: {matchLabels: {app: near}}}`), Denied, "NetworkPolicy, ingress", "a/p", Timeout},
		{"policy that nothing enforces", "a/web", "a/api:8080", func(in *Inputs) {
			deny(`{podSelector: {}}`)(in)
			in.DaemonSets[0].Spec.Template.Spec.Containers[1].Args = []string{"--enable-network-policy=false"}
		}, Allowed, "", "", ""},
		{"policy, engine not known", "a/web", "a/api:8080", func(in *Inputs) { deny(`{podSelector: {}}`)(in); in.DaemonSets, in.Addons = nil, nil }, CannotTell, "NetworkPolicy, ingress", "a/p", ""},
		{"policy by namespace labels that are not known", "a/web", "a/api:8080", func(in *Inputs) {
			deny(`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: red}}}]}]}`)(in)
			in.Namespaces = nil
		}, CannotTell, "NetworkPolicy, ingress", "", ""},
		{"policy by namespace name, labels not known", "a/web", "a/api:8080", func(in *Inputs) {
			deny(`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: a}}}]}]}`)(in)
			in.Namespaces = nil
		}, Allowed, "", "", ""},
		{"a pod on the host's network is a node to policies", "a/agent", "a/web:8080", deny(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}`), Denied, "NetworkPolicy, ingress", "a/p", Timeout},
		{"the node of the pod is always let in", "node/n1", "a/web:8080", deny(`{podSelector: {}}`), Allowed, "", "", ""},
		{"policy for a host: other blocks are not the host", "a/web", "example.com:443", deny(`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}`), CannotTell, "NetworkPolicy, egress", "", ""},
		{"policy for the internet", "a/web", "internet", deny(`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}`), Denied, "NetworkPolicy, egress", "a/p", Timeout},

		{"source group", "a/web", "a/api:8080", func(in *Inputs) { setEgress(in, "sg-node", withCIDR(perm("tcp", 443, 443), "0.0.0.0/0")) }, Denied, "security group, egress", "", Timeout},
		{"destination group", "control-plane", "a/api:8080", func(in *Inputs) { setIngress(in, "sg-node", withGroup(all("-1"), "sg-node")) }, Denied, "security group, ingress", "", Timeout},
		{"destination group, self reference", "a/web", "a/api:8080", func(in *Inputs) { setIngress(in, "sg-node", withGroup(all("-1"), "sg-node")) }, Allowed, "", "", ""},
		{"prefix list in a group", "a/web", "a/api:8080", func(in *Inputs) { setIngress(in, "sg-node", withList(perm("tcp", 8080, 8080), "pl-1")) }, CannotTell, "security group, ingress", "sg-node", ""},
		{"branch interface, not the node's", "a/sgp", "a/api:8080", func(in *Inputs) { setEgress(in, "sg-pod") }, Denied, "security group, egress", "", Timeout},
		{"strict: pods with groups leave the node", "a/web", "a/sgp:8080", func(in *Inputs) { setIngress(in, "sg-pod") }, Denied, "security group, ingress", "", Timeout},
		{"standard: they do not", "a/web", "a/sgp:8080", func(in *Inputs) {
			setIngress(in, "sg-pod")
			in.DaemonSets[0] = awsNode("POD_SECURITY_GROUP_ENFORCING_MODE", "standard")
		}, Allowed, "", "", ""},
		{"peered side: own groups are not its", "10.9.0.4", "a/api:8080", func(in *Inputs) {
			setRoutes(in, "rtb-priv", gateway("10.9.0.0/16", "pcx", "pcx-1"))
			setIngress(in, "sg-node", withGroup(all("-1"), "sg-node"))
		}, Denied, "security group, ingress", "", Timeout},
		{"peered side: groups of the other VPC", "10.9.0.4", "a/api:8080", func(in *Inputs) {
			setRoutes(in, "rtb-priv", gateway("10.9.0.0/16", "pcx", "pcx-1"))
			setIngress(in, "sg-node", withGroup(all("-1"), "sg-theirs"))
		}, CannotTell, "peering connection pcx-1", "", ""},
		{"groups not known", "a/web", "a/api:8080", func(in *Inputs) { in.SecurityGroups = nil }, CannotTell, "security group, egress", "sg-node", ""},
		{"interfaces not known", "a/web", "a/api:8080", func(in *Inputs) { in.NetworkInterfaces = nil }, CannotTell, "security group, egress", "", ""},

		{"ACL out", "a/web", "a/api:8080", func(in *Inputs) { setACL(in, "subnet-a", entry(100, false, allow, "-1", "0.0.0.0/0")) }, Denied, "network ACL, outbound of subnet-a", "acl-a", Timeout},
		{"ACL in, by the order of the rules", "a/web", "a/api:8080", func(in *Inputs) {
			setACL(in, "subnet-b", entry(90, false, deny8080, "6", "10.0.1.0/24", 8080, 8080), entry(100, false, allow, "-1", "0.0.0.0/0"), entry(100, true, allow, "-1", "0.0.0.0/0"))
		}, Denied, "network ACL, inbound of subnet-b", "acl-b", Timeout},
		{"ACL, the answers", "a/web", "a/api:8080", func(in *Inputs) {
			setACL(in, "subnet-a", entry(100, true, allow, "-1", "0.0.0.0/0"), entry(100, false, allow, "6", "0.0.0.0/0", 32768, 65535))
		}, Denied, "network ACL, answers, inbound of subnet-a", "acl-a", Timeout},
		{"ACL does not stand in a subnet", "a/web", "a/sgp:8080", func(in *Inputs) { setACL(in, "subnet-a") }, Allowed, "", "", ""},
		{"ACLs not known", "a/web", "a/api:8080", func(in *Inputs) { in.NetworkACLs = nil }, CannotTell, "network ACL", "", ""},

		{"no route out", "a/web", "internet", func(in *Inputs) { setRoutes(in, "rtb-priv") }, Denied, "route", "rtb-priv", Timeout},
		{"blackhole", "a/web", "internet", func(in *Inputs) {
			r := route("0.0.0.0/0", "nat-1")
			r.State = ec2types.RouteStateBlackhole
			setRoutes(in, "rtb-priv", r)
		}, Denied, "route", "rtb-priv", Timeout},
		{"longest prefix", "a/web", "192.0.2.9:443", func(in *Inputs) {
			r := route("192.0.2.0/24", "nat-gone")
			r.State = ec2types.RouteStateBlackhole
			setRoutes(in, "rtb-priv", route("0.0.0.0/0", "nat-1"), r)
		}, Denied, "route", "rtb-priv", Timeout},
		{"internet gateway, no public address", "a/web", "internet", func(in *Inputs) { setRoutes(in, "rtb-priv", gateway("0.0.0.0/0", "igw", "igw-1")) }, Denied, "route", "rtb-priv", Timeout},
		{"NAT gateway failed", "a/web", "internet", func(in *Inputs) { in.NATGateways[0].State = ec2types.NatGatewayStateFailed }, Denied, "NAT gateway", "nat-1", Timeout},
		{"NAT gateway without a way out", "a/web", "internet", func(in *Inputs) { setRoutes(in, "rtb-pub") }, Denied, "route of the NAT gateway", "rtb-pub", Timeout},
		{"NAT gateways not known", "a/web", "internet", func(in *Inputs) { in.NATGateways = nil }, CannotTell, "NAT gateway", "", ""},
		{"ACL of the NAT gateway's subnet", "a/web", "internet", func(in *Inputs) { setACL(in, "subnet-p", entry(100, true, allow, "-1", "0.0.0.0/0")) }, Denied, "network ACL, inbound of subnet-p", "acl-p", Timeout},
		{"peering", "a/web", "10.9.0.4:443", func(in *Inputs) { setRoutes(in, "rtb-priv", gateway("10.9.0.0/16", "pcx", "pcx-1")) }, CannotTell, "peering connection pcx-1", "", ""},
		{"transit gateway", "a/web", "10.8.0.4:443", func(in *Inputs) { setRoutes(in, "rtb-priv", gateway("10.0.0.0/8", "tgw", "tgw-1")) }, CannotTell, "transit gateway tgw-1", "", ""},
		{"route to a prefix list", "a/web", "10.8.0.4:443", func(in *Inputs) {
			setRoutes(in, "rtb-priv", route("0.0.0.0/0", "nat-1"), ec2types.Route{DestinationPrefixListId: ptr("pl-1"), TransitGatewayId: ptr("tgw-1")})
		}, CannotTell, "route", "rtb-priv", ""},
		{"gateway endpoint beside the default route", "a/web", "internet", func(in *Inputs) {
			setRoutes(in, "rtb-priv", route("0.0.0.0/0", "nat-1"), ec2types.Route{DestinationPrefixListId: ptr("pl-s3"), GatewayId: ptr("vpce-s3")})
		}, Allowed, "", "", ""},
		{"an appliance between subnets", "a/web", "a/api:8080", func(in *Inputs) {
			setRoutes(in, "rtb-priv", ec2types.Route{DestinationCidrBlock: ptr("10.0.2.0/24"), NetworkInterfaceId: ptr("eni-fw")})
		}, CannotTell, "route", "rtb-priv", ""},
		{"route tables not known", "a/web", "a/api:8080", func(in *Inputs) { in.RouteTables = nil }, CannotTell, "route", "", ""},
		{"a host that a longer route may take", "a/web", "example.com:443", func(in *Inputs) {
			setRoutes(in, "rtb-priv", route("0.0.0.0/0", "nat-1"), gateway("203.0.113.0/24", "tgw", "tgw-1"))
		}, CannotTell, "route", "rtb-priv", ""},

		{"outside, the node's groups decide", "a/sgp", "internet", func(in *Inputs) {
			setEgress(in, "sg-node")
			in.DaemonSets[0] = awsNode("POD_SECURITY_GROUP_ENFORCING_MODE", "standard")
		}, Denied, "security group, egress", "", Timeout},
		{"outside, strict: the pod's own", "a/sgp", "internet", func(in *Inputs) { setEgress(in, "sg-node") }, Allowed, "", "", ""},
		{"outside, custom networking: the node's subnet decides", "a/web", "internet", func(in *Inputs) {
			in.NetworkInterfaces[0].PrivateIpAddresses = in.NetworkInterfaces[0].PrivateIpAddresses[:1]
			in.NetworkInterfaces = append(in.NetworkInterfaces, labENI("eni-pods", "subnet-b", "sg-none", "", "10.0.1.11"))
		}, Allowed, "", "", ""},
		{"outside, EXTERNALSNAT: the pod's own", "a/web", "internet", func(in *Inputs) {
			in.NetworkInterfaces[0].PrivateIpAddresses = in.NetworkInterfaces[0].PrivateIpAddresses[:1]
			in.NetworkInterfaces = append(in.NetworkInterfaces, labENI("eni-pods", "subnet-b", "sg-shut", "", "10.0.1.11"))
			in.SecurityGroups = append(in.SecurityGroups, sg("sg-shut"))
			in.DaemonSets[0] = awsNode("AWS_VPC_K8S_CNI_EXTERNALSNAT", "true")
		}, Denied, "security group, egress", "", Timeout},
		{"outside, not translated for a block", "a/sgp", "192.0.2.9:443", func(in *Inputs) {
			setEgress(in, "sg-node")
			in.DaemonSets[0] = awsNode("POD_SECURITY_GROUP_ENFORCING_MODE", "standard", "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "192.0.2.0/24")
		}, Allowed, "", "", ""},
		{"outside, Fargate", "a/web", "internet", func(in *Inputs) { in.Pods[0].Spec.NodeName, in.DaemonSets = "fargate-ip-10-0-1-11", nil }, Allowed, "", "", ""},
		{"translation not known", "a/web", "internet", func(in *Inputs) { in.DaemonSets = nil }, CannotTell, "source address", "", ""},

		{"in: no public address", "internet", "a/api:8080", nil, Denied, "way into", "", Timeout},
		{"in: no way back", "internet", "lb/lb-1:443", func(in *Inputs) { setRoutes(in, "rtb-pub") }, Denied, "way into", "rtb-pub", Timeout},
		{"in: group", "internet", "lb/lb-1:443", func(in *Inputs) { setIngress(in, "sg-lb", withCIDR(perm("tcp", 80, 80), "0.0.0.0/0")) }, Denied, "security group, ingress", "", Timeout},
		{"in: unhealthy targets", "internet", "lb/lb-1:443", func(in *Inputs) {
			in.TargetHealths[0].TargetHealthDescriptions[0].TargetHealth.State = elbtypes.TargetHealthStateEnumUnhealthy
		}, CannotTell, "targets", "", ""},
		{"in: to a Service of the cluster", "internet", "svc/a/api:80", nil, Denied, "Service", "a/api", Timeout},
		{"in: to a Service with a load balancer", "internet", "svc/a/api:80", func(in *Inputs) {
			in.Services[0].Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "lb-1.elb.amazonaws.com"}}
		}, Allowed, "", "", ""},

		{"no such Service", "a/web", "svc/a/apx:80", nil, Denied, "Service", "", NoSuchName},
		{"no such port, iptables", "a/web", "svc/a/api:8080", nil, Denied, "Service", "a/api", Timeout},
		{"no such port, IPVS", "a/web", "svc/a/api:81", func(in *Inputs) {
			in.Addons = []ekstypes.Addon{{AddonName: ptr("kube-proxy"), ConfigurationValues: ptr(`{"mode":"ipvs"}`)}}
		}, Denied, "Service", "a/api", Refused},
		{"no ready endpoint", "a/web", "svc/a/api:80", func(in *Inputs) { in.EndpointSlices = []discoveryv1.EndpointSlice{labSlice("api", "10.0.2.11", false)} }, Denied, "Service", "a/api", Refused},
		{"no endpoint", "a/web", "svc/a/api:80", func(in *Inputs) { in.EndpointSlices = []discoveryv1.EndpointSlice{} }, Denied, "Service", "a/api", Refused},
		{"endpoints from the pods", "a/web", "svc/a/api:80", func(in *Inputs) { in.EndpointSlices = nil }, Allowed, "", "", ""},
		{"endpoints from the pods, not ready", "a/web", "svc/a/api:80", func(in *Inputs) { in.EndpointSlices = nil; in.Pods[3].Status.Conditions = nil }, Denied, "Service", "a/api", Refused},
		{"Services not known", "a/web", "svc/a/api:80", func(in *Inputs) { in.Services = nil }, CannotTell, "Service", "", ""},
		{"endpoints not known", "a/web", "svc/a/api:80", func(in *Inputs) { in.EndpointSlices, in.Services[0].Spec.Selector = nil, nil }, CannotTell, "Service", "a/api", ""},
		{"headless: the port is the pods'", "a/web", "svc/a/api:8080", func(in *Inputs) { in.Services[0].Spec.ClusterIP = corev1.ClusterIPNone }, Allowed, "", "", ""},
		{"headless: nothing is translated", "a/web", "svc/a/api:80", func(in *Inputs) { in.Services[0].Spec.ClusterIP = corev1.ClusterIPNone }, CannotTell, "container port", "", Refused},
		{"internalTrafficPolicy Local", "a/web", "svc/a/api:80", func(in *Inputs) {
			in.Services[0].Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal)
		}, Denied, "endpoint on the same node", "", Timeout},
		{"ExternalName", "a/web", "svc/a/api:443", func(in *Inputs) {
			in.Services[0].Spec.Type, in.Services[0].Spec.ExternalName = corev1.ServiceTypeExternalName, "example.com"
		}, Allowed, "", "", ""},
		{"a port that no container declares", "a/web", "a/api:9090", nil, CannotTell, "container port", "", Refused},
		{"a pod that is not ready", "a/web", "a/api:8080", func(in *Inputs) { in.Pods[3].Status.Conditions = nil }, CannotTell, "container port", "", Refused},
		{"a pod without an address", "a/web", "a/api:8080", func(in *Inputs) { in.Pods[3].Status = corev1.PodStatus{Phase: corev1.PodPending} }, Denied, "address", "", Timeout},
		{"no such pod", "a/web", "pod/a/apx:80", nil, CannotTell, "pods", "", NoSuchName},
		{"pods not known", "a/web", "a/api:80", func(in *Inputs) { in.Pods = nil }, CannotTell, "pods", "", ""},
		{"VPC endpoint gone", "a/web", "vpce/vpce-1:443", func(in *Inputs) { in.VPCEndpoints[0].State = ec2types.StateDeleting }, Denied, "VPC endpoint", "vpce-1", Timeout},
		{"neither end in the VPC", "internet", "192.0.2.1:443", nil, CannotTell, "VPC", "", ""},
		{"whether it is in the VPC is not known", "a/web", "10.3.0.1:443", func(in *Inputs) { in.VPCs, in.Subnets = nil, nil }, CannotTell, "route", "", ""},
		{"an internet-facing load balancer from inside", "a/web", "lb/lb-1:443", nil, CannotTell, "ingress of the load balancer", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := lab()
			if tt.change != nil {
				tt.change(&in)
			}
			p := NewNetwork(in).Trace(mustEnd(t, tt.from), mustEnd(t, tt.to), "", 0)
			hop, rule := "", ""
			if i := p.Broken(); i >= 0 {
				hop, rule = p.Hops[i].Hop, p.Hops[i].Rule
			}
			if p.Verdict != tt.verdict || !strings.Contains(hop, tt.hop) || (tt.hop == "") != (hop == "") || tt.rule != "" && rule != tt.rule || p.Symptom != tt.symptom {
				t.Errorf("want %s %q at %q by %q, got\n%s", tt.verdict, tt.symptom, tt.hop, tt.rule, hops(p))
			}
			for _, h := range p.Hops {
				if h.Hop == "" || h.Text == "" {
					t.Errorf("a step without words: %+v", h)
				}
			}
		})
	}
}

const deny8080 = deny

// A path to several hosts tells how many connections are stopped.
func TestPartly(t *testing.T) {
	in := lab()
	in.Pods[1].Labels["app"], in.Pods[3].Labels["app"] = "api", "api"
	in.EndpointSlices = nil
	setEgress(&in, "sg-node") // near is on web's node, api is not
	p := NewNetwork(in).Trace(mustEnd(t, "a/web"), mustEnd(t, "svc/a/api:80"), "tcp", 0)
	if p.Verdict != Partly || p.Pairs != 2 || p.Stopped != 1 || p.Symptom != Timeout {
		t.Errorf("%d of %d stopped\n%s", p.Stopped, p.Pairs, hops(p))
	}
}

// IPv6 pods keep their address outside, and leave by an egress-only gateway.
func TestIPv6(t *testing.T) {
	in := lab()
	in.VPCs[0].Ipv6CidrBlockAssociationSet = []ec2types.VpcIpv6CidrBlockAssociation{{Ipv6CidrBlock: ptr("2001:db8:1::/56")}}
	for i, ip := range map[int]string{0: "2001:db8:1:1::11", 3: "2001:db8:1:2::11"} {
		in.Pods[i].Status.PodIP = ip
		eni := &in.NetworkInterfaces[map[int]int{0: 0, 3: 1}[i]]
		eni.Ipv6Addresses = []ec2types.NetworkInterfaceIpv6Address{{Ipv6Address: ptr(ip)}}
	}
	n := NewNetwork(in)
	if p := n.Trace(mustEnd(t, "a/web"), mustEnd(t, "a/api:8080"), "", 0); p.Verdict != Denied || p.Symptom != Timeout {
		t.Errorf("rules for IPv4 alone:\n%s", hops(p))
	}
	for i := range in.SecurityGroups {
		in.SecurityGroups[i].IpPermissions = []ec2types.IpPermission{withCIDR6(all("-1"), "::/0")}
		in.SecurityGroups[i].IpPermissionsEgress = in.SecurityGroups[i].IpPermissions
	}
	for i := range in.NetworkACLs {
		for _, egress := range []bool{true, false} {
			e := entry(101, egress, allow, "-1", "")
			e.CidrBlock, e.Ipv6CidrBlock = nil, ptr("::/0")
			in.NetworkACLs[i].Entries = append(in.NetworkACLs[i].Entries, e)
		}
	}
	for i := range in.RouteTables {
		in.RouteTables[i].Routes = append(in.RouteTables[i].Routes, ec2types.Route{DestinationIpv6CidrBlock: ptr("2001:db8:1::/56"), GatewayId: ptr("local")})
	}
	n = NewNetwork(in)
	if p := n.Trace(mustEnd(t, "a/web"), mustEnd(t, "a/api:8080"), "", 0); p.Verdict != Allowed {
		t.Errorf("rules for IPv6:\n%s", hops(p))
	}
	if p := n.Trace(mustEnd(t, "a/web"), mustEnd(t, "internet"), "", 443); p.Verdict != Denied {
		t.Errorf("no IPv6 route out:\n%s", hops(p))
	}
	in.RouteTables[0].Routes = append(in.RouteTables[0].Routes, ec2types.Route{DestinationIpv6CidrBlock: ptr("::/0"), EgressOnlyInternetGatewayId: ptr("eigw-1")})
	if p := NewNetwork(in).Trace(mustEnd(t, "a/web"), mustEnd(t, "internet"), "", 443); p.Verdict != Allowed {
		t.Errorf("egress-only gateway:\n%s", hops(p))
	}
}

// A name without a kind is a pod, a workload, what labels say, or a Service.
func TestNames(t *testing.T) {
	in := lab()
	in.Pods[0].Name, in.Pods[0].Labels = "web-7f5c6b9d48-8vhpl", map[string]string{"pod-template-hash": "7f5c6b9d48"}
	in.Pods[0].OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-7f5c6b9d48", Controller: ptr(true)}}
	in.Services = append(in.Services, labService("front"))
	in.Services[1].Spec.Selector = map[string]string{"app": "near"}
	n := NewNetwork(in)
	for _, from := range []string{"web", "a/web", "deploy/a/web", "pod/a/web-7f5c6b9d48-8vhpl", "near", "front", "svc/a/front", "svc/front"} {
		if p := n.Trace(mustEnd(t, from), mustEnd(t, "api:80"), "", 0); p.Verdict != Allowed {
			t.Errorf("from %s:\n%s", from, hops(p))
		}
	}
	in.Pods = append(in.Pods, *pod("b", "near", "10.0.2.12"))
	if p := NewNetwork(in).Trace(mustEnd(t, "near"), mustEnd(t, "svc/api:80"), "", 0); p.Verdict != CannotTell || !strings.Contains(p.Text, "a, b") {
		t.Errorf("a name in two namespaces:\n%s", hops(p))
	}
}

// Nothing is known: nothing is allowed, and nothing is denied.
func TestNothingKnown(t *testing.T) {
	for _, from := range []string{"a/web", "internet", "node/n1", "lb/x", "10.0.0.1", "control-plane", "vpce/x", "svc/a/b"} {
		for _, to := range []string{"a/api:80", "svc/a/api:80", "10.0.0.2:80", "lb/x:80", "vpce/x:80", "node/n1:80", "control-plane:443"} {
			for _, n := range []*Network{{}, NewNetwork(Inputs{})} {
				if p := n.Trace(mustEnd(t, from), mustEnd(t, to), "", 0); p.Verdict != CannotTell || len(p.Hops) == 0 {
					t.Errorf("%s to %s:\n%s", from, to, hops(p))
				}
			}
		}
	}
}

// Whatever one kind of fact is missing, a path that was open is open or cannot
// be told, never broken.
func TestMissingIsNeverDenied(t *testing.T) {
	less := []func(*Inputs){
		func(in *Inputs) { in.Pods = nil }, func(in *Inputs) { in.Services = nil }, func(in *Inputs) { in.EndpointSlices = nil },
		func(in *Inputs) { in.Nodes = nil }, func(in *Inputs) { in.Namespaces = nil }, func(in *Inputs) { in.NetworkPolicies = nil },
		func(in *Inputs) { in.DaemonSets = nil }, func(in *Inputs) { in.Addons = nil }, func(in *Inputs) { in.VPCs = nil },
		func(in *Inputs) { in.Subnets = nil }, func(in *Inputs) { in.RouteTables = nil }, func(in *Inputs) { in.NetworkACLs = nil },
		func(in *Inputs) { in.SecurityGroups = nil }, func(in *Inputs) { in.NetworkInterfaces = nil }, func(in *Inputs) { in.NATGateways = nil },
		func(in *Inputs) { in.VPCEndpoints = nil }, func(in *Inputs) { in.LoadBalancers = nil }, func(in *Inputs) { in.TargetHealths = nil },
	}
	for _, q := range [][2]string{{"a/web", "svc/a/api:80"}, {"a/web", "a/api:8080"}, {"a/web", "internet"}, {"internet", "lb/lb-1:443"}, {"control-plane", "a/api:8080"}, {"a/web", "sts.eu-west-1.amazonaws.com:443"}} {
		for i := range less {
			for j := range less {
				in := lab()
				less[i](&in)
				less[j](&in)
				if p := NewNetwork(in).Trace(mustEnd(t, q[0]), mustEnd(t, q[1]), "", 0); p.Verdict == Denied || p.Verdict == Partly {
					t.Errorf("%s to %s without %d and %d:\n%s", q[0], q[1], i, j, hops(p))
				}
			}
		}
	}
}

func TestParseEnd(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want facts.Target
	}{
		{"pod/shop/cart", facts.Target{Kind: KindPod, Namespace: "shop", Name: "cart"}},
		{"svc/shop/cart:80", facts.Target{Kind: KindService, Namespace: "shop", Name: "cart", Port: 80}},
		{"svc/cart:80", facts.Target{Kind: KindService, Name: "cart", Port: 80}},
		{"shop/cart", facts.Target{Namespace: "shop", Name: "cart"}},
		{"cart:80", facts.Target{Name: "cart", Port: 80}},
		{"deploy/shop/cart", facts.Target{Kind: KindDeployment, Namespace: "shop", Name: "cart"}},
		{"node/ip-10-0-0-1.ec2.internal:10250", facts.Target{Kind: KindNode, Name: "ip-10-0-0-1.ec2.internal", Port: 10250}},
		{"internet", facts.Target{Kind: KindInternet}},
		{"Internet:443", facts.Target{Kind: KindInternet, Port: 443}},
		{"control-plane", facts.Target{Kind: KindControlPlane}},
		{"example.com:443", facts.Target{Kind: KindHost, Host: "example.com", Port: 443}},
		{"10.0.0.1:53", facts.Target{Kind: KindHost, Host: "10.0.0.1", Port: 53}},
		{"10.0.0.0/16", facts.Target{Kind: KindHost, Host: "10.0.0.0/16"}},
		{"2001:db8::1", facts.Target{Kind: KindHost, Host: "2001:db8::1"}},
		{"[2001:db8::1]:443", facts.Target{Kind: KindHost, Host: "2001:db8::1", Port: 443}},
		{"2001:db8::/32", facts.Target{Kind: KindHost, Host: "2001:db8::/32"}},
		{"lb/k8s-shop", facts.Target{Kind: KindLoadBalancer, Name: "k8s-shop"}},
		{"vpce-0123", facts.Target{Kind: KindVPCEndpoint, Name: "vpce-0123"}},
	} {
		got, err := ParseEnd(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("ParseEnd(%q) = %+v %v, want %+v", tt.in, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "a/b/c", "pod/a/b/c", "cart:http", "cart:70000", "cart:0", "pod//x", "/"} {
		if got, err := ParseEnd(bad); err == nil {
			t.Errorf("ParseEnd(%q) = %+v, want an error", bad, got)
		}
	}
}
