package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/hopwise/hopwise/internal/golden"
	"github.com/hopwise/hopwise/internal/standin/slack"
	"github.com/hopwise/hopwise/internal/world"
)

// TestConversations plays the transcripts of testdata/conversations: what
// people say and press, and what the bot answers, with the real bot on the
// stand-ins. The script's lines are
//
//	ana: words                says words in #incidents; later lines in the thread
//	bo presses rem.approve    presses the latest button of that kind
//	wait TEXT                 waits until a message of the bot has TEXT in it
//	alone gil: TEXT           waits for a message that only gil sees
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/conversations/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := &play{}
			for line := range strings.Lines(string(a.Comment)) {
				if name, ok := strings.CutPrefix(line, "scenario: "); ok {
					p.theatre = perform(t, strings.TrimSpace(name))
				}
			}
			if p.theatre == nil {
				t.Fatal("the conversation names no scenario")
			}
			for line := range strings.Lines(golden.Read(t, file)["script"]) {
				p.line(strings.TrimSpace(line))
			}
			golden.Check(t, file, golden.Section{Name: "transcript", Data: p.record()})
		})
	}
}

// A play is a conversation under way.
type play struct {
	*theatre
	root string // ts of the question
}

var people = map[string]string{"ana": slack.Ana, "bo": slack.Bo, "gil": slack.Gil, "eve": slack.Eve}

func (p *play) line(line string) {
	p.t.Helper()
	switch who, words, said := strings.Cut(line, ": "); {
	case line == "" || line[0] == '#':
	case strings.HasPrefix(line, "wait "):
		p.waitText(strings.TrimPrefix(line, "wait "))
	case strings.HasPrefix(line, "alone "):
		user := people[strings.TrimPrefix(who, "alone ")]
		p.wait("ephemeral message with "+words, func() bool {
			for _, m := range p.slack.Ephemerals(user) {
				if strings.Contains(show(m), words) {
					return true
				}
			}
			return false
		})
	case strings.Contains(line, " presses "):
		name, action, _ := strings.Cut(line, " presses ")
		p.press(people[name], action)
	case said && people[who] != "":
		if ts := p.slack.Say(people[who], slack.Incidents, p.root, words); p.root == "" {
			p.root = ts
		}
	default:
		p.t.Fatalf("script: cannot read %q", line)
	}
}

// press presses the latest button of a kind.
func (p *play) press(user, action string) {
	p.t.Helper()
	p.waitButton(action)
	all := p.messages()
	for i := len(all) - 1; i >= 0; i-- {
		if strings.Contains(show(all[i]), "["+action+"]") {
			if err := p.slack.Press(user, slack.Incidents, all[i].TS, action); err != nil {
				p.t.Fatal(err)
			}
			return
		}
	}
}

// changing are the parts of a transcript that differ from run to run.
var changing = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`<!date\^\d+\^([^|>]*)\|[^>]*>`), "<time $1>"},
	{regexp.MustCompile("run `[a-z2-7]{16}`"), "run `RUN`"},
	{regexp.MustCompile("(request|proposal) `[a-z0-9-]{16,24}`"), "$1 `ID`"},
	{regexp.MustCompile(`\d+(\.\d+)? (ms|s)\b`), "N $2"},
	{regexp.MustCompile(`\b\d+ API calls`), "N API calls"},
	{regexp.MustCompile(`\b\d+ (clear|checks|more)\b`), "N $1"}, // grow with the catalogue
	{regexp.MustCompile(`(?m)^( *\*Ruled out\* .*\n).*$`), "$1    ..."},
	{regexp.MustCompile(`\b\d\d:\d\d UTC`), "HH:MM UTC"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\dZ`), "HH:MM:SSZ"},
	{regexp.MustCompile(`sgr-[0-9a-f]+`), "sgr-ID"},
	{regexp.MustCompile(`/change/C[0-9a-zA-Z]+`), "/change/ID"},
	{regexp.MustCompile(`rtbassoc-[0-9a-f]+`), "rtbassoc-ID"},
}

// record is the thread as a person would read it, then what single people
// saw.
func (p *play) record() string {
	p.waitText("The report is below") // the last edit of the progress message comes when its turn is
	var b strings.Builder
	for _, m := range p.slack.Messages(slack.Incidents) {
		fmt.Fprintf(&b, "%s\n%s\n\n", p.name(m.User), indent(show(m)))
	}
	for _, who := range []string{"ana", "bo", "gil", "eve"} {
		for _, m := range p.slack.Ephemerals(people[who]) {
			fmt.Fprintf(&b, "to %s alone\n%s\n\n", who, indent(show(m)))
		}
	}
	text := b.String()
	for _, c := range changing {
		text = c.re.ReplaceAllString(text, c.by)
	}
	return strings.TrimRight(text, "\n") + "\n"
}

func (p *play) name(user string) string {
	for name, id := range people {
		if id == user {
			return name
		}
	}
	return "hopwise"
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }

// Every scenario can be asked about in Slack, whatever it holds: the thread
// gets its report, and no message breaks a limit of Slack.
func TestEveryScenarioInSlack(t *testing.T) {
	for _, name := range world.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			th := perform(t, name)
			th.slack.Say(slack.Ana, slack.Incidents, "", "<@"+slack.Bot+"> network issue: "+th.apis.World.Ask)
			th.waitButton("run.evidence")
			for _, c := range th.slack.Calls() {
				if c.Error != "" && c.Error != "ratelimited" {
					t.Errorf("Slack refused %s: %s", c.Method, c.Error)
				}
			}
		})
	}
}

// A Slack that is impatient sends every event again although it was heard:
// one question is still one report.
func TestImpatientSlack(t *testing.T) {
	w, err := world.Load("coredns-scaled-to-zero")
	if err != nil {
		t.Fatal(err)
	}
	th := buildWith(t, w, slack.Options{
		NoRateLimits: true, AckTimeout: time.Nanosecond, RetryDelays: []time.Duration{time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond},
	})
	th.start()
	th.slack.Say(slack.Ana, slack.Incidents, "", "<@"+slack.Bot+"> DNS failure in prod")
	th.waitButton("rem.approve")
	time.Sleep(time.Second) // the last redelivery has come by then
	if n := strings.Count(th.transcript(), "[run.evidence]"); n != 1 {
		t.Errorf("%d reports for one question:\n%s", n, th.transcript())
	}
}
