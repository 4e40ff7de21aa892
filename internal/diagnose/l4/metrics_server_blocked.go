package l4

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// MetricsServerBlocked recognises a metrics-server that the control plane
// cannot ask, or that cannot ask kubelets.
var MetricsServerBlocked = &diagnose.Check{
	ID:    "l4/metrics-server-blocked",
	Title: "metrics-server cannot be reached, or cannot reach kubelets",
	Doc: `kubectl top and the HorizontalPodAutoscaler need two ways: from the control plane to the metrics-server pod's own
port, and from metrics-server to port 10250 of every node. If the first is closed the API service v1beta1.metrics.k8s.io is
not available (FailedDiscoveryCheck, "failing or missing response from https://POD:PORT"); if the second is, the metrics of
those nodes and their pods are missing.

Recognised by following both ways through security groups and network ACLs. The first counts only while the API service
says that it is not available; the second when it is stopped for certain, for pods of metrics-server that run on another node.

Looks alike: MissingEndpoints (its pods are not ready); "x509" in its log (--kubelet-insecure-tls); kubectl logs fails as
well (then it is the way from the control plane to the kubelets).

Fix: admit the port from the other side's security group.`,
	Needs:    []facts.Need{facts.APIServices, facts.Services, facts.Pods, facts.Nodes, facts.NetworkInterfaces, facts.SecurityGroups},
	Wants:    []facts.Need{facts.EndpointSlices, facts.Clusters, facts.NetworkACLs},
	CausedBy: []string{"l4/cluster-sg-removed", "l4/sg-rules-limit-node-or-pod-sg", "l4/sg-stale-references", "l4/kubelet-10250-blocked", "l4/node-to-node-sg-blocked", "l4/nacl-inbound-deny", "l4/nacl-ephemeral-return-blocked", "l4/nacl-between-subnets"},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/metrics-server.html",
		"https://github.com/kubernetes-sigs/metrics-server/blob/master/KNOWN_ISSUES.md",
		"https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html",
	},
	Run: metricsServerBlocked,
}

// metricsAPI is the API service that metrics-server answers for.
const metricsAPI = "v1beta1.metrics.k8s.io"

func metricsServerBlocked(v *facts.View) []diagnose.Finding {
	m := metricsServerOf(v)
	if m.service == nil {
		return nil
	}
	rules := filtersOf(v)
	asked, asks := m.asked(v), m.asks(v)
	blocked := rules.stops(asks)
	var kubelets int
	if blocked = slices.DeleteFunc(blocked, func(s stop) bool { return s.to.IP == s.from.IP }); len(blocked) > 0 {
		kubelets = len(blocked)
	}
	if m.unavailable != "" {
		blocked = append(rules.stops(asked), blocked...)
	}
	if len(blocked) == 0 {
		return nil
	}
	return []diagnose.Finding{m.finding(blocked, kubelets)}
}

// A metricsServer is what answers for the metrics API.
type metricsServer struct {
	service     *corev1.Service
	port        corev1.ServicePort
	unavailable string // what the API service says, "" while it is available
}

func metricsServerOf(v *facts.View) metricsServer {
	var m metricsServer
	for _, a := range facts.APIServices.In(v) {
		if a.Name != metricsAPI || a.Spec.Service == nil {
			continue
		}
		s := serviceByName(facts.Services.In(v), a.Spec.Service.Namespace+"/"+a.Spec.Service.Name)
		number := int32(443)
		if a.Spec.Service.Port != nil {
			number = *a.Spec.Service.Port
		}
		if s == nil {
			continue
		}
		if p, ok := portOf(s, number); ok {
			m.service, m.port = s, p
		}
		for _, c := range a.Status.Conditions {
			if c.Type == "Available" && c.Status != "True" && c.Reason != "MissingEndpoints" && c.Reason != "ServiceNotFound" {
				m.unavailable = strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
			}
		}
	}
	return m
}

// asked are the connections from the control plane to metrics-server.
func (m metricsServer) asked(v *facts.View) []connection {
	cp := controlPlaneOf(v)
	holders := reach.HoldersOf(facts.NetworkInterfaces.In(v))
	var out []connection
	for _, a := range answerers(facts.EndpointSlices.In(v), m.service, m.port) {
		if eni := holders.Holder(a.ip); eni != nil {
			out = append(out, cp.calls(hostWith(eni, a.ip), a.port, "metrics-server", serviceRef(m.service))...)
		}
	}
	return out
}

// asks are the connections from metrics-server to the kubelets of other
// nodes.
func (m metricsServer) asks(v *facts.View) []connection {
	holders := reach.HoldersOf(facts.NetworkInterfaces.In(v))
	nodes := machines(facts.Nodes.In(v), facts.NetworkInterfaces.In(v))
	pods := facts.Pods.In(v)
	var out []connection
	for i := range pods {
		p := &pods[i]
		ip := addressOf(p)
		eni := holders.Holder(ip)
		if !reach.Selects(m.service, p) || reach.Finished(p) || eni == nil {
			continue
		}
		for _, n := range nodes {
			if n.Name != p.Spec.NodeName {
				out = append(out, connection{from: hostWith(eni, ip), to: n.Host, protocol: "tcp", port: kubeletPort,
					source: "metrics-server", dest: "kubelet of node " + n.Name, about: []facts.Ref{nodeRef(n.Node)}})
			}
		}
	}
	return out
}

func (m metricsServer) finding(stops []stop, kubelets int) diagnose.Finding {
	subject := facts.Ref{Kind: facts.APIServices.Kind(), ID: metricsAPI}
	var objects, about []facts.Ref
	var names, nodes []string
	for _, s := range stops {
		about = append(about, s.about...)
		if s.isACL() {
			objects = append(objects, s.object())
		}
		if s.port == kubeletPort {
			objects = append(objects, s.object()) // what explains this explains that the control plane cannot reach them either
			if n := strings.TrimPrefix(s.dest, "kubelet of node "); !slices.Contains(nodes, n) && n != s.dest {
				nodes = append(nodes, n)
			}
		}
		if n := s.object().ID; !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	var what []string
	if len(stops) > kubelets {
		what = append(what, "the control plane cannot reach metrics-server")
	}
	if kubelets > 0 {
		what = append(what, fmt.Sprintf("metrics-server cannot reach the kubelet of %s", diagnose.Count(len(nodes), "node")))
	}
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  subject,
		Affects:  refs(subject, objects, []facts.Ref{serviceRef(m.service)}, about),
		Claim:    fmt.Sprintf("%s: %s in the way; kubectl top and autoscaling by CPU or memory lack metrics", strings.Join(what, " and "), strings.Join(names, ", ")),
		Evidence: evidenceOf(stops),
		Remedies: ways(stops, "what metrics-server needs"),
	}
	if m.unavailable != "" {
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: subject.String(), Got: m.unavailable, Want: "condition Available is True", Command: "kubectl get apiservice " + metricsAPI + " -o yaml"})
	}
	return f
}
