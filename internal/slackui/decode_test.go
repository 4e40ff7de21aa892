package slackui

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var self = Self{Team: "T1", User: "UBOT", Bot: "BBOT", App: "A1"}

func envelope(typ, payload string) Envelope {
	return Envelope{ID: "env-1", Type: typ, Payload: json.RawMessage(payload)}
}

func TestDecodeEvents(t *testing.T) {
	msg := func(extra string) string {
		return `{"team_id":"T1","event_id":"Ev1","event":{"channel":"C1","user":"U1","ts":"5.1",` + extra + `}}`
	}
	ask := Ask{EventID: "Ev1", Team: "T1", Channel: "C1", User: "U1", TS: "5.1"}
	with := func(change func(*Ask)) Ask { a := ask; change(&a); return a }
	for name, c := range map[string]struct {
		payload string
		want    Event
	}{
		"message":          {msg(`"type":"message","text":"network issue"`), with(func(a *Ask) { a.Text = "network issue" })},
		"in a thread":      {msg(`"type":"message","text":"again","thread_ts":"4.1"`), with(func(a *Ask) { a.Text, a.Thread = "again", "4.1" })},
		"direct message":   {msg(`"type":"message","channel_type":"im","text":"hi"`), with(func(a *Ask) { a.Text, a.Mention = "hi", true })},
		"mention":          {msg(`"type":"app_mention","text":"<@UBOT> DNS failure"`), with(func(a *Ask) { a.Text, a.Mention = "DNS failure", true })},
		"mention, message": {msg(`"type":"message","text":"hey <@UBOT|hop> DNS"`), with(func(a *Ask) { a.Text, a.Mention = "hey DNS", true })},
		"file":             {msg(`"type":"message","subtype":"file_share","text":"see"`), with(func(a *Ask) { a.Text = "see" })},
		"broadcast":        {msg(`"type":"message","subtype":"thread_broadcast","text":"x","thread_ts":"4.1"`), with(func(a *Ask) { a.Text, a.Thread = "x", "4.1" })},
		"edited null":      {msg(`"type":"message","edited":null,"text":"x"`), with(func(a *Ask) { a.Text = "x" })},
		"changed":          {msg(`"type":"message","subtype":"message_changed","message":{"text":"network issue"}`), Ignored{"message of subtype message_changed"}},
		"deleted":          {msg(`"type":"message","subtype":"message_deleted"`), Ignored{"message of subtype message_deleted"}},
		"edited mention":   {msg(`"type":"app_mention","edited":{"ts":"6"},"text":"<@UBOT> x"`), Ignored{"edited message"}},
		"joined":           {msg(`"type":"message","subtype":"channel_join","text":"x"`), Ignored{"message of subtype channel_join"}},
		"bot":              {msg(`"type":"message","bot_id":"B2","text":"network issue"`), Ignored{"message of a bot"}},
		"bot subtype":      {msg(`"type":"message","subtype":"bot_message","text":"network issue"`), Ignored{"message of subtype bot_message"}},
		"itself":           {`{"event":{"type":"message","channel":"C1","user":"UBOT","ts":"1","text":"x"}}`, Ignored{"message of a bot"}},
		"slackbot":         {`{"event":{"type":"message","channel":"C1","user":"USLACKBOT","ts":"1","text":"x"}}`, Ignored{"message of a bot"}},
		"nobody":           {`{"event":{"type":"message","channel":"C1","ts":"1","text":"x"}}`, Ignored{"message without channel, user or time"}},
		"other event":      {msg(`"type":"reaction_added"`), Ignored{"event of type reaction_added"}},
		"no object":        {`[1]`, Ignored{"event that does not read as one"}},
		"nothing":          {``, Ignored{"event that does not read as one"}},
	} {
		if diff := cmp.Diff(c.want, Decode(envelope("events_api", c.payload), self)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDecodeRest(t *testing.T) {
	for name, c := range map[string]struct {
		typ, payload string
		want         Event
	}{
		"command": {"slash_commands", `{"team_id":"T1","channel_id":"C1","user_id":"U1","command":"/hopwise","text":"check &lt;shop&gt; &amp;co","response_url":"http://r"}`,
			Ask{EventID: "env-1", Team: "T1", Channel: "C1", User: "U1", Text: "check <shop> &co", Mention: true, Command: true, Response: "http://r"}},
		"command, odd": {"slash_commands", `"x"`, Ignored{"slash command that does not read as one"}},
		"press": {"interactive", `{"type":"block_actions","api_app_id":"A1","team":{"id":"T1"},"user":{"id":"U2","team_id":"T2"},"channel":{"id":"C1"},
			"trigger_id":"tr","message":{"ts":"7.1","thread_ts":"5.1"},"actions":[{"action_id":"rem.approve","value":"p:h","action_ts":"1548426417.840180"}]}`,
			Press{Team: "T1", UserTeam: "T2", Channel: "C1", User: "U2", Action: ActionApprove, Value: "p:h", MessageTS: "7.1", Thread: "5.1", TriggerID: "tr",
				At: time.Unix(1548426417, 840180000).UTC()}},
		"press of a twin, ephemeral": {"interactive", `{"type":"block_actions","team":null,"user":{"id":"U2","team_id":"T2"},
			"container":{"channel_id":"C1","message_ts":"7.1","thread_ts":"5.1"},"actions":[{"action_id":"rem.reject~2","value":"r:0:1","action_ts":"nan"}]}`,
			Press{Team: "T2", UserTeam: "T2", Channel: "C1", User: "U2", Action: ActionReject, Value: "r:0:1", MessageTS: "7.1", Thread: "5.1"}},
		"press without action": {"interactive", `{"type":"block_actions","user":{"id":"U2"},"actions":[]}`, Ignored{"press of nothing or by nobody"}},
		"press, other app":     {"interactive", `{"type":"block_actions","api_app_id":"A2","user":{"id":"U2"},"actions":[{}]}`, Ignored{"interaction with another app"}},
		"submit": {"interactive", `{"type":"view_submission","team":{"id":"T1"},"user":{"id":"U2"},"view":{"callback_id":"cb","private_metadata":"pm"}}`,
			Submit{Team: "T1", User: "U2", Callback: "cb", Private: "pm"}},
		"closed":  {"interactive", `{"type":"view_closed","user":{"id":"U2"}}`, Ignored{"interaction of type view_closed"}},
		"hello":   {"hello", ``, Ignored{"hello"}},
		"bye":     {"disconnect", ``, Ignored{"disconnect"}},
		"unknown": {"brand_new", `{}`, Ignored{"envelope of unknown type brand_new"}},
	} {
		if diff := cmp.Diff(c.want, Decode(envelope(c.typ, c.payload), self)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAskText(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"a &lt;b&gt; &amp;amp; c", "a <b> &amp; c"},
		{"see <#C1|ops>, <#C2>, <@U2>, <@U3|ann>, <!here>, <!subteam^S1|@net>", "see #ops, #C2, @U2, @ann, @here, @net"},
		{"<https://shop.example.com|shop.example.com> and <http://10.0.0.1:80/x>, <mailto:a@b.c|a@b.c>", "shop.example.com and http://10.0.0.1:80/x, a@b.c"},
		{"ok\n```\nnetwork issue\n``` fine `DNS failure` end", "ok\nfine end"},
		{"open ```network issue", "open"},
		{"&gt; network issue\nthat was yesterday\n  &gt; DNS failure", "that was yesterday"},
		{"so:\n&gt;&gt;&gt; network issue\nDNS failure", "so:"},
		{"port &gt; 1024 is blocked", "port > 1024 is blocked"},
		{"net\u200bwork \u202eissue\u202c\x00\x07", "network issue"},
		{"bad \xff\xfe bytes", "bad \ufffd bytes"},
		{"<@UBOT>", ""},
		{"네트워크 문제가 있어요", "네트워크 문제가 있어요"},
		{"<!date^1^{time}|noon> <", "noon <"},
	} {
		if got, _ := askText(c.raw, "UBOT"); got != c.want {
			t.Errorf("askText(%q) = %q, want %q", c.raw, got, c.want)
		}
	}
	long, _ := askText("network issue "+strings.Repeat("überlang ", 40_000), "")
	if n := utf8.RuneCountInString(long); n > maxAsk || n < maxAsk-20 || !strings.HasSuffix(long, "überlang") {
		t.Errorf("a long message is cut to %d characters, ending in %q", n, long[len(long)-20:])
	}
	if _, m := askText("```<@UBOT>``` fix", "UBOT"); m {
		t.Error("a mention inside a code block counts")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("events_api", `{"event":{"type":"message","channel":"C","user":"U","ts":"1","text":"<@UBOT> a &lt; b"}}`)
	f.Add("interactive", `{"type":"block_actions","user":{"id":"U"},"actions":[{"action_id":"a~2","action_ts":"1e400"}]}`)
	f.Add("slash_commands", `{"channel_id":"C","user_id":"U","text":"\u202e<"}`)
	f.Fuzz(func(t *testing.T, typ, payload string) {
		frame := fmt.Appendf(nil, `{"envelope_id":"e","type":%q,"payload":%s}`, typ, payload)
		env, err := ParseEnvelope(frame)
		if err != nil {
			env = envelope(typ, payload)
		}
		checkDecoded(t, Decode(env, self))
	})
}

func FuzzAskText(f *testing.F) {
	f.Add("<@UBOT> ```x``` &gt; a <http://x|y> \u202e &amp;lt;")
	f.Fuzz(func(t *testing.T, raw string) {
		payload, _ := json.Marshal(map[string]any{"event": map[string]any{"type": "message", "channel": "C", "user": "U", "ts": "1", "text": raw}})
		checkDecoded(t, Decode(envelope("events_api", string(payload)), self))
	})
}

// checkDecoded holds for every event, whatever came in.
func checkDecoded(t *testing.T, e Event) {
	switch e := e.(type) {
	case Ask:
		if e.User == "" || e.Channel == "" || e.User == self.User {
			t.Errorf("ask by nobody, nowhere or the bot itself: %+v", e)
		}
		if utf8.RuneCountInString(e.Text) > maxAsk || !utf8.ValidString(e.Text) || e.Text != visible(e.Text) {
			t.Errorf("text is too long or has invisible characters: %q", e.Text)
		}
	case Press:
		if e.User == "" || strings.Contains(e.Action, twin) {
			t.Errorf("press by nobody or with a raw action id: %+v", e)
		}
	case Submit, Ignored:
	default:
		t.Errorf("event of type %T", e)
	}
}
