package dns

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/facts"
)

// A claimant is what a TXT record of external-dns says of another record.
type claimant struct {
	owner    string
	resource string // ingress/NAMESPACE/NAME, or with another source's name; "" when not told
	txt      r53types.ResourceRecordSet
}

// An affix is how a publisher makes the name of a TXT record from that of the
// record which it is about.
type affix struct{ prefix, suffix, wildcard string }

// affix is p's. It is case-insensitive, as names are.
func (p *publisher) affix() affix {
	return affix{strings.ToLower(p.flags.last("txt-prefix", "")), strings.ToLower(p.flags.last("txt-suffix", "")), strings.ToLower(p.flags.last("txt-wildcard-replacement", ""))}
}

const recordType = "%{record_type}" // stands for the type in a prefix or suffix

// names are the names of TXT records that may be about a record, the one that
// counts first: with the record's type, and as versions before 0.12 wrote them.
func (a affix) names(name string, kind r53types.RRType, alias bool) []string {
	first, rest, _ := strings.Cut(name, ".")
	if a.wildcard != "" && first == "*" {
		first = a.wildcard
	}
	with := func(kind string) string {
		prefix, suffix := strings.ReplaceAll(a.prefix, recordType, kind), strings.ReplaceAll(a.suffix, recordType, kind)
		if kind != "" && !strings.Contains(a.prefix+a.suffix, recordType) {
			return prefix + kind + "-" + first + suffix + "." + rest
		}
		return prefix + first + suffix + "." + rest
	}
	all := []string{with(strings.ToLower(string(kind)))}
	if alias && kind == r53types.RRTypeA {
		all = append(all, with("cname")) // what older versions wrote for an alias
	}
	if kind != r53types.RRTypeAaaa {
		all = append(all, with(""))
	}
	return all
}

// claimOn is what p's registry would read of a record: its own names of TXT
// records only. It reports false for a record that nobody claims there.
func (p *publisher) claimOn(h *hosted, r r53types.ResourceRecordSet) (claimant, bool) {
	for _, name := range p.affix().names(canonical(facts.Val(r.Name)), r.Type, r.AliasTarget != nil) {
		for _, txt := range h.named[name] {
			if c, ok := parseClaim(txt); ok && facts.Val(txt.SetIdentifier) == facts.Val(r.SetIdentifier) {
				return c, true
			}
		}
	}
	return claimant{}, false
}

// strayClaim finds a TXT record of external-dns that speaks of the name's
// object and that no name of p's leads to: the sign of another --txt-prefix.
func strayClaim(h *hosted, name, resource string) (claimant, bool) {
	for _, txt := range h.records {
		c, ok := parseClaim(txt)
		first, rest, _ := strings.Cut(name, ".")
		if ok && resource != "" && c.resource == resource && strings.HasSuffix(canonical(facts.Val(txt.Name)), "."+rest) && strings.Contains(canonical(facts.Val(txt.Name)), first) {
			return c, true
		}
	}
	return claimant{}, false
}

// parseClaim reads "heritage=external-dns,external-dns/owner=ID,...".
func parseClaim(txt r53types.ResourceRecordSet) (claimant, bool) {
	if txt.Type != r53types.RRTypeTxt || len(txt.ResourceRecords) == 0 {
		return claimant{}, false
	}
	c, heritage := claimant{txt: txt}, false
	for token := range strings.SplitSeq(strings.Trim(facts.Val(txt.ResourceRecords[0].Value), `"`), ",") {
		key, value, _ := strings.Cut(token, "=")
		switch key {
		case "heritage":
			heritage = value == "external-dns"
		case "external-dns/owner":
			c.owner = value
		case "external-dns/resource":
			c.resource = value
		}
	}
	return c, heritage
}

// deletion is the command that deletes records of a zone, each with exactly
// the values that it has: Route 53 refuses any other.
func deletion(h *hosted, records ...r53types.ResourceRecordSet) string {
	return changing(h, "DELETE", records...)
}

// changing is the command that does one action, DELETE or UPSERT, to records of a zone.
func changing(h *hosted, action string, records ...r53types.ResourceRecordSet) string {
	type change struct {
		Action            string
		ResourceRecordSet map[string]any
	}
	var doc struct{ Changes []change }
	for _, r := range records {
		doc.Changes = append(doc.Changes, change{action, spare(r)})
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return listing(h, "")
	}
	return "aws route53 change-resource-record-sets --hosted-zone-id " + h.id + " --change-batch " + quoted(string(b))
}

// spare is a record as the AWS CLI takes it: without the fields that are not set.
func spare(r r53types.ResourceRecordSet) map[string]any {
	b, err := json.Marshal(r)
	var doc map[string]any
	if err != nil || json.Unmarshal(b, &doc) != nil {
		return nil
	}
	maps.DeleteFunc(doc, func(_ string, x any) bool { return x == nil || x == "" })
	return doc
}

// listing is the command that shows a zone's records, of one name if it is
// given.
func listing(h *hosted, name string) string {
	cmd := "aws route53 list-resource-record-sets --hosted-zone-id " + h.id
	if name == "" {
		return cmd
	}
	return cmd + ` --query "ResourceRecordSets[?contains(Name, '` + name + `')]"`
}

// pointsTo says where records lead, for people.
func pointsTo(records []r53types.ResourceRecordSet) string {
	var all []string
	for _, r := range records {
		all = append(all, pointees(r)...)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}
