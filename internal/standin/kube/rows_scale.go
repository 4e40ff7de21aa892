package kube

import (
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func hpaRow(o *autoscalingv2.HorizontalPodAutoscaler, now time.Time) []any {
	minPods := "<unset>"
	if o.Spec.MinReplicas != nil {
		minPods = fmt.Sprint(*o.Spec.MinReplicas)
	}
	return []any{o.Name, o.Spec.ScaleTargetRef.Kind + "/" + o.Spec.ScaleTargetRef.Name, hpaTargets(o), minPods, o.Spec.MaxReplicas,
		o.Status.CurrentReplicas, age(o.CreationTimestamp, now)}
}

// hpaTargets tells of each metric where it is and where it should be. Metrics
// other than of resources are named only.
func hpaTargets(o *autoscalingv2.HorizontalPodAutoscaler) string {
	var targets []string
	for i, m := range o.Spec.Metrics {
		if m.Resource == nil {
			targets = append(targets, string(m.Type))
			continue
		}
		var current *autoscalingv2.MetricValueStatus
		if i < len(o.Status.CurrentMetrics) && o.Status.CurrentMetrics[i].Resource != nil {
			current = &o.Status.CurrentMetrics[i].Resource.Current
		}
		targets = append(targets, string(m.Resource.Name)+": "+resourceTarget(m.Resource.Target, current))
	}
	return firstThree(targets, none)
}

func resourceTarget(want autoscalingv2.MetricTarget, current *autoscalingv2.MetricValueStatus) string {
	is := "<unknown>"
	if want.AverageUtilization != nil {
		if current != nil && current.AverageUtilization != nil {
			is = fmt.Sprintf("%d%%", *current.AverageUtilization)
		}
		return fmt.Sprintf("%s/%d%%", is, *want.AverageUtilization)
	}
	if current != nil && current.AverageValue != nil {
		is = current.AverageValue.String()
	}
	if want.AverageValue == nil {
		return is
	}
	return is + "/" + want.AverageValue.String()
}

func budgetRow(o *policyv1.PodDisruptionBudget, now time.Time) []any {
	bound := func(n *intstr.IntOrString) string {
		if n == nil {
			return "N/A"
		}
		return n.String()
	}
	return []any{o.Name, bound(o.Spec.MinAvailable), bound(o.Spec.MaxUnavailable), o.Status.DisruptionsAllowed, age(o.CreationTimestamp, now)}
}
