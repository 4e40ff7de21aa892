package slack

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

const (
	maxMessageBlocks = 50
	maxViewBlocks    = 100
	// maxBlocksChars is where Slack answers msg_blocks_too_long. It is not
	// published; people measured about 13,200 characters of JSON.
	maxBlocksChars   = 13200
	maxMarkdownChars = 12000
)

// block is the rule for any block of the surface. It is a function, not a
// variable, since a container holds blocks again.
func block(c *checker, at string, v any) { typed(blockShapes, checkBlock)(c, at, v) }

// childBlock is a block inside a container.
func childBlock(c *checker, at string, v any) {
	only := func(c *checker) map[string]shape {
		out, all := map[string]shape{}, blockShapes(c)
		for _, k := range []string{"divider", "image", "section", "actions", "video", "header", "context", "table"} {
			out[k] = all[k]
		}
		return out
	}
	typed(only, checkBlock)(c, at, v)
}

// checkBlock is what a shape cannot say.
func checkBlock(c *checker, at, kind string, o map[string]any) {
	if id, _ := o["block_id"].(string); id != "" {
		if c.blockIDs[id] {
			c.add("duplicate_block_id", at+"/block_id", nil, "`block_id` \"%s\" already exists", id)
		}
		c.blockIDs[id] = true
	}
	checkActionIDs(c, at, o)
	checkImage(c, at, kind, o)
	switch kind {
	case "section":
		_, hasText := o["text"]
		if _, hasFields := o["fields"]; !hasText && !hasFields {
			c.add("missing_field", at, nil, "must define either `text` or `fields`")
		}
	case "table":
		c.tables++
		checkTable(c, at, o, 10000)
	case "data_table":
		checkTable(c, at, o, 20000)
	case "markdown":
		s, _ := o["text"].(string)
		c.markdown += utf8.RuneCountInString(s)
	}
}

// checkActionIDs: an action_id is unique within its block.
func checkActionIDs(c *checker, at string, o map[string]any) {
	seen := map[string]bool{}
	elements, _ := o["elements"].([]any)
	for i, e := range elements {
		element, _ := e.(map[string]any)
		id, _ := element["action_id"].(string)
		if id != "" && seen[id] {
			c.add("duplicate_action_id", fmt.Sprintf("%s/elements/%d/action_id", at, i), nil, "`action_id` \"%s\" already exists", id)
		}
		seen[id] = true
	}
}

func checkTable(c *checker, at string, o map[string]any, high int) {
	chars := 0
	rows, _ := o["rows"].([]any)
	for _, row := range rows {
		cells, _ := row.([]any)
		for _, cell := range cells {
			m, _ := cell.(map[string]any)
			s, _ := m["text"].(string)
			chars += utf8.RuneCountInString(s)
		}
	}
	if chars > high {
		c.add("too_long", at+"/rows", high, "must be less than %d characters", high+1)
	}
}

func tableCell(c *checker, at string, v any) {
	typed(func(*checker) map[string]shape {
		return map[string]shape{
			"raw_text":   {"type": typeTag, "text": {str(1, 10000), true}},
			"raw_number": {"type": typeTag, "value": {number(-1e300, 1e300), true}, "text": {rule: str(1, 10000)}},
			"rich_text":  {"type": typeTag, "elements": {list(1, 1000, richText), true}, "block_id": id255},
		}
	}, nil)(c, at, v)
}

// columnSetting refuses "align": "" as Slack does; null skips a column.
func columnSetting(c *checker, at string, v any) {
	if v != nil {
		c.object(at, v, shape{"align": {rule: enum("left", "center", "right")}, "is_wrapped": flag})
	}
}

func contextElement(c *checker, at string, v any) {
	if o, _ := v.(map[string]any); o["type"] == "image" {
		onlyElements("image")(c, at, v)
		return
	}
	text(3000, false)(c, at, v)
}

// richText looks at the outer elements only.
func richText(c *checker, at string, v any) {
	s := shape{"type": typeTag, "elements": {list(0, 1000, nil), true}, "style": anyProp, "indent": anyProp, "offset": anyProp, "border": anyProp}
	typed(func(*checker) map[string]shape {
		return map[string]shape{"rich_text_section": s, "rich_text_list": s, "rich_text_preformatted": s, "rich_text_quote": s}
	}, nil)(c, at, v)
}

func (s *Server) checker(modal bool) *checker {
	return &checker{modal: modal, blockIDs: map[string]bool{}, fileOK: s.fileOK}
}

// blocks checks an array of blocks at a pointer.
func (c *checker) blocks(at string, v any) {
	high := maxMessageBlocks
	if c.modal {
		high = maxViewBlocks
	}
	list(0, high, block)(c, at, v)
	if c.markdown > maxMarkdownChars {
		c.add("too_long", at, maxMarkdownChars, "must be less than %d characters in all markdown blocks", maxMarkdownChars+1)
	}
}

// fail is the error of chat.* and views.* methods for the problems found.
func (c *checker) fail(code string) error {
	if len(c.problems) == 0 {
		return nil
	}
	e := apiError{Code: code}
	for _, p := range c.problems {
		e.Messages = append(e.Messages, fmt.Sprintf("%s [json-pointer:%s]", p.Message, p.Pointer))
	}
	return e
}

// messageBlocks checks the blocks argument of a message and gives it back
// compact, with a block_id in each block as Slack adds one; nil for none.
func (s *Server) messageBlocks(raw json.RawMessage) (json.RawMessage, error) {
	if raw == nil {
		return nil, nil
	}
	v, ok := decode(raw)
	if _, isList := v.([]any); !ok || !isList {
		return nil, apiError{Code: "invalid_blocks_format"}
	}
	c := s.checker(false)
	c.blocks("/blocks", v)
	if err := c.fail("invalid_blocks"); err != nil {
		return nil, err
	}
	if c.tables > 1 {
		return nil, apiError{Code: "invalid_attachments", Messages: []string{"only_one_table_allowed"}}
	}
	if utf8.RuneCount(marshal(v)) > maxBlocksChars {
		return nil, apiError{Code: "msg_blocks_too_long"}
	}
	return s.withBlockIDs(v), nil
}

// withBlockIDs names the blocks and the interactive elements that have no id.
func (s *Server) withBlockIDs(v any) json.RawMessage {
	list, _ := v.([]any)
	if len(list) == 0 {
		return nil
	}
	for _, b := range list {
		s.nameBlock(b)
	}
	return marshal(list)
}

func (s *Server) nameBlock(v any) {
	b, _ := v.(map[string]any)
	if id, _ := b["block_id"].(string); id == "" {
		b["block_id"] = s.id("b")
	}
	elements, _ := b["elements"].([]any)
	for _, key := range []string{"accessory", "element"} {
		elements = append(elements, b[key])
	}
	for _, e := range elements {
		m, _ := e.(map[string]any)
		kind, _ := m["type"].(string)
		_, interactive := elementShapes(nil)[kind]
		if id, _ := m["action_id"].(string); interactive && kind != "image" && id == "" {
			m["action_id"] = s.id("a")
		}
	}
	children, _ := b["child_blocks"].([]any)
	for _, c := range children {
		s.nameBlock(c)
	}
}

// viewShape is a modal, as views.open takes it.
var viewShape = shape{"type": {enum("modal"), true}, "title": {text(24, true), true}, "submit": {rule: text(24, true)},
	"close": {rule: text(24, true)}, "private_metadata": {rule: str(0, 3000)}, "callback_id": {rule: str(0, 255)},
	"external_id": {rule: str(0, 255)}, "clear_on_close": flag, "notify_on_close": flag, "submit_disabled": flag,
	"blocks": typeTag}

// checkView checks a modal at a pointer: first its own fields, then blocks.
func (c *checker) view(at string, v any) (blocks *checker) {
	o, _ := c.object(at, v, viewShape)
	inner := &checker{modal: true, blockIDs: c.blockIDs, fileOK: c.fileOK}
	if list, ok := o["blocks"]; ok {
		inner.blocks(at+"/blocks", list)
		if hasInput(list) && o["submit"] == nil {
			c.add("missing_field", at, nil, "missing required field: submit")
		}
	}
	return inner
}

func hasInput(v any) bool {
	list, _ := v.([]any)
	for _, b := range list {
		if m, _ := b.(map[string]any); m["type"] == "input" {
			return true
		}
	}
	return false
}

// validateReport is blocks.validate. Its pointers start inside the argument.
func (s *Server) validateReport(q request) (reply, error) {
	c := s.checker(false)
	for _, key := range []string{"blocks", "message", "view"} {
		raw := q.raw(key)
		if raw == nil {
			continue
		}
		v, ok := decode(raw)
		if !ok {
			return nil, apiError{Code: "invalid_blocks_format"}
		}
		switch o, _ := v.(map[string]any); key {
		case "blocks":
			c.blocks("", v)
		case "message":
			c.blocks("/blocks", o["blocks"])
		case "view":
			inner := c.view("", v)
			c.problems = append(c.problems, inner.problems...)
		}
	}
	if len(c.problems) == 0 {
		return reply{}, nil
	}
	return nil, blockErrors(c.problems)
}

// blockErrors is how blocks.validate fails: with objects, not sentences.
type blockErrors []problem

func (b blockErrors) Error() string { return "invalid_blocks" }
