package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/standin"
	"github.com/hopwise/hopwise/internal/world"
)

// alone takes away every setting that the machine of the test may have, and
// gives the test a folder of its own to work in.
func alone(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		for _, prefix := range []string{"HOPWISE_", "SLACK_", "AWS_", "KUBE"} {
			if strings.HasPrefix(name, prefix) {
				unset(t, name)
			}
		}
	}
	t.Setenv("HOME", dir)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true") // there is no machine's own role to ask for
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "aws-config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "aws-credentials"))
	t.Chdir(dir)
	return dir
}

// unset removes a variable until the test ends.
func unset(t *testing.T, name string) {
	t.Helper()
	t.Setenv(name, "") // brings the old value back when the test ends
	if err := os.Unsetenv(name); err != nil {
		t.Fatal(err)
	}
}

// outcome is what one command line did.
type outcome struct {
	status   int
	out, err string
}

// command runs a command line in this process.
func command(ctx context.Context, args ...string) outcome {
	var out, errs bytes.Buffer
	status := run(ctx, &console{in: strings.NewReader(""), out: &out, err: &errs}, args)
	return outcome{status, out.String(), errs.String()}
}

// file writes a file of the test and returns its path.
func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// connected starts the stand-ins of a world and makes them the cluster and the
// account of the environment.
func connected(t *testing.T, w *world.World) (apis *standin.APIs, dir string) {
	t.Helper()
	dir = alone(t)
	apis, err := standin.Start(w, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = apis.Close() })
	t.Setenv("KUBECONFIG", file(t, dir, "kubeconfig", string(apis.Kube.Kubeconfig(apis.KubeURL))))
	t.Setenv("AWS_ENDPOINT_URL", apis.AWSURL)
	t.Setenv("AWS_REGION", w.Region)
	t.Setenv("AWS_ACCESS_KEY_ID", standin.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", standin.SecretAccessKey)
	t.Setenv("HOPWISE_CLUSTER", "shop")
	return apis, dir
}

// parse makes a world of a scenario's lines.
func parse(t testing.TB, text string) *world.World {
	t.Helper()
	w, err := world.Parse("test", []byte("A test.\n\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Wrong use and wrong settings are one clear line each on stderr, nothing on
// stdout, and exit status 2.
func TestWrongUse(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  []string // NAME=value
		args []string
		want []string // lines of stderr, each with "|" between what must be in it
	}{
		{"flag with a typo", nil, []string{"diagnose", "--ouput", "json"}, []string{`unknown flag --ouput|did you mean "--output"?`}},
		{"unknown flag", nil, []string{"--frobnicate"}, []string{"unknown flag --frobnicate|bot --help"}},
		{"unknown command", nil, []string{"diagnos"}, []string{"diagnos"}},
		{"unknown output", nil, []string{"diagnose", "-o", "yaml"}, []string{`--output|"text","json","markdown"|"yaml"`}},
		{"unknown layer", nil, []string{"diagnose", "--layer", "l5"}, []string{"l5|l3|l4|l7|dns"}},
		{"scenario with a typo", nil, []string{"diagnose", "--scenario", "corends-scaled-to-zero"}, []string{`no scenario "corends-scaled-to-zero"|coredns-scaled-to-zero|--list`}},
		{"scenario that is a path", nil, []string{"diagnose", "--scenario", "../../etc/passwd"}, []string{"no scenario"}},
		{"demo of no scenario", nil, []string{"demo", "--scenario", "nope"}, []string{`no scenario "nope"|did you mean`}},
		{"check with a typo", nil, []string{"checks", "dns/coredns-zero-redy"}, []string{`no check "dns/coredns-zero-redy"|dns/coredns-zero-ready`}},
		{"unknown setting", []string{"HOPWISE_DEADLIN=3s"}, []string{"diagnose", "--scenario", "base-shop"}, []string{"HOPWISE_DEADLIN is no setting|HOPWISE_DEADLINE"}},
		{"deadline that is no time", []string{"HOPWISE_DEADLINE=abc"}, []string{"diagnose", "--scenario", "base-shop"}, []string{`HOPWISE_DEADLINE="abc"|duration such as 8s`}},
		{"deadline before now", []string{"HOPWISE_DEADLINE=-1s"}, []string{"diagnose", "--scenario", "base-shop"}, []string{"HOPWISE_DEADLINE|-1s|longer than 0"}},
		{"no deadline at all", []string{"HOPWISE_DEADLINE=0"}, []string{"diagnose", "--scenario", "base-shop"}, []string{"HOPWISE_DEADLINE|longer than 0"}},
		{"unknown log level", []string{"HOPWISE_LOG_LEVEL=loud"}, []string{"diagnose", "--scenario", "base-shop"}, []string{"HOPWISE_LOG_LEVEL|DEBUG, INFO, WARN or ERROR"}},
		{"two mistakes", []string{"HOPWISE_DEADLINE=abc", "HOPWISE_POLICI=x"}, []string{"diagnose", "--scenario", "base-shop"}, []string{"HOPWISE_DEADLINE", "HOPWISE_POLICI|HOPWISE_POLICY"}},
		{"no tokens", nil, []string{"serve"}, []string{"SLACK_BOT_TOKEN is not set|OAuth & Permissions", "SLACK_APP_TOKEN is not set|connections:write"}},
		{"tokens exchanged", []string{"SLACK_BOT_TOKEN=xapp-1-planted", "SLACK_APP_TOKEN=xoxb-1-planted"}, []string{"serve"}, []string{"SLACK_BOT_TOKEN does not begin with xoxb-", "SLACK_APP_TOKEN does not begin with xapp-"}},
		{"audit without a database", nil, []string{"audit", "verify"}, []string{"HOPWISE_DATABASE_URL|hopwise.db"}},
		{"audit of no file", nil, []string{"audit", "verify", "nope.jsonl"}, []string{"nope.jsonl"}},
		{"no such database", []string{"HOPWISE_DATABASE_URL=mysql://db"}, []string{"audit", "export"}, []string{"HOPWISE_DATABASE_URL|sqlite:PATH or postgres://"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			for _, kv := range tt.env {
				name, value, _ := strings.Cut(kv, "=")
				t.Setenv(name, value)
			}
			got := command(t.Context(), tt.args...)
			if got.status != exitUsage || got.out != "" {
				t.Errorf("status %d, want %d; stdout %q", got.status, exitUsage, got.out)
			}
			checkLines(t, got.err, tt.want)
		})
	}
}

// checkLines compares lines of stderr with what must be in each.
func checkLines(t *testing.T, got string, want []string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), got)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, "bot: ") || strings.Contains(line, "planted") {
			t.Errorf("line %q", line)
		}
		for part := range strings.SplitSeq(want[i], "|") {
			if !strings.Contains(line, part) {
				t.Errorf("line %q has no %q", line, part)
			}
		}
	}
}

// A policy with a mistake is named with file and line, and keeps the bot from
// starting: it must not run under other rules than somebody wrote.
func TestWrongPolicy(t *testing.T) {
	for _, tt := range []struct{ name, policy, want string }{
		{"unknown key", "safe:\n  aprovers: {users: [UBO]}\n", `policy.yaml:2|aprovers|approvers`},
		{"a name for an id", "safe:\n  approvers: {users: [bo]}\n", `policy.yaml:2|"bo"|member id such as`},
		{"too short", "safe:\n  approvers: {users: [UBO]}\n  expires: 5s\n", "policy.yaml:3|1m to 168h"},
		{"not YAML", "safe: [\n", "policy.yaml:|not valid YAML"},
		{"not there", "", "policy.yaml|no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := alone(t)
			path := filepath.Join(dir, "policy.yaml")
			if tt.policy != "" {
				file(t, dir, "policy.yaml", tt.policy)
			}
			t.Setenv("SLACK_BOT_TOKEN", "xoxb-1")
			t.Setenv("SLACK_APP_TOKEN", "xapp-1")
			t.Setenv("HOPWISE_POLICY", path)
			got := command(t.Context(), "serve")
			if got.status != exitUsage {
				t.Errorf("status %d", got.status)
			}
			checkLines(t, got.err, []string{tt.want})
		})
	}
}

// A scenario file with a mistake is named with file and line, and with what
// was expected there.
func TestWrongScenario(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"key", "Title.\n\nwnat: l3/x y\n", `broken.txtar:3: unknown key "wnat"; did you mean want`},
		{"value", "Title.\n\nafter: fixd\n", "broken.txtar:3: after: fixd: want fixed, persists"},
		{"fault", "Title.\n\nfault: ec2:DescribeSubnets slow\n", "broken.txtar:3: fault: ec2:DescribeSubnets slow: want PERMISSION throttle|hang|error"},
		{"permission", "Title.\n\ndeny: list pod\n", "broken.txtar:3: deny: list pod: want a permission that is read, one of list pods"},
		{"base", "Title.\n\nbase: base-shp\n", `base "base-shp" is not one of the embedded scenarios`},
		{"kind", "Title.\n-- ec2/subnet.json --\nSubnets: []\n", "broken.txtar:2: ec2/subnet.json is no kind of fact; did you mean ec2/subnets"},
		{"list", "Title.\n-- kube/pods.yaml --\npods: []\n", `broken.txtar:3: kube/pods.yaml: want a list named "items"`},
		{"field", "Title.\n-- kube/pods.yaml --\nitems:\n- metadata: {name: a, namespace: b}\n  spec: {nodName: x}\n", `broken.txtar:5: kube/pods.yaml: item 1: "b/a": json: unknown field "nodName"`},
		{"YAML", "Title.\n-- kube/pods.yaml --\nitems:\n  - a: [\n", "broken.txtar:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := world.Parse("broken", []byte(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

// A kubeconfig that somebody named and that is wrong is said at once.
func TestWrongKubeconfig(t *testing.T) {
	_, dir := connected(t, parse(t, ""))
	const contexts = `{apiVersion: v1, kind: Config, current-context: %s,
  contexts: [{name: shop-prod, context: {cluster: c, user: u}}, {name: shop-stage, context: {cluster: c, user: u}}],
  clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {token: t}}]}`
	for _, tt := range []struct {
		name, text string
		args       []string
		want       string
	}{
		{"missing", "", []string{"--kubeconfig", filepath.Join(dir, "nope")}, "kubeconfig " + dir + "/nope does not exist|--kubeconfig"},
		{"unreadable", "", []string{"--kubeconfig", dir}, "kubeconfig|" + dir + "|directory"},
		{"not YAML", "clusters: [", nil, "no valid kubeconfig|line 1"},
		{"something else", "hello world", nil, "no valid kubeconfig"},
		{"context with a typo", strings.Replace(contexts, "%s", "shop-prod", 1), []string{"--context", "shop-pord"}, `no context "shop-pord"|shop-prod`},
		{"current context is not there", strings.Replace(contexts, "%s", "shop-pro", 1), nil, `no context "shop-pro"|shop-prod, shop-stage`},
		{"no context is chosen", strings.Replace(contexts, "%s", `""`, 1), nil, "no current context|--context|shop-prod, shop-stage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.text != "" {
				t.Setenv("KUBECONFIG", file(t, dir, "given", tt.text))
			}
			got := command(t.Context(), append([]string{"diagnose"}, tt.args...)...)
			if got.status != exitUsage || got.out != "" {
				t.Errorf("status %d, stdout %q", got.status, got.out)
			}
			checkLines(t, got.err, []string{tt.want})
		})
	}
}

// What one API refuses is a gap with what to do about it; the rest of the
// report still comes.
func TestPartialReport(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, tt := range []struct {
		name   string
		env    []string
		change func(t *testing.T, dir string, apis *standin.APIs)
		want   []string // in stdout
	}{
		{name: "all well", want: []string{"Nothing found: all"}},
		{name: "API server is away", change: func(t *testing.T, dir string, apis *standin.APIs) {
			t.Setenv("KUBECONFIG", file(t, dir, "away", string(apis.Kube.Kubeconfig(gone.URL))))
		}, want: []string{"l4/service-no-endpoints-selector", "no connection to http://127.0.0.1:", "L7 load balancers                          could not check  3 clear"}},
		{name: "token has expired", change: func(t *testing.T, dir string, apis *standin.APIs) {
			old := strings.NewReplacer(":"+standin.KubeToken+"@", ":expired@", "token: "+standin.KubeToken, "token: expired")
			t.Setenv("KUBECONFIG", file(t, dir, "old", old.Replace(string(apis.Kube.Kubeconfig(apis.KubeURL)))))
		}, want: []string{"the API server refused the credentials; renew the kubeconfig's token"}},
		{name: "AWS credentials are wrong", env: []string{"AWS_SECRET_ACCESS_KEY=old"}, want: []string{"AWS refused the credentials", "renew them", "Nothing found in what could be looked at"}},
		{name: "no AWS credentials", env: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}, want: []string{"no AWS credentials: set AWS_PROFILE"}},
		{name: "AWS profile with a typo", env: []string{"AWS_PROFILE=prdo"}, want: []string{"prdo"}},
		{name: "no region", env: []string{"AWS_REGION="}, want: []string{"the AWS region is not known: set AWS_REGION"}},
		{name: "wrong region", env: []string{"AWS_REGION=us-east-1"}, want: []string{`no cluster "shop" in this account and region: set HOPWISE_CLUSTER and AWS_REGION`}},
		{name: "cluster with a typo", env: []string{"HOPWISE_CLUSTER=shpo"}, want: []string{`no cluster "shpo"`, "(there are: shop)"}},
		{name: "cluster not named", env: []string{"HOPWISE_CLUSTER="}, want: []string{"the cluster's name is not known: set HOPWISE_CLUSTER (there are: shop)"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			apis, dir := connected(t, parse(t, ""))
			for _, kv := range tt.env {
				name, value, _ := strings.Cut(kv, "=")
				if value == "" {
					unset(t, name)
				} else {
					t.Setenv(name, value)
				}
			}
			if tt.change != nil {
				tt.change(t, dir, apis)
			}
			want := exitCouldNot
			if tt.name == "all well" {
				want = exitClear
			}
			got := command(t.Context(), "diagnose", "network issue")
			if got.status != want || got.err != "" {
				t.Errorf("status %d, want %d; stderr %q", got.status, want, got.err)
			}
			for _, part := range append(tt.want, "nothing was changed") {
				if !strings.Contains(got.out, part) {
					t.Errorf("no %q in:\n%s", part, got.out)
				}
			}
			if strings.Count(got.out, "connection refused") > 1 {
				t.Errorf("one reason is said more than once:\n%s", got.out)
			}
		})
	}
}

// An API that throttles, hangs or fails costs what hangs on it and no more
// than the deadline. What is found all the same is found.
func TestFaultyAPIs(t *testing.T) {
	for _, tt := range []struct {
		name, scenario string
		status         int
		want           []string
	}{
		{"healthy", "", exitClear, nil},
		{"throttled twice", "fault: ec2:DescribeSubnets throttle 2\nfault: list pods throttle 1\n", exitClear, nil},
		{"throttled for good", "fault: ec2:DescribeSubnets throttle\n", exitCouldNot, []string{"l3/subnet-ip-exhausted"}},
		{"fails for good", "fault: elasticloadbalancing:DescribeTargetHealth error\n", exitCouldNot, []string{"l7/target-timeout-blocked"}},
		{"hangs", "fault: ec2:DescribeSecurityGroups hang\n", exitCouldNot, []string{"timed out", "l4/node-to-node-sg-blocked"}},
		{"Kubernetes hangs", "fault: list services hang\n", exitCouldNot, []string{"timed out", "l4/service-no-endpoints-selector"}},
		{"hangs, and something is found", "base: coredns-scaled-to-zero\nfault: ec2:DescribeSecurityGroups hang\n", exitFound, []string{"dns/coredns-zero-ready", "timed out", "Could not look"}},
		{"denied, and something is found", "base: coredns-scaled-to-zero\ndeny: ec2:DescribeSubnets\n", exitFound, []string{"dns/coredns-zero-ready", "needs ec2:DescribeSubnets"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			connected(t, parse(t, tt.scenario))
			deadline := 2 * time.Second
			if tt.status == exitClear {
				deadline = 10 * time.Second // the client waits longer each time it is throttled
			}
			t.Setenv("HOPWISE_DEADLINE", deadline.String())
			start := time.Now()
			got := command(t.Context(), "diagnose", "network issue")
			if took := time.Since(start); took > deadline+10*time.Second {
				t.Errorf("took %s with a deadline of %s", took, deadline)
			}
			if got.status != tt.status || got.err != "" {
				t.Errorf("status %d, want %d; stderr %q\n%s", got.status, tt.status, got.err, got.out)
			}
			for _, part := range tt.want {
				if !strings.Contains(got.out, part) {
					t.Errorf("no %q in:\n%s", part, got.out)
				}
			}
		})
	}
}

// Ctrl-C ends a diagnosis at once, whatever hangs.
func TestInterrupted(t *testing.T) {
	connected(t, parse(t, "fault: list pods hang\nfault: eks:DescribeCluster hang\n"))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	got := command(ctx, "diagnose", "network issue")
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("took %s after Ctrl-C", took)
	}
	if got.status != exitCouldNot || got.out != "" {
		t.Errorf("status %d, stdout %q", got.status, got.out)
	}
	checkLines(t, got.err, []string{"interrupted|nothing was changed"})
}

// A database that cannot be used is one clear line and exit status 2, and it
// is left as it is.
func TestWrongDatabase(t *testing.T) {
	const quick = "?_pragma=busy_timeout(100)" // do not wait the usual 5 s for a lock
	for _, tt := range []struct {
		name, query string
		spoil       func(t *testing.T, db *sql.DB, path string)
		want        string
	}{
		{"locked", quick, func(t *testing.T, db *sql.DB, _ string) { run1(t, db, "BEGIN EXCLUSIVE") }, "the database is locked: another program"},
		{"newer", "", func(t *testing.T, db *sql.DB, _ string) {
			run1(t, db, "INSERT INTO approval_version (version_id, is_applied) VALUES (999, 1)")
		}, "the database is at version 999|a newer program wrote it"},
		{"read-only", "?mode=ro", func(*testing.T, *sql.DB, string) {}, "the database is read-only: let the bot write"},
		{"something else", "", func(t *testing.T, db *sql.DB, path string) {
			if err := errors.Join(db.Close(), os.WriteFile(path, []byte(strings.Repeat("not a database\n", 300)), 0o600)); err != nil {
				t.Fatal(err)
			}
		}, "the file is not an SQLite database"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(alone(t), "hopwise.db")
			db := filled(t, path)
			tt.spoil(t, db, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("HOPWISE_DATABASE_URL", "sqlite:"+path+tt.query)
			t.Setenv("SLACK_BOT_TOKEN", "xoxb-1")
			t.Setenv("SLACK_APP_TOKEN", "xapp-1")
			for _, args := range [][]string{{"serve"}, {"audit", "verify"}} {
				got := command(t.Context(), args...)
				if got.status != exitUsage || got.out != "" {
					t.Errorf("%q: status %d, stdout %q", args, got.status, got.out)
				}
				checkLines(t, got.err, []string{"HOPWISE_DATABASE_URL|" + tt.want})
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}

// filled makes a database with an entry in its log.
func filled(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, dialect, err := approval.OpenURL(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1) // a lock belongs to a connection
	store, err := approval.OpenStore(t.Context(), db, dialect, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Append(t.Context(), approval.Entry{Kind: approval.KindAsk, Key: "ask:1", Text: "network issue"}); err != nil {
		t.Fatal(err)
	}
	return db
}

// run1 runs one statement.
func run1(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// The log of a bot that ran can be verified, exported, and verified again
// without the database; an export that somebody changed cannot.
func TestAudit(t *testing.T) {
	dir := alone(t)
	path := filepath.Join(dir, "hopwise.db")
	if err := filled(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOPWISE_DATABASE_URL", "sqlite:"+path)
	if got := command(t.Context(), "audit", "verify"); got.status != 0 || !strings.Contains(got.out, "1 entries") {
		t.Errorf("verify: %+v", got)
	}
	exported := command(t.Context(), "audit", "export").out
	if got := command(t.Context(), "audit", "verify", file(t, dir, "log.jsonl", exported)); got.status != 0 {
		t.Errorf("verify of the export: %+v", got)
	}
	changed := strings.Replace(exported, "network issue", "nothing to see", 1)
	if got := command(t.Context(), "audit", "verify", file(t, dir, "changed.jsonl", changed)); got.status != exitFound || got.out != "" {
		t.Errorf("verify of a changed export: %+v", got)
	}
}
