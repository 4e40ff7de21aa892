package collect

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const externalDNS = "external-dns"

// A component is a part of the cluster's DNS whose pods are asked for more
// than the API server knows of them.
type component struct {
	name string // of its main container, and in that one's image
	port string // of its metrics; "" when they are not read
	has  func(*corev1.Pod) bool
}

var components = []component{
	{"coredns", "9153", func(p *corev1.Pod) bool { return isSystem(p, "kube-dns") }},
	{"node-cache", "", func(p *corev1.Pod) bool { return isSystem(p, "node-local-dns") }},
	{externalDNS, "7979", isExternalDNS},
}

func isSystem(p *corev1.Pod, app string) bool {
	return p.Namespace == metav1.NamespaceSystem && p.Labels["k8s-app"] == app
}

// isExternalDNS knows the labels of the charts and manifests there are, and
// the image of those that have others.
func isExternalDNS(p *corev1.Pod) bool {
	for _, label := range []string{"app.kubernetes.io/name", "app", "k8s-app"} {
		if p.Labels[label] == externalDNS {
			return true
		}
	}
	return slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return imageName(c.Image) == externalDNS })
}

// main is the container of p that does the component's work; nil for a pod
// without containers.
func (c component) main(p *corev1.Pod) *corev1.Container {
	all := p.Spec.Containers
	i := slices.IndexFunc(all, func(ct corev1.Container) bool { return ct.Name == c.name })
	if i < 0 {
		i = slices.IndexFunc(all, func(ct corev1.Container) bool { return strings.Contains(imageName(ct.Image), c.name) })
	}
	if len(all) == 0 {
		return nil
	}
	return &all[max(i, 0)]
}

// A member is a pod of a component, with what is asked of it.
type member struct {
	pod       *corev1.Pod
	container string // the main one
	status    corev1.ContainerStatus
	port      string
}

// members returns at most limit pods of each component that are fit to be
// asked, by name: those that are in trouble before others.
func members(pods []corev1.Pod, limit int, fit func(component, *corev1.Pod) bool) []member {
	var all []member
	for _, c := range components {
		var own []member
		for i := range pods {
			p := &pods[i]
			if ct := c.main(p); ct != nil && c.has(p) && fit(c, p) {
				own = append(own, member{p, ct.Name, statusOf(p, ct.Name), c.port})
			}
		}
		slices.SortFunc(own, inTroubleFirst)
		all = append(all, own[:min(limit, len(own))]...)
	}
	slices.SortFunc(all, byName)
	return all
}

// inTroubleFirst puts what is not ready before what is, then what restarted
// most often, then goes by name.
func inTroubleFirst(a, b member) int {
	if a.status.Ready != b.status.Ready {
		if b.status.Ready {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.status.RestartCount, a.status.RestartCount), byName(a, b))
}

func byName(a, b member) int {
	return cmp.Or(strings.Compare(a.pod.Namespace, b.pod.Namespace), strings.Compare(a.pod.Name, b.pod.Name))
}

func statusOf(p *corev1.Pod, container string) corev1.ContainerStatus {
	for _, st := range p.Status.ContainerStatuses {
		if st.Name == container {
			return st
		}
	}
	return corev1.ContainerStatus{}
}

// those reads what each of n objects tells of itself, at the same time, and
// keeps what was told: one that is out of reach must not hide the others. A
// read that returns nil leaves its object out. Only when none told anything
// there is an error, a refusal before others.
func those[T any](n int, read func(i int) (*T, error)) ([]T, error) {
	found, errs := make([]*T, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { found[i], errs[i] = read(i) })
	}
	wg.Wait()
	told := []T{}
	for _, f := range found {
		if f != nil {
			told = append(told, *f)
		}
	}
	if len(told) > 0 {
		return told, nil
	}
	return told, worst(errs)
}

// worst is a refusal if there is one, else the first error.
func worst(errs []error) error {
	var first error
	for _, err := range errs {
		if apierrors.IsForbidden(err) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// patience is how long one pod or kubelet may take to answer, which the API
// server would wait half a minute for.
const patience = 3 * time.Second

// patient bounds one of the reads that follow each other before ctx ends.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := patience
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/2)
	}
	return context.WithTimeout(ctx, limit)
}
