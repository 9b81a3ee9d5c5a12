package main

import (
	"context"

	"shoal/node/api"
)

func findVerb() verb {
	return verb{
		name: "find", args: "CID|LINK", short: "look for peers that have something",
		about: `Prints each peer as it is found: its ID, where it was heard of, and its addresses. It ends when every source has answered.

With --json: {"id","addrs","source"}.`,
		examples: []string{"shoal find bafybei…"},
		exits:    []int{exitNobody, exitDaemon},
		ownNode:  true,
		do:       runFind,
	}
}

func runFind(ctx context.Context, c *call) (err error) {
	if err := c.want(1, 1); err != nil {
		return err
	}
	work, s, err := c.connect(ctx, c.network)
	if err != nil {
		return cannot("find", brief(c.args[0]), err)
	}
	defer c.leave(s, &err)
	var found int
	err = s.Find(work, c.args[0], func(p api.Provider) {
		found++
		if c.json {
			c.object(p)
			return
		}
		c.printf("%s  %-9s", p.ID, p.Source)
		for _, a := range p.Addrs {
			c.printf(" %s", printable(a))
		}
		c.printf("\n")
	})
	if err != nil {
		return cannot("find", brief(c.args[0]), because(work, err))
	}
	if found == 0 {
		return api.Errorf(api.Unavailable, "nobody who has %s was found", brief(c.args[0])).
			WithHint("Whoever shares it may be offline, or in another network; `shoal get` would keep looking.")
	}
	return c.out.err
}
