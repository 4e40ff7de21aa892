// Package slack is a Slack workspace on the loopback: the Web API, Socket
// Mode, and the page that people type in. It holds what Slack holds a bot to
// (limits of Block Kit, rate limits, scopes, acknowledgements within three
// seconds), so that a bot that works here works there. It is for the demo and
// for tests; nothing is stored on disk.
//
// Where Slack documents nothing, the server decides: a redelivered event has a
// new envelope_id and the same event_id; the burst of chat.postMessage is five;
// chat.update in a channel that the bot was removed from is not_in_channel;
// cards, plans and other blocks whose place in messages is not settled are
// refused. Missing are streams, assistant threads, home tabs, shortcuts,
// block_suggestion and every event but those about messages.
package slack

import "encoding/json"

// This file is the contract between the server and the page in the browser.
//
// The page opens ws://HOST/page/ws?user=UANA and speaks JSON text frames, one
// object each, told apart by "type". GET /page/state?user=UANA answers the
// same object as the first frame, for tests and for a page without a socket.
//
// A page belongs to one user at a time, like a Slack client: the server sends
// it only what that user may see (public channels, their own direct messages,
// their own ephemeral messages and views). Ephemeral messages are not part of
// a state frame: like in Slack they are gone after a reload or a user switch.
// A frame whose type the page does not know is to be skipped.
//
// From the server to the page:
//
//	state            StateFrame         first frame, and again after switch_user or a reset of the workspace
//	message          MessageFrame       a new message, in a channel or in a thread (thread_ts != "" and != ts)
//	message_changed  MessageFrame       same channel and ts as an earlier one: replace it in place (edits, reply counts)
//	message_deleted  DeletedFrame
//	ephemeral        MessageFrame       message.ephemeral is true; only this user sees it; with a known ts it replaces that one
//	ephemeral_gone   DeletedFrame       the app replaced or deleted an ephemeral message
//	reaction         ReactionFrame      the full list of reactions of a message
//	view             ViewFrame          a modal opened (on top of the others)
//	view_update      ViewFrame          the modal with view.id has new content
//	view_close       ViewCloseFrame     the modals with these ids are gone
//	view_errors      ViewErrorsFrame    the app refused the submit: show the errors at the inputs
//	channel          ChannelFrame       a channel changed (archived, bot joined or left) or is new
//	bot              BotFrame           how many sockets the app has open; 0: the app is not running
//	pressed          PressedFrame       the app acknowledged a press (ok) or did not within 3 s
//	error            ErrorFrame         something to show as a toast; the frame's "re" tells what it answers
//
// From the page to the server (PageRequest, unused fields left out):
//
//	{"type":"say","channel":"C0INC","thread_ts":"","text":"network issue"}
//	{"type":"command","channel":"C0INC","command":"/hopwise","text":"help"}
//	{"type":"press","channel":"C0INC","ts":"1.2","block_id":"b","action_id":"a","value":"v"}
//	{"type":"press","view_id":"V1","block_id":"b","action_id":"a","value":"v"}
//	{"type":"submit_view","view_id":"V1","values":{"block":{"action":{"type":"plain_text_input","value":"x"}}}}
//	{"type":"close_view","view_id":"V1"}            the X of one modal; "all":true closes the stack
//	{"type":"edit","channel":"C0INC","ts":"1.2","text":"new text"}       the user's own messages
//	{"type":"delete","channel":"C0INC","ts":"1.2"}                       the user's own messages
//	{"type":"invite","channel":"C0INC"}             adds the bot to the channel
//	{"type":"switch_user","user":"UBO"}             answered by a new state frame
//	{"type":"open_channel","channel":"C0INC"}       answered by a channel frame
//
// Any request may carry "re", a string of the page's own; error and pressed
// frames that answer it carry it back. The text of "say" is what a person
// types: "@hopwise", "#incidents", "<" and "&" are turned into Slack's escaped
// form by the server, and the text of every message in a frame is in that
// escaped form (mrkdwn with &amp; &lt; &gt;, <@U1>, <#C1>, <https://..|..>).
// A confirm dialog is the page's business: it sends "press" after the yes.

// A PageWorkspace names the workspace and its one app.
type PageWorkspace struct {
	ID       string        `json:"id"`
	Name     string        `json:"name"`
	Domain   string        `json:"domain"`
	AppID    string        `json:"app_id"`
	BotUser  string        `json:"bot_user"` // user id of the app's bot
	Commands []PageCommand `json:"commands"` // slash commands, for the message box
}

// A PageCommand is a slash command that the app registered.
type PageCommand struct {
	Command     string `json:"command"` // with its slash
	Description string `json:"description"`
	Hint        string `json:"usage_hint"`
}

// A PageUser is a person or a bot of the workspace. The user switcher offers
// those with can_switch.
type PageUser struct {
	ID        string `json:"id"`
	Name      string `json:"name"`      // handle, as typed after @
	RealName  string `json:"real_name"` // as shown
	Title     string `json:"title"`     // "asker", "approver": why this person is here
	TeamID    string `json:"team_id"`
	IsBot     bool   `json:"is_bot"`
	IsGuest   bool   `json:"is_guest"`
	IsOther   bool   `json:"is_other_team"`
	CanSwitch bool   `json:"can_switch"`
}

// A PageGroup is a user group, for <!subteam^ID>.
type PageGroup struct {
	ID     string   `json:"id"`
	Handle string   `json:"handle"`
	Name   string   `json:"name"`
	Users  []string `json:"users"`
}

// A PageChannel is a channel or a direct message with the bot.
type PageChannel struct {
	ID         string `json:"id"`
	Name       string `json:"name"` // without #; of a direct message: the bot's real name
	Topic      string `json:"topic"`
	IsIM       bool   `json:"is_im"`
	IsPrivate  bool   `json:"is_private"`
	IsArchived bool   `json:"is_archived"` // no message box
	HasBot     bool   `json:"has_bot"`     // the app hears this channel
}

// A PageReaction is one emoji on a message.
type PageReaction struct {
	Name  string   `json:"name"` // without colons
	Users []string `json:"users"`
	Count int      `json:"count"`
}

// A PageFile is a file shared in a message. URL is a path on this server.
type PageFile struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Title    string `json:"title"`
	Mimetype string `json:"mimetype"`
	Size     int    `json:"size"`
	AltText  string `json:"alt_txt"`
	URL      string `json:"url"`
}

// A PageMessage is a message as the page shows it. Blocks is Block Kit JSON,
// null when there are none: then show Text. An image block with slack_file.id
// F1 is loaded from /files/F1; a slack_file.url is a URL of this server.
type PageMessage struct {
	TS          string          `json:"ts"` // id within the channel; seconds since 1970 "." microseconds
	Channel     string          `json:"channel"`
	User        string          `json:"user"`
	Username    string          `json:"username,omitempty"` // a name that overrides the user's, of alert bots
	Text        string          `json:"text"`
	Blocks      json.RawMessage `json:"blocks"`
	Attachments json.RawMessage `json:"attachments"`
	ThreadTS    string          `json:"thread_ts"`   // "" in the channel; equal to ts for a thread's parent
	Broadcast   bool            `json:"broadcast"`   // a reply that is also shown in the channel
	ReplyCount  int             `json:"reply_count"` // of a parent
	ReplyUsers  []string        `json:"reply_users"` // of a parent, at most 5
	LatestReply string          `json:"latest_reply"`
	Edits       int             `json:"edits"`  // how often it was edited
	Edited      bool            `json:"edited"` // show "(edited)": never for the app's own updates of blocks
	Ephemeral   bool            `json:"ephemeral"`
	Reactions   []PageReaction  `json:"reactions"`
	Files       []PageFile      `json:"files"`
}

// A PageView is an open modal. View is the view's Block Kit JSON (type, title,
// submit, close, blocks, ...), with the id and hash inside as well.
type PageView struct {
	ID   string          `json:"id"`
	Hash string          `json:"hash"`
	View json.RawMessage `json:"view"`
}

// A StateFrame is all that the user may see. Messages are sorted by ts, with
// the replies of threads among them.
type StateFrame struct {
	Type      string                   `json:"type"` // "state"
	Me        string                   `json:"me"`   // user id that this page belongs to
	Workspace PageWorkspace            `json:"workspace"`
	Users     []PageUser               `json:"users"`
	Groups    []PageGroup              `json:"groups"`
	Channels  []PageChannel            `json:"channels"`
	Messages  map[string][]PageMessage `json:"messages"` // by channel id
	Views     []PageView               `json:"views"`    // the last one is on top
	Bot       int                      `json:"bot"`      // open sockets of the app
}

// A MessageFrame carries a message: "message", "message_changed", "ephemeral".
type MessageFrame struct {
	Type    string      `json:"type"`
	Message PageMessage `json:"message"`
}

// A DeletedFrame names a message that is gone: "message_deleted",
// "ephemeral_gone".
type DeletedFrame struct {
	Type    string `json:"type"`
	Channel string `json:"channel"`
	TS      string `json:"ts"`
}

// A ReactionFrame replaces the reactions of a message: "reaction".
type ReactionFrame struct {
	Type      string         `json:"type"`
	Channel   string         `json:"channel"`
	TS        string         `json:"ts"`
	Reactions []PageReaction `json:"reactions"`
}

// A ViewFrame carries a modal: "view", "view_update".
type ViewFrame struct {
	Type string   `json:"type"`
	View PageView `json:"view"`
}

// A ViewCloseFrame names modals that closed: "view_close".
type ViewCloseFrame struct {
	Type string   `json:"type"`
	IDs  []string `json:"view_ids"`
}

// A ViewErrorsFrame says why a submit was refused: "view_errors".
type ViewErrorsFrame struct {
	Type   string            `json:"type"`
	ViewID string            `json:"view_id"`
	Errors map[string]string `json:"errors"` // by block_id of the input
}

// A ChannelFrame replaces what the page knows of a channel: "channel".
type ChannelFrame struct {
	Type    string      `json:"type"`
	Channel PageChannel `json:"channel"`
}

// A BotFrame counts the app's open sockets: "bot".
type BotFrame struct {
	Type        string `json:"type"`
	Connections int    `json:"connections"`
}

// A PressedFrame ends the spinner on a button: "pressed".
type PressedFrame struct {
	Type     string `json:"type"`
	Re       string `json:"re"`
	Channel  string `json:"channel"`
	TS       string `json:"ts"`
	ActionID string `json:"action_id"`
	OK       bool   `json:"ok"` // false: the app did not acknowledge; show Slack's warning sign
}

// An ErrorFrame is a sentence for the person: "error". Error is a code such
// as is_archived, app_not_running, bad_request, operation_timeout.
type ErrorFrame struct {
	Type    string `json:"type"`
	Re      string `json:"re"`
	Error   string `json:"error"`
	Message string `json:"message"`
}

// A PageRequest is any frame from the page.
type PageRequest struct {
	Type     string          `json:"type"`
	Re       string          `json:"re"`
	User     string          `json:"user"`
	Channel  string          `json:"channel"`
	ThreadTS string          `json:"thread_ts"`
	TS       string          `json:"ts"`
	Text     string          `json:"text"`
	Command  string          `json:"command"`
	ViewID   string          `json:"view_id"`
	BlockID  string          `json:"block_id"`
	ActionID string          `json:"action_id"`
	Value    string          `json:"value"`
	All      bool            `json:"all"`
	Values   json.RawMessage `json:"values"`
}
