package slackui

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hopwise/hopwise/internal/facts"
)

// maxInsert is how many characters of one inserted text are shown.
const maxInsert = 1500

// zeroWidth stands between the marks of a broken up code fence.
const zeroWidth = "\u200b"

var (
	entityOut = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	ticks     = regexp.MustCompile("`{3,}")
)

// breakFences puts a zero-width space between the back quotes of code fences.
func breakFences(s string) string {
	return ticks.ReplaceAllStringFunc(s, func(run string) string {
		return strings.TrimSuffix(strings.Repeat("`"+zeroWidth, len(run)), zeroWidth)
	})
}

// Escape makes s safe inside mrkdwn text and inside a code block of it:
// credentials, control and bidi characters are removed, code fences broken
// up, s is capped, and Slack's own marks become entities, so that no log line
// can mention a channel or dress a link up.
func Escape(s string) string { return escape(s, maxInsert) }

// escape is Escape with a cap of its own, in characters before escaping: the
// cap cannot cut an entity then.
func escape(s string, limit int) string {
	return literal(Plain(s, limit))
}

// literal is plain text as mrkdwn that shows the same.
func literal(s string) string { return entityOut.Replace(breakFences(s)) }

// Plain makes s safe in a plain_text object or a table cell, where nothing is
// interpreted: without credentials and invisible characters, at most limit
// characters long.
func Plain(s string, limit int) string {
	return ellipsis(facts.Redact(near(visible(s), 4*limit+1000)), limit)
}

// near cuts s to limit bytes, far beyond what will be shown, so that a log of
// megabytes costs no more than its start. It cuts between words: half a
// credential would not be known as one.
func near(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	s = strings.ToValidUTF8(s[:limit], "")
	if i := strings.LastIndexAny(s, " \n"); i > 0 {
		s = s[:i]
	}
	return s + " …"
}

// line is Plain without line breaks.
func line(s string, limit int) string {
	return Plain(strings.Join(strings.Fields(s), " "), limit)
}

// inline is escape without line breaks.
func inline(s string, limit int) string {
	return escape(strings.Join(strings.Fields(s), " "), limit)
}

// code is s as inline code. A back quote would end it early, so it becomes
// the letter that looks like it.
func code(s string) string {
	s = strings.ReplaceAll(s, "`", "ˋ")
	if s = inline(s, 300); s == "" {
		return "–"
	}
	return "`" + s + "`"
}

// fence is s as a code block, at most limit characters of it.
func fence(s string, limit int) string {
	s = escape(s, limit)
	if strings.HasPrefix(s, "`") {
		s = zeroWidth + s
	}
	if strings.HasSuffix(s, "`") {
		s += zeroWidth
	}
	return "```" + s + "```"
}

// ellipsis cuts s to limit characters.
func ellipsis(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	r := []rune(s)
	return strings.TrimRightFunc(string(r[:max(limit-1, 0)]), unicode.IsSpace) + "…"
}

// visible removes what a reader cannot see and a terminal or a browser acts
// on: control, zero-width, bidi and other format characters, and bytes that
// are no UTF-8. Line breaks and tabs stay, the latter as spaces.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r == '\u2028', r == '\u2029', r == '\u0085':
			return '\n'
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r):
			return -1
		case r == '\u034f', r == '\u115f', r == '\u1160', r == '\u3164', r == '\uffa0': // fillers: letters without ink
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

var (
	userID   = regexp.MustCompile(`^[UW][A-Z0-9]{1,30}$`)
	mentions = regexp.MustCompile(`^<(@[UW][A-Z0-9]{1,30}|!subteam\^S[A-Z0-9]{1,30})(\|[^<>|&]{0,80})?>$`)
)

// mention names a user so that Slack shows the name; anything that is no user
// id is shown as it is.
func mention(user string) string {
	if userID.MatchString(user) {
		return "<@" + user + ">"
	}
	if user == "" {
		return "someone"
	}
	return code(user)
}

// mentionList joins mentions that a policy made; what is no mention of a user
// or a user group is shown as text.
func mentionList(list []string) string {
	out := make([]string, 0, len(list))
	for _, m := range list {
		if mentions.MatchString(m) {
			out = append(out, m)
		} else {
			out = append(out, mention(m))
		}
	}
	return strings.Join(out, ", ")
}
