package facts

import (
	"regexp"
	"strings"

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

var version = regexp.MustCompile(`v\d+\.\d+\.\d+`)

// Version is the version in an image's tag, as v1.18.3; "" when it has none.
func Version(image string) string { return version.FindString(image) }
