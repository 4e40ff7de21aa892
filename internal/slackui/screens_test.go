package slackui

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/golden"
	"github.com/hopwise/hopwise/internal/remedy"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ref(k, id string) facts.Ref { return facts.Ref{Kind: facts.Kind(k), ID: id} }

// fullSubnet is a report with a cause, three consequences, something else,
// and a gap.
func fullSubnet() *diagnose.Report {
	subnet, pod, svc := ref("ec2/subnets", "subnet-0a1"), ref("kube/pods", "shop/web-1"), ref("kube/services", "shop/web")
	cause := "l3/subnet-ip-exhausted"
	return &diagnose.Report{
		Schema: diagnose.Schema, Cluster: "shop", At: noon, Ask: "Pod is Pending and IP allocation fails", Cause: cause,
		Findings: []diagnose.Finding{
			{Check: cause, Layer: facts.L3, Severity: diagnose.Outage, Title: "Subnet has no free IP addresses", Subject: subnet, Affects: []facts.Ref{pod, svc},
				Claim: "Subnet subnet-0a1 (10.0.16.0/24, eu-west-1a) has 0 free addresses, and 2 pods on its nodes wait for one",
				Evidence: []diagnose.Evidence{
					{Fact: "subnet-0a1 AvailableIpAddressCount", Got: "0", Want: "at least 16", Command: "aws ec2 describe-subnets --subnet-ids subnet-0a1"},
					{Fact: "pod shop/web-1 event", Got: "failed to assign an IP address to container", Want: "none", Command: "kubectl -n shop describe pod web-1"},
				},
				Remedies: []remedy.Remedy{
					{Title: "Tag the spare subnet for pods", Why: "New nodes take their pods' addresses from it", Risk: remedy.Safe,
						Actions: remedy.Actions{remedy.TagResource{Resource: "subnet-0b2", Key: "kubernetes.io/role/cni", Value: "1"}}},
					{Title: "Add a CIDR to the VPC", Why: "It gives room for new subnets", Risk: remedy.Disruptive,
						Manual: []string{"aws ec2 associate-vpc-cidr-block --vpc-id vpc-1 --cidr-block 100.64.0.0/16", "aws ec2 create-subnet --vpc-id vpc-1 --cidr-block 100.64.0.0/19"}},
				}},
			effect("l4/pods-pending", facts.L4, "Pods wait for an address", "2 of 3 pods of shop/web are Pending", pod, cause, svc),
			effect("l4/service-no-endpoints-selector", facts.L4, "Service has no endpoints", "Service shop/web has no ready endpoints", svc, cause),
			effect("l7/target-response-code-mismatch", facts.L7, "Targets are unhealthy", "All 3 targets of k8s-shop-web are unhealthy", svc, cause),
			{Check: "dns/coredns-zero-ready", Layer: facts.DNS, Severity: diagnose.Degraded, Title: "CoreDNS is short of pods", Subject: ref("kube/deployments", "kube-system/coredns"),
				Claim:    "1 of 2 CoreDNS pods is ready",
				Evidence: []diagnose.Evidence{{Fact: "coredns readyReplicas", Got: "1", Want: "2", Command: "kubectl -n kube-system get deploy coredns"}}},
		},
		Layers: []diagnose.LayerVerdict{
			{Layer: facts.L3, Verdict: diagnose.Fail, Clear: 1, Found: 1}, {Layer: facts.L4, Verdict: diagnose.Fail, Clear: 3, Found: 2},
			{Layer: facts.L7, Verdict: diagnose.Fail, Found: 1, Unknown: 1}, {Layer: facts.DNS, Verdict: diagnose.Fail, Clear: 1, Found: 1},
		},
		RuledOut: []diagnose.RuledOut{
			{Check: "l3/private-subnet-no-default-route", Title: "Private subnet has no default route"}, {Check: "l4/node-to-node-sg-blocked", Title: "Security group blocks traffic between nodes"},
			{Check: "l4/b", Title: "Network ACL blocks return traffic"}, {Check: "l4/c", Title: "Service port has no listener"}, {Check: "dns/networkpolicy-blocks-dns", Title: "NetworkPolicy blocks DNS"},
		},
		Unknown: []diagnose.UnknownCheck{{Check: "l7/target-timeout-blocked", Missing: []facts.Kind{"ec2/security-groups"}, Reason: "denied", Permission: "ec2:DescribeSecurityGroups"}},
		Timing:  diagnose.Timing{TotalMS: 840, CollectMS: 800, Calls: 21},
	}
}

func effect(check string, l facts.Layer, title, claim string, subject facts.Ref, cause string, affects ...facts.Ref) diagnose.Finding {
	return diagnose.Finding{Check: check, Layer: l, Severity: diagnose.Outage, Title: title, Claim: claim, Subject: subject, Affects: affects,
		CausedBy: []string{cause}, Evidence: []diagnose.Evidence{{Fact: subject.String(), Got: "none", Want: "some", Command: "kubectl get x"}}}
}

func nothing(clear, unknown int) *diagnose.Report {
	r := &diagnose.Report{Schema: diagnose.Schema, Cluster: "shop", At: noon, Timing: diagnose.Timing{TotalMS: 410, Calls: 1}}
	for range clear {
		r.RuledOut = append(r.RuledOut, diagnose.RuledOut{Check: "l3/private-subnet-no-default-route", Title: "Private subnet has no default route"})
	}
	for range unknown {
		r.Unknown = append(r.Unknown, diagnose.UnknownCheck{Check: "l4/node-to-node-sg-blocked", Reason: "timed out", Permission: ""})
	}
	for i, l := range facts.Layers {
		row := diagnose.LayerVerdict{Layer: l, Verdict: diagnose.NoView}
		switch {
		case i == 0 && clear > 0:
			row.Clear, row.Verdict = clear, diagnose.Pass
		case i == 1:
			row.Unknown = unknown
		}
		r.Layers = append(r.Layers, row)
	}
	return r
}

func proposal() approval.Proposal {
	rem := remedy.Remedy{
		Title: "Let the Service select the pods that run", Why: "The Service's selector matches none of them", Risk: remedy.Safe,
		Actions: remedy.Actions{remedy.SetSelector{Namespace: "shop", Service: "web", Selector: map[string]string{"app": "web"}, Before: map[string]string{"app": "wbe"}}},
	}
	return approval.Proposal{
		ID: "91c2", Run: "7f3a", Cluster: "shop", Team: "T1", Channel: "C1", Thread: "5.1", Asker: "U1", Claim: "Service shop/web selects no pod",
		Remedy: rem, Hash: rem.Hash(), DryRun: []string{"service/web patched (server dry run)"}, MayApprove: []string{"<!subteam^S0NETOPS>", "<@U2>"},
		NeedsVotes: 1, Created: noon, Expires: noon.Add(15 * time.Minute), State: approval.Open,
	}
}

// corefileProposal replaces a text: its lines are shown beside the command.
func corefileProposal() approval.Proposal {
	p := proposal()
	from := ".:53 {\n    errors\n    forwrad . /etc/resolv.conf\n}\n"
	p.Remedy = remedy.Remedy{Title: "Correct the Corefile", Why: "CoreDNS does not know the word forwrad", Risk: remedy.Disruptive, Actions: remedy.Actions{
		remedy.SetConfigMapKey{Namespace: "kube-system", Name: "coredns", Key: "Corefile", From: from, To: strings.Replace(from, "forwrad", "forward", 1)},
	}}
	p.Hash = p.Remedy.Hash()
	return p
}

// restartProposal leaves nothing behind that could be undone.
func restartProposal() approval.Proposal {
	p := proposal()
	p.Remedy = remedy.Remedy{Title: "Restart CoreDNS", Why: "Its pods hold addresses that are gone", Risk: remedy.Disruptive, Actions: remedy.Actions{
		remedy.RestartWorkload{Workload: remedy.Workload{Kind: "Deployment", Namespace: "kube-system", Name: "coredns"}},
	}}
	p.Hash = p.Remedy.Hash()
	return p
}

func decidedBy(p approval.Proposal, s approval.State, approve bool) approval.Proposal {
	p.State = s
	p.Decisions = []approval.Decision{{User: "U2", Approve: approve, At: noon.Add(time.Minute)}}
	return p
}

// unexplainedReport is one of a cluster whose trouble no check knows.
func unexplainedReport() *diagnose.Report {
	r := nothing(6, 0)
	r.Unexplained = []diagnose.Unexplained{
		{Object: facts.Ref{Kind: facts.Pods.Kind(), ID: "shop/search-0"}, Reason: "FailedCreatePodSandBox", Message: "CNI request failed: <daemon> is not ready", Count: 3},
		{Object: facts.Ref{Kind: facts.Pods.Kind(), ID: "shop/cart-0"}, Reason: "NetworkNotReady", Message: "cni plugin not initialized", Count: 1},
	}
	return r
}

func undoOf(p approval.Proposal) *approval.Proposal {
	u := p
	u.ID, u.UndoOf = "91c3", p.ID
	u.Remedy = remedy.Remedy{Title: "Take back: " + p.Remedy.Title, Risk: remedy.Safe, Actions: p.Remedy.Undo()}
	u.Hash = u.Remedy.Hash()
	return &u
}

func verification(v diagnose.Verdict) diagnose.Verification {
	fs := fullSubnet().Findings
	out := diagnose.Verification{Verdict: v, Changes: []diagnose.Change{
		{Finding: fs[2], Before: fs[2].Claim, After: "clear", Gone: true},
		{Finding: fs[3], Before: fs[3].Claim, After: fs[3].Claim},
	}}
	if v == diagnose.Unverified {
		out.Changes = nil
	}
	return out
}

// messages are the screens that a person can see, by golden file.
func messages() map[string]Message {
	rc := ReportContext{Run: "7f3a", Asker: "U1"}
	readOnly := rc
	readOnly.ReadOnly = true
	p := Progress{Run: "7f3a", Asker: "U1", Ask: "network issue <!channel>", Cluster: "shop", Started: noon}
	half := p
	half.Edit = 2
	half.Steps = []Step{{"Read Kubernetes", Done, "412 objects"}, {"Read AWS", Running, "subnets, routes"}, {"Read target health", Missed, "denied"}, {"Compare", Waiting, ""}}
	prop := proposal()
	two := decidedBy(prop, approval.Open, true)
	two.NeedsVotes, two.Remedy.Risk = 2, remedy.Disruptive
	nobody, expired := prop, prop
	expired.State = approval.Expired
	nobody.MayApprove, nobody.DryRun = nil, nil
	applied := decidedBy(prop, approval.Applied, true)
	return map[string]Message{
		"first_sign":         FirstSign(p),
		"progress":           ProgressScreen(half),
		"progress_done":      ProgressDone(p, "https://shop.slack.com/archives/C1/p51"),
		"stopped":            Stopped(p, "U1"),
		"report":             Report(fullSubnet(), rc),
		"report_read_only":   Report(fullSubnet(), readOnly),
		"report_clear":       Report(nothing(1, 0), rc),
		"report_partial":     Report(nothing(6, 3), rc),
		"report_unexplained": Report(unexplainedReport(), rc),
		"report_blind":       Report(nothing(0, 3), rc),
		"proposal":           ProposalScreen(prop),
		"proposal_two":       ProposalScreen(two),
		"proposal_nobody":    ProposalScreen(nobody),
		"proposal_undo":      ProposalScreen(*undoOf(prop)),
		"proposal_text":      ProposalScreen(corefileProposal()),
		"proposal_restart":   ProposalScreen(restartProposal()),
		"approved":           Decision(decidedBy(prop, approval.Approved, true), ""),
		"applied":            Decision(applied, ""),
		"failed":             Decision(decidedBy(prop, approval.Failed, true), "The API server answered: forbidden"),
		"rejected":           Decision(decidedBy(prop, approval.Rejected, false), ""),
		"stale":              Decision(decidedBy(prop, approval.Stale, true), ""),
		"expired":            Decision(expired, ""),
		"refusal":            Refusal(&approval.Refusal{Code: "asker", Sentence: "You asked for this check, so somebody else has to approve: ask @netops"}),
		"verdict_fixed":      Verdict(verification(diagnose.Fixed), applied, undoOf(prop)),
		"verdict_persists":   Verdict(verification(diagnose.Persists), applied, undoOf(prop)),
		"verdict_moved":      Verdict(verification(diagnose.Moved), applied, undoOf(prop)),
		"verdict_unchecked":  Verdict(verification(diagnose.Unverified), applied, nil),
		"failure": FailureScreen(Failure{Run: "7f3a", What: "The Kubernetes API server did not answer within 10 s", Known: []string{"AWS answers"},
			NotChecked: []string{"Services", "DNS"}, Next: "Check the API server's address in the kubeconfig, then try again"}),
		"failure_changed": FailureScreen(Failure{Run: "7f3a", What: "The second of two changes was refused", Changed: []string{"Tag on subnet-0b2"}}),
		"help":            Help(),
		"not_a_request":   NotARequest(),
	}
}

func views() map[string]View {
	return map[string]View{
		"evidence":       Evidence(fullSubnet(), ReportContext{Run: "7f3a", Asker: "U1"}),
		"evidence_clear": Evidence(nothing(3, 2), ReportContext{Run: "7f3a"}),
		"details":        Details(proposal()),
		"details_text":   Details(corefileProposal()),
	}
}

func TestScreens(t *testing.T) {
	for name, m := range messages() {
		t.Run(name, func(t *testing.T) {
			if errs := wrongBlocks(t, m.Blocks, false); errs != nil {
				t.Error(errs)
			}
			golden.Check(t, filepath.Join("testdata", "screens", name+".txtar"),
				golden.Section{Name: "text", Data: m.Text}, golden.Section{Name: "plain", Data: PlainText(m)},
				golden.Section{Name: "blocks.json", Data: indented(t, m.Blocks)})
		})
	}
	for name, v := range views() {
		t.Run(name, func(t *testing.T) {
			if errs := wrongBlocks(t, v.Blocks, true); errs != nil {
				t.Error(errs)
			}
			golden.Check(t, filepath.Join("testdata", "screens", name+".txtar"),
				golden.Section{Name: "text", Data: v.Title}, golden.Section{Name: "plain", Data: PlainText(Message{Text: v.Title, Blocks: v.Blocks})},
				golden.Section{Name: "blocks.json", Data: indented(t, v.Blocks)})
		})
	}
}

func indented(t *testing.T, v any) string {
	t.Helper()
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestUpdatesKeepBlockTypes holds what Slack asks of chat.update: the message
// that replaces another has no blocks that cannot be replaced, and new ids.
func TestUpdatesKeepBlockTypes(t *testing.T) {
	ms := messages()
	for _, c := range [][2]string{{"first_sign", "progress"}, {"progress", "progress_done"}, {"progress", "stopped"}, {"proposal", "approved"}, {"approved", "applied"}, {"proposal", "expired"}, {"proposal", "proposal_two"}} {
		before := map[string]bool{}
		for _, b := range ms[c[0]].Blocks {
			before[b.ID()] = true
			switch b.(type) {
			case *slack.TableBlock, *slack.ImageBlock:
				t.Errorf("%s holds a %s, which chat.update may not replace", c[0], b.BlockType())
			}
		}
		for _, b := range ms[c[1]].Blocks {
			if before[b.ID()] {
				t.Errorf("%s and %s share the block id %s", c[0], c[1], b.ID())
			}
		}
	}
}

// TestNoButtonsAfterDecision: what was decided cannot be pressed again.
func TestNoButtonsAfterDecision(t *testing.T) {
	for name, m := range messages() {
		raw := indented(t, m.Blocks)
		decision := slices.Contains(strings.Fields("approved applied failed rejected stale expired stopped progress_done"), name)
		if decision && strings.Contains(raw, `"button"`) {
			t.Errorf("%s still has a button", name)
		}
		if strings.Count(raw, `"style": "primary"`) > 1 {
			t.Errorf("%s has two primary buttons", name)
		}
	}
}

// TestNoSecrets plants credentials wherever text comes in.
func TestNoSecrets(t *testing.T) {
	secrets := []string{"xoxb-123456789012-abcdefghij", "AKIAIOSFODNN7EXAMPLE", "ghp_abcdefghijklmnopqrstuv123456", "hunter2hunter2"}
	bait := "token " + secrets[0] + " key " + secrets[1] + "\u200b " + secrets[2] + " password=" + secrets[3]
	r := fullSubnet()
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Claim, f.Title = bait, bait
		f.Evidence = []diagnose.Evidence{{Fact: bait, Got: bait, Want: bait, Command: bait}}
		f.Remedies = []remedy.Remedy{{Title: bait, Why: bait, Manual: []string{bait}}}
		f.Subject.ID = bait
	}
	r.Unknown[0].Reason, r.Unknown[0].Permission, r.RuledOut[0].Title, r.Cluster = bait, bait, bait, bait
	rc := ReportContext{Run: "7f3a", Asker: bait}
	p := proposal()
	p.Claim, p.Cluster, p.DryRun, p.MayApprove = bait, bait, []string{bait}, []string{bait}
	p.Remedy.Title, p.Remedy.Why = bait, bait
	p.Remedy.Actions = remedy.Actions{remedy.TagResource{Resource: "subnet-1", Key: "k", Value: bait}}
	p = decidedBy(p, approval.Open, true)
	pr := Progress{Run: "r", Asker: bait, Ask: bait, Cluster: bait, Steps: []Step{{bait, Running, bait}}}
	v := diagnose.Verification{Verdict: diagnose.Fixed, Changes: []diagnose.Change{{Finding: r.Findings[0], Before: bait, After: bait}}}
	out := []any{
		Report(r, rc), Evidence(r, rc), ProposalScreen(p), Details(p), Decision(p, bait), Refusal(&approval.Refusal{Sentence: bait}),
		Verdict(v, p, &p), FailureScreen(Failure{Run: "r", What: bait, Known: []string{bait}, NotChecked: []string{bait}, Changed: []string{bait}, Next: bait}),
		ProgressScreen(pr), ProgressDone(pr, ""), Stopped(pr, bait),
	}
	for i, o := range out {
		raw := indented(t, o)
		if !strings.Contains(raw, "••••••") {
			t.Errorf("output %d shows none of what was planted", i)
		}
		for _, s := range secrets {
			if strings.Contains(raw, s) || strings.Contains(raw, s[:12]) {
				t.Errorf("output %d leaks %s:\n%s", i, s, raw)
			}
		}
	}
}

// TestHostileReport: nothing that a cluster says can mention people, forge
// links or end a code block.
func TestHostileReport(t *testing.T) {
	r := fullSubnet()
	bait := "<!channel> <https://evil.example|fix> ``` & \u202e" + strings.Repeat("x", 50_000)
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Claim, f.Title = bait, bait
		for range 200 {
			f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: bait, Got: bait, Want: bait, Command: bait})
		}
	}
	m, v := Report(r, ReportContext{Run: "r"}), Evidence(r, ReportContext{Run: "r"})
	if errs := append(wrongBlocks(t, m.Blocks, false), wrongBlocks(t, v.Blocks, true)...); errs != nil {
		t.Error(errs)
	}
	for _, text := range []string{m.Text, PlainText(m), PlainText(Message{Text: "x", Blocks: v.Blocks})} {
		if strings.Contains(text, "<!channel") || strings.Contains(text, "<https") || strings.Contains(text, "\u202e") || strings.Count(text, "```")%2 != 0 {
			t.Errorf("hostile text got through: %.300q", text)
		}
	}
	if raw := indented(t, m.Blocks); !strings.Contains(raw, ActionEvidence) {
		t.Error("the report lost its buttons")
	}
}
