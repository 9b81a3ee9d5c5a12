package node

import (
	"context"
	"fmt"
	"io"
	"math"
	"path"
	"sort"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/chunker"
	"shoal/transfer"
)

// How far ahead of its reader a File fetches: little at first, so that the first
// leaf has the line to itself and a reader that soon leaves costs little, then as
// much again as has been read, up to a bound on memory.
const (
	leastAhead  = 4 << 20
	mostAhead   = 32 << 20
	aheadLeaves = 4096 // however small they are
)

// File reads one file of a root, in order, while what is not here is fetched. It is an
// [io.ReadSeekCloser] and an [io.WriterTo], for one reader at a time; what fits
// http.ServeContent. A seek out of the window begins a new one.
//
// Three parties share it under mu: the reader, which calls Read; run, one goroutine
// that walks, reads what is here and says what is needed; and the stream (see
// fileJob), which adds nodes and leaves. Each waits on moved for the others.
type File struct {
	n      *Node
	link   chunker.Link
	hints  []peer.AddrInfo
	cancel func()
	over   chan struct{} // closed when run has ended

	mu     sync.Mutex
	moved  sync.Cond
	err    error // why no more comes
	walker *chunker.Walker
	nodes  int // walked
	finder *finder
	size   int64 // -1: not known

	pos, begin, limit int64 // of the reader; where it began, and where it ends
	leaf              int   // the reader is in it, or before the first
	next              int   // leaf to plan next; -1: look it up by pos
	ahead             int64 // bytes planned from the reader's leaf on
	slots             map[int]*chunk
	byCID             map[string]*chunk // those in slots, and last
	last              *chunk            // let go of last, and kept, for it may repeat
	spare             [][]byte
	leap              bool     // the window is to begin anew
	found             struct { // by leafAt last
		leaf     int
		from, to int64 // bytes of the file
	}

	session bool // a stream runs
	waiting bool // the reader waits
	met     map[peer.ID]bool
	stats   transfer.Stats
	passed  int64 // bytes read
	had     int64 // bytes of leaves found here
	firstAt time.Time
}

// chunk is a leaf's content, which may have several places in the window.
type chunk struct {
	cid  cid.Cid
	data []byte // nil: not here yet
	refs int
	held bool // the reader copies from it
	gone bool // it has no place any more
}

func newFile(n *Node, link chunker.Link, hints []peer.AddrInfo) (*File, error) {
	w, err := chunker.NewWalker(link.Root, chunker.DefaultLimits())
	if err != nil {
		return nil, err
	}
	f := &File{
		n: n, link: link, hints: hints, over: make(chan struct{}), walker: w,
		finder: newFinder(link.Path), size: -1, limit: math.MaxInt64, next: -1,
		slots: map[int]*chunk{}, byCID: map[string]*chunk{}, met: map[peer.ID]bool{},
	}
	f.moved.L = &f.mu
	return f, f.look()
}

// look takes in what the walk has brought. mu is held, or nobody else has f yet.
func (f *File) look() error {
	l := f.walker.Layout()
	if err := f.finder.advance(l); err != nil || !f.finder.found() {
		return err
	}
	if e := f.entry(); f.size < 0 {
		f.size = e.Size
	}
	f.moved.Broadcast()
	return nil
}

func (f *File) entry() chunker.Entry { return f.walker.Layout().Entries()[f.finder.entry] }

// title names the file for people.
func (f *File) title() string {
	switch {
	case f.link.Path != "":
		return path.Base(f.link.Path)
	case f.link.Filename != "":
		return f.link.Filename
	}
	return f.link.Root.String()
}

// ready waits until the size is known.
func (f *File) ready(ctx context.Context) error {
	defer context.AfterFunc(ctx, f.wake)()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = true
	defer func() { f.waiting = false }()
	for f.size < 0 && f.err == nil && ctx.Err() == nil {
		f.moved.Wait()
	}
	if f.size >= 0 {
		return nil
	}
	return f.err
}

// Size is the file's, in bytes.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Limit sets where reading ends, in bytes from the start: nothing behind is fetched.
func (f *File) Limit(end int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = end
	f.moved.Broadcast()
}

// Seek implements io.Seeker.
func (f *File) Seek(off int64, whence int) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		off += f.pos
	case io.SeekEnd:
		off += f.end()
	}
	if off < 0 {
		return 0, fmt.Errorf("seek to byte %d", off)
	}
	f.pos, f.begin, f.passed = off, off, 0
	f.moved.Broadcast()
	return off, nil
}

// Close ends the fetching and frees what is held. It waits for the goroutines.
func (f *File) Close() error {
	f.cancel()
	<-f.over
	f.fail(io.ErrClosedPipe)
	return nil
}

// fail ends all waiting; the first reason counts.
func (f *File) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.moved.Broadcast()
}

// Read implements io.Reader.
func (f *File) Read(p []byte) (int, error) {
	c, data, err := f.hold()
	if err != nil {
		return 0, err
	}
	n := copy(p, data)
	f.advance(c, n)
	return n, nil
}

// WriteTo implements io.WriterTo, without a copy.
func (f *File) WriteTo(w io.Writer) (int64, error) {
	var sum int64
	for {
		c, data, err := f.hold()
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		n, err := w.Write(data)
		sum += int64(n)
		f.advance(c, n)
		if err != nil {
			return sum, err
		}
	}
}

// hold waits for the leaf at the reader's place and returns it, and what of it the
// reader is to get. It stays until advance.
func (f *File) hold() (*chunk, []byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.waiting = false }()
	for {
		if f.size >= 0 && f.pos >= min(f.size, f.limit) {
			return nil, nil, io.EOF
		}
		if f.err != nil {
			return nil, nil, f.err
		}
		if leaf, off, ok := f.leafAt(f.pos); ok {
			f.reach(leaf)
			if c := f.slots[leaf]; c != nil && c.data != nil {
				if size := f.walker.Layout().LeafSize(leaf); size >= 0 && size != len(c.data) {
					// A false DAG: the same leaf at another place, of another size.
					f.err = fmt.Errorf("leaf %d of %s: %d bytes, not %d: %w", leaf, f.link.Root, len(c.data), size, chunker.ErrMismatch)
					return nil, nil, f.err
				}
				if f.firstAt.IsZero() {
					f.firstAt = time.Now()
				}
				c.held = true
				end := min(int64(len(c.data)), off+min(f.size, f.limit)-f.pos)
				return c, c.data[off:end], nil
			}
		}
		if !f.waiting {
			f.waiting = true
			f.moved.Broadcast() // for run to walk on
		}
		f.moved.Wait()
	}
}

// advance moves the reader on by n bytes.
func (f *File) advance(c *chunk, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.held = false
	f.pos += int64(n)
	f.passed += int64(n)
	if c.gone {
		f.recycle(c)
	}
	if leaf, _, ok := f.leafAt(f.pos); ok {
		f.reach(leaf)
	}
}

// leafAt finds the leaf with byte pos of the file, and where in it. mu is held.
func (f *File) leafAt(pos int64) (leaf int, off int64, ok bool) {
	if !f.finder.found() {
		return 0, 0, false
	}
	l, e := f.walker.Layout(), f.entry()
	if l.Size() < 0 { // a lone leaf
		return 0, pos, f.size < 0 || pos < f.size
	}
	if last := &f.found; pos >= last.from && pos < last.to {
		return last.leaf, pos - last.from, true
	}
	i := sort.Search(e.Leaves, func(i int) bool {
		leaf := l.Leaf(e.First + i)
		return leaf.Offset+int64(leaf.Size) > pos
	})
	if i == e.Leaves {
		return 0, 0, false
	}
	found := l.Leaf(e.First + i)
	f.found.leaf, f.found.from, f.found.to = e.First+i, found.Offset, found.Offset+int64(found.Size)
	return e.First + i, pos - found.Offset, true
}

// reach moves the window's start to a leaf: forward by letting go of what is before
// it, any other way by a leap, which run makes. mu is held.
func (f *File) reach(leaf int) {
	if leaf == f.leaf && f.next >= 0 || f.leap {
		return
	}
	if f.next < 0 || leaf < f.leaf || leaf > f.next {
		f.leap = f.next >= 0
		if !f.leap {
			f.leaf, f.next = leaf, leaf
		}
		f.moved.Broadcast()
		return
	}
	for ; f.leaf < leaf; f.leaf++ {
		f.release(f.leaf)
	}
	f.moved.Broadcast()
}

// release lets go of one place in the window. mu is held.
func (f *File) release(leaf int) {
	c := f.slots[leaf]
	if c == nil {
		return
	}
	delete(f.slots, leaf)
	f.ahead -= f.weight(leaf)
	if c.refs--; c.refs > 0 {
		return
	}
	if c.data == nil {
		f.drop(c)
		return
	}
	if f.last != nil && f.last != c && f.last.refs == 0 {
		f.drop(f.last)
	}
	f.last = c
}

// drop forgets a chunk. mu is held.
func (f *File) drop(c *chunk) {
	delete(f.byCID, c.cid.KeyString())
	c.gone = true
	if !c.held {
		f.recycle(c)
	}
}

// weight is what a leaf counts against the window, in bytes.
func (f *File) weight(leaf int) int64 {
	return max(int64(f.walker.Layout().Leaf(leaf).Size), mostAhead/aheadLeaves)
}

// recycle keeps a leaf's memory for the next one. mu is held.
func (f *File) recycle(c *chunk) {
	if c.data != nil && len(f.spare) < mostAhead>>20 {
		f.spare = append(f.spare, c.data[:0])
	}
	c.data = nil
}

// buffer takes memory for a leaf. mu is held.
func (f *File) buffer(size int) []byte {
	for n := len(f.spare); n > 0; n = len(f.spare) {
		b := f.spare[n-1]
		f.spare = f.spare[:n-1]
		if cap(b) >= size {
			return b[:size]
		}
	}
	return make([]byte, size)
}
