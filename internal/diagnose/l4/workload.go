package l4

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// A workload is what makes pods of a template.
type workload struct {
	kind     facts.Kind
	ns, name string
	labels   map[string]string // of its pods
	selector map[string]string // by which it finds them
	pod      *corev1.Pod       // what they look like
}

func (w workload) ref() facts.Ref { return ref(w.kind, w.ns, w.name) }

// title is "Deployment shop/web".
func (w workload) title() string {
	if w.kind == facts.Pods.Kind() {
		return "pod " + w.ns + "/" + w.name + " and those like it"
	}
	kind := map[facts.Kind]string{"kube/deployments": "Deployment", "kube/statefulsets": "StatefulSet", "kube/daemonsets": "DaemonSet"}[w.kind]
	return kind + " " + w.ns + "/" + w.name
}

// labelsAt is the field that holds the labels of w's pods.
func (w workload) labelsAt() string {
	if w.kind == facts.Pods.Kind() {
		return "metadata.labels"
	}
	return "spec.template.metadata.labels"
}

// workloads returns all that are known.
func workloads(v *facts.View) []workload {
	var out []workload
	add := func(kind facts.Kind, ns, name string, selector map[string]string, t corev1.PodTemplateSpec) {
		p := &corev1.Pod{ObjectMeta: t.ObjectMeta, Spec: t.Spec}
		p.Namespace = ns
		out = append(out, workload{kind, ns, name, t.Labels, selector, p})
	}
	for _, d := range facts.Deployments.In(v) {
		add(facts.Deployments.Kind(), d.Namespace, d.Name, matchLabels(d.Spec.Selector), d.Spec.Template)
	}
	for _, d := range facts.StatefulSets.In(v) {
		add(facts.StatefulSets.Kind(), d.Namespace, d.Name, matchLabels(d.Spec.Selector), d.Spec.Template)
	}
	for _, d := range facts.DaemonSets.In(v) {
		add(facts.DaemonSets.Kind(), d.Namespace, d.Name, matchLabels(d.Spec.Selector), d.Spec.Template)
	}
	return out
}

// generated are the labels that controllers add to tell their pods apart.
var generated = []string{"pod-template-hash", "controller-revision-hash", "pod-template-generation", "statefulset.kubernetes.io/pod-name",
	"apps.kubernetes.io/pod-index", "rollouts-pod-template-hash", "batch.kubernetes.io/controller-uid", "controller-uid", "batch.kubernetes.io/job-name", "job-name"}

// bare makes workloads of a namespace's running pods that none of the known
// ones made: those of other controllers, or of none. Pods with the same
// labels are one.
func bare(pods []*corev1.Pod, known []workload) []workload {
	var out []workload
	for _, pod := range pods {
		p := *pod
		if reach.Finished(&p) || slices.ContainsFunc(known, func(w workload) bool { return w.ns == p.Namespace && has(p.Labels, w.selector) && len(w.selector) > 0 }) {
			continue
		}
		own := maps.Clone(p.Labels)
		for _, g := range generated {
			delete(own, g)
		}
		p.Labels = own
		if len(own) == 0 || slices.ContainsFunc(out, func(w workload) bool { return w.ns == p.Namespace && maps.Equal(w.labels, own) }) {
			continue
		}
		out = append(out, workload{facts.Pods.Kind(), p.Namespace, p.Name, own, own, &p})
	}
	return out
}

// has reports whether l has all labels of want.
func has(l, want map[string]string) bool {
	for k, v := range want {
		if got, ok := l[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// A difference says how the labels of a workload's pods differ from a
// selector.
type difference struct {
	keys    []string          // of the selector that do not match
	fixed   map[string]string // the selector with those corrected
	guess   bool              // it could be corrected at all
	typo    bool              // one value, nearly the same
	renamed bool              // one value, found under another key
}

// differ compares a selector with labels.
func differ(selector, labels map[string]string) difference {
	d := difference{fixed: map[string]string{}, guess: true}
	for k, want := range selector {
		got, has := labels[k]
		if has && got == want {
			d.fixed[k] = want
			continue
		}
		d.keys = append(d.keys, k)
		other := keyOf(labels, want, selector)
		switch {
		case has:
			d.fixed[k] = got
			d.typo = isTypo(want, got)
		case other != "":
			d.fixed[other] = want
			d.renamed = true
		default:
			d.guess = false
		}
	}
	if len(d.keys) != 1 {
		d.typo, d.renamed = false, false
	}
	return d
}

// keyOf finds the key under which labels hold a value, apart from the keys
// that the selector uses.
func keyOf(labels map[string]string, value string, selector map[string]string) string {
	found := ""
	for k, v := range labels {
		if _, used := selector[k]; !used && v == value {
			if found == "" || k < found {
				found = k
			}
		}
	}
	return found
}

// isTypo reports whether two values are meant to be the same: they differ in
// letters' case, in separators or in one or two characters. Values that
// differ in digits only are versions, and meant to differ; of short words too
// many are alike by chance.
func isTypo(a, b string) bool {
	plain := func(r rune) rune {
		if r == '-' || r == '_' || r == '.' {
			return -1
		}
		return unicode.ToLower(r)
	}
	noDigits := func(r rune) rune {
		if unicode.IsDigit(r) {
			return '0'
		}
		return r
	}
	pa, pb := strings.Map(plain, a), strings.Map(plain, b)
	if pa == pb {
		return true
	}
	na, nb := strings.Map(noDigits, pa), strings.Map(noDigits, pb)
	if strings.Trim(na, "0") == strings.Trim(nb, "0") || min(len(pa), len(pb)) < 4 {
		return false
	}
	d := distance(pa, pb)
	return d == 1 || d == 2 && min(len(pa), len(pb)) >= 5
}

// serves reports whether a workload's pods have the ports that a Service
// sends to. A number that no container declares may be served all the same
// when none is declared at all.
func (w workload) serves(s *corev1.Service) bool {
	for _, p := range s.Spec.Ports {
		if p.TargetPort.Type == intstr.String && p.TargetPort.StrVal != "" {
			if _, ok := reach.TargetPort(p, w.pod); !ok {
				return false
			}
			continue
		}
		n, _ := reach.TargetPort(p, w.pod)
		declared, found := false, false
		for _, c := range w.pod.Spec.Containers {
			for _, cp := range c.Ports {
				declared, found = true, found || cp.ContainerPort == n
			}
		}
		if declared && !found {
			return false
		}
	}
	return true
}

// distance counts the edits between a and b; two neighbours that changed
// places are one (optimal string alignment).
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

func matchLabels(s *metav1.LabelSelector) map[string]string {
	if s == nil {
		return nil
	}
	return s.MatchLabels
}
