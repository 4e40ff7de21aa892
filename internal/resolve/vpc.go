package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

const vpcDNS = "the resolver of the VPC"

// inbound reports whether an address is one of an inbound endpoint, behind
// which the resolver of the cluster's VPC answers.
func (w *World) inbound(ip netip.Addr) bool {
	for _, e := range w.ResolverEndpoints {
		if e.Direction != resolvertypes.ResolverEndpointDirectionInbound || facts.Val(e.HostVPCId) != w.vpcID() {
			continue
		}
		for _, a := range e.IpAddresses {
			if facts.Val(a.Ip) == ip.String() || facts.Val(a.Ipv6) == ip.String() {
				return true
			}
		}
	}
	return false
}

// attributes are the settings of the VPC; nil when they are not known.
func (w *World) attributes() *facts.VPCAttributes {
	for i := range w.VPCAttributes {
		if w.VPCAttributes[i].VpcId == w.vpcID() {
			return &w.VPCAttributes[i]
		}
	}
	return nil
}

func off(v *ec2types.AttributeBooleanValue) bool {
	return v != nil && v.Value != nil && !*v.Value
}

// vpc asks the resolver of the VPC.
func (a *asker) vpc(name string) Answer {
	id := a.w.vpcID()
	if a.again(vpcDNS, name) {
		return a.ends(vpcDNS, "", "", Answer{Kind: ServFail, Name: name, By: vpcDNS, Why: "the question for " + bare(name) + " comes back: a loop"})
	}
	attr := a.w.attributes()
	if attr != nil && off(attr.EnableDnsSupport) {
		return a.ends(vpcDNS, id, "aws ec2 describe-vpc-attribute --attribute enableDnsSupport --vpc-id "+id, Answer{Kind: TimedOut, Name: name, By: "nobody",
			Why: "enableDnsSupport of " + id + " is off: its resolver does not answer", Objects: []facts.Ref{ref(facts.VPCs, "", id)}})
	}
	a.first = name
	a.step(reach.Step{Hop: vpcDNS, Verdict: reach.Allowed, Rule: id, Text: "the resolver of " + cmp.Or(id, "the VPC") + " is asked for " + bare(name), Command: "dig @169.254.169.253 " + name})
	return a.inside(name, false)
}

// inside is what the resolver of the VPC does with a name, or with one that
// an alias leads to.
func (a *asker) inside(name string, trusted bool) Answer {
	if !trusted {
		answer, blocked, trust := a.firewall(name)
		if blocked {
			return answer
		}
		trusted = trust
	}
	zone, hidden := a.private(name)
	if answer, ok := a.ruled(zone, name); ok {
		return answer
	}
	answer := a.own(zone, name, trusted)
	if hidden >= 0 && answer.Kind != Found {
		h := &a.hops[hidden]
		h.Verdict, h.Symptom = reach.Denied, reach.NoSuchName
		answer.Why, answer.Objects = h.Text+"; "+answer.Why, append(answer.Objects, h.Objects...)
	}
	return answer
}

// autodefined are domains of which the VPC's resolver knows the names by
// itself, whatever rules for their parents say.
var autodefined = []string{"compute.internal.", "ec2.internal.", "localhost."}

// ruled asks the Resolver rules. The most specific domain counts; a rule wins
// over a private zone of the same name. ok is false when the VPC's resolver
// is left to answer itself.
func (a *asker) ruled(zone *facts.HostedZone, name string) (answer Answer, ok bool) {
	self := longest(autodefined, name)
	if zone != nil && len(zoneName(zone)) > len(self) {
		self = zoneName(zone)
	}
	if e, n := a.w.endpointOf(name); e != nil && len(n) > len(self) {
		self = strings.TrimPrefix(n, "*.")
	}
	if c := a.w.clusterOf(name); c != nil && c.ResourcesVpcConfig.EndpointPrivateAccess {
		self = name
	}
	if r, known := a.rule(name); r != nil && len(Normal(facts.Val(r.DomainName))) >= len(self) {
		if r.RuleType != resolvertypes.RuleTypeOptionSystem && r.RuleType != resolvertypes.RuleTypeOptionRecursive {
			return a.forwarded(r, name), true
		}
		if r.RuleType == resolvertypes.RuleTypeOptionRecursive {
			return Answer{}, false // the rule that every VPC has
		}
		a.step(reach.Step{Hop: "Resolver rule", Verdict: reach.Allowed, Rule: facts.Val(r.Id), Text: fmt.Sprintf("the %s rule for %s leaves it to the VPC's resolver", r.RuleType, facts.Val(r.DomainName)), Objects: []facts.Ref{ref(facts.ResolverRules, "", facts.Val(r.Id))}})
	} else if !known {
		a.unless = append(a.unless, "a Resolver rule, which was not read, sends it elsewhere")
	}
	return Answer{}, false
}

// own is what the VPC's resolver answers itself.
func (a *asker) own(zone *facts.HostedZone, name string, trusted bool) Answer {
	if answer, ok := a.endpoint(zone, name); ok {
		return answer
	}
	if answer, ok := a.apiServer(name); ok {
		return answer
	}
	if zone != nil {
		return a.lookup(zone, name, trusted)
	}
	if answer, ok := a.amazon(name); ok {
		return answer
	}
	return a.public(name, trusted)
}

// private is the most specific private zone of the VPC that a name is in.
// Without DNS hostnames a VPC has none: then hidden is the hop that says so,
// else it is -1.
func (a *asker) private(name string) (zone *facts.HostedZone, hidden int) {
	if a.w.HostedZones == nil {
		a.unless = append(a.unless, "a private zone, which was not read, has it")
		return nil, -1
	}
	id := a.w.vpcID()
	for i := range a.w.HostedZones {
		z := &a.w.HostedZones[i]
		here := slices.ContainsFunc(z.VPCs, func(v r53types.VPC) bool { return facts.Val(v.VPCId) == id })
		if isPrivate(z) && here && Within(name, zoneName(z)) && (zone == nil || len(zoneName(z)) > len(zoneName(zone))) {
			zone = z
		}
	}
	if attr := a.w.attributes(); zone == nil || attr == nil || !off(attr.EnableDnsHostnames) {
		return zone, -1
	}
	a.step(reach.Step{Hop: "private zone", Verdict: reach.Allowed, Rule: zoneID(zone), Text: "enableDnsHostnames of " + id + " is off: " + zoneWords(zone) + " does not answer there",
		Command: "aws ec2 describe-vpc-attribute --attribute enableDnsHostnames --vpc-id " + id, Objects: []facts.Ref{ref(facts.VPCs, "", id)}})
	return nil, len(a.hops) - 1
}

// rule is the most specific Resolver rule of the VPC for a name.
func (a *asker) rule(name string) (best *resolvertypes.ResolverRule, known bool) {
	if a.w.Rules == nil || a.w.RuleAssociations == nil {
		return nil, false
	}
	for _, as := range a.w.RuleAssociations {
		if vpc := a.w.vpcID(); facts.Val(as.VPCId) != vpc && vpc != "" || as.Status != "" && as.Status != resolvertypes.ResolverRuleAssociationStatusComplete {
			continue
		}
		for i := range a.w.Rules {
			r := &a.w.Rules[i]
			domain := Normal(facts.Val(r.DomainName))
			if facts.Val(r.Id) != facts.Val(as.ResolverRuleId) || r.DomainName == nil || !Within(name, domain) {
				continue
			}
			if best == nil || len(domain) > len(Normal(facts.Val(best.DomainName))) {
				best = r
			}
		}
	}
	return best, true
}

// forwarded is what happens to a name that a Resolver rule sends elsewhere.
func (a *asker) forwarded(r *resolvertypes.ResolverRule, name string) Answer {
	id := facts.Val(r.Id)
	var to []string
	for _, t := range r.TargetIps {
		to = append(to, cmp.Or(facts.Val(t.Ip), facts.Val(t.Ipv6)))
	}
	refs := []facts.Ref{ref(facts.ResolverRules, "", id)}
	a.step(reach.Step{Hop: "Resolver rule", Verdict: reach.Allowed, Rule: id, Objects: refs, Command: "aws route53resolver get-resolver-rule --resolver-rule-id " + id,
		Text: fmt.Sprintf("the %s rule %s for %s sends it to %s", r.RuleType, cmp.Or(facts.Val(r.Name), id), facts.Val(r.DomainName), cmp.Or(strings.Join(to, ", "), "name servers that it does not name"))})
	for _, t := range to {
		if ip, err := netip.ParseAddr(t); err == nil && a.w.inbound(ip) {
			return a.ends("Resolver rule", id, "", Answer{Kind: ServFail, Name: name, By: vpcDNS, Objects: refs, Why: t + " is an inbound endpoint of the same VPC: queries go round in a loop"})
		}
	}
	for _, e := range a.w.ResolverEndpoints {
		if facts.Val(e.Id) == facts.Val(r.ResolverEndpointId) && e.Status != resolvertypes.ResolverEndpointStatusOperational && e.Status != "" {
			a.unless = append(a.unless, fmt.Sprintf("outbound endpoint %s, which is %s, sends nothing", facts.Val(e.Id), e.Status))
		}
	}
	by := "the server " + strings.Join(to, " or ")
	if len(to) == 0 {
		by = "a name server that the rule does not name"
	}
	return a.unknown("server outside", name, by, by+" answers; it was not asked", "dig "+name, refs...)
}

// lookup looks a name up in a hosted zone and follows aliases.
func (a *asker) lookup(z *facts.HostedZone, name string, trusted bool) Answer {
	found := a.w.zone(z, name, a.qtype)
	a.unless = append(a.unless, found.Unless...)
	found.Unless = nil
	command := fmt.Sprintf("aws route53 list-resource-record-sets --hosted-zone-id %s --start-record-name %s --max-items 5", zoneID(z), name)
	hop := "private zone"
	if !isPrivate(z) {
		hop = "public zone"
	}
	switch {
	case found.noRecord && isPrivate(z):
		found.Why += "; in this VPC the private zone is the only one that is asked for names in " + bare(zoneName(z))
	case found.noRecord || found.Kind == NoData && !isPrivate(z):
		a.unless = append(a.unless, "other name servers than those of "+zoneWords(z)+" answer for the domain")
	}
	if found.alias == "" {
		return a.ends(hop, zoneID(z), command, found.Answer)
	}
	a.step(reach.Step{Hop: hop, Verdict: reach.Allowed, Rule: zoneID(z), Text: found.Why + " leads to " + bare(found.alias), Command: command, Objects: found.Objects})
	if stop, ok := a.followed(found.alias, found.By); !ok {
		return stop
	}
	if found.isAlias {
		return a.target(z, found.alias)
	}
	return a.inside(found.alias, trusted)
}

// target follows an alias of Route 53: to a record of the same zone, or to a
// service of AWS.
func (a *asker) target(z *facts.HostedZone, name string) Answer {
	if Within(name, zoneName(z)) {
		return a.lookup(z, name, true)
	}
	if answer, ok := a.endpoint(nil, name); ok {
		return answer
	}
	if answer, ok := a.amazon(name); ok {
		return answer
	}
	return a.unknown("alias", name, "Route 53", "Route 53 answers with the addresses of "+bare(name)+", which it does not tell", "dig "+name)
}

// public answers from the account's public zones; else nobody here knows.
func (a *asker) public(name string, trusted bool) Answer {
	var best *facts.HostedZone
	twice := false
	for i := range a.w.HostedZones {
		z := &a.w.HostedZones[i]
		if isPrivate(z) || z.Name == nil || !Within(name, zoneName(z)) {
			continue
		}
		switch {
		case best == nil || len(zoneName(z)) > len(zoneName(best)):
			best, twice = z, false
		case zoneName(z) == zoneName(best):
			twice = true
		}
	}
	if best == nil || twice {
		why := "the public DNS answers; it was not asked"
		if twice {
			why = "the account has several public zones " + bare(zoneName(best)) + ", and which one answers is not known"
		}
		return a.unknown("public DNS", name, "the public DNS", why, "dig "+name)
	}
	return a.lookup(best, name, trusted)
}
