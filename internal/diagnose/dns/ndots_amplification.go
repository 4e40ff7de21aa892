package dns

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var ndots5Amplification = &diagnose.Check{
	ID:    "dns/ndots5-amplification",
	Title: "Each lookup of an external name is many queries",
	Doc: `The kubelet sets ndots:5. A name with fewer dots, and external names mostly have fewer, is first asked for with each domain of
the search list: on EKS the cluster's three and the node's. Each of these, and the name itself at last, is two packets, A and AAAA:
ten for one lookup. Those of the node's domain go on to the VPC's resolver, which takes 1024 packets a second from a network
interface. Names with five dots or more are asked for as they are first.

That is how clusters are, so it is told only with trouble from load: in the last hour CoreDNS refused queries over
max_concurrent, its own health requests were slow, or many of the lookups that timed out were external names with the node's
domain behind, while as many such were answered; and more than half of its answers are NXDOMAIN by its metrics, or its log
has lookups of external names in the search list. As a risk, when the metrics have refused queries and such a share since the
start of CoreDNS, or a question names an external name and who asks for it, and more than half of the answers are NXDOMAIN.

Looks alike: typing errors make NXDOMAIN of few names. An upstream that does not answer makes all lookups slow.

Fixed by ndots 2 for the workload that asks most: names of Services with their namespace still walk the search list. Or by a dot
at the end of the name in what the program is told.`,
	Needs: []facts.Need{facts.PodLogs, facts.Pods},
	Wants: slices.Concat([]facts.Need{facts.PodMetrics, facts.Services, facts.Namespaces, facts.VPCs, facts.DHCPOptions, facts.Clusters}, templateNeeds, clusterNameWants),
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/best-practices/scale-cluster-services.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html#vpc-dns-limits",
		"https://man7.org/linux/man-pages/man5/resolv.conf.5.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		a := newAmplified(v)
		if !a.wasted() || !a.troubled() && !a.askedExternal() && a.refused == 0 {
			return nil
		}
		return []diagnose.Finding{a.finding(templates(v))}
	},
}

// amplified is what CoreDNS tells of lookups that walk the search list.
type amplified struct {
	names      clusterNames
	conf       resolve.ClusterDNS
	question   question
	pods       []corev1.Pod
	namespaces map[string]bool
	expanded   []expansion // NXDOMAIN answers to external names in the search list
	noName     int         // NXDOMAIN answers of the log in all
	rejected   logs
	slow       logs
	late       logs    // timeouts of external names with the node's domain behind
	timeouts   int     // in all
	answered   int     // NXDOMAIN answers to such names: what is asked for them answers
	share      float64 // of NXDOMAIN among all answers, by the metrics; 0 when not told
	counted    string  // the pod whose metrics say so
	refused    float64 // queries over max_concurrent, by the metrics since their start
}

// An expansion is an external name as it was asked for in the search list of
// a namespace.
type expansion struct {
	name, namespace string
	pod             *corev1.Pod // who asked; nil when not known
	line            logLine
}

func newAmplified(v *facts.View) *amplified {
	w := resolve.World{VPCs: facts.VPCs.In(v), DHCPOptions: facts.DHCPOptions.In(v), Clusters: facts.Clusters.In(v), Services: facts.Services.In(v)}
	a := &amplified{names: newClusterNames(v), pods: facts.Pods.In(v), namespaces: map[string]bool{}}
	a.question = newQuestion(v, a.pods)
	a.conf.Domain = a.names.domain
	for _, ip := range w.Addresses() {
		a.conf.Addresses = append(a.conf.Addresses, ip.String())
	}
	if len(a.conf.Addresses) == 0 {
		a.conf.Addresses = []string{nodeLocal}
	}
	_, a.conf.NodeSearch, _ = w.NodeDNS()
	if len(a.conf.NodeSearch) == 0 {
		a.conf.NodeSearch = []string{regionDomain(v.Region())}
	}
	for _, n := range facts.Namespaces.In(v) {
		a.namespaces[n.Name] = true
	}
	a.read(coreDNSLogs(v).current().since(v.At().Add(-time.Hour)))
	for _, m := range podMetrics(v) {
		a.refused += m.rejects
		if s := share(m.responses, "NXDOMAIN"); s > a.share {
			a.share, a.counted = s, m.pod
		}
	}
	return a
}

// regionDomain is the domain that Amazon's DHCP options give to instances.
func regionDomain(region string) string {
	if region == "us-east-1" {
		return "ec2.internal"
	}
	return region + ".compute.internal"
}

// read takes the lines of the last hour. What pods asked that are gone by now
// says nothing of those that took their place.
func (a *amplified) read(recent logs) {
	byIP := map[string]*corev1.Pod{}
	for i := range a.pods {
		if p := &a.pods[i]; running(p) && p.Status.PodIP != "" {
			byIP[p.Status.PodIP] = p
		}
	}
	a.rejected, a.slow = recent.of(logConcurrent), recent.of(logSlowHealth)
	for _, l := range recent.of(logNXDomain) {
		a.noName += l.count
		p := byIP[clientOf(l)]
		if x, ok := a.expansion(l); ok && p != nil && !l.at.Before(p.CreationTimestamp.Time) {
			if !p.Spec.HostNetwork { // else it may be the cache on the node that asks for others
				x.pod = p
			}
			a.expanded = append(a.expanded, x)
		}
	}
	timeouts := recent.of(logTimeout)
	a.timeouts = timeouts.sum().count
	a.late = timeouts.where(a.inNodeDomain)
	a.answered = recent.of(logNXDomain).where(a.inNodeDomain).sum().count
}

// inNodeDomain reports whether a line is about an external name with the
// node's domain behind.
func (a *amplified) inNodeDomain(l logLine) bool {
	return slices.ContainsFunc(a.conf.NodeSearch, func(d string) bool {
		typed, ok := strings.CutSuffix(l.name, "."+d+".")
		return ok && strings.Contains(typed, ".") && a.external(typed, "")
	})
}

// expansion reads the line of an external name that was asked for below a
// namespace: api.example.com.shop.svc.cluster.local.
func (a *amplified) expansion(l logLine) (expansion, bool) {
	base, ok := strings.CutSuffix(l.name, ".svc."+a.names.domain+".")
	i := strings.LastIndexByte(base, '.')
	if !ok || i < 0 || !a.namespaces[base[i+1:]] {
		return expansion{}, false
	}
	x := expansion{name: base[:i], namespace: base[i+1:], line: l}
	return x, strings.Contains(x.name, ".") && a.external(x.name, x.namespace)
}

// external reports whether a name is none of the cluster.
func (a *amplified) external(name, namespace string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return !a.namespaces[last] && last != "svc" && !strings.HasSuffix(name, a.names.domain) && a.names.find(name, namespace) == nil
}

var clientForm = regexp.MustCompile(`^\[INFO\] \[?([0-9a-fA-F.:]+?)\]?:\d+ - `)

// clientOf is the address that asked, as the log plugin writes it.
func clientOf(l logLine) string {
	if m := clientForm.FindStringSubmatch(l.text); m != nil {
		return m[1]
	}
	return ""
}

// wasted reports whether most answers go to names that nobody means. Of the
// eight NXDOMAIN answers that a lookup of an external name costs, two are of
// the pod's own namespace.
func (a *amplified) wasted() bool {
	return a.share > 0.5 || len(a.expanded) >= 5 && 8*len(a.expanded) >= a.noName || a.lateMany()
}

// lateMany reports whether lookups that time out are such names in large part
// while as many of them are answered. Of an upstream that answers nothing,
// half of the timeouts are such names as well.
func (a *amplified) lateMany() bool {
	n := a.late.sum().count
	return n >= 10 && 3*n >= a.timeouts && a.answered >= n
}

// troubled reports whether CoreDNS, or what it asks, has more to do than it
// can. Queries also pile up when an upstream does not answer.
func (a *amplified) troubled() bool {
	return a.lateMany() || a.rejected.sum().count >= 5 && a.rejected.sum().count > a.timeouts || a.slow.sum().count >= 3
}

// askedExternal reports whether the question names an external name that
// walks the search list, and who asks for it.
func (a *amplified) askedExternal() bool {
	q := a.question
	return strings.Contains(q.lookup, ".") && len(q.pods) > 0 && a.external(q.lookup, q.namespace) &&
		resolve.ForPod(q.pods[0], a.conf).Ndots > strings.Count(q.lookup, ".")
}

// most are the pods of the workload that asks most, and the name; nil when
// the facts do not tell.
func (a *amplified) most() (pods []*corev1.Pod, name string) {
	if len(a.question.pods) > 0 && len(byWorkload(a.question.pods)) == 1 {
		pods = a.question.pods
	}
	count, first := map[facts.Ref]int{}, map[facts.Ref]*corev1.Pod{}
	var top facts.Ref
	names := map[string]int{}
	for _, x := range a.expanded {
		names[x.name]++
		if x.pod == nil || pods != nil {
			continue
		}
		o := ownerRef(x.pod)
		count[o]++
		if first[o] == nil {
			first[o] = x.pod
		}
		if count[o] > count[top] {
			top = o
		}
	}
	if first[top] != nil {
		pods = []*corev1.Pod{first[top]}
	}
	if all := frequent(names); len(all) > 0 {
		return pods, all[0]
	}
	if all := a.late.sum().names; len(all) > 0 {
		for _, d := range a.conf.NodeSearch {
			if typed, ok := strings.CutSuffix(all[0], "."+d+"."); ok {
				return pods, typed
			}
		}
	}
	if a.askedExternal() {
		return pods, a.question.lookup
	}
	return pods, ""
}

func (a *amplified) finding(template func(remedy.Workload) *corev1.PodTemplateSpec) diagnose.Finding {
	pods, name := a.most()
	f := diagnose.Finding{Severity: diagnose.Risk, Subject: ref(facts.Deployments.Kind(), system, deployment), Affects: []facts.Ref{kubeDNSRef}}
	if a.troubled() {
		f.Severity = diagnose.Degraded
	}
	p := &corev1.Pod{}
	p.Namespace, p.Name = "default", "POD"
	who := "pods"
	if len(pods) > 0 {
		p, who = pods[0], madeBy(pods[0])
		f.Affects = append(f.Affects, f.Subject)
		f.Affects = append(f.Affects, affectedPods(pods)...)
		f.Subject = ownerRef(p)
	}
	shown := name
	if shown == "" {
		shown = "api.example.com"
	}
	conf := resolve.ForPod(p, a.conf)
	what := "External names"
	if name != "" {
		what = "External names such as " + name
	}
	f.Claim = fmt.Sprintf("%s cost %s %d packets for each lookup, as ndots is %d and the search list has %s: %s", what, who, conf.Packets(shown), conf.Ndots, diagnose.Count(len(conf.Search), "domain"), a.trouble())
	f.Evidence = append(a.evidence(), diagnose.Evidence{
		Fact: "resolv.conf of pods", Got: fmt.Sprintf("search %s, ndots:%d: %s is asked for as %s", strings.Join(conf.Search, " "), conf.Ndots, shown, strings.Join(conf.Candidates(shown), " ")),
		Want: "ndots:2 where external names are looked up often", Command: showResolvConf(p),
	})
	f.Remedies = a.remedies(pods, shown, template)
	return f
}

// trouble says what the load does.
func (a *amplified) trouble() string {
	var out []string
	if n := a.rejected.sum().count; n >= 5 {
		out = append(out, fmt.Sprintf("CoreDNS refused %d queries in the last hour", n))
	}
	if n := a.slow.sum().count; n >= 3 {
		out = append(out, fmt.Sprintf("its own health requests were slow %d times", n))
	}
	if a.lateMany() {
		out = append(out, fmt.Sprintf("%d of %d lookups that timed out in the last hour are such names with the node's domain behind", a.late.sum().count, a.timeouts))
	}
	if a.refused > 0 && len(out) == 0 {
		out = append(out, fmt.Sprintf("CoreDNS has refused %.0f queries since its start", a.refused))
	}
	if a.share > 0.5 {
		out = append(out, fmt.Sprintf("%.0f%% of the answers are NXDOMAIN", 100*a.share))
	}
	if len(a.expanded) > 0 {
		out = append(out, fmt.Sprintf("%d of %d NXDOMAIN answers in the log are such names in the search list", len(a.expanded), a.noName))
	}
	return strings.Join(out, ", ")
}

func (a *amplified) evidence() []diagnose.Evidence {
	var out []diagnose.Evidence
	if len(a.rejected) > 0 {
		out = append(out, logEvidence(a.rejected.sum(), false, "no query refused"))
	}
	if len(a.slow) > 0 {
		out = append(out, logEvidence(a.slow.sum(), false, "health requests well under a second"))
	}
	if len(a.late) > 0 {
		out = append(out, logEvidence(a.late.sum(), false, "no such names at the VPC's resolver"))
	}
	if len(a.expanded) > 0 {
		var lines logs
		for _, x := range a.expanded {
			lines = append(lines, x.line)
		}
		out = append(out, logEvidence(lines.sum(), false, "external names as they are"))
	}
	if a.share > 0.5 {
		out = append(out, diagnose.Evidence{Fact: "metrics of " + a.counted + " since its start", Got: fmt.Sprintf("%.0f%% of the answers are NXDOMAIN", 100*a.share), Want: "less than half", Command: metricsCommand(a.counted)})
	}
	return out
}

func (a *amplified) remedies(pods []*corev1.Pod, name string, template func(remedy.Workload) *corev1.PodTemplateSpec) []remedy.Remedy {
	m := remedy.Remedy{
		Title: "Set ndots 2 for the workload that asks most",
		Why:   "Its pods are replaced. Names of Services with their namespace still walk the search list; an external name is asked for as it is first.",
		Risk:  remedy.Disruptive,
	}
	if len(pods) == 0 {
		m.Manual = []string{`kubectl -n NAMESPACE patch deployment NAME --type=merge -p '{"spec":{"template":{"spec":{"dnsConfig":{"options":[{"name":"ndots","value":"2"}]}}}}}'`}
		return []remedy.Remedy{m}
	}
	w, ok := workloadOf(pods[0])
	t := template(w)
	if !ok || t == nil {
		m.Manual = []string{"kubectl -n " + pods[0].Namespace + " get pod " + pods[0].Name + " -o yaml"}
		return []remedy.Remedy{m}
	}
	set := remedy.DNSOption(w, t.Spec.DNSConfig, "ndots", "2")
	if n, err := strconv.Atoi(set.From); err == nil && n <= 2 {
		return nil
	}
	m.Title = "Set ndots 2 for " + madeBy(pods[0])
	m.Actions = remedy.Actions{set}
	return []remedy.Remedy{m, {
		Title:  "Or end the name with a dot in what the program is told: " + name + ".",
		Why:    "Such a name is asked for as it is, in two packets. Some programs do not take it, and TLS names must not have it.",
		Manual: []string{fmt.Sprintf("kubectl -n %s exec %s -- nslookup %s.", pods[0].Namespace, pods[0].Name, name)},
	}}
}
