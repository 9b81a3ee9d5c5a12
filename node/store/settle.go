package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"shoal/chunker"
)

// This file decides what becomes of a destination that exists. Files of it that are right
// are kept: they count as had, are read where they are and are never written to. The .part
// holds only the others, and Finish moves these in one by one. What differs is left alone
// and listed, or, with Force, replaced.

// ErrUnsettled is what a fetch ends with when all nodes are known and the destination
// exists: call Settle, and fetch on.
var ErrUnsettled = errors.New("the destination was not looked at yet")

// merger is the part of a Download that knows what is at the destination already. Guarded
// by its mu; there is set by settle alone, which nothing else runs beside.
type merger struct {
	holding bool   // the destination exists: leaves that become known are held until it was looked at
	settled bool   // it was
	final   string // its name, once settled
	there   *dest  // what is there; nil: nothing, so that the .part is moved there as a whole

	kept    map[int]chunker.FileStat // files there that are right, by entry
	replace map[int]bool             // entries that replace something there
	refused map[int]bool             // entries that are left out

	odd          bool         // the file system refuses names, or takes two for one
	namesChecked bool         // then: which
	badName      map[int]bool // entries that cannot be there because of it
	renames      []Renaming

	left        []Refusal
	leftN       int
	replaceable int // of these
}

func newMerger() merger {
	return merger{kept: map[int]chunker.FileStat{}, replace: map[int]bool{}, refused: map[int]bool{}, badName: map[int]bool{}}
}

// hold decides, before any leaf is known, whether leaves wait for a look at the destination.
func (d *Download) hold() {
	if d.rec.named() {
		_, err := d.dst.parent.Lstat(d.rec.title())
		d.holding = err == nil
	}
}

// named tells whether it is known what the result is called.
func (r *record) named() bool { return r.name != "" || r.sub != "" || r.suggested != "" }

// Settle compares what is at the destination with what is wanted, once all nodes are known.
// It hashes the files there on all cores; progress, if not nil, is told the bytes so far.
// Before that, and the second time, it does nothing. ErrExists: what is there must stay, and
// nothing can go beside it. ErrNoSpace: what is missing does not fit on the disk.
func (d *Download) Settle(ctx context.Context, progress func(bytes int64)) error {
	if d.over() {
		return nil
	}
	d.stopLocal()
	if err := d.settle(ctx, progress); err != nil {
		return err
	}
	d.mu.RLock()
	started := d.local != nil
	d.mu.RUnlock()
	if started {
		d.startLocal()
	}
	return nil
}

func (d *Download) settle(ctx context.Context, progress func(bytes int64)) error {
	d.mu.RLock()
	due := d.x.layout.Complete() && !d.settled
	final, named := d.rec.title(), d.rec.named()
	d.mu.RUnlock()
	if !due {
		return nil
	}
	if err := d.checkNames(); err != nil {
		return err
	}
	if !named && d.holding {
		return d.letGo()
	}
	over, err := d.lookAt(final)
	if err != nil {
		return err
	}
	c := &comparison{d: d, t: over, progress: progress}
	if over != nil {
		if err := c.run(ctx, final); err != nil {
			return errors.Join(err, over.closeHandles())
		}
	}
	if err := d.take(c, final); err != nil {
		return err
	}
	if err := d.fillZeros(); err != nil {
		return err
	}
	if err := d.lookUp(); err != nil {
		return err
	}
	d.respread()
	return c.copyGood(ctx)
}

// lookAt opens what is at the destination; nil: nothing is.
func (d *Download) lookAt(final string) (*dest, error) {
	fi, err := d.dst.parent.Lstat(final)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fsError("look at", d.dst.beside(final).path(""), err)
	}
	switch tree := d.dst.tree; {
	case tree && fi.Mode()&fs.ModeSymlink != 0:
		return nil, d.blocked(final, Refusal{Why: whyLink})
	case tree && !fi.IsDir():
		return nil, d.blocked(final, Refusal{Why: whyNoDir})
	case !tree && fi.IsDir():
		return nil, d.blocked(final, Refusal{Why: whyDir})
	case tree && IsHome(d.dst.beside(final).path("")):
		return nil, d.blocked(final, Refusal{Why: whyHome})
	}
	return d.dst.beside(final), nil
}

// take takes in the outcome of a comparison, and sorts what is missing now.
func (d *Download) take(c *comparison, final string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.there != nil {
		d.there.closeHandles() // only read from
	}
	d.there, d.final, d.settled, d.holding = c.t, final, true, false
	d.kept, d.replace = map[int]chunker.FileStat{}, map[int]bool{}
	for _, v := range c.verdicts {
		switch {
		case v.refusal != nil: // below
		case v.kept && d.x.layout.Entries()[v.entry].Kind == chunker.File:
			d.keep(v.entry, v.stat)
		case !v.kept:
			d.replace[v.entry] = true
		}
	}
	for _, v := range c.verdicts {
		if v.refusal == nil {
			continue
		}
		if !d.dst.tree {
			d.settled = false
			return d.blocked(final, *v.refusal)
		}
		d.list(*v.refusal)
		for _, i := range v.below {
			d.refuse(i)
		}
	}
	if errors.Is(d.err, ErrUnsettled) {
		d.err = nil
	}
	d.resort()
	missing := d.missingBytes() - d.holeBytes()
	return d.roomFor(missing)
}

// letGo ends the holding of leaves where only the names in the tree had to be looked at, and its own name is not known yet.
func (d *Download) letGo() error {
	d.mu.Lock()
	d.holding = false
	d.resort()
	missing := d.missingBytes() - d.holeBytes()
	d.mu.Unlock()
	err := d.roomFor(missing)
	if err == nil {
		err = d.fillZeros()
	}
	if err == nil {
		err = d.lookUp()
	}
	d.respread()
	return err
}

// roomFor checks that the destination has that many bytes.
func (d *Download) roomFor(missing int64) error {
	free, err := freeSpace(d.dst.dir)
	if err == nil && missing > free {
		return fmt.Errorf("fetch to %s: %w: %.1f MiB more are needed", d.dst.dir, ErrNoSpace, float64(missing-free)/(1<<20))
	}
	return nil
}

// keep marks a file of the destination as right. Called under mu.
func (d *Download) keep(i int, st chunker.FileStat) {
	e := &d.x.layout.Entries()[i]
	d.kept[i] = st
	for k := e.First; k < e.First+e.Leaves; k++ {
		size := d.x.layout.LeafSize(k)
		if size < 0 {
			size, d.loneSize = int(st.Size), st.Size
		}
		d.setHave(k, size)
	}
}

// unkeep takes that back: the file was touched. Called under mu.
func (d *Download) unkeep(i int) {
	e := &d.x.layout.Entries()[i]
	delete(d.kept, i)
	for k := e.First; k < e.First+e.Leaves; k++ {
		if d.x.layout.LeafSize(k) != 0 {
			d.clearHave(k)
		}
	}
	d.settled, d.dirtyRec = false, true
}

// resort finds out anew how each missing leaf is to come. Called under mu.
func (d *Download) resort() {
	d.held = newBitmap(d.seen)
	d.zeros, d.unseen, d.copies, d.again = nil, nil, nil, nil
	d.spread, d.reps = map[int]bool{}, newRepeats(d.x.layout)
	for i := range d.seen {
		if entry, _, size := d.x.layout.Place(i); size != 0 && d.fetches(entry) && (d.want == nil || d.want.get(i)) {
			d.sort(i)
			if d.have.get(i) {
				d.held.clear(i)
			}
		}
	}
}

// ready is called when more nodes are known. With the last one it checks that the selection
// exists and that what is missing fits; here: nothing of the destination needs hashing, or
// the caller may be kept waiting by that. Otherwise it is ErrUnsettled.
func (d *Download) ready(ctx context.Context, here bool) error {
	d.dropMisses(d.asked)
	d.mu.RLock()
	complete, settled, named := d.x.layout.Complete(), d.settled, d.rec.named()
	err := d.sel.unmatched(d.x.layout.Entries())
	if err == nil && complete {
		err = d.sel.covered(d.asked, d.x.layout.Entries())
	}
	final := d.rec.title()
	missing := d.missingBytes() - d.holeBytes()
	d.mu.RUnlock()
	if !complete || settled {
		return nil
	}
	if err == nil && !named && !d.holding { // a peer tells the name yet
		err = d.roomFor(missing)
	} else if _, lerr := d.dst.parent.Lstat(final); err == nil && (lerr == nil || d.odd) && !here {
		err = ErrUnsettled
	} else if err == nil {
		err = d.settle(ctx, d.checked)
	}
	return err
}
