package facts

import (
	"regexp"
	"strings"
)

// secrets are the shapes of credentials that turn up in configuration,
// environment values and log lines. Each keeps its first group and loses the
// rest. Sources: the vendors' published token formats.
var secrets = []*regexp.Regexp{
	regexp.MustCompile(`()-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)`),
	regexp.MustCompile(`()\bxox[a-z]-[A-Za-z0-9-]{8,}`),                                           // Slack bot, user, refresh
	regexp.MustCompile(`()\bxapp-[A-Za-z0-9-]{8,}`),                                               // Slack app-level
	regexp.MustCompile(`()\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b`),                               // AWS access key id
	regexp.MustCompile(`()\bgh[pousr]_[A-Za-z0-9]{20,}`),                                          // GitHub
	regexp.MustCompile(`()\bsk-[A-Za-z0-9_-]{16,}`),                                               // OpenAI and alike
	regexp.MustCompile(`()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?`),        // JWT
	regexp.MustCompile(`(?i)(\b(?:authorization:\s*)?(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}`), // HTTP credentials
	regexp.MustCompile(`(?i)(://[^/\s:@]+:)[^@\s/]+(@)`),                                          // user:password@host
	regexp.MustCompile(`(?i)([A-Za-z0-9_.-]*(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)[A-Za-z0-9_.-]*["']?\s*[:=]\s*["']?)[^\s"',;&]{4,}`),
}

// Redact returns s with everything that looks like a credential replaced by
// dots. It errs on the side of removing: a value behind a name such as
// "password=" goes whatever it is.
func Redact(s string) string {
	if !suspicious(s) {
		return s
	}
	for _, re := range secrets {
		s = re.ReplaceAllString(s, "${1}••••••${2}")
	}
	return s
}

// marks are what each of the secrets has in it, in lower case. Most texts have
// none of them, and looking for these costs a fraction of the expressions.
var marks = []string{
	"-----begin", "xox", "xapp-", "akia", "asia", "abia", "acca", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "sk-", "eyj",
	"bearer", "basic", "://", "password", "passwd", "pwd", "secret", "token", "key", "credential",
}

func suspicious(s string) bool {
	s = strings.ToLower(s)
	for _, m := range marks {
		if strings.Contains(s, m) {
			return true
		}
	}
	return false
}
