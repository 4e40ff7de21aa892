package facts

import (
	"maps"
	"strings"
	"time"
)

// LogsSince returns s with what was logged before t left out, and all that
// instances of containers wrote that ended: after a change, lines of before
// it say nothing. Lines without a time are kept.
func (s *Snapshot) LogsSince(t time.Time) *Snapshot {
	logs, ok := s.Have[PodLogs.kind].([]PodLog)
	if !ok {
		return s
	}
	fresh := make([]PodLog, len(logs))
	for i, l := range logs {
		l.Text, l.Previous = linesSince(l.Text, t), linesSince(l.Previous, t)
		fresh[i] = l
	}
	out := *s
	out.Have = maps.Clone(s.Have)
	out.Have[PodLogs.kind] = fresh
	return &out
}

func linesSince(text string, t time.Time) string {
	var b strings.Builder
	keep := true
	for line := range strings.Lines(text) {
		stamp, _, _ := strings.Cut(line, " ")
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
			keep = !at.Before(t)
		}
		if keep {
			b.WriteString(line)
		}
	}
	return b.String()
}
