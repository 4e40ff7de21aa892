package text

import (
	"fmt"
	"io"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/resolve"
)

// mark is the sign before a hop: the one that breaks the path stands out
// without colours too.
func mark(h reach.Step, broken bool) string {
	switch h.Verdict {
	case reach.Allowed:
		return "ok"
	case reach.Denied:
		if broken {
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
	p.hops(r.Path.Hops, r.Path.Broken())
	for _, g := range r.Path.Missing {
		p.line(p.paint(faint, fmt.Sprintf("      not known: %s (%s; needs %s)", g.Kind, g.Reason, g.Permission)))
	}
	p.line("")
}

// resolution prints the way of the name that was said not to resolve.
func (p printer) resolution(r *diagnose.Report) {
	if r.Resolution == nil {
		return
	}
	p.line(p.paint(bold, "Name") + "  " + safe(resolutionLine(r.Resolution)))
	p.hops(r.Resolution.Hops, r.Resolution.Broken())
	p.line("")
}

// hops prints steps, one a row; the one at broken is where it ends.
func (p printer) hops(hops []reach.Step, broken int) {
	width := 0
	for _, h := range hops {
		width = max(width, len(h.Hop))
	}
	for i, h := range hops {
		m, code := mark(h, i == broken), map[reach.Verdict]string{reach.Allowed: green, reach.Denied: red, reach.CannotTell: yellow}[h.Verdict]
		p.line(fmt.Sprintf("  %2d  %s  %-*s  %s", i+1, p.paint(code, fmt.Sprintf("%-7s", m)), width, safe(h.Hop), safe(h.Text)))
		if h.Verdict != reach.Allowed && h.Command != "" {
			p.line(p.paint(faint, strings.Repeat(" ", 15)+"$ "+safe(h.Command)))
		}
	}
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
	fmt.Fprintf(w, "\n### Path\n\n%s\n\n", inline(pathLine(r.Path)))
	markdownHops(w, r.Path.Hops, r.Path.Broken())
}

// resolutionLine says what was asked and how it ends.
func resolutionLine(p *resolve.Path) string {
	s := p.Name
	if p.From != "" {
		s += ", asked by pod " + p.From
	}
	return s + ": " + string(p.Answer.Kind)
}

func markdownResolution(w io.Writer, r *diagnose.Report) {
	if r.Resolution == nil {
		return
	}
	fmt.Fprintf(w, "\n### Name\n\n%s\n\n", inline(resolutionLine(r.Resolution)))
	markdownHops(w, r.Resolution.Hops, r.Resolution.Broken())
}

func markdownHops(w io.Writer, hops []reach.Step, broken int) {
	fmt.Fprintf(w, "| | Hop | Verdict | What decides |\n|---|---|---|---|\n")
	for i, h := range hops {
		m := mark(h, i == broken)
		if m == "BROKEN" {
			m = "**BROKEN**"
		}
		fmt.Fprintf(w, "| %d | %s | %s | %s |\n", i+1, inline(h.Hop), m, inline(h.Text))
	}
	if broken >= 0 && hops[broken].Command != "" {
		fmt.Fprintf(w, "\nTo see it:\n\n")
		code(w, hops[broken].Command)
	}
}
