package dns

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

var corefileParseError = &diagnose.Check{
	ID:    "dns/corefile-parse-error",
	Title: "CoreDNS does not take its Corefile and ends",
	Doc: `CoreDNS reads its Corefile when it starts. What it does not understand, a directive with a typo, a plugin that is not
compiled in, a property of an older version, a brace too few, ends the process: the pod crashes again and again.

Recognised by pods that keep ending and a log whose last words are the refusal: "Corefile:12 - Error during parsing", or the
name of a plugin and what it has against its arguments. The Corefile of ConfigMap kube-system/coredns is read as CoreDNS
does, which shows the line where the log does not.

Looks alike: pods that run and log "reload failed" keep the configuration they had, a finding of its own. A loop, too little
memory and a missing API server end or stop CoreDNS as well, with other words.

Fixed by a Corefile that parses. Where the fault leaves no choice the finding offers the change of that line; all other lines
stay as they are. The pods start by themselves with their next try, five minutes later at most.`,
	Needs: append([]facts.Need{facts.ConfigMaps}, coreDNSNeeds...),
	Wants: append([]facts.Need{facts.PodLogs, facts.Addons}, coreDNSWants...),
	Sources: []string{
		"https://coredns.io/manual/configuration/",
		"https://github.com/coredns/deployment/blob/master/kubernetes/CoreDNS-k8s_version.md",
		"https://docs.aws.amazon.com/eks/latest/userguide/coredns-add-on-self-managed-update.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c := newCoreDNS(v)
		said := coreDNSLogs(v).of(logParse)
		f, ok := readCorefile(v, c.addresses())
		if c.deployment == nil || !ok {
			return nil
		}
		crashed := c.refusedStart(v, f, said)
		if len(crashed) == 0 {
			return nil
		}
		return []diagnose.Finding{parseFinding(c, f, said.where(inPods(crashed)), crashed)}
	},
}

// refusedStart are the pods that ended over the Corefile: their log says so,
// and what it complains of is still there; or it could not be read, and the
// Corefile is one that CoreDNS refuses.
func (c coreDNS) refusedStart(v *facts.View, f corefile, said logs) []corev1.Pod {
	var out []corev1.Pod
	for _, p := range c.pods {
		if reach.Ready(&p) || !failing(p, v.At(), time.Hour) {
			continue
		}
		own := said.where(inPods([]corev1.Pod{p}))
		silent := len(own) == 0 && !hasLog(v, p) && len(f.refused) > 0
		if silent || len(own) > 0 && f.still(own[len(own)-1].text) {
			out = append(out, p)
		}
	}
	return out
}

func inPods(pods []corev1.Pod) func(logLine) bool {
	names := map[string]bool{}
	for _, p := range pods {
		names[p.Namespace+"/"+p.Name] = true
	}
	return func(l logLine) bool { return names[l.pod] }
}

// hasLog reports whether a log of p was read and has lines.
func hasLog(v *facts.View, p corev1.Pod) bool {
	for _, l := range facts.PodLogs.In(v) {
		if l.Namespace == p.Namespace && l.Name == p.Name && l.Text+l.Previous != "" {
			return true
		}
	}
	return false
}

var quotedWord = regexp.MustCompile(`(?:Unknown directive|unknown property) '([^']+)'`)

// still reports whether the Corefile may still have what a log complained of:
// the word that CoreDNS did not know is still in it.
func (c corefile) still(complaint string) bool {
	m := quotedWord.FindStringSubmatch(complaint)
	return m == nil || len(c.refused) > 0 || strings.Contains(c.text, m[1])
}

func parseFinding(c coreDNS, f corefile, said logs, crashed []corev1.Pod) diagnose.Finding {
	why := ""
	if len(said) > 0 {
		why = said[len(said)-1].text
	} else {
		why = f.refused[0].String()
	}
	out := diagnose.Finding{
		Severity: c.severity(diagnose.Degraded),
		Subject:  corefileRef,
		Affects:  c.affected(crashed),
		Claim:    fmt.Sprintf("CoreDNS does not take its Corefile and ends at start (%s): %s", why, c.effect()),
	}
	if len(said) > 0 {
		out.Evidence = append(out.Evidence, logEvidence(said.sum(), said[len(said)-1].previous, "CoreDNS starts"))
	}
	if len(f.refused) > 0 {
		out.Evidence = append(out.Evidence, f.problem())
	}
	out.Remedies = corefileRemedies(f)
	return out
}

// corefileRemedies repair a Corefile that CoreDNS refuses.
func corefileRemedies(f corefile) []remedy.Remedy {
	hand := f.byHand("Repair the Corefile", "CoreDNS takes it with its next start, at most five minutes later; take the last version that worked if you have it.")
	if len(f.refused) == 0 {
		return []remedy.Remedy{hand}
	}
	text, what, ok := f.repaired()
	if !ok {
		return []remedy.Remedy{hand}
	}
	edit, ok := f.edit(text)
	if !ok {
		return []remedy.Remedy{hand}
	}
	return []remedy.Remedy{{
		Title:   "Repair the Corefile: " + what,
		Why:     "Nothing else in it changes, and CoreDNS takes it with its next start or reload." + f.keeps(),
		Risk:    remedy.Safe,
		Actions: remedy.Actions{edit},
	}, hand}
}
