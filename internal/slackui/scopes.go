package slackui

import "slices"

// scopes are what the bot's token has to be allowed, as in the manifest.
var scopes = []string{
	"app_mentions:read", "channels:history", "chat:write", "commands", "groups:history",
	"im:history", "usergroups:read", "users:read",
}

// MissingScopes returns the scopes that the bot needs and its token has not.
// Slack names those it has in the header of every answer; a Self without any
// comes from a server that does not say, and misses none.
func MissingScopes(s Self) []string {
	if len(s.Scopes) == 0 {
		return nil
	}
	var missing []string
	for _, want := range scopes {
		if !slices.Contains(s.Scopes, want) {
			missing = append(missing, want)
		}
	}
	return missing
}
