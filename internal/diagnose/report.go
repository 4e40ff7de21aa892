package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/resolve"
)

// Schema names the form of a Report's JSON. Fields are only ever added to it.
const Schema = "hopwise.report/v1"

// A Report is the answer to one question: what was found, causes first, what
// was ruled out and what could not be looked at. Its JSON is the contract of
// docs/report.schema.json.
type Report struct {
	Schema   string         `json:"schema"`
	Cluster  string         `json:"cluster"`
	At       time.Time      `json:"at"`
	Ask      string         `json:"ask"`
	Intent   intents.Intent `json:"intent"`
	Layers   []LayerVerdict `json:"layers"`
	Cause    string         `json:"cause"`    // id of the first finding, "" when there is none
	Findings []Finding      `json:"findings"` // causes before what they explain
	RuledOut []RuledOut     `json:"ruled_out"`
	Unknown  []UnknownCheck `json:"unknown"`
	Timing   Timing         `json:"timing"`
	// Unexplained is what Kubernetes tells of that no finding accounts for.
	Unexplained []Unexplained `json:"unexplained,omitempty"`
	Path        *reach.Path   `json:"path,omitempty"` // when one thing was asked to reach another
	// Resolution is the way of the name that was said not to resolve.
	Resolution *resolve.Path `json:"resolution,omitempty"`
}

// A LayerVerdict is one row of the report's board.
type LayerVerdict struct {
	Layer   facts.Layer `json:"layer"`
	Verdict string      `json:"verdict"` // pass, fail, unknown
	Clear   int         `json:"clear"`   // checks by answer
	Found   int         `json:"found"`
	Unknown int         `json:"unknown"`
}

// RuledOut is a check that looked and found nothing.
type RuledOut struct {
	Check string `json:"check"`
	Title string `json:"title"`
}

// An UnknownCheck is a check that could not look, and what it would need.
type UnknownCheck struct {
	Check      string       `json:"check"`
	Missing    []facts.Kind `json:"missing"`
	Reason     string       `json:"reason"`
	Permission string       `json:"permission"`
}

// Timing says what the report cost.
type Timing struct {
	TotalMS   int64 `json:"total_ms"`
	CollectMS int64 `json:"collect_ms"`
	Calls     int   `json:"calls"` // API calls made, pages and retries included
}

// The verdicts of a layer.
const (
	Pass   = "pass"
	Fail   = "fail"
	NoView = "unknown"
)

// Run answers ask with checks on s.
func Run(checks []*Check, s *facts.Snapshot, ask string, in intents.Intent) *Report {
	results := Evaluate(checks, s)
	r := &Report{
		Schema: Schema, Cluster: s.Cluster, At: s.At, Ask: ask, Intent: in,
		Layers: board(results), RuledOut: []RuledOut{}, Unknown: []UnknownCheck{}, Path: path(s, in), Resolution: resolution(s, in),
	}
	r.Findings = rank(results, in, r.broken())
	r.Unexplained = unexplained(s, r.Findings)
	if r.Intent.Layers == nil {
		r.Intent.Layers = []facts.Layer{}
	}
	if len(r.Findings) > 0 {
		r.Cause = r.Findings[0].Check
	}
	for _, res := range results {
		switch res.Outcome {
		case Clear:
			r.RuledOut = append(r.RuledOut, RuledOut{res.Check.ID, res.Check.Title})
		case Unknown:
			r.Unknown = append(r.Unknown, unknown(res))
		}
	}
	slices.SortStableFunc(r.RuledOut, func(a, b RuledOut) int {
		return suspicion(a.Check, in.Symptom) - suspicion(b.Check, in.Symptom)
	})
	return r
}

// path follows the connection that was asked about, nil when none was.
func path(s *facts.Snapshot, in intents.Intent) *reach.Path {
	if in.From.IsZero() || in.Target.Lookup != "" {
		return nil
	}
	p := trace(s, in)
	if p.Verdict == reach.CannotTell {
		p.Missing = s.Missing(reach.Needs)
	}
	return &p
}

// trace follows the connection; a bug on the way must not cost the findings.
func trace(s *facts.Snapshot, in intents.Intent) (p reach.Path) {
	defer func() {
		if recover() != nil {
			p = reach.Path{From: reach.Label(in.From), To: reach.Label(in.Target), Protocol: "tcp", Port: in.Target.Port, Verdict: reach.CannotTell,
				Text: "internal error while the path was followed; please report it with `bot capture`", Hops: []reach.Step{}}
		}
	}()
	return reach.FromView(s.View(reach.Needs)).Trace(in.From, in.Target, in.Protocol, in.Target.Port)
}

// broken are the objects of the hop at which what was asked about ends.
func (r *Report) broken() []facts.Ref {
	switch {
	case r.Path != nil:
		return r.Path.Objects()
	case r.Resolution != nil && r.Resolution.Fails():
		return r.Resolution.Answer.Objects
	}
	return nil
}

func unknown(res Result) UnknownCheck {
	u := UnknownCheck{Check: res.Check.ID, Missing: []facts.Kind{}}
	if res.Panic != nil {
		u.Reason = "internal error in the check: please report it"
		return u
	}
	var reasons, permissions []string
	for _, g := range res.Missing {
		u.Missing = append(u.Missing, g.Kind)
		reason := string(g.Reason)
		if g.Detail != "" {
			reason += ": " + g.Detail
		}
		if !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
		if g.Reason == facts.Denied && !slices.Contains(permissions, g.Permission) {
			permissions = append(permissions, g.Permission)
		}
	}
	u.Reason, u.Permission = strings.Join(reasons, "; "), strings.Join(permissions, ", ")
	return u
}

// board sums the results up by layer. A layer fails when something was found
// in it, and passes only when every check of it could look.
func board(results []Result) []LayerVerdict {
	var rows []LayerVerdict
	for _, l := range facts.Layers {
		row := LayerVerdict{Layer: l, Verdict: NoView}
		for _, res := range results {
			if res.Check.Layer() != l {
				continue
			}
			switch res.Outcome {
			case Clear:
				row.Clear++
			case Found:
				row.Found++
			case Unknown:
				row.Unknown++
			}
		}
		switch {
		case row.Found > 0:
			row.Verdict = Fail
		case row.Unknown == 0 && row.Clear > 0:
			row.Verdict = Pass
		}
		rows = append(rows, row)
	}
	return rows
}

// Finding returns the finding with a key, or nil.
func (r *Report) Finding(key string) *Finding {
	for i := range r.Findings {
		if r.Findings[i].Key() == key {
			return &r.Findings[i]
		}
	}
	return nil
}

// Headline says the report in one sentence: the answer where a path was asked
// about or a name that fails, else what was found.
func (r *Report) Headline() string {
	switch {
	case r.Path != nil:
		return r.Path.Text
	case r.Resolution != nil && (r.Resolution.Fails() || len(r.Findings) == 0):
		return r.Resolution.Text
	}
	return r.Found()
}

// Found says in one sentence what the checks found.
func (r *Report) Found() string {
	switch {
	case len(r.Findings) > 0:
		return r.Findings[0].Claim
	case len(r.Unexplained) > 0:
		return fmt.Sprintf("No check explains what is seen: %s", r.Unexplained[0])
	case len(r.Unknown) == 0:
		return fmt.Sprintf("Nothing found: all %d checks are clear", len(r.RuledOut))
	case len(r.RuledOut) == 0:
		return "Could not look: none of the checks had the facts it needs"
	default:
		return fmt.Sprintf("Nothing found in what could be looked at: %d checks clear, %d could not look", len(r.RuledOut), len(r.Unknown))
	}
}

// Effects are the findings that f explains, directly or through others, in
// the order of the report.
func (r *Report) Effects(f Finding) []Finding {
	var out []Finding
	in := map[string]bool{f.Key(): true}
	for _, g := range r.Findings {
		for _, c := range r.Findings {
			if in[c.Key()] && slices.Contains(g.CausedBy, c.Check) && shareObject(c, g) && !in[g.Key()] {
				in[g.Key()] = true
				out = append(out, g)
			}
		}
	}
	return out
}
