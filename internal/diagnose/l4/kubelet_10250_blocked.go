package l4

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// Kubelet10250Blocked recognises nodes whose kubelet the control plane cannot
// reach.
var Kubelet10250Blocked = &diagnose.Check{
	ID:    "l4/kubelet-10250-blocked",
	Title: "Control plane cannot reach kubelets",
	Doc: `kubectl logs, exec, attach, port-forward and top go from the API server, through the control plane's network
interfaces, to port 10250 of the pod's node. If a security group or a network ACL drops that, they time out while pods run
as before. Nodes whose launch template names security groups without the cluster's are the usual case.

Recognised by following, for each interface "Amazon EKS CLUSTER" and each node's own interface, the security groups on both
sides and the ACLs of both subnets, for TCP 10250 and the answers to it. Only what is stopped for certain counts. Nodes
without an interface in the account, such as hybrid ones, are left out.

Looks alike: "tls: internal error" (the kubelet's certificate is not approved); a node that is NotReady or gone; a VPC range
that was added later and that the control plane does not know yet.

Fix: admit 10250 from the control plane's security group to the nodes'.`,
	Needs:    []facts.Need{facts.Nodes, facts.Clusters, facts.NetworkInterfaces, facts.SecurityGroups},
	Wants:    []facts.Need{facts.NetworkACLs},
	CausedBy: []string{"l4/cluster-sg-removed", "l4/sg-rules-limit-node-or-pod-sg", "l4/sg-stale-references", "l4/nacl-inbound-deny", "l4/nacl-ephemeral-return-blocked", "l4/nacl-between-subnets"},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html",
		"https://kubernetes.io/docs/concepts/architecture/control-plane-node-communication/#apiserver-to-kubelet",
	},
	Run: kubelet10250Blocked,
}

func kubelet10250Blocked(v *facts.View) []diagnose.Finding {
	cp := controlPlaneOf(v)
	nodes := machines(facts.Nodes.In(v), facts.NetworkInterfaces.In(v))
	byObject, order := map[facts.Ref][]stop{}, []facts.Ref{}
	for _, s := range filtersOf(v).stops(kubeletCalls(cp, nodes)) {
		o := s.object()
		if byObject[o] == nil {
			order = append(order, o)
		}
		byObject[o] = append(byObject[o], s)
	}
	var findings []diagnose.Finding
	for _, o := range order {
		findings = append(findings, kubeletsBlocked(o, byObject[o], len(nodes)))
	}
	return findings
}

// kubeletCalls are the connections from the control plane to every kubelet.
func kubeletCalls(cp controlPlane, nodes []machine) []connection {
	var out []connection
	for _, n := range nodes {
		out = append(out, cp.calls(n.Host, kubeletPort, "kubelet of node "+n.Name, nodeRef(n.Node))...)
	}
	return out
}

func kubeletsBlocked(object facts.Ref, stops []stop, all int) diagnose.Finding {
	var about []facts.Ref
	for _, s := range stops {
		about = append(about, s.about...)
	}
	about = refs(object, about)
	var names []string
	for _, n := range about {
		names = append(names, n.ID)
	}
	if len(names) > 4 {
		names = append(names[:3:3], fmt.Sprintf("%d more", len(names)-3))
	}
	slices.Sort(names)
	return diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  object,
		Affects:  about,
		Claim: fmt.Sprintf("%s keeps the control plane from port 10250 of %d of %s (%s): kubectl logs, exec and top fail for their pods",
			object.ID, len(about), diagnose.Count(all, "node"), strings.Join(names, ", ")),
		Evidence: evidenceOf(stops),
		Remedies: ways(stops, "the control plane to the kubelets"),
	}
}
