package dns

import (
	"fmt"
	"slices"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var externalDNSAnnotationPrefixUpgrade = &diagnose.Check{
	ID:    "dns/externaldns-annotation-prefix-upgrade",
	Title: "external-dns 0.22 does not read the annotations of before",
	Doc: `With version 0.22 external-dns reads annotations that begin with external-dns.kubernetes.io/. Those that begin with
external-dns.alpha.kubernetes.io/, which all guides before show, are ignored without a word. One instance reads one prefix. Hosts in spec.rules of an
Ingress are not concerned: hostnames, targets and all else that annotations declare are. With --policy=sync the records of before are deleted.

Recognised by an image of 0.22 or later without --annotation-prefix, and a hostname or target that only annotations with the old prefix declare and
that has no record, or a wrong one.

Looks alike: an instance that is told another prefix on purpose. Records that are still there and right raise no alarm.

Fixed at once by --annotation-prefix=external-dns.alpha.kubernetes.io/ or the former image; then by new annotations.`,
	Needs: publishingNeeds,
	Wants: publishingWants,
	Sources: []string{
		"https://github.com/kubernetes-sigs/external-dns/pull/6424",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/source/annotations/annotations.go",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		x := newPublishing(v)
		by := map[*publisher][]lack{}
		for _, l := range x.lacks {
			switch {
			case upgraded(l):
				by[l.nearest] = append(by[l.nearest], l)
			case retargeted(l):
				by[l.takers[0]] = append(by[l.takers[0]], l)
			}
		}
		var all []diagnose.Finding
		for _, p := range x.publishers {
			if len(by[p]) > 0 {
				all = append(all, unread(p, by[p]))
			}
		}
		return all
	},
}

// byDefault reports whether p reads the new prefix because its version does.
func (p *publisher) byDefault() bool {
	return p.minor >= since022 && p.prefix() == prefixGA && len(p.flags.all("annotation-prefix")) == 0
}

// upgraded reports whether l has no taker only because its annotations have
// the prefix of before.
func upgraded(l lack) bool {
	return len(l.takers) == 0 && l.nearest.byDefault() && l.refusal.prefix && slices.ContainsFunc(l.ways, func(x way) bool { return x.prefix == prefixAlpha })
}

// retargeted reports whether the target that an old annotation declares is
// not the one that is published.
func retargeted(l lack) bool {
	return len(l.takers) > 0 && l.takers[0].byDefault() && l.object.Annotations[prefixAlpha+"target"] != "" && l.object.Annotations[prefixGA+"target"] == ""
}

func unread(p *publisher, lost []lack) diagnose.Finding {
	l := lost[0]
	f := diagnose.Finding{
		Severity: severityOf(lost),
		Subject:  p.ref(),
		Affects:  objects(lost),
		Claim: fmt.Sprintf("%s is version 0.%d and reads only annotations that begin with %s, so what %s declares for %s under %s is ignored%s",
			p.label(), p.minor, prefixGA, l.label(), l.host, prefixAlpha, andMore(lost)),
		Evidence: []diagnose.Evidence{
			{Fact: p.ref().String() + " image", Got: p.deployment.Spec.Template.Spec.Containers[p.index].Image + ", no --annotation-prefix", Want: "--annotation-prefix=" + prefixAlpha, Command: p.args()},
		},
		Remedies: []remedy.Remedy{{
			Title:  "Let external-dns read the old prefix again",
			Why:    "It then reads only the old one: objects that have the new annotations already need both. The chart's values hold the flag where a chart installed it.",
			Manual: []string{p.withArg("--annotation-prefix=" + prefixAlpha), p.logs()},
		}},
	}
	for _, l := range lost[:min(3, len(lost))] {
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: l.ref().String(), Got: l.state() + " for " + l.host + "; annotations under " + prefixAlpha + " only", Want: "annotations under " + prefixGA, Command: l.get()})
	}
	return f
}

// andMore counts the other hosts of a finding.
func andMore(all []lack) string {
	switch n := len(hosts(all)); {
	case n <= 1:
		return ""
	case n == 2:
		return ", as is that of 1 other host"
	default:
		return fmt.Sprintf(", as is that of %d other hosts", n-1)
	}
}
