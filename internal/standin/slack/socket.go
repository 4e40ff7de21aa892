package slack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

const (
	maxSockets = 10
	// maxAck is the size from which on Slack drops an acknowledgement without
	// a word.
	maxAck = 20480
	// leaveTime is how long a socket lives after a "warning".
	leaveTime = 10 * time.Second
	host      = "applink-standin"
)

// A conn is one open socket of the app.
type conn struct {
	number  int
	ws      *websocket.Conn
	out     chan []byte
	done    chan struct{}
	leaving bool // told to disconnect: gets no new payloads
	ended   bool
	whole   *wholeFrames
}

var upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

func (s *Server) connectionsOpen(request) (reply, error) {
	ticket := s.id("ticket-") + fmt.Sprint(time.Now().UnixNano())
	s.tickets[ticket] = true
	base := "ws" + strings.TrimPrefix(s.base, "http")
	return reply{"url": base + "/link/?ticket=" + ticket + "&app_id=" + s.ws.App.ID}, nil
}

// serveLink is the app's end of Socket Mode. It takes the lock itself.
func (s *Server) serveLink(w http.ResponseWriter, r *http.Request) {
	if fault := s.takeFault("link"); fault != nil {
		fault.serve(w, r, s.quit)
		return
	}
	if !s.useTicket(r.URL.Query().Get("ticket")) {
		http.Error(w, "this ticket was used or never issued: call apps.connections.open again", http.StatusForbidden)
		return
	}
	hijacker := &frameHijacker{ResponseWriter: w}
	ws, err := upgrader.Upgrade(hijacker, r, nil)
	if err != nil {
		s.opts.Log.Info("socket not upgraded", "err", err)
		return
	}
	c := &conn{ws: ws, out: make(chan []byte, 1024), done: make(chan struct{}), whole: hijacker.frames}
	if !s.join(c) {
		return
	}
	go c.write(s.opts.PingInterval)
	s.read(c)
}

func (s *Server) useTicket(ticket string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.tickets[ticket]
	delete(s.tickets, ticket)
	return known && !s.closed
}

// join greets a socket, or turns the eleventh away. It takes the lock itself.
func (s *Server) join(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := map[string]any{"app_id": s.ws.App.ID}
	if len(s.conns) >= maxSockets {
		c.sendNow(map[string]any{"type": "disconnect", "reason": "too_many_websockets", "num_connections": len(s.conns),
			"debug_info": map[string]any{"host": host}, "connection_info": info})
		c.kill()
		return false
	}
	s.serial++
	c.number = s.serial
	s.conns = append(s.conns, c)
	c.send(map[string]any{"type": "hello", "num_connections": len(s.conns), "connection_info": info,
		"debug_info": map[string]any{"host": host, "build_number": 10, "approximate_connection_time": 18060}})
	s.opts.Log.Info("app connected", "socket", c.number, "sockets", len(s.conns))
	s.countSockets()
	return true
}

func (s *Server) countSockets() {
	s.emitAll(BotFrame{Type: "bot", Connections: len(s.conns)})
	s.touch()
}

// leave forgets a socket that ended.
func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = slices.DeleteFunc(s.conns, func(o *conn) bool { return o == c })
	c.kill()
	s.opts.Log.Info("app disconnected", "socket", c.number, "sockets", len(s.conns))
	s.countSockets()
}

// read takes acknowledgements until the socket ends. gorilla answers pings
// and close frames.
func (s *Server) read(c *conn) {
	defer s.leave(c)
	c.ws.SetReadLimit(1 << 20)
	for {
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			return
		}
		if fragmented := c.whole.takeFragmented(); len(data) >= maxAck || fragmented {
			s.opts.Log.Warn("acknowledgement ignored: too large or in fragments", "bytes", len(data), "fragmented", fragmented)
			continue
		}
		var ack struct {
			Envelope string          `json:"envelope_id"`
			Payload  json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(data, &ack); err != nil || ack.Envelope == "" {
			s.opts.Log.Warn("message from the app is no acknowledgement", "data", string(data[:min(len(data), 200)]))
			continue
		}
		s.ack(ack.Envelope, ack.Payload)
	}
}

// write sends what is queued, and pings.
func (c *conn) write(every time.Duration) {
	ping := time.NewTicker(every)
	defer ping.Stop()
	for {
		select {
		case data := <-c.out:
			if c.ws.WriteMessage(websocket.TextMessage, data) != nil {
				_ = c.ws.Close() // the reader notices and cleans up
				return
			}
		case <-ping.C:
			note := "Ping from " + host
			_ = c.ws.WriteControl(websocket.PingMessage, []byte(note), time.Now().Add(time.Second))
		case <-c.done:
			return
		}
	}
}

// send queues a frame. A client that reads nothing loses its socket.
func (c *conn) send(v any) {
	select {
	case c.out <- marshal(v):
	default:
		c.kill()
	}
}

// sendNow writes a frame before the writer runs.
func (c *conn) sendNow(v any) {
	_ = c.ws.WriteMessage(websocket.TextMessage, marshal(v))
	c.closeFrame()
}

func (c *conn) closeFrame() {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second))
}

// kill drops the connection.
func (c *conn) kill() {
	if !c.ended {
		c.ended = true
		close(c.done)
		_ = c.ws.Close()
	}
}

// Disconnect sends every socket a disconnect message with the reason:
// "warning" (the socket lives 10 s longer), "refresh_requested" or
// "link_disabled" (it ends soon). A good client opens a new one.
func (s *Server) Disconnect(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.leaving = true
		c.send(map[string]any{"type": "disconnect", "reason": reason, "debug_info": map[string]any{"host": host}})
		wait := leaveTime
		if reason != "warning" {
			wait = 250 * time.Millisecond
		}
		time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !c.ended {
				c.closeFrame()
				c.kill()
			}
		})
	}
}

// DropSockets breaks every socket without a word, as a dying network does.
func (s *Server) DropSockets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.kill()
	}
}

// Sockets is how many sockets the app has open.
func (s *Server) Sockets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
