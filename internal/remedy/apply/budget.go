package apply

import (
	"context"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/remedy"
)

// isBudget reports whether a PodDisruptionBudget is the one that the bot
// would make.
func isBudget(p *policyv1.PodDisruptionBudget, b remedy.Budget) bool {
	return p.Labels[remedy.ManagedBy] == manager && equality.Semantic.DeepEqual(p.Spec, b.Manifest().Spec)
}

func (w *Writer) createBudget(ctx context.Context, a remedy.CreatePodDisruptionBudget, dry bool, r *Receipt) error {
	c, err := w.cluster(a)
	if err != nil {
		return err
	}
	budgets := c.PolicyV1().PodDisruptionBudgets(a.Namespace)
	now, err := budgets.Get(ctx, a.Name, metav1.GetOptions{})
	switch {
	case err == nil && isBudget(now, a.Budget):
		r.Already = true
		return nil
	case err == nil:
		return conflict(a, "there with another content")
	case !apierrors.IsNotFound(err):
		return err
	}
	if _, err := budgets.Create(ctx, a.Manifest(), metav1.CreateOptions{DryRun: dryRun(dry), FieldManager: manager}); err != nil {
		return err
	}
	r.Detail = "PodDisruptionBudget " + a.Namespace + "/" + a.Name + ": not there → created"
	return nil
}

func (w *Writer) deleteBudget(ctx context.Context, a remedy.DeletePodDisruptionBudget, dry bool, r *Receipt) error {
	c, err := w.cluster(a)
	if err != nil {
		return err
	}
	budgets := c.PolicyV1().PodDisruptionBudgets(a.Namespace)
	now, err := budgets.Get(ctx, a.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		r.Already = true
		return nil
	case err != nil:
		return err
	case !isBudget(now, a.Budget):
		return conflict(a, "not the one that the bot made")
	}
	err = budgets.Delete(ctx, a.Name, metav1.DeleteOptions{DryRun: dryRun(dry), Preconditions: &metav1.Preconditions{UID: &now.UID, ResourceVersion: &now.ResourceVersion}})
	if err != nil {
		return err
	}
	r.Detail = "PodDisruptionBudget " + a.Namespace + "/" + a.Name + ": deleted"
	return nil
}
