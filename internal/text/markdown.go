package text

import (
	"fmt"
	"io"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
)

// Markdown writes r for a ticket or a pull request.
func Markdown(w io.Writer, r *diagnose.Report) {
	fmt.Fprintf(w, "## %s\n\n", inline(r.Headline()))
	fmt.Fprintf(w, "%s, %s. Asked: %s\n\n", inline(cluster(r)), r.At.Format("2006-01-02 15:04:05 MST"), inline(quoted(r.Ask)))
	fmt.Fprintf(w, "| Layer | Verdict | Clear | Found | Could not look |\n|---|---|---|---|---|\n")
	for _, l := range r.Layers {
		fmt.Fprintf(w, "| %s | %s | %d | %d | %d |\n", l.Layer.Title(), l.Verdict, l.Clear, l.Found, l.Unknown)
	}
	markdownPath(w, r)
	markdownResolution(w, r)
	for _, f := range r.Findings {
		markdownFinding(w, f)
	}
	if len(r.Unexplained) > 0 {
		fmt.Fprintf(w, "\n### Seen, and explained by no check\n\n")
		for _, u := range r.Unexplained {
			fmt.Fprintf(w, "- %s\n", inline(u.String()))
		}
	}
	if len(r.Unknown) > 0 {
		fmt.Fprintf(w, "\n### Could not look\n\n")
		for _, g := range gaps(r) {
			fmt.Fprintf(w, "- %s\n", inline(g))
		}
	}
	fmt.Fprintf(w, "\nNothing was changed.\n")
}

func markdownFinding(w io.Writer, f diagnose.Finding) {
	fmt.Fprintf(w, "\n### %s\n\n%s\n\n`%s` · %s", inline(f.Title), inline(f.Claim), f.Check, f.Severity)
	if len(f.CausedBy) > 0 {
		fmt.Fprintf(w, " · follows from `%s`", strings.Join(f.CausedBy, "`, `"))
	}
	fmt.Fprintf(w, "\n\n| Fact | Is | Should be |\n|---|---|---|\n")
	for _, e := range f.Evidence {
		fmt.Fprintf(w, "| %s | %s | %s |\n", inline(e.Fact), inline(e.Got), inline(e.Want))
	}
	fmt.Fprintf(w, "\nTo see it:\n\n")
	for _, e := range f.Evidence {
		code(w, e.Command)
	}
	for _, m := range f.Remedies {
		fmt.Fprintf(w, "\n**Fix (%s):** %s\n\n", m.Risk, inline(m.Title))
		for _, c := range m.Commands() {
			code(w, c)
		}
		if undo := m.Undo(); len(undo) > 0 {
			fmt.Fprintf(w, "\nUndo:\n\n")
			for _, u := range undo {
				code(w, u.Command())
			}
		}
	}
}

// code writes a command as an indented block: whatever back quotes it holds,
// it stays code.
func code(w io.Writer, s string) { fmt.Fprintf(w, "    %s\n", safe(s)) }

var escapes = strings.NewReplacer(`\`, `\\`, "&", "&amp;", "|", `\|`, "<", "&lt;", ">", "&gt;", "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`)

// inline makes s literal text of one line.
func inline(s string) string { return escapes.Replace(safe(s)) }

func quoted(s string) string {
	if s == "" {
		return "nothing in particular"
	}
	return "“" + s + "”"
}
