package slack

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxText       = 40000 // chat.postMessage cuts longer texts
	maxUpdateText = 4000  // chat.update refuses longer ones
	maxAttached   = 100
)

// marshal is json.Marshal without \u003c for "<", which would count six times
// against the size limits.
func marshal(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("marshal a value made of JSON: " + err.Error())
	}
	return bytes.TrimSpace(b.Bytes())
}

// postable is the channel that the bot may post to, or why not. A user's id
// stands for the direct message with them.
func (s *Server) postable(ref string) (*Channel, error) {
	c := s.lookup(ref)
	if c == nil && s.user(ref) != nil {
		c = s.openIM(ref)
	}
	switch bot := s.ws.App.BotUser; {
	case c == nil, c.Private && !c.Has(bot):
		return nil, apiError{Code: "channel_not_found"}
	case c.Archived:
		return nil, apiError{Code: "is_archived"}
	case !c.Has(bot):
		return nil, apiError{Code: "not_in_channel"}
	}
	return c, nil
}

func (s *Server) openIM(user string) *Channel {
	s.ws.Channels = append(s.ws.Channels, Channel{ID: s.id("D"), IM: user, Members: []string{user, s.ws.App.BotUser}})
	return &s.ws.Channels[len(s.ws.Channels)-1]
}

// content is what a message says: text, blocks, attachments, metadata.
func (s *Server) content(a args) (m Message, err error) {
	m.Text = a.str("text")
	if m.Blocks, err = s.messageBlocks(a.raw("blocks")); err != nil {
		return m, err
	}
	if m.Attachments, err = attachments(a.raw("attachments")); err != nil {
		return m, err
	}
	if m.Metadata, err = metadata(a.raw("metadata")); err != nil {
		return m, err
	}
	if strings.TrimSpace(m.Text) == "" && m.Blocks == nil && m.Attachments == nil {
		return m, apiError{Code: "no_text"}
	}
	if utf8.RuneCountInString(m.Text) > maxText {
		m.Text = string([]rune(m.Text)[:maxText])
	}
	return m, nil
}

func attachments(raw json.RawMessage) (json.RawMessage, error) {
	if raw == nil {
		return nil, nil
	}
	var list []map[string]any
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, apiError{Code: "invalid_attachments"}
	}
	if len(list) > maxAttached {
		return nil, apiError{Code: "too_many_attachments"}
	}
	if len(list) == 0 {
		return nil, nil
	}
	return marshal(list), nil
}

func metadata(raw json.RawMessage) (json.RawMessage, error) {
	if raw == nil {
		return nil, nil
	}
	var m struct {
		Type    string         `json:"event_type"`
		Payload map[string]any `json:"event_payload"`
	}
	if err := json.Unmarshal(raw, &m); err != nil || m.Type == "" || m.Payload == nil {
		return nil, apiError{Code: "invalid_metadata_format"}
	}
	return raw, nil
}

// threadRoot is the parent that a reply to ts goes under: Slack puts a reply
// to a reply under the same parent.
func (s *Server) threadRoot(channel, ts string) (string, error) {
	if ts == "" {
		return "", nil
	}
	m := s.message(channel, ts)
	if m == nil {
		return "", apiError{Code: "thread_not_found"}
	}
	return or(m.Thread, m.TS), nil
}

// asBot makes a message of the app's own.
func (s *Server) asBot(m Message, channel, thread string) *Message {
	m.Channel, m.Thread = channel, thread
	m.User, m.BotID, m.AppID = s.ws.App.BotUser, s.ws.App.BotID, s.ws.App.ID
	return &m
}

func (s *Server) chatPostMessage(q request) (reply, error) {
	if err := s.need("chat:write"); err != nil {
		return nil, err
	}
	c, err := s.postable(q.str("channel"))
	if err != nil {
		return nil, err
	}
	thread, err := s.threadRoot(c.ID, q.str("thread_ts"))
	if err != nil {
		return nil, err
	}
	content, err := s.content(q.args)
	if err != nil {
		return nil, err
	}
	m := s.asBot(content, c.ID, thread)
	if q.bool("reply_broadcast") && thread != "" {
		m.Broadcast, m.Subtype = true, "thread_broadcast"
	}
	s.add(m)
	return reply{"channel": c.ID, "ts": m.TS, "message": s.wire(m)}, nil
}

func (s *Server) chatPostEphemeral(q request) (reply, error) {
	if err := s.need("chat:write"); err != nil {
		return nil, err
	}
	c, err := s.postable(q.str("channel"))
	if err != nil {
		return nil, err
	}
	user := q.str("user")
	if s.user(user) == nil {
		return nil, apiError{Code: "user_not_found"}
	}
	if !c.Has(user) {
		return nil, apiError{Code: "user_not_in_channel"}
	}
	content, err := s.content(q.args)
	if err != nil {
		return nil, err
	}
	m := s.addEphemeral(content, c.ID, q.str("thread_ts"), user)
	return reply{"message_ts": m.TS}, nil
}

func (s *Server) addEphemeral(content Message, channel, thread, user string) *Message {
	m := s.asBot(content, channel, thread)
	m.For, m.TS = user, s.ts()
	s.ephemerals = append(s.ephemerals, m)
	s.emitTo(user, MessageFrame{Type: "ephemeral", Message: s.pageMessage(m)})
	s.touch()
	return m
}

// own is a message of the app's that chat.update or chat.delete names.
func (s *Server) own(q request, refused string) (*Message, error) {
	if err := s.need("chat:write"); err != nil {
		return nil, err
	}
	c, err := s.postable(q.str("channel"))
	if err != nil {
		return nil, err
	}
	if c.ID != q.str("channel") { // a name does for posting only
		return nil, apiError{Code: "channel_not_found"}
	}
	m := s.message(c.ID, q.str("ts"))
	if m == nil {
		return nil, apiError{Code: "message_not_found"}
	}
	if m.BotID != s.ws.App.BotID {
		return nil, apiError{Code: refused}
	}
	return m, nil
}

func (s *Server) chatUpdate(q request) (reply, error) {
	m, err := s.own(q, "cant_update_message")
	if err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(q.str("text")) > maxUpdateText {
		return nil, apiError{Code: "msg_too_long"}
	}
	content, err := s.content(q.args)
	if err != nil {
		return nil, err
	}
	if richBlocks(m.Blocks) && !richBlocks(content.Blocks) && content.Blocks != nil {
		return nil, apiError{Code: "block_mismatch"}
	}
	s.edit(m, s.ws.App.BotUser, content)
	return reply{"channel": m.Channel, "ts": m.TS, "text": m.Text, "message": s.wire(m)}, nil
}

// richBlocks tells whether there is a block that Slack keeps as rich text: it
// cannot be replaced by other kinds of blocks.
func richBlocks(raw json.RawMessage) bool {
	var list []struct{ Type string }
	if raw == nil || json.Unmarshal(raw, &list) != nil {
		return false
	}
	for _, b := range list {
		if b.Type == "rich_text" || b.Type == "markdown" {
			return true
		}
	}
	return false
}

// edit replaces what a message says, and tells everybody.
func (s *Server) edit(m *Message, by string, content Message) {
	before := s.wire(m)
	m.Text, m.Blocks, m.Attachments = content.Text, content.Blocks, content.Attachments
	if content.Metadata != nil {
		m.Metadata = content.Metadata
	}
	m.Edits++
	m.editedBy, m.editedTS = by, s.ts()
	s.emitMessage("message_changed", m)
	s.sendChanged(m, before)
	s.touch()
}

func (s *Server) chatDelete(q request) (reply, error) {
	m, err := s.own(q, "cant_delete_message")
	if err != nil {
		return nil, err
	}
	s.remove(m)
	return reply{"channel": m.Channel, "ts": m.TS}, nil
}

func (s *Server) chatGetPermalink(q request) (reply, error) {
	c := s.channel(q.str("channel"))
	if c == nil {
		return nil, apiError{Code: "channel_not_found"}
	}
	m := s.message(c.ID, q.str("message_ts"))
	if m == nil {
		return nil, apiError{Code: "message_not_found"}
	}
	link := "https://" + s.ws.Team.Domain + ".slack.com/archives/" + c.ID + "/p" + strings.ReplaceAll(m.TS, ".", "")
	if m.Thread != "" {
		link += "?thread_ts=" + m.Thread + "&cid=" + c.ID
	}
	return reply{"channel": c.ID, "permalink": link}, nil
}

// A response is what a response_url stands for: five messages in half an hour.
type response struct {
	user, channel, thread string
	message               *Message // that the press was on; nil for commands
	uses                  int
	expires               time.Time
}
