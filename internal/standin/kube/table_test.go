package kube_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const tables = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

// table asks for a Table and returns its rows, cells joined by " | ", without
// the last one of those that kubectl shows by default: AGE.
func table(t *testing.T, config *rest.Config, path string) []string {
	t.Helper()
	code, doc := raw(t, config, "GET", path, tables, "")
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var tab metav1.Table
	if err := json.Unmarshal(b, &tab); err != nil || code != 200 || tab.Kind != "Table" {
		t.Fatalf("%s: %d: %s: %v", path, code, b, err)
	}
	var rows []string
	for _, r := range tab.Rows {
		if len(r.Cells) != len(tab.ColumnDefinitions) {
			t.Fatalf("%s: %d cells under %d columns", path, len(r.Cells), len(tab.ColumnDefinitions))
		}
		var cells []string
		for i, c := range r.Cells {
			if name := tab.ColumnDefinitions[i].Name; name != "Age" && !strings.HasSuffix(name, " Seen") {
				cells = append(cells, fmt.Sprint(c))
			}
		}
		rows = append(rows, strings.Join(cells, " | "))
	}
	return rows
}

func TestTables(t *testing.T) {
	_, _, config := start(t, shop)
	for path, want := range map[string][]string{
		"/api/v1/nodes":      {"ip-10-0-1-10.ec2.internal | Ready | <none> | v1.33.1-eks-1 | 10.0.1.10 | <none> | Amazon Linux 2023 | 6.1.0 | containerd://1.7.27"},
		"/api/v1/namespaces": {"kube-system | Active", "shop | Active"},
		"/api/v1/services": {"edge | LoadBalancer | 172.20.1.2 | <pending> | 80/TCP | app=web", "stock | ClusterIP | None | <none> | <none> | <none>",
			"web | NodePort | 172.20.1.1 | <none> | 80:30080/TCP,9000/TCP | app=web"},
		"/api/v1/events":                                  {"Warning | FailedCreatePodSandBox | pod/web-2 |  | kubelet, ip-10-0-1-10.ec2.internal | failed to assign an IP address to container | 12 | web-2.1"},
		"/apis/apps/v1/deployments":                       {"web | 1/2 | 2 | 1 | web | shop/web:1 | app=web"},
		"/apis/apps/v1/daemonsets":                        {"aws-node | 1 | 1 | 1 | 1 | 1 | kubernetes.io/os=linux | aws-node | cni | k8s-app=aws-node"},
		"/apis/networking.k8s.io/v1/ingresses":            {"shop | alb | shop.example.com | k8s-shop.elb.amazonaws.com | 80"},
		"/apis/networking.k8s.io/v1/networkpolicies":      {"default-deny | <none>"},
		"/apis/discovery.k8s.io/v1/endpointslices":        {"web-abc | IPv4 | 8080 | 10.0.1.20"},
		"/api/v1/serviceaccounts":                         {"coredns | 0"},
		"/apis/autoscaling/v2/horizontalpodautoscalers":   {"web | Deployment/web | cpu: 41%/70%,memory: <unknown>/500Mi,External | 2 | 6 | 3"},
		"/apis/policy/v1/poddisruptionbudgets":            {"coredns | N/A | 1 | 0"},
		"/apis/rbac.authorization.k8s.io/v1/clusterroles": {"system:coredns | 2026-01-15T08:00:00Z"},
		"/apis/elbv2.k8s.aws/v1beta1/targetgroupbindings": {"k8s-shop-web | web | 80 | ip | arn:aws:tg/1"},
	} {
		if d := cmp.Diff(want, table(t, config, path)); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
}

// status gives one line of kubectl get pods for what containers report.
func podLine(t *testing.T, pod corev1.Pod) string {
	t.Helper()
	_, w, config := start(t, "One pod.\n\nbase: none\n")
	pod.ObjectMeta.Name, pod.Namespace = "p", "n"
	b, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if err := w.Create("kube/pods", doc); err != nil {
		t.Fatal(err)
	}
	fields := strings.Split(table(t, config, "/api/v1/namespaces/n/pods")[0], " | ")
	return strings.Join(fields[1:4], " | ")
}

func TestPodLine(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	yes, now := true, metav1.NewTime(time.Now().Add(-5*time.Minute))
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	terminated := func(code, signal int32, reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Signal: signal, Reason: reason, FinishedAt: now}}
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	two := corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}, {Name: "b"}}}
	withInit := func(policy *corev1.ContainerRestartPolicy) corev1.PodSpec {
		return corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i", RestartPolicy: policy}, {Name: "j"}}, Containers: two.Containers}
	}
	list := func(states ...corev1.ContainerStatus) []corev1.ContainerStatus { return states }
	for want, pod := range map[string]corev1.Pod{
		"0/2 | Pending | 0":                   {Spec: two, Status: corev1.PodStatus{Phase: "Pending"}},
		"0/2 | Evicted | 0":                   {Spec: two, Status: corev1.PodStatus{Phase: "Failed", Reason: "Evicted"}},
		"0/2 | SchedulingGated | 0":           {Spec: two, Status: corev1.PodStatus{Phase: "Pending", Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Reason: "SchedulingGated"}}}},
		"1/2 | ErrImagePull | 0":              {Spec: two, Status: corev1.PodStatus{Phase: "Pending", ContainerStatuses: list(corev1.ContainerStatus{Name: "a", State: waiting("ErrImagePull")}, corev1.ContainerStatus{Name: "b", Ready: true, State: running})}},
		"0/2 | Signal:9 | 0":                  {Spec: two, Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: list(corev1.ContainerStatus{Name: "a", State: terminated(137, 9, "")})}},
		"1/2 | NotReady | 0":                  {Spec: two, Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: list(corev1.ContainerStatus{Name: "a", State: terminated(0, 0, "Completed")}, corev1.ContainerStatus{Name: "b", Ready: true, State: running})}},
		"0/2 | Terminating | 0":               {ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}, Spec: two, Status: corev1.PodStatus{Phase: "Running"}},
		"0/2 | Unknown | 0":                   {ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}, Spec: two, Status: corev1.PodStatus{Phase: "Running", Reason: "NodeLost"}},
		"0/2 | Init:0/2 | 0":                  {Spec: withInit(nil), Status: corev1.PodStatus{Phase: "Pending", InitContainerStatuses: list(corev1.ContainerStatus{Name: "i", State: running})}},
		"0/2 | Init:Error | 3":                {Spec: withInit(nil), Status: corev1.PodStatus{Phase: "Pending", InitContainerStatuses: list(corev1.ContainerStatus{Name: "i", RestartCount: 3, State: terminated(1, 0, "Error")})}},
		"1/3 | PodInitializing | 0":           {Spec: withInit(&always), Status: corev1.PodStatus{Phase: "Pending", InitContainerStatuses: list(corev1.ContainerStatus{Name: "i", Started: &yes, Ready: true, State: running}, corev1.ContainerStatus{Name: "j", RestartCount: 2, State: terminated(0, 0, "Completed")}), ContainerStatuses: list(corev1.ContainerStatus{Name: "a", State: waiting("PodInitializing")})}},
		"1/2 | Running | 4 (5m ago)":          {Spec: two, Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: list(corev1.ContainerStatus{Name: "a", Ready: true, RestartCount: 4, State: running, LastTerminationState: terminated(1, 0, "Error")})}},
		"0/2 | CrashLoopBackOff | 1 (5m ago)": {Spec: two, Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: list(corev1.ContainerStatus{Name: "a", RestartCount: 1, State: waiting("CrashLoopBackOff"), LastTerminationState: terminated(1, 0, "Error")})}},
	} {
		if got := podLine(t, pod); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestTableForms(t *testing.T) {
	_, _, config := start(t, shop)
	for accept, want := range map[string]string{
		"application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json": "PodList",
		"application/yaml,*/*": "PodList",
		"application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io": "Status",
		"application/cbor": "Status",
	} {
		if _, doc := raw(t, config, "GET", "/api/v1/pods", accept, ""); doc["kind"] != want {
			t.Errorf("%s: got a %v, want %s", accept, doc["kind"], want)
		}
	}
	_, doc := raw(t, config, "GET", "/api/v1/namespaces/shop/pods/web-1?includeObject=Object", tables, "")
	row := doc["rows"].([]any)[0].(map[string]any)["object"].(map[string]any)
	if row["kind"] != "Pod" || row["spec"] == nil {
		t.Errorf("includeObject=Object gave %v", row)
	}
}

func TestAges(t *testing.T) {
	_, w, config := start(t, shop)
	w.Rebase(time.Now()) // recorded at nine, pods of eight
	_, doc := raw(t, config, "GET", "/api/v1/namespaces/shop/pods/cart-1", tables, "")
	cells := doc["rows"].([]any)[0].(map[string]any)["cells"].([]any)
	if cells[3] != "7 (5m ago)" || cells[4] != "60m" {
		t.Errorf("restarts %v, age %v; want 7 (5m ago) and 60m", cells[3], cells[4])
	}
}
