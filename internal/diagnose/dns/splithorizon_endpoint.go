package dns

import (
	"fmt"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// tenantServices are AWS services whose names each belong to somebody's own
// API, public or private. Private DNS of an endpoint takes all names of the
// region, and a public API refuses what comes through an endpoint
// (docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-private-apis.html,
// docs.aws.amazon.com/appsync/latest/devguide/using-private-apis.html).
var tenantServices = []string{"execute-api", "appsync-api"}

// capturing is the endpoint with private DNS that a host leads into: the
// question says that it resolves to one of the endpoint's addresses. nil when
// there is none. Whether the API is a private one, for which this is meant, no
// fact tells.
func (ls *lookups) capturing(t facts.Target) *ec2types.VpcEndpoint {
	host := canonical(orElse(t.Host, t.Lookup))
	if host == "" || t.Address == "" {
		return nil
	}
	for i := range ls.w.VPCEndpoints {
		e := &ls.w.VPCEndpoints[i]
		labels := strings.Split(facts.Val(e.ServiceName), ".")
		if !slices.Contains(tenantServices, labels[len(labels)-1]) || facts.Val(e.VpcId) != ls.vpc || !facts.Val(e.PrivateDnsEnabled) {
			continue
		}
		if ls.takes(e, host) && slices.Contains(ls.addressesOf(e), t.Address) {
			return e
		}
	}
	return nil
}

// takes reports whether a wildcard among an endpoint's private names covers a host.
func (ls *lookups) takes(e *ec2types.VpcEndpoint, host string) bool {
	return slices.ContainsFunc(e.DnsEntries, func(d ec2types.DnsEntry) bool {
		domain, wild := strings.CutPrefix(canonical(facts.Val(d.DnsName)), "*.")
		return wild && strings.HasSuffix(host, "."+domain) && !strings.Contains(domain, "vpce-")
	})
}

// addressesOf are the addresses of an endpoint's interfaces.
func (ls *lookups) addressesOf(e *ec2types.VpcEndpoint) []string {
	var out []string
	for _, n := range ls.w.NetworkInterfaces {
		if slices.Contains(e.NetworkInterfaceIds, facts.Val(n.NetworkInterfaceId)) {
			for _, a := range n.PrivateIpAddresses {
				out = append(out, facts.Val(a.PrivateIpAddress))
			}
		}
	}
	return out
}

func (ls *lookups) captured(e *ec2types.VpcEndpoint, t facts.Target) diagnose.Finding {
	id, host := facts.Val(e.VpcEndpointId), canonical(orElse(t.Host, t.Lookup))
	_, domain, _ := strings.Cut(host, ".")
	f := diagnose.Finding{
		Severity: diagnose.Degraded,
		Subject:  facts.Ref{Kind: facts.VPCEndpoints.Kind(), ID: id},
		Affects:  []facts.Ref{vpcRef(ls.vpc), recordRef(host)},
		Claim: fmt.Sprintf("Private DNS of VPC endpoint %s (%s) answers every name under %s in %s, %s too: unless that is a private API of this endpoint, it refuses what comes this way with 403 Forbidden",
			id, facts.Val(e.ServiceName), domain, ls.vpc, host),
		Evidence: []diagnose.Evidence{
			{Fact: "ec2/vpc-endpoints/" + id + " PrivateDnsEnabled", Got: "true", Want: "false, where public APIs of the region are called by these names",
				Command: "aws ec2 describe-vpc-endpoints --vpc-endpoint-ids " + id + " --query 'VpcEndpoints[].[PrivateDnsEnabled,DnsEntries[].DnsName]'"},
			{Fact: "name " + host, Got: t.Address + ", an address of " + id + ", by what was said", Want: "public addresses, as outside of the VPC", Command: "dig +short " + host},
		},
	}
	for _, z := range ls.w.HostedZones {
		if ls.here(&z) && isPrivateZone(&z) && canonical(facts.Val(z.Name)) == domain {
			f.Affects = append(f.Affects, zoneRef(&z))
		}
	}
	f.Remedies = uncaptured(e, host)
	return f
}

// uncaptured are the ways around an endpoint's private DNS. Both change more
// than DNS, and are for a person.
func uncaptured(e *ec2types.VpcEndpoint, host string) []remedy.Remedy {
	id := facts.Val(e.VpcEndpointId)
	api, domain, _ := strings.Cut(host, ".")
	off := remedy.Remedy{
		Title: "Turn private DNS off on the endpoint",
		Why: "It changes the answer for the whole VPC: clients of private APIs must then use names of the endpoint, " + endpointName(e) + ", which private DNS does not touch. " +
			"Change them first. --private-dns-enabled undoes it.",
		Risk:   remedy.Disruptive,
		Manual: []string{"aws ec2 modify-vpc-endpoint --vpc-endpoint-id " + id + " --no-private-dns-enabled"},
	}
	if !strings.HasPrefix(domain, "execute-api.") {
		return []remedy.Remedy{off}
	}
	off.Why = strings.Replace(off.Why, endpointName(e), "https://API-"+id+"."+domain+"/STAGE for an API that is associated with it, or "+endpointName(e)+" with the API's name as Host", 1)
	return []remedy.Remedy{{
		Title: "Call the public API by a domain name of its own",
		Why:   "A custom domain name is not under " + domain + ", so the VPC asks the public DNS for it. Nothing changes for private APIs. First see that the API is not PRIVATE, in the account that has it.",
		Risk:  remedy.Safe,
		Manual: []string{
			"aws apigateway get-rest-api --rest-api-id " + api + " --query endpointConfiguration.types",
			"aws apigateway create-domain-name --domain-name NAME --regional-certificate-arn CERTIFICATE --endpoint-configuration types=REGIONAL",
			"aws apigateway create-base-path-mapping --domain-name NAME --rest-api-id " + api + " --stage STAGE",
		},
	}, off}
}

// endpointName is a name of the endpoint itself.
func endpointName(e *ec2types.VpcEndpoint) string {
	for _, d := range e.DnsEntries {
		if name := canonical(facts.Val(d.DnsName)); strings.HasPrefix(name, "vpce-") {
			return name
		}
	}
	return facts.Val(e.VpcEndpointId)
}
