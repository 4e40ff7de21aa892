package slackui

import (
	"strings"

	"github.com/slack-go/slack"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/diagnose"
)

var verdictLines = map[diagnose.Verdict][2]string{ // header, what it means
	diagnose.Undone:     {"Undone", "The change was taken back."},
	diagnose.Fixed:      {"Fixed and checked", "The check that found the fault looked again and is clear."},
	diagnose.Persists:   {"Not fixed", "The change was made, and the fault is still there."},
	diagnose.Moved:      {"Fixed, but something else broke", "The fault is gone, and something that was clear before is not any more."},
	diagnose.Unverified: {"Changed, but not checked", "The change was made. The check could not look again, so nobody knows yet whether it helped."},
}

// Verdict shows what became of a finding after the change of p: before and
// after, and a button that takes it back. undo is the proposal behind that
// button; nil for none.
func Verdict(v diagnose.Verification, p approval.Proposal, undo *approval.Proposal) Message {
	id := "req-" + p.ID + ".v"
	l := verdictLines[v.Verdict]
	bs := blocks(header(id+".h", l[0]), section(id+".s", l[1]+"\nChange: "+inline(p.Remedy.Title, 150)), beforeAfter(v, id))
	text := l[0] + ": " + sentence(p.Remedy.Title, 150) + " " + l[1]
	if undo != nil {
		bs = append(bs, undoButton(id, *undo))
		text += " It can be undone here until " + undo.Expires.UTC().Format("15:04 UTC") + "."
	}
	bs = append(bs, contextLine(id+".foot", decided(p), ids(p)))
	return Fit(Message{Text: text, Blocks: bs})
}

func beforeAfter(v diagnose.Verification, id string) slack.Block {
	if len(v.Changes) == 0 {
		return nil
	}
	rows := [][]string{{"What", "Before", "After"}}
	for _, c := range v.Changes[:min(len(v.Changes), 8)] {
		before, after := line(c.Before, 140), line(c.After, 140)
		switch {
		case c.Gone:
			after = strings.ToUpper(after[:1]) + after[1:]
		case before == after:
			after = "Unchanged"
		}
		rows = append(rows, []string{line(c.Finding.Title, 80), before, after})
	}
	return table(id+".t", rows...)
}

// undoButton approves the proposal that takes a change back, by whoever may.
func undoButton(id string, undo approval.Proposal) slack.Block {
	b := button(ActionApprove, undo.ButtonValue(), "Undo", "Undo: "+line(undo.Remedy.Title, 65)).WithStyle(slack.StyleDanger)
	b.Confirm = confirmPlan(undo)
	b.Confirm.Title = plainText("Undo the change" + in(undo.Cluster) + "?")
	b.Confirm.Confirm = plainText("Undo")
	return actions(id+".act", b)
}

// Failure is what went wrong on the bot's side.
type Failure struct {
	Run        string
	What       string   // what failed, one sentence
	Known      []string // what is known all the same
	NotChecked []string
	Changed    []string // what was changed before it failed; empty: nothing
	Next       string   // what to do now, one sentence
}

// FailureScreen says what failed, what is known, what was not checked, what
// was changed, and one next step.
func FailureScreen(f Failure) Message {
	id := "run-" + f.Run + ".fail"
	changed := "Nothing was changed."
	if len(f.Changed) > 0 {
		changed = "Changed before it failed: see below."
	}
	head := ":warning: *Could not finish.* " + sentence(f.What, 500) + "\n" + changed
	if f.Next != "" {
		head += "\n*Next:* " + sentence(f.Next, 300)
	}
	return Fit(Message{
		Text: "Could not finish: " + sentence(f.What, 300) + " " + changed,
		Blocks: blocks(
			section(id, head),
			fields(id+".f", list("Known so far", f.Known), list("Not checked", f.NotChecked), list("Changed", f.Changed)),
			actions(id+".act", button(ActionRetry, f.Run, "Try again", "Run the same check again")),
			contextLine(id+".c", "run "+code(f.Run))),
	})
}

// list is a titled list, "" for an empty one.
func list(title string, entries []string) string {
	if len(entries) == 0 {
		return ""
	}
	var lines []string
	for _, e := range entries {
		lines = append(lines, inline(e, 200))
	}
	return "*" + title + "*\n" + bullets(lines, 6, "")
}

// Help says what the bot does and what to write.
func Help() Message {
	return Fit(Message{
		Text: "Hopwise finds out why something on your cluster's network does not work. Write what fails.",
		Blocks: blocks(
			section("help", "*Hopwise finds out why something on your cluster's network does not work.*\n"+
				"Write what fails, here or in any channel that I am in:\n"+strings.Join([]string{
				"• `network issue`", "• `DNS failure in namespace shop`", "• `ALB returns 502 for shop/web`", "• `Pod is Pending and IP allocation fails`",
			}, "\n")),
			section("help.2", "In a thread of mine: `retry` checks again, `stop` ends the check.\n"+
				"I only read. A change is made when somebody whom the policy names approves it, and I check afterwards whether it helped."),
		),
	})
}

// NotARequest answers a mention that asks for nothing that the bot knows.
func NotARequest() Message {
	return Fit(Message{
		Text: "I could not tell what to look at. Write what fails, for example: DNS failure in namespace shop.",
		Blocks: blocks(section("not-a-request", "I could not tell what to look at. Write what fails, for example:\n"+
			"• `network issue`\n• `DNS failure in namespace shop`\n• `ALB returns 502`\n`help` says more.")),
	})
}
