package slack

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// maxBody bounds a Web API request; Slack answers request_too_large as well.
const maxBody = 1 << 20

// args are the arguments of a Web API call, however they were sent.
type args map[string]any

// readArgs reads a form, multipart or JSON request and the token: in the
// header, or in a form. As in Slack, a token in a JSON body does not count.
func readArgs(r *http.Request) (a args, token string, fromBody bool, err error) {
	a = args{}
	for k, v := range r.URL.Query() {
		a[k] = v[0]
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body := http.MaxBytesReader(nil, r.Body, maxBody)
	switch kind {
	case "application/json":
		err = readJSON(body, a)
		delete(a, "token")
	case "", "application/x-www-form-urlencoded", "multipart/form-data":
		r.Body = body
		err = readForm(r, kind, a)
	default:
		err = apiError{Code: "invalid_post_type"}
	}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return a, bearer, false, err
	}
	return a, a.str("token"), true, err
}

func readJSON(body io.Reader, a args) error {
	data, err := io.ReadAll(body)
	if err != nil {
		return apiError{Code: "request_too_large"}
	}
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, &a); err != nil {
		if data[0] == '{' {
			return apiError{Code: "invalid_json"}
		}
		return apiError{Code: "json_not_object"}
	}
	return nil
}

func readForm(r *http.Request, kind string, a args) error {
	var err error
	if kind == "multipart/form-data" {
		err = r.ParseMultipartForm(maxBody)
	} else {
		err = r.ParseForm()
	}
	if err != nil {
		return apiError{Code: "invalid_form_data"}
	}
	for k, v := range r.PostForm {
		a[k] = v[0]
	}
	return nil
}

func (a args) str(key string) string {
	switch v := a[key].(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

func (a args) bool(key string) bool {
	v := a.str(key)
	return v == "true" || v == "1"
}

func (a args) int(key string, otherwise int) int {
	n, err := strconv.Atoi(a.str(key))
	if err != nil {
		return otherwise
	}
	return n
}

// raw is the JSON of an argument: a JSON text in a form, a value or a JSON
// text in a JSON body. nil when it is absent or empty.
func (a args) raw(key string) json.RawMessage {
	switch v := a[key].(type) {
	case nil:
		return nil
	case string:
		if strings.TrimSpace(v) == "" || v == "null" {
			return nil
		}
		return json.RawMessage(v)
	default:
		data, err := json.Marshal(v)
		if err != nil {
			return nil
		}
		return data
	}
}
