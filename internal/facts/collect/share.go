package collect

import (
	"context"
	"fmt"
	"sync"

	"github.com/hopwise/hopwise/internal/facts"
)

// atOnce is how many snapshots are taken at one time for people who ask at the
// same moment; the others wait for the next one together.
const atOnce = 2

// A desk lets those who ask while a snapshot has not begun share it: fifty
// questions in one minute of an outage must not read the cluster fifty times.
// What anybody gets was read after they asked.
type desk struct {
	mu    sync.Mutex
	next  map[string]*batch // not begun, by the kinds that it will read
	slots chan struct{}
}

type batch struct {
	kinds    []facts.Kind
	told     []func(facts.Kind)
	taken    chan struct{} // closed when snapshot and stats are there
	snapshot *facts.Snapshot
	stats    Stats
}

func newDesk() *desk { return &desk{next: map[string]*batch{}, slots: make(chan struct{}, atOnce)} }

// TakeShared is Take, but for the snapshot being shared with others who ask
// for the same kinds before it begins. It may be ended by ctx for the caller
// alone.
func (r *Reader) TakeShared(ctx context.Context, kinds []facts.Kind, target facts.Target, done func(facts.Kind)) (*facts.Snapshot, Stats) {
	b := r.join(kinds, done)
	select {
	case <-b.taken:
		mine := *b.snapshot
		mine.Target = target
		return &mine, b.stats
	case <-ctx.Done():
		return r.Take(ctx, kinds, target, nil) // all gaps: ctx has ended
	}
}

func (r *Reader) join(kinds []facts.Kind, done func(facts.Kind)) *batch {
	key := fmt.Sprint(kinds)
	r.desk.mu.Lock()
	defer r.desk.mu.Unlock()
	b := r.desk.next[key]
	if b == nil {
		b = &batch{kinds: kinds, taken: make(chan struct{})}
		r.desk.next[key] = b
		go r.take(key, b)
	}
	if done != nil {
		b.told = append(b.told, done)
	}
	return b
}

// take waits for a slot, closes the batch for further people, and reads.
func (r *Reader) take(key string, b *batch) {
	r.desk.slots <- struct{}{}
	defer func() { <-r.desk.slots }()
	r.desk.mu.Lock()
	delete(r.desk.next, key)
	told := b.told
	r.desk.mu.Unlock()
	b.snapshot, b.stats = r.Take(context.Background(), b.kinds, facts.Target{}, func(k facts.Kind) {
		for _, tell := range told {
			tell(k)
		}
	})
	close(b.taken)
}
