package slack

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// A problem is what is wrong with a block, and where.
type problem struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	Field      string `json:"field,omitempty"`
	Pointer    string `json:"pointer"` // JSON pointer
	Constraint any    `json:"constraint,omitempty"`
}

// A checker walks a JSON value and collects problems.
type checker struct {
	modal    bool
	fileOK   func(ref map[string]any) bool // can this slack_file be shown?
	problems []problem
	blockIDs map[string]bool
	tables   int
	markdown int // characters in markdown blocks
}

// A rule looks at the value at a JSON pointer.
type rule func(c *checker, at string, v any)

// A prop is a property of an object; a shape is all that an object may have.
type prop struct {
	rule rule
	need bool
}

type shape map[string]prop

func (c *checker) add(code, at string, constraint any, format string, a ...any) {
	c.problems = append(c.problems, problem{Code: code, Message: fmt.Sprintf(format, a...),
		Field: at[strings.LastIndex(at, "/")+1:], Pointer: at, Constraint: constraint})
}

// object holds an object against a shape: unknown, missing and wrong
// properties. An explicit null is as wrong as in Slack.
func (c *checker) object(at string, v any, s shape) (map[string]any, bool) {
	o, ok := v.(map[string]any)
	if !ok {
		c.add("invalid_type", at, "object", "must provide an object")
		return nil, false
	}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		p, known := s[key]
		if !known {
			c.add("unknown_field", at, key, "invalid additional property: %s", key)
			continue
		}
		if p.rule != nil {
			p.rule(c, at+"/"+key, o[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if _, there := o[key]; s[key].need && !there {
			c.add("missing_field", at, nil, "missing required field: %s", key)
			c.problems[len(c.problems)-1].Field = key
		}
	}
	return o, true
}

// str is a string of low to high code points.
func str(low, high int) rule {
	return func(c *checker, at string, v any) {
		s, ok := v.(string)
		n := utf8.RuneCountInString(s)
		switch {
		case !ok:
			c.add("invalid_type", at, "string", "must provide a string")
		case n < low:
			c.add("too_short", at, low, "must be more than %d characters", low-1)
		case n > high:
			c.add("too_long", at, high, "must be less than %d characters", high+1)
		}
	}
}

func boolean(c *checker, at string, v any) {
	if _, ok := v.(bool); !ok {
		c.add("invalid_type", at, "boolean", "must provide a boolean")
	}
}

func number(low, high float64) rule {
	return func(c *checker, at string, v any) {
		if n, ok := v.(float64); !ok || n < low || n > high {
			c.add("out_of_range", at, []float64{low, high}, "must be a number between %g and %g", low, high)
		}
	}
}

func enum(values ...string) rule {
	return func(c *checker, at string, v any) {
		s, ok := v.(string)
		if !ok || !slices.Contains(values, s) {
			c.add("invalid_value", at, values, "must be a valid enum value")
		}
	}
}

// link is an absolute URL of at most 3,000 characters.
func link(c *checker, at string, v any) {
	str(1, 3000)(c, at, v)
	s, _ := v.(string)
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" {
		c.add("invalid_url", at, nil, "must be a valid URL")
	}
}

// list is an array of low to high items.
func list(low, high int, item rule) rule {
	return func(c *checker, at string, v any) {
		a, ok := v.([]any)
		switch {
		case !ok:
			c.add("invalid_type", at, "array", "must provide an array")
		case len(a) < low:
			c.add("too_few", at, low, "no less than %d items allowed", low)
		case len(a) > high:
			c.add("too_many", at, high, "no more than %d items allowed", high)
		}
		for i, v := range a {
			if item != nil {
				item(c, fmt.Sprintf("%s/%d", at, i), v)
			}
		}
	}
}

// object is a rule for a nested object of one shape.
func object(s shape) rule {
	return func(c *checker, at string, v any) { c.object(at, v, s) }
}

// text is a text object of at most high characters; plain allows no mrkdwn.
func text(high int, plain bool) rule {
	return func(c *checker, at string, v any) {
		kinds, s := []string{"plain_text", "mrkdwn"}, shape{
			"type": {need: true}, "text": {str(1, high), true}, "emoji": {rule: boolean}, "verbatim": {rule: boolean}}
		if plain {
			kinds = kinds[:1]
		}
		o, ok := c.object(at, v, s)
		if kind, _ := o["type"].(string); ok && !slices.Contains(kinds, kind) {
			c.add("invalid_type", at+"/type", kinds, "unsupported type: %s", kind)
		}
	}
}

// typed picks a shape by the object's "type".
func typed(shapes func(c *checker) map[string]shape, extra func(c *checker, at, kind string, o map[string]any)) rule {
	return func(c *checker, at string, v any) {
		o, ok := v.(map[string]any)
		if !ok {
			c.add("invalid_type", at, "object", "must provide an object")
			return
		}
		kind, ok := o["type"].(string)
		if !ok {
			c.add("missing_field", at, nil, "missing required field: type")
			c.problems[len(c.problems)-1].Field = "type"
			return
		}
		s, ok := shapes(c)[kind]
		if !ok {
			c.add("unsupported_type", at+"/type", nil, "unsupported type: %s", kind)
			return
		}
		c.object(at, v, s)
		if extra != nil {
			extra(c, at, kind, o)
		}
	}
}

// decode reads JSON of any shape.
func decode(data json.RawMessage) (any, bool) {
	var v any
	err := json.Unmarshal(data, &v)
	return v, err == nil
}
