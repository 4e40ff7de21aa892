package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hopwise/hopwise/internal/probe"
)

// A nameserver that nobody listens at: the lookups fail, and say so.
func TestProbeDNS(t *testing.T) {
	alone(t)
	got := command(t.Context(), "probe", "dns", "web.shop.test.", "--server", "127.0.0.1:1", "--count", "2", "--timeout", "300ms")
	if got.status != exitFound || got.err != "" || !strings.Contains(got.out, "0 of 2 lookups answered") || !strings.Contains(got.out, "2 failed") {
		t.Errorf("status %d, stderr %q\n%s", got.status, got.err, got.out)
	}
	got = command(t.Context(), "probe", "dns", "web.shop.test.", "--server", "127.0.0.1:1", "--count", "1", "--timeout", "300ms", "--output", "json")
	var r probe.Result
	if err := json.Unmarshal([]byte(got.out), &r); err != nil || r.Count != 1 || r.Answered != 0 || r.Server != "127.0.0.1:1" {
		t.Errorf("%v: %s", err, got.out)
	}
	for _, args := range [][]string{{"probe", "dns"}, {"probe", "dns", "x", "--count", "0"}, {"probe", "dns", "x", "--timeout", "0s"}, {"probe"}} {
		if got := command(t.Context(), args...); got.status != exitUsage || got.out != "" {
			t.Errorf("%q: status %d, want %d\n%s", args, got.status, exitUsage, got.out)
		}
	}
}
