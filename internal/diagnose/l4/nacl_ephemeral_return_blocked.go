package l4

import (
	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// NACLEphemeralReturnBlocked recognises network ACLs that deny the answers to needed connections.
var NACLEphemeralReturnBlocked = &diagnose.Check{
	ID:    "l4/nacl-ephemeral-return-blocked",
	Title: "Network ACL denies the answers of connections",
	Doc: `Network ACLs keep no state: the answers of a connection need a rule as well, out of the destination's subnet and into the
source's, for the ports from which clients connect. Without it connections time out although their way there is open.

` + aclRecognised + `

Looks alike: the way there is denied. Security groups need no rule for answers.

Fix: rules that allow the needed ports from the other subnet, before the rule that denies.`,
	Needs: aclNeeds,
	Wants: aclWants,
	Sources: []string{
		"https://docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/nacl-ephemeral-ports.html",
	},
	Run: func(v *facts.View) []diagnose.Finding { return aclFaults(v, deniesAnswers) },
}
