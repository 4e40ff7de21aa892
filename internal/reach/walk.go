package reach

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// A walk follows one connection from a to b.
type walk struct {
	*index
	a        *party
	b        *party
	protocol string
	port     int32
	steps    []Step
	back     []Step // of the answers, where something is stateless
}

// follow walks from a to b.
func (q *question) follow(a *party, b *destination) []Step {
	w := &walk{index: q.index, a: a, b: &b.party, protocol: q.protocol, port: b.port, steps: make([]Step, 0, 12)}
	w.policy(networkingv1.PolicyTypeEgress)
	if w.onOneHost() {
		w.step("same node", Decision{Allowed: true, Text: "both ends are on node " + a.node + ": the traffic does not leave it"}, a.command)
	} else {
		w.wire()
	}
	w.policy(networkingv1.PolicyTypeIngress)
	w.arrive()
	w.steps = append(w.steps, w.back...)
	return append(w.steps, b.steps...)
}

func (w *walk) step(hop string, d Decision, command string, refs ...facts.Ref) {
	w.steps = append(w.steps, w.made(hop, d, command, refs))
}

// made is the step of a decision, with the names of ends that have no
// address of their own.
func (w *walk) made(hop string, d Decision, command string, refs []facts.Ref) Step {
	for _, p := range []*party{w.a, w.b} {
		if p.vague != exact && !d.Allowed {
			d.Text = strings.ReplaceAll(d.Text, p.IP.String(), p.name)
		}
	}
	return stepOf(hop, d, command, refs...)
}

// ask decides for a peer. Where its address is not known, a decision that
// another address of those that the rules name would change is none.
func (w *walk) ask(peer *party, named func() []netip.Prefix, decide func(party) Decision) Decision {
	d := decide(*peer)
	if peer.vague != hidden || d.Undecided {
		return d
	}
	for _, p := range named() {
		if p.Bits() == 0 || isPrivate(p.Addr()) {
			continue
		}
		other := *peer
		other.IP = p.Masked().Addr()
		if e := decide(other); e.Allowed != d.Allowed {
			return Decision{Undecided: true, Rule: d.Rule, Text: fmt.Sprintf("it depends on the address of %s, which is not known here (%s)", peer.name, p)}
		}
	}
	return d
}

// onOneHost reports whether the traffic stays on one node. Pods with security
// groups of their own leave it even then, in strict mode.
func (w *walk) onOneHost() bool {
	if w.a.node == "" || w.a.node != w.b.node {
		return false
	}
	if w.a.pod != nil && w.b.pod != nil && w.a.pod == w.b.pod {
		return true
	}
	return w.cni.standard || !w.a.branched() && !w.b.branched()
}

func (p *party) branched() bool {
	return p.pod != nil && !p.pod.Spec.HostNetwork && (HasBranch(p.pod) || p.eni != nil && IsBranch(*p.eni))
}

// policy asks the NetworkPolicies of one end.
func (w *walk) policy(way networkingv1.PolicyType) {
	at, peer, hop := w.a, w.b, "NetworkPolicy, egress of the source"
	if way == networkingv1.PolicyTypeIngress {
		at, peer, hop = w.b, w.a, "NetworkPolicy, ingress of the destination"
	}
	if at.pod == nil {
		return
	}
	q := policyQuestion{pod: at.pod, dest: w.b.pod, protocol: w.protocol, port: w.port, way: way}
	d := w.ask(peer, func() []netip.Prefix { return w.policyBlocks(at.pod, way) }, func(p party) Decision {
		q.peer = Peer{IP: p.IP, Pod: p.pod}
		return w.filter(q)
	})
	var refs []facts.Ref
	if !d.Allowed {
		for _, p := range w.isolating(at.pod, way) {
			refs = append(refs, facts.Ref{Kind: facts.NetworkPolicies.Kind(), ID: p.name})
		}
	}
	command := kubectl(at.pod.Namespace, "get networkpolicy")
	if _, name, ok := strings.Cut(d.Rule, "/"); ok {
		command = kubectl(at.pod.Namespace, "describe networkpolicy "+name)
	}
	w.step(hop, d, command, refs...)
}

func (w *walk) policyBlocks(pod *corev1.Pod, way networkingv1.PolicyType) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range w.isolating(pod, way) {
		for _, r := range p.rules(way) {
			for _, peer := range r.peers {
				if peer.isBlock && peer.block.IsValid() {
					out = append(append(out, peer.block), peer.except...)
				}
			}
		}
	}
	return out
}

// wire follows the connection through the VPC.
func (w *walk) wire() {
	if w.a.where == outside && w.b.where == outside {
		w.step("VPC", Decision{Undecided: true, Text: "neither end is in the cluster's VPC"}, "")
		return
	}
	if w.b.where == outside {
		w.translate()
	}
	w.group(false)
	switch {
	case w.a.where == somewhere || w.b.where == somewhere:
		w.step("route", Decision{Undecided: true, Text: firstOf(w.a.missing, w.b.missing)}, firstOf(w.a.command, w.b.command))
	case w.b.where == outside:
		w.wayOut()
	case w.a.where == outside:
		w.wayIn()
	default:
		w.across()
	}
	w.group(true)
}

func firstOf(words ...string) string {
	i := slices.IndexFunc(words, func(s string) bool { return s != "" })
	if i < 0 {
		return ""
	}
	return words[i]
}

// translate makes a pod talk as its node where the VPC CNI gives traffic that
// leaves the VPC the node's address.
func (w *walk) translate() {
	pod, command := w.a.pod, "kubectl -n kube-system set env daemonset/aws-node --list"
	if pod == nil || pod.Spec.HostNetwork {
		return
	}
	own := func(why string) { w.step("source address", Decision{Allowed: true, Text: why}, command) }
	six := w.a.IP.Is6()
	switch {
	case six && w.b.IP.Is6():
		own("IPv6 addresses are not translated")
		return
	case six && w.b.vague != exact:
		w.b = as6(w.b)
		own("IPv6 addresses are not translated")
		return
	case w.a.branched() && !w.cni.standard:
		own("a pod with security groups of its own keeps its address (enforcing mode strict)")
		return
	case strings.HasPrefix(w.a.node, "fargate-"):
		own("a pod on Fargate has an interface of its own")
		return
	case !w.cni.known && !six:
		w.step("source address", Decision{Undecided: true, Text: "whether pods keep their address outside the VPC (AWS_VPC_K8S_CNI_EXTERNALSNAT) is not known"}, command)
		return
	case w.cni.externalSNAT && !six:
		own("pods keep their address outside the VPC (AWS_VPC_K8S_CNI_EXTERNALSNAT=true)")
		return
	case slices.ContainsFunc(w.cni.exclude, func(p netip.Prefix) bool { return p.Contains(w.b.IP) }):
		own("pods keep their address for this destination (AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS)")
		return
	}
	w.asNode(command)
}

// asNode puts the first interface of the pod's node in the pod's place.
func (w *walk) asNode(command string) {
	node := w.nodes[w.a.node]
	if node == nil || w.primary[w.a.node] == nil {
		w.step("source address", Decision{Undecided: true, Text: "traffic out of the VPC has the address of the pod's node, whose first interface is not known"}, command)
		w.a = &party{Endpoint: Endpoint{IP: w.a.IP, Membership: Unknown}, name: "the node of " + w.a.name, where: inside, missing: "the first interface of node " + w.a.node + " is not known"}
		return
	}
	q := question{index: w.index}
	ip, _ := netip.ParseAddr(NodeIP(node))
	if eni := w.primary[node.Name]; !ip.IsValid() {
		ip, _ = netip.ParseAddr(str(eni.PrivateIpAddress))
	}
	as := q.nodeParty(node, ip)
	w.step("source address", Decision{Allowed: true, Text: fmt.Sprintf("outside the VPC the pod has its node's address, %s on %s", ip, str(as.eni.NetworkInterfaceId))}, command, as.refs...)
	w.a = &as
}

// as6 is a party outside as an IPv6 client sees it.
func as6(p *party) *party {
	six := *p
	six.IP = stranger6
	return &six
}

// group asks the security groups of one end.
func (w *walk) group(ingress bool) {
	at, peer, hop := w.a, w.b, "security group, egress of the source"
	if ingress {
		at, peer, hop = w.b, w.a, "security group, ingress of the destination"
	}
	if at.where == outside {
		return
	}
	if at.eni == nil {
		w.step(hop, Decision{Undecided: true, Text: at.missing}, at.command, at.refs...)
		return
	}
	command := "aws ec2 describe-security-groups --group-ids " + strings.Join(at.Groups, " ")
	if len(at.Groups) == 0 {
		command = at.command
	}
	d := w.ask(peer, func() []netip.Prefix { return w.groups.prefixes(at.Groups, ingress) }, func(p party) Decision {
		if ingress {
			return w.groups.admits(at.Groups, p.Endpoint, w.protocol, w.port)
		}
		return w.groups.letsOut(at.Groups, p.Endpoint, w.protocol, w.port)
	})
	var refs []facts.Ref
	if !d.Allowed {
		for _, id := range at.Groups {
			refs = append(refs, facts.Ref{Kind: facts.SecurityGroups.Kind(), ID: id})
		}
	}
	w.step(hop, d, command, refs...)
}

// prefixes are the blocks that the rules of groups name.
func (g compiledGroups) prefixes(ids []string, ingress bool) []netip.Prefix {
	var out []netip.Prefix
	for _, id := range ids {
		if g[id] == nil {
			continue
		}
		rules := g[id].out
		if ingress {
			rules = g[id].in
		}
		for _, r := range rules {
			for _, b := range r.blocks {
				out = append(out, b.block)
			}
		}
	}
	return out
}

// across follows a connection within the VPC.
func (w *walk) across() {
	if w.a.subnet != "" && w.a.subnet == w.b.subnet {
		w.step("subnet", Decision{Allowed: true, Text: "both ends are in " + w.a.subnet + ": no network ACL and no route stands between"}, "aws ec2 describe-subnets --subnet-ids "+w.a.subnet)
		return
	}
	w.acl(true, w.a, w.b, false)
	w.local()
	w.acl(false, w.b, w.a, false)
	w.acl(true, w.b, w.a, true)
	w.acl(false, w.a, w.b, true)
}

// acl asks the network ACL at one end about a peer: about the connection on
// its way, or about its answers.
func (w *walk) acl(egress bool, at, peer *party, answers bool) {
	way := map[bool]string{false: "inbound of ", true: "outbound of "}[egress]
	if answers {
		way = "answers, " + way
	}
	lo, hi := w.port, w.port
	if answers {
		lo, hi = EphemeralFrom, EphemeralTo
	}
	var d Decision
	if acl := w.acls[at.subnet]; at.subnet == "" {
		d = Decision{Undecided: true, Text: firstOf(at.missing, "the subnet of "+at.name+" is not known")}
	} else {
		d = w.ask(peer, func() []netip.Prefix { return aclBlocks(acl, egress) }, func(p party) Decision {
			return ACLPasses(acl, egress, p.IP, w.protocol, lo, hi)
		})
	}
	var refs []facts.Ref
	if !d.Allowed && d.Rule != "" {
		refs = []facts.Ref{{Kind: facts.NetworkACLs.Kind(), ID: d.Rule}}
	}
	if answers && d.Allowed {
		d.Text = fmt.Sprintf("%s lets %s %d-%d pass", d.Rule, w.protocol, lo, hi)
	}
	s := w.made("network ACL, "+way+firstOf(at.subnet, at.name), d, "aws ec2 describe-network-acls --filters Name=association.subnet-id,Values="+at.subnet, refs)
	if at.subnet == "" {
		s.Command = at.command
	}
	if answers {
		w.back = append(w.back, s)
		return
	}
	w.steps = append(w.steps, s)
}

func aclBlocks(acl *ec2types.NetworkAcl, egress bool) []netip.Prefix {
	var out []netip.Prefix
	if acl == nil {
		return nil
	}
	for _, e := range acl.Entries {
		if p, err := netip.ParsePrefix(str(e.CidrBlock)); err == nil && e.Egress != nil && *e.Egress == egress {
			out = append(out, p)
		}
	}
	return out
}

// arrive asks whether something listens where the connection ends.
func (w *walk) arrive() {
	p := w.b.pod
	if p == nil {
		return
	}
	command, refs := kubectl(p.Namespace, "get pod "+p.Name+" -o yaml"), []facts.Ref{kubeRef(facts.Pods, p.Namespace, p.Name)}
	var declared []string
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.ContainerPort == w.port && strings.EqualFold(string(orTCP(port.Protocol)), w.protocol) {
				w.ready(p, fmt.Sprintf("container %s declares %s", c.Name, service(w.protocol, w.port)), command, refs)
				return
			}
			declared = append(declared, service(string(orTCP(port.Protocol)), port.ContainerPort))
		}
	}
	if len(declared) == 0 {
		w.ready(p, "no container declares ports", command, refs)
		return
	}
	s := unknownStep("container port", fmt.Sprintf("no container of %s/%s declares %s (they declare %s): unless one listens there all the same, the connection is refused",
		p.Namespace, p.Name, service(w.protocol, w.port), strings.Join(declared, ", ")), command, refs...)
	s.Symptom = Refused
	w.steps = append(w.steps, s)
}

func (w *walk) ready(p *corev1.Pod, text, command string, refs []facts.Ref) {
	if Ready(p) {
		w.step("container port", Decision{Allowed: true, Text: text + "; the pod is ready"}, command, refs...)
		return
	}
	s := unknownStep("container port", fmt.Sprintf("%s, but pod %s/%s is not ready: unless it listens all the same, the connection is refused", text, p.Namespace, p.Name), command, refs...)
	s.Symptom = Refused
	w.steps = append(w.steps, s)
}
