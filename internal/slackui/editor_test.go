package slackui

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// edits records what an Editor sends, and when.
type edits struct {
	mu  sync.Mutex
	ts  []string
	msg []string
	at  []time.Time
	err error
}

func (e *edits) Update(_ context.Context, _, ts string, m Message) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ts, e.msg, e.at = append(e.ts, ts), append(e.msg, m.Text), append(e.at, time.Now())
	return e.err
}

func TestEditorSpacesAndSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &edits{}
		e := NewEditor(to, EditsPerMinute, slog.New(slog.DiscardHandler))
		for i := range 20 { // every 500 ms for 10 s
			e.Set("C", "1", Message{Text: fmt.Sprint("state ", i/2)})
			time.Sleep(500 * time.Millisecond)
		}
		e.Set("C", "1", Message{Text: "last"})
		e.Set("C", "1", Message{Text: "last"})
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(to.at); i++ {
			if gap := to.at[i].Sub(to.at[i-1]); gap < editEvery {
				t.Errorf("edits %d and %d are %s apart", i-1, i, gap)
			}
			if to.msg[i] == to.msg[i-1] {
				t.Errorf("edit %d changes nothing", i)
			}
		}
		if n := len(to.msg); n < 4 || n > 5 || to.msg[n-1] != "last" {
			t.Errorf("sent %q", to.msg)
		}
	})
}

func TestEditorBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &edits{}
		e := NewEditor(to, 40, slog.New(slog.DiscardHandler))
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if err := e.Flush(t.Context(), "C", fmt.Sprint(i), Message{Text: "done"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range to.at {
			if i >= 40 && to.at[i].Sub(to.at[i-40]) < time.Minute {
				t.Errorf("edits %d to %d came within %s", i-40, i, to.at[i].Sub(to.at[i-40]))
			}
		}
		if len(to.at) != 100 || len(e.pages) != 0 {
			t.Errorf("%d edits sent, %d messages kept", len(to.at), len(e.pages))
		}
	})
}

func TestEditorErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &edits{err: ErrGone}
		e := NewEditor(to, 40, slog.New(slog.DiscardHandler))
		if err := e.Flush(t.Context(), "C", "1", Message{Text: "x"}); !errors.Is(err, ErrGone) {
			t.Errorf("Flush: %v", err)
		}
		to.err = nil
		if err := e.Flush(t.Context(), "C", "1", Message{Text: "x"}); err != nil || len(to.msg) != 2 {
			t.Errorf("after an error: %v, %d edits", err, len(to.msg))
		}
		e.Set("C", "2", Message{Text: "a"})
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Flush(ctx, "C", "2", Message{Text: "b"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush with a deadline: %v", err)
		}
		_ = e.Close(context.Background())
		if to.msg[len(to.msg)-1] != "b" {
			t.Errorf("the last state was not sent: %q", to.msg)
		}
	})
}
