package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// former is where the .part of a download lay before the download was sent to another
// place. It is recorded until all of it is at the new one, so that a crash on the way
// loses nothing.
type former struct {
	key  []byte // in the index
	dir  string
	part string
	sub  string // path in the root that the .part itself is
	tree bool
	mark uint64 // the identity of the .part
}

func (f *former) encode() []byte {
	var e encoder
	e.uint(recordVersion)
	for _, s := range []string{f.dir, f.part, f.sub} {
		e.string(s)
	}
	tree := uint64(0)
	if f.tree {
		tree = 1
	}
	e.uint(tree)
	e.uint(f.mark)
	return e.buf
}

func decodeFormer(key, b []byte) (*former, error) {
	d := decoder{buf: b}
	if v := d.uint(); v < 1 || v > recordVersion {
		d.fail(fmt.Errorf("version %d", v))
	}
	f := &former{key: append([]byte(nil), key...), dir: d.string(), part: d.string(), sub: d.string()}
	tree := d.uint()
	f.tree, f.mark = tree == 1, d.uint()
	if tree > 1 {
		d.fail(errors.New("unknown kind"))
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("decode former place: %w", err)
	}
	return f, nil
}

// formers lists where parts of the download still lie, oldest first.
func (s *Store) formers(id shareID) ([]*former, error) {
	var all []*former
	err := s.each(keyID(tagFormer, id), func(key, value []byte) error {
		f, err := decodeFormer(key, value)
		all = append(all, f)
		return err
	})
	return all, err
}

// partsOf is what a download has written, at its place and at former ones, as removePart
// takes it.
func (s *Store) partsOf(root cid.Cid) ([]*record, error) {
	rec, err := s.record(tagDownload, root)
	if err != nil {
		return nil, err
	}
	formers, err := s.formers(rec.id)
	parts := []*record{rec}
	for _, f := range formers {
		parts = append(parts, &record{
			dir: f.dir, part: f.part, tree: f.tree, made: true, partInode: f.mark, sub: f.sub, rename: rec.rename,
		})
	}
	return parts, err
}

// is tells whether fi is the .part that lay there.
func (f *former) is(fi fs.FileInfo, id identity) bool {
	return fi.IsDir() == f.tree && (fi.IsDir() || fi.Mode().IsRegular()) && id.is(f.mark)
}

// at is where the .part of f goes below the result.
func (f *former) at(sel *selection) string { return sel.rel(f.sub) }

// moveFormers brings the .part from its former places by renaming it. What cannot be
// renamed, as from another disk, is returned.
func (d *Download) moveFormers() (rest []*former, err error) {
	all, err := d.s.formers(d.id())
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		moved, err := d.renameFormer(f)
		if err != nil {
			return nil, err
		}
		if !moved {
			rest = append(rest, f)
			continue
		}
		if err := d.forgetFormer(f); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func (d *Download) forgetFormer(f *former) error {
	b := d.s.db.NewBatch()
	_ = b.Delete(f.key, nil)
	return d.s.commit(b, true)
}

// renameFormer moves one by a rename. true: there is nothing left to bring.
func (d *Download) renameFormer(f *former) (bool, error) {
	rel := f.at(d.sel)
	from, err := chunker.OpenRootPath(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		d.s.cfg.Logger.Warn("what was fetched before is gone with its directory", "path", filepath.Join(f.dir, f.part))
		return true, nil
	}
	if err != nil {
		return false, fsError("open", f.dir, err)
	}
	defer from.Close()
	fi, err := from.Lstat(f.part)
	if errors.Is(err, fs.ErrNotExist) {
		return true, d.arrived(f, rel) // before a crash, or somebody deleted it
	}
	if err != nil {
		return false, fsError("look at", filepath.Join(f.dir, f.part), err)
	}
	if !f.is(fi, identify(from, f.dir, f.part, fi)) {
		d.s.cfg.Logger.Warn("left alone a file that another program made", "path", filepath.Join(f.dir, f.part))
		return true, nil
	}
	if perm := fi.Mode().Perm(); fi.IsDir() && perm&0o700 != 0o700 {
		_ = from.Chmod(f.part, perm|0o700) // a rename writes to it
	}
	err = d.dst.inPart(rel, func(to *os.Root, name string) error {
		err := renameFree(from, f.part, to, name)
		if _, there := to.Lstat(name); errors.Is(err, errors.ErrUnsupported) && errors.Is(there, fs.ErrNotExist) && rel == "" {
			err = os.Rename(filepath.Join(f.dir, f.part), d.dst.path(""))
		}
		if err == nil {
			err = errors.Join(syncRoot(to), syncRoot(from))
		}
		return err
	})
	if err != nil {
		return false, nil // it is copied
	}
	return true, d.arrived(f, rel)
}

// inPart calls fn with where rel is to be in the .part, "" being the .part itself; what is
// above is made.
func (t *dest) inPart(rel string, fn func(dir *os.Root, name string) error) error {
	if rel == "" {
		return fn(t.parent, t.part)
	}
	return t.in(rel, true, fn)
}

func syncRoot(r *os.Root) error {
	f, err := r.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(syncDir(f), f.Close())
}

// arrived takes the .part over as ours, if it is the one of f.
func (d *Download) arrived(f *former, rel string) error {
	if rel != "" {
		return nil // it lies below a .part that is ours already
	}
	fi, err := d.dst.parent.Lstat(d.dst.part)
	if err != nil || !f.is(fi, d.dst.identify(d.dst.part, fi)) {
		return nil
	}
	if err := d.noteMade(f.mark); err != nil {
		return err
	}
	d.own()
	return nil
}

// copyFormers copies what could not be renamed, each chunk checked, and then deletes it
// where it was.
func (d *Download) copyFormers(ctx context.Context, rest []*former) error {
	for _, f := range rest {
		if err := d.copyFormer(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (d *Download) copyFormer(ctx context.Context, f *former) error {
	from, err := openDest(f.dir, f.part, f.tree, d.s.cfg.OpenFiles)
	if err != nil {
		return err
	}
	defer from.close()
	from.owner = &owner{made: true, mark: f.mark, note: func(uint64) error { return ErrForeign }}
	buf := make([]byte, d.s.cfg.Limits.BlockSize)
	var files []string
	err = d.eachFormer(f, func(e chunker.Entry, rel string) error {
		if e.Kind != chunker.File {
			return nil
		}
		files = append(files, rel)
		return d.copyFrom(ctx, from, rel, e, buf)
	})
	if err != nil {
		return err
	}
	if err := d.Checkpoint(ctx); err != nil { // before it is deleted there
		return err
	}
	if err := d.clearFormer(from, f, files); isFault(err) { // it is here: that its disk cannot be written is no reason to fail
		d.s.cfg.Logger.Warn("what was fetched to an earlier destination stays there", "path", from.path(""), "error", err)
	} else if err != nil {
		return err
	}
	return d.forgetFormer(f)
}

// eachFormer calls fn with the entries that the .part of f may hold, and where in it.
func (d *Download) eachFormer(f *former, fn func(e chunker.Entry, rel string) error) error {
	was := newSelection(f.sub, nil)
	for i, e := range d.x.layout.Entries() {
		if within(e.Path, f.sub) && d.sel.want[i] {
			if err := fn(e, was.rel(e.Path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyFrom copies the leaves of one file that are right and not here yet.
func (d *Download) copyFrom(ctx context.Context, from *dest, rel string, e chunker.Entry, buf []byte) error {
	file, err := from.readFile(rel)
	if err != nil {
		return nil // nothing of it had come
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return nil
	}
	holes := chunker.NewHoles(file, fi)
	for k := e.First; k < min(e.First+e.Leaves, d.seen); k++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		leaf := d.x.layout.Leaf(k)
		size := leaf.Size
		if size < 0 {
			size = int(min(fi.Size(), int64(len(buf))))
		}
		if size == 0 || d.Has(k) || holes.Covers(leaf.Offset, int64(size)) {
			continue
		}
		n, _ := file.ReadAt(buf[:size], leaf.Offset)
		if n < size || !matches(buf[:size], leaf.CID) {
			continue
		}
		if err := d.write(k, buf[:size], true); err != nil {
			return err
		}
	}
	return nil
}

// clearFormer deletes what the download had written to its former .part: its files, and
// then the directories that are empty. What anybody else put there stays.
func (d *Download) clearFormer(from *dest, f *former, files []string) error {
	if !f.tree {
		return fsError("delete", from.path(""), from.parent.Remove(f.part))
	}
	remove := func(rel string) error {
		if _, err := from.lstat(rel); err != nil {
			return nil
		}
		return from.in(rel, false, (*os.Root).Remove)
	}
	for _, rel := range files {
		if err := remove(rel); err != nil {
			return fsError("delete", from.path(rel), err)
		}
	}
	var dirs []string
	_ = d.eachFormer(f, func(e chunker.Entry, rel string) error {
		switch {
		case e.Kind == chunker.Symlink:
			_ = remove(rel)
		case e.Kind == chunker.Dir && rel != "":
			dirs = append(dirs, rel)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := remove(dirs[i]); err != nil {
			d.s.cfg.Logger.Warn("left what somebody else put beside a download", "path", from.path(dirs[i]), "error", err)
		}
	}
	if err := from.closeHandles(); err != nil {
		return err
	}
	if err := from.parent.Remove(f.part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.s.cfg.Logger.Warn("left what somebody else put beside a download", "path", from.path(""), "error", err)
	}
	return nil
}
