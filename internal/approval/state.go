package approval

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// moves are the changes of state that Mark makes, and how each is logged.
// Open to Approved or Rejected is not among them: only Decide does that.
var moves = map[[2]State]Kind{
	{Open, Expired}:     KindExpiry,
	{Open, Stale}:       KindVerdict,
	{Approved, Stale}:   KindVerdict,
	{Approved, Applied}: KindReceipt,
	{Approved, Failed}:  KindReceipt,
}

// Mark changes the state of a proposal and logs it with a note. Where the
// proposal already is in the state to, it does nothing: a step may run again
// after a crash. In any other state than from the error wraps ErrConflict.
func (s *Store) Mark(ctx context.Context, id string, from, to State, note string) error {
	kind, ok := moves[[2]State{from, to}]
	if !ok {
		return fmt.Errorf("proposal %s cannot go from %s to %s", id, from, to)
	}
	return s.tx(ctx, fmt.Sprintf("mark proposal %s as %s", id, to), func(t *tx) error {
		p, err := t.get(id)
		switch {
		case err != nil:
			return err
		case p.State == to:
			return nil
		case p.State != from:
			return fmt.Errorf("it is %s, not %s: %w", p.State, from, ErrConflict)
		}
		if err := t.setState(&p, to); err != nil {
			return err
		}
		return t.log(entryOf(kind, p, "", note, "state", string(to)))
	})
}

func (t *tx) setState(p *Proposal, to State) error {
	_, err := t.exec(`UPDATE proposals SET state = ? WHERE id = ?`, to, p.ID)
	p.State = to
	return err
}

// ExpireDue marks the open proposals that can no longer be decided at now as
// expired, logs it, and returns them so that their buttons can be taken away.
func (s *Store) ExpireDue(ctx context.Context, now time.Time) (due []Proposal, err error) {
	err = s.tx(ctx, "expire proposals", func(t *tx) error {
		// Rows first, log last: every transaction locks in that order.
		ids, err := t.ids(`UPDATE proposals SET state = ? WHERE state = ? AND expires <= ? RETURNING id`, Expired, Open, micros(now))
		if err != nil {
			return err
		}
		if due, err = t.getAll(ids); err != nil {
			return err
		}
		for _, p := range due {
			if err := t.log(entryOf(KindExpiry, p, "", "nobody decided in time")); err != nil {
				return err
			}
		}
		return nil
	})
	return due, err
}

// Lock reserves an object (remedy.Action.Object) for one change until a
// time, and reports whether it could. The holder is the proposal's id; it may
// lock again, to hold on for longer.
func (s *Store) Lock(ctx context.Context, object, holder string, until time.Time) (got bool, err error) {
	err = s.tx(ctx, "lock "+object, func(t *tx) error {
		n, err := t.exec(`INSERT INTO object_locks (object, holder, until) VALUES (?, ?, ?)
			ON CONFLICT (object) DO UPDATE SET holder = excluded.holder, until = excluded.until
			WHERE object_locks.holder = excluded.holder OR object_locks.until <= ?`,
			object, holder, micros(until), micros(t.now))
		got = n == 1
		return err
	})
	return got, err
}

// Unlock ends the holder's lock; of somebody else's it does nothing.
func (s *Store) Unlock(ctx context.Context, object, holder string) error {
	return s.tx(ctx, "unlock "+object, func(t *tx) error {
		_, err := t.exec(`DELETE FROM object_locks WHERE object = ? AND holder = ?`, object, holder)
		return err
	})
}

func sortProposals(list []Proposal) {
	slices.SortFunc(list, func(a, b Proposal) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
}
