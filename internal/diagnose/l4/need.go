package l4

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// clients are the pods that need a port. Those of one owner are alike.
func (t traffic) clients(p port, there []spot, owners [][]spot) []spot {
	if isDNS(p.service) {
		if p.number != 53 && !slices.ContainsFunc(p.service.Spec.Ports, func(sp corev1.ServicePort) bool { return sp.Port == 53 && sp.TargetPort.IntVal == p.number }) {
			return nil // its metrics
		}
		return slices.Concat(owners...)
	}
	if p.service.Namespace == "kube-system" || len(there) == 0 {
		return nil // the API server calls these, from its own interfaces
	}
	var out []spot
	for _, pods := range owners {
		if t.needs(pods[0], p, there[0]) {
			out = append(out, pods...)
		}
	}
	return out
}

// isDNS reports whether s is the cluster's DNS.
func isDNS(s *corev1.Service) bool {
	return s.Namespace == "kube-system" && (s.Name == "kube-dns" || s.Spec.Selector["k8s-app"] == "kube-dns")
}

// needs reports whether there is a sign that a pod calls a Service, and no
// NetworkPolicy that forbids it. The Service's own pods do not count.
func (t traffic) needs(c spot, p port, there spot) bool {
	if reach.Selects(p.service, c.pod) || c.pod.Namespace == "kube-system" {
		return false
	}
	sign := c.pod.Namespace == p.service.Namespace || named(t.target, p.service) || t.forOthers[p.service.Namespace+"/"+p.service.Name] || mentions(c.pod, p.service)
	ingress, egress := t.policies[there.pod.Namespace], t.policies[c.pod.Namespace]
	if !sign && len(egress) == 0 && (len(ingress) == 0 || t.admitsAnybody(there, p)) {
		return false
	}
	in := reach.PolicyAdmits(ingress, t.namespaces, there.pod, reach.Peer{IP: c.end.IP, Pod: c.pod}, p.protocol, p.number)
	out := reach.PolicyLetsOut(egress, t.namespaces, c.pod, reach.Peer{IP: there.end.IP, Pod: there.pod}, p.protocol, p.number)
	if !in.Allowed || !out.Allowed || sign {
		return in.Allowed && out.Allowed
	}
	toAnybody := reach.PolicyLetsOut(egress, t.namespaces, c.pod, reach.Peer{IP: there.end.IP, Pod: stranger}, p.protocol, p.number)
	return in.Rule != "" && !t.admitsAnybody(there, p) || out.Rule != "" && !toAnybody.Allowed
}

// A podPort is one port of one pod.
type podPort struct {
	pod      *corev1.Pod
	protocol string
	number   int32
}

// stranger is a pod that no policy means in particular.
var stranger = &corev1.Pod{}

// admitsAnybody reports whether the policies admit a stranger to a pod: then
// that they admit somebody says nothing.
func (t traffic) admitsAnybody(there spot, p port) bool {
	key := podPort{there.pod, p.protocol, p.number}
	known, ok := t.anybody[key]
	if !ok {
		known = reach.PolicyAdmits(t.policies[there.pod.Namespace], t.namespaces, there.pod, reach.Peer{IP: there.end.IP, Pod: stranger}, p.protocol, p.number).Allowed
		t.anybody[key] = known
	}
	return known
}

// forOthers finds the Services that only pods of other namespaces can be
// meant to call: their own namespace has no other pods, and no load balancer
// sends to them. Without knowing the load balancers it finds none. Webhooks
// and metrics are left out: the API server and monitoring call those.
func forOthers(v *facts.View, all []spot) map[string]bool {
	ingresses, bindings := facts.Ingresses.In(v), facts.TargetGroupBindings.In(v)
	out := map[string]bool{}
	if !facts.Ingresses.Have(v) || !facts.TargetGroupBindings.Have(v) {
		return out
	}
	in := map[string][]spot{}
	for _, p := range all {
		in[p.pod.Namespace] = append(in[p.pod.Namespace], p)
	}
	services := facts.Services.In(v)
	for i := range services {
		s := &services[i]
		fronted := s.Spec.Type == corev1.ServiceTypeLoadBalancer || s.Spec.Type == corev1.ServiceTypeNodePort || len(users(s, ingresses, bindings)) > 0
		if fronted || strings.Contains(s.Name, "webhook") || strings.Contains(s.Name, "metrics") || slices.ContainsFunc(s.Spec.Ports, isMetrics) {
			continue
		}
		out[s.Namespace+"/"+s.Name] = !slices.ContainsFunc(in[s.Namespace], func(p spot) bool { return !reach.Selects(s, p.pod) })
	}
	return out
}

func isMetrics(p corev1.ServicePort) bool {
	return strings.Contains(p.Name, "metrics") || strings.Contains(p.Name, "webhook")
}

// mentions reports whether a pod's environment or arguments name a Service
// of another namespace by its DNS name.
func mentions(pod *corev1.Pod, s *corev1.Service) bool {
	name := s.Name + "." + s.Namespace
	for _, c := range pod.Spec.Containers {
		for _, e := range c.Env {
			if strings.Contains(e.Value, name) {
				return true
			}
		}
		if slices.ContainsFunc(c.Args, func(a string) bool { return strings.Contains(a, name) }) {
			return true
		}
	}
	return false
}
