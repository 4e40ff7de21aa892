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

// ServiceTargetPortMismatch recognises a Service that sends to a port on which
// its pods do not listen.
var ServiceTargetPortMismatch = &diagnose.Check{
	ID:    "l4/service-targetport-mismatch",
	Title: "Service sends to a port on which its pods do not listen",
	Doc: `A Service's targetPort is a number of the pods, and port when it is left out. Where no process listens there, the
pods refuse every connection through the Service, while they are ready and answer on their real port.

Container ports are only a declaration: a program may listen on others. So it is recognised by a number that none of the
pods behind the Service declares although all declare some, and a sign that it is wrong: a load balancer's targets refuse
the health check on it, the question names the Service, a probe asks another declared port, or just one port is declared.
What proves the contrary wins: a healthy target or a probe on the number, a probe on any port that is not declared (the
declarations are incomplete then), or another port, of this Service or of another, that leads to a declared one (this one
may be an extra, such as metrics). Without a plain answer to what the right port is, it is a risk.

Looks alike: a named targetPort that the pods do not have; an application that listens on 127.0.0.1; UDP declared where the
Service has TCP; a NetworkPolicy, which drops in silence and does not refuse; headless Services, whose ports forward nothing.

Fix: send the port to the one on which the pods listen.`,
	Needs: []facts.Need{facts.Services, facts.Pods},
	Wants: []facts.Need{facts.Ingresses, facts.TargetGroupBindings, facts.TargetHealths},
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/service/#field-spec-ports",
		"https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/#is-the-service-defined-correctly",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ports := backedPorts(facts.Services.In(v), byNamespace(facts.Pods.In(v)))
		var found []diagnose.Finding
		for _, b := range ports {
			if m, ok := mismatched(v, b, ports); ok {
				found = append(found, m.finding(v))
			}
		}
		return onePerService(found)
	},
}

// A mismatch is a port that leads where nothing listens.
type mismatch struct {
	backed
	severity diagnose.Severity
	sign     string // the claim's end: how sure it is
	right    corev1.ContainerPort
	why      string // why right is taken to be right; "" when it is not known
}

// mismatched judges one port, with all ports there are to compare.
func mismatched(v *facts.View, b backed, ports []backed) (mismatch, bool) {
	n := b.number()
	listens := func(p *corev1.Pod) bool {
		return len(declared(p)) == 0 || declares(p, n) || slices.ContainsFunc(probes(p), func(x probed) bool { return x.number == n })
	}
	healthy, refused := b.targets(v, n)
	if b.byName() || b.any(listens) || healthy > 0 {
		return mismatch{}, false
	}
	m := mismatch{backed: b}
	m.right, m.why = b.rightPort(ports)
	undeclared := b.any(func(p *corev1.Pod) bool {
		return slices.ContainsFunc(probes(p), func(x probed) bool { return !declares(p, x.number) })
	})
	extra := sideJob(b.port.Name) || slices.ContainsFunc(ports, func(o backed) bool { return o.reaches(b.pods) })
	onlySideJobs := b.any(func(p *corev1.Pod) bool {
		return !slices.ContainsFunc(declared(p), func(cp corev1.ContainerPort) bool { return !sideJob(cp.Name) })
	})
	switch {
	case refused > 0:
		m.sign = fmt.Sprintf("; %s of the load balancer refused there", diagnose.Count(refused, "target"))
	case b.asked(v.Target()) && (!extra || v.Target().Port != 0):
		// somebody says that it does not work
	case undeclared || extra || onlySideJobs:
		return mismatch{}, false
	case m.why == "":
		m.severity, m.sign = diagnose.Risk, "; a port that is not declared may be open all the same"
	}
	return m, true
}

// reaches reports whether the port leads to a declared port of one of pods.
func (b backed) reaches(pods []*corev1.Pod) bool {
	return slices.ContainsFunc(pods, func(p *corev1.Pod) bool {
		n, ok := reach.TargetPort(b.port, p)
		return ok && reach.Selects(b.service, p) && declares(p, n)
	})
}

// rightPort is the container port that the Service's port was meant for, with
// the reason for the choice, "" when there is none that stands out.
func (b backed) rightPort(ports []backed) (corev1.ContainerPort, string) {
	var open []corev1.ContainerPort // of all pods, and the target of no other port of the Service
	for _, cp := range declared(b.pods[0]) {
		here := func(p *corev1.Pod) bool {
			return slices.ContainsFunc(declared(p), func(o corev1.ContainerPort) bool {
				return o.ContainerPort == cp.ContainerPort && o.Protocol == cp.Protocol
			})
		}
		taken := slices.ContainsFunc(ports, func(o backed) bool {
			n, ok := reach.TargetPort(o.port, b.pods[0])
			return o.service == b.service && o.index != b.index && ok && n == cp.ContainerPort && o.protocol() == cp.Protocol
		})
		if cp.Protocol == b.protocol() && b.all(here) && !taken {
			open = append(open, cp)
		}
	}
	for _, rule := range []struct {
		fits func(corev1.ContainerPort) bool
		why  string
	}{
		{func(cp corev1.ContainerPort) bool { return cp.Name != "" && cp.Name == b.port.Name }, "has the name of the Service's port"},
		{func(cp corev1.ContainerPort) bool { return cp.ContainerPort == b.port.Port }, "has the number of the Service's port"},
		{func(cp corev1.ContainerPort) bool {
			return slices.ContainsFunc(probes(b.pods[0]), func(x probed) bool { return x.number == cp.ContainerPort }) && !sideJob(cp.Name)
		}, "is the one that the pods' probes ask"},
		{func(cp corev1.ContainerPort) bool { return !sideJob(cp.Name) }, "is the only one that the pods declare for traffic"},
	} {
		var fit []corev1.ContainerPort
		for _, cp := range open {
			if rule.fits(cp) {
				fit = append(fit, cp)
			}
		}
		if len(fit) == 1 {
			return fit[0], rule.why
		}
	}
	return corev1.ContainerPort{}, ""
}

func (m mismatch) finding(v *facts.View) diagnose.Finding {
	s := m.service
	f := diagnose.Finding{
		Severity: m.severity,
		Subject:  serviceRef(s),
		Affects:  users(s, facts.Ingresses.In(v), facts.TargetGroupBindings.In(v)),
		Claim:    fmt.Sprintf("Service %s/%s sends %s to %d, and its pods declare %s%s", s.Namespace, s.Name, m.label(), m.number(), portList(m.pods[0]), m.sign),
		Evidence: []diagnose.Evidence{
			{Fact: m.field("targetPort"), Got: fmt.Sprint(m.number()), Want: "a port on which the pods listen", Command: m.command()},
			{Fact: podRef(m.pods[0]).String() + " ports", Got: portList(m.pods[0]), Want: fmt.Sprintf("%d/%s, or another targetPort", m.number(), m.protocol()), Command: m.portsCommand()},
		},
	}
	for _, p := range m.pods {
		f.Affects = append(f.Affects, podRef(p))
	}
	if m.why == "" {
		f.Remedies = []remedy.Remedy{m.byHand()}
		return f
	}
	f.Evidence = append(f.Evidence, diagnose.Evidence{
		Fact: podRef(m.pods[0]).String() + " port " + fmt.Sprint(m.right.ContainerPort), Got: "it " + m.why, Want: "the Service sends there",
		Command: fmt.Sprintf("kubectl -n %s describe pod %s", s.Namespace, m.pods[0].Name),
	})
	f.Remedies = []remedy.Remedy{m.fix(m.right)}
	return f
}

// fix sends the port to a container port.
func (b backed) fix(to corev1.ContainerPort) remedy.Remedy {
	return remedy.Remedy{
		Title:   fmt.Sprintf("Send %s to %d of its pods", b.title(), to.ContainerPort),
		Why:     "Clients keep the port that they call; only where it leads is changed.",
		Risk:    remedy.Safe,
		Actions: remedy.Actions{b.send(to.Protocol, intstr.FromInt32(to.ContainerPort))},
	}
}

// byHand is what remains when nothing tells which port is meant.
func (b backed) byHand() remedy.Remedy {
	return remedy.Remedy{
		Title: fmt.Sprintf("See on what the pods listen, and send %s there", b.title()),
		Why:   "Several ports could be meant; nothing tells which.",
		Risk:  remedy.Safe,
		Manual: []string{
			fmt.Sprintf("kubectl -n %s logs %s --tail=50", b.service.Namespace, b.pods[0].Name),
			fmt.Sprintf("kubectl -n %s edit service %s", b.service.Namespace, b.service.Name),
		},
	}
}
