package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
	"golang.org/x/term"

	"github.com/hopwise/hopwise/internal/facts"
)

// A secret prints as dots, however it is printed.
type secret string

const dots = "••••••"

func (secret) String() string               { return dots }
func (secret) GoString() string             { return dots }
func (secret) LogValue() slog.Value         { return slog.StringValue(dots) }
func (secret) MarshalJSON() ([]byte, error) { return json.Marshal(dots) }
func (secret) MarshalText() ([]byte, error) { return []byte(dots), nil }

// settings are all that the environment says. This file is its only reader;
// KUBECONFIG and AWS_* are read by the clients' own loaders, from here too.
type settings struct {
	SlackBotToken secret        `envconfig:"SLACK_BOT_TOKEN" desc:"xoxb-... token of the Slack app's bot user"`
	SlackAppToken secret        `envconfig:"SLACK_APP_TOKEN" desc:"xapp-... app-level token with connections:write"`
	SlackAPIURL   string        `envconfig:"SLACK_API_URL" desc:"address of the Slack API where it is not Slack's own, such as https://slack-gov.com/api/"`
	Cluster       string        `envconfig:"HOPWISE_CLUSTER" desc:"name of the EKS cluster; taken from the kubeconfig when that tells it"`
	DatabaseURL   string        `envconfig:"HOPWISE_DATABASE_URL" default:"sqlite:hopwise.db" desc:"sqlite:FILE or postgres://..."`
	Policy        string        `envconfig:"HOPWISE_POLICY" desc:"policy file that names who may approve fixes; without one the bot only reads"`
	Replica       string        `envconfig:"HOPWISE_REPLICA" default:"local" desc:"name of this replica on a shared database: the same after a restart"`
	Deadline      time.Duration `envconfig:"HOPWISE_DEADLINE" default:"8s" desc:"how long reading the cluster may take; what is missing by then is reported as a gap"`
	LogLevel      slog.Level    `envconfig:"HOPWISE_LOG_LEVEL" default:"INFO" desc:"DEBUG, INFO, WARN or ERROR"`
}

// load reads the settings. Every mistake is one line that names the variable.
func load() (settings, error) {
	var s settings
	var wrong []string
	if err := envconfig.Process("", &s); err != nil {
		var p *envconfig.ParseError
		if errors.As(err, &p) {
			wrong = append(wrong, fmt.Sprintf("%s=%q is not a %s", p.KeyName, p.Value, kindOf(p.TypeName)))
		} else {
			wrong = append(wrong, err.Error())
		}
	}
	if s.Deadline <= 0 && len(wrong) == 0 {
		wrong = append(wrong, fmt.Sprintf("HOPWISE_DEADLINE=%s: want a time longer than 0, such as 8s", s.Deadline))
	}
	wrong = append(wrong, unknownVariables()...)
	if len(wrong) > 0 {
		return s, usage("%s", strings.Join(wrong, "\nbot: "))
	}
	return s, nil
}

func kindOf(typeName string) string {
	switch typeName {
	case "time.Duration":
		return "duration such as 8s or 1m"
	case "slog.Level":
		return "log level: want DEBUG, INFO, WARN or ERROR"
	}
	return typeName
}

// variables are the names that settings reads.
func variables() (names []string) {
	t := reflect.TypeFor[settings]()
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("envconfig"))
	}
	return names
}

// unknownVariables finds HOPWISE_ variables that nothing reads: a typo there
// must not be a setting that silently does not hold.
func unknownVariables() (wrong []string) {
	known := map[string]bool{}
	for _, v := range variables() {
		known[v] = true
	}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "HOPWISE_") && !strings.HasPrefix(name, "HOPWISE_TEST_") && name != "HOPWISE_PEERS" && name != "HOPWISE_PEERS_VENV" && !known[name] {
			wrong = append(wrong, fmt.Sprintf("%s is no setting; did you mean %s?", name, facts.Nearest(name, variables(), 1)[0]))
		}
	}
	return wrong
}

// slackTokens checks what `bot serve` cannot do without.
func (s settings) slackTokens() error {
	var wrong []string
	for _, t := range []struct{ name, value, prefix, where string }{
		{"SLACK_BOT_TOKEN", string(s.SlackBotToken), "xoxb-", "OAuth & Permissions, Bot User OAuth Token"},
		{"SLACK_APP_TOKEN", string(s.SlackAppToken), "xapp-", "Basic Information, App-Level Tokens, scope connections:write"},
	} {
		switch {
		case t.value == "":
			wrong = append(wrong, fmt.Sprintf("%s is not set: copy it from api.slack.com/apps, %s", t.name, t.where))
		case !strings.HasPrefix(t.value, t.prefix):
			wrong = append(wrong, fmt.Sprintf("%s does not begin with %s: it is another kind of token (see api.slack.com/apps, %s)", t.name, t.prefix, t.where))
		}
	}
	if len(wrong) > 0 {
		return usage("%s", strings.Join(wrong, "\nbot: "))
	}
	return nil
}

// settingsHelp is the list of settings for --help.
func settingsHelp() string {
	var b strings.Builder
	b.WriteString("Settings (environment):\n\n")
	t := reflect.TypeFor[settings]()
	for i := range t.NumField() {
		f := t.Field(i)
		fmt.Fprintf(&b, "  %-22s %s", f.Tag.Get("envconfig"), f.Tag.Get("desc"))
		if d := f.Tag.Get("default"); d != "" {
			fmt.Fprintf(&b, " (default %s)", d)
		}
		b.WriteString("\n")
	}
	b.WriteString("  KUBECONFIG             kubeconfig file; in a cluster the pod's service account is used\n")
	b.WriteString("  AWS_*                  the usual settings: AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL ...\n")
	return b.String()
}

// colourful reports whether f is a terminal on which colour is wanted
// (no-color.org).
func colourful(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}
