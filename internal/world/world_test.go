package world

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

func base(t *testing.T) *World {
	t.Helper()
	w, err := Load("base-shop")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// everyWorld runs a test on the base and on each scenario.
func everyWorld(t *testing.T, do func(*testing.T, *World)) {
	for _, name := range append(Names(), "base-shop") {
		t.Run(name, func(t *testing.T) {
			w, err := Load(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Snapshot(); err != nil {
				t.Fatal(err)
			}
			do(t, w)
		})
	}
}

func TestEveryPodAddressIsOnItsNode(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *World) { onItsNode(t, w) })
}

func onItsNode(t *testing.T, w *World) {
	t.Helper()
	n := w.network()
	nodes := decodeAll[corev1.Node](w, nodeKind)
	for _, p := range decodeAll[corev1.Pod](w, podKind) {
		if p.Status.PodIP == "" || p.Spec.HostNetwork {
			continue
		}
		eni := n.holders.Holder(netip.MustParseAddr(p.Status.PodIP))
		if eni != nil && eni.InterfaceType == "branch" {
			continue // it hangs on a trunk, of which EC2 does not tell the instance here
		}
		i := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == p.Spec.NodeName })
		if i < 0 || eni == nil || *eni.Attachment.InstanceId != reach.Instance(&nodes[i]) {
			t.Errorf("pod %s/%s: %s is on no interface of %s", p.Namespace, p.Name, p.Status.PodIP, p.Spec.NodeName)
		}
	}
}

func TestEverySliceIsItsServices(t *testing.T) { slicesAgree(t, base(t)) }

func slicesAgree(t *testing.T, w *World) {
	t.Helper()
	for _, s := range w.all(serviceKind) {
		if len(labels(s, "spec", "selector")) == 0 {
			continue
		}
		ns, name := text(s, "metadata", "namespace"), text(s, "metadata", "name")
		_, endpoints := w.endpoints(s)
		want := readiness(t, Doc{"endpoints": endpoints})
		got := map[string]bool{}
		for _, slice := range w.slicesOf(ns, name) {
			for ip, ready := range readiness(t, slice) {
				got[ip] = ready
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("endpoints of %s/%s, by address whether ready (-selected pods +slices):\n%s", ns, name, diff)
		}
	}
}

func readiness(t *testing.T, slice Doc) map[string]bool {
	t.Helper()
	s, err := Decode[discoveryv1.EndpointSlice](slice)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, e := range s.Endpoints {
		out[e.Addresses[0]] = e.Conditions.Ready != nil && *e.Conditions.Ready
	}
	return out
}

func TestTargetsAreReadyPods(t *testing.T) {
	w := base(t)
	targetsAgree(t, w)
	for _, h := range w.all(healthKind) {
		for _, d := range list(h, "TargetHealthDescriptions") {
			if text(d, "TargetHealth", "State") != "healthy" {
				t.Errorf("base: target %s is not healthy", targetKey(d))
			}
		}
	}
}

func targetsAgree(t *testing.T, w *World) {
	t.Helper()
	for _, b := range w.all(bindingKind) {
		var want, got []string
		for _, s := range w.slicesOf(text(b, "metadata", "namespace"), text(b, "spec", "serviceRef", "name")) {
			for ip, ready := range readiness(t, s) {
				if ready {
					want = append(want, ip+":"+strconv.Itoa(w.bindingPort(b, s)))
				}
			}
		}
		h, err := w.get(healthKind, text(b, "spec", "targetGroupARN"))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list(h, "TargetHealthDescriptions") {
			got = append(got, targetKey(d))
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("targets of %s (-ready endpoints +registered):\n%s", text(b, "metadata", "name"), diff)
		}
	}
}

// TestBaseIsWhatItsRulesSay holds the recorded health against what the rules
// and apps of the base give.
func TestBaseIsWhatItsRulesSay(t *testing.T) {
	w := base(t)
	n := w.network()
	for _, h := range w.all(healthKind) {
		g, err := w.get(targetGroupKind, text(h, "TargetGroupArn"))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list(h, "TargetHealthDescriptions") {
			if diff := cmp.Diff(d["TargetHealth"], any(w.verdict(g, d, n))); diff != "" {
				t.Errorf("%s (-recorded +computed):\n%s", targetKey(d), diff)
			}
		}
	}
}

func TestSubnetsCountTheirAddresses(t *testing.T) {
	w := base(t)
	used := map[string]int{}
	for _, eni := range w.all(interfaceKind) {
		used[text(eni, "SubnetId")] += len(list(eni, "PrivateIpAddresses"))
	}
	for _, s := range w.all(subnetKind) {
		id := text(s, "SubnetId")
		if want := 251 - used[id]; number(s, -1, "AvailableIpAddressCount") != want { // a /24 less the five that AWS keeps
			t.Errorf("%s: AvailableIpAddressCount %v, want %d", id, s["AvailableIpAddressCount"], want)
		}
	}
}

func TestParseNamesTheLine(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"field", "A.\n\n-- ec2/subnets.json --\nSubnets:\n- SubnetId: subnet-0a20000000000000a\n  AvailableIpAdressCount: 0\n", []string{"x.txtar:6", "AvailableIpAdressCount"}},
		{"type", "A.\n-- kube/deployments.yaml --\nitems:\n- metadata: {name: web, namespace: shop}\n  spec:\n    replicas: two\n", []string{"x.txtar:6", "replicas"}},
		{"kind", "A.\n-- ec2/subnet.json --\nSubnets: []\n", []string{"x.txtar:2", "ec2/subnets"}},
		{"list", "A.\n-- ec2/subnets.json --\nItems: []\n", []string{"x.txtar:3", `"Subnets"`}},
		{"key", "A.\nwnat: l3/x ec2/subnets/s\n", []string{"x.txtar:2", "want"}},
		{"permission", "A.\ndeny: ec2:DescribeSubnet\n", []string{"x.txtar:2", "ec2:DescribeSubnets"}},
		{"yaml", "A.\n-- kube/pods.yaml --\nitems:\n- metadata: {name: a\n", []string{"x.txtar:", "kube/pods.yaml"}},
		{"base", "A.\nbase: base-shpo\n", []string{"base-shpo"}},
		{"id", "A.\n-- kube/pods.yaml --\nitems:\n- spec: {}\n", []string{"x.txtar:3", "metadata.name"}},
		{"delete", "A.\n-- kube/pods.yaml --\nitems:\n- {metadata: {name: nobody, namespace: shop}, $patch: delete}\n", []string{"shop/nobody", "delete"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("x", []byte(tt.file))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not name %q", err, want)
				}
			}
		})
	}
	if _, err := Load("subnet-ip-exhasted"); err == nil || !strings.Contains(err.Error(), "did you mean subnet-ip-exhausted") {
		t.Errorf("Load of a misspelt scenario: %v", err)
	}
}

func TestMergeIsByID(t *testing.T) {
	w, err := Parse("x", []byte("A.\n-- kube/services.yaml --\nitems:\n- metadata: {name: web, namespace: shop}\n  spec: {selector: {app: null, tier: front}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Get(facts.Services.Kind(), "shop/web")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"tier": "front"}, labels(s, "spec", "selector")); diff != "" {
		t.Errorf("selector (-want +got):\n%s", diff)
	}
	if text(s, "spec", "clusterIP") == "" {
		t.Error("the rest of the base's object is gone")
	}
}
