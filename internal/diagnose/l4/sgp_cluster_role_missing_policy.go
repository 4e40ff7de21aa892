package l4

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGPClusterRoleMissingPolicy recognises a cluster whose IAM role may not make
// trunk and branch interfaces.
var SGPClusterRoleMissingPolicy = &diagnose.Check{
	ID:    "l4/sgp-cluster-role-missing-policy",
	Title: "Cluster role may not make interfaces for pods with security groups",
	Doc: `The VPC resource controller runs in the control plane with the cluster's IAM role. Trunk and branch interfaces need
what the managed policy AmazonEKSVPCResourceController allows. Without it no node gets a trunk after the feature was turned
on, and pods that a SecurityGroupPolicy selects stay Pending.

Recognised by the event TrunkENICreationFailed with an authorization error on a node that still has no branch interfaces, or
BranchAllocationFailed with one for a pod that still waits.

Looks alike: the same event with another code, such as InsufficientFreeAddressesInSubnet; a node without a free slot for a
trunk; an instance type that cannot have one.

Fix: attach the policy to the cluster role. A permissions boundary or a service control policy can deny the same.`,
	Needs:   []facts.Need{facts.Events, facts.Nodes},
	Wants:   []facts.Need{facts.Clusters, facts.Pods},
	Sources: []string{sgpGuide, vpcController},
	Run:     sgpClusterRoleMissingPolicy,
}

// unauthorized reports whether a message of the controller is about a missing
// permission.
func unauthorized(message string) bool {
	return strings.Contains(message, "UnauthorizedOperation") || strings.Contains(message, "AccessDenied") || strings.Contains(message, "not authorized to perform")
}

func sgpClusterRoleMissingPolicy(v *facts.View) []diagnose.Finding {
	f := diagnose.Finding{Severity: diagnose.Risk}
	said := nodeEvents(v)
	var nodes []branchNode
	for _, n := range branchNodes(v) {
		e := said[n.Name]["TrunkENICreationFailed"]
		if e == nil || n.limit > 0 || !unauthorized(e.Message) {
			continue
		}
		nodes = append(nodes, n)
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: nodeRef(n.Node).String() + " event TrunkENICreationFailed", Got: e.Message, Want: "NodeTrunkInitiated",
			Command: "kubectl get events -A --field-selector reason=TrunkENICreationFailed"})
	}
	waits := branchWaits(v)
	if len(nodes) == 0 {
		waits = nil
	}
	pods, events := facts.Pods.In(v), latestEvents(facts.Events.In(v))
	for i := range pods {
		p := &pods[i]
		e := events[p.Namespace+"/"+p.Name]["BranchAllocationFailed"]
		if e == nil || !living(p) || p.Status.PodIP != "" || !unauthorized(e.Message) {
			continue
		}
		waits = append(waits, branchNeed{pod: p, waits: true})
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: podRef(p).String() + " event BranchAllocationFailed", Got: e.Message, Want: "ResourceAllocated",
			Command: "kubectl get events -A --field-selector reason=BranchAllocationFailed"})
	}
	if len(f.Evidence) == 0 {
		return nil
	}
	f.Evidence = f.Evidence[:min(3, len(f.Evidence))]
	about := nodeRefs(nodes)
	for _, w := range waits {
		f.Severity = diagnose.Outage
		about = append(about, podRef(w.pod))
	}
	r := clusterRoleOf(v)
	f.Subject, f.Claim, f.Remedies = r.cluster, r.claim(nodes, waits), r.remedies()
	f.Affects = refs(f.Subject, about)
	return []diagnose.Finding{f}
}

// A clusterRole is the IAM role of the control plane; its name is "" while it
// is not known.
type clusterRole struct {
	cluster         facts.Ref
	arn, name, part string // part is the partition: aws, aws-cn, aws-us-gov
}

func clusterRoleOf(v *facts.View) clusterRole {
	r := clusterRole{cluster: facts.Ref{Kind: facts.Clusters.Kind(), ID: v.Cluster()}, part: "aws"}
	clusters := facts.Clusters.In(v)
	for _, c := range clusters {
		if facts.Val(c.Name) != v.Cluster() && len(clusters) > 1 {
			continue
		}
		r.cluster.ID = cmp.Or(facts.Val(c.Name), v.Cluster())
		r.arn = facts.Val(c.RoleArn)
		r.name = r.arn[strings.LastIndex(r.arn, "/")+1:]
		if parts := strings.Split(r.arn, ":"); len(parts) > 2 {
			r.part = parts[1]
		}
	}
	return r
}

func (r clusterRole) claim(nodes []branchNode, waits []branchNeed) string {
	role := "The cluster role"
	if r.name != "" {
		role += " " + r.name
	}
	claim := role + " may not make interfaces for pods with security groups (AmazonEKSVPCResourceController)"
	if len(nodes) > 0 {
		claim += fmt.Sprintf(": %s (%s) without a trunk", diagnose.Count(len(nodes), "node"), diagnose.Some(nodeNames(nodes)))
	}
	if len(waits) > 0 {
		var pods []string
		for _, w := range waits {
			pods = append(pods, w.pod.Namespace+"/"+w.pod.Name)
		}
		slices.Sort(pods)
		claim += fmt.Sprintf("; %s cannot start (%s)", diagnose.Count(len(waits), "pod"), diagnose.Some(pods))
	}
	return claim
}

func (r clusterRole) remedies() []remedy.Remedy {
	name := cmp.Or(r.name, "CLUSTER_ROLE")
	return []remedy.Remedy{{
		Title: "Attach AmazonEKSVPCResourceController to the cluster role",
		Why:   "The controller tries again by itself. If the policy is attached already, a permissions boundary or a service control policy denies it.",
		Risk:  remedy.Safe,
		Manual: []string{
			"aws iam list-attached-role-policies --role-name " + name,
			fmt.Sprintf("aws iam attach-role-policy --role-name %s --policy-arn arn:%s:iam::aws:policy/AmazonEKSVPCResourceController", name, r.part),
		},
	}}
}
