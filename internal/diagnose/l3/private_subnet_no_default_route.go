package l3

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// PrivateSubnetNoDefaultRoute recognises a subnet of nodes from which nothing
// outside the VPC can be reached.
var PrivateSubnetNoDefaultRoute = &diagnose.Check{
	ID:    "l3/private-subnet-no-default-route",
	Title: "Subnet of nodes has no way out",
	Doc: `What leaves the VPC needs a default route: to a NAT gateway in a private subnet, to an internet gateway in a
public one, or to a transit gateway. A subnet that was added or lost its association falls to the VPC's main route
table, which usually has only the local route. Nodes there cannot join, pull images or reach AWS APIs: connections time
out.

Recognised by the route table that a node's subnet really uses (its own, or the main one) having no active default route,
while the subnets of other nodes have one or pods on its nodes fail to pull images with timeouts. Instances that carry the
cluster's tags and never became nodes count as nodes. Subnets that share a table are one finding. Pods leave by their
node's primary interface unless AWS_VPC_K8S_CNI_EXTERNALSNAT is true, so only then their own subnets count as well.

Looks alike: a default route in state blackhole (its NAT gateway is gone); a default route to an internet gateway for
nodes without public addresses; a cluster that is private by design, which has VPC endpoints for what it needs and no
routed sibling; an image that does not exist (no timeout).

Fix: associate the route table that a sibling subnet of the same zone uses, or add the route to a NAT gateway of the zone.`,
	Needs: []facts.Need{facts.Nodes, facts.NetworkInterfaces, facts.Subnets, facts.RouteTables},
	Wants: []facts.Need{facts.Pods, facts.Events, facts.NATGateways, facts.VPCEndpoints, facts.DaemonSets, facts.Clusters},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/subnet-route-tables.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/private-clusters.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/external-snat.html",
	},
	Run: privateSubnetNoDefaultRoute,
}

// A routed is one subnet of nodes with the table that it uses.
type routed struct {
	subnet   ec2types.Subnet
	table    *ec2types.RouteTable
	explicit bool // associated with table; false: falls to the main one
	nodes    []node
	strays   []string          // instances of the cluster that are no nodes
	symptoms map[string]string // message by pod
	pods     []*corev1.Pod     // that have symptoms
	also     []*routed         // further subnets of nodes that use the same table
}

func privateSubnetNoDefaultRoute(v *facts.View) []diagnose.Finding {
	used := nodeSubnets(v)
	sick := pullTimeouts(facts.Pods.In(v), facts.Events.In(v))
	var cut []*routed
	siblings := 0
	for _, id := range slices.Sorted(maps.Keys(used)) {
		r := used[id]
		switch wayOut(r.table) {
		case hasDefault:
			if len(r.nodes) > 0 { // an instance that did not join proves nothing
				siblings++
			}
		case noDefault:
			cut = append(cut, r)
		}
	}
	for _, r := range cut {
		r.addSymptoms(facts.Pods.In(v), sick)
	}
	var findings []diagnose.Finding
	for _, r := range byTable(cut) {
		byDesign := r.explicit && (privateEndpoints(facts.VPCEndpoints.In(v), r.subnet) || !facts.VPCEndpoints.Have(v))
		if len(r.pods) > 0 || siblings > 0 && !byDesign {
			findings = append(findings, r.finding(gateways(v, used), siblings))
		}
	}
	return findings
}

// byTable joins the subnets that are associated with one table: they have
// one fault and one fix. The one with the most symptoms stands for all. Those
// that fall to the main table stay apart, as each needs its own table.
func byTable(cut []*routed) []*routed {
	var out []*routed
	at := map[string]int{}
	for _, r := range cut {
		id := facts.Val(r.table.RouteTableId)
		i, ok := at[id]
		switch {
		case !r.explicit:
			out = append(out, r)
		case !ok:
			at[id] = len(out)
			out = append(out, r)
		case len(r.pods) > len(out[i].pods):
			r.also, out[i].also = append(out[i].also, out[i]), nil
			out[i] = r
		default:
			out[i].also = append(out[i].also, r)
		}
	}
	return out
}

// nodeSubnets are the subnets by which nodes' traffic leaves, by id.
func nodeSubnets(v *facts.View) map[string]*routed {
	subnets, tables := byID(facts.Subnets.In(v)), facts.RouteTables.In(v)
	settings := cniOf(facts.DaemonSets.In(v))
	used := map[string]*routed{}
	at := func(eni ec2types.NetworkInterface) *routed {
		id := facts.Val(eni.SubnetId)
		s, known := subnets[id]
		if !known || facts.Val(s.CidrBlock) == "" { // not read, or IPv6 only
			return nil
		}
		if used[id] == nil {
			t, explicit := reach.TableOf(tables, facts.Val(s.VpcId), id)
			used[id] = &routed{subnet: s, table: t, explicit: explicit, symptoms: map[string]string{}}
		}
		return used[id]
	}
	for _, n := range nodesOf(facts.Nodes.In(v), facts.NetworkInterfaces.In(v)) {
		leaving := n.interfaces[:1]
		if settings.externalSNAT {
			leaving = n.interfaces
		}
		for _, eni := range leaving {
			if r := at(eni); r != nil && !slices.ContainsFunc(r.nodes, func(o node) bool { return o.Name == n.Name }) {
				r.nodes = append(r.nodes, n)
			}
		}
	}
	for _, eni := range strays(v) {
		if r := at(eni); r != nil {
			r.strays = append(r.strays, facts.Val(eni.Attachment.InstanceId))
		}
	}
	return used
}

// strays are the primary interfaces of instances that were started for the
// cluster, as their tags say, and are not among its nodes.
func strays(v *facts.View) []ec2types.NetworkInterface {
	joined := map[string]bool{}
	nodes, clusters := facts.Nodes.In(v), facts.Clusters.In(v)
	for i := range nodes {
		joined[reach.Instance(&nodes[i])], joined[reach.NodeIP(&nodes[i])] = true, true
	}
	var out []ec2types.NetworkInterface
	for _, eni := range facts.NetworkInterfaces.In(v) {
		a := eni.Attachment
		if a == nil || facts.Val(a.InstanceId) == "" || facts.Val(a.DeviceIndex) != 0 || joined[facts.Val(a.InstanceId)] || joined[facts.Val(eni.PrivateIpAddress)] {
			continue
		}
		if slices.ContainsFunc(clusters, func(c ekstypes.Cluster) bool { return ofCluster(eni.TagSet, facts.Val(c.Name)) }) {
			out = append(out, eni)
		}
	}
	return out
}

// ofCluster reports whether tags are those that EKS, eksctl or Karpenter give
// to a cluster's nodes.
func ofCluster(tags []ec2types.Tag, cluster string) bool {
	name, ok := tag(tags, "eks:cluster-name")
	owned, shared := tag(tags, "kubernetes.io/cluster/"+cluster)
	return cluster != "" && (ok && name == cluster || shared && owned == "owned")
}

// The answers of wayOut.
const (
	unsure     = iota // not known, or another fault's business
	noDefault         // nothing leaves
	hasDefault        // everything has a route
)

// publics are one address in each half of the public IPv4 space, since two
// routes for halves do the same as one default route.
var publics = []netip.Addr{netip.MustParseAddr("52.95.110.1"), netip.MustParseAddr("200.0.0.1")}

// wayOut says whether a table leads out of the VPC. A blackhole is there and
// so not missing; a route to a prefix list may hold the default.
func wayOut(t *ec2types.RouteTable) int {
	if t == nil {
		return unsure
	}
	found := 0
	for _, ip := range publics {
		r, ok := reach.RouteTo(t, ip)
		if ok && reach.IsBlackhole(r) {
			return unsure
		}
		if ok {
			found++
		}
	}
	if found == len(publics) {
		return hasDefault
	}
	for _, r := range t.Routes {
		if facts.Val(r.DestinationPrefixListId) != "" && !strings.HasPrefix(reach.Via(r), "vpce-") {
			return unsure
		}
	}
	return noDefault
}

// addSymptoms notes the pods on r's nodes that cannot pull their images.
func (r *routed) addSymptoms(pods []corev1.Pod, sick map[string]string) {
	on := map[string]bool{}
	for _, n := range r.nodes {
		on[n.Name] = true
	}
	for i := range pods {
		key := pods[i].Namespace + "/" + pods[i].Name
		if on[pods[i].Spec.NodeName] && sick[key] != "" {
			r.pods = append(r.pods, &pods[i])
			r.symptoms[key] = sick[key]
		}
	}
}

// timeout matches what containerd says of a registry that does not answer.
var timeout = regexp.MustCompile(`(?i)i/o timeout|deadline exceeded|connection timed out|request canceled while waiting|Client\.Timeout|network is unreachable|no route to host|TLS handshake timeout`)

// pullTimeouts returns, by pod, the message of an image pull that timed out.
// Pulls that failed otherwise, such as for a wrong tag, are not among them.
func pullTimeouts(pods []corev1.Pod, events []corev1.Event) map[string]string {
	sick := map[string]string{}
	for i := range pods {
		p := &pods[i]
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			if w := c.State.Waiting; w != nil && strings.Contains(w.Reason, "ImagePull") {
				sick[p.Namespace+"/"+p.Name] = w.Message
			}
		}
	}
	for i := range events {
		e := &events[i]
		if e.InvolvedObject.Kind != "Pod" || !timeout.MatchString(e.Message) {
			continue
		}
		key := e.InvolvedObject.Namespace + "/" + e.InvolvedObject.Name
		pull := e.Reason == "Failed" && strings.Contains(e.Message, "pull image") || e.Reason == "FailedCreatePodSandBox" && strings.Contains(e.Message, "sandbox image")
		if _, waiting := sick[key]; pull && (waiting || e.Reason == "FailedCreatePodSandBox") {
			sick[key] = e.Message
		}
	}
	maps.DeleteFunc(sick, func(_, message string) bool { return !timeout.MatchString(message) })
	return sick
}

// privateEndpoints reports whether the VPC has the endpoints without which
// nodes need a way out: a private cluster's
// (docs.aws.amazon.com/eks/latest/userguide/private-clusters.html).
func privateEndpoints(endpoints []ec2types.VpcEndpoint, s ec2types.Subnet) bool {
	for _, service := range []string{"ecr.api", "ecr.dkr", "s3", "sts"} {
		if !slices.ContainsFunc(endpoints, func(e ec2types.VpcEndpoint) bool {
			return facts.Val(e.VpcId) == facts.Val(s.VpcId) && strings.HasSuffix(facts.Val(e.ServiceName), "."+service)
		}) {
			return false
		}
	}
	return true
}

func (r *routed) finding(g natGateways, siblings int) diagnose.Finding {
	id, table := facts.Val(r.subnet.SubnetId), facts.Val(r.table.RouteTableId)
	how := "its route table " + table
	if !r.explicit {
		how = "it has no route table of its own, and the main one, " + table + ","
	}
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  subnetRef(id),
		Affects:  []facts.Ref{{Kind: facts.RouteTables.Kind(), ID: table}},
		Claim: fmt.Sprintf("Nothing in subnet %s (%s, %s) can leave the VPC: %s has no default route; %s there", id, facts.Val(r.subnet.CidrBlock),
			facts.Val(r.subnet.AvailabilityZone), how, r.hosts()),
		Evidence: r.evidence(siblings),
		Remedies: g.remedies(r),
	}
	for _, o := range append([]*routed{r}, r.also...) {
		if o != r {
			f.Affects = append(f.Affects, subnetRef(facts.Val(o.subnet.SubnetId)))
		}
		for _, n := range o.nodes {
			f.Affects = append(f.Affects, n.ref())
		}
		for _, p := range o.pods {
			f.Affects = append(f.Affects, podRef(p))
		}
	}
	if len(r.pods) > 0 {
		f.Severity = diagnose.Outage
		f.Claim += fmt.Sprintf(", %s cannot pull images", diagnose.Count(len(r.pods), "pod"))
	}
	if len(r.also) > 0 {
		f.Claim += "; the same holds for " + r.others()
	}
	return f
}

// others names the further subnets of r's table.
func (r *routed) others() string {
	var ids []string
	for _, o := range r.also {
		ids = append(ids, fmt.Sprintf("%s (%s)", facts.Val(o.subnet.SubnetId), o.hosts()))
	}
	return diagnose.Some(ids)
}

// hosts counts what is in r's subnet.
func (r *routed) hosts() string {
	if len(r.strays) == 0 {
		return diagnose.Count(len(r.nodes), "node")
	}
	strays := diagnose.Count(len(r.strays), "instance") + " that did not join the cluster"
	if len(r.nodes) == 0 {
		return strays
	}
	return diagnose.Count(len(r.nodes), "node") + " and " + strays
}

func (r *routed) evidence(siblings int) []diagnose.Evidence {
	id := facts.Val(r.subnet.SubnetId)
	var routes []string
	for _, route := range r.table.Routes {
		routes = append(routes, facts.Val(route.DestinationCidrBlock)+facts.Val(route.DestinationPrefixListId)+facts.Val(route.DestinationIpv6CidrBlock)+" via "+reach.Via(route))
	}
	command := fmt.Sprintf("aws ec2 describe-route-tables --filters Name=association.subnet-id,Values=%s --query 'RouteTables[].Routes'", id)
	if !r.explicit {
		command = fmt.Sprintf("aws ec2 describe-route-tables --filters Name=vpc-id,Values=%s Name=association.main,Values=true --query 'RouteTables[].Routes'", facts.Val(r.subnet.VpcId))
	}
	want := "a route for 0.0.0.0/0"
	if siblings > 0 {
		want += fmt.Sprintf(", as %s of nodes has", diagnose.Count(siblings, "other subnet"))
		want = strings.Replace(want, "subnets of nodes has", "subnets of nodes have", 1)
	}
	e := []diagnose.Evidence{{Fact: string(facts.RouteTables.Kind()) + "/" + facts.Val(r.table.RouteTableId), Got: strings.Join(routes, "; "), Want: want, Command: command}}
	for _, id := range r.strays[:min(3, len(r.strays))] {
		e = append(e, diagnose.Evidence{
			Fact: string(facts.NetworkInterfaces.Kind()), Got: "instance " + id + " with the cluster's tags is no node", Want: "a node for each instance",
			Command: "aws ec2 get-console-output --latest --output text --instance-id " + id,
		})
	}
	for _, p := range r.pods[:min(3, len(r.pods))] {
		e = append(e, diagnose.Evidence{
			Fact: podRef(p).String(), Got: r.symptoms[p.Namespace+"/"+p.Name], Want: "the image is pulled",
			Command: fmt.Sprintf("kubectl -n %s describe pod %s", p.Namespace, p.Name),
		})
	}
	return e
}
