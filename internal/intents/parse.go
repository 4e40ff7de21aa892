package intents

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/hopwise/hopwise/internal/facts"
)

// maxText is how many bytes of a message are read. The rest of a longer one
// is somebody's log, not their question.
const maxText = 4_000

// Parse reads a message from which quotes and code were taken out. It never
// fails: words that it does not understand are no request.
func Parse(text string, opt Options) Intent {
	text = clean(text)
	if strings.IndexFunc(text, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) < 0 {
		return none(ReasonEmpty)
	}
	target := findTarget(text)
	from, to, protocol, isPath := findPath(text)
	if isPath {
		if to.Host != "" {
			to.Address = address(text)
		}
		target = to
	}
	said := read(mask(text))
	reason := said.reason(target, opt)
	if isPath && reason == ReasonUnknown && asksPath(text, from, to, opt) {
		reason = ReasonTopic
	}
	switch reason {
	case ReasonSymptom, ReasonTopic, ReasonMention:
		in := Intent{Request: true, Layers: layers(said.live()), Target: target, From: from, Protocol: protocol, Reason: reason}
		if !isPath {
			var lookup string
			lookup, in.From = findLookup(text, target, in.Layers)
			in.Target = wanted(target, in.From, lookup)
			in.Target.Lookup = lookup
		}
		in.Symptom = symptomOf(text, in.Layers)
		return in
	}
	return none(reason)
}

func none(reason string) Intent { return Intent{Layers: []facts.Layer{}, Reason: reason} }

var (
	slackLink  = regexp.MustCompile(`<(https?://[^|>\s]+)(?:\|[^>]*)?>`)
	slackRef   = regexp.MustCompile(`<[@#!][^>]*>`)
	emojiNames = regexp.MustCompile(`(^|\s):[a-z][a-z0-9_+-]*:`)
)

// clean brings text into the form that the rules are written for: lower
// case, composed Hangul, plain width, straight quotes, no invisible
// characters, no Slack markup.
func clean(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
		for len(text) > 0 && !utf8.RuneStart(text[len(text)-1]) {
			text = text[:len(text)-1]
		}
	}
	text = strings.ToLower(norm.NFKC.String(strings.ToValidUTF8(text, " ")))
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '’' || r == '‘' || r == '`':
			return '\''
		case r == '\n':
			return r
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r): // zero-width and direction marks
			return -1
		}
		return r
	}, text)
	text = slackLink.ReplaceAllString(text, "$1 ")
	text = slackRef.ReplaceAllString(text, " ")
	return strings.TrimSpace(emojiNames.ReplaceAllString(text, "$1 "))
}

// A clause is a part of a message that is true or dismissed as a whole.
type clause struct {
	text    string // without what it denies
	dismiss string // reason to leave it out, "" for none
	denied  bool   // something in it was denied
	symptom bool
	topic   bool
	trouble bool
}

// A reading is a message, clause by clause.
type reading []clause

func read(text string) reading {
	var r reading
	for _, part := range clauseEnd.Split(text, -1) {
		if part = strings.TrimSpace(part); part != "" {
			r = append(r, readClause(part))
		}
	}
	// "We had a network issue. It is fixed now." takes back what came before.
	for i, c := range r {
		if c.dismiss == ReasonResolved && !c.symptom && !c.topic {
			for j := range r[:i] {
				r[j].dismiss = ReasonResolved
			}
		}
	}
	return r
}

func readClause(text string) clause {
	c := clause{text: text}
	if !koreanQuestion.MatchString(text) && koreanDenial.MatchString(text) {
		c.dismiss = ReasonNegated
	}
	rest := denial.ReplaceAllString(text, " ")
	c.denied = rest != text
	c.text = rest
	c.symptom = matchAny(symptoms, rest)
	c.topic = topic.MatchString(rest)
	c.trouble = trouble.MatchString(rest)
	switch {
	case c.dismiss != "":
	case over.MatchString(text) && !notOver.MatchString(text):
		c.dismiss = ReasonResolved
	case elsewhere.MatchString(text), about.MatchString(text) && !goingOn.MatchString(text):
		c.dismiss = ReasonChatter
	}
	return c
}

// reason is the rule that decides about the whole message.
func (r reading) reason(target facts.Target, opt Options) string {
	var dismissed string
	known := false
	for i, c := range r {
		if c.dismiss != "" {
			dismissed = cmp.Or(dismissed, c.dismiss)
			continue
		}
		if c.denied {
			dismissed = cmp.Or(dismissed, ReasonNegated)
		}
		if c.symptom {
			return ReasonSymptom
		}
		if c.topic && r.troubleNear(i) || target.Host != "" && hostTrouble.MatchString(c.text) {
			return ReasonTopic
		}
		known = known || c.topic || c.trouble || asks.MatchString(c.text)
	}
	switch {
	case len(r) == 0:
		return ReasonEmpty
	case dismissed != "":
		return dismissed
	case opt.Mention && (known || !target.IsZero()):
		return ReasonMention
	case help.MatchString(r.live()):
		return ReasonHelp
	}
	return ReasonUnknown
}

// troubleNear reports whether clause i, or one beside it, tells of trouble or
// asks to look.
func (r reading) troubleNear(i int) bool {
	return slices.ContainsFunc(r[max(0, i-1):min(len(r), i+2)], func(c clause) bool {
		return c.dismiss == "" && (c.trouble || looks.MatchString(c.text))
	})
}

// live is the text that was not dismissed.
func (r reading) live() string {
	var parts []string
	for _, c := range r {
		if c.dismiss == "" {
			parts = append(parts, c.text)
		}
	}
	return strings.Join(parts, "\n")
}

// layers ranks the layers by the weight of the words that point to them, then
// by which is named first. Words that merely go along with every fault, such
// as "timeout", do not add a layer to one that is named.
func layers(text string) []facts.Layer {
	weight, first := map[facts.Layer]int{}, map[facts.Layer]int{}
	for _, p := range pointers {
		at := p.words.FindStringIndex(text)
		if at == nil {
			continue
		}
		if old, ok := first[p.layer]; !ok || at[0] < old {
			first[p.layer] = at[0]
		}
		weight[p.layer] += p.weight
	}
	heaviest := 0
	for _, w := range weight {
		heaviest = max(heaviest, w)
	}
	list := []facts.Layer{}
	for _, l := range facts.Layers {
		if weight[l] > 1 || weight[l] > 0 && heaviest == 1 {
			list = append(list, l)
		}
	}
	slices.SortStableFunc(list, func(a, b facts.Layer) int {
		return cmp.Or(cmp.Compare(weight[b], weight[a]), cmp.Compare(first[a], first[b]))
	})
	return list
}

func matchAny(list []*regexp.Regexp, s string) bool {
	return slices.ContainsFunc(list, func(re *regexp.Regexp) bool { return re.MatchString(s) })
}
