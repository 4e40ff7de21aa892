package dns

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var corednsPending = &diagnose.Check{
	ID:    "dns/coredns-pending",
	Title: "CoreDNS pods cannot be scheduled",
	Doc: `A CoreDNS pod that no node takes stays Pending. With all of them Pending no name resolves; with one of them Pending
the cluster has no spare.

Recognised by the condition PodScheduled=False with reason Unschedulable. The scheduler's message and the nodes tell why: a
taint that CoreDNS does not tolerate, too little CPU, memory or pod slots, an affinity, a spread constraint, cordoned nodes,
or no node at all.

Looks alike: a cluster whose only nodes are Fargate's, which is a finding of its own; a pod without an address has a node
already and waits in ContainerCreating. A replica that is Pending for less than five minutes while others answer is left
alone: the autoscaler may be bringing a node.

Fixed by a node that takes the pods: untaint one, add one, or tolerate the taint. The add-on's tolerations belong into its
configuration values; a patch of the managed Deployment is lost with the next add-on update.`,
	Needs:    coreDNSNeeds,
	Wants:    append([]facts.Need{facts.Nodes, facts.Addons}, coreDNSWants...),
	CausedBy: []string{"l4/private-endpoint-443-blocked", "l4/public-access-cidrs-exclude-nodes", "l3/private-subnet-no-default-route"},
	Sources: []string{
		"https://github.com/aws/containers-roadmap/issues/1389",
		"https://github.com/aws/containers-roadmap/issues/1930",
		"https://docs.aws.amazon.com/eks/latest/userguide/coredns-add-on-update.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c, nodes := newCoreDNS(v), facts.Nodes.In(v)
		a, managed := coreDNSAddon(v)
		if c.deployment == nil || onFargateOnly(nodes, c.pods) {
			return nil
		}
		stuck := c.unschedulable(v.At())
		if len(stuck) == 0 {
			return nil
		}
		p := pendingCoreDNS{c, stuck, schedulingProblem(stuck[0]), nodes, a, managed}
		return []diagnose.Finding{p.finding()}
	},
}

// patience is how long a replica may be Pending while others answer.
const patience = 5 * time.Minute

// unschedulable are the pods that no node takes.
func (c coreDNS) unschedulable(now time.Time) []corev1.Pod {
	var out []corev1.Pod
	for _, p := range c.pods {
		cond, ok := unscheduledSince(p)
		if ok && (c.endpoints == 0 || cond.LastTransitionTime.IsZero() || now.Sub(cond.LastTransitionTime.Time) >= patience) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func unscheduledSince(p corev1.Pod) (corev1.PodCondition, bool) {
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionFalse && cond.Reason == corev1.PodReasonUnschedulable {
			return cond, true
		}
	}
	return corev1.PodCondition{}, false
}

// problems are what the scheduler says of nodes, in the order in which they
// explain best (k8s.io/kubernetes, pkg/scheduler/framework/plugins).
var problems = []struct {
	text *regexp.Regexp
	kind string
}{
	{regexp.MustCompile(`untolerated taint`), "taint"},
	{regexp.MustCompile(`Insufficient [a-z/.-]+|Too many pods`), "room"},
	{regexp.MustCompile(`didn't match Pod's node affinity|didn't match pod affinity|node\(s\) didn't match`), "affinity"},
	{regexp.MustCompile(`didn't match pod topology spread|pod anti-affinity rules`), "spread"},
	{regexp.MustCompile(`were unschedulable`), "cordoned"},
	{regexp.MustCompile(`no nodes available`), "none"},
}

// schedulingProblem is what mostly keeps a pod from being scheduled: "" when
// the message does not tell.
func schedulingProblem(p corev1.Pod) string {
	cond, _ := unscheduledSince(p)
	for _, x := range problems {
		if x.text.MatchString(cond.Message) {
			return x.kind
		}
	}
	return ""
}

type pendingCoreDNS struct {
	coreDNS
	stuck   []corev1.Pod
	problem string
	nodes   []corev1.Node
	addon   addon
	managed bool
}

func (p pendingCoreDNS) finding() diagnose.Finding {
	cond, _ := unscheduledSince(p.stuck[0])
	f := diagnose.Finding{
		Severity: p.severity(diagnose.Risk),
		Subject:  p.ref(),
		Affects:  p.affected(p.stuck),
		Claim:    fmt.Sprintf("%s of %s/%s cannot be scheduled, %s: %s", diagnose.Count(len(p.stuck), "pod"), system, p.deployment.Name, p.why(), p.effect()),
		Evidence: []diagnose.Evidence{{
			Fact: podRef(p.stuck[0]).String() + " PodScheduled", Got: facts.Redact(cond.Message), Want: "scheduled on a node",
			Command: "kubectl -n kube-system describe pod " + p.stuck[0].Name,
		}},
		Remedies: p.remedies(),
	}
	if len(p.nodes) > 0 {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: "kube/nodes", Got: p.nodesText(), Want: "nodes that are Ready, with room and without a taint that CoreDNS does not tolerate",
			Command: "kubectl get nodes -o custom-columns=NAME:.metadata.name,UNSCHEDULABLE:.spec.unschedulable,TAINTS:.spec.taints",
		})
	}
	for _, t := range p.taints() {
		for _, n := range t.nodes[:min(len(t.nodes), 4)] {
			f.Affects = append(f.Affects, facts.Ref{Kind: facts.Nodes.Kind(), ID: n})
		}
	}
	return f
}

// why puts the scheduler's answer into words.
func (p pendingCoreDNS) why() string {
	switch p.problem {
	case "taint":
		var names []string
		for _, t := range p.taints() {
			names = append(names, fmt.Sprintf("%s (%s)", t, diagnose.Count(len(t.nodes), "node")))
		}
		if len(names) == 0 {
			return "as the nodes have taints that it does not tolerate"
		}
		return "as it does not tolerate taint " + diagnose.Some(names)
	case "room":
		return "as no node has room for it"
	case "affinity":
		return "as no node has the labels that it asks for"
	case "spread":
		return "as its spreading rules leave no node"
	case "cordoned":
		return "as the nodes are cordoned"
	case "none":
		return "as there is no node"
	}
	return "as no node takes it"
}

func (p pendingCoreDNS) nodesText() string {
	ready, cordoned := 0, 0
	for _, n := range p.nodes {
		if nodeReady(n) {
			ready++
		}
		if n.Spec.Unschedulable {
			cordoned++
		}
	}
	text := fmt.Sprintf("%s, %d Ready", diagnose.Count(len(p.nodes), "node"), ready)
	if cordoned > 0 {
		text += fmt.Sprintf(", %d cordoned", cordoned)
	}
	for _, t := range p.taints() {
		text += fmt.Sprintf("; %s on %s", t, diagnose.Some(t.nodes))
	}
	return text
}

func nodeReady(n corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// A nodeTaint is a taint with the nodes that have it.
type nodeTaint struct {
	corev1.Taint
	nodes []string
}

func (t nodeTaint) String() string {
	s := t.Key
	if t.Value != "" {
		s += "=" + t.Value
	}
	return s + ":" + string(t.Effect)
}

// ofNode reports whether Kubernetes sets the taint by a node's state; nobody
// should tolerate it to be scheduled.
func (t nodeTaint) ofNode() bool {
	return strings.HasPrefix(t.Key, "node.kubernetes.io/") || strings.HasPrefix(t.Key, "node.cloudprovider.kubernetes.io/") ||
		strings.HasPrefix(t.Key, "karpenter.sh/") || strings.Contains(t.Key, "agent-not-ready")
}

// taints are those that CoreDNS does not tolerate, the most frequent first.
func (p pendingCoreDNS) taints() []nodeTaint {
	var out []nodeTaint
	for _, n := range p.nodes {
		for _, t := range n.Spec.Taints {
			if t.Effect == corev1.TaintEffectPreferNoSchedule || tolerated(p.stuck[0].Spec.Tolerations, t) {
				continue
			}
			i := slices.IndexFunc(out, func(o nodeTaint) bool { return o.Key == t.Key && o.Value == t.Value && o.Effect == t.Effect })
			if i < 0 {
				i, out = len(out), append(out, nodeTaint{Taint: t})
			}
			out[i].nodes = append(out[i].nodes, n.Name)
		}
	}
	slices.SortStableFunc(out, func(a, b nodeTaint) int { return len(b.nodes) - len(a.nodes) })
	return out
}

func tolerated(all []corev1.Toleration, t corev1.Taint) bool {
	return slices.ContainsFunc(all, func(o corev1.Toleration) bool {
		if o.Effect != "" && o.Effect != t.Effect || o.Key != "" && o.Key != t.Key {
			return false
		}
		return o.Operator == corev1.TolerationOpExists || o.Key != "" && o.Value == t.Value
	})
}

// remedies are for a person: nodes and tolerations are a choice.
func (p pendingCoreDNS) remedies() []remedy.Remedy {
	show := remedy.Remedy{
		Title:  "Give CoreDNS a node that it can run on",
		Why:    "Its pods start by themselves once a node takes them.",
		Manual: []string{"kubectl -n kube-system describe pod " + p.stuck[0].Name},
	}
	taints := p.taints()
	if p.problem != "taint" || len(taints) == 0 {
		return []remedy.Remedy{show}
	}
	t := taints[0]
	if t.ofNode() {
		show.Title, show.Why = "Get the nodes ready", "The taint "+t.String()+" goes by itself when the node is; CoreDNS must not tolerate it."
		show.Manual = []string{"kubectl describe node " + t.nodes[0]}
		return []remedy.Remedy{show}
	}
	return []remedy.Remedy{{
		Title:  "Tolerate the taint " + t.String(),
		Why:    "CoreDNS then runs on the tainted nodes as well; its pods are replaced once.",
		Risk:   remedy.Disruptive,
		Manual: []string{p.tolerate(t.Taint)},
	}, {
		Title:  "Take the taint off " + diagnose.Some(t.nodes),
		Why:    "Other pods may then come to these nodes too.",
		Manual: []string{fmt.Sprintf("kubectl taint nodes %s %s-", strings.Join(t.nodes, " "), t)},
	}}
}

// tolerate is the command that adds a toleration to those of the Deployment.
func (p pendingCoreDNS) tolerate(t corev1.Taint) string {
	o := corev1.Toleration{Key: t.Key, Operator: corev1.TolerationOpExists, Effect: t.Effect}
	all := append(slices.Clone(p.deployment.Spec.Template.Spec.Tolerations), o)
	if p.managed {
		if a, ok := p.addon.configure("tolerations", all); ok {
			return a.Command()
		}
		return "aws eks describe-addon --cluster-name " + p.addon.cluster + " --addon-name coredns --query addon.configurationValues"
	}
	b, _ := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"tolerations": all}}}}) // plain data
	return fmt.Sprintf("kubectl -n %s patch deployment %s --type=merge -p '%s'", system, p.deployment.Name, b)
}
