package store

import (
	"context"
	"crypto/sha256"
	"errors"
)

// localCopy is the goroutine that copies leaves which other shares here hold.
type localCopy struct {
	wake chan struct{} // holds one token: more leaves may be known
	stop context.CancelFunc
	done chan struct{}
}

// startLocal starts the goroutine; stopLocal ends it and waits.
func (d *Download) startLocal() {
	ctx, cancel := context.WithCancel(context.Background())
	l := &localCopy{wake: make(chan struct{}, 1), stop: cancel, done: make(chan struct{})}
	d.mu.Lock()
	d.local = l
	d.mu.Unlock()
	l.wake <- struct{}{}
	go func() {
		defer close(l.done)
		next := 0
		for {
			select {
			case <-ctx.Done():
				return
			case <-l.wake:
			}
			var err error
			if next, err = d.copyLocal(ctx, next, nil); err != nil {
				if ctx.Err() == nil {
					d.s.cfg.Logger.Warn("copying from other shares stopped", "root", d.rec.root, "error", err)
				}
				return
			}
		}
	}()
}

// wakeLocal says that more leaves are known. Called under mu.
func (d *Download) wakeLocal() {
	if d.local == nil {
		return
	}
	select {
	case d.local.wake <- struct{}{}:
	default:
	}
}

func (d *Download) stopLocal() {
	d.mu.RLock()
	l := d.local
	d.mu.RUnlock()
	if l == nil {
		return
	}
	l.stop()
	<-l.done
}

// copyLocal copies the wanted leaves from next on that another share holds, each
// checked against its CID, and returns where to go on. An error is one of writing.
func (d *Download) copyLocal(ctx context.Context, next int, progress func(bytes int64)) (int, error) {
	src := &localSource{s: d.s, not: d.id(), roots: map[shareID]*Root{}}
	defer src.close()
	if src.empty() {
		known, _ := d.Leaves()
		return known, nil
	}
	buf := make([]byte, d.s.cfg.Limits.BlockSize)
	for {
		d.mu.RLock()
		known := d.seen
		for next < known && (d.have.get(next) || (d.want != nil && !d.want.get(next))) {
			next++
		}
		if next >= known {
			d.mu.RUnlock()
			return next, nil
		}
		leaf := d.x.layout.Leaf(next)
		d.mu.RUnlock()
		if err := ctx.Err(); err != nil {
			return next, err
		}
		digest, _ := digestOf(leaf.CID)
		copied, err := d.copyLeaf(next, digest, src, buf)
		if err != nil {
			return next, err
		}
		if copied && progress != nil {
			progress(d.HaveBytes())
		}
		next++
	}
}

// cloneBytes is from where on a chunk is cloned inside the kernel, sharing its blocks
// where the file system can, instead of being read and written.
const cloneBytes = 64 << 10

// copyLeaf copies leaf i from another share, checked against its digest; false: none
// has it.
func (d *Download) copyLeaf(i int, digest []byte, src *localSource, buf []byte) (bool, error) {
	places, err := src.s.places(blockLeaf, digest)
	if err != nil {
		return false, nil
	}
	for _, p := range places {
		r := src.root(p.id)
		if r == nil {
			continue
		}
		if _, _, size, err := r.locate(p.index); err == nil && size >= cloneBytes {
			done, err := d.cloneLeaf(i, digest, r, p.index, buf)
			if done || err != nil {
				return done, err
			}
		}
		n, err := r.ReadLeaf(p.index, buf)
		if err != nil {
			continue
		}
		if sum := sha256.Sum256(buf[:n]); string(sum[:]) == string(digest) {
			return true, d.Write(i, buf[:n])
		}
	}
	return false, nil
}

// cloneLeaf clones leaf from of r to leaf i, and then reads it back to check it. false:
// it cannot be done this way. What does not match stays unmarked and is overwritten.
func (d *Download) cloneLeaf(i int, digest []byte, r *Root, from int, buf []byte) (bool, error) {
	f, offset, size, err := r.span(from)
	if err != nil || size > len(buf) {
		return false, nil
	}
	d.mu.RLock()
	at := d.spotOf(i)
	d.mu.RUnlock()
	if at.size < 0 {
		return false, nil
	}
	if d.homeDisk {
		if err := d.s.room(); err != nil {
			return false, err
		}
	}
	h, err := d.acquireFile(at, true)
	if err != nil {
		return false, fsError("write", d.dst.path(at.rel), err)
	}
	defer d.dst.files.release(h)
	if done, err := cloneRange(h.v, at.offset, f, offset, size); !done || err != nil {
		return false, fsError("write", d.dst.path(at.rel), err)
	}
	if _, err := h.v.ReadAt(buf[:size], at.offset); err != nil {
		return false, fsError("read", d.dst.path(at.rel), err)
	}
	if sum := sha256.Sum256(buf[:size]); string(sum[:]) != string(digest) {
		return false, nil
	}
	d.wrote(i, at.entry, size)
	return true, nil
}

// localSource reads leaves from the shares other than one, keeping a few open.
type localSource struct {
	s     *Store
	not   shareID
	roots map[shareID]*Root
}

// maxLocalRoots open at once; beyond, all are closed and it starts over.
const maxLocalRoots = 8

// empty tells that there is no share at all.
func (l *localSource) empty() bool {
	errAny := errors.New("one")
	return l.s.each([]byte{tagShare}, func(_, _ []byte) error { return errAny }) == nil
}

// root opens the share with id; nil: it is none, or a download.
func (l *localSource) root(id shareID) *Root {
	if id == l.not {
		return nil
	}
	if r := l.roots[id]; r != nil && r.rec.id == id {
		return r
	}
	tag, root, err := l.s.owner(id)
	if err != nil || tag != tagShare {
		return nil
	}
	r := &Root{s: l.s, root: root}
	if r.reload() != nil || r.rec.id != id {
		return nil
	}
	if len(l.roots) >= maxLocalRoots {
		l.close()
	}
	l.roots[id] = r
	return r
}

func (l *localSource) close() {
	for _, r := range l.roots {
		r.Close()
	}
	clear(l.roots)
}
