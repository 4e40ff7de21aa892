package diagnose

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/resolve"
)

// resolution follows the name that was said not to resolve, nil when none
// was or nobody knows from where it is asked.
func resolution(s *facts.Snapshot, in intents.Intent) *resolve.Path {
	if in.Target.Lookup == "" {
		return nil
	}
	pods, _ := s.Have[facts.Pods.Kind()].([]corev1.Pod)
	pod := asker(pods, in)
	if pod == nil && !strings.Contains(in.Target.Lookup, ".") {
		return nil // whose search list a short name would get is not known
	}
	return follow(s, resolve.Query{Name: in.Target.Lookup, Pod: pod})
}

// follow follows a name; a bug on the way must not cost the findings.
func follow(s *facts.Snapshot, q resolve.Query) (p *resolve.Path) {
	defer func() {
		if recover() != nil {
			p = &resolve.Path{Name: q.Name, Type: "A", Hops: []reach.Step{}, Answer: resolve.Answer{Kind: resolve.NotKnown, Name: q.Name},
				Text: "internal error while the name was followed; please report it with the question"}
		}
	}()
	path := resolve.Resolve(q, resolve.New(s.View(resolve.Needs, resolve.Wants)))
	return &path
}

// asker is a pod that asks for the name: one that the question names, else one
// of the namespace that it names, else any that asks the cluster's DNS in the
// usual way, whose answer for a name with dots is everybody's.
func asker(pods []corev1.Pod, in intents.Intent) *corev1.Pod {
	for _, t := range []facts.Target{in.From, in.Target} {
		if t.Name == "" || t.Kind == "service" || t.Kind == "ingress" {
			continue
		}
		if found := running(reach.FindPods(pods, t)); len(found) > 0 {
			return found[0]
		}
	}
	usual := running(pointers(pods))
	usual = slices.DeleteFunc(usual, func(p *corev1.Pod) bool {
		return p.Spec.HostNetwork || p.Spec.DNSPolicy != "" && p.Spec.DNSPolicy != corev1.DNSClusterFirst || p.Spec.DNSConfig != nil
	})
	if i := slices.IndexFunc(usual, func(p *corev1.Pod) bool { return p.Namespace == cmp.Or(in.From.Namespace, in.Target.Namespace) }); i >= 0 {
		return usual[i]
	}
	if len(usual) == 0 || !strings.Contains(in.Target.Lookup, ".") {
		return nil
	}
	// Somebody's pod says more to the reader than one of the cluster's own.
	if i := slices.IndexFunc(usual, func(p *corev1.Pod) bool { return p.Namespace != "kube-system" }); i >= 0 {
		return usual[i]
	}
	return usual[0]
}

func running(pods []*corev1.Pod) []*corev1.Pod {
	return slices.DeleteFunc(pods, func(p *corev1.Pod) bool { return reach.Finished(p) || p.DeletionTimestamp != nil })
}

func pointers(pods []corev1.Pod) []*corev1.Pod {
	all := make([]*corev1.Pod, len(pods))
	for i := range pods {
		all[i] = &pods[i]
	}
	return all
}
