package l4

import (
	"fmt"
	"slices"
	"strconv"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// ServiceETPLocalNoLocalEndpoint recognises traffic that is kept on a node
// which has no pod for it.
var ServiceETPLocalNoLocalEndpoint = &diagnose.Check{
	ID:    "l4/service-etp-local-no-local-endpoint",
	Title: "Traffic policy Local, and no pod on the node that gets the traffic",
	Doc: `With externalTrafficPolicy Local a node hands what arrives at its node port to its own pods only, with
internalTrafficPolicy Local what its own pods send to the ClusterIP. A node without a ready pod of the Service drops it.

For load balancers with instance targets that is meant so: the health check on healthCheckNodePort takes such nodes out.
It is a fault when the check asks another port, so that nodes without a pod count as healthy and drop their share; or
when no registered node has a ready pod while other nodes have. Within the cluster it is a fault when somebody on such a
node needs the Service: the question names it, a client's arguments do, or a pod of its namespace there is not ready.
Where the Service's pods come from a DaemonSet the nodes without one are looked at only then; for others pods of the same
namespace on nodes without a pod are at risk.

Looks alike: unhealthy targets with policy Local while others are healthy, which is how it works; kube-proxy down (all
Services of the node fail); targets of type ip, which go to the pods.

Fix: policy Cluster, which costs the client's address (external), or a pod on every node.`,
	Needs: []facts.Need{facts.Services, facts.Pods, facts.Nodes},
	Wants: []facts.Need{facts.TargetGroupBindings, facts.TargetGroups, facts.TargetHealths},
	Sources: []string{
		"https://kubernetes.io/docs/reference/networking/virtual-ips/#traffic-policies",
		"https://kubernetes.io/docs/tasks/access-application-cluster/create-external-load-balancer/#preserving-the-client-source-ip",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		pods := byNamespace(facts.Pods.In(v))
		services := facts.Services.In(v)
		var found []diagnose.Finding
		for i := range services {
			s := &services[i]
			l := local{service: s, on: readyNodes(s, pods[s.Namespace])}
			if len(l.on) == 0 {
				continue // another check's matter
			}
			if s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
				found = append(found, l.external(v)...)
			}
			if facts.Val(s.Spec.InternalTrafficPolicy) == corev1.ServiceInternalTrafficPolicyLocal && s.Spec.ClusterIP != corev1.ClusterIPNone {
				found = append(found, l.internal(v, facts.Pods.In(v))...)
			}
		}
		return onePerService(found)
	},
}

// A local is a Service whose traffic stays on the node.
type local struct {
	service *corev1.Service
	on      map[string]bool // names of the nodes with a ready pod of it
}

func readyNodes(s *corev1.Service, pods []*corev1.Pod) map[string]bool {
	on := map[string]bool{}
	for _, p := range runningBehind(s, pods) {
		if reach.Ready(p) {
			on[p.Spec.NodeName] = true
		}
	}
	return on
}

// external looks at the instance targets of the Service's target groups.
func (l local) external(v *facts.View) []diagnose.Finding {
	node := map[string]string{}
	nodes := facts.Nodes.In(v)
	for i := range nodes {
		node[reach.Instance(&nodes[i])] = nodes[i].Name
	}
	groups := map[string]elbtypes.TargetGroup{}
	for _, g := range facts.TargetGroups.In(v) {
		groups[facts.Val(g.TargetGroupArn)] = g
	}
	health := map[string][]elbtypes.TargetHealthDescription{}
	for _, h := range facts.TargetHealths.In(v) {
		health[h.TargetGroupArn] = h.TargetHealthDescriptions
	}
	var found []diagnose.Finding
	for _, b := range facts.TargetGroupBindings.In(v) {
		g := groups[b.Spec.TargetGroupARN]
		if b.Namespace != l.service.Namespace || b.Spec.ServiceRef.Name != l.service.Name || g.TargetType != elbtypes.TargetTypeEnumInstance || len(g.LoadBalancerArns) == 0 {
			continue
		}
		var with, dropping, all []string
		for _, d := range health[b.Spec.TargetGroupARN] {
			name := ""
			if d.Target != nil {
				name = node[facts.Val(d.Target.Id)]
			}
			if name == "" || d.TargetHealth == nil || d.TargetHealth.State == elbtypes.TargetHealthStateEnumDraining {
				continue
			}
			all = append(all, name)
			switch {
			case l.on[name]:
				with = append(with, name)
			case d.TargetHealth.State == elbtypes.TargetHealthStateEnumHealthy:
				dropping = append(dropping, name)
			}
		}
		switch asksNode := facts.Val(g.HealthCheckPort) == strconv.Itoa(int(l.service.Spec.HealthCheckNodePort)); {
		case len(all) > 0 && len(with) == 0:
			found = append(found, l.dropped(diagnose.Outage, all, g, fmt.Sprintf("none of the %s of its load balancer has a ready pod, so all traffic from outside is dropped", diagnose.Count(len(all), "node"))))
		case len(dropping) > 0 && !asksNode:
			found = append(found, l.dropped(diagnose.Degraded, dropping, g, fmt.Sprintf("%s without a ready pod pass the load balancer's health check on port %s and drop what they get", diagnose.Count(len(dropping), "node"), facts.Val(g.HealthCheckPort))))
		}
	}
	return found
}

func (l local) dropped(sev diagnose.Severity, nodes []string, g elbtypes.TargetGroup, what string) diagnose.Finding {
	f := l.finding(sev, "externalTrafficPolicy", nodes, what)
	f.Affects = append(f.Affects, facts.Ref{Kind: facts.TargetGroups.Kind(), ID: facts.Val(g.TargetGroupArn)})
	f.Evidence = append(f.Evidence, diagnose.Evidence{
		Fact: "elbv2/target-groups/" + facts.Val(g.TargetGroupArn) + " HealthCheckPort", Got: facts.Val(g.HealthCheckPort), Want: fmt.Sprintf("healthCheckNodePort %d, and a registered node with a ready pod", l.service.Spec.HealthCheckNodePort),
		Command: "aws elbv2 describe-target-groups --target-group-arns " + facts.Val(g.TargetGroupArn),
	})
	return f
}

// internal looks at the pods that may call the Service from nodes without a
// pod of it.
func (l local) internal(v *facts.View, pods []corev1.Pod) []diagnose.Finding {
	s := l.service
	daemon := slices.ContainsFunc(pods, func(p corev1.Pod) bool {
		return reach.Selects(s, &p) && slices.ContainsFunc(p.OwnerReferences, isDaemonSet)
	})
	var sure, maybe []corev1.Pod
	for _, p := range pods {
		switch {
		case p.Spec.NodeName == "" || l.on[p.Spec.NodeName] || reach.Finished(&p) || reach.Selects(s, &p) || p.DeletionTimestamp != nil:
		case mentions(&p, s), p.Namespace == s.Namespace && (named(v.Target(), s) || !reach.Ready(&p)):
			sure = append(sure, p)
		case p.Namespace == s.Namespace && !daemon && s.Namespace != "kube-system" && !slices.ContainsFunc(p.OwnerReferences, isDaemonSet):
			maybe = append(maybe, p)
		}
	}
	sev, clients, what := diagnose.Degraded, sure, "%s there cannot reach it"
	if len(sure) == 0 {
		sev, clients, what = diagnose.Risk, maybe, "%s of its namespace there could not reach it"
	}
	if len(clients) == 0 {
		return nil
	}
	var nodes []string
	for _, c := range clients {
		nodes = append(nodes, c.Spec.NodeName)
	}
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	f := l.finding(sev, "internalTrafficPolicy", nodes, fmt.Sprintf("without a ready pod of it on %s, "+what, diagnose.Count(len(nodes), "node"), diagnose.Count(len(clients), "pod")))
	for _, c := range clients {
		f.Affects = append(f.Affects, podRef(&c))
	}
	return []diagnose.Finding{f}
}

func (l local) finding(sev diagnose.Severity, field string, nodes []string, what string) diagnose.Finding {
	s := l.service
	return diagnose.Finding{
		Severity: sev,
		Subject:  serviceRef(s),
		Claim:    fmt.Sprintf("Service %s/%s has %s Local: %s", s.Namespace, s.Name, field, what),
		Evidence: []diagnose.Evidence{{
			Fact: serviceRef(s).String() + " spec." + field, Got: "Local", Want: "Cluster, or a ready pod on each node that gets traffic",
			Command: fmt.Sprintf("kubectl -n %s get service %s -o yaml", s.Namespace, s.Name),
		}, {
			Fact: "kube/nodes/" + nodes[0], Got: "no ready pod of the Service", Want: "one",
			Command: fmt.Sprintf("kubectl -n %s get pods -o wide --field-selector spec.nodeName=%s", s.Namespace, nodes[0]),
		}},
		Remedies: []remedy.Remedy{{
			Title:  "Let every node forward to all pods, or run a pod on each",
			Why:    "Policy Cluster adds a hop; for traffic from outside it also hides the client's address.",
			Risk:   remedy.Disruptive,
			Manual: []string{fmt.Sprintf(`kubectl -n %s patch service %s --type=merge -p '{"spec":{"%s":"Cluster"}}'`, s.Namespace, s.Name, field)},
		}},
	}
}
