package slackui

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// Slack's limits, in characters (Unicode code points) or entries. Sources:
// docs.slack.dev/reference/block-kit and the limits that Slack's own SDKs
// check. maxJSON is our own: Slack answers msg_blocks_too_long at about
// 13,200 characters of blocks, which it documents nowhere.
const (
	maxText       = 3900 // 4,000 is advised for the text of a message
	maxBlocks     = 50
	maxViewBlocks = 100
	maxJSON       = 12_000 // bytes, of a message's blocks
	maxViewJSON   = 60_000 // bytes, of a view's blocks
	maxSection    = 3000
	maxFields     = 10
	maxField      = 2000
	maxHeader     = 150
	maxContext    = 10
	maxActions    = 25
	maxID         = 255
	maxURL        = 3000
	maxAlt        = 2000
	maxViewTitle  = 24
	maxPrivate    = 3000
)

// leftOut ends a message that had to lose blocks.
const leftOut = "Some of this did not fit into one Slack message and was left out."

// Fit returns m within every limit of Block Kit, whatever m holds: texts are
// cut, empty and unknown blocks dropped, ids made unique. m is not changed.
func Fit(m Message) Message {
	out := Message{Text: cut(inked(m.Text), maxText), Key: m.Key}
	f := fitter{tables: 1, ids: map[string]bool{}, actions: map[string]bool{}}
	out.Blocks = shrink(f.blocks(m.Blocks), maxBlocks, maxJSON)
	if strings.TrimSpace(out.Text) == "" {
		out.Text = "Hopwise has news in this thread."
	}
	return out
}

// FitView returns v within every limit of a modal. v is not changed.
func FitView(v View) View {
	f := fitter{ids: map[string]bool{}, actions: map[string]bool{}}
	out := View{
		Title:    Plain(v.Title, maxViewTitle),
		Close:    Plain(v.Close, maxViewTitle),
		Submit:   Plain(v.Submit, maxViewTitle),
		Callback: ellipsis(v.Callback, maxID),
		Private:  ellipsis(v.Private, maxPrivate),
		Blocks:   shrink(f.blocks(v.Blocks), maxViewBlocks, maxViewJSON),
	}
	if strings.TrimSpace(out.Title) == "" {
		out.Title = "Hopwise"
	}
	if len(out.Blocks) == 0 {
		out.Blocks = []slack.Block{section("empty", "Nothing to show.")}
	}
	return out
}

// shrink brings blocks under a count and a size: the longest texts are halved
// first, then blocks go from the end. Buttons stay as long as anything else
// can go.
func shrink(blocks []slack.Block, count, size int) []slack.Block {
	sizes := make([]int, len(blocks))
	total := 0
	for i, b := range blocks {
		sizes[i] = jsonSize(b)
		total += sizes[i]
	}
	size -= len(leftOut) + 100 // for the last line
	dropped := false
	for len(blocks) > count || dropped && len(blocks) == count || total > size && len(blocks) > 0 {
		total = 0
		if i := longest(blocks); i >= 0 && !dropped && len(blocks) <= count {
			sizes[i] = jsonSize(blocks[i])
		} else {
			i := expendable(blocks)
			blocks, sizes = slices.Delete(blocks, i, i+1), slices.Delete(sizes, i, i+1)
			dropped = true
		}
		for _, n := range sizes {
			total += n
		}
	}
	if dropped {
		blocks = append(blocks, contextLine("left-out", leftOut))
	}
	return blocks
}

// jsonSize is how many bytes b takes in a list of blocks.
func jsonSize(b slack.Block) int {
	raw, err := json.Marshal(b)
	if err != nil {
		return 1 << 30 // cannot be sent, so it has to go
	}
	return len(raw) + 1
}

// longest halves the longest text among blocks, in place, and returns its
// block; -1 when no text is long enough to be worth it.
func longest(blocks []slack.Block) int {
	at, most := -1, 400
	var text *string
	for i, b := range blocks {
		for _, s := range texts(b) {
			if len(*s) > most {
				at, text, most = i, s, len(*s)
			}
		}
	}
	if at >= 0 {
		*text = cut(*text, utf8.RuneCountInString(*text)/2)
	}
	return at
}

// texts are the texts of a block that may be cut.
func texts(b slack.Block) []*string {
	var out []*string
	switch b := b.(type) {
	case *slack.SectionBlock:
		if b.Text != nil {
			out = append(out, &b.Text.Text)
		}
		for _, f := range b.Fields {
			out = append(out, &f.Text)
		}
	case *slack.ContextBlock:
		for _, e := range b.ContextElements.Elements {
			out = append(out, &e.(*slack.TextBlockObject).Text) // fitter makes no other elements
		}
	case *slack.TableBlock:
		for _, row := range b.Rows {
			for _, c := range row {
				out = append(out, &c.(*slack.TableRawTextCell).Text) // nor other cells
			}
		}
	}
	return out
}

// expendable is the last block that holds no buttons, or else the last.
func expendable(blocks []slack.Block) int {
	for i := len(blocks) - 1; i >= 0; i-- {
		if _, ok := blocks[i].(*slack.ActionBlock); !ok {
			return i
		}
	}
	return len(blocks) - 1
}

// cut shortens mrkdwn text to limit characters, never inside an entity
// (&amp;) or a mark (<@U1>, <url|label>), and closes code that it opened.
func cut(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	if limit < 8 {
		return ellipsis(strings.Map(noMarks, s), limit)
	}
	s = string([]rune(s)[:limit-4]) // room for "…" and a closing fence
	if i := strings.LastIndexByte(s, '&'); i >= 0 && len(s)-i < 6 && !strings.Contains(s[i:], ";") {
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '<'); i >= 0 && !strings.Contains(s[i:], ">") {
		s = s[:i]
	}
	s = strings.TrimRightFunc(s, unicode.IsSpace)
	switch {
	case strings.Count(s, "```")%2 == 1:
		s = strings.TrimRight(s, "`") // half a closing fence, if any
		if strings.Count(s, "```")%2 == 0 {
			return s + "…"
		}
		return s + "…```"
	case strings.Count(s, "`")%2 == 1:
		return s + "…`"
	}
	return s + "…"
}

func noMarks(r rune) rune {
	if strings.ContainsRune("&<>`", r) {
		return -1
	}
	return r
}
