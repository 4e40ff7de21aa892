package dns

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/world"
)

// A variant is the healthy cluster with a few changes, and what the checks
// say of it.
type variant struct {
	name    string
	overlay string // files of a scenario
	target  facts.Target
	want    []string // keys of the findings
	claim   string   // part of the first one's claim
	run     string   // part of the first remedy's command, where the bot performs one
}

func (x variant) check(t *testing.T) {
	w, err := world.Parse("variant", []byte("a variant\n"+x.overlay))
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	s.Target = x.target
	r := run(s)
	if diff := cmp.Diff(x.want, keys(r)); diff != "" {
		t.Fatal(diff)
	}
	if len(r.Findings) == 0 {
		return
	}
	f := r.Findings[0]
	if !strings.Contains(f.Claim, x.claim) {
		t.Errorf("claim %q does not say %q", f.Claim, x.claim)
	}
	var commands []string
	for _, a := range f.Remedies[0].Actions {
		commands = append(commands, a.Command())
	}
	if got := strings.Join(commands, "\n"); !strings.Contains(got, x.run) || (x.run == "") != (got == "") {
		t.Errorf("performs %q, want %q", got, x.run)
	}
}

// policy is a NetworkPolicy of namespace shop.
func policy(name, selector, egress string) string {
	return "- metadata: {name: " + name + ", namespace: shop}\n  spec: {podSelector: " + selector + ", policyTypes: [Egress], egress: " + egress + "}\n"
}

const (
	policies = "-- kube/networkpolicies.yaml --\nitems:\n"
	cart     = "{matchLabels: {app: cart}}"
	dns53    = "[{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]"
	coreDNSs = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}"
)

// cartPod changes cart's pods.
func cartPod(change string) string {
	return "-- kube/pods.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-8vhpl, namespace: shop}, " + change + "}\n- {metadata: {name: cart-7f5c6b9d48-jz2xr, namespace: shop}, " + change + "}\n"
}

func TestPolicies(t *testing.T) {
	const id = "dns/networkpolicy-blocks-dns kube/networkpolicies/shop/"
	const create = "kubectl -n shop create -f"
	for _, x := range []variant{
		{name: "port 53 to anywhere", overlay: policies + policy("p", cart, "[{ports: "+dns53+"}]")},
		{name: "everything", overlay: policies + policy("p", "{}", "[{}]")},
		{name: "a range of ports that holds 53", overlay: policies + policy("p", cart, "[{ports: [{protocol: UDP, port: 1, endPort: 1024}, {protocol: TCP, port: 1, endPort: 1024}]}]")},
		{name: "the port by its name", overlay: policies + policy("p", cart, "[{to: ["+coreDNSs+"], ports: [{protocol: UDP, port: dns}, {protocol: TCP, port: dns-tcp}]}]")},
		{name: "the VPC's block", overlay: policies + policy("p", cart, "[{to: [{ipBlock: {cidr: 10.0.0.0/16}}]}]")},
		{name: "the ClusterIP", overlay: policies + policy("p", cart, "[{to: [{ipBlock: {cidr: 172.20.0.10/32}}], ports: "+dns53+"}]")},
		{name: "the addresses of one CoreDNS pod only", overlay: policies + policy("p", cart, "[{to: [{ipBlock: {cidr: 10.0.10.53/32}}], ports: "+dns53+"}, {to: [{podSelector: {}}]}]"),
			want: []string{id + "p"}, claim: "only some of the CoreDNS pods", run: create},
		{name: "another policy of the same pods allows it", overlay: policies + policy("deny", "{}", "[]") + policy("dns", "{}", "[{to: ["+coreDNSs+"], ports: "+dns53+"}]")},
		{name: "the namespace's policy comes first", overlay: policies + policy("a-cart", cart, "[{to: [{podSelector: {}}]}]") + policy("z-deny", "{}", "[]"),
			want: []string{id + "z-deny"}, claim: "7 pods of namespace shop", run: create},
		{name: "a label that kube-system lacks", overlay: policies + policy("p", cart, "[{to: [{namespaceSelector: {matchLabels: {name: kube-system}}}], ports: "+dns53+"}]"),
			want: []string{id + "p"}, claim: "2 pods of namespace shop", run: create},
		{name: "other services by name, and no DNS", overlay: policies + policy("p", cart, "[{to: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]}]"),
			want: []string{id + "p"}, run: `"podSelector":{"matchLabels":{"app":"cart"}}`},
		{name: "the internet, and no DNS", overlay: policies + policy("p", cart, "[{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]"),
			want: []string{id + "p"}, run: create},
		{name: "one address alone", overlay: policies + policy("p", cart, "[{to: [{ipBlock: {cidr: 10.0.5.20/32}}], ports: [{port: 5432}]}]")},
		{name: "its own peers alone", overlay: policies + policy("p", cart, "[{to: [{podSelector: "+cart+"}]}]")},
		{name: "nothing, by a policy for these pods, and the question names them", overlay: policies + policy("p", cart, "[]"),
			target: facts.Target{Namespace: "shop", Name: "cart"}, want: []string{id + "p"}, run: create},
		{name: "nothing, and the question names another namespace", overlay: policies + policy("p", cart, "[]"), target: facts.Target{Namespace: "payments"}},
		{name: "nothing, and the pods are not ready", overlay: policies + policy("p", cart, "[]") + cartPod("status: {conditions: [{type: Ready, status: \"False\"}]}"),
			want: []string{id + "p"}, run: create},
		{name: "pods that do not ask CoreDNS", overlay: policies + policy("p", cart, "[{to: [{podSelector: {}}]}]") + cartPod("spec: {dnsPolicy: Default}")},
		{name: "pods on the host's network", overlay: policies + policy("p", cart, "[{to: [{podSelector: {}}]}]") + cartPod("spec: {hostNetwork: true}")},
		{name: "pods that ended", overlay: policies + policy("p", cart, "[{to: [{podSelector: {}}]}]") + cartPod("status: {phase: Succeeded}")},
		{name: "the cache on the node is allowed", overlay: nodeCache + policies + policy("p", cart, "[{to: [{ipBlock: {cidr: 169.254.20.10/32}}], ports: "+dns53+"}, {to: [{podSelector: {}}]}]")},
		{name: "the cache on the node is added", overlay: nodeCache + policies + policy("p", "{}", "[]"),
			want: []string{id + "p"}, run: `{"ipBlock":{"cidr":"169.254.20.10/32"}}`},
		{name: "a name that is taken", overlay: policies + policy("hopwise-allow-dns", "{}", "[]"), want: []string{id + "hopwise-allow-dns"}, run: `"name":"hopwise-allow-dns-2"`},
		{name: "an ingress policy says nothing of egress", overlay: policies + "- {metadata: {name: p, namespace: shop}, spec: {podSelector: {}, policyTypes: [Ingress]}}\n"},
		{name: "types left out, with egress rules", overlay: policies + "- {metadata: {name: p, namespace: shop}, spec: {podSelector: {}, egress: [{to: [{podSelector: {}}]}]}}\n",
			want: []string{id + "p"}, run: create},
		{name: "both directions in kube-system", overlay: policies + "- {metadata: {name: p, namespace: kube-system}, spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}\n",
			want: []string{"dns/networkpolicy-blocks-dns kube/networkpolicies/kube-system/p"}, run: `"policyTypes":["Egress","Ingress"]`},
	} {
		t.Run(x.name, x.check)
	}
}

const nodeCache = "-- kube/daemonsets.yaml --\nitems:\n- {metadata: {name: node-local-dns, namespace: kube-system}, spec: {selector: {matchLabels: {k8s-app: node-local-dns}}, template: {metadata: {labels: {k8s-app: node-local-dns}}, spec: {containers: []}}}}\n"

// down takes CoreDNS's endpoints away.
const down = "-- kube/endpointslices.yaml --\nitems:\n- {metadata: {name: kube-dns-7vq4d, namespace: kube-system}, endpoints: []}\n"

// corednsPods gives both CoreDNS pods a status.
func corednsPods(status string) string {
	return "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: coredns, namespace: kube-system}, status: {availableReplicas: 0, readyReplicas: 0}}\n" +
		"-- kube/pods.yaml --\nitems:\n- {metadata: {name: coredns-76f9c5d8b4-h7k2m, namespace: kube-system}, status: " + status + "}\n- {metadata: {name: coredns-76f9c5d8b4-v9x4q, namespace: kube-system}, status: " + status + "}\n"
}

func TestCoreDNS(t *testing.T) {
	const id = "dns/coredns-zero-ready kube/deployments/kube-system/coredns"
	const noPods = "-- kube/pods.yaml --\nitems:\n- {$patch: delete, metadata: {name: coredns-76f9c5d8b4-h7k2m, namespace: kube-system}}\n- {$patch: delete, metadata: {name: coredns-76f9c5d8b4-v9x4q, namespace: kube-system}}\n"
	const noDeployment = "-- kube/deployments.yaml --\nitems:\n- {$patch: delete, metadata: {name: coredns, namespace: kube-system}}\n"
	const auto = "-- eks/clusters.yaml --\nclusters:\n- {name: shop, computeConfig: {enabled: true}}\n"
	const noService = "-- kube/services.yaml --\nitems:\n- {$patch: delete, metadata: {name: kube-dns, namespace: kube-system}}\n"
	unready := `{type: Ready, status: "False"}`
	for _, x := range []variant{
		{name: "waits for an address", overlay: down + corednsPods("{podIP: null, podIPs: null, phase: Pending, conditions: [{type: PodScheduled, status: \"True\"}, "+unready+"], containerStatuses: [{name: coredns, ready: false, image: i, imageID: i, restartCount: 0, state: {waiting: {reason: ContainerCreating}}}]}") +
			"-- kube/events.yaml --\nitems:\n- {metadata: {name: e, namespace: kube-system}, involvedObject: {kind: Pod, namespace: kube-system, name: coredns-76f9c5d8b4-h7k2m}, reason: FailedCreatePodSandBox, message: 'plugin type=\"aws-cni\" name=\"aws-cni\" failed (add): add cmd: failed to assign an IP address to container'}\n",
			want: []string{id}, claim: "pod coredns-76f9c5d8b4-h7k2m waits for an IP address on ip-10-0-10-11"},
		{name: "killed for its memory", overlay: down + corednsPods("{conditions: ["+unready+"], containerStatuses: [{name: coredns, ready: false, image: i, imageID: i, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled}}}]}"),
			want: []string{"dns/coredns-oom kube/deployments/kube-system/coredns", id}, claim: "ran out of memory (limit 170Mi)", run: "update-addon"},
		{name: "no image", overlay: down + corednsPods("{phase: Pending, conditions: ["+unready+"], containerStatuses: [{name: coredns, ready: false, image: i, imageID: i, restartCount: 0, state: {waiting: {reason: ImagePullBackOff}}}]}"),
			want: []string{id}, claim: "does not start: ImagePullBackOff"},
		{name: "runs and is not ready", overlay: down + corednsPods("{conditions: ["+unready+"]}"), want: []string{id}, claim: "runs and is not ready"},
		{name: "no pod is made", overlay: down + noPods + "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: coredns, namespace: kube-system}, status: {availableReplicas: 0, conditions: [{type: ReplicaFailure, status: \"True\", message: exceeded quota}]}}\n",
			want: []string{id}, claim: "its pods cannot be made: exceeded quota"},
		{name: "one replica serves", overlay: "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: coredns, namespace: kube-system}, status: {availableReplicas: 1}}\n"},
		{name: "another provider answers", overlay: noDeployment + noPods},
		{name: "not installed", overlay: noDeployment + noPods + down, want: []string{id}, claim: "CoreDNS is not installed"},
		{name: "Auto Mode, by the cluster alone", overlay: auto + noDeployment + noPods + down + noService},
		{name: "nothing tells how the cluster resolves", overlay: "deny: eks:DescribeCluster\n" + noDeployment + noPods + down + noService},
		{name: "a mixed cluster still needs it", overlay: auto + down + "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: coredns, namespace: kube-system}, spec: {replicas: 0}, status: {availableReplicas: 0}}\n" + noPods,
			want: []string{id}, claim: "it is scaled to 0", run: "--current-replicas=0 --replicas=2"},
	} {
		t.Run(x.name, x.check)
	}
}

// A missing need leaves the answer open, and a missing want does no harm. That
// all declared facts are read in some scenario is checked for all layers in
// package catalogue.
func TestNeeds(t *testing.T) {
	_, s := snapshot(t, "coredns-crashloop")
	for _, c := range Checks() {
		for _, need := range c.Needs {
			if got := diagnose.Evaluate([]*diagnose.Check{c}, s.Without(need.Kind()))[0].Outcome; got != diagnose.Unknown {
				t.Errorf("%s without %s is %s", c.ID, need.Kind(), got)
			}
		}
		for _, want := range c.Wants {
			if p := diagnose.Evaluate([]*diagnose.Check{c}, s.Without(want.Kind()))[0].Panic; p != nil {
				t.Errorf("%s without %s panics: %v", c.ID, want.Kind(), p)
			}
		}
	}
}

// Once the action of the first remedy is done, and the controllers have
// reacted, nothing is found.
func TestRemedyClears(t *testing.T) {
	for _, name := range []string{
		"coredns-scaled-to-zero", "networkpolicy-default-deny-namespace", "networkpolicy-missing-tcp53", "networkpolicy-coredns-ingress",
	} {
		t.Run(name, func(t *testing.T) {
			w, s := snapshot(t, name)
			perform(t, w, run(s).Findings[0].Remedies[0].Actions[0])
			s, err := w.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if got := keys(run(s)); got != nil {
				t.Errorf("still found: %v", got)
			}
		})
	}
}

// perform makes the change in the world that the API would make.
func perform(t *testing.T, w *world.World, a remedy.Action) {
	t.Helper()
	var err error
	switch a := a.(type) {
	case remedy.ScaleDeployment:
		err = w.Update(facts.Deployments.Kind(), a.Namespace+"/"+a.Name, func(d world.Doc) error {
			d["spec"].(world.Doc)["replicas"] = a.To
			return nil
		})
	case remedy.CreateNetworkPolicy:
		var doc world.Doc
		b, _ := json.Marshal(a.Manifest())
		if err = json.Unmarshal(b, &doc); err == nil {
			err = w.Create(facts.NetworkPolicies.Kind(), doc)
		}
	default:
		t.Fatalf("no way to perform %T here", a)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A large cluster's pods are judged in a time that a person does not notice:
// 100,000 pods, a policy in each of 100 namespaces, 100 CoreDNS pods.
func TestManyPods(t *testing.T) {
	if testing.Short() {
		t.Skip("large")
	}
	_, s := snapshot(t, "networkpolicy-default-deny-namespace")
	pods := s.Have[facts.Pods.Kind()].([]corev1.Pod)
	policies := s.Have[facts.NetworkPolicies.Kind()].([]networkingv1.NetworkPolicy)
	deny := policies[slices.IndexFunc(policies, func(p networkingv1.NetworkPolicy) bool { return p.Name == "default-deny" })]
	dns := pods[slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.Labels["k8s-app"] == "kube-dns" })]
	for i := range 100 {
		dns.Name = fmt.Sprint("coredns-", i)
		pods = append(pods, dns)
		deny.Namespace = fmt.Sprint("team-", i)
		policies = append(policies, deny)
	}
	for i := range 100_000 {
		p := corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}}
		p.Namespace, p.Name = fmt.Sprint("team-", i%100), fmt.Sprint("web-", i)
		p.Labels = map[string]string{"app": fmt.Sprint("app-", i%1000), "tier": "web"}
		pods = append(pods, p)
	}
	s.Have[facts.Pods.Kind()], s.Have[facts.NetworkPolicies.Kind()] = pods, policies
	start := time.Now()
	if n := len(run(s).Findings); n != 101 {
		t.Errorf("%d findings, want one for each of 101 policies", n)
	}
	if took := time.Since(start); took > 60*time.Second {
		t.Errorf("took %v", took)
	} else {
		t.Log(took)
	}
}
