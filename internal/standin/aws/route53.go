package aws

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

var route53Ops = map[string]op{
	"ListHostedZones": {run: listHostedZones}, "GetHostedZone": {run: getHostedZone},
	"ListHostedZonesByVPC": {run: listHostedZonesByVPC}, "ListResourceRecordSets": {run: listRecordSets},
	"AssociateVPCWithHostedZone": associateVPCWithZone, "DisassociateVPCFromHostedZone": disassociateVPCFromZone,
}

// A zone is a hosted zone with the VPCs that see it.
type zone struct{ facts.HostedZone }

// routeRoute53 names the operation of a URL: /2013-04-01/hostedzone/ID/rrset.
func routeRoute53(c *call, method, path string) {
	parts := pathParts(path)
	c.action = method + " " + path
	if method == http.MethodPost && len(parts) == 4 && parts[0] == "2013-04-01" && parts[1] == "hostedzone" {
		if action, ok := map[string]string{"associatevpc": "AssociateVPCWithHostedZone", "disassociatevpc": "DisassociateVPCFromHostedZone"}[parts[3]]; ok {
			c.path, c.action = parts[2:3], action
		}
		return
	}
	if method != http.MethodGet || len(parts) < 2 || parts[0] != "2013-04-01" {
		return
	}
	c.path = parts[2:]
	switch {
	case parts[1] == "hostedzonesbyvpc" && len(parts) == 2:
		c.action = "ListHostedZonesByVPC"
	case parts[1] != "hostedzone":
	case len(parts) == 2:
		c.action = "ListHostedZones"
	case len(parts) == 3:
		c.action = "GetHostedZone"
	case len(parts) == 4 && parts[3] == "rrset":
		c.action = "ListResourceRecordSets"
	}
}

// bareZone is a zone's id without the "/hostedzone/" that some answers have.
func bareZone(id string) string { return strings.TrimPrefix(id, "/hostedzone/") }

func zoneID(z zone) string { return bareZone(*z.Id) }

// zone returns the zone that the URL names.
func (c *call) zone() (zone, error) {
	zones, err := list[zone](c, "route53/hosted-zones")
	if err != nil {
		return zone{}, err
	}
	for _, z := range zones {
		if zoneID(z) != bareZone(c.path[0]) {
			continue
		}
		if z.foreign(c) {
			return zone{}, fail(http.StatusForbidden, "AccessDenied", "The resource %s is owned by another account", c.path[0])
		}
		return z, nil
	}
	return zone{}, fail(http.StatusNotFound, "NoSuchHostedZone", "No hosted zone found with ID: %s", c.path[0])
}

// foreign reports whether z belongs to another account or to a service: only
// the VPCs that it is associated with tell that it is there.
func (z zone) foreign(c *call) bool {
	return z.Owner != nil && (str(z.Owner.OwningService) != "" || str(z.Owner.OwningAccount) != c.account())
}

func listHostedZones(c *call) (answer, error) {
	zones, err := list[zone](c, "route53/hosted-zones")
	if err != nil {
		return nil, err
	}
	zones = slices.DeleteFunc(slices.Clone(zones), func(z zone) bool { return z.foreign(c) })
	size, err := c.pageSize(c.params.at("maxitems"), 1, 100)
	if err != nil {
		return nil, err
	}
	marker := c.params.at("marker").value
	part, next, err := pageOf(c, zones, zoneID, marker, size)
	if err != nil {
		return nil, err
	}
	hosted := make([]types.HostedZone, 0, len(part))
	for _, z := range part {
		hosted = append(hosted, z.HostedZone.HostedZone)
	}
	return answer{{"HostedZones", hosted}, {"Marker", marker}, {"IsTruncated", next != ""}, {"NextMarker", next}, {"MaxItems", size}}, nil
}

func getHostedZone(c *call) (answer, error) {
	z, err := c.zone()
	if err != nil {
		return nil, err
	}
	if len(z.VPCs) > 0 {
		return answer{{"HostedZone", z.HostedZone.HostedZone}, {"VPCs", z.VPCs}}, nil
	}
	// Every public zone has four name servers; its NS record tells them.
	return answer{{"HostedZone", z.HostedZone.HostedZone}, {"DelegationSet", types.DelegationSet{NameServers: c.nameServers(z)}}}, nil
}

func (c *call) nameServers(z zone) []string {
	servers := []string{}
	sets, _ := c.recordSets(z)
	for _, rs := range sets {
		if rs.Type != types.RRTypeNs || absolute(*rs.Name) != absolute(*z.Name) {
			continue
		}
		for _, r := range rs.ResourceRecords {
			servers = append(servers, strings.TrimSuffix(*r.Value, "."))
		}
	}
	return servers
}

func listHostedZonesByVPC(c *call) (answer, error) {
	id := c.params.at("vpcid").value
	if id == "" || !c.params.at("vpcregion").set {
		return nil, bad("InvalidInput", "vpcid and vpcregion are required")
	}
	size, err := c.pageSize(c.params.at("maxitems"), 1, 100)
	if err != nil {
		return nil, err
	}
	zones, err := list[zone](c, "route53/hosted-zones")
	if err != nil {
		return nil, err
	}
	seeing := slices.DeleteFunc(slices.Clone(zones), func(z zone) bool {
		return !slices.ContainsFunc(z.VPCs, func(v types.VPC) bool { return str(v.VPCId) == id })
	})
	part, next, err := pageOf(c, seeing, zoneID, c.params.at("nexttoken").value, size)
	if err != nil {
		return nil, err
	}
	account := c.account()
	summaries := make([]types.HostedZoneSummary, 0, len(part))
	for _, z := range part {
		bare := zoneID(z)
		owner := cmp.Or(z.Owner, &types.HostedZoneOwner{OwningAccount: &account})
		summaries = append(summaries, types.HostedZoneSummary{HostedZoneId: &bare, Name: z.Name, Owner: owner})
	}
	return answer{{"HostedZoneSummaries", summaries}, {"MaxItems", size}, {"NextToken", next}}, nil
}

// recordSets are the records of a zone in Route 53's order.
func (c *call) recordSets(z zone) ([]types.ResourceRecordSet, error) {
	docs, _ := c.server.world.List("route53/record-sets")
	for _, d := range docs {
		if id, _ := d["HostedZoneId"].(string); bareZone(id) != zoneID(z) {
			continue
		}
		doc, err := world.Decode[struct{ ResourceRecordSets []types.ResourceRecordSet }](d)
		slices.SortStableFunc(doc.ResourceRecordSets, func(a, b types.ResourceRecordSet) int {
			return compareRecords(keyOf(a), keyOf(b))
		})
		return doc.ResourceRecordSets, err
	}
	return nil, nil
}

// A recordKey is where a record set stands: names are ordered with their
// labels reversed, then types, then set identifiers (ListResourceRecordSets).
type recordKey struct{ name, kind, set string }

func keyOf(rs types.ResourceRecordSet) recordKey {
	k := recordKey{kind: string(rs.Type)}
	if rs.Name != nil {
		k.name = absolute(*rs.Name)
	}
	if rs.SetIdentifier != nil {
		k.set = *rs.SetIdentifier
	}
	return k
}

func compareRecords(a, b recordKey) int {
	return cmp.Or(cmp.Compare(reversed(a.name), reversed(b.name)), cmp.Compare(a.kind, b.kind), cmp.Compare(a.set, b.set))
}

func absolute(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) + "." }

func reversed(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	slices.Reverse(labels)
	return strings.Join(labels, ".")
}

func listRecordSets(c *call) (answer, error) {
	z, err := c.zone()
	if err != nil {
		return nil, err
	}
	start := recordKey{c.params.at("name").value, c.params.at("type").value, c.params.at("identifier").value}
	if start.name == "" && start.kind != "" || start.kind == "" && start.set != "" {
		return nil, bad("InvalidInput", "The input is not valid: type needs name, identifier needs type")
	}
	size, err := c.pageSize(c.params.at("maxitems"), 1, 300)
	if err != nil {
		return nil, err
	}
	all, err := c.recordSets(z)
	if err != nil {
		return nil, err
	}
	if start.name != "" {
		start.name = absolute(start.name)
		all = slices.DeleteFunc(all, func(rs types.ResourceRecordSet) bool { return compareRecords(keyOf(rs), start) < 0 })
	}
	part := all[:min(size, len(all))]
	ans := answer{{"ResourceRecordSets", append([]types.ResourceRecordSet{}, part...)}, {"IsTruncated", len(all) > size}, {"MaxItems", size}}
	if len(all) > size {
		next := all[size]
		ans = append(ans, elem{"NextRecordName", next.Name}, elem{"NextRecordType", next.Type}, elem{"NextRecordIdentifier", next.SetIdentifier})
	}
	return ans, nil
}
