package slack

import "slices"

// readable is a channel whose messages the bot may read, or why not.
func (s *Server) readable(q request) (*Channel, error) {
	c := s.channel(q.str("channel"))
	if c == nil || c.Private && !c.Has(s.ws.App.BotUser) {
		return nil, apiError{Code: "channel_not_found"}
	}
	if err := s.need(map[string]string{"im": "im", "group": "groups", "channel": "channels"}[c.kind()] + ":history"); err != nil {
		return nil, err
	}
	if !c.Has(s.ws.App.BotUser) {
		return nil, apiError{Code: "not_in_channel"}
	}
	return c, nil
}

func (s *Server) conversationsInfo(q request) (reply, error) {
	c := s.channel(q.str("channel"))
	if c == nil || c.Private && !c.Has(s.ws.App.BotUser) {
		return nil, apiError{Code: "channel_not_found"}
	}
	if err := s.need(map[string]string{"im": "im", "group": "groups", "channel": "channels"}[c.kind()] + ":read"); err != nil {
		return nil, err
	}
	w := s.wireChannel(c)
	if q.bool("include_num_members") {
		w["num_members"] = len(c.Members)
	}
	return reply{"channel": w}, nil
}

func (s *Server) wireChannel(c *Channel) map[string]any {
	w := map[string]any{"id": c.ID, "created": 1700000000, "is_im": c.IM != "", "is_archived": c.Archived,
		"is_private": c.Private || c.IM != "", "is_mpim": false, "context_team_id": s.ws.Team.ID, "updated": 1700000000000}
	if c.IM != "" {
		w["user"] = c.IM
		return w
	}
	w["name"], w["name_normalized"] = c.Name, c.Name
	w["is_channel"], w["is_group"] = !c.Private, c.Private
	w["is_general"], w["is_shared"], w["is_ext_shared"], w["is_org_shared"] = false, false, false, false
	w["is_member"] = c.Has(s.ws.App.BotUser)
	w["topic"] = map[string]any{"value": c.Topic, "creator": "", "last_set": 0}
	w["purpose"] = map[string]any{"value": "", "creator": "", "last_set": 0}
	return w
}

func (s *Server) conversationsOpen(q request) (reply, error) {
	if err := s.need("im:write"); err != nil {
		return nil, err
	}
	if s.user(q.str("users")) == nil {
		return nil, apiError{Code: "user_not_found"}
	}
	c := s.lookup(q.str("users"))
	if c == nil {
		c = s.openIM(q.str("users"))
	}
	return reply{"channel": map[string]any{"id": c.ID}}, nil
}

// conversationsHistory gives the channel's messages, newest first, without
// the replies in threads.
func (s *Server) conversationsHistory(q request) (reply, error) {
	c, err := s.readable(q)
	if err != nil {
		return nil, err
	}
	var list []*Message
	for _, m := range s.messages[c.ID] {
		if m.Thread == "" || m.Broadcast {
			list = append(list, m)
		}
	}
	slices.Reverse(list)
	return s.pageOf(q, list, nil)
}

// conversationsReplies gives a thread, its parent first.
func (s *Server) conversationsReplies(q request) (reply, error) {
	c, err := s.readable(q)
	if err != nil {
		return nil, err
	}
	m := s.message(c.ID, q.str("ts"))
	if m == nil {
		return nil, apiError{Code: "thread_not_found"}
	}
	if parent := s.message(c.ID, m.Thread); parent != nil {
		m = parent
	}
	return s.pageOf(q, s.replies(c.ID, m.TS), m)
}

// pageOf cuts messages to oldest, latest and a page; first, if there is one,
// leads every page, as a thread's parent does.
func (s *Server) pageOf(q request, list []*Message, first *Message) (reply, error) {
	list = slices.DeleteFunc(list, func(m *Message) bool { return !q.within(m.TS) })
	from, to, next, err := q.page(len(list), 100)
	if err != nil {
		return nil, err
	}
	list = list[from:to]
	if first != nil {
		list = slices.Insert(slices.Clone(list), 0, first)
	}
	out := []any{}
	for _, m := range list {
		w := s.wire(m)
		if q.bool("include_all_metadata") && m.Metadata != nil {
			w["metadata"] = m.Metadata
		}
		out = append(out, w)
	}
	r := reply{"messages": out, "has_more": next != "", "pin_count": 0}
	if next != "" {
		r["response_metadata"] = reply{"next_cursor": next}
	}
	return r, nil
}

// within tells whether ts is between oldest and latest. Timestamps have a
// fixed width, so they compare as strings; "0" and "" mean no bound.
func (q request) within(ts string) bool {
	oldest, latest := q.str("oldest"), q.str("latest")
	if q.bool("inclusive") && (ts == oldest || ts == latest) {
		return true
	}
	return ts > oldest && (latest == "" || ts < latest)
}
