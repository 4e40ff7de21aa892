package resolve

import (
	"slices"
	"strings"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/world"
)

func TestResolve(t *testing.T) {
	with := func(old, new string) func(*World) {
		return func(w *World) { w.set(corednsMap, strings.Replace(eksDefault, old, new, 1)) }
	}
	for _, c := range []struct {
		what   string
		change func(*World)
		name   string
		kind   Kind
		want   string // part of the text
	}{
		{"a Service", nil, "web", Found, "172.20.18.201"},
		{"of another namespace", nil, "kube-dns.kube-system", Found, "172.20.0.10"},
		{"in full", nil, "KUBERNETES.default.svc.cluster.local.", Found, "172.20.0.1"},
		{"Service of another namespace by its bare name", nil, "metrics-server", NXDomain, "namespace shop has no Service metrics-server; there is one in kube-system"},
		{"typo of a namespace", nil, "kube-dns.kube-sytem.svc", NXDomain, "there is no namespace kube-sytem; there is kube-system"},
		{"typo of a Service", nil, "wen.shop", NXDomain, "namespace shop has no Service wen; there is web"},
		{"a port", nil, "_dns._udp.kube-dns.kube-system.svc.cluster.local", Found, "172.20.0.10"},
		{"a port of the wrong protocol", nil, "_metrics._udp.kube-dns.kube-system.svc.cluster.local", NXDomain, "no port metrics of protocol udp"},
		{"not a Service name", nil, "web.shop.cluster.local.", NXDomain, "SERVICE.NAMESPACE.svc.cluster.local"},
		{"a pod's address", nil, "10-0-10-53.kube-system.pod.cluster.local", Found, "10.0.10.53"},
		{"pods disabled", with("      pods insecure\n", ""), "10-0-10-53.kube-system.pod.cluster.local", NXDomain, "pods disabled"},
		{"pods verified", with("insecure", "verified"), "10-0-10-99.kube-system.pod.cluster.local", NXDomain, "no pod of namespace kube-system has the address 10.0.10.99"},
		{"only some namespaces", with("pods insecure", "namespaces prod"), "web", NXDomain, "the Corefile serves only namespaces prod"},
		{"headless", func(w *World) {
			w.add(service("shop", "db", "None"), map[string]bool{"10.0.1.1": true, "10.0.1.2": false})
		}, "db", Found, "10.0.1.1"},
		{"headless, one host", func(w *World) { w.add(service("shop", "db", "None"), map[string]bool{"10.0.1.1": true}) }, "db-1.db", Found, "10.0.1.1"},
		{"headless, no such host", func(w *World) { w.add(service("shop", "db", "None"), map[string]bool{"10.0.1.1": true}) }, "db-7.db.shop.svc", NXDomain, "has no endpoint db-7; it has db-1"},
		{"headless, none ready", func(w *World) { w.add(service("shop", "db", "None"), map[string]bool{"10.0.1.1": false}) }, "db", NXDomain, "no ready endpoint (1 are not ready); without publishNotReadyAddresses"},
		{"ClusterIP without endpoints", func(w *World) { w.add(service("shop", "db", "172.20.9.9"), nil) }, "db", Found, "172.20.9.9"},
		{"ignore empty_service", func(w *World) {
			with("pods insecure", "ignore empty_service")(w)
			w.add(service("shop", "db", "172.20.9.9"), nil)
		}, "db", NXDomain, "ignore empty_service"},
		{"ExternalName", func(w *World) {
			w.Services = append(w.Services, external("db", "db.shop.internal"))
			w.record(internalZone, rr("db2.shop.internal.", "A", "10.0.3.3"))
			w.Services = append(w.Services, external("db2", "db2.shop.internal"))
		}, "db2", Found, "10.0.3.3"},
		{"ExternalName of an address", func(w *World) { w.Services = append(w.Services, external("db", "10.0.3.3")) }, "db", NXDomain, "with the address 10.0.3.3, where a name must stand"},
		{"ExternalNames in a circle", func(w *World) {
			w.Services = append(w.Services, external("a", "b.shop.svc.cluster.local"), external("b", "a.shop.svc.cluster.local"))
		}, "a", ServFail, "more than 8 aliases"},
		{"kube-dns without endpoints", func(w *World) {
			w.EndpointSlices = slices.DeleteFunc(w.EndpointSlices, func(s discoveryv1.EndpointSlice) bool { return s.Namespace == dnsNamespace })
		}, "web", TimedOut, "has no ready endpoint"},
		{"Corefile broken", with("loop", "lop"), "web", NotKnown, "Unknown directive 'lop'"},
		{"no Corefile read", func(w *World) { w.ConfigMaps = nil }, "web", NotKnown, "was not read"},
		{"Services not read", func(w *World) { w.Services = nil }, "web", NotKnown, "not known"},
		{"forwarding to itself", with("/etc/resolv.conf", "172.20.0.10"), "example.org", ServFail, "a loop"},
		{"stub", func(w *World) { w.set(corednsMap, eksDefault+"corp.example:53 {\n forward . 10.9.9.9\n}\n") }, "git.corp.example", NotKnown, "the server 10.9.9.9 answers; it was not asked"},
		{"rewrite", with("    loop\n", "    rewrite name exact db.corp web.shop.svc.cluster.local\n"), "db.corp", Found, "172.20.18.201"},
		{"hosts", with("    loop\n", "    hosts {\n      10.7.7.7 old.example.org\n      fallthrough\n    }\n"), "old.example.org", Found, "10.7.7.7"},
		{"import that was not read", with("    loop\n", "    import custom/*.override\n"), "web", Found, "unless what import custom/*.override (line 14 of the Corefile) brings says otherwise"},
		{"public, alias to a load balancer", nil, "www.example.com", Found, "load balancer k8s-shop-shop-4c1d7ab3e2"},
		{"public, not there", nil, "nix.example.com", NXDomain, "unless other name servers"},
		{"public, not all read", func(w *World) { w.Records[0].Partial, w.Records[1].Partial = true, true }, "nix.example.com", NotKnown, "more records than were read"},
		{"somebody else's", nil, "example.org", NotKnown, "the public DNS answers; it was not asked"},
		{"private", nil, "nix.shop.internal", NXDomain, "in this VPC the private zone is the only one"},
		{"private, records not read", func(w *World) { w.Records = nil }, "nix.shop.internal", NotKnown, "were not read"},
		{"private, wildcard", func(w *World) { w.record(internalZone, rr(`\052.shop.internal.`, "A", "10.0.8.8")) }, "a.b.shop.internal", Found, "10.0.8.8"},
		{"private, wildcard of a zone not all read", func(w *World) {
			w.record(internalZone, rr(`\052.shop.internal.`, "A", "10.0.8.8"))
			w.Records[0].Partial, w.Records[1].Partial = true, true
		}, "b.shop.internal", Found, "unless there is a record b.shop.internal, which was not read"},
		{"private, above others", func(w *World) { w.record(internalZone, rr("a.b.shop.internal.", "A", "10.0.8.8")) }, "b.shop.internal", NoData, "only names below"},
		{"private, delegated", func(w *World) { w.record(internalZone, rr("sub.shop.internal.", "NS", "ns1.example.org")) }, "a.sub.shop.internal", NotKnown, "hands sub.shop.internal over"},
		{"private hides public", func(w *World) {
			w.HostedZones = append(w.HostedZones, facts.HostedZone{HostedZone: r53types.HostedZone{Id: ptr("/hostedzone/ZPRIV"), Name: ptr("example.com."), Config: &r53types.HostedZoneConfig{PrivateZone: true}}, VPCs: []r53types.VPC{{VPCId: ptr(shopVPC)}}})
			w.Records = append(w.Records, facts.RecordSets{HostedZoneId: "ZPRIV"})
		}, "www.example.com", NXDomain, "the private zone example.com (ZPRIV) has no record www.example.com"},
		{"private zone of another VPC", func(w *World) { w.HostedZones[0].VPCs, w.HostedZones[1].VPCs = nil, nil }, "db.shop.internal", NotKnown, "the public DNS"},
		{"no DNS hostnames", func(w *World) {
			w.VPCAttributes[0].EnableDnsHostnames = &ec2types.AttributeBooleanValue{Value: ptr(false)}
		}, "nix.shop.internal", NotKnown, "enableDnsHostnames of " + shopVPC + " is off"},
		{"no DNS support", func(w *World) {
			w.VPCAttributes[0].EnableDnsSupport = &ec2types.AttributeBooleanValue{Value: ptr(false)}
		}, "www.example.com.", TimedOut, "enableDnsSupport"},
		{"aliases in a circle", func(w *World) {
			w.record(internalZone, rr("a.shop.internal.", "CNAME", "b.shop.internal"))
			w.record(internalZone, rr("b.shop.internal.", "CNAME", "a.shop.internal"))
		}, "a.shop.internal", ServFail, "more than 8 aliases"},
		{"Route 53 alias in its zone", func(w *World) {
			w.record(internalZone, aliased("a.shop.internal.", internalZone, "b.shop.internal."))
			w.record(internalZone, rr("b.shop.internal.", "A", "10.0.8.9"))
		}, "a.shop.internal", Found, "10.0.8.9"},
		{"rule beats private zone", func(w *World) { w.rule("shop.internal", "FORWARD", "10.9.9.9") }, "db.shop.internal", NotKnown, "the server 10.9.9.9"},
		{"private zone beats the rule above it", func(w *World) { w.rule("internal", "FORWARD", "10.9.9.9") }, "nix.shop.internal", NXDomain, "private zone"},
		{"SYSTEM rule below FORWARD", func(w *World) { w.rule("example.com", "FORWARD", "10.9.9.9"); w.rule("www.example.com", "SYSTEM", "") }, "www.example.com", NotKnown, "10.9.9.9"},
		{"FORWARD . leaves hosts", func(w *World) { w.rule(".", "FORWARD", "10.9.9.9") }, "ip-10-0-10-11.eu-west-1.compute.internal", Found, "10.0.10.11"},
		{"firewall blocks", func(w *World) { w.block(guard(1, "BLOCK", "*.example.com")) }, "www.example.com", NXDomain, "blocks it with NXDOMAIN"},
		{"firewall wildcard is not the domain", func(w *World) { w.block(guard(1, "BLOCK", "*.www.example.com")) }, "www.example.com", Found, "load balancer"},
		{"firewall allows first", func(w *World) { w.block(guard(2, "BLOCK", "*"), guard(1, "ALLOW", "*.com")) }, "www.example.com", Found, "load balancer"},
		{"firewall blocks the alias", func(w *World) { w.block(guard(1, "BLOCK", "*.amazonaws.com")) }, "db.shop.internal", NXDomain, "blocks it"},
		{"managed list", func(w *World) { w.block(guard(1, "BLOCK")) }, "www.example.com", Found, "unless a list of DNS Firewall that AWS manages has it"},
		{"firewall not read", func(w *World) { w.Firewall = nil }, "www.example.com", Found, "unless a DNS Firewall, which was not read, blocks it"},
		{"custom nameservers", func(w *World) { w.DHCPOptions[0].DhcpConfigurations[1].Values[0].Value = ptr("10.9.9.1") }, "www.example.com.", NotKnown, "the server 10.9.9.1"},
		{"two nameservers", func(w *World) {
			w.DHCPOptions[0].DhcpConfigurations[1].Values = append(w.DHCPOptions[0].DhcpConfigurations[1].Values, ec2types.AttributeValue{Value: ptr("10.9.9.1")})
		}, "nix.shop.internal", NXDomain, "unless 10.9.9.1, which is asked as often as 10.0.0.2, answers otherwise"},
		{"VPC endpoint", func(w *World) {
			w.VPCEndpoints = append(w.VPCEndpoints, ec2types.VpcEndpoint{VpcEndpointId: ptr("vpce-1"), VpcId: ptr(shopVPC), ServiceName: ptr("com.amazonaws.eu-west-1.ecr.api"), PrivateDnsEnabled: ptr(true)})
		}, "api.ecr.eu-west-1.amazonaws.com", Found, "VPC endpoint vpce-1"},
		{"VPC endpoint without private DNS", func(w *World) {
			w.VPCEndpoints = append(w.VPCEndpoints, ec2types.VpcEndpoint{VpcEndpointId: ptr("vpce-1"), VpcId: ptr(shopVPC), ServiceName: ptr("com.amazonaws.eu-west-1.ecr.api"), PrivateDnsEnabled: ptr(false)})
		}, "api.ecr.eu-west-1.amazonaws.com", NotKnown, "public DNS"},
		{"API server", nil, "9F3A6B1C4D5E7F80A1B2C3D4E5F60718.gr7.eu-west-1.eks.amazonaws.com", Found, "in the VPC"},
		{"cache on the nodes", func(w *World) {
			w.DaemonSets = append(w.DaemonSets, appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: dnsNamespace, Name: "node-local-dns"}})
			w.set(nodeLocalMap, nodeLocal)
		}, "web", Found, "172.20.18.201"},
		{"cache on the nodes, CoreDNS gone", func(w *World) {
			w.DaemonSets = append(w.DaemonSets, appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: dnsNamespace, Name: "node-local-dns"}})
			w.EndpointSlices = []discoveryv1.EndpointSlice{}
		}, "web", TimedOut, "has no ready endpoint"},
		{"kubelet with a wrong clusterDNS", func(w *World) {
			for i := range w.KubeletConfigs {
				w.KubeletConfigs[i].KubeletConfig.ClusterDNS = []string{"172.20.0.99"}
			}
		}, "web", TimedOut, "172.20.0.99 is an address for Services, and no Service has it"},
		{"no name", nil, "a..b", Invalid, "empty"},
		{"too long", nil, strings.Repeat("abcdefg.", 40), Invalid, "253"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := shop(t)
			if c.change != nil {
				c.change(w)
			}
			p := Resolve(Query{Name: c.name, Pod: pod(corev1.DNSClusterFirst)}, w)
			if p.Answer.Kind != c.kind || !strings.Contains(p.Text, c.want) {
				t.Errorf("%s: %s\nwant %s, %q", p.Answer.Kind, p.Text, c.kind, c.want)
				for _, h := range p.Hops {
					t.Logf("%s | %s | %s", h.Verdict, h.Hop, h.Text)
				}
			}
			coherent(t, &p)
		})
	}
}

// coherent holds for every path: its hops agree with its answer.
func coherent(t testing.TB, p *Path) {
	t.Helper()
	i := p.Broken()
	switch p.Answer.Kind {
	case Found:
		if len(p.Answer.Records) == 0 || i >= 0 && p.Hops[i].Verdict == reach.Denied {
			t.Errorf("an answer without records or with a broken hop: %s", p.Text)
		}
	case NotKnown:
		if i < 0 {
			t.Errorf("not known, and no hop says why: %s", p.Text)
		}
	default:
		if i < 0 || p.Hops[i].Verdict != reach.Denied {
			t.Errorf("%s, and no hop is broken: %s", p.Answer.Kind, p.Text)
		}
	}
	if p.Text == "" || len(p.Hops) == 0 || len(p.Hops) > 200 {
		t.Errorf("%d hops, text %q", len(p.Hops), p.Text)
	}
}

func TestResolvePolicies(t *testing.T) {
	w := shop(t)
	host := pod(corev1.DNSClusterFirst)
	host.Spec.HostNetwork = true
	none := pod(corev1.DNSNone)
	second := pod(corev1.DNSNone)
	second.Spec.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"172.20.0.99", "172.20.0.10"}}
	none.Spec.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"1.1.1.1"}}
	for _, c := range []struct {
		what string
		pod  *corev1.Pod
		kind Kind
		want string
	}{
		{"host's network", host, NotKnown, "public DNS"},
		{"Default", pod(corev1.DNSDefault), NotKnown, "public DNS"},
		{"None", none, NotKnown, "the server 1.1.1.1"},
		{"the second nameserver", second, Found, "172.20.18.201"},
		{"with host network", pod(corev1.DNSClusterFirstWithHostNet), Found, "172.20.18.201"},
		{"nobody", nil, Found, "172.20.18.201"},
	} {
		p := Resolve(Query{Name: "web.shop.svc.cluster.local", Pod: c.pod}, w)
		if p.Answer.Kind != c.kind || !strings.Contains(p.Text, c.want) {
			t.Errorf("%s: %s", c.what, p.Text)
		}
		coherent(t, &p)
	}
}

func TestAutoMode(t *testing.T) {
	w := shop(t)
	w.Clusters[0].ComputeConfig = &ekstypes.ComputeConfigResponse{Enabled: ptr(true)}
	w.Services = slices.DeleteFunc(w.Services, func(s corev1.Service) bool { return s.Name == dnsService })
	kubelet := facts.KubeletConfig{ObjectMeta: metav1.ObjectMeta{Name: pod("").Spec.NodeName}}
	kubelet.KubeletConfig.ClusterDNS = []string{"172.20.0.10"}
	for _, configs := range [][]facts.KubeletConfig{{}, {kubelet}} {
		w.KubeletConfigs = configs
		for name, kind := range map[string]Kind{"web": Found, "www.example.com": Found, "nix": NXDomain} {
			if p := Resolve(Query{Name: name, Pod: pod("")}, w); p.Answer.Kind != kind {
				t.Errorf("%s: %s", name, p.Text)
			}
		}
	}
}

func TestTypes(t *testing.T) {
	w := shop(t)
	for _, c := range []struct {
		name, qtype string
		kind        Kind
		want        string
	}{
		{"web.shop.svc.cluster.local", "AAAA", NoData, "no record of type AAAA"},
		{"_dns._udp.kube-dns.kube-system.svc.cluster.local", "SRV", Found, "port 53"},
		{"10.0.20.172.in-addr.arpa", "PTR", Found, "kube-dns.kube-system.svc.cluster.local"},
		{"53.10.0.10.in-addr.arpa", "PTR", Found, "10-0-10-53.kube-dns"},
		{"db.shop.internal", "CNAME", Found, "shop-db.cluster"},
		{"example.com", "TXT", NoData, "only as NS, SOA"},
	} {
		p := Resolve(Query{Name: c.name, Type: c.qtype}, w)
		if p.Answer.Kind != c.kind || !strings.Contains(p.Text, c.want) {
			t.Errorf("%s %s: %s", c.qtype, c.name, p.Text)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	w := shop(b)
	for b.Loop() {
		Resolve(Query{Name: "www.example.com", Pod: pod("")}, w)
	}
}

func TestWithoutServers(t *testing.T) {
	w := shop(t)
	p := pod("")
	p.Spec.HostAliases = []corev1.HostAlias{{IP: "10.1.1.1", Hostnames: []string{"DB.example.com"}}}
	for name, want := range map[string]string{"10.0.0.9": "gets 10.0.0.9", "db.example.com": "gets 10.1.1.1 for db.example.com from the pod's /etc/hosts"} {
		got := Resolve(Query{Name: name, Pod: p}, w)
		if !strings.Contains(got.Text, want) {
			t.Errorf("%s: %s", name, got.Text)
		}
		coherent(t, &got)
	}
}

// TestScenarios: of every recorded cluster, the answers agree with their
// hops.
func TestScenarios(t *testing.T) {
	if testing.Short() {
		t.Skip("reads all scenarios")
	}
	for _, name := range world.Names() {
		recorded, err := world.Load(name)
		if err != nil {
			continue // the scenario's own tests say why
		}
		s, err := recorded.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		w := New(s.View(Needs, Wants))
		for i := range w.Pods {
			if i%7 == 0 {
				p := Resolve(Query{Name: []string{"web", "api.example.com", "db.shop.internal"}[i%3], Pod: &w.Pods[i]}, w)
				coherent(t, &p)
			}
		}
	}
}

// TestUnknown: with any kind of facts missing, no name becomes "no such
// name" that was not so, and nothing panics.
func TestUnknown(t *testing.T) {
	w, err := world.Load("base-shop")
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"web", "kube-dns.kube-system", "www.example.com", "db.shop.internal", "nix.shop.internal", "nix", "example.org", "ip-10-0-10-11.eu-west-1.compute.internal"}
	full := New(s.View(Needs, Wants))
	for _, need := range slices.Concat(Needs, Wants) {
		less := New(s.Without(need.Kind()).View(Needs, Wants))
		for _, name := range names {
			before, after := Resolve(Query{Name: name, Pod: pod("")}, full), Resolve(Query{Name: name, Pod: pod("")}, less)
			coherent(t, &after)
			if k := after.Answer.Kind; k != before.Answer.Kind && k != NotKnown {
				t.Errorf("without %s %s is %s (%s), with it %s", need.Kind(), name, k, after.Text, before.Answer.Kind)
			}
		}
	}
	p := Resolve(Query{Name: "web", Pod: pod("")}, &World{})
	if p.Answer.Kind != NotKnown {
		t.Errorf("of nothing follows %s", p.Text)
	}
}

func FuzzResolve(f *testing.F) {
	w := shop(f)
	f.Add("web", "A", eksDefault, "db.shop.internal")
	f.Add("a.b.c.shop.svc", "SRV", nodeLocal, `\052.x`)
	f.Add("_x._y.z", "PTR", stubs, "..")
	f.Fuzz(func(t *testing.T, name, qtype, corefile, other string) {
		v := *w
		v.set(corednsMap, corefile)
		v.Services = append(slices.Clone(w.Services), external("x", other))
		v.Records = []facts.RecordSets{{HostedZoneId: internalZone, ResourceRecordSets: []r53types.ResourceRecordSet{rr(other, "CNAME", name), rr(name, "A", other), {}}}}
		for _, n := range []string{name, "x", other} {
			p := Resolve(Query{Name: n, Type: qtype, Pod: pod("")}, &v)
			if p.Text == "" || len(p.Hops) > 300 {
				t.Errorf("%q: %d hops, text %q", n, len(p.Hops), p.Text)
			}
		}
	})
}
