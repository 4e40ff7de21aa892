package dns

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hopwise/hopwise/internal/facts"
)

// A logClass says what a line of CoreDNS or of the cache on the nodes is about.
type logClass string

// The classes. A line has one of them; lines that tell nothing have none.
const (
	logTimeout      logClass = "timeout"            // an upstream did not answer in time
	logRefused      logClass = "upstream refused"   // the upstream's port is closed: "connection refused"
	logUnreachable  logClass = "unreachable"        // no route to the upstream
	logNoHealthy    logClass = "no healthy proxies" // all upstreams failed their health checks
	logConcurrent   logClass = "max concurrent"     // more queries under way than forward's max_concurrent
	logPluginError  logClass = "plugin error"       // another error of a plugin while it answered
	logServFail     logClass = "SERVFAIL"           // an answer, as the log plugin writes it
	logRefusedReply logClass = "REFUSED"            // likewise
	logNXDomain     logClass = "NXDOMAIN"           // likewise
	logLoop         logClass = "loop"               // the loop plugin saw its own query and ends the process
	logParse        logClass = "parse error"        // the Corefile is not taken at start; the process ends
	logReloadFailed logClass = "reload failed"      // a changed Corefile is not taken; the old one stays
	logReloaded     logClass = "configuration"      // took a Corefile, at start or by a reload
	logUnsynced     logClass = "unsynced"           // starts to serve before it knows the cluster's names
	logAPI          logClass = "API unreachable"    // a list or watch of the API server fails in its connection
	logUnauthorized logClass = "unauthorized"       // the API server does not take its token
	logForbidden    logClass = "forbidden"          // RBAC refuses a list or watch
	logWatch        logClass = "watch failed"       // a list or watch fails, and the line does not say why (1.9.4 to 1.13)
	logWaiting      logClass = "not ready"          // its own readiness: the kubernetes plugin has not synced
	logSlowHealth   logClass = "slow health"        // its own health request took more than 1s: overloaded
	logLameduck     logClass = "lameduck"           // a process that ends still answers for a while
	logPanic        logClass = "panic"
	logSetup        logClass = "node-cache setup" // interface, rules or configuration of the cache on a node
)

// A logLine is one line that has a class.
type logLine struct {
	class    logClass
	at       time.Time // zero when the line does not tell
	pod      string    // namespace/name
	previous bool      // of the instance that ended before this one
	count    int       // errors that it stands for: the errors plugin consolidates
	upstream string    // address:port, where the line tells
	name     string    // what was asked for, with the last dot, where the line tells
	qtype    string    // A, AAAA ..., likewise
	zone     string    // of a loop: the zone of the server block
	resource string    // of a list or watch that failed: endpointslices, services ...
	text     string    // the line without its time, redacted by the collector
}

// logs are lines of one or more containers, in the order of each container.
type logs []logLine

// coreDNSLogs are the lines of the CoreDNS pods, nodeCacheLogs those of the
// cache on the nodes.
func coreDNSLogs(v *facts.View) logs { return readLogs(v, "coredns", "coredns-") }
func nodeCacheLogs(v *facts.View) logs {
	return readLogs(v, "node-cache", "node-local-dns", "nodelocaldns")
}

// readLogs are the lines of a container of kube-system, or of its only pods
// by their name where the container is called otherwise.
func readLogs(v *facts.View, container string, pods ...string) logs {
	return facts.Memo(v, facts.PodLogs, "dns: log of "+container, func(list []facts.PodLog) logs {
		var out logs
		for _, l := range list {
			named := slices.ContainsFunc(pods, func(prefix string) bool { return strings.HasPrefix(l.Name, prefix) })
			if l.Namespace != system || l.Container != container && !named {
				continue
			}
			out = append(out, parseLog(l.Namespace+"/"+l.Name, l.Previous, true)...)
			out = append(out, parseLog(l.Namespace+"/"+l.Name, l.Text, false)...)
		}
		return slices.Clip(out)
	})
}

func parseLog(pod, text string, previous bool) logs {
	var out logs
	for raw := range strings.Lines(text) {
		at, rest := lineTime(strings.TrimRight(raw, "\r\n"))
		if l, ok := classify(rest); ok {
			l.at, l.pod, l.previous, l.text = at, pod, previous, rest
			l.count = max(l.count, 1)
			out = append(out, l)
		}
	}
	return out
}

// lineTime cuts the time off a line: kubectl's, then CoreDNS's own, which its
// versions before 1.5 wrote as well.
func lineTime(s string) (time.Time, string) {
	var at time.Time
	for range 2 {
		word, rest, ok := strings.Cut(s, " ")
		t, err := time.Parse(time.RFC3339Nano, word)
		if !ok || err != nil {
			break
		}
		if at.IsZero() {
			at = t
		}
		s = rest
	}
	return at, s
}

// The forms of lines (coredns/coredns plugin/errors, plugin/log and
// plugin/loop; github.com/coredns/caddy's parser; client-go's reflector, which
// the kubernetes plugin writes under its own name since 1.8 and klog under its
// own before).
var (
	errorsLine  = regexp.MustCompile(`plugin/errors: (\d+) (\S+) (\S+): (.*)$`)
	errorsMany  = regexp.MustCompile(`plugin/errors: (\d+) errors like '(.*)' occurred in last`)
	answerLine  = regexp.MustCompile(`^\[INFO\] \S+ - \d+ "(\S+) \S+ (\S+) [^"]*" ([A-Z]+) `)
	loopLine    = regexp.MustCompile(`plugin/loop: Loop \(.*?\) detected for zone "([^"]*)"`)
	toUpstream  = regexp.MustCompile(`->(\S+?:\d+): |\bdial (?:udp|tcp) (\S+?:\d+): `)
	parseLine   = regexp.MustCompile(`Corefile:\d+ - (?:Error during parsing|Syntax error)|^plugin/[a-z0-9_]+: `)
	watchedKind = regexp.MustCompile(`(?:[Ff]ailed to (?:list|watch)) \*(?:v\w+|api)\.(\w+)`)
	bareWatch   = regexp.MustCompile(`plugin/kubernetes: Failed to (?:watch|list)\s*$`)
	forbidden   = regexp.MustCompile(`\b([a-z]+)(?:\.[a-z0-9.]+)? is forbidden: User `)
)

// classify says what a line without its time is about.
func classify(s string) (logLine, bool) {
	switch {
	case strings.Contains(s, "plugin/errors: "):
		return classifyError(s)
	case strings.HasPrefix(s, "[INFO] ") && strings.Contains(s, `" `):
		return classifyAnswer(s)
	case strings.Contains(s, "plugin/loop: Loop ("):
		l := logLine{class: logLoop}
		if m := loopLine.FindStringSubmatch(s); m != nil {
			l.zone = m[1]
		}
		return l, true
	case strings.Contains(s, " is forbidden: User "):
		l := logLine{class: logForbidden}
		if m := forbidden.FindStringSubmatch(s); m != nil {
			l.resource = m[1]
		}
		return l, true
	}
	for _, f := range fixedLines {
		if strings.Contains(s, f.text) {
			return logLine{class: f.class}, true
		}
	}
	if l, ok := classifyAPI(s); ok {
		return l, true
	}
	return logLine{class: logParse}, parseLine.MatchString(s) // only without a level: what ends the process
}

// fixedLines are told by a text of theirs alone. reload comes before what a
// failed reload quotes.
var fixedLines = []struct {
	text  string
	class logClass
}{
	{"plugin/reload: Corefile changed but reload failed", logReloadFailed},
	{"plugin/reload: Corefile parse failed", logReloadFailed},
	{"plugin/reload: Running configuration", logReloaded},
	{"Failed to trigger CoreDNS reload", logSetup},
	{"starting server with unsynced Kubernetes API", logUnsynced},
	{`plugin/ready: Still waiting on: "kubernetes`, logWaiting},
	{`plugin/ready: Plugins not ready: "kubernetes`, logWaiting},
	{"plugin/health: Local health request to ", logSlowHealth},
	{"Going into lameduck mode", logLameduck},
	{"Recovered from panic in server", logPanic},
	{"panic: ", logPanic},
	{"fatal error: ", logPanic},
	{"Unable to lookup IP address of Upstream service", logSetup},
	{"Failed to add non-existent interface", logSetup},
	{"Error checking dummy device", logSetup},
	{"Error checking/adding iptables rule", logSetup},
	{"Failed to read node-cache coreFile", logSetup},
	{"Failed to write config file", logSetup},
	{"Failed to obtain CacheApp instance", logSetup},
}

// classifyError reads a line of the errors plugin.
func classifyError(s string) (logLine, bool) {
	if m := errorsMany.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1])
		return logLine{class: errorClass(m[2]), count: n}, true
	}
	m := errorsLine.FindStringSubmatch(s)
	if m == nil {
		return logLine{class: logPluginError}, true
	}
	l := logLine{class: errorClass(m[4]), name: m[2], qtype: m[3]}
	if up := toUpstream.FindStringSubmatch(m[4]); up != nil {
		l.upstream = up[1] + up[2]
	}
	return l, true
}

func errorClass(s string) logClass {
	for _, c := range []struct {
		text  string
		class logClass
	}{
		{"i/o timeout", logTimeout},
		{"context deadline exceeded", logTimeout},
		{"connection refused", logRefused},
		{"no route to host", logUnreachable},
		{"network is unreachable", logUnreachable},
		{"operation not permitted", logUnreachable},
		{"no healthy", logNoHealthy},          // "no healthy proxies", "no healthy upstream proxies"
		{"unreachable backend", logNoHealthy}, // the proxy plugin, up to 1.4
		{"concurrent queries exceeded", logConcurrent},
	} {
		if strings.Contains(s, c.text) {
			return c.class
		}
	}
	return logPluginError
}

// classifyAnswer reads a line of the log plugin. Good answers have no class.
func classifyAnswer(s string) (logLine, bool) {
	m := answerLine.FindStringSubmatch(s)
	if m == nil {
		return logLine{}, false
	}
	class := map[string]logClass{"SERVFAIL": logServFail, "REFUSED": logRefusedReply, "NXDOMAIN": logNXDomain}[m[3]]
	return logLine{class: class, qtype: m[1], name: m[2]}, class != ""
}

// classifyAPI reads what client-go says of a list or watch that failed.
func classifyAPI(s string) (logLine, bool) {
	low := strings.ToLower(s)
	if !strings.Contains(low, "failed to list") && !strings.Contains(low, "failed to watch") && !strings.Contains(s, "plugin/kubernetes: ") {
		return logLine{}, false
	}
	l := logLine{}
	if m := watchedKind.FindStringSubmatch(s); m != nil {
		l.resource = strings.ToLower(m[1])
	}
	if m := toUpstream.FindStringSubmatch(s); m != nil {
		l.upstream = m[1] + m[2]
	}
	for _, f := range apiFailures {
		if strings.Contains(low, f.text) {
			l.class = f.class
			break
		}
	}
	if l.class == "" && bareWatch.MatchString(s) {
		l.class = logWatch
	}
	return l, l.class != ""
}

// apiFailures are what client-go says of the API server, in lower case. An
// answer without a reason, "unknown (get endpointslices...)", is how older
// versions print a refusal.
var apiFailures = []struct {
	text  string
	class logClass
}{
	{"unauthorized", logUnauthorized},
	{"asked for the client to provide credentials", logUnauthorized},
	{": unknown (get ", logForbidden},
	{"i/o timeout", logAPI},
	{"connection refused", logAPI},
	{"no route to host", logAPI},
	{"network is unreachable", logAPI},
	{"tls handshake timeout", logAPI},
	{"context deadline exceeded", logAPI},
	{"tls: failed", logAPI},
	{"x509: ", logAPI},
}

// of are the lines that have one of the classes.
func (l logs) of(classes ...logClass) logs {
	return l.where(func(x logLine) bool { return slices.Contains(classes, x.class) })
}

// since are the lines at or after t, and those without a time.
func (l logs) since(t time.Time) logs {
	return l.where(func(x logLine) bool { return x.at.IsZero() || !x.at.Before(t) })
}

// current are the lines of the instances that run.
func (l logs) current() logs { return l.where(func(x logLine) bool { return !x.previous }) }

// where are the lines for which keep holds.
func (l logs) where(keep func(logLine) bool) logs {
	var out logs
	for _, x := range l {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}

// A logSum is what lines say together.
type logSum struct {
	count       int      // lines, consolidated errors each
	pods        []string // namespace/name, sorted
	perMinute   float64  // from the first to the last of them; 0 for fewer than two times
	first, last time.Time
	upstreams   []string // the most frequent first
	names       []string // likewise
	zones       []string // likewise
	resources   []string // likewise
	sample      string   // the newest line, without its time
}

// sum adds lines up.
func (l logs) sum() logSum {
	var s logSum
	pods, upstreams, names, zones, resources := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for _, x := range l {
		s.count += x.count
		pods[x.pod] += x.count
		upstreams[x.upstream] += x.count
		names[x.name] += x.count
		zones[x.zone] += x.count
		resources[x.resource] += x.count
		if !x.at.IsZero() && (s.first.IsZero() || x.at.Before(s.first)) {
			s.first = x.at
		}
		if s.sample == "" || !x.at.Before(s.last) {
			s.sample = x.text
		}
		if x.at.After(s.last) {
			s.last = x.at
		}
	}
	if s.last.After(s.first) {
		s.perMinute = float64(s.count) / max(s.last.Sub(s.first).Minutes(), 1)
	}
	s.pods = slices.Sorted(maps.Keys(pods))
	s.upstreams, s.names, s.zones, s.resources = frequent(upstreams), frequent(names), frequent(zones), frequent(resources)
	return s
}

// frequent are the keys of n but for "", the most frequent first.
func frequent(n map[string]int) []string {
	delete(n, "")
	keys := slices.Sorted(maps.Keys(n))
	slices.SortStableFunc(keys, func(a, b string) int { return n[b] - n[a] })
	return keys
}
