package approval

import (
	"context"
	"database/sql/driver"
	"sync"
	"time"
)

// SQLite lets one connection write at a time. One that finds another writing
// sleeps, up to 100 ms, and tries again: with many incidents at once most of
// the time is slept through, and who comes first is luck. Within this process
// writers therefore take turns, in the order in which they came. A turn is a
// courtesy and not a lock: SQLite's own lock decides, here as between
// processes.

// patience is how long to wait for a turn before trying without one: as long
// as SQLite itself waits.
const patience = 5 * time.Second

// A connector opens connections that share one turn.
type connector struct {
	driver   driver.Driver
	name     string
	patience time.Duration
	turn     chan struct{} // holds a token while somebody writes
}

func newConnector(d driver.Driver, name string) *connector {
	return &connector{driver: d, name: name, patience: patience, turn: make(chan struct{}, 1)}
}

// Driver is for database/sql.
func (c *connector) Driver() driver.Driver { return c.driver }

// Connect opens a connection.
func (c *connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.name)
	if err != nil {
		return nil, err
	}
	return &turnConn{liteConn: conn.(liteConn), connector: c}, nil
}

// take waits for the turn and returns what gives it on.
func (c *connector) take(ctx context.Context) (give func(), err error) {
	t := time.NewTimer(c.patience)
	defer t.Stop()
	select {
	case c.turn <- struct{}{}:
		return sync.OnceFunc(func() { <-c.turn }), nil
	case <-t.C:
		return func() {}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// liteConn is what database/sql uses of a connection to SQLite.
type liteConn interface {
	driver.Conn
	driver.Pinger
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// A turnConn waits for its turn before it writes. One goroutine at a time
// uses it.
type turnConn struct {
	liteConn
	connector *connector
	inTx      bool
}

// BeginTx takes the turn for the whole transaction, which begins with
// SQLite's write lock unless it is read-only.
func (c *turnConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if opts.ReadOnly {
		return c.liteConn.BeginTx(ctx, opts)
	}
	give, err := c.connector.take(ctx)
	if err != nil {
		return nil, err
	}
	t, err := c.liteConn.BeginTx(ctx, opts)
	if err != nil {
		give()
		return nil, err
	}
	c.inTx = true
	return turnTx{t, func() { c.inTx = false; give() }}, nil
}

// ExecContext takes the turn for a statement outside a transaction.
func (c *turnConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if !c.inTx {
		give, err := c.connector.take(ctx)
		if err != nil {
			return nil, err
		}
		defer give()
	}
	return c.liteConn.ExecContext(ctx, query, args)
}

// A turnTx gives the turn on when it ends, however it ends.
type turnTx struct {
	driver.Tx
	give func()
}

// Commit ends the transaction; the driver rolls back one that fails.
func (t turnTx) Commit() error {
	defer t.give()
	return t.Tx.Commit()
}

// Rollback ends the transaction.
func (t turnTx) Rollback() error {
	defer t.give()
	return t.Tx.Rollback()
}
