package slackui

import (
	"sync"
	"time"
)

// How long a handled event is remembered, and how many of them. Slack sends
// an event again for about five minutes.
const (
	seenFor = time.Hour
	seenMax = 20_000
)

// seen remembers what was handled. It is safe for use by several goroutines.
type seen struct {
	mu    sync.Mutex
	known map[string]bool
	order []sighting // oldest first
}

type sighting struct {
	key string
	at  time.Time
}

func newSeen() *seen { return &seen{known: map[string]bool{}} }

// first notes keys and reports whether none of them was known.
func (s *seen) first(now time.Time, keys ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.order) > 0 && (len(s.order) > seenMax || now.Sub(s.order[0].at) > seenFor) {
		delete(s.known, s.order[0].key)
		s.order = s.order[1:]
	}
	fresh := true
	for _, k := range keys {
		if s.known[k] {
			fresh = false
			continue
		}
		s.known[k] = true
		s.order = append(s.order, sighting{k, now})
	}
	return fresh
}
