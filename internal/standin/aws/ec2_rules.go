package aws

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// maxRules is EC2's default quota of rules per security group and direction,
// counted for IPv4 and IPv6 apart (Amazon VPC quotas).
const maxRules = 60

// rulesOf lists the rules that a group's permissions stand for: one for each
// port range and peer. Their ids depend on what they allow and on nothing
// else.
func rulesOf(g types.SecurityGroup) []types.SecurityGroupRule {
	var rules []types.SecurityGroupRule
	for _, dir := range []struct {
		egress bool
		perms  []types.IpPermission
	}{{false, g.IpPermissions}, {true, g.IpPermissionsEgress}} {
		for _, p := range dir.perms {
			for _, r := range peersOf(p) {
				r.GroupId, r.GroupOwnerId, r.IsEgress = g.GroupId, g.OwnerId, &dir.egress
				r.Tags = []types.Tag{}
				id := madeID("sgr-", *g.GroupId, fmt.Sprint(dir.egress), ruleKey(r))
				r.SecurityGroupRuleId = &id
				rules = append(rules, r)
			}
		}
	}
	return rules
}

// peersOf makes one rule for each peer of a permission.
func peersOf(p types.IpPermission) []types.SecurityGroupRule {
	proto := protocolName(str(p.IpProtocol))
	from, to := portOrAll(p.FromPort), portOrAll(p.ToPort)
	if proto == "-1" {
		from, to = portOrAll(nil), portOrAll(nil)
	}
	base := types.SecurityGroupRule{IpProtocol: &proto, FromPort: from, ToPort: to}
	var rules []types.SecurityGroupRule
	add := func(set func(*types.SecurityGroupRule)) {
		r := base
		set(&r)
		rules = append(rules, r)
	}
	for _, x := range p.IpRanges {
		add(func(r *types.SecurityGroupRule) { r.CidrIpv4, r.Description = x.CidrIp, x.Description })
	}
	for _, x := range p.Ipv6Ranges {
		add(func(r *types.SecurityGroupRule) { r.CidrIpv6, r.Description = x.CidrIpv6, x.Description })
	}
	for _, x := range p.PrefixListIds {
		add(func(r *types.SecurityGroupRule) { r.PrefixListId, r.Description = x.PrefixListId, x.Description })
	}
	for _, x := range p.UserIdGroupPairs {
		add(func(r *types.SecurityGroupRule) {
			r.Description = x.Description
			r.ReferencedGroupInfo = &types.ReferencedSecurityGroup{GroupId: x.GroupId, UserId: x.UserId, VpcId: x.VpcId, PeeringStatus: x.PeeringStatus, VpcPeeringConnectionId: x.VpcPeeringConnectionId}
		})
	}
	return rules
}

func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// portOrAll is a port, or -1, which stands for all.
func portOrAll(p *int32) *int32 {
	if p == nil {
		all := int32(-1)
		return &all
	}
	return p
}

// protocolName is a protocol as EC2 tells it: by name where it has one.
func protocolName(s string) string {
	s = strings.ToLower(s)
	return cmp.Or(map[string]string{"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}[s], s)
}

// ruleKey tells rules of one group and direction apart.
func ruleKey(r types.SecurityGroupRule) string {
	peer := cmp.Or(str(r.CidrIpv4), str(r.CidrIpv6), str(r.PrefixListId))
	if r.ReferencedGroupInfo != nil {
		peer = str(r.ReferencedGroupInfo.GroupId)
	}
	return fmt.Sprintf("%s %d-%d %s", *r.IpProtocol, *r.FromPort, *r.ToPort, peer)
}

// permissionsOf is the inverse of peersOf: it gathers rules with the same
// ports into permissions.
func permissionsOf(rules []types.SecurityGroupRule) []types.IpPermission {
	perms := []types.IpPermission{}
	at := map[string]int{}
	for _, r := range rules {
		key := fmt.Sprintf("%s %d-%d", *r.IpProtocol, *r.FromPort, *r.ToPort)
		i, ok := at[key]
		if !ok {
			i, at[key] = len(perms), len(perms)
			perms = append(perms, types.IpPermission{IpProtocol: r.IpProtocol})
			if *r.IpProtocol != "-1" {
				perms[i].FromPort, perms[i].ToPort = r.FromPort, r.ToPort
			}
		}
		p := &perms[i]
		switch {
		case r.CidrIpv4 != nil:
			p.IpRanges = append(p.IpRanges, types.IpRange{CidrIp: r.CidrIpv4, Description: r.Description})
		case r.CidrIpv6 != nil:
			p.Ipv6Ranges = append(p.Ipv6Ranges, types.Ipv6Range{CidrIpv6: r.CidrIpv6, Description: r.Description})
		case r.PrefixListId != nil:
			p.PrefixListIds = append(p.PrefixListIds, types.PrefixListId{PrefixListId: r.PrefixListId, Description: r.Description})
		case r.ReferencedGroupInfo != nil:
			g := r.ReferencedGroupInfo
			p.UserIdGroupPairs = append(p.UserIdGroupPairs, types.UserIdGroupPair{GroupId: g.GroupId, UserId: g.UserId, VpcId: g.VpcId, PeeringStatus: g.PeeringStatus, VpcPeeringConnectionId: g.VpcPeeringConnectionId, Description: r.Description})
		}
	}
	return perms
}

// allRules are the rules of all groups.
func allRules(c *call) ([]types.SecurityGroupRule, error) {
	groups, err := securityGroups.all(c)
	var rules []types.SecurityGroupRule
	for _, g := range groups {
		rules = append(rules, rulesOf(g)...)
	}
	return rules, err
}

// flatRule are the parameters of the call's older form, which tells one rule.
var flatRule = []string{"IpProtocol", "FromPort", "ToPort", "CidrIp", "SourceSecurityGroupName", "SourceSecurityGroupOwnerId"}

var (
	authorizeIngress = op{run: authorize(false), write: true, takes: append([]string{"GroupId", "GroupName", "IpPermissions", "TagSpecification"}, flatRule...)}
	revokeIngress    = op{run: revoke(false), write: true, takes: append([]string{"GroupId", "GroupName", "IpPermissions", "SecurityGroupRuleId"}, flatRule...)}
	authorizeEgress  = op{run: authorize(true), write: true, needs: []string{"GroupId", "IpPermissions"}, takes: []string{"TagSpecification"}}
	revokeEgress     = op{run: revoke(true), write: true, needs: []string{"GroupId"}, takes: []string{"IpPermissions", "SecurityGroupRuleId"}}
)

// authorize makes the operation that adds rules of one direction.
func authorize(egress bool) func(*call) (answer, error) {
	return func(c *call) (answer, error) { return c.authorize(egress) }
}

// revoke makes the operation that takes rules of one direction away.
func revoke(egress bool) func(*call) (answer, error) {
	return func(c *call) (answer, error) { return c.revoke(egress) }
}

func (c *call) authorize(egress bool) (answer, error) {
	g, asked, err := c.groupAndRules(egress)
	if err != nil {
		return nil, err
	}
	var added []types.SecurityGroupRule
	err = update(c, securityGroups.kind, *g.GroupId, func(g *types.SecurityGroup) error {
		before := rulesIn(*g, egress)
		for _, r := range asked {
			if slices.ContainsFunc(before, func(o types.SecurityGroupRule) bool { return ruleKey(o) == ruleKey(r) }) {
				return bad("InvalidPermission.Duplicate", "the specified rule %q already exists", describeRule(r))
			}
		}
		rules := append(before, asked...)
		if tooMany(rules) {
			return bad("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
		}
		setRules(g, egress, rules)
		for _, r := range rulesIn(*g, egress) {
			if hasRule(asked, r) {
				added = append(added, r)
			}
		}
		return nil
	})
	return answer{{"return", true}, {"securityGroupRuleSet", added}}, err
}

func (c *call) revoke(egress bool) (answer, error) {
	g, asked, err := c.groupAndRules(egress)
	if err != nil {
		return nil, err
	}
	type revoked struct {
		SecurityGroupRuleId, GroupId, IpProtocol *string
		IsEgress                                 *bool
		FromPort, ToPort                         *int32
		CidrIpv4, CidrIpv6, PrefixListId         *string
		ReferencedGroupId                        *string
		Description                              *string
	}
	gone := []revoked{}
	err = update(c, securityGroups.kind, *g.GroupId, func(g *types.SecurityGroup) error {
		rules := rulesIn(*g, egress)
		for _, r := range asked {
			if !hasRule(rules, r) {
				return bad("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
		}
		var left []types.SecurityGroupRule
		for _, r := range rules {
			if !hasRule(asked, r) {
				left = append(left, r)
				continue
			}
			out := revoked{r.SecurityGroupRuleId, r.GroupId, r.IpProtocol, r.IsEgress, r.FromPort, r.ToPort, r.CidrIpv4, r.CidrIpv6, r.PrefixListId, nil, r.Description}
			if r.ReferencedGroupInfo != nil {
				out.ReferencedGroupId = r.ReferencedGroupInfo.GroupId
			}
			gone = append(gone, out)
		}
		setRules(g, egress, left)
		return nil
	})
	return answer{{"return", true}, {"revokedSecurityGroupRuleSet", gone}}, err
}

// rulesIn are a group's rules of one direction.
func rulesIn(g types.SecurityGroup, egress bool) []types.SecurityGroupRule {
	return slices.DeleteFunc(rulesOf(g), func(r types.SecurityGroupRule) bool { return *r.IsEgress != egress })
}

func setRules(g *types.SecurityGroup, egress bool, rules []types.SecurityGroupRule) {
	if egress {
		g.IpPermissionsEgress = permissionsOf(rules)
	} else {
		g.IpPermissions = permissionsOf(rules)
	}
}

func hasRule(rules []types.SecurityGroupRule, r types.SecurityGroupRule) bool {
	return slices.ContainsFunc(rules, func(o types.SecurityGroupRule) bool { return ruleKey(o) == ruleKey(r) })
}

// tooMany reports whether a group would hold more rules than it may. A rule
// that names a group or a prefix list counts for both address families.
func tooMany(rules []types.SecurityGroupRule) bool {
	v4, v6 := 0, 0
	for _, r := range rules {
		if r.CidrIpv6 == nil {
			v4++
		}
		if r.CidrIpv4 == nil {
			v6++
		}
	}
	return max(v4, v6) > maxRules
}

// describeRule is a rule in the words of EC2's error messages.
func describeRule(r types.SecurityGroupRule) string {
	peer := cmp.Or(str(r.CidrIpv4), str(r.CidrIpv6), str(r.PrefixListId))
	if r.ReferencedGroupInfo != nil {
		peer = str(r.ReferencedGroupInfo.GroupId)
	}
	if *r.IpProtocol == "-1" {
		return fmt.Sprintf("peer: %s, ALL, ALLOW", peer)
	}
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer, strings.ToUpper(*r.IpProtocol), *r.FromPort, *r.ToPort)
}

// groupAndRules reads whom a call changes, and the rules that it adds or
// takes away.
func (c *call) groupAndRules(egress bool) (types.SecurityGroup, []types.SecurityGroupRule, error) {
	g, err := c.group()
	if err != nil {
		return g, nil, err
	}
	var rules []types.SecurityGroupRule
	for _, id := range c.params.at("SecurityGroupRuleId").values() {
		have := rulesIn(g, egress)
		i := slices.IndexFunc(have, func(r types.SecurityGroupRule) bool { return *r.SecurityGroupRuleId == id })
		if i < 0 {
			return g, nil, securityGroupRules.missing(id)
		}
		rules = append(rules, have[i])
	}
	perms := c.params.at("IpPermissions").list()
	for _, p := range perms {
		perm, err := c.permissionParam(p, g)
		if err != nil {
			return g, nil, err
		}
		rules = append(rules, peersOf(perm)...)
	}
	if len(perms) == 0 && c.params.at("IpProtocol").set {
		perm, err := c.flatPermission(g)
		if err != nil {
			return g, nil, err
		}
		rules = append(rules, peersOf(perm)...)
	}
	if len(rules) == 0 {
		return g, nil, c.problem(missingParameter, "The request must contain the parameter ipPermissions")
	}
	for i, r := range rules {
		if hasRule(rules[:i], r) {
			return g, nil, c.invalid("The same permission must not appear multiple times")
		}
	}
	return g, rules, nil
}

// group is the security group that a call names, by id or by name.
func (c *call) group() (types.SecurityGroup, error) {
	if id := c.params.at("GroupId"); id.set {
		return securityGroups.one(c, id.value)
	}
	name := c.params.at("GroupName")
	if !name.set {
		return types.SecurityGroup{}, c.problem(missingParameter, "The request must contain the parameter GroupName or GroupId")
	}
	return c.groupNamed(name.value, "")
}

// groupNamed finds a group by its name, or its id, in a VPC; "" for any.
func (c *call) groupNamed(name, vpc string) (types.SecurityGroup, error) {
	groups, err := securityGroups.all(c)
	if err != nil {
		return types.SecurityGroup{}, err
	}
	for _, g := range groups {
		if (str(g.GroupName) == name || str(g.GroupId) == name) && (vpc == "" || str(g.VpcId) == vpc) {
			return g, nil
		}
	}
	return types.SecurityGroup{}, securityGroups.missing(name)
}

func (c *call) flatPermission(g types.SecurityGroup) (types.IpPermission, error) {
	p := c.params
	perm, err := c.ports(p)
	if err != nil {
		return perm, err
	}
	if name := p.at("SourceSecurityGroupName"); name.set {
		from, err := c.groupNamed(name.value, str(g.VpcId))
		if err != nil {
			return perm, err
		}
		perm.UserIdGroupPairs = []types.UserIdGroupPair{{GroupId: from.GroupId, UserId: from.OwnerId}}
	}
	if cidr := p.at("CidrIp"); cidr.set {
		block, err := c.cidr(cidr.value, false)
		if err != nil {
			return perm, err
		}
		perm.IpRanges = []types.IpRange{{CidrIp: &block}}
	}
	return perm, nil
}

func (c *call) permissionParam(p *param, g types.SecurityGroup) (types.IpPermission, error) {
	perm, err := c.ports(p)
	for _, r := range p.at("IpRanges").list() {
		block, bad := c.cidr(r.at("CidrIp").value, false)
		err = errors.Join(err, bad)
		perm.IpRanges = append(perm.IpRanges, types.IpRange{CidrIp: &block, Description: r.at("Description").ptr()})
	}
	for _, r := range p.at("Ipv6Ranges").list() {
		block, bad := c.cidr(r.at("CidrIpv6").value, true)
		err = errors.Join(err, bad)
		perm.Ipv6Ranges = append(perm.Ipv6Ranges, types.Ipv6Range{CidrIpv6: &block, Description: r.at("Description").ptr()})
	}
	for _, r := range p.at("PrefixListIds").list() {
		perm.PrefixListIds = append(perm.PrefixListIds, types.PrefixListId{PrefixListId: r.at("PrefixListId").ptr(), Description: r.at("Description").ptr()})
	}
	for _, r := range p.at("Groups").list() {
		from, bad := c.groupNamed(cmp.Or(r.at("GroupId").value, r.at("GroupName").value), "")
		err = errors.Join(err, bad)
		perm.UserIdGroupPairs = append(perm.UserIdGroupPairs, types.UserIdGroupPair{GroupId: from.GroupId, UserId: cmp.Or(r.at("UserId").ptr(), from.OwnerId), Description: r.at("Description").ptr()})
	}
	return perm, err
}

// ports reads protocol and ports of a rule.
func (c *call) ports(p *param) (types.IpPermission, error) {
	proto := protocolName(p.at("IpProtocol").value)
	from, err := c.int32(p.at("FromPort"))
	if err != nil {
		return types.IpPermission{}, err
	}
	to, err := c.int32(p.at("ToPort"))
	if err != nil {
		return types.IpPermission{}, err
	}
	perm := types.IpPermission{IpProtocol: &proto, FromPort: from, ToPort: to}
	if proto == "" {
		return perm, c.problem(missingParameter, "The request must contain the parameter ipProtocol")
	}
	if proto != "tcp" && proto != "udp" {
		return perm, nil
	}
	switch {
	case from == nil || to == nil:
		return perm, c.invalid("Invalid value for portRange. Must specify both from and to ports with TCP/UDP.")
	case *from < 0 || *to < 0 || *from > 65535 || *to > 65535:
		return perm, c.invalid("TCP/UDP port (%d-%d) out of range", *from, *to)
	case *from > *to:
		return perm, c.invalid("Invalid TCP/UDP port range (%d:%d)", *from, *to)
	}
	return perm, nil
}
