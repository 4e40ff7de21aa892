package world

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/hopwise/hopwise/internal/facts"
)

const (
	podKind         = facts.Kind("kube/pods")
	deploymentKind  = facts.Kind("kube/deployments")
	replicaSetKind  = facts.Kind("kube/replicasets")
	nodeKind        = facts.Kind("kube/nodes")
	eventKind       = facts.Kind("kube/events")
	serviceKind     = facts.Kind("kube/services")
	sliceKind       = facts.Kind("kube/endpointslices")
	ingressKind     = facts.Kind("kube/ingresses")
	bindingKind     = facts.Kind("kube/targetgroupbindings")
	policyKind      = facts.Kind("kube/networkpolicies")
	daemonSetKind   = facts.Kind("kube/daemonsets")
	subnetKind      = facts.Kind("ec2/subnets")
	interfaceKind   = facts.Kind("ec2/network-interfaces")
	groupKind       = facts.Kind("ec2/security-groups")
	aclKind         = facts.Kind("ec2/network-acls")
	balancerKind    = facts.Kind("elbv2/load-balancers")
	targetGroupKind = facts.Kind("elbv2/target-groups")
	healthKind      = facts.Kind("elbv2/target-health")
)

// settleDeployments adds and removes pods where a Deployment's replicas were
// changed or one of its pods was deleted.
func (w *World) settleDeployments(touched []touch) {
	for _, t := range of(touched, deploymentKind) {
		if d := w.is(t); d != nil && number(d, 1, "spec", "replicas") != number(t.was(), -1, "spec", "replicas") {
			w.scale(d)
		}
	}
	for _, t := range of(touched, podKind) {
		was := t.was()
		if was == nil || w.is(t) != nil {
			continue
		}
		w.forget(was)
		if d := w.deploymentOf(was); d != nil {
			w.scale(d)
		}
	}
}

// deploymentOf is the Deployment whose ReplicaSet made a pod, or nil.
func (w *World) deploymentOf(pod Doc) Doc {
	for _, o := range list(pod, "metadata", "ownerReferences") {
		rs, err := w.get(replicaSetKind, text(pod, "metadata", "namespace")+"/"+text(o, "name"))
		if text(o, "kind") != "ReplicaSet" || err != nil {
			continue
		}
		for _, o := range list(rs, "metadata", "ownerReferences") {
			if d, err := w.get(deploymentKind, text(pod, "metadata", "namespace")+"/"+text(o, "name")); err == nil && text(o, "kind") == "Deployment" {
				return d
			}
		}
	}
	return nil
}

// podsOf are a Deployment's pods.
func (w *World) podsOf(d Doc) []Doc {
	var out []Doc
	for _, p := range w.all(podKind) {
		if text(p, "metadata", "namespace") == text(d, "metadata", "namespace") &&
			within(labels(p, "metadata", "labels"), labels(d, "spec", "selector", "matchLabels")) && text(p, "metadata", "deletionTimestamp") == "" {
			out = append(out, p)
		}
	}
	return out
}

// scale makes as many pods as a Deployment asks for. Those that are not ready
// go first, as with the ReplicaSet controller.
func (w *World) scale(d Doc) {
	want := number(d, 1, "spec", "replicas")
	have := w.podsOf(d)
	slices.SortStableFunc(have, func(a, b Doc) int {
		return cmp.Or(cmp.Compare(order(holds(b, "Ready")), order(holds(a, "Ready"))), cmp.Compare(text(a, "metadata", "name"), text(b, "metadata", "name")))
	})
	rs := w.replicaSetOf(d)
	for i := len(have); i < want; i++ {
		w.addPod(d, rs)
	}
	for i := want; i < len(have); i++ {
		w.end(have[i])
	}
	w.note(d)
}

func order(b bool) int { return map[bool]int{true: 1}[b] }

func firstOf(docs []Doc) Doc {
	if len(docs) == 0 {
		return nil
	}
	return docs[0]
}

// replicaSetOf is the newest ReplicaSet of a Deployment, made if need be.
func (w *World) replicaSetOf(d Doc) Doc {
	var newest Doc
	for _, rs := range w.all(replicaSetKind) {
		owner := firstOf(list(rs, "metadata", "ownerReferences"))
		if text(rs, "metadata", "namespace") == text(d, "metadata", "namespace") && text(owner, "name") == text(d, "metadata", "name") &&
			(newest == nil || revision(rs) >= revision(newest)) {
			newest = rs
		}
	}
	if newest != nil {
		return newest
	}
	return w.newReplicaSet(d, word(text(d, "metadata", "name"), 10), "1")
}

// newReplicaSet stores a ReplicaSet of a Deployment's template.
func (w *World) newReplicaSet(d Doc, hash, revision string) Doc {
	name := text(d, "metadata", "name")
	l := labels(d, "spec", "template", "metadata", "labels")
	l["pod-template-hash"] = hash
	rs := Doc{
		"metadata": Doc{"name": name + "-" + hash, "namespace": text(d, "metadata", "namespace"), "uid": uid(name + hash), "creationTimestamp": w.stamp(), "labels": l,
			"annotations":     Doc{"deployment.kubernetes.io/revision": revision},
			"ownerReferences": []any{Doc{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": text(d, "metadata", "uid"), "controller": true, "blockOwnerDeletion": true}}},
		"spec": Doc{"selector": Doc{"matchLabels": l}, "template": Doc{"metadata": Doc{"labels": l}}},
	}
	rs = decode(encode(rs))
	w.write(replicaSetKind, rs)
	return rs
}

// revision counts the templates that a Deployment has had; 0 when it is not
// known.
func revision(rs Doc) int {
	n, _ := strconv.Atoi(text(rs, "metadata", "annotations", "deployment.kubernetes.io/revision"))
	return n
}

// addPod makes one more pod of a Deployment, on the node with the fewest pods
// that can give it an address.
func (w *World) addPod(d, rs Doc) {
	ns, owner := text(d, "metadata", "namespace"), text(rs, "metadata", "name")
	name := owner + "-" + word(fmt.Sprint(owner, w.version), 5)
	spec, _ := at(d, "spec", "template", "spec").(Doc)
	meta := Doc{
		"name": name, "namespace": ns, "generateName": owner + "-", "uid": uid(name), "creationTimestamp": w.stamp(),
		"labels":          merged(labels(d, "spec", "template", "metadata", "labels"), "pod-template-hash", strings.TrimPrefix(owner, text(d, "metadata", "name")+"-")),
		"ownerReferences": []any{Doc{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": text(rs, "metadata", "uid"), "controller": true, "blockOwnerDeletion": true}},
	}
	pod := decode(encode(Doc{"metadata": meta, "spec": spec, "status": Doc{"phase": "Pending", "startTime": w.stamp()}}))
	node := w.place(pod)
	if node == nil {
		condition(pod, "PodScheduled", false, "Unschedulable", "0/"+fmt.Sprint(len(w.docs[nodeKind]))+" nodes are available", w.stamp())
		w.write(podKind, pod)
		return
	}
	at(pod, "spec").(Doc)["nodeName"] = text(node, "metadata", "name")
	w.event(pod, "Normal", "Scheduled", "Successfully assigned "+ns+"/"+name+" to "+text(node, "metadata", "name"))
	w.start(pod, node)
}

func merged(l map[string]string, key, value string) map[string]string {
	l[key] = value
	return l
}

// place chooses a node for a pod: Ready, not cordoned, with the labels that
// the pod asks for and with room. Nodes that have addresses come first, then
// those over which the pod wants to be spread.
func (w *World) place(pod Doc) Doc {
	var best Doc
	var bestCost int
	for _, n := range w.all(nodeKind) {
		name := text(n, "metadata", "name")
		load := 0
		for _, p := range w.all(podKind) {
			if text(p, "spec", "nodeName") == name {
				load++
			}
		}
		full := fmt.Sprint(load) == text(n, "status", "allocatable", "pods")
		if full || !holds(n, "Ready") || at(n, "spec", "unschedulable") == true || !within(labels(n, "metadata", "labels"), labels(pod, "spec", "nodeSelector")) {
			continue
		}
		if w.subnetFor(n) == nil {
			load += 10000
		}
		load += 100 * w.crowd(pod, n)
		if best == nil || load < bestCost {
			best, bestCost = n, load
		}
	}
	return best
}

// start gives a pod its address and lets it run; without one it stays as it
// is, waiting.
func (w *World) start(pod, node Doc) {
	now := w.stamp()
	status := at(pod, "status").(Doc)
	condition(pod, "PodScheduled", true, "", "", now)
	host := internalIP(node)
	status["hostIP"] = host
	ip, ok := host, true
	if at(pod, "spec", "hostNetwork") != true {
		ip, ok = w.takeIP(node)
	}
	if !ok {
		w.event(pod, "Warning", "FailedCreatePodSandBox", sandboxFailure)
		w.write(podKind, pod)
		return
	}
	status["podIP"], status["podIPs"], status["phase"] = ip, []any{Doc{"ip": ip}}, "Running"
	ready := !w.broken(w.appOf(pod))
	condition(pod, "PodReadyToStartContainers", true, "", "", now)
	condition(pod, "Initialized", true, "", "", now)
	for _, c := range []string{"Ready", "ContainersReady"} {
		if ready {
			condition(pod, c, true, "", "", now)
		} else {
			condition(pod, c, false, "ContainersNotReady", "containers with unready status", now)
		}
	}
	statuses := []any{}
	for _, c := range list(pod, "spec", "containers") {
		statuses = append(statuses, Doc{"name": text(c, "name"), "image": text(c, "image"), "imageID": "", "ready": ready, "started": true, "restartCount": 0, "state": Doc{"running": Doc{"startedAt": now}}})
	}
	status["containerStatuses"] = statuses
	w.event(pod, "Normal", "Started", "Started container "+text(firstOf(list(pod, "spec", "containers")), "name"))
	w.write(podKind, decode(encode(pod)))
}

// sandboxFailure is what kubelet reports when the VPC CNI has no address.
const sandboxFailure = `Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox: plugin type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an IP address to container`

// event records an event about an object of a namespace.
func (w *World) event(pod Doc, kind, reason, message string) {
	ns, name := text(pod, "metadata", "namespace"), text(pod, "metadata", "name")
	now := w.stamp()
	w.write(eventKind, decode(encode(Doc{
		"metadata":       Doc{"name": name + "." + word(fmt.Sprint(name, reason, w.version), 16), "namespace": ns, "creationTimestamp": now},
		"involvedObject": Doc{"kind": "Pod", "namespace": ns, "name": name, "uid": text(pod, "metadata", "uid")},
		"type":           kind, "reason": reason, "message": message, "source": Doc{"component": "kubelet"},
		"firstTimestamp": now, "lastTimestamp": now, "count": 1,
	})))
}

// settleStatus brings the counts of Deployments into line with their pods.
func (w *World) settleStatus(touched []touch) {
	for _, t := range of(touched, podKind) {
		for _, pod := range []Doc{t.was(), w.is(t)} {
			if pod == nil {
				continue
			}
			if d := w.deploymentOf(pod); d != nil {
				w.note(d)
			}
		}
	}
}

// note writes the status of a Deployment and of its newest ReplicaSet.
func (w *World) note(d Doc) {
	pods := w.podsOf(d)
	ready := 0
	for _, p := range pods {
		if holds(p, "Ready") {
			ready++
		}
	}
	want := number(d, 1, "spec", "replicas")
	status, _ := d["status"].(Doc)
	if status == nil {
		status = Doc{}
		d["status"] = status
	}
	for _, f := range []string{"replicas", "updatedReplicas"} {
		status[f] = float64(len(pods))
	}
	status["readyReplicas"], status["availableReplicas"] = float64(ready), float64(ready)
	delete(status, "unavailableReplicas")
	if want > ready {
		status["unavailableReplicas"] = float64(want - ready)
	}
	if ready >= want-want/4 {
		condition(d, "Available", true, "MinimumReplicasAvailable", "Deployment has minimum availability.", w.stamp())
	} else {
		condition(d, "Available", false, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", w.stamp())
	}
	w.write(deploymentKind, decode(encode(d)))
	rs := w.replicaSetOf(d)
	at(rs, "spec").(Doc)["replicas"] = float64(want)
	counts, _ := rs["status"].(Doc)
	if counts == nil {
		counts = Doc{}
		rs["status"] = counts
	}
	counts["replicas"], counts["fullyLabeledReplicas"] = float64(len(pods)), float64(len(pods))
	counts["readyReplicas"], counts["availableReplicas"] = float64(ready), float64(ready)
	w.write(replicaSetKind, decode(encode(rs)))
}

// word makes n letters and digits of s, as generated names have them.
func word(s string, n int) string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	h := fnv.New64a()
	out := make([]byte, n)
	for i := range out {
		fmt.Fprint(h, s, i)
		out[i] = alphabet[h.Sum64()%uint64(len(alphabet))]
	}
	return string(out)
}

// uid makes a stable UUID of s.
func uid(s string) string {
	h := fnv.New128a()
	h.Write([]byte(s))
	b := h.Sum(nil)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
