package kube_test

import (
	"fmt"
	"strings"
	"testing"
)

const (
	coreMetrics = "/api/v1/namespaces/kube-system/pods/coredns-1:9153/proxy/metrics"
	configz     = "/api/v1/nodes/ip-10-0-1-10.ec2.internal/proxy/configz"
)

// What the world has is answered; for the rest the server says what is missing
// in an API server's words.
func TestProxy(t *testing.T) {
	_, w, config := start(t, shop)
	b, err := client(t, config).CoreV1().Pods("kube-system").ProxyGet("", "coredns-1", "9153", "metrics", nil).DoRaw(t.Context())
	if err != nil || string(b) != "coredns_panics_total 0\n" {
		t.Errorf("metrics: %q: %v", b, err)
	}
	code, doc := raw(t, config, "GET", configz, "", "")
	if got := fmt.Sprint(doc); code != 200 || got != "map[kubeletconfig:map[clusterDNS:[172.20.0.10] clusterDomain:cluster.local]]" {
		t.Errorf("configz: %d: %s", code, got)
	}
	if err := w.Delete("kube/kubelet-configs", "ip-10-0-1-10.ec2.internal"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, path string
		code         int
		message      string
	}{
		{"GET", "/api/v1/namespaces/shop/pods/web-1:9153/proxy/metrics", 503, "error trying to reach service: dial tcp 10.0.1.20:9153: connect: connection refused"},
		{"GET", configz, 503, "error trying to reach service: dial tcp 10.0.1.10:10250: connect: connection refused"},
		{"GET", "/api/v1/namespaces/shop/pods/nope:9153/proxy/metrics", 404, `pods "nope" not found`},
		{"GET", "/api/v1/nodes/nope:10250/proxy/configz", 404, `nodes "nope" not found`},
		{"GET", "/api/v1/namespaces/shop/services/web:80/proxy/metrics", 404, "the server could not find the requested resource"},
		{"PUT", coreMetrics, 405, ""},
	} {
		code, doc := raw(t, config, tt.method, tt.path, "", "")
		if code != tt.code || !strings.Contains(fmt.Sprint(doc["message"]), tt.message) {
			t.Errorf("%s %s: %d: %v, want %d: %s", tt.method, tt.path, code, doc["message"], tt.code, tt.message)
		}
	}
}

// A pod that declares its ports answers at no other.
func TestProxyPorts(t *testing.T) {
	_, _, config := start(t, strings.Replace(shop, "containers: [{name: coredns, image: coredns}]", "containers: [{name: coredns, image: coredns, ports: [{containerPort: 9153}]}]", 1))
	pods := client(t, config).CoreV1().Pods("kube-system")
	if _, err := pods.ProxyGet("", "coredns-1", "9153", "metrics", nil).DoRaw(t.Context()); err != nil {
		t.Error(err)
	}
	if code, doc := raw(t, config, "GET", strings.Replace(coreMetrics, "9153", "7979", 1), "", ""); code != 503 {
		t.Errorf("%d: %v", code, doc)
	}
}

func TestProxyDenied(t *testing.T) {
	_, _, config := start(t, strings.Replace(shop, "base: none\n", "base: none\ndeny: get pods/proxy\ndeny: get nodes/proxy\n", 1))
	for path, want := range map[string]string{
		coreMetrics: `cannot get resource "pods/proxy" in API group "" in the namespace "kube-system"`,
		configz:     `cannot get resource "nodes/proxy" in API group "" at the cluster scope`,
	} {
		if code, doc := raw(t, config, "GET", path, "", ""); code != 403 || !strings.Contains(fmt.Sprint(doc["message"]), want) {
			t.Errorf("%s: %d: %v", path, code, doc)
		}
	}
}
