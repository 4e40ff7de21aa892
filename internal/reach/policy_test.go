package reach

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var namespaces = []corev1.Namespace{
	{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"team": "red"}}},
	{ObjectMeta: metav1.ObjectMeta{Name: "b", Labels: map[string]string{"team": "blue"}}},
}

func pod(ns, name, ip string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}},
		Status:     corev1.PodStatus{PodIP: ip, HostIP: "10.0.0.100"},
	}
}

func peer(p *corev1.Pod) Peer { return Peer{IP: netip.MustParseAddr(p.Status.PodIP), Pod: p} }

func policy(t *testing.T, ns, spec string) networkingv1.NetworkPolicy {
	t.Helper()
	p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "p"}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPolicyAdmits(t *testing.T) {
	web, cart, other := pod("a", "web", "10.0.0.1"), pod("a", "cart", "10.0.0.2"), pod("b", "cart", "10.0.1.2")
	host := pod("a", "agent", "10.0.0.101")
	host.Spec.HostNetwork = true
	outside := Peer{IP: netip.MustParseAddr("192.0.2.7")}
	for _, tt := range []struct {
		name string
		spec []string // policies in namespace a
		to   *corev1.Pod
		from Peer
		port int32
		want bool
	}{
		{"no policy", nil, web, outside, 8080, true},
		{"a policy that selects others", []string{`{podSelector: {matchLabels: {app: cart}}}`}, web, outside, 8080, true},
		{"default deny: empty selector, no rules", []string{`{podSelector: {}}`}, web, peer(cart), 8080, false},
		{"an egress policy does not isolate ingress", []string{`{podSelector: {}, policyTypes: [Egress]}`}, web, outside, 8080, true},
		{"egress rules without types isolate both", []string{`{podSelector: {}, egress: [{}]}`}, web, outside, 8080, false},
		{"an empty rule admits all", []string{`{podSelector: {}, ingress: [{}]}`}, web, outside, 8080, true},
		{"policies add up", []string{`{podSelector: {}}`, `{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`}, web, peer(cart), 8080, true},
		{"podSelector is of the policy's namespace", []string{`{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: cart}}}]}]}`}, web, peer(other), 8080, false},
		{"namespaceSelector alone", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}`}, web, peer(other), 8080, true},
		{"both in one peer: and", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: web}}}]}]}`}, web, peer(other), 8080, false},
		{"in two peers: or", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: web}}}]}]}`}, web, peer(other), 8080, true},
		{"two peers: own namespace's pods by name only", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: web}}}]}]}`}, web, peer(cart), 8080, false},
		{"empty namespaceSelector: all pods", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}`}, web, peer(other), 8080, true},
		{"empty namespaceSelector: nobody outside", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}`}, web, outside, 8080, false},
		{"namespace by its implied name", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: b}}}]}]}`}, web, peer(other), 8080, true},
		{"ipBlock", []string{`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}`}, web, outside, 8080, true},
		{"ipBlock except", []string{`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/28]}}]}]}`}, web, outside, 8080, false},
		{"named port", []string{`{podSelector: {}, ingress: [{ports: [{port: http}]}]}`}, web, outside, 8080, true},
		{"named port that the pod has not", []string{`{podSelector: {}, ingress: [{ports: [{port: grpc}]}]}`}, web, outside, 8080, false},
		{"other port", []string{`{podSelector: {}, ingress: [{ports: [{port: 80}]}]}`}, web, outside, 8080, false},
		{"endPort", []string{`{podSelector: {}, ingress: [{ports: [{port: 8000, endPort: 8080}]}]}`}, web, outside, 8080, true},
		{"past endPort", []string{`{podSelector: {}, ingress: [{ports: [{port: 8000, endPort: 8079}]}]}`}, web, outside, 8080, false},
		{"protocol default is TCP", []string{`{podSelector: {}, ingress: [{ports: [{protocol: UDP, port: 8080}]}]}`}, web, outside, 8080, false},
		{"protocol alone: all its ports", []string{`{podSelector: {}, ingress: [{ports: [{protocol: TCP}]}]}`}, web, outside, 8080, true},
		{"hostNetwork pods are not covered", []string{`{podSelector: {}}`}, host, outside, 8080, true},
		{"hostNetwork pods are no pods to selectors", []string{`{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`}, web, peer(host), 8080, false},
		{"the pod's own node, as kubelet probes", []string{`{podSelector: {}}`}, web, Peer{IP: netip.MustParseAddr("10.0.0.100")}, 8080, true},
		{"a pod and itself", []string{`{podSelector: {}}`}, web, peer(web), 8080, true},
		{"matchExpressions", []string{`{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}}`}, web, outside, 8080, true},
		{"a malformed selector selects nothing", []string{`{podSelector: {matchExpressions: [{key: app, operator: Perhaps}]}}`}, web, outside, 8080, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ps []networkingv1.NetworkPolicy
			for _, s := range tt.spec {
				ps = append(ps, policy(t, "a", s))
			}
			if d := PolicyAdmits(ps, namespaces, tt.to, tt.from, "tcp", tt.port); d.Allowed != tt.want || d.Text == "" {
				t.Errorf("got %+v, want allowed %v", d, tt.want)
			}
		})
	}
}

func TestPolicyLetsOut(t *testing.T) {
	web, dns := pod("a", "web", "10.0.0.1"), pod("b", "dns", "10.0.1.53")
	toDNS := `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{protocol: UDP, port: 53}]}]}`
	ps := []networkingv1.NetworkPolicy{policy(t, "a", toDNS)}
	for _, tt := range []struct {
		to       Peer
		protocol string
		port     int32
		want     bool
	}{
		{peer(dns), "udp", 53, true},
		{peer(dns), "tcp", 53, false},
		{Peer{IP: netip.MustParseAddr("172.20.0.10")}, "udp", 53, false}, // a ClusterIP is no pod
		{peer(dns), "udp", 54, false},
	} {
		if d := PolicyLetsOut(ps, namespaces, web, tt.to, tt.protocol, tt.port); d.Allowed != tt.want {
			t.Errorf("%s %d to %s: %+v, want %v", tt.protocol, tt.port, tt.to, d, tt.want)
		}
	}
	named := []networkingv1.NetworkPolicy{policy(t, "a", `{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}`)}
	if d := PolicyLetsOut(named, namespaces, web, peer(dns), "tcp", 8080); !d.Allowed {
		t.Errorf("a named port is the destination's: %+v", d)
	}
	if d := PolicyLetsOut(named, namespaces, web, Peer{IP: netip.MustParseAddr("192.0.2.1")}, "tcp", 8080); d.Allowed {
		t.Errorf("an address has no named ports: %+v", d)
	}
}

// FuzzPolicy holds that a policy more never takes away what an isolated pod
// was allowed, and that none panics.
func FuzzPolicy(f *testing.F) {
	f.Add(`{"podSelector":{},"ingress":[{"from":[{"podSelector":{}}],"ports":[{"port":"http"}]}]}`, `{"podSelector":{}}`, int32(8080))
	f.Add(`{"podSelector":{},"policyTypes":["Egress"]}`, `{"ingress":[{"ports":[{"port":1,"endPort":9}]}]}`, int32(5))
	f.Fuzz(func(t *testing.T, a, b string, port int32) {
		var one, two networkingv1.NetworkPolicy
		if yaml.Unmarshal([]byte(a), &one.Spec) != nil || yaml.Unmarshal([]byte(b), &two.Spec) != nil {
			return
		}
		one.Namespace, two.Namespace = "a", "a"
		to, from := pod("a", "web", "10.0.0.1"), pod("a", "cart", "10.0.0.2")
		first := []networkingv1.NetworkPolicy{one}
		if len(Isolates(first, to, networkingv1.PolicyTypeIngress)) == 0 {
			return
		}
		before := PolicyAdmits(first, namespaces, to, peer(from), "tcp", port)
		after := PolicyAdmits(append(first, two), namespaces, to, peer(from), "tcp", port)
		if before.Allowed && !after.Allowed {
			t.Errorf("a second policy took away what the first allowed: %+v, %+v", before, after)
		}
	})
}
