package collect

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"

	"github.com/hopwise/hopwise/internal/facts"
)

// quotaCodes are the limits of Amazon VPC that checks know: the rules of a
// security group, and the groups of a network interface.
var quotaCodes = []string{"L-0EA8095F", "L-2AFB9258"}

// vpcs reads the cluster's VPC, which also tells its DHCP options.
func (a *awsReader) vpcs(ctx context.Context, one *once) ([]ec2types.Vpc, error) {
	return do(one, "vpcs", func() ([]ec2types.Vpc, error) {
		id, err := a.vpc(ctx, one)
		if err != nil {
			return nil, err
		}
		p := ec2.NewDescribeVpcsPaginator(a.ec2, &ec2.DescribeVpcsInput{Filters: []ec2types.Filter{{Name: aws.String("vpc-id"), Values: []string{id}}}})
		return all(ctx, p.HasMorePages, p.NextPage, func(o *ec2.DescribeVpcsOutput) []ec2types.Vpc { return o.Vpcs })
	})
}

// vpcAttributes reads the settings about DNS; a call tells one of them.
func (a *awsReader) vpcAttributes(ctx context.Context, vpc string) ([]facts.VPCAttributes, error) {
	v := facts.VPCAttributes{VpcId: vpc}
	names := []ec2types.VpcAttributeName{ec2types.VpcAttributeNameEnableDnsSupport, ec2types.VpcAttributeNameEnableDnsHostnames}
	err := parallel(len(names), func(i int) error {
		out, err := a.ec2.DescribeVpcAttribute(ctx, &ec2.DescribeVpcAttributeInput{VpcId: &vpc, Attribute: names[i]})
		switch {
		case err != nil:
			return err
		case i == 0:
			v.EnableDnsSupport = out.EnableDnsSupport
		default:
			v.EnableDnsHostnames = out.EnableDnsHostnames
		}
		return nil
	})
	return []facts.VPCAttributes{v}, err
}

// dhcpOptions reads the sets of the account while the VPC is asked which one
// it has: there are few.
func (a *awsReader) dhcpOptions(ctx context.Context, one *once) ([]ec2types.DhcpOptions, error) {
	var (
		sets []ec2types.DhcpOptions
		vpcs []ec2types.Vpc
	)
	err := parallel(2, func(i int) (err error) {
		if i == 0 {
			p := ec2.NewDescribeDhcpOptionsPaginator(a.ec2, &ec2.DescribeDhcpOptionsInput{})
			sets, err = all(ctx, p.HasMorePages, p.NextPage, func(o *ec2.DescribeDhcpOptionsOutput) []ec2types.DhcpOptions { return o.DhcpOptions })
			return err
		}
		vpcs, err = a.vpcs(ctx, one)
		return depends("ec2:DescribeVpcs", err)
	})
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, v := range vpcs {
		used[aws.ToString(v.DhcpOptionsId)] = true
	}
	return keep(sets, func(s ec2types.DhcpOptions) bool { return used[aws.ToString(s.DhcpOptionsId)] }), nil
}

// fargateProfiles asks for each profile: the list tells names only.
func (a *awsReader) fargateProfiles(ctx context.Context, one *once) ([]ekstypes.FargateProfile, error) {
	if a.cluster == "" {
		return nil, unreachable(nil, "the cluster's name is not known: set HOPWISE_CLUSTER")
	}
	names, err := a.fargateNames(ctx, one)
	if err != nil {
		return nil, err
	}
	found := make([]*ekstypes.FargateProfile, len(names))
	err = parallel(len(names), func(i int) error {
		out, err := a.eks.DescribeFargateProfile(ctx, &eks.DescribeFargateProfileInput{ClusterName: &a.cluster, FargateProfileName: &names[i]})
		var gone *ekstypes.ResourceNotFoundException
		if errors.As(err, &gone) { // deleted since it was listed
			return nil
		}
		if err != nil {
			return err
		}
		found[i] = out.FargateProfile
		return nil
	})
	return there(found), err
}

func (a *awsReader) fargateNames(ctx context.Context, one *once) ([]string, error) {
	p := eks.NewListFargateProfilesPaginator(a.eks, &eks.ListFargateProfilesInput{ClusterName: &a.cluster})
	names, err := all(ctx, p.HasMorePages, p.NextPage, func(o *eks.ListFargateProfilesOutput) []string { return o.FargateProfileNames })
	var none *ekstypes.ResourceNotFoundException
	if errors.As(err, &none) { // there is no such cluster: say it in the same words as of all other kinds
		if _, cerr := a.describeCluster(ctx, one); cerr != nil {
			return nil, depends("eks:DescribeCluster", cerr)
		}
	}
	return names, depends("eks:ListFargateProfiles", err)
}

// serviceQuotas reads the limits that apply to the account.
func (a *awsReader) serviceQuotas(ctx context.Context) ([]quotatypes.ServiceQuota, error) {
	found := make([]*quotatypes.ServiceQuota, len(quotaCodes))
	err := parallel(len(quotaCodes), func(i int) (err error) {
		found[i], err = a.quota(ctx, "vpc", quotaCodes[i])
		return err
	})
	return there(found), err
}

// quota reads one limit. An account that never asked for another value may
// have none of its own: then it is AWS's default.
func (a *awsReader) quota(ctx context.Context, service, code string) (*quotatypes.ServiceQuota, error) {
	out, err := a.quotas.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: &service, QuotaCode: &code})
	if err == nil {
		return out.Quota, nil
	}
	var none *quotatypes.NoSuchResourceException
	if !errors.As(err, &none) {
		return nil, err
	}
	preset, err := a.quotas.GetAWSDefaultServiceQuota(ctx, &servicequotas.GetAWSDefaultServiceQuotaInput{ServiceCode: &service, QuotaCode: &code})
	if err != nil {
		return nil, depends("servicequotas:GetAWSDefaultServiceQuota", err)
	}
	return preset.Quota, nil
}

// depends marks err, if there is one, as that of another permission than the
// kind's own.
func depends(permission string, err error) error {
	if err == nil {
		return nil
	}
	return errDepends{permission, err}
}

// there are the values of the pointers that are not nil.
func there[T any](found []*T) []T {
	list := []T{}
	for _, f := range found {
		if f != nil {
			list = append(list, *f)
		}
	}
	return list
}

// keep returns those of a list that are wanted; never nil.
func keep[T any](list []T, want func(T) bool) []T {
	kept := []T{}
	for _, t := range list {
		if want(t) {
			kept = append(kept, t)
		}
	}
	return kept
}
