package l4_test

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/diagnose/l4"
	"github.com/hopwise/hopwise/internal/facts"
)

// fenced is a cluster of many namespaces, each with workloads of three pods
// with a Service, a policy of its own for each, and one that denies all.
func fenced(namespaces, workloads int) *facts.Snapshot {
	var (
		pods       []corev1.Pod
		services   []corev1.Service
		policies   []networkingv1.NetworkPolicy
		spaces     []corev1.Namespace
		port       = intstr.FromInt32(8080)
		tcp        = corev1.ProtocolTCP
		both       = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
		allow      = []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &port}}
		controller = true
	)
	for n := range namespaces {
		ns := fmt.Sprintf("team-%02d", n)
		spaces = append(spaces, corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{"team": ns}}})
		policies = append(policies, networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "default-deny"}, Spec: networkingv1.NetworkPolicySpec{PolicyTypes: both}})
		for w := range workloads {
			app, next := fmt.Sprintf("app-%02d", w), fmt.Sprintf("app-%02d", (w+1)%workloads)
			peer := func(name string) []networkingv1.NetworkPolicyPeer {
				return []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}}}
			}
			policies = append(policies, networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: app}, Spec: networkingv1.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}, PolicyTypes: both,
				Ingress: []networkingv1.NetworkPolicyIngressRule{{From: peer(fmt.Sprintf("app-%02d", (w+workloads-1)%workloads)), Ports: allow}},
				Egress:  []networkingv1.NetworkPolicyEgressRule{{To: peer(next), Ports: allow}},
			}})
			services = append(services, corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: app}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": app}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: port}}}})
			for i := range 3 {
				pods = append(pods, corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("%s-%d", app, i), Labels: map[string]string{"app": app, "pod-template-hash": "x"}, OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: app + "-x", Controller: &controller}}},
					Spec:       corev1.PodSpec{NodeName: fmt.Sprintf("node-%d", i), Containers: []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}}},
					Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.%d.%d.%d", n, w, i+1), Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
				})
			}
		}
	}
	agent := appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "aws-node"}}
	agent.Spec.Template.Spec.Containers = []corev1.Container{{Name: "aws-node"}, {Name: "aws-eks-nodeagent", Args: []string{"--enable-network-policy=true"}}}
	return &facts.Snapshot{Have: map[facts.Kind]any{
		facts.Pods.Kind(): pods, facts.Services.Kind(): services, facts.NetworkPolicies.Kind(): policies, facts.Namespaces.Kind(): spaces,
		facts.DaemonSets.Kind(): []appsv1.DaemonSet{agent},
	}}
}

// BenchmarkFence measures the checks of isolation on 726 pods and 605
// policies in 22 namespaces, and on the same in two.
func BenchmarkFence(b *testing.B) {
	for _, size := range []struct{ namespaces, workloads int }{{22, 11}, {2, 121}} {
		s := fenced(size.namespaces, size.workloads)
		policies := s.Have[facts.NetworkPolicies.Kind()].([]networkingv1.NetworkPolicy)
		for i := 0; len(policies) < 605; i++ { // several policies for one workload are common
			p := policies[i]
			p.Name += "-2"
			policies = append(policies, p)
		}
		s.Have[facts.NetworkPolicies.Kind()] = policies
		for _, c := range []*diagnose.Check{l4.NetworkPolicyDefaultDenyIngress, l4.NetworkPolicyDefaultDenyEgress, l4.NetworkPolicySelector} {
			b.Run(fmt.Sprintf("%s/%d-namespaces", c.ID, size.namespaces), func(b *testing.B) {
				for b.Loop() {
					diagnose.Evaluate([]*diagnose.Check{c}, s)
				}
			})
		}
	}
}
