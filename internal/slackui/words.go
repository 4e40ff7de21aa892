package slackui

import (
	"regexp"
	"strings"
)

// maxAsk is how many characters of a message are read. A question stands at
// its start; what follows is a paste.
const maxAsk = 4000

var (
	codeBlock  = regexp.MustCompile("(?s)```.*?(?:```|$)") // one that is never closed reaches to the end
	inlineCode = regexp.MustCompile("`[^`\n]*`")
	bigQuote   = regexp.MustCompile(`(?ms)^[ ]*(?:&gt;|>){3}.*`)
	quoteLine  = regexp.MustCompile(`(?m)^[ ]*(?:&gt;|>).*$`)
	mark       = regexp.MustCompile(`<([@#!]?)([^<>|\n]*)(?:\|([^<>\n]*))?>`)
	blanks     = regexp.MustCompile(`[ \t]+`)
	blankLines = regexp.MustCompile(`\s*\n\s*`)
	entityIn   = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&") // one pass: "&amp;lt;" stays "&lt;"
)

// askText makes plain words of a message's text: without code and quotes,
// which are not said to the bot, without the mention of the bot, entities and
// marks resolved, invisible characters gone. It reports whether the bot, by
// its user id, is mentioned outside of those.
func askText(raw, bot string) (words string, mentioned bool) {
	s := visible(ellipsisBytes(raw, 16*maxAsk))
	for _, re := range []*regexp.Regexp{codeBlock, inlineCode, bigQuote, quoteLine} {
		s = re.ReplaceAllString(s, " ")
	}
	s = mark.ReplaceAllStringFunc(s, func(m string) string {
		g := mark.FindStringSubmatch(m)
		if g[1] == "@" && g[2] == bot && bot != "" {
			mentioned = true
			return " "
		}
		return markText(g[1], g[2], g[3])
	})
	s = blanks.ReplaceAllString(entityIn.Replace(s), " ")
	s = strings.TrimSpace(blankLines.ReplaceAllString(s, "\n"))
	return atWord(s, maxAsk), mentioned
}

// markText is how Slack shows a mark: <@U1>, <#C1|ops>, <!here>,
// <!subteam^S1|@ops>, <https://a.example|a.example>.
func markText(sign, target, label string) string {
	switch {
	case sign == "@" || sign == "#":
		return sign + strings.TrimPrefix(orElse(label, target), sign)
	case label != "":
		return label
	case sign == "!":
		return "@" + target
	}
	return strings.TrimPrefix(target, "mailto:")
}

// ellipsisBytes cuts s to limit bytes; half a character at the end goes with
// the rest of the bytes that are no UTF-8.
func ellipsisBytes(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit]
}

// atWord cuts s to limit characters, at the end of a word where there is one
// near.
func atWord(s string, limit int) string {
	if runes(s) <= limit {
		return s
	}
	s = string([]rune(s)[:limit])
	if i := strings.LastIndexAny(s, " \n"); i > len(s)/2 {
		s = s[:i]
	}
	return strings.TrimSpace(s)
}
