package reach

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/facts"
)

// A Verdict says whether traffic passes.
type Verdict string

// The verdicts.
const (
	Allowed    Verdict = "allowed"
	Denied     Verdict = "denied"
	Partly     Verdict = "partly"      // of a path whose ends are several hosts: some of the connections are stopped
	CannotTell Verdict = "cannot tell" // what would decide is not known; the step says what
)

// A Symptom is what the client of a stopped connection sees.
type Symptom string

// The symptoms.
const (
	Timeout    Symptom = "timeout"        // packets are dropped: nothing answers
	Refused    Symptom = "refused"        // something answers that nobody listens
	NoSuchName Symptom = "name not found" // there is no address to connect to
)

// A Step is one hop of a Path: what a packet meets, in the order in which it
// meets it, and the rule that decides there.
type Step struct {
	Hop     string      `json:"hop"`
	Verdict Verdict     `json:"verdict"`
	Rule    string      `json:"rule,omitempty"`    // what holds the deciding rule: sg-..., acl-..., rtb-..., namespace/policy
	Text    string      `json:"text"`              // the rule in words, why none lets it pass, or what is not known
	Command string      `json:"command,omitempty"` // what a person would type to see the same
	Objects []facts.Ref `json:"objects,omitempty"` // what the step is about
	Symptom Symptom     `json:"symptom,omitempty"` // what the client sees if it stops here
}

// A Path is the answer to "can from reach to?". When an end is several hosts
// the steps are those of the worst pair.
type Path struct {
	From     string  `json:"from"`
	To       string  `json:"to"`
	Protocol string  `json:"protocol"`
	Port     int32   `json:"port"`
	Verdict  Verdict `json:"verdict"`
	Symptom  Symptom `json:"symptom,omitempty"` // what the client would see; "" when nothing stops it
	Text     string  `json:"text"`              // the answer in one sentence
	Pairs    int     `json:"pairs,omitempty"`   // connections that were followed, from each source to each destination
	Stopped  int     `json:"stopped,omitempty"` // those of them that are stopped for certain
	Hops     []Step  `json:"hops"`

	Missing []facts.Gap `json:"missing,omitempty"` // facts that were not to be had, when the verdict is CannotTell; Trace leaves it to those who know why
}

// Broken returns the index of the step that stops the traffic, or, when none
// does for certain, of the first that cannot be told; -1 when all is allowed.
func (p *Path) Broken() int {
	if i := slices.IndexFunc(p.Hops, func(s Step) bool { return s.Verdict == Denied }); i >= 0 {
		return i
	}
	return slices.IndexFunc(p.Hops, func(s Step) bool { return s.Verdict == CannotTell })
}

// Objects are what the step that stops the traffic for certain is about.
func (p *Path) Objects() []facts.Ref {
	if i := p.Broken(); i >= 0 && p.Hops[i].Verdict == Denied {
		return p.Hops[i].Objects
	}
	return nil
}

// maxPairs bounds the work of one question.
const maxPairs = 4096

// Trace follows a connection from one end to another, hop by hop. protocol is
// "tcp" or "udp"; "" is tcp, but for port 53 udp. Port 0 takes the first port of a Service or pod,
// and 443 of what is outside. What is not known is a step that cannot be told,
// never one that is allowed.
func (n *Network) Trace(from, to facts.Target, protocol string, port int32) Path {
	ix := n.index
	if ix == nil {
		ix = newIndex(Inputs{})
	}
	port = cmp.Or(port, to.Port)
	protocol = cmp.Or(strings.ToLower(protocol), map[bool]string{true: "udp", false: "tcp"}[port == 53])
	q := &question{index: ix, from: from, to: to, protocol: protocol, port: port}
	p := Path{From: Label(from), To: Label(to), Protocol: protocol, Hops: []Step{}}
	q.answer(&p)
	p.Port = q.port
	p.conclude()
	return p
}

// A question is one call of Trace.
type question struct {
	*index
	from, to facts.Target
	protocol string
	port     int32
	local    bool // the Service sends to endpoints on the source's node only
}

func (q *question) answer(p *Path) {
	if q.port < 0 || q.port > 65535 {
		p.Hops = []Step{unknownStep("port", fmt.Sprintf("%d is no port", q.port), "")}
		return
	}
	sources, no := q.sources()
	if no != nil {
		p.Hops = []Step{*no}
		return
	}
	dests, steps := q.destinations()
	if len(dests) == 0 {
		p.Hops = steps
		return
	}
	p.tally(q, sources, dests, steps)
}

// tally follows every pair and keeps the steps of the worst.
func (p *Path) tally(q *question, sources []party, dests []destination, before []Step) {
	worst := -1
	for i := range sources {
		for j := range dests {
			if q.local && dests[j].node != sources[i].node {
				continue
			}
			if p.Pairs == maxPairs {
				p.Hops = append(p.Hops, unknownStep("all pairs", fmt.Sprintf("there are more than %d connections from one end to the other; only those were followed", maxPairs), ""))
				return
			}
			p.Pairs++
			steps := append(before[:len(before):len(before)], q.follow(&sources[i], &dests[j])...)
			v := worstOf(steps)
			if v == Denied {
				p.Stopped++
			}
			if s := severity(v); s > worst || s == worst && len(steps) > len(p.Hops) { // of equal ones, the longer way
				worst, p.Hops = s, steps
			}
		}
	}
	if p.Pairs == 0 {
		p.Hops = append(before, Step{Hop: "endpoint on the same node", Verdict: Denied, Symptom: Timeout, Command: q.serviceCommand(),
			Text: p.To + " has internalTrafficPolicy Local, and no ready endpoint runs on the source's node", Objects: q.serviceRef()})
	}
}

func severity(v Verdict) int { return slices.Index([]Verdict{Allowed, CannotTell, Denied}, v) }

func worstOf(steps []Step) Verdict {
	worst := Allowed
	for i := range steps {
		if severity(steps[i].Verdict) > severity(worst) {
			worst = steps[i].Verdict
		}
	}
	return worst
}

// conclude sums the steps up.
func (p *Path) conclude() {
	p.Verdict = worstOf(p.Hops)
	if p.Verdict == Denied && p.Stopped > 0 && p.Stopped < p.Pairs {
		p.Verdict = Partly
	}
	i := p.Broken()
	if i < 0 {
		p.Text = fmt.Sprintf("%s can reach %s: all %d hops let %s pass", p.From, p.target(), len(p.Hops), p.Protocol)
		return
	}
	h := p.Hops[i]
	p.Symptom = h.Symptom
	switch p.Verdict {
	case Denied:
		p.Text = fmt.Sprintf("%s cannot reach %s: stopped at %s: %s", p.From, p.target(), h.Hop, h.Text)
	case Partly:
		p.Text = fmt.Sprintf("%s reaches %s in part: %d of %d connections are stopped, as at %s: %s", p.From, p.target(), p.Stopped, p.Pairs, h.Hop, h.Text)
	default:
		p.Text = fmt.Sprintf("Cannot tell whether %s reaches %s: at %s, %s", p.From, p.target(), h.Hop, h.Text)
	}
}

func (p *Path) target() string {
	if p.Port == 0 || strings.HasSuffix(p.To, fmt.Sprintf(":%d", p.Port)) {
		return p.To
	}
	return fmt.Sprintf("%s on port %d", p.To, p.Port)
}

func unknownStep(hop, text, command string, objects ...facts.Ref) Step {
	return Step{Hop: hop, Verdict: CannotTell, Text: text, Command: command, Objects: objects}
}

// stepOf makes a step of a decision; what it stops times out, as filters of
// VPCs and network plugins drop.
func stepOf(hop string, d Decision, command string, objects ...facts.Ref) Step {
	s := Step{Hop: hop, Verdict: Denied, Rule: d.Rule, Text: d.Text, Command: command, Objects: objects}
	switch {
	case d.Allowed:
		s.Verdict = Allowed
	case d.Undecided:
		s.Verdict = CannotTell
	}
	s.Symptom = Timeout
	if s.Verdict != Denied {
		s.Symptom = ""
	}
	return s
}
