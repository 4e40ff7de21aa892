package slack

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Server is one Slack workspace. It is an http.Handler; all methods may be
// called at any time and from any goroutine.
//
// Inside, one mutex guards everything: exported methods and handlers take it,
// the other methods expect it taken unless they say otherwise.
type Server struct {
	opts Options
	mux  *http.ServeMux

	mu      sync.Mutex
	ws      Workspace
	base    string // http://host:port, learnt from requests when Options.URL is empty
	closed  bool
	quit    chan struct{} // closed by Close
	epoch   int           // counts resets; timers of an earlier epoch do nothing
	changed chan struct{} // closed at the next change, for WaitFor
	lastTS  int64         // microseconds of the newest timestamp
	serial  int           // for ids

	messages   map[string][]*Message // by channel, sorted by ts
	ephemerals []*Message
	views      map[string][]*view // by user, the last one on top
	files      map[string]*file
	triggers   map[string]*trigger
	responses  map[string]*response

	tickets map[string]bool
	conns   []*conn
	next    int                  // round robin over conns
	pending map[string]*delivery // by envelope id, kept after the ack for late ones
	lost    []Lost
	pages   map[*page]bool

	calls   []Call
	faults  map[string][]*Fault
	buckets map[string]*bucket
}

// New builds a workspace. Close it to end its goroutines and sockets.
func New(opts Options) *Server {
	s := &Server{opts: opts.withDefaults(), tickets: map[string]bool{}, changed: make(chan struct{}), quit: make(chan struct{}), pages: map[*page]bool{}}
	s.base = s.opts.URL
	s.clear()
	s.mux = s.routes()
	return s
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/{method}", s.serveAPI)
	mux.HandleFunc("/link/", s.serveLink)
	mux.HandleFunc("POST /upload/{id}", s.serveUpload)
	mux.HandleFunc("GET /files/{id}", s.serveFile)
	mux.HandleFunc("GET /files/{id}/{name}", s.serveFile)
	mux.HandleFunc("POST /actions/{id}", s.serveResponse)
	mux.HandleFunc("POST /commands/{id}", s.serveResponse)
	mux.HandleFunc("GET /page/ws", s.servePage)
	mux.HandleFunc("GET /page/state", s.servePageState)
	if s.opts.Extra != nil {
		mux.Handle("/demo/", s.opts.Extra)
	}
	if s.opts.Page != nil {
		mux.Handle("/", s.opts.Page)
	}
	return mux
}

// ServeHTTP serves the Web API under /api/, Socket Mode under /link, files,
// response URLs and the page.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mux.ServeHTTP(w, r)
}

// learnAddress takes the server's address from how the app names it. It takes
// the lock itself.
func (s *Server) learnAddress(r *http.Request) {
	if s.opts.URL != "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = "http://" + r.Host
}

// clear forgets all that was said; the sockets stay.
func (s *Server) clear() {
	s.epoch++
	s.ws = s.opts.Workspace.clone()
	s.messages = map[string][]*Message{}
	s.ephemerals = nil
	s.views = map[string][]*view{}
	s.files = map[string]*file{}
	s.triggers = map[string]*trigger{}
	s.responses = map[string]*response{}
	s.pending = map[string]*delivery{}
	s.lost = nil
	s.calls = nil
	s.faults = map[string][]*Fault{}
	s.buckets = map[string]*bucket{}
}

// Reset brings the workspace back to what it was before anybody said
// anything: messages, views, files, faults, calls and rate limits are gone.
// The app's sockets stay open and pages get a fresh state.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	for p := range s.pages {
		p.send(s.state(p.user))
	}
	s.touch()
}

// Close ends all sockets. The server answers nothing after it.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.quit)
	s.epoch++
	for _, c := range s.conns {
		c.kill()
	}
	for p := range s.pages {
		p.kill()
	}
	s.touch()
}

// touch wakes those who wait for a change.
func (s *Server) touch() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// WaitFor returns once ok holds, looking again after every change, or with
// the context's error. ok may call any method of the server.
func (s *Server) WaitFor(ctx context.Context, ok func(*Server) bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if ok(s) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for slack: %w", ctx.Err())
		}
	}
}

// after runs f with the lock held, unless the workspace was reset or closed
// by then.
func (s *Server) after(d time.Duration, f func()) *time.Timer {
	epoch := s.epoch
	return time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.epoch == epoch {
			f()
		}
	})
}

// id makes a new id such as "Ev0000000C". Ids are unique for the life of the
// server, over resets.
func (s *Server) id(prefix string) string {
	s.serial++
	return fmt.Sprintf("%s%08X", prefix, s.serial)
}

// ts is a new timestamp, later than all before.
func (s *Server) ts() string {
	s.lastTS = max(s.lastTS+1, time.Now().UnixMicro())
	return fmt.Sprintf("%d.%06d", s.lastTS/1e6, s.lastTS%1e6)
}

func (w Workspace) clone() Workspace {
	w.Users = slices.Clone(w.Users)
	w.Groups = slices.Clone(w.Groups)
	w.Channels = slices.Clone(w.Channels)
	for i := range w.Channels {
		w.Channels[i].Members = slices.Clone(w.Channels[i].Members)
	}
	return w
}

func (s *Server) user(id string) *User {
	i := slices.IndexFunc(s.ws.Users, func(u User) bool { return u.ID == id })
	if i < 0 {
		return nil
	}
	return &s.ws.Users[i]
}

func (s *Server) channel(id string) *Channel {
	i := slices.IndexFunc(s.ws.Channels, func(c Channel) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return &s.ws.Channels[i]
}

// lookup finds a channel by id or by name, with or without #, and a direct
// message by its person's id. Only posting takes all of these.
func (s *Server) lookup(ref string) *Channel {
	name := strings.TrimPrefix(ref, "#")
	for _, c := range s.ws.Channels {
		if c.ID == ref || c.IM == "" && c.Name == name || c.IM != "" && c.IM == ref {
			return s.channel(c.ID)
		}
	}
	return nil
}
