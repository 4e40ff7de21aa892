package kube_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// faulty is shop with something wrong with each of four permissions.
var faulty = strings.Replace(shop, "base: none\n", `base: none
deny: list pods
fault: list services throttle 1
fault: list nodes hang
fault: list events error
`, 1)

func TestDenied(t *testing.T) {
	_, _, config := start(t, faulty)
	pods := func(ns string) error {
		_, err := client(t, config).CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		return err
	}
	wantStatus(t, pods(""), metav1.StatusReasonForbidden,
		`pods is forbidden: User "system:serviceaccount:hopwise:hopwise" cannot list resource "pods" in API group "" at the cluster scope`)
	wantStatus(t, pods("shop"), metav1.StatusReasonForbidden, `cannot list resource "pods" in API group "" in the namespace "shop"`)
	_, err := client(t, config).CoreV1().Secrets("shop").Get(t.Context(), "db", metav1.GetOptions{})
	wantStatus(t, err, metav1.StatusReasonForbidden, `secrets "db" is forbidden`)
	yes := true
	_, err = client(t, config).CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: "NotOlderThan", AllowWatchBookmarks: true})
	wantStatus(t, err, metav1.StatusReasonForbidden, "cannot list resource")
	if _, err := client(t, config).CoreV1().Pods("shop").Get(t.Context(), "web-1", metav1.GetOptions{}); err != nil {
		t.Errorf("get is another permission: %v", err)
	}
}

func TestThrottled(t *testing.T) {
	_, _, config := start(t, faulty)
	code, doc := raw(t, config, "GET", "/api/v1/services", "", "")
	if code != 429 || doc["reason"] != "TooManyRequests" {
		t.Errorf("%d: %v", code, doc)
	}
	if code, _ := raw(t, config, "GET", "/api/v1/services", "", ""); code != 200 {
		t.Errorf("throttled once, but the second call got %d", code)
	}
}

func TestThrottledClientRetries(t *testing.T) {
	t.Parallel()
	server, _, config := start(t, faulty)
	if _, err := client(t, config).CoreV1().Services("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if n := len(server.Calls()); n != 2 {
		t.Errorf("%d calls, want 2: client-go retries after Retry-After", n)
	}
}

func TestHanging(t *testing.T) {
	_, _, config := start(t, faulty)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := client(t, config).CoreV1().Nodes().List(ctx, metav1.ListOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestFailing(t *testing.T) {
	_, _, config := start(t, faulty)
	_, err := client(t, config).CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
	wantStatus(t, err, metav1.StatusReasonInternalError, "etcdserver: request timed out")
}

func TestDelay(t *testing.T) {
	server, _, config := start(t, shop)
	server.SetDelay(50 * time.Millisecond)
	begin := time.Now()
	if _, err := client(t, config).CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 50*time.Millisecond {
		t.Errorf("took %v", took)
	}
	server.SetDelay(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _ = client(t, config).CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	eventually(t, "the delayed call ends with its client", func() bool {
		calls := server.Calls()
		return !calls[len(calls)-1].End.IsZero()
	})
}

func TestCanI(t *testing.T) {
	_, _, config := start(t, faulty)
	c := client(t, config)
	for permission, want := range map[string]bool{
		"list pods": false, "get pods": true, "get pods/log": true, "list secrets": false, "list services": true, "list nodes": true,
		"patch deployments.apps/scale": true, "patch deployments/scale": false, "create networkpolicies.networking.k8s.io": true,
		"delete nodes": false, "get pods/proxy": true, "get nodes/proxy": true, "create nodes/proxy": false, "get unicorns": false, "* *": false, "get pods/unicorn": false,
	} {
		if got := canI(t, c, permission); got != want {
			t.Errorf("%s: %v, want %v", permission, got, want)
		}
	}
	rules, err := c.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "shop"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Status.ResourceRules {
		if r.Resources[0] == "secrets" || r.Resources[0] == "pods" && strings.Contains(strings.Join(r.Verbs, " "), "list") {
			t.Errorf("rule for what is denied: %v", r)
		}
	}
}

// canI asks for "VERB RESOURCE[.GROUP][/SUB]".
func canI(t *testing.T, c *kubernetes.Clientset, permission string) bool {
	t.Helper()
	verb, resource, _ := strings.Cut(permission, " ")
	resource, sub, _ := strings.Cut(resource, "/")
	resource, group, _ := strings.Cut(resource, ".")
	review, err := c.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: resource, Group: group, Subresource: sub}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}
