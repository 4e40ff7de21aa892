package kube

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A resource is one sort of object that the server serves. The world keeps
// its objects under the kind "kube/" + plural.
type resource struct {
	group, version, kind string
	plural, singular     string
	short, categories    []string
	cluster              bool     // objects live in no namespace
	fixed                bool     // may not be created or deleted, as the world's controllers keep it
	denied               bool     // the bot's role leaves it out
	review               bool     // questions that are answered and not stored
	subs                 []string // subresources
	typed                func() any
	fields               []string // that a fieldSelector may name, beside metadata.name and .namespace
	columns              string   // of a table: comma separated, "+" before those of -o wide
	row                  rowFunc  // cells under columns
}

// resources are all that the server serves.
var resources = []*resource{
	{version: "v1", kind: "ConfigMap", plural: "configmaps", short: []string{"cm"}, typed: empty[corev1.ConfigMap],
		columns: "Name,Data,Age", row: rowOf(configMapRow)},
	{version: "v1", kind: "Endpoints", plural: "endpoints", short: []string{"ep"}, singular: "endpoints", typed: empty[corev1.Endpoints],
		columns: "Name,Endpoints,Age", row: rowOf(endpointsRow)},
	{version: "v1", kind: "Event", plural: "events", short: []string{"ev"}, typed: empty[corev1.Event],
		fields: []string{"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
			"involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"},
		columns: "Last Seen,Type,Reason,Object,+Subobject,+Source,Message,+First Seen,+Count,+Name", row: rowOf(eventRow)},
	{version: "v1", kind: "Namespace", plural: "namespaces", short: []string{"ns"}, cluster: true, fixed: true, subs: []string{"status"}, typed: empty[corev1.Namespace],
		fields: []string{"status.phase"}, columns: "Name,Status,Age", row: rowOf(namespaceRow)},
	{version: "v1", kind: "Node", plural: "nodes", short: []string{"no"}, cluster: true, fixed: true, subs: []string{"proxy", "status"}, typed: empty[corev1.Node],
		fields:  []string{"spec.unschedulable"},
		columns: "Name,Status,Roles,Age,Version,+Internal-IP,+External-IP,+OS-Image,+Kernel-Version,+Container-Runtime", row: rowOf(nodeRow)},
	{version: "v1", kind: "Pod", plural: "pods", short: []string{"po"}, categories: []string{"all"}, subs: []string{"log", "proxy", "status"}, typed: empty[corev1.Pod],
		fields:  []string{"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase", "status.podIP", "status.nominatedNodeName"},
		columns: "Name,Ready,Status,Restarts,Age,+IP,+Node,+Nominated Node,+Readiness Gates", row: rowOf(podRow)},
	{version: "v1", kind: "Secret", plural: "secrets", denied: true, typed: empty[corev1.Secret], fields: []string{"type"}},
	{version: "v1", kind: "Service", plural: "services", short: []string{"svc"}, categories: []string{"all"}, subs: []string{"status"}, typed: empty[corev1.Service],
		fields:  []string{"spec.clusterIP", "spec.type"},
		columns: "Name,Type,Cluster-IP,External-IP,Port(s),Age,+Selector", row: rowOf(serviceRow)},
	{version: "v1", kind: "ServiceAccount", plural: "serviceaccounts", short: []string{"sa"}, typed: empty[corev1.ServiceAccount],
		columns: "Name,Secrets,Age", row: rowOf(serviceAccountRow)},

	{group: "apps", version: "v1", kind: "DaemonSet", plural: "daemonsets", short: []string{"ds"}, categories: []string{"all"}, subs: []string{"status"}, typed: empty[appsv1.DaemonSet],
		columns: "Name,Desired,Current,Ready,Up-to-date,Available,Node Selector,Age,+Containers,+Images,+Selector", row: rowOf(daemonSetRow)},
	{group: "apps", version: "v1", kind: "Deployment", plural: "deployments", short: []string{"deploy"}, categories: []string{"all"}, subs: []string{"scale", "status"}, typed: empty[appsv1.Deployment],
		columns: "Name,Ready,Up-to-date,Available,Age,+Containers,+Images,+Selector", row: rowOf(deploymentRow)},
	{group: "apps", version: "v1", kind: "ReplicaSet", plural: "replicasets", short: []string{"rs"}, categories: []string{"all"}, subs: []string{"scale", "status"}, typed: empty[appsv1.ReplicaSet],
		fields:  []string{"status.replicas"},
		columns: "Name,Desired,Current,Ready,Age,+Containers,+Images,+Selector", row: rowOf(replicaSetRow)},
	{group: "apps", version: "v1", kind: "StatefulSet", plural: "statefulsets", short: []string{"sts"}, categories: []string{"all"}, subs: []string{"scale", "status"}, typed: empty[appsv1.StatefulSet],
		columns: "Name,Ready,Age,+Containers,+Images", row: rowOf(statefulSetRow)},

	{group: "autoscaling", version: "v2", kind: "HorizontalPodAutoscaler", plural: "horizontalpodautoscalers", short: []string{"hpa"}, categories: []string{"all"}, subs: []string{"status"},
		typed: empty[autoscalingv2.HorizontalPodAutoscaler], columns: "Name,Reference,Targets,MinPods,MaxPods,Replicas,Age", row: rowOf(hpaRow)},
	{group: "policy", version: "v1", kind: "PodDisruptionBudget", plural: "poddisruptionbudgets", short: []string{"pdb"}, subs: []string{"status"}, typed: empty[policyv1.PodDisruptionBudget],
		columns: "Name,Min Available,Max Unavailable,Allowed Disruptions,Age", row: rowOf(budgetRow)},
	{group: "rbac.authorization.k8s.io", version: "v1", kind: "ClusterRole", plural: "clusterroles", cluster: true, typed: empty[rbacv1.ClusterRole],
		columns: "Name,Created At", row: createdRow},

	{group: "discovery.k8s.io", version: "v1", kind: "EndpointSlice", plural: "endpointslices", typed: empty[discoveryv1.EndpointSlice],
		columns: "Name,AddressType,Ports,Endpoints,Age", row: rowOf(endpointSliceRow)},
	{group: "networking.k8s.io", version: "v1", kind: "Ingress", plural: "ingresses", short: []string{"ing"}, subs: []string{"status"}, typed: empty[networkingv1.Ingress],
		columns: "Name,Class,Hosts,Address,Ports,Age", row: rowOf(ingressRow)},
	{group: "networking.k8s.io", version: "v1", kind: "IngressClass", plural: "ingressclasses", cluster: true, typed: empty[networkingv1.IngressClass],
		columns: "Name,Controller,Parameters,Age", row: rowOf(ingressClassRow)},
	{group: "networking.k8s.io", version: "v1", kind: "NetworkPolicy", plural: "networkpolicies", short: []string{"netpol"}, typed: empty[networkingv1.NetworkPolicy],
		columns: "Name,Pod-Selector,Age", row: rowOf(networkPolicyRow)},

	{group: "apiextensions.k8s.io", version: "v1", kind: "CustomResourceDefinition", plural: "customresourcedefinitions", short: []string{"crd", "crds"}, cluster: true,
		columns: "Name,Created At", row: createdRow},
	{group: "elbv2.k8s.aws", version: "v1beta1", kind: "TargetGroupBinding", plural: "targetgroupbindings", subs: []string{"status"},
		columns: "Name,Service-Name,Service-Port,Target-Type,+ARN,Age", row: targetGroupBindingRow},
	{group: "vpcresources.k8s.aws", version: "v1beta1", kind: "SecurityGroupPolicy", plural: "securitygrouppolicies", short: []string{"sgp"}, columns: "Name,Age", row: plainRow},
	{group: "vpcresources.k8s.aws", version: "v1alpha1", kind: "CNINode", plural: "cninodes", short: []string{"cnd"}, cluster: true, columns: "Name,Age", row: plainRow},
	{group: "admissionregistration.k8s.io", version: "v1", kind: "ValidatingWebhookConfiguration", plural: "validatingwebhookconfigurations", cluster: true,
		typed: empty[admissionv1.ValidatingWebhookConfiguration], columns: "Name,Age", row: plainRow},
	{group: "admissionregistration.k8s.io", version: "v1", kind: "MutatingWebhookConfiguration", plural: "mutatingwebhookconfigurations", cluster: true,
		typed: empty[admissionv1.MutatingWebhookConfiguration], columns: "Name,Age", row: plainRow},
	{group: "apiregistration.k8s.io", version: "v1", kind: "APIService", plural: "apiservices", cluster: true, columns: "Name,Age", row: plainRow},

	{group: "authentication.k8s.io", version: "v1", kind: "SelfSubjectReview", plural: "selfsubjectreviews", cluster: true, review: true},
	{group: "authorization.k8s.io", version: "v1", kind: "SelfSubjectAccessReview", plural: "selfsubjectaccessreviews", cluster: true, review: true},
	{group: "authorization.k8s.io", version: "v1", kind: "SelfSubjectRulesReview", plural: "selfsubjectrulesreviews", cluster: true, review: true},
}

func empty[T any]() any { return new(T) }

func lookup(group, version, plural string) *resource {
	for _, r := range resources {
		if r.group == group && r.version == version && r.plural == plural {
			return r
		}
	}
	return nil
}

func (r *resource) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.group, Resource: r.plural}
}

func (r *resource) groupKind() schema.GroupKind {
	return schema.GroupKind{Group: r.group, Kind: r.kind}
}

func (r *resource) groupVersionKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: r.group, Version: r.version, Kind: r.kind}
}

// apiVersion is what r's objects say of themselves, such as "apps/v1".
func (r *resource) apiVersion() string {
	return schema.GroupVersion{Group: r.group, Version: r.version}.String()
}

// name is r's singular name, which kubectl prints before an object's.
func (r *resource) name() string {
	if r.singular != "" {
		return r.singular
	}
	return strings.ToLower(r.kind)
}

func (r *resource) has(verb string) bool { return slices.Contains(r.verbs(), verb) }

func (r *resource) verbs() []string {
	switch {
	case r.review:
		return []string{"create"}
	case r.fixed:
		return []string{"get", "list", "patch", "update", "watch"}
	}
	return []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}

// subVerbs are the verbs of a subresource, or of r itself when sub is "".
func (r *resource) subVerbs(sub string) []string {
	switch sub {
	case "":
		return r.verbs()
	case "log", "proxy":
		return []string{"get"}
	}
	return []string{"get", "patch", "update"}
}

// hasStatus reports whether r's status is changed through its own subresource
// only.
func (r *resource) hasStatus() bool { return slices.Contains(r.subs, "status") }
