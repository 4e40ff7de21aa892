package reach

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// published is how the internet reaches a Service: by the load balancer whose
// name its status gives.
func (q *question) published(s *corev1.Service) ([]destination, []Step) {
	if len(s.Status.LoadBalancer.Ingress) == 0 {
		return nil, nil
	}
	in := s.Status.LoadBalancer.Ingress[0] // all its names lead to the same load balancer
	hosts, no := q.named(cmp.Or(in.Hostname, in.IP))
	if no != nil {
		return nil, []Step{*no}
	}
	if q.port == 0 && len(s.Spec.Ports) > 0 {
		q.port = s.Spec.Ports[0].Port
	}
	var out []destination
	for _, h := range hosts {
		out = append(out, destination{party: h, port: cmp.Or(q.port, defaultPort), steps: q.targets(h)})
	}
	return out, nil
}

// byPublicName turns the interfaces of an internet-facing load balancer into
// what a client in the VPC reaches: its name gives public addresses, so that
// the way leads out and in again, and its groups see the client's public
// address.
func (q *question) byPublicName(dests []destination) []destination {
	lb := q.balancerOf(dests[0].refs)
	if lb == nil || lb.Scheme != elbtypes.LoadBalancerSchemeEnumInternetFacing || q.from.Kind == KindInternet || q.from.Host != "" {
		return dests
	}
	d := destination{port: dests[0].port, party: party{Endpoint: Endpoint{IP: stranger}, name: str(lb.DNSName), where: outside, vague: hidden}}
	s := unknownStep("security group, ingress of the load balancer", "it is internet-facing: its groups see the public address of the client, which is not followed",
		"aws ec2 describe-security-groups --group-ids "+strings.Join(lb.SecurityGroups, " "), dests[0].refs...)
	if len(lb.SecurityGroups) > 0 {
		d.steps = append(d.steps, s)
	}
	d.steps = append(d.steps, dests[0].steps...)
	return []destination{d}
}

func (q *question) balancerOf(refs []facts.Ref) *elbtypes.LoadBalancer {
	for _, r := range refs {
		for i := range q.LoadBalancers {
			if r.Kind == facts.LoadBalancers.Kind() && r.ID == str(q.LoadBalancers[i].LoadBalancerArn) {
				return &q.LoadBalancers[i]
			}
		}
	}
	return nil
}

// targets tells whether what a load balancer sends to is healthy.
func (q *question) targets(h party) []Step {
	lb := q.balancerOf(h.refs)
	if lb == nil {
		return nil
	}
	arn, healthy, all := str(lb.LoadBalancerArn), 0, 0
	refs := []facts.Ref{{Kind: facts.LoadBalancers.Kind(), ID: arn}}
	for _, g := range q.TargetGroups {
		if !slices.Contains(g.LoadBalancerArns, arn) {
			continue
		}
		refs = append(refs, facts.Ref{Kind: facts.TargetGroups.Kind(), ID: str(g.TargetGroupArn)})
		for _, t := range q.TargetHealths {
			for _, d := range t.TargetHealthDescriptions {
				if t.TargetGroupArn != str(g.TargetGroupArn) {
					continue
				}
				all++
				if d.TargetHealth != nil && d.TargetHealth.State == elbtypes.TargetHealthStateEnumHealthy {
					healthy++
				}
			}
		}
	}
	command := "aws elbv2 describe-target-groups --load-balancer-arn " + arn
	text := fmt.Sprintf("%d of %d targets are healthy", healthy, all)
	switch {
	case q.TargetGroups == nil || q.TargetHealths == nil:
		return []Step{unknownStep("targets", "the health of the targets is not known", command, refs...)}
	case healthy == 0:
		return []Step{unknownStep("targets", text+": it accepts connections, and answers with an error or not at all", command, refs...)}
	}
	return []Step{{Hop: "targets", Verdict: Allowed, Text: text, Command: command, Objects: refs}}
}
