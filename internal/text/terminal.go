// Package text writes a report for a terminal and for a ticket.
package text

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// The colours of a terminal, by what they say.
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	yellow = "33"
	green  = "32"
)

// Terminal writes r for a person at a terminal.
func Terminal(w io.Writer, r *diagnose.Report, colour bool) {
	p := printer{w, colour}
	p.line("")
	p.line(p.paint(bold, safe(r.Headline())))
	p.line("")
	p.path(r)
	p.resolution(r)
	p.board(r)
	for i, f := range r.Findings {
		p.finding(r, f, i)
	}
	p.unexplained(r)
	p.unknown(r)
	p.line("")
	p.line(p.paint(faint, fmt.Sprintf("%s · %d checks clear · %d API calls in %.1f s · nothing was changed", cluster(r), len(r.RuledOut), r.Timing.Calls, float64(r.Timing.TotalMS)/1000)))
}

func cluster(r *diagnose.Report) string {
	if r.Cluster == "" {
		return "cluster unknown"
	}
	return "cluster " + safe(r.Cluster)
}

type printer struct {
	w      io.Writer
	colour bool
}

func (p printer) line(s string) { fmt.Fprintln(p.w, strings.TrimRight(s, " ")) }

func (p printer) paint(code, s string) string {
	if !p.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p printer) board(r *diagnose.Report) {
	for _, l := range r.Layers {
		word, code := "pass", green
		switch l.Verdict {
		case diagnose.Fail:
			word, code = "FAIL", red
		case diagnose.NoView:
			word, code = "could not check", yellow
		}
		detail := fmt.Sprintf("%d clear", l.Clear)
		if l.Found > 0 {
			detail = fmt.Sprintf("%d found, ", l.Found) + detail
		}
		if l.Unknown > 0 {
			detail += fmt.Sprintf(", %d could not look", l.Unknown)
		}
		p.line(fmt.Sprintf("  %-42s %s  %s", l.Layer.Title(), p.paint(code, fmt.Sprintf("%-15s", word)), p.paint(faint, detail)))
	}
}

func (p printer) finding(r *diagnose.Report, f diagnose.Finding, i int) {
	p.line("")
	role := "Cause"
	switch {
	case len(f.CausedBy) > 0:
		role = "Follows from " + strings.Join(f.CausedBy, ", ")
	case i > 0:
		role = "Also found"
	}
	code := red
	if f.Severity != diagnose.Outage {
		code = yellow
	}
	p.line(fmt.Sprintf("%s  %s  %s", p.paint(bold, role), p.paint(code, f.Severity.String()), p.paint(faint, f.Check)))
	p.line("  " + safe(f.Claim))
	for _, e := range f.Evidence {
		p.line(fmt.Sprintf("    %s", safe(e.Fact)))
		p.line(fmt.Sprintf("      is      %s", safe(e.Got)))
		p.line(fmt.Sprintf("      should  %s", safe(e.Want)))
		p.line(p.paint(faint, "      $ "+safe(e.Command)))
	}
	for _, m := range f.Remedies {
		p.line(fmt.Sprintf("  Fix: %s (%s)", safe(m.Title), m.Risk))
		if m.Why != "" {
			p.line("    " + safe(m.Why))
		}
		for _, c := range m.Commands() {
			p.line("    $ " + safe(c))
		}
		for _, l := range m.Diff() {
			p.line("      " + safe(l))
		}
		for _, u := range m.Undo() {
			p.line(p.paint(faint, "    undo: "+safe(u.Command())))
		}
	}
}

func (p printer) unexplained(r *diagnose.Report) {
	rest := r.Unexplained
	if len(r.Findings) == 0 && r.Path == nil && r.Resolution == nil && len(rest) > 0 {
		rest = rest[1:] // the headline has said it
	}
	if len(rest) == 0 {
		return
	}
	p.line("")
	p.line(p.paint(bold, "Seen, and explained by no check"))
	for _, u := range rest {
		p.line("  " + safe(u.String()))
	}
}

func (p printer) unknown(r *diagnose.Report) {
	if len(r.Unknown) == 0 {
		return
	}
	p.line("")
	p.line(p.paint(bold, "Could not look"))
	for _, g := range gaps(r) {
		p.line("  " + safe(g))
	}
}

// safe makes a text that came from outside fit for a line: without
// credentials, and without characters that steer a terminal or a browser
// instead of being seen, such as escape codes and marks that turn the
// direction of writing. A line break becomes a space.
func safe(s string) string {
	return facts.Redact(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\u0085', r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd")))
}

// mostChecks is how many checks that could not look are named for a reason.
const mostChecks = 8

// gaps says per reason which checks could not look, and what they need.
func gaps(r *diagnose.Report) []string {
	var order []string
	checks := map[string][]string{}
	for _, u := range r.Unknown {
		why := u.Reason
		if u.Permission != "" {
			why += ": needs " + u.Permission
		}
		if checks[why] == nil {
			order = append(order, why)
		}
		checks[why] = append(checks[why], u.Check)
	}
	var lines []string
	for _, why := range order {
		list := checks[why]
		if n := len(list) - mostChecks; n > 1 {
			list = append(list[:mostChecks:mostChecks], fmt.Sprintf("and %d more", n))
		}
		lines = append(lines, why+": "+strings.Join(list, ", "))
	}
	return lines
}
