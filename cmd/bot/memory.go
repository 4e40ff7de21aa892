package main

import (
	"runtime/debug"
	"time"
)

// settleAfter is when a bot that hears Slack has done all that a start needs.
const settleAfter = 3 * time.Second

// settleDown gives back what only the start needed: the bot may idle for
// days.
func settleDown() {
	debug.FreeOSMemory()
	unmapProgram()
}
