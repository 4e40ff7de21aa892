package world

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hopwise/hopwise/internal/facts"
)

var timestamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

// Rebase moves every time in the world's objects so that what was recorded at
// RecordedAt is so at now. A demo does this before it serves the world: ages
// that kubectl prints, and events that must be recent, are then as recorded.
func (w *World) Rebase(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by := now.Sub(w.at).Truncate(time.Second)
	w.at = w.at.Add(by)
	for kind, list := range w.docs {
		for id, e := range list {
			d := decode(e.raw)
			shift(d, by)
			switch kind {
			case facts.PodLogs.Kind():
				shiftLines(d, "text", func(line string) string { return shiftStamp(line, by) })
				shiftLines(d, "previous", func(line string) string { return shiftStamp(line, by) })
			case facts.PodMetrics.Kind():
				shiftLines(d, "text", func(line string) string { return shiftMetric(line, by) })
			}
			list[id] = entry{encode(d), e.version}
		}
	}
}

// shiftLines changes each line of a text.
func shiftLines(d Doc, field string, change func(line string) string) {
	text, ok := d[field].(string)
	if !ok {
		return
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(change(line))
	}
	d[field] = out.String()
}

// shiftStamp moves the time before a line of a log.
func shiftStamp(line string, by time.Duration) string {
	stamp, rest, ok := strings.Cut(line, " ")
	if !ok {
		return line
	}
	return shiftTime(stamp, by) + " " + rest
}

// atTime are the metrics whose values are times, in seconds since 1970.
var atTime = regexp.MustCompile(`^([a-z0-9_]+_(?:start_time|timestamp)_seconds(?:\{.*\})?) ([0-9.e+]+)\n?$`)

// shiftMetric moves the time that a metric tells.
func shiftMetric(line string, by time.Duration) string {
	m := atTime.FindStringSubmatch(line)
	if m == nil {
		return line
	}
	v, err := strconv.ParseFloat(m[2], 64)
	if err != nil || v == 0 { // 0: never
		return line
	}
	return fmt.Sprintf("%s %s\n", m[1], strconv.FormatFloat(v+by.Seconds(), 'g', -1, 64))
}

// shift moves the times in v, a document or a part of one.
func shift(v any, by time.Duration) any {
	switch v := v.(type) {
	case Doc:
		for k := range v {
			v[k] = shift(v[k], by)
		}
	case []any:
		for i := range v {
			v[i] = shift(v[i], by)
		}
	case string:
		return shiftTime(v, by)
	}
	return v
}

// shiftTime keeps the number of decimals, on which Kubernetes insists.
func shiftTime(s string, by time.Duration) string {
	m := timestamp.FindStringSubmatch(s)
	if m == nil {
		return s
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return s // such as the 31st of February
	}
	layout := "2006-01-02T15:04:05"
	if n := len(m[1]); n > 0 {
		layout += "." + strings.Repeat("0", n-1)
	}
	return t.Add(by).Format(layout + "Z07:00")
}
