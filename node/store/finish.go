package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"shoal/chunker"

	"github.com/cockroachdb/pebble/v2"
)

// Finish turns a complete download into a share at its final name: it syncs, adds
// what has no content (empty files, directories, symlinks), restores recorded modes and
// times, moves NAME.part to NAME and records the references. A crash at any point is
// taken up by the next start.
//
// ErrIncomplete: wanted leaves are missing, perhaps because another program touched the
// .part; fetch on. ErrExists: something came to the destination meanwhile that must stay;
// the .part stays too. A destination that is a directory is merged with: see Share.Left.
func (d *Download) Finish(ctx context.Context) (Share, error) {
	d.stopLocal()
	d.save.Lock()
	defer d.save.Unlock()
	d.mu.RLock()
	stage, result := d.stage, d.result
	d.mu.RUnlock()
	switch stage {
	case done:
		return result, nil
	case closed:
		return Share{}, fmt.Errorf("finish %s: %w", d.rec.root, ErrClosed)
	}
	sh, err := d.finish(ctx)
	err = d.dirGone(err)
	if errors.Is(err, ErrIncomplete) {
		err = errors.Join(err, d.refetch())
	}
	if err != nil {
		return Share{}, fmt.Errorf("finish %s: %w", d.rec.root, err)
	}
	return sh, nil
}

// drain waits for those who write a leaf that is there already, and closes all files and directories, so that what follows
// looks at what lies at their names.
func (d *Download) drain() error {
	d.place.Lock()
	defer d.place.Unlock()
	return d.dst.closeHandles()
}

// finishTries is how often Finish looks at a destination in which others are at work.
const finishTries = 5

func (d *Download) finish(ctx context.Context) (Share, error) {
	for try := 1; ; try++ {
		sh, err := d.tryFinish(ctx)
		if !errors.Is(err, errAppeared) {
			return sh, err
		}
		if try == finishTries {
			return sh, fmt.Errorf("%w: %w", ErrExists, err)
		}
		d.unsettle()
	}
}

func (d *Download) tryFinish(ctx context.Context) (Share, error) {
	if d.touched() {
		d.s.cfg.Logger.Info("files of the destination changed meanwhile", "path", d.there.path(""))
	}
	if err := d.settle(ctx, d.checked); err != nil {
		return Share{}, err
	}
	if err := d.whole(); err != nil {
		return Share{}, err
	}
	if err := d.checkpoint(ctx); err != nil {
		return Share{}, err
	}
	if err := d.whole(); err != nil {
		return Share{}, err
	}
	if err := d.drain(); err != nil {
		return Share{}, err
	}
	if d.there != nil {
		return d.finishInto(ctx)
	}
	stats, err := d.dress(ctx, d.wants)
	if err == nil {
		err = d.unlisted(d.dst)
	}
	if err != nil {
		return Share{}, err
	}
	if err := d.vouch(ctx, stats); err != nil {
		return Share{}, err
	}
	if err := d.checkpoint(ctx); err != nil { // empty files have a row too
		return Share{}, err
	}
	if err := d.dressDirs(d.dst, d.wants); err != nil { // from here on nothing in them is opened
		return Share{}, err
	}
	if err := d.dst.syncAll(len(stats)); err != nil {
		return Share{}, err
	}
	return d.putInPlace(ctx, stats)
}

// whole checks that every wanted leaf is written.
func (d *Download) whole() error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.x.layout.Complete() {
		return fmt.Errorf("%w: inner nodes are missing", ErrIncomplete)
	}
	if err := d.sel.unmatched(d.x.layout.Entries()); err != nil {
		return err
	}
	if d.haveN < d.wantN {
		return fmt.Errorf("%w: %d of %d chunks are missing", ErrIncomplete, d.wantN-d.haveN, d.wantN)
	}
	return nil
}

// wants tells whether entry i is wanted.
func (d *Download) wants(i int) bool { return d.sel.want[i] }

// dress makes what has no content and restores modes and times of all but directories, of those entries that wants tells. It
// returns the stats of the files by entry, as they stay from here on.
func (d *Download) dress(ctx context.Context, wants func(entry int) bool) (map[int]chunker.FileStat, error) {
	if d.dst.tree {
		h, err := d.dst.acquireDir("", true)
		if err != nil {
			return nil, fsError("create", d.dst.path(""), err)
		}
		d.dst.dirs.release(h)
	}
	entries := d.x.layout.Entries()
	stats := make(map[int]chunker.FileStat, d.wantFiles)
	var changed error // the first file that was: all are found in one go
	for i, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !wants(i) {
			continue
		}
		rel := d.sel.rel(e.Path)
		var err error
		switch e.Kind {
		case chunker.File:
			stats[i], err = d.dressFile(i, e, rel)
		case chunker.Dir:
			var h *pooled[*os.Root]
			if h, err = d.dst.acquireDir(rel, true); err == nil {
				d.dst.dirs.release(h)
			}
		}
		err = fsError("finish", d.dst.path(rel), err)
		if errors.Is(err, ErrIncomplete) {
			changed = cmp.Or(changed, err)
		} else if err != nil {
			return nil, err
		}
	}
	if changed != nil {
		return nil, changed
	}
	// Symlinks last, so that nothing is ever written through one.
	for i := len(entries) - 1; i >= 0; i-- {
		if e := entries[i]; wants(i) && e.Kind == chunker.Symlink {
			if err := d.dst.symlink(d.sel.rel(e.Path), e); err != nil {
				return nil, fsError("create symlink", d.dst.path(d.sel.rel(e.Path)), err)
			}
		}
	}
	return stats, nil
}

// dressDirs restores modes and times of directories that wants tells, deepest first, so that they hold.
func (d *Download) dressDirs(t *dest, wants func(entry int) bool) error {
	entries := d.x.layout.Entries()
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		if !wants(i) || e.Kind != chunker.Dir || (!e.HasMode && e.ModTime.IsZero()) {
			continue
		}
		rel := d.sel.rel(e.Path)
		if err := t.inDir(rel, func(dir *os.Root, name string) error { return dressUp(dir, name, e) }); err != nil {
			return fsError("finish", t.path(rel), err)
		}
	}
	return nil
}

// inDir is in, also for the tree itself.
func (t *dest) inDir(rel string, fn func(dir *os.Root, name string) error) error {
	if rel == "" {
		return fn(t.parent, t.part)
	}
	return t.in(rel, false, fn)
}

// dressUp restores recorded permission bits, never set-uid, set-gid or sticky, and the
// modification time.
func dressUp(dir *os.Root, name string, e chunker.Entry) error {
	if e.HasMode {
		if err := dir.Chmod(name, e.Mode&fs.ModePerm); err != nil {
			return err
		}
	}
	if !e.ModTime.IsZero() {
		return dir.Chtimes(name, e.ModTime, e.ModTime)
	}
	return nil
}

// dressFile makes an empty file, checks that a written one is still ours, and restores
// its mode and time.
func (d *Download) dressFile(i int, e chunker.Entry, rel string) (chunker.FileStat, error) {
	d.mu.RLock()
	st, size := d.files[i], e.Size
	if size < 0 {
		size = max(d.loneSize, 0)
	}
	d.mu.RUnlock()
	if size == 0 && !st.created {
		if err := d.writeSingle(spot{entry: i, rel: rel}, nil); err != nil {
			return chunker.FileStat{}, err
		}
		d.mu.RLock()
		st = d.files[i]
		d.mu.RUnlock()
	}
	var is chunker.FileStat
	err := d.dst.in(rel, false, func(dir *os.Root, name string) error {
		was, err := d.ours(dir, name, st, size)
		if err != nil {
			d.lose(i, e)
			return err
		}
		if err := dressUp(dir, name, e); err != nil {
			return err
		}
		if err := d.inherit(i, e, rel, dir, name); err != nil {
			return err
		}
		fi, err := dir.Lstat(name)
		if err == nil {
			is = chunker.StatOf(fi)
			d.dressed(i, e, was, is)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		d.lose(i, e)
		err = fmt.Errorf("%w: it was deleted", ErrIncomplete)
	}
	return is, err
}

// ours checks that a file of the .part is the one that was written.
func (d *Download) ours(dir *os.Root, name string, st fileState, size int64) (is chunker.FileStat, err error) {
	fi, err := dir.Lstat(name)
	if err != nil {
		return is, err
	}
	if is = chunker.StatOf(fi); !fi.Mode().IsRegular() || is.Inode != st.inode || is.Size != size {
		return is, fmt.Errorf("%w: another program changed it", ErrIncomplete)
	}
	return is, nil
}

// dressed takes note of a file whose stat was was and is is since its mode and time were set.
func (d *Download) dressed(i int, e chunker.Entry, was, is chunker.FileStat) {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := &d.files[i]
	untouched := was.Same(st.stat) && (e.ModTime.IsZero() && is.ModTime == was.ModTime || is.ModTime == e.ModTime.UnixNano())
	switch {
	case e.Leaves <= 1 && st.stat.ModTime != 0 && untouched:
		st.stat = is // only we changed it
	case e.Leaves <= 1:
		st.doubted = true
	}
	st.hashed = st.hashed && is == st.stat
}

// lose takes back all leaves of a file that is gone, so that they are fetched again.
func (d *Download) lose(i int, e chunker.Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := e.First; k < e.First+e.Leaves; k++ {
		if d.x.layout.LeafSize(k) != 0 {
			d.clearHave(k)
		}
	}
	d.files[i] = fileState{}
	d.dirtyRec = true
}

// symlink makes one, unless the same is there already.
func (t *dest) symlink(rel string, e chunker.Entry) error {
	return t.in(rel, true, func(dir *os.Root, name string) error {
		err := dir.Symlink(e.Target, name)
		if errors.Is(err, fs.ErrExist) {
			if old, rerr := dir.Readlink(name); rerr == nil && old == e.Target {
				err = nil
			}
		}
		if err != nil && runtime.GOOS == "windows" {
			return nil // needs a privilege there that most users lack
		}
		if err == nil && !e.ModTime.IsZero() {
			err = symlinkTime(dir, name, e.ModTime)
		}
		return err
	})
}

// syncAll makes names and metadata durable before the move.
func (t *dest) syncAll(files int) error {
	if !t.tree && files <= 1 && runtime.GOOS == "linux" {
		return t.syncParent() // the file itself was synced by Checkpoint
	}
	f, err := t.openParent()
	if err == nil {
		err = errors.Join(syncFS(f), f.Close())
	}
	return fsError("sync", t.dir, err)
}

// putRows replaces the rows by those of a share with these stats, in bounded batches.
func (d *Download) putRows(stats map[int]chunker.FileStat) error {
	out := &writer{s: d.s, b: d.s.db.NewBatch()}
	defer func() { out.b.Close() }()
	k := keyID(tagFile, d.id())
	_ = out.b.DeleteRange(k, upper(k), nil)
	for i, e := range d.x.layout.Entries() {
		st, ok := stats[i]
		if !ok {
			continue
		}
		r := row{path: d.sel.rel(e.Path), stat: st, cut: cutOf(d.x.layout, e, st.Size)}
		_ = out.b.Set(keyFile(tagFile, d.id(), e.First, i), r.encode(), nil)
		if err := out.flush(context.Background()); err != nil {
			return err
		}
	}
	return out.commit(context.Background())
}

// recordShare turns the download into a share at final: stats of files that are not those
// of the .part (else nil), then the record, together with the end of the download, in one
// synced batch.
func (d *Download) recordShare(ctx context.Context, final string, stats map[int]chunker.FileStat) (Share, error) {
	d.mu.RLock()
	rec := *d.rec
	d.fillCounts(&rec)
	d.mu.RUnlock()
	rec.bases = []string{final}
	rec.name, rec.dir, rec.part, rec.placing, rec.partInode = filepath.Base(final), "", "", false, 0
	rec.state, rec.complete, rec.suggested, rec.leftOut = Complete, true, "", d.leftOut()

	if here, err := d.s.placeAt(final); err != nil {
		return Share{}, err
	} else if here != nil {
		rec.excludes, rec.ignores = here.excludes, here.ignores // a new version of a share leaves out what the one before did, when it is shared again
	}
	if stats != nil {
		if err := d.putRows(stats); err != nil {
			return Share{}, err
		}
	}
	b := d.s.db.NewBatch()
	bits := append(bitmap(nil), d.have...)
	if err := d.mergeOld(&rec, b, bits); err != nil {
		b.Close()
		return Share{}, err
	}
	d.s.putBits(b, &rec, bits)
	_ = b.Delete(keyRoot(tagDownload, rec.root), nil)
	if err := d.s.putPlace(&rec, b, false); err != nil {
		return Share{}, err
	}
	return rec.share(), nil
}

// mergeOld carries over files of this root that lie at the same path already and that this download did
// not fetch, so that two partial fetches to one place serve what both have.
func (d *Download) mergeOld(rec *record, b *pebble.Batch, bits bitmap) error {
	old, err := d.s.placeOf(rec.root, rec.path())
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	had, err := d.s.served(old)
	if err != nil {
		return err
	}
	base := map[int]int{}
	err = d.s.rows(old.id, func(r *row) error {
		if r.entry < len(d.sel.want) && d.sel.want[r.entry] {
			return nil
		}
		if d.refused[r.entry] && old.bases[r.base] == rec.bases[0] {
			return nil // it is something else by now
		}
		if _, ok := base[r.base]; !ok {
			base[r.base] = rec.baseIndex(old.bases[r.base])
		}
		r.base = base[r.base]
		for k := r.leaf; k < r.leaf+r.cut.leaves; k++ {
			if had == nil || had.get(k) {
				_, n := r.cut.at(k - r.leaf)
				bits.set(k)
				rec.have++
				rec.haveBytes += int64(n)
			}
		}
		rec.files++
		rec.size += r.cut.size
		return b.Set(keyFile(tagFile, rec.id, r.leaf, r.entry), r.encode(), nil)
	})
	if err == nil && old.bases[0] == rec.bases[0] && old.sub == rec.sub {
		rec.selects = union(rec.selects, old.selects)
	}
	return err
}

// baseIndex is the place of path in bases, added if it is new.
func (r *record) baseIndex(path string) int {
	for i, b := range r.bases {
		if b == path {
			return i
		}
	}
	r.bases = append(r.bases, path)
	return len(r.bases) - 1
}
