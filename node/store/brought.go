package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// This file is what a fetch hears of the leaves that a Download brings by itself: copies
// from other shares, and repeats of a leaf that is fetched once.

// brought is the part of a Download that keeps account of them. Guarded by its mu.
type brought struct {
	held   bitmap // wanted, not had, and not to be asked of peers
	unseen []uint32
	copies []span       // to be copied from other shares
	again  []int        // had, and to be written at the leaf's other places
	spread map[int]bool // first places of leaves that have been in again

	came   []span // since the last News
	ask    []span
	err    error         // why copying stopped
	signal chan struct{} // holds a token while there may be news
	gains  int           // haveN when it last changed
	gainAt time.Time
}

func newBrought() brought {
	return brought{spread: map[int]bool{}, signal: make(chan struct{}, 1)}
}

// Held tells whether leaf i is about to be brought by the Download itself, so that it
// need not be fetched: another share here holds it, or it repeats an earlier leaf.
func (d *Download) Held(i int) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.held.get(i)
}

// Signal gets a token when there may be News.
func (d *Download) Signal() <-chan struct{} { return d.signal }

// patience is how long a leaf is waited for at its first place, while nothing else comes
// in, before a repeat of it is asked for: peers may have only that.
const patience = 30 * time.Second

// News calls came with runs of leaves that the Download has brought, and ask with held
// ones that must be fetched after all. The error is one of writing; it is final. It is to
// be called now and then, not only after a Signal.
func (d *Download) News(came, ask func(first, count int)) error {
	d.mu.Lock()
	now := time.Now()
	switch {
	case d.gains != d.haveN || d.gainAt.IsZero():
		d.gains, d.gainAt = d.haveN, now
	case now.Sub(d.gainAt) >= patience:
		d.gainAt = now
		d.releaseRepeats()
	}
	here, gone, err := d.came, d.ask, d.err
	d.came, d.ask = nil, nil
	d.mu.Unlock()
	for _, s := range here {
		came(s.first, s.n)
	}
	for _, s := range gone {
		ask(s.first, s.n)
	}
	return err
}

// tell signals news. Called under mu.
func (d *Download) tell() {
	select {
	case d.signal <- struct{}{}:
	default:
	}
}

// release lets a held leaf be fetched. Called under mu.
func (d *Download) release(i int) {
	if !d.held.get(i) {
		return
	}
	d.held.clear(i)
	d.ask = addSpan(d.ask, i)
	d.tell()
}

// releaseRepeats lets one more place of each missing leaf be asked for. Called under mu.
func (d *Download) releaseRepeats() {
	for first, later := range d.reps.others {
		if d.have.get(int(first)) || d.held.get(int(first)) {
			continue
		}
		for _, j := range later {
			if d.held.get(int(j)) {
				d.release(int(j))
				break
			}
		}
	}
}

// giveUp ends copying for good: what is held will not come.
func (d *Download) giveUp(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
	d.tell()
}

// repeat holds leaf i, which is the same as an earlier one. Called under mu.
func (d *Download) repeat(i, first int) {
	d.held.set(i)
	if d.have.get(first) {
		delete(d.spread, first) // there is one more place since
		d.spreadFrom(first, first)
	}
}

// spreadFrom has leaf i, which is had, written at its other places. Called under mu.
func (d *Download) spreadFrom(first, i int) {
	if !d.spread[first] {
		d.spread[first] = true
		d.again = append(d.again, i)
		d.wakeLocal()
	}
}

// respread holds the missing repeats of a resumed download again, and queues what is had at
// some of its places only.
func (d *Download) respread() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for f, later := range d.reps.others {
		first, from := int(f), -1
		if d.have.get(first) {
			from = first
		}
		missing := from < 0
		for _, j := range later {
			if d.have.get(int(j)) {
				from = int(j)
			} else {
				d.held.set(int(j))
				missing = true
			}
		}
		if from >= 0 && missing {
			if !d.have.get(first) {
				d.held.set(first)
			}
			delete(d.spread, first)
			d.spreadFrom(first, from)
		}
	}
}

// repeatFrom reads leaf i back and writes it at all its other places.
func (d *Download) repeatFrom(ctx context.Context, i int, buf []byte) error {
	d.mu.RLock()
	digest := d.x.layout.Digest(i)
	first, later := d.reps.of(i)
	d.mu.RUnlock()
	n, _, err := d.readLeafAt(i, buf, 0)
	if errors.Is(err, ErrClosed) {
		return nil
	}
	if err != nil || sha256.Sum256(buf[:n]) != digest { // another program changed it
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, j := range later {
			d.release(int(j))
		}
		return nil
	}
	return d.writeRepeats(ctx, i, first, later, buf[:n])
}

// writeRepeats writes data at the places of leaf i except that one, where it is missing.
func (d *Download) writeRepeats(ctx context.Context, i, first int, later []uint32, data []byte) error {
	d.place.RLock()
	defer d.place.RUnlock()
	if d.over() {
		return nil
	}
	for k := -1; k < len(later); k++ {
		j := first
		if k >= 0 {
			j = int(later[k])
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if j == i || d.Has(j) {
			continue
		}
		if err := d.writeLeaf(j, data, true); err != nil {
			return err
		}
	}
	return nil
}

// leafLocks let one goroutine write a leaf at a time: a clone is not checked before it is
// there, so nobody may have called that leaf verified meanwhile.
type leafLocks [64]sync.Mutex

func (l *leafLocks) of(i int) *sync.Mutex { return &l[i%len(l)] }
