package dns

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var corednsOOM = &diagnose.Check{
	ID:    "dns/coredns-oom",
	Title: "CoreDNS is killed for its memory",
	Doc: `CoreDNS keeps all Services and endpoints in memory, with "pods verified" all pods too, and each query that waits for an
upstream. Past the limit of its container, 170Mi as EKS installs it, the kernel kills it, and the lookups under way are lost.

Recognised by a container that ended with OOMKilled within a day.

Looks alike: a failed liveness probe ends with exit code 137 as well, but not as OOMKilled. A forwarding loop without the loop
plugin fills the memory in seconds; a higher limit does not help against it.

Fixed by a higher limit. In the add-on it belongs into the configuration values.`,
	Needs: coreDNSNeeds,
	Wants: append([]facts.Need{facts.ConfigMaps, facts.Addons}, coreDNSWants...),
	Sources: []string{
		"https://github.com/coredns/deployment/blob/master/kubernetes/Scaling_CoreDNS.md",
		"https://docs.aws.amazon.com/eks/latest/userguide/coredns-add-on-update.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c := newCoreDNS(v)
		f, _ := readCorefile(v, c.addresses())
		if c.deployment == nil {
			return nil
		}
		var killed []corev1.Pod
		var last time.Time
		for _, p := range c.pods {
			if at, ok := oomKilled(p); ok && (at.IsZero() || v.At().Sub(at) < 24*time.Hour) {
				killed = append(killed, p)
				if at.After(last) {
					last = at
				}
			}
		}
		if len(killed) == 0 {
			return nil
		}
		return []diagnose.Finding{oomFinding(c, f, killed, last)}
	},
}

// oomKilled is when a container of p was last killed for its memory.
func oomKilled(p corev1.Pod) (time.Time, bool) {
	for _, s := range p.Status.ContainerStatuses {
		for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
			if t != nil && t.Reason == "OOMKilled" {
				return t.FinishedAt.Time, true
			}
		}
	}
	return time.Time{}, false
}

func oomFinding(c coreDNS, f corefile, killed []corev1.Pod, last time.Time) diagnose.Finding {
	limit := "no limit of its own"
	if box := container(c.deployment.Spec.Template.Spec); box != nil && !box.Resources.Limits.Memory().IsZero() {
		limit = box.Resources.Limits.Memory().String()
	}
	restarts := int32(0)
	for _, p := range killed {
		for _, s := range p.Status.ContainerStatuses {
			restarts += s.RestartCount
		}
	}
	out := diagnose.Finding{
		Severity: c.severity(diagnose.Degraded),
		Subject:  c.ref(),
		Affects:  c.affected(killed),
		Claim:    fmt.Sprintf("%s of CoreDNS ran out of memory (limit %s) and was killed: %s", diagnose.Count(len(killed), "pod"), limit, c.effect()),
		Evidence: []diagnose.Evidence{{
			Fact: podRef(killed[0]).String() + " lastState", Got: fmt.Sprintf("OOMKilled at %s; %s in all", orNone(shortTime(last)), diagnose.Count(int(restarts), "restart")), Want: "running",
			Command: "kubectl -n kube-system describe pod " + killed[0].Name,
		}},
	}
	if f.forwardsToItself(c.addresses()) {
		line, where := f.loopsBack(".", c.addresses())
		out.Evidence = append(out.Evidence, diagnose.Evidence{
			Fact: corefileRef.String() + " Corefile", Got: line + ": it forwards to itself" + where, Want: "an upstream that is not CoreDNS: a higher limit does not help against a loop", Command: showCorefile,
		})
	}
	for _, p := range f.hungry() {
		out.Evidence = append(out.Evidence, diagnose.Evidence{Fact: corefileRef.String() + " Corefile", Got: p, Want: "a limit that leaves room for it", Command: showCorefile})
	}
	out.Remedies = []remedy.Remedy{c.moreMemory(f)}
	return out
}

func shortTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("15:04:05Z")
}

// hungry is what in the Corefile takes memory beyond the usual.
func (c corefile) hungry() []string {
	b := c.cluster()
	if b == nil {
		return nil
	}
	var out []string
	for _, k := range b.Kubernetes() {
		if k.Pods == "verified" {
			out = append(out, "pods verified: every pod of the cluster is kept in memory")
		}
	}
	if !c.has("loop") && len(b.Forwards()) > 0 {
		out = append(out, "no loop plugin: a forwarding loop would not be noticed and fill the memory")
	}
	return out
}

// moreMemory doubles the limit, to 512Mi at least.
func (c coreDNS) moreMemory(f corefile) remedy.Remedy {
	box := container(c.deployment.Spec.Template.Spec)
	limit := resource.MustParse("512Mi")
	if box != nil {
		if now := box.Resources.Limits.Memory(); now.Value()*2 > limit.Value() {
			limit = *resource.NewQuantity(now.Value()*2, resource.BinarySI)
		}
	}
	m := remedy.Remedy{
		Title: "Raise the memory limit of CoreDNS to " + limit.String(),
		Why:   "Its pods are replaced one after the other.",
		Risk:  remedy.Disruptive,
	}
	values := map[string]map[string]string{"limits": {}, "requests": {}}
	if box != nil {
		for name, q := range box.Resources.Limits {
			values["limits"][string(name)] = q.String()
		}
		for name, q := range box.Resources.Requests {
			values["requests"][string(name)] = q.String()
		}
	}
	values["limits"]["memory"] = limit.String()
	if a, ok := f.addon.configure("resources", values); f.managed && ok {
		m.Actions = remedy.Actions{a}
	} else {
		m.Manual = []string{fmt.Sprintf("kubectl -n %s set resources deployment/%s --limits=memory=%s", system, c.deployment.Name, limit.String())}
	}
	return m
}
