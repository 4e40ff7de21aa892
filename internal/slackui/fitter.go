package slackui

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// A fitter copies blocks into the limits of one message or view. It knows the
// blocks that the bot uses; all others are dropped.
type fitter struct {
	tables  int // how many more it may keep; the rest become lines
	ids     map[string]bool
	actions map[string]bool
}

func (f *fitter) blocks(in []slack.Block) []slack.Block {
	var out []slack.Block
	for _, b := range in {
		if b = f.block(b); b != nil {
			out = append(out, b)
		}
	}
	return out
}

// block returns a copy of b within the limits, nil if nothing of it is left.
func (f *fitter) block(b slack.Block) slack.Block {
	switch b := b.(type) {
	case *slack.SectionBlock:
		if b != nil {
			return f.section(b)
		}
	case *slack.HeaderBlock:
		if b != nil && text(b.Text) != "" {
			return header(f.id(b.BlockID), ellipsis(text(b.Text), maxHeader))
		}
	case *slack.ContextBlock:
		if b != nil {
			return f.context(b)
		}
	case *slack.ActionBlock:
		if b != nil {
			return f.buttons(b)
		}
	case *slack.DividerBlock:
		if b != nil {
			return &slack.DividerBlock{Type: slack.MBTDivider, BlockID: f.id(b.BlockID)}
		}
	case *slack.ImageBlock:
		if b != nil {
			return f.image(b)
		}
	case *slack.TableBlock:
		if b != nil {
			return f.table(b)
		}
	}
	return nil
}

func (f *fitter) section(b *slack.SectionBlock) slack.Block {
	out := &slack.SectionBlock{Type: slack.MBTSection, Text: fitText(b.Text, maxSection), Expand: b.Expand}
	for _, t := range b.Fields {
		if t = fitText(t, maxField); t != nil && len(out.Fields) < maxFields {
			out.Fields = append(out.Fields, t)
		}
	}
	if out.Text == nil && len(out.Fields) == 0 {
		return nil
	}
	if b.Accessory != nil {
		if e := f.element(b.Accessory.ButtonElement); e != nil {
			out.Accessory = slack.NewAccessory(e)
		}
	}
	out.BlockID = f.id(b.BlockID)
	return out
}

func (f *fitter) context(b *slack.ContextBlock) slack.Block {
	out := &slack.ContextBlock{Type: slack.MBTContext}
	for _, e := range b.ContextElements.Elements {
		t, ok := e.(*slack.TextBlockObject)
		if !ok || len(out.ContextElements.Elements) == maxContext {
			continue
		}
		if t = fitText(t, maxField); t != nil {
			out.ContextElements.Elements = append(out.ContextElements.Elements, t)
		}
	}
	if len(out.ContextElements.Elements) == 0 {
		return nil
	}
	out.BlockID = f.id(b.BlockID)
	return out
}

func (f *fitter) buttons(b *slack.ActionBlock) slack.Block {
	out := &slack.ActionBlock{Type: slack.MBTAction, Elements: &slack.BlockElements{}}
	if b.Elements == nil {
		return nil
	}
	for _, e := range b.Elements.ElementSet {
		button, _ := e.(*slack.ButtonBlockElement)
		if e := f.element(button); e != nil && len(out.Elements.ElementSet) < maxActions {
			out.Elements.ElementSet = append(out.Elements.ElementSet, e)
		}
	}
	if len(out.Elements.ElementSet) == 0 {
		return nil
	}
	out.BlockID = f.id(b.BlockID)
	return out
}

// element returns a copy of a button within the limits. A button whose link
// or value would have to be cut would do something else: it is dropped.
func (f *fitter) element(b *slack.ButtonBlockElement) *slack.ButtonBlockElement {
	if b == nil || runes(b.Value) > 2000 || !link(b.URL) {
		return nil
	}
	out := &slack.ButtonBlockElement{
		Type: slack.METButton, Value: visible(b.Value), URL: b.URL,
		AccessibilityLabel: Plain(b.AccessibilityLabel, 75), Text: plainText(ellipsis(orElse(text(b.Text), "Open"), 75)),
	}
	if b.Style == slack.StylePrimary || b.Style == slack.StyleDanger {
		out.Style = b.Style
	}
	if b.Confirm != nil {
		out.Confirm = fitConfirm(b.Confirm)
	}
	out.ActionID = unique(f.actions, orElse(visible(b.ActionID), "button"))
	return out
}

func fitConfirm(c *slack.ConfirmationBlockObject) *slack.ConfirmationBlockObject {
	out := confirm(
		ellipsis(orElse(text(c.Title), "Are you sure?"), 100), ellipsis(orElse(text(c.Text), "Please confirm."), 300),
		ellipsis(orElse(text(c.Confirm), "Yes"), 30), ellipsis(orElse(text(c.Deny), "Back"), 30))
	if c.Style == slack.StylePrimary || c.Style == slack.StyleDanger {
		out.Style = c.Style
	}
	return out
}

func (f *fitter) image(b *slack.ImageBlock) slack.Block {
	if (b.ImageURL == "" || !link(b.ImageURL)) && b.SlackFile == nil {
		return nil
	}
	out := &slack.ImageBlock{Type: slack.MBTImage, AltText: orElse(Plain(b.AltText, maxAlt), "image")}
	if b.SlackFile != nil {
		file := *b.SlackFile
		out.SlackFile = &file
	} else {
		out.ImageURL = b.ImageURL
	}
	if t := text(b.Title); t != "" {
		out.Title = plainText(ellipsis(t, maxAlt))
	}
	out.BlockID = f.id(b.BlockID)
	return out
}

// The limits of a table.
const (
	maxRows      = 100
	maxCells     = 20
	maxTableText = 10_000
)

// table copies a table: as wide in every row as in the widest, no cell empty,
// numbers as text.
func (f *fitter) table(b *slack.TableBlock) slack.Block {
	if f.tables == 0 {
		return f.block(section(b.BlockID, cut(tableLines(b), maxSection)))
	}
	width := 0
	for _, row := range b.Rows {
		width = min(max(width, len(row)), maxCells)
	}
	if width == 0 {
		return nil
	}
	out := &slack.TableBlock{Type: slack.MBTTable}
	left := maxTableText
	for _, row := range b.Rows[:min(len(b.Rows), maxRows)] {
		cells := make([]slack.TableCell, width)
		for i := range cells {
			t := ""
			if i < len(row) {
				t = cellText(row[i])
			}
			t = orElse(Plain(t, min(500, left)), "–")
			left -= runes(t)
			cells[i] = slack.NewTableRawTextCell(t)
		}
		if left < maxCells {
			break // no place for another row
		}
		out.Rows = append(out.Rows, cells)
	}
	for i := range min(len(b.ColumnSettings), width) {
		s := b.ColumnSettings[i]
		if s.Align != slack.ColumnAlignmentCenter && s.Align != slack.ColumnAlignmentRight {
			s.Align = slack.ColumnAlignmentLeft // "" is refused
		}
		out.ColumnSettings = append(out.ColumnSettings, s)
	}
	f.tables--
	out.BlockID = f.id(b.BlockID)
	return out
}

// cellText is what a cell says; a rich text cell says nothing to us.
func cellText(c slack.TableCell) string {
	switch c := c.(type) {
	case *slack.TableRawTextCell:
		if c != nil {
			return c.Text
		}
	case *slack.TableRawNumberCell:
		if c != nil {
			return orElse(c.Text, strconv.FormatFloat(c.Value, 'g', -1, 64))
		}
	}
	return ""
}

// id makes a block id unique; blocks without one keep none, and Slack makes
// it up.
func (f *fitter) id(id string) string {
	if id = visible(id); id == "" {
		return ""
	}
	return unique(f.ids, id)
}

// twin marks the second and later buttons of one action in a message, whose
// ids must differ; Decode takes it off again.
const twin = "~"

// unique returns id, or id with a number when it was given out before.
func unique(seen map[string]bool, id string) string {
	id = ellipsis(id, maxID-8)
	for n, try := 2, id; ; n++ {
		if !seen[try] {
			seen[try] = true
			return try
		}
		try = fmt.Sprintf("%s%s%d", id, twin, n)
	}
}

// fitText returns a copy of t within limit, nil for a text without ink.
func fitText(t *slack.TextBlockObject, limit int) *slack.TextBlockObject {
	s := text(t)
	if s == "" {
		return nil
	}
	if t.Type == slack.PlainTextType {
		return plainText(ellipsis(s, limit))
	}
	return &slack.TextBlockObject{Type: slack.MarkdownType, Text: cut(s, limit), Verbatim: t.Verbatim}
}

// text is the text of t, "" for one that shows nothing.
func text(t *slack.TextBlockObject) string {
	if t == nil {
		return ""
	}
	return inked(t.Text)
}

// inked is visible for a finished text: the zero-width spaces that Escape put
// in stay, and what has no ink at all is "".
func inked(s string) string {
	parts := strings.Split(s, zeroWidth)
	for i := range parts {
		parts[i] = visible(parts[i])
	}
	if strings.TrimSpace(strings.Join(parts, "")) == "" {
		return ""
	}
	return strings.Join(parts, zeroWidth)
}

// link reports whether s is empty or a web address that Slack accepts.
func link(s string) bool {
	if s == "" {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && runes(s) <= maxURL
}

func runes(s string) int { return utf8.RuneCountInString(s) }

func orElse(s, other string) string {
	if strings.TrimSpace(s) == "" {
		return other
	}
	return s
}
