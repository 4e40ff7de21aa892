package world

import (
	"slices"
	"strings"
	"time"

	"github.com/hopwise/hopwise/internal/facts"
)

const configMapKind = facts.Kind("kube/configmaps")

// A Text is a text under a key of a ConfigMap, or in an environment variable
// of a DaemonSet. One of ConfigMap and DaemonSet is set.
type Text struct {
	ConfigMap string `json:"configMap,omitempty"` // namespace/name
	DaemonSet string `json:"daemonSet,omitempty"` // namespace/name
	Key       string `json:"key"`                 // in the ConfigMap's data, or the variable's name
	Contains  string `json:"contains"`
	Says      string `json:"says,omitempty"` // what a process that runs writes when it is given the text
}

// object is what has the text.
func (t Text) object() (facts.Kind, string) {
	if t.DaemonSet != "" {
		return daemonSetKind, t.DaemonSet
	}
	return configMapKind, t.ConfigMap
}

// in reports whether an object has the text; nil has none.
func (t Text) in(d Doc) bool {
	if d == nil {
		return false
	}
	if t.DaemonSet == "" {
		return strings.Contains(text(d, "data", t.Key), t.Contains)
	}
	for _, containers := range []string{"initContainers", "containers"} {
		for _, c := range list(d, "spec", "template", "spec", containers) {
			for _, e := range list(c, "env") {
				if text(e, "name") == t.Key && strings.Contains(text(e, "value"), t.Contains) {
					return true
				}
			}
		}
	}
	return false
}

// broken reports whether the processes of an app that start now become ready.
func (w *World) broken(a App) bool {
	if a.Broken || a.BrokenWhile == nil {
		return a.Broken
	}
	d, err := w.get(a.BrokenWhile.object())
	return err == nil && a.BrokenWhile.in(d)
}

// settleProcesses lets pods recover that a text of their configuration, or of
// the network's, kept from getting ready, when the text is gone. The other way round nothing
// happens: a process that runs keeps the configuration that it has read.
func (w *World) settleProcesses(touched []touch) {
	for _, t := range of(touched, configMapKind, daemonSetKind) {
		for _, a := range w.Truth.Apps {
			if a.BrokenWhile == nil || a.Broken {
				continue
			}
			kind, id := a.BrokenWhile.object()
			if kind != t.kind || id != t.id || !a.BrokenWhile.in(t.was()) || a.BrokenWhile.in(w.is(t)) {
				continue
			}
			for _, p := range w.all(podKind) {
				if text(p, "metadata", "namespace") == a.Namespace && within(labels(p, "metadata", "labels"), a.Labels) {
					w.revive(p)
				}
			}
		}
	}
}

// settleReloads lets CoreDNS read a changed Corefile where it reloads: the log
// of each pod that runs tells how it went.
func (w *World) settleReloads(touched []touch) {
	for _, t := range of(touched, configMapKind) {
		was, is := text(t.was(), "data", "Corefile"), text(w.is(t), "data", "Corefile")
		if t.id != "kube-system/coredns" || is == "" || was == is || !slices.Contains(strings.Fields(was), "reload") {
			continue
		}
		for _, p := range w.all(podKind) {
			if labels(p, "metadata", "labels")["k8s-app"] != "kube-dns" || !holds(p, "Ready") {
				continue
			}
			if a := w.appOf(p); a.BrokenWhile != nil && w.broken(a) {
				w.says(p, "coredns", "[ERROR] plugin/reload: Corefile changed but reload failed: "+a.BrokenWhile.Says)
			} else {
				w.says(p, "coredns", "[INFO] Reloading", "[INFO] Reloading complete")
			}
		}
	}
}

// says adds lines to what a container of a pod wrote.
func (w *World) says(pod Doc, container string, lines ...string) {
	ns, name := text(pod, "metadata", "namespace"), text(pod, "metadata", "name")
	kind := facts.PodLogs.Kind()
	d, err := w.get(kind, ns+"/"+name+"/"+container)
	if err != nil {
		d = Doc{"metadata": Doc{"namespace": ns, "name": name}, "container": container}
	}
	wrote := text(d, "text")
	for _, l := range lines {
		wrote += w.now().UTC().Format(time.RFC3339Nano) + " " + l + "\n"
	}
	d["text"] = wrote
	w.write(kind, decode(encode(d)))
}

// revive is the next start of a pod's containers, and they stay.
func (w *World) revive(pod Doc) {
	if holds(pod, "Ready") || text(pod, "status", "phase") != "Running" {
		return
	}
	now := w.stamp()
	for _, c := range list(pod, "status", "containerStatuses") {
		if c["ready"] == true {
			continue
		}
		c["ready"], c["started"], c["state"] = true, true, Doc{"running": Doc{"startedAt": now}}
		c["restartCount"] = float64(number(c, 0, "restartCount") + 1)
	}
	for _, c := range []string{"Ready", "ContainersReady"} {
		condition(pod, c, true, "", "", now)
	}
	w.write(podKind, decode(encode(pod)))
}

// settleBudgets counts anew what PodDisruptionBudgets select.
func (w *World) settleBudgets(touched []touch) {
	const kind = facts.Kind("kube/poddisruptionbudgets")
	var spaces []string
	for _, t := range of(touched, kind, podKind) {
		ns, _, _ := strings.Cut(t.id, "/")
		spaces = append(spaces, ns)
	}
	for _, b := range w.all(kind) {
		if !slices.Contains(spaces, text(b, "metadata", "namespace")) {
			continue
		}
		if _, ok := at(b, "spec", "maxUnavailable").(float64); !ok {
			continue // a share, or minAvailable: what was recorded stays
		}
		pods := w.podsOf(b)
		healthy := len(slices.DeleteFunc(slices.Clone(pods), func(p Doc) bool { return !holds(p, "Ready") }))
		desired := max(0, len(pods)-number(b, 0, "spec", "maxUnavailable"))
		status := Doc{"expectedPods": len(pods), "currentHealthy": healthy, "desiredHealthy": desired, "disruptionsAllowed": max(0, healthy-desired)}
		if g := at(b, "metadata", "generation"); g != nil {
			status["observedGeneration"] = g
		} else if g := at(b, "status", "observedGeneration"); g != nil {
			status["observedGeneration"] = g
		}
		b["status"] = status
		w.write(kind, decode(encode(b)))
	}
}
