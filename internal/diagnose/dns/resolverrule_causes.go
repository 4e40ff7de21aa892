package dns

import (
	"fmt"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/resolve"
)

// shadows reports whether the rule keeps names from a private zone or VPC
// endpoint that has them, and leaves those names alone in m.
func (m *misroute) shadows() bool {
	var kept needed
	for _, l := range m.names {
		would := m.ls.without(l.name, func(w *resolve.World) {
			w.RuleAssociations = slices.DeleteFunc(slices.Clone(w.RuleAssociations), func(a resolvertypes.ResolverRuleAssociation) bool {
				return facts.Val(a.ResolverRuleId) == m.id()
			})
		})
		if m.ls.private(would) {
			m.hidden = m.ls.privateObject(would)
			kept = append(kept, l)
		}
	}
	if len(kept) == 0 {
		return false
	}
	m.names = kept
	what := "VPC endpoint " + m.hidden.ID
	if z := m.ls.zoneByID(m.hidden.ID); z != nil {
		what = zoneLabel(z)
	}
	m.why = fmt.Sprintf("and comes before %s, which has %s", what, kept.names())
	m.evidence = append(m.evidence, diagnose.Evidence{Fact: m.hidden.String(), Got: "has " + kept.first() + ", and is not asked", Want: "no FORWARD rule of the same or a more specific domain", Command: "aws route53resolver list-resolver-rule-associations --filters Name=VPCId,Values=" + m.ls.vpc})
	return true
}

// loops reports whether a target is an inbound endpoint of the same VPC.
func (m *misroute) loops() bool {
	l := m.names[0]
	if l.path.Answer.Kind != resolve.ServFail || !l.certain() {
		return false
	}
	m.why = "which is an inbound endpoint of the same VPC: " + m.names.names() + " goes round in a loop"
	m.evidence = append(m.evidence, l.way("servers outside the VPC"))
	return true
}

// denies reports whether the targets say that names do not exist which the
// public DNS has: those of AWS, and of the account's public zones.
func (m *misroute) denies() bool {
	var denied needed
	for _, l := range m.names.logged(logNXDomain, logRefusedReply) {
		if strings.HasSuffix(l.name, ".amazonaws.com") || m.ls.published(l.name) {
			denied = append(denied, l)
		}
	}
	if len(denied) == 0 {
		return false
	}
	m.names = denied
	m.why = "which deny " + denied.names() + ", a name that the public DNS has"
	return true
}

// published reports whether a public zone of the account has a name.
func (ls *lookups) published(name string) bool {
	for i := range ls.w.HostedZones {
		z := &ls.w.HostedZones[i]
		if isPrivateZone(z) || !resolve.Within(resolve.Normal(name), resolve.Normal(canonical(facts.Val(z.Name)))) {
			continue
		}
		for _, r := range ls.w.Records {
			h := &hosted{name: canonical(facts.Val(z.Name)), records: r.ResourceRecordSets}
			if zoneID(r.HostedZoneId) == zoneID(facts.Val(z.Id)) && len(h.index().of(name)) > 0 {
				return true
			}
		}
	}
	return false
}

// endpointAtFault reports whether the outbound endpoint explains it, about
// which its own check speaks.
func (m *misroute) endpointAtFault(groups reach.Groups, acls []ec2types.NetworkAcl) bool {
	for i := range m.ls.w.ResolverEndpoints {
		e := &m.ls.w.ResolverEndpoints[i]
		if facts.Val(e.Id) != facts.Val(m.rule.ResolverEndpointId) {
			continue
		}
		if u := m.ls.endpointUse(e); u != nil && (u.state() != nil || u.groups(groups, "udp") != nil || u.acls(acls) != nil) {
			return true
		}
	}
	return false
}

// unrouted reports whether no subnet of the outbound endpoint has a route to
// any of the targets.
func (m *misroute) unrouted(tables []ec2types.RouteTable) bool {
	peers := targetsOf(m.rule)
	var seen []string
	for i := range m.ls.w.ResolverEndpoints {
		e := &m.ls.w.ResolverEndpoints[i]
		if facts.Val(e.Id) != facts.Val(m.rule.ResolverEndpointId) || e.Id == nil {
			continue
		}
		for _, a := range e.IpAddresses {
			table, _ := reach.TableOf(tables, facts.Val(e.HostVPCId), facts.Val(a.SubnetId))
			if table == nil || slices.ContainsFunc(table.Routes, func(r ec2types.Route) bool { return r.DestinationPrefixListId != nil }) {
				return false // not read, or the entries of a prefix list are not known
			}
			for _, p := range peers {
				if r, ok := reach.RouteTo(table, p.ip); ok && !reach.IsBlackhole(r) {
					return false
				}
			}
			seen = append(seen, facts.Val(table.RouteTableId))
		}
	}
	if len(seen) == 0 || len(peers) == 0 {
		return false
	}
	m.outside = true
	m.why = "to which no route leads from the outbound endpoint " + facts.Val(m.rule.ResolverEndpointId)
	m.evidence = append(m.evidence, diagnose.Evidence{Fact: "ec2/route-tables/" + seen[0], Got: "no route to " + m.targets() + ", or one that drops", Want: "a route to " + m.targets(), Command: "aws ec2 describe-route-tables --route-table-ids " + strings.Join(slices.Compact(seen), " ")})
	return true
}

// silent reports whether lookups of the rule's domain time out or get
// SERVFAIL while those of other names are answered.
func (m *misroute) silent() bool {
	mine, others := 0, 0
	classes := []logClass{logTimeout, logServFail}
	for _, f := range m.ls.found {
		switch {
		case !slices.Contains(classes, f.line.class):
		case resolve.Within(resolve.Normal(f.name), resolve.Normal(facts.Val(m.rule.DomainName))):
			mine += f.line.count
		default:
			others += f.line.count
		}
	}
	if mine < silentTargets || others*5 > mine {
		return false
	}
	if m.names = m.names.logged(classes...); len(m.names) == 0 {
		return false
	}
	m.outside = true
	m.why = fmt.Sprintf("which do not answer: %s failed in the last hour, of %s", diagnose.Count(mine, "lookup"), m.names.names())
	return true
}

// logged are the names for which CoreDNS logged one of classes.
func (n needed) logged(classes ...logClass) needed {
	return slices.DeleteFunc(slices.Clone(n), func(l *lookup) bool { return len(l.lines.of(classes...)) == 0 })
}
