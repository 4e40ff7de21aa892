package dns

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var externalDNSNotRunning = &diagnose.Check{
	ID:    "dns/externaldns-not-running",
	Title: "external-dns does not run, or writes nothing",
	Doc: `external-dns writes the DNS records of Ingresses and Services into hosted zones. Without it those that are there stay, and nothing
new is made, changed or taken away: a new host does not resolve, a replaced load balancer's host leads to the old one.

Recognised by a Deployment of external-dns without a ready pod, by the line with which its process ends ("flag parsing error", "config
validation failed": since 0.22 --policy has no default and must be given), by --dry-run, which only prints what it would do, and by syncs that
keep failing: a failed sync does not end the process, so a pod that is Ready says nothing. The time of the last sync in its metrics does.

Looks alike: a permission that is missing, throttling and a refused batch fail the sync as well, and have findings of their own. Scaled to 0, or
dry-run, with no host that waits is on purpose.

Fixed by what its last line names. Before it starts to write again compare --txt-owner-id with the owner in the zone's TXT records.`,
	Needs:    []facts.Need{facts.Deployments, facts.Pods},
	Wants:    []facts.Need{facts.PodLogs, facts.PodMetrics, facts.Ingresses, facts.Services, facts.HostedZones, facts.Records, facts.ServiceAccounts, facts.Clusters, facts.LoadBalancers},
	CausedBy: []string{"dns/externaldns-iam-denied", "dns/networkpolicy-blocks-dns", "l3/subnet-ip-exhausted", "l4/networkpolicy-default-deny-egress"},
	Sources: []string{
		"https://github.com/kubernetes-sigs/external-dns/blob/master/controller/execute.go",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/docs/flags.md",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/docs/monitoring/metrics.md",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		x := newPublishing(v)
		var all []diagnose.Finding
		for _, p := range x.publishers {
			for _, fault := range []func(*publishing, *publisher) *diagnose.Finding{scaledAway, notStarted, dryRun, notSyncing} {
				if f := fault(x, p); f != nil {
					all = append(all, *f)
					break
				}
			}
		}
		return all
	},
}

// silent is a finding about p, with what waits for it.
func (x *publishing) silent(p *publisher, why string) *diagnose.Finding {
	f := &diagnose.Finding{Severity: diagnose.Risk, Subject: p.ref(), Claim: p.label() + " " + why}
	for _, pod := range p.pods {
		f.Affects = append(f.Affects, ref(facts.Pods.Kind(), pod.Namespace, pod.Name))
	}
	waiting := x.waiting(p)
	f.Affects = append(f.Affects, objects(waiting)...)
	if len(waiting) == 0 {
		return f
	}
	f.Claim += "; " + diagnose.Some(hosts(waiting)) + waits(waiting)
	f.Severity = severityOf(waiting)
	for _, l := range waiting[:min(3, len(waiting))] {
		f.Evidence = append(f.Evidence, l.evidence(p.suitable(l.host, x.zones)[0]))
	}
	return f
}

func waits(all []lack) string {
	missing := slices.ContainsFunc(all, func(l lack) bool { return len(l.got) == 0 })
	one := len(hosts(all)) == 1
	switch {
	case missing && one:
		return " has no record"
	case missing:
		return " have no record or an old one"
	case one:
		return " leads elsewhere"
	}
	return " lead elsewhere"
}

// severityOf is Outage when a name does not resolve at all.
func severityOf(all []lack) diagnose.Severity {
	if slices.ContainsFunc(all, func(l lack) bool { return len(l.got) == 0 }) {
		return diagnose.Outage
	}
	return diagnose.Degraded
}

// evidence is what a zone has for l.
func (l lack) evidence(h *hosted) diagnose.Evidence {
	return diagnose.Evidence{Fact: recordRef(l.host).String(), Got: l.state(), Want: l.should() + ", declared by " + l.label(), Command: listing(h, l.host)}
}

func scaledAway(x *publishing, p *publisher) *diagnose.Finding {
	if p.replicas() > 0 || len(x.waiting(p)) == 0 { // to 0 with no host that waits is on purpose
		return nil
	}
	f := x.silent(p, "is scaled to 0")
	f.Evidence = append([]diagnose.Evidence{{
		Fact: p.ref().String() + " spec.replicas", Got: "0", Want: "1", Command: p.kubectl("get deployment " + p.deployment.Name),
	}}, f.Evidence...)
	f.Remedies = []remedy.Remedy{{
		Title:   "Scale " + p.name() + " to 1",
		Why:     "It looks at everything within " + p.every() + " and writes what is missing; what it does to other records its --policy says.",
		Risk:    remedy.Safe,
		Actions: remedy.Actions{remedy.ScaleDeployment{Namespace: p.deployment.Namespace, Name: p.deployment.Name, From: 0, To: 1}},
	}}
	return f
}

// startup is for how long a pod that was just started may be unready.
const startup = 3 * time.Minute

func notStarted(x *publishing, p *publisher) *diagnose.Finding {
	if p.replicas() == 0 || p.ready() || len(p.pods) == 0 && p.deployment.Status.AvailableReplicas > 0 {
		return nil
	}
	why, ok := p.unready()
	if !ok {
		return nil
	}
	text := why.text
	last := p.lastWords()
	if last != "" {
		text += ": " + last
	}
	f := x.silent(p, "does not run: "+text)
	if f.Severity == diagnose.Risk {
		f.Claim += "; what changes from now on gets no record"
	}
	f.Evidence = append([]diagnose.Evidence{{
		Fact: p.ref().String(), Got: fmt.Sprintf("%s wanted, %d available", diagnose.Count(int(p.replicas()), "replica"), p.deployment.Status.AvailableReplicas), Want: "1 available",
		Command: p.kubectl("get deployment " + p.deployment.Name),
	}, why.evidence}, f.Evidence...)
	if last != "" {
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: diagnose.LogOf + p.name(), Got: last, Want: "All records are already up to date", Command: p.kubectl("logs deployment/" + p.deployment.Name + " --previous --tail=20")})
	}
	f.Remedies = []remedy.Remedy{p.startRemedy(last)}
	return f
}

// unready says why p has no ready pod; false while one has just been started.
func (p *publisher) unready() (reason, bool) {
	if len(p.pods) == 0 {
		r := reason{text: "it has no pod", evidence: diagnose.Evidence{
			Fact: p.ref().String() + " status", Got: "no pod", Want: "a pod that is ready", Command: p.kubectl("describe deployment " + p.deployment.Name),
		}}
		for _, c := range p.deployment.Status.Conditions {
			if c.Type == "ReplicaFailure" && c.Status == "True" {
				r.text = "its pods cannot be made: " + facts.Redact(c.Message)
			}
		}
		return r, p.at.Sub(p.deployment.CreationTimestamp.Time) > startup
	}
	for _, pod := range p.pods {
		if r, ok := unscheduled(pod); ok {
			return r, true
		}
		if r, ok := crashing(pod); ok {
			return r, true
		}
		if r, ok := unpulled(pod); ok {
			return r, true
		}
	}
	pod := p.pods[0]
	return unready(pod), p.at.Sub(pod.CreationTimestamp.Time) > startup
}

// lastWords is the newest line with which a process of p ended.
func (p *publisher) lastWords() string {
	words := ""
	for _, s := range p.says {
		if s.level == "fatal" || s.about() == otherTrouble {
			words = oneLine(s.text)
		}
	}
	return words
}

// startRemedy follows from the line with which the process ended.
func (p *publisher) startRemedy(last string) remedy.Remedy {
	switch {
	case strings.Contains(last, "--policy must be set") || p.minor >= since022 && len(p.flags.all("policy")) == 0 && strings.Contains(last, "policy"):
		return remedy.Remedy{
			Title:  "Say with --policy what external-dns may do",
			Why:    "Up to 0.21 the default was sync, which also deletes what has no source any more; upsert-only never deletes. Where a chart installed it, set its value policy.",
			Manual: []string{p.withArg("--policy=upsert-only"), p.logs()},
		}
	case strings.Contains(last, "is forbidden: User") || strings.Contains(last, "failed to sync"):
		return remedy.Remedy{
			Title:  "Give external-dns's role the list and watch of its sources",
			Why:    "It ends when its caches do not fill: the ClusterRole lacks a kind that a --source needs, such as endpointslices of discovery.k8s.io for --source=service.",
			Manual: []string{"kubectl auth can-i list endpointslices.discovery.k8s.io --as=system:serviceaccount:" + p.serviceAccount(), "kubectl auth can-i list ingresses.networking.k8s.io --as=system:serviceaccount:" + p.serviceAccount(), p.logs()},
		}
	}
	return remedy.Remedy{
		Title:  "Read why external-dns ends",
		Why:    "Its last line names the flag, the permission or the connection that it lacks.",
		Manual: []string{p.kubectl("logs deployment/" + p.deployment.Name + " --previous --tail=50"), p.args()},
	}
}

func (p *publisher) serviceAccount() string {
	name := p.deployment.Spec.Template.Spec.ServiceAccountName
	if name == "" {
		name = "default"
	}
	return p.deployment.Namespace + ":" + name
}

func dryRun(x *publishing, p *publisher) *diagnose.Finding {
	if !p.flags.on("dry-run") || len(x.waiting(p)) == 0 {
		return nil
	}
	f := x.silent(p, "runs with --dry-run and only prints what it would change")
	f.Evidence = append([]diagnose.Evidence{{Fact: p.ref().String() + " args", Got: "--dry-run", Want: "no --dry-run", Command: p.args()}}, f.Evidence...)
	f.Remedies = []remedy.Remedy{{
		Title:  "Read what it would change, then take --dry-run away",
		Why:    "From then on it changes the zones: with --policy=sync it also deletes what it owns and nothing declares.",
		Manual: []string{p.kubectl("logs deployment/" + p.deployment.Name + " | grep 'Desired change'"), p.instead("dry-run", "true", "--no-dry-run")},
	}}
	return f
}

// notSyncing finds syncs that keep failing for a reason that no other check
// names.
func notSyncing(x *publishing, p *publisher) *diagnose.Finding {
	if !p.ready() || p.flags.on("dry-run") || len(p.complaints(credentials))+len(p.complaints(throttling))+len(p.complaints(batchRefused)) > 0 {
		return nil
	}
	failed := p.complaints(otherTrouble)
	late, old := p.overdue()
	if len(failed) < 3 && !old {
		return nil
	}
	why := "has not finished a sync since " + p.lastSync().Format("15:04 MST on 2 January")
	if !old {
		why = "fails at every sync"
	}
	if len(failed) > 0 {
		why += ": " + oneLine(failed[len(failed)-1].text)
	}
	f := x.silent(p, why)
	if f.Severity == diagnose.Risk {
		f.Severity = diagnose.Degraded // what it does is known not to work
	}
	own := []diagnose.Evidence{}
	if old {
		own = append(own, diagnose.Evidence{Fact: "external_dns_controller_last_sync_timestamp_seconds of " + p.name(), Got: late.Round(time.Minute).String() + " ago", Want: "within " + p.every(),
			Command: p.kubectl("port-forward deployment/" + p.deployment.Name + " 7979 & sleep 2; curl -s localhost:7979/metrics | grep last_sync")})
	}
	if n := len(failed); n > 0 {
		own = append(own, diagnose.Evidence{Fact: diagnose.LogOf + p.name(), Got: fmt.Sprintf("%s, the last: %s", diagnose.Count(n, "failure"), oneLine(failed[n-1].text)), Want: "All records are already up to date", Command: p.logs()})
	}
	f.Evidence = append(own, f.Evidence...)
	f.Remedies = []remedy.Remedy{p.startRemedy(p.lastWords())}
	return f
}

// overdue is the time since p's last sync, and whether that is too long for
// pods that run for longer.
func (p *publisher) overdue() (time.Duration, bool) {
	last := p.lastSync()
	if last.IsZero() {
		return 0, false
	}
	late := p.at.Sub(last)
	return late, late > max(10*time.Minute, 5*p.interval())
}
