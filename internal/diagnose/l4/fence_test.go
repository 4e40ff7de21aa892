package l4_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// policy makes a NetworkPolicy of shop that came before today's pods.
func policy(name, spec string) string {
	return "- {metadata: {name: " + name + ", namespace: shop, creationTimestamp: '2025-12-01T10:00:00Z'}, spec: " + spec + "}\n"
}

// Each policy is laid over the healthy cluster; want are the checks that find
// something, without their layer.
func TestNetworkPolicies(t *testing.T) {
	deny := policy("deny", "{podSelector: {}, policyTypes: [Ingress]}")
	isolate := "podSelector: {matchLabels: {app: cart}}, policyTypes: [Ingress]"
	agentOff := "-- kube/configmaps.yaml --\nitems:\n- {metadata: {name: amazon-vpc-cni, namespace: kube-system}, data: {enable-network-policy-controller: 'false'}}\n"
	for _, tt := range []struct {
		name, target, policies, more string
		want                         []string
	}{
		{"the Service's port", "", policy("cart", "{"+isolate+", ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}"), "", []string{"networkpolicy-service-port-vs-pod-port"}},
		{"a range that holds the pods' port", "", policy("cart", "{"+isolate+", ingress: [{from: [{podSelector: {}}], ports: [{port: 80, endPort: 8080}]}]}"), "", nil},
		{"the Service's port, and nothing enforces", "", policy("cart", "{"+isolate+", ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}"), agentOff, []string{"networkpolicy-not-enforced-disabled"}},
		{"a name with a typo", "", policy("cart", "{"+isolate+", ingress: [{from: [{podSelector: {}}], ports: [{port: htpp}]}]}"), "", []string{"networkpolicy-named-port-unresolved"}},
		{"a name with the other protocol", "", policy("cart", "{"+isolate+", ingress: [{from: [{podSelector: {}}], ports: [{protocol: UDP, port: http}]}]}"), "", nil},
		{"a pod of another namespace without it", "", policy("cart", "{"+isolate+", ingress: [{from: [{podSelector: {matchLabels: {app: payments}}}], ports: [{port: http}]}]}"), "", []string{"networkpolicy-selector-matches-nothing"}},
		{"a peer that nobody is near to", "", policy("cart", "{"+isolate+", ingress: [{from: [{podSelector: {matchLabels: {app: reporting}}}]}]}"), "", nil},
		{"a policy for pods with a typo, and a deny", "", deny + policy("cart", "{podSelector: {matchLabels: {app: catr}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}"), "", []string{"networkpolicy-selector-matches-nothing"}},
		{"a policy for pods with a typo, and no deny", "", policy("cart", "{podSelector: {matchLabels: {app: catr}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}"), "", nil},
		{"a deny that nobody asks about", "", deny, "", nil},
		{"a deny, and the question is about a Service", "target: shop/cart\n", deny, "", []string{"networkpolicy-default-deny-ingress"}},
		{"a deny, and the question is about another Service", "target: payments/payments\n", deny, "", nil},
		{"a deny, and somebody is admitted", "target: shop/cart\n", deny + policy("cart", "{"+isolate+", ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}"), "", nil},
		{"a deny, and a client's own policy lets it out", "", policy("cart", "{"+isolate+"}") + policy("web", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{protocol: UDP, port: 53}, {port: 53}]}, {to: [{podSelector: {matchLabels: {app: cart}}}]}]}"), "", []string{"networkpolicy-default-deny-ingress"}},
		{"egress that stops everything", "target: shop/cart\n", policy("web", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}"), "", nil},
		{"egress to the ClusterIP by a block", "", policy("web", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 172.20.0.0/16}}]}, {to: [{podSelector: {matchLabels: {app: cart, pod-template-hash: 7f5c6b9d48}}}]}]}"), "", nil},
		{"egress by a label that the Service does not select by", "", policy("web", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: cart, pod-template-hash: 7f5c6b9d48}}}]}]}"), "", []string{"networkpolicy-egress-clusterip-selector-mismatch"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, f := range findings(t, "base-shop", tt.target+"-- kube/networkpolicies.yaml --\nitems:\n"+tt.policies+tt.more) {
				got = append(got, strings.TrimPrefix(f.Check, "l4/"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}
