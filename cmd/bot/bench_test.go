package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"k8s.io/client-go/rest"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/diagnose/catalogue"
	"github.com/hopwise/hopwise/internal/facts/collect"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/standin"
	"github.com/hopwise/hopwise/internal/standin/slack"
	"github.com/hopwise/hopwise/internal/world"
)

// What the benchmarks run.
const (
	benchScene   = "checkout-full-subnet"
	benchOne     = 40                    // incidents, one after the other
	benchCrowd   = 50                    // incidents at the same moment
	benchRounds  = 4                     // of a crowd
	benchDelay   = 50 * time.Millisecond // of each API call
	benchTakes   = 20                    // snapshots
	benchStarts  = 10                    // of the program, of each sort
	benchIdle    = 5 * time.Second       // before its memory is read
	benchTimeout = 60 * time.Second      // for a round of incidents
)

// BenchmarkBot measures the bot on the demo's scenario and prints a table of
// the numbers beside their targets. It fails where something is wrong, and
// not where something is slow: how fast a machine is, is no property of the
// program. docs/benchmarks.md says how to read it.
func BenchmarkBot(b *testing.B) {
	var s scores
	b.Run("one", func(b *testing.B) { benchmarkIncidents(b, &s, "1 incident at a time", 1, benchOne) })
	b.Run("crowd", func(b *testing.B) {
		benchmarkIncidents(b, &s, fmt.Sprintf("%d incidents at once", benchCrowd), benchCrowd, benchRounds)
	})
	b.Run("collect", func(b *testing.B) { benchmarkCollect(b, &s) })
	b.Run("start", func(b *testing.B) { benchmarkStart(b, &s) })
	s.print()
}

// Scores are the lines of the table.
type scores struct{ lines []string }

// add notes a number, and its target when it has one (0: none).
func (s *scores) add(b *testing.B, what string, got float64, unit string, target float64) {
	b.ReportMetric(got, strings.NewReplacer(" ", "-", ",", "").Replace(what)+"-"+unit)
	verdict := "\t"
	if target > 0 {
		verdict = fmt.Sprintf("%g %s\tmet", target, unit)
		if got > target {
			verdict = fmt.Sprintf("%g %s\tMISSED", target, unit)
		}
	}
	s.lines = append(s.lines, fmt.Sprintf("%s\t%.4g %s\t%s", what, got, unit, verdict))
}

// spread notes the middle and the end of many times, in ms. The target is
// that of the 99th percentile.
func (s *scores) spread(b *testing.B, what string, times []time.Duration, target float64) {
	slices.Sort(times)
	s.add(b, what+", p50", ms(percentile(times, 50)), "ms", 0)
	s.add(b, what+", p99", ms(percentile(times, 99)), "ms", target)
}

func (s *scores) print() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nmeasured\tnumber\ttarget\t")
	for _, l := range s.lines {
		fmt.Fprintln(w, l)
	}
	_ = w.Flush()
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Printf("\nload of the machine at the end: %s\n", load)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// percentile is the least of the sorted times that p percent do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[max((len(sorted)*p+99)/100, 1)-1]
}

// benchmarkIncidents asks in many channels at the same moment, for several
// rounds. The incidents of earlier rounds go on waiting for a decision.
func benchmarkIncidents(b *testing.B, s *scores, what string, channels, rounds int) {
	th := crowd(b, channels)
	th.round(b, channels) // opens connections and fills caches
	for b.Loop() {
		var signs, reports []time.Duration
		before, _ := usedCPU()
		for range rounds {
			for _, a := range th.round(b, channels) {
				signs, reports = append(signs, a.sign), append(reports, a.report)
			}
		}
		b.ReportMetric(0, "ns/op")
		s.spread(b, what+": event to first sign", signs, 300)
		s.spread(b, what+": event to report", reports, 2000)
		if after, ok := usedCPU(); ok {
			s.add(b, what+": processor time of each, with the stand-ins", ms(after-before)/float64(len(reports)), "ms", 0)
		}
	}
}

// usedCPU is the processor time of this process, where the system tells: other
// programs on the machine change it little, whereas they change every latency.
func usedCPU() (used time.Duration, ok bool) {
	stat, err := os.ReadFile("/proc/self/stat")
	_, rest, found := strings.Cut(string(stat), ") ") // the name before it may hold spaces
	f := strings.Fields(rest)
	if err != nil || !found || len(f) < 13 {
		return 0, false
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond, true // in ticks of a hundredth of a second
}

// crowd is a theatre whose Slack has many channels, with the bot in it.
func crowd(b *testing.B, channels int) *theatre {
	b.Helper()
	w, err := world.Load(benchScene)
	if err != nil {
		b.Fatal(err)
	}
	th := build(b, w)
	th.slack.Close() // one with more channels takes its place
	space := slack.DefaultWorkspace()
	for i := range channels {
		space.Channels = append(space.Channels, slack.Channel{ID: channelID(i), Name: fmt.Sprintf("incident-%d", i), Members: []string{slack.Ana, slack.Bot}})
	}
	th.slack = slack.New(slack.Options{Workspace: space, NoRateLimits: true})
	srv := httptest.NewServer(th.slack)
	th.url, th.bot.SlackAPIURL = srv.URL, srv.URL+"/api/"
	b.Cleanup(func() {
		th.halt()
		th.slack.Close()
		srv.CloseClientConnections()
		srv.Close()
	})
	th.start()
	return th
}

func channelID(i int) string { return fmt.Sprintf("C0CROWD%02d", i) }

// An answered question: how long after its message the bot's were posted.
type answered struct{ sign, report time.Duration }

// round asks once in each channel and waits for all reports.
func (th *theatre) round(b *testing.B, channels int) []answered {
	b.Helper()
	threads := make([]string, channels)
	for i := range threads {
		threads[i] = th.slack.Say(slack.Ana, channelID(i), "", th.apis.World.Ask)
	}
	out := make([]answered, channels)
	for i, deadline := 0, time.Now().Add(benchTimeout); i < channels; {
		a, ok := answers(th.slack.Thread(channelID(i), threads[i]), threads[i])
		switch {
		case ok:
			out[i] = a
			i++
		case time.Now().After(deadline):
			b.Fatalf("no report in %s within %s", channelID(i), benchTimeout)
		default: // waiting for changes of the whole Slack would cost the bot its share of the machine
			time.Sleep(5 * time.Millisecond)
		}
	}
	return out
}

// answers reads the times from the timestamps that Slack gave the messages.
func answers(thread []slack.Message, asked string) (a answered, done bool) {
	for _, m := range thread {
		if m.User != slack.Bot {
			continue
		}
		after := posted(m.TS).Sub(posted(asked))
		if a.sign == 0 || after < a.sign {
			a.sign = after
		}
		if bytes.Contains(m.Blocks, []byte("run.evidence")) {
			a.report, done = after, true
		}
	}
	return a, done
}

// posted is the time of a timestamp, which the stand-in gives in microseconds.
func posted(ts string) time.Time {
	n, _ := strconv.ParseInt(strings.Replace(ts, ".", "", 1), 10, 64)
	return time.UnixMicro(n)
}

// benchmarkCollect takes snapshots while each API call takes some time more.
func benchmarkCollect(b *testing.B, s *scores) {
	w, err := world.Load(benchScene)
	if err != nil {
		b.Fatal(err)
	}
	apis, err := standin.Start(w, benchDelay, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer apis.Close()
	var rec recorder
	reader := rec.reader(b, apis)
	checks := catalogue.Checks()
	in := intents.Parse(w.Ask, intents.Options{Mention: true})
	for b.Loop() {
		var walls []time.Duration
		var depths, ratios []float64
		calls := 0
		for range benchTakes {
			rec.reset()
			snapshot, stats := reader.Take(b.Context(), diagnose.Kinds(checks), in.Target, nil)
			if len(snapshot.Gaps) > 0 {
				b.Fatalf("not everything was read: %v", snapshot.Gaps)
			}
			for _, c := range rec.twice() {
				b.Errorf("read twice: %s", c)
			}
			depth := chain(rec.calls)
			walls, depths = append(walls, stats.Duration), append(depths, float64(depth))
			ratios = append(ratios, float64(stats.Duration)/float64(time.Duration(depth)*benchDelay))
			calls = stats.Calls
		}
		slices.Sort(walls)
		slices.Sort(ratios)
		b.ReportMetric(0, "ns/op")
		s.add(b, "collect, 50 ms a call: calls", float64(calls), "calls", 0)
		s.add(b, "collect, 50 ms a call: longest chain, max", slices.Max(depths), "calls", 3)
		s.add(b, "collect, 50 ms a call: wall time, p50", ms(percentile(walls, 50)), "ms", 0)
		s.add(b, "collect, 50 ms a call: wall time, max", ms(walls[len(walls)-1]), "ms", 0)
		s.add(b, "collect, 50 ms a call: wall / (chain x 50 ms), p50", ratios[len(ratios)/2], "x", 1.3)
		s.add(b, "collect, 50 ms a call: wall / (chain x 50 ms), max", ratios[len(ratios)-1], "x", 1.3)
	}
}

// A recorder notes what API calls ask for, with everything that tells one
// object from another, and when they are under way.
type recorder struct {
	mu    sync.Mutex
	calls []recorded
}

type recorded struct {
	what       string
	start, end time.Time
}

// reader is a reader of the stand-ins, with the recorder in between.
func (r *recorder) reader(b *testing.B, apis *standin.APIs) *collect.Reader {
	kube, cloud := httptest.NewServer(r.front(apis.Kube)), httptest.NewServer(r.front(apis.AWS))
	b.Cleanup(func() {
		for _, srv := range []*httptest.Server{kube, cloud} {
			srv.CloseClientConnections()
			srv.Close()
		}
	})
	reader, err := collect.New(collect.Config{
		Kube: &rest.Config{Host: kube.URL, BearerToken: standin.KubeToken},
		AWS: &aws.Config{
			Region: apis.World.Region, BaseEndpoint: &cloud.URL,
			Credentials: credentials.NewStaticCredentialsProvider(standin.AccessKeyID, standin.SecretAccessKey, ""),
		},
		Cluster: "shop",
	})
	if err != nil {
		b.Fatal(err)
	}
	return reader
}

func (r *recorder) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		start := time.Now()
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(rw, req)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls = append(r.calls, recorded{fmt.Sprintf("%s %s %s %s", req.Method, req.URL, req.Header.Get("X-Amz-Target"), body), start, time.Now()})
	})
}

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = nil
}

// twice are the calls that were made more than once.
func (r *recorder) twice() (again []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	for _, c := range r.calls {
		if seen[c.what] {
			again = append(again, c.what)
		}
		seen[c.what] = true
	}
	return again
}

// chain is the length of the longest chain of calls of which each starts
// after the one before has ended. It takes them by their ends: the one that
// ends first leaves most room, so each that fits behind the last makes the
// chain longer.
func chain(calls []recorded) (n int) {
	calls = slices.Clone(calls)
	slices.SortFunc(calls, func(a, b recorded) int { return a.end.Compare(b.end) })
	var last time.Time
	for _, c := range calls {
		if c.start.After(last) {
			n, last = n+1, c.end
		}
	}
	return n
}

// benchmarkStart starts `bot serve`, the real program, and leaves it idle.
func benchmarkStart(b *testing.B, s *scores) {
	p := launch(b, benchScene, nil)
	dir := b.TempDir()
	for b.Loop() {
		var first, again []time.Duration
		for i := range benchStarts {
			p.kill()
			p.env = append(p.env, "HOPWISE_DATABASE_URL=sqlite:"+filepath.Join(dir, fmt.Sprintf("%d.db", i))) // the last one counts
			first = append(first, p.timed())
			p.kill()
			again = append(again, p.timed())
		}
		b.ReportMetric(0, "ns/op")
		slices.Sort(first)
		slices.Sort(again)
		s.add(b, "start to ready, new database, p50", ms(percentile(first, 50)), "ms", 0)
		s.add(b, "start to ready, new database, max", ms(first[len(first)-1]), "ms", 1000)
		s.add(b, "start to ready, old database, p50", ms(percentile(again, 50)), "ms", 0)
		s.add(b, "start to ready, old database, max", ms(again[len(again)-1]), "ms", 1000)
		time.Sleep(benchIdle)
		if n, ok := p.resident(); ok {
			s.add(b, "resident memory, idle", n, "MiB", 80)
		}
		p.ask(p.apis.World.Ask)
		p.waitButton("rem.approve")
		if n, ok := p.resident(); ok {
			s.add(b, "resident memory, after one incident", n, "MiB", 0)
		}
	}
}

// timed is how long the program takes until it hears Slack.
func (p *process) timed() time.Duration {
	start := time.Now()
	p.run()
	return time.Since(start)
}

var vmRSS = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// resident is the memory of the program in MiB, where the system tells.
func (p *process) resident() (mib float64, ok bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	m := vmRSS.FindSubmatch(status)
	if err != nil || m == nil {
		return 0, false
	}
	kib, err := strconv.ParseFloat(string(m[1]), 64)
	return kib / 1024, err == nil
}
