package dns

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var corednsUnderscaled = &diagnose.Check{
	ID:    "dns/coredns-underscaled",
	Title: "CoreDNS has too few replicas for the load",
	Doc: `EKS installs two replicas of CoreDNS, and two they stay unless autoscaling is turned on. When they have more to do than
they can, lookups get slow, time out now and then, or are refused: forward takes no more than max_concurrent queries at a
time and answers REFUSED beyond that.

Recognised by what CoreDNS itself says in the last hour: "concurrent queries exceeded maximum", or that its own health
request took more than a second, which shows a process without CPU; or by metrics that are bad over its whole life: one query
in a thousand refused, or one in a hundred that took half a second, with upstreams that are quick. Fewer replicas than the proportional formula asks for
(one for 16 nodes or 256 cores) is told as a risk, in clusters that should have four or more and have half of it or less.

Looks alike: queries pile up just the same when an upstream does not answer; then the log is full of timeouts, and replicas
do not help. Counts of the metrics are since the start of the process; a few prove nothing of now.

Fixed by the add-on's autoscaling, or by more replicas where something else manages CoreDNS. NodeLocal DNSCache takes most of
the load off.`,
	Needs:    append([]facts.Need{facts.Nodes}, coreDNSNeeds...),
	Wants:    append([]facts.Need{facts.PodLogs, facts.PodMetrics, facts.Addons, facts.HPAs, facts.DaemonSets}, coreDNSWants...),
	CausedBy: []string{"dns/ndots5-amplification"},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/coredns-autoscaling.html",
		"https://docs.aws.amazon.com/eks/latest/best-practices/scale-cluster-services.html",
		"https://coredns.io/plugins/forward/",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		u := underscaled{coreDNS: newCoreDNS(v), all: autoscalers(v), counted: podMetrics(v), cached: nodeCached(v)}
		recent := coreDNSLogs(v).current().since(v.At().Add(-time.Hour))
		u.need = recommended(facts.Nodes.In(v))
		u.addon, u.managed = coreDNSAddon(v)
		if u.deployment == nil || u.endpoints == 0 {
			return nil
		}
		u.rejected, u.slow = recent.of(logConcurrent), recent.of(logSlowHealth)
		upstream := recent.of(logTimeout, logNoHealthy, logRefused, logUnreachable).sum().count
		if upstream >= u.rejected.sum().count {
			u.rejected = nil // they wait for the upstream
		}
		switch {
		case u.rejected.sum().count >= 5 || u.slow.sum().count >= 3 || u.starved() != "":
			return []diagnose.Finding{u.busy()}
		case u.need >= 4 && u.wanted()*2 <= u.need && len(u.all) == 0 && !u.cached:
			return []diagnose.Finding{u.small()}
		}
		return nil
	},
}

type underscaled struct {
	coreDNS
	need           int32 // replicas by the proportional formula
	all            []autoscaler
	rejected, slow logs
	counted        []metrics
	cached         bool // the nodes have caches
	addon          addon
	managed        bool
}

// nodeCached reports whether NodeLocal DNSCache takes the queries first.
func nodeCached(v *facts.View) bool {
	return slices.ContainsFunc(facts.DaemonSets.In(v), isNodeCache)
}

// recommended is how many replicas the formula of EKS's and of the
// proportional autoscaler asks for: one for 16 nodes or 256 cores, two at least.
func recommended(nodes []corev1.Node) int32 {
	var cores int64
	for _, n := range nodes {
		cores += n.Status.Capacity.Cpu().Value()
	}
	return int32(max((int64(len(nodes))+15)/16, (cores+255)/256, 2))
}

func (u underscaled) busy() diagnose.Finding {
	f := diagnose.Finding{Severity: diagnose.Degraded, Subject: u.ref(), Affects: u.affected(u.pods)}
	var what []string
	if n := u.rejected.sum().count; n >= 5 {
		what = append(what, fmt.Sprintf("it refused %d queries over max_concurrent", n))
		f.Evidence = append(f.Evidence, logEvidence(u.rejected.sum(), false, "no query refused"))
	}
	if n := u.slow.sum().count; n >= 3 {
		what = append(what, fmt.Sprintf("its own health request was too slow %d times", n))
		f.Evidence = append(f.Evidence, logEvidence(u.slow.sum(), false, "health requests well under a second"))
	}
	when := " in the last hour"
	if len(what) == 0 {
		what, when = []string{u.starved()}, ""
	}
	f.Claim = fmt.Sprintf("CoreDNS is overloaded with %s: %s%s, so lookups are slow or fail", diagnose.Count(int(u.wanted()), "replica"), strings.Join(what, ", and "), when)
	f.Evidence = append(f.Evidence, u.size())
	f.Evidence = append(f.Evidence, u.numbers()...)
	if box := container(u.deployment.Spec.Template.Spec); box != nil && !box.Resources.Limits.Cpu().IsZero() {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: u.ref().String() + " limits.cpu", Got: box.Resources.Limits.Cpu().String() + ", at which it is throttled", Want: "no CPU limit, as EKS installs it",
			Command: "kubectl -n kube-system get deployment " + u.deployment.Name + " -o jsonpath='{.spec.template.spec.containers[*].resources}'",
		})
	}
	f.Remedies = u.remedies(max(u.need, u.wanted()+2))
	return f
}

func (u underscaled) small() diagnose.Finding {
	return diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  u.ref(),
		Affects:  u.affected(u.pods),
		Claim: fmt.Sprintf("CoreDNS has %s and nothing that scales it, where a cluster of this size is given %d: a peak of lookups may be too much",
			diagnose.Count(int(u.wanted()), "replica"), u.need),
		Evidence: []diagnose.Evidence{u.size()},
		Remedies: u.remedies(u.need),
	}
}

func (u underscaled) size() diagnose.Evidence {
	want := fmt.Sprintf("%d by the formula of one for 16 nodes or 256 cores", u.need)
	if u.need <= u.wanted() {
		want = fmt.Sprintf("more: the size of the cluster asks for %d, its lookups for more", u.need)
	}
	return diagnose.Evidence{
		Fact: u.ref().String() + " spec.replicas", Got: fmt.Sprint(u.wanted()), Want: want,
		Command: "kubectl -n kube-system get deployment " + u.deployment.Name,
	}
}

// starved says what the metrics of a pod show over its whole life; "" unless
// it is plain: one in a thousand queries refused, or one in a hundred that
// took half a second though the upstreams are quick.
func (u underscaled) starved() string {
	for _, m := range u.counted {
		quick := true
		for _, up := range m.upstreams {
			p := quantile(up.latency, 0.99)
			quick = quick && (math.IsNaN(p) || p < 0.25)
		}
		switch {
		case m.requests < 1000 || !quick:
		case m.rejects >= 100 && m.rejects/m.requests > 0.001:
			return fmt.Sprintf("it refused %.0f of %.0f queries over max_concurrent since its start", m.rejects, m.requests)
		case m.p99() >= 0.5:
			return fmt.Sprintf("one in a hundred lookups took %gs or more since its start, though the upstreams are quick", min(m.p99()/2, 8))
		}
	}
	return ""
}

// numbers are the counts of the pod that did worst.
func (u underscaled) numbers() []diagnose.Evidence {
	worst := -1
	for i, m := range u.counted {
		if !math.IsNaN(m.p99()) && (worst < 0 || m.p99() > u.counted[worst].p99()) {
			worst = i
		}
	}
	if worst < 0 {
		return nil
	}
	m := u.counted[worst]
	return []diagnose.Evidence{{
		Fact: "metrics of " + m.pod + " since its start", Want: "an answer within 50ms in 99 of 100 cases, nothing rejected", Command: metricsCommand(m.pod),
		Got: fmt.Sprintf("99 of 100 answers within %gs, %.0f rejected", m.p99(), m.rejects),
	}}
}

func (u underscaled) remedies(to int32) []remedy.Remedy {
	more := remedy.ScaleDeployment{Namespace: u.deployment.Namespace, Name: u.deployment.Name, From: u.wanted(), To: to}
	if len(u.all) > 0 {
		m := remedy.Remedy{
			Title: "Raise what sets the number of CoreDNS replicas: " + u.all[0].what,
			Why:   "A number that is set beside it would be taken back.",
		}
		if set, ok := u.addon.configure("replicaCount", to); ok && u.all[0].field == "replicaCount" && len(u.all) == 1 {
			m.Actions = remedy.Actions{set}
		} else {
			m.Manual = []string{"kubectl -n kube-system get deployments,horizontalpodautoscalers"}
		}
		return []remedy.Remedy{m}
	}
	if set, ok := u.addon.configure("autoScaling", map[string]any{"enabled": true, "minReplicas": 2, "maxReplicas": max(10, to)}); u.managed && ok {
		return []remedy.Remedy{{
			Title:   "Turn the add-on's autoscaling of CoreDNS on",
			Why:     "EKS then keeps one replica for 16 nodes or 256 cores and scales up at peaks; it adds pods and takes none away at once.",
			Risk:    remedy.Safe,
			Actions: remedy.Actions{set},
		}}
	}
	return []remedy.Remedy{{
		Title:   fmt.Sprintf("Scale CoreDNS to %d replicas", to),
		Why:     "It adds pods; nothing restarts.",
		Risk:    remedy.Safe,
		Actions: remedy.Actions{more},
	}}
}
