package slackui

import (
	"fmt"

	"github.com/slack-go/slack"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/resolve"
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
	lines = append(lines, hopLines(p.Hops, p.Broken())...)
	for _, g := range p.Missing[:min(len(p.Missing), 5)] {
		lines = append(lines, fmt.Sprintf("Not known: %s (%s), needs %s", inline(string(g.Kind), 60), inline(string(g.Reason), 40), code(g.Permission)))
	}
	return append(pack(id+".path", lines), breakCommand(p.Hops, p.Broken(), id+".pathcmd")...)
}

// resolutionBlocks are the hops of the name that was said not to resolve.
func resolutionBlocks(r *diagnose.Report, id string) []slack.Block {
	p := r.Resolution
	if p == nil {
		return nil
	}
	title := "Name resolves on paper"
	switch {
	case p.Fails():
		title = "Name does not resolve"
	case p.Answer.Kind == resolve.NotKnown:
		title = "Name cannot be followed to its end"
	case p.Answer.Kind != resolve.Found:
		title = "Name does not resolve, as far as can be seen"
	}
	lines := []string{fmt.Sprintf("*%s*: %s", title, sentence(p.Text, 500))}
	lines = append(lines, hopLines(p.Hops, p.Broken())...)
	return append(pack(id+".name", lines), breakCommand(p.Hops, p.Broken(), id+".namecmd")...)
}

// breakCommand shows how to see the hop at broken.
func breakCommand(hops []reach.Step, broken int, id string) []slack.Block {
	if broken < 0 || hops[broken].Command == "" {
		return nil
	}
	return blocks(section(id, "See it yourself: "+fence(hops[broken].Command, 600)))
}

// hopLines are the hops in short, the one at broken in any case.
func hopLines(hops []reach.Step, broken int) []string {
	var lines []string
	for i, h := range hops {
		if i < maxHops || i == broken {
			lines = append(lines, hopLine(h, i, broken))
		}
	}
	if n := len(hops) - maxHops; n > 0 {
		lines = append(lines, plural(n, "more hop")+" under Show evidence")
	}
	return lines
}

func hopLine(h reach.Step, i, broken int) string {
	switch {
	case h.Verdict == reach.Allowed:
		return fmt.Sprintf("%d. :white_check_mark: %s", i+1, inline(h.Hop, 90))
	case h.Verdict == reach.Denied && i == broken:
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
	return append([]string{"*Path*: " + sentence(p.Text, 400)}, hopTexts(p.Hops)...)
}

// resolutionTexts are the hops of a name, and what the names before it in the
// search list get.
func resolutionTexts(p *resolve.Path) []string {
	if p == nil {
		return nil
	}
	out := []string{"*Name*: " + sentence(p.Text, 400)}
	for _, a := range p.Tried {
		s := code(a.Name) + ": " + inline(string(a.Kind), 40)
		if a.By != "" {
			s += " from " + inline(a.By, 100)
		}
		if a.Why != "" {
			s += ", " + inline(a.Why, 200)
		}
		out = append(out, s)
	}
	return append(out, hopTexts(p.Hops)...)
}

func hopTexts(hops []reach.Step) []string {
	var out []string
	for i, h := range hops {
		s := fmt.Sprintf("%d. %s: %s\n%s", i+1, inline(h.Hop, 90), h.Verdict, sentence(h.Text, 300))
		if h.Command != "" {
			s += "\nSee it yourself: " + fence(h.Command, 600)
		}
		out = append(out, s)
	}
	return out
}
