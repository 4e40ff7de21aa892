// Package l3 holds the checks of addresses, subnets and routes.
package l3

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// Checks returns the checks of addresses and routes.
func Checks() []*diagnose.Check {
	return []*diagnose.Check{
		SubnetIPExhausted,
		PrivateSubnetNoDefaultRoute,
	}
}

// cniTag marks subnets for the VPC CNI: with value 1 it makes interfaces in
// them, with 0 it does not (amazon-vpc-cni-k8s README, ENABLE_SUBNET_DISCOVERY).
const cniTag = "kubernetes.io/role/cni"

// A cni is how the VPC CNI is set up.
type cni struct {
	known            bool // its DaemonSet was read
	discovery        bool // finds further subnets by cniTag
	custom           bool // custom networking: pods never use the primary interface
	prefixes         bool // prefix delegation: addresses come in blocks of 16
	externalSNAT     bool // pods' addresses leave the VPC's instances untranslated
	version, problem string
}

// cniOf reads the settings of the DaemonSet aws-node. Subnet discovery came
// with v1.18 and is on unless it was switched off.
func cniOf(daemonsets []appsv1.DaemonSet) cni {
	for _, d := range daemonsets {
		if d.Namespace != "kube-system" || d.Name != "aws-node" {
			continue
		}
		c := cni{known: true}
		for _, container := range d.Spec.Template.Spec.Containers {
			if container.Name != "aws-node" {
				continue
			}
			c.version = facts.Version(container.Image)
			c.custom = isTrue(container, "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG")
			c.prefixes = isTrue(container, "ENABLE_PREFIX_DELEGATION")
			c.externalSNAT = isTrue(container, "AWS_VPC_K8S_CNI_EXTERNALSNAT")
			c.problem = noDiscovery(container, c)
		}
		c.discovery = c.problem == ""
		return c
	}
	return cni{problem: "the DaemonSet kube-system/aws-node is not there, or was not read"}
}

func noDiscovery(container corev1.Container, c cni) string {
	var major, minor int
	_, err := fmt.Sscanf(c.version, "v%d.%d", &major, &minor)
	switch {
	case c.custom:
		return "custom networking is on, so subnets come from ENIConfigs"
	case err == nil && (major < 1 || major == 1 && minor < 18):
		return "VPC CNI " + c.version + " does not look for tagged subnets; v1.18 does"
	case err != nil:
		return "the version of the VPC CNI is not known"
	case strings.EqualFold(facts.Setting(container, "ENABLE_SUBNET_DISCOVERY"), "false"):
		return "ENABLE_SUBNET_DISCOVERY is false"
	}
	return ""
}

func isTrue(c corev1.Container, name string) bool {
	return strings.EqualFold(facts.Setting(c, name), "true")
}

// A node is one with the interfaces that carry its pods, primary first.
type node struct {
	*corev1.Node
	interfaces []ec2types.NetworkInterface
}

func (n node) ref() facts.Ref { return facts.Ref{Kind: facts.Nodes.Kind(), ID: n.Name} }

// nodesOf returns the nodes of which an interface is known.
func nodesOf(nodes []corev1.Node, interfaces []ec2types.NetworkInterface) []node {
	var out []node
	for i := range nodes {
		if mine := reach.InterfacesOf(&nodes[i], interfaces); len(mine) > 0 {
			out = append(out, node{&nodes[i], mine})
		}
	}
	slices.SortFunc(out, func(a, b node) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func byID(subnets []ec2types.Subnet) map[string]ec2types.Subnet {
	m := map[string]ec2types.Subnet{}
	for _, s := range subnets {
		m[facts.Val(s.SubnetId)] = s
	}
	return m
}

func tag(tags []ec2types.Tag, key string) (string, bool) {
	for _, t := range tags {
		if facts.Val(t.Key) == key {
			return facts.Val(t.Value), true
		}
	}
	return "", false
}

func subnetRef(id string) facts.Ref { return facts.Ref{Kind: facts.Subnets.Kind(), ID: id} }

func podRef(p *corev1.Pod) facts.Ref {
	return facts.Ref{Kind: facts.Pods.Kind(), ID: p.Namespace + "/" + p.Name}
}
