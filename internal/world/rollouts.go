package world

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/hopwise/hopwise/internal/facts"
)

const statefulSetKind = facts.Kind("kube/statefulsets")

// settleRollouts replaces the pods of the workloads whose pod template was
// changed: an environment variable, a DNS option, the time of a restart.
func (w *World) settleRollouts(touched []touch) {
	for _, t := range of(touched, deploymentKind, daemonSetKind, statefulSetKind) {
		was, d := t.was(), w.is(t)
		if was == nil || d == nil || bytes.Equal(encode(at(was, "spec", "template")), encode(at(d, "spec", "template"))) {
			continue
		}
		switch t.kind {
		case deploymentKind:
			if at(d, "spec", "paused") != true {
				w.rollDeployment(d)
			}
		case daemonSetKind:
			w.rollEach(t.kind, "DaemonSet", d)
		case statefulSetKind:
			w.rollEach(t.kind, "StatefulSet", d)
		}
	}
}

// rollDeployment makes a new ReplicaSet and lets its pods take over. New pods
// that do not get ready stop it, and those that are ready stay: the first of
// the new ones is one more than is asked for, as maxSurge allows.
func (w *World) rollDeployment(d Doc) {
	old := w.podsOf(d)
	rs := w.nextReplicaSet(d)
	want := number(d, 1, "spec", "replicas")
	if want > 0 {
		w.addPod(d, rs)
	}
	stuck := want > 0 && !w.allReady(w.podsOf(d), old)
	for _, p := range old {
		if !stuck || !holds(p, "Ready") {
			w.end(p)
		}
	}
	for i := len(w.podsOf(d)); i < want; i++ {
		w.addPod(d, rs)
	}
	d, err := w.get(deploymentKind, text(d, "metadata", "namespace")+"/"+text(d, "metadata", "name"))
	if err == nil {
		w.observe(d)
		w.note(d)
	}
}

// allReady reports whether the pods that are not among old are ready.
func (w *World) allReady(pods, old []Doc) bool {
	before := map[string]bool{}
	for _, p := range old {
		before[text(p, "metadata", "name")] = true
	}
	for _, p := range pods {
		if !before[text(p, "metadata", "name")] && !holds(p, "Ready") {
			return false
		}
	}
	return true
}

// end removes a pod, and its event says so.
func (w *World) end(p Doc) {
	if w.remove(podKind, text(p, "metadata", "namespace")+"/"+text(p, "metadata", "name")) == nil {
		w.event(p, "Normal", "Killing", "Stopping container "+text(firstOf(list(p, "spec", "containers")), "name"))
	}
}

// nextReplicaSet makes the ReplicaSet of a Deployment's template as it is now;
// the former one asks for no more pods.
func (w *World) nextReplicaSet(d Doc) Doc {
	last := w.replicaSetOf(d)
	if spec, ok := at(last, "spec").(Doc); ok {
		spec["replicas"] = 0.0
		last["status"] = Doc{"replicas": 0.0}
		w.write(replicaSetKind, decode(encode(last)))
	}
	next := strconv.Itoa(revision(last) + 1)
	annotate(d, "deployment.kubernetes.io/revision", next)
	w.write(deploymentKind, decode(encode(d)))
	return w.newReplicaSet(d, word(string(encode(at(d, "spec", "template")))+next, 10), next)
}

func annotate(d Doc, key, value string) {
	m := meta(d)
	a, _ := m["annotations"].(Doc)
	if a == nil {
		a = Doc{}
		m["annotations"] = a
	}
	a[key] = value
}

// rollEach replaces the pods of a DaemonSet or a StatefulSet one after the
// other, each on its node, until one does not get ready.
func (w *World) rollEach(kind facts.Kind, owner string, d Doc) {
	if text(d, "spec", "updateStrategy", "type") == "OnDelete" {
		return
	}
	updated := 0
	pods := w.ownedBy(owner, d)
	for _, p := range pods {
		updated++
		if next := w.replace(owner, d, p); !holds(next, "Ready") {
			break
		}
	}
	ready := 0
	for _, p := range w.ownedBy(owner, d) {
		if holds(p, "Ready") {
			ready++
		}
	}
	status, _ := d["status"].(Doc)
	if status == nil {
		status = Doc{}
		d["status"] = status
	}
	counts := map[string]int{"numberReady": ready, "numberAvailable": ready, "numberUnavailable": len(pods) - ready, "updatedNumberScheduled": updated}
	if kind == statefulSetKind {
		counts = map[string]int{"readyReplicas": ready, "availableReplicas": ready, "updatedReplicas": updated}
	}
	for field, n := range counts {
		if status[field] = float64(n); n == 0 && field == "numberUnavailable" {
			delete(status, field)
		}
	}
	w.observe(d)
	w.write(kind, decode(encode(d)))
}

// ownedBy are the pods that a workload made itself, without a ReplicaSet
// between.
func (w *World) ownedBy(kind string, d Doc) []Doc {
	var out []Doc
	for _, p := range w.all(podKind) {
		for _, o := range list(p, "metadata", "ownerReferences") {
			if text(o, "kind") == kind && text(o, "name") == text(d, "metadata", "name") && text(p, "metadata", "namespace") == text(d, "metadata", "namespace") {
				out = append(out, p)
			}
		}
	}
	return out
}

// replace ends a pod and starts one of the template in its place: a
// StatefulSet's has the same name.
func (w *World) replace(owner string, d, old Doc) Doc {
	name, ns := text(old, "metadata", "name"), text(old, "metadata", "namespace")
	w.end(old)
	if owner == "StatefulSet" { // the name lives on, so nothing else sees that the pod went
		w.forget(old)
	} else {
		name = text(d, "metadata", "name") + "-" + word(fmt.Sprint(name, w.version), 5)
	}
	m := decode(encode(old["metadata"]))
	m["name"], m["uid"], m["creationTimestamp"] = name, uid(fmt.Sprint(name, w.version)), w.stamp()
	delete(m, "resourceVersion")
	l := Doc{}
	for k, v := range labels(d, "spec", "template", "metadata", "labels") {
		l[k] = v
	}
	l["controller-revision-hash"] = word(string(encode(at(d, "spec", "template"))), 10)
	if ordinal, ok := labels(old, "metadata", "labels")["statefulset.kubernetes.io/pod-name"]; ok {
		l["statefulset.kubernetes.io/pod-name"] = ordinal
	}
	m["labels"] = l
	pod := decode(encode(Doc{"metadata": m, "spec": at(d, "spec", "template", "spec"), "status": Doc{"phase": "Pending", "startTime": w.stamp()}}))
	if a, ok := at(d, "spec", "template", "metadata", "annotations").(Doc); ok {
		meta(pod)["annotations"] = a
	}
	at(pod, "spec").(Doc)["nodeName"] = text(old, "spec", "nodeName")
	if node, err := w.get(nodeKind, text(old, "spec", "nodeName")); err == nil {
		w.start(pod, node)
	} else {
		w.write(podKind, pod)
	}
	now, _ := w.get(podKind, ns+"/"+name)
	return now
}

// forget takes back what only a pod that runs has: its address, its logs and
// what it tells of itself.
func (w *World) forget(pod Doc) {
	w.releaseIP(pod)
	id := text(pod, "metadata", "namespace") + "/" + text(pod, "metadata", "name")
	for _, kind := range []facts.Kind{facts.PodLogs.Kind(), facts.PodMetrics.Kind()} {
		for _, d := range w.all(kind) {
			if of, err := ID(kind, d); err == nil && (of == id || strings.HasPrefix(of, id+"/")) {
				_ = w.remove(kind, of) // it is there
			}
		}
	}
}

// observe says that a workload's controller has seen its latest spec.
func (w *World) observe(d Doc) {
	status, _ := d["status"].(Doc)
	if g, ok := at(d, "metadata", "generation").(float64); ok && status != nil {
		status["observedGeneration"] = g
	}
}

// crowd counts the pods from which a pod wants to be apart that are in the
// same place as a node, once for each topology.
func (w *World) crowd(pod, node Doc) int {
	n := 0
	for _, c := range list(pod, "spec", "topologySpreadConstraints") {
		key := text(c, "topologyKey")
		for _, p := range w.all(podKind) {
			if text(p, "metadata", "namespace") != text(pod, "metadata", "namespace") || !within(labels(p, "metadata", "labels"), labels(c, "labelSelector", "matchLabels")) {
				continue
			}
			if other, err := w.get(nodeKind, text(p, "spec", "nodeName")); err == nil && labels(other, "metadata", "labels")[key] == labels(node, "metadata", "labels")[key] {
				n++
			}
		}
	}
	return n
}
