package node

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/node/api"
	"shoal/node/store"
)

// This file is how callers come to a fetch and leave it. One fetch of a root runs at a
// time: a caller joins it, widens it, sends it elsewhere, or waits for its end.

// join gives a fetch that brings target, which the caller holds until it calls leave. One that is
// being stopped is waited for, and so is one that another caller has sent to another place:
// then what it brings is copied.
func (n *Node) join(ctx context.Context, target store.Target, hints []peer.AddrInfo, progress func(api.Progress)) (*fetch, error) {
	for {
		known, err := n.store.Match(target)
		if err != nil {
			return nil, userError(err)
		}
		f, err := n.startOrJoin(target, hints, known)
		var note string
		var until func() bool
		report := progress
		switch {
		case errors.Is(err, errElsewhere):
			note = "another `shoal get` fetches it to " + f.place() + "; it is copied from there then"
		case errors.Is(err, errUnknown):
			until, report = f.known, n.explained(f, progress)
		case !errors.Is(err, errPaused):
			return f, err
		}
		if err := f.await(ctx, until, note, report); err != nil {
			return nil, err
		}
	}
}

// errElsewhere is why a caller must wait: the fetch goes to another place, and others wait for it.
var errElsewhere = errors.New("it is being fetched to another place")

// errUnknown is why a caller must wait: the fetch is for other paths, and whether those of the caller are in the share is not known.
var errUnknown = errors.New("what the share holds is not known yet")

// startOrJoin starts a fetch or holds the one that runs. With errPaused, errElsewhere or errUnknown it gives a
// fetch to wait for. known: the paths of target are in the share.
func (n *Node) startOrJoin(target store.Target, hints []peer.AddrInfo, known bool) (*fetch, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running == nil || n.running.Err() != nil {
		return nil, api.Errorf(api.Stopped, "the node is not running")
	}
	f := n.fetches[target.Root]
	switch {
	case f == nil:
		return n.begin(target, hints, nil, false), nil
	case covers(f.target, target):
		if !f.hold() {
			return f, errPaused
		}
		f.hint(hints)
		return f, nil
	case samePlace(f.target, target):
		if !known { // a path that is not there would end the other callers' fetch
			f.hint(hints)
			return f, errUnknown
		}
		target = united(f.target, target)
	case f.wanted():
		return f, errElsewhere
	}
	if !f.giveWay() {
		return f, errPaused
	}
	return n.begin(target, hints, f, f.kept), nil
}

// resume has the node go on with an unfinished download, and hold that. Where a caller was quicker it is that one's fetch, which the
// node does not hold: nobody would give that back.
func (n *Node) resume(target store.Target) (*fetch, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running == nil || n.running.Err() != nil {
		return nil, api.Errorf(api.Stopped, "the node is not running")
	}
	if f := n.fetches[target.Root]; f != nil {
		return f, nil
	}
	return n.begin(target, nil, nil, true), nil
}

// begin starts a fetch, once before, which gives way to it, has ended. n.mu is held.
func (n *Node) begin(target store.Target, hints []peer.AddrInfo, before *fetch, kept bool) *fetch {
	running, transient := n.running, n.set.transient
	ctx, end := context.WithCancelCause(running)
	cancel := func(cause error) {
		if running.Err() != nil && !transient { // a caller may hear that the daemon stops before ctx does, and leave
			cause = context.Cause(running)
		}
		end(cause)
	}
	f := &fetch{
		target: target, hints: make(chan peer.AddrInfo, maxHints), shared: make(chan struct{}, 1), cancel: cancel,
		holders: 1, kept: kept, done: make(chan struct{}),
		state: api.StateSearching, found: map[peer.ID][]string{},
	}
	if before != nil && kept {
		f.holders++
	}
	f.hint(hints)
	n.fetches[target.Root] = f
	delete(n.failures.byRoot, target.Root)
	n.active.Go(func() {
		defer cancel(nil)
		if before != nil {
			<-before.done
			f.takeHints(before)
		}
		f.share, f.err = n.fetch(ctx, f)
		n.mu.Lock()
		if n.fetches[target.Root] == f {
			delete(n.fetches, target.Root)
			n.failures.note(target.Root, f.err)
		}
		n.mu.Unlock()
		close(f.done)
	})
	return f
}

// takeHints takes over what the links of earlier callers said.
func (f *fetch) takeHints(before *fetch) {
	for {
		select {
		case p := <-before.hints:
			f.hint([]peer.AddrInfo{p})
		default:
			return
		}
	}
}

// covers tells whether a fetch of a brings all of b to where b is to be. A request that leaves the
// name open agrees with any.
func covers(a, b store.Target) bool {
	return samePlace(a, b) && (a.Force || !b.Force) && (a.Rename || !b.Rename) && len(united(a, b).Select) == len(a.Select)
}

// samePlace tells whether two requests mean the same result, or parts of it.
func samePlace(a, b store.Target) bool {
	return a.Dir == b.Dir && a.Sub == b.Sub && (a.Name == b.Name || a.Name == "" || b.Name == "")
}

// united is a target for all that two requests for the same place want.
func united(a, b store.Target) store.Target {
	if a.Name == "" {
		a.Name = b.Name
	}
	a.Force, a.Rename = a.Force || b.Force, a.Rename || b.Rename
	if len(a.Select) == 0 || len(b.Select) == 0 {
		a.Select = nil
		return a
	}
	a.Select = slices.Clone(a.Select)
	for _, s := range b.Select {
		if !slices.Contains(a.Select, s) {
			a.Select = append(a.Select, s)
		}
	}
	return a
}

// place is where the result goes, for messages.
func (f *fetch) place() string {
	f.mu.Lock()
	d := f.d
	f.mu.Unlock()
	name := f.target.Name
	if d != nil && name == "" {
		name, _, _ = d.Summary()
	}
	return filepath.Join(f.target.Dir, name)
}

// known tells whether all that the share holds is known.
func (f *fetch) known() bool {
	f.mu.Lock()
	d := f.d
	f.mu.Unlock()
	if d == nil {
		return false
	}
	_, complete := d.Leaves()
	return complete
}

// await waits until a fetch that the caller does not hold has ended, or is as it should be; until: nil is for its end alone.
func (f *fetch) await(ctx context.Context, until func() bool, note string, progress func(api.Progress)) error {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if until != nil && until() {
				return nil
			}
			if progress != nil && (note != "" || until != nil) {
				p := f.progress()
				p.Message = cmp.Or(note, p.Message)
				progress(p)
			}
		}
	}
}

// hold keeps the fetch going for one more caller, unless it is being stopped.
func (f *fetch) hold() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return false
	}
	f.holders++
	return true
}

// wanted tells whether any caller waits for it, the node itself apart.
func (f *fetch) wanted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.kept && f.holders > 0 || f.holders > 1
}

// leave gives a hold back. The fetch pauses when nobody holds it any more; else it goes on.
func (f *fetch) leave() (goesOn bool) {
	f.mu.Lock()
	f.holders--
	last := f.holders == 0
	f.stopped = f.stopped || last
	f.mu.Unlock()
	if last {
		f.cancel(errPaused)
	}
	return !last
}

// stop ends the fetch whoever holds it, since its root is removed.
func (f *fetch) stop() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.cancel(errRemoved)
}

// giveWay ends the fetch for one of a wider target; false: it is being stopped already.
func (f *fetch) giveWay() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return false
	}
	f.stopped = true
	f.cancel(errAdjusted)
	return true
}
