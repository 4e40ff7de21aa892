package facts

import (
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Val is what p points to, or the zero value: SDK structs point to their fields.
func Val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// Setting is the value of an environment variable of a container, without
// white space around it; "" when it is not set.
func Setting(c corev1.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return strings.TrimSpace(e.Value)
		}
	}
	return ""
}

// LastSeen is when an event last happened; which field tells depends on the
// reporter.
func LastSeen(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	default:
		return e.CreationTimestamp.Time
	}
}

var version = regexp.MustCompile(`v\d+\.\d+\.\d+`)

// Version is the version in an image's tag, as v1.18.3; "" when it has none.
func Version(image string) string { return version.FindString(image) }
