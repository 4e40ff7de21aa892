package slackui

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/approval"
)

func testClient(t *testing.T) (*fakeSlack, *Client) {
	f := newFakeSlack(t)
	return f, NewClient(ClientConfig{BotToken: "xoxb-1", APIURL: f.URL + "/api"})
}

var hello = Message{Text: "Hi &amp; bye", Key: "run/1/report", Blocks: blocks(section("s", "Hi"), table("t", []string{"a", "b"}, []string{"1", "2"}))}

func TestPost(t *testing.T) {
	f, c := testClient(t)
	f.on("chat.postMessage", func(int, url.Values) answer { return ok("channel", "C1", "ts", "9.1") })
	ts, err := c.Post(t.Context(), "C1", "5.1", hello)
	if err != nil || ts != "9.1" {
		t.Fatalf("ts %q, error %v", ts, err)
	}
	form := f.made("chat.postMessage")[0]
	want := map[string]string{"channel": "C1", "thread_ts": "5.1", "text": "Hi &amp; bye", "parse": "none", "unfurl_links": "false", "unfurl_media": "false",
		"metadata": `{"event_type":"hopwise_step","event_payload":{"key":"run/1/report"}}`}
	for k, v := range want {
		if form.Get(k) != v {
			t.Errorf("%s = %q, want %q", k, form.Get(k), v)
		}
	}
	if form.Has("link_names") {
		t.Error("link_names is set")
	}
}

func TestPostWaitsWhenAsked(t *testing.T) {
	f, c := testClient(t)
	f.on("chat.postMessage", func(n int, _ url.Values) answer {
		if n == 1 {
			return slow(1)
		}
		return ok("ts", "9.1")
	})
	start := time.Now()
	if _, err := c.Post(t.Context(), "C1", "", hello); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < time.Second {
		t.Errorf("tried again after %s, Slack asked for 1 s", d)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	f.on("chat.postMessage", func(int, url.Values) answer { return slow(60) })
	if _, err := c.Post(ctx, "C1", "", hello); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: %v", err)
	}
}

// TestLostAnswers: a post is never repeated when its answer got lost, an
// update and a read are.
func TestLostAnswers(t *testing.T) {
	f, c := testClient(t)
	for _, method := range []string{"chat.postMessage", "chat.update", "users.info"} {
		f.on(method, func(n int, _ url.Values) answer {
			if n == 1 {
				return answer{drop: true}
			}
			return ok("ts", "9.1", "user", map[string]any{"id": "U1", "team_id": "T1"})
		})
	}
	if _, err := c.Post(t.Context(), "C1", "", hello); err == nil {
		t.Error("a lost post reports no error")
	}
	if err := c.Update(t.Context(), "C1", "9.1", hello); err != nil {
		t.Error(err)
	}
	if _, err := c.Person(t.Context(), "U1"); err != nil {
		t.Error(err)
	}
	for method, want := range map[string]int{"chat.postMessage": 1, "chat.update": 2, "users.info": 2} {
		if got := len(f.made(method)); got != want {
			t.Errorf("%s was called %d times, want %d", method, got, want)
		}
	}
}

func TestServerErrors(t *testing.T) {
	f, c := testClient(t)
	f.on("chat.postMessage", func(int, url.Values) answer { return answer{status: 503, body: "down"} })
	f.on("chat.update", func(n int, _ url.Values) answer {
		if n < 3 {
			return answer{status: 500, body: "down"}
		}
		return ok("ts", "9.1")
	})
	if _, err := c.Post(t.Context(), "C1", "", hello); err == nil || len(f.made("chat.postMessage")) != 1 {
		t.Errorf("post: %v after %d calls", err, len(f.made("chat.postMessage")))
	}
	if err := c.Update(t.Context(), "C1", "9.1", hello); err != nil {
		t.Error(err)
	}
}

func TestPlainerWhenBlocksAreRefused(t *testing.T) {
	f, c := testClient(t)
	f.on("chat.postMessage", func(_ int, form url.Values) answer {
		switch {
		case strings.Contains(form.Get("blocks"), `"table"`):
			return fails("invalid_blocks")
		case form.Get("channel") == "C2" && form.Get("blocks") != "[]":
			return fails("invalid_blocks")
		}
		return ok("ts", "9.1")
	})
	if _, err := c.Post(t.Context(), "C1", "", hello); err != nil {
		t.Fatal(err)
	}
	if b := f.made("chat.postMessage")[1].Get("blocks"); !strings.Contains(b, "b: 2") {
		t.Errorf("the table became %s", b)
	}
	if _, err := c.Post(t.Context(), "C2", "", hello); err != nil {
		t.Fatal(err)
	}
	last := f.made("chat.postMessage")[4]
	if last.Get("text") != "Hi &amp; bye\nHi\n• 1 · b: 2" || last.Get("metadata") == "" {
		t.Errorf("text alone: %q, metadata %q", last.Get("text"), last.Get("metadata"))
	}
	f.on("chat.postMessage", func(int, url.Values) answer { return fails("invalid_blocks") })
	if _, err := c.Post(t.Context(), "C1", "", hello); err == nil || len(f.made("chat.postMessage")) != 8 {
		t.Errorf("all refused: %v after %d calls", err, len(f.made("chat.postMessage")))
	}
}

func TestGone(t *testing.T) {
	f, c := testClient(t)
	for _, code := range []string{"not_in_channel", "is_archived", "channel_not_found"} {
		f.on("chat.postMessage", func(int, url.Values) answer { return fails(code) })
		if _, err := c.Post(t.Context(), "C1", "", hello); !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v", code, err)
		}
	}
	f.on("chat.update", func(int, url.Values) answer { return fails("message_not_found") })
	if err := c.Update(t.Context(), "C1", "1", hello); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	f.on("chat.postEphemeral", func(int, url.Values) answer { return fails("fatal_error") })
	if err := c.Ephemeral(t.Context(), "C1", "", "U1", hello); err == nil || errors.Is(err, ErrGone) {
		t.Errorf("fatal_error: %v", err)
	}
}

func TestFindPost(t *testing.T) {
	f, c := testClient(t)
	msg := func(ts, bot, key string) map[string]any {
		return map[string]any{"ts": ts, "bot_id": bot, "metadata": map[string]any{"event_type": stepEvent, "event_payload": map[string]any{"key": key}}}
	}
	f.on("conversations.replies", func(_ int, form url.Values) answer {
		if form.Get("include_all_metadata") != "1" || form.Get("ts") != "5.1" {
			return fails("invalid_arguments")
		}
		if form.Get("cursor") == "" {
			return ok("messages", []any{msg("1", "", "k"), msg("2", "B", "other")}, "has_more", true, "response_metadata", map[string]any{"next_cursor": "p2"})
		}
		return ok("messages", []any{msg("3", "B", "k")})
	})
	f.on("conversations.history", func(int, url.Values) answer { return ok("messages", []any{msg("4", "B", "k")}) })
	for _, x := range []struct{ thread, key, want string }{{"5.1", "k", "3"}, {"5.1", "none", ""}, {"", "k", "4"}, {"", "none", ""}} {
		if got, err := c.FindPost(t.Context(), "C1", x.thread, x.key); got != x.want || err != nil {
			t.Errorf("FindPost(%q, %q) = %q, %v; want %q", x.thread, x.key, got, err, x.want)
		}
	}
}

func TestPerson(t *testing.T) {
	f, c := testClient(t)
	f.on("users.info", func(_ int, form url.Values) answer {
		switch id := form.Get("user"); id {
		case "U1":
			return ok("user", map[string]any{"id": id, "team_id": "T1", "name": "ann", "real_name": "Ann A", "profile": map[string]any{"display_name": "ann.a"}})
		case "UGUEST":
			return ok("user", map[string]any{"id": id, "team_id": "T1", "name": "g", "is_ultra_restricted": true})
		case "UOTHER":
			return ok("user", map[string]any{"id": id, "team_id": "T2", "name": "s", "is_stranger": true})
		case "UGONE":
			return ok("user", map[string]any{"id": id, "team_id": "T1", "name": "x", "deleted": true, "is_bot": true})
		}
		return fails("user_not_found")
	})
	f.on("usergroups.users.list", func(_ int, form url.Values) answer {
		switch form.Get("usergroup") {
		case "S1":
			return ok("users", []string{"U1", "U2"})
		case "S2":
			return ok("users", []string{"U2"})
		}
		return fails("no_such_subteam")
	})
	for _, want := range []approval.Person{
		{ID: "U1", Team: "T1", Name: "ann.a", Groups: []string{"S1"}},
		{ID: "UGUEST", Team: "T1", Name: "g", Guest: true},
		{ID: "UOTHER", Team: "T2", Name: "s", Guest: true},
		{ID: "UGONE", Team: "T1", Name: "x", Bot: true, Left: true},
	} {
		for range 2 {
			got, err := c.Person(t.Context(), want.ID, "S1", "S2", "S3")
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %v\n%s", want.ID, err, diff)
			}
		}
	}
	if n, g := len(f.made("users.info")), len(f.made("usergroups.users.list")); n != 4 || g != 3 {
		t.Errorf("%d users and %d groups were read, want 4 and 3: answers are kept", n, g)
	}
	if _, err := c.Person(t.Context(), "UNOBODY"); err == nil {
		t.Error("an unknown user is no error")
	}
	f.on("usergroups.users.list", func(int, url.Values) answer { return fails("missing_scope") })
	if _, err := c.Person(t.Context(), "U1", "S9"); err == nil || !strings.Contains(err.Error(), "slack-manifest") {
		t.Errorf("a group that cannot be read: %v", err)
	}
}

func TestSelfAndSmallCalls(t *testing.T) {
	f, c := testClient(t)
	f.on("auth.test", func(int, url.Values) answer {
		a := ok("team_id", "T1", "user_id", "UBOT", "bot_id", "B1", "user", "hopwise")
		a.header = map[string]string{"X-OAuth-Scopes": "chat:write, commands"}
		return a
	})
	got, err := c.Self(t.Context())
	if diff := cmp.Diff(Self{Team: "T1", User: "UBOT", Bot: "B1", Name: "hopwise", Scopes: []string{"chat:write", "commands"}}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if missing := MissingScopes(got); len(missing) != len(scopes)-2 || MissingScopes(Self{}) != nil {
		t.Errorf("missing scopes: %v", missing)
	}
	f.on("auth.test", func(int, url.Values) answer { return fails("invalid_auth") })
	if _, err := c.Self(t.Context()); err == nil || !strings.Contains(err.Error(), "token is wrong") || strings.Contains(err.Error(), "\n") {
		t.Errorf("invalid_auth: %v", err)
	}
	f.on("views.open", func(int, url.Values) answer { return fails("expired_trigger_id") })
	if err := c.OpenView(t.Context(), "tr", View{Title: strings.Repeat("long ", 20)}); err == nil || !strings.Contains(err.Error(), "expired_trigger_id") {
		t.Error(err)
	}
}

// TestOnePostAtATime: many posts into a channel wait for each other.
func TestOnePostAtATime(t *testing.T) {
	f, c := testClient(t)
	var mu sync.Mutex
	now, most := 0, 0
	f.on("chat.postMessage", func(int, url.Values) answer {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
		return ok("ts", "1")
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { _, _ = c.Post(t.Context(), "C1", "", hello) })
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d posts at once", most)
	}
}

// TestMessagesOnTheWire: what is sent is what Fit made, as Slack reads it.
func TestMessagesOnTheWire(t *testing.T) {
	f, c := testClient(t)
	f.on("chat.postMessage", func(int, url.Values) answer { return ok("ts", "1") })
	for name, m := range messages() {
		if _, err := c.Post(t.Context(), "C1", "", m); err != nil {
			t.Fatal(name, err)
		}
	}
	for _, form := range f.made("chat.postMessage") {
		var list []map[string]any
		if err := json.Unmarshal([]byte(form.Get("blocks")), &list); err != nil {
			t.Fatal(err)
		}
		v := &validator{blocks: map[string]bool{}, actions: map[string]bool{}}
		for _, b := range list {
			v.block("/", b)
		}
		if v.errs != nil {
			t.Error(v.errs)
		}
	}
}

func TestRespond(t *testing.T) {
	_, c := testClient(t)
	for _, x := range []struct {
		status     int
		body, want string
		gone       bool
	}{
		{200, "ok", "", false},
		{404, `{"ok":false,"error":"expired_url"}`, "expired_url", true},
		{500, "no_text_here", "no_text_here", false},
	} {
		var got map[string]any
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewDecoder(r.Body).Decode(&got)
			w.WriteHeader(x.status)
			_, _ = w.Write([]byte(x.body))
		}))
		err := c.Respond(t.Context(), web.URL, hello)
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) || errors.Is(err, ErrGone) != x.gone {
			t.Errorf("%d %s: %v", x.status, x.body, err)
		}
		if got["response_type"] != "ephemeral" || got["text"] != hello.Text {
			t.Errorf("sent %v", got)
		}
		web.Close()
	}
}
