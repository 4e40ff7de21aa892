package dns

import (
	"fmt"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var corednsRBAC = &diagnose.Check{
	ID:    "dns/coredns-rbac-endpointslice",
	Title: "CoreDNS may not list EndpointSlices",
	Doc: `Since 1.8.3 CoreDNS reads EndpointSlices instead of Endpoints. A ClusterRole of an older installation does not allow it:
CoreDNS does not sync, headless Services have no addresses, and new pods do not become Ready. It comes with the update of a
CoreDNS that EKS does not manage, or with a role that was made narrower.

Recognised by ClusterRole system:coredns without list and watch of endpointslices in discovery.k8s.io, while the log says
forbidden, or that a watch fails and not why, or while the log is not known and pods are not ready.

Looks alike: timeouts in the same place of the log are the network's. A role that lacks it while nothing is refused gets
the right by another binding.

Fixed by one rule in the role. Hopwise changes no roles; the command does.`,
	Needs: append([]facts.Need{facts.ClusterRoles}, coreDNSNeeds...),
	Wants: append([]facts.Need{facts.PodLogs}, coreDNSWants...),
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/coredns-add-on-self-managed-update.html",
		"https://github.com/aws/eks-distro/issues/545",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c := newCoreDNS(v)
		recent := coreDNSLogs(v).current().since(v.At().Add(-time.Hour))
		missing, ok := missingRights(v)
		if c.deployment == nil || !ok {
			return nil
		}
		refused := recent.of(logForbidden)
		if len(refused) == 0 && len(recent.of(logAPI, logUnauthorized)) == 0 {
			refused = recent.of(logWatch) // some versions do not write why
		}
		box := container(c.deployment.Spec.Template.Spec)
		unheard := !facts.PodLogs.Have(v) && len(c.unready()) > 0 && box != nil && atLeast(facts.Version(box.Image), 1, 9)
		if len(missing) == 0 || len(refused) == 0 && !unheard {
			return nil
		}
		return []diagnose.Finding{rbacFinding(c, missing, refused)}
	},
}

// corednsRole is the ClusterRole that EKS and kubeadm give to CoreDNS.
const corednsRole = "system:coredns"

// missingRights are the resources that the role of CoreDNS does not let it
// list and watch; false when the role is not known.
func missingRights(v *facts.View) ([]string, bool) {
	roles := facts.ClusterRoles.In(v)
	i := slices.IndexFunc(roles, func(r rbacv1.ClusterRole) bool { return r.Name == corednsRole })
	if i < 0 {
		return nil, false
	}
	return lacks(roles[i].Rules), true
}

// lacks are the resources that CoreDNS reads and the rules do not let it list
// and watch.
func lacks(rules []rbacv1.PolicyRule) []string {
	var out []string
	for _, x := range []struct{ group, resource string }{
		{"discovery.k8s.io", "endpointslices"}, {"", "services"}, {"", "namespaces"},
	} {
		if !allows(rules, x.group, x.resource, "list") || !allows(rules, x.group, x.resource, "watch") {
			out = append(out, x.resource)
		}
	}
	return out
}

func allows(rules []rbacv1.PolicyRule, group, resource, verb string) bool {
	has := func(list []string, s string) bool { return slices.Contains(list, s) || slices.Contains(list, "*") }
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return has(r.APIGroups, group) && has(r.Resources, resource) && has(r.Verbs, verb) && len(r.ResourceNames) == 0
	})
}

func rbacFinding(c coreDNS, missing []string, refused logs) diagnose.Finding {
	group := ""
	if missing[0] == "endpointslices" {
		group = "discovery.k8s.io"
	}
	role := facts.Ref{Kind: facts.ClusterRoles.Kind(), ID: corednsRole}
	pods := c.pods
	if stuck := c.unready(); len(stuck) > 0 {
		pods = stuck
	}
	out := diagnose.Finding{
		Severity: c.severity(diagnose.Degraded),
		Subject:  role,
		Affects:  c.affected(pods),
		Claim:    fmt.Sprintf("ClusterRole %s does not let CoreDNS list and watch %s, so it does not know the addresses behind Services: %s", corednsRole, diagnose.Some(missing), c.effect()),
		Evidence: []diagnose.Evidence{{
			Fact: role.String() + " rules", Got: "no list and watch of " + diagnose.Some(missing), Want: "list and watch of endpointslices, services, pods and namespaces",
			Command: "kubectl get clusterrole " + corednsRole + " -o yaml",
		}},
		Remedies: []remedy.Remedy{{
			Title: "Let CoreDNS list and watch " + missing[0],
			Why:   "It reads no more than before; the pods sync by themselves.",
			Manual: []string{fmt.Sprintf(`kubectl patch clusterrole %s --type=json -p '[{"op":"add","path":"/rules/-","value":{"apiGroups":["%s"],"resources":["%s"],"verbs":["list","watch"]}}]'`,
				corednsRole, group, missing[0])},
		}},
	}
	if len(refused) > 0 {
		out.Evidence = append(out.Evidence, logEvidence(refused.sum(), false, "no request that is refused"))
	}
	return out
}
