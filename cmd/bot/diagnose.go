package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/diagnose/catalogue"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/facts/collect"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/resolve"
	"github.com/hopwise/hopwise/internal/standin"
	"github.com/hopwise/hopwise/internal/text"
	"github.com/hopwise/hopwise/internal/world"
)

type diagnoseCmd struct {
	clusterFlags
	Text      []string `arg:"" optional:"" name:"text" help:"What is wrong, in your words: \"checkout pods are stuck\"."`
	Layer     string   `help:"Look at one layer only (with what could explain it): l3, l4, l7 or dns." placeholder:"LAYER"`
	Namespace string   `short:"n" help:"Namespace that the question is about." placeholder:"NS"`
	Target    string   `help:"Object that the question is about: NAME, NS/NAME or KIND/NAME." placeholder:"OBJECT"`
	From      string   `help:"Follow a connection from here: pod/NS/NAME, deploy/NS/NAME, NS/NAME, node/NAME, lb/NAME, an address, internet or control-plane. Needs --to." placeholder:"END"`
	To        string   `help:"Follow a connection to here: svc/NS/NAME:PORT, pod/NS/NAME:PORT, HOST:PORT, internet, ... Needs --from." placeholder:"END"`
	Protocol  string   `enum:"tcp,udp," default:"" help:"Protocol of that connection: tcp or udp."`
	Output    string   `short:"o" enum:"text,json,markdown" default:"text" help:"text, json or markdown."`
	Scenario  string   `help:"Diagnose an embedded example instead of a cluster." placeholder:"NAME"`
	List      bool     `help:"List the embedded examples."`
}

func (d *diagnoseCmd) Run(ctx context.Context, c *console) error {
	if d.List {
		return listScenarios(c)
	}
	checks, err := catalogue.Select(d.Layer)
	if err != nil {
		return exit{exitUsage, err}
	}
	from, to, err := d.ends()
	if err != nil {
		return err
	}
	s, err := load()
	if err != nil {
		return err
	}
	way, ask, done, err := d.connect(ctx, s)
	if err != nil {
		return err
	}
	defer done()
	in := d.intent(ask)
	if d.From != "" {
		in.From, in.Target, in.Protocol = from, to, d.Protocol
		ask = first(strings.Join(d.Text, " "), "can "+d.From+" reach "+d.To+"?")
	}
	r, err := look(ctx, way, s, checks, ask, in)
	if err != nil {
		return err
	}
	if err := d.print(c, r); err != nil {
		return err
	}
	return statusOf(r)
}

// ends reads --from and --to; both are zero when neither was given.
func (d *diagnoseCmd) ends() (from, to facts.Target, err error) {
	if d.From == "" && d.To == "" {
		if d.Protocol != "" {
			return from, to, usage("--protocol needs --from and --to")
		}
		return from, to, nil
	}
	if d.From == "" || d.To == "" {
		return from, to, usage("--from and --to go together: --from pod/shop/cart-0 --to svc/payments/payments:80")
	}
	if from, err = reach.ParseEnd(d.From); err != nil {
		return from, to, usage("--from: %v", err)
	}
	if to, err = reach.ParseEnd(d.To); err != nil {
		return from, to, usage("--to: %v", err)
	}
	from.Namespace, to.Namespace = inNamespace(from, d.Namespace), inNamespace(to, d.Namespace)
	return from, to, nil
}

// inNamespace is an end's namespace: its own, else that of --namespace where
// it is an object that has one.
func inNamespace(t facts.Target, namespace string) string {
	switch {
	case t.Namespace != "" || t.Name == "":
		return t.Namespace
	case t.Kind == reach.KindNode || t.Kind == reach.KindLoadBalancer || t.Kind == reach.KindVPCEndpoint:
		return ""
	}
	return namespace
}

// connect finds the cluster, or starts the stand-ins of a scenario. ask are
// the words to read, the scenario's own when there are none.
func (d *diagnoseCmd) connect(ctx context.Context, s settings) (way clients, ask string, done func(), err error) {
	ask = strings.Join(d.Text, " ")
	if d.Scenario == "" {
		way, err = connect(ctx, s, d.clusterFlags)
		return way, ask, func() {}, err
	}
	w, err := world.Load(d.Scenario)
	if err != nil {
		return way, ask, nil, exit{exitUsage, err}
	}
	apis, err := standin.Start(w, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		return way, ask, nil, err
	}
	return demoClients(apis), first(ask, w.Ask), func() { _ = apis.Close() }, nil
}

// intent reads the words; flags win over them.
func (d *diagnoseCmd) intent(ask string) intents.Intent {
	in := intents.Parse(ask, intents.Options{Mention: true})
	if d.Layer != "" {
		in.Layers = []facts.Layer{facts.Layer(d.Layer)}
	}
	if d.Target != "" {
		in.Target = facts.Target{Name: d.Target}
		if a, b, ok := strings.Cut(d.Target, "/"); ok {
			if kind, known := kindNames[strings.ToLower(a)]; known {
				in.Target = facts.Target{Kind: kind, Name: b, Namespace: in.Target.Namespace}
			} else {
				in.Target = facts.Target{Namespace: a, Name: b}
			}
		}
	}
	if d.Namespace != "" {
		in.Target.Namespace = d.Namespace
	}
	in.Request = true
	return in
}

// kindNames are the words for kinds in --target, as kubectl takes them.
var kindNames = map[string]string{
	"svc": "service", "service": "service", "services": "service", "ing": "ingress", "ingress": "ingress", "ingresses": "ingress",
	"pod": "pod", "pods": "pod", "po": "pod", "deploy": "deployment", "deployment": "deployment", "deployments": "deployment",
}

// look reads the cluster and runs the checks.
func look(ctx context.Context, way clients, s settings, checks []*diagnose.Check, ask string, in intents.Intent) (*diagnose.Report, error) {
	start := time.Now()
	reader, err := collect.New(collect.Config{
		Kube: way.kube, KubeErr: way.kubeErr, AWS: way.aws, AWSErr: way.awsErr, Cluster: way.cluster, Deadline: s.Deadline,
	})
	if err != nil {
		return nil, usage("%v", err)
	}
	snapshot, stats := reader.Take(ctx, diagnose.KindsFor(checks, in), in.Target, nil)
	if err := ctx.Err(); err != nil {
		return nil, exit{exitCouldNot, errors.New("interrupted; nothing was changed")}
	}
	r := diagnose.Run(checks, snapshot, facts.Redact(ask), in)
	r.Timing = diagnose.Timing{TotalMS: time.Since(start).Milliseconds(), CollectMS: stats.Duration.Milliseconds(), Calls: stats.Calls}
	return r, nil
}

func (d *diagnoseCmd) print(c *console, r *diagnose.Report) error {
	switch d.Output {
	case "json":
		enc := json.NewEncoder(c.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	case "markdown":
		text.Markdown(c.out, r)
	default:
		text.Terminal(c.out, r, c.tty)
	}
	return nil
}

// statusOf is the exit status of a report: silence of a check that could not
// look is not an all-clear.
func statusOf(r *diagnose.Report) error {
	fails := r.Resolution != nil && r.Resolution.Fails()
	stopped := r.Path != nil && (r.Path.Verdict == reach.Denied || r.Path.Verdict == reach.Partly)
	switch {
	case len(r.Findings) > 0 || stopped || fails:
		return exit{status: exitFound}
	case len(r.Unknown) > 0 || len(r.Unexplained) > 0 || r.Path != nil && r.Path.Verdict == reach.CannotTell,
		r.Resolution != nil && r.Resolution.Answer.Kind != resolve.Found:
		return exit{status: exitCouldNot}
	}
	return nil
}

func listScenarios(c *console) error {
	for _, name := range world.Names() {
		w, err := world.Load(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "%-40s %s\n", name, w.Title)
	}
	return nil
}

type intentsCmd struct {
	Mention bool `help:"Read each line as if it addressed the bot."`
}

// perceived is one line of `bot intents`.
type perceived struct {
	Text string `json:"text"`
	intents.Intent
}

func (i *intentsCmd) Run(c *console) error {
	in := bufio.NewReader(c.in)
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	for {
		line, err := in.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			p := perceived{line, intents.Parse(line, intents.Options{Mention: i.Mention})}
			if p.Layers == nil {
				p.Layers = []facts.Layer{}
			}
			if err := enc.Encode(p); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stdin: %w", err)
		}
	}
}

type checksCmd struct {
	ID     string `arg:"" optional:"" help:"Explain this check."`
	Output string `short:"o" enum:"text,json,markdown" default:"text" help:"text, json or markdown."`
	Pages  string `help:"Write a page for each check, and an index, into this directory." placeholder:"DIR"`
}

// explained is a check as `bot checks --output json` prints it.
type explained struct {
	ID       string       `json:"id"`
	Layer    facts.Layer  `json:"layer"`
	Title    string       `json:"title"`
	Doc      string       `json:"doc"`
	Needs    []facts.Kind `json:"needs"`
	Wants    []facts.Kind `json:"wants"`
	CausedBy []string     `json:"caused_by"`
	Sources  []string     `json:"sources"`
	Reads    []string     `json:"permissions"`
}

func explain(c *diagnose.Check) explained {
	e := explained{c.ID, c.Layer(), c.Title, c.Doc, []facts.Kind{}, []facts.Kind{}, append([]string{}, c.CausedBy...), append([]string{}, c.Sources...), []string{}}
	for _, n := range c.Needs {
		e.Needs = append(e.Needs, n.Kind())
	}
	for _, n := range c.Wants {
		e.Wants = append(e.Wants, n.Kind())
	}
	for _, n := range slices.Concat(c.Needs, c.Wants) {
		e.Reads = append(e.Reads, n.Permission())
	}
	slices.Sort(e.Reads)
	return e
}

func (k *checksCmd) Run(c *console) error {
	checks := catalogue.Checks()
	if k.Pages != "" {
		return writePages(k.Pages, checks)
	}
	if k.ID != "" {
		i := slices.IndexFunc(checks, func(c *diagnose.Check) bool { return c.ID == k.ID })
		if i < 0 {
			var ids []string
			for _, c := range checks {
				ids = append(ids, c.ID)
			}
			return usage("no check %q; did you mean %s?", k.ID, strings.Join(facts.Nearest(k.ID, ids, 3), ", "))
		}
		checks = checks[i : i+1]
	}
	switch {
	case k.Output == "json":
		list := []explained{}
		for _, ch := range checks {
			list = append(list, explain(ch))
		}
		enc := json.NewEncoder(c.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if k.ID != "" {
			return enc.Encode(list[0])
		}
		return enc.Encode(list)
	case k.Output == "markdown":
		for _, ch := range checks {
			fmt.Fprint(c.out, checkPage(explain(ch)))
		}
	case k.ID != "":
		e := explain(checks[0])
		fmt.Fprintf(c.out, "%s\n%s\n\n%s\n\nReads: %s\n", e.ID, e.Title, e.Doc, strings.Join(e.Reads, ", "))
		for _, s := range e.Sources {
			fmt.Fprintf(c.out, "See: %s\n", s)
		}
	default:
		for _, ch := range checks {
			fmt.Fprintf(c.out, "%-38s %s\n", ch.ID, ch.Title)
		}
	}
	return nil
}

// writePages writes the documentation of the checks, and removes the pages of
// checks that there are no more.
func writePages(dir string, checks []*diagnose.Check) error {
	index := "# Failure modes\n\nMade by `make docs` from the checks themselves.\n"
	for _, l := range facts.Layers {
		if err := os.RemoveAll(filepath.Join(dir, string(l))); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, string(l)), 0o755); err != nil {
			return err
		}
		index += "\n## " + l.Title() + "\n\n"
		for _, c := range checks {
			if c.Layer() != l {
				continue
			}
			index += fmt.Sprintf("- [%s](%s.md)\n", c.Title, c.ID)
			if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(c.ID)+".md"), []byte(checkPage(explain(c))), 0o644); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(dir, "README.md"), []byte(index), 0o644)
}

// checkPage is the documentation page of a check.
func checkPage(e explained) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n`%s` · %s\n\n%s\n\n## What it reads\n\n", e.Title, e.ID, e.Layer.Title(), e.Doc)
	for _, p := range e.Reads {
		fmt.Fprintf(&b, "- `%s`\n", p)
	}
	if len(e.CausedBy) > 0 {
		fmt.Fprintf(&b, "\n## What can explain it\n\n")
		for _, id := range e.CausedBy {
			fmt.Fprintf(&b, "- [%s](../%s.md)\n", id, id)
		}
	}
	fmt.Fprintf(&b, "\n## Sources\n\n")
	for _, s := range e.Sources {
		fmt.Fprintf(&b, "- %s\n", s)
	}
	return b.String()
}
