package dns

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

// A corefile is the Corefile of ConfigMap kube-system/coredns: what CoreDNS
// reads at its next start, and with the reload plugin before that.
type corefile struct {
	text    string
	model   *resolve.Corefile // nil when it does not parse
	refused []resolve.Problem // why CoreDNS would not take it
	addon   addon
	managed bool
}

// corefileRef is the ConfigMap.
var corefileRef = ref(facts.ConfigMaps.Kind(), system, deployment)

// showCorefile is the command that shows it.
const showCorefile = "kubectl -n kube-system get configmap coredns -o jsonpath='{.data.Corefile}'"

// readCorefile returns the Corefile; false when the ConfigMap has none.
func readCorefile(v *facts.View, own []netip.Addr) (corefile, bool) {
	c := corefile{}
	c.addon, c.managed = coreDNSAddon(v)
	for _, m := range facts.ConfigMaps.In(v) {
		if m.Namespace != system || m.Name != deployment || m.Data["Corefile"] == "" {
			continue
		}
		c.text = m.Data["Corefile"]
		c.model, _ = resolve.ParseCorefile(c.text)
		for _, p := range resolve.Check(c.text, own...) {
			if p.Refused {
				c.refused = append(c.refused, p)
			}
		}
		return c, true
	}
	return c, false
}

// addresses are those of the Service in front of CoreDNS; none when it is not
// there.
func (c coreDNS) addresses() []netip.Addr {
	if c.service == nil {
		return nil
	}
	var out []netip.Addr
	for _, s := range append([]string{c.service.Spec.ClusterIP}, c.service.Spec.ClusterIPs...) {
		if a, err := netip.ParseAddr(s); err == nil && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// has reports whether a block of the Corefile has a plugin, or may get it
// from a file that was not read.
func (c corefile) has(plugin string) bool {
	return c.model != nil && (len(c.model.Unread) > 0 || slices.ContainsFunc(c.model.Blocks, func(b resolve.Block) bool { return b.Has(plugin) }))
}

// cluster is the block that serves the cluster's names: the first with the
// kubernetes plugin; nil when there is none.
func (c corefile) cluster() *resolve.Block {
	if c.model == nil {
		return nil
	}
	for i := range c.model.Blocks {
		if c.model.Blocks[i].Has("kubernetes") {
			return &c.model.Blocks[i]
		}
	}
	return nil
}

// zone names a block as the functions that edit it take it: its first zone in
// plain DNS with the port; "" when it has none.
func zone(b *resolve.Block) string {
	for _, z := range b.Zones {
		if z.Scheme == "dns" {
			return z.Name + ":" + z.Port
		}
	}
	return ""
}

// edit is the change to another text: in the add-on's configuration where the
// Corefile stands there, else in the ConfigMap. It reports false when the text
// is the same, is still refused, or was not read in full.
func (c corefile) edit(to string) (remedy.Action, bool) {
	bad := slices.ContainsFunc(resolve.Check(to), func(p resolve.Problem) bool { return p.Refused })
	if to == c.text || to == "" || bad || strings.Contains(c.text, "••••••") {
		return nil, false
	}
	if values, ok := c.addon.values(); c.managed && (!ok || values["corefile"] != nil) {
		a, ok := c.addon.configure("corefile", to)
		return a, ok
	}
	return remedy.SetConfigMapKey{Namespace: system, Name: deployment, Key: "Corefile", From: c.text, To: to}, true
}

// keeps says what becomes of an edit when EKS manages the add-on.
func (c corefile) keeps() string {
	switch values, ok := c.addon.values(); {
	case c.managed && ok && values["corefile"] != nil:
		return " EKS takes the Corefile from the add-on's configuration, so it is changed there: in the ConfigMap alone it would not last."
	case c.managed:
		return " EKS manages CoreDNS: an add-on update with OVERWRITE would undo it."
	}
	return ""
}

// byHand is the remedy for a change that a person has to write.
func (c corefile) byHand(title, why string) remedy.Remedy {
	return remedy.Remedy{Title: title, Why: why, Manual: []string{showCorefile, "kubectl -n kube-system edit configmap coredns"}}
}

// line is a line of the text, without white space around it.
func (c corefile) line(n int) string {
	all := strings.Split(c.text, "\n")
	if n < 1 || n > len(all) {
		return ""
	}
	return strings.TrimSpace(all[n-1])
}

// problem is the evidence of what CoreDNS refuses.
func (c corefile) problem() diagnose.Evidence {
	p := c.refused[0]
	got := p.String()
	if l := c.line(p.Line); l != "" {
		got += ": `" + facts.Redact(l) + "`"
	}
	if n := len(c.refused) - 1; n > 0 {
		got += fmt.Sprintf(" (and %s)", diagnose.Count(n, "more problem"))
	}
	return diagnose.Evidence{Fact: corefileRef.String() + " Corefile", Got: got, Want: "a Corefile that this version of CoreDNS takes", Command: showCorefile}
}

// common are the plugins that Corefiles of clusters have: what a typo may
// have been.
var common = []string{"errors", "health", "ready", "kubernetes", "prometheus", "forward", "cache", "loop", "reload", "loadbalance", "log", "hosts", "rewrite", "template", "autopath", "import"}

var (
	unknownDirective = regexp.MustCompile(`^Unknown directive '([^']+)'`)
	unknownProperty  = regexp.MustCompile(`^unknown property '([^']+)'`)
)

// repaired is the text without what CoreDNS refuses, for faults that leave no
// choice: a directive with a typo, proxy for forward, a property of the
// kubernetes plugin that is no more. It reports false for others.
func (c corefile) repaired() (text, what string, ok bool) {
	lines := strings.SplitAfter(c.text, "\n")
	p := c.refused[0]
	if p.Line < 1 || p.Line > len(lines) {
		return "", "", false
	}
	line := &lines[p.Line-1]
	switch {
	case unknownDirective.MatchString(p.Text):
		was := unknownDirective.FindStringSubmatch(p.Text)[1]
		is := "forward"
		if was != "proxy" {
			near := facts.Nearest(was, common, 2)
			if facts.Distance(was, near[0]) > 2 || facts.Distance(was, near[1]) == facts.Distance(was, near[0]) {
				return "", "", false
			}
			is = near[0]
		}
		if !strings.HasPrefix(strings.TrimSpace(*line), was) {
			return "", "", false
		}
		*line, what = strings.Replace(*line, was, is, 1), fmt.Sprintf("write %s for %s in line %d", is, was, p.Line)
	case unknownProperty.MatchString(p.Text) && p.Plugin == "kubernetes" && !strings.ContainsAny(*line, "{}"):
		was := unknownProperty.FindStringSubmatch(p.Text)[1]
		if was != "upstream" && was != "resyncperiod" {
			return "", "", false
		}
		*line, what = "", fmt.Sprintf("delete %s in line %d", was, p.Line)
	default:
		return "", "", false
	}
	return strings.Join(lines, ""), what, true
}
