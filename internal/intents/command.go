package intents

import (
	"regexp"
	"strings"
)

// A Command is what a reply in an incident's thread tells the bot to do.
type Command string

// The commands. NoCommand is people talking to each other.
const (
	NoCommand Command = ""
	Retry     Command = "retry"
	Stop      Command = "stop"
	Help      Command = "help"
)

var commands = map[string]Command{}

func init() {
	for command, phrases := range map[Command]string{
		Retry: "retry|again|rerun|re-run|try again|run again|run it again|once more|check again|look again|one more time|다시|다시 해줘|다시 확인|다시 확인해줘|다시 해주세요|다시 확인해주세요|다시 실행|재시도|재확인",
		Stop:  "stop|cancel|abort|stop it|cancel it|cancel that|never mind|중지|중지해줘|중지해주세요|취소|취소해줘|취소해주세요|그만|멈춰|중단",
		Help:  "help|help me|usage|what can you do|도움말|사용법|도와줘",
	} {
		for p := range strings.SplitSeq(phrases, "|") {
			commands[p] = command
		}
	}
}

var (
	polite = regexp.MustCompile(`^(?:(?:ok|okay|please|pls|can you|could you|hey|hopwise)[\s,]+)+|[\s,]+(?:please|pls|thanks|thank you|now)$`)
	edges  = regexp.MustCompile(`^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$`)
)

// ThreadCommand reads a reply in a thread. Only a reply that is nothing but
// the command counts: "stop" is one, "we should stop the deploy" is not.
func ThreadCommand(text string) Command {
	if len(text) > 200 {
		return NoCommand
	}
	text = edges.ReplaceAllString(clean(text), "")
	text = edges.ReplaceAllString(polite.ReplaceAllString(text, ""), "")
	return commands[strings.Join(strings.Fields(text), " ")]
}
