// Package slackui turns Slack's events into the bot's words and the bot's
// words into Block Kit. Decode and the screens are pure; Client and Listen
// hold the connection.
package slackui

import "time"

// An Event is what Decode makes of an envelope: Ask, Press, Submit or
// Ignored.
type Event interface{ event() }

// An Ask is a message, a mention or a slash command from a person.
type Ask struct {
	EventID  string // Slack's event id; the envelope's for a slash command
	Team     string
	Channel  string
	User     string
	Text     string // unescaped, without the mention of the bot, code and quotes cut out
	TS       string // of the message; "" for a slash command
	Thread   string // thread_ts of the message; "" when it stands in the channel
	Mention  bool   // it addresses the bot: a mention, a direct message or the slash command
	Command  bool   // it is a slash command: there is no message to answer under
	Response string // response_url of a slash command
}

// Key identifies the ask across Slack's redeliveries, and across the two
// events (app_mention and message) that a mention in a joined channel makes.
func (a Ask) Key() string {
	if a.TS == "" {
		return a.Team + ":" + a.Channel + ":" + a.EventID
	}
	return a.Team + ":" + a.Channel + ":" + a.TS
}

// Root is the thread that an answer belongs in.
func (a Ask) Root() string {
	if a.Thread != "" {
		return a.Thread
	}
	return a.TS
}

// A Press is a press of one of the bot's buttons.
type Press struct {
	Team      string // team of the workspace
	UserTeam  string // team of the person
	Channel   string
	User      string
	Action    string // action_id
	Value     string
	MessageTS string
	Thread    string
	TriggerID string // opens a modal, for 3 s
	At        time.Time
}

// A Submit is a submitted modal.
type Submit struct {
	Team, User string
	Callback   string // callback_id
	Private    string // private_metadata
}

// Ignored is an event that is acknowledged and starts nothing.
type Ignored struct{ Why string }

func (Ask) event()     {}
func (Press) event()   {}
func (Submit) event()  {}
func (Ignored) event() {}

// The action ids of the bot's buttons.
const (
	ActionStop     = "run.stop"     // value: run id
	ActionRetry    = "run.retry"    // value: run id
	ActionEvidence = "run.evidence" // value: run id
	ActionApprove  = "rem.approve"  // value: Proposal.ButtonValue
	ActionReject   = "rem.reject"   // value: Proposal.ButtonValue
	ActionDetails  = "rem.details"  // value: Proposal.ButtonValue
)
