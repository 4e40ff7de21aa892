package dns

import (
	"math"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/hopwise/hopwise/internal/facts"
)

// metrics are what one CoreDNS pod counted since its process started. Numbers
// that the pod did not tell are 0, NaN for shares and times.
type metrics struct {
	pod     string    // namespace/name
	version string    // of CoreDNS, such as 1.13.1; "" when not told
	start   time.Time // of the process, from which all counts are; zero when not told

	requests   float64            // answers measured
	latency    []bucket           // of all answers
	responses  map[string]float64 // by rcode: NOERROR, SERVFAIL ...
	zones      map[string]rcodes  // the same for each zone of the Corefile
	cacheHits  float64
	cacheAsked float64               // cache lookups; 0 without the cache plugin
	upstreams  map[string]*forwarded // by address:port

	rejects       float64 // queries over forward's max_concurrent
	broken        float64 // queries while all upstreams failed their health checks
	panics        float64
	reloadsFailed float64
	slowHealth    float64            // the 99th percentile of its own health requests, in seconds
	setupErrors   map[string]float64 // of the cache on the nodes, by sort
}

// rcodes are answers by rcode.
type rcodes = map[string]float64

// forwarded is what one upstream answered.
type forwarded struct {
	latency        []bucket
	responses      rcodes
	healthFailures float64
}

// A bucket is one of a histogram: how many took at most so many seconds.
type bucket struct{ le, count float64 }

// podMetrics are the metrics of the CoreDNS pods and of the cache on the
// nodes, of the pods whose text could be read.
func podMetrics(v *facts.View) []metrics {
	return facts.Memo(v, facts.PodMetrics, "dns: metrics of CoreDNS", func(list []facts.PodMetric) []metrics {
		var out []metrics
		for _, m := range list {
			if x, ok := parseMetrics(m.Text); ok {
				x.pod = m.Namespace + "/" + m.Name
				out = append(out, x)
			}
		}
		return slices.Clip(out)
	})
}

// parseMetrics reads Prometheus' text format. It reports false for a text that
// is malformed or does not come from CoreDNS.
func parseMetrics(text string) (m metrics, ok bool) {
	defer func() {
		if recover() != nil { // the parser is another's, and the text a stranger's
			m, ok = metrics{}, false
		}
	}()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return metrics{}, false
	}
	f := family(families)
	if !f.coreDNS() {
		return metrics{}, false
	}
	m = metrics{
		latency:       f.histogram("coredns_dns_request_duration_seconds", nil),
		responses:     f.by("rcode", "coredns_dns_responses_total", "coredns_dns_response_rcode_count_total"),
		zones:         map[string]rcodes{},
		cacheHits:     f.total("coredns_cache_hits_total"),
		upstreams:     map[string]*forwarded{},
		rejects:       f.total("coredns_forward_max_concurrent_rejects_total", "coredns_forward_max_concurrent_reject_count_total"),
		broken:        f.total("coredns_forward_healthcheck_broken_total", "coredns_forward_healthcheck_broken_count_total"),
		panics:        f.total("coredns_panics_total", "coredns_panic_count_total"),
		reloadsFailed: f.total("coredns_reload_failed_total", "coredns_reload_failed_count_total"),
		slowHealth:    quantile(f.histogram("coredns_health_request_duration_seconds", nil), 0.99),
		setupErrors:   f.by("errortype", "coredns_nodecache_setup_errors_total", "coredns_nodecache_setup_errors"),
	}
	m.cacheAsked = f.total("coredns_cache_requests_total")
	if m.cacheAsked == 0 {
		m.cacheAsked = m.cacheHits + f.total("coredns_cache_misses_total")
	}
	if n := len(m.latency); n > 0 {
		m.requests = m.latency[n-1].count
	}
	f.about(&m)
	f.readZones(&m)
	f.readUpstreams(&m)
	return m, true
}

// quantile is the time in seconds within which a share of the answers came,
// by the upper bound of its bucket; NaN without answers, +Inf past the last.
func quantile(buckets []bucket, q float64) float64 {
	if len(buckets) == 0 || buckets[len(buckets)-1].count <= 0 {
		return math.NaN()
	}
	want := q * buckets[len(buckets)-1].count
	for _, b := range buckets {
		if b.count >= want {
			return b.le
		}
	}
	return math.Inf(1)
}

// share is the part of all answers that has an rcode; NaN without answers.
func share(r rcodes, rcode string) float64 {
	all := 0.0
	for _, n := range r {
		all += n
	}
	return r[rcode] / all
}

// hitRate is the part of lookups that the cache answered; NaN without a cache.
func (m metrics) hitRate() float64 { return m.cacheHits / m.cacheAsked }

// p99 is the time in seconds within which 99 of 100 answers came.
func (m metrics) p99() float64 { return quantile(m.latency, 0.99) }

// A family is the parsed text, by the metrics' names.
type family map[string]*dto.MetricFamily

func (f family) coreDNS() bool {
	for name := range f {
		if strings.HasPrefix(name, "coredns_") {
			return true
		}
	}
	return false
}

func (f family) about(m *metrics) {
	for _, x := range f["coredns_build_info"].GetMetric() {
		m.version = label(x, "version")
	}
	if s := f.total("process_start_time_seconds"); s > 0 && s < 1e11 {
		m.start = time.Unix(int64(s), 0).UTC()
	}
}

func (f family) readZones(m *metrics) {
	for _, name := range []string{"coredns_dns_responses_total", "coredns_dns_response_rcode_count_total"} {
		for _, x := range f[name].GetMetric() {
			zone := label(x, "zone")
			if m.zones[zone] == nil {
				m.zones[zone] = rcodes{}
			}
			m.zones[zone][label(x, "rcode")] += value(x)
		}
	}
}

// readUpstreams reads what forward tells of each upstream: since 1.11 under
// coredns_proxy_, where other plugins may count as well, before under
// coredns_forward_, since 1.7 with shorter names.
func (f family) readUpstreams(m *metrics) {
	at := func(x *dto.Metric) *forwarded {
		to := label(x, "to")
		if m.upstreams[to] == nil {
			m.upstreams[to] = &forwarded{responses: rcodes{}}
		}
		return m.upstreams[to]
	}
	newer := len(f["coredns_proxy_request_duration_seconds"].GetMetric()) > 0
	for _, x := range f["coredns_proxy_request_duration_seconds"].GetMetric() {
		at(x).responses[label(x, "rcode")] += float64(x.GetHistogram().GetSampleCount())
		at(x).latency = add(at(x).latency, x.GetHistogram())
	}
	for _, name := range []string{"coredns_forward_responses_total", "coredns_forward_response_rcode_count_total"} {
		for _, x := range f[name].GetMetric() {
			if !newer {
				at(x).responses[label(x, "rcode")] += value(x)
			}
		}
	}
	for _, x := range f["coredns_forward_request_duration_seconds"].GetMetric() {
		if !newer {
			at(x).latency = add(at(x).latency, x.GetHistogram())
		}
	}
	for _, name := range []string{"coredns_proxy_healthcheck_failures_total", "coredns_forward_healthcheck_failures_total", "coredns_forward_healthcheck_failure_count_total"} {
		for _, x := range f[name].GetMetric() {
			at(x).healthFailures = max(at(x).healthFailures, value(x))
		}
	}
}

// total adds up all series of the first of names that is there.
func (f family) total(names ...string) float64 {
	for _, name := range names {
		if list := f[name].GetMetric(); len(list) > 0 {
			sum := 0.0
			for _, x := range list {
				sum += value(x)
			}
			return sum
		}
	}
	return 0
}

// by adds up the series of the first of names that is there, by a label.
func (f family) by(key string, names ...string) map[string]float64 {
	out := map[string]float64{}
	for _, name := range names {
		for _, x := range f[name].GetMetric() {
			out[label(x, key)] += value(x)
		}
		if len(out) > 0 {
			break
		}
	}
	return out
}

// histogram adds up the histograms of one name whose labels keep takes.
func (f family) histogram(name string, keep func(*dto.Metric) bool) []bucket {
	var sum []bucket
	for _, x := range f[name].GetMetric() {
		if keep == nil || keep(x) {
			sum = add(sum, x.GetHistogram())
		}
	}
	return sum
}

// add adds a histogram to another one with the same bounds; of others it takes
// the one with more bounds, so that nothing is counted wrongly.
func add(sum []bucket, h *dto.Histogram) []bucket {
	var own []bucket
	for _, b := range h.GetBucket() {
		own = append(own, bucket{b.GetUpperBound(), float64(b.GetCumulativeCount())})
	}
	slices.SortFunc(own, func(a, b bucket) int { return int(math.Copysign(1, a.le-b.le)) })
	if len(own) > 0 && !math.IsInf(own[len(own)-1].le, 1) {
		own = append(own, bucket{math.Inf(1), float64(h.GetSampleCount())})
	}
	if len(own) != len(sum) {
		if len(own) > len(sum) {
			return own
		}
		return sum
	}
	for i := range own {
		own[i].count += sum[i].count
	}
	return own
}

// value is the number of a counter, a gauge or a series without a type.
func value(x *dto.Metric) float64 {
	n := x.GetCounter().GetValue() + x.GetGauge().GetValue() + x.GetUntyped().GetValue()
	if math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return 0
	}
	return n
}

func label(x *dto.Metric, name string) string {
	for _, l := range x.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
