package facts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Key is a Kind whose facts have type T.
type Key[T any] struct {
	kind       Kind
	list       string // field that holds the list: "items" for kubectl, the AWS CLI's name else
	permission string
}

// Kind names the facts.
func (k Key[T]) Kind() Kind { return k.kind }

// Permission is what a reader must be allowed.
func (k Key[T]) Permission() string { return k.permission }

// The kinds of fact. A new one is a line here, a line in Needs and a reader
// in package collect.
var (
	Pods                = kube[corev1.Pod]("pods")
	Services            = kube[corev1.Service]("services")
	Nodes               = kube[corev1.Node]("nodes")
	Namespaces          = kube[corev1.Namespace]("namespaces")
	Events              = kube[corev1.Event]("events")
	EndpointSlices      = kube[discoveryv1.EndpointSlice]("endpointslices")
	Deployments         = kube[appsv1.Deployment]("deployments")
	DaemonSets          = kube[appsv1.DaemonSet]("daemonsets")
	StatefulSets        = kube[appsv1.StatefulSet]("statefulsets")
	Ingresses           = kube[networkingv1.Ingress]("ingresses")
	NetworkPolicies     = kube[networkingv1.NetworkPolicy]("networkpolicies")
	TargetGroupBindings = kube[TargetGroupBinding]("targetgroupbindings")

	ValidatingWebhooks    = kube[admissionv1.ValidatingWebhookConfiguration]("validatingwebhookconfigurations")
	MutatingWebhooks      = kube[admissionv1.MutatingWebhookConfiguration]("mutatingwebhookconfigurations")
	APIServices           = kube[APIService]("apiservices")
	SecurityGroupPolicies = kube[SecurityGroupPolicy]("securitygrouppolicies")
	CNINodes              = kube[CNINode]("cninodes")

	ServiceAccounts      = kube[corev1.ServiceAccount]("serviceaccounts")
	HPAs                 = kube[autoscalingv2.HorizontalPodAutoscaler]("horizontalpodautoscalers")
	PodDisruptionBudgets = kube[policyv1.PodDisruptionBudget]("poddisruptionbudgets")

	// ClusterRoles are those of the network's own components, by name.
	ClusterRoles = Key[rbacv1.ClusterRole]{"kube/clusterroles", "items", "get clusterroles"}

	// PodLogs and PodMetrics are those of CoreDNS, the cache on the nodes and
	// external-dns, of a few pods each.
	PodLogs    = Key[PodLog]{"kube/pod-logs", "items", "get pods/log"}
	PodMetrics = Key[PodMetric]{"kube/pod-metrics", "items", "get pods/proxy"}

	// KubeletConfigs are those of a few nodes of each group. The permission is
	// a strong one: a role without it is the normal case.
	KubeletConfigs = Key[KubeletConfig]{"kube/kubelet-configs", "items", "get nodes/proxy"}

	// ConfigMaps are those of kube-system that configure the network, by name:
	// reading all of them would need a permission that nobody should give.
	ConfigMaps = Key[corev1.ConfigMap]{"kube/configmaps", "items", "get configmaps"}

	Clusters          = Key[ekstypes.Cluster]{"eks/clusters", "clusters", "eks:DescribeCluster"}
	Addons            = Key[ekstypes.Addon]{"eks/addons", "addons", "eks:DescribeAddon"}
	Subnets           = Key[ec2types.Subnet]{"ec2/subnets", "Subnets", "ec2:DescribeSubnets"}
	VPCs              = Key[ec2types.Vpc]{"ec2/vpcs", "Vpcs", "ec2:DescribeVpcs"}
	RouteTables       = Key[ec2types.RouteTable]{"ec2/route-tables", "RouteTables", "ec2:DescribeRouteTables"}
	SecurityGroups    = Key[ec2types.SecurityGroup]{"ec2/security-groups", "SecurityGroups", "ec2:DescribeSecurityGroups"}
	NetworkInterfaces = Key[ec2types.NetworkInterface]{"ec2/network-interfaces", "NetworkInterfaces", "ec2:DescribeNetworkInterfaces"}
	NetworkACLs       = Key[ec2types.NetworkAcl]{"ec2/network-acls", "NetworkAcls", "ec2:DescribeNetworkAcls"}
	NATGateways       = Key[ec2types.NatGateway]{"ec2/nat-gateways", "NatGateways", "ec2:DescribeNatGateways"}
	Peerings          = Key[ec2types.VpcPeeringConnection]{"ec2/vpc-peering-connections", "VpcPeeringConnections", "ec2:DescribeVpcPeeringConnections"}
	VPCEndpoints      = Key[ec2types.VpcEndpoint]{"ec2/vpc-endpoints", "VpcEndpoints", "ec2:DescribeVpcEndpoints"}
	VPCAttribute      = Key[VPCAttributes]{"ec2/vpc-attributes", "VpcAttributes", "ec2:DescribeVpcAttribute"}
	DHCPOptions       = Key[ec2types.DhcpOptions]{"ec2/dhcp-options", "DhcpOptions", "ec2:DescribeDhcpOptions"}
	StaleGroups       = Key[ec2types.StaleSecurityGroup]{"ec2/stale-security-groups", "StaleSecurityGroupSet", "ec2:DescribeStaleSecurityGroups"}
	FargateProfiles   = Key[ekstypes.FargateProfile]{"eks/fargate-profiles", "fargateProfiles", "eks:DescribeFargateProfile"}
	Quotas            = Key[quotatypes.ServiceQuota]{"servicequotas/quotas", "Quotas", "servicequotas:GetServiceQuota"}
	LoadBalancers     = Key[elbtypes.LoadBalancer]{"elbv2/load-balancers", "LoadBalancers", "elasticloadbalancing:DescribeLoadBalancers"}
	TargetGroups      = Key[elbtypes.TargetGroup]{"elbv2/target-groups", "TargetGroups", "elasticloadbalancing:DescribeTargetGroups"}
	TargetHealths     = Key[TargetHealth]{"elbv2/target-health", "TargetHealth", "elasticloadbalancing:DescribeTargetHealth"}

	HostedZones              = Key[HostedZone]{"route53/hosted-zones", "HostedZones", "route53:ListHostedZones"}
	Records                  = Key[RecordSets]{"route53/record-sets", "RecordSets", "route53:ListResourceRecordSets"}
	ResolverRules            = Key[resolvertypes.ResolverRule]{"route53resolver/rules", "ResolverRules", "route53resolver:ListResolverRules"}
	ResolverRuleAssociations = Key[resolvertypes.ResolverRuleAssociation]{"route53resolver/rule-associations", "ResolverRuleAssociations", "route53resolver:ListResolverRuleAssociations"}
	ResolverEndpoints        = Key[ResolverEndpoint]{"route53resolver/endpoints", "ResolverEndpoints", "route53resolver:ListResolverEndpoints"}
	FirewallRuleGroups       = Key[FirewallRuleGroup]{"route53resolver/firewall-rule-groups", "FirewallRuleGroups", "route53resolver:ListFirewallRuleGroupAssociations"}
)

// Needs are all the kinds there are.
var Needs = []Need{
	Pods, Services, Nodes, Namespaces, Events, EndpointSlices, Deployments, DaemonSets, StatefulSets,
	Ingresses, NetworkPolicies, TargetGroupBindings,
	ValidatingWebhooks, MutatingWebhooks, APIServices, SecurityGroupPolicies, CNINodes, ConfigMaps,
	ServiceAccounts, HPAs, PodDisruptionBudgets, ClusterRoles, PodLogs, PodMetrics, KubeletConfigs,
	Clusters, Addons, FargateProfiles, Subnets, VPCs, RouteTables, SecurityGroups, NetworkInterfaces, NetworkACLs, NATGateways,
	Peerings, VPCEndpoints, LoadBalancers, TargetGroups, TargetHealths,
	VPCAttribute, DHCPOptions, StaleGroups, Quotas,
	HostedZones, Records, ResolverRules, ResolverRuleAssociations, ResolverEndpoints, FirewallRuleGroups,
}

func kube[T any](resource string) Key[T] {
	return Key[T]{Kind("kube/" + resource), "items", "list " + resource}
}

// TargetHealth is the answer of DescribeTargetHealth with the group it was
// asked for, which the answer itself does not name.
type TargetHealth struct {
	TargetGroupArn           string
	TargetHealthDescriptions []elbtypes.TargetHealthDescription
}

// TargetGroupBinding is the part of elbv2.k8s.aws/v1beta1 TargetGroupBinding
// that says which Service's pods a target group holds. The AWS Load Balancer
// Controller labels it with the Ingress or Service that it was made for:
// ingress.k8s.aws/stack-namespace and -name, service.k8s.aws/stack-...
// (kubernetes-sigs/aws-load-balancer-controller, apis/elbv2/v1beta1).
type TargetGroupBinding struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		TargetGroupARN string `json:"targetGroupARN"`
		TargetType     string `json:"targetType,omitempty"`
		ServiceRef     struct {
			Name string `json:"name"`
			Port any    `json:"port"` // number or name
		} `json:"serviceRef"`
	} `json:"spec"`
}

// APIService is the part of apiregistration.k8s.io/v1 APIService that says
// which Service answers for a group of the API.
type APIService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Group   string `json:"group,omitempty"`
		Version string `json:"version,omitempty"`
		Service *struct {
			Namespace string `json:"namespace,omitempty"`
			Name      string `json:"name,omitempty"`
			Port      *int32 `json:"port,omitempty"` // 443 when not set
		} `json:"service,omitempty"` // nil: the API server answers itself
		InsecureSkipTLSVerify bool   `json:"insecureSkipTLSVerify,omitempty"`
		CABundle              []byte `json:"caBundle,omitempty"`
		GroupPriorityMinimum  int32  `json:"groupPriorityMinimum"`
		VersionPriority       int32  `json:"versionPriority"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type               string      `json:"type"` // Available
			Status             string      `json:"status"`
			Reason             string      `json:"reason,omitempty"` // FailedDiscoveryCheck, MissingEndpoints, ServiceNotFound ...
			Message            string      `json:"message,omitempty"`
			LastTransitionTime metav1.Time `json:"lastTransitionTime,omitempty"`
		} `json:"conditions,omitempty"`
	} `json:"status,omitempty"`
}

// SecurityGroupPolicy is vpcresources.k8s.aws/v1beta1 SecurityGroupPolicy:
// which pods get security groups of their own, on a branch interface
// (aws/amazon-vpc-resource-controller-k8s, apis/vpcresources/v1beta1).
type SecurityGroupPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		PodSelector            *metav1.LabelSelector `json:"podSelector,omitempty"`
		ServiceAccountSelector *metav1.LabelSelector `json:"serviceAccountSelector,omitempty"`
		SecurityGroups         struct {
			Groups []string `json:"groupIds,omitempty"`
		} `json:"securityGroups,omitempty"`
	} `json:"spec"`
}

// CNINode is vpcresources.k8s.aws/v1alpha1 CNINode: what the VPC resource
// controller does for a node.
type CNINode struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Features []struct {
			Name  string `json:"name"` // SecurityGroupsForPods, CustomNetworking
			Value string `json:"value,omitempty"`
		} `json:"features,omitempty"`
		Tags map[string]string `json:"tags,omitempty"`
	} `json:"spec,omitempty"`
	Status map[string]any `json:"status,omitempty"`
}

// Decode reads facts from the JSON that kubectl or the AWS CLI prints: an
// object whose list field holds them. A missing list is an error, so that a
// misnamed field cannot read as "none".
func (k Key[T]) Decode(b []byte) (any, error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", k.kind, err)
	}
	raw, ok := doc[k.list]
	if !ok {
		return nil, fmt.Errorf("%s: no field %q that holds the list", k.kind, k.list)
	}
	list := []T{}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", k.kind, err)
	}
	return list, nil
}

// List is the name of the field that holds the list in kubectl's or the AWS
// CLI's answer.
func (k Key[T]) List() string { return k.list }

// IsKube reports whether facts of kind k come from the Kubernetes API.
func (k Kind) IsKube() bool { return strings.HasPrefix(string(k), "kube/") }

// Resource is the part of k after its service: "pods" of "kube/pods".
func (k Kind) Resource() string {
	_, r, _ := strings.Cut(string(k), "/")
	return r
}

// Strict returns an error if the JSON of one object has a field that T has
// not: a fixture with a typo must not read as a fact that is not there.
func (k Key[T]) Strict(b []byte) error {
	var v T
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode(&v)
}
