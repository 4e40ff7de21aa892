package dns

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClassify(t *testing.T) {
	type got struct {
		Class                          logClass
		Upstream, Name, Zone, Resource string
		Count                          int
	}
	for _, x := range []struct {
		line string
		want got
	}{
		{"[ERROR] plugin/errors: 2 example.com. A: read udp 10.0.1.5:41129->10.0.0.2:53: i/o timeout", got{Class: logTimeout, Upstream: "10.0.0.2:53", Name: "example.com."}},
		{"[ERROR] plugin/errors: 2 example.com. AAAA: dial tcp 10.9.0.53:53: i/o timeout", got{Class: logTimeout, Upstream: "10.9.0.53:53", Name: "example.com."}},
		{"[ERROR] plugin/errors: 2 db.corp. A: read udp 10.0.1.5:41129->10.9.0.53:53: read: connection refused", got{Class: logRefused, Upstream: "10.9.0.53:53", Name: "db.corp."}},
		{"[ERROR] plugin/errors: 2 a. A: read udp [fd00::5]:41129->[fd00:ec2::253]:53: i/o timeout", got{Class: logTimeout, Upstream: "[fd00:ec2::253]:53", Name: "a."}},
		{"[ERROR] plugin/errors: 2 db.corp. A: dial udp 10.9.0.53:53: connect: network is unreachable", got{Class: logUnreachable, Upstream: "10.9.0.53:53", Name: "db.corp."}},
		{"[ERROR] plugin/errors: 2 db.corp. A: no healthy proxies", got{Class: logNoHealthy, Name: "db.corp."}},
		{"[ERROR] plugin/errors: 2 example.com. A: concurrent queries exceeded maximum 1000", got{Class: logConcurrent, Name: "example.com."}},
		{"[ERROR] plugin/errors: 23 errors like '^.* i/o timeout$' occurred in last 30s", got{Class: logTimeout, Count: 23}},
		{"[ERROR] plugin/errors: 2 a.svc.cluster.local. A: plugin/kubernetes: no next plugin found", got{Class: logPluginError, Name: "a.svc.cluster.local."}},
		{`[INFO] 10.0.1.5:48557 - 29008 "A IN example.com. udp 41 false 512" SERVFAIL qr,rd,ra 68 0.037990251s`, got{Class: logServFail, Name: "example.com."}},
		{`[INFO] [fd00::1]:50759 - 29008 "A IN nope.svc.cluster.local. udp 41 false 4096" NXDOMAIN qr,aa,rd 68 0.0001s`, got{Class: logNXDomain, Name: "nope.svc.cluster.local."}},
		{`[INFO] 10.0.1.5:48557 - 29008 "A IN example.com. udp 41 false 512" NOERROR qr,rd,ra 68 0.03s`, got{}},
		{`[FATAL] plugin/loop: Loop (127.0.0.1:55953 -> :1053) detected for zone ".", see https://coredns.io/plugins/loop#troubleshooting. Query: "HINFO 4547991504243258144.3688648895315093531."`, got{Class: logLoop, Zone: "."}},
		{"/etc/coredns/Corefile:10 - Error during parsing: Unknown directive 'proxy'", got{Class: logParse}},
		{"plugin/kubernetes: /etc/coredns/Corefile:6 - Error during parsing: unknown property 'upstream'", got{Class: logParse}},
		{"/etc/coredns/Corefile:3 - Syntax error: Unexpected token '}', expecting '{'", got{Class: logParse}},
		{"plugin/forward: no nameservers found", got{Class: logParse}},
		{"[ERROR] plugin/reload: Corefile changed but reload failed: plugin/forward: /etc/coredns/Corefile:10 - Error during parsing: Unknown directive 'x'", got{Class: logReloadFailed}},
		{"[WARNING] plugin/reload: Corefile parse failed: /etc/coredns/Corefile:3 - Syntax error: Unexpected EOF", got{Class: logReloadFailed}},
		{"[WARNING] plugin/kubernetes: starting server with unsynced Kubernetes API", got{Class: logUnsynced}},
		{`E1218 06:28:53.487332       1 reflector.go:127] pkg/mod/k8s.io/client-go@v0.19.2/tools/cache/reflector.go:156: Failed to watch *v1.Endpoints: failed to list *v1.Endpoints: Get "https://10.100.0.1:443/api/v1/endpoints?limit=500": dial tcp 10.100.0.1:443: i/o timeout`, got{Class: logAPI, Upstream: "10.100.0.1:443", Resource: "endpoints"}},
		{`[ERROR] plugin/kubernetes: pkg/mod/k8s.io/client-go@v0.29.3/tools/cache/reflector.go:229: Failed to watch *v1.EndpointSlice: failed to list *v1.EndpointSlice: endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:kube-system:coredns" cannot list resource "endpointslices"`, got{Class: logForbidden, Resource: "endpointslices"}},
		{`[ERROR] plugin/kubernetes: Failed to watch`, got{Class: logWatch}},
		{`E0225 14:25:57.689877       1 reflector.go:138] pkg/mod/k8s.io/client-go@v0.20.2/tools/cache/reflector.go:167: Failed to watch *v1beta1.EndpointSlice: unknown (get endpointslices.discovery.k8s.io)`, got{Class: logForbidden, Resource: "endpointslice"}},
		{`[INFO] plugin/ready: Still waiting on: "kubernetes"`, got{Class: logWaiting}},
		{`[INFO] plugin/ready: Plugins not ready: "kubernetes"`, got{Class: logWaiting}},
		{`[WARNING] plugin/health: Local health request to "http://:8080/health" took more than 1s: 1.4s`, got{Class: logSlowHealth}},
		{"[INFO] plugin/health: Going into lameduck mode for 5s", got{Class: logLameduck}},
		{"[ERROR] Recovered from panic in server: \"dns://:53\" runtime error", got{Class: logPanic}},
		{"[ERROR] Failed to add non-existent interface nodelocaldns: operation not permitted", got{Class: logSetup}},
		{"[INFO] plugin/reload: Running configuration SHA512 = 8a7d", got{Class: logReloaded}},
		{"CoreDNS-1.13.1", got{}},
		{"[INFO] plugin/kubernetes: pkg/mod/k8s.io/client-go/tools/cache/reflector.go: Watch close - *v1.Service", got{}},
		{"", got{}},
	} {
		l, ok := classify(x.line)
		if ok != (x.want.Class != "") {
			t.Errorf("%s: told %v", x.line, ok)
		}
		if ok {
			if diff := cmp.Diff(x.want, got{l.class, l.upstream, l.name, l.zone, l.resource, l.count}); diff != "" {
				t.Errorf("%s: %s", x.line, diff)
			}
		}
	}
}

func TestSum(t *testing.T) {
	l := parseLog("kube-system/a", `2026-01-15T08:50:00.1Z [ERROR] plugin/errors: 2 a.com. A: read udp 10.0.1.5:1->10.0.0.2:53: i/o timeout
2026-01-15T08:54:00.1Z 2026-01-15T08:54:00.000Z [ERROR] plugin/errors: 19 errors like '^.* i/o timeout$' occurred in last 30s
no time [ERROR] plugin/errors: 2 b.com. A: read udp 10.0.1.5:1->10.0.0.2:53: i/o timeout
2026-01-15T08:55:00Z [ERROR] plugin/errors: 2 c.com. A: no healthy proxies
`, false)
	s := l.of(logTimeout).sum()
	if s.count != 21 || s.perMinute != 5.25 || s.first.Format(time.TimeOnly) != "08:50:00" || s.last.Format(time.TimeOnly) != "08:54:00" {
		t.Errorf("%+v", s)
	}
	if diff := cmp.Diff([][]string{{"10.0.0.2:53"}, {"a.com.", "b.com."}, {"kube-system/a"}}, [][]string{s.upstreams, s.names, s.pods}); diff != "" {
		t.Error(diff)
	}
	if s.sample != "[ERROR] plugin/errors: 19 errors like '^.* i/o timeout$' occurred in last 30s" {
		t.Errorf("sample %q", s.sample)
	}
	if n := len(l.since(time.Date(2026, 1, 15, 8, 54, 30, 0, time.UTC))); n != 2 {
		t.Errorf("%d since", n)
	}
	if got := (logs{}).sum(); got.count != 0 || got.perMinute != 0 {
		t.Errorf("nothing sums up to %+v", got)
	}
}

// Hostile logs are as good as none.
func FuzzLog(f *testing.F) {
	f.Add("2026-01-15T08:50:00Z [ERROR] plugin/errors: 99999999999999999999 errors like 'x' occurred in last")
	f.Fuzz(func(t *testing.T, text string) { parseLog("a/b", text, false).sum() })
}
