package resolve

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// A gate is the security groups on the way from who asks to CoreDNS. Other
// filters are not looked at here.
type gate struct {
	group    string // that lets no query pass
	protocol string
	text     string
}

// shut finds the security group that keeps who asks from every CoreDNS pod
// for certain; false when some pod is reached, or when it cannot be told.
func (a *asker) shut() (gate, bool) {
	if a.pod == nil || a.w.SecurityGroups == nil || a.w.NetworkInterfaces == nil {
		return gate{}, false
	}
	groups, holders := reach.GroupsOf(a.w.SecurityGroups), reach.HoldersOf(a.w.NetworkInterfaces)
	var found gate
	for i := range a.w.Pods {
		p := &a.w.Pods[i]
		if p.Namespace != dnsNamespace || p.Labels["k8s-app"] != dnsService || reach.Finished(p) || !reach.Ready(p) {
			continue
		}
		g, ok := a.between(groups, holders, p)
		if !ok {
			return gate{}, false
		}
		if found.group == "" {
			found = g
		}
	}
	return found, found.group != ""
}

// between is what keeps who asks from one CoreDNS pod.
func (a *asker) between(groups reach.Groups, holders reach.Holders, p *corev1.Pod) (gate, bool) {
	from, to := placed(holders, a.pod), placed(holders, p)
	if a.pod.Spec.NodeName == p.Spec.NodeName || len(from.Groups) == 0 || len(to.Groups) == 0 {
		return gate{}, false
	}
	protocol := "udp"
	if a.tcp {
		protocol = "tcp"
	}
	port := a.w.dnsPort(p, protocol)
	if d := groups.LetsOut(from.Groups, to, protocol, port); d.Blocked() {
		return gate{beside(from.Groups, to.Groups), fmt.Sprintf("%s %d", protocol, port), "out: " + d.Text}, true
	}
	if d := groups.Admits(to.Groups, from, protocol, port); d.Blocked() {
		return gate{beside(to.Groups, from.Groups), fmt.Sprintf("%s %d", protocol, port), "in: " + d.Text}, true
	}
	return gate{}, false
}

// placed is a pod as security groups see it; without groups when its
// interface is not known.
func placed(holders reach.Holders, p *corev1.Pod) reach.Endpoint {
	ip, err := netip.ParseAddr(p.Status.PodIP)
	if err != nil {
		return reach.Endpoint{}
	}
	n := holders.Holder(ip)
	if n == nil {
		return reach.Endpoint{}
	}
	return reach.Endpoint{IP: ip, Groups: reach.GroupIDs(n)}
}

// beside is the first of ids that is not among others, else the first.
func beside(ids, others []string) string {
	if i := slices.IndexFunc(ids, func(id string) bool { return !slices.Contains(others, id) }); i >= 0 {
		return ids[i]
	}
	return ids[0]
}

// dnsPort is where a CoreDNS pod listens for what comes to port 53 of the
// Service.
func (w *World) dnsPort(p *corev1.Pod, protocol string) int32 {
	if s := w.service(dnsNamespace, dnsService); s != nil {
		for _, sp := range s.Spec.Ports {
			if sp.Port == 53 && strings.EqualFold(string(sp.Protocol), protocol) {
				if n, ok := reach.TargetPort(sp, p); ok {
					return n
				}
			}
		}
	}
	return 53
}

// cacheOn is the pod of NodeLocal DNSCache on the node of who asks; nil when
// it is not known.
func (a *asker) cacheOn() *corev1.Pod {
	if a.pod == nil {
		return nil
	}
	for i := range a.w.Pods {
		p := &a.w.Pods[i]
		if p.Namespace == dnsNamespace && p.Spec.NodeName == a.pod.Spec.NodeName && p.Labels["k8s-app"] == nodeLocalMap && !reach.Finished(p) {
			return p
		}
	}
	return nil
}

// stopped ends the way at a security group.
func (a *asker) stopped(g gate, name string) Answer {
	return a.ends("way to CoreDNS", g.group, "aws ec2 describe-security-groups --group-ids "+g.group, Answer{
		Kind: TimedOut, Name: name, By: "security group " + g.group,
		Why:     fmt.Sprintf("security group %s stops %s between %s/%s and CoreDNS (%s)", g.group, g.protocol, a.pod.Namespace, a.pod.Name, g.text),
		Objects: []facts.Ref{ref(facts.SecurityGroups, "", g.group)},
	})
}
