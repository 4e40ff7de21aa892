package slack

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// The methods here are what people do in Slack, for tests and for the demo.
// They return when the app was told, not when it has acted: use WaitFor.

// sees tells whether a person can look into a channel.
func (s *Server) sees(u *User, c *Channel) bool {
	return c.Has(u.ID) || !c.Private && c.IM == "" && !u.Restricted && !u.Stranger
}

// Say posts what a person types, in a channel or, with the ts of a message,
// in its thread, and returns the new message's ts. The text is as typed:
// "@hopwise", "#ops", "<" and so on are turned into Slack's form. It panics
// for an unknown user or channel, one that the user cannot see, an archived
// one and an unknown thread, since a person could not do that.
func (s *Server) Say(user, channel, thread, text string) (ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ts, err := s.say(user, channel, thread, text)
	if err != nil {
		panic(err)
	}
	return ts
}

func (s *Server) say(user, channel, thread, text string) (string, error) {
	u, c := s.user(user), s.channel(channel)
	switch {
	case u == nil || c == nil || !s.sees(u, c):
		return "", fmt.Errorf("say in %s: %s cannot see it", channel, user)
	case c.Archived:
		return "", fmt.Errorf("say in %s: the channel is archived", channel)
	case text == "":
		return "", errors.New("say: the text is empty")
	}
	root, err := s.threadRoot(c.ID, thread)
	if err != nil {
		return "", fmt.Errorf("say in thread %s of %s: no such message", thread, channel)
	}
	m := &Message{Channel: c.ID, Thread: root, User: u.ID, Text: s.escape(text, false)}
	s.add(m)
	return m.TS, nil
}

// Alert posts a message of another app's bot: subtype bot_message, with text,
// and attachments as JSON or nil. It panics for an unknown channel.
func (s *Server) Alert(channel, text string, attachments json.RawMessage) (ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(AlertBot)
	m := &Message{Channel: channel, User: u.ID, BotID: u.BotID, Username: u.RealName, Subtype: "bot_message", Text: text, Attachments: attachments}
	s.add(m)
	return m.TS
}

// Command sends a slash command. It returns ErrNoApp when the app has no open
// socket.
func (s *Server) Command(user, channel, command, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.command(user, channel, command, text, func(string) {})
}

// find is a message that the user sees, an ephemeral one too.
func (s *Server) find(user, channel, ts string) *Message {
	u, c := s.user(user), s.channel(channel)
	if u == nil || c == nil || !s.sees(u, c) {
		return nil
	}
	if m := s.message(c.ID, ts); m != nil {
		return m
	}
	for _, m := range s.ephemerals {
		if m.For == user && m.Channel == channel && m.TS == ts {
			return m
		}
	}
	return nil
}

// Press presses the button with the action id in a message, as shown at this
// moment: it sends the button's own value. A confirm dialog counts as
// answered with yes. It fails when there is no such message or button, or
// with ErrNoApp.
func (s *Server) Press(user, channel, ts, actionID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.find(user, channel, ts)
	if m == nil {
		return fmt.Errorf("press %s: %s sees no message %s in %s", actionID, user, ts, channel)
	}
	for _, f := range buttons(m.Blocks) {
		if f.element["action_id"] == actionID {
			value, _ := f.element["value"].(string)
			return s.press(user, m, f, value, func(bool) {})
		}
	}
	return fmt.Errorf("press %s: message %s in %s has no such button", actionID, ts, channel)
}

// PressRaw sends a press with any action id and value on any message, there
// or not, seen by the user or not, as nobody but a forger would.
func (s *Server) PressRaw(user, channel, ts, actionID, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.message(channel, ts)
	if m == nil {
		m = &Message{Channel: channel, TS: ts, User: s.ws.App.BotUser, BotID: s.ws.App.BotID}
	}
	forged := found{block: "forged", element: map[string]any{"type": "button", "action_id": actionID,
		"text": map[string]any{"type": "plain_text", "text": actionID, "emoji": true}}}
	for _, f := range buttons(m.Blocks) {
		if f.element["action_id"] == actionID {
			forged = f
		}
	}
	return s.press(user, m, forged, value, func(bool) {})
}

// SubmitView submits a modal; values is view.state.values as JSON, or nil.
func (s *Server) SubmitView(viewID string, values json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view(viewID)
	if v == nil {
		return fmt.Errorf("submit view %s: it is not open", viewID)
	}
	return s.submit(v, values, func(bool) {})
}

// CloseView closes a modal with its X, or the whole stack.
func (s *Server) CloseView(viewID string, all bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view(viewID)
	if v == nil {
		return fmt.Errorf("close view %s: it is not open", viewID)
	}
	s.dismiss(v, all)
	return nil
}

// Edit changes a person's message, as its author would.
func (s *Server) Edit(channel, ts, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.message(channel, ts)
	if m == nil || m.BotID != "" {
		return fmt.Errorf("edit %s in %s: no message of a person", ts, channel)
	}
	s.edit(m, m.User, Message{Text: s.escape(text, false)})
	return nil
}

// Delete removes a message.
func (s *Server) Delete(channel, ts string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.message(channel, ts)
	if m == nil {
		return fmt.Errorf("delete %s in %s: no such message", ts, channel)
	}
	s.remove(m)
	return nil
}

// Messages are all messages of a channel, oldest first, replies included.
func (s *Server) Messages(channel string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copyMessages(s.messages[channel])
}

// Thread is a thread, its parent first.
func (s *Server) Thread(channel, ts string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.replies(channel, ts)
	if parent := s.message(channel, ts); parent != nil {
		out = append(out, parent)
	}
	return copyMessages(out)
}

// Ephemerals are the messages that only this user got, oldest first. A reload
// of the page does not take them from here.
func (s *Server) Ephemerals(user string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*Message
	for _, m := range s.ephemerals {
		if m.For == user {
			out = append(out, m)
		}
	}
	return copyMessages(out)
}

// A View is an open modal. JSON is the view as Slack's API gives it.
type View struct {
	ID, Hash, CallbackID, PrivateMetadata string
	JSON                                  json.RawMessage
}

// Views are the user's open modals, the last one on top.
func (s *Server) Views(user string) []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []View
	for _, v := range s.views[user] {
		callback, _ := v.body["callback_id"].(string)
		private, _ := v.body["private_metadata"].(string)
		out = append(out, View{ID: v.id, Hash: v.hash, CallbackID: callback, PrivateMetadata: private, JSON: marshal(s.wireView(v))})
	}
	return out
}

// Calls are the Web API requests so far, oldest first.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// AddBot invites the app's bot into a channel.
func (s *Server) AddBot(channel string) {
	s.change(channel, func(c *Channel) {
		if !c.Has(s.ws.App.BotUser) {
			c.Members = append(c.Members, s.ws.App.BotUser)
		}
	})
}

// RemoveBot removes the app's bot from a channel.
func (s *Server) RemoveBot(channel string) {
	s.change(channel, func(c *Channel) {
		c.Members = slices.DeleteFunc(c.Members, func(u string) bool { return u == s.ws.App.BotUser })
	})
}

// Archive archives a channel.
func (s *Server) Archive(channel string) {
	s.change(channel, func(c *Channel) { c.Archived = true })
}

// change takes the lock itself.
func (s *Server) change(channel string, f func(*Channel)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channel(channel)
	if c == nil {
		panic("no channel " + channel)
	}
	f(c)
	s.emitChannel(c)
	s.touch()
}
