// Package golden compares what a test made with what is kept in a txtar file
// beside it. It owns the -update flag: `go test ./internal/... -update`
// rewrites the files, and the difference is then reviewed like code.
package golden

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite golden files with what the tests made")

// Update reports whether the test was started with -update.
func Update() bool { return *update }

// A Section is one part of a txtar file.
type Section struct {
	Name string
	Data string
}

// Read returns the sections of the txtar file at path, by name. A file that
// does not exist is an error of the test.
func Read(t testing.TB, path string) map[string]string {
	t.Helper()
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, f := range a.Files {
		sections[f.Name] = string(f.Data)
	}
	return sections
}

// Check compares got with the sections of the same names in the txtar file at
// path. With -update it writes them there instead, and leaves the file's
// comment and its other sections alone: those are the test's input and what
// a person wrote.
func Check(t testing.TB, path string, got ...Section) {
	t.Helper()
	a, err := txtar.ParseFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		a = &txtar.Archive{}
	} else if err != nil {
		t.Fatal(err)
	}
	if *update {
		write(t, path, a, got)
		return
	}
	for _, g := range got {
		f := find(a, g.Name)
		if f == nil {
			t.Errorf("%s has no section %q; run the test with -update and review what it writes", path, g.Name)
			continue
		}
		if diff := cmp.Diff(string(f.Data), ended(g.Data)); diff != "" {
			t.Errorf("%s, section %s (-file +made):\n%s", path, g.Name, diff)
		}
	}
}

func write(t testing.TB, path string, a *txtar.Archive, got []Section) {
	t.Helper()
	for _, g := range got {
		if f := find(a, g.Name); f != nil {
			f.Data = []byte(ended(g.Data))
		} else {
			a.Files = append(a.Files, txtar.File{Name: g.Name, Data: []byte(ended(g.Data))})
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	b := txtar.Format(a)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func find(a *txtar.Archive, name string) *txtar.File {
	for i := range a.Files {
		if a.Files[i].Name == name {
			return &a.Files[i]
		}
	}
	return nil
}

// ended gives s the last newline that txtar adds to every section.
func ended(s string) string {
	if s == "" || s[len(s)-1] == '\n' {
		return s
	}
	return s + "\n"
}
