package l7

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

var tgEmptyNoEndpoints = &diagnose.Check{
	ID:    "l7/tg-empty-no-endpoints",
	Title: "Target group has no targets because its Service has no ready endpoints",
	Doc: `The AWS Load Balancer Controller registers a Service's ready endpoints as targets. When the Service has none (its
selector matches no pod, its pods are not ready or wait for an address) the target group is empty, and an ALB answers
503, an NLB resets connections.

Recognised by a target group that a load balancer uses and a TargetGroupBinding ties to a Service, without registered
targets (draining ones do not count), while the Service's EndpointSlices hold no ready endpoint.

Looks alike: targets that are registered but unhealthy (an ALB then sends to all of them, so users see the
application's errors, not 503); endpoints that are ready while the group is empty (the controller does not register:
look at its log and at the TargetGroupBinding's events); a Service whose workload is scaled to zero on purpose, which
is no fault.

Fixed where the endpoints are lost: this finding stands under the check of L3 or L4 that names the cause.`,
	Needs: append(groupNeeds[:len(groupNeeds):len(groupNeeds)],
		facts.TargetGroupBindings, facts.Services, facts.EndpointSlices, facts.Deployments),
	Wants:    []facts.Need{facts.Ingresses, facts.Pods, facts.Nodes, facts.StatefulSets},
	CausedBy: []string{"l3/subnet-ip-exhausted", "l4/service-no-endpoints-selector", "l4/service-endpoints-not-ready"},
	Sources: []string{
		"https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html#http-503-issues",
		"https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/targetgroupbinding/targetgroupbinding/",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ready := readyEndpoints(v)
		var found []diagnose.Finding
		for _, g := range groups(v) {
			if !g.known || g.binding == nil || g.service == nil || len(g.registered()) > 0 {
				continue
			}
			id := g.service.Namespace + "/" + g.service.Name
			if ready[id] == 0 && !scaledToZero(v, *g.service) {
				found = append(found, emptyGroup(g))
			}
		}
		return found
	},
}

func emptyGroup(g group) diagnose.Finding {
	ns, name := g.service.Namespace, g.service.Name
	return diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  g.ref(),
		Affects:  g.affects(),
		Claim:    fmt.Sprintf("Target group %s (%s) has no targets: Service %s/%s has no ready endpoints", g.name, g.balancer(), ns, name),
		Evidence: []diagnose.Evidence{
			{Fact: "elbv2/target-health/" + g.arn, Got: g.states(), Want: "at least one registered target", Command: g.healthCommand()},
			{
				Fact: kubeRef(facts.Services.Kind(), ns, name).String() + " endpoints", Got: "0 ready", Want: "1 or more ready",
				Command: fmt.Sprintf("kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s", ns, name),
			},
		},
	}
}

// registered returns the targets that are not on their way out.
func (g group) registered() []target {
	var out []target
	for _, t := range g.targets {
		if t.TargetHealth == nil || t.TargetHealth.State != "draining" {
			out = append(out, t)
		}
	}
	return out
}

// readyEndpoints counts ready endpoints by Service. An endpoint whose
// condition is not known counts as ready (discovery.k8s.io/v1).
func readyEndpoints(v *facts.View) map[string]int {
	n := map[string]int{}
	for _, s := range facts.EndpointSlices.In(v) {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				n[s.Namespace+"/"+s.Labels["kubernetes.io/service-name"]]++
			}
		}
	}
	return n
}

// scaledToZero reports whether the workloads that s selects ask for no pods:
// somebody wanted it empty.
func scaledToZero(v *facts.View, s corev1.Service) bool {
	if len(s.Spec.Selector) == 0 {
		return false
	}
	sel := labels.SelectorFromSet(s.Spec.Selector)
	asked, workloads := int32(0), 0
	count := func(namespace string, podLabels map[string]string, replicas *int32) {
		if namespace != s.Namespace || !sel.Matches(labels.Set(podLabels)) {
			return
		}
		workloads++
		if replicas == nil {
			asked++ // the default is one
		} else {
			asked += *replicas
		}
	}
	for _, d := range facts.Deployments.In(v) {
		count(d.Namespace, d.Spec.Template.Labels, d.Spec.Replicas)
	}
	for _, d := range facts.StatefulSets.In(v) {
		count(d.Namespace, d.Spec.Template.Labels, d.Spec.Replicas)
	}
	return workloads > 0 && asked == 0
}
