// Package kube is a Kubernetes API server in front of a world: discovery,
// list, get, watch, create, update, patch, delete, scale, logs, proxies to
// pods and kubelets, dry runs, tables and access reviews, as client-go and kubectl expect them. It keeps
// nothing of its own but counters; every write goes through the world, so
// that the world's controllers react to it.
package kube

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/yaml"

	"github.com/hopwise/hopwise/internal/world"
)

// User is whom the token stands for: the ServiceAccount of the bot's chart.
const User = "system:serviceaccount:hopwise:hopwise"

// Options of a Server. The zero value is usable.
type Options struct {
	Log   *slog.Logger  // nil: nothing is logged
	Delay time.Duration // before each answer; see SetDelay
	Token string        // what clients must send; "demo" when empty
}

// A Server answers for one world. It is an http.Handler, and its methods may
// be called from many goroutines.
type Server struct {
	world *world.World
	log   *slog.Logger
	token string
	delay atomic.Int64
	pages pageStore

	mu     sync.Mutex
	faults map[string]int // how often a permission's fault was met
	calls  []*Call
}

// New returns a server of w.
func New(w *world.World, opts Options) *Server {
	s := &Server{world: w, log: opts.Log, token: cmp.Or(opts.Token, "demo"), faults: map[string]int{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.SetDelay(opts.Delay)
	return s
}

// SetDelay makes every call from now on wait for d before it is answered.
func (s *Server) SetDelay(d time.Duration) { s.delay.Store(int64(d)) }

// Reset forgets what the server itself keeps: counted faults, recorded calls
// and pages of lists. It belongs to a world that became another one.
func (s *Server) Reset() {
	s.mu.Lock()
	s.faults, s.calls = map[string]int{}, nil
	s.mu.Unlock()
	s.pages.reset()
}

// Kubeconfig returns a kubeconfig for the server at baseURL, with the context
// "demo". client-go sends a kubeconfig's token over https only, so an http URL
// carries it a second time as its password.
func (s *Server) Kubeconfig(baseURL string) []byte {
	if u, err := url.Parse(baseURL); err == nil && u.Scheme == "http" {
		u.User = url.UserPassword("hopwise", s.token)
		baseURL = u.String()
	}
	named := func(name, key string, v any) []any { return []any{map[string]any{"name": name, key: v}} }
	out, err := yaml.Marshal(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": "demo",
		"clusters":        named("demo", "cluster", map[string]any{"server": baseURL}),
		"users":           named("hopwise", "user", map[string]any{"token": s.token}),
		"contexts":        named("demo", "context", map[string]any{"cluster": "demo", "user": "hopwise"}),
	})
	if err != nil {
		panic(fmt.Sprintf("kube: kubeconfig: %v", err)) // strings only: cannot fail
	}
	return out
}

// ServeHTTP answers one request, always with a Kubernetes object or Status.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.recoverPanic(w, r)
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if !s.authorized(r) {
		s.fail(w, apierrors.NewUnauthorized("Unauthorized"))
		return
	}
	c, err := s.parse(w, r)
	if err != nil {
		s.fail(w, err)
		return
	}
	end := s.begin(c.permission(), r.URL.Path)
	defer end()
	if !sleep(r.Context(), time.Duration(s.delay.Load())) {
		return
	}
	if err := s.answer(c); err != nil {
		s.fail(w, err)
	}
}

func (s *Server) authorized(r *http.Request) bool {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return strings.TrimSpace(token) == s.token
	}
	_, password, ok := r.BasicAuth()
	return ok && password == s.token
}

// recoverPanic answers a bug of ours as an API server does, with a 500.
func (s *Server) recoverPanic(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	s.log.Error("kube: panic", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
	s.fail(w, apierrors.NewInternalError(fmt.Errorf("panic: %v", v)))
}

// sleep waits for d and reports whether ctx lived as long.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A Call is one request that was answered, or that is still being watched.
type Call struct {
	Permission string // "list pods", "patch deployments/scale", "get /version"
	Path       string
	Start, End time.Time // End is zero while the call runs
}

// maxCalls bounds the recorded calls: the oldest half goes when they are full.
const maxCalls = 20000

// begin records a call and returns what ends it.
func (s *Server) begin(permission, path string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) >= maxCalls {
		s.calls = slices.Clone(s.calls[maxCalls/2:])
	}
	c := &Call{Permission: permission, Path: path, Start: time.Now()}
	s.calls = append(s.calls, c)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.End = time.Now()
	}
}

// Calls returns the calls since the last ResetCalls, oldest first, at most the
// latest 20,000.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, len(s.calls))
	for i, c := range s.calls {
		calls[i] = *c
	}
	return calls
}

// ResetCalls forgets the recorded calls.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}
