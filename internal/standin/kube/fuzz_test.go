package kube_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hopwise/hopwise/internal/standin/kube"
)

// FuzzRequest holds the server to its promise: whatever comes, the answer is
// JSON, an error is a Status, and nothing panics.
func FuzzRequest(f *testing.F) {
	types := []string{"application/json", "application/merge-patch+json", "application/json-patch+json", "application/strategic-merge-patch+json",
		"application/apply-patch+yaml", "application/vnd.kubernetes.protobuf", "application/yaml", "", ";;"}
	for i, seed := range []struct{ method, path, query, body string }{
		{"GET", "/api/v1/pods", "limit=1&fieldSelector=status.phase%3DRunning&labelSelector=a+in+(b)", ""},
		{"GET", "/api/v1/pods", "continue=eyJydiI6LTEsInN0YXJ0IjoieCJ9", ""},
		{"GET", "/api/v1/pods", "watch=1&resourceVersion=1&timeoutSeconds=1&sendInitialEvents=true", ""},
		{"GET", "/api/v1/namespaces/shop/pods/web-1/log", "container=proxy&tailLines=-1", ""},
		{"POST", "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies", "dryRun=All", `{"metadata":{"name":"x"},"spec":{"ingress":[{"from":[{"ipBlock":{"cidr":"x"}}]}]}}`},
		{"POST", "/api/v1/namespaces/shop/services", "", `{"metadata":{"name":"x"},"spec":{"ports":[null,{"port":"a"}]}}`},
		{"POST", "/api/v1/namespaces/shop/services", "", `{"metadata":[],"spec":7}`},
		{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "", `{"spec":{"resourceAttributes":{"verb":"list"}}}`},
		{"PATCH", "/api/v1/namespaces/shop/services/web", "", `{"metadata":null}`},
		{"PATCH", "/api/v1/namespaces/shop/services/web", "", `[{"op":"remove","path":"/metadata"}]`},
		{"PATCH", "/api/v1/namespaces/shop/services/web", "", `{"spec":{"ports":[{"$patch":"delete","port":80}]},"$setElementOrder/ports":1}`},
		{"PATCH", "/apis/apps/v1/namespaces/shop/deployments/web/scale", "", `{"spec":{"replicas":"x"}}`},
		{"PUT", "/apis/apps/v1/namespaces/shop/deployments/web/status", "", `{"status":3}`},
		{"DELETE", "/api/v1/namespaces/shop/pods", "labelSelector=app%3Dweb&dryRun=All", `{"preconditions":{"uid":"x"}}`},
		{"GET", "//api//v1///", "", ""},
		{"GET", "/openapi/v3/apis/apps/v1", "", ""},
		{"OPTIONS", "/apis/apps/v1/namespaces/shop/deployments/web/scale/x", "", ""},
	} {
		for j := range types {
			if seed.method == "PATCH" || j == i%len(types) || j == 0 {
				f.Add(seed.method, seed.path, seed.query, types[j], []byte(seed.body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, method, path, query, contentType string, body []byte) {
		req, err := http.NewRequest("GET", "http://kube", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // watches and followed logs would not end
		defer cancel()
		req = req.WithContext(ctx)
		req.Method, req.URL.Path, req.URL.RawQuery = method, path, query
		req.Header = http.Header{"Authorization": {"Bearer demo"}, "Content-Type": {contentType}}
		if len(body)%2 == 1 {
			req.Header.Set("Accept", tables)
		}
		var log bytes.Buffer
		rec := httptest.NewRecorder()
		kube.New(parse(t, shop), kube.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}).ServeHTTP(rec, req)
		if strings.Contains(log.String(), "panic") {
			t.Fatalf("%s %s?%s: %s", method, path, query, log.String())
		}
		if rec.Code < 400 {
			return
		}
		var status struct{ Kind, Message string }
		if err := json.Unmarshal(rec.Body.Bytes(), &status); err != nil || status.Kind != "Status" || status.Message == "" {
			t.Errorf("%s %s?%s: %d: no Status: %s", method, path, query, rec.Code, rec.Body)
		}
	})
}
