package l4

import (
	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// NACLInboundDeny recognises network ACLs that deny what has to come in to a subnet.
var NACLInboundDeny = &diagnose.Check{
	ID:    "l4/nacl-inbound-deny",
	Title: "Network ACL denies needed traffic into a subnet",
	Doc: `A network ACL's rules count in the order of their numbers and the first that matches decides; what none matches is denied.
A deny with a low number wins over every allow behind it, and a custom ACL starts with nothing allowed. This one lets some
of the other subnet's traffic in, and not a port that is needed.

` + aclRecognised + `

Looks alike: security groups (they differ by interface, not by subnet); traffic within one subnet, which no ACL sees;
answers that are denied; an ACL that lets nothing of the other subnet pass.

Fix: rules that allow the needed ports from the other subnet, before the rule that denies.`,
	Needs: aclNeeds,
	Wants: aclWants,
	Sources: []string{
		"https://docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/nacl-ephemeral-ports.html",
	},
	Run: func(v *facts.View) []diagnose.Finding { return aclFaults(v, deniesInbound) },
}
