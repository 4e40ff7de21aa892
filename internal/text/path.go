package text

import (
	"fmt"
	"io"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/reach"
)

// mark is the sign before a hop: the one that breaks the path stands out
// without colours too.
func mark(p *reach.Path, i int) string {
	switch p.Hops[i].Verdict {
	case reach.Allowed:
		return "ok"
	case reach.Denied:
		if i == p.Broken() {
			return "BROKEN"
		}
		return "denied"
	default:
		return "unknown"
	}
}

// path prints the hops of the connection that was asked about, one a row.
func (p printer) path(r *diagnose.Report) {
	if r.Path == nil {
		return
	}
	p.line(p.paint(bold, "Path") + "  " + safe(pathLine(r.Path)))
	width := 0
	for _, h := range r.Path.Hops {
		width = max(width, len(h.Hop))
	}
	for i, h := range r.Path.Hops {
		m, code := mark(r.Path, i), map[reach.Verdict]string{reach.Allowed: green, reach.Denied: red, reach.CannotTell: yellow}[h.Verdict]
		p.line(fmt.Sprintf("  %2d  %s  %-*s  %s", i+1, p.paint(code, fmt.Sprintf("%-7s", m)), width, safe(h.Hop), safe(h.Text)))
		if h.Verdict != reach.Allowed && h.Command != "" {
			p.line(p.paint(faint, strings.Repeat(" ", 15)+"$ "+safe(h.Command)))
		}
	}
	for _, g := range r.Path.Missing {
		p.line(p.paint(faint, fmt.Sprintf("      not known: %s (%s; needs %s)", g.Kind, g.Reason, g.Permission)))
	}
	p.line("")
}

// pathLine says what was asked and how it ends.
func pathLine(p *reach.Path) string {
	s := fmt.Sprintf("%s to %s, %s %d: %s", p.From, p.To, p.Protocol, p.Port, p.Verdict)
	if p.Symptom != "" {
		s += fmt.Sprintf(" (expect: %s)", p.Symptom)
	}
	if p.Pairs > 1 {
		s += fmt.Sprintf("; %d connections followed, %d stopped", p.Pairs, p.Stopped)
	}
	return s
}

func markdownPath(w io.Writer, r *diagnose.Report) {
	if r.Path == nil {
		return
	}
	fmt.Fprintf(w, "\n### Path\n\n%s\n\n| | Hop | Verdict | What decides |\n|---|---|---|---|\n", inline(pathLine(r.Path)))
	for i, h := range r.Path.Hops {
		m := mark(r.Path, i)
		if m == "BROKEN" {
			m = "**BROKEN**"
		}
		fmt.Fprintf(w, "| %d | %s | %s | %s |\n", i+1, inline(h.Hop), m, inline(h.Text))
	}
	if i := r.Path.Broken(); i >= 0 && r.Path.Hops[i].Command != "" {
		fmt.Fprintf(w, "\nTo see it:\n\n")
		code(w, r.Path.Hops[i].Command)
	}
}
