package l4

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// groupChecks are the checks that find a security group without a rule that
// something needs. Checks that say why the rule is missing ask them.
var groupChecks = []*diagnose.Check{
	NodeToNodeSGBlocked, Kubelet10250Blocked, PrivateEndpoint443Blocked, MetricsServerBlocked, WebhookPortBlocked, VPCEndpointSGBlocks, SGMissingIngressTarget,
}

// groupFacts are what groupChecks need and want.
func groupFacts() (needs, wants []facts.Need) {
	known := map[facts.Kind]bool{}
	add := func(to *[]facts.Need, list []facts.Need) {
		for _, n := range list {
			if !known[n.Kind()] {
				known[n.Kind()] = true
				*to = append(*to, n)
			}
		}
	}
	for _, c := range groupChecks {
		add(&needs, c.Needs)
	}
	for _, c := range groupChecks {
		add(&wants, c.Wants)
	}
	return needs, wants
}

// A wantedRule is an ingress rule that something needs and a group lacks.
type wantedRule struct {
	remedy.Rule
	by diagnose.Finding // whose remedy it is
}

// wantedRules are the rules that the first remedies of groupChecks' findings
// would add, by group, each once.
func wantedRules(v *facts.View) map[string][]wantedRule {
	out := map[string][]wantedRule{}
	for _, c := range groupChecks {
		for _, f := range c.Run(v) {
			if len(f.Remedies) == 0 {
				continue
			}
			for _, a := range f.Remedies[0].Actions {
				if add, ok := a.(remedy.AuthorizeIngress); ok && !slices.ContainsFunc(out[add.Group], func(w wantedRule) bool { return w.Rule == add.Rule }) {
					out[add.Group] = append(out[add.Group], wantedRule{add.Rule, f})
				}
			}
		}
	}
	return out
}

// adds are the actions that add rules.
func adds(rules []wantedRule) (out remedy.Actions) {
	for _, w := range rules {
		out = append(out, remedy.AuthorizeIngress{Rule: w.Rule})
	}
	return out
}

// whom are the objects that the findings behind rules are about, and the
// worst of their severities.
func whom(subject facts.Ref, rules []wantedRule) (about []facts.Ref, worst diagnose.Severity) {
	worst = diagnose.Risk
	for _, w := range rules {
		about = append(append(about, w.by.Subject), w.by.Affects...)
		worst = min(worst, w.by.Severity)
	}
	return refs(subject, about), worst
}

// ruleWords is "tcp 8080 from sg-1".
func ruleWords(r remedy.Rule) string {
	return portWords(r.Protocol, &r.FromPort, &r.ToPort) + " from " + cmp.Or(r.FromGroup, r.FromCIDR)
}

// portWords is "tcp 8080", "tcp 1-3", "all traffic".
func portWords(protocol string, from, to *int32) string {
	switch {
	case protocol == "-1":
		return "all traffic"
	case from == nil || *from == -1 || to == nil:
		return protocol
	case *from == *to:
		return fmt.Sprintf("%s %d", protocol, *from)
	default:
		return fmt.Sprintf("%s %d-%d", protocol, *from, *to)
	}
}

// onInterfaces are the groups that interfaces of the VPC are in.
func onInterfaces(v *facts.View) map[string]bool {
	out := map[string]bool{}
	for _, eni := range facts.NetworkInterfaces.In(v) {
		for _, g := range eni.Groups {
			out[facts.Val(g.GroupId)] = true
		}
	}
	return out
}

// A pairRule is a part of a group's rule that names another group.
type pairRule struct {
	group    string
	egress   bool
	protocol string
	from, to *int32
	pair     ec2types.UserIdGroupPair
}

// pairRules are those of a group.
func pairRules(g ec2types.SecurityGroup) []pairRule {
	var out []pairRule
	add := func(egress bool, list []ec2types.IpPermission) {
		for _, p := range list {
			for _, pair := range p.UserIdGroupPairs {
				out = append(out, pairRule{facts.Val(g.GroupId), egress, facts.Val(p.IpProtocol), p.FromPort, p.ToPort, pair})
			}
		}
	}
	add(false, g.IpPermissions)
	add(true, g.IpPermissionsEgress)
	return out
}

func (r pairRule) way() string {
	if r.egress {
		return egress
	}
	return ingress
}

// String is the rule for people: "ingress tcp 5432 of sg-1".
func (r pairRule) String() string {
	return fmt.Sprintf("%s %s of %s", r.way(), portWords(r.protocol, r.from, r.to), facts.Val(r.pair.GroupId))
}

// covers reports whether r, if its group were the right one, would be the
// rule that is wanted.
func (r pairRule) covers(w remedy.Rule) bool {
	if r.egress || r.protocol != "-1" && !strings.EqualFold(r.protocol, w.Protocol) {
		return false
	}
	return r.protocol == "-1" || r.from == nil || r.to == nil || *r.from == -1 || *r.from <= w.FromPort && w.ToPort <= *r.to
}

// revoke is the command that takes r out of its group.
func (r pairRule) revoke() string { return "aws ec2 revoke-security-group-" + r.flags() }

// flags are the rule as the end of a command that adds or removes it.
func (r pairRule) flags() string {
	ports := ""
	if r.from != nil && r.to != nil && r.protocol != "-1" {
		ports = fmt.Sprintf(",FromPort=%d,ToPort=%d", *r.from, *r.to)
	}
	pair := "GroupId=" + facts.Val(r.pair.GroupId)
	for _, f := range [][2]string{{"UserId", facts.Val(r.pair.UserId)}, {"VpcId", facts.Val(r.pair.VpcId)}, {"VpcPeeringConnectionId", facts.Val(r.pair.VpcPeeringConnectionId)}} {
		if f[1] != "" {
			pair += "," + f[0] + "=" + f[1]
		}
	}
	return fmt.Sprintf("%s --group-id %s --ip-permissions 'IpProtocol=%s%s,UserIdGroupPairs=[{%s}]'", r.way(), r.group, r.protocol, ports, pair)
}
