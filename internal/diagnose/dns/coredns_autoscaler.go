package dns

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var corednsAutoscalerConflict = &diagnose.Check{
	ID:    "dns/coredns-autoscaler-conflict",
	Title: "Two controllers set the number of CoreDNS replicas",
	Doc: `The add-on's own autoscaling, its replicaCount, a cluster-proportional-autoscaler and a HorizontalPodAutoscaler all write
the same field. Each takes back what the other did: the number of replicas goes up and down, pods come and go, and an update
of the add-on fails with ConfigurationConflict.

Recognised by more than one of them: the add-on's configuration values with autoScaling on or a replicaCount, a Deployment
of the proportional autoscaler with --target=deployment/coredns, a HorizontalPodAutoscaler of Deployment coredns. It is more
than a risk when the Deployment was scaled to and fro in the last hour.

Looks alike: each of them alone is a good choice.

Fixed by keeping one. Beside the add-on's autoscaling the proportional autoscaler goes; beside a replicaCount the replicaCount
goes.`,
	Needs: append([]facts.Need{facts.Addons, facts.HPAs}, coreDNSNeeds...),
	Wants: coreDNSWants,
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/coredns-autoscaling.html",
		"https://github.com/aws/containers-roadmap/issues/1458",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c, all := newCoreDNS(v), autoscalers(v)
		if c.deployment == nil || len(all) < 2 {
			return nil
		}
		return []diagnose.Finding{conflictFinding(v, c, all)}
	},
}

// An autoscaler is something that sets the number of CoreDNS replicas.
type autoscaler struct {
	ref      facts.Ref
	what     string // in words
	field    string // of the add-on's configuration; "" for others
	replicas int32  // of the proportional autoscaler
}

// autoscalers are all that set the number of CoreDNS replicas.
func autoscalers(v *facts.View) []autoscaler {
	var out []autoscaler
	if a, ok := coreDNSAddon(v); ok {
		values, _ := a.values()
		scaling, _ := values["autoScaling"].(map[string]any)
		if on, _ := scaling["enabled"].(bool); on {
			out = append(out, autoscaler{ref: a.ref(), what: "autoScaling of the add-on", field: "autoScaling"})
		} else if n := values["replicaCount"]; n != nil {
			out = append(out, autoscaler{ref: a.ref(), what: fmt.Sprintf("replicaCount %v of the add-on", n), field: "replicaCount"})
		}
	}
	for _, d := range facts.Deployments.In(v) {
		n := int32(1)
		if d.Spec.Replicas != nil {
			n = *d.Spec.Replicas
		}
		if n > 0 && slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool { return targetsCoreDNS(slices.Concat(c.Command, c.Args)) }) {
			out = append(out, autoscaler{ref: ref(facts.Deployments.Kind(), d.Namespace, d.Name), what: "proportional autoscaler " + d.Name, replicas: n})
		}
	}
	for _, h := range facts.HPAs.In(v) {
		if t := h.Spec.ScaleTargetRef; h.Namespace == system && t.Kind == "Deployment" && t.Name == deployment {
			out = append(out, autoscaler{ref: ref(facts.HPAs.Kind(), h.Namespace, h.Name), what: "HorizontalPodAutoscaler " + h.Name})
		}
	}
	return out
}

// targetsCoreDNS reads the arguments of the proportional autoscaler.
func targetsCoreDNS(args []string) bool {
	for i, a := range args {
		a = strings.ToLower(a)
		target, ok := strings.CutPrefix(a, "--target=")
		if a == "--target" && i+1 < len(args) {
			target, ok = strings.ToLower(args[i+1]), true
		}
		if ok && target == "deployment/"+deployment {
			return true
		}
	}
	return false
}

func conflictFinding(v *facts.View, c coreDNS, all []autoscaler) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  c.ref(),
	}
	var names []string
	for _, a := range all {
		names = append(names, a.what)
		f.Affects = append(f.Affects, a.ref)
	}
	f.Claim = fmt.Sprintf("%s all set the replicas of CoreDNS, each taking back what the other did", strings.Join(names, " and "))
	if len(all) == 2 {
		f.Claim = strings.Replace(f.Claim, " all set", " both set", 1)
	}
	f.Evidence = []diagnose.Evidence{{
		Fact: c.ref().String() + " spec.replicas", Got: "set by " + strings.Join(names, " and by "), Want: "one that sets it",
		Command: "kubectl -n kube-system get deployments,horizontalpodautoscalers; aws eks describe-addon --cluster-name " + clusterName(v) + " --addon-name coredns --query addon.configurationValues",
	}}
	if n := c.rescaled(v.At()); n >= 3 {
		f.Severity = diagnose.Degraded
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: c.ref().String() + " events", Got: fmt.Sprintf("scaled %d times in the last hour", n), Want: "a number that stays",
			Command: "kubectl -n kube-system get events --field-selector involvedObject.name=" + c.deployment.Name,
		})
	}
	f.Remedies = []remedy.Remedy{keepOne(v, all)}
	return f
}

// rescaled counts how often the Deployment was scaled within the hour.
func (c coreDNS) rescaled(now time.Time) int {
	n := 0
	for _, e := range c.events {
		if e.Reason == "ScalingReplicaSet" && e.InvolvedObject.Kind == "Deployment" && e.InvolvedObject.Name == c.deployment.Name && now.Sub(e.LastTimestamp.Time) < time.Hour {
			n += int(max(e.Count, 1))
		}
	}
	return n
}

func clusterName(v *facts.View) string {
	if v.Cluster() == "" {
		return "CLUSTER"
	}
	return v.Cluster()
}

// keepOne keeps the one that knows most of DNS: the add-on's autoscaling, then
// the proportional autoscaler.
func keepOne(v *facts.View, all []autoscaler) remedy.Remedy {
	a, _ := coreDNSAddon(v)
	for _, x := range all {
		if x.field == "replicaCount" {
			if set, ok := a.configure("replicaCount", nil); ok {
				return remedy.Remedy{
					Title: "Leave the number of replicas to the autoscaler", Risk: remedy.Safe,
					Why:     "replicaCount is taken out of the add-on's configuration; the number stays what it is until the autoscaler changes it.",
					Actions: remedy.Actions{set},
				}
			}
		}
	}
	for _, x := range all {
		if x.replicas > 0 && all[0].field == "autoScaling" {
			namespace, name, _ := strings.Cut(x.ref.ID, "/")
			return remedy.Remedy{
				Title: "Stop " + x.what, Risk: remedy.Safe,
				Why:     "The add-on's autoscaling goes on alone. Delete the Deployment once the number is steady.",
				Actions: remedy.Actions{remedy.ScaleDeployment{Namespace: namespace, Name: name, From: x.replicas, To: 0}},
			}
		}
	}
	last := all[len(all)-1] // not the add-on's: that comes first
	namespace, name, _ := strings.Cut(last.ref.ID, "/")
	return remedy.Remedy{
		Title:  "Keep one of them",
		Why:    "CoreDNS is scaled by the size of the cluster or by its load, not by both.",
		Manual: []string{fmt.Sprintf("kubectl -n %s delete %s %s", namespace, strings.TrimSuffix(last.ref.Kind.Resource(), "s"), name)},
	}
}
