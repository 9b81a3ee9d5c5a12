package chunker

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
)

// readUnit is how much a worker takes of a large file at a time, in bytes.
// Small chunks are read several at once.
const readUnit = 1 << 20

// hashing is one pass over a file of more than one chunk. Its owner works
// through it like everybody who joins: claim the next chunks, read, hash, hand in
// digests. Chunks are claimed in order, so only a few bottom nodes are open at any
// time; a full one is written and leaves a single link behind.
type hashing struct {
	b      *builder
	f      *os.File
	info   fs.FileInfo // before anything was read
	size   int64
	chunks int64 // leaves in all
	next   atomic.Int64
	read   atomic.Int64 // bytes counted by the meter

	zeros  sync.Once
	zero   digest // of a full chunk of zeros, once zeros is done
	failed atomic.Bool
	mu     sync.Mutex // guards all below
	err    error
	groups map[int64]*group // bottom nodes being filled, by position
	bottom []child          // bottom nodes written, by position
	closed bool
	joined sync.WaitGroup // helpers at work; Add only while not closed
}

// group is the links of one bottom node.
type group struct {
	kids []child
	left int
}

// large hashes a file of several chunks, with whoever is idle.
func (w *worker) large(ctx context.Context, f *os.File, fi fs.FileInfo, a attrs) (child, error) {
	p := w.cfg.Profile
	h := &hashing{b: w.builder, f: f, info: fi, size: fi.Size(), groups: make(map[int64]*group)}
	h.chunks = (h.size + int64(p.ChunkSize) - 1) / int64(p.ChunkSize)
	if width := int64(p.LinksPerNode); h.chunks > width {
		h.bottom = make([]child, (h.chunks+width-1)/width)
	}
	h.work(ctx, w)
	h.close()
	if h.err == nil {
		h.err = unchanged(f, fi)
	}
	if h.err != nil {
		w.meter.add(0, -h.read.Load())
		return child{}, h.err
	}
	level := h.bottom
	if level == nil {
		level = h.groups[0].kids
	}
	return w.pack(level, a)
}

// pack links level by level up to the root, which carries the attributes.
func (b *builder) pack(level []child, a attrs) (child, error) {
	width := b.cfg.Profile.LinksPerNode
	for len(level) > width {
		var up []child
		for len(level) > 0 {
			n := min(width, len(level))
			c, err := b.fileNode(level[:n], attrs{})
			if err != nil {
				return child{}, err
			}
			up, level = append(up, c), level[n:]
		}
		level = up
	}
	return b.fileNode(level, a)
}

// work claims and hashes chunks until none are left.
func (h *hashing) work(ctx context.Context, w *worker) {
	chunk := int64(w.cfg.Profile.ChunkSize)
	span := max(1, readUnit/chunk)
	holes := NewHoles(h.f, h.info)
	for !h.failed.Load() {
		if err := context.Cause(ctx); err != nil {
			h.fail(err)
			return
		}
		select {
		case w.help <- h: // whoever is idle may join
		default:
		}
		first := h.next.Add(span) - span
		if first >= h.chunks {
			return
		}
		off := first * chunk
		n := min(span*chunk, h.size-off)
		var err error
		if holes.Covers(off, n) {
			err = h.acceptZeros(first, n, chunk)
		} else {
			err = h.readIn(w, first, off, n)
		}
		if err != nil {
			h.fail(err)
			return
		}
		h.read.Add(n)
		w.meter.add(0, n)
	}
}

// readIn reads and hashes the n bytes at off, of which the first chunk has index i.
func (h *hashing) readIn(w *worker, i, off, n int64) error {
	buf := w.buffer(int(n))
	if err := readFull(h.f, buf, off); err != nil {
		return err
	}
	return h.accept(i, buf, w.cfg.Profile.ChunkSize)
}

// acceptZeros is accept of n bytes that are in a hole, which need not be read.
func (h *hashing) acceptZeros(i, n, chunk int64) error {
	for ; n > 0; n -= chunk {
		leaf := child{raw: true, size: uint64(min(chunk, n)), tsize: uint64(min(chunk, n))}
		if n < chunk {
			leaf.digest = ZeroSum(int(n))
		} else {
			h.zeros.Do(func() { h.zero = ZeroSum(int(chunk)) })
			leaf.digest = h.zero
		}
		if err := h.enter(i, leaf); err != nil {
			return err
		}
		i++
	}
	return nil
}

// accept hashes the chunks in buf, of which the first has index i, and enters
// them in their groups.
func (h *hashing) accept(i int64, buf []byte, chunk int) error {
	for len(buf) > 0 {
		n := min(chunk, len(buf))
		leaf := child{digest: sha256.Sum256(buf[:n]), raw: true, size: uint64(n), tsize: uint64(n)}
		if err := h.enter(i, leaf); err != nil {
			return err
		}
		buf = buf[n:]
		i++
	}
	return nil
}

// enter records a leaf. Whoever fills a bottom node writes it, unless it is the
// only one: that is the root, which the owner makes.
func (h *hashing) enter(i int64, leaf child) error {
	width := int64(h.b.cfg.Profile.LinksPerNode)
	pos := i / width
	h.mu.Lock()
	g := h.groups[pos]
	if g == nil {
		n := min(width, h.chunks-pos*width)
		g = &group{kids: make([]child, n), left: int(n)}
		h.groups[pos] = g
	}
	g.kids[i%width] = leaf
	g.left--
	full := g.left == 0 && h.bottom != nil
	if full {
		delete(h.groups, pos)
	}
	h.mu.Unlock()
	if !full {
		return nil
	}
	c, err := h.b.fileNode(g.kids, attrs{})
	h.bottom[pos] = c // read only after close
	return err
}

// join makes the caller a helper, unless the pass is over.
func (h *hashing) join() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.joined.Add(1)
	return true
}

func (h *hashing) leave() { h.joined.Done() }

// close lets nobody join any more and waits for those who did.
func (h *hashing) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.joined.Wait()
}

func (h *hashing) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = fmt.Errorf("hash %s: %w", h.f.Name(), err)
	}
	h.failed.Store(true)
}
