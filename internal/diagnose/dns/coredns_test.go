package dns

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

const (
	podA, podB = "coredns-76f9c5d8b4-h7k2m", "coredns-76f9c5d8b4-v9x4q"
	onCoreDNS  = " kube/deployments/kube-system/coredns"
	onCorefile = " kube/configmaps/kube-system/coredns"
	zeroReady  = "dns/coredns-zero-ready" + onCoreDNS
)

// withCorefile replaces the Corefile, written with ; for a new line.
func withCorefile(text string) string {
	return "-- kube/configmaps.yaml --\nitems:\n- metadata: {name: coredns, namespace: kube-system}\n  data:\n    Corefile: |\n      " + strings.ReplaceAll(text, ";", "\n      ") + "\n"
}

// logsOf gives pods of CoreDNS the same log.
func logsOf(text string, pods ...string) string {
	out := "-- kube/pod-logs.yaml --\nitems:\n"
	for _, p := range pods {
		out += fmt.Sprintf("- metadata: {name: %s, namespace: kube-system}\n  container: coredns\n  text: %q\n", p, text)
	}
	return out
}

func lines(line string, times ...string) string {
	var b strings.Builder
	for _, t := range times {
		fmt.Fprintf(&b, "2026-01-15T%s:00Z %s\n", t, line)
	}
	return b.String()
}

// container gives a CoreDNS pod's container a state.
func statusOf(ready, state string) string {
	return `{conditions: [{type: Ready, status: "` + ready + `", lastTransitionTime: "2026-01-15T08:30:00Z"}], containerStatuses: [{name: coredns, ready: false, image: i, imageID: i, restartCount: 3, ` + state + `}]}`
}

// addonSet gives the add-on a configuration.
func addonSet(values string) string {
	return fmt.Sprintf("-- eks/addons.yaml --\naddons:\n- {addonName: coredns, configurationValues: %q}\n", values)
}

const (
	goodCorefile = ".:53 {;  errors;  health {;    lameduck 5s;  };  ready;  kubernetes cluster.local in-addr.arpa ip6.arpa {;    pods insecure;  };  forward . /etc/resolv.conf;  cache 30;  loop;  reload;}"
	crashLoop    = `state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: "2026-01-15T08:58:00Z"}}`
	ownImage     = "-- kube/deployments.yaml --\nitems:\n- metadata: {name: coredns, namespace: kube-system}\n  spec: {template: {spec: {containers: [{name: coredns, image: example.com/dns:v1.0.0}]}}}\n"
	noAddon      = "-- eks/addons.yaml --\naddons:\n- {addonName: coredns, $patch: delete}\n"
	apiTimeout   = `[ERROR] plugin/kubernetes: Failed to watch: failed to list *v1.Service: Get "https://172.20.0.1:443/api/v1/services": dial tcp 172.20.0.1:443: i/o timeout`
	concurrent   = "[ERROR] plugin/errors: 2 a.com. A: concurrent queries exceeded maximum 1000"
	upstreamSlow = "[ERROR] plugin/errors: 2 a.com. A: read udp 10.0.10.53:4000->10.0.0.2:53: i/o timeout"
	forbiddenLog = `[ERROR] plugin/kubernetes: Failed to watch: failed to list *v1.EndpointSlice: endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:kube-system:coredns" cannot list resource "endpointslices"`
	narrowRole   = "-- kube/clusterroles.yaml --\nitems:\n- {metadata: {name: \"system:coredns\"}, rules: [{apiGroups: [\"\"], resources: [services, pods, namespaces], verbs: [list, watch]}]}\n"
)

func TestCorefile(t *testing.T) {
	broken := strings.Replace(goodCorefile, "cache 30", "cahce 30", 1)
	crashed := down + corednsPods(statusOf("False", crashLoop))
	const parse, reload, ready = "dns/corefile-parse-error" + onCorefile, "dns/corefile-reload-failed" + onCorefile, "dns/corefile-missing-ready" + onCorefile
	for _, x := range []variant{
		{name: "crashes over a typo and its log is gone", overlay: crashed + withCorefile(broken) + logsOf("", podA, podB),
			want: []string{parse, zeroReady}, claim: "Unknown directive 'cahce'", run: "cache 30"},
		{name: "crashes over something that is not known here", overlay: crashed + withCorefile(goodCorefile) + logsOf(lines("plugin/forward: no nameservers found", "08:58"), podA, podB),
			want: []string{parse, zeroReady}, claim: "no nameservers found"},
		{name: "crashes, and what it complained of was put right", overlay: crashed + withCorefile(goodCorefile) + logsOf(lines("/etc/coredns/Corefile:9 - Error during parsing: Unknown directive 'cahce'", "08:58"), podA, podB),
			want: []string{zeroReady}},
		{name: "crashes over nothing that is known", overlay: crashed + logsOf("", podA, podB), want: []string{zeroReady}},
		{name: "the proxy of old", overlay: crashed + withCorefile(strings.Replace(goodCorefile, "forward", "proxy", 1)) + logsOf("", podA, podB),
			want: []string{parse, zeroReady}, run: `forward . /etc/resolv.conf`},
		{name: "a Corefile of the add-on's configuration", overlay: crashed + withCorefile(broken) + logsOf("", podA, podB) + addonSet(`{"corefile":".:53 {\n}"}`),
			want: []string{parse, zeroReady}, run: "update-addon"},
		{name: "no choice that is certain", overlay: crashed + withCorefile(strings.Replace(goodCorefile, "cache 30", "wonderful 30", 1)) + logsOf("", podA, podB), want: []string{parse, zeroReady}},

		{name: "refused once, long ago, and taken since", overlay: logsOf(lines("[ERROR] plugin/reload: Corefile changed but reload failed: x", "08:10")+lines("[INFO] plugin/reload: Running configuration SHA512 = 8a7d", "08:12"), podA, podB)},
		{name: "refused for a reason that is not known here", overlay: logsOf(lines("[ERROR] plugin/reload: Corefile changed but reload failed: plugin/hosts: no such file", "08:10"), podA, podB),
			want: []string{reload}, claim: "(plugin/hosts: no such file)"},
		{name: "put right a moment ago", overlay: withCorefile(goodCorefile) + logsOf(lines("[WARNING] plugin/reload: Corefile parse failed: /etc/coredns/Corefile:3 - Syntax error", "08:50"), podA)},
		{name: "a plugin of its own build", overlay: ownImage + withCorefile(broken) + logsOf("", podA, podB)},
		{name: "refused before its log begins", overlay: withCorefile(broken) + logsOf("", podA, podB) +
			"-- kube/pod-metrics.yaml --\nitems:\n- {metadata: {name: " + podA + ", namespace: kube-system}, text: \"coredns_reload_failed_total 1\\n\"}\n", want: []string{reload}, run: "cache 30"},
		{name: "does not parse, and nobody refused it yet", overlay: withCorefile(broken)},

		{name: "no ready plugin, and still Ready", overlay: withCorefile(strings.Replace(goodCorefile, "ready", "log", 1)), want: []string{ready}, claim: "never become Ready", run: "ready"},
		{name: "ready on another port", overlay: withCorefile(strings.Replace(goodCorefile, "ready", "ready :8282", 1)), want: []string{ready}},
		{name: "ready comes from a file", overlay: withCorefile(strings.Replace(goodCorefile, "ready", "import custom/*.override", 1))},
		{name: "the probe of before", overlay: ownImage + withCorefile(strings.Replace(goodCorefile, "ready", "log", 1))},
		{name: "hostile", overlay: withCorefile("{;{;}}}}.:53 {;") + logsOf("[ERROR] plugin/errors: \n\x00", podA)},
	} {
		t.Run(x.name, x.check)
	}
}

func TestCauses(t *testing.T) {
	const api, rbac, oom, loop = "dns/coredns-apiserver-unreachable" + onCoreDNS, "dns/coredns-rbac-endpointslice kube/clusterroles/system:coredns", "dns/coredns-oom" + onCoreDNS, "dns/coredns-loop-crash" + onCoreDNS
	const busy = "dns/coredns-underscaled" + onCoreDNS
	const loopLine = `[FATAL] plugin/loop: Loop (127.0.0.1:55953 -> :53) detected for zone ".", see`
	notReady := down + corednsPods(`{conditions: [{type: Ready, status: "False"}]}`)
	for _, x := range []variant{
		{name: "the API server fails once", overlay: logsOf(lines(apiTimeout, "08:58"), podA, podB)},
		{name: "the API server fails all the time", overlay: logsOf(lines(apiTimeout, "08:50", "08:54", "08:58"), podA), want: []string{api}, claim: "goes on with the names that it knew"},
		{name: "a policy keeps it from the API server", overlay: notReady + logsOf(lines(apiTimeout, "08:50", "08:54", "08:58"), podA, podB) +
			policies + "- {metadata: {name: dns-only, namespace: kube-system}, spec: {podSelector: {matchLabels: {k8s-app: kube-dns}}, policyTypes: [Egress], egress: [{ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]}]}}\n",
			want: []string{api, zeroReady}, claim: "NetworkPolicy kube-system/dns-only keeps CoreDNS from the API server", run: "dns-only-apiserver"},
		{name: "the API server failed an hour ago", overlay: logsOf(lines(apiTimeout, "08:00", "08:02", "08:04"), podA)},
		{name: "its token is not taken", overlay: notReady + logsOf(lines(`[ERROR] plugin/kubernetes: Failed to watch: failed to list *v1.Service: Unauthorized`, "08:58"), podA, podB),
			want: []string{api, zeroReady}, claim: "does not take its token", run: "rollout restart"},
		{name: "forbidden, and the role has it all", overlay: logsOf(lines(forbiddenLog, "08:58"), podA)},
		{name: "forbidden, and others answer", overlay: narrowRole + logsOf(lines(forbiddenLog, "08:58"), podA), want: []string{rbac}, claim: "endpointslices"},
		{name: "watches fail without a reason, and the role is narrow", overlay: narrowRole + logsOf(lines("[ERROR] plugin/kubernetes: Failed to watch", "08:50", "08:54", "08:58"), podA), want: []string{rbac}},
		{name: "watches fail without a reason", overlay: logsOf(lines("[ERROR] plugin/kubernetes: Failed to watch", "08:50", "08:54", "08:58"), podA), want: []string{api}, claim: "does not say why"},
		{name: "a narrow role that nothing suffers from", overlay: narrowRole},
		{name: "killed by its liveness probe", overlay: corednsPods(statusOf("True", `state: {running: {}}, lastState: {terminated: {exitCode: 137, reason: Error, finishedAt: "2026-01-15T08:58:00Z"}}`)) + "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: coredns, namespace: kube-system}, status: {availableReplicas: 2, readyReplicas: 2}}\n"},
		{name: "killed for its memory days ago", overlay: "-- kube/pods.yaml --\nitems:\n- {metadata: {name: " + podA + ", namespace: kube-system}, status: " + statusOf("True", `state: {running: {}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled, finishedAt: "2026-01-12T08:58:00Z"}}`) + "}\n"},
		{name: "killed for its memory, without the add-on", overlay: noAddon + "-- kube/pods.yaml --\nitems:\n- {metadata: {name: " + podA + ", namespace: kube-system}, status: " + statusOf("True", `state: {running: {}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled, finishedAt: "2026-01-15T08:58:00Z"}}`) + "}\n",
			want: []string{oom}},
		{name: "a loop through an address of the cluster's own", overlay: down + corednsPods(statusOf("False", crashLoop)) + withCorefile(strings.Replace(goodCorefile, "/etc/resolv.conf", "172.20.0.10", 1)) + logsOf(lines(loopLine, "08:58"), podA, podB),
			want: []string{loop, zeroReady}, claim: "at 172.20.0.10, which is Service kube-dns", run: "169.254.169.253"},
		{name: "a loop that the Corefile shows, and no log", overlay: down + corednsPods(statusOf("False", crashLoop)) + withCorefile(strings.Replace(goodCorefile, "/etc/resolv.conf", "127.0.0.1", 1)) + logsOf("", podA, podB),
			want: []string{loop, zeroReady}, claim: "which is its own pod", run: "169.254.169.253"},
		{name: "an upstream that is not CoreDNS, and no log", overlay: down + corednsPods(statusOf("False", crashLoop)) + logsOf("", podA, podB), want: []string{zeroReady}},
		{name: "a loop that is over", overlay: logsOf(lines(loopLine, "08:10"), podA)},
		{name: "queries pile up as the upstream is slow", overlay: logsOf(lines(concurrent, "08:50", "08:51", "08:52", "08:53", "08:54", "08:55")+lines(upstreamSlow, "08:50", "08:51", "08:52", "08:53", "08:54", "08:55", "08:56"), podA)},
		{name: "too many queries, and a number that is set", overlay: addonSet(`{"replicaCount":2}`) + logsOf(lines(concurrent, "08:50", "08:51", "08:52", "08:53", "08:54", "08:55"), podA), want: []string{busy}, run: `"replicaCount":4`},
		{name: "too many queries, and no add-on", overlay: noAddon + logsOf(lines(concurrent, "08:50", "08:51", "08:52", "08:53", "08:54", "08:55"), podA), want: []string{busy}, run: "--replicas=4"},
		{name: "metrics of a pod without CPU", overlay: podMetric(`coredns_dns_request_duration_seconds_bucket{le="0.001"} 900`, `coredns_dns_request_duration_seconds_bucket{le="0.512"} 950`, `coredns_dns_request_duration_seconds_bucket{le="1.024"} 2000`, `coredns_dns_request_duration_seconds_count 2000`), want: []string{busy}, claim: "took 0.512s or more", run: "autoScaling"},
		{name: "metrics of a slow upstream", overlay: podMetric(`coredns_dns_request_duration_seconds_bucket{le="0.001"} 900`, `coredns_dns_request_duration_seconds_bucket{le="1.024"} 2000`, `coredns_dns_request_duration_seconds_count 2000`) +
			"    # TYPE coredns_proxy_request_duration_seconds histogram\n    coredns_proxy_request_duration_seconds_bucket{to=\"10.0.0.2:53\",rcode=\"NOERROR\",proxy_name=\"forward\",le=\"1.024\"} 1000\n    coredns_proxy_request_duration_seconds_count{to=\"10.0.0.2:53\",rcode=\"NOERROR\",proxy_name=\"forward\"} 1000\n"},
		{name: "a replica that waits while another serves", overlay: pending("08:58")},
		{name: "a replica that waits for long", overlay: pending("08:30"), want: []string{"dns/coredns-pending" + onCoreDNS}, claim: "no node has room for it: 1 replica still answers"},
	} {
		t.Run(x.name, x.check)
	}
}

// podMetric gives one CoreDNS pod these metrics.
func podMetric(lines ...string) string {
	return "-- kube/pod-metrics.yaml --\nitems:\n- metadata: {name: " + podA + ", namespace: kube-system}\n  text: |\n    # TYPE coredns_dns_request_duration_seconds histogram\n    " + strings.Join(lines, "\n    ") + "\n"
}

// pending leaves one replica without a node since a time.
func pending(since string) string {
	return "-- kube/pods.yaml --\nitems:\n- metadata: {name: " + podB + ", namespace: kube-system}\n  spec: {nodeName: null}\n  status: {phase: Pending, podIP: null, podIPs: null, containerStatuses: null, conditions: " +
		`[{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/4 nodes are available: 4 Insufficient cpu.", lastTransitionTime: "2026-01-15T` + since + `:00Z"}]}` + "\n" +
		"-- kube/endpointslices.yaml --\nitems:\n- {metadata: {name: kube-dns-7vq4d, namespace: kube-system}, endpoints: [{addresses: [10.0.10.53], conditions: {ready: true}}]}\n" +
		"-- kube/deployments.yaml --\nitems:\n- {metadata: {name: coredns, namespace: kube-system}, status: {readyReplicas: 1, availableReplicas: 1, unavailableReplicas: 1}}\n"
}

func TestRollouts(t *testing.T) {
	const drops = "dns/coredns-rollout-drops" + onCorefile
	const spot = "-- kube/nodes.yaml --\nitems:\n- {metadata: {name: ip-10-0-10-11.eu-west-1.compute.internal, labels: {eks.amazonaws.com/capacityType: SPOT}}}\n"
	graceful := func(s string) string {
		return "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: coredns, namespace: kube-system}, spec: {template: {spec: {" + s + "}}}}\n"
	}
	noLameduck := strings.Replace(goodCorefile, "health {;    lameduck 5s;  }", "health", 1)
	for _, x := range []variant{
		{name: "EKS's own configuration on a spot node", overlay: spot},
		{name: "no lameduck on a spot node", overlay: spot + withCorefile(noLameduck), want: []string{drops}, claim: "spot node", run: "lameduck 5s"},
		{name: "no lameduck where nothing moves", overlay: withCorefile(noLameduck)},
		{name: "killed before its lameduck ends", overlay: spot + withCorefile(strings.Replace(goodCorefile, "lameduck 5s", "lameduck 30s", 1)) + graceful("terminationGracePeriodSeconds: 30"), want: []string{drops}, claim: "killed after 30s"},
		{name: "a lameduck that fits", overlay: spot + withCorefile(strings.Replace(goodCorefile, "lameduck 5s", "lameduck 30s", 1)) + graceful("terminationGracePeriodSeconds: 60")},
		{name: "ready before it knows the names", overlay: spot + graceful("containers: [{name: coredns, image: i, readinessProbe: {httpGet: {path: /health, port: 8080}}}]"), want: []string{drops}, claim: "readiness probe of /health"},
	} {
		t.Run(x.name, x.check)
	}
}

// The cache on the nodes.
func TestNodeLocal(t *testing.T) {
	const id = "dns/nodelocal-dns-broken kube/daemonsets/kube-system/node-local-dns"
	pod := func(change string) string {
		return "base: nodelocal-dns-healthy\n-- kube/pods.yaml --\nitems:\n- {metadata: {name: node-local-dns-c8wzl, namespace: kube-system}, " + change + "}\n"
	}
	const lost = "-- kube/daemonsets.yaml --\nitems:\n- {metadata: {name: node-local-dns, namespace: kube-system}, status: {desiredNumberScheduled: 4, currentNumberScheduled: 3}}\n"
	for _, x := range []variant{
		{name: "starts just now", overlay: pod(`status: {conditions: [{type: Ready, status: "False", lastTransitionTime: "2026-01-15T08:59:30Z"}]}`)},
		{name: "its node is not ready", overlay: pod(`status: {conditions: [{type: Ready, status: "False", lastTransitionTime: "2026-01-15T08:30:30Z"}]}`) + "-- kube/nodes.yaml --\nitems:\n- {metadata: {name: ip-10-0-10-21.eu-west-1.compute.internal}, status: {conditions: [{type: Ready, status: Unknown}]}}\n"},
		{name: "killed for its memory", overlay: pod(`status: {containerStatuses: [{name: node-cache, ready: true, image: i, imageID: i, restartCount: 2, state: {running: {}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled, finishedAt: "2026-01-15T08:40:00Z"}}}]}`),
			want: []string{id}, claim: "killed for its memory"},
		{name: "missing on a node", overlay: "base: nodelocal-dns-healthy\n" + lost + "-- kube/pods.yaml --\nitems:\n- {$patch: delete, metadata: {name: node-local-dns-c8wzl, namespace: kube-system}}\n", want: []string{id}, claim: "does not answer on ip-10-0-10-21"},
		{name: "not meant for a node", overlay: "base: nodelocal-dns-healthy\n-- kube/pods.yaml --\nitems:\n- {$patch: delete, metadata: {name: node-local-dns-c8wzl, namespace: kube-system}}\n"},
		{name: "branch interfaces in standard mode", overlay: "base: nodelocal-sgp-strict\n-- kube/daemonsets.yaml --\nitems:\n- metadata: {name: aws-node, namespace: kube-system}\n  spec: {template: {spec: {containers: [{name: aws-node, image: i, env: [{name: ENABLE_POD_ENI, value: \"true\"}, {name: POD_SECURITY_GROUP_ENFORCING_MODE, value: standard}]}]}}}\n"},
		{name: "no cache on the nodes", overlay: "base: nodelocal-sgp-strict\n-- kube/daemonsets.yaml --\nitems:\n- {$patch: delete, metadata: {name: node-local-dns, namespace: kube-system}}\n"},
	} {
		t.Run(x.name, x.check)
	}
}

func TestServiceKubeDNS(t *testing.T) {
	const id = "dns/kube-dns-no-endpoints kube/services/kube-system/kube-dns"
	const gone = "-- kube/services.yaml --\nitems:\n- {$patch: delete, metadata: {name: kube-dns, namespace: kube-system}}\n"
	for _, x := range []variant{
		{name: "no Service", overlay: gone + "-- kube/endpointslices.yaml --\nitems:\n- {$patch: delete, metadata: {name: kube-dns-7vq4d, namespace: kube-system}}\n", want: []string{id}, claim: "does not exist"},
		{name: "a Service of another name", overlay: gone + "- {metadata: {name: coredns, namespace: kube-system}, spec: {clusterIP: 172.20.0.10, selector: {k8s-app: kube-dns}, ports: [{port: 53, protocol: UDP}]}}\n"},
		{name: "no port for UDP", overlay: "-- kube/services.yaml --\nitems:\n- {metadata: {name: kube-dns, namespace: kube-system}, spec: {ports: [{name: dns-tcp, port: 53, protocol: TCP}]}}\n", want: []string{id}, claim: "no port 53 for UDP"},
		{name: "no port for TCP", overlay: "-- kube/services.yaml --\nitems:\n- {metadata: {name: kube-dns, namespace: kube-system}, spec: {ports: [{name: dns, port: 53, protocol: UDP}]}}\n", want: []string{id}, claim: "no port 53 for TCP"},
		{name: "slices that are empty all the same", overlay: down, want: []string{id}, claim: "although 2 pods of CoreDNS are ready"},
	} {
		t.Run(x.name, x.check)
	}
}

func TestReplicas(t *testing.T) {
	const spread, conflict, small = "dns/coredns-not-spread" + onCoreDNS, "dns/coredns-autoscaler-conflict" + onCoreDNS, "dns/coredns-underscaled" + onCoreDNS
	const single = "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: coredns, namespace: kube-system}, spec: {replicas: 1}, status: {replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1}}\n" +
		"-- kube/pods.yaml --\nitems:\n- {$patch: delete, metadata: {name: " + podB + ", namespace: kube-system}}\n"
	const twoNodes = "-- kube/nodes.yaml --\nitems:\n- {$patch: delete, metadata: {name: ip-10-0-10-21.eu-west-1.compute.internal}}\n- {$patch: delete, metadata: {name: ip-10-0-11-21.eu-west-1.compute.internal}}\n"
	const hpa = "-- kube/horizontalpodautoscalers.yaml --\nitems:\n- {metadata: {name: coredns, namespace: kube-system}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: coredns}, maxReplicas: 5}}\n"
	for _, x := range []variant{
		{name: "one replica", overlay: single, want: []string{spread}, claim: "a single replica", run: `"replicaCount":2`},
		{name: "one replica without the add-on", overlay: noAddon + single, want: []string{spread}, run: "--replicas=2"},
		{name: "one replica in a small cluster", overlay: single + twoNodes},
		{name: "a HorizontalPodAutoscaler alone", overlay: hpa},
		{name: "a HorizontalPodAutoscaler beside the number of the add-on", overlay: hpa + addonSet(`{"replicaCount":3}`), want: []string{conflict}, claim: "replicaCount 3 of the add-on and HorizontalPodAutoscaler coredns both set", run: "update-addon"},
		{name: "a HorizontalPodAutoscaler beside the add-on's scaling", overlay: hpa + addonSet(`{"autoScaling":{"enabled":true}}`), want: []string{conflict}},
		{name: "scaling that is turned off", overlay: hpa + addonSet(`{"autoScaling":{"enabled":false}}`)},
		{name: "a configuration in YAML", overlay: hpa + addonSet("autoScaling:\n  enabled: true\n")},
		{name: "large and nothing that scales", overlay: manyNodes(60), want: []string{small}, claim: "is given 4", run: "autoScaling"},
		{name: "large and scaled", overlay: manyNodes(60) + addonSet(`{"autoScaling":{"enabled":true}}`)},
		{name: "not that large", overlay: manyNodes(30)},
	} {
		t.Run(x.name, x.check)
	}
}

func manyNodes(n int) string {
	var b strings.Builder
	b.WriteString("-- kube/nodes.yaml --\nitems:\n")
	for i := range n {
		fmt.Fprintf(&b, "- {metadata: {name: n%d}, status: {capacity: {cpu: \"2\"}, conditions: [{type: Ready, status: \"True\"}]}}\n", i)
	}
	return b.String()
}

func TestAutoMode(t *testing.T) {
	const auto = "base: auto-mode\n"
	cart := func(change string) string { return cartPod(change) }
	const id = "dns/eks-auto-mode-dns "
	for _, x := range []variant{
		{name: "a nameserver that nothing answers at", overlay: auto + cart("spec: {dnsPolicy: None, dnsConfig: {nameservers: [172.20.0.53]}}"), want: []string{id + "kube/pods/shop/cart-7f5c6b9d48-8vhpl"}, claim: "172.20.0.53"},
		{name: "the nameserver of Auto Mode", overlay: auto + cart("spec: {dnsPolicy: None, dnsConfig: {nameservers: [172.20.0.10]}}")},
		{name: "a nameserver elsewhere", overlay: auto + cart("spec: {dnsPolicy: None, dnsConfig: {nameservers: [10.1.0.2]}}")},
		{name: "a program that asks kube-dns", overlay: auto + cart("spec: {containers: [{name: gateway, image: nginx, args: [--resolver=kube-dns.kube-system.svc.cluster.local]}]}"),
			want: []string{id + "kube/pods/shop/cart-7f5c6b9d48-8vhpl"}, claim: "asks kube-dns.kube-system"},
		{name: "a policy for all pods of kube-system", overlay: auto + policies + policy("p", "{matchLabels: {app: cart}}", "[{to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]}, {ports: [{protocol: UDP, port: 53}]}]")},
		{name: "policies that nothing enforces", overlay: auto + "-- kube/configmaps.yaml --\nitems:\n- {metadata: {name: amazon-vpc-cni, namespace: kube-system}, data: {enable-network-policy-controller: \"false\"}}\n" +
			policies + policy("p", "{matchLabels: {app: cart}}", "[{to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]}]")},
	} {
		t.Run(x.name, x.check)
	}
}

// Objects with nothing in them must not stop a check.
func TestEmptyObjects(t *testing.T) {
	_, s := snapshot(t, "coredns-crashloop")
	s.Have[facts.Pods.Kind()] = []corev1.Pod{{}}
	for k := range s.Have {
		less := s.Without(k)
		for _, res := range diagnose.Evaluate(Checks(), less) {
			if res.Panic != nil {
				t.Errorf("%s without %s: %v", res.Check.ID, k, res.Panic)
			}
		}
	}
}
