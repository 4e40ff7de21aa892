package approval

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hopwise/hopwise/internal/facts"
)

// A Run is one diagnosis in one thread, as it is remembered.
type Run struct {
	ID         string
	Team       string
	Channel    string
	Thread     string
	Cluster    string
	Asker      string // Slack user
	Ask        string // their words; stored redacted
	Started    time.Time
	State      string          // the caller's word for where the run stands
	Report     json.RawMessage // of diagnose.Report; nil until there is one
	ReportTS   string          // message that shows the report
	ProgressTS string          // message that shows the progress
}

const runColumns = `id, team, channel, thread, cluster, asker, ask, started, state, report, report_ts, progress_ts`

// SaveRun stores a run, over what was stored of it before.
func (s *Store) SaveRun(ctx context.Context, r Run) error {
	if r.Report != nil && !json.Valid(r.Report) {
		return fmt.Errorf("store run %s: its report is not JSON", r.ID)
	}
	return s.tx(ctx, "store run "+r.ID, func(t *tx) error {
		_, err := t.exec(`INSERT INTO runs (`+runColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET state = excluded.state, cluster = excluded.cluster, report = excluded.report,
			report_ts = excluded.report_ts, progress_ts = excluded.progress_ts`,
			r.ID, r.Team, r.Channel, r.Thread, r.Cluster, r.Asker, facts.Redact(r.Ask), micros(r.Started), r.State, string(r.Report), r.ReportTS, r.ProgressTS)
		return err
	})
}

// RunByID returns a run. The error wraps ErrNotFound if there is none.
func (s *Store) RunByID(ctx context.Context, id string) (Run, error) {
	return s.run(ctx, `WHERE id = ?`, id)
}

// LatestRun returns the run that was started last in a thread. The error
// wraps ErrNotFound if there is none.
func (s *Store) LatestRun(ctx context.Context, channel, thread string) (Run, error) {
	return s.run(ctx, `WHERE channel = ? AND thread = ? ORDER BY started DESC, id DESC LIMIT 1`, channel, thread)
}

func (s *Store) run(ctx context.Context, where string, args ...any) (Run, error) {
	var r Run
	var started int64
	var report string
	row := s.db.QueryRowContext(ctx, rebind(s.dialect, `SELECT `+runColumns+` FROM runs `+where), args...)
	err := row.Scan(&r.ID, &r.Team, &r.Channel, &r.Thread, &r.Cluster, &r.Asker, &r.Ask, &started, &r.State, &report, &r.ReportTS, &r.ProgressTS)
	if errors.Is(err, sql.ErrNoRows) {
		return Run{}, fmt.Errorf("run: %w", ErrNotFound)
	}
	if err != nil {
		return Run{}, fmt.Errorf("read run: %w", explain(err))
	}
	r.Started = fromMicros(started)
	if report != "" {
		r.Report = json.RawMessage(report)
	}
	return r, nil
}

// BeginPost notes that a message is about to be posted. If that was noted
// before, begun is true and ts is the message that came of it, "" if that is
// not known: the program ended between the post and EndPost, and the caller
// has to look for the message in Slack or post again.
func (s *Store) BeginPost(ctx context.Context, key string) (begun bool, ts string, err error) {
	err = s.tx(ctx, "begin post "+key, func(t *tx) error {
		n, err := t.exec(`INSERT INTO posts (id, begun) VALUES (?, ?) ON CONFLICT (id) DO NOTHING`, key, micros(t.now))
		if err != nil || n == 1 {
			return err
		}
		begun = true
		return t.row(`SELECT ts FROM posts WHERE id = ?`, key).Scan(&ts)
	})
	return begun, ts, err
}

// EndPost notes which message a post became.
func (s *Store) EndPost(ctx context.Context, key, ts string) error {
	return s.tx(ctx, "end post "+key, func(t *tx) error {
		n, err := t.exec(`UPDATE posts SET ts = ? WHERE id = ?`, ts, key)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
}
