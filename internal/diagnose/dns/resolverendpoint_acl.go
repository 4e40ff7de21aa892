package dns

import (
	"fmt"
	"slices"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// acls is a network ACL that keeps an outbound endpoint from all its peers,
// in each of its subnets: queries do not leave, or answers do not come back.
func (u *endpointUse) acls(all []ec2types.NetworkAcl) *endpointFault {
	if !u.outbound() || len(u.endpoint.IpAddresses) == 0 || len(u.peers) == 0 {
		return nil
	}
	x := &endpointFault{}
	for _, a := range u.endpoint.IpAddresses {
		acl := reach.ACLOf(all, facts.Val(a.SubnetId))
		for _, p := range u.peers {
			d := stopped(acl, p)
			if d == nil {
				return nil // one way is enough
			}
			id := facts.Val(acl.NetworkAclId)
			r := facts.Ref{Kind: facts.NetworkACLs.Kind(), ID: id}
			if slices.Contains(x.refs, r) {
				continue
			}
			x.refs = append(x.refs, r)
			if x.what == "" {
				x.what = fmt.Sprintf("sits behind network ACL %s, which does not let UDP %d pass to %s and its answers back", id, p.port, peerList(u.peers))
				x.evidence = diagnose.Evidence{Fact: r.String(), Got: d.Text, Want: fmt.Sprintf("UDP and TCP %d out to %s, and ports 1024-65535 back", p.port, p.ip), Command: "aws ec2 describe-network-acls --network-acl-ids " + id + " --query 'NetworkAcls[].Entries'"}
			}
		}
	}
	x.remedy = remedy.Remedy{Title: "Let DNS through the network ACL", Why: "ACLs are not stateful: the queries and the answers need a rule each, before the one that denies.", Manual: []string{x.evidence.Command}}
	return x
}

// stopped is why an ACL keeps queries from a peer or its answers from
// returning; nil when it does not for certain.
func stopped(acl *ec2types.NetworkAcl, p dnsPeer) *reach.Decision {
	if d := reach.ACLPasses(acl, true, p.ip, "udp", p.port, p.port); d.Blocked() {
		return &d
	}
	var back reach.Decision
	for _, port := range []int32{reach.EphemeralFrom, 10_000, 32_768, 49_152, reach.EphemeralTo} { // from which ports it asks is not told
		if back = reach.ACLPasses(acl, false, p.ip, "udp", port, port); !back.Blocked() {
			return nil
		}
	}
	return &back
}

func (u *endpointUse) finding(x *endpointFault) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  u.ref(),
		Affects:  append(append(x.refs, vpcRef(u.vpc)), u.names.refs()...),
		Claim:    fmt.Sprintf("%s Resolver endpoint %s %s", capital(u.direction()), u.id(), x.what),
		Evidence: append([]diagnose.Evidence{x.evidence}, u.names.evidence()...),
		Remedies: []remedy.Remedy{x.remedy},
	}
	all := false
	var domains []string
	for _, r := range u.rules {
		f.Affects = append(f.Affects, facts.Ref{Kind: facts.ResolverRules.Kind(), ID: facts.Val(r.Id)})
		domains = append(domains, orElse(canonical(facts.Val(r.DomainName)), "all names"))
		all = all || facts.Val(r.DomainName) == "."
	}
	if len(domains) > 0 {
		f.Claim += "; rules send it the names of " + diagnose.Some(domains)
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: "route53resolver/rules/" + facts.Val(u.rules[0].Id), Got: "for " + diagnose.Some(domains) + ", to " + peerList(u.peers), Want: "an endpoint that gets there", Command: "aws route53resolver list-resolver-rule-associations --filters Name=VPCId,Values=" + u.vpc})
	}
	switch {
	case x.partly && len(u.names) == 0:
	case x.partly || len(u.names) > 0 && !all:
		f.Severity = diagnose.Degraded
	case all:
		f.Severity = diagnose.Outage
	}
	return f
}

func (u *endpointUse) direction() string {
	if u.outbound() {
		return "outbound"
	}
	return "inbound"
}
