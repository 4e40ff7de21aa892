package dns

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var muslResolverQuirks = &diagnose.Check{
	ID:    "dns/musl-resolver-quirks",
	Title: "The resolver of Alpine images may not find a name that others find",
	Doc: `Alpine images use musl, whose resolver is not that of glibc. It uses no search list for a name with ndots dots or more, and none at all
that is longer than 255 characters; it asks all nameservers at once and takes the first answer; it ends the search at an answer
SERVFAIL; it knows none of the options use-vc, single-request, single-request-reopen and rotate; and before 1.2.4, in Alpine 3.18, it
does not ask again over TCP.

The name of an image is a weak hint of what is in it, so this is a risk and no more, and told only of pods that the question
names, or that complained within the hour, when the difference decides: the name of a Service that exists is found by glibc's
order and not by musl's; CoreDNS answered SERVFAIL to a candidate before it; or the pods have options that musl passes over.

Looks alike: what fails from every image is no matter of musl.

Fixed by the full name with a dot at its end, by ndots 5 for short names, or by an image with glibc.`,
	Needs: []facts.Need{facts.Pods, facts.Services},
	Wants: append([]facts.Need{facts.Events, facts.PodLogs}, clusterNameWants...),
	Sources: []string{
		"https://wiki.musl-libc.org/functional-differences-from-glibc.html#Name-Resolver/DNS",
		"https://musl.libc.org/releases.html",
		"https://github.com/Azure/AKS/issues/667",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		pods := facts.Pods.In(v)
		m := musl{names: newClusterNames(v), failed: coreDNSLogs(v).of(logServFail).current().since(v.At().Add(-time.Hour))}
		q, said := newQuestion(v, pods), complaints(pods, facts.Events.In(v), v.At())
		var out []diagnose.Finding
		for _, group := range byWorkload(q.pods) {
			if f := m.judge(group, q.lookup); f != nil && q.lookup != "" {
				out = append(out, *f)
			}
		}
		for _, c := range said {
			if f := m.judge([]*corev1.Pod{c.pod}, c.name); f != nil && !slices.ContainsFunc(out, func(o diagnose.Finding) bool { return o.Subject == f.Subject }) {
				out = append(out, *f)
			}
		}
		return out
	},
}

type musl struct {
	names  clusterNames
	failed logs // SERVFAIL answers
}

// muslImage is the image of a container that says that it is Alpine's; "" when
// none does.
func muslImage(p *corev1.Pod) string {
	for _, c := range p.Spec.Containers {
		if strings.Contains(c.Image, "alpine") || strings.Contains(c.Image, "musl") {
			return c.Image
		}
	}
	return ""
}

// judge is how musl's resolver differs for a name that pods look up; nil when
// it does not, or nothing says that they have it.
func (m musl) judge(pods []*corev1.Pod, lookup string) *diagnose.Finding {
	p := pods[0]
	image := muslImage(p)
	if image == "" || lookup == "" {
		return nil
	}
	conf := resolve.ForPod(p, resolve.ClusterDNS{Addresses: []string{nodeLocal}, Domain: m.names.domain})
	glibc, own := m.first(conf.Candidates(lookup)), m.first(conf.CandidatesMusl(lookup))
	ignored := slices.DeleteFunc(slices.Clone(conf.Options), func(o string) bool {
		return o != "use-vc" && o != "single-request" && o != "single-request-reopen" && o != "rotate"
	})
	f := diagnose.Finding{Severity: diagnose.Risk, Subject: ownerRef(p), Affects: affectedPods(pods)}
	fix := remedy.Remedy{
		Title:  "Tell the program the full name with a dot at its end, or use an image with glibc",
		Why:    "A name that ends with a dot is asked for as it is by every resolver.",
		Manual: []string{fmt.Sprintf("kubectl -n %s exec %s -- nslookup %s", p.Namespace, p.Name, lookup)},
	}
	switch n := len(conf.Candidates(lookup)); {
	case glibc != "" && own == "":
		f.Claim = fmt.Sprintf("%s runs an Alpine image, whose resolver asks for %s as it is only (it has %s, ndots is %d); glibc would go on to %s",
			madeBy(p), lookup, diagnose.Count(strings.Count(lookup, "."), "dot"), conf.Ndots, strings.TrimSuffix(glibc, "."))
		fix.Manual[0] = fmt.Sprintf("kubectl -n %s exec %s -- nslookup %s", p.Namespace, p.Name, glibc)
	case glibc != "" && m.servfail(conf.CandidatesMusl(lookup), own) != "":
		bad := m.servfail(conf.CandidatesMusl(lookup), own)
		f.Claim = fmt.Sprintf("%s runs an Alpine image, whose resolver ends its search at SERVFAIL: CoreDNS gave it for %s, which stands before %s", madeBy(p), bad, own)
		f.Evidence = append(f.Evidence, logEvidence(m.failed.where(func(l logLine) bool { return l.name == bad }).sum(), false, "NXDOMAIN, after which the search goes on"))
	case len(ignored) > 0 && n > 0:
		f.Claim = fmt.Sprintf("%s runs an Alpine image, whose resolver passes over the options %s of its resolv.conf", madeBy(p), strings.Join(ignored, ", "))
		fix.Title = "Use an image with glibc, or NodeLocal DNSCache, in the place of these options"
	default:
		return nil
	}
	f.Evidence = append(f.Evidence, diagnose.Evidence{
		Fact: podRef(*p).String() + " image", Got: image, Want: "an image with glibc, or names that musl finds", Command: fmt.Sprintf("kubectl -n %s exec %s -- cat /etc/os-release", p.Namespace, p.Name),
	}, diagnose.Evidence{
		Fact: podRef(*p).String() + " resolv.conf", Got: strings.Join(conf.Options, " ") + ": musl asks for " + strings.Join(conf.CandidatesMusl(lookup), " "), Want: "a search that ends at a name that exists", Command: showResolvConf(p),
	})
	f.Remedies = []remedy.Remedy{fix}
	return &f
}

// first is the first of candidates that is the name of a Service; "" when none
// is.
func (m musl) first(candidates []string) string {
	for _, full := range candidates {
		if n, ok := m.names.parse(full); ok && m.names.services[n.id()] != nil {
			return full
		}
	}
	return ""
}

// servfail is the candidate before the right one that CoreDNS answered
// SERVFAIL; "" when there is none.
func (m musl) servfail(candidates []string, right string) string {
	for _, full := range candidates {
		if full == right {
			break
		}
		if slices.ContainsFunc(m.failed, func(l logLine) bool { return l.name == full }) {
			return full
		}
	}
	return ""
}
