package l3_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/diagnose/l3"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/world"
)

// findings runs the checks on a scenario with further changes laid over it.
func findings(t *testing.T, base, overlay string) []diagnose.Finding {
	t.Helper()
	w, err := world.Parse("x", []byte("A test.\nbase: "+base+"\n"+overlay))
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, res := range diagnose.Evaluate(l3.Checks(), s) {
		if res.Panic != nil {
			t.Fatalf("%s panics: %v", res.Check.ID, res.Panic)
		}
	}
	return diagnose.Run(l3.Checks(), s, "", intents.Intent{}).Findings
}

// first sums up a finding's first remedy: its first command, with "manual" in
// front when the bot would not run it.
func first(f diagnose.Finding) string {
	if len(f.Remedies) == 0 {
		return "none"
	}
	r := f.Remedies[0]
	if !r.Runnable() {
		return "manual " + r.Commands()[0]
	}
	return r.Commands()[0]
}

func summary(fs []diagnose.Finding) (out []string) {
	for _, f := range fs {
		out = append(out, f.Severity.String()+" "+strings.TrimPrefix(f.Subject.String(), "ec2/subnets/")+" "+first(f))
	}
	return out
}

func cni(image, env string) string {
	return fmt.Sprintf(`-- kube/daemonsets.yaml --
items:
- metadata: {name: aws-node, namespace: kube-system}
  spec: {template: {spec: {containers: [{name: aws-node, image: %q, env: [%s]}]}}}
`, "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:"+image, env)
}

func spare(change string) string {
	return "-- ec2/subnets.json --\nSubnets:\n- {SubnetId: subnet-0a30000000000000a, " + change + "}\n"
}

const (
	tagSpare = "aws ec2 create-tags --resources subnet-0a30000000000000a --tags Key=kubernetes.io/role/cni,Value=1"
	newRange = "manual aws ec2 associate-vpc-cidr-block --vpc-id vpc-0a1b2c3d4e5f60001 --cidr-block 100.64.0.0/16"
	subnetA  = "subnet-0a20000000000000a"
	subnetB  = "subnet-0a20000000000000b"
)

func TestSubnetIPExhausted(t *testing.T) {
	full := func(remedy string) []string { return []string{"degraded " + subnetA + " " + remedy} }
	noEvents := "-- kube/events.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-kq7dz.188a41b2c0ffee01, namespace: shop}, $patch: delete}\n- {metadata: {name: cart-7f5c6b9d48-zv5tn.188a41b2c0ffee02, namespace: shop}, $patch: delete}\n"
	for _, tt := range []struct {
		name, overlay string
		want          []string
	}{
		{"as it is", "", full(tagSpare)},
		{"CNI before subnet discovery", cni("v1.17.1-eksbuild.1", ""), full("manual " + tagSpare)},
		{"discovery came with v1.18", cni("v1.18.0", ""), full(tagSpare)},
		{"two digits are a number", cni("v1.9.3", ""), full("manual " + tagSpare)},
		{"discovery off", cni("v1.20.4", `{name: ENABLE_SUBNET_DISCOVERY, value: "False"}`), full("manual " + tagSpare)},
		{"version not known", cni("latest", ""), full("manual " + tagSpare)},
		{"DaemonSets not readable", "deny: list daemonsets\n", full("manual " + tagSpare)},
		{"routes not readable", "deny: ec2:DescribeRouteTables\n", full("manual " + tagSpare)},
		{"spare in another zone", spare("AvailabilityZone: eu-west-1b"), full(newRange)},
		{"spare in another VPC", spare("VpcId: vpc-0ffffffffffffffff"), full(newRange)},
		{"spare for load balancers", spare("Tags: [{Key: kubernetes.io/role/elb, Value: '1'}]"), full(newRange)},
		{"spare kept from the CNI", spare("Tags: [{Key: kubernetes.io/role/cni, Value: '0'}]"), full(newRange)},
		{"spare has little room itself", spare("AvailableIpAddressCount: 12"), full(newRange)},
		{"spare falls to the main table, which has no way out", "-- ec2/route-tables.json --\nRouteTables:\n- {RouteTableId: rtb-0a20000000000000a, Associations: [{RouteTableAssociationId: a, SubnetId: subnet-0a20000000000000a}]}\n", full(newRange)},
		{"a tagged subnet with room is there already", spare("Tags: [{Key: kubernetes.io/role/cni, Value: '1'}]"), nil},
		{"tagged, but discovery is off", spare("Tags: [{Key: kubernetes.io/role/cni, Value: '1'}]") + cni("v1.20.4", `{name: ENABLE_SUBNET_DISCOVERY, value: "false"}`), full(newRange)},
		{"9 left is full", "-- ec2/subnets.json --\nSubnets:\n- {SubnetId: subnet-0a20000000000000a, AvailableIpAddressCount: 9}\n", full(tagSpare)},
		{"10 left is not", "-- ec2/subnets.json --\nSubnets:\n- {SubnetId: subnet-0a20000000000000a, AvailableIpAddressCount: 10}\n", nil},
		{"12 left hold no prefix", "-- ec2/subnets.json --\nSubnets:\n- {SubnetId: subnet-0a20000000000000a, AvailableIpAddressCount: 12}\n" + cni("v1.20.4", `{name: ENABLE_PREFIX_DELEGATION, value: "true"}`), full(tagSpare)},
		{"one interface of the node is elsewhere, with room", "-- ec2/network-interfaces.json --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-0a1200000000000a1, SubnetId: subnet-0a30000000000000a}\n", nil},
		{"no event", noEvents, nil},
		{"the node monitoring agent says it instead", noEvents + "-- kube/nodes.yaml --\nitems:\n- metadata: {name: ip-10-0-10-21.eu-west-1.compute.internal}\n  status: {conditions: [{type: NetworkingReady, status: 'False', reason: IPAMDNoIPs, message: no addresses}]}\n", full(tagSpare)},
		{"the pods got their addresses since", "-- kube/pods.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-kq7dz, namespace: shop}, status: {podIP: 10.0.10.9}}\n- {metadata: {name: cart-7f5c6b9d48-zv5tn, namespace: shop}, status: {podIP: 10.0.10.8}}\n", nil},
		{"the event is of a former pod", "-- kube/pods.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-kq7dz, namespace: shop, uid: new}}\n- {metadata: {name: cart-7f5c6b9d48-zv5tn, namespace: shop}, status: {podIP: 10.0.10.8}}\n-- kube/events.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-kq7dz.188a41b2c0ffee01, namespace: shop}, involvedObject: {uid: old}}\n", nil},
		{"VPCs not readable: no plan", "deny: ec2:DescribeVpcs\n" + spare("AvailabilityZone: eu-west-1b"), full("none")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, summary(findings(t, "subnet-ip-exhausted", tt.overlay))); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoReadySiblingIsAnOutage(t *testing.T) {
	if got := summary(findings(t, "checkout-full-subnet", "")); len(got) != 1 || !strings.HasPrefix(got[0], "outage") {
		t.Errorf("got %q, want one outage: no pod of checkout is ready", got)
	}
}

const local = "{DestinationCidrBlock: 10.0.0.0/16, GatewayId: local, Origin: CreateRouteTable, State: active}"

// tableB replaces the routes of zone b's table, after the local one.
func tableB(routes string) string {
	return "-- ec2/route-tables.json --\nRouteTables:\n- {RouteTableId: rtb-0a20000000000000b, Routes: [" + local + ", " + routes + "]}\n"
}

func TestPrivateSubnetNoDefaultRoute(t *testing.T) {
	const (
		missing = "private-subnet-route-missing"
		lost    = "private-subnet-no-default-route"
		create  = "aws ec2 create-route --route-table-id rtb-0a20000000000000b --destination-cidr-block 0.0.0.0/0 --nat-gateway-id nat-0a10000000000000"
	)
	degraded := func(r string) []string { return []string{"degraded " + subnetB + " " + r} }
	for _, tt := range []struct {
		name, base, overlay string
		want                []string
	}{
		{"own table without it", missing, "", degraded(create + "b")},
		{"fell to the main table", lost, "", []string{"outage " + subnetB + " aws ec2 associate-route-table --route-table-id rtb-0a20000000000000b --subnet-id " + subnetB}},
		{"fell to the main table, no table of the zone", lost, "-- ec2/route-tables.json --\nRouteTables:\n- {RouteTableId: rtb-0a20000000000000b, $patch: delete}\n",
			[]string{"outage " + subnetB + " aws ec2 associate-route-table --route-table-id rtb-0a20000000000000a --subnet-id " + subnetB}},
		{"the zone's NAT gateway is not available", missing, "-- ec2/nat-gateways.json --\nNatGateways:\n- {NatGatewayId: nat-0a10000000000000b, State: pending}\n", degraded(create + "a")},
		{"the zone's NAT gateway stands behind the same table", missing, "-- ec2/nat-gateways.json --\nNatGateways:\n- {NatGatewayId: nat-0a10000000000000b, SubnetId: " + subnetB + "}\n", degraded(create + "a")},
		{"NAT gateways not readable", missing, "deny: ec2:DescribeNatGateways\n", degraded("manual NAT=$(aws ec2 create-nat-gateway --subnet-id subnet-0a10000000000000b --allocation-id $(aws ec2 allocate-address --query AllocationId --output text) --query NatGateway.NatGatewayId --output text)")},
		{"a transit gateway is a way out", missing, tableB("{DestinationCidrBlock: 0.0.0.0/0, TransitGatewayId: tgw-1, State: active}"), nil},
		{"two halves are a default route", missing, tableB("{DestinationCidrBlock: 0.0.0.0/1, NatGatewayId: nat-1, State: active}, {DestinationCidrBlock: 128.0.0.0/1, NatGatewayId: nat-1, State: active}"), nil},
		{"one half is none", missing, tableB("{DestinationCidrBlock: 0.0.0.0/1, NatGatewayId: nat-1, State: active}"), degraded(create + "b")},
		{"a prefix list may hold it", missing, tableB("{DestinationPrefixListId: pl-1, NatGatewayId: nat-1, State: active}"), nil},
		{"a gateway endpoint's prefix list does not", missing, tableB("{DestinationPrefixListId: pl-1, GatewayId: vpce-1, State: active}"), degraded(create + "b")},
		{"endpoints not readable, a table of its own", missing, "deny: ec2:DescribeVpcEndpoints\n", nil},
		{"endpoints not readable, symptoms", lost, "deny: ec2:DescribeVpcEndpoints\n", []string{"outage " + subnetB + " aws ec2 associate-route-table --route-table-id rtb-0a20000000000000b --subnet-id " + subnetB}},
		{"a subnet without nodes is nobody's business", "base-shop", "-- ec2/subnets.json --\nSubnets:\n- {SubnetId: subnet-0db0000000000000a, VpcId: vpc-0a1b2c3d4e5f60001, CidrBlock: 10.0.99.0/24, AvailabilityZone: eu-west-1a}\n", nil},
		{"pods' own subnet does not count: they leave by the node's", "subnet-ip-exhausted", "-- ec2/subnets.json --\nSubnets:\n- {SubnetId: " + subnetA + ", AvailableIpAddressCount: 99}\n- {SubnetId: subnet-0a30000000000000a, Tags: []}\n-- ec2/route-tables.json --\nRouteTables:\n- {RouteTableId: rtb-0a20000000000000a, Associations: [{RouteTableAssociationId: a, SubnetId: " + subnetA + "}]}\n-- ec2/network-interfaces.json --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-0a1200000000000a1, SubnetId: subnet-0a30000000000000a}\n", nil},
		{"with external SNAT it does", "subnet-ip-exhausted", cni("v1.20.4", `{name: AWS_VPC_K8S_CNI_EXTERNALSNAT, value: "true"}`) + "-- ec2/subnets.json --\nSubnets:\n- {SubnetId: " + subnetA + ", AvailableIpAddressCount: 99}\n-- ec2/route-tables.json --\nRouteTables:\n- {RouteTableId: rtb-0a20000000000000a, Associations: [{RouteTableAssociationId: a, SubnetId: " + subnetA + "}]}\n-- ec2/network-interfaces.json --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-0a1200000000000a1, SubnetId: subnet-0a30000000000000a}\n",
			[]string{"degraded subnet-0a30000000000000a aws ec2 associate-route-table --route-table-id rtb-0a20000000000000a --subnet-id subnet-0a30000000000000a"}},
		{"instances that never became nodes", "nodes-never-join", "", []string{"degraded subnet-0a20000000000000d aws ec2 associate-route-table --route-table-id rtb-0a20000000000000c --subnet-id subnet-0a20000000000000d"}},
		{"instances of another cluster", "nodes-never-join", "-- eks/clusters.json --\nclusters:\n- {name: shop, $patch: delete}\n- {name: other}\n", nil},
		{"three subnets with one table", "shared-route-table-lost-default", "", []string{"outage " + subnetB + " aws ec2 create-route --route-table-id rtb-0a20000000000000a --destination-cidr-block 0.0.0.0/0 --nat-gateway-id nat-0a10000000000000a"}},
		{"private by design, and an image from elsewhere", "private-by-design", sickPod(`dial tcp 3.94.224.37:443: i/o timeout`), []string{"outage " + subnetB + " " + create + "b"}},
		{"private by design, and an image that is not there", "private-by-design", sickPod("manifest unknown: not found"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, summary(findings(t, tt.base, tt.overlay))); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// sickPod is a pod of zone b whose image pull fails with an error.
func sickPod(err string) string {
	return `-- kube/pods.yaml --
items:
- metadata: {name: cart-7f5c6b9d48-jz2xr, namespace: shop}
  status: {containerStatuses: [{name: cart, image: i, imageID: "", ready: false, restartCount: 0, state: {waiting: {reason: ErrImagePull, message: "failed to pull image: ` + err + `"}}}]}
`
}
