package l4_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/diagnose/l4"
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
	for _, res := range diagnose.Evaluate(l4.Checks(), s) {
		if res.Panic != nil {
			t.Fatalf("%s panics: %v", res.Check.ID, res.Panic)
		}
	}
	return diagnose.Run(l4.Checks(), s, "", intents.Intent{}).Findings
}

// summary says of each finding the check, the subject and the commands of the
// first remedy, with "manual" in front when the bot would not run it.
func summary(fs []diagnose.Finding) (out []string) {
	for _, f := range fs {
		s := strings.TrimPrefix(f.Check, "l4/") + " " + f.Subject.ID
		if len(f.Remedies) > 0 {
			r := f.Remedies[0]
			if !r.Runnable() {
				s += " manual"
			}
			for _, a := range r.Actions {
				s += " | " + a.Command()
			}
		}
		out = append(out, s)
	}
	return out
}

type cases []struct {
	name, base, overlay string
	want                []string
}

func (cs cases) run(t *testing.T) {
	for _, tt := range cs {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, summary(findings(t, tt.base, tt.overlay))); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// cart changes the Service shop/cart.
func cart(spec string) string {
	return "-- kube/services.yaml --\nitems:\n- {metadata: {name: cart, namespace: shop}, spec: " + spec + "}\n"
}

func TestServiceNoEndpointsSelector(t *testing.T) {
	const id = "service-no-endpoints-selector shop/cart"
	set := func(patch string) []string {
		return []string{id + ` | kubectl -n shop patch service cart --type=merge -p '{"spec":{"selector":` + patch + `}}'`}
	}
	other := func(name, podLabels string) string { // another workload of shop
		return "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: " + name + ", namespace: shop}, spec: {replicas: 1, selector: {matchLabels: " + podLabels + "}, template: {metadata: {labels: " + podLabels + "}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}}}}\n"
	}
	cases{
		{"typo", "base-shop", cart("{selector: {app: crat}}"), set(`{"app":"cart"}`)},
		{"capitals", "base-shop", cart("{selector: {app: Cart}}"), set(`{"app":"cart"}`)},
		{"key renamed", "base-shop", cart("{selector: {app: null, k8s-app: cart}}"), set(`{"app":"cart","k8s-app":null}`)},
		{"one label too many, which no pod has: not for the bot to drop", "base-shop", cart("{selector: {app: cart, role: leader}}"), []string{id + " manual"}},
		{"another value altogether, same name", "base-shop", cart("{selector: {app: basket}}"), set(`{"app":"cart"}`)},
		{"named port that the workload has not", "base-shop", cart("{selector: {app: crat}, ports: [{name: grpc, port: 80, targetPort: grpc}]}"), nil},
		{"number that no container declares", "base-shop", cart("{selector: {app: crat}, ports: [{name: x, port: 80, targetPort: 9999}]}"), nil},
		{"headless", "base-shop", cart("{selector: {app: crat}, clusterIP: None}"), set(`{"app":"cart"}`)},
		{"external name", "base-shop", cart("{selector: {app: crat}, type: ExternalName}"), nil},
		{"no selector", "base-shop", cart("{selector: null}"), nil},
		{"scaled to zero", "service-scaled-to-zero", "", nil},
		{"two workloads as near as each other", "base-shop", other("carts", "{app: carts}") + "-- kube/services.yaml --\nitems:\n- {metadata: {name: basket, namespace: shop}, spec: {selector: {app: cartt}, ports: [{port: 80, targetPort: 8080}]}}\n", []string{"service-no-endpoints-selector shop/basket manual"}},
		{"the labels are taken by two workloads", "base-shop", cart("{selector: {app: crat}}") + other("cart-worker", "{app: cart, part: worker}"), []string{id + " manual"}},
		{"a version that is not there, of nobody's concern", "base-shop", "-- kube/services.yaml --\nitems:\n- {metadata: {name: preview, namespace: shop}, spec: {selector: {app: web, version: v2}, ports: [{port: 80, targetPort: 8080}]}}\n", nil},
		{"a version that is not there, which the question names", "base-shop", "target: shop/preview\n-- kube/services.yaml --\nitems:\n- {metadata: {name: preview, namespace: shop}, spec: {selector: {app: web, version: v2}, ports: [{port: 80, targetPort: 8080}]}}\n",
			[]string{"service-no-endpoints-selector shop/preview manual"}},
		{"only the namespace is named", "base-shop", "target: shop/\n-- kube/services.yaml --\nitems:\n- {metadata: {name: preview, namespace: shop}, spec: {selector: {app: web, version: v2}, ports: [{port: 80, targetPort: 8080}]}}\n", nil},
		{"pods of no known workload", "base-shop", cart("{selector: {app: crat}}") + "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: cart, namespace: shop}, $patch: delete}\n", set(`{"app":"cart"}`)},
		{"completed pods match", "base-shop", "-- kube/services.yaml --\nitems:\n- {metadata: {name: job, namespace: shop}, spec: {selector: {job: report}, ports: [{port: 80}]}}\n-- kube/pods.yaml --\nitems:\n- {metadata: {name: report-1, namespace: shop, labels: {job: report}}, spec: {containers: []}, status: {phase: Succeeded}}\n", nil},
	}.run(t)
}

func TestServiceEndpointsNotReady(t *testing.T) {
	const id = "service-endpoints-not-ready shop/cart"
	pods := func(change string) string {
		return "-- kube/pods.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-8vhpl, namespace: shop}, " + change + "}\n- {metadata: {name: cart-7f5c6b9d48-jz2xr, namespace: shop}, " + change + "}\n"
	}
	notReady := "conditions: [{type: Ready, status: 'False'}]"
	for _, tt := range []struct {
		name, overlay, why string
	}{
		{"one pod of two is ready", "-- kube/pods.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-8vhpl, namespace: shop}, status: {" + notReady + "}}\n", ""},
		{"not ready", pods("status: {" + notReady + "}"), "2 not ready yet"},
		{"no node", pods("status: {phase: Pending, podIP: null, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: 0/4 nodes are available}]}"), "2 without a node"},
		{"no image", pods("status: {phase: Pending, " + notReady + ", containerStatuses: [{name: cart, image: i, imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff}}}]}"), "2 in ImagePullBackOff"},
		{"readiness gate", pods("spec: {readinessGates: [{conditionType: target-health.elbv2.k8s.aws/x}]}, status: {conditions: [{type: Ready, status: 'False'}, {type: ContainersReady, status: 'True'}]}"), "2 waiting for a readiness gate"},
		{"probe fails", pods("status: {"+notReady+"}") + "-- kube/events.yaml --\nitems:\n- {metadata: {name: e1, namespace: shop}, involvedObject: {kind: Pod, namespace: shop, name: cart-7f5c6b9d48-8vhpl}, reason: Unhealthy, message: 'Readiness probe failed: HTTP probe failed with statuscode: 503'}\n", "1 failing their readiness probe, 1 not ready yet"},
		{"just started", "-- kube/pods.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-8vhpl, namespace: shop, creationTimestamp: '2026-01-15T08:59:30Z'}, status: {" + notReady + "}}\n- {metadata: {name: cart-7f5c6b9d48-jz2xr, namespace: shop, creationTimestamp: '2026-01-15T08:59:30Z'}, status: {" + notReady + "}}\n", ""},
		{"just started, and crashing already", "-- kube/pods.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-8vhpl, namespace: shop, creationTimestamp: '2026-01-15T08:59:30Z'}, status: {" + notReady + ", containerStatuses: [{name: cart, image: i, imageID: '', ready: false, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}}]}}\n- {metadata: {name: cart-7f5c6b9d48-jz2xr, namespace: shop, creationTimestamp: '2026-01-15T08:59:30Z'}, status: {" + notReady + "}}\n", "1 in CrashLoopBackOff, 1 not ready yet"},
		{"on their way out", "-- kube/pods.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-8vhpl, namespace: shop, deletionTimestamp: '2026-01-15T08:59:30Z'}, status: {" + notReady + "}}\n- {metadata: {name: cart-7f5c6b9d48-jz2xr, namespace: shop, deletionTimestamp: '2026-01-15T08:59:30Z'}, status: {" + notReady + "}}\n", ""},
		{"ended", pods("status: {phase: Succeeded, " + notReady + "}"), ""},
		{"publishes them all the same", pods("status: {"+notReady+"}") + cart("{publishNotReadyAddresses: true}"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fs := findings(t, "base-shop", tt.overlay)
			switch {
			case tt.why == "" && len(fs) > 0:
				t.Errorf("got %q, want nothing", fs[0].Claim)
			case tt.why != "" && (len(fs) != 1 || !strings.HasPrefix(strings.Join(summary(fs), ""), id)):
				t.Errorf("got %q, want %s", summary(fs), id)
			case tt.why != "" && !strings.HasSuffix(fs[0].Claim, ": "+tt.why):
				t.Errorf("claim %q, want it to say %q", fs[0].Claim, tt.why)
			}
		})
	}
}

const (
	clusterSG = "sg-0c10000000000000c"
	appsSG    = "sg-0a10000000000000a"
)

// admit replaces the ingress rules of the cluster's group: its own members
// and the load balancer, and more.
func admit(more string) string {
	return "-- ec2/security-groups.json --\nSecurityGroups:\n- GroupId: " + clusterSG + "\n  IpPermissions: [{IpProtocol: '-1', UserIdGroupPairs: [{GroupId: " + clusterSG + "}]}" + from("tcp", "443", "UserIdGroupPairs: [{GroupId: "+appsSG+"}]") + more + "]\n"
}

func from(protocol, port, source string) string {
	return ", {IpProtocol: " + protocol + ", FromPort: " + port + ", ToPort: " + port + ", " + source + "}"
}

func TestNodeToNodeSGBlocked(t *testing.T) {
	const base = "node-to-node-sg-blocked"
	authorize := func(group, protocol, port, source string) string {
		return " | aws ec2 authorize-security-group-ingress --group-id " + group + " --protocol " + protocol + " --port " + port + " --source-group " + source
	}
	dns := []string{"node-to-node-sg-blocked " + clusterSG + authorize(clusterSG, "tcp", "53", appsSG) + authorize(clusterSG, "udp", "53", appsSG)}
	group := "UserIdGroupPairs: [{GroupId: " + appsSG + "}]"
	cidr := "IpRanges: [{CidrIp: 10.0.8.0/21}]"
	cases{
		{"blocked", base, "", dns},
		{"members may resolve, and call one Service: on purpose", "node-sg-admits-only-dns", cart("{ports: [{name: http, port: 80, targetPort: 9090}]}") + `-- ec2/security-groups.yaml --
SecurityGroups:
- GroupId: sg-0e30000000000000e
  IpPermissions:
  - {IpProtocol: udp, FromPort: 53, ToPort: 53, UserIdGroupPairs: [{GroupId: sg-0e30000000000000e}]}
  - {IpProtocol: tcp, FromPort: 9090, ToPort: 9090, UserIdGroupPairs: [{GroupId: sg-0e30000000000000e}]}
  - {IpProtocol: tcp, FromPort: 10250, ToPort: 10250, UserIdGroupPairs: [{GroupId: sg-0e30000000000000e}, {GroupId: sg-0c10000000000000c}]}
  - {IpProtocol: tcp, FromPort: 9443, ToPort: 9443, UserIdGroupPairs: [{GroupId: sg-0c10000000000000c}]}
`, []string{`service-targetport-mismatch shop/cart | kubectl -n shop patch service cart --type=json -p '[{"op":"test","path":"/spec/ports/0/port","value":80},{"op":"replace","path":"/spec/ports/0/targetPort","value":8080}]'`}},
		{"needed ports open by group", base, admit(from("udp", "53", group) + from("tcp", "53", group)), nil},
		{"needed ports open by address", base, admit(from("udp", "53", cidr)), nil},
		{"all open by address", base, admit(", {IpProtocol: '-1', " + cidr + "}"), nil},
		{"the rule is for one zone's addresses only", base, admit(from("udp", "53", "IpRanges: [{CidrIp: 10.0.99.0/24}]")), dns},
		{"a prefix list may hold the rule", base, admit(from("udp", "53", "PrefixListIds: [{PrefixListId: pl-1}]")), nil},
		{"a further group on the nodes was not read", base, admit("") + "-- ec2/network-interfaces.json --\nNetworkInterfaces:\n" + withGroups("sg-0fffffffffffffff0}, {GroupId: "+clusterSG, "eni-0c1100000000000a1", "eni-0c1200000000000a1", "eni-0c1100000000000c1", "eni-0c1200000000000c1"), nil},
		{"the nodes have the cluster's group as well", base, "-- ec2/network-interfaces.json --\nNetworkInterfaces:\n" + withGroups(appsSG+"}, {GroupId: "+clusterSG, "eni-0a1100000000000a1", "eni-0a1200000000000a1", "eni-0a1100000000000b1", "eni-0a1200000000000b1"), nil},
		{"all pods of the group have branch interfaces", base, branches(), nil},
		{"only the DNS metrics port is open", base, admit(from("tcp", "9153", group)), dns},
		{"no pods there", "base-shop", "-- kube/pods.yaml --\nitems: []\n", nil},
		{"pods keep their node's groups when the address is on no known interface", base, "-- ec2/network-interfaces.json --\nNetworkInterfaces:\n- {NetworkInterfaceId: eni-0a1200000000000b1, $patch: delete}\n", dns},
	}.run(t)
}

func withGroups(ids string, interfaces ...string) string {
	s := ""
	for _, i := range interfaces {
		s += "- {NetworkInterfaceId: " + i + ", Groups: [{GroupId: " + ids + "}]}\n"
	}
	return s
}

// branches gives each pod of the apps nodes an interface of its own.
func branches() string {
	s := "-- kube/pods.yaml --\nitems:\n"
	for _, p := range []string{"shop web-66b8fd7c9d-4dkzt", "shop web-66b8fd7c9d-tn7wq", "shop cart-7f5c6b9d48-8vhpl", "shop cart-7f5c6b9d48-jz2xr", "shop checkout-59d7c8f6b7-2jwq8",
		"shop checkout-59d7c8f6b7-9xkfm", "shop checkout-59d7c8f6b7-lw4tb", "payments payments-6d4b8c7f95-fq6zn", "payments payments-6d4b8c7f95-s8rvk"} {
		ns, name, _ := strings.Cut(p, " ")
		s += "- {metadata: {name: " + name + ", namespace: " + ns + ", annotations: {vpc.amazonaws.com/pod-eni: '[{}]'}}}\n"
	}
	return s
}

// One group of nodes each for shop and payments, with DNS open to both: what
// else is needed shows in NetworkPolicies, environments and the question.
func TestNeedAcrossNamespaces(t *testing.T) {
	const base = "node-groups-least-privilege"
	// payments moves to the core nodes, whose group admits 53 from apps only.
	move := "-- kube/pods.yaml --\nitems:\n" +
		"- {metadata: {name: payments-6d4b8c7f95-fq6zn, namespace: payments}, spec: {nodeName: ip-10-0-12-11.eu-west-1.compute.internal}, status: {podIP: 10.0.12.200}}\n" +
		"- {metadata: {name: payments-6d4b8c7f95-s8rvk, namespace: payments}, $patch: delete}\n"
	onlyPayments := "-- kube/services.yaml --\nitems:\n- {metadata: {name: kube-dns, namespace: kube-system}, $patch: delete}\n" // leaves the pair with one Service
	noPolicy := "-- kube/networkpolicies.yaml --\nitems:\n- {metadata: {name: payments, namespace: payments}, $patch: delete}\n"
	client := "- {metadata: {name: report, namespace: payments, labels: {app: report}}, spec: {nodeName: ip-10-0-12-11.eu-west-1.compute.internal, containers: []}, status: {phase: Running, podIP: 10.0.12.75}}\n"
	want := []string{"node-to-node-sg-blocked " + clusterSG + " | aws ec2 authorize-security-group-ingress --group-id " + clusterSG + " --protocol tcp --port 8080 --source-group " + appsSG}
	cases{
		{"DNS is open: on purpose", base, move, nil},
		{"a NetworkPolicy admits shop", base, move + onlyPayments, want},
		{"nobody else could be meant", base, move + onlyPayments + noPolicy, want},
		{"its own namespace calls it", base, move + client + onlyPayments + noPolicy, nil},
		{"a load balancer calls it", base, move + onlyPayments + noPolicy + "-- kube/ingresses.yaml --\nitems:\n- {metadata: {name: pay, namespace: payments}, spec: {defaultBackend: {service: {name: payments, port: {number: 80}}}}}\n", nil},
		{"who calls it is not known", base, "deny: list ingresses\n" + move + onlyPayments + noPolicy, nil},
		{"a NetworkPolicy admits everybody: it means nobody", base, move + client + onlyPayments + "-- kube/networkpolicies.yaml --\nitems:\n- {metadata: {name: payments, namespace: payments}, spec: {ingress: [{}]}}\n", nil},
		{"the question names it", base, "target: payments/payments\n" + move + client + onlyPayments + noPolicy, want},
		{"an environment names it", base, move + client + "- {metadata: {name: web-66b8fd7c9d-4dkzt, namespace: shop}, spec: {containers: [{name: web, env: [{name: PAY, value: 'http://payments.payments.svc/'}]}]}}\n" + onlyPayments + noPolicy, want},
		{"a NetworkPolicy forbids it", base, "target: payments/payments\n" + move + onlyPayments + "-- kube/networkpolicies.yaml --\nitems:\n- {metadata: {name: payments, namespace: payments}, spec: {ingress: []}}\n", nil},
	}.run(t)
}
