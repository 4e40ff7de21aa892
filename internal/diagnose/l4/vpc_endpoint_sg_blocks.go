package l4

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// VPCEndpointSGBlocks recognises interface endpoints that do not admit those
// whom private DNS sends there.
var VPCEndpointSGBlocks = &diagnose.Check{
	ID:    "l4/vpc-endpoint-sg-blocks",
	Title: "Interface endpoint does not admit nodes or pods",
	Doc: `An interface VPC endpoint with private DNS takes the name of its AWS service for the whole VPC: every client there is
sent to the endpoint's network interfaces, whose security groups must admit TCP 443 from it. If they do not, what uses the
service times out: image pulls (ecr.api, ecr.dkr), roles of service accounts (sts), Pod Identity (eks-auth), the CNI (ec2).
That there is a NAT gateway does not help.

Recognised by endpoints that are available, with private DNS, of a service that something here uses: ec2 if aws-node runs,
ecr.api and ecr.dkr if a pod's image is in ECR, sts if a pod's ServiceAccount has a role, eks-auth if a pod has a Pod Identity,
and the service whose name the question says, for pods that have a role. Nodes and pods are judged by the interface that
carries them: a pod with security groups of its own is no member of the nodes' group. No group of an endpoint's interface
admits them. An endpoint that nobody here uses may be as closed as it likes.

Looks alike: no endpoint and no way out; AccessDenied (the endpoint's policy); private DNS off.

Fix: admit 443 to the endpoint's group from the group of the nodes or pods.`,
	Needs:    []facts.Need{facts.VPCEndpoints, facts.NetworkInterfaces, facts.SecurityGroups, facts.Pods, facts.Nodes},
	Wants:    []facts.Need{facts.ServiceAccounts},
	CausedBy: []string{"l4/sg-rules-limit-node-or-pod-sg", "l4/sg-stale-references"},
	Sources: []string{
		"https://docs.aws.amazon.com/vpc/latest/privatelink/create-interface-endpoint.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/private-clusters.html",
	},
	Run: vpcEndpointSGBlocks,
}

func vpcEndpointSGBlocks(v *facts.View) []diagnose.Finding {
	rules := filters{groups: filtersOfGroups(v)}
	byObject, order, tried := map[facts.Ref][]stop{}, []facts.Ref{}, map[facts.Ref]int{}
	for _, c := range endpointCalls(v) {
		endpoint := c.about[0]
		tried[endpoint]++
		s, ok := rules.stop(c)
		if !ok || s.outward() {
			continue
		}
		o := s.object()
		if byObject[o] == nil {
			order = append(order, o)
		}
		byObject[o] = append(byObject[o], s)
	}
	var findings []diagnose.Finding
	for _, o := range order {
		f := endpointBlocked(o, byObject[o], tried)
		f.Affects = refs(o, f.Affects, pulling(v, byObject[o]))
		findings = append(findings, f)
	}
	return findings
}

// pulling are the pods that cannot get their image from ECR and whose node is
// stopped on the way there.
func pulling(v *facts.View, stops []stop) []facts.Ref {
	cut := map[string]bool{}
	for _, s := range stops {
		if strings.HasPrefix(s.dest, "endpoint of ecr.") {
			cut[place(s.from)] = true
		}
	}
	on := map[string]bool{}
	for _, m := range machines(facts.Nodes.In(v), facts.NetworkInterfaces.In(v)) {
		on[m.Name] = cut[place(m.Host)]
	}
	var out []facts.Ref
	pods := facts.Pods.In(v)
	for i := range pods {
		for _, c := range slices.Concat(pods[i].Status.InitContainerStatuses, pods[i].Status.ContainerStatuses) {
			w := c.State.Waiting
			if on[pods[i].Spec.NodeName] && w != nil && (w.Reason == "ImagePullBackOff" || w.Reason == "ErrImagePull") && strings.Contains(c.Image, ".dkr.ecr.") {
				out = append(out, podRef(&pods[i]))
			}
		}
	}
	return out
}

// place is what rules tell hosts apart by: their groups and their subnet.
func place(h reach.Host) string { return strings.Join(h.Groups, ",") + " " + h.Subnet }

// endpointCalls are the connections that nodes and pods make to interface
// endpoints of services that they use.
func endpointCalls(v *facts.View) []connection {
	endpoints := privateEndpoints(v)
	asked := map[string]bool{}
	for _, e := range endpoints {
		asked[e.service] = asked[e.service] || e.asked(v.Target())
	}
	users := usersOfServices(v, asked)
	var out []connection
	for _, e := range endpoints {
		for _, to := range e.hosts {
			for _, u := range users[e.service] {
				if u.VPC == to.VPC {
					out = append(out, connection{from: u.Host, to: to, protocol: "tcp", port: 443, source: u.name, dest: "endpoint of " + e.service, about: append([]facts.Ref{e.ref()}, u.refs...)})
				}
			}
		}
	}
	return out
}

// A user is one that calls an AWS service, with the interface it does so from,
// and others that do so under the same rules.
type user struct {
	reach.Host
	name string
	refs []facts.Ref
}

// services are the users of AWS services, by service: one user for each set of
// groups and subnet.
type services map[string][]*user

func (s services) add(service string, u user) {
	for _, known := range s[service] {
		if place(known.Host) == place(u.Host) {
			known.refs = append(known.refs, u.refs...)
			return
		}
	}
	u.refs = slices.Clone(u.refs)
	s[service] = append(s[service], &u)
}

// usersOfServices says who is known to use which AWS service. What the
// question asks about is used by the pods that have a role, else by the nodes.
func usersOfServices(v *facts.View, asked map[string]bool) services {
	interfaces, pods, role := facts.NetworkInterfaces.In(v), facts.Pods.In(v), rolesOf(v)
	out, machine, holders := services{}, map[string]user{}, reach.HoldersOf(interfaces)
	for _, m := range machines(facts.Nodes.In(v), interfaces) {
		machine[m.Name] = user{m.Host, "node " + m.Name, []facts.Ref{nodeRef(m.Node)}}
	}
	for i := range pods {
		p := &pods[i]
		node, ok := machine[p.Spec.NodeName]
		if !ok || reach.Finished(p) {
			continue
		}
		if p.Labels["k8s-app"] == "aws-node" {
			out.add("ec2", node)
		}
		if slices.ContainsFunc(slices.Concat(p.Spec.InitContainers, p.Spec.Containers), func(c corev1.Container) bool { return strings.Contains(c.Image, ".dkr.ecr.") }) {
			out.add("ecr.api", node)
			out.add("ecr.dkr", node)
		}
		if podIdentity(p) {
			out.add("eks-auth", node) // the agent asks, on the node's network
		}
		self := user{node.Host, "pod " + p.Namespace + "/" + p.Name, []facts.Ref{podRef(p)}}
		if eni := holders.Holder(addressOf(p)); eni != nil {
			self.Host = hostWith(eni, addressOf(p))
		} else if reach.HasBranch(p) {
			continue
		}
		if role.asksSTS(p) {
			out.add("sts", self)
		}
		for service, wanted := range asked {
			if wanted && role.has(p) {
				out.add(service, self)
			}
		}
	}
	for service, wanted := range asked {
		if wanted && len(out[service]) == 0 {
			for _, n := range slices.Sorted(maps.Keys(machine)) {
				out.add(service, machine[n])
			}
		}
	}
	return out
}

func endpointBlocked(object facts.Ref, stops []stop, tried map[facts.Ref]int) diagnose.Finding {
	var about []facts.Ref
	var services, sources []string
	all := 0
	for _, s := range stops {
		if !slices.Contains(about, s.about[0]) {
			all += tried[s.about[0]]
		}
		about = append(about, s.about...)
		if n := strings.TrimPrefix(s.dest, "endpoint of "); !slices.Contains(services, n) {
			services = append(services, n)
		}
		if n := strings.Join(s.from.Groups, ", "); !slices.Contains(sources, n) {
			sources = append(sources, n)
		}
	}
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  object,
		Affects:  refs(object, about),
		Claim:    fmt.Sprintf("%s does not admit %s to the interface endpoints of %s on port 443, where private DNS sends it%s", object.ID, strings.Join(sources, " and "), strings.Join(services, ", "), cost(stops)),
		Evidence: evidenceOf(stops),
		Remedies: ways(stops, "nodes and pods to the endpoints"),
	}
	if len(stops) < all {
		f.Severity = diagnose.Degraded
	}
	return f
}

// cost is what it means to pods that STS is shut to them.
func cost(stops []stop) string {
	i := slices.IndexFunc(stops, func(s stop) bool { return s.dest == "endpoint of sts" && strings.HasPrefix(s.source, "pod ") })
	if i < 0 {
		return ""
	}
	return ": " + stops[i].source + ", and those like it, get no AWS credentials"
}
