package l4

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// WebhookPortBlocked recognises admission webhooks whose pods the control
// plane cannot reach.
var WebhookPortBlocked = &diagnose.Check{
	ID:    "l4/webhook-port-blocked",
	Title: "Control plane cannot reach an admission webhook's pods",
	Doc: `The API server calls a webhook from the control plane's network interfaces, straight at the address of a pod behind
the webhook's Service and at the port on which that pod listens. A message about https://SERVICE.NAMESPACE.svc:443 names
the Service's port; the one to be open is the pod's, such as 9443, 8443 or 15017. If a security group or a network ACL drops
it, each matching call waits for the webhook's timeout (10 s unless set) and then fails, or, with failurePolicy Ignore,
goes on without the webhook.

Recognised by webhooks with a Service and ready endpoints: for the connection from each interface "Amazon EKS CLUSTER" to
each endpoint, on the interface that holds its address, security groups on both sides and the ACLs of both subnets are
followed. Only what is stopped for certain counts; endpoints outside the VPC are left out.

Looks alike: no ready endpoint (refused at once); a NetworkPolicy that isolates the webhook's pods; "x509" in the message.

Fix: admit that port from the control plane's security group to the pods'.`,
	Needs:    []facts.Need{facts.ValidatingWebhooks, facts.MutatingWebhooks, facts.Services, facts.EndpointSlices, facts.Clusters, facts.NetworkInterfaces, facts.SecurityGroups},
	Wants:    []facts.Need{facts.NetworkACLs, facts.Namespaces},
	CausedBy: []string{"l4/cluster-sg-removed", "l4/sg-rules-limit-node-or-pod-sg", "l4/sg-stale-references", "l4/nacl-inbound-deny", "l4/nacl-ephemeral-return-blocked", "l4/nacl-between-subnets"},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html",
		"https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#timeouts",
	},
	Run: webhookPortBlocked,
}

func webhookPortBlocked(v *facts.View) []diagnose.Finding {
	cp, rules := controlPlaneOf(v), filtersOf(v)
	var findings []diagnose.Finding
	for _, group := range byService(webhooks(v)) {
		calls := hookCalls(v, cp, group)
		if stops := rules.stops(calls); len(stops) > 0 {
			findings = append(findings, hookBlocked(group, stops, len(calls)))
		}
	}
	return findings
}

// hookCalls are the connections that the API server makes for webhooks of one
// Service.
func hookCalls(v *facts.View, cp controlPlane, group []webhook) []connection {
	s := serviceByName(facts.Services.In(v), group[0].service)
	if s == nil {
		return nil
	}
	p, ok := portOf(s, group[0].port)
	if !ok {
		return nil
	}
	var out []connection
	holders := reach.HoldersOf(facts.NetworkInterfaces.In(v))
	for _, a := range answerers(facts.EndpointSlices.In(v), s, p) {
		eni := holders.Holder(a.ip)
		if eni == nil {
			continue
		}
		dest, about := a.ip.String(), []facts.Ref{serviceRef(s)}
		if a.pod != "" {
			dest, about = "pod "+a.pod, append(about, facts.Ref{Kind: facts.Pods.Kind(), ID: a.pod})
		}
		out = append(out, cp.calls(hostWith(eni, a.ip), a.port, dest, about...)...)
	}
	return out
}

func hookBlocked(group []webhook, stops []stop, tried int) diagnose.Finding {
	first := group[0]
	var objects, about []facts.Ref
	var names, ports []string
	for _, s := range stops {
		objects, about = append(objects, s.object()), append(about, s.about...)
		if n := s.object().ID; !slices.Contains(names, n) {
			names = append(names, n)
		}
		if p := fmt.Sprint(s.port); !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  first.config,
		Affects:  refs(first.config, configs(group), objects, about),
		Evidence: append(evidenceOf(stops), diagnose.Evidence{
			Fact: first.config.String(), Got: fmt.Sprintf("webhook %s: failurePolicy %s, timeout %d s", first.name, policyName(first.must), first.seconds),
			Want: "an answer from Service " + first.service, Command: "kubectl get " + first.config.Kind.Resource() + " " + first.config.ID + " -o yaml",
		}),
		Remedies: ways(stops, fmt.Sprintf("the control plane to port %s of the pods of Service %s", strings.Join(ports, ", "), first.service)),
	}
	effect := fmt.Sprintf("calls fail after %d s: %s", first.seconds, callsOf(group))
	if !first.must {
		effect = fmt.Sprintf("calls wait %d s and go on without it: %s", first.seconds, callsOf(group))
	}
	how := "cannot reach"
	if len(stops) < tried {
		how, effect = "reaches only some of", "some "+effect
	}
	if len(stops) < tried || !first.must {
		f.Severity = diagnose.Degraded
	}
	f.Claim = fmt.Sprintf("%s stops the control plane at port %s: it %s the pods of Service %s behind webhook %s; %s", strings.Join(names, ", "), strings.Join(ports, ", "), how, first.service, first.name, effect)
	return f
}

func policyName(must bool) string {
	if must {
		return "Fail"
	}
	return "Ignore"
}
