package l4

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// A setting is one variable of one container of aws-node.
type setting struct{ container, variable, from, to string }

// change is how a setting is changed so that it lasts: through the add-on where
// EKS manages aws-node, else at the DaemonSet. Where neither is certain, there
// are commands for a person.
func (s setting) change(v *facts.View) (remedy.Actions, []string) {
	env := remedy.SetEnv{
		Workload:  remedy.Workload{Kind: "DaemonSet", Namespace: "kube-system", Name: "aws-node"},
		Container: s.container, Variable: s.variable, From: s.from, To: s.to,
	}
	if !facts.Addons.Have(v) {
		return nil, []string{"aws eks describe-addon --cluster-name " + clusterOr(v) + " --addon-name vpc-cni --query addon.configurationValues", env.Command()}
	}
	addons := facts.Addons.In(v)
	i := slices.IndexFunc(addons, func(a ekstypes.Addon) bool { return facts.Val(a.AddonName) == "vpc-cni" })
	if i < 0 {
		return remedy.Actions{env}, nil
	}
	a := remedy.SetAddonConfiguration{Cluster: cmp.Or(facts.Val(addons[i].ClusterName), v.Cluster()), Addon: "vpc-cni", From: facts.Val(addons[i].ConfigurationValues), Role: facts.Val(addons[i].ServiceAccountRoleArn)}
	to, err := s.into(a.From)
	if err != nil || a.Cluster == "" { // YAML, which cannot be merged without losing its comments
		return nil, []string{fmt.Sprintf("aws eks describe-addon --cluster-name %s --addon-name vpc-cni --query addon.configurationValues --output text", cmp.Or(a.Cluster, "CLUSTER")), env.Command()}
	}
	a.To = to
	return remedy.Actions{a}, nil
}

// into merges a setting into the add-on's configuration.
func (s setting) into(values string) (string, error) {
	doc := map[string]any{}
	if values != "" {
		if err := json.Unmarshal([]byte(values), &doc); err != nil {
			return "", fmt.Errorf("read the add-on's configuration: %w", err)
		}
	}
	at := doc
	path := []string{"env"}
	if s.container == cniInit {
		path = []string{"init", "env"}
	}
	for _, key := range path {
		next, ok := at[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[key] = next
		}
		at = next
	}
	at[s.variable] = s.to
	b, err := json.Marshal(doc)
	return string(b), err
}

// now is the value that a variable of aws-node has.
func (s setting) now(v *facts.View) string {
	for _, d := range facts.DaemonSets.In(v) {
		if d.Namespace != "kube-system" || d.Name != "aws-node" {
			continue
		}
		for _, c := range slices.Concat(d.Spec.Template.Spec.Containers, d.Spec.Template.Spec.InitContainers) {
			if c.Name == s.container {
				return facts.Setting(c, s.variable)
			}
		}
	}
	return ""
}

// remedy is the change of a setting, with what a person must know.
func (s setting) remedy(v *facts.View, title, why string) remedy.Remedy {
	s.from = s.now(v)
	actions, manual := s.change(v)
	return remedy.Remedy{Title: title, Why: why, Risk: remedy.Disruptive, Actions: actions, Manual: manual}
}

// strictMode is the setting that makes a pod's own groups judge all its
// traffic; standard leaves that within the node alone.
func strictMode(to string) setting {
	return setting{container: "aws-node", variable: "POD_SECURITY_GROUP_ENFORCING_MODE", to: to}
}

// restart replaces a workload's pods: interface, groups and mode of a pod are
// those of its start.
func (w workload) restart() (remedy.Actions, []string) {
	kind := map[facts.Kind]string{"kube/deployments": "Deployment", "kube/statefulsets": "StatefulSet", "kube/daemonsets": "DaemonSet"}[w.kind]
	if kind == "" {
		return nil, []string{fmt.Sprintf("kubectl -n %s delete pod %s", w.ns, w.name)}
	}
	return remedy.Actions{remedy.Restart(remedy.Workload{Kind: kind, Namespace: w.ns, Name: w.name}, w.pod.ObjectMeta)}, nil
}

// restartCommand is the same for a person.
func (w workload) restartCommand() string {
	actions, manual := w.restart()
	if len(actions) > 0 {
		return actions[0].Command()
	}
	return manual[0]
}

// evidence shows a setting as it is.
func (s setting) evidence(v *facts.View, want string) diagnose.Evidence {
	return diagnose.Evidence{
		Fact: awsNode.String() + " " + s.variable, Got: cmp.Or(s.now(v), "not set"), Want: want,
		Command: fmt.Sprintf("kubectl -n kube-system set env daemonset/aws-node -c %s --list", s.container),
	}
}

// clusterOr is the cluster's name, or the word for a person to replace.
func clusterOr(v *facts.View) string { return cmp.Or(v.Cluster(), "CLUSTER") }
