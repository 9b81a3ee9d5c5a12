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
		name: "peers", short: "list the peers that the daemon is connected to",
		about:    `Lists the connected peers: who dialled, how far away they are, what they sent and got, and what they run. With --json: one object a peer.`,
		examples: []string{"shoal peers", "shoal peers --json | jq -r .id"},
		exits:    []int{exitDaemon},
		do:       runPeers,
	}
}

func runPeers(ctx context.Context, c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
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
		for _, p := range peers {
			c.object(p)
		}
		return c.out.err
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
