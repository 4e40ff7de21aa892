package slackui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/hopwise/hopwise/internal/approval"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// ProposalScreen asks for approval: the exact plan, what it touches, how it is
// undone, what the dry run said, until when and by whom it can be approved.
// With the first of several approvals it is shown again, one richer.
func ProposalScreen(p approval.Proposal) Message {
	id := proposalID(p)
	what := ":lock: *Approval needed* · "
	if p.UndoOf != "" {
		what = ":leftwards_arrow_with_hook: *Approval needed to undo* · "
	}
	text := "Approval needed: " + sentence(p.Remedy.Title, 200) + " Nothing is changed until then."
	return Fit(Message{Text: text, Blocks: blocks(
		section(id+".h", what+inline(p.Remedy.Title, 150)+"\n"+sentence(p.Remedy.Why, 300)),
		plan(id+".plan", p),
		changes(id+".diff", p),
		fields(id+".facts", "*Fixes*\n"+sentence(p.Claim, 200), "*Touches*\n"+touches(p), "*Undo*\n"+undoText(p),
			"*Dry run*\n"+dryRun(p), "*Risk*\n"+riskText(p), "*Expires*\n"+clock(p.Expires)),
		proposalButtons(id, p),
		contextLine(id+".who", whoMay(p), votes(p), ids(p)),
	)})
}

// proposalID starts the block ids of a proposal's message. It changes with
// every state and vote: Slack wants new ids when a message changes.
func proposalID(p approval.Proposal) string {
	return fmt.Sprintf("req-%s.%s%d", p.ID, p.State, len(p.Decisions))
}

func plan(id string, p approval.Proposal) slack.Block {
	commands := commandList(p.Remedy.Actions)
	text := "Plan:\n" + fence(commands, 2400)
	if p.State == approval.Open {
		text = "Plan, exactly as it would be done:\n" + fence(commands, 2400)
	}
	if runes(commands) > 2400 {
		text += "\nThe plan goes on; Details shows more of it."
	}
	return section(id, text)
}

// changes shows the lines of a text that the plan replaces; nil when it
// replaces none.
func changes(id string, p approval.Proposal) slack.Block {
	if text := whatChanges(p); text != "" {
		return section(id, text)
	}
	return nil
}

func whatChanges(p approval.Proposal) string {
	d := p.Remedy.Diff()
	if d == nil {
		return ""
	}
	return "*What changes*\n" + fence(strings.Join(d, "\n"), 2400)
}

func riskText(p approval.Proposal) string {
	if p.Remedy.Risk == remedy.Disruptive && p.Remedy.Transient() {
		return "Disruptive: some traffic may be interrupted; it leaves nothing behind"
	}
	return riskWords[p.Remedy.Risk]
}

var riskWords = map[remedy.Risk]string{
	remedy.Safe:        "Safe: it adds something and can be undone",
	remedy.Disruptive:  "Disruptive: some traffic is interrupted; it can be undone",
	remedy.Destructive: "Destructive: it cannot be undone",
}

func touches(p approval.Proposal) string {
	var objects []string
	for _, a := range p.Remedy.Actions {
		objects = append(objects, code(a.Object()))
	}
	return bullets(objects, 5, "")
}

func undoText(p approval.Proposal) string {
	if u := p.Remedy.Undo(); u != nil {
		return plural(len(u), "command") + ", offered after the change"
	}
	if p.Remedy.Transient() {
		return "Nothing to undo"
	}
	return "Cannot be undone"
}

func dryRun(p approval.Proposal) string {
	if len(p.DryRun) == 0 {
		return "None was made"
	}
	var lines []string
	for _, l := range p.DryRun {
		lines = append(lines, inline(l, 150))
	}
	return bullets(lines, 4, "")
}

// whoMay names who may approve.
func whoMay(p approval.Proposal) string {
	if len(p.MayApprove) == 0 {
		return "Nobody may approve this: the policy names nobody"
	}
	return "May approve: " + mentionList(p.MayApprove)
}

func votes(p approval.Proposal) string {
	if p.NeedsVotes < 2 {
		return ""
	}
	var by []string
	for _, d := range p.Decisions {
		if d.Approve {
			by = append(by, mention(d.User))
		}
	}
	s := fmt.Sprintf("%d of %d approvals", len(by), p.NeedsVotes)
	if len(by) > 0 {
		s += " (" + strings.Join(by, ", ") + ")"
	}
	return s
}

func ids(p approval.Proposal) string {
	return "request " + code(p.ID) + " · plan " + code(short(p.Hash)) + " · run " + code(p.Run)
}

func short(hash string) string { return hash[:min(len(hash), 8)] }

func proposalButtons(id string, p approval.Proposal) slack.Block {
	value := p.ButtonValue()
	approve := button(ActionApprove, value, "Approve", "Approve: "+line(p.Remedy.Title, 60)).WithStyle(slack.StylePrimary).WithConfirm(confirmPlan(p))
	return actions(id+".act", approve,
		button(ActionReject, value, "Reject", "Reject: "+line(p.Remedy.Title, 60)),
		button(ActionDetails, value, "Details", "Show the whole plan and its undoing"))
}

// confirmPlan states the exact change. A plan that is too long for the dialog
// is named by its hash, never cut: half a command is another command.
func confirmPlan(p approval.Proposal) *slack.ConfirmationBlockObject {
	text := Plain(commandList(p.Remedy.Actions), 2000)
	if runes(text) > 250 {
		text = fmt.Sprintf("%s, with exactly the %s of plan %s shown above.", line(p.Remedy.Title, 120), plural(len(p.Remedy.Actions), "command"), short(p.Hash))
	}
	c := confirm("Make this change"+in(p.Cluster)+"?", text+"\nYour name is recorded.", "Approve", "Back")
	if p.Remedy.Risk != remedy.Safe {
		c.Style = slack.StyleDanger
	}
	return c
}

func in(cluster string) string {
	if cluster == "" {
		return ""
	}
	return " in " + line(cluster, 60)
}

// Details is the modal behind a proposal's "Details".
func Details(p approval.Proposal) View {
	undo := undoText(p) + "."
	if u := p.Remedy.Undo(); u != nil {
		undo = fence(commandList(u), 2500)
	}
	texts := []string{
		"*" + inline(p.Remedy.Title, 150) + "*\n" + sentence(p.Remedy.Why, 600),
		"*Fixes*\n" + sentence(p.Claim, 600),
		"*Plan*\n" + fence(commandList(p.Remedy.Actions), 2500),
		"*Undo*\n" + undo,
		whatChanges(p),
		"*Dry run*\n" + dryRun(p),
		"*Touches*\n" + touches(p),
		"*Risk*\n" + riskText(p),
		whoMay(p) + "\nExpires " + clock(p.Expires) + "\nPlan hash " + code(p.Hash) + "\nRequest " + code(p.ID),
	}
	texts = slices.DeleteFunc(texts, func(t string) bool { return t == "" })
	return FitView(View{Title: "Proposed change", Blocks: pack("d", texts)})
}

var stateLines = map[approval.State][2]string{ // mark, what it means
	approval.Open:     {":lock: *Waiting*", "Nothing was changed."},
	approval.Approved: {":white_check_mark: *Approved*", "The change is being made now."},
	approval.Applied:  {":white_check_mark: *Applied*", "The change was made."},
	approval.Failed:   {":x: *Failed*", "The change did not go through, in whole or in part."},
	approval.Rejected: {":no_entry_sign: *Rejected*", "Nothing was changed."},
	approval.Expired:  {":hourglass: *Expired*", "Nobody approved it in time. Nothing was changed."},
	approval.Stale:    {":warning: *Out of date*", "What it would fix is gone or has changed. Nothing was changed."},
}

// Decision is what a proposal's message becomes: without buttons, with the
// plan, and with who decided when. note says more in one sentence; it may be
// empty.
func Decision(p approval.Proposal, note string) Message {
	id := proposalID(p)
	l := stateLines[p.State]
	head := l[0] + " · " + inline(p.Remedy.Title, 150) + "\n" + l[1]
	text := strings.NewReplacer("*", "", ":", "").Replace(strings.SplitN(l[0], " ", 2)[1]) + ": " + sentence(p.Remedy.Title, 150) + " " + l[1]
	if note != "" {
		head += "\n" + sentence(note, 500)
		text += " " + sentence(note, 300)
	}
	return Fit(Message{Text: text, Blocks: blocks(
		section(id+".h", head),
		plan(id+".plan", p),
		contextLine(id+".who", decided(p), ids(p)),
	)})
}

func decided(p approval.Proposal) string {
	var lines []string
	for _, d := range p.Decisions {
		word := "Rejected"
		if d.Approve {
			word = "Approved"
		}
		lines = append(lines, word+" by "+mention(d.User)+" at "+clock(d.At))
	}
	return strings.Join(lines, " · ")
}

// Refusal tells one person why a press did nothing. The sentence is the bot's
// own and names people by mentions, so it is not escaped.
func Refusal(ref *approval.Refusal) Message {
	s := cut(facts.Redact(ref.Sentence), 500)
	text := s
	if !strings.Contains(s, "Nothing was done") && !strings.Contains(s, "nothing was done") {
		text += " Nothing was done."
	}
	return Fit(Message{
		Text:   text,
		Blocks: blocks(section("refusal", ":no_entry: "+text), contextLine("refusal.c", "Only you see this.")),
	})
}
