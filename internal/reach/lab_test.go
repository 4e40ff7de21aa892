package reach

import (
	"fmt"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/facts"
)

// lab is a small cluster in which all is open:
//
//	subnet-a 10.0.1.0/24  node n1 .10 (eni-n1)  pods web .11, near .12, sgp .50 (branch interface)
//	subnet-b 10.0.2.0/24  node n2 .10 (eni-n2)  pods api .11, agent (host's network)
//	subnet-p 10.0.0.0/24  nat-1 .5, load balancer lb-1 .20 (internet-facing)
//	control plane .100 and VPC endpoint vpce-1 .200 in subnet-b; the VPC is 10.0.0.0/16
//	Service a/api: 80 -> http (8080) of pod api
func lab() Inputs {
	in := Inputs{
		Cluster:    "lab",
		Namespaces: namespaces,
		Pods: []corev1.Pod{
			labPod("web", "n1", "10.0.1.11"), labPod("near", "n1", "10.0.1.12"), labPod("sgp", "n1", "10.0.1.50"),
			labPod("api", "n2", "10.0.2.11"), labPod("agent", "n2", "10.0.2.10"),
		},
		Nodes:           []corev1.Node{labNode("n1", "i-1", "10.0.1.10"), labNode("n2", "i-2", "10.0.2.10")},
		NetworkPolicies: []networkingv1.NetworkPolicy{},
		DaemonSets:      []appsv1.DaemonSet{awsNode()},
		Addons:          []ekstypes.Addon{},
		Services:        []corev1.Service{labService("api")},
		EndpointSlices:  []discoveryv1.EndpointSlice{labSlice("api", "10.0.2.11", true)},
		VPCs:            []ec2types.Vpc{{VpcId: ptr("vpc-1"), CidrBlock: ptr("10.0.0.0/16")}},
		Subnets:         []ec2types.Subnet{labSubnet("subnet-a", "10.0.1.0/24"), labSubnet("subnet-b", "10.0.2.0/24"), labSubnet("subnet-p", "10.0.0.0/24")},
		RouteTables: []ec2types.RouteTable{
			labTable("rtb-priv", []string{"subnet-a", "subnet-b"}, route("0.0.0.0/0", "nat-1")),
			labTable("rtb-pub", []string{"subnet-p"}, ec2types.Route{DestinationCidrBlock: ptr("0.0.0.0/0"), GatewayId: ptr("igw-1")}),
		},
		NetworkACLs:    []ec2types.NetworkAcl{openACL("acl-a", "subnet-a"), openACL("acl-b", "subnet-b"), openACL("acl-p", "subnet-p")},
		SecurityGroups: []ec2types.SecurityGroup{openGroup("sg-node"), openGroup("sg-pod"), openGroup("sg-lb"), openGroup("sg-cp")},
		NetworkInterfaces: []ec2types.NetworkInterface{
			labENI("eni-n1", "subnet-a", "sg-node", "i-1", "10.0.1.10", "10.0.1.11", "10.0.1.12"),
			labENI("eni-n2", "subnet-b", "sg-node", "i-2", "10.0.2.10", "10.0.2.11"),
			labENI("eni-branch", "subnet-a", "sg-pod", "", "10.0.1.50"),
			labENI("eni-cp", "subnet-b", "sg-cp", "", "10.0.2.100"),
			labENI("eni-vpce", "subnet-b", "sg-cp", "", "10.0.2.200"),
			labENI("eni-lb", "subnet-p", "sg-lb", "", "10.0.0.20"),
		},
		NATGateways:   []ec2types.NatGateway{{NatGatewayId: ptr("nat-1"), SubnetId: ptr("subnet-p"), State: ec2types.NatGatewayStateAvailable, NatGatewayAddresses: []ec2types.NatGatewayAddress{{PrivateIp: ptr("10.0.0.5")}}}},
		VPCEndpoints:  []ec2types.VpcEndpoint{{VpcEndpointId: ptr("vpce-1"), ServiceName: ptr("com.amazonaws.eu-west-1.sts"), State: ec2types.StateAvailable, NetworkInterfaceIds: []string{"eni-vpce"}, DnsEntries: []ec2types.DnsEntry{{DnsName: ptr("sts.eu-west-1.amazonaws.com")}}}},
		LoadBalancers: []elbtypes.LoadBalancer{{LoadBalancerArn: ptr("arn:x:loadbalancer/app/lb-1/1"), LoadBalancerName: ptr("lb-1"), DNSName: ptr("lb-1.elb.amazonaws.com"), Scheme: elbtypes.LoadBalancerSchemeEnumInternetFacing, SecurityGroups: []string{"sg-lb"}}},
		TargetGroups:  []elbtypes.TargetGroup{{TargetGroupArn: ptr("arn:tg"), LoadBalancerArns: []string{"arn:x:loadbalancer/app/lb-1/1"}}},
		TargetHealths: []facts.TargetHealth{{TargetGroupArn: "arn:tg", TargetHealthDescriptions: []elbtypes.TargetHealthDescription{{TargetHealth: &elbtypes.TargetHealth{State: elbtypes.TargetHealthStateEnumHealthy}}}}},
	}
	in.Pods[2].Annotations = map[string]string{"vpc.amazonaws.com/pod-eni": `[{"eniId":"eni-branch"}]`}
	in.Pods[4].Spec.HostNetwork = true
	in.NetworkInterfaces[2].InterfaceType = ec2types.NetworkInterfaceTypeBranch
	in.NetworkInterfaces[3].Description = ptr("Amazon EKS lab")
	in.NetworkInterfaces[5].Description = ptr("ELB app/lb-1/1")
	in.NetworkInterfaces[5].Association = &ec2types.NetworkInterfaceAssociation{PublicIp: ptr("203.0.113.20")}
	return in
}

func labPod(name, node, ip string) corev1.Pod {
	p := *pod("a", name, ip)
	p.Spec.NodeName = node
	p.Status.HostIP = map[string]string{"n1": "10.0.1.10", "n2": "10.0.2.10"}[node]
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return p
}

func labNode(name, instance, ip string) corev1.Node {
	return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: "aws:///eu-west-1a/" + instance},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}}}}
}

// awsNode is the VPC CNI's DaemonSet: it enforces policies, and has env.
func awsNode(env ...string) appsv1.DaemonSet {
	d := appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "aws-node", Namespace: "kube-system"}}
	c := corev1.Container{Name: "aws-node"}
	for i := 0; i+1 < len(env); i += 2 {
		c.Env = append(c.Env, corev1.EnvVar{Name: env[i], Value: env[i+1]})
	}
	d.Spec.Template.Spec.Containers = []corev1.Container{c, {Name: "aws-eks-nodeagent", Args: []string{"--enable-network-policy=true"}}}
	return d
}

func labService(name string) corev1.Service {
	return corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}, Spec: corev1.ServiceSpec{
		ClusterIP: "172.20.0.7", Selector: map[string]string{"app": name},
		Ports: []corev1.ServicePort{{Name: "web", Port: 80, TargetPort: intstr.FromString("http"), Protocol: corev1.ProtocolTCP}},
	}}
}

func labSlice(service, ip string, ready bool) discoveryv1.EndpointSlice {
	return discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: service + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "a", Name: "api"}}},
		Ports:      []discoveryv1.EndpointPort{{Name: ptr("web"), Port: ptr(int32(8080)), Protocol: ptr(corev1.ProtocolTCP)}},
	}
}

func labSubnet(id, cidr string) ec2types.Subnet {
	return ec2types.Subnet{SubnetId: &id, VpcId: ptr("vpc-1"), CidrBlock: &cidr}
}

func labTable(id string, subnets []string, routes ...ec2types.Route) ec2types.RouteTable {
	t := ec2types.RouteTable{RouteTableId: &id, VpcId: ptr("vpc-1"), Routes: append([]ec2types.Route{{DestinationCidrBlock: ptr("10.0.0.0/16"), GatewayId: ptr("local"), State: ec2types.RouteStateActive}}, routes...)}
	for _, s := range subnets {
		t.Associations = append(t.Associations, ec2types.RouteTableAssociation{SubnetId: ptr(s)})
	}
	return t
}

func openACL(id, subnet string) ec2types.NetworkAcl {
	return acl(id, subnet, entry(100, false, allow, "-1", "0.0.0.0/0"), entry(100, true, allow, "-1", "0.0.0.0/0"))
}

func openGroup(id string) ec2types.SecurityGroup {
	g := sg(id, withCIDR(all("-1"), "0.0.0.0/0"))
	g.IpPermissionsEgress = []ec2types.IpPermission{withCIDR(all("-1"), "0.0.0.0/0")}
	return g
}

func labENI(id, subnet, group, instance string, ips ...string) ec2types.NetworkInterface {
	n := ec2types.NetworkInterface{NetworkInterfaceId: &id, SubnetId: &subnet, VpcId: ptr("vpc-1"), PrivateIpAddress: &ips[0], Groups: []ec2types.GroupIdentifier{{GroupId: &group}}}
	for i := range ips {
		n.PrivateIpAddresses = append(n.PrivateIpAddresses, ec2types.NetworkInterfacePrivateIpAddress{PrivateIpAddress: &ips[i]})
	}
	if instance != "" {
		n.Attachment = &ec2types.NetworkInterfaceAttachment{InstanceId: &instance, DeviceIndex: ptr(int32(0))}
	}
	return n
}

func mustEnd(t testing.TB, s string) facts.Target {
	t.Helper()
	e, err := ParseEnd(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// hops lists a path's steps, for messages.
func hops(p Path) string {
	s := fmt.Sprintf("%s %s: %s\n", p.Verdict, p.Symptom, p.Text)
	for _, h := range p.Hops {
		s += fmt.Sprintf("  %-12s %-50s %s\n", h.Verdict, h.Hop, h.Text)
	}
	return s
}
