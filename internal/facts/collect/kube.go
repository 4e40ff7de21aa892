package collect

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
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
	facts.ServiceAccounts.Kind():       "/api/v1/serviceaccounts",
	facts.HPAs.Kind():                  "/apis/autoscaling/v2/horizontalpodautoscalers",
	facts.PodDisruptionBudgets.Kind():  "/apis/policy/v1/poddisruptionbudgets",
}

// configMaps and clusterRoles are the objects that are read by name, one call
// each, so that the role can name them. One that is not there is simply not
// there.
var (
	configMaps   = []string{"amazon-vpc-cni", "coredns", "node-local-dns"} // of kube-system
	clusterRoles = []string{"system:coredns"}
)

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
// the next. What several kinds begin with is read once.
func (k *kubeReader) read(ctx context.Context, n facts.Need, one *once) (any, error) {
	switch key := n.(type) {
	case facts.Key[corev1.ConfigMap]:
		return named(ctx, k, "/api/v1/namespaces/kube-system/configmaps", configMaps, trimConfigMap)
	case facts.Key[rbacv1.ClusterRole]:
		return named(ctx, k, "/apis/rbac.authorization.k8s.io/v1/clusterroles", clusterRoles, func(o *rbacv1.ClusterRole) { trimMeta(&o.ObjectMeta) })
	case facts.Key[facts.PodLog]:
		return k.podLogs(ctx, one)
	case facts.Key[facts.PodMetric]:
		return k.podMetrics(ctx, one)
	case facts.Key[facts.KubeletConfig]:
		return k.kubeletConfigs(ctx, one)
	case facts.Key[corev1.Pod]:
		return k.pods(ctx, one)
	case facts.Key[corev1.Node]:
		return k.nodes(ctx, one)
	case facts.Key[corev1.Service]:
		return list(ctx, k, key, func(o *corev1.Service) { trimMeta(&o.ObjectMeta) })
	case facts.Key[corev1.ServiceAccount]:
		return list(ctx, k, key, trimServiceAccount)
	case facts.Key[autoscalingv2.HorizontalPodAutoscaler]:
		return list(ctx, k, key, func(o *autoscalingv2.HorizontalPodAutoscaler) { trimMeta(&o.ObjectMeta) })
	case facts.Key[policyv1.PodDisruptionBudget]:
		return list(ctx, k, key, func(o *policyv1.PodDisruptionBudget) { trimMeta(&o.ObjectMeta) })
	case facts.Key[corev1.Event]:
		return list(ctx, k, key, trimEvent)
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

// pods and nodes are what other kinds begin with: whose log, whose metrics.
func (k *kubeReader) pods(ctx context.Context, one *once) ([]corev1.Pod, error) {
	return do(one, "pods", func() ([]corev1.Pod, error) { return list(ctx, k, facts.Pods, trimPod) })
}

func (k *kubeReader) nodes(ctx context.Context, one *once) ([]corev1.Node, error) {
	return do(one, "nodes", func() ([]corev1.Node, error) {
		return list(ctx, k, facts.Nodes, func(o *corev1.Node) { trimMeta(&o.ObjectMeta); o.Status.Images = nil })
	})
}

// named reads the objects with some names in a folder of the API.
func named[T any](ctx context.Context, k *kubeReader, folder string, names []string, trim func(*T)) ([]T, error) {
	found := make([]*T, len(names))
	err := parallel(len(names), func(i int) error {
		raw, err := k.client.Get().AbsPath(folder, names[i]).Do(ctx).Raw()
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		found[i] = new(T)
		return json.Unmarshal(raw, found[i])
	})
	if err != nil {
		return nil, err
	}
	all := []T{}
	for _, o := range found {
		if o != nil {
			trim(o)
			all = append(all, *o)
		}
	}
	return all, nil
}

func list[T any](ctx context.Context, k *kubeReader, key facts.Key[T], trim func(*T)) ([]T, error) {
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
