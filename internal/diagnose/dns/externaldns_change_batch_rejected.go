package dns

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var externalDNSChangeBatchRejected = &diagnose.Check{
	ID:    "dns/externaldns-change-batch-rejected",
	Title: "Route 53 rejects external-dns's changes",
	Doc: `external-dns sends its changes of a zone as one batch, which Route 53 makes whole or not at all. It refuses a record beside one that
excludes it: a CNAME beside anything of the same name or at the zone's own name, a TXT record that is there already, a weighted record beside a
plain one. The changes are then sent again name by name, so that one bad name does not hold up the others; old versions do not do that.

Recognised by "Failure in zone ... when submitting change batch" in the log, after the last sync that found nothing to do.

Looks alike: a batch that is refused for want of a permission or by throttling says so, and has its own finding. Where another owner's record is in
the way nothing is sent at all.

Fixed by deleting or converting the record that is in the way; by an alias in place of a CNAME at the zone's name; by --txt-prefix where the TXT
record of a CNAME has the CNAME's own name.`,
	Needs: complaintNeeds,
	Wants: complaintWants,
	Sources: []string{
		"https://github.com/kubernetes-sigs/external-dns/blob/master/provider/aws/aws.go",
		"https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html",
		"https://github.com/kubernetes-sigs/external-dns/blob/master/docs/registry/txt.md",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		return complaining(v, batchRefused, rejected)
	},
}

var (
	batchZone  = regexp.MustCompile(`Failure in zone (\S+) when submitting`)
	batchWhy   = regexp.MustCompile(`InvalidChangeBatch: \[?(.*)\]`)
	triedName  = regexp.MustCompile(`name='([^']+)'`)
	rrsetName  = regexp.MustCompile(`with DNS name (\S+)`)
	inTheWay   = regexp.MustCompile(`but it already exists|conflicting RRSet`)
	apexReason = regexp.MustCompile(`not permitted at apex`)
)

func rejected(x *publishing, p *publisher, lines []saying) *diagnose.Finding {
	var names []string
	for _, s := range lines {
		for _, re := range []*regexp.Regexp{triedName, rrsetName} {
			for _, m := range re.FindAllStringSubmatch(s.text, -1) {
				names = append(names, canonical(strings.TrimRight(m[1], ",]")))
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	last := lines[len(lines)-1].text
	zone := ""
	for _, s := range lines {
		zone = orElse(canonical(find(batchZone, s.text)), zone)
	}
	why := "Route 53 rejects its changes"
	if zone != "" {
		why += " to zone " + zone
	}
	if len(names) > 0 {
		why += " for " + diagnose.Some(names)
	}
	if reason := find(batchWhy, last); reason != "" {
		why += ": " + oneLine(reason)
	} else if strings.Contains(last, "exceeds max batch size") {
		why += ": " + oneLine(last)
	}
	f := x.silent(p, "does not get its records made: "+why)
	if f.Severity == diagnose.Risk {
		f.Severity = diagnose.Degraded
	}
	for _, n := range names {
		if r := recordRef(n); !slices.Contains(f.Affects, r) {
			f.Affects = append(f.Affects, r)
		}
	}
	f.Evidence = slices.Concat([]diagnose.Evidence{{Fact: diagnose.LogOf + p.name(), Got: oneLine(last), Want: "record(s) were successfully updated", Command: p.logs()}},
		x.obstacles(names), f.Evidence)
	f.Remedies = []remedy.Remedy{x.clearWay(p, names, last)}
	return f
}

// obstacles are the records that are there under the names, of any type.
func (x *publishing) obstacles(names []string) []diagnose.Evidence {
	var all []diagnose.Evidence
	for _, n := range names[:min(3, len(names))] {
		h, records := x.allOf(n)
		if len(records) == 0 {
			continue
		}
		var types []string
		for _, r := range records {
			types = append(types, string(r.Type))
		}
		all = append(all, diagnose.Evidence{Fact: recordRef(n).String(), Got: strings.Join(types, ", ") + " in " + h.label(), Want: "nothing that excludes the new record", Command: listing(h, n)})
	}
	return all
}

// allOf are the records of a name, of any type, in the first zone that has some.
func (x *publishing) allOf(name string) (*hosted, []r53types.ResourceRecordSet) {
	for _, h := range x.zonesOf(name) {
		if all := h.named[name]; len(all) > 0 {
			return h, all
		}
	}
	return nil, nil
}

func (x *publishing) clearWay(p *publisher, names []string, line string) remedy.Remedy {
	if apexReason.MatchString(line) {
		return remedy.Remedy{
			Title:  "Use an alias at the zone's own name",
			Why:    "A CNAME cannot stand beside the zone's NS and SOA records. external-dns writes an alias for a load balancer's name unless --aws-prefer-cname is set or the target is no load balancer's.",
			Manual: []string{p.args()},
		}
	}
	r := remedy.Remedy{
		Title:  "Look at the records of the name, and delete or convert the one in the way",
		Why:    "Deleting a record that something still uses makes its name stop resolving: compare it with what external-dns wants to make.",
		Manual: []string{p.kubectl("logs deployment/" + p.deployment.Name + " | grep 'Desired change'")},
	}
	for _, n := range names[:min(3, len(names))] {
		h, records := x.allOf(n)
		if h == nil {
			continue
		}
		r.Manual = append(r.Manual, listing(h, n))
		if inTheWay.MatchString(line) && n != h.name {
			r.Risk = remedy.Destructive
			r.Manual = append(r.Manual, deletion(h, records...))
		}
	}
	if len(names) == 0 {
		r.Manual = append(r.Manual, fmt.Sprintf("%s | grep -A2 'Failure in zone'", p.logs()))
	}
	return r
}
