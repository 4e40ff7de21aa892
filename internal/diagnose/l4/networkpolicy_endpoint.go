package l4

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// keptFromEndpoints finds pods that need an AWS service, which private DNS
// leads to an interface endpoint in the VPC, and that no policy lets out to
// it. A policy may well let them out to all the world and not to that.
func (f *fence) keptFromEndpoints(v *facts.View) []diagnose.Finding {
	role, endpoints := rolesOf(v), privateEndpoints(v)
	holders := reach.HoldersOf(facts.NetworkInterfaces.In(v))
	var found []diagnose.Finding
	seen := map[string]bool{}
	for _, p := range f.pods {
		if !role.has(p) || !f.isolated(p, networkingv1.PolicyTypeEgress) {
			continue
		}
		for _, e := range endpoints {
			key := ownerOf(p).String() + " " + e.id
			need := role.need(p, e, f.target)
			if need == "" || seen[key] || e.vpc != vpcOf(p, holders) || !f.resolves(p) { // without names that is another finding
				continue
			}
			seen[key] = true
			if shut, no := f.shutOf(p, e); len(shut) > 0 {
				found = append(found, f.keptFromEndpoint(p, e, shut, no, need))
			}
		}
	}
	return found
}

// need says by what sign a pod calls the service of an endpoint; "" without one.
func (r roles) need(p *corev1.Pod, e privateEndpoint, t facts.Target) string {
	switch {
	case e.service == "sts" && r.asksSTS(p):
		return "its ServiceAccount has a role in AWS: it asks STS for its credentials"
	case e.asked(t) && r.has(p):
		return "it has a role in AWS, and the question is about " + t.Host
	}
	return ""
}

// vpcOf is the VPC of the interface that carries a pod, else of its node's;
// "" when neither is known.
func vpcOf(p *corev1.Pod, holders reach.Holders) string {
	for _, s := range []string{p.Status.PodIP, p.Status.HostIP} {
		if ip, err := netip.ParseAddr(s); err == nil {
			if eni := holders.Holder(ip); eni != nil {
				return facts.Val(eni.VpcId)
			}
		}
	}
	return ""
}

// shutOf are the addresses of an endpoint that a pod is not let out to, with
// the last decision.
func (f *fence) shutOf(p *corev1.Pod, e privateEndpoint) (shut []netip.Addr, no reach.Decision) {
	for _, h := range e.hosts {
		if h.IP.Is6() != addressOf(p).Is6() {
			continue
		}
		if d := f.letsOut(p, reach.Peer{IP: h.IP}, "tcp", 443); d.Blocked() && d.Rule != "" {
			shut, no = append(shut, h.IP), d
		}
	}
	return shut, no
}

func (f *fence) keptFromEndpoint(p *corev1.Pod, e privateEndpoint, shut []netip.Addr, no reach.Decision, need string) diagnose.Finding {
	policy := f.policy(no.Rule)
	r := fenceRule{policy: policy.DeepCopy(), way: networkingv1.PolicyTypeEgress, ports: []networkingv1.NetworkPolicyPort{fencePort(corev1.ProtocolTCP, 443)}}
	r.policy.Spec.PodSelector = *peerFor(p, policy.Namespace).PodSelector
	var at []string
	for _, ip := range shut {
		at = append(at, ip.String())
		r.peers = append(r.peers, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: netip.PrefixFrom(ip, ip.BitLen()).String()}})
	}
	sev, effect := diagnose.Outage, "they cannot call "+e.service
	if e.service == "sts" {
		effect = "they get no AWS credentials"
	}
	if len(shut) < len(e.hosts) {
		sev, effect = diagnose.Degraded, "connections to the other addresses pass"
	}
	got, want := "no rule for "+strings.Join(at, ", ")+" with TCP 443", "one, here or in another policy"
	if b := exceptOf(policy, shut[0]); b != nil {
		got = fmt.Sprintf("port 443 to %s except %s, which holds %s", b.CIDR, strings.Join(b.Except, ", "), strings.Join(at, ", "))
		want = "a rule for the endpoint's addresses: an exception takes them out again"
	}
	return diagnose.Finding{
		Severity: sev,
		Subject:  policyRef(policy),
		Affects:  []facts.Ref{e.ref(), podRef(p), ownerOf(p)},
		Claim: fmt.Sprintf("NetworkPolicy %s keeps pod %s/%s, and those like it, from interface endpoint %s of %s at %s, port 443, where private DNS sends them: %s",
			no.Rule, p.Namespace, p.Name, e.id, e.service, strings.Join(at, " and "), effect),
		Evidence: []diagnose.Evidence{
			{Fact: policyRef(policy).String() + " spec.egress", Got: got, Want: want, Command: r.command()},
			{Fact: e.ref().String(), Got: "private DNS answers for " + strings.Join(e.names, ", ") + " with " + strings.Join(at, ", "), Want: "let out to them", Command: "aws ec2 describe-vpc-endpoints --vpc-endpoint-ids " + e.id},
			{Fact: "need of " + podRef(p).String(), Got: need, Want: "let out", Command: fmt.Sprintf("kubectl -n %s get serviceaccount %s -o yaml", p.Namespace, strings.TrimPrefix(accountName(p), p.Namespace+"/"))},
			{Fact: "what enforces policies", Got: f.engine, Want: "as it is", Command: "kubectl get daemonsets -A"},
		},
		Remedies: []remedy.Remedy{f.add(r, fmt.Sprintf("Let %s out to the interface endpoint of %s", pairs(r.policy.Spec.PodSelector.MatchLabels), e.service))},
	}
}

// exceptOf is a block of a policy's egress rules that would hold an address,
// were it not for an exception; nil when there is none.
func exceptOf(p *networkingv1.NetworkPolicy, ip netip.Addr) *networkingv1.IPBlock {
	for _, r := range p.Spec.Egress {
		for _, to := range r.To {
			if b := to.IPBlock; b != nil && reach.Contains(b.CIDR, ip) && slices.ContainsFunc(b.Except, func(e string) bool { return reach.Contains(e, ip) }) {
				return b
			}
		}
	}
	return nil
}
