package store

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// written is what is known of the .part of a download that was forgotten.
type written struct {
	layout *chunker.Layout
	rows   map[int]*row // by entry: the files that were written; all of them, if the last session ended in order
}

// written is what an unfinished download may have written, as far as that is known.
func (s *Store) written(root cid.Cid) *written {
	rec, err := s.record(tagDownload, root)
	if err != nil { // that it is a tree is not known again yet after a move
		return nil
	}
	w := &written{rows: map[int]*row{}}
	x, err := newIndexer(rec.id, rec.root, s.cfg.Limits)
	if err == nil {
		err = s.replay(x, nowhere)
	}
	if err == nil {
		w.layout = x.layout
		err = s.rows(rec.id, func(r *row) error {
			if r.entry < len(x.layout.Entries()) {
				w.rows[r.entry] = r
			}
			return nil
		})
	}
	if err != nil {
		s.cfg.Logger.Warn("what was fetched stays", "path", rec.path(), "error", err)
		return nil
	}
	return w
}

// removePart deletes what an unfinished download wrote. What someone put in its
// place is left alone, and so is everything once the result was moved.
func removePart(rec *record) error {
	if rec.part == "" {
		return nil
	}
	dir, err := chunker.OpenRootPath(rec.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fsError("open", rec.dir, err)
	}
	defer dir.Close()
	fi, err := dir.Lstat(rec.part)
	if err != nil || !rec.isOurs(fi, identify(dir, rec.dir, rec.part, fi)) {
		return nil
	}
	switch {
	case !rec.tree:
		err = dir.Remove(rec.part)
	case rec.written != nil:
		err = rec.removeWritten(dir)
	}
	return fsError("delete", filepath.Join(rec.dir, rec.part), err)
}

// removeWritten deletes of a .part that is a directory what was written to it. What somebody else put there stays, and with it
// the directories where it lies.
func (r *record) removeWritten(parent *os.Root) error {
	names := r.names()
	order := slices.Sorted(maps.Keys(names))                                            // a directory before what is in it
	if fi, err := parent.Lstat(r.part); err == nil && fi.Mode().Perm()&0o700 != 0o700 { // a recorded mode may forbid what follows
		_ = parent.Chmod(r.part, 0o700)
	}
	dir, err := parent.OpenRoot(r.part)
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, rel := range order {
		if fi, err := dir.Lstat(rel); err == nil && fi.IsDir() && fi.Mode().Perm()&0o700 != 0o700 {
			_ = dir.Chmod(rel, 0o700) // what cannot be deleted, Remove tells
		}
	}
	for _, rel := range slices.Backward(order) {
		fi, err := dir.Lstat(rel)
		if i := names[rel]; err != nil || i < 0 && !fi.IsDir() || i >= 0 && !r.wrote(dir, rel, i, fi) {
			continue
		}
		if err := dir.Remove(rel); err != nil && !fi.IsDir() && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_ = parent.Remove(r.part) // only if nothing is left in it
	return nil
}

// names are the paths that may be in the .part, with the entries that are there; -1 for directories that are known only by what is
// in them. Where names were made to fit the disk, only those of files that were written are known.
func (r *record) names() map[string]int {
	sel, names := newSelection(r.sub, nil), map[string]int{}
	if r.rename {
		for i, row := range r.written.rows {
			names[filepath.FromSlash(row.path)] = i
			for above := path.Dir(row.path); above != "."; above = path.Dir(above) {
				names[filepath.FromSlash(above)] = -1
			}
		}
		return names
	}
	for i, e := range r.written.layout.Entries() {
		if within(e.Path, r.sub) && e.Path != r.sub {
			names[filepath.FromSlash(sel.below(e.Path))] = i
		}
	}
	return names
}

// wrote tells whether what is at rel was written by the download as entry i. A file of which the row says something else may be of
// another program, and is ours only if it holds anything of the share. Only a session that ended in order left a row for each of ours.
func (r *record) wrote(dir *os.Root, rel string, i int, fi fs.FileInfo) bool {
	e := r.written.layout.Entries()[i]
	switch {
	case e.Kind == chunker.Dir:
		return fi.IsDir()
	case e.Kind == chunker.Symlink:
		return fi.Mode()&fs.ModeSymlink != 0
	case !fi.Mode().IsRegular():
		return false
	}
	row, is := r.written.rows[i], chunker.StatOf(fi)
	same := row != nil && row.stat.Inode == is.Inode
	if same && is.Proves(row.stat) {
		return true
	}
	return (same || !r.sealed) && r.holdsLeaf(dir, rel, e, fi)
}

// holdsLeaf tells whether the file has a chunk of e where it belongs, or only zeros that nobody wrote.
func (r *record) holdsLeaf(dir *os.Root, rel string, e chunker.Entry, fi fs.FileInfo) bool {
	f, err := openRegular(dir, rel, os.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close()
	holes := chunker.NewHoles(f, fi)
	if fi.Size() == 0 || holes.Covers(0, fi.Size()) {
		return true
	}
	for k := e.First; k < e.First+e.Leaves; k++ {
		leaf := r.written.layout.Leaf(k)
		size := int64(leaf.Size)
		if size < 0 {
			size = min(fi.Size(), chunker.MaxBlockSize)
		}
		data := make([]byte, size)
		if n, _ := f.ReadAt(data, leaf.Offset); int64(n) == size && matches(data, leaf.CID) {
			return true
		}
	}
	return false
}
