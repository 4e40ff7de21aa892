package dns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

var resolverEndpointBlocked = &diagnose.Check{
	ID:    "dns/resolver-endpoint-saturated-or-blocked",
	Title: "A Resolver endpoint that the VPC uses is broken or blocked",
	Doc: `Names of a Resolver rule leave the VPC through an outbound endpoint: network interfaces with a security group, in subnets
with network ACLs. When the endpoint needs action, has no attached address, or its group or ACLs do not let port 53 out to the rule's
targets, the names of the rule time out and all others are fine. An inbound endpoint matters here when CoreDNS or the nodes ask it.

Recognised by rules for the cluster's VPC that use the endpoint, and its state, the state of its addresses, its groups towards the
targets, and the ACLs of all its subnets. A fault when names of such a rule failed in the last hour or were said not to resolve, or
when the rule is for all names; else a risk. TCP alone that is blocked is a risk: large answers need it.

Looks alike: targets that are down or not routed to (resolver-rule-misroute). Whether an endpoint has too many queries (10,000 a second
for each address, less with connection tracking) stands in CloudWatch, AWS/Route53Resolver, and is not seen here. The endpoint of a rule
that another account shares cannot be read.

Fixed by rules that let UDP and TCP 53 out, and by addresses in subnets that have room.`,
	Needs: []facts.Need{facts.Clusters, facts.VPCs, facts.ResolverEndpoints, facts.ResolverRules, facts.ResolverRuleAssociations},
	Wants: append(lookupWants(facts.Clusters, facts.VPCs, facts.ResolverEndpoints, facts.ResolverRules, facts.ResolverRuleAssociations), facts.SecurityGroups, facts.NetworkACLs),
	Sources: []string{
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-forwarding-outbound-queries.html",
		"https://docs.aws.amazon.com/Route53/latest/APIReference/API_route53resolver_ResolverEndpoint.html",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/best-practices-resolver-endpoint-scaling.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		ls := newLookups(v)
		groups, acls := reach.GroupsOf(facts.SecurityGroups.In(v)), facts.NetworkACLs.In(v)
		var out []diagnose.Finding
		for i := range ls.w.ResolverEndpoints {
			u := ls.endpointUse(&ls.w.ResolverEndpoints[i])
			if u == nil {
				continue
			}
			for _, fault := range []func() *endpointFault{u.state, func() *endpointFault { return u.groups(groups, "udp") },
				func() *endpointFault { return u.acls(acls) }, func() *endpointFault { return u.groups(groups, "tcp") }} {
				if x := fault(); x != nil {
					out = append(out, u.finding(x))
					break
				}
			}
		}
		return out
	},
}

// An endpointUse is a Resolver endpoint and what the cluster's VPC uses it
// for: rules for an outbound one, the addresses of who asks for an inbound one.
type endpointUse struct {
	endpoint *facts.ResolverEndpoint
	vpc      string // of the cluster
	rules    []*resolvertypes.ResolverRule
	peers    []dnsPeer // the targets of the rules, or the CoreDNS pods
	names    needed    // that take the way and fail
}

// A dnsPeer is an address at the other end of an endpoint.
type dnsPeer struct {
	ip    netip.Addr
	port  int32
	block string // what a rule should let through: the address of a server, the network of pods
}

// An endpointFault is what is wrong with an endpoint.
type endpointFault struct {
	what     string
	partly   bool // it may still answer
	evidence diagnose.Evidence
	remedy   remedy.Remedy
	refs     []facts.Ref
}

// endpointUse is how the VPC uses an endpoint; nil when it does not.
func (ls *lookups) endpointUse(e *facts.ResolverEndpoint) *endpointUse {
	u := &endpointUse{endpoint: e, vpc: ls.vpc}
	if e.Direction == resolvertypes.ResolverEndpointDirectionInbound {
		return ls.inboundUse(u)
	}
	for _, r := range ls.forwardRules() {
		if facts.Val(r.ResolverEndpointId) != facts.Val(e.Id) || e.Id == nil {
			continue
		}
		u.rules = append(u.rules, r)
		u.peers = append(u.peers, targetsOf(r)...)
		for _, l := range ls.names {
			if l.decider(facts.ResolverRules) == facts.Val(r.Id) && l.fails() {
				u.names = append(u.names, l)
			}
		}
	}
	if len(u.rules) == 0 {
		return nil
	}
	return u
}

// inboundUse is how CoreDNS uses an inbound endpoint: as a server of its
// Corefile or of the DHCP options.
func (ls *lookups) inboundUse(u *endpointUse) *endpointUse {
	text, ok := ls.w.Corefile(deployment)
	servers, _, _ := ls.w.NodeDNS()
	asked := append(upstreamsOf(text, ok), servers...)
	if !slices.ContainsFunc(u.endpoint.IpAddresses, func(a resolvertypes.IpAddressResponse) bool {
		return a.Ip != nil && slices.Contains(asked, *a.Ip)
	}) {
		return nil
	}
	for _, p := range ls.w.Pods {
		if ip, err := netip.ParseAddr(p.Status.PodIP); err == nil && p.Namespace == system && p.Labels["k8s-app"] == resolverLabels["k8s-app"] {
			u.peers = append(u.peers, dnsPeer{ip, 53, ls.blockOf(ip)})
		}
	}
	return u
}

// forwardRules are the rules that send names of the VPC elsewhere.
func (ls *lookups) forwardRules() []*resolvertypes.ResolverRule {
	var out []*resolvertypes.ResolverRule
	for i := range ls.w.Rules {
		r := &ls.w.Rules[i]
		used := slices.ContainsFunc(ls.w.RuleAssociations, func(a resolvertypes.ResolverRuleAssociation) bool {
			return facts.Val(a.VPCId) == ls.vpc && facts.Val(a.ResolverRuleId) == facts.Val(r.Id) && (a.Status == "" || a.Status == resolvertypes.ResolverRuleAssociationStatusComplete)
		})
		if used && r.RuleType == resolvertypes.RuleTypeOptionForward {
			out = append(out, r)
		}
	}
	return out
}

// targetsOf are the servers that a rule sends names to, in plain DNS.
func targetsOf(r *resolvertypes.ResolverRule) []dnsPeer {
	var out []dnsPeer
	for _, t := range r.TargetIps {
		ip, err := netip.ParseAddr(cmp.Or(facts.Val(t.Ip), facts.Val(t.Ipv6)))
		if err == nil && (t.Protocol == "" || t.Protocol == resolvertypes.ProtocolDo53) {
			out = append(out, dnsPeer{ip, cmp.Or(facts.Val(t.Port), 53), netip.PrefixFrom(ip, ip.BitLen()).String()})
		}
	}
	return out
}

func (u *endpointUse) id() string { return facts.Val(u.endpoint.Id) }

func (u *endpointUse) ref() facts.Ref {
	return facts.Ref{Kind: facts.ResolverEndpoints.Kind(), ID: u.id()}
}

func (u *endpointUse) show() string {
	return "aws route53resolver get-resolver-endpoint --resolver-endpoint-id " + u.id()
}

// broken are states in which an address of an endpoint takes no queries.
var broken = []resolvertypes.IpAddressStatus{
	resolvertypes.IpAddressStatusFailedCreation, resolvertypes.IpAddressStatusFailedResourceGone,
	resolvertypes.IpAddressStatusIsolated, resolvertypes.IpAddressStatusDetaching, resolvertypes.IpAddressStatusDeleting,
}

// state is what the endpoint says of itself. CREATING and UPDATING pass.
func (u *endpointUse) state() *endpointFault {
	var bad []string
	for _, a := range u.endpoint.IpAddresses {
		if slices.Contains(broken, a.Status) {
			bad = append(bad, fmt.Sprintf("%s %s", cmp.Or(facts.Val(a.Ip), facts.Val(a.Ipv6), facts.Val(a.IpId)), a.Status))
		}
	}
	status := u.endpoint.Status
	down := status == resolvertypes.ResolverEndpointStatusActionNeeded || status == resolvertypes.ResolverEndpointStatusDeleting || status == resolvertypes.ResolverEndpointStatusAutoRecovering
	if !down && len(bad) == 0 {
		return nil
	}
	got := orElse(string(status), "no status")
	if m := facts.Redact(facts.Val(u.endpoint.StatusMessage)); m != "" {
		got += ": " + m
	}
	what := "is " + string(status)
	if len(bad) > 0 {
		got += "; " + strings.Join(bad, ", ")
		what = fmt.Sprintf("has %d of its %d addresses out of order (%s)", len(bad), len(u.endpoint.IpAddresses), diagnose.Some(bad))
	}
	return &endpointFault{
		what: what, partly: len(bad) < max(len(u.endpoint.IpAddresses), 1),
		evidence: diagnose.Evidence{Fact: u.ref().String(), Got: got, Want: "OPERATIONAL, with all addresses ATTACHED", Command: u.show()},
		remedy: remedy.Remedy{
			Title: "Give the endpoint addresses that work",
			Why:   "The message says what is missing: a network interface that somebody deleted, a subnet without free addresses. Add an address first, then take the broken one off.",
			Manual: []string{
				"aws route53resolver list-resolver-endpoint-ip-addresses --resolver-endpoint-id " + u.id(),
				"aws route53resolver associate-resolver-endpoint-ip-address --resolver-endpoint-id " + u.id() + " --ip-address SubnetId=SUBNET",
			},
		},
	}
}
