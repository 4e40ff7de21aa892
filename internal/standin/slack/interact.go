package slack

import (
	"encoding/json"
	"fmt"
	"time"
)

// wirePerson is a user as interaction payloads carry one.
func (s *Server) wirePerson(u *User) map[string]any {
	return map[string]any{"id": u.ID, "username": u.Name, "name": u.Name, "team_id": u.TeamID}
}

func (s *Server) wireTeam() map[string]any {
	return map[string]any{"id": s.ws.Team.ID, "domain": s.ws.Team.Domain}
}

// newResponse makes a response_url; kind is "commands" or "actions".
func (s *Server) newResponse(kind, user, channel, thread string, on *Message) string {
	id := s.id("R") + uuid()
	s.responses[id] = &response{user: user, channel: channel, thread: thread, message: on, expires: time.Now().Add(30 * time.Minute)}
	return s.base + "/" + kind + "/" + id
}

// command sends a slash command. outcome is called with "" after the
// acknowledgement, and with Slack's error word otherwise.
func (s *Server) command(user, channel, command, text string, outcome func(code string)) error {
	u, c := s.user(user), s.channel(channel)
	if u == nil || c == nil || !s.sees(u, c) {
		return fmt.Errorf("command by %s in %s: no such user or channel for them", user, channel)
	}
	name := c.Name
	switch {
	case c.IM != "":
		name = "directmessage"
	case c.Private:
		name = "privategroup"
	}
	payload := map[string]any{"token": "stand-in-verification", "team_id": s.ws.Team.ID, "team_domain": s.ws.Team.Domain,
		"channel_id": c.ID, "channel_name": name, "user_id": u.ID, "user_name": u.Name, "command": command,
		"text": s.escape(text, true), "api_app_id": s.ws.App.ID, "is_enterprise_install": "false",
		"response_url": s.newResponse("commands", u.ID, c.ID, "", nil), "trigger_id": s.newTrigger(u.ID)}
	return s.deliver(&delivery{kind: "slash_commands", payload: payload, accepts: true, user: user, what: command,
		acked: func(answer json.RawMessage) {
			s.answerCommand(u.ID, c.ID, answer)
			outcome("")
		},
		failed: func() { outcome("operation_timeout") }})
}

// answerCommand shows the message in the acknowledgement of a command.
func (s *Server) answerCommand(user, channel string, payload json.RawMessage) {
	var a args
	if json.Unmarshal(payload, &a) != nil || len(a) == 0 {
		return
	}
	if err := s.respond(&response{user: user, channel: channel}, a); err != nil {
		s.opts.Log.Warn("answer to a command refused", "err", err)
	}
}

// A found is an interactive element where it stands.
type found struct {
	block   string
	element map[string]any
}

// buttons lists the elements with an action_id in blocks, containers included.
func buttons(raw json.RawMessage) []found {
	var list []map[string]any
	if raw == nil || json.Unmarshal(raw, &list) != nil {
		return nil
	}
	var out []found
	for _, b := range list {
		id, _ := b["block_id"].(string)
		elements, _ := b["elements"].([]any)
		for _, e := range append(elements, b["accessory"], b["element"]) {
			if m, _ := e.(map[string]any); m["action_id"] != nil {
				out = append(out, found{block: id, element: m})
			}
		}
		if children, ok := b["child_blocks"]; ok {
			out = append(out, buttons(marshal(children))...)
		}
	}
	return out
}

// act is the "actions" entry of a press.
func (s *Server) act(f found, value string) map[string]any {
	a := map[string]any{"action_id": f.element["action_id"], "block_id": f.block, "type": f.element["type"], "action_ts": s.ts()}
	for _, key := range []string{"text", "style", "confirm"} {
		if v, ok := f.element[key]; ok && f.element["type"] == "button" {
			a[key] = v
		}
	}
	switch f.element["type"] {
	case "button", "feedback_buttons", "icon_button":
		put(a, "value", value)
	case "overflow", "static_select", "radio_buttons":
		a["selected_option"] = map[string]any{"value": value, "text": optionText(f.element, value)}
	default:
		a["value"] = value
	}
	return a
}

func optionText(element map[string]any, value string) any {
	options, _ := element["options"].([]any)
	for _, o := range options {
		if m, _ := o.(map[string]any); m["value"] == value {
			return m["text"]
		}
	}
	return nil
}

// press sends a press on a message's element. outcome hears whether the app
// acknowledged it.
func (s *Server) press(user string, m *Message, f found, value string, outcome func(ok bool)) error {
	u := s.user(user)
	if u == nil {
		return fmt.Errorf("press by %s: no such user", user)
	}
	payload := s.actionPayload(u, s.act(f, value))
	container := map[string]any{"type": "message", "message_ts": m.TS, "channel_id": m.Channel, "is_ephemeral": m.Ephemeral()}
	put(container, "thread_ts", m.Thread)
	payload["container"] = container
	payload["channel"] = map[string]any{"id": m.Channel, "name": s.interactionName(m.Channel)}
	payload["response_url"] = s.newResponse("actions", u.ID, m.Channel, m.Thread, m)
	if !m.Ephemeral() {
		payload["message"] = s.wire(m)
	}
	return s.deliverPress(u, f, payload, outcome)
}

// pressInView sends a press on an element of a modal.
func (s *Server) pressInView(v *view, f found, value string, outcome func(ok bool)) error {
	u := s.user(v.user)
	payload := s.actionPayload(u, s.act(f, value))
	payload["container"] = map[string]any{"type": "view", "view_id": v.id}
	payload["view"] = s.wireView(v)
	return s.deliverPress(u, f, payload, outcome)
}

func (s *Server) actionPayload(u *User, action map[string]any) map[string]any {
	return map[string]any{"type": "block_actions", "user": s.wirePerson(u), "api_app_id": s.ws.App.ID, "token": "stand-in-verification",
		"trigger_id": s.newTrigger(u.ID), "team": s.wireTeam(), "enterprise": nil, "is_enterprise_install": false,
		"state": map[string]any{"values": map[string]any{}}, "actions": []any{action}}
}

func (s *Server) deliverPress(u *User, f found, payload map[string]any, outcome func(ok bool)) error {
	action, _ := f.element["action_id"].(string)
	return s.deliver(&delivery{kind: "interactive", payload: payload, user: u.ID, what: action,
		acked: func(json.RawMessage) { outcome(true) }, failed: func() { outcome(false) }})
}

func (s *Server) interactionName(channel string) string {
	c := s.channel(channel)
	switch {
	case c == nil:
		return ""
	case c.IM != "":
		return "directmessage"
	case c.Private:
		return "privategroup"
	}
	return c.Name
}

// submit sends a modal's values.
func (s *Server) submit(v *view, values json.RawMessage, outcome func(ok bool)) error {
	if values == nil {
		values = json.RawMessage(`{}`)
	}
	v.values = values
	callback, _ := v.body["callback_id"].(string)
	payload := map[string]any{"type": "view_submission", "team": s.wireTeam(), "user": s.wirePerson(s.user(v.user)),
		"api_app_id": s.ws.App.ID, "token": "stand-in-verification", "trigger_id": s.newTrigger(v.user), "view": s.wireView(v),
		"response_urls": []any{}, "is_enterprise_install": false, "enterprise": nil}
	return s.deliver(&delivery{kind: "interactive", payload: payload, accepts: true, user: v.user, what: callback,
		acked:  func(answer json.RawMessage) { outcome(s.answerSubmit(v, answer)) },
		failed: func() { outcome(false) }})
}

// dismiss closes a modal by hand; all closes the whole stack. The app hears
// of those with notify_on_close.
func (s *Server) dismiss(v *view, all bool) {
	stack := s.views[v.user]
	from := 0
	for i, o := range stack {
		if o == v && !all && v.body["clear_on_close"] != true {
			from = i
		}
	}
	gone := stack[from:]
	s.closeViews(v.user, from)
	for _, o := range gone {
		if o.body["notify_on_close"] != true {
			continue
		}
		payload := map[string]any{"type": "view_closed", "team": s.wireTeam(), "user": s.wirePerson(s.user(o.user)), "api_app_id": s.ws.App.ID,
			"token": "stand-in-verification", "view": s.wireView(o), "is_cleared": all, "is_enterprise_install": false, "enterprise": nil}
		_ = s.deliver(&delivery{kind: "interactive", payload: payload, what: "view_closed"}) // nobody waits for it
	}
}
