package intents

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// An end of a path in a sentence: "the cart pods", "svc/payments:8080",
// "payments service on port 80", "the internet".
const (
	endKind = `pods?|services?|svc|deployments?|deploy|nodes?|hosts?|파드|서비스|디플로이먼트`
	end     = `(?:the |our |my |a )?(?:(` + endKind + `) )?["']?(internet|control plane|api ?server|인터넷|[a-z0-9\[][a-z0-9./:\]-]*[a-z0-9\]])["']?(?: (` + endKind + `))?`
	onPort  = `(?:,? (?:on|at|over|using|via))?(?: (?:tcp|udp))?(?: port)? (\d{1,5})\b`
)

var (
	// reaching: "can A reach B", "A can't connect to B", "why does A not reach B".
	reaching = regexp.MustCompile(`(?:^|[\s,(:])` + end + `(?: (?:can|could|cannot|can'?t|couldn'?t|does|doesn'?t|not|no|longer|still|is|was|isn'?t|able|unable|to|fails?|failing|trying|tries|won'?t|be|now|even))* ` +
		`(?:reach(?:ing)?|connect(?:ing)? to|talk(?:ing)? to|call(?:ing)?|access(?:ing)?|get(?:ting)? to|hit(?:ting)?|ping(?:ing)?|curl) ` + end)
	// between: "from A to B", "A -> B".
	between = regexp.MustCompile(`\bfrom ` + end + ` (?:to|into|towards?) ` + end)
	arrow   = regexp.MustCompile(`(?:^|[\s,(:])` + end + ` ?(?:->|=>|→) ?` + end)
	// korean: "A에서 B로".
	korean = regexp.MustCompile(`(?:^|[\s,(])` + end + `에서 ?` + end + `(?:으로|로|까지|에|을|를|와|과)?`)

	// carried are words without which "from A to B" is a journey or a release.
	carried = words(`connect`, `reach`, `network`, `traffic`, `\bpath\b`, `\broute\b`, `\brequests?\b`, `\bcalls?\b`, `\bpackets?\b`, `time-?outs?`, `timed out`, `refused`, `\bping\b`, `\bcurl\b`, `\btelnet\b`, `\bdns\b`, `\baccess`, `\bblocked\b`, `연결`, `통신`, `접속`, `접근`, `도달`, `호출`, `트래픽`, `타임\s?아웃`, `요청`, `안\s?(?:가|돼|되|됨|됩|붙)`)

	// wonders: somebody asks, or says that it fails.
	wonders = regexp.MustCompile(`\b(?:can|could|cannot|can'?t|couldn'?t|does|doesn'?t|unable|not able|why|fails?|failing)\b`)

	portWords = regexp.MustCompile(onPort)
	udpWord   = regexp.MustCompile(`\budp\b`)
	tcpWord   = regexp.MustCompile(`\btcp\b`)
)

// findPath returns both ends of a path that the text asks about. It is not ok
// when one of them is no name: "can we reach payments" asks about payments.
func findPath(text string) (from, to facts.Target, protocol string, ok bool) {
	for _, p := range []struct {
		re   *regexp.Regexp
		need *regexp.Regexp
	}{{reaching, nil}, {arrow, nil}, {between, carried}, {korean, carried}} {
		if p.need != nil && !p.need.MatchString(text) {
			continue
		}
		for _, at := range p.re.FindAllStringSubmatchIndex(text, 4) {
			part := func(i int) string {
				if at[2*i] < 0 {
					return ""
				}
				return text[at[2*i]:at[2*i+1]]
			}
			from, okFrom := endOf(part(1), part(2), part(3))
			to, okTo := endOf(part(4), part(5), part(6))
			if !okFrom || !okTo || strings.HasSuffix(text[:at[0]], " in") {
				continue
			}
			rest := text[at[1]:]
			if m := portWords.FindStringSubmatch(rest); m != nil && to.Port == 0 && strings.HasPrefix(rest, m[0]) {
				to.Port = port(m[1])
			}
			return from, to, protocolIn(rest), true
		}
	}
	return facts.Target{}, facts.Target{}, "", false
}

func protocolIn(rest string) string {
	switch {
	case udpWord.MatchString(rest):
		return "udp"
	case tcpWord.MatchString(rest):
		return "tcp"
	}
	return ""
}

// notEnds are words that stand where an end could and are none.
var notEnds = set(`nothing nobody none something anything everything everyone everybody anyone anybody somebody someone people person stuff things thing
	traffic requests request calls call packets packet clients client connection connections version release prod-like out point agreement
	failed failing fails error errors timeout timeouts refused webhook webhooks`)

// asksPath reports whether the words alone make a request of a path: plain
// ones do so when they address the bot, others when an end is spelled out.
func asksPath(text string, from, to facts.Target, opt Options) bool {
	spelled := func(t facts.Target) bool { return t.Kind != "" || t.Namespace != "" || t.Port != 0 }
	return wonders.MatchString(text) && (opt.Mention || spelled(from) || spelled(to))
}

// pathKinds are the kinds of ends, by the words for them.
var pathKinds = map[string]string{
	"pod": reach.KindPod, "파드": reach.KindDeployment, "pods": reach.KindDeployment, "service": reach.KindService, "services": reach.KindService, "svc": reach.KindService, "서비스": reach.KindService,
	"deployment": reach.KindDeployment, "deployments": reach.KindDeployment, "deploy": reach.KindDeployment, "디플로이먼트": reach.KindDeployment,
	"node": reach.KindNode, "nodes": reach.KindNode,
}

// endOf reads one end. A word of the language, or one that could be anything,
// is none.
func endOf(before, word, after string) (facts.Target, bool) {
	switch word {
	case "internet", "인터넷":
		return facts.Target{Kind: reach.KindInternet}, true
	case "control plane", "apiserver", "api server":
		return facts.Target{Kind: reach.KindControlPlane}, true
	}
	t, err := reach.ParseEnd(word)
	if err != nil || t.Namespace != "" && notPairs[t.Namespace+"/"+t.Name] {
		return facts.Target{}, false
	}
	for _, kind := range []string{before, after} {
		if k := pathKinds[kind]; k != "" && t.Kind == "" {
			t.Kind = k
		}
	}
	if t.Host != "" {
		_, noIP := netip.ParseAddr(t.Host)
		_, noBlock := netip.ParsePrefix(t.Host)
		return t, noIP == nil || noBlock == nil || isHost(t.Host) || strings.Contains(t.Host, ".svc")
	}
	return t, isName(t.Name) && !notEnds[t.Name] && (t.Namespace == "" || isName(t.Namespace))
}
