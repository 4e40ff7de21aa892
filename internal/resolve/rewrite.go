package resolve

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
)

// maxPattern is the longest regular expression that CoreDNS takes.
const maxPattern = 10000

// A Rewrite is a rule of the rewrite plugin.
type Rewrite struct {
	Continue bool   // the next rule is asked too
	Field    string // name, type, class, ttl, edns0, cname, rcode
	Match    string // of names: exact, prefix, suffix, substring or regex
	From, To string
	Answer   bool // it rewrites the names in answers too
	Line     int

	pattern *regexp.Regexp
}

// Rewrites are the rules of b in the order in which they are asked.
func (b *Block) Rewrites() []Rewrite {
	var out []Rewrite
	for _, p := range b.All("rewrite") {
		if r, why := p.rewrite(); why == "" {
			out = append(out, r)
		}
	}
	return out
}

// rewrite reads a rule; why says what CoreDNS holds against it.
func (p *Plugin) rewrite() (r Rewrite, why string) {
	args := p.Args
	if len(args) < 2 {
		args = p.inBlock()
	}
	r = Rewrite{Line: p.Line}
	if len(args) == 0 {
		return r, "no rule type specified for rewrite"
	}
	if mode := strings.ToLower(args[0]); mode == "continue" || mode == "stop" {
		r.Continue, args = mode == "continue", args[1:]
		if len(args) == 0 {
			return r, mode + " rule must begin with a rule type"
		}
	}
	r.Field, args = strings.ToLower(args[0]), args[1:]
	switch r.Field {
	case "name":
		return r.name(args)
	case "class", "type":
		if len(args) != 2 {
			return r, r.Field + " rules must have exactly two arguments"
		}
	case "answer":
		return r, "response rewrites must begin with a name rule"
	case "edns0", "ttl", "cname", "rcode":
	default:
		return r, "invalid rule type " + strconv.Quote(r.Field)
	}
	return r, ""
}

// inBlock are all words of a rule that is written over several lines.
func (p *Plugin) inBlock() []string {
	words := append([]string{}, p.Args...)
	for _, x := range p.Props {
		words = append(append(words, x.Name), x.Args...)
	}
	return words
}

func (r Rewrite) name(args []string) (Rewrite, string) {
	switch {
	case len(args) < 2:
		return r, "too few arguments for a name rule"
	case len(args) == 2:
		args = append([]string{"exact"}, args...)
	}
	r.Match, r.From, r.To = strings.ToLower(args[0]), Normal(args[1]), Normal(args[2])
	r.Answer = len(args) > 3
	switch r.Match {
	case "exact", "prefix", "suffix", "substring":
	case "regex":
		r.From = args[1]
		var err error
		if len(r.From) > maxPattern {
			return r, "regex pattern too long"
		}
		if r.pattern, err = regexp.Compile(r.From); err != nil {
			return r, "invalid regex matching pattern: " + r.From
		}
	default:
		return r, "name rule supports only exact, prefix, suffix, substring, and regex name matching, received: " + r.Match
	}
	return r, ""
}

// Apply returns what a name rule makes of a name, and whether it applies.
func (r Rewrite) Apply(name string) (string, bool) {
	switch r.Match {
	case "exact":
		return r.To, name == r.From
	case "prefix":
		rest, ok := strings.CutPrefix(name, r.From)
		return r.To + rest, ok
	case "suffix":
		rest, ok := strings.CutSuffix(name, r.From)
		return rest + r.To, ok
	case "substring":
		if !strings.Contains(name, r.From) || r.From == "" {
			return name, false
		}
		return strings.ReplaceAll(name, r.From, r.To), true
	case "regex":
		return r.replace(name)
	}
	return name, false
}

func (r Rewrite) replace(name string) (string, bool) {
	groups := r.pattern.FindStringSubmatch(name)
	if groups == nil {
		return name, false
	}
	to := r.To
	for i, g := range groups {
		to = strings.ReplaceAll(to, "{"+strconv.Itoa(i)+"}", g)
		if len(to) > maxPattern {
			break // no name is that long
		}
	}
	return to, true
}

func (r Rewrite) String() string {
	return "rewrite " + r.Field + " " + strings.TrimSpace(cmp.Or(r.Match, "")+" "+r.From+" "+r.To)
}

// rewritten applies rules to a name one after the other, up to the first
// that stops. It returns the rules that applied.
func rewritten(rules []Rewrite, name string) (string, []Rewrite) {
	var applied []Rewrite
	for _, r := range rules {
		to, ok := r.Apply(name)
		if !ok {
			continue
		}
		name = strings.ToLower(to)
		applied = append(applied, r)
		if !r.Continue || !validName(name) {
			break
		}
	}
	return name, applied
}
