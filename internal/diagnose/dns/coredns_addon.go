package dns

import (
	"fmt"
	"slices"
	"strings"

	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var corednsAddonDegraded = &diagnose.Check{
	ID:    "dns/coredns-addon-conflict-or-degraded",
	Title: "The CoreDNS add-on is degraded, or its last change failed",
	Doc: `EKS says of an add-on what it cannot do: too few replicas are available, fields that it owns were changed by hand, an
admission webhook or a missing permission refuses its changes, objects it needs are gone. DNS may work all the while; what
fails is the next update, and tools that wait for ACTIVE.

Recognised by the status DEGRADED, CREATE_FAILED or UPDATE_FAILED, or by health issues of the add-on.

Looks alike: CoreDNS without an add-on is managed by somebody else and is no fault. Too few replicas is a consequence: what
keeps the pods from being ready stands before this finding where it is found.

Fixed by moving changes made by hand into the configuration values and updating with PRESERVE. OVERWRITE takes the add-on's
own values for all that differs, the Corefile with its stub domains among them: save it before.`,
	Needs:    []facts.Need{facts.Addons},
	Wants:    []facts.Need{facts.Deployments, facts.Pods, facts.EndpointSlices, facts.Clusters, facts.Services, facts.Events},
	CausedBy: append([]string{"dns/coredns-zero-ready", "dns/coredns-autoscaler-conflict", "l3/subnet-ip-exhausted"}, coreDNSCauses...),
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/APIReference/API_AddonIssue.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/coredns-add-on-update.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c := newCoreDNS(v)
		a, ok := coreDNSAddon(v)
		if !ok || !a.troubled() {
			return nil
		}
		return []diagnose.Finding{a.finding(c)}
	},
}

func (a addon) troubled() bool {
	bad := []ekstypes.AddonStatus{ekstypes.AddonStatusDegraded, ekstypes.AddonStatusCreateFailed, ekstypes.AddonStatusUpdateFailed}
	return slices.Contains(bad, a.Status) || a.Status != ekstypes.AddonStatusCreating && a.Status != ekstypes.AddonStatusUpdating && len(a.issues()) > 0
}

func (a addon) issues() []ekstypes.AddonIssue {
	if a.Health == nil {
		return nil
	}
	return a.Health.Issues
}

func (a addon) finding(c coreDNS) diagnose.Finding {
	status := orNone(string(a.Status))
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  a.ref(),
		Claim:    "Add-on coredns is " + status,
	}
	describe := fmt.Sprintf("aws eks describe-addon --cluster-name %s --addon-name coredns", a.cluster)
	f.Evidence = []diagnose.Evidence{{Fact: "eks/addons/coredns status", Got: status, Want: "ACTIVE", Command: describe + " --query addon.status"}}
	var codes []string
	for _, i := range a.issues() {
		codes = append(codes, string(i.Code))
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: "eks/addons/coredns health", Got: string(i.Code) + ": " + facts.Redact(facts.Val(i.Message)), Want: "no issues", Command: describe + " --query addon.health",
		})
	}
	if len(codes) > 0 {
		f.Claim += ": " + strings.Join(codes, ", ")
	}
	if c.deployment != nil {
		f.Affects = c.affected(c.pods)
	}
	few := slices.Contains(codes, string(ekstypes.AddonIssueCodeInsufficientNumberOfReplicas))
	switch {
	case few && c.deployment != nil && len(c.unready()) > 0:
		f.Severity = c.severity(diagnose.Degraded)
		f.Claim += fmt.Sprintf("; %d of %s ready, %s", len(c.pods)-len(c.unready()), diagnose.Count(len(c.pods), "pod"), c.effect())
	case c.endpoints > 0:
		f.Claim += "; DNS works, changes to the add-on do not"
	}
	f.Remedies = []remedy.Remedy{a.fix(c, few)}
	return f
}

// fix is printed: what to do with changes made by hand is a person's choice.
func (a addon) fix(c coreDNS, few bool) remedy.Remedy {
	if few && c.deployment != nil {
		m := remedy.Remedy{
			Title:  "See what keeps the CoreDNS pods from being ready",
			Why:    "The add-on becomes ACTIVE by itself when its replicas are available.",
			Manual: []string{"kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide"},
		}
		for _, p := range c.unready() {
			m.Manual = append(m.Manual, "kubectl -n kube-system describe pod "+p.Name)
			break
		}
		return m
	}
	return remedy.Remedy{
		Title: "Save the Corefile, then update the add-on and keep what was changed by hand",
		Why:   "PRESERVE leaves fields that differ as they are; OVERWRITE would replace the Corefile and lose its stub domains.",
		Manual: []string{
			"kubectl -n kube-system get configmap coredns -o yaml > coredns-corefile.yaml",
			fmt.Sprintf("aws eks update-addon --cluster-name %s --addon-name coredns --addon-version %s --resolve-conflicts PRESERVE", a.cluster, facts.Val(a.AddonVersion)),
		},
	}
}
