package dns

import (
	"fmt"
	"net"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var corefileMissingReady = &diagnose.Check{
	ID:    "dns/corefile-missing-ready",
	Title: "CoreDNS is probed on /ready, and its Corefile has no ready plugin",
	Doc: `Since 2023 the add-on's readiness probe asks /ready on port 8181. The ready plugin answers there, and only when the
Corefile has it. A Corefile of one's own that was written for the probe of /health lacks it: after the update of the add-on
the pods run, answer, and never become Ready.

Recognised by a readiness probe of /ready while no server block of the Corefile has the ready plugin, or one on another
port. While the pods are still Ready, because they run on the Corefile of before, it is a risk.

Looks alike: /ready that answers 503 has the plugin, and a plugin such as kubernetes is not ready: the API server.

Fixed by one line, ready, in the block that serves the cluster's names.`,
	Needs: append([]facts.Need{facts.ConfigMaps}, coreDNSNeeds...),
	Wants: append([]facts.Need{facts.Addons}, coreDNSWants...),
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/managing-coredns.html",
		"https://github.com/aws/aws-cli/issues/8192",
		"https://coredns.io/plugins/ready/",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c := newCoreDNS(v)
		f, ok := readCorefile(v, c.addresses())
		if c.deployment == nil || !ok || f.cluster() == nil {
			return nil
		}
		port, probed := readyProbe(c.deployment.Spec.Template.Spec)
		if !probed || f.answersReady(port) {
			return nil
		}
		return []diagnose.Finding{readyFinding(c, f, port)}
	},
}

// readyProbe is the port on which kubelet asks /ready of a pod.
func readyProbe(spec corev1.PodSpec) (port string, ok bool) {
	c := container(spec)
	if c == nil || c.ReadinessProbe == nil || c.ReadinessProbe.HTTPGet == nil || c.ReadinessProbe.HTTPGet.Path != "/ready" {
		return "", false
	}
	get := c.ReadinessProbe.HTTPGet
	for _, p := range c.Ports {
		if p.Name != "" && p.Name == get.Port.StrVal {
			return fmt.Sprint(p.ContainerPort), true
		}
	}
	return get.Port.String(), true
}

// answersReady reports whether the ready plugin listens on a port, or may do
// so by a file that was not read.
func (c corefile) answersReady(port string) bool {
	if len(c.model.Unread) > 0 {
		return true
	}
	for i := range c.model.Blocks {
		for _, p := range c.model.Blocks[i].All("ready") {
			if readyPort(p) == port {
				return true
			}
		}
	}
	return false
}

func readyPort(p *resolve.Plugin) string {
	if len(p.Args) == 0 {
		return "8181"
	}
	_, port, _ := net.SplitHostPort(p.Args[0])
	return port
}

func readyFinding(c coreDNS, f corefile, port string) diagnose.Finding {
	out := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  corefileRef,
		Affects:  c.affected(c.pods),
		Claim:    fmt.Sprintf("CoreDNS is probed on :%s/ready and its Corefile has no ready plugin there: pods that start with it never become Ready", port),
		Evidence: []diagnose.Evidence{{
			Fact: corefileRef.String() + " Corefile", Got: "no ready plugin on port " + port + " in any server block", Want: "ready in block " + f.cluster().Label(), Command: showCorefile,
		}, {
			Fact: c.ref().String() + " readinessProbe", Got: "GET :" + port + "/ready", Want: "a path and port at which a plugin answers",
			Command: "kubectl -n kube-system get deployment " + c.deployment.Name + " -o jsonpath='{.spec.template.spec.containers[*].readinessProbe}'",
		}},
	}
	if stuck := c.unready(); len(stuck) > 0 {
		out.Severity = c.severity(diagnose.Degraded)
		out.Affects = c.affected(stuck)
		out.Claim = fmt.Sprintf("CoreDNS is probed on :%s/ready and its Corefile has no ready plugin there, so %s run and never become Ready: %s",
			port, diagnose.Count(len(stuck), "pod"), c.effect())
		for _, e := range c.events {
			if e.InvolvedObject.Name == stuck[0].Name && strings.Contains(e.Message, "Readiness probe failed") {
				out.Evidence = append(out.Evidence, diagnose.Evidence{
					Fact: podRef(stuck[0]).String() + " event " + e.Reason, Got: facts.Redact(e.Message), Want: "the probe succeeds",
					Command: "kubectl -n kube-system describe pod " + stuck[0].Name,
				})
				break
			}
		}
	}
	out.Remedies = []remedy.Remedy{f.addReady(port)}
	return out
}

func (c corefile) addReady(port string) remedy.Remedy {
	var args []string
	if port != "8181" {
		args = []string{":" + port}
	}
	if text, err := c.model.AddPlugin(zone(c.cluster()), "ready", args...); err == nil {
		if a, ok := c.edit(text); ok {
			return remedy.Remedy{
				Title:   "Add the ready plugin to block " + c.cluster().Label(),
				Why:     "One line; CoreDNS takes it by itself where the Corefile has the reload plugin, and its pods become Ready." + c.keeps(),
				Risk:    remedy.Safe,
				Actions: remedy.Actions{a},
			}
		}
	}
	return c.byHand("Add the ready plugin to the block that serves the cluster's names", "It answers the readiness probe.")
}
