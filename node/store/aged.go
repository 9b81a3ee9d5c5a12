package store

import (
	"context"
	"errors"

	"shoal/chunker"
)

// Homes from before times of change were recorded have rows without one, and so do files that were moved. What was verified once is
// trusted only while nothing else can have touched it, and of such a file nothing tells that: an edit with size and mtime put back would
// never be seen. So Heal hashes it once more after a start, and it has a time of change from then on. It is served meanwhile, as it was by
// the version that shared it: who fetches it checks it, and an upgrade must not take everything away.

// agedPlaces are the places with such rows.
func (s *Store) agedPlaces() (map[shareID]struct{}, error) {
	ids := map[shareID]struct{}{}
	err := s.each([]byte{tagFile}, func(key, value []byte) error {
		r, err := decodeRow(key, value)
		if err == nil && r.stat.Ctime == 0 {
			id, _ := splitSegment(key)
			ids[id] = struct{}{}
		}
		return err
	})
	return ids, err
}

// healAged hashes files of such places, about healBytes of them, and asks for another Heal if there are more.
func (s *Store) healAged(ctx context.Context) error {
	if s.writable() != nil {
		return nil // nothing could be recorded
	}
	left := int64(healBytes)
	for id := range s.unwell.aged {
		if left <= 0 {
			s.unwell.again()
			return nil
		}
		bytes, more, err := s.healAgedPlace(ctx, id, left)
		if err != nil && !errors.Is(err, ErrNotFound) {
			s.unwell.again()
			return err
		}
		if left -= bytes; !more {
			delete(s.unwell.aged, id)
		}
	}
	return nil
}

// healAgedPlace hashes files of one place, until they have most bytes. more: there are others.
func (s *Store) healAgedPlace(ctx context.Context, id shareID, most int64) (bytes int64, more bool, err error) {
	rec, err := s.recordOf(id)
	if err != nil || rec.old || rec.tag == tagDownload {
		return 0, false, err
	}
	t := touched{marked: map[string]string{}, chosen: map[string]bool{}}
	err = s.each(keyID(tagBad, id), func(key, why []byte) error {
		t.marked[string(key)] = string(why)
		return nil
	})
	if err != nil {
		return 0, false, err
	}
	err = s.rows(id, func(r *row) error {
		key := string(keyFile(tagBad, id, r.leaf, r.entry))
		if _, marked := t.marked[key]; marked || r.stat.Ctime != 0 {
			return ctx.Err()
		}
		fi, err := chunker.StatPath(rec.absPath(r))
		if unfit(fi, err, r.stat) != "" || chunker.StatOf(fi).Ctime == 0 { // a check marks it, or there is none to be had
			return ctx.Err()
		}
		if more = bytes >= most; more {
			return errEnough
		}
		t.chosen[key] = true
		bytes += fi.Size()
		return ctx.Err()
	})
	if err != nil && !errors.Is(err, errEnough) || len(t.chosen) == 0 {
		return 0, false, err
	}
	_, err = s.healFiles(ctx, rec, t)
	return bytes, more, err
}
