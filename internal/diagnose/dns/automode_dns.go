package dns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

var eksAutoModeDNS = &diagnose.Check{
	ID:    "dns/eks-auto-mode-dns",
	Title: "Something counts on CoreDNS pods or Service kube-dns, which EKS Auto Mode does not have",
	Doc: `EKS Auto Mode runs CoreDNS on each node, outside Kubernetes: there is no Deployment coredns, no pod with the label
k8s-app=kube-dns and no Service kube-dns, and that is as it should be. Pods ask the address that their resolv.conf names, the
tenth of the Service range. What was written for CoreDNS in pods fails: a NetworkPolicy that lets lookups out to pods with
that label lets out nothing; a nameserver that was set by hand to an address of the Service range leads nowhere; a program
that is told to ask kube-dns.kube-system.svc gets no answer to the name itself.

Recognised in clusters all of whose nodes are Auto Mode's and that have no Service kube-dns, by one of these three.

Looks alike: Auto Mode alone is no fault. A mixed cluster needs CoreDNS for its other nodes. Policies count only when the
cluster enforces them, which Auto Mode does when ConfigMap amazon-vpc-cni says so.

Fixed by a policy that lets port 53 out to the address itself; by leaving nameservers to kubelet; by a Service kube-dns, or the
address instead of the name.`,
	Needs: []facts.Need{facts.Nodes, facts.Services, facts.Pods, facts.Deployments, facts.Clusters},
	Wants: []facts.Need{facts.NetworkPolicies, facts.Namespaces, facts.ConfigMaps, facts.KubeletConfigs, facts.EndpointSlices, facts.Events},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/automode.html",
		"https://github.com/aws/containers-roadmap/issues/2546",
		"https://github.com/aws/containers-roadmap/issues/2552",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c, a := newCoreDNS(v), newAutoDNS(v)
		enforced, policies, namespaces := policiesEnforced(v), facts.NetworkPolicies.In(v), facts.Namespaces.In(v)
		if !c.byNodes(v) || c.deployment != nil || c.service != nil {
			return nil
		}
		pods := facts.Pods.In(v)
		out := a.strayNameservers(pods)
		out = append(out, namesKubeDNS(pods)...)
		if enforced {
			out = append(out, a.blocked(pods, policies, namespaces)...)
		}
		return out
	},
}

// autoDNS is where pods of Auto Mode nodes ask.
type autoDNS struct {
	at       netip.Addr     // the address in resolv.conf; invalid when not known
	services []netip.Prefix // the Service ranges
	taken    []netip.Addr   // addresses of Services
}

func newAutoDNS(v *facts.View) autoDNS {
	var a autoDNS
	a.at, _ = netip.ParseAddr(kubeletDNS(v))
	for _, c := range facts.Clusters.In(v) {
		if c.KubernetesNetworkConfig == nil {
			continue
		}
		for _, s := range []*string{c.KubernetesNetworkConfig.ServiceIpv4Cidr, c.KubernetesNetworkConfig.ServiceIpv6Cidr} {
			if p, err := netip.ParsePrefix(facts.Val(s)); err == nil {
				a.services = append(a.services, p.Masked())
				if !a.at.IsValid() {
					a.at = nth(p.Masked().Addr(), 10)
				}
			}
		}
	}
	for _, s := range facts.Services.In(v) {
		for _, ip := range append(s.Spec.ClusterIPs, s.Spec.ClusterIP) {
			if addr, err := netip.ParseAddr(ip); err == nil {
				a.taken = append(a.taken, addr)
			}
		}
	}
	return a
}

// nth is the address n behind a: EKS gives cluster DNS the tenth of the range.
func nth(a netip.Addr, n int) netip.Addr {
	for range n {
		a = a.Next()
	}
	return a
}

// policiesEnforced reports whether Auto Mode enforces NetworkPolicies.
func policiesEnforced(v *facts.View) bool {
	for _, m := range facts.ConfigMaps.In(v) {
		if m.Namespace == system && m.Name == "amazon-vpc-cni" {
			return m.Data["enable-network-policy-controller"] == "true"
		}
	}
	return false
}

// running reports whether p's lookups matter.
func running(p *corev1.Pod) bool { return !reach.Finished(p) && p.DeletionTimestamp == nil }

// strayNameservers finds nameservers of the Service range at which nothing
// answers.
func (a autoDNS) strayNameservers(pods []corev1.Pod) []diagnose.Finding {
	by := map[string][]corev1.Pod{}
	for _, p := range pods {
		if !running(&p) || p.Spec.DNSConfig == nil {
			continue
		}
		for _, ns := range p.Spec.DNSConfig.Nameservers {
			ip, err := netip.ParseAddr(ns)
			inside := slices.ContainsFunc(a.services, func(s netip.Prefix) bool { return s.Contains(ip) })
			if err == nil && inside && ip != a.at && !slices.Contains(a.taken, ip) {
				by[p.Namespace+" "+ns] = append(by[p.Namespace+" "+ns], p)
			}
		}
	}
	return grouped(by, func(pods []corev1.Pod, ns string) diagnose.Finding {
		return diagnose.Finding{
			Severity: diagnose.Degraded,
			Claim:    fmt.Sprintf("%s ask nameserver %s, an address of the Service range at which nothing answers in EKS Auto Mode", who(pods), ns),
			Evidence: []diagnose.Evidence{{
				Fact: podRef(pods[0]).String() + " spec.dnsConfig", Got: "nameserver " + ns, Want: "none of its own, or " + a.at.String(),
				Command: fmt.Sprintf("kubectl -n %s get pod %s -o jsonpath='{.spec.dnsConfig}'", pods[0].Namespace, pods[0].Name),
			}},
			Remedies: []remedy.Remedy{{
				Title:  "Take the nameserver out of the pod template",
				Why:    "With dnsPolicy ClusterFirst kubelet writes the right address.",
				Manual: []string{fmt.Sprintf("kubectl -n %s get pod %s -o jsonpath='{.metadata.ownerReferences}'", pods[0].Namespace, pods[0].Name)},
			}},
		}
	})
}

// namesKubeDNS finds programs that are told to ask Service kube-dns by name.
func namesKubeDNS(pods []corev1.Pod) []diagnose.Finding {
	by := map[string][]corev1.Pod{}
	for _, p := range pods {
		if !running(&p) {
			continue
		}
		for _, c := range p.Spec.Containers {
			for _, word := range slices.Concat(c.Command, c.Args) {
				if strings.Contains(word, "kube-dns.kube-system") && !slices.ContainsFunc(by[p.Namespace+" "+c.Name], func(q corev1.Pod) bool { return q.Name == p.Name }) {
					by[p.Namespace+" "+c.Name] = append(by[p.Namespace+" "+c.Name], p)
				}
			}
		}
	}
	return grouped(by, func(pods []corev1.Pod, name string) diagnose.Finding {
		return diagnose.Finding{
			Severity: diagnose.Degraded,
			Claim:    fmt.Sprintf("Container %s of %s asks kube-dns.kube-system, a Service that EKS Auto Mode does not have", name, who(pods)),
			Evidence: []diagnose.Evidence{{
				Fact: podRef(pods[0]).String() + " container " + name, Got: "kube-dns.kube-system in its command", Want: "the address in its resolv.conf",
				Command: fmt.Sprintf("kubectl -n %s get pod %s -o jsonpath='{.spec.containers[*].args}'", pods[0].Namespace, pods[0].Name),
			}},
			Remedies: []remedy.Remedy{{
				Title:  "Tell the program the address, or make a Service of this name",
				Why:    "Auto Mode's resolver answers at the address that stands in the pod's /etc/resolv.conf.",
				Manual: []string{fmt.Sprintf("kubectl -n %s exec %s -c %s -- cat /etc/resolv.conf", pods[0].Namespace, pods[0].Name, name)},
			}},
		}
	})
}

// grouped makes a finding of each group of pods, whose key is a namespace and
// a word.
func grouped(by map[string][]corev1.Pod, make func([]corev1.Pod, string) diagnose.Finding) []diagnose.Finding {
	var out []diagnose.Finding
	for _, pods := range by {
		slices.SortFunc(pods, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	}
	for key, pods := range by {
		_, word, _ := strings.Cut(key, " ")
		f := make(pods, word)
		f.Subject = podRef(pods[0])
		for _, p := range pods[1:] {
			f.Affects = append(f.Affects, podRef(p))
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b diagnose.Finding) int {
		return cmp.Or(cmp.Compare(a.Subject.ID, b.Subject.ID), cmp.Compare(a.Claim, b.Claim))
	})
	return slices.CompactFunc(out, func(a, b diagnose.Finding) bool { return a.Subject == b.Subject })
}

// who names pods of one namespace.
func who(pods []corev1.Pod) string {
	if len(pods) == 1 {
		return "pod " + pods[0].Namespace + "/" + pods[0].Name
	}
	return fmt.Sprintf("%d pods of namespace %s", len(pods), pods[0].Namespace)
}

// blocked finds policies that mean to let lookups out to CoreDNS pods and so
// let out none.
func (a autoDNS) blocked(pods []corev1.Pod, policies []networkingv1.NetworkPolicy, namespaces []corev1.Namespace) []diagnose.Finding {
	if !a.at.IsValid() {
		return nil
	}
	by := map[string][]corev1.Pod{}
	policy := map[string]networkingv1.NetworkPolicy{}
	for i := range pods {
		p := &pods[i]
		own := slices.DeleteFunc(slices.Clone(policies), func(n networkingv1.NetworkPolicy) bool { return n.Namespace != p.Namespace })
		if !asks(p) || len(own) == 0 {
			continue
		}
		isolating := reach.Isolates(own, p, networkingv1.PolicyTypeEgress)
		j := slices.IndexFunc(isolating, meansCoreDNS)
		if j < 0 || reach.PolicyLetsOut(own, namespaces, p, reach.Peer{IP: a.at}, "udp", 53).Allowed {
			continue
		}
		key := p.Namespace + "/" + isolating[j].Name
		policy[key] = isolating[j]
		by[key] = append(by[key], *p)
	}
	var out []diagnose.Finding
	for key, pods := range by {
		out = append(out, a.blockedFinding(policy[key], pods, policies))
	}
	slices.SortFunc(out, func(a, b diagnose.Finding) int { return cmp.Compare(a.Subject.ID, b.Subject.ID) })
	return out
}

// meansCoreDNS reports whether a policy lets pods out to the CoreDNS pods that
// other clusters have.
func meansCoreDNS(p networkingv1.NetworkPolicy) bool {
	for _, rule := range p.Spec.Egress {
		for _, to := range rule.To {
			if to.PodSelector == nil {
				continue
			}
			for _, name := range []string{"kube-dns", "coredns"} {
				if len(to.PodSelector.MatchLabels)+len(to.PodSelector.MatchExpressions) > 0 &&
					(matches(to.PodSelector, labels.Set{"k8s-app": name}) || matches(to.PodSelector, labels.Set{"app.kubernetes.io/name": name})) {
					return true
				}
			}
		}
	}
	return false
}

func (a autoDNS) blockedFinding(n networkingv1.NetworkPolicy, pods []corev1.Pod, all []networkingv1.NetworkPolicy) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  ref(facts.NetworkPolicies.Kind(), n.Namespace, n.Name),
		Affects:  []facts.Ref{{Kind: facts.Namespaces.Kind(), ID: n.Namespace}},
		Claim: fmt.Sprintf("NetworkPolicy %s/%s lets lookups out to CoreDNS pods only, which EKS Auto Mode does not have, so %s cannot resolve names",
			n.Namespace, n.Name, who(pods)),
		Evidence: []diagnose.Evidence{{
			Fact: ref(facts.NetworkPolicies.Kind(), n.Namespace, n.Name).String() + " egress", Got: "port 53 to pods labelled as CoreDNS", Want: "port 53 to " + a.at.String(),
			Command: fmt.Sprintf("kubectl -n %s get networkpolicy %s -o yaml", n.Namespace, n.Name),
		}},
	}
	for _, p := range pods[:min(len(pods), 20)] {
		f.Affects = append(f.Affects, podRef(p))
	}
	taken := map[string]bool{}
	for _, p := range all {
		taken[p.Namespace+"/"+p.Name] = true
	}
	f.Remedies = []remedy.Remedy{{
		Title:   "Let these pods out to " + a.at.String() + " on port 53",
		Why:     "A policy of its own adds what is missing; the others stay as they are.",
		Risk:    remedy.Safe,
		Actions: remedy.Actions{remedy.CreateNetworkPolicy{Namespace: n.Namespace, Name: freeName(taken, n.Namespace), Spec: a.allow(n)}},
	}}
	return f
}

func (a autoDNS) allow(n networkingv1.NetworkPolicy) networkingv1.NetworkPolicySpec {
	return networkingv1.NetworkPolicySpec{
		PodSelector: n.Spec.PodSelector,
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		Egress: []networkingv1.NetworkPolicyEgressRule{{
			To:    []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: netip.PrefixFrom(a.at, a.at.BitLen()).String()}}},
			Ports: dnsPorts(),
		}},
	}
}
