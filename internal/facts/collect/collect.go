// Package collect reads a cluster's facts from the Kubernetes and AWS APIs.
// It is the only reader: everything that the bot knows came through Take.
//
// Each kind is read once per snapshot, all of them at the same time, behind
// one limit of calls in flight. Most kinds wait for one other call at most:
// DescribeCluster tells the VPC, the list of pods tells whose log to read. What
// could not be read is a gap with its reason.
package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"k8s.io/client-go/rest"

	"github.com/hopwise/hopwise/internal/facts"
)

// Config says where to read and how hard.
type Config struct {
	Kube     *rest.Config  // nil: no Kubernetes API
	KubeErr  error         // why Kube is nil, for the gaps
	AWS      *aws.Config   // nil: no AWS API
	AWSErr   error         // why AWS is nil, for the gaps
	Cluster  string        // EKS name of the cluster; "" leaves the AWS facts unread
	Deadline time.Duration // for a whole snapshot; 8 s when 0
	InFlight int           // calls at one time; 40 when 0
	Log      *slog.Logger
}

// A Reader takes snapshots of one cluster.
type Reader struct {
	cfg   Config
	kube  *kubeReader
	aws   *awsReader
	calls *gate
	desk  *desk
}

// New makes a Reader. It opens no connection.
func New(cfg Config) (*Reader, error) {
	if cfg.Deadline == 0 {
		cfg.Deadline = 8 * time.Second
	}
	if cfg.InFlight == 0 {
		cfg.InFlight = 40
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Reader{cfg: cfg, calls: newGate(cfg.InFlight), desk: newDesk()}
	if cfg.Kube != nil {
		k, err := newKubeReader(cfg.Kube, r.calls)
		if err != nil {
			return nil, fmt.Errorf("make the Kubernetes client: %w", err)
		}
		r.kube = k
	}
	if cfg.AWS != nil {
		r.aws = newAWSReader(*cfg.AWS, cfg.Cluster, r.calls)
	}
	return r, nil
}

// Stats say what a snapshot cost.
type Stats struct {
	Calls    int // HTTP requests, pages and retries included
	Duration time.Duration
}

// Take reads kinds. The snapshot is whole even when ctx ends or an API does
// not answer: what is not there by then is a gap. done, when not nil, is told
// of each kind as it is settled; it may be called from several goroutines.
func (r *Reader) Take(ctx context.Context, kinds []facts.Kind, target facts.Target, done func(facts.Kind)) (*facts.Snapshot, Stats) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Deadline)
	defer cancel()
	ctx, count := withCount(ctx)
	s := &facts.Snapshot{Cluster: r.cfg.Cluster, At: start.UTC(), Target: target, Have: map[facts.Kind]any{}, Gaps: map[facts.Kind]facts.Gap{}}
	if r.cfg.AWS != nil {
		s.Region = r.cfg.AWS.Region
	}
	var (
		mu  sync.Mutex
		all sync.WaitGroup
		one = newOnce() // what several kinds wait for is read once
	)
	for _, n := range facts.Needs {
		if !wanted(kinds, n.Kind()) {
			continue
		}
		all.Go(func() {
			list, err := r.read(ctx, n, one)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.Gaps[n.Kind()] = gap(ctx, n, err)
				r.cfg.Log.Warn("could not read", "kind", n.Kind(), "err", facts.Redact(err.Error()))
			} else {
				s.Have[n.Kind()] = list
			}
			if done != nil {
				done(n.Kind())
			}
		})
	}
	all.Wait()
	return s.Remembering(), Stats{Calls: count.total(), Duration: time.Since(start)}
}

func wanted(kinds []facts.Kind, k facts.Kind) bool {
	for _, w := range kinds {
		if w == k {
			return true
		}
	}
	return false
}

// read reads one kind. A reader that ignores its context is left behind when
// the deadline passes: the rest of the report must not wait for it.
func (r *Reader) read(ctx context.Context, n facts.Need, one *once) (list any, err error) {
	type answer struct {
		list any
		err  error
	}
	ch := make(chan answer, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				ch <- answer{nil, fmt.Errorf("internal error while reading %s: %v", n.Kind(), p)}
			}
		}()
		list, err := r.dispatch(ctx, n, one)
		ch <- answer{list, err}
	}()
	select {
	case a := <-ch:
		return a.list, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *Reader) dispatch(ctx context.Context, n facts.Need, one *once) (any, error) {
	if n.Kind().IsKube() {
		if r.kube == nil {
			return nil, unreachable(r.cfg.KubeErr, "no Kubernetes API is configured: set KUBECONFIG or run in a cluster")
		}
		return r.kube.read(ctx, n, one)
	}
	if r.aws == nil {
		return nil, unreachable(r.cfg.AWSErr, "no AWS API is configured: set AWS_REGION and credentials")
	}
	return r.aws.read(ctx, n, one)
}

// errUnreachable marks an API that there is no way to.
type errUnreachable struct{ msg string }

func (e errUnreachable) Error() string { return e.msg }

func unreachable(err error, msg string) error {
	if err != nil {
		msg = err.Error()
	}
	return errUnreachable{msg}
}

// once reads what several kinds depend on one time per snapshot.
type once struct {
	mu   sync.Mutex
	vals map[string]func() (any, error)
}

func newOnce() *once { return &once{vals: map[string]func() (any, error){}} }

func do[T any](o *once, key string, read func() (T, error)) (T, error) {
	o.mu.Lock()
	f, ok := o.vals[key]
	if !ok {
		f = sync.OnceValues(func() (any, error) { return read() })
		o.vals[key] = f
	}
	o.mu.Unlock()
	v, err := f()
	t, _ := v.(T)
	return t, err
}

// A gate counts HTTP requests and limits those in flight.
type gate struct{ slots chan struct{} }

func newGate(n int) *gate { return &gate{make(chan struct{}, n)} }

// wrap puts the gate before a transport.
func (g *gate) wrap(rt http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		select {
		case g.slots <- struct{}{}:
			defer func() { <-g.slots }()
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
		countOf(req.Context()).add()
		// A body that knows WriteTo can make net/http take its end for a failed
		// write and close the connection under the answer: hide the method.
		if req.Body != nil && req.Body != http.NoBody {
			req = req.Clone(req.Context())
			req.Body = struct{ io.ReadCloser }{req.Body}
		}
		return rt.RoundTrip(req)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// counter counts the requests of one snapshot.
type counter struct {
	mu sync.Mutex
	n  int
}

type countKey struct{}

func withCount(ctx context.Context) (context.Context, *counter) {
	c := new(counter)
	return context.WithValue(ctx, countKey{}, c), c
}

func countOf(ctx context.Context) *counter {
	c, _ := ctx.Value(countKey{}).(*counter)
	return c
}

func (c *counter) add() {
	if c != nil {
		c.mu.Lock()
		c.n++
		c.mu.Unlock()
	}
}

func (c *counter) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// gap says in one line why a kind is missing.
func gap(ctx context.Context, n facts.Need, err error) facts.Gap {
	g := facts.Gap{Kind: n.Kind(), Permission: n.Permission(), Reason: facts.Unreachable, Detail: oneLine(err)}
	reason, detail := awsReason, awsDetail
	if n.Kind().IsKube() {
		reason, detail = kubeReason, kubeDetail
	}
	on, root := rootOf(err)
	switch {
	case on != "" && reason(root) == facts.Denied:
		g.Reason, g.Permission = facts.Denied, on
	case on != "" && ctx.Err() == nil: // said as of the kind that failed, so that all that hangs on it gives one reason
		g.Reason, g.Detail = reason(root), detail(root)
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		g.Reason, g.Detail = facts.TimedOut, "no answer in time"
	default:
		g.Reason, g.Detail = reason(err), detail(err)
	}
	if g.Reason == facts.Denied {
		g.Detail = ""
	}
	return g
}

// errDepends is the error of a kind whose reading needs another kind that
// could not be read.
type errDepends struct {
	on  string
	err error
}

func (e errDepends) Error() string { return "needs " + e.on + ", which failed: " + e.err.Error() }
func (e errDepends) Unwrap() error { return e.err }

// rootOf returns what failed at the end of a chain of dependent reads, and before it
// the permission of that read; "" when err is of the kind itself.
func rootOf(err error) (on string, root error) {
	root = err
	for dep := (errDepends{}); errors.As(root, &dep); {
		root, on = dep.err, dep.on
	}
	return on, root
}

// noConnection says which server did not answer and why; "" when one did. The
// path is left out: what fails for one kind fails for all, and is then said
// once.
func noConnection(err error) string {
	var failed *url.Error
	if !errors.As(err, &failed) {
		return ""
	}
	server := failed.URL
	if u, perr := url.Parse(failed.URL); perr == nil {
		server = u.Scheme + "://" + u.Host
	}
	return oneLine(fmt.Errorf("no connection to %s: %w", server, failed.Err))
}

// oneLine shortens an error for people: SDK errors repeat request ids.
func oneLine(err error) string {
	msg := []rune(facts.Redact(err.Error()))
	for i, r := range msg {
		if r == '\n' || r == '\r' {
			msg[i] = ' '
		}
	}
	if len(msg) > 240 {
		msg = append(msg[:240], '…')
	}
	return string(msg)
}
