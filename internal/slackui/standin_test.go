package slackui

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"github.com/hopwise/hopwise/internal/diagnose"
	standin "github.com/hopwise/hopwise/internal/standin/slack"
)

// A desk is the bot's side of the stand-in for Slack: a client, and what
// Listen handed on.
type desk struct {
	slack  *standin.Server
	client *Client
	events chan Event
	url    string
}

const standinBot, standinApp = "xoxb-test", "xapp-test"

func openDesk(t *testing.T, opts standin.Options) *desk {
	t.Helper()
	opts.BotToken, opts.AppToken = standinBot, standinApp
	s := standin.New(opts)
	web := httptest.NewServer(s)
	d := &desk{slack: s, events: make(chan Event, 100), url: web.URL,
		client: NewClient(ClientConfig{BotToken: standinBot, APIURL: web.URL + "/api/"})}
	me, err := d.client.Self(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}, 100), make(chan error, 1)
	cfg := Config{BotToken: standinBot, AppToken: standinApp, APIURL: web.URL + "/api/", Self: me,
		Log: slog.New(slog.DiscardHandler), Ready: func() { ready <- struct{}{} }, Reply: func(Ask) string { return "On it." }, reconnect: 20 * time.Millisecond}
	go func() { ended <- Listen(ctx, cfg, func(_ context.Context, e Event) { d.events <- e }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.Close()
		web.Close()
	})
	<-ready
	return d
}

func (d *desk) next(t *testing.T) Event {
	t.Helper()
	select {
	case e := <-d.events:
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("no event in 5 s")
		return nil
	}
}

// TestConversation talks to the stand-in over its real protocols: question,
// first sign, report, refused and accepted presses, modal, edits.
func TestConversation(t *testing.T) {
	d := openDesk(t, standin.Options{NoRateLimits: true})
	ctx := t.Context()
	ts := d.slack.Say(standin.Ana, standin.Incidents, "", "network issue")
	ask := d.next(t).(Ask)
	if ask.TS != ts || ask.User != standin.Ana || ask.Text != "network issue" || ask.Mention {
		t.Errorf("%+v", ask)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	progress, err := d.client.Post(ctx, ask.Channel, ask.Root(), FirstSign(Progress{Run: "7f3a", Asker: ask.User}))
	must(err)
	rm := Report(fullSubnet(), ReportContext{Run: "7f3a", Asker: ask.User})
	rm.Key = "7f3a/report"
	reported, err := d.client.Post(ctx, ask.Channel, ask.Root(), rm)
	must(err)
	if found, err := d.client.FindPost(ctx, ask.Channel, ask.Root(), rm.Key); found != reported || err != nil {
		t.Errorf("FindPost = %q, %v; want %q", found, err, reported)
	}
	must(d.client.Update(ctx, ask.Channel, progress, ProgressDone(Progress{Run: "7f3a"}, "")))

	must(d.slack.Press(standin.Ana, ask.Channel, reported, ActionEvidence))
	press := d.next(t).(Press)
	if press.Action != ActionEvidence || press.Value != "7f3a" || press.MessageTS != reported || press.Thread != ask.TS || press.At.IsZero() {
		t.Errorf("%+v", press)
	}
	must(d.client.OpenView(ctx, press.TriggerID, Evidence(fullSubnet(), ReportContext{Run: "7f3a"})))
	if n := len(d.slack.Views(standin.Ana)); n != 1 {
		t.Errorf("%d modals are open", n)
	}

	p := proposal()
	shown, err := d.client.Post(ctx, ask.Channel, ask.Root(), ProposalScreen(p))
	must(err)
	must(d.slack.Press(standin.Gil, ask.Channel, shown, ActionApprove))
	press = d.next(t).(Press)
	who, err := d.client.Person(ctx, press.User, "S0NETOPS")
	if err != nil || !who.Guest || press.Value != p.ButtonValue() {
		t.Errorf("%+v, %+v, %v", press, who, err)
	}
	must(d.client.Ephemeral(ctx, ask.Channel, ask.Root(), press.User, NotARequest()))
	if n := len(d.slack.Ephemerals(standin.Gil)); n != 1 {
		t.Errorf("%d ephemeral messages", n)
	}
	must(d.slack.Press(standin.Bo, ask.Channel, shown, ActionApprove))
	if who, err := d.client.Person(ctx, d.next(t).(Press).User, "S0NETOPS"); err != nil || who.Guest || len(who.Groups) != 1 {
		t.Errorf("%+v, %v", who, err)
	}
	must(d.client.Update(ctx, ask.Channel, shown, Decision(decidedBy(p, "applied", true), "")))
	if _, err := d.client.Post(ctx, ask.Channel, ask.Root(), Verdict(verification(diagnose.Fixed), p, undoOf(p))); err != nil {
		t.Error(err)
	}
}

// TestConversationStarts: the ways in, and what starts nothing.
func TestConversationStarts(t *testing.T) {
	d := openDesk(t, standin.Options{NoRateLimits: true})
	ts := d.slack.Say(standin.Ana, standin.Incidents, "", "<@"+standin.Bot+"> DNS failure") // two events
	if a := d.next(t).(Ask); !a.Mention || a.Text != "DNS failure" || a.TS != ts {
		t.Errorf("mention: %+v", a)
	}
	if err := d.slack.Edit(standin.Incidents, ts, "network issue"); err != nil {
		t.Fatal(err)
	}
	if err := d.slack.Delete(standin.Incidents, ts); err != nil {
		t.Fatal(err)
	}
	d.slack.Alert(standin.Incidents, "network issue", nil)
	if err := d.slack.Command(standin.Ana, standin.Random, "/hopwise", "ALB returns 502"); err != nil {
		t.Fatal(err)
	}
	a := d.next(t).(Ask)
	if !a.Command || a.Text != "ALB returns 502" {
		t.Errorf("command: %+v", a)
	}
	if err := d.client.Respond(t.Context(), a.Response, Help()); err != nil {
		t.Error(err)
	}
	if _, err := d.client.Post(t.Context(), a.Channel, "", Help()); !errors.Is(err, ErrGone) {
		t.Errorf("a post where the bot is not: %v", err)
	}
	d.slack.Say(standin.Bo, standin.DMBo, "", "hello")
	if a := d.next(t).(Ask); !a.Mention || a.Channel != standin.DMBo {
		t.Errorf("direct message: %+v", a)
	}
	select {
	case e := <-d.events:
		t.Errorf("unexpected: %+v", e)
	case <-time.After(100 * time.Millisecond):
	}
	if d.slack.Unacked() != 0 || len(d.slack.Lost()) != 0 {
		t.Errorf("%d payloads not acknowledged, %d lost", d.slack.Unacked(), len(d.slack.Lost()))
	}
}

// TestConversationReconnects: nothing is lost or doubled over disconnects.
func TestConversationReconnects(t *testing.T) {
	d := openDesk(t, standin.Options{NoRateLimits: true, RetryDelays: []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, time.Second}})
	for _, interrupt := range []func(){func() { d.slack.Disconnect("refresh_requested") }, d.slack.DropSockets} {
		interrupt()
		ts := d.slack.Say(standin.Ana, standin.Incidents, "", "network issue")
		if a := d.next(t).(Ask); a.TS != ts {
			t.Errorf("got %s, want %s", a.TS, ts)
		}
	}
}

// TestValidatorAgrees: the stand-in's own reading of Slack's rules finds
// nothing wrong with the screens.
func TestValidatorAgrees(t *testing.T) {
	web := httptest.NewServer(standin.New(standin.Options{}))
	defer web.Close()
	validate := func(name, key string, v any) {
		body, _ := json.Marshal(map[string]any{key: v})
		r, err := http.Post(web.URL+"/api/blocks.validate", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		var answer struct {
			OK     bool `json:"ok"`
			Error  string
			Errors []any `json:"errors"`
		}
		if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || !answer.OK {
			t.Errorf("%s: %v %s %v", name, err, answer.Error, answer.Errors)
		}
	}
	for name, m := range messages() {
		validate(name, "message", map[string]any{"text": m.Text, "blocks": m.Blocks})
	}
	for name, v := range views() {
		validate(name, "view", slack.ModalViewRequest{Type: slack.VTModal, Title: plainText(v.Title), Close: plainText("Close"), Blocks: slack.Blocks{BlockSet: v.Blocks}})
	}
}
