package slack

// state is all that a user may see.
func (s *Server) state(user string) StateFrame {
	a, t := s.ws.App, s.ws.Team
	f := StateFrame{Type: "state", Me: user, Bot: len(s.conns),
		Workspace: PageWorkspace{ID: t.ID, Name: t.Name, Domain: t.Domain, AppID: a.ID, BotUser: a.BotUser, Commands: a.Commands},
		Users:     []PageUser{}, Groups: []PageGroup{}, Channels: []PageChannel{}, Messages: map[string][]PageMessage{}, Views: []PageView{}}
	for _, u := range s.ws.Users {
		f.Users = append(f.Users, PageUser{ID: u.ID, Name: u.Name, RealName: u.RealName, Title: u.Title, TeamID: u.TeamID,
			IsBot: u.BotID != "", IsGuest: u.Restricted, IsOther: u.Stranger, CanSwitch: u.BotID == ""})
	}
	for _, g := range s.ws.Groups {
		f.Groups = append(f.Groups, PageGroup(g))
	}
	for i := range s.ws.Channels {
		c := &s.ws.Channels[i]
		if !s.sees(s.user(user), c) {
			continue
		}
		f.Channels = append(f.Channels, s.pageChannel(c))
		list := []PageMessage{}
		for _, m := range s.messages[c.ID] {
			list = append(list, s.pageMessage(m))
		}
		f.Messages[c.ID] = list
	}
	for _, v := range s.views[user] {
		f.Views = append(f.Views, s.pageView(v))
	}
	return f
}

// pageChannel names a direct message after the bot: the page belongs to the
// person at its other end.
func (s *Server) pageChannel(c *Channel) PageChannel {
	name := c.Name
	if c.IM != "" {
		name = s.user(s.ws.App.BotUser).RealName
	}
	return PageChannel{ID: c.ID, Name: name, Topic: c.Topic, IsIM: c.IM != "", IsPrivate: c.Private, IsArchived: c.Archived,
		HasBot: c.Has(s.ws.App.BotUser)}
}

func (s *Server) pageMessage(m *Message) PageMessage {
	replies := s.replies(m.Channel, m.TS)
	p := PageMessage{TS: m.TS, Channel: m.Channel, User: m.User, Username: m.Username, Text: m.Text, Blocks: m.Blocks,
		Attachments: m.Attachments, ThreadTS: m.Thread, Broadcast: m.Broadcast, ReplyCount: len(replies), ReplyUsers: authors(replies),
		Edits: m.Edits, Edited: m.editedBy != "" && m.editedBy != s.ws.App.BotUser, Ephemeral: m.Ephemeral(),
		Reactions: pageReactions(m.Reactions), Files: []PageFile{}}
	if len(replies) > 0 && !m.Ephemeral() {
		p.ThreadTS, p.LatestReply = m.TS, replies[len(replies)-1].TS
	}
	for _, id := range m.Files {
		f := s.files[id]
		p.Files = append(p.Files, PageFile{ID: f.id, Name: f.name, Title: f.title, Mimetype: f.mimetype, Size: len(f.data),
			AltText: f.alt, URL: "/files/" + f.id + "/" + f.name})
	}
	return p
}
