package dns

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/world"
)

// snapshot returns the facts of an embedded scenario.
func snapshot(t *testing.T, name string) (*world.World, *facts.Snapshot) {
	t.Helper()
	w, err := world.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if s.Target.IsZero() {
		s.Target = intents.Parse(w.Ask, intents.Options{Mention: true}).Target
	}
	return w, s
}

// run answers with this package's checks alone.
func run(s *facts.Snapshot) *diagnose.Report {
	return diagnose.Run(Checks(), s, "", intents.Intent{Layers: []facts.Layer{facts.DNS}})
}

// keys are the keys of a report's findings, in its order.
func keys(r *diagnose.Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, f.Key())
	}
	return out
}

// Of every embedded scenario this package's checks find what it wants of them,
// and nothing else.
func TestScenarios(t *testing.T) {
	for _, name := range world.Names() {
		t.Run(name, func(t *testing.T) {
			w, s := snapshot(t, name)
			var want []string
			for _, x := range w.Want {
				if strings.HasPrefix(x.Check, "dns/") {
					want = append(want, x.Check+" "+x.Subject)
				}
			}
			r := run(s)
			if diff := cmp.Diff(want, keys(r)); diff != "" {
				t.Error(diff)
			}
			for _, u := range r.Unknown {
				if strings.Contains(u.Reason, "internal error") {
					t.Errorf("%s panicked", u.Check)
				}
			}
		})
	}
}
