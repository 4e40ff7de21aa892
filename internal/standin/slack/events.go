package slack

import (
	"strings"
	"time"
)

// sendEvent wraps an event as the Events API does and sends it to the app.
func (s *Server) sendEvent(event map[string]any) {
	id := s.id("Ev")
	bot := s.ws.App.BotUser
	payload := map[string]any{
		"token": "stand-in-verification", "team_id": s.ws.Team.ID, "context_team_id": s.ws.Team.ID, "context_enterprise_id": nil,
		"api_app_id": s.ws.App.ID, "event": event, "type": "event_callback", "event_id": id, "event_time": time.Now().Unix(),
		"authorizations": []any{map[string]any{"enterprise_id": nil, "team_id": s.ws.Team.ID, "user_id": bot, "is_bot": true,
			"is_enterprise_install": false}},
		"is_ext_shared_channel": false, "event_context": "4-" + id,
	}
	// An event never fails at once: without a socket it waits for its retry.
	_ = s.deliver(&delivery{kind: "events_api", payload: payload, what: event["type"].(string) + " " + id})
}

// hears tells whether the app gets the channel's messages: the bot is in it
// and has the scope.
func (s *Server) hears(c *Channel) bool {
	scope := map[string]string{"im": "im", "group": "groups", "channel": "channels"}[c.kind()] + ":history"
	return c.Has(s.ws.App.BotUser) && s.need(scope) == nil
}

// sendMessageEvents tells the app of a new message. A mention in a channel
// makes two events with ids of their own.
func (s *Server) sendMessageEvents(m *Message) {
	c := s.channel(m.Channel)
	if s.hears(c) {
		event := s.wire(m)
		event["channel"], event["channel_type"], event["event_ts"] = c.ID, c.kind(), m.TS
		s.authored(event, m)
		s.sendEvent(event)
	}
	mention := "<@" + s.ws.App.BotUser + ">"
	if c.IM == "" && c.Has(s.ws.App.BotUser) && m.User != s.ws.App.BotUser && s.need("app_mentions:read") == nil &&
		strings.Contains(m.Text, mention) {
		event := s.wire(m)
		event["type"], event["channel"], event["event_ts"] = "app_mention", c.ID, m.TS
		delete(event, "subtype")
		s.authored(event, m)
		s.sendEvent(event)
	}
}

// authored adds what a message of a person has and one of an app has not.
func (s *Server) authored(event map[string]any, m *Message) {
	if m.BotID == "" {
		event["client_msg_id"] = uuid()
	}
}

// sendChanged tells the app of an edit, its own ones too.
func (s *Server) sendChanged(m *Message, before map[string]any) {
	c := s.channel(m.Channel)
	if !s.hears(c) {
		return
	}
	s.sendEvent(map[string]any{"type": "message", "subtype": "message_changed", "hidden": true, "message": s.wire(m),
		"previous_message": before, "channel": c.ID, "channel_type": c.kind(), "ts": m.editedTS, "event_ts": m.editedTS})
}

func (s *Server) sendDeleted(m *Message) {
	c := s.channel(m.Channel)
	if !s.hears(c) {
		return
	}
	ts := s.ts()
	s.sendEvent(map[string]any{"type": "message", "subtype": "message_deleted", "hidden": true, "deleted_ts": m.TS,
		"previous_message": s.wire(m), "channel": c.ID, "channel_type": c.kind(), "ts": ts, "event_ts": ts})
}
