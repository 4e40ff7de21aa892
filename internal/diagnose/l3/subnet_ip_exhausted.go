package l3

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// SubnetIPExhausted recognises a subnet without addresses for the pods that
// wait for one.
var SubnetIPExhausted = &diagnose.Check{
	ID:    "l3/subnet-ip-exhausted",
	Title: "Subnet has no free addresses for pods",
	Doc: `Every pod, node, load balancer interface and EKS control-plane interface takes an address of a VPC subnet. When
the subnet has none left, EC2 refuses more (InsufficientFreeAddressesInSubnet), the VPC CNI backs off, and each new pod
on the nodes of that subnet stays in ContainerCreating.

Recognised by both sides together: pods without an address whose latest sandbox event says "failed to assign an IP
address to container" (or whose node reports IPAMDNoIPs), on a node of which every subnet that could give one has fewer
than 10 free addresses (16 with prefix delegation). With custom networking only the secondary interfaces' subnets count;
with subnet discovery also the subnets of the zone that are tagged kubernetes.io/role/cni=1. A full subnet that nobody
waits for is no fault.

Looks alike: a node that has used up its interfaces' slots (the subnet still has room); a subnet with free addresses but
no free /28 block (prefix delegation only); a plugin that cannot reach ipamd (another message); pods that wait for CPU
(they have no node yet).

Fix: give the zone another subnet. The CNI takes one that is tagged kubernetes.io/role/cni=1 from v1.18 on, if subnet
discovery is on and custom networking is off. Without a spare subnet the VPC needs a further range, usually of
100.64.0.0/10. Prefix delegation raises how many pods a node can hold later; it makes no addresses in a full subnet.
Restarting nodes or the CNI makes none either.`,
	Needs: []facts.Need{facts.Pods, facts.Nodes, facts.Events, facts.Subnets, facts.NetworkInterfaces},
	Wants: []facts.Need{facts.DaemonSets, facts.VPCs, facts.RouteTables},
	Sources: []string{
		"https://github.com/aws/amazon-vpc-cni-k8s/blob/master/README.md (ENABLE_SUBNET_DISCOVERY)",
		"https://github.com/aws/amazon-vpc-cni-k8s/blob/master/docs/troubleshooting.md",
		"https://docs.aws.amazon.com/eks/latest/best-practices/ip-opt.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html",
	},
	Run: subnetIPExhausted,
}

// An exhausted subnet, and who waits for its addresses.
type exhausted struct {
	subnet  ec2types.Subnet
	pods    []*corev1.Pod
	nodes   map[string]node
	others  map[string]bool // further full subnets of the same nodes
	message map[string]string
	need    int // pods that wait
	outage  bool
}

func subnetIPExhausted(v *facts.View) []diagnose.Finding {
	waiting := waitingPods(facts.Pods.In(v), facts.Nodes.In(v), facts.Events.In(v))
	settings := cniOf(facts.DaemonSets.In(v))
	settings.known = settings.known && facts.DaemonSets.Have(v)
	p := pool{
		nodes: nodesOf(facts.Nodes.In(v), facts.NetworkInterfaces.In(v)), subnets: byID(facts.Subnets.In(v)),
		cni: settings, tables: facts.RouteTables.In(v), tablesKnown: facts.RouteTables.Have(v), vpcs: facts.VPCs.In(v),
	}
	full := map[string]*exhausted{}
	for _, w := range waiting {
		p.charge(full, w, facts.Pods.In(v))
	}
	var findings []diagnose.Finding
	for _, id := range slices.Sorted(maps.Keys(full)) {
		findings = append(findings, full[id].finding(p))
	}
	return findings
}

// A wait is a pod that has a node and no address, and the message that says
// so.
type wait struct {
	pod     *corev1.Pod
	message string
}

// noAddress is the VPC CNI plugin's message when ipamd has no address to give.
const noAddress = "failed to assign an IP address to container"

// waitingPods returns the pods that wait for an address. The latest sandbox
// event counts: an earlier one may have had another cause.
func waitingPods(pods []corev1.Pod, nodes []corev1.Node, events []corev1.Event) []wait {
	latest := map[string]*corev1.Event{}
	noIPs := map[string]string{}
	for i := range events {
		e := &events[i]
		if e.Reason == "IPAMDNoIPs" && e.InvolvedObject.Kind == "Node" {
			noIPs[e.InvolvedObject.Name] = "IPAMDNoIPs: " + e.Message
		}
		if e.Reason != "FailedCreatePodSandBox" || e.InvolvedObject.Kind != "Pod" {
			continue
		}
		key := e.InvolvedObject.Namespace + "/" + e.InvolvedObject.Name
		if old := latest[key]; old == nil || !facts.LastSeen(e).Before(facts.LastSeen(old)) {
			latest[key] = e
		}
	}
	for _, n := range nodes {
		for _, c := range n.Status.Conditions {
			if c.Reason == "IPAMDNoIPs" && c.Status == corev1.ConditionFalse {
				noIPs[n.Name] = "IPAMDNoIPs: " + c.Message
			}
		}
	}
	var out []wait
	for i := range pods {
		p := &pods[i]
		if !needsAddress(p) {
			continue
		}
		e := latest[p.Namespace+"/"+p.Name]
		switch {
		case e != nil && e.InvolvedObject.UID != "" && p.UID != "" && e.InvolvedObject.UID != p.UID: // of a former pod with this name
		case e != nil && strings.Contains(e.Message, noAddress):
			out = append(out, wait{p, e.Message})
		case e == nil && noIPs[p.Spec.NodeName] != "":
			out = append(out, wait{p, noIPs[p.Spec.NodeName]})
		}
	}
	return out
}

// needsAddress reports whether a pod has a node and still no address of its
// own. Pods with a branch interface get theirs from another controller.
func needsAddress(p *corev1.Pod) bool {
	if p.Spec.NodeName == "" || p.Spec.HostNetwork || p.Status.PodIP != "" || p.DeletionTimestamp != nil ||
		p.Status.Phase != corev1.PodPending && p.Status.Phase != "" {
		return false
	}
	for _, c := range p.Spec.Containers {
		if _, ok := c.Resources.Limits["vpc.amazonaws.com/pod-eni"]; ok {
			return false
		}
	}
	return true
}

// finding reports one full subnet.
func (x *exhausted) finding(p pool) diagnose.Finding {
	id := facts.Val(x.subnet.SubnetId)
	var names []string
	affects := []facts.Ref{}
	for _, pod := range x.pods {
		names = append(names, pod.Namespace+"/"+pod.Name)
		affects = append(affects, podRef(pod))
	}
	for _, n := range slices.Sorted(maps.Keys(x.nodes)) {
		affects = append(affects, x.nodes[n].ref())
	}
	for _, o := range slices.Sorted(maps.Keys(x.others)) {
		affects = append(affects, subnetRef(o))
	}
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  subnetRef(id),
		Affects:  affects,
		Claim: fmt.Sprintf("Subnet %s (%s, %s) has %s left, and %s on %s for one: %s", id, facts.Val(x.subnet.CidrBlock), facts.Val(x.subnet.AvailabilityZone),
			addresses(x.subnet), waits(len(names)), diagnose.Count(len(x.nodes), "node"), diagnose.Some(names)),
		Evidence: x.evidence(),
		Remedies: p.remedies(x),
	}
	if x.outage {
		f.Severity = diagnose.Outage
	}
	return f
}

func (x *exhausted) evidence() []diagnose.Evidence {
	id := facts.Val(x.subnet.SubnetId)
	e := []diagnose.Evidence{{
		Fact: subnetRef(id).String(), Got: fmt.Sprintf("AvailableIpAddressCount is %d", facts.Val(x.subnet.AvailableIpAddressCount)), Want: fmt.Sprintf("at least %d", max(roomFloor, x.need)),
		Command: "aws ec2 describe-subnets --subnet-ids " + id + " --query 'Subnets[].[SubnetId,AvailableIpAddressCount]' --output text",
	}}
	told := map[string]bool{}
	for _, pod := range x.pods {
		message := x.message[pod.Namespace+"/"+pod.Name]
		if told[message] || len(told) == 3 { // most say the same
			continue
		}
		told[message] = true
		e = append(e, diagnose.Evidence{
			Fact: podRef(pod).String(), Got: message, Want: "an address in status.podIP",
			Command: fmt.Sprintf("kubectl -n %s get events --field-selector involvedObject.name=%s,reason=FailedCreatePodSandBox", pod.Namespace, pod.Name),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(x.nodes))[:min(3, len(x.nodes))] {
		n := x.nodes[name]
		var in []string
		for _, i := range n.interfaces {
			in = append(in, facts.Val(i.NetworkInterfaceId)+" in "+facts.Val(i.SubnetId))
		}
		e = append(e, diagnose.Evidence{
			Fact: n.ref().String(), Got: "its interfaces: " + strings.Join(in, ", "), Want: "an interface in a subnet with free addresses",
			Command: fmt.Sprintf("aws ec2 describe-network-interfaces --filters Name=private-ip-address,Values=%s --query 'NetworkInterfaces[].[NetworkInterfaceId,SubnetId]' --output text", facts.Val(n.interfaces[0].PrivateIpAddress)),
		})
	}
	return e
}

func waits(n int) string {
	if n == 1 {
		return "1 pod waits"
	}
	return fmt.Sprintf("%d pods wait", n)
}

func addresses(s ec2types.Subnet) string {
	switch n := facts.Val(s.AvailableIpAddressCount); n {
	case 0:
		return "no addresses"
	case 1:
		return "1 address"
	default:
		return fmt.Sprintf("%d addresses", n)
	}
}
