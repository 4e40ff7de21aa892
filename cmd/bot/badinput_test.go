package main

import (
	"database/sql"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/hopwise/hopwise/internal/standin/slack"
)

// says says a message of Ana's in the incident channel.
func (th *theatre) says(text string) (ts string) {
	return th.slack.Say(slack.Ana, slack.Incidents, "", text)
}

// thread is what the bot said under a message.
func (th *theatre) thread(channel, ts string) string {
	var b strings.Builder
	for _, m := range th.slack.Thread(channel, ts) {
		if m.User == slack.Bot {
			b.WriteString(show(m) + "\n")
		}
	}
	return b.String()
}

// waitThread waits until the bot says a text under a message.
func (th *theatre) waitThread(channel, ts, text string) {
	th.t.Helper()
	th.wait("reply with "+text, func() bool { return strings.Contains(th.thread(channel, ts), text) })
}

// waitAlone waits until a person gets a text that nobody else sees.
func (th *theatre) waitAlone(user, text string) {
	th.t.Helper()
	th.wait("ephemeral message with "+text, func() bool {
		for _, m := range th.slack.Ephemerals(user) {
			if strings.Contains(m.Text+show(m), text) {
				return true
			}
		}
		return false
	})
}

// refusedCalls are the calls that Slack refused, but for its rate limits.
func (th *theatre) refusedCalls() (refused []string) {
	for _, c := range th.slack.Calls() {
		if c.Error != "" && c.Error != "ratelimited" {
			refused = append(refused, c.Method+" "+c.Error)
		}
	}
	return refused
}

// Nothing of this asks for anything: the bot says not a word.
func TestStartsNothing(t *testing.T) {
	t.Parallel()
	th := perform(t, "coredns-scaled-to-zero")
	for _, text := range []string{
		"lunch?",
		"we had a DNS failure yesterday, it is fixed now",
		"there is no network issue",
		":fire: :fire:", "🔥🔥🔥",
		"\u200b\u200d\u202e\u2066",
		"```\nnetwork issue: no such host\n```",
		"`DNS failure`",
		"> DNS failure in prod",
		"> network issue\nthat is what they said last week",
		strings.Repeat("a", 40_000),
	} {
		th.says(text)
	}
	th.slack.Alert(slack.Incidents, "network issue: DNS failure in prod", nil)
	th.slack.Say(slack.Bot, slack.Incidents, "", "DNS failure in prod")
	th.slack.Say(slack.Ana, slack.Random, "", "DNS failure in prod") // the bot is not there

	chat := th.says("good morning")
	if err := th.slack.Edit(slack.Incidents, chat, "DNS failure in prod"); err != nil {
		t.Fatal(err)
	}
	if err := th.slack.Edit(slack.Incidents, chat, "<@"+slack.Bot+"> DNS failure in prod"); err != nil {
		t.Fatal(err)
	}
	gone := th.says("never mind")
	if err := th.slack.Delete(slack.Incidents, gone); err != nil {
		t.Fatal(err)
	}

	asked := th.says("DNS failure in prod") // the one that does
	th.waitThread(slack.Incidents, asked, "[run.evidence]")
	th.slack.Say(slack.Ana, slack.Incidents, asked, "DNS failure, really?") // people who talk below a report
	th.slack.Say(slack.Bo, slack.Incidents, asked, "we should stop the deploy")
	th.slack.Say(slack.Ana, slack.Ops, "", "DNS failure") // handled after all of that
	th.wait("report in the other channel", func() bool {
		for _, m := range th.slack.Messages(slack.Ops) {
			if strings.Contains(show(m), "[run.evidence]") {
				return true
			}
		}
		return false
	})
	for _, m := range th.messages() {
		if m.Thread != asked && m.Text != "DNS failure in prod" {
			t.Errorf("the bot answered something that asks for nothing: %s", show(m))
		}
	}
	if n := strings.Count(th.transcript(), "[run.evidence]"); n != 1 {
		t.Errorf("%d reports, want 1:\n%s", n, th.transcript())
	}
	if refused := th.refusedCalls(); refused != nil {
		t.Errorf("Slack refused %q", refused)
	}
}

// However a question is written, it gets its report, and Slack takes every
// message.
func TestOddQuestions(t *testing.T) {
	for name, text := range map[string]string{
		"very long":          "DNS failure in prod " + strings.Repeat("no such host! ", 2_800),
		"right to left":      "\u202eDNS failure\u202c in prod \u200f",
		"zero width":         "D\u200bN\u200bS fail\u200dure in prod",
		"markup":             "DNS failure <!channel> *bold* `code` | & <https://example.com|here> \\ ```",
		"mention and emoji":  "<@" + slack.Bot + "> :fire: DNS failure 🔥",
		"many lines":         strings.Repeat("\n", 500) + "DNS failure",
		"trigger after code": "```\nsome log\n```\nDNS failure in prod",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			th := perform(t, "coredns-scaled-to-zero")
			asked := th.says(text)
			th.waitThread(slack.Incidents, asked, "[run.evidence]")
			th.waitThread(slack.Incidents, asked, "[rem.approve]")
			th.checkHarmless()
		})
	}
}

// checkHarmless looks through everything that the bot said for characters
// that act, and for marks of Slack's that it did not mean.
func (th *theatre) checkHarmless() {
	th.t.Helper()
	if refused := th.refusedCalls(); refused != nil {
		th.t.Errorf("Slack refused %q", refused)
	}
	for _, m := range th.messages() {
		for _, s := range append(marked(json.RawMessage(m.Blocks)), m.Text) {
			for _, bad := range []string{"<!channel", "<!here", "<!everyone", "<https://evil"} {
				if strings.Contains(s, bad) {
					th.t.Errorf("%q in what Slack reads marks in: %q", bad, s)
				}
			}
		}
		if r := strings.IndexFunc(m.Text+show(m), acts); r >= 0 {
			th.t.Errorf("a character that acts, at %d of %q", r, m.Text+show(m))
		}
	}
}

// acts reports whether a terminal or a browser does something with r, other
// than show it.
func acts(r rune) bool {
	return r != '\n' && r != '\u200b' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
}

// marked are the texts of blocks in which Slack reads marks.
func marked(raw json.RawMessage) (texts []string) {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return nil
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if s, ok := v["text"].(string); ok && v["type"] == "mrkdwn" {
				texts = append(texts, s)
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(v)
	return texts
}

// What the cluster calls its objects and says in its events cannot act in
// Slack.
func TestHostileClusterInSlack(t *testing.T) {
	t.Parallel()
	th := build(t, hostile(t))
	th.start()
	asked := th.says("network issue: pods are stuck")
	th.waitThread(slack.Incidents, asked, "[run.evidence]")
	m, _ := th.find("[run.evidence]")
	if err := th.slack.Press(slack.Ana, slack.Incidents, m.TS, "run.evidence"); err != nil {
		t.Fatal(err)
	}
	th.wait("modal", func() bool { return len(th.slack.Views(slack.Ana)) > 0 })
	th.checkHarmless()
	for _, s := range marked(th.slack.Views(slack.Ana)[0].JSON) {
		if strings.Contains(s, "<!channel") || strings.IndexFunc(s, acts) >= 0 {
			t.Errorf("in the evidence: %q", s)
		}
	}
}

// Who addresses the bot without a question gets one answer, though Slack
// tells of a mention twice.
func TestMentionWithoutRequest(t *testing.T) {
	for text, want := range map[string]string{"hello there": "I could not tell what to look at", "help": "Write what fails", ":wave:": "I could not tell"} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			th := perform(t, "coredns-scaled-to-zero")
			asked := th.says("<@" + slack.Bot + "> " + text)
			th.waitThread(slack.Incidents, asked, want)
			later := th.says("DNS failure in prod")
			th.waitThread(slack.Incidents, later, "[run.evidence]")
			if n := strings.Count(th.thread(slack.Incidents, asked), want); n != 1 {
				t.Errorf("%d answers, want 1:\n%s", n, th.transcript())
			}
		})
	}
}

// The slash command: a question, help, nothing, and where the bot is not.
func TestSlashCommand(t *testing.T) {
	t.Run("question", func(t *testing.T) {
		t.Parallel()
		th := perform(t, "coredns-scaled-to-zero")
		th.command(slack.Ops, "DNS failure in prod")
		th.waitAlone(slack.Ana, "Looking")
		th.wait("report", func() bool {
			for _, m := range th.slack.Messages(slack.Ops) {
				if strings.Contains(show(m), "[run.evidence]") && m.Thread != "" {
					return true
				}
			}
			return false
		})
	})
	for text, want := range map[string]string{"help": "Write what fails", "": "I could not tell", "lunch?": "I could not tell"} {
		t.Run("text "+text, func(t *testing.T) {
			t.Parallel()
			th := perform(t, "coredns-scaled-to-zero")
			th.command(slack.Ops, text)
			th.waitAlone(slack.Ana, want)
			for _, m := range th.slack.Ephemerals(slack.Ana) {
				if strings.TrimSpace(m.Text+show(m)) == "" {
					t.Error("an empty message was shown")
				}
			}
			if m := th.slack.Messages(slack.Ops); len(m) != 0 {
				t.Errorf("everybody sees %q", show(m[0]))
			}
		})
	}
	for _, channel := range []string{slack.Random, slack.Secret} {
		t.Run("not a member of "+channel, func(t *testing.T) {
			t.Parallel()
			th := perform(t, "coredns-scaled-to-zero")
			th.command(channel, "DNS failure in prod")
			th.waitAlone(slack.Ana, "not in this channel")
		})
	}
}

func (th *theatre) command(channel, text string) {
	th.t.Helper()
	if err := th.slack.Command(slack.Ana, channel, "/hopwise", text); err != nil {
		th.t.Fatal(err)
	}
}

// "stop" ends a diagnosis that is under way, and takes back what waits for
// approval.
func TestStop(t *testing.T) {
	t.Run("while it looks", func(t *testing.T) {
		t.Parallel()
		w := parse(t, "fault: list pods hang\n")
		th := build(t, w)
		th.bot.Deadline = 30 * time.Second
		th.start()
		asked := th.says("DNS failure in prod")
		th.waitThread(slack.Incidents, asked, "[run.stop]")
		th.slack.Say(slack.Bo, slack.Incidents, asked, "stop, please")
		th.waitThread(slack.Incidents, asked, "Stopped")
		if strings.Contains(th.transcript(), "[run.evidence]") {
			t.Errorf("a report all the same:\n%s", th.transcript())
		}
	})
	t.Run("while it waits", func(t *testing.T) {
		t.Parallel()
		th := perform(t, "coredns-scaled-to-zero")
		asked := th.says("DNS failure in prod")
		m := th.waitButton("rem.approve")
		value := valueOf(t, m, "rem.approve")
		th.slack.Say(slack.Ana, slack.Incidents, asked, "stop")
		th.waitThread(slack.Incidents, asked, "Stopped. Nothing was changed")
		th.forge(slack.Bo, slack.Incidents, m.TS, value)
		th.waitAlone(slack.Bo, "gone or has changed")
		th.checkUnchanged()
	})
}

// "again" looks again in the same thread.
func TestAgain(t *testing.T) {
	t.Parallel()
	th := perform(t, "coredns-scaled-to-zero")
	asked := th.says("DNS failure in prod")
	th.waitThread(slack.Incidents, asked, "[rem.approve]")
	th.slack.Say(slack.Bo, slack.Incidents, asked, "again")
	th.wait("second report", func() bool { return strings.Count(th.thread(slack.Incidents, asked), "[run.evidence]") == 2 })
}

// A channel that is archived, and one that the bot is removed from, while it
// looks: the incident ends, the bot goes on living.
func TestChannelGoes(t *testing.T) {
	for name, leave := range map[string]func(*theatre){
		"archived": func(th *theatre) { th.slack.Archive(slack.Incidents) },
		"removed":  func(th *theatre) { th.slack.RemoveBot(slack.Incidents) },
		"question deleted": func(th *theatre) {
			if err := th.slack.Delete(slack.Incidents, th.slack.Messages(slack.Incidents)[0].TS); err != nil {
				th.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			th := build(t, parse(t, "fault: list pods hang 1\n"))
			th.bot.Deadline = time.Second
			th.start()
			asked := th.says("DNS failure in prod")
			th.waitThread(slack.Incidents, asked, "[run.stop]")
			leave(th)
			time.Sleep(1500 * time.Millisecond) // the diagnosis ends, and finds nobody to tell
			later := th.slack.Say(slack.Ana, slack.Ops, "", "DNS failure in prod")
			th.waitThread(slack.Ops, later, "[run.evidence]")
			if strings.Contains(th.log.String(), "level=ERROR") {
				t.Errorf("the log has errors:\n%s", th.log.String())
			}
			if name == "removed" {
				th.slack.AddBot(slack.Incidents)
				back := th.says("DNS failure in prod")
				th.waitThread(slack.Incidents, back, "[run.evidence]")
			}
		})
	}
}

// coreDNS is how many replicas the Deployment of CoreDNS asks for.
func (th *theatre) coreDNS() float64 {
	th.t.Helper()
	d, err := th.apis.World.Get("kube/deployments", "kube-system/coredns")
	if err != nil {
		th.t.Fatal(err)
	}
	n, _ := d["spec"].(map[string]any)["replicas"].(float64)
	return n
}

// checkUnchanged fails the test when somebody scaled CoreDNS up.
func (th *theatre) checkUnchanged() {
	th.t.Helper()
	if n := th.coreDNS(); n != 0 {
		th.t.Errorf("CoreDNS was scaled to %v", n)
	}
}

// A question that the database does not take at once waits until it does.
// When the bot is stopped before, the person is told to ask again.
func TestDatabaseFailsWhileRunning(t *testing.T) {
	t.Parallel()
	th := build(t, parse(t, ""))
	th.bot.DatabaseURL += "?_pragma=busy_timeout(100)"
	th.start()
	th.database(func(db *sql.DB) {
		db.SetMaxOpenConns(1) // a lock belongs to a connection
		do := func(query string) {
			if _, err := db.Exec(query); err != nil {
				t.Fatal(err)
			}
		}
		do("BEGIN EXCLUSIVE")
		waits := th.says("DNS failure in prod")
		time.Sleep(500 * time.Millisecond)
		do("ROLLBACK")
		th.waitThread(slack.Incidents, waits, "[run.evidence]")

		do("BEGIN EXCLUSIVE")
		th.says("DNS failure in shop")
		time.Sleep(200 * time.Millisecond)
		th.halt()
		th.waitAlone(slack.Ana, "ask again in a moment")
		do("ROLLBACK")
	})
}

// A token that may not do everything is said at the start, with what to add.
func TestMissingScopes(t *testing.T) {
	th := buildWith(t, parse(t, ""), slack.Options{NoRateLimits: true, Scopes: []string{"chat:write", "app_mentions:read"}})
	th.start()
	for _, part := range []string{"lacks scopes", "channels:history", "slack-manifest.yaml"} {
		if !strings.Contains(th.log.String(), part) {
			t.Errorf("no %q in the log:\n%s", part, th.log.String())
		}
	}
}
