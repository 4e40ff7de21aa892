package l4

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// ServiceNamedPortMissing recognises a Service that sends to a container port
// by a name that its pods do not have.
var ServiceNamedPortMissing = &diagnose.Check{
	ID:    "l4/service-named-port-missing",
	Title: "Service names a port that its pods do not have",
	Doc: `A targetPort may be the name of a container port. Pods that have no port of that name, with the Service port's
protocol, are left out of the EndpointSlice for that port: it holds their addresses and not the port, kube-proxy refuses
connections, and load balancers that take their targets from it have none. A port renamed in the pod template is the usual
cause.

Recognised by a name that no running pod behind the Service declares. An EndpointSlice of the Service that has the port
proves the contrary. If other ports of the Service work, it is reported only when somebody uses this one: an Ingress or
a TargetGroupBinding sends to it, or the question names it; charts often keep a metrics port that is switched off.

Looks alike: a targetPort given by number; the name there with the other protocol (see service-protocol-mismatch); pods
that are not ready; headless Services, whose ports forward nothing.

Fix: send the port to the name or number that the pods have.`,
	Needs: []facts.Need{facts.Services, facts.Pods},
	Wants: []facts.Need{facts.EndpointSlices, facts.Ingresses, facts.TargetGroupBindings},
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/service/#field-spec-ports",
		"https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ports := backedPorts(facts.Services.In(v), byNamespace(facts.Pods.In(v)))
		var found []diagnose.Finding
		for _, b := range ports {
			if b.unresolved() && !b.otherProtocol() && !inSlices(b, facts.EndpointSlices.In(v)) && (b.wholeServiceUnresolved() || len(b.references(v)) > 0 || b.asked(v.Target())) {
				found = append(found, b.missing(v, ports))
			}
		}
		return onePerService(found)
	},
}

// unresolved reports whether the port names one that no pod has.
func (b backed) unresolved() bool {
	return b.byName() && !b.any(func(p *corev1.Pod) bool { _, ok := reach.TargetPort(b.port, p); return ok })
}

// otherProtocol reports whether the pods have the name with another protocol.
func (b backed) otherProtocol() bool {
	return b.any(func(p *corev1.Pod) bool {
		return slices.ContainsFunc(declared(p), func(cp corev1.ContainerPort) bool { return cp.Name == b.port.TargetPort.StrVal })
	})
}

// wholeServiceUnresolved reports whether no port of the Service resolves.
func (b backed) wholeServiceUnresolved() bool {
	return !slices.ContainsFunc(b.service.Spec.Ports, func(p corev1.ServicePort) bool {
		return !backed{b.service, 0, p, b.pods}.unresolved()
	})
}

// inSlices reports whether an EndpointSlice of the Service has the port:
// somebody else than the endpoints controller may have written it.
func inSlices(b backed, all []discoveryv1.EndpointSlice) bool {
	return slices.ContainsFunc(all, func(s discoveryv1.EndpointSlice) bool {
		return s.Namespace == b.service.Namespace && s.Labels[discoveryv1.LabelServiceName] == b.service.Name && len(s.Endpoints) > 0 &&
			slices.ContainsFunc(s.Ports, func(p discoveryv1.EndpointPort) bool { return facts.Val(p.Name) == b.port.Name && p.Port != nil })
	})
}

func (b backed) missing(v *facts.View, ports []backed) diagnose.Finding {
	name := b.port.TargetPort.StrVal
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  serviceRef(b.service),
		Affects:  users(b.service, facts.Ingresses.In(v), facts.TargetGroupBindings.In(v)),
		Claim:    fmt.Sprintf("Service %s/%s sends %s to the container port %q, which none of its %s has: they declare %s", b.service.Namespace, b.service.Name, b.label(), name, diagnose.Count(len(b.pods), "pod"), portList(b.pods[0])),
		Evidence: []diagnose.Evidence{
			{Fact: b.field("targetPort"), Got: name, Want: "the name of a port of the pods", Command: b.command()},
			{Fact: podRef(b.pods[0]).String() + " ports", Got: portList(b.pods[0]), Want: fmt.Sprintf("a port named %s/%s", name, b.protocol()), Command: b.portsCommand()},
		},
		Remedies: []remedy.Remedy{b.byHand()},
	}
	if facts.EndpointSlices.Have(v) {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: fmt.Sprintf("kube/endpointslices of %s/%s", b.service.Namespace, b.service.Name), Got: fmt.Sprintf("addresses without the port %q", b.port.Name), Want: "the port's number",
			Command: fmt.Sprintf("kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s -o yaml", b.service.Namespace, b.service.Name),
		})
	}
	for _, p := range b.pods {
		f.Affects = append(f.Affects, podRef(p))
	}
	if cp, ok := b.renamed(ports); ok {
		m := b.fix(cp)
		if cp.Name != "" && b.all(func(p *corev1.Pod) bool { _, ok := reach.NamedPort(p, cp.Name, cp.Protocol); return ok }) {
			m.Title = fmt.Sprintf("Send %s to the container port %s", b.title(), cp.Name)
			m.Actions = remedy.Actions{b.send(cp.Protocol, intstr.FromString(cp.Name))}
		}
		f.Remedies = []remedy.Remedy{m}
	}
	return f
}

// renamed is the container port that was meant by the missing name: one whose
// name differs by a typo, or the one that stands out.
func (b backed) renamed(ports []backed) (corev1.ContainerPort, bool) {
	var near []corev1.ContainerPort
	for _, cp := range declared(b.pods[0]) {
		if cp.Protocol == b.protocol() && cp.Name != "" && isTypo(cp.Name, b.port.TargetPort.StrVal) {
			near = append(near, cp)
		}
	}
	if len(near) == 1 {
		return near[0], true
	}
	cp, why := b.rightPort(ports)
	return cp, why != ""
}
