package slack_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"

	standin "github.com/hopwise/hopwise/internal/standin/slack"
)

// dial opens a raw socket with a fresh ticket and skips the hello.
func dial(t *testing.T, api *slack.Client) *websocket.Conn {
	t.Helper()
	_, address, err := api.StartSocketModeContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ws, _, err := websocket.DefaultDialer.Dial(address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

type envelope struct {
	Type           string `json:"type"`
	Reason         string `json:"reason"`
	EnvelopeID     string `json:"envelope_id"`
	NumConnections int    `json:"num_connections"`
	RetryAttempt   *int   `json:"retry_attempt"`
	RetryReason    string `json:"retry_reason"`
	Accepts        bool   `json:"accepts_response_payload"`
	Payload        json.RawMessage
}

func read(t *testing.T, ws *websocket.Conn) envelope {
	t.Helper()
	_ = ws.SetReadDeadline(time.Now().Add(30 * time.Second))
	var e envelope
	if err := ws.ReadJSON(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestMessageReachesTheApp(t *testing.T) {
	s, api := start(t, standin.Options{})
	events := connect(t, s, api, always)
	if hello := next(t, events, socketmode.EventTypeHello); hello.Request.NumConnections != 1 {
		t.Errorf("num_connections = %d, want 1", hello.Request.NumConnections)
	}
	ts := s.Say(standin.Ana, standin.Incidents, "", "checkout <-> db & cart at #ops https://x.example/?a=1&b=2.")
	e := next(t, events, socketmode.EventTypeEventsAPI).Data.(slackevents.EventsAPIEvent)
	m := e.InnerEvent.Data.(*slackevents.MessageEvent)
	got := []string{e.TeamID, m.Channel, m.ChannelType, m.User, m.TimeStamp, m.SubType, m.Text}
	want := []string{"T0DEMO", standin.Incidents, "channel", standin.Ana, ts, "",
		"checkout &lt;-&gt; db &amp; cart at <#C0OPS|> <https://x.example/?a=1&amp;b=2>."}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wait(t, s, "the acknowledgement", func(s *standin.Server) bool { return s.Unacked() == 0 })
}

func TestMentionArrivesTwice(t *testing.T) {
	s, api := start(t, standin.Options{})
	events := connect(t, s, api, always)
	s.Say(standin.Ana, standin.Incidents, "", "@hopwise network issue")
	ids, kinds := map[string]bool{}, map[string]string{}
	for range 2 {
		e := next(t, events, socketmode.EventTypeEventsAPI).Data.(slackevents.EventsAPIEvent)
		ids[e.Data.(*slackevents.EventsAPICallbackEvent).EventID] = true
		switch m := e.InnerEvent.Data.(type) {
		case *slackevents.MessageEvent:
			kinds["message"] = m.Text
		case *slackevents.AppMentionEvent:
			kinds["app_mention"] = m.Text
		}
	}
	want := map[string]string{"message": "<@UBOT> network issue", "app_mention": "<@UBOT> network issue"}
	if diff := cmp.Diff(want, kinds); diff != "" || len(ids) != 2 {
		t.Errorf("event ids %v, events:\n%s", ids, diff)
	}
}

func TestAppHearsOnlyWhereItIs(t *testing.T) {
	s, api := start(t, standin.Options{})
	events := connect(t, s, api, always)
	s.Say(standin.Ana, standin.Random, "", "@hopwise anybody?")
	s.Say(standin.Ana, standin.Secret, "", "network issue")
	s.RemoveBot(standin.Incidents)
	s.Say(standin.Ana, standin.Incidents, "", "network issue")
	quiet(t, events, socketmode.EventTypeEventsAPI, 100*time.Millisecond)
	s.Say(standin.Ana, standin.DMAna, "", "network issue")
	e := next(t, events, socketmode.EventTypeEventsAPI).Data.(slackevents.EventsAPIEvent)
	if m := e.InnerEvent.Data.(*slackevents.MessageEvent); m.ChannelType != "im" {
		t.Errorf("channel_type = %q, want im", m.ChannelType)
	}
}

func TestEventsAboutMessages(t *testing.T) {
	s, api := start(t, standin.Options{})
	events := connect(t, s, api, always)
	inner := func() *slackevents.MessageEvent {
		return next(t, events, socketmode.EventTypeEventsAPI).Data.(slackevents.EventsAPIEvent).InnerEvent.Data.(*slackevents.MessageEvent)
	}
	ts := s.Say(standin.Ana, standin.Incidents, "", "first")
	inner()
	reply := s.Say(standin.Bo, standin.Incidents, ts, "second")
	if m := inner(); m.ThreadTimeStamp != ts || m.TimeStamp != reply {
		t.Errorf("reply: thread_ts %s ts %s", m.ThreadTimeStamp, m.TimeStamp)
	}
	if err := s.Edit(standin.Incidents, ts, "changed"); err != nil {
		t.Fatal(err)
	}
	if m := inner(); m.SubType != "message_changed" || m.Message.Text != "changed" || m.PreviousMessage.Text != "first" {
		t.Errorf("edit: %+v", m)
	}
	if err := s.Delete(standin.Incidents, reply); err != nil {
		t.Fatal(err)
	}
	if m := inner(); m.SubType != "message_deleted" || m.DeletedTimeStamp != reply {
		t.Errorf("delete: %+v", m)
	}
	s.Alert(standin.Incidents, "disk full", json.RawMessage(`[{"text":"node-3"}]`))
	if m := inner(); m.SubType != "bot_message" || m.BotID != "B0ALERT" || m.User != "" {
		t.Errorf("alert: %+v", m)
	}
	_, own, err := api.PostMessage(standin.Incidents, slack.MsgOptionText("mine", false))
	if err != nil {
		t.Fatal(err)
	}
	if m := inner(); m.BotID != "B0BOT" || m.User != standin.Bot {
		t.Errorf("own message: %+v", m)
	}
	if _, _, _, err := api.UpdateMessage(standin.Incidents, own, slack.MsgOptionText("mine, edited", false)); err != nil {
		t.Fatal(err)
	}
	if m := inner(); m.SubType != "message_changed" || m.Message.BotID != "B0BOT" {
		t.Errorf("own edit: %+v", m)
	}
}

func TestEventsAreRetried(t *testing.T) {
	delays := []time.Duration{time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond}
	s, api := start(t, standin.Options{AckTimeout: 30 * time.Millisecond, RetryDelays: delays})
	events := connect(t, s, api, never)
	s.Say(standin.Ana, standin.Incidents, "", "network issue")
	seen := map[string]bool{}
	for attempt := range 4 {
		e := next(t, events, socketmode.EventTypeEventsAPI)
		seen[e.Data.(slackevents.EventsAPIEvent).Data.(*slackevents.EventsAPICallbackEvent).EventID] = true
		if e.Request.RetryAttempt != attempt || attempt > 0 && e.Request.RetryReason != "timeout" {
			t.Errorf("delivery %d has retry_attempt %d, reason %q", attempt, e.Request.RetryAttempt, e.Request.RetryReason)
		}
	}
	if len(seen) != 1 {
		t.Errorf("retries have different event ids: %v", seen)
	}
	wait(t, s, "the end of retries", func(s *standin.Server) bool { return len(s.Lost()) == 1 })
	quiet(t, events, socketmode.EventTypeEventsAPI, 100*time.Millisecond)
}

func TestEventsWithoutSocketComeAsRetries(t *testing.T) {
	s, api := start(t, standin.Options{RetryDelays: []time.Duration{time.Millisecond, 300 * time.Millisecond}})
	s.Say(standin.Ana, standin.Incidents, "", "network issue")
	events := connect(t, s, api, always)
	if e := next(t, events, socketmode.EventTypeEventsAPI); e.Request.RetryAttempt == 0 {
		t.Error("the event came as if it was fresh")
	}
}

func TestClicksAreNotRetried(t *testing.T) {
	s, api := start(t, standin.Options{AckTimeout: 20 * time.Millisecond, RetryDelays: []time.Duration{time.Millisecond}})
	_, ts, err := api.PostMessage(standin.Ops, slack.MsgOptionBlocks(button("run.stop", "r1")))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Press(standin.Ana, standin.Ops, ts, "run.stop"); err != standin.ErrNoApp {
		t.Errorf("press without a socket: %v, want ErrNoApp", err)
	}
	events := connect(t, s, api, never)
	if err := s.Press(standin.Ana, standin.Ops, ts, "run.stop"); err != nil {
		t.Fatal(err)
	}
	next(t, events, socketmode.EventTypeInteractive)
	wait(t, s, "the loss", func(s *standin.Server) bool { return len(s.Lost()) > 0 })
	quiet(t, events, socketmode.EventTypeInteractive, 80*time.Millisecond)
	if err := s.Press(standin.Ana, standin.Ops, ts, "run.other"); err == nil {
		t.Error("pressed a button that is not there")
	}
}

func TestDisconnectAndReconnect(t *testing.T) {
	s, api := start(t, standin.Options{})
	events := connect(t, s, api, always)
	next(t, events, socketmode.EventTypeHello)
	for _, reason := range []string{"warning", "refresh_requested"} {
		s.Disconnect(reason)
		next(t, events, socketmode.EventTypeHello)
		wait(t, s, "one socket", func(s *standin.Server) bool { return s.Sockets() == 1 })
		s.Say(standin.Ana, standin.Incidents, "", "after "+reason)
		next(t, events, socketmode.EventTypeEventsAPI)
	}
	s.DropSockets()
	next(t, events, socketmode.EventTypeHello)
}

func TestEleventhSocketIsTurnedAway(t *testing.T) {
	s, api := start(t, standin.Options{})
	var sockets []*websocket.Conn
	for i := range 10 {
		ws := dial(t, api)
		if e := read(t, ws); e.Type != "hello" || e.NumConnections != i+1 {
			t.Fatalf("socket %d: %+v", i, e)
		}
		sockets = append(sockets, ws)
	}
	if e := read(t, dial(t, api)); e.Type != "disconnect" || e.Reason != "too_many_websockets" {
		t.Errorf("eleventh socket: %+v", e)
	}
	for range 10 {
		s.Say(standin.Ana, standin.Incidents, "", "hello")
	}
	for i, ws := range sockets { // every one gets a share
		if e := read(t, ws); e.Type != "events_api" {
			t.Errorf("socket %d: %+v", i, e)
		}
	}
}

func TestTicketsWorkOnce(t *testing.T) {
	_, api := start(t, standin.Options{})
	_, address, err := api.StartSocketModeContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{http.StatusSwitchingProtocols, http.StatusForbidden} {
		ws, resp, _ := websocket.DefaultDialer.Dial(address, nil)
		if ws != nil {
			defer ws.Close()
		}
		if resp == nil || resp.StatusCode != want {
			t.Errorf("dial %d: %+v, want status %d", i+1, resp, want)
		}
	}
}

func TestAcksThatSlackIgnores(t *testing.T) {
	tests := []struct {
		name string
		pad  int  // bytes of payload
		cut  bool // into two frames
		ok   bool
	}{
		{"plain", 0, false, true},
		{"just under the limit", 20000, false, true},
		{"too large", 20480, false, false},
		{"in fragments", 6000, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, api := start(t, standin.Options{})
			_, address, _ := api.StartSocketModeContext(t.Context())
			dialer := websocket.Dialer{WriteBufferSize: 32 << 10}
			if test.cut {
				dialer.WriteBufferSize = 4 << 10
			}
			ws, _, err := dialer.Dial(address, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer ws.Close()
			read(t, ws)
			s.Say(standin.Ana, standin.Incidents, "", "hello")
			id := read(t, ws).EnvelopeID
			ack(t, ws, map[string]any{"envelope_id": id, "payload": map[string]any{"x": strings.Repeat("x", test.pad)}})
			ack(t, ws, map[string]any{"envelope_id": "unknown"})
			time.Sleep(100 * time.Millisecond)
			if got := s.Unacked() == 0; got != test.ok {
				t.Errorf("acknowledged: %v, want %v", got, test.ok)
			}
		})
	}
}

// ack writes through a frame writer, which cuts messages larger than the
// buffer into fragments.
func ack(t *testing.T, ws *websocket.Conn, v any) {
	t.Helper()
	w, err := ws.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := json.Marshal(v)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAckOverAnotherSocket(t *testing.T) {
	s, api := start(t, standin.Options{})
	first := dial(t, api)
	read(t, first)
	s.Say(standin.Ana, standin.Incidents, "", "hello")
	id := read(t, first).EnvelopeID
	second := dial(t, api)
	read(t, second)
	first.Close()
	ack(t, second, map[string]any{"envelope_id": id})
	wait(t, s, "the acknowledgement", func(s *standin.Server) bool { return s.Unacked() == 0 })
}

func TestServerPingsAndAnswersPings(t *testing.T) {
	_, api := start(t, standin.Options{PingInterval: 10 * time.Millisecond})
	ws := dial(t, api)
	pings, pongs := make(chan string, 100), make(chan string, 100)
	ws.SetPingHandler(func(data string) error { pings <- data; return nil })
	ws.SetPongHandler(func(data string) error { pongs <- data; return nil })
	go func() {
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	}()
	if err := ws.WriteControl(websocket.PingMessage, []byte("me"), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]chan string{"ping": pings, "pong": pongs} {
		select {
		case <-c:
		case <-time.After(30 * time.Second):
			t.Error("no " + what)
		}
	}
}

func TestSocketTokens(t *testing.T) {
	s, api := start(t, standin.Options{})
	base, _ := url.Parse(apiURL(t, api))
	_ = s
	tests := []struct{ header, body, want string }{
		{"Bearer " + standin.AppToken, "", ""},
		{"Bearer " + standin.BotToken, "", "not_allowed_token_type"},
		{"Bearer xapp-other", "", "invalid_auth"},
		{"", "token=" + standin.AppToken, "not_authed"},
		{"", "", "not_authed"},
	}
	for _, test := range tests {
		req, _ := http.NewRequest("POST", base.JoinPath("apps.connections.open").String(), strings.NewReader(test.body))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if test.header != "" {
			req.Header.Set("Authorization", test.header)
		}
		var out struct{ Error string }
		do(t, req, &out)
		if out.Error != test.want {
			t.Errorf("header %q body %q: error %q, want %q", test.header, test.body, out.Error, test.want)
		}
	}
}
