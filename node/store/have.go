package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// loadBits reads the have bits of a share or download; nil: all.
func (s *Store) loadBits(rec *record) (bitmap, error) {
	if rec.all {
		return nil, nil
	}
	bits := newBitmap(rec.leaves)
	err := s.each(keyID(tagHave, rec.id), func(key, value []byte) error {
		if len(value) != segBytes {
			return errShort
		}
		_, seg := splitSegment(key)
		if at := seg * segBytes; at < len(bits) {
			copy(bits[at:], value)
		}
		return nil
	})
	return bits, err
}

// putBits adds every segment of bits to b. Of a complete set nothing is stored.
func (s *Store) putBits(b *pebble.Batch, r *record, bits bitmap) {
	k := keyID(tagHave, r.id)
	_ = b.DeleteRange(k, upper(k), nil)
	if r.all = bits == nil || bits.count() == r.leaves; r.all {
		return
	}
	for seg := range (r.leaves + segLeaves - 1) / segLeaves {
		_ = b.Set(keyIndex(tagHave, r.id, seg), bits.segment(seg), nil)
	}
}

// served is the bits without the files that do not fit now; nil: all.
func (s *Store) served(rec *record) (bitmap, error) {
	bits, err := s.loadBits(rec)
	if err != nil || rec.bad == 0 {
		return bits, err
	}
	if bits == nil {
		bits = allOf(rec.leaves)
	}
	err = s.each(keyID(tagBad, rec.id), func(key, _ []byte) error {
		leaf, entry := splitFile(key)
		row, err := s.row(rec.id, leaf, entry)
		if err == nil {
			bits.fill(leaf, min(leaf+row.cut.leaves, rec.leaves), false)
		}
		return err
	})
	return bits, err
}

// hadIn counts the leaves of a file that are had, and their bytes.
func (s *Store) hadIn(rec *record, row *row) (leaves int, bytes int64, err error) {
	bits, err := s.loadBits(rec)
	if err != nil {
		return 0, 0, err
	}
	leaves, bytes = hadLeaves(bits, row)
	return leaves, bytes, nil
}

// hadLeaves counts the leaves of a file that are in bits (nil: all), and their bytes.
func hadLeaves(bits bitmap, row *row) (leaves int, bytes int64) {
	if bits == nil {
		return row.cut.leaves, row.cut.size
	}
	for k := range row.cut.leaves {
		if bits.get(row.leaf + k) {
			_, n := row.cut.at(k)
			leaves++
			bytes += int64(n)
		}
	}
	return leaves, bytes
}

// recount brings the counts and the state of r up to date after b is applied. It is
// called under the lock. reason is of a file that does not fit, "" if there is none.
func (s *Store) recount(r *record, b *pebble.Batch, reason string) error {
	pending := s.db.NewIndexedBatch()
	defer pending.Close()
	if err := pending.Apply(b, nil); err != nil {
		return err
	}
	bits, err := s.loadBits(r)
	if err != nil {
		return err
	}
	r.have, r.haveBytes = 0, 0
	missing := false
	err = s.rows(r.id, func(row *row) error {
		_, closer, err := pending.Get(keyFile(tagBad, r.id, row.leaf, row.entry))
		if err == nil {
			closer.Close()
			return nil
		}
		if !errors.Is(err, pebble.ErrNotFound) {
			return err
		}
		for k := range row.cut.leaves {
			if bits == nil || bits.get(row.leaf+k) {
				_, n := row.cut.at(k)
				r.have++
				r.haveBytes += int64(n)
			} else {
				missing = true
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case r.bad == 0 && !missing:
		r.state, r.reason = Complete, ""
	case reason != "":
		r.state, r.reason = Changed, reason
	}
	return nil
}
