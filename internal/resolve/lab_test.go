package resolve

import (
	"slices"
	"testing"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

const (
	shopVPC      = "vpc-0a1b2c3d4e5f60001"
	publicZone   = "Z0123456SHOPPUBLIC01"
	internalZone = "Z0123456SHOPINTERN01"
)

func ptr[T any](v T) *T { return &v }

// shop is the recorded healthy cluster.
func shop(t testing.TB) *World {
	t.Helper()
	w, err := world.Load("base-shop")
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return New(s.View(Needs, Wants))
}

// pod is one of the shop with a policy of its own.
func pod(policy corev1.DNSPolicy) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "client"}, Spec: corev1.PodSpec{DNSPolicy: policy, NodeName: "ip-10-0-10-21.eu-west-1.compute.internal"}}
}

func (w *World) set(configMap, corefile string) {
	w.ConfigMaps = slices.DeleteFunc(w.ConfigMaps, func(m corev1.ConfigMap) bool { return m.Name == configMap })
	w.ConfigMaps = append(w.ConfigMaps, corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: dnsNamespace, Name: configMap}, Data: map[string]string{"Corefile": corefile}})
}

func (w *World) add(s corev1.Service, hosts map[string]bool) {
	w.Services = append(w.Services, s)
	slice := discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name + "-x", Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}}, Ports: []discoveryv1.EndpointPort{{Name: ptr("tcp")}}}
	for ip, ready := range hosts {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: ptr(ready)}, Hostname: ptr("db-" + ip[len(ip)-1:])})
	}
	w.EndpointSlices = append(w.EndpointSlices, slice)
}

func service(namespace, name, clusterIP string) corev1.Service {
	s := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ServiceSpec{ClusterIP: clusterIP, Ports: []corev1.ServicePort{{Name: "tcp", Port: 5432}}}}
	return s
}

func external(name, to string) corev1.Service {
	s := service("shop", name, "")
	s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, to
	return s
}

// record puts a record into a zone.
func (w *World) record(zone string, r r53types.ResourceRecordSet) {
	for i := range w.Records {
		if w.Records[i].HostedZoneId == zone {
			w.Records[i].ResourceRecordSets = append(w.Records[i].ResourceRecordSets, r)
		}
	}
}

func rr(name string, t r53types.RRType, values ...string) r53types.ResourceRecordSet {
	s := r53types.ResourceRecordSet{Name: &name, Type: t}
	for _, v := range values {
		s.ResourceRecords = append(s.ResourceRecords, r53types.ResourceRecord{Value: &v})
	}
	return s
}

func aliased(name, zone, to string) r53types.ResourceRecordSet {
	return r53types.ResourceRecordSet{Name: &name, Type: r53types.RRTypeA, AliasTarget: &r53types.AliasTarget{DNSName: &to, HostedZoneId: &zone}}
}

func (w *World) rule(domain string, kind resolvertypes.RuleTypeOption, target string) {
	w.Rules = append(w.Rules, resolvertypes.ResolverRule{Id: ptr("rslvr-rr-" + domain), DomainName: &domain, RuleType: kind, TargetIps: []resolvertypes.TargetAddress{{Ip: &target}}})
	w.RuleAssociations = append(w.RuleAssociations, resolvertypes.ResolverRuleAssociation{ResolverRuleId: ptr("rslvr-rr-" + domain), VPCId: ptr(shopVPC), Status: resolvertypes.ResolverRuleAssociationStatusComplete})
}

func (w *World) block(rules ...facts.FirewallRule) {
	w.Firewall = []facts.FirewallRuleGroup{{FirewallRuleGroupAssociation: resolvertypes.FirewallRuleGroupAssociation{FirewallRuleGroupId: ptr("rslvr-frg-1"), VpcId: ptr(shopVPC)}, FirewallRules: rules}}
}

func guard(priority int32, action resolvertypes.Action, domains ...string) facts.FirewallRule {
	return facts.FirewallRule{FirewallRule: resolvertypes.FirewallRule{Name: ptr("rule"), Priority: &priority, Action: action, BlockResponse: resolvertypes.BlockResponseNxdomain}, Domains: domains, Managed: domains == nil}
}
