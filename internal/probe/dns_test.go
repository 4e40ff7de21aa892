package probe

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers A questions over UDP as answer says; a nil answer is
// silence.
func nameServer(t *testing.T, answer func(name string) (rcode dnsmessage.RCode, ip *[4]byte, silent bool)) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			rcode, ip, silent := answer(q.Name.String())
			if silent {
				continue
			}
			out := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true, RCode: rcode}, Questions: m.Questions}
			if ip != nil && q.Type == dnsmessage.TypeA {
				out.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 5}, Body: &dnsmessage.AResource{A: *ip}}}
			}
			packed, err := out.Pack()
			if err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func TestDNS(t *testing.T) {
	n := 0
	server := nameServer(t, func(name string) (dnsmessage.RCode, *[4]byte, bool) {
		switch {
		case strings.HasPrefix(name, "web."):
			return dnsmessage.RCodeSuccess, &[4]byte{10, 0, 0, 7}, false
		case strings.HasPrefix(name, "broken."):
			return dnsmessage.RCodeServerFailure, nil, false
		case strings.HasPrefix(name, "silent."):
			return 0, nil, true
		}
		n++
		return dnsmessage.RCodeNameError, nil, false
	})
	for _, tt := range []struct {
		name     string
		answered int
		answer   string
		err      string
	}{
		{"web.shop.test.", 3, "10.0.0.7", ""},
		{"none.shop.test.", 0, "", "no such host"},
		{"broken.shop.test.", 0, "", "server misbehaving"},
		{"silent.shop.test.", 0, "", "timeout"},
	} {
		r := DNS(t.Context(), Lookups{Name: tt.name, Server: server, Count: 3, Timeout: 300 * time.Millisecond})
		if r.Count != 3 || r.Answered != tt.answered || tt.answer != "" && r.Answers[tt.answer] != 3 || tt.err != "" && r.Errors[tt.err] != 3 {
			t.Errorf("%s: %+v", tt.name, r)
		}
		if r.P50 <= 0 || r.P50 > r.P99 || r.P99 > r.Max {
			t.Errorf("%s: times %v %v %v", tt.name, r.P50, r.P99, r.Max)
		}
		if said := strings.Join(r.Lines(), "\n"); !strings.Contains(said, tt.answer) || !strings.Contains(said, tt.err) {
			t.Errorf("%s: %s", tt.name, said)
		}
	}
}

func TestDNSEndsWithItsContext(t *testing.T) {
	server := nameServer(t, func(string) (dnsmessage.RCode, *[4]byte, bool) { return 0, nil, true })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if r := DNS(ctx, Lookups{Name: "x.test.", Server: server, Count: 1000, Timeout: time.Minute}); r.Count != 0 || time.Since(start) > 20*time.Second {
		t.Errorf("%+v after %s", r, time.Since(start))
	}
}

func TestPercentile(t *testing.T) {
	var times []time.Duration
	for i := range 10 {
		times = append(times, time.Duration(i+1)*time.Millisecond)
	}
	for p, want := range map[int]float64{50: 5, 90: 9, 99: 10, 100: 10} {
		if got := percentile(times, p); got != want {
			t.Errorf("p%d = %v, want %v", p, got, want)
		}
	}
	if percentile(nil, 50) != 0 {
		t.Error("of none")
	}
}
