package main

import (
	"strings"
	"testing"

	"github.com/hopwise/hopwise/internal/reach"
)

// The path between two things, as each form of output tells it, with its exit
// status.
func TestDiagnosePath(t *testing.T) {
	alone(t)
	for _, tt := range []struct {
		name, scenario, from, to string
		status                   int
		verdict                  reach.Verdict
		hop                      string // that decides
		first                    string // finding that comes first, "" for none
	}{
		{"open", "base-shop", "shop/cart", "svc/payments/payments:80", exitClear, reach.Allowed, "", ""},
		{"policy", "networkpolicy-default-deny-namespace", "deploy/shop/cart", "svc/payments/payments:80", exitFound, reach.Denied, "NetworkPolicy, egress of the source", "dns/networkpolicy-blocks-dns"},
		{"group", "node-to-node-sg-blocked", "deploy/shop/web", "svc/kube-system/kube-dns:53", exitFound, reach.Denied, "security group, ingress of the destination", "l4/node-to-node-sg-blocked"},
		{"route", "private-subnet-route-missing", "deploy/shop/web", "internet", exitFound, reach.Partly, "route", "l3/private-subnet-no-default-route"},
		{"selector", "service-no-endpoints-selector", "deploy/shop/web", "svc/shop/cart:80", exitFound, reach.Denied, "Service", "l4/service-no-endpoints-selector"},
		{"port of the pods", "base-shop", "shop/cart", "svc/payments/payments:8080", exitFound, reach.Denied, "Service", ""},
		{"no such end", "base-shop", "shop/cat", "svc/payments/payments:80", exitCouldNot, reach.CannotTell, "end of the path", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"diagnose", "--scenario", tt.scenario, "--from", tt.from, "--to", tt.to, "--output"}
			got := command(t.Context(), append(args, "json")...)
			r := readBack(t, got.out)
			if got.status != tt.status || r.Path == nil || r.Path.Verdict != tt.verdict {
				t.Fatalf("status %d, want %d; path %+v, want %s", got.status, tt.status, r.Path, tt.verdict)
			}
			hop := ""
			if i := r.Path.Broken(); i >= 0 {
				hop = r.Path.Hops[i].Hop
			}
			if hop != tt.hop || r.Cause != tt.first {
				t.Errorf("broken at %q, want %q; first finding %q, want %q", hop, tt.hop, r.Cause, tt.first)
			}
			for _, form := range []string{"text", "markdown"} {
				out := command(t.Context(), append(args, form)...).out
				if broken := strings.Contains(out, "BROKEN"); !strings.Contains(out, string(tt.verdict)) || broken != (tt.status == exitFound) {
					t.Errorf("%s does not show a path that is %s:\n%s", form, tt.verdict, out)
				}
			}
		})
	}
}

// What is wrong with the ends of a path is said before anything is read.
func TestDiagnosePathUsage(t *testing.T) {
	alone(t)
	for _, args := range [][]string{
		{"--from", "shop/cart"}, {"--to", "shop/cart"}, {"--from", "a/b/c", "--to", "internet"}, {"--from", "shop/cart", "--to", "svc/a/b:http"},
		{"--from", "shop/cart", "--to", "internet", "--protocol", "icmp"}, {"--protocol", "udp"},
	} {
		got := command(t.Context(), append([]string{"diagnose", "--scenario", "base-shop"}, args...)...)
		if got.status != exitUsage || got.err == "" || got.out != "" {
			t.Errorf("%q: status %d, want %d; stderr %q", args, got.status, exitUsage, got.err)
		}
	}
}

// A report with a path is as the published schema says.
func TestPathSchema(t *testing.T) {
	schema := reportSchema(t)
	alone(t)
	for _, ends := range [][2]string{{"shop/cart", "svc/payments/payments:80"}, {"shop/cart", "internet"}, {"shop/cat", "x:1"}, {"shop/cart", "svc/payments/payments:8080"}} {
		for _, scenario := range []string{"base-shop", "networkpolicy-default-deny-namespace", "private-subnet-denied"} {
			validate(t, schema, command(t.Context(), "diagnose", "--scenario", scenario, "--from", ends[0], "--to", ends[1], "--output", "json").out)
		}
	}
}
