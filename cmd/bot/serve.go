package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/diagnose/catalogue"
	"github.com/hopwise/hopwise/internal/facts/collect"
	"github.com/hopwise/hopwise/internal/incident"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/remedy/apply"
	"github.com/hopwise/hopwise/internal/slackui"
)

// editsPerMinute is the share of Slack's 50 calls of chat.update a minute
// that progress messages may use; decisions use the rest.
const editsPerMinute = 40

type serveCmd struct{ clusterFlags }

func (serveCmd) Help() string { return settingsHelp() }

func (v *serveCmd) Run(ctx context.Context, c *console) error {
	s, err := load()
	if err != nil {
		return err
	}
	if err := s.slackTokens(); err != nil {
		return err
	}
	policy := &approval.Policy{}
	if s.Policy != "" {
		if policy, err = approval.LoadPolicy(s.Policy); err != nil {
			return exit{exitUsage, err}
		}
	}
	way, err := connect(ctx, s, v.clusterFlags)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: s.LogLevel}))
	return serve(ctx, bot{settings: s, clients: way, policy: policy, log: log})
}

// A bot is what serve runs: settings, ways to the cluster, policy.
type bot struct {
	settings
	clients
	policy      *approval.Policy
	log         *slog.Logger
	verifyAfter []time.Duration // nil is the default
	ready       func()          // called when the bot hears Slack; may be nil
}

// serve runs the bot until ctx ends or Slack refuses it for good.
func serve(ctx context.Context, b bot) error {
	store, db, err := openStore(ctx, b.DatabaseURL, b.log)
	if err != nil {
		return err
	}
	defer db.Close()
	slackClient := slackui.NewClient(slackui.ClientConfig{BotToken: string(b.SlackBotToken), APIURL: b.SlackAPIURL, Log: b.log})
	self, err := slackClient.Self(ctx)
	if err != nil {
		return settled(err)
	}
	if missing := slackui.MissingScopes(self); missing != nil {
		b.log.Warn("the bot's token lacks scopes: some of what it hears or says will not work; add them on api.slack.com (deploy/slack-manifest.yaml has them all) and reinstall the app", "missing", missing)
	}
	service, editor, err := b.service(ctx, store, db, slackClient)
	if err != nil {
		return err
	}
	defer func() {
		ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := errors.Join(service.Close(), editor.Close(ended)); err != nil {
			b.log.Warn("not everything stopped in time; it goes on at the next start", "err", err)
		}
	}()
	b.log.Info("starting", "version", version(), "cluster", b.cluster, "read_only", b.policy.ReadOnly(b.cluster), "bot", self.Name)
	if b.policy.ReadOnly(b.cluster) {
		b.log.Warn("no policy names anybody who may approve fixes on this cluster: the bot only reads (set HOPWISE_POLICY)")
	}
	err = slackui.Listen(ctx, slackui.Config{
		BotToken: string(b.SlackBotToken), AppToken: string(b.SlackAppToken), APIURL: b.SlackAPIURL, Self: self, Log: b.log,
		Ready: b.heard, Reply: sign,
	}, service.Handle)
	if ctx.Err() != nil {
		b.log.Info("stopped")
		return nil
	}
	return settled(err)
}

// sign is the instant answer to a slash command that asks for something.
func sign(a slackui.Ask) string {
	if intents.Parse(a.Text, intents.Options{Mention: true}).Request {
		return "Looking. The answer comes in this channel."
	}
	return ""
}

func (b bot) heard() {
	b.log.Info("ready: listening to Slack")
	time.AfterFunc(settleAfter, settleDown)
	if b.ready != nil {
		b.ready()
	}
}

// settled makes a refusal by Slack an error of the settings.
func settled(err error) error {
	var refused *slackui.RefusedError
	if errors.As(err, &refused) {
		return exit{exitUsage, err}
	}
	return err
}

func (b bot) service(ctx context.Context, store *approval.Store, db *sql.DB, client *slackui.Client) (*incident.Service, *slackui.Editor, error) {
	reader, err := collect.New(collect.Config{
		Kube: b.kube, KubeErr: b.kubeErr, AWS: b.aws, AWSErr: b.awsErr, Cluster: b.cluster, Deadline: b.Deadline, Log: b.log,
	})
	if err != nil {
		return nil, nil, usage("%v", err)
	}
	writer, err := apply.New(b.kube, b.aws)
	if err != nil {
		return nil, nil, usage("%v", err)
	}
	editor := slackui.NewEditor(client, editsPerMinute, b.log)
	cfg := incident.Config{
		Slack: client, Editor: editor, Reader: reader, Writer: writer, Store: store, Policy: b.policy, Checks: catalogue.Checks(),
		Cluster: b.cluster, DB: db, Replica: b.Replica, VerifyAfter: b.verifyAfter, Log: b.log,
	}
	if strings.HasPrefix(b.DatabaseURL, "postgres") {
		cfg.DatabaseURL = b.DatabaseURL
	}
	service, err := incident.New(ctx, cfg)
	return service, editor, err
}

// openStore opens the database. Whatever is wrong with it is a wrong setting.
func openStore(ctx context.Context, url string, log *slog.Logger) (*approval.Store, *sql.DB, error) {
	db, dialect, err := approval.OpenURL(ctx, url)
	if err != nil {
		return nil, nil, usage("HOPWISE_DATABASE_URL: %v", err)
	}
	store, err := approval.OpenStore(ctx, db, dialect, log)
	if err != nil {
		return nil, nil, errors.Join(usage("HOPWISE_DATABASE_URL: %v", err), db.Close())
	}
	return store, db, nil
}

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Check that no entry was changed, removed or added in between."`
	Export auditExportCmd `cmd:"" help:"Print all entries as JSON lines, with their hashes."`
}

type auditVerifyCmd struct {
	File string `arg:"" optional:"" help:"An export to verify instead of the database." type:"existingfile"`
}

func (a *auditVerifyCmd) Run(ctx context.Context, c *console) error {
	n, err := a.verify(ctx, c)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%d entries, the chain is whole\n", n)
	return nil
}

func (a *auditVerifyCmd) verify(ctx context.Context, c *console) (int, error) {
	if a.File != "" {
		f, err := os.Open(a.File)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return approval.VerifyExport(f)
	}
	store, db, err := auditStore(ctx)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	return store.Verify(ctx)
}

type auditExportCmd struct{}

func (auditExportCmd) Run(ctx context.Context, c *console) error {
	store, db, err := auditStore(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	return store.Export(ctx, c.out)
}

func auditStore(ctx context.Context) (*approval.Store, *sql.DB, error) {
	s, err := load()
	if err != nil {
		return nil, nil, err
	}
	if file, ok := strings.CutPrefix(s.DatabaseURL, "sqlite:"); ok {
		path, _, _ := strings.Cut(strings.TrimPrefix(file, "//"), "?")
		if _, err := os.Stat(path); err != nil { // opening would make an empty one
			return nil, nil, usage("HOPWISE_DATABASE_URL: there is no database to read: %v", err)
		}
	}
	return openStore(ctx, s.DatabaseURL, slog.New(slog.DiscardHandler))
}
