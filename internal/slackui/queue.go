package slackui

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
)

// maxBacklog is how many events may wait for a worker. Those beyond are not
// acknowledged, so that Slack sends them again later.
const maxBacklog = 1000

// A queue runs jobs with the same key one after the other, and those of
// different keys side by side, at most workers at once.
type queue struct {
	log     *slog.Logger
	slots   chan struct{}
	wg      sync.WaitGroup
	mu      sync.Mutex
	waiting map[string][]func() // by key; an entry stands while a goroutine serves the key
	backlog int
}

func newQueue(workers int, log *slog.Logger) *queue {
	return &queue{log: log, slots: make(chan struct{}, workers), waiting: map[string][]func(){}}
}

// full reports whether another job would be too many.
func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.backlog >= maxBacklog
}

// add appends a job to its key's line.
func (q *queue) add(key string, job func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.backlog++
	line, served := q.waiting[key]
	q.waiting[key] = append(line, job)
	if !served {
		q.wg.Go(func() { q.serve(key) })
	}
}

func (q *queue) serve(key string) {
	for {
		q.mu.Lock()
		line := q.waiting[key]
		if len(line) == 0 {
			delete(q.waiting, key)
			q.mu.Unlock()
			return
		}
		q.waiting[key] = line[1:]
		q.mu.Unlock()

		q.slots <- struct{}{}
		q.run(key, line[0])
		<-q.slots

		q.mu.Lock()
		q.backlog--
		q.mu.Unlock()
	}
}

// run keeps a bug in one job from ending the bot.
func (q *queue) run(key string, job func()) {
	defer func() {
		if p := recover(); p != nil {
			q.log.Error("handler panicked; the event is lost", "key", key, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	job()
}

// drain waits until all jobs are done or ctx ends, and reports which.
func (q *queue) drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() { q.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
