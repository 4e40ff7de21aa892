package l4

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// The signs that pods call the host that the question is about.
const (
	tellsOf   = "an event or the last message of the pod names it"
	nameOf    = "the pod is not ready, and the name of its workload is a part of the host's"
	anybodyIn = "no pod outside kube-system is admitted there"
)

// askedCalls are those to the address that the question names, by itself or as
// what its host resolves to. Without a port nobody knows what was called.
// Callers are those that complain, else those that seem to; where nothing
// tells, whoever it is, it must be all the same.
func (d *destinations) askedCalls(v *facts.View) []call {
	t, events := v.Target(), facts.Events.In(v)
	ip, err := netip.ParseAddr(cmp.Or(t.Address, t.Host))
	if err != nil || t.Port <= 0 || t.Port == 53 { // a name server is for the checks of DNS
		return nil
	}
	c := call{ip: ip.Unmap(), protocol: "tcp", port: t.Port, host: cmp.Or(t.Host, t.Address)}
	told := messages(events)
	for _, s := range d.sources {
		if c.saidBy(s.pod, told[s.pod.Namespace+"/"+s.pod.Name]) {
			c.who = append(c.who, s)
		}
	}
	if c.sign = tellsOf; len(c.who) == 0 {
		c.sign = nameOf
		for _, s := range d.sources {
			if !reach.Ready(s.pod) && nameIn(c.host, s.pod) {
				c.who = append(c.who, s)
			}
		}
	}
	if c.each = len(c.who) > 0; !c.each {
		c.sign, c.who = anybodyIn, alone(d.sources)
	}
	return []call{c}
}

// alone are the pods outside kube-system if they all have the same security
// groups: only then is it plain whom a rule has to admit.
func alone(all []spot) []spot {
	out := slices.DeleteFunc(slices.Clone(all), func(s spot) bool { return s.pod.Namespace == "kube-system" })
	if slices.ContainsFunc(out, func(s spot) bool { return s.set() != out[0].set() }) {
		return nil
	}
	return out
}

// messages are those of the events about pods, by namespace/name.
func messages(events []corev1.Event) map[string][]string {
	out := map[string][]string{}
	for i := range events {
		if o := events[i].InvolvedObject; o.Kind == "Pod" {
			key := o.Namespace + "/" + o.Name
			out[key] = append(out[key], events[i].Message)
		}
	}
	return out
}

// saidBy reports whether a pod's events, or what its containers said when they
// ended or why they wait, name the host or the address of c.
func (c call) saidBy(p *corev1.Pod, told []string) bool {
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		for _, st := range []corev1.ContainerState{s.State, s.LastTerminationState} {
			if st.Waiting != nil {
				told = append(told, st.Waiting.Message)
			}
			if st.Terminated != nil {
				told = append(told, st.Terminated.Message)
			}
		}
	}
	return slices.ContainsFunc(told, func(m string) bool { return holdsWord(m, c.host) || holdsWord(m, c.ip.String()) })
}

// holdsWord reports whether a text has a name or an address in it, and not as
// a part of a longer one.
func holdsWord(text, word string) bool {
	text, word = strings.ToLower(text), strings.ToLower(word)
	part := func(b byte) bool { return b == '-' || b == '.' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' }
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(word)
		// A dot may end a sentence; one with more behind it goes on with the name.
		after := end < len(text) && part(text[end]) && (text[end] != '.' || end+1 < len(text) && part(text[end+1]))
		if (i == 0 || !part(text[i-1])) && !after {
			return true
		}
		from = end
	}
}

// nameIn reports whether the name of a pod's workload is a part of the first
// label of a host's name: "orders" of "shop-orders.c1a2.eu-west-1.rds.amazonaws.com".
func nameIn(host string, p *corev1.Pod) bool {
	owner := ownerOf(p).ID
	label, _, _ := strings.Cut(strings.ToLower(host), ".")
	return strings.Contains("-"+label+"-", "-"+owner[strings.LastIndexByte(owner, '/')+1:]+"-")
}
