package kube

import (
	"fmt"
	"hash/fnv"

	"github.com/hopwise/hopwise/internal/world"
)

// setDefaults fills in what the API server fills in for a new object, as far
// as a reader of the world's kinds would miss it.
func (r *resource) setDefaults(d world.Doc) {
	spec, ok := d["spec"].(world.Doc)
	if !ok {
		return
	}
	switch r.kind {
	case "NetworkPolicy":
		policyDefaults(spec)
	case "Service":
		serviceDefaults(d, spec)
	case "Deployment", "ReplicaSet", "StatefulSet":
		byDefault(spec, "replicas", 1)
	case "Pod":
		byDefault(spec, "restartPolicy", "Always")
		byDefault(spec, "dnsPolicy", "ClusterFirst")
		d["status"] = world.Doc{"phase": "Pending"}
	}
}

// policyDefaults: a policy that does not say what it governs governs ingress,
// and egress if it has rules for it.
func policyDefaults(spec world.Doc) {
	types := []any{"Ingress"}
	if egress, ok := spec["egress"].([]any); ok && len(egress) > 0 {
		types = append(types, "Egress")
	}
	byDefault(spec, "policyTypes", types)
	for _, direction := range []string{"ingress", "egress"} {
		for _, rule := range docs(spec[direction]) {
			for _, port := range docs(rule["ports"]) {
				byDefault(port, "protocol", "TCP")
			}
		}
	}
}

func serviceDefaults(d, spec world.Doc) {
	byDefault(spec, "type", "ClusterIP")
	byDefault(spec, "sessionAffinity", "None")
	for _, port := range docs(spec["ports"]) {
		byDefault(port, "protocol", "TCP")
		byDefault(port, "targetPort", port["port"])
	}
	if spec["type"] == "ExternalName" {
		return
	}
	h := fnv.New32a()
	fmt.Fprint(h, metadata(d)["namespace"], "/", metadata(d)["name"])
	sum := h.Sum32()
	ip := fmt.Sprintf("172.20.%d.%d", sum>>8&0xff, 1+sum%254) // of the range that EKS gives to Services
	byDefault(spec, "clusterIP", ip)
	byDefault(spec, "clusterIPs", []any{spec["clusterIP"]})
	byDefault(spec, "internalTrafficPolicy", "Cluster")
}

func byDefault(d world.Doc, field string, value any) {
	if v, ok := d[field]; !ok || v == nil {
		d[field] = value
	}
}

// docs returns the objects of a list; what is none is left out.
func docs(list any) []world.Doc {
	items, _ := list.([]any)
	var out []world.Doc
	for _, it := range items {
		if d, ok := it.(world.Doc); ok {
			out = append(out, d)
		}
	}
	return out
}
