package l4

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGPStrictModeLocalTraffic recognises what strict mode keeps from pods with a
// branch interface: whatever their own node would have to handle.
var SGPStrictModeLocalTraffic = &diagnose.Check{
	ID:    "l4/sgp-strict-mode-local-traffic",
	Title: "Strict mode keeps pods with security groups from what their node handles",
	Doc: `In strict mode every packet of a pod with a branch interface passes that interface and the VPC, even between the pod
and its own node. What a node would have to handle locally does not work for such pods. A Service with externalTrafficPolicy
Local leaves the client's address on what a load balancer sends to the node; the node passes it on to the pod through the VPC,
which drops it, as that address is not the node's. The load balancer's health checks ask kube-proxy and pass. And every
ClusterIP fails when kube-proxy uses IPVS, which takes packets only on their way into the node.

Recognised by strict mode, and either a Service with externalTrafficPolicy Local, pods with branch interfaces and a target
group of instances; or kube-proxy in IPVS mode and pods with branch interfaces that are not ready. DNS caches on the nodes
have a check of their own.

Looks alike: rules that are missing; probes that early demux drops; a Service with externalTrafficPolicy Local and no pod on
most nodes.

Fix: standard mode, and a restart of the pods. Traffic within a node then no longer meets the pods' groups.`,
	Needs:    []facts.Need{facts.Pods, facts.Services, facts.DaemonSets},
	Wants:    []facts.Need{facts.Addons, facts.TargetGroupBindings, facts.TargetGroups, facts.Deployments, facts.StatefulSets, facts.ConfigMaps},
	CausedBy: []string{"l4/sgp-missing-dns-kubelet-rules", "l4/sgp-probe-early-demux"},
	Sources:  []string{sgpGuide, sgpPractices, cniReadme},
	Run:      sgpStrictModeLocalTraffic,
}

func sgpStrictModeLocalTraffic(v *facts.View) []diagnose.Finding {
	if s := podSettingsOf(v); !s.known || !s.enabled || !s.strict {
		return nil
	}
	var about []facts.Ref
	var pods []*corev1.Pod
	var said []string
	var evidence []diagnose.Evidence
	services := facts.Services.In(v)
	for i := range services {
		s := &services[i]
		behind := branchedBehind(v, s)
		if len(behind) == 0 || !throughInstances(v, s) {
			continue
		}
		pods, about = append(pods, behind...), append(about, serviceRef(s))
		said = append(said, fmt.Sprintf("Service %s/%s with externalTrafficPolicy Local", s.Namespace, s.Name))
		evidence = append(evidence, diagnose.Evidence{Fact: serviceRef(s).String() + " spec.externalTrafficPolicy", Got: fmt.Sprintf("Local, with instances as targets, and %s with a branch interface", diagnose.Count(len(behind), "pod")),
			Want: "targets of type ip, Cluster, or standard mode", Command: fmt.Sprintf("kubectl -n %s get service %s -o yaml", s.Namespace, s.Name)})
	}
	if usesIPVS(v) {
		if stuck := notReadyBranches(v); len(stuck) > 0 {
			pods = append(pods, stuck...)
			said = append(said, "every ClusterIP, as kube-proxy uses IPVS")
			evidence = append(evidence, diagnose.Evidence{Fact: "kube/daemonsets/kube-system/kube-proxy mode", Got: "ipvs", Want: "iptables or nftables, or standard mode",
				Command: "kubectl -n kube-system get configmap kube-proxy-config -o yaml"})
		}
	}
	if len(said) == 0 {
		return nil
	}
	return []diagnose.Finding{{
		Severity: diagnose.Degraded,
		Subject:  awsNode,
		Affects:  refs(awsNode, about, podRefs(pods)),
		Claim:    fmt.Sprintf("Strict mode sends all traffic of pods with security groups past their own node, which breaks %s (%s)", strings.Join(said, " and "), diagnose.Some(podNames(pods))),
		Evidence: append([]diagnose.Evidence{strictMode("").evidence(v, "standard")}, evidence...),
		Remedies: []remedy.Remedy{standardMode(v, pods)},
	}}
}

// standardMode changes the mode. The pods are restarted by hand, after the
// change has come to the nodes: a pod keeps the mode of its start.
func standardMode(v *facts.View, pods []*corev1.Pod) remedy.Remedy {
	r := strictMode("standard").remedy(v, "Go over to standard mode, then restart these pods",
		"Traffic within a node then no longer meets the pods' groups; what leaves the VPC has the node's address, and the node's groups judge it. Pods take it over at their next start.")
	r.Manual = append(r.Manual, "kubectl -n kube-system rollout status daemonset/aws-node")
	makers := workloads(v)
	for _, p := range pods {
		if c := makerOf(p, makers).restartCommand(); !slices.Contains(r.Manual, c) {
			r.Manual = append(r.Manual, c)
		}
	}
	return r
}

// branchedBehind are a Service's pods with branch interfaces, if the Service
// keeps traffic on the node that it reaches and leaves its source address.
func branchedBehind(v *facts.View, s *corev1.Service) []*corev1.Pod {
	if s.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		return nil
	}
	var out []*corev1.Pod
	pods := facts.Pods.In(v)
	for i := range pods {
		if p := &pods[i]; living(p) && reach.Selects(s, p) && reach.HasBranch(p) {
			out = append(out, p)
		}
	}
	return out
}

// throughInstances reports whether a load balancer reaches a Service through
// instances.
func throughInstances(v *facts.View, s *corev1.Service) bool {
	return slices.ContainsFunc(facts.TargetGroupBindings.In(v), func(b facts.TargetGroupBinding) bool {
		return b.Namespace == s.Namespace && b.Spec.ServiceRef.Name == s.Name && (isInstanceGroup(v, b.Spec.TargetGroupARN) || b.Spec.TargetType == "instance")
	})
}

func isInstanceGroup(v *facts.View, arn string) bool {
	return slices.ContainsFunc(facts.TargetGroups.In(v), func(g elbtypes.TargetGroup) bool {
		return facts.Val(g.TargetGroupArn) == arn && g.TargetType == elbtypes.TargetTypeEnumInstance
	})
}

// usesIPVS reports whether kube-proxy is told to use IPVS: by its add-on's
// configuration, its arguments or its ConfigMap.
func usesIPVS(v *facts.View) bool {
	var said []string
	for _, a := range facts.Addons.In(v) {
		if facts.Val(a.AddonName) == "kube-proxy" {
			said = append(said, facts.Val(a.ConfigurationValues))
		}
	}
	for _, d := range facts.DaemonSets.In(v) {
		for _, c := range d.Spec.Template.Spec.Containers {
			if d.Namespace == "kube-system" && d.Name == "kube-proxy" {
				said = append(said, strings.Join(slices.Concat(c.Command, c.Args), " "))
			}
		}
	}
	for _, m := range facts.ConfigMaps.In(v) {
		if strings.HasPrefix(m.Name, "kube-proxy") {
			for _, text := range m.Data {
				said = append(said, text)
			}
		}
	}
	return slices.ContainsFunc(said, func(s string) bool { return ipvsMode.MatchString(s) })
}

var ipvsMode = regexp.MustCompile(`(?i)mode"?[\s:=]+"?ipvs`)

func notReadyBranches(v *facts.View) []*corev1.Pod {
	var out []*corev1.Pod
	pods := facts.Pods.In(v)
	for i := range pods {
		if p := &pods[i]; living(p) && reach.HasBranch(p) && p.Status.PodIP != "" && !reach.Ready(p) && v.At().Sub(p.CreationTimestamp.Time) > trunkSetup {
			out = append(out, p)
		}
	}
	return out
}
