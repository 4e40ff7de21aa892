package dns

import (
	"fmt"
	"strings"
	"testing"
)

// apart gives the apps nodes a security group of their own, and the cluster's
// these rules for it.
func apart(rules string) string {
	out := "-- ec2/security-groups.json --\nSecurityGroups:\n- {GroupId: sg-0a1, GroupName: apps, VpcId: vpc-0a1b2c3d4e5f60001, IpPermissions: [], IpPermissionsEgress: [{IpProtocol: \"-1\", IpRanges: [{CidrIp: 0.0.0.0/0}]}]}\n" +
		"- {GroupId: sg-0c10000000000000c, IpPermissions: [{IpProtocol: \"-1\", UserIdGroupPairs: [{GroupId: sg-0c10000000000000c}]}" + rules + "]}\n" +
		"-- ec2/network-interfaces.json --\nNetworkInterfaces:\n"
	for _, id := range []string{"1100000000000a1", "1200000000000a1", "1100000000000b1", "1200000000000b1"} {
		out += "- {NetworkInterfaceId: eni-0a" + id + ", Groups: [{GroupId: sg-0a1}]}\n"
	}
	return out
}

// dnsRule is a rule for port 53 of a protocol from the apps nodes' group.
func dnsRule(protocol string) string {
	return fmt.Sprintf(", {IpProtocol: %s, FromPort: 53, ToPort: 53, UserIdGroupPairs: [{GroupId: sg-0a1}]}", protocol)
}

// cacheFile is the Corefile of the caches on the nodes, which send the
// cluster's names on.
func cacheFile(to string) string {
	return fmt.Sprintf("-- kube/configmaps.yaml --\nitems:\n- {metadata: {name: node-local-dns, namespace: kube-system}, data: {Corefile: %q}}\n", "cluster.local:53 {\ncache 30\nforward . "+to+"\n}\n.:53 {\nforward . __PILLAR__UPSTREAM__SERVERS__\n}\n")
}

func TestWayToCoreDNS(t *testing.T) {
	const blocks, tcp = "dns/sg-blocks-dns ec2/security-groups/sg-0c10000000000000c", "dns/tcp53-or-truncation-blocked ec2/security-groups/sg-0c10000000000000c"
	const authorize = "aws ec2 authorize-security-group-ingress --group-id sg-0c10000000000000c --protocol "
	const cache = "-- kube/pods.yaml --\nitems:\n- {metadata: {name: node-local-dns-x, namespace: kube-system, labels: {k8s-app: node-local-dns}}, spec: {hostNetwork: true, nodeName: ip-10-0-10-21.eu-west-1.compute.internal}, status: {phase: Running, podIP: 10.0.10.21, conditions: [{type: Ready, status: 'True'}]}}\n"
	var addresses []string
	for i := range 40 {
		addresses = append(addresses, fmt.Sprintf("{addresses: [10.0.10.%d]}", 100+i))
	}
	headless := "-- kube/services.yaml --\nitems:\n- {metadata: {name: peers, namespace: shop}, spec: {clusterIP: None, clusterIPs: [None], selector: {app: peers}, ports: [{port: 80, targetPort: 80}]}}\n" +
		"-- kube/endpointslices.yaml --\nitems:\n- {metadata: {name: peers-x, namespace: shop, labels: {kubernetes.io/service-name: peers}}, addressType: IPv4, endpoints: [" + strings.Join(addresses, ", ") + "]}\n"
	for _, x := range []variant{
		{name: "neither", overlay: apart(""), want: []string{blocks}, claim: "(udp 53, tcp 53) from sg-0a1 to CoreDNS: 9 pods", run: authorize + "udp --port 53 --source-group sg-0a1"},
		{name: "both", overlay: apart(dnsRule("udp") + dnsRule("tcp"))},
		{name: "by address", overlay: apart(", {IpProtocol: \"-1\", IpRanges: [{CidrIp: 10.0.0.0/16}]}")},
		{name: "by the address of one node's pods", overlay: apart(", {IpProtocol: \"-1\", IpRanges: [{CidrIp: 10.0.10.0/24}]}"), want: []string{blocks}, claim: "5 pods", run: authorize},
		{name: "by a prefix list", overlay: apart(", {IpProtocol: \"-1\", PrefixListIds: [{PrefixListId: pl-1}]}")},
		{name: "UDP only", overlay: apart(dnsRule("udp")), want: []string{tcp}, claim: "answers that are too large for UDP fail", run: authorize + "tcp"},
		{name: "UDP only, and a headless Service of 40 pods", overlay: apart(dnsRule("udp")) + headless, want: []string{tcp}, claim: "headless Service shop/peers with its 40 addresses", run: authorize + "tcp"},
		{name: "caches on the nodes ask over TCP", overlay: apart(dnsRule("tcp")) + nodeCache + cache},
		{name: "caches on the nodes are cut off", overlay: apart("") + nodeCache + cache, want: []string{blocks}, claim: "the DNS caches of 1 node (ip-10-0-10-21.eu-west-1.compute.internal) ask it and get no answer", run: authorize},
		{name: "caches on the nodes ask over TCP, and UDP is open", overlay: apart(dnsRule("udp")) + nodeCache + cache + cacheFile("__PILLAR__CLUSTER__DNS__ {\nforce_tcp\n}"),
			want: []string{blocks}, claim: "(tcp 53) from sg-0a1 to CoreDNS: the DNS caches of 1 node (ip-10-0-10-21.eu-west-1.compute.internal) ask it over TCP (force_tcp)", run: authorize + "tcp"},
		{name: "caches on the nodes ask over TCP, and it is open", overlay: apart(dnsRule("tcp")) + nodeCache + cache + cacheFile("172.20.0.10 {\nforce_tcp\n}")},
		{name: "caches on the nodes ask as they are asked, and TCP is shut", overlay: apart(dnsRule("udp")) + nodeCache + cache + cacheFile("172.20.0.10"), want: []string{tcp}, claim: "answers that are too large for UDP fail", run: authorize + "tcp"},
		{name: "caches on the nodes ask as they are asked, and UDP is shut", overlay: apart(dnsRule("tcp")) + nodeCache + cache + cacheFile("172.20.0.10 {\nprefer_udp\n}"), want: []string{blocks}, claim: "(udp 53)", run: authorize + "udp"},
		{name: "caches on the nodes ask the VPC's resolver over TCP", overlay: apart(dnsRule("udp")) + nodeCache + cache + cacheFile("10.0.0.2 {\nforce_tcp\n}")},
		{name: "no pod there asks CoreDNS", overlay: apart("") + nodeCache},
		{name: "CoreDNS is not ready", overlay: apart("") + down + corednsPods(statusOf("False", "state: {running: {}}")), want: []string{"dns/coredns-zero-ready" + onCoreDNS}},
	} {
		t.Run(x.name, x.check)
	}
}
