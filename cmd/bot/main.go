// Command bot is Hopwise: it diagnoses EKS networks from a Slack channel.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit statuses, which scripts rely on.
const (
	exitClear    = 0 // nothing found
	exitFound    = 1 // something found, or a command failed
	exitUsage    = 2 // wrong use or wrong settings
	exitCouldNot = 3 // nothing found, but not everything could be looked at
)

// An exit is an error with its exit status.
type exit struct {
	status int
	err    error
}

func (e exit) Error() string { return e.err.Error() }
func (e exit) Unwrap() error { return e.err }

// usage is the error of wrong use or wrong settings.
func usage(format string, args ...any) error { return exit{exitUsage, fmt.Errorf(format, args...)} }

// console is what a command may touch of the outside.
type console struct {
	in       io.Reader
	out, err io.Writer
	tty      bool // out is a terminal that shows colour
}

type commands struct {
	Serve    serveCmd    `cmd:"" help:"Run the Slack bot."`
	Demo     demoCmd     `cmd:"" help:"Run the bot on a made-up Slack, Kubernetes and AWS, with a page to try it."`
	Diagnose diagnoseCmd `cmd:"" help:"Diagnose the cluster now and print a report. No Slack, no database."`
	Intents  intentsCmd  `cmd:"" help:"Read messages from stdin, a line each, and print what they ask for as JSON."`
	Checks   checksCmd   `cmd:"" help:"List the failure modes that are looked for, or explain one."`
	Probe    probeCmd    `cmd:"" help:"Try the network from where this runs: lookups with their times."`
	Audit    auditCmd    `cmd:"" help:"Verify or export the log of questions, decisions and changes."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

const description = `Hopwise finds out why an EKS network is broken, and fixes it when the right people approve.

Settings come from the environment; see ` + "`bot serve --help`" + `.
Exit status: 0 nothing found, 1 something found, 2 wrong use or settings, 3 nothing found but not everything could be looked at or explained.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &console{in: os.Stdin, out: os.Stdout, err: os.Stderr, tty: colourful(os.Stdout)}
	os.Exit(run(ctx, c, os.Args[1:]))
}

// run runs one command line and returns the exit status.
func run(ctx context.Context, c *console, args []string) int {
	var cli commands
	status := -1
	parser, err := kong.New(&cli, kong.Name("bot"), kong.Description(description), kong.UsageOnError(),
		kong.Writers(c.out, c.err), kong.Exit(func(s int) { status = s }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(c))
	if err != nil {
		panic(err) // a bug in the declarations above
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if status >= 0 { // --help was printed
		return status
	}
	if err != nil {
		fmt.Fprintf(c.err, "bot: %v (see bot --help)\n", err)
		return exitUsage
	}
	if err := parsed.Run(); err != nil {
		return report(c, err)
	}
	return exitClear
}

// report prints an error as one line and returns its exit status.
func report(c *console, err error) int {
	var e exit
	if !errors.As(err, &e) {
		e = exit{exitFound, err}
	}
	if e.err != nil {
		fmt.Fprintf(c.err, "bot: %v\n", e.err)
	}
	return e.status
}
