package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/hopwise/hopwise/internal/remedy"
)

// manager is the field manager of the bot's changes.
const manager = "hopwise"

func (w *Writer) cluster(a remedy.Action) (kubernetes.Interface, error) {
	if w.kube == nil {
		return nil, fmt.Errorf("%s: %w: set KUBECONFIG or run in a cluster", a.Object(), ErrAway)
	}
	return w.kube, nil
}

func dryRun(dry bool) []string {
	if dry {
		return []string{metav1.DryRunAll}
	}
	return nil
}

// guarded adds to a merge patch the version of the object that it was made
// for: the API server then refuses it when somebody else was faster.
func guarded(patch []byte, version string) []byte {
	var doc map[string]any
	if err := json.Unmarshal(patch, &doc); err != nil {
		panic(fmt.Sprintf("apply: patch: %v", err)) // a bug: actions write valid JSON
	}
	meta, _ := doc["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		doc["metadata"] = meta
	}
	meta["resourceVersion"] = version
	b, _ := json.Marshal(doc)
	return b
}

func (w *Writer) setSelector(ctx context.Context, a remedy.SetSelector, dry bool, r *Receipt) error {
	c, err := w.cluster(a)
	if err != nil {
		return err
	}
	services := c.CoreV1().Services(a.Namespace)
	now, err := services.Get(ctx, a.Service, metav1.GetOptions{})
	switch {
	case err != nil:
		return err
	case maps.Equal(now.Spec.Selector, a.Selector):
		r.Already = true
		return nil
	case !maps.Equal(now.Spec.Selector, a.Before):
		return conflict(a, fmt.Sprintf("selecting %v", now.Spec.Selector))
	}
	after, err := services.Patch(ctx, a.Service, types.MergePatchType, guarded(a.Patch(), now.ResourceVersion), metav1.PatchOptions{DryRun: dryRun(dry), FieldManager: manager})
	if err != nil {
		return err
	}
	r.Detail = diff(now.Spec.Selector, after.Spec.Selector, "spec.selector.")
	return nil
}

func (w *Writer) annotate(ctx context.Context, a remedy.Annotate, dry bool, r *Receipt) error {
	c, err := w.cluster(a)
	if err != nil {
		return err
	}
	var (
		now   metav1.Object
		patch func(context.Context, []byte, metav1.PatchOptions) (metav1.Object, error)
	)
	switch a.Resource {
	case "ingresses":
		now, err = c.NetworkingV1().Ingresses(a.Namespace).Get(ctx, a.Name, metav1.GetOptions{})
		patch = func(ctx context.Context, p []byte, o metav1.PatchOptions) (metav1.Object, error) {
			return c.NetworkingV1().Ingresses(a.Namespace).Patch(ctx, a.Name, types.MergePatchType, p, o)
		}
	case "services":
		now, err = c.CoreV1().Services(a.Namespace).Get(ctx, a.Name, metav1.GetOptions{})
		patch = func(ctx context.Context, p []byte, o metav1.PatchOptions) (metav1.Object, error) {
			return c.CoreV1().Services(a.Namespace).Patch(ctx, a.Name, types.MergePatchType, p, o)
		}
	default:
		return fmt.Errorf("annotations of %s cannot be changed", a.Resource)
	}
	switch {
	case err != nil:
		return err
	case has(now.GetAnnotations(), a.Values):
		r.Already = true
		return nil
	case !has(now.GetAnnotations(), a.Before):
		return conflict(a, "annotated otherwise")
	}
	after, err := patch(ctx, guarded(a.Patch(), now.GetResourceVersion()), metav1.PatchOptions{DryRun: dryRun(dry), FieldManager: manager})
	if err != nil {
		return err
	}
	r.Detail = diff(now.GetAnnotations(), after.GetAnnotations(), "metadata.annotations.")
	return nil
}

// has reports whether m has all of want, where nil means "not there".
func has(m map[string]string, want map[string]*string) bool {
	for k, v := range want {
		got, ok := m[k]
		if ok != (v != nil) || ok && got != *v {
			return false
		}
	}
	return true
}

func (w *Writer) scale(ctx context.Context, a remedy.ScaleDeployment, dry bool, r *Receipt) error {
	c, err := w.cluster(a)
	if err != nil {
		return err
	}
	deployments := c.AppsV1().Deployments(a.Namespace)
	now, err := deployments.GetScale(ctx, a.Name, metav1.GetOptions{})
	switch {
	case err != nil:
		return err
	case now.Spec.Replicas == a.To:
		r.Already = true
		return nil
	case now.Spec.Replicas != a.From:
		return conflict(a, fmt.Sprintf("asking for %d replicas", now.Spec.Replicas))
	}
	now.Spec.Replicas = a.To // with the version that was read: a race is a conflict
	if _, err := deployments.UpdateScale(ctx, a.Name, now, metav1.UpdateOptions{DryRun: dryRun(dry), FieldManager: manager}); err != nil {
		return err
	}
	r.Detail = fmt.Sprintf("spec.replicas: %d → %d", a.From, a.To)
	return nil
}

// diff says what changed in a map of strings, one line a key.
func diff(before, after map[string]string, prefix string) string {
	if maps.Equal(before, after) {
		return "no change"
	}
	keys := maps.Clone(before)
	if keys == nil {
		keys = map[string]string{}
	}
	maps.Copy(keys, after)
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		b, hadB := before[k]
		a, hasA := after[k]
		switch {
		case !hadB:
			lines = append(lines, fmt.Sprintf("%s%s: not set → %s", prefix, k, a))
		case !hasA:
			lines = append(lines, fmt.Sprintf("%s%s: %s → removed", prefix, k, b))
		case a != b:
			lines = append(lines, fmt.Sprintf("%s%s: %s → %s", prefix, k, b, a))
		}
	}
	return strings.Join(lines, "\n")
}
