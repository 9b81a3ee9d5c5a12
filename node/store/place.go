package store

import (
	"context"
	"crypto/sha256"
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
// success. It looks only where the whole root is wanted under a known name; for the
// rest ready and Finish compare once the layout is known.
func (s *Store) existing(ctx context.Context, t Target) (Share, bool, error) {
	name := t.Name
	if name == "" && t.Sub != "" {
		name = path.Base(t.Sub)
	}
	if name == "" {
		return Share{}, false, nil
	}
	final := filepath.Join(t.Dir, name)
	fi, err := os.Lstat(final)
	if errors.Is(err, fs.ErrNotExist) {
		return Share{}, false, nil
	}
	if err != nil {
		return Share{}, false, fsError("look at", final, err)
	}
	if sh, ok, err := s.sharedAt(ctx, t, final); ok || err != nil {
		return sh, ok, err
	}
	if t.Force || t.Sub != "" || len(t.Select) > 0 {
		return Share{}, false, nil
	}
	if rec, err := s.record(tagDownload, t.Root); err == nil && (rec.placing || len(rec.selects) > 0) {
		return Share{}, false, nil
	}
	sh, same, err := s.adopt(ctx, t.Root, final, fi)
	if err == nil && !same {
		err = fmt.Errorf("%w: %s", ErrExists, final)
	}
	return sh, same, err
}

// sharedAt is the share of the root if it lies at final, fits, and has what is wanted.
func (s *Store) sharedAt(ctx context.Context, t Target, final string) (Share, bool, error) {
	rec, err := s.placeOf(t.Root, final)
	if errors.Is(err, ErrNotFound) || (err == nil && rec.sub != t.Sub) {
		return Share{}, false, nil
	}
	if err == nil && len(rec.selects) > 0 && len(union(rec.selects, t.Select)) != len(rec.selects) {
		return Share{}, false, nil
	}
	if err == nil {
		rec, err = s.checkPlace(ctx, rec)
	}
	if err != nil || rec.state != Complete {
		return Share{}, false, err
	}
	return rec.share(), true, nil
}

// adopt hashes what is at path and shares it if it is the root.
func (s *Store) adopt(ctx context.Context, root cid.Cid, path string, fi fs.FileInfo) (Share, bool, error) {
	if root.Type() == cid.Raw && (!fi.Mode().IsRegular() || fi.Size() > int64(s.cfg.Limits.BlockSize)) {
		return Share{}, false, nil
	}
	for _, preserve := range []bool{false, true} {
		im := s.Import()
		tree, err := chunker.Build(ctx, path, chunker.Config{Preserve: preserve}, im.PutNode)
		if err == nil && tree.Root.Equals(root) {
			im.claimed = true
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

// ready checks, once all nodes are known, that the selection exists, that the
// destination is free or alike, and that the disk has room.
func (d *Download) ready(ctx context.Context) error {
	d.dropMisses(d.asked)
	d.mu.RLock()
	complete := d.x.layout.Complete()
	err := d.sel.unmatched()
	if err == nil && complete {
		err = d.sel.covered(d.asked, d.x.layout.Entries())
	}
	final := d.rec.title()
	missing := d.wantBytes - d.haveBytes - d.holeBytes()
	d.mu.RUnlock()
	if !complete {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fetch %s: %w", d.rec.root, err)
	}
	if _, err := d.dst.parent.Lstat(final); err == nil && !d.rec.force {
		if _, err := d.compare(ctx, final); err != nil {
			return fmt.Errorf("fetch %s: %w", d.rec.root, err)
		}
	}
	free, err := freeSpace(d.dst.dir)
	if err == nil && missing > free {
		return fmt.Errorf("fetch %s to %s: %w: %.1f MiB more are needed", d.rec.root, d.dst.dir, ErrNoSpace, float64(missing-free)/(1<<20))
	}
	return nil
}

// likeness is how a destination compares with what is wanted.
type likeness int

const (
	alike   likeness = iota // the same content
	partial                 // a selection can be merged into it: nothing differs, something is missing
)

// compare tells whether the destination name holds what is wanted; ErrExists if it
// differs. Only the files of a selection may be missing, and only beside one may there be
// others. It compares sizes first, then hashes.
func (d *Download) compare(ctx context.Context, name string) (likeness, error) {
	t := d.dst.beside(name)
	defer t.closeHandles()
	differs := func(rel string) error { return fmt.Errorf("%w: %s", ErrExists, t.path(rel)) }
	fi, err := t.parent.Lstat(name)
	if err != nil {
		return 0, fsError("look at", t.path(""), err)
	}
	if fi.IsDir() != t.tree {
		return 0, differs("")
	}
	merging := len(d.rec.selects) > 0 && t.tree
	result := alike
	seen := 0
	check := func(test func(rel string, e chunker.Entry) (bool, error)) error {
		for i, e := range d.x.layout.Entries() {
			if !d.sel.want[i] {
				continue
			}
			seen++
			rel := d.sel.rel(e.Path)
			same, err := test(rel, e)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, fs.ErrNotExist) && merging:
				result = partial
			case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errSymlink):
				return fsError("compare", t.path(rel), err)
			case !same:
				return differs(rel)
			}
		}
		return nil
	}
	if err := check(t.looksLike); err != nil {
		return 0, err
	}
	entries := seen
	err = check(func(rel string, e chunker.Entry) (bool, error) {
		if e.Kind != chunker.File {
			return true, nil
		}
		return d.holds(t, rel, e)
	})
	if err != nil {
		return 0, err
	}
	if t.tree && !merging {
		if n, err := t.countEntries(); err != nil || n != entries {
			return 0, errors.Join(differs(""), err)
		}
	}
	return result, nil
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

// holds compares content, leaf by leaf.
func (d *Download) holds(t *dest, rel string, e chunker.Entry) (bool, error) {
	f, err := t.readFile(rel)
	if err != nil {
		return false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	var buf []byte
	holes := chunker.NewHoles(f, fi)
	for k := e.First; k < e.First+e.Leaves; k++ {
		leaf := d.x.layout.Leaf(k)
		size := leaf.Size
		if size < 0 {
			if fi.Size() > int64(d.s.cfg.Limits.BlockSize) {
				return false, nil
			}
			size = int(fi.Size())
		}
		if holes.Covers(leaf.Offset, int64(size)) && d.s.isZero(d.x.layout, k) {
			continue
		}
		if cap(buf) < size {
			buf = make([]byte, size)
		}
		if _, err := f.ReadAt(buf[:size], leaf.Offset); err != nil {
			return false, err
		}
		digest, _ := digestOf(leaf.CID)
		if sum := sha256.Sum256(buf[:size]); string(sum[:]) != string(digest) {
			return false, nil
		}
	}
	return true, nil
}

// countEntries counts all there is in the tree, itself included.
func (t *dest) countEntries() (int, error) {
	h, err := t.acquireDir("", false)
	if err != nil {
		return 0, err
	}
	defer t.dirs.release(h)
	n := 0
	err = fs.WalkDir(h.v.FS(), ".", func(_ string, _ fs.DirEntry, err error) error {
		n++
		return err
	})
	return n, err
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
	before := stats
	if stats, err = d.move(ctx, name); err != nil {
		d.mu.Lock()
		d.rec.placing = false
		d.mu.Unlock()
		return Share{}, errors.Join(err, d.saveRecord(d.s.db.NewBatch(), true))
	}
	if stats == nil {
		stats = d.renamed(name, before)
	}
	sh, err := Share{}, d.dst.syncParent()
	if err == nil {
		sh, err = d.recordShare(ctx, filepath.Join(d.dst.dir, name), stats)
	}
	// Moved is moved: if it could not be recorded, the next Download or start does that.
	d.mu.Lock()
	if d.stage, d.result = done, sh; err != nil {
		d.stage = closed
	}
	d.mu.Unlock()
	d.s.unclaim(d.rec.root)
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
	if !d.rec.isOurs(fi) && !d.isLink(fi) {
		d.dropAll()
		return "", fmt.Errorf("%w: another program replaced %s", ErrIncomplete, d.dst.path(""))
	}
	if err := d.putRows(stats); err != nil {
		return "", err
	}
	d.mu.Lock()
	d.rec.name = d.rec.title()
	d.rec.placing, d.rec.partInode = true, chunker.StatOf(fi).Inode
	name = d.rec.name
	d.mu.Unlock()
	return name, d.saveRecord(d.s.db.NewBatch(), true)
}

// move brings the .part to name, whatever is there. It returns the stats of the files
// at the final place where these are not the ones of the .part.
func (d *Download) move(ctx context.Context, name string) (map[int]chunker.FileStat, error) {
	t := d.dst
	err := t.rename(t.part, name)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return nil, fsError("move to", filepath.Join(t.dir, name), err)
	}
	like, differs := d.compare(ctx, name)
	switch {
	case differs == nil && like == alike:
		if err := removeAll(t.parent, t.part); err != nil {
			return nil, fsError("delete", t.path(""), err)
		}
		return d.statsAt(name)
	case differs == nil, errors.Is(differs, ErrExists) && d.rec.force && t.tree && d.isDir(name):
		return d.merge(ctx, name)
	case errors.Is(differs, ErrExists) && d.rec.force && !t.tree && !d.isDir(name):
		return nil, fsError("replace", filepath.Join(t.dir, name), t.parent.Rename(t.part, name))
	}
	return nil, differs
}

// isDir tells whether a directory is at the destination: it is never removed for a file, nor for another directory.
func (d *Download) isDir(name string) bool {
	fi, err := d.dst.parent.Lstat(name)
	return err == nil && fi.IsDir()
}

// statsAt takes the stats of the wanted files below name.
func (d *Download) statsAt(name string) (map[int]chunker.FileStat, error) {
	t := d.dst.beside(name)
	defer t.closeHandles()
	stats := map[int]chunker.FileStat{}
	for i, e := range d.x.layout.Entries() {
		if !d.sel.want[i] || e.Kind != chunker.File {
			continue
		}
		rel := d.sel.rel(e.Path)
		fi, err := t.lstat(rel)
		if err == nil && !fi.Mode().IsRegular() {
			err = errSymlink
		}
		if err != nil {
			return nil, fsError("look at", t.path(rel), err)
		}
		stats[i] = chunker.StatOf(fi)
	}
	return stats, nil
}

// merge moves the files of a selection into the directory that earlier ones made.
func (d *Download) merge(ctx context.Context, name string) (map[int]chunker.FileStat, error) {
	to := d.dst.beside(name)
	defer to.closeHandles()
	for i, e := range d.x.layout.Entries() {
		if !d.sel.want[i] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rel := d.sel.rel(e.Path)
		if e.Kind == chunker.Dir {
			h, err := to.acquireDir(rel, true)
			if err != nil {
				return nil, fsError("create", to.path(rel), err)
			}
			to.dirs.release(h)
			continue
		}
		if err := d.mergeOne(to, rel, e); err != nil {
			return nil, fsError("move to", to.path(rel), err)
		}
	}
	if err := d.dressDirs(to); err != nil {
		return nil, err
	}
	stats, err := d.statsAt(name)
	if err != nil {
		return nil, err
	}
	return stats, fsError("delete", d.dst.path(""), errors.Join(d.dst.closeHandles(), removeAll(d.dst.parent, d.dst.part)))
}

// mergeOne moves one file or symlink, unless it is there already. Only with Force it
// replaces something else.
func (d *Download) mergeOne(to *dest, rel string, e chunker.Entry) error {
	from, err := filepath.Localize(path.Join(d.dst.part, rel))
	if err != nil {
		return err
	}
	dst, err := filepath.Localize(path.Join(to.part, rel))
	if err != nil {
		return err
	}
	above, _ := splitRel(rel)
	for _, t := range []*dest{d.dst, to} { // both must be writable
		h, err := t.acquireDir(above, true)
		if err != nil {
			return err
		}
		t.dirs.release(h)
	}
	if _, err := to.lstat(rel); err == nil {
		same, err := to.looksLike(rel, e)
		if err == nil && same && e.Kind == chunker.File {
			same, err = d.holds(to, rel, e)
		}
		switch {
		case err != nil || same:
			return err
		case !d.rec.force:
			return fmt.Errorf("%w: %s", ErrExists, to.path(rel))
		}
		return d.dst.parent.Rename(from, dst)
	}
	err = d.dst.in(rel, false, func(dir *os.Root, name string) error {
		return to.in(rel, true, func(toDir *os.Root, toName string) error {
			return renameFree(dir, name, toDir, toName)
		})
	})
	if errors.Is(err, errors.ErrUnsupported) {
		return d.dst.renameChecked(from, dst)
	}
	return err
}
