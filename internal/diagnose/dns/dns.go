// Package dns holds the checks of CoreDNS and of the way to it.
package dns

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// Checks returns the checks of DNS.
func Checks() []*diagnose.Check {
	return []*diagnose.Check{
		corednsZeroReady,
		corednsPending,
		fargateCoreDNSPending,
		corednsLoopCrash,
		corednsOOM,
		corefileParseError,
		corefileReloadFailed,
		corefileMissingReady,
		corednsAPIServerUnreachable,
		corednsRBAC,
		corednsNotSpread,
		corednsUnderscaled,
		corednsAutoscalerConflict,
		corednsAddonDegraded,
		corednsRolloutDrops,
		kubeDNSNoEndpoints,
		eksAutoModeDNS,
		kubeletClusterDNSWrong,
		kubeletMissingClusterDNS,
		resolvconfLimitsExceeded,
		dnspolicyHostNetwork,
		dnspolicyMisuse,
		ndots5Amplification,
		searchWildcardCapture,
		muslResolverQuirks,
		serviceNameWrongNamespace,
		headlessNoRecords,
		externalNameIssues,
		negativeOrStaleCache,
		nodelocalDNSBroken,
		nodelocalWithSGPStrict,
		networkpolicyBlocksDNS,
		vpcEnableDNSSupportOff,
		vpcEnableDNSHostnamesOff,
		dhcpOptionsCustomDNS,
		privateZoneNotAssociated,
		splitHorizonShadowing,
		resolverRuleMisroute,
		resolverEndpointBlocked,
		dnsFirewallBlock,
		vpcePrivateDNSOff,
		publicZoneDelegationBroken,
		sgBlocksDNS,
		naclBlocksDNS,
		tcp53Blocked,
		forwardUpstreamTimeout,
		vpcResolverThrottled,
		stubDomainForwardBroken,
		upstreamRefused,
		conntrackExhausted,
		conntrackRace,
		externalDNSNotRunning,
		externalDNSIAMDenied,
		externalDNSThrottled,
		externalDNSChangeBatchRejected,
		externalDNSNoMatchingZone,
		externalDNSOwnerMismatch,
		externalDNSSharedOwner,
		externalDNSPolicyUpsertOnly,
		externalDNSSourceNoTarget,
		externalDNSMultiZoneWrite,
		externalDNSAnnotationPrefixUpgrade,
	}
}

// Names that EKS gives to cluster DNS.
const (
	system     = "kube-system"
	service    = "kube-dns" // the Service in front of CoreDNS
	deployment = "coredns"
)

// resolverLabels are the labels by which the Service finds the CoreDNS pods,
// as EKS and kubeadm set them, when the Service itself was not read.
var resolverLabels = map[string]string{"k8s-app": "kube-dns"}

// matches reports whether sel selects an object with these labels. A selector
// that does not parse selects nothing: the API server admits none.
func matches(sel *metav1.LabelSelector, set map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(sel)
	return err == nil && s.Matches(labels.Set(set))
}

func ref(kind facts.Kind, namespace, name string) facts.Ref {
	return facts.Ref{Kind: kind, ID: namespace + "/" + name}
}
