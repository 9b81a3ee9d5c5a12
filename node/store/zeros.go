package store

import (
	"bytes"
	"fmt"
	"os"
	"sync"

	"shoal/chunker"
)

// A leaf of nothing but zeros is known by its CID. It is never fetched: the destination
// has a hole there, or gets one.

const (
	minZero  = 16 << 10 // bytes of the smallest leaf that is looked at
	maxZeros = 16       // sizes of leaves that are known, so that hashing them stays cheap
)

// zeroSums holds the digest of a leaf of zeros for the sizes that files are cut into.
type zeroSums struct {
	mu  sync.Mutex
	sum map[int][digestSize]byte
}

// is tells whether digest is that of size zeros.
func (z *zeroSums) is(digest [digestSize]byte, size int) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	sum, ok := z.sum[size]
	if !ok && len(z.sum) < maxZeros {
		if z.sum == nil {
			z.sum = map[int][digestSize]byte{}
		}
		sum, ok = chunker.ZeroSum(size), true
		z.sum[size] = sum
	}
	return ok && sum == digest
}

// isZero tells whether leaf i of a file of several is all zeros. The last leaf has a size
// of its own, which is not worth the hashing.
func (s *Store) isZero(l *chunker.Layout, i int) bool {
	entry, offset, size := l.Place(i)
	e := &l.Entries()[entry]
	if size < minZero || (offset == 0 && int64(size) == e.Size) || size != l.LeafSize(e.First) {
		return false
	}
	return s.zeros.is(l.Digest(i), size)
}

// holeBytes is what the leaves of zeros that are still to be made holes measure. They take
// no space. Called under mu.
func (d *Download) holeBytes() (n int64) {
	for _, z := range d.zeros {
		for i := z.first; i < z.first+z.n; i++ {
			if !d.have.get(i) {
				n += int64(d.x.layout.LeafSize(i))
			}
		}
	}
	return n
}

// fillZeros makes the leaves of zeros that became known holes of the .part.
func (d *Download) fillZeros() error {
	d.place.RLock()
	defer d.place.RUnlock()
	d.mu.Lock()
	todo := d.zeros
	d.zeros = nil
	over := d.stage != running
	d.mu.Unlock()
	if over {
		return nil
	}
	for _, z := range todo {
		for z.n > 0 {
			run := d.zeroRun(z)
			if run.n > 0 {
				if err := d.fill(run); err != nil {
					return err
				}
			}
			done := run.first + run.n - z.first
			z = span{z.first + done, z.n - done}
		}
	}
	return nil
}

// zeroRun is the first leaves of z that are not had and in one file; n is 0 if there are
// none, first then is behind z.
func (d *Download) zeroRun(z span) span {
	d.mu.RLock()
	defer d.mu.RUnlock()
	run, end := span{first: z.first}, z.first+z.n
	for run.first < end && d.have.get(run.first) {
		run.first++
	}
	if run.first == end {
		return run
	}
	entry, _, _ := d.x.layout.Place(run.first)
	e := &d.x.layout.Entries()[entry]
	for end = min(end, e.First+e.Leaves); run.first+run.n < end && !d.have.get(run.first+run.n); {
		run.n++
	}
	return run
}

// fill makes a run of leaves of one file zeros and marks them.
func (d *Download) fill(run span) error {
	d.mu.RLock()
	at := d.spotOf(run.first)
	_, last, size := d.x.layout.Place(run.first + run.n - 1)
	d.mu.RUnlock()
	h, err := d.acquireFile(at, true)
	if err == nil {
		err = clearRange(h.v, at.offset, last+int64(size)-at.offset)
		d.dst.files.release(h)
	}
	if err != nil {
		return fsError("write", d.dst.path(at.rel), err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := run.first; i < run.first+run.n; i++ {
		d.setHave(i, d.x.layout.LeafSize(i))
	}
	d.dirty[at.entry] = struct{}{}
	return nil
}

// clearRange makes n bytes at off of f zeros, by a hole where that is possible.
func clearRange(f *os.File, off, n int64) error {
	fi, err := f.Stat()
	if err != nil || chunker.NewHoles(f, fi).Covers(off, n) {
		return err
	}
	if ok, err := punchHole(f, off, n); ok || err != nil {
		return err
	}
	zeros := make([]byte, min(n, 1<<20))
	for n > 0 {
		k := min(n, int64(len(zeros)))
		if _, err := f.WriteAt(zeros[:k], off); err != nil {
			return fmt.Errorf("write zeros: %w", err)
		}
		off, n = off+k, n-k
	}
	return nil
}

// holeBlock is the size of the pieces of a leaf that are left out where they are zeros.
const holeBlock = 16 << 10

var zeroBlock [holeBlock]byte

// writeSparse is f.WriteAt, but for runs of zeros inside data, which become holes. With
// other data it costs a look at one word in each block.
func writeSparse(f *os.File, data []byte, off int64) error {
	for len(data) > 0 {
		n := 0
		for n < len(data) && !zeroAt(data, n) {
			n += min(holeBlock, len(data)-n)
		}
		if n > 0 {
			if _, err := f.WriteAt(data[:n], off); err != nil {
				return err
			}
		}
		data, off = data[n:], off+int64(n)
		for n = 0; zeroAt(data, n); n += holeBlock {
		}
		if n > 0 {
			if err := clearRange(f, off, int64(n)); err != nil {
				return err
			}
		}
		data, off = data[n:], off+int64(n)
	}
	return nil
}

// zeroAt tells whether a whole block of zeros is at i.
func zeroAt(data []byte, i int) bool {
	return i+holeBlock <= len(data) && data[i] == 0 && data[i+holeBlock-1] == 0 &&
		bytes.Equal(data[i:i+holeBlock], zeroBlock[:])
}
