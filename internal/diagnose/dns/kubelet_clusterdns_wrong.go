package dns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var kubeletClusterDNSWrong = &diagnose.Check{
	ID:    "dns/kubelet-clusterdns-wrong",
	Title: "Kubelets give pods the address of no DNS server",
	Doc: `The kubelet writes the nameserver into each pod's resolv.conf, from clusterDNS of its own configuration. Where user data or
a node configuration names a fixed address, or Service kube-dns was made again at another one, all lookups of the pods on
these nodes go to an address at which nobody answers, and time out. Pods on other nodes are well.

Recognised by a kubelet whose first clusterDNS is the address of no Service with port 53 and no address of a cache on the
node. Where kubelets could not be asked: by a container, probe or hook that named such a nameserver within the hour; or Service kube-dns stands at another address than the tenth of the Service range,
which EKS nodes take unless told otherwise, that address is free, and nodes are older than the Service.

Looks alike: the cache on the nodes has an address of its own (169.254.20.10 mostly). Another Service with port 53 may stand
in the place of kube-dns. Nodes of EKS Auto Mode have no such Service. When the pods of all nodes fail, look at the Service.

Fixed by the launch template or node configuration, and new nodes; until then a Service at the address that pods have,
which leads to CoreDNS as well.`,
	Needs: []facts.Need{facts.Services, facts.Nodes},
	Wants: []facts.Need{facts.KubeletConfigs, facts.Pods, facts.DaemonSets, facts.Clusters, facts.Events, facts.VPCs, facts.DHCPOptions},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html",
		"https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/",
		"https://github.com/awslabs/amazon-eks-ami/blob/main/nodeadm/doc/api.md",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		k := newKubelets(v)
		if k.service == nil {
			return nil // nobody could have the right address
		}
		var out []diagnose.Finding
		for _, g := range append(k.wrong(v), k.told(v)...) {
			out = append(out, k.finding(g))
		}
		if !facts.KubeletConfigs.Have(v) && len(out) == 0 {
			return k.movedService(v)
		}
		return out
	},
}

// kubelets are the nodes and what they give to pods.
type kubelets struct {
	servers dnsServers
	service *corev1.Service // kube-dns
	nodes   map[string]*corev1.Node
	pods    []corev1.Pod
	sets    []appsv1.DaemonSet
	setsOK  bool
	ranges  []netip.Prefix // of Services
	cluster string
}

func newKubelets(v *facts.View) kubelets {
	k := kubelets{servers: newDNSServers(v), nodes: map[string]*corev1.Node{}, pods: facts.Pods.In(v), sets: facts.DaemonSets.In(v), setsOK: facts.DaemonSets.Have(v), ranges: newAutoDNS(v).services, cluster: v.Cluster()}
	k.service = k.servers.kubeDNS()
	for i, n := range facts.Nodes.In(v) {
		k.nodes[n.Name] = &facts.Nodes.In(v)[i]
	}
	return k
}

// A kubeletGroup is nodes that give pods the same.
type kubeletGroup struct {
	group string // of nodes, as groupOf names it
	dns   []string
	nodes []string
	said  *complaint // how that is known, where the kubelet was not asked
}

// told are the groups whose pods name a nameserver that does not answer, of
// nodes whose kubelets were not asked.
func (k kubelets) told(v *facts.View) []*kubeletGroup {
	asked := map[string]bool{}
	for _, c := range facts.KubeletConfigs.In(v) {
		asked[c.Name] = true
	}
	w := resolve.World{VPCs: facts.VPCs.In(v), DHCPOptions: facts.DHCPOptions.In(v), Clusters: facts.Clusters.In(v)}
	nodes, _, known := w.NodeDNS()
	var out []*kubeletGroup
	for _, c := range askedServers(k.pods, facts.Events.In(v), v.At()) {
		n := k.nodes[c.pod.Spec.NodeName]
		ip, err := netip.ParseAddr(c.server)
		own := c.pod.Spec.DNSConfig != nil && slices.Contains(c.pod.Spec.DNSConfig.Nameservers, c.server)
		switch {
		case n == nil || err != nil || asked[n.Name] || n.Labels[computeType] != "" || own || !asksKubelet(c.pod):
		case strings.Contains(c.text, "no such host"): // somebody answers there
		case k.serves(c.server) || !known || slices.Contains(nodes, c.server) || w.VPCResolver(ip):
		default:
			before := len(out)
			if out = groupNode(out, groupOf(n), n.Name, []string{c.server}); len(out) > before {
				out[before].said = &c
			}
		}
	}
	return out
}

// asksKubelet reports whether p gets its nameserver from the kubelet's
// clusterDNS.
func asksKubelet(p *corev1.Pod) bool {
	policy := cmp.Or(p.Spec.DNSPolicy, corev1.DNSClusterFirst)
	return policy == corev1.DNSClusterFirstWithHostNet || policy == corev1.DNSClusterFirst && !p.Spec.HostNetwork
}

// groupOf is the node group or pool that made a node; "" when no label tells.
func groupOf(n *corev1.Node) string {
	for _, l := range []string{"eks.amazonaws.com/nodegroup", "karpenter.sh/nodepool", "alpha.eksctl.io/nodegroup-name"} {
		if g := n.Labels[l]; g != "" {
			return g
		}
	}
	return ""
}

// wrong are the groups whose first nameserver does not answer.
func (k kubelets) wrong(v *facts.View) []*kubeletGroup {
	var out []*kubeletGroup
	for _, c := range facts.KubeletConfigs.In(v) {
		n, dns := k.nodes[c.Name], c.KubeletConfig.ClusterDNS
		if n == nil || len(dns) == 0 || n.Labels[computeType] != "" || k.serves(dns[0]) {
			continue
		}
		out = groupNode(out, groupOf(n), n.Name, dns)
	}
	slices.SortFunc(out, func(a, b *kubeletGroup) int { return cmp.Compare(a.nodes[0], b.nodes[0]) })
	return out
}

// groupNode puts a node to those of its group with the same nameservers.
func groupNode(all []*kubeletGroup, group, node string, dns []string) []*kubeletGroup {
	for _, g := range all {
		if g.group == group && slices.Equal(g.dns, dns) {
			if !slices.Contains(g.nodes, node) {
				g.nodes = append(g.nodes, node)
				slices.Sort(g.nodes)
			}
			return all
		}
	}
	return append(all, &kubeletGroup{group: group, dns: dns, nodes: []string{node}})
}

// serves reports whether lookups that go to an address are answered. Of one
// that only the node has, it is enough that something in the cluster may
// listen there.
func (k kubelets) serves(address string) bool {
	if !k.servers.answers(address) {
		return false
	}
	ip, err := netip.ParseAddr(address)
	return err != nil || !linkLocal(ip) || !k.setsOK || slices.ContainsFunc(k.sets, mayCache)
}

// mayCache reports whether a DaemonSet may answer lookups on the nodes.
func mayCache(d appsv1.DaemonSet) bool {
	words := d.Name
	for _, c := range d.Spec.Template.Spec.Containers {
		words += " " + c.Image
	}
	return isNodeCache(d) || strings.Contains(words, "dns") || strings.Contains(words, "cilium") || strings.Contains(words, "unbound")
}

// where names the nodes of a group.
func (g *kubeletGroup) where() string {
	if g.group != "" {
		return "node group " + g.group
	}
	return diagnose.Some(g.nodes)
}

func (g *kubeletGroup) refs() []facts.Ref {
	var out []facts.Ref
	for _, n := range g.nodes {
		out = append(out, facts.Ref{Kind: facts.Nodes.Kind(), ID: n})
	}
	return out
}

// asking are the pods on the nodes of g that get their nameserver from the
// kubelet.
func (k kubelets) asking(g *kubeletGroup) []*corev1.Pod {
	var out []*corev1.Pod
	for i := range k.pods {
		p := &k.pods[i]
		if running(p) && slices.Contains(g.nodes, p.Spec.NodeName) && asksKubelet(p) {
			out = append(out, p)
		}
	}
	return out
}

func (k kubelets) finding(g *kubeletGroup) diagnose.Finding {
	right, pods := k.service.Spec.ClusterIP, k.asking(g)
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  g.refs()[0],
		Affects:  append(g.refs()[1:], append(affectedPods(pods), kubeDNSRef)...),
		Evidence: []diagnose.Evidence{{
			Fact: g.refs()[0].String() + " kubelet clusterDNS", Got: strings.Join(g.dns, ", "), Want: right + ", the address of Service kube-dns, or of a cache on the node",
			Command: "kubectl get --raw /api/v1/nodes/" + g.nodes[0] + "/proxy/configz | jq .kubeletconfig.clusterDNS",
		}, {
			Fact: kubeDNSRef.String() + " spec.clusterIP", Got: right, Want: "what kubelets give to pods", Command: "kubectl -n kube-system get service kube-dns",
		}},
	}
	if g.said != nil {
		f.Evidence[0] = diagnose.Evidence{
			Fact: podRef(*g.said.pod).String() + " said within the hour", Got: facts.Redact(g.said.text), Want: "nameserver " + right + ", the address of Service kube-dns, or of a cache on the node", Command: showResolvConf(g.said.pod),
		}
	}
	effect := fmt.Sprintf("the %s there cannot resolve names", diagnose.Count(len(pods), "pod"))
	if slices.ContainsFunc(g.dns[1:], k.serves) {
		effect = fmt.Sprintf("each lookup of the %s there waits in vain before it goes to the next", diagnose.Count(len(pods), "pod"))
	} else if len(g.nodes) == len(k.nodes) {
		f.Severity = diagnose.Outage
	}
	if len(pods) == 0 {
		f.Severity, effect = diagnose.Risk, "pods that come to run there cannot resolve names"
	}
	ip, err := netip.ParseAddr(g.dns[0])
	if err == nil && linkLocal(ip) {
		f.Severity = diagnose.Risk // a program that Kubernetes does not know of may listen
		effect = fmt.Sprintf("unless a program of the nodes listens there, the %s there cannot resolve names", diagnose.Count(len(pods), "pod"))
	}
	f.Claim = fmt.Sprintf("Kubelets of %s give pods nameserver %s, where no Service answers DNS (kube-dns has %s): %s", g.where(), g.dns[0], right, effect)
	if slices.ContainsFunc(k.ranges, func(r netip.Prefix) bool { return err == nil && r.Contains(ip) }) && !k.taken(ip) {
		f.Remedies = append(f.Remedies, k.second(ip))
	}
	f.Remedies = append(f.Remedies, k.nodeRemedy(g, right))
	return f
}

// taken reports whether a Service of any sort has an address.
func (k kubelets) taken(ip netip.Addr) bool {
	return slices.ContainsFunc(k.servers.services, func(s corev1.Service) bool {
		return slices.Contains(append(slices.Clone(s.Spec.ClusterIPs), s.Spec.ClusterIP), ip.String())
	})
}

// second is a Service beside kube-dns, at the address that pods have.
func (k kubelets) second(ip netip.Addr) remedy.Remedy {
	c := coreDNS{service: k.service}
	return remedy.Remedy{
		Title: "Let CoreDNS answer at " + ip.String() + " as well, until the nodes are replaced",
		Why:   "It adds a Service; nothing restarts, and pods that run resolve names again at once.",
		Manual: []string{fmt.Sprintf(`kubectl create -f - <<<'{"apiVersion":"v1","kind":"Service","metadata":{"name":"kube-dns-as-given","namespace":"kube-system"},`+
			`"spec":{"clusterIP":"%s","selector":%s,"ports":[{"name":"dns","port":53,"protocol":"UDP"},{"name":"dns-tcp","port":53,"protocol":"TCP"}]}}'`, ip, jsonOf(c.service.Spec.Selector))},
	}
}

// nodeRemedy are the ways to nodes with the right address.
func (k kubelets) nodeRemedy(g *kubeletGroup, right string) remedy.Remedy {
	m := remedy.Remedy{
		Title: fmt.Sprintf("Make new nodes of %s with clusterDNS %s", g.where(), right),
		Why:   "Only new pods get the new nameserver. Nodes are replaced one by one; the old version of the launch template takes it back.",
		Risk:  remedy.Disruptive,
	}
	n := k.nodes[g.nodes[0]]
	switch {
	case n != nil && n.Labels["eks.amazonaws.com/nodegroup"] != "":
		m.Manual = []string{
			fmt.Sprintf("aws eks describe-nodegroup --cluster-name %s --nodegroup-name %s --query nodegroup.launchTemplate", k.cluster, g.group),
			"aws ec2 describe-launch-template-versions --launch-template-id LAUNCH_TEMPLATE --versions '$Latest' --query 'LaunchTemplateVersions[0].LaunchTemplateData.UserData' --output text | base64 -d",
			fmt.Sprintf("aws eks update-nodegroup-version --cluster-name %s --nodegroup-name %s --launch-template id=LAUNCH_TEMPLATE,version=CORRECTED_VERSION", k.cluster, g.group),
		}
	case n != nil && n.Labels["karpenter.sh/nodepool"] != "":
		m.Manual = []string{fmt.Sprintf("kubectl get nodepool %s -o yaml", g.group), "kubectl get ec2nodeclasses -o yaml"}
	default:
		m.Manual = []string{"kubectl get --raw /api/v1/nodes/" + g.nodes[0] + "/proxy/configz | jq .kubeletconfig.clusterDNS"}
	}
	return m
}

// movedService suspects that nodes know a former address of kube-dns, where
// kubelets could not be asked.
func (k kubelets) movedService(v *facts.View) []diagnose.Finding {
	at, err := netip.ParseAddr(k.service.Spec.ClusterIP)
	i := slices.IndexFunc(k.ranges, func(r netip.Prefix) bool { return err == nil && r.Contains(at) })
	if i < 0 {
		return nil
	}
	given := nth(k.ranges[i].Addr(), 10)
	g := &kubeletGroup{dns: []string{given.String()}}
	for _, n := range k.nodes {
		if n.Labels[computeType] == "" && n.CreationTimestamp.Before(&k.service.CreationTimestamp) {
			g.nodes = append(g.nodes, n.Name)
		}
	}
	slices.Sort(g.nodes)
	if at == given || k.taken(given) || len(g.nodes) == 0 || len(k.servers.cache) > 0 {
		return nil
	}
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  kubeDNSRef,
		Affects:  append(g.refs(), affectedPods(k.asking(g))...),
		Claim: fmt.Sprintf("Service kube-dns was made again at %s, and %s from before it, which take %s unless told otherwise: their pods would ask an address that nobody has",
			at, diagnose.Count(len(g.nodes), "node"), given),
		Evidence: []diagnose.Evidence{{
			Fact: kubeDNSRef.String() + " spec.clusterIP", Got: fmt.Sprintf("%s, since %s", at, k.service.CreationTimestamp.UTC().Format("2006-01-02 15:04Z")), Want: given.String() + ", the tenth address of the Service range",
			Command: "kubectl -n kube-system get service kube-dns -o yaml",
		}},
	}
	if v.Target().Lookup != "" {
		f.Severity = diagnose.Degraded
	}
	f.Remedies = []remedy.Remedy{k.second(given)}
	return []diagnose.Finding{f}
}
