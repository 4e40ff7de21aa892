package l4

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// NetworkPolicyNamedPort recognises rules that name a port which no pod has.
var NetworkPolicyNamedPort = &diagnose.Check{
	ID:    "l4/networkpolicy-named-port-unresolved",
	Title: "NetworkPolicy names a port that the pods do not have",
	Doc: `A rule may give a port by the name of a container port, of the pods that it protects (ingress) or that it leads
to (egress). A name that none of them has, with the rule's protocol, stands for no port: the rule allows nothing, and the
pods stay isolated.

Recognised by a name that none of the pods has, while somebody whom the rule means is kept by all policies together from
the port that was meant: the target of the Service port with that name, a container port whose name differs by a typo, or
the only port that a Service sends to.

Looks alike: a name that some of the pods have, which is no mistake; the Service that asks for such a name
(service-named-port-missing); peers that match nobody.

Fix: a policy of its own with the same peers and the port's number.`,
	Needs: fenceNeeds,
	Wants: fenceWants,
	Sources: []string{
		"https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/",
		"https://github.com/aws/amazon-network-policy-controller-k8s",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		f := newFence(v)
		if f == nil {
			return nil
		}
		var found []diagnose.Finding
		for _, r := range f.namedPortRules() {
			found = append(found, f.finding(r.rightRule, diagnose.Outage, fmt.Sprintf("allows port %q, a name that none of the pods has", r.name),
				fmt.Sprintf("port %q", r.name), fmt.Sprintf("port %d/%s, or a container port with that name", r.number, r.protocol)))
		}
		return perPolicy(found)
	},
}

// A namedRule is a rule with a name that stands for nothing.
type namedRule struct {
	rightRule
	name string
}

func (f *fence) namedPortRules() []namedRule {
	var out []namedRule
	for _, r := range f.all {
		for i, p := range r.ports {
			if p.Port == nil || p.Port.Type != intstr.String {
				continue
			}
			name, protocol := p.Port.StrVal, cmp.Or(facts.Val(p.Protocol), corev1.ProtocolTCP)
			servers := f.servers(r)
			if slices.ContainsFunc(servers, func(s *corev1.Pod) bool { _, ok := reach.NamedPort(s, name, protocol); return ok }) {
				continue
			}
			fits := func(o openPort, server *corev1.Pod) bool { return o.protocol == protocol && f.meant(name, o, server) }
			if right, ok := f.corrected(r, i, fits); ok {
				out = append(out, namedRule{right, name})
			}
		}
	}
	return out
}

// meant reports whether a name stands for an open port of a pod.
func (f *fence) meant(name string, o openPort, server *corev1.Pod) bool {
	if o.port.Name == name {
		return true
	}
	for _, cp := range declared(server) {
		if cp.ContainerPort == o.number && isTypo(cp.Name, name) {
			return true
		}
	}
	all := map[int32]bool{}
	for _, x := range f.openings(server) {
		if x.protocol == o.protocol && !sideJob(x.port.Name) {
			all[x.number] = true
		}
	}
	return len(all) == 1 && all[o.number] && !sideJob(name)
}
