package main

import (
	"context"
	"fmt"
	"strings"

	"shoal/node/api"
)

func statusVerb() verb {
	return verb{
		name: "status", short: "show the daemon at a glance",
		about:    `Shows the daemon of this home: who it is, where it listens, its peers, shares, traffic, and the fetches that run.`,
		examples: []string{"shoal status", "shoal status --json | jq .peers"},
		exits:    []int{exitDaemon},
		do:       runStatus,
	}
}

func runStatus(ctx context.Context, c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	s, err := c.daemon(ctx)
	if err != nil {
		return fmt.Errorf("cannot show the status: %w", err)
	}
	st, err := s.Status(ctx)
	if err != nil {
		return fmt.Errorf("cannot show the status: %w", err)
	}
	if c.json {
		c.object(st)
		return c.out.err
	}
	c.printf("%s", statusText(st))
	return c.out.err
}

// statusText is the status for a person.
func statusText(st api.Status) string {
	var b strings.Builder
	row := func(head, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s %s\n", head, fmt.Sprintf(format, args...))
	}
	row("peer", "%s", st.ID)
	row("daemon", "%s, up %s, %s of memory, home %s", st.Version, duration(st.Uptime), size(st.Memory), printable(st.Home))
	for _, t := range st.Troubles {
		row("trouble", "%s", printable(t.Text))
		if t.Next != "" {
			row("", "next: %s", printable(t.Next))
		}
	}
	row("network", "%s, %s, %d in the routing table", st.Network, count(st.Peers, "peer"), st.Routing)
	for i, a := range st.Addrs {
		head := ""
		if i == 0 {
			head = "listen"
		}
		row(head, "%s", a)
	}
	if st.Reach.Text != "" {
		row("reached", "%s", printable(st.Reach.Text))
	}
	if st.Reach.Next != "" {
		row("", "next: %s", printable(st.Reach.Next))
	}
	row("shares", "%d, %s", st.Shares, size(st.SharedBytes))
	if st.Waiting > 0 {
		row("announced", "%d of %s; enough peers must hold the record of each", st.Provided-st.Waiting, count(st.Provided, "root"))
	} else if st.Provided > 0 {
		row("announced", "all of %s", count(st.Provided, "root"))
	}
	row("traffic", "in %s (%s), out %s (%s)", rate(st.ReceivedRate), size(st.Received), rate(st.SentRate), size(st.Sent))
	if c := st.Caps; c.Connections.Most > 0 {
		row("caps", "%.0f of %.0f connections, %.0f of %.0f dials a second, %s of %s of memory, %s of %s overhead an hour and peer",
			c.Connections.Now, c.Connections.Most, c.Dials.Now, c.Dials.Most, size(int64(c.Memory.Now)), size(int64(c.Memory.Most)),
			size(int64(c.Overhead.Now)), size(int64(c.Overhead.Most)))
	}
	if limits := limitsInForce(st.Limits); limits != "" {
		row("limits", "%s", limits)
	}
	for _, p := range st.Transfers {
		row("get", "%s %s", gauge(p.Bytes, p.Total, 20), describe(p))
	}
	return b.String()
}

// gauge draws how far something is.
func gauge(part, whole int64, width int) string {
	full := 0
	if whole > 0 {
		full = int(float64(max(0, min(part, whole))) / float64(whole) * float64(width))
	}
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "]"
}
