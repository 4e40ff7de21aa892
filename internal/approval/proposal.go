// Package approval decides who may agree to what: the policy, the proposals
// and the decisions on them, and the audit log. It stores them in the bot's
// database; it performs nothing and knows no Slack client.
package approval

import (
	"time"

	"github.com/hopwise/hopwise/internal/remedy"
)

// A State is where a proposal stands. Only Open ones can be decided.
type State string

// The states. An Approved proposal is being applied; the last four are ends.
const (
	Open     State = "open"
	Approved State = "approved"
	Applied  State = "applied"
	Failed   State = "failed" // the change did not go through, in whole or in part
	Rejected State = "rejected"
	Expired  State = "expired"
	Stale    State = "stale" // what it would fix is gone or no longer the same
)

// A Proposal is a remedy that waits for approval. It is stored before anybody
// sees it, and never changed but for its state and its decisions.
type Proposal struct {
	ID         string // short, random, unguessable enough to tell forged ones
	Run        string // the incident run that made it
	Cluster    string
	Team       string // Slack team of the run
	Channel    string
	Thread     string
	Asker      string // Slack user who asked
	FindingKey string // diagnose.Finding.Key of what it would fix
	Claim      string // what the finding said
	Remedy     remedy.Remedy
	Hash       string   // Remedy.Hash when it was stored: what is approved is what is done
	DryRun     []string // what the APIs' dry runs answered, a line per action
	UndoOf     string   // proposal that this one takes back, "" for a fix
	MayApprove []string // for people: the users and groups that the policy names, as Slack mentions
	NeedsVotes int      // approvals that it takes
	Created    time.Time
	Expires    time.Time
	State      State
	Decisions  []Decision
	MessageTS  string // of the message that shows it
}

// ButtonValue is what the proposal's buttons carry: its id and the hash of
// its plan, never a parameter.
func (p Proposal) ButtonValue() string { return p.ID + ":" + p.Hash[:16] }

// A Decision is one person's word on a proposal.
type Decision struct {
	User    string
	Approve bool
	At      time.Time
}

// A Person is what Slack says of somebody who pressed a button.
type Person struct {
	ID     string
	Team   string // team of the person, not of the channel
	Name   string
	Guest  bool // restricted or ultra-restricted account
	Bot    bool
	Left   bool     // deactivated
	Groups []string // ids of the user groups that hold the person
}

// A Press is a press of Approve or Reject as it came in; nothing of it is
// trusted.
type Press struct {
	Person  Person
	Team    string // team of the workspace that the press came from
	Channel string
	Value   string // as in ButtonValue
	Approve bool
	At      time.Time
}

// A Refusal says why a press did nothing. It is shown to the person alone.
type Refusal struct {
	Code     string // one word for the audit log: forged, expired, decided, not-allowed, asker, guest, bot, other-team, other-channel, stale, read-only
	Sentence string // what to do next, for the person
}

func (r *Refusal) Error() string { return r.Sentence }
