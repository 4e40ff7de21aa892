package slackui

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// editEvery is the least time between two edits of one message.
const editEvery = 3 * time.Second

// EditsPerMinute is how many edits the bot makes: Slack allows about 50 of
// chat.update in a workspace, whatever the message.
const EditsPerMinute = 40

// An Updater changes a message; Client is one.
type Updater interface {
	Update(ctx context.Context, channel, ts string, m Message) error
}

// An Editor keeps messages up to date without asking too much of Slack: each
// at most every 3 s, all together within a budget, unchanged ones not at all.
// States in between may be skipped; the last one is always sent. It is safe
// for use by several goroutines.
type Editor struct {
	to     Updater
	log    *slog.Logger
	budget *budget

	mu    sync.Mutex
	pages map[place]*page
	wg    sync.WaitGroup
}

type place struct{ channel, ts string }

// A page is one message that is being edited.
type page struct {
	want, shown string // as JSON
	message     Message
	sent        time.Time
	busy        bool // a goroutine sends it
	waiters     []chan error
}

// NewEditor makes an editor that sends at most perMinute edits in any minute.
func NewEditor(to Updater, perMinute int, log *slog.Logger) *Editor {
	return &Editor{to: to, log: log, budget: newBudget(perMinute), pages: map[place]*page{}}
}

// Set says what a message should show from now on, and returns at once.
func (e *Editor) Set(channel, ts string, m Message) { e.set(channel, ts, m, nil) }

// Flush is Set for the last state of a message: it returns once Slack has it,
// or refused it, or ctx ended. The editor forgets the message then.
func (e *Editor) Flush(ctx context.Context, channel, ts string, m Message) error {
	done := make(chan error, 1)
	e.set(channel, ts, m, done)
	select {
	case err := <-done:
		e.mu.Lock()
		defer e.mu.Unlock()
		if p := e.pages[place{channel, ts}]; p != nil && !p.busy {
			delete(e.pages, place{channel, ts})
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits until every message shows its last state, or ctx ends.
func (e *Editor) Close(ctx context.Context) error {
	done := make(chan struct{})
	go func() { e.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *Editor) set(channel, ts string, m Message, waiter chan error) {
	at := place{channel, ts}
	b, _ := json.Marshal(m) // blocks are plain data
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.pages[at]
	if p == nil {
		e.forget(time.Now())
		p = &page{}
		e.pages[at] = p
	}
	p.message, p.want = m, string(b)
	if waiter != nil {
		p.waiters = append(p.waiters, waiter)
	}
	if p.busy {
		return
	}
	p.busy = true
	e.wg.Go(func() { e.serve(at, p) })
}

// forget drops what was not edited for a while; e.mu is held.
func (e *Editor) forget(now time.Time) {
	for at, p := range e.pages {
		if !p.busy && now.Sub(p.sent) > 10*time.Minute {
			delete(e.pages, at)
		}
	}
}

// serve sends the states of one message until the last is shown. Its context
// is its own: the state of a message outlives the call that set it.
func (e *Editor) serve(at place, p *page) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var err error
	for {
		e.mu.Lock()
		if p.want == p.shown || err != nil {
			e.finish(at, p, err)
			e.mu.Unlock()
			return
		}
		wait := time.Until(p.sent.Add(editEvery))
		e.mu.Unlock()
		time.Sleep(wait)
		time.Sleep(e.budget.reserve(time.Now()))

		e.mu.Lock()
		m, want := p.message, p.want // the latest by now
		e.mu.Unlock()
		err = e.to.Update(ctx, at.channel, at.ts, m)
		e.mu.Lock()
		p.sent, p.shown = time.Now(), want
		e.mu.Unlock()
	}
}

// finish ends the serving of p; e.mu is held. A message that cannot be edited
// any more is forgotten.
func (e *Editor) finish(at place, p *page, err error) {
	p.busy = false
	for _, w := range p.waiters {
		w <- err
	}
	p.waiters = nil
	if err != nil {
		delete(e.pages, at)
		if !errors.Is(err, ErrGone) {
			e.log.Warn("edit a message", "channel", at.channel, "ts", at.ts, "error", err)
		}
	}
}

// A budget allows n events in any minute.
type budget struct {
	mu    sync.Mutex
	times []time.Time // of the last n events, a ring
	next  int
}

func newBudget(n int) *budget { return &budget{times: make([]time.Time, max(n, 1))} }

// reserve takes one event and returns how long it has to wait.
func (b *budget) reserve(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := now
	if oldest := b.times[b.next]; !oldest.IsZero() && oldest.Add(time.Minute).After(now) {
		at = oldest.Add(time.Minute)
	}
	b.times[b.next] = at
	b.next = (b.next + 1) % len(b.times)
	return at.Sub(now)
}
