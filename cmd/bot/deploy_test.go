package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/slackui"
	"github.com/hopwise/hopwise/internal/standin/slack"
)

// deployed reads a file of the deploy folder.
func deployed(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../deploy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A grant is one permission that a role gives.
type grant struct {
	permission string   // "verb resource"
	namespace  string   // "" for all of them
	names      []string // nil for every object
}

// grants are the permissions of a file of Kubernetes roles.
func grants(t *testing.T, name string) (all []grant) {
	t.Helper()
	for doc := range bytes.SplitSeq(deployed(t, name), []byte("\n---\n")) {
		var role struct {
			Kind     string
			Metadata struct{ Namespace string }
			Rules    []struct{ APIGroups, Resources, ResourceNames, Verbs []string }
		}
		if err := yaml.Unmarshal(doc, &role); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, r := range role.Rules {
			for _, res := range r.Resources {
				for _, verb := range r.Verbs {
					all = append(all, grant{verb + " " + res, role.Metadata.Namespace, r.ResourceNames})
				}
			}
		}
	}
	return all
}

// granted are the permissions of a file of Kubernetes roles, as "verb
// resource".
func granted(t *testing.T, name string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, g := range grants(t, name) {
		all[g.permission] = true
	}
	return all
}

// actions are the API actions that a file of IAM statements allows.
func actions(t *testing.T, name string) map[string]bool {
	t.Helper()
	var policy struct {
		Statement []struct {
			Effect string
			Action any // a string or a list
		}
	}
	if err := json.Unmarshal(deployed(t, name), &policy); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	all := map[string]bool{}
	for _, s := range policy.Statement {
		if s.Effect != "Allow" {
			t.Errorf("%s: effect %s", name, s.Effect)
		}
		list, ok := s.Action.([]any)
		if !ok {
			list = []any{s.Action}
		}
		for _, a := range list {
			all[a.(string)] = true
		}
	}
	return all
}

// Every fact that the bot reads is granted by the roles to read, and they
// grant nothing that changes or reveals. What reaches further than reading is
// in a file of its own.
func TestReadRoles(t *testing.T) {
	kube, cloud := granted(t, "rbac-read.yaml"), actions(t, "iam-read.json")
	proxy := granted(t, "rbac-read-proxy.yaml")
	for _, n := range facts.Needs {
		if p := n.Permission(); n.Kind().IsKube() && !kube[p] && !proxy[p] || !n.Kind().IsKube() && !cloud[p] {
			t.Errorf("%s needs %q, which no role in deploy grants", n.Kind(), p)
		}
	}
	for _, g := range grants(t, "rbac-read.yaml") {
		verb, resource, _ := strings.Cut(g.permission, " ")
		byName := g.names != nil && (resource == "configmaps" || resource == "clusterroles")
		logs := g.permission == "get pods/log" && g.namespace != ""
		if verb != "list" && !(verb == "get" && byName) && !logs || resource == "secrets" || resource == "*" {
			t.Errorf("rbac-read.yaml grants %q on %v in %q", g.permission, g.names, g.namespace)
		}
	}
	want := []grant{{"get pods/proxy", "kube-system", nil}, {"get nodes/proxy", "", nil}}
	if diff := cmp.Diff(want, grants(t, "rbac-read-proxy.yaml"), cmp.AllowUnexported(grant{})); diff != "" {
		t.Errorf("rbac-read-proxy.yaml (-want +grants):\n%s", diff)
	}
	for a := range cloud {
		if _, call, _ := strings.Cut(a, ":"); !strings.HasPrefix(call, "Describe") && !strings.HasPrefix(call, "List") && !slices.Contains(harmlessGets, a) {
			t.Errorf("iam-read.json allows %q", a)
		}
	}
	called := checkSDKCalls(t, "../../internal/facts/collect", cloud)
	change := actions(t, "iam-write.json")
	maps.Copy(change, cloud)
	maps.Copy(called, checkSDKCalls(t, "../../internal/remedy/apply", change))
	for a := range cloud {
		if !called[a] {
			t.Errorf("iam-read.json allows %s, which nothing calls", a)
		}
	}
}

// harmlessGets are the actions that read a setting without Describe or List in
// their names.
var harmlessGets = []string{"servicequotas:GetServiceQuota", "servicequotas:GetAWSDefaultServiceQuota", "route53resolver:GetFirewallConfig"}

// checkSDKCalls compares the AWS calls in a package's source with what a role
// allows, and returns them.
func checkSDKCalls(t *testing.T, dir string, allowed map[string]bool) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no source", err)
	}
	services := map[string]string{"ec2": "ec2", "eks": "eks", "elb": "elasticloadbalancing", "route53": "route53", "route53resolver": "route53resolver", "servicequotas": "servicequotas"}
	input := regexp.MustCompile(`&(ec2|eks|elb|route53|route53resolver|servicequotas)\.([A-Z][A-Za-z0-9]+)Input\{`)
	called := map[string]bool{}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range input.FindAllSubmatch(src, -1) {
			a := services[string(m[1])] + ":" + string(m[2])
			called[a] = true
			if !allowed[a] {
				t.Errorf("%s calls %s, which no role in deploy allows", path.Base(f), a)
			}
		}
	}
	if len(called) == 0 {
		t.Errorf("no AWS calls found in %s", dir)
	}
	return called
}

// every is one action of each type there is.
var every = []remedy.Action{
	remedy.AuthorizeIngress{}, remedy.RevokeIngress{}, remedy.CreateRoute{}, remedy.DeleteRoute{},
	remedy.AssociateRouteTable{}, remedy.DisassociateRouteTable{}, remedy.TagResource{}, remedy.UntagResource{},
	remedy.SetSelector{}, remedy.Annotate{Resource: "services"}, remedy.Annotate{Resource: "ingresses"}, remedy.ScaleDeployment{},
	remedy.CreateNetworkPolicy{}, remedy.DeleteNetworkPolicy{}, remedy.CreateACLEntry{}, remedy.DeleteACLEntry{}, remedy.SetServicePort{},
	remedy.AuthorizeEgress{}, remedy.RevokeEgress{}, remedy.SetVPCAttribute{}, remedy.ModifyVPCEndpointPrivateDNS{},
	remedy.AssociateVPCWithZone{}, remedy.DisassociateVPCFromZone{}, remedy.AssociateResolverRule{}, remedy.DisassociateResolverRule{},
	remedy.SetAddonConfiguration{}, remedy.SetConfigMapKey{}, remedy.CreatePodDisruptionBudget{}, remedy.DeletePodDisruptionBudget{},
	remedy.RestartWorkload{Workload: remedy.Workload{Kind: "Deployment"}}, remedy.RestartWorkload{Workload: remedy.Workload{Kind: "DaemonSet"}},
	remedy.SetDNSOption{Workload: remedy.Workload{Kind: "StatefulSet"}}, remedy.SetEnv{Workload: remedy.Workload{Kind: "DaemonSet"}}, remedy.SpreadReplicas{},
}

// Every change that the bot can make is granted by the roles to write.
func TestWriteRoles(t *testing.T) {
	files, err := filepath.Glob("../../internal/remedy/*.go")
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		written += bytes.Count(src, []byte(") Type() string"))
	}
	types := map[string]bool{}
	for _, a := range every {
		types[fmt.Sprintf("%T", a)] = true
	}
	if written != len(types) {
		t.Errorf("%d types of action, and this test knows %d", written, len(types))
	}
	kube, cloud := granted(t, "rbac-write.yaml"), actions(t, "iam-write.json")
	for _, a := range every {
		p := a.Permission()
		if of := map[bool]map[string]bool{true: cloud, false: kube}[strings.Contains(p, ":")]; !of[p] {
			t.Errorf("%T needs %q, which no role in deploy grants", a, p)
		}
	}
	maps.Copy(cloud, actions(t, "iam-read.json"))
	checkSDKCalls(t, "../../internal/remedy/apply", cloud)
}

func TestDeployedPolicy(t *testing.T) {
	p, err := approval.LoadPolicy("../../deploy/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if p.ReadOnly("shop") || !p.ReadOnly("prod-archive") {
		t.Error("the example lets approve nothing, or everywhere")
	}
}

// The manifest asks for the scopes that the bot needs, no more and no less,
// and the stand-in of Slack gives a bot the same.
func TestManifest(t *testing.T) {
	var m struct {
		OAuth struct {
			Scopes struct{ Bot []string }
		} `json:"oauth_config"`
		Features struct {
			Commands []struct{ Command string } `json:"slash_commands"`
		}
		Settings struct {
			Events struct {
				Bot []string `json:"bot_events"`
			} `json:"event_subscriptions"`
			Interactivity struct {
				Enabled bool `json:"is_enabled"`
			}
			SocketMode bool `json:"socket_mode_enabled"`
		}
	}
	if err := yaml.Unmarshal(deployed(t, "slack-manifest.yaml"), &m); err != nil {
		t.Fatal(err)
	}
	scopes := slices.Sorted(slices.Values(m.OAuth.Scopes.Bot))
	if missing := slackui.MissingScopes(slackui.Self{Scopes: scopes}); missing != nil {
		t.Errorf("the bot needs %q, which the manifest does not ask for", missing)
	}
	for _, s := range scopes {
		without := slices.DeleteFunc(slices.Clone(scopes), func(o string) bool { return o == s })
		if slackui.MissingScopes(slackui.Self{Scopes: without}) == nil {
			t.Errorf("the manifest asks for %q, which the bot does not need", s)
		}
	}
	standin := slices.DeleteFunc(slices.Sorted(slices.Values(slack.DefaultScopes())), func(s string) bool {
		return s == "files:write" || s == "reactions:write" // the stand-in can take files and emoji, which the bot does not send
	})
	if diff := cmp.Diff(scopes, standin); diff != "" {
		t.Errorf("scopes (-manifest +stand-in):\n%s", diff)
	}
	for event, scope := range map[string]string{"app_mention": "app_mentions:read", "message.channels": "channels:history", "message.groups": "groups:history", "message.im": "im:history"} {
		if !slices.Contains(m.Settings.Events.Bot, event) || !slices.Contains(scopes, scope) {
			t.Errorf("event %s or its scope %s is missing", event, scope)
		}
	}
	if len(m.Features.Commands) != 1 || m.Features.Commands[0].Command != "/hopwise" || !m.Settings.SocketMode || !m.Settings.Interactivity.Enabled {
		t.Errorf("the command, Socket Mode or interactivity is missing: %+v", m)
	}
}

// What runs in the cluster sets settings that there are, and its service
// account is the one that the roles are for.
func TestDeployment(t *testing.T) {
	var set struct {
		Metadata struct{ Namespace string }
		Spec     struct {
			Replicas int
			Template struct {
				Spec struct {
					ServiceAccountName string
					Containers         []struct {
						Args []string
						Env  []struct{ Name string }
					}
				}
			}
		}
	}
	b := deployed(t, "hopwise.yaml")
	if err := yaml.Unmarshal(b, &set); err != nil {
		t.Fatal(err)
	}
	pod := set.Spec.Template.Spec
	for _, e := range pod.Containers[0].Env {
		if !slices.Contains(variables(), e.Name) && !strings.HasPrefix(e.Name, "AWS_") {
			t.Errorf("hopwise.yaml sets %s, which is no setting", e.Name)
		}
	}
	if !cmp.Equal(pod.Containers[0].Args, []string{"serve"}) || set.Spec.Replicas != 1 {
		t.Errorf("args %q, replicas %d", pod.Containers[0].Args, set.Spec.Replicas)
	}
	for _, name := range []string{"rbac-read.yaml", "rbac-read-proxy.yaml", "rbac-write.yaml"} {
		account := fmt.Sprintf("name: %s\n    namespace: %s\n", pod.ServiceAccountName, set.Metadata.Namespace)
		if !bytes.Contains(deployed(t, name), []byte(account)) {
			t.Errorf("%s is not for the service account of hopwise.yaml", name)
		}
	}
	for _, token := range []string{"SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"} {
		if !bytes.Contains(b, []byte("--from-literal="+token+"=")) {
			t.Errorf("hopwise.yaml does not say where %s comes from", token)
		}
	}
}

// The table of settings in the README names the settings that there are.
func TestReadmeSettings(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	table := string(b)[strings.Index(string(b), "| setting |"):]
	table, _, _ = strings.Cut(table, "\n\n")
	var got []string
	for line := range strings.Lines(table) {
		cell := strings.Split(line, "|")[1]
		for _, name := range regexp.MustCompile("`([A-Z][A-Z_]+)`").FindAllStringSubmatch(cell, -1) {
			if name[1] != "KUBECONFIG" { // a setting of the client's own
				got = append(got, name[1])
			}
		}
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(variables()))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-config.go +README.md):\n%s", diff)
	}
	for _, name := range want {
		if !strings.Contains(settingsHelp(), name+" ") {
			t.Errorf("%s is not in bot serve --help", name)
		}
	}
}
