package main

import (
	"context"

	"shoal/node/api"
)

func rmVerb() verb {
	return verb{
		name: "rm", args: "CID|NAME|PATH…", short: "stop sharing; your files stay",
		about: `Forgets shares. The files themselves are never removed; of an unfinished download, the unfinished part is. It works without a
daemon too.`,
		examples: []string{"shoal rm photos", "shoal rm bafybei… ./notes.txt"},
		exits:    []int{exitDaemon},
		do:       runRm,
	}
}

func runRm(ctx context.Context, c *call) (err error) {
	if err := c.want(1, -1); err != nil {
		return err
	}
	s, err := c.openHere(ctx)
	if err != nil {
		return cannot("remove", "", err)
	}
	defer c.leave(s, &err)
	return c.each(c.args, func(arg string) error {
		share, err := byRef(arg, func(ref string) (api.Share, error) { return s.Remove(ctx, ref) })
		if err != nil {
			return cannot("remove", arg, err)
		}
		c.sayRemoved(share)
		return c.out.err
	})
}

func (c *call) sayRemoved(share api.Share) {
	switch {
	case c.json:
		c.object(share)
	case !c.quiet:
		c.note("no longer shared: %s (%s)", printable(share.Name), printable(share.Path))
	}
}
