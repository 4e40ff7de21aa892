package slackui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A fakeSlack answers Web API methods by function and speaks the server's
// side of Socket Mode over real connections.
type fakeSlack struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	calls   []call
	methods map[string]func(n int, form url.Values) answer // n counts the calls of the method from 1
	sockets chan *socket
	opens   []time.Time
}

type call struct {
	method string
	form   url.Values
}

// An answer is what a method returns. Drop ends the connection without one.
type answer struct {
	status int
	header map[string]string
	body   any
	drop   bool
}

func ok(kv ...any) answer {
	body := map[string]any{"ok": true}
	for i := 0; i+1 < len(kv); i += 2 {
		body[kv[i].(string)] = kv[i+1]
	}
	return answer{body: body}
}

func fails(code string) answer {
	return answer{body: map[string]any{"ok": false, "error": code}}
}

func slow(seconds int) answer {
	return answer{status: 429, header: map[string]string{"Retry-After": fmt.Sprint(seconds)}, body: map[string]any{"ok": false, "error": "ratelimited"}}
}

// A socket is one Socket Mode connection, seen from Slack.
type socket struct {
	conn *websocket.Conn
	in   chan map[string]any // what the bot sent
}

func newFakeSlack(t *testing.T) *fakeSlack {
	f := &fakeSlack{t: t, methods: map[string]func(int, url.Values) answer{}, sockets: make(chan *socket, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/", f.api)
	mux.HandleFunc("/link", f.link)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	f.on("apps.connections.open", func(int, url.Values) answer {
		return ok("url", "ws"+strings.TrimPrefix(f.URL, "http")+"/link")
	})
	return f
}

func (f *fakeSlack) on(method string, do func(n int, form url.Values) answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.methods[method] = do
}

func (f *fakeSlack) api(w http.ResponseWriter, r *http.Request) {
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	_ = r.ParseForm()
	f.mu.Lock()
	f.calls = append(f.calls, call{method, r.Form})
	n := 0
	for _, c := range f.calls {
		if c.method == method {
			n++
		}
	}
	if method == "apps.connections.open" {
		f.opens = append(f.opens, time.Now())
	}
	do := f.methods[method]
	f.mu.Unlock()
	a := fails("unknown_method")
	if do != nil {
		a = do(n, r.Form)
	}
	if a.drop {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(max(a.status, 200))
	_ = json.NewEncoder(w).Encode(a.body)
}

// made returns the forms of the calls of a method.
func (f *fakeSlack) made(method string) []url.Values {
	f.mu.Lock()
	defer f.mu.Unlock()
	var forms []url.Values
	for _, c := range f.calls {
		if c.method == method {
			forms = append(forms, c.form)
		}
	}
	return forms
}

func (f *fakeSlack) link(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	s := &socket{conn: conn, in: make(chan map[string]any, 100)}
	f.sockets <- s
	defer close(s.in)
	for {
		var m map[string]any
		if conn.ReadJSON(&m) != nil {
			return
		}
		s.in <- m
	}
}

// next waits for a connection and says hello on it.
func (f *fakeSlack) next() *socket {
	f.t.Helper()
	select {
	case s := <-f.sockets:
		s.send(f.t, `{"type":"hello","num_connections":1,"debug_info":{"approximate_connection_time":18060}}`)
		return s
	case <-time.After(30 * time.Second):
		f.t.Fatal("no connection in 10 s")
		return nil
	}
}

func (s *socket) send(t *testing.T, frame string) {
	t.Helper()
	if err := s.conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		t.Fatal(err)
	}
}

// acked waits for the next acknowledgement and returns it.
func (s *socket) acked(t *testing.T) map[string]any {
	t.Helper()
	select {
	case m, ok := <-s.in:
		if !ok {
			t.Fatal("connection closed before an acknowledgement")
		}
		return m
	case <-time.After(30 * time.Second):
		t.Fatal("no acknowledgement in 5 s")
		return nil
	}
}
