package approval

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hopwise/hopwise/internal/facts"
)

// A Kind says what an Entry of the audit log is about.
type Kind string

// The kinds of entries.
const (
	KindAsk      Kind = "ask"      // a person asked
	KindReport   Kind = "report"   // a report was shown
	KindProposal Kind = "proposal" // a remedy was proposed
	KindDecision Kind = "decision" // a person approved or rejected
	KindRefusal  Kind = "refusal"  // a press did nothing
	KindApply    Kind = "apply"    // a change is about to be made
	KindReceipt  Kind = "receipt"  // a change was made, or failed
	KindVerdict  Kind = "verdict"  // what the check said afterwards
	KindUndo     Kind = "undo"     // a change is being taken back
	KindExpiry   Kind = "expiry"   // nobody decided in time
)

// An Entry is one line of the audit log. Seq and Prev are given to it when it
// is appended; so is At, if it is zero.
type Entry struct {
	Seq      int64             `json:"seq"` // 1, 2, 3 ...
	At       time.Time         `json:"at"`
	Kind     Kind              `json:"kind"`
	Key      string            `json:"key,omitempty"` // a second entry with the same key is not appended
	Team     string            `json:"team,omitempty"`
	Channel  string            `json:"channel,omitempty"`
	Run      string            `json:"run,omitempty"`
	Proposal string            `json:"proposal,omitempty"`
	Actor    string            `json:"actor,omitempty"` // Slack user; "" for the bot
	Text     string            `json:"text,omitempty"`
	Data     map[string]string `json:"data,omitempty"`
	Prev     string            `json:"prev"` // hash of the entry before, "" for the first
}

// entryOf makes an entry about a proposal; data are keys and values in turn.
func entryOf(kind Kind, p Proposal, actor, text string, data ...string) Entry {
	e := Entry{Kind: kind, Team: p.Team, Channel: p.Channel, Run: p.Run, Proposal: p.ID, Actor: actor, Text: text}
	if p.UndoOf != "" {
		data = append(data, "undo_of", p.UndoOf)
	}
	if len(data) > 0 {
		e.Data = map[string]string{}
	}
	for i := 0; i+1 < len(data); i += 2 {
		e.Data[data[i]] = data[i+1]
	}
	return e
}

// Append adds an entry to the log; its texts are redacted.
func (s *Store) Append(ctx context.Context, e Entry) error {
	return s.tx(ctx, "append to the audit log", func(t *tx) error { return t.log(e) })
}

// log appends e within the transaction. Nothing else may be locked after it:
// it holds the end of the log until the transaction ends.
func (t *tx) log(e Entry) error {
	if t.dialect == Postgres {
		if _, err := t.exec(`LOCK TABLE audit IN EXCLUSIVE MODE`); err != nil {
			return err
		}
	}
	if known, err := t.logged(e.Key); err != nil || known {
		return err
	}
	err := t.row(`SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1`).Scan(&e.Seq, &e.Prev)
	if errors.Is(err, sql.ErrNoRows) {
		e.Seq, e.Prev = 0, ""
	} else if err != nil {
		return fmt.Errorf("read the end of the audit log: %w", err)
	}
	e.Seq++
	body, err := e.canonical(t.now)
	if err != nil {
		return err
	}
	once := sql.NullString{String: e.Key, Valid: e.Key != ""}
	_, err = t.exec(`INSERT INTO audit (seq, once, body, hash) VALUES (?, ?, ?, ?)`, e.Seq, once, string(body), hashOf(body))
	if err != nil {
		return fmt.Errorf("append to the audit log: %w", err)
	}
	return nil
}

// logged reports whether an entry with this key is in the log.
func (t *tx) logged(key string) (bool, error) {
	if key == "" {
		return false, nil
	}
	var n int
	err := t.row(`SELECT COUNT(*) FROM audit WHERE once = ?`, key).Scan(&n)
	return n > 0, err
}

// canonical is e as JSON in the one form that is hashed: fields in the order
// of the type, map keys sorted, texts redacted, time in UTC microseconds.
func (e Entry) canonical(now time.Time) ([]byte, error) {
	if e.At.IsZero() {
		e.At = now
	}
	e.At = e.At.UTC().Truncate(time.Microsecond)
	e.Text = facts.Redact(e.Text)
	data := e.Data
	e.Data = nil
	for k, v := range data {
		if e.Data == nil {
			e.Data = make(map[string]string, len(data))
		}
		e.Data[k] = facts.Redact(v)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // people read mentions in it
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("write audit entry: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// A chain checks entries one after the other.
type chain struct {
	n    int64
	prev string
}

// next checks that body is the entry that follows, and that hash is its.
func (c *chain) next(body []byte, hash string) error {
	var e Entry
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("audit entry %d cannot be read: %w", c.n+1, err)
	}
	switch {
	case hashOf(body) != hash:
		return fmt.Errorf("audit entry %d was changed: its hash is not that of its text", c.n+1)
	case e.Seq != c.n+1:
		return fmt.Errorf("audit entry %d is missing: number %d follows", c.n+1, e.Seq)
	case e.Prev != c.prev:
		return fmt.Errorf("audit entry %d does not follow the one before it: that one was changed or replaced", c.n+1)
	}
	c.n, c.prev = e.Seq, hash
	return nil
}

// Verify checks the whole log and returns how many entries are sound. The
// error names the first that is not. Entries cut off at the end leave no
// trace in the log itself: compare Head with one noted elsewhere.
func (s *Store) Verify(ctx context.Context) (n int, err error) {
	var c chain
	err = s.walk(ctx, c.next)
	return int(c.n), err
}

// Head returns the number and the hash of the last entry; 0 and "" for an
// empty log.
func (s *Store) Head(ctx context.Context) (seq int64, hash string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1`).Scan(&seq, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", nil
	}
	return seq, hash, err
}

// walk calls f for each row of the log, in order.
func (s *Store) walk(ctx context.Context, f func(body []byte, hash string) error) error {
	rows, err := s.db.QueryContext(ctx, `SELECT body, hash FROM audit ORDER BY seq`)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var body, hash string
		if err := rows.Scan(&body, &hash); err != nil {
			return fmt.Errorf("read the audit log: %w", err)
		}
		if err := f([]byte(body), hash); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the audit log: %w", explain(err))
	}
	return nil
}

// exported is a line of an export.
type exported struct {
	Entry json.RawMessage `json:"entry"`
	Hash  string          `json:"hash"`
}

// Export writes the log as JSON lines, {"entry":{...},"hash":"..."}, sound or
// not. The hash is the SHA-256 of the entry's bytes as they stand there.
func (s *Store) Export(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriter(w)
	err := s.walk(ctx, func(body []byte, hash string) error {
		// Not json.Marshal: it would escape, and so change what is hashed.
		_, err := fmt.Fprintf(out, "{\"entry\":%s,\"hash\":%q}\n", body, hash)
		return err
	})
	if err != nil {
		return fmt.Errorf("export the audit log: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("export the audit log: %w", err)
	}
	return nil
}

// VerifyExport checks what Export wrote, without a database, as Verify does.
func VerifyExport(r io.Reader) (n int, err error) {
	var c chain
	lines := bufio.NewReader(r)
	for {
		line, readErr := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var x exported
			if err := json.Unmarshal(line, &x); err != nil {
				return int(c.n), fmt.Errorf("line %d of the export cannot be read: %w", c.n+1, err)
			}
			if err := c.next(x.Entry, x.Hash); err != nil {
				return int(c.n), err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return int(c.n), nil
		}
		if readErr != nil {
			return int(c.n), fmt.Errorf("read the export: %w", readErr)
		}
	}
}
