package incident_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/diagnose/catalogue"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/world"
)

// Every first remedy opens what its finding says is needed and nothing else,
// and closes nothing. Package reach tells what gets through before and after
// it, between all pods, nodes, load balancers and interfaces of the control
// plane, and two addresses outside, on a list of ports.
//
// What is needed is taken from the finding's own words and objects, not from
// the remedy: see need.
func TestRemediesOpenNothingElse(t *testing.T) {
	var tried, all atomic.Int32
	t.Run("scenarios", func(t *testing.T) {
		for _, name := range world.Names() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				all.Add(1)
				w, s, f := firstFinding(t, name)
				if f == nil || len(f.Remedies) == 0 || !slices.ContainsFunc(f.Remedies[0].Actions, opens) {
					return
				}
				tried.Add(1)
				for _, p := range overreach(t, w, s, f, f.Remedies[0].Actions) {
					t.Error(p)
				}
			})
		}
	})
	if n := tried.Load(); n < 30 && int(all.Load()) == len(world.Names()) {
		t.Errorf("only %d scenarios have a first remedy that opens something", n)
	}
}

// The test above can fail: it does for rules that are too wide, and for a
// policy that cuts off what worked.
func TestTooWideRemediesAreSeen(t *testing.T) {
	const node, missing = "node-to-node-sg-blocked", "sg-missing-ingress-database"
	rule := func(r remedy.Rule) remedy.Action { return remedy.AuthorizeIngress{Rule: r} }
	policy := func(spec networkingv1.NetworkPolicySpec) remedy.Action {
		return remedy.CreateNetworkPolicy{Namespace: "shop", Name: "wide", Spec: spec}
	}
	everyone := networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, Ingress: []networkingv1.NetworkPolicyIngressRule{{}}}
	nobody := networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}
	for _, tt := range []struct {
		name, scenario string
		action         remedy.Action
	}{
		{"all addresses, all ports", missing, rule(remedy.Rule{Group: "sg-0db0000000000000d", Protocol: "-1", FromPort: -1, ToPort: -1, FromCIDR: "0.0.0.0/0"})},
		{"all addresses, the right port", missing, rule(remedy.Rule{Group: "sg-0db0000000000000d", Protocol: "tcp", FromPort: 5432, ToPort: 5432, FromCIDR: "0.0.0.0/0"})},
		{"the right group, all ports", missing, rule(remedy.Rule{Group: "sg-0db0000000000000d", Protocol: "tcp", FromPort: 0, ToPort: 65535, FromGroup: "sg-0c10000000000000c"})},
		{"another group", missing, rule(remedy.Rule{Group: "sg-0db0000000000000d", Protocol: "tcp", FromPort: 5432, ToPort: 5432, FromGroup: "sg-0f10000000000000f"})},
		{"another destination", node, rule(remedy.Rule{Group: "sg-0f10000000000000f", Protocol: "tcp", FromPort: 8080, ToPort: 8080, FromGroup: "sg-0a10000000000000a"})},
		{"an ACL open to all", "nacl-ephemeral-return-blocked", remedy.CreateACLEntry{ACLEntry: remedy.ACLEntry{ACL: "acl-0a1b2c3d4e5f60009", Number: 1, Egress: true, Protocol: "tcp", FromPort: 0, ToPort: 65535, CIDR: "0.0.0.0/0"}}},
		{"a policy that admits everyone", "networkpolicy-default-deny-ingress", policy(everyone)},
		{"a policy that closes", "networkpolicy-default-deny-ingress", policy(nobody)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, s, f := firstFinding(t, tt.scenario)
			if f == nil {
				t.Fatal("nothing found")
			}
			if len(overreach(t, w, s, f, remedy.Actions{tt.action})) == 0 {
				t.Errorf("nobody notices %s", tt.action.Command())
			}
		})
	}
}

// opens reports whether an action lets something through.
func opens(a remedy.Action) bool {
	switch a.(type) {
	case remedy.AuthorizeIngress, remedy.AuthorizeEgress, remedy.CreateACLEntry, remedy.DeleteACLEntry, remedy.CreateNetworkPolicy, remedy.DeleteNetworkPolicy,
		remedy.CreateRoute, remedy.AssociateRouteTable, remedy.SetSelector, remedy.SetServicePort:
		return true
	}
	return false
}

// firstFinding is a scenario's world, what it is, and its first finding.
func firstFinding(t *testing.T, name string) (*world.World, *facts.Snapshot, *diagnose.Finding) {
	t.Helper()
	w, err := world.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	in := intents.Parse(w.Ask, intents.Options{Mention: true})
	s.Target = in.Target
	r := diagnose.Run(catalogue.Checks(), s, w.Ask, in)
	if len(r.Findings) == 0 {
		return w, s, nil
	}
	return w, s, &r.Findings[0]
}

// overreach performs actions through the stand-ins and says what they opened
// that f does not need, and what they closed.
func overreach(t *testing.T, w *world.World, s *facts.Snapshot, f *diagnose.Finding, actions remedy.Actions) (out []string) {
	before := survey(s, f)
	r := newRig(t, w.Name)
	for _, a := range actions {
		if _, err := r.writer.Do(context.Background(), a); err != nil {
			t.Fatalf("%s: %v", a.Command(), err)
		}
	}
	s2, err := r.apis.World.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	after := survey(s2, f)
	n := need{f: f, actions: actions, s: before, named: numbers(f), words: text(f)}
	seen := map[string]bool{}
	say := func(what string, c connection) {
		line := fmt.Sprintf("%s %s %d from %s to %s", what, c.protocol, c.port, before.name(c.from), before.name(c.to))
		if !seen[line] && len(seen) < 12 {
			seen[line] = true
			out = append(out, line)
		}
	}
	for c, now := range after.open {
		was, known := before.open[c]
		switch {
		case !known || was == now:
		case was:
			say("closes", c)
		case !n.wants(c):
			say("opens", c)
		}
	}
	for _, a := range actions {
		if svc, ok := serviceOf(a); ok && !n.about(facts.Ref{Kind: facts.Services.Kind(), ID: svc}) {
			out = append(out, "changes Service "+svc+", which the finding is not about")
		}
	}
	return out
}

// A connection is one that may get through.
type connection struct {
	from, to netip.Addr
	protocol string
	port     int32
}

// A scene is the ends of a cluster and what gets through between them.
type scene struct {
	view    *facts.View
	pods    map[netip.Addr]*corev1.Pod
	holders reach.Holders
	open    map[connection]bool
}

// The addresses outside: one of the internet (RFC 5737) and one of a private
// network.
var outsiders = []netip.Addr{netip.MustParseAddr("198.51.100.77"), netip.MustParseAddr("192.168.77.7")}

// survey asks reach about every connection. What cannot be told counts as
// open: before and after are read alike.
func survey(s *facts.Snapshot, f *diagnose.Finding) *scene {
	v := s.View(reach.Needs)
	n := reach.FromView(v)
	c := &scene{view: v, pods: map[netip.Addr]*corev1.Pod{}, holders: reach.HoldersOf(facts.NetworkInterfaces.In(v)), open: map[connection]bool{}}
	ends, ports := c.ends(text(f)), probes(f)
	for _, from := range ends {
		for _, to := range ends {
			if from == to || slices.Contains(outsiders, from) && slices.Contains(outsiders, to) {
				continue
			}
			for _, p := range ports {
				x := connection{from, to, p.protocol, p.number}
				path := n.Trace(facts.Target{Kind: reach.KindHost, Host: from.String()}, facts.Target{Kind: reach.KindHost, Host: to.String()}, p.protocol, p.number)
				c.open[x] = path.Verdict != reach.Denied && !c.cutOff(from) && !c.cutOff(to)
			}
		}
	}
	return c
}

// ends are the addresses: of pods, one of each workload and those that the
// finding names, of nodes, and of what stands on the VPC's other interfaces.
func (c *scene) ends(words string) []netip.Addr {
	var out []netip.Addr
	add := func(s string) {
		if ip, err := netip.ParseAddr(s); err == nil && !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	alike := map[string]int{}
	pods := facts.Pods.In(c.view)
	for i := range pods {
		p := &pods[i]
		if p.Spec.HostNetwork || reach.Finished(p) || p.Status.PodIP == "" {
			continue
		}
		if ip, err := netip.ParseAddr(p.Status.PodIP); err == nil {
			c.pods[ip] = p
		}
		key, about := p.Namespace+" "+labels.Set(p.Labels).String(), strings.Contains(words, p.Namespace+"/"+p.Name)
		if alike[key]++; alike[key] == 1 || about && alike[key] <= 3 {
			add(p.Status.PodIP)
		}
	}
	for _, n := range facts.Nodes.In(c.view) {
		add(reach.NodeIP(&n))
	}
	for _, eni := range facts.NetworkInterfaces.In(c.view) {
		if eni.Attachment == nil || facts.Val(eni.Attachment.InstanceId) == "" {
			add(facts.Val(eni.PrivateIpAddress))
		}
	}
	return append(out, outsiders...)
}

type probe struct {
	protocol string
	number   int32
}

// probes are the ports that matter everywhere, those that the cluster's containers
// declare, those that the finding names, and one that nobody uses.
func probes(f *diagnose.Finding) []probe {
	out := []probe{{"tcp", 22}, {"tcp", 53}, {"udp", 53}, {"tcp", 443}, {"tcp", 3306}, {"tcp", 8080}, {"tcp", 10250}, {"tcp", 40001}}
	for _, n := range slices.Sorted(maps.Keys(numbers(f))) {
		if p := (probe{"tcp", n}); !slices.Contains(out, p) && len(out) < 13 {
			out = append(out, p)
		}
	}
	return out
}

// cutOff reports whether the VPC CNI's strict mode leaves a pod no traffic:
// no policy selects it. Package reach knows standard mode alone.
func (c *scene) cutOff(ip netip.Addr) bool {
	p := c.pods[ip]
	if p == nil || !c.strict() {
		return false
	}
	return !slices.ContainsFunc(facts.NetworkPolicies.In(c.view), func(np networkingv1.NetworkPolicy) bool {
		return np.Namespace == p.Namespace && selects(&np.Spec.PodSelector, p.Labels)
	})
}

func (c *scene) strict() bool {
	for _, d := range facts.DaemonSets.In(c.view) {
		for _, x := range d.Spec.Template.Spec.Containers {
			if d.Name == "aws-node" && facts.Setting(x, "NETWORK_POLICY_ENFORCING_MODE") == "strict" {
				return true
			}
		}
	}
	return false
}

func selects(sel *metav1.LabelSelector, l map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(sel)
	return sel != nil && err == nil && s.Matches(labels.Set(l))
}

// groups and subnet are those of the interface that has an address.
func (c *scene) groups(ip netip.Addr) []string {
	if eni := c.holders.Holder(ip); eni != nil {
		return reach.GroupIDs(eni)
	}
	return nil
}

func (c *scene) subnet(ip netip.Addr) string {
	if eni := c.holders.Holder(ip); eni != nil {
		return facts.Val(eni.SubnetId)
	}
	return ""
}

func (c *scene) name(ip netip.Addr) string {
	if p := c.pods[ip]; p != nil {
		return "pod " + p.Namespace + "/" + p.Name
	}
	return fmt.Sprint(ip, " in ", c.groups(ip))
}

// A need is what a finding declares to be needed.
//
// Ports: the numbers in its claim and evidence. All ports: the words "all
// traffic" there, or "admits its members", which is how EKS makes a cluster's
// security group.
// Groups: those that it is about, or names.
// Blocks of addresses: those that it names, and those of single subnets, which
// stand for the interfaces in them.
// Pods: a new policy's selector must select pods that the finding is about, or
// that a Service does which it is about (the cluster's DNS, where it says
// CoreDNS); its peers by selector are free, as each side has to agree.
type need struct {
	f       *diagnose.Finding
	actions remedy.Actions
	s       *scene
	named   map[int32]bool
	words   string
}

// text is what a finding says; its remedies have no say.
func text(f *diagnose.Finding) string {
	out := []string{f.Claim}
	for _, e := range f.Evidence {
		out = append(out, e.Fact, e.Got, e.Want)
	}
	return strings.Join(out, "\n")
}

var number = regexp.MustCompile(`(?:^|[\s(:])(\d{1,5})(?:-(\d{1,5}))?(?:$|[\s),:;])`)

// numbers are those in a finding's words that may be ports.
func numbers(f *diagnose.Finding) map[int32]bool {
	out := map[int32]bool{}
	words := regexp.MustCompile(`\d+(\.\d+){3}(/\d+)?`).ReplaceAllString(text(f), " ")
	for _, w := range strings.Fields(words) { // one word at a time: matches would share their spaces
		if m := number.FindStringSubmatch(w); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil && n > 1 && n < 1<<16 {
				out[int32(n)] = true
			}
		}
	}
	return out
}

func (n need) about(r facts.Ref) bool {
	return n.f.Subject == r || slices.Contains(n.f.Affects, r) || strings.Contains(n.words, r.ID)
}

func (n need) group(id string) bool {
	return n.about(facts.Ref{Kind: facts.SecurityGroups.Kind(), ID: id})
}

func (n need) port(c connection) bool {
	return n.named[c.port] || strings.Contains(n.words, "all traffic") || strings.Contains(n.words, "admits its members")
}

// block reports whether addresses are named, a single one by itself, or are
// one subnet's.
func (n need) block(cidr string) bool {
	if one, ok := strings.CutSuffix(cidr, "/32"); ok && regexp.MustCompile(`(^|[^\d.])`+regexp.QuoteMeta(one)+`($|[^\d.]|\.\s)`).MatchString(n.words) {
		return true
	}
	return strings.Contains(n.words, cidr) || slices.ContainsFunc(facts.Subnets.In(n.s.view), subnetIs(cidr))
}

// wants reports whether a connection is one that the finding needs and that
// one of the actions is for.
func (n need) wants(c connection) bool {
	return slices.ContainsFunc(n.actions, func(a remedy.Action) bool {
		switch a := a.(type) {
		case remedy.AuthorizeIngress:
			return n.rule(a.Rule, c)
		case remedy.AuthorizeEgress:
			return n.egress(a.EgressRule, c)
		case remedy.CreateACLEntry:
			return n.entry(a.ACLEntry, c)
		case remedy.DeleteACLEntry:
			return n.entry(a.ACLEntry, c)
		case remedy.CreateNetworkPolicy:
			return n.policy(a.Namespace, a.Spec, c)
		case remedy.CreateRoute:
			return n.route(a.RouteTable, a.Destination, c)
		case remedy.AssociateRouteTable:
			return n.s.subnet(c.from) == a.Subnet && n.about(facts.Ref{Kind: facts.Subnets.Kind(), ID: a.Subnet}) && slices.Contains(outsiders, c.to)
		}
		return false
	})
}

func (n need) rule(r remedy.Rule, c connection) bool {
	source := n.group(r.FromGroup) && slices.Contains(n.s.groups(c.from), r.FromGroup)
	if r.FromGroup == "" {
		source = n.block(r.FromCIDR) && reach.Contains(r.FromCIDR, c.from)
	}
	return source && n.port(c) && n.group(r.Group) && slices.Contains(n.s.groups(c.to), r.Group)
}

func (n need) egress(r remedy.EgressRule, c connection) bool {
	dest := n.group(r.ToGroup) && slices.Contains(n.s.groups(c.to), r.ToGroup)
	if r.ToGroup == "" {
		dest = n.block(r.ToCIDR) && reach.Contains(r.ToCIDR, c.to)
	}
	return dest && n.port(c) && n.group(r.Group) && slices.Contains(n.s.groups(c.from), r.Group)
}

// entry: an ACL keeps no state. Beside the connections to the ports needed,
// an entry for the ports that clients connect from lets the answers of others
// through, and any connection to those ports: that is all there is to ask of
// an ACL.
func (n need) entry(e remedy.ACLEntry, c connection) bool {
	here, there := c.to, c.from
	if e.Egress {
		here, there = there, here
	}
	if !n.about(facts.Ref{Kind: facts.NetworkACLs.Kind(), ID: e.ACL}) || !n.block(e.CIDR) {
		return false
	}
	clients := e.FromPort >= reach.EphemeralFrom && e.ToPort > e.FromPort
	if e.ToPort >= reach.EphemeralFrom && n.behind(e.ACL, there) && reach.Contains(e.CIDR, here) {
		return true // answers to connections of the ACL's subnets
	}
	return n.behind(e.ACL, here) && reach.Contains(e.CIDR, there) && (n.port(c) || clients && e.FromPort <= c.port && c.port <= e.ToPort)
}

// behind reports whether an address is in a subnet of an ACL.
func (n need) behind(acl string, ip netip.Addr) bool {
	a := reach.ACLOf(facts.NetworkACLs.In(n.s.view), n.s.subnet(ip))
	return a != nil && facts.Val(a.NetworkAclId) == acl
}

func (n need) route(table, destination string, c connection) bool {
	id := n.s.subnet(c.from)
	t, _ := reach.TableOf(facts.RouteTables.In(n.s.view), vpcOf(n.s.view), id)
	return t != nil && facts.Val(t.RouteTableId) == table && n.about(facts.Ref{Kind: facts.Subnets.Kind(), ID: id}) && slices.Contains(outsiders, c.to) && reach.Contains(destination, c.to)
}

func (n need) policy(namespace string, spec networkingv1.NetworkPolicySpec, c connection) bool {
	if p := n.s.pods[c.to]; p != nil && p.Namespace == namespace && selects(&spec.PodSelector, p.Labels) && n.aboutPod(p) {
		for _, r := range spec.Ingress {
			if n.port(c) && n.peers(namespace, r.From, c.from) {
				return true
			}
		}
	}
	if p := n.s.pods[c.from]; p != nil && p.Namespace == namespace && selects(&spec.PodSelector, p.Labels) && n.aboutPod(p) {
		for _, r := range spec.Egress {
			if (n.port(c) || n.s.cutOff(c.from)) && n.peers(namespace, r.To, c.to) {
				return true
			}
		}
	}
	return false
}

// peers: none at all are needed by the cluster's DNS alone, and by a pod that
// strict mode leaves nothing.
func (n need) peers(namespace string, peers []networkingv1.NetworkPolicyPeer, ip netip.Addr) bool {
	if len(peers) == 0 {
		return strings.Contains(n.words, "CoreDNS")
	}
	return slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			return n.block(p.IPBlock.CIDR) && reach.Contains(p.IPBlock.CIDR, ip)
		}
		pod := n.s.pods[ip]
		if pod == nil || p.PodSelector != nil && !selects(p.PodSelector, pod.Labels) {
			return false
		}
		return p.NamespaceSelector != nil || pod.Namespace == namespace
	})
}

// aboutPod reports whether a finding is about a pod, one like it, or a Service
// that selects it.
func (n need) aboutPod(p *corev1.Pod) bool {
	for _, o := range n.s.pods {
		if o.Namespace == p.Namespace && o.GenerateName == p.GenerateName && n.about(facts.Ref{Kind: facts.Pods.Kind(), ID: o.Namespace + "/" + o.Name}) {
			return true
		}
	}
	services := facts.Services.In(n.s.view)
	for i := range services {
		s := &services[i]
		if s.Name == "kube-dns" && reach.Selects(s, p) && strings.Contains(n.words, "CoreDNS") {
			return true
		}
		if reach.Selects(s, p) && n.about(facts.Ref{Kind: facts.Services.Kind(), ID: s.Namespace + "/" + s.Name}) {
			return true
		}
	}
	return false
}

// serviceOf is the Service that an action changes.
func serviceOf(a remedy.Action) (string, bool) {
	switch a := a.(type) {
	case remedy.SetSelector:
		return a.Namespace + "/" + a.Service, true
	case remedy.SetServicePort:
		return a.Namespace + "/" + a.Service, true
	}
	return "", false
}

func subnetIs(cidr string) func(ec2types.Subnet) bool {
	return func(s ec2types.Subnet) bool { return facts.Val(s.CidrBlock) == cidr }
}

func vpcOf(v *facts.View) string {
	for _, n := range facts.VPCs.In(v) {
		return facts.Val(n.VpcId)
	}
	return ""
}
