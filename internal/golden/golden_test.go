package golden

import (
	"path/filepath"
	"testing"
)

// recorder is a testing.TB that notes failures instead of failing.
type recorder struct {
	testing.TB
	errors int
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.errors++ }

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "case.txtar")
	set := func(b bool) { *update = b }
	defer set(*update)

	set(true)
	Check(t, path, Section{"in", "kept\n"}, Section{"out", "one"})
	Check(t, path, Section{"out", "two"})
	set(false)
	if got := Read(t, path); got["in"] != "kept\n" || got["out"] != "two\n" {
		t.Errorf("after two updates: %q", got)
	}
	Check(t, path, Section{"out", "two"})

	r := &recorder{TB: t}
	Check(r, path, Section{"out", "three"})
	Check(r, path, Section{"missing", "x"})
	if r.errors != 2 {
		t.Errorf("%d errors for a difference and a missing section, want 2", r.errors)
	}
}
