package slack_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	standin "github.com/hopwise/hopwise/internal/standin/slack"
)

func TestFaults(t *testing.T) {
	s, api := start(t, standin.Options{})
	post := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, _, err := api.PostMessageContext(ctx, standin.Ops, slack.MsgOptionText("x", false))
		return err
	}
	var status slack.StatusCodeError
	var limited *slack.RateLimitedError
	tests := []struct {
		name  string
		fault standin.Fault
		ok    func(error) bool
		left  int // messages that the failed call left behind
	}{
		{"502", standin.Fault{Status: 502}, func(err error) bool { return errors.As(err, &status) && status.Code == 502 }, 0},
		{"429", standin.Fault{RetryAfter: 7}, func(err error) bool { return errors.As(err, &limited) && limited.RetryAfter == 7*time.Second }, 0},
		{"code", standin.Fault{Error: "internal_error"}, func(err error) bool { return strings.Contains(err.Error(), "internal_error") }, 0},
		{"hang", standin.Fault{Hang: true}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, 0},
		{"drop", standin.Fault{Drop: true}, func(err error) bool { return !errors.Is(err, context.DeadlineExceeded) }, 0},
		{"done but no answer", standin.Fault{Drop: true, After: true}, func(err error) bool { return err != nil }, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.Fail("chat.postMessage", test.fault, 1)
			before := len(s.Messages(standin.Ops))
			if err := post(); err == nil || !test.ok(err) {
				t.Errorf("error %v", err)
			}
			if got := len(s.Messages(standin.Ops)) - before; got != test.left {
				t.Errorf("%d messages, want %d", got, test.left)
			}
			if err := post(); err != nil {
				t.Errorf("the fault did not end: %v", err)
			}
		})
	}
	calls := s.Calls()
	if last := calls[len(calls)-1]; last.Method != "chat.postMessage" || last.Error != "" || last.Args["text"] != "x" || last.Args["token"] != nil {
		t.Errorf("last call: %+v", last)
	}
}

func TestSocketFault(t *testing.T) {
	s, api := start(t, standin.Options{})
	s.Fail("link", standin.Fault{Status: 503}, 1)
	events := connect(t, s, api, always) // slack-go tries again by itself
	next(t, events, "hello")
}

func TestUpload(t *testing.T) {
	s, api := start(t, standin.Options{FileDelay: time.Second})
	ts := s.Say(standin.Ana, standin.Ops, "", "show me")
	png := "\x89PNG\r\n\x1a\nnot much of a picture"
	f, err := api.UploadFile(slack.UploadFileParameters{Filename: "plot.png", FileSize: len(png), Reader: strings.NewReader(png),
		Title: "Plot", AltTxt: "a plot", Channel: standin.Ops, ThreadTimestamp: ts})
	if err != nil {
		t.Fatal(err)
	}
	thread := s.Thread(standin.Ops, ts)
	if len(thread) != 2 || len(thread[1].Files) != 1 || thread[1].Subtype != "file_share" {
		t.Fatalf("thread: %+v", thread)
	}
	image := slack.NewImageBlockSlackFile(&slack.SlackFileObject{ID: f.ID}, "a plot", "", nil)
	_, _, err = api.PostMessage(standin.Ops, slack.MsgOptionText("t", false), slack.MsgOptionBlocks(image))
	wantError(t, err, "invalid_blocks")
	time.Sleep(time.Second)
	if _, _, err = api.PostMessage(standin.Ops, slack.MsgOptionText("t", false), slack.MsgOptionBlocks(image)); err != nil {
		t.Error(err)
	}
	resp, err := http.Get(strings.TrimSuffix(apiURL(t, api), "/api/") + "/files/" + f.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || kind != "image/png" {
		t.Errorf("status %d, type %q", resp.StatusCode, kind)
	}
}

func TestTypedTextIsEscaped(t *testing.T) {
	s, _ := serve(t, standin.Options{})
	for typed, want := range map[string]string{
		"a < b & c":                        "a &lt; b &amp; c",
		"@hopwise look":                    "<@UBOT> look",
		"<@UBOT> look":                     "<@UBOT> look",
		"<@UNOBODY> <!channel>":            "&lt;@UNOBODY&gt; &lt;!channel&gt;",
		"@here @netops @nobody":            "<!here> <!subteam^S0NETOPS> @nobody",
		"mail a@b.example":                 "mail <mailto:a@b.example|a@b.example>",
		"shop.example.com is down":         "<http://shop.example.com|shop.example.com> is down",
		"payments-db.prod.svc is down":     "payments-db.prod.svc is down",
		"`@hopwise <x>` and ```#ops\n&```": "`@hopwise &lt;x&gt;` and ```#ops\n&amp;```",
		"(https://x.example/a?b=1&c=2).":   "(<https://x.example/a?b=1&amp;c=2>).",
	} {
		s.Say(standin.Ana, standin.Ops, "", typed)
		all := s.Messages(standin.Ops)
		if got := all[len(all)-1].Text; got != want {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
}
