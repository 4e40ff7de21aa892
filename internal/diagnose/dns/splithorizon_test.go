package dns

import (
	"strings"
	"testing"

	"github.com/hopwise/hopwise/internal/facts"
)

// records are those of one zone.
func records(zone string, lines ...string) string {
	return "-- route53/record-sets.json --\nRecordSets:\n- {HostedZoneId: " + zone + ", ResourceRecordSets: [" + strings.Join(lines, ", ") + "]}\n"
}

func TestSplitHorizon(t *testing.T) {
	const id = "dns/split-horizon-shadowing route53/hosted-zones/ZPRIV"
	private := func(name string) string {
		return zones("- {Id: /hostedzone/ZPRIV, Name: " + name + ", CallerReference: c, Config: {PrivateZone: true}, VPCs: [{VPCId: " + shopVPC + ", VPCRegion: eu-west-1}]}\n")
	}
	const soa = "{Name: example.com., Type: SOA, TTL: 900, ResourceRecords: [{Value: x}]}"
	for _, x := range []variant{
		{name: "the same name", overlay: private("example.com.") + records("ZPRIV", soa), target: said("www.example.com"), want: []string{id}, claim: "hides the record of www.example.com in public zone example.com"},
		{name: "an empty zone below the public one", overlay: private("www.example.com.") + records("ZPRIV"), target: said("www.example.com"), want: []string{id}},
		{name: "by the log", overlay: private("example.com.") + records("ZPRIV", soa) + corednsLog(answeredNXDomain("www.example.com")), want: []string{id}},
		{name: "nobody asks", overlay: private("example.com.") + records("ZPRIV", soa)},
		{name: "in neither", overlay: private("example.com.") + records("ZPRIV", soa), target: said("nothere.example.com")},
		{name: "a wildcard inside", overlay: private("example.com.") + records("ZPRIV", soa, `{Name: "\\052.example.com.", Type: A, TTL: 60, ResourceRecords: [{Value: 10.0.5.7}]}`), target: said("www.example.com")},
		{name: "records not read", overlay: private("example.com."), target: said("www.example.com")},
		{name: "more records than were read", overlay: private("example.com.") + "-- route53/record-sets.json --\nRecordSets:\n- {HostedZoneId: ZPRIV, Partial: true, ResourceRecordSets: [" + soa + "]}\n", target: said("www.example.com")},
	} {
		t.Run(x.name, x.check)
	}
}

func TestEndpointTakesPublicNames(t *testing.T) {
	const id = "dns/split-horizon-shadowing ec2/vpc-endpoints/vpce-1"
	endpoint := func(service, more string) string {
		return "-- ec2/vpc-endpoints.json --\nVpcEndpoints:\n- {VpcEndpointId: vpce-1, VpcEndpointType: Interface, VpcId: " + shopVPC + ", ServiceName: com.amazonaws.eu-west-1." + service + ", State: available, NetworkInterfaceIds: [eni-9], DnsEntries: [{DnsName: vpce-1-x." + service + ".eu-west-1.vpce.amazonaws.com}, {DnsName: '*." + service + ".eu-west-1.amazonaws.com'}], " + more + "}\n" +
			"-- ec2/network-interfaces.json --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-9, VpcId: " + shopVPC + ", PrivateIpAddress: 10.0.10.90, PrivateIpAddresses: [{PrivateIpAddress: 10.0.10.90, Primary: true}]}\n"
	}
	on := endpoint("execute-api", "PrivateDnsEnabled: true")
	asks := func(host, address string) facts.Target {
		return facts.Target{Kind: "host", Host: host, Address: address}
	}
	const api = "q7w8e9r0t1.execute-api.eu-west-1.amazonaws.com"
	for _, x := range []variant{
		{name: "leads into it", overlay: on, target: asks(api, "10.0.10.90"), want: []string{id}, claim: "answers every name under execute-api.eu-west-1.amazonaws.com"},
		{name: "nobody says where it leads", overlay: on, target: asks(api, "")},
		{name: "leads elsewhere", overlay: on, target: asks(api, "10.0.10.91")},
		{name: "another region's", overlay: on, target: asks("q7w8e9r0t1.execute-api.us-east-1.amazonaws.com", "10.0.10.90")},
		{name: "private DNS is off", overlay: endpoint("execute-api", "PrivateDnsEnabled: false"), target: asks(api, "10.0.10.90")},
		{name: "AppSync's", overlay: endpoint("appsync-api", "PrivateDnsEnabled: true"), target: asks("abc.appsync-api.eu-west-1.amazonaws.com", "10.0.10.90"), want: []string{id}},
		{name: "a service whose names are nobody's own", overlay: endpoint("dkr.ecr", "PrivateDnsEnabled: true"), target: asks("111122223333.dkr.ecr.eu-west-1.amazonaws.com", "10.0.10.90")},
		{name: "nobody asks", overlay: on},
	} {
		t.Run(x.name, x.check)
	}
}

func TestDelegation(t *testing.T) {
	const id = "dns/public-zone-delegation-broken route53/hosted-zones/"
	const api = "{Name: api.dev.example.com., Type: A, TTL: 60, ResourceRecords: [{Value: 198.51.100.7}]}"
	zone := func(id, name string) string {
		return "- {Id: /hostedzone/" + id + ", Name: " + name + ", CallerReference: c, Config: {PrivateZone: false}}\n"
	}
	ns := func(name, server string) string {
		return "{Name: " + name + ", Type: NS, TTL: 300, ResourceRecords: [{Value: " + server + "}]}"
	}
	more := func(zone string, lines ...string) string {
		return "- {HostedZoneId: " + zone + ", ResourceRecordSets: [" + strings.Join(lines, ", ") + "]}\n"
	}
	dev := zones(zone("ZDEV", "dev.example.com."))
	child := records("ZDEV", ns("dev.example.com.", "ns-1.example."), api)
	parent := func(server string) string { return more("Z0123456SHOPPUBLIC01", ns("dev.example.com.", server)) }
	twins := zones(zone("ZONE", "shop.test.") + zone("ZTWO", "shop.test."))
	for _, x := range []variant{
		{name: "delegated", overlay: dev + child + parent("ns-1.example."), target: said("api.dev.example.com")},
		{name: "delegated, by other spelling", overlay: dev + child + parent("NS-1.example"), target: said("api.dev.example.com")},
		{name: "no NS records in the parent", overlay: dev + child, target: said("api.dev.example.com"), want: []string{id + "ZDEV"}, claim: "has no NS records for dev.example.com"},
		{name: "other servers", overlay: dev + child + parent("ns-2.example."), target: said("api.dev.example.com"), want: []string{id + "ZDEV"}, claim: "hands dev.example.com over to other name servers (ns-2.example)"},
		{name: "other servers, and nobody asks", overlay: dev + child + parent("ns-2.example.")},
		{name: "a record that is nowhere", overlay: dev + child + parent("ns-2.example."), target: said("app.dev.example.com")},
		{name: "two zones, the record in one", overlay: twins + records("ZONE", ns("shop.test.", "ns-1.example.")) + more("ZTWO", ns("shop.test.", "ns-2.example."), "{Name: www.shop.test., Type: A, TTL: 60, ResourceRecords: [{Value: 198.51.100.7}]}"),
			target: said("www.shop.test"), want: []string{id + "ZTWO"}, claim: "only if the domain's registration names"},
		{name: "one zone of a registered domain", overlay: zones(zone("ZONE", "shop.test.")) + records("ZONE", "{Name: www.shop.test., Type: A, TTL: 60, ResourceRecords: [{Value: 198.51.100.7}]}"), target: said("www.shop.test")},
	} {
		t.Run(x.name, x.check)
	}
}

func TestVPCEndpointNames(t *testing.T) {
	const id = "dns/vpce-private-dns-off ec2/vpc-endpoints/vpce-1"
	endpoint := func(service, state, private string) string {
		return "-- ec2/vpc-endpoints.json --\nVpcEndpoints:\n- {VpcEndpointId: vpce-1, VpcEndpointType: Interface, VpcId: " + shopVPC + ", ServiceName: " + service + ", State: " + state + ", PrivateDnsEnabled: " + private + "}\n"
	}
	const sts, host = "com.amazonaws.eu-west-1.sts", "sts.eu-west-1.amazonaws.com"
	closed := "-- ec2/route-tables.json --\nRouteTables:\n"
	for _, az := range []string{"a", "b", "c"} {
		closed += "- {RouteTableId: rtb-0a20000000000000" + az + ", Routes: [{DestinationCidrBlock: 10.0.0.0/16, GatewayId: local, State: active}]}\n"
	}
	owned := zones("- {Id: /hostedzone/ZSTS, Name: "+host+"., CallerReference: c, Config: {PrivateZone: true}, VPCs: [{VPCId: "+shopVPC+", VPCRegion: eu-west-1}]}\n") +
		records("ZSTS", "{Name: "+host+"., Type: A, TTL: 60, ResourceRecords: [{Value: 10.0.10.99}]}")
	for _, x := range []variant{
		{name: "a way out, and nobody asks", overlay: endpoint(sts, "available", "false")},
		{name: "a way out, and somebody asks", overlay: endpoint(sts, "available", "false"), target: said(host), want: []string{id}, claim: "leads to public addresses", run: "--private-dns-enabled"},
		{name: "no way out", overlay: closed + endpoint(sts, "available", "false"), want: []string{id}, claim: "have no route", run: "--private-dns-enabled"},
		{name: "no way out, host names off", overlay: closed + endpoint(sts, "available", "false") + attribute + "EnableDnsHostnames: {Value: false}}\n", want: []string{"dns/vpc-enable-dns-hostnames-off ec2/vpcs/" + shopVPC, id}, run: "--enable-dns-hostnames"},
		{name: "a zone of the service's name", overlay: closed + owned + endpoint(sts, "available", "false"), target: said(host)},
		{name: "private DNS on", overlay: closed + endpoint(sts, "available", "true"), target: said(host)},
		{name: "still being made", overlay: closed + endpoint(sts, "pending", "false"), target: said(host)},
		{name: "API Gateway", overlay: closed + endpoint("com.amazonaws.eu-west-1.execute-api", "available", "false")},
		{name: "the global name", overlay: endpoint(sts, "available", "false"), target: said("sts.amazonaws.com")},
		{name: "a registry's name", overlay: endpoint("com.amazonaws.eu-west-1.ecr.dkr", "available", "false"), target: said("111122223333.dkr.ecr.eu-west-1.amazonaws.com"), want: []string{id}, run: "--private-dns-enabled"},
		{name: "a proxy leads out", overlay: closed + endpoint(sts, "available", "false") + "-- kube/pods.yaml --\nitems:\n- {metadata: {name: coredns-76f9c5d8b4-h7k2m, namespace: kube-system}, spec: {containers: [{name: coredns, image: i, env: [{name: HTTPS_PROXY, value: \"http://10.8.0.1:3128\"}]}]}}\n"},
	} {
		t.Run(x.name, x.check)
	}
}
