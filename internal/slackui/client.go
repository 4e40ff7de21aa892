package slackui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"
)

// ErrGone means that the place of a message is no longer there for the bot:
// it was removed from the channel, the channel archived or deleted, the
// message deleted. Callers stop quietly; nobody is there to tell.
var ErrGone = errors.New("the channel or message is no longer there for the bot")

// gone are Slack's words for it.
var gone = []string{
	"channel_not_found", "not_in_channel", "is_archived", "user_not_in_channel", "thread_not_found",
	"message_not_found", "cant_update_message", "edit_window_closed",
}

// badBlocks are Slack's refusals of a message's blocks. The message was not
// posted.
var badBlocks = []string{
	"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "only_one_table_allowed",
	"invalid_attachments", "block_mismatch", "no_text", "msg_too_long",
}

// stepEvent names the metadata that holds a message's key.
const stepEvent = "hopwise_step"

// ClientConfig is what NewClient needs.
type ClientConfig struct {
	BotToken string
	APIURL   string // "" is Slack's own
	Log      *slog.Logger
}

// A Client speaks for the bot. Every message passes through Fit; calls that
// Slack answers with 429 wait as long as it asks; calls that did not get
// through are repeated only where that cannot show or do something twice. It
// is safe for use by several goroutines.
type Client struct {
	api    *slack.Client
	web    *http.Client // what api calls through, without its retries
	log    *slog.Logger
	people cache[*slack.User]
	groups cache[[]string]

	mu    sync.Mutex
	gates map[string]chan struct{} // by channel: one post at a time
}

// NewClient makes a client; it makes no call.
func NewClient(cfg ClientConfig) *Client {
	web := &http.Client{Timeout: httpTimeout}
	options := []slack.Option{slack.OptionHTTPClient(web)}
	if cfg.APIURL != "" {
		options = append(options, slack.OptionAPIURL(apiURL(cfg.APIURL)))
	}
	options = append(options, slack.OptionRetryConfig(retries())) // after the client that it wraps
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Client{
		web: web, api: slack.New(cfg.BotToken, options...), log: log, gates: map[string]chan struct{}{},
		people: newCache[*slack.User](5 * time.Minute), groups: newCache[[]string](5 * time.Minute),
	}
}

// Self asks Slack who the bot is. An error of the token says what to do.
func (c *Client) Self(ctx context.Context) (Self, error) {
	r, err := c.api.AuthTestContext(ctx)
	if err != nil {
		return Self{}, explain("auth.test", err)
	}
	self := Self{Team: r.TeamID, User: r.UserID, Bot: r.BotID, Name: r.User}
	for s := range strings.SplitSeq(r.Header.Get("X-OAuth-Scopes"), ",") {
		if s = strings.TrimSpace(s); s != "" {
			self.Scopes = append(self.Scopes, s)
		}
	}
	return self, nil
}

// Post posts m in a thread, or with thread "" in the channel itself, and
// returns its timestamp. It does not repeat a post whose answer got lost: use
// FindPost before trying again.
func (c *Client) Post(ctx context.Context, channel, thread string, m Message) (ts string, err error) {
	release, err := c.gate(ctx, channel)
	if err != nil {
		return "", err
	}
	defer release()
	err = c.send("chat.postMessage", m, func(m Message) (err error) {
		_, ts, err = c.api.PostMessageContext(ctx, channel, options(m, thread)...)
		return err
	})
	return ts, err
}

// gate lets one post at a time into a channel: Slack takes one a second, and
// many that all try again would all be refused again.
func (c *Client) gate(ctx context.Context, channel string) (release func(), err error) {
	c.mu.Lock()
	g, ok := c.gates[channel]
	if !ok {
		g = make(chan struct{}, 1)
		c.gates[channel] = g
	}
	c.mu.Unlock()
	select {
	case g <- struct{}{}:
		return func() { <-g }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Update replaces the message at ts.
func (c *Client) Update(ctx context.Context, channel, ts string, m Message) error {
	return c.send("chat.update", m, func(m Message) error {
		_, _, _, err := c.api.UpdateMessageContext(ctx, channel, ts, options(m, "")...)
		return err
	})
}

// Ephemeral shows m to one user only, if that user is there; it is gone after
// a reload.
func (c *Client) Ephemeral(ctx context.Context, channel, thread, user string, m Message) error {
	return c.send("chat.postEphemeral", m, func(m Message) error {
		_, err := c.api.PostEphemeralContext(ctx, channel, user, options(m, thread)...)
		return err
	})
}

// send calls do with m, and if Slack refuses the blocks with less of them,
// and in the end with the text alone.
func (c *Client) send(method string, m Message, do func(Message) error) error {
	m = Fit(m)
	err := do(m)
	for _, less := range []func(Message) Message{plainer, textOnly} {
		answer, ok := errors.AsType[slack.SlackErrorResponse](err)
		if !ok || !slices.Contains(badBlocks, answer.Err) {
			break
		}
		c.log.Warn("Slack refused the blocks of a message; sending it plainer", "method", method, "key", m.Key,
			"error", answer.Err, "details", answer.ResponseMetadata.Messages)
		err = do(less(m))
	}
	return wrap(method, err)
}

// options are those of every message: nothing in it is parsed or unfurled.
func options(m Message, thread string) []slack.MsgOption {
	o := []slack.MsgOption{
		slack.MsgOptionText(m.Text, false), // escaped already
		slack.MsgOptionBlocks(m.Blocks...),
		slack.MsgOptionParse(false), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
	}
	if thread != "" {
		o = append(o, slack.MsgOptionTS(thread))
	}
	if m.Key != "" {
		o = append(o, slack.MsgOptionMetadata(slack.SlackMetadata{EventType: stepEvent, EventPayload: map[string]any{"key": m.Key}}))
	}
	return o
}

// FindPost returns the timestamp of the bot's message with a key in a thread,
// or with thread "" among the last 200 of the channel; "" when there is none.
func (c *Client) FindPost(ctx context.Context, channel, thread, key string) (ts string, err error) {
	cursor := ""
	for {
		msgs, next, err := c.page(ctx, channel, thread, cursor)
		if err != nil {
			return "", err
		}
		for _, m := range msgs {
			if m.BotID != "" && m.Metadata.EventType == stepEvent && m.Metadata.EventPayload["key"] == key {
				return m.Timestamp, nil
			}
		}
		if next == "" || thread == "" {
			return "", nil
		}
		cursor = next
	}
}

func (c *Client) page(ctx context.Context, channel, thread, cursor string) ([]slack.Message, string, error) {
	if thread == "" {
		r, err := c.api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
			ChannelID: channel, Limit: 200, IncludeAllMetadata: true,
		})
		if err != nil {
			return nil, "", wrap("conversations.history", err)
		}
		return r.Messages, "", nil
	}
	msgs, more, next, err := c.api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
		ChannelID: channel, Timestamp: thread, Cursor: cursor, Limit: 200, IncludeAllMetadata: true,
	})
	if !more {
		next = ""
	}
	return msgs, next, wrap("conversations.replies", err)
}

// OpenView opens a modal for whoever pressed the button that trigger came
// with, at most 3 s ago.
func (c *Client) OpenView(ctx context.Context, trigger string, v View) error {
	v = FitView(v)
	req := slack.ModalViewRequest{
		Type: slack.VTModal, Title: plainText(v.Title), Blocks: slack.Blocks{BlockSet: v.Blocks},
		PrivateMetadata: v.Private, CallbackID: v.Callback, Close: plainText(cmp.Or(v.Close, "Close")),
	}
	if v.Submit != "" {
		req.Submit = plainText(v.Submit)
	}
	_, err := c.api.OpenViewContext(ctx, trigger, req)
	return wrap("views.open", err)
}

// wrap says which method failed, and marks what is gone.
func wrap(method string, err error) error {
	if err == nil {
		return nil
	}
	answer, ok := errors.AsType[slack.SlackErrorResponse](err)
	switch {
	case ok && slices.Contains(gone, answer.Err):
		return fmt.Errorf("slack %s: %s: %w", method, answer.Err, ErrGone)
	case ok && len(answer.ResponseMetadata.Messages) > 0:
		return fmt.Errorf("slack %s: %w: %s", method, err, strings.Join(answer.ResponseMetadata.Messages, "; "))
	}
	return explain(method, err)
}
