package l4

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hopwise/hopwise/internal/facts"
)

// A webhook is one that the API server calls through a Service.
type webhook struct {
	config     facts.Ref // the configuration that it is in
	name       string
	service    string // namespace/name
	port       int32  // of the Service
	rules      []admissionv1.RuleWithOperations
	namespaces *metav1.LabelSelector
	objects    *metav1.LabelSelector
	must       bool // failurePolicy Fail: without an answer the call is refused
	seconds    int32
}

// webhooks are those of all configurations that can be called at all, the
// ones that must answer first.
func webhooks(v *facts.View) []webhook {
	var out []webhook
	for _, c := range facts.ValidatingWebhooks.In(v) {
		for _, w := range c.Webhooks {
			out = append(out, newWebhook(facts.Ref{Kind: facts.ValidatingWebhooks.Kind(), ID: c.Name}, w.Name, w.ClientConfig, w.Rules, w.NamespaceSelector, w.ObjectSelector, w.FailurePolicy, w.TimeoutSeconds))
		}
	}
	for _, c := range facts.MutatingWebhooks.In(v) {
		for _, w := range c.Webhooks {
			out = append(out, newWebhook(facts.Ref{Kind: facts.MutatingWebhooks.Kind(), ID: c.Name}, w.Name, w.ClientConfig, w.Rules, w.NamespaceSelector, w.ObjectSelector, w.FailurePolicy, w.TimeoutSeconds))
		}
	}
	namespaces := facts.Namespaces.In(v)
	known := facts.Namespaces.Have(v)
	out = slices.DeleteFunc(out, func(w webhook) bool { return w.service == "" || len(w.rules) == 0 || known && w.never(namespaces) })
	slices.SortStableFunc(out, func(a, b webhook) int {
		if a.must != b.must {
			return map[bool]int{true: -1, false: 1}[a.must]
		}
		return cmp.Compare(b.config.String(), a.config.String()) // validating before mutating
	})
	return out
}

func newWebhook(config facts.Ref, name string, to admissionv1.WebhookClientConfig, rules []admissionv1.RuleWithOperations,
	namespaces, objects *metav1.LabelSelector, policy *admissionv1.FailurePolicyType, timeout *int32) webhook {
	w := webhook{config: config, name: name, rules: rules, namespaces: namespaces, objects: objects, port: 443, seconds: 10, must: policy == nil || *policy == admissionv1.Fail}
	if to.Service != nil {
		w.service = to.Service.Namespace + "/" + to.Service.Name
		if to.Service.Port != nil {
			w.port = *to.Service.Port
		}
	}
	if timeout != nil {
		w.seconds = *timeout
	}
	return w
}

// namespaced are the built-in resources that live in namespaces and that
// webhooks are commonly for: a namespaceSelector that no namespace matches
// means that these are never sent.
var namespaced = []string{"pods", "services", "deployments", "daemonsets", "statefulsets", "replicasets", "jobs", "cronjobs", "ingresses", "configmaps", "secrets", "networkpolicies", "persistentvolumeclaims", "serviceaccounts"}

// never reports whether no namespace has what w is for.
func (w webhook) never(all []corev1.Namespace) bool {
	for _, r := range w.rules {
		for _, res := range r.Resources {
			base, _, _ := strings.Cut(res, "/")
			if !slices.Contains(namespaced, base) {
				return false
			}
		}
	}
	return !slices.ContainsFunc(all, func(n corev1.Namespace) bool { return chooses(w.namespaces, n.Labels, true) })
}

// builtIn reports whether w is asked about resources that every cluster has.
func (w webhook) builtIn() bool {
	return slices.ContainsFunc(w.rules, func(r admissionv1.RuleWithOperations) bool {
		return slices.ContainsFunc(r.APIGroups, func(g string) bool { return !strings.Contains(g, ".") || strings.HasSuffix(g, ".k8s.io") })
	})
}

// chooses reports whether a selector selects labels; otherwise is the answer
// for one that does not parse.
func chooses(s *metav1.LabelSelector, l map[string]string, otherwise bool) bool {
	if s == nil {
		return true
	}
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return otherwise
	}
	return sel.Matches(labels.Set(l))
}

// deadlocks reports whether w has to admit the pods behind its own Service
// before they can answer.
func (w webhook) deadlocks(namespace string, podLabels map[string]string, all []corev1.Namespace) bool {
	i := slices.IndexFunc(all, func(n corev1.Namespace) bool { return n.Name == namespace })
	if !w.must || i < 0 || !chooses(w.namespaces, all[i].Labels, false) || !chooses(w.objects, podLabels, false) {
		return false
	}
	return slices.ContainsFunc(w.rules, func(r admissionv1.RuleWithOperations) bool {
		create := slices.Contains(r.Operations, admissionv1.Create) || slices.Contains(r.Operations, admissionv1.OperationAll)
		core := slices.Contains(r.APIGroups, "") || slices.Contains(r.APIGroups, "*")
		return create && core && (slices.Contains(r.Resources, "pods") || slices.Contains(r.Resources, "*") || slices.Contains(r.Resources, "*/*"))
	})
}

// calls is what w is asked about, for people: "create and update of ingresses".
func (w webhook) calls() string {
	var ops, resources []string
	for _, r := range w.rules {
		for _, o := range r.Operations {
			if op := strings.ToLower(string(o)); !slices.Contains(ops, op) {
				ops = append(ops, op)
			}
		}
		for _, res := range r.Resources {
			if len(r.APIGroups) > 0 && r.APIGroups[0] != "" && r.APIGroups[0] != "*" {
				res += "." + r.APIGroups[0]
			}
			if !slices.Contains(resources, res) {
				resources = append(resources, res)
			}
		}
	}
	if len(resources) > 4 {
		resources = append(resources[:3:3], fmt.Sprintf("%d more", len(resources)-3))
	}
	return strings.ReplaceAll(strings.Join(ops, " and "), "*", "any change") + " of " + strings.ReplaceAll(strings.Join(resources, ", "), "*", "everything")
}

// callsOf is what several webhooks together are asked about.
func callsOf(all []webhook) string {
	var out []string
	for _, w := range all {
		if c := w.calls(); !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	if len(out) > 3 {
		out = append(out[:2:2], fmt.Sprintf("%d more", len(out)-2))
	}
	return strings.Join(out, "; ")
}

// byService sorts webhooks by the Service and port that they are behind,
// keeping their order.
func byService(all []webhook) [][]webhook {
	var out [][]webhook
	index := map[string]int{}
	for _, w := range all {
		key := fmt.Sprint(w.service, " ", w.port)
		i, ok := index[key]
		if !ok {
			i = len(out)
			index[key], out = i, append(out, nil)
		}
		out[i] = append(out[i], w)
	}
	return out
}

// configs are the configurations of webhooks.
func configs(all []webhook) []facts.Ref {
	var out []facts.Ref
	for _, w := range all {
		out = append(out, w.config)
	}
	return out
}

// An answerer is a ready endpoint of a Service's port.
type answerer struct {
	ip   netip.Addr
	port int32
	pod  string // namespace/name, "" when it is none
}

// answerers are the ready endpoints of a Service's port. The API server
// connects to them itself, not through the Service's address.
func answerers(slicesOf []discoveryv1.EndpointSlice, s *corev1.Service, port corev1.ServicePort) []answerer {
	var out []answerer
	for _, es := range slicesOf {
		if es.Namespace != s.Namespace || es.Labels[discoveryv1.LabelServiceName] != s.Name {
			continue
		}
		number := int32(0)
		for _, p := range es.Ports {
			if facts.Val(p.Name) == port.Name && p.Port != nil {
				number = *p.Port
			}
		}
		for _, e := range es.Endpoints {
			if number == 0 || e.Conditions.Ready != nil && !*e.Conditions.Ready || len(e.Addresses) == 0 {
				continue
			}
			ip, err := netip.ParseAddr(e.Addresses[0])
			if err != nil {
				continue
			}
			a := answerer{ip: ip, port: number}
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
				a.pod = s.Namespace + "/" + e.TargetRef.Name
			}
			out = append(out, a)
		}
	}
	return out
}

// serviceByName finds a Service by "namespace/name".
func serviceByName(all []corev1.Service, name string) *corev1.Service {
	for i := range all {
		if all[i].Namespace+"/"+all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

func portOf(s *corev1.Service, number int32) (corev1.ServicePort, bool) {
	for _, p := range s.Spec.Ports {
		if p.Port == number {
			return p, true
		}
	}
	return corev1.ServicePort{}, false
}
