package transfer

import (
	"context"
	"math/bits"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	p2p "github.com/libp2p/go-libp2p/p2p/net/swarm"

	"shoal/transfer/wire"
)

// This file is about what could not be served, and can be again: a drive is mounted
// again, a file restored, a root shared again. Requesters that were told that leaves
// are not here stay subscribed; those roots are looked at from time to time, and
// what is back is announced to them.

const (
	looksAtOnce = 64                     // roots looked at each time
	looksFor    = 200 * time.Millisecond // and no more are begun after this
	whyRuns     = 16                     // runs of leaves of which a requester hears at once why they are not here

	redialEvery  = 2 * time.Second
	maxRedialled = 4096 // peers dialled lately, by all fetches
)

// appendLacks remembers the leaves that a requester is not offered, and appends why, where the
// file behind them has changed: else it could not tell that from a copy that is not whole yet.
func (v *server) appendLacks(b []byte, sv *serve, r Root, have []byte) []byte {
	if !r.Complete() {
		return b // what is fetched is announced as it comes
	}
	v.c.e.swarms.lacksAllBut(sv.root, have, r.Leaves())
	var changed []wire.Run
	for _, run := range gaps(have, r.Leaves(), whyRuns) {
		if _, _, err := r.ReadLeafAt(int(run.First), nil, 0); codeOf(err) == wire.CodeChanged {
			changed = append(changed, run)
		}
	}
	if len(changed) > 0 {
		b = wire.Append(b, wire.Gone{Handle: sv.handle, Code: wire.CodeChanged, Runs: changed})
	}
	return b
}

// gaps is the first runs of leaves that are not set in a bitmap, at most so many.
func gaps(have []byte, leaves, limit int) (runs []wire.Run) {
	for i := 0; i < leaves; {
		if set := i/8 < len(have) && have[i/8]>>(i%8)&1 == 1; set {
			i++
			continue
		}
		first := i
		for i < leaves && (i/8 >= len(have) || have[i/8]>>(i%8)&1 == 0) {
			i++
		}
		if runs = append(runs, wire.Run{First: uint32(first), Count: uint32(i - first)}); len(runs) == limit {
			break
		}
	}
	return runs
}

// lacksAllBut remembers that members were not offered the leaves that are not set.
func (w *swarms) lacksAllBut(root cid.Cid, have []byte, leaves int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.roots[root]
	if s == nil {
		return
	}
	s.growShort(leaves)
	for i := range (leaves + 7) / 8 {
		lacks := byte(0xff)
		if i < len(have) {
			lacks = ^have[i]
		}
		s.short[i] |= lacks
	}
}

// lacks remembers leaves that members were told are not here, of so many.
func (w *swarms) lacks(root cid.Cid, run wire.Run, leaves int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.roots[root]
	first, end := int64(run.First), min(int64(run.First)+int64(run.Count), int64(leaves))
	if s == nil || first >= end {
		return
	}
	s.growShort(leaves)
	for ; first < end && first%8 != 0; first++ {
		s.short[first/8] |= 1 << (first % 8)
	}
	for ; first+8 <= end; first += 8 {
		s.short[first/8] = 0xff
	}
	for ; first < end; first++ {
		s.short[first/8] |= 1 << (first % 8)
	}
}

func (s *swarm) growShort(leaves int) {
	if n := (leaves + 7) / 8; n > len(s.short) {
		s.short = append(s.short, make([]byte, n-len(s.short))...)
	}
}

// lookSoon has some of the roots that leaves are short of looked at again, any of them: none is
// passed over for ever. While one is being fetched, what comes is announced as it comes.
func (w *swarms) lookSoon() {
	w.mu.Lock()
	var roots []cid.Cid
	for root, s := range w.roots {
		if s.short == nil || len(s.sessions) > 0 {
			continue
		}
		if len(s.members) == 0 {
			s.short = nil
			continue
		}
		if roots = append(roots, root); len(roots) == looksAtOnce {
			break
		}
	}
	w.mu.Unlock()
	if len(roots) == 0 {
		return
	}
	select {
	case w.look <- roots:
	default: // a disk takes its time: later
	}
}

// lookAgain looks at roots, off the housekeeper's goroutine: a disk may take its time.
// What members ask for costs a look at each root, however many they are.
func (w *swarms) lookAgain(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.e.done:
			return
		case roots := <-w.look:
			began := time.Now()
			for _, root := range roots {
				if time.Since(began) >= looksFor {
					break
				}
				if r, err := w.e.src.OpenRoot(root); err == nil {
					w.regained(root, r.Have(), r.Leaves(), w.e.tornLeaves(root, began))
					_ = r.Close() // nothing was read
				}
			}
		}
	}
}

// regained announces leaves that were short and are here again: those set in have, nil for all,
// but for a few.
func (w *swarms) regained(root cid.Cid, have []byte, leaves int, but []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.roots[root]
	if s == nil || s.short == nil {
		return
	}
	unread := make(map[int]byte, len(but)) // of them, the bits of each byte
	for _, l := range but {
		unread[int(l/8)] |= 1 << (l % 8)
	}
	var runs []wire.Run
	left := false
	for i, lacks := range s.short {
		back := lacks &^ unread[i]
		if have != nil {
			if i >= len(have) {
				back = 0
			} else {
				back &= have[i]
			}
		}
		s.short[i] &^= back
		left = left || s.short[i] != 0
		for ; back != 0; back &= back - 1 {
			if l := 8*i + bits.TrailingZeros8(back); l < leaves {
				runs = addLeaf(runs, uint32(l))
			}
		}
	}
	if !left {
		s.short = nil
	}
	s.announceAgain(runs)
}

// announceAgain tells the members of leaves that are here again. What has been dealt to others
// stays withheld. swarms.mu is held; send does not block.
func (s *swarm) announceAgain(runs []wire.Run) {
	if len(runs) == 0 {
		return
	}
	for sv, m := range s.members {
		sendRuns(runs, func(runs []wire.Run) wire.Message { return wire.HaveRuns{Handle: sv.handle, Runs: runs} }, sv.c)
		if m.deal != nil {
			sendGone(sv, wireRuns(s.deal.spread.Given(m.deal.id)))
		}
	}
}

// tornLeaves is the leaves of a root that are not read for now.
func (e *Engine) tornLeaves(root cid.Cid, now time.Time) (leaves []uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for l, t := range e.torn {
		if l.root == root && now.Before(t.until) {
			leaves = append(leaves, l.leaf)
		}
	}
	return leaves
}

// redial lets a peer be dialled though it could not be reached a moment ago. libp2p puts such dials off, for
// longer each time, up to minutes; a fetch has pauses of its own. That is bounded for each peer, however many
// fetches want it.
func (e *Engine) redial(p peer.ID) {
	n, ok := e.host.Network().(interface{ Backoff() *p2p.DialBackoff })
	if !ok {
		return
	}
	now := time.Now()
	e.mu.Lock()
	last, known := e.redialled[p]
	due := !known || now.Sub(last) >= redialEvery
	if due {
		if len(e.redialled) >= maxRedialled {
			for old, at := range e.redialled {
				if now.Sub(at) >= redialEvery {
					delete(e.redialled, old)
				}
			}
		}
		if due = len(e.redialled) < maxRedialled; due {
			e.redialled[p] = now
		}
	}
	e.mu.Unlock()
	if due {
		n.Backoff().Clear(p)
	}
}
