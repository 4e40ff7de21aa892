package intents

import (
	"regexp"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/facts"
)

// dnsName is a name as a person or a program gives it to a resolver: one
// label or many. Labels may begin with an underscore, as those of SRV records.
const dnsName = `["'“(<]{0,2}((?:[a-z0-9_][a-z0-9_.-]*)?[a-z0-9])\.?["'”)>]{0,2}`

// lookups are the words around a name that does not resolve: messages of Go,
// glibc, musl, Node, Java, Python and curl, and what people write.
var lookups = []*regexp.Regexp{
	regexp.MustCompile(`\blookup ` + dnsName + `(?: on\b| in\b|:|$)`),                // Go, and kubelet
	regexp.MustCompile(`\b(?:enotfound|eai_again|eai_nodata|eai_noname) ` + dnsName), // Node
	regexp.MustCompile(`\bunknown ?host(?:exception)?:? ` + dnsName),                 // Java
	regexp.MustCompile(`\b(?:not|n'?t|unable to|fail\w* to|cannot) resolve (?:the )?(?:host:? |hostname:? |name:? |domain:? )?` + dnsName),
	regexp.MustCompile(`\b(?:no such host|bad address|name or service not known|name does not resolve|no address associated with hostname):? ` + dnsName),
	regexp.MustCompile(`(?:nslookup|\bdig|getent hosts)(?: \+\w+| -\S+| @\S+)* ` + dnsName + `(?: @\S+)?(?:,? (?:fail|return|give|time|say|does|answer|hang|show|->)|:|$)`),
	regexp.MustCompile(`(?:nslookup|\bdig|getent hosts|\bhost|\bresolve)(?: \+\w+| -\S+| @\S+)* ["'“]?([a-z0-9_][a-z0-9_-]*\.[a-z0-9_.-]*[a-z0-9])`),
	regexp.MustCompile(`(?:nxdomain|servfail|refused)\W+(?:\w+ ){0,2}?(?:for|on|resolving|:) ` + dnsName),
	regexp.MustCompile(dnsName + `:? (?:name or service not known|temporary failure in name resolution|no such host|nodename nor servname|server can'?t find)`),
	regexp.MustCompile(`server can'?t find ` + dnsName),
	regexp.MustCompile(dnsName + `(?: \w+)? (?:do(?:es)?(?:n'?t| not)|won'?t|will not|can'?t be|cannot be|fails to|is(?:n'?t| not)|stopped|not) (?:be )?(?:resolv|looked up)`),
	regexp.MustCompile(dnsName + ` ?(?:이|가|은|는|을|를)? ?(?:도메인)?(?:이|가|을|를)? ?(?:해석|조회|안 ?풀|resolve|못 ?찾)`),
}

// asking finds the pods from which a name does not resolve.
var asking = regexp.MustCompile(`\b(?:from|in|inside|on)(?: the| our| my)? (?:pods? )?["']?(?:pod/)?(` + label + `(?:/` + label + `)?)["']?(?: (?:pods?|deployment|service|app|container))?\b`)

// findLookup returns the name that does not resolve, as it was typed, and the
// pods that ask for it. A dotted name of the sentence is it when the words
// are about DNS and name no other.
func findLookup(text string, target facts.Target, layers []facts.Layer) (name string, from facts.Target) {
	if !slices.Contains(layers, facts.DNS) {
		return "", from
	}
	for _, re := range lookups {
		for _, m := range re.FindAllStringSubmatch(text, 4) {
			if isLookup(m[1]) {
				return m[1], asker(text, m[1])
			}
		}
	}
	if layers[0] != facts.DNS {
		return "", from
	}
	if m := serviceName.FindString(text); m != "" {
		name, _, _ = strings.Cut(strings.TrimSuffix(m, "."), ":")
		return name, asker(text, name)
	}
	if target.Host != "" && strings.ContainsFunc(target.Host, isLetter) {
		return target.Host, asker(text, target.Host)
	}
	return "", from
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' }

// isLookup reports whether word is a name: dotted ones nearly always are, of
// others those that are no words of the language.
func isLookup(word string) bool {
	if len(word) > 253 || strings.Contains(word, "..") {
		return false
	}
	if strings.Contains(word, ".") {
		first, _, _ := strings.Cut(word, ".")
		return strings.ContainsFunc(word[strings.LastIndexByte(word, '.'):], isLetter) && !notNames[first]
	}
	return isName(word) && !resolverWords[word]
}

// resolverWords stand beside such messages and are no names.
var resolverWords = set(`host hosts hostname hostnames name names domain domains address addresses anything nothing everything something names external internal exception error query queries lookup lookups record records image registry server servers resolver resolvers getaddrinfo resolution pods properly correctly fails failed failing ok fine well intermittently randomly sometimes because when via using times out returns gives route route53 cluster clusters production prod staging everywhere laptop mac machine workstation desktop office home elsewhere bastion`)

// wanted is what a question about a name is about: the host, and not the pods
// that ask for it.
func wanted(t, from facts.Target, lookup string) facts.Target {
	if t.Name != "" && t.Name == from.Name && isHost(lookup) {
		return facts.Target{Kind: "host", Host: lookup}
	}
	return t
}

// asker finds "from the cart pods", unless the words name what is looked up,
// or else "in namespace shop".
func asker(text, name string) facts.Target {
	for _, m := range asking.FindAllStringSubmatch(text, 4) {
		ns, pod, ok := strings.Cut(m[1], "/")
		if !ok {
			ns, pod = "", m[1]
		}
		if pod == name || !isName(pod) || resolverWords[pod] || strings.HasPrefix(name, pod+".") || namespaceIn(text) == pod {
			continue
		}
		kind := "deployment"
		if podName.MatchString(" " + pod + " ") {
			kind = "pod"
		}
		return facts.Target{Namespace: ns, Kind: kind, Name: pod}
	}
	return facts.Target{Namespace: namespaceIn(text)}
}
