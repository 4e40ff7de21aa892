package dns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var dnspolicyHostNetwork = &diagnose.Check{
	ID:    "dns/dnspolicy-hostnetwork",
	Title: "Pods on the host's network ask the node's resolver for names of Services",
	Doc: `For a pod with hostNetwork the kubelet takes dnsPolicy ClusterFirst, which is the default, as Default: its resolv.conf is the
node's. Names of Services do not exist there (NXDOMAIN from the VPC's resolver); names of the internet resolve.

Most such pods are well: agents, kube-proxy and the CNI ask for no Service. So this is told only of pods that need one: the
question names them and a name of a Service that exists; their containers, probes or hooks said within the hour that the
name of a Service is not known; or, in kube-system, their arguments or variables hold the address of a Service.

When nobody says who asks, the only such workload in the namespace of the Service is told of as a risk.

Looks alike: a Service that does not exist fails from everywhere. Pods with dnsPolicy Default and no hostNetwork have the same
trouble for another reason.

Fixed by dnsPolicy ClusterFirstWithHostNet. The pods then cannot start without CoreDNS, which itself needs the CNI and
kube-proxy: not for those.`,
	Needs: []facts.Need{facts.Pods, facts.Services},
	Wants: append([]facts.Need{facts.Events, facts.DaemonSets}, clusterNameWants...),
	Sources: []string{
		"https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-dns-policy",
		"https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/network/dns/dns.go",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		return newStrays(v).findings(func(p *corev1.Pod) bool {
			policy := cmp.Or(p.Spec.DNSPolicy, corev1.DNSClusterFirst)
			return p.Spec.HostNetwork && (policy == corev1.DNSClusterFirst || policy == corev1.DNSDefault)
		}, func(s stray) diagnose.Finding {
			return s.finding("on the host's network", string(corev1.DNSClusterFirstWithHostNet))
		})
	},
}

// strays are the pods whose lookups do not go to the cluster's DNS, with the
// names that they need from it.
type strays struct {
	names      clusterNames
	question   question
	complaints []complaint
	pods       []corev1.Pod
	servers    dnsServers
}

func newStrays(v *facts.View) strays {
	pods := facts.Pods.In(v)
	return strays{newClusterNames(v), newQuestion(v, pods), complaints(pods, facts.Events.In(v), v.At()), pods, newDNSServers(v)}
}

// A stray is a workload whose pods need a Service by name and do not ask the
// cluster's DNS.
type stray struct {
	pods     []*corev1.Pod
	service  *corev1.Service
	name     string // as they look it up
	proven   bool   // they said that it fails, or somebody did
	guessed  bool   // nobody said who asks
	evidence diagnose.Evidence
}

// findings makes a finding of each workload whose pods hold true for lost and
// that needs a Service.
func (s strays) findings(lost func(*corev1.Pod) bool, make func(stray) diagnose.Finding) []diagnose.Finding {
	var all []*corev1.Pod
	for i := range s.pods {
		if running(&s.pods[i]) && lost(&s.pods[i]) {
			all = append(all, &s.pods[i])
		}
	}
	var out []diagnose.Finding
	groups := byWorkload(all)
	for _, pods := range groups {
		if x, ok := s.need(pods); ok {
			out = append(out, make(x))
		}
	}
	if x, ok := s.suspect(groups); ok && len(out) == 0 {
		out = append(out, make(x))
	}
	return out
}

// suspect is the only stray workload in the namespace of a Service that
// somebody says does not resolve, when nobody says who asks for it, and pods
// that ask the cluster's DNS get an answer.
func (s strays) suspect(groups [][]*corev1.Pod) (stray, bool) {
	to := s.names.find(s.question.lookup, s.question.namespace)
	if s.question.lookup == "" || len(s.question.pods) > 0 || to == nil || to.Spec.ClusterIP == corev1.ClusterIPNone || to.Spec.Type == corev1.ServiceTypeExternalName || to.Namespace == system {
		return stray{}, false
	}
	var near [][]*corev1.Pod
	for _, pods := range groups {
		if pods[0].Namespace == to.Namespace {
			near = append(near, pods)
		}
	}
	if len(near) != 1 {
		return stray{}, false
	}
	return stray{pods: near[0], service: to, name: s.question.lookup, guessed: true, evidence: diagnose.Evidence{
		Fact: "name " + s.question.lookup, Got: "does not resolve, as was said, and nothing says for whom", Want: "Service " + to.Namespace + "/" + to.Name + ", which exists",
		Command: fmt.Sprintf("kubectl -n %s exec %s -- nslookup %s", near[0][0].Namespace, near[0][0].Name, s.question.lookup),
	}}, true
}

// need is why pods of one workload need the cluster's DNS.
func (s strays) need(pods []*corev1.Pod) (stray, bool) {
	for _, p := range pods {
		to := s.names.find(s.question.lookup, p.Namespace)
		if s.question.lookup != "" && s.question.names(p) && to != nil {
			return stray{pods: pods, service: to, name: s.question.lookup, proven: true, evidence: diagnose.Evidence{
				Fact: "name " + s.question.lookup, Got: "does not resolve, as was said", Want: "Service " + to.Namespace + "/" + to.Name + ", which exists",
				Command: fmt.Sprintf("kubectl -n %s exec %s -- nslookup %s", p.Namespace, p.Name, s.question.lookup),
			}}, true
		}
		for _, c := range s.complaints {
			if to := s.names.find(c.name, p.Namespace); c.pod == p && to != nil {
				return stray{pods: pods, service: to, name: c.name, proven: true, evidence: diagnose.Evidence{
					Fact: podRef(*p).String() + " said within the hour", Got: facts.Redact(c.text), Want: "Service " + to.Namespace + "/" + to.Name + ", which exists",
					Command: fmt.Sprintf("kubectl -n %s describe pod %s", p.Namespace, p.Name),
				}}, true
			}
		}
		if name, to := s.told(p); to != nil {
			return stray{pods: pods, service: to, name: name, proven: !isWell(p), evidence: diagnose.Evidence{
				Fact: podRef(*p).String() + " arguments and variables", Got: name, Want: "no name of a Service, or the cluster's resolver",
				Command: fmt.Sprintf("kubectl -n %s get pod %s -o jsonpath='{.spec.containers}'", p.Namespace, p.Name),
			}}, true
		}
	}
	return stray{}, false
}

// told finds the address of a Service among what p's containers are told.
func (s strays) told(p *corev1.Pod) (string, *corev1.Service) {
	for _, c := range p.Spec.Containers {
		words := slices.Concat(c.Command, c.Args)
		for _, e := range c.Env {
			words = append(words, e.Value)
		}
		for _, w := range words {
			if host := hostOf(w); host != "" {
				if to := s.names.find(host, p.Namespace); to != nil {
					return host, to
				}
			}
		}
	}
	return "", nil
}

func isWell(p *corev1.Pod) bool {
	for _, c := range p.Status.ContainerStatuses {
		if !c.Ready {
			return false
		}
	}
	return true
}

// refs names the workload, its pods and the Service that they need.
func (s stray) refs() []facts.Ref {
	return append(affectedPods(s.pods), ref(facts.Services.Kind(), s.service.Namespace, s.service.Name))
}

func (s stray) finding(why, policy string) diagnose.Finding {
	p := s.pods[0]
	now := cmp.Or(p.Spec.DNSPolicy, corev1.DNSClusterFirst)
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  ownerRef(p),
		Affects:  s.refs(),
		Claim: fmt.Sprintf("%s looks up %s, the name of a Service, and its pods are %s with dnsPolicy %s: they ask the node's resolver, which knows no Services",
			madeBy(p), s.name, why, now),
		Evidence: []diagnose.Evidence{{
			Fact: podRef(*p).String() + " spec.dnsPolicy", Got: fmt.Sprintf("%s, hostNetwork %t", now, p.Spec.HostNetwork), Want: policy, Command: showResolvConf(p),
		}, s.evidence},
		Remedies: []remedy.Remedy{policyRemedy(p, policy)},
	}
	if s.proven {
		f.Severity = diagnose.Degraded
	}
	if s.guessed {
		f.Claim = fmt.Sprintf("If it is %s that looks up %s: its pods are %s with dnsPolicy %s, and ask the node's resolver, which knows no Services", madeBy(p), s.name, why, now)
	}
	return f
}

// policyRemedy changes the dnsPolicy of what made p.
func policyRemedy(p *corev1.Pod, policy string) remedy.Remedy {
	m := remedy.Remedy{
		Title: "Set dnsPolicy " + policy + " in " + madeBy(p),
		Why:   "Its pods are replaced, and then need CoreDNS to resolve any name.",
		Risk:  remedy.Disruptive,
	}
	if p.Spec.HostNetwork {
		m.Why += " Not for what CoreDNS itself needs to start, such as the CNI or kube-proxy."
	}
	w, ok := workloadOf(p)
	if !ok {
		m.Manual = []string{fmt.Sprintf("kubectl -n %s get pod %s -o yaml", p.Namespace, p.Name)}
		return m
	}
	m.Manual = []string{fmt.Sprintf(`kubectl -n %s patch %s %s --type=merge -p '{"spec":{"template":{"spec":{"dnsPolicy":"%s"}}}}'`, w.Namespace, strings.ToLower(w.Kind), w.Name, policy)}
	return m
}
