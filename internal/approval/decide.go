package approval

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Decide records a press of Approve or Reject, all in one transaction: the
// proposal is read again, the press is judged, and what came of it is logged.
// The proposal comes back as it then is. A press that may not do what it asks
// gives a *Refusal; any other error means that nothing was recorded.
//
// The same press delivered twice is recorded once and answered the same.
func (s *Store) Decide(ctx context.Context, press Press, policy *Policy) (p Proposal, err error) {
	var refusal *Refusal
	err = s.tx(ctx, "decide", func(t *tx) error {
		refusal = nil
		found, err := t.pressed(press.Value)
		if err != nil {
			return err
		}
		if found == nil {
			refusal = refuse("forged", "That button belongs to no proposal that waits here. Nothing was done; ask again to get a new one.")
			return t.logRefusal(Proposal{Team: press.Team, Channel: press.Channel}, press, refusal)
		}
		p = *found
		if p.recorded(press) {
			return nil
		}
		if refusal = judge(p, press, policy, t.now); refusal != nil {
			return t.logRefusal(p, press, refusal)
		}
		return t.record(&p, press, policy)
	})
	if err == nil && refusal != nil {
		return p, refusal
	}
	return p, err
}

var buttonValue = regexp.MustCompile(`^([a-z0-9-]{1,64}):([0-9a-f]{16})$`)

// pressed returns the proposal that a button's value names; nil if the value
// is none that this bot made.
func (t *tx) pressed(value string) (*Proposal, error) {
	m := buttonValue.FindStringSubmatch(value)
	if m == nil {
		return nil, nil
	}
	p, err := t.get(m[1])
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if p.Hash[:16] != m[2] || p.Remedy.Hash() != p.Hash {
		return nil, nil
	}
	return &p, nil
}

// recorded reports whether exactly this press was decided on before: Slack
// and a restarted step may deliver it again.
func (p Proposal) recorded(press Press) bool {
	return slices.ContainsFunc(p.Decisions, func(d Decision) bool {
		return d.User == press.Person.ID && d.Approve == press.Approve && d.At.Equal(press.At.Truncate(time.Microsecond))
	})
}

// judge says why a press must do nothing; nil if it counts. The order is
// that of how little each refusal gives away.
func judge(p Proposal, press Press, policy *Policy, now time.Time) *Refusal {
	if r := judgePlace(p, press, policy); r != nil {
		return r
	}
	if r := judgePerson(p, press.Person); r != nil {
		return r
	}
	if r := judgeState(p); r != nil {
		return r
	}
	if !p.Expires.After(now) || !p.Expires.After(press.At) {
		return refuse("expired", "This proposal has expired. Say *retry* in the thread to look again.")
	}
	return judgeRight(p, press, policy)
}

// judgePlace checks where the press came from.
func judgePlace(p Proposal, press Press, policy *Policy) *Refusal {
	switch {
	case press.Team != p.Team, policy != nil && policy.Team != "" && press.Team != policy.Team:
		return refuse("other-team", "This proposal belongs to another workspace. Decide on it there.")
	case press.Channel != p.Channel:
		return refuse("other-channel", "This proposal belongs to <#%s>. Decide on it there.", p.Channel)
	case policy != nil && len(policy.Channels) > 0 && !slices.Contains(policy.Channels, p.Channel):
		return refuse("other-channel", "The policy allows no decisions in this channel. Ask in <#%s>.", policy.Channels[0])
	}
	return nil
}

// judgePerson checks what sort of account pressed.
func judgePerson(p Proposal, who Person) *Refusal {
	switch {
	case who.Bot:
		return refuse("bot", "Only people decide on proposals, not bots.")
	case who.ID == "" || who.Left:
		return refuse("not-allowed", "This account is deactivated or unknown. Somebody else has to decide.")
	case who.Guest:
		return refuse("guest", "Guests cannot decide on proposals. Ask %s.", orNobody(p.MayApprove))
	case who.Team != p.Team:
		return refuse("other-team", "You belong to another workspace than this proposal. Ask %s.", orNobody(p.MayApprove))
	}
	return nil
}

// judgeState checks that the proposal still waits.
func judgeState(p Proposal) *Refusal {
	switch p.State {
	case Open:
		return nil
	case Expired:
		return refuse("expired", "This proposal has expired. Say *retry* in the thread to look again.")
	case Stale:
		return refuse("stale", "What this proposal would fix is gone or has changed. Say *retry* in the thread to look again.")
	case Rejected:
		return refuse("decided", "This proposal is already rejected by %s. Say *retry* in the thread to look again.", p.voters(false))
	}
	return refuse("decided", "This proposal is already approved by %s; there is nothing left to decide. It is %s.", p.voters(true), map[State]string{
		Approved: "being applied", Applied: "applied", Failed: "not gone through"}[p.State])
}

// judgeRight checks what the policy grants the person.
func judgeRight(p Proposal, press Press, policy *Policy) *Refusal {
	rule, who := policy.For(p.Remedy.Risk), press.Person
	if !press.Approve {
		if who.ID == p.Asker || rule.allows(who) {
			return nil
		}
		return refuse("not-allowed", "Only the person who asked and the approvers can reject this. Ask %s.", orNobody(rule.MayApprove()))
	}
	switch {
	case policy.ReadOnly(p.Cluster):
		return refuse("read-only", "The policy lets the bot change nothing in cluster %s. The commands in the report can be run by hand.", p.Cluster)
	case !rule.allows(who):
		return refuse("not-allowed", "The policy does not name you for %s changes. Ask %s.", p.Remedy.Risk, orNobody(rule.MayApprove()))
	case who.ID == p.Asker && !rule.AskerMayApprove:
		return refuse("asker", "You asked for this, so somebody else has to approve it. Ask %s.", orNobody(without(rule.MayApprove(), mention(who.ID))))
	case slices.Contains(p.approvers(), who.ID):
		return refuse("decided", "You have already approved this. It takes %d approvals by different people and has %d.", needed(p, rule), len(p.approvers()))
	}
	return nil
}

// needed is how many approvals p takes: what was shown, or more if the
// policy has become stricter since.
func needed(p Proposal, rule Rule) int { return max(p.NeedsVotes, rule.Approvals) }

// record stores a decision that counts and what it makes of the proposal.
func (t *tx) record(p *Proposal, press Press, policy *Policy) error {
	at := press.At.Truncate(time.Microsecond)
	if at.IsZero() {
		at = t.now.Truncate(time.Microsecond)
	}
	_, err := t.exec(`INSERT INTO decisions (proposal, member, approve, at) VALUES (?, ?, ?, ?)`, p.ID, press.Person.ID, press.Approve, micros(at))
	if err != nil {
		return err
	}
	p.Decisions = append(p.Decisions, Decision{User: press.Person.ID, Approve: press.Approve, At: at.UTC()})
	word := "approve"
	switch {
	case !press.Approve:
		word, err = "reject", t.setState(p, Rejected)
	case len(p.approvers()) >= needed(*p, policy.For(p.Remedy.Risk)):
		err = t.setState(p, Approved)
	}
	if err != nil {
		return err
	}
	return t.log(entryOf(KindDecision, *p, press.Person.ID, word, "state", string(p.State), "hash", p.Hash))
}

func (t *tx) logRefusal(p Proposal, press Press, r *Refusal) error {
	return t.log(entryOf(KindRefusal, p, press.Person.ID, r.Sentence, "code", r.Code, "value", cut(press.Value, 120), "team", press.Team, "channel", press.Channel))
}

// approvers are the people who approved.
func (p Proposal) approvers() []string {
	var ids []string
	for _, d := range p.Decisions {
		if d.Approve {
			ids = append(ids, d.User)
		}
	}
	return ids
}

// voters are the people who approved or rejected, as mentions.
func (p Proposal) voters(approve bool) string {
	var m []string
	for _, d := range p.Decisions {
		if d.Approve == approve {
			m = append(m, mention(d.User))
		}
	}
	return strings.Join(m, ", ")
}

func refuse(code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Sentence: fmt.Sprintf(format, args...)}
}

// orNobody lists who may approve, for the end of a sentence.
func orNobody(mentions []string) string {
	if len(mentions) == 0 {
		return "whoever looks after the bot's policy: it names nobody"
	}
	return strings.Join(mentions, ", ")
}

func without(list []string, drop string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == drop })
}
