package l7

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

const (
	web      = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/k8s-shop-web-6d0ecf831e/73e2d6bc24d8a067"
	checkout = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/k8s-shop-checkout-a1c5b0f2d9/943f017f100becff"
)

// A variant is the healthy cluster with a few changes, and what the checks
// say of it.
type variant struct {
	name    string
	overlay string   // files of a scenario
	want    []string // keys of the findings
	claim   string   // part of the first one's claim
	run     []string // commands of the first remedy that the bot performs
	manual  string   // part of the first remedy's printed commands, if it performs none
}

func (x variant) check(t *testing.T) {
	w, err := world.Parse("variant", []byte("a variant\n"+x.overlay))
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	r := run(s)
	if diff := cmp.Diff(x.want, keys(r)); diff != "" {
		t.Fatal(diff)
	}
	if len(r.Findings) == 0 {
		return
	}
	f := r.Findings[0]
	if !strings.Contains(f.Claim, x.claim) {
		t.Errorf("claim %q does not say %q", f.Claim, x.claim)
	}
	if diff := cmp.Diff(x.run, performed(f)); diff != "" {
		t.Error(diff)
	}
	if x.manual != "" && !strings.Contains(strings.Join(f.Remedies[0].Manual, "\n"), x.manual) {
		t.Errorf("printed %q, want %q in it", f.Remedies[0].Manual, x.manual)
	}
}

func performed(f diagnose.Finding) []string {
	var out []string
	if len(f.Remedies) > 0 {
		for _, a := range f.Remedies[0].Actions {
			out = append(out, a.Command())
		}
	}
	return out
}

// health writes the target health of one group with one target.
func health(arn, id, port, state string) string {
	return "-- elbv2/target-health.yaml --\nTargetHealth:\n- TargetGroupArn: " + arn +
		"\n  TargetHealthDescriptions:\n  - {Target: {Id: \"" + id + "\", Port: " + port + ", AvailabilityZone: eu-west-1a}, HealthCheckPort: \"" + port + "\", TargetHealth: " + state + "}\n"
}

const (
	mismatch = `{State: unhealthy, Reason: Target.ResponseCodeMismatch, Description: "Health checks failed with these codes: [404]"}`
	timedOut = `{State: unhealthy, Reason: Target.Timeout, Description: Request timed out}`
	failed   = `{State: unhealthy, Reason: Target.FailedHealthChecks, Description: Health checks failed}`
)

const statusPath = "-- elbv2/target-groups.yaml --\nTargetGroups:\n- {TargetGroupArn: " + web + ", HealthCheckPath: /status}\n"

func TestResponseCodes(t *testing.T) {
	const id = "l7/target-response-code-mismatch elbv2/target-groups/" + web
	annotate := []string{"kubectl -n shop annotate services web alb.ingress.kubernetes.io/healthcheck-path=/healthz --overwrite"}
	for _, x := range []variant{
		{name: "no binding is readable", overlay: "deny: list targetgroupbindings\n" + statusPath + health(web, "10.0.10.101", "8080", mismatch),
			want: []string{id}, claim: "gets 404 where 200", run: annotate},
		{name: "nothing of Kubernetes is readable", overlay: "deny: list targetgroupbindings\ndeny: list services\ndeny: list pods\ndeny: list ingresses\ndeny: list nodes\n" + statusPath + health(web, "10.0.10.101", "8080", mismatch),
			want: []string{id}, manual: "modify-target-group"},
		{name: "redirect", overlay: statusPath + health(web, "10.0.10.101", "8080", strings.ReplaceAll(mismatch, "404", "301,302")),
			want: []string{id}, claim: "gets 301 or 302 where 200 counts as healthy; the path redirects", run: annotate},
		{name: "login", overlay: statusPath + health(web, "10.0.10.101", "8080", strings.ReplaceAll(mismatch, "404", "401")),
			want: []string{id}, claim: "asks for credentials", run: annotate},
		{name: "error of the application", overlay: statusPath + health(web, "10.0.10.101", "8080", strings.ReplaceAll(mismatch, "404", "500")),
			want: []string{id}, claim: "the application itself fails", manual: "kubectl -n shop logs web-66b8fd7c9d-4dkzt"},
		{name: "the probe asks for the same path", overlay: health(web, "10.0.10.101", "8080", mismatch),
			want: []string{id}, manual: "healthcheck-path=PATH"},
		{name: "the annotation is set already", overlay: statusPath + "-- kube/services.yaml --\nitems:\n- {metadata: {name: web, namespace: shop, annotations: {alb.ingress.kubernetes.io/healthcheck-path: /healthz}}}\n" + health(web, "10.0.10.101", "8080", mismatch),
			want: []string{id}, manual: "logs deployment/aws-load-balancer-controller"},
		{name: "a readiness gate waits for the very check", overlay: statusPath + podStatus("False", "True") + health(web, "10.0.10.101", "8080", mismatch),
			want: []string{id}, run: annotate},
		{name: "the containers are not ready", overlay: statusPath + podStatus("False", "False") + health(web, "10.0.10.101", "8080", mismatch),
			want: []string{id}, manual: "healthcheck-path=PATH"},
		{name: "the probe has a port of its own", overlay: statusPath + podProbes("{httpGet: {path: /ready, port: 9000}}") + health(web, "10.0.10.101", "8080", mismatch),
			want: []string{id}, run: []string{"kubectl -n shop annotate services web alb.ingress.kubernetes.io/healthcheck-path=/ready alb.ingress.kubernetes.io/healthcheck-port=9000 --overwrite"}},
		{name: "the probe sends a header that the check cannot", overlay: statusPath + podProbes("{httpGet: {path: /ready, port: http, httpHeaders: [{name: Host, value: shop}]}}") + health(web, "10.0.10.101", "8080", mismatch),
			want: []string{id}, manual: "healthcheck-path=PATH"},
		{name: "only a TCP probe", overlay: statusPath + podProbes("{tcpSocket: {port: http}}") + health(web, "10.0.10.101", "8080", mismatch),
			want: []string{id}, manual: "healthcheck-path=PATH"},
		{name: "no load balancer uses the group", overlay: "-- elbv2/target-groups.yaml --\nTargetGroups:\n- {TargetGroupArn: " + web + ", LoadBalancerArns: []}\n" + health(web, "10.0.10.101", "8080", mismatch)},
		{name: "an NLB follows the Service's own annotations", overlay: "-- elbv2/target-groups.yaml --\nTargetGroups:\n- {TargetGroupArn: " + web + ", Protocol: TCP, HealthCheckPath: /status, Matcher: {HttpCode: 200-399}, LoadBalancerArns: [\"arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/edge/0011223344556677\"]}\n" + health(web, "10.0.10.101", "8080", mismatch),
			want: []string{id}, claim: "(NLB edge)", run: []string{"kubectl -n shop annotate services web service.beta.kubernetes.io/aws-load-balancer-healthcheck-path=/healthz --overwrite"}},
		{name: "gRPC", overlay: "-- elbv2/target-groups.yaml --\nTargetGroups:\n- {TargetGroupArn: " + web + ", ProtocolVersion: GRPC, HealthCheckPath: /AWS.ALB/healthcheck, Matcher: {HttpCode: null, GrpcCode: \"0\"}}\n" + health(web, "10.0.10.101", "8080", strings.ReplaceAll(mismatch, "404", "12")),
			want: []string{id}, claim: "gets 12 where gRPC status 0 counts", manual: "logs"},
		{name: "a group that nobody keeps", overlay: statusPath + "- {TargetGroupArn: " + web + ", TargetGroupName: legacy}\n-- kube/targetgroupbindings.yaml --\nitems:\n- {$patch: delete, metadata: {name: k8s-shop-web-6d0ecf831e, namespace: shop}}\n" + health(web, "10.0.10.101", "8080", mismatch),
			want: []string{id}, manual: "aws elbv2 modify-target-group --target-group-arn " + web + " --health-check-path /healthz"},
		{name: "other people's machines", overlay: statusPath + "- {TargetGroupArn: " + web + ", TargetGroupName: legacy}\n-- kube/targetgroupbindings.yaml --\nitems:\n- {$patch: delete, metadata: {name: k8s-shop-web-6d0ecf831e, namespace: shop}}\n" + health(web, "10.0.77.7", "8080", mismatch)},
		{name: "perhaps other people's: pods are not readable", overlay: "deny: list pods\n" + statusPath + "- {TargetGroupArn: " + web + ", TargetGroupName: legacy}\n-- kube/targetgroupbindings.yaml --\nitems:\n- {$patch: delete, metadata: {name: k8s-shop-web-6d0ecf831e, namespace: shop}}\n" + health(web, "10.0.77.7", "8080", mismatch), want: []string{id}},
	} {
		t.Run(x.name, x.check)
	}
}

// podStatus sets the conditions of web's first pod.
func podStatus(ready, containers string) string {
	return "-- kube/pods.yaml --\nitems:\n- metadata: {name: web-66b8fd7c9d-4dkzt, namespace: shop}\n  status: {conditions: [{type: Ready, status: \"" +
		ready + "\"}, {type: ContainersReady, status: \"" + containers + "\"}]}\n"
}

// podProbes sets the readiness probe of web's first pod.
func podProbes(probe string) string {
	return "-- kube/pods.yaml --\nitems:\n- metadata: {name: web-66b8fd7c9d-4dkzt, namespace: shop}\n  spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}], readinessProbe: " + probe + "}]}\n"
}

// nlb is a network load balancer with instance targets on node port 31080
// beside the healthy ALB; the nodes' group does not admit it.
func nlb(policy, groups, first, second string) string {
	lb := "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/edge/0011223344556677"
	tg := edge
	return `-- elbv2/load-balancers.yaml --
LoadBalancers:
- LoadBalancerArn: ` + lb + `
  LoadBalancerName: edge
  Type: network
  Scheme: internal
  VpcId: vpc-0a1b2c3d4e5f60001
  AvailabilityZones: [{ZoneName: eu-west-1a, SubnetId: subnet-0a20000000000000a}, {ZoneName: eu-west-1b, SubnetId: subnet-0a20000000000000b}]
  SecurityGroups: ` + groups + `
-- elbv2/target-groups.yaml --
TargetGroups:
- {TargetGroupArn: "` + tg + `", TargetGroupName: edge, Protocol: TCP, Port: 31080, TargetType: instance, HealthCheckProtocol: TCP, HealthCheckPort: traffic-port, LoadBalancerArns: ["` + lb + `"]}
-- kube/services.yaml --
items:
- metadata: {name: edge, namespace: shop}
  spec: {type: LoadBalancer, externalTrafficPolicy: ` + policy + `, selector: {app: web}, ports: [{name: http, port: 80, nodePort: 31080, targetPort: http}]}
-- elbv2/target-health.yaml --
TargetHealth:
- TargetGroupArn: ` + tg + `
  TargetHealthDescriptions:
  - {Target: {Id: i-0a1000000000000a1, Port: 31080}, HealthCheckPort: "31080", TargetHealth: ` + first + `}
  - {Target: {Id: i-0c1000000000000c1, Port: 31080}, HealthCheckPort: "31080", TargetHealth: ` + second + `}
`
}

const edge = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/edge/8899aabbccddeeff"

func TestPaths(t *testing.T) {
	const blocked = "l7/target-timeout-blocked elbv2/target-groups/"
	const open = "-- ec2/security-groups.yaml --\nSecurityGroups:\n- GroupId: sg-0c10000000000000c\n  IpPermissions:\n  - {IpProtocol: tcp, FromPort: 1025, ToPort: 65535, IpRanges: [{CidrIp: 10.0.0.0/16}], Ipv6Ranges: [{CidrIpv6: \"2001:db8::/32\"}]}\n"
	for _, x := range []variant{
		{name: "an NLB without groups is admitted by its subnet", overlay: nlb("Cluster", "[]", failed, failed),
			want: []string{blocked + edge}, claim: "no ingress rule of sg-0c10000000000000c admits tcp 31080 from 10.0.10.0",
			run: []string{
				"aws ec2 authorize-security-group-ingress --group-id sg-0c10000000000000c --protocol tcp --port 31080 --cidr 10.0.10.0/24",
				"aws ec2 authorize-security-group-ingress --group-id sg-0c10000000000000c --protocol tcp --port 31080 --cidr 10.0.11.0/24",
			}},
		{name: "an NLB with a group is admitted by it", overlay: nlb("Cluster", "[sg-0d10000000000000d]", failed, failed),
			want: []string{blocked + edge},
			run:  []string{"aws ec2 authorize-security-group-ingress --group-id sg-0c10000000000000c --protocol tcp --port 31080 --source-group sg-0d10000000000000d"}},
		{name: "an NLB whose packets arrive is refused", overlay: open + nlb("Cluster", "[]", failed, failed),
			want: []string{"l7/target-failed-health-checks elbv2/target-groups/" + edge}, claim: "2 of 2 targets of edge (NLB edge) fail the TCP health check on port 31080: the packets arrive"},
		{name: "a node without a pod fails by design", overlay: open + nlb("Local", "[]", "{State: healthy}", failed)},
		{name: "with policy Cluster it does not", overlay: open + nlb("Cluster", "[]", "{State: healthy}", failed),
			want: []string{"l7/target-failed-health-checks elbv2/target-groups/" + edge}, claim: "1 of 2 targets"},
		{name: "a node with a pod fails for real", overlay: open + nlb("Local", "[]", failed, "{State: healthy}"),
			want: []string{"l7/target-failed-health-checks elbv2/target-groups/" + edge}, claim: "1 of 2 targets"},
		{name: "egress of the load balancer", overlay: "-- ec2/security-groups.yaml --\nSecurityGroups:\n- {GroupId: sg-0f10000000000000f, IpPermissionsEgress: []}\n- {GroupId: sg-0b10000000000000b, IpPermissionsEgress: [{IpProtocol: tcp, FromPort: 443, ToPort: 443, IpRanges: [{CidrIp: 0.0.0.0/0}]}]}\n" + health(web, "10.0.10.101", "8080", timedOut),
			want: []string{blocked + web}, claim: "no egress rule of sg-0f10000000000000f, sg-0b10000000000000b lets tcp 8080 out",
			manual: "aws ec2 authorize-security-group-egress --group-id sg-0b10000000000000b --protocol tcp --port 8080 --source-group sg-0c10000000000000c"},
		{name: "a rule by prefix list is not blamed", overlay: "-- ec2/security-groups.yaml --\nSecurityGroups:\n- GroupId: sg-0c10000000000000c\n  IpPermissions: [{IpProtocol: tcp, FromPort: 0, ToPort: 65535, PrefixListIds: [{PrefixListId: pl-1}]}]\n" + health(web, "10.0.10.101", "8080", timedOut),
			want: []string{blocked + web}, claim: "nothing that could be read drops them (not known: sg-0c10000000000000c: tcp 0-65535 with prefix list pl-1", manual: "top pod"},
		{name: "ACLs that could not be read are named", overlay: "deny: ec2:DescribeNetworkAcls\n" + health(web, "10.0.10.101", "8080", timedOut),
			want: []string{blocked + web}, claim: "not known: network ACLs", manual: "top pod"},
		{name: "a target whose interface is not known", overlay: health(web, "10.0.99.99", "8080", timedOut),
			want: []string{blocked + web}, claim: "could not be followed", manual: "top pod"},
		{name: "IPv6 within a delegated prefix", overlay: v6(`[]`) + health(web, "2001:db8:10::abcd", "8080", timedOut),
			want: []string{blocked + web}, claim: "no ingress rule of sg-0c10000000000000c admits tcp 8080 from 2001:db8::24",
			run: []string{"aws ec2 authorize-security-group-ingress --group-id sg-0c10000000000000c --protocol tcp --port 8080 --source-group sg-0b10000000000000b"}},
		{name: "IPv6 that is admitted", overlay: v6(`[{IpProtocol: tcp, FromPort: 8080, ToPort: 8080, Ipv6Ranges: [{CidrIpv6: "2001:db8::/64"}]}]`) + health(web, "2001:db8:10::abcd", "8080", timedOut),
			want: []string{blocked + web}, claim: "the application takes longer"},
	} {
		t.Run(x.name, x.check)
	}
}

// v6 gives one of the load balancer's interfaces and one node's an IPv6
// address, and the nodes' group the ingress rules.
func v6(rules string) string {
	return `-- ec2/security-groups.yaml --
SecurityGroups:
- {GroupId: sg-0c10000000000000c, IpPermissions: ` + rules + `}
- {GroupId: sg-0b10000000000000b, IpPermissionsEgress: [{IpProtocol: "-1", Ipv6Ranges: [{CidrIpv6: "::/0"}]}]}
-- ec2/network-acls.yaml --
NetworkAcls:
- NetworkAclId: acl-0a1b2c3d4e5f60005
  Entries:
  - {RuleNumber: 101, Protocol: "-1", RuleAction: allow, Egress: false, Ipv6CidrBlock: "::/0"}
  - {RuleNumber: 101, Protocol: "-1", RuleAction: allow, Egress: true, Ipv6CidrBlock: "::/0"}
-- ec2/network-interfaces.yaml --
NetworkInterfaces:
- {NetworkInterfaceId: eni-0b10000000000000a, Ipv6Addresses: [{Ipv6Address: "2001:db8::24"}]}
- {NetworkInterfaceId: eni-0a1100000000000a1, Ipv6Prefixes: [{Ipv6Prefix: "2001:db8:10::/80"}]}
-- elbv2/load-balancers.yaml --
LoadBalancers:
- {LoadBalancerArn: "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/k8s-shop-shop-4c1d7ab3e2/50dc6c495c0c9188", AvailabilityZones: [{ZoneName: eu-west-1a, SubnetId: subnet-0a10000000000000a}]}
-- elbv2/target-groups.yaml --
TargetGroups:
- {TargetGroupArn: "` + web + `", IpAddressType: ipv6}
`
}

func TestEmptyGroups(t *testing.T) {
	const id = "l7/tg-empty-no-endpoints elbv2/target-groups/" + web
	const none = "-- elbv2/target-health.yaml --\nTargetHealth:\n- {TargetGroupArn: \"" + web + "\", TargetHealthDescriptions: []}\n"
	const slice = "-- kube/endpointslices.yaml --\nitems:\n- {metadata: {name: web-m6c4x, namespace: shop}, endpoints: []}\n"
	for _, x := range []variant{
		{name: "no endpoints", overlay: none + slice, want: []string{id}, claim: "Service shop/web has no ready endpoints"},
		{name: "endpoints are ready: the controller has not come round", overlay: none},
		{name: "draining only", overlay: slice + health(web, "10.0.10.101", "8080", "{State: draining, Reason: Target.DeregistrationInProgress}"), want: []string{id}},
		{name: "one of two workloads still asks for pods", overlay: none + slice + "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: web, namespace: shop}, spec: {replicas: 0}}\n- {metadata: {name: web-blue, namespace: shop}, spec: {replicas: 1, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: []}}}}\n", want: []string{id}},
		{name: "a StatefulSet scaled to zero", overlay: none + slice + "-- kube/deployments.yaml --\nitems:\n- {$patch: delete, metadata: {name: web, namespace: shop}}\n-- kube/statefulsets.yaml --\nitems:\n- {metadata: {name: web, namespace: shop}, spec: {serviceName: web, replicas: 0, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: []}}}}\n"},
	} {
		t.Run(x.name, x.check)
	}
}

// Every declared fact is read in some scenario, and none is read undeclared:
// a check that did so would panic and be unknown.
func TestNeedsAreRead(t *testing.T) {
	_, s := snapshot(t, "target-timeout-sg")
	for _, res := range diagnose.Evaluate(Checks(), s) {
		for _, need := range append(append([]facts.Need{}, res.Check.Needs...), res.Check.Wants...) {
			if !res.Read[need.Kind()] && need.Kind() != facts.StatefulSets.Kind() && res.Check.ID != "l7/tg-empty-no-endpoints" {
				t.Errorf("%s declares %s and does not read it", res.Check.ID, need.Kind())
			}
		}
		for _, need := range res.Check.Needs {
			if got := diagnose.Evaluate([]*diagnose.Check{res.Check}, s.Without(need.Kind()))[0].Outcome; got != diagnose.Unknown {
				t.Errorf("%s without %s is %s", res.Check.ID, need.Kind(), got)
			}
		}
	}
}
