package slackui

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// A validator checks blocks as Slack does, on their JSON and from Slack's
// published limits alone; it shares no code with Fit.
type validator struct {
	errs    []string
	blocks  map[string]bool
	actions map[string]bool
	tables  int
}

func (v *validator) errorf(at, format string, args ...any) {
	v.errs = append(v.errs, at+": "+fmt.Sprintf(format, args...))
}

// wrongBlocks returns what is wrong with a message's blocks, or a view's.
func wrongBlocks(t *testing.T, bs []slack.Block, view bool) []string {
	t.Helper()
	raw, err := json.Marshal(bs)
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	v := &validator{blocks: map[string]bool{}, actions: map[string]bool{}}
	most := 50
	if view {
		most = 100
	} else if len(raw) > 12_000 {
		v.errorf("/blocks", "%d bytes of JSON", len(raw))
	}
	if len(list) > most {
		v.errorf("/blocks", "%d blocks", len(list))
	}
	for i, b := range list {
		v.block(fmt.Sprintf("/blocks/%d", i), b)
	}
	if v.tables > 1 || view && v.tables > 0 {
		v.errorf("/blocks", "%d tables", v.tables)
	}
	return v.errs
}

func (v *validator) block(at string, b map[string]any) {
	if id, ok := b["block_id"].(string); ok {
		if v.length(at+"/block_id", id, 1, 255); v.blocks[id] {
			v.errorf(at, "block_id %q twice", id)
		}
		v.blocks[id] = true
	}
	switch b["type"] {
	case "divider":
	case "header":
		v.text(at+"/text", b["text"], 150, "plain_text")
	case "section":
		v.section(at, b)
	case "context":
		for i, e := range v.list(at+"/elements", b["elements"], 1, 10) {
			v.text(fmt.Sprintf("%s/elements/%d", at, i), e, 2000, "")
		}
	case "actions":
		for i, e := range v.list(at+"/elements", b["elements"], 1, 25) {
			v.button(fmt.Sprintf("%s/elements/%d", at, i), e)
		}
	case "image":
		alt, _ := b["alt_text"].(string)
		v.length(at+"/alt_text", alt, 1, 2000)
		if b["title"] != nil {
			v.text(at+"/title", b["title"], 2000, "plain_text")
		}
		if b["image_url"] == nil && b["slack_file"] == nil {
			v.errorf(at, "image of nothing")
		}
	case "table":
		v.table(at, b)
	default:
		v.errorf(at, "type %v", b["type"])
	}
}

func (v *validator) section(at string, b map[string]any) {
	if b["text"] == nil && b["fields"] == nil {
		v.errorf(at, "neither text nor fields")
	}
	if b["text"] != nil {
		v.text(at+"/text", b["text"], 3000, "")
	}
	if b["fields"] != nil {
		for i, f := range v.list(at+"/fields", b["fields"], 1, 10) {
			v.text(fmt.Sprintf("%s/fields/%d", at, i), f, 2000, "")
		}
	}
	if b["accessory"] != nil {
		v.button(at+"/accessory", b["accessory"])
	}
}

func (v *validator) button(at string, e any) {
	b, _ := e.(map[string]any)
	if b["type"] != "button" {
		v.errorf(at, "element %v", b["type"])
		return
	}
	id, _ := b["action_id"].(string)
	if v.length(at+"/action_id", id, 1, 255); v.actions[id] {
		v.errorf(at, "action_id %q twice", id)
	}
	v.actions[id] = true
	v.text(at+"/text", b["text"], 75, "plain_text")
	for name, most := range map[string]int{"value": 2000, "url": 3000, "accessibility_label": 75} {
		s, _ := b[name].(string)
		v.length(at+"/"+name, s, 0, most)
	}
	if s, ok := b["style"]; ok && s != "primary" && s != "danger" {
		v.errorf(at, "style %v", s)
	}
	if c, ok := b["confirm"].(map[string]any); ok {
		v.text(at+"/confirm/title", c["title"], 100, "plain_text")
		v.text(at+"/confirm/text", c["text"], 300, "")
		v.text(at+"/confirm/confirm", c["confirm"], 30, "plain_text")
		v.text(at+"/confirm/deny", c["deny"], 30, "plain_text")
	}
}

func (v *validator) table(at string, b map[string]any) {
	v.tables++
	total, width := 0, -1
	for i, r := range v.list(at+"/rows", b["rows"], 1, 100) {
		row := v.list(fmt.Sprintf("%s/rows/%d", at, i), r, 1, 20)
		if width >= 0 && len(row) != width {
			v.errorf(at, "rows of %d and %d cells", width, len(row))
		}
		width = len(row)
		for j, c := range row {
			cell, _ := c.(map[string]any)
			s, _ := cell["text"].(string)
			if total += utf8.RuneCountInString(s); cell["type"] != "raw_text" || strings.TrimSpace(s) == "" {
				v.errorf(at, "cell %d/%d is %v", i, j, cell)
			}
		}
	}
	if total > 10_000 {
		v.errorf(at, "%d characters", total)
	}
	if b["column_settings"] != nil {
		for _, c := range v.list(at+"/column_settings", b["column_settings"], 0, width) {
			if s, _ := c.(map[string]any); !slices.Contains([]any{"left", "center", "right"}, s["align"]) {
				v.errorf(at, "align %v", s["align"])
			}
		}
	}
}

func (v *validator) list(at string, x any, least, most int) []any {
	l, _ := x.([]any)
	if len(l) < least || len(l) > most {
		v.errorf(at, "%d entries", len(l))
	}
	return l
}

func (v *validator) text(at string, x any, most int, only string) {
	o, _ := x.(map[string]any)
	if o["type"] != "mrkdwn" && o["type"] != "plain_text" || only != "" && o["type"] != only {
		v.errorf(at, "type %v", o["type"])
	}
	if o["type"] == "mrkdwn" && o["emoji"] != nil {
		v.errorf(at, "emoji with mrkdwn")
	}
	s, _ := o["text"].(string)
	if v.length(at, s, 1, most); strings.TrimSpace(s) == "" {
		v.errorf(at, "blank")
	}
}

func (v *validator) length(at, s string, least, most int) {
	if n := utf8.RuneCountInString(s); n < least || n > most {
		v.errorf(at, "%d characters, want %d to %d", n, least, most)
	}
	if !utf8.ValidString(s) {
		v.errorf(at, "no UTF-8")
	}
}
