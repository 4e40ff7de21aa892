package l4_test

import (
	"strings"
	"testing"
)

// Pods and nodes of base-sgp.
const (
	ledgerA = "{name: ledger-5b8c9d7f64-c7m2p, namespace: ledger"
	ledgerB = "{name: ledger-5b8c9d7f64-x9w4k, namespace: ledger"
	nodeA   = "ip-10-0-10-21.eu-west-1.compute.internal"
	nodeB   = "ip-10-0-11-21.eu-west-1.compute.internal"
)

// checksOf are the findings' checks and subjects alone.
func checksOf(t *testing.T, base, overlay string) string {
	t.Helper()
	var out []string
	for _, f := range findings(t, base, overlay) {
		out = append(out, strings.TrimPrefix(f.Check, "l4/")+" "+f.Subject.ID)
	}
	return strings.Join(out, "; ")
}

type sgpCase struct{ name, base, overlay, want string }

func runSGP(t *testing.T, cases []sgpCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			if got := checksOf(t, tt.base, tt.overlay); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func sgPolicy(spec string) string {
	return "-- kube/securitygrouppolicies.yaml --\nitems:\n- {metadata: {name: ledger, namespace: ledger}, spec: " + spec + "}\n"
}

// withoutBranches are the pods of ledger as if no policy had taken them.
const withoutBranches = "-- kube/pods.yaml --\nitems:\n" +
	"- {metadata: " + ledgerA + ", annotations: null}, spec: {containers: [{name: ledger}]}}\n" +
	"- {metadata: " + ledgerB + ", annotations: null}, spec: {containers: [{name: ledger}]}}\n"

func TestSGPNoMatchingPolicy(t *testing.T) {
	const missed = "sgp-no-matching-policy ledger/ledger"
	event := "-- kube/events.yaml --\nitems:\n- {metadata: {name: e1, namespace: ledger}, involvedObject: {kind: Pod, namespace: ledger, name: ledger-5b8c9d7f64-c7m2p}, reason: SecurityGroupRequested, message: \"Pod will get the instance security group as the pod didn't match any Security Group from SecurityGroupPolicy\", lastTimestamp: '2026-01-15T08:50:00Z'}\n"
	runSGP(t, []sgpCase{
		{"matches", "base-sgp", "", ""},
		{"key renamed", "base-sgp", sgPolicy("{podSelector: {matchLabels: {app: null, k8s-app: ledger}}}") + withoutBranches, missed},
		{"another app, which is not here", "base-sgp", sgPolicy("{podSelector: {matchLabels: {app: reports}}}") + withoutBranches, ""},
		{"no policy, and the controller found none", "base-sgp", sgPolicy("{podSelector: {matchLabels: {app: reports}}}") + event, missed},
		{"the younger replica matches nothing", "base-sgp", sgPolicy("{podSelector: {matchLabels: {app: reports}}}") +
			"-- kube/pods.yaml --\nitems:\n- {metadata: " + ledgerB + ", creationTimestamp: '2026-01-14T11:00:00Z', annotations: null}, spec: {containers: [{name: ledger}]}}\n", missed},
		{"in the wrong namespace", "base-shop", sgPolicyOf("default", "cart"), "sgp-no-matching-policy default/p"},
		{"in a namespace that waits for its pods", "base-shop", sgPolicyOf("staging", "cart"), ""},
		{"in another namespace, and the question names the pods", "base-shop", "target: shop/cart\n" + sgPolicyOf("staging", "cart"), "sgp-no-matching-policy staging/p"},
		{"the policy was taken away", "base-sgp", "-- kube/securitygrouppolicies.yaml --\nitems:\n- {metadata: {name: ledger, namespace: ledger}, $patch: delete}\n-- kube/pods.yaml --\nitems:\n- {metadata: " + ledgerB + ", creationTimestamp: '2026-01-14T11:00:00Z', annotations: null}, spec: {containers: [{name: ledger}]}}\n", ""},
		{"by account", "base-sgp", sgPolicy("{podSelector: null, serviceAccountSelector: {matchLabels: {app: ledger}}}"), ""},
		{"by account, misspelt", "base-sgp", sgPolicy("{podSelector: null, serviceAccountSelector: {matchLabels: {app: legder}}}") + withoutBranches, missed},
		{"both selectors, only one matches", "base-sgp", sgPolicy("{serviceAccountSelector: {matchLabels: {team: money}}}") + withoutBranches, missed},
		{"both selectors, accounts not known", "base-sgp", "deny: list serviceaccounts\n" + sgPolicy("{serviceAccountSelector: {matchLabels: {team: money}}}") + withoutBranches + "-- kube/serviceaccounts.yaml --\nitems:\n- {metadata: {name: ledger, namespace: ledger}, $patch: delete}\n", ""},
		{"neither selector", "base-sgp", sgPolicy("{podSelector: null}") + withoutBranches, missed},
		{"no groups", "base-sgp", sgPolicy("{securityGroups: {groupIds: []}}") + withoutBranches, missed},
		{"only pods on the node's network", "base-sgp", "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: ledger, namespace: ledger}, spec: {template: {spec: {hostNetwork: true}}}}\n-- kube/pods.yaml --\nitems: [{metadata: " + ledgerA + "}, $patch: delete}, {metadata: " + ledgerB + "}, $patch: delete}]\n", missed},
		{"workload scaled to zero", "base-sgp", "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: ledger, namespace: ledger}, spec: {replicas: 0}}\n-- kube/pods.yaml --\nitems: [{metadata: " + ledgerA + "}, $patch: delete}, {metadata: " + ledgerB + "}, $patch: delete}]\n", ""},
	})
}

func TestSGPModeChangeOldPods(t *testing.T) {
	const old = "sgp-mode-change-old-pods ledger/ledger"
	made := func(at string) string {
		return "-- kube/securitygrouppolicies.yaml --\nitems:\n- {metadata: {name: ledger, namespace: ledger, creationTimestamp: '" + at + "'}}\n"
	}
	enis := func(group string) string {
		return "-- ec2/network-interfaces.yaml --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-0bb100000000000a1, Groups: [{GroupId: " + group + "}]}\n"
	}
	runSGP(t, []sgpCase{
		{"all older than the policy", "base-sgp", made("2026-01-15T08:00:00Z") + withoutBranches, old},
		{"younger than the policy, and no sibling has one: not known why", "base-sgp", withoutBranches, ""},
		{"one replica has other groups than the policy", "base-sgp", enis("sg-0c10000000000000c"), old},
		{"the feature is off", "base-sgp", made("2026-01-15T08:00:00Z") + withoutBranches + podENIOff, ""},
		{"new pods could not start", "base-sgp", made("2026-01-15T08:00:00Z") + withoutBranches + allocatable("null", "null"), "sgp-trunk-not-enabled " + nodeA},
	})
}

const podENIOff = `-- kube/daemonsets.yaml --
items:
- {metadata: {name: aws-node, namespace: kube-system}, spec: {template: {spec: {containers: [{name: aws-node, env: [{name: ENABLE_POD_ENI, value: "false"}]}]}}}}
`

func allocatable(a, b string) string {
	return "-- kube/nodes.yaml --\nitems:\n- {metadata: {name: " + nodeA + "}, status: {allocatable: {vpc.amazonaws.com/pod-eni: " + a + "}}}\n- {metadata: {name: " + nodeB + "}, status: {allocatable: {vpc.amazonaws.com/pod-eni: " + b + "}}}\n"
}

func TestSGPPlacement(t *testing.T) {
	node := func(name, change string) string {
		return "-- kube/nodes.yaml --\nitems:\n- {metadata: {name: " + name + "}, " + change + "}\n"
	}
	toCore := func(spec string) string {
		return "-- kube/pods.yaml --\nitems:\n- {metadata: {name: ledger-5b8c9d7f64-q2v8n, namespace: ledger}, spec: " + spec + "}\n"
	}
	oneType := func(instanceType string) string {
		var s strings.Builder
		for _, n := range []string{nodeA, nodeB, "ip-10-0-10-11.eu-west-1.compute.internal", "ip-10-0-12-11.eu-west-1.compute.internal"} {
			s.WriteString("- {metadata: {name: " + n + ", labels: {node.kubernetes.io/instance-type: " + instanceType + "}}}\n")
		}
		return "-- kube/nodes.yaml --\nitems:\n" + s.String()
	}
	denied := "-- kube/events.yaml --\nitems:\n- {metadata: {name: e9, namespace: default}, involvedObject: {kind: Node, name: " + nodeA + "}, reason: TrunkENICreationFailed, message: 'Failed to create trunk interface: Error Code: InsufficientFreeAddressesInSubnet'}\n"
	runSGP(t, []sgpCase{
		{"full", "sgp-branch-eni-capacity", "", "sgp-branch-eni-capacity ledger/ledger"},
		{"one node has room: something else is in the way", "sgp-branch-eni-capacity", allocatable("'1'", "'5'"), ""},
		{"the node with room is cordoned", "sgp-branch-eni-capacity", allocatable("'1'", "'5'") + "-- kube/nodes.json --\n{\"items\": [{\"metadata\": {\"name\": \"" + nodeB + "\"}, \"spec\": {\"unschedulable\": true}}]}\n", "sgp-branch-eni-capacity ledger/ledger"},
		{"full, and the other node without a trunk", "sgp-branch-eni-capacity", allocatable("'1'", "null"), "sgp-trunk-not-enabled " + nodeB + "; sgp-branch-eni-capacity ledger/ledger"},
		{"no slot", "sgp-trunk-no-slot", "", "sgp-trunk-not-enabled " + nodeA},
		{"the controller could not make it", "sgp-trunk-no-slot", denied, "sgp-trunk-not-enabled " + nodeA},
		{"node is not ready", "sgp-trunk-no-slot", node(nodeA, "status: {conditions: [{type: Ready, status: 'False'}]}") + node(nodeB, "status: {conditions: [{type: Ready, status: 'False'}]}"), ""},
		{"node is new", "sgp-trunk-no-slot", "-- kube/nodes.yaml --\nitems:\n- {metadata: {name: " + nodeA + ", creationTimestamp: '2026-01-15T08:59:00Z'}}\n- {metadata: {name: " + nodeB + ", creationTimestamp: '2026-01-15T08:59:00Z'}}\n", ""},
		{"all of a t type", "sgp-trunk-no-slot", oneType("t4g.large"), "sgp-instance-type-unsupported ledger/ledger"},
		{"all of a Xen type", "sgp-trunk-no-slot", oneType("i3.xlarge"), "sgp-instance-type-unsupported ledger/ledger"},
		{"i3.metal is none", "sgp-trunk-no-slot", oneType("i3.metal"), "sgp-trunk-not-enabled " + "ip-10-0-10-11.eu-west-1.compute.internal"},
		{"off, and of a t type: both have to change", "sgp-trunk-not-enabled", oneType("t3.large"), "sgp-instance-type-unsupported ledger/ledger; sgp-trunk-not-enabled kube-system/aws-node"},
		{"by affinity", "sgp-instance-type-unsupported", toCore("{nodeSelector: null, affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: eks.amazonaws.com/nodegroup, operator: NotIn, values: [apps]}]}]}}}}"), "sgp-instance-type-unsupported ledger/ledger"},
		{"bound to a node by its name", "sgp-instance-type-unsupported", toCore("{nodeSelector: null, affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [ip-10-0-10-11.eu-west-1.compute.internal]}]}]}}}}"), "sgp-instance-type-unsupported ledger/ledger"},
		{"free to go to the apps nodes", "sgp-instance-type-unsupported", toCore("{nodeSelector: null}"), ""},
		{"the feature is off and nobody waits", "base-shop", sgPolicyOf("shop", "web"), ""},
		{"EKS Auto Mode has no aws-node", "sgp-trunk-not-enabled", "-- kube/daemonsets.yaml --\nitems:\n- {metadata: {name: aws-node, namespace: kube-system}, $patch: delete}\n", ""},
		{"role: a pod's branch is denied", "base-sgp", "-- kube/pods.yaml --\nitems:\n- {metadata: " + ledgerA + ", annotations: null}, status: {phase: Pending, podIP: null}}\n-- kube/events.yaml --\nitems:\n- {metadata: {name: e1, namespace: ledger}, involvedObject: {kind: Pod, namespace: ledger, name: ledger-5b8c9d7f64-c7m2p}, reason: BranchAllocationFailed, message: 'failed to allocate branch ENI to pod: UnauthorizedOperation: You are not authorized to perform this operation'}\n", "sgp-cluster-role-missing-policy shop"},
		{"role: it was mended since", "sgp-cluster-role-missing-policy", allocatable("'9'", "'9'"), ""},
	})
}

func sgPolicyOf(ns, app string) string {
	return "-- kube/securitygrouppolicies.yaml --\nitems:\n- {metadata: {name: p, namespace: " + ns + "}, spec: {podSelector: {matchLabels: {app: " + app + "}}, securityGroups: {groupIds: [sg-0d10000000000000d]}}}\n"
}

func TestSGPRulesAndProbes(t *testing.T) {
	probe := func(p string) string {
		c := "spec: {containers: [{name: ledger, ports: [{name: http, containerPort: 8080}], readinessProbe: " + p + "}]}}\n"
		return "-- kube/pods.yaml --\nitems:\n- {metadata: " + ledgerA + "}, " + c + "- {metadata: " + ledgerB + "}, " + c
	}
	group := func(rules string) string {
		return "-- ec2/security-groups.yaml --\nSecurityGroups:\n- {GroupId: sg-0d20000000000000d, " + rules + "}\n"
	}
	refused := "-- kube/events.yaml --\nitems:\n" +
		"- {metadata: {name: ledger-5b8c9d7f64-c7m2p.18a2, namespace: ledger}, message: 'Readiness probe failed: Get \"http://10.0.10.180:8080/healthz\": dial tcp 10.0.10.180:8080: connect: connection refused'}\n" +
		"- {metadata: {name: ledger-5b8c9d7f64-x9w4k.18a2, namespace: ledger}, message: 'Readiness probe failed: Get \"http://10.0.11.180:8080/healthz\": dial tcp 10.0.11.180:8080: connect: connection refused'}\n"
	ready := "-- kube/pods.yaml --\nitems:\n- {metadata: " + ledgerB + "}, status: {conditions: [{type: Ready, status: 'True'}]}}\n"
	const rules, demux, localhost = "sgp-missing-dns-kubelet-rules sg-0d20000000000000d", "sgp-probe-early-demux kube-system/aws-node", "app-bound-localhost ledger/ledger"
	runSGP(t, []sgpCase{
		{"probe not admitted", "sgp-missing-kubelet-rule", "", rules},
		{"TCP probe not admitted", "sgp-missing-kubelet-rule", probe("{httpGet: null, tcpSocket: {port: 8080}}"), rules},
		{"exec probes pass", "sgp-missing-kubelet-rule", probe("{httpGet: null, exec: {command: [/ready]}}"), ""},
		{"probe of another host", "sgp-missing-kubelet-rule", probe("{httpGet: {host: 127.0.0.1, port: 8080}}"), ""},
		{"refused: it was let in", "sgp-missing-kubelet-rule", refused, localhost},
		{"the rule names a prefix list", "sgp-missing-kubelet-rule", group("IpPermissions: [{IpProtocol: tcp, FromPort: 8080, ToPort: 8080, PrefixListIds: [{PrefixListId: pl-1}]}]"), ""},
		{"admitted by address", "sgp-missing-kubelet-rule", group("IpPermissions: [{IpProtocol: tcp, FromPort: 8080, ToPort: 8080, IpRanges: [{CidrIp: 10.0.0.0/16}]}]"), ""},
		{"ready all the same", "base-sgp", group("IpPermissions: []"), ""},
		{"only DNS over UDP is open", "sgp-missing-dns-rule", "-- ec2/security-groups.yaml --\nSecurityGroups:\n- {GroupId: sg-0c10000000000000c, IpPermissions: [{IpProtocol: '-1', UserIdGroupPairs: [{GroupId: sg-0c10000000000000c}]}, {IpProtocol: tcp, FromPort: 8080, ToPort: 8080, UserIdGroupPairs: [{GroupId: sg-0b10000000000000b}]}, {IpProtocol: udp, FromPort: 53, ToPort: 53, UserIdGroupPairs: [{GroupId: sg-0d20000000000000d}]}]}\n", ""},
		{"no way out for DNS", "base-sgp", group("IpPermissionsEgress: [{IpProtocol: tcp, FromPort: 5432, ToPort: 5432, IpRanges: [{CidrIp: 10.0.0.0/16}]}]"), rules},
		{"asks another resolver", "sgp-missing-dns-rule", "-- kube/pods.yaml --\nitems:\n- {metadata: " + ledgerA + "}, spec: {dnsPolicy: Default}}\n- {metadata: " + ledgerB + "}, spec: {dnsPolicy: None}}\n", ""},
		{"early demux", "sgp-probe-early-demux", "", demux},
		{"early demux, exec probes", "sgp-probe-early-demux", probe("{httpGet: null, exec: {command: [/ready]}}"), ""},
		{"early demux, and a sibling's probe passes", "sgp-probe-early-demux", ready, ""},
		{"early demux, and no rule: the rule comes first", "sgp-probe-early-demux", group("IpPermissions: []"), rules},
		{"early demux, and connections are refused", "sgp-probe-early-demux", refused, localhost},
	})
}

func TestSGPStrictMode(t *testing.T) {
	runSGP(t, []sgpCase{
		{"IPVS, and pods are ready", "base-sgp", "-- eks/addons.yaml --\naddons:\n- {addonName: kube-proxy, configurationValues: '{\"mode\":\"ipvs\"}'}\n", ""},
		{"IPVS in the ConfigMap", "sgp-strict-mode-local-traffic", "-- eks/addons.yaml --\naddons:\n- {addonName: kube-proxy, configurationValues: null}\n-- kube/configmaps.yaml --\nitems:\n- {metadata: {name: kube-proxy-config, namespace: kube-system}, data: {config: \"mode: \\\"ipvs\\\"\"}}\n", "sgp-strict-mode-local-traffic kube-system/aws-node"},
		{"targets of type ip", "sgp-strict-local-traffic-policy", "-- kube/targetgroupbindings.yaml --\nitems:\n- {metadata: {name: k8s-payments-ledger-1f2e3d4c5b, namespace: ledger}, spec: {targetType: ip}}\n-- elbv2/target-groups.yaml --\nTargetGroups:\n- {TargetGroupArn: 'arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/k8s-payments-ledger-1f2e3d4c5b/ad8e7d0dde64aaaa', TargetType: ip}\n", ""},
		{"externalTrafficPolicy Cluster", "sgp-strict-local-traffic-policy", "-- kube/services.yaml --\nitems:\n- {metadata: {name: ledger, namespace: ledger}, spec: {externalTrafficPolicy: Cluster}}\n", ""},
		{"no internet", "sgp-pod-no-internet", "", "sgp-pod-no-internet subnet-0a20000000000000b"},
		{"internet was not meant", "sgp-pod-no-internet", "-- ec2/security-groups.yaml --\nSecurityGroups:\n- {GroupId: sg-0d20000000000000d, IpPermissionsEgress: [{IpProtocol: '-1', IpRanges: [{CidrIp: 10.0.0.0/16}]}]}\n", ""},
	})
}

// What no controller would write must not be taken for anything.
func TestSGPOddInput(t *testing.T) {
	annotated := func(s string) string {
		return "-- kube/pods.yaml --\nitems:\n- {metadata: " + ledgerA + ", annotations: {vpc.amazonaws.com/pod-eni: '" + s + "'}}}\n"
	}
	odd := "-- kube/pods.yaml --\nitems:\n- {metadata: {name: odd, namespace: ledger, labels: {app: ledger}}, spec: {containers: []}}\n- {metadata: {name: none, namespace: ledger}}\n"
	runSGP(t, []sgpCase{
		{"no JSON", "base-sgp", annotated("{"), ""},
		{"no interface", "base-sgp", annotated("[{}]"), ""},
		{"an interface that was not read", "base-sgp", annotated("[{\"eniId\":\"eni-1\"}]"), ""},
		{"empty pods", "base-sgp", odd, ""},
		{"a selector that says nothing, and one with a bad operator", "base-sgp", sgPolicy("{podSelector: {matchLabels: null, matchExpressions: [{key: app, operator: Is, values: [ledger]}]}}"), ""},
		{"nothing was read", "base-sgp", "deny: list daemonsets\ndeny: list nodes\ndeny: list serviceaccounts\ndeny: list events\ndeny: ec2:DescribeNetworkInterfaces\n", ""},
	})
}

func TestSGPCooldown(t *testing.T) {
	const base = "sgp-branch-cooldown-churn"
	pod := func(change string) string {
		return "-- kube/pods.yaml --\nitems:\n- {metadata: {name: ledger-5b8c9d7f64-q2v8n, namespace: ledger}, " + change + "}\n"
	}
	runSGP(t, []sgpCase{
		{"waits", base, "", "sgp-branch-cooldown-churn " + nodeA},
		{"waits a moment only", base, pod("status: {conditions: [{type: PodScheduled, status: 'True', lastTransitionTime: '2026-01-15T08:59:30Z'}]}"), ""},
		{"another branch is free", base, allocatable("'3'", "'9'"), ""},
		{"EC2 says why", base, "-- kube/events.yaml --\nitems:\n- {metadata: {name: e1, namespace: ledger}, involvedObject: {kind: Pod, namespace: ledger, name: ledger-5b8c9d7f64-q2v8n}, reason: BranchAllocationFailed, message: 'creating network interface: RequestLimitExceeded'}\n", ""},
		{"interfaces of another trunk", base, "-- ec2/network-interfaces.yaml --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-0bb200000000000a1, TagSet: [{Key: vpcresources.k8s.aws/trunk-eni-id, Value: eni-0fff}]}\n", ""},
	})
}
