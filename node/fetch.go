package node

import (
	"context"
	"errors"
	"slices"
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

// errPaused is why a fetch stops when the last caller leaves it.
var errPaused = errors.New("paused")

// fetch is one root on its way in. It runs once, however many callers wait for it.
type fetch struct {
	target store.Target
	hints  chan peer.AddrInfo // from the links of all callers
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when it is over; then share, stats and err hold

	mu      sync.Mutex
	holders int // callers that want it to go on
	stopped bool
	state   api.State
	stats   transfer.Stats
	copied  int64                // bytes copied from a share that was here already
	found   map[peer.ID][]string // where each was heard of
	d       *store.Download      // nil until it is open

	share store.Share
	err   error
}

// start runs a fetch of target, or joins the one that runs; one that is being
// stopped is waited for first. The caller holds it until it calls leave.
func (n *Node) start(ctx context.Context, target store.Target, hints []peer.AddrInfo) (*fetch, error) {
	for {
		f, err := n.startOrJoin(target, hints)
		if !errors.Is(err, errPaused) {
			return f, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// startOrJoin is start, but gives errPaused with a fetch that is being stopped.
func (n *Node) startOrJoin(target store.Target, hints []peer.AddrInfo) (*fetch, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running == nil || n.running.Err() != nil {
		return nil, api.Errorf(api.Stopped, "the node is not running")
	}
	if f := n.fetches[target.Root]; f != nil {
		if !sameTarget(f.target, target) {
			return nil, api.Errorf(api.Conflict, "it is being fetched to %s now, or another part of it is", f.target.Dir).
				WithHint("Run the same command again once that fetch has ended: what is here then is copied, not fetched.")
		}
		if !f.hold() {
			return f, errPaused
		}
		f.hint(hints)
		return f, nil
	}
	ctx, cancel := context.WithCancelCause(n.running)
	f := &fetch{
		target: target, hints: make(chan peer.AddrInfo, maxHints), cancel: cancel, holders: 1, done: make(chan struct{}),
		state: api.StateSearching, found: map[peer.ID][]string{},
	}
	f.hint(hints)
	n.fetches[target.Root] = f
	delete(n.failures.byRoot, target.Root)
	n.active.Go(func() {
		defer cancel(nil)
		f.share, f.err = n.fetch(ctx, f)
		n.mu.Lock()
		delete(n.fetches, target.Root)
		n.failures.note(target.Root, f.err)
		n.mu.Unlock()
		close(f.done)
	})
	return f, nil
}

// sameTarget reports whether two requests mean the same result. A request that
// leaves the name open agrees with any.
func sameTarget(a, b store.Target) bool {
	return a.Dir == b.Dir && a.Sub == b.Sub && slices.Equal(a.Select, b.Select) &&
		(a.Name == b.Name || a.Name == "" || b.Name == "")
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

// leave gives a hold back. The fetch pauses when nobody holds it any more.
func (f *fetch) leave() {
	f.mu.Lock()
	f.holders--
	last := f.holders == 0
	f.stopped = f.stopped || last
	f.mu.Unlock()
	if last {
		f.cancel(errPaused)
	}
}

// stop pauses the fetch whoever holds it.
func (f *fetch) stop() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.cancel(errPaused)
}

// fetch brings one root in: opens the download, finds peers, swaps, finishes.
func (n *Node) fetch(ctx context.Context, f *fetch) (store.Share, error) {
	root := f.target.Root
	f.setState(api.StateChecking)
	if s, err := n.store.Share(root); err == nil && s.State == store.Complete && s.Have == s.Leaves {
		return n.store.Export(ctx, f.target, f.setCopied)
	}
	d, err := n.store.Download(ctx, f.target, chunker.DefaultLimits())
	if context.Cause(ctx) == errPaused && err != nil {
		return store.Share{}, errors.Join(n.store.Pause(root), errPaused)
	}
	if err != nil {
		return store.Share{}, err
	}
	defer d.Close()
	f.begin(d)
	share, err := n.bringIn(ctx, f, d)
	if err != nil && context.Cause(ctx) == errPaused {
		return share, errors.Join(d.Pause(), errPaused)
	}
	return share, err
}

func (n *Node) bringIn(ctx context.Context, f *fetch, d *store.Download) (store.Share, error) {
	if err := n.swapIn(ctx, f, d); err != nil {
		return store.Share{}, err
	}
	f.setState(api.StateFinishing)
	return d.Finish(ctx)
}

// swapIn announces that leaves will be here and runs the transfer with its two
// companions, the search for peers and the checkpoints, and waits for all three.
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
	for {
		var p peer.AddrInfo
		var source string
		select {
		case p = <-f.hints:
			source = "link"
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
			if err := d.Checkpoint(ctx); err != nil && ctx.Err() == nil {
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
	for _, t := range unfinished {
		f, err := n.startOrJoin(t, nil)
		if err != nil {
			n.log.Error("cannot resume a download", "root", t.Root, "err", err)
			continue
		}
		n.active.Go(func() {
			<-f.done
			if f.err != nil && n.runs() {
				n.log.Error("resumed download failed", "root", t.Root, "err", f.err)
			}
		})
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

// begin lets watchers see the download.
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
