package dns

import (
	"fmt"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var sgBlocksDNS = &diagnose.Check{
	ID:    "dns/sg-blocks-dns",
	Title: "Security groups keep pods from CoreDNS",
	Doc: `A query to CoreDNS leaves the node of the pod that asks, unless both are on one node, and so has to pass two security
groups: out of that of the pod's interface, and into that of the CoreDNS pod's. Node groups with groups of their own, pods with
a SecurityGroupPolicy and groups whose rule for all egress was taken away lack the rule for port 53. Queries are dropped: pods of
those nodes wait for seconds and cannot resolve names, others can. A pod on the node of a CoreDNS pod gets every second answer.

Recognised by following UDP and TCP 53 from the interfaces of pods that use cluster DNS, of those of each set of groups and
subnet, to every ready CoreDNS pod. Where NodeLocal DNSCache runs the nodes ask, over TCP when its Corefile says force_tcp, as its
manifest does, and for the cluster's names only: others it asks the VPC's resolver for. Otherwise TCP alone is a failure mode of its
own. Rules with prefix lists, and groups that were not read, count as open.

Looks alike: a NetworkPolicy, which differs by namespace and not by node; a network ACL, which differs by subnet. Queries to the
VPC's own resolver pass no security group and no network ACL.

Fix: the rules for UDP and TCP 53 between the two groups.`,
	Needs: append([]facts.Need{facts.SecurityGroups}, wayNeeds...),
	Wants: append([]facts.Need{facts.NetworkACLs}, wayWants...),
	CausedBy: []string{"l4/node-to-node-sg-blocked", "l4/sg-egress-restricted", "l4/sgp-missing-dns-kubelet-rules", "l4/cluster-sg-removed",
		"l4/sg-rules-limit-node-or-pod-sg", "l4/sg-stale-references"},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/security-groups-for-pods.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		w := newQueryWay(v)
		cuts := w.cuts()
		var out []diagnose.Finding
		for _, f := range fences(w, cuts, func(c cut, p passage) bool { return p.group && w.decisive(cuts, c) }) {
			out = append(out, f.sgFinding(w))
		}
		return out
	},
}

// decisive reports whether most queries are cut where c is, and not only
// those that come after an answer too large for UDP.
func (w *queryWay) decisive(cuts []cut, c cut) bool {
	for _, o := range cuts {
		if w.mostly(o.protocol) && o.who == c.who && o.to.pod == c.to.pod {
			return true
		}
	}
	return false
}

func (f *fence) sgFinding(w *queryWay) diagnose.Finding {
	out := diagnose.Finding{Severity: f.severity(), Subject: f.object, Affects: f.affects(w), Evidence: f.evidence(w)}
	what := ""
	if other := f.others(false); len(other) > 0 {
		what = fmt.Sprintf("does not admit DNS queries (%s) from %s to CoreDNS", f.protocols(), between(f.object.ID, other))
	} else {
		what = fmt.Sprintf("does not let DNS queries (%s) out to CoreDNS in %s", f.protocols(), between(f.object.ID, f.others(true)))
	}
	out.Claim = fmt.Sprintf("Security group %s %s: %s", f.object.ID, what, f.effect(w))
	if rules := groupRules(f.cuts); len(rules) > 0 {
		out.Remedies = []remedy.Remedy{{
			Title:   "Let DNS queries through to CoreDNS",
			Why:     "The rules name the other side's security group and port 53 alone. Large answers need TCP as well.",
			Risk:    remedy.Safe,
			Actions: rules,
		}}
	}
	return out
}

// between names the groups on the other side.
func between(own string, others []string) string {
	if len(others) == 1 && others[0] == own {
		return "its own members"
	}
	return diagnose.Some(others)
}

func (f *fence) severity() diagnose.Severity {
	if len(f.dead) > 0 {
		return diagnose.Outage
	}
	return diagnose.Degraded
}

// effect says what the fence means for whom.
func (f *fence) effect(w *queryWay) string {
	who := func(pods []string) string { return diagnose.Count(len(pods), "pod") + " (" + diagnose.Some(pods) + ")" }
	dead := podsOf(f.dead)
	switch {
	case w.cached && len(dead) > 0:
		return fmt.Sprintf("the DNS caches of %s (%s) ask it%s and get no answer, so the cluster's names do not resolve there", diagnose.Count(len(dead), "node"), diagnose.Some(w.nodesOf(f.dead)), w.over())
	case len(dead) > 0:
		return who(dead) + " cannot resolve names"
	}
	reached := map[string]bool{}
	for _, c := range f.cuts {
		reached[c.to.pod.Name] = true
	}
	return fmt.Sprintf("%s cannot reach %d of %d CoreDNS pods, so part of the lookups times out", who(f.pods()), len(reached), len(w.servers))
}
