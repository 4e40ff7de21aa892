package collect_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/facts/collect"
	"github.com/hopwise/hopwise/internal/standin"
	"github.com/hopwise/hopwise/internal/world"
)

// read takes a snapshot of some kinds.
func read(t *testing.T, cfg collect.Config, kinds ...facts.Need) *facts.Snapshot {
	t.Helper()
	r, err := collect.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var of []facts.Kind
	for _, k := range kinds {
		of = append(of, k.Kind())
	}
	s, _ := r.Take(t.Context(), of, facts.Target{}, nil)
	return s
}

// have returns what was read of a kind, and fails the test when it is a gap.
func have[T any](t *testing.T, s *facts.Snapshot, key facts.Key[T]) []T {
	t.Helper()
	if g, ok := s.Gaps[key.Kind()]; ok {
		t.Fatalf("%s is a gap: %+v", key.Kind(), g)
	}
	return s.Have[key.Kind()].([]T)
}

// before puts a server before the API server's stand-in that answers some
// requests itself.
func before(t *testing.T, apis *standin.APIs, answers func(w http.ResponseWriter, r *http.Request) bool) collect.Config {
	t.Helper()
	target, err := url.Parse(apis.KubeURL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answers(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(front.Close)
	cfg := config(apis)
	cfg.Kube.Host = front.URL
	return cfg
}

func refuse(w http.ResponseWriter) bool {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"no","code":403}`)
	return true
}

// What is read of the DNS components is what the world has of them, but for
// lines that are older than an hour.
func TestTakeReadsDNS(t *testing.T) {
	apis := shop(t, "", pod("kube-system", "coredns-new", "k8s-app: kube-dns", "coredns", "{running: {}}"), podLog("kube-system", "coredns-new",
		world.RecordedAt.Add(-2*time.Hour).Format(time.RFC3339)+" old\n"+world.RecordedAt.Add(-time.Minute).Format(time.RFC3339)+" new\n", ""))
	s := read(t, config(apis), facts.PodLogs, facts.PodMetrics, facts.KubeletConfigs, facts.ClusterRoles, facts.HPAs, facts.PodDisruptionBudgets)
	there, err := apis.World.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var logs []string
	for _, l := range have(t, s, facts.PodLogs) {
		_, line, _ := strings.Cut(l.Text, " ")
		logs = append(logs, l.Name+" "+l.Container+" "+line)
	}
	if diff := cmp.Diff([]string{"coredns-76f9c5d8b4-h7k2m coredns ", "coredns-76f9c5d8b4-v9x4q coredns ", "coredns-new c new\n"}, logs); diff != "" {
		t.Errorf("logs (-want +got):\n%s", diff)
	}
	for kind, got := range map[facts.Kind]any{facts.PodMetrics.Kind(): have(t, s, facts.PodMetrics), facts.KubeletConfigs.Kind(): have(t, s, facts.KubeletConfigs)} {
		if diff := cmp.Diff(plain(t, there.Have[kind]), plain(t, got)); diff != "" {
			t.Errorf("%s (-world +read):\n%s", kind, diff)
		}
	}
	roles, want := have(t, s, facts.ClusterRoles), there.Have[facts.ClusterRoles.Kind()].([]rbacv1.ClusterRole)
	if len(roles) != 1 || !cmp.Equal(roles[0].Rules, want[0].Rules) {
		t.Errorf("cluster roles %v", roles)
	}
	if pdbs := have(t, s, facts.PodDisruptionBudgets); len(pdbs) != 1 || pdbs[0].Spec.MaxUnavailable == nil {
		t.Errorf("budgets %v", pdbs)
	}
}

// plain is v as JSON has it, without what the stand-in numbers.
func plain(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		delete(o["metadata"].(map[string]any), "resourceVersion")
	}
	return list
}

// pod is a file with a pod whose one container has a state.
func pod(namespace, name, label, image, state string) string {
	return fmt.Sprintf("-- kube/pods.yaml --\nitems:\n- metadata: {namespace: %s, name: %s, labels: {%s}}\n  spec: {nodeName: node-1, containers: [{name: c, image: %q}]}\n"+
		"  status: {phase: Running, podIP: 10.0.0.9, containerStatuses: [{name: c, image: i, imageID: i, ready: true, restartCount: 3, state: %s, lastState: {terminated: {exitCode: 1}}}]}\n", namespace, name, label, image, state)
}

// podLog is a file with the log of container c of a pod.
func podLog(namespace, name, text, previous string) string {
	b, _ := json.Marshal(map[string]any{"items": []any{map[string]any{"metadata": map[string]any{"namespace": namespace, "name": name}, "container": "c", "text": text, "previous": previous}}})
	return "-- kube/pod-logs.json --\n" + string(b) + "\n"
}

// stamped is a log of lines that were written in the last hour.
func stamped(lines ...string) string {
	return world.RecordedAt.Add(-time.Minute).Format(time.RFC3339) + " " + strings.Join(lines, "\n"+world.RecordedAt.Add(-time.Minute).Format(time.RFC3339)+" ") + "\n"
}

// unstamped takes the times off a log.
func unstamped(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(text) {
		stamp, rest, _ := strings.Cut(line, " ")
		if _, err := time.Parse(time.RFC3339, stamp); err != nil {
			t.Errorf("a line without its time: %.80q", line)
		}
		out.WriteString(rest)
	}
	return out.String()
}

func TestPodLogs(t *testing.T) {
	never := strings.Replace(pod("kube-system", "p", "k8s-app: kube-dns", "coredns", "{waiting: {reason: ContainerCreating}}"), ", lastState: {terminated: {exitCode: 1}}", "", 1)
	key := "-----BEGIN RSA " + "PRIVATE KEY-----"
	many := strings.Repeat("x\n", 2500)
	for _, tt := range []struct{ name, pod, text, previous, want, wantPrevious string }{
		{"previous instance", pod("kube-system", "p", "k8s-app: node-local-dns", "a/k8s-dns-node-cache:1", "{running: {}}"), stamped("now"), stamped("then"), "now\n", "then\n"},
		{"external-dns by label", pod("edge", "p", "app.kubernetes.io/name: external-dns", "x", "{running: {}}"), stamped("a"), "", "a\n", ""},
		{"external-dns by older label", pod("edge", "p", "app: external-dns", "x", "{running: {}}"), stamped("a"), "", "a\n", ""},
		{"external-dns by image", pod("edge", "p", "a: b", "localhost:5000/external-dns/external-dns:v0.19.0@sha256:00", "{running: {}}"), stamped("a"), "", "a\n", ""},
		{"never started", never, stamped("of nobody"), "", "", ""},
		{"newest lines", pod("kube-system", "p", "k8s-app: kube-dns", "coredns", "{running: {}}"), stamped(strings.Split(many+"last", "\n")...), stamped(strings.Split(many+"last", "\n")...),
			strings.Repeat("x\n", 1999) + "last\n", strings.Repeat("x\n", 199) + "last\n"},
		{"secrets by the line", pod("kube-system", "p", "k8s-app: kube-dns", "coredns", "{running: {}}"), stamped("token:", "next", "password=hunter2-hunter2", key, "hunter2-hunter2", "-----END RSA "+"PRIVATE KEY-----", "after"), "",
			"token:\nnext\npassword=••••••\n••••••\nafter\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ns := "kube-system"
			if strings.HasPrefix(tt.name, "external-dns") {
				ns = "edge"
			}
			text, previous := readLog(t, tt.pod, podLog(ns, "p", tt.text, tt.previous))
			if text != tt.want || previous != tt.wantPrevious {
				t.Errorf("text %.200q, want %.200q\nprevious %.200q, want %.200q", text, tt.want, previous, tt.wantPrevious)
			}
		})
	}
}

// readLog reads the one log there is, without its times.
func readLog(t *testing.T, files ...string) (text, previous string) {
	t.Helper()
	logs := have(t, read(t, config(shop(t, "base: none", files...)), facts.PodLogs), facts.PodLogs)
	if len(logs) != 1 {
		t.Fatalf("%d logs", len(logs))
	}
	return unstamped(t, logs[0].Text), unstamped(t, logs[0].Previous)
}

// A huge line is cut, and one that is behind long ones is not lost.
func TestPodLogsOfLongLines(t *testing.T) {
	coredns := pod("kube-system", "p", "k8s-app: kube-dns", "coredns", "{running: {}}")
	text, _ := readLog(t, coredns, podLog("kube-system", "p", stamped(strings.Repeat("é", 1<<20)), ""))
	if !strings.HasPrefix(text, "ééé") || !strings.HasSuffix(text, "é…\n") || len(text) > 5000 {
		t.Errorf("a huge line became %d bytes: %.100q", len(text), text)
	}
	text, _ = readLog(t, coredns, podLog("kube-system", "p", stamped(append(slices.Repeat([]string{strings.Repeat("y", 4000)}, 500), "last")...), ""))
	if !strings.HasSuffix(text, "yyy\nlast\n") || len(text) > 512<<10 {
		t.Errorf("the newest line was lost: ...%q", text[max(0, len(text)-100):])
	}
}

// At most eight pods of a component are read, those in trouble first, and
// pods that ended or are of others not at all.
func TestPodLogsOfTheWorst(t *testing.T) {
	var pods strings.Builder
	for i := range 12 {
		p := pod("kube-system", fmt.Sprintf("p-%02d", i), "k8s-app: kube-dns", "coredns", "{running: {}}")
		p = strings.Replace(p, "restartCount: 3", fmt.Sprint("restartCount: ", i/10), 1)
		switch i {
		case 9:
			p = strings.Replace(p, "ready: true", "ready: false", 1)
		case 11:
			p = strings.Replace(p, "phase: Running", "phase: Failed", 1)
		}
		pods.WriteString(p)
	}
	pods.WriteString(pod("shop", "other", "k8s-app: kube-dns", "coredns", "{running: {}}"))
	s := read(t, config(shop(t, "base: none", pods.String())), facts.PodLogs)
	var names []string
	for _, l := range have(t, s, facts.PodLogs) {
		names = append(names, l.Name)
	}
	if got := strings.Join(names, " "); got != "p-00 p-01 p-02 p-03 p-04 p-05 p-09 p-10" {
		t.Errorf("read the logs of %s", got)
	}
}

// A refusal is a gap with its permission; none of the other kinds suffers.
func TestDNSDenied(t *testing.T) {
	apis := shop(t, "deny: get pods/log\ndeny: get pods/proxy\ndeny: get nodes/proxy\ndeny: get clusterroles\ndeny: list horizontalpodautoscalers")
	of := []facts.Need{facts.PodLogs, facts.PodMetrics, facts.KubeletConfigs, facts.ClusterRoles, facts.HPAs, facts.ServiceAccounts}
	s := read(t, config(apis), of...)
	have(t, s, facts.ServiceAccounts)
	for _, n := range of[:5] {
		want := facts.Gap{Kind: n.Kind(), Reason: facts.Denied, Permission: n.Permission()}
		if got := s.Gaps[n.Kind()]; got != want {
			t.Errorf("gap %+v, want %+v", got, want)
		}
	}
	refused := 0
	for _, c := range apis.Kube.Calls() {
		if c.Permission == "get nodes/proxy" {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d kubelets were asked after the first refusal", refused-1)
	}
}

// A namespace that the role leaves out costs its pods, not the others.
func TestPodLogsRefusedInANamespace(t *testing.T) {
	apis := shop(t, "", pod("edge", "p", "app: external-dns", "x", "{running: {}}"))
	cfg := before(t, apis, func(w http.ResponseWriter, r *http.Request) bool {
		return strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/edge/") && refuse(w)
	})
	logs := have(t, read(t, cfg, facts.PodLogs), facts.PodLogs)
	if len(logs) != 2 || logs[0].Namespace != "kube-system" {
		t.Errorf("%d logs, of %v", len(logs), logs)
	}
}

// Pods that do not answer are left out, whether they refuse or are silent, and
// what is kept of the others is what checks read.
func TestPodMetrics(t *testing.T) {
	apis := shop(t, "", pod("edge", "p", "app: external-dns", "x", "{running: {}}")) // tells nothing
	cfg := before(t, apis, func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "h7k2m:9153/proxy/metrics") {
			<-r.Context().Done()
			return true
		}
		if !strings.HasSuffix(r.URL.Path, "v9x4q:9153/proxy/metrics") {
			return false
		}
		fmt.Fprint(w, "# HELP go_goroutines many\ngo_goroutines 7\n# TYPE coredns_panics_total counter\ncoredns_panics_total 0\n",
			"coredns_long{x=\""+strings.Repeat("z", 100<<10)+"\"} 1\n# a comment\nexternal_dns_x 1\n", strings.Repeat("go_y 1\n", 1<<20), "coredns_beyond 1\n")
		return true
	})
	cfg.Deadline = 4 * time.Second
	got := have(t, read(t, cfg, facts.PodMetrics), facts.PodMetrics)
	if len(got) != 1 || got[0].Text != "# TYPE coredns_panics_total counter\ncoredns_panics_total 0\nexternal_dns_x 1\n" {
		t.Errorf("metrics of %d pods: %.300v", len(got), got)
	}
}

// Where nobody answers, the facts are not known: that is no empty list.
func TestDNSHangs(t *testing.T) {
	cfg := config(shop(t, "fault: get pods/proxy hang\nfault: get pods/log hang\nfault: get nodes/proxy hang"))
	cfg.Deadline = 2 * time.Second
	start := time.Now()
	s := read(t, cfg, facts.PodLogs, facts.PodMetrics, facts.KubeletConfigs)
	for _, n := range []facts.Need{facts.PodLogs, facts.PodMetrics, facts.KubeletConfigs} {
		if g := s.Gaps[n.Kind()]; g.Reason != facts.TimedOut {
			t.Errorf("%s: %+v", n.Kind(), g)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestDNSCancelled(t *testing.T) {
	r, err := collect.New(config(shop(t, "")))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, _ := r.Take(ctx, []facts.Kind{facts.PodLogs.Kind(), facts.PodMetrics.Kind(), facts.KubeletConfigs.Kind(), facts.ClusterRoles.Kind()}, facts.Target{}, nil)
	if len(s.Gaps) != 4 || s.Gaps[facts.PodLogs.Kind()].Reason != facts.TimedOut {
		t.Errorf("gaps %+v", s.Gaps)
	}
}

// Two nodes of each group are asked, none that is not ready.
func TestKubeletConfigsOfGroups(t *testing.T) {
	var nodes strings.Builder
	nodes.WriteString("-- kube/nodes.yaml --\nitems:\n")
	node := func(name, label, ready string) {
		fmt.Fprintf(&nodes, "- {metadata: {name: %s, labels: {%s}}, status: {conditions: [{type: Ready, status: %q}]}}\n", name, label, ready)
	}
	var configs strings.Builder
	configs.WriteString("-- kube/kubelet-configs.yaml --\nitems:\n")
	for i := range 4 {
		for _, group := range []string{"eks.amazonaws.com/nodegroup: a", "karpenter.sh/nodepool: b", "node.kubernetes.io/instance-type: c"} {
			name := fmt.Sprintf("%s-%d", group[len(group)-1:], i)
			node(name, group, map[bool]string{true: "True", false: "False"}[i != 0])
			fmt.Fprintf(&configs, "- {metadata: {name: %s}, kubeletconfig: {clusterDNS: [172.20.0.10], resolvConf: /run/resolv.conf}}\n", name)
		}
	}
	s := read(t, config(shop(t, "base: none", nodes.String(), configs.String())), facts.KubeletConfigs)
	var names []string
	for _, c := range have(t, s, facts.KubeletConfigs) {
		names = append(names, c.Name)
		if c.KubeletConfig.ResolverConfig != "/run/resolv.conf" {
			t.Errorf("%s: %+v", c.Name, c)
		}
	}
	if got := strings.Join(names, " "); got != "a-1 a-2 b-1 b-2 c-1 c-2" {
		t.Errorf("asked %s", got)
	}
}

// Settings are kept where checks read them, and no secret among them.
func TestTakeKeepsFlags(t *testing.T) {
	deployment := func(ns, name, image string) string {
		return fmt.Sprintf(`- metadata: {namespace: %s, name: %s}
  spec:
    selector: {matchLabels: {a: b}}
    template:
      metadata: {labels: {a: b}, annotations: {note: "password=hunter2-hunter2", keep: it}}
      spec:
        affinity: {podAntiAffinity: {}}
        containers:
        - name: c
          image: %s
          args: [--policy=sync, --pdns-api-key, hunter2-hunter2, --registry, txt]
          env: [{name: EXTERNAL_DNS_TXT_OWNER_ID, value: shop}, {name: EXTERNAL_DNS_PDNS_API_KEY, value: hunter2-hunter2}, {name: OTHER, value: x}]
`, ns, name, image)
	}
	s := read(t, config(shop(t, "base: none", "-- kube/deployments.yaml --\nitems:\n"+deployment("edge", "external-dns", "registry.k8s.io/external-dns/external-dns:v0.19.0")+
		deployment("edge", "autoscaler", "registry.k8s.io/cpa/cluster-proportional-autoscaler:v1")+deployment("kube-system", "coredns", "coredns")+deployment("shop", "web", "shop/external-dns-ui:1"))), facts.Deployments)
	type kept struct {
		Args, Env []string
		Affinity  bool
	}
	flags := []string{"--policy=sync", "--pdns-api-key", "••••••", "--registry", "txt"}
	want := map[string]kept{
		"external-dns": {flags, []string{"EXTERNAL_DNS_TXT_OWNER_ID=shop", "EXTERNAL_DNS_PDNS_API_KEY=••••••"}, false},
		"autoscaler":   {flags, []string{"EXTERNAL_DNS_TXT_OWNER_ID=shop", "EXTERNAL_DNS_PDNS_API_KEY=••••••"}, false},
		"coredns":      {flags, []string{"EXTERNAL_DNS_TXT_OWNER_ID=shop", "EXTERNAL_DNS_PDNS_API_KEY=••••••", "OTHER=x"}, true},
		"web":          {},
	}
	got := map[string]kept{}
	for _, d := range have(t, s, facts.Deployments) {
		got[d.Name] = kept{d.Spec.Template.Spec.Containers[0].Args, env(d), d.Spec.Template.Spec.Affinity != nil}
		if a := d.Spec.Template.Annotations; a["keep"] != "it" || strings.Contains(a["note"], "hunter2") {
			t.Errorf("%s: annotations %v", d.Name, a)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +kept):\n%s", diff)
	}
}

func env(d appsv1.Deployment) (env []string) {
	for _, e := range d.Spec.Template.Spec.Containers[0].Env {
		env = append(env, e.Name+"="+e.Value)
	}
	return env
}
