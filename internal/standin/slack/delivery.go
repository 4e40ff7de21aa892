package slack

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNoApp is returned when something can reach the app over an open socket
// only, and there is none.
var ErrNoApp = errors.New("the app is not connected: nothing is sent later; connect it and try again")

// A delivery is a payload on its way to the app.
type delivery struct {
	kind    string // events_api, interactive, slash_commands
	payload any
	accepts bool // accepts_response_payload
	user    string
	what    string // for the log and for Lost
	acked   func(payload json.RawMessage)
	failed  func()

	attempt int
	ended   bool
}

// A Lost is a payload that the app never acknowledged, after all retries.
type Lost struct {
	Kind string // events_api, interactive, slash_commands
	What string // event type and id, action_id, callback_id or command
}

// Lost are the payloads that were given up.
func (s *Server) Lost() []Lost {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Lost(nil), s.lost...)
}

// deliver sends a payload over one of the sockets. Without an open one, an
// event waits for its retry; anything else is lost at once, as in Slack.
func (s *Server) deliver(d *delivery) error {
	c := s.pick()
	if c == nil {
		if d.kind != "events_api" {
			return ErrNoApp
		}
		s.retry(d)
		return nil
	}
	id := uuid()
	envelope := map[string]any{"envelope_id": id, "type": d.kind, "accepts_response_payload": d.accepts, "payload": d.payload}
	if d.kind == "events_api" {
		envelope["retry_attempt"], envelope["retry_reason"] = d.attempt, ""
		if d.attempt > 0 {
			envelope["retry_reason"] = "timeout"
		}
	}
	s.pending[id] = d
	c.send(envelope)
	attempt := d.attempt
	s.after(s.opts.AckTimeout, func() {
		if !d.ended && d.attempt == attempt {
			s.retry(d)
		}
	})
	return nil
}

// pick takes the sockets in turn, so that a bot with several gets its
// payloads on all of them. One that was told to leave serves until it is gone
// if there is no other.
func (s *Server) pick() *conn {
	var leaving *conn
	for range s.conns {
		s.next++
		c := s.conns[s.next%len(s.conns)]
		switch {
		case c.ended:
		case c.leaving:
			leaving = c
		default:
			return c
		}
	}
	return leaving
}

// retry sends an event again after Slack's delays, under a new envelope, and
// gives up on anything else.
func (s *Server) retry(d *delivery) {
	if d.kind != "events_api" || d.attempt >= len(s.opts.RetryDelays) {
		s.giveUp(d)
		return
	}
	d.attempt++
	s.after(s.opts.RetryDelays[d.attempt-1], func() {
		if !d.ended {
			_ = s.deliver(d) // an event never fails at once
		}
	})
}

func (s *Server) giveUp(d *delivery) {
	d.ended, d.payload = true, nil
	s.lost = append(s.lost, Lost{Kind: d.kind, What: d.what})
	s.opts.Log.Warn("app did not acknowledge in time", "kind", d.kind, "what", d.what, "attempts", d.attempt+1)
	if d.failed != nil {
		d.failed()
	}
	s.touch()
}

// ack takes an acknowledgement from any socket: a client that reconnects
// sends late ones over its new socket. It takes the lock itself.
func (s *Server) ack(envelope string, payload json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.pending[envelope]
	if d == nil {
		s.opts.Log.Info("acknowledgement of an unknown envelope", "envelope", envelope)
		return
	}
	if d.ended {
		return
	}
	d.ended, d.payload = true, nil
	if d.acked != nil {
		d.acked(payload)
	}
	s.touch()
}

// Unacked is how many payloads wait for an acknowledgement or a retry.
func (s *Server) Unacked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[*delivery]bool{}
	for _, d := range s.pending {
		if !d.ended {
			seen[d] = true
		}
	}
	return len(seen)
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
