package dns

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

var corefileReloadFailed = &diagnose.Check{
	ID:    "dns/corefile-reload-failed",
	Title: "CoreDNS runs on an old configuration: it refuses the Corefile as it is now",
	Doc: `The reload plugin looks at the Corefile every 30 seconds or so. One that does not parse it refuses, and goes on with the
configuration it has. Everything works until a CoreDNS pod restarts: it then has only the broken Corefile and crashes. Until
then whatever was meant to change has not changed.

Recognised by pods that run while their log says "Corefile changed but reload failed" or "Corefile parse failed", and not
after that that they took another. CoreDNS says the first only once for each change; where the log does not reach back, its
counter of failed reloads or the Corefile alone tells, if CoreDNS is a build whose plugins are known.

Looks alike: pods that crash over the Corefile, which is an outage in the making or one already, are a finding of their own.
A reload that failed and was put right leaves its line in the log and nothing else.

Fixed by repairing the Corefile now, before any restart.`,
	Needs: append([]facts.Need{facts.ConfigMaps}, coreDNSNeeds...),
	Wants: append([]facts.Need{facts.PodLogs, facts.PodMetrics, facts.Addons}, coreDNSWants...),
	Sources: []string{
		"https://coredns.io/plugins/reload/",
		"https://github.com/coredns/coredns/blob/master/plugin/reload/reload.go",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c, lines, counted := newCoreDNS(v), coreDNSLogs(v), podMetrics(v)
		f, ok := readCorefile(v, c.addresses())
		if c.deployment == nil || !ok || len(c.refusedStart(v, f, lines.of(logParse))) > 0 {
			return nil
		}
		running := slices.DeleteFunc(slices.Clone(c.pods), func(p corev1.Pod) bool { return !reach.Ready(&p) })
		said := refusedReloads(lines.current().where(inPods(running)))
		switch {
		case len(running) == 0, len(said) == 0 && !c.oldConfiguration(v, f, running, counted):
			return nil
		case len(f.refused) == 0 && f.putRight(said, v.At()):
			return nil
		}
		return []diagnose.Finding{reloadFinding(c, f, said, counted, running)}
	},
}

// refusedReloads are the refusals of pods that took no Corefile since.
func refusedReloads(all logs) logs {
	last := map[string]logClass{}
	both := all.of(logReloadFailed, logReloaded)
	for _, l := range both {
		last[l.pod] = l.class
	}
	return both.where(func(l logLine) bool { return l.class == logReloadFailed && last[l.pod] == logReloadFailed })
}

// putRight reports whether a Corefile that parses as far as can be told here
// was changed after the last complaint: what CoreDNS did not know is gone, or
// a complaint that it repeats with every try has ended. It may know less than
// is known here.
func (c corefile) putRight(said logs, now time.Time) bool {
	last := said[len(said)-1]
	repeats := strings.Contains(last.text, "parse failed")
	return !c.still(last.text) || repeats && now.Sub(said.sum().last) > betweenTries
}

// betweenTries is how long CoreDNS waits at the most, with its jitter and the
// time that kubelet takes to bring a ConfigMap into a pod.
const betweenTries = 3 * time.Minute

// oldConfiguration reports whether pods whose log tells nothing must be
// running on another Corefile than there is: they counted a reload that failed
// before the log begins, could not be heard, or do not reload, and CoreDNS is a
// build whose plugins are known.
func (c coreDNS) oldConfiguration(v *facts.View, f corefile, running []corev1.Pod, counted []metrics) bool {
	if len(f.refused) == 0 || !knownBuild(c.deployment.Spec.Template.Spec) {
		return false
	}
	if slices.ContainsFunc(counted, func(m metrics) bool { return m.reloadsFailed > 0 }) {
		return true
	}
	heard := slices.ContainsFunc(running, func(p corev1.Pod) bool { return hasLog(v, p) })
	return !heard && !facts.PodMetrics.Have(v) || f.model != nil && !f.has("reload")
}

// knownBuild reports whether the image is CoreDNS as its project or AWS build
// it: others may have plugins of their own.
func knownBuild(spec corev1.PodSpec) bool {
	c := container(spec)
	return c != nil && officialImage.MatchString(c.Image) && atLeast(facts.Version(c.Image), 1, 7)
}

// afterFailed is what the reload plugin writes before the reason.
var afterFailed = regexp.MustCompile(`^.*plugin/reload: Corefile (?:changed but reload failed|parse failed): `)

func reloadFinding(c coreDNS, f corefile, said logs, counted []metrics, running []corev1.Pod) diagnose.Finding {
	why := "the Corefile as it is now is refused"
	if len(said) > 0 {
		why = afterFailed.ReplaceAllString(said[len(said)-1].text, "")
	} else if len(f.refused) > 0 {
		why = f.refused[0].String()
	}
	out := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  corefileRef,
		Affects:  c.affected(running),
		Claim:    fmt.Sprintf("CoreDNS refuses its changed Corefile and runs on the old one (%s); the next pod that restarts will crash", why),
	}
	if len(said) > 0 {
		out.Evidence = append(out.Evidence, logEvidence(said.sum(), false, "no reload that fails"))
	}
	if len(f.refused) > 0 {
		out.Evidence = append(out.Evidence, f.problem())
	}
	for _, m := range counted {
		if m.reloadsFailed > 0 {
			out.Evidence = append(out.Evidence, diagnose.Evidence{
				Fact: "metrics of " + m.pod, Got: fmt.Sprintf("coredns_reload_failed_total %.0f since its start", m.reloadsFailed), Want: "0",
				Command: metricsCommand(m.pod),
			})
			break
		}
	}
	out.Remedies = corefileRemedies(f)
	return out
}
