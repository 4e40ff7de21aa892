package slackui

import (
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// A Message is what the bot says: one sentence for notifications and screen
// readers, and the blocks that show it. All of it is escaped already.
type Message struct {
	Text   string
	Blocks []slack.Block
	Key    string // names the step that posts it, so that a restarted step finds its post; "" for none
}

// A View is a modal. Close and Submit are the words on its buttons; without
// Submit it only shows something.
type View struct {
	Title    string
	Close    string
	Submit   string
	Callback string
	Private  string // comes back in Submit.Private
	Blocks   []slack.Block
}

// The builders below name blocks by the screen and its part: Slack wants ids
// that are unique within a message, and new ones on each update.

func mrkdwn(s string) *slack.TextBlockObject {
	return &slack.TextBlockObject{Type: slack.MarkdownType, Text: s}
}

func plainText(s string) *slack.TextBlockObject {
	off := false
	return &slack.TextBlockObject{Type: slack.PlainTextType, Text: s, Emoji: &off}
}

func section(id, text string) *slack.SectionBlock {
	return slack.NewSectionBlock(mrkdwn(text), nil, nil, slack.SectionBlockOptionBlockID(id), slack.SectionBlockOptionExpand(true))
}

func fields(id string, texts ...string) *slack.SectionBlock {
	b := slack.NewSectionBlock(nil, nil, nil, slack.SectionBlockOptionBlockID(id))
	for _, t := range texts {
		b.Fields = append(b.Fields, mrkdwn(t))
	}
	return b
}

func header(id, text string) *slack.HeaderBlock {
	return slack.NewHeaderBlock(plainText(text), slack.HeaderBlockOptionBlockID(id))
}

func contextLine(id string, texts ...string) *slack.ContextBlock {
	var elements []slack.MixedElement
	for _, t := range texts {
		elements = append(elements, mrkdwn(t))
	}
	return slack.NewContextBlock(id, elements...)
}

func actions(id string, buttons ...*slack.ButtonBlockElement) *slack.ActionBlock {
	b := slack.NewActionBlock(id)
	for _, e := range buttons {
		b.Elements.ElementSet = append(b.Elements.ElementSet, e)
	}
	return b
}

// button makes a button; label says to a screen reader what it does.
func button(action, value, text, label string) *slack.ButtonBlockElement {
	b := slack.NewButtonBlockElement(action, value, plainText(text))
	b.AccessibilityLabel = label
	return b
}

func confirm(title, text, yes, no string) *slack.ConfirmationBlockObject {
	return slack.NewConfirmationBlockObject(plainText(title), plainText(text), plainText(yes), plainText(no))
}

// table makes a table of literal texts, all columns wrapped.
func table(id string, rows ...[]string) *slack.TableBlock {
	b := slack.NewTableBlock(id)
	for _, r := range rows {
		var cells []slack.TableCell
		for _, c := range r {
			cells = append(cells, slack.NewTableRawTextCell(c))
		}
		b.AddRow(cells...)
	}
	if len(rows) > 0 {
		for range rows[0] {
			b.ColumnSettings = append(b.ColumnSettings, slack.ColumnSetting{Align: slack.ColumnAlignmentLeft, IsWrapped: true})
		}
	}
	return b
}

// clock shows t in the reader's time zone, and in UTC where Slack cannot.
func clock(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{time}|%s>", t.Unix(), t.UTC().Format("15:04 UTC"))
}

// bullets makes a list of at most limit lines and says how many it left out.
func bullets(lines []string, limit int, more string) string {
	var b strings.Builder
	for i, l := range lines {
		if i == limit {
			fmt.Fprintf(&b, "• and %d more%s\n", len(lines)-limit, more)
			break
		}
		b.WriteString("• " + l + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// plural is "1 check", "2 checks".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// blocks is its arguments less those that are nil.
func blocks(in ...slack.Block) []slack.Block {
	var out []slack.Block
	for _, b := range in {
		if b != nil {
			out = append(out, b)
		}
	}
	return out
}
