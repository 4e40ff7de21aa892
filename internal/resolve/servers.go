package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// autoModeDNS stands for the DNS on nodes of EKS Auto Mode, which no Service
// of the cluster tells the address of.
const autoModeDNS = "node"

// autoModeCorefile is how that DNS is understood to work.
const autoModeCorefile = ".:53 {\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n  pods insecure\n  fallthrough in-addr.arpa ip6.arpa\n }\n forward . /etc/resolv.conf\n cache 30\n}\n"

// nodeLocalCorefile is what matters of the Corefile that NodeLocal DNSCache
// is installed with: the cluster's names go to CoreDNS, others to where the
// node asks (kubernetes/dns, nodelocaldns.yaml).
const nodeLocalCorefile = "cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {\n cache 30\n forward . __PILLAR__CLUSTER__DNS__\n}\n.:53 {\n cache 30\n forward . __PILLAR__UPSTREAM__SERVERS__\n}\n"

// An asker follows one full name from server to server.
type asker struct {
	w      *World
	pod    *corev1.Pod // who asks CoreDNS: the pod of the question, or the cache on its node; nil for nobody
	tcp    bool        // over TCP alone
	qtype  string
	hops   []reach.Step
	unless []string
	seen   map[string]bool // server and name: asked before is a loop
	links  int             // aliases followed
	first  string          // name that the VPC's resolver was asked for, before its aliases
}

func (a *asker) step(s reach.Step) { a.hops = append(a.hops, s) }

// ends adds the hop that an answer comes from.
func (a *asker) ends(hop, rule, command string, answer Answer) Answer {
	v, symptom := reach.Denied, reach.NoSuchName
	switch answer.Kind {
	case Found:
		v, symptom = reach.Allowed, ""
	case NotKnown:
		v, symptom = reach.CannotTell, ""
	case TimedOut:
		symptom = reach.Timeout
	}
	text := answer.Why
	if len(answer.Records) > 0 {
		text = strings.TrimPrefix(text+": ", ": ") + strings.Join(answer.Records, ", ")
	}
	a.step(reach.Step{Hop: hop, Verdict: v, Rule: rule, Text: text, Command: command, Objects: answer.Objects, Symptom: symptom})
	return answer
}

func (a *asker) unknown(hop, name, by, why, command string, refs ...facts.Ref) Answer {
	return a.ends(hop, "", command, Answer{Kind: NotKnown, Name: name, By: by, Why: why, Objects: refs})
}

// again reports whether a server was asked for a name before.
func (a *asker) again(server, name string) bool {
	key := server + " " + name
	if a.seen[key] || len(a.seen) >= maxAsked {
		return true
	}
	a.seen[key] = true
	return false
}

// server asks the nameservers of a resolv.conf, the next one when one does
// not answer.
func (a *asker) server(conf ResolvConf, name string) Answer {
	for i, address := range conf.Nameservers {
		a.seen = map[string]bool{}
		answer := a.ask(address, name)
		if answer.Kind != TimedOut || i == len(conf.Nameservers)-1 {
			return answer
		}
		last := &a.hops[len(a.hops)-1]
		last.Verdict, last.Symptom = reach.Allowed, ""
		last.Text += fmt.Sprintf("; after %d s the next nameserver is asked", conf.Timeout)
	}
	if a.w.Services == nil || a.w.VPCs == nil || a.w.DHCPOptions == nil {
		return a.unknown("nameserver", name, "a nameserver that is not known", "which nameserver is asked is not known", "kubectl -n kube-system get service kube-dns")
	}
	return a.ends("nameserver", "", "kubectl -n kube-system get service kube-dns", Answer{Kind: TimedOut, Name: name, By: "nobody", Why: "there is no nameserver to ask"})
}

// ask finds who has an address and asks it.
func (a *asker) ask(address, name string) Answer {
	if address == autoModeDNS {
		a.step(reach.Step{Hop: "DNS of the node", Verdict: reach.Allowed, Text: "nodes of EKS Auto Mode resolve names themselves: there is no Service kube-dns", Command: "kubectl -n kube-system get service kube-dns"})
		c, _ := a.w.parsed(autoModeCorefile)
		return a.block(c, "the DNS of the node", "", name)
	}
	ip, err := netip.ParseAddr(address)
	switch {
	case err != nil:
		return a.unknown("nameserver", name, address, address+" is no address", "")
	case ip.String() == nodeLocalAddr && a.w.DaemonSets != nil && !a.w.NodeLocal():
		return a.unknown("nameserver", name, address, address+" is where NodeLocal DNSCache listens, which is not in kube-system", "kubectl get daemonsets -A")
	case ip.String() == nodeLocalAddr || slices.Contains(a.w.Addresses(), ip) && a.w.NodeLocal():
		return a.nodeLocal(name)
	case slices.Contains(a.w.Addresses(), ip):
		return a.clusterService(ip, name)
	case a.w.AutoMode() && a.w.serviceRange().Contains(ip) && a.w.serviceAt(ip) == nil:
		return a.ask(autoModeDNS, name)
	case a.w.VPCResolver(ip) || a.w.inbound(ip):
		return a.vpc(name)
	case ip.IsLoopback():
		return a.ends("nameserver", "", "", Answer{Kind: TimedOut, Name: name, By: address, Why: address + " is the host itself, where nothing is known to answer DNS"})
	}
	return a.stranger(ip, name)
}

// stranger is a server of which nothing is known but its address.
func (a *asker) stranger(ip netip.Addr, name string) Answer {
	command := fmt.Sprintf("dig @%s %s", ip, name)
	if s := a.w.serviceAt(ip); s != nil {
		id := s.Namespace + "/" + s.Name
		return a.unknown("nameserver", name, "Service "+id, "Service "+id+" answers; it was not asked", command, ref(facts.Services, s.Namespace, s.Name))
	}
	if a.w.Services != nil && a.w.serviceRange().Contains(ip) {
		return a.ends("nameserver", "", "kubectl get services -A", Answer{Kind: TimedOut, Name: name, By: "nobody", Why: fmt.Sprintf("%s is an address for Services, and no Service has it", ip)})
	}
	return a.unknown("nameserver", name, "the server "+ip.String(), fmt.Sprintf("the server %s answers; it was not asked", ip), command)
}

// serviceAt is the Service that has an address; nil for none.
func (w *World) serviceAt(ip netip.Addr) *corev1.Service {
	for i := range w.Services {
		if slices.Contains(clusterIPs(&w.Services[i]), ip) {
			return &w.Services[i]
		}
	}
	return nil
}

// serviceRange is the block of the addresses of Services.
func (w *World) serviceRange() netip.Prefix {
	for _, c := range w.Clusters {
		if n := c.KubernetesNetworkConfig; n != nil {
			for _, s := range []*string{n.ServiceIpv4Cidr, n.ServiceIpv6Cidr} {
				if p, err := netip.ParsePrefix(facts.Val(s)); err == nil {
					return p
				}
			}
		}
	}
	return netip.Prefix{}
}

// clusterService asks CoreDNS through a Service in front of its pods.
func (a *asker) clusterService(ip netip.Addr, name string) Answer {
	refs := []facts.Ref{ref(facts.Services, dnsNamespace, dnsService)}
	command := "kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns"
	if a.w.EndpointSlices == nil {
		a.step(reach.Step{Hop: "Service kube-dns", Verdict: reach.CannotTell, Rule: "kube-system/kube-dns", Text: "whether Service kube-system/kube-dns has ready endpoints is not known", Command: command, Objects: refs})
		a.unless = append(a.unless, "CoreDNS has no ready pod")
		return a.configured(corednsMap, "CoreDNS", name)
	}
	ready := a.w.ready(request{namespace: dnsNamespace, service: dnsService})
	if ready == 0 {
		return a.ends("Service kube-dns", "kube-system/kube-dns", command, Answer{Kind: TimedOut, Name: name, By: "nobody", Why: "Service kube-system/kube-dns has no ready endpoint", Objects: refs})
	}
	if g, ok := a.shut(); ok {
		return a.stopped(g, name)
	}
	a.step(reach.Step{Hop: "Service kube-dns", Verdict: reach.Allowed, Rule: "kube-system/kube-dns", Text: fmt.Sprintf("%s leads to CoreDNS: Service kube-system/kube-dns has %d ready endpoints", ip, ready), Command: command, Objects: refs})
	return a.configured(corednsMap, "CoreDNS", name)
}

func isReady(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

// slicesOf are the EndpointSlices of a Service.
func (w *World) slicesOf(namespace, service string) []discoveryv1.EndpointSlice {
	var out []discoveryv1.EndpointSlice
	for _, s := range w.EndpointSlices {
		if s.Namespace == namespace && s.Labels[discoveryv1.LabelServiceName] == service {
			out = append(out, s)
		}
	}
	return out
}

// nodeServers asks the nameservers in the resolv.conf of the server's pod,
// which has dnsPolicy Default as EKS installs it: those of its node.
func (a *asker) nodeServers(s server, l Link) Answer {
	servers, _, known := a.w.NodeDNS()
	vpc := a.w.vpcID()
	command := "aws ec2 describe-dhcp-options --dhcp-options-ids $(aws ec2 describe-vpcs --vpc-ids " + cmp.Or(vpc, "VPC") + " --query 'Vpcs[0].DhcpOptionsId' --output text)"
	for i := range a.w.Pods {
		p := &a.w.Pods[i]
		if s.configMap != corednsMap || p.Namespace != dnsNamespace || p.Labels["k8s-app"] != dnsService || p.Spec.DNSPolicy == "" || !asksCluster(p) {
			continue
		}
		return a.ends("resolv.conf of CoreDNS", "", "kubectl -n kube-system get pod "+p.Name+" -o jsonpath='{.spec.dnsPolicy}'", Answer{Kind: ServFail, Name: l.Name, By: s.who,
			Why: "the CoreDNS pods have dnsPolicy " + string(p.Spec.DNSPolicy) + ": their /etc/resolv.conf names the cluster's DNS, which is themselves: a loop", Objects: []facts.Ref{ref(facts.Pods, p.Namespace, p.Name)}})
	}
	switch {
	case !known:
		a.step(reach.Step{Hop: "resolv.conf of the node", Verdict: reach.CannotTell, Text: "the DHCP options of the VPC are not known; the resolver of the VPC is what nodes normally ask", Command: command})
		a.unless = append(a.unless, "the VPC's DHCP options name other nameservers")
		return a.vpc(l.Name)
	case len(servers) == 0:
		return a.vpc(l.Name)
	}
	text := "the DHCP options of the VPC name " + strings.Join(servers, ", ")
	policy := l.Plugin.forward().Policy
	strangers := a.w.besideVPC(servers)
	if policy == "sequential" {
		strangers = nil
	}
	if len(strangers) > 0 {
		text += fmt.Sprintf("; forward asks any of them (policy %s), here the first is followed", policy)
	}
	a.step(reach.Step{Hop: "resolv.conf of the node", Verdict: reach.Allowed, Text: text, Command: command, Objects: a.dhcpRef()})
	a.others(servers, policy)
	answer := a.ask(servers[0], l.Name)
	if answer.Kind == NotKnown && len(strangers) > 0 { // doubts about it are not told: the reader must not take the first server for the only one
		answer.Why += fmt.Sprintf("; %s, asked as often as the VPC's resolver, may answer otherwise", strings.Join(strangers, ", "))
	}
	return answer
}

// besideVPC are the servers that are not the VPC's resolver, where that is
// among them too.
func (w *World) besideVPC(servers []string) []string {
	var out []string
	for _, s := range servers {
		if ip, err := netip.ParseAddr(s); err == nil && !w.VPCResolver(ip) {
			out = append(out, s)
		}
	}
	if len(out) == len(servers) {
		return nil
	}
	return out
}

// others notes upstreams beside the first that may answer otherwise. Policy
// sequential asks them only when the first fails.
func (a *asker) others(servers []string, policy string) {
	if policy == "sequential" {
		return
	}
	for _, s := range servers[1:] {
		first, _ := netip.ParseAddr(servers[0])
		other, err := netip.ParseAddr(s)
		if err != nil || other == first || a.w.VPCResolver(first) && a.w.VPCResolver(other) {
			continue
		}
		a.unless = append(a.unless, s+", which is asked as often as "+servers[0]+", answers otherwise")
	}
}

func (a *asker) dhcpRef() []facts.Ref {
	if v := a.w.VPC(); v != nil && v.DhcpOptionsId != nil {
		return []facts.Ref{ref(facts.DHCPOptions, "", *v.DhcpOptionsId)}
	}
	return nil
}

// inFamily makes an answer of the addresses that a query's type is about.
func inFamily(a Answer, ips []netip.Addr, qtype string) Answer {
	a.Kind = NoData
	for _, ip := range ips {
		if qtype == "AAAA" && ip.Is6() || qtype == "A" && ip.Is4() {
			a.Kind = Found
			a.Records = append(a.Records, ip.String())
		}
	}
	if a.Kind == NoData {
		a.Why += ", which has no record of type " + qtype
	}
	a.Records = unique(a.Records)
	return a
}
