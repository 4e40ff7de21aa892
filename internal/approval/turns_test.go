package approval

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"modernc.org/sqlite"
)

func openTurns(t *testing.T, patience time.Duration) *sql.DB {
	t.Helper()
	c := newConnector(new(sqlite.Driver), "file:"+filepath.Join(t.TempDir(), "turns.db")+"?_txlock=immediate&_pragma=journal_mode(WAL)")
	c.patience = patience
	db := sql.OpenDB(c)
	t.Cleanup(func() { db.Close() })
	if _, err := db.Exec("CREATE TABLE numbers (n INTEGER)"); err != nil {
		t.Fatal(err)
	}
	return db
}

func begin(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// However a transaction ends, the next writer gets its turn. SQLite waits for
// nothing here: a lost turn would be an error or a wait for the patience.
func TestTurnIsGivenOn(t *testing.T) {
	db := openTurns(t, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancelled, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = cancelled.Rollback()
	if err := begin(t, db).Rollback(); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, db)
	if _, err := tx.Exec("INSERT INTO numbers VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO nowhere VALUES (1)"); err == nil {
		t.Fatal("a statement about no table succeeded")
	}
	if _, err := db.Exec("INSERT INTO numbers VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM numbers").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d numbers, %v; want 2", n, err)
	}
}

// Writers wait for each other, where SQLite alone, told to wait for nothing,
// would refuse.
func TestWritersTakeTurns(t *testing.T) {
	db := openTurns(t, time.Hour)
	first := begin(t, db)
	done := make(chan error, 1)
	go func() {
		_, err := db.Exec("INSERT INTO numbers VALUES (2)")
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("the second writer did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Waiting ends with the context, and a reader does not wait.
func TestWaitForTurnEnds(t *testing.T) {
	db := openTurns(t, time.Hour)
	defer begin(t, db).Rollback()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := db.BeginTx(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second transaction: %v, want that the deadline passed", err)
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM numbers").Scan(&n); err != nil {
		t.Errorf("read beside a writer: %v", err)
	}
}

// A turn that never comes is not waited for for ever: then SQLite decides.
func TestPatience(t *testing.T) {
	db := openTurns(t, 50*time.Millisecond)
	defer begin(t, db).Rollback()
	var lite *sqlite.Error
	if _, err := db.Exec("INSERT INTO numbers VALUES (1)"); !errors.As(err, &lite) || lite.Code()&0xff != sqliteBusy {
		t.Errorf("second writer: %v, want SQLite's busy", err)
	}
}
