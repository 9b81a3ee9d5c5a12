package store

import (
	"fmt"
	"path/filepath"

	"shoal/chunker"
)

// MaxLeft bounds Share.Left; Share.LeftN is exact.
const MaxLeft = 1000

// Refusal is a name of the share that is not at the destination, because something else is
// there that must stay, or because the destination cannot hold the name.
type Refusal struct {
	Path        string // slash separated, below the result
	Why         string // a clause for a person
	Replaceable bool   // Force would replace what is there
	Renamable   bool   // Target.Rename would give it another name
}

// Renaming is a name of the share that the destination does not take, and the one that is there instead.
type Renaming struct {
	From string // slash separated, in the share
	To   string // below the result
}

// BlockedError is an ErrExists that says what is in the way.
type BlockedError struct {
	Path        string // of what is in the way
	Why         string // what it is, a clause behind the path; "": content that differs
	Replaceable bool   // Force would replace it, and only it
	Renamable   bool   // nothing is in the way: the disk does not take the name, and Target.Rename would give another
}

func (e *BlockedError) Error() string {
	if e.Renamable {
		return e.Path + " " + e.Why
	}
	if e.Why == "" {
		return fmt.Sprintf("%v: %s", ErrExists, e.Path)
	}
	return fmt.Sprintf("%v: %s %s", ErrExists, e.Path, e.Why)
}

// Unwrap makes it an ErrExists.
func (e *BlockedError) Unwrap() error { return ErrExists }

// Why something is left alone.
const (
	whyDiffers = "exists and differs"
	whyDir     = "is a directory; the share has a file there"
	whyNoDir   = "is a file; the share has a directory there"
	whyLink    = "is a symlink; the share has something else there"
	whyHome    = "is the home of a shoal node; nothing is fetched into one"
	whySpecial = "is neither a file nor a directory"
	whyShut    = "cannot be put there: " // and the reason
)

// refuse takes entry i off what is wanted. Called under mu.
func (d *Download) refuse(i int) {
	if !d.sel.want[i] {
		return
	}
	e := &d.x.layout.Entries()[i]
	if d.want == nil {
		d.want = allOf(d.seen)
	}
	end := min(e.First+e.Leaves, d.seen)
	if e.Kind == chunker.File {
		d.wantFiles--
	} else {
		end = e.First // what a directory counts is below it
	}
	for k := e.First; k < end; k++ {
		d.clearHave(k)
		d.want.clear(k)
		d.wantN--
		d.wantBytes -= int64(max(d.x.layout.LeafSize(k), 0))
	}
	d.sel.want[i] = false
	d.refused[i] = true
	d.dirtyRec = true
}

// leaveOut takes entry i, which the destination turned away, off what is wanted, with all below it.
func (d *Download) leaveOut(i int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s.cfg.Logger.Warn("left out what cannot be put at its place", "path", d.there.path(d.sel.rel(d.x.layout.Entries()[i].Path)), "error", err)
	entries, any := d.x.layout.Entries(), false
	for k := range entries {
		if d.sel.want[k] && within(entries[k].Path, entries[i].Path) {
			_, kept := d.kept[k]
			any = any || !kept
			d.refuse(k)
			delete(d.kept, k)
		}
	}
	if any {
		d.list(Refusal{Path: d.sel.rel(entries[i].Path), Why: whyShut + bare(err)})
	}
}

// list notes what is left out. Called under mu.
func (d *Download) list(r Refusal) {
	d.leftN++
	if r.Replaceable {
		d.replaceable++
	}
	if len(d.left) < MaxLeft {
		d.left = append(d.left, r)
	}
}

// leftOut says in a clause what is left out; "": nothing.
func (d *Download) leftOut() string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	switch {
	case d.leftN == 0:
		return ""
	case d.leftN == 1:
		return fmt.Sprintf("left out: %s %s", d.left[0].Path, d.left[0].Why)
	}
	return fmt.Sprintf("%d names left out, the first: %s %s", d.leftN, d.left[0].Path, d.left[0].Why)
}

// withLeft adds what was left out to the result. Called under mu.
func (d *Download) withLeft(sh Share) Share {
	sh.Left, sh.LeftN, sh.Replaceable, sh.Renames = d.left, d.leftN, d.replaceable, d.renames
	return sh
}

// blocked is the error of a lone file, or of a whole tree, that cannot go where something else is.
func (d *Download) blocked(name string, r Refusal) error {
	why := r.Why
	if why == whyDiffers {
		why = ""
	}
	return &BlockedError{Path: filepath.Join(d.dst.dir, name), Why: why, Replaceable: r.Replaceable}
}
