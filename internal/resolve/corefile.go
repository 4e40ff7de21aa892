package resolve

import (
	"strings"
)

// A Corefile is the configuration of CoreDNS as CoreDNS understands it.
type Corefile struct {
	Blocks []Block
	Unread []Unread // what it takes from elsewhere

	text string
}

// Unread is a part of a Corefile that comes from a file or from the
// environment of CoreDNS, and is not known here.
type Unread struct {
	Line int
	What string // import custom/*.server, {$DOMAIN}
	In   string // the zones of the block it stands in, "" between blocks
}

// A Block is a server block: the zones that it serves and the plugins that
// do it.
type Block struct {
	Line    int // of its first zone
	End     int // of its last token
	Zones   []Zone
	Plugins []Plugin // in the order of the file

	open, shut int // lines of its braces, 0 for none
}

// A Zone is what a server block serves, and where.
type Zone struct {
	Scheme string // dns, tls, https, https3, quic or grpc
	Name   string // lower case, with a dot at the end
	Port   string
}

// String is z as CoreDNS names it in its errors.
func (z Zone) String() string { return z.Scheme + "://" + z.Name + ":" + z.Port }

// A Plugin is a directive of a server block.
type Plugin struct {
	Name    string
	Args    []string
	Props   []Property // lines of its block
	Line    int
	End     int    // last line
	Snippet string // the snippet that it was imported from

	tokens []token
}

// A Property is a line in the block of a plugin.
type Property struct {
	Name  string
	Args  []string
	Line  int
	Props []Property // lines of its own block
}

// Text is the Corefile as it was given to ParseCorefile.
func (c *Corefile) Text() string { return c.text }

// ParseCorefile reads a Corefile as CoreDNS does, but for what files and
// variables of CoreDNS's own surroundings bring in: that is listed as Unread.
// The error is a *ParseError with what CoreDNS would say.
func ParseCorefile(text string) (*Corefile, error) {
	p := &parser{reader: reader{stack: [][]token{lex(text)}}, file: &Corefile{text: text}, snippets: map[string][]token{}}
	for {
		if _, more := p.peek(); !more {
			return p.file, nil
		}
		if err := p.block(); err != nil {
			return nil, err
		}
	}
}

type parser struct {
	reader
	file       *Corefile
	snippets   map[string][]token
	expansions int
	keys       []token // of the block that is being read
}

// block reads a server block or the definition of a snippet.
func (p *parser) block() error {
	if err := p.addresses(); err != nil {
		return err
	}
	t, more := p.peek()
	open := 0
	if more && t.text == "{" {
		p.take()
		open = t.line
	}
	if name, ok := p.snippetName(); ok && more {
		return p.define(name, open)
	}
	b := Block{open: open}
	if more {
		if err := p.contents(&b); err != nil {
			return err
		}
	}
	if len(p.keys) == 0 {
		return nil
	}
	b.Line, b.End = p.keys[0].line, p.prev.end()
	for _, k := range p.keys {
		zones, err := zonesOf(k.text)
		if err != nil {
			return failed(k.line, "%v", err)
		}
		b.Zones = append(b.Zones, zones...)
	}
	p.file.Blocks = append(p.file.Blocks, b)
	return nil
}

// addresses reads the zones of a block, up to its brace or first directive.
func (p *parser) addresses() error {
	p.keys = nil
	comma := false
	for {
		t, more := p.peek()
		switch {
		case !more && comma:
			return failed(p.prev.line, "Unexpected EOF")
		case !more:
			return nil
		case t.text == "import" && p.newLine():
			if err := p.include(); err != nil {
				return err
			}
			continue
		case t.text == "{" && comma:
			return failed(t.line, "Expected another address but had '{' - check for extra comma")
		case t.text == "{":
			return nil
		}
		p.take()
		if t.text != "" {
			comma = strings.HasSuffix(t.text, ",")
			t.text = strings.TrimSuffix(t.text, ",")
			p.note(t)
			p.keys = append(p.keys, t)
		}
		if !comma && p.newLine() {
			return nil
		}
	}
}

func (p *parser) snippetName() (string, bool) {
	if len(p.keys) != 1 || !strings.HasPrefix(p.keys[0].text, "(") || !strings.HasSuffix(p.keys[0].text, ")") {
		return "", false
	}
	return strings.TrimSuffix(p.keys[0].text[1:], ")"), true
}

// define keeps the tokens of a snippet.
func (p *parser) define(name string, open int) error {
	if _, again := p.snippets[name]; again {
		return failed(p.keys[0].line, "redeclaration of previously declared snippet %s", name)
	}
	if open == 0 {
		return failed(p.keys[0].line, "Unexpected token, expecting '{' after snippet (%s)", name)
	}
	body := []token{}
	for depth := 1; ; {
		t, more := p.take()
		if !more {
			return failed(p.prev.line, "Unexpected token '%s', expecting '}'", p.prev.text)
		}
		switch t.text {
		case "{":
			depth++
		case "}":
			depth--
		}
		if depth == 0 {
			break
		}
		t.snippet = name
		body = append(body, t)
	}
	if line := importsItself(name, body); line > 0 {
		return failed(line, "maximum snippet import depth (%d) exceeded", maxExpansions)
	}
	p.snippets[name] = body
	return nil
}

// importsItself returns the line on which a snippet imports itself, 0 for
// none. Longer circles show when they are imported.
func importsItself(name string, body []token) int {
	for i := 0; i+1 < len(body); i++ {
		begins := i == 0 || body[i-1].line != body[i].line
		if begins && body[i].text == "import" && body[i+1].text == name {
			return body[i].line
		}
	}
	return 0
}

// include puts a snippet in the place of its import, or notes a file that
// CoreDNS would read.
func (p *parser) include() error {
	before, begun := p.prev, p.begun
	at, _ := p.take()
	what, ok := p.takeArg()
	if !ok {
		return failed(at.line, "Wrong argument count or unexpected line ending after 'import'")
	}
	if what.text == "" {
		return failed(at.line, "Import requires a non-empty filepath")
	}
	if _, more := p.takeArg(); more {
		return failed(at.line, "Import takes only one argument (glob pattern or file)")
	}
	p.prev, p.begun = before, begun
	body, ok := p.snippets[what.text]
	if !ok {
		p.file.Unread = append(p.file.Unread, Unread{Line: at.line, What: "import " + what.text, In: p.zones()})
		return nil
	}
	if p.expansions++; p.expansions > maxExpansions {
		return failed(at.line, "maximum snippet import depth (%d) exceeded", maxExpansions)
	}
	p.stack = append(p.stack, body)
	return nil
}

// zones are the addresses of the block that is being read, as written.
func (p *parser) zones() string {
	var all []string
	for _, k := range p.keys {
		all = append(all, k.text)
	}
	return strings.Join(all, " ")
}

// note lists what the environment of CoreDNS would put into a token.
func (p *parser) note(t token) {
	if m := fromEnvironment.FindString(t.text); m != "" {
		p.file.Unread = append(p.file.Unread, Unread{Line: t.line, What: m, In: p.zones()})
	}
}

// contents reads the directives of a block.
func (p *parser) contents(b *Block) error {
	for {
		t, more := p.peek()
		if !more {
			break
		}
		if t.text == "import" {
			if err := p.include(); err != nil {
				return err
			}
			continue
		}
		if t.text == "}" {
			p.take()
			if b.open > 0 {
				b.shut = t.line
			}
			return nil
		}
		if err := p.directive(b); err != nil {
			return err
		}
	}
	if b.open > 0 && p.prev.text != "}" { // CoreDNS looks at the last brace only, whatever it closed
		return failed(p.prev.line, "Unexpected token '%s', expecting '}'", p.prev.text)
	}
	return nil
}

// directive reads one directive with its block.
func (p *parser) directive(b *Block) error {
	t, _ := p.take()
	if !known(t.text) && !fromEnvironment.MatchString(t.text) {
		return failed(t.line, "Unknown directive '%s'", t.text)
	}
	p.note(t)
	words := []token{t}
	for depth := 0; ; {
		w, more := p.peek()
		if !more && depth > 0 {
			return failed(p.prev.line, "Unexpected EOF")
		}
		if !more || w.text != "{" && depth == 0 && p.newLine() {
			break
		}
		if w.text == "import" && p.newLine() {
			if err := p.include(); err != nil {
				return err
			}
			continue
		}
		switch w.text {
		case "{":
			depth++
		case "}":
			depth--
		}
		if depth < 0 {
			return failed(w.line, "Unexpected '}' because no matching opening brace")
		}
		if depth > maxNesting || p.taken > maxTokens {
			return failed(w.line, "the file is nested too deeply or its imports make it too long")
		}
		p.take()
		p.note(w)
		words = append(words, w)
	}
	b.Plugins = append(b.Plugins, newPlugin(words))
	return nil
}

// newPlugin gives the words of a directive their structure.
func newPlugin(words []token) Plugin {
	p := Plugin{Name: words[0].text, Line: words[0].line, End: words[len(words)-1].end(), Snippet: words[0].snippet, tokens: words}
	rest := words[1:]
	for len(rest) > 0 && rest[0].text != "{" {
		p.Args = append(p.Args, rest[0].text)
		rest = rest[1:]
	}
	if len(rest) > 0 {
		p.Props, _ = properties(rest[1:])
	}
	return p
}

// properties reads the lines up to the brace that closes their block, and
// returns what follows it.
func properties(words []token) (props []Property, rest []token) {
	line := -1
	for len(words) > 0 {
		w := words[0]
		words = words[1:]
		switch {
		case w.text == "}":
			return props, words
		case w.text == "{":
			var inner []Property
			inner, words = properties(words)
			if len(props) > 0 {
				props[len(props)-1].Props = inner
			}
			line = -1
		case w.line == line:
			last := &props[len(props)-1]
			last.Args = append(last.Args, w.text)
			line = w.end()
		default:
			props = append(props, Property{Name: w.text, Line: w.line})
			line = w.end()
		}
	}
	return props, nil
}
