package l4

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// SGEgressRestricted recognises security groups that keep nodes or pods from
// what every cluster needs.
var SGEgressRestricted = &diagnose.Check{
	ID:    "l4/sg-egress-restricted",
	Title: "Security group lets nodes or pods not out to what they need",
	Doc: `A new security group lets everything out. Where that rule was taken away, by hand or by Terraform, which removes it
from groups that it makes, each destination needs a rule of its own: 443 to the API, 53 to the CoreDNS pods, 443 to
interface endpoints of the AWS services that are used. Without it connections time out, whatever the other side admits.

Recognised by following egress of the interfaces that carry nodes and pods for these needs: the API's private endpoint, if
private access is on; DNS, from every set of groups that carries pods, to CoreDNS pods on other nodes; interface endpoints
with private DNS of services that something here uses. A group that is closed to everything else is no fault. Rules with
prefix lists count as open.

Looks alike: the destination's group does not admit it; a NetworkPolicy with egress rules; a network ACL.

Fix: an egress rule for the destination's group and port. Who closed it did so on purpose, so a person decides.`,
	Needs: []facts.Need{facts.Pods, facts.Nodes, facts.Services, facts.NetworkInterfaces, facts.SecurityGroups},
	Wants: []facts.Need{facts.Clusters, facts.VPCEndpoints, facts.ServiceAccounts},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html",
		"https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/security_group",
	},
	Run: sgEgressRestricted,
}

func sgEgressRestricted(v *facts.View) []diagnose.Finding {
	cp := controlPlaneOf(v)
	calls := dnsCalls(v)
	for _, m := range cp.members(v) {
		if cp.vpc.EndpointPrivateAccess {
			calls = append(calls, apiCalls(cp, m)...)
		}
	}
	calls = append(calls, endpointCalls(v)...)
	rules := filters{groups: filtersOfGroups(v)}
	byObject, order := map[facts.Ref][]stop{}, []facts.Ref{}
	for _, s := range rules.stops(calls) {
		if !s.outward() {
			continue
		}
		o := s.object()
		if byObject[o] == nil {
			order = append(order, o)
		}
		byObject[o] = append(byObject[o], s)
	}
	var findings []diagnose.Finding
	for _, o := range order {
		findings = append(findings, closedIn(o, byObject[o]))
	}
	return findings
}

// dnsCalls are the queries of pods, one for each set of groups and subnet, to
// CoreDNS pods on other nodes.
func dnsCalls(v *facts.View) []connection {
	all := spots(facts.Pods.In(v), facts.Nodes.In(v), facts.NetworkInterfaces.In(v))
	asking := slices.DeleteFunc(slices.Clone(all), func(s spot) bool { // these ask the VPC's resolver, or somebody else
		return s.pod.Spec.DNSPolicy == corev1.DNSDefault || s.pod.Spec.DNSPolicy == corev1.DNSNone
	})
	var out []connection
	for _, p := range servicePorts(facts.Services.In(v), all) {
		if !isDNS(p.service) || p.protocol != "udp" {
			continue
		}
		for _, to := range samples(p.pods) {
			for _, from := range samples(asking) {
				if from.pod.Spec.NodeName != to.pod.Spec.NodeName && !reach.Selects(p.service, from.pod) {
					out = append(out, connection{from: from.host(), to: to.host(), protocol: p.protocol, port: p.number,
						source: "pod " + from.pod.Namespace + "/" + from.pod.Name, dest: "CoreDNS", about: []facts.Ref{serviceRef(p.service), podRef(from.pod)}})
				}
			}
		}
	}
	return out
}

// host is a spot as a connection's end.
func (s spot) host() reach.Host { return reach.Host{Endpoint: s.end, Subnet: s.subnet} }

func closedIn(object facts.Ref, stops []stop) diagnose.Finding {
	var about []facts.Ref
	var dests []string
	for _, s := range stops {
		about = append(about, s.about...)
		if d := fmt.Sprintf("%s (%s %d)", s.dest, s.protocol, s.port); !slices.Contains(dests, d) {
			dests = append(dests, d)
		}
	}
	return diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  object,
		Affects:  refs(object, about),
		Claim:    fmt.Sprintf("Security group %s does not let its members out to %s", object.ID, strings.Join(dests, ", ")),
		Evidence: evidenceOf(stops),
		Remedies: ways(stops, strings.Join(dests, ", ")),
	}
}
