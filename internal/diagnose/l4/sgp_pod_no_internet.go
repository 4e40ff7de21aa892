package l4

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGPPodNoInternet recognises pods with a branch interface in a public subnet:
// nothing translates their address.
var SGPPodNoInternet = &diagnose.Check{
	ID:    "l4/sgp-pod-no-internet",
	Title: "Pods with security groups in a public subnet have no way to the internet",
	Doc: `In strict mode the VPC CNI does not translate the address of a pod with a branch interface, so that the pod's own
groups judge its traffic. A branch interface has no public address. In a subnet whose default route leads to an internet
gateway, which drops what has no public address, such pods reach nothing outside the VPC, while other pods of the node do.

Recognised by strict mode and pods whose branch interface, without a public address, is in a subnet whose default route
leads to an internet gateway, and whose groups let them out to the internet: where those do not, nothing was meant to get
there.

Looks alike: a group whose egress is closed; a private subnet without a default route; all pods of a public subnet with
external SNAT on.

Fix: nodes for these pods in private subnets with a NAT gateway; or standard mode, in which the node's public address is used.`,
	Needs:   []facts.Need{facts.Pods, facts.DaemonSets, facts.NetworkInterfaces, facts.RouteTables, facts.SecurityGroups},
	Wants:   []facts.Need{facts.Addons},
	Sources: []string{sgpGuide, sgpPractices},
	Run:     sgpPodNoInternet,
}

// onTheInternet is an address that is nobody's (RFC 5737), for any on the internet.
var onTheInternet = reach.Endpoint{IP: netip.MustParseAddr("192.0.2.1")}

func sgpPodNoInternet(v *facts.View) []diagnose.Finding {
	if s := podSettingsOf(v); !s.known || !s.enabled || !s.strict {
		return nil
	}
	groups, tables := filtersOfGroups(v), facts.RouteTables.In(v)
	type public struct {
		table, gateway string
		pods           []*corev1.Pod
	}
	bySubnet, order := map[string]*public{}, []string{}
	for _, b := range branchPods(v) {
		if b.eni.Association != nil || !b.IP.Is4() || b.Subnet == "" || !groups.LetsOut(b.Groups, onTheInternet, "tcp", 443).Allowed {
			continue
		}
		table, _ := reach.TableOf(tables, b.VPC, b.Subnet)
		route, ok := reach.Default(table)
		if !ok || !reach.ToInternetGateway(route) || reach.IsBlackhole(route) {
			continue
		}
		x := bySubnet[b.Subnet]
		if x == nil {
			x = &public{table: facts.Val(table.RouteTableId), gateway: reach.Via(route)}
			bySubnet[b.Subnet], order = x, append(order, b.Subnet)
		}
		x.pods = append(x.pods, b.pod)
	}
	var findings []diagnose.Finding
	for _, id := range order {
		x := bySubnet[id]
		findings = append(findings, diagnose.Finding{
			Severity: diagnose.Degraded,
			Subject:  facts.Ref{Kind: facts.Subnets.Kind(), ID: id},
			Affects:  append(podRefs(x.pods), facts.Ref{Kind: facts.RouteTables.Kind(), ID: x.table}),
			Claim: fmt.Sprintf("Pods with security groups have no way to the internet from public subnet %s: in strict mode their address is not translated, and %s drops it (%s)",
				id, x.gateway, diagnose.Some(podNames(x.pods))),
			Evidence: []diagnose.Evidence{
				{Fact: "ec2/route-tables/" + x.table + " default route", Got: x.gateway, Want: "a NAT gateway", Command: "aws ec2 describe-route-tables --route-table-ids " + x.table + " --query 'RouteTables[].Routes'"},
				{Fact: podRef(x.pods[0]).String(), Got: "a branch interface without a public address", Want: "an interface in a subnet with a NAT gateway",
					Command: fmt.Sprintf("kubectl -n %s get pod %s -o jsonpath='{.metadata.annotations.vpc\\.amazonaws\\.com/pod-eni}'", x.pods[0].Namespace, x.pods[0].Name)},
				strictMode("").evidence(v, "standard, or nodes in private subnets"),
			},
			Remedies: noInternetRemedies(v),
		})
	}
	return findings
}

func noInternetRemedies(v *facts.View) []remedy.Remedy {
	return []remedy.Remedy{{
		Title: "Run these pods on nodes in private subnets with a NAT gateway",
		Why:   "Branch interfaces are made in their node's subnet. The NAT gateway translates the pods' addresses, and their own groups still judge the traffic.",
		Risk:  remedy.Disruptive,
		Manual: []string{
			"aws ec2 describe-nat-gateways --filter Name=state,Values=available --query 'NatGateways[].[NatGatewayId,SubnetId]'",
			"aws eks create-nodegroup --cluster-name " + clusterOr(v) + " --nodegroup-name private --subnets PRIVATE_SUBNETS --node-role NODE_ROLE --instance-types INSTANCE_TYPE",
		},
	}, strictMode("standard").remedy(v, "Go over to standard mode",
		"What leaves the VPC then has the node's address, and the node's groups judge it; traffic within a node no longer meets the pods' groups. Only pods that start afterwards take it over.")}
}
