package main

import (
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hopwise/hopwise/internal/world"
)

// reportSchema is the published schema of a report.
func reportSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	f, err := os.Open("../../docs/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("report.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every scenario's report is as the published schema says, and so is that of a
// cluster with hostile names.
func TestReportSchema(t *testing.T) {
	schema := reportSchema(t)
	alone(t)
	for _, name := range append(world.Names(), "base-shop") {
		t.Run(name, func(t *testing.T) {
			validate(t, schema, command(t.Context(), "diagnose", "--scenario", name, "--output", "json").out)
		})
	}
	t.Run("hostile", func(t *testing.T) {
		connected(t, hostile(t))
		validate(t, schema, command(t.Context(), "diagnose", "-o", "json", "network issue").out)
	})
}

func validate(t *testing.T, s *jsonschema.Schema, printed string) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(printed))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, printed)
	}
	if err := s.Validate(doc); err != nil {
		t.Errorf("%v", err)
	}
}

// A schema that lets everything pass would prove nothing.
func TestReportSchemaRefuses(t *testing.T) {
	schema := reportSchema(t)
	alone(t)
	printed := command(t.Context(), "diagnose", "--scenario", "coredns-scaled-to-zero", "--output", "json").out
	for _, wrong := range [][2]string{
		{`"severity": "outage"`, `"severity": "bad"`}, {`"schema": "hopwise.report/v1"`, `"schema": "x"`},
		{`"cause": "dns/coredns-zero-ready"`, `"cause": 3`}, {`"id": "dns/coredns-zero-ready"`, `"id": "CoreDNS"`}, {`"at": "2`, `"at": "x2`},
	} {
		broken := strings.Replace(printed, wrong[0], wrong[1], 1)
		if broken == printed {
			t.Errorf("%s is not in the report", wrong[0])
			continue
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(broken))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(doc) == nil {
			t.Errorf("%s passes", wrong[1])
		}
	}
}
