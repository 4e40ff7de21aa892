package l4

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// A backed is one port of a Service with the running pods behind it; there is
// at least one.
type backed struct {
	service *corev1.Service
	index   int // in spec.ports
	port    corev1.ServicePort
	pods    []*corev1.Pod
}

// backedPorts returns the ports of the Services that forward to pods. A
// headless Service's ports forward nothing: clients call the pods themselves.
func backedPorts(services []corev1.Service, pods map[string][]*corev1.Pod) []backed {
	var out []backed
	for i := range services {
		s := &services[i]
		if s.Spec.ClusterIP == corev1.ClusterIPNone || s.DeletionTimestamp != nil {
			continue
		}
		mine := runningBehind(s, pods[s.Namespace])
		for j, p := range s.Spec.Ports {
			if len(mine) > 0 {
				out = append(out, backed{s, j, p, mine})
			}
		}
	}
	return out
}

// runningBehind are the pods that s selects and that could serve.
func runningBehind(s *corev1.Service, pods []*corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range pods {
		if reach.Selects(s, p) && p.Status.Phase == corev1.PodRunning && p.Status.PodIP != "" && p.DeletionTimestamp == nil {
			out = append(out, p)
		}
	}
	return out
}

func (b backed) protocol() corev1.Protocol { return cmp.Or(b.port.Protocol, corev1.ProtocolTCP) }

// byName reports whether the target is the name of a container port.
func (b backed) byName() bool {
	return b.port.TargetPort.Type == intstr.String && b.port.TargetPort.StrVal != ""
}

// number is where the port leads if it is given by number.
func (b backed) number() int32 {
	return cmp.Or(b.port.TargetPort.IntVal, b.port.Port)
}

// label is "port 80 (http)".
func (b backed) label() string {
	if b.port.Name == "" {
		return fmt.Sprintf("port %d", b.port.Port)
	}
	return fmt.Sprintf("port %d (%s)", b.port.Port, b.port.Name)
}

// title is "port 80 (http) of Service shop/web".
func (b backed) title() string {
	return fmt.Sprintf("%s of Service %s/%s", b.label(), b.service.Namespace, b.service.Name)
}

// field is the path of the port in the Service.
func (b backed) field(name string) string {
	return fmt.Sprintf("%s spec.ports[%d].%s", serviceRef(b.service), b.index, name)
}

func (b backed) command() string {
	return fmt.Sprintf("kubectl -n %s get service %s -o jsonpath='{.spec.ports}'", b.service.Namespace, b.service.Name)
}

// portsCommand shows what the first pod declares.
func (b backed) portsCommand() string {
	return fmt.Sprintf("kubectl -n %s get pod %s -o jsonpath='{.spec.containers[*].ports}'", b.service.Namespace, b.pods[0].Name)
}

// send is the action that makes the port lead elsewhere.
func (b backed) send(protocol corev1.Protocol, target intstr.IntOrString) remedy.SetServicePort {
	before := b.port.TargetPort
	if before == (intstr.IntOrString{}) || before.Type == intstr.String && before.StrVal == "" {
		before = intstr.FromInt32(b.port.Port) // the API's default
	}
	return remedy.SetServicePort{
		Namespace: b.service.Namespace, Service: b.service.Name, Index: b.index, Port: b.port.Port,
		Before: remedy.PortTarget{Protocol: string(b.protocol()), TargetPort: before},
		To:     remedy.PortTarget{Protocol: string(protocol), TargetPort: target},
	}
}

// all reports whether f holds for every pod behind the port.
func (b backed) all(f func(*corev1.Pod) bool) bool {
	return !slices.ContainsFunc(b.pods, func(p *corev1.Pod) bool { return !f(p) })
}

// any reports whether f holds for one of the pods.
func (b backed) any(f func(*corev1.Pod) bool) bool { return slices.ContainsFunc(b.pods, f) }

// containers are those that run as long as the pod does.
func containers(p *corev1.Pod) []corev1.Container {
	all := slices.Clone(p.Spec.Containers)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			all = append(all, c)
		}
	}
	return all
}

// declared are the ports that a pod's containers declare.
func declared(p *corev1.Pod) []corev1.ContainerPort {
	var out []corev1.ContainerPort
	for _, c := range containers(p) {
		for _, cp := range c.Ports {
			cp.Protocol = cmp.Or(cp.Protocol, corev1.ProtocolTCP)
			out = append(out, cp)
		}
	}
	return out
}

// declares reports whether a pod declares a port, with any protocol.
func declares(p *corev1.Pod, n int32) bool {
	return slices.ContainsFunc(declared(p), func(cp corev1.ContainerPort) bool { return cp.ContainerPort == n })
}

// portList is "8080/TCP (http), 9090/TCP (metrics)".
func portList(p *corev1.Pod) string {
	var out []string
	for _, cp := range declared(p) {
		s := fmt.Sprintf("%d/%s", cp.ContainerPort, cp.Protocol)
		if cp.Name != "" {
			s += " (" + cp.Name + ")"
		}
		out = append(out, s)
	}
	return cmp.Or(strings.Join(out, ", "), "no port")
}

// A probed is a port that kubelet asks.
type probed struct {
	sort   string // readiness, liveness, startup
	number int32
}

// probes are the ports of a pod that its probes ask.
func probes(p *corev1.Pod) []probed {
	var out []probed
	for _, c := range containers(p) {
		for _, x := range []struct {
			sort  string
			probe *corev1.Probe
		}{{"readiness", c.ReadinessProbe}, {"liveness", c.LivenessProbe}, {"startup", c.StartupProbe}} {
			if n := probePort(p, x.probe); n != 0 {
				out = append(out, probed{x.sort, n})
			}
		}
	}
	return out
}

// probePort is the port that a probe asks, 0 for one that runs a command.
func probePort(p *corev1.Pod, probe *corev1.Probe) int32 {
	var at intstr.IntOrString
	switch {
	case probe == nil:
		return 0
	case probe.HTTPGet != nil:
		at = probe.HTTPGet.Port
	case probe.TCPSocket != nil:
		at = probe.TCPSocket.Port
	case probe.GRPC != nil:
		return probe.GRPC.Port
	}
	if at.Type == intstr.String && at.StrVal != "" {
		n, _ := reach.NamedPort(p, at.StrVal, corev1.ProtocolTCP)
		return n
	}
	return at.IntVal
}

// sideJob reports whether a port's name says that it is not what the pod is
// there for: programs often listen on such ports without declaring them, and
// declare them without their main one.
func sideJob(name string) bool {
	for _, w := range []string{"metric", "prom", "health", "probe", "admin", "debug", "status", "monitor", "pprof", "telemetry", "liveness", "ready", "mgmt", "management", "actuator"} {
		if strings.Contains(strings.ToLower(name), w) {
			return true
		}
	}
	return false
}

// asked reports whether the question is about this port of the Service.
func (b backed) asked(t facts.Target) bool {
	return named(t, b.service) && (t.Port == 0 || t.Port == b.port.Port || t.Port == b.number())
}

// references are the objects that send to exactly this port of the Service.
func (b backed) references(v *facts.View) []facts.Ref {
	var out []facts.Ref
	same := func(name string, number int32) bool {
		return name != "" && name == b.port.Name || number != 0 && number == b.port.Port
	}
	for _, ing := range facts.Ingresses.In(v) {
		if ing.Namespace == b.service.Namespace && slices.ContainsFunc(ingressPorts(ing, b.service.Name), func(p ingressPort) bool { return same(p.name, p.number) }) {
			out = append(out, ref(facts.Ingresses.Kind(), ing.Namespace, ing.Name))
		}
	}
	for _, tb := range facts.TargetGroupBindings.In(v) {
		name, number := bindingPort(tb)
		if tb.Namespace == b.service.Namespace && tb.Spec.ServiceRef.Name == b.service.Name && same(name, number) {
			out = append(out, ref(facts.TargetGroupBindings.Kind(), tb.Namespace, tb.Name), facts.Ref{Kind: facts.TargetGroups.Kind(), ID: tb.Spec.TargetGroupARN})
		}
	}
	return out
}

// bindingPort is the Service port that a binding names, by name or number.
func bindingPort(b facts.TargetGroupBinding) (name string, number int32) {
	switch p := b.Spec.ServiceRef.Port.(type) {
	case string:
		if n, err := strconv.ParseInt(p, 10, 32); err == nil {
			return "", int32(n)
		}
		return p, 0
	case float64:
		return "", int32(p)
	case int64:
		return "", int32(p)
	}
	return "", 0
}

// An ingressPort is a Service's port as an Ingress names it.
type ingressPort struct {
	name   string
	number int32
}

// ingressPorts are the ports of one Service that an Ingress sends to.
func ingressPorts(ing networkingv1.Ingress, service string) []ingressPort {
	var out []ingressPort
	add := func(b *networkingv1.IngressBackend) {
		if b != nil && b.Service != nil && b.Service.Name == service {
			out = append(out, ingressPort{b.Service.Port.Name, b.Service.Port.Number})
		}
	}
	add(ing.Spec.DefaultBackend)
	for _, r := range ing.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for i := range r.HTTP.Paths {
			add(&r.HTTP.Paths[i].Backend)
		}
	}
	return out
}

// targets says what load balancers see of the port: how many targets on a
// port of the pods are healthy, and how many refuse the health check.
func (b backed) targets(v *facts.View, n int32) (healthy, refused int) {
	arns := map[string]bool{}
	for _, tb := range facts.TargetGroupBindings.In(v) {
		if tb.Namespace == b.service.Namespace && tb.Spec.ServiceRef.Name == b.service.Name {
			arns[tb.Spec.TargetGroupARN] = true
		}
	}
	for _, h := range facts.TargetHealths.In(v) {
		for _, d := range h.TargetHealthDescriptions {
			if !arns[h.TargetGroupArn] || d.Target == nil || d.TargetHealth == nil || facts.Val(d.Target.Port) != n || facts.Val(d.HealthCheckPort) != strconv.Itoa(int(n)) {
				continue
			}
			switch {
			case d.TargetHealth.State == elbtypes.TargetHealthStateEnumHealthy, d.TargetHealth.Reason == elbtypes.TargetHealthReasonEnumResponseCodeMismatch:
				healthy++ // something answers there
			case d.TargetHealth.Reason == elbtypes.TargetHealthReasonEnumFailedHealthChecks:
				refused++
			}
		}
	}
	return healthy, refused
}

// onePerService keeps, of several ports of one Service, the finding of the
// first, with what the others show.
func onePerService(found []diagnose.Finding) []diagnose.Finding {
	var out []diagnose.Finding
	for _, f := range found {
		i := slices.IndexFunc(out, func(o diagnose.Finding) bool { return o.Subject == f.Subject })
		if i < 0 {
			out = append(out, f)
			continue
		}
		out[i].Severity = min(out[i].Severity, f.Severity)
		out[i].Claim += "; " + f.Claim
		out[i].Evidence = append(out[i].Evidence, f.Evidence...)
		if a, b := &out[i].Remedies[0], f.Remedies[0]; a.Runnable() && b.Runnable() {
			a.Title, a.Actions = a.Title+", and more ports", append(a.Actions, b.Actions...)
		}
	}
	return out
}

func isDaemonSet(o metav1.OwnerReference) bool { return o.Kind == "DaemonSet" }
