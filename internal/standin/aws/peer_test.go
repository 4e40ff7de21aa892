package aws

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestBoto3 lets boto3, which shares no code with this package or with the Go
// SDK, use every operation. It needs Python with what
// test/peers/aws/requirements.txt names: the interpreter PYTHON, or that of
// the virtual environment HOPWISE_PEERS_VENV.
func TestBoto3(t *testing.T) {
	if os.Getenv("HOPWISE_PEERS") != "1" {
		t.Skip("set HOPWISE_PEERS=1 to try clients of other makers")
	}
	t.Run("operations", func(t *testing.T) { runBoto3(t, base) })
	t.Run("faults", func(t *testing.T) {
		runBoto3(t, withFaults("deny: ec2:DescribeVpcEndpoints", "deny: eks:DescribeAddon", "deny: elasticloadbalancing:DescribeLoadBalancers",
			"fault: ec2:DescribeSubnets throttle 3"), "faults")
	})
}

func runBoto3(t *testing.T, scenario string, args ...string) {
	l := start(t, scenario, Options{PageSize: 2})
	python := os.Getenv("PYTHON")
	if venv := os.Getenv("HOPWISE_PEERS_VENV"); venv != "" {
		python = filepath.Join(venv, "bin", "python")
	}
	cmd := exec.CommandContext(t.Context(), cmp.Or(python, "python3"), append([]string{"../../../test/peers/aws/check.py"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+l.url, "AWS_ACCESS_KEY_ID="+testKey, "AWS_SECRET_ACCESS_KEY="+testSecret,
		"AWS_DEFAULT_REGION=eu-west-1", "AWS_REGION=eu-west-1", "AWS_SESSION_TOKEN=", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("check.py %v: %v", args, err)
	}
}
