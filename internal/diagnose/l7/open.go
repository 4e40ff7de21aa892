package l7

import (
	"fmt"
	"slices"
	"strconv"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// names are the NetworkPolicies, as namespace/name, that there are or that
// this report proposes.
type names map[string]bool

// free returns name, or name with a number, so that no policy has it yet.
func (n names) free(namespace, name string) string {
	got := name
	for i := 2; n[namespace+"/"+got]; i++ {
		got = name + "-" + strconv.Itoa(i)
	}
	n[namespace+"/"+got] = true
	return got
}

// open returns the remedies that remove obstacles: first one that the bot can
// perform as a whole, then what is for a person.
func (p *paths) open(g group, stops []obstacle, taken names) []remedy.Remedy {
	run := remedy.Remedy{
		Title: fmt.Sprintf("Let the load balancer reach port %d of the targets of %s", stops[0].port, g.name),
		Why:   "It admits the load balancer alone, to the ports that it uses; nothing is taken away.",
		Risk:  remedy.Safe,
	}
	manual := remedy.Remedy{
		Title: "Open the way by hand",
		Why:   "Egress rules and network ACLs carry other traffic too; check them before the change.",
	}
	policies := map[string]bool{}
	for _, o := range stops {
		switch {
		case o.Layer == securityGroup && !o.egress():
			run.Actions = append(run.Actions, p.admit(g, o)...)
		case o.Layer == securityGroup:
			manual.Manual = append(manual.Manual, fmt.Sprintf("aws ec2 authorize-security-group-egress --group-id %s --protocol tcp --port %d --source-group %s", p.groupOf(o.from), o.port, p.ownerOf(o.to)))
		case o.Layer == networkACL:
			manual.Manual = append(manual.Manual, p.aclEntry(o, len(manual.Manual)))
		case o.to.Pod != nil && !policies[o.to.Pod.Namespace]:
			policies[o.to.Pod.Namespace] = true
			if a, ok := p.allowPolicy(g, o, taken); ok {
				run.Actions = append(run.Actions, a)
			}
		}
	}
	run.Actions = slices.CompactFunc(run.Actions, func(a, b remedy.Action) bool { return a.Command() == b.Command() })
	var out []remedy.Remedy
	if len(run.Actions) > 0 {
		out = append(out, run)
	}
	if len(manual.Manual) > 0 {
		out = append(out, manual)
	}
	return out
}

// admit is the ingress rule that lets the load balancer in: on the health
// check's port, and on the traffic's where that is another and closed too.
func (p *paths) admit(g group, o obstacle) []remedy.Action {
	rule := remedy.Rule{Group: p.ownerOf(o.to), Protocol: "tcp", FromPort: o.port, ToPort: o.port, FromGroup: p.groupOf(o.from)}
	if rule.FromGroup == "" {
		rule.FromCIDR = p.cidr(o.from.Subnet, o.from.IP.Is6())
	}
	if rule.Group == "" || rule.FromGroup == "" && rule.FromCIDR == "" {
		return nil
	}
	actions := []remedy.Action{remedy.AuthorizeIngress{Rule: rule}}
	traffic := g.targetPort()
	if tcp(g) && traffic != 0 && traffic != o.port && p.net.Groups.Admits(o.to.Groups, o.from.Endpoint, "tcp", traffic).Blocked() {
		rule.FromPort, rule.ToPort = traffic, traffic
		actions = append(actions, remedy.AuthorizeIngress{Rule: rule})
	}
	return actions
}

// tcp reports whether the group's traffic is TCP.
func tcp(g group) bool { return g.tg.Protocol != "UDP" && g.tg.Protocol != "QUIC" }

// allowPolicy is a policy of its own that admits the load balancer's subnets
// to the target's port. Policies add up, so no other one is changed.
func (p *paths) allowPolicy(g group, o obstacle, taken names) (remedy.CreateNetworkPolicy, bool) {
	var peers []networkingv1.NetworkPolicyPeer
	for _, arn := range g.tg.LoadBalancerArns {
		for _, az := range p.balancers[arn].AvailabilityZones {
			if cidr := p.cidr(str(az.SubnetId), o.to.IP.Is6()); cidr != "" {
				peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr}})
			}
		}
	}
	if len(peers) == 0 {
		return remedy.CreateNetworkPolicy{}, false
	}
	selector := p.isolated(o)
	name := "hopwise-allow-lb"
	if g.service != nil {
		name = "hopwise-allow-lb-" + g.service.Name
		for k, v := range g.service.Spec.Selector {
			selector.MatchLabels[k] = v
		}
	}
	ports := []networkingv1.NetworkPolicyPort{policyPort(o.port)}
	if traffic := g.targetPort(); tcp(g) && traffic != 0 && traffic != o.port {
		ports = append(ports, policyPort(traffic))
	}
	return remedy.CreateNetworkPolicy{
		Namespace: o.to.Pod.Namespace,
		Name:      taken.free(o.to.Pod.Namespace, name),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: selector,
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: peers, Ports: ports}},
		},
	}, true
}

// isolated selects the pods that the policy in the way selects. A policy for
// other pods than those would isolate them, which nobody asked for.
func (p *paths) isolated(o obstacle) metav1.LabelSelector {
	selector := metav1.LabelSelector{MatchLabels: map[string]string{}}
	for _, policy := range p.net.Policies {
		if policy.Namespace+"/"+policy.Name == o.Rule {
			policy.Spec.PodSelector.DeepCopyInto(&selector)
		}
	}
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	return selector
}

func policyPort(port int32) networkingv1.NetworkPolicyPort {
	protocol, number := corev1.ProtocolTCP, intstr.FromInt32(port)
	return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &number}
}

// aclEntry is the command that adds a rule before those that deny: with the
// number below the lowest of its direction; nth tells several apart.
func (p *paths) aclEntry(o obstacle, nth int) string {
	side := map[string]struct {
		egress, answer bool
		peer           string
	}{
		"outbound of " + o.from.Subnet:        {true, false, o.to.Subnet},
		"inbound of " + o.to.Subnet:           {false, false, o.from.Subnet},
		"answers outbound of " + o.to.Subnet:  {true, true, o.from.Subnet},
		"answers inbound of " + o.from.Subnet: {false, true, o.to.Subnet},
	}[o.At]
	from, to := o.port, o.port
	if side.answer {
		from, to = reach.EphemeralFrom, reach.EphemeralTo
	}
	flag, cidr := "--ingress", "--cidr-block"
	if side.egress {
		flag = "--egress"
	}
	v6 := o.to.IP.Is6()
	if v6 {
		cidr = "--ipv6-cidr-block"
	}
	return fmt.Sprintf("aws ec2 create-network-acl-entry --network-acl-id %s %s --rule-number %s --protocol tcp --port-range From=%d,To=%d %s %s --rule-action allow",
		o.Rule, flag, p.freeNumber(o.Rule, side.egress, int32(nth)), from, to, cidr, orPlaceholder(p.cidr(side.peer, v6)))
}

func (p *paths) freeNumber(acl string, egress bool, nth int32) string {
	lowest := int32(32767)
	for _, a := range p.net.ACLs {
		if str(a.NetworkAclId) != acl {
			continue
		}
		for _, e := range a.Entries {
			if ofWay(e, egress) && e.RuleNumber != nil {
				lowest = min(lowest, *e.RuleNumber)
			}
		}
	}
	switch {
	case lowest == 32767:
		return strconv.Itoa(int(100 + nth))
	case lowest-nth > 1:
		return strconv.Itoa(int(lowest - nth - 1))
	default:
		return "NUMBER"
	}
}

func ofWay(e ec2types.NetworkAclEntry, egress bool) bool {
	return e.Egress != nil && *e.Egress == egress
}

func orPlaceholder(cidr string) string {
	if cidr == "" {
		return "CIDR"
	}
	return cidr
}
