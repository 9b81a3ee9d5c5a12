package node

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"shoal/node/api"
	"shoal/node/store"
)

const (
	goodRate   = 5_000_000        // bytes a second: less is slow, if it takes longer than
	goodTime   = 10 * time.Second // this
	limitShare = 0.7              // of a limit: as fast as that is held up by it
)

// diagnose reads off the evidence what is the matter: every cause that holds, the
// likeliest first. There is always one. It is a pure function.
func diagnose(e api.Evidence) []api.Cause {
	c := newCase(e)
	var out []api.Cause
	for _, rule := range rules {
		out = append(out, rule(c)...)
	}
	if len(out) == 0 {
		out = append(out, api.Cause{
			Code: api.CauseStarting, What: "It is too early to tell: the search for peers has just begun.",
			Next: "Ask again in some seconds, or give it more time with --timeout.",
		})
	}
	return out
}

// rules are asked in this order: what explains everything before what explains a part.
var rules = [...]func(*facts) []api.Cause{
	atWork, unwritable, failedHere, notServed, changedHere, namesLeftOut, paused,
	tooFast, shortOfChunks, pace,
	sentDamaged, lostToChange, lostChunks, distrusted, choked, stalled,
	outOfReach, noNetwork, nobody, ready, undialled, fine,
}

// facts are the evidence and what follows from it at once.
type facts struct {
	api.Evidence
	fetching bool            // a fetch runs
	open     bool            // not here whole: others are needed
	holders  []api.Suspect   // connected, have something of it, and nothing is wrong with them
	empty    int             // connected, have nothing of it yet
	bad      []api.Suspect   // those with whom something is wrong
	most     []api.CauseCode // what that is, the most frequent first
	count    map[api.CauseCode]int
}

func newCase(e api.Evidence) *facts {
	c := &facts{Evidence: e, count: map[api.CauseCode]int{}}
	c.fetching = e.State == api.StateFetching
	if c.fetching {
		c.Error = nil // of a fetch before
	}
	c.open = c.fetching || e.State == api.StatePaused || e.State == api.StateAbsent || e.State == api.StateFailed
	for _, p := range e.Peers {
		switch {
		case p.Trouble != "":
			c.bad = append(c.bad, p)
			if c.count[p.Trouble]++; c.count[p.Trouble] == 1 {
				c.most = append(c.most, p.Trouble)
			}
		case p.Answered && (p.All || p.Have > 0):
			c.holders = append(c.holders, p)
		case p.Answered:
			c.empty++
		}
	}
	slices.SortStableFunc(c.most, func(a, b api.CauseCode) int { return cmp.Compare(c.count[b], c.count[a]) })
	return c
}

func cause(code api.CauseCode, next, format string, args ...any) []api.Cause {
	return []api.Cause{{Code: code, What: fmt.Sprintf(format, args...), Next: next}}
}

// atWork: there is nothing to wait for but this machine.
func atWork(c *facts) []api.Cause {
	switch c.State {
	case api.StateChecking:
		return cause(api.CauseChecking, "Wait: this takes as long as reading what is here.", "What is here already is being checked before more is fetched.")
	case api.StateFinishing:
		return cause(api.CauseOK, "", "Nothing is wrong: all of it is here, and is being written out.")
	}
	return nil
}

// unwritable: the disk is in the way.
func unwritable(c *facts) []api.Cause {
	if home := (*store.HomeError)(nil); c.Error != nil && errors.As(c.Error, &home) { // whatever is free at the destination
		code := api.CauseReadOnly
		if c.Error.Code == api.NoSpace {
			code = api.CauseNoSpace
		}
		return cause(code, c.Error.Hint, "shoal's home cannot be written: %s.", c.Error.Message)
	}
	full := c.open && !c.fetching && c.Free >= 0 && c.Missing > c.Free && c.Path != ""
	if c.Error != nil && c.Error.Code == api.NoSpace || full {
		what := "The disk at the destination is full."
		if full {
			what = fmt.Sprintf("The disk at the destination is full: %s are missing, %s are free.", bytesText(c.Missing), bytesText(c.Free))
		}
		return cause(api.CauseNoSpace, "Free some space and run the same `shoal get` again: it goes on where it stopped.", "%s", what)
	}
	if c.Error == nil {
		return nil
	}
	switch c.Error.Code {
	case api.ReadOnly, api.Denied:
		return cause(api.CauseReadOnly, c.Error.Hint, "The destination cannot be written: %s.", c.Error.Message)
	case api.Exists:
		return cause(api.CauseExists, c.Error.Hint, "Something else is at the destination: %s.", c.Error.Message)
	}
	return nil
}

// failedHere: the last fetch ended in another way.
func failedHere(c *facts) []api.Cause {
	if c.State != api.StateFailed || c.Error == nil || len(unwritable(c)) > 0 {
		return nil
	}
	code := api.CauseFailed
	if c.Error.Code == api.Damaged || c.Error.Code == api.Unsupported {
		code = api.CauseDamaged
	}
	return cause(code, c.Error.Hint, "The last fetch ended with an error: %s.", c.Error.Message)
}

// notServed: it takes a daemon.
func notServed(c *facts) []api.Cause {
	switch {
	case !c.NoDaemon:
	case c.State == api.StateComplete || c.State == api.StateChanged || c.State == api.StatePartial:
		return cause(api.CauseNoDaemon, "`shoal daemon` serves it.", "It is here, but no daemon runs: nobody can get it from here.")
	case c.State == api.StatePaused:
		return cause(api.CauseNoDaemon, "`shoal get` goes on where it stopped; `shoal daemon` does so in the background, unless it was paused.",
			"It is unfinished, and no daemon runs: nothing fetches it.")
	}
	return nil
}

func changedHere(c *facts) []api.Cause {
	if c.State != api.StateChanged {
		return nil
	}
	if c.Gone {
		return cause(api.CauseChangedHere, "If it was moved, `shoal mv "+c.Path+" NEWPATH` tells shoal where it is now; `shoal rm "+c.Path+"` forgets it.",
			"It is shared here, but %s was moved or deleted.", c.Path)
	}
	return cause(api.CauseChangedHere, "`shoal verify` tells which files; share it again to offer the new content under a new CID.",
		"It is shared here, but %s: what does not fit is not served.", orElse(c.Reason, "its files have changed"))
}

func paused(c *facts) []api.Cause {
	if c.State != api.StatePaused || c.NoDaemon {
		return nil
	}
	return cause(api.CausePaused, "`shoal get` with the same link and destination goes on where it stopped.",
		"It is paused: %s here, and nothing fetches the rest.", sharePart(c.Have, c.Chunks))
}

// tooFast: it comes as fast as our own limits let it.
func tooFast(c *facts) (out []api.Cause) {
	if !c.fetching || c.Rate <= 0 {
		return nil
	}
	if down := c.Limits.Down; down > 0 && c.Rate >= limitShare*float64(down) {
		out = append(out, cause(api.CauseLimitDown, "`shoal limit --down off` lifts it; `shoal limit` tells where it comes from.",
			"Your own limit holds it up: %s down for all peers together, and it comes at %s.", FormatRate(down), rateText(c.Rate))...)
	}
	if each := c.Limits.PeerDown; each > 0 && len(c.holders) > 0 && c.Rate >= limitShare*float64(each)*float64(len(c.holders)) {
		out = append(out, cause(api.CauseLimitPeer, "`shoal limit --peer-down off` lifts it; more peers make it faster too.",
			"Your own limit holds it up: %s down from each peer, and %s to be had.", FormatRate(each), are(len(c.holders), "peer is", "peers are"))...)
	}
	return out
}

// shortOfChunks: it comes, but not to the end.
func shortOfChunks(c *facts) []api.Cause {
	if !c.fetching || c.Rate <= 0 || c.Lost == 0 || c.Chunks == 0 {
		return nil
	}
	return cause(api.CauseLostChunks, nextLost, "It comes at %s, but nobody who is connected has %d of the %d missing chunks: it will stop before its end.",
		rateText(c.Rate), c.Lost, c.Chunks-c.Have)
}

// pace: it comes as fast as others send.
func pace(c *facts) []api.Cause {
	if !c.fetching || c.Rate <= 0 || len(tooFast(c)) > 0 {
		return nil
	}
	left := time.Duration(float64(c.Missing) / c.Rate * float64(time.Second))
	if c.Rate >= goodRate || left <= goodTime || !c.awaited() {
		return cause(api.CauseOK, "", "Nothing is wrong: it comes at %s from %s, %s to go.", rateText(c.Rate), are(c.senders(), "peer", "peers"), left.Round(time.Second))
	}
	return cause(api.CauseSlowPeers, "More peers make it faster. Whoever shares it can look at `shoal limit` there: an upload limit shows.",
		"It comes at %s, which is what %s: what was asked for is awaited, and no limit of yours is in the way.",
		rateText(c.Rate), are(c.senders(), "peer sends, or the way from it carries", "peers send, or the ways from them carry"))
}

// sentDamaged: what is missing came, but damaged. How often says more than who it was.
func sentDamaged(c *facts) []api.Cause {
	causes := c.peerCause(api.CauseCorrupt, c.open && c.Rate <= 0 && (len(c.holders) == 0 || c.Lost > 0))
	var chunks int64
	var who []string
	for _, p := range c.bad {
		if p.Trouble == api.CauseCorrupt {
			chunks += p.Damaged
			who = append(who, p.ID)
		}
	}
	if len(causes) > 0 && chunks > 0 {
		by := fmt.Sprintf("%d peers", len(who))
		if len(who) == 1 {
			by = "peer " + who[0]
		}
		causes[0].What += fmt.Sprintf(" From %s: %s so far.", by, are(int(chunks), "damaged chunk", "damaged chunks"))
	}
	return causes
}

// lostToChange: what is missing was at a peer whose files are not what they were.
func lostToChange(c *facts) []api.Cause {
	return c.peerCause(api.CauseChanged, c.open && c.Rate <= 0 && (len(c.holders) == 0 || c.Lost > 0))
}

const nextLost = "Wait for a peer that has them, or ask whoever shared it first to be online; `shoal get` goes on by itself when they turn up."

// lostChunks: nobody who is connected has what is missing.
func lostChunks(c *facts) []api.Cause {
	if !c.open || c.Rate > 0 || len(c.holders)+c.empty == 0 {
		return nil
	}
	switch missing := c.Chunks - c.Have; {
	case len(c.holders) == 0 && c.empty > 0:
		return cause(api.CauseLostChunks, nextLost, "%s, but nobody has any of it yet.", are(c.empty, "peer wants or offers it", "peers want or offer it"))
	case c.Lost > 0 && c.Lost >= missing:
		return cause(api.CauseLostChunks, nextLost, "%d chunks are missing that nobody who is connected has; %s here.", c.Lost, sharePart(c.Have, c.Chunks))
	case c.Lost > 0:
		return cause(api.CauseLostChunks, nextLost, "Nobody who is connected has %d of the %d missing chunks.", c.Lost, missing)
	}
	return nil
}

// distrusted: those who had it did not keep to the rules.
func distrusted(c *facts) []api.Cause {
	alone := c.open && c.Rate <= 0 && len(c.holders) == 0
	return c.peerCause(api.CauseViolation, alone)
}

func choked(c *facts) []api.Cause {
	free := slices.ContainsFunc(c.holders, func(p api.Suspect) bool { return !p.Choked })
	if !c.fetching || c.Rate > 0 || len(c.holders) == 0 || free {
		return nil
	}
	return cause(api.CauseChoked, "Wait: everybody gets a turn. More peers help.", "%s others for now.", are(len(c.holders), "peer has it, and serves", "peers have it, and serve"))
}

func stalled(c *facts) []api.Cause {
	if !c.fetching || c.Rate > 0 || len(c.holders) == 0 || len(choked(c)) > 0 || c.Lost > 0 && c.Lost >= c.Chunks-c.Have || !c.awaited() {
		return nil
	}
	return cause(api.CauseStalled, "Look at the network between you and at the peer's disk; it is given up by itself when others have it.",
		"%s and nothing comes.", are(len(c.holders), "peer has what is missing, is asked,", "peers have what is missing, are asked,"))
}

// outOfReach: nobody of those who are said to have it can be used.
func outOfReach(c *facts) (out []api.Cause) {
	for _, code := range c.most {
		if code != api.CauseChanged && code != api.CauseCorrupt && code != api.CauseViolation {
			out = append(out, c.peerCause(code, c.open && c.Rate <= 0 && len(c.holders) == 0)...)
		}
	}
	return out
}

// noNetwork: nobody is there at all.
func noNetwork(c *facts) []api.Cause {
	if c.Connected > 0 || len(c.Peers) > len(c.bad) || !c.open {
		return nil
	}
	if n := len(c.Bootstrap); n > 0 {
		who := "the peer that is to lead into the network cannot be reached"
		if n > 1 {
			who = fmt.Sprintf("none of the %d peers that are to lead into the network can be reached", n)
		}
		return cause(api.CauseNoBootstrap, "Check this machine's network and the addresses of --bootstrap (`shoal config` shows them; `shoal id` there prints the right ones).",
			"No peer is connected: %s.", who)
	}
	next := "Start shoal on another machine of this network, or name a peer with --bootstrap (`shoal id` there prints its address)."
	return cause(api.CauseNoPeers, next, "No peer is connected: nobody else is on the network %q, as far as can be seen from here.", c.Network)
}

func nobody(c *facts) []api.Cause {
	if !c.open || !c.Searched || len(c.Peers) > 0 || c.Connected == 0 {
		return nil
	}
	return cause(api.CauseNobody, "Ask whoever shares it whether their shoal runs, and for the link that `shoal share` prints: it says where they are.",
		"Nobody has it: %s connected and asked, and none knows of anybody.", are(c.Connected, "peer is", "peers are"))
}

// ready: it takes only a get.
func ready(c *facts) []api.Cause {
	if c.State != api.StateAbsent || len(c.holders) == 0 || c.Lost > 0 {
		return nil
	}
	return cause(api.CauseReady, "`shoal get` fetches it.", "Nothing is wrong: %s, and nobody fetches it here.", are(len(c.holders), "peer has it", "peers have it together"))
}

func undialled(c *facts) []api.Cause {
	n := 0
	for _, p := range c.Peers {
		if p.Trouble == "" && !p.Answered {
			n++
		}
	}
	if n == 0 || !c.open || len(c.holders) > 0 || c.Rate > 0 {
		return nil
	}
	return cause(api.CauseNotConnected, "Ask again in some seconds.", "%s known that may have it, and not connected yet.", are(n, "peer is", "peers are"))
}

// namesLeftOut: the last fetch left names out.
func namesLeftOut(c *facts) []api.Cause {
	if c.State != api.StatePartial {
		return nil
	}
	return cause(api.CauseExists, "`shoal get` lists what is in the way; move that, or choose another destination with -o.", "The fetch has ended, but not all of it is here: %s.", c.Reason)
}

// fine: it is here.
func fine(c *facts) []api.Cause {
	if c.State != api.StateComplete || c.NoDaemon {
		return nil
	}
	return cause(api.CauseOK, "", "Nothing is wrong: it is here whole, and shared.")
}

// senders counts the peers it comes from.
func (c *facts) senders() (n int) {
	for _, p := range c.Peers {
		if p.Connected && (p.Rate > 0 || p.Waiting > 0) {
			n++
		}
	}
	return n
}

// awaited tells whether something has been asked for that has not come.
func (c *facts) awaited() bool {
	return slices.ContainsFunc(c.Peers, func(p api.Suspect) bool { return p.Waiting > 0 })
}
