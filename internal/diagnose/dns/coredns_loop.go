package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var corednsLoopCrash = &diagnose.Check{
	ID:    "dns/coredns-loop-crash",
	Title: "CoreDNS forwards to itself; its loop plugin ends it",
	Doc: `What CoreDNS does not know it forwards. When the server that it forwards to sends the question back, or is CoreDNS itself,
every outside name would go round for ever. The loop plugin asks one such question at start and ends the process when it
comes back: CrashLoopBackOff.

Recognised by "Loop (...) detected for zone" as the last words of a pod that keeps ending, or where no log could be read by
a Corefile that forwards to CoreDNS's own address. The Corefile shows the upstream: an
address of its own, a loopback address, or /etc/resolv.conf, in which a node of a custom image may list 127.0.0.53 of
systemd-resolved.

Looks alike: a Corefile that does not parse and too little memory end CoreDNS as well, with other words.

Fixed at the node: kubelet's resolvConf must name a file with the real upstream, /run/systemd/resolve/resolv.conf where
systemd-resolved runs. Until then the Corefile can forward to the VPC's resolver. Taking the loop plugin out hides the loop
until the memory is used up, and a public resolver such as 8.8.8.8 knows neither private zones nor endpoint names.`,
	Needs: coreDNSNeeds,
	Wants: append([]facts.Need{facts.PodLogs, facts.ConfigMaps, facts.Addons, facts.KubeletConfigs}, coreDNSWants...),
	Sources: []string{
		"https://coredns.io/plugins/loop/#troubleshooting",
		"https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c, configs := newCoreDNS(v), facts.KubeletConfigs.In(v)
		said := coreDNSLogs(v).of(logLoop)
		f, _ := readCorefile(v, c.addresses())
		if c.deployment == nil {
			return nil
		}
		var looping []corev1.Pod
		for _, p := range c.pods {
			silent := !hasLog(v, p) && f.forwardsToItself(c.addresses()) && f.has("loop")
			if !reach.Ready(&p) && failing(p, v.At(), time.Hour) && (silent || len(said.where(inPods([]corev1.Pod{p}))) > 0) {
				looping = append(looping, p)
			}
		}
		if len(looping) == 0 {
			return nil
		}
		return []diagnose.Finding{loopFinding(c, f, said.where(inPods(looping)), looping, configs)}
	},
}

func loopFinding(c coreDNS, f corefile, said logs, looping []corev1.Pod, configs []facts.KubeletConfig) diagnose.Finding {
	zones := "."
	if sum := said.sum(); len(sum.zones) > 0 {
		zones = sum.zones[0]
	}
	back, where := f.loopsBack(zones, c.addresses())
	out := diagnose.Finding{
		Severity: c.severity(diagnose.Degraded),
		Subject:  c.ref(),
		Affects:  append(c.affected(looping), corefileRef),
		Claim:    fmt.Sprintf("CoreDNS forwards zone %q to itself%s, so its loop plugin ends it at start: %s", zones, where, c.effect()),
	}
	if len(said) > 0 {
		out.Evidence = append(out.Evidence, logEvidence(said.sum(), said[len(said)-1].previous, "no loop"))
	}
	if back != "" {
		out.Evidence = append(out.Evidence, diagnose.Evidence{
			Fact: corefileRef.String() + " Corefile", Got: back, Want: "an upstream that is not CoreDNS, such as the VPC's resolver", Command: showCorefile,
		})
	}
	if e, ok := resolvConf(looping, configs); ok {
		out.Evidence = append(out.Evidence, e)
	}
	out.Remedies = f.stopLoop(zones)
	return out
}

// resolvConf is the file from which kubelet takes what CoreDNS sees as
// /etc/resolv.conf, on the first node of pods of which that is known.
func resolvConf(pods []corev1.Pod, configs []facts.KubeletConfig) (diagnose.Evidence, bool) {
	for _, p := range pods {
		for _, k := range configs {
			if k.Name == p.Spec.NodeName && k.KubeletConfig.ResolverConfig != "" {
				return diagnose.Evidence{
					Fact: "kubelet of " + k.Name + " resolvConf", Got: k.KubeletConfig.ResolverConfig, Want: "a file whose nameservers are real upstreams, not 127.0.0.53 and not the cluster's DNS",
					Command: "kubectl get --raw /api/v1/nodes/" + k.Name + "/proxy/configz",
				}, true
			}
		}
	}
	return diagnose.Evidence{}, false
}

// loopsBack is the line of the Corefile that forwards a zone, and in words
// where to; "" when it is not known.
func (c corefile) loopsBack(zone string, own []netip.Addr) (line, where string) {
	if c.model == nil {
		return "", ""
	}
	for i := range c.model.Blocks {
		b := &c.model.Blocks[i]
		for _, f := range b.Forwards() {
			if f.From != resolve.Normal(zone) && !b.Serves(zone) {
				continue
			}
			for _, to := range f.To {
				switch {
				case to.File != "":
					line, where = c.line(f.Line), " by the nameservers of "+to.File
				case to.Addr.Addr().IsLoopback():
					return c.line(f.Line), " at " + to.Text + ", which is its own pod"
				default:
					if line == "" {
						line, where = c.line(f.Line), " by way of "+to.Text
					}
					for _, a := range own {
						if to.Addr.Addr() == a {
							return c.line(f.Line), " at " + to.Text + ", which is Service kube-dns"
						}
					}
				}
			}
		}
	}
	return line, where
}

// forwardsToItself reports whether all outside names go back to CoreDNS for
// certain: to an address of its Service, or of its own pod.
func (c corefile) forwardsToItself(own []netip.Addr) bool {
	line, where := c.loopsBack(".", own)
	return line != "" && (strings.Contains(where, "its own pod") || strings.Contains(where, "Service kube-dns"))
}

// vpcResolver is the resolver of every VPC at its link-local address.
const vpcResolver = "169.254.169.253"

// stopLoop forwards to the VPC's resolver; the nodes are for a person.
func (c corefile) stopLoop(name string) []remedy.Remedy {
	node := remedy.Remedy{
		Title:  "Give the nodes' kubelet a resolv.conf with real upstreams",
		Why:    "It is the lasting repair where /etc/resolv.conf of the nodes names a local stub: set resolvConf to /run/systemd/resolve/resolv.conf in the nodes' configuration, and replace the nodes.",
		Manual: []string{"kubectl get --raw /api/v1/nodes/NODE/proxy/configz"},
	}
	if c.model == nil || name != "." {
		return []remedy.Remedy{node}
	}
	text, err := c.model.SetForward(".:53", vpcResolver)
	if err != nil {
		return []remedy.Remedy{node}
	}
	edit, ok := c.edit(text)
	if !ok {
		return []remedy.Remedy{node}
	}
	return []remedy.Remedy{{
		Title:   "Forward to the VPC's resolver, " + vpcResolver,
		Why:     "It knows private zones and endpoint names, and does not ask back. Rules of Route 53 Resolver hold for it; upstreams that the nodes' resolv.conf names beside it are no longer asked." + c.keeps(),
		Risk:    remedy.Disruptive,
		Actions: remedy.Actions{edit},
	}, node}
}
