package l4

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGPerENILimit recognises pods that get no interface because
// SecurityGroupPolicies give it too many groups.
var SGPerENILimit = &diagnose.Check{
	ID:    "l4/sg-per-eni-limit",
	Title: "SecurityGroupPolicies give a pod more security groups than an interface may have",
	Doc: `A pod that SecurityGroupPolicies select gets a network interface of its own with the security groups of all of them
together. EC2 allows five groups on an interface unless the quota was raised, sixteen at the most. With more, the VPC
resource controller cannot make the interface, and the pod waits in ContainerCreating.

Recognised by pods without an address whose event BranchAllocationFailed says that the interface's groups exceed the limit,
and by the policies that select them. More than five groups alone is no fault: the quota may have been raised.

Looks alike: no branch interfaces left on the node; a full subnet; a group that does not exist.

Fix: select the pod with fewer groups, or have the quota raised (then each group may have fewer rules).`,
	Needs: []facts.Need{facts.Pods, facts.Events, facts.SecurityGroupPolicies},
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/security-groups-for-pods.html",
		"https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html#vpc-limits-security-groups",
	},
	Run: sgPerENILimit,
}

func sgPerENILimit(v *facts.View) []diagnose.Finding {
	events, policies := latestEvents(facts.Events.In(v)), facts.SecurityGroupPolicies.In(v)
	byPolicy, order := map[facts.Ref]*overfull{}, []facts.Ref{}
	pods := facts.Pods.In(v)
	for i := range pods {
		p := &pods[i]
		e := events[p.Namespace+"/"+p.Name]["BranchAllocationFailed"]
		if e == nil || !tooManyGroups(e.Message) || reach.Finished(p) || p.Status.PodIP != "" {
			continue
		}
		mine := policiesOf(p, policies)
		if len(mine) == 0 {
			continue
		}
		key := ref(facts.SecurityGroupPolicies.Kind(), mine[0].Namespace, mine[0].Name)
		if byPolicy[key] == nil {
			byPolicy[key] = &overfull{policies: mine, message: e.Message}
			order = append(order, key)
		}
		byPolicy[key].pods = append(byPolicy[key].pods, p)
	}
	var findings []diagnose.Finding
	for _, key := range order {
		findings = append(findings, byPolicy[key].finding(key))
	}
	return findings
}

// tooManyGroups reports whether a message of EC2 is about the number of groups
// on an interface.
func tooManyGroups(message string) bool {
	return strings.Contains(message, "SecurityGroupsPerInterfaceLimitExceeded") || strings.Contains(message, "interface security group memberships")
}

// policiesOf are the policies that select a pod. Selectors of service accounts
// need the account's labels, which are not read: they count as selecting.
func policiesOf(p *corev1.Pod, all []facts.SecurityGroupPolicy) []facts.SecurityGroupPolicy {
	var out []facts.SecurityGroupPolicy
	for _, s := range all {
		if s.Namespace != p.Namespace || s.Spec.PodSelector == nil && s.Spec.ServiceAccountSelector == nil {
			continue
		}
		sel, err := metav1.LabelSelectorAsSelector(s.Spec.PodSelector)
		if s.Spec.PodSelector == nil || err == nil && sel.Matches(labels.Set(p.Labels)) {
			out = append(out, s)
		}
	}
	return out
}

// An overfull is what one set of policies does to pods.
type overfull struct {
	policies []facts.SecurityGroupPolicy
	pods     []*corev1.Pod
	message  string
}

func (o *overfull) finding(subject facts.Ref) diagnose.Finding {
	var groups, names []string
	var about []facts.Ref
	for _, s := range o.policies {
		names = append(names, s.Namespace+"/"+s.Name)
		about = append(about, ref(facts.SecurityGroupPolicies.Kind(), s.Namespace, s.Name))
		for _, g := range s.Spec.SecurityGroups.Groups {
			if !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
	}
	for _, p := range o.pods {
		about = append(about, podRef(p))
	}
	first := o.pods[0]
	return diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  subject,
		Affects:  refs(subject, about),
		Claim:    fmt.Sprintf("SecurityGroupPolicies %s together give %s %d security groups, more than one network interface may have", strings.Join(names, ", "), diagnose.Count(len(o.pods), "pod"), len(groups)),
		Evidence: []diagnose.Evidence{
			{Fact: podRef(first).String(), Got: o.message, Want: "a branch interface", Command: fmt.Sprintf("kubectl -n %s describe pod %s", first.Namespace, first.Name)},
			{Fact: subject.String(), Got: strings.Join(groups, ", "), Want: "5 groups, or as many as the quota L-2AFB9258 allows", Command: fmt.Sprintf("kubectl -n %s get securitygrouppolicies -o yaml", first.Namespace)},
		},
		Remedies: []remedy.Remedy{{
			Title: "Give these pods fewer security groups, or raise the quota", Why: "Rules of several groups can be put into one. A raised quota lowers how many rules each group may have.", Risk: remedy.Safe,
			Manual: []string{
				fmt.Sprintf("kubectl -n %s edit securitygrouppolicy %s", first.Namespace, o.policies[0].Name),
				fmt.Sprintf("aws service-quotas request-service-quota-increase --service-code vpc --quota-code L-2AFB9258 --desired-value %d", min(16, len(groups))),
			},
		}},
	}
}
