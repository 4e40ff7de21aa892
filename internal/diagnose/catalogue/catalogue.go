// Package catalogue is the list of all failure modes that the bot knows.
package catalogue

import (
	"fmt"
	"slices"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/diagnose/dns"
	"github.com/hopwise/hopwise/internal/diagnose/l3"
	"github.com/hopwise/hopwise/internal/diagnose/l4"
	"github.com/hopwise/hopwise/internal/diagnose/l7"
	"github.com/hopwise/hopwise/internal/facts"
)

// Checks returns the checks of all layers, in the order of the layers.
func Checks() []*diagnose.Check {
	return slices.Concat(l3.Checks(), l4.Checks(), l7.Checks(), dns.Checks())
}

// Select returns the checks that look at a layer, with those that could
// explain what they find; all checks for the empty layer.
func Select(layer string) ([]*diagnose.Check, error) {
	if layer == "" {
		return Checks(), nil
	}
	if !slices.Contains(facts.Layers, facts.Layer(layer)) {
		return nil, fmt.Errorf("layer %q is none of %v", layer, facts.Layers)
	}
	return diagnose.Closure(Checks(), facts.Layer(layer)), nil
}
