package slack_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"

	standin "github.com/hopwise/hopwise/internal/standin/slack"
)

// A browser is the socket of a page.
type browser struct {
	t  *testing.T
	ws *websocket.Conn
}

func browse(t *testing.T, base, user string) browser {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(base, "http")+"/page/ws?user="+user, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	return browser{t, ws}
}

func (b browser) send(v standin.PageRequest) {
	b.t.Helper()
	if err := b.ws.WriteJSON(v); err != nil {
		b.t.Fatal(err)
	}
}

// frame is the next frame of a type, into a struct of protocol.go.
func (b browser) frame(kind string, into any) {
	b.t.Helper()
	for {
		_ = b.ws.SetReadDeadline(time.Now().Add(30 * time.Second))
		_, data, err := b.ws.ReadMessage()
		if err != nil {
			b.t.Fatalf("waiting for a %s frame: %v", kind, err)
		}
		var head struct{ Type string }
		if err := json.Unmarshal(data, &head); err != nil {
			b.t.Fatal(err)
		}
		if head.Type == kind {
			if err := json.Unmarshal(data, into); err != nil {
				b.t.Fatal(err)
			}
			return
		}
	}
}

func TestPageState(t *testing.T) {
	s, base := serve(t, standin.Options{})
	s.Say(standin.Ana, standin.Incidents, "", "hi")
	for user, want := range map[string][]string{
		standin.Ana: {"C0INC", "C0OPS", "C0RAND", "G0WAR", "G0SEC", "C0ARCH", "D0ANA"},
		standin.Gil: {"C0INC", "C0RAND", "D0GIL"}, // a guest sees what they are in
		standin.Eve: {"C0INC"},
	} {
		resp, err := http.Get(base + "/page/state?user=" + user)
		if err != nil {
			t.Fatal(err)
		}
		var state standin.StateFrame
		if err := json.NewDecoder(resp.Body).Decode(&state); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		var got []string
		for _, c := range state.Channels {
			got = append(got, c.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" || state.Me != user || len(state.Messages[standin.Incidents]) != 1 {
			t.Errorf("%s: %s", user, diff)
		}
	}
}

func TestPageConversation(t *testing.T) {
	s, api := start(t, standin.Options{})
	base := strings.TrimSuffix(apiURL(t, api), "/api/")
	connect(t, s, api, always)
	ana, bo := browse(t, base, standin.Ana), browse(t, base, standin.Bo)
	var state standin.StateFrame
	ana.frame("state", &state)
	bo.frame("state", &state) // from here on Bo misses nothing
	ana.send(standin.PageRequest{Type: "say", Channel: standin.Ops, Text: "network <issue>"})
	var said standin.MessageFrame
	bo.frame("message", &said)
	if said.Message.Text != "network &lt;issue&gt;" || said.Message.User != standin.Ana {
		t.Errorf("%+v", said)
	}
	_, ts, err := api.PostMessage(standin.Ops, slack.MsgOptionTS(said.Message.TS), slack.MsgOptionBlocks(button("rem.approve", "p1:hash")))
	if err != nil {
		t.Fatal(err)
	}
	var parent standin.MessageFrame
	bo.frame("message_changed", &parent)
	if parent.Message.ReplyCount != 1 || parent.Message.LatestReply != ts {
		t.Errorf("parent after a reply: %+v", parent.Message)
	}
	bo.send(standin.PageRequest{Type: "press", Re: "7", Channel: standin.Ops, TS: ts, BlockID: "block.rem.approve", ActionID: "rem.approve"})
	var pressed standin.PressedFrame
	bo.frame("pressed", &pressed)
	if !pressed.OK || pressed.Re != "7" {
		t.Errorf("%+v", pressed)
	}
	if _, err := api.PostEphemeral(standin.Ops, standin.Bo, slack.MsgOptionText("only you", false)); err != nil {
		t.Fatal(err)
	}
	var only standin.MessageFrame
	bo.frame("ephemeral", &only)
	bo.send(standin.PageRequest{Type: "switch_user", User: standin.Ana})
	bo.frame("state", &state)
	if len(state.Messages[standin.Ops]) != 2 || state.Me != standin.Ana {
		t.Errorf("after the switch: %+v", state.Messages[standin.Ops])
	}
	if err := api.AddReaction("eyes", slack.NewRefToMessage(standin.Ops, ts)); err != nil {
		t.Fatal(err)
	}
	var reaction standin.ReactionFrame
	ana.frame("reaction", &reaction)
	if len(reaction.Reactions) != 1 || reaction.Reactions[0].Name != "eyes" {
		t.Errorf("%+v", reaction)
	}
	s.Reset()
	ana.frame("state", &state)
	if len(state.Messages[standin.Ops]) != 0 || state.Bot != 1 {
		t.Errorf("after the reset: %+v", state)
	}
}

func TestPageMistakes(t *testing.T) {
	s, base := serve(t, standin.Options{})
	own := s.Say(standin.Bo, standin.Ops, "", "mine")
	gil := browse(t, base, standin.Gil)
	ana := browse(t, base, standin.Ana)
	tests := []struct {
		who  browser
		send standin.PageRequest
		want string
	}{
		{gil, standin.PageRequest{Type: "say", Channel: standin.Ops, Text: "let me in"}, "not_sent"},
		{gil, standin.PageRequest{Type: "say", Channel: "C0NONE", Text: "x"}, "not_sent"},
		{ana, standin.PageRequest{Type: "say", Channel: standin.Archive, Text: "x"}, "not_sent"},
		{ana, standin.PageRequest{Type: "say", Channel: standin.Ops}, "not_sent"},
		{ana, standin.PageRequest{Type: "say", Channel: standin.Ops, Text: "x"}, "app_not_running"},
		{ana, standin.PageRequest{Type: "say", Channel: standin.Random, Text: "x"}, "bot_not_in_channel"},
		{ana, standin.PageRequest{Type: "command", Channel: standin.Ops, Command: "/hopwise"}, "dispatch_failed"},
		{ana, standin.PageRequest{Type: "command", Channel: standin.Ops, Command: "/other"}, "unknown_command"},
		{ana, standin.PageRequest{Type: "press", Channel: standin.Ops, TS: own, ActionID: "x"}, "bad_request"},
		{ana, standin.PageRequest{Type: "submit_view", ViewID: "V1"}, "not_found"},
		{ana, standin.PageRequest{Type: "edit", Channel: standin.Ops, TS: own, Text: "x"}, "not_allowed"},
		{ana, standin.PageRequest{Type: "delete", Channel: standin.Ops, TS: own}, "not_allowed"},
		{ana, standin.PageRequest{Type: "switch_user", User: standin.Bot}, "user_not_found"},
		{ana, standin.PageRequest{Type: "dance"}, "bad_request"},
	}
	for _, test := range tests {
		test.who.send(test.send)
		var got standin.ErrorFrame
		test.who.frame("error", &got)
		if got.Error != test.want || got.Message == "" {
			t.Errorf("%+v: %+v, want %s", test.send, got, test.want)
		}
	}
}

func TestPageOfAnotherSiteIsRefused(t *testing.T) {
	_, base := serve(t, standin.Options{})
	header := http.Header{"Origin": {"https://evil.example"}}
	ws, resp, _ := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(base, "http")+"/page/ws", header)
	if ws != nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %+v, want 403", resp)
	}
}

func TestPageFilesAndExtra(t *testing.T) {
	_, base := serve(t, standin.Options{
		Page: http.FileServerFS(fstest.MapFS{"index.html": {Data: []byte("<h1>page</h1>")}}),
		Extra: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Path", r.URL.Path)
		}),
	})
	for path, want := range map[string]int{"/": 200, "/demo/reset": 200, "/none.css": 404} {
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, want)
		}
	}
}
