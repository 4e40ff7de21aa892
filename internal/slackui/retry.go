package slackui

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// retries says what of the Web API is tried again: every call that Slack
// refused with 429, after the time that it asked for; and calls that can be
// made twice without harm, when they did not get through.
func retries() slack.RetryConfig {
	cfg := slack.DefaultRetryConfig()
	cfg.MaxRetries = 8
	cfg.RetryAfterDuration = 30 * time.Second // for a 429 that does not say
	cfg.Handlers = []slack.RetryHandler{slack.NewRateLimitErrorRetryHandler(cfg), lostCalls{}}
	return cfg
}

// onceOnly are the methods that show or open something new with each call.
var onceOnly = []string{"chat.postMessage", "chat.postEphemeral", "views.open"}

// lostCalls repeats calls that failed on the way, or in Slack, up to three
// times. It leaves onceOnly alone: after a lost answer nobody knows whether
// the message was posted.
type lostCalls struct{}

// ShouldRetry decides for one failed try.
func (lostCalls) ShouldRetry(state *slack.RetryState, req *http.Request, resp *http.Response, err error) (bool, time.Duration) {
	method := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
	failed := err != nil && !errors.Is(err, context.Canceled) && req.Context().Err() == nil || resp != nil && resp.StatusCode >= 500
	if !failed || state.Attempt >= 3 || slices.Contains(onceOnly, method) {
		return false, 0
	}
	return true, state.Backoff.Duration()
}
