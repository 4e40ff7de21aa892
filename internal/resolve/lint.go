package resolve

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Problem is what is wrong in a Corefile.
type Problem struct {
	Line    int
	Plugin  string // "" when it is about a block
	Text    string
	Refused bool // CoreDNS does not start with it, or keeps its old configuration
}

// String is "line 3: forward: ...".
func (p Problem) String() string {
	if p.Plugin == "" {
		return fmt.Sprintf("line %d: %s", p.Line, p.Text)
	}
	return fmt.Sprintf("line %d: %s: %s", p.Line, p.Plugin, p.Text)
}

// Lint lists what makes CoreDNS refuse a Corefile or serve badly with it, by
// line. own are the addresses of the cluster's DNS itself: forwarding to one
// of them is a loop. What depends on files or variables that are not known
// is not held against it.
func (c *Corefile) Lint(own ...netip.Addr) []Problem {
	out := c.overlaps()
	for i := range c.Blocks {
		b := &c.Blocks[i]
		out = append(out, b.lint(own)...)
	}
	out = append(out, c.lacks()...)
	slices.SortStableFunc(out, func(x, y Problem) int { return x.Line - y.Line })
	return out
}

// Check is what ParseCorefile or else Lint have against a text.
func Check(text string, own ...netip.Addr) []Problem {
	c, err := ParseCorefile(text)
	if err == nil {
		return c.Lint(own...)
	}
	p, _ := err.(*ParseError)
	if p == nil {
		return []Problem{{Text: err.Error(), Refused: true}}
	}
	for name, instead := range removed {
		if p.Text == "Unknown directive '"+name+"'" {
			return []Problem{{Line: p.Line, Plugin: name, Text: p.Text + ": " + instead, Refused: true}}
		}
	}
	return []Problem{{Line: p.Line, Text: p.Text, Refused: true}}
}

// overlaps are zones that two blocks serve on the same addresses.
func (c *Corefile) overlaps() []Problem {
	var out []Problem
	type seen struct{ zone, at string }
	first := map[seen]int{}
	for i := range c.Blocks {
		b := &c.Blocks[i]
		if b.Has("view") {
			continue
		}
		for _, z := range b.Zones {
			for _, at := range b.binds() {
				key := seen{z.String(), at}
				line, again := first[key]
				if other := (seen{z.String(), ""}); !again && at != "" {
					line, again = first[other]
				}
				if again {
					out = append(out, Problem{Line: b.Line, Refused: true, Text: fmt.Sprintf("cannot serve %s - it is already defined (line %d)", z, line)})
					continue
				}
				first[key] = b.Line
			}
		}
	}
	return out
}

// binds are the addresses that a block listens on; "" for all.
func (b *Block) binds() []string {
	var out []string
	for _, p := range b.All("bind") {
		out = append(out, p.Args...)
	}
	if len(out) == 0 {
		return []string{""}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (b *Block) lint(own []netip.Addr) []Problem {
	var out []Problem
	count := map[string]int{}
	for i := range b.Plugins {
		p := &b.Plugins[i]
		if count[p.Name]++; count[p.Name] > 1 && slices.Contains(once, p.Name) {
			out = append(out, p.refused("this plugin can only be used once per Server Block"))
		}
		if fromEnvironment.MatchString(p.words()) {
			continue // its arguments are not known
		}
		out = append(out, p.lintProps()...)
		out = append(out, p.lintArgs(b)...)
		if p.Name == "forward" {
			out = append(out, p.lintLoop(own)...)
		}
	}
	return out
}

// words are all words of a directive.
func (p *Plugin) words() string {
	var all []string
	for _, t := range p.tokens {
		all = append(all, t.text)
	}
	return strings.Join(all, " ")
}

func (p *Plugin) refused(format string, args ...any) Problem {
	return Problem{Line: p.Line, Plugin: p.Name, Text: fmt.Sprintf(format, args...), Refused: true}
}

func (p *Plugin) wrongCount(line int, after string) Problem {
	return Problem{Line: line, Plugin: p.Name, Refused: true, Text: fmt.Sprintf("Wrong argument count or unexpected line ending after '%s'", after)}
}

// lintProps checks the properties of a plugin against those that it has.
func (p *Plugin) lintProps() []Problem {
	rules, known := knownProps[p.Name]
	if !known {
		return nil
	}
	var out []Problem
	for _, x := range p.Props {
		r, ok := rules[x.Name]
		switch was := removedProps[p.Name][x.Name]; {
		case was != "":
			out = append(out, Problem{Line: x.Line, Plugin: p.Name, Refused: true, Text: fmt.Sprintf("unknown property '%s': %s", x.Name, was)})
		case !ok:
			out = append(out, Problem{Line: x.Line, Plugin: p.Name, Refused: true, Text: fmt.Sprintf("unknown property '%s'", x.Name)})
		case len(x.Args) < r.min || r.max >= 0 && len(x.Args) > r.max:
			out = append(out, p.wrongCount(x.Line, x.Name))
		case r.check != nil && len(x.Args) > 0:
			if why := r.check(x.Args); why != "" {
				out = append(out, Problem{Line: x.Line, Plugin: p.Name, Refused: true, Text: x.Name + ": " + why})
			}
		}
	}
	return out
}

// lintArgs checks what stands on the first line of a plugin.
func (p *Plugin) lintArgs(b *Block) []Problem {
	n := len(p.Args)
	switch p.Name {
	case "loop":
		if n > 0 {
			return []Problem{p.wrongCount(p.Line, p.Args[n-1])}
		}
	case "health", "ready", "prometheus":
		return p.lintListen(b)
	case "reload":
		return p.lintReload()
	case "forward":
		return p.lintForward()
	case "kubernetes":
		return p.lintKubernetes(b)
	case "cache":
		if n > 0 {
			if ttl, err := strconv.Atoi(p.Args[0]); err == nil && ttl <= 0 {
				return []Problem{p.refused("cache TTL can not be zero or negative: %d", ttl)}
			}
		}
	case "rewrite":
		if _, why := p.rewrite(); why != "" {
			return []Problem{p.refused("%s", why)}
		}
	case "template":
		if n < 2 {
			return []Problem{p.wrongCount(p.Line, p.tokens[n].text)}
		}
	case "autopath":
		return p.lintAutopath(b)
	}
	return nil
}

func (p *Plugin) lintListen(b *Block) []Problem {
	if len(p.Args) > 1 {
		return []Problem{p.wrongCount(p.Line, p.Args[1])}
	}
	if len(p.Args) == 1 {
		if _, _, err := net.SplitHostPort(p.Args[0]); err != nil {
			return []Problem{p.refused("%v", err)}
		}
	}
	if p.Name == "health" && p.Prop("lameduck") == nil && b.Has("kubernetes") {
		return []Problem{{Line: p.Line, Plugin: p.Name, Text: "no lameduck: a pod that ends stops to answer at once, while queries still come to it"}}
	}
	return nil
}

func (p *Plugin) lintReload() []Problem {
	if len(p.Args) > 2 {
		return []Problem{p.wrongCount(p.Line, p.Args[2])}
	}
	for i, a := range p.Args {
		d, err := time.ParseDuration(a)
		if err != nil {
			return []Problem{p.refused("%v", err)}
		}
		if i == 0 && d < 2*time.Second {
			return []Problem{p.refused("interval value must be greater or equal to 2s")}
		}
		if i == 1 && d != 0 && d < time.Second {
			return []Problem{p.refused("jitter value must be 0 or greater or equal to 1s")}
		}
	}
	return nil
}

func (p *Plugin) lintForward() []Problem {
	if len(p.Args) < 2 {
		return []Problem{p.wrongCount(p.Line, p.tokens[len(p.Args)].text)}
	}
	f := p.forward()
	if f.From == "" {
		return []Problem{p.refused("unable to normalize '%s'", p.Args[0])}
	}
	var out []Problem
	for _, u := range f.To {
		switch {
		case u.Scheme == "grpc" || u.Scheme == "quic" || u.Scheme == "https3" || u.Scheme == "unix":
			out = append(out, p.refused("'%s' is not supported as a destination protocol in forward: %s", u.Scheme, u.Text))
		case u.File != "" && !strings.HasPrefix(u.File, "/") && u.Scheme == "dns" && !strings.Contains(u.File, "%"):
			out = append(out, p.refused("not an IP address or file: %q", u.Text))
		}
	}
	if len(f.To) > 15 {
		out = append(out, p.refused("more than 15 TOs configured: %d", len(f.To)))
	}
	return out
}

// lintLoop finds upstreams that lead back to the cluster's DNS.
func (p *Plugin) lintLoop(own []netip.Addr) []Problem {
	var out []Problem
	for _, u := range p.forward().To {
		a := u.Addr.Addr().Unmap()
		switch {
		case !a.IsValid() || u.Addr.Port() != 53 && u.Addr.Port() != 853:
		case slices.Contains(own, a):
			out = append(out, Problem{Line: p.Line, Plugin: p.Name, Text: fmt.Sprintf("%s is the cluster's own DNS: queries go round in a loop", a)})
		case a.IsLoopback():
			out = append(out, Problem{Line: p.Line, Plugin: p.Name, Text: fmt.Sprintf("%s is CoreDNS itself in its pod: queries go round in a loop", a)})
		}
	}
	return out
}

func (p *Plugin) lintKubernetes(b *Block) []Problem {
	k := p.kubernetes(b)
	forward := slices.ContainsFunc(k.Zones, func(z string) bool { return !strings.HasSuffix(z, ".arpa.") })
	switch {
	case !forward:
		return []Problem{p.refused("non-reverse zone name must be used")}
	case k.Namespaces != nil && k.NamespaceLabels != "":
		return []Problem{p.refused("namespaces and namespace_labels cannot both be set")}
	}
	return nil
}

func (p *Plugin) lintAutopath(b *Block) []Problem {
	if len(p.Args) == 0 {
		return []Problem{p.refused("no resolv-conf specified")}
	}
	if p.Args[len(p.Args)-1] != "@kubernetes" {
		return nil
	}
	for _, k := range b.Kubernetes() {
		if k.Pods != "verified" {
			return []Problem{{Line: p.Line, Plugin: p.Name, Text: "it does nothing unless kubernetes has pods verified: it does not know who asks"}}
		}
	}
	return nil
}

// lacks are plugins that the block with the cluster's names should have.
func (c *Corefile) lacks() []Problem {
	imported := func(b *Block) bool { // something else may bring them
		return slices.ContainsFunc(c.Unread, func(u Unread) bool {
			return u.Line >= b.Line && u.Line <= b.End && strings.HasPrefix(u.What, "import ")
		})
	}
	var out []Problem
	for i := range c.Blocks {
		b := &c.Blocks[i]
		if !b.Has("kubernetes") || imported(b) {
			continue
		}
		lack := func(name, why string) {
			if !b.Has(name) {
				out = append(out, Problem{Line: b.Line, Plugin: name, Text: "block " + b.Label() + " has none: " + why})
			}
		}
		if !c.anywhere("ready") {
			lack("ready", "a readiness probe of /ready on port 8181 fails, or pods get queries before they know the cluster's names")
		}
		if !c.anywhere("health") {
			lack("health", "a liveness probe of /health on port 8080 fails, and the pod is restarted again and again")
		}
		lack("errors", "failures are not in its log")
		lack("cache", "every query is worked out anew, and every outside name asks upstream")
		if len(b.Forwards()) > 0 {
			lack("loop", "a forwarding loop is not noticed, and the pod works until its memory is used up")
		}
	}
	return out
}

func (c *Corefile) anywhere(plugin string) bool {
	return slices.ContainsFunc(c.Blocks, func(b Block) bool { return b.Has(plugin) })
}
