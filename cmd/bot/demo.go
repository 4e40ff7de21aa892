package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/standin"
	"github.com/hopwise/hopwise/internal/standin/slack"
	"github.com/hopwise/hopwise/internal/standin/slack/page"
	"github.com/hopwise/hopwise/internal/world"
)

// demoPolicy lets the demo's approver, and nobody else, approve.
const demoPolicy = `
safe:
  approvers: {users: [UBO], groups: [S0NETOPS]}
disruptive:
  approvers: {users: [UBO], groups: [S0NETOPS]}
`

type demoCmd struct {
	Scenario string `default:"checkout-full-subnet" help:"What is broken." placeholder:"NAME"`
	Addr     string `default:"127.0.0.1:8080" help:"Where the page is served."`
	List     bool   `help:"List what can be broken."`
	Dir      string `help:"Keep the database here, so that a restarted demo goes on (default: a temporary directory)." type:"existingdir" placeholder:"DIR"`
	Verbose  bool   `short:"v" help:"Log what the bot does."`
}

func (d *demoCmd) Run(ctx context.Context, c *console) error {
	if d.List {
		return listScenarios(c)
	}
	w, err := world.Load(d.Scenario)
	if err != nil {
		return exit{exitUsage, err}
	}
	dir, remove, err := d.directory()
	if err != nil {
		return err
	}
	defer remove()
	log := slog.New(slog.DiscardHandler)
	if d.Verbose {
		log = slog.New(slog.NewTextHandler(c.err, nil))
	}
	apis, err := standin.Start(w, 0, log)
	if err != nil {
		return err
	}
	defer apis.Close()
	return d.run(ctx, c, apis, dir, log)
}

// directory is where the demo keeps its database and kubeconfig.
func (d *demoCmd) directory() (dir string, remove func(), err error) {
	if d.Dir != "" {
		return d.Dir, func() {}, nil
	}
	dir, err = os.MkdirTemp("", "hopwise-demo-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

func (d *demoCmd) run(ctx context.Context, c *console, apis *standin.APIs, dir string, log *slog.Logger) error {
	l, err := net.Listen("tcp", d.Addr)
	if err != nil {
		return usage("the page cannot be served on %s: %v (choose another with --addr)", d.Addr, err)
	}
	url := "http://" + l.Addr().String()
	stage := &stage{apis: apis, playing: apis.World.Name}
	stage.slack = slack.New(slack.Options{Log: log, URL: url, Page: page.Handler(), Extra: stage.routes()})
	srv := &http.Server{Handler: stage.slack, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()

	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, apis.Kube.Kubeconfig(apis.KubeURL), 0o600); err != nil {
		return err
	}
	policy, err := approval.ParsePolicy("demo policy", []byte(demoPolicy))
	if err != nil {
		return err
	}
	s := settings{SlackBotToken: slack.BotToken, SlackAppToken: slack.AppToken, SlackAPIURL: url + "/api/", DatabaseURL: "sqlite:" + filepath.Join(dir, "hopwise.db"), Replica: "demo", Deadline: 8 * time.Second}
	var once sync.Once
	err = serve(ctx, bot{
		settings: s, clients: demoClients(apis), policy: policy, log: log,
		verifyAfter: []time.Duration{0, time.Second, 2 * time.Second},
		ready:       func() { once.Do(func() { d.welcome(c, apis, url, kubeconfig) }) },
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (d *demoCmd) welcome(c *console, apis *standin.APIs, url, kubeconfig string) {
	fmt.Fprintf(c.out, `
  Open  %s

  Broken: %s
  Type:   %s

  The same cluster with kubectl:      KUBECONFIG=%s kubectl get pods -A
  The same account with the AWS CLI:  AWS_ENDPOINT_URL=%s AWS_REGION=%s AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s aws ec2 describe-subnets

`, url, apis.World.Title, apis.World.Ask, kubeconfig, apis.AWSURL, apis.World.Region, standin.AccessKeyID, standin.SecretAccessKey)
}

// A stage lets the page choose what is broken.
type stage struct {
	apis  *standin.APIs
	slack *slack.Server

	mu      sync.Mutex
	playing string // the scenario
}

func (s *stage) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /demo/scenarios", s.list)
	mux.HandleFunc("POST /demo/scenario", s.choose)
	mux.HandleFunc("POST /demo/reset", func(rw http.ResponseWriter, _ *http.Request) { s.play(rw, "") })
	return http.NewCrossOriginProtection().Handler(mux) // no other page may change the demo
}

type scene struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Ask   string `json:"ask"`
}

// scenes are all scenarios, read once: parsing them takes a second.
var scenes = sync.OnceValue(func() (list []scene) {
	for _, name := range world.Names() {
		if w, err := world.Load(name); err == nil {
			list = append(list, scene{name, w.Title, w.Ask})
		}
	}
	return list
})

func (s *stage) list(rw http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	answer := struct {
		Current   string  `json:"current"`
		Scenarios []scene `json:"scenarios"`
	}{s.playing, scenes()}
	s.mu.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(answer)
}

func (s *stage) choose(rw http.ResponseWriter, r *http.Request) {
	var body struct{ Name string }
	if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, 4096)).Decode(&body); err != nil {
		http.Error(rw, "want a JSON object with the name of a scenario", http.StatusBadRequest)
		return
	}
	s.play(rw, body.Name)
}

// play makes the world a scenario from its start, and empties the channels.
// The empty name is the scenario that is played.
func (s *stage) play(rw http.ResponseWriter, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := world.Load(first(name, s.playing))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusNotFound)
		return
	}
	s.playing = w.Name
	s.apis.Reset(w)
	s.slack.Reset()
	rw.WriteHeader(http.StatusNoContent)
}

// version is the program's version as the build tells it.
func version() string {
	if release != "" {
		return strings.TrimPrefix(release, "v")
	}
	return "development"
}

// release is set by the linker (-X main.release=v1.2.3).
var release string

type versionCmd struct{}

func (versionCmd) Run(c *console) error {
	_, err := fmt.Fprintln(c.out, "hopwise", version())
	return err
}
