package main

import (
	"os"
	"testing"

	"github.com/hopwise/hopwise/internal/standin/slack"
	"github.com/hopwise/hopwise/internal/world"
)

// TestOnPostgres plays the whole story on a Postgres database, with a restart
// between the report and the press. `make postgres` runs it.
func TestOnPostgres(t *testing.T) {
	url := os.Getenv("HOPWISE_TEST_POSTGRES")
	if url == "" {
		t.Skip("HOPWISE_TEST_POSTGRES is not set: run make postgres")
	}
	w, err := world.Load("coredns-scaled-to-zero")
	if err != nil {
		t.Fatal(err)
	}
	th := build(t, w)
	th.bot.DatabaseURL = url
	th.start()
	th.slack.Say(slack.Ana, slack.Incidents, "", "DNS failure in prod")
	th.waitButton("rem.approve")
	th.halt()
	th.start()
	m := th.waitButton("rem.approve")
	if err := th.slack.Press(slack.Bo, slack.Incidents, m.TS, "rem.approve"); err != nil {
		t.Fatal(err)
	}
	th.waitText("Fixed")
}
