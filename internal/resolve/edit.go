package resolve

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// writable is what may be written into a Corefile as a word. It keeps
// everything out that means something to CoreDNS's lexer.
var writable = regexp.MustCompile(`^[A-Za-z0-9_./:@%\[\]-]+$`)

// AddStub returns the text with a new server block at its end, which sends
// all names of a zone to upstreams. All other bytes stay.
func (c *Corefile) AddStub(zone string, upstreams ...string) (string, error) {
	zone = strings.TrimSuffix(zone, ".")
	if err := words(upstreams, zone); err != nil {
		return "", err
	}
	for i := range c.Blocks {
		if c.Blocks[i].Serves(zone) {
			return "", fmt.Errorf("add %s: the block in line %d serves it already; change that one", zone, c.Blocks[i].Line)
		}
	}
	eol := c.eol()
	text := c.text
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += eol
	}
	text += strings.Join([]string{zone + ":" + c.port() + " {", "    errors", "    cache 30", "    forward . " + strings.Join(upstreams, " "), "}", ""}, eol)
	return c.verify(text, func(is *Corefile) bool {
		n := len(c.Blocks)
		return len(is.Blocks) == n+1 && is.Blocks[n].Serves(zone) && same(c.Blocks, is.Blocks[:n], -1) &&
			slices.Equal(is.Blocks[n].summary(), []string{"errors", "cache 30", "forward . " + strings.Join(upstreams, " ")})
	})
}

// AddPlugin returns the text with one more plugin in the block of a zone, as
// a line of its own before the brace that closes the block.
func (c *Corefile) AddPlugin(zone, plugin string, args ...string) (string, error) {
	if err := words(append([]string{plugin}, args...), zone); err != nil {
		return "", err
	}
	i, err := c.find(zone)
	if err != nil {
		return "", err
	}
	b := &c.Blocks[i]
	if b.Has(plugin) && plugin != "forward" && plugin != "rewrite" && plugin != "template" {
		return "", fmt.Errorf("add %s: block %s has it already, in line %d", plugin, b.Label(), b.All(plugin)[0].Line)
	}
	line := strings.Join(append([]string{plugin}, args...), " ")
	all := c.lines()
	if b.shut <= b.open || b.shut > len(all) {
		return "", fmt.Errorf("add %s: block %s is not written as lines between braces; edit it by hand", plugin, b.Label())
	}
	text := strings.Join(slices.Insert(all, b.shut-1, c.indent(b)+line+c.eol()), "")
	return c.verify(text, func(is *Corefile) bool {
		return same(c.Blocks, is.Blocks, i) && slices.Equal(is.Blocks[i].summary(), append(b.summary(), line))
	})
}

// SetForward returns the text with other upstreams in the forward line of a
// block: the one for all names, or else its only one. Its options stay.
func (c *Corefile) SetForward(zone string, upstreams ...string) (string, error) {
	if err := words(upstreams, zone); err != nil {
		return "", err
	}
	i, err := c.find(zone)
	if err != nil {
		return "", err
	}
	p, err := c.Blocks[i].mainForward()
	if err != nil {
		return "", err
	}
	text, err := c.rewriteLine(p, append([]string{"forward", p.Args[0]}, upstreams...))
	if err != nil {
		return "", err
	}
	return c.verify(text, func(is *Corefile) bool {
		if !same(c.Blocks, is.Blocks, i) || len(is.Blocks[i].Plugins) != len(c.Blocks[i].Plugins) {
			return false
		}
		q, err := is.Blocks[i].mainForward()
		return err == nil && slices.Equal(q.Args[1:], upstreams) && slices.Equal(lines(q.Props), lines(p.Props))
	})
}

// RemovePlugin returns the text without the lines of a plugin.
func (c *Corefile) RemovePlugin(zone, plugin string) (string, error) {
	i, err := c.find(zone)
	if err != nil {
		return "", err
	}
	b := &c.Blocks[i]
	found := b.All(plugin)
	if len(found) == 0 {
		return "", fmt.Errorf("remove %s: block %s has none", plugin, b.Label())
	}
	all := c.lines()
	for _, p := range slices.Backward(found) {
		if p.Snippet != "" {
			return "", imported(p)
		}
		if p.End > len(all) {
			return "", fmt.Errorf("remove %s: line %d is not in the file", plugin, p.End)
		}
		all = slices.Delete(all, p.Line-1, p.End)
	}
	text := strings.Join(all, "")
	return c.verify(text, func(is *Corefile) bool {
		var rest []string
		for j := range b.Plugins {
			if b.Plugins[j].Name != plugin {
				rest = append(rest, b.Plugins[j].String())
			}
		}
		return same(c.Blocks, is.Blocks, i) && slices.Equal(is.Blocks[i].summary(), rest)
	})
}

func imported(p *Plugin) error {
	return fmt.Errorf("%s in line %d comes from snippet (%s), which other blocks may import; edit the snippet by hand", p.Name, p.Line, p.Snippet)
}

// mainForward is the forward plugin of a block that gets all names that are
// left.
func (b *Block) mainForward() (*Plugin, error) {
	found := b.All("forward")
	if len(found) > 1 {
		found = slices.DeleteFunc(found, func(p *Plugin) bool { return p.forward().From != "." })
	}
	switch {
	case len(found) != 1:
		return nil, fmt.Errorf("block %s has %d forward plugins that it could be; edit it by hand", b.Label(), len(found))
	case found[0].Snippet != "":
		return nil, imported(found[0])
	case len(found[0].Args) < 2:
		return nil, fmt.Errorf("forward in line %d has no upstream; edit it by hand", found[0].Line)
	}
	return found[0], nil
}

// rewriteLine gives the first line of a plugin other words. Its indentation,
// its brace and its comment stay.
func (c *Corefile) rewriteLine(p *Plugin, words []string) (string, error) {
	all := c.lines()
	if p.Line > len(all) || strings.Contains(all[p.Line-1], `"`) {
		return "", fmt.Errorf("line %d has words in quotes; edit it by hand", p.Line)
	}
	line := all[p.Line-1]
	body := strings.TrimRight(line, "\r\n")
	eol, comment := line[len(body):], ""
	if i := strings.IndexByte(body, '#'); i >= 0 {
		trimmed := strings.TrimRight(body[:i], " \t")
		body, comment = trimmed, body[len(trimmed):]
	}
	indent := body[:len(body)-len(strings.TrimLeft(body, " \t"))]
	written := indent + strings.Join(words, " ")
	if n := 1 + len(p.Args); len(p.tokens) > n && p.tokens[n].line == p.Line {
		written += " {"
	}
	all[p.Line-1] = written + comment + eol
	return strings.Join(all, ""), nil
}

// find returns the block of a zone, written as "." or ".:53".
func (c *Corefile) find(zone string) (int, error) {
	wanted, err := zonesOf(zone)
	if err != nil {
		return 0, fmt.Errorf("%q is no zone: %w", zone, err)
	}
	var at []int
	for i := range c.Blocks {
		if slices.Contains(c.Blocks[i].Zones, wanted[0]) {
			at = append(at, i)
		}
	}
	if len(at) != 1 {
		return 0, fmt.Errorf("%d server blocks serve %s; edit the Corefile by hand", len(at), zone)
	}
	return at[0], nil
}

func words(list []string, zone string) error {
	if _, err := zonesOf(zone); err != nil || len(list) == 0 {
		return fmt.Errorf("%q is no zone, or nothing is to be written", zone)
	}
	for _, w := range append([]string{zone}, list...) {
		if !writable.MatchString(w) {
			return fmt.Errorf("%q cannot be written into a Corefile", w)
		}
	}
	return nil
}

// verify reads a changed text again: an edit that CoreDNS would understand
// in another way is an error.
func (c *Corefile) verify(text string, right func(*Corefile) bool) (string, error) {
	is, err := ParseCorefile(text)
	if err != nil {
		return "", fmt.Errorf("the Corefile cannot be changed this way; edit it by hand: %w", err)
	}
	if !right(is) {
		return "", fmt.Errorf("the Corefile is written in a way that this change would not fit; edit it by hand")
	}
	return text, nil
}

// same reports whether all blocks serve the same, and all but one alike.
func same(a, b []Block, but int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].sorted() != b[i].sorted() || i != but && !slices.Equal(a[i].summary(), b[i].summary()) {
			return false
		}
	}
	return true
}

func (c *Corefile) lines() []string { return strings.SplitAfter(c.text, "\n") }

func (c *Corefile) eol() string {
	if strings.Contains(c.text, "\r\n") {
		return "\r\n"
	}
	return "\n"
}

// indent is how the first plugin of a block is indented.
func (c *Corefile) indent(b *Block) string {
	for i := range b.Plugins {
		if p := &b.Plugins[i]; p.Snippet == "" && p.Line > b.open && p.Line <= len(c.lines()) {
			line := c.lines()[p.Line-1]
			return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		}
	}
	return "    "
}
