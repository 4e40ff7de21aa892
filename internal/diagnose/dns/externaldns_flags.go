package dns

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// flags are the settings of external-dns by the flags' names. A value that
// the facts do not tell, because it comes from elsewhere, is "$(NAME)".
type flags map[string][]string

// parseFlags reads flags as kingpin does: --name=value, --name value, --name,
// --no-name, each repeated at will. Where a flag is not given the environment
// counts: EXTERNAL_DNS_NAME, several values on lines of their own.
func parseFlags(c corev1.Container) flags {
	f := flags{}
	args := slices.Concat(c.Command, c.Args)
	for i, arg := range args {
		name, ok := strings.CutPrefix(expand(c, arg), "--")
		if !ok || name == "" {
			continue
		}
		name, value, given := strings.Cut(name, "=")
		if !given && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			value, given = expand(c, args[i+1]), true
		}
		if positive, no := strings.CutPrefix(name, "no-"); no && !given {
			name, value = positive, "false"
		} else if !given {
			value = "true"
		}
		f[name] = append(f[name], value)
	}
	for _, e := range c.Env {
		name, ok := strings.CutPrefix(e.Name, "EXTERNAL_DNS_")
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		switch {
		case !ok || f[name] != nil:
		case e.ValueFrom != nil:
			f[name] = []string{"$(" + e.Name + ")"}
		default:
			f[name] = strings.Split(strings.TrimSpace(e.Value), "\n")
		}
	}
	return f
}

var reference = regexp.MustCompile(`\$\(([A-Za-z0-9_.-]+)\)`)

// expand puts the container's environment in for $(NAME), as kubelet does.
// What the facts do not tell stays.
func expand(c corev1.Container, s string) string {
	return reference.ReplaceAllStringFunc(s, func(m string) string {
		if value := facts.Setting(c, m[2:len(m)-1]); value != "" {
			return value
		}
		return m
	})
}

// last is the value of a flag that is given once.
func (f flags) last(name, otherwise string) string {
	if n := len(f[name]); n > 0 && f[name][n-1] != "" {
		return f[name][n-1]
	}
	return otherwise
}

// all are the values of a flag that may be repeated, without empty ones.
func (f flags) all(name string) []string {
	return slices.DeleteFunc(slices.Clone(f[name]), func(s string) bool { return strings.TrimSpace(s) == "" })
}

// on reports whether a flag that is on or off is on.
func (f flags) on(name string) bool {
	on, err := strconv.ParseBool(f.last(name, "false"))
	return err == nil && on
}

// vague reports whether the facts do not tell the value of one of names.
func (f flags) vague(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return slices.ContainsFunc(f[name], func(s string) bool { return strings.Contains(s, "$(") })
	})
}
