package dns

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var resolvconfLimitsExceeded = &diagnose.Check{
	ID:    "dns/resolvconf-limits-exceeded",
	Title: "The search list of pods is longer than the kubelet writes",
	Doc: `The kubelet writes the first 32 search domains and 2048 characters into a pod's resolv.conf (6 and 256 before Kubernetes 1.26), the
cluster's three first, then the node's, then those of the pod's dnsConfig. What is beyond is left out with a warning in an event,
DNSConfigForming: short names of those domains do not resolve in pods, and do on the node.

Recognised by such an event of the last hour. It is a risk; a fault when a name that was said not to resolve has a record in a
domain that was left out. A kubelet that leaves out the fourth nameserver says so in the same way, and that is harmless: nobody
asks the fourth.

Looks alike: the warning alone breaks nothing while nobody uses the domains that are left out.

Fixed by fewer domains: in the VPC's DHCP options, which new leases take, or in dnsConfig.searches.`,
	Needs: []facts.Need{facts.Events, facts.Pods},
	Wants: []facts.Need{facts.VPCs, facts.DHCPOptions, facts.Clusters, facts.HostedZones, facts.Records},
	Sources: []string{
		"https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/network/dns/dns.go",
		"https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#dns-search-domain-list-limits",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		w := resolve.World{VPCs: facts.VPCs.In(v), DHCPOptions: facts.DHCPOptions.In(v), Clusters: facts.Clusters.In(v)}
		_, search, _ := w.NodeDNS()
		cut := cutLists(facts.Events.In(v), facts.Pods.In(v), search, v.At())
		zones := hostedZones(v)
		if len(cut) == 0 {
			return nil
		}
		return []diagnose.Finding{limitFinding(cut, missed(cut, zones, v.Target().Lookup), w.VPC())}
	},
}

// A cutList is a search list from which the kubelet left domains out.
type cutList struct {
	pod     *corev1.Pod // nil when the node's own file is too long
	node    string
	message string
	omitted []string // what is known of the domains
}

var appliedSearch = regexp.MustCompile(`Search Line limits were exceeded, some search paths have been omitted, the applied search line is: (.*)$`)

// cutLists are those that kubelets told of within the hour.
func cutLists(events []corev1.Event, pods []corev1.Pod, node []string, now time.Time) []cutList {
	byID := map[string]*corev1.Pod{}
	for i := range pods {
		byID[pods[i].Namespace+"/"+pods[i].Name] = &pods[i]
	}
	var out []cutList
	for i := range events {
		e := &events[i]
		if now.Sub(facts.LastSeen(e)) > time.Hour {
			continue
		}
		p := byID[e.InvolvedObject.Namespace+"/"+e.InvolvedObject.Name]
		m := appliedSearch.FindStringSubmatch(e.Message)
		switch {
		case e.InvolvedObject.Kind == "Node" && strings.Contains(e.Message, "contains search line"):
			out = append(out, cutList{node: e.InvolvedObject.Name, message: e.Message})
		case m != nil && p != nil && running(p) && !slices.ContainsFunc(out, func(c cutList) bool { return c.pod == p }):
			c := cutList{pod: p, message: e.Message}
			wanted := slices.Clone(node)
			if p.Spec.DNSConfig != nil {
				wanted = append(wanted, p.Spec.DNSConfig.Searches...)
			}
			for _, d := range wanted {
				if !slices.Contains(strings.Fields(m[1]), d) && !slices.Contains(c.omitted, d) {
					c.omitted = append(c.omitted, d)
				}
			}
			out = append(out, c)
		}
	}
	return out
}

// missed is the full name that a lookup would have found in a domain that was
// left out; "" when the facts do not tell of one.
func missed(cut []cutList, zones []*hosted, lookup string) string {
	if lookup == "" {
		return ""
	}
	for _, c := range cut {
		for _, d := range c.omitted {
			full := canonical(lookup + "." + d)
			for _, h := range zones {
				if h.holds(full) && len(h.exactly(full)) > 0 {
					return full
				}
			}
		}
	}
	return ""
}

func (c cutList) ref() facts.Ref {
	if c.pod == nil {
		return facts.Ref{Kind: facts.Nodes.Kind(), ID: c.node}
	}
	return podRef(*c.pod)
}

func limitFinding(cut []cutList, full string, vpc *ec2types.Vpc) diagnose.Finding {
	slices.SortStableFunc(cut, func(a, b cutList) int { return strings.Compare(a.ref().String(), b.ref().String()) })
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  cut[0].ref(),
		Evidence: []diagnose.Evidence{{
			Fact: "event of " + cut[0].ref().String(), Got: facts.Redact(cut[0].message), Want: "no such event",
			Command: "kubectl get events -A --field-selector reason=DNSConfigForming; kubectl get events -A --field-selector reason=CheckLimitsForResolvConf",
		}},
	}
	var omitted []string
	for _, c := range cut {
		if c.ref() != f.Subject && len(f.Affects) < 20 {
			f.Affects = append(f.Affects, c.ref())
		}
		for _, d := range c.omitted {
			if !slices.Contains(omitted, d) {
				omitted = append(omitted, d)
			}
		}
	}
	what := "search domains"
	if len(omitted) > 0 {
		what = "search domains " + diagnose.Some(omitted)
	}
	f.Claim = fmt.Sprintf("The kubelet leaves %s out of the resolv.conf of %s: short names of these domains do not resolve there", what, cutOf(cut))
	if full != "" {
		f.Severity = diagnose.Degraded
		f.Claim += ", such as " + full
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: recordRef(full).String(), Got: "there, in a domain that is left out", Want: "its domain in the search list, or the full name in the program", Command: "dig +short " + full})
	}
	m := remedy.Remedy{
		Title:  "Take domains that nobody uses out of the search list, or look names up in full",
		Why:    "The VPC's DHCP options give nodes their domains; pods add those of dnsConfig.searches. Nodes take changed options with their next lease, pods when they are made again.",
		Risk:   remedy.Disruptive,
		Manual: []string{"kubectl get pods -A -o jsonpath='{range .items[*]}{.metadata.namespace}/{.metadata.name} {.spec.dnsConfig.searches}{\"\\n\"}{end}'"},
	}
	if vpc != nil {
		m.Manual = append(m.Manual, "aws ec2 describe-dhcp-options --dhcp-options-ids "+facts.Val(vpc.DhcpOptionsId))
	}
	f.Remedies = []remedy.Remedy{m}
	return f
}

func cutOf(cut []cutList) string {
	if len(cut) == 1 {
		return cut[0].ref().ID
	}
	return fmt.Sprintf("%s and %d more", cut[0].ref().ID, len(cut)-1)
}
