package world

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// onPath are the kinds that decide whether a health check succeeds.
var onPath = []facts.Kind{groupKind, aclKind, policyKind, interfaceKind, targetGroupKind, healthKind, podKind, serviceKind, daemonSetKind, "kube/namespaces", "eks/addons"}

// settleHealth gives each target the health that a load balancer would see
// now, where that differs from what it would have seen before the change. A
// target whose recorded health has another reason keeps it.
func (w *World) settleHealth(touched []touch) {
	if len(of(touched, onPath...)) == 0 {
		return
	}
	before := w.before(touched)
	then, now := before.network(), w.network()
	for _, health := range w.all(healthKind) {
		arn := text(health, "TargetGroupArn")
		group, err := w.get(targetGroupKind, arn)
		if sort := text(group, "TargetType"); err != nil || sort != "ip" && sort != "instance" {
			continue
		}
		oldGroup, err := before.get(targetGroupKind, arn)
		if err != nil {
			oldGroup = group
		}
		targets := []any{}
		for _, d := range list(health, "TargetHealthDescriptions") {
			if text(d, "TargetHealth", "State") == "initial" {
				d["TargetHealth"] = w.verdict(group, d, now)
			} else if v := w.verdict(group, d, now); string(encode(v)) != string(encode(before.verdict(oldGroup, d, then))) {
				d["TargetHealth"] = v
			}
			targets = append(targets, d)
		}
		health["TargetHealthDescriptions"] = targets
		w.write(healthKind, decode(encode(health)))
	}
}

// before is the world without the changes of touched.
func (w *World) before(touched []touch) *World {
	b := &World{Scenario: w.Scenario, docs: map[facts.Kind]map[string]entry{}, now: w.now}
	maps.Copy(b.docs, w.docs)
	cloned := map[facts.Kind]bool{}
	for _, t := range slices.Backward(touched) { // the first touch knows the oldest state
		if !cloned[t.kind] {
			b.docs[t.kind], cloned[t.kind] = maps.Clone(b.docs[t.kind]), true
		}
		if t.old == nil {
			delete(b.docs[t.kind], t.id)
		} else {
			b.docs[t.kind][t.id] = entry{raw: t.old}
		}
	}
	return b
}

// A network is what stands between load balancers and pods.
type network struct {
	reach.Network
	interfaces []ec2types.NetworkInterface
	holders    reach.Holders
	pods       map[string]*corev1.Pod // by address
}

func (w *World) network() *network {
	n := &network{interfaces: decodeAll[ec2types.NetworkInterface](w, interfaceKind), pods: map[string]*corev1.Pod{}}
	n.holders = reach.HoldersOf(n.interfaces)
	n.Groups = reach.GroupsOf(decodeAll[ec2types.SecurityGroup](w, groupKind))
	n.ACLs = decodeAll[ec2types.NetworkAcl](w, aclKind)
	n.Namespaces = decodeAll[corev1.Namespace](w, "kube/namespaces")
	if reach.PolicyEngine(decodeAll[appsv1.DaemonSet](w, daemonSetKind), decodeAll[ekstypes.Addon](w, "eks/addons")) != "" {
		n.Policies = decodeAll[networkingv1.NetworkPolicy](w, policyKind)
	}
	for _, p := range decodeAll[corev1.Pod](w, podKind) {
		if p.Status.PodIP != "" && !p.Spec.HostNetwork {
			n.pods[p.Status.PodIP] = &p
		}
	}
	return n
}

func decodeAll[T any](w *World, kind facts.Kind) []T {
	var out []T
	for _, d := range w.all(kind) {
		if v, err := Decode[T](d); err == nil {
			out = append(out, v)
		}
	}
	return out
}

// verdict is the TargetHealth that a group's health check of a target gives.
func (w *World) verdict(group, target Doc, n *network) Doc {
	port := number(target, 0, "Target", "Port")
	if p, err := strconv.Atoi(text(group, "HealthCheckPort")); err == nil {
		port = p
	}
	if text(group, "TargetType") == "instance" {
		return w.nodeVerdict(group, target, port, n)
	}
	pod := n.pods[text(target, "Target", "Id")]
	switch {
	case pod == nil:
		return unhealthy("Target.Timeout", "Request timed out")
	case !w.connects(group, n.host(pod), port, n):
		return unhealthy("Target.Timeout", "Request timed out")
	case !reach.Ready(pod), !listens(pod, int32(port)):
		return unhealthy("Target.FailedHealthChecks", "Health checks failed")
	}
	return w.answer(group, w.app(pod.Namespace, pod.Labels))
}

// listens reports whether a process of a pod is taken to listen on a port: it
// is declared, or none is.
func listens(pod *corev1.Pod, port int32) bool {
	declared := false
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.ContainerPort == port {
				return true
			}
			declared = true
		}
	}
	return !declared
}

// host is where a pod receives.
func (n *network) host(pod *corev1.Pod) reach.Host {
	to := reach.Host{Pod: pod}
	to.IP, _ = netip.ParseAddr(pod.Status.PodIP)
	if eni := n.holders.Holder(to.IP); eni != nil {
		to.Groups, to.Subnet = reach.GroupIDs(eni), *cmp.Or(eni.SubnetId, new(string))
	}
	return to
}

// connects reports whether the group's load balancers reach a host's port
// from each of their interfaces.
func (w *World) connects(group Doc, to reach.Host, port int, n *network) bool {
	arns, _ := group["LoadBalancerArns"].([]any)
	for _, a := range arns {
		arn, _ := a.(string)
		for _, from := range n.balancer(arn, to.IP.Is6()) {
			if _, stopped := reach.Stopped(n.Connect(from, to, "tcp", int32(port))); stopped {
				return false
			}
		}
	}
	return true
}

// balancer is where a load balancer connects from: its interfaces, which EC2
// describes as "ELB app/NAME/ID". To IPv6 it connects from IPv6.
func (n *network) balancer(arn string, six bool) []reach.Host {
	_, name, _ := strings.Cut(arn, ":loadbalancer/")
	var out []reach.Host
	for i := range n.interfaces {
		eni := &n.interfaces[i]
		if name == "" || eni.Description == nil || *eni.Description != "ELB "+name || eni.PrivateIpAddress == nil || eni.SubnetId == nil {
			continue
		}
		ip := *eni.PrivateIpAddress
		if six && len(eni.Ipv6Addresses) > 0 && eni.Ipv6Addresses[0].Ipv6Address != nil {
			ip = *eni.Ipv6Addresses[0].Ipv6Address
		}
		h := reach.Host{Subnet: *eni.SubnetId}
		h.IP, _ = netip.ParseAddr(ip)
		h.Groups = reach.GroupIDs(eni)
		out = append(out, h)
	}
	return out
}

// answer is what an app's response means to a group's health check.
func (w *World) answer(group Doc, app App) Doc {
	timeout := time.Duration(number(group, 5, "HealthCheckTimeoutSeconds")) * time.Second
	delay, _ := time.ParseDuration(cmp.Or(app.Delay, "0s"))
	path, _, _ := strings.Cut(text(group, "HealthCheckPath"), "?")
	code := 200
	if len(app.Paths) > 0 {
		code = cmp.Or(app.Paths[cmp.Or(path, "/")], 404)
	}
	protocol := text(group, "HealthCheckProtocol")
	switch {
	case app.Broken:
		return unhealthy("Target.FailedHealthChecks", "Health checks failed")
	case delay >= timeout:
		return unhealthy("Target.Timeout", "Request timed out")
	case strings.HasPrefix(protocol, "HTTP") && !matches(cmp.Or(text(group, "Matcher", "HttpCode"), "200"), code):
		return unhealthy("Target.ResponseCodeMismatch", fmt.Sprintf("Health checks failed with these codes: [%d]", code))
	}
	return Doc{"State": "healthy"}
}

func unhealthy(reason, description string) Doc {
	return Doc{"State": "unhealthy", "Reason": reason, "Description": description}
}

// matches reports whether a status code is in a matcher such as "200,301" or
// "200-399".
func matches(matcher string, code int) bool {
	for _, part := range strings.Split(matcher, ",") {
		lo, hi, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.Atoi(lo)
		to := from
		if isRange {
			to, _ = strconv.Atoi(hi)
		}
		if err == nil && from <= code && code <= to {
			return true
		}
	}
	return false
}

// app is the App that Truth tells of pods with these labels; the zero App
// answers everything with 200.
func (w *World) app(namespace string, l map[string]string) App {
	for _, a := range w.Truth.Apps {
		if a.Namespace == namespace && within(l, a.Labels) {
			return a
		}
	}
	return App{}
}

func (w *World) appOf(pod Doc) App {
	return w.app(text(pod, "metadata", "namespace"), labels(pod, "metadata", "labels"))
}
