package l7

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// A probe is the HTTP request by which the kubelet judges a container.
type probe struct {
	pod    *corev1.Pod // one that declares it
	sort   string      // readiness or liveness
	scheme string      // HTTP or HTTPS
	path   string
	port   int32
	plain  bool // it sends no header of its own, so a load balancer can ask the same
	proved bool // all pods behind the failing targets pass it now
}

// probeOf returns the HTTP probe that the pods behind targets share: readiness
// before liveness, that of the container which listens on the target's port
// before others'. It is nil if there is none, or the pods do not agree.
func probeOf(g group, targets []target) *probe {
	var shared *probe
	pods := g.podsOf(targets)
	for _, pod := range pods {
		p := podProbe(pod, containerPort(g))
		if p == nil || shared != nil && (p.path != shared.path || p.port != shared.port || p.scheme != shared.scheme) {
			return nil
		}
		shared = p
	}
	if shared != nil {
		shared.proved = allServing(pods)
	}
	return shared
}

// containerPort is the port that the group's traffic reaches in the pods, 0 when
// that is not known: a node port is not a container's.
func containerPort(g group) int32 {
	if g.tg.TargetType == elbtypes.TargetTypeEnumIp {
		return g.targetPort()
	}
	if g.service == nil {
		return 0
	}
	for _, sp := range g.service.Spec.Ports {
		if sp.NodePort == 0 || !isPort(g, sp.NodePort) {
			continue
		}
		for _, pod := range g.pods {
			if n, _ := reach.TargetPort(sp, pod); n != 0 {
				return n
			}
		}
	}
	return 0
}

func podProbe(pod *corev1.Pod, port int32) *probe {
	var best *probe
	rank := 0
	for _, c := range pod.Spec.Containers {
		for i, declared := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
			if declared == nil || declared.HTTPGet == nil {
				continue
			}
			get := declared.HTTPGet
			p := probe{
				pod: pod, sort: [...]string{"readiness", "liveness"}[i], scheme: cmp.Or(string(get.Scheme), "HTTP"),
				path: "/" + strings.TrimPrefix(get.Path, "/"), port: portNumber(pod, get.Port), plain: len(get.HTTPHeaders) == 0 && get.Host == "",
			}
			r := 2 - i
			if listens(c, port) {
				r += 2
			}
			if r > rank && p.port != 0 {
				best, rank = &p, r
			}
		}
	}
	return best
}

// portNumber resolves a port that may be named after a container's, 0 when the
// pod has no such port.
func portNumber(pod *corev1.Pod, port intstr.IntOrString) int32 {
	n, _ := reach.TargetPort(corev1.ServicePort{TargetPort: port, Protocol: corev1.ProtocolTCP}, pod)
	return n
}

func listens(c corev1.Container, port int32) bool {
	for _, p := range c.Ports {
		if p.ContainerPort == port {
			return true
		}
	}
	return false
}

func allServing(pods []*corev1.Pod) bool {
	for _, p := range pods {
		if !serving(p) {
			return false
		}
	}
	return len(pods) > 0
}

func (p *probe) evidence() diagnose.Evidence {
	state := "passes"
	if !p.proved {
		state = "does not pass on all pods"
	}
	return diagnose.Evidence{
		Fact: kubeRef(facts.Pods.Kind(), p.pod.Namespace, p.pod.Name).String() + " " + p.sort + " probe",
		Got:  fmt.Sprintf("%s %s on port %d: %s", p.scheme, p.path, p.port, state),
		Want: "the load balancer asks for what the probe asks for",
		Command: fmt.Sprintf("kubectl -n %s get pod %s -o jsonpath='{.spec.containers[*].%sProbe.httpGet}'",
			p.pod.Namespace, p.pod.Name, p.sort),
	}
}

// healthPathRemedy points the health check at the path that the pods' own
// probe proves to work. Where nothing proves one, or the group does not follow
// annotations, it is only printed.
func healthPathRemedy(g group, p *probe, codes []string) remedy.Remedy {
	switch {
	case serverErrors(codes) || g.grpc():
		return remedy.Remedy{
			Title:  "Read why the application fails",
			Why:    "Another health check path would only hide the failure.",
			Manual: []string{logsCommand(g)},
		}
	case !g.managed() || g.service == nil:
		return modifyRemedy(g, p)
	case p != nil && p.proved && p.plain:
		if a, ok := annotatePath(g, *p); ok {
			return remedy.Remedy{
				Title: fmt.Sprintf("Point the health check of Service %s/%s at %s", a.Namespace, a.Name, p.path),
				Why: fmt.Sprintf("The %s probe of the pods asks for %s and passes; the annotation on the Service wins over the Ingress's and changes no traffic rule.",
					p.sort, p.path),
				Risk:    remedy.Safe,
				Actions: remedy.Actions{a},
			}
		}
		if g.service.Annotations[g.annotation("path")] == p.path {
			return remedy.Remedy{
				Title:  "See why the load balancer controller has not followed the annotation",
				Why:    "The Service asks for " + p.path + " already, and the target group does not.",
				Manual: []string{"kubectl -n kube-system logs deployment/aws-load-balancer-controller --tail=100"},
			}
		}
	}
	return remedy.Remedy{
		Title:  "Point the health check at a path that answers " + g.matcher(),
		Why:    "No probe of the pods proves a path that works; choose one that the application serves without a login or a redirect.",
		Manual: []string{fmt.Sprintf("kubectl -n %s annotate service %s %s=PATH --overwrite", g.service.Namespace, g.service.Name, g.annotation("path"))},
	}
}

// modifyRemedy is the command for a group that no annotation can be set for.
func modifyRemedy(g group, p *probe) remedy.Remedy {
	why := "The load balancer controller does not keep this group, so no annotation changes it."
	if g.managed() {
		why = "The Service behind the group is not known; the controller takes back what its annotation " + g.annotation("path") + " does not say."
	}
	return remedy.Remedy{
		Title:  "Point the health check of " + g.name + " at a path that works",
		Why:    why,
		Manual: []string{"aws elbv2 modify-target-group --target-group-arn " + g.arn + " --health-check-path " + word(goodPath(g, p))},
	}
}

// word quotes s for a POSIX shell where it has to be: a path may hold a query.
func word(s string) string {
	if !strings.ContainsAny(s, "?&;|<>()$`\\\"'*[]#~ \t\n!{}") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func goodPath(g group, p *probe) string {
	if p != nil && p.proved && p.path != g.healthPath() {
		return p.path
	}
	return "PATH"
}

func logsCommand(g group) string {
	if len(g.pods) == 0 {
		return g.healthCommand()
	}
	return fmt.Sprintf("kubectl -n %s logs %s --all-containers --tail=100", g.pods[0].Namespace, g.pods[0].Name)
}

// annotation is the name of a health check annotation. Groups of an ALB take
// the Ingress's, on the Service too; those of an NLB the Service's own
// (aws-load-balancer-controller, docs/guide/service/annotations.md).
func (g group) annotation(what string) string {
	if g.network() {
		return "service.beta.kubernetes.io/aws-load-balancer-healthcheck-" + what
	}
	return "alb.ingress.kubernetes.io/healthcheck-" + what
}

// annotatePath makes the health check ask what p asks. It is not ok when that
// would change nothing, or p's port cannot be reached by the load balancer.
func annotatePath(g group, p probe) (a remedy.Annotate, ok bool) {
	want := map[string]string{}
	if p.path != g.healthPath() {
		want[g.annotation("path")] = p.path
	}
	if p.scheme != string(g.tg.HealthCheckProtocol) {
		want[g.annotation("protocol")] = p.scheme
	}
	port, ok := g.portFor(p.port)
	if !ok {
		return a, false
	}
	if port != cmp.Or(str(g.tg.HealthCheckPort), "traffic-port") {
		want[g.annotation("port")] = port
	}
	a = remedy.Annotate{
		Resource: facts.Services.Kind().Resource(), Namespace: g.service.Namespace, Name: g.service.Name,
		Values: map[string]*string{}, Before: map[string]*string{},
	}
	for k, value := range want {
		if before, set := g.service.Annotations[k]; set {
			if before == value {
				continue // set already: the controller has not followed it yet
			}
			a.Before[k] = &before
		} else {
			a.Before[k] = nil
		}
		a.Values[k] = &value
	}
	return a, len(a.Values) > 0
}

// portFor is the health check port that reaches port of the pods.
func (g group) portFor(port int32) (string, bool) {
	if port == containerPort(g) {
		return "traffic-port", true
	}
	if g.tg.TargetType == elbtypes.TargetTypeEnumIp {
		return strconv.Itoa(int(port)), true
	}
	for _, sp := range g.service.Spec.Ports { // a node's own port has to lead there
		for _, pod := range g.pods {
			if sp.NodePort != 0 && portNumber(pod, sp.TargetPort) == port {
				return strconv.Itoa(int(sp.NodePort)), true
			}
		}
	}
	return "", false
}
