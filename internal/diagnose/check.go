// Package diagnose finds what is wrong with a cluster's network from facts
// about it. It reads no API, knows no clock and changes nothing: the same
// facts always give the same report.
package diagnose

import (
	"fmt"
	"strings"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// A Check recognises one failure mode.
type Check struct {
	ID       string       // layer/failure-mode: names the fault, never reused
	Title    string       // what is broken, in an operator's words
	Doc      string       // mechanism, how it is recognised, what looks alike, how it is fixed
	Needs    []facts.Need // without any of these the answer is Unknown
	Wants    []facts.Need // these only make the answer richer
	CausedBy []string     // checks that explain this one when they fire on the same objects
	Sources  []string     // where the mechanism is documented
	Run      func(*facts.View) []Finding
}

// Layer is the part of the network that c looks at.
func (c *Check) Layer() facts.Layer {
	l, _, _ := strings.Cut(c.ID, "/")
	return facts.Layer(l)
}

// Severity is the effect on traffic, worst first.
type Severity int

// The severities.
const (
	Outage   Severity = iota // something that is needed does not work at all
	Degraded                 // it works in part, or for some
	Risk                     // it works now, and will not when one more thing happens
)

var severityNames = [...]string{"outage", "degraded", "risk"}

func (s Severity) String() string { return severityNames[s] }

// MarshalText writes the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a severity's name.
func (s *Severity) UnmarshalText(b []byte) error {
	for i, n := range severityNames {
		if n == string(b) {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("severity %q is none of outage, degraded, risk", b)
}

// A Finding is a check's claim about one object. Check, Layer, Title and
// CausedBy are filled in by Run.
type Finding struct {
	Check    string          `json:"id"`
	Layer    facts.Layer     `json:"layer"`
	Severity Severity        `json:"severity"`
	Title    string          `json:"title"`
	Claim    string          `json:"claim"` // one sentence that names the objects
	Subject  facts.Ref       `json:"subject"`
	Affects  []facts.Ref     `json:"affects,omitempty"` // other objects that the fault is about: what it breaks, what it stands on
	CausedBy []string        `json:"caused_by"`         // ids of the findings of this report that explain it
	Evidence []Evidence      `json:"evidence"`          // never empty
	Remedies []remedy.Remedy `json:"remedies"`
}

// Key identifies f within a report, and across two reports of one cluster.
func (f Finding) Key() string { return f.Check + " " + f.Subject.String() }

// objects are all that f is about.
func (f Finding) objects() map[facts.Ref]bool {
	m := map[facts.Ref]bool{f.Subject: true}
	for _, r := range f.Affects {
		m[r] = true
	}
	return m
}

// Evidence is what a fact says, what a working network would say, and what a
// person would type to see the same.
type Evidence struct {
	Fact    string `json:"fact"` // the object, as kind/id, or a field of it
	Got     string `json:"got"`
	Want    string `json:"want"`
	Command string `json:"command"`
}

// An Outcome is a check's answer.
type Outcome int

// The outcomes. Unknown comes first: an answer that nobody gave is not Clear.
const (
	Unknown Outcome = iota
	Clear
	Found
)

func (o Outcome) String() string { return [...]string{"unknown", "clear", "found"}[o] }

// A Result is one check's answer.
type Result struct {
	Check    *Check
	Outcome  Outcome
	Findings []Finding
	Missing  []facts.Gap         // why it is Unknown
	Read     map[facts.Kind]bool // the kinds that it read
	Panic    any                 // a bug in the check; its Outcome is Unknown
}

// Evaluate applies checks to s, in order. A check that panics is Unknown: one
// bug must not cost the other answers.
func Evaluate(checks []*Check, s *facts.Snapshot) []Result {
	s = s.Remembering()
	results := make([]Result, 0, len(checks))
	for _, c := range checks {
		results = append(results, evaluate(c, s))
	}
	return results
}

func evaluate(c *Check, s *facts.Snapshot) (res Result) {
	res = Result{Check: c, Missing: s.Missing(c.Needs)}
	if len(res.Missing) > 0 {
		return res
	}
	v := s.View(c.Needs, c.Wants)
	defer func() {
		res.Read = v.Read()
		if p := recover(); p != nil {
			res.Outcome, res.Findings, res.Panic = Unknown, nil, p
		}
	}()
	res.Findings = c.Run(v)
	res.Outcome = Clear
	if len(res.Findings) > 0 {
		res.Outcome = Found
	}
	for i := range res.Findings {
		f := &res.Findings[i]
		f.Check, f.Layer, f.Title = c.ID, c.Layer(), c.Title
		if f.CausedBy == nil {
			f.CausedBy = []string{}
		}
		if f.Remedies == nil {
			f.Remedies = []remedy.Remedy{}
		}
	}
	return res
}
