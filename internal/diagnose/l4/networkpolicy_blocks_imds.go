package l4

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// NetworkPolicyBlocksIMDS recognises pods that are isolated from where they
// get their AWS credentials.
var NetworkPolicyBlocksIMDS = &diagnose.Check{
	ID:    "l4/networkpolicy-blocks-imds",
	Title: "NetworkPolicy keeps pods from their AWS credentials",
	Doc: `With EKS Pod Identity a pod asks the agent on its node, 169.254.170.23 port 80 ([fd00:ec2::23] with IPv6), for
credentials. To policies that is egress like any other: a pod that is isolated for egress without a rule for that address
gets none, and every call of an AWS SDK fails after a timeout.

Recognised by pods that were given a Pod Identity (a volume with a token for pods.eks.amazonaws.com) and that no policy
lets out to that address. Instance metadata (169.254.169.254) is
not looked at: no fact tells that a pod needs it, and to keep pods from it is recommended.

Looks alike: AWS APIs themselves blocked (443); the Pod Identity agent down on a node; an association that is missing.

Fix: a policy of its own that lets these pods out to that address alone.`,
	Needs: fenceNeeds,
	Wants: fenceWants,
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		f := newFence(v)
		if f == nil {
			return nil
		}
		var found []diagnose.Finding
		seen := map[facts.Ref]bool{}
		for _, p := range f.pods {
			if seen[ownerOf(p)] || !podIdentity(p) {
				continue
			}
			if no, addr := f.fromAgent(p); no.Rule != "" {
				seen[ownerOf(p)] = true
				found = append(found, f.withoutCredentials(p, no.Rule, addr))
			}
		}
		return perPolicy(found)
	},
}

// podIdentity reports whether a pod was given credentials by EKS Pod Identity.
func podIdentity(p *corev1.Pod) bool {
	return tokenFor(p, "pods.eks.amazonaws.com")
}

// fromAgent asks whether a pod is kept from the agent; the decision's Rule is
// "" when it is not.
func (f *fence) fromAgent(p *corev1.Pod) (no reach.Decision, addr netip.Addr) {
	addr = netip.MustParseAddr("169.254.170.23")
	if ip, err := netip.ParseAddr(p.Status.PodIP); err == nil && ip.Is6() {
		addr = netip.MustParseAddr("fd00:ec2::23")
	}
	d := f.letsOut(p, reach.Peer{IP: addr}, "tcp", 80)
	if d.Allowed || d.Undecided {
		return reach.Decision{}, addr
	}
	return d, addr
}

func (f *fence) withoutCredentials(p *corev1.Pod, rule string, addr netip.Addr) diagnose.Finding {
	ns, name, _ := strings.Cut(rule, "/")
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	policy.Spec.PodSelector = *peerFor(p, ns).PodSelector
	block := networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: netip.PrefixFrom(addr, addr.BitLen()).String()}}
	r := fenceRule{policy: policy, way: networkingv1.PolicyTypeEgress, peers: []networkingv1.NetworkPolicyPeer{block}, ports: []networkingv1.NetworkPolicyPort{fencePort(corev1.ProtocolTCP, 80)}}
	return diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  policyRef(policy),
		Affects:  []facts.Ref{podRef(p), ownerOf(p)},
		Claim:    fmt.Sprintf("NetworkPolicy %s keeps pod %s/%s, and those like it, from the EKS Pod Identity agent (%s port 80): they get no AWS credentials", rule, p.Namespace, p.Name, addr),
		Evidence: []diagnose.Evidence{
			{Fact: policyRef(policy).String() + " spec.egress", Got: fmt.Sprintf("no rule for %s with TCP 80", addr), Want: "one, here or in another policy", Command: r.command()},
			{Fact: podRef(p).String(), Got: "has a Pod Identity: it asks the agent for its credentials", Want: "let out to it", Command: fmt.Sprintf("kubectl -n %s get pod %s -o yaml", p.Namespace, p.Name)},
			{Fact: "what enforces policies", Got: f.engine, Want: "as it is", Command: "kubectl get daemonsets -A"},
		},
		Remedies: []remedy.Remedy{f.add(r, fmt.Sprintf("Let %s out to the Pod Identity agent", pairs(policy.Spec.PodSelector.MatchLabels)))},
	}
}
