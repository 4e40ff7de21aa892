package collect

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/hopwise/hopwise/internal/facts"
)

// pageSize is how many objects one list call asks for. It bounds the memory
// of a page before it is trimmed.
const pageSize = 500

// paths are the API paths of the resources.
var paths = map[facts.Kind]string{
	facts.Pods.Kind():                  "/api/v1/pods",
	facts.Services.Kind():              "/api/v1/services",
	facts.Nodes.Kind():                 "/api/v1/nodes",
	facts.Namespaces.Kind():            "/api/v1/namespaces",
	facts.Events.Kind():                "/api/v1/events",
	facts.EndpointSlices.Kind():        "/apis/discovery.k8s.io/v1/endpointslices",
	facts.Deployments.Kind():           "/apis/apps/v1/deployments",
	facts.DaemonSets.Kind():            "/apis/apps/v1/daemonsets",
	facts.StatefulSets.Kind():          "/apis/apps/v1/statefulsets",
	facts.Ingresses.Kind():             "/apis/networking.k8s.io/v1/ingresses",
	facts.NetworkPolicies.Kind():       "/apis/networking.k8s.io/v1/networkpolicies",
	facts.ValidatingWebhooks.Kind():    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
	facts.MutatingWebhooks.Kind():      "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
	facts.APIServices.Kind():           "/apis/apiregistration.k8s.io/v1/apiservices",
	facts.SecurityGroupPolicies.Kind(): "/apis/vpcresources.k8s.aws/v1beta1/securitygrouppolicies",
	facts.CNINodes.Kind():              "/apis/vpcresources.k8s.aws/v1alpha1/cninodes",
	facts.TargetGroupBindings.Kind():   "/apis/elbv2.k8s.aws/v1beta1/targetgroupbindings",
}

// configMaps are the ConfigMaps of kube-system that are read, one call each,
// so that the role can name them. One that is not there is simply not there.
var configMaps = []string{"amazon-vpc-cni", "coredns", "node-local-dns"}

type kubeReader struct{ client rest.Interface }

func newKubeReader(cfg *rest.Config, calls *gate) (*kubeReader, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1 // the gate limits the calls in flight
	cfg.Wrap(calls.wrap)
	cfg.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(cfg)
	if err != nil {
		return nil, err
	}
	return &kubeReader{client}, nil
}

// read lists a kind, page by page, and trims each page before it asks for
// the next.
func (k *kubeReader) read(ctx context.Context, n facts.Need) (any, error) {
	switch key := n.(type) {
	case facts.Key[corev1.ConfigMap]:
		return k.configMaps(ctx)
	case facts.Key[corev1.Pod]:
		return list(ctx, k, key, trimPod)
	case facts.Key[corev1.Service]:
		return list(ctx, k, key, func(o *corev1.Service) { trimMeta(&o.ObjectMeta) })
	case facts.Key[corev1.Event]:
		return list(ctx, k, key, trimEvent)
	case facts.Key[corev1.Node]:
		return list(ctx, k, key, func(o *corev1.Node) { trimMeta(&o.ObjectMeta); o.Status.Images = nil })
	case facts.Key[appsv1.Deployment]:
		return list(ctx, k, key, func(o *appsv1.Deployment) { trimMeta(&o.ObjectMeta); trimTemplate(o.Namespace, &o.Spec.Template) })
	case facts.Key[appsv1.DaemonSet]:
		return list(ctx, k, key, func(o *appsv1.DaemonSet) { trimMeta(&o.ObjectMeta); trimTemplate(o.Namespace, &o.Spec.Template) })
	case facts.Key[appsv1.StatefulSet]:
		return list(ctx, k, key, func(o *appsv1.StatefulSet) { trimMeta(&o.ObjectMeta); trimTemplate(o.Namespace, &o.Spec.Template) })
	default:
		raw, err := k.pages(ctx, n.Kind())
		if err != nil {
			return nil, err
		}
		return n.Decode(raw)
	}
}

// configMaps reads the named ConfigMaps, with all that looks like a secret
// taken out.
func (k *kubeReader) configMaps(ctx context.Context) ([]corev1.ConfigMap, error) {
	found := make([]*corev1.ConfigMap, len(configMaps))
	err := parallel(len(configMaps), func(i int) error {
		raw, err := k.client.Get().AbsPath("/api/v1/namespaces/kube-system/configmaps/" + configMaps[i]).Do(ctx).Raw()
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		found[i] = new(corev1.ConfigMap)
		return json.Unmarshal(raw, found[i])
	})
	if err != nil {
		return nil, err
	}
	all := []corev1.ConfigMap{}
	for _, c := range found {
		if c == nil {
			continue
		}
		trimMeta(&c.ObjectMeta)
		for name, data := range c.Data {
			c.Data[name] = facts.Redact(data)
		}
		all = append(all, *c)
	}
	return all, nil
}

func list[T any](ctx context.Context, k *kubeReader, key facts.Key[T], trim func(*T)) (any, error) {
	all := []T{}
	err := k.each(ctx, key.Kind(), func(items json.RawMessage) error {
		var page []T
		if err := json.Unmarshal(items, &page); err != nil {
			return fmt.Errorf("decode %s: %w", key.Kind(), err)
		}
		for i := range page {
			trim(&page[i])
		}
		all = append(all, page...)
		return nil
	})
	return all, err
}

// pages returns all objects of a kind as one kubectl-shaped document.
func (k *kubeReader) pages(ctx context.Context, kind facts.Kind) ([]byte, error) {
	all := []json.RawMessage{}
	err := k.each(ctx, kind, func(items json.RawMessage) error {
		var page []json.RawMessage
		if err := json.Unmarshal(items, &page); err != nil {
			return fmt.Errorf("decode %s: %w", kind, err)
		}
		all = append(all, page...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"items": all})
}

// each calls use with the items of every page. A kind that the API server
// does not serve has no objects: its CRD is not installed.
func (k *kubeReader) each(ctx context.Context, kind facts.Kind, use func(items json.RawMessage) error) error {
	for cont := ""; ; {
		req := k.client.Get().AbsPath(paths[kind]).Param("limit", strconv.Itoa(pageSize))
		if cont != "" {
			req = req.Param("continue", cont)
		}
		raw, err := req.Do(ctx).Raw()
		if apierrors.IsNotFound(err) && cont == "" {
			return nil
		}
		if err != nil {
			return err
		}
		var page struct {
			Metadata metav1.ListMeta
			Items    json.RawMessage
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return fmt.Errorf("decode %s: %w", kind, err)
		}
		if len(page.Items) == 0 || string(page.Items) == "null" {
			page.Items = json.RawMessage("[]")
		}
		if err := use(page.Items); err != nil {
			return err
		}
		if cont = page.Metadata.Continue; cont == "" {
			return nil
		}
	}
}

// kubeDetail says what to do about credentials.
func kubeDetail(err error) string {
	if apierrors.IsUnauthorized(err) {
		return "the API server refused the credentials; renew the kubeconfig's token, or log in again"
	}
	return cmp.Or(noConnection(err), oneLine(err))
}

func kubeReason(err error) facts.Reason {
	switch {
	case apierrors.IsForbidden(err):
		return facts.Denied
	case apierrors.IsTooManyRequests(err):
		return facts.Throttled
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), apierrors.IsResourceExpired(err):
		return facts.TimedOut
	default:
		return facts.Unreachable
	}
}

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

// trimTemplate keeps a workload's settings only in kube-system, where the
// network's own components are configured by environment and arguments.
func trimTemplate(namespace string, t *corev1.PodTemplateSpec) {
	t.Spec.Volumes, t.Spec.Affinity = nil, nil
	for _, cs := range [][]corev1.Container{t.Spec.Containers, t.Spec.InitContainers} {
		for i := range cs {
			trimContainer(&cs[i], namespace == metav1.NamespaceSystem)
		}
	}
}

func trimContainer(c *corev1.Container, settings bool) {
	c.VolumeMounts, c.EnvFrom, c.Lifecycle = nil, nil, nil
	if !settings {
		c.Env, c.Command, c.Args = nil, nil, nil
		return
	}
	for i := range c.Env {
		// The name says whether the value is a secret: redact them together.
		prefix := c.Env[i].Name + "="
		c.Env[i].Value = facts.Redact(prefix + c.Env[i].Value)[len(prefix):]
	}
	for i := range c.Args {
		c.Args[i] = facts.Redact(c.Args[i])
	}
	for i := range c.Command {
		c.Command[i] = facts.Redact(c.Command[i])
	}
}

func trimEvent(e *corev1.Event) {
	trimMeta(&e.ObjectMeta)
	e.Message = facts.Redact(e.Message)
}
