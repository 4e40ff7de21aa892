package dns

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// coreDNS is the cluster's own resolver.
type coreDNS struct {
	service    *corev1.Service    // nil when there is none, or it was not read
	deployment *appsv1.Deployment // nil when there is none
	pods       []corev1.Pod       // of the Deployment, that are to run
	endpoints  int                // ready ones behind the Service; replicas that are available when those were not read
	auto       bool               // the cluster says that it runs in EKS Auto Mode
	events     []corev1.Event     // of kube-system
}

// What newCoreDNS reads: what no check of CoreDNS can do without, and the rest.
var (
	coreDNSNeeds = []facts.Need{facts.Deployments, facts.Pods}
	coreDNSWants = []facts.Need{facts.EndpointSlices, facts.Clusters, facts.Services, facts.Events}
)

func newCoreDNS(v *facts.View) coreDNS {
	c := coreDNS{auto: autoMode(v)}
	for i, s := range facts.Services.In(v) {
		if s.Namespace == system && s.Name == service {
			c.service = &facts.Services.In(v)[i]
		}
	}
	for _, s := range facts.EndpointSlices.In(v) {
		if s.Namespace != system || s.Labels["kubernetes.io/service-name"] != service {
			continue
		}
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready { // unknown counts as ready (discovery.k8s.io/v1)
				c.endpoints++
			}
		}
	}
	c.deployment = resolverDeployment(facts.Deployments.In(v))
	if c.deployment != nil && !facts.EndpointSlices.Have(v) {
		c.endpoints = int(c.deployment.Status.AvailableReplicas) // the next best that is known
	}
	for _, p := range facts.Pods.In(v) {
		if c.deployment != nil && p.Namespace == system && !reach.Finished(&p) && p.DeletionTimestamp == nil && matches(c.deployment.Spec.Selector, p.Labels) {
			c.pods = append(c.pods, p)
		}
	}
	for _, e := range facts.Events.In(v) {
		if e.Namespace == system {
			c.events = append(c.events, e)
		}
	}
	return c
}

// resolverDeployment returns the Deployment named coredns, else one in
// kube-system whose pods carry the labels that kube-dns selects, else nil.
func resolverDeployment(all []appsv1.Deployment) *appsv1.Deployment {
	var other *appsv1.Deployment
	for i, d := range all {
		switch {
		case d.Namespace != system:
		case d.Name == deployment:
			return &all[i]
		case d.Spec.Template.Labels["k8s-app"] == resolverLabels["k8s-app"]:
			other = &all[i]
		}
	}
	return other
}

// byNodes reports whether the nodes resolve names by themselves, as those of
// EKS Auto Mode do (label eks.amazonaws.com/compute-type=auto). In a mixed
// cluster the other nodes still need CoreDNS.
func (c coreDNS) byNodes(v *facts.View) bool {
	nodes := facts.Nodes.In(v)
	for _, n := range nodes {
		if n.Labels["eks.amazonaws.com/compute-type"] != "auto" {
			return false
		}
	}
	return len(nodes) > 0 || c.auto
}

// autoMode reports whether the cluster says that it runs in EKS Auto Mode.
func autoMode(v *facts.View) bool {
	for _, c := range facts.Clusters.In(v) {
		if c.ComputeConfig != nil && facts.Val(c.ComputeConfig.Enabled) {
			return true
		}
	}
	return false
}

// wanted is how many replicas the Deployment asks for.
func (c coreDNS) wanted() int32 {
	if c.deployment.Spec.Replicas == nil {
		return 1 // the API's default
	}
	return *c.deployment.Spec.Replicas
}

// severity of a fault that keeps CoreDNS pods from answering: an outage when
// none is left that does.
func (c coreDNS) severity(some diagnose.Severity) diagnose.Severity {
	if c.endpoints == 0 {
		return diagnose.Outage
	}
	return some
}

// effect says what a fault that keeps CoreDNS pods from answering means.
func (c coreDNS) effect() string {
	if c.endpoints == 0 {
		return "no pod can resolve names"
	}
	if c.endpoints == 1 {
		return "1 replica still answers"
	}
	return fmt.Sprintf("%d replicas still answer", c.endpoints)
}

// ref names the Deployment.
func (c coreDNS) ref() facts.Ref {
	return ref(facts.Deployments.Kind(), c.deployment.Namespace, c.deployment.Name)
}

// affected are the Deployment, the Service and pods: what a fault of CoreDNS
// shares with its consequences.
func (c coreDNS) affected(pods []corev1.Pod) []facts.Ref {
	out := []facts.Ref{c.ref(), ref(facts.Services.Kind(), system, service)}
	for _, p := range pods {
		out = append(out, podRef(p))
	}
	return out
}

func podRef(p corev1.Pod) facts.Ref { return ref(facts.Pods.Kind(), p.Namespace, p.Name) }

// unready are the pods that are not ready.
func (c coreDNS) unready() []corev1.Pod {
	var out []corev1.Pod
	for _, p := range c.pods {
		if !reach.Ready(&p) {
			out = append(out, p)
		}
	}
	return out
}

// container is CoreDNS's own container of a pod spec: the one named so, else
// the first; nil when there is none.
func container(spec corev1.PodSpec) *corev1.Container {
	for i := range spec.Containers {
		if spec.Containers[i].Name == deployment {
			return &spec.Containers[i]
		}
	}
	if len(spec.Containers) == 0 {
		return nil
	}
	return &spec.Containers[0]
}

// failing reports whether a container of p keeps ending, or ended within d.
func failing(p corev1.Pod, now time.Time, d time.Duration) bool {
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil && w.Reason == "CrashLoopBackOff" || s.State.Terminated != nil {
			return true
		}
		if last := s.LastTerminationState.Terminated; last != nil && now.Sub(last.FinishedAt.Time) < d {
			return true
		}
	}
	return false
}

// An addon is a part of the cluster that EKS manages, such as CoreDNS.
type addon struct {
	ekstypes.Addon
	cluster string
}

// coreDNSAddon returns CoreDNS as an add-on.
func coreDNSAddon(v *facts.View) (addon, bool) { return addonNamed(v, deployment) }

// addonNamed returns a managed add-on; false when there is none of the name,
// or the add-ons could not be read.
func addonNamed(v *facts.View, name string) (addon, bool) {
	for _, a := range facts.Addons.In(v) {
		if facts.Val(a.AddonName) == name {
			return addon{a, cmp.Or(facts.Val(a.ClusterName), v.Cluster())}, true
		}
	}
	return addon{}, false
}

func (a addon) ref() facts.Ref {
	return facts.Ref{Kind: facts.Addons.Kind(), ID: facts.Val(a.AddonName)}
}

// values are the add-on's configuration; false when they are not JSON: EKS
// takes YAML as well.
func (a addon) values() (map[string]any, bool) {
	m := map[string]any{}
	text := facts.Val(a.ConfigurationValues)
	if strings.TrimSpace(text) == "" {
		return m, true
	}
	return m, json.Unmarshal([]byte(text), &m) == nil && m != nil
}

// configure returns the change of the add-on's configuration that sets one of
// its top fields, or with nil removes it. What else it holds stays.
func (a addon) configure(field string, value any) (remedy.SetAddonConfiguration, bool) {
	m, ok := a.values()
	if !ok || a.cluster == "" {
		return remedy.SetAddonConfiguration{}, false
	}
	m[field] = value
	if value == nil {
		delete(m, field)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return remedy.SetAddonConfiguration{}, false
	}
	return remedy.SetAddonConfiguration{Cluster: a.cluster, Addon: facts.Val(a.AddonName), From: facts.Val(a.ConfigurationValues), To: string(b)}, true
}

// logEvidence is what lines of a log say, for a finding. For a log of the
// instance before it says so.
func logEvidence(s logSum, previous bool, want string) diagnose.Evidence {
	pod := strings.TrimPrefix(s.pods[0], system+"/")
	command := fmt.Sprintf("kubectl -n %s logs %s", system, pod)
	if previous {
		command += " --previous"
	}
	got := s.sample
	if s.count > 1 {
		got += fmt.Sprintf(" (%d times", s.count)
		if s.perMinute >= 1 {
			got += fmt.Sprintf(", %.0f a minute", s.perMinute)
		}
		if !s.last.IsZero() {
			got += ", last " + s.last.UTC().Format("15:04:05Z")
		}
		got += ")"
	}
	return diagnose.Evidence{Fact: diagnose.LogOf + diagnose.Some(s.pods), Got: got, Want: want, Command: command}
}
