package facts

import (
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PodLog is what a container of CoreDNS, of the cache on the nodes or of
// external-dns wrote, redacted. Its lines begin with their time (RFC 3339), as
// kubectl logs --timestamps prints them; only the newest lines are there.
type PodLog struct {
	metav1.ObjectMeta `json:"metadata"` // namespace and name of the pod
	Container         string            `json:"container"`
	Text              string            `json:"text,omitempty"`
	Previous          string            `json:"previous,omitempty"` // of the instance that ended before this one
}

// PodMetric is what a pod of CoreDNS or of external-dns tells of itself, in
// Prometheus' text format. Counters count from the start of its process.
type PodMetric struct {
	metav1.ObjectMeta `json:"metadata"` // namespace and name of the pod
	Text              string            `json:"text"`
}

// KubeletConfig is the part of a kubelet's configuration (its /configz) that
// decides what stands in the resolv.conf of pods
// (k8s.io/kubelet/config/v1beta1 KubeletConfiguration).
type KubeletConfig struct {
	metav1.ObjectMeta `json:"metadata"` // name of the node
	KubeletConfig     struct {
		ClusterDNS     []string `json:"clusterDNS,omitempty"`
		ClusterDomain  string   `json:"clusterDomain,omitempty"`
		ResolverConfig string   `json:"resolvConf,omitempty"` // path on the node; "" for none
	} `json:"kubeletconfig"`
}

// VPCAttributes are the settings of a VPC that DescribeVpcs does not tell.
type VPCAttributes struct {
	VpcId              string
	EnableDnsSupport   *ec2types.AttributeBooleanValue // the resolver of the VPC answers
	EnableDnsHostnames *ec2types.AttributeBooleanValue // private zones and endpoint names work
}

// HostedZone is a Route 53 zone of the account, or of another one when it is
// associated with the cluster's VPC.
type HostedZone struct {
	r53types.HostedZone
	// VPCs has the cluster's VPC when the private zone answers there; the
	// other VPCs of a zone are not read.
	VPCs  []r53types.VPC            `json:",omitempty"`
	Owner *r53types.HostedZoneOwner `json:",omitempty"` // of a zone that is not the account's: an account, or a service such as vpce.amazonaws.com
}

// RecordSets are the records of one hosted zone. Zones of other accounts
// cannot be read.
type RecordSets struct {
	HostedZoneId       string // without "/hostedzone/"
	ResourceRecordSets []r53types.ResourceRecordSet
	Partial            bool `json:",omitempty"` // there are more than were read: a missing name proves nothing
}

// ResolverEndpoint is a Route 53 Resolver endpoint with its addresses.
type ResolverEndpoint struct {
	resolvertypes.ResolverEndpoint
	IpAddresses []resolvertypes.IpAddressResponse
}

// FirewallRuleGroup is a group of DNS Firewall rules in its association with
// the cluster's VPC.
type FirewallRuleGroup struct {
	resolvertypes.FirewallRuleGroupAssociation
	FailOpen      resolvertypes.FirewallFailOpenStatus `json:",omitempty"` // of the VPC: what happens when the firewall does not answer
	FirewallRules []FirewallRule
}

// FirewallRule is a rule of a FirewallRuleGroup.
type FirewallRule struct {
	resolvertypes.FirewallRule
	Domains []string `json:",omitempty"` // of its list; nil when AWS manages the list and does not tell
	Managed bool     `json:",omitempty"` // AWS manages the list
}
