package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"shoal/chunker"
)

// finishInto ends a download whose destination exists: what is in the .part is moved in
// file by file, each by one rename, so that at every moment each old file is there whole, or
// the new one. errAppeared: something came to the destination since it was looked at.
func (d *Download) finishInto(ctx context.Context) (Share, error) {
	fresh, err := d.dressForMerge(ctx)
	if err != nil {
		return Share{}, err
	}
	if err := d.vouch(ctx, fresh); err != nil {
		return Share{}, err
	}
	if err := d.checkpoint(ctx); err != nil {
		return Share{}, err
	}
	if len(fresh) > 0 {
		if err := d.dst.syncAll(len(fresh)); err != nil {
			return Share{}, err
		}
	}
	d.place.Lock()
	defer d.place.Unlock()
	if err := errors.Join(d.dst.closeHandles(), d.there.closeHandles()); err != nil {
		return Share{}, fsError("close files of", d.dst.path(""), err)
	}
	moved, err := d.moveIn(ctx, fresh)
	if err != nil {
		return Share{}, err
	}
	if err := d.unlisted(d.there); err != nil {
		return Share{}, err
	}
	if moved > 0 {
		if err := d.there.syncAll(moved); err != nil {
			return Share{}, err
		}
	}
	d.clearPart()
	return d.recordMerged(ctx)
}

// recordMerged makes a share of what is at the destination now. Of a share that has nothing
// there is none.
func (d *Download) recordMerged(ctx context.Context) (Share, error) {
	d.mu.RLock()
	stats := make(map[int]chunker.FileStat, len(d.kept))
	for i, st := range d.kept {
		stats[i] = st
	}
	nothing := d.wantN == 0 && d.wantFiles == 0 && d.leftN > 0
	rec := *d.rec
	d.mu.RUnlock()
	final := d.there.path("")
	var sh Share
	var err error
	if nothing {
		_, err = d.s.forget(tagDownload, rec.root)
		sh = rec.share()
		sh.Path = final
	} else {
		sh, err = d.recordShare(ctx, final, stats)
	}
	d.mu.Lock()
	sh = d.withLeft(sh)
	if d.stage, d.result = done, sh; err != nil {
		d.stage = closed
	}
	d.mu.Unlock()
	d.s.unclaim(rec.root)
	if err == nil && !nothing {
		err = d.dirGone(d.confirm(ctx, final))
	}
	d.watch.close()
	return sh, errors.Join(err, d.closeThere(), d.dst.close())
}

// dressForMerge finishes in the .part what is to be moved: by entry the files and symlinks.
func (d *Download) dressForMerge(ctx context.Context) (fresh map[int]chunker.FileStat, err error) {
	fresh = map[int]chunker.FileStat{}
	entries := d.x.layout.Entries()
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, kept := d.keptAt(i); kept || !d.sel.want[i] || e.Kind == chunker.Dir {
			continue
		}
		rel := d.sel.rel(e.Path)
		var is chunker.FileStat
		if e.Kind == chunker.File {
			is, err = d.dressFile(i, e, rel)
		} else if same, _ := d.there.looksLike(rel, e); same {
			continue
		} else {
			err = d.dst.symlink(rel, e)
		}
		if err != nil {
			return nil, fsError("finish", d.dst.path(rel), err)
		}
		fresh[i] = is
	}
	return fresh, nil
}

// keptAt is the stat of entry i if its file at the destination is kept.
func (d *Download) keptAt(i int) (chunker.FileStat, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	st, ok := d.kept[i]
	return st, ok
}

// moveIn moves the fresh files and symlinks, and makes the directories that are missing. It
// tells how many that were. What the file system does not allow is left out.
func (d *Download) moveIn(ctx context.Context, fresh map[int]chunker.FileStat) (int, error) {
	var made []int // directories
	for i, e := range d.x.layout.Entries() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		rel := d.sel.rel(e.Path)
		switch {
		case !d.sel.want[i] || rel == "" && e.Kind == chunker.Dir:
		case e.Kind == chunker.Dir:
			_, err := d.there.lstat(rel)
			if errors.Is(err, fs.ErrNotExist) {
				made = append(made, i)
			}
			h, err := d.there.acquireDir(rel, true)
			if errors.Is(err, errSymlink) {
				return 0, errAppeared
			}
			if isRefusal(err) {
				made = slices.DeleteFunc(made, func(k int) bool { return k == i })
				d.leaveOut(i, err)
				continue
			}
			if err != nil {
				return 0, fsError("create", d.there.path(rel), err)
			}
			d.there.dirs.release(h)
		default:
			was, ok := fresh[i]
			if !ok {
				continue
			}
			err := d.moveOne(i, rel, e, was)
			if isRefusal(err) {
				d.leaveOut(i, err)
				continue
			}
			if err != nil {
				if errors.Is(err, errAppeared) || errors.Is(err, errSymlink) {
					return 0, errAppeared
				}
				return 0, fsError("move to", d.there.path(rel), err)
			}
		}
	}
	for k := len(made) - 1; k >= 0; k-- {
		e := d.x.layout.Entries()[made[k]]
		rel := d.sel.rel(e.Path)
		if err := d.there.inDir(rel, func(dir *os.Root, name string) error { return dressUp(dir, name, e) }); err != nil {
			return 0, fsError("finish", d.there.path(rel), err)
		}
	}
	return len(made) + len(fresh), nil
}

// moveOne moves one file or symlink to the destination, where it is kept from then on. was is what the file looked like when
// it was finished: what somebody else wrote to since is not moved.
func (d *Download) moveOne(i int, rel string, e chunker.Entry, was chunker.FileStat) error {
	d.mu.RLock()
	replaces := d.replace[i]
	d.mu.RUnlock()
	return d.dst.in(rel, false, func(from *os.Root, name string) error {
		fi, err := from.Lstat(name)
		if err != nil {
			return err
		}
		if e.Kind == chunker.File && (!fi.Mode().IsRegular() || chunker.StatOf(fi) != was) || e.Kind == chunker.Symlink && fi.Mode()&fs.ModeSymlink == 0 {
			return fmt.Errorf("%w: another program changed it", ErrIncomplete)
		}
		return d.there.in(rel, true, func(to *os.Root, toName string) error {
			if err := moveTo(from, name, to, toName, replaces); err != nil {
				return err
			}
			if e.Kind != chunker.File {
				return nil
			}
			fi, err := to.Lstat(toName)
			if err != nil {
				return err
			}
			is := chunker.StatOf(fi)
			d.mu.Lock()
			d.kept[i], d.files[i] = is, fileState{}
			d.mu.Unlock()
			if was.Ctime = is.Ctime; is != was { // a rename changes nothing else
				d.mu.Lock()
				d.unkeep(i)
				d.mu.Unlock()
				return fmt.Errorf("%w: another program changed it", ErrIncomplete)
			}
			return nil
		})
	})
}

// moveTo renames between two directories. What is there is replaced only if that was decided,
// and never if it is a directory or special; errAppeared.
func moveTo(from *os.Root, name string, to *os.Root, toName string, replaces bool) error {
	if replaces {
		fi, err := to.Lstat(toName)
		if err == nil && !fi.Mode().IsRegular() && fi.Mode()&fs.ModeSymlink == 0 {
			return errAppeared
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return renameOver(from, name, to, toName)
	}
	err := renameFree(from, name, to, toName)
	if errors.Is(err, errors.ErrUnsupported) {
		if _, err = to.Lstat(toName); errors.Is(err, fs.ErrNotExist) {
			return renameOver(from, name, to, toName) // what appears between the two calls would be lost
		} else if err == nil {
			err = fs.ErrExist
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return errAppeared
	}
	return err
}

// clearPart deletes what is left of the .part: its directories, and files that are not
// needed any more. What somebody else put there stays.
func (d *Download) clearPart() {
	fi, err := d.dst.parent.Lstat(d.dst.part)
	if err != nil || !d.dst.owner.is(d.dst.identify(d.dst.part, fi)) {
		return
	}
	entries := d.x.layout.Entries()
	for i := len(entries) - 1; i >= 0; i-- {
		e, st := &entries[i], &d.files[i]
		if !within(e.Path, d.sel.sub) || e.Kind == chunker.File && !st.created {
			continue
		}
		_ = d.dst.inDir(d.sel.rel(e.Path), func(dir *os.Root, name string) error {
			fi, err := dir.Lstat(name)
			if err == nil && (e.Kind == chunker.Dir || e.Kind == chunker.Symlink || inodeOf(fi) == st.inode) {
				err = dir.Remove(name) // a directory only if it is empty
			}
			return err
		})
		if e.Kind == chunker.Dir {
			d.dst.dirs.close()
		}
	}
	_ = d.dst.closeHandles()
	if err := d.dst.parent.Remove(d.dst.part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.s.cfg.Logger.Warn("left alone what another program put there", "path", d.dst.path(""), "error", err)
	}
}

// touched tells whether a kept file is not what it was when it was hashed; then it is looked
// at again.
func (d *Download) touched() bool {
	if d.there == nil {
		return false
	}
	d.mu.RLock()
	kept := make(map[int]chunker.FileStat, len(d.kept))
	rest := d.wantN // leaves that had to come, since the files were hashed
	for i, st := range d.kept {
		kept[i] = st
		rest -= d.x.layout.Entries()[i].Leaves
	}
	d.mu.RUnlock()
	any := false
	for i, st := range kept {
		fi, err := d.there.lstat(d.sel.rel(d.x.layout.Entries()[i].Path))
		if err == nil && fi.Mode().IsRegular() && chunker.StatOf(fi) == st && (rest == 0 || st.Proves(st)) {
			continue
		}
		any = true
		d.mu.Lock()
		d.unkeep(i)
		d.mu.Unlock()
	}
	return any
}

// unsettle has the destination looked at again.
func (d *Download) unsettle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settled = false
}

// closeThere closes what is open of the destination.
func (d *Download) closeThere() error {
	if d.there == nil {
		return nil
	}
	return fsError("close files of", filepath.Join(d.dst.dir, d.final), d.there.closeHandles())
}

// openKept opens a file of the destination, if it is still what was hashed.
func (d *Download) openKept(i int, rel string) (*os.File, error) {
	was, ok := d.keptAt(i)
	f, err := d.there.readFile(rel)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && (!ok || chunker.StatOf(fi) != was) {
		err = errors.New("the file was touched")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
