package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"github.com/hopwise/hopwise/internal/probe"
)

type probeCmd struct {
	DNS probeDNSCmd `cmd:"" name:"dns" help:"Look a name up from here, several times, and print answers and times. Run it in a pod to see what the pod sees."`
}

type probeDNSCmd struct {
	Name    string        `arg:"" help:"Name to look up, as a program would be told it."`
	Count   int           `default:"10" help:"How many lookups, one after the other."`
	Server  string        `help:"Nameserver to ask instead of those of resolv.conf, as ADDRESS or ADDRESS:PORT." placeholder:"ADDRESS"`
	Timeout time.Duration `default:"10s" help:"Of each lookup, with its retries."`
	Output  string        `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (d *probeDNSCmd) Run(ctx context.Context, c *console) error {
	if d.Count < 1 || d.Count > 10_000 {
		return usage("--count %d: want 1 to 10000", d.Count)
	}
	if d.Timeout <= 0 {
		return usage("--timeout %s: want more than nothing, such as 5s", d.Timeout)
	}
	server := d.Server
	if server != "" {
		if _, _, err := net.SplitHostPort(server); err != nil {
			server = net.JoinHostPort(server, "53")
		}
	}
	r := probe.DNS(ctx, probe.Lookups{Name: d.Name, Server: server, Count: d.Count, Timeout: d.Timeout})
	if ctx.Err() != nil && r.Count == 0 {
		return exit{exitCouldNot, fmt.Errorf("interrupted before a lookup ended")}
	}
	if d.Output == "json" {
		enc := json.NewEncoder(c.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		for _, line := range r.Lines() {
			fmt.Fprintln(c.out, line)
		}
	}
	if r.Answered < r.Count {
		return exit{status: exitFound}
	}
	return nil
}
