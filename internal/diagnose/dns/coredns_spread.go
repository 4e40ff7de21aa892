package dns

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

var corednsNotSpread = &diagnose.Check{
	ID:    "dns/coredns-not-spread",
	Title: "CoreDNS has a single replica, or all on one node or in one zone",
	Doc: `The scheduler puts CoreDNS pods on different nodes and in different zones if it can at the time when they start; nothing
moves them later. Pods that started while the cluster had one node lie together for ever, and DNS ends with that node. All
queries then also leave by one network interface, with its limit of packets to the VPC's resolver.

Recognised by one replica, or by ready pods that share a node or a zone while there are three nodes or more, in the case of
zones in more than one zone, that CoreDNS could run on. A PodDisruptionBudget that is missing is told along.

Looks alike: clusters of one or two nodes have little to spread over. While a node is down or drained, or a rollout goes on,
the pods have moved together for a while. Fargate gives each pod a node of its own.

Fixed by replacing the pods now that there are more nodes; by a spread constraint where the Deployment has none; by a second
replica.`,
	Needs: append([]facts.Need{facts.Nodes}, coreDNSNeeds...),
	Wants: append([]facts.Need{facts.Addons, facts.PodDisruptionBudgets, facts.HPAs}, coreDNSWants...),
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/best-practices/networking.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/managing-coredns.html",
		"https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c := newCoreDNS(v)
		s := spread{coreDNS: c, budgeted: budgeted(v, c), known: facts.PodDisruptionBudgets.Have(v), fit: c.fit(facts.Nodes.In(v)), scaled: len(autoscalers(v)) > 0}
		s.addon, s.managed = coreDNSAddon(v)
		if c.deployment == nil || c.unsettled(facts.Nodes.In(v)) || len(s.fit) < 3 {
			return nil
		}
		if what, want := s.together(); what != "" {
			return []diagnose.Finding{s.finding(what, want)}
		}
		return nil
	},
}

// A spread is how the replicas lie on the nodes.
type spread struct {
	coreDNS
	fit      []corev1.Node // nodes that CoreDNS could run on
	budgeted bool
	known    bool // whether there is a budget is known
	scaled   bool // something sets the number of replicas
	addon    addon
	managed  bool
}

// fit are the nodes that CoreDNS could run on.
func (c coreDNS) fit(nodes []corev1.Node) []corev1.Node {
	if c.deployment == nil {
		return nil
	}
	spec := c.deployment.Spec.Template.Spec
	return slices.DeleteFunc(slices.Clone(nodes), func(n corev1.Node) bool {
		if !nodeReady(n) || n.Spec.Unschedulable || n.Labels["kubernetes.io/os"] == "windows" || n.Labels[computeType] != "" {
			return true
		}
		for k, v := range spec.NodeSelector {
			if n.Labels[k] != v {
				return true
			}
		}
		return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
			return t.Effect != corev1.TaintEffectPreferNoSchedule && !tolerated(spec.Tolerations, t)
		})
	})
}

// unsettled reports whether pods are on the move: a node is down or drained,
// or a rollout is under way.
func (c coreDNS) unsettled(nodes []corev1.Node) bool {
	st := c.deployment.Status
	if st.UpdatedReplicas != st.Replicas || st.UnavailableReplicas > 0 || c.deployment.Generation > st.ObservedGeneration && st.ObservedGeneration > 0 {
		return true
	}
	return slices.ContainsFunc(nodes, func(n corev1.Node) bool { return !nodeReady(n) || n.Spec.Unschedulable })
}

// together says what all replicas share; "" when nothing is to be said.
func (s spread) together() (what, want string) {
	nodes, zones := map[string]bool{}, map[string]bool{}
	ready := 0
	for _, p := range s.pods {
		if reach.Ready(&p) {
			ready++
			nodes[p.Spec.NodeName] = true
			zones[s.zoneOf(p.Spec.NodeName)] = true
		}
	}
	all := map[string]bool{}
	for _, n := range s.fit {
		all[n.Labels[corev1.LabelTopologyZone]] = true
	}
	switch {
	case ready == 1 && s.wanted() == 1:
		return "has a single replica, on node " + s.pods[0].Spec.NodeName, "2 or more, on different nodes"
	case ready < 2:
		return "", ""
	case len(nodes) == 1:
		return fmt.Sprintf("has all its %d replicas on node %s", ready, first(nodes)), fmt.Sprintf("different nodes: it could run on %d", len(s.fit))
	case len(zones) == 1 && len(all) > 1 && first(zones) != "":
		return fmt.Sprintf("has all its %d replicas in zone %s", ready, first(zones)), fmt.Sprintf("different zones: it could run in %d", len(all))
	}
	return "", ""
}

func (s spread) zoneOf(node string) string {
	for _, n := range s.fit {
		if n.Name == node {
			return n.Labels[corev1.LabelTopologyZone]
		}
	}
	return ""
}

func first(set map[string]bool) string {
	for k := range set {
		return k
	}
	return ""
}

func (s spread) finding(what, want string) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  s.ref(),
		Affects:  s.affected(s.pods),
		Claim:    fmt.Sprintf("CoreDNS %s: when that goes, no pod resolves names until another starts", what),
		Evidence: []diagnose.Evidence{{
			Fact: s.ref().String() + " pods", Got: what, Want: want, Command: "kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide",
		}},
	}
	if s.known && !s.budgeted {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: "kube/poddisruptionbudgets in kube-system", Got: "none selects the CoreDNS pods", Want: "one with maxUnavailable 1",
			Command: "kubectl -n kube-system get poddisruptionbudgets",
		})
	}
	f.Remedies = s.remedies()
	return f
}

func (s spread) remedies() []remedy.Remedy {
	var out []remedy.Remedy
	switch {
	case s.wanted() == 1:
		out = append(out, s.second())
	case spreads(s.deployment):
		out = append(out, remedy.Remedy{
			Title:   "Replace the CoreDNS pods",
			Why:     "The scheduler puts the new ones on different nodes now that there are more; one after the other is replaced.",
			Risk:    remedy.Disruptive,
			Actions: remedy.Actions{remedy.Restart(s.workload(), s.deployment.Spec.Template.ObjectMeta)},
		})
	default:
		out = append(out, s.constrain())
	}
	if s.known && !s.budgeted && s.deployment.Spec.Selector != nil {
		out = append(out, remedy.Remedy{
			Title: "Let a drain take one CoreDNS pod at a time",
			Why:   "A PodDisruptionBudget makes drains wait until another replica is ready.",
			Risk:  remedy.Safe,
			Actions: remedy.Actions{remedy.CreatePodDisruptionBudget{Budget: remedy.Budget{
				Namespace: system, Name: deployment, Selector: *s.deployment.Spec.Selector, MaxUnavailable: intstr.FromInt32(1),
			}}},
		})
	}
	return out
}

// second adds a replica; what already sets the number must be told instead.
func (s spread) second() remedy.Remedy {
	m := remedy.Remedy{Title: "Run 2 replicas of CoreDNS", Why: "Two are what EKS installs; the scheduler prefers different nodes for them.", Risk: remedy.Safe}
	switch a, ok := s.addon.configure("replicaCount", 2); {
	case s.scaled:
		m.Why = "Something sets the number of replicas; its minimum must be 2."
		m.Manual = []string{"kubectl -n kube-system get deployments,horizontalpodautoscalers"}
	case s.managed && ok:
		m.Actions = remedy.Actions{a}
	default:
		m.Actions = remedy.Actions{remedy.ScaleDeployment{Namespace: system, Name: s.deployment.Name, From: s.wanted(), To: 2}}
	}
	return m
}

// constrain spreads by a constraint, in the add-on's configuration if it is one.
func (s spread) constrain() remedy.Remedy {
	wish := remedy.Spread(s.deployment)
	m := remedy.Remedy{
		Title:   "Spread CoreDNS over nodes and zones",
		Why:     "It is a wish, not a condition: no pod stays Pending over it. The pods are replaced one after the other.",
		Risk:    remedy.Disruptive,
		Actions: remedy.Actions{wish},
	}
	if s.managed {
		if a, ok := s.addon.configure("topologySpreadConstraints", wish.To); ok {
			m.Actions = remedy.Actions{a}
		}
	}
	return m
}

// spreads reports whether d already asks for different nodes.
func spreads(d *appsv1.Deployment) bool {
	spec := d.Spec.Template.Spec
	byHost := slices.ContainsFunc(spec.TopologySpreadConstraints, func(t corev1.TopologySpreadConstraint) bool { return t.TopologyKey == corev1.LabelHostname })
	return byHost || spec.Affinity != nil && spec.Affinity.PodAntiAffinity != nil
}

// budgeted reports whether a PodDisruptionBudget selects the CoreDNS pods.
func budgeted(v *facts.View, c coreDNS) bool {
	for _, b := range facts.PodDisruptionBudgets.In(v) {
		if b.Namespace == system && c.deployment != nil && matches(b.Spec.Selector, c.deployment.Spec.Template.Labels) {
			return true
		}
	}
	return false
}
