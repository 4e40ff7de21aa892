package main

import (
	"encoding/json"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/hopwise/hopwise/"

// floors are the packages of the product by the floor that they stand on;
// imports go down, or stay within the first two floors. The order is part of
// the design: see ARCHITECTURE.md.
var floors = map[string]int{
	"internal/facts": 0, "internal/remedy": 0,
	"internal/intents": 1, "internal/diagnose": 1, "internal/diagnose/l3": 1, "internal/diagnose/l4": 1, "internal/diagnose/l7": 1,
	"internal/diagnose/dns": 1, "internal/diagnose/catalogue": 1, "internal/diagnose/scenario": 1, "internal/reach": 1, "internal/resolve": 1,
	"internal/approval": 1, "internal/world": 1, "internal/golden": 1,
	"internal/slackui": 2, "internal/text": 2, "internal/facts/collect": 2, "internal/probe": 2, "internal/remedy/apply": 2, "internal/standin": 2,
	"internal/standin/slack": 2, "internal/standin/slack/page": 2, "internal/standin/aws": 2, "internal/standin/kube": 2,
	"internal/incident": 3,
	"cmd/bot":           4,
}

// A rule keeps imports out of all packages but some.
type rule struct {
	forbidden func(imp string) bool
	but       []string
	why       string
}

var rules = []rule{
	{
		forbidden: func(i string) bool {
			return strings.HasPrefix(i, "github.com/aws/aws-sdk-go-v2/service/") && !strings.HasSuffix(i, "/types")
		},
		but: []string{"internal/facts/collect", "internal/remedy/apply", "cmd/bot"},
		why: "an AWS client: only collect reads, only apply writes",
	},
	{
		forbidden: func(i string) bool { return strings.HasPrefix(i, "k8s.io/client-go/") },
		but:       []string{"internal/facts/collect", "internal/remedy/apply", "cmd/bot"},
		why:       "a Kubernetes client: only collect reads, only apply writes",
	},
	{
		forbidden: func(i string) bool { return strings.HasPrefix(i, "github.com/slack-go/") },
		but:       []string{"internal/slackui", "cmd/bot"},
		why:       "Slack: only slackui talks to it",
	},
	{
		forbidden: func(i string) bool { return i == "os" || i == "github.com/kelseyhightower/envconfig" },
		but:       []string{"cmd/bot", "internal/approval", "internal/golden"}, // approval: the policy and database files, by the path it is given
		why:       "the process's surroundings: only cmd/bot reads the environment",
	},
	{
		forbidden: func(i string) bool { return strings.HasPrefix(i, "github.com/dbos-inc/") },
		but:       []string{"internal/incident"},
		why:       "the workflow engine: only incident knows the order of things",
	},
	{
		forbidden: func(i string) bool { return i == "context" || i == "net/http" || i == "math/rand/v2" },
		but:       nil,
		why:       "a check is a pure function: no clock, no context, no call",
	},
}

// pure are the packages of the last rule.
var pure = []string{"internal/diagnose/l3", "internal/diagnose/l4", "internal/diagnose/l7", "internal/diagnose/dns", "internal/reach"}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func TestFloors(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		floor, ok := floors[name]
		if !ok {
			t.Errorf("%s stands on no floor: add it to the list, and to ARCHITECTURE.md", name)
			continue
		}
		for _, i := range p.Imports {
			imp, ours := strings.CutPrefix(i, module)
			if ours && !mayImport(name, imp, floor) {
				t.Errorf("%s (floor %d) imports %s (floor %d): imports go down", name, floor, imp, floors[imp])
			}
		}
		breaks(t, name, p.Imports)
	}
}

// mayImport reports whether a package may import another of ours: one of a
// lower floor, one of its own floor where that has no outside, or its part.
func mayImport(name, imp string, floor int) bool {
	return floors[imp] < floor || floors[imp] == floor && (floor < 2 || strings.HasPrefix(imp, name+"/"))
}

func breaks(t *testing.T, name string, imports []string) {
	for i, r := range rules {
		if slices.Contains(r.but, name) || i == len(rules)-1 && !slices.Contains(pure, name) {
			continue
		}
		for _, imp := range imports {
			if r.forbidden(imp) {
				t.Errorf("%s imports %s, which is %s", name, path.Base(imp), r.why)
			}
		}
	}
}
