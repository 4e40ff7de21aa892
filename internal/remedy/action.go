package remedy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// An Action is one change to one object. The set is closed: readers names all
// of it.
type Action interface {
	Type() string    // name of the action in stored plans; never reused
	Command() string // the same change as a shell command
	Undo() Action    // the change that takes it back; nil if there is none
	Object() string  // the object that it changes, as "kind/id": one change at a time each
	Permission() string
}

// readers make an Action of what was stored under its type.
var readers = map[string]func([]byte) (Action, error){
	AuthorizeIngress{}.Type():       read[AuthorizeIngress],
	RevokeIngress{}.Type():          read[RevokeIngress],
	CreateRoute{}.Type():            read[CreateRoute],
	DeleteRoute{}.Type():            read[DeleteRoute],
	AssociateRouteTable{}.Type():    read[AssociateRouteTable],
	DisassociateRouteTable{}.Type(): read[DisassociateRouteTable],
	TagResource{}.Type():            read[TagResource],
	UntagResource{}.Type():          read[UntagResource],
	SetSelector{}.Type():            read[SetSelector],
	SetServicePort{}.Type():         read[SetServicePort],
	Annotate{}.Type():               read[Annotate],
	ScaleDeployment{}.Type():        read[ScaleDeployment],
	CreateACLEntry{}.Type():         read[CreateACLEntry],
	DeleteACLEntry{}.Type():         read[DeleteACLEntry],
	CreateNetworkPolicy{}.Type():    read[CreateNetworkPolicy],
	DeleteNetworkPolicy{}.Type():    read[DeleteNetworkPolicy],

	AuthorizeEgress{}.Type():             read[AuthorizeEgress],
	RevokeEgress{}.Type():                read[RevokeEgress],
	SetVPCAttribute{}.Type():             read[SetVPCAttribute],
	ModifyVPCEndpointPrivateDNS{}.Type(): read[ModifyVPCEndpointPrivateDNS],
	AssociateVPCWithZone{}.Type():        read[AssociateVPCWithZone],
	DisassociateVPCFromZone{}.Type():     read[DisassociateVPCFromZone],
	AssociateResolverRule{}.Type():       read[AssociateResolverRule],
	DisassociateResolverRule{}.Type():    read[DisassociateResolverRule],
	SetAddonConfiguration{}.Type():       read[SetAddonConfiguration],
	SetConfigMapKey{}.Type():             read[SetConfigMapKey],
	RestartWorkload{}.Type():             read[RestartWorkload],
	SetDNSOption{}.Type():                read[SetDNSOption],
	SetEnv{}.Type():                      read[SetEnv],
	SpreadReplicas{}.Type():              read[SpreadReplicas],
	CreatePodDisruptionBudget{}.Type():   read[CreatePodDisruptionBudget],
	DeletePodDisruptionBudget{}.Type():   read[DeletePodDisruptionBudget],
}

func read[A Action](b []byte) (Action, error) {
	var a A
	err := json.Unmarshal(b, &a)
	return a, err
}

// A Rule is one ingress rule of a security group: who may come in, and to
// what. Exactly one of FromGroup and FromCIDR is set.
type Rule struct {
	Group     string `json:"group"`
	Protocol  string `json:"protocol"` // tcp, udp, or "-1" for all
	FromPort  int32  `json:"fromPort"` // -1 with protocol "-1"
	ToPort    int32  `json:"toPort"`
	FromGroup string `json:"fromGroup,omitempty"`
	FromCIDR  string `json:"fromCIDR,omitempty"`
}

func (r Rule) flags() string {
	f := fmt.Sprintf("--group-id %s --protocol %s", r.Group, r.Protocol)
	switch {
	case r.Protocol == "-1":
	case r.FromPort == r.ToPort:
		f += fmt.Sprintf(" --port %d", r.FromPort)
	default:
		f += fmt.Sprintf(" --port %d-%d", r.FromPort, r.ToPort)
	}
	if r.FromGroup != "" {
		return f + " --source-group " + r.FromGroup
	}
	return f + " --cidr " + r.FromCIDR
}

// Object is the security group.
func (r Rule) Object() string { return "ec2/security-groups/" + r.Group }

// AuthorizeIngress adds a rule to a security group.
type AuthorizeIngress struct{ Rule }

func (AuthorizeIngress) Type() string { return "authorize-ingress" }
func (a AuthorizeIngress) Command() string {
	return "aws ec2 authorize-security-group-ingress " + a.flags()
}
func (a AuthorizeIngress) Undo() Action     { return RevokeIngress(a) }
func (AuthorizeIngress) Permission() string { return "ec2:AuthorizeSecurityGroupIngress" }

// RevokeIngress removes a rule from a security group.
type RevokeIngress struct{ Rule }

func (RevokeIngress) Type() string       { return "revoke-ingress" }
func (a RevokeIngress) Command() string  { return "aws ec2 revoke-security-group-ingress " + a.flags() }
func (a RevokeIngress) Undo() Action     { return AuthorizeIngress(a) }
func (RevokeIngress) Permission() string { return "ec2:RevokeSecurityGroupIngress" }

// CreateRoute sends what leaves for Destination through a NAT gateway.
type CreateRoute struct {
	RouteTable  string `json:"routeTable"`
	Destination string `json:"destination"`
	NATGateway  string `json:"natGateway"`
}

func (CreateRoute) Type() string { return "create-route" }
func (a CreateRoute) Command() string {
	return fmt.Sprintf("aws ec2 create-route --route-table-id %s --destination-cidr-block %s --nat-gateway-id %s", a.RouteTable, a.Destination, a.NATGateway)
}
func (a CreateRoute) Undo() Action     { return DeleteRoute(a) }
func (a CreateRoute) Object() string   { return "ec2/route-tables/" + a.RouteTable }
func (CreateRoute) Permission() string { return "ec2:CreateRoute" }

// DeleteRoute undoes a CreateRoute.
type DeleteRoute struct {
	RouteTable  string `json:"routeTable"`
	Destination string `json:"destination"`
	NATGateway  string `json:"natGateway"`
}

func (DeleteRoute) Type() string { return "delete-route" }
func (a DeleteRoute) Command() string {
	return fmt.Sprintf("aws ec2 delete-route --route-table-id %s --destination-cidr-block %s", a.RouteTable, a.Destination)
}
func (a DeleteRoute) Undo() Action     { return CreateRoute(a) }
func (a DeleteRoute) Object() string   { return "ec2/route-tables/" + a.RouteTable }
func (DeleteRoute) Permission() string { return "ec2:DeleteRoute" }

// AssociateRouteTable gives a subnet that has no association of its own, and
// so falls to the VPC's main table, a route table.
type AssociateRouteTable struct {
	RouteTable string `json:"routeTable"`
	Subnet     string `json:"subnet"`
}

func (AssociateRouteTable) Type() string { return "associate-route-table" }
func (a AssociateRouteTable) Command() string {
	return fmt.Sprintf("aws ec2 associate-route-table --route-table-id %s --subnet-id %s", a.RouteTable, a.Subnet)
}
func (a AssociateRouteTable) Undo() Action     { return DisassociateRouteTable(a) }
func (a AssociateRouteTable) Object() string   { return "ec2/subnets/" + a.Subnet }
func (AssociateRouteTable) Permission() string { return "ec2:AssociateRouteTable" }

// DisassociateRouteTable lets a subnet fall back to the VPC's main table.
type DisassociateRouteTable struct {
	RouteTable string `json:"routeTable"`
	Subnet     string `json:"subnet"`
}

func (DisassociateRouteTable) Type() string { return "disassociate-route-table" }
func (a DisassociateRouteTable) Command() string {
	return fmt.Sprintf("aws ec2 disassociate-route-table --association-id $(aws ec2 describe-route-tables --route-table-ids %s "+
		"--query \"RouteTables[].Associations[?SubnetId=='%s'].RouteTableAssociationId\" --output text)", a.RouteTable, a.Subnet)
}
func (a DisassociateRouteTable) Undo() Action     { return AssociateRouteTable(a) }
func (a DisassociateRouteTable) Object() string   { return "ec2/subnets/" + a.Subnet }
func (DisassociateRouteTable) Permission() string { return "ec2:DisassociateRouteTable" }

// TagResource sets a tag on an EC2 resource. Before is the value that it
// replaces; nil when the tag is new.
type TagResource struct {
	Resource string  `json:"resource"` // id, such as subnet-0a1
	Key      string  `json:"key"`
	Value    string  `json:"value"`
	Before   *string `json:"before,omitempty"`
}

func (TagResource) Type() string { return "tag-resource" }
func (a TagResource) Command() string {
	return fmt.Sprintf("aws ec2 create-tags --resources %s --tags %s", a.Resource, quote("Key="+a.Key+",Value="+a.Value))
}
func (a TagResource) Undo() Action {
	if a.Before != nil {
		return TagResource{Resource: a.Resource, Key: a.Key, Value: *a.Before, Before: &a.Value}
	}
	return UntagResource{Resource: a.Resource, Key: a.Key, Value: a.Value}
}
func (a TagResource) Object() string   { return "ec2/resources/" + a.Resource }
func (TagResource) Permission() string { return "ec2:CreateTags" }

// UntagResource removes a tag if it still has the given value.
type UntagResource struct {
	Resource string `json:"resource"`
	Key      string `json:"key"`
	Value    string `json:"value"`
}

func (UntagResource) Type() string { return "untag-resource" }
func (a UntagResource) Command() string {
	return fmt.Sprintf("aws ec2 delete-tags --resources %s --tags %s", a.Resource, quote("Key="+a.Key+",Value="+a.Value))
}
func (a UntagResource) Undo() Action {
	return TagResource{Resource: a.Resource, Key: a.Key, Value: a.Value}
}
func (a UntagResource) Object() string   { return "ec2/resources/" + a.Resource }
func (UntagResource) Permission() string { return "ec2:DeleteTags" }

// An ACLEntry is one rule of a network ACL that allows.
type ACLEntry struct {
	ACL      string `json:"acl"`
	Number   int32  `json:"number"` // rules count in this order, and the first that matches decides
	Egress   bool   `json:"egress"`
	Protocol string `json:"protocol"` // tcp or udp
	FromPort int32  `json:"fromPort"`
	ToPort   int32  `json:"toPort"`
	CIDR     string `json:"cidr"` // of the other side, IPv4 or IPv6
}

// Object is the network ACL.
func (e ACLEntry) Object() string { return "ec2/network-acls/" + e.ACL }

// IsIPv6 reports whether the other side's block is one of IPv6 addresses.
func (e ACLEntry) IsIPv6() bool { return strings.Contains(e.CIDR, ":") }

func (e ACLEntry) flags() string {
	way := "--ingress"
	if e.Egress {
		way = "--egress"
	}
	return fmt.Sprintf("--network-acl-id %s %s --rule-number %d", e.ACL, way, e.Number)
}

// CreateACLEntry adds a rule that allows to a network ACL, under a number
// that no rule of that direction has.
type CreateACLEntry struct{ ACLEntry }

func (CreateACLEntry) Type() string { return "create-network-acl-entry" }
func (a CreateACLEntry) Command() string {
	block := "--cidr-block"
	if a.IsIPv6() {
		block = "--ipv6-cidr-block"
	}
	return fmt.Sprintf("aws ec2 create-network-acl-entry %s --protocol %s --port-range From=%d,To=%d %s %s --rule-action allow", a.flags(), a.Protocol, a.FromPort, a.ToPort, block, a.CIDR)
}
func (a CreateACLEntry) Undo() Action     { return DeleteACLEntry(a) }
func (CreateACLEntry) Permission() string { return "ec2:CreateNetworkAclEntry" }

// DeleteACLEntry takes away a rule that CreateACLEntry added.
type DeleteACLEntry struct{ ACLEntry }

func (DeleteACLEntry) Type() string       { return "delete-network-acl-entry" }
func (a DeleteACLEntry) Command() string  { return "aws ec2 delete-network-acl-entry " + a.flags() }
func (a DeleteACLEntry) Undo() Action     { return CreateACLEntry(a) }
func (DeleteACLEntry) Permission() string { return "ec2:DeleteNetworkAclEntry" }

// SetSelector changes which pods a Service sends to.
type SetSelector struct {
	Namespace string            `json:"namespace"`
	Service   string            `json:"service"`
	Selector  map[string]string `json:"selector"`
	Before    map[string]string `json:"before"`
}

func (SetSelector) Type() string { return "set-selector" }
func (a SetSelector) Command() string {
	return fmt.Sprintf("kubectl -n %s patch service %s --type=merge -p %s", a.Namespace, a.Service, quote(string(a.Patch())))
}

// Patch is the JSON merge patch (RFC 7386) that performs a: keys that only
// the former selector has become null.
func (a SetSelector) Patch() []byte {
	sel := map[string]any{}
	for k := range a.Before {
		sel[k] = nil
	}
	for k, v := range a.Selector {
		sel[k] = v
	}
	return mustJSON(map[string]any{"spec": map[string]any{"selector": sel}})
}
func (a SetSelector) Undo() Action {
	return SetSelector{Namespace: a.Namespace, Service: a.Service, Selector: a.Before, Before: a.Selector}
}
func (a SetSelector) Object() string   { return "kube/services/" + a.Namespace + "/" + a.Service }
func (SetSelector) Permission() string { return "patch services" }

// A PortTarget is where one port of a Service leads.
type PortTarget struct {
	Protocol   string             `json:"protocol"` // TCP, UDP or SCTP
	TargetPort intstr.IntOrString `json:"targetPort"`
}

// SetServicePort changes where one port of a Service leads: to another port of
// the same pods, or with another protocol.
type SetServicePort struct {
	Namespace string     `json:"namespace"`
	Service   string     `json:"service"`
	Index     int        `json:"index"` // in spec.ports
	Port      int32      `json:"port"`  // the number that clients use: tells that Index still is this port
	To        PortTarget `json:"to"`
	Before    PortTarget `json:"before"`
}

func (SetServicePort) Type() string { return "set-service-port" }

// Command is a JSON patch (RFC 6902) that fails when the port is not what it
// was: its tests come first.
func (a SetServicePort) Command() string {
	type op struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	at := fmt.Sprintf("/spec/ports/%d/", a.Index)
	ops := []op{{"test", at + "port", a.Port}}
	if a.To.Protocol != a.Before.Protocol {
		ops = append(ops, op{"replace", at + "protocol", a.To.Protocol})
	}
	if a.To.TargetPort != a.Before.TargetPort {
		ops = append(ops, op{"replace", at + "targetPort", a.To.TargetPort})
	}
	return fmt.Sprintf("kubectl -n %s patch service %s --type=json -p %s", a.Namespace, a.Service, quote(string(mustJSON(ops))))
}
func (a SetServicePort) Undo() Action {
	a.To, a.Before = a.Before, a.To
	return a
}
func (a SetServicePort) Object() string   { return "kube/services/" + a.Namespace + "/" + a.Service }
func (SetServicePort) Permission() string { return "patch services" }

// Annotate sets, or with a nil value removes, annotations of an Ingress or a
// Service. Before holds the former values; nil where there was none.
type Annotate struct {
	Resource  string             `json:"resource"` // ingresses or services
	Namespace string             `json:"namespace"`
	Name      string             `json:"name"`
	Values    map[string]*string `json:"values"`
	Before    map[string]*string `json:"before"`
}

func (Annotate) Type() string { return "annotate" }
func (a Annotate) Command() string {
	var kv []string
	for _, k := range slices.Sorted(maps.Keys(a.Values)) {
		if v := a.Values[k]; v != nil {
			kv = append(kv, quote(k+"="+*v))
		} else {
			kv = append(kv, quote(k+"-"))
		}
	}
	return fmt.Sprintf("kubectl -n %s annotate %s %s %s --overwrite", a.Namespace, a.Resource, a.Name, strings.Join(kv, " "))
}

// Patch is the JSON merge patch (RFC 7386) that performs a.
func (a Annotate) Patch() []byte {
	return mustJSON(map[string]any{"metadata": map[string]any{"annotations": a.Values}})
}
func (a Annotate) Undo() Action {
	return Annotate{Resource: a.Resource, Namespace: a.Namespace, Name: a.Name, Values: a.Before, Before: a.Values}
}
func (a Annotate) Object() string     { return "kube/" + a.Resource + "/" + a.Namespace + "/" + a.Name }
func (a Annotate) Permission() string { return "patch " + a.Resource }

// ScaleDeployment changes how many replicas a Deployment asks for.
type ScaleDeployment struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	From      int32  `json:"from"`
	To        int32  `json:"to"`
}

func (ScaleDeployment) Type() string { return "scale-deployment" }
func (a ScaleDeployment) Command() string {
	return fmt.Sprintf("kubectl -n %s scale deployment/%s --current-replicas=%d --replicas=%d", a.Namespace, a.Name, a.From, a.To)
}
func (a ScaleDeployment) Undo() Action {
	return ScaleDeployment{Namespace: a.Namespace, Name: a.Name, From: a.To, To: a.From}
}
func (a ScaleDeployment) Object() string   { return "kube/deployments/" + a.Namespace + "/" + a.Name }
func (ScaleDeployment) Permission() string { return "update deployments/scale" }

// ManagedBy is the label that marks the objects which the bot made; its
// undoing deletes none without it.
const ManagedBy = "app.kubernetes.io/managed-by"

// CreateNetworkPolicy adds a policy. Policies add up, so a new one only
// allows more to the pods that another one already restricts.
type CreateNetworkPolicy struct {
	Namespace string                         `json:"namespace"`
	Name      string                         `json:"name"`
	Spec      networkingv1.NetworkPolicySpec `json:"spec"`
}

func (CreateNetworkPolicy) Type() string { return "create-networkpolicy" }

// Manifest is the object that a creates.
func (a CreateNetworkPolicy) Manifest() *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: a.Name, Labels: map[string]string{ManagedBy: "hopwise"}},
		Spec:       a.Spec,
	}
}
func (a CreateNetworkPolicy) Command() string {
	return fmt.Sprintf("kubectl -n %s create -f - <<<%s", a.Namespace, quote(string(mustJSON(a.Manifest()))))
}
func (a CreateNetworkPolicy) Undo() Action { return DeleteNetworkPolicy(a) }
func (a CreateNetworkPolicy) Object() string {
	return "kube/networkpolicies/" + a.Namespace + "/" + a.Name
}
func (CreateNetworkPolicy) Permission() string {
	return "create networkpolicies"
}

// DeleteNetworkPolicy removes a policy that CreateNetworkPolicy made.
type DeleteNetworkPolicy struct {
	Namespace string                         `json:"namespace"`
	Name      string                         `json:"name"`
	Spec      networkingv1.NetworkPolicySpec `json:"spec"`
}

func (DeleteNetworkPolicy) Type() string { return "delete-networkpolicy" }
func (a DeleteNetworkPolicy) Command() string {
	return fmt.Sprintf("kubectl -n %s delete networkpolicy %s", a.Namespace, a.Name)
}
func (a DeleteNetworkPolicy) Undo() Action { return CreateNetworkPolicy(a) }
func (a DeleteNetworkPolicy) Object() string {
	return "kube/networkpolicies/" + a.Namespace + "/" + a.Name
}
func (DeleteNetworkPolicy) Permission() string {
	return "delete networkpolicies"
}

// quote makes s one word for a POSIX shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,@%+", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("remedy: %T does not marshal: %v", v, err)) // a bug: plain data only
	}
	return b
}
