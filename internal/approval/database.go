package approval

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite"

	"github.com/hopwise/hopwise/internal/facts"
)

// The dialects of SQL that a Store speaks.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// OpenURL opens the database that a setting names: "sqlite:PATH" or
// "postgres://USER@HOST/NAME". It connects once, so that a wrong address is
// an error here. The caller closes the database.
func OpenURL(ctx context.Context, rawURL string) (db *sql.DB, dialect string, err error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case "sqlite":
		dialect = SQLite
		db, err = openSQLite(rest)
	case "postgres", "postgresql":
		dialect = Postgres
		db, err = openPostgres(rawURL)
	default:
		return nil, "", errors.New("database URL: expected sqlite:PATH or postgres://USER@HOST/NAME")
	}
	if err != nil {
		return nil, "", err
	}
	if err := connect(ctx, db); err != nil {
		db.Close()
		return nil, "", fmt.Errorf("open database: %w", explain(err))
	}
	return db, dialect, nil
}

// connect connects once. Of several programs that open a new SQLite file at
// the same moment one makes it a file with a write-ahead log; SQLite answers
// the others at once that it is busy, whatever they were told to wait.
func connect(ctx context.Context, db *sql.DB) error {
	for deadline := time.Now().Add(5 * time.Second); ; {
		err := db.PingContext(ctx)
		if lite := (*sqlite.Error)(nil); !errors.As(err, &lite) || lite.Code()&0xff != sqliteBusy || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sqliteConns is how many connections there are to one file: some readers
// beside the one writer. They are kept open, since opening one costs more
// than most queries.
const sqliteConns = 8

// openSQLite sets what several goroutines and processes need on one file:
// readers beside a writer (WAL), waiting instead of failing, and the write
// lock taken when a transaction begins, so that none fails half way.
func openSQLite(rest string) (*sql.DB, error) {
	path, query, _ := strings.Cut(rest, "?")
	path = strings.TrimPrefix(path, "//")
	if path == "" || strings.Contains(path, ":memory:") {
		return nil, errors.New("database URL: sqlite: needs the path of a file, such as sqlite:hopwise.db")
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	if params.Get("mode") != "ro" {
		if err := private(path); err != nil {
			return nil, err
		}
	}
	// NORMAL survives a killed process; what a power cut must not lose is
	// brought to disk by Store.Sync before a change is made.
	params["_pragma"] = append(params["_pragma"], "journal_mode(WAL)", "foreign_keys(1)", "synchronous(NORMAL)")
	if !strings.Contains(query, "busy_timeout") {
		params.Add("_pragma", "busy_timeout(5000)")
	}
	params.Set("_txlock", "immediate")
	db := sql.OpenDB(newConnector(new(sqlite.Driver), "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+params.Encode()))
	db.SetMaxOpenConns(sqliteConns)
	db.SetMaxIdleConns(sqliteConns)
	return db, nil
}

// private makes the file before SQLite does: what people asked and what was
// found is not for everybody on the machine.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open database: %w; make the folder, and let the bot write to it", err)
	}
	return f.Close()
}

func openPostgres(rawURL string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return nil, fmt.Errorf("database URL: %s", facts.Redact(err.Error()))
	}
	return stdlib.OpenDB(*config), nil
}

//go:embed migrations
var migrations embed.FS

// versionTable is where goose keeps the version of our tables; other tools
// may keep theirs in the same database.
const versionTable = "approval_version"

// migrate brings the tables to this program's version.
func migrate(ctx context.Context, db *sql.DB, dialect string, log *slog.Logger) error {
	p, err := migrator(db, dialect, log)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the database's version: %w", explain(err))
	}
	if current > target {
		return fmt.Errorf("the database is at version %d, this program knows versions up to %d: a newer program wrote it; start that one, or use another database", current, target)
	}
	if err := migrateUp(ctx, p, target); err != nil {
		return fmt.Errorf("bring the database from version %d to %d: %w", current, target, explain(err))
	}
	return nil
}

// migrateUp applies what is missing. Two programs that start at once on one
// SQLite file try the same step; the one that comes second fails, and then
// finds it done.
func migrateUp(ctx context.Context, p *goose.Provider, target int64) error {
	var err error
	for range target + 1 {
		if _, err = p.Up(ctx); err == nil {
			return nil
		}
		if current, _, verr := p.GetVersions(ctx); verr == nil && current == target {
			return nil
		}
	}
	return err
}

func migrator(db *sql.DB, dialect string, log *slog.Logger) (*goose.Provider, error) {
	var gooseDialect goose.Dialect
	opts := []goose.ProviderOption{goose.WithTableName(versionTable), goose.WithSlog(log), goose.WithDisableGlobalRegistry(true)}
	switch dialect {
	case SQLite:
		gooseDialect = goose.DialectSQLite3
	case Postgres:
		gooseDialect = goose.DialectPostgres
		// Several replicas may start at once: each asks every second, for a minute.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
		if err != nil {
			return nil, err
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	default:
		return nil, fmt.Errorf("database dialect %q is neither %s nor %s", dialect, SQLite, Postgres)
	}
	dir, err := fs.Sub(migrations, "migrations/"+dialect)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(gooseDialect, db, dir, opts...)
}

// SQLite's primary result codes, https://sqlite.org/rescode.html.
const (
	sqliteBusy     = 5
	sqliteReadOnly = 8
	sqliteCantOpen = 14
	sqliteNotADB   = 26
)

// explain adds what to do to the errors of a database that people can mend.
func explain(err error) error {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqliteBusy:
			return fmt.Errorf("the database is locked: another program has been writing to it for 5 s; stop that program, or give the bot a file of its own (%w)", err)
		case sqliteReadOnly:
			return fmt.Errorf("the database is read-only: let the bot write to the file and its folder (%w)", err)
		case sqliteCantOpen:
			return fmt.Errorf("the database cannot be opened: its folder must exist and the bot must be allowed to write there (%w)", err)
		case sqliteNotADB:
			return fmt.Errorf("the file is not an SQLite database: name another file (%w)", err)
		}
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "25006" { // read_only_sql_transaction
		return fmt.Errorf("the database is read-only: connect to the primary, not to a standby (%w)", err)
	}
	return err
}
