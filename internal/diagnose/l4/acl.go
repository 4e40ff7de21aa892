package l4

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// What the checks of network ACLs read: the ACLs, and what says which
// connections are needed.
var (
	aclNeeds = []facts.Need{facts.NetworkACLs, facts.Subnets, facts.NetworkInterfaces, facts.SecurityGroups, facts.Nodes}
	aclWants = []facts.Need{facts.Pods, facts.Services, facts.EndpointSlices, facts.Clusters, facts.VPCEndpoints, facts.ServiceAccounts, facts.ValidatingWebhooks, facts.MutatingWebhooks, facts.APIServices,
		facts.NetworkPolicies, facts.Namespaces, facts.Ingresses, facts.TargetGroupBindings}
)

// aclRecognised is what the three checks' pages have in common.
const aclRecognised = `Judged are the connections that this cluster needs: from the control plane to kubelets and webhooks, from nodes to the
API's private endpoint, from metrics-server to kubelets, from pods to CoreDNS and to the Services that they use, and from nodes and pods to the interface
endpoints of services that they use; each between the interfaces that carry them, if they are in different subnets and
security groups let them pass. A rule that denies what nobody needs is no fault. Answers go to the ports 32768 to 60999,
from which Linux hosts connect.`

// A denial is a needed connection with one passage that an ACL denies.
type denial struct {
	connection
	reach.Hop
	egress, reply bool
	peer          reach.Host // the other side, as the ACL sees it
	total         bool       // nothing of the other side passes in that direction
}

// The kinds of fault that an ACL may have, the most far-reaching first.
const (
	separates = iota
	deniesInbound
	deniesAnswers
	fine
)

// aclFaults returns a finding for each ACL whose fault is of a kind.
func aclFaults(v *facts.View, kind int) []diagnose.Finding {
	acls := facts.NetworkACLs.In(v)
	if !slices.ContainsFunc(acls, restricts) {
		return nil
	}
	byACL := map[string][]denial{}
	var order []string
	rules := filtersOf(v)
	for _, c := range neededConnections(v) {
		if rules.groups.LetsOut(c.from.Groups, c.to.Endpoint, c.protocol, c.port).Blocked() || rules.groups.Admits(c.to.Groups, c.from.Endpoint, c.protocol, c.port).Blocked() {
			continue
		}
		for _, d := range rules.denials(c) {
			if byACL[d.Rule] == nil {
				order = append(order, d.Rule)
			}
			byACL[d.Rule] = append(byACL[d.Rule], d)
		}
	}
	var findings []diagnose.Finding
	for _, id := range order {
		if faultOf(byACL[id]) == kind {
			findings = append(findings, aclFinding(id, kind, byACL[id], acls, facts.Subnets.In(v)))
		}
	}
	return findings
}

// restricts reports whether an ACL is used and does not simply let everything
// pass.
func restricts(acl ec2types.NetworkAcl) bool {
	if len(acl.Associations) == 0 {
		return false
	}
	first := map[bool]ec2types.NetworkAclEntry{}
	for _, e := range acl.Entries {
		if f, ok := first[facts.Val(e.Egress)]; e.Ipv6CidrBlock == nil && (!ok || facts.Val(e.RuleNumber) < facts.Val(f.RuleNumber)) {
			first[facts.Val(e.Egress)] = e
		}
	}
	open := func(e ec2types.NetworkAclEntry) bool {
		return e.RuleAction == ec2types.RuleActionAllow && facts.Val(e.Protocol) == "-1" && facts.Val(e.CidrBlock) == "0.0.0.0/0"
	}
	v6 := slices.ContainsFunc(acl.Entries, func(e ec2types.NetworkAclEntry) bool { return e.Ipv6CidrBlock != nil })
	return v6 || !open(first[false]) || !open(first[true])
}

// neededConnections are those that the cluster has to be able to make.
func neededConnections(v *facts.View) []connection {
	cp := controlPlaneOf(v)
	nodes := machines(facts.Nodes.In(v), facts.NetworkInterfaces.In(v))
	out := kubeletCalls(cp, nodes)
	for _, group := range byService(webhooks(v)) {
		out = append(out, hookCalls(v, cp, group)...)
	}
	for _, m := range cp.members(v) {
		if cp.vpc.EndpointPrivateAccess {
			out = append(out, apiCalls(cp, m)...)
		}
	}
	if m := metricsServerOf(v); m.service != nil {
		out = append(out, m.asks(v)...)
	}
	return slices.Concat(out, dnsCalls(v), endpointCalls(v), serviceCalls(v))
}

// serviceCalls are the connections of pods to the pods of Services that they
// are known to use, some for each set of groups and subnet.
func serviceCalls(v *facts.View) []connection {
	policies, namespaces := facts.NetworkPolicies.In(v), facts.Namespaces.In(v)
	all := spots(facts.Pods.In(v), facts.Nodes.In(v), facts.NetworkInterfaces.In(v))
	t := traffic{policies: map[string][]networkingv1.NetworkPolicy{}, namespaces: namespaces, target: v.Target(), sources: byOwner(all), anybody: map[podPort]bool{}, forOthers: forOthers(v, all)}
	for _, p := range policies {
		t.policies[p.Namespace] = append(t.policies[p.Namespace], p)
	}
	var owners [][]spot
	for _, list := range t.sources {
		owners = append(owners, list...)
	}
	var out []connection
	for _, p := range servicePorts(facts.Services.In(v), all) {
		if isDNS(p.service) {
			continue
		}
		for _, from := range samples(t.clients(p, p.pods, owners)) {
			for _, to := range samples(p.pods) {
				out = append(out, connection{from: from.host(), to: to.host(), protocol: p.protocol, port: p.number, source: "pod " + from.pod.Namespace + "/" + from.pod.Name,
					dest: "Service " + p.service.Namespace + "/" + p.service.Name, about: []facts.Ref{serviceRef(p.service), podRef(from.pod)}})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b connection) int { return cmp.Or(cmp.Compare(a.dest, b.dest), cmp.Compare(a.source, b.source)) })
	return out
}

// denials are the passages of a connection that ACLs deny for certain.
func (f filters) denials(c connection) []denial {
	var out []denial
	for _, h := range f.aclHops(c) {
		if !h.Blocked() {
			continue
		}
		d := denial{connection: c, Hop: h, egress: h.At == leaves || h.At == answers, reply: h.At == answers || h.At == returning, peer: c.to}
		if h.At == arrives || h.At == answers {
			d.peer = c.from
		}
		d.total = !passesSome(f.acls, d)
		out = append(out, d)
	}
	return out
}

// passesSome reports whether the ACL lets anything at all of the other side
// pass in the direction of d.
func passesSome(acls []ec2types.NetworkAcl, d denial) bool {
	for i := range acls {
		if facts.Val(acls[i].NetworkAclId) != d.Rule {
			continue
		}
		ports := []int32{1, 53, 443, kubeletPort, clientFrom}
		for _, e := range acls[i].Entries {
			if e.PortRange != nil {
				ports = append(ports, facts.Val(e.PortRange.From), facts.Val(e.PortRange.To))
			}
		}
		for _, p := range ports {
			if reach.ACLPasses(&acls[i], d.egress, d.peer.IP, "tcp", p, p).Allowed || reach.ACLPasses(&acls[i], d.egress, d.peer.IP, "udp", p, p).Allowed {
				return true
			}
		}
	}
	return false
}

// faultOf is the kind of fault that an ACL's denials come from. Where the
// ports for answers are closed, others among them are closed for the same
// reason.
func faultOf(all []denial) int {
	closed := map[bool]bool{} // by direction: to answers
	for _, d := range all {
		closed[d.egress] = closed[d.egress] || d.reply
	}
	kind := fine
	for _, d := range all {
		switch {
		case d.total:
			kind = min(kind, separates)
		case d.reply, closed[d.egress] && d.port >= reach.EphemeralFrom:
			kind = min(kind, deniesAnswers)
		case d.egress:
			kind = min(kind, separates)
		default:
			kind = min(kind, deniesInbound)
		}
	}
	return kind
}

func aclFinding(id string, kind int, all []denial, acls []ec2types.NetworkAcl, subnets []ec2types.Subnet) diagnose.Finding {
	subject := facts.Ref{Kind: facts.NetworkACLs.Kind(), ID: id}
	f := diagnose.Finding{Severity: diagnose.Degraded, Subject: subject, Claim: aclClaim(id, kind, all, subnets), Remedies: aclRemedies(id, all, acls, subnets)}
	var about []facts.Ref
	seen := map[string]bool{}
	for _, d := range all {
		about = append(about, d.about...)
		if d.dest == "CoreDNS" || d.port == 443 {
			f.Severity = diagnose.Outage
		}
		if key := d.At + d.dest; !seen[key] && len(f.Evidence) < 4 {
			seen[key] = true
			f.Evidence = append(f.Evidence, diagnose.Evidence{
				Fact: subject.String(), Got: d.At + ": " + d.Text, Want: fmt.Sprintf("%s (%s) may reach %s %d of %s (%s)", d.source, d.from.IP, d.protocol, d.port, d.dest, d.to.IP),
				Command: "aws ec2 describe-network-acls --network-acl-ids " + id + " --query 'NetworkAcls[].Entries'",
			})
		}
	}
	for _, d := range all {
		about = append(about, facts.Ref{Kind: facts.Subnets.Kind(), ID: d.from.Subnet}, facts.Ref{Kind: facts.Subnets.Kind(), ID: d.to.Subnet})
	}
	f.Affects = refs(subject, about)
	return f
}

func aclClaim(id string, kind int, all []denial, subnets []ec2types.Subnet) string {
	var dests, pairs []string
	for _, d := range all {
		if n := fmt.Sprintf("%s (%s %d)", d.dest, d.protocol, d.port); !slices.Contains(dests, n) {
			dests = append(dests, n)
		}
		if p := blockOf(subnets, d.from.Subnet, d.from.IP) + " to " + blockOf(subnets, d.to.Subnet, d.to.IP); !slices.Contains(pairs, p) {
			pairs = append(pairs, p)
		}
	}
	if len(dests) > 4 {
		dests = append(dests[:3:3], fmt.Sprintf("%d more", len(dests)-3))
	}
	if len(pairs) > 3 {
		pairs = append(pairs[:2:2], fmt.Sprintf("%d more", len(pairs)-2))
	}
	what, where := strings.Join(dests, ", "), strings.Join(pairs, ", ")
	switch kind {
	case separates:
		return fmt.Sprintf("Network ACL %s keeps subnets apart that have to talk, from %s: no connection to %s", id, where, what)
	case deniesInbound:
		return fmt.Sprintf("Network ACL %s denies what has to come in, from %s: no connection to %s", id, where, what)
	default:
		return fmt.Sprintf("Network ACL %s lets connections pass and denies their answers, from %s: they time out to %s", id, where, what)
	}
}

// blockOf is the CIDR block of a subnet, or an address alone.
func blockOf(subnets []ec2types.Subnet, id string, ip netip.Addr) string {
	for _, s := range subnets {
		if facts.Val(s.SubnetId) != id {
			continue
		}
		if ip.Is4() && s.CidrBlock != nil {
			return *s.CidrBlock
		}
		for _, a := range s.Ipv6CidrBlockAssociationSet {
			if reach.Contains(facts.Val(a.Ipv6CidrBlock), ip) {
				return *a.Ipv6CidrBlock
			}
		}
	}
	return netip.PrefixFrom(ip, ip.BitLen()).String()
}

// mostEntries is how many rules an ACL may have in each direction
// (docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html).
const mostEntries = 20

// aclRemedies adds rules that allow what is needed, before those that deny.
func aclRemedies(id string, all []denial, acls []ec2types.NetworkAcl, subnets []ec2types.Subnet) []remedy.Remedy {
	i := slices.IndexFunc(acls, func(a ec2types.NetworkAcl) bool { return facts.Val(a.NetworkAclId) == id })
	if i < 0 {
		return nil
	}
	numbers := map[bool][]int32{}
	for _, e := range acls[i].Entries {
		numbers[facts.Val(e.Egress)] = append(numbers[facts.Val(e.Egress)], facts.Val(e.RuleNumber))
	}
	run := remedy.Remedy{
		Title: "Allow what is needed in " + id,
		Why:   "The rules stand before those that deny and name the other subnet and the ports alone. Rules for answers open the ports from which clients connect.",
		Risk:  remedy.Safe,
	}
	var made []remedy.ACLEntry
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b denial) int { // the wide ranges for answers first: they may hold the rest
		return map[bool]int{true: -1, false: 1}[a.reply] - map[bool]int{true: -1, false: 1}[b.reply]
	})
	for _, d := range all {
		e := remedy.ACLEntry{ACL: id, Egress: d.egress, Protocol: d.protocol, FromPort: d.port, ToPort: d.port, CIDR: blockOf(subnets, peerSubnet(d), d.peer.IP)}
		if d.reply {
			e.FromPort, e.ToPort = reach.EphemeralFrom, reach.EphemeralTo
		}
		if slices.ContainsFunc(made, func(o remedy.ACLEntry) bool { return covers(o, e) }) {
			continue
		}
		made = append(made, e)
		n := room(&acls[i], d, numbers[e.Egress])
		if n == 0 {
			return []remedy.Remedy{crowded(id, acls[i])}
		}
		numbers[e.Egress] = append(numbers[e.Egress], n)
		e.Number = n
		run.Actions = append(run.Actions, remedy.CreateACLEntry{ACLEntry: e})
	}
	if len(numbers[true]) > mostEntries || len(numbers[false]) > mostEntries {
		return []remedy.Remedy{crowded(id, acls[i])}
	}
	return []remedy.Remedy{run}
}

// covers reports whether one rule lets pass all that another does.
func covers(o, e remedy.ACLEntry) bool {
	return o.Egress == e.Egress && o.Protocol == e.Protocol && o.CIDR == e.CIDR && o.FromPort <= e.FromPort && e.ToPort <= o.ToPort
}

func peerSubnet(d denial) string {
	if d.peer.IP == d.from.IP {
		return d.from.Subnet
	}
	return d.to.Subnet
}

// crowded is what a person may do about an ACL without room for rules.
func crowded(id string, acl ec2types.NetworkAcl) remedy.Remedy {
	r := remedy.Remedy{Title: "Make room in " + id + ", or give the subnet another network ACL", Why: "It has no free rule number before the rule that denies, or all the rules that it may have.", Risk: remedy.Disruptive}
	for _, a := range acl.Associations {
		r.Manual = append(r.Manual, "aws ec2 replace-network-acl-association --association-id "+facts.Val(a.NetworkAclAssociationId)+" --network-acl-id NETWORK_ACL")
	}
	return r
}

// room is the number for a rule that lets pass what d needs, before what
// denies it; 0 if there is none.
func room(acl *ec2types.NetworkAcl, d denial, taken []int32) int32 {
	lo, hi := d.port, d.port
	if d.reply {
		lo, hi = clientFrom, clientTo
	}
	return reach.RoomInACL(acl, d.egress, d.peer.IP, lo, hi, taken)
}
