package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/standin"
	"github.com/hopwise/hopwise/internal/standin/slack"
	"github.com/hopwise/hopwise/internal/world"
)

// A theatre is the whole bot on stand-ins, for tests: Slack, Kubernetes and
// AWS on loopback, one world, one database.
type theatre struct {
	t     testing.TB
	apis  *standin.APIs
	slack *slack.Server
	url   string
	bot   bot
	log   *safeBuffer
	stop  func()
}

// perform starts a theatre with a scenario, and the bot in it.
func perform(t testing.TB, scenario string) *theatre {
	t.Helper()
	w, err := world.Load(scenario)
	if err != nil {
		t.Fatal(err)
	}
	th := build(t, w)
	th.start()
	return th
}

// build makes the theatre without the bot.
func build(t testing.TB, w *world.World) *theatre {
	t.Helper()
	return buildWith(t, w, slack.Options{NoRateLimits: true})
}

func buildWith(t testing.TB, w *world.World, opts slack.Options) *theatre {
	t.Helper()
	apis, err := standin.Start(w, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	th := &theatre{t: t, apis: apis, log: new(safeBuffer)}
	th.slack = slack.New(opts)
	srv := httptest.NewServer(th.slack)
	th.url = srv.URL
	policy, err := approval.ParsePolicy("policy", []byte(demoPolicy))
	if err != nil {
		t.Fatal(err)
	}
	th.bot = bot{
		settings: settings{
			SlackBotToken: slack.BotToken, SlackAppToken: slack.AppToken, SlackAPIURL: srv.URL + "/api/",
			DatabaseURL: "sqlite:" + filepath.Join(t.TempDir(), "hopwise.db"), Replica: "test", Deadline: 20 * time.Second,
		},
		clients: demoClients(apis), policy: policy, log: slog.New(slog.NewTextHandler(th.log, nil)),
		verifyAfter: []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond},
	}
	t.Cleanup(func() {
		th.halt()
		th.slack.Close()
		srv.CloseClientConnections()
		srv.Close()
		_ = apis.Close()
		if t.Failed() {
			t.Logf("the bot's log:\n%s", th.log.String())
		}
	})
	return th
}

// start runs the bot and waits until it hears Slack.
func (th *theatre) start() {
	th.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	th.bot.ready = func() { once.Do(func() { close(ready) }) }
	go func() { ended <- serve(ctx, th.bot) }()
	th.stop = func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(60 * time.Second):
			th.t.Error("the bot did not stop")
		}
	}
	select {
	case <-ready:
	case err := <-ended:
		th.t.Fatalf("the bot ended: %v\n%s", err, th.log.String())
	case <-time.After(60 * time.Second):
		th.t.Fatalf("the bot did not become ready\n%s", th.log.String())
	}
}

// halt stops the bot; the stand-ins go on.
func (th *theatre) halt() {
	if th.stop != nil {
		th.stop()
		th.stop = nil
	}
}

// wait waits until the thread shows what is asked for.
func (th *theatre) wait(what string, ok func() bool) {
	th.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := th.slack.WaitFor(ctx, func(*slack.Server) bool { return ok() }); err != nil {
		th.t.Fatalf("no %s: %v\nthread:\n%s\nlog:\n%s", what, err, th.transcript(), th.log.String())
	}
}

// messages are all messages of the bot in the incident channel.
func (th *theatre) messages() (out []slack.Message) {
	for _, m := range th.slack.Messages(slack.Incidents) {
		if m.User == slack.Bot {
			out = append(out, m)
		}
	}
	return out
}

// find returns the bot's message with a text in it.
func (th *theatre) find(text string) (slack.Message, bool) {
	for _, m := range th.messages() {
		if strings.Contains(show(m), text) {
			return m, true
		}
	}
	return slack.Message{}, false
}

// waitText waits for a message of the bot with a text in it.
func (th *theatre) waitText(text string) slack.Message {
	th.t.Helper()
	th.wait("message with "+text, func() bool { _, ok := th.find(text); return ok })
	m, _ := th.find(text)
	return m
}

// waitButton waits for a message of the bot with a button.
func (th *theatre) waitButton(action string) slack.Message {
	th.t.Helper()
	return th.waitText("[" + action + "]")
}

func (th *theatre) transcript() string {
	var b strings.Builder
	for _, m := range th.slack.Messages(slack.Incidents) {
		fmt.Fprintf(&b, "%s: %s\n", m.User, show(m))
	}
	for _, user := range people {
		for _, m := range th.slack.Ephemerals(user) {
			fmt.Fprintf(&b, "to %s alone: %s\n", user, show(m))
		}
	}
	return b.String()
}

// show gives a message as text: its words, then its buttons in brackets.
func show(m slack.Message) string {
	if len(m.Blocks) == 0 {
		return m.Text
	}
	var blocks []any
	if err := json.Unmarshal(m.Blocks, &blocks); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, bl := range blocks {
		walk(bl, &b)
	}
	return strings.TrimRight(b.String(), "\n")
}

// walk writes the words of a block, depth first.
func walk(v any, b *strings.Builder) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			walk(e, b)
		}
	case map[string]any:
		switch v["type"] {
		case "divider":
			return
		case "button":
			text, _ := v["text"].(map[string]any)
			fmt.Fprintf(b, "[%v] %v\n", v["action_id"], text["text"])
			return
		case "table":
			rows, _ := v["rows"].([]any)
			for _, r := range rows {
				var cells []string
				for _, c := range r.([]any) {
					cells = append(cells, fmt.Sprint(c.(map[string]any)["text"]))
				}
				fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
			}
			return
		}
		for _, k := range []string{"text", "fields", "accessory", "elements"} {
			if s, ok := v[k].(string); ok {
				b.WriteString(s + "\n")
			} else {
				walk(v[k], b)
			}
		}
	}
}

// A safeBuffer may be written and read at the same time.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
