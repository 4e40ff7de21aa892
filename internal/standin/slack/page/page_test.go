package page

import (
	"io/fs"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestHandlerServesThePage(t *testing.T) {
	tests := []struct{ path, contentType, holds string }{
		{"/", "text/html", `src="app.js"`},
		{"/app.js", "text/javascript", "import"},
		{"/style.css", "text/css", ":root"},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, httptest.NewRequest("GET", tt.path, nil))
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), tt.contentType) || !strings.Contains(w.Body.String(), tt.holds) {
			t.Errorf("GET %s: %d %q, want 200 %s with %q in it", tt.path, w.Code, w.Header().Get("Content-Type"), tt.contentType, tt.holds)
		}
		if w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("GET %s: no content security policy", tt.path)
		}
	}
}

// sinks are the ways in which a string becomes HTML or code.
var sinks = regexp.MustCompile(`\.innerHTML|\.outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|setHTML|createContextualFragment`)

func TestScriptsNeverParseStringsAsHTML(t *testing.T) {
	scripts, err := fs.Glob(FS, "*.js")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts found: %v", err)
	}
	for _, name := range scripts {
		source, err := fs.ReadFile(FS, name)
		if err != nil {
			t.Fatal(err)
		}
		if found := sinks.Find(source); found != nil {
			t.Errorf("%s uses %s; build nodes with h() of dom.js", name, found)
		}
	}
}

// imports finds what a module imports and what a page links to.
var imports = regexp.MustCompile(`(?:from |import |src=|href=)["']([^"']+)["']`)

func TestEverythingThePageLoadsIsItsOwn(t *testing.T) {
	err := fs.WalkDir(FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".svg") {
			return err
		}
		source, err := fs.ReadFile(FS, path)
		if err != nil {
			return err
		}
		for _, m := range imports.FindAllSubmatch(source, -1) {
			file := strings.TrimPrefix(string(m[1]), "./")
			if _, err := fs.Stat(FS, file); err != nil && !strings.HasPrefix(file, "#") {
				t.Errorf("%s loads %q, which is no file of the page", path, file)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
