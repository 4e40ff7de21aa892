package dns

import (
	"math"
	"strings"
	"testing"

	"github.com/hopwise/hopwise/internal/facts"
)

func TestMetrics(t *testing.T) {
	_, s := snapshot(t, "coredns-crashloop")
	all := podMetrics(s.View([]facts.Need{facts.PodMetrics}))
	if len(all) != 2 {
		t.Fatalf("%d pods", len(all))
	}
	m := all[0]
	up := m.upstreams["10.0.0.2:53"]
	if m.requests != 412033 || m.p99() != 0.008 || m.version != "1.13.1" || m.start.Year() != 2026 || up == nil || up.responses["NOERROR"] != 66293 || quantile(up.latency, 0.99) != 0.064 {
		t.Errorf("%+v %+v", m, up)
	}
	if got := share(m.responses, "NXDOMAIN"); math.Abs(got-0.4155) > 0.001 {
		t.Errorf("NXDOMAIN share %v", got)
	}
	if got := m.hitRate(); math.Abs(got-0.7318) > 0.001 {
		t.Errorf("hit rate %v", got)
	}
}

func TestOldMetrics(t *testing.T) {
	m, ok := parseMetrics(`coredns_dns_response_rcode_count_total{rcode="SERVFAIL",server="dns://:53",zone="cluster.local."} 30
coredns_dns_response_rcode_count_total{rcode="NOERROR",server="dns://:53",zone="."} 70
coredns_forward_response_rcode_count_total{rcode="SERVFAIL",to="10.0.0.2:53"} 7
coredns_forward_healthcheck_failure_count_total{to="10.0.0.2:53"} 4
coredns_forward_max_concurrent_reject_count_total 3
coredns_panic_count_total 1
`)
	up := m.upstreams["10.0.0.2:53"]
	if !ok || share(m.responses, "SERVFAIL") != 0.3 || m.zones["cluster.local."]["SERVFAIL"] != 30 || up.responses["SERVFAIL"] != 7 || up.healthFailures != 4 || m.rejects != 3 || m.panics != 1 || !math.IsNaN(m.p99()) {
		t.Errorf("%v %+v", ok, m)
	}
}

func TestMalformedMetrics(t *testing.T) {
	for _, text := range []string{"", "<html>503</html>", "coredns_panics_total", "coredns_panics_total{", "go_goroutines 3\n", strings.Repeat("{", 5000), "\x00"} {
		if _, ok := parseMetrics(text); ok {
			t.Errorf("%.20q was taken", text)
		}
	}
}

func FuzzMetrics(f *testing.F) {
	f.Add("# TYPE coredns_dns_request_duration_seconds histogram\ncoredns_dns_request_duration_seconds_bucket{le=\"NaN\"} 3\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, _ := parseMetrics(text)
		m.p99()
	})
}
