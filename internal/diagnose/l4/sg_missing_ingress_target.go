package l4

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGMissingIngressTarget recognises databases and other resources of the VPC
// whose security groups do not admit the pods that call them.
var SGMissingIngressTarget = &diagnose.Check{
	ID:    "l4/sg-missing-ingress-target",
	Title: "Destination in the VPC does not admit the security group of the pods",
	Doc: `A database, a cache or an instance admits whom the rules of its own security groups name. Pods come with the groups of
their node's interface, or, where a SecurityGroupPolicy selects them, with those of an interface of their own: a rule for the
nodes' group does not cover these. Connections time out.

Recognised where the cluster says whom it calls: a Service without a selector whose endpoints are addresses of a network
interface in the VPC. Pods whose settings name that Service must be admitted; where none does, one pod of the Service's
namespace is enough. And where the question says it: an address in the VPC, or a host with the address that it resolves to,
and a port. Callers of that are the pods of which an event or a last message names the host or the address; else those
that are not ready and whose workload's name is a part of the host's. Where neither tells, no pod outside kube-system may be admitted.
Pods that NetworkPolicies keep from it do not count. Nodes, pods, load balancers and the control plane are looked after by
other checks. Rules with prefix lists count as open.

Looks alike: the source's egress is closed (sg-egress-restricted); nothing listens, which refuses the connection; the
destination is in another VPC.

Fix: admit the pods' group to that port.`,
	Needs:    []facts.Need{facts.Pods, facts.Nodes, facts.Services, facts.EndpointSlices, facts.NetworkInterfaces, facts.SecurityGroups},
	Wants:    []facts.Need{facts.NetworkPolicies, facts.Namespaces, facts.Events},
	CausedBy: []string{"l4/sg-rules-limit-node-or-pod-sg", "l4/sg-stale-references"},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/security-groups-for-pods.html",
		"https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Overview.RDSSecurityGroups.html",
		"https://kubernetes.io/docs/concepts/services-networking/service/#services-without-selectors",
	},
	Run: sgMissingIngressTarget,
}

func sgMissingIngressTarget(v *facts.View) []diagnose.Finding {
	d := newDestinations(v)
	var shut []unadmitted
	for _, call := range append(d.calls(v), d.askedCalls(v)...) {
		said := slices.ContainsFunc(shut, func(o unadmitted) bool { return call.service == nil && o.ip == call.ip && o.port == call.port })
		if s, ok := d.shut(call); ok && !said {
			shut = append(shut, s)
		}
	}
	var found []diagnose.Finding
	for _, s := range shut {
		f := s.finding()
		if i := slices.IndexFunc(found, func(o diagnose.Finding) bool { return o.Subject == f.Subject }); i >= 0 {
			o := &found[i]
			o.Severity = min(o.Severity, f.Severity)
			o.Affects = refs(o.Subject, o.Affects, f.Affects)
			o.Evidence = append(o.Evidence, f.Evidence...)
			if len(f.Remedies) == 0 || len(o.Remedies) == 0 {
				continue
			}
			for _, a := range f.Remedies[0].Actions {
				if !slices.ContainsFunc(o.Remedies[0].Actions, func(b remedy.Action) bool { return a == b }) {
					o.Remedies[0].Actions = append(o.Remedies[0].Actions, a)
				}
			}
			continue
		}
		found = append(found, f)
	}
	return found
}

// destinations are the interfaces of the VPC that belong to nothing in the
// cluster, and the pods that may call them.
type destinations struct {
	groups     reach.Groups
	holders    reach.Holders
	mine       map[string]bool // interfaces of nodes
	pods       map[netip.Addr]bool
	sources    []spot
	policies   map[string][]networkingv1.NetworkPolicy
	namespaces []corev1.Namespace
}

func newDestinations(v *facts.View) *destinations {
	interfaces, nodes := facts.NetworkInterfaces.In(v), facts.Nodes.In(v)
	d := &destinations{groups: filtersOfGroups(v), holders: reach.HoldersOf(interfaces), mine: map[string]bool{}, pods: map[netip.Addr]bool{},
		policies: map[string][]networkingv1.NetworkPolicy{}, namespaces: facts.Namespaces.In(v)}
	for i := range nodes {
		for _, eni := range reach.InterfacesOf(&nodes[i], interfaces) {
			d.mine[facts.Val(eni.NetworkInterfaceId)] = true
		}
	}
	for _, p := range facts.NetworkPolicies.In(v) {
		d.policies[p.Namespace] = append(d.policies[p.Namespace], p)
	}
	pods := facts.Pods.In(v)
	d.sources = append(spots(pods, nodes, interfaces), branched(pods, d.holders)...)
	for i := range pods {
		if !reach.Finished(&pods[i]) {
			d.pods[addressOf(&pods[i])] = true
		}
	}
	return d
}

// branched places the pods that have an interface of their own.
func branched(pods []corev1.Pod, holders reach.Holders) []spot {
	var out []spot
	for i := range pods {
		p := &pods[i]
		if eni := holders.Holder(addressOf(p)); eni != nil && reach.HasBranch(p) && !reach.Finished(p) && len(eni.Groups) > 0 {
			out = append(out, spot{p, reach.Endpoint{IP: addressOf(p), Groups: reach.GroupIDs(eni)}, facts.Val(eni.SubnetId)})
		}
	}
	return out
}

// A call is an address and port that pods are known to connect to.
type call struct {
	ip       netip.Addr
	protocol string
	port     int32
	service  *corev1.Service // that stands for it; nil for one that the question names
	host     string          // that the question names
	sign     string          // by what they are known to be the callers of it
	who      []spot
	each     bool // each of them has to get through; else one is enough
}

// calls are those that Services without a selector stand for.
func (d *destinations) calls(v *facts.View) []call {
	bySlice := map[string][]discoveryv1.EndpointSlice{}
	for _, s := range facts.EndpointSlices.In(v) {
		key := s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]
		bySlice[key] = append(bySlice[key], s)
	}
	var out []call
	services := facts.Services.In(v)
	for i := range services {
		s := &services[i]
		if len(s.Spec.Selector) > 0 || s.Spec.Type == corev1.ServiceTypeExternalName || s.Namespace == "default" && s.Name == "kubernetes" {
			continue
		}
		who, each := d.callers(s)
		for _, c := range endpointsIn(bySlice[s.Namespace+"/"+s.Name]) {
			c.service, c.who, c.each = s, who, each
			out = append(out, c)
		}
	}
	return out
}

// endpointsIn are the addresses and ports of endpoint slices.
func endpointsIn(list []discoveryv1.EndpointSlice) []call {
	var out []call
	for _, s := range list {
		for _, e := range s.Endpoints {
			for _, p := range s.Ports {
				for _, a := range e.Addresses {
					if ip, err := netip.ParseAddr(a); err == nil && p.Port != nil {
						out = append(out, call{ip: ip, protocol: strings.ToLower(string(cmp.Or(facts.Val(p.Protocol), corev1.ProtocolTCP))), port: *p.Port})
					}
				}
			}
		}
	}
	return out
}

// callers are the pods whose settings name a Service; else those of its
// namespace.
func (d *destinations) callers(s *corev1.Service) (who []spot, each bool) {
	name := regexp.MustCompile(`(^|[^A-Za-z0-9.-])` + regexp.QuoteMeta(s.Name) + `($|[^A-Za-z0-9-])`)
	var near []spot
	for _, p := range d.sources {
		switch {
		case mentions(p.pod, s) || p.pod.Namespace == s.Namespace && namesHost(p.pod, name):
			who = append(who, p)
		case p.pod.Namespace == s.Namespace:
			near = append(near, p)
		}
	}
	if len(who) > 0 {
		return who, true
	}
	return near, false
}

// hostly are the words in names of settings that hold a host.
var hostly = regexp.MustCompile(`(?i)HOST|ADDR|URL|URI|ENDPOINT|SERVER|DSN|BROKER`)

// namesHost reports whether a setting of a pod that holds a host names one.
func namesHost(p *corev1.Pod, name *regexp.Regexp) bool {
	for _, c := range p.Spec.Containers {
		for _, e := range c.Env {
			if hostly.MatchString(e.Name) && name.MatchString(e.Value) {
				return true
			}
		}
	}
	return false
}

// An unadmitted is a call that the destination's groups do not admit.
type unadmitted struct {
	call
	eni     *ec2types.NetworkInterface
	dest    []string // its groups
	tried   int      // callers that policies let out to it
	blocked []spot   // of them
}

// shut finds out who is not admitted for certain.
func (d *destinations) shut(c call) (unadmitted, bool) {
	eni := d.holders.Holder(c.ip)
	if eni == nil || len(eni.Groups) == 0 || d.mine[facts.Val(eni.NetworkInterfaceId)] || d.pods[c.ip] || reach.IsBranch(*eni) || lookedAfter(eni) {
		return unadmitted{}, false
	}
	s := unadmitted{call: c, eni: eni, dest: reach.GroupIDs(eni)}
	known := map[string]bool{} // admitted, by set of groups and address: replicas are many
	for _, from := range c.who {
		if !reach.PolicyLetsOut(d.policies[from.pod.Namespace], d.namespaces, from.pod, reach.Peer{IP: c.ip}, c.protocol, c.port).Allowed {
			continue
		}
		s.tried++
		key := from.set() + " " + from.end.IP.String()
		stops, ok := known[key]
		if !ok {
			stops = d.groups.Admits(s.dest, from.end, c.protocol, c.port).Blocked()
			known[key] = stops
		}
		if stops {
			s.blocked = append(s.blocked, from)
		}
	}
	return s, len(s.blocked) > 0 && (c.each || len(s.blocked) == s.tried)
}

// lookedAfter reports whether other checks look after an interface: those of
// load balancers, VPC endpoints and the control plane.
func lookedAfter(eni *ec2types.NetworkInterface) bool {
	d := facts.Val(eni.Description)
	return eni.InterfaceType == ec2types.NetworkInterfaceTypeVpcEndpoint || strings.HasPrefix(d, "Amazon EKS ") || strings.HasPrefix(d, "ELB ")
}

func (s unadmitted) finding() diagnose.Finding {
	first := s.blocked[0]
	group := own(s.dest, first.end.Groups)
	what := facts.Val(s.eni.NetworkInterfaceId)
	if d := facts.Val(s.eni.Description); d != "" {
		what += " (" + facts.Redact(d) + ")"
	}
	f := diagnose.Finding{Severity: diagnose.Degraded, Subject: groupRef(group)}
	if len(s.blocked) == s.tried {
		f.Severity = diagnose.Outage
	}
	about := []facts.Ref{{Kind: facts.NetworkInterfaces.Kind(), ID: facts.Val(s.eni.NetworkInterfaceId)}}
	if s.service != nil {
		about = append(about, serviceRef(s.service))
	}
	run := remedy.Remedy{Title: fmt.Sprintf("Admit the pods' security group to %s %d of %s", s.protocol, s.port, group), Why: "One port, for all members of the pods' group; nothing else is opened.", Risk: remedy.Safe}
	var from []string
	for _, b := range s.blocked {
		if s.each { // of others it is not known that they call it
			about = append(about, podRef(b.pod))
		}
		g := own(b.end.Groups, s.dest)
		if !slices.Contains(from, g) {
			from = append(from, g)
			run.Actions = append(run.Actions, remedy.AuthorizeIngress{Rule: remedy.Rule{Group: group, Protocol: s.protocol, FromPort: s.port, ToPort: s.port, FromGroup: g}})
		}
	}
	f.Affects = refs(f.Subject, about)
	f.Remedies = []remedy.Remedy{run}
	if s.sign == anybodyIn { // a person knows whether pods are meant to get there
		f.Remedies[0].Manual = run.Commands()
		f.Remedies[0].Actions = nil
	}
	effect := "time out there"
	if s.sign == anybodyIn {
		effect = "would time out there"
	}
	f.Claim = fmt.Sprintf("Security group %s does not admit %s to port %d of %s: pods such as %s/%s "+effect, group, strings.Join(from, ", "), s.port, s.target(), first.pod.Namespace, first.pod.Name)
	f.Evidence = []diagnose.Evidence{
		{Fact: f.Subject.String(), Got: s.reason(), Want: fmt.Sprintf("a rule for %s %d from %s", s.protocol, s.port, strings.Join(from, ", ")),
			Command: "aws ec2 describe-security-groups --group-ids " + strings.Join(s.dest, " ") + " --query 'SecurityGroups[].[GroupId,IpPermissions]'"},
		{Fact: "destination " + s.ip.String(), Got: "interface " + what + " in " + strings.Join(s.dest, ", "), Want: "a group that admits the pods",
			Command: "aws ec2 describe-network-interfaces --filters Name=addresses.private-ip-address,Values=" + s.ip.String()},
		s.known(),
	}
	return f
}

// target names the destination.
func (s unadmitted) target() string {
	switch {
	case s.service != nil:
		return fmt.Sprintf("%s, behind Service %s/%s", s.ip, s.service.Namespace, s.service.Name)
	case s.host != s.ip.String():
		return fmt.Sprintf("%s (%s)", s.ip, s.host)
	default:
		return s.ip.String()
	}
}

// known shows by what the call is known to be made.
func (s unadmitted) known() diagnose.Evidence {
	if s.service == nil {
		return diagnose.Evidence{Fact: "need of " + podRef(s.blocked[0].pod).String(), Got: fmt.Sprintf("the question is about %s port %d; %s", s.host, s.port, s.sign), Want: "pods reach it",
			Command: fmt.Sprintf("kubectl -n %s describe pod %s", s.blocked[0].pod.Namespace, s.blocked[0].pod.Name)}
	}
	return diagnose.Evidence{Fact: serviceRef(s.service).String(), Got: fmt.Sprintf("no selector, endpoint %s:%d", s.ip, s.port), Want: "pods reach it",
		Command: fmt.Sprintf("kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s -o yaml", s.service.Namespace, s.service.Name)}
}

// reason is why the first of those shut out is.
func (s unadmitted) reason() string {
	b := s.blocked[0]
	return fmt.Sprintf("no ingress rule admits %s %d from pod %s/%s, %s", s.protocol, s.port, b.pod.Namespace, b.pod.Name, b.end)
}
