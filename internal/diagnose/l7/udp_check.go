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
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// udpOnly reports whether g's targets are asked for their health over TCP on
// the port of their traffic, and that is UDP alone. Load balancers check
// with TCP, HTTP or HTTPS only (docs.aws.amazon.com/elasticloadbalancing/
// latest/network/target-group-health-checks.html): unless something listens on
// the same port of TCP, nothing answers. One healthy target shows that
// something does. Of node ports it is certain; a pod may listen on a port that
// it does not declare.
func (g group) udpOnly() bool {
	if g.tg.Protocol != elbtypes.ProtocolEnumUdp && g.tg.Protocol != elbtypes.ProtocolEnumQuic || g.service == nil {
		return false
	}
	checked := false
	for _, t := range g.targets {
		if t.Target == nil || t.TargetHealth == nil {
			continue
		}
		if t.TargetHealth.State == elbtypes.TargetHealthStateEnumHealthy || t.Target.Port == nil || healthPort(g, t) != *t.Target.Port {
			return false
		}
		checked = true
	}
	return checked && !g.answersTCP()
}

// onNodePorts reports whether g's targets are node ports.
func (g group) onNodePorts() bool { return g.tg.TargetType == elbtypes.TargetTypeEnumInstance }

// answersTCP reports whether the Service has a TCP port where its targets are
// asked, or a pod behind an ip target says that it listens there.
func (g group) answersTCP() bool {
	port := g.targetPort()
	for _, sp := range g.service.Spec.Ports {
		if cmp.Or(sp.Protocol, corev1.ProtocolTCP) != corev1.ProtocolTCP {
			continue
		}
		if g.onNodePorts() && sp.NodePort == port {
			return true
		}
		if g.tg.TargetType == elbtypes.TargetTypeEnumIp && slices.ContainsFunc(g.pods, func(p *corev1.Pod) bool { n, _ := reach.TargetPort(sp, p); return n == port }) {
			return true
		}
	}
	return g.tg.TargetType == elbtypes.TargetTypeEnumIp && slices.ContainsFunc(g.pods, func(p *corev1.Pod) bool { return declaresTCP(p, port) })
}

func declaresTCP(p *corev1.Pod, port int32) bool {
	for _, c := range p.Spec.Containers {
		for _, cp := range c.Ports {
			if cp.ContainerPort == port && cmp.Or(cp.Protocol, corev1.ProtocolTCP) == corev1.ProtocolTCP {
				return true
			}
		}
	}
	return false
}

// udpUnchecked is the finding about such a group. Without a healthy target the
// load balancer sends to all of them, so traffic may well get through; it no
// longer leaves out a target that fails.
func udpUnchecked(g group, failing []target) diagnose.Finding {
	_, total := g.tally()
	port := healthPort(g, failing[0])
	name := g.service.Namespace + "/" + g.service.Name
	where := fmt.Sprintf("where nothing answers it: port %d of the pods of Service %s is UDP alone, as far as they declare", port, name)
	if g.onNodePorts() {
		where = fmt.Sprintf("where nothing can answer it: node port %d of Service %s is UDP alone", port, name)
	}
	f := diagnose.Finding{
		Severity: g.severity(),
		Subject:  g.ref(),
		Affects:  g.affects(),
		Claim: fmt.Sprintf("%d of %d targets of %s (%s) fail the %s health check on their traffic port, %s",
			len(failing), total, g.name, g.balancer(), g.tg.HealthCheckProtocol, where),
		Evidence: []diagnose.Evidence{
			{Fact: "elbv2/target-groups/" + g.arn, Got: fmt.Sprintf("protocol %s, health check %s on %s", g.tg.Protocol, g.tg.HealthCheckProtocol, cmp.Or(str(g.tg.HealthCheckPort), "traffic-port")),
				Want: "a health check on a port that answers TCP", Command: "aws elbv2 describe-target-groups --target-group-arns " + g.arn},
			{Fact: "elbv2/target-health/" + g.arn, Got: g.nameTarget(failing[0]) + ": " + cmp.Or(str(failing[0].TargetHealth.Description), string(failing[0].TargetHealth.Reason)),
				Want: "healthy", Command: g.healthCommand()},
			{Fact: kubeRef(facts.Services.Kind(), g.service.Namespace, g.service.Name).String() + " spec.ports", Got: servicePorts(g.service), Want: fmt.Sprintf("TCP %d too, or another port to be asked", port),
				Command: fmt.Sprintf("kubectl -n %s get service %s -o jsonpath='{.spec.ports}'", g.service.Namespace, g.service.Name)},
		},
		Remedies: udpRemedies(g, failing),
	}
	if allServing(g.pods) {
		f.Severity = diagnose.Degraded
		f.Claim += "; the pods are ready, and the load balancer, without a healthy target, sends to all, those that fail too"
	}
	return f
}

// servicePorts lists a Service's ports, such as "53/UDP to 5353, node port 31412".
func servicePorts(s *corev1.Service) string {
	var out []string
	for _, p := range s.Spec.Ports {
		t := fmt.Sprintf("%d/%s", p.Port, cmp.Or(p.Protocol, corev1.ProtocolTCP))
		if to := p.TargetPort.String(); to != "0" && to != "" {
			t += " to " + to
		}
		if p.NodePort != 0 {
			t += fmt.Sprintf(", node port %d", p.NodePort)
		}
		out = append(out, t)
	}
	return strings.Join(out, "; ")
}

// udpRemedies ask for the targets' health where TCP is answered: what the pods'
// own probe asks for, if the load balancer can; else a TCP port of the
// Service; else, for node ports, the port at which every node says whether it
// has a ready pod. That one is there with externalTrafficPolicy Local, and the
// controller follows it (aws-load-balancer-controller,
// docs/guide/service/annotations.md).
func udpRemedies(g group, failing []target) []remedy.Remedy {
	const why = "Of UDP no health check can tell; only the health check changes, no traffic rule."
	svc, port := g.service, g.annotation("port")
	if p := probeOf(g, failing); g.managed() && p != nil && p.proved && p.plain {
		if a, ok := annotatePath(g, *p); ok {
			return []remedy.Remedy{{Title: fmt.Sprintf("Ask the targets of %s for what the pods' %s probe asks for", g.name, p.sort), Why: why, Risk: remedy.Safe, Actions: remedy.Actions{a}}}
		}
	}
	change := func(n int32) string {
		if !g.managed() {
			return fmt.Sprintf("aws elbv2 modify-target-group --target-group-arn %s --health-check-protocol TCP --health-check-port %d", g.arn, n)
		}
		return fmt.Sprintf("kubectl -n %s annotate service %s %s=%d %s=tcp --overwrite", svc.Namespace, svc.Name, port, n, g.annotation("protocol"))
	}
	if n := g.tcpPort(); n != 0 {
		return []remedy.Remedy{{Title: fmt.Sprintf("Ask the targets of %s for their health on TCP port %d", g.name, n), Why: why, Manual: []string{change(n)}}}
	}
	if !g.onNodePorts() {
		return []remedy.Remedy{{Title: "Ask the targets of " + g.name + " for their health on a TCP port of the pods", Why: why + " Choose a port on which the program serves TCP: PORT stands for it.",
			Manual: []string{strings.ReplaceAll(change(0), "port=0 ", "port=PORT ")}}}
	}
	return []remedy.Remedy{{
		Title: fmt.Sprintf("Let the nodes tell whether they have a ready pod of Service %s/%s", svc.Namespace, svc.Name),
		Why: "With externalTrafficPolicy Local each node answers HTTP /healthz on the Service's healthCheckNodePort, and the load balancer controller checks that by itself. " +
			"Traffic then goes only to nodes with a ready pod, and keeps the client's address. A TCP port of the Service, its node port in annotation " + port + ", would do as well, and is then open at the load balancer too.",
		Risk: remedy.Disruptive,
		Manual: []string{
			fmt.Sprintf(`kubectl -n %s patch service %s --type merge -p '{"spec":{"externalTrafficPolicy":"Local"}}'`, svc.Namespace, svc.Name),
			fmt.Sprintf("kubectl -n %s get service %s -o jsonpath='{.spec.healthCheckNodePort}'", svc.Namespace, svc.Name),
			g.healthCommand(),
		},
	}}
}

// tcpPort is a TCP port at which the Service's pods can be asked where g's
// targets are: a node port, or one of the pods; 0 when it has none.
func (g group) tcpPort() int32 {
	for _, sp := range g.service.Spec.Ports {
		if cmp.Or(sp.Protocol, corev1.ProtocolTCP) != corev1.ProtocolTCP {
			continue
		}
		if g.onNodePorts() {
			if sp.NodePort != 0 {
				return sp.NodePort
			}
			continue
		}
		for _, p := range g.pods {
			if n, ok := reach.TargetPort(sp, p); ok {
				return n
			}
		}
	}
	return 0
}
