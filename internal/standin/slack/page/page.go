// Package page is the workspace as a person sees it in a browser: plain HTML,
// CSS and JavaScript modules, with no build step and nothing loaded from
// elsewhere. The page speaks the protocol of package slack's protocol.go.
package page

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed *.html *.css *.js *.svg
var files embed.FS

// FS holds the page's files; index.html is at its root.
var FS fs.FS = files

// policy lets the page run its own scripts only, so that a message that got
// through as HTML could still not run. index.html carries it too, for a
// server that serves FS by itself.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves FS. The files carry no validators of their own in an
// embedded file system, so browsers are told to ask each time.
func Handler() http.Handler {
	server := http.FileServerFS(FS)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-cache")
		server.ServeHTTP(w, r)
	})
}
