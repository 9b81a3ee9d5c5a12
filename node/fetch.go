package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
	"shoal/transfer"
)

// checkpointEvery is how much work a power cut can cost, in time. What a crash of
// the process alone leaves unrecorded is hashed again, not fetched again.
const checkpointEvery = 2 * time.Second

// maxHints bounds the peers named by links that wait to be tried.
const maxHints = 64

// Why a fetch stops before its end: the last caller left it, another caller wants more, or it starts over since the root is shared here now.
var (
	errPaused   = errors.New("paused")
	errAdjusted = errors.New("goes on for another target")
	errRemoved  = fmt.Errorf("%w, and removed", errPaused)
	errShared   = errors.New("is shared here now")
)

// fetch is one root on its way in. It runs once, however many callers wait for it.
type fetch struct {
	target store.Target
	hints  chan peer.AddrInfo // from the links of all callers
	links  []peer.AddrInfo    // those that findPeers has taken; it alone uses this
	shared chan struct{}      // holds a token when the root was shared here meanwhile
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when it is over; then share, stats and err hold

	mu      sync.Mutex
	holders int  // callers that want it to go on, and the node
	kept    bool // the node holds it: a daemon goes on with what it was fetching
	stopped bool
	state   api.State
	stats   transfer.Stats
	copied  int64                // bytes copied from a share that was here already
	checked int64                // bytes of the destination that were hashed
	found   map[peer.ID][]string // where each was heard of
	d       *store.Download      // nil until it is open

	share store.Share
	err   error
}

// hint passes on where a caller's link says to look. Those that do not fit are let
// go: a link holds a handful.
func (f *fetch) hint(peers []peer.AddrInfo) {
	for _, p := range peers {
		select {
		case f.hints <- p:
		default:
		}
	}
}

// fetch brings one root in: copies it where it is here already, else downloads it.
func (n *Node) fetch(ctx context.Context, f *fetch) (store.Share, error) {
	for {
		f.setState(api.StateChecking)
		if share, here, err := n.copyHere(ctx, f); here {
			return share, err
		}
		share, err := n.download(ctx, f)
		if !errors.Is(err, errShared) {
			return share, err
		}
	}
}

// sharedHere tells a fetch of root that it need not come from peers any more.
func (n *Node) sharedHere(root cid.Cid) {
	if f := n.fetching(root); f != nil {
		select {
		case f.shared <- struct{}{}:
		default:
		}
	}
}

// download opens the download, finds peers, swaps, finishes. With errShared it has stopped, and all that came stays.
func (n *Node) download(ctx context.Context, f *fetch) (store.Share, error) {
	target := f.target
	target.Checked = f.setChecked
	d, err := n.store.Download(ctx, target, chunker.DefaultLimits())
	if err != nil {
		return store.Share{}, n.givenUp(ctx, f, err, func(pause bool) error { return n.store.GiveUp(f.target.Root, pause) })
	}
	defer d.Close()
	f.begin(d)
	share, err := n.bringIn(ctx, f, d)
	if errors.Is(err, errShared) {
		f.begin(nil)
		return share, err
	}
	if err != nil {
		err = n.givenUp(ctx, f, err, d.GiveUp)
	}
	return share, err
}

// copyHere copies a root from a share of it here, if its files are still what was shared; else
// what is right is copied while the rest is fetched. A full disk or the like is told, not tried again.
func (n *Node) copyHere(ctx context.Context, f *fetch) (share store.Share, here bool, err error) {
	root := f.target.Root
	if s, err := n.store.Share(root); err != nil || s.State != store.Complete || s.Have != s.Leaves {
		return share, false, nil
	}
	if err := n.store.Check(ctx, root); err != nil {
		return share, ctx.Err() != nil, context.Cause(ctx)
	}
	if s, err := n.store.Share(root); err != nil || s.State != store.Complete || s.Have != s.Leaves {
		return share, false, nil
	}
	share, err = n.store.Export(ctx, f.target, f.setCopied)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return share, true, cause
	}
	if errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrNotFound) { // changed or removed this instant
		f.setCopied(0)
		return share, false, nil
	}
	return share, true, err
}

// givenUp ends a download whose fetch ended with err. When it fails, or the last caller leaves it, nothing stays of one that
// holds no byte. When a daemon stops, or it goes on for another target, all stays as it is.
func (n *Node) givenUp(ctx context.Context, f *fetch, err error, giveUp func(pause bool) error) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errPaused):
		err = cause
	case cause == errAdjusted:
		return errAdjusted
	case (ctx.Err() != nil || !n.runs()) && !n.set.transient: // a part of the node may hear of the stop before ctx does
		return err
	}
	if gerr := giveUp(errors.Is(cause, errPaused)); gerr != nil {
		n.log.Warn("what was fetched last may not be recorded", "root", f.target.Root, "err", gerr)
	}
	if _, gone := n.store.Share(f.target.Root); errors.Is(gone, store.ErrNotFound) && n.dht != nil {
		if uerr := n.dht.Unprovide(context.WithoutCancel(ctx), f.target.Root); uerr != nil {
			n.log.Debug("a root that is not fetched any more stays announced", "root", f.target.Root, "err", uerr)
		}
	}
	return err
}

// bringInTries is how often a fetch starts over because another program touches what has come.
const bringInTries = 4

// bringIn fetches and finishes. The swap ends early where the destination has to be looked at first, and is done again where
// Finish finds that something is missing after all.
func (n *Node) bringIn(ctx context.Context, f *fetch, d *store.Download) (store.Share, error) {
	adopt := d.Adoptable()
	for try := 1; ; try++ {
		err := n.swapAlone(ctx, f, d, adopt)
		if errors.Is(err, errAlone) {
			f.setState(api.StateChecking)
			if share, same, err := d.Adopt(ctx, f.setChecked); same || err != nil {
				return share, err
			}
			adopt = false
			continue
		}
		if errors.Is(err, store.ErrUnsettled) {
			f.setState(api.StateChecking)
			if err := d.Settle(ctx, f.setChecked); err != nil {
				return store.Share{}, err
			}
			continue
		}
		if err != nil {
			return store.Share{}, err
		}
		if share, part, err := d.EndPart(ctx); part || err != nil {
			return share, err
		}
		f.setState(api.StateFinishing)
		share, err := d.Finish(ctx)
		if !errors.Is(err, store.ErrIncomplete) || try >= bringInTries {
			return share, err
		}
		n.log.Warn("fetches again what another program changed", "root", f.target.Root, "err", err)
	}
}

// adoptAfter is how long a fetch waits for the first inner node before what is at the destination is hashed without any.
const adoptAfter = 2 * time.Second

// errAlone ends a swap in which no inner node has come.
var errAlone = errors.New("nobody has told of the content yet")

// swapAlone is swapIn, but where what is at the destination may be adopted it ends with errAlone when no node comes soon.
func (n *Node) swapAlone(ctx context.Context, f *fetch, d *store.Download, adopt bool) error {
	if !adopt {
		return n.swapIn(ctx, f, d)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(adoptAfter, func() {
		if d.Nodes() == 0 {
			cancel(errAlone)
		}
	})
	defer timer.Stop()
	return n.swapIn(ctx, f, d)
}

// swapIn announces that leaves will be here and runs the transfer with its companions: the search for peers, the
// checkpoints, and an ear for the root being shared here, which ends it with errShared. It waits for all of them.
func (n *Node) swapIn(ctx context.Context, f *fetch, d *store.Download) error {
	if err := n.provide(ctx, f.target.Root); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var companions sync.WaitGroup
	defer companions.Wait()
	defer cancel(nil)

	peers := make(chan peer.AddrInfo)
	companions.Go(func() { n.findPeers(ctx, f, peers) })
	companions.Go(func() {
		if err := checkpoints(ctx, d); err != nil {
			cancel(err)
		}
	})
	companions.Go(func() {
		select {
		case <-f.shared:
			cancel(errShared)
		case <-ctx.Done():
		}
	})
	f.setState(api.StateSearching)
	stats, err := n.swap.Fetch(ctx, d, peers, f.update)
	f.update(stats)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// findPeers feeds the session: the hints of links, and whoever turns up.
func (n *Node) findPeers(ctx context.Context, f *fetch, peers chan<- peer.AddrInfo) {
	defer close(peers)
	wanted := n.named.wants()
	defer wanted.end()
	found := n.dht.Find(ctx, f.target.Root)
	for _, p := range f.links { // the swap before had them
		select {
		case peers <- p:
		case <-ctx.Done():
			return
		}
	}
	for {
		var p peer.AddrInfo
		var source string
		select {
		case p = <-f.hints:
			source = "link"
			f.links = append(f.links, p)
		case one, ok := <-found:
			if !ok {
				return // ctx ended
			}
			p, source = one.Peer, one.Source
		}
		if n.rules.refusal(p.ID) != "" {
			continue
		}
		wanted.add(p.ID)
		f.mu.Lock()
		f.found[p.ID] = withSource(f.found[p.ID], source)
		f.mu.Unlock()
		select {
		case peers <- p:
		case <-ctx.Done():
			return
		}
	}
}

// checkpoints records progress until ctx ends.
func checkpoints(ctx context.Context, d *store.Download) error {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			err := d.Checkpoint(ctx)
			if errors.Is(err, store.ErrExhausted) {
				continue // descriptors come back
			}
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// resumeFetches goes on with what was under way when the node last stopped. The
// node itself holds such a fetch, so that callers come and go without pausing it.
func (n *Node) resumeFetches() {
	unfinished, err := n.store.Unfinished()
	if err != nil {
		n.log.Error("cannot list unfinished downloads", "err", err)
		return
	}
	roots := make(map[cid.Cid]bool, len(unfinished))
	for _, t := range unfinished {
		roots[t.Root] = true
	}
	if err := n.rooted.resume(context.Background(), roots); err != nil {
		n.log.Error("downloads go on without their limits", "err", err)
	}
	for _, t := range unfinished {
		f, err := n.resume(t)
		if err != nil {
			n.log.Error("cannot resume a download", "root", t.Root, "err", err)
			continue
		}
		n.active.Go(func() {
			<-f.done
			for errors.Is(f.err, store.ErrAway) && n.awaitDisk(t.Root) {
				if next, err := n.resume(t); err == nil {
					f = next
					<-f.done
				}
			}
			for next := f; next != nil && errors.Is(f.err, errAdjusted); next = n.fetching(t.Root) {
				<-next.done
				f = next
			}
			if err := n.rooted.over(t.Root, n.runs()); err != nil {
				n.log.Warn("the limit of a fetch that is over is still kept", "root", t.Root, "err", err)
			}
			if f.err != nil && !errors.Is(f.err, errPaused) && !errors.Is(f.err, errAdjusted) && n.runs() {
				n.log.Error("resumed download failed", "root", t.Root, "err", f.err)
			}
		})
	}
}

// diskEvery is how often it is looked whether the disk of an unfinished download is there again.
const diskEvery = 3 * time.Second

// awaitDisk waits until the disk with the unfinished file of root is there again. false: the node ends, or the download is
// gone or goes on already.
func (n *Node) awaitDisk(root cid.Cid) bool {
	n.mu.Lock()
	ctx := n.running
	n.mu.Unlock()
	if ctx == nil {
		return false
	}
	n.log.Warn("an unfinished download waits for its disk", "root", root)
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		sh, err := n.store.Share(root)
		if err != nil || sh.State != store.Fetching || n.fetching(root) != nil {
			return false
		}
		if n.store.Away(sh) == nil {
			return true
		}
	}
}

func (n *Node) runs() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running != nil && n.running.Err() == nil
}

// fetching returns the running fetch of root, or nil.
func (n *Node) fetching(root cid.Cid) *fetch {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fetches[root]
}

func (f *fetch) setState(s api.State) {
	f.mu.Lock()
	f.state = s
	f.mu.Unlock()
}

// begin lets watchers see the download; nil: there is none now.
func (f *fetch) begin(d *store.Download) {
	f.mu.Lock()
	f.d = d
	f.mu.Unlock()
}

func (f *fetch) setCopied(bytes int64) {
	f.mu.Lock()
	f.copied = bytes
	f.mu.Unlock()
}

func (f *fetch) setChecked(bytes int64) {
	f.mu.Lock()
	f.checked = bytes
	f.mu.Unlock()
}

func (f *fetch) update(s transfer.Stats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats = s
	if f.state == api.StateFinishing {
		return
	}
	switch {
	case len(s.Peers) == 0:
		f.state = api.StateSearching
	default:
		f.state = api.StateFetching
	}
}
