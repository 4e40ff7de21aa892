package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hopwise/hopwise/internal/standin"
	"github.com/hopwise/hopwise/internal/standin/slack"
	"github.com/hopwise/hopwise/internal/world"
)

// program is the built bot, made once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hopwise-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "bot")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", &exec.Error{Name: "go build: " + string(out), Err: err}
	}
	return path, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // theatres mostly wait: for an edit, for an answer
	status := m.Run()
	if testBinaryBuilt {
		if path, err := program(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(status)
}

// testBinaryBuilt says that program was asked for: TestMain must not build it
// only to remove it.
var testBinaryBuilt bool

// A process is a running `bot serve`, the real program.
type process struct {
	*theatre
	cmd  *exec.Cmd
	env  []string
	done chan struct{}
}

// launch starts the stand-ins of a scenario and `bot serve` on them. kubeURL,
// when not empty, is where the bot finds Kubernetes instead.
func launch(t testing.TB, scenario string, front func(http.Handler) http.Handler) *process {
	t.Helper()
	w, err := world.Load(scenario)
	if err != nil {
		t.Fatal(err)
	}
	th := build(t, w)
	kube := th.apis.KubeURL
	if front != nil {
		to, err := url.Parse(kube)
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(front(httputil.NewSingleHostReverseProxy(to)))
		t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
		kube = srv.URL
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	p := &process{theatre: th, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir,
		"SLACK_BOT_TOKEN=" + slack.BotToken, "SLACK_APP_TOKEN=" + slack.AppToken, "SLACK_API_URL=" + th.url + "/api/",
		"KUBECONFIG=" + write("kubeconfig", th.apis.Kube.Kubeconfig(kube)),
		"AWS_ENDPOINT_URL=" + th.apis.AWSURL, "AWS_REGION=" + w.Region, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID=" + standin.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + standin.SecretAccessKey,
		"HOPWISE_CLUSTER=shop", "HOPWISE_DATABASE_URL=sqlite:" + filepath.Join(dir, "hopwise.db"),
		"HOPWISE_POLICY=" + write("policy.yaml", []byte(demoPolicy)),
	}}
	p.run()
	t.Cleanup(p.kill)
	return p
}

// run starts the program and waits until it hears Slack.
func (p *process) run() {
	p.t.Helper()
	testBinaryBuilt = true
	path, err := program()
	if err != nil {
		p.t.Fatal(err)
	}
	before := strings.Count(p.log.String(), "ready: listening")
	p.cmd = exec.Command(path, "serve")
	p.cmd.Env, p.cmd.Stderr = p.env, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.done = make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	for deadline := time.Now().Add(60 * time.Second); strings.Count(p.log.String(), "ready: listening") == before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("the bot did not become ready:\n%s", p.log.String())
		}
	}
}

// kill ends the program at once, as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) ask(text string) { p.slack.Say(slack.Ana, slack.Incidents, "", text) }

func (p *process) pressed(user, action string) {
	p.t.Helper()
	m := p.waitButton(action)
	if err := p.slack.Press(user, slack.Incidents, m.TS, action); err != nil {
		p.t.Fatal(err)
	}
}

// replicas is what the Deployment of CoreDNS asks for.
func (p *process) replicas() float64 {
	d, err := p.apis.World.Get("kube/deployments", "kube-system/coredns")
	if err != nil {
		p.t.Fatal(err)
	}
	n, _ := d["spec"].(map[string]any)["replicas"].(float64)
	return n
}

// Killed between the report and the press: the press still works.
func TestKilledBeforeThePress(t *testing.T) {
	p := launch(t, "coredns-scaled-to-zero", nil)
	p.ask("DNS failure in prod")
	p.waitButton("rem.approve")
	p.kill()
	p.run()
	p.pressed(slack.Bo, "rem.approve")
	p.waitText("Fixed")
	if p.replicas() == 0 {
		t.Error("nothing was changed")
	}
	if n := strings.Count(p.transcript(), "[run.evidence]"); n != 1 {
		t.Errorf("%d reports in the thread, want 1:\n%s", n, p.transcript())
	}
}

// holdWrites lets a real change through, and never gives its answer back
// until it is told to. It counts the changes.
type holdWrites struct {
	mu     sync.Mutex
	writes int
	hold   bool
	made   chan struct{}
}

func (h *holdWrites) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.URL.Query().Get("dryRun") != "" {
			next.ServeHTTP(rw, r)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		h.mu.Lock()
		h.writes++
		hold := h.hold
		h.mu.Unlock()
		if hold {
			close(h.made)
			<-r.Context().Done()
			return
		}
		for k, v := range rec.Header() {
			rw.Header()[k] = v
		}
		rw.WriteHeader(rec.Code)
		_, _ = rw.Write(rec.Body.Bytes())
	})
}

// Killed in the middle of the change, when it is made and its answer has not
// come: it is not made twice, and the thread says what happened.
func TestKilledInTheMiddleOfAChange(t *testing.T) {
	h := &holdWrites{hold: true, made: make(chan struct{})}
	p := launch(t, "coredns-scaled-to-zero", h.front)
	p.ask("DNS failure in prod")
	p.pressed(slack.Bo, "rem.approve")
	select {
	case <-h.made:
	case <-time.After(60 * time.Second):
		t.Fatalf("no change was made:\n%s", p.log.String())
	}
	p.kill()
	h.mu.Lock()
	h.hold = false
	h.mu.Unlock()
	p.run()
	p.waitText("not made twice")
	p.waitText("Fixed")
	if h.writes != 1 {
		t.Errorf("the change was made %d times", h.writes)
	}
}

// Killed before the change was made: it is made after the restart, once.
func TestKilledBeforeTheChange(t *testing.T) {
	reached, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	writes := 0
	p := launch(t, "coredns-scaled-to-zero", func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet && r.URL.Query().Get("dryRun") == "" {
				body, _ := io.ReadAll(r.Body) // the server sees that its client is gone only after that
				r.Body = io.NopCloser(bytes.NewReader(body))
				first := false
				once.Do(func() { first = true; close(reached) })
				if first {
					<-r.Context().Done()
					return
				}
				<-goOn
				writes++
			}
			next.ServeHTTP(rw, r)
		})
	})
	p.ask("DNS failure in prod")
	p.pressed(slack.Bo, "rem.approve")
	select {
	case <-reached:
	case <-time.After(60 * time.Second):
		t.Fatalf("no change was tried:\n%s", p.log.String())
	}
	p.kill()
	close(goOn)
	p.run()
	p.waitText("Fixed")
	if writes != 1 || p.replicas() == 0 {
		t.Errorf("the change was made %d times; replicas %v", writes, p.replicas())
	}
}

// A redelivered event, and the second event that a mention makes, start
// nothing, even with a restart between.
func TestRedeliveredEventStartsNothing(t *testing.T) {
	p := launch(t, "coredns-scaled-to-zero", nil)
	p.ask("<@" + slack.Bot + "> DNS failure in prod") // app_mention and message.channels
	p.waitButton("rem.approve")
	p.kill()
	p.run()
	// What Slack sends again after a lost acknowledgement has the same ts.
	p.slack.Disconnect("refresh_requested")
	p.ask("again something else, no trigger")
	time.Sleep(time.Second)
	if n := strings.Count(p.transcript(), "[run.evidence]"); n != 1 {
		t.Errorf("%d reports, want 1:\n%s", n, p.transcript())
	}
}

// The tokens, and secrets in the cluster, appear in no output.
func TestNoSecretLeaks(t *testing.T) {
	const planted = "hunter2-hunter2"
	p := launch(t, "leaky-pod", nil)
	p.env = append(p.env, "HOPWISE_LOG_LEVEL=DEBUG")
	p.kill()
	p.run()
	p.ask("network issue: password=" + planted + " checkout pods are stuck")
	m := p.waitButton("run.evidence")
	if err := p.slack.Press(slack.Ana, slack.Incidents, m.TS, "run.evidence"); err != nil {
		t.Fatal(err)
	}
	p.wait("modal", func() bool { return len(p.slack.Views(slack.Ana)) > 0 })
	var said strings.Builder
	for _, m := range p.messages() {
		said.WriteString(m.Text + string(m.Blocks))
	}
	for _, v := range p.slack.Views(slack.Ana) {
		b, _ := json.Marshal(v)
		said.Write(b)
	}
	db, err := os.ReadFile(strings.TrimPrefix(p.env[len(p.env)-3], "HOPWISE_DATABASE_URL=sqlite:"))
	if err == nil {
		said.Write(db)
	}
	for where, text := range map[string]string{"Slack": said.String(), "the log": p.log.String()} {
		for _, secret := range []string{planted, slack.BotToken, slack.AppToken, standin.SecretAccessKey} {
			if strings.Contains(text, secret) {
				t.Errorf("%q appears in %s", secret, where)
			}
		}
	}
}
