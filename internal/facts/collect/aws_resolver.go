package collect

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53resolver"
	"github.com/aws/aws-sdk-go-v2/service/route53resolver/types"

	"github.com/hopwise/hopwise/internal/facts"
)

// resolverRules reads all rules that the account has or was given: the API
// cannot tell those of a VPC.
func (a *awsReader) resolverRules(ctx context.Context, one *once) ([]types.ResolverRule, error) {
	return do(one, "resolver-rules", func() ([]types.ResolverRule, error) {
		p := route53resolver.NewListResolverRulesPaginator(a.resolver, &route53resolver.ListResolverRulesInput{})
		return all(ctx, p.HasMorePages, p.NextPage, func(o *route53resolver.ListResolverRulesOutput) []types.ResolverRule { return o.ResolverRules })
	})
}

// ruleAssociations reads which rules the cluster's VPC follows.
func (a *awsReader) ruleAssociations(ctx context.Context, one *once) ([]types.ResolverRuleAssociation, error) {
	return do(one, "resolver-rule-associations", func() ([]types.ResolverRuleAssociation, error) {
		vpc, err := a.vpc(ctx, one)
		if err != nil {
			return nil, err
		}
		p := route53resolver.NewListResolverRuleAssociationsPaginator(a.resolver, &route53resolver.ListResolverRuleAssociationsInput{
			Filters: []types.Filter{{Name: aws.String("VPCId"), Values: []string{vpc}}},
		})
		return all(ctx, p.HasMorePages, p.NextPage, func(o *route53resolver.ListResolverRuleAssociationsOutput) []types.ResolverRuleAssociation {
			return o.ResolverRuleAssociations
		})
	})
}

// resolverEndpoints reads the endpoints in the cluster's VPC and those that
// its rules send queries through, which often are in a VPC for all. An
// endpoint of another account cannot be read.
func (a *awsReader) resolverEndpoints(ctx context.Context, one *once) ([]facts.ResolverEndpoint, error) {
	var (
		endpoints []types.ResolverEndpoint
		used      map[string]bool
		vpc       string
	)
	err := parallel(2, func(i int) (err error) {
		if i == 0 {
			p := route53resolver.NewListResolverEndpointsPaginator(a.resolver, &route53resolver.ListResolverEndpointsInput{})
			endpoints, err = all(ctx, p.HasMorePages, p.NextPage, func(o *route53resolver.ListResolverEndpointsOutput) []types.ResolverEndpoint {
				return o.ResolverEndpoints
			})
			return err
		}
		if vpc, err = a.vpc(ctx, one); err != nil {
			return err
		}
		used, err = a.usedEndpoints(ctx, one)
		return err
	})
	if err != nil {
		return nil, err
	}
	endpoints = keep(endpoints, func(e types.ResolverEndpoint) bool {
		return aws.ToString(e.HostVPCId) == vpc || used[aws.ToString(e.Id)]
	})
	return a.withAddresses(ctx, endpoints)
}

// usedEndpoints are the ids of the endpoints of the rules that the VPC
// follows.
func (a *awsReader) usedEndpoints(ctx context.Context, one *once) (map[string]bool, error) {
	var (
		rules  []types.ResolverRule
		follow []types.ResolverRuleAssociation
	)
	err := parallel(2, func(i int) (err error) {
		if i == 0 {
			rules, err = a.resolverRules(ctx, one)
			return depends("route53resolver:ListResolverRules", err)
		}
		follow, err = a.ruleAssociations(ctx, one)
		return depends("route53resolver:ListResolverRuleAssociations", err)
	})
	if err != nil {
		return nil, err
	}
	followed, used := map[string]bool{}, map[string]bool{}
	for _, f := range follow {
		followed[aws.ToString(f.ResolverRuleId)] = true
	}
	for _, r := range rules {
		if followed[aws.ToString(r.Id)] {
			used[aws.ToString(r.ResolverEndpointId)] = true
		}
	}
	return used, nil
}

func (a *awsReader) withAddresses(ctx context.Context, endpoints []types.ResolverEndpoint) ([]facts.ResolverEndpoint, error) {
	found := make([]*facts.ResolverEndpoint, len(endpoints))
	err := parallel(len(endpoints), func(i int) error {
		p := route53resolver.NewListResolverEndpointIpAddressesPaginator(a.resolver, &route53resolver.ListResolverEndpointIpAddressesInput{ResolverEndpointId: endpoints[i].Id})
		addresses, err := all(ctx, p.HasMorePages, p.NextPage, func(o *route53resolver.ListResolverEndpointIpAddressesOutput) []types.IpAddressResponse {
			return o.IpAddresses
		})
		if gone(err) {
			return nil
		}
		found[i] = &facts.ResolverEndpoint{ResolverEndpoint: endpoints[i], IpAddresses: addresses}
		return depends("route53resolver:ListResolverEndpointIpAddresses", err)
	})
	return there(found), err
}

// gone reports whether an object was deleted since it was listed.
func gone(err error) bool {
	var none *types.ResourceNotFoundException
	return errors.As(err, &none)
}

// firewallGroups reads the associations of the account while DescribeCluster
// is under way, then the rules of those of the cluster's VPC, then the domains
// in the lists of the rules.
func (a *awsReader) firewallGroups(ctx context.Context, one *once) ([]facts.FirewallRuleGroup, error) {
	associations, err := inVPC(ctx, a, one, a.groupAssociations, func(g types.FirewallRuleGroupAssociation) string { return aws.ToString(g.VpcId) })
	if err != nil || len(associations) == 0 {
		return []facts.FirewallRuleGroup{}, err
	}
	groups := make([]facts.FirewallRuleGroup, len(associations))
	var failOpen types.FirewallFailOpenStatus
	var lists map[string]domainList
	err = parallel(len(groups)+2, func(i int) (err error) {
		switch i - len(groups) {
		case 0:
			failOpen, err = a.failOpen(ctx, associations[0].VpcId)
		case 1:
			lists, err = a.domainLists(ctx)
		default:
			groups[i].FirewallRuleGroupAssociation = associations[i]
			groups[i].FirewallRules, err = a.firewallRules(ctx, associations[i].FirewallRuleGroupId)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := a.readDomains(ctx, lists, groups); err != nil {
		return nil, err
	}
	for i := range groups {
		groups[i].FailOpen = failOpen
		fillDomains(groups[i].FirewallRules, lists)
	}
	return groups, nil
}

func (a *awsReader) groupAssociations(ctx context.Context) ([]types.FirewallRuleGroupAssociation, error) {
	p := route53resolver.NewListFirewallRuleGroupAssociationsPaginator(a.resolver, &route53resolver.ListFirewallRuleGroupAssociationsInput{})
	return all(ctx, p.HasMorePages, p.NextPage, func(o *route53resolver.ListFirewallRuleGroupAssociationsOutput) []types.FirewallRuleGroupAssociation {
		return o.FirewallRuleGroupAssociations
	})
}

func (a *awsReader) failOpen(ctx context.Context, vpc *string) (types.FirewallFailOpenStatus, error) {
	out, err := a.resolver.GetFirewallConfig(ctx, &route53resolver.GetFirewallConfigInput{ResourceId: vpc})
	if err != nil || out.FirewallConfig == nil {
		return "", depends("route53resolver:GetFirewallConfig", err)
	}
	return out.FirewallConfig.FirewallFailOpen, nil
}

func (a *awsReader) firewallRules(ctx context.Context, group *string) ([]facts.FirewallRule, error) {
	p := route53resolver.NewListFirewallRulesPaginator(a.resolver, &route53resolver.ListFirewallRulesInput{FirewallRuleGroupId: group})
	list, err := all(ctx, p.HasMorePages, p.NextPage, func(o *route53resolver.ListFirewallRulesOutput) []types.FirewallRule { return o.FirewallRules })
	rules := make([]facts.FirewallRule, len(list))
	for i := range list {
		rules[i].FirewallRule = list[i]
	}
	return rules, depends("route53resolver:ListFirewallRules", err)
}

// A domainList is one that the account can see.
type domainList struct {
	managed bool // by AWS, which does not tell the domains
	domains []string
}

// domainLists reads which lists there are, AWS's own too, without their
// domains.
func (a *awsReader) domainLists(ctx context.Context) (map[string]domainList, error) {
	p := route53resolver.NewListFirewallDomainListsPaginator(a.resolver, &route53resolver.ListFirewallDomainListsInput{})
	found, err := all(ctx, p.HasMorePages, p.NextPage, func(o *route53resolver.ListFirewallDomainListsOutput) []types.FirewallDomainListMetadata {
		return o.FirewallDomainLists
	})
	lists := map[string]domainList{}
	for _, l := range found {
		lists[aws.ToString(l.Id)] = domainList{managed: aws.ToString(l.ManagedOwnerName) != ""}
	}
	return lists, depends("route53resolver:ListFirewallDomainLists", err)
}

// readDomains reads the domains of the account's own lists that rules use,
// each list once.
func (a *awsReader) readDomains(ctx context.Context, lists map[string]domainList, groups []facts.FirewallRuleGroup) error {
	used := map[string]bool{}
	var ids []string
	for _, g := range groups {
		for _, r := range g.FirewallRules {
			id := aws.ToString(r.FirewallDomainListId)
			if l, own := lists[id]; own && !l.managed && !used[id] {
				used[id] = true
				ids = append(ids, id)
			}
		}
	}
	domains := make([][]string, len(ids))
	err := parallel(len(ids), func(i int) (err error) {
		p := route53resolver.NewListFirewallDomainsPaginator(a.resolver, &route53resolver.ListFirewallDomainsInput{FirewallDomainListId: &ids[i], MaxResults: aws.Int32(5000)})
		domains[i], err = all(ctx, p.HasMorePages, p.NextPage, func(o *route53resolver.ListFirewallDomainsOutput) []string { return o.Domains })
		return depends("route53resolver:ListFirewallDomains", err)
	})
	for i, id := range ids {
		lists[id] = domainList{domains: domains[i]}
	}
	return err
}

// fillDomains puts the domains into rules. A list that the account cannot see
// belongs to the owner of a shared group: of it as little is known as of one
// that AWS manages.
func fillDomains(rules []facts.FirewallRule, lists map[string]domainList) {
	for i, r := range rules {
		if r.FirewallDomainListId == nil { // the rule looks for a threat, not for domains
			continue
		}
		l, seen := lists[*r.FirewallDomainListId]
		rules[i].Domains, rules[i].Managed = l.domains, l.managed || !seen
	}
}
