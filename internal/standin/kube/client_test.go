package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/hopwise/hopwise/internal/world"
)

func client(t testing.TB, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantStatus fails the test unless err is a Status with this reason whose
// message holds text.
func wantStatus(t *testing.T, err error, reason metav1.StatusReason, text string) {
	t.Helper()
	if apierrors.ReasonForError(err) != reason || !strings.Contains(err.Error(), text) {
		t.Errorf("got %q: %v\nwant %q: ...%s...", apierrors.ReasonForError(err), err, reason, text)
	}
}

func podNames(list *corev1.PodList) string {
	var names []string
	for _, p := range list.Items {
		names = append(names, p.Name)
	}
	return strings.Join(names, " ")
}

func TestListSelects(t *testing.T) {
	_, _, config := start(t, shop)
	pods := func(ns string) func(metav1.ListOptions) (*corev1.PodList, error) {
		return func(o metav1.ListOptions) (*corev1.PodList, error) {
			return client(t, config).CoreV1().Pods(ns).List(t.Context(), o)
		}
	}
	for _, test := range []struct{ ns, labels, fields, want string }{
		{"", "", "", "coredns-1 cart-1 stock-1 stock-2 web-1 web-2"},
		{"shop", "app in (web,cart)", "", "cart-1 web-1 web-2"},
		{"shop", "app=web", "status.phase=Running", "web-1"},
		{"", "", "metadata.namespace=kube-system", "coredns-1"},
		{"", "", "spec.nodeName=", "stock-2"},
		{"none", "", "", ""},
	} {
		list, err := pods(test.ns)(metav1.ListOptions{LabelSelector: test.labels, FieldSelector: test.fields})
		if err != nil {
			t.Fatal(err)
		}
		if got := podNames(list); got != test.want {
			t.Errorf("%+v: got %q", test, got)
		}
	}
	_, err := pods("")(metav1.ListOptions{FieldSelector: "spec.color=red"})
	wantStatus(t, err, metav1.StatusReasonBadRequest, "field label not supported: spec.color")
	_, err = pods("")(metav1.ListOptions{LabelSelector: "!!"})
	wantStatus(t, err, metav1.StatusReasonBadRequest, "unable to parse requirement")
}

func TestListInPages(t *testing.T) {
	server, w, config := start(t, shop)
	pods := client(t, config).CoreV1().Pods("")
	page, err := pods.List(t.Context(), metav1.ListOptions{Limit: 2})
	if err != nil || podNames(page) != "coredns-1 cart-1" || page.RemainingItemCount == nil || *page.RemainingItemCount != 4 {
		t.Fatalf("first page: %s, %v remain: %v", podNames(page), page.RemainingItemCount, err)
	}
	// What goes away between two pages is still in the list that was begun.
	if err := w.Delete("kube/pods", "shop/stock-1"); err != nil {
		t.Fatal(err)
	}
	second, err := pods.List(t.Context(), metav1.ListOptions{Limit: 9, Continue: page.Continue})
	if err != nil || podNames(second) != "stock-1 stock-2 web-1 web-2" || second.Continue != "" || second.ResourceVersion != page.ResourceVersion {
		t.Fatalf("second page: %s of %s: %v", podNames(second), second.ResourceVersion, err)
	}
	server.Reset() // the snapshot is gone, as after five minutes
	_, err = pods.List(t.Context(), metav1.ListOptions{Limit: 9, Continue: page.Continue})
	wantStatus(t, err, metav1.StatusReasonExpired, "too old to display a consistent list")
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != http.StatusGone {
		t.Fatalf("want 410, got %v", err)
	}
	rest, err := pods.List(t.Context(), metav1.ListOptions{Continue: status.Status().ListMeta.Continue})
	if err != nil || podNames(rest) != "stock-2 web-1 web-2" {
		t.Errorf("after 410: %s: %v", podNames(rest), err)
	}
	_, err = pods.List(t.Context(), metav1.ListOptions{Continue: "%%%"})
	wantStatus(t, err, metav1.StatusReasonBadRequest, "continue key is not valid")
}

func TestVersionFromTheFuture(t *testing.T) {
	_, _, config := start(t, shop)
	code, doc := raw(t, config, "GET", "/api/v1/pods?resourceVersion=999999", "", "")
	err := apierrors.FromObject(&metav1.Status{Code: int32(code), Reason: metav1.StatusReason(doc["reason"].(string)), Details: detailsOf(t, doc)})
	if code != http.StatusGatewayTimeout || !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		t.Errorf("client-go would not list again after %v", doc)
	}
}

// detailsOf returns the details of a Status that was read as plain JSON.
func detailsOf(t *testing.T, doc map[string]any) *metav1.StatusDetails {
	t.Helper()
	b, err := json.Marshal(doc["details"])
	if err != nil {
		t.Fatal(err)
	}
	var d metav1.StatusDetails
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestPatchKinds(t *testing.T) {
	_, w, config := start(t, shop)
	services := client(t, config).CoreV1().Services("shop")
	for _, test := range []struct {
		kind  types.PatchType
		patch string
		want  map[string]string
	}{
		{types.MergePatchType, `{"spec":{"selector":{"app":"a","tier":"front"}}}`, map[string]string{"app": "a", "tier": "front"}},
		{types.StrategicMergePatchType, `{"spec":{"selector":{"app":"b"},"ports":[{"port":80,"name":"web"}]}}`, map[string]string{"app": "b", "tier": "front"}},
		{types.JSONPatchType, `[{"op":"replace","path":"/spec/selector","value":{"app":"c"}}]`, map[string]string{"app": "c"}},
		{types.ApplyPatchType, `{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"selector":{"app":"d"}}}`, map[string]string{"app": "d"}},
	} {
		before := w.Version()
		opts := metav1.PatchOptions{FieldManager: "test", DryRun: []string{metav1.DryRunAll}}
		for range 2 { // first a dry run, then for real
			got, err := services.Patch(t.Context(), "web", test.kind, []byte(test.patch), opts)
			if err != nil {
				t.Fatalf("%s: %v", test.kind, err)
			}
			if d := cmp.Diff(test.want, got.Spec.Selector); d != "" {
				t.Errorf("%s: %s", test.kind, d)
			}
			if got.Spec.Ports[len(got.Spec.Ports)-1].Port != 9000 {
				t.Errorf("%s: ports were not merged by number: %v", test.kind, got.Spec.Ports)
			}
			if len(opts.DryRun) > 0 && w.Version() != before {
				t.Errorf("%s: a dry run was stored", test.kind)
			}
			opts.DryRun = nil
		}
		if w.Version() == before {
			t.Errorf("%s: was not stored", test.kind)
		}
	}
	before := w.Version()
	if _, err := services.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"selector":{"app":"d"}}}`), metav1.PatchOptions{}); err != nil || w.Version() != before {
		t.Errorf("a patch that changes nothing made version %d of %d: %v", w.Version(), before, err)
	}
}

func TestPatchRefusals(t *testing.T) {
	_, _, config := start(t, shop)
	c := client(t, config)
	merge := func(p string) error {
		_, err := c.CoreV1().Services("shop").Patch(t.Context(), "web", types.MergePatchType, []byte(p), metav1.PatchOptions{})
		return err
	}
	wantStatus(t, merge(`{"spec":{"selector":"x"}}`), metav1.StatusReasonInvalid, "cannot unmarshal string into Go struct field")
	wantStatus(t, merge(`{"spec":{"clusterIP":"172.20.9.9"}}`), metav1.StatusReasonInvalid, "may not change once set")
	wantStatus(t, merge(`{"metadata":{"resourceVersion":"1"}}`), metav1.StatusReasonConflict, "the object has been modified")
	wantStatus(t, merge(`{"metadata":{"name":"other"}}`), metav1.StatusReasonBadRequest, "does not match the name on the URL")
	wantStatus(t, merge(`[]`), metav1.StatusReasonBadRequest, "want an object")
	wantStatus(t, merge(`{"metadata":{"labels":{"a":"not a label!"}}}`), metav1.StatusReasonInvalid, "metadata.labels")
	_, err := c.AppsV1().Deployments("shop").Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"replicas":-1}}`), metav1.PatchOptions{})
	wantStatus(t, err, metav1.StatusReasonInvalid, "spec.replicas: Invalid value: -1")
	_, err = c.CoreV1().Services("shop").Patch(t.Context(), "nope", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
	wantStatus(t, err, metav1.StatusReasonNotFound, `services "nope" not found`)
	_, err = c.CoreV1().Services("shop").Patch(t.Context(), "web", "text/plain", []byte(`{}`), metav1.PatchOptions{})
	wantStatus(t, err, metav1.StatusReasonUnsupportedMediaType, "unknown format")
}

func TestUpdateConflict(t *testing.T) {
	_, w, config := start(t, shop)
	services := client(t, config).CoreV1().Services("shop")
	svc, err := services.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	svc.Spec.Selector = map[string]string{"app": "new"}
	if _, err := services.Update(t.Context(), svc, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if d, _ := w.Get("kube/services", "shop/web"); d["spec"].(map[string]any)["selector"].(map[string]any)["app"] != "new" {
		t.Errorf("the world has %v", d["spec"])
	}
	_, err = services.Update(t.Context(), svc, metav1.UpdateOptions{})
	wantStatus(t, err, metav1.StatusReasonConflict, `Operation cannot be fulfilled on services "web"`)
}

func policy(port int32) *networkingv1.NetworkPolicy {
	p := intstr.FromInt32(port)
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "allow-dns"},
		Spec:       networkingv1.NetworkPolicySpec{Egress: []networkingv1.NetworkPolicyEgressRule{{Ports: []networkingv1.NetworkPolicyPort{{Port: &p}}}}},
	}
}

func TestCreateAndDelete(t *testing.T) {
	_, w, config := start(t, shop)
	policies := client(t, config).NetworkingV1().NetworkPolicies("shop")
	ctx, dry := t.Context(), []string{metav1.DryRunAll}

	_, err := policies.Create(ctx, policy(70000), metav1.CreateOptions{DryRun: dry})
	wantStatus(t, err, metav1.StatusReasonInvalid, "spec.egress[0].ports[0].port: Invalid value: 70000")
	if _, err := policies.Create(ctx, policy(53), metav1.CreateOptions{DryRun: dry}); err != nil {
		t.Fatal(err)
	}
	made, err := policies.Create(ctx, policy(53), metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("after a dry run: %v", err)
	}
	if made.UID == "" || made.CreationTimestamp.IsZero() || made.ResourceVersion == "" || *made.Spec.Egress[0].Ports[0].Protocol != corev1.ProtocolTCP {
		t.Errorf("the server did not complete %+v", made)
	}
	_, err = policies.Create(ctx, policy(53), metav1.CreateOptions{})
	wantStatus(t, err, metav1.StatusReasonAlreadyExists, `networkpolicies.networking.k8s.io "allow-dns" already exists`)

	other := types.UID("other")
	err = policies.Delete(ctx, "allow-dns", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &other}})
	wantStatus(t, err, metav1.StatusReasonConflict, "Precondition failed")
	if err := policies.Delete(ctx, "allow-dns", metav1.DeleteOptions{DryRun: dry}); err != nil {
		t.Fatal(err)
	}
	if err := policies.Delete(ctx, "allow-dns", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &made.UID}}); err != nil {
		t.Fatalf("after a dry run: %v", err)
	}
	if _, err := w.Get("kube/networkpolicies", "shop/allow-dns"); err == nil {
		t.Error("the world still has the policy")
	}
	wantStatus(t, policies.Delete(ctx, "allow-dns", metav1.DeleteOptions{}), metav1.StatusReasonNotFound, "not found")
	_, err = client(t, config).NetworkingV1().NetworkPolicies("nope").Create(ctx, policy(53), metav1.CreateOptions{})
	wantStatus(t, err, metav1.StatusReasonNotFound, `namespaces "nope" not found`)
}

func TestProtobufBody(t *testing.T) {
	_, _, config := start(t, shop)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	made, err := client(t, config).NetworkingV1().NetworkPolicies("shop").Create(t.Context(), policy(53), metav1.CreateOptions{})
	if err != nil || made.Spec.Egress[0].Ports[0].Port.IntVal != 53 {
		t.Errorf("%+v: %v", made, err)
	}
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf"
	_, err = client(t, config).CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	wantStatus(t, err, metav1.StatusReasonNotAcceptable, "")
}

func TestScale(t *testing.T) {
	_, _, config := start(t, shop)
	deployments := client(t, config).AppsV1().Deployments("shop")
	scale, err := deployments.GetScale(t.Context(), "web", metav1.GetOptions{})
	if err != nil || scale.Spec.Replicas != 2 || scale.Status.Selector != "app=web" {
		t.Fatalf("%+v: %v", scale, err)
	}
	stale := scale.DeepCopy()
	scale.Spec.Replicas = 4
	if scale, err = deployments.UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{}); err != nil || scale.Spec.Replicas != 4 {
		t.Fatalf("%+v: %v", scale, err)
	}
	_, err = deployments.UpdateScale(t.Context(), "web", stale, metav1.UpdateOptions{})
	wantStatus(t, err, metav1.StatusReasonConflict, "has been modified")
	_, err = deployments.UpdateScale(t.Context(), "web", &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: -1}}, metav1.UpdateOptions{})
	wantStatus(t, err, metav1.StatusReasonInvalid, "must be greater than or equal to 0")
	d, err := deployments.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"replicas":7}}`), metav1.PatchOptions{DryRun: []string{"All"}}, "scale")
	if err != nil {
		t.Fatalf("%+v: %v", d, err)
	}
	if got, _ := deployments.Get(t.Context(), "web", metav1.GetOptions{}); *got.Spec.Replicas != 4 || got.Generation != 4 {
		t.Errorf("replicas %d, generation %d", *got.Spec.Replicas, got.Generation)
	}
}

func TestLogs(t *testing.T) {
	_, w, config := start(t, shop)
	pods := client(t, config).CoreV1().Pods("shop")
	read := func(pod string, opts corev1.PodLogOptions) (string, error) {
		stream, err := pods.GetLogs(pod, &opts).Stream(t.Context())
		if err != nil {
			return "", err
		}
		defer stream.Close()
		b, err := io.ReadAll(stream)
		return string(b), err
	}
	two := int64(2)
	if got, err := read("web-1", corev1.PodLogOptions{Container: "proxy", TailLines: &two}); err != nil || got != "two\nthree\n" {
		t.Errorf("%q: %v", got, err)
	}
	if got, err := read("cart-1", corev1.PodLogOptions{}); err != nil || got != "starting\nconnect redis: timeout\n" {
		t.Errorf("%q: %v", got, err)
	}
	since, bytes := int64(59), int64(3)
	if got, err := read("web-1", corev1.PodLogOptions{Container: "proxy", SinceSeconds: &since, Timestamps: true}); err != nil || got != "2026-01-15T08:59:01Z two\n2026-01-15T08:59:02Z three\n" {
		t.Errorf("since: %q: %v", got, err)
	}
	at := metav1.NewTime(world.RecordedAt.Add(-58 * time.Second))
	if got, err := read("web-1", corev1.PodLogOptions{Container: "proxy", SinceTime: &at, LimitBytes: &bytes}); err != nil || got != "thr" {
		t.Errorf("since a time: %q: %v", got, err)
	}
	if got, err := read("cart-1", corev1.PodLogOptions{Previous: true}); err != nil || got != "no redis\n" {
		t.Errorf("previous: %q: %v", got, err)
	}
	_, err := read("cart-1", corev1.PodLogOptions{SinceTime: &at, SinceSeconds: &since})
	wantStatus(t, err, metav1.StatusReasonInvalid, "at most one of")
	_, err = read("web-1", corev1.PodLogOptions{Container: "proxy", Previous: true})
	wantStatus(t, err, metav1.StatusReasonBadRequest, `previous terminated container "proxy" in pod "web-1" not found`)
	_, err = read("web-1", corev1.PodLogOptions{})
	wantStatus(t, err, metav1.StatusReasonBadRequest, "a container name must be specified for pod web-1, choose one of: [web proxy]")
	_, err = read("web-2", corev1.PodLogOptions{})
	wantStatus(t, err, metav1.StatusReasonBadRequest, `container "web" in pod "web-2" is waiting to start: ContainerCreating`)

	stream, err := pods.GetLogs("cart-1", &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Delete("kube/pods", "shop/cart-1"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(stream); err != nil || !strings.HasSuffix(string(b), "timeout\n") {
		t.Errorf("follow: %q: %v", b, err)
	}
}

func TestDynamicAndDiscovery(t *testing.T) {
	_, _, config := start(t, shop)
	d, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	list, err := d.Resource(schema.GroupVersionResource{Group: "elbv2.k8s.aws", Version: "v1beta1", Resource: "targetgroupbindings"}).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].GetKind() != "TargetGroupBinding" {
		t.Errorf("%v: %v", list, err)
	}
	cm := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"generateName": "x-"}, "data": map[string]any{"a": "b"}}}
	made, err := d.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace("shop").Create(t.Context(), cm, metav1.CreateOptions{})
	if err != nil || !strings.HasPrefix(made.GetName(), "x-") {
		t.Errorf("%v: %v", made, err)
	}
	_, served, err := discovery.NewDiscoveryClientForConfigOrDie(config).ServerGroupsAndResources()
	if err != nil || len(served) < 8 {
		t.Errorf("%d lists of resources: %v", len(served), err)
	}
}

func TestKubeconfig(t *testing.T) {
	server, _, config := start(t, shop)
	fromFile, err := clientcmd.RESTConfigFromKubeConfig(server.Kubeconfig(config.Host))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, fromFile).CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("over http: %v", err)
	}
	fromFile, err = clientcmd.RESTConfigFromKubeConfig(server.Kubeconfig("https://demo.example"))
	if err != nil || fromFile.BearerToken != "secret" || fromFile.Host != "https://demo.example" {
		t.Errorf("over https: %+v: %v", fromFile, err)
	}
}

func TestCalls(t *testing.T) {
	server, _, config := start(t, shop)
	c := client(t, config)
	_, _ = c.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	_, _ = c.AppsV1().Deployments("shop").GetScale(t.Context(), "web", metav1.GetOptions{})
	var got []string
	for _, call := range server.Calls() {
		if call.End.Before(call.Start) {
			t.Errorf("%+v has no end", call)
		}
		got = append(got, call.Permission)
	}
	if d := cmp.Diff([]string{"list pods", "get deployments/scale"}, got); d != "" {
		t.Error(d)
	}
	server.ResetCalls()
	if len(server.Calls()) != 0 {
		t.Error("calls after ResetCalls")
	}
}

// raw sends a request without client-go, for what it would not send.
func raw(t *testing.T, config *rest.Config, method, path, accept, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, config.Host+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+config.BearerToken)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, doc
}

func TestToken(t *testing.T) {
	_, _, config := start(t, shop)
	config.BearerToken = "wrong"
	_, err := client(t, config).CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	wantStatus(t, err, metav1.StatusReasonUnauthorized, "Unauthorized")
}

func TestFieldValidation(t *testing.T) {
	_, _, config := start(t, shop)
	body := `{"metadata":{"name":"p"},"spec":{"podSelector":{},"policyTipes":[]}}`
	const path = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"
	code, doc := raw(t, config, "POST", path+"?fieldValidation=Strict", "", body)
	if code != 400 || doc["message"] != `strict decoding error: unknown field "spec.policyTipes"` {
		t.Errorf("%d: %v", code, doc)
	}
	code, doc = raw(t, config, "POST", path, "", body)
	if spec, _ := doc["spec"].(map[string]any); code != 201 || spec["policyTipes"] != nil {
		t.Errorf("an unknown field was stored: %d: %v", code, doc)
	}
}
