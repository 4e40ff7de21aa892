package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/remedy/apply"
	"github.com/hopwise/hopwise/internal/slackui"
)

// lockFor is how long a change may hold its objects.
const lockFor = 5 * time.Minute

// wait lets people decide on the open proposals until each is decided or
// expired. An applied fix adds a proposal: its undoing.
func (s *Service) wait(ctx dbos.Context, in ask, open []approval.Proposal) (string, error) {
	for len(open) > 0 {
		sig, err := dbos.Recv[signal](ctx, topic, time.Until(earliest(open)))
		if ctx.Err() != nil {
			return "cut off", ctx.Err()
		}
		if err != nil || sig.Kind == "" { // nobody decided in time
			gone, err := step(ctx, "expire", func(ctx context.Context) ([]string, error) { return s.expire(ctx, open) })
			if err != nil {
				return "not expired", err
			}
			open = without(open, gone...)
			continue
		}
		if sig.Kind == "stop" {
			_, err := step(ctx, "withdraw", func(ctx context.Context) (string, error) { return "", s.withdraw(ctx, open) })
			return "stopped", err
		}
		p, err := step(ctx, "read "+sig.Proposal, func(ctx context.Context) (approval.Proposal, error) { return s.Store.Get(ctx, sig.Proposal) })
		if err != nil {
			return "not read", err
		}
		open = without(open, p.ID)
		undo, err := s.decided(ctx, in, p)
		if err != nil {
			return "not done", err
		}
		if undo != nil {
			open = append(open, *undo)
		}
	}
	return "done", nil
}

func earliest(open []approval.Proposal) time.Time {
	t := open[0].Expires
	for _, p := range open {
		if p.Expires.Before(t) {
			t = p.Expires
		}
	}
	return t
}

func without(open []approval.Proposal, ids ...string) []approval.Proposal {
	return slices.DeleteFunc(slices.Clone(open), func(p approval.Proposal) bool { return slices.Contains(ids, p.ID) })
}

// expire takes the buttons from the proposals that nobody decided in time.
// One that was decided in the last moment is left: its signal is on the way.
func (s *Service) expire(ctx context.Context, open []approval.Proposal) (gone []string, err error) {
	if _, err := s.Store.ExpireDue(ctx, time.Now()); err != nil {
		return nil, err
	}
	for _, p := range open {
		p, err := s.Store.Get(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		if p.State != approval.Expired {
			continue
		}
		gone = append(gone, p.ID)
		if err := s.Slack.Update(ctx, p.Channel, p.MessageTS, slackui.Decision(p, "")); err != nil && !errors.Is(err, slackui.ErrGone) {
			return nil, err
		}
	}
	return gone, nil
}

// withdraw closes all open proposals of a stopped incident.
func (s *Service) withdraw(ctx context.Context, open []approval.Proposal) error {
	for _, p := range open {
		err := s.Store.Mark(ctx, p.ID, approval.Open, approval.Stale, "the incident was stopped")
		if errors.Is(err, approval.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		p.State = approval.Stale
		if err := s.Slack.Update(ctx, p.Channel, p.MessageTS, slackui.Decision(p, "Stopped. Nothing was changed.")); err != nil && !errors.Is(err, slackui.ErrGone) {
			return err
		}
	}
	return nil
}

// decided carries a decision out and returns the undoing that can now be
// decided on.
func (s *Service) decided(ctx dbos.Context, in ask, p approval.Proposal) (*approval.Proposal, error) {
	unseen, err := step(ctx, "show decision "+p.ID, func(ctx context.Context) (string, error) { return s.showDecision(ctx, in, p) })
	if err != nil || unseen != "" || p.State != approval.Approved {
		return nil, err
	}
	before, err := step(ctx, "recheck "+p.ID, func(ctx context.Context) (recheck, error) { return s.recheck(ctx, in, p) })
	if err != nil {
		return nil, err
	}
	if before.Stale != "" {
		_, err := step(ctx, "stale "+p.ID, func(ctx context.Context) (string, error) {
			return "", s.close(ctx, in, p, approval.Stale, before.Stale)
		})
		return nil, err
	}
	done, err := s.perform(ctx, p)
	if err != nil {
		return nil, err
	}
	if done.Err != "" {
		_, err := step(ctx, "failed "+p.ID, func(ctx context.Context) (string, error) { return "", s.failed(ctx, in, p, done) })
		return nil, err
	}
	if _, err := step(ctx, "applied "+p.ID, func(ctx context.Context) (string, error) {
		return "", s.close(ctx, in, p, approval.Applied, done.String())
	}); err != nil {
		return nil, err
	}
	return s.verify(ctx, in, p, before.Report, done)
}

// showDecision shows a decision in the message of its proposal. Where nobody
// can see it any more it says so, and a change is not made: it would happen
// behind everybody's back.
func (s *Service) showDecision(ctx context.Context, in ask, p approval.Proposal) (unseen string, err error) {
	err = s.redraw(ctx, in, p, "")
	if !errors.Is(err, slackui.ErrGone) {
		return "", err
	}
	unseen = "The channel is gone for the bot. Nothing was changed."
	if p.State == approval.Approved {
		return unseen, s.Store.Mark(ctx, p.ID, approval.Approved, approval.Stale, unseen)
	}
	return unseen, nil
}

// redraw shows how a proposal stands now. When somebody deleted its message,
// the thread gets a new one.
func (s *Service) redraw(ctx context.Context, in ask, p approval.Proposal, note string) error {
	err := s.Slack.Update(ctx, p.Channel, p.MessageTS, slackui.Decision(p, note))
	if errors.Is(err, slackui.ErrGone) {
		_, err = s.post(ctx, in, "decision:"+p.ID+":"+string(p.State), slackui.Decision(p, note))
	}
	return err
}

// A recheck is what the facts say right before a change. Stale says why the
// change is not made any more.
type recheck struct {
	Report *diagnose.Report
	Stale  string
}

// recheck takes fresh facts: a fix whose fault is gone, or which would now be
// another one, is not made. An undoing is not bound to a fault.
func (s *Service) recheck(ctx context.Context, in ask, p approval.Proposal) (recheck, error) {
	r := recheck{Report: s.look(ctx, in, "")}
	if p.UndoOf != "" {
		return r, nil
	}
	f := r.Report.Finding(p.FindingKey)
	switch {
	case f == nil && r.Report.CannotTell(checkOf(p.FindingKey)):
		r.Stale = "The check that found this cannot look any more, so the fix would be blind. Nothing was changed."
	case f == nil:
		r.Stale = "The fault is gone: there is nothing to fix. Nothing was changed."
	case !slices.ContainsFunc(f.Remedies, func(m remedy.Remedy) bool { return m.Hash() == p.Hash }):
		r.Stale = "The cluster has changed since this was proposed, and the fix would now be another one. Nothing was changed; ask again for a new proposal."
	}
	return r, nil
}

func checkOf(findingKey string) string {
	id, _, _ := strings.Cut(findingKey, " ")
	return id
}

// A performance is what became of a remedy's actions.
type performance struct {
	Receipts []apply.Receipt
	Err      string // why it stopped; the actions before it are done
	Failed   string // the command that failed
	Ended    time.Time
}

func (p performance) String() string { return strings.Join(p.lines(), "\n") }

// lines are the changes that were made, one each.
func (p performance) lines() []string {
	var lines []string
	for _, r := range p.Receipts {
		line := r.Command
		if r.Detail != "" {
			line += " (" + r.Detail + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

// perform makes the change, one action a step, while it holds the objects.
func (s *Service) perform(ctx dbos.Context, p approval.Proposal) (performance, error) {
	var out performance
	held, err := step(ctx, "lock "+p.ID, func(ctx context.Context) (string, error) { return s.lock(ctx, p) })
	if err != nil {
		return out, err
	}
	if held != "" {
		out.Err = "another change of " + held + " is under way; ask again when it is done"
		return out, nil
	}
	for i, a := range p.Remedy.Actions {
		one, err := step(ctx, fmt.Sprintf("apply %s %d", p.ID, i), func(ctx context.Context) (performance, error) { return s.apply(ctx, p, i, a) })
		if err != nil {
			return out, err
		}
		out.Receipts, out.Ended = append(out.Receipts, one.Receipts...), one.Ended
		if one.Err != "" {
			out.Err, out.Failed = one.Err, a.Command()
			break
		}
	}
	_, err = step(ctx, "unlock "+p.ID, func(ctx context.Context) (string, error) { return "", s.unlock(ctx, p) })
	return out, err
}

// lock takes all objects of a proposal, or none; it returns the one that is
// held by another change.
func (s *Service) lock(ctx context.Context, p approval.Proposal) (held string, err error) {
	for _, a := range p.Remedy.Actions {
		ok, err := s.Store.Lock(ctx, a.Object(), p.ID, time.Now().Add(lockFor))
		if err != nil {
			return "", err
		}
		if !ok {
			return a.Object(), s.unlock(ctx, p)
		}
	}
	return "", nil
}

func (s *Service) unlock(ctx context.Context, p approval.Proposal) error {
	var errs []error
	for _, a := range p.Remedy.Actions {
		errs = append(errs, s.Store.Unlock(ctx, a.Object(), p.ID))
	}
	return errors.Join(errs...)
}

// apply performs one action. A mark that it was begun tells a second try,
// after a crash, from a change that somebody else made.
func (s *Service) apply(ctx context.Context, p approval.Proposal, i int, a remedy.Action) (performance, error) {
	key := fmt.Sprintf("apply:%s:%d", p.ID, i)
	begun, _, err := s.Store.BeginPost(ctx, key)
	if err != nil {
		return performance{}, err
	}
	if err := s.Store.Append(ctx, approval.Entry{
		Kind: approval.KindApply, Key: key, Team: p.Team, Channel: p.Channel, Run: p.Run, Proposal: p.ID, Text: a.Command(),
	}); err != nil {
		return performance{}, err
	}
	if err := s.Store.Sync(ctx); err != nil {
		return performance{}, err
	}
	r, err := s.Writer.Do(ctx, a)
	if ctx.Err() != nil { // shut down in the middle: the next start tries again
		return performance{}, ctx.Err()
	}
	if err != nil {
		return performance{Err: err.Error()}, nil
	}
	if r.Already && begun {
		r.Detail = "made before the bot was restarted; not made twice"
	}
	return performance{Receipts: []apply.Receipt{r}, Ended: time.Now()}, nil
}

// close ends a proposal and shows how, if there is still a place for that.
func (s *Service) close(ctx context.Context, in ask, p approval.Proposal, to approval.State, note string) error {
	if err := s.Store.Mark(ctx, p.ID, approval.Approved, to, note); err != nil {
		return err
	}
	p.State = to
	if err := s.redraw(ctx, in, p, note); !errors.Is(err, slackui.ErrGone) {
		return err
	}
	return nil
}

// failed says what was and what was not done.
func (s *Service) failed(ctx context.Context, in ask, p approval.Proposal, done performance) error {
	if err := s.close(ctx, in, p, approval.Failed, done.Err); err != nil {
		return err
	}
	_, err := s.post(ctx, in, "failed:"+p.ID, slackui.FailureScreen(slackui.Failure{
		Run: p.Run, What: "The fix was not made: " + done.Err, Changed: done.lines(), Next: "Ask again for fresh facts and a new proposal.",
	}))
	return err
}

// verify runs the same checks on fresh facts until they say fixed, or the
// time for what follows the change has passed; then it shows before and
// after, with the undoing.
func (s *Service) verify(ctx dbos.Context, in ask, p approval.Proposal, before *diagnose.Report, done performance) (*approval.Proposal, error) {
	var v diagnose.Verification
	for i, after := range s.VerifyAfter {
		if after > 0 {
			if _, err := dbos.Sleep(ctx, after); err != nil {
				return nil, err
			}
		}
		var err error
		v, err = step(ctx, fmt.Sprintf("verify %s %d", p.ID, i), func(ctx context.Context) (diagnose.Verification, error) {
			after := s.lookSince(ctx, in, "", done.Ended)
			if p.UndoOf != "" {
				return diagnose.Taken(before, after), nil
			}
			return diagnose.Verify(before, after, p.FindingKey), nil
		})
		if err != nil {
			return nil, err
		}
		if v.Verdict == diagnose.Undone || v.Verdict == diagnose.Fixed && !before.FromLogs(p.FindingKey) {
			break // a log has to stay silent until the end
		}
	}
	undo, err := step(ctx, "verdict "+p.ID, func(ctx context.Context) (*approval.Proposal, error) { return s.verdict(ctx, in, p, v, done) })
	return undo, err
}

// verdict posts what the checks say now. The undoing of a fix is stored
// before it is shown.
func (s *Service) verdict(ctx context.Context, in ask, p approval.Proposal, v diagnose.Verification, done performance) (*approval.Proposal, error) {
	undo, err := s.undo(ctx, in, p)
	if err != nil {
		return nil, err
	}
	ts, err := s.post(ctx, in, "verdict:"+p.ID, slackui.Verdict(v, p, undo))
	if err != nil {
		return nil, err
	}
	if undo != nil {
		undo.MessageTS = ts
		if err := s.Store.SetMessage(ctx, undo.ID, ts); err != nil {
			return nil, err
		}
	}
	return undo, s.Store.Append(ctx, approval.Entry{
		Kind: approval.KindVerdict, Key: "verdict:" + p.ID, Team: p.Team, Channel: p.Channel, Run: p.Run, Proposal: p.ID,
		Text: string(v.Verdict), Data: map[string]string{"finding": p.FindingKey},
	})
}

// undo stores the proposal that takes p back; nil when p cannot be, or is
// itself an undoing. Its id follows from p's: a step that runs again makes no
// second one.
func (s *Service) undo(ctx context.Context, in ask, p approval.Proposal) (*approval.Proposal, error) {
	actions := p.Remedy.Undo()
	if p.UndoOf != "" || len(actions) == 0 {
		return nil, nil
	}
	u := s.Policy.Prepare(approval.Proposal{
		ID: p.ID + "-undo", Run: p.Run, Cluster: p.Cluster, Team: p.Team, Channel: p.Channel, Thread: p.Thread, Asker: p.Asker,
		FindingKey: p.FindingKey, Claim: p.Claim, UndoOf: p.ID,
		Remedy: remedy.Remedy{Title: "Undo: " + p.Remedy.Title, Risk: p.Remedy.Risk, Actions: actions},
	}, now())
	if err := s.Store.Propose(ctx, u); err != nil {
		return nil, err
	}
	return &u, nil
}
