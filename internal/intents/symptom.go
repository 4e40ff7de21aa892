package intents

import (
	"regexp"
	"slices"

	"github.com/hopwise/hopwise/internal/facts"
)

// A Symptom is how DNS fails, for whom and when. It says which causes to show
// first (package diagnose has their order).
type Symptom string

// The symptoms of DNS.
const (
	RecordMissing    Symptom = "record-missing"    // a record was not created, is stale or was not deleted
	Intermittent     Symptom = "intermittent"      // some lookups fail, others do not
	ExternalSlow     Symptom = "external-slow"     // names outside the cluster are slow or fail
	ServiceDiscovery Symptom = "service-discovery" // names of Services do not resolve
	AllLookups       Symptom = "all-lookups"       // nothing resolves
)

// symptomWords are in the order in which they decide: who says "sometimes" of
// external names tells more by "sometimes".
var symptomWords = []struct {
	symptom Symptom
	words   *regexp.Regexp
}{
	{RecordMissing, words(`external-?dns`, `\brecords?\b`, `레코드`)},
	{Intermittent, words(`intermittent`, `\b(?:sometimes|occasional\w*|random\w*|sporadic\w*|flaky|flapping)\b`, `now and then`, `once in a while`, `from time to time`, `every (?:few|now)`, `some (?:of the )?(?:lookups|queries|requests|dns)`, `\b5 ?s(?:ec(?:onds?)?)? (?:delay|timeout|latency)`, `about 5 seconds`, `가끔`, `간헐`, `때때로`)},
	{ExternalSlow, words(`\bexternal\b`, `\b(?:the )?internet\b`, `\boutside\b`, `\bpublic (?:names?|domains?|hosts?|dns)`, `\bdomains\b`, `외부`)},
	{ServiceDiscovery, words(`service discovery`, `\.svc\b`, `cluster\.local`, `\bservices? names?\b`, `find each other`, `\bservices\b.{0,30}\bby (?:their )?names?`, `\binternal (?:names?|services?|dns)`, `서비스`)},
	{AllLookups, words(`\b(?:all|every|any|each)\b.{0,30}\b(?:dns|lookups?|quer(?:y|ies)|names?|pods?|resol\w+)`, `\b(?:no|none|nothing|nobody)\b.{0,30}\bresolv`, `resolve anything`, `\bdns is (?:completely |totally )?(?:down|dead|broken)`, `전부|모든|모두|아무`)},
}

// symptomOf is the symptom that the words tell, "" when the question is not of
// DNS first or says nothing of it.
func symptomOf(text string, layers []facts.Layer) Symptom {
	if slices.Index(layers, facts.DNS) != 0 {
		return ""
	}
	for _, s := range symptomWords {
		if s.words.MatchString(text) {
			return s.symptom
		}
	}
	return ""
}
