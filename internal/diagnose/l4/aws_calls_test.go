package l4_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/diagnose/l4"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

const (
	ledgerAccount   = "-- kube/serviceaccounts.yaml --\nitems:\n- {metadata: {name: ledger, namespace: ledger, annotations: {"
	paymentsAccount = "-- kube/serviceaccounts.yaml --\nitems:\n- {metadata: {name: payments, namespace: payments, annotations: {"
	stsEndpoint     = "-- ec2/vpc-endpoints.yaml --\nVpcEndpoints:\n- {VpcEndpointId: vpce-0b2c3d4e5f6070809, "
	secrets         = "secretsmanager.eu-west-1.amazonaws.com"
	secretsEndpoint = stsEndpoint + "ServiceName: com.amazonaws.eu-west-1.secretsmanager, DnsEntries: [{DnsName: " + secrets + "}]}\n"
)

// An asking is a scenario with an overlay and a question's target, and what one
// check says of it.
type asking struct {
	name, overlay string
	target        facts.Target
	want          string
}

func (a asking) run(t *testing.T, check, base string) {
	t.Run(a.name, func(t *testing.T) {
		w, err := world.Parse("x", []byte("A test.\nbase: "+base+"\n"+a.overlay))
		if err != nil {
			t.Fatal(err)
		}
		s, err := w.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		s.Target = a.target
		i := slices.IndexFunc(l4.Checks(), func(c *diagnose.Check) bool { return c.ID == check })
		var got []string
		res := diagnose.Evaluate(l4.Checks()[i:i+1], s)[0]
		if res.Panic != nil {
			t.Fatal(res.Panic)
		}
		for _, f := range res.Findings {
			got = append(got, f.Severity.String()+" "+f.Subject.ID)
			if runs := len(f.Remedies) > 0 && f.Remedies[0].Runnable(); !runs {
				got = append(got, "by hand")
			}
		}
		if s := strings.Join(got, ", "); s != a.want {
			t.Errorf("%s says %q, want %q", check, s, a.want)
		}
	})
}

// token is a volume with a pod's token for an audience.
func token(pod, namespace, audience string) string {
	return "-- kube/pods.yaml --\nitems:\n- {metadata: {name: " + pod + ", namespace: " + namespace + "}, spec: {volumes: [{name: aws-iam-token, projected: {sources: [{serviceAccountToken: {audience: " + audience + ", path: token}}]}}]}}\n"
}

func TestEndpointsOfBranchPods(t *testing.T) {
	const closed = "outage sg-0e50000000000000e"
	sts, other := facts.Target{Kind: "host", Host: "STS.eu-west-1.amazonaws.com."}, facts.Target{Kind: "host", Host: secrets}
	noRole := ledgerAccount + "eks.amazonaws.com/role-arn: null}}}\n"
	for _, a := range []asking{
		{"nobody asks, a role is enough", "", facts.Target{}, closed},
		{"no role", noRole, facts.Target{}, ""},
		{"no role, and the question names the endpoint: the nodes are admitted", noRole, sts, ""},
		{"a token for STS", noRole + token("ledger-5b8c9d7f64-c7m2p", "ledger", "sts.amazonaws.com"), facts.Target{}, closed},
		{"a token for something else", noRole + token("ledger-5b8c9d7f64-c7m2p", "ledger", "vault"), sts, ""},
		{"the global STS by annotation", ledgerAccount + "eks.amazonaws.com/sts-regional-endpoints: 'false'}}}\n", facts.Target{}, ""},
		{"an endpoint of a service that nobody is known to use", secretsEndpoint, facts.Target{}, ""},
		{"an endpoint of a service that the question names", secretsEndpoint, other, closed},
		{"no private DNS", stsEndpoint + "PrivateDnsEnabled: false}\n", sts, ""},
		{"the pods' group is admitted", "-- ec2/security-groups.yaml --\nSecurityGroups:\n- {GroupId: sg-0e50000000000000e, IpPermissions: [{IpProtocol: tcp, FromPort: 443, ToPort: 443, UserIdGroupPairs: [{GroupId: sg-0d20000000000000d}]}]}\n", sts, ""},
	} {
		a.run(t, "l4/vpc-endpoint-sg-blocks", "sts-endpoint-shut-to-branch-pods")
	}
}

func TestEndpointsBehindPolicies(t *testing.T) {
	const kept = "outage payments/payments"
	policy := func(egress string) string {
		return "-- kube/networkpolicies.yaml --\nitems:\n- {metadata: {name: payments, namespace: payments}, spec: {egress: [" + egress + "]}}\n"
	}
	const dns = "{to: [{namespaceSelector: {}}], ports: [{protocol: UDP, port: 53}]}, "
	noRole := paymentsAccount + "eks.amazonaws.com/role-arn: null}}}\n"
	for _, a := range []asking{
		{"nobody asks, a role is enough", "", facts.Target{}, kept},
		{"no role", noRole, facts.Target{Host: "sts.eu-west-1.amazonaws.com"}, ""},
		{"a token for STS", noRole + token("payments-6d4b8c7f95-fq6zn", "payments", "sts.amazonaws.com"), facts.Target{}, kept},
		{"no exception", policy(dns + "{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{protocol: TCP, port: 443}]}"), facts.Target{}, ""},
		{"one zone's subnet is the exception", policy(dns + "{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.10.0/24]}}], ports: [{protocol: TCP, port: 443}]}"), facts.Target{}, "degraded payments/payments"},
		{"no rule for 443 at all", policy(dns), facts.Target{}, kept},
		{"no names either: that comes first", policy("{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}"), facts.Target{}, ""},
		{"another policy lets it out", "-- kube/networkpolicies.yaml --\nitems:\n- {metadata: {name: more, namespace: payments}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}}\n", facts.Target{}, ""},
		{"an endpoint of another VPC", stsEndpoint + "VpcId: vpc-1}\n", facts.Target{}, ""},
		{"an endpoint that nobody is known to use", secretsEndpoint, facts.Target{}, ""},
		{"an endpoint that the question names", secretsEndpoint, facts.Target{Host: secrets}, kept},
		{"an endpoint by a name with a star", stsEndpoint + "ServiceName: com.amazonaws.eu-west-1.execute-api, DnsEntries: [{DnsName: '*.execute-api.eu-west-1.amazonaws.com'}]}\n", facts.Target{Host: "a1b2.execute-api.eu-west-1.amazonaws.com"}, kept},
	} {
		a.run(t, "l4/networkpolicy-default-deny-egress", "sts-endpoint-in-excepted-block")
	}
}

func TestAskedAddress(t *testing.T) {
	const closed, host = "outage sg-0db000000000000db", "shop-orders.c1a2b3d4e5f6.eu-west-1.rds.amazonaws.com"
	ask := func(host, address string, port int32) facts.Target {
		return facts.Target{Kind: "host", Host: host, Address: address, Port: port}
	}
	rule := func(r string) string {
		return "-- ec2/security-groups.yaml --\nSecurityGroups:\n- {GroupId: sg-0db000000000000db, IpPermissions: [" + r + "]}\n"
	}
	event := func(pod, message string) string {
		return "-- kube/events.yaml --\nitems:\n- {metadata: {name: x, namespace: shop}, involvedObject: {kind: Pod, namespace: shop, name: " + pod + "}, type: Warning, reason: BackOff, message: '" + message + "', lastTimestamp: '2026-01-15T08:59:00Z'}\n"
	}
	for _, a := range []asking{
		{"a host and its address", "", ask(host, "10.0.12.200", 3306), closed},
		{"no address", "", ask(host, "", 3306), ""},
		{"no port", "", ask(host, "10.0.12.200", 0), ""},
		{"nobody asks", "", facts.Target{}, ""},
		{"an address alone: nothing tells who calls, and nobody is admitted", "", ask("10.0.12.200", "", 3306), closed + ", by hand"},
		{"an address alone, and some pods are admitted", rule("{IpProtocol: tcp, FromPort: 3306, ToPort: 3306, IpRanges: [{CidrIp: 10.0.10.0/24}]}"), ask("10.0.12.200", "", 3306), ""},
		{"an address that an event of a pod names", event("cart-7f5c6b9d48-8vhpl", "dial tcp 10.0.12.200:3306: i/o timeout"), ask("10.0.12.200", "", 3306), closed},
		{"a longer address in the event", event("cart-7f5c6b9d48-8vhpl", "dial tcp 110.0.12.200:3306: i/o timeout"), ask("10.0.12.200", "", 3306), closed + ", by hand"},
		{"the pod that names it is admitted", event("cart-7f5c6b9d48-8vhpl", "dial tcp 10.0.12.200:3306: i/o timeout") + rule("{IpProtocol: tcp, FromPort: 3306, ToPort: 3306, IpRanges: [{CidrIp: 10.0.10.0/23}]}"), ask("10.0.12.200", "", 3306), ""},
		{"another name than any pod's", "", ask("warehouse.c1a2b3d4e5f6.eu-west-1.rds.amazonaws.com", "10.0.12.200", 3306), closed + ", by hand"},
		{"the nodes' group is admitted", rule("{IpProtocol: tcp, FromPort: 3306, ToPort: 3306, UserIdGroupPairs: [{GroupId: sg-0a10000000000000a}]}"), ask(host, "10.0.12.200", 3306), ""},
		{"an address outside the VPC", "", ask(host, "192.0.2.7", 3306), ""},
		{"the address of a node", "", ask("10.0.10.21", "", 3306), ""},
		{"nonsense", "", ask(host, "10.0.12.200.", 3306), ""},
	} {
		a.run(t, "l4/sg-missing-ingress-target", "database-knows-cluster-group-only")
	}
	// Where all pods are alike and none is admitted, it does not matter who calls.
	asking{"all pods are alike, none is admitted", "-- kube/endpointslices.yaml --\nitems:\n- {metadata: {name: orders-db-1, namespace: shop}, $patch: delete}\n", ask("10.0.11.200", "", 5432), "outage sg-0db0000000000000d, by hand"}.
		run(t, "l4/sg-missing-ingress-target", "sg-missing-ingress-database")
}

func TestAppBoundLocalhostBesideOthers(t *testing.T) {
	const base = "rollout-bound-to-loopback"
	pod := func(name, ready string) string {
		return "- {metadata: {name: " + name + ", namespace: shop}, status: {conditions: [{type: Ready, status: '" + ready + "'}, {type: ContainersReady, status: '" + ready + "'}]}}\n"
	}
	old := "-- kube/pods.yaml --\nitems:\n" + pod("reviews-55c8d6b79f-2cgvt", "False")
	variants{
		{"one of the old pods serves", base, old, "degraded shop/reviews"},
		{"none of the old pods serves", base, old + pod("reviews-55c8d6b79f-hw9sd", "False"), "outage shop/reviews"},
		{"a Service of the new release alone", base, "-- kube/services.yaml --\nitems:\n- {metadata: {name: canary, namespace: shop}, spec: {selector: {pod-template-hash: 68d5f9c7b4}, ports: [{port: 80, targetPort: 5000}]}}\n", "outage shop/reviews"},
		{"no Service, and pods of the same workload serve", base, "-- kube/services.yaml --\nitems:\n- {metadata: {name: reviews, namespace: shop}, $patch: delete}\n", "degraded shop/reviews"},
	}.run(t, "l4/app-bound-localhost")
}
