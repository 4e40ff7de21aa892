package world

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/facts"
)

const (
	clusterSG = "sg-0c10000000000000c"
	backendSG = "sg-0b10000000000000b"
	privateA  = "subnet-0a20000000000000a"
)

func update(t *testing.T, w *World, kind string, id string, edit func(Doc)) {
	t.Helper()
	if err := w.Update(kinds[kind], id, func(d Doc) error { edit(d); return nil }); err != nil {
		t.Fatal(err)
	}
}

var kinds = map[string]facts.Kind{"deployment": deploymentKind, "sg": groupKind, "subnet": subnetKind, "service": serviceKind, "ingress": ingressKind, "policy": policyKind}

// states counts the targets of the group of a Service, by state and reason.
func states(t *testing.T, w *World, service string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, b := range w.all(bindingKind) {
		if text(b, "spec", "serviceRef", "name") != service {
			continue
		}
		h, err := w.get(healthKind, text(b, "spec", "targetGroupARN"))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list(h, "TargetHealthDescriptions") {
			out[text(d, "TargetHealth", "State")+text(d, "TargetHealth", "Reason")]++
		}
	}
	return out
}

func wantStates(t *testing.T, w *World, service string, want map[string]int) {
	t.Helper()
	if diff := cmp.Diff(want, states(t, w, service)); diff != "" {
		t.Errorf("targets of %s (-want +got):\n%s", service, diff)
	}
}

// agree holds everything that the controllers keep in line.
func agree(t *testing.T, w *World) {
	t.Helper()
	onItsNode(t, w)
	slicesAgree(t, w)
	targetsAgree(t, w)
}

func TestScaling(t *testing.T) {
	w := base(t)
	scale := func(n int) {
		update(t, w, "deployment", "shop/web", func(d Doc) { at(d, "spec").(Doc)["replicas"] = float64(n) })
	}
	before := w.Kinds()
	scale(4)
	wantStates(t, w, "web", map[string]int{"healthy": 4})
	d, _ := w.Get(deploymentKind, "shop/web")
	if number(d, 0, "status", "readyReplicas") != 4 {
		t.Errorf("status: %v", d["status"])
	}
	agree(t, w)
	scale(0)
	wantStates(t, w, "web", map[string]int{})
	wantStates(t, w, "checkout", map[string]int{"healthy": 3})
	agree(t, w)
	scale(2)
	wantStates(t, w, "web", map[string]int{"healthy": 2})
	agree(t, w)
	s, _ := w.Get(subnetKind, privateA)
	if diff := cmp.Diff(before, w.Kinds()); diff != "" || number(s, 0, "AvailableIpAddressCount") > 251 {
		t.Errorf("scaling left traces: %s %v", diff, s)
	}
}

func TestScalingUpABrokenApp(t *testing.T) {
	w := base(t)
	w.Truth.Apps = []App{{Namespace: "shop", Labels: map[string]string{"app": "web"}, Broken: true}}
	update(t, w, "deployment", "shop/web", func(d Doc) { at(d, "spec").(Doc)["replicas"] = 3.0 })
	wantStates(t, w, "web", map[string]int{"healthy": 2}) // the new one is not ready, so it is no target
	d, _ := w.Get(deploymentKind, "shop/web")
	if number(d, 0, "status", "readyReplicas") != 2 || number(d, 0, "status", "unavailableReplicas") != 1 {
		t.Errorf("status: %v", d["status"])
	}
}

func TestDeletedPodIsReplaced(t *testing.T) {
	w := base(t)
	if err := w.Delete(podKind, "shop/web-66b8fd7c9d-4dkzt"); err != nil {
		t.Fatal(err)
	}
	wantStates(t, w, "web", map[string]int{"healthy": 2})
	agree(t, w)
}

func TestRevokedRuleBreaksTargetsAndItsReturnMendsThem(t *testing.T) {
	w := base(t)
	var rules []any
	update(t, w, "sg", clusterSG, func(d Doc) {
		rules = d["IpPermissions"].([]any)
		d["IpPermissions"] = rules[:1] // without the load balancer's
	})
	wantStates(t, w, "web", map[string]int{"unhealthyTarget.Timeout": 2})
	update(t, w, "sg", clusterSG, func(d Doc) { d["IpPermissions"] = rules })
	wantStates(t, w, "web", map[string]int{"healthy": 2})
}

func TestRecordedHealthStaysWhenItsCauseDoes(t *testing.T) {
	w := base(t)
	h, _ := w.Get(healthKind, text(w.all(bindingKind)[0], "spec", "targetGroupARN"))
	d := list(h, "TargetHealthDescriptions")[0]
	d["TargetHealth"] = unhealthy("Target.FailedHealthChecks", "Health checks failed")
	w.docs[healthKind][text(h, "TargetGroupArn")] = entry{encode(h), 1}
	update(t, w, "sg", backendSG, func(d Doc) { d["Tags"] = []any{} })
	now, _ := w.Get(healthKind, text(h, "TargetGroupArn"))
	if got := list(now, "TargetHealthDescriptions")[0]; text(got, "TargetHealth", "Reason") != "Target.FailedHealthChecks" {
		t.Errorf("a change that has nothing to do with it gave %v", got)
	}
}

func TestSelectorChange(t *testing.T) {
	w := base(t)
	set := func(v string) {
		update(t, w, "service", "shop/web", func(d Doc) { at(d, "spec", "selector").(Doc)["app"] = v })
	}
	set("wbe")
	wantStates(t, w, "web", map[string]int{})
	agree(t, w)
	set("web")
	wantStates(t, w, "web", map[string]int{"healthy": 2})
	agree(t, w)
}

func TestHealthCheckAnnotations(t *testing.T) {
	w := base(t)
	w.Truth.Apps = []App{{Namespace: "shop", Labels: map[string]string{"app": "web"}, Paths: map[string]int{"/healthz": 200, "/login": 302}}}
	annotate := func(kind, id, key string, value any) {
		update(t, w, kind, id, func(d Doc) {
			a, _ := meta(d)["annotations"].(Doc)
			if a == nil {
				a = Doc{}
				meta(d)["annotations"] = a
			}
			if a[annotationPrefix+key] = value; value == nil {
				delete(a, annotationPrefix+key)
			}
		})
	}
	annotate("ingress", "shop/shop", "healthcheck-path", "/login")
	wantStates(t, w, "web", map[string]int{"unhealthyTarget.ResponseCodeMismatch": 2})
	wantStates(t, w, "checkout", map[string]int{"healthy": 3})
	annotate("service", "shop/web", "success-codes", "200-399")
	wantStates(t, w, "web", map[string]int{"healthy": 2})
	annotate("service", "shop/web", "success-codes", nil)
	annotate("ingress", "shop/shop", "healthcheck-path", "/healthz")
	wantStates(t, w, "web", map[string]int{"healthy": 2})
}

func TestNetworkPolicyOnThePath(t *testing.T) {
	w := base(t)
	deny := Doc{"metadata": Doc{"name": "deny", "namespace": "shop"}, "spec": Doc{"podSelector": Doc{"matchLabels": Doc{"app": "web"}}, "policyTypes": []any{"Ingress"}}}
	if err := w.Create(policyKind, deny); err != nil {
		t.Fatal(err)
	}
	wantStates(t, w, "web", map[string]int{"unhealthyTarget.Timeout": 2})
	wantStates(t, w, "checkout", map[string]int{"healthy": 3})
	if err := w.Delete(policyKind, "shop/deny"); err != nil {
		t.Fatal(err)
	}
	wantStates(t, w, "web", map[string]int{"healthy": 2})
}

func TestAChangeThatFailsMovesNothing(t *testing.T) {
	w := base(t)
	version := w.Version()
	want := errors.New("no")
	if err := w.Update(serviceKind, "shop/web", func(d Doc) error { at(d, "spec").(Doc)["selector"] = Doc{}; return want }); !errors.Is(err, want) {
		t.Errorf("got %v, want the edit's own error", err)
	}
	if w.Version() != version {
		t.Error("the world changed")
	}
}

func TestTaggedSubnetLetsWaitingPodsStart(t *testing.T) {
	w, err := Load("subnet-ip-exhausted")
	if err != nil {
		t.Fatal(err)
	}
	waiting := 0
	for _, p := range w.all(podKind) {
		if w.waitsForIP(p) {
			waiting++
		}
	}
	if waiting == 0 {
		t.Fatal("the scenario has no waiting pods")
	}
	update(t, w, "subnet", "subnet-0a30000000000000a", func(d Doc) {
		d["Tags"] = append(d["Tags"].([]any), Doc{"Key": "kubernetes.io/role/cni", "Value": "1"})
	})
	for _, p := range w.all(podKind) {
		if w.waitsForIP(p) || !holds(p, "Ready") {
			t.Errorf("pod %s still waits: %v", text(p, "metadata", "name"), p["status"])
		}
	}
	agree(t, w)
}
