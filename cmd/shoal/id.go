package main

import (
	"context"
	"fmt"

	"shoal/node"
	"shoal/node/api"
)

func idVerb() verb {
	return verb{
		name: "id", short: "print the peer ID, and where the daemon can be dialled",
		about: `The ID comes from the key in the home, which is made when there is none. Addresses are those of the running daemon; any of them can be
given to another one as --bootstrap. With --json: {"id","addrs"}.`,
		examples: []string{"shoal id", "shoal id --json | jq -r .addrs[0]"},
		exits:    []int{exitDaemon},
		do:       runID,
	}
}

func runID(ctx context.Context, c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	id, err := c.identity(ctx)
	if err != nil {
		return fmt.Errorf("cannot tell the identity: %w", err)
	}
	if c.json {
		c.object(id)
		return c.out.err
	}
	c.printf("%s\n", id.ID)
	for _, a := range id.Addrs {
		c.printf("%s\n", a)
	}
	return c.out.err
}

// identity asks the daemon, else reads the key, else makes one.
func (c *call) identity(ctx context.Context) (api.Identity, error) {
	s, err := c.daemon(ctx)
	if err == nil {
		return s.ID(ctx)
	}
	if api.AsError(err).Code != api.NoDaemon {
		return api.Identity{}, err
	}
	known, err := node.EnsureIdentity(c.home)
	if err != nil {
		return api.Identity{}, err
	}
	return api.Identity{ID: known.String(), Addrs: []string{}}, nil
}
