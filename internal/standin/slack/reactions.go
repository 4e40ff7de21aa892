package slack

import (
	"regexp"
	"slices"
)

// Slack knows a few thousand emoji; the form of a name is checked, not the list.
var emojiName = regexp.MustCompile(`^[a-z0-9_+'-]{1,100}$`)

// reacted is the message that a reaction is about.
func (s *Server) reacted(q request) (*Message, error) {
	c := s.channel(q.str("channel"))
	if c == nil || c.Private && !c.Has(s.ws.App.BotUser) {
		return nil, apiError{Code: "channel_not_found"}
	}
	if !c.Has(s.ws.App.BotUser) {
		return nil, apiError{Code: "not_in_channel"}
	}
	m := s.message(c.ID, q.str("timestamp"))
	if m == nil {
		return nil, apiError{Code: "message_not_found"}
	}
	return m, nil
}

func (s *Server) reactionsAdd(q request) (reply, error) {
	if err := s.need("reactions:write"); err != nil {
		return nil, err
	}
	name := q.str("name")
	if !emojiName.MatchString(name) {
		return nil, apiError{Code: "invalid_name"}
	}
	m, err := s.reacted(q)
	if err != nil {
		return nil, err
	}
	if c := s.channel(m.Channel); c.Archived {
		return nil, apiError{Code: "is_archived"}
	}
	if slices.Contains(m.reaction(name).Users, s.ws.App.BotUser) {
		return nil, apiError{Code: "already_reacted"}
	}
	r := m.reaction(name)
	r.Users = append(r.Users, s.ws.App.BotUser)
	s.showReactions(m)
	return reply{}, nil
}

func (s *Server) reactionsRemove(q request) (reply, error) {
	if err := s.need("reactions:write"); err != nil {
		return nil, err
	}
	m, err := s.reacted(q)
	if err != nil {
		return nil, err
	}
	r := m.reaction(q.str("name"))
	i := slices.Index(r.Users, s.ws.App.BotUser)
	if i < 0 {
		return nil, apiError{Code: "no_reaction"}
	}
	r.Users = slices.Delete(r.Users, i, i+1)
	s.showReactions(m)
	return reply{}, nil
}

func (s *Server) reactionsGet(q request) (reply, error) {
	if err := s.need("reactions:read"); err != nil {
		return nil, err
	}
	m, err := s.reacted(q)
	if err != nil {
		return nil, err
	}
	return reply{"type": "message", "channel": m.Channel, "message": s.wire(m)}, nil
}

// reaction finds or adds an emoji on a message.
func (m *Message) reaction(name string) *Reaction {
	i := slices.IndexFunc(m.Reactions, func(r Reaction) bool { return r.Name == name })
	if i < 0 {
		m.Reactions = append(m.Reactions, Reaction{Name: name})
		i = len(m.Reactions) - 1
	}
	return &m.Reactions[i]
}

func (s *Server) showReactions(m *Message) {
	m.Reactions = slices.DeleteFunc(m.Reactions, func(r Reaction) bool { return len(r.Users) == 0 })
	s.emit(m.Channel, ReactionFrame{Type: "reaction", Channel: m.Channel, TS: m.TS, Reactions: pageReactions(m.Reactions)})
	s.touch()
}

func pageReactions(in []Reaction) []PageReaction {
	out := []PageReaction{}
	for _, r := range in {
		out = append(out, PageReaction{Name: r.Name, Users: slices.Clone(r.Users), Count: len(r.Users)})
	}
	return out
}
