package kube

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/hopwise/hopwise/internal/world"
)

// What the columns of kubectl get hold is defined by the API server's printers
// (kubernetes/pkg/printers/internalversion); the rows here say the same.

const none = "<none>"

// age is how long ago t was, in kubectl's words.
func age(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

// orNone is s, or <none> for nothing.
func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

// firstThree joins at most three items and tells how many more there are.
func firstThree(items []string, empty string) string {
	if len(items) == 0 {
		return empty
	}
	if more := len(items) - 3; more > 0 {
		return fmt.Sprintf("%s + %d more...", strings.Join(items[:3], ","), more)
	}
	return strings.Join(items, ",")
}

// replicas is what a controller is asked for: one unless it says otherwise.
func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// containers returns the names and images of a pod template's containers.
func containers(spec corev1.PodSpec) (names, images string) {
	var n, i []string
	for _, c := range spec.Containers {
		n, i = append(n, c.Name), append(i, c.Image)
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

// plainRow serves the kinds without columns of their own.
func plainRow(d world.Doc, now time.Time) ([]any, error) {
	return []any{at(d, "metadata", "name"), age(createdAt(d), now)}, nil
}

func configMapRow(o *corev1.ConfigMap, now time.Time) []any {
	return []any{o.Name, len(o.Data) + len(o.BinaryData), age(o.CreationTimestamp, now)}
}

func namespaceRow(o *corev1.Namespace, now time.Time) []any {
	return []any{o.Name, string(o.Status.Phase), age(o.CreationTimestamp, now)}
}

func serviceAccountRow(o *corev1.ServiceAccount, now time.Time) []any {
	return []any{o.Name, len(o.Secrets), age(o.CreationTimestamp, now)}
}

func deploymentRow(o *appsv1.Deployment, now time.Time) []any {
	names, images := containers(o.Spec.Template.Spec)
	ready := fmt.Sprintf("%d/%d", o.Status.ReadyReplicas, replicas(o.Spec.Replicas))
	return []any{o.Name, ready, o.Status.UpdatedReplicas, o.Status.AvailableReplicas, age(o.CreationTimestamp, now),
		names, images, metav1.FormatLabelSelector(o.Spec.Selector)}
}

func replicaSetRow(o *appsv1.ReplicaSet, now time.Time) []any {
	names, images := containers(o.Spec.Template.Spec)
	return []any{o.Name, replicas(o.Spec.Replicas), o.Status.Replicas, o.Status.ReadyReplicas, age(o.CreationTimestamp, now),
		names, images, metav1.FormatLabelSelector(o.Spec.Selector)}
}

func statefulSetRow(o *appsv1.StatefulSet, now time.Time) []any {
	names, images := containers(o.Spec.Template.Spec)
	return []any{o.Name, fmt.Sprintf("%d/%d", o.Status.ReadyReplicas, replicas(o.Spec.Replicas)), age(o.CreationTimestamp, now), names, images}
}

func daemonSetRow(o *appsv1.DaemonSet, now time.Time) []any {
	names, images := containers(o.Spec.Template.Spec)
	st := o.Status
	return []any{o.Name, st.DesiredNumberScheduled, st.CurrentNumberScheduled, st.NumberReady, st.UpdatedNumberScheduled, st.NumberAvailable,
		labels.FormatLabels(o.Spec.Template.Spec.NodeSelector), age(o.CreationTimestamp, now), names, images, metav1.FormatLabelSelector(o.Spec.Selector)}
}

func networkPolicyRow(o *networkingv1.NetworkPolicy, now time.Time) []any {
	return []any{o.Name, metav1.FormatLabelSelector(&o.Spec.PodSelector), age(o.CreationTimestamp, now)}
}

func ingressClassRow(o *networkingv1.IngressClass, now time.Time) []any {
	params := none
	if p := o.Spec.Parameters; p != nil {
		params = p.Kind
		if p.APIGroup != nil {
			params += "." + *p.APIGroup
		}
		params += "/" + p.Name
	}
	return []any{o.Name, o.Spec.Controller, params, age(o.CreationTimestamp, now)}
}

func ingressRow(o *networkingv1.Ingress, now time.Time) []any {
	class, ports := none, "80"
	if o.Spec.IngressClassName != nil {
		class = *o.Spec.IngressClassName
	}
	if len(o.Spec.TLS) > 0 {
		ports = "80, 443"
	}
	var hosts, addresses []string
	for _, r := range o.Spec.Rules {
		if r.Host != "" {
			hosts = append(hosts, r.Host)
		}
	}
	for _, lb := range o.Status.LoadBalancer.Ingress {
		addresses = append(addresses, lb.IP+lb.Hostname) // one of them is set
	}
	return []any{o.Name, class, firstThree(hosts, "*"), strings.Join(addresses, ","), ports, age(o.CreationTimestamp, now)}
}

func endpointSliceRow(o *discoveryv1.EndpointSlice, now time.Time) []any {
	var ports, addresses []string
	for _, p := range o.Ports {
		if p.Port == nil {
			ports = append(ports, "*")
		} else {
			ports = append(ports, fmt.Sprint(*p.Port))
		}
	}
	for _, e := range o.Endpoints {
		addresses = append(addresses, e.Addresses...)
	}
	return []any{o.Name, string(o.AddressType), firstThree(ports, "<unset>"), firstThree(addresses, "<unset>"), age(o.CreationTimestamp, now)}
}

func endpointsRow(o *corev1.Endpoints, now time.Time) []any {
	var list []string
	for _, subset := range o.Subsets {
		for _, a := range subset.Addresses {
			for _, p := range subset.Ports {
				list = append(list, fmt.Sprintf("%s:%d", a.IP, p.Port))
			}
		}
	}
	return []any{o.Name, firstThree(list, none), age(o.CreationTimestamp, now)}
}

func serviceRow(o *corev1.Service, now time.Time) []any {
	var ports []string
	for _, p := range o.Spec.Ports {
		port := fmt.Sprint(p.Port)
		if p.NodePort > 0 {
			port += fmt.Sprintf(":%d", p.NodePort)
		}
		protocol := p.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		ports = append(ports, port+"/"+string(protocol))
	}
	kind := o.Spec.Type
	if kind == "" {
		kind = corev1.ServiceTypeClusterIP
	}
	return []any{o.Name, string(kind), orNone(o.Spec.ClusterIP), externalIP(o), orNone(strings.Join(ports, ",")),
		age(o.CreationTimestamp, now), labels.FormatLabels(o.Spec.Selector)}
}

func externalIP(o *corev1.Service) string {
	ips := slices.Clone(o.Spec.ExternalIPs)
	switch o.Spec.Type {
	case corev1.ServiceTypeExternalName:
		return o.Spec.ExternalName
	case corev1.ServiceTypeLoadBalancer:
		var lbs []string
		for _, lb := range o.Status.LoadBalancer.Ingress {
			lbs = append(lbs, lb.IP+lb.Hostname)
		}
		if ips = append(lbs, ips...); len(ips) == 0 {
			return "<pending>"
		}
	}
	return orNone(strings.Join(ips, ","))
}

func nodeRow(o *corev1.Node, now time.Time) []any {
	status := "Unknown"
	for _, c := range o.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		if status = "NotReady"; c.Status == corev1.ConditionTrue {
			status = "Ready"
		}
	}
	if o.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	address := func(t corev1.NodeAddressType) string {
		for _, a := range o.Status.Addresses {
			if a.Type == t {
				return a.Address
			}
		}
		return none
	}
	info := o.Status.NodeInfo
	known := func(s string) string {
		if s == "" {
			return "<unknown>"
		}
		return s
	}
	return []any{o.Name, status, nodeRoles(o), age(o.CreationTimestamp, now), info.KubeletVersion,
		address(corev1.NodeInternalIP), address(corev1.NodeExternalIP), known(info.OSImage), known(info.KernelVersion), known(info.ContainerRuntimeVersion)}
}

func nodeRoles(o *corev1.Node) string {
	var roles []string
	for k, v := range o.Labels {
		if role, ok := strings.CutPrefix(k, "node-role.kubernetes.io/"); ok && role != "" {
			roles = append(roles, role)
		} else if k == "kubernetes.io/role" && v != "" {
			roles = append(roles, v)
		}
	}
	slices.Sort(roles)
	return orNone(strings.Join(slices.Compact(roles), ","))
}

func eventRow(o *corev1.Event, now time.Time) []any {
	first, count := age(metav1.Time(o.EventTime), now), o.Count
	if !o.FirstTimestamp.IsZero() {
		first = age(o.FirstTimestamp, now)
	}
	last := first
	if !o.LastTimestamp.IsZero() {
		last = age(o.LastTimestamp, now)
	}
	if o.Series != nil {
		last, count = age(metav1.Time(o.Series.LastObservedTime), now), o.Series.Count
	} else if count == 0 {
		count = 1
	}
	object := strings.ToLower(o.InvolvedObject.Kind)
	if o.InvolvedObject.Name != "" {
		object += "/" + o.InvolvedObject.Name
	}
	return []any{last, o.Type, o.Reason, object, o.InvolvedObject.FieldPath, eventSource(o), strings.TrimSpace(o.Message), first, count, o.Name}
}

func eventSource(o *corev1.Event) string {
	component, host := o.Source.Component, o.Source.Host
	if component == "" {
		component = o.ReportingController
	}
	if host == "" {
		host = o.ReportingInstance
	}
	if host == "" {
		return component
	}
	return component + ", " + host
}

// createdRow serves the kinds that tell when they were made, not how long ago.
func createdRow(d world.Doc, _ time.Time) ([]any, error) {
	return []any{at(d, "metadata", "name"), at(d, "metadata", "creationTimestamp")}, nil
}

func targetGroupBindingRow(d world.Doc, now time.Time) ([]any, error) {
	return []any{at(d, "metadata", "name"), at(d, "spec", "serviceRef", "name"), at(d, "spec", "serviceRef", "port"),
		at(d, "spec", "targetType"), at(d, "spec", "targetGroupARN"), age(createdAt(d), now)}, nil
}
