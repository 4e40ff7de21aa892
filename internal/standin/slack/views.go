package slack

import (
	"encoding/json"
	"slices"
	"time"
)

// maxViewStack is how many modals lie on each other.
const maxViewStack = 3

// A trigger lets the app open one modal for a user, within three seconds of
// what the user did.
type trigger struct {
	user    string
	expires time.Time
	used    bool
}

type view struct {
	id, hash, user string
	previous, root string
	body           map[string]any // as the app sent it, with block ids
	values         json.RawMessage
}

func (s *Server) newTrigger(user string) string {
	id := s.id("1700000000.") + "." + s.id("trg")
	s.triggers[id] = &trigger{user: user, expires: time.Now().Add(s.opts.TriggerLife)}
	return id
}

// wireView is a view as the API and payloads carry it.
func (s *Server) wireView(v *view) map[string]any {
	w := map[string]any{"submit": nil, "close": nil, "private_metadata": "", "callback_id": "", "external_id": "",
		"clear_on_close": false, "notify_on_close": false}
	for k, x := range v.body {
		w[k] = x
	}
	w["id"], w["hash"], w["team_id"] = v.id, v.hash, s.ws.Team.ID
	w["app_id"], w["bot_id"], w["app_installed_team_id"] = s.ws.App.ID, s.ws.App.BotID, s.ws.Team.ID
	w["root_view_id"], w["previous_view_id"] = v.root, nil
	if v.previous != "" {
		w["previous_view_id"] = v.previous
	}
	w["state"] = map[string]any{"values": v.values}
	return w
}

func (s *Server) pageView(v *view) PageView {
	return PageView{ID: v.id, Hash: v.hash, View: marshal(s.wireView(v))}
}

// viewBody checks a view and gives it back with ids in its blocks.
func (s *Server) viewBody(raw json.RawMessage) (map[string]any, error) {
	v, ok := decode(raw)
	if !ok || raw == nil {
		return nil, apiError{Code: "invalid_arguments", Messages: []string{"missing required field: view"}}
	}
	c := s.checker(true)
	inner := c.view("/view", v)
	if err := c.fail("invalid_arguments"); err != nil {
		return nil, err
	}
	if err := inner.fail("invalid_blocks"); err != nil {
		return nil, err
	}
	body := v.(map[string]any)
	body["blocks"] = s.withBlockIDs(body["blocks"])
	return body, nil
}

// useTrigger is the user that a trigger_id is for.
func (s *Server) useTrigger(id string) (string, error) {
	t := s.triggers[id]
	switch {
	case t == nil:
		return "", apiError{Code: "invalid_trigger_id"}
	case t.used:
		return "", apiError{Code: "exchanged_trigger_id"}
	case time.Now().After(t.expires):
		return "", apiError{Code: "expired_trigger_id"}
	}
	t.used = true
	return t.user, nil
}

func (s *Server) viewsOpen(q request) (reply, error) {
	return s.showView(q, true)
}

func (s *Server) viewsPush(q request) (reply, error) {
	return s.showView(q, false)
}

func (s *Server) showView(q request, fresh bool) (reply, error) {
	body, err := s.viewBody(q.raw("view"))
	if err != nil {
		return nil, err
	}
	user, err := s.useTrigger(q.str("trigger_id"))
	if err != nil {
		return nil, err
	}
	if fresh {
		s.closeViews(user, 0)
	}
	v, err := s.pushView(user, body)
	if err != nil {
		return nil, err
	}
	return reply{"view": s.wireView(v)}, nil
}

func (s *Server) pushView(user string, body map[string]any) (*view, error) {
	stack := s.views[user]
	if len(stack) >= maxViewStack {
		return nil, apiError{Code: "push_limit_reached"}
	}
	v := &view{id: s.id("V0"), user: user, body: body, values: json.RawMessage(`{}`)}
	v.hash, v.root = s.id("1700000000.h"), v.id
	if len(stack) > 0 {
		v.previous, v.root = stack[len(stack)-1].id, stack[0].id
	}
	s.views[user] = append(stack, v)
	s.emitTo(user, ViewFrame{Type: "view", View: s.pageView(v)})
	s.touch()
	return v, nil
}

func (s *Server) view(id string) *view {
	for _, stack := range s.views {
		for _, v := range stack {
			if v.id == id {
				return v
			}
		}
	}
	return nil
}

func (s *Server) viewsUpdate(q request) (reply, error) {
	body, err := s.viewBody(q.raw("view"))
	if err != nil {
		return nil, err
	}
	v := s.view(q.str("view_id"))
	if v == nil {
		v = s.viewByExternal(q.str("external_id"))
	}
	if v == nil {
		return nil, apiError{Code: "not_found"}
	}
	if h := q.str("hash"); h != "" && h != v.hash {
		return nil, apiError{Code: "hash_conflict"}
	}
	s.updateView(v, body)
	return reply{"view": s.wireView(v)}, nil
}

func (s *Server) viewByExternal(id string) *view {
	for _, stack := range s.views {
		for _, v := range stack {
			if id != "" && v.body["external_id"] == id {
				return v
			}
		}
	}
	return nil
}

func (s *Server) updateView(v *view, body map[string]any) {
	v.body, v.hash = body, s.id("1700000000.h")
	s.emitTo(v.user, ViewFrame{Type: "view_update", View: s.pageView(v)})
	s.touch()
}

// closeViews closes the user's modals from a place in the stack upwards.
func (s *Server) closeViews(user string, from int) {
	stack := s.views[user]
	if from >= len(stack) {
		return
	}
	ids := []string{}
	for _, v := range stack[from:] {
		ids = append(ids, v.id)
	}
	s.views[user] = slices.Clone(stack[:from])
	s.emitTo(user, ViewCloseFrame{Type: "view_close", IDs: ids})
	s.touch()
}

// answerSubmit does what the app's acknowledgement of a view_submission says.
// ok is false when it is nothing that Slack understands: the person sees
// "trouble connecting".
func (s *Server) answerSubmit(v *view, payload json.RawMessage) (ok bool) {
	var a struct {
		Action string            `json:"response_action"`
		View   json.RawMessage   `json:"view"`
		Errors map[string]string `json:"errors"`
	}
	if len(payload) > 0 && json.Unmarshal(payload, &a) != nil {
		return false
	}
	place := slices.Index(s.views[v.user], v)
	switch a.Action {
	case "":
		s.closeViews(v.user, max(place, 0))
	case "clear":
		s.closeViews(v.user, 0)
	case "errors":
		s.emitTo(v.user, ViewErrorsFrame{Type: "view_errors", ViewID: v.id, Errors: a.Errors})
		return len(a.Errors) > 0
	case "update", "push":
		body, err := s.viewBody(a.View)
		if err != nil {
			s.opts.Log.Warn("view in the answer to a submission refused", "err", err)
			return false
		}
		if a.Action == "update" {
			s.updateView(v, body)
			return true
		}
		_, err = s.pushView(v.user, body)
		return err == nil
	default:
		return false
	}
	return true
}
