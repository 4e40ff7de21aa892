package dns

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

const (
	nodeA = "ip-10-0-10-21.eu-west-1.compute.internal"
	nodeB = "ip-10-0-11-21.eu-west-1.compute.internal"
)

func check(t *testing.T, variants []variant) {
	t.Helper()
	for _, x := range variants {
		t.Run(x.name, x.check)
	}
}

// given makes the kubelet of one node give pods these nameservers.
func given(servers string) string {
	return "-- kube/kubelet-configs.yaml --\nitems:\n- {metadata: {name: " + nodeA + "}, kubeletconfig: {clusterDNS: [" + servers + "]}}\n"
}

func kubeDNSAt(fields string) string {
	return "-- kube/services.yaml --\nitems:\n- {metadata: {name: kube-dns, namespace: kube-system" + fields + "}\n"
}

func event(kind, namespace, name, at, reason, message string) string {
	return "-- kube/events.yaml --\nitems:\n- {metadata: {name: e1, namespace: default}, involvedObject: {kind: " + kind + ", namespace: '" + namespace + "', name: " + name + "}, type: Warning, reason: " + reason +
		", lastTimestamp: '2026-01-15T" + at + "Z', source: {component: kubelet, host: " + nodeA + "}, message: '" + message + "'}\n"
}

func TestKubeletClusterDNS(t *testing.T) {
	const id, at = "dns/kubelet-clusterdns-wrong ", "kube/nodes/" + nodeA
	check(t, []variant{
		{name: "an address that nobody has", overlay: given("10.100.0.10"), want: []string{id + at}, claim: "node group apps give pods nameserver 10.100.0.10"},
		{name: "no address", overlay: given("dns.local"), want: []string{id + at}},
		{name: "the VPC's resolver at its link-local address", overlay: given("169.254.169.253"), want: []string{id + at}},
		{name: "the right one is second", overlay: given("10.100.0.10, 172.20.0.10"), want: []string{id + at}, claim: "waits in vain"},
		{name: "the wrong one is second", overlay: given("172.20.0.10, 10.100.0.10")},
		{name: "a free address of the Service range", overlay: given("172.20.0.99"), want: []string{id + at}},
		{name: "another Service with port 53", overlay: given("172.20.0.53") + "-- kube/services.yaml --\nitems:\n- {metadata: {name: dns, namespace: infra}, spec: {clusterIP: 172.20.0.53, clusterIPs: [172.20.0.53], ports: [{port: 53, protocol: UDP}]}}\n"},
		{name: "the address of a cache, and nothing that caches", overlay: given("169.254.20.10"), want: []string{id + at}, claim: "unless a program of the nodes listens there"},
		{name: "a cache of another name", overlay: given("169.254.20.10") + "-- kube/daemonsets.yaml --\nitems:\n- {metadata: {name: dnsmasq, namespace: infra}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: []}}}}\n"},
		{name: "IPv6", overlay: given("'fd12::a'") + kubeDNSAt("}, spec: {clusterIP: 'fd12::a', clusterIPs: ['fd12::a', 172.20.0.10]}")},
		{name: "a node of Auto Mode", overlay: given("172.20.0.99") + "-- kube/nodes.yaml --\nitems:\n- {metadata: {name: " + nodeA + ", labels: {eks.amazonaws.com/compute-type: auto}}}\n"},
		{name: "kube-dns was made again, kubelets were not asked", overlay: "deny: get nodes/proxy\n" + kubeDNSAt(", creationTimestamp: '2026-01-15T08:00:00Z'}, spec: {clusterIP: 172.20.7.7, clusterIPs: [172.20.7.7]}"),
			want: []string{id + "kube/services/kube-system/kube-dns"}, claim: "made again at 172.20.7.7, and 4 nodes from before it"},
		{name: "a pod names it, kubelets were not asked", overlay: "deny: get nodes/proxy\n" + cartSaid("dial tcp: lookup web on 10.100.0.10:53: i/o timeout"), want: []string{id + at}, claim: "nameserver 10.100.0.10"},
		{name: "a pod names the right one", overlay: "deny: get nodes/proxy\n" + cartSaid("dial tcp: lookup web on 172.20.0.10:53: i/o timeout")},
		{name: "somebody answers there", overlay: "deny: get nodes/proxy\n" + cartSaid("dial tcp: lookup web on 10.100.0.10:53: no such host")},
		{name: "a pod names one of its own", overlay: "deny: get nodes/proxy\n" + cartSaid("dial tcp: lookup web on 10.9.9.9:53: i/o timeout") + "  spec: {dnsConfig: {nameservers: [10.9.9.9]}}\n"},
		{name: "kube-dns has always been there", overlay: "deny: get nodes/proxy\n" + kubeDNSAt("}, spec: {clusterIP: 172.20.7.7, clusterIPs: [172.20.7.7]}")},
	})
}

func TestKubeletMissingClusterDNS(t *testing.T) {
	const id, words = "dns/kubelet-missing-clusterdns ", `kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" policy. Falling back to "Default" policy.`
	check(t, []variant{
		{name: "by its configuration", overlay: given(""), want: []string{id + "kube/nodes/" + nodeA}, claim: "have no clusterDNS"},
		{name: "by an event", overlay: "deny: get nodes/proxy\n" + event("Node", "", nodeA, "08:30:00", "MissingClusterDNS", words), want: []string{id + "kube/nodes/" + nodeA}},
		{name: "by an event of yesterday", overlay: "deny: get nodes/proxy\n" + event("Node", "", nodeA, "06:30:00", "MissingClusterDNS", words)},
		{name: "corrected since, and no pod from before", overlay: event("Node", "", nodeA, "08:30:00", "MissingClusterDNS", words)},
		{name: "corrected since, with a pod from before", overlay: event("Pod", "shop", "cart-7f5c6b9d48-8vhpl", "08:30:00", "MissingClusterDNS", words),
			want: []string{id + "kube/deployments/shop/cart"}, run: "rollout restart deployment/cart"},
		{name: "by a pod's words", overlay: "deny: get nodes/proxy\n" + cartSaid("dial tcp: lookup web on 10.0.0.2:53: no such host"), want: []string{id + "kube/nodes/" + nodeA}},
		{name: "by a pod's words of a name that is not there", overlay: "deny: get nodes/proxy\n" + cartSaid("dial tcp: lookup nothing on 10.0.0.2:53: no such host")},
		{name: "of a node that is gone", overlay: "deny: get nodes/proxy\n" + event("Node", "", "gone", "08:30:00", "MissingClusterDNS", words)},
	})
}

func TestResolvConfLimits(t *testing.T) {
	const id, cart = "dns/resolvconf-limits-exceeded ", "cart-7f5c6b9d48-8vhpl"
	const line = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: shop.svc.cluster.local svc.cluster.local cluster.local"
	check(t, []variant{
		{name: "a risk while nobody asks", overlay: event("Pod", "shop", cart, "08:30:00", "DNSConfigForming", line), want: []string{id + "kube/pods/shop/" + cart}, claim: "leaves search domains eu-west-1.compute.internal out"},
		{name: "the node's own file", overlay: event("Node", "", nodeA, "08:30:00", "CheckLimitsForResolvConf", "Resolv.conf file /etc/resolv.conf contains search line consisting of more than 32 domains!"), want: []string{id + "kube/nodes/" + nodeA}},
		{name: "nameservers", overlay: event("Pod", "shop", cart, "08:30:00", "DNSConfigForming", "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 10.0.0.2 10.0.0.3 10.0.0.4")},
		{name: "long ago", overlay: event("Pod", "shop", cart, "06:30:00", "DNSConfigForming", line)},
		{name: "a pod that is gone", overlay: event("Pod", "shop", "cart-gone", "08:30:00", "DNSConfigForming", line)},
	})
}

// cartSaid makes one of cart's containers end with a message.
func cartSaid(text string) string {
	return "-- kube/pods.yaml --\nitems:\n- metadata: {name: cart-7f5c6b9d48-8vhpl, namespace: shop}\n  status: {containerStatuses: [{name: cart, image: i, imageID: i, ready: true, restartCount: 1, state: {running: {}}, lastState: {terminated: {exitCode: 1, finishedAt: '2026-01-15T08:50:00Z', message: '" + text + "'}}}]}\n"
}

func TestDNSPolicy(t *testing.T) {
	const host, own = "dns/dnspolicy-hostnetwork ", "dns/dnspolicy-none-or-default-misuse "
	const proxy = "kube/daemonsets/kube-system/kube-proxy"
	args := func(word string) string {
		return "-- kube/pods.yaml --\nitems:\n- {metadata: {name: kube-proxy-5hj8r, namespace: kube-system}, spec: {containers: [{name: kube-proxy, image: i, args: ['" + word + "']}]}}\n"
	}
	none := func(config string) string { return cartPod("spec: {dnsPolicy: None, dnsConfig: " + config + "}") }
	asks := func(name, lookup string) facts.Target {
		return facts.Target{Namespace: "shop", Name: name, Lookup: lookup}
	}
	cart := own + "kube/deployments/shop/cart"
	check(t, []variant{
		{name: "host network, and a Service that the question names", target: facts.Target{Name: "kube-proxy", Lookup: "payments.payments.svc"}, want: []string{host + proxy}},
		{name: "host network, and an external name", target: facts.Target{Name: "kube-proxy", Lookup: "api.example.org"}},
		{name: "host network, and a Service that is not there", target: facts.Target{Name: "kube-proxy", Lookup: "nothing.payments.svc"}},
		{name: "nobody says who asks, and one pod beside the Service is on the host network", overlay: cartPod("spec: {hostNetwork: true}"), target: facts.Target{Kind: "service", Namespace: "shop", Name: "web", Lookup: "web.shop.svc"}, want: []string{host + "kube/deployments/shop/cart"}, claim: "If it is Deployment shop/cart"},
		{name: "nobody says who asks for a Service of another namespace", overlay: cartPod("spec: {hostNetwork: true}"), target: facts.Target{Kind: "service", Namespace: "payments", Name: "payments", Lookup: "payments.payments.svc"}},
		{name: "host network, and no lookup", target: facts.Target{Name: "kube-proxy"}},
		{name: "host network, told the address of a Service", overlay: args("--endpoint=http://payments.payments:80/v1"), want: []string{host + proxy}, claim: "looks up payments.payments"},
		{name: "host network, told names for its certificate", overlay: args("--dynamic-serving-dns-names=payments.payments,payments.payments.svc")},
		{name: "host network with its policy", overlay: "-- kube/pods.yaml --\nitems:\n- {metadata: {name: kube-proxy-5hj8r, namespace: kube-system}, spec: {dnsPolicy: ClusterFirstWithHostNet, containers: [{name: kube-proxy, image: i, args: ['http://payments.payments:80']}]}}\n"},
		{name: "Default, and nobody needs a Service", overlay: cartPod("spec: {dnsPolicy: Default}")},
		{name: "Default, and the pod complained", overlay: cartPod("spec: {dnsPolicy: Default}") + cartSaid("dial tcp: lookup web on 10.0.0.2:53: no such host"), want: []string{cart}},
		{name: "Default, and the image was looked up by the node", overlay: cartPod("spec: {dnsPolicy: Default}") + event("Pod", "shop", "cart-7f5c6b9d48-8vhpl", "08:50:00", "Failed", "Failed to pull image: lookup web on 10.0.0.2:53: no such host")},
		{name: "None with all that it takes", overlay: none("{nameservers: [172.20.0.10], searches: [shop.svc.cluster.local]}"), target: asks("cart", "web")},
		{name: "None without searches, and a short name", overlay: none("{nameservers: [172.20.0.10]}"), target: asks("cart", "web"), want: []string{cart}, claim: `search list ""`},
		{name: "None without searches, and a full name", overlay: none("{nameservers: [172.20.0.10]}"), target: asks("cart", "web.shop.svc.cluster.local")},
		{name: "None with another nameserver", overlay: none("{nameservers: [10.0.0.2], searches: [shop.svc.cluster.local]}"), target: asks("cart", "web"), want: []string{cart}, claim: "ask 10.0.0.2"},
		{name: "None without any nameserver", overlay: event("ReplicaSet", "shop", "cart-1", "08:50:00", "FailedCreate", "Error creating: Pod is invalid: spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"),
			want: []string{own + "kube/replicasets/shop/cart-1"}},
	})
}

// statefulPod is a pod of StatefulSet shop/db.
func statefulPod(name, fields, ready string) string {
	return "- {metadata: {name: " + name + ", namespace: shop, labels: {app: db}, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: u, controller: true}]}, spec: {nodeName: " + nodeB + ", containers: [{name: db, image: i}]" + fields +
		"}, status: {phase: Running, podIP: 10.0.11.200, conditions: [{type: Ready, status: '" + ready + "'}]}}\n"
}

func TestHeadless(t *testing.T) {
	const id = "dns/headless-no-records "
	set := func(replicas, service string) string {
		return "-- kube/statefulsets.yaml --\nitems:\n- {metadata: {name: db, namespace: shop}, spec: {replicas: " + replicas + ", serviceName: " + service + ", selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: []}}}}\n"
	}
	svc := func(fields string) string {
		return "-- kube/services.yaml --\nitems:\n- {metadata: {name: db, namespace: shop}, spec: {clusterIP: None, selector: {app: db}" + fields + "}}\n"
	}
	pods := "-- kube/pods.yaml --\nitems:\n"
	asks := func(lookup string) facts.Target { return facts.Target{Namespace: "shop", Lookup: lookup} }
	named := ", hostname: db-0, subdomain: db"
	check(t, []variant{
		{name: "one replica needs no peers", overlay: set("1", "db")},
		{name: "no Service, and nobody complains", overlay: set("3", "db"), want: []string{id + "kube/statefulsets/shop/db"}, claim: "below Service db, which does not exist"},
		{name: "no serviceName", overlay: set("3", "''")},
		{name: "all is well", overlay: set("1", "db") + svc("") + pods + statefulPod("db-0", named, "True"), target: asks("db-0.db")},
		{name: "the peer is not ready", overlay: set("1", "db") + svc("") + pods + statefulPod("db-0", named, "False"), target: asks("db-0.db"), want: []string{id + "kube/services/shop/db"}, claim: "is not ready"},
		{name: "and published", overlay: set("1", "db") + svc(", publishNotReadyAddresses: true") + pods + statefulPod("db-0", named, "False"), target: asks("db-0.db")},
		{name: "the Service's own name, none ready", overlay: set("1", "db") + svc("") + pods + statefulPod("db-0", named, "False"), target: asks("db"), want: []string{id + "kube/services/shop/db"}, claim: "no name while none"},
		{name: "another subdomain", overlay: set("1", "db") + svc("") + pods + statefulPod("db-0", ", hostname: db-0, subdomain: old", "True"), target: asks("db-0.db"), want: []string{id + "kube/services/shop/db"}, claim: `subdomain is "old"`},
		{name: "the next one is not made yet", overlay: set("2", "db") + svc("") + pods + statefulPod("db-0", named, "False"), target: asks("db-1.db"), want: []string{id + "kube/services/shop/db"}, claim: "not made yet"},
		{name: "below another Service than serviceName", overlay: set("1", "db") + svc("") + pods + statefulPod("db-0", named, "True"), target: asks("db-0.database.shop.svc"), want: []string{id + "kube/statefulsets/shop/db"}, claim: "below its serviceName: db-0.db.shop"},
	})
}

func TestExternalName(t *testing.T) {
	const id = "dns/externalname-issues kube/services/shop/x"
	to := func(name string) string {
		return "-- kube/services.yaml --\nitems:\n- {metadata: {name: x, namespace: shop}, spec: {type: ExternalName, externalName: '" + name + "'}}\n"
	}
	check(t, []variant{
		{name: "an address", overlay: to("10.0.5.20"), want: []string{id}, claim: "which is an address"},
		{name: "an IPv6 address", overlay: to("fd00::1"), want: []string{id}, claim: "which is an address"},
		{name: "a URL", overlay: to("https://api.example.org"), want: []string{id}, claim: "which is no name"},
		{name: "nothing", overlay: to(""), want: []string{id}},
		{name: "itself", overlay: to("x.shop.svc.cluster.local"), want: []string{id}, claim: "leads back to it"},
		{name: "a Service that is not there", overlay: to("gone.payments.svc.cluster.local"), want: []string{id}, claim: "namespace payments has no Service gone"},
		{name: "a Service that is there", overlay: to("payments.payments.svc.cluster.local.")},
		{name: "a stranger's name", overlay: to("api.example.org")},
		{name: "a record of the private zone", overlay: to("db.shop.internal")},
		{name: "no record of the private zone", overlay: to("old.shop.internal"), want: []string{id}, claim: "has no such record"},
		{name: "records were not read", overlay: "deny: route53:ListResourceRecordSets\n" + to("old.shop.internal")},
		{name: "a rule forwards the domain", overlay: to("old.shop.internal") + "-- route53resolver/rules.json --\nResolverRules:\n- {Id: rslvr-rr-1, DomainName: shop.internal., RuleType: FORWARD, Status: COMPLETE}\n"},
	})
}

func TestServiceName(t *testing.T) {
	const id = "dns/service-name-wrong-namespace "
	const payments = id + "kube/services/payments/payments"
	asks := func(namespace, lookup string) facts.Target { return facts.Target{Namespace: namespace, Lookup: lookup} }
	lines := func(name string, times ...string) string {
		var b strings.Builder
		b.WriteString("-- kube/pod-logs.yaml --\nitems:\n- metadata: {name: coredns-76f9c5d8b4-h7k2m, namespace: kube-system}\n  container: coredns\n  text: |\n")
		for _, at := range times {
			b.WriteString("    2026-01-15T" + at + "Z [INFO] 10.0.10.111:40001 - 1 \"A IN " + name + ". udp 56 false 512\" NXDOMAIN qr,aa,rd 149 0.0001s\n")
		}
		return b.String()
	}
	second := "-- kube/services.yaml --\nitems:\n- {metadata: {name: payments, namespace: billing}, spec: {clusterIP: 172.20.4.4}}\n"
	check(t, []variant{
		{name: "another namespace", target: asks("shop", "payments"), want: []string{payments}, claim: "from there its name is payments.payments"},
		{name: "its own namespace", target: asks("payments", "payments")},
		{name: "two have it", overlay: second, target: asks("shop", "payments")},
		{name: "who asks is not told", target: asks("", "payments"), want: []string{payments}, claim: "pods of other namespaces get no answer"},
		{name: "the wrong namespace in the name", target: asks("", "payments.shop"), want: []string{payments}, claim: "payments.shop is looked up"},
		{name: "in full", target: asks("", "payments.shop.svc.cluster.local"), want: []string{payments}},
		{name: "a letter too few", target: asks("shop", "chekout"), want: []string{id + "kube/services/shop/checkout"}, claim: "Service checkout, which was meant"},
		{name: "a short name that is nearly another", target: asks("shop", "wed")},
		{name: "an external name", target: asks("shop", "payments.example.org")},
		{name: "a name of no Service", target: asks("shop", "redis")},
		{name: "in the log, again and again", overlay: lines("payments.shop.svc.cluster.local", "08:51:00", "08:55:00", "08:59:00"), want: []string{payments}},
		{name: "in the log, once", overlay: lines("payments.shop.svc.cluster.local", "08:59:00")},
		{name: "in the log, and not any more", overlay: lines("payments.shop.svc.cluster.local", "08:11:00", "08:15:00", "08:19:00")},
		{name: "in the log, as a candidate of a good name", overlay: lines("payments.payments.shop.svc.cluster.local", "08:51:00", "08:55:00", "08:59:00")},
		{name: "a container says so", overlay: cartSaid("Error: getaddrinfo ENOTFOUND payments"), want: []string{payments}},
		{name: "web is there", target: asks("shop", "web")},
	})
}

func TestNegativeCache(t *testing.T) {
	const id = "dns/negative-or-stale-cache "
	said := func(at string) string {
		return "-- kube/pod-logs.yaml --\nitems:\n- metadata: {name: coredns-76f9c5d8b4-h7k2m, namespace: kube-system}\n  container: coredns\n  text: |\n    2026-01-15T" + at + "Z [INFO] 10.0.10.111:40001 - 1 \"A IN db.shop.internal. udp 56 false 512\" NXDOMAIN qr,rd,ra 149 0.0001s\n"
	}
	db := facts.Target{Kind: "host", Host: "db.shop.internal", Lookup: "db.shop.internal"}
	check(t, []variant{
		{name: "a record, and a denial of minutes ago", overlay: said("08:50:00"), target: db, want: []string{id + "route53/record-sets/db.shop.internal"}, claim: "until 09:05:30Z"},
		{name: "a denial of an hour ago", overlay: said("08:10:00"), target: db},
		{name: "no denial", target: db},
		{name: "an old Service", target: facts.Target{Namespace: "shop", Lookup: "web"}},
		{name: "a young Service that nobody misses", overlay: "-- kube/services.yaml --\nitems:\n- {metadata: {name: web, namespace: shop, creationTimestamp: '2026-01-15T08:59:50Z'}}\n"},
		{name: "a Service of the future", overlay: "-- kube/services.yaml --\nitems:\n- {metadata: {name: web, namespace: shop, creationTimestamp: '2026-01-15T09:59:50Z'}}\n", target: facts.Target{Namespace: "shop", Lookup: "web"}},
	})
}

func TestSearchWildcard(t *testing.T) {
	const id = "dns/search-domain-wildcard-capture route53/record-sets/*.corp.test"
	dhcp := "-- ec2/dhcp-options.json --\nDhcpOptions:\n- {DhcpOptionsId: dopt-0a1b2c3d4e5f60002, DhcpConfigurations: [{Key: domain-name, Values: [{Value: corp.test}]}]}\n"
	zone := func(vpcs, records string) string {
		return "-- route53/hosted-zones.json --\nHostedZones:\n- {Id: /hostedzone/ZCORP, Name: corp.test., CallerReference: c, Config: {PrivateZone: true}, VPCs: " + vpcs + "}\n" +
			"-- route53/record-sets.json --\nRecordSets:\n- {HostedZoneId: ZCORP, ResourceRecordSets: [" + records + "]}\n"
	}
	const ours, star = "[{VPCId: vpc-0a1b2c3d4e5f60001, VPCRegion: eu-west-1}]", "{Name: '*.corp.test.', Type: A, TTL: 60, ResourceRecords: [{Value: 10.0.5.5}]}"
	named := facts.Target{Kind: "host", Host: "api.stripe.com", Lookup: "api.stripe.com"}
	check(t, []variant{
		{name: "nobody complains", overlay: dhcp + zone(ours, star), want: []string{id}, claim: "Record *.corp.test answers"},
		{name: "the question names an external name", overlay: dhcp + zone(ours, star), target: named, want: []string{id}, claim: "api.stripe.com is first asked for as api.stripe.com.corp.test"},
		{name: "the zone is not seen in the VPC", overlay: dhcp + zone("[]", star), target: named},
		{name: "the domain is no search domain", overlay: zone(ours, star), target: named},
		{name: "no wildcard", overlay: dhcp + zone(ours, "{Name: a.corp.test., Type: A, TTL: 60, ResourceRecords: [{Value: 10.0.5.5}]}"), target: named},
		{name: "a name that is there is closer", overlay: dhcp + zone(ours, star+", {Name: x.com.corp.test., Type: TXT, TTL: 60, ResourceRecords: [{Value: '\"x\"'}]}"), target: named},
		{name: "dnsConfig of one workload", overlay: zone(ours, star) + cartPod("spec: {dnsConfig: {searches: [corp.test]}}"), want: []string{id}, claim: "the dnsConfig of Deployment shop/cart", run: "dnsConfig"},
		{name: "dnsConfig with ndots 1", overlay: zone(ours, star) + cartPod("spec: {dnsConfig: {searches: [corp.test], options: [{name: ndots, value: '1'}]}}")},
	})
}

func TestMusl(t *testing.T) {
	const id = "dns/musl-resolver-quirks kube/deployments/shop/cart"
	box := func(image, config string) string {
		return cartPod("spec: {dnsConfig: {options: [" + config + "]}, containers: [{name: cart, image: '" + image + "'}]}")
	}
	asks := facts.Target{Namespace: "shop", Name: "cart", Lookup: "payments.payments"}
	check(t, []variant{
		{name: "ndots 1", overlay: box("cart:3-alpine", "{name: ndots, value: '1'}"), target: asks, want: []string{id}, claim: "as it is only (it has 1 dot, ndots is 1)"},
		{name: "ndots 5", overlay: box("cart:3-alpine", ""), target: asks},
		{name: "glibc", overlay: box("cart:3-slim", "{name: ndots, value: '1'}"), target: asks},
		{name: "nobody asks", overlay: box("cart:3-alpine", "{name: ndots, value: '1'}")},
		{name: "an option that it does not know", overlay: box("cart:3-alpine", "{name: single-request-reopen}"), target: asks, want: []string{id}, claim: "passes over the options single-request-reopen"},
		{name: "SERVFAIL before the right name", overlay: box("cart:3-alpine", "") + "-- kube/pod-logs.yaml --\nitems:\n- metadata: {name: coredns-76f9c5d8b4-h7k2m, namespace: kube-system}\n  container: coredns\n  text: |\n    2026-01-15T08:59:00Z [INFO] 10.0.10.111:40001 - 1 \"A IN payments.payments.shop.svc.cluster.local. udp 56 false 512\" SERVFAIL qr,rd 149 0.0001s\n",
			target: asks, want: []string{id}, claim: "ends its search at SERVFAIL"},
	})
}

func TestNdots(t *testing.T) {
	const id = "dns/ndots5-amplification "
	share := func(nx string) string {
		return "-- kube/pod-metrics.yaml --\nitems:\n- metadata: {name: coredns-76f9c5d8b4-h7k2m, namespace: kube-system}\n  text: |\n    # TYPE coredns_build_info gauge\n    coredns_build_info{version=\"1.13.1\"} 1\n    # TYPE coredns_dns_responses_total counter\n    coredns_dns_responses_total{rcode=\"NOERROR\"} 1000\n    coredns_dns_responses_total{rcode=\"NXDOMAIN\"} " + nx + "\n"
	}
	late := func(name string) string {
		return "-- kube/pod-logs.yaml --\nitems:\n- metadata: {name: coredns-76f9c5d8b4-h7k2m, namespace: kube-system}\n  container: coredns\n  text: |\n" +
			strings.Repeat("    2026-01-15T08:55:00Z [ERROR] plugin/errors: 2 "+name+". A: read udp 10.0.10.53:1->10.0.0.2:53: i/o timeout\n", 12)
	}
	external := facts.Target{Namespace: "shop", Name: "checkout", Lookup: "api.stripe.com"}
	check(t, []variant{
		{name: "a high share alone", overlay: share("4000")},
		{name: "a high share, and a question about an external name", overlay: share("4000"), target: external, want: []string{id + "kube/deployments/shop/checkout"}, claim: "10 packets", run: `"ndots","value":"2"`},
		{name: "a high share, and queries refused since the start", overlay: share("4000\n    # TYPE coredns_forward_max_concurrent_rejects_total counter\n    coredns_forward_max_concurrent_rejects_total 50"), want: []string{id + "kube/deployments/kube-system/coredns"}, claim: "has refused 50 queries since its start"},
		{name: "a low share, and the question", overlay: share("500"), target: external},
		{name: "a name with five dots", overlay: share("4000"), target: facts.Target{Namespace: "shop", Name: "checkout", Lookup: "a.b.c.d.example.org"}},
		{name: "a Service", overlay: share("4000"), target: facts.Target{Namespace: "shop", Name: "checkout", Lookup: "payments.payments"}},
	})
	answered := strings.Repeat("    2026-01-15T08:55:00Z [INFO] 10.0.10.111:40001 - 1 \"A IN api.stripe.com.eu-west-1.compute.internal. udp 56 false 512\" NXDOMAIN qr,rd,ra 149 0.001s\n", 12)
	const expanded = "api.stripe.com.eu-west-1.compute.internal"
	for overlay, want := range map[string]bool{late(expanded) + answered: true, late(expanded): false, late("api.stripe.com") + answered: false, late("ip-10-0-1-2.eu-west-1.compute.internal") + answered: false} {
		x := variant{overlay: overlay}
		if got := found(t, x, "dns/ndots5-amplification"); got != want {
			t.Errorf("found %t, want %t, in\n%s", got, want, overlay)
		}
	}
}

// found reports whether a check finds something in a variant.
func found(t *testing.T, x variant, id string) bool {
	t.Helper()
	w, err := world.Parse("variant", []byte("a variant\n"+x.overlay))
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(run(s).Findings, func(f diagnose.Finding) bool { return f.Check == id })
}

func TestComplains(t *testing.T) {
	for text, want := range map[string]string{
		"dial tcp: lookup Payments.shop on 172.20.0.10:53: no such host":                      "payments.shop 172.20.0.10",
		"dial tcp: lookup a.b on [fd12::a]:53: no such host":                                  "a.b fd12::a",
		"Error: getaddrinfo ENOTFOUND redis":                                                  "redis ",
		"java.net.UnknownHostException: payments":                                             "payments ",
		`could not translate host name "db" to address: Name or service not known`:            "db ",
		"curl: (6) Could not resolve host: api.example.org":                                   "api.example.org ",
		"wget: bad address 'web'":                                                             "web ",
		"** server can't find web.shop.svc.cluster.local: NXDOMAIN":                           "web.shop.svc.cluster.local ",
		"dial tcp: lookup payments on 172.20.0.10:53: read udp: i/o timeout":                  "",
		`could not translate host name "db" to address: Temporary failure in name resolution`: "",
		"": "",
	} {
		c, ok := complains(text)
		got := c.name + " " + c.server
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestWorkloadOf(t *testing.T) {
	yes := true
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a-5f-x", Labels: map[string]string{"pod-template-hash": "5f"}, OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "a-5f", Controller: &yes}}}}
	if w, ok := workloadOf(p); !ok || w.Kind != "Deployment" || w.Name != "a" {
		t.Errorf("%+v %t", w, ok)
	}
	p.OwnerReferences[0].Kind = "Job"
	if w, ok := workloadOf(p); ok {
		t.Errorf("a Job is none: %+v", w)
	}
	if _, ok := workloadOf(&corev1.Pod{}); ok {
		t.Error("a pod without an owner has a workload")
	}
}
