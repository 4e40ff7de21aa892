package world

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/hopwise/hopwise/internal/facts"
)

// addonConfig is the part of an add-on's configuration that the world acts on
// (aws eks describe-addon-configuration).
type addonConfig struct {
	ReplicaCount *int `json:"replicaCount"`
	AutoScaling  struct {
		Enabled     bool `json:"enabled"`
		MinReplicas int  `json:"minReplicas"`
		MaxReplicas int  `json:"maxReplicas"`
	} `json:"autoScaling"`
	Env      map[string]string `json:"env"`
	Corefile string            `json:"corefile"`
}

func configOf(addon Doc) addonConfig {
	var c addonConfig
	_ = json.Unmarshal([]byte(text(addon, "configurationValues")), &c) // none, or none that the world acts on
	return c
}

// addonReplicas is how many pods the CoreDNS add-on has by itself.
const addonReplicas = 2

// replicas is how many pods of CoreDNS a configuration asks for. Its
// autoscaling counts nodes: one pod for 16 of them, within its bounds.
func (c addonConfig) replicas(nodes int) int {
	if !c.AutoScaling.Enabled {
		if c.ReplicaCount != nil {
			return *c.ReplicaCount
		}
		return addonReplicas
	}
	n := max((nodes+15)/16, c.AutoScaling.MinReplicas, addonReplicas)
	if most := c.AutoScaling.MaxReplicas; most > 0 {
		n = min(n, most)
	}
	return n
}

// settleAddons brings a changed configuration of a managed add-on into the
// cluster. A number of replicas that is not the one that the former
// configuration asked for was set by hand, and is preserved; autoscaling sets
// it whatever it is.
func (w *World) settleAddons(touched []touch) {
	for _, t := range of(touched, facts.Addons.Kind()) {
		was, is := t.was(), w.is(t)
		if was == nil || is == nil || text(was, "configurationValues") == text(is, "configurationValues") {
			continue
		}
		before, after := configOf(was), configOf(is)
		switch text(is, "addonName") {
		case "coredns":
			nodes := len(w.docs[nodeKind])
			_ = w.edit(deploymentKind, "kube-system/coredns", func(d Doc) error {
				spec, ok := at(d, "spec").(Doc)
				if ok && (after.AutoScaling.Enabled || number(d, 1, "spec", "replicas") == before.replicas(nodes)) {
					spec["replicas"] = float64(after.replicas(nodes))
				}
				return nil
			}) // without a Deployment there is nothing to bring in line
			_ = w.edit(configMapKind, "kube-system/coredns", func(d Doc) error {
				if data, ok := at(d, "data").(Doc); ok && after.Corefile != "" && text(data, "Corefile") == before.Corefile {
					data["Corefile"] = after.Corefile
				}
				return nil
			}) // one that was changed by hand is preserved, too
		case "vpc-cni":
			_ = w.edit(daemonSetKind, "kube-system/aws-node", func(d Doc) error {
				for _, c := range list(d, "spec", "template", "spec", "containers") {
					if text(c, "name") == "aws-node" {
						c["env"] = environment(list(c, "env"), before.Env, after.Env)
					}
				}
				return nil
			})
		}
	}
}

// environment is env with the variables of a new configuration in place of
// those of the former one.
func environment(env []Doc, before, after map[string]string) []any {
	out, set := []any{}, map[string]bool{}
	for _, e := range env {
		name := text(e, "name")
		value, wanted := after[name]
		_, had := before[name]
		switch {
		case wanted:
			out, set[name] = append(out, Doc{"name": name, "value": value}), true
		case !had:
			out = append(out, e)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if !set[name] {
			out = append(out, Doc{"name": name, "value": after[name]})
		}
	}
	return out
}
