package dns

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var corednsRolloutDrops = &diagnose.Check{
	ID:    "dns/coredns-rollout-drops",
	Title: "Lookups fail whenever a CoreDNS pod goes away",
	Doc: `When a CoreDNS pod ends, kube-proxy on every node needs some seconds to stop sending to it. With lameduck, CoreDNS goes on
answering for that time; without it, or when it is killed before, the lookups of those seconds are lost: bursts of timeouts
with every rollout, drain or spot interruption.

Recognised by a health plugin without lameduck, a termination grace period that is not longer than lameduck, so that the
pod is killed first, or a readiness probe of /health, which sends queries to pods that know no names yet, where CoreDNS pods do move: pods were killed in the last hour, or run on spot nodes or nodes that
Karpenter manages.

Looks alike: a cluster whose CoreDNS pods stay where they are has the same Corefile and no trouble.

Fixed by lameduck in the health plugin; the grace period must be longer.`,
	Needs: append([]facts.Need{facts.ConfigMaps, facts.Nodes}, coreDNSNeeds...),
	Wants: append([]facts.Need{facts.PodLogs, facts.Addons}, coreDNSWants...),
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/best-practices/scale-cluster-services.html",
		"https://docs.aws.amazon.com/eks/latest/best-practices/karpenter.html",
		"https://coredns.io/plugins/health/",
		"https://github.com/coredns/coredns/issues/5409",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c, gone := newCoreDNS(v), coreDNSLogs(v).of(logLameduck).since(v.At().Add(-time.Hour))
		f, ok := readCorefile(v, c.addresses())
		if c.deployment == nil || !ok || f.cluster() == nil || len(f.model.Unread) > 0 {
			return nil
		}
		moves := c.moves(facts.Nodes.In(v), v.At())
		if moves == "" || c.endpoints == 0 {
			return nil
		}
		what, want := c.dropsAtEnd(f)
		if what == "" {
			return nil
		}
		return []diagnose.Finding{rolloutFinding(c, f, gone, moves, what, want)}
	},
}

// moves says how the CoreDNS pods are known to come and go; "" when they are
// not.
func (c coreDNS) moves(nodes []corev1.Node, now time.Time) string {
	killed := 0
	for _, e := range c.events {
		if e.InvolvedObject.Kind == "Pod" && strings.HasPrefix(e.InvolvedObject.Name, c.deployment.Name+"-") && now.Sub(e.LastTimestamp.Time) < time.Hour &&
			(e.Reason == "Killing" || e.Reason == "Preempted" || e.Reason == "Evicted" || e.Reason == "TaintManagerEviction") {
			killed++
		}
	}
	if killed >= 2 {
		return fmt.Sprintf("%d CoreDNS pods were ended in the last hour", killed)
	}
	for _, p := range c.pods {
		for _, n := range nodes {
			if n.Name != p.Spec.NodeName {
				continue
			}
			if n.Labels["karpenter.sh/nodepool"] != "" || n.Labels["karpenter.sh/provisioner-name"] != "" {
				return "pod " + p.Name + " runs on node " + n.Name + ", which Karpenter may replace at any time"
			}
			if n.Labels["eks.amazonaws.com/capacityType"] == "SPOT" || n.Labels["karpenter.sh/capacity-type"] == "spot" {
				return "pod " + p.Name + " runs on spot node " + n.Name
			}
		}
	}
	return ""
}

// grace is how long a CoreDNS pod may take to end.
func (c coreDNS) grace() time.Duration {
	if s := c.deployment.Spec.Template.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return 30 * time.Second // the API's default
}

// dropsAtEnd says what loses queries when a pod comes or goes; "" when nothing
// does.
func (c coreDNS) dropsAtEnd(f corefile) (what, want string) {
	health := f.health()
	if health == nil {
		return "", ""
	}
	path, _ := readyPath(c)
	switch lameduck := lameduckOf(health); {
	case lameduck <= 0:
		return "health without lameduck", "lameduck 5s or more"
	case c.grace() <= lameduck:
		return fmt.Sprintf("lameduck %s, and the pod is killed after %s", lameduck, c.grace()), "a termination grace period that is longer than lameduck"
	case path == "/health":
		return "a readiness probe of /health, which a pod passes before it knows the cluster's names", "a readiness probe of /ready"
	}
	return "", ""
}

// health is the first health plugin of the Corefile.
func (c corefile) health() *resolve.Plugin {
	for i := range c.model.Blocks {
		if all := c.model.Blocks[i].All("health"); len(all) > 0 {
			return all[0]
		}
	}
	return nil
}

func lameduckOf(p *resolve.Plugin) time.Duration {
	x := p.Prop("lameduck")
	if x == nil || len(x.Args) == 0 {
		return 0
	}
	d, _ := time.ParseDuration(x.Args[0])
	return d
}

func rolloutFinding(c coreDNS, f corefile, gone logs, moves, what, want string) diagnose.Finding {
	out := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  corefileRef,
		Affects:  c.affected(c.pods),
		Claim:    fmt.Sprintf("Lookups are lost whenever a CoreDNS pod ends: %s; %s", what, moves),
		Evidence: []diagnose.Evidence{
			{Fact: corefileRef.String() + " Corefile", Got: what, Want: want, Command: showCorefile},
			{Fact: c.ref().String() + " pods", Got: moves, Want: "pods that stay, or that answer until nobody sends to them", Command: "kubectl -n kube-system get events --field-selector involvedObject.kind=Pod"},
		},
	}
	if len(gone) > 0 {
		out.Evidence = append(out.Evidence, logEvidence(gone.sum(), false, "a lameduck that is long enough"))
	}
	if p, _ := readyPath(c); p == "/health" {
		out.Evidence = append(out.Evidence, diagnose.Evidence{
			Fact: c.ref().String() + " readinessProbe", Got: "/health", Want: "/ready, which waits for the cluster's names",
			Command: "kubectl -n kube-system get deployment " + c.deployment.Name + " -o jsonpath='{.spec.template.spec.containers[*].readinessProbe}'",
		})
	}
	out.Remedies = []remedy.Remedy{f.addLameduck(c)}
	return out
}

// readyPath is what kubelet asks a CoreDNS pod whether it is ready.
func readyPath(c coreDNS) (path string, ok bool) {
	box := container(c.deployment.Spec.Template.Spec)
	if box == nil || box.ReadinessProbe == nil || box.ReadinessProbe.HTTPGet == nil {
		return "", false
	}
	return box.ReadinessProbe.HTTPGet.Path, true
}

// addLameduck writes lameduck 5s, EKS's own value, which fits every grace
// period from the default on.
func (c corefile) addLameduck(d coreDNS) remedy.Remedy {
	hand := c.byHand("Give health a lameduck, and the pod a grace period that is longer", "EKS installs lameduck 5s; where clients notice it, 30s with a grace period of 60s is better.")
	health := c.health()
	switch lameduck := lameduckOf(health); {
	case lameduck <= 0: // what can be written
	case d.grace() <= lameduck:
		hand.Manual = []string{"kubectl -n kube-system patch deployment " + d.deployment.Name +
			fmt.Sprintf(` --type=merge -p '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":%d}}}}'`, int(lameduck.Seconds())+30)}
		return hand
	default:
		return remedy.Remedy{
			Title:  "Probe CoreDNS on /ready",
			Why:    "The Corefile must have the ready plugin. The pods are replaced one after the other.",
			Manual: []string{"kubectl -n kube-system edit deployment " + d.deployment.Name},
		}
	}
	edit, ok := c.edit(c.withLameduck(health))
	if !ok {
		return hand
	}
	return remedy.Remedy{
		Title:   "Let CoreDNS answer for 5 seconds after it was told to end",
		Why:     "lameduck 5s is what EKS installs. CoreDNS takes it with its next reload." + c.keeps(),
		Risk:    remedy.Safe,
		Actions: remedy.Actions{edit},
	}
}

// withLameduck is the text with a lameduck in its health plugin; "" when that
// is not written on a line of its own.
func (c corefile) withLameduck(health *resolve.Plugin) string {
	lines := strings.SplitAfter(c.text, "\n")
	if health.Snippet != "" || health.Line < 1 || health.Line > len(lines) || len(health.Props) > 0 || health.End != health.Line {
		return ""
	}
	line := lines[health.Line-1]
	body := strings.TrimRight(line, " \t\r\n")
	indent := body[:len(body)-len(strings.TrimLeft(body, " \t"))]
	if strings.ContainsAny(body, "{}#") || !strings.HasPrefix(strings.TrimSpace(body), "health") {
		return ""
	}
	lines[health.Line-1] = body + " {\n" + indent + "    lameduck 5s\n" + indent + "}\n"
	text := strings.Join(lines, "")
	again, err := resolve.ParseCorefile(text)
	if err != nil || lameduckOf((corefile{model: again}).health()) != 5*time.Second {
		return ""
	}
	return text
}
