package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// existing answers a Download whose destination is there already: same content is
// success. It looks only at a share of this root, and at a lone file where the whole root is
// wanted under a known name; for the rest Settle compares once the layout is known. A raw
// root is a file, so one that differs is in its way; any other root may be a directory.
func (s *Store) existing(ctx context.Context, t Target) (Share, bool, error) {
	name := t.Name
	if name == "" && t.Sub != "" {
		name = path.Base(t.Sub)
	}
	if name == "" {
		return Share{}, false, nil
	}
	final := filepath.Join(t.Dir, name)
	fi, err := chunker.LstatPath(final)
	if errors.Is(err, fs.ErrNotExist) {
		return Share{}, false, nil
	}
	if err != nil {
		return Share{}, false, fsError("look at", final, err)
	}
	if sh, ok, err := s.sharedAt(ctx, t, final); ok || err != nil {
		return sh, ok, err
	}
	if t.Force || t.Sub != "" || len(t.Select) > 0 || !fi.Mode().IsRegular() {
		return Share{}, false, nil // looked at once the nodes are known
	}
	if rec, err := s.record(tagDownload, t.Root); err == nil && (rec.placing || len(rec.selects) > 0) {
		return Share{}, false, nil
	}
	sh, same, err := s.adopt(ctx, t.Root, final, fi, t.Checked)
	if err == nil && !same && t.Root.Type() == cid.Raw {
		err = &BlockedError{Path: final, Replaceable: true}
	}
	return sh, same, err
}

// sharedAt is the share of the root if it lies at final, fits, and has what is wanted.
func (s *Store) sharedAt(ctx context.Context, t Target, final string) (Share, bool, error) {
	rec, err := s.placeOf(t.Root, final)
	if errors.Is(err, ErrNotFound) || (err == nil && (rec.sub != t.Sub || rec.leftOut != "")) {
		return Share{}, false, nil
	}
	if err == nil && len(rec.selects) > 0 && len(union(rec.selects, t.Select)) != len(rec.selects) {
		return Share{}, false, nil
	}
	if err == nil {
		rec, err = s.checkPlace(ctx, rec)
	}
	if err == nil && rec.state == Complete {
		rec, err = s.prove(ctx, rec, t.Checked)
	}
	if err != nil || rec.state != Complete {
		return Share{}, false, err
	}
	same, err := s.hasBare(rec)
	return rec.share(), same, err
}

// prove hashes the files of a place of which their stat does not prove that they are what was recorded, and returns the record as it is then.
func (s *Store) prove(ctx context.Context, rec *record, progress func(bytes int64)) (*record, error) {
	proven := true
	err := s.rows(rec.id, func(r *row) error {
		fi, err := chunker.StatPath(rec.absPath(r))
		proven = proven && err == nil && chunker.StatOf(fi).Proves(r.stat)
		return ctx.Err()
	})
	if err != nil || proven {
		return rec, err
	}
	var sum VerifyReport
	if err := s.verifyPlace(ctx, rec, false, &sum, progress); err != nil {
		return rec, err
	}
	return s.recordOf(rec.id)
}

// adopt hashes what is at path and shares it if it is the root.
func (s *Store) adopt(ctx context.Context, root cid.Cid, path string, fi fs.FileInfo, progress func(bytes int64)) (Share, bool, error) {
	if root.Type() == cid.Raw && (!fi.Mode().IsRegular() || fi.Size() > int64(s.cfg.Limits.BlockSize)) {
		return Share{}, false, nil
	}
	for _, preserve := range []bool{false, true} {
		im := s.Import()
		tree, err := chunker.Build(ctx, path, chunker.Config{Preserve: preserve, Progress: func(_, bytes int64) {
			if progress != nil {
				progress(bytes)
			}
		}}, im.PutNode)
		if err == nil && tree.Root.Equals(root) {
			sh, err := im.Commit(ctx, tree, path, "")
			sh.Path = path
			return sh, err == nil, err
		}
		im.Abort()
		if ctx.Err() != nil {
			return Share{}, false, ctx.Err()
		}
		if root.Type() == cid.Raw {
			break // a lone leaf carries no mode or time
		}
	}
	return Share{}, false, nil
}

// Adoptable tells whether a directory is at the destination that may be all of what is wanted, so that Adopt can find that out
// though no node is known and nobody is there to ask.
func (d *Download) Adoptable() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.holding || d.settled || d.x.nodes > 0 || !d.sel.everything() {
		return false
	}
	fi, err := d.dst.parent.Lstat(d.rec.title())
	return err == nil && fi.IsDir()
}

// Adopt hashes the directory at the destination as Share does. If it is the root, the download ends as a share of it; false: it
// is not, or not with the usual chunks.
func (d *Download) Adopt(ctx context.Context, progress func(bytes int64)) (Share, bool, error) {
	final := filepath.Join(d.dst.dir, d.rec.title())
	fi, err := chunker.LstatPath(final)
	if err != nil {
		return Share{}, false, nil
	}
	sh, same, err := d.s.adopt(ctx, d.rec.root, final, fi, progress)
	if err != nil || !same {
		return Share{}, false, err
	}
	d.stopLocal()
	rec, err := d.s.forget(tagDownload, d.rec.root)
	if err == nil {
		err = removePart(rec)
	}
	d.mu.Lock()
	d.result = sh
	d.mu.Unlock()
	return sh, true, errors.Join(err, d.end(done))
}

// looksLike compares kind, size and symlink target.
func (t *dest) looksLike(rel string, e chunker.Entry) (bool, error) {
	var same bool
	err := t.inDir(rel, func(dir *os.Root, name string) error {
		fi, err := dir.Lstat(name)
		if err != nil {
			return err
		}
		switch e.Kind {
		case chunker.Dir:
			same = fi.IsDir()
		case chunker.File:
			same = fi.Mode().IsRegular() && (e.Size < 0 || fi.Size() == e.Size)
		case chunker.Symlink:
			target, err := dir.Readlink(name)
			same = err == nil && target == e.Target
		}
		return nil
	})
	return same, err
}

// putInPlace moves the result to its final name and records it.
func (d *Download) putInPlace(ctx context.Context, stats map[int]chunker.FileStat) (Share, error) {
	d.place.Lock()
	defer d.place.Unlock()
	if err := d.dst.closeHandles(); err != nil {
		return Share{}, fsError("close files of", d.dst.path(""), err)
	}
	name, err := d.intend(stats)
	if err != nil {
		return Share{}, err
	}
	if err := d.move(name); err != nil {
		d.mu.Lock()
		d.rec.placing = false
		d.mu.Unlock()
		return Share{}, errors.Join(err, d.saveRecord(d.s.db.NewBatch(), true))
	}
	stats = d.renamed(name, stats)
	sh, err := Share{}, d.dst.syncParent()
	if err == nil {
		sh, err = d.recordShare(ctx, filepath.Join(d.dst.dir, name), stats)
	}
	// Moved is moved: if it could not be recorded, the next Download or start does that.
	d.mu.Lock()
	sh = d.withLeft(sh)
	if d.stage, d.result = done, sh; err != nil {
		d.stage = closed
	}
	d.mu.Unlock()
	d.s.unclaim(d.rec.root)
	if err == nil {
		err = d.dirGone(d.confirm(ctx, filepath.Join(d.dst.dir, name)))
	}
	d.watch.close()
	return sh, errors.Join(err, d.dst.close())
}

// renamed takes the stat of a lone file that was moved to name: that changed its time of change. If anything else is new too,
// somebody else wrote to it just then: the stat from before stays, and does not fit.
func (d *Download) renamed(name string, before map[int]chunker.FileStat) map[int]chunker.FileStat {
	fi, err := d.dst.parent.Lstat(name)
	if err != nil || d.dst.tree {
		return nil // the files of a tree were not renamed
	}
	for i, was := range before {
		is := chunker.StatOf(fi)
		if was.Ctime = is.Ctime; is == was {
			return map[int]chunker.FileStat{i: is}
		}
	}
	return nil
}

// intend records, durably, that the .part is about to be moved, and the stats of its
// files, so that after a crash only what nobody edited is taken for what was fetched.
func (d *Download) intend(stats map[int]chunker.FileStat) (name string, err error) {
	fi, err := d.dst.parent.Lstat(d.dst.part)
	if err != nil {
		return "", fsError("look at", d.dst.path(""), err)
	}
	id := d.dst.identify(d.dst.part, fi)
	if !d.rec.isOurs(fi, id) && !d.isLink(fi) {
		d.dropAll()
		return "", fmt.Errorf("%w: another program replaced %s", ErrIncomplete, d.dst.path(""))
	}
	if err := d.putRows(stats); err != nil {
		return "", err
	}
	d.mu.Lock()
	d.rec.name = d.final
	d.rec.placing, d.rec.partInode = true, id.mark
	name = d.rec.name
	d.mu.Unlock()
	return name, d.saveRecord(d.s.db.NewBatch(), true)
}

// errAppeared: something came to the destination since it was looked at.
var errAppeared = errors.New("something appeared at the destination")

// move brings the .part to name, where nothing must be; errAppeared if something is.
func (d *Download) move(name string) error {
	err := d.dst.rename(d.dst.part, name)
	if errors.Is(err, fs.ErrExist) {
		return errAppeared
	}
	return fsError("move to", filepath.Join(d.dst.dir, name), err)
}
