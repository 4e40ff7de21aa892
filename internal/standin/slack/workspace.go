package slack

import "slices"

// A Workspace is who and what is there before anybody says a word.
type Workspace struct {
	Team     Team
	App      App
	Users    []User
	Groups   []Group
	Channels []Channel
}

// A Team is a Slack workspace.
type Team struct{ ID, Name, Domain string }

// An App is the one app that is installed in the workspace.
type App struct {
	ID       string // api_app_id
	Name     string
	BotUser  string // id of its user
	BotID    string
	Commands []PageCommand
}

// A User is a person or a bot.
type User struct {
	ID, Name, RealName string
	Title              string // what the person is here for, shown in the switcher
	TeamID             string
	BotID              string // "" for a person
	Restricted         bool   // a guest: multi-channel, is_restricted
	Stranger           bool   // of another workspace, in a shared channel
	Deleted            bool
}

// A Group is a user group.
type Group struct {
	ID, Handle, Name string
	Users            []string
}

// A Channel is a place to talk in. IM names the person of a direct message
// with the app's bot, and is empty otherwise. Members of a public channel
// matter for ephemeral messages and for what the bot hears.
type Channel struct {
	ID, Name, Topic string
	IM              string
	Private         bool
	Archived        bool
	Members         []string
}

// Has tells whether the user is in the channel.
func (c Channel) Has(user string) bool { return slices.Contains(c.Members, user) }

// kind is the channel_type of events.
func (c Channel) kind() string {
	switch {
	case c.IM != "":
		return "im"
	case c.Private:
		return "group"
	}
	return "channel"
}

// The ids of the default workspace.
const (
	Ana      = "UANA"    // asks
	Bo       = "UBO"     // approves
	Gil      = "UGIL"    // a guest
	Eve      = "UEVE"    // of another workspace
	Bot      = "UBOT"    // the app's bot
	AlertBot = "U0ALERT" // another app's bot, that posts alerts

	Incidents = "C0INC"
	Ops       = "C0OPS"
	Random    = "C0RAND" // the bot is not in it
	War       = "G0WAR"  // private, the bot is in it
	Secret    = "G0SEC"  // private, the bot is not in it
	Archive   = "C0ARCH"
	DMAna     = "D0ANA"
	DMBo      = "D0BO"
)

// DefaultWorkspace is a small company with an incident channel.
func DefaultWorkspace() Workspace {
	all := []string{Ana, Bo, Gil, Eve, Bot, AlertBot}
	return Workspace{
		Team: Team{ID: "T0DEMO", Name: "Hopwise Demo", Domain: "hopwise-demo"},
		App: App{ID: "A0HOPWISE", Name: "Hopwise", BotUser: Bot, BotID: "B0BOT",
			Commands: []PageCommand{{Command: "/hopwise", Description: "Diagnose a network problem", Hint: "what is wrong | help"}}},
		Users: []User{
			{ID: Ana, Name: "ana", RealName: "Ana Silva", Title: "asker", TeamID: "T0DEMO"},
			{ID: Bo, Name: "bo", RealName: "Bo Chen", Title: "approver", TeamID: "T0DEMO"},
			{ID: Gil, Name: "gil", RealName: "Gil Roth", Title: "guest", TeamID: "T0DEMO", Restricted: true},
			{ID: Eve, Name: "eve", RealName: "Eve Stone", Title: "other workspace", TeamID: "T0OTHER", Stranger: true},
			{ID: Bot, Name: "hopwise", RealName: "Hopwise", TeamID: "T0DEMO", BotID: "B0BOT"},
			{ID: AlertBot, Name: "alerts", RealName: "Alerts", TeamID: "T0DEMO", BotID: "B0ALERT"},
		},
		Groups: []Group{{ID: "S0NETOPS", Handle: "netops", Name: "Network operations", Users: []string{Bo}}},
		Channels: []Channel{
			{ID: Incidents, Name: "incidents", Topic: "What is broken right now", Members: all},
			{ID: Ops, Name: "ops", Topic: "Day to day", Members: []string{Ana, Bo, Bot}},
			{ID: Random, Name: "random", Members: []string{Ana, Bo, Gil}},
			{ID: War, Name: "war-room", Private: true, Members: []string{Ana, Bo, Bot}},
			{ID: Secret, Name: "secret", Private: true, Members: []string{Ana, Bo}},
			{ID: Archive, Name: "archive", Archived: true, Members: []string{Ana, Bo, Bot}},
			{ID: DMAna, IM: Ana, Members: []string{Ana, Bot}},
			{ID: DMBo, IM: Bo, Members: []string{Bo, Bot}},
			{ID: "D0GIL", IM: Gil, Members: []string{Gil, Bot}},
		},
	}
}

// DefaultScopes are the bot scopes that Hopwise's manifest asks for. A method
// that needs another one answers missing_scope.
func DefaultScopes() []string {
	return []string{"app_mentions:read", "channels:history", "groups:history", "im:history", "chat:write",
		"commands", "files:write", "reactions:write", "usergroups:read", "users:read"}
}
