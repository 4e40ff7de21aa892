package collect

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// trimMeta drops what no check reads.
func trimMeta(m *metav1.ObjectMeta) {
	m.ManagedFields = nil
	delete(m.Annotations, "kubectl.kubernetes.io/last-applied-configuration")
	for k, v := range m.Annotations {
		m.Annotations[k] = facts.Redact(v)
	}
}

// trimPod keeps what says where a pod is, what it listens on and how it is
// doing. Environment values are dropped here: they may hold secrets.
func trimPod(p *corev1.Pod) {
	trimMeta(&p.ObjectMeta)
	p.Spec.Volumes = tokens(p.Spec.Volumes)
	p.Spec.Affinity, p.Spec.Tolerations, p.Spec.ImagePullSecrets = nil, nil, nil
	for _, cs := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range cs {
			trimContainer(&cs[i], false)
		}
	}
	p.Spec.EphemeralContainers = nil
	for _, sts := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for i := range sts {
			trimStatus(&sts[i])
		}
	}
	for i := range p.Status.Conditions {
		p.Status.Conditions[i].Message = facts.Redact(p.Status.Conditions[i].Message)
	}
}

// tokens keeps the volumes that say whom a pod's token is for, such as the
// EKS Pod Identity agent: without one it needs no way there.
func tokens(volumes []corev1.Volume) []corev1.Volume {
	var out []corev1.Volume
	for _, v := range volumes {
		if v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
			return s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience != ""
		}) {
			out = append(out, v)
		}
	}
	return out
}

func trimStatus(s *corev1.ContainerStatus) {
	s.ImageID, s.ContainerID = "", ""
	for _, st := range []*corev1.ContainerState{&s.State, &s.LastTerminationState} {
		if st.Waiting != nil {
			st.Waiting.Message = facts.Redact(st.Waiting.Message)
		}
		if st.Terminated != nil {
			st.Terminated.Message = facts.Redact(st.Terminated.Message)
		}
	}
}

// trimConfigMap takes out all that looks like a secret.
func trimConfigMap(c *corev1.ConfigMap) {
	trimMeta(&c.ObjectMeta)
	for name, data := range c.Data {
		c.Data[name] = facts.Redact(data)
	}
}

// trimServiceAccount keeps its name and annotations, which name its IAM role.
func trimServiceAccount(a *corev1.ServiceAccount) {
	trimMeta(&a.ObjectMeta)
	a.Secrets, a.ImagePullSecrets = nil, nil
}

// trimTemplate keeps a workload's settings, and where its pods may run, only
// in kube-system, where the network's own components are configured by
// environment and arguments. Of those that may be installed anywhere it keeps
// the flags.
func trimTemplate(namespace string, t *corev1.PodTemplateSpec) {
	trimMeta(&t.ObjectMeta)
	t.Spec.Volumes = nil
	system := namespace == metav1.NamespaceSystem
	if !system {
		t.Spec.Affinity = nil
	}
	for _, cs := range [][]corev1.Container{t.Spec.Containers, t.Spec.InitContainers} {
		for i := range cs {
			trimContainer(&cs[i], system || hasFlags(&cs[i]))
			if !system {
				cs[i].Env = slices.DeleteFunc(cs[i].Env, func(e corev1.EnvVar) bool { return !isFlag(e) })
			}
		}
	}
}

// hasFlags reports whether c is of a DNS component that is installed in any
// namespace and configured by flags.
func hasFlags(c *corev1.Container) bool {
	name := imageName(c.Image)
	return name == externalDNS || strings.HasPrefix(name, "cluster-proportional-autoscaler") // older ones end in -amd64
}

// isFlag reports whether e stands for a flag of external-dns, which it reads
// as EXTERNAL_DNS_ and the flag's name.
func isFlag(e corev1.EnvVar) bool { return strings.HasPrefix(e.Name, "EXTERNAL_DNS_") }

// imageName is the last part of an image's repository: "coredns" of
// registry.k8s.io/coredns/coredns:v1.11.1@sha256:...
func imageName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	name, _, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return name
}

func trimContainer(c *corev1.Container, settings bool) {
	c.VolumeMounts, c.EnvFrom, c.Lifecycle = nil, nil, nil
	if !settings {
		c.Env, c.Command, c.Args = nil, nil, nil
		return
	}
	for i := range c.Env {
		c.Env[i].Value = redactValue(c.Env[i].Name+"=", c.Env[i].Value)
	}
	redactArgs(c.Args)
	redactArgs(c.Command)
}

// redactArgs redacts each argument; one that follows a flag is its value.
func redactArgs(args []string) {
	flag := ""
	for i, arg := range args {
		if strings.HasPrefix(arg, "-") {
			flag = "" // the one before has no value
		}
		args[i] = redactValue(flag, arg)
		if flag = ""; strings.HasPrefix(arg, "-") && !strings.Contains(arg, "=") {
			flag = arg + "="
		}
	}
}

// redactValue redacts what stands behind a name: the name says whether it is a
// secret.
func redactValue(name, value string) string {
	redacted, ok := strings.CutPrefix(facts.Redact(name+value), name)
	if !ok { // the name itself looks like a secret
		return facts.Redact(value)
	}
	return redacted
}

func trimEvent(e *corev1.Event) {
	trimMeta(&e.ObjectMeta)
	e.Message = facts.Redact(e.Message)
}
