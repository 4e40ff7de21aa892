package l7

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// groupNeeds are the facts without which no group can be judged; groupWants
// tell what Kubernetes objects stand behind one.
var (
	groupNeeds = []facts.Need{facts.TargetGroups, facts.TargetHealths}
	groupWants = []facts.Need{facts.TargetGroupBindings, facts.Services, facts.Ingresses, facts.Pods, facts.Nodes}
)

// A target is one registered target and its health.
type target = elbtypes.TargetHealthDescription

// A group is a target group that a load balancer routes to, with what stands
// behind it as far as that is known.
type group struct {
	arn, name string
	tg        elbtypes.TargetGroup
	targets   []target
	known     bool // its target health was read
	binding   *facts.TargetGroupBinding
	service   *corev1.Service
	ingresses []networkingv1.Ingress // that send to the service through this group
	pods      []*corev1.Pod          // that the service selects, or that are targets themselves
	podsKnown bool                   // pods were read, so none means none
	nodeOf    map[string]string      // node name by instance id; empty when nodes are not known
}

// groups returns the target groups that a load balancer uses. One that none
// routes to carries no traffic, whatever its targets' state. Groups of other
// people's machines in the same VPC are left out.
func groups(v *facts.View) []group {
	health := map[string][]target{}
	for _, h := range facts.TargetHealths.In(v) {
		health[h.TargetGroupArn] = h.TargetHealthDescriptions
	}
	in := newCluster(v)
	var out []group
	for _, tg := range facts.TargetGroups.In(v) {
		if len(tg.LoadBalancerArns) == 0 {
			continue
		}
		g := group{tg: tg, arn: str(tg.TargetGroupArn), name: str(tg.TargetGroupName)}
		g.targets, g.known = health[g.arn]
		in.attach(&g)
		if !g.foreign(in) {
			out = append(out, g)
		}
	}
	return out
}

// foreign reports whether g surely has nothing to do with the cluster: no
// controller made it, and none of its targets is a node or a pod.
func (g group) foreign(in cluster) bool {
	if g.managed() || g.binding != nil || len(g.targets) == 0 || !in.podsKnown || len(in.nodeOf) == 0 {
		return false
	}
	return !slices.ContainsFunc(g.targets, func(t target) bool {
		if t.Target == nil {
			return true
		}
		if g.tg.TargetType == elbtypes.TargetTypeEnumInstance {
			return in.nodeOf[str(t.Target.Id)] != ""
		}
		ip, err := netip.ParseAddr(str(t.Target.Id))
		return err != nil || len(in.podsAt[ip]) > 0
	})
}

// ref names the group in a report.
func (g group) ref() facts.Ref { return facts.Ref{Kind: facts.TargetGroups.Kind(), ID: g.arn} }

// network reports whether the load balancer is an NLB: the ARN says so
// (loadbalancer/net/NAME/ID) even where load balancers could not be read.
func (g group) network() bool {
	return strings.Contains(g.tg.LoadBalancerArns[0], ":loadbalancer/net/")
}

// balancer is the load balancer's sort and name, such as "ALB shop-web".
func (g group) balancer() string {
	sort := "ALB "
	if g.network() {
		sort = "NLB "
	}
	part := strings.Split(g.tg.LoadBalancerArns[0], "/")
	if len(part) < 3 {
		return sort + g.tg.LoadBalancerArns[0]
	}
	return sort + part[len(part)-2]
}

// managed reports whether the AWS Load Balancer Controller made the group, so
// that it follows annotations. The controller labels its bindings with the
// stack; without the binding its naming (k8s-...) tells.
func (g group) managed() bool {
	if g.binding != nil {
		for k := range g.binding.Labels {
			if strings.HasSuffix(k, "/stack") || strings.HasSuffix(k, "/stack-name") {
				return true
			}
		}
	}
	return strings.HasPrefix(g.name, "k8s-")
}

// affects are the objects that the group's failure is about: load balancers,
// Service, Ingresses and pods.
func (g group) affects() []facts.Ref {
	const most = 100 // pods named in one finding
	var refs []facts.Ref
	for _, arn := range g.tg.LoadBalancerArns {
		refs = append(refs, facts.Ref{Kind: facts.LoadBalancers.Kind(), ID: arn})
	}
	if g.service != nil {
		refs = append(refs, kubeRef(facts.Services.Kind(), g.service.Namespace, g.service.Name))
	} else if g.binding != nil {
		refs = append(refs, kubeRef(facts.Services.Kind(), g.binding.Namespace, g.binding.Spec.ServiceRef.Name))
	}
	for _, ing := range g.ingresses {
		refs = append(refs, kubeRef(facts.Ingresses.Kind(), ing.Namespace, ing.Name))
	}
	for _, p := range g.pods[:min(most, len(g.pods))] {
		refs = append(refs, kubeRef(facts.Pods.Kind(), p.Namespace, p.Name))
	}
	return refs
}

// tally counts the targets that should serve, and those of them that do.
// Draining targets are on their way out, unused ones are in a zone that the
// load balancer does not serve, idle ones fail by design.
func (g group) tally() (healthy, total int) {
	for _, t := range g.targets {
		switch state := t.TargetHealth; {
		case state == nil, state.State == elbtypes.TargetHealthStateEnumDraining, state.State == elbtypes.TargetHealthStateEnumUnused, g.idle(t):
		case state.State == elbtypes.TargetHealthStateEnumHealthy:
			healthy, total = healthy+1, total+1
		default:
			total++
		}
	}
	return healthy, total
}

// severity is an outage when no target is left to serve.
func (g group) severity() diagnose.Severity {
	if healthy, _ := g.tally(); healthy > 0 {
		return diagnose.Degraded
	}
	return diagnose.Outage
}

// failing returns the targets that are unhealthy for a reason and should not
// be. Targets that are only being registered are not among them.
func (g group) failing(reason elbtypes.TargetHealthReasonEnum) []target {
	var out []target
	for _, t := range g.targets {
		if t.Target == nil || t.TargetHealth == nil || t.TargetHealth.Reason != reason || g.idle(t) {
			continue
		}
		if s := t.TargetHealth.State; s == elbtypes.TargetHealthStateEnumUnhealthy || s == elbtypes.TargetHealthStateEnumUnhealthyDraining {
			out = append(out, t)
		}
	}
	return out
}

// idle reports whether t is a node that fails its check by design: with
// externalTrafficPolicy Local a node without a ready pod of the Service must
// not get traffic, and the failing check is what tells the load balancer.
func (g group) idle(t target) bool {
	if g.service == nil || g.service.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal ||
		g.tg.TargetType != elbtypes.TargetTypeEnumInstance || t.Target == nil ||
		t.TargetHealth != nil && t.TargetHealth.State == elbtypes.TargetHealthStateEnumHealthy {
		return false
	}
	node, ok := g.nodeOf[str(t.Target.Id)]
	if !ok || len(g.pods) == 0 {
		return false
	}
	elsewhere := false
	for _, p := range g.pods {
		if !serving(p) {
			continue
		}
		if p.Spec.NodeName == node {
			return false
		}
		elsewhere = true
	}
	return elsewhere
}

// podsOf returns the pods behind targets: for ip targets the pods with those
// addresses, for instances all pods of the Service.
func (g group) podsOf(targets []target) []*corev1.Pod {
	if g.tg.TargetType != elbtypes.TargetTypeEnumIp {
		return g.pods
	}
	var out []*corev1.Pod
	for _, t := range targets {
		for _, p := range g.pods {
			if hasIP(p, str(t.Target.Id)) {
				out = append(out, p)
			}
		}
	}
	return out
}

// targetPort is the port that the targets are registered with, the group's own
// while there is none; 0 when neither is known.
func (g group) targetPort() int32 {
	for _, t := range g.targets {
		if t.Target != nil && t.Target.Port != nil {
			return *t.Target.Port
		}
	}
	if g.tg.Port != nil {
		return *g.tg.Port
	}
	return 0
}

// nameTarget writes t for people, with the pod or node that it is.
func (g group) nameTarget(t target) string {
	s := str(t.Target.Id)
	if t.Target.Port != nil {
		s = fmt.Sprintf("%s port %d", s, *t.Target.Port)
	}
	if node := g.nodeOf[str(t.Target.Id)]; node != "" {
		return s + " (node " + node + ")"
	}
	for _, p := range g.pods {
		if hasIP(p, str(t.Target.Id)) {
			return s + " (pod " + p.Namespace + "/" + p.Name + ")"
		}
	}
	return s
}

// healthCommand shows the targets' state.
func (g group) healthCommand() string {
	return "aws elbv2 describe-target-health --target-group-arn " + g.arn
}

// states sums up the targets' states, such as "healthy 2, unhealthy 1".
func (g group) states() string {
	n := map[string]int{}
	for _, t := range g.targets {
		if t.TargetHealth != nil {
			n[string(t.TargetHealth.State)]++
		}
	}
	var parts []string
	for state, count := range n {
		parts = append(parts, fmt.Sprintf("%s %d", state, count))
	}
	slices.Sort(parts)
	return cmp.Or(strings.Join(parts, ", "), "no targets")
}

// serving reports whether p's containers pass their own probes. A pod with a
// load balancer readiness gate stays unready because of the very health check
// that is judged here, so its containers count, not the pod.
func serving(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if (c.Type == corev1.PodReady || c.Type == corev1.ContainersReady) && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

func kubeRef(kind facts.Kind, namespace, name string) facts.Ref {
	return facts.Ref{Kind: kind, ID: namespace + "/" + name}
}

// str is what p points at, "" for nil: AWS leaves out what it does not know.
func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
