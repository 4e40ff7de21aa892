package l4

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// podENI is the resource that a pod asks for when a SecurityGroupPolicy selects
// it, and the annotation that tells which branch interface it got
// (aws/amazon-vpc-resource-controller-k8s, pkg/config).
const podENI = "vpc.amazonaws.com/pod-eni"

// podSettings are the settings of aws-node that decide how pods with a branch
// interface talk (aws/amazon-vpc-cni-k8s, README).
type podSettings struct {
	known      bool // there is an aws-node: not on EKS Auto Mode, nor with another CNI
	enabled    bool // ENABLE_POD_ENI
	strict     bool // POD_SECURITY_GROUP_ENFORCING_MODE: their own groups judge every packet; the default
	earlyDemux bool // DISABLE_TCP_EARLY_DEMUX of the init container is not set
}

// awsNode is the DaemonSet of the VPC CNI.
var awsNode = facts.Ref{Kind: facts.DaemonSets.Kind(), ID: "kube-system/aws-node"}

// cniInit is the init container that sets the node's kernel up.
const cniInit = "aws-vpc-cni-init"

func podSettingsOf(v *facts.View) podSettings {
	var s podSettings
	for _, d := range facts.DaemonSets.In(v) {
		if d.Namespace != "kube-system" || d.Name != "aws-node" {
			continue
		}
		t := d.Spec.Template.Spec
		main := slices.IndexFunc(t.Containers, func(c corev1.Container) bool { return c.Name == "aws-node" })
		if main < 0 {
			continue
		}
		s.known = true
		s.enabled = strings.EqualFold(facts.Setting(t.Containers[main], "ENABLE_POD_ENI"), "true")
		s.strict = !strings.EqualFold(facts.Setting(t.Containers[main], "POD_SECURITY_GROUP_ENFORCING_MODE"), "standard")
		kernel := t.Containers[main] // where no init container is told, somebody may have merged the two
		if i := slices.IndexFunc(t.InitContainers, func(c corev1.Container) bool { return c.Name == cniInit }); i >= 0 {
			kernel = t.InitContainers[i]
		}
		s.earlyDemux = !strings.EqualFold(facts.Setting(kernel, "DISABLE_TCP_EARLY_DEMUX"), "true")
	}
	return s
}

// asksForBranch reports whether the webhook made a pod ask for a branch
// interface.
func asksForBranch(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool {
		q, ok := c.Resources.Limits[podENI]
		return ok && !q.IsZero()
	})
}

// mayHaveBranch reports whether a policy can give a pod a branch interface:
// pods on the node's own network, of Fargate and on Windows get none.
func mayHaveBranch(p *corev1.Pod) bool {
	return !p.Spec.HostNetwork && p.Labels["eks.amazonaws.com/fargate-profile"] == "" && p.Spec.NodeSelector[corev1.LabelOSStable] != "windows"
}

// living reports whether a pod has neither ended nor is on its way out.
func living(p *corev1.Pod) bool { return !reach.Finished(p) && p.DeletionTimestamp == nil }

// A branchPod is a living pod with the branch interface that it has.
type branchPod struct {
	pod *corev1.Pod
	eni *ec2types.NetworkInterface
	reach.Host
}

// branchPods are the pods whose branch interface is known.
func branchPods(v *facts.View) []branchPod {
	byID := map[string]*ec2types.NetworkInterface{}
	interfaces := facts.NetworkInterfaces.In(v)
	for i := range interfaces {
		byID[facts.Val(interfaces[i].NetworkInterfaceId)] = &interfaces[i]
	}
	var out []branchPod
	pods := facts.Pods.In(v)
	for i := range pods {
		p := &pods[i]
		if !reach.HasBranch(p) || !living(p) {
			continue
		}
		var told []struct {
			ID string `json:"eniId"`
			IP string `json:"privateIp"`
		}
		if json.Unmarshal([]byte(p.Annotations[podENI]), &told) != nil {
			continue
		}
		for _, t := range told {
			eni := byID[t.ID]
			ip, err := netip.ParseAddr(cmp.Or(p.Status.PodIP, t.IP))
			if eni != nil && err == nil {
				out = append(out, branchPod{p, eni, hostWith(eni, ip)})
				break
			}
		}
	}
	return out
}

// accounts are the labels of ServiceAccounts, by namespace/name.
type accounts map[string]map[string]string

func accountsOf(v *facts.View) accounts {
	out := accounts{}
	for _, a := range facts.ServiceAccounts.In(v) {
		labels := a.Labels
		if labels == nil {
			labels = map[string]string{}
		}
		out[a.Namespace+"/"+a.Name] = labels
	}
	return out
}

func accountName(p *corev1.Pod) string {
	return p.Namespace + "/" + cmp.Or(p.Spec.ServiceAccountName, "default")
}

// A match says how a policy's selectors take a pod. A selector that is not set
// takes every pod; the policy that has none is ignored.
type match struct {
	pod     bool
	account bool
	unsure  bool // it selects by the labels of an account that is not known
}

func (m match) all() bool { return m.pod && m.account && !m.unsure }

// take compares a policy of the pod's own namespace with the pod.
func (a accounts) take(s *facts.SecurityGroupPolicy, p *corev1.Pod) match {
	m := match{pod: selectedBy(s.Spec.PodSelector, p.Labels), account: true}
	if s.Spec.ServiceAccountSelector != nil {
		labels, known := a[accountName(p)]
		m.unsure = !known
		m.account = known && selectedBy(s.Spec.ServiceAccountSelector, labels)
	}
	return m
}

func selectedBy(s *metav1.LabelSelector, l map[string]string) bool {
	if s == nil {
		return true
	}
	sel, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(labels.Set(l))
}

// counts reports whether the controller heeds a policy at all.
func counts(s *facts.SecurityGroupPolicy) bool {
	return (s.Spec.PodSelector != nil || s.Spec.ServiceAccountSelector != nil) && len(s.Spec.SecurityGroups.Groups) > 0
}

// podPolicies are the policies that give a pod its groups; unsure when one
// more might.
func podPolicies(all []facts.SecurityGroupPolicy, a accounts, p *corev1.Pod) (mine []*facts.SecurityGroupPolicy, unsure bool) {
	for i := range all {
		s := &all[i]
		if s.Namespace != p.Namespace || !counts(s) {
			continue
		}
		m := a.take(s, p)
		if m.all() {
			mine = append(mine, s)
		}
		unsure = unsure || m.pod && m.unsure
	}
	return mine, unsure
}

// makerOf is the workload that made a pod; for a pod of no known one, the pod
// stands for itself.
func makerOf(p *corev1.Pod, known []workload) workload {
	for _, w := range known {
		if w.ns == p.Namespace && len(w.selector) > 0 && has(p.Labels, w.selector) {
			return w
		}
	}
	return workload{kind: facts.Pods.Kind(), ns: p.Namespace, name: p.Name, labels: p.Labels, pod: p}
}

// called names a workload, or a single pod.
func (w workload) called() string {
	if w.kind == facts.Pods.Kind() {
		return "pod " + w.ns + "/" + w.name
	}
	return w.title()
}

func podNames(pods []*corev1.Pod) []string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Namespace+"/"+p.Name)
	}
	return out
}

func podRefs(pods []*corev1.Pod) []facts.Ref {
	var out []facts.Ref
	for _, p := range pods {
		out = append(out, podRef(p))
	}
	return out
}

func sgPolicyRef(s *facts.SecurityGroupPolicy) facts.Ref {
	return ref(facts.SecurityGroupPolicies.Kind(), s.Namespace, s.Name)
}
