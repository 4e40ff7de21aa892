package dns

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var conntrackRace = &diagnose.Check{
	ID:    "dns/conntrack-race-5s",
	Title: "Nodes with an old kernel lose one of two parallel lookups, which takes 5 seconds",
	Doc: `glibc sends the queries for A and AAAA at once from one socket. Both become the same connection on their way to the ClusterIP of
kube-dns, and kernels before 5.1 may drop one of the two when they are entered at the same time: the client asks again after 5 seconds,
or 10. It happens now and then, and more under load.

Recognised by nodes with a kernel before 5.1 where lookups go to the ClusterIP: without NodeLocal DNSCache, which takes them past
the table. It is a risk: whether it happens only the node tells (conntrack -S, insert_failed). On newer kernels 5 seconds mean a lost
packet: look for the VPC resolver's limit, a CoreDNS pod that does not answer, or a full table first.

Looks alike: one CoreDNS pod of several that is not reached costs exactly as long.

Fix: nodes of a current image. Until then NodeLocal DNSCache, or for glibc the option single-request-reopen; musl has no such option.`,
	Needs: []facts.Need{facts.Nodes, facts.DaemonSets},
	Sources: []string{
		"https://github.com/kubernetes/kubernetes/issues/56903",
		"https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		if slices.ContainsFunc(facts.DaemonSets.In(v), isNodeCache) {
			return nil
		}
		var old []corev1.Node
		for _, n := range facts.Nodes.In(v) {
			if nodeReady(n) && racy(n.Status.NodeInfo.KernelVersion) && n.Labels["kubernetes.io/os"] != "windows" && n.Labels[computeType] == "" {
				old = append(old, n)
			}
		}
		if len(old) == 0 {
			return nil
		}
		slices.SortFunc(old, func(a, b corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
		return []diagnose.Finding{raceFinding(old)}
	},
}

var kernel = regexp.MustCompile(`^(\d+)\.(\d+)\.`)

// racy reports whether a kernel is older than 5.1; one that does not tell is not.
func racy(version string) bool {
	m := kernel.FindStringSubmatch(version)
	if m == nil {
		return false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return major < 5 || major == 5 && minor < 1
}

func raceFinding(old []corev1.Node) diagnose.Finding {
	f := diagnose.Finding{Severity: diagnose.Risk, Subject: facts.Ref{Kind: facts.Nodes.Kind(), ID: old[0].Name}}
	var names []string
	for _, n := range old {
		names = append(names, n.Name)
		if len(names) > 1 && len(names) <= 50 {
			f.Affects = append(f.Affects, facts.Ref{Kind: facts.Nodes.Kind(), ID: n.Name})
		}
	}
	f.Claim = fmt.Sprintf("%s (%s) with kernel %s may drop one of two lookups that a pod sends at once: it then takes 5 seconds",
		diagnose.Count(len(old), "node"), diagnose.Some(names), old[0].Status.NodeInfo.KernelVersion)
	f.Evidence = []diagnose.Evidence{{
		Fact: "kube/nodes/" + old[0].Name + " status.nodeInfo.kernelVersion", Got: old[0].Status.NodeInfo.KernelVersion, Want: "5.1 or later, or NodeLocal DNSCache",
		Command: "kubectl get nodes -o wide",
	}}
	f.Remedies = []remedy.Remedy{{
		Title: "Replace these nodes by ones of a current image", Why: "See first on a node whether insert_failed rises: only then is this what delays lookups.", Risk: remedy.Disruptive,
		Manual: []string{"conntrack -S | grep -o 'insert_failed=[0-9]*'", "kubectl get nodes -o wide"},
	}}
	return f
}
