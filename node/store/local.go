package store

import (
	"context"
	"crypto/sha256"
)

// localCopy is the goroutine that copies leaves which other shares here hold.
type localCopy struct {
	wake chan struct{} // holds one token: there may be leaves to copy
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
		for {
			select {
			case <-ctx.Done():
				return
			case <-l.wake:
			}
			if err := d.copyLocal(ctx, nil); err != nil {
				if ctx.Err() == nil {
					d.giveUp(err)
				}
				return
			}
		}
	}()
}

// wakeLocal says that there are leaves to copy. Called under mu.
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

// copyLocal copies the leaves that lookUp found in other shares, each checked against its
// CID, and writes repeats, until there are no more. An error is one of writing.
func (d *Download) copyLocal(ctx context.Context, progress func(bytes int64)) error {
	src := newLocalSource(d)
	defer src.close()
	var buf []byte
	for ctx.Err() == nil {
		i, repeats, more := d.nextCopy()
		if !more {
			return nil
		}
		if buf == nil {
			buf = make([]byte, d.s.cfg.Limits.BlockSize)
		}
		var err error
		if repeats {
			err = d.repeatFrom(ctx, i, buf)
		} else {
			err = d.bring(i, src, buf)
		}
		if err != nil {
			if repeats { // unfinished
				d.mu.Lock()
				d.again = append(d.again, i)
				d.mu.Unlock()
			}
			return err
		}
		if progress != nil {
			progress(d.HaveBytes())
		}
	}
	return ctx.Err()
}

// nextCopy is the leaf to copy next, or one that is had and that repeats.
func (d *Download) nextCopy() (i int, repeats, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := len(d.again) - 1; k >= 0 {
		i = d.again[k]
		d.again = d.again[:k]
		return i, true, true
	}
	for len(d.copies) > 0 {
		s := &d.copies[0]
		if s.n == 0 {
			d.copies = d.copies[1:]
			continue
		}
		i = s.first
		s.first, s.n = s.first+1, s.n-1
		if !d.have.get(i) {
			return i, false, true
		}
	}
	d.copies = nil
	return 0, false, false
}

// bring copies leaf i from another share, or lets it be fetched.
func (d *Download) bring(i int, src *localSource, buf []byte) error {
	copied, err := d.copyLeaf(i, src, buf)
	if err != nil || copied {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release(i)
	return nil
}

// cloneBytes: a chunk of this size, or a multiple, shares its blocks with the other file
// where the file system can, instead of being read and written.
const cloneBytes = 64 << 10

// copyLeaf copies leaf i from another share, checked against its digest; false: none
// has it.
func (d *Download) copyLeaf(i int, src *localSource, buf []byte) (bool, error) {
	d.mu.RLock()
	digest := d.x.layout.Digest(i)
	d.mu.RUnlock()
	places, err := src.s.places(blockLeaf, digest[:])
	if err != nil {
		return false, nil
	}
	for _, p := range places {
		r := src.root(p.id)
		if r == nil {
			continue
		}
		if size, err := r.locate(p.index); err == nil && size >= cloneBytes && size%cloneBytes == 0 && !src.noClone[p.id] {
			done, err := d.cloneLeaf(i, digest, r, p.index, buf)
			if done || err != nil {
				return done, err
			}
			src.noClone[p.id] = true // one try in vain is enough
		}
		// Where blocks cannot be shared, reading before writing is no slower than a copy in
		// the kernel, which would have to be read back to be checked.
		n, err := r.ReadLeaf(p.index, buf)
		if err == nil && sha256.Sum256(buf[:n]) == digest {
			return true, d.write(i, buf[:n], true)
		}
	}
	return false, nil
}

// cloneLeaf lets leaf i share the blocks of leaf from of r, and then reads it to check it:
// that file may have changed this instant. false: it cannot be done this way. Nobody else
// writes leaf i meanwhile; what does not match stays unmarked and is overwritten.
func (d *Download) cloneLeaf(i int, digest [digestSize]byte, r *Root, from int, buf []byte) (bool, error) {
	f, offset, size, err := r.span(from)
	if err != nil || size > len(buf) {
		return false, nil
	}
	d.place.RLock()
	defer d.place.RUnlock()
	lock := d.writes.of(i)
	lock.Lock()
	defer lock.Unlock()
	d.mu.RLock()
	at, had, over, fits, lost := d.spotOf(i), d.have.get(i), d.stage != running, d.x.layout.LeafSize(i) == size, d.lost
	d.mu.RUnlock()
	if at.size < 0 || had || over || !fits {
		return had, nil
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
	if sha256.Sum256(buf[:size]) != digest {
		return false, nil
	}
	return d.wrote(i, at.entry, size, true, lost), nil
}

// localSource reads leaves from the shares other than one, keeping a few open.
type localSource struct {
	s       *Store
	not     shareID
	roots   map[shareID]*Root
	noClone map[shareID]bool // no blocks can be shared with it
}

func newLocalSource(d *Download) *localSource {
	return &localSource{s: d.s, not: d.id(), roots: map[shareID]*Root{}, noClone: map[shareID]bool{}}
}

// maxLocalRoots open at once; beyond, all are closed and it starts over.
const maxLocalRoots = 8

// root opens the share with id; nil: it is none, or a download.
func (l *localSource) root(id shareID) *Root {
	if id == l.not {
		return nil
	}
	if r := l.roots[id]; r != nil {
		return r
	}
	r, err := l.s.openPlace(id)
	if err != nil {
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
