package resolve

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/coredns/caddy/caddyfile"
)

// Limits of what imports of snippets may grow a Corefile to. CoreDNS stops at
// maxExpansions; maxTokens keeps a hostile file from using our memory.
const (
	maxExpansions = 10000
	maxTokens     = 200000
	maxNesting    = 32
)

// A ParseError is why CoreDNS would not read a Corefile.
type ParseError struct {
	Line int
	Text string // in CoreDNS's words, without file and line
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("Corefile:%d - Error during parsing: %s", e.Line, e.Text)
}

func failed(line int, format string, args ...any) error {
	return &ParseError{Line: line, Text: fmt.Sprintf(format, args...)}
}

// A token is a word of a Corefile.
type token struct {
	text    string
	line    int
	snippet string // it was imported from this one
}

// end is the line on which a token ends: quoted ones may have several.
func (t token) end() int { return t.line + strings.Count(t.text, "\n") }

// lex splits a Corefile with CoreDNS's own lexer.
func lex(text string) []token {
	var all []token
	d := caddyfile.NewDispenser("Corefile", strings.NewReader(text))
	for d.Next() {
		all = append(all, token{text: d.Val(), line: d.Line()})
	}
	return all
}

// fromEnvironment finds what is replaced before a Corefile counts: variables
// of CoreDNS's own environment, {$NAME} and {%NAME%}, and the placeholders
// that the cache on the nodes fills in when it starts.
var fromEnvironment = regexp.MustCompile(`\{\$[^}]+\}|\{%(?:[^%]|%[^}])+%\}|__PILLAR__[A-Z_]+__`)

// A reader gives the tokens of a Corefile one after the other; imported ones
// take the place of their import.
type reader struct {
	stack [][]token
	prev  token
	begun bool
	taken int
}

func (r *reader) peek() (token, bool) {
	for len(r.stack) > 0 {
		if top := r.stack[len(r.stack)-1]; len(top) > 0 {
			return top[0], true
		}
		r.stack = r.stack[:len(r.stack)-1]
	}
	return token{}, false
}

func (r *reader) take() (token, bool) {
	t, ok := r.peek()
	if !ok {
		return t, false
	}
	top := &r.stack[len(r.stack)-1]
	*top = (*top)[1:]
	r.prev, r.begun = t, true
	r.taken++
	return t, true
}

// newLine reports whether the next token begins a line.
func (r *reader) newLine() bool {
	t, ok := r.peek()
	return ok && (!r.begun || r.prev.end() < t.line)
}

// takeArg takes the next token if it is on the line of the one before.
func (r *reader) takeArg() (token, bool) {
	if t, ok := r.peek(); !ok || t.line != r.prev.end() {
		return token{}, false
	}
	return r.take()
}
