package slack

import (
	"log/slog"
	"net/http"
	"time"
)

// Options say what New builds. The zero value is a workspace as strict as
// Slack's own.
type Options struct {
	Log       *slog.Logger // nil: nothing is logged
	Workspace Workspace    // zero: DefaultWorkspace
	BotToken  string       // "": "xoxb-demo-bot-token"
	AppToken  string       // "": "xapp-1-demo-app-token"
	Scopes    []string     // of the bot token; nil: DefaultScopes

	AckTimeout   time.Duration   // until a payload counts as lost; 0: 3 s
	RetryDelays  []time.Duration // before each redelivery of an event; nil: 10 ms, 1 min, 5 min
	PingInterval time.Duration   // of WebSocket pings to the app; 0: 5 s
	TriggerLife  time.Duration   // how long a trigger_id opens a modal; 0: 3 s

	NoRateLimits bool             // for tests that post more than one message a second
	RateLimits   map[string]Limit // by method, over the defaults

	FileDelay time.Duration // until an uploaded file can be shown in an image block

	URL   string       // http://HOST:PORT of this server; "": as the app's requests name it
	Page  http.Handler // serves /, the page's files; nil: 404
	Extra http.Handler // mounted under /demo/; nil: 404
}

// The tokens of the default options.
const (
	BotToken = "xoxb-demo-bot-token"
	AppToken = "xapp-1-demo-app-token"
)

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Workspace.Team.ID == "" {
		o.Workspace = DefaultWorkspace()
	}
	if o.Scopes == nil {
		o.Scopes = DefaultScopes()
	}
	if o.RetryDelays == nil {
		o.RetryDelays = []time.Duration{10 * time.Millisecond, time.Minute, 5 * time.Minute}
	}
	o.BotToken = or(o.BotToken, BotToken)
	o.AppToken = or(o.AppToken, AppToken)
	o.AckTimeout = or(o.AckTimeout, 3*time.Second)
	o.PingInterval = or(o.PingInterval, 5*time.Second)
	o.TriggerLife = or(o.TriggerLife, 3*time.Second)
	return o
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
