package l4

import (
	"fmt"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// ClusterSGRemoved recognises nodes that have nothing of what the cluster
// security group gives them.
var ClusterSGRemoved = &diagnose.Check{
	ID:    "l4/cluster-sg-removed",
	Title: "Cluster security group no longer joins control plane and nodes",
	Doc: `EKS makes one security group for each cluster, puts it on the control plane's interfaces and on managed nodes, and
gives it a rule that admits its own members. A launch template with security groups of its own replaces it unless it lists
it; and the rule can be revoked. Then nothing goes from the control plane to these nodes: no logs, no exec, no webhooks, no
metrics; and often the nodes cannot reach the API either.

Recognised by nodes on whose interface no security group admits anything at all from the control plane's interfaces, either
because they lack the cluster security group or because it does not admit its members. Nodes with groups that admit some
ports were set up on purpose: what they lack is reported port by port.

Looks alike: one port that is missing; a network ACL, which differs by subnet.

Fix: put the rule back, or admit all traffic between the two groups, which is what membership would do. New nodes get the
group from the launch template.`,
	Needs: []facts.Need{facts.Nodes, facts.Clusters, facts.NetworkInterfaces, facts.SecurityGroups},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html#launch-template-security-groups",
	},
	Run: clusterSGRemoved,
}

func clusterSGRemoved(v *facts.View) []diagnose.Finding {
	cp := controlPlaneOf(v)
	list := facts.SecurityGroups.In(v)
	groups, cluster := reach.GroupsOf(list), facts.Val(cp.vpc.ClusterSecurityGroupId)
	if _, known := groups[cluster]; !known || len(cp.hosts) == 0 {
		return nil
	}
	var cut []machine
	for _, n := range machines(facts.Nodes.In(v), facts.NetworkInterfaces.In(v)) {
		if len(n.Groups) > 0 && !slices.ContainsFunc(cp.hosts, func(h reach.Host) bool { return admitsSome(groups, n.Groups, h.Endpoint) }) {
			cut = append(cut, n)
		}
	}
	if len(cut) == 0 {
		return nil
	}
	return []diagnose.Finding{cutOff(cp, groups, list, cluster, cut)}
}

// admitsSome reports whether groups admit any TCP port from an endpoint, or
// may do so.
func admitsSome(groups reach.Groups, at []string, from reach.Endpoint) bool {
	ports := []int32{443, kubeletPort}
	for _, id := range at {
		for _, p := range groups[id].IpPermissions {
			if p.FromPort != nil && *p.FromPort > 0 {
				ports = append(ports, *p.FromPort)
			}
		}
	}
	return slices.ContainsFunc(ports, func(port int32) bool { return !groups.Admits(at, from, "tcp", port).Blocked() })
}

func cutOff(cp controlPlane, groups reach.Groups, list []ec2types.SecurityGroup, cluster string, cut []machine) diagnose.Finding {
	subject := groupRef(cluster)
	f := diagnose.Finding{Severity: diagnose.Degraded, Subject: subject}
	var others, names []string
	member := false
	run := remedy.Remedy{
		Title: "Admit all traffic between the control plane and these nodes",
		Why:   "That is what membership in the cluster security group gives. Nodes that start later need the group, or these rules, as well.",
		Risk:  remedy.Safe,
	}
	for _, n := range cut {
		f.Affects = append(f.Affects, nodeRef(n.Node))
		names = append(names, n.Name)
		if slices.Contains(n.Groups, cluster) {
			member = true
		} else if o := own(n.Groups, cp.groups()); !slices.Contains(others, o) {
			others = append(others, o)
		}
		if cp.vpc.EndpointPrivateAccess && groups.Admits(cp.hosts[0].Groups, n.Endpoint, "tcp", 443).Blocked() {
			f.Severity = diagnose.Outage
		}
	}
	if member {
		run.Actions = append(run.Actions, allTraffic(cluster, cluster))
	}
	for _, o := range others {
		f.Affects = append(f.Affects, groupRef(o))
		run.Actions = append(run.Actions, allTraffic(o, cluster))
		if !admitsAll(list, cluster, o) {
			run.Actions = append(run.Actions, allTraffic(cluster, o))
		}
	}
	f.Affects = refs(subject, f.Affects)
	f.Remedies = []remedy.Remedy{run}
	f.Claim = claimCut(cp.name, cluster, names, others, member)
	d := groups.Admits(cut[0].Groups, cp.hosts[0].Endpoint, "tcp", kubeletPort)
	f.Evidence = []diagnose.Evidence{{
		Fact: nodeRef(cut[0].Node).String(), Got: "security groups " + strings.Join(cut[0].Groups, ", ") + "; " + d.Text,
		Want:    "member of " + cluster + ", which admits its members",
		Command: "aws ec2 describe-security-groups --group-ids " + strings.Join(cut[0].Groups, " ") + " --query 'SecurityGroups[].[GroupId,IpPermissions]'",
	}, {
		Fact: "eks/clusters/" + cp.name, Got: "control plane interface " + cp.hosts[0].IP.String() + " in " + strings.Join(cp.hosts[0].Groups, ", "), Want: "admitted by the nodes' groups",
		Command: "aws ec2 describe-network-interfaces --filters 'Name=description,Values=Amazon EKS " + cp.name + "' --query 'NetworkInterfaces[].[PrivateIpAddress,Groups]'",
	}}
	return f
}

func claimCut(name, cluster string, nodes, others []string, member bool) string {
	n := len(nodes)
	if len(nodes) > 4 {
		nodes = append(nodes[:3:3], fmt.Sprintf("%d more", len(nodes)-3))
	}
	switch {
	case member && len(others) == 0:
		return fmt.Sprintf("Cluster security group %s does not admit its own members: the control plane of %s and %s (%s) cannot reach each other", cluster, name, diagnose.Count(n, "node"), strings.Join(nodes, ", "))
	default:
		return fmt.Sprintf("%s (%s) lack cluster security group %s, and %s admits nothing from the control plane", diagnose.Count(n, "node"), strings.Join(nodes, ", "), cluster, strings.Join(others, ", "))
	}
}
