package main

import (
	"cmp"
	"context"

	"shoal/node/api"
)

func rmVerb() verb {
	return verb{
		name: "rm", args: "CID|NAME|PATH…", short: "stop sharing; your files stay",
		about: `Forgets shares. A CID or NAME means all places where the share lies, a PATH only that one. The files themselves are never removed; of an unfinished download, the unfinished part is. It works without a
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
		share, err := removeOne(ctx, s, arg)
		if err != nil {
			return cannot("remove", arg, err)
		}
		c.sayRemoved(share)
		return c.out.err
	})
}

// removeOne removes what an argument names. A path comes before a name, as it says more: the place at the path goes, and a
// share that lies elsewhere too stays.
func removeOne(ctx context.Context, s api.Service, arg string) (api.Share, error) {
	if full, err := abs(arg); err == nil && full != arg {
		share, err := s.Remove(ctx, full)
		if err == nil || api.AsError(err).Code != api.NotFound || isPath(arg) {
			return share, err
		}
	}
	return s.Remove(ctx, arg)
}

func (c *call) sayRemoved(share api.Share) {
	switch {
	case c.json:
		c.object(share)
	case !c.quiet:
		if len(share.Places) < 2 {
			c.note("no longer shared: %s (%s)", printable(share.Name), printable(share.Path))
			return
		}
		for _, p := range share.Places {
			c.note("no longer shared: %s (%s)", printable(cmp.Or(p.Name, share.Name)), printable(p.Path))
		}
	}
}
