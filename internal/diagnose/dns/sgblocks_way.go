package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// wayNeeds are what newQueryWay cannot do without: who asks, and which
// interface carries the question. It reads wayWants as well, and what the
// check judges of SecurityGroups and NetworkACLs.
var (
	wayNeeds = []facts.Need{facts.Pods, facts.Nodes, facts.Services, facts.NetworkInterfaces}
	wayWants = []facts.Need{facts.DaemonSets, facts.ConfigMaps, facts.PodLogs}
)

// The ports that Linux hosts send queries from unless told otherwise
// (net.ipv4.ip_local_port_range): answers go there.
const (
	clientFrom = 32768
	clientTo   = 60999
)

// A carried is a pod with the interface that its packets take.
type carried struct {
	pod *corev1.Pod
	reach.Host
	branch bool // it has an interface of its own, of its node's
}

// askers are pods whose queries the VPC's filters treat alike: on interfaces
// with the same groups, in one subnet.
type askers struct {
	pods   []*corev1.Pod
	sample []carried // a few of them, on different nodes
}

// samples is how many of askers are followed: rules that name addresses may
// tell even those apart.
const samples = 4

// A queryWay is what lies in the VPC between pods and CoreDNS.
type queryWay struct {
	groups  reach.Groups
	acls    []ec2types.NetworkAcl
	strict  bool // pods with branch interfaces leave their node even to reach it
	service *corev1.Service
	askers  []*askers
	servers []carried // CoreDNS, those that answer
	cached  bool      // the caches on the nodes ask, and not the pods
	first   string    // protocol of most queries: udp, or tcp of caches that are told so; "" when not known
	silent  logs      // of the last hour, of caches that got no answer from CoreDNS
}

func newQueryWay(v *facts.View) *queryWay {
	w := &queryWay{groups: reach.GroupsOf(facts.SecurityGroups.In(v)), acls: facts.NetworkACLs.In(v)}
	for _, d := range facts.DaemonSets.In(v) {
		if d.Namespace == system && d.Name == "aws-node" {
			mode, on := enforcingMode(d)
			w.strict = on && mode == "strict"
		}
		w.cached = w.cached || isNodeCache(d)
	}
	for i, s := range facts.Services.In(v) {
		if s.Namespace == system && s.Name == service {
			w.service = &facts.Services.In(v)[i]
		}
	}
	c := carriers{reach.HoldersOf(facts.NetworkInterfaces.In(v)), map[string][]ec2types.NetworkInterface{}}
	auto := map[string]bool{}
	nodes := facts.Nodes.In(v)
	for i := range nodes {
		c.nodes[nodes[i].Name] = reach.InterfacesOf(&nodes[i], facts.NetworkInterfaces.In(v))
		auto[nodes[i].Name] = nodes[i].Labels[computeType] == "auto"
	}
	alike := map[string]*askers{}
	pods := facts.Pods.In(v)
	for i := range pods {
		p := &pods[i]
		switch at, ok := c.carry(p); {
		case !ok:
		case w.serves(p):
			w.servers = append(w.servers, at)
		case w.sends(p) && !auto[p.Spec.NodeName]:
			w.add(alike, at)
		}
	}
	w.first = "udp"
	if w.cached {
		w.readCache(v)
	}
	w.settle()
	return w
}

// serves reports whether p is a CoreDNS pod that gets queries.
func (w *queryWay) serves(p *corev1.Pod) bool {
	if w.service != nil {
		return reach.Selects(w.service, p) && reach.Ready(p)
	}
	return p.Namespace == system && p.Labels["k8s-app"] == resolverLabels["k8s-app"] && reach.Ready(p)
}

// sends reports whether p sends queries to CoreDNS. Where the nodes have
// caches these do.
func (w *queryWay) sends(p *corev1.Pod) bool {
	if w.cached {
		return p.Namespace == system && (strings.HasPrefix(p.Name, "node-local-dns") || strings.HasPrefix(p.Name, "nodelocaldns"))
	}
	switch p.Spec.DNSPolicy {
	case corev1.DNSClusterFirstWithHostNet:
		return true
	case corev1.DNSClusterFirst, "":
		return !p.Spec.HostNetwork
	}
	return false
}

func (w *queryWay) add(alike map[string]*askers, at carried) {
	key := strings.Join(at.Groups, ",") + " " + at.Subnet
	a := alike[key]
	if a == nil {
		a = &askers{}
		alike[key] = a
		w.askers = append(w.askers, a)
	}
	a.pods = append(a.pods, at.pod)
	other := func(o carried) bool { return o.pod.Spec.NodeName == at.pod.Spec.NodeName }
	if len(a.sample) < samples && !slices.ContainsFunc(a.sample, other) {
		a.sample = append(a.sample, at)
	}
}

// settle puts everything into an order that does not depend on the reader.
func (w *queryWay) settle() {
	id := func(p *corev1.Pod) string { return p.Namespace + "/" + p.Name }
	for _, a := range w.askers {
		slices.SortFunc(a.pods, func(x, y *corev1.Pod) int { return cmp.Compare(id(x), id(y)) })
		slices.SortFunc(a.sample, func(x, y carried) int { return cmp.Compare(id(x.pod), id(y.pod)) })
	}
	slices.SortFunc(w.askers, func(x, y *askers) int { return cmp.Compare(id(x.pods[0]), id(y.pods[0])) })
	slices.SortFunc(w.servers, func(x, y carried) int { return cmp.Compare(id(x.pod), id(y.pod)) })
}

// carriers finds the interface of a pod.
type carriers struct {
	reach.Holders
	nodes map[string][]ec2types.NetworkInterface
}

// carry places a pod. One whose address no interface has yet is placed on its
// node's only if all of those are alike.
func (c carriers) carry(p *corev1.Pod) (carried, bool) {
	ip, err := netip.ParseAddr(p.Status.PodIP)
	if err != nil || reach.Finished(p) || p.DeletionTimestamp != nil {
		return carried{}, false
	}
	eni := c.Holder(ip)
	if mine := c.nodes[p.Spec.NodeName]; eni == nil && len(mine) > 0 && !reach.HasBranch(p) {
		eni = &mine[0]
		for i := range mine {
			if !slices.Equal(reach.GroupIDs(&mine[i]), reach.GroupIDs(eni)) || facts.Val(mine[i].SubnetId) != facts.Val(eni.SubnetId) {
				return carried{}, false
			}
		}
	}
	if eni == nil {
		return carried{}, false
	}
	return carried{p, reach.Host{Endpoint: reach.Endpoint{IP: ip, Groups: reach.GroupIDs(eni)}, Subnet: facts.Val(eni.SubnetId)}, reach.IsBranch(*eni)}, true
}

// port is where a CoreDNS pod listens for queries.
func (w *queryWay) port(to carried, protocol string) int32 {
	if w.service != nil {
		for _, sp := range w.service.Spec.Ports {
			if sp.Port == 53 && strings.EqualFold(cmp.Or(string(sp.Protocol), "TCP"), protocol) {
				if n, ok := reach.TargetPort(sp, to.pod); ok {
					return n
				}
			}
		}
	}
	return 53
}

// A passage is one filter that stops queries, or their answers.
type passage struct {
	at            string // whose filter it is, in words
	group         bool   // a security group, else a network ACL
	egress, reply bool
	peer          reach.Host // the other side, as the filter sees it
	reach.Decision
}

// A cut is a CoreDNS pod that askers do not reach with a protocol, all of
// those that were followed.
type cut struct {
	who      *askers
	from, to carried // one pair that shows it
	protocol string
	port     int32
	passages []passage // all that stop it
}

// cuts follows the queries of all askers to all servers.
func (w *queryWay) cuts() []cut {
	var out []cut
	for _, a := range w.askers {
		for _, to := range w.servers {
			udp, noUDP := w.cut(a, to, "udp")
			tcp, noTCP := w.cut(a, to, "tcp")
			switch {
			case w.first == "" && !(noUDP && noTCP):
				continue // which of the two its cache uses is not known
			case w.first == "tcp" && !noTCP:
				continue // no query goes over the other
			}
			if noUDP {
				out = append(out, udp)
			}
			if noTCP {
				out = append(out, tcp)
			}
		}
	}
	return out
}

func (w *queryWay) cut(a *askers, to carried, protocol string) (cut, bool) {
	c := cut{who: a, to: to, protocol: protocol, port: w.port(to, protocol)}
	for _, from := range a.sample {
		if from.pod.Spec.NodeName == to.pod.Spec.NodeName && !(w.strict && (from.branch || to.branch)) {
			continue // it does not leave the node
		}
		stops := w.stops(from.Host, to.Host, protocol, c.port)
		if len(stops) == 0 {
			return c, false
		}
		if c.passages == nil {
			c.from, c.passages = from, stops
		}
	}
	return c, len(c.passages) > 0
}

// stops are the filters that stop a query for certain, on its way or that of
// the answer. Security groups let answers pass; within a subnet no network
// ACL is asked.
func (w *queryWay) stops(from, to reach.Host, protocol string, port int32) []passage {
	all := []passage{
		{"egress of the source", true, true, false, to, w.groups.LetsOut(from.Groups, to.Endpoint, protocol, port)},
		{"ingress of CoreDNS", true, false, false, from, w.groups.Admits(to.Groups, from.Endpoint, protocol, port)},
	}
	if from.Subnet != "" && to.Subnet != "" && from.Subnet != to.Subnet {
		a, b := reach.ACLOf(w.acls, from.Subnet), reach.ACLOf(w.acls, to.Subnet)
		all = append(all,
			passage{"outbound of " + from.Subnet, false, true, false, to, reach.ACLPasses(a, true, to.IP, protocol, port, port)},
			passage{"inbound of " + to.Subnet, false, false, false, from, reach.ACLPasses(b, false, from.IP, protocol, port, port)},
			passage{"answers outbound of " + to.Subnet, false, true, true, from, reach.ACLPasses(b, true, from.IP, protocol, clientFrom, clientTo)},
			passage{"answers inbound of " + from.Subnet, false, false, true, to, reach.ACLPasses(a, false, to.IP, protocol, clientFrom, clientTo)},
		)
	}
	return slices.DeleteFunc(all, func(p passage) bool { return !p.Blocked() })
}

// object is what has to change for a passage: the group that lacks a rule, or
// the network ACL.
func (c cut) object(p passage) facts.Ref {
	switch {
	case !p.group:
		return facts.Ref{Kind: facts.NetworkACLs.Kind(), ID: p.Rule}
	case p.egress:
		return facts.Ref{Kind: facts.SecurityGroups.Kind(), ID: own(c.from.Groups, c.to.Groups)}
	default:
		return facts.Ref{Kind: facts.SecurityGroups.Kind(), ID: own(c.to.Groups, c.from.Groups)}
	}
}

// own is the first of ids that is not among others, else the first: the group
// by which one side is told from the other; "" for none.
func own(ids, others []string) string {
	if i := slices.IndexFunc(ids, func(id string) bool { return !slices.Contains(others, id) }); i >= 0 {
		return ids[i]
	}
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}
