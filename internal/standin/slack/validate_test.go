package slack_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	standin "github.com/hopwise/hopwise/internal/standin/slack"
)

func x(n int) string { return strings.Repeat("x", n) }

// many repeats a block or an element with %d replaced by its number.
func many(n int, format string) string {
	var out []string
	for i := range n {
		out = append(out, strings.ReplaceAll(format, "%d", fmt.Sprint(i)))
	}
	return strings.Join(out, ",")
}

func section(text string) string {
	return fmt.Sprintf(`{"type":"section","text":{"type":"mrkdwn","text":%q}}`, text)
}

func plain(text string) string { return fmt.Sprintf(`{"type":"plain_text","text":%q}`, text) }

func actions(elements string) string { return `{"type":"actions","elements":[` + elements + `]}` }

func knob(rest string) string { return `{"type":"button","text":` + plain("Go") + rest + `}` }

func table(rows, rest string) string { return `{"type":"table","rows":[` + rows + `]` + rest + `}` }

func cell(text string) string { return fmt.Sprintf(`{"type":"raw_text","text":%q}`, text) }

func dialog(confirmText string) string {
	return fmt.Sprintf(`,"confirm":{"title":%s,"text":%s,"confirm":%s,"deny":%s}`, plain("Sure?"), plain(confirmText), plain("Yes"), plain("No"))
}

// Every limit has a block that just fits and one that does not.
var limits = []struct{ name, fits, breaks, message string }{
	{"section text", section(x(3000)), section(x(3001)), "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"},
	{"code points, not bytes", section(strings.Repeat("ä", 3000)), section(strings.Repeat("ä", 3001)),
		"must be less than 3001 characters [json-pointer:/blocks/0/text/text]"},
	{"empty text", section("x"), section(""), "must be more than 0 characters [json-pointer:/blocks/0/text/text]"},
	{"section needs something", section("x"), `{"type":"section"}`, "must define either `text` or `fields` [json-pointer:/blocks/0]"},
	{"fields", `{"type":"section","fields":[` + many(10, plain("f")) + `]}`, `{"type":"section","fields":[` + many(11, plain("f")) + `]}`,
		"no more than 10 items allowed [json-pointer:/blocks/0/fields]"},
	{"field text", `{"type":"section","fields":[` + plain(x(2000)) + `]}`, `{"type":"section","fields":[` + plain(x(2001)) + `]}`,
		"must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]"},
	{"header", `{"type":"header","text":` + plain(x(150)) + `}`, `{"type":"header","text":` + plain(x(151)) + `}`,
		"must be less than 151 characters [json-pointer:/blocks/0/text/text]"},
	{"header is plain", `{"type":"header","text":` + plain("x") + `}`, `{"type":"header","text":{"type":"mrkdwn","text":"x"}}`,
		"unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]"},
	{"context", `{"type":"context","elements":[` + many(10, plain("c")) + `]}`, `{"type":"context","elements":[` + many(11, plain("c")) + `]}`,
		"no more than 10 items allowed [json-pointer:/blocks/0/elements]"},
	{"actions", actions(many(25, knob(`,"action_id":"a%d"`))), actions(many(26, knob(`,"action_id":"a%d"`))),
		"no more than 25 items allowed [json-pointer:/blocks/0/elements]"},
	{"action_id twice", actions(many(2, knob(`,"action_id":"a%d"`))), actions(many(2, knob(`,"action_id":"a"`))),
		"`action_id` \"a\" already exists [json-pointer:/blocks/0/elements/1/action_id]"},
	{"action_id", actions(knob(`,"action_id":"` + x(255) + `"`)), actions(knob(`,"action_id":"` + x(256) + `"`)),
		"must be less than 256 characters [json-pointer:/blocks/0/elements/0/action_id]"},
	{"button text", actions(`{"type":"button","text":` + plain(x(75)) + `}`), actions(`{"type":"button","text":` + plain(x(76)) + `}`),
		"must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]"},
	{"button value", actions(knob(`,"value":"` + x(2000) + `"`)), actions(knob(`,"value":"` + x(2001) + `"`)),
		"must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]"},
	{"button url", actions(knob(`,"url":"https://e.example/` + x(2982) + `"`)), actions(knob(`,"url":"https://e.example/` + x(2983) + `"`)),
		"must be less than 3001 characters [json-pointer:/blocks/0/elements/0/url]"},
	{"button style", actions(knob(`,"style":"danger"`)), actions(knob(`,"style":"default"`)),
		"must be a valid enum value [json-pointer:/blocks/0/elements/0/style]"},
	{"accessibility label", actions(knob(`,"accessibility_label":"` + x(75) + `"`)), actions(knob(`,"accessibility_label":"` + x(76) + `"`)),
		"must be less than 76 characters [json-pointer:/blocks/0/elements/0/accessibility_label]"},
	{"confirm text", actions(knob(dialog(x(300)))), actions(knob(dialog(x(301)))),
		"must be less than 301 characters [json-pointer:/blocks/0/elements/0/confirm/text/text]"},
	{"image alt", `{"type":"image","image_url":"https://e.example/a.png","alt_text":"` + x(2000) + `"}`,
		`{"type":"image","image_url":"https://e.example/a.png"}`, "missing required field: alt_text [json-pointer:/blocks/0]"},
	{"image source", `{"type":"image","image_url":"https://e.example/a.png","alt_text":"a"}`, `{"type":"image","alt_text":"a"}`,
		"must define exactly one of `image_url` and `slack_file` [json-pointer:/blocks/0]"},
	{"unknown file", `{"type":"divider"}`, `{"type":"image","slack_file":{"id":"F00000000"},"alt_text":"a"}`,
		"invalid slack file [json-pointer:/blocks/0/slack_file]"},
	{"table rows", table(many(100, "["+cell("c")+"]"), ""), table(many(101, "["+cell("c")+"]"), ""),
		"no more than 100 items allowed [json-pointer:/blocks/0/rows]"},
	{"table cells", table("["+many(20, cell("c"))+"]", ""), table("["+many(21, cell("c"))+"]", ""),
		"no more than 20 items allowed [json-pointer:/blocks/0/rows/0]"},
	{"table cell", table("["+cell("c")+"]", ""), table("["+cell("")+"]", ""),
		"must be more than 0 characters [json-pointer:/blocks/0/rows/0/0/text]"},
	{"table characters", table("["+many(2, cell(x(5000)))+"]", ""), table("["+many(2, cell(x(5001)))+"]", ""),
		"must be less than 10001 characters [json-pointer:/blocks/0/rows]"},
	{"column align", table("["+cell("c")+"]", `,"column_settings":[{"align":"right","is_wrapped":true}]`),
		table("["+cell("c")+"]", `,"column_settings":[{"align":"","is_wrapped":true}]`),
		"must be a valid enum value [json-pointer:/blocks/0/column_settings/0/align]"},
	{"block_id twice", `{"type":"divider","block_id":"b"},{"type":"divider","block_id":"c"}`,
		`{"type":"divider","block_id":"b"},{"type":"divider","block_id":"b"}`, "`block_id` \"b\" already exists [json-pointer:/blocks/1/block_id]"},
	{"blocks", many(50, `{"type":"divider"}`), many(51, `{"type":"divider"}`), "no more than 50 items allowed [json-pointer:/blocks]"},
	{"container children", `{"type":"container","title":` + plain("t") + `,"child_blocks":[` + many(10, `{"type":"divider"}`) + `]}`,
		`{"type":"container","title":` + plain("t") + `,"child_blocks":[` + many(11, `{"type":"divider"}`) + `]}`,
		"no more than 10 items allowed [json-pointer:/blocks/0/child_blocks]"},
	{"alert is for modals", `{"type":"divider"}`, `{"type":"alert","text":` + plain("x") + `}`, "unsupported type: alert [json-pointer:/blocks/0/type]"},
	{"input is for modals", `{"type":"divider"}`, `{"type":"input","label":` + plain("x") + `}`, "unsupported type: input [json-pointer:/blocks/0/type]"},
	{"unknown block", `{"type":"divider"}`, `{"type":"sektion"}`, "unsupported type: sektion [json-pointer:/blocks/0/type]"},
	{"unknown property", `{"type":"divider"}`, `{"type":"divider","color":"red"}`, "invalid additional property: color [json-pointer:/blocks/0]"},
	{"no type", `{"type":"divider"}`, `{}`, "missing required field: type [json-pointer:/blocks/0]"},
	{"no object", `{"type":"divider"}`, `7`, "must provide an object [json-pointer:/blocks/0]"},
	{"null text", section("x"), `{"type":"section","text":null}`, "must provide an object [json-pointer:/blocks/0/text]"},
}

func TestBlockLimits(t *testing.T) {
	_, base := serve(t, standin.Options{})
	for _, test := range limits {
		t.Run(test.name, func(t *testing.T) {
			if got := call(t, base, "chat.postMessage", `{"channel":"C0OPS","text":"t","blocks":[`+test.fits+`]}`); got["ok"] != true {
				t.Errorf("what fits is refused: %v", got)
			}
			got := call(t, base, "chat.postMessage", `{"channel":"C0OPS","text":"t","blocks":[`+test.breaks+`]}`)
			want := map[string]any{"ok": false, "error": "invalid_blocks", "errors": []any{test.message},
				"response_metadata": map[string]any{"messages": []any{"[ERROR] " + test.message}}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if report := call(t, base, "blocks.validate", `{"blocks":[`+test.breaks+`]}`); report["error"] != "invalid_blocks" {
				t.Errorf("blocks.validate: %v", report)
			}
		})
	}
}

func TestMessageLimits(t *testing.T) {
	_, base := serve(t, standin.Options{})
	tests := []struct{ name, blocks, want string }{
		{"all blocks together", many(5, section(x(2700))), "msg_blocks_too_long"},
		{"nearly", many(4, section(x(2700))), ""},
		{"markup counts once", section(strings.Repeat("<", 3000)), ""},
		{"two tables", many(2, table("["+cell("c")+"]", "")), "invalid_attachments"},
	}
	for _, test := range tests {
		got, _ := call(t, base, "chat.postMessage", `{"channel":"C0OPS","blocks":[`+test.blocks+`]}`)["error"].(string)
		if got != test.want {
			t.Errorf("%s: error %q, want %q", test.name, got, test.want)
		}
	}
}

func TestBlocksValidate(t *testing.T) {
	_, base := serve(t, standin.Options{})
	got := call(t, base, "blocks.validate", `{"blocks":[{"block_id":"b"}]}`)
	want := map[string]any{"ok": false, "error": "invalid_blocks", "errors": []any{map[string]any{
		"code": "missing_field", "message": "missing required field: type", "field": "type", "pointer": "/0"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for body, ok := range map[string]bool{
		`{"message":{"text":"x","blocks":[` + section("x") + `]}}`:                             true,
		`{"view":{"type":"modal","title":` + plain("t") + `,"blocks":[` + section("x") + `]}}`: true,
		`{"view":{"type":"modal","title":` + plain(x(25)) + `,"blocks":[]}}`:                   false,
		`{"blocks":[],"view":{}}`: false,
		`{}`:                      false,
	} {
		if got := call(t, base, "blocks.validate", body); got["ok"] != ok {
			t.Errorf("%s: %v", body, got)
		}
	}
}

// Whatever comes in, the answer is an answer.
func FuzzPostMessage(f *testing.F) {
	for _, l := range limits[:8] {
		f.Add(`[` + l.breaks + `]`)
	}
	f.Add(`[{"type":"context","elements":[null,{"type":3}]},{"type":"actions","elements":[{"type":"button"}]}]`)
	f.Add(`{"a":[]}`)
	f.Fuzz(func(t *testing.T, blocks string) {
		_, base := serve(t, standin.Options{})
		body, err := json.Marshal(map[string]string{"channel": standin.Ops, "text": "t", "blocks": blocks})
		if err != nil {
			t.Skip()
		}
		got := call(t, base, "chat.postMessage", string(body))
		if _, ok := got["ok"].(bool); !ok || got["error"] == "internal_error" {
			t.Errorf("%q: %v", blocks, got)
		}
	})
}
