package incident

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/slackui"
)

// A signal tells a waiting incident that something happened.
type signal struct {
	Kind     string // decided, stop
	Proposal string
}

const topic = "signal"

// Handle takes one event from Slack, which is acknowledged already. It
// returns when the event is safe: stored, answered or ignored.
func (s *Service) Handle(ctx context.Context, ev slackui.Event) {
	var err error
	switch ev := ev.(type) {
	case slackui.Ask:
		err = s.ask(ctx, ev)
	case slackui.Press:
		err = s.press(ctx, ev)
	}
	if err != nil && !errors.Is(err, slackui.ErrGone) {
		s.Log.Error("could not handle an event", "event", fmt.Sprintf("%T", ev), "err", err)
	}
}

func (s *Service) ask(ctx context.Context, a slackui.Ask) error {
	if done, err := s.threadCommand(ctx, a); done || err != nil {
		return err
	}
	in := intents.Parse(a.Text, intents.Options{Mention: a.Mention})
	switch {
	case in.Request:
		err := s.start(runID(a.Key()), ask{Ask: a, Intent: in})
		if err != nil {
			err = errors.Join(err, s.sayNotStarted(ctx, a))
		}
		return err
	case a.Mention:
		return s.answer(ctx, a, in)
	}
	return nil
}

// sayNotStarted tells the person who asked that the question is lost: the
// database did not take it. It does so even when that is because the program
// ends.
func (s *Service) sayNotStarted(ctx context.Context, a slackui.Ask) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	m := slackui.Message{Text: ":warning: I could not take this up: my database does not answer. Nothing was done; ask again in a moment."}
	if a.Command {
		return s.Slack.Respond(ctx, a.Response, m)
	}
	return s.Slack.Ephemeral(ctx, a.Channel, a.Thread, a.User, m)
}

// answer tells somebody who addressed the bot, and asked for nothing that it
// knows, what it can be asked.
func (s *Service) answer(ctx context.Context, a slackui.Ask, in intents.Intent) error {
	m := slackui.NotARequest()
	if in.Reason == intents.ReasonHelp {
		m = slackui.Help()
	}
	if a.Command { // there is no message to answer under: tell the person alone
		return s.Slack.Respond(ctx, a.Response, m)
	}
	_, err := s.post(ctx, ask{Ask: a}, "answer:"+a.Key(), m)
	return err
}

// runID names an incident after what started it: the same message, delivered
// again, is the same run.
func runID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// threadCommand obeys "again" and "stop" in the thread of an incident. Other
// words in such a thread are people talking to each other, unless they
// address the bot.
func (s *Service) threadCommand(ctx context.Context, a slackui.Ask) (done bool, err error) {
	if a.Thread == "" {
		return false, nil
	}
	run, err := s.Store.LatestRun(ctx, a.Channel, a.Thread)
	if errors.Is(err, approval.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	switch intents.ThreadCommand(a.Text) {
	case intents.Retry:
		return true, s.again(runID(a.Key()), run, a.User)
	case intents.Stop:
		return true, s.stop(run.ID)
	}
	return !a.Mention, nil
}

// start begins an incident. The run's name is the message's: a redelivered
// event, and the second event of a mention, start nothing.
func (s *Service) start(run string, in ask) error {
	in.Run = run
	s.crowd.join(run)
	_, err := dbos.RunWorkflow(s.dbos, s.investigate, in, dbos.WithWorkflowID(run))
	return err
}

// again starts a new run of an earlier question in the same thread.
func (s *Service) again(run string, old approval.Run, user string) error {
	a := slackui.Ask{Team: old.Team, Channel: old.Channel, User: user, Text: old.Ask, TS: old.Thread, Thread: old.Thread}
	return s.start(run, ask{Ask: a, Intent: intents.Parse(old.Ask, intents.Options{Mention: true})})
}

// stop ends an incident: the diagnosis if it is under way in this process,
// else its proposals.
func (s *Service) stop(run string) error {
	s.mu.Lock()
	cancel := s.running[run]
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	return dbos.Send(s.dbos, run, signal{Kind: "stop"}, topic, dbos.WithIdempotencyKey("stop:"+run))
}

func (s *Service) press(ctx context.Context, p slackui.Press) error {
	switch p.Action {
	case slackui.ActionApprove, slackui.ActionReject:
		return s.decide(ctx, p)
	case slackui.ActionDetails:
		return s.details(ctx, p)
	case slackui.ActionEvidence:
		return s.evidence(ctx, p)
	case slackui.ActionStop, slackui.ActionRetry:
		return s.steer(ctx, p)
	}
	return nil
}

// steer ends or repeats a run, where it is: a button's value alone is no
// right to write into another channel.
func (s *Service) steer(ctx context.Context, p slackui.Press) error {
	run, err := s.Store.RunByID(ctx, p.Value)
	if err != nil || run.Team != p.Team || run.Channel != p.Channel {
		return s.refuse(ctx, p, "This run is not known any more. Ask again in the channel.")
	}
	if p.Action == slackui.ActionStop {
		return s.stop(run.ID)
	}
	return s.again(runID("again:"+run.ID+":"+p.MessageTS), run, p.User)
}

// decide judges a press of Approve or Reject. What it decides is stored
// before anybody is told.
func (s *Service) decide(ctx context.Context, p slackui.Press) error {
	who, err := s.Slack.Person(ctx, p.User, s.Policy.Groups()...)
	if err != nil {
		s.Log.Warn("could not look a person up", "user", p.User, "err", err)
		return s.refuse(ctx, p, "I could not check with Slack who you are, so nothing was done. Press again in a moment.")
	}
	if p.UserTeam != "" {
		who.Team = p.UserTeam
	}
	prop, err := s.Store.Decide(ctx, approval.Press{
		Person: who, Team: p.Team, Channel: p.Channel, Value: p.Value, Approve: p.Action == slackui.ActionApprove, At: p.At,
	}, s.Policy)
	var no *approval.Refusal
	switch {
	case errors.As(err, &no):
		return s.Slack.Ephemeral(ctx, p.Channel, p.Thread, p.User, slackui.Refusal(no))
	case err != nil:
		return errors.Join(err, s.refuse(ctx, p, "I could not store your decision, so nothing was done. Press again in a moment."))
	case prop.State == approval.Open: // more votes are needed
		at := cmp.Or(prop.MessageTS, p.MessageTS) // a press may be faster than the storing of where it was shown
		return s.Slack.Update(ctx, prop.Channel, at, slackui.ProposalScreen(prop))
	}
	return s.tell(prop)
}

// tell wakes the incident that waits for a decision.
func (s *Service) tell(p approval.Proposal) error {
	return dbos.Send(s.dbos, p.Run, signal{"decided", p.ID}, topic, dbos.WithIdempotencyKey(p.ID+":"+string(p.State)))
}

func (s *Service) refuse(ctx context.Context, p slackui.Press, sentence string) error {
	return s.Slack.Ephemeral(ctx, p.Channel, p.Thread, p.User, slackui.Refusal(&approval.Refusal{Sentence: sentence}))
}

func (s *Service) details(ctx context.Context, p slackui.Press) error {
	id, _, _ := strings.Cut(p.Value, ":")
	prop, err := s.Store.Get(ctx, id)
	if err != nil || prop.Team != p.Team || prop.Channel != p.Channel {
		return s.refuse(ctx, p, "This proposal is not known any more. Ask again in the channel.")
	}
	return s.Slack.OpenView(ctx, p.TriggerID, slackui.Details(prop))
}

func (s *Service) evidence(ctx context.Context, p slackui.Press) error {
	run, err := s.Store.RunByID(ctx, p.Value)
	var r diagnose.Report
	if err != nil || run.Team != p.Team || run.Channel != p.Channel || json.Unmarshal(run.Report, &r) != nil {
		return s.refuse(ctx, p, "The evidence of this run is not kept any more. Ask again in the channel.")
	}
	return s.Slack.OpenView(ctx, p.TriggerID, slackui.Evidence(&r, slackui.ReportContext{Run: run.ID, Asker: run.Asker, ReadOnly: s.Policy.ReadOnly(s.Cluster)}))
}

// post posts a message once, whatever happens to the process: a key that was
// begun and not ended is looked for in the thread first.
func (s *Service) post(ctx context.Context, in ask, key string, m slackui.Message) (string, error) {
	begun, ts, err := s.Store.BeginPost(ctx, key)
	if err != nil || ts != "" {
		return ts, err
	}
	m.Key = key
	thread := in.thread()
	if begun {
		if ts, err = s.Slack.FindPost(ctx, in.Ask.Channel, thread, key); err != nil {
			return "", err
		}
	}
	if ts == "" {
		if ts, err = s.Slack.Post(ctx, in.Ask.Channel, thread, m); err != nil {
			return "", err
		}
	}
	return ts, s.Store.EndPost(ctx, key, ts)
}

// An ask is the input of an incident: it is stored, so its fields are only
// ever added to.
type ask struct {
	Run    string
	Ask    slackui.Ask
	Intent intents.Intent
	Root   string // thread of the answer when the ask has no message of its own
}

func (a ask) thread() string {
	if a.Root != "" {
		return a.Root
	}
	return a.Ask.Root()
}

// now is the time in a form that survives being stored.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
