package slack_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	standin "github.com/hopwise/hopwise/internal/standin/slack"
)

func text(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject("plain_text", s, false, false)
}

func modal(title string) slack.ModalViewRequest {
	return slack.ModalViewRequest{Type: slack.VTModal, Title: text(title), Submit: text("Send"), CallbackID: "why", PrivateMetadata: "r1", NotifyOnClose: true,
		Blocks: slack.Blocks{BlockSet: []slack.Block{slack.NewInputBlock("reason", text("Reason"), nil, slack.NewPlainTextInputBlockElement(nil, "text"))}}}
}

// pressed presses a fresh button and gives the callback that the app got.
func pressed(t *testing.T, s *standin.Server, api *slack.Client, events <-chan socketmode.Event) slack.InteractionCallback {
	t.Helper()
	thread := s.Say(standin.Ana, standin.Ops, "", "start")
	_, ts, err := api.PostMessage(standin.Ops, slack.MsgOptionText("t", false), slack.MsgOptionBlocks(button("rem.details", "p1:hash")), slack.MsgOptionTS(thread))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Press(standin.Bo, standin.Ops, ts, "rem.details"); err != nil {
		t.Fatal(err)
	}
	cb := next(t, events, socketmode.EventTypeInteractive).Data.(slack.InteractionCallback)
	if cb.Container.ThreadTs != thread || cb.Container.MessageTs != ts {
		t.Errorf("container: %+v", cb.Container)
	}
	return cb
}

func TestPressPayload(t *testing.T) {
	s, api := start(t, standin.Options{})
	events := connect(t, s, api, always)
	cb := pressed(t, s, api, events)
	a := cb.ActionCallback.BlockActions[0]
	got := []string{string(cb.Type), cb.User.ID, cb.User.TeamID, cb.Team.ID, cb.Channel.ID, a.ActionID, a.BlockID, a.Value, string(a.Type), cb.Message.Text}
	want := []string{"block_actions", standin.Bo, "T0DEMO", "T0DEMO", standin.Ops, "rem.details", "block.rem.details", "p1:hash", "button", "t"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := s.PressRaw(standin.Eve, standin.Ops, cb.Container.MessageTs, "rem.approve", "forged"); err != nil {
		t.Fatal(err)
	}
	cb = next(t, events, socketmode.EventTypeInteractive).Data.(slack.InteractionCallback)
	if cb.User.TeamID != "T0OTHER" || cb.ActionCallback.BlockActions[0].Value != "forged" {
		t.Errorf("forged press: %+v", cb)
	}
}

func TestModal(t *testing.T) {
	s, api := start(t, standin.Options{})
	events := connect(t, s, api, func(e socketmode.Event) bool { return !isSubmission(e) })
	cb := pressed(t, s, api, events)
	opened, err := api.OpenView(cb.TriggerID, modal("Why?"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.OpenView(cb.TriggerID, modal("Again"))
	wantError(t, err, "exchanged_trigger_id")
	views := s.Views(standin.Bo)
	if len(views) != 1 || views[0].ID != opened.ID || views[0].PrivateMetadata != "r1" {
		t.Fatalf("open views: %+v", views)
	}
	_, err = api.UpdateView(modal("New"), "", "stale-hash", opened.ID)
	wantError(t, err, "hash_conflict")
	if _, err := api.UpdateView(modal("New"), "", opened.Hash, opened.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.SubmitView(opened.ID, json.RawMessage(`{"reason":{"text":{"type":"plain_text_input","value":"because"}}}`)); err != nil {
		t.Fatal(err)
	}
	e := next(t, events, socketmode.EventTypeInteractive)
	sub := e.Data.(slack.InteractionCallback)
	if sub.Type != slack.InteractionTypeViewSubmission || sub.View.State.Values["reason"]["text"].Value != "because" || sub.View.CallbackID != "why" {
		t.Errorf("submission: %+v", sub.View)
	}
	if len(s.Views(standin.Bo)) != 1 {
		t.Error("the modal closed before the app acknowledged")
	}
}

func isSubmission(e socketmode.Event) bool {
	cb, ok := e.Data.(slack.InteractionCallback)
	return ok && cb.Type == slack.InteractionTypeViewSubmission
}

// The answer to a submission closes the modal, keeps it with errors, updates
// it or pushes another one.
func TestAnswersToSubmission(t *testing.T) {
	s, api := start(t, standin.Options{})
	tests := []struct {
		name, payload string
		titles        []string
	}{
		{"errors", `{"response_action":"errors","errors":{"reason":"too short"}}`, []string{"Why?"}},
		{"update", `{"response_action":"update","view":{"type":"modal","title":{"type":"plain_text","text":"Done"},"blocks":[]}}`, []string{"Done"}},
		{"push", `{"response_action":"push","view":{"type":"modal","title":{"type":"plain_text","text":"More"},"blocks":[]}}`, []string{"Why?", "More"}},
		{"close", `{}`, nil},
		{"clear", `{"response_action":"clear"}`, nil},
		{"nonsense", `{"response_action":"dance"}`, []string{"Why?"}},
	}
	ws := dial(t, api)
	read(t, ws)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, ts, err := api.PostMessage(standin.War, slack.MsgOptionBlocks(button("a", "v")))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Press(standin.Ana, standin.War, ts, "a"); err != nil {
				t.Fatal(err)
			}
			var press struct {
				Trigger string `json:"trigger_id"`
			}
			interactive := readType(t, ws, "interactive")
			if err := json.Unmarshal(interactive.Payload, &press); err != nil {
				t.Fatal(err)
			}
			ack(t, ws, map[string]any{"envelope_id": interactive.EnvelopeID})
			view, err := api.OpenView(press.Trigger, modal("Why?"))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SubmitView(view.ID, nil); err != nil {
				t.Fatal(err)
			}
			submission := readType(t, ws, "interactive")
			if !submission.Accepts {
				t.Error("accepts_response_payload is false")
			}
			before := s.Unacked()
			ack(t, ws, map[string]any{"envelope_id": submission.EnvelopeID, "payload": json.RawMessage(test.payload)})
			wait(t, s, "the acknowledgement", func(s *standin.Server) bool { return s.Unacked() < before })
			var titles []string
			for _, v := range s.Views(standin.Ana) {
				var view slack.View
				if err := json.Unmarshal(v.JSON, &view); err != nil {
					t.Fatal(err)
				}
				titles = append(titles, view.Title.Text)
			}
			if diff := cmp.Diff(test.titles, titles); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// readType skips events and acknowledges them.
func readType(t *testing.T, ws interface {
	ReadJSON(any) error
}, kind string) envelope {
	t.Helper()
	for {
		var e envelope
		if err := ws.ReadJSON(&e); err != nil {
			t.Fatal(err)
		}
		if e.Type == kind {
			return e
		}
	}
}

func TestTriggerExpires(t *testing.T) {
	s, api := start(t, standin.Options{TriggerLife: time.Millisecond})
	cb := pressed(t, s, api, connect(t, s, api, always))
	time.Sleep(10 * time.Millisecond)
	_, err := api.OpenView(cb.TriggerID, modal("Late"))
	wantError(t, err, "expired_trigger_id")
}

func TestViewClosed(t *testing.T) {
	s, api := start(t, standin.Options{})
	events := connect(t, s, api, always)
	cb := pressed(t, s, api, events)
	opened, err := api.OpenView(cb.TriggerID, modal("Why?"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CloseView(opened.ID, false); err != nil {
		t.Fatal(err)
	}
	closed := next(t, events, socketmode.EventTypeInteractive).Data.(slack.InteractionCallback)
	if closed.Type != slack.InteractionTypeViewClosed || len(s.Views(standin.Bo)) != 0 {
		t.Errorf("%+v", closed)
	}
}

func TestBadViews(t *testing.T) {
	_, base := serve(t, standin.Options{})
	for view, want := range map[string]string{
		`{"type":"modal","title":` + plain(x(25)) + `,"blocks":[]}`:                                            "[ERROR] must be less than 25 characters [json-pointer:/view/title/text]",
		`{"type":"modal","title":` + plain("t") + `,"blocks":[` + many(101, `{"type":"divider"}`) + `]}`:       "[ERROR] no more than 100 items allowed [json-pointer:/view/blocks]",
		`{"type":"modal","title":` + plain("t") + `,"private_metadata":"` + x(3001) + `","blocks":[]}`:         "[ERROR] must be less than 3001 characters [json-pointer:/view/private_metadata]",
		`{"type":"modal","title":` + plain("t") + `,"blocks":[{"type":"alert","text":` + plain(x(201)) + `}]}`: "[ERROR] must be less than 201 characters [json-pointer:/view/blocks/0/text/text]",
	} {
		got := call(t, base, "views.open", `{"trigger_id":"1.2.3","view":`+view+`}`)
		meta, _ := got["response_metadata"].(map[string]any)
		if diff := cmp.Diff([]any{want}, meta["messages"]); diff != "" {
			t.Errorf("%v\n%s", got, diff)
		}
	}
}

func TestCommandAndItsResponses(t *testing.T) {
	s, api := start(t, standin.Options{})
	ws := dial(t, api)
	read(t, ws)
	if err := s.Command(standin.Ana, standin.Ops, "/hopwise", "why is @bo < #ops down"); err != nil {
		t.Fatal(err)
	}
	e := read(t, ws)
	var c slack.SlashCommand
	if err := json.Unmarshal(e.Payload, &c); err != nil {
		t.Fatal(err)
	}
	if e.Type != "slash_commands" || !e.Accepts || c.Text != "why is <@UBO|bo> &lt; <#C0OPS|ops> down" || c.ChannelName != "ops" {
		t.Errorf("%+v %+v", e, c)
	}
	ack(t, ws, map[string]any{"envelope_id": e.EnvelopeID, "payload": map[string]any{"text": "on it"}})
	wait(t, s, "the answer", func(s *standin.Server) bool { return len(s.Ephemerals(standin.Ana)) == 1 })
	for i := range 6 {
		resp, err := http.Post(c.ResponseURL, "application/json", strings.NewReader(`{"text":"more","response_type":"in_channel"}`))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if ok := resp.StatusCode == 200 && string(body) == "ok"; ok != (i < 5) {
			t.Errorf("response %d: %d %s", i+1, resp.StatusCode, body)
		}
	}
	if got := len(s.Messages(standin.Ops)); got != 5 {
		t.Errorf("%d messages, want 5", got)
	}
}

func TestEphemeralPressIsReplaced(t *testing.T) {
	s, api := start(t, standin.Options{})
	events := connect(t, s, api, always)
	ts, err := api.PostEphemeral(standin.Ops, standin.Ana, slack.MsgOptionText("sure?", false), slack.MsgOptionBlocks(button("yes", "v")))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Press(standin.Bo, standin.Ops, ts, "yes"); err == nil {
		t.Error("somebody else pressed it")
	}
	if err := s.Press(standin.Ana, standin.Ops, ts, "yes"); err != nil {
		t.Fatal(err)
	}
	cb := next(t, events, socketmode.EventTypeInteractive).Data.(slack.InteractionCallback)
	if !cb.Container.IsEphemeral {
		t.Error("is_ephemeral is false")
	}
	err = slack.PostWebhook(cb.ResponseURL, &slack.WebhookMessage{Text: "done", ReplaceOriginal: true})
	if got := s.Ephemerals(standin.Ana); err != nil || len(got) != 1 || got[0].Text != "done" {
		t.Errorf("%v, %+v", err, got)
	}
	if len(s.Messages(standin.Ops)) != 0 {
		t.Error("an ephemeral message is in the history")
	}
}
