package dns

import (
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

var corednsAPIServerUnreachable = &diagnose.Check{
	ID:    "dns/coredns-apiserver-unreachable",
	Title: "CoreDNS does not reach the API server",
	Doc: `CoreDNS learns the cluster's names from the API server, through Service default/kubernetes. Without it a pod that starts
serves after five seconds all the same: it answers SERVFAIL for the cluster's names and the outside ones well, and /ready
says 503. A pod that knew the names before goes on with what it knew; what changed since is wrong.

Recognised by list or watch requests that keep failing in their connection, or with Unauthorized, in the log: three or
more over more than a minute of the last quarter of an hour, or any of the last hour while the pod is not ready.

Looks alike: "forbidden" is RBAC, a finding of its own. A single failure while the control plane is updated is none. Outside
names that fail are the upstream's matter.

Fixed by what stands between: kube-proxy on the node, a security group on port 443, a NetworkPolicy of kube-system that lets
CoreDNS out to its upstream and not to the API server, which is looked for. A token
that is not taken is renewed by new pods.`,
	Needs: append([]facts.Need{facts.PodLogs}, coreDNSNeeds...),
	Wants: append([]facts.Need{facts.PodMetrics, facts.ClusterRoles, facts.NetworkPolicies, facts.Namespaces, facts.DaemonSets, facts.Addons}, coreDNSWants...),
	CausedBy: []string{
		"l4/networkpolicy-default-deny-egress", "l4/networkpolicy-egress-clusterip-selector-mismatch", "l4/cluster-sg-removed",
		"l4/private-endpoint-443-blocked", "l4/public-access-cidrs-exclude-nodes", "l3/private-subnet-no-default-route",
	},
	Sources: []string{
		"https://coredns.io/plugins/kubernetes/",
		"https://github.com/coredns/coredns/blob/master/plugin/kubernetes/kubernetes.go",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c, counted := newCoreDNS(v), podMetrics(v)
		narrow, _ := missingRights(v)
		fence := c.fencedIn(v)
		all := coreDNSLogs(v).current().since(v.At().Add(-time.Hour))
		if c.deployment == nil {
			return nil
		}
		failed := all.of(logAPI, logUnauthorized, logWatch)
		stuck := len(failed.where(inPods(c.unready()))) > 0
		sum := failed.since(v.At().Add(-15 * time.Minute)).sum()
		lasting := sum.count >= 3 && sum.last.Sub(sum.first) > time.Minute && v.At().Sub(sum.last) < 5*time.Minute
		refused := len(all.of(logForbidden)) > 0 || len(narrow) > 0 && len(failed.of(logAPI, logUnauthorized)) == 0
		if len(failed) == 0 || !stuck && !lasting || refused {
			return nil
		}
		return []diagnose.Finding{apiFinding(c, all, failed, counted, fence)}
	},
}

func apiFinding(c coreDNS, all, failed logs, counted []metrics, fence *networkingv1.NetworkPolicy) diagnose.Finding {
	unauthorized := len(failed.of(logUnauthorized)) > 0
	waits := all.of(logUnsynced, logWaiting)
	effect := "it goes on with the names that it knew, and misses what changed since"
	if len(waits) > 0 || c.endpoints == 0 {
		effect = "the cluster's names fail with SERVFAIL"
	}
	out := diagnose.Finding{
		Severity: c.severity(diagnose.Degraded),
		Subject:  c.ref(),
		Affects:  c.cutOff(),
		Claim:    fmt.Sprintf("CoreDNS %s: %s", cutOffHow(failed), effect),
		Evidence: []diagnose.Evidence{logEvidence(failed.sum(), false, "lists and watches that hold")},
		Remedies: c.reachAPI(unauthorized),
	}
	if len(waits) > 0 {
		out.Evidence = append(out.Evidence, logEvidence(waits.sum(), false, "synced before it serves"))
	}
	for _, m := range counted {
		if n := m.zones["cluster.local."]["SERVFAIL"]; n > 0 {
			out.Evidence = append(out.Evidence, diagnose.Evidence{
				Fact: "metrics of " + m.pod, Got: fmt.Sprintf("%.0f answers SERVFAIL for cluster.local since its start", n), Want: "none",
				Command: metricsCommand(m.pod),
			})
			break
		}
	}
	if fence != nil && !unauthorized {
		at := ref(facts.NetworkPolicies.Kind(), fence.Namespace, fence.Name)
		out.Claim = fmt.Sprintf("NetworkPolicy %s/%s keeps CoreDNS from the API server on port 443: %s", fence.Namespace, fence.Name, effect)
		out.Affects = append(out.Affects, at)
		out.Evidence = append(out.Evidence, diagnose.Evidence{
			Fact: at.String() + " egress", Got: "no rule that lets CoreDNS out to the API server", Want: "TCP 443 to the API server",
			Command: fmt.Sprintf("kubectl -n %s get networkpolicy %s -o yaml", fence.Namespace, fence.Name),
		})
		out.Remedies = append([]remedy.Remedy{letOut(fence)}, out.Remedies...)
	}
	return out
}

// cutOffHow says what the log shows of the way to the API server.
func cutOffHow(failed logs) string {
	switch up := failed.sum().upstreams; {
	case len(failed.of(logUnauthorized)) > 0:
		return "is not let in by the API server, which does not take its token"
	case len(failed.of(logAPI)) == 0:
		return "gets no lists and watches from the API server, and its log does not say why"
	case len(up) > 0:
		return "does not reach the API server at " + up[0]
	}
	return "does not reach the API server"
}

// cutOff are the pods that are not ready, or all, with their nodes and the
// Service by which they reach the API server.
func (c coreDNS) cutOff() []facts.Ref {
	pods := c.pods
	if stuck := c.unready(); len(stuck) > 0 {
		pods = stuck
	}
	out := append(c.affected(pods), ref(facts.Services.Kind(), "default", "kubernetes"))
	for _, p := range pods {
		if p.Spec.NodeName != "" {
			out = append(out, facts.Ref{Kind: facts.Nodes.Kind(), ID: p.Spec.NodeName})
		}
	}
	return out
}

// fencedIn is the NetworkPolicy that isolates the CoreDNS pods and, like all
// that do, does not let them out to the API server; nil when there is none. A
// rule for its ClusterIP or for one of its addresses lets them.
func (c coreDNS) fencedIn(v *facts.View) *networkingv1.NetworkPolicy {
	engine := reach.PolicyEngine(facts.DaemonSets.In(v), facts.Addons.In(v))
	policies, namespaces := facts.NetworkPolicies.In(v), facts.Namespaces.In(v)
	to := apiServer(v)
	if engine == "" || len(c.pods) == 0 || len(to) == 0 {
		return nil
	}
	isolating := reach.Isolates(policies, &c.pods[0], networkingv1.PolicyTypeEgress)
	for _, ip := range to {
		if reach.PolicyLetsOut(policies, namespaces, &c.pods[0], reach.Peer{IP: ip}, "tcp", 443).Allowed {
			return nil
		}
	}
	if len(isolating) == 0 {
		return nil
	}
	return &isolating[0]
}

// apiServer are the addresses of Service default/kubernetes and behind it.
func apiServer(v *facts.View) []netip.Addr {
	var texts []string
	for _, s := range facts.Services.In(v) {
		if s.Namespace == "default" && s.Name == "kubernetes" {
			texts = append(texts, s.Spec.ClusterIP)
		}
	}
	for _, s := range facts.EndpointSlices.In(v) {
		if s.Namespace == "default" && s.Labels["kubernetes.io/service-name"] == "kubernetes" {
			for _, e := range s.Endpoints {
				texts = append(texts, e.Addresses...)
			}
		}
	}
	var out []netip.Addr
	for _, t := range texts {
		if a, err := netip.ParseAddr(t); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// letOut adds the way to the API server to what a policy allows its pods.
func letOut(p *networkingv1.NetworkPolicy) remedy.Remedy {
	tcp, port := corev1.ProtocolTCP, intstr.FromInt32(443)
	return remedy.Remedy{
		Title: fmt.Sprintf("Let the pods that NetworkPolicy %s/%s isolates out to port 443", p.Namespace, p.Name),
		Why:   "Policies add up: the new one allows TCP 443, which the API server's addresses need as they change, and takes nothing away.",
		Risk:  remedy.Safe,
		Actions: remedy.Actions{remedy.CreateNetworkPolicy{Namespace: p.Namespace, Name: p.Name + "-apiserver", Spec: networkingv1.NetworkPolicySpec{
			PodSelector: p.Spec.PodSelector,
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress:      []networkingv1.NetworkPolicyEgressRule{{Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &port}}}},
		}}},
	}
}

// metricsCommand shows the metrics of a CoreDNS pod, namespace/name.
func metricsCommand(pod string) string {
	return fmt.Sprintf("kubectl get --raw /api/v1/namespaces/%s/pods/%s:9153/proxy/metrics", system, pod[len(system)+1:])
}

func (c coreDNS) workload() remedy.Workload {
	return remedy.Workload{Kind: "Deployment", Namespace: c.deployment.Namespace, Name: c.deployment.Name}
}

func (c coreDNS) reachAPI(unauthorized bool) []remedy.Remedy {
	if unauthorized {
		return []remedy.Remedy{{
			Title:   "Replace the CoreDNS pods",
			Why:     "New pods get new tokens. They are replaced one after the other.",
			Risk:    remedy.Disruptive,
			Actions: remedy.Actions{remedy.Restart(c.workload(), c.deployment.Spec.Template.ObjectMeta)},
		}}
	}
	return []remedy.Remedy{{
		Title: "See what stands between CoreDNS and the API server",
		Why:   "CoreDNS catches up by itself once it is reached: kube-proxy on its node must know Service default/kubernetes, and the node must be let in on port 443.",
		Manual: []string{
			"kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide",
			"kubectl -n default get endpointslices -l kubernetes.io/service-name=kubernetes",
			"kubectl -n kube-system get networkpolicies",
		},
	}}
}
