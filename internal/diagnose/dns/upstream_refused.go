package dns

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var upstreamRefused = &diagnose.Check{
	ID:    "dns/upstream-refused-or-servfail",
	Title: "The server that CoreDNS forwards to answers REFUSED or SERVFAIL",
	Doc: `NXDOMAIN says that there is no such name; REFUSED that the server does not want to answer this client, or not for this domain:
a company's server that recursion is not allowed at from the VPC; SERVFAIL that it could not find out: its own servers do not answer, a
delegation leads nowhere, DNSSEC does not hold. The answer comes at once, and forward passes it on: its health checks take both for
signs of life and never turn to another server over it.

Recognised by the metrics of CoreDNS, which count each upstream's answers by code since the pods started: at least 20 and half of all
from a server of one's own, at least 200 and a third of all from the VPC's resolver; or by lines of the last hour where the log plugin
is on.

Looks alike: timeouts, after which CoreDNS itself answers SERVFAIL; CoreDNS's own REFUSED for zones that no block serves, or beyond
max_concurrent.

Fix: at the server: whom it lets ask, and what it knows of the zone. forward can turn to the next server (failover SERVFAIL REFUSED,
in recent versions of CoreDNS).`,
	Needs: upstreamNeeds,
	Wants: upstreamWants,
	Sources: []string{
		"https://coredns.io/plugins/forward/",
		"https://www.rfc-editor.org/rfc/rfc1035#section-4.1.1",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		u := newUpstreams(v)
		if u.deployment == nil {
			return nil
		}
		lines := u.answers(v)
		for _, up := range u.list {
			for _, code := range []string{"REFUSED", "SERVFAIL"} {
				if up.refuses(code) || len(lines[up.addr+code]) >= 20 && len(lines[up.addr+code]) > 2*len(up.lines) {
					return []diagnose.Finding{u.refusal(up, code, lines[up.addr+code])}
				}
			}
		}
		return nil
	},
}

// refuses reports whether too many of an upstream's answers have a code.
func (up *upstream) refuses(code string) bool {
	if up.vpc {
		return up.codes[code] >= 200 && share(up.codes, code) >= 1.0/3
	}
	return up.codes[code] >= 20 && share(up.codes, code) >= 0.5
}

// answers are the lines of the last hour that the log plugin wrote of such
// answers, by upstream and code. Which upstream gave one follows from the
// name, where only one is asked for it.
func (u *upstreams) answers(v *facts.View) map[string]logs {
	out := map[string]logs{}
	if u.model == nil {
		return out
	}
	for _, l := range coreDNSLogs(v).current().since(v.At().Add(-time.Hour)).of(logServFail, logRefusedReply) {
		b, links := u.model.Route(l.name)
		if b == nil || len(links) == 0 || links[len(links)-1].Plugin == nil || links[len(links)-1].Plugin.Name != "forward" || l.at.IsZero() {
			continue
		}
		var asked []string
		for _, up := range u.list {
			if slices.ContainsFunc(up.zones, func(z string) bool {
				return resolve.Within(resolve.Normal(l.name), z) && slices.ContainsFunc(b.Zones, func(o resolve.Zone) bool { return resolve.Within(z, o.Name) })
			}) {
				asked = append(asked, up.addr)
			}
		}
		if len(asked) == 1 {
			key := asked[0] + map[logClass]string{logServFail: "SERVFAIL", logRefusedReply: "REFUSED"}[l.class]
			out[key] = append(out[key], l)
		}
	}
	return out
}

func (u *upstreams) refusal(up *upstream, code string, lines logs) diagnose.Finding {
	f := diagnose.Finding{Severity: diagnose.Degraded, Subject: corefileRef, Affects: u.affected(u.pods)}
	what := "names outside of the cluster"
	if up.stub() {
		what = "names in " + up.zoneNames()
	}
	meaning := map[string]string{"REFUSED": "it does not let CoreDNS ask, or does not serve them", "SERVFAIL": "it cannot find them out itself"}[code]
	f.Claim = fmt.Sprintf("%s answers %s for %s: %s", upper(up.who()), code, what, meaning)
	if part := share(up.codes, code); !math.IsNaN(part) && part > 0 {
		e := u.countEvidence(up)
		e.Got, e.Want = fmt.Sprintf("%.0f of %.0f with %s since the pods started", up.codes[code], up.answered, code), "NOERROR and NXDOMAIN"
		f.Evidence = append(f.Evidence, e)
	}
	name := "amazonaws.com."
	if up.stub() {
		name = up.zones[0]
	}
	if len(lines) > 0 {
		f.Evidence = append(f.Evidence, logEvidence(lines.sum(), false, "NOERROR"))
		name = lines.sum().names[0]
	}
	f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: corefileRef.String() + " Corefile", Got: what + " are forwarded to " + up.addr, Want: "a server that answers for them", Command: showCorefile})
	f.Remedies = []remedy.Remedy{up.ask(name)}
	f.Remedies[0].Title = "See what " + up.addr + " answers, and change there whom it answers"
	f.Remedies[0].Why = "REFUSED is its policy: it must let the addresses of the CoreDNS nodes ask. SERVFAIL is the state of the zone there."
	return f
}
