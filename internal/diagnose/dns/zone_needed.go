package dns

import (
	"fmt"
	"slices"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// A needed is some lookups that one object fails.
type needed []*lookup

// names lists them for people.
func (n needed) names() string {
	var all []string
	for _, l := range n {
		all = append(all, l.label())
	}
	return diagnose.Some(all)
}

func (l *lookup) label() string {
	if l.end != l.name {
		return l.name + " (an alias of " + l.end + ")"
	}
	return l.name
}

// severity is that of what the names fail by: a Service's target that nobody
// was seen to ask for is a risk.
func (n needed) severity() diagnose.Severity {
	if slices.ContainsFunc(n, func(l *lookup) bool { return l.asked || len(l.lines) > 0 }) {
		return diagnose.Degraded
	}
	return diagnose.Risk
}

// refs are the names, and the Services that stand for them.
func (n needed) refs() []facts.Ref {
	var out []facts.Ref
	for _, l := range n {
		out = append(out, recordRef(l.name))
		if l.end != l.name {
			out = append(out, recordRef(l.end))
		}
		for _, s := range l.services {
			out = append(out, ref(facts.Services.Kind(), s.Namespace, s.Name))
		}
	}
	return out
}

// evidence says who needs the names, three at most.
func (n needed) evidence() []diagnose.Evidence {
	var out []diagnose.Evidence
	for _, l := range n[:min(len(n), 3)] {
		e := diagnose.Evidence{Fact: "name " + l.name, Got: "said not to resolve", Want: "an answer", Command: "dig +noall +comments +answer " + l.name}
		switch sum := l.lines.sum(); {
		case sum.count > 0:
			e = diagnose.Evidence{Fact: "kube/pod-logs/" + sum.pods[0], Got: diagnose.Count(sum.count, "line") + " in the last hour, such as `" + sum.sample + "`", Want: "an answer for " + l.name,
				Command: "kubectl -n kube-system logs -l k8s-app=kube-dns --since=1h --tail=-1 | grep -F " + l.name}
		case l.needed != "" && !l.asked:
			e.Got = l.needed + " asks for it"
		case !l.asked && len(l.services) > 0:
			s := l.services[0]
			e = diagnose.Evidence{Fact: "kube/services/" + s.Namespace + "/" + s.Name + " spec.externalName", Got: l.name, Want: "a name that resolves in the VPC",
				Command: fmt.Sprintf("kubectl -n %s get service %s -o jsonpath='{.spec.externalName}'", s.Namespace, s.Name)}
		}
		out = append(out, e)
	}
	return out
}

// way is the hop of the names' way that decides, as evidence.
func (l *lookup) way(want string) diagnose.Evidence {
	hops := l.path.Hops
	e := diagnose.Evidence{Fact: "way of " + l.name, Got: l.path.Text, Want: want, Command: "dig +short " + l.name}
	for i := len(hops) - 1; i >= 0; i-- {
		if hops[i].Command != "" && hops[i].Verdict != reach.Allowed {
			e.Command = hops[i].Command
			break
		}
	}
	return e
}
