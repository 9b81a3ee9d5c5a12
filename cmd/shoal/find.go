package main

import (
	"context"
	"strings"

	"shoal/node/api"
)

func findVerb() verb {
	return verb{
		name: "find", args: "CID|LINK", short: "look for peers that have something",
		about: `Prints each peer as soon as it is known whether it can be reached: its ID, where it was heard of (link, connected,
mdns, swarm, dht, or self), how dialling it went, and its addresses. It ends when every source has answered.

With --json: {"id","addrs","source","reached","trouble","detail"}, the last two only of peers that cannot be reached: trouble is a word for
programs (refused, timeout, no_route, gated, banned, wrong_peer, no_swap, no_address or dial_failed), detail the error in full.`,
		examples: []string{"shoal find bafybei…", "shoal find bafybei… --json | jq -r 'select(.reached).id'"},
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
		c.printf("%s  %-9s  %-11s", p.ID, p.Source, reachText(p))
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
			WithHint("Whoever shares it may be offline, or in another network; `shoal why` tells more, `shoal get` would keep looking.")
	}
	return c.out.err
}

// reachText tells in a word or two whether a provider can be reached.
func reachText(p api.Provider) string {
	if p.Reached {
		return "reached"
	}
	return strings.ReplaceAll(printable(string(p.Trouble)), "_", " ")
}
