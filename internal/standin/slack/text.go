package slack

import (
	"regexp"
	"slices"
	"strings"
)

// tokens are what a person types that Slack turns into something else, and
// the code that it leaves alone. The top-level domains are a sample; Slack
// knows them all.
var tokens = regexp.MustCompile("(?s)```.*?```" + "|`[^`\n]+`" +
	`|<@[A-Z0-9]+>` +
	`|https?://[^\s<>|` + "`" + `]+` +
	`|[\w.+-]+@[\w-]+\.[\w.-]*\w` +
	`|\B@[\w.-]*\w` +
	`|\B#[\w-]+` +
	`|\b(?:[a-z0-9-]+\.)+(?:com|net|org|io|dev|app|cloud)\b`)

var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// escape turns typed text into what Slack stores and sends: entities escaped,
// mentions, channels and links in angle brackets. Slash commands carry names
// beside the ids ("should_escape" in the manifest).
func (s *Server) escape(text string, command bool) string {
	var b strings.Builder
	at := 0
	for _, span := range tokens.FindAllStringIndex(text, -1) {
		b.WriteString(entities.Replace(text[at:span[0]]))
		b.WriteString(s.token(text[span[0]:span[1]], command))
		at = span[1]
	}
	b.WriteString(entities.Replace(text[at:]))
	return b.String()
}

func (s *Server) token(t string, command bool) string {
	switch {
	case t[0] == '`':
		return entities.Replace(t)
	case t[0] == '@' || strings.HasPrefix(t, "<@"):
		return s.mention(t, command)
	case t[0] == '#':
		return s.channelLink(t, command)
	case strings.HasPrefix(t, "http"):
		link := strings.TrimRight(t, ".,;:!?)")
		return "<" + entities.Replace(link) + ">" + entities.Replace(t[len(link):])
	case strings.Contains(t, "@"):
		return "<mailto:" + t + "|" + t + ">"
	}
	return "<http://" + t + "|" + t + ">"
}

func (s *Server) mention(t string, command bool) string {
	name := strings.Trim(t, "<@>")
	if slices.Contains([]string{"here", "channel", "everyone"}, name) {
		return "<!" + name + ">"
	}
	for _, u := range s.ws.Users {
		if u.ID == name || u.Name == name {
			if command {
				return "<@" + u.ID + "|" + u.Name + ">"
			}
			return "<@" + u.ID + ">"
		}
	}
	for _, g := range s.ws.Groups {
		if g.Handle == name {
			return "<!subteam^" + g.ID + ">"
		}
	}
	return entities.Replace(t)
}

func (s *Server) channelLink(t string, command bool) string {
	c := s.lookup(t)
	if c == nil || c.IM != "" {
		return entities.Replace(t)
	}
	if command {
		return "<#" + c.ID + "|" + c.Name + ">"
	}
	return "<#" + c.ID + "|>"
}

var brackets = regexp.MustCompile(`<[^<>]+>`)

var plainEntities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// richTextOf is the rich_text block that Slack makes of a person's message.
func (s *Server) richTextOf(m *Message) []any {
	elements, at := []any{}, 0
	plain := func(t string) {
		if t != "" {
			elements = append(elements, map[string]any{"type": "text", "text": plainEntities.Replace(t)})
		}
	}
	for _, span := range brackets.FindAllStringIndex(m.Text, -1) {
		plain(m.Text[at:span[0]])
		elements = append(elements, richElement(m.Text[span[0]+1:span[1]-1]))
		at = span[1]
	}
	plain(m.Text[at:])
	section := map[string]any{"type": "rich_text_section", "elements": elements}
	return []any{map[string]any{"type": "rich_text", "block_id": "m" + m.TS, "elements": []any{section}}}
}

func richElement(inner string) map[string]any {
	target, label, _ := strings.Cut(inner, "|")
	group, isGroup := strings.CutPrefix(target, "!subteam^")
	switch {
	case isGroup:
		return map[string]any{"type": "usergroup", "usergroup_id": group}
	case target[0] == '@':
		return map[string]any{"type": "user", "user_id": target[1:]}
	case target[0] == '#':
		return map[string]any{"type": "channel", "channel_id": target[1:]}
	case target[0] == '!':
		return map[string]any{"type": "broadcast", "range": target[1:]}
	}
	w := map[string]any{"type": "link", "url": plainEntities.Replace(target)}
	put(w, "text", label)
	return w
}
