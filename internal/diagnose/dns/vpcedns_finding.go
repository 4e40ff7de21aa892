package dns

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// closed are the subnets of nodes that have no way out, with their nodes.
// A node whose interfaces were not read is left out.
func (x exits) closed(nodes []corev1.Node, interfaces []ec2types.NetworkInterface) map[string][]string {
	out := map[string][]string{}
	for i := range nodes {
		for _, n := range reach.InterfacesOf(&nodes[i], interfaces) {
			subnet := facts.Val(n.SubnetId)
			if subnet != "" && !x.wayOut(subnet) && !slices.Contains(out[subnet], nodes[i].Name) {
				out[subnet] = append(out[subnet], nodes[i].Name)
			}
		}
	}
	return out
}

// failsBy are what events say of calls to a host that failed.
func failsBy(events []corev1.Event, host string) string {
	for _, e := range events {
		if e.Type != corev1.EventTypeNormal && strings.Contains(e.Message, host) && (strings.Contains(e.Message, "timeout") || strings.Contains(e.Message, "timed out") || strings.Contains(e.Message, "deadline exceeded") || strings.Contains(e.Message, "no such host")) {
			return facts.Redact(e.Message)
		}
	}
	return ""
}

func (d vpcDNS) notPrivate(e *ec2types.VpcEndpoint, host string, n needed, closed map[string][]string, event string) diagnose.Finding {
	id := facts.Val(e.VpcEndpointId)
	f := diagnose.Finding{
		Severity: diagnose.Risk,
		Subject:  facts.Ref{Kind: facts.VPCEndpoints.Kind(), ID: id},
		Affects:  append([]facts.Ref{recordRef(host)}, n.refs()...),
		Claim:    fmt.Sprintf("VPC endpoint %s for %s has private DNS off, so %s leads to public addresses", id, facts.Val(e.ServiceName), host),
		Evidence: append([]diagnose.Evidence{{Fact: "ec2/vpc-endpoints/" + id + " PrivateDnsEnabled", Got: "false", Want: "true", Command: "aws ec2 describe-vpc-endpoints --vpc-endpoint-ids " + id + " --query 'VpcEndpoints[].PrivateDnsEnabled'"}}, n.evidence()...),
	}
	subnets := slices.Sorted(maps.Keys(closed))
	if len(subnets) > 0 {
		nodes := 0
		for _, s := range subnets {
			nodes += len(closed[s])
			f.Affects = append(f.Affects, facts.Ref{Kind: facts.Subnets.Kind(), ID: s})
		}
		f.Claim += fmt.Sprintf(", to which %s in %s have no route", diagnose.Count(nodes, "node"), diagnose.Some(subnets))
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: "route table of " + subnets[0], Got: "no route to the internet", Want: "a private address for " + host, Command: "aws ec2 describe-route-tables --filters Name=association.subnet-id,Values=" + subnets[0]})
		if len(n) > 0 || event != "" {
			f.Severity = diagnose.Degraded
		}
	}
	if event != "" {
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: "kube/events", Got: event, Want: "an answer of " + host, Command: "kubectl get events -A | grep -F " + host})
	}
	r := remedy.Remedy{Title: "Switch private DNS on for the endpoint", Why: "The VPC's resolver then answers " + host + " with the endpoint's addresses, for the whole VPC: its security group has to admit all who call the service.", Risk: remedy.Disruptive}
	if d.hostnamesOff() {
		r.Actions = append(r.Actions, remedy.SetVPCAttribute{VPC: d.id, Attribute: remedy.EnableDNSHostnames, To: true})
	}
	r.Actions = append(r.Actions, remedy.ModifyVPCEndpointPrivateDNS{Endpoint: id, To: true})
	f.Remedies = []remedy.Remedy{r}
	return f
}
