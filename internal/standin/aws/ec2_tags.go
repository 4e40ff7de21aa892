package aws

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

// maxTags is how many tags a resource may have.
const maxTags = 50

// A taggedKind is a sort of object that has tags.
type taggedKind struct {
	prefix   string // of ids
	field    string // that holds the tags
	id       string // field that holds the id
	kind     facts.Kind
	resource types.ResourceType
}

var taggable = []taggedKind{
	{"subnet-", "Tags", "SubnetId", "ec2/subnets", types.ResourceTypeSubnet},
	{"vpc-", "Tags", "VpcId", "ec2/vpcs", types.ResourceTypeVpc},
	{"rtb-", "Tags", "RouteTableId", "ec2/route-tables", types.ResourceTypeRouteTable},
	{"sg-", "Tags", "GroupId", "ec2/security-groups", types.ResourceTypeSecurityGroup},
	{"eni-", "TagSet", "NetworkInterfaceId", "ec2/network-interfaces", types.ResourceTypeNetworkInterface},
	{"acl-", "Tags", "NetworkAclId", "ec2/network-acls", types.ResourceTypeNetworkAcl},
	{"nat-", "Tags", "NatGatewayId", "ec2/nat-gateways", types.ResourceTypeNatgateway},
	{"vpce-", "Tags", "VpcEndpointId", "ec2/vpc-endpoints", types.ResourceTypeVpcEndpoint},
	{"i-", "Tags", "InstanceId", "ec2/instances", types.ResourceTypeInstance},
	{"igw-", "Tags", "InternetGatewayId", "ec2/internet-gateways", types.ResourceTypeInternetGateway},
}

var (
	createTags = op{run: runCreateTags, write: true, needs: []string{"ResourceId", "Tag"}}
	deleteTags = op{run: runDeleteTags, write: true, needs: []string{"ResourceId"}, takes: []string{"Tag"}}
)

// tagList are an object's tags, which are in a field of one name or another.
type tagList struct{ Tags, TagSet []types.Tag }

func (t *tagList) of(field string) *[]types.Tag {
	if field == "TagSet" {
		return &t.TagSet
	}
	return &t.Tags
}

// allTags are the tags of all objects.
func allTags(c *call) ([]types.TagDescription, error) {
	var all []types.TagDescription
	if !c.here {
		return all, nil
	}
	for _, t := range taggable {
		docs, _ := c.server.world.List(t.kind)
		for _, d := range docs {
			tags, err := world.Decode[tagList](d)
			if err != nil {
				return nil, err
			}
			id, _ := d[t.id].(string)
			for _, tag := range *tags.of(t.field) {
				all = append(all, types.TagDescription{ResourceId: &id, ResourceType: t.resource, Key: tag.Key, Value: tag.Value})
			}
		}
	}
	return all, nil
}

// changeTags applies change to the tags of every resource that the call
// names. All of them must be there and take the change before one is changed.
func (c *call) changeTags(change func([]types.Tag) ([]types.Tag, error)) error {
	ids := c.params.at("ResourceId").values()
	for _, really := range []bool{false, true} {
		for _, id := range ids {
			if err := c.changeTagsOf(id, really, change); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *call) changeTagsOf(id string, really bool, change func([]types.Tag) ([]types.Tag, error)) error {
	i := slices.IndexFunc(taggable, func(t taggedKind) bool { return strings.HasPrefix(id, t.prefix) })
	if i < 0 {
		return bad("InvalidID", "The ID '%s' is not valid", id)
	}
	t := taggable[i]
	d, err := c.server.world.Get(t.kind, id)
	if err != nil || !c.here {
		return bad("InvalidID", "The ID '%s' does not exist", id)
	}
	old, err := world.Decode[tagList](d)
	if err != nil {
		return err
	}
	tags, err := change(*old.of(t.field))
	if err != nil || !really {
		return err
	}
	return c.server.world.Update(t.kind, id, func(d world.Doc) error {
		d[t.field] = plain(docStyle, tags)
		return nil
	})
}

func runCreateTags(c *call) (answer, error) {
	asked, err := c.tags(c.params.at("Tag"))
	if err != nil {
		return nil, err
	}
	return done, c.changeTags(func(tags []types.Tag) ([]types.Tag, error) {
		tags = slices.Clone(tags)
		for _, tag := range asked {
			i := slices.IndexFunc(tags, func(t types.Tag) bool { return str(t.Key) == *tag.Key })
			if i >= 0 {
				tags[i] = tag
			} else {
				tags = append(tags, tag)
			}
		}
		if len(tags) > maxTags {
			return nil, bad("TagLimitExceeded", "You have reached the maximum number of tags for this resource (%d).", maxTags)
		}
		return tags, nil
	})
}

// tags reads new tags. Keys that begin with "aws:" are AWS's own.
func (c *call) tags(p *param) ([]types.Tag, error) {
	var tags []types.Tag
	for _, t := range p.list() {
		key, value := t.at("Key").value, t.at("Value").value
		switch {
		case key == "" || len(key) > 128 || len(value) > 256:
			return nil, c.invalid("Tag key must be 1 to 128 characters long, its value at most 256")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return nil, c.invalid("Tag keys starting with 'aws:' are reserved for internal use")
		}
		tags = append(tags, types.Tag{Key: &key, Value: &value})
	}
	return tags, nil
}

// runDeleteTags takes tags away: by key, by key and value where the call
// gives a value, all of the caller's own where it gives no tags.
func runDeleteTags(c *call) (answer, error) {
	asked := c.params.at("Tag").list()
	return done, c.changeTags(func(tags []types.Tag) ([]types.Tag, error) {
		return slices.DeleteFunc(slices.Clone(tags), func(t types.Tag) bool {
			if len(asked) == 0 {
				return !strings.HasPrefix(str(t.Key), "aws:")
			}
			return slices.ContainsFunc(asked, func(a *param) bool {
				value := a.at("Value")
				return a.at("Key").value == str(t.Key) && (!value.set || value.value == str(t.Value))
			})
		}), nil
	})
}
