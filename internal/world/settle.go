package world

import (
	"encoding/json"
	"slices"

	"github.com/hopwise/hopwise/internal/facts"
)

// A touch is one object that was changed, with what it was before: nil when
// it is new.
type touch struct {
	kind facts.Kind
	id   string
	old  []byte
}

// rounds bounds how often controllers react to each other's changes.
const rounds = 16

// settle lets the controllers react to what changed, until nothing moves.
// They never look at what no change can have touched: a fault that a scenario
// recorded stays until its cause goes.
func (w *World) settle() {
	for range rounds {
		touched := w.touched
		w.touched = nil
		if len(touched) == 0 {
			return
		}
		w.settleAddons(touched)
		w.settleReloads(touched)
		w.settleProcesses(touched)
		w.settleRollouts(touched)
		w.settleDeployments(touched)
		w.settleAddresses(touched)
		w.settleEndpoints(touched)
		w.settleStatus(touched)
		w.settleBudgets(touched)
		w.settleTargetGroups(touched)
		w.settleTargets(touched)
		w.settleHealth(touched)
	}
	w.touched = nil
}

// was is the object before it was touched, nil when it is new.
func (t touch) was() Doc {
	if t.old == nil {
		return nil
	}
	return decode(t.old)
}

// is is the object now, nil when it is gone.
func (w *World) is(t touch) Doc {
	e, ok := w.docs[t.kind][t.id]
	if !ok {
		return nil
	}
	return decode(e.raw)
}

// of returns the touches of objects of some kinds.
func of(touched []touch, kinds ...facts.Kind) []touch {
	return slices.DeleteFunc(slices.Clone(touched), func(t touch) bool { return !slices.Contains(kinds, t.kind) })
}

// at returns the part of d that a path of fields leads to, or nil.
func at(d Doc, path ...string) any {
	var v any = d
	for _, p := range path {
		m, _ := v.(Doc)
		if m == nil {
			return nil
		}
		v = m[p]
	}
	return v
}

// text is the string at a path, or "".
func text(d Doc, path ...string) string {
	s, _ := at(d, path...).(string)
	return s
}

// number is the number at a path, or or.
func number(d Doc, or int, path ...string) int {
	switch n := at(d, path...).(type) {
	case float64:
		return int(n)
	case int:
		return n
	case json.Number:
		i, _ := n.Int64()
		return int(i)
	}
	return or
}

// list are the objects in the list at a path.
func list(d Doc, path ...string) []Doc {
	items, _ := at(d, path...).([]any)
	var out []Doc
	for _, i := range items {
		if m, ok := i.(Doc); ok {
			out = append(out, m)
		}
	}
	return out
}

// labels are the strings in the object at a path.
func labels(d Doc, path ...string) map[string]string {
	out := map[string]string{}
	m, _ := at(d, path...).(Doc)
	for k, v := range m {
		out[k], _ = v.(string)
	}
	return out
}

// within reports whether all that want has is in l.
func within(l, want map[string]string) bool {
	for k, v := range want {
		if got, ok := l[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// all returns the objects of a kind, by id.
func (w *World) all(kind facts.Kind) []Doc {
	ids := make([]string, 0, len(w.docs[kind]))
	for id := range w.docs[kind] {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var out []Doc
	for _, id := range ids {
		out = append(out, decode(w.docs[kind][id].raw))
	}
	return out
}

// write stores d in the place of the object with its id, if it differs.
func (w *World) write(kind facts.Kind, d Doc) {
	id, err := ID(kind, d)
	if err != nil {
		return
	}
	if kind.IsKube() {
		delete(meta(d), "resourceVersion")
	}
	event := "MODIFIED"
	if e, ok := w.docs[kind][id]; !ok {
		event = "ADDED"
	} else if string(e.raw) == string(encode(d)) {
		return
	}
	if err := w.put(kind, id, d, event); err != nil {
		panic("world: controller: " + err.Error()) // a bug: the id is d's own
	}
}

// condition sets one condition of d's status.
func condition(d Doc, kind string, ok bool, reason, message, now string) {
	status, _ := d["status"].(Doc)
	if status == nil {
		status = Doc{}
		d["status"] = status
	}
	value := map[bool]string{true: "True", false: "False"}[ok]
	c := Doc{"type": kind, "status": value, "lastTransitionTime": now}
	if reason != "" {
		c["reason"], c["message"] = reason, message
	}
	conditions := []any{}
	found := false
	for _, old := range list(status, "conditions") {
		if text(old, "type") != kind {
			conditions = append(conditions, old)
			continue
		}
		found = true
		if text(old, "status") == value {
			conditions = append(conditions, old)
		} else {
			conditions = append(conditions, c)
		}
	}
	if !found {
		conditions = append(conditions, c)
	}
	status["conditions"] = conditions
}

// holds reports whether a condition of d is True.
func holds(d Doc, kind string) bool {
	return slices.ContainsFunc(list(d, "status", "conditions"), func(c Doc) bool { return text(c, "type") == kind && text(c, "status") == "True" })
}

func (w *World) stamp() string { return w.now().UTC().Format("2006-01-02T15:04:05Z") }
