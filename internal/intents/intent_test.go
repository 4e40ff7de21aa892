package intents

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/facts"
)

// A phrase is a line of testdata.
type phrase struct {
	line int
	opt  Options
	text string
	want Intent // without Reason
}

// phrases reads a file of "request | layers | target | words" lines.
func phrases(t testing.TB, name string) []phrase {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []phrase
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		part := strings.SplitN(line, "|", 4)
		if len(part) != 4 {
			t.Fatalf("%s:%d: want four parts with | between them", name, n)
		}
		for i := range part {
			part[i] = strings.TrimSpace(part[i])
		}
		p := phrase{line: n, opt: Options{Mention: part[0][0] == '@'}, text: part[3], want: Intent{Request: strings.TrimPrefix(part[0], "@") == "yes", Layers: []facts.Layer{}}}
		if part[1] != "-" {
			for l := range strings.SplitSeq(part[1], ",") {
				p.want.Layers = append(p.want.Layers, facts.Layer(l))
			}
		}
		far, near, _ := strings.Cut(part[2], "<") // "to < from" when the words ask about a path
		if p.want.Target, err = target(strings.TrimSpace(far)); err != nil {
			t.Fatalf("%s:%d: %v", name, n, err)
		}
		if p.want.From, err = target(near); err != nil {
			t.Fatalf("%s:%d: %v", name, n, err)
		}
		list = append(list, p)
	}
	return list
}

func target(s string) (t facts.Target, err error) {
	if s == "-" {
		return t, nil
	}
	for kv := range strings.FieldsSeq(s) {
		k, v, _ := strings.Cut(kv, "=")
		switch k {
		case "ns":
			t.Namespace = v
		case "kind":
			t.Kind = v
		case "name":
			t.Name = v
		case "host":
			t.Host = v
		case "address":
			t.Address = v
		case "lookup":
			t.Lookup = v
		case "port":
			n, err := strconv.Atoi(v)
			if err != nil {
				return t, err
			}
			t.Port = int32(n)
		default:
			return t, fmt.Errorf("no part of a target: %q", kv)
		}
	}
	return t, nil
}

func TestPhrases(t *testing.T) {
	for _, file := range []string{"testdata/phrases.txt", "testdata/held_out.txt"} {
		for _, p := range phrases(t, file) {
			got := Parse(p.text, p.opt)
			if got.Reason == "" {
				t.Errorf("%s:%d: %q: no reason", file, p.line, p.text)
			}
			reason := got.Reason
			got.Reason, got.Symptom = "", "" // TestSymptoms looks at these
			if diff := cmp.Diff(p.want, got); diff != "" {
				t.Errorf("%s:%d: %q (%s): -want +got\n%s", file, p.line, p.text, reason, diff)
			}
		}
	}
}

func TestSymptoms(t *testing.T) {
	for text, want := range map[string]Symptom{
		"all DNS queries fail":                                   AllLookups,
		"no pod can resolve anything":                            AllLookups,
		"DNS is completely down":                                 AllLookups,
		"모든 파드에서 DNS 조회가 실패해요":                                   AllLookups,
		"external DNS resolution is slow":                        ExternalSlow,
		"external domains take seconds to resolve":               ExternalSlow,
		"외부 도메인 조회가 느려요":                                         ExternalSlow,
		"service discovery fails":                                ServiceDiscovery,
		"services cannot find each other by name":                ServiceDiscovery,
		"no such host payments.shop.svc":                         ServiceDiscovery,
		"external-dns does not create records":                   RecordMissing,
		"the record for app.example.com was not created":         RecordMissing,
		"intermittent DNS failures":                              Intermittent,
		"DNS timeouts now and then, about 5 seconds":             Intermittent,
		"external lookups fail sometimes":                        Intermittent,
		"가끔 DNS 조회가 실패해요":                                        Intermittent,
		"DNS failure":                                            "",
		"api.example.com does not resolve":                       "",
		"ALB returns 502 for all requests":                       "",
		"all pods are stuck in ContainerCreating, no IP address": "",
	} {
		if got := Parse(text, Options{Mention: true}).Symptom; got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestReasons(t *testing.T) {
	for _, tt := range []struct {
		text    string
		mention bool
		want    string
	}{
		{"", true, ReasonEmpty},
		{"🎉", true, ReasonEmpty},
		{"\u200b\u200f", true, ReasonEmpty},
		{"help", true, ReasonHelp},
		{"what can you do?", true, ReasonHelp},
		{"도움말", true, ReasonHelp},
		{"who won the match?", true, ReasonUnknown},
		{"lunch?", false, ReasonUnknown},
		{"no network issue here", false, ReasonNegated},
		{"the network issue is fixed now, thanks", false, ReasonResolved},
		{"postmortem of yesterday's DNS failure is here", false, ReasonChatter},
		{"no such host", false, ReasonSymptom},
		{"is DNS broken?", false, ReasonTopic},
		{"shop/checkout", true, ReasonMention},
		{"help, DNS is down", true, ReasonTopic},
	} {
		if got := Parse(tt.text, Options{Mention: tt.mention}); got.Reason != tt.want {
			t.Errorf("%q: reason %q, want %q", tt.text, got.Reason, tt.want)
		}
	}
}

// Characters that nobody sees change nothing, nor does the way in which
// Hangul or wide letters are encoded.
func TestHiddenCharacters(t *testing.T) {
	for text, want := range map[string]facts.Layer{
		"DNS\u200b fail\u200dure":                          facts.DNS,
		"\u202eDNS failure\u202c":                          facts.DNS,
		"ＡＬＢ ５０２ error":                                    facts.L7,
		"\u1103\u1169\u1106\u1166\u110b\u1175\u11ab 조회 실패": facts.DNS, // decomposed, as macOS sends it
		"فشل DNS failure في الإنتاج":                       facts.DNS,
		"can’t resolve api.example.com":                    facts.DNS,
		"<https://api.example.com|api> 502 error":          facts.L7,
	} {
		got := Parse(text, Options{})
		if !got.Request || len(got.Layers) == 0 || got.Layers[0] != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// A long message takes no longer than its length allows.
func TestLongMessages(t *testing.T) {
	for name, text := range map[string]string{
		"letters":   strings.Repeat("a", 40_000),
		"words":     strings.Repeat("no network dns pod pending ", 1_500),
		"dots":      strings.Repeat("a.b-c.", 6_000),
		"slashes":   strings.Repeat("a/b:80 ", 6_000),
		"emoji":     strings.Repeat("🎉", 10_000),
		"combining": "a" + strings.Repeat("\u0301", 20_000),
		"broken":    strings.Repeat("\xff\xfe", 20_000),
		"right":     strings.Repeat("\u202eשלום ", 5_000),
	} {
		begun := time.Now()
		Parse(text, Options{Mention: true})
		if d := time.Since(begun); d > 15*time.Second {
			t.Errorf("%s: %v", name, d)
		}
	}
	long := "network issue in namespace shop " + strings.Repeat("log line ", 5_000)
	if got := Parse(long, Options{}); !got.Request || got.Target.Namespace != "shop" {
		t.Errorf("a question before a long log: %+v", got)
	}
}

func TestThreadCommand(t *testing.T) {
	for text, want := range map[string]Command{
		"retry": Retry, "Again!": Retry, "re-run please": Retry, "try again": Retry, "다시": Retry, "다시 확인해줘": Retry, "please retry": Retry, " RERUN ": Retry, "ok, again": Retry,
		"stop": Stop, "Cancel.": Stop, "중지": Stop, "취소해주세요": Stop, "stop :octagonal_sign:": Stop,
		"help": Help, "도움말": Help, "help?": Help,
		"": NoCommand, "we should stop the deploy": NoCommand, "again we see 502": NoCommand, "thanks": NoCommand, "다시 502가 떠요": NoCommand, strings.Repeat("stop ", 100): NoCommand,
	} {
		if got := ThreadCommand(text); got != want {
			t.Errorf("%q = %q, want %q", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, p := range phrases(f, "testdata/phrases.txt") {
		f.Add(p.text, p.opt.Mention)
	}
	f.Fuzz(func(t *testing.T, text string, mention bool) {
		in := Parse(text, Options{Mention: mention})
		if in.Reason == "" || in.Layers == nil {
			t.Fatalf("%q: %+v", text, in)
		}
		if !in.Request && (len(in.Layers) > 0 || !in.Target.IsZero()) {
			t.Fatalf("%q: no request, but %+v", text, in)
		}
		if diff := cmp.Diff(in, Parse(text, Options{Mention: mention})); diff != "" {
			t.Fatalf("%q: not the same twice: %s", text, diff)
		}
		if !mention && in.Request && !Parse(text, Options{Mention: true}).Request {
			t.Fatalf("%q: a request in the channel, none to the bot", text)
		}
		ThreadCommand(text)
	})
}

func BenchmarkParse(b *testing.B) {
	long := strings.Repeat("the alb returns 502 for svc/payments:8080 in namespace shop, ", 700)
	for name, text := range map[string]string{"sentence": "ALB returns 502 for svc/payments in namespace shop", "40k": long[:40_000]} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				Parse(text, Options{})
			}
		})
	}
}
