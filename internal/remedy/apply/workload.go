package apply

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hopwise/hopwise/internal/remedy"
)

// A workload is a Deployment, a DaemonSet or a StatefulSet as it is now.
type workload struct {
	version  string
	template corev1.PodTemplateSpec
	patch    func(context.Context, types.PatchType, []byte, metav1.PatchOptions) error
}

func (w *Writer) workload(ctx context.Context, a remedy.Action, of remedy.Workload) (*workload, error) {
	c, err := w.cluster(a)
	if err != nil {
		return nil, err
	}
	switch of.Kind {
	case "Deployment":
		api := c.AppsV1().Deployments(of.Namespace)
		now, err := api.Get(ctx, of.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return &workload{now.ResourceVersion, now.Spec.Template, patcher(api.Patch, of.Name)}, nil
	case "DaemonSet":
		api := c.AppsV1().DaemonSets(of.Namespace)
		now, err := api.Get(ctx, of.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return &workload{now.ResourceVersion, now.Spec.Template, patcher(api.Patch, of.Name)}, nil
	case "StatefulSet":
		api := c.AppsV1().StatefulSets(of.Namespace)
		now, err := api.Get(ctx, of.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return &workload{now.ResourceVersion, now.Spec.Template, patcher(api.Patch, of.Name)}, nil
	}
	return nil, fmt.Errorf("the pods of a %s cannot be changed; want a Deployment, a DaemonSet or a StatefulSet", of.Kind)
}

// patcher is a typed client's Patch of one object, without its answer.
func patcher[T any](patch func(context.Context, string, types.PatchType, []byte, metav1.PatchOptions, ...string) (T, error), name string) func(context.Context, types.PatchType, []byte, metav1.PatchOptions) error {
	return func(ctx context.Context, kind types.PatchType, body []byte, o metav1.PatchOptions) error {
		_, err := patch(ctx, name, kind, body, o)
		return err
	}
}

// change patches the workload if it still is as it was read.
func (l *workload) change(ctx context.Context, kind types.PatchType, body []byte, dry bool) error {
	return l.patch(ctx, kind, guarded(body, l.version), metav1.PatchOptions{DryRun: dryRun(dry), FieldManager: manager})
}

// restart looks for the time of the last restart: when it is not the one that
// the action knows, the pods were replaced since, by a first try or by
// somebody else, and that is all that was wanted.
func (w *Writer) restart(ctx context.Context, a remedy.RestartWorkload, dry bool, r *Receipt) error {
	l, err := w.workload(ctx, a, a.Workload)
	if err != nil {
		return err
	}
	if l.template.Annotations[remedy.RestartedAt] != a.Last {
		r.Already = true
		return nil
	}
	at := time.Now().UTC().Format(time.RFC3339)
	if err := l.change(ctx, types.MergePatchType, a.Patch(at), dry); err != nil {
		return err
	}
	r.Detail = fmt.Sprintf("spec.template.metadata.annotations.%s: %s → %s", remedy.RestartedAt, cmp.Or(a.Last, "not set"), at)
	return nil
}

func (w *Writer) setDNSOption(ctx context.Context, a remedy.SetDNSOption, dry bool, r *Receipt) error {
	l, err := w.workload(ctx, a, a.Workload)
	if err != nil {
		return err
	}
	now := remedy.DNSOption(a.Workload, l.template.Spec.DNSConfig, a.Option, a.To)
	switch {
	case !equality.Semantic.DeepEqual(now.Others, a.Others):
		return conflict(a, "with other options in its dnsConfig")
	case now.From == a.To:
		r.Already = true
		return nil
	case now.From != a.From:
		return conflict(a, "with "+a.Option+" "+cmp.Or(now.From, "not set"))
	}
	if err := l.change(ctx, types.MergePatchType, a.Patch(), dry); err != nil {
		return err
	}
	r.Detail = fmt.Sprintf("spec.template.spec.dnsConfig.options %s: %s → %s", a.Option, cmp.Or(a.From, "not set"), cmp.Or(a.To, "not set"))
	return nil
}

func (w *Writer) setEnv(ctx context.Context, a remedy.SetEnv, dry bool, r *Receipt) error {
	l, err := w.workload(ctx, a, a.Workload)
	if err != nil {
		return err
	}
	list, env, ok := environment(l.template.Spec, a.Container)
	if !ok {
		return conflict(a, "without a container "+a.Container)
	}
	now := ""
	if i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == a.Variable }); i >= 0 {
		if now = env[i].Value; env[i].ValueFrom != nil {
			return conflict(a, "taking "+a.Variable+" from another object")
		}
	}
	switch now {
	case a.To:
		r.Already = true
		return nil
	case a.From:
	default:
		return conflict(a, "with "+a.Variable+"="+now)
	}
	if err := l.change(ctx, types.StrategicMergePatchType, a.Patch(list), dry); err != nil {
		return err
	}
	r.Detail = fmt.Sprintf("%s %s, env %s: %s → %s", list, a.Container, a.Variable, cmp.Or(a.From, "not set"), cmp.Or(a.To, "not set"))
	return nil
}

// environment finds a container by its name, and the list that has it.
func environment(s corev1.PodSpec, name string) (list string, env []corev1.EnvVar, ok bool) {
	named := func(c corev1.Container) bool { return c.Name == name }
	if i := slices.IndexFunc(s.Containers, named); i >= 0 {
		return "containers", s.Containers[i].Env, true
	}
	if i := slices.IndexFunc(s.InitContainers, named); i >= 0 {
		return "initContainers", s.InitContainers[i].Env, true
	}
	return "", nil, false
}

func (w *Writer) spread(ctx context.Context, a remedy.SpreadReplicas, dry bool, r *Receipt) error {
	l, err := w.workload(ctx, a, a.Workload())
	if err != nil {
		return err
	}
	now := l.template.Spec.TopologySpreadConstraints
	switch {
	case equality.Semantic.DeepEqual(now, a.To):
		r.Already = true
		return nil
	case !equality.Semantic.DeepEqual(now, a.From):
		return conflict(a, "with other topologySpreadConstraints")
	}
	if err := l.change(ctx, types.MergePatchType, a.Patch(), dry); err != nil {
		return err
	}
	r.Detail = fmt.Sprintf("spec.template.spec.topologySpreadConstraints: %s → %s", topologies(a.From), topologies(a.To))
	return nil
}

func topologies(constraints []corev1.TopologySpreadConstraint) string {
	var keys []string
	for _, c := range constraints {
		keys = append(keys, c.TopologyKey)
	}
	if len(keys) == 0 {
		return "none"
	}
	return fmt.Sprint(keys)
}
