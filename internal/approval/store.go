package approval

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The errors of a Store that callers tell apart.
var (
	ErrNotFound = errors.New("not found in the database")
	ErrConflict = errors.New("changed in the meantime")
)

// A Store keeps proposals, decisions, runs and the audit log. Its methods
// may be called from many goroutines, and from many processes on one
// database.
type Store struct {
	db      *sql.DB
	dialect string
	now     func() time.Time
}

// OpenStore brings the tables in db up to date and returns a Store on them. The
// database should come from OpenURL. Errors say what to do: the database is
// read-only, locked, or was written by a newer version of the program.
func OpenStore(ctx context.Context, db *sql.DB, dialect string, log *slog.Logger) (*Store, error) {
	if err := migrate(ctx, db, dialect, log); err != nil {
		return nil, err
	}
	s := &Store{db: db, dialect: dialect, now: time.Now}
	// A read-only database with current tables is otherwise first noticed
	// when somebody needs it.
	err := s.tx(ctx, "write to the database", func(t *tx) error {
		_, err := t.exec("DELETE FROM object_locks WHERE object = ''")
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Sync returns when all that was stored is on disk: an approval, and the
// entry that says that its change begins, before the change is made. Postgres
// does so with every commit.
func (s *Store) Sync(ctx context.Context) error {
	if s.dialect != "sqlite" {
		return nil
	}
	if _, err := s.db.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		return fmt.Errorf("bring the database to disk: %w", explain(err))
	}
	return nil
}

// NewID returns a new random id for a proposal or a run: 16 lower-case
// letters and digits, 80 bits.
func NewID() string { return strings.ToLower(rand.Text()[:16]) }

// A tx is a transaction with placeholders written as "?".
type tx struct {
	*sql.Tx
	ctx     context.Context
	dialect string
	now     time.Time
}

// tx runs f in a transaction: committed if f returns nil, else rolled back.
func (s *Store) tx(ctx context.Context, what string, f func(*tx) error) error {
	sqlTx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, explain(err))
	}
	defer sqlTx.Rollback() // after Commit it does nothing
	if err := f(&tx{sqlTx, ctx, s.dialect, s.now()}); err != nil {
		return fmt.Errorf("%s: %w", what, explain(err))
	}
	if err := sqlTx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", what, explain(err))
	}
	return nil
}

func (t *tx) exec(query string, args ...any) (changed int64, err error) {
	res, err := t.ExecContext(t.ctx, rebind(t.dialect, query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t *tx) row(query string, args ...any) *sql.Row {
	return t.QueryRowContext(t.ctx, rebind(t.dialect, query), args...)
}

func (t *tx) rows(query string, args ...any) (*sql.Rows, error) {
	return t.QueryContext(t.ctx, rebind(t.dialect, query), args...)
}

// rebind turns each "?" into "$1", "$2" for Postgres. No query here holds a
// question mark of its own.
func rebind(dialect, query string) string {
	if dialect != Postgres {
		return query
	}
	var b strings.Builder
	n := 0
	for _, r := range query {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	return b.String()
}

func micros(t time.Time) int64     { return t.UnixMicro() }
func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

var proposalID = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// check says what keeps p from being stored.
func (p Proposal) check() error {
	switch {
	case !proposalID.MatchString(p.ID):
		return fmt.Errorf("proposal id %q is not made of lower-case letters and digits; use NewID", p.ID)
	case p.Hash != p.Remedy.Hash():
		return fmt.Errorf("proposal %s: its hash is not that of its plan", p.ID)
	case !p.Remedy.Runnable():
		return fmt.Errorf("proposal %s: %q is only printed, there is nothing to approve", p.ID, p.Remedy.Title)
	case p.NeedsVotes < 1:
		return fmt.Errorf("proposal %s needs %d approvals; at least one is needed", p.ID, p.NeedsVotes)
	case !p.Expires.After(p.Created):
		return fmt.Errorf("proposal %s expires before it is made", p.ID)
	}
	return nil
}

// Propose stores an open proposal (see Policy.Prepare) and logs it. A second
// call with the same id and plan does nothing; with another plan it is an
// error that wraps ErrConflict.
func (s *Store) Propose(ctx context.Context, p Proposal) error {
	if err := p.check(); err != nil {
		return err
	}
	doc := p
	doc.State, doc.Decisions, doc.MessageTS = "", nil, "" // these have columns, for they change
	body, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("store proposal %s: %w", p.ID, err)
	}
	return s.tx(ctx, "store proposal "+p.ID, func(t *tx) error {
		n, err := t.exec(`INSERT INTO proposals (id, run, state, expires, message_ts, doc) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			p.ID, p.Run, Open, micros(p.Expires), p.MessageTS, string(body))
		if err != nil {
			return err
		}
		if n == 1 {
			return t.log(entryOf(KindProposal, p, p.Asker, p.Remedy.Title, "commands", strings.Join(p.Remedy.Commands(), "\n"), "hash", p.Hash))
		}
		old, err := t.get(p.ID)
		if err == nil && old.Hash != p.Hash {
			return fmt.Errorf("a proposal with this id has another plan: %w", ErrConflict)
		}
		return err
	})
}

// Get returns a proposal with its decisions. The error wraps ErrNotFound if
// there is none.
func (s *Store) Get(ctx context.Context, id string) (p Proposal, err error) {
	err = s.tx(ctx, "read proposal", func(t *tx) error {
		p, err = t.get(id)
		return err
	})
	return p, err
}

// List returns the proposals of a run, oldest first.
func (s *Store) List(ctx context.Context, run string) (list []Proposal, err error) {
	err = s.tx(ctx, "read proposals of run "+run, func(t *tx) error {
		ids, err := t.ids(`SELECT id FROM proposals WHERE run = ?`, run)
		if err != nil {
			return err
		}
		list, err = t.getAll(ids)
		return err
	})
	return list, err
}

// SetMessage stores which Slack message shows a proposal.
func (s *Store) SetMessage(ctx context.Context, id, ts string) error {
	return s.tx(ctx, "store message of proposal", func(t *tx) error {
		n, err := t.exec(`UPDATE proposals SET message_ts = ? WHERE id = ?`, ts, id)
		if err == nil && n == 0 {
			return fmt.Errorf("proposal %q: %w", id, ErrNotFound)
		}
		return err
	})
}

// get reads a proposal and holds it until the transaction ends.
func (t *tx) get(id string) (Proposal, error) {
	query := `SELECT state, message_ts, doc FROM proposals WHERE id = ?`
	if t.dialect == Postgres {
		query += ` FOR UPDATE` // an SQLite transaction holds the whole database
	}
	var p Proposal
	var state, ts, doc string
	err := t.row(query, id).Scan(&state, &ts, &doc)
	if errors.Is(err, sql.ErrNoRows) {
		return Proposal{}, fmt.Errorf("proposal %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return Proposal{}, err
	}
	if err := json.Unmarshal([]byte(doc), &p); err != nil {
		return Proposal{}, fmt.Errorf("proposal %s: %w", id, err)
	}
	p.State, p.MessageTS = State(state), ts
	p.Decisions, err = t.decisions(id)
	return p, err
}

func (t *tx) decisions(id string) ([]Decision, error) {
	rows, err := t.rows(`SELECT member, approve, at FROM decisions WHERE proposal = ? ORDER BY at, member`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Decision
	for rows.Next() {
		var d Decision
		var at int64
		if err := rows.Scan(&d.User, &d.Approve, &at); err != nil {
			return nil, err
		}
		d.At = fromMicros(at)
		list = append(list, d)
	}
	return list, rows.Err()
}

// ids returns the first column of a query's rows.
func (t *tx) ids(query string, args ...any) ([]string, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// getAll returns the named proposals, oldest first.
func (t *tx) getAll(ids []string) ([]Proposal, error) {
	var list []Proposal
	for _, id := range ids {
		p, err := t.get(id)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	sortProposals(list)
	return list, nil
}
