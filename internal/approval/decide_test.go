package approval

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hopwise/hopwise/internal/remedy"
)

// code runs Decide and returns the code of the refusal, "" if there is none.
func code(t *testing.T, s *Store, press Press, policy *Policy) (Proposal, string) {
	t.Helper()
	p, err := s.Decide(t.Context(), press, policy)
	var r *Refusal
	switch {
	case errors.As(err, &r):
		if r.Sentence == "" {
			t.Errorf("%s: no sentence", r.Code)
		}
		return p, r.Code
	case err != nil:
		t.Fatal(err)
	}
	return p, ""
}

// refusals are presses on a disruptive proposal that must do nothing, each
// with the code that it is refused with.
var refusals = []struct {
	name, code string
	change     func(*Proposal, *Press)
}{
	{"no value", "forged", func(_ *Proposal, p *Press) { p.Value = "" }},
	{"value without hash", "forged", func(_ *Proposal, p *Press) { p.Value = "p1" }},
	{"value with another hash", "forged", func(_ *Proposal, p *Press) { p.Value = "p1:0123456789abcdef" }},
	{"value of no proposal", "forged", func(_ *Proposal, p *Press) { p.Value = "p2" + p.Value[2:] }},
	{"value with a line more", "forged", func(_ *Proposal, p *Press) { p.Value += "\n" }},
	{"value in SQL", "forged", func(_ *Proposal, p *Press) { p.Value = "p1' OR '1'='1:0123456789abcdef" }},
	{"huge value", "forged", func(_ *Proposal, p *Press) { p.Value = strings.Repeat("x", 1<<20) }},
	{"another workspace", "other-team", func(_ *Proposal, p *Press) { p.Team = "T2" }},
	{"person of another workspace", "other-team", func(_ *Proposal, p *Press) { p.Person.Team = "T2" }},
	{"person of unknown workspace", "other-team", func(_ *Proposal, p *Press) { p.Person.Team = "" }},
	{"another channel", "other-channel", func(_ *Proposal, p *Press) { p.Channel = "C2" }},
	{"bot", "bot", func(_ *Proposal, p *Press) { p.Person.Bot = true }},
	{"guest", "guest", func(_ *Proposal, p *Press) { p.Person.Guest = true }},
	{"deactivated", "not-allowed", func(_ *Proposal, p *Press) { p.Person.Left = true }},
	{"nobody", "not-allowed", func(_ *Proposal, p *Press) { p.Person.ID = "" }},
	{"expired", "expired", func(prop *Proposal, _ *Press) { prop.Expires = start.Add(time.Second) }},
	{"pressed too late", "expired", func(_ *Proposal, p *Press) { p.At = start.Add(2 * time.Hour) }},
	{"not named", "not-allowed", func(_ *Proposal, p *Press) { p.Person.ID = "UEVE" }},
	{"in another group", "not-allowed", func(_ *Proposal, p *Press) { p.Person.ID = "UEVE"; p.Person.Groups = []string{"S2B2"} }},
	{"rejecting unnamed", "not-allowed", func(_ *Proposal, p *Press) { p.Person.ID = "UEVE"; p.Approve = false }},
	{"the asker", "asker", func(_ *Proposal, p *Press) { p.Person.ID = "UASKER" }},
	{"read-only cluster", "read-only", func(prop *Proposal, _ *Press) { prop.Cluster = "frozen" }},
}

func TestRefusals(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for i, tt := range refusals {
			prop := testProposal("p1-"+NewID(), remedy.Disruptive)
			pr := press(prop, "UALICE", true)
			pr.Value = strings.Replace(pr.Value, prop.ID, "p1", 1)
			tt.change(&prop, &pr)
			pr.Value = strings.Replace(pr.Value, "p1:", prop.ID+":", 1)
			propose(t, s, prop)
			if _, got := code(t, s, pr, testPolicy); got != tt.code {
				t.Errorf("%s: refused with %q, want %q", tt.name, got, tt.code)
			}
			if stored, err := s.Get(t.Context(), prop.ID); err != nil || stored.State != Open || len(stored.Decisions) != 0 {
				t.Errorf("%s: the proposal is now %s with %v, %v", tt.name, stored.State, stored.Decisions, err)
			}
			if n := count(t, s, KindRefusal); n != i+1 {
				t.Errorf("%s: %d refusals in the log, want %d", tt.name, n, i+1)
			}
		}
		if _, err := s.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRefusedByPolicy(t *testing.T) {
	s := testStore(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	p := propose(t, s, testProposal("p1", remedy.Disruptive))
	for _, tt := range []struct {
		name, code string
		policy     *Policy
	}{
		{"no policy", "read-only", nil},
		{"names nobody", "read-only", &Policy{}},
		{"other workspace", "other-team", &Policy{Team: "T2", rules: testPolicy.rules}},
		{"other channel", "other-channel", &Policy{Channels: []string{"C9"}, rules: testPolicy.rules}},
		{"class without names", "not-allowed", &Policy{rules: [3]Rule{remedy.Safe: testPolicy.rules[remedy.Safe]}}},
	} {
		if _, got := code(t, s, press(p, "UALICE", true), tt.policy); got != tt.code {
			t.Errorf("%s: refused with %q, want %q", tt.name, got, tt.code)
		}
	}
	allowed := &Policy{Team: "T1", Channels: []string{"C1"}, rules: testPolicy.rules}
	if got, c := code(t, s, press(p, "UALICE", true), allowed); c != "" || got.State != Approved {
		t.Errorf("allowed: %s %s", got.State, c)
	}
}

// A button's value must not be good for another proposal.
func TestRefusedForAnotherProposal(t *testing.T) {
	s := testStore(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	p := propose(t, s, testProposal("p1", remedy.Disruptive))
	other := testProposal("p2", remedy.Disruptive)
	other.Remedy.Actions = other.Remedy.Actions[:1]
	propose(t, s, testPolicy.Prepare(other, start))
	pr := press(p, "UALICE", true)
	pr.Value = "p2:" + p.Hash[:16]
	if _, got := code(t, s, pr, testPolicy); got != "forged" {
		t.Errorf("got %q", got)
	}
}

// A plan that was changed in the database is not the plan that was shown.
func TestRefusedWhenPlanChanged(t *testing.T) {
	s := testStore(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	p := propose(t, s, testProposal("p1", remedy.Disruptive))
	if _, err := s.db.Exec(`UPDATE proposals SET doc = replace(doc, '"to":2', '"to":9')`); err != nil {
		t.Fatal(err)
	}
	if _, got := code(t, s, press(p, "UALICE", true), testPolicy); got != "forged" {
		t.Errorf("got %q", got)
	}
}

func TestDecisions(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		p := propose(t, s, testProposal("p1", remedy.Disruptive))
		got, c := code(t, s, press(p, "UALICE", true), testPolicy)
		if c != "" || got.State != Approved || len(got.Decisions) != 1 || got.Decisions[0].User != "UALICE" {
			t.Fatalf("%s %s %v", c, got.State, got.Decisions)
		}
		if again, c := code(t, s, press(p, "UALICE", true), testPolicy); c != "" || again.State != Approved || len(again.Decisions) != 1 {
			t.Errorf("the same press again: %s %s", c, again.State)
		}
		_, err := s.Decide(t.Context(), press(p, "UBOB", false), testPolicy)
		if err == nil || !strings.Contains(err.Error(), "already approved by <@UALICE>") {
			t.Errorf("after the decision: %v", err)
		}
		if n := count(t, s, KindDecision); n != 1 {
			t.Errorf("%d decisions in the log", n)
		}

		byGroup := propose(t, s, testProposal("p2", remedy.Disruptive))
		pr := press(byGroup, "UCAROL", true)
		pr.Person.Groups = []string{"S9Z9", "S1A1"}
		if got, c := code(t, s, pr, testPolicy); c != "" || got.State != Approved {
			t.Errorf("member of a group: %s %s", c, got.State)
		}
		safe := propose(t, s, testProposal("p3", remedy.Safe))
		if got, c := code(t, s, press(safe, "UASKER", true), testPolicy); c != "" || got.State != Approved {
			t.Errorf("asker approves what is safe: %s %s", c, got.State)
		}
		withdrawn := propose(t, s, testProposal("p4", remedy.Destructive))
		if got, c := code(t, s, press(withdrawn, "UASKER", false), testPolicy); c != "" || got.State != Rejected {
			t.Errorf("asker withdraws: %s %s", c, got.State)
		}
		_, err = s.Decide(t.Context(), press(withdrawn, "UALICE", true), testPolicy)
		if err == nil || !strings.Contains(err.Error(), "rejected by <@UASKER>") {
			t.Errorf("after the withdrawal: %v", err)
		}
	})
}

func TestTwoApprovals(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		p := propose(t, s, testProposal("p1", remedy.Destructive))
		if got, c := code(t, s, press(p, "UALICE", true), testPolicy); c != "" || got.State != Open {
			t.Fatalf("one approval: %s %s", c, got.State)
		}
		second := press(p, "UALICE", true)
		second.At = second.At.Add(time.Second)
		if _, c := code(t, s, second, testPolicy); c != "decided" {
			t.Errorf("the same person twice: %q", c)
		}
		if got, c := code(t, s, press(p, "UBOB", true), testPolicy); c != "" || got.State != Approved {
			t.Errorf("two people: %s %s", c, got.State)
		}

		changed := propose(t, s, testProposal("p2", remedy.Destructive))
		code(t, s, press(changed, "UALICE", true), testPolicy)
		if got, c := code(t, s, press(changed, "UALICE", false), testPolicy); c != "" || got.State != Rejected {
			t.Errorf("somebody who thought again: %s %s", c, got.State)
		}
	})
}

// A policy that asks for more since the proposal was shown, counts.
func TestStricterPolicy(t *testing.T) {
	s := testStore(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	p := propose(t, s, testProposal("p1", remedy.Disruptive))
	strict := &Policy{rules: testPolicy.rules}
	strict.rules[remedy.Disruptive].Approvals = 2
	if got, c := code(t, s, press(p, "UALICE", true), strict); c != "" || got.State != Open {
		t.Errorf("%s %s", c, got.State)
	}
}

func TestRefusalsOfOtherStates(t *testing.T) {
	s := testStore(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	for state, want := range map[State]string{Expired: "expired", Stale: "stale", Rejected: "decided", Approved: "decided", Applied: "decided", Failed: "decided"} {
		p := propose(t, s, testProposal(NewID(), remedy.Safe))
		if _, err := s.db.Exec(`UPDATE proposals SET state = ? WHERE id = ?`, state, p.ID); err != nil {
			t.Fatal(err)
		}
		if _, got := code(t, s, press(p, "UALICE", true), testPolicy); got != want {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
}

// Ten people press at once: one press approves, the rest learn that it is
// decided.
func TestConcurrentPresses(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		p := propose(t, s, testProposal("p1", remedy.Disruptive))
		var wg sync.WaitGroup
		var mu sync.Mutex
		approved, refused := 0, 0
		for i := range 10 {
			wg.Go(func() {
				pr := press(p, []string{"UALICE", "UBOB"}[i%2], i%3 != 2)
				pr.At = pr.At.Add(time.Duration(i) * time.Second)
				_, err := s.Decide(t.Context(), pr, testPolicy)
				var r *Refusal
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					approved++
				case errors.As(err, &r) && r.Code == "decided":
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if approved != 1 || refused != 9 {
			t.Errorf("%d decisions, %d refusals", approved, refused)
		}
		if n := count(t, s, KindDecision); n != 1 {
			t.Errorf("%d decisions in the log", n)
		}
		if n, err := s.Verify(t.Context()); err != nil || n != 11 {
			t.Errorf("Verify = %d, %v", n, err)
		}
	})
}

// Whatever a button carries, only the right value decides.
func FuzzButtonValue(f *testing.F) {
	p := testProposal("p1", remedy.Safe)
	s := fuzzStore(f)
	if err := s.Propose(f.Context(), p); err != nil {
		f.Fatal(err)
	}
	f.Add(p.ButtonValue() + " ")
	f.Add("p1:")
	f.Add(":0123456789abcdef")
	f.Add("p1\x00:0123456789abcdef")
	f.Fuzz(func(t *testing.T, value string) {
		if value == p.ButtonValue() {
			return
		}
		pr := press(p, "UALICE", true)
		pr.Value = value
		_, err := s.Decide(t.Context(), pr, testPolicy)
		var r *Refusal
		if !errors.As(err, &r) || r.Code != "forged" {
			t.Fatalf("%q: %v", value, err)
		}
	})
}

func fuzzStore(f *testing.F) *Store {
	db, dialect, err := OpenURL(f.Context(), "sqlite:"+filepath.Join(f.TempDir(), "fuzz.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	s, err := OpenStore(f.Context(), db, dialect, quiet)
	if err != nil {
		f.Fatal(err)
	}
	s.now = func() time.Time { return start.Add(time.Minute) }
	return s
}
