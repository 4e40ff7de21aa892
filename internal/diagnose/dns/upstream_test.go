package dns

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/world"
)

const (
	noMetrics = "-- kube/pod-metrics.yaml --\nitems:\n- {$patch: delete, metadata: {name: coredns-76f9c5d8b4-h7k2m, namespace: kube-system}}\n- {$patch: delete, metadata: {name: coredns-76f9c5d8b4-v9x4q, namespace: kube-system}}\n"
	timeout   = "dns/forward-upstream-timeout" + onCoreDNS
	linkLimit = "dns/vpc-resolver-throttled" + onCoreDNS
	stub      = "dns/stub-domain-forward-broken" + onCorefile
	refuses   = "dns/upstream-refused-or-servfail" + onCorefile
	stubBlock = goodCorefile + ";corp.internal:53 {;  errors;  forward . %s;}"
)

// failures are lines of n failed lookups from one minute on, of so many a
// minute, for names in turn.
func failures(n int, hour, minute, each int, upstream, what string, names ...string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "2026-01-15T%02d:%02d:%02dZ [ERROR] plugin/errors: 2 %s A: read udp 10.0.10.53:4000->%s: %s\n", hour, minute+i/each, i%60, names[i%len(names)], upstream, what)
	}
	return b.String()
}

// metricsOf gives one CoreDNS pod metrics: answers of upstreams by code.
func metricsOf(counts ...string) string {
	text := "# TYPE coredns_proxy_request_duration_seconds histogram\n"
	for _, c := range counts {
		to, rest, _ := strings.Cut(c, " ")
		code, n, _ := strings.Cut(rest, " ")
		text += fmt.Sprintf("coredns_proxy_request_duration_seconds_bucket{proxy_name=\"forward\",rcode=%q,to=%q,le=\"+Inf\"} %s\ncoredns_proxy_request_duration_seconds_count{proxy_name=\"forward\",rcode=%q,to=%q} %s\n", code, to, n, code, to, n)
	}
	text += "# TYPE coredns_panics_total counter\ncoredns_panics_total 0\n# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1.76820360214e+09\n"
	return fmt.Sprintf("-- kube/pod-metrics.yaml --\nitems:\n- {metadata: {name: %s, namespace: kube-system}, text: %q}\n- {$patch: delete, metadata: {name: %s, namespace: kube-system}}\n", podA, text, podB)
}

func TestUpstreams(t *testing.T) {
	const vpc, corp, io = "10.0.0.2:53", "10.20.0.53:53", "i/o timeout"
	many := []string{"a.com.", "b.org.", "c.net.", "d.io."}
	inCorp := []string{"git.corp.internal."}
	for _, x := range []variant{
		{name: "40 in an hour, and nobody knows of how many", overlay: noMetrics + logsOf(failures(40, 8, 10, 1, vpc, io, many...), podA), want: []string{timeout}, claim: "40 failed in the last hour"},
		{name: "25 in an hour, and nobody knows of how many", overlay: noMetrics + logsOf(failures(25, 8, 10, 1, vpc, io, many...), podA)},
		{name: "40 of a hundred thousand", overlay: metricsOf(vpc+" NOERROR 9000000") + logsOf(failures(40, 8, 10, 1, vpc, io, many...), podA)},
		{name: "a few, and over a thousand a second", overlay: metricsOf(vpc+" NOERROR 200000000", vpc+" NXDOMAIN 90000000") + logsOf(failures(20, 8, 10, 1, vpc, io, many...), podA),
			want: []string{linkLimit}, claim: "ask the VPC's resolver about 1100 times a second; an interface may send 1024", run: `"replicaCount":4`},
		{name: "a few of one domain, and over a thousand a second", overlay: metricsOf(vpc+" NOERROR 290000000") + logsOf(failures(20, 8, 10, 1, vpc, io, inCorp...), podA)},
		{name: "a few, and a thousand a second of another upstream", overlay: metricsOf(vpc+" NOERROR 9000000", corp+" NOERROR 290000000") + logsOf(failures(20, 8, 10, 1, vpc, io, many...), podA)},
		{name: "near the limit on average", overlay: metricsOf(vpc+" NOERROR 211000000") + logsOf(failures(40, 8, 10, 1, vpc, io, many...), podA), want: []string{linkLimit}, claim: "about 800 times a second on average, and more at peaks", run: `"replicaCount":4`},
		{name: "near the limit and few time out", overlay: metricsOf(vpc+" NOERROR 211000000") + logsOf(failures(20, 8, 10, 1, vpc, io, many...), podA)},
		{name: "more than an hour ago", overlay: logsOf(failures(80, 6, 10, 2, vpc, io, many...), podA)},
		{name: "its own test query", overlay: logsOf(strings.ReplaceAll(failures(80, 8, 5, 2, vpc, io, "123.456."), " A: ", " HINFO: "), podA)},
		{name: "of a pod that is gone", overlay: logsOf(failures(80, 8, 5, 2, vpc, io, many...), "coredns-gone")},
		{name: "names of one domain", overlay: logsOf(failures(50, 8, 5, 1, vpc, io, "a.example.com.", "b.example.com."), podA), want: []string{timeout}, claim: "gives no answer for names in example.com: 50 lookups"},
		{name: "many at once for many domains", overlay: logsOf(failures(60, 8, 20, 30, vpc, io, many...), podA), want: []string{linkLimit, timeout}, claim: "probably", run: `"replicaCount":4`},
		{name: "many at once, and another upstream fails as well", overlay: logsOf(failures(60, 8, 20, 30, vpc, io, many...)+failures(3, 8, 20, 1, corp, io, many...), podA), want: []string{timeout}},
		{name: "the resolver answers nothing", overlay: metricsOf() + logsOf(failures(60, 8, 20, 30, vpc, io, many...), podA), want: []string{timeout}, claim: "answers nothing"},
		{name: "a closed port", overlay: withCorefile(strings.Replace(goodCorefile, "/etc/resolv.conf", "10.0.12.99", 1)) + metricsOf() + logsOf(failures(9, 8, 20, 30, "10.0.12.99:53", "read: connection refused", many...), podA),
			want: []string{timeout}, claim: "Upstream 10.0.12.99:53, to which CoreDNS forwards names outside of the cluster, answers nothing", run: "forward . 169.254.169.253"},
		{name: "a few names of a stub", overlay: withCorefile(fmt.Sprintf(stubBlock, "10.20.0.53")) + logsOf(failures(3, 8, 20, 1, corp, io, inCorp...), podA)},
		{name: "one of two servers of a stub", overlay: withCorefile(fmt.Sprintf(stubBlock, "10.20.0.53 10.20.0.54")) + metricsOf("10.20.0.54:53 NOERROR 900", vpc+" NOERROR 90000") + logsOf(failures(9, 8, 20, 1, corp, io, inCorp...), podA),
			want: []string{stub}, claim: "10.20.0.53:53 does not answer the lookups in corp.internal", run: `forward . 10.20.0.54\n`},
		{name: "a stub at a Service", overlay: withCorefile(fmt.Sprintf(stubBlock, "172.20.9.9")) + noRoute},
		{name: "a stub over TLS", overlay: withCorefile(fmt.Sprintf(stubBlock, "tls://10.20.0.53")) + noRoute},
		{name: "a stub without a route, and nobody asked yet", overlay: withCorefile(fmt.Sprintf(stubBlock, "10.20.0.53")) + noRoute, want: []string{stub}, claim: "CoreDNS does not reach 10.20.0.53:53"},
		{name: "a stub at the node's cache", overlay: withCorefile(fmt.Sprintf(stubBlock, "169.254.20.10")) + noRoute},
		{name: "refuses some", overlay: withCorefile(fmt.Sprintf(stubBlock, "10.20.0.53")) + metricsOf(corp+" REFUSED 100", corp+" NOERROR 400")},
		{name: "refuses most", overlay: withCorefile(fmt.Sprintf(stubBlock, "10.20.0.53")) + metricsOf(corp+" REFUSED 400", corp+" NOERROR 100"), want: []string{refuses}, claim: "answers REFUSED for names in corp.internal"},
		{name: "the VPC's resolver finds few names", overlay: metricsOf(vpc+" SERVFAIL 300", vpc+" NOERROR 400"), want: []string{refuses}, claim: "The VPC's resolver 10.0.0.2:53 answers SERVFAIL for names outside of the cluster"},
		{name: "the log plugin tells", overlay: withCorefile(fmt.Sprintf(stubBlock, "10.20.0.53")) + metricsOf(corp+" NOERROR 4000") +
			logsOf(lines(`[INFO] 10.0.10.131:40000 - 1 "A IN git.corp.internal. udp 40 false 512" REFUSED qr,rd 40 0.001s`, strings.Split(strings.Repeat("08:40 ", 20)+"08:41", " ")...), podA),
			want: []string{refuses}, claim: "corp.internal"},
	} {
		t.Run(x.name, x.check)
	}
}

// noRoute takes the way out of the private subnets.
const noRoute = "-- ec2/route-tables.json --\nRouteTables:\n- {RouteTableId: rtb-0a20000000000000a, Routes: [{DestinationCidrBlock: 10.0.0.0/16, GatewayId: local, State: active}]}\n- {RouteTableId: rtb-0a20000000000000c, Routes: [{DestinationCidrBlock: 10.0.0.0/16, GatewayId: local, State: active}]}\n"

// nodeEvent is an event about a node.
func nodeEvent(node, reason, message, at string) string {
	return fmt.Sprintf("-- kube/events.yaml --\nitems:\n- {metadata: {name: e1, namespace: default}, involvedObject: {kind: Node, name: %s}, type: Warning, reason: %s, message: %q, lastTimestamp: %q}\n", node, reason, message, at)
}

func TestNodeNetwork(t *testing.T) {
	const core, apps = "ip-10-0-10-11.eu-west-1.compute.internal", "ip-10-0-10-21.eu-west-1.compute.internal"
	const full, race = "dns/conntrack-exhausted kube/nodes/" + apps, "dns/conntrack-race-5s kube/nodes/" + apps
	link := func(node, at string) string {
		return nodeEvent(node, "LinkLocalExceeded", `linklocal_allowance_exceeded increased on interface "ens5" from 1 to 900`, at)
	}
	kernelOf := func(v string) string {
		return "-- kube/nodes.yaml --\nitems:\n- {metadata: {name: " + apps + "}, status: {nodeInfo: {kernelVersion: " + v + "}}}\n"
	}
	lonely := "-- kube/pods.yaml --\nitems:\n- {metadata: {name: coredns-76f9c5d8b4-v9x4q, namespace: kube-system}, spec: {nodeName: " + core + "}, status: {podIP: 10.0.10.54, podIPs: [{ip: 10.0.10.54}]}}\n"
	for _, x := range []variant{
		{name: "a node without CoreDNS", overlay: link(apps, "2026-01-15T08:50:00Z")},
		{name: "a node without CoreDNS, where the nodes have caches", overlay: nodeCache + link(apps, "2026-01-15T08:50:00Z"), want: []string{linkLimit}, claim: apps},
		{name: "hours ago", overlay: link(core, "2026-01-15T06:50:00Z")},
		{name: "CoreDNS asks a server of one's own", overlay: withCorefile(strings.Replace(goodCorefile, "/etc/resolv.conf", "10.0.12.99", 1)) + metricsOf("10.0.12.99:53 NOERROR 9000") + link(core, "2026-01-15T08:50:00Z")},
		{name: "without a line in the log", overlay: link(core, "2026-01-15T08:50:00Z"), want: []string{linkLimit}, claim: "Node " + core, run: "replicaCount"},
		{name: "all pods on one node", overlay: lonely + link(core, "2026-01-15T08:50:00Z"), want: []string{linkLimit, "dns/coredns-not-spread" + onCoreDNS}, claim: core, run: "topologySpreadConstraints"},
		{name: "the interfaces' table", overlay: nodeEvent(apps, "ConntrackExceeded", `conntrack_allowance_exceeded increased on interface "ens5" from 1 to 900`, "2026-01-15T08:50:00Z"),
			want: []string{full}, claim: "as its instance type may have"},
		{name: "the kernel's table, by another agent", overlay: nodeEvent(apps, "ConntrackFull", "kernel: nf_conntrack: table full, dropping packet", "2026-01-15T08:50:00Z"), want: []string{full}, claim: "The kernel of node"},
		{name: "of a node that is gone", overlay: nodeEvent("gone", "ConntrackExceededKernel", "", "2026-01-15T08:50:00Z")},
		{name: "Linux 4.19", overlay: kernelOf("4.19.112+"), want: []string{race}, claim: "4.19.112+"},
		{name: "Linux 4.19, with caches on the nodes", overlay: nodeCache + kernelOf("4.19.112+")},
		{name: "Linux 5.10", overlay: kernelOf("5.10.245-241.976.amzn2.x86_64")},
		{name: "a kernel that says nothing", overlay: kernelOf("unknown")},
	} {
		t.Run(x.name, x.check)
	}
}

// A silent upstream is an outage, but where others of its block answer.
func TestSilentUpstream(t *testing.T) {
	both := withCorefile(strings.Replace(goodCorefile, "/etc/resolv.conf", "10.0.12.98 10.0.12.99", 1))
	log := logsOf(failures(9, 8, 20, 30, "10.0.12.99:53", "i/o timeout", "a.com."), podA)
	for want, overlay := range map[diagnose.Severity]string{
		diagnose.Outage:   both + metricsOf() + log,
		diagnose.Degraded: both + metricsOf("10.0.12.98:53 NOERROR 800") + log,
	} {
		w, err := world.Parse("variant", []byte("a variant\n"+overlay))
		if err != nil {
			t.Fatal(err)
		}
		s, err := w.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		r := run(s)
		if len(r.Findings) != 1 || r.Findings[0].Severity != want {
			t.Errorf("%q: want one %s", keys(r), want)
		}
	}
}
