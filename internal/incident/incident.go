// Package incident is one thread's story, from a question to a verified fix.
// It is the only package that knows the order of things:
//
//	ask → first sign → facts → report → proposals → decision → recheck → change → facts → verdict
//
// Each incident is a durable workflow on DBOS: every arrow that touches the
// outside is a step whose result is stored, so that a killed process goes on
// where it was. What may run twice (a step that was under way) is made
// harmless: posts look for themselves, changes look whether they are made.
package incident

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // the embedded database

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts/collect"
	"github.com/hopwise/hopwise/internal/remedy/apply"
	"github.com/hopwise/hopwise/internal/slackui"
)

// version names the order of steps of the workflow. Waiting incidents go on
// under a new program only if it is the same: change it when the steps of
// investigate change, and keep the old order for those that still wait.
const version = "incident-1"

// Config is what an incident needs. All of it is required but VerifyAfter.
type Config struct {
	Slack       *slackui.Client
	Editor      *slackui.Editor
	Reader      *collect.Reader
	Writer      *apply.Writer
	Store       *approval.Store
	Policy      *approval.Policy
	Checks      []*diagnose.Check
	Cluster     string
	DB          *sql.DB // for SQLite: shared with Store
	DatabaseURL string  // for Postgres; "" with SQLite
	Replica     string  // names this process among those on one database: the same after a restart
	VerifyAfter []time.Duration
	Log         *slog.Logger
}

// defaultVerifyAfter is when to look again after a change: some of what
// follows a change takes a load balancer's health check or a restart.
var defaultVerifyAfter = []time.Duration{0, 3 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second}

// A Service runs incidents.
type Service struct {
	Config
	dbos dbos.Context

	crowd crowd

	mu      sync.Mutex
	running map[string]context.CancelFunc // what stops the diagnoses of the runs that are under way here
}

// New starts the workflow engine: incidents that were cut off go on at once.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.VerifyAfter == nil {
		cfg.VerifyAfter = defaultVerifyAfter
	}
	s := &Service{Config: cfg, running: map[string]context.CancelFunc{}}
	conf := dbos.Config{AppName: "hopwise", ApplicationVersion: version, ExecutorID: cfg.Replica, Logger: quiet(cfg.Log)}
	if cfg.DatabaseURL != "" {
		conf.DatabaseURL = cfg.DatabaseURL
	} else {
		conf.SQLiteSystemDB = cfg.DB
	}
	engine, err := dbos.NewContext(context.WithoutCancel(ctx), conf)
	if err != nil {
		return nil, fmt.Errorf("start the workflow engine: %w", err)
	}
	s.dbos = engine
	// An incident waits for hours and may live through many restarts.
	dbos.RegisterWorkflow(engine, s.investigate, dbos.WithWorkflowName("investigate"), dbos.WithMaxRecoveryAttempts(1000))
	if err := dbos.Launch(engine); err != nil {
		return nil, fmt.Errorf("start the workflow engine: %w", err)
	}
	if err := s.resend(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("take up waiting decisions: %w", err), s.Close())
	}
	return s, nil
}

// Close stops the engine. Incidents that are under way go on at the next
// start.
func (s *Service) Close() error { return dbos.Shutdown(s.dbos, 5*time.Second) }

// resend tells waiting incidents of decisions that were stored, and whose
// telling a crash may have prevented. The key makes a second telling nothing.
func (s *Service) resend(ctx context.Context) error {
	waiting, err := dbos.ListWorkflows(s.dbos, dbos.WithFilterStatus(dbos.WorkflowStatusPending), dbos.WithFilterLoadInput(false))
	if err != nil {
		return err
	}
	for _, w := range waiting {
		proposals, err := s.Store.List(ctx, w.ID)
		if err != nil {
			return err
		}
		for _, p := range proposals {
			if p.State == approval.Approved || p.State == approval.Rejected {
				if err := s.tell(p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// quiet keeps the engine's own chatter out of the log.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(warnings{log.Handler()}) }

type warnings struct{ slog.Handler }

func (warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }
func (w warnings) WithGroup(g string) slog.Handler      { return warnings{w.Handler.WithGroup(g)} }
