package intents

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Words that ask whether one thing reaches another name both ends.
func TestPaths(t *testing.T) {
	for _, tt := range []struct{ text, from, to, protocol string }{
		{"can shop/cart reach svc/payments:8080?", "ns=shop name=cart", "kind=service name=payments port=8080", ""},
		{"connectivity from cart to payments", "name=cart", "name=payments", ""},
		{"can cart reach payments?", "name=cart", "name=payments", ""},
		{"Can the cart pods reach the payments service on port 8080?", "kind=deployment name=cart", "kind=service name=payments port=8080", ""},
		{"cart can't reach payments", "name=cart", "name=payments", ""},
		{"checkout cannot connect to postgres.internal:5432", "name=checkout", "kind=host host=postgres.internal port=5432", ""},
		{"pod/shop/cart-1 is not able to talk to 10.0.4.7:6379", "kind=pod ns=shop name=cart-1", "kind=host host=10.0.4.7 port=6379", ""},
		{"shop/checkout can't reach the internet", "ns=shop name=checkout", "kind=internet", ""},
		{"timeouts from shop/web to payments/payments:80", "ns=shop name=web", "ns=payments name=payments port=80", ""},
		{"is traffic blocked from cart to redis over tcp 6379?", "name=cart", "name=redis port=6379", "tcp"},
		{"can shop/web reach svc/kube-dns on udp 53?", "ns=shop name=web", "kind=service name=kube-dns port=53", "udp"},
		{"connection timeout: shop/cart -> payments/payments:80", "ns=shop name=cart", "ns=payments name=payments port=80", ""},
		{"why can't checkout reach payments.payments.svc.cluster.local:80", "name=checkout", "kind=host host=payments.payments.svc.cluster.local port=80", ""},
		{"cart에서 payments로 연결이 안 돼요", "name=cart", "name=payments", ""},
		{"shop/cart에서 svc/payments:8080으로 통신이 안 됩니다", "ns=shop name=cart", "kind=service name=payments port=8080", ""},
		{"cart 파드에서 인터넷으로 접속 불가", "kind=deployment name=cart", "kind=internet", ""},
	} {
		got := Parse(tt.text, Options{})
		from, _ := target(tt.from)
		to, _ := target(tt.to)
		want := Intent{Request: true, Layers: got.Layers, Target: to, From: from, Protocol: tt.protocol, Reason: got.Reason}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: -want +got\n%s", tt.text, diff)
		}
	}
}

// Words that sound alike name no path.
func TestNoPaths(t *testing.T) {
	for _, text := range []string{
		"can we reach payments?", "it can't reach the internet", "pods can't reach the internet", "nothing can reach svc/payments:8080",
		"network issue: we moved from version 1 to 2", "connection timeouts from monday to friday", "pods in shop cannot reach the internet",
		"502 since the switch from nginx to envoy", "i/o timeout calling http://payments.shop:8080", "파드에서 인터넷이 안 돼요", "ALB에서 502",
	} {
		if got := Parse(text, Options{}); !got.From.IsZero() {
			t.Errorf("%q: from %+v to %+v, want no path", text, got.From, got.Target)
		}
	}
}
