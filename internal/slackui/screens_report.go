package slackui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/remedy"
)

// ReportContext is what a report's message needs beside the report.
type ReportContext struct {
	Run      string
	Asker    string   // Slack user
	ReadOnly bool     // nobody may approve anything: fixes are shown as commands
	Refused  []string // fixes that the APIs would not take, each with the reason
}

// Report is the answer: the cause in one line, its proof, what it explains,
// what else was found, the layers, what was ruled out and what could not be
// looked at.
func Report(r *diagnose.Report, rc ReportContext) Message {
	id := "run-" + rc.Run
	m := Message{Text: reportSentence(r)}
	if len(r.Findings) == 0 {
		m.Blocks = nothingFound(r, id)
	} else {
		m.Blocks = cause(r, rc, id)
	}
	if hops := append(pathBlocks(r, id), resolutionBlocks(r, id)...); hops != nil { // what was asked is answered first
		m.Blocks = append(hops, m.Blocks...)
	}
	m.Blocks = append(m.Blocks, unexplained(r, id)...)
	m.Blocks = append(m.Blocks, layers(r, id))
	m.Blocks = append(m.Blocks, notFound(r, id)...)
	m.Blocks = append(m.Blocks, reportButtons(rc, id), reportFoot(r, rc, id))
	return Fit(m)
}

func reportSentence(r *diagnose.Report) string {
	s := sentence(r.Headline(), 300)
	if len(r.Findings) > 0 && s == sentence(r.Found(), 300) {
		s = "Cause found: " + s
		if n := len(r.Effects(r.Findings[0])); n > 0 {
			s += " It explains " + plural(n, "more finding") + "."
		}
	}
	return s + " Nothing was changed."
}

// sentence is s, escaped, with a full stop.
func sentence(s string, limit int) string {
	s = inline(s, limit)
	if s == "" || strings.HasSuffix(s, ".") || strings.HasSuffix(s, "…") || strings.HasSuffix(s, "?") || strings.HasSuffix(s, "!") {
		return s
	}
	return s + "."
}

var severityMarks = map[diagnose.Severity]string{
	diagnose.Outage:   ":red_circle: Outage",
	diagnose.Degraded: ":large_orange_circle: Degraded",
	diagnose.Risk:     ":large_yellow_circle: Risk",
}

// cause shows the first finding in full and the others in one line each.
func cause(r *diagnose.Report, rc ReportContext, id string) []slack.Block {
	f := r.Findings[0]
	out := blocks(
		header(id+".h", "Cause: "+line(f.Title, 140)),
		section(id+".claim", sentence(f.Claim, 600)+"\n"+severityMarks[f.Severity]+" · "+inline(f.Layer.Title(), 80)),
		proof(f, id))
	effects := r.Effects(f)
	if len(effects) > 0 {
		out = append(out, section(id+".fx", "*What it explains, in this order*\n"+numbered(effects, 6)))
	}
	if others := others(r, effects); len(others) > 0 {
		out = append(out, section(id+".also", "*Also found*\n"+bullets(oneLiners(others), 5, " under Show evidence")))
	}
	if len(rc.Refused) > 0 {
		out = append(out, section(id+".refused", "*Not offered, since the APIs would not take it*\n"+bullets(inlined(rc.Refused), 3, "")))
	}
	return append(out, byHand(f, rc, id)...)
}

func inlined(texts []string) []string {
	var out []string
	for _, t := range texts {
		out = append(out, inline(t, 300))
	}
	return out
}

// proof is the evidence as a table of at most four rows.
func proof(f diagnose.Finding, id string) slack.Block {
	rows := [][]string{{"Fact", "Is", "Should be"}}
	for _, e := range f.Evidence[:min(len(f.Evidence), 4)] {
		rows = append(rows, []string{line(object(e.Fact), 120), line(e.Got, 160), line(e.Want, 160)})
	}
	if len(rows) == 1 {
		return nil
	}
	return table(id+".proof", rows...)
}

// object is a fact's name as people say it: without the ARN's head, and with
// the kind's own name before it.
func object(fact string) string {
	if kind, arn, ok := strings.Cut(fact, "/arn:"); ok && strings.HasPrefix(kind, "elbv2/") {
		parts := strings.Split(arn, "/") // ...:targetgroup/NAME/HASH, ...:loadbalancer/app/NAME/HASH
		if _, rest, ok := strings.Cut(arn, ":loadbalancer/"); ok {
			parts = strings.Split(rest, "/")
		}
		return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(kind, "elbv2/"), "s"), "-", " ") + " " + parts[min(1, len(parts)-1)]
	}
	if rest, ok := strings.CutPrefix(fact, "kube/"); ok {
		return strings.Replace(rest, "/", " ", 1)
	}
	return strings.TrimPrefix(fact, "ec2/")
}

func numbered(fs []diagnose.Finding, limit int) string {
	var b strings.Builder
	for i, f := range fs {
		if i == limit {
			fmt.Fprintf(&b, "and %d more under Show evidence\n", len(fs)-limit)
			break
		}
		fmt.Fprintf(&b, "%d. %s\n", i+1, sentence(f.Claim, 200))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// others are the findings that neither are the cause nor follow from it.
func others(r *diagnose.Report, effects []diagnose.Finding) []diagnose.Finding {
	var out []diagnose.Finding
	for _, f := range r.Findings[1:] {
		if !slices.ContainsFunc(effects, func(e diagnose.Finding) bool { return e.Key() == f.Key() }) {
			out = append(out, f)
		}
	}
	return out
}

func oneLiners(fs []diagnose.Finding) []string {
	var lines []string
	for _, f := range fs {
		lines = append(lines, severityMarks[f.Severity]+": "+sentence(f.Claim, 200))
	}
	return lines
}

// byHand shows the remedies that the bot will not run as commands to copy.
func byHand(f diagnose.Finding, rc ReportContext, id string) []slack.Block {
	var out []slack.Block
	offered := !rc.ReadOnly && slices.ContainsFunc(f.Remedies, remedy.Remedy.Runnable)
	for i, rem := range f.Remedies {
		commands, note := rem.Manual, "Hopwise never runs this by itself"
		if rc.ReadOnly && rem.Runnable() {
			commands, note = rem.Commands(), "Hopwise is read-only here"
		}
		if len(commands) == 0 || len(out) == 2 {
			continue
		}
		bid := fmt.Sprintf("%s.hand%d", id, i)
		if offered { // the proposal below is the short way: one line for the other
			out = append(out, section(bid, "*Another way, by hand:* "+inline(rem.Title, 150)+". Its commands are under Show evidence."))
			continue
		}
		out = append(out, section(bid, fmt.Sprintf("*By hand: %s* (%s; risk: %s)\n%s\n%s",
			inline(rem.Title, 120), note, rem.Risk, sentence(rem.Why, 300), wholeCommands(commands, 900))))
	}
	return out
}

// wholeCommands shows as many commands as fit, never a part of one: half a
// command is another command.
func wholeCommands(commands []string, limit int) string {
	shown, size := 0, 0
	for _, c := range commands {
		if size += runes(c) + 1; size > limit {
			break
		}
		shown++
	}
	text := ""
	if shown > 0 {
		text = fence(strings.Join(commands[:shown], "\n"), limit)
	}
	if rest := len(commands) - shown; rest > 0 {
		text = strings.TrimPrefix(text+"\n"+plural(rest, "more command")+" under Show evidence", "\n")
	}
	return text
}

func nothingFound(r *diagnose.Report, id string) []slack.Block {
	title, rest := "Nothing found", "If it still fails, say what fails: a host, an Ingress, a Service or a pod."
	switch {
	case len(r.RuledOut) == 0:
		title, rest = "Could not look", "This says nothing about the network. Grant what is named below, then check again."
	case len(r.Unexplained) > 0:
		title, rest = "No cause found", "The trouble is real, and none of the checks knows its cause."
	case len(r.Unknown) > 0:
		title, rest = "Nothing found in what could be seen", "The fault may be in what could not be looked at: see below."
	}
	if r.Path != nil && len(r.RuledOut) > 0 {
		title, rest = strings.Replace(title, "Nothing found", "Nothing else found", 1), "The path above answers what was asked."
	}
	if r.Resolution != nil && r.Resolution.Fails() && len(r.RuledOut) > 0 {
		title, rest = strings.Replace(title, "Nothing found", "Nothing else found", 1), "The way of the name above answers what was asked."
	}
	return blocks(header(id+".h", title), section(id+".claim", sentence(r.Found(), 300)+"\n"+rest))
}

// unexplained shows trouble that no finding accounts for, unless the claim
// has said it already.
func unexplained(r *diagnose.Report, id string) []slack.Block {
	rest := r.Unexplained
	if len(r.Findings) == 0 && len(rest) > 0 { // nothingFound has said it
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return nil
	}
	var lines []string
	for _, u := range rest {
		lines = append(lines, inline(u.String(), 300))
	}
	return blocks(section(id+".loose", "*Seen, and explained by no check*\n"+bullets(lines, 3, "")))
}

var verdictMarks = map[string]string{
	diagnose.Pass: ":white_check_mark: Pass", diagnose.Fail: ":x: Fails", diagnose.NoView: ":grey_question: Could not check",
}

// layers is the board: one field a layer, in words.
func layers(r *diagnose.Report, id string) slack.Block {
	var texts []string
	for _, l := range r.Layers {
		texts = append(texts, "*"+inline(l.Layer.Title(), 60)+"*\n"+layerLine(l))
	}
	if len(texts) == 0 {
		return nil
	}
	return fields(id+".layers", texts...)
}

func layerLine(l diagnose.LayerVerdict) string {
	var counts []string
	for _, c := range []struct {
		n    int
		word string
	}{{l.Found, "found"}, {l.Clear, "clear"}, {l.Unknown, "not seen"}} {
		if c.n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	if len(counts) == 0 {
		return ":black_small_square: Not asked"
	}
	return verdictMarks[l.Verdict] + " · " + strings.Join(counts, ", ")
}

// notFound says in short what was ruled out and what could not be looked at.
func notFound(r *diagnose.Report, id string) []slack.Block {
	var out []slack.Block
	if n := len(r.RuledOut); n > 0 {
		var titles []string
		for _, c := range r.RuledOut[:min(n, 4)] {
			titles = append(titles, inline(c.Title, 80))
		}
		if n > 4 {
			titles = append(titles, fmt.Sprintf("%d more", n-4))
		}
		out = append(out, section(id+".clear", "*Ruled out* ("+plural(n, "check")+")\n"+strings.Join(titles, " · ")))
	}
	if len(r.Unknown) > 0 {
		out = append(out, section(id+".unknown", "*Could not look* ("+plural(len(r.Unknown), "check")+")\n"+bullets(unknownLines(r, 2), 4, " under Show evidence")))
	}
	return out
}

// unknownLines says what could not be looked at, one line for each reason:
// the permission that is missing, then at most some of the checks.
func unknownLines(r *diagnose.Report, some int) []string {
	var order []string
	checks := map[string][]string{}
	for _, u := range r.Unknown {
		why := inline(u.Reason, 200)
		if u.Permission != "" {
			why = "Needs " + code(u.Permission) + " (" + why + ")"
		}
		if checks[why] == nil {
			order = append(order, why)
		}
		checks[why] = append(checks[why], code(u.Check))
	}
	for i, why := range order {
		list := checks[why]
		if len(list) > some {
			list = append(list[:some:some], fmt.Sprintf("%d more", len(list)-some))
		}
		order[i] = why + ": " + strings.Join(list, ", ")
	}
	return order
}

func reportButtons(rc ReportContext, id string) slack.Block {
	return actions(id+".act",
		button(ActionEvidence, rc.Run, "Show evidence", "Show all evidence of this report"),
		button(ActionRetry, rc.Run, "Check again", "Run the same check again"))
}

func reportFoot(r *diagnose.Report, rc ReportContext, id string) slack.Block {
	parts := []string{"*Changed by Hopwise: nothing*"}
	if r.Cluster != "" {
		parts = append(parts, "cluster "+code(r.Cluster))
	}
	if !r.At.IsZero() {
		parts = append(parts, "as of "+clock(r.At))
	}
	parts = append(parts, fmt.Sprintf("%.1f s, %s", float64(r.Timing.TotalMS)/1000, plural(r.Timing.Calls, "API call")))
	if rc.Asker != "" {
		parts = append(parts, "for "+mention(rc.Asker))
	}
	return contextLine(id+".foot", strings.Join(append(parts, "run "+code(rc.Run)), " · "))
}

// commandList is a remedy's commands, one below the other.
func commandList(as remedy.Actions) string {
	var lines []string
	for _, a := range as {
		lines = append(lines, a.Command())
	}
	return strings.Join(lines, "\n")
}
