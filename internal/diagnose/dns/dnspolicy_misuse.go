package dns

import (
	"cmp"
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

var dnspolicyMisuse = &diagnose.Check{
	ID:    "dns/dnspolicy-none-or-default-misuse",
	Title: "Pods with a dnsPolicy of their own do not ask the cluster's DNS for names of Services",
	Doc: `dnsPolicy Default gives a pod the resolv.conf of its node. None gives it only what dnsConfig says: without the address of the
cluster's DNS there are no names of Services, and without searches only full ones. None without any nameserver is
refused: no pod is made.

Both are right for pods that need no Service, so this is told only of pods that need one: the question names them and a name
of a Service that exists; their containers, probes or hooks said within the hour that such a name is not known. And of pods
that the API server refuses for their dnsConfig.

Looks alike: Services that do not exist; pods on the host's network, which have the node's resolver with ClusterFirst as well.

Fixed by dnsPolicy ClusterFirst. Options such as ndots need no other policy: dnsConfig adds to ClusterFirst.`,
	Needs: []facts.Need{facts.Pods, facts.Services},
	Wants: append([]facts.Need{facts.Events, facts.DaemonSets}, clusterNameWants...),
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-dns-config",
		"https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		s := newStrays(v)
		out := s.findings(func(p *corev1.Pod) bool {
			return !p.Spec.HostNetwork && p.Spec.DNSPolicy == corev1.DNSDefault && !isCoreDNS(p)
		}, func(x stray) diagnose.Finding { return x.finding("on the pod network", string(corev1.DNSClusterFirst)) })
		out = append(out, s.findings(func(p *corev1.Pod) bool { return p.Spec.DNSPolicy == corev1.DNSNone }, s.none)...)
		out = slices.DeleteFunc(out, func(f diagnose.Finding) bool { return f.Claim == "" })
		return append(out, refusedPods(facts.Events.In(v), v.At())...)
	},
}

// isCoreDNS reports whether p is the cluster's DNS, whose policy is Default
// for a reason.
func isCoreDNS(p *corev1.Pod) bool {
	return p.Namespace == system && (p.Labels["k8s-app"] == resolverLabels["k8s-app"] || strings.HasPrefix(p.Name, "node-local-dns"))
}

// none judges a pod with dnsPolicy None; the finding is empty when its
// configuration leads to the Service.
func (s strays) none(x stray) diagnose.Finding {
	p := x.pods[0]
	conf := resolve.ForPod(p, resolve.ClusterDNS{})
	f := x.finding("", string(corev1.DNSClusterFirst))
	switch {
	case len(conf.Nameservers) == 0 || s.servers.kubeDNS() != nil && !s.servers.answers(conf.Nameservers[0]):
		f.Claim = fmt.Sprintf("%s looks up %s, the name of a Service, and with dnsPolicy None its pods ask %s, which is not the cluster's DNS",
			madeBy(p), x.name, cmp.Or(strings.Join(conf.Nameservers, ", "), "nobody"))
	case !slices.ContainsFunc(conf.Candidates(x.name), func(full string) bool {
		n, ok := s.names.parse(full)
		return ok && s.names.services[n.id()] != nil
	}):
		f.Claim = fmt.Sprintf("%s looks up %s, a short name of a Service, and with dnsPolicy None its pods have search list %q, which does not lead to it",
			madeBy(p), x.name, strings.Join(conf.Search, " "))
	default:
		return diagnose.Finding{}
	}
	f.Evidence[0] = diagnose.Evidence{
		Fact: podRef(*p).String() + " spec.dnsConfig", Got: strings.Join(strings.Fields(conf.String()), " "), Want: "nameserver and searches of the cluster, as dnsPolicy ClusterFirst gives them",
		Command: showResolvConf(p),
	}
	f.Remedies[0].Why = "Its pods are replaced. What stands in dnsConfig is added to the cluster's settings, so take its nameservers out as well if they are not to be asked."
	return f
}

// refusedPods are those that the API server does not admit for their
// dnsConfig.
func refusedPods(events []corev1.Event, now time.Time) []diagnose.Finding {
	var out []diagnose.Finding
	seen := map[facts.Ref]bool{}
	for i := range events {
		e := &events[i]
		o := e.InvolvedObject
		r := ref(facts.Kind("kube/"+strings.ToLower(o.Kind)+"s"), o.Namespace, o.Name)
		if !strings.Contains(e.Message, "when `dnsPolicy` is None") || now.Sub(facts.LastSeen(e)) > time.Hour || seen[r] {
			continue
		}
		seen[r] = true
		out = append(out, diagnose.Finding{
			Severity: diagnose.Degraded,
			Subject:  r,
			Claim:    fmt.Sprintf("%s %s/%s gets no new pods: they have dnsPolicy None and no nameserver, which the API server refuses", o.Kind, o.Namespace, o.Name),
			Evidence: []diagnose.Evidence{{
				Fact: "event " + e.Reason + " of " + r.String(), Got: facts.Redact(e.Message), Want: "pods that are admitted",
				Command: fmt.Sprintf("kubectl -n %s describe %s %s", o.Namespace, strings.ToLower(o.Kind), o.Name),
			}},
			Remedies: []remedy.Remedy{{
				Title:  "Use dnsPolicy ClusterFirst; options such as ndots need no other policy",
				Why:    "What makes the pod template, or a webhook that changes pods, sets None; dnsConfig.options adds to ClusterFirst.",
				Manual: []string{fmt.Sprintf("kubectl -n %s get %s %s -o jsonpath='{.spec.template.spec.dnsPolicy} {.spec.template.spec.dnsConfig}'", o.Namespace, strings.ToLower(o.Kind), o.Name)},
			}},
		})
	}
	return out
}
