package world

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hopwise/hopwise/internal/facts"
)

// misspelt is a Corefile that CoreDNS does not start with.
const misspelt = `A typing error in the Corefile.
-- truth.yaml --
apps:
- {namespace: kube-system, labels: {k8s-app: kube-dns}, brokenWhile: {configMap: kube-system/coredns, key: Corefile, contains: forwrad, says: "unknown directive 'forwrad'"}}
-- kube/configmaps.yaml --
items:
- metadata: {name: coredns, namespace: kube-system}
  data: {Corefile: ".:53 { forwrad . /etc/resolv.conf }"}
-- kube/pods.yaml --
items:
- metadata: {name: coredns-76f9c5d8b4-h7k2m, namespace: kube-system}
  status:
    conditions: [{type: Ready, status: "False"}]
    containerStatuses: [{name: coredns, image: x, imageID: "", ready: false, restartCount: 7, state: {waiting: {reason: CrashLoopBackOff}}}]
`

func parse(t *testing.T, scenario string) *World {
	t.Helper()
	w, err := Parse("test", []byte(scenario))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func edit(t *testing.T, w *World, kind facts.Kind, id string, value any, path ...string) {
	t.Helper()
	err := w.Update(kind, id, func(d Doc) error {
		in, _ := at(d, path[:len(path)-1]...).(Doc)
		if in == nil {
			return fmt.Errorf("no %v", path)
		}
		in[path[len(path)-1]] = value
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// coredns tells the pods of CoreDNS: ready ones by name, others with "!".
func coredns(w *World) string {
	var out []string
	for _, p := range w.all(podKind) {
		if labels(p, "metadata", "labels")["k8s-app"] == "kube-dns" {
			out = append(out, map[bool]string{false: "!"}[holds(p, "Ready")]+strings.TrimPrefix(text(p, "metadata", "name"), "coredns-"))
		}
	}
	return strings.Join(out, " ")
}

// Pods that kept ending over the Corefile recover with it, and their Service
// has them again. Those that run do not read it anew when it is broken again.
func TestBrokenWhile(t *testing.T) {
	w := parse(t, misspelt)
	if got := coredns(w); got != "!76f9c5d8b4-h7k2m 76f9c5d8b4-v9x4q" {
		t.Fatalf("pods %s", got)
	}
	edit(t, w, configMapKind, "kube-system/coredns", ".:53 { forwrad . 10.0.0.2 }", "data", "Corefile")
	if got := coredns(w); got != "!76f9c5d8b4-h7k2m 76f9c5d8b4-v9x4q" {
		t.Errorf("still misspelt: pods %s", got)
	}
	edit(t, w, configMapKind, "kube-system/coredns", ".:53 { forward . 10.0.0.2 }", "data", "Corefile")
	if got := coredns(w); got != "76f9c5d8b4-h7k2m 76f9c5d8b4-v9x4q" {
		t.Errorf("corrected: pods %s", got)
	}
	p, _ := w.Get(podKind, "kube-system/coredns-76f9c5d8b4-h7k2m")
	if c := list(p, "status", "containerStatuses")[0]; number(c, 0, "restartCount") != 8 || at(c, "state", "running") == nil {
		t.Errorf("container %v", c)
	}
	agree(t, w)
	edit(t, w, configMapKind, "kube-system/coredns", ".:53 { forwrad . 10.0.0.2 }", "data", "Corefile")
	if got := coredns(w); got != "76f9c5d8b4-h7k2m 76f9c5d8b4-v9x4q" {
		t.Errorf("misspelt again: pods %s", got)
	}
}

// A setting of the VPC CNI can keep pods from getting ready, too.
func TestBrokenWhileVariable(t *testing.T) {
	w := parse(t, strings.Replace(misspelt, "configMap: kube-system/coredns, key: Corefile, contains: forwrad", "daemonSet: kube-system/aws-node, key: ENABLE_IPv4, contains: \"true\"", 1))
	for _, c := range []struct{ value, want string }{{"truely", "!76f9c5d8b4-h7k2m 76f9c5d8b4-v9x4q"}, {"false", "76f9c5d8b4-h7k2m 76f9c5d8b4-v9x4q"}} {
		err := w.Update(daemonSetKind, "kube-system/aws-node", func(d Doc) error {
			for _, e := range list(firstOf(list(d, "spec", "template", "spec", "containers")), "env") {
				if text(e, "name") == "ENABLE_IPv4" {
					e["value"] = c.value
				}
			}
			return nil
		})
		if got := coredns(w); err != nil || got != c.want {
			t.Errorf("%s: pods %s, %v", c.value, got, err)
		}
	}
}

// Pods that reload say how it went; those that do not run say nothing.
func TestReload(t *testing.T) {
	w := parse(t, misspelt)
	before, _ := w.Log("kube-system", "coredns-76f9c5d8b4-v9x4q", "coredns")
	for _, step := range []struct{ corefile, says string }{
		{".:53 {\n forwrad . 10.0.0.2\n reload\n}", ""}, // the one before had no reload
		{".:53 {\n forwrad . 10.0.0.9\n reload\n}", " [ERROR] plugin/reload: Corefile changed but reload failed: unknown directive 'forwrad'\n"},
		{".:53 {\n forward . 10.0.0.2\n reload\n}", " [INFO] Reloading complete\n"},
	} {
		edit(t, w, configMapKind, "kube-system/coredns", step.corefile, "data", "Corefile")
		after, _ := w.Log("kube-system", "coredns-76f9c5d8b4-v9x4q", "coredns")
		if said, ok := strings.CutPrefix(after, before); !ok || !strings.HasSuffix(said, step.says) || (said == "") != (step.says == "") {
			t.Errorf("%s: %q, want %q", step.corefile, said, step.says)
		}
		before = after
	}
}

// A rollout whose first new pod does not get ready leaves the pods that are.
func TestRolloutStops(t *testing.T) {
	w := parse(t, misspelt)
	edit(t, w, deploymentKind, "kube-system/coredns", Doc{"a": "b"}, "spec", "template", "metadata", "annotations")
	got := strings.Fields(coredns(w))
	if len(got) != 2 || got[0] != "76f9c5d8b4-v9x4q" && got[1] != "76f9c5d8b4-v9x4q" || !strings.Contains(coredns(w), "!") {
		t.Errorf("pods %s", got)
	}
	agree(t, w)
}

// A restart replaces all pods; what the former ones wrote goes with them.
func TestRollout(t *testing.T) {
	w := base(t)
	logs, _ := w.List(facts.PodMetrics.Kind())
	if len(logs) == 0 {
		t.Fatal("no metrics to lose")
	}
	free := func() int { return number(w.all(subnetKind)[0], 0, "AvailableIpAddressCount") }
	before := free()
	for range 2 {
		edit(t, w, deploymentKind, "kube-system/coredns", Doc{"restartedAt": fmt.Sprint(w.Version())}, "spec", "template", "metadata", "annotations")
		if got := coredns(w); strings.Contains(got, "76f9c5d8b4") || strings.Contains(got, "!") || len(strings.Fields(got)) != 2 {
			t.Fatalf("pods %s", got)
		}
	}
	if left, _ := w.List(facts.PodMetrics.Kind()); len(left) != 0 {
		t.Errorf("metrics of pods that are gone: %d", len(left))
	}
	d, _ := w.Get(deploymentKind, "kube-system/coredns")
	if got := text(d, "metadata", "annotations", "deployment.kubernetes.io/revision"); got != "5" || number(d, 0, "status", "readyReplicas") != 2 {
		t.Errorf("revision %s, status %v", got, d["status"])
	}
	for _, rs := range w.all(replicaSetKind) {
		if strings.HasPrefix(text(rs, "metadata", "name"), "coredns-") && number(rs, 0, "spec", "replicas") != map[int]int{5: 2}[revision(rs)] {
			t.Errorf("ReplicaSet %v: %v", rs["metadata"], rs["spec"])
		}
	}
	if after := free(); after > before+2 || after < before-2 {
		t.Errorf("free addresses: %d before, %d after", before, after)
	}
	agree(t, w)
}

// An add-on's number of replicas is the Deployment's, unless somebody scaled
// it by hand; autoscaling decides in any case.
func TestAddonConfiguration(t *testing.T) {
	w := base(t)
	configure := func(values string) int {
		t.Helper()
		err := w.Update(facts.Addons.Kind(), "coredns", func(d Doc) error { d["configurationValues"] = values; return nil })
		if err != nil {
			t.Fatal(err)
		}
		d, _ := w.Get(deploymentKind, "kube-system/coredns")
		return number(d, 0, "status", "readyReplicas")
	}
	if n := configure(`{"replicaCount":4}`); n != 4 {
		t.Errorf("4 replicas: %d", n)
	}
	if n := configure(`{}`); n != 2 {
		t.Errorf("none stated: %d", n)
	}
	update(t, w, "deployment", "kube-system/coredns", func(d Doc) { at(d, "spec").(Doc)["replicas"] = 1.0 })
	if n := configure(`{"replicaCount":3}`); n != 1 {
		t.Errorf("scaled by hand: %d", n)
	}
	if n := configure(`{"autoScaling":{"enabled":true,"minReplicas":3}}`); n != 3 {
		t.Errorf("autoscaling: %d", n)
	}
	agree(t, w)
}

// The environment of an add-on's configuration is the DaemonSet's.
func TestAddonEnvironment(t *testing.T) {
	w := base(t)
	for _, c := range []struct{ values, want string }{{`{"env":{"WARM_IP_TARGET":"5","WARM_ENI_TARGET":"0"}}`, "0 5"}, {`{"env":{"WARM_ENI_TARGET":"1"}}`, "1"}} {
		edit(t, w, facts.Addons.Kind(), "vpc-cni", c.values, "configurationValues")
		ds, _ := w.Get(daemonSetKind, "kube-system/aws-node")
		var got []string
		for _, e := range list(firstOf(list(ds, "spec", "template", "spec", "containers")), "env") {
			if n := text(e, "name"); n == "WARM_IP_TARGET" || n == "WARM_ENI_TARGET" {
				got = append(got, text(e, "value"))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.values, got, c.want)
		}
	}
}

// Pods that want to be apart are put on different nodes.
func TestSpread(t *testing.T) {
	w := base(t)
	edit(t, w, deploymentKind, "shop/web", []any{Doc{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": Doc{"matchLabels": Doc{"app": "web"}}}},
		"spec", "template", "spec", "topologySpreadConstraints")
	nodes := map[string]bool{}
	d, _ := w.Get(deploymentKind, "shop/web")
	pods := w.podsOf(d)
	for _, p := range pods {
		nodes[text(p, "spec", "nodeName")] = true
	}
	if len(pods) < 2 || len(nodes) != min(len(pods), 4) {
		t.Errorf("%d pods on %d nodes", len(pods), len(nodes))
	}
}
