package dns

import (
	"fmt"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// A fence is one security group or network ACL with what it cuts.
type fence struct {
	object facts.Ref
	cuts   []cut     // each with the passages of object alone
	dead   []*askers // of them, who reaches no CoreDNS pod with most queries, whatever stops it
}

// fences sorts cuts by what has to change. keep says which passages count.
func fences(w *queryWay, cuts []cut, keep func(cut, passage) bool) []*fence {
	var out []*fence
	for _, c := range cuts {
		by := map[facts.Ref][]passage{}
		var order []facts.Ref
		for _, p := range c.passages {
			if o := c.object(p); keep(c, p) {
				if by[o] == nil {
					order = append(order, o)
				}
				by[o] = append(by[o], p)
			}
		}
		for _, o := range order {
			i := slices.IndexFunc(out, func(f *fence) bool { return f.object == o })
			if i < 0 {
				i, out = len(out), append(out, &fence{object: o})
			}
			only := c
			only.passages = by[o]
			out[i].cuts = append(out[i].cuts, only)
			if w.lost(cuts, c.who) == len(w.servers) && !slices.Contains(out[i].dead, c.who) {
				out[i].dead = append(out[i].dead, c.who)
			}
		}
	}
	return out
}

// lost is how many CoreDNS pods askers do not reach with most queries.
func (w *queryWay) lost(cuts []cut, who *askers) int {
	n := 0
	for _, c := range cuts {
		if c.who == who && w.mostly(c.protocol) {
			n++
		}
	}
	return n
}

// protocols are "udp 53, tcp 53", as far as the fence cuts them.
func (f *fence) protocols() string {
	var out []string
	for _, c := range f.cuts {
		if p := fmt.Sprintf("%s %d", c.protocol, c.port); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return strings.Join(out, ", ")
}

// pods are those of all that the fence cuts off, wholly or in part.
func (f *fence) pods() []string {
	var all []*askers
	for _, c := range f.cuts {
		all = append(all, c.who)
	}
	return podsOf(all)
}

// podsOf are the pods of askers, each once, as namespace/name.
func podsOf(all []*askers) []string {
	var out []string
	for _, a := range all {
		for _, p := range a.pods {
			out = append(out, p.Namespace+"/"+p.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// others are the groups on the other side of those passages that are stopped
// in a direction.
func (f *fence) others(egress bool) []string {
	var out []string
	for _, c := range f.cuts {
		for _, p := range c.passages {
			from, to := c.from.Groups, c.to.Groups
			if egress {
				from, to = to, from
			}
			if p.group && p.egress == egress && len(from) > 0 {
				out = append(out, own(from, to))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// affects are the pods that the fence cuts off, the first of them, and what
// it stands between.
func (f *fence) affects(w *queryWay) []facts.Ref {
	const most = 50
	var out []facts.Ref
	add := func(r facts.Ref) {
		if r.ID != "" && r != f.object && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	for _, c := range f.cuts {
		for _, p := range c.passages {
			if !p.group {
				add(facts.Ref{Kind: facts.Subnets.Kind(), ID: c.from.Subnet})
				add(facts.Ref{Kind: facts.Subnets.Kind(), ID: c.to.Subnet})
			}
		}
	}
	if w.cached { // the pods of these nodes are who suffers
		for _, n := range w.nodesOf(f.dead) {
			add(facts.Ref{Kind: facts.Nodes.Kind(), ID: n})
		}
	}
	for _, id := range f.pods() {
		if len(out) < most {
			add(facts.Ref{Kind: facts.Pods.Kind(), ID: id})
		}
	}
	return out
}

// evidence shows one pair of each protocol and direction, and who is cut off
// of all that ask.
func (f *fence) evidence(w *queryWay) []diagnose.Evidence {
	var out []diagnose.Evidence
	seen := map[string]bool{}
	for _, c := range f.cuts {
		for _, p := range c.passages {
			key := fmt.Sprint(c.protocol, p.at)
			if seen[key] || len(out) == 4 {
				continue
			}
			seen[key] = true
			out = append(out, diagnose.Evidence{
				Fact: f.object.String(), Got: p.at + ": " + p.Text,
				Want: fmt.Sprintf("pod %s/%s (%s) may ask CoreDNS pod %s (%s) on %s %d", c.from.pod.Namespace, c.from.pod.Name, c.from.IP, c.to.pod.Name, c.to.IP, c.protocol, c.port),
				Command: map[facts.Kind]string{
					facts.SecurityGroups.Kind(): "aws ec2 describe-security-groups --group-ids " + f.object.ID + " --query 'SecurityGroups[].[GroupId,IpPermissions,IpPermissionsEgress]'",
					facts.NetworkACLs.Kind():    "aws ec2 describe-network-acls --network-acl-ids " + f.object.ID + " --query 'NetworkAcls[].Entries'",
				}[f.object.Kind],
			})
		}
	}
	all := 0
	for _, a := range w.askers {
		all += len(a.pods)
	}
	cut := f.pods()
	if said := w.silence(f); len(said) > 0 {
		out = append(out, logEvidence(said.sum(), false, "answers from CoreDNS"))
	}
	return append(out, diagnose.Evidence{
		Fact: "pods that ask CoreDNS", Got: fmt.Sprintf("%d of %d are cut off: %s", len(cut), all, diagnose.Some(cut)), Want: "none: within one node nothing stands between",
		Command: "kubectl get pods -A -o wide",
	})
}

// groupRules are the rules of security groups that let the cut queries pass.
func groupRules(all []cut) []remedy.Action {
	var out []remedy.Action
	add := func(a remedy.Action) {
		if !slices.ContainsFunc(out, func(o remedy.Action) bool { return o.Command() == a.Command() }) {
			out = append(out, a)
		}
	}
	for _, c := range all {
		for _, p := range c.passages {
			from, to := own(c.from.Groups, c.to.Groups), own(c.to.Groups, c.from.Groups)
			switch {
			case from == "" || to == "": // a side without groups is nothing that a rule could name
			case p.group && p.egress:
				add(remedy.AuthorizeEgress{EgressRule: remedy.EgressRule{Group: from, Protocol: c.protocol, FromPort: c.port, ToPort: c.port, ToGroup: to}})
			case p.group:
				add(remedy.AuthorizeIngress{Rule: remedy.Rule{Group: to, Protocol: c.protocol, FromPort: c.port, ToPort: c.port, FromGroup: from}})
			}
		}
	}
	return out
}

// aclRules are the rules of one network ACL that let the cut queries and
// their answers pass; false when it has no room for them.
func aclRules(id string, all []cut, acls []ec2types.NetworkAcl, subnets []ec2types.Subnet) ([]remedy.Action, bool) {
	const most = 20 // rules of one direction (docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html)
	i := slices.IndexFunc(acls, func(a ec2types.NetworkAcl) bool { return facts.Val(a.NetworkAclId) == id })
	if i < 0 {
		return nil, false
	}
	numbers := map[bool][]int32{}
	for _, e := range acls[i].Entries {
		numbers[facts.Val(e.Egress)] = append(numbers[facts.Val(e.Egress)], facts.Val(e.RuleNumber))
	}
	var out []remedy.Action
	made := map[remedy.ACLEntry]bool{}
	for _, c := range all {
		for _, p := range c.passages {
			if p.group || p.Rule != id {
				continue
			}
			e := remedy.ACLEntry{ACL: id, Egress: p.egress, Protocol: c.protocol, FromPort: c.port, ToPort: c.port, CIDR: blockOf(subnets, p.peer)}
			if p.reply {
				e.FromPort, e.ToPort = reach.EphemeralFrom, reach.EphemeralTo
			}
			if made[e] {
				continue
			}
			made[e] = true
			lo, hi := e.FromPort, e.ToPort
			if p.reply {
				lo, hi = clientFrom, clientTo
			}
			e.Number = reach.RoomInACL(&acls[i], e.Egress, p.peer.IP, lo, hi, numbers[e.Egress])
			numbers[e.Egress] = append(numbers[e.Egress], e.Number)
			if e.Number == 0 || len(numbers[e.Egress]) > most {
				return nil, false
			}
			out = append(out, remedy.CreateACLEntry{ACLEntry: e})
		}
	}
	return out, true
}

// blockOf is the block of a host's subnet, or its address alone.
func blockOf(subnets []ec2types.Subnet, h reach.Host) string {
	for _, s := range subnets {
		if facts.Val(s.SubnetId) != h.Subnet {
			continue
		}
		if h.IP.Is4() && s.CidrBlock != nil {
			return *s.CidrBlock
		}
		for _, a := range s.Ipv6CidrBlockAssociationSet {
			if reach.Contains(facts.Val(a.Ipv6CidrBlock), h.IP) {
				return *a.Ipv6CidrBlock
			}
		}
	}
	if h.IP.Is4() {
		return h.IP.String() + "/32"
	}
	return h.IP.String() + "/128"
}
