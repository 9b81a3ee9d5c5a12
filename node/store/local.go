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
		if data := src.read(digest, buf); data != nil {
			if err := d.Write(next, data); err != nil {
				return next, err
			}
			if progress != nil {
				progress(d.HaveBytes())
			}
		}
		next++
	}
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

// read is the leaf with digest, checked; nil: no share has it.
func (l *localSource) read(digest []byte, buf []byte) []byte {
	places, err := l.s.places(blockLeaf, digest)
	if err != nil {
		return nil
	}
	for _, p := range places {
		r := l.root(p.id)
		if r == nil {
			continue
		}
		n, err := r.ReadLeaf(p.index, buf)
		if err != nil {
			continue
		}
		if sum := sha256.Sum256(buf[:n]); string(sum[:]) == string(digest) {
			return buf[:n]
		}
	}
	return nil
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
