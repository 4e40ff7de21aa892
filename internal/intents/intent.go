// Package intents reads a person's words: are they a request to look at the
// network, at which layer, and at what. It is rules only: the same words
// always give the same intent.
package intents

import "github.com/hopwise/hopwise/internal/facts"

// An Intent is what a message asks for.
type Intent struct {
	Request bool          `json:"request"`          // is it a request at all?
	Layers  []facts.Layer `json:"layers"`           // where the words point, most likely first; empty: nowhere in particular
	Target  facts.Target  `json:"target"`           // what they name
	Reason  string        `json:"reason,omitempty"` // the rule that decided, for people who ask why
}
