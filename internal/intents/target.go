package intents

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hopwise/hopwise/internal/facts"
)

// label is a DNS label (RFC 1123), as names of Kubernetes objects are.
const label = `[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?`

// kinds are the words for kinds of objects, and their names in a Target.
// "checkout pods" names no pod but the Deployment that makes them.
var kinds = map[string]string{
	"svc": "service", "service": "service", "services": "service", "서비스": "service",
	"ing": "ingress", "ingress": "ingress", "ingresses": "ingress", "인그레스": "ingress",
	"po": "pod", "pod": "pod", "파드": "deployment", "pods": "deployment",
	"deploy": "deployment", "deployment": "deployment", "deployments": "deployment", "디플로이먼트": "deployment",
}

const kindWords = `svc|services?|ing|ingress(?:es)?|pods?|po|deploy|deployments?`

var (
	serviceName = regexp.MustCompile(`\b(` + label + `)\.(` + label + `)\.svc(?:\.cluster\.local)?\b\.?(?::(\d{2,5}))?`)
	typed       = regexp.MustCompile(`\b(` + kindWords + `)/(` + label + `)(?::(\d{2,5}))?`)
	kindFirst   = regexp.MustCompile(`\b(svc|service|ingress|pod|deployment)[ :]+["']?(` + label + `)["']?(?::(\d{2,5})\b)?`)
	nameFirst   = regexp.MustCompile(`(?:^|[\s"'(])(` + label + `)["']?\s(services?|ingress|pods|deployment|서비스|인그레스|파드|디플로이먼트)`)
	podName     = regexp.MustCompile(`(?:^|[\s"'(/])(` + label + `-[a-f0-9]{6,10}-[a-z0-9]{5})(?:$|[\s"'),:.?!]|[가-힣])`)
	pair        = regexp.MustCompile(`(?:^|[\s"'(])(` + label + `)/(` + label + `)(?::(\d{2,5}))?(?:$|[\s"'),.?!:]|[가-힣])`)
	hostPort    = regexp.MustCompile(`(?:^|[\s"'(/@])([a-z0-9][a-z0-9.-]{0,252}):(\d{2,5})(?:$|[\s"'),.?!:/]|[가-힣])`)
	hostName    = regexp.MustCompile(`\b` + label + `(?:\.` + label + `)+\b`)
	resolvesTo  = regexp.MustCompile(`\b(?:resolv(?:es|ed|ing)|points?|translates?)(?: \w+)? to ([0-9a-f][0-9a-f.:]*[0-9a-f])`)
	namespace   = []*regexp.Regexp{
		regexp.MustCompile(`(?:^|\s)-n[ =]?(` + label + `)(?:$|[\s,.?!])`),
		regexp.MustCompile(`--namespace[ =](` + label + `)`),
		regexp.MustCompile(`\b(?:ns|namespaces?)/(` + label + `)`),
		regexp.MustCompile(`(?:^|[\s"'(])(` + label + `)["']?(?:\s+(?:namespace|ns)\b|\s?네임스페이스)`),
		regexp.MustCompile(`(?:\b(?:namespace|ns)|네임스페이스)[ :=]+["']?(` + label + `)`),
		regexp.MustCompile(`\b(kube-system)\b`),
		regexp.MustCompile(`\b(?:issues?|errors?|problems?|failures?|pods|services|everything|connectivity) in ["']?(` + label + `)["']?(?:$|[\s,.?!])`),
	}
)

// notNames are words that stand where a name could.
var notNames = set(`calls call requests request traffic a an the this that these those our my your his their its all any some no every each both one two three other another new old same different
	is are was were be been has have had does do did can could will would should may might must not and or but if so as at by for from in into of off on onto out over to up with without within
	it he she they we you i me us them who which what where when why how there here than then now still again just only also even very too
	pending running stuck failing broken down slow unhealthy healthy unreachable empty missing internal external public private backend upstream downstream target
	cluster clusters network networking dns route-53 alb nlb elb load balancer lb security group groups policy selector selectors account accounts name names discovery mesh endpoint endpoints port ports type class controller controllers resource resources rule rules ip ips object objects
	kubernetes k8s eks aws default-backend nginx many few several most more half between inside via per like because after before since during until while
	returns return returning gives giving gets get getting shows throws responds serves goes keeps says seems looks cannot can't never always temporarily discovery unavailable account
	prod production staging stage dev development test qa uat today yesterday monday tuesday wednesday thursday friday morning general particular case fact place region zone zones az vpc subnet subnets node nodes namespace namespaces ns pod pods service services svc ingress ingresses deployment deployments host hosts
	please check see hi hey hello team status restart restarts logs log events event crashlooping crashloopbackoff timeout timeouts issue issues error errors problem problems customers customer user users sandbox network-policy`)

// notPairs are words with a slash that name no object.
var notPairs = set(`i/o n/a and/or tcp/udp udp/tcp on/off read/write client/server http/https http/2 ci/cd tls/ssl ssl/tls east/west yes/no up/down alb/nlb nlb/alb ingress/egress egress/ingress disconnect/reset dns/network network/dns l3/l4 l4/l7 src/dst in/out w/o`)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// goal is where a sentence begins to say what is to be reached; what it says
// before is where the traffic comes from.
var goal = regexp.MustCompile(`\b(?:reach(?:ing)?|connect(?:ing)? to|talk(?:ing)? to|call(?:ing)?|access(?:ing)?|hit(?:ting)?)\b|->|→`)

// findTarget returns what the text names; of two ends of a path, the far one.
func findTarget(text string) facts.Target {
	var t facts.Target
	if at := goal.FindStringIndex(text); at != nil {
		t = named(text[at[1]:])
	}
	if t.IsZero() {
		t = named(text)
	}
	if t.Namespace == "" && t.Host == "" {
		t.Namespace = namespaceIn(text)
	}
	if t.Host != "" {
		t.Address = address(text)
	}
	return t
}

// named finds an object or a host, the surest form first.
func named(text string) facts.Target {
	if m := serviceName.FindStringSubmatch(text); m != nil {
		return facts.Target{Namespace: m[2], Kind: "service", Name: m[1], Port: port(m[3])}
	}
	if m := typed.FindStringSubmatch(text); m != nil {
		kind := kinds[m[1]]
		if m[1] == "pods" { // here it is kubectl's name for the kind
			kind = "pod"
		}
		return facts.Target{Kind: kind, Name: m[2], Port: port(m[3])}
	}
	if t, ok := host(text); ok {
		return t
	}
	for _, m := range podName.FindAllStringSubmatch(text, 4) {
		return facts.Target{Kind: "pod", Name: m[1]}
	}
	for _, m := range kindFirst.FindAllStringSubmatch(text, 4) {
		if isName(m[2]) {
			return facts.Target{Kind: kinds[m[1]], Name: m[2], Port: port(m[3])}
		}
	}
	for _, m := range nameFirst.FindAllStringSubmatch(text, 4) {
		if isName(m[1]) {
			return facts.Target{Kind: kinds[m[2]], Name: m[1]}
		}
	}
	return pairOrPort(text)
}

// pairOrPort finds namespace/name and name:port.
func pairOrPort(text string) facts.Target {
	for _, m := range pair.FindAllStringSubmatch(text, 8) {
		if !notPairs[m[1]+"/"+m[2]] && isName(m[1]) && isName(m[2]) {
			return facts.Target{Namespace: m[1], Name: m[2], Port: port(m[3])}
		}
	}
	for _, m := range hostPort.FindAllStringSubmatch(text, 8) {
		if isName(m[1]) && !strings.Contains(m[1], ".") {
			return facts.Target{Name: m[1], Port: port(m[2])}
		}
	}
	return facts.Target{}
}

// host finds a host name of the world, or the address that is called.
func host(text string) (facts.Target, bool) {
	for _, at := range hostName.FindAllStringIndex(text, 16) {
		name := text[at[0]:at[1]]
		if !isHost(name) || at[0] > 0 && text[at[0]-1] == '@' {
			continue
		}
		t := facts.Target{Kind: "host", Host: name}
		if m := hostPort.FindStringSubmatch(text[at[0]:]); m != nil && m[1] == name {
			t.Port = port(m[2])
		}
		return t, true
	}
	for _, m := range hostPort.FindAllStringSubmatch(text, 8) {
		if _, err := netip.ParseAddr(m[1]); err == nil && m[2] != "53" { // of a name server, the name that it was asked matters
			return facts.Target{Kind: "host", Host: m[1], Port: port(m[2])}, true
		}
	}
	return facts.Target{}, false
}

// address finds what a host is said to resolve to.
func address(text string) string {
	for _, m := range resolvesTo.FindAllStringSubmatch(text, 4) {
		if ip, err := netip.ParseAddr(m[1]); err == nil {
			return ip.String()
		}
	}
	return ""
}

// ends are the last labels that make dotted words a host: not a file, not a
// version, not two sentences without a space between them.
var ends = set(`com net org io dev app co kr internal local cloud ai me us uk de jp eu fr ca au in xyz info biz tech shop store site online example localhost corp lan gov edu tv`)

func isHost(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	first, _, _ := strings.Cut(name, ".")
	if last == "local" && !strings.Contains(name, "-") && !strings.HasSuffix(name, "cluster.local") && strings.Count(name, ".") < 2 {
		return false
	}
	return ends[last] && !notNames[first]
}

func namespaceIn(text string) string {
	for _, re := range namespace {
		for _, m := range re.FindAllStringSubmatch(text, 4) {
			if isName(m[1]) {
				return m[1]
			}
		}
	}
	return ""
}

// isName reports whether a word can be the name of an object: it has a
// letter and is no word of the language.
func isName(word string) bool {
	return !notNames[word] && strings.ContainsFunc(word, func(r rune) bool { return r >= 'a' && r <= 'z' }) && !slices.Contains([]string{"s", "t", "re", "ve"}, word)
}

// port reads a port number; 0 for none.
func port(s string) int32 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0
	}
	return int32(n)
}
