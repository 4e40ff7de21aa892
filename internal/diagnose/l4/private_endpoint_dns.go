package l4

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// PrivateEndpointDNS recognises clusters whose API is private and whose name
// does not resolve in the VPC.
var PrivateEndpointDNS = &diagnose.Check{
	ID:    "l4/private-endpoint-dns",
	Title: "Name of the private API endpoint does not resolve in the VPC",
	Doc: `EKS keeps a private zone for the API's name and associates it with the cluster's VPC. It answers only through the VPC's
own resolver, and only while both DNS attributes of the VPC are on. With public access off there is no other way to the API
for nodes and pods: without the zone, "no such host", or an address of the internet that does not answer. (Public DNS gives
the private addresses of newer clusters; do not count on it.)

Recognised by private access on and public access off, and an attribute of the VPC that is off: a risk as long as all nodes
are ready. Name servers of somebody's own in the DHCP options, without AmazonProvidedDNS, are a fault only when nodes have
not joined or are not ready: they may well forward to the VPC's resolver.

Looks alike: the name resolves and 443 is blocked (private-endpoint-443-blocked); a client outside the VPC, which needs an
inbound endpoint of the resolver.

Fix: switch both attributes on; let own name servers forward eks.amazonaws.com to the VPC's resolver.`,
	Needs: []facts.Need{facts.Clusters, facts.VPCAttribute},
	Wants: []facts.Need{facts.VPCs, facts.DHCPOptions, facts.Nodes, facts.NetworkInterfaces},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html",
	},
	Run: privateEndpointDNS,
}

func privateEndpointDNS(v *facts.View) []diagnose.Finding {
	cp := controlPlaneOf(v)
	vpc := facts.Val(cp.vpc.VpcId)
	off := attributesOff(facts.VPCAttribute.In(v), vpc)
	servers := ownServers(facts.VPCs.In(v), facts.DHCPOptions.In(v), vpc)
	lost := unable(cp.members(v))
	if !cp.vpc.EndpointPrivateAccess || cp.vpc.EndpointPublicAccess || vpc == "" || len(off) == 0 && (len(servers) == 0 || len(lost) == 0) {
		return nil
	}
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  facts.Ref{Kind: facts.Clusters.Kind(), ID: cp.name},
		Affects:  []facts.Ref{{Kind: facts.VPCs.Kind(), ID: vpc}},
	}
	for _, m := range lost[:min(len(lost), most)] {
		f.Affects = append(f.Affects, m.ref)
	}
	effect := "its nodes may not find the API"
	switch {
	case len(lost) > 0 && len(off) > 0:
		f.Severity, effect = diagnose.Outage, diagnose.Count(len(lost), "node")+" cannot find the API"
	case len(lost) > 0: // whether the servers forward is not known
		f.Severity, effect = diagnose.Degraded, fmt.Sprintf("unless they forward to the VPC's resolver, %s cannot find the API", diagnose.Count(len(lost), "node"))
	}
	if len(off) > 0 {
		f.Claim = fmt.Sprintf("Cluster %s has a private API endpoint only, and %s has %s off: %s", cp.name, vpc, strings.Join(off, " and "), effect)
	} else {
		f.Claim = fmt.Sprintf("Cluster %s has a private API endpoint only, and %s asks name servers of its own (%s): %s", cp.name, vpc, strings.Join(servers, ", "), effect)
	}
	f.Evidence = dnsEvidence(cp.name, vpc, off, servers, lost)
	f.Remedies = dnsRemedies(vpc, off)
	return []diagnose.Finding{f}
}

// attributesOff are the DNS attributes of a VPC that are off.
func attributesOff(all []facts.VPCAttributes, vpc string) []string {
	var off []string
	isOff := func(a *ec2types.AttributeBooleanValue) bool { return a != nil && a.Value != nil && !*a.Value }
	for _, a := range all {
		if a.VpcId != vpc {
			continue
		}
		if isOff(a.EnableDnsSupport) {
			off = append(off, remedy.EnableDNSSupport)
		}
		if isOff(a.EnableDnsHostnames) {
			off = append(off, remedy.EnableDNSHostnames)
		}
	}
	return off
}

// ownServers are the name servers of a VPC's DHCP options when the VPC's
// resolver is not among them.
func ownServers(vpcs []ec2types.Vpc, options []ec2types.DhcpOptions, vpc string) []string {
	id, own := "", []string{"AmazonProvidedDNS", "169.254.169.253", "fd00:ec2::253"}
	for _, n := range vpcs {
		if facts.Val(n.VpcId) == vpc {
			id = facts.Val(n.DhcpOptionsId)
			if block, err := netip.ParsePrefix(facts.Val(n.CidrBlock)); err == nil {
				own = append(own, block.Masked().Addr().Next().Next().String())
			}
		}
	}
	var servers []string
	for _, o := range options {
		if id == "" || facts.Val(o.DhcpOptionsId) != id {
			continue
		}
		for _, c := range o.DhcpConfigurations {
			for _, value := range c.Values {
				if facts.Val(c.Key) == "domain-name-servers" {
					servers = append(servers, facts.Val(value.Value))
				}
			}
		}
	}
	if slices.ContainsFunc(servers, func(s string) bool { return slices.Contains(own, s) }) {
		return nil
	}
	return servers
}

// unable are the nodes that are not ready, and the instances that have not
// joined.
func unable(all []member) []member {
	return slices.DeleteFunc(all, func(m member) bool { return m.ready })
}

func dnsEvidence(cluster, vpc string, off, servers []string, lost []member) []diagnose.Evidence {
	out := []diagnose.Evidence{{Fact: "eks/clusters/" + cluster, Got: "endpointPrivateAccess true, endpointPublicAccess false", Want: "a name that resolves to private addresses in " + vpc,
		Command: "aws eks describe-cluster --name " + cluster + " --query cluster.resourcesVpcConfig"}}
	for _, a := range off {
		out = append(out, diagnose.Evidence{Fact: "ec2/vpc-attributes/" + vpc + " " + a, Got: "false", Want: "true", Command: "aws ec2 describe-vpc-attribute --vpc-id " + vpc + " --attribute " + a})
	}
	if len(servers) > 0 {
		out = append(out, diagnose.Evidence{Fact: "DHCP options of " + vpc, Got: "domain-name-servers " + strings.Join(servers, ", "), Want: "AmazonProvidedDNS, or servers that forward to it", Command: "aws ec2 describe-dhcp-options"})
	}
	if len(lost) > 0 {
		out = append(out, diagnose.Evidence{Fact: lost[0].ref.String(), Got: cmp.Or(map[bool]string{true: "not ready"}[lost[0].joined], "has not joined the cluster"), Want: "ready", Command: "kubectl get nodes"})
	}
	return out
}

func dnsRemedies(vpc string, off []string) []remedy.Remedy {
	if len(off) == 0 {
		return []remedy.Remedy{{
			Title:  "Let the name servers forward eks.amazonaws.com to the VPC's resolver",
			Why:    "The API's name is in a private zone, which the VPC's resolver (the second address of the VPC's block) alone answers from.",
			Risk:   remedy.Safe,
			Manual: []string{"aws ec2 describe-dhcp-options", "aws ec2 describe-vpcs --vpc-ids " + vpc + " --query 'Vpcs[].CidrBlock'"},
		}}
	}
	r := remedy.Remedy{Title: "Switch the VPC's DNS attributes on", Why: "They hold for the whole VPC: its resolver answers, and private zones with it. Each takes a call of its own.", Risk: remedy.Safe}
	for _, a := range off {
		r.Actions = append(r.Actions, remedy.SetVPCAttribute{VPC: vpc, Attribute: a, To: true})
	}
	return []remedy.Remedy{r}
}
