package reach

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/hopwise/hopwise/internal/facts"
)

// openness orders verdicts: more is allowed to the right.
func openness(v Verdict) int { return slices.Index([]Verdict{Denied, Partly, CannotTell, Allowed}, v) }

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func somePermission(r *rand.Rand) ec2types.IpPermission {
	p := perm(pick(r, "tcp", "udp", "-1"), pick(r, int32(0), 80, 8080, 9000), pick(r, int32(80), 8080, 65535))
	switch r.IntN(4) {
	case 0:
		return withGroup(p, pick(r, "sg-node", "sg-pod", "sg-cp", "sg-other"))
	case 1:
		return withList(p, "pl-1")
	default:
		return withCIDR(p, pick(r, "0.0.0.0/0", "10.0.0.0/16", "10.0.1.0/24", "10.0.2.11/32", "192.0.2.0/24"))
	}
}

func somePeers(r *rand.Rand) []networkingv1.NetworkPolicyPeer {
	selector := func() *metav1.LabelSelector {
		return pick(r, &metav1.LabelSelector{}, &metav1.LabelSelector{MatchLabels: map[string]string{"app": pick(r, "web", "api", "near")}})
	}
	switch r.IntN(5) {
	case 0:
		return nil
	case 1:
		return []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: pick(r, "0.0.0.0/0", "10.0.0.0/16"), Except: pick(r, nil, []string{"10.0.1.0/24"})}}}
	case 2:
		return []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": pick(r, "red", "blue")}}}}
	default:
		return []networkingv1.NetworkPolicyPeer{{PodSelector: selector()}}
	}
}

func somePorts(r *rand.Rand) []networkingv1.NetworkPolicyPort {
	if r.IntN(3) == 0 {
		return nil
	}
	port := pick(r, intstr.FromInt32(8080), intstr.FromInt32(80), intstr.FromString("http"))
	return []networkingv1.NetworkPolicyPort{{Port: &port}}
}

func somePolicy(r *rand.Rand, n int) networkingv1.NetworkPolicy {
	p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprint("p", n)}}
	p.Spec.PodSelector = metav1.LabelSelector{MatchLabels: map[string]string{"app": pick(r, "web", "api")}}
	p.Spec.PolicyTypes = pick(r, []networkingv1.PolicyType{"Ingress"}, []networkingv1.PolicyType{"Egress"}, []networkingv1.PolicyType{"Ingress", "Egress"})
	for range r.IntN(3) {
		addRule(r, &p)
	}
	return p
}

func addRule(r *rand.Rand, p *networkingv1.NetworkPolicy) {
	if r.IntN(2) == 0 {
		p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: somePeers(r), Ports: somePorts(r)})
	} else {
		p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: somePeers(r), Ports: somePorts(r)})
	}
}

// someNetwork is the lab with rules at random.
func someNetwork(r *rand.Rand) Inputs {
	in := lab()
	for i := range in.SecurityGroups {
		in.SecurityGroups[i].IpPermissions, in.SecurityGroups[i].IpPermissionsEgress = nil, nil
		for range 2 + r.IntN(4) {
			in.SecurityGroups[i].IpPermissions = append(in.SecurityGroups[i].IpPermissions, somePermission(r))
		}
		for range 3 + r.IntN(3) {
			in.SecurityGroups[i].IpPermissionsEgress = append(in.SecurityGroups[i].IpPermissionsEgress, somePermission(r))
		}
	}
	for n := range r.IntN(3) {
		in.NetworkPolicies = append(in.NetworkPolicies, somePolicy(r, n))
	}
	for i := range in.NetworkACLs {
		if r.IntN(3) == 0 {
			in.NetworkACLs[i].Entries = append(in.NetworkACLs[i].Entries, someEntry(r, pick(r, allow, deny)))
		}
	}
	if r.IntN(5) == 0 {
		in.DaemonSets = nil
	}
	return in
}

func someEntry(r *rand.Rand, action ec2types.RuleAction) ec2types.NetworkAclEntry {
	e := entry(int32(1+r.IntN(99)), r.IntN(2) == 0, action, pick(r, "-1", "6"), pick(r, "0.0.0.0/0", "10.0.1.0/24", "10.0.2.0/24"))
	if r.IntN(2) == 0 {
		e.PortRange = &ec2types.PortRange{From: ptr(int32(1024)), To: ptr(int32(9000))}
	}
	return e
}

// grow adds one allow rule somewhere.
func grow(r *rand.Rand, in *Inputs) string {
	g := &in.SecurityGroups[r.IntN(len(in.SecurityGroups))]
	switch kind := r.IntN(4); {
	case kind == 0:
		g.IpPermissions = append(slices.Clone(g.IpPermissions), somePermission(r))
		return "ingress rule of " + *g.GroupId
	case kind == 1:
		g.IpPermissionsEgress = append(slices.Clone(g.IpPermissionsEgress), somePermission(r))
		return "egress rule of " + *g.GroupId
	case kind == 2 && len(in.NetworkPolicies) > 0:
		p := &in.NetworkPolicies[r.IntN(len(in.NetworkPolicies))]
		p.Spec.Ingress, p.Spec.Egress = slices.Clone(p.Spec.Ingress), slices.Clone(p.Spec.Egress)
		addRule(r, p)
		return "rule of policy " + p.Name
	default:
		a := &in.NetworkACLs[r.IntN(len(in.NetworkACLs))]
		a.Entries = append(slices.Clone(a.Entries), someEntry(r, allow))
		return "entry of " + *a.NetworkAclId
	}
}

var questions = [][2]string{{"a/web", "a/api:8080"}, {"a/web", "svc/a/api:80"}, {"a/web", "a/near:8080"}, {"a/sgp", "a/api:8080"}, {"control-plane", "a/api:8080"},
	{"a/web", "internet:443"}, {"a/web", "example.com:443"}, {"node/n1", "a/api:8080"}, {"internet", "lb/lb-1:443"}, {"10.0.1.0/24", "a/api:8080"}}

// One more rule that allows never takes anything away; read backwards, one
// rule less never opens anything.
func TestMoreRulesAllowMore(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	count := map[Verdict]int{}
	for range 3000 {
		in := someNetwork(r)
		before := NewNetwork(in)
		q := questions[r.IntN(len(questions))]
		from, to := mustEnd(t, q[0]), mustEnd(t, q[1])
		a := before.Trace(from, to, "", 0)
		count[a.Verdict]++
		in.SecurityGroups, in.NetworkPolicies, in.NetworkACLs = slices.Clone(in.SecurityGroups), slices.Clone(in.NetworkPolicies), slices.Clone(in.NetworkACLs)
		what := grow(r, &in)
		if b := NewNetwork(in).Trace(from, to, "", 0); openness(b.Verdict) < openness(a.Verdict) {
			t.Fatalf("%s to %s, one more %s\nbefore %s\nafter %s", q[0], q[1], what, hops(a), hops(b))
		}
	}
	for _, v := range []Verdict{Allowed, Denied, CannotTell} {
		if count[v] < 300 {
			t.Errorf("only %d networks were %s: %v", count[v], v, count)
		}
	}
}

// Security groups are stateful: the answers of a connection that may be made
// need no rule, whatever the rules of the way back say.
func TestAnswersNeedNoRule(t *testing.T) {
	in := lab()
	in.NetworkInterfaces[1].Groups[0].GroupId = ptr("sg-pod") // web in sg-node, api in sg-pod
	open := NewNetwork(in).Trace(mustEnd(t, "a/web"), mustEnd(t, "a/api:8080"), "", 0)
	setIngress(&in, "sg-node")
	setEgress(&in, "sg-pod")
	shut := NewNetwork(in).Trace(mustEnd(t, "a/web"), mustEnd(t, "a/api:8080"), "", 0)
	back := NewNetwork(in).Trace(mustEnd(t, "a/api"), mustEnd(t, "a/web:8080"), "", 0)
	if open.Verdict != Allowed || shut.Verdict != Allowed || back.Verdict != Denied {
		t.Errorf("there %s, there without rules back %s, back %s", open.Verdict, shut.Verdict, back.Verdict)
	}
}

// What Trace says of the filters between two hosts is what Connect says.
func TestTraceAgreesWithConnect(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		in := someNetwork(r)
		in.DaemonSets = lab().DaemonSets
		n := NewNetwork(in)
		host := func(pod, eni int) Host {
			e := &in.NetworkInterfaces[eni]
			ip := podIPs(&in.Pods[pod])[0]
			return Host{Endpoint: Endpoint{IP: ip, Groups: GroupIDs(e)}, Subnet: *e.SubnetId, Pod: &in.Pods[pod]}
		}
		_, stopped := Stopped(n.Connect(host(0, 0), host(3, 1), "tcp", 8080))
		if p := n.Trace(mustEnd(t, "a/web"), mustEnd(t, "a/api:8080"), "tcp", 0); stopped != (p.Verdict == Denied) {
			t.Fatalf("Connect says stopped %v\n%s", stopped, hops(p))
		}
	}
}

// FuzzTrace holds that no input panics, that the answer is whole, and that the
// same question has the same answer.
func FuzzTrace(f *testing.F) {
	f.Add("a/web", "svc/a/api:80", "tcp", int32(0), "10.0.0.0/8", `{"podSelector":{},"ingress":[{"ports":[{"port":"http"}]}]}`, uint32(0), false)
	f.Add("internet", "lb/lb-1:443", "udp", int32(53), "::/0", `{"egress":[{"to":[{"ipBlock":{"cidr":"x"}}]}]}`, uint32(5), true)
	f.Add("10.0.0.0/0", "[::1]:9", "", int32(-1), "999", `{"podSelector":null}`, uint32(1<<31|7), true)
	f.Fuzz(func(t *testing.T, from, to, protocol string, port int32, cidr, spec string, without uint32, hostile bool) {
		in := lab()
		var p networkingv1.NetworkPolicy
		if yaml.Unmarshal([]byte(spec), &p.Spec) == nil {
			p.Namespace = "a"
			in.NetworkPolicies = append(in.NetworkPolicies, p)
		}
		setIngress(&in, "sg-node", withCIDR(perm(protocol, port, port), cidr))
		setRoutes(&in, "rtb-priv", gateway(cidr, "igw", from), gateway("0.0.0.0/0", "tgw", to))
		if hostile { // what an API would not return, and a fixture may
			in.Pods = append(in.Pods, corev1.Pod{})
			in.Pods[0].Status.PodIP = cidr
			in.Pods[2].Annotations["vpc.amazonaws.com/pod-eni"] = spec
			in.NetworkInterfaces = append(in.NetworkInterfaces, ec2types.NetworkInterface{})
			in.Subnets = append(in.Subnets, ec2types.Subnet{CidrBlock: &cidr})
			in.RouteTables = append(in.RouteTables, ec2types.RouteTable{Routes: []ec2types.Route{{}}})
			in.NetworkACLs = append(in.NetworkACLs, ec2types.NetworkAcl{Entries: []ec2types.NetworkAclEntry{{}}})
			in.EndpointSlices[0].Endpoints[0].Addresses = []string{cidr, "", "10.0.2.11"}
			in.EndpointSlices[0].Ports = append(in.EndpointSlices[0].Ports, in.EndpointSlices[0].Ports[0])
			in.Services[0].Spec.Ports = append(in.Services[0].Spec.Ports, corev1.ServicePort{})
			in.NATGateways[0].SubnetId, in.LoadBalancers[0].LoadBalancerArn = nil, nil
			in.VPCEndpoints[0].ServiceName = nil
		}
		for i, drop := range []func(){
			func() { in.Pods = nil }, func() { in.Services = nil }, func() { in.EndpointSlices = nil }, func() { in.Nodes = nil },
			func() { in.Namespaces = nil }, func() { in.DaemonSets = nil }, func() { in.Subnets = nil }, func() { in.RouteTables = nil },
			func() { in.NetworkACLs = nil }, func() { in.SecurityGroups = nil }, func() { in.NetworkInterfaces = nil }, func() { in.NATGateways = nil },
			func() { in.VPCs = nil }, func() { in.LoadBalancers = nil },
		} {
			if without>>i&1 == 1 {
				drop()
			}
		}
		ends := [2]facts.Target{}
		for i, s := range []string{from, to} {
			var err error
			if ends[i], err = ParseEnd(s); err != nil {
				ends[i] = facts.Target{Kind: pick(rand.New(rand.NewPCG(uint64(without), uint64(i))), KindPod, KindService, KindHost, KindNode, "x", ""), Name: s, Namespace: "a", Host: s}
			}
		}
		n := NewNetwork(in)
		a := n.Trace(ends[0], ends[1], protocol, port)
		if len(a.Hops) == 0 || a.Text == "" || openness(a.Verdict) < 0 || a.Verdict != Allowed && a.Broken() < 0 {
			t.Fatalf("no whole answer: %+v", a)
		}
		if _, err := json.Marshal(a); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, NewNetwork(in).Trace(ends[0], ends[1], protocol, port)); diff != "" {
			t.Errorf("asked again:\n%s", diff)
		}
	})
}

// BenchmarkTrace asks about 10,000 pairs of pods in a cluster with 2,000
// NetworkPolicies and 500 security groups.
func BenchmarkTrace(b *testing.B) {
	in := bigCluster()
	n := NewNetwork(in)
	r := rand.New(rand.NewPCG(5, 6))
	var pairs [][2]facts.Target
	for range 10_000 {
		x, y := &in.Pods[r.IntN(len(in.Pods))], &in.Pods[r.IntN(len(in.Pods))]
		pairs = append(pairs, [2]facts.Target{{Kind: KindPod, Namespace: x.Namespace, Name: x.Name}, {Kind: KindPod, Namespace: y.Namespace, Name: y.Name}})
	}
	count := map[Verdict]int{}
	b.ResetTimer()
	for b.Loop() {
		clear(count)
		for _, p := range pairs {
			count[n.Trace(p[0], p[1], "tcp", 8080).Verdict]++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(pairs)), "ns/pair")
	if count[Allowed] == 0 || count[Denied] == 0 {
		b.Fatalf("the cluster answers all alike: %v", count)
	}
}

// BenchmarkNewNetwork is the price of the index.
func BenchmarkNewNetwork(b *testing.B) {
	in := bigCluster()
	for b.Loop() {
		NewNetwork(in)
	}
}

func bigCluster() Inputs {
	r := rand.New(rand.NewPCG(7, 8))
	in := lab()
	in.Pods, in.Namespaces, in.SecurityGroups, in.NetworkPolicies = in.Pods[:0], nil, nil, nil
	for i := range 500 {
		g := sg(fmt.Sprintf("sg-%03d", i))
		for j := range 20 {
			g.IpPermissions = append(g.IpPermissions, withGroup(perm("tcp", int32(8000+j), int32(8090+j)), fmt.Sprintf("sg-%03d", (i*7+j)%500)), withCIDR(perm("tcp", int32(9000+j), int32(9000+j)), "10.0.0.0/16"))
		}
		g.IpPermissionsEgress = []ec2types.IpPermission{withCIDR(all("-1"), "0.0.0.0/0")}
		in.SecurityGroups = append(in.SecurityGroups, g)
	}
	for node := range 100 {
		eni := labENI(fmt.Sprint("eni-", node), pick(r, "subnet-a", "subnet-b"), "sg-000", "", fmt.Sprintf("10.0.%d.1", 100+node))
		eni.Groups = nil
		for j := range 5 {
			eni.Groups = append(eni.Groups, ec2types.GroupIdentifier{GroupId: ptr(fmt.Sprintf("sg-%03d", (node*5+j*31)%500))})
		}
		for i := range 20 {
			ip := netip.AddrFrom4([4]byte{10, 0, byte(100 + node), byte(10 + i)}).String()
			p := labPod(fmt.Sprint("web-", node, "-", i), fmt.Sprint("node-", node), ip)
			p.Namespace, p.Labels = fmt.Sprint("ns-", i), map[string]string{"app": fmt.Sprint("app-", node%10), "tier": strings.Repeat("x", i%3)}
			in.Pods = append(in.Pods, p)
			eni.PrivateIpAddresses = append(eni.PrivateIpAddresses, ec2types.NetworkInterfacePrivateIpAddress{PrivateIpAddress: &ip})
		}
		in.NetworkInterfaces = append(in.NetworkInterfaces, eni)
	}
	for i := range 20 {
		in.Namespaces = append(in.Namespaces, corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("ns-", i), Labels: map[string]string{"team": fmt.Sprint(i % 4)}}})
	}
	for i := range 2000 {
		p := somePolicy(r, i)
		p.Namespace = fmt.Sprint("ns-", i%20)
		p.Spec.PodSelector = metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprint("app-", i%13)}}
		in.NetworkPolicies = append(in.NetworkPolicies, p)
	}
	return in
}
