package l4

import (
	"fmt"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
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
ecr.api and ecr.dkr if a pod's image is in ECR, sts and eks-auth if a pod has the variables of IRSA or Pod Identity. The
interfaces of the nodes (for pods: those that carry them) must be admitted by no group of an endpoint's interface. One that
nobody here uses may be as closed as it likes.

Looks alike: no endpoint and no way out; AccessDenied (the endpoint's policy); private DNS off.

Fix: admit 443 to the endpoint's group from the group of the nodes or pods.`,
	Needs: []facts.Need{facts.VPCEndpoints, facts.NetworkInterfaces, facts.SecurityGroups, facts.Pods, facts.Nodes},
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
	users := usersOfServices(facts.Pods.In(v), facts.Nodes.In(v), facts.NetworkInterfaces.In(v))
	interfaces := map[string]*ec2types.NetworkInterface{}
	all := facts.NetworkInterfaces.In(v)
	for i := range all {
		interfaces[facts.Val(all[i].NetworkInterfaceId)] = &all[i]
	}
	var out []connection
	for _, e := range facts.VPCEndpoints.In(v) {
		if e.VpcEndpointType != ec2types.VpcEndpointTypeInterface || !strings.EqualFold(string(e.State), "available") || !facts.Val(e.PrivateDnsEnabled) {
			continue
		}
		service := shortService(facts.Val(e.ServiceName))
		about := facts.Ref{Kind: facts.VPCEndpoints.Kind(), ID: facts.Val(e.VpcEndpointId)}
		for _, id := range e.NetworkInterfaceIds {
			eni := interfaces[id]
			if eni == nil || len(eni.Groups) == 0 {
				continue
			}
			to, ok := hostOn(eni)
			for _, u := range users[service] {
				if ok && u.VPC == to.VPC {
					out = append(out, connection{from: u.Host, to: to, protocol: "tcp", port: 443, source: u.name, dest: "endpoint of " + service, about: []facts.Ref{about, u.ref}})
				}
			}
		}
	}
	return out
}

// shortService is "ecr.api" of "com.amazonaws.eu-west-1.ecr.api".
func shortService(name string) string {
	parts := strings.SplitN(strings.TrimPrefix(name, "cn."), ".", 4)
	return parts[len(parts)-1]
}

// A user is one that calls an AWS service, with the interface it does so from.
type user struct {
	reach.Host
	name string
	ref  facts.Ref
}

// usersOfServices says who is known to use which AWS service, one user for
// each set of groups and subnet.
func usersOfServices(pods []corev1.Pod, nodes []corev1.Node, interfaces []ec2types.NetworkInterface) map[string][]user {
	out := map[string][]user{}
	seen := map[string]bool{}
	add := func(service string, u user) {
		key := service + " " + place(u.Host)
		if !seen[key] {
			seen[key] = true
			out[service] = append(out[service], u)
		}
	}
	machine := map[string]user{}
	for _, m := range machines(nodes, interfaces) {
		machine[m.Name] = user{m.Host, "node " + m.Name, nodeRef(m.Node)}
	}
	holders := reach.HoldersOf(interfaces)
	for i := range pods {
		p := &pods[i]
		node, ok := machine[p.Spec.NodeName]
		if !ok || reach.Finished(p) {
			continue
		}
		if p.Labels["k8s-app"] == "aws-node" {
			add("ec2", node)
		}
		for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
			if strings.Contains(c.Image, ".dkr.ecr.") {
				add("ecr.api", node)
				add("ecr.dkr", node)
			}
			self := node
			if eni := holders.Holder(addressOf(p)); eni != nil {
				self = user{hostWith(eni, addressOf(p)), "pod " + p.Namespace + "/" + p.Name, podRef(p)}
			}
			for _, e := range c.Env {
				switch e.Name {
				case "AWS_WEB_IDENTITY_TOKEN_FILE":
					add("sts", self)
				case "AWS_CONTAINER_CREDENTIALS_FULL_URI":
					add("eks-auth", node) // the agent asks, on the node's network
				}
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
		Claim:    fmt.Sprintf("%s does not admit %s to the interface endpoints of %s on port 443, where private DNS sends it", object.ID, strings.Join(sources, " and "), strings.Join(services, ", ")),
		Evidence: evidenceOf(stops),
		Remedies: ways(stops, "nodes and pods to the endpoints"),
	}
	if len(stops) < all {
		f.Severity = diagnose.Degraded
	}
	return f
}
