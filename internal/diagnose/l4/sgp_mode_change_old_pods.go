package l4

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGPModeChangeOldPods recognises pods that still have what they got at their
// start, before the policy that selects them was made or changed.
var SGPModeChangeOldPods = &diagnose.Check{
	ID:    "l4/sgp-mode-change-old-pods",
	Title: "Pods from before a SecurityGroupPolicy keep their former security groups",
	Doc: `Which interface a pod has, with which security groups, is decided once, when the pod is created. After
ENABLE_POD_ENI was turned on, or a SecurityGroupPolicy made or changed, pods that run keep what they have: some replicas of a
Deployment then behave otherwise than the rest.

Recognised by pods that policies select, of which one of these holds: they have no branch interface and are older than the
policy, or siblings of theirs have one; or they have one with other groups than the policies name now. A pod that would not
start again, for want of nodes with branch interfaces, is not counted: that must be mended first.

Looks alike: a policy that matches the new pods no more than the old ones; ENABLE_POD_ENI not true.

Fix: restart the workload. Nothing but a new pod gets another interface.`,
	Needs:   []facts.Need{facts.Pods, facts.Nodes, facts.DaemonSets, facts.SecurityGroupPolicies},
	Wants:   []facts.Need{facts.ServiceAccounts, facts.NetworkInterfaces, facts.Deployments, facts.StatefulSets},
	Sources: []string{sgpGuide, cniReadme, vpcController + "/blob/master/webhooks/core/pod_webhook.go"},
	Run:     sgpModeChangeOldPods,
}

// Leftovers are the pods of one workload that have not what policies say.
type leftovers struct {
	maker    workload
	policies []*facts.SecurityGroupPolicy
	bare     []*corev1.Pod // without a branch interface
	other    []branchPod   // with one, in other groups
	newer    []*corev1.Pod // siblings that have what they should
}

func sgpModeChangeOldPods(v *facts.View) []diagnose.Finding {
	if s := podSettingsOf(v); !s.known || !s.enabled {
		return nil
	}
	var findings []diagnose.Finding
	for _, l := range left(v) {
		if l.isFault() {
			findings = append(findings, l.finding())
		}
	}
	return findings
}

// left finds, for each workload that policies select, the pods that do not
// have what those say.
func left(v *facts.View) []*leftovers {
	policies, known, makers, nodes := facts.SecurityGroupPolicies.In(v), accountsOf(v), workloads(v), branchNodes(v)
	branches := map[*corev1.Pod]branchPod{}
	for _, b := range branchPods(v) {
		branches[b.pod] = b
	}
	by, order := map[facts.Ref]*leftovers{}, []*leftovers{}
	pods := facts.Pods.In(v)
	for i := range pods {
		p := &pods[i]
		mine, unsure := podPolicies(policies, known, p)
		if len(mine) == 0 || unsure || p.Status.PodIP == "" || !living(p) || !mayHaveBranch(p) {
			continue
		}
		w := makerOf(p, makers)
		l := by[w.ref()]
		if l == nil {
			l = &leftovers{maker: w, policies: mine}
			by[w.ref()], order = l, append(order, l)
		}
		b, has := branches[p]
		switch {
		case has && !slices.Equal(reach.GroupIDs(b.eni), groupsOf(mine)):
			l.other = append(l.other, b)
		case reach.HasBranch(p) || asksForBranch(p):
			l.newer = append(l.newer, p)
		case slices.ContainsFunc(nodesFor(p, nodes), func(n branchNode) bool { return n.limit > 0 }):
			l.bare = append(l.bare, p)
		}
	}
	return order
}

// groupsOf are the groups that policies give together, sorted.
func groupsOf(policies []*facts.SecurityGroupPolicy) []string {
	var out []string
	for _, s := range policies {
		out = append(out, s.Spec.SecurityGroups.Groups...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// isFault reports whether the pods are older than what selects them, or their
// siblings show that new pods get what these have not.
func (l *leftovers) isFault() bool {
	if len(l.other) > 0 {
		return true
	}
	older := slices.ContainsFunc(l.bare, func(p *corev1.Pod) bool { return p.CreationTimestamp.Time.Before(l.since()) })
	return len(l.bare) > 0 && (older || len(l.newer) > 0)
}

// since is when the youngest of the policies was made.
func (l *leftovers) since() time.Time {
	var t time.Time
	for _, s := range l.policies {
		if s.CreationTimestamp.After(t) {
			t = s.CreationTimestamp.Time
		}
	}
	return t
}

func (l *leftovers) finding() diagnose.Finding {
	first := l.policies[0]
	policy := first.Namespace + "/" + first.Name
	old := slices.Clone(l.bare)
	for _, b := range l.other {
		old = append(old, b.pod)
	}
	what := fmt.Sprintf("have no interface of their own, though SecurityGroupPolicy %s selects them", policy)
	if len(l.bare) == 0 {
		what = fmt.Sprintf("keep other security groups than SecurityGroupPolicy %s gives now", policy)
	}
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  l.maker.ref(),
		Claim:    fmt.Sprintf("Pods of %s started before the policy was made or changed, and %d of %d %s (%s)", l.maker.called(), len(old), len(old)+len(l.newer), what, diagnose.Some(podNames(old))),
		Evidence: l.evidence(),
		Remedies: []remedy.Remedy{l.restart()},
	}
	var policies []facts.Ref
	for _, s := range l.policies {
		policies = append(policies, sgPolicyRef(s))
	}
	f.Affects = refs(f.Subject, podRefs(old), policies)
	return f
}

func (l *leftovers) evidence() []diagnose.Evidence {
	want := strings.Join(groupsOf(l.policies), ", ")
	var out []diagnose.Evidence
	for _, p := range l.bare[:min(2, len(l.bare))] {
		out = append(out, diagnose.Evidence{
			Fact: podRef(p).String(), Got: "created " + p.CreationTimestamp.UTC().Format(time.RFC3339) + ", no annotation " + podENI, Want: "a branch interface with " + want,
			Command: fmt.Sprintf("kubectl -n %s get pod %s -o yaml", p.Namespace, p.Name),
		})
	}
	for _, b := range l.other[:min(2, len(l.other))] {
		out = append(out, diagnose.Evidence{
			Fact: podRef(b.pod).String() + " interface " + facts.Val(b.eni.NetworkInterfaceId), Got: strings.Join(reach.GroupIDs(b.eni), ", "), Want: want,
			Command: "aws ec2 describe-network-interfaces --network-interface-ids " + facts.Val(b.eni.NetworkInterfaceId) + " --query 'NetworkInterfaces[].Groups'",
		})
	}
	s := l.policies[0]
	out = append(out, diagnose.Evidence{
		Fact: sgPolicyRef(s).String(), Got: "created " + s.CreationTimestamp.UTC().Format(time.RFC3339), Want: "pods that started after its last change",
		Command: fmt.Sprintf("kubectl -n %s get securitygrouppolicy %s -o yaml", s.Namespace, s.Name),
	})
	for _, p := range l.newer[:min(1, len(l.newer))] {
		out = append(out, diagnose.Evidence{
			Fact: podRef(p).String(), Got: "asks for a branch interface, created " + p.CreationTimestamp.UTC().Format(time.RFC3339), Want: "the same for all replicas",
			Command: fmt.Sprintf("kubectl -n %s get pod %s -o yaml", p.Namespace, p.Name),
		})
	}
	return out
}

func (l *leftovers) restart() remedy.Remedy {
	actions, manual := l.maker.restart()
	return remedy.Remedy{
		Title:   "Restart " + l.maker.called(),
		Why:     "New pods get an interface with the policy's groups. They no longer have what their node's groups admit: see first that the policy's groups admit what they need.",
		Risk:    remedy.Disruptive,
		Actions: actions,
		Manual:  manual,
	}
}
