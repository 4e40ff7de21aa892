package approval

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/remedy"
)

const fullPolicy = `# who may approve
team: T024BE7LD
channels: [C024BE91L, C024BE92M]
read_only_clusters:
  - prod-eu
safe:
  approvers: {users: [U024BE7LH], groups: [S0615G0KT]}
disruptive:
  approvers:
    users: [U024BE7LH, U0G9QF9C6]
  approvals: 2
  asker_may_approve: true
  expires: 2h
destructive:
  approvers:
    groups: [S0615G0KT]
`

func mustPolicy(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := ParsePolicy("policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPolicy(t *testing.T) {
	p := mustPolicy(t, fullPolicy)
	want := map[remedy.Risk]Rule{
		remedy.Safe:        {Users: []string{"U024BE7LH"}, Groups: []string{"S0615G0KT"}, Approvals: 1, AskerMayApprove: true, Expires: 30 * time.Minute},
		remedy.Disruptive:  {Users: []string{"U024BE7LH", "U0G9QF9C6"}, Approvals: 2, AskerMayApprove: true, Expires: 2 * time.Hour},
		remedy.Destructive: {Groups: []string{"S0615G0KT"}, Approvals: 2, Expires: 30 * time.Minute},
	}
	for risk, rule := range want {
		if diff := cmp.Diff(rule, p.For(risk)); diff != "" {
			t.Errorf("For(%s): -want +got\n%s", risk, diff)
		}
	}
	if diff := cmp.Diff([]string{"<@U024BE7LH>", "<!subteam^S0615G0KT>"}, p.For(remedy.Safe).MayApprove()); diff != "" {
		t.Error(diff)
	}
	if p.ReadOnly("shop") || !p.ReadOnly("prod-eu") {
		t.Error("only prod-eu is read-only")
	}
}

func TestPolicyThatNamesNobody(t *testing.T) {
	for name, p := range map[string]*Policy{
		"nil":      nil,
		"zero":     {},
		"empty":    mustPolicy(t, ""),
		"comments": mustPolicy(t, "# nothing yet\n"),
		"no names": mustPolicy(t, "safe: {approvals: 1, asker_may_approve: true}\n"),
	} {
		if !p.ReadOnly("shop") {
			t.Errorf("%s: not read-only", name)
		}
		for _, risk := range []remedy.Risk{remedy.Safe, remedy.Disruptive, remedy.Destructive, 7, -1} {
			if r := p.For(risk); !r.Nobody() || r.Approvals < 1 || r.Expires <= 0 {
				t.Errorf("%s: For(%d) = %+v", name, risk, r)
			}
		}
	}
}

func TestPolicyMistakes(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"saef:\n  approvals: 1\n", `p.yaml:1: unknown key "saef" in the policy; did you mean "safe"?; expected one of channels, destructive, disruptive, read_only_clusters, safe, team`},
		{"safe:\n  aprovers: {users: [U024BE7LH]}\n", `p.yaml:2: unknown key "aprovers" in safe; did you mean "approvers"?`},
		{"safe:\n  approvers:\n    user: [U024BE7LH]\n", `p.yaml:3: unknown key "user" in safe.approvers; did you mean "users"?`},
		{"zebra: 1\n", `p.yaml:1: unknown key "zebra" in the policy; expected one of`},
		{"safe:\n  approvers:\n    users: ['@alice']\n", `p.yaml:3: an entry of safe.approvers.users is "@alice"; expected a member id such as U024BE7LH`},
		{"safe:\n  approvers:\n    users: U024BE7LH\n", `p.yaml:3: safe.approvers.users is "U024BE7LH"; expected a list, as in [U024BE7LH]`},
		{"safe:\n  approvers: {groups: [U024BE7LH]}\n", `expected a user group id such as S0615G0KT`},
		{"safe:\n  approvers: {users: [U024BE7LH, U024BE7LH]}\n", `"U024BE7LH" stands twice`},
		{"safe: {approvals: 0}\n", `safe.approvals is "0"; expected a whole number from 1 to 20`},
		{"safe: {approvals: '2'}\n", `expected a whole number`},
		{"safe: {approvals: 1.5}\n", `expected a whole number`},
		{"safe: {asker_may_approve: yep}\n", `safe.asker_may_approve is "yep"; expected true or false`},
		{"safe: {expires: 30}\n", `safe.expires is "30"; expected a time from 1m to 168h`},
		{"safe: {expires: 5s}\n", `expected a time from 1m`},
		{"safe: {expires: 1000h}\n", `expected a time from 1m to 168h`},
		{"destructive:\n  approvers: {users: [U1A1, U2A2]}\n  approvals: 1\n", `p.yaml:3: destructive.approvals is 1; expected at least 2`},
		{"destructive:\n  approvers: {users: [U1A1]}\n", `p.yaml:2: destructive takes 2 approvals, but only 1 may approve`},
		{"safe:\nsafe:\n  approvals: 1\n", `key "safe" stands twice`},
		{"safe: [a]\n", `p.yaml:1: safe is a list; expected keys`},
		{"- safe\n", `p.yaml:1: the policy is a list; expected keys`},
		{"safe: &x {approvals: 1}\ndisruptive: *x\n", `disruptive is an alias`},
		{"channels: [general]\n", `expected a channel id such as`},
		{"team: ~\n", `team is empty; expected a workspace id`},
		{"safe: {approvals: 1\nteam", `p.yaml:`},
		{"team: T024BE7LD\n---\nteam: T024BE7LD\n", `a second document`},
		{"a: \xff\xfe\n", `not valid YAML`},
		{strings.Repeat("# x\n", maxPolicy/4+1), `larger than`},
	} {
		p, err := ParsePolicy("p.yaml", []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q:\n got %v\nwant %s", tt.text, err, tt.want)
		}
		if p != nil {
			t.Errorf("%.60q: a policy beside the error", tt.text)
		}
	}
}

func TestPolicyNamesEveryMistake(t *testing.T) {
	_, err := ParsePolicy("p.yaml", []byte("saef: 1\nsafe:\n  expires: never\n"))
	if err == nil || strings.Count(err.Error(), "p.yaml:") != 2 {
		t.Errorf("want two lines, got: %v", err)
	}
}

func TestLoadPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if _, err := LoadPolicy(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(fullPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := LoadPolicy(path); err != nil || p.Team != "T024BE7LD" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(fullPolicy))
	f.Add([]byte("safe: &a [*a]"))
	f.Add([]byte("safe:\n  approvers: {users: [U1A1]}\n? [x]\n: y"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePolicy("p.yaml", data)
		if (p == nil) == (err == nil) {
			t.Fatalf("policy %v, error %v", p, err)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "p.yaml:") {
				t.Fatalf("error without file and line: %v", err)
			}
			return
		}
		if r := p.For(remedy.Destructive); r.Approvals < 2 {
			t.Fatalf("destructive with %d approvals", r.Approvals)
		}
		for risk := remedy.Safe; risk <= remedy.Destructive; risk++ {
			if r := p.For(risk); r.Approvals < 1 || r.Expires < minExpires || r.Expires > maxExpires {
				t.Fatalf("%s: %+v", risk, r)
			}
		}
	})
}
