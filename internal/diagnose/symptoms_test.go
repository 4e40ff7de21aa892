package diagnose_test

import (
	"testing"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/diagnose/catalogue"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/world"
)

// For each symptom of DNS its suspects are what a person reads first of what
// was ruled out, and each of them is a check that there is.
func TestSuspectsFirst(t *testing.T) {
	w, err := world.Load("base-shop")
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for ask, want := range map[string]string{
		"all DNS queries fail":                 "dns/coredns-zero-ready",
		"external DNS resolution is slow":      "dns/forward-upstream-timeout",
		"service discovery fails":              "dns/service-name-wrong-namespace",
		"external-dns does not create records": "dns/externaldns-not-running",
		"intermittent DNS failures":            "dns/tcp53-or-truncation-blocked",
	} {
		r := diagnose.Run(catalogue.Checks(), s, ask, intents.Parse(ask, intents.Options{}))
		if len(r.Findings) != 0 || r.RuledOut[0].Check != want {
			t.Errorf("%q: first ruled out is %s, want %s; findings %v", ask, r.RuledOut[0].Check, want, r.Findings)
		}
	}
	known := map[string]bool{}
	for _, c := range catalogue.Checks() {
		known[c.ID] = true
	}
	for _, list := range diagnose.Suspects {
		for _, id := range list {
			if !known[id] {
				t.Errorf("no check %s", id)
			}
		}
	}
}
