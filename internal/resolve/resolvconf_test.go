package resolve

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestParseResolvConf(t *testing.T) {
	text := `# made by hand
; too
domain first.example
search a.example	b.example
nameserver 10.0.0.2
 nameserver 10.0.0.9
nameserver 10.0.0.3 # comment
nameserver fd00:ec2::253
nameserver 10.0.0.4
options ndots:99 timeout:60 rotate
options attempts:1 single-request-reopen ndots:x nonsense
search`
	want := ResolvConf{
		Nameservers: []string{"10.0.0.2", "10.0.0.3", "fd00:ec2::253"}, Search: []string{"a.example", "b.example"},
		Ndots: 15, Timeout: 30, Attempts: 1, Rotate: true, SingleRequestReopen: true,
		Options: []string{"ndots:99", "timeout:60", "rotate", "attempts:1", "single-request-reopen", "ndots:x", "nonsense"},
		Notes:   []string{"only the first 3 of 4 nameservers are asked"},
	}
	if d := cmp.Diff(want, ParseResolvConf(text)); d != "" {
		t.Error(d)
	}
	if c := ParseResolvConf("search a\ndomain b\n"); c.Search[0] != "b" || c.Ndots != 1 || c.Timeout != 5 || c.Attempts != 2 {
		t.Errorf("%+v", c)
	}
}

func TestCandidates(t *testing.T) {
	pod := ResolvConf{Search: []string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "eu-west-1.compute.internal"}, Ndots: 5}
	for _, c := range []struct {
		conf           ResolvConf
		name           string
		glibc, musl    int // how many
		first          string
		last, lastMusl string
	}{
		{pod, "web", 5, 5, "web.shop.svc.cluster.local.", "web.", "web."},
		{pod, "API.example.com", 5, 5, "api.example.com.shop.svc.cluster.local.", "api.example.com.", "api.example.com."},
		{pod, "api.example.com.", 1, 1, "api.example.com.", "api.example.com.", "api.example.com."},
		{pod, "a.b.c.d.e.f", 5, 1, "a.b.c.d.e.f.", "a.b.c.d.e.f.eu-west-1.compute.internal.", "a.b.c.d.e.f."},
		{ResolvConf{Search: []string{"."}, Ndots: 1}, "web", 1, 1, "web.", "web.", "web."},
		{pod, strings.Repeat("a", 64), 0, 0, "", "", ""},
		{pod, "a..b", 0, 0, "", "", ""},
		{pod, strings.Repeat("abcdefg.", 30) + "abcde", 1, 1, strings.Repeat("abcdefg.", 30) + "abcde.", strings.Repeat("abcdefg.", 30) + "abcde.", strings.Repeat("abcdefg.", 30) + "abcde."},
	} {
		g, m := c.conf.Candidates(c.name), c.conf.CandidatesMusl(c.name)
		if len(g) != c.glibc || len(m) != c.musl || c.conf.Packets(c.name) != 2*c.glibc {
			t.Errorf("%s: glibc %v, musl %v", c.name, g, m)
			continue
		}
		if c.glibc > 0 && (g[0] != c.first || g[len(g)-1] != c.last || m[len(m)-1] != c.lastMusl) {
			t.Errorf("%s: glibc %v, musl %v", c.name, g, m)
		}
	}
}

func TestForPod(t *testing.T) {
	cluster := ClusterDNS{Addresses: []string{"172.20.0.10"}, Domain: "cluster.local", NodeSearch: []string{"eu-west-1.compute.internal"}, NodeNameservers: []string{"10.0.0.2"}, NodeOptions: []string{"timeout:2"}}
	three := "3"
	const own = "nameserver 172.20.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local eu-west-1.compute.internal\noptions ndots:5\n"
	const nodes = "nameserver 10.0.0.2\nsearch eu-west-1.compute.internal\noptions timeout:2\n"
	for _, c := range []struct {
		what string
		spec corev1.PodSpec
		want string
	}{
		{"no policy", corev1.PodSpec{}, own},
		{"ClusterFirst", corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirst}, own},
		{"ClusterFirst on the host's network", corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirst, HostNetwork: true}, nodes},
		{"with host network", corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirstWithHostNet, HostNetwork: true}, own},
		{"Default", corev1.PodSpec{DNSPolicy: corev1.DNSDefault}, nodes},
		{"None", corev1.PodSpec{DNSPolicy: corev1.DNSNone, DNSConfig: &corev1.PodDNSConfig{Nameservers: []string{"1.1.1.1"}, Searches: []string{"x.example"}}}, "nameserver 1.1.1.1\nsearch x.example\n"},
		{"merged", corev1.PodSpec{DNSConfig: &corev1.PodDNSConfig{
			Nameservers: []string{"172.20.0.10", "1.1.1.1"}, Searches: []string{"svc.cluster.local", "corp.example"},
			Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &three}, {Name: "edns0"}},
		}}, "nameserver 172.20.0.10\nnameserver 1.1.1.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local eu-west-1.compute.internal corp.example\noptions ndots:3 edns0\n"},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: c.spec}
		got := ForPod(pod, cluster)
		if d := cmp.Diff(c.want, got.String()); d != "" {
			t.Errorf("%s: %s", c.what, d)
		}
	}
	if c := ForPod(&corev1.Pod{}, ClusterDNS{NodeNameservers: []string{"10.0.0.2"}}); c.Nameservers[0] != "10.0.0.2" || len(c.Notes) != 1 {
		t.Errorf("without clusterDNS: %+v", c)
	}
	long := make([]string, 40)
	for i := range long {
		long[i] = strings.Repeat(string(rune('a'+i%26)), 60) + string(rune('A'+i)) + ".example"
	}
	c := ForPod(&corev1.Pod{Spec: corev1.PodSpec{DNSConfig: &corev1.PodDNSConfig{Searches: long}}}, cluster)
	if len(c.Search) > 32 || len(strings.Join(c.Search, " ")) > 2048 || len(c.Notes) < 2 {
		t.Errorf("%d domains, notes %v", len(c.Search), c.Notes)
	}
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 1.1.1.1\nsearch a b\noptions ndots:5", "web.shop")
	f.Add("search .\r\noptions ndots:-1 attempts:0\n;x\ndomain \t y", "..")
	f.Fuzz(func(t *testing.T, text, name string) {
		c := ParseResolvConf(text)
		again := ParseResolvConf(c.String())
		if d := cmp.Diff(c, again, cmpopts.IgnoreFields(ResolvConf{}, "Notes")); d != "" {
			t.Errorf("%q: %s", text, d)
		}
		for _, n := range append(c.Candidates(name), c.CandidatesMusl(name)...) {
			if !validName(n) || !strings.HasSuffix(n, ".") {
				t.Errorf("candidate %q of %q", n, name)
			}
		}
		if len(c.Candidates(name)) > len(c.Search)+1 {
			t.Errorf("too many candidates of %q", name)
		}
	})
}
