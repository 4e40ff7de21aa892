package slackui

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Self is what Slack calls the bot: Decode tells its own messages and
// mentions by it.
type Self struct {
	Team   string   // id of the workspace
	User   string   // id of the bot's user
	Bot    string   // bot_id of its messages
	App    string   // id of the app, "" when not known
	Name   string   // user name of the bot
	Scopes []string // what its token may do
}

// An Envelope is one Socket Mode message from Slack.
type Envelope struct {
	ID      string          `json:"envelope_id"` // "" for those that want no acknowledgement
	Type    string          `json:"type"`        // events_api, interactive, slash_commands, hello, disconnect or one we do not know
	Payload json.RawMessage `json:"payload"`
	Retry   int             `json:"retry_attempt"`
}

// ParseEnvelope reads the frame of a Socket Mode message.
func ParseEnvelope(b []byte) (Envelope, error) {
	var env Envelope
	if err := json.Unmarshal(b, &env); err != nil {
		return Envelope{}, fmt.Errorf("read envelope: %w", err)
	}
	return env, nil
}

// Decode makes an Event of an envelope. What it cannot read or must not act
// on is Ignored, and never an error: it is acknowledged all the same, or
// Slack sends it again.
func Decode(env Envelope, self Self) Event {
	switch env.Type {
	case "events_api":
		return decodeEvent(env, self)
	case "slash_commands":
		return decodeCommand(env)
	case "interactive":
		return decodeInteraction(env, self)
	case "hello", "disconnect":
		return Ignored{env.Type}
	}
	return Ignored{"envelope of unknown type " + line(env.Type, 60)}
}

type eventPayload struct {
	Team  string       `json:"team_id"`
	App   string       `json:"api_app_id"`
	ID    string       `json:"event_id"`
	Event messageEvent `json:"event"`
}

type messageEvent struct {
	Type        string          `json:"type"`
	Subtype     string          `json:"subtype"`
	Channel     string          `json:"channel"`
	ChannelType string          `json:"channel_type"`
	User        string          `json:"user"`
	Bot         string          `json:"bot_id"`
	Text        string          `json:"text"`
	TS          string          `json:"ts"`
	Thread      string          `json:"thread_ts"`
	Edited      json.RawMessage `json:"edited"`
	Hidden      bool            `json:"hidden"`
}

func decodeEvent(env Envelope, self Self) Event {
	var p eventPayload
	if err := json.Unmarshal(env.Payload, &p); err != nil {
		return Ignored{"event that does not read as one"}
	}
	if why := ignore(p.Event, self); why != "" {
		return Ignored{why}
	}
	words, mentioned := askText(p.Event.Text, self.User)
	return Ask{
		EventID: orElse(p.ID, env.ID), Team: p.Team, Channel: p.Event.Channel, User: p.Event.User, Text: words,
		TS: p.Event.TS, Thread: p.Event.Thread,
		Mention: mentioned || p.Event.Type == "app_mention" || p.Event.ChannelType == "im",
	}
}

// ignore says why an event starts nothing, "" for a message of a person.
func ignore(e messageEvent, self Self) string {
	switch {
	case e.Type != "message" && e.Type != "app_mention":
		return "event of type " + line(e.Type, 60)
	case e.Bot != "" || e.User == "USLACKBOT" || self.User != "" && e.User == self.User:
		return "message of a bot"
	case e.Subtype != "" && e.Subtype != "file_share" && e.Subtype != "thread_broadcast":
		return "message of subtype " + line(e.Subtype, 60)
	case present(e.Edited) || e.Hidden:
		return "edited message"
	case e.Channel == "" || e.User == "" || e.TS == "":
		return "message without channel, user or time"
	}
	return ""
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func decodeCommand(env Envelope) Event {
	var p struct {
		Team     string `json:"team_id"`
		Channel  string `json:"channel_id"`
		User     string `json:"user_id"`
		Text     string `json:"text"`
		Response string `json:"response_url"`
	}
	if err := json.Unmarshal(env.Payload, &p); err != nil || p.Channel == "" || p.User == "" {
		return Ignored{"slash command that does not read as one"}
	}
	words, _ := askText(p.Text, "")
	return Ask{
		EventID: env.ID, Team: p.Team, Channel: p.Channel, User: p.User, Text: words,
		Mention: true, Command: true, Response: p.Response,
	}
}

type idOf struct {
	ID   string `json:"id"`
	Team string `json:"team_id"`
}

type interaction struct {
	Type    string `json:"type"`
	App     string `json:"api_app_id"`
	Team    idOf   `json:"team"`
	User    idOf   `json:"user"`
	Channel idOf   `json:"channel"`
	Trigger string `json:"trigger_id"`
	Message struct {
		TS     string `json:"ts"`
		Thread string `json:"thread_ts"`
	} `json:"message"`
	Container struct {
		Channel string `json:"channel_id"`
		Message string `json:"message_ts"`
		Thread  string `json:"thread_ts"`
	} `json:"container"`
	Actions []struct {
		ID    string `json:"action_id"`
		Value string `json:"value"`
		TS    string `json:"action_ts"`
	} `json:"actions"`
	View struct {
		Callback string `json:"callback_id"`
		Private  string `json:"private_metadata"`
	} `json:"view"`
}

func decodeInteraction(env Envelope, self Self) Event {
	var p interaction
	if err := json.Unmarshal(env.Payload, &p); err != nil {
		return Ignored{"interaction that does not read as one"}
	}
	if self.App != "" && p.App != "" && p.App != self.App {
		return Ignored{"interaction with another app"}
	}
	team := orElse(p.Team.ID, p.User.Team)
	switch {
	case p.Type == "view_submission":
		return Submit{Team: team, User: p.User.ID, Callback: p.View.Callback, Private: p.View.Private}
	case p.Type != "block_actions":
		return Ignored{"interaction of type " + line(p.Type, 60)}
	case len(p.Actions) == 0 || p.User.ID == "":
		return Ignored{"press of nothing or by nobody"}
	}
	action, _, _ := strings.Cut(p.Actions[0].ID, twin)
	return Press{
		Team: team, UserTeam: p.User.Team, User: p.User.ID,
		Channel: orElse(p.Channel.ID, p.Container.Channel),
		Action:  action, Value: p.Actions[0].Value,
		MessageTS: orElse(p.Message.TS, p.Container.Message),
		Thread:    orElse(p.Message.Thread, p.Container.Thread),
		TriggerID: p.Trigger, At: slackTime(p.Actions[0].TS),
	}
}

// slackTime reads a Slack timestamp, such as 1548426417.840180; the zero time
// for anything else.
func slackTime(ts string) time.Time {
	whole, frac, _ := strings.Cut(ts, ".")
	sec, err := strconv.ParseUint(whole, 10, 33)
	if err != nil {
		return time.Time{}
	}
	micro, err := strconv.ParseUint((frac + "000000")[:6], 10, 32)
	if err != nil {
		micro = 0
	}
	return time.UnixMicro(int64(sec)*1e6 + int64(micro)).UTC()
}
