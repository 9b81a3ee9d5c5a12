package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// This file is what becomes of an unfinished download when something else is asked for
// than what it was begun for, and when its fetch fails.

// recordFor makes the record of a fresh download, or brings that of an unfinished one in
// line with what is asked for now.
func (s *Store) recordFor(t Target) (rec *record, fresh bool, err error) {
	rec, err = s.record(tagDownload, t.Root)
	if err == nil && (!rec.reaches(t) || rec.narrowedBy(t) && rec.focus == nil) && rec.haveBytes == 0 {
		var rest []*former
		if rest, err = s.formers(rec.id); err == nil && len(rest) == 0 { // nothing has come of it
			err = errors.Join(s.drop(t.Root), ErrNotFound)
		}
	}
	if errors.Is(err, ErrNotFound) {
		rec, err = s.newRecord(t)
		return rec, true, err
	}
	if err != nil {
		return nil, false, err
	}
	return rec, false, s.adjust(rec, t)
}

// reaches tells whether a download can become t: t is for all it is for.
func (r *record) reaches(t Target) bool { return within(r.sub, t.Sub) }

// narrowedBy tells whether t asks for less than what a download is for.
func (r *record) narrowedBy(t Target) bool { return t.Sub == r.sub && focused(r.selects, t.Select) }

// adjust brings an unfinished download in line with t. If it is to lie elsewhere, where
// its .part is now is recorded with it in one batch.
func (s *Store) adjust(r *record, t Target) error {
	if !r.reaches(t) {
		return fmt.Errorf("%w: %q of it, to %s", ErrConflict, "/"+r.sub, filepath.Join(r.dir, r.title()))
	}
	if r.focus = nil; r.narrowedBy(t) {
		r.focus = t.Select
	}
	selects := r.selects
	if t.Sub != r.sub && len(selects) == 0 {
		selects = []string{r.sub}
	}
	r.selects = union(selects, t.Select)
	r.force, r.rename, r.state = t.Force, t.Rename, Fetching
	if t.Dir == r.dir && t.Sub == r.sub {
		if t.Name != "" {
			r.name = t.Name
		}
		return nil
	}
	return s.moveRecord(r, t)
}

// moveRecord sends the download to another place, or back to one where it was before.
func (s *Store) moveRecord(r *record, t Target) error {
	earlier, err := s.formers(r.id)
	if err != nil {
		return err
	}
	b := s.db.NewBatch()
	if r.made {
		n := 0
		for _, f := range earlier {
			_, last := splitSegment(f.key)
			n = max(n, last+1)
		}
		f := former{dir: r.dir, part: r.part, sub: r.sub, tree: r.tree, mark: r.partInode}
		_ = b.Set(keyIndex(tagFormer, r.id, n), f.encode(), nil)
	}
	back := slices.IndexFunc(earlier, func(f *former) bool { return f.dir == t.Dir && f.sub == t.Sub })
	if back >= 0 {
		f := earlier[back]
		r.part, r.made, r.partInode, r.tree = f.part, true, f.mark, f.tree
		_ = b.Delete(f.key, nil)
	} else {
		if r.part, err = s.choosePart(t); err != nil {
			b.Close()
			return err
		}
		r.made, r.partInode, r.tree = false, 0, false
	}
	r.partDevice = 0 // told when it is found there
	r.dir, r.sub, r.name, r.placing = t.Dir, t.Sub, t.Name, false
	s.mu.Lock()
	defer s.mu.Unlock()
	putRecord(b, tagDownload, r)
	return s.commit(b, true)
}

// dropMisses takes out what was selected earlier and is not in the share, once all of that
// is known. true: the record has changed.
func (d *Download) dropMisses(asked []string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.x.layout.Complete() {
		return false
	}
	if d.sel.dropMisses(asked) {
		d.rec.selects, d.dirtyRec = d.sel.selects, true
	}
	if d.focus != nil && len(asked) == 0 && d.focus.unmatched(d.x.layout.Entries()) != nil {
		d.rec.focus, d.dirtyRec = nil, true // a restart goes on with all
	}
	return d.dirtyRec
}

// GiveUp ends a download whose fetch has failed, or that nobody waits for any more. One
// that holds no byte is forgotten, with its .part; another stays as by Close, or with
// pause as by Pause.
func (d *Download) GiveUp(pause bool) error {
	d.stopLocal()
	d.mu.RLock()
	empty := d.stage == running && d.haveBytes == 0
	d.mu.RUnlock()
	rest, err := d.s.formers(d.id())
	if err != nil {
		return errors.Join(err, d.Close())
	}
	switch {
	case empty && len(rest) == 0:
		d.save.Lock() // nothing is written to the .part meanwhile
		defer d.save.Unlock()
		rec, err := d.s.forget(tagDownload, d.rec.root)
		if err == nil {
			err = errors.Join(d.dst.closeHandles(), removePart(rec))
		}
		return errors.Join(err, d.end(closed))
	case pause:
		d.dropMisses(nil)
		return d.Pause()
	}
	d.dropMisses(nil)
	return d.Close()
}

// GiveUp is Download.GiveUp for a download that is not open, as one whose start failed.
// There being none is no error.
func (s *Store) GiveUp(root cid.Cid, pause bool) error {
	rec, err := s.record(tagDownload, root)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("give up %s: %w", root, err)
	}
	rest, err := s.formers(rec.id)
	if err != nil {
		return fmt.Errorf("give up %s: %w", root, err)
	}
	_, part := chunker.LstatPath(filepath.Join(rec.dir, rec.part))
	switch {
	case rec.haveBytes == 0 && len(rest) == 0 && errors.Is(part, os.ErrNotExist):
		return s.drop(root)
	case pause:
		return s.Pause(root)
	}
	return nil
}

// drop forgets an unfinished download and deletes its .part, wherever that lies. ErrPartStays where one cannot be deleted.
func (s *Store) drop(root cid.Cid) error {
	parts, err := s.partsOf(root)
	var rec *record
	if err == nil {
		rec, err = s.forget(tagDownload, root)
	}
	if err != nil {
		return fmt.Errorf("forget the download of %s: %w", root, err)
	}
	var stays error
	for _, part := range parts {
		part.written = rec.written
		if err := removePart(part); err != nil && stays == nil {
			stays = fmt.Errorf("%w: %w", ErrPartStays, err)
		}
	}
	return stays
}
