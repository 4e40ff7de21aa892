package dns

import (
	"fmt"
	"strings"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

const (
	shopVPC   = "vpc-0a1b2c3d4e5f60001"
	shopZone  = "Z0123456SHOPINTERN01"
	attribute = "-- ec2/vpc-attributes.json --\nVpcAttributes:\n- {VpcId: " + shopVPC + ", "
)

// said is a question about a name.
func said(name string) facts.Target { return facts.Target{Lookup: name} }

// corednsLog gives one CoreDNS pod lines of the last hour.
func corednsLog(lines ...string) string {
	out := "-- kube/pod-logs.yaml --\nitems:\n- metadata: {name: coredns-76f9c5d8b4-h7k2m, namespace: kube-system}\n  container: coredns\n  text: |\n"
	for i, l := range lines {
		out += fmt.Sprintf("    2026-01-15T08:%02d:10.1Z %s\n", i%60, l)
	}
	return out
}

func timedOut(name, upstream string) string {
	return "[ERROR] plugin/errors: 2 " + name + ". A: read udp 10.0.10.53:41220->" + upstream + ":53: i/o timeout"
}

func answeredNXDomain(name string) string {
	return `[INFO] 10.0.10.121:39211 - 30211 "A IN ` + name + `. udp 52 false 512" NXDOMAIN qr,rd,ra 128 0.004012s`
}

func repeat(line string, n int) []string {
	return strings.Split(strings.TrimSuffix(strings.Repeat(line+"\n", n), "\n"), "\n")
}

func dhcp(servers ...string) string {
	return "-- ec2/dhcp-options.json --\nDhcpOptions:\n- DhcpOptionsId: dopt-0a1b2c3d4e5f60002\n  DhcpConfigurations: [{Key: domain-name-servers, Values: [{Value: " + strings.Join(servers, "}, {Value: ") + "}]}]\n"
}

func TestVPCAttributes(t *testing.T) {
	const support, hostnames = "dns/vpc-enable-dns-support-off ec2/vpcs/" + shopVPC, "dns/vpc-enable-dns-hostnames-off ec2/vpcs/" + shopVPC
	const supportOff, hostnamesOff = attribute + "EnableDnsSupport: {Value: false}}\n", attribute + "EnableDnsHostnames: {Value: false}}\n"
	private := "-- eks/clusters.json --\nclusters:\n- {name: shop, resourcesVpcConfig: {endpointPublicAccess: false, endpointPrivateAccess: true}}\n"
	for _, x := range []variant{
		{name: "both off", overlay: attribute + "EnableDnsSupport: {Value: false}, EnableDnsHostnames: {Value: false}}\n", want: []string{support}, claim: "no name outside the cluster", run: "--enable-dns-hostnames"},
		{name: "the resolver beside a server of one's own", overlay: supportOff + dhcp("10.8.0.53", "AmazonProvidedDNS"), want: []string{support}, claim: "as well as 10.8.0.53", run: "--enable-dns-support"},
		{name: "the resolver by its address", overlay: supportOff + dhcp("169.254.169.253"), want: []string{support}, run: "--enable-dns-support"},
		{name: "and the log says so", overlay: supportOff + corednsLog(repeat(timedOut("a.example.org", "10.0.0.2"), 600)...), want: []string{support, "dns/forward-upstream-timeout kube/deployments/kube-system/coredns"}, run: "--enable-dns-support"},
		{name: "attributes not known", overlay: "-- ec2/vpc-attributes.json --\nVpcAttributes:\n- {VpcId: " + shopVPC + ", $patch: replace}\n"},
		{name: "another VPC's", overlay: "-- ec2/vpc-attributes.json --\nVpcAttributes:\n- {VpcId: vpc-0b2, EnableDnsSupport: {Value: false}, EnableDnsHostnames: {Value: false}}\n"},
		{name: "host names off, and nobody asks: the zone is dead all the same", overlay: hostnamesOff, want: []string{hostnames}, claim: "no private name is answered", run: "--enable-dns-hostnames"},
		{name: "host names off, and a private API, of which another check speaks", overlay: hostnamesOff + private},
		{name: "host names off, and a private API, and a name of the zone is asked for", overlay: hostnamesOff + private, target: said("db.shop.internal"), want: []string{hostnames}, claim: "db.shop.internal does not resolve", run: "--enable-dns-hostnames"},
		{name: "host names off, and the nodes ask others", overlay: hostnamesOff + dhcp("10.8.0.53")},
	} {
		t.Run(x.name, x.check)
	}
}

func TestDHCPServers(t *testing.T) {
	const id = "dns/dhcp-options-custom-dns ec2/dhcp-options/dopt-0a1b2c3d4e5f60002"
	for _, x := range []variant{
		{name: "nobody asks", overlay: dhcp("10.8.0.53")},
		{name: "a private name in the log", overlay: dhcp("10.8.0.53") + corednsLog(answeredNXDomain("db.shop.internal")), want: []string{id}, claim: "do not answer db.shop.internal"},
		{name: "a name that is in no private zone", overlay: dhcp("10.8.0.53"), target: said("git.corp.example")},
		{name: "a private name that has no record", overlay: dhcp("10.8.0.53"), target: said("nothere.shop.internal")},
		{name: "the VPC's resolver by its address", overlay: dhcp("10.0.0.2"), target: said("db.shop.internal")},
		{name: "nothing answers", overlay: dhcp("10.8.0.53") + corednsLog(repeat(timedOut("a.example.org", "10.8.0.53"), 6)...), want: []string{id, "dns/forward-upstream-timeout kube/deployments/kube-system/coredns"}, claim: "left 6 lookups of the last hour without an answer"},
		{name: "no route to the server", overlay: dhcp("10.8.0.53") + corednsLog(repeat(timedOut("a.example.org", "10.8.0.53"), 6)...) + "-- ec2/route-tables.json --\nRouteTables:\n- {RouteTableId: rtb-0a20000000000000a, Routes: [{DestinationCidrBlock: 10.0.0.0/16, GatewayId: local, State: active}, {DestinationCidrBlock: 10.8.0.0/16, TransitGatewayId: tgw-1, State: blackhole}]}\n- {RouteTableId: rtb-0a20000000000000c, Routes: [{DestinationCidrBlock: 10.0.0.0/16, GatewayId: local, State: active}, {DestinationCidrBlock: 10.8.0.0/16, TransitGatewayId: tgw-1, State: blackhole}]}\n",
			want: []string{"dns/forward-upstream-timeout kube/deployments/kube-system/coredns"}, claim: "stopped"},
		{name: "a public server beside the VPC's resolver", overlay: dhcp("AmazonProvidedDNS", "8.8.8.8"), target: said("db.shop.internal"), want: []string{id}, claim: "fails in about 1 of 2 lookups", run: "forward . 169.254.169.253"},
		{name: "a public server before the VPC's resolver", overlay: dhcp("8.8.8.8", "10.0.0.2"), target: said("db.shop.internal"), want: []string{id}, claim: "name 8.8.8.8 beside the VPC's resolver", run: "forward . 169.254.169.253"},
		{name: "a public server beside it, and nobody asks", overlay: dhcp("10.0.0.2", "8.8.8.8")},
		{name: "a public server beside it, and a public name", overlay: dhcp("10.0.0.2", "8.8.8.8"), target: said("git.corp.example")},
		{name: "a public server beside it that knows less", overlay: dhcp("10.0.0.2", "8.8.8.8") + metricsOf("10.0.0.2:53 NOERROR 5000", "10.0.0.2:53 NXDOMAIN 100", "8.8.8.8:53 NOERROR 3500", "8.8.8.8:53 NXDOMAIN 1500"),
			want: []string{id}, claim: "the names of the VPC's private zones, which only the VPC's resolver knows, fail in about 1 of 2 lookups", run: "forward . 169.254.169.253"},
		{name: "a public server beside it that knows as much", overlay: dhcp("10.0.0.2", "8.8.8.8") + metricsOf("10.0.0.2:53 NOERROR 3600", "10.0.0.2:53 NXDOMAIN 1400", "8.8.8.8:53 NOERROR 3500", "8.8.8.8:53 NXDOMAIN 1500")},
		{name: "a company's server beside it that knows less", overlay: dhcp("10.0.0.2", "10.8.0.53") + metricsOf("10.0.0.2:53 NOERROR 5000", "10.8.0.53:53 NOERROR 3500", "10.8.0.53:53 NXDOMAIN 1500")},
		{name: "a public server after it, asked when it fails", overlay: dhcp("10.0.0.2", "8.8.8.8") + withCorefile(strings.Replace(goodCorefile, "/etc/resolv.conf", "/etc/resolv.conf {;policy sequential;}", 1)), target: said("db.shop.internal")},
		{name: "a few timeouts", overlay: dhcp("10.8.0.53") + corednsLog(repeat(timedOut("a.example.org", "10.8.0.53"), 2)...)},
	} {
		t.Run(x.name, x.check)
	}
}

func zones(list string) string { return "-- route53/hosted-zones.json --\nHostedZones:\n" + list }

// payZone is a private zone of another VPC.
const payZone = "- {Id: /hostedzone/ZPAY, Name: pay.internal., CallerReference: c, Config: {PrivateZone: true}}\n"

func TestZones(t *testing.T) {
	const id = "dns/private-zone-not-associated route53/hosted-zones/"
	externalName := "-- kube/services.yaml --\nitems:\n- {metadata: {name: ledger, namespace: shop, creationTimestamp: \"2025-11-03T08:12:00Z\"}, spec: {type: ExternalName, externalName: ledger.pay.internal}}\n"
	run := "--hosted-zone-id ZPAY --vpc VPCRegion=eu-west-1,VPCId=" + shopVPC
	for _, x := range []variant{
		{name: "the question", overlay: zones(payZone), target: said("ledger.pay.internal"), want: []string{id + "ZPAY"}, run: run},
		{name: "the log", overlay: zones(payZone) + corednsLog(answeredNXDomain("ledger.pay.internal")), want: []string{id + "ZPAY"}, run: run},
		{name: "an ExternalName Service", overlay: zones(payZone) + externalName, want: []string{id + "ZPAY"}, run: run},
		{name: "timeouts are something else", overlay: zones(payZone) + corednsLog(timedOut("ledger.pay.internal", "10.0.0.2"))},
		{name: "another name", overlay: zones(payZone), target: said("ledger.paying.internal")},
		{name: "what a search list makes", overlay: zones("- {Id: /hostedzone/ZPAY, Name: internal., CallerReference: c, Config: {PrivateZone: true}}\n") + corednsLog(answeredNXDomain("api.example.org.eu-west-1.compute.internal"))},
		{name: "two of the name", overlay: zones(payZone + "- {Id: /hostedzone/ZPAY2, Name: pay.internal., CallerReference: c, Config: {PrivateZone: true}}\n"), target: said("ledger.pay.internal"),
			want: []string{id + "ZPAY"}, claim: "2 zones have that name"},
		{name: "its records were read, and lack the name", target: said("ledger.pay.internal"),
			overlay: zones(payZone) + "-- route53/record-sets.json --\nRecordSets:\n- {HostedZoneId: ZPAY, ResourceRecordSets: [{Name: other.pay.internal., Type: A, TTL: 60, ResourceRecords: [{Value: 10.9.0.1}]}]}\n"},
		{name: "a Resolver rule takes the name", target: said("ledger.pay.internal"), overlay: zones(payZone) + forward("rslvr-rr-1", "pay.internal.")},
		{name: "a more specific zone than the one that answers", target: said("a.b.shop.internal"),
			overlay: zones("- {Id: /hostedzone/ZSUB, Name: b.shop.internal., CallerReference: c, Config: {PrivateZone: true}}\n"), want: []string{id + "ZSUB"}, claim: "asked of the private zone shop.internal", run: "ZSUB"},
		{name: "the same name as the one that answers", target: said("a.shop.internal"),
			overlay: zones("- {Id: /hostedzone/ZSAME, Name: shop.internal., CallerReference: c, Config: {PrivateZone: true}}\n")},
		{name: "zones not known", overlay: "deny: route53:ListHostedZones\n", target: said("ledger.pay.internal")},
	} {
		t.Run(x.name, x.check)
	}
}

// forward is a rule of the VPC that sends a domain to 10.8.0.53.
func forward(id, domain string) string {
	return "-- route53resolver/rules.json --\nResolverRules:\n- {Id: " + id + ", Name: corp, DomainName: " + domain + ", RuleType: FORWARD, Status: COMPLETE, ResolverEndpointId: rslvr-out-1, TargetIps: [{Ip: 10.8.0.53, Port: 53}]}\n" +
		"-- route53resolver/rule-associations.json --\nResolverRuleAssociations:\n- {Id: rslvr-rrassoc-1, ResolverRuleId: " + id + ", VPCId: " + shopVPC + ", Status: COMPLETE}\n"
}

// outboundEndpoint is the endpoint of forward, in the subnets of the nodes.
func outboundEndpoint(status, address, subnet string) string {
	return "-- route53resolver/endpoints.json --\nResolverEndpoints:\n- {Id: rslvr-out-1, Name: corp, Direction: OUTBOUND, Status: " + status + ", HostVPCId: " + shopVPC + ", SecurityGroupIds: [sg-0d9], IpAddresses: [{IpId: rni-1, SubnetId: " + subnet + ", Ip: 10.0.10.250, Status: " + address + "}]}\n"
}

func endpointGroup(egress string) string {
	return "-- ec2/security-groups.json --\nSecurityGroups:\n- {GroupId: sg-0d9, GroupName: r, Description: r, VpcId: " + shopVPC + ", IpPermissions: [], IpPermissionsEgress: [" + egress + "]}\n"
}

func TestResolverRules(t *testing.T) {
	const rule, endpoint = "dns/resolver-rule-misroute route53resolver/rules/rslvr-rr-1", "dns/resolver-endpoint-saturated-or-blocked route53resolver/endpoints/rslvr-out-1"
	const all, subnet = `{IpProtocol: "-1", IpRanges: [{CidrIp: 0.0.0.0/0}]}`, "subnet-0a20000000000000a"
	good := outboundEndpoint("OPERATIONAL", "ATTACHED", subnet) + endpointGroup(all)
	ldap := repeat(timedOut("ldap.corp.example", "10.0.0.2"), 4)
	for _, x := range []variant{
		{name: "in order, and nobody complains", overlay: forward("rslvr-rr-1", "corp.example.") + good},
		{name: "a name that only the targets know", overlay: forward("rslvr-rr-1", "corp.example.") + good, target: said("ldap.corp.example")},
		{name: "the zone's own name", overlay: forward("rslvr-rr-1", "shop.internal.") + good, target: said("db.shop.internal"), want: []string{rule}, claim: "comes before private zone shop.internal", run: "disassociate-resolver-rule"},
		{name: "a name below the zone", overlay: forward("rslvr-rr-1", "db.shop.internal.") + good, target: said("db.shop.internal"), want: []string{rule}, run: "disassociate-resolver-rule"},
		{name: "a wider domain loses to the zone", overlay: forward("rslvr-rr-1", "internal.") + good, target: said("db.shop.internal")},
		{name: "the zone lacks the name too", overlay: forward("rslvr-rr-1", "shop.internal.") + good, target: said("nothere.shop.internal")},
		{name: "silent targets", overlay: forward("rslvr-rr-1", "corp.example.") + good + corednsLog(ldap...), want: []string{rule}, claim: "4 lookups failed"},
		{name: "all names time out alike", overlay: forward("rslvr-rr-1", "corp.example.") + good + corednsLog(append(ldap, repeat(timedOut("api.stripe.com", "10.0.0.2"), 4)...)...)},
		{name: "a name of AWS is denied", overlay: forward("rslvr-rr-1", "amazonaws.com.") + good + corednsLog(answeredNXDomain("sts.eu-west-1.amazonaws.com")), want: []string{rule}, claim: "a name that the public DNS has", run: "disassociate-resolver-rule"},
		{name: "no route to the targets", overlay: forward("rslvr-rr-1", "corp.example.") + good + "-- ec2/route-tables.json --\nRouteTables:\n- {RouteTableId: rtb-0a20000000000000a, Routes: [{DestinationCidrBlock: 10.0.0.0/16, GatewayId: local, State: active}, {DestinationCidrBlock: 10.8.0.0/16, TransitGatewayId: tgw-1, State: blackhole}, {DestinationCidrBlock: 0.0.0.0/0, NatGatewayId: nat-0a10000000000000a, State: active}]}\n",
			target: said("ldap.corp.example"), want: []string{rule}, claim: "no route leads"},
		{name: "the endpoint needs action", overlay: forward("rslvr-rr-1", "corp.example.") + outboundEndpoint("ACTION_NEEDED", "FAILED_RESOURCE_GONE", subnet) + endpointGroup(all), target: said("ldap.corp.example"), want: []string{endpoint}, claim: "has 1 of its 1 addresses out of order"},
		{name: "the endpoint is being changed", overlay: forward("rslvr-rr-1", "corp.example.") + outboundEndpoint("UPDATING", "ATTACHED", subnet) + endpointGroup(all), target: said("ldap.corp.example")},
		{name: "the endpoint's group is closed, and nobody asks", overlay: forward("rslvr-rr-1", "corp.example.") + outboundEndpoint("OPERATIONAL", "ATTACHED", subnet) + endpointGroup(""), want: []string{endpoint}, run: "authorize-security-group-egress"},
		{name: "only TCP is closed", overlay: forward("rslvr-rr-1", "corp.example.") + outboundEndpoint("OPERATIONAL", "ATTACHED", subnet) + endpointGroup("{IpProtocol: udp, FromPort: 53, ToPort: 53, IpRanges: [{CidrIp: 0.0.0.0/0}]}"), want: []string{endpoint}, claim: "TCP 53", run: "IpProtocol=tcp"},
		{name: "a group that was not read", overlay: forward("rslvr-rr-1", "corp.example.") + outboundEndpoint("OPERATIONAL", "ATTACHED", subnet)},
		{name: "another VPC's rule", overlay: strings.ReplaceAll(forward("rslvr-rr-1", "shop.internal."), "VPCId: "+shopVPC, "VPCId: vpc-0b2") + outboundEndpoint("ACTION_NEEDED", "DETACHING", subnet), target: said("db.shop.internal")},
	} {
		t.Run(x.name, x.check)
	}
}

func TestFirewall(t *testing.T) {
	const id = "dns/dns-firewall-block route53resolver/firewall-rule-groups/rslvr-frg-1"
	group := func(rules string) string {
		return "-- route53resolver/firewall-rule-groups.json --\nFirewallRuleGroups:\n- {Id: rslvr-frgassoc-1, FirewallRuleGroupId: rslvr-frg-1, Name: g, VpcId: " + shopVPC + ", Priority: 101, Status: COMPLETE, FirewallRules: [" + rules + "]}\n"
	}
	const allow = `{Name: a, Priority: 1, Action: ALLOW, FirewallDomainListId: l1, Domains: ["*.amazonaws.com."]}`
	const none = `{Name: b, Priority: 9, Action: BLOCK, BlockResponse: NODATA, FirewallDomainListId: l2, Domains: ["*."]}`
	for _, x := range []variant{
		{name: "an allow list without the name", overlay: group(allow + ", " + none), target: said("api.stripe.com"), want: []string{id}, claim: "rule b (priority 9)"},
		{name: "an allow list, and nobody asks", overlay: group(allow + ", " + none)},
		{name: "an allow list that leaves out what the VPC CNI asks for", overlay: group(none), want: []string{id}, claim: "the VPC CNI needs ec2.eu-west-1.amazonaws.com"},
		{name: "an answer that the rule does not give", overlay: group(allow+", "+none) + corednsLog(answeredNXDomain("api.stripe.com"))},
		{name: "AWS's list, asked for and denied", overlay: group(`{Name: m, Priority: 1, Action: BLOCK, BlockResponse: NXDOMAIN, FirewallDomainListId: l3, Managed: true}`) + corednsLog(answeredNXDomain("api.stripe.com")), target: said("api.stripe.com"), want: []string{id}, claim: "may be blocked"},
		{name: "AWS's list, and a typo in the log", overlay: group(`{Name: m, Priority: 1, Action: BLOCK, BlockResponse: NXDOMAIN, FirewallDomainListId: l3, Managed: true}`) + corednsLog(answeredNXDomain("api.strype.com"))},
	} {
		t.Run(x.name, x.check)
	}
}

// Facts with nothing in them, which AWS never sends, make no check panic.
func TestEmptyVPCDNS(t *testing.T) {
	_, s := snapshot(t, "resolver-rule-targets-silent")
	for kind, list := range map[facts.Kind]any{
		facts.HostedZones.Kind():              []facts.HostedZone{{}, {}},
		facts.Records.Kind():                  []facts.RecordSets{{}},
		facts.ResolverRules.Kind():            []resolvertypes.ResolverRule{{}, {RuleType: "FORWARD"}},
		facts.ResolverRuleAssociations.Kind(): []resolvertypes.ResolverRuleAssociation{{}},
		facts.ResolverEndpoints.Kind():        []facts.ResolverEndpoint{{}, {IpAddresses: []resolvertypes.IpAddressResponse{{}}}},
		facts.FirewallRuleGroups.Kind():       []facts.FirewallRuleGroup{{FirewallRules: []facts.FirewallRule{{Managed: true}, {}}}},
		facts.VPCEndpoints.Kind():             []ec2types.VpcEndpoint{{}, {VpcEndpointType: "Interface"}},
		facts.VPCAttribute.Kind():             []facts.VPCAttributes{{}},
		facts.DHCPOptions.Kind():              []ec2types.DhcpOptions{{}},
		facts.VPCs.Kind():                     []ec2types.Vpc{{}},
	} {
		for _, lookup := range []string{"", ".", "db.shop.internal", "10.0.0.1", "*.a.b", strings.Repeat("a.", 200)} {
			one := *s.Without(kind)
			one.Have[kind], one.Target = list, said(lookup)
			for _, c := range Checks() {
				if p := diagnose.Evaluate([]*diagnose.Check{c}, &one)[0].Panic; p != nil {
					t.Errorf("%s with empty %s and %q panics: %v", c.ID, kind, lookup, p)
				}
			}
		}
	}
}
