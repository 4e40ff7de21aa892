package slack

// The shapes of Block Kit's blocks, as docs.slack.dev/reference/block-kit
// describes them, with every limit.

var (
	id255   = prop{rule: str(1, 255)}
	anyProp = prop{}
	typeTag = prop{need: true}
	flag    = prop{rule: boolean}

	plain75  = text(75, true)
	plain150 = text(150, true)

	slackFile = prop{rule: func(c *checker, at string, v any) {
		ref, ok := c.object(at, v, shape{"id": {rule: str(1, 255)}, "url": {rule: link}})
		if ok && (len(ref) != 1 || c.fileOK != nil && !c.fileOK(ref)) {
			c.add("invalid_slack_file", at, nil, "invalid slack file")
		}
	}}

	confirm = prop{rule: object(shape{
		"title": {text(100, true), true}, "text": {text(300, false), true},
		"confirm": {text(30, true), true}, "deny": {text(30, true), true},
		"style": {rule: enum("primary", "danger")}})}

	option = object(shape{"text": {text(75, false), true}, "value": {str(1, 150), true},
		"description": {rule: plain75}, "url": {rule: link}})

	feedbackButton = object(shape{"text": {plain75, true}, "value": {str(1, 2000), true},
		"accessibility_label": {rule: str(1, 75)}})
)

// elementShapes are the elements that may stand in a block.
func elementShapes(*checker) map[string]shape {
	choice := func(n int) shape {
		return shape{"type": typeTag, "action_id": id255, "options": {list(1, n, option), true}, "confirm": confirm,
			"initial_option": anyProp, "initial_options": anyProp, "focus_on_load": flag}
	}
	input := func() shape {
		return shape{"type": typeTag, "action_id": id255, "placeholder": {rule: plain150}, "focus_on_load": flag,
			"dispatch_action_config": anyProp, "initial_value": {rule: str(0, 3000)}, "confirm": confirm}
	}
	selector := func() shape {
		s := input()
		delete(s, "initial_value")
		for _, k := range []string{"initial_option", "initial_options", "initial_user", "initial_users", "initial_channel",
			"initial_channels", "initial_conversation", "initial_conversations", "default_to_current_conversation", "filter",
			"min_query_length", "max_selected_items", "response_url_enabled", "initial_date", "initial_time",
			"initial_date_time", "timezone"} {
			s[k] = anyProp
		}
		return s
	}
	static := selector()
	static["options"] = prop{rule: list(1, 100, option)}
	static["option_groups"] = prop{rule: list(1, 100, object(shape{"label": {plain75, true}, "options": {list(1, 100, option), true}}))}
	textInput := input()
	for _, k := range []string{"multiline", "min_length", "max_length"} {
		textInput[k] = anyProp
	}
	numberInput := input()
	for _, k := range []string{"is_decimal_allowed", "min_value", "max_value"} {
		numberInput[k] = anyProp
	}
	return map[string]shape{
		"button": {"type": typeTag, "text": {plain75, true}, "action_id": id255, "url": {rule: link}, "value": {rule: str(1, 2000)},
			"style": {rule: enum("primary", "danger")}, "confirm": confirm, "accessibility_label": {rule: str(1, 75)}},
		"image":    {"type": typeTag, "image_url": {rule: link}, "alt_text": {str(1, 2000), true}, "slack_file": slackFile},
		"overflow": choice(5), "checkboxes": choice(10), "radio_buttons": choice(10),
		"static_select": static, "multi_static_select": static,
		"users_select": selector(), "multi_users_select": selector(), "channels_select": selector(), "multi_channels_select": selector(),
		"conversations_select": selector(), "multi_conversations_select": selector(),
		"external_select": selector(), "multi_external_select": selector(),
		"datepicker": selector(), "timepicker": selector(), "datetimepicker": selector(),
		"plain_text_input": textInput, "email_text_input": input(), "url_text_input": input(), "number_input": numberInput,
		"rich_text_input": {"type": typeTag, "action_id": id255, "initial_value": anyProp, "placeholder": {rule: plain150},
			"dispatch_action_config": anyProp, "focus_on_load": flag},
		"file_input": {"type": typeTag, "action_id": id255, "filetypes": anyProp, "max_files": {rule: number(1, 10)}},
		"feedback_buttons": {"type": typeTag, "action_id": id255, "positive_button": {feedbackButton, true},
			"negative_button": {feedbackButton, true}},
		"icon_button": {"type": typeTag, "action_id": id255, "icon": {enum("trash"), true}, "text": {plain75, true},
			"value": {rule: str(1, 2000)}, "confirm": confirm, "accessibility_label": {rule: str(1, 75)}, "visible_to_user_ids": anyProp},
	}
}

// onlyElements are elements of the given types.
func onlyElements(kinds ...string) rule {
	pick := func(c *checker) map[string]shape {
		out, all := map[string]shape{}, elementShapes(c)
		for _, k := range kinds {
			out[k] = all[k]
		}
		return out
	}
	return typed(pick, checkImage)
}

// checkImage holds an image to exactly one source.
func checkImage(c *checker, at, kind string, o map[string]any) {
	if kind != "image" {
		return
	}
	_, byURL := o["image_url"]
	if _, byFile := o["slack_file"]; byURL == byFile {
		c.add("missing_field", at, nil, "must define exactly one of `image_url` and `slack_file`")
	}
}

var selects = []string{"static_select", "multi_static_select", "users_select", "multi_users_select", "channels_select",
	"multi_channels_select", "conversations_select", "multi_conversations_select", "external_select", "multi_external_select",
	"datepicker", "timepicker", "overflow", "checkboxes", "radio_buttons"}

func with(kinds ...string) []string { return append(kinds, selects...) }

// blockShapes are the blocks that the surface takes: alert and input stand in
// modals only, some others in messages only.
func blockShapes(c *checker) map[string]shape {
	all := map[string]shape{
		"section": {"type": typeTag, "block_id": id255, "text": {rule: text(3000, false)},
			"fields":    {rule: list(1, 10, text(2000, false))},
			"accessory": {rule: onlyElements(with("button", "image")...)}, "expand": flag},
		"header":  {"type": typeTag, "block_id": id255, "text": {plain150, true}, "level": {rule: number(1, 4)}},
		"divider": {"type": typeTag, "block_id": id255},
		"context": {"type": typeTag, "block_id": id255, "elements": {list(1, 10, contextElement), true}},
		"actions": {"type": typeTag, "block_id": id255,
			"elements": {list(1, 25, onlyElements(with("button", "datetimepicker")...)), true}},
		"context_actions": {"type": typeTag, "block_id": id255,
			"elements": {list(1, 5, onlyElements("feedback_buttons", "icon_button")), true}},
		"image": {"type": typeTag, "block_id": id255, "image_url": {rule: link}, "alt_text": {str(1, 2000), true},
			"title": {rule: text(2000, true)}, "slack_file": slackFile},
		"rich_text": {"type": typeTag, "block_id": id255, "elements": {list(1, 1000, richText), true}},
		"video": {"type": typeTag, "block_id": id255, "video_url": {link, true}, "thumbnail_url": {link, true}, "alt_text": {str(1, 2000), true},
			"title": {text(200, true), true}, "title_url": {rule: link}, "author_name": {rule: str(0, 50)}, "provider_name": anyProp,
			"provider_icon_url": anyProp, "description": {rule: text(200, true)}},
		"table": {"type": typeTag, "block_id": id255, "column_settings": {rule: list(1, 20, columnSetting)},
			"rows": {list(1, 100, list(1, 20, tableCell)), true}},
	}
	if c.modal {
		all["input"] = shape{"type": typeTag, "block_id": id255, "label": {text(2000, true), true}, "hint": {rule: text(2000, true)},
			"optional": flag, "dispatch_action": flag, "element": {onlyElements(with("plain_text_input", "email_text_input",
				"url_text_input", "number_input", "datetimepicker", "rich_text_input", "file_input")...), true}}
		all["alert"] = shape{"type": typeTag, "block_id": id255, "text": {text(200, false), true}, "level": anyProp}
		return all
	}
	addMessageBlocks(all)
	return all
}

// addMessageBlocks adds what only messages may have. card, carousel,
// task_card, plan, auth_provider, layout and call are refused: whether
// chat.postMessage takes them is not settled.
func addMessageBlocks(all map[string]shape) {
	all["markdown"] = shape{"type": typeTag, "block_id": id255, "text": {str(1, 12000), true}}
	all["container"] = shape{"type": typeTag, "block_id": id255, "title": {text(150, true), true}, "subtitle": {rule: text(150, true)},
		"icon": anyProp, "width": anyProp, "is_collapsible": flag, "default_collapsed": flag, "has_header_divider": flag,
		"child_blocks": {list(1, 10, childBlock), true}}
	all["data_table"] = shape{"type": typeTag, "block_id": id255, "caption": {str(1, 2000), true}, "page_size": {rule: number(1, 100)},
		"row_header_column_index": {rule: number(0, 19)}, "rows": {list(2, 201, list(1, 20, tableCell)), true}}
	all["data_visualization"] = shape{"type": typeTag, "block_id": id255, "title": {str(1, 50), true}, "chart": {object(chart), true}}
}

// chart limits are the lower of the two numbers in circulation.
var chart = shape{"type": {enum("bar", "line", "area", "pie"), true}, "segments": {rule: list(1, 6, nil)},
	"series": {rule: list(1, 6, nil)}, "axis_config": anyProp}
