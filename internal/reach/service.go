package reach

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Selects reports whether a Service sends to a pod by its labels. A Service
// without a selector selects nothing: its endpoints are made by hand.
func Selects(s *corev1.Service, pod *corev1.Pod) bool {
	if len(s.Spec.Selector) == 0 || s.Spec.Type == corev1.ServiceTypeExternalName || s.Namespace != pod.Namespace {
		return false
	}
	for k, v := range s.Spec.Selector {
		if got, ok := pod.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// TargetPort returns the port of a pod that a Service's port sends to. A
// named one may differ between pods; one that the pod does not have makes
// the pod no endpoint of that port.
func TargetPort(p corev1.ServicePort, pod *corev1.Pod) (int32, bool) {
	if p.TargetPort.Type == intstr.String && p.TargetPort.StrVal != "" {
		return NamedPort(pod, p.TargetPort.StrVal, p.Protocol)
	}
	if p.TargetPort.IntVal == 0 {
		return p.Port, true
	}
	return p.TargetPort.IntVal, true
}

// NamedPort returns the number of a container port with a name. Init
// containers count when they keep running (sidecars).
func NamedPort(pod *corev1.Pod, name string, protocol corev1.Protocol) (int32, bool) {
	if pod == nil {
		return 0, false
	}
	all := pod.Spec.Containers
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			all = append(all[:len(all):len(all)], c)
		}
	}
	for _, c := range all {
		for _, p := range c.Ports {
			if p.Name == name && orTCP(p.Protocol) == orTCP(protocol) {
				return p.ContainerPort, true
			}
		}
	}
	return 0, false
}

func orTCP(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

// Ready reports whether a pod's Ready condition is true.
func Ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Finished reports whether a pod has ended and will not serve again.
func Finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
