package diagnose

import (
	"slices"
	"strings"
)

// A Verdict says what became of a finding after a remedy.
type Verdict string

// The verdicts.
const (
	Fixed      Verdict = "fixed"      // the check that found it looked again and is clear of it
	Persists   Verdict = "persists"   // it is still there
	Moved      Verdict = "moved"      // it is gone, and something new broke
	Unverified Verdict = "unverified" // the check could not look
	Undone     Verdict = "undone"     // a remedy was taken back; Changes say what that brought back
)

// A Change is one row of the before and after.
type Change struct {
	Finding Finding `json:"finding"`
	Before  string  `json:"before"`
	After   string  `json:"after"`
	Gone    bool    `json:"gone"`
}

// A Verification compares the facts before and after a remedy.
type Verification struct {
	Verdict Verdict  `json:"verdict"`
	Changes []Change `json:"changes"` // the finding, then what it explained, then what is new
}

// Verify compares two reports of the same checks: one in which the finding
// with key was made, one on fresh facts.
func Verify(before, after *Report, key string) Verification {
	f := before.Finding(key)
	if f == nil {
		return Verification{Verdict: Unverified}
	}
	v := Verification{Verdict: Fixed}
	for _, b := range append([]Finding{*f}, before.Effects(*f)...) {
		c := Change{Finding: b, Before: b.Claim}
		a := after.Finding(b.Key())
		switch {
		case a != nil:
			c.After = a.Claim
		case after.CannotTell(b.Check):
			c.After = "could not look again"
		case b.fromLogs():
			c.After, c.Gone = "clear: nothing of it in the logs since the change", true
		default:
			c.After, c.Gone = "clear", true
		}
		v.Changes = append(v.Changes, c)
	}
	switch {
	case after.Finding(key) != nil, f.fromLogs() && !allGone(v.Changes): // a silent log proves nothing while what it explained is there
		v.Verdict = Persists
	case after.CannotTell(f.Check):
		v.Verdict = Unverified
	}
	for _, a := range after.Findings {
		if before.Finding(a.Key()) == nil && a.Severity != Risk {
			v.Changes = append(v.Changes, Change{Finding: a, Before: "clear", After: a.Claim})
			if v.Verdict == Fixed {
				v.Verdict = Moved
			}
		}
	}
	return v
}

// Taken compares the facts before and after the undoing of a remedy.
func Taken(before, after *Report) Verification {
	v := Verification{Verdict: Undone}
	for _, a := range after.Findings {
		if before.Finding(a.Key()) == nil {
			v.Changes = append(v.Changes, Change{Finding: a, Before: "clear", After: a.Claim})
		}
	}
	return v
}

func allGone(changes []Change) bool {
	return !slices.ContainsFunc(changes, func(c Change) bool { return !c.Gone })
}

// LogOf begins the Fact of evidence that is a line of a log.
const LogOf = "log of "

// fromLogs reports whether f rests on what was logged.
func (f Finding) fromLogs() bool {
	return slices.ContainsFunc(f.Evidence, func(e Evidence) bool { return strings.HasPrefix(e.Fact, LogOf) })
}

// FromLogs reports whether the finding with a key rests on what was logged:
// that it is gone shows only in time.
func (r *Report) FromLogs(key string) bool {
	f := r.Finding(key)
	return f != nil && f.fromLogs()
}

// CannotTell reports whether the check gave no answer in r.
func (r *Report) CannotTell(check string) bool {
	for _, u := range r.Unknown {
		if u.Check == check {
			return true
		}
	}
	return false
}
