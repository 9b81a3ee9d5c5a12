package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"shoal/node/api"
)

func whyVerb() verb {
	return verb{
		name: "why", args: "LINK|CID|NAME", short: "tell why something is slow, stuck or not found, and what to do",
		about: `Says in a sentence what is most likely the matter, then the next step, then what was seen: who was found where, how dialling
each went, who has which share of the chunks, what is missing, the limits in force, the disk and the network.

It works on a fetch that runs in the daemon, on an unfinished or paused one, on what is shared here, and on anything else: then it looks for
peers itself and asks them what they have, without fetching any of it. That takes some seconds, at most --timeout.

With --json: one object {"cid","name","cause","what","next","also":[…],"evidence":{…}}. Its "cause" is a stable word for programs: ok, ready,
paused, no_daemon, no_space, read_only, changed_here, limit_down, limit_peer, no_peers, no_bootstrap, nobody, lost_chunks, slow_peers, choked,
stalled, and of the peers refused, timeout, no_route, gated, banned, wrong_peer, no_swap, no_address, not_there, changed, corrupt, busy, silent and others.

The exit code is that of a fetch that failed for this cause; 0 if nothing is wrong, or it is only slow.`,
		examples: []string{
			"shoal why film.mkv",
			"shoal why 'ipfs://bafybei…?provider=…'",
			"shoal why bafybei… --json | jq -r .cause",
		},
		exits:   []int{exitNobody, exitContent, exitDestination, exitDaemon},
		flags:   []cli.Flag{&cli.DurationFlag{Name: "timeout", Value: 10 * time.Second, Usage: "look for evidence `D` at most"}},
		ownNode: true,
		do:      runWhy,
	}
}

// causeCodes are the causes that a fetch fails by, as the errors that it would end with. Others are no failure.
var causeCodes = map[api.CauseCode]api.Code{
	api.CauseNoDaemon: api.NoDaemon, api.CausePaused: api.Stopped, api.CauseFailed: api.Internal,
	api.CauseNoSpace: api.NoSpace, api.CauseReadOnly: api.ReadOnly, api.CauseExists: api.Exists,
	api.CauseDamaged: api.Damaged, api.CauseChangedHere: api.Changed,
	api.CauseNoPeers: api.Unavailable, api.CauseNoBootstrap: api.Unavailable, api.CauseNobody: api.Unavailable,
	api.CauseLostChunks: api.Unavailable, api.CauseStalled: api.Unavailable, api.CauseNotConnected: api.Unavailable,
	api.CauseRefused: api.Unavailable, api.CauseTimeout: api.Unavailable, api.CauseNoRoute: api.Unavailable,
	api.CauseGated: api.Unavailable, api.CauseBanned: api.Unavailable, api.CauseRelayed: api.Unavailable, api.CauseWrongPeer: api.Unavailable, api.CauseNoSwap: api.Unavailable,
	api.CauseNoAddress: api.Unavailable, api.CauseDial: api.Unavailable, api.CauseNotThere: api.Unavailable,
	api.CauseRead: api.Unavailable, api.CauseDenied: api.Unavailable, api.CauseBusy: api.Unavailable,
	api.CauseSilent: api.Unavailable, api.CauseHungUp: api.Unavailable, api.CausePaced: api.Unavailable,
	api.CauseChanged: api.Changed, api.CauseCorrupt: api.Damaged, api.CauseViolation: api.Damaged,
}

func runWhy(ctx context.Context, c *call) (err error) {
	if err := c.want(1, 1); err != nil {
		return err
	}
	limit := c.flags.Duration("timeout")
	if limit <= 0 {
		return usagef("why", "--timeout %s is not a time to wait", limit)
	}
	work, s, err := c.connect(ctx, c.network)
	if err != nil {
		return cannot("look into", brief(c.args[0]), err)
	}
	defer c.leave(s, &err)
	req := api.WhyRequest{Ref: c.args[0], Timeout: limit.Seconds(), NoDaemon: s.own}
	d, err := s.Why(work, req, nil)
	if err != nil {
		return cannot("look into", brief(c.args[0]), because(work, err))
	}
	if c.json {
		c.object(d)
	} else {
		c.printf("%s", whyText(d))
	}
	if code, fails := causeCodes[d.Code]; fails && c.out.err == nil {
		return errSaid{api.Errorf(code, "%s", d.What)}
	}
	return c.out.err
}

// whyText is a diagnosis for a person: the answer, the next step, what was seen.
func whyText(d api.Diagnosis) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", printable(d.What))
	if d.Next != "" {
		fmt.Fprintf(&b, "%s\n", printable(d.Next))
	}
	b.WriteString("\n")
	for _, also := range d.Also {
		fmt.Fprintf(&b, "%-9s %s\n", "also", printable(also.What))
	}
	for _, row := range whyRows(d) {
		fmt.Fprintf(&b, "%-9s %s\n", row[0], printable(row[1]))
	}
	if len(d.Evidence.Peers) > 0 {
		b.WriteString("\n")
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		suspectTable(w, d.Evidence)
		w.Flush()
	}
	return b.String()
}

// whyRows are the facts but the peers.
func whyRows(d api.Diagnosis) (rows [][2]string) {
	e := d.Evidence
	row := func(head, format string, args ...any) {
		rows = append(rows, [2]string{head, fmt.Sprintf(format, args...)})
	}
	name := d.CID
	if d.Name != "" {
		name = d.Name + ", " + d.CID
	}
	row("what", "%s", name)
	state := string(e.State)
	if e.State == api.StateAbsent {
		state = "not here, not being fetched"
	}
	if e.Error != nil {
		state += ": " + e.Error.Message
	}
	row("here", "%s", state)
	if e.Chunks > 0 {
		text := fmt.Sprintf("%d of %d here", e.Have, e.Chunks)
		if !e.Known {
			text += " known so far"
		}
		if e.Lost > 0 {
			text += fmt.Sprintf(", %d that nobody connected has", e.Lost)
		}
		row("chunks", "%s", text)
	}
	if e.State == api.StateFetching {
		row("rate", "%s, %s to go; for %s now", rate(e.Rate), size(e.Missing), duration(e.Seconds))
	}
	if limits := limitsInForce(e.Limits); limits != "" {
		row("limits", "%s", limits)
	}
	if e.Free >= 0 && e.Missing > 0 {
		row("disk", "%s free at %s, %s to come", size(e.Free), e.Path, size(e.Missing))
	}
	row("network", "%s, %s connected", e.Network, count(e.Connected, "peer"))
	for _, p := range e.Bootstrap {
		if !p.Connected && e.Connected == 0 {
			row("", "bootstrap %s: %s", shortID(p.ID), trouble(p))
		}
	}
	return rows
}

// suspectTable lists the peers and, below them, how those failed that did.
func suspectTable(w io.Writer, e api.Evidence) {
	fmt.Fprintln(w, "PEER\tFOUND BY\tSTATE\tHAS\tRATE")
	for _, p := range e.Peers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", shortID(p.ID), strings.Join(p.Sources, ","), trouble(p), hasText(p, e), rateOrNone(p))
	}
	for _, p := range e.Peers {
		if p.Detail != "" {
			fmt.Fprintf(w, "  %s: %s\n", shortID(p.ID), printable(p.Detail))
		}
	}
}

// trouble is how it stands with a peer, in a word or two.
func trouble(p api.Suspect) string {
	switch {
	case p.Trouble != "":
		return strings.ReplaceAll(printable(string(p.Trouble)), "_", " ")
	case p.Choked:
		return "choked"
	case p.Connected && p.Answered:
		return "connected"
	case p.Connected:
		return "no answer yet"
	}
	return "not tried yet"
}

func hasText(p api.Suspect, e api.Evidence) string {
	switch {
	case !p.Answered:
		return "-"
	case p.All:
		return "all"
	}
	return fmt.Sprintf("%d of %d", p.Have, e.Chunks)
}

func rateOrNone(p api.Suspect) string {
	if p.Rate <= 0 {
		return "-"
	}
	return rate(p.Rate)
}

// shortID is the end of a peer ID, which tells peers apart.
func shortID(id string) string {
	if len(id) > 12 {
		return "…" + id[len(id)-10:]
	}
	return printable(id)
}
