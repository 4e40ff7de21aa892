package l7

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

var targetTimeoutBlocked = &diagnose.Check{
	ID:    "l7/target-timeout-blocked",
	Title: "Targets do not answer the health check in time",
	Doc: `The load balancer asks and nothing comes back. On the way stand the load balancer's security groups (egress), the
network ACLs of its subnets and of the target's (both directions, as ACLs keep no state), the security groups of the
target's network interface (ingress, on the health check's port: the pod's port for ip targets, the node port for
instances) and, where an engine enforces them, the NetworkPolicies that select the pod. Each of them drops in silence.
If all let the packets through, the application itself is slower than the timeout (5 s by default).

Recognised by targets with the reason Target.Timeout. An NLB reports silence as Target.FailedHealthChecks too: such
targets count here when a rule on the way drops the packets. The first rule that drops is named. A rule that a healthy
target of the same group would meet as well is not blamed.

Looks alike: refused or reset connections (Target.FailedHealthChecks), a wrong status (Target.ResponseCodeMismatch).
With externalTrafficPolicy Local, nodes without a pod of the Service fail by design. The AWS Load Balancer Controller
adds the rule for its shared backend security group by itself; when the Ingress brings its own security groups
(alb.ingress.kubernetes.io/security-groups) it does so only with manage-backend-security-group-rules.

Fixed by the smallest opening: one ingress rule from the load balancer's group for that port, or a NetworkPolicy that
admits the load balancer's subnets to it. Changes of egress rules and ACLs are printed. A slow application is not
fixed by a longer timeout.`,
	Needs: append(groupNeeds[:len(groupNeeds):len(groupNeeds)], facts.LoadBalancers, facts.NetworkInterfaces, facts.SecurityGroups),
	Wants: append(groupWants[:len(groupWants):len(groupWants)],
		facts.NetworkACLs, facts.Subnets, facts.NetworkPolicies, facts.DaemonSets, facts.Addons),
	CausedBy: []string{"l4/networkpolicy-service-port-vs-pod-port", "l4/networkpolicy-named-port-unresolved", "l4/networkpolicy-selector-matches-nothing"},
	Sources: []string{
		"https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html",
		"https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html",
		"https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/security_groups/",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		var found []diagnose.Finding
		p := newPaths(v)
		taken := names{}
		for _, policy := range facts.NetworkPolicies.In(v) {
			taken[policy.Namespace+"/"+policy.Name] = true
		}
		for _, g := range groups(v) {
			silent := g.failing(elbtypes.TargetHealthReasonEnumTimeout)
			failing := silent
			if g.network() && !(g.udpOnly() && g.onNodePorts()) { // nothing answers those, even where the way is open
				failing = slices.Concat(silent, g.failing(elbtypes.TargetHealthReasonEnumFailedHealthChecks))
			}
			switch judged := p.judge(g, failing); {
			case len(judged.stops) > 0:
				found = append(found, p.blocked(g, judged, taken))
			case len(silent) > 0:
				found = append(found, p.slow(g, silent, judged.met))
			}
		}
		return found
	},
}

// timeout is the finding without a reason.
func timeout(g group, failing []target, why string) diagnose.Finding {
	healthy, total := g.tally()
	claim := fmt.Sprintf("%d of %d targets of %s (%s) do not answer the health check on port %d", len(failing), total, g.name, g.balancer(), healthPort(g, failing[0]))
	if healthy > 0 {
		claim += fmt.Sprintf(" while %d do", healthy)
	}
	return diagnose.Finding{
		Severity: g.severity(),
		Subject:  g.ref(),
		Affects:  g.affects(),
		Claim:    claim + ": " + why,
		Evidence: []diagnose.Evidence{{
			Fact:    "elbv2/target-health/" + g.arn,
			Got:     fmt.Sprintf("%s: %s, %s", g.nameTarget(failing[0]), failing[0].TargetHealth.Reason, str(failing[0].TargetHealth.Description)),
			Want:    "healthy",
			Command: g.healthCommand(),
		}},
	}
}

// blocked is the finding where a rule on the way drops the packets.
func (p *paths) blocked(g group, judged verdict, taken names) diagnose.Finding {
	f := timeout(g, judged.stopped, judged.stops[0].Text)
	for i, o := range judged.stops {
		if i > 0 && o.Text == judged.stops[i-1].Text || len(f.Evidence) == mostEvidence {
			continue // the same rule, met from another subnet
		}
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact:    o.fact(),
			Got:     o.Text,
			Want:    fmt.Sprintf("tcp %d admitted from the load balancer", o.port),
			Command: o.command(),
		})
	}
	f.Remedies = p.open(g, judged.stops, taken)
	return f
}

// mostEvidence is how many rules one finding shows.
const mostEvidence = 8

// fact is the object that holds the rule which stops, or lacks one.
func (o obstacle) fact() string {
	if o.Layer != securityGroup {
		return ruleFact(o.Hop)
	}
	if o.egress() {
		return "ec2/security-groups/" + strings.Join(o.from.Groups, ",") + " egress"
	}
	return "ec2/security-groups/" + strings.Join(o.to.Groups, ",") + " ingress"
}

func (o obstacle) command() string {
	switch {
	case o.Layer != securityGroup:
		return ruleCommand(o.Hop)
	case o.egress():
		return "aws ec2 describe-security-groups --group-ids " + strings.Join(o.from.Groups, " ")
	default:
		return "aws ec2 describe-security-groups --group-ids " + strings.Join(o.to.Groups, " ")
	}
}

// ruleFact is the object that holds a hop's deciding rule.
func ruleFact(h reach.Hop) string {
	switch {
	case h.Rule == "":
		return h.Layer + ", " + h.At
	case h.Layer == securityGroup:
		return "ec2/security-groups/" + h.Rule
	case h.Layer == networkACL:
		return "ec2/network-acls/" + h.Rule
	default:
		return "kube/networkpolicies/" + h.Rule
	}
}

// ruleCommand shows a hop's deciding rule, or what might have held one.
func ruleCommand(h reach.Hop) string {
	ns, name, _ := strings.Cut(h.Rule, "/")
	switch {
	case h.Layer == securityGroup:
		return "aws ec2 describe-security-groups --group-ids " + cmp.Or(h.Rule, "SECURITY_GROUP")
	case h.Layer == networkACL:
		return "aws ec2 describe-network-acls --network-acl-ids " + cmp.Or(h.Rule, "NETWORK_ACL")
	case h.Rule == "":
		return "kubectl get networkpolicies -A"
	default:
		return fmt.Sprintf("kubectl -n %s get networkpolicy %s -o yaml", ns, name)
	}
}

// slow is the finding where nothing on the way is known to drop the packets.
func (p *paths) slow(g group, failing []target, met []reach.Hop) diagnose.Finding {
	unknown := p.unread
	for _, h := range met {
		if h.Undecided {
			unknown = append(unknown[:len(unknown):len(unknown)], h.Text)
			break
		}
	}
	why := fmt.Sprintf("every security group, network ACL and NetworkPolicy on the way admits them, so the application takes longer than the timeout of %d s", seconds(g.tg.HealthCheckTimeoutSeconds, 5))
	switch {
	case len(met) == 0:
		why = "the way there could not be followed (the network interface of the target or of the load balancer is not known), so either a rule drops the packets or the application is slow"
	case len(unknown) > 0:
		why = "nothing that could be read drops them (not known: " + strings.Join(unknown, "; ") + "), so either that does or the application is slower than the timeout"
	}
	f := timeout(g, failing, why)
	for i, h := range met {
		if i > 0 && h.Layer == met[0].Layer && h.At == met[0].At || len(f.Evidence) == mostEvidence {
			break // the next node of the load balancer
		}
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: ruleFact(h), Got: h.At + ": " + h.Text, Want: "admitted", Command: ruleCommand(h)})
	}
	if len(g.pods) > 0 {
		f.Remedies = []remedy.Remedy{{
			Title: "Measure how long the application takes to answer",
			Why:   "A longer timeout would keep a slow target in service; the application, or its CPU limit, has to change.",
			Manual: []string{
				fmt.Sprintf("kubectl -n %s top pod %s --containers", g.pods[0].Namespace, g.pods[0].Name),
				logsCommand(g),
			},
		}}
	}
	return f
}

func seconds(n *int32, otherwise int32) int32 {
	if n == nil {
		return otherwise
	}
	return *n
}
