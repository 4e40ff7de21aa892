package resolve

import (
	"slices"
	"strconv"
	"strings"
)

// Limits of resolv.conf, of glibc and musl unless they say else
// (resolv.conf(5); kubernetes, pkg/apis/core/validation).
const (
	maxNameservers   = 3
	maxNdots         = 15
	maxTimeout       = 30 // seconds
	maxAttempts      = 5
	maxSearch        = 32   // domains that a kubelet writes
	maxSearchChars   = 2048 // that a kubelet writes
	oldSearch        = 6    // domains that glibc before 2.26 reads
	oldSearchChars   = 256  // that glibc before 2.26 and musl read
	defaultNdots     = 1
	clusterNdots     = "ndots:5"
	defaultTimeout   = 5
	defaultAttempts  = 2
	queriesPerLookup = 2 // A and AAAA
)

// A ResolvConf is what a program's resolver works by.
type ResolvConf struct {
	Nameservers []string
	Search      []string // as written
	Ndots       int
	Timeout     int // seconds that it waits for one nameserver
	Attempts    int // rounds over all nameservers

	Rotate, SingleRequest, SingleRequestReopen, UseVC, EDNS0, TrustAD bool

	Options []string // all, as written
	Notes   []string // what readers pass over or cut, in words
}

// ParseResolvConf reads a resolv.conf as glibc does. Where musl or an older
// glibc read it otherwise, a note says so. There are no errors: what they do
// not know they pass over.
func ParseResolvConf(text string) ResolvConf {
	c := ResolvConf{Ndots: defaultNdots, Timeout: defaultTimeout, Attempts: defaultAttempts}
	for line := range strings.SplitSeq(text, "\n") {
		keyword, rest := splitWord(strings.TrimRight(line, "\r"))
		words := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '\t' })
		switch {
		case len(words) == 0:
		case keyword == "nameserver":
			c.Nameservers = append(c.Nameservers, words[0])
		case keyword == "domain":
			c.Search = words[:1]
		case keyword == "search":
			c.Search = words
		case keyword == "options":
			c.Options = append(c.Options, words...)
		}
	}
	c.settle()
	return c
}

// splitWord cuts the keyword from a line; it must stand at its begin.
func splitWord(line string) (word, rest string) {
	i := strings.IndexAny(line, " \t")
	if i <= 0 || line[0] == '#' || line[0] == ';' {
		return "", ""
	}
	return line[:i], line[i:]
}

// settle applies options and limits.
func (c *ResolvConf) settle() {
	if len(c.Nameservers) > maxNameservers {
		c.note("only the first 3 of " + strconv.Itoa(len(c.Nameservers)) + " nameservers are asked")
		c.Nameservers = c.Nameservers[:maxNameservers]
	}
	if len(c.Search) > oldSearch {
		c.note("glibc before 2.26 reads only the first 6 search domains")
	}
	if len(strings.Join(c.Search, " ")) >= oldSearchChars {
		c.note("musl passes a search list of 256 characters or more over")
	}
	for _, o := range c.Options {
		name, value, _ := strings.Cut(o, ":")
		n, err := strconv.Atoi(value)
		switch {
		case name == "ndots" && err == nil:
			c.Ndots = min(max(n, 0), maxNdots)
		case name == "timeout" && err == nil:
			c.Timeout = min(max(n, 0), maxTimeout)
		case name == "attempts" && err == nil:
			c.Attempts = min(max(n, 0), maxAttempts)
		default:
			c.set(o)
		}
	}
}

func (c *ResolvConf) set(option string) {
	flags := map[string]*bool{"rotate": &c.Rotate, "single-request": &c.SingleRequest, "single-request-reopen": &c.SingleRequestReopen,
		"use-vc": &c.UseVC, "edns0": &c.EDNS0, "trust-ad": &c.TrustAD}
	if f := flags[option]; f != nil {
		*f = true
	}
}

func (c *ResolvConf) note(text string) { c.Notes = append(c.Notes, text) }

// String is the file.
func (c ResolvConf) String() string {
	var b strings.Builder
	for _, n := range c.Nameservers {
		b.WriteString("nameserver " + n + "\n")
	}
	if len(c.Search) > 0 {
		b.WriteString("search " + strings.Join(c.Search, " ") + "\n")
	}
	if len(c.Options) > 0 {
		b.WriteString("options " + strings.Join(c.Options, " ") + "\n")
	}
	return b.String()
}

// Candidates are the full names that glibc asks for in turn, until one
// exists. Names that are too long are left out.
func (c ResolvConf) Candidates(name string) []string {
	full, asIs := Normal(name), strings.HasSuffix(name, ".")
	if asIs || name == "" {
		return valid([]string{full})
	}
	list := c.searched(name)
	if strings.Count(name, ".") >= c.Ndots {
		list = slices.Insert(list, 0, full)
	} else {
		list = append(list, full)
	}
	return valid(unique(list))
}

// CandidatesMusl are those that musl asks for: it does not use the search
// list for names with ndots dots, and none that is too long.
func (c ResolvConf) CandidatesMusl(name string) []string {
	full := Normal(name)
	if name == "" || strings.HasSuffix(name, ".") || strings.Count(name, ".") >= c.Ndots || len(strings.Join(c.Search, " ")) >= oldSearchChars {
		return valid([]string{full})
	}
	return valid(unique(append(c.searched(name), full)))
}

func (c ResolvConf) searched(name string) []string {
	var out []string
	for _, s := range c.Search {
		if s = strings.Trim(s, "."); s == "" {
			out = append(out, Normal(name))
			continue
		}
		out = append(out, Normal(name+"."+s))
	}
	return out
}

// Packets is how many queries a lookup of a name sends when no candidate but
// the last exists: A and AAAA for each.
func (c ResolvConf) Packets(name string) int { return queriesPerLookup * len(c.Candidates(name)) }

func valid(names []string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return !validName(n) })
}

// unique drops what was there before.
func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
