package l4

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// NetworkPolicyNodeLocal recognises egress policies that let pods out to
// CoreDNS and not to the DNS cache on their node, which they ask.
var NetworkPolicyNodeLocal = &diagnose.Check{
	ID:    "l4/networkpolicy-ipblock-nodelocal",
	Title: "Egress policy does not cover NodeLocal DNSCache",
	Doc: `NodeLocal DNSCache runs on the host's network and listens at a link-local address, 169.254.20.10 unless set
otherwise. Selectors of pods never mean that address. Where kubelets name it in the pods' resolv.conf, an egress policy
that allows the CoreDNS pods alone takes DNS away; only an ipBlock with the address lets lookups out.

Recognised by the cache's DaemonSet, and by pods whose name server is that address: by their dnsConfig, or by the kubelet's
clusterDNS. Their policies must let them out to CoreDNS and not to the cache. A cache that answers at the ClusterIP of
kube-dns as well needs nothing of kubelets or policies. If no kubelet's configuration could be read and the cache listens
at its own address alone, it is a risk and no more.

Looks alike: a policy without any rule for DNS (networkpolicy-blocks-dns); the cache itself is down.

Fix: a policy of its own with the address as an ipBlock, UDP and TCP 53.`,
	Needs: fenceNeeds,
	Wants: append(fenceWants[:len(fenceWants):len(fenceWants)], facts.KubeletConfigs),
	Sources: []string{
		"https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/",
		"https://kubernetes.io/docs/concepts/services-networking/network-policies/",
		"https://github.com/aws/amazon-network-policy-controller-k8s",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		kubelets := facts.KubeletConfigs.In(v)
		f, cache := newFence(v), dnsCacheOf(facts.DaemonSets.In(v))
		if f == nil || cache == nil {
			return nil
		}
		var found []diagnose.Finding
		for _, p := range f.pods {
			if !f.isolated(p, networkingv1.PolicyTypeEgress) {
				continue
			}
			servers, known := nameServers(p, kubelets)
			no, at, sev, ok := f.pastCache(p, cache, servers, known)
			if !ok {
				continue
			}
			subject := policyRef(f.policy(no.Rule))
			if i := slices.IndexFunc(found, func(o diagnose.Finding) bool { return o.Subject == subject }); i >= 0 {
				found[i].Affects = append(found[i].Affects, podRef(p)) // its remedy is for all pods of the policy
				continue
			}
			found = append(found, f.cacheShut(p, cache, at, no.Rule, sev))
		}
		return found
	},
}

// A dnsCache is NodeLocal DNSCache.
type dnsCache struct {
	daemonSet string // namespace/name
	local     []netip.Addr
	shared    bool // it answers at an address of the cluster's as well
}

// dnsCacheOf reads where NodeLocal DNSCache listens; nil when there is none.
// Its argument is -localip with addresses between commas (kubernetes/dns,
// cmd/node-cache).
func dnsCacheOf(daemonSets []appsv1.DaemonSet) *dnsCache {
	for _, d := range daemonSets {
		for _, c := range d.Spec.Template.Spec.Containers {
			if !strings.HasPrefix(d.Name, "node-local-dns") && !strings.HasPrefix(d.Name, "nodelocaldns") && !strings.Contains(c.Image, "k8s-dns-node-cache") {
				continue
			}
			cache := &dnsCache{daemonSet: d.Namespace + "/" + d.Name}
			cache.listens(slices.Concat(c.Command, c.Args))
			if len(cache.local) == 0 {
				cache.local = []netip.Addr{netip.MustParseAddr("169.254.20.10")}
			}
			return cache
		}
	}
	return nil
}

func (c *dnsCache) listens(args []string) {
	for i, a := range args {
		flag, value, ok := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if flag != "localip" {
			continue
		}
		if !ok && i+1 < len(args) {
			value = args[i+1]
		}
		for s := range strings.SplitSeq(value, ",") {
			switch ip, err := netip.ParseAddr(strings.TrimSpace(s)); {
			case err != nil && strings.TrimSpace(s) != "": // a variable that the manifest fills in
				c.shared = true
			case err == nil && ip.IsLinkLocalUnicast():
				c.local = append(c.local, ip)
			case err == nil:
				c.shared = true
			}
		}
	}
}

// nameServers are those of a pod's resolv.conf, as far as is known: known is
// false when its kubelet's are not.
func nameServers(p *corev1.Pod, kubelets []facts.KubeletConfig) (servers []netip.Addr, known bool) {
	add := func(list []string) {
		for _, s := range list {
			if ip, err := netip.ParseAddr(s); err == nil {
				servers = append(servers, ip)
			}
		}
	}
	known = true
	switch p.Spec.DNSPolicy {
	case corev1.DNSNone, corev1.DNSDefault:
	default:
		var of []string
		of, known = clusterDNS(p.Spec.NodeName, kubelets)
		add(of)
	}
	if p.Spec.DNSConfig != nil {
		add(p.Spec.DNSConfig.Nameservers)
	}
	return servers, known
}

// clusterDNS is what a node's kubelet gives pods, or what all say that could
// be read: those of a group of nodes are made alike.
func clusterDNS(node string, kubelets []facts.KubeletConfig) ([]string, bool) {
	var all []string
	for i, k := range kubelets {
		if k.Name == node {
			return k.KubeletConfig.ClusterDNS, true
		}
		if i > 0 && !slices.Equal(all, k.KubeletConfig.ClusterDNS) {
			return nil, false
		}
		all = k.KubeletConfig.ClusterDNS
	}
	return all, len(kubelets) > 0
}

// pastCache says what keeps a pod that may ask CoreDNS from the cache, and at
// which address, that it does ask.
func (f *fence) pastCache(p *corev1.Pod, cache *dnsCache, servers []netip.Addr, known bool) (no reach.Decision, at netip.Addr, sev diagnose.Severity, ok bool) {
	sev, at = diagnose.Outage, cache.local[0]
	switch {
	case len(servers) > 0 && slices.Contains(cache.local, servers[0]):
		at = servers[0]
		if slices.ContainsFunc(servers[1:], func(ip netip.Addr) bool { return f.letsOut(p, reach.Peer{IP: ip}, "udp", 53).Allowed }) {
			sev = diagnose.Degraded // the next one answers, after a time-out
		}
	case known || cache.shared:
		return no, at, sev, false
	default:
		sev = diagnose.Risk
	}
	no = f.letsOut(p, reach.Peer{IP: at}, "udp", 53)
	// A policy without DNS at all is a finding of its own.
	return no, at, sev, no.Blocked() && (p.Spec.DNSPolicy == corev1.DNSNone || f.resolves(p))
}

func (f *fence) cacheShut(p *corev1.Pod, cache *dnsCache, at netip.Addr, rule string, sev diagnose.Severity) diagnose.Finding {
	policy := f.policy(rule)
	r := fenceRule{policy: policy, way: networkingv1.PolicyTypeEgress,
		peers: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: netip.PrefixFrom(at, at.BitLen()).String()}}},
		ports: []networkingv1.NetworkPolicyPort{fencePort(corev1.ProtocolUDP, 53), fencePort(corev1.ProtocolTCP, 53)}}
	effect := map[diagnose.Severity]string{
		diagnose.Outage:   "they cannot resolve names",
		diagnose.Degraded: "each lookup waits before it goes to the next name server",
		diagnose.Risk:     "if that is the name server in their resolv.conf, they cannot resolve names",
	}[sev]
	out := diagnose.Finding{
		Severity: sev,
		Subject:  policyRef(policy),
		Affects:  []facts.Ref{podRef(p), {Kind: facts.DaemonSets.Kind(), ID: cache.daemonSet}, {Kind: facts.Namespaces.Kind(), ID: p.Namespace}},
		Claim:    fmt.Sprintf("NetworkPolicy %s lets pod %s/%s, and those like it, out to CoreDNS and not to the DNS cache on their node at %s: %s", rule, p.Namespace, p.Name, at, effect),
		Evidence: []diagnose.Evidence{
			{Fact: policyRef(policy).String() + " spec.egress", Got: fmt.Sprintf("no ipBlock that holds %s with UDP 53", at), Want: "one: selectors of pods do not mean a link-local address", Command: r.command()},
			{Fact: podRef(p).String() + " resolv.conf", Got: "asks " + at.String(), Want: "a name server that its policies let it ask", Command: fmt.Sprintf("kubectl -n %s exec %s -- cat /etc/resolv.conf", p.Namespace, p.Name)},
			{Fact: "kube/daemonsets/" + cache.daemonSet, Got: "NodeLocal DNSCache at " + at.String(), Want: "as it is", Command: "kubectl get daemonsets -A"},
		},
		Remedies: []remedy.Remedy{f.add(r, fmt.Sprintf("Let the pods of NetworkPolicy %s ask the DNS cache on their node", policy.Name))},
	}
	if sev == diagnose.Risk {
		out.Evidence[1].Got = "not known: no kubelet's configuration could be read"
	}
	return out
}

// policy finds a policy by namespace/name.
func (f *fence) policy(id string) *networkingv1.NetworkPolicy {
	for i := range f.policies {
		if f.policies[i].Namespace+"/"+f.policies[i].Name == id {
			return &f.policies[i]
		}
	}
	p := &networkingv1.NetworkPolicy{}
	p.Namespace, p.Name, _ = strings.Cut(id, "/")
	return p
}
