package l4

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// ServiceEndpointsNotReady recognises a Service whose pods are all not ready.
var ServiceEndpointsNotReady = &diagnose.Check{
	ID:    "l4/service-endpoints-not-ready",
	Title: "Service has pods and none is ready",
	Doc: `Only ready pods get a Service's traffic, unless it publishes addresses that are not ready. When all its pods wait
or fail their readiness probe, connections to it are refused as if it had no pods.

Recognised by pods that match the selector, are neither finished nor on their way out, and of which none is Ready. Each
pod says why: it waits for an address, it has no node, its image cannot be pulled, its container crashes, its readiness
probe fails, or a readiness gate is not set. Pods of the last minute that merely start are not counted against it.

Looks alike: a selector that matches no pod; a workload scaled to zero; Jobs whose pods have completed; a headless Service
that publishes addresses that are not ready.

Fix: whatever keeps the pods from being ready. This finding is often the consequence of another, which then stands before
it. After a bad release, go back to the one before.`,
	Needs: []facts.Need{facts.Services, facts.Pods},
	Wants: []facts.Need{facts.Events, facts.Ingresses, facts.TargetGroupBindings},
	CausedBy: []string{"l3/subnet-ip-exhausted", "l3/private-subnet-no-default-route", "l4/node-to-node-sg-blocked", "l4/vpc-endpoint-sg-blocks", "dns/coredns-zero-ready", "dns/networkpolicy-blocks-dns", "dns/headless-no-records", "l4/app-bound-localhost", "l4/sg-missing-ingress-target", "l4/networkpolicy-strict-startup-denial",
		"l4/sgp-branch-eni-capacity", "l4/sgp-trunk-not-enabled", "l4/sgp-instance-type-unsupported", "l4/sgp-cluster-role-missing-policy", "l4/sgp-missing-dns-kubelet-rules", "l4/sgp-probe-early-demux", "l4/sgp-strict-mode-local-traffic", "l4/sgp-branch-cooldown-churn"},
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions",
		"https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-readiness-gate",
		"https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/",
	},
	Run: serviceEndpointsNotReady,
}

func serviceEndpointsNotReady(v *facts.View) []diagnose.Finding {
	services, pods := facts.Services.In(v), byNamespace(facts.Pods.In(v))
	events := latestEvents(facts.Events.In(v))
	ingresses, bindings := facts.Ingresses.In(v), facts.TargetGroupBindings.In(v)
	var findings []diagnose.Finding
	for i := range services {
		s := &services[i]
		if s.Spec.PublishNotReadyAddresses {
			continue
		}
		stuck := stuckPods(s, pods[s.Namespace], events, v.At())
		if len(stuck) > 0 {
			findings = append(findings, notReady(s, stuck, users(s, ingresses, bindings)))
		}
	}
	return findings
}

// A stuckPod is one that is not ready, and why.
type stuckPod struct {
	*corev1.Pod
	group  string // the reason in general: "wait for an IP address"
	detail string // in its own words
}

// stuckPods are the pods of s if none of them is ready and at least one has
// had the time to be.
func stuckPods(s *corev1.Service, pods []*corev1.Pod, events map[string]map[string]*corev1.Event, now time.Time) []stuckPod {
	var stuck []stuckPod
	starting := true
	for _, p := range pods {
		if !reach.Selects(s, p) || reach.Finished(p) || p.DeletionTimestamp != nil {
			continue
		}
		if reach.Ready(p) {
			return nil
		}
		sp := why(p, events[p.Namespace+"/"+p.Name])
		stuck = append(stuck, sp)
		age := now.Sub(p.CreationTimestamp.Time)
		young := age >= 0 && age < time.Minute
		starting = starting && young && sp.group == starts
	}
	if starting {
		return nil
	}
	slices.SortFunc(stuck, func(a, b stuckPod) int { return cmp.Compare(a.Name, b.Name) })
	return stuck
}

// starts is the group of pods of which nothing is known to be wrong.
const starts = "not ready yet"

// why says what keeps p from being ready, from the first thing that has to
// happen to the last.
func why(p *corev1.Pod, events map[string]*corev1.Event) stuckPod {
	message := func(reason string) string {
		if e := events[reason]; e != nil {
			return e.Message
		}
		return ""
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return stuckPod{p, "without a node", cmp.Or(c.Message, message("FailedScheduling"), c.Reason)}
		}
	}
	if sandbox := message("FailedCreatePodSandBox"); sandbox != "" && p.Status.PodIP == "" {
		if strings.Contains(sandbox, "failed to assign an IP address to container") {
			return stuckPod{p, "waiting for an IP address", sandbox}
		}
		return stuckPod{p, "without a sandbox", sandbox}
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		w := c.State.Waiting
		if w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" && w.Reason != "" {
			return stuckPod{p, "in " + w.Reason, strings.TrimSuffix(w.Reason+": "+w.Message, ": ")}
		}
	}
	if probe := message("Unhealthy"); strings.Contains(probe, "probe failed") && p.Status.Phase == corev1.PodRunning {
		return stuckPod{p, "failing their readiness probe", probe}
	}
	for _, g := range p.Spec.ReadinessGates {
		if !conditionTrue(p, g.ConditionType) && conditionTrue(p, corev1.ContainersReady) {
			return stuckPod{p, "waiting for a readiness gate", "condition " + string(g.ConditionType) + " is not True"}
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Message != "" {
			return stuckPod{p, starts, c.Message}
		}
	}
	return stuckPod{p, starts, "phase " + string(p.Status.Phase)}
}

func conditionTrue(p *corev1.Pod, t corev1.PodConditionType) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == t && c.Status == corev1.ConditionTrue })
}

// latestEvents returns the last event of each reason, by pod.
func latestEvents(events []corev1.Event) map[string]map[string]*corev1.Event {
	out := map[string]map[string]*corev1.Event{}
	for i := range events {
		e := &events[i]
		if e.InvolvedObject.Kind != "Pod" {
			continue
		}
		key := e.InvolvedObject.Namespace + "/" + e.InvolvedObject.Name
		if out[key] == nil {
			out[key] = map[string]*corev1.Event{}
		}
		if old := out[key][e.Reason]; old == nil || !e.LastTimestamp.Time.Before(old.LastTimestamp.Time) {
			out[key][e.Reason] = e
		}
	}
	return out
}

func notReady(s *corev1.Service, stuck []stuckPod, users []facts.Ref) diagnose.Finding {
	groups := map[string]int{}
	var order []string
	for _, p := range stuck {
		if groups[p.group] == 0 {
			order = append(order, p.group)
		}
		groups[p.group]++
	}
	var reasons []string
	for _, g := range order {
		reasons = append(reasons, fmt.Sprintf("%d %s", groups[g], g))
	}
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  serviceRef(s),
		Affects:  users,
		Claim:    fmt.Sprintf("Service %s/%s has %s and none is ready: %s", s.Namespace, s.Name, diagnose.Count(len(stuck), "pod"), strings.Join(reasons, ", ")),
		Evidence: []diagnose.Evidence{{
			Fact: serviceRef(s).String(), Got: "0 of " + diagnose.Count(len(stuck), "pod") + " ready", Want: "at least one",
			Command: fmt.Sprintf("kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s", s.Namespace, s.Name),
		}},
		Remedies: rollback(s, stuck),
	}
	for i, p := range stuck {
		f.Affects = append(f.Affects, podRef(p.Pod))
		if i < 3 {
			f.Evidence = append(f.Evidence, diagnose.Evidence{
				Fact: podRef(p.Pod).String(), Got: p.detail, Want: "condition Ready is True",
				Command: fmt.Sprintf("kubectl -n %s describe pod %s", p.Namespace, p.Name),
			})
		}
	}
	return f
}

// rollback is what a person may do about containers that crash or fail their
// probe; the bot does not choose between releases.
func rollback(s *corev1.Service, stuck []stuckPod) []remedy.Remedy {
	for _, p := range stuck {
		crashing := p.group == "failing their readiness probe" || strings.Contains(p.group, "CrashLoopBackOff")
		hash := p.Labels["pod-template-hash"]
		if !crashing || hash == "" || len(p.OwnerReferences) == 0 {
			continue
		}
		deployment := strings.TrimSuffix(p.OwnerReferences[0].Name, "-"+hash)
		return []remedy.Remedy{{
			Title: "Go back to the release before, if this one is new",
			Why:   "It helps when the last change of Deployment " + deployment + " broke it; the log says more.",
			Risk:  remedy.Disruptive,
			Manual: []string{
				fmt.Sprintf("kubectl -n %s logs %s --tail=50", s.Namespace, p.Name),
				fmt.Sprintf("kubectl -n %s rollout history deployment/%s", s.Namespace, deployment),
				fmt.Sprintf("kubectl -n %s rollout undo deployment/%s", s.Namespace, deployment),
			},
		}}
	}
	return nil
}
