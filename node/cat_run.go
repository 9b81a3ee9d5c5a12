package node

import (
	"context"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer"
)

// stream is the fetch behind a File. It begins when something is not here.
type stream struct {
	needs  transfer.Needs
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func (s *stream) stop() {
	s.cancel()
	s.wg.Wait()
}

// run does what the reader needs next, until ctx ends or nothing more can come:
// walks what nodes are here, plans leaves, begins a stream when it must.
func (f *File) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, f.wake)()
	var s *stream
	f.mu.Lock()
	defer func() {
		f.mu.Unlock()
		if s != nil {
			s.stop()
		}
	}()
	for f.err == nil && ctx.Err() == nil {
		switch {
		case f.leap:
			if s != nil {
				f.mu.Unlock()
				s.stop()
				f.mu.Lock()
			}
			s = nil
			f.empty()
		case f.plannable():
			if i, here := f.plan(); !here {
				s = f.streaming(ctx, s)
				s.needs.Add(i)
			}
		case s == nil && f.lacksNode():
			if here, err := f.walkHere(); err != nil {
				return err
			} else if !here {
				s = f.streaming(ctx, s)
			}
		default:
			f.moved.Wait()
		}
	}
	return ctx.Err()
}

func (f *File) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moved.Broadcast()
}

// empty empties the window, so that it can begin elsewhere. mu is held.
func (f *File) empty() {
	for leaf := range f.slots {
		f.release(leaf)
	}
	f.leap, f.session, f.next, f.ahead = false, false, -1, 0
	f.moved.Broadcast()
}

// plannable tells whether the next leaf is known, wanted and fits the window. mu is
// held, as in the next three.
func (f *File) plannable() bool {
	l := f.walker.Layout()
	if f.next < 0 {
		if f.finder.found() && f.size < 0 { // a lone leaf, whose size shows when it is here
			f.leaf, f.next = 0, 0
			return true
		}
		return false
	}
	e := f.entry()
	if f.next >= e.First+e.Leaves || l.Leaf(f.next).Offset >= f.end() {
		return false
	}
	room := min(mostAhead, leastAhead+f.passed)
	return f.ahead == 0 || f.ahead+f.weight(f.next) <= room
}

// end is where reading ends; anywhere while the size is not known.
func (f *File) end() int64 {
	if f.size < 0 {
		return 1
	}
	return min(f.size, f.limit)
}

// lacksNode tells whether the walk must go on for the reader to.
func (f *File) lacksNode() bool {
	if _, more := f.walker.Next(); !more {
		return false
	}
	if !f.finder.found() {
		return true
	}
	if f.next < 0 {
		_, _, known := f.leafAt(f.pos)
		return f.waiting && !known && f.pos < f.end()
	}
	e := f.entry()
	return f.next >= e.First+e.Leaves
}

// walkHere walks one node, if it is here.
func (f *File) walkHere() (here bool, err error) {
	c, _ := f.walker.Next()
	f.mu.Unlock()
	block, err := f.n.store.Block(c, nil)
	f.mu.Lock()
	if err != nil {
		return false, nil
	}
	return true, f.add(block)
}

// add walks a node.
func (f *File) add(block []byte) error {
	if err := f.walker.Add(block); err != nil {
		return err
	}
	f.nodes++
	if err := f.look(); err != nil {
		return err
	}
	f.moved.Broadcast()
	return nil
}

// plan takes the next leaf into the window, from here or from its other place in the
// window; false if it has to be fetched.
func (f *File) plan() (leaf int, here bool) {
	leaf = f.next
	l := f.walker.Layout().Leaf(leaf)
	f.next++
	f.ahead += f.weight(leaf)
	key := l.CID.KeyString()
	if c := f.byCID[key]; c != nil {
		c.refs++
		f.slots[leaf] = c
		f.moved.Broadcast() // the reader may be here already
		return leaf, true
	}
	c := &chunk{cid: l.CID, refs: 1}
	f.slots[leaf], f.byCID[key] = c, c
	buf := f.buffer(max(l.Size, 0))
	f.mu.Unlock()
	data, err := f.n.store.Block(l.CID, buf)
	here = err == nil && matches(l.CID, data) && (l.Size < 0 || l.Size == len(data)) // a DAG can lie about sizes
	f.mu.Lock()
	if !here {
		f.spare = append(f.spare, buf)
		return leaf, c.gone // the reader has gone on without it
	}
	f.had += int64(len(data))
	f.fill(c, data)
	return leaf, true
}

// fill gives a leaf its content. mu is held.
func (f *File) fill(c *chunk, data []byte) {
	if c.gone || c.data != nil {
		return
	}
	c.data = data
	if f.size < 0 {
		f.size = int64(len(data))
	}
	f.moved.Broadcast()
}

func matches(c cid.Cid, data []byte) bool {
	sum, err := c.Prefix().Sum(data)
	return err == nil && sum.Equals(c)
}

// streaming begins a stream unless one runs. mu is held.
func (f *File) streaming(ctx context.Context, s *stream) *stream {
	if s != nil {
		return s
	}
	ctx, cancel := context.WithCancel(ctx)
	s = &stream{cancel: cancel}
	f.session = true
	peers := make(chan peer.AddrInfo)
	s.wg.Go(func() { f.findPeers(ctx, peers) })
	s.wg.Go(func() {
		stats, err := f.n.swap.Stream(ctx, fileJob{f}, &s.needs, peers, f.update)
		f.update(stats)
		if ctx.Err() == nil {
			f.fail(err)
		}
	})
	return s
}

func (f *File) update(stats transfer.Stats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats = stats
}

// fileJob is a File as its stream sees it.
type fileJob struct{ f *File }

var _ transfer.Job = fileJob{}

func (j fileJob) Root() cid.Cid { return j.f.link.Root }

func (j fileJob) NextNode() (cid.Cid, bool) {
	j.f.mu.Lock()
	defer j.f.mu.Unlock()
	return j.f.walker.Next()
}

func (j fileJob) Nodes() int {
	j.f.mu.Lock()
	defer j.f.mu.Unlock()
	return j.f.nodes
}

func (j fileJob) AddNode(block []byte) error {
	j.f.mu.Lock()
	defer j.f.mu.Unlock()
	if err := j.f.add(block); err != nil {
		if j.f.err == nil {
			j.f.err = err // without the engine's words around it
		}
		j.f.moved.Broadcast()
		return err
	}
	return nil
}

func (j fileJob) Leaves() (int, bool) {
	j.f.mu.Lock()
	defer j.f.mu.Unlock()
	l := j.f.walker.Layout()
	return l.Leaves(), l.Complete()
}

func (j fileJob) Leaf(i int) (cid.Cid, int) {
	j.f.mu.Lock()
	defer j.f.mu.Unlock()
	l := j.f.walker.Layout().Leaf(i)
	return l.CID, l.Size
}

func (j fileJob) Wanted(int) bool { return false }
func (j fileJob) Has(int) bool    { return false }

// Write keeps a leaf for the reader, unless it has gone on.
func (j fileJob) Write(i int, data []byte) error {
	f := j.f
	f.mu.Lock()
	c := f.byCID[f.walker.Layout().Leaf(i).CID.KeyString()]
	if c == nil || c.data != nil {
		f.mu.Unlock()
		return nil
	}
	buf := f.buffer(len(data))
	f.mu.Unlock()
	copy(buf, data)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fill(c, buf)
	return nil
}

// SetName implements transfer.Job: what is read needs no name.
func (j fileJob) SetName(string) {}
