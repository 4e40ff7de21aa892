package slackui

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"
)

// A heard is a running Listen and what it handed on.
type heard struct {
	f      *fakeSlack
	events chan Event
	ready  chan struct{}
	stop   context.CancelFunc
	ended  chan error
}

// listen starts Listen against a fake Slack. handle may be nil.
func listen(t *testing.T, cfg Config, handle func(context.Context, Event)) *heard {
	t.Helper()
	h := &heard{f: newFakeSlack(t), events: make(chan Event, 100), ready: make(chan struct{}, 1000), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	h.stop = cancel
	cfg.BotToken, cfg.AppToken, cfg.APIURL, cfg.Self = "xoxb-1", "xapp-1", h.f.URL+"/api", self
	cfg.Log = slog.New(slog.DiscardHandler)
	cfg.Ready = func() { h.ready <- struct{}{} }
	if cfg.reconnect == 0 {
		cfg.reconnect = 10 * time.Millisecond
	}
	go func() {
		h.ended <- Listen(ctx, cfg, func(ctx context.Context, e Event) {
			if handle != nil {
				handle(ctx, e)
			}
			h.events <- e
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-h.ended:
		case <-time.After(30 * time.Second):
			t.Error("Listen does not end")
		}
	})
	return h
}

func (h *heard) next(t *testing.T) Event {
	t.Helper()
	select {
	case e := <-h.events:
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("no event in 5 s")
		return nil
	}
}

// none checks that nothing more was handed on.
func (h *heard) none(t *testing.T) {
	t.Helper()
	select {
	case e := <-h.events:
		t.Errorf("unexpected event %+v", e)
	case <-time.After(100 * time.Millisecond):
	}
}

func message(envelope, event, typ, ts, thread, text string) string {
	return fmt.Sprintf(`{"envelope_id":%q,"type":"events_api","accepts_response_payload":false,"retry_attempt":0,"payload":{"token":"x","team_id":"T1","api_app_id":"A1",
		"type":"event_callback","event_id":%q,"event_time":1,"event":{"type":%q,"channel":"C1","user":"U1","ts":%q,"thread_ts":%q,"text":%q}}}`, envelope, event, typ, ts, thread, text)
}

func TestListenAcksFirstAndHandlesOnce(t *testing.T) {
	release := make(chan struct{})
	h := listen(t, Config{}, func(context.Context, Event) { <-release })
	s := h.f.next()
	<-h.ready
	for i, frame := range []string{
		message("e1", "Ev1", "message", "5.1", "", "network issue"),
		message("e1", "Ev1", "message", "5.1", "", "network issue"),             // the same envelope again
		message("e2", "Ev1", "message", "5.1", "", "network issue"),             // Slack's retry
		message("e3", "Ev2", "app_mention", "5.1", "", "<@UBOT> network issue"), // the mention's other event
	} {
		s.send(t, frame)
		if ack := s.acked(t); ack["envelope_id"] == "" || ack["payload"] != nil {
			t.Errorf("ack %d: %v", i, ack)
		}
	}
	close(release) // all were acknowledged while the handler still ran
	want := Ask{EventID: "Ev1", Team: "T1", Channel: "C1", User: "U1", Text: "network issue", TS: "5.1"}
	if diff := cmp.Diff(Event(want), h.next(t)); diff != "" {
		t.Error(diff)
	}
	h.none(t)
}

func TestListenAcksWhatItDoesNotKnow(t *testing.T) {
	h := listen(t, Config{}, nil)
	s := h.f.next()
	for _, frame := range []string{
		`{"envelope_id":"u1","type":"brand_new","payload":{}}`,
		`{"envelope_id":"u2","type":"events_api","payload":{"type":"event_callback","event":{"type":"brand_new_event","x":1}}}`,
		`{"envelope_id":"u3","type":"interactive","payload":"text"}`,
		`{"envelope_id":"u4","type":"slash_commands","payload":[]}`,
		`{"envelope_id":"u5","type":"events_api","payload":{"type":"event_callback","event":{"type":"message","subtype":"message_changed","channel":"C1"}}}`,
	} {
		s.send(t, frame)
		if ack := s.acked(t); !strings.Contains(frame, fmt.Sprint(ack["envelope_id"])) {
			t.Errorf("%s was answered %v", frame, ack)
		}
	}
	s.send(t, `no json`)
	s.send(t, `{"type":"brand_new"}`) // nothing to acknowledge
	s.send(t, message("e1", "Ev1", "message", "5.1", "", "still here"))
	if ack := s.acked(t); ack["envelope_id"] != "e1" {
		t.Errorf("after rubbish: %v", ack)
	}
	if a, _ := h.next(t).(Ask); a.Text != "still here" {
		t.Errorf("after rubbish: %+v", a)
	}
	h.none(t)
}

func TestListenSlashCommand(t *testing.T) {
	h := listen(t, Config{Reply: func(a Ask) string { return "On it: " + Escape(a.Text) }}, nil)
	s := h.f.next()
	frame := `{"envelope_id":"c1","type":"slash_commands","accepts_response_payload":true,"payload":{"team_id":"T1","channel_id":"C1","user_id":"U1","command":"/hopwise","text":"DNS &lt;b&gt;","response_url":"http://r"}}`
	s.send(t, frame)
	want := map[string]any{"envelope_id": "c1", "payload": map[string]any{"response_type": "ephemeral", "text": "On it: DNS &lt;b&gt;"}}
	if diff := cmp.Diff(want, s.acked(t)); diff != "" {
		t.Error(diff)
	}
	s.send(t, frame)
	if ack := s.acked(t); ack["payload"] != nil {
		t.Errorf("the second delivery is answered again: %v", ack)
	}
	if a, _ := h.next(t).(Ask); !a.Command || a.EventID != "c1" {
		t.Errorf("%+v", a)
	}
	h.none(t)
}

// TestListenOrder: events of one thread come one after the other in order, and
// do not hold up another thread; a panic costs one event.
func TestListenOrder(t *testing.T) {
	first := make(chan struct{})
	h := listen(t, Config{}, func(_ context.Context, e Event) {
		switch a := e.(Ask); a.Text {
		case "slow":
			<-first
		case "boom":
			panic("a bug")
		}
	})
	s := h.f.next()
	s.send(t, message("e1", "Ev1", "message", "5.1", "", "slow"))
	s.send(t, message("e2", "Ev2", "message", "5.2", "5.1", "boom"))
	for i := 3; i < 9; i++ {
		s.send(t, message(fmt.Sprint("e", i), fmt.Sprint("Ev", i), "message", fmt.Sprint("5.", i), "5.1", fmt.Sprint(i)))
	}
	s.send(t, message("e9", "Ev9", "message", "6.1", "", "other thread"))
	if a := h.next(t).(Ask); a.Text != "other thread" {
		t.Fatalf("%q came first", a.Text)
	}
	close(first)
	var got []string
	for range 7 {
		got = append(got, h.next(t).(Ask).Text)
	}
	if diff := cmp.Diff([]string{"slow", "3", "4", "5", "6", "7", "8"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestListenReconnects(t *testing.T) {
	h := listen(t, Config{}, nil)
	s := h.f.next()
	<-h.ready
	s.send(t, `{"type":"disconnect","reason":"refresh_requested","debug_info":{"host":"x"}}`)
	s = h.f.next()
	<-h.ready
	_ = s.conn.Close() // and once without a word
	s = h.f.next()
	<-h.ready
	s.send(t, message("e1", "Ev1", "message", "5.1", "", "back"))
	if a, _ := h.next(t).(Ask); a.Text != "back" {
		t.Errorf("%+v", a)
	}
}

// TestListenDoesNotStorm: Slack ends every connection at once, as it does when
// there are too many.
func TestListenDoesNotStorm(t *testing.T) {
	h := listen(t, Config{reconnect: 20 * time.Millisecond}, nil)
	done := time.After(1500 * time.Millisecond)
	for {
		select {
		case s := <-h.f.sockets:
			_ = s.conn.WriteMessage(1, []byte(`{"type":"disconnect","reason":"too_many_websockets","debug_info":{}}`))
			continue
		case <-done:
		}
		break
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if n := len(h.f.opens); n < 3 || n > 10 {
		t.Errorf("%d connections in 1.5 s, want a few", n)
	}
	for i := 2; i < len(h.f.opens)-1; i++ {
		if a, b := h.f.opens[i].Sub(h.f.opens[i-1]), h.f.opens[i+1].Sub(h.f.opens[i]); b < a {
			t.Errorf("space %d is %s, after %s", i, b, a)
		}
	}
}

func TestThrottle(t *testing.T) {
	th := newThrottle(time.Second, 30*time.Second, 0)
	now := time.Unix(1000, 0)
	var got []time.Duration
	for range 8 {
		wait := th.reserve(now)
		got = append(got, wait)
		now = now.Add(wait)
	}
	now = now.Add(2 * time.Second)
	th.greeted(now)
	now = now.Add(time.Hour) // a connection that lasted
	got = append(got, th.reserve(now), th.reserve(now))
	s := time.Second
	if diff := cmp.Diff([]time.Duration{0, s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s, 0, 2 * s}, got); diff != "" {
		t.Error(diff)
	}
}

func TestListenFatal(t *testing.T) {
	for code := range hints {
		t.Run(code, func(t *testing.T) {
			f := newFakeSlack(t)
			f.on("apps.connections.open", func(int, url.Values) answer { return fails(code) })
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err := Listen(ctx, Config{APIURL: f.URL + "/api", Log: slog.New(slog.DiscardHandler)}, nil)
			if err == nil || !strings.Contains(err.Error(), code) || !strings.Contains(err.Error(), hints[code]) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Listen = %v", err)
			}
		})
	}
	scope := explain("apps.connections.open", slack.SlackErrorResponse{Err: "missing_scope", Needed: "connections:write"})
	if !strings.Contains(scope.Error(), "connections:write") {
		t.Errorf("the scope is not named: %v", scope)
	}
}

// TestListenSurvives: errors that pass, and an open that hangs, are tried
// again.
func TestListenSurvives(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	h := listen(t, Config{timeout: 200 * time.Millisecond}, nil)
	open := h.f.methods["apps.connections.open"]
	s := h.f.next()
	h.f.on("apps.connections.open", func(n int, form url.Values) answer {
		switch n {
		case 2:
			return fails("internal_error")
		case 3:
			return answer{status: 500, body: "x"}
		case 4:
			return slow(1)
		case 5:
			select {
			case <-hang:
			case <-time.After(time.Second):
			}
			return fails("late")
		}
		return open(n, form)
	})
	_ = s.conn.Close()
	s = h.f.next()
	s.send(t, message("e1", "Ev1", "message", "5.1", "", "alive"))
	if a, _ := h.next(t).(Ask); a.Text != "alive" {
		t.Errorf("%+v", a)
	}
}

// TestListenStops: what was acknowledged is handled to its end.
func TestListenStops(t *testing.T) {
	began := make(chan struct{})
	h := listen(t, Config{}, func(ctx context.Context, e Event) {
		if e.(Ask).Text == "1" {
			close(began)
			time.Sleep(200 * time.Millisecond)
		}
		if ctx.Err() != nil {
			t.Error("the handler's context ended with Listen's")
		}
	})
	s := h.f.next()
	s.send(t, message("e1", "Ev1", "message", "5.1", "", "1"))
	s.send(t, message("e2", "Ev2", "message", "5.2", "5.1", "2"))
	s.acked(t)
	s.acked(t)
	<-began
	h.stop()
	if err := <-h.ended; err != nil {
		t.Errorf("Listen = %v", err)
	}
	h.ended <- nil
	if len(h.events) != 2 {
		t.Errorf("%d of 2 events handled", len(h.events))
	}
}

func TestSeen(t *testing.T) {
	s := newSeen()
	now := time.Unix(0, 0)
	for _, c := range []struct {
		after time.Duration
		keys  []string
		want  bool
	}{
		{0, []string{"a"}, true}, {0, []string{"b", "a"}, false}, {0, []string{"b"}, false}, {59 * time.Minute, []string{"a"}, false}, {62 * time.Minute, []string{"a"}, true},
	} {
		if got := s.first(now.Add(c.after), c.keys...); got != c.want {
			t.Errorf("after %s, %v: %v", c.after, c.keys, got)
		}
	}
	for i := range 3 * seenMax {
		s.first(now, fmt.Sprint(i))
	}
	if len(s.known) > seenMax+1 || len(s.known) != len(s.order) {
		t.Errorf("%d keys kept, %d in order", len(s.known), len(s.order))
	}
}

// TestQueueBounds: no more jobs at once than workers.
func TestQueueBounds(t *testing.T) {
	q := newQueue(3, slog.New(slog.DiscardHandler))
	var mu sync.Mutex
	now, most := 0, 0
	for i := range maxBacklog {
		q.add(fmt.Sprint(i%200), func() {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(100 * time.Microsecond)
			mu.Lock()
			now--
			mu.Unlock()
		})
	}
	if err := q.drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if most > 3 || q.full() || len(q.waiting) != 0 || q.backlog != 0 {
		t.Errorf("%d at once, backlog %d, %d keys", most, q.backlog, len(q.waiting))
	}
}
