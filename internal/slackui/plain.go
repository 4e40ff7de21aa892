package slackui

import (
	"strings"

	"github.com/slack-go/slack"
)

// plainer is m without the blocks that Slack takes back first: tables become
// lines, images and unknown blocks go.
func plainer(m Message) Message {
	out := Message{Text: m.Text, Key: m.Key}
	for _, b := range m.Blocks {
		switch b := b.(type) {
		case *slack.TableBlock:
			if text := tableLines(b); text != "" {
				out.Blocks = append(out.Blocks, section(b.BlockID, text))
			}
		case *slack.SectionBlock, *slack.HeaderBlock, *slack.ContextBlock, *slack.ActionBlock, *slack.DividerBlock:
			out.Blocks = append(out.Blocks, b)
		}
	}
	return Fit(out)
}

// textOnly is m as one text, for a Slack that accepts none of its blocks.
// Buttons cannot be part of it.
func textOnly(m Message) Message {
	return Message{Text: cut(PlainText(m), maxText), Key: m.Key}
}

// PlainText is all of m as mrkdwn text: its sentence, then its blocks.
func PlainText(m Message) string {
	parts := []string{m.Text}
	for _, b := range m.Blocks {
		if t := blockText(b); t != "" {
			parts = append(parts, t)
		}
	}
	return strings.Join(parts, "\n")
}

func blockText(b slack.Block) string {
	switch b := b.(type) {
	case *slack.HeaderBlock:
		return "*" + literal(b.Text.Text) + "*"
	case *slack.SectionBlock:
		return sectionText(b)
	case *slack.ContextBlock:
		var parts []string
		for _, e := range b.ContextElements.Elements {
			if t, ok := e.(*slack.TextBlockObject); ok {
				parts = append(parts, t.Text)
			}
		}
		return strings.Join(parts, "\n")
	case *slack.TableBlock:
		return tableLines(b)
	case *slack.ImageBlock:
		return literal(b.AltText)
	}
	return ""
}

func sectionText(b *slack.SectionBlock) string {
	var parts []string
	if b.Text != nil {
		parts = append(parts, b.Text.Text)
	}
	for _, f := range b.Fields {
		parts = append(parts, strings.Replace(f.Text, "\n", ": ", 1))
	}
	return strings.Join(parts, "\n")
}

// tableLines is a table as one line a row, each cell with its column's name.
func tableLines(b *slack.TableBlock) string {
	if len(b.Rows) < 2 {
		return ""
	}
	var lines []string
	size := 0
	for _, row := range b.Rows[1:] {
		var cells []string
		for i, c := range row {
			text := literal(Plain(cellText(c), 500))
			if i > 0 && i < len(b.Rows[0]) {
				text = literal(strings.ToLower(cellText(b.Rows[0][i]))) + ": " + text
			}
			cells = append(cells, text)
		}
		lines = append(lines, "• "+strings.Join(cells, " · "))
		if size += len(lines[len(lines)-1]); size > 8*maxSection {
			break // whoever shows it cuts it shorter
		}
	}
	return strings.Join(lines, "\n")
}
