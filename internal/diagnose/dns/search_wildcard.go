package dns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var searchWildcardCapture = &diagnose.Check{
	ID:    "dns/search-domain-wildcard-capture",
	Title: "A wildcard record in a search domain answers for external names",
	Doc: `With ndots:5 a pod asks for api.example.org with each search domain behind before it asks for the name itself. Where one of these
domains has a wildcard record, *.corp.example.com, that answers: api.example.org.corp.example.com exists as does any name there.
The pod connects to a wrong server, and TLS says that the names do not match. On the node, where ndots is 1, all is well.

Recognised by a zone of the account that the VPC sees, with a wildcard record below which external names with a search domain
fall: a domain of the VPC's DHCP options, which all pods have, or of the dnsConfig of pods. A fault when the question names an
external name, else a risk: pods that set ndots lower are not touched.

Looks alike: a private zone of the very domain that is asked for answers otherwise than the public one, on purpose. A wildcard
does not answer below a name that exists.

Fixed by ndots 2 for the workload; by a search list without the domain; by records in the place of the wildcard.`,
	Needs: []facts.Need{facts.HostedZones, facts.Records, facts.VPCs},
	Wants: slices.Concat([]facts.Need{facts.DHCPOptions, facts.Clusters, facts.Pods, facts.Services}, clusterNameWants, templateNeeds),
	Sources: []string{
		"https://man7.org/linux/man-pages/man5/resolv.conf.5.html",
		"https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html#domain-name-format-asterisk",
		"https://docs.aws.amazon.com/vpc/latest/userguide/VPC_DHCP_Options.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		w := resolve.World{VPCs: facts.VPCs.In(v), DHCPOptions: facts.DHCPOptions.In(v), Clusters: facts.Clusters.In(v)}
		c := captures{zones: seenZones(v), names: newClusterNames(v), template: templates(v), pods: facts.Pods.In(v)}
		c.question = newQuestion(v, c.pods)
		c.lookup = cmp.Or(c.question.lookup, v.Target().Host)
		_, search, _ := w.NodeDNS()
		var out []diagnose.Finding
		for _, d := range unlike(search) {
			out = append(out, c.domain(d, nil, w)...)
		}
		return append(out, c.ownDomains(search, w)...)
	},
}

// captures are the wildcards that pods meet.
type captures struct {
	zones    []*hosted
	names    clusterNames
	template func(remedy.Workload) *corev1.PodTemplateSpec
	pods     []corev1.Pod
	question question
	lookup   string // what the question names, with or without the words that it fails
}

// seenZones are the zones that answer in the cluster's VPC: public ones, and
// private ones that are associated with it.
func seenZones(v *facts.View) []*hosted {
	associated := map[string]bool{}
	for _, z := range facts.HostedZones.In(v) {
		associated[zoneID(facts.Val(z.Id))] = len(z.VPCs) > 0
	}
	return slices.DeleteFunc(hostedZones(v), func(h *hosted) bool { return h.private && !associated[h.id] })
}

// unlike drops repetitions.
func unlike(list []string) []string {
	var out []string
	for _, s := range list {
		if s = canonical(s); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// probe is an external name of which no zone of the account will hold any
// label.
const probe = "hopwise-probe.example.org"

// external reports whether the question is about a name outside of the
// cluster and its private zones, which walks the search list.
func (c captures) external() bool {
	ndots := 5
	if len(c.question.pods) > 0 {
		ndots = resolve.ForPod(c.question.pods[0], resolve.ClusterDNS{Addresses: []string{nodeLocal}}).Ndots
	}
	return strings.Contains(c.lookup, ".") && strings.Count(c.lookup, ".") < ndots && !strings.HasSuffix(c.lookup, ".") && c.names.find(c.lookup, c.question.namespace) == nil &&
		!slices.ContainsFunc(c.zones, func(h *hosted) bool { return len(h.exactly(canonical(c.lookup))) > 0 && h.private })
}

// wildcard is the zone whose wildcard answers for a name with a domain behind,
// and the record's name.
func (c captures) wildcard(name, domain string) (*hosted, string) {
	full := canonical(name + "." + domain)
	var best *hosted
	for _, h := range c.zones {
		if h.holds(full) && (best == nil || len(h.name) > len(best.name) || h.name == best.name && h.private && !best.private) {
			best = h
		}
	}
	if best == nil || len(best.exactly(full)) > 0 || best.delegates(full) {
		return nil, ""
	}
	for rest := full; rest != best.name && strings.Contains(rest, "."); {
		_, rest, _ = strings.Cut(rest, ".")
		if len(best.exactly("*."+rest)) > 0 {
			return best, "*." + rest
		}
		if best.exists(rest) {
			return nil, "" // the closest name that is there has no wildcard
		}
	}
	return nil, ""
}

// exists reports whether a zone has a name, or one below it.
func (h *hosted) exists(name string) bool {
	return slices.ContainsFunc(h.records, func(r r53types.ResourceRecordSet) bool {
		n := canonical(facts.Val(r.Name))
		return n == name || strings.HasSuffix(n, "."+name)
	})
}

// domain judges a search domain of all pods, or of some.
func (c captures) domain(d string, pods []*corev1.Pod, w resolve.World) []diagnose.Finding {
	name, asked := probe, false
	if c.external() && (pods == nil || len(c.question.pods) == 0 || slices.ContainsFunc(pods, c.question.names)) {
		name, asked = c.lookup, true
	}
	h, record := c.wildcard(name, d)
	if h == nil {
		return nil
	}
	shown := name
	if !asked {
		shown = "api.example.org"
	}
	from, command := "the VPC's DHCP options give all pods", "aws ec2 describe-dhcp-options --dhcp-options-ids DHCP_OPTIONS"
	if v := w.VPC(); v != nil {
		command = "aws ec2 describe-dhcp-options --dhcp-options-ids " + facts.Val(v.DhcpOptionsId)
	}
	if pods != nil {
		from, command = "the dnsConfig of "+madeBy(pods[0])+" gives it", showResolvConf(pods[0])
	}
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  recordRef(record),
		Affects:  append([]facts.Ref{h.ref()}, affectedPods(pods)...),
		Claim: fmt.Sprintf("Record %s answers for external names in pods: with search domain %s, which %s, %s is first asked for as %s.%s, and leads to %s",
			record, d, from, shown, shown, d, pointsTo(h.exactly(record))),
		Evidence: []diagnose.Evidence{
			{Fact: recordRef(record).String(), Got: pointsTo(h.exactly(record)), Want: "no wildcard in a search domain of pods", Command: listing(h, h.name)},
			{Fact: "search domain " + d, Got: "in the search list of pods, where ndots is 5", Want: "a domain without a wildcard, or ndots 2", Command: command},
		},
	}
	if asked {
		f.Severity = diagnose.Degraded
		f.Affects = append(f.Affects, recordRef(canonical(c.lookup)))
	}
	f.Remedies = c.remedies(pods)
	return []diagnose.Finding{f}
}

// ownDomains judges the domains of dnsConfig that not all pods have.
func (c captures) ownDomains(search []string, w resolve.World) []diagnose.Finding {
	var with []*corev1.Pod
	for i := range c.pods {
		if p := &c.pods[i]; running(p) && p.Spec.DNSConfig != nil && len(p.Spec.DNSConfig.Searches) > 0 {
			with = append(with, p)
		}
	}
	var out []diagnose.Finding
	for _, pods := range byWorkload(with) {
		if resolve.ForPod(pods[0], resolve.ClusterDNS{Addresses: []string{nodeLocal}}).Ndots < 2 {
			continue
		}
		for _, d := range unlike(pods[0].Spec.DNSConfig.Searches) {
			if !slices.Contains(unlike(search), d) {
				out = append(out, c.domain(d, pods, w)...)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b diagnose.Finding) int { return cmp.Compare(a.Subject.ID, b.Subject.ID) })
	return slices.CompactFunc(out, func(a, b diagnose.Finding) bool { return a.Subject == b.Subject })
}

func (c captures) remedies(pods []*corev1.Pod) []remedy.Remedy {
	if len(pods) == 0 && len(byWorkload(c.question.pods)) == 1 {
		pods = c.question.pods
	}
	ndots := "2"
	if c.external() && strings.Count(c.lookup, ".") < 2 {
		ndots = "1"
	}
	m := remedy.Remedy{
		Title:  "Set ndots " + ndots + " for what looks external names up",
		Why:    "Its pods are replaced. A name with as many dots is then asked for as it is first. With ndots 1 Alpine images no longer find Services by name and namespace.",
		Risk:   remedy.Disruptive,
		Manual: []string{`kubectl -n NAMESPACE patch deployment NAME --type=merge -p '{"spec":{"template":{"spec":{"dnsConfig":{"options":[{"name":"ndots","value":"` + ndots + `"}]}}}}}'`},
	}
	if len(pods) > 0 {
		if w, ok := workloadOf(pods[0]); ok && c.template(w) != nil {
			m.Title, m.Manual = "Set ndots "+ndots+" for "+madeBy(pods[0]), nil
			m.Actions = remedy.Actions{remedy.DNSOption(w, c.template(w).Spec.DNSConfig, "ndots", ndots)}
		}
	}
	return []remedy.Remedy{m}
}
