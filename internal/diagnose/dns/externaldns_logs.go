package dns

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// A saying is one line of external-dns' log.
type saying struct {
	at       time.Time // zero when the line does not tell
	pod      string
	level    string // debug, info, warning, error, fatal
	text     string
	previous bool // of the instance that ended before this one
}

// parseSayings reads logrus' text and JSON forms; a line of another form, such
// as client-go's, is its own text.
func parseSayings(pod, text string, previous bool) []saying {
	var all []saying
	for raw := range strings.Lines(text) {
		at, rest := lineTime(strings.TrimRight(raw, "\r\n"))
		if rest == "" {
			continue
		}
		s := saying{at: at, pod: pod, text: rest, previous: previous}
		if strings.HasPrefix(rest, "{") {
			s.readJSON(rest)
		} else {
			s.readText(rest)
		}
		all = append(all, s)
	}
	return all
}

func (s *saying) readJSON(line string) {
	var doc struct{ Level, Msg string }
	if json.Unmarshal([]byte(line), &doc) == nil && doc.Msg != "" {
		s.level, s.text = doc.Level, doc.Msg
	}
}

var logrusLevel = regexp.MustCompile(`\blevel=(\w+)`)

func (s *saying) readText(line string) {
	if m := logrusLevel.FindStringSubmatch(line); m != nil {
		s.level = m[1]
	}
	_, msg, ok := strings.Cut(line, " msg=")
	if !ok {
		return
	}
	if quoted, err := strconv.QuotedPrefix(msg); err == nil {
		if text, err := strconv.Unquote(quoted); err == nil {
			s.text = text
		}
		return
	}
	s.text, _, _ = strings.Cut(msg, " ")
}

// A trouble says what a line complains of. The order of the tests matters: a
// batch that is refused for want of a permission is about the permission.
type trouble string

// The troubles.
const (
	noTrouble    trouble = ""
	credentials  trouble = "credentials" // IAM refuses, or there is no identity to ask it with
	throttling   trouble = "throttling"
	batchRefused trouble = "batch"
	otherTrouble trouble = "other" // a sync or a start that failed for another reason
)

// The forms of lines (kubernetes-sigs/external-dns provider/aws, controller;
// the errors of aws-sdk-go and aws-sdk-go-v2 that they quote).
var (
	deniedLine = regexp.MustCompile(`not authorized to perform: |AccessDenied|InvalidIdentityToken|ExpiredToken|UnrecognizedClient|SignatureDoesNotMatch|` +
		`WebIdentityErr|NoCredentialProviders|no EC2 IMDS role found|failed to refresh cached credentials|failed to retrieve credentials`)
	throttledLine = regexp.MustCompile(`Throttling(?:Exception)?: |Rate exceeded|due to provider side throttling|PriorRequestNotComplete`)
	batchLine     = regexp.MustCompile(`when submitting change batch: |Failed submitting change |exceeds max batch size`)
	failedLine    = regexp.MustCompile(`(?i)^failed to do run once: |^flag parsing error: |^config validation failed: |is forbidden: User |failed to sync `)
	doneLine      = regexp.MustCompile(`^All records are already up to date|^Reconciliation succeeded after `)
)

// about says what s complains of.
func (s saying) about() trouble {
	switch {
	case s.level == "debug" || s.level == "info" && !throttledLine.MatchString(s.text):
		return noTrouble
	case throttledLine.MatchString(s.text):
		return throttling
	case deniedLine.MatchString(s.text):
		return credentials
	case batchLine.MatchString(s.text):
		return batchRefused
	case strings.Contains(s.text, "failed to submit all changes for the following zones"):
		return noTrouble // sums up what other lines tell
	case s.level == "fatal" || failedLine.MatchString(s.text):
		return otherTrouble
	}
	return noTrouble
}

// patience is for how long a complaint counts when nothing is said after it.
func (p *publisher) patience() time.Duration { return max(15*time.Minute, 3*p.interval()) }

// complaints are p's lines about t that no success of the same pod followed,
// and that are not old, the newest last.
func (p *publisher) complaints(t trouble) []saying {
	var open []saying
	for _, s := range p.says {
		if doneLine.MatchString(s.text) {
			open = slices.DeleteFunc(open, func(o saying) bool { return o.pod == s.pod })
		}
		about := s.about()
		if about != noTrouble && !p.route53() {
			about = otherTrouble // what refuses is not AWS
		}
		if about == t && (s.at.IsZero() || p.at.Sub(s.at) <= p.patience()) {
			open = append(open, s)
		}
	}
	return open
}

// oneLine is a log text for evidence: without line breaks, and not endless.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 600 {
		return string(r[:600]) + "…"
	}
	return s
}

// externalFamilies are the metrics of an external-dns by their names, nil for
// a text that is malformed or of another program.
func externalFamilies(text string) (f family) {
	if !strings.Contains(text, "external_dns_") {
		return nil
	}
	defer func() {
		if recover() != nil { // the parser is another's, and the text a stranger's
			f = nil
		}
	}()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil
	}
	return families
}

// newest is the largest value of a gauge among p's pods, 0 when none told it.
func (p *publisher) newest(metric string) float64 {
	top := 0.0
	for _, f := range p.metrics {
		top = max(top, f.total(metric))
	}
	return top
}

// lastSync is when a pod of p last finished a look at everything; zero when
// no metrics tell.
func (p *publisher) lastSync() time.Time {
	if s := p.newest("external_dns_controller_last_sync_timestamp_seconds"); s > 0 && s < 1e11 {
		return time.Unix(int64(s), 0).UTC()
	}
	return time.Time{}
}
