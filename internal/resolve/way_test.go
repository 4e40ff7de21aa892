package resolve

import (
	"strings"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

const (
	clusterGroup = "sg-0c10000000000000c" // that CoreDNS is in
	appsNode     = "ip-10-0-10-21.eu-west-1.compute.internal"
)

// apart gives the interfaces of the apps nodes a group of their own, and the
// cluster's group a rule for it in each of protocols.
func (w *World) apart(protocols ...string) {
	everywhere := []ec2types.IpPermission{{IpProtocol: ptr("-1"), IpRanges: []ec2types.IpRange{{CidrIp: ptr("0.0.0.0/0")}}}}
	w.SecurityGroups = append([]ec2types.SecurityGroup{}, w.SecurityGroups...)
	for i := range w.SecurityGroups {
		g := &w.SecurityGroups[i]
		for _, p := range protocols {
			if facts.Val(g.GroupId) == clusterGroup {
				g.IpPermissions = append(g.IpPermissions, ec2types.IpPermission{IpProtocol: &p, FromPort: ptr(int32(53)), ToPort: ptr(int32(53)), UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: ptr("sg-apps")}}})
			}
		}
	}
	w.SecurityGroups = append(w.SecurityGroups, ec2types.SecurityGroup{GroupId: ptr("sg-apps"), IpPermissionsEgress: everywhere})
	for i := range w.NetworkInterfaces {
		if n := &w.NetworkInterfaces[i]; strings.HasPrefix(facts.Val(n.NetworkInterfaceId), "eni-0a") {
			n.Groups = []ec2types.GroupIdentifier{{GroupId: ptr("sg-apps")}}
		}
	}
}

// cached puts the cache on the nodes, with one pod, in front of CoreDNS.
func (w *World) cached(corefile string) {
	w.DaemonSets = append(w.DaemonSets, appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: dnsNamespace, Name: nodeLocalMap}})
	w.Pods = append(w.Pods, corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: dnsNamespace, Name: "node-local-dns-x", Labels: map[string]string{"k8s-app": nodeLocalMap}},
		Spec:       corev1.PodSpec{NodeName: appsNode, HostNetwork: true}, Status: corev1.PodStatus{PodIP: "10.0.10.21"},
	})
	w.set(nodeLocalMap, corefile)
}

func TestWayToCoreDNS(t *testing.T) {
	tcp := strings.ReplaceAll(nodeLocalCorefile, "forward . __PILLAR__CLUSTER__DNS__", "forward . __PILLAR__CLUSTER__DNS__ {\n  force_tcp\n }")
	for _, c := range []struct {
		what, name string
		change     func(*World)
		kind       Kind
		want       string
	}{
		{"as it is", "web", nil, Found, ""},
		{"no rule", "web", func(w *World) { w.apart() }, TimedOut, "security group " + clusterGroup + " stops udp 53 between shop/cart"},
		{"a rule for UDP", "web", func(w *World) { w.apart("udp") }, Found, ""},
		{"groups not read", "web", func(w *World) { w.apart(); w.SecurityGroups = nil }, Found, ""},
		{"interfaces not known", "web", func(w *World) { w.apart(); w.NetworkInterfaces = []ec2types.NetworkInterface{} }, Found, ""},
		{"a CoreDNS pod on the same node", "web", func(w *World) {
			w.apart()
			for i := range w.Pods {
				if w.Pods[i].Labels["k8s-app"] == dnsService {
					w.Pods[i].Spec.NodeName = appsNode
					return
				}
			}
		}, Found, ""},
		{"the cache asks over TCP, a rule for UDP", "web", func(w *World) { w.apart("udp"); w.cached(tcp) }, TimedOut, "stops tcp 53 between kube-system/node-local-dns-x and CoreDNS"},
		{"the cache asks over TCP, a rule for TCP", "web", func(w *World) { w.apart("tcp"); w.cached(tcp) }, Found, ""},
		{"the cache asks as it is asked, a rule for UDP", "web", func(w *World) { w.apart("udp"); w.cached(nodeLocalCorefile) }, Found, ""},
		{"the cache asks others for names outside", "www.example.com.", func(w *World) { w.apart("udp"); w.cached(tcp) }, Found, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := shop(t)
			if c.change != nil {
				c.change(w)
			}
			p := Resolve(Query{Name: c.name, Pod: w.cart(t)}, w)
			if p.Answer.Kind != c.kind || !strings.Contains(p.Text, c.want) {
				t.Errorf("%s: %s\nwant %s, %q", p.Answer.Kind, p.Text, c.kind, c.want)
			}
			coherent(t, &p)
		})
	}
}

// cart is a pod of the shop on an apps node.
func (w *World) cart(t *testing.T) *corev1.Pod {
	for i := range w.Pods {
		if p := &w.Pods[i]; p.Namespace == "shop" && strings.HasPrefix(p.Name, "cart-") && p.Spec.NodeName == appsNode {
			return p
		}
	}
	t.Fatal("no cart on " + appsNode)
	return nil
}

func TestInspecting(t *testing.T) {
	trusts := guard(1, "ALLOW", "*.shop.internal")
	trusts.FirewallDomainRedirectionAction = resolvertypes.FirewallDomainRedirectionActionTrustRedirectionDomain
	for _, c := range []struct {
		what  string
		rules []facts.FirewallRule
		want  bool
	}{
		{"allows and inspects", []facts.FirewallRule{guard(1, "ALLOW", "*.shop.internal"), guard(2, "BLOCK", "*")}, true},
		{"allows and trusts", []facts.FirewallRule{trusts, guard(2, "BLOCK", "*")}, false},
		{"blocks", []facts.FirewallRule{guard(1, "BLOCK", "*"), guard(2, "ALLOW", "*.shop.internal")}, false},
		{"a list that nobody tells comes first", []facts.FirewallRule{guard(1, "ALLOW"), guard(2, "ALLOW", "*.shop.internal")}, false},
		{"no rules", nil, false},
	} {
		w := shop(t)
		w.block(c.rules...)
		if got := w.Inspecting("db.shop.internal", "A") != nil; got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
