package slackui

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/golden"
	"github.com/hopwise/hopwise/internal/reach"
)

// somePath is a path of n hops that breaks at the last.
func somePath(n int, text string) *reach.Path {
	p := &reach.Path{From: "shop/cart", To: "service payments/payments:80", Protocol: "tcp", Port: 80, Verdict: reach.Denied, Symptom: reach.Timeout, Text: "shop/cart cannot reach " + text, Pairs: 4, Stopped: 4}
	for i := range n - 1 {
		v := []reach.Verdict{reach.Allowed, reach.CannotTell}[i%2]
		p.Hops = append(p.Hops, reach.Step{Hop: fmt.Sprintf("network ACL, inbound of subnet-%d", i), Verdict: v, Text: text, Command: "aws ec2 describe-network-acls"})
	}
	p.Hops = append(p.Hops, reach.Step{Hop: "NetworkPolicy, ingress of the destination", Verdict: reach.Denied, Rule: "payments/deny", Text: text, Command: "kubectl -n payments describe networkpolicy deny"})
	p.Missing = []facts.Gap{{Kind: "ec2/network-acls", Reason: facts.Denied, Permission: "ec2:DescribeNetworkAcls"}}
	return p
}

func TestPathScreen(t *testing.T) {
	r := nothing(3, 0)
	r.Path = somePath(4, "payments: no ingress rule of payments/deny allows tcp 8080 with pod shop/cart-1")
	m := Report(r, ReportContext{Run: "r1"})
	if errs := wrongBlocks(t, m.Blocks, false); errs != nil {
		t.Error(errs)
	}
	golden.Check(t, filepath.Join("testdata", "screens", "path.txtar"), golden.Section{Name: "text", Data: m.Text}, golden.Section{Name: "plain", Data: PlainText(m)})
}

// However long a path is and whatever its words are, Slack takes the message
// and the hop that breaks is in it.
func TestLongPath(t *testing.T) {
	for _, n := range []int{1, maxHops, 200} {
		r := nothing(3, 0)
		r.Path = somePath(n, "<!channel> ``` *x* "+strings.Repeat("y", 5000))
		m, v := Report(r, ReportContext{Run: "r1"}), Evidence(r, ReportContext{Run: "r1"})
		if errs := append(wrongBlocks(t, m.Blocks, false), wrongBlocks(t, v.Blocks, true)...); errs != nil {
			t.Error(n, errs)
		}
		if plain := PlainText(m); !strings.Contains(plain, "Broken here") || strings.Contains(plain, "<!channel") {
			t.Errorf("%d hops:\n%s", n, plain)
		}
	}
}
