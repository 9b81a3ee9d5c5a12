package main

import (
	"context"
	"fmt"

	"shoal/node"
	"shoal/node/api"
)

func daemonVerb() verb {
	return verb{
		name: "daemon", short: "serve the shares of this home, and fetch for the other verbs",
		about: `Runs until Ctrl-C or SIGTERM. Once it can be reached it prints one line: "ready", its peer ID and its addresses; with --json an
object {"event":"ready","id","addrs","home","network"}. Logs go to stderr. Unfinished fetches go on where they stopped.`,
		examples: []string{"shoal daemon", "shoal daemon --network local --listen /ip4/127.0.0.1/tcp/0 --home /tmp/one"},
		exits:    []int{exitDaemon},
		ownNode:  true,
		do:       runDaemon,
	}
}

// readyEvent is the line that tells that a daemon can be reached.
type readyEvent struct {
	Event string `json:"event"`
	api.Identity
	Home    string `json:"home"`
	Network string `json:"network"`
}

func runDaemon(ctx context.Context, c *call) (err error) {
	if err := c.want(0, 0); err != nil {
		return err
	}
	node.LimitMemory()
	n, err := node.Open(ctx, c.nodeConfig())
	if err != nil {
		return fmt.Errorf("cannot start the daemon: %w", err)
	}
	defer func() {
		if closeErr := n.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("cannot stop the daemon in order: %w", closeErr)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- n.Run(ctx) }()
	select {
	case err = <-ran:
	case <-n.Ready():
		if err = c.sayReady(ctx, n); err != nil {
			cancel()
			<-ran
			break
		}
		err = <-ran
	}
	if err != nil {
		return fmt.Errorf("the daemon failed: %w", err)
	}
	return nil
}

// sayReady prints the line that scripts wait for.
func (c *call) sayReady(ctx context.Context, s api.Service) error {
	id, err := s.ID(ctx)
	if err != nil {
		return err
	}
	if c.json {
		c.object(readyEvent{"ready", id, c.home, c.set.one("network")})
		return c.out.err
	}
	c.printf("ready %s", id.ID)
	for _, a := range id.Addrs {
		c.printf(" %s", a)
	}
	c.printf("\n")
	return c.out.err
}
