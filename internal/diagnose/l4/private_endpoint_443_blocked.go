package l4

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// PrivateEndpoint443Blocked recognises nodes that the API's private endpoint
// does not admit.
var PrivateEndpoint443Blocked = &diagnose.Check{
	ID:    "l4/private-endpoint-443-blocked",
	Title: "Nodes cannot reach the private API endpoint",
	Doc: `With private access on, the API's name gives, inside the VPC, the addresses of the control plane's network interfaces,
whether public access is on or not. Their security groups (the cluster's and those added to it) must admit TCP 443 from
nodes and pods. If they do not, new nodes never join, running ones become NotReady, and pods that use the API time out.

Recognised by endpointPrivateAccess, and by nodes (and instances that carry the cluster's tag and have not joined) whose own
interface no group of any interface "Amazon EKS CLUSTER" admits to 443. Connections that were open before stay for a while,
so nodes may still be Ready.

Looks alike: the nodes' own egress is closed; a network ACL; private DNS off in the VPC; "Unauthorized" instead of a timeout.

Fix: admit 443 from the nodes' security group to the cluster's.`,
	Needs:    []facts.Need{facts.Nodes, facts.Clusters, facts.NetworkInterfaces, facts.SecurityGroups},
	CausedBy: []string{"l4/cluster-sg-removed", "l4/sg-rules-limit-node-or-pod-sg", "l4/sg-stale-references"},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html",
	},
	Run: privateEndpoint443Blocked,
}

func privateEndpoint443Blocked(v *facts.View) []diagnose.Finding {
	cp := controlPlaneOf(v)
	rules := filters{groups: filtersOfGroups(v)}
	if !cp.vpc.EndpointPrivateAccess {
		return nil
	}
	all := cp.members(v)
	byObject, order := map[facts.Ref][]stop{}, []facts.Ref{}
	for _, m := range all {
		stops := rules.stops(apiCalls(cp, m))
		stops = slices.DeleteFunc(stops, stop.outward)
		if len(stops) == 0 || len(stops) < len(cp.hosts) {
			continue
		}
		o := stops[0].object()
		if byObject[o] == nil {
			order = append(order, o)
		}
		byObject[o] = append(byObject[o], stops...)
	}
	var findings []diagnose.Finding
	for _, o := range order {
		findings = append(findings, apiBlocked(o, byObject[o], len(all)))
	}
	return findings
}

// apiCalls are a node's connections to the private endpoint.
func apiCalls(cp controlPlane, m member) []connection {
	var out []connection
	for _, h := range cp.hosts {
		out = append(out, connection{from: m.Host, to: h, protocol: "tcp", port: 443, source: m.name, dest: "the API's private endpoint", about: []facts.Ref{m.ref}})
	}
	return out
}

func apiBlocked(object facts.Ref, stops []stop, all int) diagnose.Finding {
	var about []facts.Ref
	var names []string
	for _, s := range stops {
		about = append(about, s.about...)
		if !slices.Contains(names, s.source) {
			names = append(names, s.source)
		}
	}
	n := len(names)
	if n > 4 {
		names = append(names[:3:3], fmt.Sprintf("%d more", n-3))
	}
	return diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  object,
		Affects:  refs(object, about),
		Claim:    fmt.Sprintf("%s does not admit %d of %s to the API's private endpoint on port 443 (%s)", object.ID, n, diagnose.Count(all, "node"), strings.Join(names, ", ")),
		Evidence: evidenceOf(stops),
		Remedies: ways(stops, "the nodes to the API on port 443"),
	}
}
