package slack

import (
	"math"
	"time"
)

// A Limit is how often a method may be called: Burst at once, then PerMinute
// on average. PerChannel counts every channel by itself.
type Limit struct {
	PerMinute  int
	Burst      int
	PerChannel bool
}

// Slack's tiers: "20+ per minute" and so on, with the minute's worth at once.
var (
	tier2 = Limit{PerMinute: 20, Burst: 20}
	tier3 = Limit{PerMinute: 50, Burst: 50}
	tier4 = Limit{PerMinute: 100, Burst: 100}
)

// defaultLimits are Slack's, from docs.slack.dev/apis/web-api/rate-limits.
// "Slack will generally allow" short bursts over one message a second: 5 is a
// guess on the low side.
var defaultLimits = map[string]Limit{
	"apps.connections.open":        tier3,
	"auth.test":                    {PerMinute: 300, Burst: 300},
	"bots.info":                    tier3,
	"blocks.validate":              {PerMinute: 300, Burst: 300},
	"chat.postMessage":             {PerMinute: 60, Burst: 5, PerChannel: true},
	"chat.postEphemeral":           tier4,
	"chat.update":                  tier3,
	"chat.delete":                  tier3,
	"chat.getPermalink":            {PerMinute: 300, Burst: 300},
	"conversations.info":           tier3,
	"conversations.history":        tier3,
	"conversations.replies":        tier3,
	"conversations.open":           tier3,
	"files.getUploadURLExternal":   tier4,
	"files.completeUploadExternal": tier4,
	"files.info":                   tier4,
	"reactions.add":                tier3,
	"reactions.remove":             tier2,
	"reactions.get":                tier3,
	"usergroups.list":              tier2,
	"usergroups.users.list":        tier2,
	"users.info":                   tier4,
	"users.list":                   tier2,
	"views.open":                   tier4,
	"views.push":                   tier4,
	"views.update":                 tier4,
}

// A bucket holds the calls that are left.
type bucket struct {
	left float64
	at   time.Time
}

// take uses one call up, or says how long to wait for it.
func (b *bucket) take(l Limit, now time.Time) (wait time.Duration) {
	perSecond := float64(l.PerMinute) / 60
	b.left = math.Min(float64(l.Burst), b.left+now.Sub(b.at).Seconds()*perSecond)
	b.at = now
	if b.left >= 1 {
		b.left--
		return 0
	}
	return time.Duration((1 - b.left) / perSecond * float64(time.Second))
}

// allow counts a call against its limit. Retry-After is in whole seconds, at
// least one, like Slack's.
func (s *Server) allow(name, channel string) error {
	limit, ok := s.opts.RateLimits[name]
	if !ok {
		limit, ok = defaultLimits[name]
	}
	if s.opts.NoRateLimits || !ok {
		return nil
	}
	key := name
	if limit.PerChannel {
		key += " " + channel
	}
	b := s.buckets[key]
	if b == nil {
		b = &bucket{left: float64(limit.Burst), at: time.Now()}
		s.buckets[key] = b
	}
	if wait := b.take(limit, time.Now()); wait > 0 {
		return apiError{Code: "ratelimited", RetryAfter: int(math.Ceil(wait.Seconds()))}
	}
	return nil
}
