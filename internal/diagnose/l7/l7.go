// Package l7 holds the checks of load balancers and their target groups.
package l7

import "github.com/hopwise/hopwise/internal/diagnose"

// Checks returns the checks of layer L7.
func Checks() []*diagnose.Check {
	return []*diagnose.Check{
		tgEmptyNoEndpoints,
		targetFailedHealthChecks,
		targetResponseCodeMismatch,
		targetTimeoutBlocked,
	}
}
