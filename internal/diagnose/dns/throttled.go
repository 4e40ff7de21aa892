package dns

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var vpcResolverThrottled = &diagnose.Check{
	ID:    "dns/vpc-resolver-throttled",
	Title: "More packets go to the VPC's resolver than one network interface may send",
	Doc: `A network interface may send 1024 packets a second to link-local services: the VPC's resolver, by whichever of its addresses,
the instance metadata and the time service together. The limit cannot be raised, and what is beyond it is dropped without a trace
in flow logs or the resolver's query logs. A few CoreDNS pods on as many interfaces send all queries for names outside of the cluster,
times five and more by the search list: at peaks some time out, and many an application asks again.

Recognised by events of the last hour from the node monitoring agent: LinkLocalExceeded, which counts linklocal_allowance_exceeded, on
nodes where CoreDNS runs; by CoreDNS's own counters, when the pods behind one interface get more than 1024 answers a second from the
VPC's resolver, or come near it, and lookups of many domains time out there and at no other upstream. Without either it is a suspicion,
told as such: such timeouts in bursts, while most lookups get their answers, and CoreDNS is on two nodes or fewer.

Looks alike: a resolver that answers nothing (DNS support is off); names of one domain only; conntrack_allowance_exceeded, which is
another counter; an upstream of one's own, which the limit is not about.

Fix: more CoreDNS pods on more nodes; fewer queries: NodeLocal DNSCache, a longer cache, ndots 2 for busy clients.`,
	Needs: append([]facts.Need{facts.Nodes}, upstreamNeeds...),
	Wants: append([]facts.Need{facts.HPAs, facts.DaemonSets, facts.NetworkInterfaces}, upstreamWants...),
	Sources: []string{
		"https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html",
		"https://docs.aws.amazon.com/eks/latest/best-practices/monitoring_eks_workloads_for_network_performance_issues.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/node-health-nma.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		u := newUpstreams(v)
		if u.deployment == nil {
			return nil
		}
		t := throttle{upstreams: u, on: map[string]bool{}}
		for _, p := range u.pods {
			t.on[p.Spec.NodeName] = true
		}
		for _, e := range nodeEvents(v, "linklocal_allowance_exceeded", "LinkLocalExceeded") {
			if t.on[e.InvolvedObject.Name] || nodeCached(v) {
				t.events = append(t.events, e)
			}
		}
		if r, ok := t.busiestInterface(v); ok && t.tooMany(r) {
			t.measured = &r
		}
		if t.vpc() == nil && len(t.list) > 0 || len(t.events) == 0 && t.measured == nil && !t.suspected() {
			return nil
		}
		return []diagnose.Finding{t.finding(v)}
	},
}

type throttle struct {
	*upstreams
	on       map[string]bool // nodes with CoreDNS pods
	events   []corev1.Event  // that say so
	measured *rate           // that says so; nil when none does
}

// vpc is the VPC's resolver among the upstreams; nil for none.
func (t throttle) vpc() *upstream {
	i := slices.IndexFunc(t.list, func(up *upstream) bool { return up.vpc })
	if i < 0 {
		return nil
	}
	return t.list[i]
}

// suspected reports whether the timeouts look like those of the limit.
func (t throttle) suspected() bool {
	const burst, many = 20, 60 // failures in a minute, in an hour
	up := t.vpc()
	if up == nil || len(t.on) > 2 || len(t.on) == 0 {
		return false
	}
	if t.othersFail(up) {
		return false
	}
	n, part := up.failed()
	broken, silent := t.broken(up)
	peak := perMinute(up.lines.of(logTimeout))
	return broken && !silent && part < 0.5 && up.domain() == "" && (n >= many || peak >= burst)
}

// perMinute is how many lines fall into the minute with most of them.
func perMinute(l logs) int {
	most, in := 0, map[int64]int{}
	for _, x := range l {
		m := x.at.Unix() / 60
		in[m] += x.count
		most = max(most, in[m])
	}
	return most
}

func (t throttle) finding(v *facts.View) diagnose.Finding {
	f := diagnose.Finding{Severity: diagnose.Degraded, Subject: t.ref(), Affects: t.affected(t.pods)}
	nodes := eventNodes(t.events)
	for _, n := range nodes {
		f.Affects = append(f.Affects, facts.Ref{Kind: facts.Nodes.Kind(), ID: n})
	}
	up := t.vpc()
	switch {
	case len(nodes) > 0:
		f.Claim = fmt.Sprintf("Node %s sends more packets to the VPC's resolver than the 1024 a second of a network interface: what CoreDNS asks there is dropped in part", diagnose.Some(nodes))
		f.Evidence = append(f.Evidence, eventEvidence(t.events, "no packet dropped"))
	case t.measured != nil:
		f.Claim = t.measured.claim(up)
	default:
		f.Claim = fmt.Sprintf("CoreDNS, on %s, probably sends more packets to the VPC's resolver than the 1024 a second of a network interface: %d lookups timed out in the last hour, up to %d in a minute, for many domains, and most were answered",
			diagnose.Count(len(t.on), "node"), up.lines.sum().count, perMinute(up.lines))
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: "linklocal_allowance_exceeded of the nodes with CoreDNS", Got: "not read: no node monitoring agent tells of it", Want: "0, and no more at peaks",
			Command: "ethtool -S ens5 | grep linklocal_allowance_exceeded",
		})
	}
	if t.measured != nil {
		f.Affects = append(f.Affects, facts.Ref{Kind: facts.NetworkInterfaces.Kind(), ID: t.measured.eni})
		f.Evidence = append(f.Evidence, t.measured.evidence())
	}
	if up != nil && len(up.lines) > 0 {
		f.Evidence = append(f.Evidence, up.lineEvidence(), t.countEvidence(up))
	}
	f.Evidence = append(f.Evidence, diagnose.Evidence{
		Fact: t.ref().String() + " pods", Got: fmt.Sprintf("%s on %s", diagnose.Count(len(t.pods), "pod"), diagnose.Count(len(t.on), "node")), Want: "more nodes: each has a limit of its own",
		Command: "kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide",
	})
	f.Remedies = t.remedies(v)
	return f
}

func (t throttle) remedies(v *facts.View) []remedy.Remedy {
	var out []remedy.Remedy
	fit := t.fit(facts.Nodes.In(v))
	size := underscaled{coreDNS: t.coreDNS, all: autoscalers(v), need: recommended(facts.Nodes.In(v)), addon: t.addon, managed: t.managed}
	more := min(size.wanted()*2, int32(len(fit)))
	switch {
	case nodeCached(v): // the caches ask, each from its own node
	case len(t.on) == 1 && len(t.pods) > 1 && len(fit) > 1:
		lie := spread{coreDNS: t.coreDNS, fit: fit, scaled: len(size.all) > 0, addon: t.addon, managed: t.managed}
		out = append(out, lie.remedies()...)
	case more > size.wanted() && len(size.all) == 0:
		out = append(out, t.moreReplicas(more))
	default:
		out = append(out, size.remedies(size.wanted()*2)...)
	}
	return append(out, remedy.Remedy{
		Title:  "Send fewer queries to the VPC's resolver",
		Why:    "A client whose names have two dots or more needs no search list (ndots 2), which saves most of its queries. A longer cache in the Corefile helps, and NodeLocal DNSCache asks from the interface of each node.",
		Manual: []string{showCorefile, "kubectl get pods -A -o wide --field-selector spec.nodeName=" + t.busiest()},
	})
}

// busiest is the node that an event is about, or one that CoreDNS runs on.
func (t throttle) busiest() string {
	if nodes := eventNodes(t.events); len(nodes) > 0 {
		return nodes[0]
	}
	return slices.Min(slices.Collect(maps.Keys(t.on)))
}

// moreReplicas runs one CoreDNS pod on each of more nodes.
func (t throttle) moreReplicas(n int32) remedy.Remedy {
	r := remedy.Remedy{
		Title: fmt.Sprintf("Run %d replicas of CoreDNS", n), Why: "The scheduler prefers different nodes for them, each of which has a limit of its own. It adds pods; nothing restarts.", Risk: remedy.Safe,
		Actions: remedy.Actions{remedy.ScaleDeployment{Namespace: t.deployment.Namespace, Name: t.deployment.Name, From: t.wanted(), To: n}},
	}
	if set, ok := t.addon.configure("replicaCount", n); t.managed && ok {
		r.Actions = remedy.Actions{set}
	}
	return r
}

// eventNodes are the nodes that events are about, each once.
func eventNodes(events []corev1.Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.InvolvedObject.Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// eventEvidence shows the newest of events of nodes.
func eventEvidence(events []corev1.Event, want string) diagnose.Evidence {
	newest := slices.MaxFunc(events, func(a, b corev1.Event) int { return facts.LastSeen(&a).Compare(facts.LastSeen(&b)) })
	got := fmt.Sprintf("%s at %s: %s", newest.Reason, facts.LastSeen(&newest).UTC().Format("15:04:05Z"), strings.TrimSpace(facts.Redact(newest.Message)))
	if n := len(events) - 1; n > 0 {
		got += fmt.Sprintf(" (and %s of %s)", diagnose.Count(n, "more event"), diagnose.Some(eventNodes(events)))
	}
	return diagnose.Evidence{
		Fact: "events of node " + newest.InvolvedObject.Name, Got: got, Want: want,
		Command: "kubectl get events -A --field-selector involvedObject.kind=Node,reason=" + newest.Reason,
	}
}
