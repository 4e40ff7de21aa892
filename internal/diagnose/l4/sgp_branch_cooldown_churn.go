package l4

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGPBranchCooldownChurn recognises nodes whose branch interfaces cool down
// while new pods wait for one.
var SGPBranchCooldownChurn = &diagnose.Check{
	ID:    "l4/sgp-branch-cooldown-churn",
	Title: "Branch interfaces of pods that are gone keep new pods waiting",
	Doc: `When a pod with security groups goes, its branch interface stays attached for the cooldown, 60 seconds unless the
ConfigMap amazon-vpc-cni says otherwise, so that nobody reuses its address too soon. The scheduler counts pods, not
interfaces: it sends the next pod to the node at once. If the node has no other branch interface left, the VPC resource
controller tries again after another cooldown, without any event, and the pod waits in ContainerCreating.

Recognised by pods that have a node for more than a minute, ask for a branch interface, have none and no event
BranchAllocationFailed, on a node whose trunk has all the branch interfaces that it may have, more than there are pods
with one.

Looks alike: as many pods as branch interfaces (the scheduler then says so, and the pod has no node); an EC2 error, which
has an event.

Fix: a shorter cooldown, 30 seconds at the least; or more room, so that nobody needs an interface that cools down.`,
	Needs:   []facts.Need{facts.Pods, facts.Nodes, facts.NetworkInterfaces},
	Wants:   []facts.Need{facts.ConfigMaps, facts.Events},
	Sources: []string{vpcController + "/blob/master/docs/sgp/sgp_config_options.md", vpcController + "/blob/master/docs/troubleshooting.md"},
	Run:     sgpBranchCooldownChurn,
}

// trunkTag is the tag that the VPC resource controller puts on a branch
// interface: the trunk that it hangs on.
const trunkTag = "vpcresources.k8s.aws/trunk-eni-id"

func sgpBranchCooldownChurn(v *facts.View) []diagnose.Finding {
	events, waiting := latestEvents(facts.Events.In(v)), map[string][]*corev1.Pod{}
	having := map[string]int{}
	pods := facts.Pods.In(v)
	for i := range pods {
		p := &pods[i]
		switch {
		case p.Spec.NodeName == "" || reach.Finished(p):
		case reach.HasBranch(p):
			having[p.Spec.NodeName]++
		case asksForBranch(p) && p.DeletionTimestamp == nil && v.At().Sub(scheduled(p)) > time.Minute && events[p.Namespace+"/"+p.Name]["BranchAllocationFailed"] == nil:
			waiting[p.Spec.NodeName] = append(waiting[p.Spec.NodeName], p)
		}
	}
	var findings []diagnose.Finding
	for _, n := range branchNodes(v) {
		attached := branchesOn(n, facts.NetworkInterfaces.In(v))
		if n.limit > 0 && len(waiting[n.Name]) > 0 && int64(attached) >= n.limit && having[n.Name] < attached {
			findings = append(findings, coolingDown(v, n, attached, attached-having[n.Name], waiting[n.Name]))
		}
	}
	return findings
}

// scheduled is when a pod got its node.
func scheduled(p *corev1.Pod) time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Time
		}
	}
	return p.CreationTimestamp.Time
}

// branchesOn counts the branch interfaces on a node's trunk.
func branchesOn(n branchNode, all []ec2types.NetworkInterface) int {
	var trunks []string
	for _, eni := range reach.InterfacesOf(n.Node, all) {
		if eni.InterfaceType == ec2types.NetworkInterfaceTypeTrunk {
			trunks = append(trunks, facts.Val(eni.NetworkInterfaceId))
		}
	}
	count := 0
	for _, eni := range all {
		if reach.IsBranch(eni) && slices.ContainsFunc(eni.TagSet, func(t ec2types.Tag) bool {
			return facts.Val(t.Key) == trunkTag && slices.Contains(trunks, facts.Val(t.Value))
		}) {
			count++
		}
	}
	return count
}

const (
	cooldownKey      = "branch-eni-cooldown"
	defaultCooldown  = 60 // seconds
	shortestCooldown = 30 // the controller takes no less
)

// cooldown is how many seconds a branch interface rests, and the value that
// says so; "" when none does.
func cooldown(v *facts.View) (int, string) {
	for _, m := range facts.ConfigMaps.In(v) {
		if m.Namespace == "kube-system" && m.Name == "amazon-vpc-cni" {
			if n, err := strconv.Atoi(m.Data[cooldownKey]); err == nil {
				return max(n, shortestCooldown), m.Data[cooldownKey]
			}
		}
	}
	return defaultCooldown, ""
}

func coolingDown(v *facts.View, n branchNode, attached, resting int, waiting []*corev1.Pod) diagnose.Finding {
	seconds, value := cooldown(v)
	configMap := facts.Ref{Kind: facts.ConfigMaps.Kind(), ID: "kube-system/amazon-vpc-cni"}
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  nodeRef(n.Node),
		Claim: fmt.Sprintf("%d of the %d branch interfaces of node %s belong to pods that are gone and cool down for %d seconds: %s (%s)", resting, attached, n.Name, seconds,
			waitFor(len(waiting)), diagnose.Some(podNames(waiting))),
		Evidence: []diagnose.Evidence{
			{Fact: nodeRef(n.Node).String() + " allocatable " + podENI, Got: fmt.Sprintf("%d, all %d attached, %d of pods that are there", n.limit, attached, attached-resting), Want: "one free for each pod that comes",
				Command: "aws ec2 describe-network-interfaces --filters Name=interface-type,Values=branch --query 'NetworkInterfaces[].[NetworkInterfaceId,TagSet]'"},
			{Fact: podRef(waiting[0]).String(), Got: fmt.Sprintf("has had a node since %s, no annotation %s", scheduled(waiting[0]).UTC().Format(time.RFC3339), podENI), Want: "a branch interface within seconds",
				Command: fmt.Sprintf("kubectl -n %s describe pod %s", waiting[0].Namespace, waiting[0].Name)},
			{Fact: configMap.String() + " " + cooldownKey, Got: cmp.Or(value, "not set: 60"), Want: "30 where pods come and go quickly", Command: "kubectl -n kube-system get configmap amazon-vpc-cni -o yaml"},
		},
	}
	f.Affects = refs(f.Subject, podRefs(waiting), []facts.Ref{configMap})
	if seconds > shortestCooldown && facts.ConfigMaps.Have(v) {
		f.Remedies = append(f.Remedies, remedy.Remedy{
			Title: "Shorten the cooldown to 30 seconds", Risk: remedy.Disruptive,
			Why:     "Interfaces come free sooner on all nodes. A new pod may get an address that neighbours still hold for another's: keep their ARP times as short.",
			Actions: remedy.Actions{remedy.SetConfigMapKey{Namespace: "kube-system", Name: "amazon-vpc-cni", Key: cooldownKey, From: value, To: strconv.Itoa(shortestCooldown)}},
		})
	}
	f.Remedies = append(f.Remedies, remedy.Remedy{
		Title: "Give these pods more nodes, or larger ones", Risk: remedy.Safe, Why: "Then a free interface is left while others cool down.",
		Manual: []string{"kubectl get nodes -o custom-columns='NAME:.metadata.name,TYPE:.metadata.labels.node\\.kubernetes\\.io/instance-type,BRANCHES:.status.allocatable.vpc\\.amazonaws\\.com/pod-eni'"},
	})
	return f
}

func waitFor(n int) string {
	if n == 1 {
		return "1 pod waits for one"
	}
	return fmt.Sprintf("%d pods wait for one", n)
}
