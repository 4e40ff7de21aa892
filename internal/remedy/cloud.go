package remedy

import (
	"fmt"
	"strings"
)

// An EgressRule is one egress rule of a security group: where to one may go,
// and on what. Exactly one of ToGroup and ToCIDR is set.
type EgressRule struct {
	Group    string `json:"group"`
	Protocol string `json:"protocol"` // tcp, udp, or "-1" for all
	FromPort int32  `json:"fromPort"` // -1 with protocol "-1"
	ToPort   int32  `json:"toPort"`
	ToGroup  string `json:"toGroup,omitempty"`
	ToCIDR   string `json:"toCIDR,omitempty"` // IPv4 or IPv6
}

// Object is the security group.
func (r EgressRule) Object() string { return "ec2/security-groups/" + r.Group }

func (r EgressRule) flags() string {
	p := "IpProtocol=" + r.Protocol
	if r.Protocol != "-1" {
		p += fmt.Sprintf(",FromPort=%d,ToPort=%d", r.FromPort, r.ToPort)
	}
	switch {
	case r.ToGroup != "":
		p += ",UserIdGroupPairs=[{GroupId=" + r.ToGroup + "}]"
	case strings.Contains(r.ToCIDR, ":"):
		p += ",Ipv6Ranges=[{CidrIpv6=" + r.ToCIDR + "}]"
	default:
		p += ",IpRanges=[{CidrIp=" + r.ToCIDR + "}]"
	}
	return fmt.Sprintf("--group-id %s --ip-permissions %s", quote(r.Group), quote(p))
}

// AuthorizeEgress adds an egress rule to a security group.
type AuthorizeEgress struct{ EgressRule }

func (AuthorizeEgress) Type() string { return "authorize-egress" }
func (a AuthorizeEgress) Command() string {
	return "aws ec2 authorize-security-group-egress " + a.flags()
}
func (a AuthorizeEgress) Undo() Action     { return RevokeEgress(a) }
func (AuthorizeEgress) Permission() string { return "ec2:AuthorizeSecurityGroupEgress" }

// RevokeEgress removes an egress rule from a security group.
type RevokeEgress struct{ EgressRule }

func (RevokeEgress) Type() string       { return "revoke-egress" }
func (a RevokeEgress) Command() string  { return "aws ec2 revoke-security-group-egress " + a.flags() }
func (a RevokeEgress) Undo() Action     { return AuthorizeEgress(a) }
func (RevokeEgress) Permission() string { return "ec2:RevokeSecurityGroupEgress" }

// The attributes of a VPC that SetVPCAttribute changes.
const (
	EnableDNSSupport   = "enableDnsSupport"   // the resolver of the VPC answers
	EnableDNSHostnames = "enableDnsHostnames" // private hosted zones are seen too
)

// SetVPCAttribute turns one DNS attribute of a VPC on or off.
type SetVPCAttribute struct {
	VPC       string `json:"vpc"`
	Attribute string `json:"attribute"` // EnableDNSSupport or EnableDNSHostnames
	To        bool   `json:"to"`
}

func (SetVPCAttribute) Type() string { return "set-vpc-attribute" }
func (a SetVPCAttribute) Command() string {
	flag := "--enable-dns-support"
	if a.Attribute == EnableDNSHostnames {
		flag = "--enable-dns-hostnames"
	}
	return fmt.Sprintf("aws ec2 modify-vpc-attribute --vpc-id %s %s '{\"Value\":%t}'", quote(a.VPC), flag, a.To)
}
func (a SetVPCAttribute) Undo() Action {
	a.To = !a.To
	return a
}
func (a SetVPCAttribute) Object() string   { return "ec2/vpcs/" + a.VPC }
func (SetVPCAttribute) Permission() string { return "ec2:ModifyVpcAttribute" }

// ModifyVPCEndpointPrivateDNS turns the private DNS names of an interface
// endpoint on or off.
type ModifyVPCEndpointPrivateDNS struct {
	Endpoint string `json:"endpoint"`
	To       bool   `json:"to"`
}

func (ModifyVPCEndpointPrivateDNS) Type() string { return "modify-vpc-endpoint-private-dns" }
func (a ModifyVPCEndpointPrivateDNS) Command() string {
	flag := "--no-private-dns-enabled"
	if a.To {
		flag = "--private-dns-enabled"
	}
	return fmt.Sprintf("aws ec2 modify-vpc-endpoint --vpc-endpoint-id %s %s", quote(a.Endpoint), flag)
}
func (a ModifyVPCEndpointPrivateDNS) Undo() Action {
	a.To = !a.To
	return a
}
func (a ModifyVPCEndpointPrivateDNS) Object() string   { return "ec2/vpc-endpoints/" + a.Endpoint }
func (ModifyVPCEndpointPrivateDNS) Permission() string { return "ec2:ModifyVpcEndpoint" }

// A ZoneVPC is a private hosted zone and a VPC that sees it, or does not.
type ZoneVPC struct {
	Zone   string `json:"zone"` // id, without "/hostedzone/"
	Name   string `json:"name"` // such as "internal.shop.example.": tells that Zone is the one that was meant
	VPC    string `json:"vpc"`
	Region string `json:"region"` // of the VPC
}

// Object is the hosted zone.
func (z ZoneVPC) Object() string { return "route53/hosted-zones/" + z.Zone }

func (z ZoneVPC) flags() string {
	return fmt.Sprintf("--hosted-zone-id %s --vpc %s", quote(z.Zone), quote("VPCRegion="+z.Region+",VPCId="+z.VPC))
}

// AssociateVPCWithZone lets a VPC see a private hosted zone.
type AssociateVPCWithZone struct{ ZoneVPC }

func (AssociateVPCWithZone) Type() string { return "associate-vpc-with-hosted-zone" }
func (a AssociateVPCWithZone) Command() string {
	return "aws route53 associate-vpc-with-hosted-zone " + a.flags()
}
func (a AssociateVPCWithZone) Undo() Action     { return DisassociateVPCFromZone(a) }
func (AssociateVPCWithZone) Permission() string { return "route53:AssociateVPCWithHostedZone" }

// DisassociateVPCFromZone hides a private hosted zone from a VPC. Route 53
// refuses it for the last VPC of a zone.
type DisassociateVPCFromZone struct{ ZoneVPC }

func (DisassociateVPCFromZone) Type() string { return "disassociate-vpc-from-hosted-zone" }
func (a DisassociateVPCFromZone) Command() string {
	return "aws route53 disassociate-vpc-from-hosted-zone " + a.flags()
}
func (a DisassociateVPCFromZone) Undo() Action     { return AssociateVPCWithZone(a) }
func (DisassociateVPCFromZone) Permission() string { return "route53:DisassociateVPCFromHostedZone" }

// A RuleVPC is a Route 53 Resolver rule and a VPC that follows it, or does
// not.
type RuleVPC struct {
	Rule string `json:"rule"` // id, such as rslvr-rr-0a1
	VPC  string `json:"vpc"`
}

// Object is the pair: other VPCs of the rule are not touched.
func (r RuleVPC) Object() string { return "route53resolver/rules/" + r.Rule + "/" + r.VPC }

func (r RuleVPC) flags() string {
	return fmt.Sprintf("--resolver-rule-id %s --vpc-id %s", quote(r.Rule), quote(r.VPC))
}

// AssociateResolverRule lets a VPC follow a Resolver rule.
type AssociateResolverRule struct{ RuleVPC }

func (AssociateResolverRule) Type() string { return "associate-resolver-rule" }
func (a AssociateResolverRule) Command() string {
	return "aws route53resolver associate-resolver-rule " + a.flags()
}
func (a AssociateResolverRule) Undo() Action     { return DisassociateResolverRule(a) }
func (AssociateResolverRule) Permission() string { return "route53resolver:AssociateResolverRule" }

// DisassociateResolverRule lets a VPC no longer follow a Resolver rule.
type DisassociateResolverRule struct{ RuleVPC }

func (DisassociateResolverRule) Type() string { return "disassociate-resolver-rule" }
func (a DisassociateResolverRule) Command() string {
	return "aws route53resolver disassociate-resolver-rule " + a.flags()
}
func (a DisassociateResolverRule) Undo() Action { return AssociateResolverRule(a) }
func (DisassociateResolverRule) Permission() string {
	return "route53resolver:DisassociateResolverRule"
}
