package dns

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var tcp53Blocked = &diagnose.Check{
	ID:    "dns/tcp53-or-truncation-blocked",
	Title: "DNS passes over UDP and not over TCP",
	Doc: `An answer that does not fit into a UDP packet comes shortened, with the flag that asks for another try over TCP. Where TCP 53
does not pass, names with few records resolve and those with many do not: headless Services with many pods, SRV and TXT records.
The limit is 512 bytes for clients that ask without EDNS, as glibc does: 28 addresses or so. musl before 1.2.4 (Alpine before
3.18) never asks again over TCP and makes do with the part that it got.

Recognised by security groups or network ACLs that let UDP 53 pass from the interfaces of pods that use cluster DNS to CoreDNS, and
TCP 53 not. A headless Service with more addresses than fit makes of the risk a fault. Where NodeLocal DNSCache asks CoreDNS over TCP for everything (force_tcp), it is dns/sg-blocks-dns.

Looks alike: a NetworkPolicy with a rule for UDP alone (it has a check of its own); fragments of large UDP answers that are dropped.

Fix: the same rule for TCP.`,
	Needs: append([]facts.Need{facts.SecurityGroups, facts.NetworkACLs}, wayNeeds...),
	Wants: append([]facts.Need{facts.EndpointSlices, facts.Subnets}, wayWants...),
	Sources: []string{
		"https://www.rfc-editor.org/rfc/rfc7766",
		"https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html",
		"https://musl.libc.org/releases.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		w := newQueryWay(v)
		cuts := w.cuts()
		large := largeServices(facts.Services.In(v), facts.EndpointSlices.In(v))
		subnets := facts.Subnets.In(v)
		var out []diagnose.Finding
		for _, f := range fences(w, cuts, func(c cut, _ passage) bool { return !w.decisive(cuts, c) }) {
			finding := f.tcpFinding(w, large)
			if f.object.Kind == facts.NetworkACLs.Kind() {
				finding.Remedies = []remedy.Remedy{f.aclRemedy(w, subnets)}
			}
			out = append(out, finding)
		}
		return out
	},
}

// fit is how many addresses an answer of 512 bytes holds: 12 bytes are its
// head, some 50 the name, and each record has 16 (RFC 1035).
const fit = 28

// A largeService is a headless Service whose answer does not fit into UDP.
type largeService struct {
	*corev1.Service
	addresses int
}

func largeServices(services []corev1.Service, slices []discoveryv1.EndpointSlice) []largeService {
	count := map[string]int{}
	for _, s := range slices {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				count[s.Namespace+"/"+s.Labels[discoveryv1.LabelServiceName]] += len(e.Addresses)
			}
		}
	}
	var out []largeService
	for i := range services {
		s := &services[i]
		if n := count[s.Namespace+"/"+s.Name]; s.Spec.ClusterIP == corev1.ClusterIPNone && n > fit {
			out = append(out, largeService{s, n})
		}
	}
	return out
}

func (f *fence) tcpFinding(w *queryWay, large []largeService) diagnose.Finding {
	pods := f.pods()
	out := diagnose.Finding{
		Severity: diagnose.Risk, Subject: f.object, Affects: f.affects(w), Evidence: f.evidence(w),
	}
	if rules := groupRules(f.cuts); len(rules) > 0 {
		out.Remedies = []remedy.Remedy{{
			Title: "Let DNS over TCP through to CoreDNS", Why: "As UDP 53 already is: answers that do not fit into UDP are asked for again over TCP.",
			Risk: remedy.Safe, Actions: rules,
		}}
	}
	effect := "answers that are too large for UDP fail"
	for _, s := range large {
		out.Severity = diagnose.Degraded
		r := ref(facts.Services.Kind(), s.Namespace, s.Name)
		out.Affects = append(out.Affects, r)
		out.Evidence = append(out.Evidence, diagnose.Evidence{
			Fact: r.String(), Got: fmt.Sprintf("headless, with %d addresses in one answer", s.addresses), Want: fmt.Sprintf("%d or fewer, or TCP 53 open", fit),
			Command: "kubectl -n " + s.Namespace + " get endpointslices -l " + discoveryv1.LabelServiceName + "=" + s.Name,
		})
	}
	if len(large) > 0 {
		effect = fmt.Sprintf("the answer for headless Service %s/%s with its %d addresses does not get through", large[0].Namespace, large[0].Name, large[0].addresses)
	}
	what := "Security group"
	if f.object.Kind == facts.NetworkACLs.Kind() {
		what = "Network ACL"
	}
	out.Claim = fmt.Sprintf("%s %s lets UDP 53 pass to CoreDNS and not TCP 53 for %s (%s): %s", what, f.object.ID, diagnose.Count(len(pods), "pod"), diagnose.Some(pods), effect)
	return out
}
