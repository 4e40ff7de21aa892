package remedy

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// hostile is a name that a shell would take for much else.
const hostile = `a'b "c" $(touch x) ; \n ` + "`d`\n" + `*<é`

var (
	anyWorkload = Workload{Kind: "Deployment", Namespace: hostile, Name: hostile}
	corefile    = ".:53 {\n    forward . /etc/resolv.conf\n    template IN A ' {\n\trcode \"$NXDOMAIN\" `x` \\\n    }\n}\n"
)

// words are actions with the words that their commands must come to in a
// shell.
func words() map[string]struct {
	action Action
	want   []string
} {
	type c = struct {
		action Action
		want   []string
	}
	return map[string]c{
		"Corefile": {SetConfigMapKey{Namespace: "kube-system", Name: "coredns", Key: "Corefile", From: "x", To: corefile},
			[]string{"kubectl", "-n", "kube-system", "patch", "configmap", "coredns", "--type", "merge", "-p", jsonOf(map[string]any{"data": map[string]any{"Corefile": corefile}})}},
		"key that goes": {SetConfigMapKey{Namespace: hostile, Name: hostile, Key: hostile, From: "x"},
			[]string{"kubectl", "-n", hostile, "patch", "configmap", hostile, "--type", "merge", "-p", jsonOf(map[string]any{"data": map[string]any{hostile: nil}})}},
		"restart": {RestartWorkload{Workload: anyWorkload}, []string{"kubectl", "-n", hostile, "rollout", "restart", "deployment/" + hostile}},
		"ndots": {SetDNSOption{Workload: Workload{Kind: "StatefulSet", Namespace: "shop", Name: "db"}, Option: "ndots", To: "2", Others: []corev1.PodDNSConfigOption{{Name: "edns0"}}},
			[]string{"kubectl", "-n", "shop", "patch", "statefulset", "db", "--type=merge", "-p", `{"spec":{"template":{"spec":{"dnsConfig":{"options":[{"name":"edns0"},{"name":"ndots","value":"2"}]}}}}}`}},
		"no ndots": {SetDNSOption{Workload: anyWorkload, Option: "ndots", From: "2"},
			[]string{"kubectl", "-n", hostile, "patch", "deployment", hostile, "--type=merge", "-p", `{"spec":{"template":{"spec":{"dnsConfig":{"options":null}}}}}`}},
		"environment": {SetEnv{Workload: Workload{Kind: "DaemonSet", Namespace: "kube-system", Name: "aws-node"}, Container: "aws-vpc-cni-init", Variable: "DISABLE_TCP_EARLY_DEMUX", To: hostile},
			[]string{"kubectl", "-n", "kube-system", "set", "env", "daemonset/aws-node", "-c", "aws-vpc-cni-init", "DISABLE_TCP_EARLY_DEMUX=" + hostile}},
		"no environment": {SetEnv{Workload: anyWorkload, Container: hostile, Variable: "A", From: "b"},
			[]string{"kubectl", "-n", hostile, "set", "env", "deployment/" + hostile, "-c", hostile, "A-"}},
		"spread": {SpreadReplicas{Namespace: "shop", Name: "web", From: []corev1.TopologySpreadConstraint{{}}},
			[]string{"kubectl", "-n", "shop", "patch", "deployment", "web", "--type=merge", "-p", `{"spec":{"template":{"spec":{"topologySpreadConstraints":null}}}}`}},
		"no budget": {DeletePodDisruptionBudget{Budget{Namespace: hostile, Name: hostile}}, []string{"kubectl", "-n", hostile, "delete", "poddisruptionbudget", hostile}},
		"egress to a group": {AuthorizeEgress{EgressRule{Group: "sg-1", Protocol: "tcp", FromPort: 53, ToPort: 53, ToGroup: "sg-2"}},
			[]string{"aws", "ec2", "authorize-security-group-egress", "--group-id", "sg-1", "--ip-permissions", "IpProtocol=tcp,FromPort=53,ToPort=53,UserIdGroupPairs=[{GroupId=sg-2}]"}},
		"egress to IPv6": {RevokeEgress{EgressRule{Group: "sg-1", Protocol: "-1", FromPort: -1, ToPort: -1, ToCIDR: "2001:db8::/32"}},
			[]string{"aws", "ec2", "revoke-security-group-egress", "--group-id", "sg-1", "--ip-permissions", "IpProtocol=-1,Ipv6Ranges=[{CidrIpv6=2001:db8::/32}]"}},
		"attribute": {SetVPCAttribute{VPC: "vpc-1", Attribute: EnableDNSHostnames, To: true},
			[]string{"aws", "ec2", "modify-vpc-attribute", "--vpc-id", "vpc-1", "--enable-dns-hostnames", `{"Value":true}`}},
		"endpoint": {ModifyVPCEndpointPrivateDNS{Endpoint: "vpce-1"}, []string{"aws", "ec2", "modify-vpc-endpoint", "--vpc-endpoint-id", "vpce-1", "--no-private-dns-enabled"}},
		"zone": {AssociateVPCWithZone{ZoneVPC{Zone: "Z1", Name: "a.", VPC: "vpc-1", Region: "eu-west-1"}},
			[]string{"aws", "route53", "associate-vpc-with-hosted-zone", "--hosted-zone-id", "Z1", "--vpc", "VPCRegion=eu-west-1,VPCId=vpc-1"}},
		"resolver rule": {DisassociateResolverRule{RuleVPC{Rule: "rslvr-rr-1", VPC: "vpc-1"}},
			[]string{"aws", "route53resolver", "disassociate-resolver-rule", "--resolver-rule-id", "rslvr-rr-1", "--vpc-id", "vpc-1"}},
		"add-on": {SetAddonConfiguration{Cluster: hostile, Addon: "coredns", To: `{"corefile":"it's"}`, Role: "arn:aws:iam::1:role/r"},
			[]string{"aws", "eks", "update-addon", "--cluster-name", hostile, "--addon-name", "coredns", "--configuration-values", `{"corefile":"it's"}`, "--resolve-conflicts", "PRESERVE",
				"--service-account-role-arn", "arn:aws:iam::1:role/r"}},
		"no configuration": {SetAddonConfiguration{Cluster: "shop", Addon: "coredns", From: `{"replicaCount":2}`},
			[]string{"aws", "eks", "update-addon", "--cluster-name", "shop", "--addon-name", "coredns", "--configuration-values", "{}", "--resolve-conflicts", "PRESERVE"}},
	}
}

func jsonOf(v any) string { return string(mustJSON(v)) }

// A command is what a shell makes of it: each value is one word, whatever is
// in it.
func TestCommands(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	for name, c := range words() {
		t.Run(name, func(t *testing.T) {
			script := `say() { printf '%s\0' "$@"; }; kubectl() { say kubectl "$@"; }; aws() { say aws "$@"; }; ` + c.action.Command()
			cmd := exec.Command("bash", "-c", script)
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v: %s", c.action.Command(), err, out)
			}
			got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("words (-want +got):\n%s", diff)
			}
		})
	}
}

// An action that is undone twice is itself, and all of it survives storage.
func TestUndoAndStorage(t *testing.T) {
	actions := Actions{
		CreatePodDisruptionBudget{Budget{Namespace: "shop", Name: "web", Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, MaxUnavailable: intstr.FromString("25%")}},
	}
	for _, c := range words() {
		actions = append(actions, c.action)
	}
	for _, a := range actions {
		b, err := json.Marshal(Actions{a})
		if err != nil {
			t.Fatal(err)
		}
		var back Actions
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Actions{a}, back); diff != "" {
			t.Errorf("%s (-stored +read):\n%s", a.Type(), diff)
		}
		undo := a.Undo()
		if _, restart := a.(RestartWorkload); restart {
			if undo != nil {
				t.Errorf("a restart is undone by %s", undo.Command())
			}
			continue
		}
		if diff := cmp.Diff(a, undo.Undo()); diff != "" {
			t.Errorf("%s, undone twice (-want +got):\n%s", a.Type(), diff)
		}
		if undo.Command() == a.Command() || undo.Object() != a.Object() {
			t.Errorf("%s: undone by %s of %s", a.Command(), undo.Command(), undo.Object())
		}
	}
}

func TestDiff(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"one line", "a\nb\nc\n", "a\nx\nc\n", "- b\n+ x"},
		{"added", "a\n", "a\nb\n", "+ b"},
		{"removed at the start", "a\nb\n", "b\n", "- a"},
		{"all new", "", "a\nb", "+ a\n+ b"},
		{"moved", "a\nb\n", "b\na\n", "- a\n+ a"},
		{"same", "a\n", "a\n", ""},
	} {
		if got := (SetConfigMapKey{From: c.from, To: c.to}).Diff(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	addon := SetAddonConfiguration{From: `{"replicaCount":2,"tolerations":[]}`, To: `{"tolerations": [], "replicaCount": 3}`}
	if got, want := addon.Diff(), "-   \"replicaCount\": 2,\n+   \"replicaCount\": 3,"; got != want {
		t.Errorf("add-on: %q, want %q", got, want)
	}
}

func TestSameConfiguration(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"", "{}", true}, {`{"a":1,"b":2}`, `{ "b": 2, "a": 1 }`, true}, {`{"a":1}`, "", false},
		{"replicaCount: 2", "replicaCount: 2", true}, {"replicaCount: 2", `{"replicaCount":2}`, false},
	} {
		if got := SameConfiguration(c.a, c.b); got != c.same {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}

// What reads a workload finds what is there now.
func TestConstructors(t *testing.T) {
	two := "2"
	now := &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.2"}, Options: []corev1.PodDNSConfigOption{{Name: "edns0"}, {Name: "ndots", Value: &two}}}
	got := DNSOption(anyWorkload, now, "ndots", "3")
	want := SetDNSOption{Workload: anyWorkload, Option: "ndots", From: "2", To: "3", Others: []corev1.PodDNSConfigOption{{Name: "edns0"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("option (-want +got):\n%s", diff)
	}
	if r := Restart(anyWorkload, metav1.ObjectMeta{Annotations: map[string]string{RestartedAt: "yesterday"}}); r.Last != "yesterday" {
		t.Errorf("restart %+v", r)
	}
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
	d.Spec.Template.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 2, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.DoNotSchedule}}
	s := Spread(d)
	if len(s.From) != 1 || len(s.To) != 2 || s.To[1].TopologyKey != corev1.LabelTopologyZone || s.To[1].LabelSelector != d.Spec.Selector {
		t.Errorf("spread %+v", s)
	}
	if again := (Remedy{Actions: Actions{Restart(anyWorkload, metav1.ObjectMeta{})}}); !again.Transient() || again.Undo() != nil {
		t.Error("a restart leaves something behind")
	}
	if (Remedy{}).Transient() || (Remedy{Actions: Actions{s}}).Transient() {
		t.Error("a change of a template leaves nothing behind")
	}
}
