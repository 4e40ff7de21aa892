// Package remedy describes changes that would fix a finding. A remedy is
// data: it can be shown, stored, hashed, approved and undone. Only package
// apply performs one.
package remedy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Risk says what a remedy may cost while it is applied.
type Risk int

// The risks, least first.
const (
	Safe        Risk = iota // adds something, and can be undone
	Disruptive              // interrupts some traffic; what it changes can be undone
	Destructive             // cannot be undone
)

var riskNames = [...]string{"safe", "disruptive", "destructive"}

func (r Risk) String() string { return riskNames[r] }

// MarshalText writes the risk's name.
func (r Risk) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a risk's name.
func (r *Risk) UnmarshalText(b []byte) error {
	for i, n := range riskNames {
		if n == string(b) {
			*r = Risk(i)
			return nil
		}
	}
	return fmt.Errorf("risk %q is none of safe, disruptive, destructive", b)
}

// A Remedy is one way to make a finding go away.
type Remedy struct {
	Title   string   // verb phrase, shown on the approval
	Why     string   // one sentence: what it does and what it does not
	Risk    Risk     //
	Actions Actions  // done in order; empty when the remedy is only printed
	Manual  []string // commands for a person: what the bot never runs by itself
}

// Runnable reports whether the bot can perform r.
func (r Remedy) Runnable() bool { return len(r.Actions) > 0 }

// Commands are what a person would type to do the same.
func (r Remedy) Commands() []string {
	var c []string
	for _, a := range r.Actions {
		c = append(c, a.Command())
	}
	return append(c, r.Manual...)
}

// Diff shows the lines of the texts that r replaces; nil when it replaces
// none.
func (r Remedy) Diff() []string {
	var d []string
	for _, a := range r.Actions {
		if t, ok := a.(Differ); ok {
			d = append(d, strings.Split(t.Diff(), "\n")...)
		}
	}
	return d
}

// Undo returns the actions that take r back, last first; nil if one of its
// actions cannot be undone.
func (r Remedy) Undo() Actions {
	var u Actions
	for i := len(r.Actions) - 1; i >= 0; i-- {
		a := r.Actions[i].Undo()
		if a == nil {
			return nil
		}
		u = append(u, a)
	}
	return u
}

// Transient reports whether r leaves nothing behind that could be undone, as a
// restart does.
func (r Remedy) Transient() bool {
	for _, a := range r.Actions {
		if _, ok := a.(RestartWorkload); !ok {
			return false
		}
	}
	return r.Runnable()
}

// Hash identifies exactly these actions: an approval is given for it.
func (r Remedy) Hash() string {
	b, err := json.Marshal(r.Actions)
	if err != nil {
		panic(fmt.Sprintf("remedy: actions do not marshal: %v", err)) // a bug: every Action is plain data
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// MarshalJSON writes r as a report holds it: the commands and their undoing
// beside the actions that they stand for.
func (r Remedy) MarshalJSON() ([]byte, error) {
	doc := remedyJSON{Title: r.Title, Why: r.Why, Risk: r.Risk, Commands: r.Commands(), Actions: r.Actions, Manual: r.Manual, Undo: []string{}}
	for _, a := range r.Undo() {
		doc.Undo = append(doc.Undo, a.Command())
	}
	if doc.Commands == nil {
		doc.Commands = []string{}
	}
	return json.Marshal(doc)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Remedy) UnmarshalJSON(b []byte) error {
	var doc remedyJSON
	if err := json.Unmarshal(b, &doc); err != nil {
		return err
	}
	*r = Remedy{Title: doc.Title, Why: doc.Why, Risk: doc.Risk, Actions: doc.Actions, Manual: doc.Manual}
	return nil
}

type remedyJSON struct {
	Title    string   `json:"title"`
	Why      string   `json:"why,omitempty"`
	Risk     Risk     `json:"risk"`
	Commands []string `json:"commands"`
	Undo     []string `json:"undo"`
	Actions  Actions  `json:"actions,omitempty"`
	Manual   []string `json:"manual,omitempty"`
}

// Actions is a list of actions that can be stored: each is written with the
// name of its type.
type Actions []Action

// MarshalJSON writes each action as {"type":"scale-deployment", ...}.
func (as Actions) MarshalJSON() ([]byte, error) {
	list := make([]json.RawMessage, 0, len(as))
	for _, a := range as {
		b, err := json.Marshal(a)
		if err != nil {
			return nil, err
		}
		head, _ := json.Marshal(map[string]string{"type": a.Type()})
		if len(b) > 2 { // not "{}"
			head = append(append(head[:len(head)-1], ','), b[1:]...)
		}
		list = append(list, head)
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads what MarshalJSON wrote. An unknown type is an error:
// the set of actions is closed.
func (as *Actions) UnmarshalJSON(b []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*as = nil
	for _, raw := range list {
		var head struct{ Type string }
		if err := json.Unmarshal(raw, &head); err != nil {
			return err
		}
		read, ok := readers[head.Type]
		if !ok {
			return fmt.Errorf("action type %q is not known to this version", head.Type)
		}
		a, err := read(raw)
		if err != nil {
			return fmt.Errorf("action %s: %w", head.Type, err)
		}
		*as = append(*as, a)
	}
	return nil
}
