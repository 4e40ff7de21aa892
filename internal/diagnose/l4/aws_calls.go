package l4

import (
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// A privateEndpoint is an interface endpoint that the VPC's clients of an AWS
// service are sent to: it is available, and private DNS is on.
type privateEndpoint struct {
	id      string
	vpc     string
	service string       // "sts", "ecr.api"
	names   []string     // that its private DNS answers for
	hosts   []reach.Host // its interfaces that are known, with their groups
}

func (e privateEndpoint) ref() facts.Ref {
	return facts.Ref{Kind: facts.VPCEndpoints.Kind(), ID: e.id}
}

// privateEndpoints are those of the VPCs that can be seen.
func privateEndpoints(v *facts.View) []privateEndpoint {
	interfaces := map[string]*ec2types.NetworkInterface{}
	all := facts.NetworkInterfaces.In(v)
	for i := range all {
		interfaces[facts.Val(all[i].NetworkInterfaceId)] = &all[i]
	}
	var out []privateEndpoint
	for _, e := range facts.VPCEndpoints.In(v) {
		if e.VpcEndpointType != ec2types.VpcEndpointTypeInterface || !strings.EqualFold(string(e.State), "available") || !facts.Val(e.PrivateDnsEnabled) {
			continue
		}
		p := privateEndpoint{id: facts.Val(e.VpcEndpointId), vpc: facts.Val(e.VpcId), service: shortService(facts.Val(e.ServiceName))}
		for _, d := range e.DnsEntries {
			if name := facts.Val(d.DnsName); name != "" && !strings.HasSuffix(name, ".vpce.amazonaws.com") {
				p.names = append(p.names, name)
			}
		}
		for _, id := range e.NetworkInterfaceIds {
			if eni := interfaces[id]; eni != nil && len(eni.Groups) > 0 {
				if h, ok := hostOn(eni); ok {
					p.hosts = append(p.hosts, h)
				}
			}
		}
		out = append(out, p)
	}
	return out
}

// shortService is "ecr.api" of "com.amazonaws.eu-west-1.ecr.api".
func shortService(name string) string {
	parts := strings.SplitN(strings.TrimPrefix(name, "cn."), ".", 4)
	return parts[len(parts)-1]
}

// asked reports whether the question names a host that e answers for.
func (e privateEndpoint) asked(t facts.Target) bool {
	host := strings.TrimSuffix(t.Host, ".")
	return host != "" && slices.ContainsFunc(e.names, func(n string) bool {
		suffix, wild := strings.CutPrefix(n, "*")
		return strings.EqualFold(n, host) || wild && len(host) > len(suffix) && strings.EqualFold(host[len(host)-len(suffix):], suffix)
	})
}

// roles tells which pods act in AWS under a role of their own.
type roles struct {
	accounts map[string]map[string]string // annotations of ServiceAccounts, by namespace/name
}

func rolesOf(v *facts.View) roles {
	r := roles{map[string]map[string]string{}}
	for _, a := range facts.ServiceAccounts.In(v) {
		r.accounts[a.Namespace+"/"+a.Name] = a.Annotations
	}
	return r
}

// asksSTS reports whether a pod trades the token of its ServiceAccount for
// credentials at the region's STS: the account has a role, or the pod was
// given a token for STS. By annotation it may ask the global one instead
// (docs.aws.amazon.com/eks/latest/userguide/configure-sts-endpoint.html).
func (r roles) asksSTS(p *corev1.Pod) bool {
	account := r.accounts[accountName(p)]
	return account["eks.amazonaws.com/sts-regional-endpoints"] != "false" &&
		(account["eks.amazonaws.com/role-arn"] != "" || tokenFor(p, "sts.amazonaws.com"))
}

// has reports whether a pod has a role: it is there to call AWS.
func (r roles) has(p *corev1.Pod) bool { return r.asksSTS(p) || podIdentity(p) }

// tokenFor reports whether a pod was given a token of its ServiceAccount for
// an audience.
func tokenFor(p *corev1.Pod, audience string) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
			return s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == audience
		})
	})
}
