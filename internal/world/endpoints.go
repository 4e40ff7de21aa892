package world

import (
	"bytes"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/reach"
)

// settleEndpoints writes the EndpointSlices of the Services whose selector or
// ports changed, or whose pods did.
func (w *World) settleEndpoints(touched []touch) {
	stale := map[string]bool{}
	for _, t := range of(touched, serviceKind) {
		if is := w.is(t); is != nil && !bytes.Equal(encode(at(is, "spec")), encode(at(t.was(), "spec"))) {
			stale[t.id] = true
		}
	}
	for _, t := range of(touched, podKind) {
		for _, pod := range []Doc{t.was(), w.is(t)} {
			for _, s := range w.all(serviceKind) {
				if pod != nil && selectsDoc(s, pod) {
					stale[text(s, "metadata", "namespace")+"/"+text(s, "metadata", "name")] = true
				}
			}
		}
	}
	for _, s := range w.all(serviceKind) {
		if stale[text(s, "metadata", "namespace")+"/"+text(s, "metadata", "name")] && len(labels(s, "spec", "selector")) > 0 {
			w.writeSlice(s)
		}
	}
}

// selectsDoc reports whether a Service's selector matches a pod.
func selectsDoc(service, pod Doc) bool {
	sel := labels(service, "spec", "selector")
	return len(sel) > 0 && text(service, "metadata", "namespace") == text(pod, "metadata", "namespace") && within(labels(pod, "metadata", "labels"), sel)
}

// writeSlice puts a Service's endpoints into its first slice and empties the
// others.
func (w *World) writeSlice(service Doc) {
	ns, name := text(service, "metadata", "namespace"), text(service, "metadata", "name")
	var slice Doc
	for _, s := range w.slicesOf(ns, name) {
		if slice == nil {
			slice = s
		} else {
			_ = w.remove(sliceKind, ns+"/"+text(s, "metadata", "name"))
		}
	}
	if slice == nil {
		slice = Doc{
			"metadata": Doc{"name": name + "-" + word(name, 5), "namespace": ns, "generateName": name + "-", "uid": uid(ns + name), "creationTimestamp": w.stamp(),
				"labels":          Doc{"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
				"ownerReferences": []any{Doc{"apiVersion": "v1", "kind": "Service", "name": name, "uid": text(service, "metadata", "uid"), "controller": true, "blockOwnerDeletion": true}}},
			"addressType": "IPv4",
		}
	}
	slice["ports"], slice["endpoints"] = w.endpoints(service)
	w.write(sliceKind, decode(encode(slice)))
}

// slicesOf are the EndpointSlices of a Service that the controller keeps.
func (w *World) slicesOf(ns, name string) []Doc {
	return slices.DeleteFunc(w.all(sliceKind), func(s Doc) bool {
		l := labels(s, "metadata", "labels")
		return text(s, "metadata", "namespace") != ns || l["kubernetes.io/service-name"] != name || l["endpointslice.kubernetes.io/managed-by"] != "endpointslice-controller.k8s.io"
	})
}

// endpoints are the ports and addresses of the pods that a Service selects.
func (w *World) endpoints(service Doc) (ports, addresses []any) {
	ports, addresses = []any{}, []any{}
	s, err := Decode[corev1.Service](service)
	if err != nil {
		return ports, addresses
	}
	for _, doc := range w.all(podKind) {
		pod, err := Decode[corev1.Pod](doc)
		if err != nil || !reach.Selects(&s, &pod) || pod.Status.PodIP == "" || reach.Finished(&pod) {
			continue
		}
		if len(addresses) == 0 { // a slice has one list of ports: that of its first pod
			for _, p := range s.Spec.Ports {
				if n, ok := reach.TargetPort(p, &pod); ok {
					ports = append(ports, Doc{"name": p.Name, "port": n, "protocol": string(p.Protocol)})
				}
			}
		}
		ready := reach.Ready(&pod)
		e := Doc{
			"addresses": []any{pod.Status.PodIP}, "nodeName": pod.Spec.NodeName,
			"conditions": Doc{"ready": ready || s.Spec.PublishNotReadyAddresses, "serving": ready, "terminating": pod.DeletionTimestamp != nil},
			"targetRef":  Doc{"kind": "Pod", "namespace": pod.Namespace, "name": pod.Name, "uid": string(pod.UID)},
		}
		if node, err := w.get(nodeKind, pod.Spec.NodeName); err == nil {
			e["zone"] = labels(node, "metadata", "labels")["topology.kubernetes.io/zone"]
		}
		addresses = append(addresses, e)
	}
	return ports, addresses
}
