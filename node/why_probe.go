package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/chunker"
	"shoal/node/store"
	"shoal/transfer"
)

// maxProbeNodes bounds the inner nodes that a probe takes from peers, in bytes: of some 300 GiB.
const maxProbeNodes = 16 << 20

// probe asks around who has what of a root that nobody fetches: it is a fetch that
// wants the inner nodes and no leaf.
type probe struct {
	root    cid.Cid
	have    []byte // leaves that are here, as bits
	started time.Time

	mu     sync.Mutex
	walker *chunker.Walker
	nodes  int
	bytes  int64 // of those that came from peers
	stats  transfer.Stats
	found  map[peer.ID][]string // where each was heard of
	last   time.Time            // somebody was found
	err    error                // the DAG is not one, or the engine has ended
}

var _ transfer.Job = (*probe)(nil)

// newProbe walks what is here of a root, as far as it comes until ctx ends.
func (n *Node) newProbe(ctx context.Context, root cid.Cid) (*probe, error) {
	w, err := chunker.NewWalker(root, chunker.DefaultLimits())
	if err != nil {
		return nil, err
	}
	p := &probe{root: root, walker: w, found: map[peer.ID][]string{}}
	if p.have, err = n.store.Held(root); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	for ctx.Err() == nil {
		c, more := w.Next()
		if !more {
			break
		}
		block, err := n.store.Block(c, nil)
		if err != nil {
			break // from here on peers know
		}
		if err := p.AddNode(block); err != nil {
			return p, err
		}
	}
	p.bytes, p.started = 0, time.Now() // what was here is no part of what peers may send
	return p, nil
}

// run searches and asks until ctx ends.
func (p *probe) run(ctx context.Context, n *Node, hints []peer.AddrInfo) {
	ctx, cancel := context.WithCancel(ctx)
	var search sync.WaitGroup
	peers := make(chan peer.AddrInfo)
	search.Go(func() {
		defer close(peers)
		wanted := n.named.wants()
		defer wanted.end()
		for _, h := range hints {
			p.give(ctx, peers, h, "link")
		}
		for f := range n.dht.Find(ctx, p.root) {
			wanted.add(f.Peer.ID)
			p.give(ctx, peers, f.Peer, f.Source)
		}
	})
	_, err := n.swap.Stream(ctx, p, new(transfer.Needs), peers, p.watch)
	p.mu.Lock()
	if ctx.Err() == nil {
		p.err = err
	}
	p.mu.Unlock()
	cancel()
	search.Wait()
}

func (p *probe) give(ctx context.Context, peers chan<- peer.AddrInfo, one peer.AddrInfo, source string) {
	p.mu.Lock()
	if p.found[one.ID] == nil {
		p.last = time.Now()
	}
	p.found[one.ID] = withSource(p.found[one.ID], source)
	p.mu.Unlock()
	select {
	case peers <- one:
	case <-ctx.Done():
	}
}

func (p *probe) watch(s transfer.Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats = s
}

// full tells whether the probe has taken in as many inner nodes as it may.
func (p *probe) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes >= maxProbeNodes
}

// Root implements transfer.Job, as do the next.
func (p *probe) Root() cid.Cid { return p.root }

func (p *probe) NextNode() (cid.Cid, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.walker.Next()
}

func (p *probe) Nodes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nodes
}

func (p *probe) AddNode(block []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.walker.Add(block); err != nil {
		return err
	}
	p.nodes++
	p.bytes += int64(len(block))
	return nil
}

func (p *probe) Leaves() (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.walker.Layout()
	return l.Leaves(), l.Complete()
}

func (p *probe) Leaf(i int) (cid.Cid, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.walker.Layout().Leaf(i)
	return l.CID, l.Size
}

func (p *probe) Wanted(int) bool { return false }

func (p *probe) Has(i int) bool { return i/8 < len(p.have) && p.have[i/8]>>(i%8)&1 == 1 }

// Write is never called: nothing is asked for.
func (p *probe) Write(int, []byte) error { return nil }

func (p *probe) SetName(string) {}
