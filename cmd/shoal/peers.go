package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"shoal/node/api"
)

func peersVerb() verb {
	return verb{
		name: "peers", args: "[allow ID… | ban ID… | forget ID… | lists]", short: "list the connected peers; allow or ban some",
		about: `Lists the connected peers: who dialled, how far away they are, what they sent and got, and what they run. With --json: one object a peer.

ban closes the connections to a peer at once and for good: it is not dialled, and when it dials, it is refused before a word is exchanged. allow makes a
list of the only ones that may connect: as soon as it holds one peer, all others are refused. forget takes peers from the list that they are in; lists
shows both. The lists are kept in the home, and can be changed without a daemon too. A peer is known by its ID alone: whoever makes itself a new one is
somebody else, so keep strangers out by allow or by a private network (` + "`shoal network`" + `).

With --json these print {"allow","ban"}.`,
		examples: []string{
			"shoal peers", "shoal peers --json | jq -r .id", "shoal peers ban 12D3KooW…", "shoal peers allow 12D3KooW… 12D3KooX…",
			"shoal peers forget 12D3KooW…", "shoal peers lists",
		},
		exits: []int{exitDaemon},
		do:    runPeers,
	}
}

func runPeers(ctx context.Context, c *call) error {
	if len(c.args) > 0 {
		return c.runPeerLists(ctx)
	}
	s, err := c.daemon(ctx)
	if err != nil {
		return fmt.Errorf("cannot list peers: %w", err)
	}
	peers, err := s.Peers(ctx)
	if err != nil {
		return fmt.Errorf("cannot list peers: %w", err)
	}
	if c.json {
		return objects(c.env, peers)
	}
	if len(peers) == 0 {
		c.note("no peers connected")
		return nil
	}
	return c.columns("PEER\tDIR\tPING\tFOR\tIN\tOUT\tAGENT\tADDRESS", func(w io.Writer) {
		for _, p := range peers {
			fmt.Fprintln(w, peerRow(p))
		}
	})
}

func peerRow(p api.Peer) string {
	ping, addr := "-", "-"
	if p.Latency > 0 {
		ping = fmt.Sprintf("%.1fms", p.Latency*1000)
	}
	if len(p.Addrs) > 0 {
		addr = p.Addrs[0]
	}
	agent := p.Agent
	if agent == "" {
		agent = "-"
	}
	return strings.Join([]string{
		p.ID, p.Direction, ping, duration(p.Connected), size(p.Received), size(p.Sent),
		shorten(printable(agent), 24), printable(addr),
	}, "\t")
}
