package l4

import (
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// A branchNeed is a pod that a SecurityGroupPolicy gives a branch interface, and
// that has none.
type branchNeed struct {
	pod     *corev1.Pod
	waits   bool   // no node takes it for want of branch interfaces; else it runs with its node's groups
	message string // the scheduler's
}

const insufficient = "Insufficient " + podENI

// branchWaits are the pods that no node takes for want of branch interfaces.
func branchWaits(v *facts.View) []branchNeed {
	var out []branchNeed
	events := latestEvents(facts.Events.In(v))
	pods := facts.Pods.In(v)
	for i := range pods {
		p := &pods[i]
		if p.Spec.NodeName != "" || !living(p) {
			continue
		}
		if m := schedulerSays(p, events[p.Namespace+"/"+p.Name]["FailedScheduling"]); strings.Contains(m, insufficient) {
			out = append(out, branchNeed{p, true, m})
		}
	}
	return out
}

// schedulerSays is why a pod has no node: the condition is newer than events.
func schedulerSays(p *corev1.Pod, e *corev1.Event) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Message != "" {
			return c.Message
		}
	}
	if e != nil {
		return e.Message
	}
	return ""
}

// branchless are the pods that policies select and that run without a branch
// interface: the webhook did not see them with the policy as it is now. While
// ENABLE_POD_ENI is off, policies promise nothing, and there are none.
func branchless(v *facts.View) []branchNeed {
	if !podSettingsOf(v).enabled {
		return nil
	}
	policies, known := facts.SecurityGroupPolicies.In(v), accountsOf(v)
	var out []branchNeed
	pods := facts.Pods.In(v)
	for i := range pods {
		p := &pods[i]
		if p.Spec.NodeName == "" || p.Status.PodIP == "" || !living(p) || !mayHaveBranch(p) || asksForBranch(p) || reach.HasBranch(p) {
			continue
		}
		if mine, _ := podPolicies(policies, known, p); len(mine) > 0 {
			out = append(out, branchNeed{pod: p})
		}
	}
	return out
}

// A branchNode is a node with what it has for pods with security groups.
type branchNode struct {
	*corev1.Node
	limit int64 // branch interfaces that it may have; 0 without a trunk
	used  int64 // pods on it that asked for one
}

// branchNodes are the Linux instances on which aws-node runs.
func branchNodes(v *facts.View) []branchNode {
	used := map[string]int64{}
	pods := facts.Pods.In(v)
	for i := range pods {
		if p := &pods[i]; !reach.Finished(p) && (asksForBranch(p) || reach.HasBranch(p)) {
			used[p.Spec.NodeName]++
		}
	}
	var out []branchNode
	nodes := facts.Nodes.In(v)
	for i := range nodes {
		n := &nodes[i]
		if reach.Instance(n) == "" || n.Labels[corev1.LabelOSStable] == "windows" || n.Labels["eks.amazonaws.com/compute-type"] != "" {
			continue
		}
		q := n.Status.Allocatable[podENI]
		out = append(out, branchNode{n, q.Value(), used[n.Name]})
	}
	return out
}

// nodesFor are the nodes that a pod may go to by its selector, its affinity and
// their taints.
func nodesFor(p *corev1.Pod, all []branchNode) []branchNode {
	var out []branchNode
	for _, n := range all {
		if !n.Spec.Unschedulable && has(n.Labels, p.Spec.NodeSelector) && meetsAffinity(p, n.Node) && tolerates(p, n.Spec.Taints) {
			out = append(out, n)
		}
	}
	return out
}

// meetsAffinity reports whether a pod's required affinity lets it go to a node.
// The pods of DaemonSets are bound to theirs by its name, which is a field.
func meetsAffinity(p *corev1.Pod, n *corev1.Node) bool {
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	return slices.ContainsFunc(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms, func(t corev1.NodeSelectorTerm) bool {
		return meetsAll(t.MatchExpressions, n.Labels) && meetsAll(t.MatchFields, map[string]string{"metadata.name": n.Name}) && len(t.MatchExpressions)+len(t.MatchFields) > 0
	})
}

func meetsAll(all []corev1.NodeSelectorRequirement, l map[string]string) bool {
	return !slices.ContainsFunc(all, func(e corev1.NodeSelectorRequirement) bool { return !meets(e, l) })
}

var operators = map[corev1.NodeSelectorOperator]selection.Operator{
	corev1.NodeSelectorOpIn: selection.In, corev1.NodeSelectorOpNotIn: selection.NotIn, corev1.NodeSelectorOpExists: selection.Exists,
	corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist, corev1.NodeSelectorOpGt: selection.GreaterThan, corev1.NodeSelectorOpLt: selection.LessThan,
}

func meets(e corev1.NodeSelectorRequirement, l map[string]string) bool {
	r, err := labels.NewRequirement(e.Key, operators[e.Operator], e.Values)
	return err == nil && r.Matches(labels.Set(l))
}

func tolerates(p *corev1.Pod, taints []corev1.Taint) bool {
	return !slices.ContainsFunc(taints, func(t corev1.Taint) bool {
		return t.Effect != corev1.TaintEffectPreferNoSchedule && !slices.ContainsFunc(p.Spec.Tolerations, func(o corev1.Toleration) bool {
			keyed := o.Key == t.Key && (o.Operator == corev1.TolerationOpExists || o.Value == t.Value)
			return (o.Effect == "" || o.Effect == t.Effect) && (keyed || o.Key == "" && o.Operator == corev1.TolerationOpExists)
		})
	})
}

// isFull reports whether every branch interface of a node is taken.
func (n branchNode) isFull() bool { return n.limit > 0 && n.used >= n.limit }

func (n branchNode) instanceType() string { return n.Labels[corev1.LabelInstanceTypeStable] }

// noTrunk are the families that cannot have a trunk interface: those on Xen,
// all of t, and a few more (pkg/aws/vpc/limits.go of the VPC resource
// controller, October 2025; no API tells it).
var noTrunk = regexp.MustCompile(`^(t\d\w*|c[134]|cc\d|cg1|cr1|d2|f1|g[23]s?|h1|hi1|hs1|i2|m[1-4]|p[23]|r[34]|u-6tb1|x1e?)\.|^i3\.(\d*x?large)$|^i4i\.large$`)

// cannotTrunk reports whether a node's type is one without trunks: the
// controller said so, or it is one of those that are known.
func cannotTrunk(n branchNode, said map[string]map[string]*corev1.Event) bool {
	if n.limit > 0 {
		return false
	}
	if e := said[n.Name]["Unsupported"]; e != nil && strings.Contains(e.Message, "not supported for trunk interface") {
		return true
	}
	return noTrunk.MatchString(n.instanceType())
}

// nodeEvents are the latest events about nodes, by name and reason. Normal ones
// count: NodeTrunkFailedInit is one.
func nodeEvents(v *facts.View) map[string]map[string]*corev1.Event {
	out := map[string]map[string]*corev1.Event{}
	events := facts.Events.In(v)
	for i := range events {
		e := &events[i]
		if e.InvolvedObject.Kind != "Node" {
			continue
		}
		name := e.InvolvedObject.Name
		if out[name] == nil {
			out[name] = map[string]*corev1.Event{}
		}
		if old := out[name][e.Reason]; old == nil || !e.LastTimestamp.Time.Before(old.LastTimestamp.Time) {
			out[name][e.Reason] = e
		}
	}
	return out
}

// trunkSetup is how long a new node may take until it has a trunk.
const trunkSetup = 3 * time.Minute

// settled reports whether a node is ready and old enough to have a trunk.
func (n branchNode) settled(now time.Time) bool {
	return nodeReady(n.Node) && now.Sub(n.CreationTimestamp.Time) > trunkSetup
}

func nodeRefs(nodes []branchNode) []facts.Ref {
	var out []facts.Ref
	for _, n := range nodes {
		out = append(out, nodeRef(n.Node))
	}
	return out
}

func nodeNames(nodes []branchNode) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	return out
}

// addNodes adds nodes to a list, each once.
func addNodes(list, more []branchNode) []branchNode {
	for _, m := range more {
		if !slices.ContainsFunc(list, func(n branchNode) bool { return n.Name == m.Name }) {
			list = append(list, m)
		}
	}
	return list
}
