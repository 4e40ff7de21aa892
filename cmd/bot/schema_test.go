package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/resolve"
	"github.com/hopwise/hopwise/internal/world"
)

// readBack reads a printed report, and fails the test unless it is written
// again as it was: JSON loses nothing of a report.
func readBack(t *testing.T, printed string) diagnose.Report {
	t.Helper()
	var r diagnose.Report
	dec := json.NewDecoder(strings.NewReader(printed))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		t.Fatalf("decode: %v", err)
	}
	var again bytes.Buffer
	enc := json.NewEncoder(&again)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(printed, again.String()); diff != "" {
		t.Errorf("a report that is read and written again (-printed +again):\n%s", diff)
	}
	return r
}

// Every scenario's report can be printed and read back, and tells what the
// scenario wants, with the exit status that goes with it.
func TestReportJSON(t *testing.T) {
	alone(t)
	for _, name := range append(world.Names(), "base-shop") {
		t.Run(name, func(t *testing.T) {
			got := command(t.Context(), "diagnose", "--scenario", name, "--output", "json")
			r := readBack(t, got.out)
			want := exitClear
			switch {
			case len(r.Findings) > 0 || r.Resolution != nil && r.Resolution.Fails():
				want = exitFound
			case len(r.Unknown)+len(r.Unexplained) > 0 || r.Resolution != nil && r.Resolution.Answer.Kind != resolve.Found:
				want = exitCouldNot
			}
			if got.status != want || got.err != "" {
				t.Errorf("status %d, want %d; stderr %q", got.status, want, got.err)
			}
			w, err := world.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Findings) != len(w.Want) {
				t.Errorf("%d findings, the scenario wants %d", len(r.Findings), len(w.Want))
			}
		})
	}
}

// hostileText acts on whatever does not take care of it.
const hostileText = "\x1b[31m\x1b]0;owned\x07\u202egnp.exe\u2066\u200b <!channel> <https://evil.example|ok> `rm -rf` | a | b\r\n## x\x00\u009b5n"

// hostile is a cluster whose people mean harm: every text that they can choose
// carries hostileText.
func hostile(t testing.TB) *world.World {
	t.Helper()
	text, name := strconv.QuoteToASCII(hostileText), strconv.QuoteToASCII("evil"+hostileText) // as YAML takes them
	return parse(t, strings.NewReplacer("TEXT", text, "NAME", name).Replace(`base: none
-- kube/namespaces.json --
{"items": [{"metadata": {"name": "kube-system"}}, {"metadata": {"name": "shop"}}]}
-- kube/services.json --
{"items": [{"metadata": {"name": NAME, "namespace": "shop"}, "spec": {"clusterIP": "172.20.0.9", "selector": {"app": NAME}, "ports": [{"port": 80, "name": NAME}]}},
 {"metadata": {"name": "kube-dns", "namespace": "kube-system"}, "spec": {"clusterIP": "172.20.0.10", "selector": {"k8s-app": "kube-dns"}, "ports": [{"port": 53}]}}]}
-- kube/deployments.json --
{"items": [{"metadata": {"name": "coredns", "namespace": "kube-system"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"k8s-app": "kube-dns"}}, "template": {"metadata": {"labels": {"k8s-app": "kube-dns"}}, "spec": {"containers": [{"name": "coredns", "image": NAME}]}}}, "status": {"replicas": 2, "unavailableReplicas": 2}}]}
-- kube/pods.json --
{"items": [{"metadata": {"name": NAME, "namespace": "shop", "labels": {"app": NAME}}, "spec": {"nodeName": NAME, "containers": [{"name": NAME, "image": NAME, "readinessProbe": {"httpGet": {"path": TEXT, "port": 80}}}]},
  "status": {"phase": "Running", "podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "False", "message": TEXT, "reason": TEXT}], "containerStatuses": [{"name": NAME, "ready": false, "restartCount": 7, "image": NAME, "imageID": "", "state": {"waiting": {"reason": TEXT, "message": TEXT}}, "lastState": {"terminated": {"exitCode": 1, "reason": TEXT, "message": TEXT}}}]}},
 {"metadata": {"name": NAME, "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}, "spec": {"nodeName": NAME, "containers": [{"name": "coredns", "image": NAME}]},
  "status": {"phase": "Running", "podIP": "10.0.0.8", "conditions": [{"type": "Ready", "status": "False", "message": TEXT}], "containerStatuses": [{"name": "coredns", "ready": false, "restartCount": 7, "image": NAME, "imageID": "", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": TEXT}}}]}}]}
-- kube/endpointslices.json --
{"items": [{"metadata": {"name": "evil-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": NAME}}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.7"], "conditions": {"ready": false}, "targetRef": {"kind": "Pod", "name": NAME, "namespace": "shop"}}], "ports": [{"port": 80}]},
 {"metadata": {"name": "kube-dns-1", "namespace": "kube-system", "labels": {"kubernetes.io/service-name": "kube-dns"}}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.8"], "conditions": {"ready": false}}], "ports": [{"port": 53}]}]}
-- kube/nodes.json --
{"items": [{"metadata": {"name": NAME}, "spec": {"providerID": "aws:///eu-west-1a/i-0a1"}, "status": {"conditions": [{"type": "Ready", "status": "True", "message": TEXT}]}}]}
-- kube/events.json --
{"items": [{"metadata": {"name": "e1", "namespace": "shop"}, "involvedObject": {"kind": "Pod", "namespace": "shop", "name": NAME}, "reason": "Unhealthy", "message": TEXT, "type": "Warning"}]}
`))
}

// What the cluster calls its objects and says of them can neither steer a
// terminal nor break out of a ticket.
func TestHostileCluster(t *testing.T) {
	connected(t, hostile(t))
	for _, output := range []string{"text", "markdown"} {
		t.Run(output, func(t *testing.T) {
			got := command(t.Context(), "diagnose", "-o", output, "shop/"+hostileText+" is down")
			if got.status != exitFound || !strings.Contains(got.out, "evil") {
				t.Fatalf("status %d; the hostile objects are not in the report:\n%s\n%s", got.status, got.out, got.err)
			}
			for i, line := range strings.Split(got.out, "\n") {
				if at := strings.IndexFunc(line, acts); at >= 0 || strings.Contains(line, "\u200b") {
					t.Errorf("line %d has a character that acts: %q", i+1, line)
				}
				if output == "markdown" {
					checkMarkdown(t, line)
				}
			}
		})
	}
	t.Run("terminal", func(t *testing.T) {
		var out, errs bytes.Buffer
		run(t.Context(), &console{in: strings.NewReader(""), out: &out, err: &errs, tty: true}, []string{"diagnose", "network issue"})
		plain := ours.Replace(out.String())
		if plain == out.String() {
			t.Error("a terminal gets no colour")
		}
		if at := strings.IndexFunc(plain, acts); at >= 0 {
			t.Errorf("beside our own colours: %q", plain[at:min(len(plain), at+40)])
		}
	})
	t.Run("json", func(t *testing.T) {
		readBack(t, command(t.Context(), "diagnose", "-o", "json", "network issue").out)
	})
}

// ours takes the program's own colours away.
var ours = strings.NewReplacer("\x1b[0m", "", "\x1b[1m", "", "\x1b[2m", "", "\x1b[31m\x1b", "\x1b[31m\x1b", "\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "")

// checkMarkdown fails the test when a line of a ticket holds marks that came
// from outside and act.
func checkMarkdown(t *testing.T, line string) {
	t.Helper()
	if strings.HasPrefix(line, "    ") { // code
		return
	}
	if strings.Contains(line, "<!channel>") || strings.Contains(line, "<https") || strings.Contains(strings.ReplaceAll(line, "\\`", ""), "`rm") {
		t.Errorf("acts in Markdown: %q", line)
	}
	if cells := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); strings.HasPrefix(line, "|") && cells != 4 && cells != 6 {
		t.Errorf("%d cells in a row of a table: %q", cells, line)
	}
}

// Without a terminal, and with NO_COLOR on one, there is no escape code.
func TestNoColour(t *testing.T) {
	alone(t)
	got := command(t.Context(), "diagnose", "--scenario", "checkout-full-subnet")
	if strings.Contains(got.out+got.err, "\x1b") {
		t.Error("escape codes without a terminal")
	}
	t.Setenv("NO_COLOR", "1")
	if colourful(os.Stdout) {
		t.Error("colour in spite of NO_COLOR")
	}
}
