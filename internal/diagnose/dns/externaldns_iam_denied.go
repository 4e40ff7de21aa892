package dns

import (
	"regexp"
	"slices"
	"strings"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var externalDNSIAMDenied = &diagnose.Check{
	ID:    "dns/externaldns-iam-denied",
	Title: "AWS refuses external-dns",
	Doc: `external-dns lists all hosted zones, lists the records of those that its filters leave, and changes records. When one of these calls is
refused the whole sync fails: a policy that names one zone is not enough while no --zone-id-filter limits what is listed.

Recognised by its log, after the last sync that worked: "is not authorized to perform: route53:..." names the action and who asked. An ARN with the
name of an instance in it (assumed-role/ROLE/i-...) is the node's role: the pod got no credentials of its own. "AssumeRoleWithWebIdentity" and
"InvalidIdentityToken" are about the trust of the role and not about its policy.

Looks alike: throttling answers "Rate exceeded" and passes.

Fixed in IAM, which the bot does not change: route53:ChangeResourceRecordSets, ListResourceRecordSets and ListTagsForResources on the zones,
ListHostedZones on all. Older policies have ListTagsForResource only, which newer versions do not call.`,
	Needs: complaintNeeds,
	Wants: complaintWants,
	Sources: []string{
		"https://github.com/kubernetes-sigs/external-dns/blob/master/docs/tutorials/aws.md",
		"https://github.com/kubernetes-sigs/external-dns/issues/4219",
		"https://github.com/kubernetes-sigs/external-dns/issues/1979",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		return complaining(v, credentials, denied)
	},
}

// complaining makes a finding of each publisher whose log complains of t.
func complaining(v *facts.View, t trouble, say func(*publishing, *publisher, []saying) *diagnose.Finding) []diagnose.Finding {
	x := newPublishing(v)
	var all []diagnose.Finding
	for _, p := range x.publishers {
		lines := p.complaints(t)
		if len(lines) == 0 {
			continue
		}
		if f := say(x, p, lines); f != nil {
			all = append(all, *f)
		}
	}
	return all
}

var (
	refusedAction = regexp.MustCompile(`not authorized to perform: ([a-z0-9]+:[A-Za-z]+)`)
	refusedUser   = regexp.MustCompile(`User: (arn:\S+) is not authorized`)
	refusedOn     = regexp.MustCompile(`on resource: (arn:\S+)`)
	nodeIdentity  = regexp.MustCompile(`:assumed-role/([^/]+)/i-[0-9a-f]+$`)
)

// find is the first group of re in s, "" when there is none.
func find(re *regexp.Regexp, s string) string {
	if m := re.FindStringSubmatch(s); m != nil {
		return strings.TrimRight(m[1], ".,;:'\"")
	}
	return ""
}

func denied(x *publishing, p *publisher, lines []saying) *diagnose.Finding {
	last := lines[len(lines)-1].text
	action, user := find(refusedAction, last), find(refusedUser, last)
	why, fix := identity(p, last), p.identityRemedy(x.cluster)
	if why == "" {
		why, fix = "its role "+orElse(find(assumedRole, user), "in AWS")+" is not allowed "+orElse(action, "what it does"), p.policyRemedy(action, last)
		if node := find(nodeIdentity, user); node != "" {
			why, fix = "it got no credentials of its own and asks as the node's role "+node+", which may not "+orElse(action, "do this"), p.identityRemedy(x.cluster)
		}
	}
	zone := x.unfiltered(p, action, last)
	if zone != "" {
		why += " on " + zone + ", which it reads because it has no filter of zones"
	}
	f := x.silent(p, "cannot write records: "+why)
	if f.Severity == diagnose.Risk {
		f.Severity = diagnose.Degraded
	}
	want := "All records are already up to date"
	own := []diagnose.Evidence{{Fact: diagnose.LogOf + p.name(), Got: oneLine(last), Want: want, Command: p.logs()}}
	if user != "" {
		own = append(own, diagnose.Evidence{Fact: "identity of " + p.name(), Got: user, Want: "the role of service account " + strings.ReplaceAll(p.serviceAccount(), ":", "/"),
			Command: "kubectl -n " + p.deployment.Namespace + " get serviceaccount " + strings.TrimPrefix(p.serviceAccount(), p.deployment.Namespace+":") + " -o yaml"})
	}
	f.Remedies = []remedy.Remedy{fix}
	if zone != "" {
		own = append(own, diagnose.Evidence{Fact: p.ref().String() + " args", Got: "no filter of zones: every zone of the account is read, and one refusal ends the sync", Want: "--domain-filter or --zone-id-filter for the zones that it writes", Command: p.args()})
		f.Remedies = append(x.filterRemedy(p, zone), fix)
	}
	f.Evidence = append(own, f.Evidence...)
	return f
}

// unfiltered is the zone that a refusal is about, where p reads it only for
// want of a filter; "" else.
func (x *publishing) unfiltered(p *publisher, action, line string) string {
	_, id, ok := strings.Cut(find(refusedOn, line), ":hostedzone/")
	if !ok || !slices.Contains([]string{"route53:ListResourceRecordSets", "route53:ListTagsForResources", "route53:ListTagsForResource"}, action) || p.zoneFlags() != "" || p.flags.vague("domain-filter", "zone-id-filter", "regex-domain-filter") {
		return ""
	}
	for _, h := range x.zones {
		if h.id == id {
			return h.label()
		}
	}
	return "zone " + id
}

// filterRemedy limits p to the zones of the hosts that it is to write, none of
// which is the one that it was refused.
func (x *publishing) filterRemedy(p *publisher, refused string) []remedy.Remedy {
	var names []string
	for _, w := range x.wishes {
		if takes, _ := p.takes(w); !takes {
			continue
		}
		in := x.zonesOf(w.host)
		if len(in) == 0 || in[0].label() == refused {
			return nil
		}
		if !slices.Contains(names, in[0].name) {
			names = append(names, in[0].name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	r := remedy.Remedy{
		Title: "Limit " + p.label() + " to the zones of its hosts: " + strings.Join(names, ", "),
		Why:   "The refused zone is read for nothing: no host of the cluster belongs into it. Under --policy=sync records that it made in other zones stay there.",
		Risk:  remedy.Safe,
	}
	for _, name := range names {
		r.Manual = append(r.Manual, p.withArg("--domain-filter="+name))
	}
	return []remedy.Remedy{r}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// identity says what is wrong with who asks, "" when that is not the fault.
func identity(p *publisher, s string) string {
	switch {
	case strings.Contains(s, "No OpenIDConnect provider found"):
		return "IAM has no OIDC provider of this cluster, so its service account is nobody there"
	case strings.Contains(s, "AssumeRoleWithWebIdentity"), strings.Contains(s, "InvalidIdentityToken"), strings.Contains(s, "WebIdentityErr"):
		return "its role does not trust service account " + strings.ReplaceAll(p.serviceAccount(), ":", "/")
	case strings.Contains(s, "not authorized to perform: sts:AssumeRole"):
		return "it may not assume the role of --aws-assume-role"
	case strings.Contains(s, "no EC2 IMDS role found"), strings.Contains(s, "NoCredentialProviders"), strings.Contains(s, "failed to refresh cached credentials"), strings.Contains(s, "failed to retrieve credentials"):
		return "it has no credentials: neither a role for its service account nor one of the node"
	}
	return ""
}

func (p *publisher) identityRemedy(cluster string) remedy.Remedy {
	sa := strings.TrimPrefix(p.serviceAccount(), p.deployment.Namespace+":")
	return remedy.Remedy{
		Title: "Give external-dns's service account a role that trusts it",
		Why:   "IRSA needs the annotation, the cluster's OIDC provider in IAM and a trust policy that names the service account; EKS Pod Identity an association. Pods get credentials only when they start.",
		Manual: []string{
			p.kubectl("get serviceaccount " + sa + " -o jsonpath='{.metadata.annotations.eks\\.amazonaws\\.com/role-arn}'"),
			"aws iam list-open-id-connect-providers",
			"aws eks list-pod-identity-associations --cluster-name " + orElse(cluster, "CLUSTER") + " --namespace " + p.deployment.Namespace + " --service-account " + sa,
			p.kubectl("rollout restart deployment/" + p.deployment.Name),
		},
	}
}

// policyRemedy is for a role that is the right one and may not do enough.
func (p *publisher) policyRemedy(action, line string) remedy.Remedy {
	r := remedy.Remedy{
		Title: "Allow external-dns's role " + orElse(action, "what it needs"),
		Why:   "It needs route53:ListHostedZones on *, and ChangeResourceRecordSets, ListResourceRecordSets and ListTagsForResources on arn:aws:route53:::hostedzone/* or on its zones.",
		Manual: []string{`aws iam put-role-policy --role-name ROLE --policy-name external-dns --policy-document '{"Version":"2012-10-17","Statement":[` +
			`{"Effect":"Allow","Action":["route53:ChangeResourceRecordSets","route53:ListResourceRecordSets","route53:ListTagsForResources"],"Resource":"arn:aws:route53:::hostedzone/*"},` +
			`{"Effect":"Allow","Action":"route53:ListHostedZones","Resource":"*"}]}'`},
	}
	if role := find(assumedRole, line); role != "" {
		r.Manual[0] = strings.Replace(r.Manual[0], "--role-name ROLE", "--role-name "+role, 1)
	}
	zone := find(refusedOn, line)
	if slices.Contains([]string{"route53:ListResourceRecordSets", "route53:ListTagsForResources"}, action) && strings.Contains(zone, "hostedzone/") && len(p.flags.all("zone-id-filter")) == 0 {
		r.Why += " A policy for one zone works once --zone-id-filter limits external-dns to that zone."
	}
	return r
}

var assumedRole = regexp.MustCompile(`:assumed-role/([A-Za-z0-9+=,.@_-]+)/`)
