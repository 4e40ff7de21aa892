package apply

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/remedy"
)

// objects is the part of a typed client that makes and deletes objects of a
// namespace.
type objects[T metav1.Object] interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (T, error)
	Create(ctx context.Context, object T, opts metav1.CreateOptions) (T, error)
	Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error
}

// A making is an object that the bot makes, and deletes again: one that is not
// there otherwise.
type making[T metav1.Object] struct {
	action   remedy.Action
	in       objects[T]
	kind     string
	manifest T
	same     func(now T) bool // now holds what the manifest says
	dry      bool
}

// own reports whether an object is the bot's, with the content that it gave it.
func (m making[T]) own(now T) bool {
	return now.GetLabels()[remedy.ManagedBy] == manager && m.same(now)
}

func (m making[T]) name() string {
	return m.kind + " " + m.manifest.GetNamespace() + "/" + m.manifest.GetName()
}

// create makes the object. One of the name with other content is a conflict.
func (m making[T]) create(ctx context.Context, r *Receipt) error {
	now, err := m.in.Get(ctx, m.manifest.GetName(), metav1.GetOptions{})
	switch {
	case err == nil && m.own(now):
		r.Already = true
		return nil
	case err == nil:
		return conflict(m.action, "there with other content")
	case !apierrors.IsNotFound(err):
		return err
	}
	if _, err := m.in.Create(ctx, m.manifest, metav1.CreateOptions{DryRun: dryRun(m.dry), FieldManager: manager}); err != nil {
		return err
	}
	r.Detail = m.name() + ": not there → created"
	return nil
}

// delete takes the object away, and nobody else's.
func (m making[T]) delete(ctx context.Context, r *Receipt) error {
	now, err := m.in.Get(ctx, m.manifest.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		r.Already = true
		return nil
	case err != nil:
		return err
	case !m.own(now):
		return conflict(m.action, "not the one that the bot made")
	}
	uid, version := now.GetUID(), now.GetResourceVersion()
	err = m.in.Delete(ctx, now.GetName(), metav1.DeleteOptions{DryRun: dryRun(m.dry), Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if err != nil {
		return err
	}
	r.Detail = m.name() + ": deleted"
	return nil
}

// policy is a NetworkPolicy; the API server fills defaults into its spec.
func (w *Writer) policy(a remedy.Action, manifest *networkingv1.NetworkPolicy, dry bool, do func(making[*networkingv1.NetworkPolicy]) error) error {
	c, err := w.cluster(a)
	if err != nil {
		return err
	}
	return do(making[*networkingv1.NetworkPolicy]{a, c.NetworkingV1().NetworkPolicies(manifest.Namespace), "NetworkPolicy", manifest, func(now *networkingv1.NetworkPolicy) bool {
		return equality.Semantic.DeepDerivative(manifest.Spec, now.Spec)
	}, dry})
}

func (w *Writer) createPolicy(ctx context.Context, a remedy.Action, manifest *networkingv1.NetworkPolicy, dry bool, r *Receipt) error {
	return w.policy(a, manifest, dry, func(m making[*networkingv1.NetworkPolicy]) error { return m.create(ctx, r) })
}

func (w *Writer) deletePolicy(ctx context.Context, a remedy.Action, manifest *networkingv1.NetworkPolicy, dry bool, r *Receipt) error {
	return w.policy(a, manifest, dry, func(m making[*networkingv1.NetworkPolicy]) error { return m.delete(ctx, r) })
}

// budget is a PodDisruptionBudget.
func (w *Writer) budget(a remedy.Action, manifest *policyv1.PodDisruptionBudget, dry bool, do func(making[*policyv1.PodDisruptionBudget]) error) error {
	c, err := w.cluster(a)
	if err != nil {
		return err
	}
	return do(making[*policyv1.PodDisruptionBudget]{a, c.PolicyV1().PodDisruptionBudgets(manifest.Namespace), "PodDisruptionBudget", manifest, func(now *policyv1.PodDisruptionBudget) bool {
		return equality.Semantic.DeepEqual(now.Spec, manifest.Spec)
	}, dry})
}

func (w *Writer) createBudget(ctx context.Context, a remedy.Action, manifest *policyv1.PodDisruptionBudget, dry bool, r *Receipt) error {
	return w.budget(a, manifest, dry, func(m making[*policyv1.PodDisruptionBudget]) error { return m.create(ctx, r) })
}

func (w *Writer) deleteBudget(ctx context.Context, a remedy.Action, manifest *policyv1.PodDisruptionBudget, dry bool, r *Receipt) error {
	return w.budget(a, manifest, dry, func(m making[*policyv1.PodDisruptionBudget]) error { return m.delete(ctx, r) })
}
