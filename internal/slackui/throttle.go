package slackui

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// httpTimeout bounds every call of the Web API: slack-go sets none, and a
// hung apps.connections.open would leave the bot deaf.
const httpTimeout = 15 * time.Second

// settled is how long a connection must have lived to count as a good one.
const settled = 10 * time.Second

// A throttle is the HTTP client of the socket. It spaces the calls of
// apps.connections.open: slack-go dials again at once whenever Slack asks it
// to, and with too_many_websockets that is a thousand times a second. The
// space doubles from least to most with every connection that does not last.
type throttle struct {
	client      *http.Client
	least, most time.Duration

	mu    sync.Mutex
	last  time.Time // of the last open
	hello time.Time // of the last hello
	space time.Duration
}

func newThrottle(least, most, timeout time.Duration) *throttle {
	return &throttle{client: &http.Client{Timeout: timeout}, least: least, most: most}
}

// Do sends req. The wait comes before it and is not part of its timeout.
func (t *throttle) Do(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/apps.connections.open") {
		timer := time.NewTimer(t.reserve(time.Now()))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	return t.client.Do(req)
}

// reserve notes an open and returns how long it has to wait.
func (t *throttle) reserve(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.last.IsZero():
		t.last = now
		return 0
	case t.hello.After(t.last) && now.Sub(t.hello) >= settled, t.space == 0:
		t.space = t.least
	default:
		t.space = min(2*t.space, t.most)
	}
	at := t.last.Add(t.space)
	if at.Before(now) {
		at = now
	}
	t.last = at
	return at.Sub(now)
}

// greeted notes that Slack said hello.
func (t *throttle) greeted(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hello = now
}
