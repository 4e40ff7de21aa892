package l4_test

import (
	"slices"
	"testing"
)

// coreGroup gives the core nodes' security group other rules.
func coreGroup(rules string) string {
	return "-- ec2/security-groups.json --\nSecurityGroups:\n- GroupId: sg-0e10000000000000e\n  IpPermissions: [{IpProtocol: '-1', UserIdGroupPairs: [{GroupId: sg-0e10000000000000e}]}, " +
		"{IpProtocol: udp, FromPort: 53, ToPort: 53, IpRanges: [{CidrIp: 10.0.0.0/16}]}, {IpProtocol: tcp, FromPort: 53, ToPort: 53, IpRanges: [{CidrIp: 10.0.0.0/16}]}, " +
		"{IpProtocol: tcp, FromPort: 10250, ToPort: 10251, UserIdGroupPairs: [{GroupId: " + clusterSG + "}]}" + rules + "]\n"
}

func TestControlPlaneConnections(t *testing.T) {
	const base = "webhook-port-blocked"
	const hook = "webhook-port-blocked aws-load-balancer-webhook | aws ec2 authorize-security-group-ingress --group-id sg-0e10000000000000e --protocol tcp --port 9443 --source-group " + clusterSG
	ignore := "-- kube/validatingwebhookconfigurations.yaml --\nitems: [{metadata: {name: aws-load-balancer-webhook}, webhooks: []}]\n"
	cases{
		{"closed", base, coreGroup(""), []string{hook}},
		{"the Service's port is open, and not the pods'", base, coreGroup(from("tcp", "443", "UserIdGroupPairs: [{GroupId: "+clusterSG+"}]")), []string{hook}},
		{"open by address of both interfaces", base, coreGroup(from("tcp", "9443", "IpRanges: [{CidrIp: 10.0.10.240/32}, {CidrIp: 10.0.11.240/32}]")), nil},
		{"open for one interface of two", base, coreGroup(from("tcp", "9443", "IpRanges: [{CidrIp: 10.0.10.240/32}]")), []string{hook}},
		{"a prefix list may hold the rule", base, coreGroup(from("tcp", "9443", "PrefixListIds: [{PrefixListId: pl-1}]")), nil},
		{"only the mutating webhooks are left", base, ignore, []string{hook}},
		{"the control plane's interfaces are not known", base, coreGroup("") + "-- ec2/network-interfaces.json --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-0e10000000000000a, $patch: delete}\n- {NetworkInterfaceId: eni-0e10000000000000b, $patch: delete}\n", nil},
		{"another cluster's interfaces", base, coreGroup("") + "-- ec2/network-interfaces.json --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-0e10000000000000a, Description: Amazon EKS other}\n- {NetworkInterfaceId: eni-0e10000000000000b, Description: Amazon EKS other}\n", nil},
	}.run(t)
}

// acl lays rules over the network ACL that one private subnet has of its own.
func acl(entries string) string {
	return "-- ec2/network-acls.json --\nNetworkAcls:\n- NetworkAclId: acl-0a1b2c3d4e5f60009\n  Entries:\n" + entries
}

func TestNetworkACLs(t *testing.T) {
	const base = "nacl-inbound-deny"
	in := "  - {RuleNumber: 100, Protocol: '-1', RuleAction: allow, Egress: false, CidrBlock: 0.0.0.0/0}\n"
	out := "  - {RuleNumber: 100, Protocol: '-1', RuleAction: allow, Egress: true, CidrBlock: 0.0.0.0/0}\n"
	deny := func(number, rest string) string {
		return "  - {RuleNumber: " + number + ", RuleAction: deny, " + rest + "}\n"
	}
	kubelet := []string{"kubelet-10250-blocked acl-0a1b2c3d4e5f60009", "metrics-server-blocked v1beta1.metrics.k8s.io"}
	fix := func(check, flags string) string {
		return check + " acl-0a1b2c3d4e5f60009 | aws ec2 create-network-acl-entry --network-acl-id acl-0a1b2c3d4e5f60009 " + flags
	}
	const to10250 = " --protocol tcp --port-range From=10250,To=10250 --cidr-block 10.0.10.0/24 --rule-action allow"
	cases{
		{"behind an allow the deny is no matter", base, acl(in + out + deny("200", "Protocol: '6', Egress: false, CidrBlock: 0.0.0.0/0, PortRange: {From: 10250, To: 10250}")), nil},
		{"the number before is taken", base, acl(in + out + deny("90", "Protocol: '6', Egress: false, CidrBlock: 10.0.10.0/24, PortRange: {From: 10250, To: 10250}") +
			"  - {RuleNumber: 89, Protocol: '6', RuleAction: allow, Egress: false, CidrBlock: 10.0.99.0/24, PortRange: {From: 1, To: 2}}\n"),
			append([]string{fix("nacl-inbound-deny", "--ingress --rule-number 88"+to10250)}, kubelet...)},
		{"no number before", base, acl(in + out + deny("1", "Protocol: '6', Egress: false, CidrBlock: 10.0.10.0/24, PortRange: {From: 10250, To: 10250}")),
			append([]string{"nacl-inbound-deny acl-0a1b2c3d4e5f60009 manual"}, kubelet...)},
		{"ports that nobody needs", base, acl(in + out + deny("90", "Protocol: '6', Egress: false, CidrBlock: 0.0.0.0/0, PortRange: {From: 20, To: 23}")), nil},
		{"another subnet's range", base, acl(in + out + deny("90", "Protocol: '-1', Egress: false, CidrBlock: 192.168.0.0/16")), nil},
		{"answers to Linux hosts alone may leave", base, acl(in + "  - {RuleNumber: 100, Protocol: '6', RuleAction: allow, Egress: true, CidrBlock: 0.0.0.0/0, PortRange: {From: 53, To: 60999}}\n" +
			"  - {RuleNumber: 110, Protocol: '17', RuleAction: allow, Egress: true, CidrBlock: 0.0.0.0/0, PortRange: {From: 53, To: 60999}}\n"), nil},
	}.run(t)
}

// A pod that cannot pull its image through a closed endpoint, and its Service,
// are that endpoint's doing.
func TestEndpointExplainsImagePull(t *testing.T) {
	status := "containerStatuses: [{name: cart, image: 111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop/cart:2, imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff}}}], conditions: [{type: Ready, status: 'False'}]"
	pods := "-- kube/pods.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-8vhpl, namespace: shop}, status: {" + status + "}}\n- {metadata: {name: cart-7f5c6b9d48-jz2xr, namespace: shop}, status: {" + status + "}}\n"
	fs := findings(t, "vpc-endpoint-sg-blocks", pods)
	if len(fs) != 2 || fs[0].Check != "l4/vpc-endpoint-sg-blocks" || !slices.Contains(fs[1].CausedBy, fs[0].Check) {
		t.Errorf("findings %q; the second caused by the first was wanted", summary(fs))
	}
}

func TestWebhookNoEndpoints(t *testing.T) {
	gone := "-- kube/endpointslices.yaml --\nitems: [{metadata: {name: aws-load-balancer-webhook-service-n5d9z, namespace: kube-system}, endpoints: []}]\n"
	status := "status: {conditions: [{type: Ready, status: 'False'}]}}\n"
	pods := "-- kube/pods.yaml --\nitems:\n- {metadata: {name: aws-load-balancer-controller-5d8f7c6b9f-2nq8c, namespace: kube-system}, " + status + "- {metadata: {name: aws-load-balancer-controller-5d8f7c6b9f-xw5t7, namespace: kube-system}, " + status
	fs := findings(t, "base-shop", gone+pods)
	if len(fs) != 2 || fs[0].Check != "l4/service-endpoints-not-ready" || !slices.Contains(fs[1].CausedBy, fs[0].Check) {
		t.Errorf("pods that are not ready: findings %q; the webhook's silence caused by them was wanted", summary(fs))
	}
	own := "-- kube/validatingwebhookconfigurations.yaml --\nitems: [{metadata: {name: aws-load-balancer-webhook}, webhooks: [{name: pods.example, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {service: {name: aws-load-balancer-webhook-service, namespace: kube-system}}, rules: [{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}]}]}]\n"
	const id = "webhook-no-endpoints aws-load-balancer-webhook"
	cases{
		{"it has to admit its own pods: starting one does not help", "webhook-no-endpoints", own, []string{id + " manual"}},
		{"the port is not the Service's", "base-shop", "-- kube/services.yaml --\nitems: [{metadata: {name: aws-load-balancer-webhook-service, namespace: kube-system}, spec: {ports: [{name: webhook-server, port: 9443, targetPort: webhook-server}]}}]\n", []string{id + " manual"}},
		{"a ready endpoint without that condition", "webhook-no-endpoints", "-- kube/endpointslices.yaml --\nitems: [{metadata: {name: aws-load-balancer-webhook-service-n5d9z, namespace: kube-system}, ports: [{name: webhook-server, port: 9443}], endpoints: [{addresses: [10.0.10.64]}]}]\n", nil},
	}.run(t)
}
