package diagnose

import (
	"testing"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/intents"
)

// A finding about an object of the broken hop stands before a worse one, and
// before one that names what was asked about; a mere risk does not.
func TestRankOfBrokenHop(t *testing.T) {
	group := facts.Ref{Kind: facts.SecurityGroups.Kind(), ID: "sg-1"}
	service := facts.Ref{Kind: facts.Services.Kind(), ID: "shop/cart"}
	in := intents.Intent{Target: facts.Target{Kind: "service", Namespace: "shop", Name: "cart"}}
	for _, tt := range []struct {
		severity Severity
		broken   []facts.Ref
		first    string
	}{
		{Degraded, []facts.Ref{group}, "l4/group"},
		{Degraded, nil, "l4/service"},
		{Risk, []facts.Ref{group}, "l4/service"},
	} {
		check := func(id string, s Severity, subject facts.Ref) Result {
			return Result{Check: &Check{ID: id}, Outcome: Found, Findings: []Finding{{Check: id, Layer: facts.L4, Severity: s, Subject: subject}}}
		}
		got := rank([]Result{check("l4/service", Outage, service), check("l4/group", tt.severity, group)}, in, tt.broken)
		if got[0].Check != tt.first {
			t.Errorf("%s, broken %v: first is %s, want %s", tt.severity, tt.broken, got[0].Check, tt.first)
		}
	}
}

// Without a near end there is no path; with one and no facts there is one that
// cannot be told, and says what it would take.
func TestPathOfReport(t *testing.T) {
	s := &facts.Snapshot{Gaps: map[facts.Kind]facts.Gap{facts.Pods.Kind(): {Kind: facts.Pods.Kind(), Reason: facts.Denied, Permission: "list pods"}}}
	in := intents.Intent{Target: facts.Target{Kind: "service", Namespace: "shop", Name: "cart", Port: 80}}
	if r := Run(nil, s, "", in); r.Path != nil {
		t.Errorf("nobody asked for a path: %+v", r.Path)
	}
	in.From = facts.Target{Namespace: "shop", Name: "web"}
	r := Run(nil, s, "", in)
	if r.Path == nil || r.Path.Verdict != "cannot tell" || len(r.Path.Missing) == 0 || r.Headline() != r.Path.Text {
		t.Fatalf("path %+v", r.Path)
	}
	if len(KindsFor(nil, in)) < 15 || len(KindsFor(nil, intents.Intent{})) != 0 {
		t.Errorf("kinds for a path: %v", KindsFor(nil, in))
	}
}
