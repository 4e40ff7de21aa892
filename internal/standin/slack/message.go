package slack

import (
	"encoding/json"
	"slices"
	"sort"
)

// A Message is a message as Slack stores it. Text is in Slack's escaped form.
type Message struct {
	Channel, TS string
	Thread      string // ts of the parent, "" in the channel and for parents
	User, BotID string
	AppID       string
	Username    string // of an alert bot's message
	Subtype     string
	Text        string
	Blocks      json.RawMessage // nil: none
	Attachments json.RawMessage
	Metadata    json.RawMessage
	Broadcast   bool // a reply shown in the channel too
	Edits       int
	Reactions   []Reaction
	Files       []string // ids
	For         string   // user who alone sees it: an ephemeral message

	editedBy, editedTS string
}

// A Reaction is an emoji on a message and who put it there.
type Reaction struct {
	Name  string
	Users []string
}

// Ephemeral tells whether only one person sees the message.
func (m Message) Ephemeral() bool { return m.For != "" }

func (s *Server) message(channel, ts string) *Message {
	for _, m := range s.messages[channel] {
		if m.TS == ts {
			return m
		}
	}
	return nil
}

// replies are the messages under a parent, oldest first, without the parent.
func (s *Server) replies(channel, parent string) []*Message {
	var out []*Message
	for _, m := range s.messages[channel] {
		if m.Thread == parent {
			out = append(out, m)
		}
	}
	return out
}

// add stores a new message, shows it on the pages and tells the app.
func (s *Server) add(m *Message) {
	m.TS = s.ts()
	s.messages[m.Channel] = append(s.messages[m.Channel], m)
	s.emitMessage("message", m)
	if parent := s.message(m.Channel, m.Thread); parent != nil {
		s.emitMessage("message_changed", parent)
	}
	s.sendMessageEvents(m)
	s.touch()
}

// remove deletes a message. A deleted parent leaves its replies, as in Slack.
func (s *Server) remove(m *Message) {
	s.messages[m.Channel] = slices.DeleteFunc(s.messages[m.Channel], func(o *Message) bool { return o == m })
	s.emit(m.Channel, DeletedFrame{Type: "message_deleted", Channel: m.Channel, TS: m.TS})
	if parent := s.message(m.Channel, m.Thread); parent != nil {
		s.emitMessage("message_changed", parent)
	}
	s.sendDeleted(m)
	s.touch()
}

// wire is the message as conversations.history and events carry it.
func (s *Server) wire(m *Message) map[string]any {
	w := map[string]any{"type": "message", "ts": m.TS, "user": m.User, "text": m.Text}
	s.wireAuthor(w, m)
	put(w, "subtype", m.Subtype)
	put(w, "thread_ts", m.Thread)
	switch {
	case m.Blocks != nil:
		w["blocks"] = m.Blocks
	case m.BotID == "":
		w["blocks"] = s.richTextOf(m)
	}
	if m.Attachments != nil {
		w["attachments"] = m.Attachments
	}
	if m.editedTS != "" {
		w["edited"] = map[string]any{"user": m.editedBy, "ts": m.editedTS}
	}
	if m.Thread != "" {
		if parent := s.message(m.Channel, m.Thread); parent != nil {
			w["parent_user_id"] = parent.User
		}
	}
	s.wireThread(w, m)
	s.wireExtras(w, m)
	return w
}

func (s *Server) wireAuthor(w map[string]any, m *Message) {
	if m.Subtype == "bot_message" {
		delete(w, "user")
		put(w, "username", m.Username)
	}
	put(w, "bot_id", m.BotID)
	put(w, "app_id", m.AppID)
	if u := s.user(m.User); u != nil {
		w["team"] = u.TeamID
	}
	if m.BotID == s.ws.App.BotID {
		w["bot_profile"] = s.botProfile()
	}
}

func (s *Server) wireThread(w map[string]any, m *Message) {
	replies := s.replies(m.Channel, m.TS)
	if len(replies) == 0 {
		return
	}
	w["thread_ts"] = m.TS
	w["reply_count"] = len(replies)
	w["reply_users"] = authors(replies)
	w["reply_users_count"] = len(authors(replies))
	w["latest_reply"] = replies[len(replies)-1].TS
	w["is_locked"] = false
	w["subscribed"] = false
}

func (s *Server) wireExtras(w map[string]any, m *Message) {
	if len(m.Files) > 0 {
		files := []any{}
		for _, id := range m.Files {
			if f := s.files[id]; f != nil {
				files = append(files, s.wireFile(f))
			}
		}
		w["files"] = files
		w["upload"] = false
	}
	if len(m.Reactions) > 0 {
		w["reactions"] = pageReactions(m.Reactions)
	}
}

func (s *Server) botProfile() map[string]any {
	a := s.ws.App
	return map[string]any{"id": a.BotID, "app_id": a.ID, "user_id": a.BotUser, "name": a.Name,
		"deleted": false, "updated": 1700000000, "team_id": s.ws.Team.ID,
		"icons": map[string]any{"image_36": "", "image_48": "", "image_72": ""}}
}

// authors are those who wrote the messages, in order of first appearance, at
// most five.
func authors(messages []*Message) []string {
	out := []string{}
	for _, m := range messages {
		if !slices.Contains(out, m.User) && len(out) < 5 {
			out = append(out, m.User)
		}
	}
	return out
}

func put(w map[string]any, key, value string) {
	if value != "" {
		w[key] = value
	}
}

// copyMessages is for callers outside of the lock.
func copyMessages(in []*Message) []Message {
	out := make([]Message, 0, len(in))
	for _, m := range in {
		c := *m
		c.Reactions = slices.Clone(m.Reactions)
		out = append(out, c)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].TS < out[j].TS })
	return out
}
