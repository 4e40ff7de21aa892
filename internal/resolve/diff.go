package resolve

import (
	"fmt"
	"slices"
	"strings"
)

// Diff says in words what changes from one Corefile to another, one change
// a line; "" when CoreDNS would do the same with both. Comments, blanks and
// the order of plugins do not count.
func Diff(old, new *Corefile) string {
	var lines []string
	before, after := old.byLabel(), new.byLabel()
	for _, b := range old.Blocks {
		if _, stays := after[b.sorted()]; !stays {
			lines = append(lines, "- block "+b.Label()+": "+strings.Join(b.summary(), "; "))
		}
	}
	for _, b := range new.Blocks {
		was, known := before[b.sorted()]
		if !known {
			lines = append(lines, "+ block "+b.Label()+": "+strings.Join(b.summary(), "; "))
			continue
		}
		lines = append(lines, was.changes(&b)...)
	}
	return strings.Join(lines, "\n")
}

func (c *Corefile) byLabel() map[string]*Block {
	out := map[string]*Block{}
	for i := range c.Blocks {
		if key := c.Blocks[i].sorted(); out[key] == nil {
			out[key] = &c.Blocks[i]
		}
	}
	return out
}

// sorted names a block whatever the order of its zones.
func (b *Block) sorted() string {
	words := strings.Fields(b.Label())
	slices.Sort(words)
	return strings.Join(words, " ")
}

func (b *Block) summary() []string {
	var out []string
	for i := range b.Plugins {
		out = append(out, b.Plugins[i].String())
	}
	return out
}

// changes are the differences between two blocks of the same zones.
func (b *Block) changes(to *Block) []string {
	var out []string
	var names []string
	for _, p := range slices.Concat(b.Plugins, to.Plugins) {
		if !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	for _, name := range names {
		old, new := unlike(b.All(name), to.All(name))
		for i := range max(len(old), len(new)) {
			switch {
			case i >= len(old):
				out = append(out, fmt.Sprintf("+ %s: %s", b.Label(), new[i]))
			case i >= len(new):
				out = append(out, fmt.Sprintf("- %s: %s", b.Label(), old[i]))
			default:
				out = append(out, old[i].changes(b.Label(), new[i])...)
			}
		}
	}
	return out
}

// unlike drops the plugins that both lists have.
func unlike(old, new []*Plugin) (o, n []*Plugin) {
	n = slices.Clone(new)
	for _, p := range old {
		if i := slices.IndexFunc(n, func(q *Plugin) bool { return p.String() == q.String() }); i >= 0 {
			n = slices.Delete(n, i, i+1)
			continue
		}
		o = append(o, p)
	}
	return o, n
}

// changes are the differences between two settings of one plugin.
func (p *Plugin) changes(where string, to *Plugin) []string {
	var out []string
	if was, is := p.head(), to.head(); was != is {
		out = append(out, fmt.Sprintf("~ %s: %s -> %s", where, was, is))
	}
	old, new := lines(p.Props), lines(to.Props)
	for _, x := range old {
		if !slices.Contains(new, x) {
			out = append(out, fmt.Sprintf("- %s: %s: %s", where, p.Name, x))
		}
	}
	for _, x := range new {
		if !slices.Contains(old, x) {
			out = append(out, fmt.Sprintf("+ %s: %s: %s", where, p.Name, x))
		}
	}
	if len(out) == 0 {
		out = append(out, fmt.Sprintf("~ %s: %s -> %s", where, p, to))
	}
	return out
}

func (p *Plugin) head() string { return strings.Join(append([]string{p.Name}, quoted(p.Args)...), " ") }

// String is a plugin on one line: "forward . 10.0.0.2 { max_concurrent 1000 }".
func (p *Plugin) String() string {
	if len(p.Props) == 0 {
		return p.head()
	}
	return p.head() + " { " + strings.Join(lines(p.Props), "; ") + " }"
}

func lines(props []Property) []string {
	var out []string
	for _, x := range props {
		line := strings.Join(quoted(append([]string{x.Name}, x.Args...)), " ")
		if len(x.Props) > 0 {
			line += " { " + strings.Join(lines(x.Props), "; ") + " }"
		}
		out = append(out, line)
	}
	return out
}

// quoted puts quotes around words that need them.
func quoted(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if w == "" || strings.ContainsAny(w, " \t\n#\"") {
			out[i] = `"` + strings.ReplaceAll(w, `"`, `\"`) + `"`
		}
	}
	return out
}
