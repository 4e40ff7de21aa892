package world

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/reach"
)

// nodeVerdict is the TargetHealth of a node that is a target with a node
// port: kube-proxy sends what comes there to a ready pod of the Service, and
// refuses it when there is none that it may use.
func (w *World) nodeVerdict(group, target Doc, port int, n *network) Doc {
	id := text(target, "Target", "Id")
	host, ok := n.instance(id)
	if !ok || !w.connects(group, host, port, n) {
		return unhealthy("Target.Timeout", "Request timed out")
	}
	for _, s := range decodeAll[corev1.Service](w, serviceKind) {
		check := port != 0 && int(s.Spec.HealthCheckNodePort) == port
		if !check && !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.NodePort != 0 && int(p.NodePort) == port }) {
			continue
		}
		local := s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
		for _, p := range n.pods {
			if reach.Selects(&s, p) && reach.Ready(p) && (!local || w.isNode(p.Spec.NodeName, id)) {
				if check {
					return Doc{"State": "healthy"} // kube-proxy itself answers there
				}
				return w.answer(group, w.app(p.Namespace, p.Labels))
			}
		}
		break
	}
	return unhealthy("Target.FailedHealthChecks", "Health checks failed")
}

// isNode reports whether the node of a name is an instance.
func (w *World) isNode(name, instance string) bool {
	d, err := w.get(nodeKind, name)
	if err != nil {
		return false
	}
	node, err := Decode[corev1.Node](d)
	return err == nil && reach.Instance(&node) == instance
}

// instance is where an instance receives: its primary interface.
func (n *network) instance(id string) (reach.Host, bool) {
	for i := range n.interfaces {
		eni := &n.interfaces[i]
		if a := eni.Attachment; a == nil || a.InstanceId == nil || *a.InstanceId != id || *cmp.Or(a.DeviceIndex, new(int32)) != 0 || eni.PrivateIpAddress == nil {
			continue
		}
		h := reach.Host{Subnet: *cmp.Or(eni.SubnetId, new(string))}
		h.IP, _ = netip.ParseAddr(*eni.PrivateIpAddress)
		h.Groups = reach.GroupIDs(eni)
		return h, true
	}
	return reach.Host{}, false
}
