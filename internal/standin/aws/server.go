// Package aws is a loopback AWS endpoint in front of a world: EC2, Elastic
// Load Balancing v2, STS, EKS, Route 53, Route 53 Resolver and Service Quotas
// at one address, each with its own wire protocol, so that the AWS CLI and every SDK can be pointed at it with
// AWS_ENDPOINT_URL. It checks signatures, filters, pages, refuses and fails
// as AWS does, and its writes change the world.
package aws

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

// Options say how a Server behaves. The zero value answers at once, to any
// caller.
type Options struct {
	Log   *slog.Logger  // one debug line a call; nil: none
	Delay time.Duration // before every answer; 1 ms at least

	// AccessKeyID and SecretAccessKey are the only credentials that are
	// accepted, and every request must be signed with them. When AccessKeyID
	// is empty no signature is looked at; the credential scope still tells
	// service and region.
	AccessKeyID, SecretAccessKey string
	// SessionToken must come with the credentials when it is set.
	SessionToken string
	// Expires is when the credentials stop to be good; zero: never.
	Expires time.Time

	// PageSize is the most objects that one answer holds when the request
	// names no ids; 0 stands for 1000. Tests make it small.
	PageSize int
}

// A Server is the endpoint. It is an http.Handler.
type Server struct {
	world *world.World
	opts  Options
	log   *slog.Logger

	writing sync.Mutex // held by a write, which may look at several objects first

	mu     sync.Mutex
	delay  time.Duration
	calls  []Call
	faults map[string]int // calls that met a counted fault, by permission
	lists  map[facts.Kind]cached
}

// A Call is one request that reached an operation.
type Call struct {
	Permission string // such as ec2:DescribeSubnets
	Start, End time.Time
}

// keptCalls bounds what a server that runs for days remembers.
const keptCalls = 100_000

// New returns an endpoint in front of w.
func New(w *world.World, opts Options) *Server {
	s := &Server{world: w, opts: opts, log: opts.Log, delay: opts.Delay, faults: map[string]int{}, lists: map[facts.Kind]cached{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// SetDelay changes how long the server waits before every answer.
func (s *Server) SetDelay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// Calls returns the calls that have ended, in the order of their ends.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// ResetCalls forgets the calls and starts counted faults ("throttle 2") anew,
// which is what the start of a scenario needs.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.faults = nil, map[string]int{}
}

// maxBody is more than any request of these services may be long.
const maxBody = 1 << 20

// ServeHTTP answers one API call.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, tooLong := readBody(r)
	c := s.newCall(r, body)
	start := time.Now()
	var ans answer
	err := tooLong
	if err == nil {
		err = s.verify(c, r, body)
	}
	if err == nil {
		ans, err = s.run(c)
	}
	if c.op.run != nil {
		s.record(Call{c.permission(), start, time.Now()})
	}
	s.log.Debug("aws call", "permission", c.permission(), "error", err)
	if c.ctx.Err() != nil {
		return // nobody is there to read it
	}
	c.write(rw, ans, err)
}

func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, fail(http.StatusBadRequest, "RequestTimeout", "the request body could not be read")
	}
	if len(body) > maxBody {
		return nil, fail(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "the request is longer than %d bytes", maxBody)
	}
	return body, nil
}

// run waits, applies the scenario's fault, and performs the operation.
func (s *Server) run(c *call) (answer, error) {
	if err := s.wait(c.ctx); err != nil {
		return nil, err
	}
	if c.op.run == nil {
		return nil, c.problem(unknownAction, "The action %s is not valid for this web service.", c.action)
	}
	if err := s.fault(c); err != nil {
		return nil, err
	}
	if err := c.checkParams(); err != nil {
		return nil, err
	}
	if c.params.at("DryRun").value == "true" {
		return nil, fail(http.StatusPreconditionFailed, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	if c.op.write {
		s.writing.Lock()
		defer s.writing.Unlock()
	}
	return c.op.run(c)
}

// leastDelay is the least delay: no real endpoint answers faster, and SDK
// clients do not bear one that does. When the answer comes before their
// transport has noticed the end of the request's body, smithy-go v1.28 closes
// the body, its WriteTo then returns io.EOF, and net/http takes that for a
// failed write and closes the connection under the answer.
const leastDelay = time.Millisecond

func (s *Server) wait(ctx context.Context) error {
	s.mu.Lock()
	d := max(s.delay, leastDelay)
	s.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fault returns the error that the scenario has for c's permission. A hanging
// API answers when the caller has gone: never.
func (s *Server) fault(c *call) error {
	setting := s.world.Setting()
	f, ok := setting.FaultOf(c.permission())
	if !ok || !s.due(f) {
		return nil
	}
	switch f.How {
	case "deny":
		return c.denied()
	case "throttle":
		return c.problem(throttled, "Rate exceeded")
	case "hang":
		<-c.ctx.Done()
		return c.ctx.Err()
	}
	return c.problem(internal, "An internal error has occurred")
}

// due counts a call against a fault and reports whether it is still to fail.
func (s *Server) due(f world.Fault) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[f.Permission]++
	return f.Times == 0 || s.faults[f.Permission] <= f.Times
}

func (s *Server) record(c Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) >= keptCalls {
		s.calls = append([]Call(nil), s.calls[keptCalls/2:]...)
	}
	s.calls = append(s.calls, c)
}

// cached is the decoded list of one kind, of one version of the world.
type cached struct {
	version int64
	list    any // a slice that nobody changes
}

// list returns the objects of a kind that c's region has, by id. They are
// shared between calls and must not be changed.
func list[T any](c *call, kind facts.Kind) ([]T, error) {
	if !c.here {
		return nil, nil
	}
	s := c.server
	s.mu.Lock()
	old, ok := s.lists[kind]
	s.mu.Unlock()
	if ok && old.version == s.world.Version() {
		return old.list.([]T), nil
	}
	docs, version := s.world.List(kind)
	fresh := make([]T, 0, len(docs))
	for _, d := range docs {
		v, err := world.Decode[T](d)
		if err != nil {
			return nil, fmt.Errorf("decode %s: %w", kind, err)
		}
		fresh = append(fresh, v)
	}
	s.mu.Lock()
	s.lists[kind] = cached{version, fresh}
	s.mu.Unlock()
	return fresh, nil
}

// requestID returns an id in the form that AWS gives requests.
func requestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
