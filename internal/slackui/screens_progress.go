package slackui

import (
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// A StepState says how far one step of a run is.
type StepState int

// The states of a step.
const (
	Waiting StepState = iota
	Running
	Done
	Missed // it could not be done; the run goes on without it
)

var stepMarks = [...]string{":black_small_square: Waiting", ":hourglass_flowing_sand: Now", ":white_check_mark: Done", ":grey_question: Could not"}

// A Step is one line of the progress message.
type Step struct {
	Name   string
	State  StepState
	Detail string // a few words; may be empty
}

// Progress is what the progress message shows.
type Progress struct {
	Run     string
	Asker   string // Slack user
	Ask     string // the words that started the run
	Cluster string
	Started time.Time
	Steps   []Step
	Edit    int // how many times the message was edited: Slack wants new block ids
}

// FirstSign says within a second of the question that the bot is at work.
func FirstSign(p Progress) Message {
	p.Steps = nil
	return ProgressScreen(p)
}

// ProgressScreen is the message that is edited while a run goes on.
func ProgressScreen(p Progress) Message {
	done := 0
	lines := []string{":mag: *Looking at the network*" + of(p.Cluster)}
	for _, s := range p.Steps {
		if s.State == Done || s.State == Missed {
			done++
		}
		l := stepMarks[s.State] + ": " + inline(s.Name, 80)
		if s.Detail != "" {
			l += " · " + inline(s.Detail, 120)
		}
		lines = append(lines, l)
	}
	text := "Looking at the network. Nothing will be changed."
	if len(p.Steps) > 0 {
		text = fmt.Sprintf("Looking at the network: %d of %d steps done. Nothing will be changed.", done, len(p.Steps))
	}
	id := fmt.Sprintf("run-%s.p.%d", p.Run, p.Edit)
	body := section(id, strings.Join(lines, "\n"))
	body.Accessory = slack.NewAccessory(button(ActionStop, p.Run, "Stop", "Stop this check"))
	return Fit(Message{Text: text, Blocks: blocks(body, contextLine(id+".c", started(p)))})
}

func started(p Progress) string {
	parts := []string{"Read-only"}
	if p.Asker != "" {
		parts = append(parts, "for "+mention(p.Asker))
	}
	if p.Ask != "" {
		parts = append(parts, "“"+inline(p.Ask, 80)+"”")
	}
	if !p.Started.IsZero() {
		parts = append(parts, "since "+clock(p.Started))
	}
	return strings.Join(append(parts, "run "+code(p.Run)), " · ")
}

func of(cluster string) string {
	if cluster == "" {
		return ""
	}
	return " of " + code(cluster)
}

// ProgressDone is what the progress message shrinks to when the report is
// there. link is the report's address, "" when it is not known.
func ProgressDone(p Progress, link string) Message {
	text := ":white_check_mark: Done. The report is below."
	if strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://") {
		text = ":white_check_mark: Done. <" + strings.NewReplacer("<", "", ">", "", "|", "").Replace(link) + "|Read the report>."
	}
	id := "run-" + p.Run + ".p.done"
	return Fit(Message{Text: "Done. The report is in this thread.", Blocks: blocks(section(id, text), contextLine(id+".c", started(p)))})
}

// Stopped is what the progress message becomes when somebody stopped the run.
func Stopped(p Progress, by string) Message {
	id := "run-" + p.Run + ".p.stopped"
	return Fit(Message{
		Text: "Stopped. Nothing was changed.",
		Blocks: blocks(
			section(id, ":octagonal_sign: *Stopped* by "+mention(by)+". Nothing was changed."),
			contextLine(id+".c", started(p))),
	})
}
