package world

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// enough is how many free addresses a subnet must have before pods get some
// of it: with fewer the warm pools of its nodes take what is left.
const enough = 10

// settleAddresses lets pods start that waited for an address, when a subnet
// that had none for them has some now: it got room, or a tag.
func (w *World) settleAddresses(touched []touch) {
	opened := map[string]bool{}
	for _, t := range of(touched, subnetKind) {
		if was, is := t.was(), w.is(t); is != nil && gives(is) && (was == nil || !gives(was) || forPods(is) && !forPods(was)) {
			opened[t.id] = true
		}
	}
	settings := len(of(touched, daemonSetKind)) > 0
	if len(opened) == 0 && !settings {
		return
	}
	for _, pod := range w.all(podKind) {
		if !w.waitsForIP(pod) {
			continue
		}
		node, err := w.get(nodeKind, text(pod, "spec", "nodeName"))
		if err != nil {
			continue
		}
		if s := w.subnetFor(node); s != nil && (opened[text(s, "SubnetId")] || settings && forPods(s)) {
			w.start(pod, node)
		}
	}
}

// gives reports whether a subnet has addresses for pods.
func gives(subnet Doc) bool { return number(subnet, 0, "AvailableIpAddressCount") >= enough }

// forPods reports whether a subnet is tagged for the VPC CNI.
func forPods(subnet Doc) bool {
	return slices.ContainsFunc(list(subnet, "Tags"), func(t Doc) bool { return text(t, "Key") == "kubernetes.io/role/cni" && text(t, "Value") != "0" })
}

// waitsForIP reports whether a pod has a node and is kept from starting by
// nothing but the lack of an address.
func (w *World) waitsForIP(pod Doc) bool {
	if text(pod, "spec", "nodeName") == "" || text(pod, "status", "podIP") != "" || text(pod, "status", "phase") != "Pending" || at(pod, "spec", "hostNetwork") == true {
		return false
	}
	for _, e := range w.all(eventKind) {
		if text(e, "reason") == "FailedCreatePodSandBox" && text(e, "involvedObject", "name") == text(pod, "metadata", "name") &&
			text(e, "metadata", "namespace") == text(pod, "metadata", "namespace") && strings.Contains(text(e, "message"), "failed to assign an IP address") {
			return true
		}
	}
	return false
}

// attached are a node's interfaces, primary first.
func (w *World) attached(node Doc) []Doc {
	provider := text(node, "spec", "providerID")
	instance := provider[strings.LastIndex(provider, "/")+1:]
	var out []Doc
	for _, eni := range w.all(interfaceKind) {
		if instance != "" && text(eni, "Attachment", "InstanceId") == instance {
			out = append(out, eni)
		}
	}
	slices.SortStableFunc(out, func(a, b Doc) int {
		return number(a, 0, "Attachment", "DeviceIndex") - number(b, 0, "Attachment", "DeviceIndex")
	})
	return out
}

// subnetFor is a subnet that can give a node's pods an address, or nil: one
// of its interfaces', else one of its zone that is tagged for the CNI.
func (w *World) subnetFor(node Doc) Doc {
	mine := w.attached(node)
	var zone, vpc string
	for _, eni := range mine {
		s, err := w.get(subnetKind, text(eni, "SubnetId"))
		if err != nil {
			continue
		}
		zone, vpc = text(s, "AvailabilityZone"), text(s, "VpcId")
		if gives(s) {
			return s
		}
	}
	if !w.discoversSubnets() || len(mine) == 0 {
		return nil
	}
	for _, s := range w.all(subnetKind) {
		if forPods(s) && gives(s) && text(s, "AvailabilityZone") == zone && text(s, "VpcId") == vpc {
			return s
		}
	}
	return nil
}

// discoversSubnets reports whether the VPC CNI looks for tagged subnets.
func (w *World) discoversSubnets() bool {
	ds, err := w.get(daemonSetKind, "kube-system/aws-node")
	if err != nil {
		return false
	}
	for _, c := range list(ds, "spec", "template", "spec", "containers") {
		for _, e := range list(c, "env") {
			name, value := text(e, "name"), strings.ToLower(text(e, "value"))
			if name == "ENABLE_SUBNET_DISCOVERY" && value == "false" || name == "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG" && value == "true" {
				return false
			}
		}
	}
	return true
}

// takeIP gives a node one more address, on an interface in the subnet that
// has room; the interface is made if the node has none there.
func (w *World) takeIP(node Doc) (string, bool) {
	subnet := w.subnetFor(node)
	if subnet == nil {
		return "", false
	}
	mine := w.attached(node)
	i := slices.IndexFunc(mine, func(e Doc) bool { return text(e, "SubnetId") == text(subnet, "SubnetId") })
	var eni Doc
	if i >= 0 {
		eni = mine[i]
	} else {
		eni = w.newInterface(mine, subnet)
	}
	ip, ok := w.freeIP(subnet, eni)
	if !ok {
		return "", false
	}
	addAddress(eni, ip, false)
	taken := 1
	if i < 0 {
		taken = 2 // the interface's own
	}
	w.write(interfaceKind, decode(encode(eni)))
	w.countFree(text(subnet, "SubnetId"), -taken)
	return ip, true
}

// newInterface is a further interface of a node, like its primary one but in
// another subnet. It is not stored yet.
func (w *World) newInterface(mine []Doc, subnet Doc) Doc {
	first := mine[0]
	id := fmt.Sprintf("%x", word(fmt.Sprint(text(first, "NetworkInterfaceId"), w.version), 8)) + "0"
	device := 0
	for _, e := range mine {
		device = max(device, number(e, 0, "Attachment", "DeviceIndex"))
	}
	instance := text(first, "Attachment", "InstanceId")
	eni := decode(encode(Doc{
		"NetworkInterfaceId": "eni-" + id, "Status": "in-use", "InterfaceType": "interface", "Description": "aws-K8S-" + instance,
		"SubnetId": text(subnet, "SubnetId"), "VpcId": text(subnet, "VpcId"), "AvailabilityZone": text(subnet, "AvailabilityZone"), "OwnerId": text(first, "OwnerId"),
		"SourceDestCheck": true, "RequesterManaged": false, "Groups": first["Groups"],
		"Attachment": Doc{"AttachmentId": "eni-attach-" + id, "InstanceId": instance, "InstanceOwnerId": text(first, "OwnerId"), "DeviceIndex": device + 1, "Status": "attached", "DeleteOnTermination": true, "AttachTime": w.stamp()},
		"TagSet":     []any{Doc{"Key": "node.k8s.amazonaws.com/instance_id", "Value": instance}},
	}))
	if ip, ok := w.freeIP(subnet, nil); ok {
		eni["PrivateIpAddress"] = ip
		addAddress(eni, ip, true)
	}
	return eni
}

func addAddress(eni Doc, ip string, primary bool) {
	addresses, _ := eni["PrivateIpAddresses"].([]any)
	eni["PrivateIpAddresses"] = append(addresses, Doc{"PrivateIpAddress": ip, "Primary": primary})
}

// freeIP is the lowest address of a subnet that no interface has; AWS keeps
// the first four and the last for itself. extra is an interface that is not
// stored yet.
func (w *World) freeIP(subnet, extra Doc) (string, bool) {
	p, err := netip.ParsePrefix(text(subnet, "CidrBlock"))
	if err != nil {
		return "", false
	}
	used := map[string]bool{}
	for _, eni := range append(w.all(interfaceKind), extra) {
		for _, a := range list(eni, "PrivateIpAddresses") {
			used[text(a, "PrivateIpAddress")] = true
		}
	}
	ip := p.Masked().Addr()
	for range 4 {
		ip = ip.Next()
	}
	for ; p.Contains(ip.Next()); ip = ip.Next() {
		if !used[ip.String()] {
			return ip.String(), true
		}
	}
	return "", false
}

// releaseIP takes a pod's address off its interface.
func (w *World) releaseIP(pod Doc) {
	ip := text(pod, "status", "podIP")
	if ip == "" || at(pod, "spec", "hostNetwork") == true {
		return
	}
	for _, eni := range w.all(interfaceKind) {
		kept := []any{}
		for _, a := range list(eni, "PrivateIpAddresses") {
			if text(a, "PrivateIpAddress") != ip || a["Primary"] == true {
				kept = append(kept, a)
			}
		}
		if len(kept) < len(list(eni, "PrivateIpAddresses")) {
			eni["PrivateIpAddresses"] = kept
			w.write(interfaceKind, eni)
			w.countFree(text(eni, "SubnetId"), 1)
		}
	}
}

// countFree changes a subnet's count of free addresses.
func (w *World) countFree(subnet string, by int) {
	s, err := w.get(subnetKind, subnet)
	if err != nil {
		return
	}
	s["AvailableIpAddressCount"] = float64(max(0, number(s, 0, "AvailableIpAddressCount")+by))
	w.write(subnetKind, s)
}

// internalIP is a node's address.
func internalIP(node Doc) string {
	for _, a := range list(node, "status", "addresses") {
		if text(a, "type") == "InternalIP" {
			return text(a, "address")
		}
	}
	return ""
}
