package dns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var kubeletMissingClusterDNS = &diagnose.Check{
	ID:    "dns/kubelet-missing-clusterdns",
	Title: "Kubelets have no address of the cluster's DNS",
	Doc: `A kubelet without clusterDNS cannot write the cluster's nameserver into the resolv.conf of pods. It gives them the node's
instead, and says so in an event, MissingClusterDNS. On these nodes names of Services do not exist, and names of the internet
resolve.

Recognised by such an event of the last hour, or by a kubelet whose configuration has no clusterDNS, while pods that should
ask the cluster's DNS run on the node; where the kubelet was not asked, also by the words of such a pod within the hour: the node's nameserver does
not know a Service that exists. Pods keep the resolv.conf with which they started: those of a node whose kubelet has
been corrected since are told of as well.

Looks alike: a wrong address makes no event, and lookups time out then. A pod with dnsPolicy Default, or on the host's network,
asks the node's resolver everywhere.

Fixed by the bootstrap of the nodes, and new ones; where the kubelet is right by now, by a restart of the pods.`,
	Needs: []facts.Need{facts.Events, facts.Pods, facts.Nodes},
	Wants: slices.Concat([]facts.Need{facts.Services, facts.Clusters, facts.VPCs, facts.DHCPOptions}, clusterNameWants, templateNeeds),
	Sources: []string{
		"https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/network/dns/dns.go",
		"https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		k, template := newKubelets(v), templates(v)
		m := missingDNS{kubelets: k, given: map[string]bool{}, known: map[string]bool{}}
		for _, c := range facts.KubeletConfigs.In(v) {
			m.known[c.Name], m.given[c.Name] = true, len(c.KubeletConfig.ClusterDNS) > 0
		}
		m.read(facts.Events.In(v), v.At())
		m.listen(v)
		var out []diagnose.Finding
		for _, g := range m.groups() {
			out = append(out, m.finding(g))
		}
		for _, pods := range byWorkload(m.old) {
			out = append(out, stale(pods, template))
		}
		return out
	},
}

// missingDNS are the nodes that say that they have no clusterDNS.
type missingDNS struct {
	kubelets
	known, given map[string]bool          // what configurations tell, by node
	said         map[string]*corev1.Event // by node
	words        map[string]complaint     // of pods, by node
	old          []*corev1.Pod            // of nodes that have been corrected since
}

// listen takes what pods say that should ask the cluster's DNS: that the
// resolver of their node does not know a Service.
func (m *missingDNS) listen(v *facts.View) {
	m.words = map[string]complaint{}
	names, w := newClusterNames(v), resolve.World{VPCs: facts.VPCs.In(v), DHCPOptions: facts.DHCPOptions.In(v), Clusters: facts.Clusters.In(v)}
	servers, _, _ := w.NodeDNS()
	for _, c := range complaints(m.pods, facts.Events.In(v), v.At()) {
		ip, err := netip.ParseAddr(c.server)
		own := c.pod.Spec.DNSConfig != nil && slices.Contains(c.pod.Spec.DNSConfig.Nameservers, c.server)
		ofNode := err == nil && (slices.Contains(servers, c.server) || w.VPCResolver(ip))
		if node := c.pod.Spec.NodeName; ofNode && !own && !m.known[node] && asksKubelet(c.pod) && names.find(c.name, c.pod.Namespace) != nil {
			m.words[node] = c
		}
	}
}

// read takes the events of the last hour.
func (m *missingDNS) read(events []corev1.Event, now time.Time) {
	m.said = map[string]*corev1.Event{}
	pods := map[string]*corev1.Pod{}
	for i := range m.pods {
		pods[m.pods[i].Namespace+"/"+m.pods[i].Name] = &m.pods[i]
	}
	seen := map[*corev1.Pod]bool{}
	for i := range events {
		e := &events[i]
		if !strings.Contains(e.Message, "kubelet does not have ClusterDNS IP configured") || now.Sub(facts.LastSeen(e)) > time.Hour {
			continue
		}
		node := cmp.Or(e.Source.Host, e.ReportingInstance)
		p := pods[e.InvolvedObject.Namespace+"/"+e.InvolvedObject.Name]
		switch {
		case e.InvolvedObject.Kind == "Node":
			node, p = e.InvolvedObject.Name, nil
		case e.InvolvedObject.Kind == "Pod" && p != nil:
			node = p.Spec.NodeName
		}
		switch {
		case m.nodes[node] == nil:
		case !m.given[node]:
			m.said[node] = e
		case p != nil && running(p) && !seen[p]:
			seen[p] = true
			m.old = append(m.old, p)
		}
	}
}

// groups are the nodes without clusterDNS that have pods which ask for it.
func (m *missingDNS) groups() []*kubeletGroup {
	var out []*kubeletGroup
	for name, n := range m.nodes {
		_, told := m.words[name]
		lacks := told || m.said[name] != nil || m.known[name] && !m.given[name] && m.service != nil && n.Labels[computeType] == ""
		if lacks && len(m.asking(&kubeletGroup{nodes: []string{name}})) > 0 {
			out = groupNode(out, groupOf(n), name, nil)
		}
	}
	slices.SortFunc(out, func(a, b *kubeletGroup) int { return cmp.Compare(a.nodes[0], b.nodes[0]) })
	return out
}

func (m *missingDNS) finding(g *kubeletGroup) diagnose.Finding {
	pods := m.asking(g)
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  g.refs()[0],
		Affects:  append(g.refs()[1:], affectedPods(pods)...),
		Claim: fmt.Sprintf("Kubelets of %s have no clusterDNS and give pods the node's resolver instead, so names of Services do not exist for the %s there",
			g.where(), diagnose.Count(len(pods), "pod")),
	}
	for _, n := range g.nodes {
		if e := m.said[n]; e != nil {
			f.Evidence = append(f.Evidence, diagnose.Evidence{
				Fact: "event MissingClusterDNS of " + strings.ToLower(e.InvolvedObject.Kind) + " " + e.InvolvedObject.Name, Got: facts.Redact(e.Message), Want: "no such event",
				Command: "kubectl get events -A --field-selector reason=MissingClusterDNS",
			})
			break
		}
	}
	if c, ok := m.words[g.nodes[0]]; ok {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: podRef(*c.pod).String() + " said within the hour", Got: facts.Redact(c.text), Want: "an answer of the cluster's DNS", Command: showResolvConf(c.pod),
		})
	}
	if m.known[g.nodes[0]] {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: g.refs()[0].String() + " kubelet clusterDNS", Got: "none", Want: "the address of Service kube-dns",
			Command: "kubectl get --raw /api/v1/nodes/" + g.nodes[0] + "/proxy/configz | jq .kubeletconfig.clusterDNS",
		})
	}
	right := "as Service kube-dns has it"
	if m.service != nil {
		right = m.service.Spec.ClusterIP
	}
	f.Remedies = []remedy.Remedy{m.nodeRemedy(g, right)}
	return f
}

// stale says that pods of a workload started before their kubelet was
// corrected.
func stale(pods []*corev1.Pod, template func(remedy.Workload) *corev1.PodTemplateSpec) diagnose.Finding {
	p := pods[0]
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  ownerRef(p),
		Affects:  affectedPods(pods),
		Claim: fmt.Sprintf("%s of %s started while the kubelet had no clusterDNS and still has the node's resolver: names of Services do not exist for it",
			diagnose.Count(len(pods), "pod"), madeBy(p)),
		Evidence: []diagnose.Evidence{{
			Fact: "event MissingClusterDNS of pod " + p.Namespace + "/" + p.Name, Got: "within the last hour, and the kubelet of " + p.Spec.NodeName + " has clusterDNS now", Want: "a pod that started after that",
			Command: showResolvConf(p),
		}},
	}
	w, ok := workloadOf(p)
	m := remedy.Remedy{
		Title: "Restart " + madeBy(p),
		Why:   "New pods get the nameserver of the cluster. They are replaced a few at a time.",
		Risk:  remedy.Disruptive,
	}
	if t := template(w); ok && t != nil {
		m.Actions = remedy.Actions{remedy.Restart(w, t.ObjectMeta)}
	} else {
		m.Manual = []string{fmt.Sprintf("kubectl -n %s delete pod %s", p.Namespace, p.Name)}
	}
	f.Remedies = []remedy.Remedy{m}
	return f
}
