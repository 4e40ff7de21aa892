// Package intents reads a person's words: are they a request to look at the
// network, at which layer, and at what. It is rules only: the same words
// always give the same intent.
package intents

import "github.com/hopwise/hopwise/internal/facts"

// An Intent is what a message asks for.
type Intent struct {
	Request bool          `json:"request"` // is it a request at all?
	Layers  []facts.Layer `json:"layers"`  // where the words point, most likely first; empty: nowhere in particular
	Target  facts.Target  `json:"target"`  // what they name
	// From is the near end when they ask whether one thing reaches another;
	// Target is the far end then. When they say that a name does not resolve
	// (Target.Lookup), From are the pods that ask for it. Protocol is "tcp" or "udp" if they say so.
	From     facts.Target `json:"from,omitzero"`
	Protocol string       `json:"protocol,omitempty"`
	Symptom  Symptom      `json:"symptom,omitempty"` // of DNS: how it fails, if the words say so
	Reason   string       `json:"reason,omitempty"`  // the rule that decided, for people who ask why
}

// Options say how a message reached the bot.
type Options struct {
	Mention bool // it addresses the bot: then nearly everything is a request
}

// The reasons of an Intent that is a request.
const (
	ReasonSymptom = "symptom" // it quotes an error or names a fault: "no such host", "502 from the ALB"
	ReasonTopic   = "topic"   // it names a part of the network beside a word for trouble or a plea to look
	ReasonMention = "mention" // it addresses the bot, and names something that the bot can look at
)

// The reasons of an Intent that is none.
const (
	ReasonEmpty    = "empty"    // no words: emoji, punctuation, nothing
	ReasonHelp     = "help"     // it asks what the bot can do
	ReasonUnknown  = "unknown"  // no words about a network in trouble
	ReasonChatter  = "chatter"  // the words are there, but about something else: events, documents, drills
	ReasonNegated  = "negated"  // it says that there is no such trouble
	ReasonResolved = "resolved" // it says that the trouble is over
)
