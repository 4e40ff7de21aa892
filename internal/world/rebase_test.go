package world

import (
	"testing"
	"time"
)

// Logs and metrics are as old after Rebase as they were before.
func TestRebaseMovesTimesInTexts(t *testing.T) {
	w, err := Parse("test", []byte(`A test.

base: none
-- kube/pod-logs.yaml --
items:
- metadata: {name: p, namespace: a}
  container: c
  text: |
    2026-01-15T08:59:00.250000000Z at 2026-01-15T08:59:00Z
    no time
  previous: |
    2026-01-15T08:58:00Z then
-- kube/pod-metrics.yaml --
items:
- metadata: {name: p, namespace: a}
  text: |
    # TYPE process_start_time_seconds gauge
    process_start_time_seconds 1.76820360214e+09
    external_dns_controller_last_sync_timestamp_seconds{a="b c"} 1768203600
    external_dns_never_timestamp_seconds 0
    coredns_dns_request_duration_seconds_sum 1768203600
`))
	if err != nil {
		t.Fatal(err)
	}
	w.Rebase(RecordedAt.Add(24 * time.Hour))
	if got := w.At(); !got.Equal(RecordedAt.Add(24 * time.Hour)) {
		t.Errorf("at %s", got)
	}
	text, previous := w.Log("a", "p", "c")
	if text != "2026-01-16T08:59:00.250000000Z at 2026-01-15T08:59:00Z\nno time\n" || previous != "2026-01-16T08:58:00Z then\n" {
		t.Errorf("log %q, previous %q", text, previous)
	}
	want := `# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.76829000214e+09
external_dns_controller_last_sync_timestamp_seconds{a="b c"} 1.76829e+09
external_dns_never_timestamp_seconds 0
coredns_dns_request_duration_seconds_sum 1768203600
`
	if got := w.Metrics("a", "p"); got != want {
		t.Errorf("metrics:\n%s\nwant:\n%s", got, want)
	}
}
