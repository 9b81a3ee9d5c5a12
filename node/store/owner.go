package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"shoal/chunker"
)

// owner tells our .part from a file or directory of that name that somebody else makes.
// Firefox, for one, downloads to NAME.part too.
type owner struct {
	mu    sync.Mutex
	made  bool
	mark  uint64                            // its identity
	note  func(mark uint64) error           // records a .part that was just made, durably
	draft func() (name string, done func()) // what a .part is called until it is noted; nil: it is there already
}

// makePart makes the .part if it is not there: first under a name that only shoal gives, and that the next start takes away, so that it
// is known to be ours before it has its own. A crash in between leaves nothing that nobody dares to touch. false: it was there, or came.
func (t *dest) makePart() (made bool, err error) {
	if t.owner == nil || t.owner.draft == nil {
		return false, nil
	}
	if _, err := t.parent.Lstat(t.part); !errors.Is(err, fs.ErrNotExist) {
		return false, nil // an error shows again
	}
	name, done := t.owner.draft()
	_ = t.parent.Remove(name) // of a crash
	if t.tree {
		err = t.parent.Mkdir(name, 0o777)
	} else {
		var f *os.File
		if f, err = t.parent.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		done()
		return false, err
	}
	fi, err := t.parent.Lstat(name)
	if err == nil {
		err = t.owner.check(t.identify(name, fi), true)
	}
	if err == nil {
		err = t.rename(name, t.part)
	}
	if err == nil {
		done()
		return true, nil
	}
	if t.parent.Remove(name) == nil {
		done()
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return false, err
}

// is tells whether that is our .part; false without an owner.
func (o *owner) is(id identity) bool {
	if o == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.made && id.is(o.mark)
}

// check looks at the .part that was opened; fresh: this very call made it.
func (o *owner) check(id identity, fresh bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.made && id.is(o.mark):
		return nil
	case !fresh:
		return ErrForeign
	}
	if err := o.note(id.mark); err != nil {
		return err
	}
	o.made, o.mark = true, id.mark
	return nil
}

// own takes over what the record says of the .part.
func (d *Download) own() {
	d.dst.owner = &owner{made: d.rec.made, mark: d.rec.partInode, note: d.noteMade, draft: d.draft}
}

func (d *Download) draft() (name string, done func()) {
	sum := sha256.Sum256([]byte(d.s.home + "\x00" + d.rec.root.KeyString() + "\x00part"))
	name = fmt.Sprintf("%s%x", probePrefix, sum[:6])
	note := noteProbe(d.s.home, filepath.Join(d.dst.dir, name))
	return name, func() {
		if note != "" {
			_ = os.Remove(note)
		}
	}
}

func (d *Download) noteMade(mark uint64) error {
	d.mu.Lock()
	d.rec.made, d.rec.partInode = true, mark
	d.tellDevice()
	d.mu.Unlock()
	return d.saveRecord(d.s.db.NewBatch(), true)
}

// tellDevice remembers the disk that the .part is on. Called under mu.
func (d *Download) tellDevice() {
	if fi, err := d.dst.parent.Stat("."); err == nil {
		is := chunker.StatOf(fi).Device
		d.dirtyRec = d.dirtyRec || is != d.rec.partDevice
		d.rec.partDevice = is
	}
}

// isOurs tells whether fi is the .part that was made for r.
func (r *record) isOurs(fi fs.FileInfo, id identity) bool {
	return r.made && fi.IsDir() == r.tree && (fi.IsDir() || fi.Mode().IsRegular()) && id.is(r.partInode)
}

// isLink tells whether fi is a symlink and the root is one too, which is made just before it is moved.
func (d *Download) isLink(fi fs.FileInfo) bool {
	root := d.sel.root
	return root >= 0 && d.x.layout.Entries()[root].Kind == chunker.Symlink && fi.Mode()&fs.ModeSymlink != 0
}

// claimPart makes sure that the .part is ours to write to and to delete: made by this
// download, or a copy of that, which a wanted leaf tells. What is somebody else's is
// left alone, and another name is used. false: there is no .part yet.
func (d *Download) claimPart(ctx context.Context) (bool, error) {
	fi, err := d.dst.parent.Lstat(d.dst.part)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fsError("look at", d.dst.path(""), err)
	}
	id := d.dst.identify(d.dst.part, fi)
	if d.rec.isOurs(fi, id) {
		d.mu.Lock()
		d.tellDevice()
		d.mu.Unlock()
		return true, nil
	}
	d.dropAll()
	if fi.IsDir() == d.dst.tree && d.recognises(ctx) {
		err := d.noteMade(id.mark)
		d.own()
		return true, err
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if !d.x.layout.Complete() {
		d.candidates = append(d.candidates, d.dst.part) // the nodes to come may tell
	}
	part, err := d.s.choosePart(d.rec.target())
	if err != nil {
		return false, err
	}
	d.s.cfg.Logger.Warn("left alone a file that another program made", "path", d.dst.path(""), "instead", part)
	d.mu.Lock()
	d.rec.part, d.rec.made, d.rec.partInode = part, false, 0
	d.dst.part = part
	d.mu.Unlock()
	d.own()
	return false, d.saveRecord(d.s.db.NewBatch(), true)
}

// recognises tells whether the .part has a wanted leaf at its place. It only reads.
func (d *Download) recognises(ctx context.Context) bool {
	return d.recognisesIn(ctx, d.dst.part, 0, d.seen)
}

// inodeOf is 0 for nil and where the system does not tell.
func inodeOf(fi fs.FileInfo) uint64 {
	if fi == nil {
		return 0
	}
	return chunker.StatOf(fi).Inode
}
