package slack

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/websocket"
)

// A page is one browser tab.
type page struct {
	user  string
	ws    *websocket.Conn
	out   chan []byte
	done  chan struct{}
	ended bool
}

// pageUpgrader takes sockets from pages of this server only (the library's
// default): another site in the same browser must not press buttons here.
var pageUpgrader = websocket.Upgrader{WriteBufferSize: 32 << 10}

// servePage is /page/ws. It takes the lock itself.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	user, ok := s.pageUser(r)
	if !ok {
		http.Error(w, "no such user", http.StatusNotFound)
		return
	}
	ws, err := pageUpgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	p := &page{user: user, ws: ws, out: make(chan []byte, 1024), done: make(chan struct{})}
	s.mu.Lock()
	s.pages[p] = true
	p.send(s.state(user))
	s.mu.Unlock()
	go p.write()
	s.readPage(p)
}

// servePageState is /page/state. It takes the lock itself.
func (s *Server) servePageState(w http.ResponseWriter, r *http.Request) {
	user, ok := s.pageUser(r)
	if !ok {
		http.Error(w, "no such user", http.StatusNotFound)
		return
	}
	s.mu.Lock()
	state := s.state(user)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(marshal(state))
}

// pageUser is the user that a page asks for, by default the first. It takes
// the lock itself.
func (s *Server) pageUser(r *http.Request) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(or(r.URL.Query().Get("user"), s.ws.Users[0].ID))
	if u == nil || u.BotID != "" {
		return "", false
	}
	return u.ID, true
}

func (s *Server) readPage(p *page) {
	defer func() {
		s.mu.Lock()
		delete(s.pages, p)
		p.kill()
		s.mu.Unlock()
	}()
	p.ws.SetReadLimit(1 << 20)
	for {
		_, data, err := p.ws.ReadMessage()
		if err != nil {
			return
		}
		var q PageRequest
		err = json.Unmarshal(data, &q)
		s.mu.Lock()
		if err != nil {
			p.complain("", "bad_request", "The page sent something that is no JSON object.")
		} else {
			s.fromPage(p, q)
		}
		s.mu.Unlock()
	}
}

func (p *page) write() {
	ping := time.NewTicker(20 * time.Second)
	defer ping.Stop()
	for {
		select {
		case data := <-p.out:
			if p.ws.WriteMessage(websocket.TextMessage, data) != nil {
				_ = p.ws.Close() // the reader notices and cleans up
				return
			}
		case <-ping.C:
			_ = p.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		case <-p.done:
			return
		}
	}
}

// send queues a frame. A page that reads nothing loses its socket and gets
// the state again when it reconnects.
func (p *page) send(frame any) {
	select {
	case p.out <- marshal(frame):
	default:
		p.kill()
	}
}

func (p *page) kill() {
	if !p.ended {
		p.ended = true
		close(p.done)
		_ = p.ws.Close()
	}
}

func (p *page) complain(re, code, message string) {
	p.send(ErrorFrame{Type: "error", Re: re, Error: code, Message: message})
}

// emit shows a frame to those who see the channel.
func (s *Server) emit(channel string, frame any) {
	c := s.channel(channel)
	for p := range s.pages {
		if c != nil && s.sees(s.user(p.user), c) {
			p.send(frame)
		}
	}
}

// emitTo shows a frame to one user.
func (s *Server) emitTo(user string, frame any) {
	for p := range s.pages {
		if p.user == user {
			p.send(frame)
		}
	}
}

func (s *Server) emitAll(frame any) {
	for p := range s.pages {
		p.send(frame)
	}
}

func (s *Server) emitMessage(kind string, m *Message) {
	if len(s.pages) > 0 {
		s.emit(m.Channel, MessageFrame{Type: kind, Message: s.pageMessage(m)})
	}
}

func (s *Server) emitChannel(c *Channel) {
	s.emit(c.ID, ChannelFrame{Type: "channel", Channel: s.pageChannel(c)})
}

// fromPage does what a person did in the browser.
func (s *Server) fromPage(p *page, q PageRequest) {
	switch q.Type {
	case "say":
		if _, err := s.say(p.user, q.Channel, q.ThreadTS, q.Text); err != nil {
			p.complain(q.Re, "not_sent", err.Error())
			return
		}
		s.warnDeaf(p, q)
	case "command":
		s.pageCommand(p, q)
	case "press":
		s.pagePress(p, q)
	case "submit_view":
		s.pageSubmit(p, q)
	case "close_view":
		if v := s.view(q.ViewID); v != nil && v.user == p.user {
			s.dismiss(v, q.All)
		}
	case "edit", "delete":
		s.pageChange(p, q)
	case "invite":
		if c := s.channel(q.Channel); c != nil && s.sees(s.user(p.user), c) && !c.Has(s.ws.App.BotUser) {
			c.Members = append(c.Members, s.ws.App.BotUser)
			s.emitChannel(c)
			s.touch()
		}
	case "switch_user":
		u := s.user(q.User)
		if u == nil || u.BotID != "" {
			p.complain(q.Re, "user_not_found", "There is no such user.")
			return
		}
		p.user = u.ID
		p.send(s.state(u.ID))
	case "open_channel":
		if c := s.channel(q.Channel); c != nil && s.sees(s.user(p.user), c) {
			p.send(ChannelFrame{Type: "channel", Channel: s.pageChannel(c)})
		}
	default:
		p.complain(q.Re, "bad_request", "The page sent an unknown request: "+q.Type)
	}
}

// warnDeaf tells the person what Slack would leave them to find out.
func (s *Server) warnDeaf(p *page, q PageRequest) {
	c := s.channel(q.Channel)
	switch {
	case !c.Has(s.ws.App.BotUser):
		p.complain(q.Re, "bot_not_in_channel", s.ws.App.Name+" is not in this channel and hears nothing. Invite it.")
	case len(s.conns) == 0:
		p.complain(q.Re, "app_not_running", s.ws.App.Name+" is not connected. It gets the message when it is back.")
	}
}

func (s *Server) pageCommand(p *page, q PageRequest) {
	known := slices.ContainsFunc(s.ws.App.Commands, func(c PageCommand) bool { return c.Command == q.Command })
	if !known {
		p.complain(q.Re, "unknown_command", q.Command+" is not a valid command.")
		return
	}
	user := p.user
	err := s.command(user, q.Channel, q.Command, q.Text, func(code string) {
		if code != "" {
			s.emitTo(user, ErrorFrame{Type: "error", Re: q.Re, Error: code, Message: q.Command + " failed with the error \"" + code + "\""})
		}
	})
	if err != nil {
		p.complain(q.Re, "dispatch_failed", q.Command+" failed with the error \"dispatch_failed\"")
	}
}

func (s *Server) pagePress(p *page, q PageRequest) {
	m, v := s.find(p.user, q.Channel, q.TS), s.view(q.ViewID)
	outcome := func(ok bool) {
		p.send(PressedFrame{Type: "pressed", Re: q.Re, Channel: q.Channel, TS: q.TS, ActionID: q.ActionID, OK: ok})
	}
	var blocks json.RawMessage
	switch {
	case v != nil && v.user == p.user:
		blocks = marshal(v.body["blocks"])
	case m != nil:
		blocks = m.Blocks
	}
	for _, f := range buttons(blocks) {
		if f.block != q.BlockID || f.element["action_id"] != q.ActionID {
			continue
		}
		value := q.Value
		if f.element["type"] == "button" { // Slack sends the value it stored, whatever the client says
			value, _ = f.element["value"].(string)
		}
		var err error
		if v != nil {
			err = s.pressInView(v, f, value, outcome)
		} else {
			err = s.press(p.user, m, f, value, outcome)
		}
		if err != nil {
			outcome(false)
			p.complain(q.Re, "app_not_running", s.ws.App.Name+" is not connected: the press is lost.")
		}
		return
	}
	outcome(false)
	p.complain(q.Re, "bad_request", "This button is gone.")
}

func (s *Server) pageSubmit(p *page, q PageRequest) {
	v := s.view(q.ViewID)
	if v == nil || v.user != p.user {
		p.complain(q.Re, "not_found", "This dialog is gone.")
		return
	}
	trouble := func() {
		p.complain(q.Re, "operation_timeout", "We had some trouble connecting. Try again?")
	}
	err := s.submit(v, q.Values, func(ok bool) {
		if !ok {
			trouble()
		}
	})
	if err != nil {
		trouble()
	}
}

func (s *Server) pageChange(p *page, q PageRequest) {
	m := s.message(q.Channel, q.TS)
	if m == nil || m.User != p.user {
		p.complain(q.Re, "not_allowed", "This message is not yours.")
		return
	}
	if q.Type == "delete" {
		s.remove(m)
		return
	}
	s.edit(m, p.user, Message{Text: s.escape(q.Text, false)})
}
