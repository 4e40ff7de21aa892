package facts

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLogsSince(t *testing.T) {
	at := time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)
	s := &Snapshot{Have: map[Kind]any{PodLogs.kind: []PodLog{
		{Container: "a", Text: "2026-01-15T08:59:59Z old\n  and its second line\n2026-01-15T09:00:00Z new\nits second line\n", Previous: "2026-01-15T08:00:00Z crash\n"},
		{Container: "b", Text: "no time at all\n"},
	}}}
	want := []PodLog{{Container: "a", Text: "2026-01-15T09:00:00Z new\nits second line\n"}, {Container: "b", Text: "no time at all\n"}}
	if diff := cmp.Diff(want, s.LogsSince(at).Have[PodLogs.kind]); diff != "" {
		t.Error(diff)
	}
	if s.Have[PodLogs.kind].([]PodLog)[0].Previous == "" {
		t.Error("the snapshot itself was changed")
	}
	if none := new(Snapshot); none.LogsSince(at) != none {
		t.Error("a snapshot without logs is not itself")
	}
}
