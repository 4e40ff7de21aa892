package catalogue_test

import (
	"testing"

	"github.com/hopwise/hopwise/internal/diagnose/catalogue"
	"github.com/hopwise/hopwise/internal/diagnose/scenario"
)

func TestScenarios(t *testing.T) { scenario.Run(t, catalogue.Checks()) }

func TestCatalogue(t *testing.T) { scenario.Catalogue(t, catalogue.Checks()) }
