package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/resolve"
)

var vpcEnableDNSSupportOff = &diagnose.Check{
	ID:    "dns/vpc-enable-dns-support-off",
	Title: "The VPC's resolver is switched off",
	Doc: `With the VPC's attribute enableDnsSupport off, Amazon's resolver (169.254.169.253 and the second address of the VPC's first
block) answers nobody in the VPC. Nodes ask it for the API server and for registries, and CoreDNS forwards to it what is not of the
cluster: lookups time out, and new nodes may not join.

Recognised by the attribute, and by who asks that resolver: the name servers of the DHCP options, and forward in the Corefile.

Looks alike: name servers of somebody's own in the DHCP options and in the Corefile do without it; then this says nothing. A
network that drops DNS packets times out as well, with the attribute on.

Fixed by switching it on. The two DNS attributes take a call each, this one first.`,
	Needs:    []facts.Need{facts.Clusters, facts.VPCs, facts.VPCAttribute, facts.DHCPOptions},
	Wants:    []facts.Need{facts.ConfigMaps, facts.PodLogs},
	CausedBy: []string{"l4/private-endpoint-dns"},
	Sources: []string{
		"https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns-support.html",
		"https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html",
		"https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVpcAttribute.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		d := newVPCDNS(v)
		corefile, ok := d.w.Corefile(deployment)
		upstreams := upstreamsOf(corefile, ok)
		lines := coreDNSLogs(v).since(v.At().Add(-time.Hour)).of(logTimeout, logNoHealthy)
		if d.id == "" || !d.supportOff() {
			return nil
		}
		uses := d.uses(upstreams)
		if uses == "" {
			return nil
		}
		return []diagnose.Finding{d.noSupport(uses, lines.where(func(l logLine) bool { return l.upstream == "" || d.resolvesAt(l.upstream) }))}
	},
}

// vpcDNS is the VPC of the cluster with its settings of DNS.
type vpcDNS struct {
	w          *resolve.World
	id         string
	attributes *facts.VPCAttributes // nil when not known
	servers    []string             // of the DHCP options, AmazonProvidedDNS as its address
	known      bool                 // whether those were read
}

func newVPCDNS(v *facts.View) vpcDNS {
	w := &resolve.World{Clusters: facts.Clusters.In(v), VPCs: facts.VPCs.In(v), DHCPOptions: facts.DHCPOptions.In(v), ConfigMaps: facts.ConfigMaps.In(v)}
	return vpcDNSOf(w, facts.VPCAttribute.In(v))
}

func vpcDNSOf(w *resolve.World, attributes []facts.VPCAttributes) vpcDNS {
	d := vpcDNS{w: w}
	if vpc := w.VPC(); vpc != nil {
		d.id = facts.Val(vpc.VpcId)
	}
	for i := range attributes {
		if attributes[i].VpcId == d.id {
			d.attributes = &attributes[i]
		}
	}
	d.servers, _, d.known = w.NodeDNS()
	return d
}

func (d vpcDNS) supportOff() bool {
	return d.attributes != nil && d.attributes.EnableDnsSupport != nil && d.attributes.EnableDnsSupport.Value != nil && !*d.attributes.EnableDnsSupport.Value
}

func (d vpcDNS) hostnamesOff() bool {
	return d.attributes != nil && d.attributes.EnableDnsHostnames != nil && d.attributes.EnableDnsHostnames.Value != nil && !*d.attributes.EnableDnsHostnames.Value
}

// amazon reports whether an address is the VPC's own resolver.
func (d vpcDNS) amazon(address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && d.w.VPCResolver(ip)
}

// resolvesAt is amazon for an address with a port.
func (d vpcDNS) resolvesAt(upstream string) bool {
	at, err := netip.ParseAddrPort(upstream)
	return err == nil && d.w.VPCResolver(at.Addr())
}

// asksAmazon reports whether the nodes ask the VPC's resolver, which they do
// unless DHCP options say otherwise; all tells whether they ask nobody else.
func (d vpcDNS) asksAmazon() (some, all bool) {
	if !d.known || len(d.servers) == 0 {
		return true, true
	}
	some = slices.ContainsFunc(d.servers, d.amazon)
	return some, !slices.ContainsFunc(d.servers, func(s string) bool { return !d.amazon(s) })
}

// upstreamsOf are the addresses to which a Corefile forwards, in any block;
// those of files such as /etc/resolv.conf are not among them.
func upstreamsOf(text string, ok bool) []string {
	c, err := resolve.ParseCorefile(text)
	if !ok || err != nil {
		return nil
	}
	var out []string
	for i := range c.Blocks {
		for _, f := range c.Blocks[i].Forwards() {
			for _, to := range f.To {
				if to.Addr.IsValid() {
					out = append(out, to.Addr.Addr().String())
				}
			}
		}
	}
	return out
}

// uses says who asks the VPC's resolver; "" for nobody.
func (d vpcDNS) uses(upstreams []string) string {
	switch some, all := d.asksAmazon(); {
	case all:
		return "nodes and CoreDNS, which ask it, resolve no name outside the cluster"
	case some:
		return "nodes and CoreDNS, which ask it as well as " + strings.Join(slices.DeleteFunc(slices.Clone(d.servers), d.amazon), ", ") + ", wait for it in vain"
	case slices.ContainsFunc(upstreams, d.amazon):
		return "CoreDNS, whose Corefile forwards to it, has no answer from there"
	}
	return ""
}

func (d vpcDNS) attributeEvidence(name string) diagnose.Evidence {
	return diagnose.Evidence{Fact: "ec2/vpc-attributes/" + d.id + " " + name, Got: "false", Want: "true", Command: "aws ec2 describe-vpc-attribute --vpc-id " + d.id + " --attribute " + name}
}

func (d vpcDNS) noSupport(uses string, lines logs) diagnose.Finding {
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  vpcRef(d.id),
		Affects:  []facts.Ref{ref(facts.Deployments.Kind(), system, deployment), corefileRef},
		Claim:    fmt.Sprintf("%s has enableDnsSupport off, so its resolver does not answer: %s", d.id, uses),
		Evidence: []diagnose.Evidence{d.attributeEvidence(remedy.EnableDNSSupport), d.serversEvidence("servers that answer")},
	}
	if _, all := d.asksAmazon(); !all {
		f.Severity = diagnose.Degraded
	}
	if sum := lines.sum(); sum.count > 0 {
		f.Evidence = append(f.Evidence, logEvidence(sum, false, "answers of the VPC's resolver"))
	}
	r := remedy.Remedy{Title: "Switch the VPC's resolver on", Why: "It answers at once, for the whole VPC. Nothing has to be restarted.", Risk: remedy.Safe,
		Actions: remedy.Actions{remedy.SetVPCAttribute{VPC: d.id, Attribute: remedy.EnableDNSSupport, To: true}}}
	if d.hostnamesOff() {
		r.Title, r.Why = "Switch the VPC's DNS attributes on", "EKS needs both, and private zones answer only with both. Instances get DNS names. Nothing has to be restarted."
		r.Actions = append(r.Actions, remedy.SetVPCAttribute{VPC: d.id, Attribute: remedy.EnableDNSHostnames, To: true})
		f.Evidence = append(f.Evidence, d.attributeEvidence(remedy.EnableDNSHostnames))
	}
	f.Remedies = []remedy.Remedy{r}
	return f
}

// serversEvidence says which name servers the DHCP options give to nodes.
func (d vpcDNS) serversEvidence(want string) diagnose.Evidence {
	options := "of " + d.id
	command := "aws ec2 describe-dhcp-options"
	if vpc := d.w.VPC(); vpc != nil && facts.Val(vpc.DhcpOptionsId) != "" {
		options = *vpc.DhcpOptionsId
		command += " --dhcp-options-ids " + options
	}
	return diagnose.Evidence{Fact: "ec2/dhcp-options/" + options + " domain-name-servers", Got: orElse(strings.Join(d.servers, ", "), "none of its own: the VPC's resolver"), Want: want, Command: command}
}
