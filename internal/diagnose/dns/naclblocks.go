package dns

import (
	"fmt"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var naclBlocksDNS = &diagnose.Check{
	ID:    "dns/nacl-blocks-dns",
	Title: "Network ACL keeps pods of a subnet from CoreDNS",
	Doc: `Network ACLs are asked when a query goes to a CoreDNS pod in another subnet, and have no memory: the query needs a rule
out of the one subnet and into the other, on port 53, and the answer needs rules for the port that the client sends from, which
is forgotten most often for UDP. Lookups then fail across subnets, and work for clients that happen to be sent to a CoreDNS pod
of their own subnet.

Recognised by following UDP 53 and its answers (to ports 32768 to 60999) from the interfaces of pods that use cluster DNS to every
ready CoreDNS pod in another subnet.

Looks alike: security groups, which differ by interface and not by subnet; TCP 53 alone. Queries to the VPC's own resolver pass no
network ACL.

Fix: rules that allow port 53, and the answers, between the two subnets, before the rule that denies.`,
	Needs:    append([]facts.Need{facts.NetworkACLs}, wayNeeds...),
	Wants:    append([]facts.Need{facts.SecurityGroups, facts.Subnets}, wayWants...),
	CausedBy: []string{"l4/nacl-inbound-deny", "l4/nacl-ephemeral-return-blocked", "l4/nacl-between-subnets"},
	Sources: []string{
		"https://docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/nacl-ephemeral-ports.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		w := newQueryWay(v)
		cuts := w.cuts()
		subnets := facts.Subnets.In(v)
		var out []diagnose.Finding
		for _, f := range fences(w, cuts, func(c cut, p passage) bool { return !p.group && w.decisive(cuts, c) }) {
			out = append(out, f.aclFinding(w, subnets))
		}
		return out
	},
}

func (f *fence) aclFinding(w *queryWay, subnets []ec2types.Subnet) diagnose.Finding {
	what := "denies DNS queries"
	if f.repliesOnly() {
		what = "lets DNS queries pass and denies their answers"
	}
	c := f.cuts[0]
	return diagnose.Finding{
		Severity: f.severity(), Subject: f.object, Affects: f.affects(w), Evidence: f.evidence(w),
		Claim: fmt.Sprintf("Network ACL %s %s (%s) between %s and %s, where CoreDNS runs: %s", f.object.ID, what, f.protocols(),
			blockOf(subnets, c.from.Host), blockOf(subnets, c.to.Host), f.effect(w)),
		Remedies: []remedy.Remedy{f.aclRemedy(w, subnets)},
	}
}

// repliesOnly reports whether the queries themselves pass.
func (f *fence) repliesOnly() bool {
	for _, c := range f.cuts {
		for _, p := range c.passages {
			if !p.reply {
				return false
			}
		}
	}
	return true
}

func (f *fence) aclRemedy(w *queryWay, subnets []ec2types.Subnet) remedy.Remedy {
	r := remedy.Remedy{
		Title: "Allow DNS in " + f.object.ID,
		Why:   "The rules stand before those that deny and name the other subnet and the ports alone. Answers go to the ports that clients send from.",
		Risk:  remedy.Safe,
	}
	actions, room := aclRules(f.object.ID, f.cuts, w.acls, subnets)
	if room {
		r.Actions = actions
		return r
	}
	r.Title, r.Risk = "Make room in "+f.object.ID+" for rules that allow DNS", remedy.Disruptive
	r.Why = "It has no free rule number before the rule that denies, or all the rules that it may have."
	r.Manual = []string{"aws ec2 describe-network-acls --network-acl-ids " + f.object.ID + " --query 'NetworkAcls[].Entries'"}
	return r
}
