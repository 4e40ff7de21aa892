package slack_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	standin "github.com/hopwise/hopwise/internal/standin/slack"
)

// TestBolt runs Slack's own Node client against the server. It needs node and
// "npm ci" in test/peers/slack.
func TestBolt(t *testing.T) {
	if os.Getenv("HOPWISE_PEERS") != "1" {
		t.Skip("set HOPWISE_PEERS=1 after npm ci in test/peers/slack")
	}
	var s *standin.Server
	s = standin.New(standin.Options{Extra: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.Disconnect(r.URL.Query().Get("reason"))
	})})
	web := httptest.NewServer(s)
	defer web.Close()
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "check.mjs", web.URL)
	node.Dir = "../../../test/peers/slack"
	out, err := node.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	if lost := s.Lost(); len(lost) > 0 {
		t.Errorf("never acknowledged: %v", lost)
	}
}
