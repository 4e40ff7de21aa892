package l4

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// NodeToNodeSGBlocked recognises groups of nodes between which security
// groups let nothing through that pods need.
var NodeToNodeSGBlocked = &diagnose.Check{
	ID:    "l4/node-to-node-sg-blocked",
	Title: "Security groups block pods of one node group from another's",
	Doc: `Pods use their node's network interfaces, and so its security groups. EKS gives managed node groups the cluster
security group, which admits its own members. A node group whose launch template names other groups does not have it
unless the template lists it, and then pods on both sides cannot talk: connections time out, while those within one node
group work. A cluster security group that lost the rule for its own members breaks all traffic between nodes.

Recognised by the sets of security groups on the interfaces that carry pods. For two sets, all ports that pods in the
one need of Services in the other must be blocked, by ingress of the destination or by egress of the source. Needed is
cluster DNS; a Service of the same namespace; and a Service of another namespace if a NetworkPolicy expressly admits those
pods, their environment names the Service, the question does, or nobody else could be meant: its own namespace has no other
pods and no load balancer sends to it. If one needed port is open the groups were set up on
purpose, and nothing is reported. Among the members of one set open DNS is no such sign: a module that admits of the
group itself only port 53 leaves the rest to whether two pods happen to share a node. Rules with prefix lists, and groups
that were not read, count as open.

Looks alike: a NetworkPolicy (it blocks within a node as well); a network ACL (it differs by subnet); pods with a branch
interface, which a SecurityGroupPolicy gives groups of their own.

Fix: admit the needed ports from the other side's group. Adding the cluster security group to the launch template and
replacing the nodes gives what EKS does by default.`,
	Needs:    []facts.Need{facts.Pods, facts.Nodes, facts.Services, facts.NetworkInterfaces, facts.SecurityGroups},
	Wants:    []facts.Need{facts.NetworkPolicies, facts.Namespaces, facts.Ingresses, facts.TargetGroupBindings},
	CausedBy: []string{"l4/cluster-sg-removed", "l4/sg-rules-limit-node-or-pod-sg", "l4/sg-stale-references", "l4/sg-egress-restricted"},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html#launch-template-security-groups",
		"https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html",
	},
	Run: nodeToNodeSGBlocked,
}

// traffic is what pods need of each other, and what may stop it.
type traffic struct {
	groups     reach.Groups
	policies   map[string][]networkingv1.NetworkPolicy // by namespace
	namespaces []corev1.Namespace
	target     facts.Target
	sources    map[string][][]spot // pods by set of groups, those of one owner together
	anybody    map[podPort]bool    // answers of admitsAnybody
	forOthers  map[string]bool     // Services that only other namespaces can be meant to call, as namespace/name
}

func nodeToNodeSGBlocked(v *facts.View) []diagnose.Finding {
	all := spots(facts.Pods.In(v), facts.Nodes.In(v), facts.NetworkInterfaces.In(v))
	t := traffic{
		groups: reach.GroupsOf(facts.SecurityGroups.In(v)), policies: map[string][]networkingv1.NetworkPolicy{}, namespaces: facts.Namespaces.In(v),
		target: v.Target(), sources: byOwner(all), anybody: map[podPort]bool{},
	}
	for _, p := range facts.NetworkPolicies.In(v) {
		t.policies[p.Namespace] = append(t.policies[p.Namespace], p)
	}
	t.forOthers = forOthers(v, all)
	ports := servicePorts(facts.Services.In(v), all)
	found := map[string]*blocked{}
	for _, from := range slices.Sorted(maps.Keys(t.sources)) {
		for _, to := range slices.Sorted(maps.Keys(t.sources)) {
			if b := t.between(from, to, ports); b != nil {
				if o := found[b.subject]; o != nil {
					o.merge(b)
				} else {
					found[b.subject] = b
				}
			}
		}
	}
	var findings []diagnose.Finding
	for _, subject := range slices.Sorted(maps.Keys(found)) {
		findings = append(findings, found[subject].finding(facts.Nodes.In(v), facts.SecurityGroups.In(v)))
	}
	return findings
}

// between reports how the pods in one set of groups are kept from all that
// they need in another; nil if they are not, or need nothing.
func (t traffic) between(from, to string, ports []port) *blocked {
	b := &blocked{sources: map[string]bool{}}
	for _, p := range ports {
		there := inSet(p.pods, to)
		if len(there) == 0 {
			continue
		}
		clients := t.clients(p, there, t.sources[from])
		l, tried := t.try(p, samples(clients), samples(there))
		if !tried {
			continue
		}
		switch {
		case l == nil && from == to && isDNS(p.service):
			b.resolves = true
			continue
		case l == nil:
			return nil // one needed port is open: on purpose
		case b.resolves && isDNS(p.service):
			continue // the other half of an open DNS
		}
		l.only = len(there) == len(p.pods)
		l.waiting = slices.DeleteFunc(slices.Clone(clients), func(c spot) bool { return reach.Ready(c.pod) })
		b.links = append(b.links, *l)
	}
	if len(b.links) == 0 {
		return nil
	}
	b.choose(t, from, to)
	return b
}

// try connects every client with every pod; the same node is no matter of
// security groups. It returns nil if one gets through or may get through.
func (t traffic) try(p port, clients, there []spot) (l *link, tried bool) {
	for _, c := range clients {
		for _, d := range there {
			if c.pod.Spec.NodeName == d.pod.Spec.NodeName {
				continue
			}
			tried = true
			out := t.groups.LetsOut(c.end.Groups, d.end, p.protocol, p.number)
			in := t.groups.Admits(d.end.Groups, c.end, p.protocol, p.number)
			if !out.Blocked() && !in.Blocked() {
				return nil, true
			}
			if l == nil {
				l = &link{port: p, from: c, to: d, out: out, in: in}
			}
		}
	}
	return l, tried
}

// inSet returns the spots with a set of groups.
func inSet(all []spot, set string) []spot {
	var out []spot
	for _, s := range all {
		if s.set() == set {
			out = append(out, s)
		}
	}
	return out
}

// A link is a needed port that is blocked.
type link struct {
	port     port
	from, to spot // one pair that shows it
	out, in  reach.Decision
	only     bool   // all pods behind the port are there
	waiting  []spot // clients that are not ready, perhaps for want of it
}

// The sides that may have to change.
const (
	ingress = "ingress"
	egress  = "egress"
)

// A blocked is one security group that has to change.
type blocked struct {
	subject  string          // its id
	way      string          // ingress or egress
	sources  map[string]bool // the groups on the other side
	links    []link
	resolves bool // DNS is open between members of one set, which says nothing of the rest
}

// choose picks the group to change and the group by which to name the other
// side: one that only that side has, if there is one.
func (b *blocked) choose(t traffic, from, to string) {
	a, z := strings.Split(from, ","), strings.Split(to, ",")
	b.way, b.subject = ingress, own(z, a)
	other := own(a, z)
	if !slices.ContainsFunc(b.links, func(l link) bool { return l.in.Blocked() }) {
		b.way, b.subject, other = egress, own(a, z), own(z, a)
	}
	b.sources[other] = true
}

// own returns the first of ids that is not among others, else the first.
func own(ids, others []string) string {
	if i := slices.IndexFunc(ids, func(id string) bool { return !slices.Contains(others, id) }); i >= 0 {
		return ids[i]
	}
	return ids[0]
}

// merge adds what another pair of sets has to say of the same group.
func (b *blocked) merge(o *blocked) {
	maps.Copy(b.sources, o.sources)
	b.links = append(b.links, o.links...)
}

// rulePorts are the distinct protocols and ports of b's links.
func (b *blocked) rulePorts() []port {
	seen := map[string]bool{}
	var out []port
	for _, l := range b.links {
		key := fmt.Sprint(l.port.protocol, l.port.number)
		if !seen[key] {
			seen[key] = true
			out = append(out, l.port)
		}
	}
	slices.SortFunc(out, func(x, y port) int {
		return cmp.Or(cmp.Compare(x.number, y.number), cmp.Compare(x.protocol, y.protocol))
	})
	return out
}

func (b *blocked) finding(nodes []corev1.Node, groups []ec2types.SecurityGroup) diagnose.Finding {
	f := diagnose.Finding{Severity: diagnose.Degraded, Subject: groupRef(b.subject), Claim: b.claim(nodes), Remedies: b.remedies(groups)}
	add := func(r facts.Ref) {
		if r != f.Subject && !slices.Contains(f.Affects, r) {
			f.Affects = append(f.Affects, r)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.sources)) {
		add(groupRef(id))
	}
	for _, l := range b.links {
		if l.only {
			f.Severity = diagnose.Outage
		}
		if len(f.Affects) < most {
			add(serviceRef(l.port.service))
		}
		for _, c := range l.waiting[:min(most, len(l.waiting))] {
			if len(f.Affects) < 4*most {
				add(podRef(c.pod))
			}
		}
		if len(f.Evidence) < 4 {
			f.Evidence = append(f.Evidence, b.evidence(l))
		}
	}
	return f
}

// most is how many Services a finding names: beyond that they are not looked
// through one by one.
const most = 50

func (b *blocked) claim(nodes []corev1.Node) string {
	var services []string
	for _, l := range b.links {
		if n := l.port.service.Namespace + "/" + l.port.service.Name; !slices.Contains(services, n) {
			services = append(services, n)
		}
	}
	if len(services) > 6 {
		services = append(services[:5:5], fmt.Sprintf("%d more", len(services)-5))
	}
	sources := strings.Join(slices.Sorted(maps.Keys(b.sources)), ", ")
	l := b.links[0]
	where := ""
	if from, to := nodeGroup(nodes, l.from), nodeGroup(nodes, l.to); from != "" && to != "" && from != to {
		where = fmt.Sprintf(" (node group %s to %s)", from, to)
	}
	if b.way == egress {
		return fmt.Sprintf("Security group %s lets none of its pods out to %s%s: %s cannot be reached", b.subject, sources, where, strings.Join(services, ", "))
	}
	if b.sources[b.subject] {
		except := ""
		if b.resolves {
			except = ", but for DNS"
		}
		return fmt.Sprintf("Security group %s does not admit its own members%s: pods on different nodes cannot reach %s", b.subject, except, strings.Join(services, ", "))
	}
	return fmt.Sprintf("Security group %s admits nothing that pods in %s need%s: they cannot reach %s", b.subject, sources, where, strings.Join(services, ", "))
}

func nodeGroup(nodes []corev1.Node, s spot) string {
	for i := range nodes {
		if nodes[i].Name == s.pod.Spec.NodeName {
			return nodes[i].Labels["eks.amazonaws.com/nodegroup"]
		}
	}
	return ""
}

func (b *blocked) evidence(l link) diagnose.Evidence {
	d, group := l.in, strings.Join(l.to.end.Groups, " ")
	if b.way == egress || !l.in.Blocked() {
		d, group = l.out, strings.Join(l.from.end.Groups, " ")
	}
	return diagnose.Evidence{
		Fact: groupRef(b.subject).String(),
		Got:  d.Text,
		Want: fmt.Sprintf("pod %s/%s may reach %s %d of pod %s/%s, for Service %s", l.from.pod.Namespace, l.from.pod.Name, l.port.protocol, l.port.number,
			l.to.pod.Namespace, l.to.pod.Name, l.port.service.Name),
		Command: "aws ec2 describe-security-groups --group-ids " + group + " --query 'SecurityGroups[].[GroupId,IpPermissions,IpPermissionsEgress]'",
	}
}
