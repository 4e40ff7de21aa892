package l7

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var targetFailedHealthChecks = &diagnose.Check{
	ID:    "l7/target-failed-health-checks",
	Title: "Targets refuse or reset the health check",
	Doc: `The load balancer reaches the target's address, and the connection is refused, reset or answered with something
that is no valid response. Nothing listens on the health check's port (wrong targetPort, an application bound to
127.0.0.1, a process that keeps restarting), a node port stands for a Service without ready endpoints, or the protocols
differ (HTTP asked of a TLS port).

Recognised by targets with the reason Target.FailedHealthChecks. For an NLB the reason is the general one: it also
stands for silence, so the rules on the path are looked at first, and what they drop is reported as
target-timeout-blocked. A UDP target group is asked over TCP: if the port of its traffic, a node port or the pods', is UDP
alone and no other port is set for the health check, nothing can answer, whatever the rules let pass.

Looks alike: with instance targets and externalTrafficPolicy Local, nodes without a ready pod fail by design; they
are left out while some node has one. Target.ResponseCodeMismatch is a valid answer with the wrong status.

Fixed at the Service or the pods: most often a check of L4 (no endpoints, endpoints not ready) names the cause and the
fix, and this finding stands under it. For UDP: a health check on a port that serves TCP, by the annotations
healthcheck-port and healthcheck-protocol, or externalTrafficPolicy Local, with which nodes answer for themselves.`,
	Needs:    groupNeeds,
	Wants:    append(groupWants[:len(groupWants):len(groupWants)], pathWants...),
	CausedBy: []string{"l3/subnet-ip-exhausted", "l4/service-no-endpoints-selector", "l4/service-endpoints-not-ready", "l4/service-targetport-mismatch", "l4/app-bound-localhost", "l4/service-etp-local-no-local-endpoint"},
	Sources: []string{
		"https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html",
		"https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html",
		"https://docs.aws.amazon.com/elasticloadbalancing/latest/network/target-group-health-checks.html",
		"https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/service/annotations/",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		var found []diagnose.Finding
		paths := newPaths(v)
		for _, g := range groups(v) {
			failing := g.failing(elbtypes.TargetHealthReasonEnumFailedHealthChecks)
			udp := g.udpOnly()
			if g.network() && !(udp && g.onNodePorts()) { // it reports silence so, too
				stopped := paths.judge(g, failing).stopped
				failing = slices.DeleteFunc(failing, func(t target) bool {
					return slices.ContainsFunc(stopped, func(s target) bool { return s.Target == t.Target })
				})
			}
			switch {
			case len(failing) == 0:
			case udp:
				found = append(found, udpUnchecked(g, failing))
			default:
				found = append(found, failedHealthChecks(g, failing))
			}
		}
		return found
	},
}

func failedHealthChecks(g group, failing []target) diagnose.Finding {
	_, total := g.tally()
	port := healthPort(g, failing[0])
	fail := "refuse or reset"
	if g.network() { // the one reason that it gives for any failure
		fail = "fail"
	}
	f := diagnose.Finding{
		Severity: g.severity(),
		Subject:  g.ref(),
		Affects:  g.affects(),
		Claim: fmt.Sprintf("%d of %d targets of %s (%s) %s the %s health check on port %d%s",
			len(failing), total, g.name, g.balancer(), fail, g.tg.HealthCheckProtocol, port, refusal(g, failing, port)),
		Evidence: []diagnose.Evidence{{
			Fact:    "elbv2/target-health/" + g.arn,
			Got:     g.nameTarget(failing[0]) + ": " + cmp.Or(str(failing[0].TargetHealth.Description), string(failing[0].TargetHealth.Reason)),
			Want:    "healthy",
			Command: g.healthCommand(),
		}},
	}
	if len(g.pods) > 0 {
		p := g.pods[0]
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact:    kubeRef(facts.Pods.Kind(), p.Namespace, p.Name).String() + " ports",
			Got:     declaredPorts(p),
			Want:    fmt.Sprintf("a process that listens on the pod's address, port %d", containerPort(g)),
			Command: fmt.Sprintf("kubectl -n %s get pod %s -o jsonpath='{.spec.containers[*].ports}'", p.Namespace, p.Name),
		})
		f.Remedies = []remedy.Remedy{{
			Title:  "See what the pods listen on, and why they would not",
			Why:    "The packets arrive; the process or the Service's targetPort has to change.",
			Manual: []string{fmt.Sprintf("kubectl -n %s describe pod %s", p.Namespace, p.Name), logsCommand(g)},
		}}
	}
	return f
}

// refusal says what is known of why the port is closed.
func refusal(g group, failing []target, port int32) string {
	pods := g.podsOf(failing)
	switch {
	case !g.podsKnown:
		return ""
	case g.tg.TargetType == elbtypes.TargetTypeEnumIp && len(pods) == 0:
		return ": no pod has their addresses"
	case g.tg.TargetType == elbtypes.TargetTypeEnumInstance && g.service != nil && !anyServing(pods):
		return fmt.Sprintf(": Service %s/%s has no ready pod behind its node port", g.service.Namespace, g.service.Name)
	case len(pods) > 0 && !allServing(pods):
		return ": their pods are not ready"
	case len(pods) > 0 && g.tg.TargetType == elbtypes.TargetTypeEnumIp && declaresPorts(pods[0]) && !declares(pods[0], port):
		return fmt.Sprintf(": pod %s/%s declares %s, not that port", pods[0].Namespace, pods[0].Name, declaredPorts(pods[0]))
	default:
		return ": the packets arrive, and nothing there answers as it should"
	}
}

func anyServing(pods []*corev1.Pod) bool { return slices.ContainsFunc(pods, serving) }

func declares(p *corev1.Pod, port int32) bool {
	return slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return listens(c, port) })
}

func declaresPorts(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return len(c.Ports) > 0 })
}

// declaredPorts lists a pod's container ports, such as "8080/TCP (http)".
func declaredPorts(p *corev1.Pod) string {
	var out []string
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			s := fmt.Sprintf("%d/%s", port.ContainerPort, cmp.Or(port.Protocol, corev1.ProtocolTCP))
			if port.Name != "" {
				s += " (" + port.Name + ")"
			}
			out = append(out, s)
		}
	}
	return cmp.Or(strings.Join(out, ", "), "no port declared")
}
