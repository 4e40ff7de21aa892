package dns

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var stubDomainForwardBroken = &diagnose.Check{
	ID:    "dns/stub-domain-forward-broken",
	Title: "Names of one domain are forwarded to a server that does not answer",
	Doc: `A server block of its own in the Corefile sends the names of one domain, such as corp.internal, to the servers that have them:
often a company's own, behind a transit gateway, a peering connection or a VPN. When the way there breaks, or the block is lost
because an update of the add-on wrote the Corefile anew, only names of that domain fail.

Recognised by failures of the last hour in CoreDNS's log that name an upstream which the Corefile asks for some zones only; by a
security group, a network ACL or a route that keeps CoreDNS's queries from it for certain; by a block for a zone that the add-on's
configuration has and the Corefile has not.

Looks alike: all names outside of the cluster fail (the upstream of block "."); the server answers, and refuses; a Resolver rule for
the domain.

Fix: what stops the queries, where it is in the VPC; a server for the same zone that does answer; the block, where it was lost. A
rule of Route 53 Resolver does the same for the whole VPC, and no update takes it away.`,
	Needs:    upstreamNeeds,
	Wants:    append(append([]facts.Need{}, upstreamWants...), pathWants...),
	CausedBy: []string{"dns/conntrack-exhausted", "l4/networkpolicy-default-deny-egress"},
	Sources: []string{
		"https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/",
		"https://coredns.io/plugins/forward/",
		"https://docs.aws.amazon.com/eks/latest/userguide/managing-coredns.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		u := newUpstreams(v)
		if u.model == nil || u.deployment == nil {
			return nil
		}
		f := stubFaults{upstreams: u}
		for _, up := range u.list {
			if !up.stub() {
				continue
			}
			d := u.detourTo(v, up)
			if broken, _ := u.broken(up); broken || d.stopped() != nil {
				f.dead = append(f.dead, d)
			}
		}
		f.missing = u.lostBlocks()
		if len(f.dead)+len(f.missing) == 0 {
			return nil
		}
		return []diagnose.Finding{f.finding()}
	},
}

// stubFaults are what is wrong with the zones that CoreDNS forwards.
type stubFaults struct {
	*upstreams
	dead    []detour    // upstreams that do not answer, or are not reached
	missing []lostBlock // blocks that the Corefile should have
}

// A lostBlock is a zone with upstreams that the add-on's configuration
// forwards and the Corefile does not.
type lostBlock struct {
	zone string // without the last dot
	to   []string
}

func (u *upstreams) lostBlocks() []lostBlock {
	values, ok := u.addon.values()
	text, is := values["corefile"].(string)
	if !u.managed || !ok || !is {
		return nil
	}
	wanted, err := resolve.ParseCorefile(text)
	if err != nil || len(u.model.Unread) > 0 {
		return nil
	}
	var out []lostBlock
	for i := range wanted.Blocks {
		b := &wanted.Blocks[i]
		for _, z := range b.Zones {
			served := slices.ContainsFunc(u.model.Blocks, func(o resolve.Block) bool { return o.Serves(z.Name) })
			if z.Scheme != "dns" || z.Name == "." || served {
				continue
			}
			l := lostBlock{zone: strings.TrimSuffix(z.Name, ".")}
			for _, f := range b.Forwards() {
				for _, to := range f.To {
					l.to = append(l.to, to.Text)
				}
			}
			if len(l.to) > 0 {
				out = append(out, l)
			}
		}
	}
	return out
}

func (s stubFaults) finding() diagnose.Finding {
	f := diagnose.Finding{Severity: diagnose.Degraded, Subject: corefileRef, Affects: s.affected(s.pods)}
	for _, d := range s.dead {
		if d.up.lines != nil {
			f.Evidence = append(f.Evidence, d.up.lineEvidence())
		}
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: corefileRef.String() + " Corefile", Got: fmt.Sprintf("%s is forwarded to %s", d.up.zoneNames(), d.up.addr), Want: "a server that has these names and answers", Command: showCorefile,
		})
		f.Evidence = append(f.Evidence, d.evidence()...)
		f.Affects = append(f.Affects, d.Objects()...)
		f.Remedies = append(f.Remedies, d.remedies()...)
		f.Remedies = append(f.Remedies, s.elsewhere(d.up)...)
	}
	for _, l := range s.missing {
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: corefileRef.String() + " Corefile", Got: "no server block for " + l.zone, Want: "forward to " + strings.Join(l.to, " ") + ", as the add-on's configuration has it", Command: showCorefile,
		})
	}
	f.Remedies = append(f.Remedies, s.restored()...)
	for _, d := range s.dead {
		f.Remedies = append(f.Remedies, d.up.ask(d.up.example()))
	}
	f.Claim = s.claim()
	return f
}

func (s stubFaults) claim() string {
	if len(s.dead) == 0 {
		l := s.missing[0]
		return fmt.Sprintf("The Corefile has lost its server block for %s: names of that domain are no longer forwarded to %s", l.zone, strings.Join(l.to, ", "))
	}
	d := s.dead[0]
	more := ""
	if n := len(s.dead) - 1; n > 0 {
		more = fmt.Sprintf(" (and %s)", diagnose.Count(n, "more upstream"))
	}
	failed := ""
	if n, _ := d.up.failed(); n > 0 {
		failed = fmt.Sprintf(", %d failed in the last hour", n)
	}
	if d.stopped() != nil {
		return fmt.Sprintf("CoreDNS does not reach %s%s, to which it forwards lookups in %s%s%s", d.up.addr, more, d.up.zoneNames(), failed, d.why())
	}
	return fmt.Sprintf("%s%s does not answer the lookups in %s that CoreDNS forwards to it%s", d.up.addr, more, d.up.zoneNames(), failed)
}

// zoneNames are the zones of an upstream, as people write them.
func (up *upstream) zoneNames() string {
	var out []string
	for _, z := range up.zones {
		out = append(out, strings.TrimSuffix(z, "."))
	}
	return diagnose.Some(out)
}

// example is a name that an upstream is asked for.
func (up *upstream) example() string {
	if names := up.lines.sum().names; len(names) > 0 {
		return names[0]
	}
	return up.zones[0]
}

// elsewhere leaves a dead upstream out where others of its block answer.
func (s stubFaults) elsewhere(up *upstream) []remedy.Remedy {
	var good []string
	for _, o := range s.list {
		if o != up && o.block == up.block && o.answered > 0 && len(o.lines) == 0 {
			good = append(good, strings.TrimSuffix(o.addr, ":53"))
		}
	}
	if len(good) == 0 || up.block == "" {
		return nil
	}
	slices.Sort(good)
	to, err := s.model.SetForward(up.block, good...)
	if a, ok := s.edit(to); err == nil && ok {
		return []remedy.Remedy{{
			Title: "Forward " + up.zoneNames() + " only to " + strings.Join(good, ", "), Why: "That one answers. Take " + up.addr + " in again when it does." + s.keeps(),
			Risk: remedy.Safe, Actions: remedy.Actions{a},
		}}
	}
	return nil
}

// restored adds the lost blocks to the Corefile that CoreDNS reads.
func (s stubFaults) restored() []remedy.Remedy {
	file, text := s.model, ""
	for _, l := range s.missing {
		to, err := file.AddStub(l.zone, l.to...)
		if err != nil {
			return nil
		}
		if file, err = resolve.ParseCorefile(to); err != nil {
			return nil
		}
		text = to
	}
	if text == "" || text == s.text || strings.Contains(s.text, "••••••") {
		return nil
	}
	return []remedy.Remedy{{
		Title: "Put the server block for " + s.missing[0].zone + " back", Why: "As it stands in the add-on's configuration; the rest of the Corefile stays. CoreDNS takes it over without a restart if it has the reload plugin.",
		Risk: remedy.Safe, Actions: remedy.Actions{remedy.SetConfigMapKey{Namespace: system, Name: deployment, Key: "Corefile", From: s.text, To: text}},
	}}
}
