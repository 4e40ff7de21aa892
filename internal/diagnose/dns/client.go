package dns

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// A question is what somebody says about a name, and who asks for it.
type question struct {
	lookup    string        // the name that does not resolve, as it was typed; "" when none was named
	namespace string        // of who asks; "" when not told
	pods      []*corev1.Pod // who asks, where the question names them
}

// newQuestion reads v's target. A Service or host that it names is what is
// looked up, and not who asks.
func newQuestion(v *facts.View, pods []corev1.Pod) question {
	t := v.Target()
	q := question{lookup: strings.ToLower(t.Lookup)}
	first, _, _ := strings.Cut(q.lookup, ".")
	if q.lookup != "" && (t.Kind == "service" || t.Kind == "host" || t.Name != "" && t.Name == first) {
		return q
	}
	q.namespace = t.Namespace
	if t.Name == "" {
		return q
	}
	in := map[string]bool{}
	for i := range pods {
		p := &pods[i]
		if running(p) && (t.Namespace == "" || p.Namespace == t.Namespace) && called(p, t.Name) {
			q.pods = append(q.pods, p)
			in[p.Namespace] = true
		}
	}
	if len(in) == 1 {
		q.namespace = q.pods[0].Namespace
	}
	return q
}

// called reports whether a person means p by name.
func called(p *corev1.Pod, name string) bool {
	w, _ := workloadOf(p)
	return p.Name == name || w.Name == name || p.Labels["app"] == name || p.Labels["app.kubernetes.io/name"] == name
}

// names reports whether the question names p.
func (q question) names(p *corev1.Pod) bool {
	return slices.ContainsFunc(q.pods, func(o *corev1.Pod) bool { return o.Namespace == p.Namespace && o.Name == p.Name })
}

// workloadOf is what made a pod; false for a pod made by hand or by a Job.
func workloadOf(p *corev1.Pod) (remedy.Workload, bool) {
	owner := metav1.GetControllerOf(p)
	if owner == nil {
		return remedy.Workload{}, false
	}
	w := remedy.Workload{Kind: owner.Kind, Namespace: p.Namespace, Name: owner.Name}
	if hash := p.Labels["pod-template-hash"]; hash != "" && owner.Kind == "ReplicaSet" {
		w.Kind, w.Name = "Deployment", strings.TrimSuffix(owner.Name, "-"+hash)
	}
	return w, w.Kind == "Deployment" || w.Kind == "DaemonSet" || w.Kind == "StatefulSet"
}

// ownerRef names what made a pod, or the pod.
func ownerRef(p *corev1.Pod) facts.Ref {
	if w, ok := workloadOf(p); ok {
		return ref(facts.Kind("kube/"+w.Resource()), w.Namespace, w.Name)
	}
	return podRef(*p)
}

// madeBy names what made a pod, for people: "Deployment shop/cart".
func madeBy(p *corev1.Pod) string {
	if w, ok := workloadOf(p); ok {
		return w.Kind + " " + w.Namespace + "/" + w.Name
	}
	return "Pod " + p.Namespace + "/" + p.Name
}

// templateNeeds are the kinds that template reads.
var templateNeeds = []facts.Need{facts.Deployments, facts.DaemonSets, facts.StatefulSets}

// templates finds the pod template of a workload; nil when it was not read.
func templates(v *facts.View) func(remedy.Workload) *corev1.PodTemplateSpec {
	all := map[remedy.Workload]*corev1.PodTemplateSpec{}
	for i, d := range facts.Deployments.In(v) {
		all[remedy.Workload{Kind: "Deployment", Namespace: d.Namespace, Name: d.Name}] = &facts.Deployments.In(v)[i].Spec.Template
	}
	for i, d := range facts.DaemonSets.In(v) {
		all[remedy.Workload{Kind: "DaemonSet", Namespace: d.Namespace, Name: d.Name}] = &facts.DaemonSets.In(v)[i].Spec.Template
	}
	for i, d := range facts.StatefulSets.In(v) {
		all[remedy.Workload{Kind: "StatefulSet", Namespace: d.Namespace, Name: d.Name}] = &facts.StatefulSets.In(v)[i].Spec.Template
	}
	return func(w remedy.Workload) *corev1.PodTemplateSpec { return all[w] }
}

// byWorkload groups pods by what made them, in their order.
func byWorkload(pods []*corev1.Pod) [][]*corev1.Pod {
	at := map[facts.Ref]int{}
	var out [][]*corev1.Pod
	for _, p := range pods {
		o := ownerRef(p)
		i, ok := at[o]
		if !ok {
			i = len(out)
			at[o] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], p)
	}
	return out
}

// affectedPods are the first of pods, as a finding names them.
func affectedPods(pods []*corev1.Pod) []facts.Ref {
	var out []facts.Ref
	for _, p := range pods[:min(len(pods), 20)] {
		out = append(out, podRef(*p))
	}
	return out
}

// showResolvConf is the command that shows what a pod's lookups go by.
func showResolvConf(p *corev1.Pod) string {
	return fmt.Sprintf("kubectl -n %s exec %s -- cat /etc/resolv.conf", p.Namespace, p.Name)
}

// jsonOf writes labels as JSON.
func jsonOf(labels map[string]string) string {
	b, _ := json.Marshal(labels) // strings always marshal
	return string(b)
}
