package store

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// recover completes or undoes what a crash cut short: rows of imports and removals
// that have no record, and downloads that were moved to their final name but not
// recorded as shares.
func (s *Store) recover() error {
	s.dropProbes()
	pending := map[shareID]cid.Cid{}
	err := s.each([]byte{tagPending}, func(key, value []byte) error {
		if len(key) != 9 {
			return errShort
		}
		id, _ := splitSegment(append(append([]byte(nil), key...), make([]byte, 8)...))
		root := cid.Undef
		if len(value) > 0 {
			c, err := cid.Cast(append([]byte(nil), value...))
			if err != nil {
				return err
			}
			root = c
		}
		pending[id] = root
		return nil
	})
	if err != nil {
		return err
	}
	for id, root := range pending {
		if err := s.purge(id, root); err != nil {
			return err
		}
	}
	if err := s.loadPaths(); errors.Is(err, ErrNoSpace) || errors.Is(err, ErrReadOnly) {
		s.cfg.Logger.Warn("the paths of shares could not be indexed; the next start tries again", "error", err)
	} else if err != nil {
		return err
	}
	if err := s.DropVersions(time.Now()); err != nil && !errors.Is(err, ErrNoSpace) && !errors.Is(err, ErrReadOnly) {
		return err
	}
	recs, err := s.records(tagDownload)
	if err != nil {
		return err
	}
	for _, rec := range recs {
		if !rec.placing {
			continue
		}
		if err := s.recoverPlaced(rec); err != nil {
			// Its disk may not be mounted. The next Download of it tries again.
			s.cfg.Logger.Warn("finished download could not be taken up", "root", rec.root, "error", err)
		}
	}
	return nil
}

// recoverPlaced records a download as a share if its result is at the final name. If it
// is not, the download goes on as one that was never finished.
func (s *Store) recoverPlaced(rec *record) error {
	if _, err := chunker.StatPath(rec.dir); err != nil {
		return err
	}
	final := filepath.Join(rec.dir, rec.title())
	fi, err := chunker.LstatPath(final)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, partErr := chunker.LstatPath(filepath.Join(rec.dir, rec.part))
	d := newDownload(s, s.cfg.Limits)
	if d.dst, err = openDest(rec.dir, rec.part, rec.tree, s.cfg.OpenFiles); err != nil {
		return err
	}
	defer d.dst.close()
	moved := d.dst.identify(rec.title(), fi).is(rec.partInode)
	if rec.partInode == 0 { // a system without inodes: there is only one of the two
		moved = errors.Is(partErr, fs.ErrNotExist)
	}
	if !moved {
		return nil
	}
	if err := d.load(rec); err != nil {
		return err
	}
	if d.x.layout.Size() < 0 {
		d.loneSize, d.haveBytes = fi.Size(), fi.Size()
	}
	if d.whole() != nil { // some names were left out: the next Download finds the others at the destination
		d.rec.placing, d.rec.made, d.rec.partInode = false, false, 0
		return d.saveRecord(s.db.NewBatch(), true)
	}
	if _, err = d.recordShare(context.Background(), final, nil); err != nil {
		return err
	}
	// Moving it changed its stat, and it may have been edited since: only hashing tells.
	_, err = s.Verify(context.Background(), rec.root, false, nil)
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return err
}
