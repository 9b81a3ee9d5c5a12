package transfer

import (
	"context"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/wire"
)

// This file is about leaves that a peer says came damaged from us. It is not believed: the
// leaf is read and hashed here, and only if it is damaged indeed it is offered no longer.

const (
	maxDoubts   = 64               // leaves that wait to be looked at
	doubtEvery  = time.Second      // a peer is heard so often
	doubtShare  = 10               // at most this part of the time is spent on looking
	maxDoubters = 1024             // peers that were heard lately
	doubtersFor = 10 * time.Second // what lately means, when there are too many
)

// doubts are leaves to be looked at.
type doubts struct {
	queue chan doubt

	mu    sync.Mutex
	heard map[peer.ID]time.Time
}

type doubt struct {
	root cid.Cid
	leaf uint32
	from peer.ID
}

func (d *doubts) init() {
	d.queue = make(chan doubt, maxDoubts)
	d.heard = make(map[peer.ID]time.Time)
}

// corrupt takes up that the peer has received a damaged leaf. Called by the reader.
func (v *server) corrupt(m wire.Corrupt) {
	v.mu.Lock()
	sv := v.serves[m.Handle]
	v.mu.Unlock()
	if sv == nil || !v.c.e.doubts.admit(v.c.peer, time.Now()) {
		return
	}
	select {
	case v.c.e.doubts.queue <- doubt{root: sv.root, leaf: m.Leaf, from: v.c.peer}:
	default: // others wait already
	}
}

// admit tells whether a peer is to be heard.
func (d *doubts) admit(p peer.ID, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last, ok := d.heard[p]; ok && now.Sub(last) < doubtEvery {
		return false
	}
	if len(d.heard) >= maxDoubters {
		for old, at := range d.heard {
			if now.Sub(at) >= doubtersFor {
				delete(d.heard, old)
			}
		}
	}
	if len(d.heard) >= maxDoubters {
		return false
	}
	d.heard[p] = now
	return true
}

// run looks at the leaves that are doubted, one after another and not all the time.
func (d *doubts) run(ctx context.Context, e *Engine) {
	for {
		var next doubt
		select {
		case <-ctx.Done():
			return
		case <-e.done:
			return
		case next = <-d.queue:
		}
		began := time.Now()
		d.look(next, e)
		rest := time.NewTimer(doubtShare * time.Since(began))
		select {
		case <-ctx.Done():
		case <-e.done:
		case <-rest.C:
		}
		rest.Stop()
	}
}

func (d *doubts) look(x doubt, e *Engine) {
	src, ok := e.src.(Checker)
	if !ok {
		return
	}
	r, err := e.src.OpenRoot(x.root)
	if err != nil {
		return
	}
	leaves := r.Leaves()
	_ = r.Close() // nothing was read
	if int64(x.leaf) >= int64(leaves) {
		return
	}
	damaged, err := src.CheckLeaf(x.root, int(x.leaf))
	switch {
	case err != nil:
		e.log.Debug("cannot check a doubted leaf", "root", x.root, "leaf", x.leaf, "peer", x.from, "err", err)
	case damaged:
		e.log.Warn("a shared leaf is damaged here", "root", x.root, "leaf", x.leaf, "told by", x.from)
		e.swarms.damaged(x.root, x.leaf)
	default:
		e.log.Debug("a doubted leaf is well", "root", x.root, "leaf", x.leaf, "peer", x.from)
	}
}

// damaged tells the members that a leaf is not here any more.
func (w *swarms) damaged(root cid.Cid, leaf uint32) {
	run := wire.Run{First: leaf, Count: 1}
	w.lacks(root, run, int(leaf)+1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.roots[root]; s != nil {
		for sv := range s.members {
			sv.c.send(wire.Gone{Handle: sv.handle, Code: wire.CodeChanged, Runs: []wire.Run{run}})
		}
	}
}
