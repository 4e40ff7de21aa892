package incident

import (
	"context"
	"sync"
	"time"
)

// patience is how long a diagnosis lets first signs go before it.
const patience = 400 * time.Millisecond

// A crowd is the questions that have no first sign yet. When many come at
// once, diagnoses let the signs go first: everybody is to see within a moment
// that somebody looks.
type crowd struct {
	mu   sync.Mutex
	here map[string]time.Time // by run, since when
}

func (c *crowd) join(run string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here == nil {
		c.here = map[string]time.Time{}
	}
	c.here[run] = time.Now()
}

func (c *crowd) leave(run string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.here, run)
}

// gone reports whether nobody waits for a first sign. A question that never
// gets one, such as a doubled one, is forgotten after a while.
func (c *crowd) gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for run, since := range c.here {
		if time.Since(since) > patience {
			delete(c.here, run)
		}
	}
	return len(c.here) == 0
}

// wait returns when nobody waits for a first sign, patience is over, or ctx
// ends.
func (c *crowd) wait(ctx context.Context) {
	for end := time.Now().Add(patience); !c.gone() && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(5 * time.Millisecond)
	}
}
