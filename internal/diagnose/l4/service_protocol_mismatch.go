package l4

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// ServiceProtocolMismatch recognises a Service that forwards TCP to a port
// that speaks UDP.
var ServiceProtocolMismatch = &diagnose.Check{
	ID:    "l4/service-protocol-mismatch",
	Title: "Service forwards another protocol than its pods speak",
	Doc: `A Service port without a protocol is TCP. In front of a program that speaks UDP (DNS, syslog, statsd, SIP, game
servers) it forwards nothing that the program hears, and clients that send UDP get no answer.

Recognised by a TCP port whose target the pods declare for UDP or SCTP only: nobody writes that by chance, while TCP is
what a declaration says that was left open. For the same reason a UDP port in front of a declared TCP port is reported
only when the target is a name, which then resolves to nothing. If the pods' protocol has a Service port of its own with
the same target, here or in another Service, the TCP port is an addition (as with DNS and QUIC) and nothing is reported.

Looks alike: a wrong number; a name that no port of the pods has.

Fix: change the protocol of the Service's port. For a Service of type LoadBalancer that makes a new listener.`,
	Needs: []facts.Need{facts.Services, facts.Pods},
	Wants: []facts.Need{facts.Ingresses, facts.TargetGroupBindings},
	Sources: []string{
		"https://kubernetes.io/docs/reference/networking/service-protocols/",
		"https://kubernetes.io/docs/concepts/services-networking/service/#multi-port-services",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ports := backedPorts(facts.Services.In(v), byNamespace(facts.Pods.In(v)))
		var found []diagnose.Finding
		for _, b := range ports {
			speaks, ok := b.speaks()
			if ok && !slices.ContainsFunc(ports, func(o backed) bool { return o.protocol() == speaks && o.sameTarget(b) }) {
				found = append(found, b.wrongProtocol(v, speaks))
			}
		}
		return onePerService(found)
	},
}

// speaks is the protocol for which all pods declare the port's target, if
// that is not the Service's.
func (b backed) speaks() (corev1.Protocol, bool) {
	var other corev1.Protocol
	for _, p := range b.pods {
		found := false
		for _, cp := range declared(p) {
			switch {
			case !b.leadsTo(cp):
			case cp.Protocol == b.protocol():
				return "", false
			case cp.Protocol != corev1.ProtocolTCP || b.byName():
				other, found = cp.Protocol, true
			}
		}
		if !found {
			return "", false
		}
	}
	return other, true
}

// leadsTo reports whether the port's target is a container port, whatever the
// protocol.
func (b backed) leadsTo(cp corev1.ContainerPort) bool {
	if b.byName() {
		return cp.Name == b.port.TargetPort.StrVal
	}
	return cp.ContainerPort == b.number()
}

// sameTarget reports whether both ports lead to the same container port of a
// pod that both Services select.
func (b backed) sameTarget(o backed) bool {
	return slices.ContainsFunc(o.pods, func(p *corev1.Pod) bool {
		n, ok := reach.TargetPort(b.port, p)
		return ok && reach.Selects(b.service, p) && slices.ContainsFunc(declared(p), func(cp corev1.ContainerPort) bool { return cp.ContainerPort == n && o.leadsTo(cp) })
	})
}

func (b backed) wrongProtocol(v *facts.View, speaks corev1.Protocol) diagnose.Finding {
	target := intstr.FromInt32(b.number())
	if b.byName() {
		target = b.port.TargetPort
	}
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  serviceRef(b.service),
		Affects:  users(b.service, facts.Ingresses.In(v), facts.TargetGroupBindings.In(v)),
		Claim:    fmt.Sprintf("Service %s/%s forwards %s as %s, and its pods speak %s on %s", b.service.Namespace, b.service.Name, b.label(), b.protocol(), speaks, target.String()),
		Evidence: []diagnose.Evidence{
			{Fact: b.field("protocol"), Got: string(b.protocol()), Want: string(speaks), Command: b.command()},
			{Fact: podRef(b.pods[0]).String() + " ports", Got: portList(b.pods[0]), Want: fmt.Sprintf("%s/%s, or another protocol of the Service's port", target.String(), b.protocol()), Command: b.portsCommand()},
		},
		Remedies: []remedy.Remedy{{
			Title:   fmt.Sprintf("Make %s %s", b.title(), speaks),
			Why:     "The port and its target keep their numbers.",
			Risk:    remedy.Disruptive,
			Actions: remedy.Actions{b.send(speaks, target)},
		}},
	}
	for _, p := range b.pods {
		f.Affects = append(f.Affects, podRef(p))
	}
	return f
}
