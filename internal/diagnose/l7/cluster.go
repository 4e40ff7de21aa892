package l7

import (
	"net/netip"
	"slices"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// A cluster is the Kubernetes side of target groups.
type cluster struct {
	bindings  map[string]facts.TargetGroupBinding // by target group ARN
	services  []corev1.Service
	ingresses []networkingv1.Ingress
	podsIn    map[string][]*corev1.Pod     // by namespace; finished ones left out
	podsAt    map[netip.Addr][]*corev1.Pod // by address; several for a node's own
	podsKnown bool
	nodeOf    map[string]string // node name by instance id
}

func newCluster(v *facts.View) cluster {
	c := cluster{
		bindings:  map[string]facts.TargetGroupBinding{},
		services:  facts.Services.In(v),
		ingresses: facts.Ingresses.In(v),
		podsIn:    map[string][]*corev1.Pod{},
		podsAt:    map[netip.Addr][]*corev1.Pod{},
		podsKnown: facts.Pods.Have(v),
		nodeOf:    map[string]string{},
	}
	for _, b := range facts.TargetGroupBindings.In(v) {
		c.bindings[b.Spec.TargetGroupARN] = b
	}
	pods := facts.Pods.In(v)
	for i := range pods {
		p := &pods[i] // a cluster has many pods: none is copied
		if reach.Finished(p) {
			continue
		}
		c.podsIn[p.Namespace] = append(c.podsIn[p.Namespace], p)
		for _, ip := range addresses(p) {
			c.podsAt[ip] = append(c.podsAt[ip], p)
		}
	}
	for _, n := range facts.Nodes.In(v) {
		c.nodeOf[reach.Instance(&n)] = n.Name
	}
	return c
}

// attach finds what stands behind g. The controller's TargetGroupBinding says
// it; without one the targets' addresses or node ports do.
func (c cluster) attach(g *group) {
	g.nodeOf, g.podsKnown = c.nodeOf, c.podsKnown
	if b, ok := c.bindings[g.arn]; ok {
		g.binding = &b
	}
	if g.service = c.serviceOf(*g); g.service == nil {
		g.pods = c.targetPods(*g)
		return
	}
	g.pods = c.selected(*g.service)
	for _, ing := range c.ingresses {
		if sendsTo(ing, *g.service) && ofStack(g.binding, ing) {
			g.ingresses = append(g.ingresses, ing)
		}
	}
}

func (c cluster) serviceOf(g group) *corev1.Service {
	var is func(corev1.Service) bool
	switch {
	case g.binding != nil:
		is = func(s corev1.Service) bool {
			return s.Namespace == g.binding.Namespace && s.Name == g.binding.Spec.ServiceRef.Name
		}
	case g.tg.TargetType == elbtypes.TargetTypeEnumInstance:
		is = func(s corev1.Service) bool {
			return slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.NodePort != 0 && isPort(g, p.NodePort) })
		}
	default:
		pods := c.targetPods(g)
		is = func(s corev1.Service) bool {
			return slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return reach.Selects(&s, p) }) && c.routed(s)
		}
	}
	if i := slices.IndexFunc(c.services, is); i >= 0 {
		return &c.services[i]
	}
	return nil
}

// routed reports whether a load balancer may be meant to send to s: two
// Services can select the same pods, only one of them is behind the Ingress.
func (c cluster) routed(s corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer ||
		slices.ContainsFunc(c.ingresses, func(ing networkingv1.Ingress) bool { return sendsTo(ing, s) })
}

// selected returns the pods that s selects.
func (c cluster) selected(s corev1.Service) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range c.podsIn[s.Namespace] {
		if reach.Selects(&s, p) {
			out = append(out, p)
		}
	}
	return out
}

// targetPods returns the pods that are targets of g by their own address.
func (c cluster) targetPods(g group) []*corev1.Pod {
	var out []*corev1.Pod
	if g.tg.TargetType != elbtypes.TargetTypeEnumIp {
		return nil
	}
	for _, t := range g.targets {
		if t.Target == nil {
			continue
		}
		if ip, err := netip.ParseAddr(str(t.Target.Id)); err == nil {
			out = append(out, c.podsAt[ip]...)
		}
	}
	return out
}

// addresses are p's own addresses.
func addresses(p *corev1.Pod) []netip.Addr {
	var out []netip.Addr
	for _, s := range append([]corev1.PodIP{{IP: p.Status.PodIP}}, p.Status.PodIPs...) {
		if ip, err := netip.ParseAddr(s.IP); err == nil && !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	return out
}

// hasIP reports whether p has an address, in whatever form it is written.
func hasIP(p *corev1.Pod, ip string) bool {
	want, err := netip.ParseAddr(ip)
	return err == nil && slices.Contains(addresses(p), want)
}

// isPort reports whether g's traffic goes to port.
func isPort(g group, port int32) bool {
	if g.tg.Port != nil && *g.tg.Port == port {
		return true
	}
	return slices.ContainsFunc(g.targets, func(t target) bool { return t.Target != nil && t.Target.Port != nil && *t.Target.Port == port })
}

// sendsTo reports whether a backend of ing is s.
func sendsTo(ing networkingv1.Ingress, s corev1.Service) bool {
	is := func(b *networkingv1.IngressBackend) bool {
		return b != nil && b.Service != nil && b.Service.Name == s.Name
	}
	if ing.Namespace != s.Namespace {
		return false
	}
	if is(ing.Spec.DefaultBackend) {
		return true
	}
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for i := range rule.HTTP.Paths {
			if is(&rule.HTTP.Paths[i].Backend) {
				return true
			}
		}
	}
	return false
}

// ofStack reports whether b was made for ing. The controller labels a binding
// with the Ingress that it is for, or with the name of an IngressGroup
// (aws-load-balancer-controller, pkg/deploy/tracking).
func ofStack(b *facts.TargetGroupBinding, ing networkingv1.Ingress) bool {
	if b == nil {
		return true
	}
	if stack, ok := b.Labels["ingress.k8s.aws/stack"]; ok {
		return ing.Annotations["alb.ingress.kubernetes.io/group.name"] == stack
	}
	name, ok := b.Labels["ingress.k8s.aws/stack-name"]
	return !ok || name == ing.Name && b.Labels["ingress.k8s.aws/stack-namespace"] == ing.Namespace
}
