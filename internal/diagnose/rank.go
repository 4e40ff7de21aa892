package diagnose

import (
	"cmp"
	"slices"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/resolve"
)

// rank orders the findings of results: a cause stands before what it
// explains, and its consequences follow it at once. Among causes those come
// first that are about an object in broken, then those that bear on what was
// asked; then severity, then the suspects of
// the symptom, then how much they explain, then name.
func rank(results []Result, in intents.Intent, broken []facts.Ref) []Finding {
	all := []Finding{}
	causedBy := map[string][]string{}
	for _, res := range results {
		all = append(all, res.Findings...)
		causedBy[res.Check.ID] = res.Check.CausedBy
	}
	effects := make([][]int, len(all)) // by cause
	causes := make([]int, len(all))    // how many causes each has
	for e := range all {
		for c := range all {
			if e != c && slices.Contains(causedBy[all[e].Check], all[c].Check) && shareObject(all[c], all[e]) {
				effects[c] = append(effects[c], e)
				causes[e]++
				if !slices.Contains(all[e].CausedBy, all[c].Check) {
					all[e].CausedBy = append(all[e].CausedBy, all[c].Check)
				}
			}
		}
	}
	trees := []tree{}
	for i := range all {
		if causes[i] == 0 {
			trees = append(trees, newTree(i, all, effects, in, broken))
		}
	}
	slices.SortStableFunc(trees, func(a, b tree) int {
		return cmp.Or(
			cmp.Compare(a.relevance, b.relevance),
			cmp.Compare(a.severity, b.severity),
			cmp.Compare(a.suspicion, b.suspicion),
			cmp.Compare(len(b.order), len(a.order)),
			cmp.Compare(all[a.order[0]].Key(), all[b.order[0]].Key()),
		)
	})
	ranked := make([]Finding, 0, len(all))
	seen := make([]bool, len(all))
	add := func(i int) {
		if !seen[i] {
			seen[i] = true
			ranked = append(ranked, all[i])
		}
	}
	for _, t := range trees {
		for _, i := range t.order {
			add(i)
		}
	}
	for i := range all { // a ring of causes has no first: keep what is left
		add(i)
	}
	return ranked
}

// A tree is one root cause with what it explains.
type tree struct {
	order     []int // findings, causes first
	severity  Severity
	suspicion int // place among the suspects of the symptom asked about, of its likeliest finding
	relevance int // -1: of the hop that is broken, 0: names what was asked about, 1: in the layer asked about, 2: neither
}

func newTree(root int, all []Finding, effects [][]int, in intents.Intent, broken []facts.Ref) tree {
	t := tree{severity: all[root].Severity, relevance: 2, suspicion: suspicion("", in.Symptom)}
	depth := map[int]int{root: 0}
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		i := queue[0]
		for _, e := range effects[i] {
			if d, ok := depth[e]; (!ok || d < depth[i]+1) && depth[i] < len(all) {
				depth[e] = depth[i] + 1 // the longest way, so that each stands behind all its causes
				queue = append(queue, e)
			}
		}
	}
	for i := range depth {
		t.order = append(t.order, i)
		t.severity = min(t.severity, all[i].Severity)
		t.suspicion = min(t.suspicion, suspicion(all[i].Check, in.Symptom))
		t.relevance = min(t.relevance, relevance(all[i], in, broken))
	}
	slices.SortFunc(t.order, func(a, b int) int {
		return cmp.Or(cmp.Compare(depth[a], depth[b]), cmp.Compare(all[a].Severity, all[b].Severity),
			layerOrder(all[a].Layer)-layerOrder(all[b].Layer), cmp.Compare(all[a].Key(), all[b].Key()))
	})
	return t
}

// relevance says how f bears on what was asked. A mere risk never pushes
// itself before an outage by being in the right layer.
func relevance(f Finding, in intents.Intent, broken []facts.Ref) int {
	objects := f.objects()
	switch {
	case f.Severity != Risk && slices.ContainsFunc(broken, func(r facts.Ref) bool { return objects[r] }):
		return -1
	case f.Severity != Risk && names(f, in.Target):
		return 0
	case f.Severity != Risk && slices.Contains(in.Layers, f.Layer):
		return 1
	default:
		return 2
	}
}

// names reports whether f is about what t names.
func names(f Finding, t facts.Target) bool {
	if t.IsZero() {
		return false
	}
	for ref := range f.objects() {
		if t.Matches(ref) {
			return true
		}
	}
	return false
}

func shareObject(a, b Finding) bool {
	in := a.objects()
	for ref := range b.objects() {
		if in[ref] {
			return true
		}
	}
	return false
}

func layerOrder(l facts.Layer) int { return slices.Index(facts.Layers, l) }

// Closure returns the checks of layer and all checks that could explain what
// those find.
func Closure(checks []*Check, layer facts.Layer) []*Check {
	want := map[string]bool{}
	for _, c := range checks {
		want[c.ID] = c.Layer() == layer
	}
	for grown := true; grown; {
		grown = false
		for _, c := range checks {
			for _, id := range c.CausedBy {
				if want[c.ID] && !want[id] {
					want[id], grown = true, true
				}
			}
		}
	}
	var out []*Check
	for _, c := range checks {
		if want[c.ID] {
			out = append(out, c)
		}
	}
	return out
}

// KindsFor are the kinds that checks, and the answer to in, read.
func KindsFor(checks []*Check, in intents.Intent) []facts.Kind {
	kinds := Kinds(checks)
	if !in.From.IsZero() {
		for _, n := range reach.Needs {
			kinds = append(kinds, n.Kind())
		}
	}
	if in.Target.Lookup != "" {
		for _, n := range slices.Concat(resolve.Needs, resolve.Wants) {
			kinds = append(kinds, n.Kind())
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// Kinds are the kinds that checks read.
func Kinds(checks []*Check) []facts.Kind {
	var kinds []facts.Kind
	for _, c := range checks {
		for _, needs := range [][]facts.Need{c.Needs, c.Wants} {
			for _, n := range needs {
				kinds = append(kinds, n.Kind())
			}
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
