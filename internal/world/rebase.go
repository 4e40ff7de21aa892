package world

import (
	"regexp"
	"strings"
	"time"
)

var timestamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

// Rebase moves every time in the world's objects so that what was recorded at
// RecordedAt is so at now. A demo does this before it serves the world: ages
// that kubectl prints, and events that must be recent, are then as recorded.
func (w *World) Rebase(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by := now.Sub(w.at).Truncate(time.Second)
	w.at = w.at.Add(by)
	for _, list := range w.docs {
		for id, e := range list {
			list[id] = entry{encode(shift(decode(e.raw), by)), e.version}
		}
	}
}

// shift moves the times in v, a document or a part of one.
func shift(v any, by time.Duration) any {
	switch v := v.(type) {
	case Doc:
		for k := range v {
			v[k] = shift(v[k], by)
		}
	case []any:
		for i := range v {
			v[i] = shift(v[i], by)
		}
	case string:
		return shiftTime(v, by)
	}
	return v
}

// shiftTime keeps the number of decimals, on which Kubernetes insists.
func shiftTime(s string, by time.Duration) string {
	m := timestamp.FindStringSubmatch(s)
	if m == nil {
		return s
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return s // such as the 31st of February
	}
	layout := "2006-01-02T15:04:05"
	if n := len(m[1]); n > 0 {
		layout += "." + strings.Repeat("0", n-1)
	}
	return t.Add(by).Format(layout + "Z07:00")
}
