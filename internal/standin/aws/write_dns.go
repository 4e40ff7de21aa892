package aws

import (
	"cmp"
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"time"

	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	resolvertypes "github.com/aws/aws-sdk-go-v2/service/route53resolver/types"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

// modifyVPCAttribute changes one attribute: EC2 refuses two in one call.
var modifyVPCAttribute = op{write: true, needs: []string{"VpcId"}, takes: []string{"EnableDnsSupport", "EnableDnsHostnames"}, run: func(c *call) (answer, error) {
	vpc, err := vpcs.one(c, c.params.at("VpcId").value)
	if err != nil {
		return nil, err
	}
	var fields []string
	for _, f := range []string{"EnableDnsSupport", "EnableDnsHostnames"} {
		if c.params.at(f).given() {
			fields = append(fields, f)
		}
	}
	if len(fields) != 1 {
		return nil, bad("InvalidParameterCombination", "Fields for exactly one VPC attribute must be specified")
	}
	value, err := c.bool(c.params.at(fields[0], "Value"))
	if err != nil {
		return nil, err
	}
	kind, w := facts.VPCAttribute.Kind(), c.server.world
	if _, err := w.Get(kind, *vpc.VpcId); err != nil {
		return done, w.Create(kind, world.Doc{"VpcId": *vpc.VpcId, fields[0]: world.Doc{"Value": value}})
	}
	return done, w.Update(kind, *vpc.VpcId, func(d world.Doc) error {
		d[fields[0]] = world.Doc{"Value": value}
		return nil
	})
}}

// bool reads a parameter that is true or false.
func (c *call) bool(p *param) (bool, error) {
	switch p.value {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, c.invalid("Invalid value '%s' for %s. Must be true or false.", p.value, p.name)
}

// modifyVPCEndpoint turns the private names of an interface endpoint on or
// off. Two endpoints of a VPC cannot have the same names, and names need both
// DNS attributes of the VPC ("Manage DNS names", AWS PrivateLink guide).
var modifyVPCEndpoint = op{write: true, needs: []string{"VpcEndpointId", "PrivateDnsEnabled"}, run: func(c *call) (answer, error) {
	e, err := vpcEndpoints.one(c, c.params.at("VpcEndpointId").value)
	if err != nil {
		return nil, err
	}
	on, err := c.bool(c.params.at("PrivateDnsEnabled"))
	if err != nil {
		return nil, err
	}
	if e.VpcEndpointType != "Interface" {
		return nil, bad("InvalidParameter", "Private DNS can only be set for Interface endpoints")
	}
	if on {
		others, err := vpcEndpoints.all(c)
		if err != nil {
			return nil, err
		}
		for _, o := range others {
			if str(o.VpcId) == str(e.VpcId) && str(o.ServiceName) == str(e.ServiceName) && str(o.VpcEndpointId) != str(e.VpcEndpointId) && o.PrivateDnsEnabled != nil && *o.PrivateDnsEnabled {
				return nil, bad("InvalidParameter", "private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s in the VPC %s", str(e.ServiceName), str(e.VpcId))
			}
		}
	}
	return done, c.server.world.Update(vpcEndpoints.kind, *e.VpcEndpointId, func(d world.Doc) error {
		d["PrivateDnsEnabled"] = on
		return nil
	})
}}

var (
	associateVPCWithZone    = op{run: func(c *call) (answer, error) { return c.zoneVPC(true) }, write: true}
	disassociateVPCFromZone = op{run: func(c *call) (answer, error) { return c.zoneVPC(false) }, write: true}
)

// zoneVPC changes which VPCs see a private zone.
func (c *call) zoneVPC(associate bool) (answer, error) {
	var in struct {
		VPC struct{ VPCId, VPCRegion string }
	}
	if err := xml.Unmarshal(c.body, &in); err != nil || in.VPC.VPCId == "" || in.VPC.VPCRegion == "" {
		return nil, bad("InvalidInput", "the body must name a VPC and its region")
	}
	z, err := c.zone()
	if err != nil {
		return nil, err
	}
	if z.Config == nil || !z.Config.PrivateZone {
		return nil, bad("PublicZoneVPCAssociation", "You're trying to associate a VPC with a public hosted zone.")
	}
	seen := slices.ContainsFunc(z.VPCs, func(v r53types.VPC) bool { return str(v.VPCId) == in.VPC.VPCId })
	switch {
	case associate:
		err = c.zoneFree(z, in.VPC.VPCId, seen)
	case !seen:
		err = fail(http.StatusNotFound, "VPCAssociationNotFound", "The VPC %s is not associated with the hosted zone", in.VPC.VPCId)
	case len(z.VPCs) == 1:
		err = bad("LastVPCAssociation", "The VPC that you are trying to disassociate from the private hosted zone is the last VPC that is associated with it.")
	}
	if err != nil {
		return nil, err
	}
	vpcs := slices.DeleteFunc(slices.Clone(z.VPCs), func(v r53types.VPC) bool { return str(v.VPCId) == in.VPC.VPCId })
	if associate {
		vpcs = append(vpcs, r53types.VPC{VPCId: &in.VPC.VPCId, VPCRegion: r53types.VPCRegion(in.VPC.VPCRegion)})
	}
	id, now := madeID("/change/C", c.id), time.Now()
	return answer{{"ChangeInfo", r53types.ChangeInfo{Id: &id, Status: r53types.ChangeStatusPending, SubmittedAt: &now}}},
		c.server.world.Update(facts.HostedZones.Kind(), *z.Id, func(d world.Doc) error {
			list := []any{}
			for _, v := range vpcs {
				list = append(list, docOf(v))
			}
			d["VPCs"] = list
			return nil
		})
}

// zoneFree refuses a VPC that sees the zone, or another one of its name.
func (c *call) zoneFree(z zone, vpc string, seen bool) error {
	zones, err := list[zone](c, facts.HostedZones.Kind())
	if err != nil {
		return err
	}
	for _, o := range zones {
		if (seen || zoneID(o) != zoneID(z)) && absolute(*o.Name) == absolute(*z.Name) && slices.ContainsFunc(o.VPCs, func(v r53types.VPC) bool { return str(v.VPCId) == vpc }) {
			return bad("ConflictingDomainExists", "The VPC %s in region %s has already been associated with the hosted zone %s with the same domain name.", vpc, c.server.world.Setting().Region, zoneID(o))
		}
	}
	return nil
}

var (
	associateResolverRule    = op{run: runAssociateRule, write: true, needs: []string{"ResolverRuleId", "VPCId"}, takes: []string{"Name"}}
	disassociateResolverRule = op{run: runDisassociateRule, write: true, needs: []string{"ResolverRuleId", "VPCId"}}
)

func runAssociateRule(c *call) (answer, error) {
	rules, err := list[resolvertypes.ResolverRule](c, facts.ResolverRules.Kind())
	if err != nil {
		return nil, err
	}
	domains := map[string]string{}
	for _, r := range rules {
		domains[str(r.Id)] = strings.ToLower(str(r.DomainName))
	}
	rule, vpc := c.params.at("ResolverRuleId").value, c.params.at("VPCId").value
	if _, ok := domains[rule]; !ok {
		return nil, bad("ResourceNotFoundException", "Resolver rule with ID \"%s\" does not exist", rule)
	}
	if _, err := vpcs.one(c, vpc); err != nil {
		return nil, c.invalid("The VPC %s does not exist", vpc)
	}
	all, err := list[resolvertypes.ResolverRuleAssociation](c, facts.ResolverRuleAssociations.Kind())
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if str(a.VPCId) == vpc && domains[str(a.ResolverRuleId)] == domains[rule] && !strings.HasPrefix(str(a.ResolverRuleId), "rslvr-autodefined-") {
			return nil, bad("ResourceExistsException", "A resolver rule with the domain name '%s' is already associated with the VPC %s", domains[rule], vpc)
		}
	}
	id, name := madeID("rslvr-rrassoc-", rule, vpc), cmp.Or(c.params.at("Name").ptr(), &rule)
	stored := resolvertypes.ResolverRuleAssociation{Id: &id, Name: name, ResolverRuleId: &rule, VPCId: &vpc, Status: resolvertypes.ResolverRuleAssociationStatusComplete}
	answered := stored
	answered.Status = resolvertypes.ResolverRuleAssociationStatusCreating
	return answer{{"ResolverRuleAssociation", answered}}, c.server.world.Create(facts.ResolverRuleAssociations.Kind(), docOf(stored))
}

func runDisassociateRule(c *call) (answer, error) {
	all, err := list[resolvertypes.ResolverRuleAssociation](c, facts.ResolverRuleAssociations.Kind())
	if err != nil {
		return nil, err
	}
	rule, vpc := c.params.at("ResolverRuleId").value, c.params.at("VPCId").value
	i := slices.IndexFunc(all, func(a resolvertypes.ResolverRuleAssociation) bool {
		return str(a.ResolverRuleId) == rule && str(a.VPCId) == vpc
	})
	if i < 0 {
		return nil, bad("ResourceNotFoundException", "Resolver rule \"%s\" is not associated with VPC \"%s\"", rule, vpc)
	}
	gone := all[i]
	gone.Status = resolvertypes.ResolverRuleAssociationStatusDeleting
	return answer{{"ResolverRuleAssociation", gone}}, c.server.world.Delete(facts.ResolverRuleAssociations.Kind(), *gone.Id)
}

// updateAddon changes the configuration of a managed add-on. The world makes
// it happen at once, so that the add-on is active when the call returns. The
// only way to resolve conflicts that it has is PRESERVE.
var updateAddon = op{write: true, run: func(c *call) (answer, error) {
	in, err := parseJSON(c.body)
	if err != nil {
		return nil, c.invalid("%v", err)
	}
	if _, err := describeAddon(c); err != nil {
		return nil, err
	}
	if how := in.at("resolveConflicts").value; how != "PRESERVE" {
		return nil, c.invalid("resolveConflicts %q: only PRESERVE can be tried here", how)
	}
	values := in.at("configurationValues")
	if values.set {
		if _, err := parseJSON([]byte(values.value)); err != nil {
			return nil, c.invalid("ConfigurationValue provided in request is not supported: %v", err)
		}
	}
	role := in.at("serviceAccountRoleArn")
	err = c.server.world.Update(facts.Addons.Kind(), c.path[2], func(d world.Doc) error {
		if values.set {
			d["configurationValues"] = values.value
		}
		delete(d, "serviceAccountRoleArn") // a role that is not named again is taken away
		if role.set {
			d["serviceAccountRoleArn"] = role.value
		}
		return nil
	})
	id, now := requestID(), time.Now()
	update := ekstypes.Update{Id: &id, Status: ekstypes.UpdateStatusInProgress, Type: ekstypes.UpdateTypeAddonUpdate, CreatedAt: &now}
	return answer{{"update", update}}, err
}}
