package diagnose

import (
	"slices"

	"github.com/hopwise/hopwise/internal/intents"
)

// suspects are the checks to show first for a symptom of DNS, the likeliest
// cause first. They order what is found with equal severity, and what was
// ruled out; they never hide a finding.
var suspects = map[intents.Symptom][]string{
	intents.AllLookups: {
		"dns/coredns-zero-ready", "dns/kube-dns-no-endpoints", "dns/corefile-parse-error", "dns/coredns-loop-crash", "dns/coredns-pending", "dns/coredns-oom",
		"dns/networkpolicy-blocks-dns", "dns/sg-blocks-dns", "dns/kubelet-clusterdns-wrong", "dns/vpc-enable-dns-support-off", "dns/eks-auto-mode-dns",
	},
	intents.ExternalSlow: {
		"dns/forward-upstream-timeout", "dns/ndots5-amplification", "dns/vpc-resolver-throttled", "dns/coredns-underscaled", "dns/upstream-refused-or-servfail",
		"dns/resolver-rule-misroute", "dns/dhcp-options-custom-dns", "dns/search-domain-wildcard-capture", "dns/dns-firewall-block",
	},
	intents.ServiceDiscovery: {
		"dns/service-name-wrong-namespace", "dns/kube-dns-no-endpoints", "dns/coredns-apiserver-unreachable", "dns/coredns-rbac-endpointslice",
		"dns/headless-no-records", "dns/externalname-issues", "dns/dnspolicy-hostnetwork", "dns/dnspolicy-none-or-default-misuse", "dns/networkpolicy-blocks-dns",
	},
	intents.RecordMissing: {
		"dns/externaldns-not-running", "dns/externaldns-iam-denied", "dns/externaldns-source-no-target", "dns/externaldns-no-matching-zone",
		"dns/externaldns-owner-mismatch", "dns/externaldns-annotation-prefix-upgrade", "dns/externaldns-change-batch-rejected", "dns/externaldns-throttled",
		"dns/externaldns-policy-upsert-only", "dns/externaldns-shared-owner-id", "dns/externaldns-multi-zone-write",
	},
	intents.Intermittent: {
		"dns/tcp53-or-truncation-blocked", "dns/coredns-underscaled", "dns/vpc-resolver-throttled", "dns/conntrack-exhausted", "dns/conntrack-race-5s",
		"dns/sg-blocks-dns", "dns/nacl-blocks-dns", "dns/coredns-oom", "dns/nodelocal-dns-broken", "dns/coredns-not-spread", "dns/coredns-rollout-drops",
		"dns/negative-or-stale-cache", "dns/dhcp-options-custom-dns", "dns/externaldns-shared-owner-id",
	},
}

// suspicion is the place of a check among the suspects of a symptom; the
// number of suspects for one that is none.
func suspicion(check string, s intents.Symptom) int {
	if i := slices.Index(suspects[s], check); i >= 0 {
		return i
	}
	return len(suspects[s])
}
