// Package l4 holds the checks of security groups, network ACLs,
// NetworkPolicies and Services.
package l4

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// Checks returns the checks of security groups, policies and Services.
func Checks() []*diagnose.Check {
	return []*diagnose.Check{
		ServiceNoEndpointsSelector,
		ServiceEndpointsNotReady,
		ClusterSGRemoved,
		NodeToNodeSGBlocked,
		SGEgressRestricted,
		SGPerENILimit,
		SGPNoMatchingPolicy,
		SGPBranchENICapacity,
		SGPTrunkNotEnabled,
		SGPInstanceTypeUnsupported,
		SGPClusterRoleMissingPolicy,
		SGPMissingDNSKubeletRules,
		SGPProbeEarlyDemux,
		SGPStrictModeLocalTraffic,
		SGPModeChangeOldPods,
		SGPPodNoInternet,
		SGPBranchCooldownChurn,
		NACLInboundDeny,
		NACLEphemeralReturnBlocked,
		NACLBetweenSubnets,
		Kubelet10250Blocked,
		PrivateEndpoint443Blocked,
		PublicAccessCIDRsExcludeNodes,
		ClusterAdditionalSGDeleted,
		VPCEndpointSGBlocks,
		WebhookNoEndpoints,
		WebhookPortBlocked,
		MetricsServerBlocked,
		ServiceTargetPortMismatch,
		ServiceNamedPortMissing,
		ServiceProtocolMismatch,
		ServiceETPLocalNoLocalEndpoint,
		AppBoundLocalhost,
		NetworkPolicyServicePort,
		NetworkPolicyNamedPort,
		NetworkPolicySelector,
		NetworkPolicyHostNetwork,
		NetworkPolicyDefaultDenyIngress,
		NetworkPolicyDefaultDenyEgress,
		NetworkPolicyTwoEngines,
		NetworkPolicyNotEnforced,
		NetworkPolicyAgentDown,
		NetworkPolicyBlocksIMDS,
		NetworkPolicyClusterIP,
		NetworkPolicyNodeLocal,
		NetworkPolicyStrict,
		NetworkPolicyStartupRace,
		NetworkPolicyAgentDenies,
		SGMissingIngressTarget,
		SGRulesLimit,
		SGStaleReferences,
		VPCPeeringSGReference,
		PrivateEndpointDNS,
	}
}

func serviceRef(s *corev1.Service) facts.Ref { return ref(facts.Services.Kind(), s.Namespace, s.Name) }

func podRef(p *corev1.Pod) facts.Ref { return ref(facts.Pods.Kind(), p.Namespace, p.Name) }

func groupRef(id string) facts.Ref { return facts.Ref{Kind: facts.SecurityGroups.Kind(), ID: id} }

func ref(kind facts.Kind, namespace, name string) facts.Ref {
	return facts.Ref{Kind: kind, ID: namespace + "/" + name}
}

// users are the Ingresses, bindings and target groups that send to a Service:
// who needs its endpoints.
func users(s *corev1.Service, ingresses []networkingv1.Ingress, bindings []facts.TargetGroupBinding) []facts.Ref {
	var out []facts.Ref
	for _, ing := range ingresses {
		if ing.Namespace == s.Namespace && slices.Contains(backends(ing), s.Name) {
			out = append(out, ref(facts.Ingresses.Kind(), ing.Namespace, ing.Name))
		}
	}
	for _, b := range bindings {
		if b.Namespace == s.Namespace && b.Spec.ServiceRef.Name == s.Name {
			out = append(out, ref(facts.TargetGroupBindings.Kind(), b.Namespace, b.Name), facts.Ref{Kind: facts.TargetGroups.Kind(), ID: b.Spec.TargetGroupARN})
		}
	}
	return out
}

// backends are the names of the Services that an Ingress sends to.
func backends(ing networkingv1.Ingress) []string {
	var names []string
	add := func(b *networkingv1.IngressBackend) {
		if b != nil && b.Service != nil {
			names = append(names, b.Service.Name)
		}
	}
	add(ing.Spec.DefaultBackend)
	for _, r := range ing.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for _, p := range r.HTTP.Paths {
			add(&p.Backend)
		}
	}
	return names
}

// named reports whether the question names a Service itself, and not only
// its namespace.
func named(t facts.Target, s *corev1.Service) bool {
	return t.Name == s.Name && (t.Namespace == "" || t.Namespace == s.Namespace) && (t.Kind == "" || t.Kind == "service")
}

// pairs writes labels as kubectl does: a=b,c=d.
func pairs(l map[string]string) string {
	var kv []string
	for _, k := range slices.Sorted(maps.Keys(l)) {
		kv = append(kv, k+"="+l[k])
	}
	return strings.Join(kv, ",")
}
