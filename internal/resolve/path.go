package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// Limits of the work of one question.
const (
	maxChain = 8   // aliases followed one after the other
	maxAsked = 64  // servers asked for one full name
	maxName  = 253 // characters of a name without the last dot
)

// A Query is what somebody wants to know.
type Query struct {
	Name string
	Type string      // A when empty; AAAA, CNAME, SRV, PTR, TXT ...
	Pod  *corev1.Pod // who asks; nil to ask the cluster's DNS for the full name
}

// A Kind is what an answer is.
type Kind string

// The kinds of answer.
const (
	Found    Kind = "records"
	NoData   Kind = "no records of this type" // the name exists
	NXDomain Kind = "NXDOMAIN"
	ServFail Kind = "SERVFAIL"
	Refused  Kind = "REFUSED"
	TimedOut Kind = "no answer" // after a timeout, or at once when kube-proxy refuses
	NotKnown Kind = "not known" // somebody answers whose answer the facts do not tell
	Invalid  Kind = "no valid name"
)

// An Answer is what a name gets at the end of its way.
type Answer struct {
	Kind    Kind        `json:"kind"`
	Name    string      `json:"name"`              // in full
	Alias   string      `json:"alias,omitempty"`   // the name at the end of its aliases
	Records []string    `json:"records,omitempty"` // addresses, or what stands for them in words
	By      string      `json:"by"`                // who answers
	Why     string      `json:"why,omitempty"`     // the reason, in words
	Objects []facts.Ref `json:"objects,omitempty"` // what decides
	Unless  []string    `json:"unless,omitempty"`  // what is not known and would change it
}

// A Path is the way of a name to its answer. Its hops are those of the full
// name that decides.
type Path struct {
	Name   string       `json:"name"`
	Type   string       `json:"type"`
	From   string       `json:"from,omitempty"` // namespace/name of the pod
	Tried  []Answer     `json:"tried,omitempty"`
	Hops   []reach.Step `json:"hops"`
	Answer Answer       `json:"answer"`
	Text   string       `json:"text"` // in one sentence
}

// Broken returns the index of the hop that ends the way without an answer,
// or, when none does for certain, of the first that cannot be told; -1 when
// all is well.
func (p *Path) Broken() int { return (&reach.Path{Hops: p.Hops}).Broken() }

// Resolve follows a name from who asks to who answers. It asks nobody: what
// the facts in w do not tell is an answer that is NotKnown.
func Resolve(q Query, w *World) Path {
	p := Path{Name: q.Name, Type: cmp.Or(strings.ToUpper(q.Type), "A"), Hops: []reach.Step{}}
	if name := strings.TrimSuffix(q.Name, "."); name == "" || strings.HasSuffix(name, ".") || len(name) > maxName || !validName(name) {
		p.Answer = Answer{Kind: Invalid, Name: q.Name, By: "the resolver of the program", Why: "no label may be empty or longer than 63 characters, nor all longer than 253"}
		p.Hops = append(p.Hops, reach.Step{Hop: "name", Verdict: reach.Denied, Text: p.Answer.Why, Symptom: reach.NoSuchName})
		p.conclude()
		return p
	}
	conf, first := w.conf(q.Pod)
	if q.Pod != nil {
		p.From = q.Pod.Namespace + "/" + q.Pod.Name
	}
	if !p.local(q) {
		p.Hops = append(p.Hops, first)
		p.search(w, conf, q)
	}
	p.conclude()
	return p
}

// local answers what a program knows without asking a server: addresses, and
// the names in the pod's /etc/hosts.
func (p *Path) local(q Query) bool {
	if p.Type != "A" && p.Type != "AAAA" {
		return false
	}
	a := &asker{qtype: p.Type}
	if ip, err := netip.ParseAddr(q.Name); err == nil {
		p.Answer = a.ends("address", "", "", inFamily(Answer{Name: q.Name, By: "the resolver of the program", Why: "it is an address"}, []netip.Addr{ip}, p.Type))
		p.Hops = a.hops
		return true
	}
	if q.Pod == nil {
		return false
	}
	var ips []netip.Addr
	for _, h := range q.Pod.Spec.HostAliases {
		ip, err := netip.ParseAddr(h.IP)
		if err == nil && slices.ContainsFunc(h.Hostnames, func(n string) bool { return Normal(n) == Normal(q.Name) }) {
			ips = append(ips, ip)
		}
	}
	found := inFamily(Answer{Name: q.Name, By: "the pod's /etc/hosts", Why: "hostAliases of the pod", Objects: []facts.Ref{ref(facts.Pods, q.Pod.Namespace, q.Pod.Name)}}, ips, p.Type)
	if found.Kind != Found {
		return false
	}
	p.Answer = a.ends("/etc/hosts of the pod", p.From, fmt.Sprintf("kubectl -n %s exec %s -- cat /etc/hosts", q.Pod.Namespace, q.Pod.Name), found)
	p.Hops = a.hops
	return true
}

// conf is the resolv.conf of who asks, with the hop that shows it.
func (w *World) conf(pod *corev1.Pod) (ResolvConf, reach.Step) {
	if pod == nil {
		c := ResolvConf{Ndots: 0}
		for _, a := range w.Addresses() {
			c.Nameservers = append(c.Nameservers, a.String())
		}
		if len(c.Nameservers) == 0 && w.AutoMode() && w.Services != nil {
			c.Nameservers = []string{autoModeDNS}
		}
		return c, reach.Step{Hop: "question", Verdict: reach.Allowed, Text: "the cluster's DNS is asked for the full name", Command: "kubectl -n kube-system get service kube-dns"}
	}
	cluster, read := w.clusterDNS(pod.Spec.NodeName)
	if !read && len(cluster.Addresses) == 0 && w.AutoMode() && w.Services != nil {
		cluster.Addresses = []string{autoModeDNS}
	}
	c := ForPod(pod, cluster)
	s := reach.Step{
		Hop: "resolv.conf of the pod", Verdict: reach.Allowed, Objects: []facts.Ref{ref(facts.Pods, pod.Namespace, pod.Name)},
		Command: fmt.Sprintf("kubectl -n %s exec %s -- cat /etc/resolv.conf", pod.Namespace, pod.Name),
		Text: fmt.Sprintf("dnsPolicy %s: nameserver %s, search %s, ndots %d", cmp.Or(pod.Spec.DNSPolicy, corev1.DNSClusterFirst),
			cmp.Or(strings.Join(c.Nameservers, " "), "none"), cmp.Or(strings.Join(c.Search, " "), "nothing"), c.Ndots),
	}
	if len(c.Notes) > 0 {
		s.Text += " (" + strings.Join(c.Notes, "; ") + ")"
	}
	return c, s
}

// search asks for the candidates of a name in turn.
func (p *Path) search(w *World, conf ResolvConf, q Query) {
	name := q.Name
	names := conf.Candidates(name)
	askers := make([]*asker, len(names))
	chosen := -1
	for i, full := range names {
		a := &asker{w: w, pod: q.Pod, qtype: p.Type, seen: map[string]bool{}}
		askers[i] = a
		answer := a.server(conf, full)
		answer.Unless = unique(append(answer.Unless, a.unless...))
		if answer.Name != full {
			answer.Name, answer.Alias = full, answer.Name
		}
		p.Tried = append(p.Tried, answer)
		if answer.Kind == Found || answer.Kind == TimedOut {
			chosen = i
			break
		}
	}
	if chosen < 0 {
		chosen = p.likeliest(w, name)
	}
	if len(names) > 1 {
		p.Hops = append(p.Hops, p.searchStep(conf, name, chosen))
	}
	p.Hops = append(p.Hops, askers[chosen].hops...)
	p.Answer = p.Tried[chosen]
	p.doubt(chosen)
}

// doubt notes candidates that come first and whose answers are not known.
func (p *Path) doubt(chosen int) {
	for _, a := range p.Tried[:chosen] {
		if a.Kind == NotKnown && p.Answer.Kind != NotKnown {
			p.Answer.Unless = append(p.Answer.Unless, bare(a.Name)+" exists ("+a.By+")")
		}
	}
}

// likeliest is, of candidates that all have no records, the one that was
// meant.
func (p *Path) likeliest(w *World, name string) int {
	at := func(full string) int {
		return slices.IndexFunc(p.Tried, func(a Answer) bool { return a.Name == Normal(full) })
	}
	labels := strings.Split(strings.TrimSuffix(strings.ToLower(name), "."), ".")
	if len(labels) == 1 { // a Service of the pod's own namespace
		return 0
	}
	if i := slices.IndexFunc(p.Tried, func(a Answer) bool { return a.Kind == NoData }); i >= 0 {
		return i
	}
	switch last := labels[len(labels)-1]; {
	case last == "svc" || last == "pod":
		return max(at(name+"."+w.Domain()), 0)
	case w.namespace(last) != nil:
		if i := at(name + ".svc." + w.Domain()); i >= 0 {
			return i
		}
	}
	if i := at(name); i >= 0 {
		return i
	}
	return len(p.Tried) - 1
}

func (p *Path) searchStep(conf ResolvConf, name string, chosen int) reach.Step {
	var before []string
	for _, a := range p.Tried[:chosen] {
		before = append(before, bare(a.Name)+" ("+string(a.Kind)+")")
	}
	text := fmt.Sprintf("dots in %s: %d, ndots: %d; asked for: ", name, strings.Count(strings.TrimSuffix(name, "."), "."), conf.Ndots)
	if len(before) > 0 {
		text += strings.Join(before, ", ") + ", then "
	}
	return reach.Step{Hop: "search list", Verdict: reach.Allowed, Text: text + bare(p.Tried[chosen].Name) + fmt.Sprintf("; %d packets for A and AAAA", queriesPerLookup*len(p.Tried))}
}

// conclude sums up.
func (p *Path) conclude() {
	a := &p.Answer
	who, name := cmp.Or(p.From, "A client"), bare(a.Name)
	if a.Kind == TimedOut {
		name = p.Name // no matter which of its full names
	}
	if a.Alias != "" {
		name += " (" + bare(a.Alias) + ")"
	}
	from := " from " + a.By
	if a.By == "nobody" || strings.HasPrefix(a.Why, a.By) {
		from = ""
	}
	switch a.Kind {
	case Found:
		p.Text = fmt.Sprintf("%s gets %s for %s from %s", who, strings.Join(a.Records, ", "), name, a.By)
	case NotKnown:
		p.Text = fmt.Sprintf("What %s gets for %s is not known: %s", cmp.Or(p.From, "a client"), name, cmp.Or(a.Why, a.By+" was not asked"))
	default:
		p.Text = fmt.Sprintf("%s gets %s for %s%s: %s", who, a.Kind, name, from, a.Why)
	}
	if len(a.Unless) > 0 && a.Kind != NotKnown {
		p.Text += "; unless " + strings.Join(a.Unless, ", or ")
	}
}

// bare is a name for people, without the dot at its end.
func bare(name string) string { return cmp.Or(strings.TrimSuffix(name, "."), ".") }

func ref[T any](k facts.Key[T], namespace, name string) facts.Ref {
	id := name
	if namespace != "" {
		id = namespace + "/" + name
	}
	return facts.Ref{Kind: k.Kind(), ID: id}
}

// Fails reports whether the name gets no records for certain.
func (p *Path) Fails() bool {
	switch p.Answer.Kind {
	case Found, NotKnown:
		return false
	}
	return len(p.Answer.Unless) == 0
}
