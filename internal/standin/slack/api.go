package slack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An apiError is an answer with "ok": false.
type apiError struct {
	Code       string
	Messages   []string // "[ERROR] ..." is put before each
	Needed     string   // scope, of missing_scope
	RetryAfter int      // seconds, of ratelimited
}

func (e apiError) Error() string { return e.Code + " " + strings.Join(e.Messages, "; ") }

type reply map[string]any

// A request is one Web API call that passed authentication.
type request struct {
	args
	app bool // made with the app-level token
}

// kinds of tokens that a method takes.
type tokenKind int

const (
	botToken tokenKind = iota
	appToken
	anyToken
	noToken
)

type method struct {
	token tokenKind
	run   func(*Server, request) (reply, error)
}

// methods are all methods that the server knows.
var methods = map[string]method{
	"auth.test":                    {anyToken, (*Server).authTest},
	"apps.connections.open":        {appToken, (*Server).connectionsOpen},
	"bots.info":                    {botToken, (*Server).botsInfo},
	"users.info":                   {botToken, (*Server).usersInfo},
	"users.list":                   {botToken, (*Server).usersList},
	"usergroups.list":              {botToken, (*Server).usergroupsList},
	"usergroups.users.list":        {botToken, (*Server).usergroupsUsersList},
	"chat.postMessage":             {botToken, (*Server).chatPostMessage},
	"chat.postEphemeral":           {botToken, (*Server).chatPostEphemeral},
	"chat.update":                  {botToken, (*Server).chatUpdate},
	"chat.delete":                  {botToken, (*Server).chatDelete},
	"chat.getPermalink":            {botToken, (*Server).chatGetPermalink},
	"conversations.info":           {botToken, (*Server).conversationsInfo},
	"conversations.history":        {botToken, (*Server).conversationsHistory},
	"conversations.replies":        {botToken, (*Server).conversationsReplies},
	"conversations.open":           {botToken, (*Server).conversationsOpen},
	"reactions.add":                {botToken, (*Server).reactionsAdd},
	"reactions.remove":             {botToken, (*Server).reactionsRemove},
	"reactions.get":                {botToken, (*Server).reactionsGet},
	"views.open":                   {botToken, (*Server).viewsOpen},
	"views.push":                   {botToken, (*Server).viewsPush},
	"views.update":                 {botToken, (*Server).viewsUpdate},
	"files.getUploadURLExternal":   {botToken, (*Server).filesGetUploadURL},
	"files.completeUploadExternal": {botToken, (*Server).filesComplete},
	"files.info":                   {botToken, (*Server).filesInfo},
	"blocks.validate":              {noToken, (*Server).blocksValidate},
}

// A Call is a Web API request that the server got, for tests.
type Call struct {
	Method string
	Args   map[string]any // without the token
	Error  string         // "" when it was ok; else the code, or "fault"
	At     time.Time
}

// serveAPI answers /api/METHOD. It takes the lock itself.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("method")
	s.learnAddress(r)
	a, token, fromBody, err := readArgs(r)
	delete(a, "token")
	fault := s.takeFault(name)
	if fault != nil && !fault.After {
		s.record(name, a, "fault")
		fault.serve(w, r, s.quit)
		return
	}
	var out reply
	if err == nil {
		out, err = s.call(name, a, token, fromBody)
	}
	s.record(name, a, errorCode(err))
	if fault != nil {
		fault.serve(w, r, s.quit)
		return
	}
	s.answer(w, r, out, err)
}

func (s *Server) record(name string, a args, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{Method: name, Args: a, Error: code, At: time.Now()})
	s.touch()
}

func errorCode(err error) string {
	var e apiError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	}
	return err.Error()
}

func (s *Server) call(name string, a args, token string, fromBody bool) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, apiError{Code: "service_unavailable"}
	}
	m, ok := methods[name]
	if !ok {
		return nil, apiError{Code: "unknown_method"}
	}
	if err := s.authenticate(m, token, fromBody); err != nil {
		return nil, err
	}
	if err := s.allow(name, a.str("channel")); err != nil {
		return nil, err
	}
	return m.run(s, request{args: a, app: token == s.opts.AppToken})
}

// authenticate holds the token against the method. apps.connections.open
// takes an app-level token, and only in the header.
func (s *Server) authenticate(m method, token string, fromBody bool) error {
	switch {
	case m.token == noToken:
		return nil
	case token == "" || m.token == appToken && fromBody:
		return apiError{Code: "not_authed"}
	case token != s.opts.BotToken && token != s.opts.AppToken:
		return apiError{Code: "invalid_auth"}
	case m.token == appToken && token != s.opts.AppToken, m.token == botToken && token != s.opts.BotToken:
		return apiError{Code: "not_allowed_token_type"}
	}
	return nil
}

// need fails unless one of the scopes was granted.
func (s *Server) need(scopes ...string) error {
	for _, scope := range scopes {
		if slices.Contains(s.opts.Scopes, scope) {
			return nil
		}
	}
	return apiError{Code: "missing_scope", Needed: strings.Join(scopes, ",")}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, out reply, err error) {
	status := http.StatusOK
	if err != nil {
		out = s.failure(err)
		if e, ok := err.(apiError); ok && e.RetryAfter > 0 {
			status = http.StatusTooManyRequests
			w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
		}
	} else {
		out["ok"] = true
	}
	warnCharset(r, out)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-OAuth-Scopes", strings.Join(s.opts.Scopes, ","))
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(out); err != nil {
		s.opts.Log.Debug("answer not written", "err", err)
	}
}

func (s *Server) failure(err error) reply {
	if problems, ok := err.(blockErrors); ok {
		return reply{"ok": false, "error": "invalid_blocks", "errors": problems}
	}
	e, ok := err.(apiError)
	if !ok {
		e = apiError{Code: "internal_error", Messages: []string{err.Error()}}
	}
	out := reply{"ok": false, "error": e.Code}
	if e.Needed != "" {
		out["needed"] = e.Needed
		out["provided"] = strings.Join(s.opts.Scopes, ",")
	}
	if len(e.Messages) > 0 {
		marked := make([]string, len(e.Messages))
		for i, m := range e.Messages {
			marked[i] = "[ERROR] " + m
		}
		out["errors"] = e.Messages
		out["response_metadata"] = reply{"messages": marked}
	}
	return out
}

// warnCharset adds the warning that Slack gives for JSON without a charset.
func warnCharset(r *http.Request, out reply) {
	kind := r.Header.Get("Content-Type")
	if !strings.HasPrefix(kind, "application/json") || strings.Contains(kind, "charset") {
		return
	}
	out["warning"] = "missing_charset"
	meta, _ := out["response_metadata"].(reply)
	if meta == nil {
		meta = reply{}
	}
	meta["warnings"] = []string{"missing_charset"}
	out["response_metadata"] = meta
}

func (s *Server) authTest(q request) (reply, error) {
	t, a := s.ws.Team, s.ws.App
	out := reply{"url": "https://" + t.Domain + ".slack.com/", "team": t.Name, "team_id": t.ID, "is_enterprise_install": false}
	if q.app {
		out["app_name"], out["app_id"] = a.Name, a.ID
		return out, nil
	}
	out["user"], out["user_id"], out["bot_id"] = s.user(a.BotUser).Name, a.BotUser, a.BotID
	return out, nil
}

func (s *Server) blocksValidate(q request) (reply, error) {
	given := 0
	for _, key := range []string{"blocks", "message", "view"} {
		if q.raw(key) != nil {
			given++
		}
	}
	if given != 1 {
		return nil, apiError{Code: "invalid_arguments", Messages: []string{"exactly one of blocks, message, view is needed"}}
	}
	return s.validateReport(q)
}

// page cuts a cursor page out of n things: the bounds and the next cursor.
func (q request) page(n, most int) (from, to int, next string, err error) {
	limit := q.int("limit", most)
	if limit <= 0 || limit > 999 {
		return 0, 0, "", apiError{Code: "invalid_limit"}
	}
	if c := q.str("cursor"); c != "" {
		number, ok := strings.CutPrefix(c, "next_")
		from, err = strconv.Atoi(strings.TrimRight(number, "="))
		if !ok || err != nil || from < 0 || from > n {
			return 0, 0, "", apiError{Code: "invalid_cursor"}
		}
	}
	to = min(from+limit, n)
	if to < n {
		next = fmt.Sprintf("next_%d=", to)
	}
	return from, to, next, nil
}
