package l4

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// PublicAccessCIDRsExcludeNodes recognises an API endpoint that shuts out the
// addresses from which its own nodes come.
var PublicAccessCIDRsExcludeNodes = &diagnose.Check{
	ID:    "l4/public-access-cidrs-exclude-nodes",
	Title: "API's public access list excludes the nodes",
	Doc: `Without private access, nodes reach the API over its public endpoint, as the public address of their NAT gateway or
their own. If publicAccessCidrs does not have those addresses, nodes cannot join, and those that are there become NotReady.

Recognised by endpointPublicAccess on, endpointPrivateAccess off, and nodes (or tagged instances that have not joined) whose
subnet's default route leads to a NAT gateway none of whose public addresses is in the list, or to an internet gateway with
a public address of their own that is not. Nodes that leave another way, such as a transit gateway, are not judged. While all
nodes are Ready it is a risk: connections that are open stay, or they go through a proxy.

Looks alike: no route out at all; private access on (the list does not matter inside the VPC then).

Fix: turn private access on; then the list can stay as short as it is. Or add the addresses.`,
	Needs: []facts.Need{facts.Clusters, facts.Nodes, facts.NetworkInterfaces, facts.RouteTables, facts.NATGateways},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
	},
	Run: publicAccessCIDRsExcludeNodes,
}

func publicAccessCIDRsExcludeNodes(v *facts.View) []diagnose.Finding {
	cp := controlPlaneOf(v)
	if cp.name == "" || !cp.vpc.EndpointPublicAccess || cp.vpc.EndpointPrivateAccess || len(cp.vpc.PublicAccessCidrs) == 0 {
		return nil
	}
	var out []member
	var addresses []string
	for _, m := range cp.members(v) {
		from := publicAddresses(v, m)
		if len(from) == 0 || slices.ContainsFunc(from, func(ip string) bool { return within(ip, cp.vpc.PublicAccessCidrs) }) {
			continue
		}
		out = append(out, m)
		for _, ip := range from {
			if !slices.Contains(addresses, ip) {
				addresses = append(addresses, ip)
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	slices.Sort(addresses)
	return []diagnose.Finding{shutOut(cp, out, addresses, publicAddresses(v, out[0]))}
}

// publicAddresses are those as which a node may reach the internet; none when
// its way is not known.
func publicAddresses(v *facts.View, m member) []string {
	table, _ := reach.TableOf(facts.RouteTables.In(v), m.VPC, m.Subnet)
	if table == nil {
		return nil
	}
	route, ok := reach.Default(table)
	if !ok || reach.IsBlackhole(route) {
		return nil
	}
	if reach.ToInternetGateway(route) && m.eni.Association != nil {
		return []string{facts.Val(m.eni.Association.PublicIp)}
	}
	var out []string
	for _, n := range facts.NATGateways.In(v) {
		if facts.Val(n.NatGatewayId) != reach.Via(route) {
			continue
		}
		for _, a := range n.NatGatewayAddresses {
			if a.PublicIp != nil {
				out = append(out, *a.PublicIp)
			}
		}
	}
	return out
}

// shutOut is the finding; first are the addresses of the first node.
func shutOut(cp controlPlane, out []member, addresses, first []string) diagnose.Finding {
	f := diagnose.Finding{Severity: diagnose.Risk, Subject: facts.Ref{Kind: facts.Clusters.Kind(), ID: cp.name}}
	for _, m := range out {
		f.Affects = append(f.Affects, m.ref)
		if !m.ready {
			f.Severity = diagnose.Outage
		}
	}
	f.Affects = refs(f.Subject, f.Affects)
	list := strings.Join(cp.vpc.PublicAccessCidrs, ", ")
	f.Claim = fmt.Sprintf("The API of %s admits only %s, private access is off, and %s come from %s", cp.name, list, diagnose.Count(len(out), "node"), strings.Join(addresses, ", "))
	f.Evidence = []diagnose.Evidence{{
		Fact: f.Subject.String(), Got: "endpointPrivateAccess false, publicAccessCidrs " + list, Want: "private access, or a list with " + strings.Join(addresses, ", "),
		Command: "aws eks describe-cluster --name " + cp.name + " --query cluster.resourcesVpcConfig",
	}, {
		Fact: out[0].ref.String(), Got: out[0].name + " leaves as " + strings.Join(first, ", "), Want: "an address in the list",
		Command: "aws ec2 describe-nat-gateways --filter Name=vpc-id,Values=" + out[0].VPC + " --query 'NatGateways[].NatGatewayAddresses[].PublicIp'",
	}}
	all := append([]string(nil), cp.vpc.PublicAccessCidrs...)
	for _, ip := range addresses {
		all = append(all, ip+"/32")
	}
	update := "aws eks update-cluster-config --name " + cp.name + " --resources-vpc-config "
	f.Remedies = []remedy.Remedy{{
		Title: "Turn private access on", Why: "Nodes then reach the API inside the VPC, and the public list concerns people only. The update takes some minutes.",
		Risk: remedy.Safe, Manual: []string{update + "endpointPrivateAccess=true"},
	}, {
		Title: "Or add the nodes' addresses to the list", Why: "The list is replaced as a whole, so it names what was there as well.",
		Risk: remedy.Safe, Manual: []string{update + "publicAccessCidrs=" + strings.Join(all, ",")},
	}}
	return f
}
