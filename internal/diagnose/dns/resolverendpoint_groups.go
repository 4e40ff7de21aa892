package dns

import (
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

// groups is a security group that keeps the endpoint from its peers.
func (u *endpointUse) groups(known reach.Groups, protocol string) *endpointFault {
	ids := u.endpoint.SecurityGroupIds
	if len(ids) == 0 || slices.ContainsFunc(ids, func(id string) bool { _, ok := known[id]; return !ok }) {
		return nil
	}
	outbound := u.outbound()
	var cut []dnsPeer
	for _, p := range u.peers {
		at := reach.Endpoint{IP: p.ip, Membership: reach.Unknown}
		d := known.Admits(ids, at, protocol, p.port)
		if outbound {
			d = known.LetsOut(ids, at, protocol, p.port)
		}
		if d.Blocked() && !slices.Contains(cut, p) {
			cut = append(cut, p)
		}
	}
	if len(cut) == 0 {
		return nil
	}
	x := &endpointFault{partly: protocol == "tcp" || len(cut) < len(u.peers)}
	for _, id := range ids {
		x.refs = append(x.refs, facts.Ref{Kind: facts.SecurityGroups.Kind(), ID: id})
	}
	way, direction := "out to", "Egress"
	if !outbound {
		way, direction = "in from", ""
	}
	list := peerList(cut)
	x.what = fmt.Sprintf("does not let %s %d %s %s: %s has no such rule", strings.ToUpper(protocol), cut[0].port, way, list, strings.Join(ids, ", "))
	x.evidence = diagnose.Evidence{Fact: "ec2/security-groups/" + ids[0] + " IpPermissions" + direction, Got: fmt.Sprintf("no rule for %s %d %s %s", protocol, cut[0].port, way, list), Want: fmt.Sprintf("UDP and TCP %d %s %s", cut[0].port, way, list),
		Command: "aws ec2 describe-security-groups --group-ids " + strings.Join(ids, " ") + " --query 'SecurityGroups[].IpPermissions" + direction + "'"}
	x.remedy = remedy.Remedy{Title: "Let DNS through the endpoint's security group", Why: "It opens these addresses and this port only, for every VPC that uses the endpoint.", Risk: remedy.Safe}
	x.remedy.Actions = u.opening(known, cut[:min(len(cut), 6)])
	return x
}

// opening are the rules that let DNS through to or from peers, on the
// protocols that are blocked.
func (u *endpointUse) opening(known reach.Groups, cut []dnsPeer) remedy.Actions {
	var out remedy.Actions
	ids := u.endpoint.SecurityGroupIds
	done := map[string]bool{}
	for _, p := range cut {
		for _, protocol := range []string{"udp", "tcp"} {
			at, key := reach.Endpoint{IP: p.ip, Membership: reach.Unknown}, protocol+p.block
			switch {
			case done[key]:
			case u.outbound() && known.LetsOut(ids, at, protocol, p.port).Blocked():
				out = append(out, remedy.AuthorizeEgress{EgressRule: remedy.EgressRule{Group: ids[0], Protocol: protocol, FromPort: p.port, ToPort: p.port, ToCIDR: p.block}})
			case !u.outbound() && known.Admits(ids, at, protocol, p.port).Blocked():
				out = append(out, remedy.AuthorizeIngress{Rule: remedy.Rule{Group: ids[0], Protocol: protocol, FromPort: p.port, ToPort: p.port, FromCIDR: p.block}})
			}
			done[key] = true
		}
	}
	return out
}

func (u *endpointUse) outbound() bool {
	return u.endpoint.Direction != resolvertypes.ResolverEndpointDirectionInbound
}

// blockOf is the VPC's block that an address is in, else the address alone.
func (ls *lookups) blockOf(ip netip.Addr) string {
	if vpc := ls.w.VPC(); vpc != nil {
		for _, a := range vpc.CidrBlockAssociationSet {
			if reach.Contains(facts.Val(a.CidrBlock), ip) {
				return *a.CidrBlock
			}
		}
		if reach.Contains(facts.Val(vpc.CidrBlock), ip) {
			return *vpc.CidrBlock
		}
	}
	return netip.PrefixFrom(ip, ip.BitLen()).String()
}

func peerList(peers []dnsPeer) string {
	var all []string
	for _, p := range peers {
		all = append(all, p.ip.String())
	}
	return diagnose.Some(all)
}
