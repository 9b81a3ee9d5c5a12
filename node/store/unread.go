package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2"
)

// A read that failed says nothing of what the file holds: a disk whose cable was loose for a moment gives the error that a bad sector
// gives. Heal reads such leaves again, those of before this start too, and serves what is right.

// unreadMost failed reads end one look at a place: a bad disk takes seconds for each.
const unreadMost = 8

// couldNotRead notes that leaves of a place are not served because a read failed.
func (u *unwell) couldNotRead(id shareID) {
	u.mu.Lock()
	u.unread[id] = struct{}{}
	u.mu.Unlock()
	u.again()
}

// takeUnread empties the list of such places.
func (u *unwell) takeUnread() map[shareID]struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	ids := u.unread
	u.unread = map[shareID]struct{}{}
	return ids
}

// unreadPlaces notes the places that may have such leaves from before this start.
func (s *Store) unreadPlaces() error {
	groups, err := s.allPlaces()
	for _, places := range groups {
		for _, rec := range places {
			if rec.state == Changed {
				s.unwell.couldNotRead(rec.id)
			}
		}
	}
	return err
}

// healUnread reads leaves again that could not be read. later: some still cannot.
func (s *Store) healUnread(ctx context.Context) (later bool, err error) {
	for id := range s.unwell.takeUnread() {
		again := err != nil || s.writable() != nil // nothing could be recorded
		if !again {
			again, err = s.healUnreadPlace(ctx, id)
		}
		if again || err != nil {
			s.unwell.couldNotRead(id)
			later = true
		}
	}
	return later, err
}

// healUnreadPlace is healUnread of one place.
func (s *Store) healUnreadPlace(ctx context.Context, id shareID) (again bool, err error) {
	rec, err := s.recordOf(id)
	if errors.Is(err, ErrNotFound) {
		return false, nil // removed meanwhile
	}
	if err != nil || rec.old || rec.tag == tagDownload {
		return false, err
	}
	lost, err := s.lostLeaves(rec)
	if err != nil || len(lost) == 0 {
		return false, err
	}
	// In any order: the first ones may be those that stay bad.
	rand.Shuffle(len(lost), func(i, j int) { lost[i], lost[j] = lost[j], lost[i] })
	v := &view{s: s, rec: rec} // of all leaves
	defer v.closeFile()
	var right []int
	buf, pace, failed := make([]byte, s.cfg.Limits.BlockSize), newPace(), 0
	for _, i := range lost {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		_, size, err := v.read(i, buf, 0)
		switch {
		case err == nil:
			digest := sha256.Sum256(buf[:size])
			ok, err := s.has(keyBlock(nil, blockLeaf, digest[:], id, i))
			if err != nil {
				return false, err
			}
			if ok {
				right = append(right, i)
			}
		case !errors.Is(err, ErrChanged) || isUnread(err):
			again = true
			failed++
		}
		if failed == unreadMost {
			break
		}
		pace.rest(ctx)
	}
	if len(right) == 0 {
		return again, nil
	}
	s.cfg.Logger.Info("chunks can be read again", "root", rec.root, "name", rec.name, "chunks", len(right), "failed", failed)
	return again, s.markRead(id, right)
}

// lostLeaves are the leaves of a place that are not served, of files that fit.
func (s *Store) lostLeaves(rec *record) (lost []int, err error) {
	bits, err := s.loadBits(rec)
	if err != nil || bits == nil {
		return nil, err
	}
	err = s.rows(rec.id, func(row *row) error {
		if known, err := s.has(keyFile(tagBad, rec.id, row.leaf, row.entry)); err != nil || known {
			return err
		}
		for i := row.leaf; i < row.leaf+row.cut.leaves; i++ {
			if !bits.get(i) {
				lost = append(lost, i)
			}
		}
		return nil
	})
	return lost, err
}

// markRead lets leaves be served again.
func (s *Store) markRead(id shareID, right []int) error {
	return s.updateShare(id, true, func(r *record, b *pebble.Batch) error {
		bits, err := s.loadBits(r)
		if err != nil || bits == nil {
			return err
		}
		for _, i := range right {
			bits.set(i)
		}
		s.putBits(b, r, bits)
		r.have, r.haveBytes = 0, 0
		missing := r.bad > 0
		err = s.rows(r.id, func(row *row) error {
			if known, err := s.has(keyFile(tagBad, r.id, row.leaf, row.entry)); err != nil || known {
				return err
			}
			n, bytes := hadLeaves(bits, row)
			r.have, r.haveBytes = r.have+n, r.haveBytes+bytes
			missing = missing || n < row.cut.leaves
			return nil
		})
		if err == nil && !missing {
			r.state, r.reason = Complete, ""
		}
		return err
	})
}
