package dns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// pathWants are what the way to an upstream is followed with.
var pathWants = slices.DeleteFunc(slices.Clone(reach.Needs), func(n facts.Need) bool {
	return slices.ContainsFunc(slices.Concat(upstreamNeeds, upstreamWants), func(o facts.Need) bool { return o.Kind() == n.Kind() })
})

// A detour is the way from the CoreDNS pods to an upstream outside of CoreDNS.
type detour struct {
	reach.Path
	up   *upstream
	acls []ec2types.NetworkAcl
	own  []string // groups of an interface that carries a CoreDNS pod
}

// detourTo follows a query to an upstream, hop by hop. The VPC's resolver is
// reached past all filters: nothing is to be said of the way there.
func (u *upstreams) detourTo(v *facts.View, up *upstream) detour {
	d := detour{up: up, acls: facts.NetworkACLs.In(v)}
	if up.vpc || !up.plain || !up.ip.IsValid() || up.ip.IsLoopback() || up.ip.IsLinkLocalUnicast() || u.deployment == nil || u.inCluster(up.ip) {
		return d
	}
	from := facts.Target{Kind: reach.KindDeployment, Namespace: u.deployment.Namespace, Name: u.deployment.Name}
	port := int32(53)
	if ap, err := netip.ParseAddrPort(up.addr); err == nil {
		port = int32(ap.Port())
	}
	if w := newQueryWay(v); len(w.servers) > 0 {
		d.own = w.servers[0].Groups
	}
	d.Path = reach.FromView(v).Trace(from, facts.Target{Kind: reach.KindHost, Host: up.ip.String()}, "udp", port)
	return d
}

// inCluster reports whether an address is one of Services, of which routes and
// security groups know nothing.
func (u *upstreams) inCluster(ip netip.Addr) bool {
	for _, s := range u.world.Services {
		if slices.Contains(append([]string{s.Spec.ClusterIP}, s.Spec.ClusterIPs...), ip.String()) {
			return true
		}
	}
	return slices.ContainsFunc(u.world.Clusters, func(c ekstypes.Cluster) bool {
		n := c.KubernetesNetworkConfig
		return n != nil && (reach.Contains(facts.Val(n.ServiceIpv4Cidr), ip) || reach.Contains(facts.Val(n.ServiceIpv6Cidr), ip))
	})
}

// stopped is the hop that stops queries for certain; nil when none does.
func (d detour) stopped() *reach.Step {
	if i := d.Broken(); i >= 0 && d.Hops[i].Verdict == reach.Denied {
		return &d.Hops[i]
	}
	return nil
}

// holder is the object of a kind that the broken hop is about; "" for none.
func (d detour) holder(kind facts.Kind) string {
	if s := d.stopped(); s != nil {
		for _, o := range s.Objects {
			if o.Kind == kind {
				return o.ID
			}
		}
	}
	return ""
}

// evidence is the broken hop, or how far the way could be followed.
func (d detour) evidence() []diagnose.Evidence {
	if len(d.Hops) == 0 {
		return nil
	}
	e := diagnose.Evidence{Fact: "way from CoreDNS to " + d.up.addr, Want: fmt.Sprintf("%s %d passes, and its answers", d.Protocol, d.Port)}
	if s := d.stopped(); s != nil {
		e.Got, e.Command = s.Hop+": "+s.Text, s.Command
		return []diagnose.Evidence{e}
	}
	if i := d.Broken(); i >= 0 {
		e.Got = "nothing in the VPC stops it as far as can be told; not known: " + d.Hops[i].Hop + ": " + d.Hops[i].Text
		e.Command = cmp.Or(d.Hops[i].Command, "dig @"+d.up.ip.String()+" +tries=1 .")
		return []diagnose.Evidence{e}
	}
	e.Got, e.Command = "nothing in the VPC stops it", "dig @"+d.up.ip.String()+" +tries=1 ."
	return []diagnose.Evidence{e}
}

// why says what stops the queries, for the end of a claim.
func (d detour) why() string {
	if s := d.stopped(); s != nil {
		return "; they are stopped at " + s.Hop + ": " + s.Text
	}
	return ""
}

// remedies open the broken hop; none when nothing is known to be broken.
func (d detour) remedies() []remedy.Remedy {
	s := d.stopped()
	if s == nil {
		return nil
	}
	block := netip.PrefixFrom(d.up.ip, d.up.ip.BitLen()).String()
	group, acl, table := d.holder(facts.SecurityGroups.Kind()), d.holder(facts.NetworkACLs.Kind()), d.holder(facts.RouteTables.Kind())
	switch {
	case group != "" && strings.Contains(s.Hop, "egress"):
		r := remedy.Remedy{Title: "Let queries out to " + d.up.addr, Why: "The rules name this address and its port alone. Large answers need TCP as well.", Risk: remedy.Safe}
		for _, protocol := range []string{"udp", "tcp"} {
			r.Actions = append(r.Actions, remedy.AuthorizeEgress{EgressRule: remedy.EgressRule{Group: group, Protocol: protocol, FromPort: d.Port, ToPort: d.Port, ToCIDR: block}})
		}
		return []remedy.Remedy{r}
	case group != "" && len(d.own) > 0:
		r := remedy.Remedy{Title: "Admit queries of CoreDNS to " + d.up.addr, Why: "The rules admit the group of the CoreDNS nodes to this port alone. Large answers need TCP as well.", Risk: remedy.Safe}
		for _, protocol := range []string{"udp", "tcp"} {
			r.Actions = append(r.Actions, remedy.AuthorizeIngress{Rule: remedy.Rule{Group: group, Protocol: protocol, FromPort: d.Port, ToPort: d.Port, FromGroup: d.own[0]}})
		}
		return []remedy.Remedy{r}
	case acl != "":
		return []remedy.Remedy{d.openACL(acl)}
	case table != "":
		return []remedy.Remedy{{
			Title: "Give the subnets of CoreDNS a route to " + d.up.ip.String(), Why: "Which gateway leads there, a transit gateway, a peering connection or a VPN, only you know.", Risk: remedy.Disruptive,
			Manual: []string{s.Command, "aws ec2 create-route --route-table-id " + table + " --destination-cidr-block " + block + " --transit-gateway-id TRANSIT_GATEWAY"},
		}}
	}
	return []remedy.Remedy{{Title: "Open the way to " + d.up.addr, Why: "See the hop that stops the queries.", Manual: []string{s.Command}}}
}

// openACL lets queries to the upstream, and their answers, through a network
// ACL.
func (d detour) openACL(id string) remedy.Remedy {
	r := remedy.Remedy{Title: "Allow queries to " + d.up.addr + " in " + id, Why: "The rules stand before those that deny and name this address alone.", Risk: remedy.Safe}
	to := reach.Host{Endpoint: reach.Endpoint{IP: d.up.ip}}
	var cuts []cut
	for _, protocol := range []string{"udp", "tcp"} {
		c := cut{protocol: protocol, port: d.Port}
		for i := range d.acls {
			if facts.Val(d.acls[i].NetworkAclId) != id {
				continue
			}
			for _, p := range []passage{
				{egress: true, peer: to, Decision: reach.ACLPasses(&d.acls[i], true, d.up.ip, protocol, d.Port, d.Port)},
				{reply: true, peer: to, Decision: reach.ACLPasses(&d.acls[i], false, d.up.ip, protocol, clientFrom, clientTo)},
			} {
				if p.Rule = id; p.Blocked() {
					c.passages = append(c.passages, p)
				}
			}
		}
		cuts = append(cuts, c)
	}
	actions, room := aclRules(id, cuts, d.acls, nil)
	if r.Actions = actions; !room || len(actions) == 0 {
		r.Actions, r.Manual = nil, []string{"aws ec2 describe-network-acls --network-acl-ids " + id + " --query 'NetworkAcls[].Entries'"}
	}
	return r
}

// ask shows by hand whether an upstream answers, where nothing better is known.
func (up *upstream) ask(name string) remedy.Remedy {
	server := strings.TrimSuffix(up.addr, ":53")
	if up.ip.IsValid() {
		server = up.ip.String()
	}
	return remedy.Remedy{
		Title:  "See whether " + up.addr + " answers, over UDP and over TCP",
		Why:    "From a node that runs CoreDNS. If it does not answer there either, look at the server, at its firewall and at the way back to the VPC.",
		Manual: []string{fmt.Sprintf("dig @%s %s +tries=1", server, name), fmt.Sprintf("dig @%s %s +tcp +tries=1", server, name)},
	}
}
