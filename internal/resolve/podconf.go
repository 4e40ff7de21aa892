package resolve

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ClusterDNS is what a kubelet knows when it writes a pod's resolv.conf.
type ClusterDNS struct {
	Addresses       []string // of the cluster's DNS (clusterDNS); without any, pods get the node's
	Domain          string   // clusterDomain
	NodeSearch      []string // of the node's own resolv.conf
	NodeNameservers []string
	NodeOptions     []string
}

// ForPod is the resolv.conf that the kubelet writes for a pod
// (kubernetes, pkg/kubelet/network/dns).
func ForPod(pod *corev1.Pod, cluster ClusterDNS) ResolvConf {
	c := ResolvConf{Ndots: defaultNdots, Timeout: defaultTimeout, Attempts: defaultAttempts}
	switch {
	case pod.Spec.DNSPolicy == corev1.DNSNone:
	case asksCluster(pod) && len(cluster.Addresses) > 0:
		c.Nameservers = append(c.Nameservers, cluster.Addresses...)
		c.Search = clusterSearch(pod.Namespace, cluster)
		c.Options = []string{clusterNdots}
	default:
		if asksCluster(pod) {
			c.note("the kubelet has no clusterDNS: the pod gets the node's resolv.conf instead")
		}
		c.Nameservers = append(c.Nameservers, cluster.NodeNameservers...)
		c.Search = append(c.Search, cluster.NodeSearch...)
		c.Options = append(c.Options, cluster.NodeOptions...)
	}
	if pod.Spec.DNSConfig != nil {
		c.merge(pod.Spec.DNSConfig)
	}
	c.limit()
	c.settle()
	return c
}

// asksCluster reports whether a pod's policy sends it to the cluster's DNS.
// On the host's network, ClusterFirst does not.
func asksCluster(pod *corev1.Pod) bool {
	switch pod.Spec.DNSPolicy {
	case corev1.DNSClusterFirstWithHostNet:
		return true
	case corev1.DNSClusterFirst, "":
		return !pod.Spec.HostNetwork
	}
	return false
}

func clusterSearch(namespace string, cluster ClusterDNS) []string {
	var out []string
	if cluster.Domain != "" {
		out = []string{namespace + ".svc." + cluster.Domain, "svc." + cluster.Domain, cluster.Domain}
	}
	return unique(append(out, cluster.NodeSearch...))
}

// merge adds a pod's dnsConfig: servers and domains at the end, options in
// the place of those of the same name.
func (c *ResolvConf) merge(more *corev1.PodDNSConfig) {
	c.Nameservers = unique(append(c.Nameservers, more.Nameservers...))
	c.Search = unique(append(c.Search, more.Searches...))
	for _, o := range more.Options {
		text := o.Name
		if o.Value != nil && *o.Value != "" {
			text += ":" + *o.Value
		}
		kept := c.Options[:0:0]
		for _, old := range c.Options {
			if name, _, _ := strings.Cut(old, ":"); name != o.Name {
				kept = append(kept, old)
			}
		}
		c.Options = append(kept, text)
	}
}

// limit cuts the search list as the kubelet does, which says so in an event
// (DNSConfigForming).
func (c *ResolvConf) limit() {
	if len(c.Search) > maxSearch {
		c.note("the kubelet writes only the first 32 search domains")
		c.Search = c.Search[:maxSearch]
	}
	for len(strings.Join(c.Search, " ")) > maxSearchChars {
		c.note("the kubelet leaves " + c.Search[len(c.Search)-1] + " out: the search list is longer than 2048 characters")
		c.Search = c.Search[:len(c.Search)-1]
	}
}
