package node

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/node/api"
	"shoal/transfer"
)

// waitsFor is what a fetch waits for, read off what it knows in the way of `shoal why`: whoever waits hears the
// same of both. Nil: it does not wait, or for nothing that can be named yet.
func (n *Node) waitsFor(stats transfer.Stats, found map[peer.ID][]string) *api.Cause {
	asked := slices.ContainsFunc(stats.Peers, func(p transfer.PeerStats) bool { return p.Waiting > 0 })
	if stats.Rate > 0 && asked || stats.Started.IsZero() {
		return nil
	}
	stats.Rate = 0 // what came last is over
	e := api.Evidence{
		State: api.StateFetching, Network: n.set.profile.Name, Connected: len(n.host.Network().Peers()),
		Chunks: int64(stats.Leaves), Have: int64(stats.Have), Missing: stats.Missing, Known: stats.Complete,
		Lost: int64(stats.Lost), Corrupt: stats.Corrupt, Free: -1,
		Searched: time.Since(stats.Started) >= findQuiet,
	}
	e.Peers, _ = n.suspects(stats, found)
	c := diagnose(e)[0]
	if _, blames := peerTexts[c.Code]; blames || c.Code == api.CauseLostChunks || c.Code == api.CauseChoked {
		return &c
	}
	return nil
}

// clause makes a part of a longer sentence of a sentence.
func clause(sentence string) string {
	r, n := utf8.DecodeRuneInString(sentence)
	return string(unicode.ToLower(r)) + strings.TrimSuffix(sentence[n:], ".")
}

// wait says in a report what the fetch waits for.
func wait(p *api.Progress, c *api.Cause) {
	if c == nil {
		return
	}
	p.Cause, p.Message = c, clause(c.What)+"; still trying"
	if p.State == api.StateFetching {
		p.State = api.StateStalled
	}
}
