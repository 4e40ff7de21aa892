package main

import (
	"strings"
	"testing"
)

// A question that names a host is answered with the way that the name takes
// and where it ends.
func TestDiagnoseName(t *testing.T) {
	alone(t)
	for _, tt := range []struct {
		ask    string
		status int
		want   []string
	}{
		{"getaddrinfo EAI_AGAIN web in checkout pods", exitClear, []string{"gets 172.20.18.201 for web.shop.svc.cluster.local", "Name  web, asked by pod shop/checkout-"}},
		{"no such host payments.shop.svc", exitFound, []string{"NXDOMAIN", "BROKEN   CoreDNS", "namespace shop has no Service payments; there is one in payments", "kubectl get services -A"}},
		{"db.shop.internal does not resolve from the cart pods", exitCouldNot, []string{"asked by pod shop/cart-", "private zone shop.internal", "rds.amazonaws.com", "it was not asked"}},
		{"api.internal.example.com does not resolve", exitCouldNot, []string{"the public zone example.com", "has no record api.internal.example.com; unless", "10 packets for A and AAAA"}},
		{"shop.example.com does not resolve", exitClear, []string{"load balancer k8s-shop-shop-4c1d7ab3e2"}},
	} {
		t.Run(tt.ask, func(t *testing.T) {
			got := command(t.Context(), "diagnose", "--scenario", "base-shop", tt.ask)
			if got.status != tt.status || got.err != "" {
				t.Errorf("status %d, want %d; stderr %q", got.status, tt.status, got.err)
			}
			for _, part := range tt.want {
				if !strings.Contains(got.out, part) {
					t.Errorf("no %q in:\n%s", part, got.out)
				}
			}
			md := command(t.Context(), "diagnose", "--scenario", "base-shop", "--output", "markdown", tt.ask)
			if !strings.Contains(md.out, "### Name") || !strings.Contains(md.out, "resolv.conf of the pod") {
				t.Errorf("markdown without the way of the name:\n%s", md.out)
			}
			r := readBack(t, command(t.Context(), "diagnose", "--scenario", "base-shop", "--output", "json", tt.ask).out)
			if r.Resolution == nil || len(r.Resolution.Hops) < 3 || r.Path != nil {
				t.Errorf("resolution %+v, path %+v", r.Resolution, r.Path)
			}
		})
	}
}
