package kube_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hopwise/hopwise/internal/standin/kube"
)

// TestKubectl lets the real kubectl at the server. It takes a machine with
// kubectl, or time to build one, so it runs only with HOPWISE_PEERS=1.
func TestKubectl(t *testing.T) {
	if os.Getenv("HOPWISE_PEERS") != "1" {
		t.Skip("set HOPWISE_PEERS=1 to run kubectl against the server")
	}
	w := parse(t, shop)
	server := kube.New(w, kube.Options{Token: "peer"})
	ts := httptest.NewServer(server)
	defer ts.Close()
	config := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(config, server.Kubeconfig(ts.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "../../../test/peers/kube/run.sh", config)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("run.sh: %v", err)
	}
}
