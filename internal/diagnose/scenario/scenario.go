// Package scenario runs checks on the recorded clusters of package world and
// holds them to the house rules. It is test support.
package scenario

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/golden"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/world"
)

// tally is what all scenarios together say of the checks.
type tally struct {
	fired, clear map[string]bool
	read         map[string]map[facts.Kind]bool
	matrix       []string
	score        map[facts.Layer]*score
}

// A score counts how often the diagnosis was right on the scenarios of a
// layer: those whose first wanted finding is in it.
type score struct{ scenarios, cause, exact int }

// Run runs every check on every scenario. The findings must be those of the
// scenario's "want" lines, in their order, which -update does not touch: no
// finding comes or goes without a hand on it. Then the house rules: each check
// fires somewhere and is clear somewhere, reads what it declares, and is
// Unknown as soon as one of its needs is missing.
func Run(t *testing.T, checks []*diagnose.Check) {
	sum := tally{map[string]bool{}, map[string]bool{}, map[string]map[facts.Kind]bool{}, nil, map[facts.Layer]*score{}}
	for _, name := range world.Names() {
		t.Run(name, func(t *testing.T) {
			w, err := world.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			s, err := w.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			in := intents.Parse(w.Ask, intents.Options{Mention: true})
			s.Target = in.Target
			r := diagnose.Run(checks, s, w.Ask, in)
			sum.add(t, name, diagnose.Evaluate(checks, s))
			wanted(t, w, r)
			sum.count(w, r)
			golden.Check(t, filepath.Join("testdata", "reports", name+".txtar"), golden.Section{Name: "report", Data: Text(r)})
			eachNeedMatters(t, checks, s)
		})
	}
	houseRules(t, checks, sum)
	sum.log(t)
	golden.Check(t, filepath.Join("testdata", "matrix.txtar"), golden.Section{Name: "matrix", Data: matrix(checks, sum)})
}

func (sum *tally) add(t *testing.T, name string, results []diagnose.Result) {
	row := ""
	for _, res := range results {
		id := res.Check.ID
		if res.Panic != nil {
			t.Errorf("%s panics: %v", id, res.Panic)
		}
		switch res.Outcome {
		case diagnose.Found:
			sum.fired[id], row = true, row+"F"
		case diagnose.Clear:
			sum.clear[id], row = true, row+"."
		default:
			row += "?"
		}
		if sum.read[id] == nil {
			sum.read[id] = map[facts.Kind]bool{}
		}
		maps.Copy(sum.read[id], res.Read)
	}
	sum.matrix = append(sum.matrix, row+"  "+name)
}

// healthy is where scenarios are counted that want no finding.
const healthy facts.Layer = "healthy"

func (sum *tally) count(w *world.World, r *diagnose.Report) {
	layer := healthy
	if len(w.Want) > 0 {
		layer = facts.Layer(strings.SplitN(w.Want[0].Check, "/", 2)[0])
	}
	sc := sum.score[layer]
	if sc == nil {
		sc = new(score)
		sum.score[layer] = sc
	}
	sc.scenarios++
	cause := len(w.Want) == len(r.Findings) && len(w.Want) == 0 ||
		len(w.Want) > 0 && len(r.Findings) > 0 && r.Findings[0].Key() == w.Want[0].Check+" "+w.Want[0].Subject
	if cause {
		sc.cause++
	}
	if cause && len(w.Want) == len(r.Findings) {
		sc.exact++
	}
}

// log prints the score: make accuracy shows it.
func (sum *tally) log(t *testing.T) {
	for _, l := range append(slices.Clone(facts.Layers), healthy) {
		if sc := sum.score[l]; sc != nil && l == healthy {
			t.Logf("accuracy %-8s %d of %d without a false alarm", l, sc.cause, sc.scenarios)
		} else if sc != nil {
			t.Logf("accuracy %-8s %d of %d with the right cause first, %d with exactly the right findings", l, sc.cause, sc.scenarios, sc.exact)
		}
	}
}

func wanted(t *testing.T, w *world.World, r *diagnose.Report) {
	t.Helper()
	var want, got []string
	for _, f := range w.Want {
		want = append(want, f.Check+" "+f.Subject)
	}
	for _, f := range r.Findings {
		got = append(got, f.Key())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings of %q (-want +got):\n%s", w.Ask, diff)
	}
}

func eachNeedMatters(t *testing.T, checks []*diagnose.Check, s *facts.Snapshot) {
	for _, c := range checks {
		for _, n := range c.Needs {
			res := diagnose.Evaluate([]*diagnose.Check{c}, s.Without(n.Kind()))[0]
			if res.Outcome != diagnose.Unknown {
				t.Errorf("%s without %s: %v, want unknown", c.ID, n.Kind(), res.Outcome)
			}
		}
		for _, n := range c.Wants {
			if res := diagnose.Evaluate([]*diagnose.Check{c}, s.Without(n.Kind()))[0]; res.Panic != nil {
				t.Errorf("%s without %s, which it only wants: panics: %v", c.ID, n.Kind(), res.Panic)
			}
		}
	}
}

func houseRules(t *testing.T, checks []*diagnose.Check, sum tally) {
	for _, c := range checks {
		if !sum.fired[c.ID] {
			t.Errorf("%s: no scenario in which it fires", c.ID)
		}
		if !sum.clear[c.ID] {
			t.Errorf("%s: no scenario in which it is clear", c.ID)
		}
		for _, n := range slices.Concat(c.Needs, c.Wants) {
			if !sum.read[c.ID][n.Kind()] {
				t.Errorf("%s: declares %s and never reads it", c.ID, n.Kind())
			}
		}
	}
}

var idForm = regexp.MustCompile(`^(l3|l4|l7|dns)/[a-z0-9]+(-[a-z0-9]+)*$`)

// Catalogue checks what checks say about themselves.
func Catalogue(t *testing.T, checks []*diagnose.Check) {
	ids := map[string]bool{}
	for _, c := range checks {
		if !idForm.MatchString(c.ID) {
			t.Errorf("%s: an id is layer/words-with-dashes", c.ID)
		}
		if ids[c.ID] {
			t.Errorf("%s: two checks have this id", c.ID)
		}
		ids[c.ID] = true
		if c.Title == "" || c.Doc == "" || len(c.Sources) == 0 || len(c.Needs) == 0 {
			t.Errorf("%s: a check has a Title, a Doc, Sources and Needs", c.ID)
		}
	}
	for _, c := range checks {
		for _, id := range c.CausedBy {
			if !ids[id] {
				t.Errorf("%s: caused by %s, which is no check", c.ID, id)
			}
			if id == c.ID {
				t.Errorf("%s: caused by itself", c.ID)
			}
		}
	}
}

func matrix(checks []*diagnose.Check, sum tally) string {
	var b strings.Builder
	for i, c := range checks {
		fmt.Fprintf(&b, "%s%s\n", strings.Repeat("|", i), "+- "+c.ID)
	}
	slices.Sort(sum.matrix)
	for _, name := range world.Names() {
		for _, row := range sum.matrix {
			if strings.HasSuffix(row, "  "+name) {
				fmt.Fprintln(&b, row)
			}
		}
	}
	return b.String()
}

// clearCount is how many checks are clear, which every new check changes.
var clearCount = regexp.MustCompile(`(all|looked at:) \d+ checks`)

// Text gives a report as the golden files hold it.
func Text(r *diagnose.Report) string {
	var b strings.Builder
	fmt.Fprintln(&b, clearCount.ReplaceAllString(r.Headline(), "$1 checks"))
	for _, l := range r.Layers {
		fmt.Fprintf(&b, "%s %s: %d found, %d unknown\n", l.Layer, l.Verdict, l.Found, l.Unknown)
	}
	if r.Resolution != nil {
		fmt.Fprintf(&b, "\nname %s\n", r.Resolution.Text)
		for _, h := range r.Resolution.Hops {
			fmt.Fprintf(&b, "\t%s, %s: %s\n", h.Verdict, h.Hop, h.Text)
		}
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n%s %s %s\n\t%s\n", f.Check, f.Severity, f.Subject, f.Claim)
		if len(f.CausedBy) > 0 {
			fmt.Fprintf(&b, "\tcaused by %s\n", strings.Join(f.CausedBy, ", "))
		}
		for _, e := range f.Evidence {
			fmt.Fprintf(&b, "\t%s: got %s, want %s\n\t\t%s\n", e.Fact, e.Got, e.Want, e.Command)
		}
		for _, m := range f.Remedies {
			fmt.Fprintf(&b, "\tfix (%s): %s\n", m.Risk, m.Title)
			for _, c := range m.Commands() {
				fmt.Fprintf(&b, "\t\t%s\n", c)
			}
			for _, u := range m.Undo() {
				fmt.Fprintf(&b, "\t\tundo: %s\n", u.Command())
			}
		}
	}
	for _, u := range r.Unexplained {
		fmt.Fprintf(&b, "\nunexplained %s\n", u)
	}
	if len(r.Unknown) > 0 {
		fmt.Fprintln(&b)
	}
	for _, u := range r.Unknown {
		fmt.Fprintf(&b, "unknown %s: no %v (%s) %s\n", u.Check, u.Missing, u.Reason, u.Permission)
	}
	return b.String()
}
