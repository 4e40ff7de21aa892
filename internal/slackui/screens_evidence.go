package slackui

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/hopwise/hopwise/internal/diagnose"
)

// Evidence is the modal behind "Show evidence": all findings with the
// commands that show the same, what was ruled out, and what could not be
// looked at.
func Evidence(r *diagnose.Report, rc ReportContext) View {
	v := View{Title: "Evidence", Close: "Close"}
	v.Blocks = append(v.Blocks, pack("path", pathTexts(r.Path))...)
	v.Blocks = append(v.Blocks, pack("name", resolutionTexts(r.Resolution))...)
	for i, f := range r.Findings {
		id := fmt.Sprintf("f%d", i)
		v.Blocks = append(v.Blocks, section(id, findingText(f)))
		v.Blocks = append(v.Blocks, pack(id+".e", evidenceTexts(f))...)
		v.Blocks = append(v.Blocks, pack(id+".r", remedyTexts(f))...)
		v.Blocks = append(v.Blocks, slack.NewDividerBlock())
	}
	if len(r.Findings) == 0 {
		v.Blocks = append(v.Blocks, section("none", "No check found anything."))
	}
	var clear []string
	for _, c := range r.RuledOut {
		clear = append(clear, "• "+inline(c.Title, 150)+" ("+code(c.Check)+")")
	}
	if len(clear) > 0 {
		v.Blocks = append(v.Blocks, pack("clear", append([]string{"*Ruled out*"}, clear...))...)
	}
	if len(r.Unknown) > 0 {
		lines := []string{"*Could not look*"}
		for _, l := range unknownLines(r, 50) {
			lines = append(lines, "• "+l)
		}
		v.Blocks = append(v.Blocks, pack("unknown", lines)...)
	}
	v.Blocks = append(v.Blocks, reportFoot(r, rc, "evidence"))
	return FitView(v)
}

func findingText(f diagnose.Finding) string {
	s := "*" + inline(f.Title, 150) + "*\n" + sentence(f.Claim, 600) + "\n" +
		severityMarks[f.Severity] + " · " + code(f.Check) + " · " + code(f.Subject.String())
	for _, c := range f.CausedBy {
		s += "\nExplained by " + code(c)
	}
	return s
}

// maxEvidence is how many facts of one finding the modal shows.
const maxEvidence = 20

func evidenceTexts(f diagnose.Finding) []string {
	var out []string
	for i, e := range f.Evidence {
		if i == maxEvidence {
			out = append(out, fmt.Sprintf("and %d more", len(f.Evidence)-i))
			break
		}
		s := inline(object(e.Fact), 200) + "\nis " + code(e.Got)
		if e.Want != "" {
			s += ", should be " + code(e.Want)
		}
		if e.Command != "" {
			s += "\nSee it yourself: " + fence(e.Command, 600)
		}
		out = append(out, s)
	}
	return out
}

// remedyTexts are the ways to mend a finding, with every command.
func remedyTexts(f diagnose.Finding) []string {
	var out []string
	for _, rem := range f.Remedies {
		out = append(out, fmt.Sprintf("*Fix: %s* (risk: %s)\n%s", inline(rem.Title, 150), rem.Risk, sentence(rem.Why, 400)))
		for _, c := range rem.Commands() {
			out = append(out, fence(c, 2000))
		}
	}
	return out
}

// pack puts texts into as few sections as their limit allows. A text is never
// split over two.
func pack(id string, texts []string) []slack.Block {
	var out []slack.Block
	page := ""
	flush := func() {
		if page != "" {
			out = append(out, section(fmt.Sprintf("%s%d", id, len(out)), page))
		}
		page = ""
	}
	for _, t := range texts {
		t = cut(t, maxSection)
		if utf8.RuneCountInString(page)+utf8.RuneCountInString(t)+1 > maxSection {
			flush()
		}
		page = strings.TrimPrefix(page+"\n"+t, "\n")
	}
	flush()
	return out
}
