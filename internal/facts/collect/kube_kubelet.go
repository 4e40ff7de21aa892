package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/hopwise/hopwise/internal/facts"
)

// Whose configuration is read at most: the nodes of a group are made from one
// template, a second one shows whether they are alike.
const (
	kubeletsOfGroup = 2
	kubelets        = 20
	configzBytes    = 1 << 20
)

// kubeletConfigs reads the configuration of the kubelets of a few nodes. The
// first one is asked alone: a role without the permission is the normal case,
// and one refusal tells as much as twenty.
func (k *kubeReader) kubeletConfigs(ctx context.Context, one *once) ([]facts.KubeletConfig, error) {
	nodes, err := k.nodes(ctx, one)
	if err != nil {
		return nil, errDepends{facts.Nodes.Permission(), err}
	}
	of := sampled(nodes)
	var first *facts.KubeletConfig
	if len(of) > 0 {
		if first, err = k.kubeletConfig(ctx, of[0]); apierrors.IsForbidden(err) {
			return nil, err
		}
	}
	return those(len(of), func(i int) (*facts.KubeletConfig, error) {
		if i == 0 {
			return first, err
		}
		return k.kubeletConfig(ctx, of[i])
	})
}

// sampled are the names of the nodes that are asked: one of each group before
// a second of any.
func sampled(nodes []corev1.Node) []string {
	groups := map[string][]string{}
	var order []string
	for _, n := range nodes {
		if !isReady(&n) {
			continue
		}
		g := groupOf(&n)
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], n.Name)
	}
	slices.Sort(order)
	var names []string
	for i := range kubeletsOfGroup {
		for _, g := range order {
			if slices.Sort(groups[g]); i < len(groups[g]) {
				names = append(names, groups[g][i])
			}
		}
	}
	names = names[:min(kubelets, len(names))]
	slices.Sort(names)
	return names
}

// groupOf names the nodes that were made like n.
func groupOf(n *corev1.Node) string {
	for _, label := range []string{"eks.amazonaws.com/nodegroup", "karpenter.sh/nodepool", "eks.amazonaws.com/compute-type", corev1.LabelInstanceTypeStable} {
		if v := n.Labels[label]; v != "" {
			return label + "=" + v
		}
	}
	return ""
}

func isReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func (k *kubeReader) kubeletConfig(ctx context.Context, node string) (*facts.KubeletConfig, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	body, err := k.client.Get().AbsPath("/api/v1/nodes", node, "proxy/configz").Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	config := new(facts.KubeletConfig)
	if err := json.NewDecoder(io.LimitReader(body, configzBytes)).Decode(config); err != nil {
		return nil, fmt.Errorf("decode the configuration of the kubelet on %s: %w", node, err)
	}
	config.Name = node
	return config, nil
}
