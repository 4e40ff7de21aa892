package dns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

var nodelocalDNSBroken = &diagnose.Check{
	ID:    "dns/nodelocal-dns-broken",
	Title: "NodeLocal DNSCache does not work on a node",
	Doc: `NodeLocal DNSCache answers the lookups of all pods of a node. Its interface and its packet rules stay when its process is
killed: lookups still go there, and nobody answers until it is back. All pods of that node cannot resolve names, and no others.

Recognised by a pod of DaemonSet node-local-dns that has not been ready for two minutes, or is missing, on a node that is
Ready; by one that was killed for its memory within the hour; by lines of the last hour in which it could not set up its
interface, its rules or its configuration.

Looks alike: a node that is not Ready has other troubles. A DaemonSet that is being rolled out takes one node at a time, for
seconds. On all nodes at once CoreDNS itself or the way to it is to be looked at.

Fixed by what keeps the pod from running, its memory limit if it was killed. Taking the DaemonSet away properly also takes
its rules away; killing it does not.`,
	Needs: []facts.Need{facts.DaemonSets, facts.Pods, facts.Nodes},
	Wants: []facts.Need{facts.PodLogs, facts.PodMetrics},
	Sources: []string{
		"https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/",
		"https://github.com/kubernetes/dns/blob/master/cmd/node-cache/app/cache_app.go",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		b := nodeCaches{lines: nodeCacheLogs(v).of(logSetup).current().since(v.At().Add(-time.Hour)), counted: podMetrics(v)}
		pods, nodes := facts.Pods.In(v), facts.Nodes.In(v)
		sets := facts.DaemonSets.In(v)
		i := slices.IndexFunc(sets, isNodeCache)
		if i < 0 {
			return nil
		}
		b.set = &sets[i]
		b.find(pods, nodes, v.At())
		if len(b.down)+len(b.killed) == 0 && len(b.lines) < 2 { // it tries again every minute
			return nil
		}
		return []diagnose.Finding{b.finding(pods)}
	},
}

// isNodeCache reports whether d is NodeLocal DNSCache, by the names that its
// manifest and kubespray give it.
func isNodeCache(d appsv1.DaemonSet) bool {
	return d.Namespace == system && (strings.HasPrefix(d.Name, "node-local-dns") || strings.HasPrefix(d.Name, "nodelocaldns"))
}

// nodeCaches are the caches on the nodes that do not work.
type nodeCaches struct {
	set     *appsv1.DaemonSet
	down    []cacheDown
	killed  []corev1.Pod // for their memory
	lines   logs
	counted []metrics
}

// A cacheDown is a cache that is not ready or not there.
type cacheDown struct {
	node string
	pod  string // "" when there is none
	why  string
}

func (b *nodeCaches) find(pods []corev1.Pod, nodes []corev1.Node, now time.Time) {
	on := map[string]corev1.Pod{}
	for _, p := range pods {
		if p.Namespace == b.set.Namespace && !reach.Finished(&p) && p.DeletionTimestamp == nil && matches(b.set.Spec.Selector, p.Labels) {
			on[p.Spec.NodeName] = p
		}
	}
	for _, n := range nodes {
		p, there := on[n.Name]
		if !nodeReady(n) || !there && !b.belongs(n, now) {
			continue
		}
		if !there {
			b.down = append(b.down, cacheDown{node: n.Name, why: "there is no pod of it on the node"})
			continue
		}
		if at, ok := oomKilled(p); ok && (at.IsZero() || now.Sub(at) < time.Hour) {
			b.killed = append(b.killed, p)
		}
		if !reach.Ready(&p) && unreadyFor(p, now) >= 2*time.Minute {
			b.down = append(b.down, cacheDown{n.Name, p.Name, "pod " + p.Name + " is not ready"})
		}
	}
	slices.SortFunc(b.down, func(a, c cacheDown) int { return cmp.Compare(a.node, c.node) })
}

// belongs reports whether a pod of the DaemonSet should be on n: the
// DaemonSet says that it lacks some, and n is one that it goes to.
func (b *nodeCaches) belongs(n corev1.Node, now time.Time) bool {
	if b.set.Status.DesiredNumberScheduled <= b.set.Status.CurrentNumberScheduled || now.Sub(n.CreationTimestamp.Time) < 5*time.Minute ||
		n.Labels["kubernetes.io/os"] == "windows" || n.Labels[computeType] != "" {
		return false
	}
	spec := b.set.Spec.Template.Spec
	for k, v := range spec.NodeSelector {
		if n.Labels[k] != v {
			return false
		}
	}
	return !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Effect != corev1.TaintEffectPreferNoSchedule && !tolerated(spec.Tolerations, t)
	})
}

// unreadyFor is how long p has not been ready; long when it does not tell.
func unreadyFor(p corev1.Pod, now time.Time) time.Duration {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue && !c.LastTransitionTime.IsZero() {
			return now.Sub(c.LastTransitionTime.Time)
		}
	}
	return time.Hour
}

func (b *nodeCaches) ref() facts.Ref {
	return ref(facts.DaemonSets.Kind(), b.set.Namespace, b.set.Name)
}

func (b *nodeCaches) finding(pods []corev1.Pod) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  b.ref(),
		Evidence: []diagnose.Evidence{{
			Fact: b.ref().String() + " status", Got: fmt.Sprintf("%d of %d ready", b.set.Status.NumberReady, b.set.Status.DesiredNumberScheduled), Want: "all ready",
			Command: "kubectl -n kube-system get pods -o wide --field-selector=status.phase!=Succeeded -l " + selectorOf(b.set),
		}},
	}
	var nodes []string
	for _, d := range b.down {
		nodes = append(nodes, d.node)
		f.Affects = append(f.Affects, facts.Ref{Kind: facts.Nodes.Kind(), ID: d.node})
		if d.pod != "" {
			f.Affects = append(f.Affects, ref(facts.Pods.Kind(), b.set.Namespace, d.pod))
		}
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: "kube/nodes/" + d.node + " cache", Got: d.why, Want: "a pod that is Ready", Command: "kubectl -n kube-system get pods -o wide --field-selector=spec.nodeName=" + d.node})
	}
	for _, p := range b.killed {
		f.Affects = append(f.Affects, podRef(p), facts.Ref{Kind: facts.Nodes.Kind(), ID: p.Spec.NodeName})
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: podRef(p).String() + " lastState", Got: "OOMKilled", Want: "running", Command: "kubectl -n kube-system describe pod " + p.Name})
	}
	switch {
	case len(b.down) > 0:
		f.Claim = fmt.Sprintf("NodeLocal DNSCache does not answer on %s, so the %s there cannot resolve names", diagnose.Some(nodes), diagnose.Count(clients(pods, nodes), "pod"))
	case len(b.killed) > 0:
		f.Claim = fmt.Sprintf("NodeLocal DNSCache was killed for its memory on %s within the hour; each time the pods there could not resolve names", diagnose.Some(nodesOf(b.killed)))
	default:
		f.Severity = diagnose.Risk
		f.Claim = fmt.Sprintf("NodeLocal DNSCache could not set itself up (%s)", b.lines.sum().sample)
	}
	if len(b.lines) > 0 {
		f.Evidence = append(f.Evidence, logEvidence(b.lines.sum(), false, "its interface and rules are set up"))
	}
	for _, m := range b.counted {
		for sort, n := range m.setupErrors {
			if n > 0 && strings.Contains(m.pod, "/"+b.set.Name) {
				f.Evidence = append(f.Evidence, diagnose.Evidence{
					Fact: "metrics of " + m.pod, Got: fmt.Sprintf("%.0f setup errors of sort %s since its start", n, sort), Want: "0",
					Command: "kubectl get --raw /api/v1/namespaces/kube-system/pods/" + m.pod[len(system)+1:] + ":9353/proxy/metrics",
				})
			}
		}
	}
	f.Remedies = []remedy.Remedy{b.remedy()}
	return f
}

// clients counts the pods on nodes that ask the cluster's DNS.
func clients(pods []corev1.Pod, nodes []string) int {
	n := 0
	for i := range pods {
		if slices.Contains(nodes, pods[i].Spec.NodeName) && asks(&pods[i]) {
			n++
		}
	}
	return n
}

func nodesOf(pods []corev1.Pod) []string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Spec.NodeName)
	}
	return out
}

func selectorOf(d *appsv1.DaemonSet) string {
	if d.Spec.Selector == nil || d.Spec.Selector.MatchLabels["k8s-app"] == "" {
		return "k8s-app=node-local-dns"
	}
	return "k8s-app=" + d.Spec.Selector.MatchLabels["k8s-app"]
}

func (b *nodeCaches) remedy() remedy.Remedy {
	if len(b.killed) > 0 {
		return remedy.Remedy{
			Title:  "Give NodeLocal DNSCache more memory",
			Why:    "Its pods are replaced node by node; each node is without DNS for seconds.",
			Manual: []string{fmt.Sprintf("kubectl -n %s set resources daemonset/%s --limits=memory=256Mi", system, b.set.Name)},
		}
	}
	m := remedy.Remedy{
		Title: "See what keeps the cache from running, then let it start again",
		Why:   "A new pod sets up the interface and the rules again. Other nodes are not touched.",
	}
	for _, d := range b.down {
		if d.pod != "" {
			m.Manual = []string{
				fmt.Sprintf("kubectl -n %s logs %s --previous", system, d.pod),
				fmt.Sprintf("kubectl -n %s delete pod %s", system, d.pod),
			}
			return m
		}
	}
	m.Manual = []string{fmt.Sprintf("kubectl -n %s describe daemonset %s", system, b.set.Name)}
	return m
}
