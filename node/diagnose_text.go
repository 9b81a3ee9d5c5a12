package node

import (
	"fmt"

	"shoal/node/api"
)

// peerTexts say what is wrong with one peer, with several, and what to do.
var peerTexts = map[api.CauseCode]struct{ one, many, next string }{
	api.CauseRefused: {"refuses connections: nothing listens at its address", "refuse connections: nothing listens at their addresses",
		"Start shoal there, or ask for a new link: its address may have changed."},
	api.CauseTimeout: {"does not answer", "do not answer",
		"Check that it is on, and that a firewall lets it be reached; or ask for a new link."},
	api.CauseNoRoute: {"cannot be reached: no way leads to its address", "cannot be reached: no way leads to their addresses",
		"Check this machine's network; the address may be one of another network."},
	api.CauseGated: {"is not to be dialled from this network", "are not to be dialled from this network",
		"Join the network that the peer is in (--network)."},
	api.CauseBanned: {"is banned here, or not on the allow list", "are banned here, or not on the allow list",
		"`shoal peers lists` shows which: `shoal peers forget` lifts a ban, `shoal peers allow` adds it to those allowed."},
	api.CauseRelayed: {"is behind a NAT: only a relay leads to it, which carries no data", "are behind NATs: only relays lead to them, which carry no data",
		"Forward a port on either side (`shoal status` says which), or allow data through relays on both sides with --relay-data on."},
	api.CauseWrongPeer: {"is somebody else: another peer answers at its address", "are somebody else: other peers answer at their addresses",
		"Ask for a new link: the peer has moved, or has a new home and with it a new ID."},
	api.CauseNoSwap: {"is there, but does not speak shoal's swap protocol", "are there, but do not speak shoal's swap protocol",
		"It is other software, or another version of shoal: find a peer that runs this one."},
	api.CauseNoAddress: {"cannot be dialled: nobody knows a usable address of it", "cannot be dialled: nobody knows usable addresses of them",
		"Ask for the link that `shoal share` prints: it says where the peer is."},
	api.CauseDial: {"cannot be reached", "cannot be reached",
		"The details below say how each address failed; ask for a new link if they are old."},
	api.CauseNotThere: {"is connected, but does not have it (any more)", "are connected, but do not have it (any more)",
		"Ask whoever shares it to look at `shoal ls` there, and to share it again."},
	api.CauseChanged: {"cannot give it: its file has changed since it was shared", "cannot give it: their files have changed since they were shared",
		"Ask for `shoal verify` there, which tells the files, and for a new link: the new content has another CID."},
	api.CauseRead: {"cannot read its own copy", "cannot read their own copies",
		"Ask for `shoal verify` there: the disk or the permissions are at fault."},
	api.CauseDenied: {"does not serve this peer", "do not serve this peer",
		"Ask its owner to allow it (`shoal peers lists` there)."},
	api.CauseBusy: {"is busy: it has as many requests as it takes", "are busy: they have as many requests as they take",
		"Wait: it is asked again by itself. More peers help."},
	api.CauseSilent: {"is connected, but does not answer or send", "are connected, but do not answer or send",
		"Look at the network between you; it may hang, or be overloaded. It is tried again by itself."},
	api.CauseCorrupt: {"sent damaged data, which does not match its CID: its copy is damaged, or it is hostile", "sent damaged data, which does not match its CID: their copies are damaged, or they are hostile",
		"Damaged chunks are not kept. Ask for `shoal verify --full` there, or find another peer; it is tried again later, and for other chunks."},
	api.CauseViolation: {"broke the swap protocol, and is left alone for a while", "broke the swap protocol, and are left alone for a while",
		"It is broken or hostile: find another peer."},
	api.CausePaced: {"is not dialled yet: too many other dials are under way", "are not dialled yet: too many other dials are under way",
		"Wait: it is dialled as soon as there is room; `shoal status` shows the cap."},
	api.CauseHungUp: {"hung up", "hung up",
		"It may have stopped, be in another network (`shoal status` there and here), or not allow this peer (`shoal peers lists` there), or the line broke; it is tried again by itself."},
}

// peerCause is a cause for a trouble that peers have, if holds.
func (c *facts) peerCause(code api.CauseCode, holds bool) []api.Cause {
	n, text := c.count[code], peerTexts[code]
	if !holds || n == 0 {
		return nil
	}
	total, what := len(c.Peers), text.many
	who := fmt.Sprintf("All %d peers that are said to have it", n)
	switch {
	case total == 1:
		who, what = "The only peer that is said to have it", text.one
	case n == 1:
		who, what = fmt.Sprintf("One of the %d peers that are said to have it", total), text.one
	case n < total:
		who = fmt.Sprintf("%d of the %d peers that are said to have it", n, total)
	}
	return cause(code, text.next, "%s %s.", who, what)
}

// are counts with the right words: "1 peer is", "3 peers are".
func are(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// sharePart tells how much is here.
func sharePart(have, all int64) string {
	if all <= 0 {
		return "nothing of it is"
	}
	return fmt.Sprintf("%d of %d chunks are", have, all)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// bytesText is a number of bytes, roughly.
func bytesText(n int64) string {
	for _, u := range [...]struct {
		name string
		size int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

func rateText(v float64) string { return bytesText(int64(min(max(v, 0), 1<<62))) + "/s" }
