package l4_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/diagnose/l4"
	"github.com/hopwise/hopwise/internal/world"
)

// said says of the findings of one check how severe they are and what about.
func said(t *testing.T, check, base, overlay string) string {
	t.Helper()
	w, err := world.Parse("x", []byte("A test.\nbase: "+base+"\n"+overlay))
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(l4.Checks(), func(c *diagnose.Check) bool { return c.ID == check })
	res := diagnose.Evaluate(l4.Checks()[i:i+1], s)[0]
	if res.Outcome == diagnose.Unknown {
		t.Fatalf("%s cannot tell: %v, panic %v", check, res.Missing, res.Panic)
	}
	var out []string
	for _, f := range res.Findings {
		out = append(out, f.Severity.String()+" "+f.Subject.ID)
	}
	return strings.Join(out, ", ")
}

type variants []struct{ name, base, overlay, want string }

func (vs variants) run(t *testing.T, check string) {
	for _, tt := range vs {
		t.Run(tt.name, func(t *testing.T) {
			if got := said(t, check, tt.base, tt.overlay); got != tt.want {
				t.Errorf("%s says %q, want %q", check, got, tt.want)
			}
		})
	}
}

func TestNetworkPolicyNodeLocal(t *testing.T) {
	const base = "networkpolicy-nodelocal-not-covered"
	without := "-- kube/kubelet-configs.yaml --\nitems:\n"
	for _, n := range []string{"10-11", "12-11", "10-21", "11-21"} {
		without += "- {metadata: {name: ip-10-0-" + n + ".eu-west-1.compute.internal}, $patch: delete}\n"
	}
	other := strings.ReplaceAll(without, ", $patch: delete", ", kubeletconfig: {clusterDNS: [172.20.0.10]}")
	shared := "-- kube/daemonsets.yaml --\nitems:\n- {metadata: {name: node-local-dns, namespace: kube-system}, spec: {template: {spec: {containers: [{name: node-cache, image: k8s-dns-node-cache, args: [-localip, '169.254.20.10,172.20.0.10']}]}}}}\n"
	dns := func(servers string) string {
		return "-- kube/pods.yaml --\nitems:\n- {metadata: {name: web-66b8fd7c9d-4dkzt, namespace: shop}, spec: {dnsPolicy: None, dnsConfig: {nameservers: [" + servers + "]}}}\n"
	}
	variants{
		{"kubelets not read, cache at its own address alone", base, without, "risk shop/web-egress"},
		{"kubelets not read, cache at the ClusterIP too", base, without + shared, ""},
		{"kubelets name CoreDNS", base, other, ""},
		{"a pod that names the cache itself", base, other + dns("169.254.20.10"), "outage shop/web-egress"},
		{"a pod that names something else first", base, other + dns("10.0.0.2, 169.254.20.10"), ""},
		{"nothing enforces policies", base, "-- kube/daemonsets.yaml --\nitems:\n- {metadata: {name: aws-node, namespace: kube-system}, spec: {template: {spec: {containers: [{name: aws-node}]}}}}\n-- eks/addons.json --\naddons:\n- {addonName: vpc-cni, configurationValues: '{}'}\n", ""},
		{"no cache", base, "-- kube/daemonsets.yaml --\nitems:\n- {metadata: {name: node-local-dns, namespace: kube-system}, $patch: delete}\n", ""},
		{"a block that holds the address", base, "-- kube/networkpolicies.yaml --\nitems:\n- {metadata: {name: more, namespace: shop}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 169.254.0.0/16}}]}]}}\n", ""},
	}.run(t, "l4/networkpolicy-ipblock-nodelocal")
}

func TestNetworkPolicyStrict(t *testing.T) {
	pod := func(name, status string) string {
		return "- {metadata: {name: " + name + ", namespace: kube-system, creationTimestamp: '2026-01-15T08:30:00Z'}, status: {conditions: [{type: Ready, status: 'False'}], containerStatuses: [{name: coredns, image: i, imageID: '', ready: false, restartCount: 0, state: {" + status + "}}]}}\n"
	}
	one := "-- kube/pods.yaml --\nitems:\n" + pod("coredns-76f9c5d8b4-h7k2m", "running: {startedAt: '2026-01-15T08:30:00Z'}")
	const aws = "kube-system/aws-node"
	variants{
		{"one CoreDNS pod restarted", "networkpolicy-strict-coredns", one, "degraded " + aws},
		{"both restarted", "networkpolicy-strict-coredns", one + pod("coredns-76f9c5d8b4-v9x4q", "running: {startedAt: '2026-01-15T08:30:00Z'}"), "outage " + aws},
		{"a pod whose image is not there", "networkpolicy-strict-no-policy", "-- kube/pods.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-8vhpl, namespace: shop}, status: {containerStatuses: [{name: cart, image: i, imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff}}}]}}\n- {metadata: {name: cart-7f5c6b9d48-jz2xr, namespace: shop}, $patch: delete}\n", ""},
		{"a policy selects the pods", "networkpolicy-strict-no-policy", "-- kube/networkpolicies.yaml --\nitems:\n- {metadata: {name: cart, namespace: shop}, spec: {podSelector: {matchLabels: {app: cart}}, policyTypes: [Ingress]}}\n", ""},
		{"standard mode", "base-shop", one, ""},
		{"another engine", "networkpolicy-strict-coredns", "-- kube/daemonsets.yaml --\nitems:\n- {metadata: {name: aws-node, namespace: kube-system}, spec: {template: {spec: {containers: [{name: aws-node, env: [{name: NETWORK_POLICY_ENFORCING_MODE, value: strict}]}]}}}}\n- {metadata: {name: calico-node, namespace: kube-system}, spec: {template: {spec: {containers: []}}}}\n", ""},
	}.run(t, "l4/networkpolicy-strict-startup-denial")
}

func TestNetworkPolicyStartupRace(t *testing.T) {
	const base = "networkpolicy-startup-race"
	pod := func(rest string) string {
		return "-- kube/pods.yaml --\nitems:\n- {metadata: {name: checkout-59d7c8f6b7-2jwq8, namespace: shop}, status: {containerStatuses: [{name: checkout, image: i, imageID: '', ready: true, " + rest + "}]}}\n"
	}
	variants{
		{"a newer agent", base, "-- kube/daemonsets.yaml --\nitems:\n- {metadata: {name: aws-node, namespace: kube-system}, spec: {template: {spec: {containers: [{name: aws-node}, {name: aws-eks-nodeagent, image: 'agent:v1.2.0', args: [--enable-network-policy=true]}]}}}}\n", ""},
		{"an agent of no known version", base, "-- kube/daemonsets.yaml --\nitems:\n- {metadata: {name: aws-node, namespace: kube-system}, spec: {template: {spec: {containers: [{name: aws-node}, {name: aws-eks-nodeagent, image: 'agent:latest', args: [--enable-network-policy=true]}]}}}}\n", ""},
		{"one pod never failed", base, pod("restartCount: 0"), ""},
		{"one ran for long", base, pod("restartCount: 1, lastState: {terminated: {exitCode: 1, startedAt: '2026-01-15T08:20:02Z', finishedAt: '2026-01-15T08:40:00Z'}}"), ""},
		{"out of memory", base, pod("restartCount: 1, lastState: {terminated: {exitCode: 137, reason: OOMKilled, startedAt: '2026-01-15T08:20:02Z', finishedAt: '2026-01-15T08:20:12Z'}}"), ""},
		{"isolated for egress as well", base, "-- kube/networkpolicies.yaml --\nitems:\n- {metadata: {name: checkout, namespace: shop}, spec: {policyTypes: [Ingress, Egress]}}\n", ""},
		{"no policy", base, "-- kube/networkpolicies.yaml --\nitems:\n- {metadata: {name: checkout, namespace: shop}, $patch: delete}\n", ""},
	}.run(t, "l4/networkpolicy-standard-startup-race")
}

func TestNetworkPolicyAgentDenies(t *testing.T) {
	const node = "ip-10-0-11-21.eu-west-1.compute.internal"
	unhealthy := func(message string) string { // on one node, of whatever runs there and is not on its network
		return "-- kube/events.yaml --\nitems:\n" +
			"- {metadata: {name: u1, namespace: shop}, involvedObject: {kind: Pod, namespace: shop, name: web-on-b}, reason: Unhealthy, message: '" + message + "', lastTimestamp: '2026-01-15T08:55:00Z'}\n" +
			"- {metadata: {name: u2, namespace: shop}, involvedObject: {kind: Pod, namespace: shop, name: cart-on-b}, reason: Unhealthy, message: '" + message + "', lastTimestamp: '2026-01-15T08:55:00Z'}\n"
	}
	pods := "-- kube/pods.yaml --\nitems:\n" +
		"- {metadata: {name: web-on-b, namespace: shop, labels: {app: web, pod-template-hash: 66b8fd7c9d}, ownerReferences: [{kind: ReplicaSet, name: web-66b8fd7c9d, controller: true}]}, spec: {nodeName: node-b, containers: []}, status: {phase: Running, podIP: 10.0.11.240, conditions: [{type: Ready, status: 'False'}]}}\n" +
		"- {metadata: {name: cart-on-b, namespace: shop, labels: {app: cart, pod-template-hash: 7f5c6b9d48}, ownerReferences: [{kind: ReplicaSet, name: cart-7f5c6b9d48, controller: true}]}, spec: {nodeName: node-b, containers: []}, status: {phase: Running, podIP: 10.0.11.241, conditions: [{type: Ready, status: 'False'}]}}\n" +
		"- {metadata: {name: aws-node-b, namespace: kube-system, labels: {k8s-app: aws-node}}, spec: {nodeName: node-b, hostNetwork: true, containers: []}, status: {phase: Running, podIP: 10.0.11.99, conditions: [{type: Ready, status: 'True'}]}}\n"
	timeout := `Readiness probe failed: Get "http://10.0.11.240:8080/healthz": context deadline exceeded`
	variants{
		{"an event of the node", "base-shop", "-- kube/events.yaml --\nitems:\n- {metadata: {name: n1, namespace: default}, involvedObject: {kind: Node, name: " + node + "}, reason: NPABPFRecoveryError, message: x}\n", "degraded " + node},
		{"an event in Auto Mode", "auto-mode", "-- kube/nodes.yaml --\nitems:\n- {metadata: {name: i-0aaa}}\n-- kube/events.yaml --\nitems:\n- {metadata: {name: n1, namespace: default}, involvedObject: {kind: Node, name: i-0aaa}, reason: NPABPFRecoveryError, message: x}\n", "degraded i-0aaa"},
		{"networking ready for another reason", "networkpolicy-agent-lost-state", "-- kube/nodes.yaml --\nitems:\n- {metadata: {name: " + node + "}, status: {conditions: [{type: NetworkingReady, status: 'False', reason: IPAMDNotReady}]}}\n", ""},
		{"probes of two workloads time out on one node", "base-shop", pods + unhealthy(timeout), "risk node-b"},
		{"they get an answer", "base-shop", pods + unhealthy("Readiness probe failed: HTTP probe failed with statuscode: 503"), ""},
		{"strict mode", "networkpolicy-strict-coredns-covered", pods + unhealthy(timeout), ""},
		{"the policy agent is down", "base-shop", strings.Replace(pods, "10.0.11.99, conditions: [{type: Ready, status: 'True'}]", "10.0.11.99, conditions: [{type: Ready, status: 'False'}]", 1) + unhealthy(timeout), ""},
	}.run(t, "l4/networkpolicy-agent-denies-without-policy")
}

func TestSGRulesLimit(t *testing.T) {
	quota := func(n string) string {
		return "-- servicequotas/quotas.json --\nQuotas:\n- {ServiceCode: vpc, QuotaCode: L-0EA8095F, Value: " + n + "}\n"
	}
	group := func(more string) string {
		return "-- ec2/security-groups.json --\nSecurityGroups:\n- GroupId: sg-0c10000000000000c\n  IpPermissions:\n  - {IpProtocol: '-1', UserIdGroupPairs: [{GroupId: sg-0c10000000000000c, UserId: '111122223333'}]}\n  - {IpProtocol: udp, FromPort: 53, ToPort: 53, UserIdGroupPairs: [{GroupId: sg-0a10000000000000a}]}\n" + more
	}
	six := "  - {IpProtocol: tcp, FromPort: 22, ToPort: 22, Ipv6Ranges: [" + strings.TrimSuffix(strings.Repeat("{CidrIpv6: 2001:db8::/48}, ", 40), ", ") + "], IpRanges: [" + strings.TrimSuffix(strings.Repeat("{CidrIp: 192.168.0.0/24}, ", 40), ", ") + "]}\n"
	const full = "outage sg-0c10000000000000c"
	variants{
		{"the quota was raised", "sg-rules-limit", quota("120"), ""},
		{"the quota cannot be read: the default", "sg-rules-limit", "-- servicequotas/quotas.json --\nQuotas:\n- {ServiceCode: vpc, QuotaCode: L-0EA8095F, $patch: delete}\n", full},
		{"nothing is missing", "sg-rules-full-and-sufficient", quota("10"), ""},
		{"families count apart", "private-endpoint-443-blocked", group(six), ""},
		{"more than a lower quota", "private-endpoint-443-blocked", group(six) + quota("42"), full},
	}.run(t, "l4/sg-rules-limit-node-or-pod-sg")
}

func TestSGStaleReferences(t *testing.T) {
	group := func(rule string) string {
		return "-- ec2/security-groups.json --\nSecurityGroups:\n- {GroupId: sg-0c10000000000000c, IpPermissions: [{IpProtocol: '-1', UserIdGroupPairs: [{GroupId: sg-0c10000000000000c, UserId: '111122223333'}]}, {IpProtocol: tcp, FromPort: 8080, ToPort: 8080, UserIdGroupPairs: [{GroupId: sg-0b10000000000000b, UserId: '111122223333'}]}, " + rule + "]}\n"
	}
	const id = "sg-0c10000000000000c"
	variants{
		{"the peering is gone for good", "base-shop", group("{IpProtocol: tcp, FromPort: 5432, ToPort: 5432, UserIdGroupPairs: [{GroupId: sg-0e9, UserId: '444455556666', VpcId: vpc-0d1, VpcPeeringConnectionId: pcx-0a1, PeeringStatus: deleted}]}"), "risk " + id},
		{"a live rule for the same port", "base-shop", group("{IpProtocol: tcp, FromPort: 5432, ToPort: 5432, IpRanges: [{CidrIp: 10.9.0.0/16}]}, {IpProtocol: tcp, FromPort: 5432, ToPort: 5432, UserIdGroupPairs: [{GroupId: sg-0e9, UserId: '444455556666', VpcId: vpc-0d1, VpcPeeringConnectionId: pcx-0a1, PeeringStatus: deleted}]}"), ""},
		{"a peered group", "base-shop", group("{IpProtocol: tcp, FromPort: 5432, ToPort: 5432, UserIdGroupPairs: [{GroupId: sg-0e9, UserId: '444455556666', VpcId: vpc-0d1, VpcPeeringConnectionId: pcx-0a1, PeeringStatus: active}]}"), ""},
		{"another account's group of a shared VPC", "base-shop", group("{IpProtocol: tcp, FromPort: 5432, ToPort: 5432, UserIdGroupPairs: [{GroupId: sg-0e9, UserId: '444455556666'}]}"), ""},
		{"stale rules for another port explain nothing", "sg-stale-node-group", "-- ec2/security-groups.json --\nSecurityGroups:\n- {GroupId: sg-0c10000000000000c, IpPermissions: [{IpProtocol: '-1', UserIdGroupPairs: [{GroupId: sg-0c10000000000000c, UserId: '111122223333'}]}, {IpProtocol: udp, FromPort: 53, ToPort: 53, UserIdGroupPairs: [{GroupId: sg-0a10000000000000a, UserId: '111122223333'}]}, {IpProtocol: tcp, FromPort: 5432, ToPort: 5432, UserIdGroupPairs: [{GroupId: sg-0a9, UserId: '111122223333'}]}]}\n", "risk " + id},
		{"EC2 says so", "base-shop", group("{IpProtocol: tcp, FromPort: 5432, ToPort: 5432, UserIdGroupPairs: [{GroupId: sg-0e9, UserId: '444455556666', VpcId: vpc-0d1}]}") + "-- ec2/stale-security-groups.json --\nStaleSecurityGroupSet:\n- {GroupId: " + id + ", StaleIpPermissions: [{IpProtocol: tcp, UserIdGroupPairs: [{GroupId: sg-0e9}]}]}\n", "risk " + id},
	}.run(t, "l4/sg-stale-references")
}

func TestVPCPeeringSGReference(t *testing.T) {
	const base, id = "vpc-peering-sg-reference", "degraded sg-0c10000000000000c"
	peering := func(rest string) string {
		return "-- ec2/vpc-peering-connections.json --\nVpcPeeringConnections:\n- {VpcPeeringConnectionId: pcx-0a1b2c3d4e5f60021, " + rest + "}\n"
	}
	variants{
		{"not accepted yet, same region", base, peering("Status: {Code: pending-acceptance}, AccepterVpcInfo: {Region: eu-west-1}"), id},
		{"no region told", base, peering("AccepterVpcInfo: {Region: null}"), ""},
		{"no peering: perhaps a transit gateway", base, peering("$patch: delete"), ""},
		{"a rule admits the peer's addresses", base, "-- ec2/security-groups.json --\nSecurityGroups:\n- {GroupId: sg-0d10000000000000d, IpPermissions: []}\n- {GroupId: sg-0c10000000000000c, IpPermissions: [{IpProtocol: '-1', UserIdGroupPairs: [{GroupId: sg-0c10000000000000c}]}, {IpProtocol: tcp, FromPort: 8080, ToPort: 8080, IpRanges: [{CidrIp: 10.8.0.0/15}], UserIdGroupPairs: [{GroupId: sg-0e9, VpcId: vpc-0d1b2c3d4e5f60009}, {GroupId: sg-0b10000000000000b, UserId: '111122223333'}]}]}\n", ""},
	}.run(t, "l4/vpc-peering-sg-reference")
}

func TestSGMissingIngressTarget(t *testing.T) {
	const base, id = "sg-missing-ingress-database", "sg-0db0000000000000d"
	group := func(rule string) string {
		return "-- ec2/security-groups.json --\nSecurityGroups:\n- {GroupId: " + id + ", IpPermissions: [" + rule + "]}\n"
	}
	env := func(value string) string {
		return "-- kube/pods.yaml --\nitems:\n- {metadata: {name: web-66b8fd7c9d-4dkzt, namespace: shop}, spec: {containers: [{name: web, env: [{name: DATABASE_URL, value: '" + value + "'}]}]}}\n"
	}
	variants{
		{"an instance that is no node", base, "-- ec2/network-interfaces.json --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-0d5000000000000d5, Description: '', Attachment: {InstanceId: i-0ddd}}\n", "outage " + id},
		{"one pod's address is admitted, nobody names the Service", base, group("{IpProtocol: tcp, FromPort: 5432, ToPort: 5432, IpRanges: [{CidrIp: 10.0.10.111/32}]}"), ""},
		{"a pod that names it is not", base, group("{IpProtocol: tcp, FromPort: 5432, ToPort: 5432, IpRanges: [{CidrIp: 10.0.10.111/32}]}") + env("postgres://u@orders-db:5432/x"), "outage " + id},
		{"a pod names another one", base, group("{IpProtocol: tcp, FromPort: 5432, ToPort: 5432, IpRanges: [{CidrIp: 10.0.10.111/32}]}") + env("postgres://u@old-orders-db:5432/x"), ""},
		{"a prefix list", base, group("{IpProtocol: tcp, FromPort: 5432, ToPort: 5432, PrefixListIds: [{PrefixListId: pl-1}]}"), ""},
		{"an address outside the VPC", base, "-- kube/endpointslices.yaml --\nitems:\n- {metadata: {name: orders-db-1, namespace: shop}, endpoints: [{addresses: [192.168.7.7]}]}\n", ""},
		{"a load balancer", base, "-- ec2/network-interfaces.json --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-0d5000000000000d5, Description: ELB net/x/1}\n", ""},
		{"policies let nobody out to it", base, "-- kube/networkpolicies.yaml --\nitems:\n- {metadata: {name: none, namespace: shop}, spec: {podSelector: {}, policyTypes: [Egress]}}\n", ""},
	}.run(t, "l4/sg-missing-ingress-target")
}

func TestPrivateEndpointDNS(t *testing.T) {
	const base = "private-endpoint-dns-hostnames-off"
	cluster := func(public string) string {
		return "-- eks/clusters.json --\nclusters:\n- {name: shop, resourcesVpcConfig: {endpointPublicAccess: " + public + "}}\n"
	}
	joined := "-- ec2/network-interfaces.json --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-0a1100000000000c9, $patch: delete}\n"
	dns := func(server string) string {
		return "-- ec2/vpc-attributes.json --\nVpcAttributes:\n- {VpcId: vpc-0a1b2c3d4e5f60001, EnableDnsHostnames: {Value: true}}\n-- ec2/dhcp-options.json --\nDhcpOptions:\n- {DhcpOptionsId: dopt-0a1b2c3d4e5f60002, DhcpConfigurations: [{Key: domain-name-servers, Values: [{Value: " + server + "}]}]}\n"
	}
	variants{
		{"all nodes are ready", base, joined, "risk shop"},
		{"public access as well", base, cluster("true"), ""},
		{"support off too", base, "-- ec2/vpc-attributes.json --\nVpcAttributes:\n- {VpcId: vpc-0a1b2c3d4e5f60001, EnableDnsSupport: {Value: false}}\n", "outage shop"},
		{"own name servers and a node that has not joined", base, dns("10.8.0.53"), "degraded shop"},
		{"own name servers, all nodes ready", base, dns("10.8.0.53") + joined, ""},
		{"the VPC's resolver by its address", base, dns("10.0.0.2"), ""},
	}.run(t, "l4/private-endpoint-dns")
}
