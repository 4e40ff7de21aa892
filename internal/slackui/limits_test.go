package slackui

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"
)

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"short", 10, "short"},
		{"a b c d e f g h", 12, "a b c d…"},
		{"1234567&amp;90", 13, "1234567…"},
		{"ab <@U123456> cd ef", 15, "ab…"},
		{"12345 ```abcdefghijkl```", 20, "12345 ```abcdefg…```"},
		{"12345 `abcdefghijkl` x", 20, "12345 `abcdefghi…`"},
		{"```abcdefgh``` and more of it", 16, "```abcdefgh…```"},
		{"héllo wörld ünd", 12, "héllo wö…"},
	} {
		got := cut(c.in, c.limit)
		if got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
		if utf8.RuneCountInString(got) > c.limit {
			t.Errorf("cut(%q, %d) has %d characters", c.in, c.limit, utf8.RuneCountInString(got))
		}
	}
}

func TestFitLeavesSmallMessagesAlone(t *testing.T) {
	m := Message{Text: "Hello.", Key: "k", Blocks: blocks(
		header("h", "Title"), section("s", "body &amp; <@U1>"), fields("f", "*a*\n1", "*b*\n2"),
		table("t", []string{"x", "y"}, []string{"1", "2"}),
		actions("a", button(ActionApprove, "v", "Approve", "Approve it").WithConfirm(confirm("T", "t", "y", "n"))),
		contextLine("c", "one", "two"))}
	if diff := cmp.Diff(m, Fit(m)); diff != "" {
		t.Error(diff)
	}
}

func TestFitKeepsButtonsAndSaysWhatIsMissing(t *testing.T) {
	var bs []slack.Block
	for range 80 {
		bs = append(bs, section("same", strings.Repeat("&lt;", 1000)))
	}
	bs = append(bs, actions("act", button(ActionApprove, "v", "Approve", "")))
	m := Fit(Message{Text: "x", Blocks: bs})
	if errs := wrongBlocks(t, m.Blocks, false); errs != nil {
		t.Error(errs)
	}
	raw, _ := json.Marshal(m.Blocks)
	for _, want := range []string{ActionApprove, leftOut} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%q is lost", want)
		}
	}
	if len(bs) != 81 || bs[0].(*slack.SectionBlock).Text.Text != strings.Repeat("&lt;", 1000) {
		t.Error("Fit changed its argument")
	}
}

func TestTwinActions(t *testing.T) {
	m := Fit(Message{Text: "x", Blocks: blocks(actions("a", button(ActionReject, "r:0:0", "A", ""), button(ActionReject, "r:0:1", "B", "")))})
	second := m.Blocks[0].(*slack.ActionBlock).Elements.ElementSet[1].(*slack.ButtonBlockElement)
	payload, _ := json.Marshal(map[string]any{"type": "block_actions", "user": map[string]string{"id": "U"},
		"actions": []map[string]string{{"action_id": second.ActionID, "value": second.Value}}})
	p := Decode(envelope("interactive", string(payload)), self).(Press)
	if second.ActionID == ActionReject || p.Action != ActionReject || p.Value != "r:0:1" {
		t.Errorf("the second button has action_id %q and decodes to %+v", second.ActionID, p)
	}
}

// hostile are the texts that the fuzzed messages are made of.
var hostile = []string{
	"", " ", "\n", "\u200b", "plain", "&amp;", "<!channel>", "<https://evil.example|ok>", "```", "`", "<", "&", "\x00\xff", "\u202eevil",
	strings.Repeat("x", 200), strings.Repeat("é😀", 900), strings.Repeat("&lt;", 2000), strings.Repeat("<@U1>", 900), strings.Repeat("```", 500),
	strings.Repeat("\"", 5000),
}

// A maker builds messages from a stream of random numbers.
type maker struct {
	*rand.Rand
	extra string
}

func (g maker) str() string {
	s := hostile[g.IntN(14)]
	if g.IntN(6) == 0 {
		s = hostile[g.IntN(len(hostile))] // the long ones stand last
	}
	if g.IntN(3) == 0 {
		s += g.extra
	}
	return s
}

func (g maker) obj() *slack.TextBlockObject {
	switch g.IntN(5) {
	case 0:
		return nil
	case 1:
		return plainText(g.str())
	case 2:
		return &slack.TextBlockObject{Type: "odd", Text: g.str()}
	}
	return mrkdwn(g.str())
}

func (g maker) button() *slack.ButtonBlockElement {
	b := &slack.ButtonBlockElement{Text: g.obj(), ActionID: g.str(), Value: g.str(), URL: g.str(), Style: slack.Style(g.str()), AccessibilityLabel: g.str()}
	switch g.IntN(3) {
	case 0:
		b.URL = "https://example.com/" + strings.Repeat("a", g.IntN(4000))
	case 1:
		b.URL = ""
		b.Confirm = &slack.ConfirmationBlockObject{Title: g.obj(), Text: g.obj(), Confirm: g.obj(), Deny: g.obj(), Style: slack.Style(g.str())}
	}
	return b
}

func (g maker) block() slack.Block {
	switch g.IntN(10) {
	case 0:
		return header(g.str(), g.str())
	case 1:
		b := &slack.SectionBlock{Text: g.obj(), BlockID: g.str()}
		for range g.IntN(14) {
			b.Fields = append(b.Fields, g.obj())
		}
		if g.IntN(2) == 0 {
			b.Accessory = slack.NewAccessory(g.button())
		}
		return b
	case 2:
		b := slack.NewContextBlock(g.str())
		for range g.IntN(14) {
			b.ContextElements.Elements = append(b.ContextElements.Elements, mrkdwn(g.str()))
		}
		return b
	case 3:
		b := slack.NewActionBlock(g.str())
		for range g.IntN(30) {
			b.Elements.ElementSet = append(b.Elements.ElementSet, g.button())
		}
		return b
	case 4:
		return &slack.ImageBlock{ImageURL: "https://example.com/a.png", AltText: g.str(), Title: g.obj(), BlockID: g.str()}
	case 5:
		b := slack.NewTableBlock(g.str())
		for range g.IntN(12) * g.IntN(11) {
			var row []slack.TableCell
			for range g.IntN(25) {
				row = append(row, slack.NewTableRawTextCell(g.str()))
			}
			b.Rows = append(b.Rows, append(row, nil, slack.NewTableRawNumberCell(1.5)))
		}
		b.ColumnSettings = make([]slack.ColumnSetting, g.IntN(25))
		return b
	case 6:
		return (*slack.SectionBlock)(nil)
	case 7:
		return slack.NewMarkdownBlock("md", g.str())
	case 8:
		return slack.NewDividerBlock()
	}
	return section(g.str(), g.str())
}

func FuzzFit(f *testing.F) {
	for seed := range uint64(12) {
		f.Add(seed, "words &amp; <x")
	}
	f.Fuzz(func(t *testing.T, seed uint64, extra string) {
		g := maker{rand.New(rand.NewPCG(seed, 1)), extra}
		var bs []slack.Block
		n := g.IntN(12)
		if seed < 1000 && seed%4 == 0 {
			n = 60
		}
		for range n {
			bs = append(bs, g.block())
		}
		m := Fit(Message{Text: g.str(), Blocks: bs})
		for name, m := range map[string]Message{"Fit": m, "plainer": plainer(m), "textOnly": Fit(textOnly(m))} {
			if n := utf8.RuneCountInString(m.Text); n == 0 || n > 4000 || strings.TrimSpace(m.Text) == "" {
				t.Errorf("%s: text of %d characters", name, n)
			}
			if errs := wrongBlocks(t, m.Blocks, false); errs != nil {
				t.Errorf("%s: %q", name, errs)
			}
		}
		v := FitView(View{Title: g.str(), Close: g.str(), Submit: g.str(), Private: g.str(), Callback: g.str(), Blocks: bs})
		if errs := wrongBlocks(t, v.Blocks, true); errs != nil {
			t.Errorf("view: %q", errs)
		}
		for s, most := range map[string]int{v.Title: 24, v.Close: 24, v.Submit: 24, v.Private: 3000, v.Callback: 255} {
			if utf8.RuneCountInString(s) > most {
				t.Errorf("view: %q has more than %d characters", s, most)
			}
		}
		if v.Title == "" || len(v.Blocks) == 0 {
			t.Error("view without title or blocks")
		}
	})
}

func TestEscape(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a & <!channel> b", "a &amp; &lt;!channel&gt; b"},
		{"&lt;", "&amp;lt;"},
		{"```rm -rf```", "`\u200b`\u200b`rm -rf`\u200b`\u200b`"},
		{"`````", "`\u200b`\u200b`\u200b`\u200b`"},
		{"a\x1b[31mb\u202ec\u200bd", "a[31mbcd"},
		{"tok\u200ben=abcdef1234", "token=••••••"}, // hidden characters do not hide a secret
		{strings.Repeat("&", maxInsert+1), strings.Repeat("&amp;", maxInsert-1) + "…"},
	} {
		if got := Escape(c.in); got != c.want {
			t.Errorf("Escape(%.40q) = %.60q, want %.60q", c.in, got, c.want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("<@U1> ```x``` &amp; \u202e password=hunter22")
	f.Fuzz(func(t *testing.T, s string) {
		got := Escape(s)
		if strings.ContainsAny(got, "<>") || strings.Contains(got, "```") || !utf8.ValidString(got) {
			t.Errorf("Escape(%q) = %q", s, got)
		}
		if code := fence(s, 500); strings.Trim(code, "`") == code || strings.Count(code, "```") != 2 {
			t.Errorf("fence(%q) = %q", s, code)
		}
		if rest := strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(got); strings.Contains(rest, "&") {
			t.Errorf("Escape(%q) = %q has a bare &", s, got)
		}
	})
}

func TestMentions(t *testing.T) {
	got := mentionList([]string{"<@U1>", "<!subteam^S1|@net>", "<!channel>", "U2", "<https://x|y>"})
	want := "<@U1>, <!subteam^S1|@net>, `&lt;!channel&gt;`, <@U2>, `&lt;https://x|y&gt;`"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
