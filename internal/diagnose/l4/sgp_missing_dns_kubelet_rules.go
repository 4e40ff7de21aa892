package l4

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// SGPMissingDNSKubeletRules recognises pods whose own security groups keep them
// from DNS, or the kubelet from their probes.
var SGPMissingDNSKubeletRules = &diagnose.Check{
	ID:    "l4/sgp-missing-dns-kubelet-rules",
	Title: "Security groups of a pod lack rules for DNS or probes",
	Doc: `A pod with a branch interface is no longer in its node's security groups. What the node's groups allowed has to be
allowed again: its queries to the CoreDNS pods, both out of its own group and into theirs, and, in strict mode, the kubelet's
probes, which reach it from its node's address. Without those rules queries and probes time out.

Recognised by following the groups of branch interfaces. DNS: UDP 53 to CoreDNS pods, for pods that ask the cluster's DNS; in
standard mode CoreDNS on the same node is reached without the pod's groups. Probes: from the node to each port that an HTTP,
TCP or gRPC probe asks, in strict mode, of pods that are not ready or whose probes time out; a probe that is refused or answered
was let in. Rules with prefix lists, and groups that were not read, count as open. What else such a pod may reach or be
reached by was decided when its groups were made, and is not judged. With NodeLocal DNSCache its queries go elsewhere.

Looks alike: early demux (the rules are complete and probes time out); a pod that no policy matches; groups of nodes.

Fix: the one rule that is missing, between the two groups.`,
	Needs:    []facts.Need{facts.Pods, facts.Nodes, facts.Services, facts.DaemonSets, facts.NetworkInterfaces, facts.SecurityGroups},
	Wants:    []facts.Need{facts.Events},
	CausedBy: []string{"l4/cluster-sg-removed"},
	Sources:  []string{sgpGuide, sgpPractices},
	Run:      sgpMissingDNSKubeletRules,
}

func sgpMissingDNSKubeletRules(v *facts.View) []diagnose.Finding {
	settings := podSettingsOf(v)
	if !settings.known {
		return nil
	}
	rules := filters{groups: filtersOfGroups(v)}
	branches := branchPods(v)
	stops := rules.stops(probeCalls(v, settings, branches))
	stops = append(stops, dnsStops(rules.stops(branchQueries(v, settings, branches)))...)
	byObject, order := map[facts.Ref][]stop{}, []facts.Ref{}
	for _, s := range stops {
		o := s.object()
		if byObject[o] == nil {
			order = append(order, o)
		}
		byObject[o] = append(byObject[o], s)
	}
	var findings []diagnose.Finding
	for _, o := range order {
		findings = append(findings, ruleMissing(o, byObject[o]))
	}
	return findings
}

// dnsStops keeps the stopped queries over TCP of those whose queries over UDP
// are stopped as well: most pods never need the former.
func dnsStops(all []stop) []stop {
	return slices.DeleteFunc(all, func(s stop) bool {
		return s.protocol == "tcp" && !slices.ContainsFunc(all, func(o stop) bool {
			return o.protocol == "udp" && o.from.IP == s.from.IP && o.to.IP == s.to.IP
		})
	})
}

// branchQueries are the queries of pods with a branch interface to CoreDNS.
func branchQueries(v *facts.View, settings podSettings, branches []branchPod) []connection {
	if hasNodeLocalDNS(v) {
		return nil
	}
	var out []connection
	all := spots(facts.Pods.In(v), facts.Nodes.In(v), facts.NetworkInterfaces.In(v))
	for _, p := range servicePorts(facts.Services.In(v), all) {
		if !isDNS(p.service) || !asksDNS(p) {
			continue
		}
		for _, to := range samples(p.pods) {
			for _, b := range branches {
				local := b.pod.Spec.NodeName == to.pod.Spec.NodeName
				if b.pod.Spec.DNSPolicy == corev1.DNSDefault || b.pod.Spec.DNSPolicy == corev1.DNSNone || local && !settings.strict {
					continue
				}
				out = append(out, connection{from: b.Host, to: to.host(), protocol: p.protocol, port: p.number,
					source: "pod " + b.pod.Namespace + "/" + b.pod.Name, dest: "CoreDNS", about: []facts.Ref{podRef(b.pod)}})
			}
		}
	}
	return out
}

// asksDNS reports whether a port of the cluster's DNS is the one for queries.
func asksDNS(p port) bool {
	return p.number == 53 || slices.ContainsFunc(p.service.Spec.Ports, func(sp corev1.ServicePort) bool { return sp.Port == 53 && sp.TargetPort.IntVal == p.number })
}

func hasNodeLocalDNS(v *facts.View) bool {
	return slices.ContainsFunc(facts.Pods.In(v), func(p corev1.Pod) bool {
		return p.Namespace == "kube-system" && (p.Labels["k8s-app"] == "node-local-dns" || strings.HasPrefix(p.Name, "node-local-dns-"))
	})
}

// probeCalls are the kubelets' probes of pods that do not pass them.
func probeCalls(v *facts.View, settings podSettings, branches []branchPod) []connection {
	if !settings.strict {
		return nil
	}
	byNode := map[string]machine{}
	for _, m := range machines(facts.Nodes.In(v), facts.NetworkInterfaces.In(v)) {
		byNode[m.Name] = m
	}
	events := latestEvents(facts.Events.In(v))
	var out []connection
	for _, b := range branches {
		m, ok := byNode[b.pod.Spec.NodeName]
		e := events[b.pod.Namespace+"/"+b.pod.Name]["Unhealthy"]
		if !ok || b.IP.Is4() != m.IP.Is4() || e == nil && reach.Ready(b.pod) || e != nil && !gotNoAnswer(e.Message) {
			continue
		}
		for _, port := range probePorts(b.pod) {
			out = append(out, connection{from: m.Host, to: b.Host, protocol: "tcp", port: port,
				source: "the kubelet of node " + m.Name, dest: "pod " + b.pod.Namespace + "/" + b.pod.Name, about: []facts.Ref{podRef(b.pod)}})
		}
	}
	return out
}

var noAnswer = regexp.MustCompile(`context deadline exceeded|i/o timeout|Client\.Timeout exceeded|timeout: failed to connect`)

// gotNoAnswer reports whether an event says that a probe got no answer; refused
// and wrong answers come from the pod.
func gotNoAnswer(message string) bool { return noAnswer.MatchString(message) }

// probePorts are the ports that the kubelet connects to on a pod's own
// address. Exec probes connect to nothing.
func probePorts(p *corev1.Pod) []int32 {
	var out []int32
	for _, c := range containers(p) {
		for _, probe := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if n := probePort(p, probe); n > 0 && !asksAnotherHost(probe) && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// asksAnotherHost reports whether a probe asks another host than its pod.
func asksAnotherHost(p *corev1.Probe) bool {
	return p.HTTPGet != nil && p.HTTPGet.Host != "" || p.TCPSocket != nil && p.TCPSocket.Host != ""
}

func ruleMissing(object facts.Ref, stops []stop) diagnose.Finding {
	var about []facts.Ref
	var pods, wanted []string
	for _, s := range stops {
		about = append(about, s.about...)
		if w := s.want(); !slices.Contains(wanted, w) {
			wanted = append(wanted, w)
		}
	}
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  object,
		Affects:  refs(object, about),
		Evidence: evidenceOf(stops),
		Remedies: ways(stops, strings.Join(wanted, ", ")),
	}
	for _, r := range f.Affects {
		pods = append(pods, r.ID)
	}
	f.Claim = fmt.Sprintf("Security group %s lacks a rule that pods with groups of their own need: %s (%s)", object.ID, strings.Join(wanted, ", "), diagnose.Some(pods))
	return f
}

// want is what a rule would let through, seen from the group that lacks it.
func (s stop) want() string {
	switch {
	case s.dest == "CoreDNS" && s.outward():
		return fmt.Sprintf("DNS queries to CoreDNS (%s %d)", s.protocol, s.port)
	case s.dest == "CoreDNS":
		return fmt.Sprintf("DNS queries from %s (%s %d)", own(s.from.Groups, s.to.Groups), s.protocol, s.port)
	case s.outward():
		return fmt.Sprintf("the kubelet's probes to %s (%s %d)", own(s.to.Groups, s.from.Groups), s.protocol, s.port)
	}
	return fmt.Sprintf("the kubelet's probes from %s (%s %d)", own(s.from.Groups, s.to.Groups), s.protocol, s.port)
}
