package collect_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/facts/collect"
	"github.com/hopwise/hopwise/internal/standin"
	"github.com/hopwise/hopwise/internal/world"
)

// kinds are all there are.
func kinds() (all []facts.Kind) {
	for _, n := range facts.Needs {
		all = append(all, n.Kind())
	}
	return all
}

// shop starts the stand-ins of the healthy cluster with more lines in its
// header, such as faults.
func shop(t *testing.T, header string, files ...string) *standin.APIs {
	t.Helper()
	w, err := world.Parse("test", []byte("A test.\n\n"+header+"\n"+strings.Join(files, "")))
	if err != nil {
		t.Fatal(err)
	}
	apis, err := standin.Start(w, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = apis.Close() })
	return apis
}

func config(apis *standin.APIs) collect.Config {
	return collect.Config{
		Kube: &rest.Config{Host: apis.KubeURL, BearerToken: standin.KubeToken},
		AWS: &aws.Config{Region: "eu-west-1", BaseEndpoint: &apis.AWSURL,
			Credentials: credentials.NewStaticCredentialsProvider(standin.AccessKeyID, standin.SecretAccessKey, "")},
		Cluster: "shop",
	}
}

func take(t *testing.T, cfg collect.Config) (*facts.Snapshot, collect.Stats) {
	t.Helper()
	r, err := collect.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r.Take(t.Context(), kinds(), facts.Target{}, nil)
}

// What the APIs tell must be what the world is: the count of every kind, and
// no gap.
func TestTakeReadsEverything(t *testing.T) {
	apis := shop(t, "ask: all well?")
	s, stats := take(t, config(apis))
	want, err := apis.World.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for k, g := range s.Gaps {
		t.Errorf("%s is a gap: %+v", k, g)
	}
	for _, n := range facts.Needs {
		got, exp := ids(t, s.Have[n.Kind()]), ids(t, want.Have[n.Kind()])
		if n.Kind() == facts.Addons.Kind() { // only those that checks know are read
			exp = []string{"coredns", "kube-proxy", "vpc-cni"}
		}
		if diff := cmp.Diff(exp, got); diff != "" {
			t.Errorf("%s (-world +read):\n%s", n.Kind(), diff)
		}
	}
	if stats.Calls == 0 || s.Cluster != "shop" || s.Region != "eu-west-1" {
		t.Errorf("calls %d, cluster %q, region %q", stats.Calls, s.Cluster, s.Region)
	}
}

// ids gives each object of a list as its names and ids, whatever its type.
func ids(t *testing.T, list any) []string {
	t.Helper()
	b, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	if err := json.Unmarshal(b, &objects); err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, o := range objects {
		var id []string
		meta, _ := o["metadata"].(map[string]any)
		for _, v := range []any{meta["namespace"], meta["name"], o["Name"], o["AddonName"], o["SubnetId"], o["VpcId"], o["RouteTableId"], o["GroupId"],
			o["NetworkInterfaceId"], o["NetworkAclId"], o["NatGatewayId"], o["VpcEndpointId"], o["LoadBalancerArn"], o["TargetGroupArn"]} {
			if s, ok := v.(string); ok {
				id = append(id, s)
			}
		}
		out = append(out, strings.Join(id, "/"))
	}
	return out
}

func TestTakeGaps(t *testing.T) {
	for _, tt := range []struct {
		name, header string
		want         map[facts.Kind]facts.Gap
	}{
		{"denied", "deny: list pods\ndeny: ec2:DescribeSubnets\ndeny: elasticloadbalancing:DescribeTargetHealth", map[facts.Kind]facts.Gap{
			"kube/pods":           {Kind: "kube/pods", Reason: facts.Denied, Permission: "list pods"},
			"kube/pod-logs":       {Kind: "kube/pod-logs", Reason: facts.Denied, Permission: "list pods"},
			"kube/pod-metrics":    {Kind: "kube/pod-metrics", Reason: facts.Denied, Permission: "list pods"},
			"ec2/subnets":         {Kind: "ec2/subnets", Reason: facts.Denied, Permission: "ec2:DescribeSubnets"},
			"elbv2/target-health": {Kind: "elbv2/target-health", Reason: facts.Denied, Permission: "elasticloadbalancing:DescribeTargetHealth"},
		}},
		{"denied for all that hangs on it", "deny: elasticloadbalancing:DescribeTargetGroups", map[facts.Kind]facts.Gap{
			"elbv2/target-groups": {Kind: "elbv2/target-groups", Reason: facts.Denied, Permission: "elasticloadbalancing:DescribeTargetGroups"},
			"elbv2/target-health": {Kind: "elbv2/target-health", Reason: facts.Denied, Permission: "elasticloadbalancing:DescribeTargetGroups"},
		}},
		{"hang", "fault: ec2:DescribeRouteTables hang\nfault: list events hang", map[facts.Kind]facts.Gap{
			"ec2/route-tables": {Kind: "ec2/route-tables", Reason: facts.TimedOut, Permission: "ec2:DescribeRouteTables", Detail: "no answer in time"},
			"kube/events":      {Kind: "kube/events", Reason: facts.TimedOut, Permission: "list events", Detail: "no answer in time"},
		}},
		{"throttled twice, then answered", "fault: ec2:DescribeSubnets throttle 2\nfault: list services throttle 1", map[facts.Kind]facts.Gap{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := config(shop(t, tt.header))
			cfg.Deadline = 8 * time.Second
			if tt.name == "hang" {
				cfg.Deadline = 3 * time.Second
			}
			s, _ := take(t, cfg)
			if diff := cmp.Diff(tt.want, s.Gaps); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
			if len(s.Have)+len(s.Gaps) != len(facts.Needs) {
				t.Errorf("%d kinds known and %d gaps, of %d", len(s.Have), len(s.Gaps), len(facts.Needs))
			}
		})
	}
}

func TestTakeSaysWhatToDo(t *testing.T) {
	apis := shop(t, "")
	nowhere := httptest.NewServer(http.NotFoundHandler())
	nowhere.Close()
	for _, tt := range []struct {
		name   string
		change func(*collect.Config)
		kind   facts.Kind
		detail string
	}{
		{"cluster's name has a typo", func(c *collect.Config) { c.Cluster = "shpo" }, "eks/clusters", `no cluster "shpo" in this account and region: set HOPWISE_CLUSTER and AWS_REGION (there are: shop)`},
		{"cluster's name is missing", func(c *collect.Config) { c.Cluster = "" }, "eks/clusters", "set HOPWISE_CLUSTER (there are: shop)"},
		{"what hangs on the cluster", func(c *collect.Config) { c.Cluster = "shpo" }, "ec2/subnets", `no cluster "shpo" in this account`},
		{"wrong region", func(c *collect.Config) { c.AWS.Region = "us-east-1" }, "eks/clusters", "set HOPWISE_CLUSTER and AWS_REGION"},
		{"wrong credentials", func(c *collect.Config) {
			c.AWS.Credentials = credentials.NewStaticCredentialsProvider(standin.AccessKeyID, "wrong", "")
		}, "eks/clusters", "AWS refused the credentials"},
		{"no credentials", func(c *collect.Config) {
			c.AWS.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, fmt.Errorf("none") })
		}, "eks/clusters", "no AWS credentials: set AWS_PROFILE"},
		{"no Kubernetes", func(c *collect.Config) { c.Kube = nil }, "kube/pods", "set KUBECONFIG"},
		{"API server is away", func(c *collect.Config) { c.Kube = &rest.Config{Host: nowhere.URL} }, "kube/pods", "connection refused"},
		{"wrong token", func(c *collect.Config) { c.Kube = &rest.Config{Host: apis.KubeURL, BearerToken: "old"} }, "kube/pods", "the API server refused the credentials"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := config(apis)
			tt.change(&cfg)
			s, _ := take(t, cfg)
			if g := s.Gaps[tt.kind]; !strings.Contains(g.Detail, tt.detail) {
				t.Errorf("gap %+v, want a detail with %q", g, tt.detail)
			}
		})
	}
}

// A cluster larger than a page is read whole.
func TestTakePages(t *testing.T) {
	const n = 1234
	var b strings.Builder
	b.WriteString("-- kube/pods.yaml --\nitems:\n")
	for i := range n {
		fmt.Fprintf(&b, "- {metadata: {namespace: many, name: pod-%04d}, spec: {containers: [{name: c, image: i}]}}\n", i)
	}
	s, _ := take(t, config(shop(t, "base: none", b.String())))
	pods, _ := s.Have["kube/pods"].([]corev1.Pod)
	if len(pods) != n || pods[n-1].Name != "pod-1233" {
		t.Errorf("%d pods read, want %d", len(pods), n)
	}
}

// No secret is kept: neither those of the environment nor those that hide in
// annotations, events and messages.
func TestTakeKeepsNoSecret(t *testing.T) {
	const planted = "hunter2-hunter2"
	s, _ := take(t, config(shop(t, "", `-- kube/pods.yaml --
items:
- metadata: {namespace: shop, name: leaky, annotations: {note: "password=hunter2-hunter2"}}
  spec: {containers: [{name: c, image: i, env: [{name: DB_PASSWORD, value: hunter2-hunter2}], args: ["--token=hunter2-hunter2"]}]}
  status: {containerStatuses: [{name: c, image: i, imageID: x, ready: false, restartCount: 0, state: {waiting: {reason: CrashLoopBackOff, message: "postgres://app:hunter2-hunter2@db/app"}}}]}
-- kube/deployments.yaml --
items:
- metadata: {namespace: kube-system, name: leaky}
  spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i, env: [{name: API_TOKEN, value: hunter2-hunter2}, {name: MODE, value: fast}]}]}}}
-- kube/events.yaml --
items:
- metadata: {namespace: shop, name: leaky.1}
  involvedObject: {kind: Pod, name: leaky, namespace: shop}
  message: "Authorization: Bearer hunter2-hunter2 refused"
  reason: Failed
  type: Warning
`)))
	for k, list := range s.Have {
		b, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), planted) {
			t.Errorf("%s keeps the planted secret", k)
		}
	}
	b, _ := json.Marshal(s.Have["kube/deployments"])
	if !strings.Contains(string(b), `"fast"`) {
		t.Error("a harmless setting of a component in kube-system was lost")
	}
}

// No object is read twice, also where several kinds begin with the same list.
func TestTakeDepth(t *testing.T) {
	apis := shop(t, "")
	if _, stats := take(t, config(apis)); stats.Calls == 0 {
		t.Fatal("nothing was read")
	}
	seen := map[string]int{}
	for _, c := range apis.AWS.Calls() {
		seen[c.Permission]++
	}
	for _, c := range apis.Kube.Calls() {
		seen[c.Permission]++
	}
	for p, n := range seen {
		switch p {
		case "eks:DescribeAddon", "elasticloadbalancing:DescribeTargetHealth", "ec2:DescribeVpcAttribute", "servicequotas:GetServiceQuota", "route53:ListResourceRecordSets", "get configmaps", "get pods/log", "get pods/proxy", "get nodes/proxy": // one object a call
		case "ec2:DescribeVpcPeeringConnections": // one side of the connection a call
		default:
			if n > 1 {
				t.Errorf("%s called %d times", p, n)
			}
		}
	}
}

// Fifty people who ask at once cost a few snapshots, and each is told of what
// they asked about.
func TestTakeShared(t *testing.T) {
	apis := shop(t, "")
	apis.Kube.SetDelay(20 * time.Millisecond)
	r, err := collect.New(config(apis))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			name := fmt.Sprint("target-", i)
			s, _ := r.TakeShared(t.Context(), kinds(), facts.Target{Name: name}, nil)
			if len(s.Gaps) > 0 || s.Target.Name != name {
				t.Errorf("gaps %v, target %q, want %q", s.Gaps, s.Target.Name, name)
			}
		})
	}
	wg.Wait()
	pods := 0
	for _, c := range apis.Kube.Calls() {
		if c.Permission == "list pods" {
			pods++
		}
	}
	if pods < 2 || pods > 8 {
		t.Errorf("the pods were read %d times for 50 questions", pods)
	}
}

func TestTakeEndsWithItsContext(t *testing.T) {
	r, err := collect.New(config(shop(t, "fault: list pods hang")))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	s, _ := r.Take(ctx, kinds(), facts.Target{}, nil)
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("took %s after its context ended", took)
	}
	if s.Gaps["kube/pods"].Reason != facts.TimedOut {
		t.Errorf("gap %+v", s.Gaps["kube/pods"])
	}
}
