package slackui

import (
	"fmt"

	"github.com/slack-go/slack"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/reach"
)

// maxHops is how many hops of a path a message lists; the longest that there
// are have fewer.
const maxHops = 20

var pathTitles = map[reach.Verdict]string{
	reach.Allowed: "Path is open", reach.Denied: "Path is broken", reach.Partly: "Path is broken in part", reach.CannotTell: "Path cannot be told",
}

// pathBlocks are the hops of the connection that was asked about: a short line
// each, and in words where it breaks.
func pathBlocks(r *diagnose.Report, id string) []slack.Block {
	p := r.Path
	if p == nil {
		return nil
	}
	lines := []string{fmt.Sprintf("*%s*: %s to %s, %s %d", pathTitles[p.Verdict], inline(p.From, 80), inline(p.To, 80), inline(p.Protocol, 8), p.Port)}
	if p.Symptom != "" {
		lines[0] += " · expect: " + inline(string(p.Symptom), 40)
	}
	if p.Pairs > 1 {
		lines[0] += fmt.Sprintf(" · %d of %s stopped", p.Stopped, plural(p.Pairs, "connection"))
	}
	for i := range p.Hops {
		if i < maxHops || i == p.Broken() {
			lines = append(lines, hopLine(p, i))
		}
	}
	if n := len(p.Hops) - maxHops; n > 0 {
		lines = append(lines, plural(n, "more hop")+" under Show evidence")
	}
	for _, g := range p.Missing[:min(len(p.Missing), 5)] {
		lines = append(lines, fmt.Sprintf("Not known: %s (%s), needs %s", inline(string(g.Kind), 60), inline(string(g.Reason), 40), code(g.Permission)))
	}
	out := pack(id+".path", lines)
	if i := p.Broken(); i >= 0 && p.Hops[i].Command != "" {
		out = append(out, section(id+".pathcmd", "See it yourself: "+fence(p.Hops[i].Command, 600)))
	}
	return out
}

func hopLine(p *reach.Path, i int) string {
	h := p.Hops[i]
	switch {
	case h.Verdict == reach.Allowed:
		return fmt.Sprintf("%d. :white_check_mark: %s", i+1, inline(h.Hop, 90))
	case h.Verdict == reach.Denied && i == p.Broken():
		return fmt.Sprintf("%d. :x: *Broken here: %s*: %s", i+1, inline(h.Hop, 90), sentence(h.Text, 200))
	case h.Verdict == reach.Denied:
		return fmt.Sprintf("%d. :x: Denied too: %s: %s", i+1, inline(h.Hop, 90), sentence(h.Text, 120))
	default:
		return fmt.Sprintf("%d. :grey_question: Cannot tell: %s: %s", i+1, inline(h.Hop, 90), sentence(h.Text, 120))
	}
}

// pathTexts are the hops with the rules that decide and the commands that show
// them.
func pathTexts(p *reach.Path) []string {
	if p == nil {
		return nil
	}
	out := []string{"*Path*: " + sentence(p.Text, 400)}
	for i, h := range p.Hops {
		s := fmt.Sprintf("%d. %s: %s\n%s", i+1, inline(h.Hop, 90), h.Verdict, sentence(h.Text, 300))
		if h.Command != "" {
			s += "\nSee it yourself: " + fence(h.Command, 600)
		}
		out = append(out, s)
	}
	return out
}
