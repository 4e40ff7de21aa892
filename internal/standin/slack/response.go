package slack

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"
)

const maxResponses = 5

// serveResponse takes a message for a response_url. It takes the lock itself.
func (s *Server) serveResponse(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var a args
	if err != nil || json.Unmarshal(body, &a) != nil {
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	resp := s.responses[r.PathValue("id")]
	switch {
	case resp == nil, time.Now().After(resp.expires):
		s.refuse(w, "expired_url")
		return
	case resp.uses >= maxResponses:
		s.refuse(w, "used_url")
		return
	}
	resp.uses++
	if err := s.respond(resp, a); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(marshal(s.failure(err)))
		return
	}
	_, _ = io.WriteString(w, "ok")
}

func (s *Server) refuse(w http.ResponseWriter, code string) {
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(marshal(reply{"ok": false, "error": code}))
}

// respond posts, replaces or deletes, as the body of a response says. The
// default is an ephemeral message.
func (s *Server) respond(r *response, a args) error {
	if a.bool("delete_original") && r.message != nil {
		s.removeAny(r.message)
		return nil
	}
	content, err := s.content(a)
	if err != nil {
		return err
	}
	if a.bool("replace_original") && r.message != nil {
		s.replaceAny(r.message, content)
		return nil
	}
	thread := or(a.str("thread_ts"), r.thread)
	if a.str("response_type") == "in_channel" {
		s.add(s.asBot(content, r.channel, thread))
		return nil
	}
	s.addEphemeral(content, r.channel, thread, r.user)
	return nil
}

// removeAny deletes a message, an ephemeral one too.
func (s *Server) removeAny(m *Message) {
	if !m.Ephemeral() {
		s.remove(m)
		return
	}
	s.ephemerals = slices.DeleteFunc(s.ephemerals, func(o *Message) bool { return o == m })
	s.emitTo(m.For, DeletedFrame{Type: "ephemeral_gone", Channel: m.Channel, TS: m.TS})
	s.touch()
}

// replaceAny edits a message, an ephemeral one too.
func (s *Server) replaceAny(m *Message, content Message) {
	if !m.Ephemeral() {
		s.edit(m, s.ws.App.BotUser, content)
		return
	}
	m.Text, m.Blocks, m.Attachments = content.Text, content.Blocks, content.Attachments
	m.Edits++
	s.emitTo(m.For, MessageFrame{Type: "ephemeral", Message: s.pageMessage(m)})
	s.touch()
}
