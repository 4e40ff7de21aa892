package l4

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// WebhookNoEndpoints recognises admission webhooks that nothing answers.
var WebhookNoEndpoints = &diagnose.Check{
	ID:    "l4/webhook-no-endpoints",
	Title: "Admission webhook has nothing that answers",
	Doc: `Before the API server stores an object it asks the admission webhooks whose rules match. With failurePolicy Fail no
answer means no: when the webhook's Service is gone, does not have the port, or has no ready endpoint, every matching call
is refused at once ("no endpoints available for service", "service not found"). That happens after an uninstall that
left the configuration behind, after a scale to zero, or when the pods have lost their node. If the webhook is also asked
about its own pods, they cannot come back by themselves.

Recognised by webhooks with failurePolicy Fail (also the default), rules, and a Service that does not exist, lacks the port
or has no ready endpoint in its EndpointSlices. Webhooks with failurePolicy Ignore are passed over by the API server without
delay and not reported; nor are those whose namespaceSelector no namespace matches, nor pods that started a minute ago.
One whose Service is gone and that is only about custom resources is a risk: those may be gone as well.

Looks alike: endpoints are ready and a security group or network ACL blocks their port (the call times out instead);
"x509" in the message (certificates).

Fix: bring the pods back. Deleting the configuration, or failurePolicy Ignore, turns the webhook's policy off for the whole
cluster: a person decides that.`,
	Needs:    []facts.Need{facts.ValidatingWebhooks, facts.MutatingWebhooks, facts.Services, facts.EndpointSlices},
	Wants:    []facts.Need{facts.Pods, facts.Deployments, facts.Namespaces},
	CausedBy: []string{"l4/service-endpoints-not-ready", "l4/service-no-endpoints-selector", "l3/subnet-ip-exhausted", "l3/private-subnet-no-default-route", "l4/node-to-node-sg-blocked"},
	Sources: []string{
		"https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#failure-policy",
		"https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/",
	},
	Run: webhookNoEndpoints,
}

func webhookNoEndpoints(v *facts.View) []diagnose.Finding {
	services, endpoints := facts.Services.In(v), facts.EndpointSlices.In(v)
	pods := byNamespace(facts.Pods.In(v))
	deployments, namespaces := facts.Deployments.In(v), facts.Namespaces.In(v)
	var findings []diagnose.Finding
	for _, group := range byService(mustAnswer(webhooks(v))) {
		s := serviceByName(services, group[0].service)
		silent := silence{hooks: group, service: s}
		switch {
		case s == nil:
			silent.why = "does not exist"
		case s.Spec.Type == corev1.ServiceTypeExternalName:
			continue
		default:
			p, ok := portOf(s, group[0].port)
			if !ok {
				silent.why = fmt.Sprintf("has no port %d", group[0].port)
				break
			}
			if len(answerers(endpoints, s, p)) > 0 || starting(s, pods[s.Namespace], v.At()) {
				continue
			}
			silent.why = "has no ready endpoint"
			silent.find(pods[s.Namespace], deployments, namespaces)
		}
		findings = append(findings, silent.finding())
	}
	return findings
}

func mustAnswer(all []webhook) []webhook {
	return slices.DeleteFunc(all, func(w webhook) bool { return !w.must })
}

// starting reports whether pods of s are younger than a minute: they have not
// had the time to answer.
func starting(s *corev1.Service, pods []*corev1.Pod, now time.Time) bool {
	return slices.ContainsFunc(pods, func(p *corev1.Pod) bool {
		age := now.Sub(p.CreationTimestamp.Time)
		return reach.Selects(s, p) && !reach.Finished(p) && age >= 0 && age < time.Minute
	})
}

// A silence is a Service that does not answer for webhooks.
type silence struct {
	hooks    []webhook
	service  *corev1.Service // nil: there is none
	why      string
	pods     []facts.Ref // that would answer
	stopped  *scaled     // the Deployment at zero whose pods would answer
	deadlock bool        // those pods need the webhook's leave to be made
}

// A scaled is a Deployment that asks for no pods.
type scaled struct{ namespace, name string }

func (s *silence) find(pods []*corev1.Pod, deployments []appsv1.Deployment, namespaces []corev1.Namespace) {
	for _, p := range pods {
		if reach.Selects(s.service, p) && !reach.Finished(p) {
			s.pods = append(s.pods, podRef(p))
		}
	}
	for _, d := range deployments {
		podLabels := d.Spec.Template.Labels
		if d.Namespace != s.service.Namespace || len(s.service.Spec.Selector) == 0 || !has(podLabels, s.service.Spec.Selector) {
			continue
		}
		s.deadlock = s.deadlock || slices.ContainsFunc(s.hooks, func(h webhook) bool { return h.deadlocks(d.Namespace, podLabels, namespaces) })
		if d.Spec.Replicas != nil && *d.Spec.Replicas == 0 && len(s.pods) == 0 && s.stopped == nil {
			s.stopped = &scaled{d.Namespace, d.Name}
		}
	}
}

func (s *silence) finding() diagnose.Finding {
	first := s.hooks[0]
	namespace, name, _ := strings.Cut(first.service, "/")
	subject := first.config
	what := fmt.Sprintf("Service %s, which answers for webhook %s, %s", first.service, first.name, s.why)
	if len(s.hooks) > 1 {
		what = fmt.Sprintf("Service %s, which answers for webhook %s and %d more, %s", first.service, first.name, len(s.hooks)-1, s.why)
	}
	if s.stopped != nil {
		what += fmt.Sprintf(": Deployment %s is scaled to zero", s.stopped.name)
	}
	claim := fmt.Sprintf("%s; the API server refuses %s", what, callsOf(s.hooks))
	if s.deadlock {
		claim += ", the webhook's own pods among them"
	}
	command := fmt.Sprintf("kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s", namespace, name)
	if s.service == nil {
		command = fmt.Sprintf("kubectl -n %s get service %s", namespace, name)
	}
	service := ref(facts.Services.Kind(), namespace, name)
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  subject,
		Claim:    claim,
		Affects:  refs(subject, configs(s.hooks), []facts.Ref{service}, s.pods),
		Evidence: []diagnose.Evidence{
			{Fact: service.String(), Got: "Service " + s.why, Want: fmt.Sprintf("a ready endpoint behind port %d", first.port), Command: command},
			{Fact: subject.String(), Got: fmt.Sprintf("webhook %s: failurePolicy Fail", first.name), Want: "something that answers it", Command: "kubectl get " + subject.Kind.Resource() + " " + subject.ID + " -o yaml"},
		},
	}
	if s.service == nil && !slices.ContainsFunc(s.hooks, webhook.builtIn) {
		f.Severity = diagnose.Risk
	}
	if s.stopped != nil {
		f.Affects = append(f.Affects, ref(facts.Deployments.Kind(), s.stopped.namespace, s.stopped.name))
	}
	f.Remedies = s.remedies()
	return f
}

func (s *silence) remedies() []remedy.Remedy {
	var out []remedy.Remedy
	if s.stopped != nil && !s.deadlock {
		out = append(out, remedy.Remedy{
			Title:   fmt.Sprintf("Start one pod of Deployment %s/%s", s.stopped.namespace, s.stopped.name),
			Why:     "The webhook answers again as soon as one pod is ready.",
			Risk:    remedy.Safe,
			Actions: remedy.Actions{remedy.ScaleDeployment{Namespace: s.stopped.namespace, Name: s.stopped.name, From: 0, To: 1}},
		})
	}
	return append(out, s.off())
}

// off is how a person takes the webhook out of the way, keeping a copy.
func (s *silence) off() remedy.Remedy {
	r := remedy.Remedy{
		Title: "Take the webhook out of the way, if what it belonged to is gone or cannot come back",
		Why:   "DANGER: until it is put back, nothing enforces its policy or makes its changes, anywhere in the cluster. Keep the copy.",
		Risk:  remedy.Destructive,
	}
	for _, c := range refs(facts.Ref{}, configs(s.hooks)) {
		file := c.Kind.Resource() + "-" + c.ID + ".yaml"
		r.Manual = append(r.Manual, fmt.Sprintf("kubectl get %s %s -o yaml > %s", c.Kind.Resource(), c.ID, file), fmt.Sprintf("kubectl delete %s %s", c.Kind.Resource(), c.ID))
	}
	return r
}
