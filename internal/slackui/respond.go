package slackui

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/slack-go/slack"
)

// Respond answers a slash command at its response_url, for its sender alone.
// It works where the bot is no member. Slack takes five answers in 30
// minutes; after that the error is ErrGone.
//
// The request is made here because slack-go sends empty metadata with it.
func (c *Client) Respond(ctx context.Context, responseURL string, m Message) error {
	return c.send("response_url", m, func(m Message) error {
		body, err := json.Marshal(map[string]any{"response_type": "ephemeral", "replace_original": false, "text": m.Text, "blocks": nonNil(m.Blocks)})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, responseURL, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := c.web.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		return responded(resp)
	})
}

// nonNil makes no blocks an empty list, not null.
func nonNil(bs []slack.Block) []slack.Block {
	if bs == nil {
		return []slack.Block{}
	}
	return bs
}

// responded reads the answer of a response_url: "ok", or a word for what is
// wrong, bare or as JSON.
func responded(resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return err
	}
	var answer struct{ Error string }
	if json.Unmarshal(b, &answer) != nil || answer.Error == "" {
		answer.Error = line(string(b), 100)
	}
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s: %w", answer.Error, ErrGone)
	}
	return slack.SlackErrorResponse{Err: answer.Error}
}
