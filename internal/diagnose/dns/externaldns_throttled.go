package dns

import (
	"fmt"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var externalDNSThrottled = &diagnose.Check{
	ID:    "dns/externaldns-throttled",
	Title: "Route 53 throttles external-dns",
	Doc: `Route 53 takes five requests a second of a whole account. Each external-dns lists all zones and their records every minute unless told
otherwise; with many clusters or zones in one account the calls of one are refused because of the others, and a refused call fails the whole sync.

Recognised by "Throttling: Rate exceeded" or "due to provider side throttling" in the log, repeatedly and after the last sync that worked.

Looks alike: a single refusal passes with the next sync and is not reported. "AccessDenied" does not pass.

Fixed by asking less: a longer --interval with --events, a cache of the zones, a filter by zone, pauses between batches.`,
	Needs: complaintNeeds,
	Wants: complaintWants,
	Sources: []string{
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-requests",
		"https://docs.aws.amazon.com/eks/latest/best-practices/scalability.html",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/docs/tutorials/aws.md",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		return complaining(v, throttling, throttled)
	},
}

// throttled reports what does not pass by itself: the next sync mostly works.
func throttled(x *publishing, p *publisher, lines []saying) *diagnose.Finding {
	if len(lines) < 3 && p.newest("external_dns_controller_consecutive_soft_errors") < 3 {
		return nil
	}
	f := x.silent(p, "is throttled by Route 53, so its syncs fail")
	if f.Severity != diagnose.Risk {
		f.Severity = diagnose.Degraded // a sync that gets through makes good all of it
	}
	n := len(lines)
	own := []diagnose.Evidence{{Fact: diagnose.LogOf + p.name(), Got: fmt.Sprintf("%s since the last sync that worked, the newest: %s", diagnose.Count(n, "refusal"), oneLine(lines[n-1].text)), Want: "All records are already up to date", Command: p.logs()}}
	if soft := p.newest("external_dns_controller_consecutive_soft_errors"); soft > 0 {
		own = append(own, diagnose.Evidence{Fact: "external_dns_controller_consecutive_soft_errors of " + p.name(), Got: fmt.Sprintf("%.0f", soft), Want: "0", Command: p.logs()})
	}
	f.Evidence = append(own, f.Evidence...)
	ask := []string{p.setFlag("interval", "5m"), p.setFlag("events", "true")}
	if len(p.flags.all("aws-zones-cache-duration")) == 0 {
		ask = append(ask, p.withArg("--aws-zones-cache-duration=1h"))
	}
	f.Remedies = []remedy.Remedy{{
		Title:  "Make external-dns ask less often",
		Why:    "With --events a change is still seen within seconds while everything is compared every five minutes; --zone-id-filter limits what it lists. It holds for every external-dns of the account.",
		Manual: ask,
	}}
	return f
}
