package kube

import (
	"net/netip"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/hopwise/hopwise/internal/world"
)

// validate refuses what the API server would not store. old is nil for a new
// object. It covers metadata of every kind, and what a fix may touch.
func (c *call) validate(d, old world.Doc) error {
	errs, err := c.validateMeta(d, old)
	if err != nil {
		return err
	}
	var more field.ErrorList
	switch c.res.kind {
	case "NetworkPolicy":
		more, err = validated(d, old, validatePolicy)
	case "Service":
		more, err = validated(d, old, validateService)
	case "Deployment":
		more, err = validated(d, old, validateDeployment)
	case "Ingress":
		more, err = validated(d, old, validateIngress)
	case "Pod":
		more, err = validated(d, old, validatePod)
	}
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if errs = append(errs, more...); len(errs) > 0 {
		return apierrors.NewInvalid(c.res.groupKind(), c.name, errs)
	}
	return nil
}

// validated runs check on d and old as values of their type.
func validated[T any](d, old world.Doc, check func(obj, old *T) field.ErrorList) (field.ErrorList, error) {
	obj, err := world.Decode[T](d)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return check(&obj, nil), nil
	}
	before, err := world.Decode[T](old)
	if err != nil {
		return nil, err
	}
	return check(&obj, &before), nil
}

// validateMeta checks metadata; for an object that the world recorded, only
// what is not as it was.
func (c *call) validateMeta(d, old world.Doc) (field.ErrorList, error) {
	obj, err := world.Decode[struct {
		metav1.ObjectMeta `json:"metadata"`
	}](d)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	meta := &obj.ObjectMeta
	if old == nil {
		nameFn := validation.NameIsDNSSubdomain
		switch c.res.kind {
		case "Service":
			nameFn = validation.NameIsDNSLabel
		}
		return validation.ValidateObjectMeta(meta, !c.res.cluster, nameFn, field.NewPath("metadata")), nil
	}
	path := field.NewPath("metadata")
	errs := metav1validation.ValidateLabels(meta.Labels, path.Child("labels"))
	return append(errs, validation.ValidateAnnotations(meta.Annotations, path.Child("annotations"))...), nil
}

func validatePolicy(p, _ *networkingv1.NetworkPolicy) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateSelector(&p.Spec.PodSelector, spec.Child("podSelector"))
	for i, rule := range p.Spec.Ingress {
		path := spec.Child("ingress").Index(i)
		errs = append(errs, validatePorts(rule.Ports, path.Child("ports"))...)
		errs = append(errs, validatePeers(rule.From, path.Child("from"))...)
	}
	for i, rule := range p.Spec.Egress {
		path := spec.Child("egress").Index(i)
		errs = append(errs, validatePorts(rule.Ports, path.Child("ports"))...)
		errs = append(errs, validatePeers(rule.To, path.Child("to"))...)
	}
	for i, t := range p.Spec.PolicyTypes {
		if t != networkingv1.PolicyTypeIngress && t != networkingv1.PolicyTypeEgress {
			errs = append(errs, field.NotSupported(spec.Child("policyTypes").Index(i), t, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}))
		}
	}
	return errs
}

func validateSelector(s *metav1.LabelSelector, path *field.Path) field.ErrorList {
	return metav1validation.ValidateLabelSelector(s, metav1validation.LabelSelectorValidationOptions{}, path)
}

func validatePorts(ports []networkingv1.NetworkPolicyPort, path *field.Path) (errs field.ErrorList) {
	for i, p := range ports {
		if p.Protocol != nil {
			errs = append(errs, validateProtocol(*p.Protocol, path.Index(i).Child("protocol"))...)
		}
		if p.Port != nil {
			errs = append(errs, validatePort(*p.Port, path.Index(i).Child("port"))...)
		}
		if p.EndPort != nil && (p.Port == nil || p.Port.Type != intstr.Int || *p.EndPort < p.Port.IntVal || *p.EndPort > 65535) {
			errs = append(errs, field.Invalid(path.Index(i).Child("endPort"), *p.EndPort, "must be a number from `port` to 65535, beside a numeric `port`"))
		}
	}
	return errs
}

func validatePort(p intstr.IntOrString, path *field.Path) (errs field.ErrorList) {
	msgs := utilvalidation.IsValidPortNum(int(p.IntVal))
	if p.Type == intstr.String {
		msgs = utilvalidation.IsValidPortName(p.StrVal)
	}
	for _, msg := range msgs {
		if p.Type == intstr.String {
			errs = append(errs, field.Invalid(path, p.StrVal, msg))
		} else {
			errs = append(errs, field.Invalid(path, p.IntVal, msg))
		}
	}
	return errs
}

func validateProtocol(p corev1.Protocol, path *field.Path) field.ErrorList {
	switch p {
	case corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP:
		return nil
	}
	return field.ErrorList{field.NotSupported(path, p, []corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP})}
}

func validatePeers(peers []networkingv1.NetworkPolicyPeer, path *field.Path) (errs field.ErrorList) {
	for i, p := range peers {
		path := path.Index(i)
		switch {
		case p.IPBlock != nil && (p.PodSelector != nil || p.NamespaceSelector != nil):
			errs = append(errs, field.Forbidden(path, "may not specify both ipBlock and another peer"))
		case p.IPBlock == nil && p.PodSelector == nil && p.NamespaceSelector == nil:
			errs = append(errs, field.Required(path, "must specify a peer"))
		}
		if p.IPBlock != nil {
			errs = append(errs, validateBlock(p.IPBlock, path.Child("ipBlock"))...)
		}
		if p.PodSelector != nil {
			errs = append(errs, validateSelector(p.PodSelector, path.Child("podSelector"))...)
		}
		if p.NamespaceSelector != nil {
			errs = append(errs, validateSelector(p.NamespaceSelector, path.Child("namespaceSelector"))...)
		}
	}
	return errs
}

func validateBlock(b *networkingv1.IPBlock, path *field.Path) (errs field.ErrorList) {
	cidr, err := netip.ParsePrefix(b.CIDR)
	if err != nil {
		return field.ErrorList{field.Invalid(path.Child("cidr"), b.CIDR, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")}
	}
	for i, except := range b.Except {
		e, err := netip.ParsePrefix(except)
		if err != nil || !cidr.Contains(e.Addr()) || e.Bits() <= cidr.Bits() {
			errs = append(errs, field.Invalid(path.Child("except").Index(i), except, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}

func validateService(s, old *corev1.Service) field.ErrorList {
	spec := field.NewPath("spec")
	errs := metav1validation.ValidateLabels(s.Spec.Selector, spec.Child("selector"))
	if len(s.Spec.Ports) == 0 && s.Spec.Type != corev1.ServiceTypeExternalName && s.Spec.ClusterIP != corev1.ClusterIPNone {
		errs = append(errs, field.Required(spec.Child("ports"), ""))
	}
	names := map[string]bool{}
	for i, p := range s.Spec.Ports {
		path := spec.Child("ports").Index(i)
		errs = append(errs, validatePort(intstr.FromInt32(p.Port), path.Child("port"))...)
		if p.TargetPort != (intstr.IntOrString{}) {
			errs = append(errs, validatePort(p.TargetPort, path.Child("targetPort"))...)
		}
		if p.Protocol != "" {
			errs = append(errs, validateProtocol(p.Protocol, path.Child("protocol"))...)
		}
		switch {
		case p.Name == "" && len(s.Spec.Ports) > 1:
			errs = append(errs, field.Required(path.Child("name"), ""))
		case p.Name != "" && names[p.Name]:
			errs = append(errs, field.Duplicate(path.Child("name"), p.Name))
		}
		names[p.Name] = true
	}
	switch s.Spec.Type {
	case "", corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName:
	default:
		errs = append(errs, field.NotSupported(spec.Child("type"), s.Spec.Type, []corev1.ServiceType{corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort}))
	}
	if old != nil && old.Spec.ClusterIP != "" && s.Spec.ClusterIP != old.Spec.ClusterIP && s.Spec.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Invalid(spec.Child("clusterIPs").Index(0), s.Spec.ClusterIP, "may not change once set"))
	}
	return errs
}

func validateDeployment(d, old *appsv1.Deployment) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if d.Spec.Replicas != nil && *d.Spec.Replicas < 0 {
		errs = append(errs, field.Invalid(spec.Child("replicas"), *d.Spec.Replicas, "must be greater than or equal to 0"))
	}
	if d.Spec.Selector == nil {
		return append(errs, field.Required(spec.Child("selector"), ""))
	}
	errs = append(errs, validateSelector(d.Spec.Selector, spec.Child("selector"))...)
	if sel, err := metav1.LabelSelectorAsSelector(d.Spec.Selector); err == nil && !sel.Matches(labels.Set(d.Spec.Template.Labels)) {
		errs = append(errs, field.Invalid(spec.Child("template", "metadata", "labels"), d.Spec.Template.Labels, "`selector` does not match template `labels`"))
	}
	if old != nil && old.Spec.Selector != nil && !equality.Semantic.DeepEqual(old.Spec.Selector, d.Spec.Selector) {
		errs = append(errs, field.Invalid(spec.Child("selector"), d.Spec.Selector, "field is immutable"))
	}
	if old == nil {
		errs = append(errs, validateContainers(d.Spec.Template.Spec.Containers, spec.Child("template", "spec", "containers"))...)
	}
	return errs
}

func validatePod(p, old *corev1.Pod) field.ErrorList {
	if old != nil {
		return nil
	}
	return validateContainers(p.Spec.Containers, field.NewPath("spec", "containers"))
}

func validateContainers(list []corev1.Container, path *field.Path) (errs field.ErrorList) {
	if len(list) == 0 {
		return field.ErrorList{field.Required(path, "")}
	}
	for i, ct := range list {
		if ct.Name == "" {
			errs = append(errs, field.Required(path.Index(i).Child("name"), ""))
		}
		if ct.Image == "" {
			errs = append(errs, field.Required(path.Index(i).Child("image"), ""))
		}
	}
	return errs
}

func validateIngress(ing, _ *networkingv1.Ingress) (errs field.ErrorList) {
	spec := field.NewPath("spec")
	if len(ing.Spec.Rules) == 0 && ing.Spec.DefaultBackend == nil {
		errs = append(errs, field.Invalid(spec, ing.Spec.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	for i, rule := range ing.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for j, p := range rule.HTTP.Paths {
			path := spec.Child("rules").Index(i).Child("http", "paths").Index(j)
			if p.PathType == nil {
				errs = append(errs, field.Required(path.Child("pathType"), "pathType must be specified"))
			} else if *p.PathType != networkingv1.PathTypeImplementationSpecific && !strings.HasPrefix(p.Path, "/") {
				errs = append(errs, field.Invalid(path.Child("path"), p.Path, "must be an absolute path"))
			}
		}
	}
	return errs
}
