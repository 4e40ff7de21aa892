package l4

import (
	"fmt"
	"slices"
	"strings"

	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// ClusterAdditionalSGDeleted recognises a cluster whose configuration names a
// security group that is gone.
var ClusterAdditionalSGDeleted = &diagnose.Check{
	ID:    "l4/cluster-additional-sg-deleted",
	Title: "Cluster configuration names a security group that no longer exists",
	Doc: `EKS puts the security groups of the cluster's configuration on the network interfaces that it makes for the control
plane. When one was deleted, it cannot make new interfaces: upgrades and other updates fail, and a control plane that has to
be replaced cannot be. Until then everything works.

Recognised by an id in resourcesVpcConfig.securityGroupIds that is neither among the VPC's security groups nor on any
interface of the control plane. If EKS reports it in the cluster's health, it is more than a risk.

Looks alike: the cluster security group itself is gone, which no update repairs.

Fix: take the group out of the configuration, or name another one in its place.`,
	Needs: []facts.Need{facts.Clusters, facts.SecurityGroups, facts.NetworkInterfaces},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/troubleshooting.html#cluster-health-status",
	},
	Run: clusterAdditionalSGDeleted,
}

func clusterAdditionalSGDeleted(v *facts.View) []diagnose.Finding {
	cp, groups := controlPlaneOf(v), reach.GroupsOf(facts.SecurityGroups.In(v))
	if len(groups) == 0 || len(cp.hosts) == 0 {
		return nil
	}
	var gone, left []string
	for _, id := range cp.vpc.SecurityGroupIds {
		if _, ok := groups[id]; ok || slices.Contains(cp.groups(), id) {
			left = append(left, id)
		} else {
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	subject := facts.Ref{Kind: facts.Clusters.Kind(), ID: cp.name}
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  subject,
		Claim:    fmt.Sprintf("Cluster %s is configured with security group %s, which does not exist: EKS cannot replace the control plane's interfaces, and updates fail", cp.name, strings.Join(gone, ", ")),
		Evidence: []diagnose.Evidence{{
			Fact: subject.String(), Got: "securityGroupIds " + strings.Join(cp.vpc.SecurityGroupIds, ", "), Want: "groups that exist in " + facts.Val(cp.vpc.VpcId),
			Command: "aws eks describe-cluster --name " + cp.name + " --query cluster.resourcesVpcConfig.securityGroupIds",
		}, {
			Fact: groupRef(gone[0]).String(), Got: "not among the security groups of the VPC", Want: "to be there",
			Command: "aws ec2 describe-security-groups --group-ids " + strings.Join(gone, " "),
		}},
		Remedies: []remedy.Remedy{{
			Title: "Take the group out of the cluster's configuration", Why: "Name another one in its place if it admitted something that is needed. The list is replaced as a whole.", Risk: remedy.Safe,
			Manual: []string{fmt.Sprintf(`aws eks update-cluster-config --name %s --resources-vpc-config '{"securityGroupIds": [%s]}'`, cp.name, quoted(left))},
		}},
	}
	for _, id := range gone {
		f.Affects = append(f.Affects, groupRef(id))
	}
	if issue := healthIssue(facts.Clusters.In(v), cp.name); issue != "" {
		f.Severity = diagnose.Degraded
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: subject.String(), Got: issue, Want: "no health issue", Command: "aws eks describe-cluster --name " + cp.name + " --query cluster.health"})
	}
	return []diagnose.Finding{f}
}

// healthIssue is what EKS says of the cluster's security groups, "" for
// nothing.
func healthIssue(clusters []ekstypes.Cluster, name string) string {
	for _, c := range clusters {
		if facts.Val(c.Name) != name || c.Health == nil {
			continue
		}
		for _, i := range c.Health.Issues {
			if strings.Contains(string(i.Code), "SecurityGroup") {
				return string(i.Code) + ": " + facts.Val(i.Message)
			}
		}
	}
	return ""
}

// quoted is a list's content in JSON.
func quoted(ids []string) string {
	var out []string
	for _, id := range ids {
		out = append(out, fmt.Sprintf("%q", id))
	}
	return strings.Join(out, ", ")
}
