package slack_test

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	standin "github.com/hopwise/hopwise/internal/standin/slack"
)

// start serves a workspace and gives a client of its Web API. Rate limits are
// off unless the options name some.
func start(t *testing.T, opts standin.Options) (*standin.Server, *slack.Client) {
	t.Helper()
	opts.NoRateLimits = opts.RateLimits == nil
	s := standin.New(opts)
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close()
		web.CloseClientConnections()
		web.Close()
	})
	api := slack.New(standin.BotToken, slack.OptionAppLevelToken(standin.AppToken), slack.OptionAPIURL(web.URL+"/api/"))
	if _, err := api.AuthTest(); err != nil { // the server learns its address
		t.Fatal(err)
	}
	return s, api
}

// connect runs a Socket Mode client until the test ends and hands its events
// to a channel; those that ack says yes to are acknowledged.
func connect(t *testing.T, s *standin.Server, api *slack.Client, ack func(socketmode.Event) bool) <-chan socketmode.Event {
	t.Helper()
	before := s.Sockets()
	client := socketmode.New(api, socketmode.OptionLog(log.New(io.Discard, "", 0)))
	ctx, cancel := context.WithCancel(context.Background())
	out, done := make(chan socketmode.Event, 1000), make(chan struct{})
	go func() {
		defer close(done)
		_ = client.RunContext(ctx) // ends with the context
	}()
	go func() {
		for {
			select {
			case e := <-client.Events:
				if e.Request != nil && e.Request.EnvelopeID != "" && ack(e) {
					_ = client.Ack(*e.Request)
				}
				out <- e
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	wait(t, s, "a socket", func(s *standin.Server) bool { return s.Sockets() > before })
	return out
}

func always(socketmode.Event) bool { return true }
func never(socketmode.Event) bool  { return false }

// wait fails the test if the condition does not come true.
func wait(t *testing.T, s *standin.Server, what string, ok func(*standin.Server) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.WaitFor(ctx, ok); err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

// next is the next event of a type.
func next(t *testing.T, events <-chan socketmode.Event, kind socketmode.EventType) socketmode.Event {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case e := <-events:
			if e.Type == kind {
				return e
			}
			if e.Type == socketmode.EventTypeErrorBadMessage {
				t.Fatalf("slack-go does not understand the server: %+v", e.Data)
			}
		case <-deadline:
			t.Fatalf("no event of type %s", kind)
		}
	}
}

// quiet fails when an event of a type comes within d.
func quiet(t *testing.T, events <-chan socketmode.Event, kind socketmode.EventType, d time.Duration) {
	t.Helper()
	deadline := time.After(d)
	for {
		select {
		case e := <-events:
			if e.Type == kind {
				t.Fatalf("unexpected %s: %s", kind, e.Request.Payload)
			}
		case <-deadline:
			return
		}
	}
}
