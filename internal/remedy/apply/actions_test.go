package apply_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/remedy/apply"
	"github.com/hopwise/hopwise/internal/standin"
	"github.com/hopwise/hopwise/internal/world"
)

// more is what the base cluster lacks for some action.
const more = `A cluster with one of everything that an action changes.
-- kube/configmaps.yaml --
items:
- metadata: {name: coredns, namespace: kube-system}
  data: {Corefile: ".:53 {\n    forwrad . /etc/resolv.conf\n}\n"}
-- kube/statefulsets.yaml --
items:
- metadata: {name: db, namespace: shop, generation: 1}
  spec:
    serviceName: db
    replicas: 1
    selector: {matchLabels: {app: db}}
    template:
      metadata: {labels: {app: db}}
      spec: {containers: [{name: db, image: db}]}
  status: {replicas: 1, readyReplicas: 1}
-- kube/pods.yaml --
items:
- metadata: {name: db-0, namespace: shop, uid: first, labels: {app: db, statefulset.kubernetes.io/pod-name: db-0}, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: x, controller: true}]}
  spec: {nodeName: ip-10-0-10-11.eu-west-1.compute.internal, containers: [{name: db, image: db}]}
  status: {phase: Running, conditions: [{type: Ready, status: "True"}]}
-- ec2/vpcs.yaml --
Vpcs:
- {VpcId: vpc-2, CidrBlock: 10.2.0.0/16, OwnerId: "111122223333", State: available}
-- ec2/vpc-endpoints.yaml --
VpcEndpoints:
- {VpcEndpointId: vpce-sqs, VpcId: vpc-0a1b2c3d4e5f60001, VpcEndpointType: Interface, ServiceName: com.amazonaws.eu-west-1.sqs, State: available, PrivateDnsEnabled: false}
-- route53/hosted-zones.yaml --
HostedZones:
- {Id: /hostedzone/ZPAY, Name: pay.internal., CallerReference: pay, Config: {PrivateZone: true}, VPCs: [{VPCId: vpc-2, VPCRegion: eu-west-1}]}
-- route53resolver/rules.yaml --
ResolverRules:
- {Id: rslvr-rr-corp, Name: corp, DomainName: corp.example., RuleType: FORWARD, Status: COMPLETE}
`

const vpcID = "vpc-0a1b2c3d4e5f60001"

// A lab is a world behind the stand-ins with a writer on it.
type lab struct {
	*testing.T
	world  *world.World
	apis   *standin.APIs
	writer *apply.Writer
}

func newLab(t *testing.T) lab {
	t.Helper()
	w, err := world.Parse("more", []byte(more))
	if err != nil {
		t.Fatal(err)
	}
	apis, err := standin.Start(w, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = apis.Close() })
	writer, err := apply.New(&rest.Config{Host: apis.KubeURL, BearerToken: standin.KubeToken},
		&aws.Config{Region: w.Region, BaseEndpoint: &apis.AWSURL, Credentials: credentials.NewStaticCredentialsProvider(standin.AccessKeyID, standin.SecretAccessKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	return lab{t, w, apis, writer}
}

// object reads one object of the world.
func object[T any](l lab, kind facts.Kind, id string) T {
	l.Helper()
	d, err := l.world.Get(kind, id)
	if err != nil {
		l.Fatal(err)
	}
	v, err := world.Decode[T](d)
	if err != nil {
		l.Fatal(err)
	}
	return v
}

// pods are the names and uids of the pods with a label.
func (l lab) pods(key, value string) []string {
	docs, _ := l.world.List("kube/pods")
	var ids []string
	for _, d := range docs {
		p, err := world.Decode[corev1.Pod](d)
		if err != nil {
			l.Fatal(err)
		}
		if p.Labels[key] == value && p.DeletionTimestamp == nil {
			ids = append(ids, p.Name+" "+string(p.UID)+" "+string(p.Status.Phase))
		}
	}
	return ids
}

// set changes one field of an object, as somebody else would.
func (l lab) set(kind facts.Kind, id string, value any, path ...string) {
	l.Helper()
	err := l.world.Update(kind, id, func(d world.Doc) error {
		for _, p := range path[:len(path)-1] {
			next, ok := d[p].(world.Doc)
			if !ok {
				next = world.Doc{}
				d[p] = next
			}
			d = next
		}
		d[path[len(path)-1]] = value
		return nil
	})
	if err != nil {
		l.Fatal(err)
	}
}

var (
	corednsWorkload = remedy.Workload{Kind: "Deployment", Namespace: "kube-system", Name: "coredns"}
	awsNode         = remedy.Workload{Kind: "DaemonSet", Namespace: "kube-system", Name: "aws-node"}
	database        = remedy.Workload{Kind: "StatefulSet", Namespace: "shop", Name: "db"}
	badCorefile     = ".:53 {\n    forwrad . /etc/resolv.conf\n}\n"
	goodCorefile    = strings.Replace(badCorefile, "forwrad", "forward", 1)
	budget          = remedy.Budget{Namespace: "shop", Name: "web", Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, MaxUnavailable: intstr.FromInt32(1)}
	toDNS           = remedy.EgressRule{Group: "sg-0c10000000000000c", Protocol: "udp", FromPort: 53, ToPort: 53, ToCIDR: "192.0.2.0/24"}
	payZone         = remedy.ZoneVPC{Zone: "ZPAY", Name: "pay.internal", VPC: vpcID, Region: "eu-west-1"}
)

// A trial is an action with what it must do to the world.
type trial struct {
	action   remedy.Action
	done     func(l lab) string // why it is not done; "" when it is
	meddle   func(l lab)        // somebody else changes the object first; nil where no conflict can be
	noUndo   bool
	dryReads bool // the dry run does not ask for the permission to write
}

func want(ok bool, format string, args ...any) string {
	if ok {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func trials() map[string]trial {
	web := func(l lab) *appsv1.Deployment {
		d := object[appsv1.Deployment](l, "kube/deployments", "shop/web")
		return &d
	}
	return map[string]trial{
		"Corefile": {
			action: remedy.SetConfigMapKey{Namespace: "kube-system", Name: "coredns", Key: "Corefile", From: badCorefile, To: goodCorefile},
			done: func(l lab) string {
				got := object[corev1.ConfigMap](l, "kube/configmaps", "kube-system/coredns").Data["Corefile"]
				return want(got == goodCorefile, "Corefile %q", got)
			},
			meddle: func(l lab) { l.set("kube/configmaps", "kube-system/coredns", ".:53 {}", "data", "Corefile") },
		},
		"restart of a Deployment": {
			action: remedy.Restart(corednsWorkload, metav1.ObjectMeta{}), noUndo: true,
			done: func(l lab) string {
				pods := l.pods("k8s-app", "kube-dns")
				return want(len(pods) == 2 && !strings.Contains(fmt.Sprint(pods), "76f9c5d8b4") && strings.Count(fmt.Sprint(pods), "Running") == 2, "pods %q", pods)
			},
		},
		"restart of a DaemonSet": {
			action: remedy.Restart(awsNode, metav1.ObjectMeta{}), noUndo: true,
			done: func(l lab) string {
				pods := l.pods("k8s-app", "aws-node")
				return want(len(pods) == 4 && !strings.Contains(fmt.Sprint(pods), "7xk2p") && strings.Count(fmt.Sprint(pods), "Running") == 4, "pods %q", pods)
			},
		},
		"restart of a StatefulSet": {
			action: remedy.Restart(database, metav1.ObjectMeta{}), noUndo: true,
			done: func(l lab) string {
				pods := l.pods("app", "db")
				return want(len(pods) == 1 && strings.HasPrefix(pods[0], "db-0 ") && !strings.Contains(pods[0], "first"), "pods %q", pods)
			},
		},
		"ndots": {
			action: remedy.DNSOption(remedy.Workload{Kind: "Deployment", Namespace: "shop", Name: "web"}, nil, "ndots", "2"),
			done: func(l lab) string {
				c := web(l).Spec.Template.Spec.DNSConfig
				if c == nil || len(c.Options) != 1 {
					return fmt.Sprintf("dnsConfig %v", c)
				}
				for _, p := range l.pods("app", "web") {
					name, _, _ := strings.Cut(p, " ")
					if got := object[corev1.Pod](l, "kube/pods", "shop/"+name).Spec.DNSConfig; got == nil || *got.Options[0].Value != "2" {
						return fmt.Sprintf("pod %s: dnsConfig %v", name, got)
					}
				}
				return want(*c.Options[0].Value == "2", "ndots %s", *c.Options[0].Value)
			},
			meddle: func(l lab) {
				l.set("kube/deployments", "shop/web", []any{world.Doc{"name": "ndots", "value": "3"}}, "spec", "template", "spec", "dnsConfig", "options")
			},
		},
		"environment": {
			action: remedy.SetEnv{Workload: awsNode, Container: "aws-node", Variable: "WARM_IP_TARGET", To: "5"},
			done: func(l lab) string {
				env := object[appsv1.DaemonSet](l, "kube/daemonsets", "kube-system/aws-node").Spec.Template.Spec.Containers[0].Env
				set := slices.ContainsFunc(env, func(e corev1.EnvVar) bool { return e.Name == "WARM_IP_TARGET" && e.Value == "5" })
				return want(set && len(env) > 10 && len(l.pods("k8s-app", "aws-node")) == 4, "env %v", env)
			},
			meddle: func(l lab) {
				l.set("kube/daemonsets", "kube-system/aws-node", []any{world.Doc{"name": "aws-node", "image": "x", "env": []any{world.Doc{"name": "WARM_IP_TARGET", "value": "1"}}}}, "spec", "template", "spec", "containers")
			},
		},
		"spread": {
			action: remedy.SpreadReplicas{Namespace: "shop", Name: "web", To: []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone,
				WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}},
			done: func(l lab) string {
				c := web(l).Spec.Template.Spec.TopologySpreadConstraints
				return want(len(c) == 1 && c[0].WhenUnsatisfiable == corev1.ScheduleAnyway, "constraints %v", c)
			},
			meddle: func(l lab) {
				l.set("kube/deployments", "shop/web", []any{world.Doc{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}}, "spec", "template", "spec", "topologySpreadConstraints")
			},
		},
		"budget": {
			action: remedy.CreatePodDisruptionBudget{Budget: budget},
			done: func(l lab) string {
				_, err := l.world.Get("kube/poddisruptionbudgets", "shop/web")
				return want(err == nil, "%v", err)
			},
			meddle: func(l lab) {
				err := l.world.Create("kube/poddisruptionbudgets", world.Doc{"metadata": world.Doc{"namespace": "shop", "name": "web"}, "spec": world.Doc{"minAvailable": 1}})
				if err != nil {
					l.Fatal(err)
				}
			},
		},
		"egress": {
			action: remedy.AuthorizeEgress{EgressRule: toDNS},
			done: func(l lab) string {
				g := fmt.Sprint(object[map[string]any](l, "ec2/security-groups", toDNS.Group)["IpPermissionsEgress"])
				return want(strings.Contains(g, toDNS.ToCIDR), "egress %s", g)
			},
		},
		"VPC attribute": {
			action: remedy.SetVPCAttribute{VPC: vpcID, Attribute: remedy.EnableDNSHostnames, To: false}, dryReads: true,
			done: func(l lab) string {
				a := object[facts.VPCAttributes](l, facts.VPCAttribute.Kind(), vpcID)
				return want(!*a.EnableDnsHostnames.Value, "hostnames are on")
			},
		},
		"private DNS of an endpoint": {
			action: remedy.ModifyVPCEndpointPrivateDNS{Endpoint: "vpce-sqs", To: true},
			done: func(l lab) string {
				e := object[map[string]any](l, "ec2/vpc-endpoints", "vpce-sqs")
				return want(e["PrivateDnsEnabled"] == true, "%v", e)
			},
		},
		"zone": {
			action: remedy.AssociateVPCWithZone{ZoneVPC: payZone}, dryReads: true,
			done: func(l lab) string {
				z := object[facts.HostedZone](l, facts.HostedZones.Kind(), "/hostedzone/ZPAY")
				return want(len(z.VPCs) == 2, "VPCs %v", z.VPCs)
			},
			meddle: func(l lab) { l.set(facts.HostedZones.Kind(), "/hostedzone/ZPAY", "other.internal.", "Name") },
		},
		"resolver rule": {
			action: remedy.AssociateResolverRule{RuleVPC: remedy.RuleVPC{Rule: "rslvr-rr-corp", VPC: vpcID}}, dryReads: true,
			done: func(l lab) string {
				docs, _ := l.world.List(facts.ResolverRuleAssociations.Kind())
				return want(slices.ContainsFunc(docs, func(d world.Doc) bool { return d["ResolverRuleId"] == "rslvr-rr-corp" && d["VPCId"] == vpcID }), "associations %v", docs)
			},
		},
		"add-on": {
			action: remedy.SetAddonConfiguration{Cluster: "shop", Addon: "coredns", To: `{"replicaCount":3}`}, dryReads: true,
			done: func(l lab) string {
				d := object[appsv1.Deployment](l, "kube/deployments", "kube-system/coredns")
				return want(*d.Spec.Replicas == 3 && d.Status.ReadyReplicas == 3, "replicas %d", *d.Spec.Replicas)
			},
			meddle: func(l lab) { l.set(facts.Addons.Kind(), "coredns", `{"replicaCount":5}`, "configurationValues") },
		},
	}
}

// What an action's command does when a person runs it is what the bot does,
// and so is its undoing. It takes a machine with kubectl and the AWS CLI, so it
// runs only with HOPWISE_PEERS=1.
func TestCommandsByHand(t *testing.T) {
	if os.Getenv("HOPWISE_PEERS") != "1" {
		t.Skip("set HOPWISE_PEERS=1 to run the commands with kubectl and aws")
	}
	for name, tr := range trials() {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.shell(tr.action.Command())
			if why := tr.done(l); why != "" {
				t.Fatalf("%s: not done: %s", tr.action.Command(), why)
			}
			if undo := tr.action.Undo(); undo != nil {
				l.do(tr.action, true)
				l.shell(undo.Command())
				if tr.done(l) == "" {
					t.Errorf("%s: still done", undo.Command())
				}
				l.do(undo, true)
			}
		})
	}
}

// shell runs a command as a person does.
func (l lab) shell(command string) {
	l.Helper()
	config := filepath.Join(l.TempDir(), "kubeconfig")
	if err := os.WriteFile(config, l.apis.Kube.Kubeconfig(l.apis.KubeURL), 0o600); err != nil {
		l.Fatal(err)
	}
	cmd := exec.CommandContext(l.Context(), "bash", "-c", command)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+config, "AWS_ENDPOINT_URL="+l.apis.AWSURL, "AWS_REGION="+l.world.Region, "AWS_DEFAULT_REGION="+l.world.Region, "AWS_PAGER=",
		"AWS_ACCESS_KEY_ID="+standin.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+standin.SecretAccessKey)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// Every action, tried dry, changes nothing; done, it changes the world; done
// again, it changes nothing; undone, the world is as it was; and it is refused
// when somebody else was faster.
func TestActions(t *testing.T) {
	for name, tr := range trials() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			if tr.done(l) == "" {
				t.Fatal("it is so before")
			}
			version := l.world.Version()
			if r, err := l.writer.DryRun(t.Context(), tr.action); err != nil || r.Already || r.Detail == "" {
				t.Fatalf("dry run: %+v, %v", r, err)
			}
			if l.world.Version() != version {
				t.Fatal("the dry run changed the world")
			}
			l.do(tr.action, false)
			if why := tr.done(l); why != "" {
				t.Fatalf("not done: %s", why)
			}
			version = l.world.Version()
			l.do(tr.action, true)
			if l.world.Version() != version {
				t.Error("done again, it changed the world")
			}
			undo := tr.action.Undo()
			if (undo == nil) != tr.noUndo {
				t.Fatalf("undo: %v", undo)
			}
			if undo == nil {
				return
			}
			l.do(undo, false)
			if tr.done(l) == "" {
				t.Error("undone, it still is so")
			}
			l.do(undo, true)
			l.do(tr.action, false)
		})
	}
}

func (l lab) do(a remedy.Action, already bool) {
	l.Helper()
	r, err := l.writer.Do(l.Context(), a)
	if err != nil {
		l.Fatalf("%s: %v", a.Command(), err)
	}
	if r.Already != already || r.Detail == "" {
		l.Errorf("%s: receipt %+v, want already %v", a.Command(), r, already)
	}
}

func TestActionsConflict(t *testing.T) {
	for name, tr := range trials() {
		if tr.meddle == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			tr.meddle(l)
			version := l.world.Version()
			for _, try := range []func() error{
				func() error { _, err := l.writer.DryRun(t.Context(), tr.action); return err },
				func() error { _, err := l.writer.Do(t.Context(), tr.action); return err },
			} {
				if err := try(); !errors.Is(err, apply.ErrConflict) {
					t.Errorf("%v, want a conflict", err)
				}
			}
			if l.world.Version() != version {
				t.Error("the world has changed")
			}
		})
	}
}

// A refusal to read names the permission to read, which is another one.
func TestReadingDenied(t *testing.T) {
	l := newLab(t)
	l.world.Faults = append(l.world.Faults, world.Fault{Permission: "eks:DescribeAddon", How: "deny"})
	_, err := l.writer.Do(t.Context(), remedy.SetAddonConfiguration{Cluster: "shop", Addon: "coredns", To: "{}"})
	if !errors.Is(err, apply.ErrDenied) || !strings.Contains(err.Error(), "eks:DescribeAddon") {
		t.Errorf("%v", err)
	}
}

// A refusal names the permission that is missing.
func TestActionsDenied(t *testing.T) {
	for name, tr := range trials() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.world.Faults = append(l.world.Faults, world.Fault{Permission: tr.action.Permission(), How: "deny"})
			_, err := l.writer.Do(t.Context(), tr.action)
			if !errors.Is(err, apply.ErrDenied) || !strings.Contains(err.Error(), tr.action.Permission()) {
				t.Errorf("%v, want a refusal that names %q", err, tr.action.Permission())
			}
			if _, err = l.writer.DryRun(t.Context(), tr.action); errors.Is(err, apply.ErrDenied) == tr.dryReads {
				t.Errorf("dry run: %v", err)
			}
		})
	}
}
