package main

import (
	"database/sql"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/standin/slack"
	"github.com/hopwise/hopwise/internal/world"
)

// valueOf is what a button of a message sends when it is pressed.
func valueOf(t testing.TB, m slack.Message, action string) string {
	t.Helper()
	var blocks []struct {
		Elements []struct {
			ID    string `json:"action_id"`
			Value string `json:"value"`
		} `json:"elements"`
	}
	_ = json.Unmarshal(m.Blocks, &blocks) // elements of other kinds have other shapes
	for _, b := range blocks {
		for _, e := range b.Elements {
			if e.ID == action {
				return e.Value
			}
		}
	}
	t.Fatalf("no button %s in %s", action, show(m))
	return ""
}

// forge sends a press of Approve with a value of the sender's choice.
func (th *theatre) forge(user, channel, ts, value string) {
	th.t.Helper()
	if err := th.slack.PressRaw(user, channel, ts, "rem.approve", value); err != nil {
		th.t.Fatal(err)
	}
}

// under is a theatre with a policy of its own, before the bot is started.
func under(t testing.TB, scenario, policy string) *theatre {
	t.Helper()
	w, err := world.Load(scenario)
	if err != nil {
		t.Fatal(err)
	}
	th := build(t, w)
	if th.bot.policy, err = approval.ParsePolicy("policy", []byte(policy)); err != nil {
		t.Fatal(err)
	}
	return th
}

// proposed asks, and returns the message that waits for approval.
func (th *theatre) proposed() slack.Message {
	th.t.Helper()
	th.says("DNS failure in prod")
	return th.waitButton("rem.approve")
}

// press presses the button with an action in a message.
func (th *theatre) press(user string, m slack.Message, action string) {
	th.t.Helper()
	if err := th.slack.Press(user, slack.Incidents, m.TS, action); err != nil {
		th.t.Fatal(err)
	}
}

// Presses that must do nothing do nothing: the person alone is told why, the
// proposal still waits, and the approver's own press works after all of them.
func TestRefusedPresses(t *testing.T) {
	t.Parallel()
	th := perform(t, "coredns-scaled-to-zero")
	m := th.proposed()
	value := valueOf(t, m, "rem.approve")
	id, hash, _ := strings.Cut(value, ":")
	for _, tt := range []struct{ name, user, channel, value, want string }{
		{"no value", slack.Bo, slack.Incidents, "", "belongs to no proposal"},
		{"forged id", slack.Bo, slack.Incidents, "abcdefghijklmnop:" + hash, "belongs to no proposal"},
		{"forged plan", slack.Bo, slack.Incidents, id + ":0123456789abcdef", "belongs to no proposal"},
		{"very long", slack.Bo, slack.Incidents, strings.Repeat("a", 2000), "belongs to no proposal"},
		{"in another channel", slack.Bo, slack.Ops, value, "belongs to <#" + slack.Incidents + ">"},
		{"of another team", slack.Eve, slack.Incidents, value, "Guests cannot decide"},
		{"by a guest", slack.Gil, slack.Incidents, value, "Guests cannot decide"},
		{"by the person who asked", slack.Ana, slack.Incidents, value, "The policy does not name you"},
	} {
		before := len(th.slack.Ephemerals(tt.user))
		th.forge(tt.user, tt.channel, m.TS, tt.value)
		th.wait(tt.name+": a refusal", func() bool { return len(th.slack.Ephemerals(tt.user)) > before })
		all := th.slack.Ephemerals(tt.user)
		if said := show(all[len(all)-1]); !strings.Contains(said, tt.want) || !strings.Contains(said, "Nothing was done") {
			t.Errorf("%s: told %q, want %q in it", tt.name, said, tt.want)
		}
		th.checkUnchanged()
	}
	th.press(slack.Bo, m, "rem.approve")
	th.waitText("Fixed and checked")
	if th.coreDNS() == 0 {
		t.Error("nothing was changed")
	}
}

// Who asked may not approve what the policy gives to others, even where it
// names the person.
func TestAskerMayNotApprove(t *testing.T) {
	t.Parallel()
	th := under(t, "coredns-scaled-to-zero", "safe: {approvers: {users: [UANA, UBO]}, asker_may_approve: false}\ndisruptive: {approvers: {users: [UANA, UBO]}}\n")
	th.start()
	m := th.proposed()
	th.press(slack.Ana, m, "rem.approve")
	th.waitAlone(slack.Ana, "You asked for this, so somebody else has to approve it. Ask <@UBO>")
	th.checkUnchanged()
}

// A double click makes one change.
func TestDoubleClick(t *testing.T) {
	t.Parallel()
	th := perform(t, "coredns-scaled-to-zero")
	m := th.proposed()
	value := valueOf(t, m, "rem.approve")
	th.forge(slack.Bo, slack.Incidents, m.TS, value)
	th.forge(slack.Bo, slack.Incidents, m.TS, value)
	th.waitText("Fixed and checked")
	th.waitAlone(slack.Bo, "already approved by <@UBO>")
	if n := strings.Count(th.transcript(), "Fixed and checked"); n != 1 {
		t.Errorf("%d verdicts:\n%s", n, th.transcript())
	}
	writes := 0
	for _, c := range th.apis.Kube.Calls() {
		if strings.HasSuffix(c.Permission, "deployments/scale") && !strings.HasPrefix(c.Permission, "get ") {
			writes++
		}
	}
	if writes != 2 { // the dry run, and the change
		t.Errorf("%d writes, want 2", writes)
	}
}

// Reject closes a proposal; nothing is changed, and it cannot be approved any
// more.
func TestReject(t *testing.T) {
	t.Parallel()
	th := perform(t, "coredns-scaled-to-zero")
	m := th.proposed()
	value := valueOf(t, m, "rem.approve")
	th.press(slack.Bo, m, "rem.reject")
	th.waitText("Rejected")
	th.forge(slack.Bo, slack.Incidents, m.TS, value)
	th.waitAlone(slack.Bo, "already rejected by <@UBO>")
	th.checkUnchanged()
}

// Where two have to approve, the first press is a vote, the same person's
// second is none, and the second person's makes the change.
func TestTwoApprovals(t *testing.T) {
	t.Parallel()
	const both = "{approvers: {users: [UANA, UBO]}, asker_may_approve: true, approvals: 2}"
	th := under(t, "coredns-scaled-to-zero", "safe: "+both+"\ndisruptive: "+both+"\n")
	th.start()
	m := th.proposed()
	th.press(slack.Bo, m, "rem.approve")
	th.waitText("1 of 2")
	m = th.waitButton("rem.approve")
	th.press(slack.Bo, m, "rem.approve")
	th.waitAlone(slack.Bo, "You have already approved this")
	th.checkUnchanged()
	th.press(slack.Ana, m, "rem.approve")
	th.waitText("Fixed and checked")
}

// A press that comes too late does nothing.
func TestPressAfterExpiry(t *testing.T) {
	t.Parallel()
	th := perform(t, "coredns-scaled-to-zero")
	m := th.proposed()
	th.database(func(db *sql.DB) {
		past := time.Now().Add(-time.Minute).UTC()
		_, err := db.Exec(`UPDATE proposals SET expires = ?, doc = json_set(doc, '$.Expires', ?)`, past.UnixMicro(), past.Format(time.RFC3339Nano))
		if err != nil {
			t.Fatal(err)
		}
	})
	th.press(slack.Bo, m, "rem.approve")
	th.waitAlone(slack.Bo, "has expired")
	th.checkUnchanged()
}

// database opens the bot's database beside the bot.
func (th *theatre) database(use func(*sql.DB)) {
	th.t.Helper()
	db, _, err := approval.OpenURL(th.t.Context(), th.bot.DatabaseURL)
	if err != nil {
		th.t.Fatal(err)
	}
	defer db.Close()
	use(db)
}

// A fix whose fault is gone by the time of the press is not made.
func TestStale(t *testing.T) {
	t.Parallel()
	th := perform(t, "coredns-scaled-to-zero")
	m := th.proposed()
	err := th.apis.World.Update("kube/deployments", "kube-system/coredns", func(d world.Doc) error {
		d["spec"].(map[string]any)["replicas"] = 3
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	th.press(slack.Bo, m, "rem.approve")
	th.waitText("The fault is gone: there is nothing to fix. Nothing was changed.")
	if n := th.coreDNS(); n != 3 {
		t.Errorf("the bot scaled to %v what somebody else had scaled to 3", n)
	}
}

// failing makes the APIs fail from now on.
func (th *theatre) failing(faults ...world.Fault) {
	th.t.Helper()
	w, err := world.Load(th.apis.World.Setting().Name)
	if err != nil {
		th.t.Fatal(err)
	}
	w.Faults = faults
	th.apis.Reset(w)
}

// A change that the API refuses is Failed, and the thread says why and what
// to do.
func TestRefusedChange(t *testing.T) {
	for name, tt := range map[string]struct {
		fault world.Fault
		want  string
	}{
		"denied": {world.Fault{Permission: "update deployments/scale", How: "deny"}, "give its write role the permission"},
		"fails":  {world.Fault{Permission: "update deployments/scale", How: "error"}, "kube/deployments/kube-system/coredns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			th := perform(t, "coredns-scaled-to-zero")
			m := th.proposed()
			th.failing(tt.fault)
			th.press(slack.Bo, m, "rem.approve")
			th.waitText("The fix was not made")
			if got := th.transcript(); !strings.Contains(got, tt.want) || !strings.Contains(got, "*Failed*") || !strings.Contains(got, "Nothing was changed") {
				t.Errorf("want %q, Failed and that nothing was changed:\n%s", tt.want, got)
			}
			th.checkUnchanged()
		})
	}
}

// A fix that could not be checked right before is not made blindly.
func TestBlindFix(t *testing.T) {
	t.Parallel()
	th := perform(t, "coredns-scaled-to-zero")
	m := th.proposed()
	th.failing(world.Fault{Permission: "list deployments", How: "deny"})
	th.press(slack.Bo, m, "rem.approve")
	th.waitText("cannot look any more")
	th.checkUnchanged()
}

// A fix that the API would refuse is not offered, and the report says why.
func TestFixRefusedByDryRun(t *testing.T) {
	t.Parallel()
	w, err := world.Load("coredns-scaled-to-zero")
	if err != nil {
		t.Fatal(err)
	}
	w.Faults = []world.Fault{{Permission: "update deployments/scale", How: "deny"}}
	th := build(t, w)
	th.start()
	th.says("DNS failure in prod")
	th.waitText("give its write role the permission")
	if strings.Contains(th.transcript(), "[rem.approve]") {
		t.Errorf("a fix is offered that cannot be made:\n%s", th.transcript())
	}
}

// The message of a proposal that somebody deletes takes no approval with it:
// the change is made, and the thread says so.
func TestProposalMessageDeleted(t *testing.T) {
	t.Parallel()
	th := perform(t, "coredns-scaled-to-zero")
	m := th.proposed()
	value := valueOf(t, m, "rem.approve")
	if err := th.slack.Delete(slack.Incidents, m.TS); err != nil {
		t.Fatal(err)
	}
	th.forge(slack.Bo, slack.Incidents, m.TS, value)
	th.waitText("*Applied*")
	th.waitText("Fixed and checked")
}

// An approval in a channel that is gone by then changes nothing: nobody would
// see it. It is in the log.
func TestApprovedWhereNobodyReads(t *testing.T) {
	t.Parallel()
	th := perform(t, "coredns-scaled-to-zero")
	m := th.proposed()
	value := valueOf(t, m, "rem.approve")
	th.slack.Archive(slack.Incidents)
	th.forge(slack.Bo, slack.Incidents, m.TS, value)
	th.database(func(db *sql.DB) {
		var state string
		for deadline := time.Now().Add(30 * time.Second); state != "stale"; time.Sleep(10 * time.Millisecond) {
			if err := db.QueryRow(`SELECT state FROM proposals`).Scan(&state); err != nil || time.Now().After(deadline) {
				t.Fatalf("the proposal is %q: %v", state, err)
			}
		}
	})
	th.checkUnchanged()
}

// Buttons that start or end a run work only where the run is.
func TestRunButtonsElsewhere(t *testing.T) {
	t.Parallel()
	th := perform(t, "coredns-scaled-to-zero")
	th.proposed()
	report := th.waitButton("run.evidence")
	run := valueOf(t, report, "run.evidence")
	for _, action := range []string{"run.retry", "run.stop", "run.evidence"} {
		before := len(th.slack.Ephemerals(slack.Bo))
		if err := th.slack.PressRaw(slack.Bo, slack.Ops, report.TS, action, run); err != nil {
			t.Fatal(err)
		}
		th.wait(action+": a refusal", func() bool { return len(th.slack.Ephemerals(slack.Bo)) > before })
		if err := th.slack.PressRaw(slack.Ana, slack.Incidents, report.TS, action, "nosuchrun"); err != nil {
			t.Fatal(err)
		}
	}
	th.wait("three refusals", func() bool { return len(th.slack.Ephemerals(slack.Ana)) == 3 })
	if n := strings.Count(th.transcript(), "[run.evidence]"); n != 1 {
		t.Errorf("%d reports, want 1:\n%s", n, th.transcript())
	}
}
