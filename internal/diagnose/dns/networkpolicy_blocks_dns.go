package dns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var networkpolicyBlocksDNS = &diagnose.Check{
	ID:    "dns/networkpolicy-blocks-dns",
	Title: "NetworkPolicy keeps pods from CoreDNS",
	Doc: `The first policy of type Egress that selects a pod isolates it: only what some policy allows may leave, and lookups
are no exception. A "default deny" without a rule for port 53 takes DNS away from a whole namespace; names stop to
resolve while connections to addresses still work. A policy of type Ingress that selects the CoreDNS pods does the same
from the other side. A rule for UDP alone leaves answers that are too large for UDP without a way back: the client asks
again over TCP.

Recognised by asking, for every pod that uses cluster DNS, whether the policies together admit UDP and TCP 53 to the
CoreDNS pods: by selectors, by an address block, to the ClusterIP of kube-dns or to NodeLocal DNSCache (169.254.20.10),
where it runs. Only where an engine enforces policies: the VPC CNI's agent with --enable-network-policy=true, Calico,
Cilium and the like. Pods on the host's network, pods with dnsPolicy Default or None, finished pods and pods on Fargate
are left out: policies do not hold for them or they do not ask CoreDNS.

Looks alike: policies that nothing enforces; security groups that block 53 between nodes; CoreDNS that is down. A policy
for a few pods that denies all egress, such as a database's, is wanted as long as these pods are ready: it is reported
only when the question names them. One that allows other destinations which are reached by name, and not DNS, is a
mistake.

Fixed by a policy of its own that allows port 53 to CoreDNS for the pods that are isolated already. Policies add up, so
no other one is changed, and deleting it undoes it.`,
	Needs: []facts.Need{facts.NetworkPolicies, facts.Pods, facts.Namespaces, facts.DaemonSets},
	Wants: []facts.Need{facts.Addons, facts.Services},
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/network-policies/",
		"https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html",
		"https://github.com/aws/aws-network-policy-agent/issues/230",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		r := newResolver(v)
		if r.engine == "" || len(r.pods) == 0 {
			return nil
		}
		taken := map[string]bool{}
		for _, p := range facts.NetworkPolicies.In(v) {
			taken[p.Namespace+"/"+p.Name] = true
		}
		var found []diagnose.Finding
		for _, b := range blocks(r, facts.Pods.In(v)) {
			if !b.deliberate() || b.named(v.Target()) {
				found = append(found, b.finding(r, taken))
			}
		}
		return found
	},
}

// finding reports what one policy takes from its pods.
func (b *block) finding(r *resolver, taken map[string]bool) diagnose.Finding {
	const most = 50 // pods named in one finding
	id := b.policy.Namespace + "/" + b.policy.Name
	worst := b.worst()
	why := cmp.Or(r.out(worst.pod).text, r.in(worst.pod).text)
	f := diagnose.Finding{
		Severity: worst.severity(),
		Subject:  ref(facts.NetworkPolicies.Kind(), b.policy.Namespace, b.policy.Name),
		Claim:    b.claim(worst),
		Evidence: []diagnose.Evidence{
			{
				Fact: "kube/networkpolicies/" + id, Got: b.rules(),
				Want:    "UDP and TCP 53 between the pods and kube-system/k8s-app=kube-dns",
				Command: fmt.Sprintf("kubectl -n %s get networkpolicy %s -o yaml", b.policy.Namespace, b.policy.Name),
			},
			{
				Fact: ref(facts.Pods.Kind(), worst.pod.Namespace, worst.pod.Name).String() + " to CoreDNS", Got: why, Want: "allowed",
				Command: fmt.Sprintf("kubectl -n %s exec %s -- nslookup kubernetes.default", worst.pod.Namespace, worst.pod.Name),
			},
			{
				Fact: "kube/daemonsets", Got: "NetworkPolicies are enforced by " + r.engine, Want: "as it is: without an engine policies have no effect",
				Command: "kubectl get daemonsets -A",
			},
		},
		Remedies: []remedy.Remedy{b.remedy(r, taken)},
	}
	for _, ns := range b.namespaces() {
		f.Affects = append(f.Affects, facts.Ref{Kind: facts.Namespaces.Kind(), ID: ns})
	}
	for _, c := range b.clients[:min(most, len(b.clients))] {
		f.Affects = append(f.Affects, ref(facts.Pods.Kind(), c.pod.Namespace, c.pod.Name))
	}
	return f
}

func (b *block) claim(worst client) string {
	n := 0
	for _, c := range b.clients {
		if c.severity() == worst.severity() {
			n++
		}
	}
	who := fmt.Sprintf("%d pods of namespace %s", n, b.namespaces()[0])
	if n == 1 {
		who = "pod " + worst.pod.Namespace + "/" + worst.pod.Name
	} else if more := len(b.namespaces()) - 1; more > 0 {
		who = fmt.Sprintf("%d pods of %d namespaces", n, more+1)
	}
	policy := "NetworkPolicy " + b.policy.Namespace + "/" + b.policy.Name
	switch worst.severity() {
	case diagnose.Outage:
		return fmt.Sprintf("%s keeps %s from CoreDNS on port 53, so they cannot resolve names", policy, who)
	case diagnose.Degraded:
		return fmt.Sprintf("%s lets %s reach only some of the CoreDNS pods on port 53, so part of their lookups fails", policy, who)
	default:
		return fmt.Sprintf("%s lets %s reach CoreDNS over UDP and not over TCP 53, so answers that are too large for UDP fail", policy, who)
	}
}

// namespaces are those of the pods that b is about.
func (b *block) namespaces() []string {
	var out []string
	for _, c := range b.clients {
		out = append(out, c.pod.Namespace)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// worst is the pod that loses most.
func (b *block) worst() client {
	return slices.MinFunc(b.clients, func(x, y client) int {
		return cmp.Or(cmp.Compare(x.severity(), y.severity()), cmp.Compare(x.pod.Namespace+"/"+x.pod.Name, y.pod.Namespace+"/"+y.pod.Name))
	})
}

// rules sums up what the policy allows.
func (b *block) rules() string {
	var out []string
	for _, way := range b.ways {
		n := len(b.policy.Spec.Egress)
		if way == networkingv1.PolicyTypeIngress {
			n = len(b.policy.Spec.Ingress)
		}
		if n == 0 {
			out = append(out, string(way)+" without a rule: all is denied")
		} else {
			out = append(out, fmt.Sprintf("%s with %d rules, none of them for both UDP and TCP 53", way, n))
		}
	}
	return strings.Join(out, "; ")
}

// severity says what the client loses: all lookups, those that one of the
// CoreDNS pods would answer, or those that need TCP.
func (c client) severity() diagnose.Severity {
	switch {
	case c.udp == 0:
		return diagnose.Outage
	case c.udp < c.of:
		return diagnose.Degraded
	default:
		return diagnose.Risk
	}
}
