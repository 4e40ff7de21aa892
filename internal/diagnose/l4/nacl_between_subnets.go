package l4

import (
	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// NACLBetweenSubnets recognises network ACLs that keep subnets apart that have to talk.
var NACLBetweenSubnets = &diagnose.Check{
	ID:    "l4/nacl-between-subnets",
	Title: "Network ACL separates subnets of the cluster",
	Doc: `Network ACLs are often written for the ranges that a VPC had then. A subnet that came later (for pods, or where EKS placed
the control plane's interfaces) is in no rule, and a rule that denies a whole range has the same effect: nothing goes
between two subnets, or what has to leave one of them may not.

` + aclRecognised + `

Looks alike: security groups, whatever the subnet; one port that is denied; only the answers that are.

Fix: rules that allow the needed ports from the other subnet, before the rule that denies.`,
	Needs: aclNeeds,
	Wants: aclWants,
	Sources: []string{
		"https://docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/nacl-ephemeral-ports.html",
	},
	Run: func(v *facts.View) []diagnose.Finding { return aclFaults(v, separates) },
}
