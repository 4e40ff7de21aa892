package dns

import (
	"fmt"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var externalDNSSourceNoTarget = &diagnose.Check{
	ID:    "dns/externaldns-source-no-target",
	Title: "external-dns does not take an object's hostname",
	Doc: `external-dns makes a record of a hostname when a --source reads the object that declares it, none of its filters leaves the object out,
the hostname stands where it looks, and the object has a target: the load balancer in its status. Otherwise it says nothing at its usual log level.

Recognised by a hostname without a record whose object external-dns does not select: another kind, namespace, class, label, annotation or prefix
of annotations; or whose status has no load balancer. An object that no external-dns selects counts only when it names external-dns in an
annotation, or when the question names the host: leaving objects out is what filters are for.

Looks alike: a record that the zone's filters keep away was selected. A load balancer that is still being made takes some minutes.

Fixed on the side that is wrong: the annotation or class of the object, or the flag. Where the status is empty the load balancer comes first.`,
	Needs: publishingNeeds,
	Wants: publishingWants,
	Sources: []string{
		"https://github.com/kubernetes-sigs/external-dns/blob/master/source/ingress.go",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/source/service.go",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/docs/faq.md",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		x := newPublishing(v)
		var all []diagnose.Finding
		said := map[facts.Ref]bool{}
		for _, l := range x.lacks {
			if said[l.ref()] || upgraded(l) || l.in != nil && len(l.got) > 0 {
				continue
			}
			if f, ok := x.untaken(l); ok {
				said[l.ref()] = true
				all = append(all, f)
			}
		}
		return all
	},
}

// untaken is a finding when no publisher takes l, or it has no target.
func (x *publishing) untaken(l lack) (diagnose.Finding, bool) {
	switch {
	case len(l.takers) == 0 && x.declared(l):
		return l.leftOut(), true
	case len(l.takers) > 0 && l.known && len(l.wants) == 0 && l.settled(x.at) && (len(x.zonesOf(l.host)) > 0 || x.declared(l)):
		return l.targetless(), true
	}
	return diagnose.Finding{}, false
}

func (l lack) leftOut() diagnose.Finding {
	p := l.nearest
	return diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  l.ref(),
		Affects:  []facts.Ref{recordRef(l.host), p.ref()},
		Claim:    fmt.Sprintf("%s has no record because %s does not take it from %s: %s", l.host, p.label(), l.label(), l.refusal.why),
		Evidence: []diagnose.Evidence{
			{Fact: l.ref().String(), Got: l.refusal.got, Want: l.refusal.want, Command: l.get()},
			{Fact: p.ref().String() + " args", Got: strings.Join(p.deployment.Spec.Template.Spec.Containers[p.index].Args, " "), Want: "flags that select " + l.label(), Command: p.args()},
		},
		Remedies: []remedy.Remedy{l.selection()},
	}
}

// get is the command that shows l's object.
func (l lack) get() string {
	kind := "ingress"
	if l.service != nil {
		kind = "service"
	}
	return fmt.Sprintf("kubectl -n %s get %s %s -o yaml", l.object.Namespace, kind, l.object.Name)
}

// selection makes the publisher take this one object where its annotation is
// all that is wrong; else it says where to look.
func (l lack) selection() remedy.Remedy {
	p := l.nearest
	if l.refusal.prefix && p.prefix() != "" {
		values, before := map[string]*string{}, map[string]*string{}
		for key, value := range l.object.Annotations {
			for _, x := range l.ways {
				if x.prefix != "" && strings.HasPrefix(key, x.prefix) {
					now := p.prefix() + strings.TrimPrefix(key, x.prefix)
					values[now], before[now] = &value, nil
				}
			}
		}
		return remedy.Remedy{
			Title:   "Annotate " + l.label() + " under " + p.prefix(),
			Why:     "external-dns makes the record within " + p.every() + ". The old annotations stay and do nothing; what manages the object has to learn of the new ones.",
			Risk:    remedy.Safe,
			Actions: remedy.Actions{remedy.Annotate{Resource: l.ref().Kind.Resource(), Namespace: l.object.Namespace, Name: l.object.Name, Values: values, Before: before}},
		}
	}
	r := remedy.Remedy{
		Title:  "Let external-dns select the object, or the object fit external-dns",
		Why:    "A wider filter publishes every object that it newly selects: see first which those are.",
		Manual: []string{p.args(), l.get()},
	}
	if l.refusal.step == 0 {
		r.Title = "Add --source=" + l.source + " to " + p.name()
		r.Why = "It then publishes every " + l.source + " that declares a hostname, and its ClusterRole must let it list and watch them."
		r.Manual = []string{p.withArg("--source=" + l.source)}
	}
	return r
}

func (l lack) targetless() diagnose.Finding {
	p := l.takers[0]
	return diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  l.ref(),
		Affects:  []facts.Ref{recordRef(l.host), p.ref()},
		Claim:    fmt.Sprintf("%s has no record because %s has no load balancer in its status, and %s knows of nothing to point to", l.host, l.label(), p.label()),
		Evidence: []diagnose.Evidence{
			{Fact: l.ref().String() + " status.loadBalancer", Got: "empty", Want: "the load balancer's name", Command: l.get()},
			{Fact: recordRef(l.host).String(), Got: l.state(), Want: "a record", Command: "aws route53 list-hosted-zones"},
		},
		Remedies: []remedy.Remedy{{
			Title:  "Find out why " + l.label() + " gets no load balancer",
			Why:    "external-dns makes the record by itself once the status names one. The object's events are the controller's answer; none at all means that no controller feels responsible.",
			Manual: []string{strings.Replace(strings.TrimSuffix(l.get(), " -o yaml"), " get ", " describe ", 1)},
		}},
	}
}
