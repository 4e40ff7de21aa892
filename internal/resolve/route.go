package resolve

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Does is what a plugin does with a name.
type Does string

// What plugins do.
const (
	Passes    Does = "passes"     // it leaves the name to the next plugin
	Rewrites  Does = "rewrites"   // it leaves another name to the next plugin
	Answers   Does = "answers"    // nobody after it is asked
	MayAnswer Does = "may answer" // it depends on what it finds; else the next plugin is asked
	Refuses   Does = "refuses"    // it answers with an error
)

// A Link is one plugin on the way of a name through a server block.
type Link struct {
	Plugin *Plugin // nil when no plugin is left
	Does   Does
	Name   string // as the plugin sees it
	To     string // the name that a rewriting plugin leaves to the next
	Text   string
}

// Route picks the server block that gets a query for a name, and walks its plugins in the order in which CoreDNS runs them, up to the one
// that certainly answers. The block is nil when none serves the name: then
// CoreDNS answers REFUSED.
func (c *Corefile) Route(name string) (*Block, []Link) { return c.route(name, "A") }

func (c *Corefile) route(name, qtype string) (*Block, []Link) {
	name = Normal(name)
	b, views := c.pick(name)
	if b == nil {
		return nil, append(views, Link{Does: Refuses, Name: name, Text: "no server block serves " + bare(name) + ": CoreDNS answers REFUSED"})
	}
	return b, append(views, b.walk(name, qtype)...)
}

// pick finds the block with the most specific zone of a name. Blocks with a
// view come first for those whom they select.
func (c *Corefile) pick(name string) (best *Block, views []Link) {
	zone, port := "", c.port()
	for i := range c.Blocks {
		b := &c.Blocks[i]
		for _, z := range b.Zones {
			if z.Scheme != "dns" || z.Port != port || !Within(name, z.Name) || len(z.Name) < len(zone) {
				continue
			}
			if v := b.All("view"); len(v) > 0 {
				views = append(views, Link{Plugin: v[0], Does: MayAnswer, Name: name, Text: "block " + b.Label() + " answers those whom its view selects"})
				continue
			}
			if len(z.Name) > len(zone) {
				best, zone = b, z.Name
			}
		}
	}
	return best, views
}

// port is where queries come in: 53, unless no block listens there. Then the
// Service in front of CoreDNS translates.
func (c *Corefile) port() string {
	first := ""
	for _, b := range c.Blocks {
		for _, z := range b.Zones {
			if z.Scheme == "dns" && z.Port == "53" {
				return z.Port
			}
			if z.Scheme == "dns" && first == "" {
				first = z.Port
			}
		}
	}
	return cmp.Or(first, "53")
}

// walk asks the plugins of a block.
func (b *Block) walk(name, qtype string) []Link {
	var chain []Link
	for _, p := range b.ordered() {
		l := p.handle(b, name, qtype)
		if p.Name == "rewrite" {
			if len(chain) > 0 && chain[len(chain)-1].Plugin.Name == "rewrite" {
				continue // all its lines are one plugin
			}
			l = b.rewrites(p, name)
		}
		if l.Text == "" {
			continue // it has nothing to do with where names go
		}
		l.Plugin, l.Name = p, name
		if l.Does == Rewrites {
			name = l.To
		}
		chain = append(chain, l)
		if l.Does == Answers || l.Does == Refuses {
			return chain
		}
	}
	return append(chain, Link{Does: Refuses, Name: name, Text: "no plugin of block " + b.Label() + " answers " + bare(name) + ": CoreDNS answers SERVFAIL"})
}

// ordered are the plugins of b in the order in which CoreDNS runs them.
func (b *Block) ordered() []*Plugin {
	var out []*Plugin
	for i := range b.Plugins {
		out = append(out, &b.Plugins[i])
	}
	slices.SortStableFunc(out, func(x, y *Plugin) int {
		return slices.Index(directives, x.Name) - slices.Index(directives, y.Name)
	})
	return out
}

func (b *Block) rewrites(p *Plugin, name string) Link {
	to, applied := rewritten(b.Rewrites(), name)
	if len(applied) == 0 {
		return Link{Does: Passes, Text: "no rewrite rule is about " + bare(name)}
	}
	if !validName(to) {
		return Link{Does: Refuses, Text: fmt.Sprintf("%s makes a name that is none of %s: CoreDNS answers SERVFAIL", applied[len(applied)-1], name)}
	}
	return Link{Does: Rewrites, To: to, Text: fmt.Sprintf("%s -> %s (%s, line %d)", bare(name), bare(to), applied[0], applied[0].Line)}
}

// zoned are plugins that answer all names of their zones from data that the
// Corefile does not hold, with the place of their first zone among the
// arguments.
var zoned = map[string]int{"file": 1, "auto": 0, "secondary": 0, "etcd": 0, "k8s_external": 0, "nomad": 0}

// handle is what one plugin does with a name; no text for plugins that do
// not decide anything.
func (p *Plugin) handle(b *Block, name, qtype string) Link {
	switch p.Name {
	case "cache":
		c := p.cache(b)
		if longest(c.Zones, name) == "" {
			return Link{}
		}
		return Link{Does: Passes, Text: fmt.Sprintf("keeps answers for up to %s and \"no such name\" for up to %s", c.Success, c.Denial)}
	case "autopath":
		return Link{Does: Passes, Text: "tries the search list of the asking pod itself"}
	case "local":
		return local(name)
	case "any":
		if qtype == "ANY" {
			return Link{Does: Answers, Text: "answers queries of type ANY with a stub"}
		}
	case "acl":
		return p.acl(b, name)
	case "template":
		return p.template(b, name, qtype)
	case "hosts":
		return p.hosts(b).answer(name)
	case "kubernetes":
		return p.kubernetes(b).answer(name)
	case "route53", "azure", "clouddns":
		return p.external(name)
	case "forward", "grpc":
		return p.forward().answer(p.Name, name)
	case "erratic", "whoami":
		return Link{Does: Answers, Text: "answers every name with made-up data: it is for tests"}
	}
	if from, ok := zoned[p.Name]; ok {
		return p.data(origins(p.Args[min(from, len(p.Args)):], b), name)
	}
	return Link{}
}

func local(name string) Link {
	if strings.HasPrefix(name, "localhost.") || longest([]string{"0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa."}, name) != "" {
		return Link{Does: Answers, Text: "answers for localhost"}
	}
	return Link{}
}

func (p *Plugin) acl(b *Block, name string) Link {
	if longest(origins(p.Args, b), name) == "" {
		return Link{}
	}
	for _, x := range p.Props {
		if x.Name != "allow" {
			return Link{Does: MayAnswer, Text: "stops some clients: " + strings.TrimSpace(x.Name+" "+strings.Join(x.Args, " "))}
		}
	}
	return Link{}
}

func (p *Plugin) template(b *Block, name, qtype string) Link {
	if len(p.Args) < 2 || (p.Args[1] != "ANY" && p.Args[1] != qtype) || p.Args[0] != "IN" && p.Args[0] != "ANY" {
		return Link{}
	}
	if longest(origins(p.Args[2:], b), name) == "" {
		return Link{}
	}
	patterns := 0
	for _, m := range p.props("match") {
		for _, a := range m.Args {
			patterns++
			if len(a) > maxPattern {
				continue
			}
			if re, err := regexp.Compile(a); err == nil && re.MatchString(name) {
				return p.made()
			}
		}
	}
	switch {
	case patterns == 0:
		return p.made()
	case longest(p.falls(), name) != "":
		return Link{Does: Passes, Text: "the template does not match " + bare(name)}
	}
	return Link{Does: Answers, Text: "the template does not match " + bare(name) + " and has no fallthrough: SERVFAIL"}
}

func (p *Plugin) made() Link {
	switch rcode := p.value("rcode", ""); {
	case rcode != "" && rcode != "NOERROR":
		return Link{Does: Answers, Text: "the template answers " + rcode}
	case p.Prop("answer") != nil:
		return Link{Does: Answers, Text: "the template answers " + strings.Join(p.Prop("answer").Args, " ")}
	}
	return Link{Does: Answers, Text: "the template answers without records"}
}

func (h Hosts) answer(name string) Link {
	switch through := longest(h.Fallthrough, name) != ""; {
	case len(h.Inline[name]) > 0:
		return Link{Does: Answers, Text: fmt.Sprintf("the Corefile says that %s is %v", name, h.Inline[name])}
	case longest(h.Zones, name) == "":
		return Link{}
	case through && h.File == "/etc/hosts":
		return Link{Does: Passes, Text: "has no entry for " + bare(name) + ", unless the CoreDNS pod's /etc/hosts has"}
	case through:
		return Link{Does: MayAnswer, Text: "answers if " + h.File + " has an entry for " + bare(name)}
	}
	return Link{Does: Answers, Text: "answers alone for its zones and has no fallthrough: SERVFAIL unless " + h.File + " has " + bare(name)}
}

func (k Kubernetes) answer(name string) Link {
	zone := longest(k.Zones, name)
	switch {
	case zone == "":
		return Link{}
	case longest(k.Fallthrough, name) != "":
		return Link{Does: MayAnswer, Text: "answers names of " + bare(zone) + " from the cluster's objects; names it does not know go to the next plugin"}
	}
	return Link{Does: Answers, Text: "answers names of " + bare(zone) + " from the cluster's objects; names it does not know get NXDOMAIN"}
}

// external is a plugin that serves zones of a cloud.
func (p *Plugin) external(name string) Link {
	for _, a := range p.Args {
		zone, _, _ := strings.Cut(a, ":")
		if validName(zone) && Within(name, Normal(zone)) {
			return p.data([]string{Normal(zone)}, name)
		}
	}
	return Link{}
}

func (p *Plugin) data(zones []string, name string) Link {
	zone := longest(zones, name)
	switch {
	case zone == "":
		return Link{}
	case longest(p.falls(), name) != "":
		return Link{Does: MayAnswer, Text: "answers names of " + bare(zone) + " that it has; its data was not read"}
	}
	return Link{Does: Answers, Text: "answers names of " + bare(zone) + "; its data was not read"}
}

func (f Forward) answer(plugin, name string) Link {
	if !f.Takes(name) {
		return Link{}
	}
	var to []string
	for _, u := range f.To {
		to = append(to, u.Text)
	}
	return Link{Does: Answers, Text: plugin + " asks " + strings.Join(to, ", ")}
}
