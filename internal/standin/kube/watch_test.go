package kube_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

func relabel(t *testing.T, w *world.World, kind facts.Kind, id, app string) {
	t.Helper()
	err := w.Update(kind, id, func(d world.Doc) error {
		d["metadata"].(world.Doc)["labels"] = world.Doc{"app": app}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// next returns the next event of a watch as "TYPE name".
func next(t *testing.T, w watch.Interface) string {
	t.Helper()
	select {
	case ev, ok := <-w.ResultChan():
		if !ok {
			return "end"
		}
		if obj, err := meta.Accessor(ev.Object); err == nil {
			return string(ev.Type) + " " + obj.GetName()
		}
		return string(ev.Type) + " " + apierrors.FromObject(ev.Object).Error()
	case <-time.After(30 * time.Second):
		return "nothing"
	}
}

func TestWatchFollowsSelector(t *testing.T) {
	_, w, config := start(t, shop+`-- kube/configmaps.yaml --
items:
- metadata: {name: a, namespace: shop, labels: {app: web}}
- metadata: {name: b, namespace: shop, labels: {app: web}}
- metadata: {name: c, namespace: shop, labels: {app: cart}}
- metadata: {name: d, namespace: shop, labels: {app: cart}}
- metadata: {name: e, namespace: kube-system}
`)
	maps := client(t, config).CoreV1().ConfigMaps("shop")
	list, err := maps.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := maps.Watch(t.Context(), metav1.ListOptions{LabelSelector: "app=web", ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Stop()
	relabel(t, w, "kube/configmaps", "shop/c", "web")        // begins to match
	relabel(t, w, "kube/configmaps", "shop/a", "other")      // matches no longer
	relabel(t, w, "kube/configmaps", "shop/d", "shelf")      // never does
	relabel(t, w, "kube/configmaps", "kube-system/e", "web") // in another namespace
	_ = w.Delete("kube/configmaps", "shop/a")                // is gone for the client already
	_ = w.Delete("kube/configmaps", "shop/b")
	for _, want := range []string{"ADDED c", "DELETED a", "DELETED b"} {
		if g := next(t, got); g != want {
			t.Errorf("got %s, want %s", g, want)
		}
	}
}

func TestWatchFromNowhere(t *testing.T) {
	t.Parallel()
	_, _, config := start(t, shop)
	second := int64(1)
	got, err := client(t, config).CoreV1().Pods("shop").Watch(t.Context(), metav1.ListOptions{LabelSelector: "app=web", TimeoutSeconds: &second})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ADDED web-1", "ADDED web-2", "end"} {
		if g := next(t, got); g != want {
			t.Errorf("got %s, want %s", g, want)
		}
	}
}

func TestWatchTooOld(t *testing.T) {
	_, w, config := start(t, shop)
	old := strconv.FormatInt(w.Version()-1, 10) // before the world's history began
	got, err := client(t, config).CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{ResourceVersion: old})
	if err != nil {
		t.Fatal(err)
	}
	ev := <-got.ResultChan()
	if err := apierrors.FromObject(ev.Object); ev.Type != watch.Error || !apierrors.IsResourceExpired(err) {
		t.Errorf("got %s: %v, want an ERROR event with 410 Expired", ev.Type, err)
	}
}

func TestWatchBookmarksAtItsEnd(t *testing.T) {
	t.Parallel()
	_, w, config := start(t, shop)
	second := int64(1)
	got, err := client(t, config).CoreV1().Services("").Watch(t.Context(),
		metav1.ListOptions{ResourceVersion: strconv.FormatInt(w.Version(), 10), AllowWatchBookmarks: true, TimeoutSeconds: &second})
	if err != nil {
		t.Fatal(err)
	}
	relabel(t, w, "kube/pods", "shop/cart-1", "moved") // no Service, but the version moves on
	ev := <-got.ResultChan()
	if svc, ok := ev.Object.(*corev1.Service); !ok || ev.Type != watch.Bookmark || svc.ResourceVersion != strconv.FormatInt(w.Version(), 10) {
		t.Errorf("got %s %v", ev.Type, ev.Object)
	}
}

// An informer lists, watches and lists again when the world becomes another.
func TestInformer(t *testing.T) {
	server, w, config := start(t, shop)
	ctx, cancel := context.WithCancel(t.Context())
	factory := informers.NewSharedInformerFactory(client(t, config), 0)
	pods := factory.Core().V1().Pods()
	informer := pods.Informer()
	factory.Start(ctx.Done())
	t.Cleanup(factory.Shutdown)
	t.Cleanup(cancel)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatal("the cache does not fill")
	}
	names := func() (n int) { return len(informer.GetStore().ListKeys()) }
	if names() != 6 {
		t.Errorf("%d pods in the cache: %v", names(), informer.GetStore().ListKeys())
	}
	for _, c := range server.Calls() {
		if c.Permission != "watch pods" {
			t.Errorf("%s: with sendInitialEvents a watch is enough", c.Permission)
		}
	}
	relabel(t, w, "kube/pods", "shop/cart-1", "changed")
	eventually(t, "the change arrives", func() bool {
		p, err := pods.Lister().Pods("shop").Get("cart-1")
		return err == nil && p.Labels["app"] == "changed"
	})
	other := parse(t, shop)
	if err := other.Delete("kube/pods", "shop/stock-1"); err != nil {
		t.Fatal(err)
	}
	w.Become(other)
	eventually(t, "the informer sees another world", func() bool {
		p, err := pods.Lister().Pods("shop").Get("cart-1")
		return err == nil && p.Labels["app"] == "cart" && names() == 5
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
