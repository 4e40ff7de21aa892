package l7

import (
	"strings"
	"testing"
)

// udpGroup is the target group of a UDP Service behind an NLB.
const udpGroup = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/k8s-k8gb-k8gbcore-c05e7d1b94/0d9c4be2a8f1735e"

func TestUDPHealthChecks(t *testing.T) {
	const id, shut = "l7/target-failed-health-checks elbv2/target-groups/" + udpGroup, "l7/target-timeout-blocked elbv2/target-groups/" + udpGroup
	const can = "where nothing can answer it"
	group := func(fields string) string {
		return "-- elbv2/target-groups.yaml --\nTargetGroups:\n- {TargetGroupArn: \"" + udpGroup + "\", " + fields + "}\n"
	}
	ports := func(list string) string {
		return "-- kube/services.yaml --\nitems:\n- {metadata: {name: k8gb-coredns, namespace: k8gb}, spec: {ports: [{name: udp-5353, port: 53, protocol: UDP, targetPort: 5353, nodePort: 31412}, " + list + "]}}\n"
	}
	// The nodes' group admits UDP alone: what the health check sends is dropped.
	noTCP := "-- ec2/security-groups.yaml --\nSecurityGroups:\n- GroupId: sg-0c10000000000000c\n  IpPermissions: [{IpProtocol: udp, FromPort: 31412, ToPort: 31412, UserIdGroupPairs: [{GroupId: sg-0b10000000000000b}]}]\n"
	allTCP := strings.ReplaceAll(noTCP, "udp, FromPort: 31412, ToPort: 31412", "tcp, FromPort: 1025, ToPort: 65535")
	ip := func(pod string) string {
		return group("TargetType: ip, Port: 5353") + health(udpGroup, pod, "5353", failed)
	}
	for _, x := range []variant{
		{name: "a node port", want: []string{id}, claim: can, manual: `patch service k8gb-coredns --type merge -p '{"spec":{"externalTrafficPolicy":"Local"}}'`},
		{name: "no rule for TCP: to open it would help nobody", overlay: noTCP, want: []string{id}, claim: can, manual: "externalTrafficPolicy"},
		{name: "a health check on another port that is closed", overlay: noTCP + group("HealthCheckPort: '31000'") + strings.ReplaceAll(health(udpGroup, "i-0a1000000000000a1", "31412", failed), `HealthCheckPort: "31412"`, `HealthCheckPort: "31000"`),
			want: []string{shut}, run: []string{"aws ec2 authorize-security-group-ingress --group-id sg-0c10000000000000c --protocol tcp --port 31000 --source-group sg-0b10000000000000b"}},
		{name: "one target is healthy, so something listens", overlay: health(udpGroup, "i-0a1000000000000a1", "31412", "{State: healthy}")},
		{name: "the same node port of TCP", overlay: ports("{name: tcp-5353, port: 53, protocol: TCP, targetPort: 5353, nodePort: 31412}"), want: []string{id}, claim: "the packets arrive", manual: "describe pod"},
		{name: "another TCP port of the Service", overlay: ports("{name: tcp, port: 5300, protocol: TCP, targetPort: 5300, nodePort: 31999}"), want: []string{id}, claim: can,
			manual: "kubectl -n k8gb annotate service k8gb-coredns service.beta.kubernetes.io/aws-load-balancer-healthcheck-port=31999 service.beta.kubernetes.io/aws-load-balancer-healthcheck-protocol=tcp --overwrite"},
		{name: "the port of the probe has a node port", overlay: ports("{name: health, port: 8181, protocol: TCP, targetPort: 8181, nodePort: 31999}"), want: []string{id}, claim: can,
			run: []string{"kubectl -n k8gb annotate services k8gb-coredns service.beta.kubernetes.io/aws-load-balancer-healthcheck-path=/ready service.beta.kubernetes.io/aws-load-balancer-healthcheck-port=31999 service.beta.kubernetes.io/aws-load-balancer-healthcheck-protocol=HTTP --overwrite"}},
		{name: "pods are targets: they answer their probe", overlay: allTCP + ip("10.0.10.161"), want: []string{id}, claim: "port 5353 of the pods of Service k8gb/k8gb-coredns is UDP alone, as far as they declare",
			run: []string{"kubectl -n k8gb annotate services k8gb-coredns service.beta.kubernetes.io/aws-load-balancer-healthcheck-path=/ready service.beta.kubernetes.io/aws-load-balancer-healthcheck-port=8181 service.beta.kubernetes.io/aws-load-balancer-healthcheck-protocol=HTTP --overwrite"}},
		{name: "pods are targets, and no rule for TCP: they may listen", overlay: noTCP + ip("10.0.10.161"), want: []string{shut},
			run: []string{"aws ec2 authorize-security-group-ingress --group-id sg-0c10000000000000c --protocol tcp --port 5353 --source-group sg-0b10000000000000b"}},
		{name: "a group of both protocols", overlay: group("Protocol: TCP_UDP"), want: []string{id}, claim: "the packets arrive", manual: "describe pod"},
		{name: "Services are not known", overlay: "deny: list services\n", want: []string{id}, claim: "the packets arrive"},
	} {
		x.overlay = "base: udp-nlb-checked-over-tcp\n" + x.overlay
		t.Run(x.name, x.check)
	}
}
