package remedy

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A Workload names what has a pod template. A change of the template replaces
// its pods, a few at a time.
type Workload struct {
	Kind      string `json:"kind"` // Deployment, DaemonSet or StatefulSet
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// Resource is the API's name of the kind, such as deployments.
func (w Workload) Resource() string { return strings.ToLower(w.Kind) + "s" }

// Object is the workload.
func (w Workload) Object() string { return "kube/" + w.Resource() + "/" + w.Namespace + "/" + w.Name }

// Permission is what every change of a pod template takes.
func (w Workload) Permission() string { return "patch " + w.Resource() }

// command is the command that patches the workload with a JSON merge patch.
func (w Workload) command(patch []byte) string {
	return fmt.Sprintf("kubectl -n %s patch %s %s --type=merge -p %s", quote(w.Namespace), strings.ToLower(w.Kind), quote(w.Name), quote(string(patch)))
}

// podSpec is the JSON merge patch of a workload's pod spec.
func podSpec(spec any) []byte {
	return mustJSON(map[string]any{"spec": map[string]any{"template": map[string]any{"spec": spec}}})
}

// RestartedAt is the annotation of a pod template by which kubectl rollout
// restart replaces the pods.
const RestartedAt = "kubectl.kubernetes.io/restartedAt"

// RestartWorkload replaces the pods of a workload with new ones of the same
// template. Last is the template's RestartedAt when the restart was proposed,
// "" for none: a workload that has another was restarted since, and is not
// restarted again. Use Restart to make one.
type RestartWorkload struct {
	Workload
	Last string `json:"last,omitempty"`
}

// Restart is the restart of a workload whose pod template has the metadata.
func Restart(w Workload, template metav1.ObjectMeta) RestartWorkload {
	return RestartWorkload{Workload: w, Last: template.Annotations[RestartedAt]}
}

func (RestartWorkload) Type() string { return "restart-workload" }

// Patch is the JSON merge patch (RFC 7386) that performs a at a time (RFC
// 3339).
func (RestartWorkload) Patch(at string) []byte {
	meta := map[string]any{"annotations": map[string]string{RestartedAt: at}}
	return mustJSON(map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": meta}}})
}
func (a RestartWorkload) Command() string {
	return fmt.Sprintf("kubectl -n %s rollout restart %s", quote(a.Namespace), quote(strings.ToLower(a.Kind)+"/"+a.Name))
}

// Undo is nil: pods that are gone do not come back. A remedy that does more
// than restart cannot be undone as a whole either.
func (RestartWorkload) Undo() Action { return nil }

// SetDNSOption changes one option of the resolver configuration that the pods
// of a workload get, such as ndots. Use DNSOption to make one.
type SetDNSOption struct {
	Workload
	Option string                      `json:"option"`
	From   string                      `json:"from,omitempty"`   // "": not set
	To     string                      `json:"to,omitempty"`     // "": not set
	Others []corev1.PodDNSConfigOption `json:"others,omitempty"` // the options that stay
}

// DNSOption is the change of one option of a pod template's dnsConfig, which
// may be nil.
func DNSOption(w Workload, now *corev1.PodDNSConfig, option, to string) SetDNSOption {
	a := SetDNSOption{Workload: w, Option: option, To: to}
	if now == nil {
		return a
	}
	for _, o := range now.Options {
		switch {
		case o.Name != option:
			a.Others = append(a.Others, o)
		case o.Value != nil:
			a.From = *o.Value
		}
	}
	return a
}

func (SetDNSOption) Type() string      { return "set-dns-option" }
func (a SetDNSOption) Command() string { return a.command(a.Patch()) }

// Patch is the JSON merge patch (RFC 7386) that performs a.
func (a SetDNSOption) Patch() []byte {
	return podSpec(map[string]any{"dnsConfig": map[string]any{"options": a.options()}})
}

// options is the whole list after the change: a merge patch replaces it.
func (a SetDNSOption) options() []corev1.PodDNSConfigOption {
	all := slices.Clone(a.Others)
	if a.To != "" {
		all = append(all, corev1.PodDNSConfigOption{Name: a.Option, Value: &a.To})
	}
	return all
}
func (a SetDNSOption) Undo() Action {
	a.From, a.To = a.To, a.From
	return a
}

// SetEnv changes one environment variable of one container, or init
// container, of a workload.
type SetEnv struct {
	Workload
	Container string `json:"container"`
	Variable  string `json:"variable"`
	From      string `json:"from,omitempty"` // "": not set
	To        string `json:"to,omitempty"`   // "": not set
}

func (SetEnv) Type() string { return "set-env" }
func (a SetEnv) Command() string {
	set := a.Variable + "=" + a.To
	if a.To == "" {
		set = a.Variable + "-"
	}
	return fmt.Sprintf("kubectl -n %s set env %s -c %s %s", quote(a.Namespace), quote(strings.ToLower(a.Kind)+"/"+a.Name), quote(a.Container), quote(set))
}

// Patch is the strategic merge patch that performs a on the named list of
// containers: containers or initContainers.
func (a SetEnv) Patch(list string) []byte {
	env := map[string]any{"name": a.Variable, "value": a.To}
	if a.To == "" {
		env = map[string]any{"name": a.Variable, "$patch": "delete"}
	}
	return podSpec(map[string]any{list: []any{map[string]any{"name": a.Container, "env": []any{env}}}})
}
func (a SetEnv) Undo() Action {
	a.From, a.To = a.To, a.From
	return a
}

// SpreadReplicas changes over what the scheduler spreads the pods of a
// Deployment. Use Spread to make one.
type SpreadReplicas struct {
	Namespace string                            `json:"namespace"`
	Name      string                            `json:"name"`
	From      []corev1.TopologySpreadConstraint `json:"from,omitempty"`
	To        []corev1.TopologySpreadConstraint `json:"to,omitempty"`
}

// Spread adds to a Deployment the wish that its pods lie in different zones
// and on different nodes. It is a wish: pods that cannot are scheduled all the
// same. A topology that the Deployment already spreads over is left alone.
func Spread(d *appsv1.Deployment) SpreadReplicas {
	from := d.Spec.Template.Spec.TopologySpreadConstraints
	to := slices.Clone(from)
	for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelHostname} {
		if slices.ContainsFunc(from, func(c corev1.TopologySpreadConstraint) bool { return c.TopologyKey == key }) {
			continue
		}
		to = append(to, corev1.TopologySpreadConstraint{MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: d.Spec.Selector})
	}
	return SpreadReplicas{Namespace: d.Namespace, Name: d.Name, From: from, To: to}
}

// Workload is the Deployment.
func (a SpreadReplicas) Workload() Workload {
	return Workload{Kind: "Deployment", Namespace: a.Namespace, Name: a.Name}
}
func (SpreadReplicas) Type() string      { return "spread-replicas" }
func (a SpreadReplicas) Command() string { return a.Workload().command(a.Patch()) }

// Patch is the JSON merge patch (RFC 7386) that performs a.
func (a SpreadReplicas) Patch() []byte {
	return podSpec(map[string]any{"topologySpreadConstraints": a.To})
}
func (a SpreadReplicas) Undo() Action {
	a.From, a.To = a.To, a.From
	return a
}
func (a SpreadReplicas) Object() string     { return a.Workload().Object() }
func (a SpreadReplicas) Permission() string { return a.Workload().Permission() }

// A Budget is a PodDisruptionBudget of the bot's own: how many of the selected
// pods may be taken away at a time by a drain.
type Budget struct {
	Namespace      string               `json:"namespace"`
	Name           string               `json:"name"`
	Selector       metav1.LabelSelector `json:"selector"`
	MaxUnavailable intstr.IntOrString   `json:"maxUnavailable"`
}

// Object is the PodDisruptionBudget.
func (b Budget) Object() string { return "kube/poddisruptionbudgets/" + b.Namespace + "/" + b.Name }

// Manifest is the object that b describes.
func (b Budget) Manifest() *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: b.Name, Labels: map[string]string{ManagedBy: "hopwise"}},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &b.Selector, MaxUnavailable: &b.MaxUnavailable},
	}
}

// CreatePodDisruptionBudget adds a PodDisruptionBudget.
type CreatePodDisruptionBudget struct{ Budget }

func (CreatePodDisruptionBudget) Type() string { return "create-poddisruptionbudget" }
func (a CreatePodDisruptionBudget) Command() string {
	return fmt.Sprintf("kubectl -n %s create -f - <<<%s", quote(a.Namespace), quote(string(mustJSON(a.Manifest()))))
}
func (a CreatePodDisruptionBudget) Undo() Action { return DeletePodDisruptionBudget(a) }
func (CreatePodDisruptionBudget) Permission() string {
	return "create poddisruptionbudgets"
}

// DeletePodDisruptionBudget removes one that CreatePodDisruptionBudget made.
type DeletePodDisruptionBudget struct{ Budget }

func (DeletePodDisruptionBudget) Type() string { return "delete-poddisruptionbudget" }
func (a DeletePodDisruptionBudget) Command() string {
	return fmt.Sprintf("kubectl -n %s delete poddisruptionbudget %s", quote(a.Namespace), quote(a.Name))
}
func (a DeletePodDisruptionBudget) Undo() Action { return CreatePodDisruptionBudget(a) }
func (DeletePodDisruptionBudget) Permission() string {
	return "delete poddisruptionbudgets"
}
