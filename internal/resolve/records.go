package resolve

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/facts"
)

// A zoneAnswer is what stands in a hosted zone for a name.
type zoneAnswer struct {
	Answer
	alias    string // the target of a CNAME, or of an alias of Route 53
	isAlias  bool   // of Route 53: the client sees records, not a CNAME
	noRecord bool   // nothing is there, and the listing is complete
}

// unescaped writes a name of Route 53's API as it is asked for: \052 is *
// (docs.aws.amazon.com/Route53: DNS domain name format).
func unescaped(name string) string {
	if !strings.Contains(name, `\`) {
		return Normal(name)
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' && isDDD(name[i+1:]) {
			if v, err := strconv.ParseUint(name[i+1:i+4], 8, 8); err == nil && v != '.' {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return Normal(b.String())
}

func zoneID(z *facts.HostedZone) string {
	return strings.TrimPrefix(facts.Val(z.Id), "/hostedzone/")
}

func zoneName(z *facts.HostedZone) string { return unescaped(facts.Val(z.Name)) }

func isPrivate(z *facts.HostedZone) bool { return z.Config != nil && z.Config.PrivateZone }

// recordsOf are the records of a zone; nil when they were not read.
func (w *World) recordsOf(z *facts.HostedZone) *facts.RecordSets {
	for i := range w.Records {
		if strings.TrimPrefix(w.Records[i].HostedZoneId, "/hostedzone/") == zoneID(z) {
			return &w.Records[i]
		}
	}
	return nil
}

// zone looks a name up in a hosted zone, as its name servers do: the name
// itself, else the wildcard next above it.
func (w *World) zone(z *facts.HostedZone, name, qtype string) zoneAnswer {
	out := zoneAnswer{Answer: Answer{Name: name, By: zoneWords(z), Objects: []facts.Ref{ref(facts.HostedZones, "", zoneID(z))}}}
	sets := w.recordsOf(z)
	if sets == nil {
		out.Kind, out.Why = NotKnown, "the records of "+zoneWords(z)+" were not read"
		return out
	}
	origin := zoneName(z)
	if cut := delegated(sets, origin, name); cut != "" {
		out.Kind, out.Why = NotKnown, fmt.Sprintf("%s hands %s over to other name servers, which were not asked", zoneWords(z), cut)
		return out
	}
	owner, exists := held(sets, origin, name)
	if sets.Partial && owner != name {
		if owner == "" {
			exists = false
		}
		out.Unless = append(out.Unless, "there is a record "+bare(name)+", which was not read")
	}
	if owner == "" {
		return out.nothing(sets, name, exists)
	}
	return out.pick(sets, owner, qtype)
}

func zoneWords(z *facts.HostedZone) string {
	kind := "the public zone "
	if isPrivate(z) {
		kind = "the private zone "
	}
	return kind + bare(zoneName(z)) + " (" + zoneID(z) + ")"
}

// delegated is the name below a zone at which other name servers take over.
func delegated(sets *facts.RecordSets, origin, name string) string {
	for i := range sets.ResourceRecordSets {
		s := &sets.ResourceRecordSets[i]
		if at := unescaped(facts.Val(s.Name)); s.Type == r53types.RRTypeNs && at != origin && Within(name, at) {
			return bare(at)
		}
	}
	return ""
}

// held is the name whose records answer for a name; "" when there is none.
// exists tells whether something stands below it.
func held(sets *facts.RecordSets, origin, name string) (owner string, exists bool) {
	names := map[string]bool{}
	for i := range sets.ResourceRecordSets {
		names[unescaped(facts.Val(sets.ResourceRecordSets[i].Name))] = true
	}
	if names[name] {
		return name, true
	}
	under := func(n string) bool {
		for other := range names {
			if strings.HasSuffix(other, "."+n) {
				return true
			}
		}
		return false
	}
	if under(name) {
		return "", true
	}
	for above := name; above != origin && strings.Contains(above, "."); {
		_, above, _ = strings.Cut(above, ".")
		if names["*."+above] {
			return "*." + above, true
		}
		if names[above] || under(above) {
			return "", false // a name between stops wildcards above it
		}
	}
	return "", false
}

func (out zoneAnswer) nothing(sets *facts.RecordSets, name string, exists bool) zoneAnswer {
	switch {
	case exists:
		out.Kind, out.Why = NoData, "there are only names below "+bare(name)
	case sets.Partial:
		out.Unless = nil
		out.Kind, out.Why = NotKnown, fmt.Sprintf("%s has more records than were read; %s is not among those that were", out.By, bare(name))
	default:
		out.Kind, out.noRecord, out.Why = NXDomain, true, fmt.Sprintf("%s has no record %s", out.By, bare(name))
	}
	return out
}

// pick takes the records of a type, an alias or a CNAME of a name.
func (out zoneAnswer) pick(sets *facts.RecordSets, owner, qtype string) zoneAnswer {
	var types []string
	for i := range sets.ResourceRecordSets {
		s := &sets.ResourceRecordSets[i]
		if unescaped(facts.Val(s.Name)) != owner {
			continue
		}
		types = append(types, string(s.Type))
		if string(s.Type) != qtype && s.Type != r53types.RRTypeCname {
			continue
		}
		out.Kind = Found
		if policy := routing(s); policy != "" && len(out.Records) == 0 && out.alias == "" {
			out.Unless = append(out.Unless, "the "+policy+" of the record gives another one")
		}
		if t := s.AliasTarget; t != nil {
			out.alias, out.isAlias = unescaped(facts.Val(t.DNSName)), true
			continue
		}
		for _, r := range s.ResourceRecords {
			out.Records = append(out.Records, facts.Val(r.Value))
		}
		if s.Type == r53types.RRTypeCname && qtype != "CNAME" && len(s.ResourceRecords) > 0 {
			out.alias, out.isAlias, out.Records = unescaped(facts.Val(s.ResourceRecords[0].Value)), false, nil
		}
	}
	out.Why = "record " + owner + " in " + out.By
	if out.Kind == "" {
		slices.Sort(types)
		out.Kind, out.Why = NoData, fmt.Sprintf("%s has %s only as %s", out.By, bare(owner), strings.Join(slices.Compact(types), ", "))
		if sets.Partial {
			out.Kind = NotKnown
		}
	}
	return out
}

// routing names the policy by which Route 53 chooses among records.
func routing(s *r53types.ResourceRecordSet) string {
	switch {
	case s.Failover != "":
		return "failover routing"
	case s.Weight != nil:
		return "weighted routing"
	case s.Region != "":
		return "latency routing"
	case s.GeoLocation != nil || s.GeoProximityLocation != nil || s.CidrRoutingConfig != nil:
		return "routing by the client's place"
	case s.MultiValueAnswer != nil:
		return "multivalue routing"
	}
	return ""
}
