package dns

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

var kubeDNSNoEndpoints = &diagnose.Check{
	ID:    "dns/kube-dns-no-endpoints",
	Title: "CoreDNS runs, and Service kube-dns does not lead to it",
	Doc: `Pods send their lookups to the ClusterIP of Service kube-system/kube-dns. CoreDNS may be in the best of health: without
the Service, with a selector that its pods do not match, or without port 53 for UDP, none of them arrives. Without port 53
for TCP those fail whose answers are too large for UDP.

Recognised by ready CoreDNS pods while the Service is not there, holds none of them, or lacks a port.

Looks alike: CoreDNS pods that are not ready are the fault then, not the Service. EKS Auto Mode has no such Service. A lookup
that is refused at once points to this finding; one that times out to the way there.

Fixed by the selector that the pods match; by the ports; by making the Service again at the address that kubelets give to
pods.`,
	Needs:    append([]facts.Need{facts.Services, facts.Nodes, facts.EndpointSlices}, coreDNSNeeds...),
	Wants:    []facts.Need{facts.Clusters, facts.Events, facts.KubeletConfigs},
	CausedBy: []string{"l4/service-no-endpoints-selector"},
	Sources: []string{
		"https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
		"https://kubernetes.io/docs/concepts/services-networking/service/#services-without-selectors",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c, given := newCoreDNS(v), kubeletDNS(v)
		if c.deployment == nil || c.byNodes(v) {
			return nil
		}
		ready := slices.DeleteFunc(slices.Clone(c.pods), func(p corev1.Pod) bool { return !reach.Ready(&p) })
		switch {
		case len(ready) == 0:
			return nil
		case c.service == nil:
			if slices.ContainsFunc(facts.Services.In(v), func(s corev1.Service) bool { return servesDNS(s, ready) }) {
				return nil
			}
			return []diagnose.Finding{c.noService(ready, given)}
		case c.endpoints == 0:
			return []diagnose.Finding{c.noEndpoints(ready)}
		}
		if missing := c.missingPorts(); len(missing) > 0 {
			return []diagnose.Finding{c.noPort(missing)}
		}
		return nil
	},
}

// servesDNS reports whether s leads to the pods on port 53: CoreDNS's Helm
// chart names its Service otherwise.
func servesDNS(s corev1.Service, pods []corev1.Pod) bool {
	return slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == 53 }) &&
		slices.ContainsFunc(pods, func(p corev1.Pod) bool { return reach.Selects(&s, &p) })
}

// kubeletDNS is the address that kubelets write into pods' resolv.conf, other
// than a cache on the node; "" when it was not read.
func kubeletDNS(v *facts.View) string {
	for _, k := range facts.KubeletConfigs.In(v) {
		for _, a := range k.KubeletConfig.ClusterDNS {
			if !strings.HasPrefix(a, "169.254.") {
				return a
			}
		}
	}
	return ""
}

var kubeDNSRef = ref(facts.Services.Kind(), system, service)

const showKubeDNS = "kubectl -n kube-system get service kube-dns -o yaml"

func (c coreDNS) noService(ready []corev1.Pod, given string) diagnose.Finding {
	at, f := given, diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  kubeDNSRef,
		Affects:  c.affected(ready),
		Claim:    fmt.Sprintf("Service kube-system/kube-dns does not exist, so no lookup reaches the %s of CoreDNS", diagnose.Count(len(ready), "ready pod")),
		Evidence: []diagnose.Evidence{{
			Fact: kubeDNSRef.String(), Got: "not found", Want: "a Service with port 53 for UDP and TCP, at the address that pods have in resolv.conf",
			Command: "kubectl -n kube-system get service kube-dns",
		}},
	}
	if given == "" {
		at = "ADDRESS"
	} else {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: "kubelet clusterDNS", Got: given, Want: "an address of a Service", Command: "kubectl get --raw /api/v1/nodes/NODE/proxy/configz",
		})
	}
	selector, _ := json.Marshal(c.selector()) // strings always marshal
	f.Remedies = []remedy.Remedy{{
		Title: "Make the Service again",
		Why:   "It must have the address that kubelets give to pods, clusterDNS of their configuration; pods need no restart then.",
		Manual: []string{fmt.Sprintf(`kubectl create -f - <<<'{"apiVersion":"v1","kind":"Service","metadata":{"name":"kube-dns","namespace":"kube-system","labels":{"k8s-app":"kube-dns","kubernetes.io/cluster-service":"true"}},`+
			`"spec":{"clusterIP":"%s","selector":%s,"ports":[{"name":"dns","port":53,"protocol":"UDP"},{"name":"dns-tcp","port":53,"protocol":"TCP"},{"name":"metrics","port":9153,"protocol":"TCP"}]}}'`, at, selector)},
	}}
	return f
}

// selector is what selects the CoreDNS pods: what EKS sets where they have
// it, else what their Deployment selects.
func (c coreDNS) selector() map[string]string {
	template := c.deployment.Spec.Template.Labels
	if labels.SelectorFromSet(resolverLabels).Matches(labels.Set(template)) || c.deployment.Spec.Selector == nil || len(c.deployment.Spec.Selector.MatchLabels) == 0 {
		return resolverLabels
	}
	return c.deployment.Spec.Selector.MatchLabels
}

func (c coreDNS) noEndpoints(ready []corev1.Pod) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  kubeDNSRef,
		Affects:  c.affected(ready),
		Claim:    fmt.Sprintf("Service kube-system/kube-dns has no ready endpoint although %s of CoreDNS are ready, so no pod can resolve names", diagnose.Count(len(ready), "pod")),
		Evidence: []diagnose.Evidence{{
			Fact: kubeDNSRef.String() + " endpoints", Got: "0 ready", Want: fmt.Sprintf("%d ready", len(ready)),
			Command: "kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns",
		}},
	}
	selected := slices.ContainsFunc(ready, func(p corev1.Pod) bool { return reach.Selects(c.service, &p) })
	if selected {
		f.Remedies = []remedy.Remedy{{
			Title:  "See why the EndpointSlices of kube-dns are empty",
			Why:    "The selector fits; the control plane makes the slices, unless others that carry the Service's label were made by hand.",
			Manual: []string{"kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns -o yaml"},
		}}
		return f
	}
	f.Claim += fmt.Sprintf(": its selector %s matches none of them", labels.Set(c.service.Spec.Selector))
	f.Evidence = append(f.Evidence, diagnose.Evidence{
		Fact: kubeDNSRef.String() + " spec.selector", Got: orNone(labels.Set(c.service.Spec.Selector).String()), Want: labels.Set(c.selector()).String(), Command: showKubeDNS,
	})
	f.Remedies = []remedy.Remedy{{
		Title:   "Let Service kube-dns select the CoreDNS pods",
		Why:     "Its endpoints are there again within seconds; nothing restarts.",
		Risk:    remedy.Safe,
		Actions: remedy.Actions{remedy.SetSelector{Namespace: system, Service: service, Selector: maps.Clone(c.selector()), Before: c.service.Spec.Selector}},
	}}
	return f
}

// missingPorts are the protocols for which the Service has no port 53.
func (c coreDNS) missingPorts() []corev1.Protocol {
	var out []corev1.Protocol
	for _, want := range []corev1.Protocol{corev1.ProtocolUDP, corev1.ProtocolTCP} {
		if !slices.ContainsFunc(c.service.Spec.Ports, func(p corev1.ServicePort) bool {
			return p.Port == 53 && (p.Protocol == want || p.Protocol == "" && want == corev1.ProtocolTCP)
		}) {
			out = append(out, want)
		}
	}
	return out
}

func (c coreDNS) noPort(missing []corev1.Protocol) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  kubeDNSRef,
		Affects:  c.affected(nil),
		Claim:    "Service kube-system/kube-dns has no port 53 for TCP, so lookups fail whose answers are too large for UDP",
	}
	if missing[0] == corev1.ProtocolUDP {
		f.Severity = diagnose.Outage
		f.Claim = "Service kube-system/kube-dns has no port 53 for UDP, so no pod can resolve names"
	}
	var have []string
	for _, p := range c.service.Spec.Ports {
		have = append(have, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
	}
	name := map[corev1.Protocol]string{corev1.ProtocolUDP: "dns", corev1.ProtocolTCP: "dns-tcp"}[missing[0]]
	f.Evidence = []diagnose.Evidence{{Fact: kubeDNSRef.String() + " spec.ports", Got: orNone(strings.Join(have, ", ")), Want: "53/UDP and 53/TCP", Command: showKubeDNS}}
	f.Remedies = []remedy.Remedy{{
		Title: "Add port 53 for " + string(missing[0]),
		Why:   "kube-proxy takes it over within seconds.",
		Manual: []string{fmt.Sprintf(`kubectl -n kube-system patch service kube-dns --type=json -p '[{"op":"add","path":"/spec/ports/-","value":{"name":"%s","port":53,"protocol":"%s","targetPort":53}}]'`,
			name, missing[0])},
	}}
	return f
}
