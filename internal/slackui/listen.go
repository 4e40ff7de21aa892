package slackui

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"strings"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
)

// Config is what Listen needs.
type Config struct {
	BotToken string
	AppToken string // xapp-..., with connections:write
	APIURL   string // "" is Slack's own
	Self     Self   // as Client.Self returns it
	Log      *slog.Logger
	Ready    func()           // called on every hello; may be nil
	Reply    func(Ask) string // mrkdwn that answers a slash command at once, to its sender alone; must be quick; may be nil
	Workers  int              // events handled at once; 0 is 16

	reconnect time.Duration // least space between two connections; 0 is 1 s
	timeout   time.Duration // of apps.connections.open; 0 is httpTimeout
}

// stopFor is how long handlers may go on after Listen was told to stop: what
// was acknowledged should not be lost.
const stopFor = 5 * time.Second

// Listen connects to Slack and calls handle for every Ask, Press and Submit,
// after it was acknowledged: those of one thread in order, those of several
// side by side, each once, however often Slack sends it. It returns nil soon
// after ctx ends, and an error that says what to do when Slack refuses the
// tokens. Connections that break are made again.
func Listen(ctx context.Context, cfg Config, handle func(context.Context, Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	least := cmp.Or(cfg.reconnect, time.Second)
	l := &listener{
		cfg: cfg, handle: handle, seen: newSeen(), throttle: newThrottle(least, 30*least, cmp.Or(cfg.timeout, httpTimeout)),
		queue: newQueue(cmp.Or(cfg.Workers, 16), cfg.Log),
	}
	var stop context.CancelFunc
	l.handlers, stop = context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	l.socket = l.connect()
	ended := make(chan error, 1)
	go func() { ended <- l.socket.RunContext(ctx) }()
	err := l.read(ctx, ended)
	cancel()

	grace, done := context.WithTimeout(context.WithoutCancel(ctx), stopFor)
	defer done()
	if l.queue.drain(grace) != nil {
		cfg.Log.Warn("stopped with events still being handled", "after", stopFor)
	}
	return err
}

// A listener is one call of Listen.
type listener struct {
	cfg      Config
	handle   func(context.Context, Event)
	handlers context.Context // of the handlers: outlives Listen's by stopFor
	socket   *socketmode.Client
	throttle *throttle
	seen     *seen
	queue    *queue
}

// connect makes the socket client. OptionDebug stays off: it makes Slack end
// each connection after six minutes, and logs what people write.
func (l *listener) connect() *socketmode.Client {
	options := []slack.Option{slack.OptionAppLevelToken(l.cfg.AppToken), slack.OptionHTTPClient(l.throttle)}
	if l.cfg.APIURL != "" {
		options = append(options, slack.OptionAPIURL(apiURL(l.cfg.APIURL)))
	}
	quiet := log.New(io.Discard, "", 0) // what matters comes as an event
	return socketmode.New(slack.New(l.cfg.BotToken, options...), socketmode.OptionReadLimit(4<<20), socketmode.OptionLog(quiet))
}

// apiURL ends u as slack-go wants it: method names are appended.
func apiURL(u string) string { return strings.TrimSuffix(u, "/") + "/" }

// read takes events from the socket until ctx or the socket ends.
func (l *listener) read(ctx context.Context, ended <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			return explain("apps.connections.open", err)
		case e := <-l.socket.Events:
			if err := l.event(ctx, e); err != nil {
				return err
			}
		}
	}
}

// event handles one event of slack-go; its error is one that no retry mends.
func (l *listener) event(ctx context.Context, e socketmode.Event) error {
	switch data := e.Data.(type) {
	case *slack.ConnectionErrorEvent:
		if fatal(data.ErrorObj) {
			return explain("apps.connections.open", data.ErrorObj)
		}
		l.cfg.Log.Warn("no connection to Slack; trying again", "attempt", data.Attempt, "in", data.Backoff, "error", data.ErrorObj)
		return nil
	case *socketmode.ErrorBadMessage: // an envelope that slack-go does not know: Request is nil
		env, err := ParseEnvelope(data.Message)
		if err == nil {
			l.envelope(ctx, env)
		}
		return nil
	case *socketmode.ErrorWriteFailed:
		l.cfg.Log.Warn("an acknowledgement was not sent; Slack will send the event again", "error", data.Cause)
		return nil
	}
	if e.Request == nil {
		return nil
	}
	if e.Type == socketmode.EventTypeHello {
		l.greet(e.Request.NumConnections)
		return nil
	}
	l.envelope(ctx, Envelope{ID: e.Request.EnvelopeID, Type: e.Request.Type, Payload: e.Request.Payload, Retry: e.Request.RetryAttempt})
	return nil
}

func (l *listener) greet(connections int) {
	l.throttle.greeted(time.Now())
	l.cfg.Log.Info("connected to Slack", "connections", connections)
	if l.cfg.Ready != nil {
		l.cfg.Ready()
	}
}

// envelope acknowledges an envelope, then queues its event if it is new.
func (l *listener) envelope(ctx context.Context, env Envelope) {
	event := Decode(env, l.cfg.Self)
	why, ignored := event.(Ignored)
	if !ignored && l.queue.full() {
		l.cfg.Log.Error("too many events wait; this one is left for Slack to send again", "envelope", env.ID)
		return
	}
	fresh := ignored || l.seen.first(time.Now(), keys(env, event)...)
	l.acknowledge(ctx, env, event, fresh)
	if ignored {
		l.cfg.Log.Debug("ignored", "why", why.Why)
		return
	}
	if !fresh {
		l.cfg.Log.Debug("sent again by Slack, already handled", "envelope", env.ID, "retry", env.Retry)
		return
	}
	l.queue.add(thread(event), func() { l.handle(l.handlers, event) })
}

// acknowledge tells Slack that an envelope arrived. A slash command also gets
// words, shown to its sender alone.
func (l *listener) acknowledge(ctx context.Context, env Envelope, event Event, fresh bool) {
	if env.ID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second) // after that Slack sends it again anyway
	defer cancel()
	var payload any
	if ask, ok := event.(Ask); ok && ask.Command && fresh && l.cfg.Reply != nil {
		if text := cut(l.cfg.Reply(ask), maxText); text != "" {
			payload = map[string]string{"response_type": "ephemeral", "text": text}
		}
	}
	if err := l.socket.AckCtx(ctx, env.ID, payload); err != nil {
		l.cfg.Log.Warn("acknowledge", "envelope", env.ID, "error", err)
	}
}

// keys identify an event across Slack's redeliveries: by envelope, by event
// id, and for a message by its place, since a mention makes two events.
func keys(env Envelope, event Event) []string {
	var k []string
	if env.ID != "" {
		k = append(k, "envelope:"+env.ID)
	}
	if a, ok := event.(Ask); ok {
		k = append(k, "event:"+a.EventID, "ask:"+a.Key())
	}
	return k
}

// thread is what an event is handled in order with.
func thread(event Event) string {
	switch e := event.(type) {
	case Ask:
		return e.Channel + ":" + orElse(e.Root(), e.EventID)
	case Press:
		return e.Channel + ":" + orElse(e.Thread, e.MessageTS)
	case Submit:
		return "user:" + e.User
	}
	return ""
}

// hints say what to do about the errors of Slack that no retry mends.
var hints = map[string]string{
	"invalid_auth":           "the token is wrong or was revoked; copy it again from the app's pages at api.slack.com/apps",
	"not_authed":             "no token was sent; set SLACK_BOT_TOKEN and SLACK_APP_TOKEN",
	"token_revoked":          "the token was revoked; install the app again and copy the new token",
	"token_expired":          "the token has expired; turn token rotation off or install the app again",
	"not_allowed_token_type": "this is the wrong sort of token; SLACK_APP_TOKEN starts with xapp-, SLACK_BOT_TOKEN with xoxb-",
	"account_inactive":       "the app was uninstalled or its workspace is gone; install it again",
	"missing_scope":          "a permission is missing; compare the app with deploy/slack-manifest.yaml (the app token needs connections:write)",
}

// fatal reports whether err is an answer of Slack's that trying again cannot
// change.
func fatal(err error) bool {
	answer, ok := errors.AsType[slack.SlackErrorResponse](err)
	return ok && hints[answer.Err] != ""
}

// explain adds to an error of a method what to do about it.
func explain(method string, err error) error {
	if err == nil {
		return nil
	}
	e := &RefusedError{Method: method, Err: err}
	if answer, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		e.Hint = hints[answer.Err]
		if answer.Needed != "" {
			e.Hint = "the scope " + answer.Needed + " is missing; add it under OAuth & Permissions and install the app again"
		}
	}
	return e
}

// A RefusedError is Slack's refusal of a method, in one line.
type RefusedError struct {
	Method string
	Hint   string // what to do; "" when unknown
	Err    error
}

func (e *RefusedError) Error() string {
	s := "slack " + e.Method + ": " + e.Err.Error()
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

func (e *RefusedError) Unwrap() error { return e.Err }
