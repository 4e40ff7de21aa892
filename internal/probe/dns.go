// Package probe tries what the checks conclude: it asks the network itself,
// from where it runs. It changes nothing.
package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Lookups says what to look up and how often.
type Lookups struct {
	Name    string
	Server  string        // host:port; the nameservers of resolv.conf when empty
	Count   int           // one after the other
	Timeout time.Duration // of each lookup, with all its retries and its whole search list
}

// A Result is what became of the lookups. Times are milliseconds.
type Result struct {
	Name     string         `json:"name"`
	Server   string         `json:"server,omitempty"` // the one that was named
	Count    int            `json:"count"`
	Answered int            `json:"answered"`
	P50      float64        `json:"p50_ms"`
	P90      float64        `json:"p90_ms"`
	P99      float64        `json:"p99_ms"`
	Max      float64        `json:"max_ms"`
	Answers  map[string]int `json:"answers"` // addresses, by how many lookups gave them
	Errors   map[string]int `json:"errors"`  // by how many lookups ended so
}

// DNS looks a name up as a Go program does: by resolv.conf's search list, A
// and AAAA at the same time. It ends early when ctx does. Lookups that failed
// count with the time that they took.
func DNS(ctx context.Context, l Lookups) Result {
	resolver := &net.Resolver{PreferGo: true}
	if l.Server != "" {
		resolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, l.Server)
		}
	}
	r := Result{Name: l.Name, Server: l.Server, Answers: map[string]int{}, Errors: map[string]int{}}
	var took []time.Duration
	for range l.Count {
		start := time.Now()
		addresses, err := lookup(ctx, resolver, l)
		if ctx.Err() != nil {
			break
		}
		took = append(took, time.Since(start))
		r.Count++
		if err != nil {
			r.Errors[reason(err)]++
			continue
		}
		r.Answered++
		for _, a := range addresses {
			r.Answers[a.Unmap().String()]++
		}
	}
	slices.Sort(took)
	r.P50, r.P90, r.P99, r.Max = percentile(took, 50), percentile(took, 90), percentile(took, 99), percentile(took, 100)
	return r
}

func lookup(ctx context.Context, resolver *net.Resolver, l Lookups) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	return resolver.LookupNetIP(ctx, "ip", l.Name)
}

// reason says why a lookup failed, without the numbers that differ from one to
// the next.
func reason(err error) string {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return err.Error()
	case dns.IsNotFound:
		return "no such host"
	case dns.IsTimeout:
		return "timeout"
	}
	if at := strings.LastIndex(dns.Err, ": "); at >= 0 { // "read udp A->B: connection refused"
		return dns.Err[at+2:]
	}
	return dns.Err
}

// percentile is the time within which p of 100 of the sorted times lie, in
// milliseconds; 0 of none.
func percentile(sorted []time.Duration, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := max((len(sorted)*p+99)/100-1, 0)
	return float64(sorted[i].Microseconds()) / 1000
}

// Lines say r in words: the counts, the times, the answers, the errors.
func (r Result) Lines() []string {
	lines := []string{
		fmt.Sprintf("%s: %d of %d lookups answered", r.Name, r.Answered, r.Count),
		fmt.Sprintf("p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, max %.1f ms", r.P50, r.P90, r.P99, r.Max),
	}
	for _, a := range slices.Sorted(maps.Keys(r.Answers)) {
		lines = append(lines, fmt.Sprintf("%s (%d times)", a, r.Answers[a]))
	}
	for _, e := range byCount(r.Errors) {
		lines = append(lines, fmt.Sprintf("%d failed: %s", r.Errors[e], e))
	}
	return lines
}

func byCount(counts map[string]int) []string {
	keys := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	return keys
}
