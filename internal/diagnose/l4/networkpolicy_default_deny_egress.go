package l4

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// NetworkPolicyDefaultDenyEgress recognises pods that are isolated for egress
// from what they need.
var NetworkPolicyDefaultDenyEgress = &diagnose.Check{
	ID:    "l4/networkpolicy-default-deny-egress",
	Title: "NetworkPolicy keeps pods from what they call",
	Doc: `The first policy with type Egress that selects a pod isolates it: what no policy lets out is dropped. Connections
time out at the client's side, and nothing of it is seen at the server.

To deny is what policies are for. It is a fault only when the pod needs the Service: the policies of the Service's pods
expressly admit it, by its labels; its arguments name the Service; or the question does, no pod of the Service's namespace
that could call it is let out to it, and the policy was not meant to stop everything, as it lets names be resolved.

An interface VPC endpoint with private DNS moves an AWS service into the VPC: a policy that lets pods out to port 443 of all
the world except the VPC's block shuts them off from it. It is a fault for pods whose ServiceAccount has a role, which need
STS for their credentials, and for pods with a role if the question is about a name that the endpoint answers for.

Looks alike: the endpoint's security group (vpc-endpoint-sg-blocks); a policy without a rule for DNS, which is a finding of its own; a rule with the Service's port in the place of
the pods'; isolation at the server's side; a pod that is meant to send nothing.

Fix: a policy of its own that lets the client out to that port, of the Service's pods or of the endpoint's addresses.`,
	Needs: fenceNeeds,
	Wants: append(fenceWants[:len(fenceWants):len(fenceWants)], facts.VPCEndpoints, facts.NetworkInterfaces, facts.ServiceAccounts),
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/network-policies/#default-deny-all-egress-traffic",
		"https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		f := newFence(v)
		if f == nil {
			return nil
		}
		mistaken := f.mistaken()
		var found []diagnose.Finding
		type path struct {
			client  facts.Ref
			service *corev1.Service
			port    int32
		}
		seen := map[path]bool{}
		for _, c := range f.pods {
			if !f.isolated(c, networkingv1.PolicyTypeEgress) {
				continue
			}
			owner := ownerOf(c)
			for _, to := range f.pods {
				for _, o := range f.openings(to) {
					key := path{owner, o.service, o.port.Port}
					if seen[key] || mistaken[serviceRef(o.service)] || reach.Selects(o.service, c) || isDNS(o.service) {
						continue
					}
					seen[key] = true // one pod stands for all of the Service
					sign := f.needOut(c, to, o)
					if sign == "" {
						continue
					}
					if no := f.letsOut(c, peerOf(to), string(o.protocol), o.number); !no.Allowed && no.Rule != "" {
						found = append(found, f.keptIn(c, to, o, no.Rule, sign))
					}
				}
			}
		}
		return perPolicy(append(found, f.keptFromEndpoints(v)...))
	},
}

// needOut says by what sign a pod needs an open port of another that admits
// it; "" without one.
func (f *fence) needOut(c, to *corev1.Pod, o openPort) string {
	admitted := func() bool { return f.admits(to, peerOf(c), string(o.protocol), o.number).Allowed }
	switch {
	case f.expressly(c, to, o, networkingv1.PolicyTypeIngress):
		return "the Service's own policy admits it by its labels"
	case mentions(c, o.service) && admitted():
		return "its arguments name the Service"
	case named(f.target, o.service) && c.Namespace == o.service.Namespace && admitted() && f.resolves(c) && !f.anyReaches(to, o):
		return "the question is about the Service, and no pod of its namespace gets out to it"
	}
	return ""
}

// resolves reports whether a pod's policies let it ask CoreDNS.
func (f *fence) resolves(c *corev1.Pod) bool {
	for i := range f.services {
		if s := &f.services[i]; isDNS(s) {
			for _, p := range f.pods {
				if reach.Selects(s, p) && f.letsOut(c, peerOf(p), "udp", 53).Allowed {
					return true
				}
			}
		}
	}
	return false
}

// anyReaches reports whether some pod of the Service's namespace, but its own
// ones, is let out to it.
func (f *fence) anyReaches(to *corev1.Pod, o openPort) bool {
	for _, c := range f.pods {
		if c.Namespace == o.service.Namespace && !reach.Selects(o.service, c) && f.letsOut(c, peerOf(to), string(o.protocol), o.number).Allowed {
			return true
		}
	}
	return false
}

func (f *fence) keptIn(c, to *corev1.Pod, o openPort, rule, sign string) diagnose.Finding {
	ns, name, _ := strings.Cut(rule, "/")
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	policy.Spec.PodSelector = *peerFor(c, ns).PodSelector
	peer := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: o.service.Spec.Selector}}
	if to.Namespace != ns {
		peer.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: to.Namespace}}
	}
	r := fenceRule{policy: policy, way: networkingv1.PolicyTypeEgress, peers: []networkingv1.NetworkPolicyPeer{peer}, ports: []networkingv1.NetworkPolicyPort{fencePort(o.protocol, o.number)}}
	return diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  policyRef(policy),
		Affects:  []facts.Ref{serviceRef(o.service), podRef(c), podRef(to)},
		Claim:    fmt.Sprintf("NetworkPolicy %s keeps pod %s/%s, and those like it, from port %d of the pods of Service %s/%s: %s", rule, c.Namespace, c.Name, o.number, o.service.Namespace, o.service.Name, sign),
		Evidence: []diagnose.Evidence{
			{Fact: policyRef(policy).String() + " spec.egress", Got: fmt.Sprintf("no rule for Service %s/%s with %s %d", o.service.Namespace, o.service.Name, o.protocol, o.number), Want: "one, here or in another policy", Command: r.command()},
			{Fact: "need of " + podRef(c).String(), Got: sign, Want: "let out", Command: fmt.Sprintf("kubectl -n %s get networkpolicies -o yaml", o.service.Namespace)},
			{Fact: "what enforces policies", Got: f.engine, Want: "as it is", Command: "kubectl get daemonsets -A"},
		},
		Remedies: []remedy.Remedy{f.add(r, fmt.Sprintf("Let %s out to port %d of Service %s/%s", pairs(policy.Spec.PodSelector.MatchLabels), o.number, o.service.Namespace, o.service.Name))},
	}
}
