package aws

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/route53resolver/types"

	"github.com/hopwise/hopwise/internal/facts"
)

var resolverOps = map[string]op{
	"ListResolverRules":               {run: listResolverRules, takes: []string{"Filters", "MaxResults", "NextToken"}},
	"ListResolverRuleAssociations":    {run: listRuleAssociations, takes: []string{"Filters", "MaxResults", "NextToken"}},
	"ListResolverEndpoints":           {run: listResolverEndpoints, takes: []string{"Filters", "MaxResults", "NextToken"}},
	"ListResolverEndpointIpAddresses": {run: listEndpointAddresses, needs: []string{"ResolverEndpointId"}, takes: []string{"MaxResults", "NextToken"}},
	"GetResolverRule":                 {run: getResolverRule, needs: []string{"ResolverRuleId"}},
	"AssociateResolverRule":           associateResolverRule,
	"DisassociateResolverRule":        disassociateResolverRule,
	"GetResolverEndpoint":             {run: getResolverEndpoint, needs: []string{"ResolverEndpointId"}},

	"ListFirewallRuleGroupAssociations": {run: listGroupAssociations, takes: []string{"FirewallRuleGroupId", "VpcId", "Priority", "Status", "MaxResults", "NextToken"}},
	"ListFirewallRules":                 {run: listFirewallRules, needs: []string{"FirewallRuleGroupId"}, takes: []string{"Action", "Priority", "MaxResults", "NextToken"}},
	"ListFirewallDomains":               {run: listFirewallDomains, needs: []string{"FirewallDomainListId"}, takes: []string{"MaxResults", "NextToken"}},
	"ListFirewallDomainLists":           {run: listDomainLists, takes: []string{"MaxResults", "NextToken"}},
	"GetFirewallDomainList":             {run: getDomainList, needs: []string{"FirewallDomainListId"}},
	"GetFirewallConfig":                 {run: getFirewallConfig, needs: []string{"ResourceId"}},
}

// The filters of the lists: the fields that they look at, by filter name
// ("Filter" in the Resolver API reference).
var (
	ruleFilters = map[string]string{
		"CreatorRequestId": "CreatorRequestId", "DomainName": "DomainName", "Name": "Name", "ResolverEndpointId": "ResolverEndpointId", "Status": "Status", "Type": "RuleType",
	}
	ruleAssociationFilters = map[string]string{"Name": "Name", "ResolverRuleId": "ResolverRuleId", "Status": "Status", "VPCId": "VPCId"}
	endpointFilters        = map[string]string{
		"CreatorRequestId": "CreatorRequestId", "Direction": "Direction", "HostVPCId": "HostVPCId", "IpAddressCount": "IpAddressCount", "Name": "Name",
		"SecurityGroupIds": "SecurityGroupIds", "Status": "Status",
	}
)

// filtered keeps what meets the call's Filters. Values are compared whole.
func filtered[T any](c *call, all []T, fields map[string]string) ([]T, error) {
	for _, p := range c.params.at("Filters").list() {
		field, known := fields[p.at("Name").value]
		if !known {
			return nil, c.invalid("Invalid filter name '%s'", p.at("Name").value)
		}
		wanted := p.at("Values").values()
		all = slices.DeleteFunc(slices.Clone(all), func(v T) bool {
			found := false
			walk(reflect.ValueOf(v), []string{field}, func(v reflect.Value) { found = found || slices.Contains(wanted, text(v)) })
			return !found
		})
	}
	return all, nil
}

// resolverPage answers with one page of a list. Only the lists of resolver
// rules and endpoints repeat MaxResults.
func resolverPage[T any](c *call, field string, all []T, id func(T) string, most int) (answer, error) {
	size, err := c.pageSize(c.params.at("MaxResults"), 1, most)
	if err != nil {
		return nil, err
	}
	part, next, err := pageOf(c, all, id, c.params.at("NextToken").value, size)
	ans := answer{{field, append([]T{}, part...)}, {"NextToken", next}}
	if strings.HasPrefix(c.action, "ListResolver") {
		ans = append(ans, elem{"MaxResults", size})
	}
	return ans, err
}

// resolverList answers with a page of the world's objects that meet the
// call's Filters.
func resolverList[T any](c *call, kind facts.Kind, field string, fields map[string]string, id func(T) string) (answer, error) {
	all, err := list[T](c, kind)
	if err != nil {
		return nil, err
	}
	if all, err = filtered(c, all, fields); err != nil {
		return nil, err
	}
	return resolverPage(c, field, all, id, 100)
}

func listResolverRules(c *call) (answer, error) {
	return resolverList(c, facts.ResolverRules.Kind(), "ResolverRules", ruleFilters, func(r types.ResolverRule) string { return str(r.Id) })
}

func listRuleAssociations(c *call) (answer, error) {
	return resolverList(c, facts.ResolverRuleAssociations.Kind(), "ResolverRuleAssociations", ruleAssociationFilters,
		func(a types.ResolverRuleAssociation) string { return str(a.Id) })
}

func listResolverEndpoints(c *call) (answer, error) {
	stored, err := list[facts.ResolverEndpoint](c, facts.ResolverEndpoints.Kind())
	if err != nil {
		return nil, err
	}
	var all []types.ResolverEndpoint
	for _, e := range stored {
		all = append(all, e.ResolverEndpoint)
	}
	if all, err = filtered(c, all, endpointFilters); err != nil {
		return nil, err
	}
	return resolverPage(c, "ResolverEndpoints", all, func(e types.ResolverEndpoint) string { return str(e.Id) }, 100)
}

// resolverObject returns the object of a kind with an id.
func resolverObject[T any](c *call, kind facts.Kind, id func(T) *string, noun, want string) (v T, err error) {
	all, err := list[T](c, kind)
	if err != nil {
		return v, err
	}
	for _, o := range all {
		if str(id(o)) == want {
			return o, nil
		}
	}
	return v, bad("ResourceNotFoundException", "%s with ID \"%s\" does not exist", noun, want)
}

func (c *call) resolverEndpoint() (facts.ResolverEndpoint, error) {
	return resolverObject(c, facts.ResolverEndpoints.Kind(), func(e facts.ResolverEndpoint) *string { return e.Id }, "Resolver endpoint", c.params.at("ResolverEndpointId").value)
}

func getResolverEndpoint(c *call) (answer, error) {
	e, err := c.resolverEndpoint()
	return answer{{"ResolverEndpoint", e.ResolverEndpoint}}, err
}

func getResolverRule(c *call) (answer, error) {
	r, err := resolverObject(c, facts.ResolverRules.Kind(), func(r types.ResolverRule) *string { return r.Id }, "Resolver rule", c.params.at("ResolverRuleId").value)
	return answer{{"ResolverRule", r}}, err
}

func listEndpointAddresses(c *call) (answer, error) {
	e, err := c.resolverEndpoint()
	if err != nil {
		return nil, err
	}
	return resolverPage(c, "IpAddresses", e.IpAddresses, func(a types.IpAddressResponse) string { return cmp.Or(str(a.IpId), str(a.Ip), str(a.Ipv6)) }, 100)
}

func (c *call) groups() ([]facts.FirewallRuleGroup, error) {
	return list[facts.FirewallRuleGroup](c, facts.FirewallRuleGroups.Kind())
}

// listGroupAssociations looks at what the request names; the list comes in
// the order of the ids.
func listGroupAssociations(c *call) (answer, error) {
	groups, err := c.groups()
	if err != nil {
		return nil, err
	}
	var all []types.FirewallRuleGroupAssociation
	for _, g := range groups {
		if c.asked(g.FirewallRuleGroupAssociation, "FirewallRuleGroupId", "VpcId", "Priority", "Status") {
			all = append(all, g.FirewallRuleGroupAssociation)
		}
	}
	return resolverPage(c, "FirewallRuleGroupAssociations", all, func(a types.FirewallRuleGroupAssociation) string { return str(a.Id) }, 100)
}

// asked reports whether the fields of v are what the parameters of the same
// names say, if they are given.
func (c *call) asked(v any, fields ...string) bool {
	for _, f := range fields {
		if p := c.params.at(f); p.set && text(reflect.ValueOf(v).FieldByName(f)) != p.value {
			return false
		}
	}
	return true
}

func listFirewallRules(c *call) (answer, error) {
	groups, err := c.groups()
	if err != nil {
		return nil, err
	}
	id := c.params.at("FirewallRuleGroupId").value
	i := slices.IndexFunc(groups, func(g facts.FirewallRuleGroup) bool { return str(g.FirewallRuleGroupId) == id })
	if i < 0 {
		return nil, bad("ResourceNotFoundException", "Could not find the firewall rule group with ID \"%s\"", id)
	}
	var all []types.FirewallRule
	for _, r := range groups[i].FirewallRules {
		if c.asked(r.FirewallRule, "Action", "Priority") {
			all = append(all, r.FirewallRule)
		}
	}
	return resolverPage(c, "FirewallRules", all, ruleOrder, 100)
}

// ruleOrder makes rules come by priority, those with the same by list.
func ruleOrder(r types.FirewallRule) string {
	var priority int32
	if r.Priority != nil {
		priority = *r.Priority
	}
	return fmt.Sprintf("%010d %s %s", priority, str(r.FirewallDomainListId), str(r.Name))
}

// domainList returns a rule that uses the list that the call names: the world
// keeps lists in the rules.
func (c *call) domainList() (facts.FirewallRule, error) {
	groups, err := c.groups()
	if err != nil {
		return facts.FirewallRule{}, err
	}
	id := c.params.at("FirewallDomainListId").value
	for _, g := range groups {
		for _, r := range g.FirewallRules {
			if str(r.FirewallDomainListId) == id {
				return r, nil
			}
		}
	}
	return facts.FirewallRule{}, bad("ResourceNotFoundException", "Could not find the firewall domain list with ID \"%s\"", id)
}

// managedBy is who owns the lists that AWS manages.
const managedBy = "Route 53 Resolver DNS Firewall"

// describeList is the list that a rule uses. The world gives lists no names.
func describeList(r facts.FirewallRule) types.FirewallDomainList {
	dl := types.FirewallDomainList{Id: r.FirewallDomainListId, Name: r.FirewallDomainListId, Status: types.FirewallDomainListStatusComplete}
	count, owner := int32(len(r.Domains)), managedBy
	if r.Managed {
		dl.ManagedOwnerName = &owner
	} else {
		dl.DomainCount = &count
	}
	return dl
}

func getDomainList(c *call) (answer, error) {
	r, err := c.domainList()
	if err != nil {
		return nil, err
	}
	return answer{{"FirewallDomainList", describeList(r)}}, nil
}

func listDomainLists(c *call) (answer, error) {
	groups, err := c.groups()
	if err != nil {
		return nil, err
	}
	var all []types.FirewallDomainListMetadata
	seen := map[string]bool{}
	for _, g := range groups {
		for _, r := range g.FirewallRules {
			id := str(r.FirewallDomainListId)
			if id == "" || seen[id] {
				continue
			}
			seen[id] = true
			l := describeList(r)
			all = append(all, types.FirewallDomainListMetadata{Id: l.Id, Name: l.Name, ManagedOwnerName: l.ManagedOwnerName})
		}
	}
	return resolverPage(c, "FirewallDomainLists", all, func(l types.FirewallDomainListMetadata) string { return str(l.Id) }, 100)
}

// listFirewallDomains keeps the contents of the lists that AWS manages to
// itself.
func listFirewallDomains(c *call) (answer, error) {
	r, err := c.domainList()
	if err != nil {
		return nil, err
	}
	if r.Managed {
		return nil, c.problem(accessDenied, "The domains of a managed domain list cannot be listed")
	}
	return resolverPage(c, "Domains", r.Domains, same, 5000)
}

// getFirewallConfig tells what a VPC does when the firewall does not answer.
// Unless it is stated otherwise, queries fail then.
func getFirewallConfig(c *call) (answer, error) {
	id := c.params.at("ResourceId").value
	if _, err := vpcs.one(c, id); err != nil {
		return nil, bad("ResourceNotFoundException", "Could not find the VPC with ID \"%s\"", id)
	}
	groups, err := c.groups()
	if err != nil {
		return nil, err
	}
	account, config := c.account(), madeID("rslvr-fc-", id)
	fc := types.FirewallConfig{Id: &config, ResourceId: &id, OwnerId: &account, FirewallFailOpen: types.FirewallFailOpenStatusDisabled}
	for _, g := range groups {
		if str(g.VpcId) == id && g.FailOpen != "" {
			fc.FirewallFailOpen = g.FailOpen
		}
	}
	return answer{{"FirewallConfig", fc}}, nil
}
