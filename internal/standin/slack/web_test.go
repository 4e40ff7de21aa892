package slack_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	standin "github.com/hopwise/hopwise/internal/standin/slack"
)

func button(action, value string) slack.Block {
	return slack.NewActionBlock("block."+action, slack.NewButtonBlockElement(action, value, slack.NewTextBlockObject("plain_text", action, false, false)))
}

// apiURL is the address of the Web API, out of an upload URL.
func apiURL(t *testing.T, api *slack.Client) string {
	t.Helper()
	_, address, err := api.StartSocketModeContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(address, "ws://"), "/")
	return "http://" + host + "/api/"
}

func do(t *testing.T, req *http.Request, out any) *http.Response {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		t.Fatal(err)
	}
	return resp
}

// serve is for tests that speak HTTP themselves.
func serve(t *testing.T, opts standin.Options) (*standin.Server, string) {
	t.Helper()
	opts.NoRateLimits = true
	s := standin.New(opts)
	web := httptest.NewServer(s)
	t.Cleanup(func() { s.Close(); web.Close() })
	return s, web.URL
}

// call posts JSON with the bot's token and gives the answer back.
func call(t *testing.T, base, method, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequest("POST", base+"/api/"+method, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Authorization", "Bearer "+standin.BotToken)
	out := map[string]any{}
	do(t, req, &out)
	return out
}

func TestPostInThreadAndReadItBack(t *testing.T) {
	s, api := start(t, standin.Options{})
	ts := s.Say(standin.Ana, standin.Incidents, "", "network issue")
	for i := range 5 {
		_, _, err := api.PostMessage(standin.Incidents, slack.MsgOptionText(fmt.Sprint("answer ", i), true), slack.MsgOptionTS(ts),
			slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "run", EventPayload: map[string]any{"id": "r1"}}))
		if err != nil {
			t.Fatal(err)
		}
	}
	var texts []string
	cursor := ""
	for {
		page, more, next, err := api.GetConversationReplies(&slack.GetConversationRepliesParameters{
			ChannelID: standin.Incidents, Timestamp: ts, Limit: 2, Cursor: cursor, IncludeAllMetadata: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page[1:] { // every page starts with the parent
			texts = append(texts, m.Text)
			if m.Metadata.EventType != "run" || m.ThreadTimestamp != ts {
				t.Errorf("reply: %+v", m)
			}
		}
		if cursor = next; !more {
			break
		}
	}
	if diff := cmp.Diff([]string{"answer 0", "answer 1", "answer 2", "answer 3", "answer 4"}, texts); diff != "" {
		t.Error(diff)
	}
	history, err := api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: standin.Incidents})
	if err != nil || len(history.Messages) != 1 || history.Messages[0].ReplyCount != 5 {
		t.Errorf("history: %+v, %v", history, err)
	}
	if got := len(s.Thread(standin.Incidents, ts)); got != 6 {
		t.Errorf("thread has %d messages, want 6", got)
	}
}

func TestChatErrors(t *testing.T) {
	s, base := serve(t, standin.Options{})
	human := s.Say(standin.Ana, standin.Incidents, "", "hi")
	post := func(channel, rest string) string { return fmt.Sprintf(`{"channel":%q,%s}`, channel, rest) }
	tests := []struct{ method, body, want string }{
		{"chat.postMessage", post("C0NONE", `"text":"x"`), "channel_not_found"},
		{"chat.postMessage", post(standin.Secret, `"text":"x"`), "channel_not_found"},
		{"chat.postMessage", post(standin.Random, `"text":"x"`), "not_in_channel"},
		{"chat.postMessage", post(standin.Archive, `"text":"x"`), "is_archived"},
		{"chat.postMessage", post(standin.Incidents, `"text":" "`), "no_text"},
		{"chat.postMessage", post(standin.Incidents, `"text":"x","thread_ts":"1.1"`), "thread_not_found"},
		{"chat.postMessage", post(standin.Incidents, `"text":"x","blocks":"{"`), "invalid_blocks_format"},
		{"chat.postMessage", post(standin.Incidents, `"text":"x","metadata":{"event_type":"x"}`), "invalid_metadata_format"},
		{"chat.postMessage", `{"channel":`, "invalid_json"},
		{"chat.update", post(standin.Incidents, `"ts":"1.1","text":"x"`), "message_not_found"},
		{"chat.update", post("#incidents", `"ts":"1.1","text":"x"`), "channel_not_found"},
		{"conversations.replies", post("#incidents", `"ts":"1.1"`), "channel_not_found"},
		{"conversations.replies", post(standin.Incidents, `"ts":"1.1"`), "thread_not_found"},
		{"chat.update", post(standin.Incidents, fmt.Sprintf(`"ts":%q,"text":"x"`, human)), "cant_update_message"},
		{"chat.delete", post(standin.Incidents, fmt.Sprintf(`"ts":%q`, human)), "cant_delete_message"},
		{"chat.postEphemeral", post(standin.Ops, `"user":"UGIL","text":"x"`), "user_not_in_channel"},
		{"chat.postEphemeral", post(standin.Ops, `"user":"U0","text":"x"`), "user_not_found"},
		{"reactions.add", post(standin.Incidents, `"timestamp":"1.1","name":"eyes"`), "message_not_found"},
		{"reactions.add", post(standin.Incidents, fmt.Sprintf(`"timestamp":%q,"name":":eyes:"`, human)), "invalid_name"},
		{"reactions.remove", post(standin.Incidents, fmt.Sprintf(`"timestamp":%q,"name":"eyes"`, human)), "no_reaction"},
		{"conversations.history", post(standin.Random, `"limit":1`), "not_in_channel"},
		{"conversations.history", post(standin.Incidents, `"cursor":"x"`), "invalid_cursor"},
		{"conversations.info", post(standin.Incidents, `"limit":1`), "missing_scope"},
		{"users.info", `{"user":"U0"}`, "user_not_found"},
		{"usergroups.users.list", `{"usergroup":"S0"}`, "no_such_subteam"},
		{"views.open", `{"trigger_id":"1.2.3","view":{"type":"modal","title":{"type":"plain_text","text":"x"},"blocks":[]}}`, "invalid_trigger_id"},
		{"no.such", `{}`, "unknown_method"},
	}
	for _, test := range tests {
		if got := call(t, base, test.method, test.body); got["ok"] != false || got["error"] != test.want {
			t.Errorf("%s %s: %v, want %s", test.method, test.body, got, test.want)
		}
	}
}

func TestMissingScopeNamesIt(t *testing.T) {
	_, base := serve(t, standin.Options{Scopes: []string{"commands"}})
	got := call(t, base, "chat.postMessage", `{"channel":"C0INC","text":"x"}`)
	if got["needed"] != "chat:write" || got["provided"] != "commands" {
		t.Errorf("%v", got)
	}
}

func TestUpdate(t *testing.T) {
	s, api := start(t, standin.Options{})
	_, ts, err := api.PostMessage(standin.Ops, slack.MsgOptionText("one", false), slack.MsgOptionBlocks(button("a", "v")))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := api.UpdateMessage(standin.Ops, ts, slack.MsgOptionText("two", false)); err != nil {
		t.Fatal(err)
	}
	got := s.Messages(standin.Ops)
	if len(got) != 1 || got[0].Text != "two" || got[0].Edits != 1 || got[0].Blocks != nil {
		t.Errorf("after the update: %+v", got)
	}
	_, _, _, err = api.UpdateMessage(standin.Ops, ts, slack.MsgOptionText(strings.Repeat("x", 4001), false))
	wantError(t, err, "msg_too_long")
	_, rich, err := api.PostMessage(standin.Ops, slack.MsgOptionBlocks(slack.NewMarkdownBlock("", "**x**")))
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, err = api.UpdateMessage(standin.Ops, rich, slack.MsgOptionBlocks(slack.NewDividerBlock()))
	wantError(t, err, "block_mismatch")
	s.RemoveBot(standin.Ops)
	_, _, _, err = api.UpdateMessage(standin.Ops, ts, slack.MsgOptionText("three", false))
	wantError(t, err, "not_in_channel")
}

func wantError(t *testing.T, err error, code string) {
	t.Helper()
	var e slack.SlackErrorResponse
	if !errors.As(err, &e) || e.Err != code {
		t.Errorf("error %v, want %s", err, code)
	}
}

func TestLongTextIsCut(t *testing.T) {
	s, api := start(t, standin.Options{})
	if _, _, err := api.PostMessage(standin.Ops, slack.MsgOptionText(strings.Repeat("ä", 50000), false)); err != nil {
		t.Fatal(err)
	}
	if got := len([]rune(s.Messages(standin.Ops)[0].Text)); got != 40000 {
		t.Errorf("stored %d characters, want 40000", got)
	}
}

func TestPeople(t *testing.T) {
	_, api := start(t, standin.Options{})
	gil, err := api.GetUserInfo(standin.Gil)
	if err != nil || !gil.IsRestricted {
		t.Errorf("guest: %+v, %v", gil, err)
	}
	eve, err := api.GetUserInfo(standin.Eve)
	if err != nil || !eve.IsStranger || eve.TeamID != "T0OTHER" {
		t.Errorf("stranger: %+v, %v", eve, err)
	}
	members, err := api.GetUserGroupMembersContext(t.Context(), "S0NETOPS")
	if diff := cmp.Diff([]string{standin.Bo}, members); diff != "" || err != nil {
		t.Error(diff, err)
	}
	users, err := api.GetUsers(slack.GetUsersOptionLimit(2)) // follows the cursor
	if err != nil || len(users) != 6 {
		t.Errorf("%d users, %v, want 6", len(users), err)
	}
	bot, err := api.GetBotInfo(slack.GetBotInfoParameters{Bot: "B0BOT"})
	if err != nil || bot.AppID != "A0HOPWISE" {
		t.Errorf("bot: %+v, %v", bot, err)
	}
}

func TestReactions(t *testing.T) {
	s, api := start(t, standin.Options{})
	ts := s.Say(standin.Ana, standin.Ops, "", "hi")
	ref := slack.NewRefToMessage(standin.Ops, ts)
	if err := api.AddReaction("eyes", ref); err != nil {
		t.Fatal(err)
	}
	wantError(t, api.AddReaction("eyes", ref), "already_reacted")
	want := []standin.Reaction{{Name: "eyes", Users: []string{standin.Bot}}}
	if diff := cmp.Diff(want, s.Messages(standin.Ops)[0].Reactions); diff != "" {
		t.Error(diff)
	}
	if err := api.RemoveReaction("eyes", ref); err != nil {
		t.Fatal(err)
	}
	if got := s.Messages(standin.Ops)[0].Reactions; len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestRateLimits(t *testing.T) {
	_, api := start(t, standin.Options{RateLimits: map[string]standin.Limit{"users.info": {PerMinute: 1, Burst: 1}}})
	post := func(channel string) error {
		_, _, err := api.PostMessage(channel, slack.MsgOptionText("x", false))
		return err
	}
	for range 5 {
		if err := post(standin.Ops); err != nil {
			t.Fatal(err)
		}
	}
	var limited *slack.RateLimitedError
	if err := post(standin.Ops); !errors.As(err, &limited) || limited.RetryAfter.Seconds() != 1 {
		t.Errorf("sixth message in a second: %v", err)
	}
	if err := post(standin.Incidents); err != nil {
		t.Errorf("another channel: %v", err)
	}
	if _, err := api.GetUserInfo(standin.Ana); err != nil {
		t.Fatal(err)
	}
	if _, err := api.GetUserInfo(standin.Ana); !errors.As(err, &limited) || limited.RetryAfter.Seconds() < 55 {
		t.Errorf("second users.info: %v", err)
	}
}
