package facts

import (
	"testing"
	"time"
)

func TestMemo(t *testing.T) {
	made := 0
	count := func(l []PodLog) int { made++; return len(l[0].Text) }
	log := "2026-01-15T08:00:00Z old\n"
	s := (&Snapshot{Have: map[Kind]any{PodLogs.kind: []PodLog{{Text: log}}}}).Remembering()
	ask := func(s *Snapshot) int {
		v := s.View([]Need{PodLogs})
		n := Memo(v, PodLogs, "length", count)
		if !v.Read()[PodLogs.kind] {
			t.Error("what is remembered counts as not read")
		}
		return n
	}
	other := *s
	if ask(s) != len(log) || ask(&other) != len(log) || made != 1 {
		t.Errorf("made %d times, want once for a snapshot and its copy", made)
	}
	if later := s.LogsSince(time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)); ask(later) != 0 || made != 2 {
		t.Error("a snapshot with other facts got the memory of this one")
	}
	if plain := (&Snapshot{Have: s.Have}); ask(plain) != len(log) || made != 3 {
		t.Error("without a memory it is made each time")
	}
}
