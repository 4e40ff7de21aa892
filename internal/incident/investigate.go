package incident

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/facts/collect"
	"github.com/hopwise/hopwise/internal/slackui"
)

// maxProposals is how many fixes one report offers: more would hide the one
// that matters.
const maxProposals = 4

// step runs f once and stores what it returns; a step that was cut off runs
// again. Errors are stored as text, so what callers tell apart is in R.
func step[R any](ctx dbos.Context, name string, f func(context.Context) (R, error)) (R, error) {
	return dbos.RunAsStep(ctx, f, dbos.WithStepName(name),
		dbos.WithStepMaxRetries(4), dbos.WithStepBaseInterval(500*time.Millisecond), dbos.WithStepMaxInterval(10*time.Second),
		dbos.WithStepRetryPredicate(func(err error) bool { return !errors.Is(err, slackui.ErrGone) }))
}

// investigate is the workflow of one incident. Its result is a word for the
// log.
func (s *Service) investigate(ctx dbos.Context, in ask) (string, error) {
	word, err := s.story(ctx, in)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, slackui.ErrGone):
		s.Log.Info("an incident ended: its channel or message is gone", "run", in.Run)
	default:
		s.Log.Warn("an incident ended early", "run", in.Run, "err", facts.Redact(err.Error()))
	}
	return word, err
}

func (s *Service) story(ctx dbos.Context, in ask) (string, error) {
	stopped, forget := s.stoppable(in.Run) // before anybody sees that there is something to stop
	defer forget()
	progress, err := step(ctx, "first sign", func(ctx context.Context) (string, error) { return s.firstSign(ctx, in) })
	s.crowd.leave(in.Run)
	if err != nil {
		return "no first sign", err
	}
	if in.thread() == "" { // a slash command has no message: the first sign is the root
		in.Root = progress
	}
	d, err := step(ctx, "diagnose", func(ctx context.Context) (diagnosis, error) { return s.diagnose(ctx, stopped, in, progress) })
	if err != nil {
		return "not diagnosed", err
	}
	if d.Report == nil {
		_, err := step(ctx, "say why not", func(ctx context.Context) (string, error) { return s.sayWhyNot(ctx, in, progress, d) })
		return "not diagnosed", err
	}
	fixes, err := step(ctx, "propose", func(ctx context.Context) (fixes, error) { return s.propose(ctx, in, d.Report) })
	if err != nil {
		return "not proposed", err
	}
	if _, err := step(ctx, "report", func(ctx context.Context) (string, error) { return s.report(ctx, in, progress, d.Report, fixes) }); err != nil {
		return "not reported", err
	}
	open := fixes.Proposals
	for i := range open {
		ts, err := step(ctx, "show proposal "+open[i].ID, func(ctx context.Context) (string, error) { return s.show(ctx, in, open[i]) })
		if err != nil {
			return "not shown", err
		}
		open[i].MessageTS = ts
	}
	return s.wait(ctx, in, open)
}

func (s *Service) firstSign(ctx context.Context, in ask) (string, error) {
	err := s.Store.SaveRun(ctx, approval.Run{
		ID: in.Run, Team: in.Ask.Team, Channel: in.Ask.Channel, Thread: in.thread(), Cluster: s.Cluster,
		Asker: in.Ask.User, Ask: in.Ask.Text, Started: now(), State: "looking",
	})
	if err != nil {
		return "", err
	}
	ts, err := s.post(ctx, in, in.Run+":progress", slackui.FirstSign(s.progress(in, nil)))
	if errors.Is(err, slackui.ErrGone) && in.Ask.Command {
		return "", errors.Join(err, s.Slack.Respond(ctx, in.Ask.Response, slackui.Message{
			Text: ":warning: I am not in this channel, so I cannot answer here. Invite me with /invite, or ask where I am.",
		}))
	}
	if err != nil {
		return "", err
	}
	return ts, s.Store.Append(ctx, approval.Entry{
		Kind: approval.KindAsk, Key: "ask:" + in.Run, Team: in.Ask.Team, Channel: in.Ask.Channel, Run: in.Run, Actor: in.Ask.User, Text: in.Ask.Text,
	})
}

// A diagnosis is what the step of that name stores. Without a Report, Err
// says why.
type diagnosis struct {
	Report  *diagnose.Report
	Err     string
	Stopped bool
}

// stoppable returns a context that ends when somebody stops the run in this
// process, until forget is called.
func (s *Service) stoppable(run string) (stopped context.Context, forget func()) {
	stopped, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[run] = cancel
	return stopped, func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, run)
	}
}

// diagnose looks, until it is done or stopped. When the program ends in the
// middle that is an error: the next start looks again.
func (s *Service) diagnose(ctx, stopped context.Context, in ask, progressTS string) (d diagnosis, err error) {
	looking, cancel := context.WithCancel(ctx)
	defer cancel()
	unhook := context.AfterFunc(stopped, cancel)
	defer unhook()
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("a diagnosis panicked", "run", in.Run, "panic", p)
			d = diagnosis{Err: "an internal error; it is in the log of the bot"}
		}
	}()
	d.Report = s.look(looking, in, progressTS)
	switch {
	case ctx.Err() != nil:
		return diagnosis{}, ctx.Err()
	case stopped.Err() != nil:
		return diagnosis{Stopped: true}, nil
	}
	return d, nil
}

// look takes fresh facts and runs the checks on them. With a progress message
// it keeps that up to date.
func (s *Service) look(ctx context.Context, in ask, progressTS string) *diagnose.Report {
	return s.lookSince(ctx, in, progressTS, time.Time{})
}

// lookSince is look, but for what was logged before since.
func (s *Service) lookSince(ctx context.Context, in ask, progressTS string, since time.Time) *diagnose.Report {
	start := time.Now()
	s.crowd.wait(ctx)
	steps := newSteps(s.Checks)
	snapshot, stats := s.Reader.TakeShared(ctx, diagnose.KindsFor(s.Checks, in.Intent), in.Intent.Target, func(k facts.Kind) {
		if steps.done(k) && progressTS != "" {
			s.Editor.Set(in.Ask.Channel, progressTS, slackui.ProgressScreen(s.progress(in, steps)))
		}
	})
	snapshot = snapshot.LogsSince(since)
	return finish(diagnose.Run(s.Checks, snapshot, facts.Redact(in.Ask.Text), in.Intent), stats, start)
}

func finish(r *diagnose.Report, stats collect.Stats, start time.Time) *diagnose.Report {
	r.Timing = diagnose.Timing{TotalMS: time.Since(start).Milliseconds(), CollectMS: stats.Duration.Milliseconds(), Calls: stats.Calls}
	return r
}

func (s *Service) sayWhyNot(ctx context.Context, in ask, progressTS string, d diagnosis) (string, error) {
	m := slackui.Stopped(s.progress(in, nil), in.Ask.User)
	if !d.Stopped {
		m = slackui.FailureScreen(slackui.Failure{Run: in.Run, What: "The diagnosis could not be finished: " + d.Err, Next: "Try again; if it fails again, look at the bot's log."})
	}
	return "", s.Editor.Flush(ctx, in.Ask.Channel, progressTS, m)
}

// Fixes are the proposals of a report. ReadOnly says why there are none.
type fixes struct {
	Proposals []approval.Proposal
	ReadOnly  bool
	Refused   []string // remedies that the APIs' dry runs refused, with the reason
}

// propose stores a proposal for each fix that the bot could make of the
// causes that were found, after the APIs said that they would take it.
func (s *Service) propose(ctx context.Context, in ask, r *diagnose.Report) (fixes, error) {
	out := fixes{ReadOnly: s.Policy.ReadOnly(s.Cluster)}
	if out.ReadOnly {
		return out, nil
	}
	for i, f := range r.Findings {
		if len(f.CausedBy) > 0 || f.Severity == diagnose.Risk && i > 0 {
			continue
		}
		for _, rem := range f.Remedies {
			if !rem.Runnable() || len(out.Proposals) == maxProposals {
				continue
			}
			p := s.Policy.Prepare(approval.Proposal{
				ID: approval.NewID(), Run: in.Run, Cluster: s.Cluster, Team: in.Ask.Team, Channel: in.Ask.Channel, Thread: in.thread(),
				Asker: in.Ask.User, FindingKey: f.Key(), Claim: f.Claim, Remedy: rem,
			}, now())
			if why := s.dryRun(ctx, &p); why != "" {
				out.Refused = append(out.Refused, rem.Title+": "+why)
				continue
			}
			if err := s.Store.Propose(ctx, p); err != nil {
				return out, err
			}
			out.Proposals = append(out.Proposals, p)
		}
	}
	return out, nil
}

// dryRun asks the APIs about each action and notes what they say; it returns
// why the remedy cannot be done, "" if it can.
func (s *Service) dryRun(ctx context.Context, p *approval.Proposal) string {
	p.DryRun = nil
	for _, a := range p.Remedy.Actions {
		r, err := s.Writer.DryRun(ctx, a)
		if err != nil {
			return err.Error()
		}
		p.DryRun = append(p.DryRun, r.Detail)
	}
	return ""
}

func (s *Service) report(ctx context.Context, in ask, progressTS string, r *diagnose.Report, f fixes) (string, error) {
	doc, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	// Stored first: the evidence can be asked for as soon as the report is seen.
	err = s.Store.SaveRun(ctx, approval.Run{
		ID: in.Run, Team: in.Ask.Team, Channel: in.Ask.Channel, Thread: in.thread(), Cluster: s.Cluster, Asker: in.Ask.User,
		Ask: in.Ask.Text, Started: now(), State: "reported", Report: doc, ProgressTS: progressTS,
	})
	if err != nil {
		return "", err
	}
	ts, err := s.post(ctx, in, in.Run+":report", slackui.Report(r, slackui.ReportContext{Run: in.Run, Asker: in.Ask.User, ReadOnly: f.ReadOnly, Refused: f.Refused}))
	if err != nil {
		return "", err
	}
	s.Editor.Set(in.Ask.Channel, progressTS, slackui.ProgressDone(s.progress(in, nil), ""))
	return ts, s.Store.Append(ctx, approval.Entry{
		Kind: approval.KindReport, Key: "report:" + in.Run, Team: in.Ask.Team, Channel: in.Ask.Channel, Run: in.Run,
		Text: r.Headline(), Data: map[string]string{"cause": r.Cause, "findings": fmt.Sprint(len(r.Findings))},
	})
}

func (s *Service) show(ctx context.Context, in ask, p approval.Proposal) (string, error) {
	ts, err := s.post(ctx, in, "proposal:"+p.ID, slackui.ProposalScreen(p))
	if err != nil {
		return "", err
	}
	return ts, s.Store.SetMessage(ctx, p.ID, ts)
}
